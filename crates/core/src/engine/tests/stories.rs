//! Whole lives of rollouts, told by their history.

use super::fixtures::*;
use crate::analysis::Verdict;
use crate::engine::{Effect, Order, OrderKind, decide, order};
use crate::observation::{AlarmState, Readiness, Routing, Seen, TestOutcome};
use crate::report;
use crate::rollout::{Behind, Phase, PhaseName, Rollout};
use crate::spec::{Advance, AlreadyRed, Approval, Ending, InvokeTest, Mode, RolloutSpec, Settle, Step, Test};
use crate::units::Span;

/// A target that does what it is told, and a minute hand.
struct Stage {
    rollout: Rollout,
    live: Routing,
    minute: u64,
    alarm: AlarmState,
    writes: u32,
}

impl Stage {
    fn new(spec: RolloutSpec) -> Self {
        Self { rollout: rollout_of(spec), live: live(0), minute: 0, alarm: AlarmState::Ok, writes: 0 }
    }

    fn tick(&mut self, verdict: Verdict) -> PhaseName {
        self.minute += 1;
        for _ in 0..3 {
            let mut seen = observation(&self.rollout, at(self.minute), self.live.clone());
            seen.alarms = alarms(self.alarm);
            seen.tests = Seen::Known(vec![TestOutcome::Passed]);
            let decision = decide(&self.rollout, &seen, Some(&analysis(verdict)));
            for effect in &decision.effects {
                let Effect::SetWeight { weight, .. } = effect else { continue };
                self.writes += 1;
                let revision = Some(format!("w{}", self.writes));
                self.live = Routing { revision, ..live(weight.basis_points() / 100) };
            }
            self.rollout = decision.next;
        }
        self.rollout.phase.name()
    }

    fn until(&mut self, verdict: Verdict, phase: PhaseName) -> u64 {
        for _ in 0..3000 {
            if self.tick(verdict) == phase {
                return self.minute;
            }
        }
        panic!("never {phase:?}: {:?}", self.story());
    }

    fn story(&self) -> Vec<String> {
        let told = self.rollout.history.iter().map(|event| {
            let phase = event.entered.map(report::phase_word).unwrap_or("-");
            format!("{} {phase} {}: {}", event.at.hour_minute(), event.weight, report::sentence(&event.why))
        });
        told.collect()
    }

    fn ask(&mut self, kind: OrderKind) {
        let asked = Order { kind, by: "mara".to_owned(), reason: String::new() };
        self.rollout = order(&self.rollout, &asked, at(self.minute)).unwrap().next;
    }
}

#[test]
fn a_proven_release_climbs_the_ladder_and_is_promoted() {
    let mut stage = Stage::new(spec());
    let ended = stage.until(Verdict::Pass, PhaseName::Promoted);
    // Three bakes of five minutes and a watch of thirty; the first step passes once its minutes are read.
    assert_eq!(ended, 1 + 3 * 5 + 30);
    assert_eq!(stage.live.split(&version("41"), &version("42")), crate::observation::Split::Ours(percent(100)));
    assert_eq!(stage.writes, 4);
    let phases: Vec<PhaseName> = stage.rollout.history.iter().filter_map(|event| event.entered).collect();
    use PhaseName::*;
    assert_eq!(phases, [Pending, Shifting, Baking, Shifting, Baking, Shifting, Baking, Promoting, Promoted]);
}

#[test]
fn a_proof_needs_a_second_look() {
    let mut stage = Stage::new(spec());
    let mut bakes = 0;
    while stage.tick(Verdict::Inconclusive) != PhaseName::Baking || bakes < 20 {
        bakes += 1;
    }
    stage.rollout.spec.settle = Settle::None;
    assert_eq!(stage.tick(Verdict::Pass), PhaseName::Baking);
    assert_eq!(stage.rollout.desired_weight(), Some(percent(5)));
    stage.tick(Verdict::Pass);
    assert_eq!(stage.rollout.desired_weight(), Some(percent(25)));
}

