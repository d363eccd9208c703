//! Deployments that CodeDeploy and Amazon ECS run: judged, answered and stopped, whatever goes wrong meanwhile.

use super::*;
use crate::deployment::DeploymentState;
use crate::observation::{AlarmState, TestOutcome};
use crate::ports::FaultKind;
use crate::rollout::{PhaseName, Why};
use crate::sim::faults::{Operation, Rule, Way, When};
use crate::sim::scenario::{Calls, FaultWindow, RunError};
use crate::sim::traffic::Behaviour;
use crate::sim::world::{CodeDeploy, Deploys, Ecs, Telling, Tells, Timetable};
use crate::units::{Timestamp, Weight};

const SEED: u64 = 7;

fn weight(points: u16) -> Weight {
    Weight::from_basis_points(points).unwrap()
}

fn canary() -> Timetable {
    Timetable::Canary { first: weight(2_000), bake: minutes(8) }
}

fn by_code_deploy(scenario: Scenario) -> Scenario {
    Scenario { longest: Span::from_hours(4), ..scenario.deployed_by(Deploys::CodeDeploy(CodeDeploy::new(canary()))) }
}

/// A third at a time.
fn linear() -> Timetable {
    Timetable::Linear { by: weight(3_400), every: minutes(2) }
}

fn by_ecs(scenario: Scenario) -> Scenario {
    with_ecs(scenario, Ecs::new(linear()))
}

fn with_ecs(scenario: Scenario, ecs: Ecs) -> Scenario {
    Scenario { longest: Span::from_hours(4), ..scenario.deployed_by(Deploys::Ecs(ecs)) }
}

/// It begins to fail when it has all the traffic.
fn late() -> Scenario {
    let mut scenario = good();
    let failing = vec![(Span::ZERO, 0.004), (minutes(9), 0.5)];
    scenario.traffic.versions.insert(version("42"), Behaviour { failing, ..Behaviour::default() });
    scenario
}

/// Its test fails.
fn untested() -> Scenario {
    let mut scenario = tested();
    let outcome = TestOutcome::Failed("wanted 200, got 500".to_owned());
    scenario.events.push(after(0, What::Tests { version: version("42"), outcome }));
    scenario
}

fn tested() -> Scenario {
    let mut scenario = good();
    scenario.spec["tests"] = json!([{ "invoke": { "payload": {} } }]);
    scenario
}

/// An alarm rings while the first weight is live.
fn ringing() -> Scenario {
    let ring = What::Alarm { name: "red".to_owned(), state: AlarmState::Alarm };
    let mut scenario = good();
    scenario.events.push(Happening { when: Moment::AfterWeight(weight(2_000), Span::from_seconds(90)), what: ring });
    scenario
}

fn faulty(from: Span, until: Span, when: When, way: Way) -> FaultWindow {
    FaultWindow { from, until, rule: Rule { when, way } }
}

/// How the deployment itself ended, and whether it was followed by one that rolls back.
fn deployed(outcome: &Outcome) -> (DeploymentState, bool) {
    (outcome.deployments[0].state.clone(), outcome.deployments.iter().any(|deployment| deployment.rolls_back))
}

/// What its hooks were told, where it counted: the weight, and whether to go on.
fn answers(outcome: &Outcome) -> Vec<(Weight, bool)> {
    let judged = outcome.told.iter().filter(|told| !told.rolls_back);
    judged.filter_map(|told| answer(&told.what)).collect()
}

fn answer(told: &Telling) -> Option<(Weight, bool)> {
    match *told {
        Telling::Answer { at, goes_on, counts: true, .. } => Some((at, goes_on)),
        Telling::Answer { .. }
        | Telling::Stop { .. }
        | Telling::NoAnswer { .. }
        | Telling::Broke
        | Telling::GaveUp(_) => None,
    }
}

fn stops(outcome: &Outcome) -> usize {
    outcome.told.iter().filter(|told| matches!(told.what, Telling::Stop { had_ended: false })).count()
}

fn failed_hook() -> DeploymentState {
    DeploymentState::Failed { why: "HOOK_EXECUTION_FAILURE".to_owned() }
}

fn stopped() -> DeploymentState {
    DeploymentState::Stopped { why: "MANUAL_STOP".to_owned() }
}

fn last_weight(outcome: &Outcome) -> Weight {
    outcome.weights().last().unwrap().1
}

