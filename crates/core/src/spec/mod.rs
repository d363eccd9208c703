//! The validated wish: what to roll out, how, and what must be proven on the way.

mod alarms;
mod balancer;
mod checks;
pub(crate) mod decode;
mod deployment;
mod effective;
mod http;
pub(crate) mod leaves;
mod parse;
mod presets;
pub(crate) mod problems;
pub(crate) mod raw;
pub(crate) mod schema;
mod strategy;
pub(crate) mod suggest;
#[cfg(test)]
mod tests;
pub(crate) mod tree;
mod validate;
mod within;

pub use deployment::for_deployment;
pub use effective::effective;
pub use leaves::NAME_CHARS_MAX;
pub(crate) use parse::inside;
pub use parse::{Validated, from_value, parse, parse_with_defaults};
pub(crate) use presets::Preset;
pub use schema::schema;
pub(crate) use strategy::{exactly_one, rising};
pub(crate) use suggest::hint as field_hint;
pub use tree::DOCUMENT_BYTES_MAX;
pub use within::within;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alb;
use crate::analysis::GuardMode;
use crate::fault::FaultKind;
use crate::text;
use crate::units::{Span, Weight};

/// A rollout spec after validation. Only [`parse`] and [`from_value`] make one from what a person wrote, so whoever
/// holds one need not check it again. As a part of a stored rollout it may have fields that a newer build has added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSpec {
    /// Defaults to [`Target::default_id`] when the rollout starts. The same name and spec is the same rollout.
    pub name: Option<String>,
    pub mode: Mode,
    pub target: Target,
    /// The new version; the newest published one when left out. Never there for a load balancer, whose rule says it.
    pub version: Option<Version>,
    pub release: Release,
    /// How the steps were asked for, in the spec's words: `canary`, `CodeDeployDefault.LambdaAllAtOnce`.
    pub strategy: String,
    /// Every strategy compiled to rising weights below 100 %. Promotion to 100 % follows the last one. Empty for
    /// `allAtOnce` and `blueGreen`.
    pub steps: Vec<Step>,
    /// Weights are chosen as one goes, up to that of the one step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto: Option<Auto>,
    pub margins: Margins,
    #[serde(default)]
    pub settle: Settle,
    pub after: After,
    pub tests: Vec<Test>,
    pub checks: Vec<Check>,
    pub alarms: Alarms,
    pub analysis: ErrorBudget,
    pub undecided: Undecided,
    pub pause: PausePolicy,
    pub deadline: Span,
    pub newer: Newer,
}

/// Whether decisions are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    Enforce,
    /// Everything is decided and reported, nothing is moved.
    Observe,
}

/// What the traffic is shifted on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    Lambda(LambdaTarget),
    Alb(AlbTarget),
}

/// An alias of a Lambda function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LambdaTarget {
    pub function: String,
    pub alias: String,
    pub owner: Owner,
}

/// Two target groups behind an Application Load Balancer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlbTarget {
    /// All of one load balancer; they move together. Never empty.
    pub rules: Vec<RuleRef>,
    /// Names or ARNs, in no order: which group is live is read.
    pub target_groups: [String; 2],
    pub stickiness: Stickiness,
    /// Of the healthy targets that a weight needs, how many must be there; at most 100 %.
    pub min_healthy_share: Weight,
    /// A rule's ARN that is to forward to the new group alone, for tests, before the first weight.
    pub test_rule: Option<String>,
    pub keep_baseline: KeepBaseline,
}

/// What forwards to the target groups.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RuleRef {
    /// A rule, by its ARN.
    Rule(String),
    /// The default action of a listener, by the listener's ARN.
    DefaultOf(String),
}

impl RuleRef {
    /// The ARN of the rule, or of the listener.
    #[must_use]
    pub fn arn(&self) -> &str {
        let (Self::Rule(arn) | Self::DefaultOf(arn)) = self;
        arn
    }
}

/// What to do about target-group stickiness, which outlives weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Stickiness {
    /// A rule with it is not rolled out on.
    Refuse,
    /// It is switched off when all traffic is put back.
    DisableOnRollback,
}

