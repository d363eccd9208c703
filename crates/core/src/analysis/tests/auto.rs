//! Weights chosen as one goes, against steps: whole rollouts in seeded worlds.

use std::collections::VecDeque;

use crate::analysis::stats::validity::Random;
use crate::analysis::{
    Advice, Asked, AutoPlan, Count, History, HistoryMinute, Judge, JudgePlan, Load, Measured, MinuteSample, learn,
    plan, plan_auto,
};
use crate::spec::{Auto, RolloutSpec};
use crate::units::{Span, Weight};

use super::{errors, known, points, spec, step, two_oclock, weight};

/// Traffic, what fails, and how late it is read.
#[derive(Clone, Copy)]
struct World {
    per_minute: f64,
    old: f64,
    /// From the canary's share of the traffic.
    new: fn(f64, f64) -> f64,
    lag: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Promoted,
    RolledBack,
    Open,
}

/// How a rollout ended, after how many minutes, and how many requests failed that would not have.
#[derive(Debug, Clone, Copy)]
struct Ended {
    end: End,
    minutes: usize,
    harm: f64,
}

fn healthy(old: f64, _: f64) -> f64 {
    old
}

/// With a day of history at the same rate.
fn learned(spec: &RolloutSpec, world: &World) -> JudgePlan {
    let mut random = Random::seeded(71);
    let minutes = (-1440..0).map(|at| {
        let requests = random.poisson(world.per_minute);
        let count = Count::new(requests, random.poisson(requests * world.old).min(requests));
        HistoryMinute { minute: two_oclock().plus(at), measured: vec![count.map(Measured::Count)] }
    });
    learn(&plan(spec), &History { minutes: minutes.collect(), stretched: vec![None] })
}

fn auto_spec(harm_budget: Option<u32>) -> RolloutSpec {
    RolloutSpec { auto: Some(Auto { harm_budget }), steps: vec![step(50)], ..spec(vec![errors(points(0.5))]) }
}

fn auto_plan(world: &World, budget: Option<u32>) -> JudgePlan {
    let spec = auto_spec(budget);
    let mut plan = learned(&spec, world);
    let load = Load { requests_per_minute: world.per_minute, error_rate: world.old };
    assert_eq!(plan_auto(&mut plan, &spec, Some(&load), Span::from_minutes(world.lag as u64)), None);
    plan
}

