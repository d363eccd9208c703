//! Clusters told from noise: the scatter of clusters is the same at any traffic, that of noise grows with it.

use super::dispersion::{Difference, Regression, variance};

/// Second differences of an hour, summed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Group {
    pub square: f64,
    pub expected: f64,
    pub exposure: f64,
    pub differences: f64,
}

impl Group {
    pub fn plus(self, difference: Difference) -> Self {
        Self {
            square: self.square + difference.square,
            expected: self.expected + difference.expected,
            exposure: self.exposure + difference.exposure,
            differences: self.differences + 1.0,
        }
    }
}

/// Weighted sums of a line's fit.
#[derive(Debug, Default)]
struct Sums {
    w: f64,
    wh: f64,
    whh: f64,
    wf: f64,
    whf: f64,
}

impl Regression {
    /// Upper end of the dispersion at `h` events per minute.
    pub(super) fn upper(&self, h: f64, z: f64) -> f64 {
        let [clusters, both, noise] = self.covariance;
        let doubt = (clusters + 2.0 * both * h + noise * h * h).max(0.0).sqrt();
        (self.clusters + self.noise * h).max(1.0) + z * doubt
    }
}

/// Weighted least squares of the groups' dispersion on their exposure per minute: the weights begin with a constant
/// dispersion and are computed anew once. `None` where nothing can be fitted.
pub(super) fn fit(groups: &[Group], minutes: f64, constant: f64) -> Option<Regression> {
    let mut fitted = Regression { clusters: constant, noise: 0.0, covariance: [0.0; 3] };
    for _ in 0..2 {
        fitted = refined(groups, minutes, &fitted)?;
    }
    Some(fitted)
}

fn refined(groups: &[Group], minutes: f64, before: &Regression) -> Option<Regression> {
    let usable = groups.iter().filter(|group| group.expected > 0.0);
    let mut sums = Sums::default();
    for group in usable.clone() {
        let (f, h) = (group.square / group.expected, group.exposure / group.differences / minutes);
        let q = (before.clusters + before.noise * h).max(1.0);
        let w = 1.0 / (q * q * variance(q, group.expected, group.differences));
        sums.w += w;
        sums.wh += w * h;
        sums.whh += w * h * h;
        sums.wf += w * f;
        sums.whf += w * h * f;
    }
    let Sums { w, wh, whh, wf, whf } = sums;
    let determinant = (w * whh - wh * wh).max(1e-12 * w * whh);
    let (mut noise, mut clusters) = ((w * whf - wh * wf) / determinant, (whh * wf - wh * whf) / determinant);
    if clusters < 1.0 {
        clusters = 1.0;
        noise = (whf - wh) / whh;
    }
    if noise < 0.0 {
        noise = 0.0;
        clusters = (wf / w).max(1.0);
    }
    let covariance = [whh / determinant, -wh / determinant, w / determinant];
    let finite = [clusters, noise].iter().chain(&covariance).all(|value| value.is_finite());
    finite.then_some(Regression { clusters, noise, covariance })
}
