//! The untyped tree of a document, with the place of every node: what the parser and the validator walk.
//!
//! Aliases, merge keys and tags are refused, so a tree is never larger than its text.

use std::collections::BTreeMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError};
use serde_json::{Number, Value};

use super::problems::{Place, Pos, Problems, join, quoted};

/// A spec is a page or two; 256 KB leaves room for test payloads and keeps a hostile document cheap.
pub const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// The language nests 7 deep; the rest is for test payloads.
const DEPTH_MAX: usize = 32;
/// Longest key: nothing that the language or a payload needs is longer.
const KEY_BYTES_MAX: usize = 256;
/// YAML's own 1,024 would refuse a key of 256 escaped characters.
const KEY_LOOKAHEAD: usize = 4096;

/// A value and where it begins.
#[derive(Debug, Clone)]
pub struct Node {
    pub tree: Tree,
    pub pos: Pos,
}

#[derive(Debug, Clone)]
pub enum Tree {
    Null,
    Bool(bool),
    /// The number, and how it was written: a version `007` or a commit `1e10` is not what a number would print.
    Number(Number, String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub key: String,
    pub key_pos: Pos,
    pub value: Node,
}

impl Node {
    /// Reads YAML, of which JSON is a part. `None` when there is nothing to walk; the problems then say why.
    pub fn from_text(text: &str, origin: fn(u32, u32) -> Pos, problems: &mut Problems) -> Option<Self> {
        if text.len() > DOCUMENT_BYTES_MAX {
            let message = format!("the document has {} bytes; at most {DOCUMENT_BYTES_MAX} are read", text.len());
            problems.add(&Place::whole(origin(1, 1)), message);
            return None;
        }
        let mut builder = Builder { parser: parser(text), origin, path: String::new(), problems };
        builder.document().map_err(|stop| problems.add(&stop.place, stop.message)).ok()
    }

    /// Takes a value that has no text, such as a command's `spec` field.
    pub fn from_value(value: &Value, problems: &mut Problems) -> Option<Self> {
        let mut room = DOCUMENT_BYTES_MAX;
        let node = copy(value, 0, &mut room);
        if node.is_none() {
            let message = format!(
                "the document is too large: at most {DOCUMENT_BYTES_MAX} bytes, {DEPTH_MAX} levels deep, and keys of \
                 {KEY_BYTES_MAX} bytes"
            );
            problems.add(&Place::whole(Pos::Nowhere), message);
        }
        node
    }

    /// With texts read as if nobody had quoted them: whoever makes a text of every number and flag means those.
    pub fn unquoted(self) -> Self {
        let tree = match self.tree {
            Tree::Text(text) => match plain(text.clone()) {
                tree @ (Tree::Bool(_) | Tree::Number(..)) => tree,
                Tree::Null | Tree::Text(_) | Tree::List(_) | Tree::Map(_) => Tree::Text(text),
            },
            Tree::List(items) => Tree::List(items.into_iter().map(Self::unquoted).collect()),
            Tree::Map(entries) => {
                let unquoted = |entry: Entry| Entry { value: entry.value.unquoted(), ..entry };
                Tree::Map(entries.into_iter().map(unquoted).collect())
            }
            tree @ (Tree::Null | Tree::Bool(_) | Tree::Number(..)) => tree,
        };
        Self { tree, pos: self.pos }
    }

    /// The same as JSON, for payloads.
    pub fn to_value(&self) -> Value {
        match &self.tree {
            Tree::Null => Value::Null,
            Tree::Bool(flag) => Value::Bool(*flag),
            Tree::Number(number, _) => Value::Number(number.clone()),
            Tree::Text(text) => Value::String(text.clone()),
            Tree::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Tree::Map(entries) => {
                Value::Object(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_value())).collect())
            }
        }
    }

    /// What it is, in a person's words: ``the number `5` ``, `a list`.
    pub fn describe(&self) -> String {
        match &self.tree {
            Tree::Null => "nothing".to_owned(),
            Tree::Bool(flag) => format!("`{flag}`"),
            Tree::Number(_, text) => format!("the number {}", quoted(text)),
            Tree::Text(text) => format!("the text {}", quoted(text)),
            Tree::List(_) => "a list".to_owned(),
            Tree::Map(_) => "a mapping".to_owned(),
        }
    }
}

