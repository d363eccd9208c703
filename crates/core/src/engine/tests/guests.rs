//! Deployments of other services and what is made of them, told by their history.

use super::fixtures::*;
use crate::analysis::{Doubt, Samples, Verdict, judge};
use crate::deployment::{Asked, DeploymentRef, DeploymentState, Hook, HookAnswer, Reply};
use crate::engine::{Effect, Order, OrderKind, alone_since, answer, decide, needs, order, proven_worse};
use crate::observation::{AlarmState, Seen, TestOutcome};
use crate::report;
use crate::rollout::{Behind, Phase, PhaseName, Rollout};
use crate::spec::{Advance, Ending, InvokeTest, Mode, RolloutSpec, Test};
use crate::units::{Span, Weight};

/// Another service at work, and a minute hand.
struct Stage {
    rollout: Rollout,
    state: DeploymentState,
    /// The canary's weight in percent.
    live: u16,
    minute: u64,
    asked: Option<Asked>,
    alarm: AlarmState,
    test: TestOutcome,
    /// What of the minutes before 100 % the judge says there.
    proven_before: bool,
    stops: u32,
    /// The service does as it is told.
    obeys: bool,
    holding: Vec<String>,
}

impl Stage {
    fn new(spec: RolloutSpec, of: DeploymentRef) -> Self {
        Self {
            rollout: guest_of(spec, of),
            state: DeploymentState::InProgress,
            live: 0,
            minute: 0,
            asked: None,
            alarm: AlarmState::Ok,
            test: TestOutcome::Passed,
            proven_before: false,
            stops: 0,
            obeys: true,
            holding: Vec::new(),
        }
    }

    fn tick(&mut self, verdict: Verdict) -> PhaseName {
        self.minute += 1;
        for _ in 0..4 {
            let mut seen = observation(&self.rollout, at(self.minute), live(self.live));
            seen.alarms = alarms(self.alarm);
            seen.deployment = Seen::Known(deployment(&self.rollout, self.state.clone()));
            seen.asked = self.asked;
            if needs(&self.rollout, at(self.minute)).tests {
                seen.tests = Seen::Known(vec![self.test.clone()]);
            }
            seen.passes_before = alone_since(&self.rollout).filter(|_| self.proven_before);
            let decision = decide(&self.rollout, &seen, Some(&analysis(verdict)));
            for effect in &decision.effects {
                let Effect::Stop { deployment, told } = effect else { panic!("{effect:?}") };
                assert_eq!(deployment, &self.rollout.guest.clone().unwrap().deployment);
                if *told {
                    continue;
                }
                self.stops += 1;
                if self.obeys {
                    self.roll_back("stopped by Coalmine");
                }
            }
            self.rollout = decision.next;
            self.holding = decision.holding;
        }
        self.rollout.phase.name()
    }

    fn roll_back(&mut self, why: &str) {
        self.state = DeploymentState::Stopped { why: why.to_owned() };
        (self.live, self.asked) = (0, None);
    }

    fn at_weight(&mut self, weight: u16, minutes: u64, verdict: Verdict) -> PhaseName {
        self.live = weight;
        (0..minutes).map(|_| self.tick(verdict)).last().unwrap()
    }

    /// The deployment's hook at a weight, which waits for 55 minutes.
    fn asks(&mut self, weight: u16) {
        let until = at(self.minute + 1) + Hook::LIMIT;
        self.asked = Some(Asked { at: percent(weight), until: Some(until) });
    }

    fn told(&self) -> Option<bool> {
        self.told_at(self.asked.expect("nobody asks").at)
    }

    fn told_at(&self, at: Weight) -> Option<bool> {
        match answer(&self.rollout, &Asked { at, until: None }, Mode::Enforce) {
            Reply::Answer(HookAnswer { goes_on, .. }) => Some(goes_on),
            Reply::Wait(_) => None,
        }
    }

    fn why(&self) -> String {
        match answer(&self.rollout, &Asked { at: Weight::FULL, until: None }, Mode::Enforce) {
            Reply::Answer(HookAnswer { why, .. }) | Reply::Wait(why) => why,
        }
    }

