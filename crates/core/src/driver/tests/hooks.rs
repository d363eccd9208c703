//! What a deployment of another service needs to be judged, and what its hooks are told without.

use super::*;
use crate::command::{Answer, Request};
use crate::deployment::{DeploymentRef, EcsQuestion, EcsStage, Hook, HookAnswer, Question, Reply, Shift};
use crate::driver::{HookLine, HookReport, Settings, command, hook, tick, tick_told};
use crate::observation::AlarmState;
use crate::ports::{Fault, FaultKind, Ports};
use crate::rollout::PhaseName;
use crate::sim::budget::SimBudget;
use crate::sim::executor::run_now;
use crate::sim::faults::{Faulty, Operation, Way, When};
use crate::sim::samples::{start, world};
use crate::sim::world::{CodeDeploy, Deploys, Ecs, Telling, Timetable, Told};
use crate::spec::Mode;
use crate::units::{Timestamp, Weight};

const PLACE: &str = "SSM parameter /coalmine/checkout/live";

fn settings() -> Settings {
    Settings { mode: Mode::Enforce, metric_lag: minutes(3), switch: None, deployment_spec: None }
}

fn weight(points: u16) -> Weight {
    Weight::from_basis_points(points).unwrap()
}

fn tenth() -> Timetable {
    Timetable::Canary { first: weight(1_000), bake: minutes(5) }
}

fn shift(on: On) -> Shift {
    Shift { target: on.target(), baseline: on.baseline(), canary: on.canary() }
}

/// CodeDeploy has begun to deploy v42, and waits for its first hook since ten seconds.
fn called() -> (World, Hook) {
    let world = world();
    world.set_alarm("red", AlarmState::Ok);
    let hook = call(&world);
    (world, hook)
}

fn call(world: &World) -> Hook {
    world.deploy(Deploys::CodeDeploy(CodeDeploy::new(tenth())), shift(On::Lambda));
    world.set_now(start() + Span::from_seconds(10));
    let asked = world.run_deployments().into_iter().find_map(|question| match question {
        Question::CodeDeploy(hook) => Some(hook),
        Question::Ecs(_) | Question::News(_) => None,
    });
    asked.unwrap()
}

fn later(world: &World, minute: u64) -> Timestamp {
    let now = start() + minutes(minute);
    world.set_now(now);
    now
}

fn ask_with(ports: &impl Ports, question: Question, now: Timestamp, settings: &Settings) -> Result<HookReport, Fault> {
    run_now(hook(ports, question, now, &SimBudget::plenty(), settings)).unwrap()
}

fn ask(ports: &impl Ports, asked: &Hook) -> HookLine {
    let report = ask_with(ports, Question::CodeDeploy(asked.clone()), asked.received, &settings()).unwrap();
    report.report.hooks.into_iter().next().unwrap()
}

fn tick_at(world: &World, ports: &impl Ports, minute: u64) -> Vec<HookLine> {
    let now = later(world, minute);
    run_now(tick(ports, now, &SimBudget::plenty(), &settings())).unwrap().unwrap().hooks
}

fn told(line: &HookLine) -> Option<(bool, &str)> {
    line.answer.as_ref().map(|answer| (answer.goes_on, answer.why.as_str()))
}

fn leave(world: &World, text: &str) {
    world.leave_spec(&target(), text.to_owned());
}

#[test]
fn without_a_spec_errors_and_latency_are_judged_by_the_deployments_own_timetable() {
    let (world, hook) = called();
    let line = ask(&world, &hook);
    assert_eq!(told(&line).map(|(goes_on, _)| goes_on), Some(true), "{line:?}");
    assert_eq!(line.did, ["opened rollout d-000000001"]);
    let rollout = &world.rollouts()["d-000000001"];
    let checks: Vec<&str> = rollout.spec.checks.iter().map(|check| check.name.as_str()).collect();
    let steps: Vec<(Weight, Span)> = rollout.spec.steps.iter().map(|step| (step.weight, step.bake)).collect();
    assert_eq!((checks, steps), (vec!["errors", "latency"], vec![(weight(1_000), minutes(5))]));
    assert_eq!((rollout.started_by.as_str(), rollout.spec.strategy.as_str()), ("CodeDeploy", "Canary10 %5m"));
    assert_eq!(world.kept_hooks(), [], "what is answered is forgotten");
    // The same call once more opens nothing, and is not answered again: nobody waits.
    let again = ask(&world, &hook);
    assert_eq!((told(&again), again.did.is_empty(), again.waiting.is_some()), (None, true, true));
    assert_eq!((world.rollouts().len(), world.told(0).len()), (1, 1));
}

