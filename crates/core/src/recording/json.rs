//! One line's JSON as it was written, duplicates included, and what is said where it is not as it should be.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::spec::{Problem, field_hint};

/// A JSON value. Numbers are finite: JSON has no others, and those too large for a double are refused.
#[derive(Debug)]
pub enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
}

/// Fields of one object that are looked at: more are no recording.
const FIELDS_MAX: usize = 64;

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Json;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^53, and larger ones are refused as counts")]
    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    #[allow(clippy::cast_precision_loss, reason = "as above")]
    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Json::Map(fields))
    }
}

impl Json {
    /// As messages call it.
    fn describe(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => format!("{value}"),
            Self::Number(number) => format!("{number}"),
            Self::Text(text) if text.chars().count() <= 40 => format!("the text {text:?}"),
            Self::Text(_) => "a long text".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "an object".to_owned(),
        }
    }
}

/// A value and where it is.
#[derive(Debug, Clone, Copy)]
pub struct At<'j> {
    pub json: &'j Json,
    path: Path<'j>,
}

/// Paths are only written out when something is wrong.
#[derive(Debug, Clone, Copy)]
enum Path<'j> {
    Whole,
    Field(&'j str),
    Inner(&'j str, &'j str),
    Deep(&'j str, &'j str, &'j str),
    Deeper(&'j str, &'j str, &'j str, &'j str),
}

impl<'j> Path<'j> {
    /// A recording is four fields deep; below that, the path of the fourth says enough.
    fn field(self, name: &'j str) -> Self {
        match self {
            Self::Whole => Self::Field(name),
            Self::Field(a) => Self::Inner(a, name),
            Self::Inner(a, b) => Self::Deep(a, b, name),
            Self::Deep(a, b, c) | Self::Deeper(a, b, c, _) => Self::Deeper(a, b, c, name),
        }
    }
}

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Field(a) => write!(f, "{a}"),
            Self::Inner(a, b) => write!(f, "{a}.{b}"),
            Self::Deep(a, b, c) => write!(f, "{a}.{b}.{c}"),
            Self::Deeper(a, b, c, d) => write!(f, "{a}.{b}.{c}.{d}"),
        }
    }
}

/// A field that may not be there.
#[derive(Debug, Clone, Copy)]
pub struct Maybe<'j> {
    found: Option<At<'j>>,
    path: Path<'j>,
}

impl<'j> Maybe<'j> {
    /// `null` is as good as left out.
    pub fn optional(self) -> Option<At<'j>> {
        self.found.filter(|at| !matches!(at.json, Json::Null))
    }

    pub fn required(self, wanted: &str) -> Result<At<'j>, Problem> {
        self.optional().ok_or_else(|| Problem::at(self.path.to_string(), format!("is missing; write {wanted}")))
    }
}

impl<'j> At<'j> {
    pub fn whole(json: &'j Json) -> Self {
        Self { json, path: Path::Whole }
    }

    /// The fields of an object that has no others, each at most once.
    pub fn fields<const N: usize>(&self, known: [&'static str; N]) -> Result<[Maybe<'j>; N], Problem> {
        let fields = self.map()?;
        let mut found = known.map(|name| Maybe { found: None, path: self.path.field(name) });
        for (name, json) in fields {
            let Some(place) = known.iter().position(|known| known == name) else {
                let hint = field_hint(name, &known);
                return Err(Problem::at(
                    self.path.field(name).to_string(),
                    format!("is no field of a recording{hint}"),
                ));
            };
            let path = self.path.field(known[place]);
            if found[place].found.replace(At { json, path }).is_some() {
                return Err(Problem::at(path.to_string(), "is there twice; write it once"));
            }
        }
        Ok(found)
    }

    /// An object whose field names are the user's.
    pub fn named<T>(
        &self,
        read: impl Fn(&At<'j>) -> Result<T, Problem>,
    ) -> Result<std::collections::BTreeMap<String, T>, Problem> {
        let mut named = std::collections::BTreeMap::new();
        for (name, json) in self.map()? {
            let path = self.path.field(name);
            if named.insert(name.clone(), read(&At { json, path })?).is_some() {
                return Err(Problem::at(path.to_string(), "is there twice; write it once"));
            }
        }
        Ok(named)
    }

    fn map(&self) -> Result<&'j [(String, Json)], Problem> {
        match self.json {
            Json::Map(fields) if fields.len() <= FIELDS_MAX => Ok(fields),
            Json::Map(fields) => {
                Err(self.wrong(&format!("has {} fields; at most {FIELDS_MAX} are read", fields.len())))
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::List(_) => {
                Err(self.unlike("an object, {...}"))
            }
        }
    }

    pub fn list<T>(&self, read: impl Fn(&At<'j>) -> Result<T, Problem>) -> Result<Vec<T>, Problem> {
        match self.json {
            Json::List(items) => items.iter().map(|json| read(&At { json, path: self.path })).collect(),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::Map(_) => {
                Err(self.unlike("a list, [...]"))
            }
        }
    }

    pub fn number(&self, wanted: &str) -> Result<f64, Problem> {
        match self.json {
            Json::Number(number) => Ok(*number),
            Json::Null | Json::Bool(_) | Json::Text(_) | Json::List(_) | Json::Map(_) => Err(self.unlike(wanted)),
        }
    }

    pub fn text(&self, wanted: &str) -> Result<&'j str, Problem> {
        match self.json {
            Json::Text(text) => Ok(text),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::List(_) | Json::Map(_) => Err(self.unlike(wanted)),
        }
    }

    pub fn wrong(&self, message: &str) -> Problem {
        Problem::at(self.path.to_string(), message)
    }

    /// Something about a field of this object.
    pub fn inside(&self, field: &'static str, message: &str) -> Problem {
        Problem::at(self.path.field(field).to_string(), message)
    }

    /// Another kind of value was expected.
    pub fn unlike(&self, wanted: &str) -> Problem {
        self.wrong(&format!("expected {wanted}, found {}", self.json.describe()))
    }
}
