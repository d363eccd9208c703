//! What is learned before the first weight, and what it is good for.

use super::*;
use crate::analysis::Learned;
use crate::driver::start::{COUNTS_BYTES, DISTRIBUTION_BYTES};
use crate::ports::FaultKind;
use crate::rollout::{PhaseName, Rollout, Why};
use crate::sim::durations::Latency;
use crate::sim::faults::{Operation, Rule, Way, When};
use crate::sim::scenario::FaultWindow;
use crate::sim::traffic::Noise;
use crate::units::Weight;

on_both!(
    a_day_of_the_past_is_learned_before_the_first_weight_and_told,
    a_healthy_release_is_promoted_by_proof_of_errors_and_latency,
    a_release_with_twice_the_p99_is_rolled_back_for_latency,
    a_past_that_cannot_be_read_holds_the_start_until_it_can,
);

/// Errors and latency, as by default, at two weights.
fn both_checks(old: Behaviour, new: Behaviour) -> Scenario {
    let mut spec = spec();
    spec.as_object_mut().unwrap().remove("checks");
    spec["strategy"]["steps"][0]["weight"] = json!("20%");
    let versions = [(version("41"), old), (version("42"), new.clone()), (version("43"), new)];
    let traffic = Traffic { versions: versions.into(), ..traffic(0.004) };
    Scenario { spec, traffic, past: Span::from_hours(24), ..good() }
}

fn steady() -> Behaviour {
    Behaviour::steady(0.004)
}

fn learned(rollout: &Rollout, check: &str) -> Option<Learned> {
    rollout.plan.checks.iter().find(|planned| planned.name == check)?.learned.clone()
}

fn times_learned(rollout: &Rollout) -> usize {
    rollout.history.iter().filter(|event| matches!(event.why, Why::Learned { .. })).count()
}

fn why_rolled_back(outcome: &Outcome) -> String {
    let said = |why: &Why| if let Why::Harm { sentences } = why { Some(sentences.join("; ")) } else { None };
    let harm = outcome.rollout.history.iter().find_map(|event| said(&event.why));
    harm.unwrap_or_default()
}

fn a_day_of_the_past_is_learned_before_the_first_weight_and_told(on: On) {
    let outcome = clean_run(&on.of(both_checks(steady(), steady())), 1);
    let rollout = &outcome.rollout;
    let (errors, latency) = (learned(rollout, "errors").unwrap(), learned(rollout, "latency").unwrap());
    let a_day = 1430..=1440;
    assert!(
        a_day.contains(&errors.minutes) && a_day.contains(&latency.minutes),
        "{} {}",
        errors.minutes,
        latency.minutes
    );
    let events = errors.events.unwrap();
    assert!((events.events / events.requests - 0.004).abs() < 0.0005, "{events:?}");
    let edges = &rollout.plan.checks[1].distribution.as_ref().unwrap().edges;
    assert_eq!(edges.len(), 17, "{edges:?}");
    let counted: f64 = latency.distribution.unwrap().counts.iter().sum();
    assert!((counted / events.requests - 1.0).abs() < 0.01, "{counted} of {}", events.requests);
    assert_eq!(times_learned(rollout), 1, "at the start, and not again");
    let told = &rollout.history[1].why;
    assert!(matches!(told, Why::Learned { sentences } if sentences.len() == 2), "{told:?}");
}

/// What a start leaves room for, when nothing was learned yet.
#[test]
fn what_is_learned_fits_the_room_that_is_kept_for_it() {
    let rollout = clean_run(&both_checks(steady(), steady()), 2).rollout;
    for check in &rollout.plan.checks {
        let room = if check.distribution.is_some() { DISTRIBUTION_BYTES } else { COUNTS_BYTES };
        let bytes = serde_json::to_string(&(&check.learned, &check.distribution)).unwrap().len();
        assert!((200..room * 3 / 4).contains(&bytes), "{}: {bytes} of {room} bytes", check.name);
    }
}

fn a_healthy_release_is_promoted_by_proof_of_errors_and_latency(on: On) {
    for seed in 1..=3 {
        let outcome = clean_run(&on.of(both_checks(steady(), steady())), seed);
        assert_eq!(outcome.ended(), Some(PhaseName::Promoted), "seed {seed}: {:#?}", outcome.rollout.history);
        let said = |why: &Why| if let Why::Proven { sentences } = why { Some(sentences.len()) } else { None };
        let proven = outcome.rollout.history.iter().filter_map(|event| said(&event.why));
        assert_eq!(proven.collect::<Vec<_>>(), [2, 2], "both checks, at both steps");
    }
}

fn a_release_with_twice_the_p99_is_rolled_back_for_latency(on: On) {
    for seed in 1..=3 {
        let slow = steady().taking(Span::ZERO, Latency::default().with_tail(2.0));
        let outcome = clean_run(&on.of(both_checks(steady(), slow)), seed);
        assert_eq!(outcome.ended(), Some(PhaseName::RolledBack), "seed {seed}: {:#?}", outcome.rollout.history);
        let why = why_rolled_back(&outcome);
        assert!(why.starts_with("latency: "), "seed {seed}: {why}");
        let took = outcome.turned_back().unwrap().since(outcome.started_at);
        assert!(took <= minutes(12), "seed {seed}: {took}");
    }
}