#[test]
fn a_spec_that_is_wrong_fails_the_deployment_with_all_that_is_wrong() {
    for (text, why) in [
        (
            "alarms: [red, blue]",
            "alarms.names[1]: there is no alarm blue in this account and region, neither metric nor composite",
        ),
        (
            "deadline: soon\nchecks: 7",
            "line 1, column 11: deadline: `soon` is not a duration; write it as `90s`, `5m`, `1h30m` or `2d`; \
             line 2, column 9: checks: expected a list, found the number `7`",
        ),
        (
            "strategy: { allAtOnce: {} }",
            "line 1, column 1: strategy: CodeDeploy deployment d-000000001 moves the traffic by its own timetable (Canary10 %5m), \
             which is what counts; leave `strategy` out",
        ),
    ] {
        let (world, hook) = called();
        leave(&world, text);
        let line = ask(&world, &hook);
        let why = format!("{PLACE}: {why}");
        assert_eq!(told(&line), Some((false, why.as_str())));
        assert_eq!(line.problems, std::slice::from_ref(&why));
        assert!(world.rollouts().is_empty());
        // Whoever only observes lets it go on.
        let (world, hook) = called();
        leave(&world, text);
        let observing = Settings { mode: Mode::Observe, ..settings() };
        let report = ask_with(&world, Question::CodeDeploy(hook), start(), &observing).unwrap();
        let expected = format!("observe mode: would have stopped it: {why}");
        assert_eq!(told(&report.report.hooks[0]), Some((true, expected.as_str())));
    }
}

#[test]
fn the_functions_own_spec_counts_where_nobody_left_another() {
    let by_default = |text: &str| Settings { deployment_spec: Some(text.to_owned()), ..settings() };
    let (world, hook) = called();
    let question = Question::CodeDeploy(hook);
    let report = ask_with(&world, question.clone(), start(), &by_default("deadline: now")).unwrap();
    let answer = report.report.hooks[0].answer.clone().unwrap();
    assert!(!answer.goes_on && answer.why.starts_with("COALMINE_SPEC: line 1, "), "{answer:?}");
    let (world, hook) = called();
    leave(&world, "after: { watch: 7m }");
    ask_with(&world, Question::CodeDeploy(hook), start(), &by_default("deadline: now")).unwrap();
    assert_eq!(world.rollouts()["d-000000001"].spec.after.watch, minutes(7));
}

/// A start would be refused. A deployment is held by its hook instead, for a while: the alarm may be over soon.
#[test]
fn an_alarm_that_is_red_already_holds_the_deployment_before_its_first_weight() {
    let (world, hook) = called();
    world.set_alarm("red", AlarmState::Alarm);
    leave(&world, "alarms: [red]");
    let line = ask(&world, &hook);
    assert_eq!(told(&line), None, "{line:?}");
    assert!(line.warnings.iter().any(|why| why.contains("alarm red is in ALARM already")), "{line:?}");
    world.set_alarm("red", AlarmState::Ok);
    assert_eq!(told(&tick_at(&world, &world, 2)[0]).map(|(goes_on, _)| goes_on), Some(true));
    // Where the spec accepts it, it counts once it has been OK.
    let (world, hook) = called();
    world.set_alarm("red", AlarmState::Alarm);
    leave(&world, "alarms: { names: [red], alreadyRed: judge }");
    assert_eq!(told(&ask(&world, &hook)).map(|(goes_on, _)| goes_on), Some(true));
    assert!(world.rollouts()["d-000000001"].alarms_muted.contains("red"));
}

/// Which of them were red is not known then, and each counts once it has been OK.
#[test]
fn alarms_that_cannot_be_read_are_as_good_as_red_where_the_spec_accepts_that() {
    let (world, hook) = called();
    leave(&world, "alarms: { names: [red], alreadyRed: judge }");
    world.set_alarm("red", AlarmState::Alarm);
    let faulty = Faulty::once(&world, When::Nth(Operation::States, 0), Way::Fails(FaultKind::Throttled));
    let line = ask(&faulty, &hook);
    assert!(line.warnings.iter().any(|why| why.starts_with("alarms: ")), "{line:?}");
    assert!(world.rollouts()["d-000000001"].alarms_muted.contains("red"));
    world.set_alarm("red", AlarmState::Ok);
    tick_at(&world, &world, 1);
    assert_eq!(world.rollouts()["d-000000001"].alarms_muted.len(), 0);
}

