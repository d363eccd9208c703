//! The single values of a scenario: how each is written, what it may be, and what to say when it is not.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use crate::observation::AlarmState;
use crate::sim::faults::Operation;
use crate::spec::decode::{Decode, Leaf};
use crate::spec::leaves::{decimal, percent, plain_text, quantity, text_leaf, text_schema, word_leaf};
use crate::spec::problems::{Place, Problems, quoted};
use crate::spec::tree::Node;
use crate::units::{Span, parse_decimal};

/// An ARN, or the path of a file.
const NAME_CHARS_MAX: usize = 512;
/// A minute of it has six million requests, which are drawn in about as many steps as their square root.
pub const PER_SECOND_MAX: f64 = 100_000.0;
/// An hour: no request that anybody waits for takes longer.
const DURATION_MS_MAX: f64 = 3_600_000.0;
const FACTOR_MAX: f64 = 1_000.0;
/// Requests that fail together, requests that a cold environment serves, targets of a group, failed requests.
const COUNT_MAX: u64 = 1_000_000;
/// What a target group's weight may be.
const GROUP_WEIGHT_MAX: u16 = 999;
/// As a share: noise that multiplies by e, one minute in three.
const NOISE_MAX: f64 = 1.0;

text_leaf!(
    /// The version of the scenario language.
    Language(())
);
text_leaf!(
    /// A version of a function, or a target group.
    VersionName(String)
);
text_leaf!(
    /// A file beside the scenario.
    FileName(String)
);
text_leaf!(
    /// Requests a second.
    PerSecond(f64)
);
text_leaf!(
    /// A share of requests, or of anything else, 0 to 1.
    Share(f64)
);
text_leaf!(
    /// How many times as much.
    Factor(f64)
);
text_leaf!(
    /// Milliseconds.
    Duration(f64)
);
text_leaf!(
    /// A standard deviation, as a share.
    Noise(f64)
);
text_leaf!(
    /// An hour of the day, UTC.
    Hour(f64)
);
text_leaf!(
    /// How many.
    Count(u64)
);
text_leaf!(
    /// How many, or a fraction more.
    Mean(f64)
);
text_leaf!(
    /// A target group's weight in a rule.
    GroupWeight(u16)
);
text_leaf!(
    /// A while, or `off`.
    SpanOrOff(Option<Span>)
);
text_leaf!(
    /// When something happens, counted from the start; `None` for before it.
    At(Option<Span>)
);

impl Leaf for Language {
    const WHAT: &'static str = "`v1`";

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "v1" => Ok(Self(())),
            _ => Err(format!("unknown version {} of the scenario language; this Coalmine knows `v1`", quoted(text))),
        }
    }
}

impl Leaf for VersionName {
    const TAKES_NUMBERS: bool = true;
    const WHAT: &'static str = "a version such as `\"42\"`, or a target group's name";

    fn read(text: &str) -> Result<Self, String> {
        plain_text(text, 1, NAME_CHARS_MAX).map(Self)
    }
}

impl Leaf for FileName {
    const WHAT: &'static str = "the path of a file beside the scenario";

    fn read(text: &str) -> Result<Self, String> {
        plain_text(text, 1, NAME_CHARS_MAX).map(Self)
    }
}

/// A plain number within bounds.
fn number(text: &str, what: &str, bounds: std::ops::RangeInclusive<f64>) -> Result<f64, String> {
    let number = parse_decimal(text.trim()).filter(|number| number.is_finite());
    let number = number.ok_or_else(|| format!("{} is not {what}", quoted(text)))?;
    let (least, most) = (*bounds.start(), *bounds.end());
    match bounds.contains(&number) {
        true => Ok(number),
        false => Err(format!("{} is out of range; write {least} to {most}", quoted(text))),
    }
}

impl Leaf for PerSecond {
    const TAKES_NUMBERS: bool = true;
    const WHAT: &'static str = "a number of requests a second such as `40` or `0.05`";

    fn read(text: &str) -> Result<Self, String> {
        number(text, Self::WHAT, 0.0..=PER_SECOND_MAX).map(Self)
    }
}

impl Leaf for Hour {
    const TAKES_NUMBERS: bool = true;
    const WHAT: &'static str = "an hour of the day, UTC, such as `14` or `9.5`";

