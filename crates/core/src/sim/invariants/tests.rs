//! Every promise, broken on purpose.

use super::*;
use crate::driver::Settings;
use crate::ports::{DeadMansSwitch, RolloutStore, SetWeight, Switch, TrafficRouter};
use crate::rollout::{DecisionRecord, Fence, Notice, PauseReason, PutBack, WeightSeen};
use crate::sim::executor::run_now;
use crate::sim::samples::{On, on_both, start};
use crate::sim::world::{Call, Rule};
use crate::spec::{RuleRef, Step, Target, Version};
use crate::units::Minute;

on_both!(
    a_weight_rises_only_with_a_proof_or_a_consent,
    what_is_stored_changes_only_as_it_may,
    a_target_has_one_holder,
    weights_are_set_only_as_recorded_and_never_while_blind,
    danger_and_deadlines_are_acted_on_in_time,
    every_transition_is_told_under_its_own_key,
    traffic_is_split_only_while_a_switch_is_armed,
    of_what_has_ended_no_switch_is_left,
);

fn weight(percent: u16) -> Weight {
    Weight::from_basis_points(percent * 100).unwrap()
}

fn event(minute: u64, entered: PhaseName, percent: u16, why: Why) -> Event {
    let at = start() + Span::from_minutes(minute);
    Event { at, entered: Some(entered), weight: weight(percent), why, digest: None }
}

fn push(rollout: &Rollout, phase: Phase, event: Event) -> Rollout {
    let mut next = rollout.clone();
    next.phase = phase;
    next.now = event.at;
    next.revision += 1;
    next.events_total += 1;
    next.history.push(event);
    next
}

fn shifting(step: usize, minute: u64) -> Phase {
    Phase::Shifting { step, from: Weight::ZERO, since: start() + Span::from_minutes(minute) }
}

fn baking(step: usize, minute: u64) -> Phase {
    Phase::Baking { step, since: start() + Span::from_minutes(minute), proof: None, approved: false }
}

fn rolling_back() -> Phase {
    let why = Why::Alarm { names: vec!["checkout-5xx".to_owned()] };
    Phase::RollingBack { since: start(), why, fence: Fence::Open, ends_as: RollBackEnd::RolledBack }
}

fn paused() -> Phase {
    let held = Held::Step { step: 0, from: Weight::ZERO };
    let why = PauseReason::Asked { by: "mara".to_owned(), reason: String::new() };
    let until = start() + Span::from_minutes(30);
    Phase::Paused { held, since: start(), until, then: Ending::RollBack, why }
}

/// Steps of 5, 25 and 50 % for five minutes each; the first one has been baking for five minutes.
fn first_step(on: On) -> Rollout {
    let mut rollout = on.rollout();
    let step = rollout.spec.steps[0].clone();
    rollout.spec.steps = [5, 25, 50].map(|percent| Step { weight: weight(percent), ..step.clone() }).to_vec();
    rollout.weights = vec![WeightSeen { at: start(), weight: weight(5) }];
    let started = event(0, PhaseName::Pending, 0, Why::Started { by: "ci".to_owned() });
    let rollout = push(&rollout, rollout.phase.clone(), started);
    let rollout = push(&rollout, shifting(0, 0), event(0, PhaseName::Shifting, 5, Why::Ready));
    push(&rollout, baking(0, 0), event(0, PhaseName::Baking, 5, Why::SeenLive))
}

/// The world at 5 %, with this rollout in its store.
fn world_with(rollout: &Rollout) -> World {
    let on = if matches!(rollout.spec.target, Target::Alb(_)) { On::Alb } else { On::Lambda };
    let world = on.world();
    world.write(&on.target(), &on.baseline(), Some((on.canary(), weight(5)))).unwrap();
    run_now(world.create(rollout)).unwrap().unwrap();
    world
}

fn broken(violations: &[Violation]) -> Vec<&'static str> {
    violations.iter().map(|violation| violation.invariant).collect()
}

