//! Kayenta's judge, written anew from what its source does (spinnaker/kayenta, `NetflixACAJudge` and what it uses): the
//! yardstick that most people know. Its own test vectors are the tests.

use coalmine_core::sim::rng::Rng;

use crate::chance::normal;

/// What Kayenta calls a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Pass,
    High,
    Low,
    NoData,
    /// Missing, and the configuration says that it must not be.
    NoDataFail,
    /// Nothing can be computed: all values are the same.
    Error,
}

/// A metric's configuration.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    pub tolerance: f64,
    pub confidence: f64,
    /// Mean ratios beyond which a difference counts, downwards and upwards.
    pub allowed: (f64, f64),
    pub critical: (f64, f64),
    /// The common-language effect size in place of the mean ratio.
    pub cles: bool,
    pub increase: bool,
    pub decrease: bool,
    pub is_critical: bool,
    pub data_required: bool,
    /// Missing values count as 0 instead of being left out.
    pub replace_nan: bool,
}

/// What the judge uses where nothing is configured, for a metric that must not rise.
pub const ERRORS: Config = Config {
    tolerance: 0.25,
    confidence: 0.98,
    allowed: (1.0, 1.0),
    critical: (1.0, 1.0),
    cles: false,
    increase: true,
    decrease: false,
    is_critical: false,
    data_required: false,
    replace_nan: false,
};

/// A class, whether the whole canary fails for it, and the ratio of the means that is reported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    pub class: Class,
    pub critical: bool,
    pub deviation: f64,
}

/// A metric that must not rise, by default settings.
pub fn judge(canary: &[f64], baseline: &[f64]) -> Class {
    classify(canary, baseline, &ERRORS).class
}

/// The Mann-Whitney classifier.
pub fn classify(canary: &[f64], baseline: &[f64], config: &Config) -> Verdict {
    let (canary, baseline) = (without_nan(canary, config.replace_nan), without_nan(baseline, config.replace_nan));
    if canary.is_empty() || baseline.is_empty() {
        let class = match (config.replace_nan, config.data_required && !config.is_critical) {
            (true, _) => Class::Pass,
            (false, true) => Class::NoDataFail,
            (false, false) => Class::NoData,
        };
        return Verdict { class, critical: class == Class::NoData && config.is_critical, deviation: 1.0 };
    }
    let (sorted_canary, sorted_baseline) = (sorted(&canary), sorted(&baseline));
    let one_value = same(&sorted_canary) && same(&sorted_baseline) && equal(canary[0], baseline[0]);
    if one_value || sorted_canary == sorted_baseline {
        return Verdict { class: Class::Pass, critical: false, deviation: 1.0 };
    }
    let degenerate = same(&sorted_canary) && same(&sorted_baseline);
    let (canary, baseline) =
        if degenerate { (with_noise(&canary, 1), with_noise(&baseline, 2)) } else { (canary, baseline) };
    let deviation = mean_ratio(&canary, &baseline);
    let effect = if config.cles { cles(&canary, &baseline) } else { deviation };
    let Some(found) = confidence_interval(&canary, &baseline, config.confidence) else {
        return Verdict { class: Class::Error, critical: config.is_critical, deviation };
    };
    let enough = config.tolerance * found.estimate.abs();
    // An effect that cannot be computed is not asked about.
    let high = config.increase && found.lower > enough && (effect.is_nan() || effect >= config.allowed.1);
    let low = config.decrease && found.upper < -enough && (effect.is_nan() || effect <= config.allowed.0);
    let beyond = (high && (effect.is_nan() || effect >= config.critical.1))
        || (!high && low && (effect.is_nan() || effect <= config.critical.0));
    let class = if high {
        Class::High
    } else if low {
        Class::Low
    } else {
        Class::Pass
    };
    Verdict { class, critical: config.is_critical && beyond, deviation }
}

/// The other classifier: by the means alone.
#[cfg(test)]
pub fn mean_inequality(canary: &[f64], baseline: &[f64]) -> Class {
    let (canary, baseline) = (mean(canary), mean(baseline));
    if canary > baseline {
        Class::High
    } else if canary < baseline {
        Class::Low
    } else {
        Class::Pass
    }
}

