//! How long a healthy release takes on the wall clock, with every delay there is.

use serde_json::{Value, json};

use super::{clean_run, version};
use crate::rollout::PhaseName;
use crate::sim::samples::On;
use crate::sim::scenario::{Outcome, Scenario};
use crate::sim::traffic::{Behaviour, Delivery, Traffic};
use crate::units::{Span, Weight};

/// 50 requests a second of which 0.1 % fail, 5, 25 and 50 %.
fn healthy(more: &Value) -> Scenario {
    let step = |weight: &str| json!({ "weight": weight, "bake": "1m" });
    let mut spec = json!({
        "coalmine": "v1",
        "target": { "lambda": { "function": "checkout", "alias": "live" } },
        "version": "42",
        "strategy": { "steps": [step("5%"), step("25%"), step("50%")] },
        "deadline": "12h",
        "settle": "none",
    });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let versions = [version("41"), version("42")].map(|version| (version, Behaviour::steady(0.001)));
    let traffic = Traffic {
        per_second: 50.0,
        changes: Vec::new(),
        daily: None,
        bursts: None,
        versions: versions.into(),
        delivery: Delivery { late_per_mille: 0, ..Delivery::default() },
    };
    let longest = Span::from_hours(3);
    Scenario { longest, past: Span::from_hours(6), ..Scenario::of("checkout", "live", &version("41"), spec, traffic) }
}

fn errors() -> Value {
    json!({ "checks": [{ "errors": { "tolerate": "0.5pt" } }] })
}

/// Minutes from the start command to all traffic.
fn minutes_to_full(outcome: &Outcome) -> i64 {
    assert_eq!(outcome.ended(), Some(PhaseName::Promoted), "{:#?}", outcome.rollout.history);
    outcome.reached(Weight::FULL).unwrap().since(outcome.started_at).minutes_ceil()
}

/// Each step: two minutes of data, of which the first is that of the raise because 40 s of it are left, the metrics' lag and
/// the function's timeout, which come to 3 min 3 s. The first look at the newest minute is made while it settles, so the
/// second one costs nothing.
#[test]
fn a_healthy_step_takes_five_minutes() {
    for seed in [1, 2, 3] {
        // The start comes 20 s before the first tick.
        assert_eq!(minutes_to_full(&clean_run(&healthy(&errors()), seed)), 3 * 5 + 1, "seed {seed}");
    }
}

/// A load balancer's timeout of a minute adds nearly that to every step, and before the first one the new group is attached
/// and checked. Two minutes at 5 % are just enough where the new group's errors are not a few too many by chance.
#[test]
fn a_healthy_step_between_target_groups_takes_six() {
    let took: Vec<i64> =
        (1..=6).map(|seed| minutes_to_full(&clean_run(&On::Alb.of(healthy(&errors())), seed))).collect();
    assert_eq!(took.iter().min(), Some(&(3 * 6 + 2)), "{took:?}");
    assert!(took.iter().max() <= Some(&(3 * 7 + 2)), "{took:?}");
}

/// The minute of the raise is latency's warm-up. At 5 % it takes another one, sometimes two, until the canary has served the
/// requests that warm it up.
#[test]
fn latency_costs_the_minutes_in_which_the_first_requests_warm_up() {
    for seed in [1, 2, 3] {
        let took = minutes_to_full(&clean_run(&healthy(&json!({})), seed));
        assert!((3 * 5 + 2..=3 * 5 + 3).contains(&took), "seed {seed}: {took}");
    }
}

/// What arrives between the two looks changes the totals, and another look at them is waited for.
#[test]
fn a_datapoint_that_comes_between_the_looks_costs_another_look() {
    let mut scenario = healthy(&errors());
    let delivery = &mut scenario.traffic.delivery;
    // With the metrics' own lateness 2 min 45 s to 3 min 15 s after the minute, of 2 min 20 s and 3 min 20 s.
    (delivery.late_per_mille, delivery.late_by) = (50, Span::from_seconds(120));
    let took = minutes_to_full(&clean_run(&scenario, 3));
    assert_eq!(took, 3 * 6 + 1);
}

/// Latency must have counted in a minute of each weight, or nothing would have judged it before the last one.
#[test]
fn chosen_weights_rise_no_faster_than_latency_warms_up() {
    let chosen = |checks: Value| {
        let outcome = clean_run(&healthy(&json!({ "strategy": { "auto": {} }, "checks": checks })), 4);
        let rises: Vec<i64> = outcome.weights()[1..]
            .windows(2)
            .filter(|pair| pair[0].1 < pair[1].1)
            .map(|pair| pair[1].0.since(pair[0].0).minutes_ceil())
            .collect();
        (minutes_to_full(&outcome), rises)
    };
    let (_, hasty) = chosen(json!([{ "errors": { "tolerate": "0.5pt" } }]));
    assert!(hasty.contains(&1), "{hasty:?}");
    let (_, patient) = chosen(json!([{ "errors": { "tolerate": "0.5pt" } }, { "latency": {} }]));
    assert!(patient.len() >= 4 && patient.iter().all(|minutes| *minutes >= 2), "{patient:?}");
}