/// Minute after minute until it ends; `choose` says what follows from what was read.
fn rollout(
    random: &mut Random,
    plan: &JudgePlan,
    world: &World,
    first: Weight,
    limit: usize,
    mut choose: impl FnMut(&Judge<'_>, Weight, Weight) -> Option<Weight>,
) -> Ended {
    let asked = if plan.auto.is_some() { Asked::Step(0) } else { Asked::EveryStep };
    let (mut judge, mut unread) = (Judge::new(plan, asked), VecDeque::new());
    let (mut now, mut harm) = (first, 0.0);
    for minute in 0..limit {
        let stratum = random.minute(world.per_minute, now.share(), (world.new)(world.old, now.share()), world.old);
        harm += stratum.x_c - stratum.n_c * world.old;
        let at = two_oclock().plus(i64::try_from(minute).unwrap());
        unread.push_back(MinuteSample { minute: at, weight: now, pairs: vec![known(&stratum)] });
        if unread.len() <= world.lag {
            continue;
        }
        let Some(read) = unread.pop_front() else { continue };
        judge.see(&read, true, true);
        if judge.failed_since().is_some() {
            return Ended { end: End::RolledBack, minutes: minute + 1, harm };
        }
        now = choose(&judge, now, read.weight).unwrap_or(now);
        if now == Weight::FULL {
            return Ended { end: End::Promoted, minutes: minute + 1, harm };
        }
    }
    Ended { end: End::Open, minutes: limit, harm }
}

fn auto(random: &mut Random, plan: &JudgePlan, world: &World, limit: usize) -> Ended {
    let auto = plan.auto.unwrap();
    let mut dropped = false;
    rollout(random, plan, world, auto.first(), limit, |judge, now, read| {
        if now == auto.largest && read == auto.largest && judge.passes(0) {
            return Some(Weight::FULL);
        }
        let next = auto.next(&judge.advice().unwrap(), now, dropped)?;
        dropped |= AutoPlan::is_drop(now, next);
        Some(next)
    })
}

/// 5, 25 and 50 %, each left as soon as it has passed, without waiting for what is not read yet.
fn ladder(random: &mut Random, plan: &JudgePlan, world: &World, limit: usize) -> Ended {
    let weights = [weight(5), weight(25), weight(50), Weight::FULL];
    rollout(random, plan, world, weights[0], limit, |judge, now, read| {
        let step = weights.iter().position(|weight| *weight == now)?;
        (read == now && judge.passes(step)).then(|| weights[step + 1])
    })
}

fn ladder_plan(world: &World) -> JudgePlan {
    learned(&spec(vec![errors(points(0.5))]), world)
}

/// Median minutes of those that ended so, how many did, and the mean harm of all.
fn summed(end: End, runs: impl Iterator<Item = Ended>) -> (usize, usize, f64) {
    let runs: Vec<Ended> = runs.collect();
    let mut minutes: Vec<usize> = runs.iter().filter(|run| run.end == end).map(|run| run.minutes).collect();
    minutes.sort_unstable();
    let harm = runs.iter().map(|run| run.harm).sum::<f64>() / runs.len() as f64;
    (minutes.get(minutes.len() / 2).copied().unwrap_or(usize::MAX), minutes.len(), harm)
}

const BUSY: World = World { per_minute: 3000.0, old: 0.001, new: healthy, lag: 0 };
const QUIET: World = World { per_minute: 300.0, old: 0.001, new: healthy, lag: 0 };

/// Measured elsewhere: 6 and 25 minutes by steps, 5 and 10 by budget.
#[test]
fn healthy_releases_are_promoted_soon() {
    let mut random = Random::seeded(81);
    for (world, by_steps, by_budget) in [(BUSY, 6, 6), (QUIET, 27, 12)] {
        let plan = ladder_plan(&world);
        let (median, promoted, _) = summed(End::Promoted, (0..40).map(|_| ladder(&mut random, &plan, &world, 120)));
        assert!(median <= by_steps && promoted >= 39, "steps: {median} minutes, {promoted} of 40");
        let plan = auto_plan(&world, None);
        let (median, promoted, _) = summed(End::Promoted, (0..40).map(|_| auto(&mut random, &plan, &world, 120)));
        assert!(median <= by_budget && promoted >= 39, "auto: {median} minutes, {promoted} of 40");
    }
}

/// Half of the canary's requests fail, and nothing is known of it for three minutes: measured elsewhere 300 failed requests
/// by steps and 57 with a budget of 100.
#[test]
fn an_outage_costs_about_what_is_budgeted() {
    let world = World { new: |_, _| 0.5, lag: 3, ..BUSY };
    let plan = auto_plan(&world, Some(100));
    let mut random = Random::seeded(82);
    let (_, rolled_back, harm) = summed(End::RolledBack, (0..40).map(|_| auto(&mut random, &plan, &world, 120)));
    assert_eq!(rolled_back, 40);
    assert!((30.0..=100.0).contains(&harm), "{harm}");
    let plan = ladder_plan(&world);
    let (_, rolled_back, by_steps) = summed(End::RolledBack, (0..20).map(|_| ladder(&mut random, &plan, &world, 120)));
    assert!(rolled_back == 20 && by_steps > 3.0 * harm, "{by_steps} by steps, {harm} by budget");
}

/// Worse by the tolerance from the start, and only at the last weight: promoted in at most 5 and 10 % by the guarantee.
#[test]
fn releases_at_the_tolerance_are_rarely_promoted() {
    let always: fn(f64, f64) -> f64 = |old, _| old + 0.005;
    let late: fn(f64, f64) -> f64 = |old, share| if share >= 0.49 { old + 0.005 } else { old };
    for (new, most) in [(always, 4), (late, 9)] {
        let world = World { old: 0.01, new, ..BUSY };
        let mut random = Random::seeded(83);
        let plan = ladder_plan(&world);
        let (_, promoted, _) = summed(End::Promoted, (0..80).map(|_| ladder(&mut random, &plan, &world, 40)));
        assert!(promoted <= most, "steps: {promoted} of 80");
        let plan = auto_plan(&world, Some(40));
        let (_, promoted, _) = summed(End::Promoted, (0..80).map(|_| auto(&mut random, &plan, &world, 40)));
        assert!(promoted <= most, "auto: {promoted} of 80");
    }
}

#[test]
fn the_next_weight_keeps_its_limits() {
    let auto = auto_plan(&BUSY, Some(40)).auto.unwrap();
    let at = |weight: Weight, brake| Advice { weight, brake, excess: 0.01, spent: 0.0 };
    let points = |points: u16| Weight::from_basis_points(points).unwrap();
    for (affordable, brake, now, dropped, next) in [
        // Threefold at most, and no more than half of the traffic.
        (5000, false, 100, false, Some(300)),
        (5000, false, 2000, false, Some(5000)),
        (5000, false, 4900, false, Some(5000)),
        (5000, false, 5000, false, None),
        // Small differences are not worth a change.
        (1040, false, 1000, false, None),
        (1100, false, 1000, false, Some(1100)),
        (800, false, 1000, false, None),
        (700, false, 1000, false, Some(700)),
        // The brake, at a high weight once.
        (5000, true, 100, false, Some(300)),
        (5000, true, 1000, false, Some(500)),
        (5000, true, 5000, false, Some(500)),
        (5000, true, 5000, true, None),
        (5000, true, 1000, true, Some(500)),
    ] {
        let found = auto.next(&at(points(affordable), brake), points(now), dropped);
        assert_eq!(found, next.map(points), "{affordable} {brake} {now} {dropped}");
    }
}

/// With nothing to go by the default still is a plan; one that leads nowhere is refused with one that does.
#[test]
fn budgets_are_checked_against_the_traffic() {
    let lag = Span::from_minutes(3);
    let planned = |budget, per_minute, error_rate| {
        let spec = auto_spec(budget);
        let mut plan = JudgePlan { independent: true, ..plan(&spec) };
        let problem = plan_auto(&mut plan, &spec, Some(&Load { requests_per_minute: per_minute, error_rate }), lag);
        (plan.auto.unwrap(), problem)
    };
    let (auto, problem) = planned(None, 3000.0, 0.001);
    assert_eq!((auto.harm_budget, problem), (100.0, None));
    assert!(auto.first() < weight(1), "{:?}", auto.first());
    assert_eq!(planned(Some(50), 30_000.0, 0.001).1, None);
    let problem = planned(Some(1), 3000.0, 0.01).1.unwrap();
    assert!(
        problem.contains("write at least `harmBudget: ") && problem.contains("3,000 requests a minute"),
        "{problem}"
    );
    let spec = auto_spec(None);
    let mut unknown = plan(&spec);
    assert_eq!(plan_auto(&mut unknown, &spec, None, lag), None);
    assert!(unknown.auto.unwrap().first() > Weight::ZERO);
    assert_eq!(plan(&super::spec(vec![errors(points(0.5))])).auto, None);
}

/// What has not been compared at all is not proven either.
#[test]
fn weights_stay_low_while_a_distribution_has_nothing_to_compare() {
    let errors_alone = RolloutSpec { auto: Some(Auto { harm_budget: Some(10_000) }), ..auto_spec(None) };
    let with_latency = RolloutSpec { checks: vec![errors(points(0.5)), super::latency()], ..errors_alone.clone() };
    let share = |spec: &RolloutSpec| {
        let plan = plan(spec);
        let mut judge = Judge::new(&plan, Asked::EveryStep);
        for at in 0..20 {
            let pair = super::pair(5e3, 0.0, 9.5e4, 0.0);
            let pairs = [pair].into_iter().chain([super::Pair::default()]).take(plan.checks.len()).collect();
            judge.see(&MinuteSample { minute: two_oclock().plus(at), weight: weight(5), pairs }, true, true);
        }
        judge.advice().unwrap().weight
    };
    assert!(share(&errors_alone) > weight(10));
    assert!(share(&with_latency) <= weight(10));
}
