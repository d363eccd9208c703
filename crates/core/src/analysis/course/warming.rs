//! A new version is colder than the old one: its environments have yet to start, and where it gets few requests it keeps
//! starting new ones, and their caches stay empty, for as long as it gets few. That is no fault of the release.
//!
//! Latency alone knows this; an outage shows in the errors of the first minute.
//! What is left out was chosen by simulated pools of environments: with a minute of warm-up alone many releases that change
//! nothing are rolled back for latency. `judge-bench cold` prints how many are with the rule below.
//!
//! * **Warm-up**: after each raise, minutes count only once so many of them have passed and the canary has served so
//!   many requests. Requests are what warms an environment: at one a minute two minutes warm nothing.
//! * **Cold**: harm that is proven below a quarter of the traffic and below so many requests a minute holds the rollout,
//!   and fails it when it is proven once more, from nothing, by the requests that come after.

use crate::analysis::WarmUp;
use crate::units::Weight;

/// From this share on the canary is nearly as warm as what is left of the baseline.
const WARM_WEIGHT: f64 = 0.25;

/// Requests of the canary in a minute, on average since the raise, that keep an environment warm.
const WARM_REQUESTS: f64 = 60.0;

/// How far the canary has come since its weight was raised, by the minutes before the one that is seen.
#[derive(Debug, Default, Clone, Copy)]
pub struct Warming {
    minutes: u32,
    requests: f64,
}

impl Warming {
    /// Whether the minute that is seen counts.
    pub fn is_over(self, warm_up: WarmUp) -> bool {
        let long_enough = self.minutes >= warm_up.minutes && self.requests >= warm_up.requests;
        long_enough || warm_up == WarmUp::default()
    }

    /// Whether the canary may be slower for want of requests alone.
    pub fn is_cold(self, weight: Weight) -> bool {
        weight.share() < WARM_WEIGHT && self.requests < WARM_REQUESTS * f64::from(self.minutes.max(1))
    }

    /// Requests of the canary since the raise.
    pub fn requests(self) -> f64 {
        self.requests
    }

    /// Takes the canary's requests of a minute in, after it was judged. A minute that is mostly at the weight before is none
    /// at this one.
    pub fn pass(&mut self, counts: bool, requests: f64) {
        self.minutes = self.minutes.saturating_add(u32::from(counts));
        self.requests += requests;
    }
}
