//! Typed reasons as sentences, in the words of people: no logarithms, no ticks.

use crate::analysis::{Comparison, JudgePlan, grouped, percent};
use crate::deployment::DeploymentState;
use crate::rollout::{PauseReason, Phase, PhaseName, Rollout, UndecidedWhy, Why};
use crate::spec::Ending;
use crate::units::{Timestamp, Weight};

/// A reason as one sentence without a full stop.
#[must_use]
pub fn sentence(why: &Why) -> String {
    match why {
        Why::Started { by } => format!("started by {by}"),
        Why::Learned { sentences } => or_else(sentences, "the old version's past says nothing"),
        Why::Ready => "the target is free and the new version is ready".to_owned(),
        Why::Attached => "the new target group is attached at weight 0".to_owned(),
        Why::Detached => "no rule forwards to the old target group any more".to_owned(),
        Why::SwitchFired => {
            "the dead man's switch has put all traffic back: no tick that could see came in time".to_owned()
        }
        Why::StaysAttached { why } => format!("the old target group is not detached: {why}"),
        Why::SeenLive => "the weight was seen live".to_owned(),
        Why::Proven { sentences } => or_else(sentences, "proven no worse than tolerated"),
        Why::Chosen { from, to, excess, spent, budget, brake } => {
            let harm = format!("about {} of {} failed requests spent", grouped(*spent), grouped(*budget));
            chosen(*from, *to, *excess, &harm, *brake)
        }
        Why::NoHarm { sentences } => {
            format!(
                "its time is over and no harm was proven, which the spec accepts: {}",
                or_else(sentences, "no data")
            )
        }
        Why::NoSteps => "the strategy has no step before 100 %".to_owned(),
        Why::Approved { by, reason } => by_whom("approved", by, reason),
        Why::PromotedBy { by, reason } => by_whom("promoted", by, reason),
        Why::PausedBy { by, reason } => by_whom("paused", by, reason),
        Why::ResumedBy { by, reason } => by_whom("resumed", by, reason),
        Why::AbortedBy { by, reason } => by_whom("aborted", by, reason),
        Why::ApprovalNeeded => "the step has passed; the next one needs an approval".to_owned(),
        Why::Harm { sentences } => or_else(sentences, "proven worse"),
        Why::Alarm { names } => match names.as_slice() {
            [name] => format!("alarm {name} is in ALARM"),
            _ => format!("alarms {} are in ALARM", names.join(", ")),
        },
        Why::Unhealthy { sentence } => sentence.clone(),
        Why::TestFailed { what } => format!("a test of the new version failed: {what}"),
        Why::VersionUnusable { why } => format!("the new version can take no traffic: {why}"),
        Why::Undecided { why, after, then } => format!("{} after {after}: {}", undecided(*why), ending(*then)),
        Why::PauseOver { then } => format!("nobody ended the pause in time: {}", ending(*then)),
        Why::WatchOver { watched } => format!("watched at 100 % for {watched} without an alarm"),
        Why::NewerRollout { rollout } => format!("the newer rollout {rollout} takes the target"),
        Why::TakenOver { found } => {
            format!("somebody else changed the target, it is now on {found}; nothing was touched")
        }
        Why::PartlyTaken { found } => {
            format!(
                "the target is on {found}, which is not what is on record; what of it is this rollout's own goes back to the old version"
            )
        }
        Why::NobodyToGoBackTo { sentence } => sentence.clone(),
        Why::WouldHave { what, .. } => format!("observe mode: would have {what}"),
        Why::MovedByOthers { found } => format!("others moved the traffic: {found}"),
        Why::Cleared => "the tests before any traffic are passed".to_owned(),
        Why::DeploymentEnded { deployment, state } => format!("{deployment} {}", ended(state)),
        Why::NotPutBack { deployment, found, by_hand } => {
            format!(
                "{deployment} has not put the old version back, {found} is live; nothing was set. By hand: {by_hand}"
            )
        }
        Why::IllegalTransition { from, to } => {
            format!("bug: {} cannot follow {}; nothing was moved", phase_word(*to), phase_word(*from))
        }
    }
}

fn chosen(from: Weight, to: Weight, excess: f64, harm: &str, brake: bool) -> String {
    let proven = if excess < 1.0 {
        format!("at most {} of the new version's requests fail beyond the old one's", percent(excess))
    } else {
        "nothing is proven yet".to_owned()
    };
    match (to > from, brake) {
        (false, true) => format!("looks worse, so back from {from} to {to} ({harm})"),
        (false, false) => format!("back from {from} to {to}: {proven}, and no more is affordable ({harm})"),
        (true, _) => format!("from {from} to {to}: {proven} ({harm})"),
    }
}

fn ended(state: &DeploymentState) -> String {
    match state {
        DeploymentState::Waiting | DeploymentState::InProgress => {
            "has not ended in time; it is judged no more".to_owned()
        }
        DeploymentState::Succeeded => "has succeeded".to_owned(),
        DeploymentState::Failed { why } => format!("has failed: {why}"),
        DeploymentState::Stopped { why } => format!("was stopped: {why}"),
    }
}

fn or_else(sentences: &[String], otherwise: &str) -> String {
    if sentences.is_empty() { otherwise.to_owned() } else { sentences.join("; ") }
}

fn by_whom(what: &str, by: &str, reason: &str) -> String {
    if reason.is_empty() { format!("{what} by {by}") } else { format!("{what} by {by}: {reason}") }
}

