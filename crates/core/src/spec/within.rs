//! A spec within a document of another service, which says a part of it by itself.

use serde_json::Value;

use super::parse::{finish_for, merge};
use super::problems::{Place, Pos, Problems};
use super::tree::{Node, Tree};
use super::{Problem, Validated};

/// The spec of which `own` says what `given` does not: a text, or fields whose values may all be texts, as CloudFormation
/// makes them. Of `refused`, the fields that it must not have, each is told with who says it.
///
/// # Errors
///
/// All problems at once.
pub fn within(own: Option<&Value>, given: &Value, refused: &[(&str, &str)]) -> Result<Validated, Vec<Problem>> {
    let mut problems = Problems::default();
    let given = Node::from_value(given, &mut problems);
    let own = match own {
        None => return finish_for(given, None, problems),
        Some(Value::String(text)) => Node::from_text(text, Pos::Text, &mut problems),
        Some(fields) => Node::from_value(fields, &mut problems).map(Node::unquoted),
    };
    if let Some(Node { tree: Tree::Map(fields), pos }) = &own {
        for field in fields {
            if let Some((_, who)) = refused.iter().find(|(name, _)| *name == field.key) {
                let place = Place::whole(*pos).field(&field.key, field.key_pos);
                problems.add(&place, format!("{who}; leave it out"));
            }
        }
    }
    let merged = own.zip(given).map(|(own, given)| merge(own, given));
    finish_for(merged, None, problems)
}