/// Runs the scenario once per minute in which something is new, per call and way, with that one fault in every invocation of
/// the minute; how many runs there were. `same` says whether a run ended as it should, beside the undisturbed one.
fn with_each_fault(scenario: &Scenario, ways: &[Way], same: impl Fn(&Outcome, &Outcome) -> bool) -> usize {
    let undisturbed = clean_run(scenario, SEED);
    let length = undisturbed.stopped_at.since(undisturbed.started_at).minutes_ceil();
    let calls_of = |minute: u64| -> Vec<usize> {
        let within = |at: Timestamp| at.since(undisturbed.started_at).seconds() / 60 == minute;
        undisturbed.calls.iter().filter(|(at, _)| within(*at)).map(|(_, calls)| *calls).collect()
    };
    let mut runs = 0;
    for minute in 0..u64::try_from(length).unwrap() {
        let (from, until) = (minutes(minute), minutes(minute + 1));
        // A minute like those around it has nothing that they have not.
        if minute > 1 && [minute - 1, minute + 1].iter().all(|other| calls_of(*other) == calls_of(minute)) {
            continue;
        }
        let calls = calls_of(minute).into_iter().max().unwrap_or(0);
        for (call, way) in (0..calls).flat_map(|call| ways.iter().map(move |way| (call, *way))) {
            let mut disturbed = scenario.clone();
            disturbed.faults.push(faulty(from, until, When::Call(call), way));
            runs += 1;
            let outcome = match run(&disturbed, SEED) {
                // ECS takes a dead function for a refusal: then there may be nothing to judge any more.
                Err(RunError::Nothing) if KILLED.contains(&way) && minute <= 1 => continue,
                outcome => outcome.unwrap(),
            };
            let told = || format!("{way:?} at call {call} of minute {minute}: {:#?}", outcome.rollout.history);
            assert_eq!(outcome.violations, [], "{}, {:#?}", told(), outcome.told);
            assert!(same(&outcome, &undisturbed), "{}, {:#?}", told(), outcome.told);
            assert_eq!(outcome.unserved(), 0, "{}", told());
        }
    }
    runs
}

/// The deployment and its rollout end as they did, and so does the traffic.
fn same_end(outcome: &Outcome, undisturbed: &Outcome) -> bool {
    let end = |outcome: &Outcome| (outcome.ended(), last_weight(outcome));
    let succeeded = |outcome: &Outcome| deployed(outcome).0 == DeploymentState::Succeeded;
    end(outcome) == end(undisturbed) && succeeded(outcome) == succeeded(undisturbed)
}

/// A function that dies makes ECS put the old version back, whatever it was about to say.
fn same_end_or_broken(outcome: &Outcome, undisturbed: &Outcome) -> bool {
    let broke = outcome.told.iter().any(|told| told.what == Telling::Broke);
    let back = (outcome.ended(), last_weight(outcome)) == (Some(PhaseName::RolledBack), Weight::ZERO);
    same_end(outcome, undisturbed) || broke && back
}

#[test]
fn a_good_deployment_is_let_through() {
    for scenario in [good(), tested()] {
        let outcome = clean_run(&by_code_deploy(scenario), SEED);
        assert_eq!(deployed(&outcome), (DeploymentState::Succeeded, false), "{:#?}", outcome.rollout.history);
        assert_eq!(answers(&outcome), [(Weight::ZERO, true), (Weight::FULL, true)]);
        assert_eq!((outcome.ended(), stops(&outcome)), (Some(PhaseName::Promoted), 0));
        assert!(
            outcome.measured.iter().all(|(_, worse)| !worse) && outcome.measured.len() > 3,
            "{:?}",
            outcome.measured
        );
    }
}

#[test]
fn a_bad_deployment_is_stopped_on_its_way() {
    for scenario in [bad(), ringing()] {
        let outcome = clean_run(&by_code_deploy(scenario), SEED);
        assert_eq!(deployed(&outcome), (stopped(), true), "{:#?}", outcome.rollout.history);
        assert_eq!((stops(&outcome), answers(&outcome)), (1, vec![(Weight::ZERO, true)]));
        assert_eq!((outcome.ended(), last_weight(&outcome)), (Some(PhaseName::RolledBack), Weight::ZERO));
        assert!(outcome.reached(Weight::FULL).is_none(), "before its own time was over");
    }
    let worse = |scenario| clean_run(&by_code_deploy(scenario), SEED).measured.iter().any(|(_, worse)| *worse);
    assert_eq!((worse(bad()), worse(ringing())), (true, false), "an alarm is no verdict");
}