/// An alarm's event brings a look within seconds of the last one: it sees nothing new.
#[test]
fn two_looks_are_half_a_minute_apart() {
    let mut stage = Stage::new(RolloutSpec { settle: Settle::None, ..spec() });
    for _ in 0..20 {
        stage.tick(Verdict::Inconclusive);
    }
    assert_eq!(stage.tick(Verdict::Pass), PhaseName::Baking);
    let after = |seconds| {
        let now = at(stage.minute) + Span::from_seconds(seconds);
        let seen = observation(&stage.rollout, now, stage.live.clone());
        decide(&stage.rollout, &seen, Some(&analysis(Verdict::Pass))).next
    };
    assert_eq!(after(29), stage.rollout, "the first look stays the one to compare with");
    assert_eq!(after(30).desired_weight(), Some(percent(25)));
}

/// A Pass that wants nothing but the minute that settles next was looked at once before it is one.
#[test]
fn a_proof_in_sight_is_the_first_look() {
    let mut stage = Stage::new(RolloutSpec { settle: Settle::None, ..spec() });
    for _ in 0..20 {
        stage.tick(Verdict::Inconclusive);
    }
    let mut seen = observation(&stage.rollout, at(stage.minute), stage.live.clone());
    seen.passes_before = seen.samples.known().and_then(|samples| samples.settled_before).map(|before| before.plus(1));
    let in_sight = decide(&stage.rollout, &seen, Some(&analysis(Verdict::Inconclusive)));
    assert_eq!((in_sight.next.phase.name(), in_sight.effects.len()), (PhaseName::Baking, 0));
    stage.rollout = in_sight.next;
    // Out of sight again: a late datapoint changed it.
    let mut late = Stage { rollout: stage.rollout.clone(), live: stage.live.clone(), ..stage };
    late.tick(Verdict::Inconclusive);
    late.tick(Verdict::Pass);
    assert_eq!(late.rollout.desired_weight(), Some(percent(5)));
    stage.tick(Verdict::Pass);
    assert_eq!(stage.rollout.desired_weight(), Some(percent(25)));
}

/// From 5 to 25 % a regression in the minutes that nobody has read yet would be expensive; from 25 to 50 % it is not.
#[test]
fn a_steep_rise_waits_for_the_minutes_that_passed_meanwhile() {
    let mut stage = Stage::new(spec());
    for _ in 0..20 {
        stage.tick(Verdict::Inconclusive);
    }
    let at_weight = |stage: &mut Stage, weight: u16| {
        let mut ticks = 0;
        while stage.rollout.desired_weight() == Some(percent(weight)) {
            stage.tick(Verdict::Pass);
            ticks += 1;
        }
        ticks
    };
    let steep = at_weight(&mut stage, 5);
    assert_eq!(steep, 5, "minutes until a minute is read, and the two looks");
    for _ in 0..20 {
        stage.tick(Verdict::Inconclusive);
    }
    assert_eq!(at_weight(&mut stage, 25), 2, "two looks");
}

/// A regression that begins in those minutes is seen before the rise.
#[test]
fn what_is_read_while_a_pass_settles_can_take_it_back() {
    let mut stage = Stage::new(spec());
    for _ in 0..20 {
        stage.tick(Verdict::Inconclusive);
    }
    for _ in 0..3 {
        stage.tick(Verdict::Pass);
    }
    for _ in 0..3 {
        stage.tick(Verdict::Inconclusive);
    }
    for _ in 0..4 {
        stage.tick(Verdict::Pass);
        assert_eq!(stage.rollout.desired_weight(), Some(percent(5)), "the wait begins anew");
    }
}

#[test]
fn undecided_says_what_happens_at_the_deadline_and_pauses_end() {
    let mut stage = Stage::new(spec());
    let paused = stage.until(Verdict::Inconclusive, PhaseName::Paused);
    assert_eq!(paused, 120);
    let ended = stage.until(Verdict::Inconclusive, PhaseName::RolledBack);
    assert_eq!(ended, 120 + 12 * 60);
    assert_eq!(stage.live.additional, None);
}