/// How long the group that had the traffic before stays attached at weight 0 after a promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeepBaseline {
    UntilNextRollout,
    For(Span),
}

/// Who sets the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Owner {
    Coalmine,
    Codedeploy,
}

impl Target {
    /// Names the target in one line: `checkout:live`, `alb/blue+green`. Equal for equal targets, whoever owns the
    /// weights and however they are spelled.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Lambda(lambda) => format!("{}:{}", lambda.function, lambda.alias),
            // Group names are unique in an account and region. By rules, a rollout on two of them and one on one of the
            // two would differ.
            Self::Alb(alb) => format!("alb/{}", alb.names().join("+")),
        }
    }

    /// What only one rollout may have at any time, each in one line: the alias, or either target group.
    #[must_use]
    pub fn claims(&self) -> Vec<String> {
        match self {
            Self::Lambda(_) => vec![self.key()],
            Self::Alb(alb) => alb.names().map(|name| format!("alb/{name}")).to_vec(),
        }
    }

    /// Whether rollouts on these targets would disturb one another.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let claims = other.claims();
        self.claims().iter().any(|claim| claims.contains(claim))
    }

    /// The nearest weight that this target can have.
    #[must_use]
    pub fn settable(&self, weight: Weight) -> Weight {
        match self {
            Self::Lambda(_) => weight,
            Self::Alb(_) => alb::settable(weight),
        }
    }

    /// The name of a rollout that has none: what is rolled out, on what.
    #[must_use]
    pub fn default_id(&self, version: &Version, release: &Release) -> String {
        match self {
            Self::Lambda(lambda) => format!("{}-{}", lambda.function, version.0),
            Self::Alb(alb) => alb.default_id(release),
        }
    }
}

impl AlbTarget {
    /// The groups swap roles, so it is not for a group to say what is rolled out: a start that is retried after the
    /// promotion would find the old group to be the new one.
    #[must_use]
    pub fn default_id(&self, release: &Release) -> String {
        format!("{}-{}", self.names().join("."), release.commit)
    }

    /// The groups' names, in the same order however they are spelled.
    fn names(&self) -> [&str; 2] {
        let mut names = self.target_groups.each_ref().map(|group| alb::group_name(group));
        names.sort_unstable();
        names
    }
}

/// A version of the target: for Lambda the number of a published one, as text; for a load balancer the ARN of a target group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub String);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // People know Lambda's versions as v41, and target groups by their names; anything else is shown as it is.
        let number = !self.0.is_empty() && self.0.bytes().all(|b| b.is_ascii_digit());
        write!(f, "{}{}", if number { "v" } else { "" }, alb::group_name(&self.0))
    }
}

/// Free labels, shown everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Release {
    pub commit: String,
    pub owner: String,
    pub ticket: String,
}

/// One weight and what must happen there before the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub weight: Weight,
    /// The shortest time at this weight.
    pub bake: Span,
    /// The longest time at this weight; then `undecided` says what happens.
    pub at_most: Option<Span>,
    pub advance: Advance,
    /// A person must agree before the step is left for the next one.
    pub approve: Option<Approval>,
}

/// What ends a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Advance {
    /// Non-inferiority is proven.
    OnProof,
    /// Its time is over and no harm is proven: the consent to go on without a proof.
    UnlessHarm,
}

/// How long a person's approval is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    pub within: Span,
    pub otherwise: Ending,
}

/// What happens when nobody decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Ending {
    Pause,
    RollBack,
    Promote,
}

/// Weights chosen each minute so that a bad release costs about so many failed requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Auto {
    /// From the traffic when left out.
    pub harm_budget: Option<u32>,
}

/// Which tolerance a step must prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Margins {
    /// The tolerance divided by the weight that the step unlocks.
    PerWeight,
    /// The same, but at most twice the tolerance.
    Strict,
}

/// Whether a proven step waits for the minutes that passed meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Settle {
    /// Where the next weight is more than `STEEP` times its own.
    #[default]
    Auto,
    /// Never.
    None,
}

