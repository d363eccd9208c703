//! Evidence that the canary has more events than tolerated: a likelihood ratio on a grid of rate ratios, with restarts.

use super::Stratum;
use super::frequent::FrequentSplit;
use super::many::ln_1p_all;
use super::restarts::{Begins, Restarts};

/// Rate ratios that are bet on, with equal weights. From 5 to 24 points the time to detection changed by under 10 %.
pub(super) const THETAS: [f64; 14] = [1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0, 20.0, 50.0, 200.0, 1000.0];

/// Odds ratios that are bet on where events are frequent: more requests tell smaller differences, and large ones cannot be.
pub(super) const FREQUENT_THETAS: [f64; THETAS.len()] =
    [1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0, 20.0, 50.0, 200.0];

/// A tolerated ratio beyond this is a mistake.
const MOST_FACTOR: f64 = 1000.0;

/// The hypothesis that is doubted: the canary's rate is at most `factor` times the baseline's plus `points`, whatever
/// the baseline's rate is and however it changes from minute to minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HarmNull {
    pub factor: f64,
    /// As a share: 5 points are 0.05.
    pub points: f64,
    /// Events may come in groups of this size that hit one version as a whole: the evidence is divided by it.
    pub cluster: f64,
}

impl HarmNull {
    /// No more than so many times the baseline's rate; a factor that is not a number at least 1 is 1.
    #[must_use]
    pub fn at_most(factor: f64) -> Self {
        let sane = (1.0..=MOST_FACTOR).contains(&factor);
        Self { factor: if sane { factor } else { 1.0 }, ..Self::NO_WORSE }
    }

    /// No more events than the baseline.
    pub const NO_WORSE: Self = Self { factor: 1.0, points: 0.0, cluster: 1.0 };
    /// What no overdispersion explains: five times the baseline plus five points, even in clusters of three.
    pub const NO_CATASTROPHE: Self = Self { factor: 5.0, points: 0.05, cluster: 3.0 };

    /// The minute as it would be if the tolerated ratio were 1: with so many times the canary's requests.
    #[must_use]
    pub fn as_exposed(&self, minute: &Stratum) -> Stratum {
        Stratum { n_c: self.factor * minute.n_c, ..*minute }
    }

    /// ln e of one minute that compares something, for bets on rate ratios, which are given with their logarithms.
    pub(super) fn ln_e<const BETS: usize>(
        &self,
        minute: &Stratum,
        thetas: &[f64; BETS],
        ln_thetas: &[f64; BETS],
    ) -> [f64; BETS] {
        let exposure = self.factor * minute.n_c;
        let share = exposure / (exposure + minute.n_b);
        let odds = thetas.map(|theta| share * (theta - 1.0));
        let mut ln_d = odds;
        ln_1p_all(&mut ln_d);
        std::array::from_fn(|bet| {
            let tolerated = self.points * minute.n_c * (thetas[bet] / (1.0 + odds[bet]) - 1.0);
            (minute.x_c * (ln_thetas[bet] - ln_d[bet]) - minute.x_b * ln_d[bet] - tolerated) / self.cluster
        })
    }
}

/// The bets on rate ratios against a [`HarmNull`].
#[derive(Debug, Clone)]
pub struct HarmBets {
    null: HarmNull,
    /// Whether nothing is tolerated, so that [frequent events](super::frequent) have a sharper form.
    strict: bool,
    ln_thetas: [f64; THETAS.len()],
    ln_frequent: [f64; THETAS.len()],
}

impl HarmBets {
    pub const COUNT: usize = THETAS.len();

    #[must_use]
    pub fn new(null: HarmNull) -> Self {
        let [ln_thetas, ln_frequent] = [THETAS, FREQUENT_THETAS].map(|thetas| thetas.map(f64::ln));
        Self { null, strict: null == HarmNull::NO_WORSE, ln_thetas, ln_frequent }
    }

    /// ln e of one minute for each bet; 0 for a minute that compares nothing.
    #[must_use]
    pub fn ln_e(&self, minute: &Stratum) -> [f64; THETAS.len()] {
        if !minute.is_comparable() {
            return [0.0; THETAS.len()];
        }
        match FrequentSplit::of(minute).filter(|_| self.strict) {
            Some(split) => split.ln_e(&FREQUENT_THETAS, &self.ln_frequent),
            None => self.null.ln_e(minute, &THETAS, &self.ln_thetas),
        }
    }
}

/// The e-process against a [`HarmNull`]: bets on rate ratios, with [restarts](Restarts).
#[derive(Debug, Clone)]
pub struct HarmProcess {
    bets: HarmBets,
    restarts: Restarts,
}

impl HarmProcess {
    #[must_use]
    pub fn new(null: HarmNull, begins: Begins) -> Self {
        Self { bets: HarmBets::new(null), restarts: Restarts::new(HarmBets::COUNT, begins) }
    }

    /// The next minute is the first since the weight was raised.
    pub fn raise(&mut self) {
        self.restarts.raise();
    }

    /// Takes one minute in. One that compares nothing leaves the evidence as it is.
    pub fn observe(&mut self, minute: &Stratum) {
        self.observe_dispersed(minute, 1.0);
    }

    /// The same where events are known to come in larger groups than the null hypothesis has it.
    pub fn observe_dispersed(&mut self, minute: &Stratum, dispersion: f64) {
        let ln_e = self.bets.ln_e(minute);
        let larger = (dispersion / self.bets.null.cluster).max(1.0);
        self.restarts.observe(|bet| ln_e[bet] / larger);
    }

    #[must_use]
    pub fn ln_e(&self) -> f64 {
        self.restarts.ln_e()
    }
}