/// What `check` says of this change, with a record of `verdict` for its digest.
fn of_change(then: &Rollout, now: &Rollout, verdict: Option<Verdict>) -> Vec<&'static str> {
    let world = world_with(then);
    let record = verdict.map(|verdict| DecisionRecord {
        at: now.now,
        digest: 7,
        verdict,
        settled_before: Some(Minute::from_index(0)),
        tail: Vec::new(),
    });
    let before = Snapshot::of(&world);
    let stored = Rollout { revision: then.revision + 1, ..now.clone() };
    run_now(world.save(then, &stored, record.as_ref())).unwrap().unwrap();
    let mut after = Snapshot::of(&world);
    after.rollouts.insert(now.id.clone(), now.clone().into());
    broken(&check(&before, &after, &world, Blind::default()))
}

const CONSENT: &str = "the weight never rises without a proof in this step or a recorded consent";
const ONE_STEP: &str = "at most one step per bake";

fn proven(minute: u64, percent: u16, digest: Option<u64>) -> Event {
    let why = Why::Proven { sentences: Vec::new() };
    Event { digest, ..event(minute, PhaseName::Shifting, percent, why) }
}

fn a_weight_rises_only_with_a_proof_or_a_consent(on: On) {
    let then = first_step(on);
    let to_25 = |why| push(&then, shifting(1, 5), event(5, PhaseName::Shifting, 25, why));
    let promoted = Why::PromotedBy { by: "mara".to_owned(), reason: String::new() };
    for (now, verdict, wanted) in [
        (push(&then, shifting(1, 5), proven(5, 25, Some(7))), Some(Verdict::Pass), vec![]),
        (push(&then, shifting(1, 5), proven(5, 25, Some(7))), Some(Verdict::Inconclusive), vec![CONSENT]),
        (push(&then, shifting(1, 5), proven(5, 25, Some(8))), Some(Verdict::Pass), vec![CONSENT]),
        (push(&then, shifting(1, 5), proven(5, 25, None)), None, vec![CONSENT]),
        (push(&then, shifting(1, 4), proven(4, 25, Some(7))), Some(Verdict::Pass), vec![ONE_STEP]),
        (push(&then, shifting(2, 5), proven(5, 50, Some(7))), Some(Verdict::Pass), vec![ONE_STEP]),
        (to_25(promoted), None, vec![]),
        (to_25(Why::SeenLive), None, vec![CONSENT]),
        (to_25(Why::Ready), None, vec![CONSENT]),
        (to_25(Why::NoSteps), None, vec![CONSENT]),
        (to_25(Why::PauseOver { then: Ending::Promote }), None, vec![CONSENT]),
        (to_25(Why::NoHarm { sentences: Vec::new() }), None, vec![CONSENT]),
    ] {
        let event = now.history.last().cloned();
        assert_eq!(of_change(&then, &now, verdict), wanted, "{event:?} on {verdict:?}");
    }
    // Twice in one tick: the second step was not baked.
    let twice = push(&push(&then, shifting(1, 5), proven(5, 25, Some(7))), baking(1, 5), proven(5, 50, Some(7)));
    assert!(of_change(&then, &twice, Some(Verdict::Pass)).contains(&ONE_STEP));
}

fn what_is_stored_changes_only_as_it_may(on: On) {
    let then = first_step(on);
    let ended = Rollout { phase: Phase::Promoted { at: start() }, ..then.clone() };
    let revived = Rollout { phase: baking(0, 0), revision: then.revision + 1, ..then.clone() };
    let touched = Rollout { revision: then.revision + 1, ..then.clone() };
    let unnoticed = Rollout { code_hash: "another".to_owned(), ..then.clone() };
    assert_eq!(of_change(&then, &touched, None), ["what did not change is not written"]);
    assert_eq!(of_change(&then, &unnoticed, None), ["the revision is the mutex"]);
    assert!(of_change(&ended, &revived, None).contains(&"terminal is terminal"));
    let live_at_5 = Rollout { phase: Phase::Promoted { at: start() }, ..touched.clone() };
    assert_eq!(of_change(&then, &live_at_5, None), ["an end is seen live before it is recorded"]);
    let back = Rollout { phase: Phase::RolledBack { at: start(), why: Why::Ready }, ..touched };
    assert_eq!(of_change(&then, &back, None), ["an end is seen live before it is recorded"]);
}

