//! One rollout in one tick.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::future::{join_all, join3};
use serde::Serialize;

use super::{Context, Cut, Neighbours, sampling};
use crate::alb;
use crate::analysis::{Analysis, Found, MinuteSample, judge, passes_before};
use crate::deployment::{Asked, Deployment, DeploymentRef};
use crate::engine::{self, Decision, Effect, Needs};
use crate::metrics::Series;
use crate::observation::{AlarmState, Observation, Routing, Seen, SwitchTold, TestOutcome};
use crate::ports::{Attach, Budget, Detach, Fault, LookError, Ports, SaveError, SetWeight, Switch};
use crate::report;
use crate::rollout::{PhaseName, Rollout};
use crate::spec::Mode;
use crate::units::{Minute, Span, Timestamp, Weight};

/// After an act the target is looked at again at once: a weight that is seen live starts its bake, and a rollback is
/// finished, in the same invocation. Four passes are: look back and prepare, test and act, verify, settle.
const PASSES: usize = 4;

/// No weight is raised by a write that could still be in flight when the invocation is cut off: three throttled attempts
/// of an UpdateAlias take up to 16 s, and all rules of a load balancer together 12 s. A write of 0 is harmless however late
/// it comes.
const WRITE_RESERVE: Duration = Duration::from_secs(17);

/// Nor is a raise decided that would then be left undone: saving it and arming the switch take less than this where AWS
/// answers as it usually does.
const RAISE_RESERVE: Duration = WRITE_RESERVE.saturating_add(Duration::from_secs(3));

/// Sealed blocks written in one tick, at most. A controller that was away for two hours catches up in one.
const BLOCKS_PER_TICK: usize = 8;

/// A rollout with something to tell is attended to every minute, even an ended one. A receiver that is gone for good must
/// not make the list of those longer with every release.
const KEEP_UNTOLD: Span = Span::from_hours(14 * 24);

/// What was seen and done about one rollout.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    pub rollout: String,
    pub target: String,
    pub phase: PhaseName,
    /// The weight that is wanted.
    pub weight: Option<Weight>,
    /// The weights that are live, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<String>,
    /// How many targets of either group are healthy, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<String>,
    /// What the judge found, a sentence per check.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
    /// What happened.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub did: Vec<String>,
    /// What keeps it where it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holding: Vec<String>,
    /// What went wrong; the next tick tries again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// What the judge found, as numbers for charts.
    #[serde(skip)]
    pub found: Option<Found>,
    /// Something else was decided than what is stored.
    #[serde(skip)]
    pub unsaved: bool,
}

impl Line {
    pub(super) fn about(rollout: &Rollout) -> Self {
        Self {
            rollout: rollout.id.clone(),
            target: rollout.spec.target.key(),
            phase: rollout.phase.name(),
            weight: rollout.desired_weight(),
            live: None,
            targets: None,
            checks: Vec::new(),
            did: Vec::new(),
            holding: Vec::new(),
            faults: Vec::new(),
            found: None,
            unsaved: false,
        }
    }
}

impl Line {
    /// Nothing but what went wrong.
    pub(super) fn of_fault(rollout: &Rollout, fault: String) -> Self {
        Self { faults: vec![fault], unsaved: true, ..Self::about(rollout) }
    }
}

/// What is known of a rollout's deployment before the rollout is attended to.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    pub deployment: Seen<Deployment>,
    pub asked: Option<Asked>,
}

/// By the rollout's name.
pub(super) type Visits = BTreeMap<String, Visit>;

/// What was looked at once for the whole tick.
pub(super) struct Looked {
    pub plan: sampling::Plan,
    pub series: Vec<Result<Series, Fault>>,
    pub alarms: Seen<BTreeMap<String, AlarmState>>,
    pub neighbours: Neighbours,
    /// What is known of the deployment that it judges, where somebody has looked already.
    pub visit: Option<Visit>,
    /// What became of what the dead man's switch was told last.
    pub switch_told: SwitchTold,
    /// What is live if nobody has touched it: it is looked at only where something follows.
    pub presumed: Option<Routing>,
    /// What is live, as this tick saw it since it last touched the target. Lambda allows an account 15 looks a second, and to
    /// whoever acts on one a write by others is no news: its own write would not be accepted.
    pub live: Option<Routing>,
}

