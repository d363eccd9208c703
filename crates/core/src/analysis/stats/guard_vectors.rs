//! The guard's formulas against golden values, computed with 50 digits.

use serde_json::Value;

use super::contrast::{RecentRate, event_contrast};
use super::dispersion::{Difference, Scale};
use super::harm::THETAS;
use super::{Begins, CanaryScatter, Dispersion, Exposure, HarmNull, PastMinute, Restarts, Stratum, Z_HARM};

/// What is compared, ours and theirs.
pub(crate) type Pairs = Vec<(f64, f64)>;

pub(crate) fn file() -> Value {
    serde_json::from_str(include_str!("guard.json")).unwrap()
}

#[test]
fn the_guards_formulas_agree_with_their_golden_values() {
    let file = file();
    assert_eq!(numbers(&file["theta"]), THETAS);
    let mut compared = 0;
    for case in file["cases"].as_array().unwrap() {
        let pairs = match case["group"].as_str().unwrap() {
            "second_difference" => second_difference(&case["input"], &case["expected"]),
            "dispersion_model" => dispersion_model(&case["input"], &case["expected"]),
            "latency_score" => score(&case["input"], &case["expected"]),
            "contrast" => contrast(&case["input"], &case["expected"]),
            "predicted_rate" => predicted_rate(&case["input"], &case["expected"]),
            "canary_check" => canary_check(&case["input"], &case["expected"]),
            "tempered_eprocess" => tempered(&case["input"], &case["expected"]),
            // Those are decisions, which are not made here.
            "lane_a_decision" | "lane_b" => continue,
            group => panic!("no formula for {group}"),
        };
        assert_close(case, &pairs);
        compared += 1;
    }
    assert_eq!(compared, 23);
}

pub(crate) fn assert_close(case: &Value, pairs: &Pairs) {
    let (id, rtol) = (case["id"].as_str().unwrap(), number(&case["rtol"]));
    assert!(!pairs.is_empty(), "{id}: nothing compared");
    for (at, (ours, theirs)) in pairs.iter().enumerate() {
        assert!((ours - theirs).abs() <= rtol * theirs.abs(), "{id} {at}: {ours} instead of {theirs}");
    }
}

fn second_difference(input: &Value, expected: &Value) -> Pairs {
    let minutes = past(&input["n"], &input["x"]);
    let ours = Difference::of([minutes[0], minutes[1], minutes[2]], Exposure::Events);
    assert_eq!(ours.is_some(), expected["used"] == 1);
    let ours = ours.unwrap_or_default();
    let theirs = ["Y", "W", "M"].map(|key| number(&expected[key]));
    [ours.square, ours.expected, ours.exposure].into_iter().zip(theirs).collect()
}

fn dispersion_model(input: &Value, expected: &Value) -> Pairs {
    let minutes = past(&input["n"], &input["x"]);
    let (learned, aside) = Dispersion::learn(&minutes, Exposure::Events);
    assert_eq!(Some(aside.len() as u64), expected["hours_set_aside"].as_u64());
    assert_eq!(Some(u64::from(learned.scale_minutes)), expected["scale"].as_u64());
    let kept = without(&minutes, &aside);
    let finest = Scale::of(&kept, 1, Exposure::Events);
    let mut pairs = vec![
        (finest.factor, number(&expected["f_hat_1"])),
        (finest.spread, number(&expected["s_1"])),
        (learned.weight, number(&expected["W_1"])),
        (learned.upper(Z_HARM), number(&expected["f_U"])),
        (learned.events_per_minute, number(&expected["h_bar"])),
    ];
    assert_eq!(learned.regression.is_some(), expected.get("phi").is_some());
    if let Some(regression) = learned.regression {
        let ours = [[regression.clusters, regression.noise].as_slice(), &regression.covariance].concat();
        let theirs = ["phi", "sigma2", "C00", "C01", "C11"].map(|key| number(&expected[key]));
        pairs.extend(ours.into_iter().zip(theirs));
    }
    let contrasts = numbers(&input["h"]).into_iter().map(|h| learned.of_contrast(h, Z_HARM));
    pairs.extend(contrasts.zip(numbers(&expected["D"])));
    pairs
}