#[test]
fn one_that_turns_bad_at_the_end_is_failed_by_its_hook() {
    // Lambda may tell of a version alone by its alias only.
    for versions_alone in [true, false] {
        let mut scenario = by_code_deploy(late());
        scenario.traffic.delivery.versions_alone = versions_alone;
        let outcome = clean_run(&scenario, SEED);
        assert_eq!(deployed(&outcome), (failed_hook(), true), "{:#?}", outcome.rollout.history);
        assert_eq!(answers(&outcome), [(Weight::ZERO, true), (Weight::FULL, false)]);
        assert_eq!(
            (outcome.ended(), last_weight(&outcome), stops(&outcome)),
            (Some(PhaseName::RolledBack), Weight::ZERO, 0)
        );
    }
}

#[test]
fn a_failing_test_is_told_before_any_traffic() {
    let outcome = clean_run(&by_code_deploy(untested()), SEED);
    assert_eq!(deployed(&outcome), (failed_hook(), true), "{:#?}", outcome.rollout.history);
    assert_eq!(answers(&outcome), [(Weight::ZERO, false)]);
    assert!(outcome.writes.iter().all(|write| write.routing.additional.is_none()), "{:?}", outcome.writes);
    assert_eq!((outcome.ended(), last_weight(&outcome)), (Some(PhaseName::RolledBack), Weight::ZERO));
}

const KILLED: [Way; 2] = [Way::KilledBefore, Way::KilledAfter];

const FAULTS: [Way; 5] = [Way::Fails(FaultKind::Throttled), Way::AnswerLost, Way::Stale, Way::Hangs, Way::Panics];

#[test]
fn a_good_deployment_survives_being_killed_at_every_call() {
    let runs = with_each_fault(&by_code_deploy(good()), &KILLED, same_end);
    assert!(runs > 80, "{runs}");
}

#[test]
fn a_bad_deployment_is_stopped_though_killed_at_every_call() {
    let runs = with_each_fault(&by_code_deploy(bad()), &KILLED, same_end);
    assert!(runs > 40, "{runs}");
}

#[test]
fn one_that_turns_bad_at_the_end_is_failed_though_killed_at_every_call() {
    let runs = with_each_fault(&by_code_deploy(late()), &KILLED, same_end);
    assert!(runs > 60, "{runs}");
}

#[test]
fn a_failing_test_is_told_though_killed_at_every_call() {
    let runs = with_each_fault(&by_code_deploy(untested()), &KILLED, same_end);
    assert!(runs > 20, "{runs}");
}

#[test]
fn every_single_fault_beside_a_deployment_is_survived() {
    let runs: Vec<usize> = [good(), bad(), late(), untested()]
        .map(|scenario| with_each_fault(&by_code_deploy(scenario), &FAULTS, same_end))
        .into();
    assert!(runs.iter().sum::<usize>() > 300, "{runs:?}");
}

#[test]
fn whatever_becomes_of_calls_and_events_the_end_is_the_same() {
    let all = [
        Calls::Twice(Span::from_seconds(1)),
        Calls::Twice(Span::from_seconds(130)),
        Calls::Late(minutes(2)),
        Calls::NoNews,
    ];
    for calls in all {
        for (scenario, end) in [
            (good(), PhaseName::Promoted),
            (bad(), PhaseName::RolledBack),
            (late(), PhaseName::RolledBack),
            (untested(), PhaseName::RolledBack),
        ] {
            for twice in [false, true] {
                let scenario = Scenario { ticks_twice: twice, ..by_code_deploy(scenario.clone()).called(calls) };
                assert_eq!(clean_run(&scenario, SEED).ended(), Some(end), "{calls:?}");
            }
        }
    }
}

/// Nothing moves without an answer, and CodeDeploy gives up after an hour.
#[test]
fn a_hook_that_never_comes_fails_the_deployment_before_it_moves() {
    let outcome = clean_run(&by_code_deploy(good()).called(Calls::NoHooks), SEED);
    assert_eq!(deployed(&outcome), (failed_hook(), true));
    assert_eq!((outcome.ended(), last_weight(&outcome)), (Some(PhaseName::RolledBack), Weight::ZERO));
}

