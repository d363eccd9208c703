//! After a promotion the old target group is detached once it was kept as long as the spec says.

use super::killed::with_each_fault;
use super::*;
use crate::ports::FaultKind;
use crate::rollout::{PhaseName, Why};
use crate::sim::faults::{Operation, Rule, Way, When};
use crate::sim::scenario::FaultWindow;
use crate::sim::world::{Call, Change, Write};
use crate::spec::KeepBaseline;
use crate::units::Weight;

const ON: On = On::Alb;

/// A good release whose old group is kept for so many minutes after the promotion.
fn kept_for(kept: u64) -> Scenario {
    let mut scenario = ON.of(good());
    scenario.spec["target"]["alb"]["keepBaseline"] = json!(format!("{kept}m"));
    let Target::Alb(alb) = &mut scenario.target else { panic!("target groups") };
    alb.keep_baseline = KeepBaseline::For(minutes(kept));
    scenario
}

fn detaching(outcome: &Outcome) -> Vec<&Write> {
    let detaches = |write: &&Write| matches!(&write.change, Change::Rule { by: Call::Detach, .. });
    outcome.writes.iter().filter(detaches).collect()
}

/// When the promotion was, and everything in the history after it.
fn afterwards(outcome: &Outcome) -> (crate::units::Timestamp, Vec<Why>) {
    let history = &outcome.rollout.history;
    let end = history.iter().position(|event| event.entered == Some(PhaseName::Promoted)).expect("it was promoted");
    (history[end].at, history[end + 1..].iter().map(|event| event.why.clone()).collect())
}

#[test]
fn the_old_group_is_detached_when_its_time_has_come_and_not_before() {
    let mut scenario = kept_for(30);
    // What else is on the rule stays.
    let third = (ON.version("43"), 0);
    let groups = vec![(ON.baseline(), 1), third.clone()];
    scenario.events.push(after(0, What::RuleWritten { rule: 0, groups }));
    let outcome = clean_run(&scenario, 1);
    let (promoted, why) = afterwards(&outcome);
    assert_eq!((outcome.ended(), why), (Some(PhaseName::Promoted), vec![Why::Detached]));
    assert!(promoted < outcome.started_at + minutes(30), "the rollout ends as early as without");
    let writes = detaching(&outcome);
    assert_eq!(writes.len(), 2, "each rule once: {writes:?}");
    assert!(writes.iter().all(|write| write.at.since(promoted) == minutes(30)), "{writes:?}");
    let left: Vec<_> = writes.iter().filter_map(|write| rule_after(write)).collect();
    assert_eq!(left, [vec![third, (ON.canary(), 1)], vec![(ON.canary(), 1)]]);
    assert!(!outcome.rollout.is_active());
}

fn rule_after(write: &Write) -> Option<Vec<(Version, u16)>> {
    match &write.change {
        Change::Rule { after, .. } => Some(after.groups.clone()),
        Change::Alias { .. } => None,
    }
}

#[test]
fn until_the_next_rollout_means_that_nothing_is_left_to_do() {
    let outcome = clean_run(&ON.of(good()), 1);
    assert_eq!((afterwards(&outcome).1, detaching(&outcome).len(), outcome.rollout.detach_at), (vec![], 0, None));
    let back = clean_run(&Scenario { spec: kept_for(30).spec, ..ON.of(bad()) }, 1);
    assert_eq!((back.ended(), back.rollout.detach_at), (Some(PhaseName::RolledBack), None), "only the old group goes");
}

#[test]
fn a_target_that_others_have_changed_is_not_written_and_that_is_said() {
    let ten = Weight::from_basis_points(1_000).unwrap();
    for (primary, additional) in [("41", None), ("42", Some(("41", ten))), ("43", None), ("42", Some(("43", ten)))] {
        let additional = additional.map(|(number, weight)| (ON.version(number), weight));
        let mut scenario = kept_for(30);
        scenario.events.push(after(40, What::Written { primary: ON.version(primary), additional }));
        let outcome = run(&scenario, 2).unwrap();
        assert_eq!(outcome.violations, []);
        let (_, why) = afterwards(&outcome);
        let [Why::StaysAttached { why }] = why.as_slice() else { panic!("{why:?}") };
        assert!(why.starts_with("others have changed the target, it is now on "), "{why}");
        assert_eq!((detaching(&outcome).len(), outcome.rollout.is_active()), (0, false));
    }
}