#[test]
fn the_deadline_does_not_count_while_a_person_is_awaited() {
    let mut stage = Stage::new(spec());
    stage.until(Verdict::Inconclusive, PhaseName::Baking);
    stage.ask(OrderKind::Pause);
    for _ in 0..60 {
        assert_eq!(stage.tick(Verdict::Pass), PhaseName::Paused);
    }
    stage.ask(OrderKind::Resume);
    assert_eq!(stage.until(Verdict::Inconclusive, PhaseName::Paused), 120 + 60);
}

#[test]
fn an_undecided_rollout_that_is_resumed_gets_another_deadline() {
    let mut stage = Stage::new(spec());
    let paused = stage.until(Verdict::Inconclusive, PhaseName::Paused);
    stage.ask(OrderKind::Resume);
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Baking);
    assert_eq!(stage.until(Verdict::Inconclusive, PhaseName::Paused), paused + 120);
}

#[test]
fn an_approval_is_waited_for_and_then_the_next_step_follows() {
    let mut spec = spec();
    spec.steps[0].approve = Some(Approval { within: Span::from_hours(4), otherwise: Ending::RollBack });
    let mut stage = Stage::new(spec);
    stage.until(Verdict::Pass, PhaseName::Paused);
    stage.ask(OrderKind::Approve);
    stage.tick(Verdict::Pass);
    assert_eq!(stage.rollout.desired_weight(), Some(percent(25)));
    stage.until(Verdict::Pass, PhaseName::Promoted);
}

#[test]
fn an_approval_that_never_comes_rolls_back() {
    let mut spec = spec();
    spec.steps[0].approve = Some(Approval { within: Span::from_hours(4), otherwise: Ending::RollBack });
    let mut stage = Stage::new(spec);
    let paused = stage.until(Verdict::Pass, PhaseName::Paused);
    assert_eq!(stage.until(Verdict::Pass, PhaseName::RolledBack), paused + 240);
}

#[test]
fn an_approval_given_in_advance_counts() {
    let mut spec = spec();
    spec.steps[0].approve = Some(Approval { within: Span::from_hours(4), otherwise: Ending::RollBack });
    let mut stage = Stage::new(spec);
    stage.until(Verdict::Inconclusive, PhaseName::Baking);
    stage.ask(OrderKind::Approve);
    stage.until(Verdict::Pass, PhaseName::Promoted);
    assert!(stage.story().iter().all(|line| !line.contains("paused")), "{:#?}", stage.story());
}

#[test]
fn a_step_ends_at_its_own_limit() {
    let mut spec = spec();
    spec.steps[0].at_most = Some(Span::from_minutes(20));
    let mut stage = Stage::new(spec);
    let live = stage.until(Verdict::Inconclusive, PhaseName::Baking);
    assert_eq!(stage.until(Verdict::Inconclusive, PhaseName::Paused), live + 20);
}

#[test]
fn unless_harm_goes_on_when_its_time_is_over() {
    let bake = Span::from_minutes(10);
    let mut spec = spec();
    spec.steps = vec![Step { weight: percent(10), bake, at_most: None, advance: Advance::UnlessHarm, approve: None }];
    let mut stage = Stage::new(spec.clone());
    assert_eq!(stage.until(Verdict::Inconclusive, PhaseName::Promoting), 1 + 10);
    // But not without a single look at the new version.
    let mut blind = Stage::new(spec);
    blind.until(Verdict::Inconclusive, PhaseName::Baking);
    for minute in 0..60 {
        let mut seen = observation(&blind.rollout, at(2 + minute), blind.live.clone());
        seen.samples = Seen::NotAsked;
        let decision = decide(&blind.rollout, &seen, None);
        assert_eq!(decision.effects, []);
        blind.rollout = decision.next;
    }
}

