//! Rank tests of two samples, as R's `wilcox.test` computes them: Mann-Whitney with ties and continuity correction, and the
//! Hodges-Lehmann shift with its interval.
//!
//! They are valid for one look. Who looks every minute and stops at the first small value is wrong far more often than
//! the number says, so nothing here decides about a rollout: it is for a report at the end, and a yardstick.
//!
//! Source: R 4.2, `stats/R/wilcox.test.R` and `zeroin.c` (Brent, *Algorithms for Minimization without Derivatives*, 1973).

use statrs::function::erf::{erfc, erfc_inv};

/// How the null distribution is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Null {
    /// By counting, for samples without ties. With ties, or with [`EXACT_SIZE`] values or more, the normal
    /// approximation with continuity correction takes its place, as in R.
    Exact,
    /// By the normal approximation, corrected for ties.
    Normal {
        /// Half a rank towards the middle.
        continuity: bool,
    },
}

/// From this many values in a sample on, counting would take long and change nothing.
pub const EXACT_SIZE: usize = 50;

/// A test's statistic and how probable one as far out is without a difference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankTest {
    /// Pairs in which `x` is larger, ties as one half.
    pub statistic: f64,
    pub two_sided: f64,
    /// Against "x is larger".
    pub greater: f64,
    /// Against "x is smaller".
    pub less: f64,
}

/// By how much the first sample is larger, with its confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    pub estimate: f64,
    pub lower: f64,
    pub upper: f64,
}

/// R's `tol.root`, by default.
pub const ROOT_TOLERANCE: f64 = 1e-4;

/// Mann-Whitney's U, also known as Wilcoxon's rank sum. `None` for an empty sample and for values that are not finite.
#[must_use]
pub fn mann_whitney(x: &[f64], y: &[f64], null: Null) -> Option<RankTest> {
    usable(x, y)?;
    let ranked = RankSum::of(x, y, 0.0);
    if let Some(counts) = exact_counts(x, y, null, &ranked) {
        return Some(exact_test(ranked.statistic, &counts));
    }
    Some(ranked.test(null != Null::Normal { continuity: false }))
}

/// The Hodges-Lehmann estimate of the shift and its interval at `level` (0.98), by root finding to `tolerance` where the
/// null is normal, as R does it. `None` as for [`mann_whitney`], and for a level that is not between 0 and 1.
#[must_use]
pub fn shift(x: &[f64], y: &[f64], level: f64, null: Null, tolerance: f64) -> Option<Shift> {
    usable(x, y)?;
    let tail = tail(level)?;
    if let Some(counts) = exact_counts(x, y, null, &RankSum::of(x, y, 0.0)) {
        return Some(exact_shift(x, y, tail, &counts));
    }
    let range = (least(x) - most(y), most(x) - least(y));
    let ranks = |d: f64| RankSum::of(x, y, d);
    Some(roots(range, tail, null != Null::Normal { continuity: false }, tolerance, ranks))
}

fn usable(x: &[f64], y: &[f64]) -> Option<()> {
    (!x.is_empty() && !y.is_empty() && x.iter().chain(y).all(|value| value.is_finite())).then_some(())
}

/// What may be wrong on either side of an interval.
fn tail(level: f64) -> Option<f64> {
    (level > 0.0 && level < 1.0).then_some((1.0 - level) / 2.0)
}

/// A sum of ranks with its mean and variance without a difference.
struct RankSum {
    statistic: f64,
    mean: f64,
    variance: f64,
    ties: bool,
}

impl RankSum {
    /// Of `x - shift` among `x - shift` and `y`.
    fn of(x: &[f64], y: &[f64], shift: f64) -> Self {
        let pooled: Vec<f64> = x.iter().map(|value| value - shift).chain(y.iter().copied()).collect();
        let (ranks, tied) = ranks(&pooled);
        let (n_x, n_y) = (size(x), size(y));
        let n = n_x + n_y;
        let statistic = ranks[..x.len()].iter().sum::<f64>() - n_x * (n_x + 1.0) / 2.0;
        let variance = n_x * n_y / 12.0 * ((n + 1.0) - tied / (n * (n - 1.0)));
        Self { statistic, mean: n_x * n_y / 2.0, variance, ties: tied > 0.0 }
    }

