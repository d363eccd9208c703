//! The pure core: what must be looked at, and what follows from what was seen.
//!
//! Architecture Invariant: [`needs`] and [`decide`] are functions of their arguments. They see verdicts, never evidence.
//! The same observation twice gives the same decision; a decision applied and observed again is a no-op.

mod auto;
mod begin;
mod detach;
mod follow;
mod guest;
mod health;
mod live;
mod observe;
mod orders;
mod pending;
mod retreat;
mod sealing;
mod switch;
mod transition;
mod unseen;

#[cfg(test)]
mod tests;

use crate::analysis::{Analysis, Verdict};
use crate::deployment::DeploymentRef;
use crate::observation::{AlarmState, Observation, Routing, Seen, Split};
use crate::rollout::{DecisionRecord, Held, Phase, Rollout};
use crate::spec::{Mode, Stickiness, Target};
use crate::units::{Minute, Span, Timestamp, Weight};

pub use begin::{Start, begin, may_have_set};
pub use guest::{answer, proven_worse};
pub use orders::{Order, OrderKind, Refusal, order};
pub use sealing::block_to_seal;
pub use switch::{push, untold};
pub use transition::is_legal;
pub use unseen::{presumed, stands_unseen};

/// Harm may be concluded from minutes that ended this long ago.
pub const CLOSED_AFTER: Span = Span::from_seconds(60);

/// A rollout that waits longer than this for its first weight learns from the past again: expectations are of the last
/// hour.
const PAST_HOLDS: Span = Span::from_hours(2);

/// What must be looked at this tick.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    pub routing: bool,
    pub canary: bool,
    /// How many healthy targets the groups have.
    pub health: bool,
    /// How far the deployment is that is judged.
    pub deployment: bool,
    pub tests: bool,
    /// The old version's past, to learn from before the first weight.
    pub past: bool,
    pub alarms: Vec<String>,
    /// The minutes to judge.
    pub samples: Option<Window>,
}

/// Minutes from `from` up to, not including, `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub from: Minute,
    pub until: Minute,
}

/// What is to be done, as a value.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a decision that nobody carries out changes nothing"]
pub struct Decision {
    /// Equal to the rollout that was decided on when nothing changed, one revision on otherwise.
    pub next: Rollout,
    pub effects: Vec<Effect>,
    /// What was based on the judge, kept for replay.
    pub record: Option<DecisionRecord>,
    /// What holds the rollout where it is.
    pub holding: Vec<String>,
}

/// What may touch the world. Complete: nothing is left to choose.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Make `weight` the canary's share, if the target still is as it was `seen`.
    SetWeight { weight: Weight, seen: Routing },
    /// Attach the canary's target group at weight 0, if the target still is as it was `seen`.
    Attach { seen: Routing },
    /// Detach the baseline's target group, if the target still is as it was `seen`.
    Detach { seen: Routing },
    /// Stop the deployment that is judged; its service puts all traffic back. One that is `told` by the answer to its hook
    /// need not be stopped once this is saved, for the answer is made from what is stored.
    Stop { deployment: DeploymentRef, told: bool },
    /// Have AWS put all traffic back at this time, unless it is told otherwise before. Replaces what was said before. If it
    /// cannot be told, no traffic is given.
    Arm { at: Timestamp },
    /// Have it put nothing back.
    Disarm,
}

impl Effect {
    /// Puts all traffic back on the baseline. The only thing that may be done although its record could not be saved.
    #[must_use]
    pub fn is_retreat(&self) -> bool {
        match self {
            Self::SetWeight { weight, .. } => *weight == Weight::ZERO,
            Self::Attach { .. } | Self::Detach { .. } | Self::Arm { .. } | Self::Disarm => false,
            Self::Stop { .. } => true,
        }
    }

    /// Gives traffic to the canary.
    #[must_use]
    pub fn gives_traffic(&self) -> bool {
        matches!(self, Self::SetWeight { weight, .. } if *weight > Weight::ZERO)
    }

