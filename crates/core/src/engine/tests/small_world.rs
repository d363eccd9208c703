//! Every phase against every kind of observation: what must never happen.

use super::fixtures::*;
use crate::alb::needed;
use crate::analysis::{Analysis, Verdict};
use crate::engine::{Decision, Effect, decide};
use crate::observation::{AlarmState, GroupHealth, Health, Observation, Routing, Seen, Split};
use crate::rollout::{Fence, Held, Phase, PhaseName, Rollout};
use crate::spec::{Ending, Mode, Target};
use crate::units::{Span, Timestamp, Weight};

struct Case {
    name: String,
    rollout: Rollout,
    seen: Observation,
    analysis: Option<Analysis>,
}

impl Case {
    fn decide(&self) -> Decision {
        decide(&self.rollout, &self.seen, self.analysis.as_ref())
    }

    fn verdict(&self) -> Option<Verdict> {
        self.analysis.as_ref().map(|analysis| analysis.verdict)
    }

    fn live(&self) -> Option<Split> {
        let routing = self.seen.routing.known()?;
        Some(routing.split(&self.rollout.baseline, &self.rollout.canary))
    }

    /// The target after a write of this weight, the `nth`.
    fn after(&self, weight: Weight, nth: usize) -> Routing {
        let revision = self.seen.routing.known().and_then(|routing| routing.revision.as_ref());
        Routing { revision: revision.map(|_| format!("w{nth}")), ..live(weight.basis_points() / 100) }
    }

    /// Whether the canary's targets can carry a weight, as far as is known.
    fn carries(&self, weight: Weight) -> bool {
        let Target::Alb(alb) = &self.rollout.spec.target else { return true };
        let healthy = self.seen.health.known().map(|health| health.canary.healthy);
        healthy >= Some(needed(alb.min_healthy_share, weight, 20))
    }

    fn collapsed(&self) -> bool {
        let nobody = self.seen.health.known().is_some_and(|health| health.canary.healthy == 0);
        let live = self.live().is_some_and(|split| !matches!(split, Split::Foreign | Split::Ours(Weight::ZERO)));
        nobody && live
    }
}

fn every_case() -> Vec<Case> {
    let mut cases = every_case_of_an_alias();
    cases.extend(every_case_of_target_groups());
    cases
}

/// 16 phases × 11 routings × 4 verdicts × 4 states of health × 2 alarm states × 2 moments.
fn every_case_of_target_groups() -> Vec<Case> {
    let uneven = |low: u16, high: u16| {
        let other = live(high);
        Seen::Known(Routing { others: vec![(other.primary, other.additional)], ..unguarded(live(low)) })
    };
    let mut routings: Vec<(String, Seen<Routing>)> =
        [0, 5, 25, 50, 37, 100].map(|weight| (weight.to_string(), Seen::Known(unguarded(live(weight))))).into();
    routings.extend([(0, 5), (5, 25), (25, 37)].map(|(low, high)| (format!("{low} and {high}"), uneven(low, high))));
    routings.push(("v40".to_owned(), Seen::Known(unguarded(routing("40", None, "")))));
    routings.push(("unreadable".to_owned(), Seen::Missing("DescribeRules was throttled".to_owned())));
    let mut cases = Vec::new();
    for (phase_name, phase) in every_phase() {
        for (live_name, live) in &routings {
            for verdict in VERDICTS {
                for (health_name, health) in every_health() {
                    for alarm in [AlarmState::Ok, AlarmState::Alarm] {
                        for now in [at(11), at(700)] {
                            let rollout = on_target_groups(rollout_in(phase.clone()));
                            let mut seen = observation(&rollout, now, super::fixtures::live(0));
                            (seen.routing, seen.alarms, seen.health) = (live.clone(), alarms(alarm), health.clone());
                            let name = format!(
                                "{phase_name}, live {live_name}, {verdict:?}, alarm {alarm:?}, {health_name}, {now}"
                            );
                            cases.push(Case { name, rollout, seen, analysis: verdict.map(analysis) });
                        }
                    }
                }
            }
        }
    }
    cases
}

const VERDICTS: [Option<Verdict>; 4] = [None, Some(Verdict::Pass), Some(Verdict::Inconclusive), Some(Verdict::Fail)];