/// Nothing that is in the way of a start is in the way of judging: the deployment moves anyway.
#[test]
fn a_deployment_without_traffic_is_judged_with_a_warning() {
    let (world, hook) = called();
    let line = ask(&world, &hook);
    assert!(line.warnings.iter().any(|why| why.contains("had no invocations in the last hour")), "{line:?}");
    assert!(world.rollouts().contains_key("d-000000001"));
}

#[test]
fn a_rollout_of_ours_on_the_alias_is_waited_for() {
    let world = world();
    world.set_alarm("red", AlarmState::Ok);
    let own = Request::parse(&json!({ "command": "start", "spec": spec() })).unwrap();
    run_now(command(&world, own, start(), &SimBudget::plenty(), &settings())).unwrap().unwrap();
    let hook = call(&world);
    let line = ask(&world, &hook);
    assert_eq!(line.waiting.as_deref(), Some("rollout d-000000001 waits behind rollout checkout-42"));
    tick_at(&world, &world, 1);
    let abort = Request::parse(&json!({ "command": "abort", "rollout": "checkout-42", "by": "mara" })).unwrap();
    run_now(command(&world, abort, later(&world, 2), &SimBudget::plenty(), &settings())).unwrap().unwrap();
    let answered = (3..8).find_map(|minute| tick_at(&world, &world, minute).first()?.answer.clone());
    assert_eq!(answered.map(|answer| answer.goes_on), Some(true), "{:#?}", world.rollouts()["d-000000001"].history);
}

/// Whatever fails, a hook is kept, and the next tick makes up for it.
#[test]
fn any_call_that_fails_costs_one_tick() {
    for operation in Operation::ALL {
        for way in [Way::Fails(FaultKind::Denied), Way::Panics, Way::Hangs, Way::AnswerLost] {
            let (world, hook) = called();
            let faulty = Faulty::once(&world, When::Every(operation), way);
            let asked = ask_with(&faulty, Question::CodeDeploy(hook.clone()), hook.received, &settings());
            let told = format!("{operation:?} {way:?}: {asked:?}");
            assert!(asked.is_ok(), "{told}");
            for minute in 1..4 {
                tick_at(&world, &world, minute);
            }
            let answer = |told: &Told| matches!(told.what, Telling::Answer { goes_on: true, counts: true, .. });
            assert_eq!(world.told(0).iter().filter(|told| answer(told)).count(), 1, "{told}");
            // One that is answered, and could not be forgotten, is forgotten with the end of its deployment.
            run_now(crate::ports::Deployments::stop(&world, &hook.deployment)).unwrap().unwrap();
            tick_at(&world, &world, 4);
            assert_eq!(world.kept_hooks(), [], "{told}");
            assert_eq!(world.rollouts().len(), 1, "{told}");
        }
    }
}

/// CodeDeploy fails a deployment without an answer after an hour, and then nobody knows why. What has passed no check yet
/// does not go on, whatever the spec says of a release that has traffic.
#[test]
fn after_55_minutes_a_hook_before_any_traffic_is_failed() {
    for no_data in ["rollBack", "promote", "pause"] {
        let (world, hook) = called();
        leave(&world, &format!("undecided: {{ noData: {no_data} }}\nalarms: [red]"));
        world.set_alarm("red", AlarmState::Alarm);
        assert_eq!(told(&ask(&world, &hook)), None);
        for (minute, told_then) in [(54, None), (56, Some(false))] {
            // Nothing can be recorded any more.
            let faulty = Faulty::once(&world, When::Every(Operation::Save), Way::Fails(FaultKind::Failed));
            let lines = tick_at(&world, &faulty, minute);
            let line = lines.first().unwrap();
            assert_eq!(told(line).map(|(goes_on, _)| goes_on), told_then, "{minute}: {line:?}");
        }
        assert_eq!(world.kept_hooks(), []);
    }
}

