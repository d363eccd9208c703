//! A world in the middle of a release, from which anything may happen next.

use std::cell::Cell;
use std::sync::Arc;

use futures_util::future::join;
use serde_json::json;

use super::releases::{ALARM, ID, of};
use super::{Act, Counterexample, History, Mishap};
use crate::command::Request;
use crate::driver::{self, Settings, TickReport};
use crate::engine::OrderKind;
use crate::observation::AlarmState;
use crate::ports::Fault;
use crate::rollout::{PhaseName, Rollout};
use crate::sim::budget::SimBudget;
use crate::sim::executor::{Stalled, run_now};
use crate::sim::faults::{Faulty, Operation, Rule, Way, When};
use crate::sim::invariants::{self, Blind, Snapshot, Violation, Watchdog};
use crate::sim::scenario::{RunError, Scenario};
use crate::sim::traffic;
use crate::sim::world::{Table, World, hash_of};
use crate::spec::Mode;
use crate::units::{Span, Timestamp, Weight};

const REQUESTS_A_MINUTE: f64 = 6_000.0;
const PAST: i64 = 60;
const SLEEP_MINUTES: u64 = 25;
/// An event may be two minutes old, and a write ends with its invocation, a minute later at most.
const LATEST_WRITE_MINUTES: u64 = 3;
/// So many minutes in a row of three failed requests in ten, with everything in order, and it is rolled back.
const HARM_SHOWS_IN: u64 = 10;
/// How far the time of a tick may be wrong.
const SKEW: Span = Span::from_minutes(2);
/// Every release has ended by then, and every pause: its deadline and pauses come to less.
const LONGEST_MINUTES: u64 = 240;

/// How a version deals with its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Better,
    Worse,
    Silent,
}

/// The calls of an invocation.
type Done = Result<Vec<Operation>, Stalled>;

/// What a command answers.
type Answered = Result<(), Vec<crate::spec::Problem>>;

/// A release at one moment.
#[derive(Debug)]
pub struct Stage<'a> {
    scenario: &'a Scenario,
    settings: Settings,
    world: World,
    started_at: Timestamp,
    minute: u64,
    mood: Mood,
    /// What was told of each minute so far.
    told: u64,
    watchdog: Watchdog,
    /// The world a minute ago: what stale reads see, and what the table may be put back to.
    past: Option<Box<World>>,
    backup: Option<Table>,
    /// Somebody else has split the traffic, and it still is.
    written: bool,
    /// Minutes in a row in which anybody could see that the new version is worse, and it kept its traffic.
    harmful: u64,
    /// Writers were off, and no tick has come to its end since.
    observed: bool,
    /// The table was put back: what was told before may be told otherwise.
    restored: bool,
    /// Ticks, and other invocations.
    pub invocations: u64,
    /// Broken promises.
    pub violations: Vec<Violation>,
}

impl<'a> Stage<'a> {
    /// The release has just been asked for.
    pub fn new(scenario: &'a Scenario) -> Result<Self, RunError> {
        let started_at = Timestamp::from_epoch_seconds(1_795_269_600);
        let world = World::new(started_at - Span::from_minutes(60));
        let target = &scenario.target;
        scenario.traffic.versions.keys().for_each(|version| world.offer(target, version));
        world.write(target, &scenario.baseline, None)?;
        scenario.alarms.iter().for_each(|name| world.set_alarm(name, AlarmState::Ok));
        let mut stage = Self {
            scenario,
            settings: scenario.settings.clone(),
            world,
            started_at,
            minute: 0,
            mood: Mood::Better,
            told: 0,
            watchdog: Watchdog::default(),
            past: None,
            backup: None,
            written: false,
            harmful: 0,
            observed: false,
            restored: false,
            invocations: 0,
            violations: Vec::new(),
        };
        for minute in 1..=PAST {
            stage.tell_minute(started_at.minute().plus(-minute).start());
        }
        stage.world.set_now(started_at);
        stage.start(&scenario.spec, None)?.0.map_err(RunError::Refused)?;
        Ok(stage)
    }

