//! An independent test for non-inferiority, to check ours against: a Poisson form in which the unknown baseline rate
//! cancels exactly. Valid, and up to four times slower.

use super::Stratum;
use super::special::ln_mean_exp;

/// How boldly is bet, with equal weights.
pub(super) const BETS: [f64; 10] = [0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0];

/// The e-process against "the canary's rate is at least `factor` times the baseline's plus `points`".
#[derive(Debug, Clone)]
pub struct Cancelling {
    factor: f64,
    points: f64,
    /// 1 - e^-a of each bet a.
    stakes: [f64; BETS.len()],
    pub(super) ln_bets: [f64; BETS.len()],
}

impl Cancelling {
    #[must_use]
    pub fn new(factor: f64, points: f64) -> Self {
        Self { factor, points, stakes: BETS.map(stake), ln_bets: [0.0; BETS.len()] }
    }

    /// Takes one minute in. Minutes that compare nothing leave it as it is.
    pub fn observe(&mut self, minute: &Stratum) {
        if !minute.is_comparable() {
            return;
        }
        let exposure_ratio = self.factor * minute.n_c / minute.n_b;
        for ((ln_bet, bet), stake) in self.ln_bets.iter_mut().zip(BETS).zip(self.stakes) {
            *ln_bet += self.points * minute.n_c * stake - bet * minute.x_c;
            if minute.x_b > 0.0 {
                *ln_bet += minute.x_b * (exposure_ratio * stake).ln_1p();
            }
        }
    }

    /// ln E: the bets' mean worth.
    #[must_use]
    pub fn ln_e(&self) -> f64 {
        ln_mean_exp(&self.ln_bets)
    }
}

fn stake(bet: f64) -> f64 {
    -(-bet).exp_m1()
}