/// The hour is over soon, and whatever else a tick does may take all the time it has.
#[test]
fn a_hook_that_is_due_is_answered_before_anything_else_is_done() {
    let (world, hook) = called();
    leave(&world, "alarms: [red]");
    world.set_alarm("red", AlarmState::Alarm);
    assert_eq!(told(&ask(&world, &hook)), None);
    let hanging = Faulty::once(&world, When::Every(Operation::Active), Way::Hangs).interleaved(1);
    let now = later(&world, 56);
    assert!(run_now(tick(&hanging, now, &SimBudget::plenty(), &settings())).unwrap().is_err());
    assert_eq!(world.kept_hooks(), []);
    assert!(world.told(0).iter().any(|told| matches!(told.what, Telling::Answer { goes_on: false, counts: true, .. })));
}

/// Thirty functions that are deployed at once would otherwise do nine hundred times the work of one.
#[test]
fn a_hook_that_is_called_looks_at_its_own_deployment_only() {
    let (world, hook) = called();
    for other in 0..20 {
        let other = format!("d-{other}");
        let (deployment, execution) = (DeploymentRef::CodeDeploy(other.clone()), other);
        let kept = Hook { deployment, execution, received: hook.received };
        run_now(crate::ports::RolloutStore::keep_hook(&world, &kept)).unwrap().unwrap();
    }
    let counted = Faulty::healthy(&world);
    ask(&counted, &hook);
    let looks = counted.calls().into_iter().filter(|call| *call == Operation::Deployment).count();
    assert_eq!((looks, world.kept_hooks().len()), (1, 20));
}

/// What was decided counts, whatever the spec says of a rollout without a decision.
#[test]
fn after_55_minutes_a_hook_is_told_what_was_decided() {
    let (world, hook) = called();
    leave(&world, "undecided: { noData: promote }\nalarms: [red]");
    world.set_alarm("red", AlarmState::Alarm);
    assert_eq!(told(&ask(&world, &hook)), None);
    let faulty = Faulty::once(&world, When::Every(Operation::Deployment), Way::Fails(FaultKind::Failed));
    let abort = Request::parse(&json!({ "command": "abort", "rollout": "d-000000001", "by": "mara" })).unwrap();
    run_now(command(&faulty, abort, later(&world, 54), &SimBudget::plenty(), &settings())).unwrap().unwrap();
    assert_eq!(told(&tick_at(&world, &faulty, 56)[0]), Some((false, "aborted by mara")));
}

/// Whoever only observes holds nothing up for long.
#[test]
fn in_observe_mode_what_cannot_be_read_holds_nothing_up() {
    let observing = Settings { mode: Mode::Observe, ..settings() };
    for operation in [Operation::SpecFor, Operation::Create, Operation::Load, Operation::Deployment] {
        let (world, hook) = called();
        let faulty = Faulty::once(&world, When::Every(operation), Way::Fails(FaultKind::Denied));
        let first = ask_with(&faulty, Question::CodeDeploy(hook.clone()), hook.received, &observing).unwrap();
        assert_eq!(told(&first.report.hooks[0]), None, "{operation:?}");
        let report = run_now(tick(&faulty, later(&world, 6), &SimBudget::plenty(), &observing)).unwrap().unwrap();
        let (passed, why) = told(&report.hooks[0]).unwrap();
        assert!(passed && why.starts_with("observe mode: nothing is held up"), "{operation:?}: {why}");
        let (world, question) = by_ecs(EcsStage::PostTestTrafficShift, None);
        let faulty = Faulty::once(&world, When::Every(operation), Way::Fails(FaultKind::Denied));
        let asked = |now| ask_with(&faulty, Question::Ecs(question.clone()), now, &observing).unwrap().reply.unwrap();
        assert_eq!(
            [goes_on(&asked(start())), goes_on(&asked(start() + minutes(5)))],
            [None, Some(true)],
            "{operation:?}"
        );
    }
}

#[test]
fn after_55_minutes_a_hook_is_failed_where_nothing_can_be_read() {
    for operation in [Operation::Load, Operation::Deployment, Operation::SpecFor, Operation::Create, Operation::Active]
    {
        for way in [Way::Fails(FaultKind::Denied), Way::Panics] {
            let (world, hook) = called();
            let faulty = Faulty::once(&world, When::Every(operation), way);
            let _ = ask_with(&faulty, Question::CodeDeploy(hook.clone()), hook.received, &settings()).unwrap();
            // The list of rollouts alone is not needed to answer.
            if operation == Operation::Active {
                assert_eq!(world.kept_hooks(), []);
                continue;
            }
            assert_eq!(told(&tick_at(&world, &faulty, 54)[0]), None, "{operation:?}");
            let lines = tick_at(&world, &faulty, 56);
            let (goes_on, why) = told(&lines[0]).unwrap();
            assert!(!goes_on && why.starts_with("no verdict within 55m: "), "{operation:?}: {why}");
            assert_eq!(world.kept_hooks(), [], "{operation:?}");
        }
    }
}