fn a_target_has_one_holder(on: On) {
    let world = world_with(&first_step(on));
    let before = Snapshot::of(&world);
    let mut after = before.clone();
    after.rollouts.insert("rival".to_owned(), Rollout { id: "rival".to_owned(), ..first_step(on) }.into());
    let promise = vec!["one active rollout per target"; on.target().claims().len()];
    assert_eq!(broken(&check(&before, &after, &world, Blind::default())), promise);
    after.rollouts.clear();
    assert_eq!(broken(&check(&before, &after, &world, Blind::default())), promise);
}

/// Sets 25 % through the port while the rollout is in this phase.
fn of_write(on: On, phase: Phase, blind: Blind) -> Vec<&'static str> {
    let then = Rollout { phase, ..first_step(on) };
    let world = world_with(&then);
    let before = Snapshot::of(&world);
    set(&world, on, weight(25));
    broken(&check(&before, &Snapshot::of(&world), &world, blind))
}

fn set(world: &World, on: On, weight: Weight) {
    let (target, baseline, canary) = (on.target(), on.baseline(), on.canary());
    let seen = world.routing(&target).unwrap();
    let split = SetWeight { target: &target, baseline: &baseline, canary: &canary, weight, seen: &seen };
    run_now(world.set(&split)).unwrap().unwrap();
}

fn weights_are_set_only_as_recorded_and_never_while_blind(on: On) {
    let unwanted = "the weight never rises while paused or rolling back";
    let blind = "the weight never rises while blind";
    let sees = Blind::default();
    for (phase, blindness, wanted) in [
        (shifting(1, 5), sees, vec![]),
        (shifting(0, 5), sees, vec![unwanted]),
        (baking(1, 5), sees, vec![unwanted]),
        (paused(), sees, vec![unwanted]),
        (rolling_back(), sees, vec![unwanted]),
        (shifting(1, 5), Blind { target: true, ..sees }, vec![blind]),
        (shifting(1, 5), Blind { metrics: true, ..sees }, vec![blind]),
        (shifting(1, 5), Blind { sealed: true, ..sees }, vec![]),
    ] {
        // Each of two rules is a write of its own.
        let wanted = if on == On::Alb { wanted.repeat(2) } else { wanted };
        assert_eq!(of_write(on, phase.clone(), blindness), wanted, "{phase:?} {blindness:?}");
    }
}

/// What the watchdog says at each of three fault-free ticks in which nothing happens.
fn of_idle_ticks(rollout: &Rollout, minute: u64, alarm: AlarmState) -> [usize; 3] {
    let world = world_with(rollout);
    world.set_alarm("checkout-5xx", alarm);
    let mut watchdog = Watchdog::default();
    [0, 1, 2].map(|tick| {
        world.set_now(start() + Span::from_minutes(minute + tick));
        let now = Snapshot::of(&world);
        watchdog.after_tick(&now, &now, &world, true, Mode::Enforce).len()
    })
}

