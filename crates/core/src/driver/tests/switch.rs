//! The dead man's switch: whoever dies when, no traffic stays split for longer than it waits.

use super::*;
use crate::ports::FaultKind;
use crate::rollout::{PhaseName, Why};
use crate::sim::faults::{Operation, Rule, Way, When};
use crate::sim::scenario::{FaultWindow, RunError};
use crate::units::Weight;

on_both!(
    a_controller_killed_for_good_at_any_call_leaves_no_traffic_split,
    a_controller_that_comes_back_finds_that_it_has_fired,
    nothing_fires_while_ticks_come,
    without_a_switch_no_traffic_moves,
    one_that_cannot_be_removed_for_a_while_does_not_fire,
    one_that_cannot_be_pushed_on_fires_and_is_known_for_it,
    a_push_that_fails_is_made_up_for_by_the_next_tick,
    a_rollback_that_cannot_write_is_carried_out_by_it,
    a_retreat_does_not_wait_for_it,
    ticks_that_see_nothing_leave_it_to_fire,
);

const SEED: u64 = 7;
/// How long it waits.
const TIME: Span = Span::from_minutes(15);
/// It is pushed to moments that lie so far apart, and a last invocation may have come late in its minute.
const AT_MOST: Span = Span::from_minutes(15 + 5 + 1);

fn switched(scenario: Scenario) -> Scenario {
    let mut scenario = Scenario { longest: Span::from_hours(3), ..scenario };
    scenario.settings.switch = Some(TIME);
    scenario
}

fn faulty(from: Span, until: Span, when: When, way: Way) -> FaultWindow {
    FaultWindow { from, until, rule: Rule { when, way } }
}

/// Dies at this call of this minute, and every later invocation at its first call.
fn killed_for_good(scenario: &Scenario, minute: u64, call: usize, way: Way) -> Scenario {
    let mut dead = scenario.clone();
    let after = minutes(minute + 1);
    dead.faults.push(faulty(minutes(minute), after, When::Call(call), way));
    dead.faults.push(faulty(after, Span::from_hours(9), When::Call(0), Way::KilledBefore));
    dead.longest = after.plus(AT_MOST).plus(minutes(2));
    dead
}

fn a_controller_killed_for_good_at_any_call_leaves_no_traffic_split(on: On) {
    let mut runs = 0;
    for scenario in [good(), alarmed()] {
        let scenario = switched(on.of(scenario));
        let alive = clean_run(&scenario, SEED);
        let length = u64::try_from(alive.stopped_at.since(alive.started_at).minutes_ceil()).unwrap();
        for minute in 0..length {
            let calls = alive.calls.iter().filter(|(at, _)| at.since(alive.started_at).seconds() / 60 == minute);
            let calls = calls.map(|(_, calls)| *calls).max().unwrap_or(0);
            for (call, way) in (0..calls).flat_map(|call| [Way::KilledBefore, Way::KilledAfter].map(|way| (call, way)))
            {
                let outcome = match run(&killed_for_good(&scenario, minute, call, way), SEED) {
                    // Killed in the start, of which nothing is left.
                    Err(RunError::Refused(_)) if minute == 0 => continue,
                    outcome => outcome.unwrap(),
                };
                let told = || format!("{way:?} at call {call} of minute {minute}: {:?}", outcome.weights());
                let (_, last) = *outcome.weights().last().unwrap();
                assert!(last == Weight::ZERO || last == Weight::FULL, "{}", told());
                let split_until = outcome.weights().iter().rfind(|(_, weight)| *weight != last).map(|(at, _)| *at);
                let moved = outcome.weights().last().unwrap().0;
                let dead_since = outcome.started_at + minutes(minute);
                assert!(split_until.is_none() || moved.since(dead_since) <= AT_MOST, "{}", told());
                assert_eq!(outcome.unserved(), 0, "{}", told());
                runs += 1;
            }
        }
    }
    assert!(runs > 100, "{runs}");
}

