//! From the untyped tree to typed fields, without stopping at the first problem.
//!
//! What cannot be read becomes a [`Problem`](super::Problem) and a hole (`None`); whatever comes later works with the
//! rest, so that one look shows everything that is wrong.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use super::problems::{Place, Problems, quoted};
use super::suggest;
use super::tree::{Entry, Node, Tree};

/// Reads itself from a node. `None` after a problem was added.
pub trait Decode: Sized {
    fn decode(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self>;
}

/// A field that was written, with its place. `value` is `None` when it was wrong, which is then already reported.
#[derive(Debug, Clone)]
pub struct At<T> {
    pub place: Place,
    pub value: Option<T>,
}

impl<T: Decode> At<T> {
    pub fn read(node: &Node, place: Place, problems: &mut Problems) -> Self {
        let value = T::decode(node, &place, problems);
        Self { place, value }
    }
}

/// What was written under a field, `None` when nothing or nothing usable was.
pub fn value<T>(field: Option<At<T>>) -> Option<T> {
    field.and_then(|at| at.value)
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A list of at most `MAX` items, more than which is one problem and nothing is read.
#[derive(Debug, Clone)]
pub struct List<T, const MAX: usize>(pub Vec<At<T>>);

impl<T: Decode, const MAX: usize> Decode for List<T, MAX> {
    fn decode(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        let Tree::List(items) = &node.tree else {
            problems.add(place, format!("expected a list, found {}", node.describe()));
            return None;
        };
        if items.len() > MAX {
            problems.add(place, format!("has {} items; at most {MAX} are allowed", items.len()));
            return None;
        }
        let read = |(index, item): (usize, &Node)| At::read(item, place.item(index, item.pos), problems);
        Some(Self(items.iter().enumerate().map(read).collect()))
    }
}

impl<T: JsonSchema, const MAX: usize> JsonSchema for List<T, MAX> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("list of {}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": "array", "items": generator.subschema_for::<T>(), "maxItems": MAX})
    }
}

/// One item, or a list of at most `MAX`.
#[derive(Debug, Clone)]
pub struct OneOrMore<T, const MAX: usize>(pub Vec<At<T>>);

impl<T: Decode, const MAX: usize> Decode for OneOrMore<T, MAX> {
    fn decode(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        match &node.tree {
            Tree::List(_) => List::<T, MAX>::decode(node, place, problems).map(|list| Self(list.0)),
            Tree::Null | Tree::Bool(_) | Tree::Number(..) | Tree::Text(_) | Tree::Map(_) => {
                Some(Self(vec![At::read(node, place.clone(), problems)]))
            }
        }
    }
}

impl<T: JsonSchema, const MAX: usize> JsonSchema for OneOrMore<T, MAX> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("one or more of {}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        let more = generator.subschema_for::<List<T, MAX>>();
        schemars::json_schema!({"anyOf": [one, more]})
    }
}

/// A mapping with names of the user's own, such as a metric's dimensions.
#[derive(Debug, Clone)]
pub struct Table<T, const MAX: usize>(pub BTreeMap<String, At<T>>);

impl<T: Decode, const MAX: usize> Decode for Table<T, MAX> {
    fn decode(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        let entries = mapping(node, place, problems)?;
        if entries.len() > MAX {
            problems.add(place, format!("has {} entries; at most {MAX} are allowed", entries.len()));
            return None;
        }
        let mut table = BTreeMap::new();
        for entry in entries {
            let at = At::read(&entry.value, place.field(&entry.key, entry.value.pos), problems);
            table.insert(entry.key.clone(), at);
        }
        Some(Self(table))
    }
}

impl<T: JsonSchema, const MAX: usize> JsonSchema for Table<T, MAX> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("table of {}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        schemars::json_schema!({"type": "object", "additionalProperties": item, "maxProperties": MAX})
    }
}

/// Any JSON value.
impl Decode for Value {
    fn decode(node: &Node, _: &Place, _: &mut Problems) -> Option<Self> {
        Some(node.to_value())
    }
}

/// Yes or no.
impl Decode for bool {
    fn decode(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        let Tree::Bool(value) = &node.tree else {
            problems.add(place, format!("expected `true` or `false`, found {}", node.describe()));
            return None;
        };
        Some(*value)
    }
}

/// A value that is written as one word or text.
pub trait Leaf: Sized {
    /// Whether a number is as good as the same number in quotes: versions, and commits of digits only.
    const TAKES_NUMBERS: bool = false;
    /// What it is and an example: ``a weight such as `5%` ``.
    const WHAT: &'static str;

    /// What is wrong with `text`, and what would be right.
    fn read(text: &str) -> Result<Self, String>;
}

