//! Releases that change nothing, on environments that start cold: a small model of Lambda's pools.

use crate::analysis::stats::validity::Random;
use crate::analysis::{
    Asked, Bins, History, HistoryMinute, Judge, JudgePlan, MinuteSample, Pair, WarmUp, choose_edges, edge_quantiles,
    learn, plan, plan_of_recording, stretched,
};
use crate::units::Weight;

use super::{latency, spec, two_oclock};

/// Seconds after which an idle environment is gone.
const IDLE: f64 = 360.0;

/// What coldness costs.
#[derive(Debug, Clone, Copy)]
struct Cold {
    /// Milliseconds of an environment's first request.
    first_ms: f64,
    /// So many requests of an environment, from its first on, take so many times as long.
    requests: u32,
    times: f64,
}

const COLD_START: Cold = Cold { first_ms: 600.0, requests: 0, times: 1.0 };
const COLD_CACHES: Cold = Cold { first_ms: 300.0, requests: 100, times: 1.3 };

/// The environments of one version: until when each is busy, and what it has served.
#[derive(Debug, Clone, Default)]
struct Pool(Vec<(f64, u32)>);

impl Pool {
    /// Serves a request that comes at `at` seconds, by the environment that was free last; how long it takes.
    fn serve(&mut self, random: &mut Random, at: f64, cold: Cold) -> f64 {
        self.0.retain(|(free, _)| at - free < IDLE);
        let warm = 100.0 * (0.6 * random.normal()).exp();
        let free = self.0.iter_mut().filter(|(free, _)| *free <= at).max_by(|a, b| a.0.total_cmp(&b.0));
        let times = |served: u32| if served < cold.requests { cold.times } else { 1.0 };
        let Some((busy_until, served)) = free else {
            let takes = warm * times(0) + cold.first_ms;
            // Its start is not counted as duration.
            self.0.push((at + 0.5 + takes / 1000.0, 1));
            return takes;
        };
        let takes = warm * times(*served);
        (*busy_until, *served) = (at + takes / 1000.0, *served + 1);
        takes
    }
}

/// What the durations of one minute are, of the baseline and of the canary, whose share is what it is at each second.
fn minute(
    random: &mut Random,
    minute: i64,
    per_second: f64,
    share: impl Fn(f64) -> f64,
    pools: &mut [Pool; 2],
    cold: Cold,
) -> [Vec<f64>; 2] {
    let count = random.poisson(60.0 * per_second) as usize;
    let mut arrivals: Vec<f64> = (0..count).map(|_| 60.0 * (minute as f64 + random.uniform())).collect();
    arrivals.sort_by(f64::total_cmp);
    let mut durations = [Vec::new(), Vec::new()];
    for at in arrivals {
        let version = usize::from(random.uniform() < share(at));
        durations[version].push(pools[version].serve(random, at, cold));
    }
    durations
}

fn binned(durations: &[f64], edges: &[f64]) -> Bins {
    let mut counts = vec![0.0; edges.len() + 1];
    durations.iter().for_each(|duration| counts[edges.partition_point(|edge| edge < duration)] += 1.0);
    Bins::new(counts).unwrap()
}

fn edges_of(plan: &JudgePlan) -> Vec<f64> {
    plan.checks[0].distribution.as_ref().unwrap().edges.clone()
}

/// The plan with what so many hours of the old version alone say, and its pool at the end of them, which is minute 0.
fn learned(random: &mut Random, plan: &JudgePlan, per_second: f64, hours: i64, cold: Cold) -> (JudgePlan, Pool) {
    let mut pools = [Pool::default(), Pool::default()];
    let past: Vec<Vec<f64>> = (-60 * hours..0)
        .map(|at| {
            let [old, _] = minute(random, at, per_second, |_| 0.0, &mut pools, cold);
            old
        })
        .collect();
    let mut hour: Vec<f64> = past[past.len() - 60..].concat();
    hour.sort_by(f64::total_cmp);
    let value = |quantile: f64| hour[((hour.len() as f64 * quantile) as usize).min(hour.len() - 1)];
    let quantiles: Vec<(f64, f64)> =
        edge_quantiles(&plan.checks[0]).into_iter().map(|quantile| (quantile, value(quantile))).collect();
    let plan = choose_edges(plan, 0, &quantiles);
    let edges = edges_of(&plan);
    let minutes = past.iter().zip(-60 * hours..).map(|(durations, at)| HistoryMinute {
        minute: two_oclock().plus(at),
        measured: vec![Some(binned(durations, &edges).into())],
    });
    let all = Some(binned(&past.concat(), &stretched(&edges, 0.05)));
    let history = History { minutes: minutes.collect(), stretched: vec![all], ..History::default() };
    let [pool, _] = pools;
    (learn(&plan, &history), pool)
}

/// Whether a release that changes nothing fails within an hour, its weight raised at some second of minute 0.
fn fails(random: &mut Random, plan: &JudgePlan, old: &Pool, per_second: f64, weight: f64, cold: Cold) -> bool {
    let (edges, mut pools) = (edges_of(plan), [old.clone(), Pool::default()]);
    let raised = 60.0 * random.uniform();
    let mut judge = Judge::new(plan, Asked::Step(0));
    (0..60).any(|at| {
        let share = |second: f64| if second < raised { 0.0 } else { weight };
        let [baseline, canary] = minute(random, at, per_second, share, &mut pools, cold);
        let pair = Pair {
            baseline: Some(binned(&baseline, &edges).into()),
            canary: Some(binned(&canary, &stretched(&edges, 0.05)).into()),
        };
        let weight = Weight::from_share(weight).unwrap();
        judge.see(&MinuteSample { minute: two_oclock().plus(at), weight, pairs: vec![pair] }, true, true);
        judge.failed_since().is_some()
    })
}

/// How many of them, with the warm-up of the plan.
fn failed(plan: &JudgePlan, runs: u64) -> u32 {
    let mut failed = 0;
    for (cold, per_second, hours, weights) in [
        (COLD_START, 0.5, 24, &[0.01, 0.05, 0.5][..]),
        (COLD_START, 5.0, 6, &[0.01, 0.05]),
        (COLD_CACHES, 1.0, 24, &[0.01, 0.05, 0.5]),
        (COLD_CACHES, 5.0, 6, &[0.01, 0.05]),
    ] {
        let mut random = Random::seeded(51);
        let (plan, pool) = learned(&mut random, plan, per_second, hours, cold);
        for weight in weights {
            let wrong = (0..runs).filter(|_| fails(&mut random, &plan, &pool, per_second, *weight, cold)).count();
            failed += u32::try_from(wrong).unwrap();
        }
    }
    failed
}

/// Without a warm-up one in five of such releases is rolled back.
#[test]
fn cold_environments_are_no_fault_of_the_release() {
    let check = spec(vec![latency()]);
    let (careful, hasty) = (plan(&check), plan_of_recording(&check));
    assert_eq!(hasty.checks[0].distribution.as_ref().unwrap().warm_up, WarmUp::default());
    let (with, without) = (failed(&careful, 8), failed(&hasty, 4));
    assert!(with <= 1, "{with} of 80");
    assert!(without >= 5, "{without} of 40: the model is not cold enough to tell anything");
}
