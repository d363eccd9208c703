//! The one table of phase changes, and the one way to make them.

use serde::Serialize;

use super::{Draft, guest};
use crate::report;
use crate::rollout::{
    DeadlineClock, EVENTS_BYTES, Event, Fence, HISTORY_LIMIT, Held, Notice, PauseReason, Phase, PhaseName, RollBackEnd,
    Rollout, Why,
};
use crate::spec::Ending;
use crate::units::{Timestamp, Weight};
use crate::way_out::WayOut;

/// Whether a phase may follow another. Terminal phases have no successor. `follows`: others move the traffic, see
/// [`Rollout::follows`].
#[must_use]
pub fn is_legal(from: PhaseName, to: PhaseName, follows: bool) -> bool {
    use PhaseName::{Baking, Paused, Pending, Promoted, Promoting, RolledBack, RollingBack, Shifting, Superseded};
    match (from, to) {
        (Pending, Pending | Shifting | Promoting | Paused | RolledBack | Superseded) => true,
        (Shifting, Baking | Paused | Promoting | RollingBack | Superseded) => true,
        (Baking, Shifting | Paused | Promoting | RollingBack | Superseded) => true,
        (Paused, Pending | Shifting | Promoting | RollingBack | RolledBack | Superseded) => true,
        (Promoting, Promoting | Promoted | RollingBack | Superseded) => true,
        (RollingBack, RolledBack | Superseded) => true,
        // Others move the traffic, and the phase follows what is live.
        (Pending | Baking, Baking | Promoted | RolledBack) | (Promoting, Baking | RolledBack) => follows,
        (Pending, RollingBack) | (Paused, Baking | Promoted) => follows,
        (
            Shifting | Baking | Paused | Promoting | RollingBack | Promoted | RolledBack | Superseded,
            Pending | Shifting | Baking | Paused | Promoting | RollingBack | Promoted | RolledBack | Superseded,
        ) => false,
    }
}

/// Enters a phase, records why, and queues the notice of it. An illegal change is a bug: it holds, and says so.
pub(super) fn enter(rollout: &mut Rollout, now: Timestamp, phase: Phase, why: Why, digest: Option<u64>) {
    let (from, to) = (rollout.phase.name(), phase.name());
    if !is_legal(from, to, rollout.follows()) {
        note(rollout, now, Why::IllegalTransition { from, to });
        return;
    }
    rollout.phase = phase;
    rollout.clock = clock_in(rollout, now);
    let weight = rollout.desired_weight().unwrap_or(end_weight(to));
    tell(rollout, Event { at: now, entered: Some(to), weight, why, digest });
}

/// Records a fact that changes no phase and that people have to know at once.
pub(super) fn announce(rollout: &mut Rollout, now: Timestamp, why: Why) {
    let weight = rollout.desired_weight().unwrap_or(end_weight(rollout.phase.name()));
    tell(rollout, Event { at: now, entered: None, weight, why, digest: None });
}

fn tell(rollout: &mut Rollout, event: Event) {
    rollout.outbox.push(Notice {
        key: format!("{}/{}", rollout.id, rollout.events_total + 1),
        at: event.at,
        rollout: rollout.id.clone(),
        target: rollout.spec.target.key(),
        baseline: rollout.baseline.clone(),
        canary: rollout.canary.clone(),
        phase: rollout.phase.name(),
        weight: event.weight,
        why: report::sentence(&event.why),
        undo: WayOut::of(rollout).map(|out| out.to_string()),
    });
    keep_newest(&mut rollout.outbox, EVENTS_BYTES);
    push(rollout, event);
}

/// Records a fact that changes no phase.
pub(super) fn note(rollout: &mut Rollout, now: Timestamp, why: Why) {
    let weight = rollout.desired_weight().unwrap_or(end_weight(rollout.phase.name()));
    push(rollout, Event { at: now, entered: None, weight, why, digest: None });
}

fn push(rollout: &mut Rollout, event: Event) {
    rollout.events_total += 1;
    rollout.history.push(event);
    let surplus = rollout.history.len().saturating_sub(HISTORY_LIMIT);
    rollout.history.drain(..surplus);
    keep_newest(&mut rollout.history, EVENTS_BYTES);
}

/// As many as fit, and the newest in any case.
fn keep_newest<T: Serialize>(items: &mut Vec<T>, bytes: usize) {
    let mut room = bytes;
    let fits = |item: &&T| {
        let left = serde_json::to_string(item).ok().and_then(|text| room.checked_sub(text.len()));
        room = left.unwrap_or(0);
        left.is_some()
    };
    let kept = items.iter().rev().take_while(fits).count().max(1);
    let surplus = items.len().saturating_sub(kept);
    items.drain(..surplus);
}

