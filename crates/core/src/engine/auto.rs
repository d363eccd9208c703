//! Weights that the judge chooses minute by minute: up when what is proven allows, down when it does not.

use super::live::{Bake, apply, confirmed, on_proof};
use super::{Draft, health, settled_before};
use crate::analysis::{Advice, AutoPlan, Doubt, Verdict};
use crate::rollout::{Phase, Rollout, Why};
use crate::spec::{CheckMode, OnNoData, Step};
use crate::units::{Span, Weight};

/// Minutes without data of both versions, of those whose metrics must have arrived, with which a weight may still rise.
const QUIET_MINUTES: i64 = 3;

/// Every change of weights is kept with the rollout, and a rollout may take days: after so many it stays where it is.
const CHANGES_MAX: usize = 500;

/// A minute at a weight that was seen live.
pub(super) fn bake(draft: &mut Draft<'_>, bake: &Bake, step: &Step) {
    let (Some(plan), Some(advice)) = (draft.next.plan.auto, draft.analysis.and_then(|analysis| analysis.auto)) else {
        draft.hold("no closed minute with data yet");
        return;
    };
    let now = draft.next.weight_of_step(bake.step);
    let settable = |weight: Weight| draft.next.spec.target.settable(weight);
    let largest = settable(plan.largest);
    let wanted = plan.next(&advice, now, has_dropped(&draft.next)).map(settable);
    if now >= largest && (confirmed(draft, bake) || draft.verdict() == Verdict::Pass && !advice.brake) {
        on_proof(draft, bake, step);
        return;
    }
    let baked = draft.now().since(bake.since) >= Span::from_minutes(1);
    match wanted {
        Some(next) if next < now && baked => choose(draft, bake, &advice, next),
        Some(next) if next > now => raise(draft, bake, &advice, next),
        Some(_) | None if now >= largest => on_proof(draft, bake, step),
        Some(_) | None => draft.hold(format!("{now} is what is affordable until more is proven")),
    }
}

/// Whatever is not seen, and whatever is missing, keeps the weight from rising.
fn raise(draft: &mut Draft<'_>, bake: &Bake, advice: &Advice, next: Weight) {
    if draft.next.weights.len() >= CHANGES_MAX {
        draft.hold(format!("the weight has been changed {CHANGES_MAX} times"));
    }
    let rest = draft.next.plan.minutes_between_raises();
    let passed = draft.now().minute().minutes_since(bake.since.minute());
    if usize::try_from(passed).unwrap_or(0) < rest {
        draft.hold(format!("the weight rises every {rest} minutes at most: latency is warming up"));
    }
    if data_are_missing(draft) {
        draft.hold("no data of both versions in the newest minutes whose metrics should be there");
    }
    let doubt = draft.analysis.and_then(|analysis| analysis.doubt);
    if matches!(doubt, Some(Doubt::Blind | Doubt::SplitUnexpected)) {
        draft.hold("what the checks ask cannot be told from the data");
    }
    health::carries(draft, next);
    if draft.holding.is_empty() {
        choose(draft, bake, advice, next);
    }
}

/// Of a check that counts.
fn data_are_missing(draft: &Draft<'_>) -> bool {
    let due_before = settled_before(&draft.next, draft.now());
    let Some(analysis) = draft.analysis else { return true };
    analysis.comparisons.iter().zip(&draft.next.plan.checks).any(|(comparison, check)| {
        let counts = check.mode != CheckMode::Observe && check.on_no_data != OnNoData::Ignore;
        counts && comparison.newest.is_none_or(|newest| newest.plus(QUIET_MINUTES) < due_before)
    })
}

/// Whether the brake has been pulled at a high weight before.
fn has_dropped(rollout: &Rollout) -> bool {
    rollout.weights.windows(2).any(|pair| matches!(pair, [from, to] if AutoPlan::is_drop(from.weight, to.weight)))
}

fn choose(draft: &mut Draft<'_>, bake: &Bake, advice: &Advice, next: Weight) {
    let from = draft.next.weight_of_step(bake.step);
    let budget = draft.next.plan.auto.map_or(0.0, |auto| auto.harm_budget);
    let Advice { excess, spent, brake, .. } = *advice;
    draft.based_on_analysis = true;
    draft.next.chosen = Some(next);
    let phase = Phase::Shifting { step: bake.step, from, since: draft.now() };
    draft.enter(phase, Why::Chosen { from, to: next, excess, spent, budget, brake });
    apply(draft);
}
