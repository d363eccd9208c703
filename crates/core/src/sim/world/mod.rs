//! The made-up AWS: every port in memory, with what the real services do where it matters.
//!
//! The owner of a [`World`] sets its time and changes it from outside, as people and other tools would; the driver
//! sees it through the ports only.

mod alb;
mod deployments;
mod fork;
mod router;
mod services;
mod stacks;
mod switch;
#[cfg(test)]
mod tests;

pub use alb::{HOSTS, Rule};
pub use deployments::{CodeDeploy, Deploys, Ecs, Telling, Tells, Timetable, Told};
pub use fork::{Table, hash_of};
pub use switch::Armed;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::analysis::MinuteSample;
use crate::deployment::Hook;
use crate::observation::{AlarmState, Readiness, Routing, TestOutcome, VersionInfo};
use crate::ports::FaultKind;
use crate::rollout::{DecisionRecord, Notice, Rollout};
use crate::sim::durations::Durations;
use crate::spec::{AlbTarget, LambdaTarget, MetricRef, RuleRef, Target, Version};
use crate::units::{Minute, Span, Timestamp, Weight};

/// An AWS account in memory.
#[derive(Debug)]
pub struct World {
    state: Mutex<State>,
}

/// What arrived of a metric's minute at once. A minute may arrive in several parts; CloudWatch adds them up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Datapoint {
    pub sum: f64,
    pub samples: f64,
    /// Not delivered before.
    pub arrives: Timestamp,
}

/// One write to an alias or to a rule, by anybody.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    pub at: Timestamp,
    pub target: Target,
    /// The whole target after it: of several rules one is written after the other.
    pub routing: Routing,
    pub change: Change,
    /// Through the port, not by [`World::write`].
    pub ours: bool,
}

/// What was written. There is nothing before the first write.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a made-up world has few writes")]
pub enum Change {
    Alias { before: Option<Routing>, after: Routing },
    Rule { before: Option<Rule>, after: Rule, by: Call },
}

/// The call of [`TrafficRouter`](crate::ports::TrafficRouter) that writes a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Whatever other people do is of this kind, too.
    Set,
    Attach,
    Detach,
}

/// Why the world refuses something its owner asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// What metrics were told, in the order of the minutes. What may grow large is shared between worlds: a small history makes
/// hundreds of them.
type Metrics<T> = BTreeMap<Arc<MetricRef>, Arc<Vec<(Minute, T)>>>;

#[derive(Debug, Clone)]
struct State {
    now: Timestamp,
    /// By function, then version.
    functions: Arc<BTreeMap<String, BTreeMap<Version, VersionInfo>>>,
    /// By [`Target::key`].
    aliases: BTreeMap<String, Routing>,
    /// Aliases with provisioned concurrency, by [`Target::key`].
    provisioned: BTreeSet<String>,
    rules: BTreeMap<RuleRef, Rule>,
    groups: BTreeMap<Version, alb::Group>,
    /// Every pair of target groups that was ever written, by [`Target::key`].
    pairs: BTreeMap<String, AlbTarget>,
    writes: Arc<Vec<Write>>,
    /// Counts all alias writes: what revision identifiers are made of.
    revisions: u64,
    metrics: Metrics<Datapoint>,
    durations: Metrics<Arc<Durations>>,
    /// Metrics, by name, that CloudWatch fails to deliver.
    broken_metrics: BTreeMap<String, FaultKind>,
    alarms: BTreeMap<String, AlarmState>,
    rollouts: BTreeMap<String, Arc<Rollout>>,
    /// Rollouts that are stored in a form that nobody can read.
    damaged: BTreeMap<String, FaultKind>,
    /// Which rollout holds a target, by each of its [`Target::claims`].
    claims: BTreeMap<String, String>,
    /// Sealed blocks by rollout and first minute.
    sealed: BTreeMap<String, BTreeMap<Minute, Arc<Vec<MinuteSample>>>>,
    records: BTreeMap<String, Vec<Arc<DecisionRecord>>>,
    notices: Arc<Vec<Notice>>,
    /// Hooks that wait for their answer, by execution.
    hooks: BTreeMap<String, Hook>,
    /// The verdict metric: when, on what, and whether it was proven worse.
    measured: Vec<(Timestamp, Target, bool)>,
    kept: deployments::Kept,
    /// By rollout.
    switches: BTreeMap<String, Armed>,
    fired: Vec<(Timestamp, String)>,
    stacks: stacks::Kept,
    /// By version: answers to its tests, the last one for ever after.
    test_outcomes: BTreeMap<Version, Vec<TestOutcome>>,
    /// By version: how its tests ended the last time.
    tests_run: BTreeMap<Version, TestOutcome>,
}

