//! Requests as they arrive, and what is answered.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::analysis::MinuteSample;
use crate::engine::{Order, OrderKind};
use crate::evidence::Evidence;
use crate::observation::AlarmState;
use crate::ports::Unreadable;
use crate::report;
use crate::rollout::{PhaseName, Rollout};
use crate::spec::decode::Leaf;
use crate::spec::leaves::PublishedVersion;
use crate::spec::{Problem, Target, Validated, Version};
use crate::text;
use crate::units::{Minute, Since, Timestamp, Weight};

/// Longest name of a rollout: by default a function's name (64), a dash and a version (18 digits).
const ID_LIMIT: usize = 64 + 1 + 18;

/// Longest place of a page: a time, and a name.
const PLACE_LIMIT: usize = 21 + ID_LIMIT;

/// What can be asked, in the words of the event.
pub const COMMANDS: [&str; 11] =
    ["start", "check", "pause", "resume", "approve", "promote", "abort", "status", "minutes", "list", "deployments"];

/// Longest word that is compared with the known ones.
const WORD_BYTES_MAX: usize = 64;

/// Longest text that is kept of a person's name or reason.
const TEXT_LIMIT: usize = 500;

/// A request, checked.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    Start {
        spec: Box<Validated>,
        by: String,
    },
    /// A start that is only looked at, with the rights of whoever is asked.
    Check {
        spec: Box<Validated>,
    },
    Order {
        rollout: String,
        order: Order,
    },
    Status {
        rollout: String,
    },
    /// What the judge takes now, minute by minute. Of many, those from this one on.
    Minutes {
        rollout: String,
        from: Option<Minute>,
    },
    /// Those that are active; with `ended` those that have ended, too.
    List {
        ended: Option<Ended>,
    },
    /// What became of other services' deployments, and what Coalmine did or would have done.
    Deployments,
}

/// Which of the rollouts that have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub since: Since,
    /// The page to go on with, as `next` of an answer has it. Then the active ones are not told again.
    pub from: Option<String>,
}

impl Request {
    /// `{"command":"start","spec":{...}}`, `{"command":"abort","rollout":"checkout-42","reason":"..."}`.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its path.
    pub fn parse(event: &Value) -> Result<Self, Vec<Problem>> {
        let one = |path: &str, message: String| Err(vec![Problem::at(path, message)]);
        let Some(fields) = event.as_object() else {
            return one("", "the request is not a JSON object; send {\"command\": ..., ...}".to_owned());
        };
        let Some(command) = fields.get("command").and_then(Value::as_str) else {
            return one("command", format!("missing; it is one of {}", COMMANDS.join(", ")));
        };
        let by = text(fields.get("by")).unwrap_or_else(|| "unknown".to_owned());
        let rollout = || match fields.get("rollout").and_then(Value::as_str) {
            Some(id) if !id.is_empty() && id.len() <= ID_LIMIT && !id.chars().any(text::is_harmful) => {
                Ok(id.to_owned())
            }
            Some(_) | None => Err(vec![Problem::at("rollout", "missing; name the rollout, as `list` shows it")]),
        };
        let kind = match command {
            "start" => {
                let spec = wanted(fields, command)?;
                return Ok(Self::Start { spec: Box::new(spec), by });
            }
            "check" => {
                let spec = wanted(fields, command)?;
                return Ok(Self::Check { spec: Box::new(spec) });
            }
            "status" => return rollout().map(|rollout| Self::Status { rollout }),
            "minutes" => return Ok(Self::Minutes { rollout: rollout()?, from: minute(fields.get("from"))? }),
            "list" => return Ok(Self::List { ended: ended(fields.get("since"), fields.get("from"))? }),
            "deployments" => return Ok(Self::Deployments),
            "pause" => OrderKind::Pause,
            "resume" => OrderKind::Resume,
            "approve" => OrderKind::Approve,
            "promote" => OrderKind::Promote,
            "abort" => OrderKind::Abort,
            other => {
                let closest = closest(other);
                return one("command", format!("unknown command `{}`{closest}", text::words(other, TEXT_LIMIT)));
            }
        };
        let reason = text(fields.get("reason")).unwrap_or_default();
        Ok(Self::Order { rollout: rollout()?, order: Order { kind, by, reason } })
    }

