//! Evidence that the canary is no worse than tolerated: the e-value of the closest world in which it is.

use super::special::ln_sum_exp;
use super::{RecentRate, Stratum};

/// The hypothesis that is doubted: the canary's rate is at least `factor` times the baseline's plus `points`, whatever
/// the baseline's rate is and however it changes from minute to minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Margin {
    factor: f64,
    points: f64,
}

/// Who tolerates 100 points more tolerates everything; doubting a little less than that needs one request for it.
const MOST_POINTS: f64 = 0.999;

/// A factor beyond it tolerates everything, too, and squares of it still have digits.
const LARGEST_FACTOR: f64 = 1e6;

/// Rates closer to 0 and 1 than this are as good as there.
pub(super) const LEAST_RATE: f64 = 1e-15;

impl Margin {
    /// Not even a little worse.
    pub const NONE: Self = Self { factor: 1.0, points: 0.0 };

    /// `points` as a share: half a point is 0.005. Numbers that can be no margin tolerate nothing.
    #[must_use]
    pub fn new(factor: f64, points: f64) -> Self {
        let factor = if factor > 0.0 { factor.min(LARGEST_FACTOR) } else { 1.0 };
        Self { factor, points: if points > 0.0 { points.min(MOST_POINTS) } else { 0.0 } }
    }

    /// By how much the canary's rate may exceed a baseline's rate.
    #[must_use]
    pub fn excess(&self, baseline: f64) -> f64 {
        (self.factor - 1.0) * baseline + self.points
    }

    /// The pair of rates under the hypothesis that is hardest to tell from the guess when the canary gets `share` of the
    /// requests; `None` where the guess itself keeps no margin.
    ///
    /// The Kullback-Leibler projection onto the boundary: its first-order condition is a cubic in the baseline's rate
    /// with one root in the bracket (restricted maximum likelihood: Farrington and Manning 1990, Miettinen and
    /// Nurminen 1985, here with a factor). The closed form by cosines loses all digits for rates below 1e-5.
    #[must_use]
    pub fn closest(&self, guess: Rates, share: f64) -> Option<Rates> {
        let Self { factor: r, points: d } = *self;
        let Rates { baseline: q_b, canary: q_c } = guess;
        let possible = |rate: f64| (LEAST_RATE..=1.0 - LEAST_RATE).contains(&rate);
        let keeps = possible(q_b) && possible(q_c) && q_c < r * q_b + d;
        if !keeps || share <= 0.0 || share >= 1.0 || share.is_nan() {
            return None;
        }
        let (mut low, mut high) = (((q_c - d) / r).max(0.0), q_b.min((1.0 - d) / r));
        let mut s = 0.5 * (low + high);
        // Newton takes 5 to 8 steps; the limit is what bisection alone would need.
        for _ in 0..200 {
            let a = r * s + d;
            let (of_canary, of_baseline) = (r * share, 1.0 - share);
            let g = of_canary * (a - q_c) * s * (1.0 - s) + of_baseline * (s - q_b) * a * (1.0 - a);
            if g < 0.0 {
                low = s;
            } else {
                high = s;
            }
            let slope = of_canary * (r * s * (1.0 - s) + (a - q_c) * (1.0 - 2.0 * s))
                + of_baseline * (a * (1.0 - a) + (s - q_b) * r * (1.0 - 2.0 * a));
            let newton = s - g / slope;
            let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
            let step = (next - s).abs();
            s = next;
            if step <= 1e-15 * s {
                break;
            }
        }
        let closest = Rates { baseline: s, canary: r * s + d };
        (closest.baseline > 0.0 && closest.canary > q_c && closest.canary < 1.0).then_some(closest)
    }

    /// ln e of one minute for a guess: the likelihood of the guess over that of the closest pair under the hypothesis.
    ///
    /// Its mean is at most 1 under the hypothesis, for any baseline rate, any split, and independent requests with any
    /// probabilities of their own: the mean of a factor is linear in the rate, the first-order condition makes the sum of
    /// what the factors exceed 1 by at most 0 on the whole hypothesis, and the inequality of the means does the rest
    /// (Turner, Ly and Grünwald 2024, generic e-variables for two streams). Nothing that is guessed better than this is
    /// told by a minute: the expected growth at the guess is the information bound.
    #[must_use]
    pub fn ln_e(&self, minute: &Stratum, guess: Rates) -> f64 {
        if !minute.is_comparable() {
            return 0.0;
        }
        let Some(null) = self.closest(guess, minute.canary_share()) else { return 0.0 };
        let term = |n: f64, x: f64, q: f64, p: f64| x * (q / p).ln() + (n - x) * ((-q).ln_1p() - (-p).ln_1p());
        term(minute.n_c, minute.x_c, guess.canary, null.canary)
            + term(minute.n_b, minute.x_b, guess.baseline, null.baseline)
    }
}

