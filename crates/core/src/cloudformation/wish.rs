//! The properties of a `Custom::Rollout`. CloudFormation makes a text of every number and flag.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::spec::{self, Mode, Problem, Validated, Version};
use crate::text;
use crate::units::Span;

/// What a resource may say. What `Triggers` has is not looked at: a change of it has the resource asked again.
pub const PROPERTIES: [&str; 8] =
    ["Function", "Alias", "Version", "Wait", "Spec", "Triggers", "ServiceToken", "ServiceTimeout"];

/// CloudFormation's own limit for a custom resource, and what it waits by default.
pub const LONGEST_TIMEOUT: Span = Span::from_minutes(60);
/// A rollout's first proof takes longer than this.
const SHORTEST_TIMEOUT: Span = Span::from_minutes(10);

/// Kept of the time that CloudFormation waits, for an answer that has to be sent again; of a short time a quarter.
const LEFT_FOR_SENDING: Span = Span::from_minutes(5);

/// A spec is a page or two. It is kept beside the request, in an item of 400 KB at most.
const SPEC_BYTES_MAX: usize = 64 * 1024;

/// What the stack says itself, so that a spec in it must not.
const GIVEN: [(&str, &str); 3] = [
    ("target", "`Function` and `Alias` say it"),
    ("version", "`Version` says it"),
    ("name", "a rollout of a stack is named after its function and version"),
];

/// What a stack wants: a version behind an alias.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wish {
    pub function: String,
    pub alias: String,
    pub version: Version,
    /// Whether the stack waits for the verdict.
    pub waits: bool,
    /// How long CloudFormation waits for an answer.
    pub timeout: Span,
    /// The spec without what the stack says: a text, or fields whose values are all texts.
    pub spec: Option<Value>,
    /// A digest of `Triggers`, empty where there are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub triggers: String,
}

impl Wish {
    /// What can be read of properties that may be wrong: which version behind which alias, and what else the alias has.
    #[must_use]
    pub fn outline(properties: &Value) -> Option<Self> {
        let kept = ["Function", "Alias", "Version", "Triggers"].into_iter();
        let kept = kept.filter_map(|name| Some((name.to_owned(), properties.get(name)?.clone())));
        Self::read(&Value::Object(kept.collect())).ok()
    }

    /// # Errors
    /// Everything that is wrong with the properties, each with its name.
    pub fn read(properties: &Value) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut reader =
            Reader { fields: properties.as_object().cloned().unwrap_or_default(), problems: &mut problems };
        reader.check_names();
        let function = reader.required("Function", "the function's name or ARN", function_name);
        let alias = reader.required("Alias", "the alias' name", alias_name);
        let version = reader.required("Version", "the number of a published version", version_number);
        let waits = reader.optional("Wait", flag).unwrap_or(false);
        let timeout = reader.optional("ServiceTimeout", seconds).unwrap_or(LONGEST_TIMEOUT);
        if waits && timeout < SHORTEST_TIMEOUT {
            let message = format!("no verdict comes within {timeout}; with `Wait` it is {SHORTEST_TIMEOUT} at least");
            reader.problems.push(Problem::at("ServiceTimeout", message));
        }
        let spec = reader.spec();
        let triggers = reader.fields.get("Triggers").map(digest).unwrap_or_default();
        let (Some(function), Some(alias), Some(version)) = (function, alias, version) else { return Err(problems) };
        let wish = Self { function, alias, version, waits, timeout, spec, triggers };
        if !problems.is_empty() {
            return Err(problems);
        }
        let steps = wish.spec(None)?.spec.steps;
        let shortest = steps.iter().fold(Span::ZERO, |sum, step| sum.plus(step.bake));
        if waits && shortest > wish.waited() {
            let message = format!(
                "the steps take {shortest} at least, and with this `ServiceTimeout` a stack waits for {}; use shorter steps, or \
                 `Wait: false`",
                wish.waited()
            );
            return Err(vec![Problem::at("Wait", message)]);
        }
        Ok(wish)
    }

    /// How long a stack is let wait for a verdict.
    #[must_use]
    pub fn waited(&self) -> Span {
        let quarter = Span::from_seconds(self.timeout.seconds() / 4);
        self.timeout.minus(LEFT_FOR_SENDING.min(quarter))
    }

    /// `checkout:live`
    #[must_use]
    pub fn target(&self) -> String {
        format!("{}:{}", self.function, self.alias)
    }

    /// The name of the rollout: `checkout-42`, or `checkout-42-8d3fa1c0` for the request where that one is taken.
    #[must_use]
    pub fn rollout_id(&self, request: Option<&str>) -> String {
        // 32-bit FNV-1a: of a version's few requests no two are taken for one another.
        let add = |digest: u32, byte: u8| (digest ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let digest = request.map(|request| format!("-{:08x}", request.bytes().fold(0x811c_9dc5, add)));
        let rest = format!("-{}{}", self.version.0, digest.unwrap_or_default());
        let function: String = self.function.chars().take(spec::NAME_CHARS_MAX - rest.len()).collect();
        format!("{function}{rest}")
    }

    /// The spec of the rollout that the stack asks for.
    ///
    /// # Errors
    /// Everything that is wrong with it, with paths that begin with `Spec`.
    pub fn spec(&self, name: Option<&str>) -> Result<Validated, Vec<Problem>> {
        let mut given = json!({
            "coalmine": "v1",
            "target": { "lambda": { "function": self.function, "alias": self.alias } },
            "version": self.version.0,
        });
        if let Some(name) = name {
            given["name"] = name.into();
        }
        let inside = |mut problem: Problem| {
            problem.path = if problem.path.is_empty() { "Spec".to_owned() } else { format!("Spec.{}", problem.path) };
            problem
        };
        let validated = spec::within(self.spec.as_ref(), &given, &GIVEN)
            .map_err(|problems| problems.into_iter().map(inside).collect::<Vec<_>>())?;
        if validated.spec.mode == Mode::Observe {
            let message = "with `mode: observe` the new version would never go live; leave the Custom::Rollout out to watch a \
                           stack's releases";
            return Err(vec![Problem::at("Spec.mode", message)]);
        }
        Ok(validated)
    }
}

