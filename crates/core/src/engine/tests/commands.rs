use super::fixtures::*;
use crate::engine::{Order, OrderKind, is_legal, order};
use crate::rollout::PhaseName;
use crate::spec::Mode;

const KINDS: [OrderKind; 5] =
    [OrderKind::Pause, OrderKind::Resume, OrderKind::Approve, OrderKind::Promote, OrderKind::Abort];

fn asked(kind: OrderKind) -> Order {
    Order { kind, by: "mara".to_owned(), reason: "because".to_owned() }
}

/// What a command does in a phase, in one line of the golden table.
fn outcome(phase: &crate::rollout::Phase, kind: OrderKind) -> String {
    let rollout = rollout_in(phase.clone());
    match order(&rollout, &asked(kind), at(20)) {
        Err(refusal) => format!("refused: {refusal}"),
        Ok(decision) if decision.next == rollout => "no change".to_owned(),
        Ok(decision) => {
            assert!(decision.effects.is_empty(), "a command records; the tick acts");
            assert_eq!(decision.next.revision, rollout.revision + 1);
            crate::report::standing(&decision.next.phase)
        }
    }
}

#[test]
fn command_matrix() {
    let mut table = String::new();
    for (name, phase) in every_phase() {
        for kind in KINDS {
            table += &format!("{name:<24} {:<8} {}\n", format!("{kind:?}").to_lowercase(), outcome(&phase, kind));
        }
    }
    let golden = include_str!("command_matrix.txt");
    assert_eq!(table, golden, "the table of commands changed; if it should, this is the new one:\n{table}");
}

#[test]
fn a_command_twice_is_the_command_once() {
    for (name, phase) in every_phase() {
        for kind in KINDS {
            let rollout = rollout_in(phase.clone());
            let Ok(first) = order(&rollout, &asked(kind), at(20)) else { continue };
            if let Ok(second) = order(&first.next, &asked(kind), at(21)) {
                // Approving moves on to a step that needs no approval, pausing and resuming stay where they are.
                assert_eq!(second.next.phase.name(), first.next.phase.name(), "{kind:?} in {name}");
            }
        }
    }
}

/// What nothing asks for today must stay refused: a rollback, above all, only ends.
#[test]
fn no_phase_is_followed_by_another_than_these() {
    use PhaseName::{Baking, Paused, Pending, Promoted, Promoting, RolledBack, RollingBack, Shifting, Superseded};
    let after = |from, follows| -> Vec<PhaseName> {
        EVERY_NAME.into_iter().filter(|to| is_legal(from, *to, follows)).collect()
    };
    let own = [
        (Pending, vec![Pending, Shifting, Paused, Promoting, RolledBack, Superseded]),
        (Shifting, vec![Baking, Paused, Promoting, RollingBack, Superseded]),
        (Baking, vec![Shifting, Paused, Promoting, RollingBack, Superseded]),
        (Paused, vec![Pending, Shifting, Promoting, RollingBack, RolledBack, Superseded]),
        (Promoting, vec![Promoting, RollingBack, Promoted, Superseded]),
        (RollingBack, vec![RolledBack, Superseded]),
    ];
    for (from, expected) in own {
        assert_eq!(after(from, false), expected, "{from:?}");
    }
    assert_eq!(after(RollingBack, true), [RolledBack, Superseded], "whoever moves the traffic");
}

#[test]
fn nothing_follows_a_terminal_phase() {
    for from in EVERY_NAME.into_iter().filter(|name| name.is_terminal()) {
        for to in EVERY_NAME {
            assert!(!is_legal(from, to, false) && !is_legal(from, to, true), "{from:?} to {to:?}");
        }
    }
}

#[test]
fn in_observe_mode_only_the_watching_can_be_ended() {
    for (name, phase) in every_phase() {
        for kind in KINDS {
            let mut rollout = rollout_in(phase.clone());
            rollout.spec.mode = Mode::Observe;
            match order(&rollout, &asked(kind), at(20)) {
                Ok(decision) => {
                    assert_eq!(kind, OrderKind::Abort, "{name}");
                    assert!(decision.next.is_terminal() && decision.effects.is_empty());
                }
                Err(refusal) => assert!(refusal.to_string().contains("only observed"), "{name}: {refusal}"),
            }
        }
    }
}

/// DynamoDB takes 400 KB. A rollout that has become too large could not be saved any more, not even as rolled back.
#[test]
fn what_people_write_and_nobody_is_told_does_not_grow_for_ever() {
    let mut rollout = rollout_in(crate::rollout::Phase::Shifting { step: 0, from: percent(0), since: at(10) });
    let text = "\u{1F525}".repeat(500);
    for minute in 0..300 {
        for kind in [OrderKind::Pause, OrderKind::Resume] {
            let asked = Order { kind, by: text.clone(), reason: text.clone() };
            rollout = order(&rollout, &asked, at(20 + minute)).unwrap().next;
        }
    }
    let bytes = serde_json::to_string(&rollout).unwrap().len();
    assert!(bytes < 150 * 1024, "{bytes}");
    let newest = (rollout.history.last().unwrap(), rollout.outbox.last().unwrap());
    assert_eq!((newest.0.at, newest.1.at), (at(319), at(319)));
    assert_eq!(newest.1.key, format!("checkout-42/{}", rollout.events_total), "keys go on counting");
}