#[test]
fn all_at_once_is_promoted_and_watched_and_an_alarm_still_rolls_back() {
    let mut spec = spec();
    spec.steps.clear();
    let mut stage = Stage::new(spec);
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Promoting);
    assert_eq!(stage.live.primary, version("42"));
    stage.tick(Verdict::Inconclusive);
    stage.alarm = AlarmState::Alarm;
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::RolledBack);
    assert_eq!((stage.live.primary.clone(), stage.live.additional.clone()), (version("41"), None));
}

#[test]
fn an_alarm_acts_in_a_pause_too() {
    let mut stage = Stage::new(spec());
    stage.until(Verdict::Inconclusive, PhaseName::Baking);
    stage.ask(OrderKind::Pause);
    stage.alarm = AlarmState::Alarm;
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::RolledBack);
}

#[test]
fn an_alarm_that_was_red_at_the_start_counts_once_it_has_been_ok() {
    let mut spec = spec();
    spec.alarms.already_red = AlreadyRed::Judge;
    let mut stage = Stage::new(spec);
    stage.rollout.alarms_muted.insert("red".to_owned());
    stage.alarm = AlarmState::Alarm;
    stage.until(Verdict::Inconclusive, PhaseName::Baking);
    stage.alarm = AlarmState::Ok;
    stage.tick(Verdict::Inconclusive);
    stage.alarm = AlarmState::Alarm;
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::RolledBack);
}

/// A writer that stalled before the rollback writes its old weight late: its revision must be stale by then.
#[test]
fn a_rollback_is_not_over_before_earlier_writes_are_stale() {
    let mut stage = Stage::new(spec());
    stage.until(Verdict::Inconclusive, PhaseName::Baking);
    stage.ask(OrderKind::Abort);
    let before = stage.live.revision.clone();
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::RolledBack);
    assert_ne!(stage.live.revision, before);
    // Even when nothing seems to be live: the shift was recorded and may be on its way.
    let mut stage = Stage::new(spec());
    let seen = observation(&stage.rollout, at(1), live(0));
    stage.rollout = decide(&stage.rollout, &seen, None).next;
    assert_eq!(stage.rollout.phase.name(), PhaseName::Shifting);
    stage.ask(OrderKind::Abort);
    stage.tick(Verdict::Inconclusive);
    assert_eq!((stage.rollout.phase.name(), stage.writes), (PhaseName::RolledBack, 1));
}

#[test]
fn tests_run_before_any_traffic() {
    let mut spec = spec();
    let payload = serde_json::json!({});
    spec.tests = vec![Test::Invoke(InvokeTest { payload, expect: None, times: 1 })];
    let mut stage = Stage::new(spec.clone());
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Baking);
    let rollout = rollout_of(spec);
    let mut seen = observation(&rollout, at(1), live(0));
    let ready = decide(&rollout, &seen, None).next;
    assert!(matches!(ready.phase, Phase::Pending { ready: true, .. }));
    seen.tests = Seen::Known(vec![TestOutcome::Failed("expected 200, got 500".to_owned())]);
    let ended = decide(&ready, &seen, None);
    assert_eq!((ended.next.phase.name(), ended.effects.len()), (PhaseName::RolledBack, 0));
    seen.tests = Seen::Missing("Invoke was throttled".to_owned());
    assert_eq!(decide(&ready, &seen, None).next, ready);
}

#[test]
fn a_version_that_is_not_ready_gets_no_traffic() {
    let rollout = rollout_of(spec());
    let mut seen = observation(&rollout, at(1), live(0));
    let set = |seen: &mut crate::observation::Observation, readiness| {
        if let Seen::Known(info) = &mut seen.canary {
            info.readiness = readiness;
        }
    };
    set(&mut seen, Readiness::NotYet("Pending".to_owned()));
    assert_eq!(decide(&rollout, &seen, None).next, rollout);
    set(&mut seen, Readiness::Never("Failed".to_owned()));
    let ended = decide(&rollout, &seen, None);
    assert_eq!((ended.next.phase.name(), ended.effects.len()), (PhaseName::RolledBack, 0));
}

