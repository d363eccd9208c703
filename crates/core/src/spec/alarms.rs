//! Alarms are a plain list of names, or a mapping that says more about them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::decode::{Decode, List};
use super::leaves::AlarmName;
use super::problems::{Place, Problems};
use super::raw::{ALARMS_MAX, RawAlarmRules};
use super::tree::{Node, Tree};

/// `[a, b]` means the same as `{names: [a, b]}`.
#[derive(Debug, Clone)]
pub struct RawAlarms(pub RawAlarmRules);

type Names = List<AlarmName, ALARMS_MAX>;

impl Decode for RawAlarms {
    fn decode(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        match &node.tree {
            Tree::List(_) => {
                let names = super::decode::At::read(node, place.clone(), problems);
                Some(Self(RawAlarmRules { names: Some(names), already_red: None }))
            }
            Tree::Map(_) => RawAlarmRules::decode(node, place, problems).map(Self),
            Tree::Null | Tree::Bool(_) | Tree::Number(..) | Tree::Text(_) => {
                let message =
                    format!("expected a list of alarm names such as `[checkout-5xx]`, found {}", node.describe());
                problems.add(place, message);
                None
            }
        }
    }
}

impl JsonSchema for RawAlarms {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "RawAlarms".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let names = generator.subschema_for::<Names>();
        let rules = generator.subschema_for::<RawAlarmRules>();
        schemars::json_schema!({"anyOf": [names, rules]})
    }
}
