use super::*;
use crate::ports::FaultKind;
use crate::rollout::{Phase, PhaseName, Why};
use crate::sim::durations::Latency;
use crate::sim::environments::{Account, Invoked};
use crate::sim::samples::{On, on_both};
use crate::sim::tour::{self, Stop};
use crate::sim::traffic::Behaviour;

on_both!(
    the_tour_ends_as_announced_with_any_seed,
    the_same_seed_gives_the_same_outcome,
    two_controllers_at_once_equal_one,
    faults_that_stop_change_nothing_in_the_end,
    no_data_is_never_good_news,
    people_are_obeyed,
    somebody_elses_weights_are_left_alone,
);

fn good() -> Stop {
    tour::stops()[0].clone()
}

fn bad() -> Stop {
    tour::stops()[1].clone()
}

/// The judge is the same on either kind of target; what is written and when is what may differ.
fn seeds(on: On) -> std::ops::RangeInclusive<u64> {
    match on {
        On::Lambda => 1..=5,
        On::Alb => 1..=2,
    }
}

/// Runs it and insists on every invariant.
fn ran(scenario: &Scenario, seed: u64) -> Outcome {
    let outcome = run(scenario, seed).unwrap();
    let broken: Vec<String> = outcome.violations.iter().map(ToString::to_string).collect();
    assert!(broken.is_empty(), "seed {seed}, {:?}: {}", scenario.faults, broken.join("\n"));
    assert_eq!(outcome.unserved(), 0, "seed {seed}");
    outcome
}

fn minutes(minutes: u64) -> Span {
    Span::from_minutes(minutes)
}

fn happening(minute: u64, what: What) -> Happening {
    Happening { when: Moment::After(minutes(minute)), what }
}

fn order(minute: u64, command: &str) -> Happening {
    let event = json!({ "command": command, "rollout": "checkout-42", "by": "mara", "reason": "to see" });
    happening(minute, What::Command(event))
}

fn during(from: u64, until: u64, when: When, way: Way) -> FaultWindow {
    FaultWindow { from: minutes(from), until: minutes(until), rule: Rule { when, way } }
}

fn the_tour_ends_as_announced_with_any_seed(on: On) {
    for stop in tour::stops() {
        let scenario = on.of(stop.scenario);
        for seed in seeds(on) {
            let outcome = ran(&scenario, seed);
            assert_eq!(outcome.ended(), Some(stop.announced), "{} with seed {seed}", stop.title);
            let told: Vec<PhaseName> = outcome.notices.iter().map(|notice| notice.phase).collect();
            assert_eq!((told.first(), told.last()), (Some(&PhaseName::Pending), Some(&stop.announced)));
        }
    }
}

fn the_same_seed_gives_the_same_outcome(on: On) {
    let scenario = on.of(bad().scenario);
    assert_eq!(run(&scenario, 4).unwrap(), run(&scenario, 4).unwrap());
    assert_ne!(run(&scenario, 4).unwrap().pieces, run(&scenario, 5).unwrap().pieces);
}

fn two_controllers_at_once_equal_one(on: On) {
    for stop in tour::stops() {
        let scenario = on.of(stop.scenario);
        for seed in seeds(on) {
            let alone = ran(&scenario, seed);
            let both = ran(&Scenario { rival: true, ..scenario.clone() }, seed);
            assert_eq!(both.rollout.history, alone.rollout.history, "{} with seed {seed}", stop.title);
            assert_eq!(both.weights(), alone.weights(), "{} with seed {seed}", stop.title);
        }
    }
}

/// Eleven minutes of any fault of any call delay a rollback at most; they change neither the end nor any promise.
fn faults_that_stop_change_nothing_in_the_end(on: On) {
    // The start itself must get through.
    let from = Span::from_seconds(1);
    for operation in Operation::ALL {
        for way in
            [Way::Fails(FaultKind::Throttled), Way::AnswerLost, Way::Stale, Way::Half, Way::Hangs, Way::KilledAfter]
        {
            let rule = Rule { when: When::Every(operation), way };
            let faults = vec![FaultWindow { from, until: minutes(12), rule }];
            // An hour of past is enough to learn from, and there are a hundred of these runs.
            let past = minutes(60);
            let outcome = ran(&on.of(Scenario { faults, past, ticks_twice: false, ..bad().scenario }), 6);
            assert_eq!(outcome.ended(), Some(PhaseName::RolledBack), "{operation:?} {way:?}");
        }
    }
}

fn no_data_is_never_good_news(on: On) {
    let faults = vec![during(1, 600, When::Every(Operation::Fetch), Way::Fails(FaultKind::Failed))];
    let outcome = ran(&on.of(Scenario { faults, ..good().scenario }), 1);
    assert_eq!(outcome.ended(), Some(PhaseName::RolledBack));
    assert!(outcome.stopped_at.since(outcome.started_at) > Span::from_hours(2), "held until its deadline");
}

