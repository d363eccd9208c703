//! A stack and its `Custom::Rollout`, from its creation to its end.

use super::*;
use crate::cloudformation::{Answer, Asked, Caller, Kind, Resource, Step, Wish};
use crate::driver::{self, ResourceLine, Settings};
use crate::observation::AlarmState;
use crate::ports::Stacks;
use crate::rollout::Rollout;
use crate::sim::budget::SimBudget;
use crate::sim::executor::run_now;
use crate::sim::traffic::Generator;
use crate::spec::Mode;
use crate::units::{Timestamp, Weight};

pub(super) fn start() -> Timestamp {
    "2026-11-21T14:00:00Z".parse().unwrap()
}

/// CloudFormation with one stack: what it asks and is told, and the alias that it writes.
pub(super) struct Stack {
    pub(super) world: World,
    pub(super) now: Timestamp,
    pub(super) requests: usize,
    /// The version of the last request, and what else the alias has.
    version: &'static str,
    triggers: String,
    /// When the next request is signed.
    pub(super) signed: Option<Timestamp>,
    mode: Mode,
}

impl Stack {
    /// Versions 41 (live) to 44, an hour of traffic.
    pub(super) fn with_alias() -> Self {
        let stack = Self::without_alias();
        stack.world.write(&target(), &version("41"), None).unwrap();
        let traffic = traffic(0.004);
        Generator::new(&stack.world, &target(), &traffic, 1, start() - minutes(60), start()).run_until(start());
        stack.world.set_now(start());
        stack
    }

    fn without_alias() -> Self {
        let world = World::new(start() - minutes(60));
        for number in ["41", "42", "43", "44"] {
            world.publish_active("checkout", number);
        }
        world.set_alarm("red", AlarmState::Ok);
        let (version, triggers) = ("41", String::new());
        Self { world, now: start(), requests: 0, version, triggers, signed: None, mode: Mode::Enforce }
    }

    pub(super) fn settings(&self) -> Settings {
        Settings { mode: self.mode, metric_lag: minutes(3), switch: None, deployment_spec: None }
    }

    pub(super) fn wish(number: &str, more: &Value) -> Wish {
        let spec = json!({ "alarms": ["red"], "strategy": { "canary": { "weight": "10%", "bake": "10m" } },
            "after": { "watch": "5m" }, "checks": [{ "errors": { "tolerate": "1pt" } }] });
        let mut properties = json!({ "Function": "checkout", "Alias": "live", "Version": number, "Spec": spec });
        for (name, value) in more.as_object().unwrap() {
            properties[name] = value.clone();
        }
        Wish::read(&properties).unwrap()
    }

    pub(super) fn asked(&self, kind: Kind, number: &str, more: &Value) -> Asked {
        let caller = Caller {
            stack: "arn:aws:cloudformation:eu-west-1:111122223333:stack/shop/9f1".to_owned(),
            logical: "CheckoutAliasliveRollout".to_owned(),
            physical: "coalmine/CheckoutAliasliveRollout/checkout:live".to_owned(),
            request: format!("request-{}", self.requests),
            url: "https://bucket.s3.amazonaws.com/key".to_owned(),
        };
        let wish = Self::wish(number, more);
        let rewrites = wish.triggers != self.triggers && matches!(kind, Kind::Update { .. });
        Asked { kind, caller, wish, received: self.now, signed: self.signed, rewrites }
    }

    pub(super) fn ask(&mut self, kind: Kind, number: &'static str, more: &Value) -> ResourceLine {
        self.requests += 1;
        self.version = number;
        let line = self.repeat(kind, number, more);
        self.triggers = Self::wish(number, more).triggers;
        line
    }

    /// The last request once more.
    fn repeat(&self, kind: Kind, number: &str, more: &Value) -> ResourceLine {
        self.deliver(self.asked(kind, number, more))
    }

    pub(super) fn deliver(&self, asked: Asked) -> ResourceLine {
        run_now(driver::resource(&self.world, asked, self.now, &SimBudget::plenty(), &self.settings()))
            .unwrap()
            .unwrap()
    }