/// A weight that rises by more than this factor makes a regression of the minutes that nobody has read yet expensive:
/// two to three times the failed requests, where smaller rises cost a third to four fifths more.
const STEEP: u32 = 3;

impl RolloutSpec {
    /// Whether a pass of this step counts only once the minutes are read that had passed when it was first seen.
    #[must_use]
    pub fn settles(&self, step: usize) -> bool {
        let weight =
            |step: usize| u32::from(self.steps.get(step).map_or(Weight::FULL, |step| step.weight).basis_points());
        self.settle == Settle::Auto && weight(step + 1) > STEEP * weight(step)
    }
}

/// What is done at 100 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct After {
    pub watch: Span,
}

/// A test of the new version before it gets any traffic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Test {
    Invoke(InvokeTest),
    Http(HttpTest),
}

/// Invoke the new version directly and compare what it answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InvokeTest {
    pub payload: serde_json::Value,
    /// Every field named here must be in the answer with this value; `None` accepts any answer that is no error.
    pub expect: Option<serde_json::Value>,
    pub times: u32,
}

/// Ask the new version over HTTP and look at the status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpTest {
    /// `http` or `https`; asked with GET.
    pub url: String,
    pub headers: std::collections::BTreeMap<String, String>,
    /// The status that must come.
    pub expect: u16,
    pub times: u32,
}

/// One thing to judge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// `errors`, `latency`, or the name of a check of the user's own; unique in the spec.
    pub name: String,
    pub kind: CheckKind,
    pub mode: CheckMode,
    pub on_no_data: OnNoData,
}

/// What a check looks at, and how much worse than the baseline is still accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum CheckKind {
    Errors {
        tolerate: Tolerance,
    },
    Latency {
        tolerate: f64,
        at: Vec<Quantile>,
        /// How long after each raise nothing is judged; `None`: as long as it takes live, and not at all in recordings.
        #[serde(default)]
        warm_up: Option<Span>,
    },
    Rate {
        counts: RateCounts,
        requests: MetricRef,
        tolerate: Tolerance,
        /// A minute with requests and without a datapoint of the events had none.
        #[serde(default)]
        absent_is_zero: bool,
    },
    /// How large something of one's own is, request by request: judged as latency is.
    Distribution {
        metric: MetricRef,
        /// How values are shown: `ms`, `rows`; empty for nothing.
        unit: String,
        tolerate: f64,
        at: Vec<Quantile>,
    },
    /// Shown, and decides nothing.
    Mean {
        metric: MetricRef,
    },
    /// A level, minute by minute: may hold, never rolls back.
    Gauge {
        metric: MetricRef,
        /// How much higher is no harm, as a share of the old version's level.
        tolerate: f64,
    },
}

impl CheckKind {
    /// Whether it can be proven that the new version is no worse than tolerated. A mean or a gauge proves nothing.
    #[must_use]
    pub fn can_prove(&self) -> bool {
        match self {
            Self::Errors { .. } | Self::Latency { .. } | Self::Rate { .. } | Self::Distribution { .. } => true,
            Self::Mean { .. } | Self::Gauge { .. } => false,
        }
    }
}

/// A percentile such as `p99`, in 0.0..1.0.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quantile(pub f64);

/// Which events a `rate` check counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RateCounts {
    /// Bad events: their share must not rise.
    Events(MetricRef),
    /// Good events: their share must not fall.
    GoodEvents(MetricRef),
}

/// A CloudWatch metric; the target's placeholders in dimension values, such as `{version}` and `{targetGroup}`, are filled
/// in per version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricRef {
    pub namespace: String,
    pub metric: String,
    pub dimensions: std::collections::BTreeMap<String, String>,
}

/// Tolerated harm: the canary's rate may be up to `factor` times the baseline's plus `points`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tolerance {
    /// 1.0 when only points are tolerated.
    pub factor: f64,
    /// As a share: 0.5 points are 0.005.
    pub points: f64,
}

