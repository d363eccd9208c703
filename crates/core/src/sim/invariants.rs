//! What must hold after every tick, whatever the traffic, the faults and the people do.
//!
//! These are the promises of the architecture as functions over the world before and after a tick. They look at what is
//! stored and at what is live, never at how the engine came to it.

mod guests;
mod switch;
mod writes;

pub use switch::check_switches;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::world::World;
use crate::analysis::Verdict;
use crate::observation::{AlarmState, Routing, Split};
use crate::rollout::{Event, Held, Phase, PhaseName, RollBackEnd, Rollout, UndecidedWhy, Why};
use crate::spec::{Advance, Ending, Mode, Target};
use crate::units::{Span, Timestamp, Weight};

/// Fault-free ticks within which danger must have taken the canary's traffic away.
const TICKS_TO_SAFETY: u32 = 2;

/// The tick after a limit has passed acts on it; the one after that has seen it live.
const GRACE: Span = Span::from_minutes(2);

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// The promise.
    pub invariant: &'static str,
    pub at: Timestamp,
    pub rollout: String,
    pub detail: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}: {}", self.at, self.rollout, self.invariant, self.detail)
    }
}

/// All that is stored and live at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    pub at: Timestamp,
    pub rollouts: BTreeMap<String, Arc<Rollout>>,
    /// By the target's key.
    pub live: BTreeMap<String, Routing>,
    /// Writes to targets so far.
    pub writes: usize,
    /// What was said about deployments so far.
    pub told: usize,
}

impl Snapshot {
    #[must_use]
    pub fn of(world: &World) -> Self {
        let (writes, told) = world.totals();
        Self { at: world.now(), rollouts: world.rollouts(), live: world.live(), writes, told }
    }
}

/// What could not be seen in a tick, because every call of its kind failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Blind {
    /// To the live weights or the alarms.
    pub target: bool,
    /// To the metrics.
    pub metrics: bool,
    /// To the minutes that are sealed already.
    pub sealed: bool,
    /// To what has changed in the last minute.
    pub stale: bool,
}

/// Everything that can be said of one tick, or of one command, from before and after it.
#[must_use]
pub fn check(before: &Snapshot, after: &Snapshot, world: &World, blind: Blind) -> Vec<Violation> {
    let mut found = Found { at: after.at, rollout: String::new(), violations: Vec::new() };
    for (id, now) in &after.rollouts {
        found.rollout.clone_from(id);
        if let Some(then) = before.rollouts.get(id) {
            terminal_is_terminal(then, now, &mut found);
            only_changes_are_written(then, now, &mut found);
            rises_only_with_consent(then, now, world, &mut found);
            // A guest's steps are as long as another service makes them.
            if now.guest.is_none() {
                one_step_per_bake(then, now, &mut found);
            }
            // What was true when it was read may be so no more.
            if !blind.stale {
                ends_match_the_target(then, now, after, &mut found);
            }
        }
    }
    found.rollout.clear();
    one_holder_per_target(after, world, &mut found);
    writes::check(before, after, world, blind, &mut found);
    guests::check(before, after, world, &mut found);
    found.violations
}

/// Every transition was told under one key, once nothing is left in an outbox.
#[must_use]
pub fn check_notices(world: &World) -> Vec<Violation> {
    let mut found = Found { at: world.now(), rollout: String::new(), violations: Vec::new() };
    let invariant = "every transition is notified under one key";
    let mut told = BTreeMap::new();
    for notice in world.notices() {
        if let Some(other) = told.insert(notice.key.clone(), notice.clone()).filter(|other| *other != notice) {
            found.rollout.clone_from(&notice.rollout);
            found.add(invariant, format!("{} was told as `{}` and as `{}`", notice.key, other.why, notice.why));
        }
    }
    for (id, rollout) in world.rollouts() {
        let waiting: BTreeSet<&String> = rollout.outbox.iter().map(|notice| &notice.key).collect();
        for (number, event) in numbered(&rollout).filter(|(_, event)| event.entered.is_some()) {
            let key = format!("{id}/{number}");
            if !told.contains_key(&key) && !waiting.contains(&key) {
                found.rollout.clone_from(&id);
                found.add(invariant, format!("{key} ({:?}) was never told", event.entered));
            }
        }
    }
    found.violations
}

