//! What only target groups have: health, rules that differ, clients that are held.

use super::*;
use crate::report;
use crate::rollout::{PhaseName, Why};
use crate::sim::faults::{Operation, Rule, Way, When};
use crate::sim::scenario::FaultWindow;
use crate::units::Weight;

const ON: On = On::Alb;

fn percent(percent: u16) -> Weight {
    Weight::from_basis_points(100 * percent).unwrap()
}

fn on_alb() -> Scenario {
    ON.of(good())
}

/// So many of the new group's targets are healthy from this minute on; ten carried all traffic before.
fn healthy_from(minute: u64, healthy: u32) -> Happening {
    after(minute, What::Health { group: ON.canary(), healthy, unhealthy: 10 - healthy })
}

fn with(events: Vec<Happening>) -> Scenario {
    Scenario { events, ..on_alb() }
}

fn last_sentence(outcome: &Outcome) -> String {
    outcome.rollout.history.last().map(|event| report::sentence(&event.why)).unwrap_or_default()
}

fn held_because(outcome: &Outcome, part: &str) -> bool {
    let holding = outcome.reports.iter().flat_map(|report| &report.lines).flat_map(|line| &line.holding);
    holding.into_iter().any(|why| why.contains(part))
}

#[test]
fn the_new_group_is_attached_and_checked_before_it_gets_traffic() {
    let outcome = clean_run(&on_alb(), 1);
    assert_eq!(outcome.ended(), Some(PhaseName::Promoted), "{:#?}", outcome.rollout.history);
    let attached = outcome.rollout.history.iter().filter(|event| event.why == Why::Attached).count();
    assert_eq!(attached, 1);
    let first = outcome.reached(percent(10)).unwrap().since(outcome.started_at);
    assert_eq!(first, Span::from_seconds(80), "the first tick attaches, the second finds it healthy");
    assert_eq!(outcome.rollout.carried_by, Some(10));
}

#[test]
fn no_weight_without_healthy_targets() {
    // 10 % needs one of ten, 50 % five, and all of it ten.
    let ill = clean_run(&with(vec![healthy_from(0, 0), healthy_from(20, 10)]), 2);
    let first = ill.reached(percent(10)).unwrap().since(ill.started_at);
    assert!(first > minutes(20) && first < minutes(22), "{first}");
    assert!(held_because(&ill, "0 healthy targets of the 1 that 10 % needs"));
    assert_eq!(ill.ended(), Some(PhaseName::Promoted));
    for (healthy, stays_at) in [(4, 10), (9, 50)] {
        let few = clean_run(&with(vec![healthy_from(0, healthy), healthy_from(40, 10)]), 2);
        let next = if stays_at == 10 { percent(50) } else { Weight::FULL };
        let raised = few.reached(next).unwrap().since(few.started_at);
        assert!(raised > minutes(40) && raised < minutes(43), "{healthy}: {raised}");
        assert_eq!(few.ended(), Some(PhaseName::Promoted), "{healthy}: {:#?}", few.rollout.history);
    }
    let never = clean_run(&with(vec![healthy_from(0, 0)]), 2);
    assert_eq!((never.ended(), never.reached(percent(10))), (Some(PhaseName::RolledBack), None));
    assert!(never.stopped_at.since(never.started_at) <= minutes(63), "within its deadline");
}

#[test]
fn a_smaller_share_of_healthy_targets_is_enough_where_the_spec_says_so() {
    let mut scenario = with(vec![healthy_from(0, 5)]);
    scenario.spec["target"]["alb"]["minHealthyShare"] = json!("50%");
    let Target::Alb(alb) = &mut scenario.target else { panic!("target groups") };
    alb.min_healthy_share = percent(50);
    let outcome = clean_run(&scenario, 3);
    assert_eq!(outcome.ended(), Some(PhaseName::Promoted), "{:#?}", outcome.rollout.history);
}

