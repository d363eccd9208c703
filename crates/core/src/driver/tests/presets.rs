//! CodeDeploy's presets, on CodeDeploy's clock.

use super::*;
use crate::ports::FaultKind;
use crate::rollout::PhaseName;
use crate::sim::faults::{Operation, Rule, Way, When};
use crate::sim::scenario::FaultWindow;
use crate::units::Weight;

on_both!(a_preset_keeps_its_own_clock, a_preset_turns_back_as_soon_as_harm_shows, a_preset_does_not_go_on_blind,);

fn preset(name: &str, failing: f64) -> Scenario {
    let mut scenario = release(failing);
    scenario.spec["strategy"] = json!({ "preset": name });
    scenario
}

fn a_preset_keeps_its_own_clock(on: On) {
    let ten = Weight::from_basis_points(1_000).unwrap();
    for (name, takes) in [
        ("LambdaLinear10PercentEvery1Minute", 9),
        ("LambdaLinear10PercentEvery2Minutes", 18),
        ("LambdaCanary10Percent5Minutes", 5),
        ("ECSCanary10Percent15Minutes", 15),
    ] {
        let outcome = clean_run(&on.of(preset(name, 0.004)), 11);
        assert_eq!(outcome.ended(), Some(PhaseName::Promoted));
        let (first, all) = (outcome.reached(ten).unwrap(), outcome.reached(Weight::FULL).unwrap());
        assert_eq!(all.since(first), minutes(takes), "{name}");
    }
}

fn a_preset_turns_back_as_soon_as_harm_shows(on: On) {
    let outcome = clean_run(&on.of(preset("LambdaLinear10PercentEvery1Minute", 0.3)), 11);
    assert_eq!(outcome.ended(), Some(PhaseName::RolledBack));
    assert!(outcome.reached(Weight::FULL).is_none(), "{:?}", outcome.weights());
}

fn a_preset_does_not_go_on_blind(on: On) {
    // Nothing arrives, and nothing fails: the series are just empty.
    let mut silent = preset("LambdaLinear10PercentEvery2Minutes", 0.004);
    silent.traffic.per_second = 0.0;
    let outcome = clean_run(&on.of(silent), 11);
    assert!(outcome.reached(Weight::FULL).is_none(), "{:?}", outcome.weights());
    // And while they cannot be read at all it stays where it is.
    let mut failing = preset("LambdaLinear10PercentEvery1Minute", 0.004);
    let rule = Rule { when: When::Every(Operation::Fetch), way: Way::Fails(FaultKind::Throttled) };
    failing.faults.push(FaultWindow { from: minutes(3), until: minutes(23), rule });
    let outcome = clean_run(&on.of(failing), 11);
    let during =
        |at: crate::units::Timestamp| at > outcome.started_at + minutes(4) && at < outcome.started_at + minutes(23);
    assert!(outcome.weights().iter().all(|(at, _)| !during(*at)), "{:?}", outcome.weights());
    assert_eq!(outcome.ended(), Some(PhaseName::Promoted));
}
