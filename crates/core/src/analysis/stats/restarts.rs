//! A mixture of bets that may begin in any minute.

use super::many::exp_all;
use super::special::ln_add_exp;

/// Staked before the first minute, for a regression that is there from the start.
const AT_THE_START: f64 = 0.5;
/// Of what is left then, how much is spread over the likely minutes.
const LIKELY: f64 = 0.75;
/// At each raise of the weight, how much of what is not staked yet.
const AT_A_RAISE: f64 = 0.125;

/// A bet's worth is kept as it is while its logarithm is at most this, either way, and a minute's worth is taken as it is
/// likewise: the product of both is far from overflowing.
const PLAIN: f64 = 300.0;

/// When a regression may begin, in minutes with data: how the stakes that are not placed at the start are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begins {
    likely: u32,
    unlikely: u32,
}

impl Begins {
    /// As likely in each of these minutes.
    #[must_use]
    pub fn evenly(minutes: u32) -> Self {
        Self { likely: minutes.max(1), unlikely: 0 }
    }

    /// Three quarters over the first `likely` minutes, a quarter over the rest of `horizon`: a rollout usually takes the
    /// former, and may take the latter. Evenly where `likely` is 0, which is not known, or not the smaller one.
    #[must_use]
    pub fn within(likely: u32, horizon: u32) -> Self {
        if likely == 0 || likely >= horizon {
            return Self::evenly(horizon);
        }
        Self { likely, unlikely: horizon - likely }
    }
}

/// The worth of `K` bets with equal weights, each of which may begin in any minute (Shiryaev-Roberts with total mass 1).
///
/// Half of the mass is staked before the first minute; the other half over the minutes in which a regression
/// [may begin](Begins), so that early good evidence cannot drown a bug that starts late. A bug that only more traffic
/// shows begins with a raise of the weight, so more is staked there. Mass that is not staked yet counts as it is.
///
/// If every bet's e of a minute has mean at most 1, so has the whole: what is staked in a minute depends on what was
/// known before it, the total is 1, and no new bets are begun beyond the horizon.
#[derive(Debug, Clone)]
pub struct Restarts {
    /// Of each bet, over all starts so far.
    worths: Vec<Worth>,
    /// What the minute is worth to each bet; kept so that no minute needs new memory.
    minute: Vec<f64>,
    /// Not staked yet: over the likely minutes that are left, and over the others.
    likely: f64,
    unlikely: f64,
    left: Begins,
    /// The weight was raised since the last minute.
    raised: bool,
    begun: bool,
}

/// What a bet is worth: as a logarithm only where it has to be, for adding to one takes an exponential and a logarithm.
#[derive(Debug, Clone, Copy)]
enum Worth {
    Plain(f64),
    Ln(f64),
}

impl Worth {
    fn of_ln(ln: f64) -> Self {
        if ln.abs() <= PLAIN { Self::Plain(ln.exp()) } else { Self::Ln(ln) }
    }

    fn ln(self) -> f64 {
        match self {
            Self::Plain(worth) => worth.ln(),
            Self::Ln(ln) => ln,
        }
    }

    fn plain(self) -> Option<f64> {
        match self {
            Self::Plain(worth) => Some(worth),
            Self::Ln(_) => None,
        }
    }

    fn staked(self, stake: f64) -> Self {
        match self {
            Self::Plain(worth) => Self::Plain(worth + stake),
            Self::Ln(ln) => Self::of_ln(ln_add_exp(ln, stake.ln())),
        }
    }

    /// After a minute that is worth `e`, whose logarithm is `ln_e`.
    fn after(self, e: f64, ln_e: f64) -> Self {
        match self {
            Self::Plain(worth) if ln_e.abs() <= PLAIN => {
                let product = worth * e;
                let is_plain = (LEAST_PLAIN..=1.0 / LEAST_PLAIN).contains(&product);
                if is_plain { Self::Plain(product) } else { Self::Ln(worth.ln() + ln_e) }
            }
            Self::Plain(_) | Self::Ln(_) => Self::of_ln(self.ln() + ln_e),
        }
    }
}

/// About e^-300.
const LEAST_PLAIN: f64 = 1e-130;

