//! A release in a made-up world, from outside: what people, traffic, alarms and faults do, minute by minute, around the
//! production driver.

mod deployed;
mod on_alb;
mod outcome;
mod throttled;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::budget::SimBudget;
use super::environments::Service;
use super::executor::{Stalled, run_now};
use super::faults::{Faulty, Operation, Rule, Way, When};
use super::invariants::{self, Blind, Snapshot, Violation, Watchdog};
use super::rng::Rng;
use super::traffic::{Generator, Traffic};
use super::world::{Refused, Rule as AlbRule, World, Write};
use crate::analysis::MinuteSample;
use crate::command::{Answer, Request};
use crate::deployment::Question;
use crate::driver::{self, Settings, TickReport};
use crate::observation::{AlarmState, TestOutcome};
use crate::ports::Fault;
use crate::spec::{LambdaTarget, Mode, Owner, Problem, Target, Version};
use crate::units::{Span, Timestamp, Weight};

/// Traffic before the release that is told of request by request.
const HISTORY: Span = Span::from_minutes(60);

/// EventBridge delivers an alarm's change of state within seconds.
const DELIVERY_SECONDS: std::ops::RangeInclusive<u64> = 2..=9;

/// When minutes begin for the controller: a rate of one minute starts at any second and then keeps it.
const TICK_SECOND: Span = Span::from_seconds(20);

/// One release and everything that happens around it.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub target: Target,
    /// The version that is live before.
    pub baseline: Version,
    /// The spec as the start command gets it. Every version that the traffic names is published and active.
    pub spec: Value,
    pub traffic: Traffic,
    /// How long the traffic has been there before the release; at least an hour.
    pub past: Span,
    /// The longest time one request to a function may take.
    pub timeout: Span,
    /// Alarms that exist, all of them OK at first, and what becomes of them.
    pub alarms: Vec<String>,
    pub events: Vec<Happening>,
    pub faults: Vec<FaultWindow>,
    pub settings: Settings,
    /// The run ends here even if the rollout has not.
    pub longest: Span,
    /// EventBridge delivers at least once: every tick comes twice, and the second must change nothing.
    pub ticks_twice: bool,
    /// Two controllers tick at the same time, their calls interleaved.
    pub rival: bool,
    /// For how long a client keeps its target group.
    pub sticky: Option<Span>,
    /// In what a function's requests run one by one; `None` where only their numbers count.
    pub service: Option<Service>,
    /// Another service shifts the traffic: nobody starts a rollout, and the spec is left for its deployments.
    pub deployed: Option<Deployed>,
}

/// Something that happens to the world.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    pub when: Moment,
    pub what: What,
}

/// When something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It is so before the start; not for commands, and for events of alarms.
    Before,
    /// This long after the start.
    After(Span),
    /// This long after this weight was first set.
    AfterWeight(Weight, Span),
}

/// What happens.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// The alarm's state changes, and its event arrives some seconds later.
    Alarm { name: String, state: AlarmState },
    /// An event about this alarm arrives.
    AlarmEvent { name: String },
    /// A request, as the command function gets it.
    Command(Value),
    /// Somebody else writes the alias, or all rules.
    Written { primary: Version, additional: Option<(Version, Weight)> },
    /// Somebody else writes one of the target's rules, by its place.
    RuleWritten { rule: usize, groups: Vec<(Version, u16)> },
    /// So many targets of a group pass their health checks from now on, and so many do not.
    Health { group: Version, healthy: u32, unhealthy: u32 },
    /// Somebody switches target-group stickiness on, for so long, or off.
    Sticky(Option<Span>),
    /// The tests of a version bring this from now on.
    Tests { version: Version, outcome: TestOutcome },
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Happened {
    pub at: Timestamp,
    pub what: What,
    /// What a command was answered.
    pub answer: Option<Result<String, Vec<Problem>>>,
}

/// A fault that is there for a while. Its calls are counted anew every tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultWindow {
    pub from: Span,
    pub until: Span,
    pub rule: Rule,
}

