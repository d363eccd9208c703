//! At 100 %: nothing to compare with, and yet an outage is not sat out.

use super::*;
use crate::report;
use crate::rollout::PhaseName;
use crate::units::Weight;

on_both!(
    an_outage_that_begins_after_the_promotion_is_rolled_back,
    what_is_no_catastrophe_is_left_to_the_alarms,
    all_at_once_looks_back_at_the_minute_it_began_in,
);

/// A release that is as good as the old one, until it fails so many requests from this minute on.
fn failing_from(minute: u64, failing: f64) -> Scenario {
    let mut scenario = good();
    scenario.spec["after"]["watch"] = "30m".into();
    let behaviour =
        Behaviour { failing: vec![(Span::ZERO, 0.004), (minutes(minute), failing)], ..Behaviour::default() };
    scenario.traffic.versions.insert(version("42"), behaviour);
    scenario
}

fn an_outage_that_begins_after_the_promotion_is_rolled_back(on: On) {
    let mut told = Vec::new();
    for seed in 0..10 {
        let mut scenario = failing_from(35, 0.5);
        // Lambda may tell of a version alone by its alias only.
        scenario.traffic.delivery.versions_alone = seed % 2 == 0;
        let outcome = clean_run(&on.of(scenario), seed);
        let full = outcome.reached(Weight::FULL).expect("promoted first");
        assert!(full < outcome.started_at + minutes(35), "seed {seed}");
        assert_eq!(outcome.ended(), Some(PhaseName::RolledBack), "seed {seed}: {:#?}", outcome.rollout.history);
        let back = outcome.turned_back().unwrap();
        assert!(back <= outcome.started_at + minutes(40), "seed {seed}: {back}");
        let why = outcome.rollout.history.last().map(|event| report::sentence(&event.why)).unwrap();
        assert!(why.contains("not a comparison"), "{why}");
        told.push(why);
    }
    assert_eq!(told.len(), 10);
}

/// Three times the errors is bad, but before and after differ by that for many reasons.
fn what_is_no_catastrophe_is_left_to_the_alarms(on: On) {
    for seed in 0..10 {
        assert_eq!(clean_run(&on.of(failing_from(35, 0.012)), seed).ended(), Some(PhaseName::Promoted), "seed {seed}");
    }
}

/// All that `allAtOnce` knows of the old version is the minute in which it was replaced, if that.
fn all_at_once_looks_back_at_the_minute_it_began_in(on: On) {
    let mut scenario = failing_from(5, 0.5);
    scenario.spec["strategy"] = json!({ "allAtOnce": {} });
    let outcome = clean_run(&on.of(scenario.clone()), 1);
    assert_eq!(outcome.ended(), Some(PhaseName::RolledBack), "{:#?}", outcome.rollout.history);
    let healthy = Scenario { traffic: good().traffic, ..scenario };
    assert_eq!(clean_run(&on.of(healthy), 1).ended(), Some(PhaseName::Promoted));
}