/// Without hooks there is nobody to answer: it is stopped, or not.
#[test]
fn a_deployment_without_hooks_is_judged_by_its_news() {
    let plan = CodeDeploy { asks_before: false, asks_after: false, ..CodeDeploy::new(canary()) };
    let run = |scenario: Scenario| clean_run(&scenario.deployed_by(Deploys::CodeDeploy(plan.clone())), SEED);
    let (good, bad) = (run(good()), run(bad()));
    assert_eq!((good.ended(), deployed(&good).0), (Some(PhaseName::Promoted), DeploymentState::Succeeded));
    assert_eq!((bad.ended(), deployed(&bad)), (Some(PhaseName::RolledBack), (stopped(), true)));
}

#[test]
fn two_controllers_beside_a_deployment_equal_one() {
    for seed in 0..15 {
        for (scenario, end) in
            [(good(), PhaseName::Promoted), (bad(), PhaseName::RolledBack), (late(), PhaseName::RolledBack)]
        {
            let scenario = Scenario { rival: true, ..by_code_deploy(scenario) };
            assert_eq!(clean_run(&scenario, seed).ended(), Some(end), "seed {seed}");
        }
    }
}

#[test]
fn with_any_one_service_failing_for_a_while_a_deployment_ends_all_the_same() {
    for operation in Operation::ALL {
        for way in [Way::Fails(FaultKind::Failed), Way::Hangs, Way::AnswerLost, Way::Panics] {
            for (scenario, ends) in [(good(), PhaseName::Promoted), (late(), PhaseName::RolledBack)] {
                let mut scenario = by_code_deploy(scenario);
                scenario.faults.push(faulty(minutes(2), minutes(15), When::Every(operation), way));
                let outcome = run(&scenario, SEED).unwrap();
                let told = || format!("{operation:?} {way:?}: {:#?} {:#?}", outcome.rollout.history, outcome.told);
                assert_eq!(outcome.violations, [], "{}", told());
                assert_eq!(outcome.ended(), Some(ends), "{}", told());
            }
        }
    }
}

/// The one exception to saving before acting.
#[test]
fn with_the_table_failing_a_bad_deployment_is_still_stopped() {
    let mut scenario = by_code_deploy(bad());
    let way = Way::Fails(FaultKind::Failed);
    scenario.faults.push(faulty(minutes(2), minutes(30), When::Every(Operation::Save), way));
    let outcome = run(&scenario, SEED).unwrap();
    assert_eq!(outcome.violations, []);
    assert_eq!(deployed(&outcome), (stopped(), true), "{:#?}", outcome.rollout.history);
    assert!(outcome.reached(Weight::FULL).is_none());
}

/// The hook before the traffic has its answer, and its hour is over when the one after the traffic is called.
#[test]
fn a_hook_that_could_not_be_forgotten_is_not_the_question_of_the_next() {
    let long = CodeDeploy::new(Timetable::Canary { first: weight(2_000), bake: minutes(90) });
    let mut scenario = Scenario { longest: Span::from_hours(6), ..good().deployed_by(Deploys::CodeDeploy(long)) };
    scenario.spec["deadline"] = json!("4h");
    let mut disturbed = scenario.clone();
    let way = Way::Fails(FaultKind::Failed);
    disturbed.faults.push(faulty(Span::ZERO, Span::from_hours(6), When::Every(Operation::DropHook), way));
    let (clean, outcome) = (clean_run(&scenario, SEED), run(&disturbed, SEED).unwrap());
    assert_eq!((answers(&clean), clean.ended()), (answers(&outcome), outcome.ended()), "{:#?}", outcome.told);
    assert_eq!(deployed(&outcome).0, DeploymentState::Succeeded);
}

/// Nothing can be recorded, and so nothing is what was decided: neither the hook after the traffic nor the one before it is
/// told to go on by it, and harm is stopped where the answer cannot tell it.
#[test]
fn what_cannot_be_recorded_is_no_consent() {
    for (scenario, from) in [(late(), 9), (untested(), 0)] {
        let mut scenario = by_code_deploy(scenario);
        scenario.spec["undecided"] = json!({ "noData": "promote" });
        let way = Way::Fails(FaultKind::Failed);
        scenario.faults.push(faulty(minutes(from), Span::from_hours(3), When::Every(Operation::Save), way));
        let outcome = run(&scenario, SEED).unwrap();
        assert_eq!(outcome.violations, [], "{:#?}", outcome.told);
        let full = answers(&outcome).iter().any(|(at, goes_on)| *at == Weight::FULL && *goes_on);
        let stopped = deployed(&outcome).0 != DeploymentState::Succeeded;
        assert!(!full && stopped, "{:#?}", outcome.told);
    }
}

