//! Failures on purpose, around any implementation of the ports.

use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::sync::{Mutex, MutexGuard, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::analysis::MinuteSample;
use crate::deployment::{Deployment, DeploymentRef, FoundSpec, Hook, HookAnswer};
use crate::metrics::{Series, SeriesQuery};
use crate::observation::{AlarmState, Health, Routing, Surroundings, TestOutcome, VersionInfo};
use crate::ports::{
    AlarmSource, Attach, CreateError, DeadMansSwitch, Deployments, Detach, EndedPage, Fault, FaultKind, LookError,
    MetricSource, Notifier, Ports, RolloutStore, SaveError, SetError, SetWeight, Switch, TestRunner, TrafficRouter,
    Unreadable,
};
use crate::rollout::{DecisionRecord, Notice, Rollout};
use crate::sim::executor::yield_once;
use crate::sim::rng::Rng;
use crate::sim::timed::{Clock, Service};
use crate::spec::decode::camel_case;
use crate::spec::{AlbTarget, Target, Test, Version};
use crate::units::{Timestamp, Weight};

/// A call takes fewer polls than this. A tick makes some dozens of calls, and a sleep ends after 1 000 polls.
const MOST_WAITING_POLLS: u64 = 4;

/// The calls of all ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    Look,
    Version,
    Set,
    Attach,
    Detach,
    Health,
    Survey,
    Fetch,
    States,
    Active,
    Load,
    Holder,
    NamedByAlarm,
    Create,
    Save,
    Seal,
    Sealed,
    Publish,
    RunTest,
    Judged,
    KeepHook,
    Hooks,
    DropHook,
    Measure,
    Deployment,
    Stop,
    Answer,
    SpecFor,
    Shifting,
    Arm,
    Disarm,
    /// For people alone: no scenario looks back.
    #[serde(skip)]
    Ended,
    #[serde(skip)]
    Resources,
    #[serde(skip)]
    KeepResource,
    #[serde(skip)]
    Respond,
}

impl Operation {
    /// Those of stacks. No scenario has one.
    pub const OF_STACKS: [Self; 3] = [Self::Resources, Self::KeepResource, Self::Respond];

    /// Those of rollouts.
    pub const ALL: [Self; 31] = [
        Self::Look,
        Self::Version,
        Self::Set,
        Self::Attach,
        Self::Detach,
        Self::Health,
        Self::Survey,
        Self::Fetch,
        Self::States,
        Self::Active,
        Self::Load,
        Self::Holder,
        Self::NamedByAlarm,
        Self::Create,
        Self::Save,
        Self::Seal,
        Self::Sealed,
        Self::Publish,
        Self::RunTest,
        Self::Judged,
        Self::KeepHook,
        Self::Hooks,
        Self::DropHook,
        Self::Measure,
        Self::Deployment,
        Self::Stop,
        Self::Answer,
        Self::SpecFor,
        Self::Shifting,
        Self::Arm,
        Self::Disarm,
    ];

    /// As the port calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Version => "version",
            Self::Set => "set",
            Self::Attach => "attach",
            Self::Detach => "detach",
            Self::Health => "health",
            Self::Survey => "survey",
            Self::Fetch => "fetch",
            Self::States => "states",
            Self::Active => "active",
            Self::Load => "load",
            Self::Holder => "holder",
            Self::NamedByAlarm => "named_by_alarm",
            Self::Create => "create",
            Self::Save => "save",
            Self::Seal => "seal",
            Self::Sealed => "sealed",
            Self::Publish => "publish",
            Self::RunTest => "run",
            Self::Judged => "judged",
            Self::Ended => "ended",
            Self::KeepHook => "keep_hook",
            Self::Hooks => "hooks",
            Self::DropHook => "drop_hook",
            Self::Measure => "measure",
            Self::Deployment => "deployment",
            Self::Stop => "stop",
            Self::Answer => "answer",
            Self::SpecFor => "spec_for",
            Self::Shifting => "shifting",
            Self::Arm => "arm",
            Self::Disarm => "disarm",
            Self::Resources => "resources",
            Self::KeepResource => "keep_resource",
            Self::Respond => "respond",
        }
    }

    /// As a scenario calls it.
    #[must_use]
    pub fn word(self) -> String {
        if self == Self::RunTest { "runTest".to_owned() } else { camel_case(self.name()) }
    }

    /// Whether a call changes the world.
    #[must_use]
    pub fn writes(self) -> bool {
        match self {
            Self::Set | Self::Attach | Self::Detach => true,
            Self::Create | Self::Save | Self::Seal | Self::Publish => true,
            Self::KeepHook | Self::DropHook | Self::Measure | Self::Stop | Self::Answer => true,
            Self::Arm | Self::Disarm | Self::KeepResource | Self::Respond => true,
            Self::Look | Self::Version | Self::Health | Self::Survey | Self::Fetch | Self::States => false,
            Self::Active | Self::Load | Self::Holder | Self::NamedByAlarm | Self::Sealed | Self::RunTest => false,
            Self::Judged | Self::Ended | Self::Hooks => false,
            Self::Deployment | Self::SpecFor | Self::Shifting | Self::Resources => false,
        }
    }
}