/// What cannot be listed must not keep a hook from its answer.
#[test]
fn a_tick_that_cannot_list_the_rollouts_answers_hooks_all_the_same() {
    let (world, hook) = called();
    run_now(crate::ports::RolloutStore::keep_hook(&world, &hook)).unwrap().unwrap();
    let faulty = Faulty::once(&world, When::Every(Operation::Active), Way::Fails(FaultKind::Denied));
    let now = later(&world, 1);
    assert!(run_now(tick(&faulty, now, &SimBudget::plenty(), &settings())).unwrap().is_err());
    assert_eq!(world.kept_hooks(), []);
}

#[test]
fn a_hook_that_can_be_neither_kept_nor_answered_is_an_error() {
    let (world, hook) = called();
    leave(&world, "alarms: [red]");
    world.set_alarm("red", AlarmState::Alarm);
    let faulty = Faulty::once(&world, When::Every(Operation::KeepHook), Way::Fails(FaultKind::Denied));
    assert!(ask_with(&faulty, Question::CodeDeploy(hook.clone()), start(), &settings()).is_err());
    // It is in the table of nobody, and so it is asked again, or fails after its hour.
    world.set_alarm("red", AlarmState::Ok);
    assert!(ask_with(&faulty, Question::CodeDeploy(hook), start(), &settings()).is_ok(), "answered, so all is well");
}

#[test]
fn hooks_that_cannot_be_read_are_a_fault_of_the_tick_and_stop_nothing() {
    let (world, hook) = called();
    ask(&world, &hook);
    let faulty = Faulty::once(&world, When::Every(Operation::Hooks), Way::Fails(FaultKind::Denied));
    let report = run_now(tick(&faulty, later(&world, 1), &SimBudget::plenty(), &settings())).unwrap().unwrap();
    assert_eq!((report.lines.len(), report.faults.len()), (1, 1), "{report:?}");
    assert!(report.faults[0].starts_with("the hooks that wait could not be read: "), "{report:?}");
}

/// One deployment's bug is not the others'.
#[test]
fn hooks_are_answered_each_for_itself() {
    let (world, first) = called();
    let unknown =
        Hook { deployment: DeploymentRef::CodeDeploy("d-GONE".to_owned()), execution: "x".to_owned(), ..first.clone() };
    for hook in [&unknown, &first] {
        run_now(crate::ports::RolloutStore::keep_hook(&world, hook)).unwrap().unwrap();
    }
    let lines = tick_at(&world, &world, 1);
    let of = |id: &str| lines.iter().find(|line| line.deployment == id).unwrap();
    assert_eq!(of("d-GONE").waiting.as_deref(), Some("there is no CodeDeploy deployment d-GONE"));
    assert_eq!(told(of("d-000000001")).map(|(goes_on, _)| goes_on), Some(true));
    // What is not there for so long is no lag. Its service then knows no such hook, and it is kept until it does.
    let lines = tick_at(&world, &world, 6);
    assert!(lines.iter().any(|line| line.faults.iter().any(|fault| fault.contains("was rejected"))), "{lines:?}");
}

fn heard(ports: &impl Ports, deployment: &DeploymentRef, now: Timestamp) -> Result<HookReport, Fault> {
    ask_with(ports, Question::News(deployment.clone()), now, &settings())
}

#[test]
fn news_opens_the_rollout_and_later_news_attends_to_it() {
    let (world, hook) = called();
    let first = heard(&world, &hook.deployment, hook.received).unwrap().report;
    assert_eq!((first.hooks[0].did.as_slice(), first.lines.len()), (&["opened rollout d-000000001".to_owned()][..], 1));
    let second = heard(&world, &hook.deployment, later(&world, 1)).unwrap().report;
    assert_eq!((second.hooks[0].did.len(), second.lines.len()), (0, 1));
    assert_eq!(world.rollouts().len(), 1);
}

