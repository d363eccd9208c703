//! The single values of the language: how each is written, what it may be, and what to say when it is not.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::value::StrDeserializer;

use super::decode::Leaf;
use super::problems::quoted;
use super::{
    Advance, AlreadyRed, CheckMode, Ending, GuardMode, Independence, Margins, Mode, Newer, OnNoData, Owner, Quantile,
    Settle, Stickiness, Tolerance, suggest,
};
use crate::text::is_harmful;
use crate::units::{Span, Weight, parse_decimal};

/// Longest rollout or check name.
pub const NAME_CHARS_MAX: usize = 64;
/// Lambda's limit for function names.
const FUNCTION_CHARS_MAX: usize = 64;
/// Lambda's limit for alias names.
const ALIAS_CHARS_MAX: usize = 128;
/// CloudWatch's limit for alarm, metric and dimension names.
const CLOUDWATCH_CHARS_MAX: usize = 255;
/// Labels are shown in one line.
const LABEL_CHARS_MAX: usize = 200;
/// A unit stands behind a number in a sentence.
const UNIT_CHARS_MAX: usize = 16;
/// No weight, duration or percentage is longer.
const QUANTITY_CHARS_MAX: usize = 40;
/// Latency that is not judged for longer than that after each raise is not judged.
const WARM_UP_MAX: Span = Span::from_minutes(30);
/// Twenty invocations still end within one tick.
const TIMES_MAX: u32 = 20;
/// Who may lose more has no use for a budget.
const HARM_MAX: u32 = 1_000_000;

/// A text with rules of its own.
macro_rules! text_leaf {
    ($(#[$meta:meta])* $name:ident($inner:ty)) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name(pub $inner);
    };
}

pub(crate) use text_leaf;

text_leaf!(
    /// The version of the language.
    Language(())
);
text_leaf!(
    /// A rollout's or check's name.
    Name(String)
);
text_leaf!(
    /// A Lambda function's plain name.
    FunctionName(String)
);
text_leaf!(
    /// An alias of a Lambda function.
    AliasName(String)
);
text_leaf!(
    /// The number of a published Lambda version.
    PublishedVersion(String)
);
text_leaf!(
    /// A free label.
    Label(String)
);
text_leaf!(
    /// A CloudWatch alarm.
    AlarmName(String)
);
text_leaf!(
    /// A CloudWatch namespace, metric or dimension value.
    MetricText(String)
);
text_leaf!(
    /// An error probability, as a share.
    Percent(f64)
);
text_leaf!(
    /// A tolerated slow-down, as a share.
    Slower(f64)
);
text_leaf!(
    /// How many requests may fail.
    FailedRequests(u32)
);
text_leaf!(
    /// How long environments take to warm up; `None` for `auto`.
    WarmUpTime(Option<Span>)
);
text_leaf!(
    /// How often a test is run.
    Times(u32)
);
text_leaf!(
    /// What a distribution's values are.
    Unit(String)
);
text_leaf!(
    /// How many times as many events are no harm yet.
    HarmRatio(f64)
);

impl Leaf for Language {
    const WHAT: &'static str = "`v1`";

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "v1" => Ok(Self(())),
            _ => Err(format!("unknown version {} of the spec language; this Coalmine knows `v1`", quoted(text))),
        }
    }
}

impl Leaf for Name {
    const WHAT: &'static str = "a name";

    fn read(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        match (1..=NAME_CHARS_MAX).contains(&text.len()) && text.chars().all(allowed) {
            true => Ok(Self(text.to_owned())),
            false => Err(format!(
                "{} is not a name; use 1 to {NAME_CHARS_MAX} letters, digits, `.`, `_` and `-`",
                quoted(text)
            )),
        }
    }
}

impl Leaf for FunctionName {
    const WHAT: &'static str = "a function's name";

    fn read(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if (1..=FUNCTION_CHARS_MAX).contains(&text.len()) && text.chars().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        if text.starts_with("arn:") {
            // arn:PARTITION:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]
            let name = text.split(':').nth(6).unwrap_or("checkout");
            return Err(format!("is an ARN; write the function's plain name: {}", quoted(name)));
        }
        if let Some((name, qualifier)) = text.split_once(':') {
            return Err(format!(
                "{} names the alias too; write `function: {}` and `alias: {}`",
                quoted(text),
                quoted(name).trim_matches('`'),
                quoted(qualifier).trim_matches('`'),
            ));
        }
        Err(format!(
            "{} is not a function's name; use its 1 to {FUNCTION_CHARS_MAX} letters, digits, `-` and `_`",
            quoted(text)
        ))
    }
}