/// What can only be said of several ticks together.
#[derive(Debug, Clone, Default)]
pub struct Watchdog {
    /// Fault-free ticks since danger was there to be seen, by rollout.
    in_danger: BTreeMap<String, u32>,
    fault_free_ticks: u32,
    /// Writes to targets that it has looked at.
    writes: usize,
}

impl Watchdog {
    /// A tick did not come.
    pub fn missed(&mut self) {
        self.fault_free_ticks = 0;
    }

    /// After every tick. `mode` is the switch that turns every writer off.
    pub fn after_tick(
        &mut self,
        before: &Snapshot,
        after: &Snapshot,
        world: &World,
        fault_free: bool,
        mode: Mode,
    ) -> Vec<Violation> {
        // While every writer is off nothing can be ended.
        let counts = fault_free && mode == Mode::Enforce;
        // To a rollout that was told a later time, no time passes until then.
        let ahead = before.rollouts.values().any(|rollout| rollout.is_active() && rollout.now > after.at);
        self.fault_free_ticks = match (counts, ahead) {
            (false, _) => 0,
            (true, true) => self.fault_free_ticks,
            (true, false) => self.fault_free_ticks + 1,
        };
        let mut found = Found { at: after.at, rollout: String::new(), violations: Vec::new() };
        // What was safe may be so no longer.
        if world.writes(self.writes).iter().any(|write| !write.ours) {
            self.in_danger.clear();
        }
        self.writes = after.writes;
        for (id, now) in &after.rollouts {
            if mode == Mode::Observe || now.spec.mode == Mode::Observe {
                continue;
            }
            found.rollout.clone_from(id);
            let endangered = before.rollouts.get(id).is_some_and(|then| rings(then, world))
                || matches!(now.phase, Phase::RollingBack { .. });
            if !endangered {
                self.in_danger.remove(id);
            } else if fault_free {
                *self.in_danger.entry(id.clone()).or_default() += 1;
            }
            if self.in_danger.get(id).is_some_and(|ticks| *ticks >= TICKS_TO_SAFETY) {
                match &now.guest {
                    Some(guest) => guests::stopped(guest, world, &mut found),
                    None => safe(now, after, world, &mut found),
                }
            }
            if self.fault_free_ticks >= TICKS_TO_SAFETY {
                ends_in_time(now, after.at, &mut found);
            }
        }
        if self.fault_free_ticks >= TICKS_TO_SAFETY {
            guests::answered_in_time(after.at, world, &mut found);
            switch::removed_in_time(before, world, &mut found);
        }
        found.violations
    }
}

/// An alarm that counts is red while the canary may have traffic.
fn rings(rollout: &Rollout, world: &World) -> bool {
    let red = |name: &String| world.alarm(name) == Some(AlarmState::Alarm) && !rollout.alarms_muted.contains(name);
    let live = match &rollout.phase {
        Phase::Shifting { .. } | Phase::Baking { .. } | Phase::Promoting { .. } | Phase::RollingBack { .. } => true,
        Phase::Paused { held, .. } => *held != Held::Pending,
        Phase::Pending { .. } | Phase::Promoted { .. } | Phase::RolledBack { .. } | Phase::Superseded { .. } => false,
    };
    live && rollout.spec.alarms.names.iter().any(red)
}

struct Found {
    at: Timestamp,
    rollout: String,
    violations: Vec<Violation>,
}

impl Found {
    fn add(&mut self, invariant: &'static str, detail: impl Into<String>) {
        let (at, rollout) = (self.at, self.rollout.clone());
        self.violations.push(Violation { invariant, at, rollout, detail: detail.into() });
    }
}

/// The kept events with their numbers, which count all events from 1.
fn numbered(rollout: &Rollout) -> impl Iterator<Item = (u64, &Event)> {
    let kept = u64::try_from(rollout.history.len()).unwrap_or(u64::MAX);
    (rollout.events_total.saturating_sub(kept) + 1..).zip(&rollout.history)
}