fn danger_and_deadlines_are_acted_on_in_time(on: On) {
    let of = |phase: Phase, minute, alarm| of_idle_ticks(&Rollout { phase, ..first_step(on) }, minute, alarm);
    assert_eq!(of(baking(0, 0), 5, AlarmState::Ok), [0, 0, 0]);
    assert_eq!(of(baking(0, 0), 5, AlarmState::Alarm), [0, 1, 1], "an alarm that nobody acts on");
    assert_eq!(of(paused(), 5, AlarmState::Alarm), [0, 1, 1], "in a pause, too");
    assert_eq!(of(rolling_back(), 5, AlarmState::Ok), [0, 1, 1], "a rollback that does not get on");
    assert_eq!(of(paused(), 33, AlarmState::Ok), [0, 1, 1], "a pause for ever");
    assert_eq!(of(baking(0, 0), 123, AlarmState::Ok), [0, 1, 1], "a bake beyond the deadline");
    let watched = Phase::Promoting { from: weight(50), since: start(), live_since: Some(start()) };
    assert_eq!(of(watched.clone(), 40, AlarmState::Ok), [0, 0, 0]);
    assert_eq!(of(watched, 153, AlarmState::Ok), [0, 1, 1], "a watch for ever");
    let muted = Rollout { alarms_muted: ["checkout-5xx".to_owned()].into(), ..first_step(on) };
    assert_eq!(of_idle_ticks(&muted, 5, AlarmState::Alarm), [0, 0, 0], "red before the start");
    let observed = Rollout { phase: rolling_back(), ..first_step(on) };
    let world = world_with(&observed);
    let now = Snapshot::of(&world);
    let mut watchdog = Watchdog::default();
    let faulty = [1, 2, 3].map(|_| watchdog.after_tick(&now, &now, &world, false, Mode::Enforce).len());
    assert_eq!(faulty, [0, 0, 0], "faults are no fault of the controller");
}

fn every_transition_is_told_under_its_own_key(on: On) {
    let rollout = first_step(on);
    let world = world_with(&rollout);
    let notice = |number: u64, why: &str| Notice {
        key: format!("checkout-42/{number}"),
        at: start(),
        rollout: "checkout-42".to_owned(),
        target: "checkout:live".to_owned(),
        baseline: on.baseline(),
        canary: on.canary(),
        phase: PhaseName::Baking,
        weight: weight(5),
        why: why.to_owned(),
        undo: None,
    };
    let publish = |notice: Notice| run_now(crate::ports::Notifier::publish(&world, &notice)).unwrap().unwrap();
    assert_eq!(check_notices(&world).len(), 3, "nothing was told");
    [1, 2, 2].into_iter().for_each(|number| publish(notice(number, "as it was")));
    let missing = check_notices(&world);
    assert_eq!(missing.len(), 1, "a repetition is no harm");
    assert!(missing[0].detail.starts_with("checkout-42/3"), "{}", missing[0]);
    let waiting = Rollout { outbox: vec![notice(3, "waits")], revision: rollout.revision + 1, ..rollout.clone() };
    run_now(world.save(&rollout, &waiting, None)).unwrap().unwrap();
    assert_eq!(check_notices(&world), []);
    publish(notice(2, "otherwise"));
    assert_eq!(check_notices(&world).len(), 1, "one key, two stories");
}

/// What is said of a world at 5 % whose switch fires so many minutes from now, and gives everything to this version.
fn of_switch(on: On, rollout: &Rollout, armed: Option<(u64, Version)>, settings: &Settings) -> Vec<&'static str> {
    let world = world_with(rollout);
    if let Some((minutes, version)) = armed {
        arm(&world, on, &version, world.now() + Span::from_minutes(minutes));
    }
    broken(&check_switches(&Snapshot::of(&world), &world, settings))
}

fn arm(world: &World, on: On, baseline: &Version, at: Timestamp) {
    let (target, canary) = (on.target(), on.canary());
    let switch = Switch { rollout: "checkout-42", target: &target, baseline, canary: &canary, at };
    run_now(world.arm(&switch)).unwrap().unwrap();
}