    fn read(text: &str) -> Result<Self, String> {
        number(text, Self::WHAT, 0.0..=24.0).map(Self)
    }
}

impl Leaf for Mean {
    const TAKES_NUMBERS: bool = true;
    const WHAT: &'static str = "a number from 1, such as `5`";

    fn read(text: &str) -> Result<Self, String> {
        number(text, Self::WHAT, 1.0..=1_000.0).map(Self)
    }
}

impl Leaf for Count {
    const TAKES_NUMBERS: bool = true;
    const WHAT: &'static str = "a whole number such as `3`";

    fn read(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(count) if count <= COUNT_MAX => Ok(Self(count)),
            Ok(_) => Err(format!("{} is out of range; at most {COUNT_MAX}", quoted(text))),
            Err(_) => Err(format!("{} is not {}", quoted(text), Self::WHAT)),
        }
    }
}

impl Leaf for GroupWeight {
    const TAKES_NUMBERS: bool = true;
    const WHAT: &'static str = "a target group's weight, 0 to 999";

    fn read(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(weight @ 0..=GROUP_WEIGHT_MAX) => Ok(Self(weight)),
            Ok(_) | Err(_) => Err(format!("{} is not {}", quoted(text), Self::WHAT)),
        }
    }
}

impl Leaf for Share {
    const WHAT: &'static str = "a percentage such as `0.4%`";

    fn read(text: &str) -> Result<Self, String> {
        let percent = percent(text).ok_or_else(|| format!("{} is not {}", quoted(text), Self::WHAT))?;
        match percent <= 100.0 {
            true => Ok(Self(percent / 100.0)),
            false => Err(format!("{} is more than 100%", quoted(text))),
        }
    }
}

impl Leaf for Noise {
    const WHAT: &'static str = "a standard deviation such as `20%`";

    fn read(text: &str) -> Result<Self, String> {
        let percent = percent(text).ok_or_else(|| format!("{} is not {}", quoted(text), Self::WHAT))?;
        match percent / 100.0 <= NOISE_MAX {
            true => Ok(Self(percent / 100.0)),
            false => Err(format!("{} is out of range; at most 100%", quoted(text))),
        }
    }
}

impl Leaf for Factor {
    const WHAT: &'static str = "a factor such as `5x`";

    fn read(text: &str) -> Result<Self, String> {
        let factor = text.trim().strip_suffix('x').and_then(decimal);
        let factor = factor.ok_or_else(|| format!("{} is not {}", quoted(text), Self::WHAT))?;
        match factor > 0.0 && factor <= FACTOR_MAX {
            true => Ok(Self(factor)),
            false => Err(format!("{} is out of range; more than 0x and at most {FACTOR_MAX}x", quoted(text))),
        }
    }
}

impl Leaf for Duration {
    const WHAT: &'static str = "a duration such as `80ms` or `1.2s`";

    fn read(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let milliseconds = match trimmed.strip_suffix("ms") {
            Some(number) => decimal(number.trim_end()),
            None => trimmed.strip_suffix('s').and_then(|number| decimal(number.trim_end())).map(|s| s * 1000.0),
        };
        let milliseconds = milliseconds.ok_or_else(|| format!("{} is not {}", quoted(text), Self::WHAT))?;
        match (0.1..=DURATION_MS_MAX).contains(&milliseconds) {
            true => Ok(Self(milliseconds)),
            false => Err(format!("{} is out of range; write 0.1ms to 3600s", quoted(text))),
        }
    }
}

impl Leaf for SpanOrOff {
    const WHAT: &'static str = "a duration such as `15m`, or `off`";

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(None)),
            _ => quantity(text, Self::WHAT, str::parse::<Span>).map(|span| Self(Some(span))),
        }
    }
}

impl Leaf for At {
    const WHAT: &'static str = "a time after the start such as `12m`, or `before`";

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "before" => Ok(Self(None)),
            _ => quantity(text, Self::WHAT, str::parse::<Span>).map(|span| Self(Some(span))),
        }
    }
}

/// What a person or a pipeline asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CommandWord {
    Start,
    Pause,
    Resume,
    Approve,
    Promote,
    Abort,
}

