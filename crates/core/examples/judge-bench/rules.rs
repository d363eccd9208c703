//! What others do, as far as it is public: each rule sees every minute and says when it would roll back.

use coalmine_core::analysis::stats::Stratum;
use coalmine_core::analysis::stats::rank::{Null, mann_whitney};

use crate::chance::normal_tail;
use crate::kayenta::{self, Class};

/// A rule for errors that is asked every minute.
pub trait Rule {
    /// Whether it rolls back now.
    fn see(&mut self, minute: &Stratum) -> bool;
}

/// The two-proportion z test on the totals so far, one-sided, looked at every minute as if it were the only look.
#[derive(Debug, Clone)]
pub struct PeekedZ {
    alpha: f64,
    total: Stratum,
}

impl PeekedZ {
    pub fn new(alpha: f64) -> Self {
        Self { alpha, total: Stratum { n_c: 0.0, x_c: 0.0, n_b: 0.0, x_b: 0.0 } }
    }
}

impl Rule for PeekedZ {
    fn see(&mut self, minute: &Stratum) -> bool {
        let total = &mut self.total;
        total.n_c += minute.n_c;
        total.x_c += minute.x_c;
        total.n_b += minute.n_b;
        total.x_b += minute.x_b;
        if !total.is_comparable() || total.events() <= 0.0 {
            return false;
        }
        let pooled = total.events() / (total.n_c + total.n_b);
        let spread = (pooled * (1.0 - pooled) * (1.0 / total.n_c + 1.0 / total.n_b)).sqrt();
        let z = (total.x_c / total.n_c - total.x_b / total.n_b) / spread;
        z > 0.0 && normal_tail(z) <= self.alpha
    }
}

/// A CloudWatch alarm on the canary's error rate: above the limit in two of two minutes. A minute without requests has
/// no datapoint, which is not breaching.
#[derive(Debug, Clone)]
pub struct Alarm {
    limit: f64,
    breaching: u32,
}

impl Alarm {
    pub fn above(limit: f64) -> Self {
        Self { limit, breaching: 0 }
    }
}

impl Rule for Alarm {
    fn see(&mut self, minute: &Stratum) -> bool {
        let above = minute.n_c > 0.0 && minute.x_c / minute.n_c > self.limit;
        self.breaching = if above { self.breaching + 1 } else { 0 };
        self.breaching >= 2
    }
}

/// Flagger's counting: a failed check is never forgotten, and so many of them roll back. Five, with a success rate of at
/// least 99 %, is its documentation's example.
#[derive(Debug, Clone)]
pub struct Flagger {
    limit: f64,
    threshold: u32,
    failed: u32,
}

impl Flagger {
    pub fn new(limit: f64, threshold: u32) -> Self {
        Self { limit, threshold, failed: 0 }
    }
}

impl Rule for Flagger {
    fn see(&mut self, minute: &Stratum) -> bool {
        self.failed += u32::from(minute.n_c > 0.0 && minute.x_c / minute.n_c > self.limit);
        self.failed >= self.threshold
    }
}

/// Kayenta's judge on the error rate per minute, in percent, asked every minute from the third on.
#[derive(Debug, Clone, Default)]
pub struct Kayenta {
    canary: Vec<f64>,
    baseline: Vec<f64>,
}

impl Rule for Kayenta {
    fn see(&mut self, minute: &Stratum) -> bool {
        // A minute without requests has no rate; Kayenta leaves NaN out.
        self.canary.extend((minute.n_c > 0.0).then(|| 100.0 * minute.x_c / minute.n_c));
        self.baseline.extend((minute.n_b > 0.0).then(|| 100.0 * minute.x_b / minute.n_b));
        self.canary.len() >= 3 && kayenta::judge(&self.canary, &self.baseline) == Class::High
    }
}

/// `PipeCD`'s default: the interval's points of both versions by the two-sided Mann-Whitney test at 5 %, five of them, and
/// one failed check rolls back.
#[derive(Debug, Clone, Default)]
pub struct PipeCd {
    canary: Vec<f64>,
    baseline: Vec<f64>,
}

impl PipeCd {
    const POINTS: usize = 5;
}

impl Rule for PipeCd {
    fn see(&mut self, minute: &Stratum) -> bool {
        self.canary.extend((minute.n_c > 0.0).then(|| minute.x_c / minute.n_c));
        self.baseline.extend((minute.n_b > 0.0).then(|| minute.x_b / minute.n_b));
        if self.canary.len() < Self::POINTS || self.baseline.len() < Self::POINTS {
            return false;
        }
        let test = mann_whitney(&self.canary, &self.baseline, Null::Exact);
        let rolled_back = test.is_some_and(|test| test.two_sided <= 0.05);
        self.canary.clear();
        self.baseline.clear();
        rolled_back
    }
}
