//! What the driver needs of the world: narrow traits, one per kind of thing, each with its own errors.
//!
//! Implemented by `coalmine-aws` on the real services, by [`crate::sim`] in memory, and by wrappers that inject faults
//! into either. There is no clock: `now` is an argument everywhere.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use crate::analysis::MinuteSample;
use crate::cloudformation::{Answer, Caller, Resource};
use crate::deployment::{Deployment, DeploymentRef, FoundSpec, Hook, HookAnswer};
pub use crate::fault::FaultKind;
use crate::metrics::{Series, SeriesQuery};
use crate::observation::{AlarmState, Health, Routing, Surroundings, TestOutcome, VersionInfo};
use crate::rollout::{DecisionRecord, Notice, Rollout};
use crate::spec::{Target, Test, Version};
use crate::text;
use crate::units::{Timestamp, Weight};

/// What is kept of a service's words. AWS says what is wrong in one or two hundred characters.
const DETAIL_CHARS_MAX: usize = 800;

/// A failure of the service itself, classified in one place by the adapter.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {kind}: {detail}")]
pub struct Fault {
    /// The call that failed, as its service names it: `GetAlias`.
    pub operation: &'static str,
    pub kind: FaultKind,
    pub detail: String,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Fault {
    /// The detail is what the service said, or a user's server.
    #[must_use]
    pub fn new(operation: &'static str, kind: FaultKind, detail: impl Into<String>) -> Self {
        Self { operation, kind, detail: text::shown(&detail.into(), DETAIL_CHARS_MAX), source: None }
    }
}

/// A look at something that may not exist.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The sentence says what does not exist: `function checkout has no alias live`.
    #[error("{0}")]
    NotFound(String),
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Setting a weight.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// The target has changed since it was looked at, and nothing was written; or, where a write cannot be conditional,
    /// it is not afterwards what was written. The next tick looks again.
    #[error("the target has changed since it was looked at")]
    Stale,
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Reads and sets the traffic split of a target.
pub trait TrafficRouter {
    /// The live routing, read consistently.
    fn look(&self, target: &Target) -> impl Future<Output = Result<Routing, LookError>> + Send;

    /// A version's readiness; `None` for `version` asks for the newest published one.
    fn version(
        &self,
        target: &Target,
        version: Option<&Version>,
    ) -> impl Future<Output = Result<VersionInfo, LookError>> + Send;

    /// Makes `weight` the canary's share, absolutely and idempotently: 0 is the baseline alone, 100 % the canary alone.
    /// Takes effect only while the target's revision is `seen`'s.
    fn set(&self, split: &SetWeight<'_>) -> impl Future<Output = Result<(), SetError>> + Send;

    /// Makes every rule forward to the canary's group, too, at weight 0: a group that nothing forwards to is not
    /// health-checked. Weights stay as they are. Nothing to do for an alias.
    fn attach(&self, attach: &Attach<'_>) -> impl Future<Output = Result<(), SetError>> + Send;

    /// Takes a group that has weight 0 behind every rule off all of them. Nothing to do for an alias.
    fn detach(&self, detach: &Detach<'_>) -> impl Future<Output = Result<(), SetError>> + Send;

    /// How many targets either version has. Never asked for an alias.
    fn health(
        &self,
        target: &Target,
        baseline: &Version,
        canary: &Version,
    ) -> impl Future<Output = Result<Health, LookError>> + Send;

    /// What stands around the target, at the start.
    fn survey(&self, target: &Target) -> impl Future<Output = Result<Surroundings, LookError>> + Send;
}

/// A target group to be attached at weight 0.
#[derive(Debug, Clone, Copy)]
pub struct Attach<'a> {
    pub target: &'a Target,
    pub canary: &'a Version,
    /// The routing that was looked at when this was decided.
    pub seen: &'a Routing,
}

/// A target group to be taken off the rules, wherever its weight is 0.
#[derive(Debug, Clone, Copy)]
pub struct Detach<'a> {
    pub target: &'a Target,
    pub group: &'a Version,
    /// The routing that was looked at when this was decided.
    pub seen: &'a Routing,
}

/// A weight to be set. Complete: nothing is left to choose.
#[derive(Debug, Clone, Copy)]
pub struct SetWeight<'a> {
    pub target: &'a Target,
    pub baseline: &'a Version,
    pub canary: &'a Version,
    pub weight: Weight,
    /// The routing that was looked at when this was decided.
    pub seen: &'a Routing,
}

/// Reads metrics.
pub trait MetricSource {
    /// One result per query, in the same order. Anything but complete data is an error: no data is never good news.
    fn fetch(&self, queries: &[SeriesQuery]) -> impl Future<Output = Vec<Result<Series, Fault>>> + Send;
}

/// Reads alarm states.
pub trait AlarmSource {
    /// State by name, metric and composite alarms alike. A name that does not exist is absent from the answer.
    fn states(&self, names: &[String]) -> impl Future<Output = Result<BTreeMap<String, AlarmState>, Fault>> + Send;
}

/// Saving a rollout that already exists.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// Somebody else saved it meanwhile. This tick's decision is dropped; the next one decides afresh.
    #[error("the rollout was changed meanwhile")]
    Conflict,
    #[error("the target is held by rollout {by}")]
    TargetTaken { by: String },
    /// It may or may not have been saved.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Creating a rollout.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("a rollout of this name exists")]
    Exists,
    #[error("the target is held by rollout {by}")]
    TargetTaken { by: String },
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A stored rollout that cannot be read: damaged, or written by a newer version.
#[derive(Debug, thiserror::Error)]
#[error("rollout {id} cannot be read")]
pub struct Unreadable {
    pub id: String,
    #[source]
    pub fault: Fault,
}

/// As many ended rollouts as one page has: as many as one BatchGetItem reads.
pub const ENDED_A_PAGE: usize = 100;

/// Rollouts that have ended, a page of them.
#[derive(Debug)]
pub struct EndedPage {
    pub rollouts: Vec<Result<Rollout, Unreadable>>,
    /// Where the next page begins; nothing after the last one.
    pub next: Option<String>,
}

impl EndedPage {
    /// Where a rollout stands among those that have ended: by when, and by its name.
    #[must_use]
    pub fn place(at: Timestamp, id: &str) -> String {
        format!("{at}#{id}")
    }