/// What was missing for a verdict.
#[must_use]
pub fn undecided(why: UndecidedWhy) -> &'static str {
    match why {
        UndecidedWhy::TooLittleTraffic => "too little traffic to tell",
        UndecidedWhy::NoData => "no data that can be trusted",
        UndecidedWhy::LooksWorse => "looks worse, but not proven",
        UndecidedWhy::Stuck => "the wanted weight could not be brought about",
    }
}

fn ending(then: Ending) -> &'static str {
    match then {
        Ending::Pause => "paused for a person to decide",
        Ending::RollBack => "rolled back, as the spec says",
        Ending::Promote => "promoted, as the spec says",
    }
}

/// The phase in two words.
#[must_use]
pub fn phase_word(phase: PhaseName) -> &'static str {
    match phase {
        PhaseName::Pending => "pending",
        PhaseName::Shifting => "shifting",
        PhaseName::Baking => "baking",
        PhaseName::Paused => "paused",
        PhaseName::Promoting => "promoting",
        PhaseName::RollingBack => "rolling back",
        PhaseName::Promoted => "promoted",
        PhaseName::RolledBack => "rolled back",
        PhaseName::Superseded => "superseded",
    }
}

/// Where a rollout stands, to complete "rollout checkout-42 ...".
#[must_use]
pub fn standing(phase: &Phase) -> String {
    match phase {
        Phase::Pending { behind: Some(behind), .. } => format!("waits behind rollout {}", behind.rollout),
        Phase::Pending { behind: None, .. } => "has not begun to shift traffic".to_owned(),
        Phase::Shifting { step, .. } => format!("is moving to step {}", step + 1),
        Phase::Baking { step, .. } => format!("bakes in step {}", step + 1),
        Phase::Paused { until, why, .. } => format!("is paused until {until} ({})", pause_reason(why)),
        Phase::Promoting { live_since: None, .. } => "is being promoted".to_owned(),
        Phase::Promoting { live_since: Some(_), .. } => "is at 100 % and watched".to_owned(),
        Phase::RollingBack { .. } => "is rolling back".to_owned(),
        Phase::Promoted { at } => format!("was promoted at {at}"),
        Phase::RolledBack { at, .. } => format!("was rolled back at {at}"),
        Phase::Superseded { at, .. } => format!("was superseded at {at}"),
    }
}

/// When a phase was entered.
#[must_use]
pub fn since(phase: &Phase) -> Timestamp {
    match phase {
        Phase::Pending { since, .. }
        | Phase::Shifting { since, .. }
        | Phase::Baking { since, .. }
        | Phase::Paused { since, .. }
        | Phase::Promoting { since, .. }
        | Phase::RollingBack { since, .. } => *since,
        Phase::Promoted { at } | Phase::RolledBack { at, .. } | Phase::Superseded { at, .. } => *at,
    }
}

/// When a pause ends by itself.
#[must_use]
pub fn until(phase: &Phase) -> Option<Timestamp> {
    match phase {
        Phase::Paused { until, .. } => Some(*until),
        Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Promoting { .. }
        | Phase::RollingBack { .. }
        | Phase::Promoted { .. }
        | Phase::RolledBack { .. }
        | Phase::Superseded { .. } => None,
    }
}

/// Whether a person has to decide or do something: it cannot tell, waits for an approval, or cannot put back what it wants to.
#[must_use]
pub fn needs_you(rollout: &Rollout) -> bool {
    let last = rollout.history.last().map(|event| &event.why);
    match &rollout.phase {
        Phase::Paused { why: PauseReason::Approval | PauseReason::Undecided(_), .. } => true,
        Phase::RollingBack { .. } => matches!(last, Some(Why::NobodyToGoBackTo { .. })),
        Phase::RolledBack { .. } | Phase::Superseded { .. } => matches!(last, Some(Why::NotPutBack { .. })),
        Phase::Paused { why: PauseReason::Asked { .. }, .. }
        | Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Promoting { .. }
        | Phase::Promoted { .. } => false,
    }
}

/// How many times as often a check of counts tolerates at this step; `None` where there is nothing to multiply, and for what is
/// tolerated as slowness.
#[must_use]
pub fn tolerated_times(comparison: &Comparison) -> Option<f64> {
    let old = comparison.baseline;
    let rate = if old.requests > 0.0 { old.events / old.requests } else { 0.0 };
    let counts = comparison.slower.is_none() && comparison.level.is_none() && rate > 0.0;
    counts.then(|| comparison.tolerance.factor + comparison.tolerance.points / rate)
}

/// Why a check is proven worse although what was seen is less than the step tolerates.
#[must_use]
pub fn worse_inside_tolerance(plan: &JudgePlan, comparison: &Comparison) -> Option<String> {
    let seen = comparison.ratio.filter(|_| comparison.evidence.lane.is_some())?.estimate;
    tolerated_times(comparison).filter(|tolerated| seen < *tolerated)?;
    let worse = match plan.tolerated_ratio {
        ratio if ratio > 1.0 => format!("more than {} times as often", crate::units::plain_number(ratio)),
        _ => "worse at all".to_owned(),
    };
    Some(format!(
        "a rollback needs proof that it is {worse}; the tolerance is what a promotion must prove, so less than that may be proven worse"
    ))
}

fn pause_reason(why: &PauseReason) -> String {
    match why {
        PauseReason::Asked { by, .. } => format!("asked by {by}"),
        PauseReason::Approval => "needs an approval".to_owned(),
        PauseReason::Undecided(why) => undecided(*why).to_owned(),
    }
}
