//! Bugs that other tools of this kind have had, each as the test that would have found it.

use super::*;
use crate::analysis::{self, Verdict};
use crate::command::{Answer, Request};
use crate::driver::{Settings, TickReport, command, tick};
use crate::metrics;
use crate::observation::{AlarmState, Split};
use crate::ports::FaultKind;
use crate::rollout::{PhaseName, Rollout};
use crate::sim::budget::SimBudget;
use crate::sim::executor::run_now;
use crate::sim::faults::{Faulty, Operation, Rule, Way, When};
use crate::sim::scenario::FaultWindow;
use crate::sim::world::{Datapoint, World};
use crate::spec::Mode;
use crate::units::{Timestamp, Weight};

on_both!(
    drift_never_advances,
    crash_before_and_after_every_effect,
    open_period_is_dropped,
    bad_query_holds,
    all_checks_error_is_inconclusive,
    no_samples_never_passes,
    judge_is_a_function,
    fail_beats_inconclusive,
    abort_before_data_rolls_back,
    silent_canary_is_not_promoted,
    notify_once_after_the_fact,
    command_matrix,
    what_nobody_can_be_told_is_given_up_in_the_end,
);

const SEED: u64 = 31;

/// A world that is fed by hand, minute by minute, with a rollout of v42 that has just been started.
struct ByHand {
    on: On,
    world: World,
    now: Timestamp,
}

impl ByHand {
    /// Target groups are both attached and healthy.
    fn new(on: On) -> Self {
        let now: Timestamp = "2026-11-21T14:00:20Z".parse().unwrap();
        let world = World::new(now);
        ["41", "42"].iter().for_each(|number| world.offer(&on.target(), &on.version(number)));
        world.write(&on.target(), &on.baseline(), Some((on.canary(), Weight::ZERO))).unwrap();
        world.set_alarm("red", AlarmState::Ok);
        let by_hand = Self { on, world, now };
        by_hand.ask(json!({ "command": "start", "spec": spec_on(on) })).unwrap();
        by_hand
    }

    fn ask(&self, event: Value) -> Result<Answer, Vec<crate::spec::Problem>> {
        let request = Request::parse(&event)?;
        run_now(command(&self.world, request, self.now, &SimBudget::plenty(), &settings())).unwrap()
    }

    /// A minute later.
    fn tick(&mut self) -> TickReport {
        self.now = self.now + minutes(1);
        self.world.set_now(self.now);
        run_now(tick(&self.world, self.now, &SimBudget::plenty(), &settings())).unwrap().unwrap()
    }

    fn rollout(&self) -> Rollout {
        Rollout::clone(&self.world.rollouts()["checkout-42"])
    }

    fn phase(&self) -> PhaseName {
        self.rollout().phase.name()
    }

    /// What CloudWatch shows at once of a version's present minute.
    fn serve(&self, number: &str, requests: f64, failed: f64) {
        let minute = self.now.minute();
        let rollout = self.rollout();
        let (check, planned) = (&rollout.spec.checks[0], &rollout.plan.checks[0]);
        let target = self.on.target();
        let asked = metrics::Asked { check, planned, target: &target };
        let version = self.on.version(number);
        let of = metrics::Of::Baseline(&version);
        let series = metrics::queries(asked, of, minute, minute.plus(1));
        let sums = match self.on {
            On::Lambda => [failed, 0.0, requests],
            On::Alb => [requests, failed, 0.0],
        };
        for (query, sum) in series.iter().zip(sums) {
            if query.stat == metrics::Stat::Sum {
                let datapoint = Datapoint { sum, samples: requests, arrives: self.now };
                self.world.put_datapoint(&query.metric, minute, datapoint);
            }
        }
    }
}

fn settings() -> Settings {
    Settings { mode: Mode::Enforce, metric_lag: minutes(3), switch: None, deployment_spec: None }
}

fn failing_service(operation: Operation, from: u64, until: u64) -> FaultWindow {
    let rule = Rule { when: When::Every(operation), way: Way::Fails(FaultKind::Rejected) };
    FaultWindow { from: minutes(from), until: minutes(until), rule }
}