    /// Only to be done where the decision could not be saved.
    #[must_use]
    pub fn is_only_unsaved(&self) -> bool {
        matches!(self, Self::Stop { told: true, .. })
    }
}

/// What must be looked at to decide about this rollout now.
#[must_use]
pub fn needs(rollout: &Rollout, now: Timestamp) -> Needs {
    let now = now.max(rollout.now);
    let split = |alarms: bool| Needs {
        routing: true,
        deployment: rollout.guest.is_some(),
        health: matches!(rollout.spec.target, Target::Alb(_)),
        alarms: if alarms { rollout.spec.alarms.names.clone() } else { Vec::new() },
        samples: window(rollout, now).filter(|_| alarms),
        ..Needs::default()
    };
    match &rollout.phase {
        Phase::Pending { behind: Some(_), .. } => Needs { canary: true, health: false, ..split(true) },
        Phase::Pending { behind: None, ready, .. } => Needs {
            canary: true,
            tests: *ready && !guest::is_cleared(rollout) && !rollout.spec.tests.is_empty(),
            past: !guest::is_cleared(rollout) && !knows_past(rollout, now),
            samples: None,
            ..split(true)
        },
        Phase::Paused { held: Held::Pending, .. } if rollout.guest.is_none() => Needs::default(),
        Phase::Shifting { .. } | Phase::Baking { .. } | Phase::Paused { .. } | Phase::Promoting { .. } => split(true),
        Phase::RollingBack { .. } => split(false),
        Phase::Promoted { .. } | Phase::RolledBack { .. } | Phase::Superseded { .. } => {
            Needs { routing: rollout.detach_at.is_some_and(|at| at <= now), ..Needs::default() }
        }
    }
}

/// Decides what follows. `analysis` is the judge's answer to the observed samples, if there were any.
pub fn decide(rollout: &Rollout, seen: &Observation, analysis: Option<&Analysis>) -> Decision {
    let seen = &Observation { now: seen.now.max(rollout.now), ..seen.clone() };
    let mut draft = Draft::new(rollout, seen, analysis);
    let observed = seen.mode == Mode::Observe || rollout.spec.mode == Mode::Observe;
    match (&rollout.guest, observed) {
        _ if rollout.is_terminal() => detach::decide(&mut draft),
        (Some(_), _) => guest::decide(&mut draft, observed),
        (None, true) => observe::decide(&mut draft),
        (None, false) => enforce(&mut draft),
    }
    if rollout.guest.is_none() {
        switch::keep(&mut draft, observed);
    }
    draft.finish()
}

fn enforce(draft: &mut Draft<'_>) {
    match &draft.before.phase {
        Phase::Pending { .. } => pending::decide(draft),
        Phase::RollingBack { .. } => retreat::decide(draft),
        Phase::Shifting { .. } | Phase::Baking { .. } | Phase::Paused { .. } | Phase::Promoting { .. } => {
            live::decide(draft);
        }
        Phase::Promoted { .. } | Phase::RolledBack { .. } | Phase::Superseded { .. } => {}
    }
}

/// Whether what the plan says of the past is new enough to begin with.
fn knows_past(rollout: &Rollout, now: Timestamp) -> bool {
    rollout.learned_at.is_some_and(|at| now.since(at) < PAST_HOLDS)
}

fn window(rollout: &Rollout, now: Timestamp) -> Option<Window> {
    let from = rollout.first_minute()?;
    let until = (now - CLOSED_AFTER).minute();
    (from < until).then_some(Window { from, until })
}

/// The minutes that speak of a rollout: of one that has ended, up to its end.
#[must_use]
pub fn judged_minutes(rollout: &Rollout, now: Timestamp) -> Option<Window> {
    let Window { from, until } = window(rollout, now.max(rollout.now))?;
    let until = rollout.ended_at().map_or(until, |at| until.min(at.minute().plus(1)));
    (from < until).then_some(Window { from, until })
}