    fn ask(&mut self, kind: OrderKind) -> Result<(), String> {
        let asked = Order { kind, by: "mara".to_owned(), reason: String::new() };
        self.rollout = order(&self.rollout, &asked, at(self.minute)).map_err(|refusal| refusal.to_string())?.next;
        Ok(())
    }

    fn story(&self) -> Vec<String> {
        let told = self.rollout.history.iter().map(|event| {
            let phase = event.entered.map(report::phase_word).unwrap_or("-");
            format!("{phase}: {}", report::sentence(&event.why))
        });
        told.collect()
    }
}

fn tested(spec: RolloutSpec) -> RolloutSpec {
    let invoke = InvokeTest { payload: serde_json::json!({}), expect: None, times: 1 };
    RolloutSpec { tests: vec![Test::Invoke(invoke)], ..spec }
}

#[test]
fn a_good_release_under_code_deploy() {
    let mut stage = Stage::new(tested(guest_spec(Advance::UnlessHarm)), code_deploy());
    stage.asks(0);
    assert_eq!(stage.told(), None);
    stage.tick(Verdict::Inconclusive);
    assert_eq!((stage.rollout.phase.name(), stage.told()), (PhaseName::Pending, Some(true)));
    stage.asked = None;
    assert_eq!(stage.at_weight(10, 6, Verdict::Inconclusive), PhaseName::Baking);
    assert_eq!(may_leave(&stage.rollout), Some(percent(10)));
    assert_eq!(stage.at_weight(50, 6, Verdict::Inconclusive), PhaseName::Baking);
    stage.asks(100);
    assert_eq!(stage.at_weight(100, 5, Verdict::Inconclusive), PhaseName::Promoting);
    assert_eq!(stage.told(), None);
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Promoted);
    assert_eq!((stage.told(), stage.why()), (Some(true), "watched at 100 % for 5m without an alarm".to_owned()));
    assert_eq!(stage.stops, 0);
    assert_eq!(
        stage.story(),
        [
            "pending: started by mara",
            "-: the old version's past says nothing",
            "-: the tests before any traffic are passed",
            "baking: others moved the traffic: v41 with 10 % on v42",
            "-: its time is over and no harm was proven, which the spec accepts: no data",
            "baking: others moved the traffic: v41 with 50 % on v42",
            "-: its time is over and no harm was proven, which the spec accepts: no data",
            "promoting: others moved the traffic: v42",
            "promoted: watched at 100 % for 5m without an alarm",
        ]
    );
}

#[test]
fn harm_in_mid_shift_stops_the_deployment_once() {
    let mut stage = Stage::new(guest_spec(Advance::UnlessHarm), code_deploy());
    stage.tick(Verdict::Inconclusive);
    stage.at_weight(10, 3, Verdict::Inconclusive);
    assert_eq!(stage.tick(Verdict::Fail), PhaseName::RolledBack);
    assert_eq!(stage.stops, 1);
    assert!(proven_worse(&stage.rollout));
    let ends: Vec<String> = stage.story().split_off(4);
    assert_eq!(
        ends,
        [
            "rolling back: proven worse",
            "-: CodeDeploy deployment d-3GSL8P2NK was stopped: stopped by Coalmine",
            "rolled back: proven worse"
        ]
    );
}

#[test]
fn a_stop_that_fails_is_repeated_once_a_tick() {
    let mut stage = Stage::new(guest_spec(Advance::UnlessHarm), code_deploy());
    stage.obeys = false;
    stage.at_weight(10, 3, Verdict::Inconclusive);
    for tick in 1..=5 {
        assert_eq!(stage.tick(Verdict::Fail), PhaseName::RollingBack);
        assert_eq!(
            (stage.stops, stage.holding.as_slice()),
            (tick, ["the deployment is being stopped".to_owned()].as_slice())
        );
    }
}

#[test]
fn an_alarm_stops_the_deployment_and_proves_nothing() {
    let mut stage = Stage::new(guest_spec(Advance::UnlessHarm), code_deploy());
    stage.at_weight(10, 3, Verdict::Inconclusive);
    stage.alarm = AlarmState::Alarm;
    assert_eq!(stage.tick(Verdict::Pass), PhaseName::RolledBack);
    assert_eq!((stage.stops, proven_worse(&stage.rollout)), (1, false));
}