impl Leaf for AliasName {
    const WHAT: &'static str = "an alias";

    fn read(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if text.starts_with("$LATEST") {
            return Err(format!("{} is no alias and takes no weights; make an alias such as `live`", quoted(text)));
        }
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!("{} is a version, not an alias; write an alias such as `live`", quoted(text)));
        }
        match (1..=ALIAS_CHARS_MAX).contains(&text.len()) && text.chars().all(allowed) {
            true => Ok(Self(text.to_owned())),
            false => Err(format!(
                "{} is not an alias; use its 1 to {ALIAS_CHARS_MAX} letters, digits, `-` and `_`",
                quoted(text)
            )),
        }
    }
}

impl Leaf for PublishedVersion {
    const TAKES_NUMBERS: bool = true;
    const WHAT: &'static str = "a published version such as `\"42\"`";

    fn read(text: &str) -> Result<Self, String> {
        if text.starts_with("$LATEST") {
            return Err(format!(
                "{} cannot be rolled out: an alias with weights needs published versions; publish one and write its \
                 number",
                quoted(text)
            ));
        }
        let number = !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
        match number && !text.starts_with('0') {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("{} is not a published version; write its number, such as `\"42\"`", quoted(text))),
        }
    }
}

impl Leaf for Label {
    const TAKES_NUMBERS: bool = true;
    const WHAT: &'static str = "a text";

    fn read(text: &str) -> Result<Self, String> {
        plain_text(text, 0, LABEL_CHARS_MAX).map(Self)
    }
}

impl Leaf for AlarmName {
    const WHAT: &'static str = "an alarm's name";

    fn read(text: &str) -> Result<Self, String> {
        if text.starts_with("arn:") {
            // arn:PARTITION:cloudwatch:REGION:ACCOUNT:alarm:NAME
            let name = text.splitn(7, ':').nth(6).unwrap_or("checkout-5xx");
            return Err(format!("is an ARN; write the alarm's name: {}", quoted(name)));
        }
        plain_text(text, 1, CLOUDWATCH_CHARS_MAX).map(Self)
    }
}

impl Leaf for MetricText {
    const WHAT: &'static str = "a text";

    fn read(text: &str) -> Result<Self, String> {
        plain_text(text, 1, CLOUDWATCH_CHARS_MAX).map(Self)
    }
}

pub(crate) fn plain_text(text: &str, least: usize, most: usize) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err(format!("{} has control characters; write it in one line of plain text", quoted(text)));
    }
    if text.chars().any(is_harmful) {
        let what = "characters that are not shown and change how others are";
        return Err(format!("{} has {what}; write it in one line of plain text", quoted(text)));
    }
    let chars = text.chars().count();
    match chars {
        0 if least > 0 => Err("is empty; write a text or leave the field out".to_owned()),
        _ if chars > most => Err(format!("has {chars} characters; at most {most} are allowed")),
        _ => Ok(text.to_owned()),
    }
}

impl Leaf for Weight {
    const WHAT: &'static str = "a percentage such as `5%`";

    fn read(text: &str) -> Result<Self, String> {
        quantity(text, Self::WHAT, str::parse)
    }
}

impl Leaf for Span {
    const WHAT: &'static str = "a duration such as `5m`";

    fn read(text: &str) -> Result<Self, String> {
        quantity(text, Self::WHAT, str::parse)
    }
}

impl Leaf for WarmUpTime {
    const WHAT: &'static str = "`auto` or a duration such as `2m`";

    fn read(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self(None));
        }
        let span = quantity(text, Self::WHAT, str::parse::<Span>)?;
        match span <= WARM_UP_MAX {
            true => Ok(Self(Some(span))),
            false => Err(format!("{} is out of range; at most {WARM_UP_MAX}", quoted(text))),
        }
    }
}

/// The unit's own message repeats the text, so it must be short and plain.
pub(crate) fn quantity<T, E: ToString>(text: &str, what: &str, parse: fn(&str) -> Result<T, E>) -> Result<T, String> {
    if text.len() > QUANTITY_CHARS_MAX || text.chars().any(is_harmful) {
        return Err(format!("{} is not {what}", quoted(text)));
    }
    parse(text).map_err(|error| error.to_string())
}

impl Leaf for Percent {
    const WHAT: &'static str = "a percentage such as `1%`";

