//! The weight in force, told by the canary's share of the requests.

use crate::recording::{Arm, Line};
use crate::units::Weight;

/// ln of how many times likelier another weight of the ladder must be before it counts as the one in force: chance does
/// that about once in 150 changes looked for, and a real change takes a few dozen requests to show.
const SURE: f64 = 5.0;

const LEAST: Weight = Weight::SMALLEST;

/// Follows the share from minute to minute. The ladder is known, so all that must be told is which of its weights
/// explains the split best; a change shows as likelihood that has grown since it was last zero (Page's test).
#[derive(Debug)]
pub struct Told {
    ladder: Vec<Weight>,
    now: Option<usize>,
    /// For each weight: ln of how many times likelier than the present one, since that was last the best explanation.
    likelier: Vec<f64>,
}

impl Told {
    pub fn new(ladder: &[Weight]) -> Self {
        Self { ladder: ladder.to_vec(), now: None, likelier: vec![0.0; ladder.len()] }
    }

    /// The weight in force in a minute. Without a ladder, the share of the first minute that has both versions.
    pub fn weight(&mut self, line: &Line) -> Weight {
        let served = |arm: &Option<Arm>| arm.as_ref().and_then(requests).unwrap_or(0.0);
        let (canary, baseline) = (served(&line.canary), served(&line.baseline));
        if canary > 0.0 && baseline > 0.0 {
            if self.ladder.is_empty() {
                self.ladder.push(own_share(canary, baseline));
            }
            self.follow(canary, baseline);
        }
        self.ladder.get(self.now.unwrap_or(0)).copied().unwrap_or(LEAST)
    }

    fn follow(&mut self, canary: f64, baseline: f64) {
        let ln_likelihood = |weight: Weight| canary * weight.share().ln() + baseline * weight.complement().share().ln();
        let all: Vec<f64> = self.ladder.iter().map(|weight| ln_likelihood(*weight)).collect();
        let best = |values: &[f64]| {
            values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(place, value)| (place, *value))
        };
        let Some(now) = self.now else {
            self.now = best(&all).map(|(place, _)| place);
            return;
        };
        for (likelier, ln) in self.likelier.iter_mut().zip(&all) {
            *likelier = (*likelier + ln - all[now]).max(0.0);
        }
        if let Some((place, most)) = best(&self.likelier)
            && most > SURE
        {
            self.now = Some(place);
            self.likelier.fill(0.0);
        }
    }
}

/// Above 0 and below all: a minute with requests of both is a comparison.
fn own_share(canary: f64, baseline: f64) -> Weight {
    let share = Weight::from_share(canary / (canary + baseline));
    share.unwrap_or(LEAST).clamp(LEAST, LEAST.complement())
}

/// By whatever says how many there were.
fn requests(arm: &Arm) -> Option<f64> {
    let latency = arm.latency.as_ref().map(|latency| latency.counts.iter().sum());
    let rate = || arm.rates.values().next().map(|rate| rate.requests);
    let distribution = || arm.distributions.values().next().map(|found| found.counts.iter().sum());
    arm.requests.or(latency).or_else(rate).or_else(distribution)
}
