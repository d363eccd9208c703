//! Weights chosen as one goes, through the whole controller.

use serde_json::json;

use super::{after, bad, clean_run, good, minutes};
use crate::observation::AlarmState;
use crate::ports::FaultKind;
use crate::rollout::{PhaseName, Why};
use crate::sim::faults::{Operation, Rule, Way, When};
use crate::sim::samples::{On, on_both};
use crate::sim::scenario::{FaultWindow, Outcome, Scenario, What, run};

on_both!(
    a_good_release_climbs_by_what_is_proven_and_is_promoted,
    a_bad_release_costs_about_what_is_budgeted,
    an_alarm_takes_the_chosen_weight_away_at_once,
    a_pause_keeps_the_chosen_weight,
    blind_minutes_raise_nothing,
);

fn chosen(scenario: Scenario, strategy: serde_json::Value) -> Scenario {
    let mut scenario = scenario;
    scenario.spec["strategy"] = strategy;
    scenario.spec["deadline"] = "2h".into();
    scenario
}

fn budgeted(scenario: Scenario) -> Scenario {
    chosen(scenario, json!({ "auto": { "harmBudget": 100 } }))
}

fn weights(outcome: &Outcome) -> Vec<u16> {
    outcome.weights().into_iter().map(|(_, weight)| weight.basis_points()).collect()
}

fn a_good_release_climbs_by_what_is_proven_and_is_promoted(on: On) {
    for (strategy, seed) in [(json!({ "auto": { "harmBudget": 100 } }), 1), (json!({ "auto": {} }), 2)] {
        let outcome = clean_run(&on.of(Scenario { ticks_twice: true, ..chosen(good(), strategy) }), seed);
        assert_eq!(outcome.ended(), Some(PhaseName::Promoted), "{:#?}", outcome.rollout.history);
        let weights = weights(&outcome);
        assert!(weights.len() >= 6 && weights[1] < 500, "begins with a trickle: {weights:?}");
        assert_eq!(weights[weights.len() - 2..], [5_000, 10_000]);
        let rises = weights[1..weights.len() - 1].windows(2).all(|pair| pair[1] <= 3 * pair[0]);
        assert!(rises, "threefold at most: {weights:?}");
        let told = outcome.rollout.history.iter().filter(|event| matches!(event.why, Why::Chosen { .. }));
        assert!(told.count() >= 3);
    }
}

/// A fifth of its requests fail. The budget is a plan: what it costs is about that.
fn a_bad_release_costs_about_what_is_budgeted(on: On) {
    let outcome = clean_run(&on.of(budgeted(bad())), 3);
    assert_eq!(outcome.ended(), Some(PhaseName::RolledBack), "{:#?}", outcome.rollout.history);
    let failed = outcome.tally(&on.canary()).failed;
    assert!((5..=150).contains(&failed), "{failed} failed: {:?}", weights(&outcome));
}

fn an_alarm_takes_the_chosen_weight_away_at_once(on: On) {
    let state = AlarmState::Alarm;
    let scenario =
        Scenario { events: vec![after(9, What::Alarm { name: "red".to_owned(), state })], ..budgeted(good()) };
    let outcome = clean_run(&on.of(scenario), 4);
    assert_eq!(outcome.ended(), Some(PhaseName::RolledBack));
    assert!(outcome.turned_back().is_some_and(|at| at.since(outcome.started_at) <= minutes(10)));
}

/// A pause keeps the weight that was chosen, and the rollout goes on from there.
fn a_pause_keeps_the_chosen_weight(on: On) {
    let order = |minute, command: &str| {
        let command = json!({ "command": command, "rollout": "checkout-42", "reason": "" });
        after(minute, What::Command(command))
    };
    let scenario = Scenario { events: vec![order(9, "pause"), order(40, "resume")], ..budgeted(good()) };
    let outcome = clean_run(&on.of(scenario), 5);
    assert_eq!(outcome.ended(), Some(PhaseName::Promoted), "{:#?}", outcome.rollout.history);
    let (paused, resumed) = (outcome.started_at + minutes(10), outcome.started_at + minutes(40));
    let meanwhile = outcome.writes.iter().filter(|write| write.at > paused && write.at < resumed);
    assert_eq!(meanwhile.count(), 0);
}

/// Nothing rises while the metrics cannot be read, and what is missed is made up for afterwards.
fn blind_minutes_raise_nothing(on: On) {
    let rule = Rule { when: When::Every(Operation::Fetch), way: Way::Fails(FaultKind::Failed) };
    let window = FaultWindow { from: minutes(6), until: minutes(30), rule };
    let outcome = clean_run(&on.of(Scenario { faults: vec![window], ..budgeted(good()) }), 6);
    let (from, until) = (outcome.started_at + minutes(7), outcome.started_at + minutes(30));
    let risen = outcome.weights().windows(2).any(|pair| pair[1].1 > pair[0].1 && pair[1].0 > from && pair[1].0 < until);
    assert!(!risen, "{:?}", outcome.weights());
    assert_eq!(outcome.ended(), Some(PhaseName::Promoted), "{:#?}", outcome.rollout.history);
}

#[test]
fn a_budget_that_leads_nowhere_is_refused_with_one_that_does() {
    let refused = run(&chosen(good(), json!({ "auto": { "harmBudget": 1 } })), 7).unwrap_err().to_string();
    assert!(
        refused.contains("strategy.auto.harmBudget: with 1 failed requests") && refused.contains("write at least"),
        "{refused}"
    );
}