/// Minutes before this one are old enough to promote on: late calls had the time to end and their metrics to arrive.
#[must_use]
pub fn settled_before(rollout: &Rollout, now: Timestamp) -> Minute {
    (now.max(rollout.now) - rollout.lag.plus(rollout.request_timeout)).minute()
}

/// First minute that belongs to the present step: that of the raise, if it is mostly at the new weight.
#[must_use]
pub fn step_since(rollout: &Rollout) -> Option<Minute> {
    let Phase::Baking { since, .. } = &rollout.phase else { return None };
    let first = since.minute();
    Some(if rollout.mixed().contains(&first) { first.plus(1) } else { first })
}

/// First minute that lies wholly in the watch at 100 %.
#[must_use]
pub fn alone_since(rollout: &Rollout) -> Option<Minute> {
    match &rollout.phase {
        Phase::Promoting { live_since, .. } => live_since.map(first_whole_minute),
        Phase::Promoted { .. } => {
            let all = rollout.weights.last().filter(|seen| seen.weight == Weight::FULL);
            all.map(|seen| first_whole_minute(seen.at))
        }
        Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Paused { .. }
        | Phase::RollingBack { .. }
        | Phase::RolledBack { .. }
        | Phase::Superseded { .. } => None,
    }
}

fn first_whole_minute(since: Timestamp) -> Minute {
    (since + Span::from_seconds(59)).minute()
}

/// The step whose tolerance must be proven.
#[must_use]
pub fn judged_step(rollout: &Rollout) -> usize {
    if let Phase::Shifting { step, .. }
    | Phase::Baking { step, .. }
    | Phase::Paused { held: Held::Step { step, .. }, .. } = &rollout.phase
    {
        return *step;
    }
    rollout.spec.steps.len().saturating_sub(1)
}

/// A decision in the making.
struct Draft<'a> {
    before: &'a Rollout,
    seen: &'a Observation,
    analysis: Option<&'a Analysis>,
    next: Rollout,
    effects: Vec<Effect>,
    holding: Vec<String>,
    based_on_analysis: bool,
}

impl<'a> Draft<'a> {
    fn new(before: &'a Rollout, seen: &'a Observation, analysis: Option<&'a Analysis>) -> Self {
        Self {
            before,
            seen,
            analysis,
            next: before.clone(),
            effects: Vec::new(),
            holding: Vec::new(),
            based_on_analysis: false,
        }
    }

    fn now(&self) -> Timestamp {
        self.seen.now
    }

    fn hold(&mut self, why: impl Into<String>) {
        self.holding.push(why.into());
    }

    fn verdict(&self) -> Verdict {
        self.analysis.map_or(Verdict::Inconclusive, |analysis| analysis.verdict)
    }

    /// Whose traffic another service moves, that one's weights are never set.
    fn set_weight(&mut self, weight: Weight, seen: &Routing) {
        if self.next.guest.is_some() {
            return;
        }
        self.effects.push(Effect::SetWeight { weight, seen: seen.clone() });
    }

    /// The live split, when it could be read.
    fn split(&self) -> Option<(&'a Routing, Split)> {
        let routing = self.seen.routing.known()?;
        Some((routing, routing.split(&self.next.baseline, &self.next.canary)))
    }

    /// Alarms that are red and count.
    fn red_alarms(&self) -> Vec<String> {
        let Some(states) = self.seen.alarms.known() else { return Vec::new() };
        let red =
            |name: &&String| states.get(*name) == Some(&AlarmState::Alarm) && !self.next.alarms_muted.contains(*name);
        self.next.spec.alarms.names.iter().filter(red).cloned().collect()
    }

