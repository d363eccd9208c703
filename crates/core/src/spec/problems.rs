//! Collecting everything that is wrong with a document, each with its place.

use std::collections::BTreeSet;

use super::Problem;
use crate::text;

/// More than a screen of problems helps nobody, and a hostile document must not make a large answer.
const SHOWN_MAX: usize = 50;
/// Longest piece of the document that a message repeats.
const QUOTED_CHARS_MAX: usize = 60;

/// Where something was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pos {
    /// Line and column of the spec, both from 1.
    Text(u32, u32),
    /// Line and column of the defaults that were merged under the spec.
    Defaults(u32, u32),
    /// A value without a text.
    Nowhere,
}

impl Pos {
    pub fn is_in_defaults(self) -> bool {
        matches!(self, Self::Defaults(..))
    }

    /// What completes "already given": ` in line 3`.
    pub fn suffix(self) -> String {
        match self {
            Self::Text(line, _) => format!(" in line {line}"),
            Self::Defaults(line, _) => format!(" in line {line} of the defaults"),
            Self::Nowhere => String::new(),
        }
    }
}

/// A node of the document: `strategy.steps[1].weight`, and where it begins.
#[derive(Debug, Clone)]
pub struct Place {
    pub path: String,
    pub pos: Pos,
}

impl Place {
    /// The document as a whole.
    pub fn whole(pos: Pos) -> Self {
        Self { path: String::new(), pos }
    }

    /// The field `key` of this mapping.
    pub fn field(&self, key: &str, pos: Pos) -> Self {
        Self { path: join(&self.path, key), pos }
    }

    /// The item of this list.
    pub fn item(&self, index: usize, pos: Pos) -> Self {
        Self { path: format!("{}[{index}]", self.path), pos }
    }
}

/// `strategy` and `steps` make `strategy.steps`; a key that is no plain word is quoted.
pub fn join(path: &str, key: &str) -> String {
    let word = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let key = if word { shortened(key) } else { format!("\"{}\"", shortened(key)) };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// A piece of the document as messages show it: bounded, and harmless to a terminal.
pub fn quoted(text: &str) -> String {
    format!("`{}`", shortened(text))
}

fn shortened(text: &str) -> String {
    text::shown(text, QUOTED_CHARS_MAX)
}

fn placed(place: &Place, message: impl Into<String>) -> Problem {
    let mut problem = Problem::at(place.path.clone(), message);
    match place.pos {
        Pos::Text(line, column) => (problem.line, problem.column) = (Some(line), Some(column)),
        Pos::Defaults(line, column) => {
            problem.message.push_str(&format!(" (in the defaults, line {line}, column {column})"));
        }
        Pos::Nowhere => {}
    }
    problem
}

/// All problems of a document.
#[derive(Debug, Default)]
pub struct Problems {
    found: Vec<(Pos, Problem)>,
    /// What stops nothing, and its author should know all the same.
    warnings: Vec<(Pos, Problem)>,
    not_shown: usize,
    /// Paths of the mappings with fields that do not belong there.
    with_strays: BTreeSet<String>,
}

impl Problems {
    pub fn add(&mut self, place: &Place, message: impl Into<String>) {
        if self.found.len() == SHOWN_MAX {
            self.not_shown += 1;
            return;
        }
        self.found.push((place.pos, placed(place, message)));
    }

    /// Something that stops nothing. There is at most one for each item of a list, and lists are bounded.
    pub fn warn(&mut self, place: &Place, message: impl Into<String>) {
        self.warnings.push((place.pos, placed(place, message)));
    }

    /// What has been warned of so far, in the order of the document.
    pub fn take_warnings(&mut self) -> Vec<Problem> {
        let mut warnings = std::mem::take(&mut self.warnings);
        warnings.sort_by_key(|(pos, _)| *pos);
        warnings.into_iter().map(|(_, warning)| warning).collect()
    }

    /// The same for a field that does not belong into the mapping `place`.
    pub fn add_stray(&mut self, mapping: &Place, field: &Place, message: impl Into<String>) {
        self.with_strays.insert(mapping.path.clone());
        self.add(field, message);
    }

    /// Whether the mapping has such a field: it may be what then seems to be missing.
    pub fn has_stray(&self, mapping: &Place) -> bool {
        self.with_strays.contains(&mapping.path)
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// In the order in which a reader of the document meets them.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|(pos, _)| *pos);
        let mut problems: Vec<Problem> = self.found.into_iter().map(|(_, problem)| problem).collect();
        if self.not_shown > 0 {
            problems.push(Problem::at("", format!("and {} more problems", self.not_shown)));
        }
        problems
    }
}