fn every_health() -> [(&'static str, Seen<Health>); 4] {
    let of = |healthy, unhealthy| {
        let canary = GroupHealth { healthy, unhealthy, ..GroupHealth::default() };
        Seen::Known(Health { baseline: GroupHealth { healthy: 20, ..GroupHealth::default() }, canary })
    };
    [
        ("all healthy", of(20, 0)),
        ("few healthy", of(5, 0)),
        ("collapsed", of(0, 20)),
        ("health unread", Seen::Missing("DescribeTargetHealth was throttled".to_owned())),
    ]
}

/// The same rollout, where nothing has a revision.
fn on_target_groups(rollout: Rollout) -> Rollout {
    let mut rollout = Rollout { spec: alb_spec(), ..rollout };
    if let Phase::RollingBack { fence, .. } = &mut rollout.phase {
        *fence = Fence::Read { revision: None };
    }
    let begun = !matches!(rollout.phase, Phase::Pending { .. } | Phase::Paused { held: Held::Pending, .. });
    rollout.carried_by = begun.then_some(20);
    rollout
}

fn unguarded(routing: Routing) -> Routing {
    Routing { revision: None, ..routing }
}

/// 16 phases × 8 routings × 4 verdicts × 4 alarm states × 3 moments × 2 modes.
fn every_case_of_an_alias() -> Vec<Case> {
    let routings = [
        ("0", Seen::Known(live(0))),
        ("5", Seen::Known(live(5))),
        ("25", Seen::Known(live(25))),
        ("50", Seen::Known(live(50))),
        ("37", Seen::Known(live(37))),
        ("100", Seen::Known(live(100))),
        ("v40", Seen::Known(routing("40", None, "r2"))),
        ("unreadable", Seen::Missing("GetAlias was throttled".to_owned())),
    ];
    let alarm_states = [
        ("ok", alarms(AlarmState::Ok)),
        ("alarm", alarms(AlarmState::Alarm)),
        ("absent", Seen::Known(Default::default())),
        ("unreadable", Seen::Missing("DescribeAlarms was throttled".to_owned())),
    ];
    let mut cases = Vec::new();
    for (phase_name, phase) in every_phase() {
        for (live_name, live) in &routings {
            for verdict in VERDICTS {
                for (alarm_name, alarm) in &alarm_states {
                    for now in [at(11), at(30), at(700)] {
                        for mode in [Mode::Enforce, Mode::Observe] {
                            let rollout = rollout_in(phase.clone());
                            let mut seen = observation(&rollout, now, super::fixtures::live(0));
                            seen.routing = live.clone();
                            seen.alarms = alarm.clone();
                            seen.mode = mode;
                            let name = format!(
                                "{phase_name}, live {live_name}, {verdict:?}, alarm {alarm_name}, {now}, {mode:?}"
                            );
                            cases.push(Case { name, rollout, seen, analysis: verdict.map(analysis) });
                        }
                    }
                }
            }
        }
    }
    cases
}

fn weights_set(decision: &Decision) -> Vec<Weight> {
    let set = |effect: &Effect| match effect {
        Effect::SetWeight { weight, .. } => Some(*weight),
        Effect::Attach { .. } | Effect::Detach { .. } | Effect::Stop { .. } | Effect::Arm { .. } | Effect::Disarm => {
            None
        }
    };
    decision.effects.iter().filter_map(set).collect()
}

#[test]
fn no_weight_rises_blind_or_without_a_reason() {
    for case in every_case() {
        let decision = case.decide();
        let (Some(Split::Ours(live)) | Some(Split::Uneven { low: live, .. })) = case.live() else {
            assert_eq!(decision.effects, [], "{}: an unknown or foreign target is never written", case.name);
            continue;
        };
        for weight in weights_set(&decision) {
            if weight <= live {
                continue;
            }
            assert_eq!(case.seen.mode, Mode::Enforce, "{}", case.name);
            assert!(case.carries(weight), "{}: {weight}", case.name);
            assert!(
                case.seen.alarms.known().is_some_and(|states| states.get("red") == Some(&AlarmState::Ok)),
                "{}",
                case.name
            );
            let begins = case.rollout.phase.name() == PhaseName::Pending;
            assert!(begins || case.verdict() != Some(Verdict::Fail), "{}", case.name);
            // Up only to what was recorded before, or from a proof, or with the spec's consent at the end of a pause.
            let recorded = case.rollout.desired_weight().is_some_and(|wanted| weight <= wanted);
            let proven = case.verdict() == Some(Verdict::Pass);
            let approved = matches!(case.rollout.phase, Phase::Paused { then: Ending::Promote, .. });
            assert!(recorded || proven || begins || approved, "{}: {weight}", case.name);
            let raises = !matches!(case.rollout.phase, Phase::Paused { .. } | Phase::RollingBack { .. });
            assert!(raises || approved, "{}: raised while held", case.name);
        }
    }
}

#[test]
fn harm_alarms_and_failed_targets_take_the_weight_to_zero_in_every_live_phase() {
    let live_phase = |rollout: &Rollout| {
        let name = rollout.phase.name();
        let no_traffic = rollout.desired_weight().is_none();
        !no_traffic
            && matches!(name, PhaseName::Shifting | PhaseName::Baking | PhaseName::Paused | PhaseName::Promoting)
    };
    let mut checked = 0;
    for case in every_case().iter().filter(|case| live_phase(&case.rollout) && case.seen.mode == Mode::Enforce) {
        let red = case.seen.alarms.known().is_some_and(|states| states.get("red") == Some(&AlarmState::Alarm));
        if !red && case.verdict() != Some(Verdict::Fail) && !case.collapsed() {
            continue;
        }
        let decision = case.decide();
        match case.live() {
            Some(Split::Ours(_) | Split::Uneven { .. }) => {
                assert_eq!(decision.next.phase.name(), PhaseName::RollingBack, "{}", case.name);
                assert_eq!(weights_set(&decision), [Weight::ZERO], "{}", case.name);
            }
            // One look may be of before our own last write.
            Some(Split::Foreign) => {
                assert_eq!(
                    (decision.next.phase.name(), decision.effects.len()),
                    (case.rollout.phase.name(), 0),
                    "{}",
                    case.name
                );
                let seen = Observation { now: case.seen.now + Span::from_minutes(1), ..case.seen.clone() };
                let again = decide(&decision.next, &seen, case.analysis.as_ref());
                assert_eq!(again.next.phase.name(), PhaseName::Superseded, "{}", case.name);
            }
            None => assert_eq!(decision.next.phase.name(), PhaseName::RollingBack, "{}", case.name),
        }
        checked += 1;
    }
    assert!(checked > 500, "{checked}");
}

#[test]
fn nothing_touches_a_terminal_rollout() {
    for case in every_case().iter().filter(|case| case.rollout.is_terminal()) {
        let decision = case.decide();
        assert_eq!((&decision.next, decision.effects.len()), (&case.rollout, 0), "{}", case.name);
    }
}

#[test]
fn the_switch_turns_every_writer_off() {
    for case in every_case().iter().filter(|case| case.seen.mode == Mode::Observe) {
        let decision = case.decide();
        assert_eq!(decision.effects, [], "{}", case.name);
        assert_eq!(decision.next.phase, case.rollout.phase, "{}", case.name);
    }
}

#[test]
fn the_same_tick_twice_changes_nothing_more() {
    for case in every_case() {
        let first = case.decide();
        assert!(first.next.revision - case.rollout.revision <= 1);
        assert_eq!(first.next.revision > case.rollout.revision, first.next != case.rollout, "{}", case.name);
        // The write that was decided has taken effect, with a new revision; everything else looks the same.
        let mut seen = case.seen.clone();
        if let (Some(Effect::SetWeight { weight, .. }), Seen::Known(routing)) =
            (first.effects.last(), &mut seen.routing)
        {
            *routing = case.after(*weight, 0);
        }
        let mut current = first.next;
        let mut passes = 0;
        loop {
            let again = decide(&current, &seen, case.analysis.as_ref());
            if again.next == current && again.effects.is_empty() {
                break;
            }
            current = again.next;
            passes += 1;
            assert!(passes <= 4, "{}: still moving at {:?}", case.name, current.phase);
            if let (Some(Effect::SetWeight { weight, .. }), Seen::Known(routing)) =
                (again.effects.last(), &mut seen.routing)
            {
                *routing = case.after(*weight, passes);
            }
        }
    }
}

#[test]
fn time_never_runs_backwards() {
    for case in every_case().iter().filter(|case| case.seen.now == at(11)) {
        let mut late = case.rollout.clone();
        late.now = at(30);
        let early = decide(&late, &case.seen, case.analysis.as_ref());
        assert!(early.next.now >= at(30), "{}", case.name);
        let on_time = Observation { now: at(30), ..case.seen.clone() };
        assert_eq!(early, decide(&late, &on_time, case.analysis.as_ref()), "{}", case.name);
    }
}

/// Whatever happens, a rollout without news ends or is paused within its deadline, and a pause ends too.
#[test]
fn everything_ends() {
    for case in every_case().iter().filter(|case| case.seen.mode == Mode::Enforce && !case.rollout.is_terminal()) {
        let mut current = case.rollout.clone();
        let mut live = case.seen.routing.known().cloned().unwrap_or_else(|| case.after(Weight::ZERO, 0));
        let mut seen = case.seen.clone();
        seen.routing = Seen::Known(live.clone());
        seen.analysis_quiet();
        let mut minute = 11;
        while !current.is_terminal() && minute < 5000 {
            seen.now = at(minute as u64);
            let decision = decide(&current, &seen, Some(&analysis(Verdict::Inconclusive)));
            if let Some(Effect::SetWeight { weight, .. }) = decision.effects.last() {
                live = case.after(*weight, minute);
                seen.routing = Seen::Known(live.clone());
            }
            current = decision.next;
            minute += 1;
        }
        assert!(current.is_terminal(), "{}: {:?}", case.name, current.phase);
    }
}

impl Observation {
    /// Once faults have stopped.
    fn analysis_quiet(&mut self) {
        self.alarms = alarms(AlarmState::Ok);
        self.target_held_by = None;
        if self.health != Seen::NotAsked {
            self.health = every_health()[0].1.clone();
        }
    }
}

#[test]
fn the_weight_history_is_in_order() {
    let late: Timestamp = at(700);
    for case in every_case().iter().filter(|case| case.seen.now == late) {
        let weights = case.decide().next.weights;
        assert!(weights.windows(2).all(|pair| pair[0].at <= pair[1].at), "{}", case.name);
    }
}
