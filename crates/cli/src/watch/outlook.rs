//! When it goes on, when it is done, and when it gives up. What nobody can tell is left out.

use coalmine_core::analysis::{Comparison, Count, Doubt, Load, MINUTES_TO_PASS, Verdict, forecast};
use coalmine_core::engine;
use coalmine_core::rollout::{Phase, Proof, Rollout};
use coalmine_core::spec::{Advance, Ending};
use coalmine_core::units::{Span, Timestamp, Weight};
use schemars::JsonSchema;
use serde::Serialize;

use super::timetable;
use super::view::{Look, both};

/// Newest minutes at the present weight that say how many requests come.
const RATE_MINUTES: usize = 15;

/// What takes longer is not told: the traffic of then is nobody's guess.
const FARTHEST: Span = Span::from_hours(24);

/// What is expected.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outlook {
    /// The weight that is next.
    #[schemars(with = "Option<String>")]
    pub next_weight: Option<Weight>,
    /// When it is expected to be asked for; nothing where that is not to be told.
    #[schemars(with = "Option<String>")]
    pub next_at: Option<Timestamp>,
    /// When the rollout is expected to be promoted for good, if the new version stays fine.
    #[schemars(with = "Option<String>")]
    pub done_at: Option<Timestamp>,
    /// How long all of it is expected to take, before it has begun.
    #[schemars(with = "Option<String>")]
    pub takes: Option<Span>,
    /// When it is over without a verdict, or when nobody has ended the pause.
    #[schemars(with = "Option<String>")]
    pub gives_up_at: Option<Timestamp>,
    /// What is done then: `pause`, `rollBack` or `promote`.
    #[schemars(with = "Option<String>")]
    pub then: Option<Ending>,
}

pub(super) fn of(look: &Look<'_>) -> Outlook {
    let rollout = look.rollout;
    match &rollout.phase {
        Phase::Pending { .. } => Outlook {
            next_weight: Some(rollout.weight_of_step(0)).filter(|_| !rollout.follows()),
            takes: learned_load(rollout).and_then(|load| rest(look, 0, &load)),
            ..Outlook::default()
        },
        Phase::Baking { step, since, proof, .. } => baking(look, *step, *since, proof.as_ref()),
        Phase::Shifting { step, .. } => {
            let (gives_up_at, then) = gives_up(look, None);
            let next_weight = Some(rollout.weight_of_step(*step));
            Outlook { next_weight, gives_up_at, then, ..Outlook::default() }
        }
        Phase::Paused { until, then, .. } => {
            let then = if *then == Ending::Pause { Ending::RollBack } else { *then };
            Outlook { gives_up_at: Some(*until), then: Some(then), ..Outlook::default() }
        }
        Phase::Promoting { live_since: Some(since), .. } if !rollout.follows() => {
            Outlook { done_at: Some(*since + rollout.spec.after.watch), ..Outlook::default() }
        }
        Phase::Promoting { .. }
        | Phase::RollingBack { .. }
        | Phase::Promoted { .. }
        | Phase::RolledBack { .. }
        | Phase::Superseded { .. } => Outlook::default(),
    }
}

fn baking(look: &Look<'_>, step: usize, since: Timestamp, proof: Option<&Proof>) -> Outlook {
    let rollout = look.rollout;
    let (gives_up_at, then) = gives_up(look, Some((step, since)));
    let bounds = Outlook { gives_up_at, then, ..Outlook::default() };
    // Others move the weights, or the judge chooses them minute by minute.
    if rollout.follows() || rollout.plan.auto.is_some() {
        return bounds;
    }
    let next_weight = Some(rollout.weight_of_step(step + 1));
    let Some(at) = step_ends(look, step, since, proof) else { return Outlook { next_weight, ..bounds } };
    // Minutes are what the controller looks at.
    let next_at = (at.max(look.now) + Span::from_seconds(59)).minute().start();
    let in_time = next_at.since(look.now) <= FARTHEST;
    let waits_for_person = rollout.spec.steps.iter().skip(step).any(|step| step.approve.is_some());
    let done_at = load(look)
        .filter(|_| in_time && !waits_for_person)
        .and_then(|load| rest(look, step + 1, &load))
        .map(|rest| next_at + rest)
        // What is watched has no deadline any more.
        .filter(|done| gives_up_at.is_none_or(|limit| *done - rollout.spec.after.watch <= limit));
    Outlook { next_weight, next_at: Some(next_at).filter(|_| in_time), done_at, ..bounds }
}

/// When the step has what it needs; `None` where that is not to be told.
fn step_ends(look: &Look<'_>, step: usize, since: Timestamp, proof: Option<&Proof>) -> Option<Timestamp> {
    let rollout = look.rollout;
    let asked = rollout.spec.steps.get(step)?;
    let baked = since + asked.bake;
    if asked.advance == Advance::UnlessHarm {
        return look.analysis.map(|_| baked);
    }
    let analysis = look.analysis?;
    match (analysis.verdict, analysis.doubt) {
        (Verdict::Fail, _) | (_, Some(Doubt::LooksWorse | Doubt::SplitUnexpected | Doubt::Blind | Doubt::NoData)) => {
            return None;
        }
        (Verdict::Pass | Verdict::Inconclusive, _) => {}
    }
    let late = rollout.lag.plus(rollout.request_timeout);
    let mut at = baked;
    if analysis.verdict != Verdict::Pass {
        let first = engine::step_since(rollout)?.start();
        let least = Span::from_minutes(u64::try_from(MINUTES_TO_PASS).unwrap_or(0));
        at = at.max(first + least + late);
        at = at.max(look.now + longest_proof(look)?);
    }
    // A pass counts when it is seen again, and before much more traffic only once its minutes are read.
    let again = if rollout.spec.settles(step) { late } else { Span::from_minutes(1) };
    Some(match proof {
        Some(proof) => at.max(proof.seen + again),
        None => at + again,
    })
}