#[test]
fn news_that_cannot_be_followed_up_is_an_error_so_that_it_comes_again() {
    for operation in [Operation::Deployment, Operation::Load, Operation::SpecFor, Operation::Version, Operation::Create]
    {
        let (world, hook) = called();
        let faulty = Faulty::once(&world, When::Every(operation), Way::Fails(FaultKind::Throttled));
        assert!(heard(&faulty, &hook.deployment, hook.received).is_err(), "{operation:?}");
        assert!(heard(&world, &hook.deployment, hook.received).is_ok(), "{operation:?}");
        assert_eq!(world.rollouts().len(), 1, "{operation:?}");
    }
    // Nobody can say yet what it moves.
    let world = world();
    let deployment = world.deploy(Deploys::CodeDeploy(CodeDeploy::new(tenth())), shift(On::Lambda));
    let fault = heard(&world, &deployment, start()).unwrap_err();
    assert!(fault.to_string().contains("its service does not say yet what it moves"), "{fault}");
}

#[test]
fn news_of_what_cannot_be_judged_is_no_error() {
    let (world, hook) = called();
    let unknown = DeploymentRef::CodeDeploy("d-GONE".to_owned());
    let report = heard(&world, &unknown, start()).unwrap().report;
    assert_eq!(report.hooks[0].did, ["not judged: there is no CodeDeploy deployment d-GONE"]);
    leave(&world, "deadline: now");
    let report = heard(&world, &hook.deployment, start()).unwrap().report;
    assert!(report.hooks[0].problems[0].starts_with(PLACE), "{report:?}");
    assert!(world.rollouts().is_empty());
}

#[test]
fn a_start_is_refused_while_a_deployment_shifts_the_alias() {
    fn refused(ports: &impl Ports) -> Vec<String> {
        let request = Request::parse(&json!({ "command": "start", "spec": spec() })).unwrap();
        let answer = run_now(command(ports, request, start(), &SimBudget::plenty(), &settings())).unwrap();
        answer.unwrap_err().iter().map(ToString::to_string).collect()
    }
    let (world, _) = called();
    assert_eq!(
        refused(&world),
        ["target.lambda.alias: CodeDeploy deployment d-000000001 is shifting checkout:live; wait for its end; it is \
          judged by itself if its hook or its event reaches Coalmine"]
    );
    let blind = refused(&Faulty::once(&world, When::Every(Operation::Shifting), Way::Fails(FaultKind::Denied)));
    assert!(world.rollouts().is_empty());
    assert!(blind[0].starts_with("target.lambda.alias: whether a deployment is shifting checkout:live"), "{blind:?}");
    let mut observed = spec();
    observed["mode"] = json!("observe");
    let request = Request::parse(&json!({ "command": "start", "spec": observed })).unwrap();
    let (world, _) = called();
    assert!(run_now(command(&world, request, start(), &SimBudget::plenty(), &settings())).unwrap().is_ok());
}

#[test]
fn a_rollout_of_codedeploys_alias_opens_by_itself() {
    let mut spec = spec();
    spec["target"]["lambda"]["owner"] = json!("codedeploy");
    let request = Request::parse(&json!({ "command": "start", "spec": spec })).unwrap();
    let problems =
        run_now(command(&called().0, request, start(), &SimBudget::plenty(), &settings())).unwrap().unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "target.lambda.owner: CodeDeploy owns the weights: its deployment's rollout opens by itself, with the deployment's \
         hook or event. Start nothing, or use `mode: observe` to watch an alias without either"
    );
}

/// A deployment of ECS, and the question of its hook in a stage.
fn by_ecs(stage: EcsStage, told: Option<Weight>) -> (World, EcsQuestion) {
    let world = On::Alb.world();
    let deployment = world.deploy(Deploys::Ecs(Ecs::new(tenth())), shift(On::Alb));
    (world, EcsQuestion { deployment, stage, weight: told, since: start(), spec: None })
}

fn reply(ports: &impl Ports, question: &EcsQuestion, now: Timestamp) -> Reply {
    ask_with(ports, Question::Ecs(question.clone()), now, &settings()).unwrap().reply.unwrap()
}

fn goes_on(reply: &Reply) -> Option<bool> {
    match reply {
        Reply::Answer(answer) => Some(answer.goes_on),
        Reply::Wait(_) => None,
    }
}

