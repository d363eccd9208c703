//! A spec, rehearsed: releases of it, good and bad, by the real controller on made-up traffic like the target's own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::durations::Latency;
use super::scenario::{Begun, Outcome, RunError, Scenario, group, on_alb};
use super::traffic::{Behaviour, Delivery, Traffic};
use crate::driver::Settings;
use crate::metrics::{self, Asked, Of, Stat};
use crate::rollout::PhaseName;
use crate::spec::{
    AlbTarget, CheckKind, CheckMode, LambdaTarget, MetricRef, Mode, Owner, RolloutSpec, Target, Version,
};
use crate::units::{Minute, Span, Weight};

/// What a rehearsal's versions and functions are called: nobody sees it.
const FUNCTION: &str = "rehearsed";
const ALIAS: &str = "live";
const OLD: &str = "41";
const NEW: &str = "42";

/// After the deadline nobody ends a pause.
const AFTER_DEADLINE: Span = Span::from_minutes(10);

/// CloudWatch counts up to so many statistics of a metric as one, or each: nobody says it of `GetMetricData`.
const STATISTICS_AT_ONCE: usize = 5;

/// What a target's traffic is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Habits {
    /// Requests a second of both versions together.
    pub per_second: f64,
    /// Share of them that fails today.
    pub error_rate: f64,
    /// How many requests fail together, on average: 1 for independent ones.
    pub clusters: f64,
    pub latency: Latency,
    /// The longest time one request may take.
    pub timeout: Span,
}

/// What the new version is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Release {
    /// Like the old one.
    Good,
    /// This share of its requests fails.
    Failing(f64),
    /// All requests take so many times as long.
    Slower(f64),
}

/// How a rehearsal ended, counted from the start command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It got all traffic.
    Promoted(Span),
    /// Its traffic was taken away.
    RolledBack(Span),
    /// Neither by the deadline.
    Undecided,
}

/// One rehearsed release.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsed {
    /// When each step's weight was set, as far as it came. Counted from the start command.
    pub reached: Vec<Span>,
    pub end: End,
    pub looks: Looks,
}

/// What one minute of the rollout asks of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Looks {
    /// Calls, usually.
    pub calls: usize,
    /// Series of metrics, each statistic counted.
    pub series: usize,
    /// The same, with up to five statistics of a metric counted as one.
    pub metrics: usize,
}

impl Rehearsed {
    /// When all of the steps that were reached up to this one were over: the next weight, or the end.
    #[must_use]
    pub fn left(&self, step: usize) -> Option<Span> {
        self.reached.get(step + 1).copied().or(match self.end {
            End::Promoted(at) => Some(at),
            End::RolledBack(_) | End::Undecided => None,
        })
    }

    /// When it was rolled back.
    #[must_use]
    pub fn rolled_back(&self) -> Option<Span> {
        match self.end {
            End::RolledBack(at) => Some(at),
            End::Promoted(_) | End::Undecided => None,
        }
    }

    /// When it got all traffic.
    #[must_use]
    pub fn promoted(&self) -> Option<Span> {
        match self.end {
            End::Promoted(at) => Some(at),
            End::RolledBack(_) | End::Undecided => None,
        }
    }
}

/// A spec and the traffic that it is rehearsed on.
#[derive(Debug)]
pub struct Stage {
    spec: RolloutSpec,
    document: Value,
    habits: Habits,
    lag: Span,
    pasts: Vec<Begun>,
}

impl Stage {
    /// What cannot be rehearsed is left out: people, alarms, tests before the first weight, and checks of metrics of which
    /// nothing is known, which are [named](Self::left_out).
    ///
    /// `pasts`: how many days of traffic there are before the start, of which each release has one: most of the time goes
    /// into those.
    ///
    /// # Errors
    /// When the start is refused, above all because the proof takes longer than the deadline.
    pub fn new(spec: &RolloutSpec, habits: Habits, lag: Span, pasts: u64) -> Result<Self, RunError> {
        let spec = rehearsable(spec);
        let document = Value::String(crate::spec::effective(&spec));
        let mut stage = Self { spec, document, habits, lag, pasts: Vec::new() };
        let scenario = stage.scenario(Release::Good, Span::ZERO);
        for seed in 0..pasts.max(1) {
            stage.pasts.push(Begun::new(&scenario, seed)?);
        }
        Ok(stage)
    }

    /// The checks of a spec whose metrics nobody can make up.
    #[must_use]
    pub fn left_out(spec: &RolloutSpec) -> Vec<String> {
        let counts = |kind: &CheckKind| !is_known(kind) && kind.can_prove();
        spec.checks.iter().filter(|check| counts(&check.kind)).map(|check| check.name.clone()).collect()
    }