/// Whoever follows has both groups, from its start on.
#[test]
fn the_next_rollout_cancels_it() {
    for minute in [40, 50] {
        let mut scenario = kept_for(30);
        let mut spec = scenario.spec.clone();
        spec["name"] = json!("checkout-43");
        scenario.events.push(after(minute, What::Command(json!({ "command": "start", "spec": spec, "by": "ci" }))));
        let outcome = clean_run(&scenario, 3);
        let (_, why) = afterwards(&outcome);
        let cancelled = Why::StaysAttached { why: "the newer rollout checkout-43 takes the target".to_owned() };
        assert_eq!(why, [cancelled], "{minute}");
        let next = &outcome.others["checkout-43"];
        assert_eq!((next.phase.name(), &next.baseline), (PhaseName::Promoted, &ON.canary()));
        // Its own old group goes when its own time has come.
        let writes = detaching(&outcome);
        assert_eq!(writes.len(), 2, "{writes:?}");
        assert!(writes.iter().all(|write| write.routing.primary == ON.baseline()));
        assert_eq!(next.history.last().map(|event| &event.why), Some(&Why::Detached));
    }
}

#[test]
fn killed_anywhere_it_is_detached_in_the_end() {
    let ways = [Way::KilledBefore, Way::KilledAfter, Way::Half, Way::Stale, Way::AnswerLost];
    assert!(with_each_fault(&kept_for(3), &ways) > 500);
}

#[test]
fn ticks_that_come_twice_and_two_controllers_detach_once() {
    for scenario in [Scenario { ticks_twice: true, ..kept_for(5) }, Scenario { rival: true, ..kept_for(5) }] {
        for seed in 1..=5 {
            let outcome = clean_run(&scenario, seed);
            assert_eq!(afterwards(&outcome).1, [Why::Detached]);
            assert!(detaching(&outcome).len() >= 2);
        }
    }
}

#[test]
fn what_cannot_be_read_or_written_is_tried_again_for_a_day() {
    for operation in [Operation::Look, Operation::Detach] {
        let rule = Rule { when: When::Every(operation), way: Way::Fails(FaultKind::Denied) };
        let denied = |until: u64| {
            let faults = vec![FaultWindow { from: minutes(40), until: minutes(until), rule }];
            Scenario { faults, longest: minutes(30 * 60), ..kept_for(30) }
        };
        let later = clean_run(&denied(90), 4);
        assert_eq!(afterwards(&later).1, [Why::Detached], "{operation:?}");
        let never = run(&denied(30 * 60), 4).unwrap();
        let (promoted, why) = afterwards(&never);
        assert!(matches!(why.as_slice(), [Why::StaysAttached { .. }]), "{why:?}");
        let last = never.rollout.history.last().unwrap().at;
        assert_eq!(last.since(promoted), minutes(30 + 24 * 60), "{operation:?}");
        assert!(!never.rollout.is_active());
    }
}

/// The switch that turns every writer off.
#[test]
fn in_observe_mode_nothing_is_detached() {
    let mut scenario = kept_for(30);
    scenario.spec["mode"] = json!("observe");
    let to = |minute, primary: &str, additional: Option<(Version, Weight)>| {
        after(minute, What::Written { primary: ON.version(primary), additional })
    };
    let ten = Weight::from_basis_points(1_000).unwrap();
    scenario.events = vec![to(3, "41", Some((ON.canary(), ten))), to(20, "42", None)];
    let outcome = run(&scenario, 5).unwrap();
    assert_eq!((outcome.ended(), outcome.rollout.detach_at), (Some(PhaseName::Promoted), None));
    assert_eq!(detaching(&outcome).len(), 0);
}
