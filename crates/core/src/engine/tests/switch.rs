//! The dead man's switch: of a rollout that no tick has time for, and of one at which a tick can see nothing.

use super::fixtures::{alarms, analysis, at, every_phase, live, observation, rollout_in};
use crate::analysis::{Count, MinuteSample, Pair, Samples, Verdict};
use crate::engine::{Effect, decide, push, untold};
use crate::observation::{AlarmState, Observation, Seen};
use crate::rollout::{Phase, PutBack, Rollout, Why};
use crate::spec::Mode;
use crate::units::Span;

const TIME: Span = Span::from_minutes(15);

/// In a phase, with a switch that was last told to wait until minute 20.
fn armed(phase: Phase) -> Rollout {
    let switch = Some(PutBack { at: at(20), earliest: at(20), untold: false });
    Rollout { switch, ..rollout_in(phase) }
}

fn in_phase(name: &str) -> Rollout {
    let (_, phase) = every_phase().into_iter().find(|(other, _)| *other == name).unwrap();
    armed(phase)
}

#[test]
fn it_is_pushed_on_while_traffic_is_split_and_removed_once_it_is_not() {
    for (name, phase) in every_phase() {
        let rollout = armed(phase);
        let done = push(&rollout, at(12), TIME);
        let effects = done.map(|decision| decision.effects);
        match name {
            "shifting"
            | "baking"
            | "baking, needs approval"
            | "baking, last step"
            | "paused by a person"
            | "paused for approval"
            | "paused undecided"
            | "promoting" => {
                let [Effect::Arm { at: until }] = effects.as_deref().unwrap() else { panic!("{name}: {effects:?}") };
                assert!(*until >= at(12) + TIME && *until < at(12) + TIME + Span::from_minutes(5), "{name}: {until}");
            }
            // It does what a rollback wants.
            "rolling back" => assert_eq!(effects, None, "{name}"),
            _ => assert_eq!(effects, Some(vec![Effect::Disarm]), "{name}"),
        }
    }
}

#[test]
fn the_push_is_saved_first_and_only_a_tick_that_attends_may_say_that_it_arrived() {
    let rollout = in_phase("baking");
    let next = push(&rollout, at(12), TIME).unwrap().next;
    let pushed = next.switch.unwrap();
    assert_eq!((next.revision, pushed.earliest), (rollout.revision + 1, at(20)));
    let only = Rollout { switch: Some(pushed), revision: next.revision, ..rollout };
    assert_eq!(next, only, "nothing else is changed");
}

#[test]
fn it_is_left_alone_when() {
    let baking = || in_phase("baking");
    let mut observing = baking();
    observing.spec.mode = Mode::Observe;
    let told = |until| Rollout { switch: Some(PutBack { at: at(until), earliest: at(20), untold: false }), ..baking() };
    for (name, rollout, minute) in [
        ("there is none", Rollout { switch: None, ..baking() }, 12),
        ("every writer is off", observing, 12),
        ("it waits long enough", told(40), 12),
        ("nobody has attended to it for so long", told(66), 65),
    ] {
        assert_eq!(push(&rollout, at(minute), TIME), None, "{name}");
    }
    assert!(push(&told(64), at(64), TIME).is_some(), "just not too long");
}

#[test]
fn a_rollback_to_where_nobody_would_answer_pushes_it_on() {
    let mut rollout = in_phase("rolling back");
    let sentence = "no target of blue is healthy".to_owned();
    crate::engine::transition::announce(&mut rollout, at(11), Why::NobodyToGoBackTo { sentence });
    assert!(push(&rollout, at(12), TIME).is_some());
}

fn told(effects: &[Effect]) -> Vec<crate::units::Timestamp> {
    let told = effects.iter().filter_map(|effect| if let Effect::Arm { at } = effect { Some(*at) } else { None });
    told.collect()
}

#[test]
fn a_push_that_failed_is_made_up_for_by_the_next_tick_whether_it_has_time_or_not() {
    let pushed = push(&in_phase("baking"), at(12), TIME).unwrap().next;
    assert_eq!(push(&pushed, at(13), TIME), None, "it is told");
    let until = pushed.switch.unwrap().at;
    let failed = untold(&pushed).unwrap();
    assert_eq!(failed.revision, pushed.revision + 1);
    let again = push(&failed, at(13), TIME).unwrap();
    assert_eq!((told(&again.effects), again.next.switch), (vec![until], pushed.switch));
    for unsure in [pushed, failed] {
        let seen = Observation { switch: Some(TIME), ..observation(&unsure, at(13), live(5)) };
        let decision = decide(&unsure, &seen, Some(&analysis(Verdict::Inconclusive)));
        assert_eq!(
            (told(&decision.effects), decision.next.switch.map(|switch| switch.untold)),
            (vec![until], Some(false))
        );
    }
}