    /// Whether a spec has something to be proven, and all of it is left out: a rehearsal would go up by the clock alone.
    #[must_use]
    pub fn proves_nothing(spec: &RolloutSpec) -> bool {
        let needed = spec.checks.iter().filter(|check| check.mode != CheckMode::Observe && check.kind.can_prove());
        let known: Vec<bool> = needed.map(|check| is_known(&check.kind)).collect();
        !known.is_empty() && !known.contains(&true)
    }

    /// One release, which is good until `from` after its start. The same seed gives the same release, and up to `from` the
    /// same as that of a good one.
    ///
    /// # Errors
    /// A bug.
    pub fn rehearse(&self, release: Release, from: Span, seed: u64) -> Result<Rehearsed, RunError> {
        let place = usize::try_from(seed).unwrap_or(0) % self.pasts.len().max(1);
        let past = self.pasts.get(place).ok_or(RunError::Nothing)?;
        Ok(self.told(&past.go_on(&self.scenario(release, from), seed)?))
    }

    fn scenario(&self, release: Release, from: Span) -> Scenario {
        let Habits { per_second, error_rate, clusters, latency, timeout } = self.habits;
        let old = Behaviour { clusters, ..Behaviour::steady(error_rate).taking(Span::ZERO, latency) };
        let mut new = old.clone();
        match release {
            Release::Good => {}
            Release::Failing(share) => set_from(&mut new.failing, from, share),
            Release::Slower(factor) => set_from(&mut new.latency, from, latency.times(factor)),
        }
        let (baseline, canary) = self.versions();
        let traffic = Traffic {
            per_second,
            changes: Vec::new(),
            daily: None,
            bursts: None,
            versions: BTreeMap::from([(baseline.clone(), old), (canary, new)]),
            delivery: Delivery::default(),
        };
        let scenario = Scenario::of(FUNCTION, ALIAS, &baseline, self.document.clone(), traffic);
        Scenario {
            target: self.spec.target.clone(),
            timeout,
            settings: Settings { mode: Mode::Enforce, metric_lag: self.lag, switch: None, deployment_spec: None },
            longest: self.spec.deadline.plus(AFTER_DEADLINE),
            ..scenario
        }
    }

    fn versions(&self) -> (Version, Version) {
        let (old, new) = (Version(OLD.to_owned()), Version(NEW.to_owned()));
        match self.spec.target {
            Target::Lambda(_) => (old, new),
            Target::Alb(_) => (group(FUNCTION, &old), group(FUNCTION, &new)),
        }
    }

    fn told(&self, outcome: &Outcome) -> Rehearsed {
        let after = |at: crate::units::Timestamp| at.since(outcome.started_at);
        let weights = outcome.weights();
        let mut reached = Vec::new();
        for step in &self.spec.steps {
            // With `auto` the one step's weight is the highest, and any of them begins it.
            let least = if self.spec.auto.is_some() { Weight::ZERO } else { self.spec.target.settable(step.weight) };
            let is_it = |weight: Weight| if self.spec.auto.is_some() { weight > least } else { weight == least };
            let Some((at, _)) = weights.iter().skip(1).find(|(_, weight)| is_it(*weight)) else { break };
            reached.push(after(*at));
        }
        let back = outcome.turned_back().filter(|_| outcome.ended() == Some(PhaseName::RolledBack));
        let end = match (outcome.reached(Weight::FULL), back) {
            (Some(at), _) => End::Promoted(after(at)),
            (None, Some(at)) => End::RolledBack(after(at)),
            (None, None) => End::Undecided,
        };
        Rehearsed { reached, end, looks: looks(outcome) }
    }
}

/// What holds from a time on.
fn set_from<T>(changes: &mut Vec<(Span, T)>, from: Span, value: T) {
    changes.retain(|(at, _)| *at < from);
    changes.push((from, value));
}

/// What CloudWatch and the simulation have for every target.
fn is_known(kind: &CheckKind) -> bool {
    match kind {
        CheckKind::Errors { .. } | CheckKind::Latency { .. } => true,
        CheckKind::Rate { .. } | CheckKind::Distribution { .. } | CheckKind::Mean { .. } | CheckKind::Gauge { .. } => {
            false
        }
    }
}

fn rehearsable(spec: &RolloutSpec) -> RolloutSpec {
    let mut spec = spec.clone();
    let (old, new) = (Version(OLD.to_owned()), Version(NEW.to_owned()));
    spec.name = Some(FUNCTION.to_owned());
    spec.mode = Mode::Enforce;
    (spec.target, spec.version) = match &spec.target {
        Target::Lambda(_) => {
            let (function, alias) = (FUNCTION.to_owned(), ALIAS.to_owned());
            (Target::Lambda(LambdaTarget { function, alias, owner: Owner::Coalmine }), Some(new))
        }
        Target::Alb(AlbTarget { min_healthy_share, .. }) => {
            let target = on_alb(FUNCTION, &old, &new);
            (Target::Alb(AlbTarget { min_healthy_share: *min_healthy_share, ..target }), None)
        }
    };
    spec.tests.clear();
    spec.alarms.names.clear();
    spec.after.watch = Span::ZERO;
    spec.steps.iter_mut().for_each(|step| step.approve = None);
    spec.checks.iter_mut().filter(|check| !is_known(&check.kind)).for_each(|check| check.mode = CheckMode::Observe);
    spec
}