/// The answer to the hook is denied for good; the deployment can still be stopped.
#[test]
fn harm_that_no_answer_can_tell_stops_the_deployment() {
    let mut scenario = by_code_deploy(late());
    let way = Way::Fails(FaultKind::Denied);
    scenario.faults.push(faulty(minutes(8), Span::from_hours(3), When::Every(Operation::Answer), way));
    let outcome = run(&scenario, SEED).unwrap();
    assert_eq!((deployed(&outcome).0, stops(&outcome)), (stopped(), 1), "{:#?}", outcome.told);
}

/// No data is never good news: without a look at either version the hook after the traffic is not told to go on.
#[test]
fn a_deployment_that_nobody_can_see_does_not_pass() {
    for (no_data, goes_on) in [("rollBack", false), ("promote", true)] {
        let mut scenario = by_code_deploy(good());
        scenario.spec["undecided"] = json!({ "noData": no_data, "tooLittleTraffic": no_data });
        let way = Way::Fails(FaultKind::Denied);
        scenario.faults.push(faulty(minutes(1), Span::from_hours(4), When::Every(Operation::Fetch), way));
        let outcome = clean_run(&scenario, SEED);
        assert_eq!(answers(&outcome).last(), Some(&(Weight::FULL, goes_on)), "{:#?}", outcome.rollout.history);
        let at_the_end = outcome.told.iter().find(|told| answer(&told.what).is_some_and(|(at, _)| at == Weight::FULL));
        let waited = at_the_end.unwrap().at.since(outcome.reached(Weight::FULL).unwrap());
        assert!(waited < Span::from_hours(1), "{waited:?}");
    }
}

#[test]
fn observe_mode_stops_no_deployment() {
    for (scenario, worse) in [(good(), false), (bad(), true), (late(), true), (untested(), true)] {
        let mut scenario = by_code_deploy(scenario);
        scenario.spec["mode"] = json!("observe");
        let outcome = clean_run(&scenario, SEED);
        assert_eq!(deployed(&outcome), (DeploymentState::Succeeded, false), "{:#?}", outcome.rollout.history);
        let would_stop = |why: &Why| matches!(why, Why::WouldHave { what, .. } if what.starts_with("rolled back"));
        let noted = outcome.rollout.history.iter().any(|event| would_stop(&event.why));
        assert_eq!(noted, worse, "{:#?}", outcome.rollout.history);
    }
}

#[test]
fn ecs_is_let_on_step_by_step() {
    let payloads = [Tells::Present, Tells::Coming];
    for (tells, timetable) in
        payloads.into_iter().flat_map(|tells| [linear(), canary(), Timetable::AllAtOnce].map(|t| (tells, t)))
    {
        let ecs = Ecs { tells, ..Ecs::new(timetable) };
        let outcome = clean_run(&with_ecs(good(), ecs), SEED);
        assert_eq!(deployed(&outcome), (DeploymentState::Succeeded, false), "{:#?}", outcome.rollout.history);
        assert_eq!(outcome.ended(), Some(PhaseName::Promoted));
        let weights: Vec<Weight> = answers(&outcome).iter().map(|(at, _)| *at).collect();
        let stages = timetable.stages();
        let expected: Vec<Weight> =
            [Weight::ZERO].into_iter().chain(stages.iter().map(|stage| stage.weight)).chain([Weight::FULL]).collect();
        assert_eq!(weights, expected);
    }
}

#[test]
fn ecs_puts_a_bad_version_back() {
    for scenario in [bad(), late()] {
        let outcome = clean_run(&by_ecs(scenario), SEED);
        assert!(deployed(&outcome).0.has_ended() && deployed(&outcome).1, "{:#?}", outcome.rollout.history);
        assert_eq!((outcome.ended(), last_weight(&outcome)), (Some(PhaseName::RolledBack), Weight::ZERO));
    }
}

#[test]
fn a_whole_linear_deployment_of_ecs_survives_every_fault_at_every_call() {
    let runs = with_each_fault(&by_ecs(good()), &FAULTS, same_end);
    assert!(runs > 200, "{runs}");
    let runs = with_each_fault(&by_ecs(bad()), &FAULTS, same_end);
    assert!(runs > 50, "{runs}");
}

#[test]
fn a_linear_deployment_of_ecs_strands_nothing_though_killed_at_every_call() {
    for scenario in [good(), bad()] {
        let runs = with_each_fault(&by_ecs(scenario), &KILLED, same_end_or_broken);
        assert!(runs > 40, "{runs}");
    }
}
