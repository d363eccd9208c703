//! Seeded randomness. The same seed gives the same world on every machine.

use std::f64::consts::TAU;

use statrs::function::gamma::ln_gamma;

/// xoshiro256++, seeded through splitmix64.
#[derive(Debug, Clone)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut counter = seed;
        Self { state: std::array::from_fn(|_| splitmix64(&mut counter)) }
    }

    /// A stream of its own for one purpose, so that drawing more for one thing does not change another.
    #[must_use]
    pub fn stream(seed: u64, purpose: u64) -> Self {
        let mut counter = purpose;
        Self::new(seed ^ splitmix64(&mut counter))
    }

    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let out = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        out
    }

    /// 0.0 <= x < 1.0, in steps of 2^-53.
    #[allow(clippy::cast_precision_loss, reason = "the upper 53 bits fit an f64 exactly")]
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// 0 <= n < bound; 0 for a bound of 0.
    #[allow(clippy::cast_possible_truncation, reason = "the upper half of a product with a u64 is below it")]
    pub fn below(&mut self, bound: u64) -> u64 {
        // Biased by at most bound / 2^64, far below anything a simulation could notice.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// With mean 0 and standard deviation 1, by Box and Muller's transform.
    pub fn normal(&mut self) -> f64 {
        let (one, two) = (1.0 - self.uniform(), self.uniform());
        (-2.0 * one.ln()).sqrt() * (TAU * two).cos()
    }

    /// The number of events of a Poisson process with this mean; 0 for a mean that is not positive and finite.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        if !(mean > 0.0 && mean.is_finite()) {
            return 0;
        }
        let mode = mean.floor();
        let at_mode = (mode * mean.ln() - mean - ln_gamma(mode + 1.0)).exp();
        self.invert_from(mode, at_mode, &|k| mean / (k + 1.0))
    }

    /// The successes in `trials` independent trials; `probability` is clamped to 0..=1, NaN counts as 0.
    #[allow(clippy::cast_precision_loss, reason = "no simulation has 2^53 requests in a minute")]
    pub fn binomial(&mut self, trials: u64, probability: f64) -> u64 {
        if trials == 0 || probability.is_nan() || probability <= 0.0 {
            return 0;
        }
        if probability >= 1.0 {
            return trials;
        }
        let (n, p, q) = (trials as f64, probability, 1.0 - probability);
        let mode = ((n + 1.0) * p).floor().min(n);
        let ways = ln_gamma(n + 1.0) - ln_gamma(mode + 1.0) - ln_gamma(n - mode + 1.0);
        let at_mode = (ways + mode * p.ln() + (n - mode) * q.ln()).exp();
        self.invert_from(mode, at_mode, &|k| (n - k) / (k + 1.0) * (p / q))
    }

    /// Exact inversion of a unimodal distribution on 0, 1, 2, ...: walks outwards from the mode, alternately up and
    /// down, until the drawn probability is used up. About as many steps as the standard deviation, at any mean.
    /// `ratio(k)` is P(k + 1) / P(k).
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers that are not negative")]
    fn invert_from(&mut self, mode: f64, at_mode: f64, ratio: &dyn Fn(f64) -> f64) -> u64 {
        loop {
            let mut left = self.uniform() - at_mode;
            if left < 0.0 {
                return mode as u64;
            }
            let (mut up, mut p_up) = (mode, at_mode);
            let (mut down, mut p_down) = (mode, at_mode);
            while p_up > 0.0 || p_down > 0.0 {
                p_up *= ratio(up).max(0.0);
                up += 1.0;
                left -= p_up;
                if left < 0.0 {
                    return up as u64;
                }
                p_down = if down > 0.0 { p_down / ratio(down - 1.0) } else { 0.0 };
                down -= 1.0;
                left -= p_down;
                if left < 0.0 {
                    return down as u64;
                }
            }
            // Rounding lost about 1e-12 of the probability, and the draw fell into it: draw again.
        }
    }
}