impl World {
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            state: Mutex::new(State {
                now,
                functions: Arc::default(),
                aliases: BTreeMap::new(),
                provisioned: BTreeSet::new(),
                rules: BTreeMap::new(),
                groups: BTreeMap::new(),
                pairs: BTreeMap::new(),
                writes: Arc::default(),
                revisions: 0,
                metrics: BTreeMap::new(),
                durations: BTreeMap::new(),
                broken_metrics: BTreeMap::new(),
                alarms: BTreeMap::new(),
                rollouts: BTreeMap::new(),
                damaged: BTreeMap::new(),
                claims: BTreeMap::new(),
                sealed: BTreeMap::new(),
                records: BTreeMap::new(),
                notices: Arc::default(),
                hooks: BTreeMap::new(),
                measured: Vec::new(),
                kept: deployments::Kept::default(),
                switches: BTreeMap::new(),
                fired: Vec::new(),
                stacks: stacks::Kept::default(),
                test_outcomes: BTreeMap::new(),
                tests_run: BTreeMap::new(),
            }),
        }
    }

    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.lock().now
    }

    /// Time never runs backwards: an earlier moment is ignored.
    pub fn set_now(&self, now: Timestamp) {
        let mut state = self.lock();
        state.fire_switches(now);
        state.now = state.now.max(now);
    }

    /// Publishes a version, or changes what is known of it.
    pub fn publish_version(&self, function: &str, info: VersionInfo) {
        let mut state = self.lock();
        Arc::make_mut(&mut state.functions).entry(function.to_owned()).or_default().insert(info.version.clone(), info);
    }

    /// Publishes an active version with a timeout of three seconds, Lambda's default.
    pub fn publish_active(&self, function: &str, version: &str) {
        let info = VersionInfo {
            version: Version(version.to_owned()),
            readiness: Readiness::Active,
            timeout: Span::from_seconds(3),
            code_hash: format!("sha256-of-{function}-{version}"),
            published: self.now().to_string(),
            slow_start: Span::ZERO,
        };
        self.publish_version(function, info);
    }

    /// Deletes a version. Lambda refuses it while an alias points there; a janitor that forces it is not simulated.
    pub fn delete_version(&self, function: &str, version: &Version) -> Result<(), Refused> {
        let mut state = self.lock();
        let prefix = format!("{function}:");
        let aliases = state.aliases.iter().filter(|(key, _)| key.starts_with(&prefix));
        for (key, routing) in aliases {
            let additional = routing.additional.as_ref().map(|(additional, _)| additional);
            if routing.primary == *version || additional == Some(version) {
                return Err(Refused(format!("{version} is in use by {key}")));
            }
        }
        Arc::make_mut(&mut state.functions).entry(function.to_owned()).or_default().remove(version);
        Ok(())
    }

    /// Makes a version of the target that can take traffic.
    pub fn offer(&self, target: &Target, version: &Version) {
        match target {
            Target::Lambda(lambda) => self.publish_active(&lambda.function, &version.0),
            Target::Alb(_) => self.register_group(version, alb::HOSTS),
        }
    }

    /// How long one request to a version of a function may take.
    pub fn set_timeout(&self, target: &Target, version: &Version, timeout: Span) {
        let Target::Lambda(lambda) = target else { return };
        let mut state = self.lock();
        let versions = Arc::make_mut(&mut state.functions).entry(lambda.function.clone()).or_default();
        if let Some(info) = versions.get_mut(version) {
            info.timeout = timeout;
        }
    }

    /// Whether a version exists and can take traffic.
    #[must_use]
    pub fn can_serve(&self, target: &Target, version: &Version) -> bool {
        let state = self.lock();
        match target {
            Target::Lambda(_) => state.version(target, version).is_some_and(|info| info.readiness == Readiness::Active),
            Target::Alb(_) => state.healthy(version) > 0,
        }
    }

    /// Writes an alias, or every rule of a target, as somebody other than Coalmine would: without looking at what is
    /// there, under the service's own rules only.
    pub fn write(
        &self,
        target: &Target,
        primary: &Version,
        additional: Option<(Version, Weight)>,
    ) -> Result<(), Refused> {
        let mut state = self.lock();
        match target {
            Target::Lambda(_) => state.write_alias(target, primary, additional, false),
            Target::Alb(alb) => state.write_all_rules(alb, primary, additional),
        }
        .map_err(Refused)
    }

    /// Provisioned concurrency begins or ends to be allocated.
    pub fn set_in_transition(&self, target: &Target, in_transition: bool) {
        if let Some(routing) = self.lock().aliases.get_mut(&target.key()) {
            routing.in_transition = in_transition;
        }
    }

    /// A target as it is now; `None` when there is none.
    #[must_use]
    pub fn routing(&self, target: &Target) -> Option<Routing> {
        let state = self.lock();
        match target {
            Target::Lambda(_) => state.aliases.get(&target.key()).cloned(),
            Target::Alb(alb) => state.routing_of(alb).ok(),
        }
    }

    /// Who gets which share of a target's requests. The shares come to 1, unless nobody gets any.
    #[must_use]
    pub fn shares(&self, target: &Target) -> Vec<(Version, f64)> {
        match target {
            Target::Alb(alb) => self.lock().shares_of(alb),
            Target::Lambda(_) => match self.routing(target) {
                None => Vec::new(),
                Some(Routing { primary, additional: None, .. }) => vec![(primary, 1.0)],
                Some(Routing { primary, additional: Some((version, weight)), .. }) => {
                    vec![(primary, weight.complement().share()), (version, weight.share())]
                }
            },
        }
    }

    /// For how long clients stay with their version, where they do.
    #[must_use]
    pub fn sticky(&self, target: &Target) -> Option<Span> {
        let Target::Alb(alb) = target else { return None };
        self.lock().rules_of(alb).ok()?.iter().filter_map(|rule| rule.sticky).max()
    }

    /// Every write, oldest first, without the first `skip`.
    #[must_use]
    pub fn writes(&self, skip: usize) -> Vec<Write> {
        self.lock().writes.iter().skip(skip).cloned().collect()
    }

    /// How many writes there were so far, and how often something was said about deployments.
    #[must_use]
    pub fn totals(&self) -> (usize, usize) {
        let state = self.lock();
        (state.writes.len(), state.kept.told.len())
    }

    /// Every target as it is now, by [`Target::key`].
    #[must_use]
    pub fn live(&self) -> BTreeMap<String, Routing> {
        let state = self.lock();
        let pairs = state.pairs.iter().filter_map(|(key, alb)| Some((key.clone(), state.routing_of(alb).ok()?)));
        state.aliases.clone().into_iter().chain(pairs).collect()
    }

    /// Adds to a metric's minute. What arrives later adds up with what is there.
    pub fn put_datapoint(&self, metric: &MetricRef, minute: Minute, datapoint: Datapoint) {
        self.put_datapoints(metric, [(minute, datapoint)]);
    }

    /// Adds to many minutes at once.
    pub fn put_datapoints(&self, metric: &MetricRef, points: impl IntoIterator<Item = (Minute, Datapoint)>) {
        add(&mut self.lock().metrics, metric, points);
    }

    /// Adds to a metric of which CloudWatch keeps every value.
    pub fn put_durations(&self, metric: &MetricRef, parts: impl IntoIterator<Item = (Minute, Arc<Durations>)>) {
        add(&mut self.lock().durations, metric, parts);
    }

    /// From now on reading metrics of this name fails, until `None` is set.
    pub fn break_metric(&self, metric_name: &str, fault: Option<FaultKind>) {
        let mut state = self.lock();
        match fault {
            Some(kind) => state.broken_metrics.insert(metric_name.to_owned(), kind),
            None => state.broken_metrics.remove(metric_name),
        };
    }

    /// Gives an alias provisioned concurrency.
    pub fn provision(&self, target: &Target) {
        self.lock().provisioned.insert(target.key());
    }

    /// Sets an alarm's state; the alarm exists from then on.
    pub fn set_alarm(&self, name: &str, alarm: AlarmState) {
        self.lock().alarms.insert(name.to_owned(), alarm);
    }

    pub fn delete_alarm(&self, name: &str) {
        self.lock().alarms.remove(name);
    }

    #[must_use]
    pub fn alarm(&self, name: &str) -> Option<AlarmState> {
        self.lock().alarms.get(name).copied()
    }

    /// What the tests of a version bring, in turn; the last outcome repeats. A version without outcomes passes.
    pub fn set_test_outcomes(&self, version: &Version, outcomes: Vec<TestOutcome>) {
        self.lock().test_outcomes.insert(version.clone(), outcomes);
    }

    /// The versions that were ever tested, and how their tests ended the last time.
    #[must_use]
    pub fn tests_run(&self) -> BTreeMap<Version, TestOutcome> {
        self.lock().tests_run.clone()
    }

    /// Everything that was told, in order, repetitions included.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        self.lock().notices.to_vec()
    }

    /// Every rollout in the store, by id, ended ones included.
    #[must_use]
    pub fn rollouts(&self) -> BTreeMap<String, Arc<Rollout>> {
        self.lock().rollouts.clone()
    }

    /// Which rollout holds a target, by each of its [`Target::claims`].
    #[must_use]
    pub fn claims(&self) -> BTreeMap<String, String> {
        self.lock().claims.clone()
    }

    /// From now on a stored rollout cannot be read, as if a newer version had written it.
    pub fn damage_rollout(&self, id: &str) {
        self.lock().damaged.insert(id.to_owned(), FaultKind::Rejected);
    }

    /// From now on this rollout is left out of what the store answers, which is throttled.
    pub fn leave_out(&self, id: &str) {
        self.lock().damaged.insert(id.to_owned(), FaultKind::Throttled);
    }

    /// The decision records of a rollout, oldest first.
    #[must_use]
    pub fn records(&self, id: &str) -> Vec<Arc<DecisionRecord>> {
        self.lock().records.get(id).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic of the caller while it held the lock leaves the state as consistent as any: every change is one
        // insertion.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add<T: Clone>(told: &mut Metrics<T>, metric: &MetricRef, parts: impl IntoIterator<Item = (Minute, T)>) {
    if !told.contains_key(metric) {
        told.insert(Arc::new(metric.clone()), Arc::default());
    }
    if let Some(told) = told.get_mut(metric).map(Arc::make_mut) {
        for (minute, part) in parts {
            told.insert(told.partition_point(|(other, _)| *other <= minute), (minute, part));
        }
    }
}