    /// The command's word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Check { .. } => "check",
            Self::Status { .. } => "status",
            Self::Minutes { .. } => "minutes",
            Self::List { .. } => "list",
            Self::Deployments => "deployments",
            Self::Order { order, .. } => match order.kind {
                OrderKind::Pause => "pause",
                OrderKind::Resume => "resume",
                OrderKind::Approve => "approve",
                OrderKind::Promote => "promote",
                OrderKind::Abort => "abort",
            },
        }
    }
}

/// The spec of a start, or of what is only looked at.
fn wanted(fields: &Map<String, Value>, command: &str) -> Result<Validated, Vec<Problem>> {
    let mut spec = match fields.get("spec") {
        // A spec file's text is accepted as it is, YAML or JSON: no caller needs a YAML parser of its own.
        Some(Value::String(text)) => crate::spec::parse(text)?,
        Some(value) => crate::spec::from_value(value)?,
        None => return Err(vec![Problem::at("spec", format!("missing; {command} needs the rollout spec"))]),
    };
    if let Some(version) = fields.get("version") {
        spec.spec.version = Some(published(version, &spec.spec.target)?);
    }
    Ok(spec)
}

/// A version beside the spec, for pipelines, which know it only when they have published it. It goes before the spec's.
fn published(version: &Value, target: &Target) -> Result<Version, Vec<Problem>> {
    let wrong = |message: String| vec![Problem::at("version", message)];
    if let Target::Alb(_) = target {
        return Err(wrong("belongs to Lambda; which target group is new is read from the rule".to_owned()));
    }
    let text = match version {
        Value::String(text) => text.clone(),
        // Whoever has it from a shell may have left the quotes out.
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(wrong("must be the number of a version, such as `\"42\"`".to_owned()));
        }
    };
    PublishedVersion::read(&text).map(|version| Version(version.0)).map_err(wrong)
}

/// As `next` of an answer says it.
fn minute(from: Option<&Value>) -> Result<Option<Minute>, Vec<Problem>> {
    let Some(from) = from.filter(|from| !from.is_null()) else { return Ok(None) };
    let wrong = || vec![Problem::at("from", "must be a minute as `next` of an answer has it, a whole number")];
    from.as_i64().map(|minute| Some(Minute::from_index(minute))).ok_or_else(wrong)
}

/// `since` asks for those that have ended; `from` is the page, as `next` of an answer says it.
fn ended(since: Option<&Value>, from: Option<&Value>) -> Result<Option<Ended>, Vec<Problem>> {
    let wrong = |path: &str, message: &str| Err(vec![Problem::at(path, message)]);
    let given = |value: Option<&Value>| value.filter(|value| !value.is_null()).cloned();
    let from = match given(from) {
        Some(Value::String(from)) if from.len() <= PLACE_LIMIT && !from.chars().any(text::is_harmful) => Some(from),
        Some(_) => return wrong("from", "must be a page as `next` of an answer has it"),
        None => None,
    };
    let since = match given(since) {
        Some(Value::String(since)) if since.len() <= WORD_BYTES_MAX => since.parse().ok(),
        Some(_) => None,
        None if from.is_some() => return wrong("since", "missing; a page is asked for with the `since` of the first"),
        None => return Ok(None),
    };
    match since {
        Some(since) => Ok(Some(Ended { since, from })),
        None => wrong("since", "must be a length of time or a time, such as `24h` or `2026-11-21T14:02:00Z`"),
    }
}

fn closest(word: &str) -> String {
    // The distance takes time and memory by the length of both. What is longer is near to none.
    let word = if word.len() <= WORD_BYTES_MAX { word } else { "" };
    let near = COMMANDS.iter().filter(|known| strsim::damerau_levenshtein(word, known) <= 2);
    match near.min_by_key(|known| strsim::damerau_levenshtein(word, known)) {
        Some(known) => format!("; did you mean `{known}`?"),
        None => format!("; it is one of {}", COMMANDS.join(", ")),
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(|text| text::words(text, TEXT_LIMIT))
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    Rollout(Box<RolloutAnswer>),
    Minutes(Box<MinutesAnswer>),
    /// The version is live already. Success: nothing to roll out.
    Nothing {
        message: String,
    },
    List(Box<List>),
    /// Oldest first.
    Deployments {
        deployments: Vec<Evidence>,
    },
}

/// A rollout with what a person wants to know first.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutAnswer {
    /// Where it stands, as a sentence.
    pub message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Problem>,
    /// Where its report is, once it has ended; `None` where none is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    #[serde(flatten)]
    pub rollout: Rollout,
}