    fn read(text: &str) -> Result<Self, String> {
        let percent = percent(text).ok_or_else(|| format!("{} is not {}", quoted(text), Self::WHAT))?;
        match (0.01..=20.0).contains(&percent) {
            true => Ok(Self(percent / 100.0)),
            false => Err(format!("{} is out of range; an error probability is between 0.01% and 20%", quoted(text))),
        }
    }
}

impl Leaf for Slower {
    const WHAT: &'static str = "a percentage such as `5%`";

    fn read(text: &str) -> Result<Self, String> {
        let percent = percent(text).ok_or_else(|| format!("{} is not {}", quoted(text), Self::WHAT))?;
        match percent > 0.0 && percent <= 1000.0 {
            true => Ok(Self(percent / 100.0)),
            false => Err(format!("{} is out of range; write more than 0% and at most 1000%", quoted(text))),
        }
    }
}

/// At most four decimals, so that every value has a short form again.
pub(crate) fn percent(text: &str) -> Option<f64> {
    let number = text.trim().strip_suffix('%')?.trim_end();
    let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    (decimals <= 4).then(|| parse_decimal(number)).flatten()
}

impl Leaf for Tolerance {
    const WHAT: &'static str = "a tolerance such as `0.5pt` or `1.5x`";

    fn read(text: &str) -> Result<Self, String> {
        let wrong = || {
            let hint = if text.trim_end().ends_with('%') {
                "; a percentage could mean either: points (`0.5pt`) or a factor (`1.05x`)"
            } else {
                "; write points (`0.5pt`), a factor (`1.5x`) or both (`1.2x + 0.1pt`)"
            };
            format!("{} is not a tolerance{hint}", quoted(text))
        };
        let mut tolerance = Self { factor: 1.0, points: 0.0 };
        let parts: Vec<&str> = text.split('+').map(str::trim).collect();
        let (factors, points): (Vec<&str>, Vec<&str>) = parts.iter().partition(|part| part.ends_with('x'));
        if factors.len() > 1 || points.len() > 1 {
            return Err(wrong());
        }
        for part in factors {
            let factor = part.strip_suffix('x').and_then(decimal).ok_or_else(wrong)?;
            if !(factor > 1.0 && factor <= 10.0) {
                return Err(format!("{} is out of range; a factor is more than 1x and at most 10x", quoted(part)));
            }
            tolerance.factor = factor;
        }
        for part in points {
            let points = part.strip_suffix("pt").and_then(decimal).ok_or_else(wrong)?;
            if !(points > 0.0 && points <= 50.0) {
                return Err(format!("{} is out of range; points are more than 0pt and at most 50pt", quoted(part)));
            }
            tolerance.points = points / 100.0;
        }
        Ok(tolerance)
    }
}

pub(crate) fn decimal(text: &str) -> Option<f64> {
    percent(&format!("{text}%"))
}

impl Leaf for HarmRatio {
    const WHAT: &'static str = "a factor such as `1.25x`";

    fn read(text: &str) -> Result<Self, String> {
        let factor = text.trim().strip_suffix('x').and_then(decimal);
        let factor = factor.ok_or_else(|| format!("{} is not {}", quoted(text), Self::WHAT))?;
        match (1.0..=10.0).contains(&factor) {
            true => Ok(Self(factor)),
            false => Err(format!("{} is out of range; a factor here is 1x to 10x", quoted(text))),
        }
    }
}

impl Leaf for Unit {
    const WHAT: &'static str = "a unit such as `ms`";

    fn read(text: &str) -> Result<Self, String> {
        plain_text(text, 1, UNIT_CHARS_MAX).map(Self)
    }
}

impl Leaf for Quantile {
    const WHAT: &'static str = "a percentile such as `p99`";

    fn read(text: &str) -> Result<Self, String> {
        let percent = text.strip_prefix('p').and_then(decimal).filter(|percent| (1.0..=99.99).contains(percent));
        match percent {
            Some(percent) => Ok(Self(percent / 100.0)),
            None => Err(format!("{} is not a percentile; write `p1` to `p99.99`, such as `p99`", quoted(text))),
        }
    }
}

impl Leaf for FailedRequests {
    const TAKES_NUMBERS: bool = true;
    const WHAT: &'static str = "a number of failed requests, 1 to 1000000";

    fn read(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(requests @ 1..=HARM_MAX) => Ok(Self(requests)),
            Ok(_) | Err(_) => Err(format!("{} is not a number of failed requests from 1 to {HARM_MAX}", quoted(text))),
        }
    }
}