impl CommandWord {
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Approve => "approve",
            Self::Promote => "promote",
            Self::Abort => "abort",
        }
    }
}

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum WayWord {
    Throttled,
    Denied,
    TimedOut,
    Rejected,
    Failed,
    AnswerLost,
    Stale,
    Half,
    Hangs,
    Panics,
    KilledBefore,
    KilledAfter,
}

/// How a run must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum End {
    Promoted,
    RolledBack,
    Superseded,
    /// It waited for a person when the run stopped.
    Paused,
    /// It went on when the run stopped.
    Running,
    /// It was not started.
    Refused,
    /// The version was live already.
    Nothing,
}

/// A hook of CodeDeploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum LambdaHook {
    BeforeAllowTraffic,
    AfterAllowTraffic,
}

/// What becomes of CodeDeploy's calls and events on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CallsWord {
    Once,
    Twice,
    Late,
    NoNews,
    NoHooks,
}

/// The weight that a hook of Amazon ECS is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TellsWord {
    Present,
    Coming,
}

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum KindWord {
    Sync,
    Async,
    Queue,
}

/// Where requests go that find all provisioned environments busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SpilloverWord {
    Own,
    Other,
}

word_leaf! {
    KindWord: "`sync`, `async` or `queue`";
    SpilloverWord: "`own` or `other`";
    CommandWord: "a command such as `pause`";
    WayWord: "what goes wrong, such as `throttled`";
    End: "an end such as `promoted`";
    LambdaHook: "`BeforeAllowTraffic` or `AfterAllowTraffic`";
    CallsWord: "`once`, `twice`, `late`, `noNews` or `noHooks`";
    TellsWord: "`present` or `coming`";
    AlarmState: "`OK`, `ALARM` or `INSUFFICIENT_DATA`";
    Operation: "a call such as `save`";
}

/// A word, or a whole: what is written short for most, and long for the rest.
#[derive(Debug, Clone)]
pub enum OneOf<S, L> {
    Short(S),
    Long(L),
}

impl<S: Decode, L: Decode> Decode for OneOf<S, L> {
    fn decode(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        use crate::spec::tree::Tree;
        match &node.tree {
            Tree::List(_) | Tree::Map(_) => L::decode(node, place, problems).map(Self::Long),
            Tree::Null | Tree::Bool(_) | Tree::Number(..) | Tree::Text(_) => {
                S::decode(node, place, problems).map(Self::Short)
            }
        }
    }
}

impl<S: JsonSchema, L: JsonSchema> JsonSchema for OneOf<S, L> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("{} or {}", S::schema_name(), L::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (short, long) = (generator.subschema_for::<S>(), generator.subschema_for::<L>());
        schemars::json_schema!({"anyOf": [short, long]})
    }
}

text_schema! {
    Language: {"type": "string", "const": "v1"};
    VersionName: {"type": ["string", "integer"], "minLength": 1, "maxLength": NAME_CHARS_MAX};
    FileName: {"type": "string", "minLength": 1, "maxLength": NAME_CHARS_MAX};
    PerSecond: {"type": "number", "minimum": 0, "maximum": PER_SECOND_MAX};
    Share: {"type": "string", "pattern": "^ *[0-9.]+ *% *$", "examples": ["0.4%"]};
    Factor: {"type": "string", "pattern": "^ *[0-9.]+x *$", "examples": ["5x"]};
    Duration: {"type": "string", "pattern": "^ *[0-9.]+ *m?s *$", "examples": ["80ms", "1.2s"]};
    Noise: {"type": "string", "pattern": "^ *[0-9.]+ *% *$", "examples": ["20%"]};
    Hour: {"type": "number", "minimum": 0, "maximum": 24};
    Count: {"type": "integer", "minimum": 0, "maximum": COUNT_MAX};
    Mean: {"type": "number", "minimum": 1, "maximum": 1000};
    GroupWeight: {"type": "integer", "minimum": 0, "maximum": GROUP_WEIGHT_MAX};
    SpanOrOff: {"type": "string", "pattern": "^(off| *([0-9]+[dhms] *)+)$", "examples": ["15m", "off"]};
    At: {"type": "string", "pattern": "^(before| *([0-9]+[dhms] *)+)$", "examples": ["12m", "before"]};
}
