//! Made-up traffic: requests and failed requests of both versions, minute by minute.

use std::f64::consts::TAU;

use coalmine_core::analysis::stats::Stratum;
use coalmine_core::sim::rng::Rng;

use crate::chance::{binomial, gamma_of_mean_one, geometric, normal, poisson};

/// How a version's failures are spread over its requests and minutes, at the same mean rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Texture {
    /// Mean size of the geometric groups in which requests fail; 1: each on its own.
    pub cluster: f64,
    pub noise: Noise,
}

/// A factor on the failure rate that each version draws for itself every minute; mean 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Noise {
    None,
    /// Coefficient of variation.
    Gamma(f64),
    /// Coefficient of variation, and how much of a minute's deviation is still there in the next (AR(1)).
    Lognormal(f64, f64),
}

impl Texture {
    pub const CLEAN: Self = Self { cluster: 1.0, noise: Noise::None };

    pub const fn clusters(cluster: f64) -> Self {
        Self { cluster, noise: Noise::None }
    }

    pub const fn noise(noise: Noise) -> Self {
        Self { cluster: 1.0, noise }
    }

    pub fn name(&self) -> String {
        let clusters = (self.cluster > 1.0).then(|| format!("clusters of {}", self.cluster));
        let percent = |cv: f64| format!("{:.0} %", cv * 100.0);
        let noise = match self.noise {
            Noise::None => None,
            Noise::Gamma(cv) => Some(format!("noise {}", percent(cv))),
            Noise::Lognormal(cv, memory) if memory > 0.0 => Some(format!("AR({memory}) {}", percent(cv))),
            Noise::Lognormal(cv, _) => Some(format!("lognormal {}", percent(cv))),
        };
        let parts: Vec<String> = clusters.into_iter().chain(noise).collect();
        if parts.is_empty() { "clean".to_owned() } else { parts.join(" + ") }
    }
}

/// One version's own state: its noise remembers.
#[derive(Debug, Clone)]
pub struct Version {
    texture: Texture,
    deviation: Option<f64>,
}

impl Version {
    pub fn new(texture: Texture) -> Self {
        Self { texture, deviation: None }
    }

    /// Failures among `requests` at mean rate `rate`.
    pub fn failures(&mut self, rng: &mut Rng, requests: f64, rate: f64) -> f64 {
        let rate = (rate * self.factor(rng)).min(1.0);
        if self.texture.cluster <= 1.0 {
            return binomial(rng, requests, rate);
        }
        let groups = poisson(rng, requests * rate / self.texture.cluster);
        let mut failures = 0.0;
        let mut left = groups;
        while left > 0.0 {
            failures += geometric(rng, self.texture.cluster);
            left -= 1.0;
        }
        failures.min(requests)
    }

    /// This minute's factor.
    fn factor(&mut self, rng: &mut Rng) -> f64 {
        match self.texture.noise {
            Noise::None => 1.0,
            Noise::Gamma(cv) => gamma_of_mean_one(rng, 1.0 / (cv * cv)),
            Noise::Lognormal(cv, memory) => {
                let sigma = (1.0 + cv * cv).ln().sqrt();
                let fresh = normal(rng);
                let z = self.deviation.map_or(fresh, |z| memory * z + (1.0 - memory * memory).sqrt() * fresh);
                self.deviation = Some(z);
                (sigma * z - sigma * sigma / 2.0).exp()
            }
        }
    }
}

/// How traffic and error rate move, as factors on their levels at the start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Drift {
    Still,
    /// Linear, from 1 to these factors over this many minutes, and on.
    Line {
        traffic: f64,
        errors: f64,
        minutes: f64,
    },
    /// Over the day: traffic by half, error rate by three tenths, both ways; 1 at minute 0.
    Daily,
}

impl Drift {
    pub fn at(&self, minute: f64) -> (f64, f64) {
        match *self {
            Self::Still => (1.0, 1.0),
            Self::Line { traffic, errors, minutes } => {
                let progress = minute / minutes;
                ((1.0 + (traffic - 1.0) * progress).max(0.0), (1.0 + (errors - 1.0) * progress).max(0.0))
            }
            Self::Daily => {
                let wave = (TAU * minute / 1440.0).sin();
                (1.0 + 0.5 * wave, 1.0 + 0.3 * wave)
            }
        }
    }
}

/// The canary's share of the requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Weights {
    Constant(f64),
    /// 5, 25 and 50 %, a third of these minutes each.
    Steps(f64),
}

impl Weights {
    pub fn at(&self, minute: f64) -> f64 {
        match *self {
            Self::Constant(weight) => weight,
            Self::Steps(minutes) if minute < minutes / 3.0 => 0.05,
            Self::Steps(minutes) if minute < minutes * 2.0 / 3.0 => 0.25,
            Self::Steps(_) => 0.5,
        }
    }
}

