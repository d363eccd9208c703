//! The second key against overdispersion: an anytime-valid t-test over per-minute scores.

use std::f64::consts::LN_2;

use super::Stratum;
use super::special::ln_normal_cdf;

/// Precision of the prior over the standardised effect. Small: large effects are what rollbacks are for.
const PRIOR_PRECISION: f64 = 0.1;

/// Asks whether the canary has been worse than the baseline *in most minutes*, measured by how much the minutes
/// scatter. Events in clusters and versions with noise of their own scatter more than independent requests would, and
/// this is where it shows.
///
/// Each minute gives z = (x_c - m rho) / sqrt(V), the Cochran-Mantel-Haenszel score. Under chance alone z has variance
/// 1, and less scatter than chance makes is luck: **the residual sum of squares is floored at the number of minutes.**
/// The floor is what makes the guard sound where the canary has the larger share. There z is skewed to the left: with
/// one event a minute and 90 % of the requests on the canary, z is +0.33 nine times out of ten, a run of equal values
/// has no scatter at all, and without the floor t is infinite. Exchanging the versions' roles cannot help, because
/// x_b - m (1 - rho) is exactly -(x_c - m rho): the mirrored score is the same score. With the floor the guard lies
/// below the one-sided normal mixture for variance 1 wherever the mean is positive, because ln(1+x) - ln(1+rx) <=
/// (1-r) x; and for rho >= 1/2 that mixture is a supermartingale, because a binomial with success probability of at
/// least 1/2 has exp(lambda^2 variance / 2) as an upper bound of its moment generating function for lambda > 0.
/// So it reaches 10 with probability at most 10 % there on clean data.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    minutes: f64,
    mean: f64,
    /// Sum of squared deviations from the mean.
    residual: f64,
}

impl Guard {
    /// Takes one minute in. Minutes without events, or with nothing but events, have no score.
    pub fn observe(&mut self, minute: &Stratum) {
        if !minute.is_comparable() {
            return;
        }
        let (rho, events, requests) = (minute.canary_share(), minute.events(), minute.n_c + minute.n_b);
        let variance = events * rho * (1.0 - rho) * (requests - events) / (requests - 1.0);
        if requests > 1.0 && variance > 0.0 {
            self.add((minute.x_c - events * rho) / variance.sqrt());
        }
    }

    /// Takes a minute's score in: of variance 1 for independent requests of versions that are alike.
    pub fn add(&mut self, z: f64) {
        self.minutes += 1.0;
        let before = z - self.mean;
        self.mean += before / self.minutes;
        self.residual += before * (z - self.mean);
    }

    /// ln G, one-sided: large when the canary is worse. No evidence (0) before the second minute.
    #[must_use]
    pub fn ln_e(&self) -> f64 {
        if self.minutes < 2.0 {
            return 0.0;
        }
        let nu = self.minutes - 1.0;
        let t_squared = nu * self.minutes * self.mean * self.mean / self.residual.max(self.minutes);
        let shrinkage = PRIOR_PRECISION / (PRIOR_PRECISION + self.minutes);
        let t = t_squared.sqrt().copysign(self.mean);
        ln_bayes_factor(t_squared, nu, PRIOR_PRECISION, self.minutes)
            + LN_2
            + ln_normal_cdf(t * (1.0 - shrinkage).sqrt())
    }
}

/// ln of the Bayes factor of the anytime-valid t-test: `t_squared` with `nu` degrees of freedom, prior precision `phi`,
/// and `z2` the sum of squares of the regressor (the number of observations for a mean).
pub(super) fn ln_bayes_factor(t_squared: f64, nu: f64, phi: f64, z2: f64) -> f64 {
    let r = phi / (phi + z2);
    let x = t_squared / nu;
    0.5 * r.ln() + 0.5 * (nu + 1.0) * (x.ln_1p() - (r * x).ln_1p())
}