/// Rates of both versions, as shares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    pub baseline: f64,
    pub canary: f64,
}

/// What is bet on, by weight: the guess; twice that the guess is too low, so that a first event is not fatal where the
/// past had none; and that the canary is a little worse than the baseline.
const WEIGHTS: [f64; 4] = [0.4, 0.2, 0.2, 0.2];

/// The e-process against a [`Margin`].
#[derive(Debug, Clone)]
pub struct NonInferiority {
    margin: Margin,
    /// ln of each bet's worth, its weight included.
    ln_bets: [f64; WEIGHTS.len()],
}

impl NonInferiority {
    #[must_use]
    pub fn new(margin: Margin) -> Self {
        Self { margin, ln_bets: WEIGHTS.map(f64::ln) }
    }

    #[must_use]
    pub fn margin(&self) -> Margin {
        self.margin
    }

    /// Takes one minute in. `guess` and `dispersion` must not know the minute. Evidence is divided by `dispersion`: it
    /// stays valid when events come in clusters of at most so many that hit one version as a whole (Jensen).
    pub fn observe(&mut self, minute: &Stratum, guess: Rates, dispersion: f64) {
        let Rates { baseline, canary } = guess;
        let excess = self.margin.excess(baseline);
        let bets = [
            guess,
            Rates { baseline: baseline + excess / 16.0, canary: canary + excess / 16.0 },
            Rates { baseline: baseline + excess / 4.0, canary: canary + excess / 4.0 },
            Rates { baseline, canary: canary + excess / 3.0 },
        ];
        // What is not at least 1 is no dispersion, NaN included.
        let divisor = if dispersion > 1.0 { dispersion } else { 1.0 };
        for (ln_bet, bet) in self.ln_bets.iter_mut().zip(bets) {
            *ln_bet += self.margin.ln_e(minute, bet) / divisor;
        }
    }

    /// ln E: what all bets are worth.
    #[must_use]
    pub fn ln_e(&self) -> f64 {
        ln_sum_exp(&self.ln_bets)
    }

    /// Gives up what the evidence is worth above `ln_most`; less evidence is as valid.
    pub fn cap(&mut self, ln_most: f64) {
        let surplus = self.ln_e() - ln_most;
        if surplus > 0.0 {
            self.ln_bets.iter_mut().for_each(|ln_bet| *ln_bet -= surplus);
        }
    }
}

/// The whole past counts as much as the newest minutes with this many events.
const PRIOR_EVENTS: f64 = 2.0;

/// The share of events to expect of the baseline's next minute: the newest minutes, decayed, drawn towards the whole past.
#[derive(Debug, Clone, Copy)]
pub struct PredictedShare {
    prior: f64,
    prior_requests: f64,
    recent: RecentRate,
}

impl PredictedShare {
    /// From the whole past and its newest hour. Numbers that cannot be counts say nothing.
    #[must_use]
    pub fn new(past_requests: f64, past_events: f64, recent: RecentRate) -> Self {
        let counts = |n: f64, x: f64| n.is_finite() && x >= 0.0 && n >= x;
        if !counts(past_requests, past_events) || !counts(recent.requests, recent.events) {
            return Self::unknown();
        }
        let prior = (past_events + 0.5) / (past_requests + 1.0);
        Self { prior, prior_requests: (PRIOR_EVENTS / prior).min(past_requests + 1.0), recent }
    }

    /// Without any past: the first minute with requests teaches, and nothing is expected of it.
    #[must_use]
    pub fn unknown() -> Self {
        Self::new(0.0, 0.0, RecentRate::default())
    }

    /// `None` while nothing is known.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        let RecentRate { requests, events } = self.recent;
        let known = requests > 0.0 || self.prior_requests > 1.0;
        known.then(|| (events + self.prior_requests * self.prior) / (requests + self.prior_requests))
    }

    /// Takes a minute of the baseline in.
    pub fn observe(&mut self, requests: f64, events: f64) {
        self.recent.observe(requests, events);
    }
}
