//! How strongly a minute compares two versions, in the unit that a [`Dispersion`](super::Dispersion) refers to.

use super::Stratum;

/// What is left after a minute of what the past counts: one half after ten, that is 2^-0.1.
const DECAY: f64 = 0.933_032_991_536_807_4;
const MOST_RATE: f64 = 0.999;

/// Exposure of the contrast in events per minute, at the baseline's rate of events: `2 rho (1 - rho) n rate / (1 - rate)`.
/// With noise of each version's own the dispersion of the contrast is `clusters + noise * h`.
#[must_use]
pub fn event_contrast(minute: &Stratum, rate: f64) -> f64 {
    let rate = if rate.is_finite() { rate.clamp(0.0, MOST_RATE) } else { 0.0 };
    request_contrast(minute) * rate / (1.0 - rate)
}

/// The same in requests, for thresholds and ranks: `2 rho (1 - rho) n`.
#[must_use]
pub fn request_contrast(minute: &Stratum) -> f64 {
    if !minute.is_comparable() {
        return 0.0;
    }
    2.0 * minute.n_c * (minute.n_b / (minute.n_c + minute.n_b))
}

/// The baseline's rate of events, as the minutes so far predict the next: newer ones count more.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RecentRate {
    /// Decayed sums.
    pub requests: f64,
    pub events: f64,
}

impl RecentRate {
    /// Goes on from decayed sums.
    #[must_use]
    pub fn from(requests: f64, events: f64) -> Self {
        Self { requests, events }
    }

    /// Takes the baseline's next minute in.
    pub fn observe(&mut self, requests: f64, events: f64) {
        self.requests = self.requests * DECAY + requests;
        self.events = self.events * DECAY + events;
    }

    /// Between 0 and 1; little traffic counts as one request.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.events / self.requests.max(1.0)
    }
}