impl Leaf for Times {
    const TAKES_NUMBERS: bool = true;
    const WHAT: &'static str = "a number of times, 1 to 20";

    fn read(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(times @ 1..=TIMES_MAX) => Ok(Self(times)),
            Ok(_) | Err(_) => Err(format!("{} is not a number of times from 1 to {TIMES_MAX}", quoted(text))),
        }
    }
}

/// What serde knows about the words of an enum: the spec uses exactly the words of its stored form.
#[derive(Debug)]
struct UnknownWord(&'static [&'static str]);

impl std::fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("unknown word")
    }
}

impl std::error::Error for UnknownWord {}

impl serde::de::Error for UnknownWord {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self(&[])
    }
    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self(expected)
    }
}

pub(crate) fn word<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, String> {
    T::deserialize(StrDeserializer::<UnknownWord>::new(text))
        .map_err(|UnknownWord(known)| format!("unknown word {}{}", quoted(text), suggest::words(text, known)))
}

macro_rules! word_leaf {
    ($($name:ty: $what:literal;)+) => {$(
        impl $crate::spec::decode::Leaf for $name {
            const WHAT: &'static str = $what;
            fn read(text: &str) -> Result<Self, String> {
                $crate::spec::leaves::word(text)
            }
        }
    )+};
}

pub(crate) use word_leaf;

word_leaf! {
    Mode: "`enforce` or `observe`";
    Owner: "`coalmine` or `codedeploy`";
    Stickiness: "`refuse` or `disableOnRollback`";
    Advance: "`onProof` or `unlessHarm`";
    Ending: "`pause`, `rollBack` or `promote`";
    Margins: "`perWeight` or `strict`";
    Settle: "`auto` or `none`";
    CheckMode: "`enforce`, `hold` or `observe`";
    OnNoData: "`hold`, `fail` or `ignore`";
    AlreadyRed: "`refuse` or `judge`";
    Newer: "`supersede`, `queue` or `refuse`";
    GuardMode: "`standard`, `fast`, `strict` or `off`";
    Independence: "`measured` or `assumed`";
}

/// What a JSON Schema can say about a text; the rest is said by [`Leaf::read`].
macro_rules! text_schema {
    ($($name:ty: $schema:tt;)+) => {$(
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                schemars::json_schema!($schema)
            }
        }
    )+};
}

pub(crate) use text_schema;

text_schema! {
    Language: {"type": "string", "const": "v1"};
    Name: {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"};
    FunctionName: {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"};
    AliasName: {"type": "string", "pattern": "^[0-9]*[A-Za-z_-][A-Za-z0-9_-]*$", "maxLength": ALIAS_CHARS_MAX};
    PublishedVersion: {"type": ["string", "integer"], "pattern": "^[1-9][0-9]{0,17}$", "minimum": 1};
    Label: {"type": ["string", "number"], "maxLength": LABEL_CHARS_MAX};
    AlarmName: {"type": "string", "minLength": 1, "maxLength": CLOUDWATCH_CHARS_MAX};
    MetricText: {"type": "string", "minLength": 1, "maxLength": CLOUDWATCH_CHARS_MAX};
    Weight: {"type": "string", "pattern": "^ *[0-9.]+ *% *$", "examples": ["5%", "2.5%"]};
    Span: {"type": "string", "pattern": "^ *([0-9]+[dhms] *)+$", "examples": ["90s", "5m", "1h30m", "2d"]};
    Percent: {"type": "string", "pattern": "^ *[0-9.]+ *% *$", "examples": ["1%"]};
    Slower: {"type": "string", "pattern": "^ *[0-9.]+ *% *$", "examples": ["5%"]};
    Tolerance: {"type": "string", "pattern": "^[0-9.]+ *(x|pt)", "examples": ["0.5pt", "1.5x", "1.2x + 0.1pt"]};
    Quantile: {"type": "string", "pattern": "^p[0-9.]+$", "examples": ["p50", "p99", "p99.9"]};
    WarmUpTime: {"type": "string", "pattern": "^(auto| *([0-9]+[dhms] *)+)$", "examples": ["auto", "2m"]};
    Times: {"type": "integer", "minimum": 1, "maximum": TIMES_MAX};
    Unit: {"type": "string", "minLength": 1, "maxLength": UNIT_CHARS_MAX};
    HarmRatio: {"type": "string", "pattern": "^ *[0-9.]+x *$", "examples": ["1.25x"]};
    FailedRequests: {"type": "integer", "minimum": 1, "maximum": HARM_MAX};
}