/// The answer to the hook is what ends it: nothing has to be stopped.
#[test]
fn harm_after_the_shift_fails_the_hook() {
    let mut stage = Stage::new(guest_spec(Advance::UnlessHarm), code_deploy());
    stage.at_weight(10, 6, Verdict::Inconclusive);
    stage.asks(100);
    stage.at_weight(100, 2, Verdict::Inconclusive);
    assert_eq!(stage.tick(Verdict::Fail), PhaseName::RollingBack);
    assert_eq!((stage.told(), stage.stops, stage.why().as_str()), (Some(false), 0, "proven worse"));
    assert_eq!(stage.holding, ["the answer to its hook ends the deployment"]);
    stage.roll_back("the hook failed");
    assert_eq!(stage.tick(Verdict::Fail), PhaseName::RolledBack);
}

/// An answer may be denied.
#[test]
fn a_deployment_that_does_not_end_by_its_answer_is_stopped() {
    let mut stage = Stage::new(guest_spec(Advance::UnlessHarm), code_deploy());
    stage.at_weight(10, 6, Verdict::Inconclusive);
    stage.asks(100);
    stage.at_weight(100, 2, Verdict::Inconclusive);
    for stops in [0, 0, 1] {
        stage.tick(Verdict::Fail);
        assert_eq!(stage.stops, stops);
    }
    assert_eq!(stage.tick(Verdict::Fail), PhaseName::RolledBack);
}

/// What came too late to be stopped is no success.
#[test]
fn harm_in_the_look_that_sees_the_success_is_said() {
    let mut stage = Stage::new(guest_spec(Advance::UnlessHarm), code_deploy());
    stage.at_weight(100, 3, Verdict::Inconclusive);
    stage.state = DeploymentState::Succeeded;
    assert_eq!(stage.tick(Verdict::Fail), PhaseName::Superseded);
    assert!(stage.why().contains("v42 is live; nothing was set"), "{}", stage.why());
}

/// The look at the deployment lags, and the rollout has seen more.
#[test]
fn a_hook_is_not_told_what_was_said_of_a_weight_before() {
    let mut stage = Stage::new(guest_spec(Advance::UnlessHarm), code_deploy());
    stage.tick(Verdict::Inconclusive);
    assert_eq!(stage.told_at(percent(0)), Some(true));
    stage.at_weight(100, 2, Verdict::Inconclusive);
    assert_eq!((may_leave(&stage.rollout), stage.told_at(percent(0))), (Some(percent(0)), None));
}

/// Nobody resumes it, and its rule is gone: the target must not be held for ever.
#[test]
fn a_pause_ends_although_its_deployment_has_succeeded_unseen() {
    let mut stage = Stage::new(guest_spec(Advance::OnProof), ecs());
    stage.at_weight(10, 6, Verdict::Inconclusive);
    stage.ask(OrderKind::Pause).unwrap();
    stage.state = DeploymentState::Succeeded;
    let pause = stage.rollout.spec.pause.length.seconds() / 60;
    assert_eq!(stage.at_weight(10, pause - 1, Verdict::Inconclusive), PhaseName::Paused);
    assert_eq!(stage.at_weight(10, 2, Verdict::Inconclusive), PhaseName::Superseded);
}

/// Without a hook the deployment is over soon; until then it can be stopped.
#[test]
fn harm_after_the_shift_stops_a_deployment_that_does_not_ask() {
    let mut stage = Stage::new(guest_spec(Advance::UnlessHarm), code_deploy());
    stage.at_weight(100, 2, Verdict::Inconclusive);
    assert_eq!((stage.tick(Verdict::Fail), stage.stops), (PhaseName::RolledBack, 1));
}

#[test]
fn a_test_that_fails_is_told_to_the_hook() {
    let mut stage = Stage::new(tested(guest_spec(Advance::UnlessHarm)), code_deploy());
    stage.test = TestOutcome::Failed("the answer is 500".to_owned());
    stage.asks(0);
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::RollingBack);
    assert_eq!((stage.told(), stage.stops), (Some(false), 0));
    assert_eq!(stage.why(), "a test of the new version failed: the answer is 500");
    stage.roll_back("the hook failed");
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::RolledBack);
}