fn people_are_obeyed(on: On) {
    let with = |events: Vec<Happening>| {
        let mut scenario = Scenario { events, ..good().scenario };
        // Shorter than by default: every minute of it is a tick.
        scenario.spec["pause"] = json!({ "for": "2h", "then": "rollBack" });
        let outcome = ran(&on.of(scenario), 1);
        let weights = outcome.weights().iter().map(|(_, weight)| weight.to_string()).collect::<Vec<_>>();
        assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
        (outcome, weights.join(", "))
    };
    let (paused, weights) = with(vec![order(3, "pause"), order(60, "resume")]);
    assert_eq!((paused.ended(), weights.as_str()), (Some(PhaseName::Promoted), "0 %, 5 %, 25 %, 50 %, 100 %"));
    assert!(paused.reached("25%".parse().unwrap()).unwrap().since(paused.started_at) > minutes(60));
    let second = "25%".parse().unwrap();
    let abort = Happening { when: Moment::AfterWeight(second, minutes(1)), ..order(0, "abort") };
    let (aborted, weights) = with(vec![abort]);
    assert_eq!((aborted.ended(), weights.as_str()), (Some(PhaseName::RolledBack), "0 %, 5 %, 25 %, 0 %"));
    assert_eq!(aborted.turned_back().unwrap().since(aborted.reached(second).unwrap()), minutes(1), "at once");
    let (promoted, weights) = with(vec![order(3, "promote")]);
    assert_eq!((promoted.ended(), weights.as_str()), (Some(PhaseName::Promoted), "0 %, 5 %, 100 %"));
    let (forgotten, _) = with(vec![order(3, "pause")]);
    assert_eq!(forgotten.ended(), Some(PhaseName::RolledBack), "no pause is for ever");
    let turned_back = forgotten.turned_back().unwrap().since(forgotten.started_at);
    assert!(turned_back >= minutes(122) && turned_back <= minutes(124), "{turned_back}");
}

fn somebody_elses_weights_are_left_alone(on: On) {
    let other = Version("40".to_owned());
    let mut scenario = good().scenario;
    scenario.traffic.versions.insert(other.clone(), Default::default());
    scenario.events = vec![happening(10, What::Written { primary: other.clone(), additional: None })];
    // The group that they send all traffic to has never been checked, so on target groups they leave requests unserved.
    let outcome = run(&on.of(scenario), 1).unwrap();
    assert_eq!(outcome.violations, []);
    assert!(outcome.unserved() == 0 || on == On::Alb);
    assert_eq!(outcome.ended(), Some(PhaseName::Superseded));
    assert!(matches!(outcome.rollout.history.last().map(|event| &event.why), Some(Why::TakenOver { .. })));
    let theirs = on.version("40");
    assert!(outcome.writes.last().is_some_and(|write| !write.ours && write.routing.primary == theirs));
}

#[test]
fn a_refused_start_says_why() {
    let mut scenario = good().scenario;
    scenario.alarms.clear();
    let refused = run(&scenario, 1).unwrap_err().to_string();
    assert!(
        refused.starts_with("the rollout was refused: alarms.names[0]: there is no alarm payments-down"),
        "{refused}"
    );
    let mut scenario = good().scenario;
    scenario.baseline = Version("42".to_owned());
    assert!(matches!(run(&scenario, 1), Err(RunError::Nothing)));
}

/// A version that hangs takes all concurrency, and ticks, alarms' events and commands find none. The switch needs none.
#[test]
fn an_exhausted_account_throttles_coalmine_and_the_switch_puts_all_traffic_back() {
    let mut scenario = Scenario { timeout: minutes(15), longest: minutes(180), ..bad().scenario };
    scenario.settings.switch = Some(minutes(8));
    let alarm = What::Alarm { name: tour::ALARM.to_owned(), state: AlarmState::Alarm };
    scenario.events = vec![happening(3, alarm), order(5, "abort")];
    let hangs = Latency { median_ms: 3_600_000.0, ..Latency::default() };
    scenario.traffic.per_second = 200.0;
    let canary = Version("43".to_owned());
    scenario.traffic.versions.insert(canary, Behaviour::steady(0.0).taking(Span::ZERO, hangs));
    scenario.service = Some(Service {
        environments: BTreeMap::new(),
        account: Account { concurrency: Some(100), others: 20, reserved: None },
        invoked: Invoked::Synchronously,
        poison: 0.0,
        timeout: scenario.timeout,
    });
    for seed in 1..=3 {
        let outcome = ran(&scenario, seed);
        let Phase::RolledBack { why: Why::SwitchFired, at } = &outcome.rollout.phase else {
            panic!("seed {seed}: {:?}", outcome.rollout.phase)
        };
        let (fired, _) = outcome.fired[0];
        assert!(fired.since(outcome.started_at) <= minutes(11) && *at > fired, "seed {seed}");
        let lost = |event: &dyn Fn(&Event) -> bool| outcome.undelivered.iter().filter(|(_, lost)| event(lost)).count();
        assert!(lost(&|event| *event == Event::Tick) >= 8, "seed {seed}: {:?}", outcome.undelivered);
        assert_eq!(lost(&|event| matches!(event, Event::Alarm(_))), 1, "seed {seed}: {:?}", outcome.undelivered);
        let (_, problems) = &outcome.refused[0];
        assert!(problems[0].to_string().contains("TooManyRequestsException"), "seed {seed}: {problems:?}");
        assert!(outcome.used().throttled > 50_000 && outcome.used().most_at_once <= 80, "seed {seed}");
        // With room for Coalmine an alarm does what it does.
        let mut roomy = scenario.clone();
        roomy.service.as_mut().unwrap().account.reserved = Some(50);
        let outcome = ran(&roomy, seed);
        assert!(matches!(outcome.rollout.phase, Phase::RolledBack { why: Why::Alarm { .. }, .. }), "seed {seed}");
        assert_eq!(outcome.undelivered, []);
    }
}