    fn test(&self, continuity: bool) -> RankTest {
        let off = self.statistic - self.mean;
        let half = if continuity { 0.5 } else { 0.0 };
        if self.variance <= 0.0 {
            // Everything is tied: nothing speaks for a difference.
            return RankTest { statistic: self.statistic, two_sided: 1.0, greater: 1.0, less: 1.0 };
        }
        let sigma = self.variance.sqrt();
        let z = self.z(continuity);
        RankTest {
            statistic: self.statistic,
            two_sided: (2.0 * upper(z).min(upper(-z))).min(1.0),
            greater: upper((off - half) / sigma),
            less: upper(-(off + half) / sigma),
        }
    }

    /// How many standard deviations off, two-sided.
    fn z(&self, continuity: bool) -> f64 {
        let off = self.statistic - self.mean;
        let half = if continuity && off.abs() > 0.0 { 0.5_f64.copysign(off) } else { 0.0 };
        if self.variance > 0.0 { (off - half) / self.variance.sqrt() } else { 0.0 }
    }
}

/// Mid-ranks from 1, and the sum of t^3 - t over groups of t equal values.
fn ranks(values: &[f64]) -> (Vec<f64>, f64) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let (mut tied, mut before) = (0.0, 0.0);
    // Zero and minus zero are equal, which `total_cmp` would deny.
    for group in order.chunk_by(|a, b| values[*a] >= values[*b]) {
        let count = size(group);
        group.iter().for_each(|index| ranks[*index] = before + (count + 1.0) / 2.0);
        before += count;
        tied += count * count * count - count;
    }
    (ranks, tied)
}

/// Samples have far fewer than 2^53 values, so the cast is exact.
#[allow(clippy::cast_precision_loss)]
fn size<T>(values: &[T]) -> f64 {
    values.len() as f64
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// P(Z > z).
fn upper(z: f64) -> f64 {
    0.5 * erfc(z / std::f64::consts::SQRT_2)
}

/// The z with P(Z > z) = p.
fn upper_quantile(p: f64) -> f64 {
    std::f64::consts::SQRT_2 * erfc_inv(2.0 * p)
}

/// In how many of all arrangements U is 0, 1, 2 ...; `None` where the normal null is to be taken.
fn exact_counts(x: &[f64], y: &[f64], null: Null, ranked: &RankSum) -> Option<Vec<f64>> {
    let small = x.len() < EXACT_SIZE && y.len() < EXACT_SIZE;
    (null == Null::Exact && small && !ranked.ties).then(|| arrangements(x.len(), y.len()))
}

fn arrangements(n_x: usize, n_y: usize) -> Vec<f64> {
    let most = n_x * n_y;
    // ways[k][u]: k of x placed so far, with u pairs in which x is larger.
    let mut ways = vec![vec![0.0; most + 1]; n_x + 1];
    ways[0][0] = 1.0;
    for place in 0..n_x + n_y {
        for k in (1..=n_x.min(place + 1)).rev() {
            // As the k-th of x at this place, it has so many of y below it.
            let below = place + 1 - k;
            if below > n_y {
                continue;
            }
            let (less, more) = ways.split_at_mut(k);
            for u in below..=most {
                more[0][u] += less[k - 1][u - below];
            }
        }
    }
    ways.swap_remove(n_x)
}

fn exact_test(statistic: f64, counts: &[f64]) -> RankTest {
    // Without ties U is a whole number, at most the number of pairs.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let u = statistic.round() as usize;
    let all: f64 = counts.iter().sum();
    let less = counts[..=u].iter().sum::<f64>() / all;
    let greater = counts[u..].iter().sum::<f64>() / all;
    RankTest { statistic, two_sided: (2.0 * less.min(greater)).min(1.0), greater, less }
}

fn exact_shift(x: &[f64], y: &[f64], tail: f64, counts: &[f64]) -> Shift {
    let mut differences: Vec<f64> = x.iter().flat_map(|a| y.iter().map(move |b| a - b)).collect();
    differences.sort_by(f64::total_cmp);
    let all: f64 = counts.iter().sum();
    let mut sum = 0.0;
    let reaches = |count: &f64| {
        sum += count / all;
        sum >= tail - 10.0 * f64::EPSILON
    };
    let place = counts.iter().position(reaches).unwrap_or(0).max(1).min(differences.len());
    let (lower, upper) = (differences[place - 1], differences[differences.len() - place]);
    Shift { estimate: median(&differences), lower, upper }
}

/// Of sorted values.
fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) }
}