/// The minutes this tick judges on.
#[derive(Default)]
struct Minutes {
    sealed: Vec<MinuteSample>,
    tail: Vec<MinuteSample>,
    unread: Vec<String>,
    sealed_before: Option<Minute>,
}

/// How a decision fared.
enum Outcome {
    /// Saved, or nothing to save.
    Stands(SwitchTold),
    /// It could not be recorded: nothing of it counts.
    Dropped,
    /// There is no time left for it.
    TooLate,
}

/// What is stored of a rollout that a decision leaves as it is.
enum Stored {
    AsKnown,
    /// It cannot be known: traffic may go back, and nothing else may be done.
    Unknown,
    Changed,
}

impl<P: Ports, B: Budget> Context<'_, P, B> {
    pub(super) async fn attend(&self, rollout: Rollout, mut looked: Looked) -> Line {
        let mut line = Line::about(&rollout);
        if looked.visit.is_none()
            && let Some(guest) = &rollout.guest
        {
            let deployment = Seen::from(self.deployment(&guest.deployment).await);
            looked.visit = Some(Visit { deployment, asked: None });
        }
        let minutes = self.minutes(&rollout, &looked, &mut line).await;
        let had_ended = rollout.is_terminal();
        let mut current = rollout;
        for _ in 0..PASSES {
            let mut decision = self.decide(&current, &mut looked, minutes.as_ref(), &mut line).await;
            if looked.presumed.is_some() && !engine::stands_unseen(&current, &decision) {
                looked.presumed = None;
                decision = self.decide(&current, &mut looked, minutes.as_ref(), &mut line).await;
            }
            let settled = decision.next == current && decision.effects.iter().all(Effect::is_only_unsaved);
            looked.switch_told = match self.carry_out(&current, &decision, &mut line).await {
                Outcome::Stands(told) => told,
                Outcome::Dropped => return Line { unsaved: true, ..line },
                Outcome::TooLate => return self.put_off(&current, line).await,
            };
            let tells_the_switch = |effect: &Effect| matches!(effect, Effect::Arm { .. } | Effect::Disarm);
            looked.live = looked.live.filter(|_| decision.effects.iter().all(tells_the_switch));
            current = decision.next;
            line.phase = current.phase.name();
            line.weight = current.desired_weight();
            line.holding = decision.holding;
            // The next tick tries again, and nothing else waits for it but the switch.
            let stuck = looked.switch_told == SwitchTold::Failed && !decision.effects.iter().any(Effect::is_retreat);
            if settled || stuck || decision.effects.iter().any(is_seen_later) {
                break;
            }
        }
        if looked.presumed.is_some() {
            line.holding.push("its alias is not looked at every minute: there are too many rollouts".to_owned());
        }
        if !had_ended {
            self.measure(&current, &looked, &mut line).await;
        }
        self.tell(current, &mut line).await;
        line
    }

    /// Reads the sealed minutes, and seals what is old enough.
    async fn minutes(&self, rollout: &Rollout, looked: &Looked, line: &mut Line) -> Option<Seen<Minutes>> {
        let tail = looked.plan.tail?;
        let (read, unread) = sampling::read_tail(rollout, tail, &looked.series);
        let sealed = match rollout.sealed_before {
            None => Vec::new(),
            Some(_) => match self.ports.sealed(&rollout.id).await {
                Ok(sealed) => sealed,
                Err(fault) => return Some(Seen::Missing(fault.to_string())),
            },
        };
        let mut minutes = Minutes { sealed, tail: read, unread, sealed_before: rollout.sealed_before };
        if minutes.unread.is_empty() {
            self.seal(rollout, &mut minutes, line).await;
        }
        Some(Seen::Known(minutes))
    }

    async fn seal(&self, rollout: &Rollout, minutes: &mut Minutes, line: &mut Line) {
        for _ in 0..BLOCKS_PER_TICK {
            let Some(block) = engine::block_to_seal(rollout, minutes.sealed_before, self.now) else { return };
            let within = |sample: &&MinuteSample| (block.from..block.until).contains(&sample.minute);
            let samples: Vec<MinuteSample> = minutes.tail.iter().filter(within).cloned().collect();
            if let Err(fault) = self.ports.seal(&rollout.id, &samples).await {
                line.faults.push(fault.to_string());
                return;
            }
            minutes.sealed_before = Some(block.until);
        }
    }

    async fn decide(
        &self,
        rollout: &Rollout,
        looked: &mut Looked,
        minutes: Option<&Seen<Minutes>>,
        line: &mut Line,
    ) -> Decision {
        let needs = engine::needs(rollout, self.now);
        let mut seen = self.observe(rollout, &needs, looked).await;
        looked.live = seen.routing.known().filter(|_| looked.presumed.is_none()).cloned();
        let analysis = match minutes {
            Some(Seen::Known(minutes)) if needs.samples.is_some() => {
                let samples = sampling::samples(rollout, &minutes.sealed, &minutes.tail, &minutes.unread, self.now);
                seen.sealed_before = minutes.sealed_before;
                // A bug in the judge must not keep the engine from acting on alarms and deadlines.
                let judged = catch_unwind(AssertUnwindSafe(|| {
                    let analysis = judge(&rollout.plan, &samples);
                    let ahead = passes_before(&rollout.plan, &samples, &analysis);
                    (analysis, ahead)
                }));
                seen.samples = Seen::Known(samples);
                seen.judge_failed = judged.as_ref().err().map(|panic| Cut::panicked(panic.as_ref()).to_string());
                let (analysis, ahead) = judged.ok().unzip();
                seen.passes_before = ahead.flatten();
                analysis
            }
            Some(Seen::Missing(why)) if needs.samples.is_some() => {
                seen.samples = Seen::Missing(why.clone());
                None
            }
            Some(Seen::Known(_) | Seen::Missing(_) | Seen::NotAsked) | None => None,
        };
        note_seen(rollout, &seen, analysis.as_ref(), line);
        line.live = line.live.take().filter(|_| looked.presumed.is_none());
        engine::decide(rollout, &seen, analysis.as_ref())
    }

    async fn observe(&self, rollout: &Rollout, needs: &Needs, looked: &Looked) -> Observation {
        let target = &rollout.spec.target;
        let routing = async {
            if !needs.routing {
                return (Seen::NotAsked, false);
            }
            if let Some(live) = looked.presumed.as_ref().or(looked.live.as_ref()) {
                return (Seen::Known(live.clone()), false);
            }
            let routing = self.ports.look(target).await;
            let gone = matches!(routing, Err(LookError::NotFound(_)));
            (Seen::from(routing), gone)
        };
        let canary = async {
            if needs.canary {
                Seen::from(self.ports.version(target, Some(&rollout.canary)).await)
            } else {
                Seen::NotAsked
            }
        };
        let health = async {
            if needs.health {
                Seen::from(self.ports.health(target, &rollout.baseline, &rollout.canary).await)
            } else {
                Seen::NotAsked
            }
        };
        let ((routing, target_gone), canary, health) = join3(routing, canary, health).await;
        let tests = if needs.tests { self.run_tests(rollout).await } else { Seen::NotAsked };
        let learned = if needs.past { Seen::from(self.look_back_of(rollout).await) } else { Seen::NotAsked };
        Observation {
            now: self.now,
            mode: self.settings.mode,
            routing,
            target_gone,
            alarms: looked.alarms_of(needs),
            canary,
            deployment: if needs.deployment { looked.deployment() } else { Seen::NotAsked },
            asked: looked.visit.as_ref().and_then(|visit| visit.asked),
            health,
            tests,
            learned,
            samples: Seen::NotAsked,
            sealed_before: None,
            passes_before: None,
            judge_failed: None,
            switch: self.settings.switch,
            switch_told: looked.switch_told,
            target_held_by: looked.neighbours.target_held_by.clone(),
            newer: looked.neighbours.newer.clone(),
        }
    }

    async fn run_tests(&self, rollout: &Rollout) -> Seen<Vec<TestOutcome>> {
        let tests = rollout.spec.tests.iter();
        let runs = tests.map(|test| self.ports.run(&rollout.spec.target, &rollout.canary, test));
        let outcomes: Result<Vec<TestOutcome>, Fault> = join_all(runs).await.into_iter().collect();
        Seen::from(outcomes)
    }

    /// It waits for a tick with more time, like one that this tick did not get round to.
    async fn put_off(&self, rollout: &Rollout, mut line: Line) -> Line {
        line.holding.push(TOO_LATE.to_owned());
        if let Some(pushed) = self.push_on(rollout).await {
            line.faults.extend(pushed.faults);
        }
        Line { unsaved: true, ..line }
    }

    /// Ticks come, and so the dead man's switch of a rollout that waits for one with time does not fire. No line where
    /// nothing was done.
    pub(super) async fn push_on(&self, rollout: &Rollout) -> Option<Line> {
        let time = self.settings.switch.filter(|_| self.settings.mode == Mode::Enforce)?;
        let decision = engine::push(rollout, self.now, time)?;
        let mut line = Line::about(rollout);
        line.holding.push("waits for a tick that has time for it".to_owned());
        let told = self.carry_out(rollout, &decision, &mut line).await;
        if matches!(told, Outcome::Stands(SwitchTold::Failed))
            && let Some(next) = engine::untold(&decision.next)
            && let Err(error) = self.ports.save(&decision.next, &next, None).await
        {
            line.faults.push(error.to_string());
        }
        Some(line)
    }

    /// Saves the intent, then acts.
    async fn carry_out(&self, before: &Rollout, decision: &Decision, line: &mut Line) -> Outcome {
        if self.is_too_late_for(decision) {
            return Outcome::TooLate;
        }
        let mut only_retreat = false;
        if decision.next == *before {
            let acts = !decision.effects.iter().all(Effect::is_only_unsaved);
            match if acts { self.standing(before, line).await } else { Stored::AsKnown } {
                Stored::AsKnown => {}
                Stored::Unknown => only_retreat = true,
                Stored::Changed => return Outcome::Dropped,
            }
        } else {
            match self.ports.save(before, &decision.next, decision.record.as_ref()).await {
                Ok(()) => note_events(before, &decision.next, line),
                Err(SaveError::Fault(fault)) => {
                    line.faults.push(fault.to_string());
                    only_retreat = true;
                }
                Err(error @ (SaveError::Conflict | SaveError::TargetTaken { .. })) => {
                    line.faults.push(error.to_string());
                    return Outcome::Dropped;
                }
            }
        }
        let mut told = SwitchTold::Nothing;
        for effect in &decision.effects {
            // No traffic that nobody would put back.
            if effect.gives_traffic() && matches!(told, SwitchTold::Failed | SwitchTold::Removed) {
                continue;
            }
            // The one exception to saving before acting: with the store down, traffic may still go back to the baseline.
            let is_for_now = if only_retreat { effect.is_retreat() } else { !effect.is_only_unsaved() };
            if is_for_now {
                told = self.act(&decision.next, effect, line).await.unwrap_or(told);
            }
        }
        if only_retreat { Outcome::Dropped } else { Outcome::Stands(told) }
    }

    /// What is decided and cannot be done any more would wait, on record, for the next tick with time for this rollout. That
    /// one decides afresh. Who turns back loses nothing: nothing of that takes time.
    fn is_too_late_for(&self, decision: &Decision) -> bool {
        self.budget.remaining() < RAISE_RESERVE && decision.effects.iter().any(needs_time)
    }

    /// A weight that is set again needs no save, and so no save tells that another controller has turned back
    /// meanwhile. Whoever does so after this read writes to the target after our look at it, which makes our own write
    /// stale.
    ///
    /// Nor is a target set back once more for a rollout that has ended meanwhile; but where that cannot be known it is.
    async fn standing(&self, rollout: &Rollout, line: &mut Line) -> Stored {
        match self.ports.load(&rollout.id).await {
            Ok(Some(stored)) if stored.revision == rollout.revision => return Stored::AsKnown,
            Ok(Some(stored)) if stored.revision > rollout.revision => {
                line.faults.push(SaveError::Conflict.to_string());
                return Stored::Changed;
            }
            // It is from before what this tick knows, or gone.
            Ok(_) => line.faults.push(SaveError::Conflict.to_string()),
            Err(fault) => line.faults.push(fault.to_string()),
        }
        Stored::Unknown
    }

    /// What became of it if it was for the dead man's switch.
    async fn act(&self, rollout: &Rollout, effect: &Effect, line: &mut Line) -> Option<SwitchTold> {
        if self.budget.remaining() < WRITE_RESERVE && needs_time(effect) {
            line.faults.push(TOO_LATE.to_owned());
            return None;
        }
        match effect {
            Effect::SetWeight { weight, seen } => self.set(rollout, *weight, seen, line).await,
            Effect::Attach { seen } => self.attach(rollout, seen, line).await,
            Effect::Detach { seen } => self.detach(rollout, seen, line).await,
            Effect::Stop { deployment, .. } => self.stop(deployment, line).await,
            Effect::Arm { at } => return Some(self.arm(rollout, *at, line).await),
            Effect::Disarm => return Some(self.disarm(rollout, line).await),
        }
        None
    }

    async fn set(&self, rollout: &Rollout, weight: Weight, seen: &Routing, line: &mut Line) {
        let Rollout { baseline, canary, spec, .. } = rollout;
        let split = SetWeight { target: &spec.target, baseline, canary, weight, seen };
        match self.ports.set(&split).await {
            Ok(()) => line.did.push(format!("set {canary} to {weight} of {}", line.target)),
            Err(error) => line.faults.push(error.to_string()),
        }
    }

    async fn attach(&self, rollout: &Rollout, seen: &Routing, line: &mut Line) {
        let attach = Attach { target: &rollout.spec.target, canary: &rollout.canary, seen };
        match self.ports.attach(&attach).await {
            Ok(()) => line.did.push(format!("attached {} to {} at weight 0", rollout.canary, line.target)),
            Err(error) => line.faults.push(error.to_string()),
        }
    }

    async fn detach(&self, rollout: &Rollout, seen: &Routing, line: &mut Line) {
        let detach = Detach { target: &rollout.spec.target, group: &rollout.baseline, seen };
        match self.ports.detach(&detach).await {
            Ok(()) => line.did.push(format!("detached {} from {}", rollout.baseline, line.target)),
            Err(error) => line.faults.push(error.to_string()),
        }
    }

    async fn arm(&self, rollout: &Rollout, at: Timestamp, line: &mut Line) -> SwitchTold {
        let Rollout { id, baseline, canary, spec, .. } = rollout;
        let switch = Switch { rollout: id, target: &spec.target, baseline, canary, at };
        match self.ports.arm(&switch).await {
            // It took its time, and meanwhile another invocation may have ended the rollout and removed it.
            Ok(()) => match self.ports.load(id).await {
                Ok(Some(stored)) if stored.revision >= rollout.revision && stored.switch.is_none() => {
                    self.disarm(rollout, line).await
                }
                Ok(Some(stored)) if stored.revision > rollout.revision => {
                    line.faults.push(SaveError::Conflict.to_string());
                    SwitchTold::Failed
                }
                Ok(_) | Err(_) => SwitchTold::Armed(at),
            },
            Err(fault) => {
                line.faults.push(fault.to_string());
                SwitchTold::Failed
            }
        }
    }

    async fn disarm(&self, rollout: &Rollout, line: &mut Line) -> SwitchTold {
        match self.ports.disarm(&rollout.id, &rollout.spec.target).await {
            Ok(()) => SwitchTold::Removed,
            Err(fault) => {
                line.faults.push(fault.to_string());
                SwitchTold::Failed
            }
        }
    }

    async fn stop(&self, deployment: &DeploymentRef, line: &mut Line) {
        match self.ports.stop(deployment).await {
            Ok(()) => line.did.push(format!("stopped {deployment}")),
            Err(fault) => line.faults.push(fault.to_string()),
        }
    }

    /// Makes the verdict on another service's deployment a metric. One that has ended has nothing left to stop, and an alarm
    /// that rang on would keep the next one from beginning.
    async fn measure(&self, rollout: &Rollout, looked: &Looked, line: &mut Line) {
        if rollout.guest.is_none() {
            return;
        }
        let deployment = looked.visit.as_ref().and_then(|visit| visit.deployment.known());
        let over = deployment.is_some_and(|deployment| deployment.state.has_ended());
        let worse = engine::proven_worse(rollout) && !over;
        if let Err(fault) = self.ports.measure(&rollout.spec.target, worse).await {
            line.faults.push(fault.to_string());
        }
    }

    /// Tells what happened, in its order. A notice stays in the outbox until it was told and that was saved: at least
    /// once, always under the same key.
    async fn tell(&self, rollout: Rollout, line: &mut Line) {
        if rollout.outbox.is_empty() {
            return;
        }
        let mut next = rollout.clone();
        next.outbox.clear();
        let mut failed = false;
        for notice in &rollout.outbox {
            if !failed && let Err(fault) = self.ports.publish(notice).await {
                line.faults.push(fault.to_string());
                failed = true;
            }
            if failed && self.now.since(notice.at) > KEEP_UNTOLD {
                line.faults.push(format!("{} could not be told for {KEEP_UNTOLD} and is given up", notice.key));
            } else if failed {
                next.outbox.push(notice.clone());
            }
        }
        if next.outbox.len() < rollout.outbox.len() {
            next.revision += 1;
            if let Err(error) = self.ports.save(&rollout, &next, None).await {
                line.faults.push(error.to_string());
            }
        }
    }
}