/// The new events, each with the event before it.
fn new_events<'a>(then: &Rollout, now: &'a Rollout) -> Vec<(Option<&'a Event>, &'a Event)> {
    let mut previous = None;
    let mut new = Vec::new();
    for (number, event) in numbered(now) {
        if number > then.events_total {
            new.push((previous, event));
        }
        previous = Some(event);
    }
    new
}

fn terminal_is_terminal(then: &Rollout, now: &Rollout, found: &mut Found) {
    if then.is_terminal() && then.phase != now.phase {
        found.add("terminal is terminal", format!("{:?} became {:?}", then.phase, now.phase));
    }
}

fn only_changes_are_written(then: &Rollout, now: &Rollout, found: &mut Found) {
    if now.now < then.now || now.revision < then.revision || now.events_total < then.events_total {
        found.add("time never runs backwards", format!("revision {} became {}", then.revision, now.revision));
    }
    let same = Rollout { now: then.now, revision: then.revision, ..now.clone() } == *then;
    // A stop that did not work is asked for again, once for each moment that is remembered.
    let stops = now.guest.is_some() && matches!(now.phase, Phase::RollingBack { .. }) && now.now > then.now;
    // Of two saves the second one may take back what the first one noted: two controllers do not see the same.
    if same && now.revision == then.revision + 1 && !stops {
        found.add("what did not change is not written", format!("revision {} became {}", then.revision, now.revision));
    }
    if !same && now.revision == then.revision {
        found.add("the revision is the mutex", format!("changed within revision {}", then.revision));
    }
}

fn rises_only_with_consent(then: &Rollout, now: &Rollout, world: &World, found: &mut Found) {
    for (previous, event) in new_events(then, now) {
        let from = previous.map_or(Weight::ZERO, |previous| previous.weight);
        if event.weight > from
            && let Err(why) = consent(now, from, event, world)
        {
            let detail = format!("from {from} to {} because of {:?}: {why}", event.weight, event.why);
            found.add("the weight never rises without a proof in this step or a recorded consent", detail);
        }
    }
}

/// What allows a weight to rise.
fn consent(rollout: &Rollout, from: Weight, event: &Event, world: &World) -> Result<(), &'static str> {
    let spec = &rollout.spec;
    let records = world.records(&rollout.id);
    let judged = |wanted: &dyn Fn(Verdict) -> bool| {
        let based_on = |digest| records.iter().any(|r| r.at == event.at && r.digest == digest && wanted(r.verdict));
        event.digest.is_some_and(based_on)
    };
    let (granted, otherwise) = match &event.why {
        Why::Ready => {
            let first = event.weight == rollout.weight_of_step(0) && from == Weight::ZERO;
            (first && rollout.learned_at.is_some(), "not the first step, or the past was not read")
        }
        Why::NoSteps => (spec.steps.is_empty(), "there are steps"),
        Why::Proven { .. } => (judged(&|verdict| verdict == Verdict::Pass), "no record of a pass"),
        Why::Chosen { to, .. } => {
            // No more than threefold, never past the weight at which the proof is made, and on a judgement of settled data.
            let ramp = u32::from(to.basis_points()) <= 3 * u32::from(from.basis_points());
            let largest = rollout.plan.auto.is_some_and(|auto| *to <= auto.largest);
            let settled = records.iter().any(|r| Some(r.digest) == event.digest && r.settled_before.is_some());
            let harmless = judged(&|verdict| verdict != Verdict::Fail);
            (ramp && largest && settled && harmless, "not what `auto` may do, or no record")
        }
        Why::NoHarm { .. } => {
            let consents = spec.steps.iter().any(|s| s.weight == from && s.advance == Advance::UnlessHarm);
            // A step that is shorter than metrics take to come is left before there is anything to judge.
            let harmless = event.digest.is_none() || judged(&|verdict| verdict != Verdict::Fail);
            (consents && harmless, "not in the spec, or no record")
        }
        Why::Approved { .. } | Why::PromotedBy { .. } | Why::ResumedBy { .. } => (true, ""),
        Why::Undecided { why, then: Ending::Promote, .. } => {
            let undecided = match why {
                UndecidedWhy::TooLittleTraffic => spec.undecided.too_little_traffic,
                UndecidedWhy::NoData => spec.undecided.no_data,
                UndecidedWhy::LooksWorse => spec.undecided.looks_worse,
                UndecidedWhy::Stuck => Ending::RollBack,
            };
            (undecided == Ending::Promote, "the spec does not say so")
        }
        Why::PauseOver { then: Ending::Promote } => {
            let approvals = spec.steps.iter().filter_map(|step| step.approve);
            let consents = approvals.map(|approval| approval.otherwise).chain([spec.pause.then]);
            (consents.into_iter().any(|ending| ending == Ending::Promote), "the spec does not say so")
        }
        Why::MovedByOthers { .. } => (spec.mode == Mode::Observe || rollout.guest.is_some(), "ours to move"),
        Why::WouldHave { .. } => (spec.mode == Mode::Observe, "not observing"),
        Why::DeploymentEnded { .. } => (rollout.guest.is_some(), "not another's deployment"),
        Why::Started { .. }
        | Why::Cleared
        | Why::NotPutBack { .. }
        | Why::SwitchFired
        | Why::Attached
        | Why::Detached
        | Why::StaysAttached { .. }
        | Why::Unhealthy { .. }
        | Why::Learned { .. }
        | Why::SeenLive
        | Why::PausedBy { .. }
        | Why::AbortedBy { .. }
        | Why::ApprovalNeeded
        | Why::Harm { .. }
        | Why::Alarm { .. }
        | Why::TestFailed { .. }
        | Why::VersionUnusable { .. }
        | Why::Undecided { .. }
        | Why::PauseOver { .. }
        | Why::WatchOver { .. }
        | Why::NewerRollout { .. }
        | Why::TakenOver { .. }
        | Why::PartlyTaken { .. }
        | Why::NobodyToGoBackTo { .. }
        | Why::IllegalTransition { .. } => (false, "that is no consent"),
    };
    if granted { Ok(()) } else { Err(otherwise) }
}