#[test]
fn a_test_that_fails_stops_a_deployment_that_does_not_ask() {
    for weight in [0, 10] {
        let mut stage = Stage::new(tested(guest_spec(Advance::UnlessHarm)), code_deploy());
        (stage.test, stage.live) = (TestOutcome::Failed("the answer is 500".to_owned()), weight);
        assert_eq!((stage.tick(Verdict::Inconclusive), stage.stops), (PhaseName::RolledBack, 1), "at {weight} %");
    }
}

/// Traffic does not wait for the tests of a deployment that has no hook.
#[test]
fn traffic_is_judged_although_tests_cannot_be_run() {
    let rollout = guest_of(tested(guest_spec(Advance::UnlessHarm)), code_deploy());
    let mut seen = observation(&rollout, at(1), live(10));
    seen.deployment = Seen::Known(deployment(&rollout, DeploymentState::InProgress));
    seen.tests = Seen::Missing("Invoke was throttled".to_owned());
    let ready = decide(&rollout, &seen, None).next;
    assert!(matches!(ready.phase, Phase::Pending { ready: true, .. }));
    let judged = decide(&ready, &seen, None).next;
    assert_eq!((judged.phase.name(), may_leave(&judged)), (PhaseName::Baking, None));
}

#[test]
fn without_a_verdict_the_hook_has_the_answer_of_the_spec() {
    let endings = [
        (Ending::Promote, PhaseName::Promoted, true),
        (Ending::RollBack, PhaseName::RollingBack, false),
        // Its clock cannot be held: what would end a pause decides at once.
        (Ending::Pause, PhaseName::RollingBack, false),
    ];
    for (ending, phase, goes_on) in endings {
        let mut stage = Stage::new(
            RolloutSpec { deadline: Span::from_hours(3), ..undecided(guest_spec(Advance::OnProof), ending) },
            code_deploy(),
        );
        stage.at_weight(10, 6, Verdict::Inconclusive);
        stage.asks(100);
        assert_eq!(stage.at_weight(100, 55, Verdict::Inconclusive), PhaseName::Promoting, "{ending:?}");
        assert_eq!(stage.told(), None);
        assert_eq!(stage.holding, ["the minutes before 100 % do not prove it"]);
        assert_eq!(stage.tick(Verdict::Inconclusive), phase, "{ending:?}");
        assert_eq!((stage.told(), stage.stops), (Some(goes_on), 0), "{ending:?}");
        let then = if goes_on { "promoted" } else { "rolled back" };
        assert_eq!(stage.why(), format!("too little traffic to tell after 55m: {then}, as the spec says"));
    }
}

/// Before any traffic nothing is lost by failing, whatever the spec says of a release that has some.
#[test]
fn a_hook_before_traffic_that_cannot_be_answered_fails() {
    let mut stage = Stage::new(undecided(guest_spec(Advance::UnlessHarm), Ending::Promote), code_deploy());
    stage.rollout.spec.deadline = Span::from_hours(3);
    stage.alarm = AlarmState::Alarm;
    stage.asks(0);
    for _ in 0..55 {
        assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Pending);
        assert_eq!(stage.told(), None);
    }
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::RollingBack);
    assert_eq!(stage.told(), Some(false));
}

/// The proof comes late: the minutes before 100 % have to settle, and are looked at for a minute longer.
#[test]
fn a_proof_ends_the_watch() {
    let mut stage = Stage::new(guest_spec(Advance::OnProof), code_deploy());
    stage.at_weight(10, 6, Verdict::Inconclusive);
    stage.asks(100);
    stage.proven_before = true;
    let mut minutes = 1;
    while stage.at_weight(100, 1, Verdict::Inconclusive) == PhaseName::Promoting {
        minutes += 1;
    }
    // A lag of three minutes, a timeout of 3 s, and a minute.
    assert_eq!((minutes, stage.told()), (6, Some(true)));
    assert_eq!(stage.why(), "proven no worse than tolerated");
}