/// None can answer, so this costs requests until the next tick, as it must.
#[test]
fn targets_that_fail_under_their_weight_roll_back_within_a_tick() {
    for (minute, healthy) in [(5, 0), (14, 2), (19, 4)] {
        let outcome = run(&with(vec![healthy_from(minute, healthy)]), 4).unwrap();
        assert_eq!(outcome.violations, [], "{:#?}", outcome.rollout.history);
        assert_eq!(outcome.ended(), Some(PhaseName::RolledBack), "{minute}: {:#?}", outcome.rollout.history);
        let back = outcome.turned_back().unwrap().since(outcome.started_at);
        assert!(back <= minutes(minute + 1), "{minute}: {back}");
        assert!(last_sentence(&outcome).contains("healthy target"), "{}", last_sentence(&outcome));
    }
}

#[test]
fn health_that_cannot_be_read_raises_nothing_and_rolls_nothing_back() {
    let rule = Rule { when: When::Every(Operation::Health), way: Way::Fails(crate::ports::FaultKind::Denied) };
    let faults = vec![FaultWindow { from: minutes(4), until: minutes(34), rule }];
    let outcome = clean_run(&Scenario { faults, ..on_alb() }, 5);
    let raised = outcome.reached(percent(50)).unwrap().since(outcome.started_at);
    assert!(raised > minutes(34) && raised < minutes(37), "{raised}");
    assert!(held_because(&outcome, "the targets' health could not be read"));
    assert_eq!(outcome.ended(), Some(PhaseName::Promoted));
}

#[test]
fn a_rule_that_somebody_else_writes_alone_is_left_alone() {
    let third = ON.version("43");
    for (rule, groups) in [
        (0, vec![(ON.baseline(), 1), (third, 0)]),
        (1, vec![(ON.baseline(), 7), (ON.canary(), 3)]),
        (1, vec![(ON.canary(), 1)]),
    ] {
        let written = What::RuleWritten { rule, groups: groups.clone() };
        let outcome = run(&with(vec![after(7, written)]), 6).unwrap();
        assert_eq!(outcome.violations, []);
        assert_eq!(outcome.ended(), Some(PhaseName::Superseded), "{groups:?}: {:#?}", outcome.rollout.history);
        let theirs = outcome.writes.iter().rposition(|write| !write.ours);
        assert_eq!(theirs, Some(outcome.writes.len() - 1), "nothing is written after theirs");
    }
}

/// A retreat that another writer undoes behind one rule is ours to finish.
#[test]
fn a_retreat_goes_on_until_every_rule_is_back() {
    let at = Moment::AfterWeight(percent(10), Span::from_seconds(150));
    let abort = json!({ "command": "abort", "rollout": "checkout-42", "by": "mara" });
    let again = What::RuleWritten { rule: 1, groups: vec![(ON.baseline(), 9), (ON.canary(), 1)] };
    let later = Moment::AfterWeight(percent(10), Span::from_seconds(160));
    let events = vec![Happening { when: at, what: What::Command(abort) }, Happening { when: later, what: again }];
    let outcome = clean_run(&with(events), 7);
    assert_eq!(outcome.ended(), Some(PhaseName::RolledBack), "{:#?}", outcome.rollout.history);
    assert_eq!(outcome.weights().last().map(|(_, weight)| *weight), Some(Weight::ZERO));
}

/// Only some of the rules are written, at every single write of a release: the rest follows, and all ends as it should.
#[test]
fn half_a_write_at_any_moment_is_made_up_for() {
    for scenario in [good(), bad(), alarmed()] {
        let scenario = ON.of(scenario);
        let undisturbed = clean_run(&scenario, 8);
        let length = u64::try_from(undisturbed.stopped_at.since(undisturbed.started_at).minutes_ceil()).unwrap();
        for (minute, operation) in
            (0..length).flat_map(|minute| [(minute, Operation::Set), (minute, Operation::Attach)])
        {
            // For as long as a whole minute no write gets further than the first rule.
            let rule = Rule { when: When::Every(operation), way: Way::Half };
            let (from, until) = (minutes(minute), minutes(minute + 1));
            let mut disturbed = scenario.clone();
            disturbed.faults.push(FaultWindow { from, until, rule });
            let outcome = clean_run(&disturbed, 8);
            assert_eq!(outcome.ended(), undisturbed.ended(), "{minute} {operation:?}: {:#?}", outcome.rollout.history);
        }
    }
}

