//! What a distribution is compared at: edges of its bins, above which requests are counted as events.

use super::excess::{Excess, Risk};
use super::proof::{Exposure, Proofs, Worth};
use super::{Asked, Look};
use crate::analysis::edges::logit;
use crate::analysis::stats::{CanaryScatter, Dispersion, Margin, PredictedShare, Rates, Stratum, request_contrast};
use crate::analysis::{DistributionHistory, EventHistory, PlannedQuantile};
use crate::units::Weight;

/// An edge stands for a quantile if the odds of a request above it are at most so many times, or so many times less,
/// than they should be. A p99 that is in truth a p96 or a p99.7 still tells of the tail; a p90 does not.
const FAR_OFF: f64 = 4.0;

/// One edge, and what both versions did above it.
#[derive(Debug)]
pub struct Threshold {
    /// Number of the edge.
    pub edge: usize,
    /// Of the requests above it, by history.
    pub dispersion: Option<Dispersion>,
    /// The canary's own scatter, which counts beside a history only.
    pub scatter: CanaryScatter,
    pub strata: Vec<Stratum>,
    /// The dispersion of the newest minute's contrast; 1 without history.
    pub worth: f64,
    /// How many more requests above it the canary had than by chance, and the variance of that.
    surplus: f64,
    variance: f64,
}

impl Threshold {
    pub fn new(edge: usize, history: Option<&DistributionHistory>) -> Self {
        let dispersion = history.and_then(|history| history.above.get(edge).copied());
        let scatter = CanaryScatter::default();
        Self { edge, dispersion, scatter, strata: Vec::new(), worth: 1.0, surplus: 0.0, variance: 0.0 }
    }

    /// Takes one minute in; `z` is how careful the history is read, if there is one.
    pub fn observe(&mut self, stratum: Stratum, z: Option<f64>) {
        if let Some((past, z)) = self.dispersion.zip(z) {
            self.worth = past.of_contrast(request_contrast(&stratum), z);
            self.scatter.observe(stratum.n_c, stratum.x_c);
        }
        let (rho, events, requests) = (stratum.canary_share(), stratum.events(), stratum.n_c + stratum.n_b);
        self.surplus += stratum.x_c - events * rho;
        if requests > 1.0 {
            self.variance += events * rho * (1.0 - rho) * (requests - events) / (requests - 1.0);
        }
        self.strata.push(stratum);
    }

    /// How much worse the canary looks above this edge, in standard deviations of chance.
    pub fn score(&self) -> f64 {
        if self.variance > 0.0 { self.surplus / self.variance.sqrt() } else { 0.0 }
    }
}

/// A quantile that must not get worse.
#[derive(Debug)]
pub struct Quantile {
    pub quantile: f64,
    /// The edge that stands for it; `None` when none is near enough.
    pub edge: Option<usize>,
    margins: Vec<f64>,
    proofs: Proofs,
    /// Where the judge chooses the weights.
    excess: Option<Excess>,
    predicted: PredictedShare,
    /// By how much the ln odds of a healthy canary's requests above the stretched edge differ from the baseline's above
    /// the edge itself.
    shift: f64,
}

impl Quantile {
    /// `past` is the edge's history; `auto` the largest weight, where the judge chooses the weights.
    pub fn new(
        planned: &PlannedQuantile,
        edge: Option<usize>,
        shift: f64,
        past: Option<&EventHistory>,
        worth: Worth,
        asked: Asked,
        auto: Option<Weight>,
    ) -> Self {
        let margins: Vec<Margin> = planned.margins.iter().map(|points| Margin::new(1.0, *points)).collect();
        Self {
            quantile: planned.quantile,
            edge,
            margins: planned.margins.clone(),
            proofs: Proofs::new(&margins, asked, worth, auto),
            excess: auto.map(|_| Excess::new(margins.last().copied().unwrap_or(Margin::NONE), worth)),
            predicted: super::proof::predicted(past),
            shift,
        }
    }

    /// Takes one minute in; `None` when it compares nothing.
    pub fn see(&mut self, look: &Look, stratum: Option<&Stratum>) {
        let guess = self.guess();
        self.proofs.see(look, stratum, guess);
        if let (Some(excess), Some(stratum)) = (&mut self.excess, stratum) {
            excess.see(look, stratum, guess);
        }
    }

    /// Takes the baseline's newest minute in, after all else has seen it.
    pub fn teach(&mut self, requests: f64, above: f64) {
        self.predicted.observe(requests, above);
    }

    /// A healthy canary is as slow as the baseline, and is counted at a higher edge.
    fn guess(&self) -> Option<Rates> {
        let baseline = self.predicted.share()?;
        let odds = (logit(baseline) + self.shift).exp();
        Some(Rates { baseline, canary: odds / (1.0 + odds) })
    }

    /// ln E that the margin of a step is kept; nothing where no edge stands for the quantile.
    pub fn ln_e(&self, step: usize) -> f64 {
        if self.edge.is_some() { self.proofs.ln_e(step) } else { 0.0 }
    }

    /// How much slower it may still be; `None` unless the judge chooses the weights.
    pub fn risk(&self, nats: f64) -> Option<Risk> {
        self.excess.as_ref().map(|excess| excess.risk(nats, self.guess()))
    }

    pub fn requests_missing(&self, step: usize, nats: f64, exposure: &Exposure) -> Option<f64> {
        self.edge?;
        self.proofs.requests_missing(step, nats, self.guess(), exposure)
    }

    /// Past the last step its margin stays in force.
    pub fn margin(&self, step: usize) -> f64 {
        self.margins.get(step).or(self.margins.last()).copied().unwrap_or(0.0)
    }
}

/// The edge of a planned quantile: the one that was its value, else the one above which about that share of requests
/// lies, if there is one. `shares` are those above each edge.
pub fn edge_for(planned: &PlannedQuantile, edges: &[f64], shares: &[f64]) -> Option<usize> {
    if let Some(value) = planned.edge {
        let distance = |edge: &usize| (edges[*edge] - value).abs();
        return (0..edges.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)));
    }
    let wanted = logit(1.0 - planned.quantile);
    let distance = |edge: &usize| (logit(shares[*edge]) - wanted).abs();
    let nearest = (0..edges.len().min(shares.len())).min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
    (distance(&nearest) <= FAR_OFF.ln()).then_some(nearest)
}