#[test]
fn a_queued_rollout_takes_the_target_as_it_was_left() {
    let mut rollout = rollout_of(spec());
    let behind = Some(Behind { rollout: "checkout-41".to_owned(), supersedes: false });
    rollout.phase = Phase::Pending { since: at(0), behind, ready: false };
    let mut seen = observation(&rollout, at(1), routing("40", None, "r9"));
    seen.target_held_by = Some("checkout-41".to_owned());
    assert_eq!(decide(&rollout, &seen, None).next, rollout);
    seen.target_held_by = None;
    let next = decide(&rollout, &seen, None).next;
    assert_eq!((next.baseline.clone(), next.holds_target()), (version("40"), true));
}

#[test]
fn a_newer_release_takes_over_and_the_older_one_turns_back_first() {
    let mut stage = Stage::new(spec());
    stage.until(Verdict::Inconclusive, PhaseName::Baking);
    let mut seen = observation(&stage.rollout, at(9), stage.live.clone());
    seen.newer = Some("checkout-43".to_owned());
    let decision = decide(&stage.rollout, &seen, None);
    assert_eq!(decision.next.phase.name(), PhaseName::RollingBack);
    seen.routing = Seen::Known(Routing { revision: Some("w9".to_owned()), ..live(0) });
    let ended = decide(&decision.next, &seen, None);
    assert_eq!(ended.next.phase.name(), PhaseName::Superseded);
}

#[test]
fn provisioned_concurrency_may_rearrange_the_weights_itself() {
    let mut stage = Stage::new(spec());
    stage.until(Verdict::Inconclusive, PhaseName::Baking);
    let moving = Routing { in_transition: true, ..routing("42", Some(("41", 99)), "r8") };
    let seen = observation(&stage.rollout, at(9), moving);
    let decision = decide(&stage.rollout, &seen, None);
    assert_eq!((decision.next, decision.effects), (stage.rollout.clone(), vec![]));
}

#[test]
fn observe_mode_follows_what_others_do_and_says_what_it_would_have_done() {
    let mut spec = spec();
    spec.mode = Mode::Observe;
    let mut stage = Stage::new(spec);
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Pending);
    stage.live = live(25);
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Baking);
    stage.tick(Verdict::Fail);
    stage.tick(Verdict::Fail);
    stage.live = live(0);
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::RolledBack);
    assert_eq!(stage.writes, 0);
    let would: Vec<String> = stage.story().into_iter().filter(|line| line.contains("would have")).collect();
    assert_eq!(would.len(), 1, "{would:?}");
}

/// Whoever lets a rollout go on whose deadline is over grants it the time to arrive.
#[test]
fn consent_after_the_deadline_is_not_undone_by_the_deadline() {
    let undecided = |then: Ending| {
        let mut spec = spec();
        spec.undecided.too_little_traffic = then;
        spec.pause.then = Ending::Promote;
        Stage::new(spec)
    };
    let mut at_the_deadline = undecided(Ending::Promote);
    assert_eq!(at_the_deadline.until(Verdict::Inconclusive, PhaseName::Promoted), 120 + 30);
    let mut after_the_pause = undecided(Ending::Pause);
    assert_eq!(after_the_pause.until(Verdict::Inconclusive, PhaseName::Promoted), 120 + 12 * 60 + 30);
    let mut by_a_person = undecided(Ending::Pause);
    by_a_person.until(Verdict::Inconclusive, PhaseName::Paused);
    by_a_person.ask(OrderKind::Promote);
    assert_eq!(by_a_person.until(Verdict::Inconclusive, PhaseName::Promoted), 120 + 1 + 30);
}

