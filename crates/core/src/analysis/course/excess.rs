//! How much more harm a canary may still do, as far as anything is proven: the upper bound by which `auto` chooses weights.

use crate::analysis::stats::{Margin, NonInferiority, Rates, Stratum};

use super::Look;
use super::proof::{Worth, dispersion};

/// Tried bounds, as multiples of the tolerance.
const MULTIPLES: [f64; 9] = [1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0];

/// The tolerance of a check that allows a factor only, where the baseline has hardly any events.
const LEAST_TOLERANCE: f64 = 0.001;

/// Of one check, from its settled minutes; harm already done from all of them.
#[derive(Debug)]
pub struct Excess {
    worth: Worth,
    tolerance: Margin,
    /// Each against one bound; begun with the first guess.
    rungs: Vec<(f64, NonInferiority)>,
    settled: Spent,
    closed: Spent,
    /// Requests of both versions in the newest minutes, decayed, and how many minutes that were.
    load: (f64, f64),
}

/// Events of the canary, and how many a healthy one would have had.
#[derive(Debug, Default, Clone, Copy)]
struct Spent {
    came: f64,
    expected: f64,
}

impl Spent {
    fn add(&mut self, minute: &Stratum, guess: Rates) {
        self.came += minute.x_c;
        self.expected += minute.n_c * guess.baseline;
    }

    /// Beyond two standard deviations, for chance alone costs nothing.
    fn harm(&self) -> f64 {
        (self.came - self.expected - 2.0 * self.expected.sqrt()).max(0.0)
    }
}

/// What is known of one check when a weight is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Risk {
    /// How much more of the canary's requests may have the event without harm, as a share.
    pub tolerated: f64,
    /// No more than this is proven; 1 when nothing is.
    pub excess: f64,
    /// Expected of the baseline.
    pub rate: f64,
    /// Events of the canary beyond what a healthy one had.
    pub spent: f64,
    /// Of both versions, in the newest minutes; `None` before the first.
    pub requests_per_minute: Option<f64>,
}

impl Risk {
    /// Nothing has been compared yet.
    pub const UNKNOWN: Self = Self { tolerated: 0.0, excess: 1.0, rate: 0.0, spent: 0.0, requests_per_minute: None };
}

impl Excess {
    pub fn new(tolerance: Margin, worth: Worth) -> Self {
        let (settled, closed) = (Spent::default(), Spent::default());
        Self { worth, tolerance, rungs: Vec::new(), settled, closed, load: (0.0, 0.0) }
    }

    /// Takes one minute in; `guess` must not know it.
    pub fn see(&mut self, look: &Look, minute: &Stratum, guess: Option<Rates>) {
        let Some(guess) = guess else { return };
        self.closed.add(minute, guess);
        if !look.settled {
            return;
        }
        self.settled.add(minute, guess);
        // As fast as the rates, so that a day's curve is followed.
        let half_life = (-0.1_f64).exp2();
        self.load = (self.load.0 * half_life + minute.n_c + minute.n_b, self.load.1 * half_life + 1.0);
        if self.rungs.is_empty() {
            let rungs = bounds(self.tolerance, guess.baseline);
            self.rungs = rungs.map(|bound| (bound, NonInferiority::new(Margin::new(1.0, bound)))).collect();
        }
        for (_, process) in &mut self.rungs {
            let dispersion = dispersion(&self.worth, process.margin(), minute, guess);
            process.observe(minute, guess, dispersion);
        }
    }

    /// What is known when proof must reach so many nats.
    pub fn risk(&self, nats: f64, guess: Option<Rates>) -> Risk {
        let rate = guess.map_or(0.0, |guess| guess.baseline);
        let proven = self.rungs.iter().find(|(_, process)| process.ln_e() >= nats);
        let (requests, minutes) = self.load;
        Risk {
            tolerated: tolerated(self.tolerance, rate),
            excess: proven.map_or(1.0, |(bound, _)| *bound),
            rate,
            spent: self.settled.harm().max(self.closed.harm()),
            requests_per_minute: (minutes > 0.0).then(|| requests / minutes),
        }
    }
}

pub fn tolerated(tolerance: Margin, rate: f64) -> f64 {
    tolerance.excess(rate).max(LEAST_TOLERANCE)
}

/// The bounds that are tried, smallest first; with the rate they stay below certainty.
pub fn bounds(tolerance: Margin, rate: f64) -> impl Iterator<Item = f64> {
    let least = tolerated(tolerance, rate);
    MULTIPLES.into_iter().map(move |multiple| multiple * least).filter(move |bound| bound + rate < 1.0)
}
