//! What a run of the tour has to tell, as numbers.

use coalmine_core::report;
use coalmine_core::rollout::{Phase, PhaseName, Why};
use coalmine_core::sim::invariants::Violation;
use coalmine_core::sim::scenario::Outcome;
use coalmine_core::sim::tour::Stop;
use coalmine_core::sim::traffic::Tally;
use coalmine_core::spec::{CheckKind, Tolerance};
use coalmine_core::units::{Span, Timestamp, Weight};
use serde::Serialize;

/// One release, told. Every number comes from its run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    pub title: &'static str,
    pub new_version: String,
    /// The share of its requests that the made-up version fails.
    pub new_failing: f64,
    pub announced: PhaseName,
    /// What the old version's past said, before any weight was set.
    pub learned: Vec<String>,
    /// `None` when it had not ended when the run stopped.
    pub ended: Option<PhaseName>,
    pub ended_after: Span,
    /// It ended so, and for the announced reason.
    pub as_announced: bool,
    /// The new version's share from each moment on.
    pub weights: Vec<WeightFrom>,
    /// Why it ended as it did, in the controller's own words.
    pub why: Vec<String>,
    pub new: Requests,
    pub old: Requests,
    /// Of a release that was rolled back.
    pub impact: Option<Impact>,
    /// From the alarm's change to weight 0.
    pub seconds_after_alarm: Option<u64>,
    /// What the spec tolerates of the errors check.
    pub tolerated: Option<Tolerance>,
    #[serde(skip)]
    pub unserved: u64,
    #[serde(skip)]
    pub violations: Vec<Violation>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightFrom {
    pub after: Span,
    pub weight: Weight,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    pub requests: u64,
    pub failed: u64,
}

/// What the release cost, and what it would have cost all at once: all requests of the same time, failing as often as
/// those that the new version really got.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Impact {
    pub failed: u64,
    pub new_requests: u64,
    /// From the first weight to the last, of both versions.
    pub all_requests: u64,
    pub lasted: Span,
    pub failed_all_at_once: u64,
}

impl Story {
    pub fn of(stop: &Stop, outcome: &Outcome) -> Self {
        let after = |at: Timestamp| at.since(outcome.started_at);
        let requests = |tally: Tally| Requests { requests: tally.requests, failed: tally.failed };
        let weights = outcome.weights();
        let turned_back = outcome.turned_back();
        let rang = outcome.alarm_changes.first().map(|(at, ..)| *at);
        Self {
            title: stop.title,
            new_version: stop.canary.0.clone(),
            new_failing: stop.failing,
            announced: stop.announced,
            learned: learned(outcome),
            ended: outcome.ended(),
            ended_after: after(ended_at(outcome)),
            as_announced: as_announced(stop, outcome),
            weights: weights.iter().map(|(at, weight)| WeightFrom { after: after(*at), weight: *weight }).collect(),
            why: why(outcome),
            new: requests(outcome.tally(&stop.canary)),
            old: requests(outcome.tally(&stop.scenario.baseline)),
            impact: turned_back.and_then(|until| impact(stop, outcome, until)),
            seconds_after_alarm: rang.zip(turned_back).map(|(rang, back)| back.since(rang).seconds()),
            tolerated: tolerated(outcome),
            unserved: outcome.unserved(),
            violations: outcome.violations.clone(),
        }
    }
}

/// A bad release must have been stopped for its errors, and the alarm's one by the alarm, not by accident.
fn as_announced(stop: &Stop, outcome: &Outcome) -> bool {
    let alarm_rings = !stop.scenario.events.is_empty();
    let for_the_reason = match &outcome.rollout.phase {
        Phase::RolledBack { why: Why::Unhealthy { .. }, .. } => stop.has_targets(),
        Phase::RolledBack { why: Why::Alarm { .. }, .. } => alarm_rings && !stop.has_targets(),
        Phase::RolledBack { why: Why::Harm { .. }, .. } => !alarm_rings,
        Phase::Promoted { .. } => true,
        Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Paused { .. }
        | Phase::Promoting { .. }
        | Phase::RollingBack { .. }
        | Phase::RolledBack { .. }
        | Phase::Superseded { .. } => false,
    };
    outcome.ended() == Some(stop.announced) && for_the_reason
}

fn tolerated(outcome: &Outcome) -> Option<Tolerance> {
    outcome.rollout.spec.checks.iter().find_map(|check| match &check.kind {
        CheckKind::Errors { tolerate } => Some(*tolerate),
        CheckKind::Latency { .. }
        | CheckKind::Rate { .. }
        | CheckKind::Distribution { .. }
        | CheckKind::Mean { .. }
        | CheckKind::Gauge { .. } => None,
    })
}

fn ended_at(outcome: &Outcome) -> Timestamp {
    match &outcome.rollout.phase {
        Phase::Promoted { at } | Phase::RolledBack { at, .. } | Phase::Superseded { at, .. } => *at,
        Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Paused { .. }
        | Phase::Promoting { .. }
        | Phase::RollingBack { .. } => outcome.stopped_at,
    }
}

fn learned(outcome: &Outcome) -> Vec<String> {
    let newest_first = outcome.rollout.history.iter().rev();
    let mut learned = newest_first
        .filter_map(|event| if let Why::Learned { sentences } = &event.why { Some(sentences.clone()) } else { None });
    learned.next().unwrap_or_default()
}

/// The last proof and the end of a release that was promoted; the reason of any other end.
fn why(outcome: &Outcome) -> Vec<String> {
    let history = &outcome.rollout.history;
    let proof = history.iter().rfind(|event| matches!(event.why, Why::Proven { .. }));
    let promoted = outcome.ended() == Some(PhaseName::Promoted);
    let proof = proof.filter(|_| promoted);
    proof.into_iter().chain(history.last()).map(|event| report::sentence(&event.why)).collect()
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn impact(stop: &Stop, outcome: &Outcome, until: Timestamp) -> Option<Impact> {
    let from = outcome.weights().into_iter().find(|(_, weight)| *weight > Weight::ZERO).map(|(at, _)| at)?;
    let (new, old) =
        (outcome.tally_between(&stop.canary, from, until), outcome.tally_between(&stop.scenario.baseline, from, until));
    let all_requests = new.requests + old.requests;
    // Counts of requests are far below 2^52: every cast is exact.
    let failing = new.failed as f64 / new.requests.max(1) as f64;
    Some(Impact {
        failed: new.failed,
        new_requests: new.requests,
        all_requests,
        lasted: until.since(from),
        failed_all_at_once: (all_requests as f64 * failing).round() as u64,
    })
}