/// Which calls a rule is about. Calls are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Always,
    /// The k-th call of all.
    Call(usize),
    Every(Operation),
    /// Every second call of one operation, by chance: what strictly alternates always meets the same one of two.
    Half(Operation),
    /// The k-th call of one operation.
    Nth(Operation, usize),
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// Fails in this way, without effect.
    Fails(FaultKind),
    /// The effect happens, but the answer is a timeout.
    AnswerLost,
    /// `set`, `attach` and `detach`: the target has changed meanwhile; `save`: the rollout has; `create`: it exists. Others fail
    /// without effect.
    Stale,
    /// `set`, `attach` and `detach`: the first rule is written, then time is over. Of anything else the answer is lost.
    Half,
    /// A read answers as it would have from the past, where one is known; a write works.
    Old,
    /// Never answers, no effect.
    Hangs,
    /// A bug of ours: the call panics, without effect.
    Panics,
    /// `set` only: times out now, and takes effect when [`Faulty::deliver_stalled`] is called: on an alias only if it is
    /// as it was seen, on rules whatever they are by then. Others fail without effect.
    Stalls,
    /// Waits before the effect until [`Faulty::go_on`] is called.
    Slow,
    /// The process dies before the effect: no call has an effect from then on.
    KilledBefore,
    /// The process dies after the effect.
    KilledAfter,
}

/// A rule of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub when: When,
    pub way: Way,
}

impl std::fmt::Display for Rule {
    /// `every save was throttled`, to complete a line about faults.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.when {
            When::Always => f.write_str("every call ")?,
            When::Call(k) => write!(f, "call {} of each tick ", k + 1)?,
            When::Every(operation) => write!(f, "every call of `{}` ", operation.word())?,
            When::Half(operation) => write!(f, "half of all calls of `{}` ", operation.word())?,
            When::Nth(operation, k) => write!(f, "call {} of `{}` in each tick ", k + 1, operation.word())?,
        }
        match self.way {
            Way::Fails(kind) => write!(f, "{kind}"),
            Way::AnswerLost => f.write_str("has its effect, and its answer is lost"),
            Way::Stale => f.write_str("finds that somebody else was faster"),
            Way::Half => f.write_str("is done by half, and its answer is lost"),
            Way::Old => f.write_str("answers as it would have a minute ago"),
            Way::Hangs => f.write_str("never answers"),
            Way::Panics => f.write_str("meets a bug and panics"),
            Way::Stalls => f.write_str("times out, and takes effect later"),
            Way::Slow => f.write_str("takes effect only after another invocation"),
            Way::KilledBefore => f.write_str("kills the controller before it has an effect"),
            Way::KilledAfter => f.write_str("kills the controller after its effect"),
        }
    }
}

/// Ports that fail as planned. The first rule that fits a call decides.
#[derive(Debug)]
pub struct Faulty<'a, P> {
    inner: &'a P,
    /// What stale reads see.
    past: Option<&'a P>,
    state: Mutex<State>,
    pace: Pace<'a>,
}

/// How long calls take.
#[derive(Debug)]
enum Pace<'a> {
    AtOnce,
    /// So many polls as are drawn.
    Drawn(Mutex<Rng>),
    Timed(&'a Clock, fn(Operation) -> Service),
}

