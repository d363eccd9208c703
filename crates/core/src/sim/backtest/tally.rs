//! How many releases ended how.

use statrs::function::beta::beta_reg;

use crate::spec::Ending;

use super::{End, Trial};

/// How sure an interval of a share is.
const SURE: f64 = 0.95;

/// Halvings of an interval until nothing is left of it in a double.
const HALVINGS: usize = 60;

/// A share, and where it lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub share: f64,
    /// 95 % sure.
    pub lower: f64,
    pub upper: f64,
}

/// Releases by their end.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tally {
    pub trials: u64,
    pub rolled_back: u64,
    pub promoted: u64,
    /// Neither in time, by what the spec does then.
    pub then_rolled_back: u64,
    pub then_promoted: u64,
    pub then_paused: u64,
    /// Minutes until they were rolled back, and until they were promoted; rising.
    pub back_after: Vec<u32>,
    pub promoted_after: Vec<u32>,
    /// What the new version had got when it was rolled back; rising.
    pub requests_until_back: Vec<f64>,
}

impl Tally {
    #[must_use]
    pub fn of<'t>(trials: impl IntoIterator<Item = &'t Trial>) -> Self {
        let mut tally = Self::default();
        for trial in trials {
            tally.trials += 1;
            match trial.end {
                End::Promoted => {
                    tally.promoted += 1;
                    tally.promoted_after.push(trial.minutes);
                }
                End::RolledBack => {
                    tally.rolled_back += 1;
                    tally.back_after.push(trial.minutes);
                    tally.requests_until_back.push(trial.requests);
                }
                End::Undecided(Ending::RollBack) => tally.then_rolled_back += 1,
                End::Undecided(Ending::Promote) => tally.then_promoted += 1,
                End::Undecided(Ending::Pause) => tally.then_paused += 1,
            }
        }
        tally.back_after.sort_unstable();
        tally.promoted_after.sort_unstable();
        tally.requests_until_back.sort_by(f64::total_cmp);
        tally
    }

    /// Neither proven worse nor promoted in time.
    #[must_use]
    pub fn undecided(&self) -> u64 {
        self.then_rolled_back + self.then_promoted + self.then_paused
    }

    /// The share that was rolled back because it was proven worse.
    #[must_use]
    pub fn back(&self) -> Interval {
        exact_interval(self.rolled_back, self.trials)
    }
}

/// The share of trials, with Clopper's and Pearson's interval: exact for any number of independent ones, and never too
/// short.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 trials")]
pub fn exact_interval(found: u64, trials: u64) -> Interval {
    let (found, trials) = (found.min(trials) as f64, trials as f64);
    if trials <= 0.0 {
        return Interval { share: 0.0, lower: 0.0, upper: 1.0 };
    }
    let tail = (1.0 - SURE) / 2.0;
    // The probability of at least so many rises with the share, and is that of a beta variable.
    let lower = if found > 0.0 { where_it_is(|p| beta_reg(found, trials - found + 1.0, p), tail) } else { 0.0 };
    let upper =
        if found < trials { where_it_is(|p| beta_reg(found + 1.0, trials - found, p), 1.0 - tail) } else { 1.0 };
    Interval { share: found / trials, lower, upper }
}

fn where_it_is(rising: impl Fn(f64) -> f64, value: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        *(if rising(middle) < value { &mut low } else { &mut high }) = middle;
    }
    f64::midpoint(low, high)
}
