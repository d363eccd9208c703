//! Promotion's formulas against golden values, computed elsewhere with 50 digits.

use serde_json::Value;

use super::auto::{AutoLimits, budget_weight, planned_harm};
use super::{Margin, NonInferiority, PredictedShare, Rates, RecentRate, Stratum, proof_bound};

/// What is compared, ours and theirs.
type Pairs = Vec<(f64, f64)>;

#[test]
fn formulas_agree_with_golden_values() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("promotion.json")).unwrap();
    assert_eq!(vectors.len(), 37);
    for vector in vectors {
        let (input, expected) = (&vector["input"], &vector["expected"]);
        let pairs = match vector["group"].as_str().unwrap() {
            "null_projection" => projection(input, expected),
            "ln_e_noninferiority" => vec![(margin(input).ln_e(&stratum(input), [rates(input)])[0], number(expected))],
            "exact_expectation" => expectation(input, expected),
            "predicted_share" => predicted(input, expected),
            "tempered_mixture" => mixture(input, expected),
            "auto_promotion" => split(input, expected),
            "information_bound" => bound(input, expected),
            "planned_harm" => {
                let ours = planned_harm(&limits(input), number(&input["w"]), number(&input["u"]));
                vec![(ours, number(expected))]
            }
            "budget_weight" => {
                let ours = budget_weight(&limits(input), number(&input["budget_left"]), number(&input["u"]));
                vec![(ours, number(expected))]
            }
            group => panic!("no formula for {group}"),
        };
        assert!(!pairs.is_empty(), "{}: nothing compared", vector["id"]);
        for (ours, theirs) in pairs {
            let error = (ours - theirs).abs();
            assert!(error <= number(&vector["rtol"]) * theirs.abs(), "{}: {ours} instead of {theirs}", vector["id"]);
        }
    }
}

fn projection(input: &Value, expected: &Value) -> Pairs {
    let null = margin(input).closest(rates(input), number(&input["rho"])).unwrap();
    vec![(null.baseline, number(&expected["p_b"])), (null.canary, number(&expected["p_c"]))]
}

fn expectation(input: &Value, expected: &Value) -> Pairs {
    let [n_c, n_b] = ["n_c", "n_b"].map(|key| u32::try_from(input[key].as_u64().unwrap()).unwrap());
    let (margin, guess) = (margin(input), rates(input));
    let mean = super::validity::expectation(n_c, n_b, number(&input["p_c"]), number(&input["p_b"]), |minute| {
        margin.ln_e(minute, [guess])[0]
    });
    assert!(mean <= 1.0);
    vec![(mean, number(expected))]
}

fn predicted(input: &Value, expected: &Value) -> Pairs {
    let [requests, events, recent, recent_events] = ["N24", "X24", "c0", "x0"].map(|key| number(&input[key]));
    let mut predicted = PredictedShare::new(requests, events, RecentRate::from(recent, recent_events));
    let minutes = numbers(&input["n_b"]).into_iter().zip(numbers(&input["x_b"]));
    let first = predicted.share().unwrap();
    let later = minutes.map(|(requests, events)| {
        predicted.observe(requests, events);
        predicted.share().unwrap()
    });
    [first].into_iter().chain(later).zip(numbers(expected)).collect()
}

fn mixture(input: &Value, expected: &Value) -> Pairs {
    let capped: Vec<usize> = numbers(&input["cap_before"]).into_iter().map(|index| index as usize).collect();
    let mut process = NonInferiority::new(Margin::new(1.0, number(&input["d"])));
    let minutes = input["strata"].as_array().unwrap().iter().enumerate().map(|(index, minute)| {
        if capped.contains(&index) {
            process.cap(2_f64.ln());
        }
        process.observe(&stratum(minute), rates(minute), number(&minute["D"]));
        process.ln_e()
    });
    minutes.zip(numbers(expected)).collect()
}

fn split(input: &Value, expected: &Value) -> Pairs {
    let top: Vec<usize> = numbers(&input["top"]).into_iter().map(|index| index as usize).collect();
    let margin = Margin::new(1.0, number(&input["d"]));
    let mut processes = [NonInferiority::new(margin), NonInferiority::new(margin)];
    for (index, minute) in input["strata"].as_array().unwrap().iter().enumerate() {
        let process = &mut processes[usize::from(top.contains(&index))];
        process.observe(&stratum(minute), rates(minute), number(&minute["D"]));
    }
    let [below, top] = processes.map(|process| process.ln_e());
    let both = below.min(2_f64.ln()) + top;
    vec![
        (below, number(&expected["ln_E_below"])),
        (top, number(&expected["ln_E_top"])),
        (both, number(&expected["ln_E"])),
    ]
}

fn bound(input: &Value, expected: &Value) -> Pairs {
    let [q, d, w] = ["q", "d", "w"].map(|key| number(&input[key]));
    vec![(proof_bound(Rates { baseline: q, canary: q }, Margin::new(1.0, d), w, 0.05), number(expected))]
}

fn limits(input: &Value) -> AutoLimits {
    AutoLimits {
        requests_per_minute: number(&input["n"]),
        rate: number(&input["q"]),
        lag_minutes: number(&input["lag"]),
        tolerated: number(&input["d"]),
        largest_share: input.get("w_max").map_or(0.5, number),
    }
}

fn margin(input: &Value) -> Margin {
    Margin::new(number(&input["r"]), number(&input["d"]))
}

fn rates(input: &Value) -> Rates {
    Rates { baseline: number(&input["q_b"]), canary: number(&input["q_c"]) }
}

fn stratum(input: &Value) -> Stratum {
    let [n_c, x_c, n_b, x_b] = ["n_c", "x_c", "n_b", "x_b"].map(|key| number(&input[key]));
    Stratum { n_c, x_c, n_b, x_b }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

/// Most are decimal strings, for their digits.
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

/// By halving alone, which needs no start and no slope.
fn closest_by_halves([r, d]: [f64; 2], guess: Rates, share: f64) -> f64 {
    let (mut low, mut high) = (((guess.canary - d) / r).max(0.0), guess.baseline.min((1.0 - d) / r));
    for _ in 0..200 {
        let s = 0.5 * (low + high);
        let a = r * s + d;
        let of_canary = r * share * (a - guess.canary) * s * (1.0 - s);
        let of_baseline = (1.0 - share) * (s - guess.baseline) * a * (1.0 - a);
        if of_canary + of_baseline < 0.0 { low = s } else { high = s }
    }
    0.5 * (low + high)
}

#[test]
fn the_closest_pair_is_found_whatever_the_margin_and_the_rates_are() {
    let mut found = 0;
    for margin in [[1.0, 1e-9], [1.0, 1e-5], [1.0, 0.005], [1.0, 0.5], [1.5, 0.0], [2.0, 0.01], [0.7, 0.02], [1e4, 0.0]]
    {
        for baseline in [1e-12, 1e-6, 1e-3, 0.01, 0.3, 0.5, 0.9, 0.999] {
            for canary in [0.2, 0.9, 1.0, 1.2].map(|times| times * baseline) {
                for share in [1e-6, 0.05, 0.5, 0.95, 0.999_999] {
                    let guess = Rates { baseline, canary };
                    let Some(closest) = Margin::new(margin[0], margin[1]).closest(guess, share) else { continue };
                    let expected = closest_by_halves(margin, guess, share);
                    let differs = (closest.baseline - expected).abs();
                    assert!(differs <= 1e-9 * expected, "{margin:?} {guess:?} {share}: {closest:?}, {expected}");
                    found += 1;
                }
            }
        }
    }
    assert!(found > 500, "{found}");
}
