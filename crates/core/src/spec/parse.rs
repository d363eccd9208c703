//! From a text or a JSON value to a [`RolloutSpec`], or to everything that is wrong with it.

use serde_json::Value;

use super::decode::{At, Decode};
use super::leaves::Language;
use super::problems::{Place, Pos, Problems};
use super::raw::RawSpec;
use super::tree::{Node, Tree};
use super::{Problem, RolloutSpec, validate};
use crate::deployment::Deployment;

/// A spec that may be carried out, and what its author should know all the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Validated {
    pub spec: RolloutSpec,
    pub warnings: Vec<Problem>,
}

/// Reads a YAML or JSON text.
///
/// # Errors
///
/// All problems at once, in the order of the text.
pub fn parse(text: &str) -> Result<Validated, Vec<Problem>> {
    parse_with_defaults(text, None)
}

/// The same with an account's defaults merged under the spec: mappings are merged field by field; of everything else,
/// and of `strategy` as a whole, the spec's own replaces the default.
///
/// # Errors
///
/// All problems of both at once.
pub fn parse_with_defaults(text: &str, defaults: Option<&str>) -> Result<Validated, Vec<Problem>> {
    let mut problems = Problems::default();
    let spec = Node::from_text(text, Pos::Text, &mut problems);
    let defaults = defaults.and_then(|text| read_defaults(text, &mut problems));
    let merged = match (spec, defaults) {
        (Some(spec), Some(defaults)) => Some(merge(spec, defaults)),
        (spec, _) => spec,
    };
    finish(merged, problems)
}

/// Reads a value that has no text, such as a command's `spec` field: the same paths and messages without lines.
///
/// # Errors
///
/// All problems at once.
pub fn from_value(value: &Value) -> Result<Validated, Vec<Problem>> {
    let mut problems = Problems::default();
    let node = Node::from_value(value, &mut problems);
    finish(node, problems)
}

fn finish(node: Option<Node>, problems: Problems) -> Result<Validated, Vec<Problem>> {
    finish_for(node, None, problems)
}

/// With a deployment the steps are those of its own timetable.
pub(super) fn finish_for(
    node: Option<Node>,
    deployment: Option<&Deployment>,
    mut problems: Problems,
) -> Result<Validated, Vec<Problem>> {
    let Some(node) = node else { return Err(problems.into_sorted()) };
    let whole = Place::whole(node.pos);
    let raw = RawSpec::decode(&node, &whole, &mut problems);
    let lowered = raw.map(|raw| validate::lower(raw, deployment, &whole, &mut problems));
    match lowered {
        Some(spec) if problems.is_empty() => Ok(Validated { spec, warnings: problems.take_warnings() }),
        Some(_) | None => Err(problems.into_sorted()),
    }
}

/// A spec inside another document, with problems at their places there. Means nothing as long as there are problems.
pub(crate) fn inside(node: &Node, place: &Place, problems: &mut Problems) -> Option<RolloutSpec> {
    let raw = RawSpec::decode(node, place, problems)?;
    Some(validate::lower(raw, None, place, problems))
}

fn read_defaults(text: &str, problems: &mut Problems) -> Option<Node> {
    let node = Node::from_text(text, Pos::Defaults, problems)?;
    let Tree::Map(entries) = &node.tree else {
        problems
            .add(&Place::whole(node.pos), format!("expected a mapping (`field: value`), found {}", node.describe()));
        return None;
    };
    for entry in entries {
        let place = Place::whole(entry.key_pos).field(&entry.key, entry.key_pos);
        match entry.key.as_str() {
            // The spec's own `coalmine` would hide a wrong one.
            "coalmine" => {
                let place = Place { pos: entry.value.pos, ..place };
                At::<Language>::read(&entry.value, place, problems);
            }
            "name" | "version" => problems.add(&place, "belongs to one rollout and cannot be an account's default"),
            _ => {}
        }
    }
    Some(node)
}

/// `over` wins, field by field.
pub(super) fn merge(over: Node, under: Node) -> Node {
    match (over.tree, under.tree) {
        (Tree::Map(mut fields), Tree::Map(defaults)) => {
            for default in defaults {
                match fields.iter_mut().find(|field| field.key == default.key) {
                    None => fields.push(default),
                    // Two halves of two strategies are no strategy.
                    Some(field) if field.key == "strategy" => {}
                    Some(field) => field.value = merge(field.value.clone(), default.value),
                }
            }
            Node { tree: Tree::Map(fields), pos: over.pos }
        }
        (tree, _) => Node { tree, pos: over.pos },
    }
}
