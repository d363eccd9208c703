//! Against R's and scipy's values, and by counting.

use serde_json::Value;

use super::*;

/// As in the vectors' calls.
const FINE: f64 = 1e-13;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn ranks_agree_with_r_and_scipy() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("vectors.json")).unwrap();
    assert_eq!(vectors.len(), 15);
    for vector in &vectors {
        let id = vector["id"].as_str().unwrap();
        let [rtol, atol] = ["rtol", "atol"].map(|key| vector[key].as_f64().unwrap());
        let computed = computed(vector);
        let expected = vector["expected"].as_object().unwrap();
        assert_eq!(computed.len(), expected.len(), "{id}: nothing is left out");
        for (key, ours) in computed {
            let theirs = expected[key].as_f64().unwrap();
            assert!((ours - theirs).abs() <= atol + rtol * theirs.abs(), "{id}: {key} is {ours}, not {theirs}");
        }
    }
}

fn computed(vector: &Value) -> Vec<(&'static str, f64)> {
    let [x, y] = ["x", "y"].map(|key| numbers(&vector["input"][key]));
    let call = vector["call"].as_str().unwrap();
    let exact = call.contains("exact=TRUE") || call.contains("'exact'");
    let null = if exact { Null::Exact } else { Null::Normal { continuity: !call.contains("'use_continuity': False") } };
    let test = mann_whitney(&x, &y, null).unwrap();
    if call.contains("greater") {
        return vec![("U", test.statistic), ("p", test.greater)];
    }
    let shift = shift(&x, &y, 0.98, null, FINE).unwrap();
    [("U", test.statistic), ("p", test.two_sided)].into_iter().chain(limits(shift)).collect()
}

fn limits(shift: Shift) -> [(&'static str, f64); 3] {
    [("hl", shift.estimate), ("lo", shift.lower), ("hi", shift.upper)]
}

/// Every way to choose which of the pooled ranks are x's.
#[test]
fn exact_counts_are_all_arrangements() {
    for (n_x, n_y) in [(1, 1), (1, 5), (3, 4), (5, 3), (6, 6)] {
        let mut counted = vec![0.0; n_x * n_y + 1];
        for chosen in 0_u32..1 << (n_x + n_y) {
            if chosen.count_ones() as usize == n_x {
                let is_x = |place: &usize| chosen >> place & 1 == 1;
                let places: Vec<usize> = (0..n_x + n_y).filter(is_x).collect();
                let larger: usize = places.iter().map(|place| (0..*place).filter(|p| !is_x(p)).count()).sum();
                counted[larger] += 1.0;
            }
        }
        assert_eq!(arrangements(n_x, n_y), counted, "{n_x} and {n_y}");
    }
}

/// Where both nulls are possible they are close, and the sides mirror each other.
#[test]
fn swapping_the_samples_swaps_the_sides() {
    let x: Vec<f64> = (0..40).map(|i| f64::from((i * 37) % 101)).collect();
    let y: Vec<f64> = (0..45).map(|i| f64::from((i * 53) % 97) + 0.5).collect();
    for null in [Null::Exact, Null::Normal { continuity: true }, Null::Normal { continuity: false }] {
        let (there, back) = (mann_whitney(&x, &y, null).unwrap(), mann_whitney(&y, &x, null).unwrap());
        assert!((there.greater - back.less).abs() < 1e-12);
        assert!((there.two_sided - back.two_sided).abs() < 1e-12);
        assert!((there.statistic + back.statistic - 1800.0).abs() < 1e-12);
        let (there, back) = (shift(&x, &y, 0.9, null, 1e-9).unwrap(), shift(&y, &x, 0.9, null, 1e-9).unwrap());
        assert!((there.lower + back.upper).abs() < 1e-6, "{there:?} {back:?}");
        assert!(there.lower <= there.estimate && there.estimate <= there.upper);
    }
    let [exact, normal] =
        [Null::Exact, Null::Normal { continuity: true }].map(|null| mann_whitney(&x, &y, null).unwrap());
    assert!((exact.two_sided - normal.two_sided).abs() < 0.01, "{exact:?} {normal:?}");
}

#[test]
fn what_cannot_be_ranked_has_no_result() {
    for (x, y) in
        [(vec![], vec![1.0]), (vec![1.0], vec![]), (vec![f64::NAN], vec![1.0]), (vec![1.0], vec![f64::INFINITY])]
    {
        assert_eq!(mann_whitney(&x, &y, Null::Exact), None);
        assert_eq!(shift(&x, &y, 0.95, Null::Exact, ROOT_TOLERANCE), None);
    }
    for level in [0.0, 1.0, -1.0, f64::NAN] {
        assert_eq!(shift(&[1.0], &[2.0], level, Null::Exact, ROOT_TOLERANCE), None);
    }
}

/// All equal: no evidence of anything, and no division by a variance of zero.
#[test]
fn equal_values_say_nothing() {
    for null in [Null::Exact, Null::Normal { continuity: true }] {
        let test = mann_whitney(&[2.0; 5], &[2.0; 7], null).unwrap();
        assert!([test.two_sided, test.greater, test.less].iter().all(|p| *p >= 1.0), "{test:?}");
        let shift = shift(&[2.0; 5], &[1.0; 7], 0.95, null, ROOT_TOLERANCE).unwrap();
        assert_eq!((shift.estimate, shift.lower, shift.upper), (1.0, 1.0, 1.0));
    }
    // Minus zero is zero.
    let zeros = mann_whitney(&[0.0, -0.0], &[-0.0, 0.0], Null::Exact).unwrap();
    assert!((zeros.statistic - 2.0).abs() < 1e-12);
}