impl<T: Leaf> Decode for T {
    fn decode(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        let read = match &node.tree {
            Tree::Text(text) => Self::read(text),
            Tree::Number(_, written) => Self::read(written).and_then(|read| match Self::TAKES_NUMBERS {
                true => Ok(read),
                false => Err(format!("expected {}; put `\"{written}\"` in quotes", Self::WHAT)),
            }),
            Tree::Null => Err(format!("has no value; write {} or leave the field out", Self::WHAT)),
            Tree::Bool(_) | Tree::List(_) | Tree::Map(_) => {
                Err(format!("expected {}, found {}", Self::WHAT, node.describe()))
            }
        };
        read.map_err(|message| problems.add(place, message)).ok()
    }
}

/// The entries of a mapping.
pub fn mapping<'n>(node: &'n Node, place: &Place, problems: &mut Problems) -> Option<&'n [Entry]> {
    if let Tree::Map(entries) = &node.tree {
        return Some(entries);
    }
    problems.add(place, format!("expected a mapping (`field: value`), found {}", node.describe()));
    None
}

/// What a struct of the language is made of; written by the `fields!` macro.
pub struct FieldSpec {
    pub name: String,
    pub required: bool,
}

/// Reads the fields of one mapping.
pub struct Fields<'n> {
    entries: &'n [Entry],
    place: &'n Place,
}

impl<'n> Fields<'n> {
    /// Reports fields that are unknown, and required ones that are not there. `refused` has the fields that exist, but
    /// not here or not yet, and what to say about each.
    pub fn open(
        node: &'n Node,
        place: &'n Place,
        known: &[FieldSpec],
        refused: &[(&str, &str)],
        problems: &mut Problems,
    ) -> Option<Self> {
        let entries = mapping(node, place, problems)?;
        let names: Vec<&str> = known.iter().map(|field| field.name.as_str()).collect();
        for entry in entries.iter().filter(|entry| !names.contains(&entry.key.as_str())) {
            let at = place.field(&entry.key, entry.key_pos);
            match refused.iter().find(|(key, _)| *key == entry.key) {
                Some((_, message)) => problems.add_stray(place, &at, *message),
                None => {
                    let hint = suggest::hint(&entry.key, &names);
                    problems.add_stray(place, &at, format!("unknown field {}{hint}", quoted(&entry.key)));
                }
            }
        }
        for field in known.iter().filter(|field| field.required) {
            if !entries.iter().any(|entry| entry.key == field.name) {
                problems.add(place, format!("the field `{}` is missing", field.name));
            }
        }
        Some(Self { entries, place })
    }

    pub fn read<T: Decode>(&self, name: &str, problems: &mut Problems) -> Option<At<T>> {
        let entry = self.entries.iter().find(|entry| entry.key == name)?;
        // A list or mapping is found by its name; a single value is what one looks for.
        let pos = match entry.value.tree {
            Tree::List(_) | Tree::Map(_) | Tree::Null => entry.key_pos,
            Tree::Bool(_) | Tree::Number(..) | Tree::Text(_) => entry.value.pos,
        };
        Some(At::read(&entry.value, self.place.field(name, pos), problems))
    }
}

/// `at_most` is `atMost` in the language, as schemars makes it; `r#for` is `for`.
pub fn camel_case(field: &str) -> String {
    let mut words = field.trim_start_matches("r#").split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        name + &initial.to_ascii_uppercase() + rest
    })
}

/// Declares a mapping of the language: from one list of fields come the struct, its JSON Schema and its parser, so
/// that they cannot differ.
macro_rules! fields {
    (
        $(#[$meta:meta])*
        $name:ident $(refusing [$($refused:literal => $why:literal),+ $(,)?])? {
            $( $(#[$doc:meta])* $field:ident: $type:ty $([$required:ident])? ,)*
        }
    ) => {
        #[derive(Debug, Clone, schemars::JsonSchema)]
        #[schemars(rename_all = "camelCase", deny_unknown_fields)]
        $(#[$meta])*
        pub struct $name {
            $( $(#[$doc])* $(#[schemars($required)])? pub $field: Option<$crate::spec::decode::At<$type>>, )*
        }

        impl $name {
            pub fn known() -> Vec<$crate::spec::decode::FieldSpec> {
                vec![$($crate::spec::decode::FieldSpec {
                    name: $crate::spec::decode::camel_case(stringify!($field)),
                    required: [$(stringify!($required))?].contains(&"required"),
                }),*]
            }
        }

        impl $crate::spec::decode::Decode for $name {
            fn decode(
                node: &$crate::spec::tree::Node,
                place: &$crate::spec::problems::Place,
                problems: &mut $crate::spec::problems::Problems,
            ) -> Option<Self> {
                let refused: &[(&str, &str)] = &[$($(($refused, $why)),+)?];
                let fields = $crate::spec::decode::Fields::open(node, place, &Self::known(), refused, problems)?;
                Some(Self {
                    $($field: fields.read(&$crate::spec::decode::camel_case(stringify!($field)), problems),)*
                })
            }
        }
    };
}
pub(crate) use fields;