/// The deadline clock runs unless a person is awaited, the rollout waits for another one, or it has ended.
fn clock_in(rollout: &Rollout, now: Timestamp) -> DeadlineClock {
    let stands_still = match &rollout.phase {
        Phase::Paused { .. } => true,
        Phase::Pending { behind, .. } => behind.is_some(),
        Phase::Shifting { .. } | Phase::Baking { .. } | Phase::Promoting { .. } => false,
        Phase::RollingBack { .. } | Phase::Promoted { .. } | Phase::RolledBack { .. } | Phase::Superseded { .. } => {
            true
        }
    };
    match (stands_still, rollout.clock.running_since) {
        (true, Some(_)) => rollout.clock.stopped(now),
        (false, None) => rollout.clock.running(now),
        (true, None) | (false, Some(_)) => rollout.clock,
    }
}

fn end_weight(phase: PhaseName) -> Weight {
    match phase {
        PhaseName::Promoted => Weight::FULL,
        PhaseName::Pending
        | PhaseName::Shifting
        | PhaseName::Baking
        | PhaseName::Paused
        | PhaseName::Promoting
        | PhaseName::RollingBack
        | PhaseName::RolledBack
        | PhaseName::Superseded => Weight::ZERO,
    }
}

impl Draft<'_> {
    pub(super) fn enter(&mut self, phase: Phase, why: Why) {
        let digest = self.digest();
        enter(&mut self.next, self.seen.now, phase, why, digest);
    }

    /// Records a fact that changes no phase, and what it was based on.
    pub(super) fn note(&mut self, why: Why) {
        let digest = self.digest();
        note(&mut self.next, self.seen.now, why);
        if let Some(event) = self.next.history.last_mut() {
            event.digest = digest;
        }
    }

    fn digest(&self) -> Option<u64> {
        self.based_on_analysis.then(|| self.analysis.map(|a| a.settled_digest)).flatten()
    }

    pub(super) fn supersede(&mut self, why: Why) {
        self.enter(Phase::Superseded { at: self.now(), why: why.clone() }, why);
    }

    /// Turns back: through [`Phase::RollingBack`] once any weight may be live, at once before.
    pub(super) fn roll_back(&mut self, why: Why, ends_as: RollBackEnd) {
        let phase = roll_back_phase(&self.next, self.now(), &why, ends_as);
        self.enter(phase, why);
        if self.next.guest.is_some() {
            guest::stop(self);
        } else {
            super::retreat::begin(self);
        }
    }

    /// What the spec wants done when nobody decides.
    pub(super) fn end_with(&mut self, ending: Ending, why: Why, pause: PauseReason) {
        match ending {
            Ending::RollBack => self.roll_back(why, RollBackEnd::RolledBack),
            Ending::Promote if self.next.guest.is_some() => guest::let_all(self, why),
            Ending::Promote => self.enter(promoting(&self.next, self.now()), why),
            Ending::Pause => {
                let held = held(&self.next);
                self.enter(paused(&self.next, self.now(), held, pause), why);
            }
        }
    }
}

pub(super) fn roll_back_phase(rollout: &Rollout, now: Timestamp, why: &Why, ends_as: RollBackEnd) -> Phase {
    let untouched = match &rollout.phase {
        Phase::Pending { behind: Some(_), .. } => true,
        // A deployment that nobody stops would begin to shift.
        Phase::Pending { .. } | Phase::Paused { held: Held::Pending, .. } => rollout.guest.is_none(),
        Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Paused { .. }
        | Phase::Promoting { .. }
        | Phase::RollingBack { .. }
        | Phase::Promoted { .. }
        | Phase::RolledBack { .. }
        | Phase::Superseded { .. } => false,
    };
    match (untouched, ends_as) {
        (true, RollBackEnd::RolledBack) => Phase::RolledBack { at: now, why: why.clone() },
        (true, RollBackEnd::Superseded) => Phase::Superseded { at: now, why: why.clone() },
        (false, _) => Phase::RollingBack { since: now, why: why.clone(), fence: Fence::Open, ends_as },
    }
}

/// All traffic to the canary.
pub(super) fn promoting(rollout: &Rollout, now: Timestamp) -> Phase {
    let from = rollout.desired_weight().unwrap_or(Weight::ZERO);
    Phase::Promoting { from, since: now, live_since: None }
}

pub(super) fn paused(rollout: &Rollout, now: Timestamp, held: Held, why: PauseReason) -> Phase {
    Phase::Paused { held, since: now, until: now + rollout.spec.pause.length, then: rollout.spec.pause.then, why }
}

/// What a pause would hold now.
pub(super) fn held(rollout: &Rollout) -> Held {
    match &rollout.phase {
        Phase::Shifting { step, from, .. } => Held::Step { step: *step, from: *from },
        Phase::Baking { step, .. } => Held::Step { step: *step, from: rollout.weight_of_step(*step) },
        Phase::Paused { held, .. } => *held,
        // Stuck on the way to 100 %: what is held is the last step.
        Phase::Promoting { from, .. } => Held::Step { step: rollout.spec.steps.len().saturating_sub(1), from: *from },
        Phase::Pending { .. }
        | Phase::RollingBack { .. }
        | Phase::Promoted { .. }
        | Phase::RolledBack { .. }
        | Phase::Superseded { .. } => Held::Pending,
    }
}
