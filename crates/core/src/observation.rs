//! All that was seen this tick. A failed look is `Missing(why)`, never an early return.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::analysis::{JudgePlan, Samples};
use crate::deployment::{Asked, Deployment};
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
    /// Of further rules that move together with the first: what each of those that differ from it routes to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<(Version, Option<(Version, Weight)>)>,
    /// Why rules of the target cannot be shifted (any more), a sentence each. The other rules are told, and can be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
    /// Every rule forwards to both target groups, be it at weight 0, and the rule for tests to the new one, while the old
    /// one has all the traffic. An alias can always take any version.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub attached: bool,
    /// Of the two target groups, those that a rule forwards to at weight 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at_zero: Vec<Version>,
    /// For how long clients stay with the target group that they were sent to first, whatever the weights, where they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Span>,
    /// All that is configured, as text, where there is no revision: what was not so when it was written is not written
    /// over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_yes(value: &bool) -> bool {
    *value
}

/// The routing in the words of one rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Between our two versions, with this weight on the canary.
    Ours(Weight),
    /// Between our two versions, and not the same behind every rule: the canary's smallest and largest weight.
    Uneven { low: Weight, high: Weight },
    /// Another version takes part.
    Foreign,
}

impl Routing {
    /// One alias or rule, and nothing to make a write conditional.
    #[must_use]
    pub fn of(primary: Version, additional: Option<(Version, Weight)>) -> Self {
        Self {
            primary,
            additional,
            revision: None,
            in_transition: false,
            others: Vec::new(),
            lost: Vec::new(),
            attached: true,
            at_zero: Vec::new(),
            sticky: None,
            fingerprint: None,
        }
    }

    /// What each rule routes to; of those that do the same, one.
    fn routes(&self) -> impl Iterator<Item = (&Version, Option<&(Version, Weight)>)> {
        let others = self.others.iter().map(|(primary, additional)| (primary, additional.as_ref()));
        std::iter::once((&self.primary, self.additional.as_ref())).chain(others)
    }

    /// The canary's highest weight behind the rules of which only our two versions are. Nothing where another one is
    /// behind every rule.
    #[must_use]
    pub fn still_ours(&self, baseline: &Version, canary: &Version) -> Option<Weight> {
        self.routes().filter_map(|route| canary_weight(route, baseline, canary)).max()
    }

    /// How this routing splits between two versions.
    #[must_use]
    pub fn split(&self, baseline: &Version, canary: &Version) -> Split {
        let weights: Option<Vec<Weight>> = self.routes().map(|route| canary_weight(route, baseline, canary)).collect();
        let ends = weights.and_then(|weights| Some((*weights.iter().min()?, *weights.iter().max()?)));
        match ends {
            None => Split::Foreign,
            Some((low, high)) if low == high => Split::Ours(low),
            Some((low, high)) => Split::Uneven { low, high },
        }
    }
}

/// `None` where another version takes part.
fn canary_weight(
    (primary, additional): (&Version, Option<&(Version, Weight)>),
    baseline: &Version,
    canary: &Version,
) -> Option<Weight> {
    match additional {
        None if primary == baseline => Some(Weight::ZERO),
        None if primary == canary => Some(Weight::FULL),
        Some((version, weight)) if primary == baseline && version == canary => Some(*weight),
        Some((version, weight)) if primary == canary && version == baseline => Some(weight.complement()),
        None | Some(_) => None,
    }
}

impl std::fmt::Display for Routing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        route(f, &self.primary, self.additional.as_ref())?;
        self.others.iter().try_for_each(|(primary, additional)| {
            f.write_str(", and behind another rule ")?;
            route(f, primary, additional.as_ref())
        })
    }
}

fn route(
    f: &mut std::fmt::Formatter<'_>,
    primary: &Version,
    additional: Option<&(Version, Weight)>,
) -> std::fmt::Result {
    match additional {
        None => write!(f, "{primary}"),
        Some((version, weight)) => write!(f, "{primary} with {weight} on {version}"),
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
    /// How long a new target's share of the requests rises (a target group's slow start).
    #[serde(default)]
    pub slow_start: Span,
}

/// How many targets of either group could answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    pub baseline: GroupHealth,
    pub canary: GroupHealth,
}