#[derive(Debug)]
struct State {
    rules: Vec<Rule>,
    calls: Vec<Operation>,
    /// Where in `calls` the process died.
    killed: Option<usize>,
    stalled: Vec<StalledWrite>,
    slow: Slow,
}

/// How far the slow call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slow {
    NotReached,
    Waits,
    GoesOn,
}

/// A `set` that has not reached the service yet.
#[derive(Debug)]
struct StalledWrite {
    target: Target,
    baseline: Version,
    canary: Version,
    weight: Weight,
    seen: Routing,
}

impl<'a, P: Ports> Faulty<'a, P> {
    #[must_use]
    pub fn new(inner: &'a P, rules: Vec<Rule>) -> Self {
        let state = State { rules, calls: Vec::new(), killed: None, stalled: Vec::new(), slow: Slow::NotReached };
        Self { inner, past: None, state: Mutex::new(state), pace: Pace::AtOnce }
    }

    /// Lets every call take a seeded while, so that what runs at the same time meets in ever new orders.
    #[must_use]
    pub fn interleaved(self, seed: u64) -> Self {
        Self { pace: Pace::Drawn(Mutex::new(Rng::new(seed))), ..self }
    }

    /// Lets every call take the time of its service.
    #[must_use]
    pub fn timed(self, clock: &'a Clock, services: fn(Operation) -> Service) -> Self {
        Self { pace: Pace::Timed(clock, services), ..self }
    }

    /// Lets reads that go wrong as [`Way::Old`] see how everything was then.
    #[must_use]
    pub fn remembering(self, past: &'a P) -> Self {
        Self { past: Some(past), ..self }
    }

    /// Everything works: for counting calls.
    #[must_use]
    pub fn healthy(inner: &'a P) -> Self {
        Self::new(inner, Vec::new())
    }

    /// One rule.
    #[must_use]
    pub fn once(inner: &'a P, when: When, way: Way) -> Self {
        Self::new(inner, vec![Rule { when, way }])
    }

    /// Every call so far, failed ones included, in order: what a test enumerates crash points from.
    #[must_use]
    pub fn calls(&self) -> Vec<Operation> {
        self.lock().calls.clone()
    }

