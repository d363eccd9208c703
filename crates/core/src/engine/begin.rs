//! The first state of a rollout.

use std::collections::BTreeSet;

use super::transition;
use crate::analysis::{JudgePlan, findings};
use crate::observation::{Routing, Split};
use crate::rollout::{Behind, DeadlineClock, Guest, Phase, Rollout, Why};
use crate::spec::{RolloutSpec, Version};
use crate::units::{Span, Timestamp};

/// Everything a rollout starts from.
#[derive(Debug, Clone)]
pub struct Start {
    pub id: String,
    pub spec: RolloutSpec,
    pub plan: JudgePlan,
    /// The plan says what the old version's past says, as of now.
    pub learned: bool,
    pub baseline: Version,
    pub canary: Version,
    pub code_hash: String,
    pub lag: Span,
    pub request_timeout: Span,
    pub behind: Option<Behind>,
    pub alarms_muted: BTreeSet<String>,
    /// The deployment that it judges, if another service runs one.
    pub guest: Option<Guest>,
    pub by: String,
    pub now: Timestamp,
}

/// A new rollout, pending.
#[must_use]
pub fn begin(start: &Start) -> Rollout {
    let now = start.now;
    let phase = Phase::Pending { since: now, behind: start.behind.clone(), ready: false };
    let mut rollout = Rollout {
        id: start.id.clone(),
        spec: start.spec.clone(),
        plan: start.plan.clone(),
        baseline: start.baseline.clone(),
        canary: start.canary.clone(),
        code_hash: start.code_hash.clone(),
        lag: start.lag,
        request_timeout: start.request_timeout,
        started_at: now,
        started_by: start.by.clone(),
        learned_at: start.learned.then_some(now),
        phase: phase.clone(),
        clock: DeadlineClock { spent: Span::ZERO, running_since: None },
        chosen: start.plan.auto.map(|auto| start.spec.target.settable(auto.first())),
        weights: Vec::new(),
        guest: start.guest.clone(),
        carried_by: None,
        detach_at: None,
        strange_since: None,
        switch: None,
        sealed_before: None,
        alarms_muted: start.alarms_muted.clone(),
        outbox: Vec::new(),
        history: Vec::new(),
        events_total: 0,
        now,
        revision: 1,
    };
    transition::enter(&mut rollout, now, phase, Why::Started { by: start.by.clone() }, None);
    if start.learned {
        transition::note(&mut rollout, now, Why::Learned { sentences: findings(&start.plan) });
    }
    rollout
}

/// Whether this rollout, rather than somebody else, may have brought a routing about.
#[must_use]
pub fn may_have_set(rollout: &Rollout, routing: &Routing) -> bool {
    routing.split(&rollout.baseline, &rollout.canary) != Split::Foreign
}