    pub(super) fn create(&mut self, number: &'static str, more: &Value) -> ResourceLine {
        self.ask(Kind::Create, number, more)
    }

    /// From the version of the last request.
    pub(super) fn update(&mut self, number: &'static str, more: &Value) -> ResourceLine {
        let from = Some(version(self.version));
        self.ask(Kind::Update { from }, number, more)
    }

    /// A minute with its traffic, and its tick.
    pub(super) fn pass(&mut self) -> Vec<ResourceLine> {
        let until = self.now + minutes(1);
        // Every minute with chances of its own.
        let seed = until.minute().index().unsigned_abs();
        Generator::new(&self.world, &target(), &traffic(0.004), seed, self.now, until).run_until(until);
        self.world.set_now(until);
        self.now = until;
        let (budget, settings) = (SimBudget::plenty(), self.settings());
        run_now(driver::tick(&self.world, until, &budget, &settings)).unwrap().unwrap();
        run_now(driver::resources(&self.world, until, &budget, &settings)).unwrap().unwrap()
    }

    pub(super) fn pass_for(&mut self, passing: usize) {
        (0..passing).for_each(|_| drop(self.pass()));
    }

    pub(super) fn answers(&self) -> Vec<Answer> {
        self.world.stack_answers().into_iter().map(|(_, answer)| answer).collect()
    }

    /// The version that it was told last; nothing for a failure.
    pub(super) fn told(&self) -> Option<String> {
        match self.answers().pop().unwrap() {
            Answer::Succeeded { version, .. } => version.map(|version| version.0),
            Answer::Failed { .. } => None,
        }
    }

    /// CloudFormation writes what it was told, as it does when that is news to it.
    pub(super) fn write_alias(&self) {
        let told = version(&self.told().unwrap());
        self.world.write(&target(), &told, None).unwrap();
    }

    pub(super) fn weights(&self) -> String {
        self.world.routing(&target()).unwrap().to_string()
    }

    pub(super) fn phases(&self) -> Vec<String> {
        let named = |rollout: &Rollout| format!("{}: {:?}", rollout.id, rollout.phase.name());
        self.world.rollouts().values().map(|rollout| named(rollout)).collect()
    }
}

pub(super) fn none() -> Value {
    json!({})
}

pub(super) fn wait() -> Value {
    json!({ "Wait": "true" })
}

/// A stack whose first version was rolled out long ago, so that CloudFormation knows what is live.
pub(super) fn settled() -> Stack {
    let mut stack = Stack::with_alias();
    stack.create("41", &none());
    assert_eq!(stack.told().as_deref(), Some("41"));
    stack
}

#[test]
fn the_first_creation_has_nothing_to_compare_with() {
    let mut stack = Stack::without_alias();
    stack.create("42", &none());
    assert_eq!(stack.answers(), [Answer::of(version("42"), None)]);
    assert!(stack.phases().is_empty());
    stack.pass_for(10);
    assert_eq!((stack.answers().len(), stack.phases().len()), (1, 0));
}

#[test]
fn a_stack_that_takes_it_up_later_keeps_its_live_version() {
    let mut stack = Stack::with_alias();
    stack.create("42", &none());
    assert_eq!(stack.told().as_deref(), Some("41"));
    // CloudFormation may be about to write the alias, and nobody knows whether it will.
    stack.pass_for(4);
    assert_eq!((stack.phases().len(), stack.weights()), (0, "v41".to_owned()));
    stack.pass_for(2);
    assert_eq!((stack.phases().len(), stack.answers().len()), (1, 1));
    stack.pass_for(2);
    assert_eq!(stack.weights(), "v41 with 10 % on v42");
}

#[test]
fn an_update_starts_the_rollout_and_is_answered_at_once_with_what_is_live() {
    let mut stack = settled();
    stack.update("42", &none());
    assert_eq!(stack.answers().pop(), Some(Answer::of(version("41"), Some("checkout-42".to_owned()))));
    assert_eq!(stack.phases(), ["checkout-42: Pending"]);
    let rollout = stack.world.rollouts()["checkout-42"].clone();
    let first = serde_json::to_value(&rollout.history[0]).unwrap();
    assert_eq!(first["why"]["by"], "CloudFormation stack shop");
    stack.pass_for(2);
    assert_eq!(stack.weights(), "v41 with 10 % on v42");
}