    /// Whether a rule has killed the process.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.lock().killed.is_some()
    }

    /// Lets the stalled writes arrive at last, in their order; each one's answer, which nobody waits for any more.
    pub async fn deliver_stalled(&self) -> Vec<Result<(), SetError>> {
        let stalled = std::mem::take(&mut self.lock().stalled);
        let mut answers = Vec::new();
        for write in &stalled {
            let StalledWrite { target, baseline, canary, weight, seen } = write;
            // A rule's write was compared before it stalled; what travels knows of no comparison.
            let now = match target {
                Target::Lambda(_) => Ok(seen.clone()),
                Target::Alb(_) => self.inner.look(target).await,
            };
            let split = |seen| SetWeight { target, baseline, canary, weight: *weight, seen };
            answers.push(match &now {
                Ok(seen) => self.inner.set(&split(seen)).await,
                Err(_) => Err(SetError::Stale),
            });
        }
        answers
    }

    /// Whether a call waits for [`Faulty::go_on`].
    #[must_use]
    pub fn waits(&self) -> bool {
        self.lock().slow == Slow::Waits
    }

    /// Lets the slow call go on, at once if it comes only later.
    pub fn go_on(&self) {
        self.lock().slow = Slow::GoesOn;
    }

    /// Counts the call and says what happens to it; `None` lets it through.
    fn next(&self, operation: Operation) -> Option<Way> {
        let mut state = self.lock();
        let overall = state.calls.len();
        if state.killed.is_some() {
            state.calls.push(operation);
            return Some(Way::KilledBefore);
        }
        let before = || state.calls.iter().filter(|call| **call == operation).count();
        let fits = |rule: &&Rule| match rule.when {
            When::Always => true,
            When::Call(k) => k == overall,
            When::Every(of) => of == operation,
            When::Half(of) => of == operation && Rng::new(before() as u64).next_u64().is_multiple_of(2),
            When::Nth(of, k) => of == operation && k == before(),
        };
        let way = state.rules.iter().find(fits).map(|rule| rule.way);
        state.calls.push(operation);
        if matches!(way, Some(Way::KilledBefore | Way::KilledAfter)) {
            state.killed = Some(overall);
        }
        way
    }

    async fn call<T: Send, E: From<Fault> + Send>(
        &self,
        operation: Operation,
        effect: impl Future<Output = Result<T, E>> + Send,
        stale: Option<E>,
    ) -> Result<T, E> {
        self.take_time(operation).await;
        let way = self.next(operation);
        self.be_slow(way).await;
        go_wrong(way, operation, effect, stale).await
    }

    /// A call that changes nothing: it may see the past.
    async fn read<T: Send, E: From<Fault> + Send, F: Future<Output = Result<T, E>> + Send>(
        &self,
        operation: Operation,
        ask: impl FnOnce(&'a P) -> F + Send,
    ) -> Result<T, E> {
        self.take_time(operation).await;
        let way = self.next(operation);
        self.be_slow(way).await;
        match (way, self.past) {
            (Some(Way::Old), Some(past)) => ask(past).await,
            (way, _) => go_wrong(way, operation, ask(self.inner), None).await,
        }
    }

    async fn take_time(&self, operation: Operation) {
        match &self.pace {
            Pace::AtOnce => {}
            Pace::Drawn(rng) => {
                let polls = rng.lock().unwrap_or_else(PoisonError::into_inner).below(MOST_WAITING_POLLS);
                for _ in 0..polls {
                    yield_once().await;
                }
            }
            Pace::Timed(clock, services) => clock.serve(services(operation)).await,
        }
    }

    async fn be_slow(&self, way: Option<Way>) {
        while way == Some(Way::Slow) && self.lock().slow != Slow::GoesOn {
            self.lock().slow = Slow::Waits;
            yield_once().await;
        }
    }

    /// Remembers a write that is about to stall.
    fn remember_stalling(&self, split: &SetWeight<'_>) {
        self.lock().stalled.push(StalledWrite {
            target: split.target.clone(),
            baseline: split.baseline.clone(),
            canary: split.canary.clone(),
            weight: split.weight,
            seen: split.seen.clone(),
        });
    }

    /// The target with its first rule alone, as it is now; `None` for an alias. A target that has changed since it was
    /// `seen` is not written at all.
    async fn first_rule(&self, target: &Target, seen: &Routing) -> Result<Option<(Target, Routing)>, SetError> {
        let Target::Alb(alb) = target else { return Ok(None) };
        let fault = |error: LookError| Fault::new("look", FaultKind::Failed, error.to_string());
        if self.inner.look(target).await.map_err(fault)?.fingerprint != seen.fingerprint {
            return Err(SetError::Stale);
        }
        let rules = alb.rules.iter().take(1).cloned().collect();
        let first = Target::Alb(AlbTarget { rules, ..alb.clone() });
        let seen = self.inner.look(&first).await.map_err(fault)?;
        Ok(Some((first, seen)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `effect` is the call itself: unless it is polled it has no effect. `stale` is the operation's own answer to a lost
/// race, if it has one.
async fn go_wrong<T: Send, E: From<Fault> + Send>(
    way: Option<Way>,
    operation: Operation,
    effect: impl Future<Output = Result<T, E>> + Send,
    stale: Option<E>,
) -> Result<T, E> {
    let fault = |kind, detail: &str| Err(E::from(Fault::new(operation.name(), kind, detail)));
    match way {
        None | Some(Way::Old | Way::Slow) => effect.await,
        Some(Way::Fails(kind)) => fault(kind, "on purpose"),
        Some(Way::AnswerLost | Way::Half) => {
            let _lost = effect.await;
            fault(FaultKind::TimedOut, "the answer was lost on purpose")
        }
        Some(Way::Stale) => match stale {
            Some(error) => Err(error),
            None => fault(FaultKind::Failed, "on purpose"),
        },
        Some(Way::Stalls) => fault(FaultKind::TimedOut, "stalled on purpose"),
        Some(Way::Hangs) => pending().await,
        // Unlike `panic!` this does not call the panic hook: no backtrace of a bug that is none.
        Some(Way::Panics) => std::panic::resume_unwind(Box::new("a panic on purpose")),
        Some(Way::KilledBefore) => fault(FaultKind::Failed, "the process is dead"),
        Some(Way::KilledAfter) => {
            let _lost = effect.await;
            fault(FaultKind::Failed, "the process is dead")
        }
    }
}

impl<P: Ports> TrafficRouter for Faulty<'_, P> {
    async fn look(&self, target: &Target) -> Result<Routing, LookError> {
        self.read(Operation::Look, |ports| ports.look(target)).await
    }

    async fn version(&self, target: &Target, version: Option<&Version>) -> Result<VersionInfo, LookError> {
        self.read(Operation::Version, |ports| ports.version(target, version)).await
    }

    async fn set(&self, split: &SetWeight<'_>) -> Result<(), SetError> {
        self.take_time(Operation::Set).await;
        let way = self.next(Operation::Set);
        self.be_slow(way).await;
        if way == Some(Way::Stalls) {
            self.remember_stalling(split);
        }
        let first = if way == Some(Way::Half) { self.first_rule(split.target, split.seen).await? } else { None };
        match &first {
            Some((target, seen)) => {
                let half = SetWeight { target, seen, ..*split };
                go_wrong(way, Operation::Set, self.inner.set(&half), None).await
            }
            None => go_wrong(way, Operation::Set, self.inner.set(split), Some(SetError::Stale)).await,
        }
    }

    async fn attach(&self, attach: &Attach<'_>) -> Result<(), SetError> {
        self.take_time(Operation::Attach).await;
        let way = self.next(Operation::Attach);
        self.be_slow(way).await;
        let first = if way == Some(Way::Half) { self.first_rule(attach.target, attach.seen).await? } else { None };
        match &first {
            Some((target, seen)) => {
                let half = Attach { target, seen, ..*attach };
                go_wrong(way, Operation::Attach, self.inner.attach(&half), None).await
            }
            None => go_wrong(way, Operation::Attach, self.inner.attach(attach), Some(SetError::Stale)).await,
        }
    }

    async fn detach(&self, detach: &Detach<'_>) -> Result<(), SetError> {
        self.take_time(Operation::Detach).await;
        let way = self.next(Operation::Detach);
        self.be_slow(way).await;
        let first = if way == Some(Way::Half) { self.first_rule(detach.target, detach.seen).await? } else { None };
        match &first {
            Some((target, seen)) => {
                let half = Detach { target, seen, ..*detach };
                go_wrong(way, Operation::Detach, self.inner.detach(&half), None).await
            }
            None => go_wrong(way, Operation::Detach, self.inner.detach(detach), Some(SetError::Stale)).await,
        }
    }

    async fn health(&self, target: &Target, baseline: &Version, canary: &Version) -> Result<Health, LookError> {
        self.read(Operation::Health, |ports| ports.health(target, baseline, canary)).await
    }

    async fn survey(&self, target: &Target) -> Result<Surroundings, LookError> {
        self.read(Operation::Survey, |ports| ports.survey(target)).await
    }
}

impl<'a, P: Ports> MetricSource for Faulty<'a, P> {
    async fn fetch(&self, queries: &[SeriesQuery]) -> Vec<Result<Series, Fault>> {
        let ask = |ports: &'a P| async move { Ok::<_, Fault>(ports.fetch(queries).await) };
        match self.read(Operation::Fetch, ask).await {
            Ok(answers) => answers,
            Err(fault) => {
                queries.iter().map(|_| Err(Fault::new(fault.operation, fault.kind, fault.detail.clone()))).collect()
            }
        }
    }
}

impl<P: Ports> AlarmSource for Faulty<'_, P> {
    async fn states(&self, names: &[String]) -> Result<BTreeMap<String, AlarmState>, Fault> {
        self.read(Operation::States, |ports| ports.states(names)).await
    }
}

impl<P: Ports> RolloutStore for Faulty<'_, P> {
    async fn active(&self) -> Result<Vec<Result<Rollout, Unreadable>>, Fault> {
        self.read(Operation::Active, |ports| ports.active()).await
    }

    async fn load(&self, id: &str) -> Result<Option<Rollout>, Fault> {
        self.read(Operation::Load, |ports| ports.load(id)).await
    }

    async fn holder(&self, target: &Target) -> Result<Option<String>, Fault> {
        self.read(Operation::Holder, |ports| ports.holder(target)).await
    }

    async fn named_by_alarm(&self, alarm: &str) -> Result<Vec<String>, Fault> {
        self.read(Operation::NamedByAlarm, |ports| ports.named_by_alarm(alarm)).await
    }

    async fn create(&self, rollout: &Rollout) -> Result<(), CreateError> {
        self.call(Operation::Create, self.inner.create(rollout), Some(CreateError::Exists)).await
    }

    async fn save(&self, before: &Rollout, next: &Rollout, record: Option<&DecisionRecord>) -> Result<(), SaveError> {
        let effect = self.inner.save(before, next, record);
        self.call(Operation::Save, effect, Some(SaveError::Conflict)).await
    }

    async fn seal(&self, id: &str, minutes: &[MinuteSample]) -> Result<(), Fault> {
        self.call(Operation::Seal, self.inner.seal(id, minutes), None).await
    }

    async fn sealed(&self, id: &str) -> Result<Vec<MinuteSample>, Fault> {
        self.read(Operation::Sealed, |ports| ports.sealed(id)).await
    }

    async fn judged(&self) -> Result<Vec<Result<Rollout, Unreadable>>, Fault> {
        self.read(Operation::Judged, |ports| ports.judged()).await
    }

    async fn ended(&self, since: Timestamp, from: Option<&str>) -> Result<EndedPage, Fault> {
        self.read(Operation::Ended, |ports| ports.ended(since, from)).await
    }

    async fn keep_hook(&self, hook: &Hook) -> Result<(), Fault> {
        self.call(Operation::KeepHook, self.inner.keep_hook(hook), None).await
    }

    async fn hooks(&self) -> Result<Vec<Hook>, Fault> {
        self.read(Operation::Hooks, |ports| ports.hooks()).await
    }

    async fn drop_hook(&self, hook: &Hook) -> Result<(), Fault> {
        self.call(Operation::DropHook, self.inner.drop_hook(hook), None).await
    }
}

impl<P: Ports> Notifier for Faulty<'_, P> {
    async fn publish(&self, notice: &Notice) -> Result<(), Fault> {
        self.call(Operation::Publish, self.inner.publish(notice), None).await
    }

    async fn measure(&self, target: &Target, worse: bool) -> Result<(), Fault> {
        self.call(Operation::Measure, self.inner.measure(target, worse), None).await
    }
}