/// Tests before the new tasks run would fail, and waiting for tasks that wait for us would never end.
#[test]
fn ecs_is_not_held_before_anything_can_be_tested() {
    for stage in EcsStage::ALL.into_iter().filter(|stage| *stage < EcsStage::PostTestTrafficShift) {
        let (world, mut question) = by_ecs(stage, None);
        assert_eq!(goes_on(&reply(&world, &question, start())), Some(true), "{stage:?}");
        assert!(world.rollouts().is_empty(), "{stage:?}");
        // A spec that is wrong is told as early as it can be.
        let place = "hookDetails.coalmine".to_owned();
        question.spec = Some(crate::deployment::FoundSpec { place, text: "deadline: now".to_owned() });
        let Reply::Answer(HookAnswer { goes_on: false, why }) = reply(&world, &question, start()) else {
            panic!("{stage:?}")
        };
        assert!(why.starts_with("hookDetails.coalmine: line 1, column 11: deadline: "), "{why}");
    }
}

#[test]
fn ecs_is_judged_at_the_weight_that_is_live() {
    // Told is the weight that comes; v42 has nothing yet.
    let (world, question) = by_ecs(EcsStage::PreProductionTrafficShift, Some(weight(1_000)));
    let first = reply(&world, &question, start());
    assert_eq!(goes_on(&first), Some(true), "{first:?}");
    let ten = weight(1_000);
    world.write(&On::Alb.target(), &On::Alb.baseline(), Some((On::Alb.canary(), ten))).unwrap();
    for told in [Some(Weight::ZERO), Some(ten), Some(weight(5_000)), None] {
        let question = EcsQuestion { weight: told, ..question.clone() };
        assert_eq!(goes_on(&reply(&world, &question, later(&world, 1))), None, "{told:?}");
    }
}

#[test]
fn what_ecs_puts_back_is_not_held_up() {
    for stage in [EcsStage::TestTrafficShift, EcsStage::ProductionTrafficShift] {
        let (world, question) = by_ecs(stage, Some(Weight::ZERO));
        let faulty = Faulty::once(&world, When::Always, Way::Fails(FaultKind::Failed));
        assert_eq!(goes_on(&reply(&faulty, &question, start())), Some(true), "{stage:?}");
    }
}

/// An error would roll back.
#[test]
fn ecs_is_told_to_ask_again_whatever_fails() {
    let ways = [Way::Fails(FaultKind::Throttled), Way::Panics, Way::Hangs, Way::AnswerLost];
    for (operation, way) in Operation::ALL.into_iter().flat_map(|operation| ways.map(|way| (operation, way))) {
        let (world, question) = by_ecs(EcsStage::PostTestTrafficShift, None);
        let faulty = Faulty::once(&world, When::Every(operation), way);
        let told = reply(&faulty, &question, start());
        assert_ne!(goes_on(&told), Some(false), "{operation:?} {way:?}: {told:?}");
    }
    let (world, question) = by_ecs(EcsStage::PostTestTrafficShift, None);
    let faulty = Faulty::once(&world, When::Always, Way::Panics);
    let Reply::Wait(why) = reply(&faulty, &question, start()) else { panic!("an answer without a look") };
    assert!(why.contains("a panic on purpose"), "{why}");
    let gone = EcsQuestion { deployment: DeploymentRef::Ecs("arn:aws:ecs:x/GONE".to_owned()), ..question.clone() };
    assert_eq!(goes_on(&reply(&world, &gone, start())), None);
    assert_eq!(goes_on(&reply(&world, &gone, start() + minutes(5))), Some(false));
    // What is judged already is there, whatever a look says.
    assert_eq!(goes_on(&reply(&world, &question, start())), Some(true));
    let unseen = EcsQuestion {
        deployment: DeploymentRef::Ecs(format!("arn:aws:ecs:x/{}", question.deployment.id())),
        ..question
    };
    assert_eq!(goes_on(&reply(&world, &unseen, start() + minutes(5))), None);
}

#[test]
fn the_verdict_is_measured_for_every_guest_and_a_failure_of_that_is_only_said() {
    let (world, hook) = called();
    ask(&world, &hook);
    let before = world.measured(&target()).len();
    let faulty = Faulty::once(&world, When::Every(Operation::Measure), Way::Fails(FaultKind::Denied));
    let report = run_now(tick(&faulty, later(&world, 1), &SimBudget::plenty(), &settings())).unwrap().unwrap();
    assert!(report.lines[0].faults.iter().any(|fault| fault.contains("was denied")), "{report:?}");
    tick_at(&world, &world, 2);
    assert_eq!(world.measured(&target()).len(), before + 1);
}