/// How much larger the canary's values are.
#[derive(Debug, Clone, Copy)]
pub struct Shift {
    pub lower: f64,
    pub upper: f64,
    /// Hodges and Lehmann's.
    pub estimate: f64,
}

/// Limits of the shift by the normal approximation with ties and continuity, found as R's `wilcox.test` finds them, with
/// the coarse root of Kayenta: to an absolute 1e-4, whatever the unit. `None` when all values are tied somewhere.
pub fn confidence_interval(canary: &[f64], baseline: &[f64], level: f64) -> Option<Shift> {
    let scores = Scores { x: sorted(canary), y: sorted(baseline) };
    let z = normal_quantile((1.0 - level) / 2.0);
    let lower = scores.limit(-z)?;
    let upper = scores.limit(z)?;
    let (from, to) = scores.range();
    let estimate = root(from, to, |mu| scores.at(mu, 0.0))?;
    Some(Shift { lower, upper, estimate })
}

/// Both samples, sorted.
#[derive(Debug)]
pub struct Scores {
    pub x: Vec<f64>,
    pub y: Vec<f64>,
}

impl Scores {
    /// Smallest and largest difference of two values.
    pub fn range(&self) -> (f64, f64) {
        (self.x[0] - self.y[self.y.len() - 1], self.x[self.x.len() - 1] - self.y[0])
    }

    fn limit(&self, z: f64) -> Option<f64> {
        let (from, to) = self.range();
        if self.at(from, z)? <= 0.0 {
            Some(from)
        } else if self.at(to, z)? >= 0.0 {
            Some(to)
        } else {
            root(from, to, |mu| self.at(mu, z))
        }
    }

    /// The standardised rank sum of `x - mu` among `y`, less `z`. `None` when all are tied.
    #[allow(clippy::cast_precision_loss, reason = "numbers of minutes")]
    pub fn at(&self, mu: f64, z: f64) -> Option<f64> {
        let (n, m) = (self.x.len() as f64, self.y.len() as f64);
        let (mut i, mut j, mut before, mut ranks, mut ties) = (0, 0, 0.0, 0.0, 0.0);
        while i < self.x.len() || j < self.y.len() {
            let x = self.x.get(i).map(|x| x - mu);
            let y = self.y.get(j).copied();
            let value = x.unwrap_or(f64::INFINITY).min(y.unwrap_or(f64::INFINITY));
            let of_x = self.x[i..].iter().take_while(|x| equal(**x - mu, value)).count();
            let of_y = self.y[j..].iter().take_while(|y| equal(**y, value)).count();
            let tied = (of_x + of_y) as f64;
            ranks += of_x as f64 * (before + (tied + 1.0) / 2.0);
            ties += tied.powi(3) - tied;
            before += tied;
            (i, j) = (i + of_x, j + of_y);
        }
        let d = ranks - n * (n + 1.0) / 2.0 - n * m / 2.0;
        let sigma = (n * m / 12.0 * (n + m + 1.0 - ties / ((n + m) * (n + m - 1.0)))).sqrt();
        let correction = if d == 0.0 { 0.0 } else { 0.5 * d.signum() };
        (sigma > 0.0).then(|| (d - correction) / sigma - z)
    }
}

/// A zero of `f` between `a` and `b`, by Brent's method (Algorithms for Minimization without Derivatives, 1973, chapter
/// 4), to an absolute 1e-4: coarse, but the yardstick's own choice, and on error rates it matters.
fn root(from: f64, to: f64, f: impl Fn(f64) -> Option<f64>) -> Option<f64> {
    let mut older = (from, f(from)?);
    let mut best = (to, f(to)?);
    if older.1 == 0.0 {
        return Some(older.0);
    }
    // The third point is on the other side of the zero.
    let mut other = older;
    for _ in 0..=1000 {
        let last_step = best.0 - older.0;
        if other.1.abs() < best.1.abs() {
            (older, best) = (best, other);
            other = older;
        }
        let precision = 2.0 * f64::EPSILON * best.0.abs() + 0.5e-4;
        let half = (other.0 - best.0) / 2.0;
        if half.abs() <= precision || best.1 == 0.0 {
            break;
        }
        let interpolated = (last_step.abs() >= precision && older.1.abs() > best.1.abs())
            .then(|| interpolate(older, best, other))
            .filter(|(p, q)| *p < 0.75 * (other.0 - best.0) * q - (precision * q).abs() / 2.0)
            .filter(|(p, q)| *p < (last_step * q / 2.0).abs());
        let step = interpolated.map_or(half, |(p, q)| p / q);
        let step = if step.abs() < precision { precision.copysign(step) } else { step };
        older = best;
        best = (best.0 + step, f(best.0 + step)?);
        if (best.1 > 0.0) == (other.1 > 0.0) && best.1 != 0.0 && other.1 != 0.0 {
            other = older;
        }
    }
    Some(best.0)
}

