//! Seeded worlds with a day of history behind them.

use crate::analysis::stats::validity::Random;
use crate::analysis::stats::{PastMinute, Stratum};
use crate::analysis::{Judge, JudgePlan, Samples, learn};

use super::guard::{history, hour_plan};
use super::{known, settled};

/// How one version's errors come.
#[derive(Debug, Clone, Copy)]
enum Law {
    Independent,
    /// In groups of geometric size with this mean.
    Clusters(f64),
    /// At a rate of each minute's own, with this coefficient of variation.
    Noise(f64),
    /// The same, and so much of a minute's deviation remains in the next.
    Lasting(f64, f64),
}

/// One version's errors, minute by minute.
struct Version {
    law: Law,
    deviation: Option<f64>,
}

impl Version {
    fn new(law: Law) -> Self {
        Self { law, deviation: None }
    }

    fn errors(&mut self, random: &mut Random, requests: f64, rate: f64) -> f64 {
        let mean = requests * rate;
        let errors = match self.law {
            Law::Independent => random.poisson(mean),
            Law::Clusters(size) => {
                let groups = random.poisson(mean / size) as u64;
                let ln_goes_on = (1.0 - 1.0 / size).ln();
                (0..groups).map(|_| 1.0 + ((1.0 - random.uniform()).ln() / ln_goes_on).floor()).sum()
            }
            Law::Noise(variation) => self.noisy(random, mean, variation, 0.0),
            Law::Lasting(variation, remains) => self.noisy(random, mean, variation, remains),
        };
        errors.min(requests)
    }

    /// Lognormal noise.
    fn noisy(&mut self, random: &mut Random, mean: f64, variation: f64, remains: f64) -> f64 {
        let fresh = random.normal();
        let deviation = self.deviation.map_or(fresh, |old| remains * old + (1.0 - remains * remains).sqrt() * fresh);
        self.deviation = Some(deviation);
        let variance = (1.0 + variation * variation).ln();
        random.poisson(mean * (variance.sqrt() * deviation - 0.5 * variance).exp())
    }
}

/// What a day of the old version teaches: traffic that halves and doubles over the day, and a rate that drifts.
fn taught(random: &mut Random, law: Law, requests: f64, rate: f64) -> JudgePlan {
    let mut version = Version::new(law);
    let past: Vec<PastMinute> = (0..1440)
        .map(|at| {
            let hour = std::f64::consts::TAU * f64::from(at) / 1440.0;
            let requests = random.poisson(requests * (1.0 + 0.5 * hour.sin()));
            PastMinute::events(requests, version.errors(random, requests, rate * (1.0 + 0.3 * hour.cos())))
        })
        .collect();
    learn(&hour_plan(), &history(&past))
}

/// The minute in which harm was proven, if it was within these.
fn minutes_to_fail(plan: &JudgePlan, minutes: impl IntoIterator<Item = Stratum>) -> Option<usize> {
    let Samples { minutes, .. } = settled(minutes.into_iter().map(|stratum| known(&stratum)));
    let mut judge = Judge::new(plan, crate::analysis::Asked::Step(0));
    minutes.iter().position(|sample| {
        judge.see(sample, true, true);
        judge.failed_since().is_some()
    })
}

/// How many of `runs` harmless releases are rolled back in an hour of 5, 25 and 50 %, while the rate doubles.
fn rolled_back(runs: u32, seed: u64, law: Law, requests: f64, rate: f64) -> usize {
    let mut random = Random::seeded(seed);
    let mut worlds = 0..runs;
    let mut failed = 0;
    while worlds.next().is_some() {
        let plan = taught(&mut random, law, requests, rate);
        let (mut canary, mut baseline) = (Version::new(law), Version::new(law));
        let minutes = (0..60_u32).map(|at| {
            let share = [0.05, 0.25, 0.5][(at / 20) as usize];
            let rate = rate * (1.0 + f64::from(at) / 60.0);
            let (n_c, n_b) = (random.poisson(requests * share), random.poisson(requests * (1.0 - share)));
            let (x_c, x_b) = (canary.errors(&mut random, n_c, rate), baseline.errors(&mut random, n_b, rate));
            Stratum { n_c, x_c, n_b, x_b }
        });
        failed += usize::from(minutes_to_fail(&plan, minutes.collect::<Vec<_>>()).is_some());
    }
    failed
}

/// Alpha is 1 %. The likelihood alone rolls back 84, 94 and 79 % of the last three.
#[test]
fn with_a_day_of_history_a_harmless_release_is_rarely_rolled_back() {
    for (law, requests, rate, most) in [
        (Law::Independent, 3000.0, 0.01, 1),
        (Law::Clusters(3.0), 3000.0, 0.01, 2),
        (Law::Noise(0.2), 30_000.0, 0.01, 2),
        (Law::Lasting(0.2, 0.9), 30_000.0, 0.01, 4),
    ] {
        let failed = rolled_back(150, 21, law, requests, rate);
        assert!(failed <= most, "{law:?}: {failed} of 150");
    }
}

/// Clusters of ten look like catastrophes, which need no second key, unless the history says that they come.
#[test]
fn clusters_that_are_known_are_no_catastrophe() {
    let failed = rolled_back(150, 22, Law::Clusters(10.0), 3000.0, 0.01);
    assert!(failed <= 2, "{failed} of 150");
}

#[test]
fn with_a_day_of_history_harm_is_found_sooner() {
    let mut random = Random::seeded(23);
    // Rates, and the median minute.
    for (p_b, p_c, median) in [(0.01, 0.03, 5), (0.0, 0.01, 4), (0.01, 0.02, 14), (0.001, 0.005, 14), (0.01, 0.5, 1)] {
        let mut minutes: Vec<usize> = (0..201)
            .map(|_| {
                let plan = taught(&mut random, Law::Independent, 3000.0, p_b);
                let world: Vec<Stratum> = (0..60).map(|_| random.minute(3000.0, 0.05, p_c, p_b)).collect();
                minutes_to_fail(&plan, world).map_or(61, |at| at + 1)
            })
            .collect();
        minutes.sort_unstable();
        assert!(minutes[100] <= median, "{p_b} to {p_c}: {}", minutes[100]);
    }
}