/// Why building stopped: the document cannot be walked at all.
struct Stop {
    place: Place,
    message: String,
}

struct Builder<'t, 'p> {
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    origin: fn(u32, u32) -> Pos,
    /// Of the node that is being built.
    path: String,
    problems: &'p mut Problems,
}

fn parser(text: &str) -> Parser<'_, granit_parser::StrInput<'_>> {
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        simple_key_max_lookahead: KEY_LOOKAHEAD,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    Parser::new_from_str_with_options(text, options)
}

impl<'t> Builder<'t, '_> {
    fn document(&mut self) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            let (event, pos) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd | Event::Anchor(..) => {}
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(self.stop(pos, "a second document begins here; a spec is one document"));
                }
                Event::DocumentStart(..) => {
                    let (event, pos) = self.next()?;
                    root = Some(self.node(event, pos, 0)?);
                }
                Event::StreamEnd => break,
                Event::Alias(_)
                | Event::UnresolvedAlias(_)
                | Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..)
                | Event::MappingEnd
                | _ => return Err(self.stop(pos, UNFINISHED)),
            }
        }
        root.ok_or_else(|| self.stop((self.origin)(1, 1), EMPTY))
    }

    /// The node that begins with `event`.
    fn node(&mut self, event: Event<'t>, pos: Pos, depth: usize) -> Result<Node, Stop> {
        if depth > DEPTH_MAX {
            return Err(self.stop(pos, format!("nested more than {DEPTH_MAX} levels deep")));
        }
        if event.tag().is_some() {
            self.problems.add(&self.place(pos), "YAML tags such as `!Ref` mean nothing here; write the value out");
        }
        let tree = match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) => plain(text.into_owned()),
            Event::Scalar(text, ..) => Tree::Text(text.into_owned()),
            Event::SequenceStart(..) => self.list(depth)?,
            Event::MappingStart(..) => self.map(depth)?,
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                return Err(self.stop(pos, "YAML aliases (`*name`) are not supported; write the value out"));
            }
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::Anchor(..)
            | Event::SequenceEnd
            | Event::MappingEnd
            | _ => return Err(self.stop(pos, UNFINISHED)),
        };
        Ok(Node { tree, pos })
    }

    fn list(&mut self, depth: usize) -> Result<Tree, Stop> {
        let mut items = Vec::new();
        loop {
            let (event, pos) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Tree::List(items));
            }
            let outer = self.path.len();
            self.path.push_str(&format!("[{}]", items.len()));
            items.push(self.node(event, pos, depth + 1)?);
            self.path.truncate(outer);
        }
    }

    fn map(&mut self, depth: usize) -> Result<Tree, Stop> {
        let mut entries = Vec::new();
        let mut first_seen = BTreeMap::new();
        loop {
            let (event, key_pos) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Tree::Map(entries));
            }
            let key = self.key(event, key_pos)?;
            let outer = self.path.len();
            self.path = join(&self.path, &key);
            let (event, pos) = self.next()?;
            let value = self.node(event, pos, depth + 1)?;
            match first_seen.insert(key.clone(), key_pos) {
                None => entries.push(Entry { key, key_pos, value }),
                Some(before) => {
                    let message = format!("the field {} is already given{}", quoted(&key), before.suffix());
                    self.problems.add(&self.place(key_pos), message);
                }
            }
            self.path.truncate(outer);
        }
    }

    fn key(&mut self, event: Event<'t>, pos: Pos) -> Result<String, Stop> {
        let Event::Scalar(key, style, ..) = event else {
            return Err(self.stop(pos, "the name of a field is plain text, such as `weight`"));
        };
        if key.len() > KEY_BYTES_MAX {
            return Err(self.stop(pos, format!("the name of a field is at most {KEY_BYTES_MAX} bytes long")));
        }
        if key == "<<" && style == ScalarStyle::Plain {
            return Err(self.stop(pos, "YAML merge keys (`<<`) are not supported; write the fields out"));
        }
        Ok(key.into_owned())
    }

    fn next(&mut self) -> Result<(Event<'t>, Pos), Stop> {
        loop {
            let next = self.parser.next_event();
            let (event, span) = match next {
                Some(Ok(next)) => next,
                Some(Err(error)) => return Err(self.scan_error(&error)),
                None => return Err(self.stop((self.origin)(1, 1), UNFINISHED)),
            };
            if !matches!(event, Event::Anchor(..)) {
                return Ok((event, self.pos(&span.start)));
            }
        }
    }

    fn pos(&self, marker: &Marker) -> Pos {
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        (self.origin)(small(marker.line()).max(1), small(marker.col()).saturating_add(1))
    }

    fn place(&self, pos: Pos) -> Place {
        Place { path: self.path.clone(), pos }
    }

    fn stop(&self, pos: Pos, message: impl Into<String>) -> Stop {
        Stop { place: self.place(pos), message: message.into() }
    }

    fn scan_error(&self, error: &ScanError) -> Stop {
        let place = Place::whole(self.pos(error.marker()));
        Stop { place, message: format!("this is not YAML: {}", error.info()) }
    }
}