/// Why a scenario could not be run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("the rollout was refused: {}", list(.0))]
    Refused(Vec<Problem>),
    #[error("the version is live already: nothing to roll out")]
    Nothing,
    #[error("the scenario is impossible: {0}")]
    Impossible(#[from] Refused),
    #[error(transparent)]
    Stalled(#[from] Stalled),
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Runs a scenario. The same seed gives the same outcome.
pub fn run(scenario: &Scenario, seed: u64) -> Result<Outcome, RunError> {
    let started_at = start_of(seed);
    let world = World::new(started_at - HISTORY);
    let mut run = until_started(scenario, seed, &world, started_at)?;
    run.until_it_ends()?;
    run.outcome()
}

/// A world in which the release has just been started, to go on from as often as one likes: most of a run is its past.
#[derive(Debug)]
pub struct Begun {
    world: World,
    started_at: Timestamp,
    id: String,
}

impl Begun {
    /// Runs a scenario up to its start.
    pub fn new(scenario: &Scenario, seed: u64) -> Result<Self, RunError> {
        let started_at = start_of(seed);
        let world = World::new(started_at - HISTORY);
        let id = until_started(scenario, seed, &world, started_at)?.id;
        Ok(Self { world, started_at, id })
    }

    /// What comes of it, with the chances of this seed. The scenario may have another new version, and nothing may happen
    /// in it but its traffic.
    pub fn go_on(&self, scenario: &Scenario, seed: u64) -> Result<Outcome, RunError> {
        let world = self.world.fork();
        let target = &scenario.target;
        let traffic = Generator::new(&world, target, &scenario.traffic, seed, self.started_at, self.started_at);
        let mut run = Run::new(scenario, seed, &world, self.started_at, traffic);
        run.id.clone_from(&self.id);
        run.schedule(self.started_at + TICK_SECOND, Step::Tick);
        run.until_it_ends()?;
        run.outcome()
    }
}

/// The world and its past, and the start command.
fn until_started<'a>(
    scenario: &'a Scenario,
    seed: u64,
    world: &'a World,
    started_at: Timestamp,
) -> Result<Run<'a>, RunError> {
    let target = scenario.target.clone();
    for version in scenario.traffic.versions.keys().chain([&scenario.baseline]) {
        world.offer(&target, version);
        world.set_timeout(&target, version, scenario.timeout);
    }
    world.write(&target, &scenario.baseline, None)?;
    world.hold_clients(&target, scenario.sticky);
    if scenario.service.as_ref().is_some_and(Service::is_provisioned) {
        world.provision(&target);
    }
    scenario.alarms.iter().for_each(|name| world.set_alarm(name, AlarmState::Ok));
    for happening in scenario.events.iter().filter(|happening| happening.when == Moment::Before) {
        befall(world, &target, &happening.what)?;
    }
    // From a seed of its own, so that the hour's chances are what they would be without it.
    Generator::new(world, &target, &scenario.traffic, !seed, world.now(), started_at)
        .in_environments(scenario.service.as_ref())
        .run_past(scenario.past.minus(HISTORY).minutes_ceil());
    let traffic = Generator::new(world, &target, &scenario.traffic, seed, world.now(), started_at)
        .in_environments(scenario.service.as_ref());
    let mut run = Run::new(scenario, seed, world, started_at, traffic);
    run.id = run.start()?;
    Ok(run)
}

/// Any hour of any day of a year, so that no run depends on the time of day.
fn start_of(seed: u64) -> Timestamp {
    let minutes = Rng::stream(seed, 6).below(365 * 24 * 60);
    Timestamp::from_epoch_seconds(1_767_225_600) + Span::from_minutes(minutes)
}

/// What the run does next.
#[derive(Debug, Clone)]
enum Step {
    Tick,
    /// An event that found no room when it came, this long ago, is tried again; so many tries were made.
    Again(Event, Timestamp, u32),
    /// Some deployment does something by itself.
    Deployments,
    /// A question of a deployment arrives; so many calls for it have failed.
    Asked(Question, usize),
    Happens(What),
}

