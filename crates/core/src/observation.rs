//! All that was seen this tick. A failed look is `Missing(why)`, never an early return.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::analysis::{JudgePlan, Samples};
use crate::spec::{Mode, Version};
use crate::units::{Span, Timestamp, Weight};

/// What a look brought.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen<T> {
    Known(T),
    /// Why it could not be seen, as a sentence.
    Missing(String),
    /// `needs` did not ask for it.
    NotAsked,
}

impl<T> Seen<T> {
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Missing(_) | Self::NotAsked => None,
        }
    }
}

impl<T, E: std::fmt::Display> From<Result<T, E>> for Seen<T> {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(value) => Self::Known(value),
            Err(error) => Self::Missing(error.to_string()),
        }
    }
}

/// Which versions the target routes to, right now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Routing {
    pub primary: Version,
    pub additional: Option<(Version, Weight)>,
    /// Changes with every write: the token that makes a write conditional. `None` where the service has none.
    pub revision: Option<String>,
    /// The target itself is rearranging its weights (provisioned concurrency is being allocated).
    pub in_transition: bool,
}

/// The routing in the words of one rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Between our two versions, with this weight on the canary.
    Ours(Weight),
    /// Another version takes part.
    Foreign,
}

impl Routing {
    /// How this routing splits between two versions.
    #[must_use]
    pub fn split(&self, baseline: &Version, canary: &Version) -> Split {
        match &self.additional {
            None if self.primary == *baseline => Split::Ours(Weight::ZERO),
            None if self.primary == *canary => Split::Ours(Weight::FULL),
            Some((version, weight)) if self.primary == *baseline && version == canary => Split::Ours(*weight),
            Some((version, weight)) if self.primary == *canary && version == baseline => {
                Split::Ours(weight.complement())
            }
            None | Some(_) => Split::Foreign,
        }
    }
}

impl std::fmt::Display for Routing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.additional {
            None => write!(f, "{}", self.primary),
            Some((version, weight)) => write!(f, "{} with {weight} on {version}", self.primary),
        }
    }
}

/// A version of the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionInfo {
    pub version: Version,
    pub readiness: Readiness,
    /// Longest time one request may take.
    pub timeout: Span,
    /// Hash of the code, and when it was published, echoed to the user.
    pub code_hash: String,
    pub published: String,
}

/// Whether a version can take traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Readiness {
    Active,
    /// It will be, as far as one can tell; the text says what is being waited for.
    NotYet(String),
    /// It will not be by itself; the text says why.
    Never(String),
}

/// A CloudWatch alarm's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AlarmState {
    Ok,
    Alarm,
    InsufficientData,
}

/// What one test of the new version brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TestOutcome {
    Passed,
    /// What was expected and what came.
    Failed(String),
}

/// All that was seen of one rollout's world this tick.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    pub now: Timestamp,
    /// The switch that turns every writer off is on.
    pub mode: Mode,
    pub routing: Seen<Routing>,
    /// State by name. A name that CloudWatch does not know is absent: a mistake in the spec, not an OK.
    pub alarms: Seen<BTreeMap<String, AlarmState>>,
    pub canary: Seen<VersionInfo>,
    pub tests: Seen<Vec<TestOutcome>>,
    /// The plan with what the old version's past says. A past without data is an answer, too.
    pub learned: Seen<JudgePlan>,
    pub samples: Seen<Samples>,
    /// Minutes before this one were sealed by now.
    pub sealed_before: Option<crate::units::Minute>,
    /// A Pass on the minutes before this one is in sight: once they are settled, if they stay as they are.
    pub passes_before: Option<crate::units::Minute>,
    /// A bug of ours that kept the judge from answering.
    pub judge_failed: Option<String>,
    /// Another active rollout on the same target that goes before this one.
    pub target_held_by: Option<String>,
    /// A rollout that was started on the same target after this one and waits for it to give way.
    pub newer: Option<String>,
}