const UNFINISHED: &str = "this is not YAML: the document ends too early";
const EMPTY: &str = "the document is empty; a spec begins with `coalmine: v1`";

/// A plain scalar by YAML's core schema. (`yes`, `on` and `no` are text there.)
fn plain(text: String) -> Tree {
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => Tree::Null,
        "true" | "True" | "TRUE" => Tree::Bool(true),
        "false" | "False" | "FALSE" => Tree::Bool(false),
        _ => match number(&text) {
            Some(number) => Tree::Number(number, text),
            None => Tree::Text(text),
        },
    }
}

fn number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(Number::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok().map(Number::from);
    }
    // Rust would also read `inf` and `nan`, which are text here as in JSON.
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    if !numeric {
        return None;
    }
    if let Ok(unsigned) = text.parse::<u64>() {
        return Some(unsigned.into());
    }
    if let Ok(signed) = text.parse::<i64>() {
        return Some(signed.into());
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

/// `None` once `room` bytes are used up, or too deep.
fn copy(value: &Value, depth: usize, room: &mut usize) -> Option<Node> {
    // A node is never free: a list of a million nulls is large too.
    spend(room, 1)?;
    if depth > DEPTH_MAX {
        return None;
    }
    let tree = match value {
        Value::Null => Tree::Null,
        Value::Bool(flag) => Tree::Bool(*flag),
        Value::Number(number) => Tree::Number(number.clone(), number.to_string()),
        Value::String(text) => {
            spend(room, text.len())?;
            Tree::Text(text.clone())
        }
        Value::Array(items) => Tree::List(items.iter().map(|item| copy(item, depth + 1, room)).collect::<Option<_>>()?),
        Value::Object(fields) => {
            let mut entries = Vec::new();
            for (key, value) in fields {
                spend(room, key.len())?;
                let value = (key.len() <= KEY_BYTES_MAX).then(|| copy(value, depth + 1, room)).flatten()?;
                entries.push(Entry { key: key.clone(), key_pos: Pos::Nowhere, value });
            }
            Tree::Map(entries)
        }
    };
    Some(Node { tree, pos: Pos::Nowhere })
}

fn spend(room: &mut usize, bytes: usize) -> Option<()> {
    *room = room.checked_sub(bytes)?;
    Some(())
}