    /// The page of all rollouts that are stored. What cannot be read is listed among the active ones.
    #[must_use]
    pub fn of(
        all: impl IntoIterator<Item = Result<Rollout, Unreadable>>,
        since: Timestamp,
        from: Option<&str>,
    ) -> Self {
        let placed = |rollout: Rollout| {
            let at = rollout.ended_at().filter(|at| *at >= since)?;
            Some((Self::place(at, &rollout.id), rollout))
        };
        let mut ended: Vec<(String, Rollout)> = all.into_iter().flatten().filter_map(placed).collect();
        ended.retain(|(place, _)| from.is_none_or(|from| place.as_str() <= from));
        ended.sort_by(|(one, _), (other, _)| other.cmp(one));
        let next = ended.get(ENDED_A_PAGE).map(|(place, _)| place.clone());
        ended.truncate(ENDED_A_PAGE);
        Self { rollouts: ended.into_iter().map(|(_, rollout)| Ok(rollout)).collect(), next }
    }
}

/// Keeps rollouts. The revision's compare-and-swap is the only mutex there is.
pub trait RolloutStore {
    /// Every rollout with [`Rollout::is_active`], read consistently, by id. One that cannot be read does not hide the
    /// others.
    fn active(&self) -> impl Future<Output = Result<Vec<Result<Rollout, Unreadable>>, Fault>> + Send;

    /// A rollout by name, ended ones included as long as they are kept.
    fn load(&self, id: &str) -> impl Future<Output = Result<Option<Rollout>, Fault>> + Send;

    /// The rollout that holds a target.
    fn holder(&self, target: &Target) -> impl Future<Output = Result<Option<String>, Fault>> + Send;

    /// The active rollouts that name an alarm. One cheap read for an alarm that nobody names.
    fn named_by_alarm(&self, alarm: &str) -> impl Future<Output = Result<Vec<String>, Fault>> + Send;

    /// Stores a new rollout, and claims its target if it [holds](Rollout::holds_target) it, all or nothing.
    fn create(&self, rollout: &Rollout) -> impl Future<Output = Result<(), CreateError>> + Send;

    /// Replaces `before` by `next`, whose revision is one higher, if `before`'s revision is still the stored one; claims
    /// or frees the target and keeps the record, all or nothing.
    fn save(
        &self,
        before: &Rollout,
        next: &Rollout,
        record: Option<&DecisionRecord>,
    ) -> impl Future<Output = Result<(), SaveError>> + Send;

    /// Keeps minutes for good. A minute that is stored stays as it is: the first writer wins.
    fn seal(&self, id: &str, minutes: &[MinuteSample]) -> impl Future<Output = Result<(), Fault>> + Send;

    /// All sealed minutes, in rising order.
    fn sealed(&self, id: &str) -> impl Future<Output = Result<Vec<MinuteSample>, Fault>> + Send;

    /// Every rollout that judges or judged another service's deployment, ended ones included as long as they are kept,
    /// oldest first.
    fn judged(&self) -> impl Future<Output = Result<Vec<Result<Rollout, Unreadable>>, Fault>> + Send;