fn highest(outcome: &Outcome) -> Weight {
    outcome.weights().into_iter().map(|(_, weight)| weight).max().unwrap()
}

fn ten_percent() -> Weight {
    Weight::from_basis_points(1_000).unwrap()
}

/// Where a rollout is in the tick that turns back: rules have no revisions, and so it waits for writes in flight.
fn turning_back(on: On) -> PhaseName {
    match on {
        On::Lambda => PhaseName::RolledBack,
        On::Alb => PhaseName::RollingBack,
    }
}

/// A live weight that is none of the ladder's made the next step "everything".
fn drift_never_advances(on: On) {
    let drift = What::Written {
        primary: version("41"),
        additional: Some((version("42"), Weight::from_basis_points(1_234).unwrap())),
    };
    let outcome = clean_run(&on.of(Scenario { events: vec![after(3, drift)], ..good() }), SEED);
    assert_eq!(outcome.ended(), Some(PhaseName::Superseded));
    assert!(highest(&outcome) < Weight::from_basis_points(1_235).unwrap());
}

/// A crash between the route and the status made two steps in one bake.
fn crash_before_and_after_every_effect(on: On) {
    let undisturbed = clean_run(&on.of(good()), SEED);
    let sets = [(0, 1), (4, 12), (8, 20)];
    for (from, until) in sets {
        for operation in [Operation::Set, Operation::Save] {
            for way in [Way::KilledBefore, Way::KilledAfter] {
                let mut scenario = good();
                let rule = Rule { when: When::Nth(operation, 0), way };
                scenario.faults.push(FaultWindow { from: minutes(from), until: minutes(until), rule });
                // The invariants of every run are: one step per bake, no rise without its reason.
                let outcome = clean_run(&on.of(scenario), SEED);
                assert_eq!(outcome.ended(), undisturbed.ended(), "{operation:?} {way:?} from {from}");
            }
        }
    }
}

/// The newest period, which is still open, was read as the value.
fn open_period_is_dropped(on: On) {
    let mut by_hand = ByHand::new(on);
    by_hand.tick();
    assert_eq!(by_hand.phase(), PhaseName::Baking);
    by_hand.serve("41", 2000.0, 2.0);
    by_hand.serve("42", 200.0, 150.0);
    let again = run_now(tick(&by_hand.world, by_hand.now, &SimBudget::plenty(), &settings())).unwrap().unwrap();
    assert_eq!((by_hand.phase(), again.lines[0].did.len()), (PhaseName::Baking, 0), "the minute is open");
    by_hand.tick();
    assert_eq!(by_hand.phase(), PhaseName::Baking, "the minute ended 20 s ago");
    by_hand.tick();
    assert_eq!(by_hand.phase(), turning_back(on), "closed");
}

/// An error was overwritten by the next call's, and the value counted as good.
fn bad_query_holds(on: On) {
    let mut scenario = good();
    scenario.faults.push(failing_service(Operation::Fetch, 3, 30));
    let outcome = clean_run(&on.of(scenario), SEED);
    let during = |at: Timestamp| at >= outcome.started_at + minutes(3) && at < outcome.started_at + minutes(30);
    assert!(outcome.writes.iter().all(|write| !during(write.at)), "{:?}", outcome.writes);
    let mut held = outcome.reports.iter().filter(|report| during(report.now)).flat_map(|report| &report.lines);
    assert!(held.all(|line| line.holding.iter().any(|why| why.contains("could not be read"))));
    assert_eq!(outcome.ended(), Some(PhaseName::Promoted), "and then goes on");
}

/// All metrics in error were a score of 100.
fn all_checks_error_is_inconclusive(on: On) {
    let mut scenario = good();
    scenario.faults.push(failing_service(Operation::Fetch, 1, 24 * 60));
    let outcome = clean_run(&on.of(scenario), SEED);
    assert_eq!((outcome.ended(), highest(&outcome)), (Some(PhaseName::RolledBack), ten_percent()));
}

/// No data passed unless an option said otherwise.
fn no_samples_never_passes(on: On) {
    let mut scenario = good();
    scenario.traffic.per_second = 0.0;
    let outcome = clean_run(&on.of(scenario), SEED);
    assert_eq!((outcome.ended(), highest(&outcome)), (Some(PhaseName::RolledBack), ten_percent()));
}

