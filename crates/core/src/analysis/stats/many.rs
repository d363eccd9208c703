//! Logarithms and exponentials of many numbers at once.
//!
//! A minute is a hundred of them, and a library's function takes one number a call. Nothing here branches, so the compiler
//! works on as many numbers at once as the processor does, in plain Rust and with the same result on each of them. The
//! methods and coefficients are those of FDLIBM's `e_log.c` and `e_exp.c` (Sun Microsystems 1993), which are right to
//! about one unit in the last place.

/// ln 2, in two parts: the first has so few digits that a product with an exponent is exact.
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// No power of e beyond it, either way, is a number with all its digits.
const MOST: f64 = 700.0;

/// Replaces every number by the logarithm of one plus it. All are above -1 and finite.
#[inline]
pub(super) fn ln_1p_all(values: &mut [f64]) {
    values.iter_mut().for_each(|value| *value = ln_1p(*value));
}

/// Replaces every ratio by its logarithm. A ratio `a / b` is given as `(a - b) / min(a, b)`, with which neither ratios close to
/// 1 lose digits nor small ones.
#[inline]
pub(super) fn ln_ratio_all(ratios: &mut [f64]) {
    ratios.iter_mut().for_each(|ratio| *ratio = ln_1p(ratio.abs()).copysign(*ratio));
}

/// Replaces every number by e to its power. Those beyond -700 and 700 are taken to be that.
#[inline]
pub(super) fn exp_all(values: &mut [f64]) {
    values.iter_mut().for_each(|value| *value = exp(*value));
}

/// Of a number above -1: 1 plus it is 2^k (1 + f), with 1 + f between the roots of one half and two.
#[inline]
fn ln_1p(value: f64) -> f64 {
    const ROOT_OF_A_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    let sum = 1.0 + value;
    let bits = sum.to_bits();
    let exponent = bits.wrapping_sub(ROOT_OF_A_HALF) & 0xfff0_0000_0000_0000;
    let f = f64::from_bits(bits.wrapping_sub(exponent)) - 1.0;
    // What was rounded off, over the sum: so little that 1 - f is as good as 1 / (1 + f).
    let lost = (value - (sum - 1.0)) * f64::from_bits(1_f64.to_bits().wrapping_sub(exponent)) * (1.0 - f);
    let k = power_of_two(exponent);
    let s = f / (2.0 + f);
    let (z, w) = (s * s, (s * s) * (s * s));
    let odd = z * (0.666_666_666_666_673_5 + w * (0.285_714_287_436_623_9 + w * of_odd(w)));
    let even = w * (0.399_999_999_994_094_2 + w * (0.222_221_984_321_497_84 + w * 0.153_138_376_992_093_73));
    let half_square = 0.5 * f * f;
    k * LN_2_HIGH - ((half_square - (s * (half_square + (odd + even)) + (k * LN_2_LOW + lost))) - f)
}

#[inline]
fn of_odd(w: f64) -> f64 {
    0.181_835_721_616_180_5 + w * 0.147_981_986_051_165_86
}

/// The signed number in the twelve highest bits. Processors have no conversion of several of them at once, so it is put
/// into the digits of a number of known size.
#[inline]
fn power_of_two(bits: u64) -> f64 {
    const BIASED: u64 = 1 << 11;
    const SIZE: f64 = 4_503_599_627_370_496.0;
    let digits = (bits >> 52).wrapping_add(BIASED) & 0xfff;
    f64::from_bits(digits | SIZE.to_bits()) - (SIZE + 2048.0)
}

/// 2^k e^r with r at most half of ln 2.
#[inline]
fn exp(value: f64) -> f64 {
    /// Added to a number and taken away again, it leaves the nearest whole one, whose digits are the lowest of the sum.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let value = value.clamp(-MOST, MOST);
    let shifted = value * std::f64::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let (high, low) = (value - k * LN_2_HIGH, k * LN_2_LOW);
    let r = high - low;
    let t = r * r;
    let tail = -2.777_777_777_701_559_3e-3
        + t * (6.613_756_321_437_934e-5 + t * (-1.653_390_220_546_525_2e-6 + t * 4.138_136_797_057_238_5e-8));
    let c = r - t * (0.166_666_666_666_666_02 + t * tail);
    let power = 1.0 - ((low - r * c / (2.0 - c)) - high);
    f64::from_bits(power.to_bits().wrapping_add(shifted.to_bits() << 52))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ways, over all sizes and both signs.
    fn numbers(smallest: i32, largest: i32) -> Vec<f64> {
        let sizes =
            (smallest..largest).flat_map(|power| (0..97).map(move |k| (1.0 + f64::from(k) / 97.0) * 2_f64.powi(power)));
        sizes.flat_map(|size| [size, -size]).collect()
    }

    fn differs_by_most(found: &[f64], expected: impl Iterator<Item = f64>) -> f64 {
        let one = |(found, expected): (&f64, f64)| ((found - expected) / expected).abs();
        found.iter().zip(expected).map(one).fold(0.0, f64::max)
    }

    #[test]
    fn logarithms_are_those_of_the_standard_library() {
        let arguments: Vec<f64> = numbers(-80, 60).into_iter().filter(|value| *value > -0.999_999).collect();
        let mut found = arguments.clone();
        ln_1p_all(&mut found);
        let differs = differs_by_most(&found, arguments.iter().map(|value| value.ln_1p()));
        assert!(differs < 5e-16, "{differs}");
        let mut none = [0.0];
        ln_1p_all(&mut none);
        assert!(none[0].abs() < f64::MIN_POSITIVE);
    }

    #[test]
    fn ratios_keep_their_digits_wherever_they_are() {
        let cases =
            [(1e-15, 0.3), (0.3, 1e-15), (0.010_000_000_1, 0.01), (0.01, 0.010_000_000_1), (2.0, 1.0), (5.0, 5.0)];
        let mut found = cases.map(|(a, b): (f64, f64)| (a - b) / a.min(b));
        ln_ratio_all(&mut found);
        // The logarithm of a ratio close to 1 is told by its difference from 1.
        let expected = cases
            .map(|(a, b): (f64, f64)| if (a / b - 1.0).abs() < 0.1 { ((a - b) / b).ln_1p() } else { (a / b).ln() });
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-15 * expected.abs(), "{found} {expected}");
        }
    }

    #[test]
    fn exponentials_are_those_of_the_standard_library() {
        let arguments: Vec<f64> = numbers(-60, 10).into_iter().filter(|value| value.abs() <= MOST).collect();
        let mut found = arguments.clone();
        exp_all(&mut found);
        let differs = differs_by_most(&found, arguments.iter().map(|value| value.exp()));
        assert!(differs < 5e-16, "{differs}");
        let mut ends = [0.0, -1e9, 1e9, f64::NEG_INFINITY, f64::INFINITY];
        exp_all(&mut ends);
        let expected = [1.0, (-MOST).exp(), MOST.exp(), (-MOST).exp(), MOST.exp()];
        assert!(differs_by_most(&ends, expected.into_iter()) < 5e-16, "{ends:?}");
    }
}