fn traffic_is_split_only_while_a_switch_is_armed(on: On) {
    let in_time = "while traffic is split a switch would put all of it back in time";
    let left = "no switch is left that nobody will remove";
    let waits = |switch, mode| {
        let metric_lag = Span::from_minutes(3);
        Settings { mode, metric_lag, switch, deployment_spec: None }
    };
    let on_duty = waits(Some(Span::from_minutes(15)), Mode::Enforce);
    let told = PutBack { at: start(), earliest: start(), untold: false };
    let split = Rollout { switch: Some(told), ..first_step(on) };
    for (armed, wanted) in [
        (Some((1, on.baseline())), vec![]),
        (Some((22, on.baseline())), vec![]),
        (Some((23, on.baseline())), vec![in_time]),
        (Some((15, on.canary())), vec![in_time]),
        (None, vec![in_time]),
    ] {
        assert_eq!(of_switch(on, &split, armed.clone(), &on_duty), wanted, "{armed:?}");
    }
    // Where nobody moves traffic, or wants no switch, there is none.
    for off in [waits(None, Mode::Enforce), waits(Some(Span::from_minutes(15)), Mode::Observe)] {
        assert_eq!(of_switch(on, &split, None, &off), Vec::<&str>::new());
    }
    let ended = Rollout { phase: Phase::RolledBack { at: start(), why: Why::Ready }, ..split };
    for (switch, wanted) in [(Some(told), vec![]), (None, vec![left])] {
        let ended = Rollout { switch, ..ended.clone() };
        assert_eq!(of_switch(on, &ended, Some((15, on.baseline())), &on_duty), wanted);
    }
}

fn of_what_has_ended_no_switch_is_left(on: On) {
    let armed = PutBack { at: start(), earliest: start(), untold: false };
    let ended = Phase::Promoted { at: start() };
    let promoted = Rollout { phase: ended, switch: Some(armed), ..first_step(on) };
    let world = world_with(&promoted);
    let mut watchdog = Watchdog::default();
    let mut tick = |world: &World, fault_free| {
        let now = Snapshot::of(world);
        broken(&watchdog.after_tick(&now, &now, world, fault_free, Mode::Enforce))
    };
    arm(&world, on, &on.baseline(), start() + Span::from_minutes(15));
    let late = "a switch is removed within two fault-free ticks of the end";
    assert_eq!([tick(&world, false), tick(&world, true), tick(&world, true)], [vec![], vec![], vec![late]]);
    run_now(world.disarm("checkout-42", &on.target())).unwrap().unwrap();
    assert_eq!(tick(&world, true), Vec::<&str>::new());
}

/// What is said of rules that Coalmine writes like this, in the step of 25 %.
fn of_rules(world: &World, rules: &[(usize, Rule)], by: Call) -> Vec<&'static str> {
    let then = Rollout { phase: shifting(1, 5), ..first_step(On::Alb) };
    run_now(world.create(&then)).unwrap().unwrap();
    let before = Snapshot::of(world);
    for (place, rule) in rules {
        world.write_rule_as_ours(&On::Alb.target(), &references()[*place], rule.clone(), by);
    }
    broken(&check(&before, &Snapshot::of(world), world, Blind::default()))
}

fn references() -> Vec<RuleRef> {
    let Target::Alb(alb) = On::Alb.target() else { panic!("target groups") };
    alb.rules
}

#[test]
fn no_group_gets_more_than_its_targets_carry() {
    let carries = "no group gets a weight above what its healthy targets carry";
    // Ten targets carried all, so 25 % needs three.
    for (healthy, wanted) in [(10, 0), (3, 0), (2, 2), (0, 2)] {
        let then = Rollout { phase: shifting(1, 5), ..first_step(On::Alb) };
        let world = world_with(&then);
        world.set_health(&On::Alb.canary(), healthy, 10 - healthy);
        let before = Snapshot::of(&world);
        set(&world, On::Alb, weight(25));
        let found = broken(&check(&before, &Snapshot::of(&world), &world, Blind::default()));
        assert_eq!(found, [carries].repeat(wanted), "{healthy} healthy targets");
        // Back it goes however few there are.
        let before = Snapshot::of(&world);
        set(&world, On::Alb, Weight::ZERO);
        assert_eq!(broken(&check(&before, &Snapshot::of(&world), &world, Blind::default())), Vec::<&str>::new());
    }
    let world = On::Alb.world();
    let unknown = Rollout { carried_by: None, phase: shifting(1, 5), ..first_step(On::Alb) };
    run_now(world.create(&unknown)).unwrap().unwrap();
    let before = Snapshot::of(&world);
    set(&world, On::Alb, weight(25));
    let found = broken(&check(&before, &Snapshot::of(&world), &world, Blind::default()));
    assert_eq!(found, [carries; 2], "nobody counted what carried everything");
}