#[test]
fn a_repeated_request_gets_the_same_answer_and_no_second_rollout() {
    let mut stack = settled();
    let from = Kind::Update { from: Some(version("41")) };
    stack.update("42", &none());
    stack.pass_for(2);
    stack.repeat(from.clone(), "42", &none());
    assert_eq!(stack.phases(), ["checkout-42: Baking"]);
    assert_eq!(stack.answers().len(), 2, "what was sent is not sent again");
    // And after the next one, which must not be undone by it.
    let late = stack.asked(from, "42", &none());
    stack.update("43", &none());
    assert_eq!(stack.deliver(late).did, ["a later request came before this one, which has its answer"]);
    assert_eq!(stack.phases().len(), 2, "{:?}", stack.phases());
}

#[test]
fn weights_come_only_after_cloudformation_has_written_what_it_was_told() {
    let mut stack = settled();
    let everything = json!({ "Spec": { "strategy": { "allAtOnce": {} }, "after": { "watch": "1m" } } });
    stack.update("42", &everything);
    stack.pass_for(20);
    assert_eq!((stack.weights(), stack.phases()), ("v42".to_owned(), vec!["checkout-42: Promoted".to_owned()]));
    // For CloudFormation the alias has version 41.
    stack.update("43", &none());
    assert_eq!(stack.told().as_deref(), Some("42"));
    assert_eq!(stack.phases().len(), 1, "it waits");
    stack.pass();
    assert_eq!(stack.phases().len(), 1, "it still waits");
    stack.write_alias();
    stack.pass_for(2);
    assert_eq!(stack.weights(), "v42 with 10 % on v43");
    // What is wrong is told before the answer all the same.
    let unknown = json!({ "Spec": { "alarms": ["blue"] } });
    stack.pass_for(40);
    assert_eq!(stack.weights(), "v43");
    stack.update("44", &unknown);
    stack.pass_for(3);
    let Some(Answer::Failed { reason }) = stack.answers().pop() else { panic!("{:?}", stack.answers()) };
    assert!(reason.contains("there is no alarm blue in this account and region"), "{reason}");
}

#[test]
fn a_stack_that_waits_is_answered_with_the_new_version_once_it_is_promoted() {
    let mut stack = settled();
    stack.update("42", &wait());
    assert_eq!(stack.answers().len(), 1, "not yet");
    while stack.answers().len() == 1 {
        assert_ne!(stack.phases(), ["checkout-42: Promoted"]);
        stack.pass();
    }
    assert_eq!(stack.answers().pop(), Some(Answer::of(version("42"), Some("checkout-42".to_owned()))));
    assert_eq!((stack.weights(), stack.phases()), ("v42".to_owned(), vec!["checkout-42: Promoted".to_owned()]));
}

#[test]
fn a_bad_version_fails_the_stack_whose_rollback_shifts_nothing() {
    let mut stack = settled();
    stack.update("42", &wait());
    stack.pass_for(3);
    stack.world.set_alarm("red", AlarmState::Alarm);
    stack.pass_for(3);
    let Some(Answer::Failed { reason }) = stack.answers().pop() else { panic!("{:?}", stack.answers()) };
    assert!(reason.starts_with("rollout checkout-42 ") && reason.contains("alarm red"), "{reason}");
    let writes = stack.world.writes(0).len();
    stack.update("41", &wait());
    assert_eq!(stack.told().as_deref(), Some("41"));
    stack.pass_for(10);
    assert_eq!((stack.world.writes(0).len(), stack.phases().len()), (writes, 1));
    // The same version once more is a second try.
    stack.world.set_alarm("red", AlarmState::Ok);
    stack.update("42", &none());
    let names: Vec<String> = stack.world.rollouts().into_keys().collect();
    assert_eq!(names.len(), 2);
    assert!(names[1].starts_with("checkout-42-") && names[1].len() == "checkout-42-".len() + 8, "{names:?}");
}

