//! Pieces of work that are measured: by this example in time, and by `tests/instructions.rs` in instructions.

use coalmine_core::analysis::{
    Bins, Count, JudgePlan, Measure, Measured, MinuteSample, Pair, Samples, choose_edges, edge_quantiles, judge, plan,
};
use coalmine_core::sim::crowd::{Crowd, Fared, usual};
use coalmine_core::sim::rng::Rng;
use coalmine_core::spec;
use coalmine_core::units::{Minute, Span, Weight};

/// What is compared, as a spec says it.
pub const CHECKS: [(&str, &str); 2] = [("errors", "errors: {}"), ("errors, latency", "errors: {}, latency: {}")];

/// A rollout's minutes, as the judge gets them: 10 % of 50 requests a second, of which one in a hundred fails.
#[derive(Debug, Clone)]
pub struct Case {
    plan: JudgePlan,
    samples: Samples,
}

impl Case {
    pub fn new(checks: &str, minutes: i64) -> Result<Self, String> {
        let text =
            format!("coalmine: v1\ntarget: {{ lambda: {{ function: checkout, alias: live }} }}\nchecks: [{checks}]\n");
        let parsed = spec::parse(&text).map_err(|problems| format!("{problems:?}"))?;
        let plan = with_edges(plan(&parsed.spec));
        let mut rng = Rng::new(2);
        let minutes_of = (0..minutes).map(|minute| MinuteSample {
            minute: Minute::from_index(minute),
            weight: Weight::from_share(0.1).unwrap_or(Weight::ZERO),
            pairs: plan.checks.iter().map(|check| pair(&mut rng, check.measure, bins_of(&plan))).collect(),
        });
        let samples = Samples {
            minutes: minutes_of.collect(),
            settled_before: Some(Minute::from_index(minutes)),
            step_since: Some(Minute::from_index(0)),
            ..Samples::default()
        };
        Ok(Self { plan, samples })
    }

    pub fn judge(&self) {
        drop(std::hint::black_box(judge(&self.plan, std::hint::black_box(&self.samples))));
    }

    /// A multiplication for each number that the judge is given: no rule can look at all of them in less.
    pub fn read(&self) {
        let numbers = |measured: &Measured| match (measured.count(), measured.bins()) {
            (Some(count), _) => count.requests * count.events,
            (None, bins) => bins.map_or(0.0, |bins| bins.counts.iter().map(|count| count * 0.5).sum()),
        };
        let of_pair = |pair: &Pair| [&pair.baseline, &pair.canary].into_iter().flatten().map(numbers).sum::<f64>();
        let minutes = std::hint::black_box(&self.samples).minutes.iter();
        std::hint::black_box(minutes.flat_map(|sample| &sample.pairs).map(of_pair).sum::<f64>());
    }

    /// Both versions' minutes of the first check, as `requests events` pairs, for others to judge.
    pub fn rates(&self) -> [Vec<(f64, f64)>; 2] {
        let of = |choose: fn(&Pair) -> Option<&Measured>| {
            let firsts = self.samples.minutes.iter().filter_map(|sample| sample.pairs.first());
            let counts = firsts.filter_map(choose).filter_map(Measured::count);
            counts.map(|count| (count.requests, count.events)).collect()
        };
        [of(|pair| pair.baseline.as_ref()), of(|pair| pair.canary.as_ref())]
    }
}

/// So many minutes of so many rollouts in one account, each attended to every minute by the production driver; in a
/// made-up AWS, whose own work is part of it.
pub fn crowd(rollouts: usize, minutes: u64) -> Result<Fared, String> {
    let crowd = Crowd {
        rollouts,
        one_bad_in: 10,
        throttled: 0,
        minutes,
        meddled: None,
        bake: Span::from_hours(2),
        services: usual,
    };
    crowd.run().map_err(|error| error.to_string())
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