    /// The same once more: what happens to one of them does not happen to the other.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            scenario: self.scenario,
            settings: self.settings.clone(),
            world: self.world.fork(),
            watchdog: self.watchdog.clone(),
            past: self.past.as_ref().map(|past| Box::new(past.fork())),
            backup: self.backup.clone(),
            violations: self.violations.clone(),
            ..*self
        }
    }

    /// How many minutes are over.
    #[must_use]
    pub fn minute(&self) -> u64 {
        self.minute
    }

    #[must_use]
    pub fn rollout(&self) -> Option<Arc<Rollout>> {
        self.world.rollouts().remove(ID)
    }

    /// Equal for stages from which the same follows.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let past = self.past.as_ref().map(|past| past.fingerprint());
        let flags =
            (self.mood, self.told, self.settings.mode, self.written, self.harmful, self.observed, self.restored);
        hash_of(&(self.minute, past, flags, &self.watchdog, self.world.fingerprint()))
    }

    /// Every rollout has ended, and nothing is left to do.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !self.world.rollouts().values().any(|rollout| rollout.is_active())
    }

    /// Lets a minute pass, and this happen in it. The calls of the invocation with which it may go wrong.
    pub fn turn(&mut self, act: Act, mishap: Option<Mishap>) -> Result<Vec<Operation>, Stalled> {
        let ago = self.world.fork();
        let backup = self.backup.replace(self.world.table());
        self.pass_minute();
        let own = self.happen(act, mishap, backup)?;
        let rest = if own.is_some() { None } else { mishap };
        let ticked = match act {
            Act::Lost | Act::Asleep => {
                self.watchdog.missed();
                Vec::new()
            }
            Act::Late => self.tick(rest, self.world.now() - SKEW, false)?,
            Act::Early => self.tick(rest, self.world.now() + SKEW, false)?,
            Act::Twice => {
                let waiting = self.ended();
                let first = self.tick(rest, self.world.now(), true)?;
                // Where a rollout has ended, the next one for its target may begin.
                self.same_tick_again(mishap.is_none() && self.ended() == waiting)?;
                first
            }
            Act::Rival => self.rivals(rest)?,
            Act::Outlived => self.outlived(OrderKind::Abort, rest)?,
            Act::Hurried => self.outlived(OrderKind::Promote, rest)?,
            Act::Tick
            | Act::Red
            | Act::Quiet
            | Act::Order(_)
            | Act::Newer
            | Act::WritesThird
            | Act::WritesNew
            | Act::WritesOld
            | Act::WritesSplit
            | Act::Worse
            | Act::Better
            | Act::Silent
            | Act::Restored
            | Act::Observe
            | Act::Enforce => self.tick(rest, self.world.now(), true)?,
        };
        self.past = Some(Box::new(ago));
        self.written &= self.is_split();
        self.watch_harm(act, mishap);
        Ok(own.unwrap_or(ticked))
    }

    /// Everybody calms down, and whatever is left comes to its end.
    pub fn settle(&mut self) -> Result<(), Stalled> {
        self.calm();
        while !self.is_settled() {
            self.turn(Act::Tick, None)?;
        }
        self.end();
        Ok(())
    }

    /// Alarms are quiet, the new version is good, writers are on.
    pub(super) fn calm(&mut self) {
        self.world.set_alarm(ALARM, AlarmState::Ok);
        self.mood = Mood::Better;
        self.settings.mode = Mode::Enforce;
    }

    /// It is over, or never will be, or something is broken already.
    pub(super) fn is_settled(&self) -> bool {
        // A switch of which a table from the past does not know fires.
        let unknown = self.restored && !self.world.switches().is_empty();
        !self.violations.is_empty() || self.is_over() && !unknown || self.minute > LONGEST_MINUTES
    }

    /// What must be so in the end.
    pub(super) fn end(&mut self) {
        if !self.violations.is_empty() {
            return;
        }
        if !self.is_over() {
            self.broken("every rollout ends once faults stop", format!("{:?}", self.world.rollouts()));
        }
        if !self.restored {
            self.violations.extend(invariants::check_notices(&self.world));
        }
        if let Some((rollout, armed)) = self.world.switches().into_iter().next() {
            self.broken("no switch is left at the end", format!("{rollout}'s at {}", armed.at));
        }
        if self.is_split() && !self.written {
            self.broken("no traffic stays split", format!("{:?}", self.world.shares(&self.scenario.target)));
        }
    }

    fn is_split(&self) -> bool {
        self.world.shares(&self.scenario.target).iter().any(|(_, share)| *share > 0.0 && *share < 1.0)
    }

    /// An engine that does not hear the judge would otherwise be noticed by nothing here: what is worse calms down in the end.
    fn watch_harm(&mut self, act: Act, mishap: Option<Mishap>) {
        let goes_back = |rollout: &Rollout| matches!(rollout.phase.name(), PhaseName::RollingBack);
        let judged =
            self.rollout().is_some_and(|rollout| rollout.is_active() && rollout.has_begun() && !goes_back(&rollout));
        let in_order = matches!(act, Act::Tick) && mishap.is_none() && self.settings.mode == Mode::Enforce;
        let shows = judged && in_order && self.mood == Mood::Worse && self.is_split() && !self.written;
        self.harmful = if shows { self.harmful + 1 } else { 0 };
        if self.harmful > HARM_SHOWS_IN {
            self.broken("proven harm is rolled back", format!("after {HARM_SHOWS_IN} minutes: {:?}", self.rollout()));
        }
    }

    fn broken(&mut self, invariant: &'static str, detail: String) {
        let (at, rollout) = (self.world.now(), ID.to_owned());
        self.violations.push(Violation { invariant, at, rollout, detail });
    }

    fn pass_minute(&mut self) {
        self.minute += 1;
        let at = self.started_at + Span::from_minutes(self.minute);
        self.tell_minute(at - Span::from_minutes(1));
        self.world.set_now(at + Span::from_seconds(20));
    }

    /// What happened in the minute that begins at this moment, by the weights of now; it arrives before the next tick.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "shares are within 0 and 1")]
    fn tell_minute(&mut self, from: Timestamp) {
        let (minute, arrives) = (from.minute(), from + Span::from_seconds(75));
        let target = &self.scenario.target;
        let shares = self.world.shares(target);
        self.told = hash_of(&(self.told, &shares, self.mood));
        if self.mood == Mood::Silent {
            return;
        }
        for (version, share) in shares.into_iter().filter(|(_, share)| *share > 0.0) {
            let requests = (REQUESTS_A_MINUTE * share) as u64;
            let bad = version == of(target, "42") && self.mood == Mood::Worse;
            let failed = if bad { requests * 3 / 10 } else { requests / 200 };
            traffic::tell(&self.world, target, &version, minute, (requests, failed), arrives);
        }
    }

    /// Everything but ticks. The calls of an invocation of its own, if there is one.
    fn happen(
        &mut self,
        act: Act,
        mishap: Option<Mishap>,
        backup: Option<Table>,
    ) -> Result<Option<Vec<Operation>>, Stalled> {
        match act {
            Act::Tick | Act::Lost | Act::Twice | Act::Rival | Act::Outlived | Act::Hurried | Act::Late | Act::Early => {
            }
            Act::Asleep => (1..SLEEP_MINUTES).for_each(|_| self.pass_minute()),
            Act::Red => {
                self.world.set_alarm(ALARM, AlarmState::Alarm);
                return self.ring(mishap).map(Some);
            }
            Act::Quiet => self.world.set_alarm(ALARM, AlarmState::Ok),
            Act::Order(kind) => return self.order(kind, mishap).map(Some),
            Act::Newer => {
                let mut spec = self.scenario.spec.clone();
                spec["name"] = json!("checkout-43");
                if spec.get("version").is_some() {
                    spec["version"] = json!("43");
                }
                let (_refused, calls) = self.start(&spec, mishap)?;
                return Ok(Some(calls));
            }
            Act::WritesThird => self.write("40", None),
            Act::WritesNew => self.write("42", None),
            Act::WritesOld => self.write("41", None),
            Act::WritesSplit => self.write("41", Weight::from_basis_points(3_700)),
            Act::Worse => self.mood = Mood::Worse,
            Act::Better => self.mood = Mood::Better,
            Act::Silent => self.mood = Mood::Silent,
            Act::Restored => {
                self.restored = true;
                // What was seen in the minute before is forgotten.
                self.watchdog.missed();
                backup.into_iter().for_each(|table| self.world.restore(table));
            }
            Act::Observe => self.settings.mode = Mode::Observe,
            Act::Enforce => self.settings.mode = Mode::Enforce,
        }
        Ok(None)
    }

    fn write(&mut self, number: &str, weight: Option<Weight>) {
        self.written |= weight.is_some();
        let target = &self.scenario.target;
        let additional = weight.map(|weight| (of(target, "42"), weight));
        // A world with these versions refuses none of these.
        let _written = self.world.write(target, &of(target, number), additional);
    }

    fn tick(&mut self, mishap: Option<Mishap>, now: Timestamp, on_time: bool) -> Result<Vec<Operation>, Stalled> {
        self.watched(mishap, on_time, |world, past, settings| {
            let ports = ports(world, past, &rules(mishap));
            let budget = SimBudget::plenty();
            let done = overtaken(&ports, next_tick(world, settings), driver::tick(&ports, now, &budget, settings));
            arrive(&ports)?;
            finished(done, mishap).map(|()| ports.calls())
        })
    }

    fn outlived(&mut self, kind: OrderKind, mishap: Option<Mishap>) -> Done {
        let order = Request::parse(&order_of(kind));
        let outlived = Cell::new(false);
        let calls = self.watched(mishap, true, |world, past, settings| {
            let ports = ports(world, past, &rules(mishap));
            let (now, budget) = (world.now(), SimBudget::plenty());
            let meanwhile = async {
                outlived.set(true);
                if let Ok(order) = order {
                    let _answer = driver::command(world, order, now, &budget, settings).await;
                }
                for _ in 0..LATEST_WRITE_MINUTES {
                    world.set_now(world.now() + Span::from_minutes(1));
                    let _report = driver::tick(world, world.now(), &SimBudget::plenty(), settings).await;
                }
            };
            let tick = driver::tick(&ports, now, &budget, settings);
            // A write that stalls is given up before the others come.
            let done = if mishap.is_some_and(|mishap| mishap.way == Way::Stalls) {
                let done = run_now(tick);
                run_now(meanwhile)?;
                done
            } else {
                overtaken(&ports, meanwhile, tick)
            };
            arrive(&ports)?;
            finished(done, mishap).map(|()| ports.calls())
        })?;
        if outlived.get() {
            (0..LATEST_WRITE_MINUTES).for_each(|_| self.pass_minute());
        }
        Ok(calls)
    }

    fn rivals(&mut self, mishap: Option<Mishap>) -> Result<Vec<Operation>, Stalled> {
        let (seed, mut calls) = (self.minute, Vec::new());
        self.watched(mishap, true, |world, past, settings| {
            let one = ports(world, past, &rules(mishap)).interleaved(2 * seed);
            let two = Faulty::healthy(world).interleaved(2 * seed + 1);
            let (now, budgets) = (world.now(), [SimBudget::plenty(), SimBudget::plenty()]);
            let both = join(driver::tick(&one, now, &budgets[0], settings), async {
                let _report = driver::tick(&two, now, &budgets[1], settings).await;
                one.go_on();
            });
            let done = run_now(both).map(|(one, ())| one);
            calls = one.calls();
            arrive(&one)?;
            // What the one could not see the other may have seen.
            finished(done, mishap).map(|()| Vec::new())
        })?;
        Ok(calls)
    }

    fn ended(&self) -> usize {
        self.world.rollouts().values().filter(|rollout| rollout.is_terminal()).count()
    }

    fn same_tick_again(&mut self, must_be_idle: bool) -> Result<(), Stalled> {
        let before = Snapshot::of(&self.world);
        self.tick(None, self.world.now(), true)?;
        let after = Snapshot::of(&self.world);
        if must_be_idle && after != before {
            self.broken("the same tick run twice is a no-op", "the second one changed something".to_owned());
        }
        Ok(())
    }

    fn ring(&mut self, mishap: Option<Mishap>) -> Result<Vec<Operation>, Stalled> {
        self.checked(mishap, |world, past, settings| {
            let ports = ports(world, past, &rules(mishap));
            let budget = SimBudget::plenty();
            let alarm = driver::alarm(&ports, ALARM, world.now(), &budget, settings);
            let done = overtaken(&ports, next_tick(world, settings), alarm);
            arrive(&ports)?;
            finished(done, mishap).map(|()| ports.calls())
        })
    }

    fn order(&mut self, kind: OrderKind, mishap: Option<Mishap>) -> Result<Vec<Operation>, Stalled> {
        let Ok(request) = Request::parse(&order_of(kind)) else { return Ok(Vec::new()) };
        self.checked(mishap, |world, past, settings| {
            let ports = ports(world, past, &rules(mishap));
            let budget = SimBudget::plenty();
            let command = driver::command(&ports, request, world.now(), &budget, settings);
            let done = overtaken(&ports, next_tick(world, settings), command);
            arrive(&ports)?;
            match done {
                Ok(_) => Ok(ports.calls()),
                Err(stalled) => expected(stalled, mishap).map(|()| ports.calls()),
            }
        })
    }

    /// What it answered, and its calls.
    fn start(
        &mut self,
        spec: &serde_json::Value,
        mishap: Option<Mishap>,
    ) -> Result<(Answered, Vec<Operation>), Stalled> {
        let event = json!({ "command": "start", "spec": spec, "by": "mara" });
        let request = match Request::parse(&event) {
            Ok(request) => request,
            Err(problems) => return Ok((Err(problems), Vec::new())),
        };
        let mut answered = Ok(());
        let calls = self.checked(mishap, |world, past, settings| {
            let ports = ports(world, past, &rules(mishap));
            let budget = SimBudget::plenty();
            let command = driver::command(&ports, request, world.now(), &budget, settings);
            match overtaken(&ports, next_tick(world, settings), command) {
                Ok(answer) => answered = answer.map(drop),
                Err(stalled) => expected(stalled, mishap)?,
            }
            Ok(ports.calls())
        })?;
        Ok((answered, calls))
    }

    /// Whatever is done, the promises of one invocation hold.
    fn checked(
        &mut self,
        mishap: Option<Mishap>,
        invocation: impl FnOnce(&World, Option<&World>, &Settings) -> Done,
    ) -> Done {
        self.invocations += 1;
        let before = Snapshot::of(&self.world);
        let calls = invocation(&self.world, self.past.as_deref(), &self.settings)?;
        let after = Snapshot::of(&self.world);
        self.violations.extend(invariants::check(&before, &after, &self.world, blind(mishap, &calls)));
        Ok(calls)
    }

    /// And those of several ticks together.
    fn watched(
        &mut self,
        mishap: Option<Mishap>,
        on_time: bool,
        invocation: impl FnOnce(&World, Option<&World>, &Settings) -> Done,
    ) -> Done {
        let before = Snapshot::of(&self.world);
        let done = self.checked(mishap, invocation)?;
        let after = Snapshot::of(&self.world);
        self.observed = self.settings.mode == Mode::Observe || self.observed && mishap.is_some();
        // A table from the past does not know when the switch fires, and what others split is not ours to put back.
        if !self.restored && !self.written && !self.observed {
            self.violations.extend(invariants::check_switches(&after, &self.world, &self.settings));
        }
        let (mode, fault_free) = (self.settings.mode, mishap.is_none() && on_time);
        self.violations.extend(self.watchdog.after_tick(&before, &after, &self.world, fault_free, mode));
        Ok(done)
    }
}

