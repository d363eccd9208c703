//! What one look costs at the end of a day: the judge is a pure function of all minutes, and every tick calls it anew.

use std::time::{Duration, Instant};

use coalmine_core::analysis::{
    Bins, Count, JudgePlan, Measure, Measured, MinuteSample, Pair, Samples, choose_edges, edge_quantiles, judge, plan,
};
use coalmine_core::sim::rng::Rng;
use coalmine_core::spec;
use coalmine_core::units::{Minute, Weight};

pub const MINUTES: i64 = 24 * 60;

const SPEC: &str = r#"
coalmine: v1
target: { lambda: { function: checkout, alias: live } }
checks:
  - errors: {}
  - latency: {}
  - rate:
      name: declined
      events: { namespace: Shop, metric: Declined, dimensions: { Version: "{version}" } }
      requests: { namespace: Shop, metric: Payments, dimensions: { Version: "{version}" } }
      tolerate: 0.5pt
"#;

/// The quickest of a few times that a day of 10 % of 50 requests a second is judged.
pub fn cost() -> Result<Duration, String> {
    let parsed = spec::parse(SPEC).map_err(|problems| format!("{problems:?}"))?;
    let plan = with_edges(plan(&parsed.spec));
    let mut rng = Rng::new(2);
    let minutes = (0..MINUTES).map(|minute| MinuteSample {
        minute: Minute::from_index(minute),
        weight: Weight::from_share(0.1).unwrap_or(Weight::ZERO),
        pairs: plan.checks.iter().map(|check| pair(&mut rng, check.measure, bins_of(&plan))).collect(),
    });
    let samples = Samples {
        minutes: minutes.collect(),
        settled_before: Some(Minute::from_index(MINUTES)),
        step_since: Some(Minute::from_index(0)),
        ..Samples::default()
    };
    let times = (0..5).map(|_| {
        let start = Instant::now();
        drop(std::hint::black_box(judge(&plan, &samples)));
        start.elapsed()
    });
    times.min().ok_or_else(|| "not judged".to_owned())
}

/// Equal shares of the requests between the edges.
fn with_edges(plan: JudgePlan) -> JudgePlan {
    let places: Vec<usize> = (0..plan.checks.len()).filter(|at| plan.checks[*at].distribution.is_some()).collect();
    places.into_iter().fold(plan, |plan, at| {
        let quantiles: Vec<(f64, f64)> =
            edge_quantiles(&plan.checks[at]).iter().map(|share| (*share, 100.0 * share)).collect();
        choose_edges(&plan, at, &quantiles)
    })
}

fn bins_of(plan: &JudgePlan) -> u64 {
    let distribution = plan.checks.iter().find_map(|check| check.distribution.as_ref());
    distribution.map_or(1, |distribution| distribution.edges.len() as u64 + 1)
}

fn pair(rng: &mut Rng, measure: Measure, bins: u64) -> Pair {
    let mut counted = |requests: u64| match measure {
        Measure::Distribution => {
            let each = as_f64(requests / bins.max(1));
            Bins::new((0..bins).map(|_| as_f64(rng.poisson(each))).collect()).map(Measured::Bins)
        }
        Measure::Counts | Measure::Latency | Measure::Mean | Measure::Gauge => {
            let events = rng.binomial(requests, 0.01);
            Count::new(as_f64(requests), as_f64(events)).map(Measured::Count)
        }
    };
    Pair { baseline: counted(2700), canary: counted(300) }
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