#[test]
fn what_others_stop_is_rolled_back_when_the_traffic_is() {
    let mut stage = Stage::new(guest_spec(Advance::UnlessHarm), code_deploy());
    stage.at_weight(10, 3, Verdict::Inconclusive);
    stage.state = DeploymentState::Stopped { why: "stopped by ada".to_owned() };
    assert_eq!(stage.tick(Verdict::Fail), PhaseName::RollingBack);
    assert_eq!(stage.holding, ["the deployment has ended; its service has not put the old version back yet"]);
    stage.live = 0;
    assert_eq!(stage.tick(Verdict::Fail), PhaseName::RolledBack);
    assert_eq!((stage.stops, proven_worse(&stage.rollout)), (0, false));
    assert_eq!(stage.why(), "CodeDeploy deployment d-3GSL8P2NK was stopped: stopped by ada");
}

#[test]
fn a_deployment_that_succeeds_without_asking_is_promoted() {
    let mut stage = Stage::new(guest_spec(Advance::UnlessHarm), code_deploy());
    stage.at_weight(10, 3, Verdict::Inconclusive);
    stage.state = DeploymentState::Succeeded;
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Baking, "what is live has not been seen to follow");
    assert_eq!(stage.at_weight(100, 1, Verdict::Inconclusive), PhaseName::Promoted);
    assert_eq!(stage.why(), "CodeDeploy deployment d-3GSL8P2NK has succeeded");
}

/// Nothing of ours can put the old version back there. It is said what a person can do.
#[test]
fn a_rollback_that_is_left_half_way_is_said_loudly() {
    let mut stage = Stage::new(guest_spec(Advance::UnlessHarm), code_deploy());
    stage.obeys = false;
    stage.at_weight(10, 3, Verdict::Inconclusive);
    stage.tick(Verdict::Fail);
    stage.state = DeploymentState::Stopped { why: "no automatic rollback".to_owned() };
    for _ in 0..59 {
        assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::RollingBack);
    }
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Superseded);
    let says = "CodeDeploy deployment d-3GSL8P2NK has not put the old version back, v41 with 10 % on v42 is live; \
                nothing was set. By hand: aws lambda update-alias --function-name checkout --name live \
                --function-version 41 --routing-config AdditionalVersionWeights={}";
    assert_eq!(stage.why(), says);
    assert_eq!(stage.rollout.outbox.last().unwrap().why, says);
}

#[test]
fn a_stop_that_came_too_late_is_said_at_once() {
    let mut stage = Stage::new(guest_spec(Advance::UnlessHarm), code_deploy());
    stage.obeys = false;
    stage.at_weight(100, 3, Verdict::Inconclusive);
    stage.tick(Verdict::Fail);
    stage.state = DeploymentState::Succeeded;
    assert_eq!(stage.tick(Verdict::Fail), PhaseName::Superseded);
    assert!(stage.why().contains("v42 is live; nothing was set"), "{}", stage.why());
}

/// A look may be older than the last one.
#[test]
fn traffic_that_seems_to_be_back_ends_nothing() {
    let mut stage = Stage::new(guest_spec(Advance::UnlessHarm), code_deploy());
    stage.at_weight(10, 3, Verdict::Inconclusive);
    assert_eq!(stage.at_weight(0, 2, Verdict::Inconclusive), PhaseName::Baking);
    assert_eq!(stage.holding, ["all traffic is on the old version again, and the deployment has not ended"]);
    assert_eq!(stage.at_weight(10, 6, Verdict::Inconclusive), PhaseName::Baking);
    assert_eq!((stage.stops, may_leave(&stage.rollout)), (0, Some(percent(10))));
}

/// ECS asks before every raise, and waits for each.
#[test]
fn every_step_of_a_linear_ecs_deployment_waits_for_its_proof() {
    let mut stage = Stage::new(guest_spec(Advance::OnProof), ecs());
    assert_eq!(stage.told_at(percent(0)), None);
    stage.tick(Verdict::Inconclusive);
    assert_eq!((stage.told_at(percent(0)), stage.told_at(percent(10))), (Some(true), None));
    for weight in [10, 50] {
        stage.at_weight(weight, 12, Verdict::Inconclusive);
        assert_eq!(stage.told_at(percent(weight)), None, "{weight} %");
        stage.at_weight(weight, 6, Verdict::Pass);
        assert_eq!(stage.told_at(percent(weight)), Some(true), "{weight} %");
    }
    stage.proven_before = true;
    assert_eq!(stage.at_weight(100, 6, Verdict::Inconclusive), PhaseName::Promoting);
    assert_eq!(stage.told_at(percent(100)), Some(true));
    // It bakes, and an alarm still counts.
    let mut red =
        Stage { alarm: AlarmState::Alarm, rollout: stage.rollout.clone(), state: stage.state.clone(), ..stage };
    assert_eq!((red.tick(Verdict::Inconclusive), red.stops), (PhaseName::RolledBack, 1));
}