/// While Lambda moves provisioned concurrency to the new version, the alias points to that one already and its weights
/// keep the traffic on the old one. That is no rolled back alias: a moment later all traffic is on the new version.
#[test]
fn a_rollback_does_not_end_while_lambda_only_postpones_the_new_version() {
    let mut stage = Stage::new(spec());
    stage.until(Verdict::Inconclusive, PhaseName::Baking);
    stage.ask(OrderKind::Promote);
    stage.tick(Verdict::Inconclusive);
    stage.ask(OrderKind::Abort);
    let all_on_the_old = |revision: &str, in_transition| {
        let additional = Some(("41", 100));
        Routing { in_transition, ..routing("42", additional, revision) }
    };
    let mut rollout = stage.rollout.clone();
    for (revision, in_transition) in [("l1", true), ("l2", true), ("l3", false)] {
        let seen = observation(&rollout, at(stage.minute + 1), all_on_the_old(revision, in_transition));
        let decision = decide(&rollout, &seen, None);
        assert_eq!(decision.next.phase.name(), PhaseName::RollingBack, "{revision}");
        assert_eq!(decision.effects.len(), 1, "{revision}");
        rollout = decision.next;
    }
    let seen = observation(&rollout, at(stage.minute + 2), live(0));
    assert_eq!(decide(&rollout, &seen, None).next.phase.name(), PhaseName::RolledBack);
}

/// The first weight went live and was not seen before the pause: it has traffic, so it is judged.
#[test]
fn a_weight_that_goes_live_unseen_before_a_pause_is_judged() {
    let mut stage = Stage::new(spec());
    let seen = observation(&stage.rollout, at(1), live(0));
    stage.rollout = decide(&stage.rollout, &seen, None).next;
    assert_eq!(stage.rollout.phase.name(), PhaseName::Shifting);
    stage.live = live(5);
    stage.minute = 1;
    stage.ask(OrderKind::Pause);
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Paused);
    let needs = crate::engine::needs(&stage.rollout, at(10));
    assert_eq!(needs.samples.map(|window| window.from), Some(at(1).minute()));
    assert_eq!(stage.rollout.weights.len(), 1, "once");
}

#[test]
fn consent_to_promote_waits_until_the_alarms_can_be_seen() {
    let mut spec = spec();
    spec.undecided.too_little_traffic = Ending::Promote;
    let mut stage = Stage::new(spec);
    stage.until(Verdict::Inconclusive, PhaseName::Baking);
    let mut seen = observation(&stage.rollout, at(200), stage.live.clone());
    seen.alarms = Seen::Missing("DescribeAlarms was throttled".to_owned());
    let verdict = analysis(Verdict::Inconclusive);
    let blind = decide(&stage.rollout, &seen, Some(&verdict));
    assert_eq!((blind.next.phase.name(), blind.effects), (PhaseName::Promoting, vec![]));
    seen.alarms = alarms(AlarmState::Ok);
    assert_eq!(decide(&blind.next, &seen, Some(&verdict)).effects.len(), 1);
}

/// The rollout before was rolled back to, or has promoted, the very version that is waiting: nothing to roll out.
#[test]
fn a_queued_rollout_of_what_is_live_by_then_ends() {
    let mut rollout = rollout_of(spec());
    let behind = Some(Behind { rollout: "checkout-41".to_owned(), supersedes: true });
    rollout.phase = Phase::Pending { since: at(0), behind, ready: false };
    let next = decide(&rollout, &observation(&rollout, at(1), live(100)), None).next;
    assert_eq!(next.phase.name(), PhaseName::Superseded);
}

#[test]
fn an_observed_rollout_waits_its_turn_and_gives_way_as_any_other() {
    let mut spec = spec();
    spec.mode = Mode::Observe;
    let mut rollout = rollout_of(spec);
    let behind = Some(Behind { rollout: "checkout-41".to_owned(), supersedes: false });
    rollout.phase = Phase::Pending { since: at(0), behind, ready: false };
    // What the one before does to the target is not its business.
    let mut seen = observation(&rollout, at(1), routing("41", Some(("40", 5)), "r7"));
    seen.target_held_by = Some("checkout-41".to_owned());
    assert_eq!(decide(&rollout, &seen, None).next, rollout);
    let mut seen = observation(&rollout, at(2), routing("40", None, "r9"));
    let first = decide(&rollout, &seen, None).next;
    assert_eq!((first.baseline.clone(), first.holds_target()), (version("40"), true));
    seen.newer = Some("checkout-43".to_owned());
    assert_eq!(decide(&first, &seen, None).next.phase.name(), PhaseName::Superseded);
}