/// The shifts at which the test would be undecided, and where it would just not reject.
fn roots(range: (f64, f64), tail: f64, continuity: bool, tolerance: f64, ranks: impl Fn(f64) -> RankSum) -> Shift {
    let z = upper_quantile(tail);
    let at = |target: f64| root(range, tolerance, |d| ranks(d).z(continuity) - target);
    Shift { estimate: root(range, tolerance, |d| ranks(d).z(false)), lower: at(z), upper: at(-z) }
}

/// Iterations of [`root`], as in R's `uniroot`. A tolerance below what doubles can tell ends here at the latest.
const ITERATIONS: usize = 1001;

/// Where a falling function crosses zero, or the end of the range that is nearest to it. R's `zeroin`, step for step:
/// on the plateaus of a step function another path would end elsewhere.
fn root(range: (f64, f64), tolerance: f64, f: impl Fn(f64) -> f64) -> f64 {
    let (mut a, mut b) = range;
    let (mut f_a, mut f_b) = (f(a), f(b));
    if f_a <= 0.0 {
        return a;
    }
    if f_b >= 0.0 {
        return b;
    }
    let (mut c, mut f_c) = (a, f_a);
    for _ in 0..ITERATIONS {
        let before = b - a;
        if f_c.abs() < f_b.abs() {
            (a, b, c) = (b, c, b);
            (f_a, f_b, f_c) = (f_b, f_c, f_b);
        }
        let enough = 2.0 * f64::EPSILON * b.abs() + tolerance / 2.0;
        let halfway = (c - b) / 2.0;
        if halfway.abs() <= enough || f_b.abs() <= 0.0 {
            break;
        }
        let guess = Points { a, b, c, f_a, f_b, f_c }.interpolated(before, enough);
        let step = guess.unwrap_or(halfway);
        (a, f_a) = (b, f_b);
        b += if step.abs() < enough { enough.copysign(step) } else { step };
        f_b = f(b);
        if (f_b > 0.0 && f_c > 0.0) || (f_b < 0.0 && f_c < 0.0) {
            (c, f_c) = (a, f_a);
        }
    }
    b
}

/// The last three points of [`root`]: the one before, the best, and the one on the other side.
struct Points {
    a: f64,
    b: f64,
    c: f64,
    f_a: f64,
    f_b: f64,
    f_c: f64,
}

impl Points {
    /// A step by a line or an inverse parabola, where it may be trusted.
    #[allow(clippy::float_cmp, reason = "a and c are copies of each other or they are not")]
    fn interpolated(&self, before: f64, enough: f64) -> Option<f64> {
        let Self { a, b, c, f_a, f_b, f_c } = *self;
        if before.abs() < enough || f_a.abs() <= f_b.abs() {
            return None;
        }
        let ahead = c - b;
        let (mut p, mut q);
        if a == c {
            let t = f_b / f_a;
            (p, q) = (ahead * t, 1.0 - t);
        } else {
            let (s, t, u) = (f_a / f_c, f_b / f_c, f_b / f_a);
            p = u * (ahead * s * (s - t) - (b - a) * (t - 1.0));
            q = (s - 1.0) * (t - 1.0) * (u - 1.0);
        }
        if p > 0.0 {
            q = -q
        } else {
            p = -p
        }
        let safe = p < 0.75 * ahead * q - (enough * q).abs() / 2.0 && p < (before * q / 2.0).abs();
        safe.then(|| p / q)
    }
}

#[cfg(test)]
mod tests;