#[test]
fn no_verdict_in_time_fails_the_stack_before_cloudformation_gives_up() {
    let mut stack = settled();
    stack.update(
        "42",
        &json!({ "Wait": "true", "ServiceTimeout": "1200",
        "Spec": { "strategy": { "canary": { "weight": "10%", "bake": "14m" } } } }),
    );
    stack.pass_for(14);
    assert_eq!(stack.answers().len(), 1);
    stack.pass();
    let Some(Answer::Failed { reason }) = stack.answers().pop() else { panic!("{:?}", stack.answers()) };
    assert!(reason.starts_with("rollout checkout-42 was not promoted within 15m; it "), "{reason}");
    assert_eq!(stack.weights(), "v41 with 10 % on v42");
    stack.update("41", &wait());
    assert_eq!((stack.told().as_deref(), stack.weights()), (Some("41"), "v41".to_owned()));
}

#[test]
fn a_version_that_is_only_watched_when_time_is_over_is_a_success() {
    let mut stack = settled();
    let spec = json!({ "strategy": { "allAtOnce": {} }, "after": { "watch": "2h" }, "deadline": "4h" });
    stack.update("42", &json!({ "Wait": "true", "Spec": spec }));
    stack.pass_for(54);
    assert_eq!(stack.answers().len(), 1);
    stack.pass();
    assert_eq!(stack.told().as_deref(), Some("42"));
    assert_eq!(stack.phases(), ["checkout-42: Promoting"]);
}

#[test]
fn the_rollback_of_a_stack_aborts_what_runs_and_is_answered_with_what_is_live() {
    for more in [none(), wait()] {
        let mut stack = settled();
        stack.update("42", &more);
        stack.pass_for(3);
        assert_eq!(stack.weights(), "v41 with 10 % on v42");
        stack.update("41", &more);
        assert_eq!((stack.told().as_deref(), stack.weights()), (Some("41"), "v41".to_owned()));
        stack.pass();
        assert_eq!(stack.phases(), ["checkout-42: RolledBack"]);
        let aborted = format!("{:?}", stack.world.rollouts()["checkout-42"].history);
        assert!(aborted.contains("the stack goes back to version 41"), "{aborted}");
    }
}

#[test]
fn the_rollback_of_a_stack_does_not_undo_a_promotion() {
    let mut stack = settled();
    stack.update("42", &json!({ "Spec": { "strategy": { "allAtOnce": {} }, "after": { "watch": "1m" } } }));
    stack.pass_for(20);
    assert_eq!(stack.phases(), ["checkout-42: Promoted"]);
    stack.update("41", &none());
    assert_eq!(stack.told().as_deref(), Some("42"));
    stack.pass_for(10);
    assert_eq!((stack.weights(), stack.phases().len()), ("v42".to_owned(), 1));
}

#[test]
fn what_was_to_begin_is_forgotten_when_the_stack_goes_back() {
    let mut stack = settled();
    stack.world.write(&target(), &version("43"), None).unwrap();
    stack.update("42", &none());
    assert_eq!((stack.told().as_deref(), stack.phases().len()), (Some("43"), 0));
    stack.update("41", &none());
    stack.pass_for(10);
    assert_eq!((stack.told().as_deref(), stack.phases().len()), (Some("43"), 0));
}

/// It is tried for an hour after the stack had its answer: what somebody released meanwhile is newer.
#[test]
fn a_start_that_waited_does_not_come_over_what_was_released_meanwhile() {
    let mut stack = settled();
    stack.world.write(&target(), &version("43"), None).unwrap();
    stack.update("42", &none());
    stack.world.set_alarm("red", AlarmState::Alarm);
    stack.pass_for(12);
    assert_eq!((stack.told().as_deref(), stack.phases().len()), (Some("43"), 0));
    stack.world.write(&target(), &version("44"), None).unwrap();
    stack.world.set_alarm("red", AlarmState::Ok);
    let faults: Vec<String> = stack.pass().into_iter().flat_map(|line| line.faults).collect();
    let why = "v44 is live, where the stack was told v43";
    assert!(faults.iter().any(|fault| fault.ends_with(why)), "{faults:?}");
    stack.pass_for(10);
    assert_eq!((stack.weights(), stack.phases().len()), ("v44".to_owned(), 0));
}