    /// The rollouts that ended at a time or after it, as long as they are kept: those that ended last come first. A page of
    /// them, from where the one before [ends](EndedPage::next). What is read grows with what is asked for, and not with all
    /// that ever ended.
    fn ended(&self, since: Timestamp, from: Option<&str>) -> impl Future<Output = Result<EndedPage, Fault>> + Send;

    /// Keeps a hook until it is [dropped](Self::drop_hook). The first one of an execution counts.
    fn keep_hook(&self, hook: &Hook) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Every hook that waits for its answer, read consistently, oldest first.
    fn hooks(&self) -> impl Future<Output = Result<Vec<Hook>, Fault>> + Send;

    /// Forgets an answered hook. One that is not there is no error.
    fn drop_hook(&self, hook: &Hook) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Tells people and machines about transitions.
pub trait Notifier {
    /// At least once; receivers recognise a repetition by [`Notice::key`].
    fn publish(&self, notice: &Notice) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Makes the verdict on another service's deployment a metric, for an alarm that stops it: 1 while it is proven worse,
    /// otherwise 0.
    fn measure(&self, target: &Target, worse: bool) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Deployments that another service runs.
pub trait Deployments {
    /// How far a deployment is, and what it moves.
    fn deployment(&self, deployment: &DeploymentRef) -> impl Future<Output = Result<Deployment, LookError>> + Send;

    /// Stops it and has its service put all traffic back. One that has ended is no error.
    fn stop(&self, deployment: &DeploymentRef) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Tells CodeDeploy what a hook came to. A hook that has its answer, and one whose deployment is over, is no error.
    fn answer(&self, hook: &Hook, answer: &HookAnswer) -> impl Future<Output = Result<(), Fault>> + Send;

    /// The spec that was left for deployments of this kind; `None` where nobody left one.
    fn spec_for(&self, deployment: &Deployment) -> impl Future<Output = Result<Option<FoundSpec>, Fault>> + Send;

    /// Another service's deployment that is shifting this target now.
    fn shifting(&self, target: &Target) -> impl Future<Output = Result<Option<DeploymentRef>, Fault>> + Send;
}

/// The dead man's switch: something that puts all of a target's traffic back at a given time, whoever is dead by then.
pub trait DeadMansSwitch {
    /// Arms the rollout's switch, or has it wait for another time. Idempotent.
    fn arm(&self, switch: &Switch<'_>) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Removes it. One that is not there is no error.
    fn disarm(&self, rollout: &str, target: &Target) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// What a switch does, and when.
#[derive(Debug, Clone, Copy)]
pub struct Switch<'a> {
    /// The rollout that it is for, of which it bears the name.
    pub rollout: &'a str,
    pub target: &'a Target,
    /// The version that gets all the traffic.
    pub baseline: &'a Version,
    pub canary: &'a Version,
    pub at: Timestamp,
}

/// Tests a version before it gets traffic.
pub trait TestRunner {
    fn run(
        &self,
        target: &Target,
        version: &Version,
        test: &Test,
    ) -> impl Future<Output = Result<TestOutcome, Fault>> + Send;
}

/// Keeping what is known of a stack's resource.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// Somebody else kept it meanwhile.
    #[error("the resource was changed meanwhile")]
    Conflict,
    /// It may or may not have been kept.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// The custom resources of stacks, and CloudFormation, which waits for what comes of them.
pub trait Stacks {
    /// Every resource that is open or was within the last week, read consistently, oldest first.
    fn resources(&self) -> impl Future<Output = Result<Vec<Resource>, Fault>> + Send;

    /// Keeps a resource if the stored revision is the one before its own; the first one is 1.
    fn keep_resource(&self, resource: &Resource) -> impl Future<Output = Result<(), KeepError>> + Send;

    /// Tells CloudFormation what a request came to. It takes the first answer.
    fn respond(&self, caller: &Caller, answer: &Answer) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Everything the driver needs.
pub trait Ports:
    TrafficRouter + MetricSource + AlarmSource + RolloutStore + Notifier + TestRunner + Deployments + DeadMansSwitch + Sync
{
}

impl<T> Ports for T where
    T: TrafficRouter
        + MetricSource
        + AlarmSource
        + RolloutStore
        + Notifier
        + TestRunner
        + Deployments
        + DeadMansSwitch
        + Sync
{
}

/// How much time is left. Injected, so that the driver has no clock.
pub trait Budget: Sync {
    /// Time until this invocation is cut off.
    fn remaining(&self) -> Duration;

    /// Ends after `wait`. Bounds a single rollout's part of the tick.
    fn sleep(&self, wait: Duration) -> impl Future<Output = ()> + Send;
}