/// The minutes as they are once the hours that begin there are set aside.
fn without(minutes: &[PastMinute], aside: &[usize]) -> Vec<PastMinute> {
    let mut kept = minutes.to_vec();
    for first in aside {
        kept[*first..first + 60].fill(PastMinute::default());
    }
    kept
}

fn score(input: &Value, expected: &Value) -> Pairs {
    let [n, sum, squares] = ["n", "sum_u", "sum_u2"].map(|key| numbers(&input[key]));
    let minutes: Vec<PastMinute> = n
        .into_iter()
        .zip(sum)
        .zip(squares)
        .map(|((requests, sum), squares)| PastMinute { requests, sum, squares })
        .collect();
    let ours = Scale::of(&minutes, 1, Exposure::Requests);
    let theirs = ["f_hat", "s", "h_bar", "W"].map(|key| number(&expected[key]));
    [ours.factor, ours.spread, ours.exposure, ours.expected].into_iter().zip(theirs).collect()
}

fn contrast(input: &Value, expected: &Value) -> Pairs {
    let [rate, n_c, n_b] = ["lam", "n_c", "n_b"].map(|key| number(&input[key]));
    let minute = Stratum { n_c, x_c: 0.0, n_b, x_b: 0.0 };
    vec![(event_contrast(&minute, rate), number(&expected["h"]))]
}

fn predicted_rate(input: &Value, expected: &Value) -> Pairs {
    let [before, events, n_b, x_b] = ["hist_n", "hist_x", "n_b", "x_b"].map(|key| numbers(&input[key]));
    let mut rate = RecentRate::default();
    for (n, x) in before.into_iter().zip(events).skip(30) {
        rate.observe(n, x);
    }
    let ours = n_b.into_iter().zip(x_b).map(|(n, x)| {
        let predicted = rate.rate();
        rate.observe(n, x);
        predicted
    });
    ours.zip(numbers(&expected["lam"])).collect()
}

fn canary_check(input: &Value, expected: &Value) -> Pairs {
    let mut scatter = CanaryScatter::default();
    let ours = numbers(&input["n_c"]).into_iter().zip(numbers(&input["x_c"])).map(|(n, x)| {
        scatter.observe(n, x);
        scatter.dispersion()
    });
    ours.zip(numbers(&expected["D_can"])).collect()
}

fn tempered(input: &Value, expected: &Value) -> Pairs {
    let (cap, dispersions) = (number(&input["cap"]), numbers(&input["D"]));
    let mut bets = Restarts::new(THETAS.len(), Begins::evenly(u32::try_from(input["H"].as_u64().unwrap()).unwrap()));
    let ours = rows(input).into_iter().zip(dispersions).map(|(minute, dispersion)| {
        bets.observe(|bet| {
            let plain = HarmNull::NO_WORSE.ln_e(&minute, &THETAS, &THETAS.map(f64::ln))[bet];
            (plain / dispersion).min(cap)
        });
        bets.ln_e()
    });
    ours.zip(numbers(&expected["lnE"])).collect()
}

pub(crate) fn past(n: &Value, x: &Value) -> Vec<PastMinute> {
    numbers(n).into_iter().zip(numbers(x)).map(|(n, x)| PastMinute::events(n, x)).collect()
}

pub(crate) fn rows(input: &Value) -> Vec<Stratum> {
    let rows = input["rows_xc_xb_nc_nb"].as_array().unwrap().iter().map(numbers);
    rows.map(|row| Stratum { x_c: row[0], x_b: row[1], n_c: row[2], n_b: row[3] }).collect()
}

pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

/// A number, or one written as text because of its digits.
pub(crate) fn number(value: &Value) -> f64 {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap()
}