#[test]
fn an_ecs_deployment_ends_the_rollout() {
    let mut stage = Stage::new(guest_spec(Advance::UnlessHarm), ecs());
    stage.at_weight(100, 10, Verdict::Inconclusive);
    assert_eq!((stage.rollout.phase.name(), stage.told_at(percent(100))), (PhaseName::Promoting, Some(true)));
    stage.state = DeploymentState::Succeeded;
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Promoted);
}

#[test]
fn ecs_waits_while_the_rollout_is_paused() {
    let mut stage = Stage::new(guest_spec(Advance::OnProof), ecs());
    stage.at_weight(10, 6, Verdict::Inconclusive);
    stage.ask(OrderKind::Pause).unwrap();
    assert_eq!(stage.at_weight(10, 100, Verdict::Pass), PhaseName::Paused);
    assert_eq!(stage.told_at(percent(10)), None);
    stage.ask(OrderKind::Resume).unwrap();
    assert_eq!(stage.at_weight(10, 12, Verdict::Pass), PhaseName::Baking);
    assert_eq!(stage.told_at(percent(10)), Some(true));
    stage.ask(OrderKind::Pause).unwrap();
    assert_eq!((stage.tick(Verdict::Fail), stage.stops), (PhaseName::RolledBack, 1));
}

#[test]
fn ecs_without_a_verdict_is_paused_and_a_person_may_let_it_through() {
    let mut stage = Stage::new(undecided(guest_spec(Advance::OnProof), Ending::Pause), ecs());
    assert_eq!(stage.at_weight(10, 62, Verdict::Inconclusive), PhaseName::Paused);
    stage.ask(OrderKind::Promote).unwrap();
    assert_eq!((stage.rollout.phase.name(), may_leave(&stage.rollout)), (PhaseName::Baking, Some(Weight::FULL)));
    assert_eq!(stage.at_weight(50, 3, Verdict::Inconclusive), PhaseName::Baking);
    assert_eq!(stage.told_at(percent(50)), Some(true));
    assert_eq!((stage.tick(Verdict::Fail), stage.told_at(percent(50))), (PhaseName::RolledBack, Some(false)));
}

#[test]
fn code_deploys_clock_cannot_be_held() {
    let mut stage = Stage::new(guest_spec(Advance::UnlessHarm), code_deploy());
    assert!(stage.ask(OrderKind::Promote).unwrap_err().contains("is not answered yet"));
    stage.at_weight(10, 2, Verdict::Inconclusive);
    for kind in [OrderKind::Pause, OrderKind::Resume, OrderKind::Approve] {
        assert_eq!(
            stage.ask(kind).unwrap_err(),
            "rollout d-3GSL8P2NK bakes in step 1; the clock of CodeDeploy deployment d-3GSL8P2NK cannot be held; abort \
             stops it"
        );
    }
    stage.ask(OrderKind::Promote).unwrap();
    assert_eq!(may_leave(&stage.rollout), Some(Weight::FULL));
    assert_eq!(stage.at_weight(100, 1, Verdict::Inconclusive), PhaseName::Promoting);
    assert_eq!((stage.told_at(Weight::FULL), stage.why().as_str()), (Some(true), "promoted by mara"));
}

#[test]
fn an_abort_stops_the_deployment_wherever_it_is() {
    for weight in [0, 10, 100] {
        let mut stage = Stage::new(guest_spec(Advance::UnlessHarm), code_deploy());
        stage.at_weight(weight, 2, Verdict::Inconclusive);
        stage.ask(OrderKind::Abort).unwrap();
        // In the very minute of the command.
        stage.minute -= 1;
        assert_eq!((stage.tick(Verdict::Inconclusive), stage.stops), (PhaseName::RolledBack, 1), "at {weight} %");
        assert_eq!(stage.why(), "aborted by mara");
    }
}

