//! Do both versions get worse together? Then something else does it to them, or something that they share, and the
//! comparison holds nothing of it against the new version. What is said here decides nothing.

use super::{Comparison, Count, EventHistory, PlannedCheck, percent};

/// How many times as often as before, and by how much more, both versions' events must come: what a person would call an
/// incident.
const TIMES: f64 = 2.0;
const POINTS: f64 = 0.002;

/// Events of each version without which it is not said.
const EVENTS: f64 = 5.0;

/// How unlikely it must be by the rate before: a thousand to one, for independent events.
const EVIDENCE: f64 = 6.9;

/// A clause for a check's sentence, where both versions have their events clearly more often than the old version had in
/// its history.
pub(super) fn both_worse(check: &PlannedCheck, comparison: &Comparison) -> Option<String> {
    let past = check.learned.as_ref()?.events?;
    let versions = [comparison.baseline, comparison.canary];
    versions.iter().all(|now| is_worse(*now, &past)).then(|| {
        let [events, requests] = [|count: &Count| count.events, |count: &Count| count.requests]
            .map(|of| versions.iter().map(of).sum::<f64>());
        let happen = if check.name == "errors" { "fail" } else { "are bad" };
        format!(
            "; both versions {happen} more often than before the rollout ({} against {}): an outside incident or \
             something both share, not held against the new version",
            percent(events / requests),
            percent(past.events / past.requests),
        )
    })
}

/// By the Poisson likelihood ratio, divided by how much events scatter in the history.
fn is_worse(now: Count, past: &EventHistory) -> bool {
    if now.requests <= 0.0 || past.requests <= 0.0 || now.events < EVENTS {
        return false;
    }
    let rate = now.events / now.requests;
    // Half an event more than there were: a history without any does not make the first one impossible.
    let expected = now.requests * (past.events + 0.5) / past.requests;
    let evidence = now.events * (now.events / expected).ln() - (now.events - expected);
    let clearly = rate >= TIMES * past.events / past.requests && rate >= past.events / past.requests + POINTS;
    clearly && evidence >= EVIDENCE * past.dispersion.factor.max(1.0)
}