struct Reader<'a> {
    fields: Map<String, Value>,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn check_names(&mut self) {
        for name in self.fields.keys().filter(|name| !PROPERTIES.contains(&name.as_str())) {
            self.problems
                .push(Problem::at(name.clone(), format!("is no property of a Custom::Rollout{}", meant(name))));
        }
    }

    fn required<T>(&mut self, name: &str, what: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        if !self.fields.contains_key(name) {
            self.problems.push(Problem::at(name, format!("is missing; it is {what}")));
        }
        self.optional(name, parse)
    }

    fn optional<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let parsed = match self.fields.get(name)? {
            Value::String(text) => parse(text),
            value @ (Value::Bool(_) | Value::Number(_)) => parse(&value.to_string()),
            Value::Null => Err("has no value".to_owned()),
            Value::Array(_) => Err("is a list where a text is expected".to_owned()),
            Value::Object(_) => Err("is a mapping where a text is expected".to_owned()),
        };
        parsed.map_err(|wrong| self.problems.push(Problem::at(name, wrong))).ok()
    }

    fn spec(&mut self) -> Option<Value> {
        let spec = self.fields.get("Spec")?.clone();
        let wrong = match &spec {
            Value::String(_) | Value::Object(_) if spec.to_string().len() > SPEC_BYTES_MAX => {
                format!("has {} bytes; at most {SPEC_BYTES_MAX} are read", spec.to_string().len())
            }
            Value::String(_) | Value::Object(_) => return Some(spec),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                "is neither the text of a spec nor its fields".to_owned()
            }
        };
        self.problems.push(Problem::at("Spec", wrong));
        None
    }
}

/// 64-bit FNV-1a: of one alias' few changes no two are taken for one another.
fn digest(value: &Value) -> String {
    let add = |digest: u64, byte: u8| (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", value.to_string().bytes().fold(0xcbf2_9ce4_8422_2325, add))
}

fn meant(name: &str) -> String {
    let near = PROPERTIES.iter().filter(|known| name.len() < 64 && strsim::damerau_levenshtein(name, known) <= 2);
    match near.min_by_key(|known| strsim::damerau_levenshtein(name, known)) {
        Some(known) => format!("; did you mean `{known}`?"),
        None => format!("; it has {}", PROPERTIES[..6].join(", ")),
    }
}

fn told(text: &str) -> String {
    format!("`{}`", text::shown(text, 100))
}

/// What follows `function:` in an ARN.
fn in_arn(text: &str) -> Option<&str> {
    text.starts_with("arn:").then(|| text.splitn(7, ':').nth(6)).flatten()
}

fn function_name(text: &str) -> Result<String, String> {
    let name = in_arn(text).map_or(text, |rest| rest.split(':').next().unwrap_or(rest));
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    match (1..=64).contains(&name.len()) && name.chars().all(allowed) {
        true => Ok(name.to_owned()),
        false => Err(format!("{} is not a function's name or ARN; use the Ref of the function", told(text))),
    }
}

fn alias_name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let number = text.bytes().all(|b| b.is_ascii_digit());
    match (1..=128).contains(&text.len()) && text.chars().all(allowed) && !number {
        true => Ok(text.to_owned()),
        false => Err(format!("{} is not an alias' name; write it without the function: live", told(text))),
    }
}

/// The Ref of a version is its ARN.
fn version_number(text: &str) -> Result<Version, String> {
    let number = in_arn(text).map_or(text, |rest| rest.split_once(':').map_or("", |(_, qualifier)| qualifier));
    match (1..=18).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0') {
        true => Ok(Version(number.to_owned())),
        false => {
            Err(format!("{} is not the number of a published version; use the attribute `Version` of one", told(text)))
        }
    }
}

fn flag(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(format!("{} is neither true nor false", told(other))),
    }
}

fn seconds(text: &str) -> Result<Span, String> {
    let span = text
        .parse()
        .ok()
        .map(Span::from_seconds)
        .filter(|span| (Span::from_seconds(1)..=LONGEST_TIMEOUT).contains(span));
    span.ok_or_else(|| format!("{} is not a number of seconds from 1 to 3600", told(text)))
}