impl Restarts {
    #[must_use]
    pub fn new(bets: usize, begins: Begins) -> Self {
        let rest = 1.0 - AT_THE_START;
        let likely = if begins.unlikely == 0 { rest } else { LIKELY * rest };
        Self {
            worths: vec![Worth::Plain(AT_THE_START); bets.max(1)],
            minute: vec![0.0; bets.max(1)],
            likely,
            unlikely: rest - likely,
            left: begins,
            raised: false,
            begun: false,
        }
    }

    /// The next minute is the first to be compared since the weight was raised.
    pub fn raise(&mut self) {
        // What begins with the first minute has its stake already.
        self.raised = self.begun;
    }

    /// Takes one minute in: `increment` says ln e of each bet, by its number from 0 on; 0 for a minute that compares
    /// nothing.
    pub fn observe(&mut self, increment: impl Fn(usize) -> f64) {
        let stake = self.stake();
        self.minute.iter_mut().enumerate().for_each(|(bet, e)| *e = increment(bet));
        exp_all(&mut self.minute);
        for (bet, (worth, e)) in self.worths.iter_mut().zip(&self.minute).enumerate() {
            *worth = worth.staked(stake).after(*e, increment(bet));
        }
        self.begun = true;
    }

    /// What is staked on the next minute, taken from what is left.
    fn stake(&mut self) -> f64 {
        let mut stake = 0.0;
        if std::mem::take(&mut self.raised) {
            stake += AT_A_RAISE * (self.likely + self.unlikely);
            self.likely *= 1.0 - AT_A_RAISE;
            self.unlikely *= 1.0 - AT_A_RAISE;
        }
        let (mass, minutes) = if self.left.likely > 0 {
            (&mut self.likely, &mut self.left.likely)
        } else {
            (&mut self.unlikely, &mut self.left.unlikely)
        };
        if *minutes > 0 {
            let part = *mass / f64::from(*minutes);
            *minutes -= 1;
            *mass = if *minutes > 0 { *mass - part } else { 0.0 };
            stake += part;
        }
        stake
    }

    /// ln E: the bets' mean worth plus the mass that is not staked yet.
    #[must_use]
    pub fn ln_e(&self) -> f64 {
        // Bets are few, so the cast is exact.
        #[allow(clippy::cast_precision_loss)]
        let bets = self.worths.len() as f64;
        let plain: f64 = self.worths.iter().filter_map(|worth| worth.plain()).sum();
        let logarithms = self.worths.iter().filter(|worth| worth.plain().is_none()).map(|worth| worth.ln());
        let most = (plain / bets + self.likely + self.unlikely).ln();
        logarithms.fold(most, |sum, ln| ln_add_exp(sum, ln - bets.ln()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is raised when, all stakes together are 1: a bet that is worth e^0 in every minute stays so.
    #[test]
    fn the_total_is_one() {
        for begins in [Begins::evenly(0), Begins::evenly(7), Begins::within(5, 40), Begins::within(0, 9)] {
            for every in [1_usize, 3, 1000] {
                let mut bets = Restarts::new(3, begins);
                for minute in 0..60 {
                    if minute % every == 0 {
                        bets.raise();
                    }
                    bets.observe(|_| 0.0);
                    assert!(bets.ln_e().abs() < 1e-12, "{begins:?}, raised every {every}: {}", bets.ln_e());
                }
                assert!(bets.stake() <= 0.0 && bets.ln_e().is_finite(), "nothing is left");
            }
        }
    }

    /// The stake of one minute, after `before` good ones that cost all earlier stakes.
    fn stake_after(before: usize, begins: Begins, raised: bool) -> f64 {
        let mut bets = Restarts::new(1, begins);
        (0..before).for_each(|_| bets.observe(|_| -50.0));
        if raised {
            bets.raise();
        }
        bets.stake()
    }

    #[test]
    fn stakes_lie_where_a_regression_begins() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        let begins = Begins::within(120, 840);
        close(stake_after(30, begins, false), 0.375 / 120.0);
        close(stake_after(119, begins, false), 0.375 / 120.0);
        close(stake_after(120, begins, false), 0.125 / 720.0);
        close(stake_after(840, begins, false), 0.0);
        let left = 0.125 + 0.375 * 0.75;
        close(stake_after(30, begins, true), left / 8.0 + 7.0 / 8.0 * 0.375 / 120.0);
        // Beginning is no raise.
        close(stake_after(0, begins, true), 0.375 / 120.0);
        close(stake_after(3, Begins::evenly(60), false), 0.5 / 60.0);
    }
}