impl State {
    fn version(&self, target: &Target, version: &Version) -> Option<&VersionInfo> {
        let Target::Lambda(lambda) = target else { return None };
        self.functions.get(&lambda.function)?.get(version)
    }

    /// Lambda's UpdateAlias without its revision check (CreateAlias for an alias that is not there).
    fn write_alias(
        &mut self,
        target: &Target,
        primary: &Version,
        additional: Option<(Version, Weight)>,
        ours: bool,
    ) -> Result<(), String> {
        let Target::Lambda(LambdaTarget { function, .. }) = target else { return Err(target.key()) };
        let not_found = |version: &Version| format!("Function not found: {function}:{}", version.0);
        self.version(target, primary).ok_or_else(|| not_found(primary))?;
        if let Some((version, weight)) = &additional {
            let published = |version: &Version| version.0.bytes().all(|b| b.is_ascii_digit());
            if !published(primary) || !published(version) {
                return Err("$LATEST is not supported for an alias pointing to more than 1 version".to_owned());
            }
            self.version(target, version).ok_or_else(|| not_found(version))?;
            if version == primary {
                return Err(format!("Function version {} is already included in routing configuration.", version.0));
            }
            if *weight >= Weight::FULL {
                return Err("a weight must be less than 1.0".to_owned());
            }
        }
        self.revisions += 1;
        // A weight of zero is no routing at all.
        let additional = additional.filter(|(_, weight)| *weight > Weight::ZERO);
        let revision = Some(format!("revision-{}", self.revisions));
        let routing = Routing { revision, ..Routing::of(primary.clone(), additional) };
        let before = self.aliases.insert(target.key(), routing.clone());
        let change = Change::Alias { before, after: routing.clone() };
        Arc::make_mut(&mut self.writes).push(Write { at: self.now, target: target.clone(), routing, change, ours });
        Ok(())
    }
}