/// What an invocation cannot have seen when it set a weight, since the call for it failed and there was no other.
fn blind(mishap: Option<Mishap>, calls: &[Operation]) -> Blind {
    let Some(Mishap { call, way }) = mishap else { return Blind::default() };
    let set = calls.iter().position(|call| *call == Operation::Set).unwrap_or(calls.len());
    let asked_again = |hit: &Operation| calls.iter().take(set).skip(call + 1).any(|later| later == hit);
    let hit = calls.get(call).filter(|hit| matches!(way, Way::Fails(_)) && call < set && !asked_again(hit));
    Blind {
        target: matches!(hit, Some(Operation::Look | Operation::States)),
        metrics: hit == Some(&Operation::Fetch),
        sealed: hit == Some(&Operation::Sealed),
        stale: way == Way::Old,
    }
}

fn rules(mishap: Option<Mishap>) -> Vec<Rule> {
    mishap.map(|Mishap { call, way }| Rule { when: When::Call(call), way }).into_iter().collect()
}

fn ports<'w>(world: &'w World, past: Option<&'w World>, rules: &[Rule]) -> Faulty<'w, World> {
    let ports = Faulty::new(world, rules.to_vec());
    match past {
        Some(past) => ports.remembering(past),
        None => ports,
    }
}

/// Runs an invocation; if a call of it is slow, something else happens meanwhile.
fn overtaken<T>(
    ports: &Faulty<'_, World>,
    meanwhile: impl Future<Output = ()>,
    invocation: impl Future<Output = T>,
) -> Result<T, Stalled> {
    let other = async {
        if ports.waits() {
            meanwhile.await;
        }
        ports.go_on();
    };
    run_now(join(invocation, other)).map(|(done, ())| done)
}

