//! A stack whose world is in the way: requests that come late or twice, answers that do not arrive, calls that fail, and aliases that
//! CloudFormation is about to write.

use std::collections::BTreeSet;

use super::resources::{Stack, none, settled, start, wait};
use super::*;
use crate::cloudformation::{Answer, Asked, Caller, Kind};
use crate::driver::{self, ResourceLine};
use crate::observation::AlarmState;
use crate::ports::{FaultKind, Stacks};
use crate::sim::budget::SimBudget;
use crate::sim::executor::run_now;
use crate::sim::faults::{Faulty, Operation, Way, When};

/// A request through calls that fail, as Lambda brings it again after an error; then everything works again.
fn brought_through(operation: Operation, way: Way, more: &Value, passing: usize) -> Stack {
    let mut stack = settled();
    stack.requests += 1;
    let asked = stack.asked(Kind::Update { from: Some(version("41")) }, "42", more);
    let faulty = Faulty::once(&stack.world, When::Every(operation), way);
    for _ in 0..2 {
        let (budget, settings) = (SimBudget::plenty(), stack.settings());
        let _error = run_now(driver::resource(&faulty, asked.clone(), stack.now, &budget, &settings)).unwrap();
    }
    stack.deliver(asked);
    stack.pass_for(passing);
    stack
}

const WAYS: [Way; 5] = [Way::Fails(FaultKind::Throttled), Way::AnswerLost, Way::Stale, Way::Hangs, Way::KilledAfter];

#[test]
fn a_fault_in_any_call_of_a_request_changes_neither_the_answer_nor_what_is_started() {
    let stack = settled();
    let healthy = Faulty::healthy(&stack.world);
    let asked = Asked {
        caller: Caller { request: "request-2".to_owned(), ..stack.asked(Kind::Create, "42", &none()).caller },
        ..stack.asked(Kind::Update { from: Some(version("41")) }, "42", &none())
    };
    let (budget, settings) = (SimBudget::plenty(), stack.settings());
    run_now(driver::resource(&healthy, asked, stack.now, &budget, &settings)).unwrap().unwrap();
    let asks: BTreeSet<Operation> = healthy.calls().into_iter().collect();
    assert!(Operation::OF_STACKS.iter().all(|operation| asks.contains(operation)), "{asks:?}");
    for (operation, way) in asks.iter().flat_map(|operation| WAYS.map(|way| (*operation, way))) {
        let stack = brought_through(operation, way, &none(), 3);
        let told = format!("{operation:?} {way:?}: {:?}", stack.answers());
        let answers = stack.answers().split_off(1);
        let expected = Answer::of(version("41"), Some("checkout-42".to_owned()));
        assert!(!answers.is_empty() && answers.iter().all(|one| *one == expected), "{told}");
        assert_eq!((stack.phases().len(), stack.weights().as_str()), (1, "v41 with 10 % on v42"), "{told}");
    }
}

#[test]
fn a_stack_that_waits_hears_the_end_whatever_failed_at_the_beginning() {
    for (operation, way) in Operation::OF_STACKS.into_iter().flat_map(|operation| WAYS.map(|way| (operation, way))) {
        let stack = brought_through(operation, way, &wait(), 45);
        let expected = Answer::of(version("42"), Some("checkout-42".to_owned()));
        assert_eq!(stack.answers().split_off(1), [expected], "{operation:?} {way:?}");
        assert_eq!(stack.phases(), ["checkout-42: Promoted"]);
    }
}

/// What else the alias has: a change of it has CloudFormation write the alias.
fn described(text: &str) -> Value {
    json!({ "Triggers": { "Description": text } })
}

fn open(stack: &Stack) -> usize {
    run_now(stack.world.resources()).unwrap().unwrap().iter().filter(|resource| resource.is_open()).count()
}

#[test]
fn a_new_version_with_another_description_begins_after_the_alias_was_written() {
    let mut stack = settled();
    stack.update("42", &described("new"));
    assert_eq!((stack.told().as_deref(), stack.phases().len()), (Some("41"), 0));
    stack.pass();
    assert_eq!(stack.phases().len(), 0, "it waits, although what it was told is no news");
    stack.write_alias();
    stack.pass_for(2);
    assert_eq!(stack.weights(), "v41 with 10 % on v42");
}

