//! Others at the same target: people, newer releases, other rollouts.

use super::*;
use crate::rollout::PhaseName;
use crate::units::Weight;

on_both!(
    somebody_else_changes_the_target_and_the_rollout_stops_and_touches_nothing,
    a_newer_release_supersedes_the_older_one_which_turns_back_first,
    a_newer_release_that_comes_at_the_end_starts_from_what_was_promoted,
    a_queued_release_waits,
    second_rollout_on_a_target_is_refused,
    the_more_careful_of_two_opinions_counts,
    people_pause_resume_and_abort,
    steady_late_data_delays_a_promotion_and_does_not_prevent_it,
);

/// Of another version; between two groups of whatever is in the one without traffic by then.
fn start_of(on: On, number: &str, newer: &str) -> What {
    let mut spec = spec_on(on);
    match on {
        On::Lambda => spec["version"] = number.into(),
        On::Alb => spec["name"] = format!("checkout-{number}").into(),
    }
    spec["newer"] = newer.into();
    What::Command(json!({ "command": "start", "spec": spec, "by": "ci" }))
}

fn with_newer(on: On, policy: &str, minute: u64) -> Scenario {
    let mut scenario = on.of(good());
    scenario.spec["newer"] = policy.into();
    scenario.events.push(after(minute, start_of(on, "43", policy)));
    scenario
}

/// When a newer release can wait: there is no third group, so between two groups it must be over with the raising.
fn room_to_wait(on: On) -> u64 {
    match on {
        On::Lambda => 6,
        On::Alb => 22,
    }
}

fn ends(outcome: &Outcome) -> (Option<PhaseName>, Option<PhaseName>) {
    (outcome.ended(), outcome.others.get("checkout-43").map(|other| other.phase.name()))
}

fn somebody_else_changes_the_target_and_the_rollout_stops_and_touches_nothing(on: On) {
    let ten = Weight::from_basis_points(1_000).unwrap();
    for minute in [2, 5, 9, 14, 18] {
        for (primary, additional) in [
            ("43", None),
            ("41", Some((version("43"), ten))),
            ("41", Some((version("42"), Weight::from_basis_points(3_700).unwrap()))),
        ] {
            let written = What::Written { primary: version(primary), additional };
            let scenario = Scenario { events: vec![after(minute, written)], ..good() };
            let outcome = run(&on.of(scenario), 3).unwrap();
            assert_eq!(outcome.violations, []);
            // Whoever sends traffic to a group that nothing forwarded to has not waited for its health checks.
            assert!(outcome.unserved() == 0 || on == On::Alb);
            assert_eq!(outcome.ended(), Some(PhaseName::Superseded), "{minute}: {:#?}", outcome.rollout.history);
            let theirs = outcome.writes.iter().rposition(|write| write.at == outcome.started_at + minutes(minute));
            assert_eq!(theirs, Some(outcome.writes.len() - 1), "nothing is written after theirs");
        }
    }
}

fn a_newer_release_supersedes_the_older_one_which_turns_back_first(on: On) {
    for minute in [0, 1, 3, 6, 10] {
        let outcome = clean_run(&with_newer(on, "supersede", minute), 5);
        assert_eq!(ends(&outcome), (Some(PhaseName::Superseded), Some(PhaseName::Promoted)), "{minute}");
        assert_eq!(outcome.others["checkout-43"].baseline, on.baseline());
    }
}

fn a_newer_release_that_comes_at_the_end_starts_from_what_was_promoted(on: On) {
    let outcome = clean_run(&with_newer(on, "supersede", 22), 5);
    assert_eq!(
        ends(&outcome),
        (Some(PhaseName::Promoted), Some(PhaseName::Promoted)),
        "{:#?}",
        outcome.rollout.history
    );
    assert_eq!(outcome.others["checkout-43"].baseline, on.canary());
}

fn a_queued_release_waits(on: On) {
    let minute = room_to_wait(on);
    let outcome = clean_run(&with_newer(on, "queue", minute), 5);
    assert_eq!(ends(&outcome), (Some(PhaseName::Promoted), Some(PhaseName::Promoted)));
    let (first, next) = (&outcome.rollout, &outcome.others["checkout-43"]);
    assert_eq!(next.baseline, on.canary());
    let ended = first.history.iter().find(|event| event.entered == Some(PhaseName::Promoted)).unwrap().at;
    assert!(ended > outcome.started_at + minutes(minute) && next.weights[0].at > ended, "or it has not waited");
}