/// A deployment that nobody stops would go on while its rollout waits.
#[test]
fn a_queued_guest_takes_the_target_as_it_is() {
    let mut stage = Stage::new(guest_spec(Advance::UnlessHarm), code_deploy());
    let behind = Some(Behind { rollout: "checkout-41".to_owned(), supersedes: false });
    stage.rollout.phase = Phase::Pending { since: at(0), behind, ready: false };
    assert_eq!(stage.at_weight(10, 1, Verdict::Inconclusive), PhaseName::Baking);
    assert_eq!(stage.rollout.baseline, version("41"));
}

#[test]
fn observe_mode_says_what_would_have_been_done() {
    let spec = RolloutSpec { mode: Mode::Observe, ..tested(guest_spec(Advance::OnProof)) };
    let mut stage = Stage::new(spec, code_deploy());
    stage.test = TestOutcome::Failed("the answer is 500".to_owned());
    stage.asks(0);
    stage.tick(Verdict::Inconclusive);
    assert_eq!(stage.told(), Some(true));
    stage.asked = None;
    stage.at_weight(10, 3, Verdict::Inconclusive);
    stage.tick(Verdict::Fail);
    stage.state = DeploymentState::Succeeded;
    // The minutes before the end are read first.
    assert_eq!(stage.at_weight(100, 4, Verdict::Fail), PhaseName::Promoting);
    assert_eq!(stage.at_weight(100, 2, Verdict::Fail), PhaseName::Promoted);
    assert_eq!(stage.stops, 0);
    assert_eq!(
        stage.story().split_off(2),
        [
            "-: observe mode: would have rolled back: a test of the new version failed: the answer is 500",
            "baking: others moved the traffic: v41 with 10 % on v42",
            "-: observe mode: would have rolled back: proven worse",
            "promoting: others moved the traffic: v42",
            "promoted: CodeDeploy deployment d-3GSL8P2NK has succeeded",
        ]
    );
}

/// The switch that turns every writer off stops nothing either, and what is found while it is on counts afterwards.
#[test]
fn the_switch_stops_nothing() {
    let rollout = guest_of(guest_spec(Advance::UnlessHarm), code_deploy());
    let mut seen = observation(&rollout, at(1), live(10));
    (seen.mode, seen.deployment) = (Mode::Observe, Seen::Known(deployment(&rollout, DeploymentState::InProgress)));
    let ready = decide(&rollout, &seen, None).next;
    let judged = decide(&ready, &seen, Some(&analysis(Verdict::Inconclusive))).next;
    let watched = decide(&judged, &seen, Some(&analysis(Verdict::Fail)));
    assert_eq!((watched.next.phase.name(), watched.effects.len()), (PhaseName::Baking, 0));
    let asked = Asked { at: Weight::FULL, until: None };
    assert!(matches!(answer(&watched.next, &asked, Mode::Observe), Reply::Answer(HookAnswer { goes_on: true, .. })));
    seen.mode = Mode::Enforce;
    let acted = decide(&watched.next, &seen, Some(&analysis(Verdict::Fail)));
    assert_eq!((acted.next.phase.name(), acted.effects.len()), (PhaseName::RollingBack, 1));
}

/// No data is never good news: what cannot be seen keeps the deployment waiting, and its end is the spec's.
#[test]
fn a_deployment_that_cannot_be_read_does_not_go_on() {
    let rollout = guest_of(guest_spec(Advance::UnlessHarm), code_deploy());
    let mut seen = observation(&rollout, at(1), live(0));
    for unread in [Seen::Missing("GetDeployment was throttled".to_owned()), Seen::NotAsked] {
        seen.deployment = unread;
        let held = decide(&rollout, &seen, None);
        assert_eq!(may_leave(&held.next), None);
        assert!(held.holding.iter().any(|why| why.starts_with("the deployment ")), "{:?}", held.holding);
    }
}