/// A step that ends by itself was baked for its whole time.
fn one_step_per_bake(then: &Rollout, now: &Rollout, found: &mut Found) {
    let invariant = "at most one step per bake";
    for (previous, event) in new_events(then, now) {
        if !matches!(event.why, Why::Proven { .. } | Why::NoHarm { .. } | Why::ApprovalNeeded) {
            continue;
        }
        let entries = now.history.iter().take_while(|other| !std::ptr::eq(*other, event));
        let Some(bake) = entries.filter(|other| other.entered.is_some()).last() else {
            found.add(invariant, "a step was left before anything happened");
            continue;
        };
        let step = now.spec.steps.iter().find(|step| step.weight == bake.weight);
        let baked = step.is_some_and(|step| event.at.since(bake.at) >= step.bake);
        if bake.entered != Some(PhaseName::Baking) || !baked {
            let detail = format!("{:?} was left at {} after {}", bake.entered, bake.weight, event.at.since(bake.at));
            found.add(invariant, detail);
        }
        let place = |weight: Weight| now.spec.steps.iter().position(|step| step.weight == weight);
        let next = now.spec.steps.len().min(place(bake.weight).map_or(0, |step| step + 1));
        if event.weight != bake.weight && place(event.weight).unwrap_or(now.spec.steps.len()) != next {
            let from = previous.map_or(Weight::ZERO, |previous| previous.weight);
            found.add(invariant, format!("a step was skipped from {from} to {}", event.weight));
        }
    }
}

/// What is said to have ended is so on the target.
fn ends_match_the_target(then: &Rollout, now: &Rollout, after: &Snapshot, found: &mut Found) {
    if then.is_terminal() || now.weights.is_empty() || now.spec.mode == Mode::Observe {
        return;
    }
    // The next one has begun already.
    let key = now.spec.target.key();
    if after
        .rollouts
        .values()
        .any(|other| other.id != now.id && other.holds_target() && other.has_begun() && other.spec.target.key() == key)
    {
        return;
    }
    let superseded_after_rollback = matches!(then.phase, Phase::RollingBack { ends_as: RollBackEnd::Superseded, .. });
    let wanted = match &now.phase {
        Phase::RolledBack { .. } => Weight::ZERO,
        Phase::Promoted { .. } => Weight::FULL,
        Phase::Superseded { .. } if superseded_after_rollback => Weight::ZERO,
        Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Paused { .. }
        | Phase::Promoting { .. }
        | Phase::RollingBack { .. }
        | Phase::Superseded { .. } => return,
    };
    if let Some((low, high)) = live_split(now, after).and_then(ends_of)
        && (low, high) != (wanted, wanted)
    {
        found.add("an end is seen live before it is recorded", format!("{:?} with {high} live", now.phase.name()));
    }
}

