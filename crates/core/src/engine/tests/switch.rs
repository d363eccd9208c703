//! The dead man's switch of a rollout that no tick has time for.

use super::fixtures::{at, every_phase, rollout_in};
use crate::engine::{Effect, push};
use crate::rollout::{Phase, PutBack, Rollout, Why};
use crate::spec::Mode;
use crate::units::Span;

const TIME: Span = Span::from_minutes(15);

/// In a phase, with a switch that was last told to wait until minute 20.
fn armed(phase: Phase) -> Rollout {
    let switch = Some(PutBack { at: at(20), earliest: at(20) });
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
    let told = |until| Rollout { switch: Some(PutBack { at: at(until), earliest: at(20) }), ..baking() };
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