#[test]
fn an_observed_promotion_shortly_before_the_deadline_is_watched_to_its_end() {
    let mut spec = spec();
    spec.mode = Mode::Observe;
    let mut stage = Stage::new(spec);
    stage.live = live(25);
    stage.until(Verdict::Inconclusive, PhaseName::Baking);
    while stage.minute < 110 {
        stage.tick(Verdict::Inconclusive);
    }
    stage.live = live(100);
    assert_eq!(stage.until(Verdict::Inconclusive, PhaseName::Promoted), 111 + 30);
}

/// One check looks worse, another one has seen nothing: the first must not hide the second.
#[test]
fn unless_harm_needs_a_look_at_every_check() {
    let mut spec = spec();
    spec.steps.iter_mut().for_each(|step| step.advance = Advance::UnlessHarm);
    spec.checks.truncate(1);
    let mut rollout = rollout_of(spec);
    rollout.plan = crate::analysis::plan(&rollout.spec);
    rollout.phase = Phase::Baking { step: 0, since: at(1), proof: None, approved: false };
    let seen = observation(&rollout, at(30), live(5));
    let judged = |on_no_data, overall| {
        let mut rollout = rollout.clone();
        rollout.plan.checks[0].on_no_data = on_no_data;
        let nothing = crate::analysis::judge(&rollout.plan, &crate::analysis::Samples::default());
        let doubt = Some(overall);
        decide(&rollout, &seen, Some(&crate::analysis::Analysis { doubt, ..nothing })).next.phase.name()
    };
    use crate::analysis::Doubt::{LooksWorse, NoData, TooLittleTraffic};
    use crate::spec::OnNoData::{Hold, Ignore};
    assert_eq!(judged(Hold, NoData), PhaseName::Baking);
    assert_eq!(judged(Hold, LooksWorse), PhaseName::Baking);
    assert_eq!(judged(Ignore, TooLittleTraffic), PhaseName::Shifting);
}

/// Evidence of long ago says nothing of a version that nobody hears of any more.
#[test]
fn a_proof_waits_for_newer_minutes_when_data_have_stopped() {
    let mut spec = spec();
    spec.checks.truncate(1);
    spec.steps[0].bake = Span::from_minutes(60);
    spec.settle = Settle::None;
    let mut rollout = rollout_of(spec);
    rollout.plan = crate::analysis::plan(&rollout.spec);
    rollout.weights.push(crate::rollout::WeightSeen { at: at(0), weight: percent(5) });
    rollout.phase = Phase::Baking { step: 0, since: at(1), proof: None, approved: false };
    let leaves = |newest: u64| {
        let nothing = crate::analysis::judge(&rollout.plan, &crate::analysis::Samples::default());
        let mut judged = crate::analysis::Analysis { verdict: Verdict::Pass, doubt: None, ..nothing };
        judged.comparisons[0].newest = Some(at(newest).minute());
        let mut baking = rollout.clone();
        for minute in [64, 65, 66] {
            let decision = decide(&baking, &observation(&baking, at(minute), live(5)), Some(&judged));
            baking = decision.next;
        }
        baking.phase.name() == PhaseName::Shifting
    };
    assert!(leaves(60));
    assert!(leaves(50), "a quiet version may go without a request for a while");
    assert!(!leaves(10));
}

