//! Draws that `Rng` does not have itself.

use coalmine_core::sim::rng::Rng;

/// Standard normal, by the polar method of Marsaglia; the second draw is thrown away, which keeps this without state.
pub fn normal(rng: &mut Rng) -> f64 {
    loop {
        let (u, v) = (2.0 * rng.uniform() - 1.0, 2.0 * rng.uniform() - 1.0);
        let s = u * u + v * v;
        if s > 0.0 && s < 1.0 {
            return u * (-2.0 * s.ln() / s).sqrt();
        }
    }
}

/// Gamma with this shape and mean 1; Marsaglia and Tsang 2000.
pub fn gamma_of_mean_one(rng: &mut Rng, shape: f64) -> f64 {
    if shape < 1.0 {
        // A shape below 1 by the usual boost.
        let boosted = gamma(rng, shape + 1.0) * (1.0 - rng.uniform()).powf(1.0 / shape);
        return boosted / shape;
    }
    gamma(rng, shape) / shape
}

fn gamma(rng: &mut Rng, shape: f64) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(rng);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && (1.0 - rng.uniform()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// Geometric on 1, 2, ... with this mean.
pub fn geometric(rng: &mut Rng, mean: f64) -> f64 {
    if mean <= 1.0 {
        return 1.0;
    }
    1.0 + ((1.0 - rng.uniform()).ln() / (1.0 - 1.0 / mean).ln()).floor()
}

/// Upper tail of the standard normal distribution.
pub fn normal_tail(z: f64) -> f64 {
    0.5 * statrs::function::erf::erfc(z / std::f64::consts::SQRT_2)
}

/// As [`Rng::poisson`], as a number.
#[allow(clippy::cast_precision_loss, reason = "counts of a minute are far below 2^53")]
pub fn poisson(rng: &mut Rng, mean: f64) -> f64 {
    rng.poisson(mean) as f64
}

/// As [`Rng::binomial`], in numbers.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole counts")]
pub fn binomial(rng: &mut Rng, trials: f64, probability: f64) -> f64 {
    rng.binomial(trials as u64, probability) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_their_mean_and_variance() {
        let mut rng = Rng::new(3);
        let mut check = |what: &str, mean: f64, variance: f64, draw: &mut dyn FnMut(&mut Rng) -> f64| {
            let draws: Vec<f64> = (0..40_000).map(|_| draw(&mut rng)).collect();
            let seen = draws.iter().sum::<f64>() / 40_000.0;
            let scatter = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 40_000.0;
            assert!((seen - mean).abs() < 5.0 * (variance / 40_000.0).sqrt(), "{what}: mean {seen}, not {mean}");
            assert!((scatter / variance - 1.0).abs() < 0.12, "{what}: variance {scatter}, not {variance}");
        };
        check("normal", 0.0, 1.0, &mut normal);
        for cv in [0.2, 0.5, 1.5_f64] {
            check(&format!("gamma {cv}"), 1.0, cv * cv, &mut |rng| gamma_of_mean_one(rng, 1.0 / (cv * cv)));
        }
        for mean in [3.0, 10.0] {
            check(&format!("geometric {mean}"), mean, mean * (mean - 1.0), &mut |rng| geometric(rng, mean));
        }
    }
}