/// An alarm that rang on would keep the next deployment from beginning.
#[test]
fn a_deployment_that_has_ended_is_measured_as_no_harm_and_then_no_more() {
    let (world, hook) = called();
    ask(&world, &hook);
    let (target, deployment) = (target(), hook.deployment.clone());
    let mut rollout = crate::rollout::Rollout::clone(&world.rollouts()["d-000000001"]);
    let why = crate::rollout::Why::Harm { sentences: Vec::new() };
    let before = rollout.clone();
    rollout.phase = crate::rollout::Phase::RollingBack {
        since: start(),
        why,
        fence: crate::rollout::Fence::Open,
        ends_as: crate::rollout::RollBackEnd::RolledBack,
    };
    rollout.revision += 1;
    run_now(crate::ports::RolloutStore::save(&world, &before, &rollout, None)).unwrap().unwrap();
    run_now(crate::ports::Deployments::stop(&world, &deployment)).unwrap().unwrap();
    let silent = Faulty::once(&world, When::Every(Operation::Publish), Way::Fails(FaultKind::Denied));
    let count = world.measured(&target).len();
    tick_at(&world, &silent, 1);
    tick_at(&world, &silent, 2);
    let measured: Vec<bool> = world.measured(&target).into_iter().skip(count).map(|(_, worse)| worse).collect();
    assert!(world.rollouts()["d-000000001"].is_terminal() && world.rollouts()["d-000000001"].is_active());
    assert_eq!(measured, [false]);
}

#[test]
fn the_table_of_deployments_says_what_each_came_to() {
    let (world, hook) = called();
    ask(&world, &hook);
    let table = |world: &World| {
        let request = Request::parse(&json!({ "command": "deployments" })).unwrap();
        match run_now(command(world, request, start(), &SimBudget::plenty(), &settings())).unwrap().unwrap() {
            Answer::Deployments { deployments } => deployments,
            other @ (Answer::Rollout(_) | Answer::Minutes(_) | Answer::Nothing { .. } | Answer::List(_)) => {
                panic!("{other:?}")
            }
        }
    };
    let rows = table(&world);
    assert_eq!(rows[0].message, "v41 to v42 on checkout:live: the deployment goes on; Coalmine: no verdict");
    later(&world, 2);
    run_now(crate::ports::Deployments::stop(&world, &hook.deployment)).unwrap().unwrap();
    (3..8).for_each(|minute| drop(tick_at(&world, &world, minute)));
    assert_eq!(world.rollouts()["d-000000001"].phase.name(), PhaseName::RolledBack);
    let row = table(&world).remove(0);
    assert!(
        row.message.contains("CodeDeploy deployment d-000000001 was stopped: MANUAL_STOP (2026-"),
        "{}",
        row.message
    );
    let shown = serde_json::to_value(&row).unwrap();
    assert_eq!(
        (&shown["target"], &shown["mode"], &shown["coalmine"]),
        (&json!("checkout:live"), &json!("enforce"), &Value::Null)
    );
    world.damage_rollout("d-000000001");
    let damaged = table(&world).remove(0);
    assert_eq!((damaged.deployment.as_str(), damaged.seen), ("d-000000001", None));
    assert!(damaged.message.starts_with("rollout d-000000001 cannot be read: "), "{}", damaged.message);
}

/// It was answered, and nobody could read that it was.
#[test]
fn a_tick_that_cannot_list_the_rollouts_tells_what_it_did_about_hooks() {
    let (world, hook) = called();
    let kept = Faulty::once(&world, When::Every(Operation::Answer), Way::Fails(FaultKind::Failed));
    ask(&kept, &hook);
    let unlisted = Faulty::once(&world, When::Every(Operation::Active), Way::Fails(FaultKind::Failed));
    let now = later(&world, 1);
    let (report, listed) = run_now(tick_told(&unlisted, now, &SimBudget::plenty(), &settings())).unwrap();
    assert!(listed.is_err());
    assert_eq!(report.hooks.iter().filter_map(told).map(|(goes_on, _)| goes_on).collect::<Vec<_>>(), [true]);
}