/// Time until the check that needs longest has its requests.
fn longest_proof(look: &Look<'_>) -> Option<Span> {
    let minutes = look.at_present_weight();
    let newest: Vec<(f64, f64)> = minutes.iter().rev().take(RATE_MINUTES).filter_map(|sample| both(sample)).collect();
    #[allow(clippy::cast_precision_loss, reason = "a few minutes")]
    let a_minute = match newest.len() {
        0 => load(look)?.requests_per_minute * look.rollout.weights.last()?.weight.share(),
        minutes => newest.iter().map(|(new, _)| new).sum::<f64>() / minutes as f64,
    };
    if a_minute <= 0.0 {
        return None;
    }
    let time = |check: &Comparison| {
        if check.verdict == Verdict::Pass || check.evidence.towards_proof() >= 1.0 {
            return Some(Span::ZERO);
        }
        minutes_up(check.evidence.requests_missing.filter(|missing| *missing > 0.0)? / a_minute)
    };
    let mut longest = None;
    for check in look.needed() {
        longest = longest.max(Some(time(check)?));
    }
    longest
}

fn minutes_up(minutes: f64) -> Option<Span> {
    let few = (0.0..=1e6).contains(&minutes);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0..=1e6")]
    few.then(|| Span::from_minutes(minutes.ceil() as u64))
}

/// The steps from this one on, and the watch.
fn rest(look: &Look<'_>, from: usize, load: &Load) -> Option<Span> {
    let rollout = look.rollout;
    if rollout.follows() || rollout.spec.steps.iter().skip(from).any(|step| step.approve.is_some()) {
        return None;
    }
    let late = rollout.lag.plus(rollout.request_timeout);
    let steps = forecast(&rollout.plan, &rollout.spec, load, late).steps;
    let takes = steps.iter().skip(from).try_fold(Span::ZERO, |total, step| Some(total.plus(step.takes?)))?;
    Some(takes.plus(rollout.spec.after.watch)).filter(|takes| *takes <= FARTHEST)
}

/// What comes now, by the minutes that are judged.
fn load(look: &Look<'_>) -> Option<Load> {
    let newest: Vec<(f64, f64)> = look.minutes.iter().rev().filter_map(both).take(RATE_MINUTES).collect();
    if newest.is_empty() {
        return None;
    }
    #[allow(clippy::cast_precision_loss, reason = "a few minutes")]
    let requests_per_minute = newest.iter().map(|(new, old)| new + old).sum::<f64>() / newest.len() as f64;
    let errors = look.analysis?.comparisons.iter().find(|check| check.check == "errors")?;
    let Count { requests, events } = errors.baseline;
    (requests > 0.0).then(|| Load { requests_per_minute, error_rate: events / requests })
}

/// What came before the start.
fn learned_load(rollout: &Rollout) -> Option<Load> {
    let learned = rollout.plan.checks.iter().find(|check| check.name == "errors")?.learned.as_ref()?;
    let events = learned.events.as_ref()?;
    let enough = learned.minutes > 0 && events.requests > 0.0;
    enough.then(|| Load {
        requests_per_minute: events.requests / f64::from(learned.minutes),
        error_rate: events.events / events.requests,
    })
}

/// The earlier of the rollout's deadline and the step's, and what the spec says for then.
fn gives_up(look: &Look<'_>, bakes: Option<(usize, Timestamp)>) -> (Option<Timestamp>, Option<Ending>) {
    let rollout = look.rollout;
    let left = rollout.spec.deadline.minus(rollout.clock.spent_at(look.now));
    let deadline = rollout.clock.running_since.map(|_| look.now + left);
    let at_most = bakes.and_then(|(step, since)| Some(since + rollout.spec.steps.get(step)?.at_most?));
    let at = [deadline, at_most].into_iter().flatten().min();
    let undecided = rollout.spec.undecided;
    let then = match look.analysis.and_then(|analysis| analysis.doubt) {
        Some(Doubt::LooksWorse) => undecided.looks_worse,
        Some(Doubt::TooLittleTraffic | Doubt::StillBaking) => undecided.too_little_traffic,
        Some(Doubt::NoData) if look.is_young() => undecided.too_little_traffic,
        Some(Doubt::NoData | Doubt::Blind | Doubt::SplitUnexpected) => undecided.no_data,
        None if look.analysis.is_some() || look.is_young() => undecided.too_little_traffic,
        None => undecided.no_data,
    };
    let then = if timetable::step(look).is_some() && bakes.is_none() { Ending::RollBack } else { then };
    (at, at.map(|_| then))
}