/// A call to the switch may take its time, or fail; one that gives nobody traffic is not first.
#[test]
fn no_retreat_waits_for_it() {
    let mut both = 0;
    for (name, phase) in every_phase() {
        for (switch, state, weight) in [None, armed(phase.clone()).switch].into_iter().flat_map(|switch| {
            let states = [AlarmState::Ok, AlarmState::Alarm];
            states.into_iter().flat_map(move |state| [0, 5, 20].map(|weight| (switch, state, weight)))
        }) {
            let rollout = Rollout { switch, ..armed(phase.clone()) };
            let calm = observation(&rollout, at(12), live(weight));
            let seen = Observation { switch: Some(TIME), alarms: alarms(state), ..calm };
            let effects = decide(&rollout, &seen, Some(&analysis(Verdict::Inconclusive))).effects;
            let place = |wanted: &dyn Fn(&Effect) -> bool| effects.iter().position(wanted);
            let arms = place(&|effect| matches!(effect, Effect::Arm { .. }));
            let Some((arms, back)) = arms.zip(place(&Effect::is_retreat)) else { continue };
            let gives = effects.iter().any(Effect::gives_traffic);
            assert!(gives || back < arms, "{name}, {switch:?}, {state:?}, {weight} %: {effects:?}");
            both += usize::from(!gives);
        }
    }
    assert!(both > 0);
}

/// Nobody who could turn it back looks at it, as if no tick came.
#[test]
fn a_tick_that_sees_neither_metrics_nor_alarms_does_not_push_it_on() {
    let rollout = in_phase("baking");
    let unread = |pairs: Vec<Pair>| {
        let minutes = vec![MinuteSample { minute: at(10).minute(), weight: crate::units::Weight::ZERO, pairs }];
        Seen::Known(Samples { minutes, unread: vec!["fetch failed".to_owned()], ..Samples::default() })
    };
    let nothing = || unread(vec![Pair::default()]);
    let some = || unread(vec![Pair::default(), Pair::of(Count::new(10.0, 0.0), None)]);
    let (down, rings) = (|| Seen::Missing("down".to_owned()), || alarms(AlarmState::Ok));
    let (missing, none_set) = (|| Seen::Missing("down".to_owned()), || Seen::Known([].into()));
    let of = |samples, alarms, judge_failed: Option<&str>| {
        let calm = Observation { switch: Some(TIME), ..observation(&rollout, at(12), live(5)) };
        Observation { samples, alarms, judge_failed: judge_failed.map(str::to_owned), ..calm }
    };
    let calm = || observation(&rollout, at(12), live(5)).samples;
    for (name, seen, pushes) in [
        ("everything", of(calm(), rings(), None), true),
        ("metrics of which there are none, for nobody came", of(calm(), down(), None), true),
        ("alarms alone", of(missing(), rings(), None), true),
        ("alarms alone, and the judge has a bug", of(calm(), rings(), Some("bug")), true),
        ("one of the metrics", of(some(), down(), None), true),
        ("nothing", of(missing(), down(), None), false),
        ("nothing, and there is no alarm", of(missing(), none_set(), None), false),
        ("no metric of several", of(nothing(), down(), None), false),
        ("metrics, and the judge has a bug", of(calm(), down(), Some("bug")), false),
    ] {
        let decision = decide(&rollout, &seen, None);
        let moved = told(&decision.effects).iter().any(|until| *until > at(20));
        let said = decision.holding.iter().any(|why| why.starts_with("neither metrics nor alarms can be seen"));
        assert_eq!((moved, said), (pushes, !pushes), "{name}: {decision:?}");
        assert_eq!(decision.next.switch.unwrap().at > at(20), pushes, "{name}");
    }
    let late = Observation { now: at(30), ..of(missing(), down(), None) };
    assert_eq!(told(&decide(&rollout, &late, None).effects).len(), 1, "what has not fired by then is armed again");
}

/// Pushes for want of time keep it until somebody attends to it again, and who sees nothing has not.
#[test]
fn ticks_that_see_nothing_by_turns_with_ticks_that_have_no_time_do_not_push_it_on_for_ever() {
    let mut rollout = in_phase("baking");
    for minute in 12.. {
        let (now, before) = (at(minute), rollout.switch.unwrap());
        if now >= before.at {
            break;
        }
        assert!(minute < 120, "it never fires: {before:?}");
        rollout = if minute % 2 == 0 {
            push(&rollout, now, TIME).map_or(rollout, |decision| decision.next)
        } else {
            let (samples, alarms) = (Seen::Missing("down".to_owned()), Seen::Missing("down".to_owned()));
            let calm = observation(&rollout, now, live(5));
            decide(&rollout, &Observation { switch: Some(TIME), samples, alarms, ..calm }, None).next
        };
        assert_eq!(rollout.switch.unwrap().earliest, at(20), "nobody has attended to it");
    }
    let fires = rollout.switch.unwrap().at;
    assert!(fires >= at(60) && fires < at(65) + TIME + Span::from_minutes(5), "{fires}");
}

/// There is nothing to be judged yet, but whether it has traffic can be seen, or not.
#[test]
fn a_first_weight_that_can_not_be_looked_at_does_not_push_it_on() {
    let rollout = in_phase("shifting");
    for (name, routing, pushes) in [
        ("it is not live yet", Seen::Known(live(0)), true),
        ("it is live", Seen::Known(live(5)), true),
        ("it cannot be seen", Seen::Missing("down".to_owned()), false),
    ] {
        let none = (Seen::NotAsked, Seen::Missing("down".to_owned()));
        let calm = observation(&rollout, at(12), live(0));
        let seen = Observation { switch: Some(TIME), samples: none.0, alarms: none.1, routing, ..calm };
        let decision = decide(&rollout, &seen, None);
        assert_eq!(decision.next.switch.unwrap().at > at(20), pushes, "{name}: {decision:?}");
    }
}
