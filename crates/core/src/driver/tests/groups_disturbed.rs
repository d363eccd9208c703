//! What others do to target groups and rules in the middle of a rollout.

use super::*;
use crate::observation::{AlarmState, Split};
use crate::ports::{CreateError, RolloutStore};
use crate::rollout::{Phase, PhaseName, Rollout, Why};
use crate::sim::executor::run_now;
use crate::units::Weight;

const ON: On = On::Alb;

fn percent(percent: u16) -> Weight {
    Weight::from_basis_points(100 * percent).unwrap()
}

fn with(events: Vec<Happening>) -> Scenario {
    Scenario { events, ..ON.of(good()) }
}

fn targets_of(group: Version, minute: u64, healthy: u32, unhealthy: u32) -> Happening {
    after(minute, What::Health { group, healthy, unhealthy })
}

fn rings_at(minute: u64) -> Happening {
    after(minute, What::Alarm { name: "red".to_owned(), state: AlarmState::Alarm })
}

fn live_at(outcome: &Outcome, minute: u64) -> Weight {
    let at = outcome.started_at + minutes(minute);
    outcome.weights().iter().rev().find(|(since, _)| *since <= at).map(|(_, weight)| *weight).unwrap()
}

/// All is on the new group at minute 21, and somebody has scaled the old one to zero. A new group that does harm still
/// answers; nobody would answer after the rollback.
#[test]
fn a_rollback_into_a_group_without_targets_waits_for_one_and_is_told() {
    let asked = What::Command(json!({ "command": "abort", "rollout": "checkout-42", "by": "mara" }));
    for turn in [rings_at(22), after(22, asked)] {
        for (healthy, unhealthy) in [(0, 0), (0, 10)] {
            let events = vec![
                targets_of(ON.baseline(), 21, healthy, unhealthy),
                turn.clone(),
                targets_of(ON.baseline(), 50, 1, unhealthy),
            ];
            let outcome = clean_run(&with(events), 1);
            assert_eq!([21, 30, 49].map(|minute| live_at(&outcome, minute)), [Weight::FULL; 3]);
            let back = outcome.turned_back().unwrap().since(outcome.started_at);
            assert!(back >= minutes(50) && back <= minutes(51), "{back}");
            assert_eq!(outcome.ended(), Some(PhaseName::RolledBack));
            let told: Vec<_> = outcome.notices.iter().filter(|notice| notice.why.contains("rollback waits")).collect();
            assert_eq!((told.len(), told[0].phase), (1, PhaseName::RollingBack), "{told:?}");
            assert!(
                told[0].why.starts_with("the rollback waits: checkout-green has no healthy target"),
                "{}",
                told[0].why
            );
        }
    }
}

#[test]
fn where_nobody_answers_on_either_side_all_goes_back_at_once() {
    let events = vec![targets_of(ON.baseline(), 21, 0, 0), targets_of(ON.canary(), 22, 0, 10)];
    let outcome = run(&with(events), 1).unwrap();
    assert_eq!(outcome.violations, []);
    assert_eq!(outcome.ended(), Some(PhaseName::RolledBack), "{:#?}", outcome.rollout.history);
    assert!(outcome.turned_back().unwrap().since(outcome.started_at) <= minutes(23));
}

/// The other rules would keep the new release, and nobody would look after it.
#[test]
fn what_goes_through_the_other_rules_is_put_back_when_somebody_takes_one() {
    let third = ON.version("43");
    let abort = || {
        let when = Moment::AfterWeight(percent(10), Span::from_seconds(150));
        let asked = json!({ "command": "abort", "rollout": "checkout-42", "by": "mara" });
        Happening { when, what: What::Command(asked) }
    };
    let taken = |rule: usize, seconds: u64, groups: &[(Version, u16)]| {
        let when = Moment::AfterWeight(percent(10), Span::from_seconds(seconds));
        Happening { when, what: What::RuleWritten { rule, groups: groups.to_vec() } }
    };
    let alone = [(third.clone(), 1)];
    let shared = [(ON.baseline(), 7), (ON.canary(), 2), (third, 1)];
    for (rule, groups) in [(0, alone.as_slice()), (1, &alone), (0, &shared), (1, &shared)] {
        for (events, minute) in [
            (vec![taken(rule, 100, groups)], 4),
            (vec![abort(), taken(rule, 155, groups)], 5),
            // Before the write of the rollback.
            (vec![taken(rule, 149, groups), abort()], 5),
        ] {
            let outcome = run(&with(events), 6).unwrap();
            assert_eq!(outcome.violations, [], "{rule} {groups:?}");
            assert_eq!(outcome.ended(), Some(PhaseName::Superseded), "{groups:?}: {:#?}", outcome.rollout.history);
            let live = outcome.writes.last().unwrap();
            assert!(live.at <= outcome.started_at + minutes(minute), "{}", live.at);
            let left = live.routing.still_ours(&ON.baseline(), &ON.canary());
            assert_eq!(left, Some(Weight::ZERO), "{}", live.routing);
            assert!(format!("{}", live.routing).contains("checkout-43"), "theirs is not written: {}", live.routing);
            let why = outcome.rollout.history.last().map(|event| event.why.clone());
            assert!(matches!(why, Some(Why::PartlyTaken { .. })), "{why:?}");
        }
    }
}