const TOO_LATE: &str = "too little time left to set a weight safely; the next invocation does";

/// The switch can be told at any time: it sets no weight.
fn needs_time(effect: &Effect) -> bool {
    !effect.is_retreat() && !matches!(effect, Effect::Arm { .. } | Effect::Disarm)
}

/// What a stop brings about takes its time: it is seen by the next tick, and not asked for again before that.
fn is_seen_later(effect: &Effect) -> bool {
    matches!(effect, Effect::Stop { told: false, .. })
}

impl Looked {
    fn deployment(&self) -> Seen<Deployment> {
        self.visit.as_ref().map_or(Seen::NotAsked, |visit| visit.deployment.clone())
    }

    fn alarms_of(&self, needs: &Needs) -> Seen<BTreeMap<String, AlarmState>> {
        match &self.alarms {
            _ if needs.alarms.is_empty() => Seen::NotAsked,
            Seen::Known(states) => {
                let own = needs.alarms.iter().filter_map(|name| Some((name.clone(), *states.get(name)?)));
                Seen::Known(own.collect())
            }
            Seen::Missing(why) => Seen::Missing(why.clone()),
            Seen::NotAsked => Seen::Missing("not read".to_owned()),
        }
    }
}

fn note_seen(rollout: &Rollout, seen: &Observation, analysis: Option<&Analysis>, line: &mut Line) {
    line.live = seen.routing.known().map(ToString::to_string);
    line.targets = seen.health.known().map(|health| alb::targets(health, &rollout.baseline, &rollout.canary));
    if let Some(analysis) = analysis {
        line.found = Some(analysis.found());
        line.checks = analysis.comparisons.iter().map(|check| format!("{}: {}", check.check, check.sentence)).collect();
    }
}

fn note_events(before: &Rollout, next: &Rollout, line: &mut Line) {
    let new = usize::try_from(next.events_total - before.events_total).unwrap_or(0);
    for event in next.history.iter().rev().take(new).rev() {
        let entered = event.entered.map(|phase| format!("{}: ", report::phase_word(phase))).unwrap_or_default();
        line.did.push(format!("{entered}{}", report::sentence(&event.why)));
    }
}