/// An unknown word was the default.
#[test]
fn unknown_word_is_a_spec_error() {
    for (path, change) in [
        ("undecided.noData", json!({ "undecided": { "noData": "promte" } })),
        ("newer", json!({ "newer": "ignore" })),
        ("mode", json!({ "mode": "dryrun" })),
        ("advance", json!({ "advance": "always" })),
        ("alarm", json!({ "alarm": ["red"] })),
    ] {
        let mut spec = spec();
        spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let problems = Request::parse(&json!({ "command": "start", "spec": spec })).unwrap_err();
        assert!(problems.iter().any(|problem| problem.to_string().contains(path)), "{path}: {problems:?}");
    }
}

/// Random noise in the judge: the same metrics, another verdict.
fn judge_is_a_function(on: On) {
    let bytes = |outcome: &Outcome| serde_json::to_string(&*outcome.rollout).unwrap();
    assert_eq!(bytes(&clean_run(&on.of(bad()), SEED)), bytes(&clean_run(&on.of(bad()), SEED)));
    let mut by_hand = ByHand::new(on);
    while by_hand.phase() != PhaseName::RolledBack {
        by_hand.serve("41", 2000.0, 2.0);
        by_hand.serve("42", 200.0, 9.0);
        by_hand.tick();
    }
    let (rollout, records) = (by_hand.rollout(), by_hand.world.records("checkout-42"));
    let record = records.last().unwrap();
    let samples = analysis::Samples { minutes: record.tail.clone(), ..analysis::Samples::default() };
    let judged = || serde_json::to_string(&analysis::judge(&rollout.plan, &samples)).unwrap();
    assert_eq!(judged(), judged());
    assert_eq!(record.verdict, analysis::judge(&rollout.plan, &samples).verdict, "the record replays");
}

/// One metric's error overwrote another's failure.
fn fail_beats_inconclusive(on: On) {
    let mut scenario = bad();
    let metric = |name: &str| json!({ "namespace": "Shop", "metric": name, "dimensions": { "Version": "{version}" } });
    let silent = json!({ "rate": {
        "name": "declined", "events": metric("Declined"), "requests": metric("Payments"), "tolerate": "2pt",
    } });
    scenario.spec["checks"].as_array_mut().unwrap().insert(0, silent);
    let outcome = clean_run(&on.of(scenario), SEED);
    assert_eq!(outcome.ended(), Some(PhaseName::RolledBack));
    assert!(outcome.stopped_at < outcome.started_at + minutes(10), "long before the deadline");
    assert!(Verdict::Fail > Verdict::Inconclusive && Verdict::Inconclusive > Verdict::Pass);
}

/// No condition at all was success.
#[test]
fn no_checks_is_a_spec_error() {
    let mut spec = spec();
    spec["checks"] = json!([]);
    let problems = Request::parse(&json!({ "command": "start", "spec": spec })).unwrap_err();
    assert!(problems.iter().any(|problem| problem.to_string().starts_with("checks")), "{problems:?}");
}

/// An analysis that was stopped before its first measurement was successful.
fn abort_before_data_rolls_back(on: On) {
    for minute in [0, 1] {
        let abort = What::Command(json!({ "command": "abort", "rollout": "checkout-42", "by": "mara" }));
        let outcome = clean_run(&on.of(Scenario { events: vec![after(minute, abort)], ..good() }), SEED);
        assert_eq!(outcome.ended(), Some(PhaseName::RolledBack));
        assert_eq!(outcome.weights().last().map(|(_, weight)| *weight), Some(Weight::ZERO));
    }
}

/// No datapoints of the new version were its health.
fn silent_canary_is_not_promoted(on: On) {
    let mut by_hand = ByHand::new(on);
    for _ in 0..90 {
        by_hand.serve("41", 2000.0, 2.0);
        by_hand.tick();
        let live = live(&by_hand.world, on);
        assert!(live == Split::Ours(ten_percent()) || live == Split::Ours(Weight::ZERO), "{live:?}");
    }
    assert_eq!(by_hand.phase(), PhaseName::RolledBack);
}