impl std::fmt::Display for Tolerance {
    /// `+0.5 points`, `1.5 times`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let points = crate::units::plain_number(self.points * 100.0);
        let points = format!("+{points} point{}", if points == "1" { "" } else { "s" });
        match (self.factor > 1.0, self.points > 0.0) {
            (true, true) => write!(f, "{} times {points}", crate::units::plain_number(self.factor)),
            (true, false) => write!(f, "{} times", crate::units::plain_number(self.factor)),
            (false, _) => f.write_str(&points),
        }
    }
}

/// What a check's verdict may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CheckMode {
    /// Rolls back and is needed for promotion.
    Enforce,
    /// Is needed for promotion, but never rolls back.
    Hold,
    /// Is shown only.
    Observe,
}

/// What a check without data counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnNoData {
    Hold,
    Fail,
    Ignore,
}

/// CloudWatch alarms that roll back at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alarms {
    pub names: Vec<String>,
    pub already_red: AlreadyRed,
}

/// What an alarm that is in ALARM before the start means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AlreadyRed {
    /// The rollout does not start.
    Refuse,
    /// It starts; the alarm counts again once it has been OK.
    Judge,
}

/// How often the judge may be wrong, and what it takes for granted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBudget {
    /// Probability that a harmless release is rolled back, per rollout (alpha).
    pub false_rollback: f64,
    /// Probability that a release exactly at the tolerance is promoted, per check (beta).
    pub false_promotion: f64,
    /// How evidence for harm is guarded against errors in clusters and versions with noise of their own.
    #[serde(default)]
    pub guard: GuardMode,
    /// How many times as many events of the new version are no harm yet.
    #[serde(default = "one")]
    pub harm_ratio: f64,
    #[serde(default)]
    pub independence: Independence,
}

fn one() -> f64 {
    1.0
}

/// Whether requests fail one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Independence {
    /// The old version's history says how far they do, and evidence for promotion is divided accordingly.
    #[default]
    Measured,
    /// They do: the spec answers for it.
    Assumed,
}

/// What happens at the deadline (or a step's `atMost`) without a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Undecided {
    pub too_little_traffic: Ending,
    pub no_data: Ending,
    pub looks_worse: Ending,
}

/// How long a pause lasts, and what ends it when nobody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PausePolicy {
    #[serde(rename = "for")]
    pub length: Span,
    pub then: Ending,
}

/// What happens when a newer version is to be rolled out on the same target meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Newer {
    Supersede,
    Queue,
    Refuse,
}

/// The language nests 7 deep, and a key of a payload is cut at 60 characters: what is longer is nobody's.
const PATH_CHARS_MAX: usize = 400;

/// No sentence of ours is longer; an answer of a service that is repeated may be.
const TOLD_CHARS_MAX: usize = 1000;

/// One thing that is wrong, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// `strategy.steps[1].weight`; empty for the document as a whole.
    pub path: String,
    pub message: String,
    /// Line in the text, from 1, where the text is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub line: Option<u32>,
    /// Column in the text, from 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub column: Option<u32>,
    /// A service that failed said it: then nothing need be wrong with what was asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fault: Option<FaultKind>,
}

impl Problem {
    /// A problem with no place in a text. Both may have pieces of what somebody sent.
    #[must_use]
    pub fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        let (path, message) = (text::shown(&path.into(), PATH_CHARS_MAX), text::shown(&message.into(), TOLD_CHARS_MAX));
        Self { path, message, line: None, column: None, fault: None }
    }

    /// The same, said by a service that failed.
    #[must_use]
    pub fn because_of(self, fault: FaultKind) -> Self {
        Self { fault: Some(fault), ..self }
    }

    /// Whether there is something to correct; otherwise a service failed, and the same may be asked again.
    #[must_use]
    pub fn is_of_the_request(&self) -> bool {
        !self.path.is_empty() && self.fault.is_none_or(FaultKind::is_of_the_request)
    }
}

impl std::fmt::Display for Problem {
    /// `line 3, column 5: strategy.canary.weight: message`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}")?;
            if let Some(column) = self.column {
                write!(f, ", column {column}")?;
            }
            f.write_str(": ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}
