//! Sequential statistics: numbers in, numbers out.
//!
//! Architecture Invariant: nothing here imports anything of ours.
//!
//! Every e-value is kept as its natural logarithm. An e-process starts at 1, its mean never grows while its null
//! hypothesis holds, and so (Ville) it ever reaches `1/alpha` with probability at most alpha, however often and for
//! however long one looks. The formulas and their sources are in `docs/statistics.md`; each is
//! tested against golden values of other libraries, by exact enumeration, and by simulation.

mod auto;
mod bound;
#[cfg(test)]
mod cancelling;
#[cfg(test)]
mod cmh;
mod contrast;
mod dispersion;
mod frequent;
mod guard;
#[cfg(test)]
pub(crate) mod guard_vectors;
mod harm;
mod interval;
mod label;
#[cfg(test)]
mod label_validity;
mod many;
#[cfg(test)]
mod means;
mod paired;
mod promotion;
#[cfg(test)]
mod promotion_vectors;
pub mod rank;
mod regression;
mod restarts;
mod scatter;
mod special;
mod split;
#[cfg(test)]
pub(crate) mod validity;
#[cfg(test)]
mod vectors;

pub use auto::{AutoLimits, budget_weight, planned_harm};
pub use bound::{detection_bound, proof_bound, proof_nats_per_canary_request};
pub use contrast::{RecentRate, event_contrast, request_contrast};
pub use dispersion::{Dispersion, Exposure, PastMinute, Regression, Z_HARM};
pub use guard::Guard;
pub use harm::{HarmBets, HarmNull, HarmProcess};
pub use interval::{RatioInterval, rate_ratio};
pub use label::{Dictionary, Pairing, Reference, Scored, THRESHOLD_QUANTILES, mid_ranks};
pub use paired::PairedT;
pub use promotion::{Margin, NonInferiority, PredictedShare, Rates};
pub use restarts::{Begins, Restarts};
pub use scatter::CanaryScatter;
pub use special::ln_mean_exp;
pub use split::{ln_e_constant_split, ln_e_split_within};

/// One minute of both versions: requests `n` and events `x` of the canary (`c`) and the baseline (`b`).
///
/// The caller sees to it that the numbers are finite, that `0 <= x <= n`, and that they stay below about 1e12.
/// Fractions are fine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stratum {
    pub n_c: f64,
    pub x_c: f64,
    pub n_b: f64,
    pub x_b: f64,
}

impl Stratum {
    /// A minute that only one version served compares nothing.
    #[must_use]
    pub fn is_comparable(&self) -> bool {
        self.n_c > 0.0 && self.n_b > 0.0
    }

    /// Events of both versions.
    #[must_use]
    pub fn events(&self) -> f64 {
        self.x_c + self.x_b
    }

    /// The canary's share of the requests.
    #[must_use]
    pub fn canary_share(&self) -> f64 {
        self.n_c / (self.n_c + self.n_b)
    }
}