/// The alert came again with every retry, and before anything had happened.
fn notify_once_after_the_fact(on: On) {
    let mut scenario = alarmed();
    scenario.faults.push(failing_service(Operation::Publish, 2, 40));
    let outcome = clean_run(&on.of(scenario), SEED);
    let keys: std::collections::BTreeSet<&String> = outcome.notices.iter().map(|notice| &notice.key).collect();
    assert_eq!(keys.len(), outcome.notices.len(), "each once");
    let told = outcome.notices.iter().find(|notice| notice.phase == PhaseName::RolledBack).unwrap();
    assert!(outcome.turned_back().is_some_and(|back| back <= told.at), "after the fact");
    // The answer to a notice is lost: told again, under the same key.
    let mut unsure = alarmed();
    let rule = Rule { when: When::Every(Operation::Publish), way: Way::AnswerLost };
    unsure.faults.push(FaultWindow { from: minutes(2), until: minutes(5), rule });
    clean_run(&on.of(unsure), SEED);
}

/// Two controllers on one target were only logged.
#[test]
fn second_rollout_on_a_target_is_refused() {
    let by_hand = ByHand::new(On::Lambda);
    by_hand.world.publish_active("checkout", "43");
    let mut second = spec();
    second["version"] = "43".into();
    second["newer"] = "refuse".into();
    let problems = by_hand.ask(json!({ "command": "start", "spec": second })).unwrap_err();
    assert!(problems[0].to_string().starts_with("newer: rollout checkout-42"), "{problems:?}");
    assert_eq!(by_hand.world.rollouts().len(), 1);
}

/// Fakes that tests share must be reset; here nothing is shared.
#[test]
fn every_test_owns_its_world() {
    let (mut one, other) = (ByHand::new(On::Lambda), ByHand::new(On::Lambda));
    one.tick();
    assert_eq!((one.phase(), other.phase()), (PhaseName::Baking, PhaseName::Pending));
}

/// Abort while paused, promote while rolling back: phases, not flags. The whole table is the engine's.
fn command_matrix(on: On) {
    let mut by_hand = ByHand::new(on);
    by_hand.tick();
    let order = |by_hand: &ByHand, command: &str| {
        by_hand.ask(json!({ "command": command, "rollout": "checkout-42", "by": "mara" }))
    };
    order(&by_hand, "pause").unwrap();
    assert_eq!(by_hand.phase(), PhaseName::Paused);
    order(&by_hand, "abort").unwrap();
    assert_eq!(by_hand.phase(), turning_back(on));
    for refused in ["promote", "resume", "approve", "pause"] {
        assert!(order(&by_hand, refused).is_err(), "{refused}");
    }
    assert!(order(&by_hand, "abort").is_ok(), "it is so already");
    assert_eq!(live(&by_hand.world, on), Split::Ours(Weight::ZERO));
}

/// A notifier that is gone for good, not for an hour: ended rollouts must not be attended to for ever.
fn what_nobody_can_be_told_is_given_up_in_the_end(on: On) {
    let by_hand = ByHand::new(on);
    let gone = Rule { when: When::Every(Operation::Publish), way: Way::Fails(FaultKind::Rejected) };
    let ports = Faulty::new(&by_hand.world, vec![gone]);
    let abort = Request::parse(&json!({ "command": "abort", "rollout": "checkout-42" })).unwrap();
    run_now(command(&ports, abort, by_hand.now, &SimBudget::plenty(), &settings())).unwrap().unwrap();
    for (days, active) in [(1, true), (13, true), (15, false)] {
        let now = by_hand.now + Span::from_hours(24 * days);
        by_hand.world.set_now(now);
        run_now(tick(&ports, now, &SimBudget::plenty(), &settings())).unwrap().unwrap();
        assert_eq!(by_hand.rollout().is_active(), active, "after {days} days");
    }
    let tries = ports.calls().iter().filter(|operation| **operation == Operation::Publish).count();
    assert_eq!(tries, 4, "one that cannot be told is enough to know, each time");
}