fn second_rollout_on_a_target_is_refused(on: On) {
    let outcome = clean_run(&with_newer(on, "refuse", 6), 5);
    assert_eq!(ends(&outcome), (Some(PhaseName::Promoted), None));
    let told: Vec<String> =
        outcome.refused.iter().flat_map(|(_, problems)| problems).map(ToString::to_string).collect();
    let expected = format!(
        "newer: rollout checkout-42 ({} to {}) is in progress on {}, and `newer: refuse` allows no second one; abort it first",
        on.baseline(),
        on.canary(),
        on.target().key()
    );
    assert_eq!(told, [expected]);
}

fn the_more_careful_of_two_opinions_counts(on: On) {
    let mut scenario = with_newer(on, "supersede", room_to_wait(on));
    scenario.spec["newer"] = "queue".into();
    assert_eq!(ends(&clean_run(&scenario, 5)), (Some(PhaseName::Promoted), Some(PhaseName::Promoted)));
}

fn people_pause_resume_and_abort(on: On) {
    let ask = |minute, command: &str| {
        after(minute, What::Command(json!({ "command": command, "rollout": "checkout-42", "by": "mara" })))
    };
    let paused = Scenario { events: vec![ask(5, "pause"), ask(35, "resume")], ..good() };
    let outcome = clean_run(&on.of(paused), 9);
    assert_eq!(outcome.ended(), Some(PhaseName::Promoted));
    assert!(outcome.stopped_at.since(outcome.started_at) > minutes(40));
    let aborted = clean_run(&on.of(Scenario { events: vec![ask(5, "abort")], ..good() }), 9);
    assert_eq!(aborted.ended(), Some(PhaseName::RolledBack));
    assert_eq!(aborted.turned_back(), Some(aborted.started_at + minutes(5)), "in the same invocation");
    let promoted = clean_run(&on.of(Scenario { events: vec![ask(3, "promote")], ..good() }), 9);
    assert_eq!(promoted.reached(Weight::FULL), Some(promoted.started_at + minutes(3)));
}

/// Three releases, a minute apart and at every moment around the first one's end: whoever comes last is live in the end,
/// and nobody overtakes one that waits. Of three versions: between two groups there is no room for them.
#[test]
fn a_release_that_comes_between_an_end_and_the_next_ones_turn_overtakes_nobody() {
    let (queued, newest) = (Some(PhaseName::Promoted), Some(PhaseName::Promoted));
    let superseded = Some(PhaseName::Superseded);
    for (second, third, ends) in [
        ("supersede", "supersede", (superseded, newest)),
        ("supersede", "queue", (queued, newest)),
        ("queue", "supersede", (queued, newest)),
        ("queue", "queue", (queued, newest)),
    ] {
        for seconds in [0, 30, 60, 90] {
            let mut scenario = good();
            scenario.traffic.versions.insert(version("44"), Behaviour::steady(0.004));
            scenario.events.push(after(5, start_of(On::Lambda, "43", second)));
            let when = Moment::After(minutes(5).plus(Span::from_seconds(seconds)));
            scenario.events.push(Happening { when, what: start_of(On::Lambda, "44", third) });
            let outcome = clean_run(&scenario, 3);
            let end = |id: &str| outcome.others.get(id).map(|other| other.phase.name());
            assert_eq!((end("checkout-43"), end("checkout-44")), ends, "{second} {third} {seconds}");
            let last = outcome.writes.last().unwrap();
            assert_eq!(last.routing.primary, version("44"), "{second} {third} {seconds}");
        }
    }
}

/// Two in a hundred requests are told ten minutes late, all the time: the newest minutes never look the same twice.
fn steady_late_data_delays_a_promotion_and_does_not_prevent_it(on: On) {
    let mut scenario = good();
    scenario.traffic.delivery.late_per_mille = 20;
    scenario.traffic.delivery.late_by = minutes(10);
    let outcome = clean_run(&on.of(scenario), 3);
    assert_eq!(outcome.ended(), Some(PhaseName::Promoted));
    assert!(outcome.stopped_at < outcome.started_at + minutes(60), "{}", outcome.stopped_at);
}
