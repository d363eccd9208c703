//! Proof that one kind of event keeps to its tolerance, gathered for the steps that are asked.

use crate::analysis::stats::{
    Dispersion, Margin, NonInferiority, PredictedShare, Rates, RecentRate, Stratum, event_contrast,
    proof_nats_per_canary_request, request_contrast,
};
use crate::analysis::{EventHistory, JudgePlan};
use crate::spec::Tolerance;
use crate::units::Weight;

use super::{Asked, Look};

/// Evidence gathered at lower weights may count this much, as a factor, at a larger one: a regression that shows only
/// there is passed with at most twice the agreed probability (optional stopping with a capital of 2).
const CARRIED: f64 = 2.0;

/// Errors come in clusters of about this size where no history says otherwise.
const UNKNOWN_DISPERSION: f64 = 3.0;

/// Standard deviations that are added to what a history says of dispersion.
const CAUTION: f64 = 1.0;

/// Requests beyond the information bound that a proof takes: measured 1.02 to 1.16.
const BEYOND_BOUND: f64 = 1.2;

/// How much less than independent requests' evidence is worth.
#[derive(Debug, Clone, Copy)]
pub enum Worth {
    Independent,
    Unknown,
    /// The history's dispersion, by events.
    Events(Dispersion),
    /// The same, by requests: of requests above a threshold.
    Requests(Dispersion),
}

impl Worth {
    /// Of a check that counts events.
    pub fn of_events(plan: &JudgePlan, history: Option<&EventHistory>) -> Self {
        match history {
            _ if plan.independent => Self::Independent,
            Some(history) => Self::Events(history.dispersion),
            None => Self::Unknown,
        }
    }

    /// Dispersion of the two versions' contrast in a minute, when the baseline's rate of events is this.
    pub fn of_contrast(&self, minute: &Stratum, rate: f64) -> f64 {
        match self {
            Self::Independent => 1.0,
            Self::Unknown => UNKNOWN_DISPERSION,
            Self::Events(dispersion) => dispersion.of_contrast(event_contrast(minute, rate), CAUTION),
            Self::Requests(dispersion) => dispersion.of_contrast(request_contrast(minute), CAUTION),
        }
    }
}

/// What the history lets expect of the baseline.
pub fn predicted(history: Option<&EventHistory>) -> PredictedShare {
    history.map_or_else(PredictedShare::unknown, |past| {
        let recent = RecentRate::from(past.recent_requests, past.recent_events);
        PredictedShare::new(past.requests, past.events, recent)
    })
}

impl From<Tolerance> for Margin {
    fn from(tolerance: Tolerance) -> Self {
        Self::new(tolerance.factor, tolerance.points)
    }
}

/// The evidence for each step that is asked.
#[derive(Debug)]
pub struct Proofs {
    worth: Worth,
    proofs: Vec<Proof>,
    /// Where weights are chosen as one goes: the one at which the proof is made.
    top: Option<Weight>,
}

#[derive(Debug)]
struct Proof {
    step: usize,
    process: NonInferiority,
    /// The minutes at other weights than the top, which count for at most [`CARRIED`] whatever the path of weights was.
    below: Option<NonInferiority>,
}

impl Proof {
    fn ln_e(&self) -> f64 {
        let below = self.below.as_ref().map_or(0.0, |below| below.ln_e().min(CARRIED.ln()));
        self.process.ln_e() + below
    }
}

impl Proofs {
    /// `margins` are those of the ladder's steps, in order; past the last its margin stays in force.
    pub fn new(margins: &[Margin], asked: Asked, worth: Worth, top: Option<Weight>) -> Self {
        let steps = match asked {
            Asked::Step(step) => step..step + 1,
            Asked::EveryStep => 0..margins.len().max(1),
        };
        let margin = |step: usize| margins.get(step).or(margins.last()).copied().unwrap_or(Margin::NONE);
        let process = |step| NonInferiority::new(margin(step));
        let proof = |step| Proof { step, process: process(step), below: top.map(|_| process(step)) };
        Self { worth, proofs: steps.map(proof).collect(), top }
    }

    /// Takes one minute in. Only settled minutes count. `minute` is `None` when it compares nothing, and `guess` while
    /// nothing is known of the baseline; neither may know the minute.
    pub fn see(&mut self, look: &Look, minute: Option<&Stratum>, guess: Option<Rates>) {
        if !look.settled {
            return;
        }
        // The minute of a raise is partly still the weight before.
        let at_top = self.top.is_none_or(|top| look.weight >= top && !look.raised);
        for Proof { process, below, .. } in &mut self.proofs {
            if look.raised && below.is_none() {
                process.cap(CARRIED.ln());
            }
            let process = below.as_mut().filter(|_| !at_top).unwrap_or(process);
            if let (Some(minute), Some(guess)) = (minute, guess) {
                let dispersion = dispersion(&self.worth, process.margin(), minute, guess);
                process.observe(minute, guess, dispersion);
            }
        }
    }

    /// ln E of a step, now.
    pub fn ln_e(&self, step: usize) -> f64 {
        self.of(step).map_or(0.0, Proof::ln_e)
    }

    /// Canary requests that are expected to be missing for a proof of so many nats, at rates and a split like these; zero
    /// when it is there, `None` when more requests would not bring it.
    pub fn requests_missing(&self, step: usize, nats: f64, guess: Option<Rates>, exposure: &Exposure) -> Option<f64> {
        if nats <= 0.0 {
            return Some(0.0);
        }
        let margin = self.of(step)?.process.margin();
        exposure.requests_for(nats, margin, guess?, &self.worth)
    }

    /// Past the last step its proof stays in force.
    fn of(&self, step: usize) -> Option<&Proof> {
        self.proofs.iter().find(|proof| proof.step == step).or(self.proofs.last())
    }

    pub fn worth(&self) -> &Worth {
        &self.worth
    }
}

/// Of one minute, at the rates that the margin's edge and the guess together make.
pub fn dispersion(worth: &Worth, margin: Margin, minute: &Stratum, guess: Rates) -> f64 {
    worth.of_contrast(minute, guess.baseline + minute.canary_share() * margin.excess(guess.baseline))
}

/// Requests of both versions in the present step, which say how fast evidence comes in now.
#[derive(Debug, Default, Clone, Copy)]
pub struct Exposure {
    pub canary: f64,
    pub baseline: f64,
    pub minutes: f64,
}

impl Exposure {
    pub fn add(&mut self, stratum: &Stratum) {
        self.canary += stratum.n_c;
        self.baseline += stratum.n_b;
        self.minutes += 1.0;
    }

    /// Canary requests for so many nats; `None` if no number of them brings any, or nothing is served.
    pub fn requests_for(&self, nats: f64, margin: Margin, rates: Rates, worth: &Worth) -> Option<f64> {
        let requests = self.canary + self.baseline;
        if self.canary <= 0.0 || self.baseline <= 0.0 || self.minutes <= 0.0 {
            return None;
        }
        let minute = Stratum { n_c: self.canary / self.minutes, x_c: 0.0, n_b: self.baseline / self.minutes, x_b: 0.0 };
        let per_request = proof_nats_per_canary_request(rates, margin, self.canary / requests);
        let needed = nats * BEYOND_BOUND * dispersion(worth, margin, &minute, rates) / per_request;
        needed.is_finite().then_some(needed)
    }

    pub fn canary_per_minute(&self) -> f64 {
        if self.minutes > 0.0 { self.canary / self.minutes } else { 0.0 }
    }
}