impl<P: Ports> Deployments for Faulty<'_, P> {
    async fn deployment(&self, deployment: &DeploymentRef) -> Result<Deployment, LookError> {
        self.read(Operation::Deployment, |ports| ports.deployment(deployment)).await
    }

    async fn stop(&self, deployment: &DeploymentRef) -> Result<(), Fault> {
        self.call(Operation::Stop, self.inner.stop(deployment), None).await
    }

    async fn answer(&self, hook: &Hook, answer: &HookAnswer) -> Result<(), Fault> {
        self.call(Operation::Answer, self.inner.answer(hook, answer), None).await
    }

    async fn spec_for(&self, deployment: &Deployment) -> Result<Option<FoundSpec>, Fault> {
        self.read(Operation::SpecFor, |ports| ports.spec_for(deployment)).await
    }

    async fn shifting(&self, target: &Target) -> Result<Option<DeploymentRef>, Fault> {
        self.read(Operation::Shifting, |ports| ports.shifting(target)).await
    }
}

impl<P: Ports> DeadMansSwitch for Faulty<'_, P> {
    async fn arm(&self, switch: &Switch<'_>) -> Result<(), Fault> {
        self.call(Operation::Arm, self.inner.arm(switch), None).await
    }

    async fn disarm(&self, rollout: &str, target: &Target) -> Result<(), Fault> {
        self.call(Operation::Disarm, self.inner.disarm(rollout, target), None).await
    }
}

impl<P: Ports> TestRunner for Faulty<'_, P> {
    async fn run(&self, target: &Target, version: &Version, test: &Test) -> Result<TestOutcome, Fault> {
        self.call(Operation::RunTest, self.inner.run(target, version, test), None).await
    }
}

mod stacks;
#[cfg(test)]
mod tests;