fn sticky(scenario: Scenario) -> Scenario {
    let mut scenario = scenario;
    scenario.spec["target"]["alb"]["stickiness"] = json!("disableOnRollback");
    let Target::Alb(alb) = &mut scenario.target else { panic!("target groups") };
    alb.stickiness = crate::spec::Stickiness::DisableOnRollback;
    Scenario { sticky: Some(minutes(60)), ..scenario }
}

#[test]
fn clients_that_are_held_are_let_go_on_a_retreat_and_not_before() {
    let outcome = clean_run(&sticky(ON.of(alarmed())), 9);
    assert_eq!(outcome.ended(), Some(PhaseName::RolledBack), "{:#?}", outcome.rollout.history);
    let back = outcome.turned_back().unwrap();
    let after = outcome.tally_between(&ON.canary(), back, outcome.stopped_at);
    assert_eq!(after.requests, 0, "nobody is left on the new group");
    let good = clean_run(&sticky(on_alb()), 9);
    assert_eq!(good.ended(), Some(PhaseName::Promoted), "{:#?}", good.rollout.history);
    let refused = run(&Scenario { sticky: Some(minutes(60)), ..on_alb() }, 9).unwrap_err().to_string();
    assert!(refused.contains("target.alb.stickiness: "), "{refused}");
}

/// Another release of the same groups, by another name, that starts at this minute.
fn next_release(minute: u64) -> Scenario {
    let scenario = on_alb();
    let mut spec = scenario.spec.clone();
    spec["name"] = json!("checkout-43");
    let start = What::Command(json!({ "command": "start", "spec": spec, "by": "ci" }));
    Scenario { events: vec![after(minute, start)], ..scenario }
}

/// Blue follows green and green follows blue; what is new is read.
#[test]
fn the_next_release_finds_the_roles_swapped() {
    // In the watch at 100 %, which is cut short, and long after the end.
    for minute in [19, 60] {
        let outcome = clean_run(&next_release(minute), 4);
        assert_eq!((outcome.ended(), &outcome.refused), (Some(PhaseName::Promoted), &vec![]));
        let next = &outcome.others["checkout-43"];
        assert_eq!((&next.baseline, &next.canary), (&ON.canary(), &ON.baseline()));
        assert_eq!(next.phase.name(), PhaseName::Promoted, "{:#?}", next.history);
        assert_eq!(outcome.writes.last().unwrap().routing.primary, ON.baseline());
    }
}

/// There are two groups, so what is released meanwhile can only be where the first release is. While the rule is divided
/// neither group comes first in it: what the new release has to be compared with, and the traffic to expect, are the old
/// group's all the same.
#[test]
fn a_release_in_the_place_of_another_begins_from_the_old_group() {
    for minute in [0, 3, 13] {
        let outcome = clean_run(&next_release(minute), 10);
        assert_eq!((outcome.ended(), &outcome.refused), (Some(PhaseName::Superseded), &vec![]), "{minute}");
        let next = &outcome.others["checkout-43"];
        assert_eq!((&next.baseline, &next.canary), (&ON.baseline(), &ON.canary()));
        assert_eq!(next.phase.name(), PhaseName::Promoted, "{minute}: {:#?}", next.history);
        let first = outcome.weights().iter().filter(|(_, weight)| *weight == percent(10)).count();
        assert_eq!(first, if minute == 0 { 1 } else { 2 }, "back to the old group first");
    }
}