/// The spec consents to go on unless harm is proven, whatever the check that proves it may do about it.
#[test]
fn unless_harm_holds_for_harm_that_a_holding_check_has_proven() {
    let mut spec = spec();
    spec.steps.iter_mut().for_each(|step| step.advance = Advance::UnlessHarm);
    spec.checks.truncate(1);
    spec.checks[0].mode = crate::spec::CheckMode::Hold;
    let mut rollout = rollout_of(spec);
    rollout.plan = crate::analysis::plan(&rollout.spec);
    rollout.phase = Phase::Baking { step: 0, since: at(1), proof: None, approved: false };
    let seen = observation(&rollout, at(30), live(5));
    let with_errors = |errors: f64| {
        use crate::analysis::{Count, MinuteSample, Pair, Samples, judge};
        let minutes = (1..29).map(|minute| MinuteSample {
            minute: at(minute).minute(),
            weight: percent(5),
            pairs: vec![Pair::of(Count::new(950.0, 10.0), Count::new(50.0, errors))],
        });
        let judged = judge(&rollout.plan, &Samples { minutes: minutes.collect(), ..Samples::default() });
        assert_eq!(judged.verdict, Verdict::Inconclusive);
        decide(&rollout, &seen, Some(&judged)).next.phase.name()
    };
    assert_eq!(with_errors(0.0), PhaseName::Shifting);
    assert_eq!(with_errors(25.0), PhaseName::Baking);
}

/// Whoever puts all traffic back by hand, on the way to 100 %, must not see it all go to the new version.
#[test]
fn an_undo_by_hand_on_the_way_to_all_traffic_is_not_undone() {
    let mut stage = Stage::new(spec());
    while stage.rollout.desired_weight() != Some(percent(50)) {
        stage.tick(Verdict::Pass);
    }
    stage.ask(OrderKind::Promote);
    stage.live = live(0);
    assert_eq!(stage.tick(Verdict::Pass), PhaseName::Promoting);
    assert_eq!(stage.tick(Verdict::Pass), PhaseName::Superseded);
    assert_eq!(stage.live, live(0));
}

/// A look that is answered from before our own last write looks like somebody's undo.
#[test]
fn a_stale_look_strands_no_traffic() {
    let mut stage = Stage::new(spec());
    while stage.rollout.phase.name() != PhaseName::Baking {
        stage.tick(Verdict::Inconclusive);
    }
    let now = std::mem::replace(&mut stage.live, live(0));
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Baking);
    stage.live = now.clone();
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Baking);
    stage.live = live(0);
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Baking, "the one before is forgotten");
    stage.live = now;
    assert_eq!(stage.tick(Verdict::Fail), PhaseName::RolledBack, "it still looks after its traffic");
    assert_eq!(stage.live.additional, None);
}

/// Whatever of a minute was at the weight before says little of the new one.
#[test]
fn a_minute_belongs_to_a_raise_if_it_is_mostly_at_the_new_weight() {
    let minute = at(10).minute();
    let of = |before, asked: u64, seen: u64, raise| {
        let mut rollout = rollout_of(spec());
        let when = |second: u64| minute.start() + Span::from_seconds(second);
        let weight = |at, weight| crate::rollout::WeightSeen { at, weight: percent(weight) };
        rollout.weights = vec![weight(at(0), before), weight(when(asked), raise)];
        let seen_live = crate::rollout::Event {
            at: when(seen),
            entered: None,
            weight: percent(raise),
            why: crate::rollout::Why::SeenLive,
            digest: None,
        };
        rollout.history = vec![seen_live];
        rollout.phase = Phase::Baking { step: 0, since: when(seen), proof: None, approved: false };
        crate::engine::step_since(&rollout).map(|since| since.index() - minute.index())
    };
    assert_eq!(of(0, 1, 2, 5), Some(0));
    assert_eq!(of(0, 30, 30, 5), Some(0), "half of it");
    assert_eq!(of(0, 31, 31, 5), Some(1), "less than half of it");
    assert_eq!(of(25, 24, 24, 50), Some(0), "three quarters of the canary's requests");
    assert_eq!(of(25, 25, 25, 50), Some(1), "fewer");
    assert_eq!(of(0, 1, 31, 5), Some(1), "seen late in it");
    assert_eq!(of(0, 1, 121, 5), Some(3), "seen in a later minute: nobody knows since when");
}
