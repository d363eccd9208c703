//! A mixture of bets that may begin in any minute.

use super::special::{ln_add_exp, ln_mean_exp};

/// The worth of `K` bets with equal weights, each of which may begin in any minute (Shiryaev-Roberts with total mass 1).
///
/// Half of the mass is staked before the first minute, for a regression that is there from the start; the other half is
/// spread evenly over the minutes of the horizon, so that early good evidence cannot drown a bug that starts late. Mass
/// that is not staked yet counts as it is. If every bet's e of a minute has mean at most 1, so has the whole: no new
/// bets are begun beyond the horizon, and it stays valid there.
#[derive(Debug, Clone)]
pub struct Restarts {
    /// ln of each bet's worth, over all starts so far.
    ln_bets: Vec<f64>,
    ln_restart: f64,
    restarts_left: u32,
    horizon: u32,
}

impl Restarts {
    #[must_use]
    pub fn new(bets: usize, horizon_minutes: u32) -> Self {
        let horizon = horizon_minutes.max(1);
        Self {
            ln_bets: vec![0.5_f64.ln(); bets.max(1)],
            ln_restart: (0.5 / f64::from(horizon)).ln(),
            restarts_left: horizon,
            horizon,
        }
    }

    /// Takes one minute in: `increment` says ln e of each bet, by its number from 0 on; 0 for a minute that compares
    /// nothing.
    pub fn observe(&mut self, mut increment: impl FnMut(usize) -> f64) {
        let restart = self.restarts_left > 0;
        self.restarts_left = self.restarts_left.saturating_sub(1);
        for (bet, ln_bet) in self.ln_bets.iter_mut().enumerate() {
            let stake = if restart { ln_add_exp(*ln_bet, self.ln_restart) } else { *ln_bet };
            *ln_bet = stake + increment(bet);
        }
    }

    /// ln E: the bets' mean worth plus the mass that is not staked yet.
    #[must_use]
    pub fn ln_e(&self) -> f64 {
        let unstaked = 0.5 * f64::from(self.restarts_left) / f64::from(self.horizon);
        ln_add_exp(ln_mean_exp(&self.ln_bets), unstaked.ln())
    }
}
