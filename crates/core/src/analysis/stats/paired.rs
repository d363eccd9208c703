//! Is one level above the other? An anytime-valid t-test over paired differences (Lindon et al. 2022, arXiv 2210.08589).

use super::guard::ln_bayes_factor;

/// Precision of the prior over the standardised difference. Small: it takes five pairs instead of eight to tell that a
/// large difference is none of chance, at a thousand to one.
const PRIOR_PRECISION: f64 = 0.1;

/// A ratio beyond which nothing is told apart, and whose logarithm is still finite.
const LARGEST: f64 = 1e300;

/// Differences of pairs, canary minus baseline, each with a weight in proportion to one over its variance.
///
/// Takes the differences as independent and normal. It is not proof against differences that last: with a correlation
/// of 0.8 from one to the next one in four harmless levels is found to be higher within two hours, so whoever uses it
/// for more than to hold makes the pairs of blocks of minutes.
#[derive(Debug, Clone, Copy, Default)]
pub struct PairedT {
    pairs: f64,
    weight: f64,
    mean: f64,
    /// Weighted sum of squared deviations from the mean.
    residual: f64,
}

impl PairedT {
    /// Takes one difference in. One without weight, or that is no number, says nothing.
    pub fn add(&mut self, difference: f64, weight: f64) {
        if !(difference.is_finite() && weight.is_finite() && weight > 0.0) {
            return;
        }
        self.pairs += 1.0;
        self.weight += weight;
        let before = difference - self.mean;
        self.mean += before * (weight / self.weight);
        self.residual += weight * before * (difference - self.mean);
    }

    /// ln E against "not higher", one-sided: at most 0 unless the mean difference is above 0, and before the second
    /// pair. Valid at the threshold ln(1/alpha).
    #[must_use]
    pub fn ln_e(&self) -> f64 {
        if self.pairs < 2.0 || self.mean <= 0.0 {
            return 0.0;
        }
        let nu = self.pairs - 1.0;
        // In units of the scatter first, for squares of tiny numbers vanish.
        let scatter = (self.residual / self.weight).sqrt();
        let ratio = (self.mean / scatter.max(f64::MIN_POSITIVE)).powi(2).min(LARGEST / self.pairs);
        ln_bayes_factor(nu * ratio, nu, PRIOR_PRECISION, self.pairs)
    }

    /// The weighted mean difference and how far the true one may be from it, at any time, with probability of at least
    /// 1 - alpha. `None` as long as nothing bounds it.
    #[must_use]
    pub fn interval(&self, alpha: f64) -> Option<(f64, f64)> {
        if self.pairs < 2.0 {
            return None;
        }
        let shrinkage = PRIOR_PRECISION / (PRIOR_PRECISION + self.pairs);
        let reach = (2.0 / self.pairs * (-alpha.ln() - 0.5 * shrinkage.ln())).exp();
        let bounded = shrinkage * reach < 1.0;
        let ratio = (reach - 1.0) / (1.0 - shrinkage * reach);
        let radius = (ratio * (self.residual / self.weight)).sqrt();
        (bounded && radius.is_finite()).then_some((self.mean, radius))
    }
}

#[cfg(test)]
mod tests {
    use super::super::means;
    use super::super::validity::Random;
    use super::*;

    /// Share of runs in which levels that differ by `shift` standard deviations are found to differ within two hours of
    /// minutes, in blocks of so many, when each minute resembles the last by `memory`.
    fn found(runs: u32, block: u32, memory: f64, shift: f64) -> f64 {
        let mut random = Random::seeded(11);
        let mut hits = 0;
        for _ in 0..runs {
            let (mut test, mut state, mut hit) = (PairedT::default(), random.normal(), false);
            for _ in 0..120 / block {
                let mut sum = 0.0;
                for _ in 0..block {
                    state = memory * state + (1.0 - memory * memory).sqrt() * random.normal();
                    sum += state + shift;
                }
                test.add(sum / f64::from(block), 1.0);
                hit |= test.ln_e() >= 1000_f64.ln();
            }
            hits += u32::from(hit);
        }
        f64::from(hits) / f64::from(runs)
    }

    #[test]
    fn blocks_of_five_minutes_bear_levels_that_last() {
        for (memory, at_most) in [(0.0, 0.001), (0.5, 0.005), (0.8, 0.015)] {
            let share = found(1000, 5, memory, 0.0);
            assert!(share <= at_most, "{memory}: {share}");
        }
        // What single minutes would make of the last.
        assert!(found(500, 1, 0.8, 0.0) > 0.15);
        assert!(found(500, 5, 0.5, 2.0) > 0.99);
    }

    #[test]
    fn many_pairs_are_as_good_as_a_known_variance() {
        let mut random = Random::seeded(3);
        let (mut test, mut sum, mut pairs) = (PairedT::default(), 0.0, 0.0);
        for _ in 0..5000 {
            let difference = 0.1 + random.normal();
            test.add(difference, 1.0);
            (sum, pairs) = (sum + difference, pairs + 1.0);
        }
        let known = means::two_sided(sum, pairs, PRIOR_PRECISION);
        assert!(known > 1.0 && (test.ln_e() / known - 1.0).abs() < 0.05, "{} {known}", test.ln_e());
        let (mean, radius) = test.interval(0.01).unwrap();
        let known = means::radius(pairs, PRIOR_PRECISION, 0.01) / pairs;
        assert!((mean - sum / pairs).abs() < 1e-9 && (radius / known - 1.0).abs() < 0.03, "{radius} {known}");
    }

    #[test]
    fn the_interval_holds_at_all_times_whatever_the_weights() {
        let mut random = Random::seeded(5);
        let mut missed = 0;
        for _ in 0..2000 {
            let (mut test, mut outside) = (PairedT::default(), false);
            for _ in 0..60 {
                let weight = 1.0 + 50.0 * random.uniform();
                test.add(3.0 + random.normal() / weight.sqrt(), weight);
                outside |= test.interval(0.05).is_some_and(|(mean, radius)| (mean - 3.0).abs() > radius);
            }
            missed += u32::from(outside);
        }
        assert!((1..=100).contains(&missed), "{missed} of 2000 at 5 %");
    }

    #[test]
    fn nothing_breaks_it() {
        let mut test = PairedT::default();
        for (difference, weight) in [(f64::NAN, 1.0), (f64::INFINITY, 1.0), (1.0, 0.0), (1.0, -1.0), (1.0, f64::NAN)] {
            test.add(difference, weight);
            assert_eq!((test.ln_e(), test.interval(0.01)), (0.0, None));
        }
        for difference in [5.0, 1e100, 1e-300] {
            let mut same = PairedT::default();
            (0..500).for_each(|_| same.add(difference, 1e12));
            assert!(same.ln_e() > 1000_f64.ln() && same.ln_e().is_finite(), "{difference}: {}", same.ln_e());
            assert_eq!(same.interval(0.01).map(|(_, radius)| radius), Some(0.0));
        }
        let mut none = PairedT::default();
        (0..100).for_each(|_| none.add(0.0, 1.0));
        assert_eq!((none.ln_e(), none.interval(0.01)), (0.0, Some((0.0, 0.0))));
    }
}
