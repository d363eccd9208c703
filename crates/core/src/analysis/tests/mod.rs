//! The judge from outside: plans and minutes in, verdicts and sentences out.

mod aftermath;
mod agreement;
mod auto;
mod cold;
mod distributions;
mod edges;
mod forecasts;
mod guard;
mod guarded;
mod kinds;
mod simulations;
mod verdicts;

use crate::spec::{
    Advance, AlbTarget, Check, CheckKind, CheckMode, KeepBaseline, MetricRef, OnNoData, Quantile, RateCounts,
    RolloutSpec, RuleRef, Step, Stickiness, Target, Tolerance,
};
use crate::units::{Minute, Span, Timestamp, Weight};

use super::stats::Stratum;
use super::{Count, JudgePlan, MinuteSample, Pair, Samples, plan};

pub(super) fn weight(percent: u16) -> Weight {
    Weight::from_basis_points(percent * 100).unwrap()
}

pub(super) fn step(percent: u16) -> Step {
    let bake = Span::from_minutes(5);
    Step { weight: weight(percent), bake, at_most: None, advance: Advance::OnProof, approve: None }
}

pub(super) fn points(points: f64) -> Tolerance {
    Tolerance { factor: 1.0, points: points / 100.0 }
}

pub(super) fn errors(tolerate: Tolerance) -> Check {
    check("errors", CheckKind::Errors { tolerate })
}

pub(super) fn rate(name: &str, tolerate: Tolerance) -> Check {
    let metric = |name: &str| MetricRef {
        namespace: "Shop".to_owned(),
        metric: name.to_owned(),
        dimensions: [("Version".to_owned(), "{version}".to_owned())].into(),
    };
    let counts = RateCounts::Events(metric(name));
    let kind = CheckKind::Rate { counts, requests: metric("Payments"), tolerate, absent_is_zero: false };
    check(name, kind)
}

pub(super) fn latency() -> Check {
    check("latency", CheckKind::Latency { tolerate: 0.05, at: vec![Quantile(0.5), Quantile(0.99)], warm_up: None })
}

fn check(name: &str, kind: CheckKind) -> Check {
    Check { name: name.to_owned(), kind, mode: CheckMode::Enforce, on_no_data: OnNoData::Hold }
}

/// The default spec, 5, 25 and 50 %, with other checks.
pub(super) fn spec(checks: Vec<Check>) -> RolloutSpec {
    let text = "{coalmine: v1, target: {lambda: {function: checkout, alias: live}}}";
    RolloutSpec { checks, ..crate::spec::parse(text).unwrap().spec }
}

/// The same between two target groups.
pub(super) fn behind_balancer(stickiness: Stickiness, checks: Vec<Check>) -> RolloutSpec {
    let target = AlbTarget {
        rules: vec![RuleRef::DefaultOf("arn:aws:elasticloadbalancing:eu-west-1:1:listener/app/shop/50dc/f2f7".into())],
        target_groups: ["blue".into(), "green".into()],
        stickiness,
        min_healthy_share: Weight::FULL,
        test_rule: None,
        keep_baseline: KeepBaseline::UntilNextRollout,
    };
    RolloutSpec { target: Target::Alb(target), ..spec(checks) }
}

/// Judged as if the history said that requests fail independently.
pub(super) fn independent(spec: &RolloutSpec) -> JudgePlan {
    JudgePlan { independent: true, ..plan(spec) }
}

/// 14:00 of a day.
pub(super) fn two_oclock() -> Minute {
    "2026-11-21T14:00:00Z".parse::<Timestamp>().unwrap().minute()
}

pub(super) fn pair(n_c: f64, x_c: f64, n_b: f64, x_b: f64) -> Pair {
    Pair::of(Count::new(n_b, x_b), Count::new(n_c, x_c))
}

pub(super) fn known(stratum: &Stratum) -> Pair {
    pair(stratum.n_c, stratum.x_c, stratum.n_b, stratum.x_b)
}

/// Minutes from 14:00 on with one check each, all settled, in the first step.
pub(super) fn settled(pairs: impl IntoIterator<Item = Pair>) -> Samples {
    let minutes: Vec<MinuteSample> = (0..)
        .zip(pairs)
        .map(|(minute, pair)| MinuteSample { minute: two_oclock().plus(minute), weight: weight(5), pairs: vec![pair] })
        .collect();
    let end = minutes.last().map(|sample| sample.minute.plus(1));
    Samples { minutes, settled_before: end, step_since: Some(two_oclock()), ..Samples::default() }
}