fn live_split(rollout: &Rollout, snapshot: &Snapshot) -> Option<Split> {
    let routing = snapshot.live.get(&rollout.spec.target.key())?;
    Some(routing.split(&rollout.baseline, &rollout.canary))
}

/// The smallest and the largest weight that is live behind any rule, where it is ours to say.
fn ends_of(split: Split) -> Option<(Weight, Weight)> {
    match split {
        Split::Ours(weight) => Some((weight, weight)),
        Split::Uneven { low, high } => Some((low, high)),
        Split::Foreign => None,
    }
}

fn one_holder_per_target(after: &Snapshot, world: &World, found: &mut Found) {
    let mut holders: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for (id, rollout) in after.rollouts.iter().filter(|(_, rollout)| rollout.holds_target()) {
        for claim in rollout.spec.target.claims() {
            holders.entry(claim).or_default().push(id);
        }
    }
    let claims = world.claims();
    let invariant = "one active rollout per target";
    for (target, ids) in &holders {
        if ids.len() > 1 || claims.get(target) != ids.first().copied() {
            found.add(invariant, format!("{target} is held by {ids:?} and claimed by {:?}", claims.get(target)));
        }
    }
    for (target, id) in claims.iter().filter(|(target, _)| !holders.contains_key(*target)) {
        found.add(invariant, format!("{target} is claimed by {id}, which does not hold it"));
    }
}

fn safe(rollout: &Rollout, after: &Snapshot, world: &World, found: &mut Found) {
    // Nobody would answer on the old group: the rollback waits for it.
    let (old, new) = (world.health_of(&rollout.baseline), world.health_of(&rollout.canary));
    if matches!(rollout.spec.target, Target::Alb(_)) && old.healthy + old.not_checked == 0 && new.healthy > 0 {
        return;
    }
    let in_transition = after.live.get(&rollout.spec.target.key()).is_some_and(|routing| routing.in_transition);
    if let Some((_, highest)) = live_split(rollout, after).and_then(ends_of)
        && highest > Weight::ZERO
        && !in_transition
    {
        let detail = format!("{highest} is live after {TICKS_TO_SAFETY} ticks without a fault");
        found.add("after a fail or an alarm the live weight is 0 within two fault-free ticks", detail);
    }
}

fn ends_in_time(rollout: &Rollout, now: Timestamp, found: &mut Found) {
    let deadline = rollout.spec.deadline.plus(GRACE);
    let late = match &rollout.phase {
        Phase::Pending { behind: Some(_), .. } => false,
        Phase::Pending { behind: None, .. } | Phase::Shifting { .. } | Phase::Baking { .. } => {
            rollout.clock.spent_at(now) > deadline
        }
        Phase::Promoting { live_since: None, .. } => rollout.clock.spent_at(now) > deadline,
        Phase::Promoting { live_since: Some(since), .. } => now.since(*since) > rollout.spec.after.watch.plus(deadline),
        Phase::Paused { until, .. } => now > *until + GRACE,
        Phase::RollingBack { .. } => false,
        // What is left to do after the end.
        Phase::Promoted { .. } | Phase::RolledBack { .. } | Phase::Superseded { .. } => {
            rollout.detach_at.is_some_and(|at| now > at + GRACE)
        }
    };
    if late {
        found.add(
            "every rollout ends or is paused within its deadline once faults stop",
            format!("{:?} with {} spent", rollout.phase.name(), rollout.clock.spent_at(now)),
        );
    }
}

#[cfg(test)]
mod tests;