fn a_controller_that_comes_back_finds_that_it_has_fired(on: On) {
    let mut scenario = switched(on.of(good()));
    scenario.faults.push(faulty(minutes(6), minutes(40), When::Call(0), Way::KilledBefore));
    let outcome = run(&scenario, SEED).unwrap();
    assert_eq!(outcome.ended(), Some(PhaseName::RolledBack), "{:#?}", outcome.rollout.history);
    let fired = outcome.rollout.history.iter().any(|event| matches!(event.why, Why::SwitchFired));
    assert!(fired, "{:#?}", outcome.rollout.history);
    assert_eq!((outcome.weights().last().unwrap().1, outcome.rollout.switch), (Weight::ZERO, None));
}

fn nothing_fires_while_ticks_come(on: On) {
    for scenario in [good(), bad(), alarmed()] {
        let mut unswitched = on.of(scenario.clone());
        unswitched.settings.switch = None;
        let (with, without) = (clean_run(&switched(on.of(scenario)), SEED), clean_run(&unswitched, SEED));
        assert_eq!((with.ended(), with.weights()), (without.ended(), without.weights()));
        assert_eq!(with.rollout.switch, None);
        assert!(!with.rollout.history.iter().any(|event| matches!(event.why, Why::SwitchFired)));
    }
}

fn without_a_switch_no_traffic_moves(on: On) {
    let mut scenario = switched(on.of(good()));
    scenario.faults.push(faulty(
        Span::ZERO,
        Span::from_hours(3),
        When::Every(Operation::Arm),
        Way::Fails(FaultKind::Denied),
    ));
    let outcome = run(&scenario, SEED).unwrap();
    assert!(outcome.weights().iter().all(|(_, weight)| *weight == Weight::ZERO), "{:?}", outcome.weights());
    assert_eq!(outcome.ended(), Some(PhaseName::RolledBack), "at the deadline");
    let said = outcome.reports.iter().flat_map(|report| &report.lines).flat_map(|line| &line.faults);
    assert!(said.clone().any(|fault| fault.starts_with("arm was denied")), "{:?}", said.collect::<Vec<_>>());
}

fn one_that_cannot_be_removed_for_a_while_does_not_fire(on: On) {
    let scenario = switched(on.of(good()));
    let full = clean_run(&scenario, SEED).reached(Weight::FULL).unwrap();
    let mut disturbed = scenario.clone();
    let from = full.since(clean_run(&scenario, SEED).started_at);
    disturbed.faults.push(faulty(
        from,
        from.plus(minutes(6)),
        When::Every(Operation::Disarm),
        Way::Fails(FaultKind::Failed),
    ));
    let outcome = run(&disturbed, SEED).unwrap();
    assert_eq!((outcome.ended(), outcome.rollout.switch), (Some(PhaseName::Promoted), None));
    assert_eq!(outcome.weights().last().unwrap().1, Weight::FULL);
}

fn unpushed(on: On, from: u64, until: u64) -> Outcome {
    let mut scenario = switched(on.of(good()));
    // Nothing is proven, so that it stays split.
    scenario.spec["strategy"] = json!({ "steps": [{ "weight": "10%", "bake": "50m" }] });
    scenario.faults.push(faulty(
        minutes(from),
        minutes(until),
        When::Every(Operation::Arm),
        Way::Fails(FaultKind::Throttled),
    ));
    clean_run(&scenario, SEED)
}

/// The rollout had noted a later time than the switch ever heard of, and took what it did for somebody else's work.
fn one_that_cannot_be_pushed_on_fires_and_is_known_for_it(on: On) {
    let outcome = unpushed(on, 2, 40);
    assert_eq!(outcome.ended(), Some(PhaseName::RolledBack), "{:#?}", outcome.rollout.history);
    assert!(matches!(outcome.rollout.history.last().unwrap().why, Why::SwitchFired));
    assert!(outcome.turned_back().unwrap().since(outcome.started_at) <= minutes(2).plus(AT_MOST));
}

fn a_push_that_fails_is_made_up_for_by_the_next_tick(on: On) {
    for from in 2..20 {
        let outcome = unpushed(on, from, from + 9);
        assert_eq!(outcome.ended(), Some(PhaseName::Promoted), "{from}: {:#?}", outcome.rollout.history);
    }
}