    /// Whatever could not be seen: no weight rises while there is anything.
    fn blind_spots(&self) -> Vec<String> {
        let mut spots = Vec::new();
        if let Seen::Missing(why) = &self.seen.routing {
            spots.push(format!("the live weights could not be read: {why}"));
        }
        spots.extend(self.lost_rules());
        spots.extend(self.stuck_clients());
        match &self.seen.deployment {
            Seen::Missing(why) => spots.push(format!("the deployment could not be read: {why}")),
            Seen::NotAsked if self.next.guest.is_some() => spots.push("the deployment was not looked at".to_owned()),
            Seen::NotAsked | Seen::Known(_) => {}
        }
        match &self.seen.samples {
            Seen::Missing(why) => spots.push(format!("the metrics could not be read: {why}")),
            Seen::Known(samples) => {
                spots.extend(samples.unread.iter().map(|why| format!("a metric could not be read: {why}")));
            }
            Seen::NotAsked => {}
        }
        spots.extend(self.seen.judge_failed.iter().map(|bug| format!("the judge failed: {bug}")));
        if let Seen::Missing(why) = &self.seen.health {
            spots.push(health::unread(why));
        }
        match &self.seen.alarms {
            Seen::Missing(why) => spots.push(format!("the alarms could not be read: {why}")),
            Seen::Known(states) => {
                let absent = self.next.spec.alarms.names.iter().filter(|name| !states.contains_key(*name));
                spots.extend(absent.map(|name| format!("alarm {name} does not exist")));
            }
            Seen::NotAsked => {}
        }
        spots
    }

    /// Rules of the target that are not shifted any more, whatever is decided.
    fn lost_rules(&self) -> Vec<String> {
        let lost = self.seen.routing.known().map(|routing| routing.lost.as_slice()).unwrap_or_default();
        lost.iter().map(|why| format!("a rule cannot be shifted: {why}")).collect()
    }

    /// No weight would bring about what it stands for.
    fn is_obstructed(&self) -> bool {
        !self.lost_rules().is_empty() || self.stuck_clients().is_some()
    }

    /// Clients that no weight takes back, though the spec does not consent to that.
    fn stuck_clients(&self) -> Option<String> {
        let Target::Alb(alb) = &self.before.spec.target else { return None };
        let kept = self.seen.routing.known()?.sticky.filter(|_| alb.stickiness == Stickiness::Refuse)?;
        Some(format!(
            "target-group stickiness was switched on ({kept}): clients stay on the new group after a rollback, whatever the \
             weights; switch it off"
        ))
    }

    /// What the target rearranges by itself, and is left alone meanwhile.
    fn hold_in_transition(&mut self) {
        self.hold(match self.next.spec.target {
            Target::Lambda(_) => "the alias is rearranging its provisioned concurrency",
            Target::Alb(_) => "the load balancer is rearranging its weights",
        });
    }

    /// Holds for everything that could not be seen, each with its reason.
    fn hold_blind(&mut self) {
        let spots = self.blind_spots();
        self.holding.extend(spots);
    }

    fn finish(mut self) -> Decision {
        self.unmute_alarms();
        self.next.sealed_before = self.next.sealed_before.max(self.seen.sealed_before);
        if self.next == *self.before {
            return Decision { next: self.next, effects: self.effects, record: None, holding: self.holding };
        }
        self.next.now = self.now();
        self.next.revision = self.before.revision + 1;
        let record = self.based_on_analysis.then(|| self.record()).flatten();
        Decision { next: self.next, effects: self.effects, record, holding: self.holding }
    }

    /// An alarm that was red at the start counts again once it has been OK.
    fn unmute_alarms(&mut self) {
        if let Some(states) = self.seen.alarms.known() {
            self.next.alarms_muted.retain(|name| states.get(name) != Some(&AlarmState::Ok));
        }
    }

    fn record(&self) -> Option<DecisionRecord> {
        let (analysis, samples) = (self.analysis?, self.seen.samples.known()?);
        let sealed = |minute: Minute| self.before.sealed_before.is_some_and(|before| minute < before);
        Some(DecisionRecord {
            at: self.now(),
            digest: analysis.settled_digest,
            verdict: analysis.verdict,
            settled_before: samples.settled_before,
            tail: samples.minutes.iter().filter(|sample| !sealed(sample.minute)).cloned().collect(),
        })
    }
}
