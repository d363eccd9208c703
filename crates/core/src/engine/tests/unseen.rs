//! What is decided without a look at the alias.

use super::fixtures::{alarms, alb_spec, analysis, at, every_phase, live, observation, percent, rollout_in};
use crate::analysis::Verdict;
use crate::engine::{Effect, decide, presumed, stands_unseen};
use crate::observation::{AlarmState, Routing};
use crate::rollout::{Phase, PutBack, Rollout, WeightSeen};
use crate::spec::Mode;
use crate::units::{Span, Weight};

/// In a phase whose weight was seen live.
fn seen_live(phase: Phase) -> Rollout {
    let mut rollout = rollout_in(phase);
    let weight = rollout.desired_weight().unwrap_or(Weight::ZERO);
    rollout.weights.push(WeightSeen { at: at(1), weight });
    rollout
}

fn quiet() -> Vec<(&'static str, Rollout)> {
    let quiet =
        ["baking", "baking, last step", "paused by a person", "paused for approval", "paused undecided", "watched"];
    let phases = every_phase().into_iter().filter(|(name, _)| quiet.contains(name));
    phases.map(|(name, phase)| (name, seen_live(phase))).collect()
}

#[test]
fn a_weight_is_presumed_where_it_was_seen_and_nothing_is_under_way() {
    for (name, phase) in every_phase() {
        let rollout = seen_live(phase);
        let found = presumed(&rollout, at(12));
        let expected = quiet().iter().any(|(quiet, _)| *quiet == name) || name == "baking, needs approval";
        assert_eq!(found.is_some(), expected, "{name}");
        if let Some(found) = found {
            let weight = rollout.desired_weight().unwrap().basis_points() / 100;
            assert_eq!(found, Routing { revision: None, ..live(weight) }, "{name}");
        }
    }
}

#[test]
fn nothing_is_presumed_where() {
    let baking = || quiet().remove(0).1;
    assert!(presumed(&baking(), at(12)).is_some());
    let armed = |earliest| Some(PutBack { at: at(25), earliest, untold: false });
    assert!(presumed(&Rollout { switch: armed(at(13)), ..baking() }, at(12)).is_some());
    let not_seen = WeightSeen { at: at(2), weight: percent(1) };
    let mut observing = baking();
    observing.spec.mode = Mode::Observe;
    let cases = [
        ("others set the weights", observing),
        ("the weight was not seen", Rollout { weights: vec![not_seen], ..baking() }),
        ("something strange was seen", Rollout { strange_since: Some(at(11)), ..baking() }),
        ("the switch may have fired", Rollout { switch: armed(at(12)), ..baking() }),
        ("the target is no alias", Rollout { spec: alb_spec(), ..baking() }),
    ];
    for (why, rollout) in cases {
        assert_eq!(presumed(&rollout, at(12)), None, "{why}");
    }
}

/// Whatever follows without a look follows with one, if nobody has touched the alias; and nothing that matters stands.
#[test]
fn what_stands_unseen_is_what_a_look_would_have_decided() {
    let (mut stood, mut noted) = (0, 0);
    for (name, rollout) in quiet() {
        let weight = rollout.desired_weight().unwrap().basis_points() / 100;
        for verdict in [Verdict::Inconclusive, Verdict::Pass, Verdict::Fail] {
            for alarm in [AlarmState::Ok, AlarmState::Alarm] {
                for minutes in [1, 10, 100, 600] {
                    let now = at(10) + Span::from_minutes(minutes);
                    let unseen = presumed(&rollout, now).unwrap();
                    let decided = |routing: Routing| {
                        let mut seen = observation(&rollout, now, routing);
                        (seen.alarms, seen.switch) = (alarms(alarm), Some(Span::from_minutes(15)));
                        decide(&rollout, &seen, Some(&analysis(verdict)))
                    };
                    let (without, with) = (decided(unseen), decided(live(weight)));
                    let stands = stands_unseen(&rollout, &without);
                    let case = format!("{name}, {verdict:?}, {alarm:?}, {minutes} minutes");
                    if stands {
                        assert_eq!(without.next, with.next, "{case}");
                    }
                    let moves = with.effects.iter().any(|effect| !matches!(effect, Effect::Arm { .. }));
                    let danger = verdict == Verdict::Fail || alarm == AlarmState::Alarm;
                    let stays = with.next.phase.name() == rollout.phase.name() && with.next.history == rollout.history;
                    assert!(!stands || !moves && !danger && stays, "{case}");
                    stood += u32::from(stands);
                    noted += u32::from(stands && with.next.phase != rollout.phase);
                }
            }
        }
    }
    assert!(stood >= 8 && noted > 0, "{stood}, of which {noted} noted a proof");
}