/// A third of both versions' datapoints comes minutes late: what is missing is not fast, and not fine.
#[test]
fn late_datapoints_change_no_verdict() {
    let slow = steady().taking(Span::ZERO, Latency::default().with_tail(2.0));
    for (new, end) in [(steady(), PhaseName::Promoted), (slow, PhaseName::RolledBack)] {
        for seed in 11..=12 {
            let mut scenario = both_checks(steady(), new.clone());
            scenario.traffic.delivery = Delivery {
                late_per_mille: 300,
                late_by: minutes(2),
                durations: Span::from_seconds(90),
                ..Delivery::default()
            };
            scenario.settings.metric_lag = minutes(5);
            let outcome = clean_run(&scenario, seed);
            assert_eq!(outcome.ended(), Some(end), "seed {seed}: {:#?}", outcome.rollout.history);
        }
    }
}

/// Ten errors at a time, in the past as in the rollout: each version looks much worse than the other now and then.
#[test]
fn errors_that_always_came_in_bursts_roll_nothing_back() {
    for seed in 21..=28 {
        let bursts = || Behaviour { clusters: 10.0, ..steady() };
        let mut scenario = both_checks(bursts(), bursts());
        // Bursts make a proof long: the start refuses shorter deadlines, and says so.
        scenario.spec["deadline"] = json!("12h");
        let outcome = clean_run(&Scenario { longest: Span::from_hours(3), ..scenario }, seed);
        assert_ne!(outcome.ended(), Some(PhaseName::RolledBack), "seed {seed}: {}", why_rolled_back(&outcome));
    }
}

#[test]
fn versions_that_always_were_of_different_speed_from_minute_to_minute_are_not_rolled_back() {
    for seed in 31..=36 {
        let noisy = || Behaviour { noise: Noise { latency: 0.05, failing: 0.2, memory: 0.0 }, ..steady() };
        let outcome = clean_run(&both_checks(noisy(), noisy()), seed);
        assert_ne!(outcome.ended(), Some(PhaseName::RolledBack), "seed {seed}: {}", why_rolled_back(&outcome));
    }
}

#[test]
fn the_past_is_that_of_the_alias_where_lambda_has_no_series_of_a_version_alone() {
    let mut scenario = both_checks(steady(), steady());
    scenario.traffic.delivery.versions_alone = false;
    let rollout = clean_run(&scenario, 41).rollout;
    assert!(learned(&rollout, "errors").unwrap().minutes > 1430);
    assert!(learned(&rollout, "latency").unwrap().minutes > 1430);
}

fn a_past_that_cannot_be_read_holds_the_start_until_it_can(on: On) {
    let rule = Rule { when: When::Every(Operation::Fetch), way: Way::Fails(FaultKind::Throttled) };
    let faults = vec![FaultWindow { from: Span::ZERO, until: minutes(10), rule }];
    let scenario = Scenario { faults, ..both_checks(steady(), steady()) };
    let outcome = clean_run(&on.of(scenario), 51);
    let first = outcome.reached(Weight::from_basis_points(2_000).unwrap()).unwrap();
    assert!((minutes(10)..minutes(12)).contains(&first.since(outcome.started_at)), "{first}");
    assert_eq!(outcome.ended(), Some(PhaseName::Promoted));
    let holding = outcome.reports.iter().flat_map(|report| &report.lines).flat_map(|line| &line.holding);
    let why = "the old version's past could not be read: fetch was throttled";
    assert!(holding.clone().any(|hold| hold.starts_with(why)), "{:?}", holding.collect::<Vec<_>>());

    let for_ever = vec![FaultWindow { from: Span::ZERO, until: minutes(600), rule }];
    let scenario = Scenario { faults: for_ever, longest: minutes(90), ..both_checks(steady(), steady()) };
    let outcome = clean_run(&on.of(scenario), 52);
    assert_eq!(outcome.weights().len(), 1, "no weight without the past: {:#?}", outcome.rollout.history);
    assert_ne!(outcome.rollout.phase.name(), PhaseName::Pending, "the deadline ends it");
}

/// The rollout in front makes v42 the baseline of the one that waits.
#[test]
fn whoever_leaves_the_queue_learns_of_its_own_baseline() {
    let mut scenario = both_checks(steady(), steady());
    scenario.spec["newer"] = json!("queue");
    let mut second = scenario.spec.clone();
    second["version"] = json!("43");
    let start = json!({ "command": "start", "spec": second, "by": "mara" });
    let scenario = Scenario { events: vec![after(3, What::Command(start))], ..scenario };
    let outcome = clean_run(&scenario, 61);
    assert_eq!(outcome.refused, []);
    let queued = &outcome.others["checkout-43"];
    assert_eq!((queued.baseline.clone(), queued.phase.name()), (version("42"), PhaseName::Promoted));
    assert_eq!(times_learned(queued), 1, "{:#?}", queued.history);
    let at = queued.learned_at.unwrap();
    assert!(at.since(queued.started_at) > minutes(10), "not at its own start, but when its turn came");
    // The minutes in which v41 and v42 shared the alias are left out.
    let minutes = learned(queued, "errors").unwrap().minutes;
    let shared = outcome.rollout.history.iter().find(|event| event.entered == Some(PhaseName::Promoting)).unwrap();
    let shared = shared.at.since(outcome.reached(Weight::from_basis_points(2_000).unwrap()).unwrap());
    let left_out = i64::from(1440 - minutes);
    assert!((left_out - shared.minutes_ceil()).abs() <= 3, "{left_out} minutes left out, {shared} shared");
}