/// The step as `p / q` with `p` not negative: the secant's, or the inverse parabola's through three points.
fn interpolate(older: (f64, f64), best: (f64, f64), other: (f64, f64)) -> (f64, f64) {
    let width = other.0 - best.0;
    let (p, q) = if equal(older.0, other.0) {
        let ratio = best.1 / older.1;
        (width * ratio, 1.0 - ratio)
    } else {
        let (q, r, s) = (older.1 / other.1, best.1 / other.1, best.1 / older.1);
        let p = s * (width * q * (q - r) - (best.0 - older.0) * (r - 1.0));
        (p, (q - 1.0) * (r - 1.0) * (s - 1.0))
    };
    if p > 0.0 { (p, -q) } else { (-p, q) }
}

pub fn normal_quantile(p: f64) -> f64 {
    use statrs::distribution::ContinuousCDF;
    statrs::distribution::Normal::standard().inverse_cdf(p)
}

/// NaN when either mean is 0.
pub fn mean_ratio(canary: &[f64], baseline: &[f64]) -> f64 {
    let (canary, baseline) = (mean(canary), mean(baseline));
    if canary == 0.0 || baseline == 0.0 { f64::NAN } else { canary / baseline }
}

/// Cohen's d with the pooled standard deviation.
#[cfg(test)]
#[allow(clippy::cast_precision_loss, reason = "numbers of minutes")]
pub fn cohen_d(canary: &[f64], baseline: &[f64]) -> f64 {
    let (n, m) = (canary.len() as f64, baseline.len() as f64);
    let squares = (n - 1.0) * deviation(canary).powi(2) + (m - 1.0) * deviation(baseline).powi(2);
    ((mean(canary) - mean(baseline)) / (squares / (n + m - 2.0)).sqrt()).abs()
}

/// How often a value of the canary is above one of the baseline; ties count half.
#[allow(clippy::cast_precision_loss, reason = "numbers of minutes")]
pub fn cles(canary: &[f64], baseline: &[f64]) -> f64 {
    let wins = |x: f64| {
        let above = |y: &f64| if equal(x, *y) { 0.5 } else { f64::from(u8::from(x > *y)) };
        baseline.iter().map(above).sum::<f64>()
    };
    canary.iter().map(|x| wins(*x)).sum::<f64>() / (canary.len() * baseline.len()) as f64
}

#[allow(clippy::cast_precision_loss, reason = "numbers of minutes")]
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// Standard deviation of a sample; 0 for fewer than two values.
#[cfg(test)]
#[allow(clippy::cast_precision_loss, reason = "numbers of minutes")]
pub fn deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64).sqrt()
}

fn without_nan(values: &[f64], replace: bool) -> Vec<f64> {
    if replace {
        values.iter().map(|x| if x.is_nan() { 0.0 } else { *x }).collect()
    } else {
        values.iter().copied().filter(|x| !x.is_nan()).collect()
    }
}

/// Constant data cannot be ranked; Kayenta adds noise of a hundred-thousandth.
fn with_noise(values: &[f64], seed: u64) -> Vec<f64> {
    let mut rng = Rng::new(seed);
    values.iter().map(|x| x + x.abs() * 1e-5 * normal(&mut rng)).collect()
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn same(sorted: &[f64]) -> bool {
    sorted.first().zip(sorted.last()).is_some_and(|(first, last)| equal(*first, *last))
}

/// Ties are exact.
#[allow(clippy::float_cmp, reason = "ties are exact")]
fn equal(a: f64, b: f64) -> bool {
    a == b
}

#[cfg(test)]
#[path = "kayenta_vectors.rs"]
mod vectors;