/// A write of an earlier weight that arrives late looks like somebody's: whoever it was, the rest must not stay as it is.
#[test]
fn what_goes_through_the_other_rules_is_put_back_when_one_is_put_back() {
    for rule in [0, 1] {
        let when = Moment::AfterWeight(percent(10), Span::from_seconds(30));
        let groups = vec![(ON.baseline(), 1), (ON.canary(), 0)];
        let outcome = run(&with(vec![Happening { when, what: What::RuleWritten { rule, groups } }]), 6).unwrap();
        assert_eq!(outcome.violations, [], "{rule}");
        assert_eq!(outcome.ended(), Some(PhaseName::Superseded), "{:#?}", outcome.rollout.history);
        let live = &outcome.writes.last().unwrap().routing;
        assert_eq!(live.split(&ON.baseline(), &ON.canary()), Split::Ours(Weight::ZERO), "{live}");
        let why = outcome.rollout.history.last().map(|event| event.why.clone());
        assert!(matches!(why, Some(Why::PartlyTaken { .. })), "{why:?}");
    }
}

#[test]
fn stickiness_that_is_switched_on_meanwhile_is_said_raises_nothing_and_stops_no_rollback() {
    let sticky = |minute, kept: Option<Span>| after(minute, What::Sticky(kept));
    let events = vec![sticky(5, Some(minutes(60))), sticky(45, None)];
    let outcome = clean_run(&with(events), 3);
    assert_eq!([10, 30, 44].map(|minute| live_at(&outcome, minute)), [percent(10); 3]);
    let held = |outcome: &Outcome| {
        let lines = outcome.reports.iter().flat_map(|report| &report.lines);
        let holding = lines.flat_map(|line| line.holding.iter().map(|why| (line.phase, why.clone())));
        let said = holding.filter(|(_, why)| why.starts_with("target-group stickiness was switched on (1h)"));
        said.map(|(phase, _)| phase).collect::<Vec<_>>()
    };
    assert!(held(&outcome).contains(&PhaseName::Baking));
    assert_eq!(outcome.ended(), Some(PhaseName::Promoted), "{:#?}", outcome.rollout.history);
    let back = clean_run(&with(vec![sticky(5, Some(minutes(60))), rings_at(7)]), 3);
    assert_eq!(back.ended(), Some(PhaseName::RolledBack));
    assert!(back.turned_back().unwrap().since(back.started_at) < minutes(8));
    assert!(held(&back).contains(&PhaseName::RollingBack));
}

/// They would have different names, and each would find the other's weights.
#[test]
fn a_pair_with_a_group_in_common_cannot_be_rolled_out_on_at_the_same_time() {
    let mut spec = ON.of(good()).spec;
    spec["name"] = json!("checkout-43");
    spec["target"]["alb"]["targetGroups"] = json!(["checkout-green", "checkout-43"]);
    for minute in [0, 4, 13] {
        let start = What::Command(json!({ "command": "start", "spec": spec, "by": "ci" }));
        let outcome = clean_run(&with(vec![after(minute, start)]), 2);
        assert_eq!(outcome.ended(), Some(PhaseName::Promoted));
        let told: Vec<String> = outcome.refused.iter().flat_map(|(_, all)| all).map(ToString::to_string).collect();
        let [told] = told.as_slice() else { panic!("{told:?}") };
        assert!(told.starts_with("target.alb.targetGroups: rollout checkout-42 ("), "{told}");
        assert!(
            told.ends_with("is in progress on one of these groups and a third one; start this one when it has ended")
        );
    }
    // And where two starts come at the same moment, the claims collide.
    let world = ON.world();
    let first = ON.rollout();
    let mut second = Rollout { id: "checkout-43".to_owned(), ..first.clone() };
    let Target::Alb(alb) = &mut second.spec.target else { panic!("target groups") };
    alb.target_groups[1] = "checkout-43".to_owned();
    run_now(world.create(&first)).unwrap().unwrap();
    let refused = run_now(world.create(&second)).unwrap();
    assert!(matches!(&refused, Err(CreateError::TargetTaken { by }) if *by == first.id), "{refused:?}");
    let ended = Rollout { phase: Phase::Promoted { at: first.now }, revision: first.revision + 1, ..first.clone() };
    run_now(world.save(&first, &ended, None)).unwrap().unwrap();
    run_now(world.create(&second)).unwrap().unwrap();
}
