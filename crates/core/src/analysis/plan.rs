//! A rollout's wish as a plan for the judge.

use crate::spec::{Check, CheckKind, CheckMode, Independence, Margins, RolloutSpec, Stickiness, Target, Tolerance};
use crate::units::{Span, Weight};

use super::{
    AutoPlan, JudgePlan, Measure, PlannedCheck, PlannedDistribution, PlannedQuantile, ReadBy, SplitFound, WarmUp,
};

/// What each kind of check gets of the budget for false rollbacks, before it is spread over the checks present.
const ERRORS_SHARE: f64 = 0.4;
const LATENCY_SHARE: f64 = 0.4;
/// Shared by all checks of the user's own.
const OWN_SHARE: f64 = 0.2;

/// A quantile's margin at full weight, in standard deviations of one request.
const MARGIN_PER_DEVIATION: f64 = 0.1;

/// What CloudWatch counts durations in.
const MILLISECONDS: &str = "ms";

/// Minutes after the one of the raise, and requests of the canary, before its latency counts.
const WARM_UP_MINUTES: u32 = 1;
const WARM_UP_REQUESTS: f64 = 200.0;

/// The same for a recording, whose minutes are taken as they are: a warm-up only where the spec says so.
#[must_use]
pub fn plan_of_recording(spec: &RolloutSpec) -> JudgePlan {
    let mut plan = plan(spec);
    for (check, planned) in spec.checks.iter().zip(&mut plan.checks) {
        let CheckKind::Latency { warm_up: None, .. } = check.kind else { continue };
        if let Some(distribution) = &mut planned.distribution {
            distribution.warm_up = WarmUp::default();
        }
    }
    plan
}

/// Freezes what is judged and how strictly.
#[must_use]
pub fn plan(spec: &RolloutSpec) -> JudgePlan {
    let own = |check: &&Check| matches!(check.kind, CheckKind::Rate { .. } | CheckKind::Distribution { .. });
    let own = spec.checks.iter().filter(own).count();
    let total: f64 = spec.checks.iter().map(|check| budget_weight(check, own)).sum();
    let unlocked = unlocked_weights(spec);
    let checks = spec.checks.iter().map(|check| PlannedCheck {
        name: check.name.clone(),
        measure: measure(check),
        mode: check.mode,
        on_no_data: check.on_no_data,
        alpha_share: if total > 0.0 { budget_weight(check, own) / total } else { 0.0 },
        tolerances: unlocked.iter().map(|weight| tolerance_for(check, *weight, spec.margins)).collect(),
        distribution: distribution(check, &unlocked, spec.margins),
        learned: None,
    });
    JudgePlan {
        checks: checks.collect(),
        false_rollback: spec.analysis.false_rollback,
        false_promotion: spec.analysis.false_promotion,
        horizon_minutes: u32::try_from(longest(spec).minutes_ceil().max(1)).unwrap_or(u32::MAX),
        deadline_minutes: u32::try_from(spec.deadline.minutes_ceil()).unwrap_or(u32::MAX),
        guard: spec.analysis.guard,
        tolerated_ratio: spec.analysis.harm_ratio,
        split_tolerance: if may_be_sticky(&spec.target) { 1.0 } else { SplitFound::tolerated() },
        errors_by_status: matches!(spec.target, Target::Alb(_)),
        independent: spec.analysis.independence == Independence::Assumed,
        auto: AutoPlan::of(spec),
    }
}

/// The deadline stands still while a person is awaited, and the canary keeps its traffic meanwhile.
fn longest(spec: &RolloutSpec) -> Span {
    let approvals = spec.steps.iter().filter_map(|step| step.approve).map(|approval| approval.within);
    approvals.fold(spec.deadline.plus(spec.pause.length), Span::plus)
}

/// Callers that stay with a group, whatever its weight is, make a share that says nothing. A spec that does not consent
/// to stickiness is not rolled out on a target that has it.
fn may_be_sticky(target: &Target) -> bool {
    match target {
        Target::Lambda(_) => false,
        Target::Alb(target) => target.stickiness == Stickiness::DisableOnRollback,
    }
}

fn measure(check: &Check) -> Measure {
    match check.kind {
        CheckKind::Errors { .. } | CheckKind::Rate { .. } => Measure::Counts,
        CheckKind::Latency { .. } | CheckKind::Distribution { .. } => Measure::Distribution,
        CheckKind::Mean { .. } => Measure::Mean,
        CheckKind::Gauge { .. } => Measure::Gauge,
    }
}