/// From when on the canary fails more often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Onset {
    Start,
    /// From this minute on.
    Minute(f64),
    /// While its weight is at least this.
    Weight(f64),
}

/// A minute or more in which requests fail for a reason of their own: share of the requests, for each version.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burst {
    pub from: f64,
    pub minutes: f64,
    pub baseline: f64,
    pub canary: f64,
}

/// A rollout's traffic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rollout {
    pub per_second: f64,
    pub baseline_rate: f64,
    /// The canary's rate at the level of the baseline's start; it drifts along.
    pub canary_rate: f64,
    /// Added to the canary's rate, without any drift.
    pub excess: f64,
    pub onset: Onset,
    pub weights: Weights,
    pub drift: Drift,
    pub baseline: Texture,
    pub canary: Texture,
    pub burst: Option<Burst>,
}

impl Rollout {
    /// Both versions fail alike.
    pub fn harmless(per_second: f64, rate: f64, weights: Weights) -> Self {
        Self {
            per_second,
            baseline_rate: rate,
            canary_rate: rate,
            excess: 0.0,
            onset: Onset::Start,
            weights,
            drift: Drift::Still,
            baseline: Texture::CLEAN,
            canary: Texture::CLEAN,
            burst: None,
        }
    }

    pub fn textured(self, texture: Texture) -> Self {
        Self { baseline: texture, canary: texture, ..self }
    }

    /// From minute 0 on, at the weights of the setting or at those that the caller asks for.
    pub fn play<'r>(&self, rng: &'r mut Rng) -> Player<'r> {
        Player {
            setting: *self,
            rng,
            minute: 0.0,
            baseline: Version::new(self.baseline),
            canary: Version::new(self.canary),
        }
    }
}

/// The traffic as it goes on.
#[derive(Debug)]
pub struct Player<'r> {
    setting: Rollout,
    rng: &'r mut Rng,
    minute: f64,
    baseline: Version,
    canary: Version,
}

impl Player<'_> {
    /// The next minute at the setting's weight, and that weight.
    pub fn next(&mut self) -> (Stratum, f64) {
        let weight = self.setting.weights.at(self.minute);
        (self.next_at(weight), weight)
    }

    /// The next minute at this weight.
    pub fn next_at(&mut self, weight: f64) -> Stratum {
        let Self { setting, rng, minute, baseline, canary } = self;
        let (traffic, errors) = setting.drift.at(*minute);
        let requests = poisson(rng, setting.per_second * 60.0 * traffic);
        let n_c = binomial(rng, requests, weight);
        let n_b = requests - n_c;
        let bad = match setting.onset {
            Onset::Start => true,
            Onset::Minute(from) => *minute >= from,
            Onset::Weight(from) => weight >= from - 1e-9,
        };
        let canary_rate =
            if bad { setting.canary_rate * errors + setting.excess } else { setting.baseline_rate * errors };
        let mut x_b = baseline.failures(rng, n_b, setting.baseline_rate * errors);
        let mut x_c = canary.failures(rng, n_c, canary_rate);
        let now = *minute;
        if let Some(burst) = setting.burst.filter(|burst| (burst.from..burst.from + burst.minutes).contains(&now)) {
            x_b += binomial(rng, n_b - x_b, burst.baseline);
            x_c += binomial(rng, n_c - x_c, burst.canary);
        }
        *minute += 1.0;
        Stratum { n_c, x_c, n_b, x_b }
    }
}

/// What the old version did before the rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    pub minutes: u32,
    /// Its traffic, as a part of the rollout's.
    pub traffic: f64,
    pub incidents: Vec<Incident>,
}

/// A time of more failures: this many minutes before the rollout, for so long, this share of the requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Incident {
    pub before: u32,
    pub minutes: u32,
    pub rate: f64,
}

impl Past {
    pub fn hours(hours: u32) -> Self {
        Self { minutes: hours * 60, traffic: 1.0, incidents: Vec::new() }
    }

    /// Requests and failures of the old version alone, oldest first. It has the texture of the rollout's baseline.
    pub fn play(&self, rollout: &Rollout, rng: &mut Rng) -> Vec<(f64, f64)> {
        let mut version = Version::new(rollout.baseline);
        let minutes = (1..=self.minutes).rev();
        minutes
            .map(|before| {
                let (traffic, errors) = Drift::Daily.at(-f64::from(before));
                let n = poisson(rng, rollout.per_second * 60.0 * traffic * self.traffic);
                let x = version.failures(rng, n, rollout.baseline_rate * errors);
                let incident =
                    |it: &&Incident| (it.before.saturating_sub(it.minutes)..it.before).contains(&(before - 1));
                match self.incidents.iter().find(incident) {
                    Some(incident) => (n, x + binomial(rng, n - x, incident.rate)),
                    None => (n, x),
                }
            })
            .collect()
    }
}