/// Ticks come and push, but the weight cannot be set: of all that pushing nobody has anything.
fn a_rollback_that_cannot_write_is_carried_out_by_it(on: On) {
    let mut scenario = switched(on.of(alarmed()));
    let turned = clean_run(&scenario, SEED).turned_back().unwrap();
    let from = turned.since(clean_run(&scenario, SEED).started_at);
    let denied = Way::Fails(FaultKind::Denied);
    scenario.faults.push(faulty(from, Span::from_hours(3), When::Every(Operation::Set), denied));
    let outcome = run(&scenario, SEED).unwrap();
    assert_eq!(outcome.ended(), Some(PhaseName::RolledBack), "{:#?}", outcome.rollout.history);
    let (back, weight) = *outcome.weights().last().unwrap();
    assert_eq!(weight, Weight::ZERO);
    assert!(back.since(turned) <= AT_MOST, "{turned}, {back}");
}

fn a_retreat_does_not_wait_for_it(on: On) {
    let calm = clean_run(&switched(on.of(alarmed())), SEED);
    let mut stuck = switched(on.of(alarmed()));
    // Whenever a push may be due.
    let turned = calm.turned_back().unwrap();
    let from = turned.since(calm.started_at).minus(minutes(1));
    stuck.faults.push(faulty(from, Span::from_hours(3), When::Every(Operation::Arm), Way::Hangs));
    let outcome = run(&stuck, SEED).unwrap();
    assert_eq!(outcome.turned_back(), Some(turned), "{:#?}", outcome.rollout.history);
}

/// With alarms that can be read there is somebody who turns back; and CloudWatch may be away for a while.
fn ticks_that_see_nothing_leave_it_to_fire(on: On) {
    let blind = |until, operations: &[Operation]| {
        let mut scenario = switched(on.of(good()));
        scenario.spec["strategy"] = json!({ "steps": [{ "weight": "10%", "bake": "50m" }] });
        for operation in operations {
            let denied = Way::Fails(FaultKind::Failed);
            scenario.faults.push(faulty(minutes(5), until, When::Every(*operation), denied));
        }
        clean_run(&scenario, SEED)
    };
    let hours = Span::from_hours(3);
    let outcome = blind(hours, &[Operation::Fetch, Operation::States]);
    assert_eq!(outcome.ended(), Some(PhaseName::RolledBack), "{:#?}", outcome.rollout.history);
    assert!(matches!(outcome.rollout.history.last().unwrap().why, Why::SwitchFired), "{:#?}", outcome.rollout.history);
    assert!(outcome.turned_back().unwrap().since(outcome.started_at) <= minutes(5).plus(AT_MOST));
    for (until, operations) in [
        (minutes(5 + 14), [Operation::Fetch, Operation::States].as_slice()),
        (minutes(45), &[Operation::Fetch]),
        (minutes(45), &[Operation::States]),
    ] {
        let outcome = blind(until, operations);
        assert_eq!(outcome.ended(), Some(PhaseName::Promoted), "{operations:?}: {:#?}", outcome.rollout.history);
    }
}

/// What begins before that would be put back to what came before the last release.
#[test]
fn the_next_release_waits_until_the_last_ones_switch_is_removed() {
    let mut scenario = switched(good());
    scenario.spec["newer"] = "queue".into();
    let mut next = scenario.spec.clone();
    next["version"] = "43".into();
    scenario.events.push(after(6, What::Command(json!({ "command": "start", "spec": next, "by": "ci" }))));
    let calm = clean_run(&scenario, SEED);
    let full = calm.reached(Weight::FULL).unwrap();
    let removable = full + minutes(12);
    let failed = Way::Fails(FaultKind::Failed);
    let (from, until) = (full.since(calm.started_at), removable.since(calm.started_at));
    scenario.faults.push(faulty(from, until, When::Every(Operation::Disarm), failed));
    let outcome = run(&scenario, SEED).unwrap();
    let first = |outcome: &Outcome| outcome.others["checkout-43"].weights.first().unwrap().at;
    assert!(first(&calm) < removable && first(&outcome) >= removable, "{}, {}", first(&calm), first(&outcome));
    let ends = [&outcome.rollout, &outcome.others["checkout-43"]].map(|rollout| rollout.phase.name());
    assert_eq!(ends, [PhaseName::Promoted; 2]);
}