/// Only what is judged and can roll back spends the budget.
fn budget_weight(check: &Check, own: usize) -> f64 {
    // A spec has a handful of checks, so the cast is exact.
    #[allow(clippy::cast_precision_loss)]
    match (check.mode, &check.kind) {
        (CheckMode::Enforce, CheckKind::Errors { .. }) => ERRORS_SHARE,
        (CheckMode::Enforce, CheckKind::Latency { .. }) => LATENCY_SHARE,
        (CheckMode::Enforce, CheckKind::Rate { .. } | CheckKind::Distribution { .. }) => OWN_SHARE / own as f64,
        (CheckMode::Enforce, CheckKind::Mean { .. } | CheckKind::Gauge { .. })
        | (CheckMode::Hold | CheckMode::Observe, _) => 0.0,
    }
}

/// How much slower is no harm depends on no weight; a distribution's margins do.
fn tolerance_for(check: &Check, unlocked: Weight, margins: Margins) -> Tolerance {
    match &check.kind {
        CheckKind::Errors { tolerate } | CheckKind::Rate { tolerate, .. } => for_weight(*tolerate, unlocked, margins),
        CheckKind::Latency { tolerate, .. }
        | CheckKind::Distribution { tolerate, .. }
        | CheckKind::Gauge { tolerate, .. } => Tolerance { factor: 1.0 + tolerate, points: 0.0 },
        CheckKind::Mean { .. } => Tolerance { factor: 1.0, points: 0.0 },
    }
}

/// What a distribution must prove at each of its quantiles. The margins are in proportion to the standard deviation of
/// a share, so that all quantiles take equally many requests to prove: 5 points at p50, 3 at p90, 1 at p99.
fn distribution(check: &Check, unlocked: &[Weight], margins: Margins) -> Option<PlannedDistribution> {
    let (stretch, at, unit, warm_up) = match &check.kind {
        CheckKind::Latency { tolerate, at, warm_up } => (*tolerate, at, MILLISECONDS, live_warm_up(*warm_up)),
        CheckKind::Distribution { tolerate, at, unit, .. } => (*tolerate, at, unit.as_str(), WarmUp::default()),
        CheckKind::Errors { .. } | CheckKind::Rate { .. } | CheckKind::Mean { .. } | CheckKind::Gauge { .. } => {
            return None;
        }
    };
    let quantile = |quantile: f64| {
        let points = MARGIN_PER_DEVIATION * (quantile * (1.0 - quantile)).sqrt();
        let margin = |weight| for_weight(Tolerance { factor: 1.0, points }, weight, margins).points;
        PlannedQuantile { quantile, margins: unlocked.iter().map(|weight| margin(*weight)).collect(), edge: None }
    };
    Some(PlannedDistribution {
        stretch,
        at: at.iter().map(|at| quantile(at.0)).collect(),
        edges: Vec::new(),
        read: ReadBy::default(),
        unit: unit.to_owned(),
        warm_up,
    })
}

/// What is left out of latency after each raise; see `course/warming.rs` for the numbers.
fn live_warm_up(wished: Option<Span>) -> WarmUp {
    match wished {
        None => WarmUp { minutes: WARM_UP_MINUTES, requests: WARM_UP_REQUESTS },
        Some(Span::ZERO) => WarmUp::default(),
        Some(span) => {
            WarmUp { minutes: u32::try_from(span.minutes_ceil()).unwrap_or(u32::MAX), requests: WARM_UP_REQUESTS }
        }
    }
}

/// The weight that each step, once passed, gives to the canary. Without steps everything is unlocked at once.
fn unlocked_weights(spec: &RolloutSpec) -> Vec<Weight> {
    spec.steps.iter().skip(1).map(|step| step.weight).chain([Weight::FULL]).collect()
}

/// A step that unlocks little traffic may prove little: at 5 % of the traffic, ten points more errors of the canary are
/// half a point of everybody's.
fn for_weight(tolerance: Tolerance, unlocked: Weight, margins: Margins) -> Tolerance {
    let wider = if unlocked == Weight::ZERO { 1.0 } else { 1.0 / unlocked.share() };
    let wider = match margins {
        Margins::PerWeight => wider,
        Margins::Strict => wider.min(2.0),
    };
    // More than 100 points cannot be worse.
    Tolerance { factor: 1.0 + (tolerance.factor - 1.0) * wider, points: (tolerance.points * wider).min(1.0) }
}
