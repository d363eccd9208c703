//! How much less than independent requests' evidence is worth, from a history's minute-to-minute scatter.

use serde::{Deserialize, Serialize};

/// A model of the dispersion of one kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dispersion {
    /// The estimate at the chosen scale, shrunk to its prior and not yet raised to 1.
    pub factor: f64,
    /// Standard deviation of its logarithm.
    pub spread: f64,
    /// Events per minute that the estimate refers to.
    pub events_per_minute: f64,
    /// Minutes per block of the chosen scale.
    pub scale_minutes: u32,
    /// Expected squares at the scale of a minute: how many events the history has for the purpose.
    pub weight: f64,
    /// Clusters told from noise by the daily curve.
    pub regression: Option<Regression>,
}

/// Dispersion as `clusters + noise * events`, with the covariance of the two.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Regression {
    pub clusters: f64,
    pub noise: f64,
    pub covariance: [f64; 3],
}

impl Dispersion {
    /// Dispersion of a minute's contrast of two versions, when `events` are expected of it.
    #[must_use]
    pub fn of_contrast(&self, _events: f64, _caution: f64) -> f64 {
        1.0
    }
}