#[test]
fn another_description_waits_for_the_end_of_the_rollout_whose_weights_it_would_take_away() {
    let mut stack = settled();
    stack.update("42", &none());
    stack.pass_for(3);
    let line = stack.update("42", &described("new"));
    let waiting = line.waiting.unwrap();
    assert!(waiting.starts_with("checkout:live is not to be written while rollout checkout-42 "), "{waiting}");
    let answers = stack.answers().len();
    while stack.answers().len() == answers {
        assert_ne!(stack.phases(), ["checkout-42: Promoted"]);
        stack.pass();
    }
    assert_eq!((stack.told().as_deref(), stack.phases()), (Some("42"), vec!["checkout-42: Promoted".to_owned()]));
}

#[test]
fn another_description_is_refused_before_cloudformation_gives_up_and_the_stack_goes_back_at_once() {
    let mut stack = settled();
    let long = json!({ "Spec": { "strategy": { "canary": { "weight": "10%", "bake": "90m" } }, "deadline": "4h" } });
    stack.update("42", &long);
    stack.pass_for(3);
    let with = |text: &str| json!({ "Spec": long["Spec"], "Triggers": described(text)["Triggers"] });
    stack.update("42", &with("new"));
    stack.pass_for(54);
    assert_eq!(stack.answers().len(), 2);
    stack.pass();
    let Some(Answer::Failed { reason }) = stack.answers().pop() else { panic!("{:?}", stack.answers()) };
    assert!(
        reason.ends_with("CloudFormation would take its weights away; deploy this change once it has ended"),
        "{reason}"
    );
    stack.update("42", &long);
    assert_eq!((stack.told().as_deref(), stack.weights()), (Some("41"), "v41 with 10 % on v42".to_owned()));
}

/// CloudFormation writes whatever it is told: what was live half an hour ago would undo a promotion.
#[test]
fn an_answer_that_is_late_says_what_is_live_when_it_is_sent() {
    let mut stack = settled();
    stack.world.set_deaf(true);
    stack.update("42", &json!({ "Spec": { "strategy": { "allAtOnce": {} }, "after": { "watch": "1m" } } }));
    stack.pass_for(20);
    assert_eq!(stack.phases(), ["checkout-42: Promoted"]);
    stack.world.set_deaf(false);
    stack.pass();
    assert_eq!(stack.answers().pop(), Some(Answer::of(version("42"), Some("checkout-42".to_owned()))));
    // Nobody knows what CloudFormation has: the next one waits until it has written the alias.
    stack.update("43", &none());
    assert_eq!(stack.phases().len(), 1);
    stack.write_alias();
    stack.pass_for(2);
    assert_eq!(stack.weights(), "v42 with 10 % on v43");
}

#[test]
fn a_start_that_waits_for_cloudformation_waits_from_when_the_answer_has_arrived() {
    let mut stack = settled();
    stack.world.write(&target(), &version("43"), None).unwrap();
    stack.world.set_deaf(true);
    stack.update("42", &none());
    stack.pass_for(10);
    stack.world.set_deaf(false);
    stack.pass_for(4);
    assert_eq!((stack.told().as_deref(), stack.phases().len()), (Some("43"), 0));
    stack.write_alias();
    stack.pass_for(2);
    assert_eq!(stack.weights(), "v43 with 10 % on v42");
}

/// A stack's update is cancelled, and Lambda tries the request once more that it could not keep.
#[test]
fn a_request_that_comes_after_a_later_one_changes_nothing() {
    let mut stack = settled();
    stack.signed = Some(start());
    let lost = stack.asked(Kind::Update { from: Some(version("41")) }, "42", &none());
    stack.signed = Some(start() + minutes(1));
    stack.now = start() + minutes(2);
    stack.update("41", &none());
    let answers = stack.answers();
    let lost = Asked { caller: Caller { request: "lost".to_owned(), ..lost.caller.clone() }, ..lost };
    let did = stack.deliver(lost).did;
    assert_eq!(did, ["a later request came before this one, which has its answer"]);
    assert_eq!((stack.answers(), stack.phases().len()), (answers, 0));
}

