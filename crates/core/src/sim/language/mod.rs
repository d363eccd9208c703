//! The scenario language: a release that a user describes, with a spec and traffic of their own, as a [`Scenario`].
//!
//! It is read as the spec is: all problems at once, each with its place and what would be right.

mod environments;
mod expect;
mod happens;
mod leaves;
mod lower;
mod names;
mod raw;
mod schema;
#[cfg(test)]
mod tests;
mod trace;
mod traffic;

pub use expect::{Expect, end_of, reason_of};
pub use leaves::End;
pub use schema::schema;

use crate::sim::scenario::Scenario;
use crate::spec::decode::Decode;
use crate::spec::problems::{Place, Pos, Problems};
use crate::spec::tree::{Node, Tree};
use crate::spec::{self, Problem};

/// A scenario that can be run.
#[derive(Debug, Clone)]
pub struct Written {
    /// What happens, in one line.
    pub title: Option<String>,
    pub scenario: Scenario,
    pub expect: Option<Expect>,
    /// What stops nothing, and its author should know all the same.
    pub warnings: Vec<Wrong>,
}

/// Something that is wrong with a scenario, or with a file that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The file that it is in, as the scenario names it; `None` for the scenario itself.
    pub file: Option<String>,
    pub problem: Problem,
}

impl From<Problem> for Wrong {
    fn from(problem: Problem) -> Self {
        Self { file: None, problem }
    }
}

/// Reads a file that a scenario names, of at most so many bytes, or says why not.
pub type ReadFile<'a> = &'a mut dyn FnMut(&str, usize) -> Result<String, String>;

/// Reads a scenario. `read` is asked for the files that it names, and says why one cannot be read.
///
/// # Errors
///
/// All problems at once, in the order of the text; those of other files last.
pub fn parse(text: &str, read: ReadFile<'_>) -> Result<Written, Vec<Wrong>> {
    let mut problems = Problems::default();
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        problems.add(&Place::whole(Pos::Text(1, 1)), "the scenario is empty; it begins with `scenario: v1`");
        return Err(all(problems, Vec::new()));
    }
    let Some(node) = Node::from_text(text, Pos::Text, &mut problems) else { return Err(all(problems, Vec::new())) };
    let whole = Place::whole(node.pos);
    let Some(raw) = raw::RawScenario::decode(&node, &whole, &mut problems) else {
        return Err(all(problems, Vec::new()));
    };
    let mut others = Vec::new();
    let spec = the_spec(&raw, &whole, read, &mut problems, &mut others);
    let trace = the_trace(&raw, read, &mut problems, &mut others);
    let lowered = spec.and_then(|spec| lower::lower(raw, &spec, trace.as_ref(), &whole, &mut problems));
    match lowered {
        Some(written) if problems.is_empty() && others.is_empty() => {
            let warnings = problems.take_warnings().into_iter().map(Wrong::from).chain(written.warnings).collect();
            Ok(Written { warnings, ..written })
        }
        Some(_) | None => Err(all(problems, others)),
    }
}

fn all(problems: Problems, others: Vec<Wrong>) -> Vec<Wrong> {
    problems.into_sorted().into_iter().map(Wrong::from).chain(others).collect()
}

/// The spec that is written here, or in a file of its own. `None` where it is wrong, which is then reported.
fn the_spec(
    raw: &raw::RawScenario,
    whole: &Place,
    read: ReadFile<'_>,
    problems: &mut Problems,
    others: &mut Vec<Wrong>,
) -> Option<raw::InnerSpec> {
    let fields =
        [("spec", raw.spec.as_ref().map(|at| &at.place)), ("specFile", raw.spec_file.as_ref().map(|at| &at.place))];
    spec::exactly_one(whole, "spec", &fields, problems);
    if let Some(inner) = &raw.spec {
        return inner.value.clone();
    }
    let at = raw.spec_file.as_ref()?;
    let file = at.value.as_ref()?.0.clone();
    let text = read(&file, spec::DOCUMENT_BYTES_MAX).map_err(|message| problems.add(&at.place, message)).ok()?;
    match spec::parse(&text) {
        Ok(valid) => {
            // What `parse` has read can be read again.
            let node = Node::from_text(&text, Pos::Text, &mut Problems::default())?;
            matches!(node.tree, Tree::Map(_)).then(|| raw::InnerSpec { spec: valid.spec, value: node.to_value() })
        }
        Err(wrong) => {
            others.extend(wrong.into_iter().map(|problem| Wrong { file: Some(file.clone()), problem }));
            None
        }
    }
}

/// The recording whose minutes are the traffic, if there is one.
fn the_trace(
    raw: &raw::RawScenario,
    read: ReadFile<'_>,
    problems: &mut Problems,
    others: &mut Vec<Wrong>,
) -> Option<trace::Trace> {
    let at = raw.traffic.as_ref()?.value.as_ref()?.trace.as_ref()?;
    let file = at.value.as_ref()?.0.clone();
    let text = read(&file, trace::TRACE_BYTES_MAX).map_err(|message| problems.add(&at.place, message)).ok()?;
    trace::read(&text).map_err(|problem| others.push(Wrong { file: Some(file), problem })).ok()
}