#[test]
fn a_change_of_configuration_alone_rolls_nothing_out() {
    let mut stack = settled();
    stack.update("42", &none());
    stack.pass_for(2);
    stack.update("42", &json!({ "Spec": { "deadline": "3h" } }));
    assert_eq!(stack.told().as_deref(), Some("41"));
    stack.pass();
    assert_eq!(stack.weights(), "v41 with 10 % on v42");
    assert_eq!(stack.phases().len(), 1, "what runs goes on");
    // Nor does it forget what was to begin.
    let mut stack = settled();
    stack.world.write(&target(), &version("43"), None).unwrap();
    stack.update("42", &none());
    stack.update("42", &json!({ "Spec": { "deadline": "3h" } }));
    stack.pass_for(6);
    assert_eq!(stack.phases().len(), 1);
}

#[test]
fn a_deletion_leaves_no_weights_and_never_fails() {
    let mut stack = settled();
    stack.update("42", &none());
    stack.pass_for(3);
    assert_eq!(stack.weights(), "v41 with 10 % on v42");
    stack.ask(Kind::Delete, "42", &none());
    assert_eq!(stack.answers().pop(), Some(Answer::Succeeded { version: None, rollout: None }));
    assert_eq!(stack.weights(), "v41");
    stack.pass();
    assert_eq!(stack.phases(), ["checkout-42: RolledBack"]);
    // Without an alias, and without a rollout.
    let mut stack = Stack::without_alias();
    stack.ask(Kind::Delete, "42", &none());
    assert_eq!(stack.answers(), [Answer::Succeeded { version: None, rollout: None }]);
}

/// Whoever takes the macro out of a template has the alias point to the new version first.
#[test]
fn a_deletion_takes_nothing_back_from_a_version_with_all_the_traffic() {
    let mut stack = settled();
    stack.update("42", &none());
    stack.pass_for(3);
    stack.world.write(&target(), &version("42"), None).unwrap();
    stack.ask(Kind::Delete, "42", &none());
    stack.pass_for(5);
    assert_eq!(stack.weights(), "v42");
}

#[test]
fn an_answer_that_does_not_arrive_is_sent_again_until_nobody_waits() {
    let mut stack = settled();
    stack.world.set_deaf(true);
    let line = stack.update("42", &none());
    assert_eq!((line.answer, line.faults), (None, vec!["PUT failed: no answer".to_owned()]));
    stack.pass_for(3);
    stack.world.set_deaf(false);
    stack.pass();
    // What is live meanwhile would be another answer; it is the one that was kept.
    assert_eq!(stack.answers()[1..], [Answer::of(version("41"), Some("checkout-42".to_owned()))]);
    let mut stack = settled();
    stack.world.set_deaf(true);
    stack.update("42", &none());
    stack.pass_for(62);
    stack.world.set_deaf(false);
    stack.pass();
    assert_eq!(stack.answers().len(), 1);
    assert!(run_now(stack.world.resources()).unwrap().unwrap().iter().all(|resource| !resource.is_open()));
}

/// With every writer off the stack deploys as it would without Coalmine.
#[test]
fn in_observe_mode_the_stack_writes_its_own_versions() {
    let mut stack = settled();
    stack.mode = Mode::Observe;
    stack.update("42", &wait());
    assert_eq!((stack.told().as_deref(), stack.phases().len()), (Some("42"), 0));
    stack.write_alias();
    stack.update("41", &wait());
    assert_eq!((stack.told().as_deref(), stack.phases().len()), (Some("41"), 0), "a stack that goes back, too");
}

#[test]
fn somebody_elses_rollout_is_not_the_stacks_to_abort() {
    let mut stack = Stack::with_alias();
    let ten = Weight::from_basis_points(1_000).unwrap();
    let request = json!({ "command": "start", "by": "mara", "spec": spec() });
    let request = crate::command::Request::parse(&request).unwrap();
    run_now(driver::command(&stack.world, request, start(), &SimBudget::plenty(), &stack.settings())).unwrap().unwrap();
    stack.pass_for(2);
    stack.create("41", &none());
    assert_eq!(stack.told().as_deref(), Some("41"));
    stack.pass();
    assert_eq!(stack.world.routing(&target()).unwrap().additional, Some((version("42"), ten)));
}