impl RolloutAnswer {
    pub(crate) fn of(rollout: Rollout, warnings: Vec<Problem>) -> Self {
        Self { message: message(&rollout), warnings, report: None, rollout }
    }

    /// One that was only looked at.
    pub(crate) fn imagined(rollout: Rollout, warnings: Vec<Problem>) -> Self {
        let Rollout { id, baseline, canary, .. } = &rollout;
        let message = format!("rollout {id} would begin: {baseline} -> {canary}. It was only looked at");
        Self { message, warnings, report: None, rollout }
    }
}

/// A rollout with everything that was counted of it: whoever has this can judge for themselves, with
/// [`driver::judged`](crate::driver::judged) and [`judge`](crate::analysis::judge).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MinutesAnswer {
    pub rollout: RolloutAnswer,
    /// When this was looked at.
    pub now: Timestamp,
    /// In rising order. What is not stored for good yet is as CloudWatch had it now.
    pub minutes: Vec<MinuteSample>,
    /// Why series could not be read now: their newest minutes are missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
    /// The states of its alarms; `None` where it has none, has ended, or they could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarms: Option<BTreeMap<String, AlarmState>>,
    /// There are more: from this minute on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Minute>,
}

/// Many rollouts, a line each.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct List {
    /// The active ones, by name; after them those that have ended, where they were asked for, the last one first.
    pub rollouts: Vec<Summary>,
    /// Those that ended at this time or after it are among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_since: Option<Timestamp>,
    /// There are more that have ended: from this place on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A rollout in one line.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub id: String,
    /// Unknown for a rollout that cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub stand: Option<Stand>,
    pub message: String,
}

/// Where a rollout stands, for tables.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stand {
    pub phase: PhaseName,
    pub baseline: Version,
    pub canary: Version,
    /// Seen live last.
    pub weight: Weight,
    pub started_at: Timestamp,
    pub started_by: String,
    /// When it came into its phase.
    pub since: Timestamp,
    /// When a pause ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// A person has to decide.
    pub needs_you: bool,
    /// Others move its traffic.
    pub follows: bool,
    /// A tick has something to do with it; of one that has ended, something is left to tell or to tidy up.
    pub active: bool,
    /// When anything of it was last written. While traffic is split, whoever attends to it writes every few minutes.
    pub written_at: Timestamp,
    pub release: crate::spec::Release,
}

impl Answer {
    /// The answer about one rollout.
    #[must_use]
    pub fn about(rollout: Rollout, warnings: Vec<Problem>) -> Self {
        Self::Rollout(Box::new(RolloutAnswer::of(rollout, warnings)))
    }

    /// With where the report of a rollout that has ended is, by its name.
    #[must_use]
    pub fn with_report(mut self, place: impl FnOnce(&str) -> Option<String>) -> Self {
        if let Self::Rollout(answer) = &mut self
            && answer.rollout.is_terminal()
        {
            answer.report = place(&answer.rollout.id);
        }
        self
    }
}

impl Summary {
    #[must_use]
    pub fn of(rollout: &Rollout) -> Self {
        let stand = Stand {
            phase: rollout.phase.name(),
            baseline: rollout.baseline.clone(),
            canary: rollout.canary.clone(),
            weight: rollout.weights.last().map_or(Weight::ZERO, |seen| seen.weight),
            started_at: rollout.started_at,
            started_by: rollout.started_by.clone(),
            since: report::since(&rollout.phase),
            until: report::until(&rollout.phase),
            needs_you: report::needs_you(rollout),
            follows: rollout.follows(),
            active: rollout.is_active(),
            written_at: rollout.now,
            release: rollout.spec.release.clone(),
        };
        let target = Some(rollout.spec.target.key());
        Self { id: rollout.id.clone(), target, stand: Some(stand), message: message(rollout) }
    }

    #[must_use]
    pub fn of_stored(stored: &Result<Rollout, Unreadable>) -> Self {
        match stored {
            Ok(rollout) => Self::of(rollout),
            Err(error) => {
                Self { id: error.id.clone(), target: None, stand: None, message: format!("{error}: {}", error.fault) }
            }
        }
    }
}

/// `rollout checkout-42 bakes in step 1: the weight was seen live`
fn message(rollout: &Rollout) -> String {
    let last = rollout.history.last().map(|event| format!(": {}", report::sentence(&event.why)));
    format!("rollout {} {}{}", rollout.id, report::standing(&rollout.phase), last.unwrap_or_default())
}