fn splitmix64(counter: &mut u64) -> u64 {
    *counter = counter.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*counter ^ (*counter >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published by the generators' authors: splitmix64 of seed 1234567; xoshiro256++ from state 1, 2, 3, 4.
    #[test]
    fn the_generators_give_their_published_numbers() {
        let mut counter = 1_234_567;
        let mixed: Vec<u64> = (0..3).map(|_| splitmix64(&mut counter)).collect();
        assert_eq!(mixed, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
        let mut rng = Rng { state: [1, 2, 3, 4] };
        let drawn: Vec<u64> = (0..4).map(|_| rng.next_u64()).collect();
        assert_eq!(drawn, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn equal_seeds_repeat_and_streams_differ() {
        let draw = |mut rng: Rng| -> Vec<u64> { (0..8).map(|_| rng.next_u64()).collect() };
        assert_eq!(draw(Rng::new(7)), draw(Rng::new(7)));
        assert_ne!(draw(Rng::new(7)), draw(Rng::new(8)));
        assert_ne!(draw(Rng::stream(7, 1)), draw(Rng::stream(7, 2)));
    }

    const DRAWS: u32 = 40_000;

    /// Mean and variance of `DRAWS` draws, each within five standard errors of what they should be.
    fn assert_moments(what: &str, mean: f64, variance: f64, fourth: f64, mut draw: impl FnMut() -> f64) {
        let draws: Vec<f64> = (0..DRAWS).map(|_| draw()).collect();
        let n = f64::from(DRAWS);
        let seen_mean = draws.iter().sum::<f64>() / n;
        let seen_variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let mean_error = (variance / n).sqrt();
        let variance_error = ((fourth - variance * variance) / n).sqrt();
        assert!((seen_mean - mean).abs() < 5.0 * mean_error, "{what}: mean {seen_mean}, not {mean}");
        assert!((seen_variance - variance).abs() < 5.0 * variance_error, "{what}: variance {seen_variance}");
    }

    #[test]
    fn uniform_poisson_and_binomial_have_their_moments() {
        let mut rng = Rng::new(11);
        assert_moments("uniform", 0.5, 1.0 / 12.0, 1.0 / 80.0, || rng.uniform());
        for mean in [0.003, 0.5, 1.0, 9.7, 120.0, 2_400.0, 250_000.0] {
            let fourth = mean + 3.0 * mean * mean;
            assert_moments(&format!("Poisson {mean}"), mean, mean, fourth, || rng.poisson(mean) as f64);
        }
        for (n, p) in [(1, 0.3), (10, 0.004), (120, 0.05), (2_400, 0.05), (2_400, 0.5), (2_400, 0.996), (900_000, 0.25)]
        {
            let (mean, variance) = (n as f64 * p, n as f64 * p * (1.0 - p));
            let fourth = variance * (1.0 + 3.0 * (n as f64 - 2.0) * p * (1.0 - p));
            assert_moments(&format!("binomial {n} {p}"), mean, variance, fourth, || rng.binomial(n, p) as f64);
        }
    }

    /// Chi-square over every value with an expectation of at least 20; 99.99 % quantile by Wilson and Hilferty.
    fn assert_distribution(what: &str, p_of: impl Fn(u64) -> f64, mut draw: impl FnMut() -> u64) {
        let n = f64::from(DRAWS);
        let mut seen = std::collections::BTreeMap::<u64, f64>::new();
        for _ in 0..DRAWS {
            *seen.entry(draw()).or_default() += 1.0;
        }
        let (mut chi_square, mut cells, mut rest_seen, mut rest_expected) = (0.0, 0.0, n, n);
        for (k, expected) in (0..5_000).map(|k| (k, n * p_of(k))).filter(|(_, expected)| *expected >= 20.0) {
            let count = seen.get(&k).copied().unwrap_or_default();
            chi_square += (count - expected).powi(2) / expected;
            cells += 1.0;
            rest_seen -= count;
            rest_expected -= expected;
        }
        chi_square += (rest_seen - rest_expected).powi(2) / rest_expected.max(1.0);
        let spread: f64 = 2.0 / (9.0 * cells);
        let limit = cells * (1.0 - spread + 3.719 * spread.sqrt()).powi(3);
        assert!(cells >= 2.0 && chi_square < limit, "{what}: chi-square {chi_square} of {cells} cells");
    }

    #[test]
    fn every_value_comes_as_often_as_it_should() {
        let mut rng = Rng::new(12);
        let ln_choose = |n: f64, k: f64| ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0);
        for mean in [0.5, 3.2, 40.0, 2_400.0_f64] {
            let p_of = |k: u64| (k as f64 * mean.ln() - mean - ln_gamma(k as f64 + 1.0)).exp();
            assert_distribution(&format!("Poisson {mean}"), p_of, || rng.poisson(mean));
        }
        for (n, p) in [(3_u64, 0.5_f64), (120, 0.04), (2_400, 0.05), (2_400, 0.9)] {
            let p_of = |k: u64| {
                let (n, k) = (n as f64, k as f64);
                if k > n { 0.0 } else { (ln_choose(n, k) + k * p.ln() + (n - k) * (1.0 - p).ln()).exp() }
            };
            assert_distribution(&format!("binomial {n} {p}"), p_of, || rng.binomial(n, p));
        }
    }

    #[test]
    fn impossible_parameters_draw_nothing_or_everything() {
        let mut rng = Rng::new(13);
        for mean in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(rng.poisson(mean), 0);
        }
        assert_eq!((rng.binomial(0, 0.5), rng.binomial(9, f64::NAN), rng.binomial(9, -1.0)), (0, 0, 0));
        assert_eq!((rng.binomial(9, 1.0), rng.binomial(9, 2.0), rng.below(0)), (9, 9, 0));
        assert!((0..1000).map(|_| rng.below(3)).all(|n| n < 3));
    }
}