/// CodeDeploy goes on by its clock, seen or not. What it went through unseen is no reason to let it end.
#[test]
fn a_shift_of_which_no_data_was_seen_is_no_success() {
    let mut spec = undecided(guest_spec(Advance::UnlessHarm), Ending::Promote);
    spec.undecided.no_data = Ending::RollBack;
    let at_once = RolloutSpec { steps: Vec::new(), ..spec.clone() };
    for (spec, through, ends) in [
        (&spec, &[10, 50][..], PhaseName::RollingBack),
        // It was there, and nobody looked.
        (&spec, &[], PhaseName::RollingBack),
        // It was never to be there.
        (&at_once, &[], PhaseName::Promoted),
    ] {
        let mut rollout = guest_of(spec.clone(), code_deploy());
        rollout.plan = crate::analysis::plan(&rollout.spec);
        let until = Some(at(1) + Hook::LIMIT);
        for minute in 1..=57 {
            let weight = through.get(minute as usize / 6).copied().unwrap_or(100);
            let mut seen = observation(&rollout, at(minute), live(weight));
            seen.deployment = Seen::Known(deployment(&rollout, DeploymentState::InProgress));
            seen.asked = (weight == 100).then_some(Asked { at: Weight::FULL, until });
            let samples = seen.samples.known().unwrap();
            let judged = judge(&rollout.plan, &Samples { alone_since: alone_since(&rollout), ..samples.clone() });
            rollout = decide(&rollout, &seen, Some(&judged)).next;
        }
        assert_eq!(rollout.phase.name(), ends, "{through:?}: {:?}", rollout.history.last());
    }
}

/// A metric that became unreadable is no data, however much there was before.
#[test]
fn what_became_unreadable_is_no_data() {
    let mut spec = undecided(guest_spec(Advance::OnProof), Ending::Promote);
    spec.undecided.no_data = Ending::RollBack;
    for (unread, ends) in [(vec![], PhaseName::Baking), (vec!["throttled".to_owned()], PhaseName::RollingBack)] {
        let mut rollout = guest_of(spec.clone(), code_deploy());
        for minute in 1..=61 {
            let mut seen = observation(&rollout, at(minute), live(10));
            seen.deployment = Seen::Known(deployment(&rollout, DeploymentState::InProgress));
            if let Seen::Known(samples) = &mut seen.samples {
                samples.unread = unread.clone();
            }
            rollout = decide(&rollout, &seen, Some(&analysis(Verdict::Inconclusive))).next;
        }
        assert_eq!(rollout.phase.name(), ends, "{unread:?}");
    }
}

#[test]
fn a_blind_judge_is_no_data() {
    let mut judged = analysis(Verdict::Inconclusive);
    judged.doubt = Some(Doubt::NoData);
    let mut spec = undecided(guest_spec(Advance::OnProof), Ending::Promote);
    spec.undecided.no_data = Ending::RollBack;
    let mut rollout = guest_of(spec, code_deploy());
    for minute in 1..=61 {
        let mut seen = observation(&rollout, at(minute), live(10));
        seen.deployment = Seen::Known(deployment(&rollout, DeploymentState::InProgress));
        rollout = decide(&rollout, &seen, Some(&judged)).next;
    }
    assert_eq!(rollout.phase.name(), PhaseName::RollingBack);
}

/// What a guest needs to have looked at, by where it is.
#[test]
fn a_guest_looks_at_its_deployment() {
    let mut stage = Stage::new(tested(guest_spec(Advance::UnlessHarm)), code_deploy());
    let first = needs(&stage.rollout, at(0));
    assert!(first.deployment && first.canary && first.routing && !first.tests);
    stage.tick(Verdict::Inconclusive);
    let cleared = needs(&stage.rollout, at(2));
    assert!(cleared.deployment && !cleared.tests && !cleared.past, "what was answered is not asked again");
    stage.at_weight(10, 3, Verdict::Inconclusive);
    let judged = needs(&stage.rollout, at(9));
    assert!(judged.deployment && judged.alarms == ["red"] && judged.samples.is_some());
    stage.obeys = false;
    stage.tick(Verdict::Fail);
    let turned = needs(&stage.rollout, at(11));
    assert!(turned.deployment && turned.routing && turned.samples.is_none());
}