/// The targets of a group by their state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupHealth {
    pub healthy: u32,
    pub unhealthy: u32,
    /// Health checks have not decided yet.
    pub waiting: u32,
    /// No health checks are made: nothing forwards to the group, or they are switched off.
    pub not_checked: u32,
    /// Why targets are not healthy, in the service's words.
    pub why: Option<String>,
}

impl GroupHealth {
    /// All its targets.
    #[must_use]
    pub fn registered(&self) -> u32 {
        self.healthy + self.unhealthy + self.waiting + self.not_checked
    }
}

/// What stands around a target, read once at the start: what must not be there, and what forwards where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// The rules of the target, in the spec's order.
    pub rules: Vec<SeenRule>,
    /// The two groups of the target, in the spec's order; without those that do not exist.
    pub groups: Vec<SeenGroup>,
    /// Other rules of the same load balancer that forward to one of the two groups.
    pub others: Vec<OtherUse>,
    /// Services that shift traffic behind this load balancer by themselves.
    pub owners: Vec<Owning>,
    /// The alias has provisioned concurrency: calls beyond it need not be split as the weights say.
    pub provisioned: bool,
    /// What could not be looked at within reason, as sentences.
    pub unread: Vec<String>,
}

/// A rule, or a listener's default action, as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRule {
    pub reference: crate::spec::RuleRef,
    /// The listener whose default rule this is, where the spec names it as a rule.
    pub default_of: Option<String>,
    /// It forwards requests to target groups. Otherwise it redirects or answers by itself.
    pub forwards: bool,
    /// Target groups by ARN, with their weights.
    pub groups: Vec<(Version, u16)>,
    /// For how long target-group stickiness keeps a client, where it is on.
    pub sticky: Option<Span>,
    pub vpc: String,
}

/// A target group as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenGroup {
    /// As the spec spells it.
    pub spelled: String,
    pub arn: Version,
    pub vpc: Option<String>,
    /// ARNs of the load balancers that forward to it.
    pub balancers: Vec<String>,
    /// `instance`, `ip`, `lambda` or `alb`.
    pub kind: String,
    /// `HTTP`, `HTTPS`; nothing for Lambda functions.
    pub protocol: Option<String>,
    /// Health checks are made.
    pub checked: bool,
}

/// A group that a rule outside the target forwards to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherUse {
    pub rule: String,
    pub group: Version,
    pub weight: u16,
}

/// A service that owns rules or groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owning {
    /// `ECS service prod/cart`.
    pub service: String,
    /// How it deploys: `BLUE_GREEN`, `CODE_DEPLOY`.
    pub by: String,
    pub rules: Vec<String>,
    pub groups: Vec<String>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// What became of what the dead man's switch was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SwitchTold {
    #[default]
    Nothing,
    /// To wait until then, and it does.
    Armed(Timestamp),
    Removed,
    /// It may not know.
    Failed,
}

/// All that was seen of one rollout's world this tick.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    pub now: Timestamp,
    /// The switch that turns every writer off is on.
    pub mode: Mode,
    pub routing: Seen<Routing>,
    /// The routing is missing because there is no such alias, or none of the rules, any more.
    pub target_gone: bool,
    /// State by name. A name that CloudWatch does not know is absent: a mistake in the spec, not an OK.
    pub alarms: Seen<BTreeMap<String, AlarmState>>,
    pub canary: Seen<VersionInfo>,
    /// The deployment that is judged.
    pub deployment: Seen<Deployment>,
    /// What it waits for.
    pub asked: Option<Asked>,
    /// Of target groups; not asked for an alias.
    pub health: Seen<Health>,
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
    /// How long the dead man's switch waits; `None` where there is none.
    pub switch: Option<Span>,
    /// What became of what it was told in this tick.
    pub switch_told: SwitchTold,
    /// Another active rollout on the same target that goes before this one.
    pub target_held_by: Option<String>,
    /// A rollout that was started on the same target after this one and waits for it to give way.
    pub newer: Option<String>,
}