/// What a minute in the middle of the rollout asked for.
fn looks(outcome: &Outcome) -> Looks {
    let mut calls: Vec<usize> = outcome.calls.iter().map(|(_, calls)| *calls).collect();
    calls.sort_unstable();
    let rollout = &outcome.rollout;
    let minute = Minute::from_index(0);
    let mut asked: BTreeMap<MetricRef, BTreeSet<Stat>> = BTreeMap::new();
    for (check, planned) in rollout.spec.checks.iter().zip(&rollout.plan.checks) {
        for of in [Of::Baseline(&rollout.baseline), Of::Canary(&rollout.canary)] {
            let check = Asked { check, planned, target: &rollout.spec.target };
            for query in metrics::queries(check, of, minute, minute.plus(1)) {
                asked.entry(query.metric).or_default().insert(query.stat);
            }
        }
    }
    Looks {
        calls: calls.get(calls.len() / 2).copied().unwrap_or(0),
        series: asked.values().map(BTreeSet::len).sum(),
        metrics: asked.values().map(|stats| stats.len().div_ceil(STATISTICS_AT_ONCE)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HABITS: Habits = Habits {
        per_second: 40.0,
        error_rate: 0.004,
        clusters: 1.0,
        latency: Latency { median_ms: 80.0, sigma: 0.6, slow_share: 0.0, slow_factor: 1.0 },
        timeout: Span::from_seconds(3),
    };
    const LAG: Span = Span::from_minutes(3);

    fn stage(text: &str) -> Stage {
        Stage::new(&crate::spec::parse(text).unwrap().spec, HABITS, LAG, 1).unwrap()
    }

    const LAMBDA: &str = "coalmine: v1\ntarget: { lambda: { function: shop, alias: prod } }\nalarms: [red]\n\
                          tests: [invoke: { payload: {} }]\n";
    const BALANCER: &str = "coalmine: v1\nname: shop\ntarget: { alb: { targetGroups: [a, b], rule: \
        'arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/shop/50dc6c495c0c9188/f2f7dc8efc522ab2/\
        9683b2d02a6cabee' } }\n";

    #[test]
    fn a_good_release_climbs_and_a_bad_one_falls_on_either_kind_of_target() {
        for text in [LAMBDA, BALANCER] {
            let stage = stage(text);
            let good = stage.rehearse(Release::Good, Span::ZERO, 7).unwrap();
            assert_eq!(good.reached.len(), 3, "{text}: {good:?}");
            assert!(good.promoted().is_some() && good.left(2) == good.promoted(), "{good:?}");
            assert!(good.looks.series > good.looks.metrics && good.looks.calls > 1, "{good:?}");
            let bad = stage.rehearse(Release::Failing(0.2), Span::ZERO, 7).unwrap();
            assert!(bad.rolled_back().is_some_and(|at| at < Span::from_minutes(15)), "{bad:?}");
            let slow = stage.rehearse(Release::Slower(3.0), Span::ZERO, 7).unwrap();
            assert!(slow.rolled_back().is_some(), "{slow:?}");
        }
    }

    /// That is what makes the time of a step in a good release the time at which harm may begin with it.
    #[test]
    fn until_the_harm_begins_it_is_the_good_release() {
        let stage = stage(LAMBDA);
        for seed in 1..4 {
            let good = stage.rehearse(Release::Good, Span::ZERO, seed).unwrap();
            let late = stage.rehearse(Release::Failing(0.2), good.reached[1], seed).unwrap();
            assert_eq!(late.reached[..2], good.reached[..2]);
            assert!(late.rolled_back().is_some_and(|at| at > good.reached[1]), "{late:?}");
        }
    }

    #[test]
    fn checks_of_which_nothing_is_known_keep_nothing_back() {
        let text = format!(
            "{LAMBDA}checks:\n- errors: {{}}\n- rate: {{ name: declined, tolerate: 2pt, events: {{ namespace: Shop, metric: D, \
             dimensions: {{ V: '{{version}}' }} }}, requests: {{ namespace: Shop, metric: P, dimensions: {{ V: '{{version}}' }} }} }}\n"
        );
        let spec = crate::spec::parse(&text).unwrap().spec;
        assert_eq!(Stage::left_out(&spec), ["declined"]);
        assert!(!Stage::proves_nothing(&spec));
        let alone = text.replace("- errors: {}\n", "");
        assert!(Stage::proves_nothing(&crate::spec::parse(&alone).unwrap().spec), "{alone}");
        assert!(stage(&text).rehearse(Release::Good, Span::ZERO, 1).unwrap().promoted().is_some());
    }
}