struct Run<'a> {
    /// The rollout that the scenario starts.
    id: String,
    scenario: &'a Scenario,
    seed: u64,
    world: &'a World,
    target: Target,
    started_at: Timestamp,
    traffic: Generator<'a>,
    chance: Rng,
    /// By time, then by the order of scheduling.
    queue: BTreeMap<(Timestamp, u64), Step>,
    scheduled: u64,
    /// What waits for a weight.
    waiting: Vec<(Weight, Span, What)>,
    watchdog: Watchdog,
    alarm_changes: Vec<(Timestamp, String, AlarmState)>,
    refused: Vec<(Timestamp, Vec<Problem>)>,
    happened: Vec<Happened>,
    reports: Vec<TickReport>,
    calls: Vec<(Timestamp, usize)>,
    violations: Vec<Violation>,
    undelivered: Vec<(Timestamp, Event)>,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario, seed: u64, world: &'a World, started_at: Timestamp, traffic: Generator<'a>) -> Self {
        Self {
            id: String::new(),
            scenario,
            seed,
            world,
            target: scenario.target.clone(),
            started_at,
            traffic,
            chance: Rng::stream(seed, 5),
            queue: BTreeMap::new(),
            scheduled: 0,
            waiting: Vec::new(),
            watchdog: Watchdog::default(),
            alarm_changes: Vec::new(),
            refused: Vec::new(),
            happened: Vec::new(),
            reports: Vec::new(),
            calls: Vec::new(),
            violations: Vec::new(),
            undelivered: Vec::new(),
        }
    }

    /// Starts the rollout, and schedules everything that is known beforehand.
    fn start(&mut self) -> Result<String, RunError> {
        self.pass_time_until(self.started_at);
        let id = match &self.scenario.deployed {
            Some(deployed) => self.deploy(deployed),
            None => self.order_release()?,
        };
        self.schedule(self.started_at + TICK_SECOND, Step::Tick);
        for happening in &self.scenario.events {
            match happening.when {
                Moment::Before => {}
                Moment::After(span) => self.schedule(self.started_at + span, Step::Happens(happening.what.clone())),
                Moment::AfterWeight(weight, span) => self.waiting.push((weight, span, happening.what.clone())),
            }
        }
        Ok(id)
    }

    fn order_release(&self) -> Result<String, RunError> {
        let event = json!({ "command": "start", "spec": self.scenario.spec, "by": "simulate" });
        match self.command(&event)?.map_err(RunError::Refused)? {
            Answer::Rollout(answer) => Ok(answer.rollout.id),
            Answer::Minutes(_) | Answer::Nothing { .. } | Answer::List(_) | Answer::Deployments { .. } => {
                Err(RunError::Nothing)
            }
        }
    }

    fn schedule(&mut self, at: Timestamp, step: Step) {
        self.scheduled += 1;
        self.queue.insert((at, self.scheduled), step);
    }

    fn until_it_ends(&mut self) -> Result<(), RunError> {
        let end = self.started_at + self.scenario.longest;
        while let Some((at, step)) = self.next_step().filter(|(at, _)| *at <= end) {
            self.pass_time_until(at);
            match step {
                Step::Tick => {
                    self.deliver(Event::Tick, at, 0)?;
                    self.schedule(at + Span::from_minutes(1), Step::Tick);
                }
                Step::Again(event, since, tries) => self.deliver(event, since, tries)?,
                Step::Happens(what) => self.happens(what)?,
                Step::Deployments => self.run_deployments()?,
                Step::Asked(question, tries) => self.ask(question, tries)?,
            }
            self.wake_waiting();
            let others_wait = self.world.deployments_due().is_some() || self.queue.values().any(Step::is_of_others);
            let active = self.world.rollouts().values().any(|rollout| rollout.is_active());
            if !active && !others_wait {
                break;
            }
        }
        Ok(())
    }

    fn pass_time_until(&mut self, at: Timestamp) {
        self.traffic.run_until(at);
        self.world.set_now(at);
    }

    /// Schedules what waited for a weight that has been set by now.
    fn wake_waiting(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let writes = self.world.writes(0);
        let set_at = |weight: Weight| {
            // A split reads the same from either side: what is not on the old version is on the new one.
            let on_others = |write: &&Write| match &write.routing.additional {
                Some((version, weight)) if *version == self.scenario.baseline => Some(weight.complement()),
                Some((_, weight)) => Some(*weight),
                None => (write.routing.primary != self.scenario.baseline).then_some(Weight::FULL),
            };
            writes.iter().find(|write| on_others(write) == Some(weight)).map(|write| write.at)
        };
        for (weight, span, what) in std::mem::take(&mut self.waiting) {
            match set_at(weight) {
                Some(at) => self.schedule((at + span).max(self.world.now()), Step::Happens(what)),
                None => self.waiting.push((weight, span, what)),
            }
        }
    }

    fn tick(&mut self) -> Result<(), RunError> {
        let before = Snapshot::of(self.world);
        let rules = self.rules();
        let now = self.world.now();
        let settings = &self.scenario.settings;
        let (one, two) = (self.ports(&rules, 1), self.ports(&rules, 2));
        let budgets = [SimBudget::plenty(), SimBudget::plenty()];
        let rival = async {
            if self.scenario.rival { Some(driver::tick(&two, now, &budgets[1], settings).await) } else { None }
        };
        let tick = driver::tick(&one, now, &budgets[0], settings);
        let done = run_now(futures_util::future::join(tick, rival));
        self.calls.push((now, one.calls().len()));
        self.keep(done.map(|(report, _rivals)| report), &rules)?;
        let after = Snapshot::of(self.world);
        self.check(&before, &after, blind(&rules));
        let fault_free = rules.is_empty();
        let mode = settings.mode;
        self.violations.extend(self.watchdog.after_tick(&before, &after, self.world, fault_free, mode));
        if self.scenario.ticks_twice {
            // What a deployment was told has consequences, which the second one sees.
            self.repeat(&after, fault_free && before.told == after.told)?;
        }
        Ok(())
    }

    /// The same tick again. Where nothing fails, nothing is left to do.
    fn repeat(&mut self, after: &Snapshot, must_be_idle: bool) -> Result<(), RunError> {
        let rules = self.rules();
        let ports = self.ports(&rules, 3);
        let budget = SimBudget::plenty();
        let again = run_now(driver::tick(&ports, self.world.now(), &budget, &self.scenario.settings));
        self.keep(again, &rules)?;
        let again = Snapshot::of(self.world);
        self.check(after, &again, blind(&rules));
        if must_be_idle && again != *after {
            self.violations.push(Violation {
                invariant: "the same tick run twice is a no-op",
                at: again.at,
                rollout: String::new(),
                detail: "the second one changed something".to_owned(),
            });
        }
        Ok(())
    }

    fn happens(&mut self, what: What) -> Result<(), RunError> {
        let now = self.world.now();
        befall(self.world, &self.target, &what)?;
        let mut happened = Happened { at: now, what: what.clone(), answer: None };
        match what {
            What::Alarm { name, state } => {
                self.alarm_changes.push((now, name.clone(), state));
                let (first, last) = (*DELIVERY_SECONDS.start(), *DELIVERY_SECONDS.end());
                let delay = Span::from_seconds(first + self.chance.below(last - first + 1));
                self.schedule(now + delay, Step::Happens(What::AlarmEvent { name }));
                // Services that watch alarms of their own do not wait for their next step.
                self.run_deployments()?;
            }
            What::AlarmEvent { name } => self.deliver(Event::Alarm(name), now, 0)?,
            What::Command(event) => {
                let before = Snapshot::of(self.world);
                let blind = blind(&self.rules());
                let answer = match self.traffic.has_room() {
                    true => self.command(&self.addressed(event))?,
                    false => Err(vec![throttled::refusal()]),
                };
                self.refused.extend(answer.as_ref().err().map(|problems| (now, problems.clone())));
                happened.answer = Some(answer.map(said));
                let after = Snapshot::of(self.world);
                self.check(&before, &after, blind);
            }
            What::Written { .. }
            | What::RuleWritten { .. }
            | What::Sticky(_)
            | What::Health { .. }
            | What::Tests { .. } => {}
        }
        self.happened.push(happened);
        Ok(())
    }

    fn check(&mut self, before: &Snapshot, after: &Snapshot, blind: Blind) {
        self.violations.extend(invariants::check(before, after, self.world, blind));
        self.violations.extend(invariants::check_switches(after, self.world, &self.scenario.settings));
    }

    /// A command that names no rollout is about the one that the scenario starts.
    fn addressed(&self, mut event: Value) -> Value {
        if let Some(fields) = event.as_object_mut().filter(|fields| fields.get("command") != Some(&json!("start"))) {
            fields.entry("rollout").or_insert_with(|| json!(self.id));
        }
        event
    }

    fn command(&self, event: &Value) -> Result<Result<Answer, Vec<Problem>>, Stalled> {
        let request = match Request::parse(event) {
            Ok(request) => request,
            Err(problems) => return Ok(Err(problems)),
        };
        let rules = self.rules();
        let ports = self.ports(&rules, 5);
        let budget = SimBudget::plenty();
        run_now(driver::command(&ports, request, self.world.now(), &budget, &self.scenario.settings))
    }

    /// Of all its minutes one answer has room: scenarios last for hours.
    fn minutes(&self, id: &str) -> Result<Vec<MinuteSample>, RunError> {
        let request = Request::Minutes { rollout: id.to_owned(), from: None };
        let budget = SimBudget::plenty();
        let asked = driver::command(self.world, request, self.world.now(), &budget, &self.scenario.settings);
        match run_now(asked)?.map_err(RunError::Refused)? {
            Answer::Minutes(answer) => Ok(answer.minutes),
            Answer::Rollout(_) | Answer::Nothing { .. } | Answer::List(_) | Answer::Deployments { .. } => {
                Err(RunError::Nothing)
            }
        }
    }

    /// The faults that are there now.
    fn rules(&self) -> Vec<Rule> {
        let after = self.world.now().since(self.started_at);
        let there = self.scenario.faults.iter().filter(|window| window.from <= after && after < window.until);
        there.map(|window| window.rule).collect()
    }

    /// What one invocation works with: a process of its own.
    fn ports(&self, rules: &[Rule], process: u64) -> Faulty<'a, World> {
        let ports = Faulty::new(self.world, rules.to_vec());
        let seconds = u64::try_from(self.world.now().epoch_seconds()).unwrap_or(0);
        if self.scenario.rival { ports.interleaved(self.seed ^ seconds ^ (process << 48)) } else { ports }
    }

    /// A tick that could do nothing at all has nothing to report, nor has one that hung until it was cut off.
    fn keep(&mut self, done: Result<Result<TickReport, Fault>, Stalled>, rules: &[Rule]) -> Result<(), RunError> {
        match done {
            Ok(report) => self.reports.extend(report),
            Err(_) if rules.iter().any(|rule| rule.way == Way::Hangs) => {}
            Err(stalled) => return Err(stalled.into()),
        }
        Ok(())
    }

    fn outcome(mut self) -> Result<Outcome, RunError> {
        self.violations.extend(invariants::check_notices(self.world));
        let mut others = self.world.rollouts();
        let rollout = others.remove(&self.id).ok_or(RunError::Nothing)?;
        let minutes = self.minutes(&self.id)?;
        // One of them may be damaged.
        let other_minutes = others.keys().map(|id| (id.clone(), self.minutes(id).unwrap_or_default())).collect();
        let writes = self.world.writes(0).into_iter().filter(|write| write.at >= self.started_at);
        Ok(Outcome {
            seed: self.seed,
            started_at: self.started_at,
            stopped_at: self.world.now(),
            rollout,
            minutes,
            others,
            other_minutes,
            writes: writes.collect(),
            pieces: self.traffic.pieces,
            notices: self.world.notices(),
            alarm_changes: self.alarm_changes,
            refused: self.refused,
            happened: self.happened,
            fired: self.world.fired(),
            undelivered: self.undelivered,
            reports: self.reports,
            calls: self.calls,
            deployments: self.world.deployments(),
            told: self.world.told(0),
            measured: self.world.measured(&self.target),
            violations: self.violations,
        })
    }
}

