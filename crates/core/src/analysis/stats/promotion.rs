//! Evidence that the canary is no worse than tolerated: the e-value of the closest world in which it is.

use super::many::ln_ratio_all;
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
        let [closest] = self.closest_to_each([guess], share);
        closest
    }

    /// Of several guesses side by side: each step waits for the one before it, and a processor does four in the time of one.
    fn closest_to_each<const GUESSES: usize>(&self, guesses: [Rates; GUESSES], share: f64) -> [Option<Rates>; GUESSES] {
        let possible = |rate: f64| (LEAST_RATE..=1.0 - LEAST_RATE).contains(&rate);
        let is_split = share > 0.0 && share < 1.0;
        let keeps = guesses.map(|Rates { baseline, canary }| {
            is_split && possible(baseline) && possible(canary) && canary < self.factor * baseline + self.points
        });
        let mut searches = guesses.map(|guess| Search::new(self, guess, share));
        // Halley takes 2 to 4 steps; the limit is what bisection alone would need.
        for _ in 0..200 {
            searches.iter_mut().for_each(|search| search.step(self, share));
            if searches.iter().zip(keeps).all(|(search, keeps)| search.is_over || !keeps) {
                break;
            }
        }
        std::array::from_fn(|at| {
            let s = searches[at].s;
            let closest = Rates { baseline: s, canary: self.factor * s + self.points };
            let is_one = s > 0.0 && closest.canary > guesses[at].canary && closest.canary < 1.0;
            (keeps[at] && is_one).then_some(closest)
        })
    }

    /// The baseline's rate in the closest pair if no rate were far above 0: the larger root of what the cubic becomes where
    /// `1 - s` and `1 - a` are 1.
    fn closest_if_rare(&self, guess: Rates, share: f64) -> f64 {
        let Self { factor: r, points: d } = *self;
        let Rates { baseline: q_b, canary: q_c } = guess;
        let (of_canary, of_baseline) = (r * share, 1.0 - share);
        let square = r * (of_canary + of_baseline);
        let linear = of_canary * (d - q_c) + of_baseline * (d - r * q_b);
        let constant = of_baseline * q_b * d;
        let root = (linear * linear + 4.0 * square * constant).sqrt();
        // Of the two forms the one in which nothing cancels.
        if linear > 0.0 { 2.0 * constant / (linear + root) } else { (root - linear) / (2.0 * square) }
    }

    /// ln e of one minute for each guess: the likelihood of the guess over that of the closest pair under the hypothesis.
    ///
    /// Its mean is at most 1 under the hypothesis, for any baseline rate, any split, and independent requests with any
    /// probabilities of their own: the mean of a factor is linear in the rate, the first-order condition makes the sum of
    /// what the factors exceed 1 by at most 0 on the whole hypothesis, and the inequality of the means does the rest
    /// (Turner, Ly and Grünwald 2024, generic e-variables for two streams). Nothing that is guessed better than this is
    /// told by a minute: the expected growth at the guess is the information bound.
    #[must_use]
    pub fn ln_e<const GUESSES: usize>(&self, minute: &Stratum, guesses: [Rates; GUESSES]) -> [f64; GUESSES] {
        if !minute.is_comparable() {
            return [0.0; GUESSES];
        }
        let share = minute.canary_share();
        // Ratios of a guess's probabilities and the closest pair's, of events and of the others; 1 where the guess itself
        // keeps no margin.
        let ratios_of = |q: f64, p: f64| [(q - p) / q.min(p), (p - q) / (1.0 - q.max(p))];
        let nulls = self.closest_to_each(guesses, share);
        let mut ln_ratios: [[[f64; 2]; 2]; GUESSES] = std::array::from_fn(|at| match nulls[at] {
            Some(null) => [ratios_of(guesses[at].canary, null.canary), ratios_of(guesses[at].baseline, null.baseline)],
            None => [[0.0; 2]; 2],
        });
        ln_ratio_all(ln_ratios.as_flattened_mut().as_flattened_mut());
        ln_ratios.map(|[canary, baseline]| {
            let term = |n: f64, x: f64, [events, others]: [f64; 2]| x * events + (n - x) * others;
            term(minute.n_c, minute.x_c, canary) + term(minute.n_b, minute.x_b, baseline)
        })
    }
}

/// The search for the baseline's rate in a closest pair: the root of a cubic between two ends.
#[derive(Debug, Clone, Copy)]
struct Search {
    guess: Rates,
    low: f64,
    high: f64,
    s: f64,
    /// From the first place to the nearer end.
    narrow: f64,
    is_over: bool,
}

impl Search {
    fn new(margin: &Margin, guess: Rates, share: f64) -> Self {
        let Margin { factor: r, points: d } = *margin;
        let (low, high) = (((guess.canary - d) / r).max(0.0), guess.baseline.min((1.0 - d) / r));
        let rare = margin.closest_if_rare(guess, share);
        let s = if rare > low && rare < high { rare } else { 0.5 * (low + high) };
        Self { guess, low, high, s, narrow: (s - low).min(high - s), is_over: false }
    }

    /// Goes nearer by Halley's method, or halves the way.
    #[inline]
    fn step(&mut self, margin: &Margin, share: f64) {
        if self.is_over {
            return;
        }
        let Margin { factor: r, points: d } = *margin;
        let s = self.s;
        let a = r * s + d;
        let (of_canary, of_baseline) = (r * share, 1.0 - share);
        let (above, below) = (a - self.guess.canary, s - self.guess.baseline);
        let (spread, spread_c) = (s * (1.0 - s), a * (1.0 - a));
        let (steep, steep_c) = (1.0 - 2.0 * s, r * (1.0 - 2.0 * a));
        let g = of_canary * above * spread + of_baseline * below * spread_c;
        let slope = of_canary * (r * spread + above * steep) + of_baseline * (spread_c + below * steep_c);
        let half_bend = of_canary * (r * steep - above) + of_baseline * (steep_c - r * r * below);
        if g < 0.0 {
            self.low = s
        } else {
            self.high = s
        }
        let change = g * slope / (slope * slope - g * half_bend);
        let halley = s - change;
        let is_inside = halley > self.low && halley < self.high;
        let is_there = change.abs() <= 1e-15 * s;
        if !is_there {
            self.s = if is_inside { halley } else { 0.5 * (self.low + self.high) };
        }
        // The next step would be the cube of this one, in units of the way to the nearer end.
        let is_near = is_inside && change.abs() <= 1e-6 * self.narrow.min(s);
        self.is_over = is_there || is_near || self.high - self.low <= 1e-15 * s;
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
        for (ln_bet, ln_e) in self.ln_bets.iter_mut().zip(self.margin.ln_e(minute, bets)) {
            *ln_bet += ln_e / divisor;
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
