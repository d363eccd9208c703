//! Evidence for harm where events are frequent.

use super::Stratum;
use super::many::ln_1p_all;

/// Share of the requests with events from which on the form for rare events wastes data: it takes the variance of a
/// Poisson law for that of a binomial one.
const FREQUENT: f64 = 0.05;

/// How the events of a minute are split between the versions, given how many there are: a hypergeometric law, whatever
/// the rate is, as long as both versions have the same. No rate is predicted, so none can be wrong.
///
/// A hypergeometric count is a sum of independent Bernoulli variables (Vatutin and Mikhailov 1982), as many as it has
/// values less one, whose probabilities are not known but add up to its mean, and whose variances to its variance. Among
/// all such sums the moment generating function `E[theta^x]`, theta > 1, is largest where the probabilities have two
/// values, one of them 1 (the upper principal representation of Chebyshev and Markov: `ln(1 + p (theta - 1))` has a
/// positive third derivative in p). That bound is below Hoeffding's, which knows the mean alone and is the form for rare
/// events, and below Bennett's, which it becomes for infinitely many variables. A canary with a lower rate has
/// stochastically fewer events, so the bound holds there, too.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrequentSplit {
    /// Events of the canary.
    events: f64,
    /// Variables with probability 1 in the worst case, and the others: how many, and their probability.
    certain: f64,
    others: f64,
    probability: f64,
}

impl FrequentSplit {
    /// `None` where events are rare, or nothing is compared.
    pub fn of(minute: &Stratum) -> Option<Self> {
        let (requests, events) = (minute.n_c + minute.n_b, minute.events());
        let known = minute.is_comparable() && requests > 1.0 && events > FREQUENT * requests && events < requests;
        if !known {
            return None;
        }
        let mean = events * minute.canary_share();
        let variance = mean * (minute.n_b / requests) * ((requests - events) / (requests - 1.0));
        // What the canary has at least: the events for which the baseline has no requests.
        let least = (events - minute.n_b).max(0.0);
        let variables = minute.n_c.min(events) - least;
        let (mean, most) = (mean - least, variables);
        if !(most > 0.0 && mean > 0.0 && mean < most) {
            return None;
        }
        let probability = (variance / (most - mean)).min(mean / most);
        let certain = (mean - most * probability) / (1.0 - probability);
        Some(Self { events: minute.x_c, certain: least + certain, others: most - certain, probability })
    }

    /// ln e of the minute for bets on odds ratios above 1, which are given with their logarithms.
    pub fn ln_e<const BETS: usize>(&self, thetas: &[f64; BETS], ln_thetas: &[f64; BETS]) -> [f64; BETS] {
        let mut ln_others = thetas.map(|theta| self.probability * (theta - 1.0));
        ln_1p_all(&mut ln_others);
        std::array::from_fn(|bet| (self.events - self.certain) * ln_thetas[bet] - self.others * ln_others[bet])
    }
}

#[cfg(test)]
mod tests {
    use super::super::harm::{FREQUENT_THETAS, HarmBets, HarmNull};
    use super::*;

    /// Probabilities of 0, 1, 2, ... events of the canary, of `events` among all.
    fn hypergeometric(n_c: u32, n_b: u32, events: u32) -> Vec<f64> {
        let choose = |n: u32, k: u32| (0..k).map(|i| f64::from(n - i) / f64::from(k - i)).product::<f64>();
        let ways = |x: u32| {
            if x > events || events - x > n_b { 0.0 } else { choose(n_c, x) * choose(n_b, events - x) }
        };
        let all: f64 = (0..=n_c).map(ways).sum();
        (0..=n_c).map(|x| ways(x) / all).collect()
    }

    #[test]
    fn every_split_of_frequent_events_has_mean_evidence_of_at_most_one() {
        let bets = HarmBets::new(HarmNull::NO_WORSE);
        let (mut largest, mut used): (f64, u32) = (0.0, 0);
        for (n_c, n_b) in [(1, 1), (1, 12), (12, 1), (3, 9), (9, 3), (7, 7), (2, 38), (30, 10), (20, 20)] {
            for events in 0..=n_c + n_b {
                let mut means = [0.0; HarmBets::COUNT];
                for (x, weight) in (0..).zip(hypergeometric(n_c, n_b, events)).filter(|(_, weight)| *weight > 0.0) {
                    let (x_c, x_b) = (f64::from(x), f64::from(events - x));
                    let minute = Stratum { n_c: f64::from(n_c), x_c, n_b: f64::from(n_b), x_b };
                    used += u32::from(FrequentSplit::of(&minute).is_some());
                    for (mean, ln_e) in means.iter_mut().zip(bets.ln_e(&minute)) {
                        *mean += weight * ln_e.exp();
                    }
                }
                for (theta, mean) in FREQUENT_THETAS.iter().zip(means) {
                    assert!(mean <= 1.0 + 1e-9, "{events} of {n_c} and {n_b}, {theta}: {mean}");
                    largest = largest.max(mean);
                }
            }
        }
        assert!(largest > 0.99 && used > 500, "tight somewhere, or this test cannot fail: {largest}, {used}");
    }

    /// The form for rare events loses a factor of 1 - rate in the variance.
    #[test]
    fn frequent_events_are_worth_more_than_in_the_form_for_rare_ones() {
        let minute = Stratum { n_c: 500.0, x_c: 280.0, n_b: 500.0, x_b: 220.0 };
        let rare = HarmNull::NO_WORSE.ln_e(&minute, &FREQUENT_THETAS, &FREQUENT_THETAS.map(f64::ln));
        let frequent = HarmBets::new(HarmNull::NO_WORSE).ln_e(&minute);
        assert!(rare.iter().zip(frequent).all(|(rare, frequent)| frequent >= *rare), "{rare:?} {frequent:?}");
        let most = |bets: [f64; HarmBets::COUNT]| bets.into_iter().fold(0.0, f64::max);
        assert!(most(frequent) > 1.7 * most(rare), "{} {}", most(frequent), most(rare));
    }
}