/// What happens to the world itself.
fn befall(world: &World, target: &Target, what: &What) -> Result<(), Refused> {
    match what {
        What::Alarm { name, state } => world.set_alarm(name, *state),
        What::AlarmEvent { .. } | What::Command(_) => {}
        What::Written { primary, additional } => world.write(target, primary, additional.clone())?,
        What::RuleWritten { rule, groups } => {
            let impossible = || Refused(format!("{} has no rule {rule}", target.key()));
            let Target::Alb(alb) = target else { return Err(impossible()) };
            let reference = alb.rules.get(*rule).ok_or_else(impossible)?;
            let before = world.rule(reference).ok_or_else(impossible)?;
            world.write_rule(target, reference, AlbRule { groups: groups.clone(), ..before })?;
        }
        What::Sticky(kept) => world.hold_clients(target, *kept),
        What::Health { group, healthy, unhealthy } => world.set_health(group, *healthy, *unhealthy),
        What::Tests { version, outcome } => world.set_test_outcomes(version, vec![outcome.clone()]),
    }
    Ok(())
}

/// An answer in one sentence.
fn said(answer: Answer) -> String {
    match answer {
        Answer::Rollout(answer) => answer.message,
        Answer::Minutes(answer) => format!("{} minutes", answer.minutes.len()),
        Answer::Nothing { message } => message,
        Answer::List(list) => format!("{} rollouts", list.rollouts.len()),
        Answer::Deployments { deployments } => format!("{} deployments", deployments.len()),
    }
}