/// Properties that cannot be read are not kept; the stack's rollback then comes from a version that nobody knows.
#[test]
fn a_stack_that_goes_back_from_a_request_that_was_not_understood_starts_nothing() {
    for rings in [false, true] {
        let mut stack = settled();
        stack.update("42", &none());
        stack.pass_for(3);
        if rings {
            stack.world.set_alarm("red", AlarmState::Alarm);
            stack.pass_for(3);
        }
        let before = (stack.weights(), stack.phases());
        stack.ask(Kind::Update { from: None }, "42", &none());
        assert_eq!(stack.told().as_deref(), Some("41"));
        assert_eq!((stack.weights(), stack.phases()), before, "{rings}");
        stack.world.set_alarm("red", AlarmState::Ok);
        stack.pass();
        assert_eq!(stack.phases().len(), 1);
    }
}

/// CloudFormation deletes what it could not create, by the name that came with the failure.
#[test]
fn the_end_of_a_resource_leaves_the_rollouts_of_others_alone() {
    let mut stack = Stack::with_alias();
    let request = json!({ "command": "start", "by": "mara", "spec": spec() });
    let request = crate::command::Request::parse(&request).unwrap();
    run_now(driver::command(&stack.world, request, start(), &SimBudget::plenty(), &stack.settings())).unwrap().unwrap();
    stack.pass_for(2);
    let weights = stack.weights();
    stack.create("42", &none());
    stack.pass_for(3);
    assert_eq!(stack.told(), None, "{:?}", stack.answers());
    stack.ask(Kind::Delete, "42", &none());
    assert_eq!(stack.answers().pop(), Some(Answer::Succeeded { version: None, rollout: None }));
    stack.pass();
    assert_eq!((stack.weights(), stack.phases().len()), (weights, 1));
}

/// Whatever is answered, CloudFormation gives all the traffic to.
#[test]
fn an_alias_that_is_not_there_any_more_or_never_was_is_no_first_creation() {
    let mut stack = Stack::without_alias();
    stack.create("41", &none());
    assert_eq!(stack.told().as_deref(), Some("41"));
    stack.update("42", &none());
    stack.pass_for(3);
    let Some(Answer::Failed { reason }) = stack.answers().pop() else { panic!("{:?}", stack.answers()) };
    assert_eq!(reason, "checkout has no alias live");
    stack.update("41", &none());
    assert_eq!(stack.told().as_deref(), Some("41"), "and the stack can go back");
}

#[test]
fn what_nobody_waits_for_any_more_is_not_begun() {
    let mut stack = settled();
    stack.world.write(&target(), &version("43"), None).unwrap();
    stack.world.set_deaf(true);
    stack.update("42", &none());
    stack.pass_for(62);
    stack.world.set_deaf(false);
    stack.pass_for(10);
    assert_eq!((stack.phases(), stack.weights()), (vec![], "v43".to_owned()));
}

#[test]
fn one_look_that_fails_fails_no_stack_however_short_its_patience() {
    let asked = |seconds: &str, kind: Kind| {
        let stack = settled();
        let asked = stack.asked(kind, "42", &json!({ "ServiceTimeout": seconds }));
        Resource::asked_of(None, asked).unwrap()
    };
    for seconds in ["120", "300", "3600"] {
        let resource = asked(seconds, Kind::Update { from: Some(version("41")) });
        assert!(matches!(resource.unseen("throttled", start()), Step::Wait(_)), "{seconds}");
        let late = resource.asked.answer_by();
        assert!(late < start() + resource.asked.wish.timeout, "{seconds}");
        let Step::Keep(Answer::Failed { .. }) = resource.unseen("throttled", late) else { panic!("{seconds}") };
    }
    // A stack that goes back and cannot be told what is live is told what it was told last.
    let mut back = asked("3600", Kind::Update { from: Some(version("42")) });
    back.told = Some(version("41"));
    assert_eq!(back.unseen("throttled", start() + minutes(11)), Step::Keep(Answer::of(version("41"), None)));
}