/// Whoever asked an hour ago is not waited for, however late the request came.
#[test]
fn the_time_that_a_stack_waits_counts_from_when_cloudformation_asked() {
    let mut stack = settled();
    stack.signed = Some(start());
    stack.now = start() + minutes(10);
    stack.update(
        "42",
        &json!({ "Wait": "true", "ServiceTimeout": "1200",
        "Spec": { "strategy": { "canary": { "weight": "10%", "bake": "14m" } } } }),
    );
    stack.pass_for(4);
    assert_eq!(stack.answers().len(), 1);
    stack.pass();
    assert_eq!((stack.answers().len(), stack.told()), (2, None));
}

/// Where a creation had no answer, CloudFormation asks for the end of it by a name of its own.
#[test]
fn the_end_of_a_creation_that_had_no_answer_ends_what_it_started() {
    for waits in [true, false] {
        let mut stack = Stack::with_alias();
        stack.world.set_deaf(!waits);
        stack.create("42", &if waits { wait() } else { none() });
        stack.pass_for(3);
        stack.world.set_deaf(false);
        assert_eq!(stack.answers().len(), 0);
        let before = if waits { "v41 with 10 % on v42" } else { "v41" };
        assert_eq!(stack.weights(), before);
        stack.requests += 1;
        let mut asked = stack.asked(Kind::Delete, "42", &none());
        asked.caller.physical = "shop-CheckoutAliasliveRollout-1QZ7".to_owned();
        stack.deliver(asked.clone());
        let answers = stack.world.stack_answers();
        assert_eq!(answers, [(asked.caller, Answer::Succeeded { version: None, rollout: None })]);
        assert_eq!((stack.weights().as_str(), open(&stack)), ("v41", 0));
        stack.pass_for(10);
        assert_eq!((stack.weights().as_str(), stack.answers().len()), ("v41", 1), "nothing begins after it");
    }
}

/// Lambda tries a deletion once more that it could not keep, and meanwhile the stack has made its resource anew.
#[test]
fn a_deletion_that_comes_after_a_later_creation_ends_nothing_of_it() {
    for late in [true, false] {
        let mut stack = Stack::with_alias();
        stack.signed = Some(start() + minutes(if late { 0 } else { 2 }));
        let mut lost = stack.asked(Kind::Delete, "42", &none());
        lost.caller.physical = "shop-CheckoutAliasliveRollout-1QZ7".to_owned();
        stack.signed = Some(start() + minutes(1));
        stack.now = start() + minutes(2);
        stack.create("42", &wait());
        let before = stack.phases();
        assert_eq!((before.len(), stack.answers().len()), (1, 0));
        stack.deliver(Asked { received: stack.now, ..lost });
        assert_eq!(stack.answers().len(), 1, "a deletion never waits");
        stack.pass_for(60);
        let promoted = stack.told().as_deref() == Some("42");
        assert_eq!(promoted, late, "{:?}", stack.phases());
    }
}

/// The stack has its answer, and only what counts faults can tell anyone: an alarm goes off after ten minutes.
#[test]
fn a_start_that_is_refused_after_the_answer_is_told_of_until_it_succeeds_or_for_an_hour() {
    for mended in [true, false] {
        let mut stack = settled();
        stack.world.write(&target(), &version("43"), None).unwrap();
        stack.update("42", &none());
        stack.write_alias();
        stack.world.set_alarm("red", AlarmState::Alarm);
        let faults = |lines: Vec<ResourceLine>| lines.into_iter().flat_map(|line| line.faults).collect::<Vec<_>>();
        // What is in the way may go away by itself for a while.
        (0..6).for_each(|_| assert_eq!(faults(stack.pass()), Vec::<String>::new()));
        stack.pass();
        for _ in 0..15 {
            let told = faults(stack.pass());
            assert!(told.len() == 1 && told[0].starts_with("rollout checkout-42 is not started: "), "{told:?}");
        }
        if mended {
            stack.world.set_alarm("red", AlarmState::Ok);
        } else {
            stack.pass_for(50);
            assert_eq!(faults(stack.pass()), Vec::<String>::new());
            stack.world.set_alarm("red", AlarmState::Ok);
        }
        stack.pass();
        assert_eq!((stack.phases().len(), open(&stack)), (usize::from(mended), 0));
    }
}