#[test]
fn what_else_is_on_an_action_survives_every_write() {
    let on = On::Alb;
    let survives = "everything else on the action survives";
    let world = || {
        let world = on.world();
        world.register_group(&on.version("43"), 1);
        for reference in references() {
            let rule = world.rule(&reference).unwrap().with(&on.version("43"), 0);
            let rule = Rule { sticky: Some(Span::from_minutes(5)), ..rule };
            world.write_rule(&on.target(), &reference, rule).unwrap();
        }
        world
    };
    let rule = world().rule(&references()[0]).unwrap();
    let raised = rule.with(&on.baseline(), 3).with(&on.canary(), 1);
    let less = |rule: &Rule| Rule { groups: rule.groups[..2].to_vec(), ..rule.clone() };
    for (written, wanted) in [
        (raised.clone(), vec![]),
        (less(&raised), vec![survives]),
        (raised.with(&on.version("44"), 0), vec![survives]),
        (Rule { sticky: None, ..raised.clone() }, vec![survives]),
        (Rule { sticky: None, ..rule.clone() }, vec![survives]),
        (Rule { actions_before: 0, ..raised.clone() }, vec![survives]),
    ] {
        let world = world();
        world.register_group(&on.version("44"), 1);
        assert_eq!(of_rules(&world, &[(0, written.clone())], Call::Set), wanted, "{written:?}");
    }
}

#[test]
fn attaching_gives_no_traffic() {
    let on = On::Alb;
    let world = || {
        let world = on.world();
        world.write(&on.target(), &on.baseline(), None).unwrap();
        world
    };
    let rule = world().rule(&references()[1]).unwrap();
    let attaches = "attaching writes weight 0 and nothing else";
    assert_eq!(of_rules(&world(), &[(1, rule.with(&on.canary(), 0))], Call::Attach), Vec::<&str>::new());
    let with_traffic = rule.with(&on.canary(), 1).with(&on.baseline(), 3);
    assert!(of_rules(&world(), &[(1, with_traffic)], Call::Attach).contains(&attaches));
    let heavier = rule.with(&on.canary(), 0).with(&on.baseline(), 2);
    assert_eq!(of_rules(&world(), &[(1, heavier)], Call::Attach), [attaches]);
}

/// Behind one rule the canary may still have traffic.
#[test]
fn rules_that_differ_are_as_bad_as_the_worst_of_them() {
    let on = On::Alb;
    let rollout = Rollout { phase: rolling_back(), ..first_step(on) };
    let world = world_with(&rollout);
    let back = world.rule(&references()[0]).unwrap().with(&on.baseline(), 1).with(&on.canary(), 0);
    world.write_rule(&on.target(), &references()[0], back.clone()).unwrap();
    let mut watchdog = Watchdog::default();
    let now = Snapshot::of(&world);
    let mut tick = || watchdog.after_tick(&now, &now, &world, true, Mode::Enforce).len();
    assert_eq!([tick(), tick()], [0, 1]);
    let ended = Phase::RolledBack { at: start(), why: Why::Ready };
    let end = |world: &World| {
        let (before, mut after) = (Snapshot::of(world), Snapshot::of(world));
        let ended = Rollout { phase: ended.clone(), revision: rollout.revision + 1, ..rollout.clone() };
        after.rollouts.insert(rollout.id.clone(), ended.into());
        broken(&check(&before, &after, world, Blind::default()))
    };
    let live = "an end is seen live before it is recorded";
    assert!(end(&world).contains(&live));
    world.write_rule(&on.target(), &references()[1], back).unwrap();
    assert!(!end(&world).contains(&live));
}