/// Writes that stalled take effect at last.
fn arrive(ports: &Faulty<'_, World>) -> Result<(), Stalled> {
    run_now(ports.deliver_stalled()).map(drop)
}

/// The tick of the next minute.
async fn next_tick(world: &World, settings: &Settings) {
    let later = world.now() + Span::from_minutes(1);
    let _report = driver::tick(world, later, &SimBudget::plenty(), settings).await;
}

fn order_of(kind: OrderKind) -> serde_json::Value {
    json!({ "command": kind, "rollout": ID, "by": "mara" })
}

/// A tick that could do nothing at all has nothing to report.
fn finished(done: Result<Result<TickReport, Fault>, Stalled>, mishap: Option<Mishap>) -> Result<(), Stalled> {
    done.map(|_| ()).or_else(|stalled| expected(stalled, mishap))
}

/// Lambda ends an invocation that hangs.
fn expected(stalled: Stalled, mishap: Option<Mishap>) -> Result<(), Stalled> {
    if mishap.is_some_and(|mishap| mishap.way == Way::Hangs) { Ok(()) } else { Err(stalled) }
}

/// Runs a history to its end.
///
/// # Errors
/// The same history, with the promises that it breaks.
pub fn replay(scenario: &Scenario, history: &History) -> Result<u64, Box<Counterexample>> {
    let broken = |violations| Box::new(Counterexample { history: history.clone(), violations });
    let stalled = |error: &dyn std::fmt::Display| {
        let (at, rollout, detail) = (Timestamp::from_epoch_seconds(0), String::new(), error.to_string());
        broken(vec![Violation { invariant: "every invocation ends", at, rollout, detail }])
    };
    let mut stage = Stage::new(scenario).map_err(|error| stalled(&error))?;
    let mut turns = history.0.iter().peekable();
    let last = history.0.iter().map(|turn| turn.minute).max().unwrap_or(0);
    while stage.minute < last && stage.violations.is_empty() {
        let due = turns.next_if(|turn| turn.minute <= stage.minute + 1);
        let (act, mishap) = due.map_or((Act::Tick, None), |turn| (turn.act, turn.mishap));
        stage.turn(act, mishap).map_err(|error| stalled(&error))?;
    }
    stage.settle().map_err(|error| stalled(&error))?;
    if stage.violations.is_empty() { Ok(stage.invocations) } else { Err(broken(stage.violations)) }
}
