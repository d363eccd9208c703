//! A second, independent way to the same conclusion as [`super::HarmProcess`], to check it against: the sequential
//! Cochran-Mantel-Haenszel test with a gamma-Poisson mixture.

use statrs::function::gamma::ln_gamma;

use super::Stratum;

/// The numerator of the CMH test and its hypergeometric variance, over all minutes so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct SequentialCmh {
    pub sum: f64,
    pub variance: f64,
}

impl SequentialCmh {
    pub fn observe(&mut self, minute: &Stratum) {
        let (rho, m, n) = (minute.canary_share(), minute.events(), minute.n_c + minute.n_b);
        self.sum += minute.x_c - m * rho;
        self.variance += m * rho * (1.0 - rho) * (n - m) / (n - 1.0);
    }

    pub fn ln_e(&self) -> f64 {
        gamma_poisson_ln_e(self.sum, self.variance, one_sided_rho(10.0), 1.0)
    }
}

/// The mixture's prior precision that makes the bound tightest at variance `v_opt`.
pub fn one_sided_rho(v_opt: f64) -> f64 {
    let twice = 2.0 * (1.0_f64 / (2.0 * 0.05)).ln();
    v_opt / (twice + twice.ln_1p())
}

/// ln of the mixture of exp(lambda s - v (e^(c lambda) - 1 - c lambda) / c^2).
pub fn gamma_poisson_ln_e(s: f64, v: f64, kappa: f64, c: f64) -> f64 {
    let (kappa, v, s) = (kappa / (c * c), v / (c * c), s / c);
    let a = s + v + kappa;
    kappa * kappa.ln() - ln_gamma(kappa) - ln_gamma_ur(kappa, kappa) + ln_gamma(a) + ln_gamma_ur(a, v + kappa)
        - a * (v + kappa).ln()
        + v
}

/// ln of the regularised upper incomplete gamma function. The library's own gamma_ur underflows to 0 in the tail.
pub fn ln_gamma_ur(a: f64, x: f64) -> f64 {
    let ln_front = a * x.ln() - x - ln_gamma(a);
    if x < a + 1.0 {
        let (mut term, mut sum, mut k) = (1.0 / a, 1.0 / a, a);
        while term > sum * 1e-17 {
            k += 1.0;
            term *= x / k;
            sum += term;
        }
        return (-(ln_front + sum.ln()).exp()).ln_1p();
    }
    let fraction = (1..=2000).rev().map(f64::from).fold(0.0, |tail, k| {
        let b = x + 2.0 * k + 1.0 - a;
        k * (a - k) / (b + tail)
    });
    ln_front - (x + 1.0 - a + fraction).ln()
}