/// What nobody could see, because every call for it fails.
fn blind(rules: &[Rule]) -> Blind {
    let fails = |operations: &[Operation]| {
        rules.iter().any(|rule| match rule.when {
            When::Always => true,
            When::Every(operation) => operations.contains(&operation),
            When::Call(_) | When::Nth(..) | When::Half(_) => false,
        })
    };
    Blind {
        target: fails(&[Operation::Look, Operation::States]),
        metrics: fails(&[Operation::Fetch]),
        sealed: fails(&[Operation::Sealed]),
        stale: rules.iter().any(|rule| rule.way == Way::Old),
    }
}

impl Scenario {
    /// A release of `canary` with this spec and traffic, in which nothing else happens.
    #[must_use]
    pub fn of(function: &str, alias: &str, baseline: &Version, spec: Value, traffic: Traffic) -> Self {
        Self {
            target: Target::Lambda(LambdaTarget {
                function: function.to_owned(),
                alias: alias.to_owned(),
                owner: Owner::Coalmine,
            }),
            baseline: baseline.clone(),
            spec,
            traffic,
            past: Span::from_hours(24),
            timeout: Span::from_seconds(3),
            alarms: Vec::new(),
            events: Vec::new(),
            faults: Vec::new(),
            settings: Settings {
                mode: Mode::Enforce,
                metric_lag: Span::from_minutes(3),
                switch: Some(Span::from_minutes(15)),
                deployment_spec: None,
            },
            longest: Span::from_hours(24),
            ticks_twice: false,
            rival: false,
            sticky: None,
            service: None,
            deployed: None,
        }
    }
}

pub use deployed::{Calls, Deployed, FIRST_DEPLOYMENT};
pub(crate) use on_alb::group_arn;
pub use on_alb::{group, on_alb};
pub use outcome::Outcome;
pub use throttled::Event;

#[cfg(test)]
mod tests;
