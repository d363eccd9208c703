use super::*;
use crate::deployment::{DeploymentState, EcsStage};
use crate::observation::Split;
use crate::sim::executor::run_now;
use crate::sim::samples::{On, baseline, canary, start, target, world};

fn points(points: u16) -> Weight {
    Weight::from_basis_points(points).unwrap()
}

fn minutes(minutes: u64) -> Span {
    Span::from_minutes(minutes)
}

fn linear() -> Timetable {
    Timetable::Linear { by: points(3_000), every: minutes(2) }
}

fn shift(on: On) -> Shift {
    Shift { target: on.target(), baseline: on.baseline(), canary: on.canary() }
}

/// Lets time pass until nothing is due before `until`; `reply` says what each question is told, if anything.
fn play(world: &World, until: Timestamp, mut reply: impl FnMut(&Question) -> Option<bool>) {
    while let Some(due) = world.deployments_due().filter(|due| *due <= until) {
        world.set_now(due);
        for question in world.run_deployments() {
            let why = String::new();
            let answer = reply(&question).map(|goes_on| HookAnswer { goes_on, why });
            match (&question, answer) {
                (Question::CodeDeploy(hook), Some(answer)) => run_now(world.answer(hook, &answer)).unwrap().unwrap(),
                (Question::Ecs(asked), answer) => world.reply(asked, answer.map(Reply::Answer).as_ref()),
                (Question::CodeDeploy(_) | Question::News(_), _) => {}
            }
        }
    }
    world.set_now(until);
}

/// What the alias was set to, and how long after the start.
fn written(world: &World) -> Vec<(Span, Split)> {
    let (old, new) = (baseline(), canary());
    let writes = world.writes(1).into_iter();
    writes.map(|write| (write.at.since(start()), write.routing.split(&old, &new))).collect()
}

fn states(world: &World) -> Vec<(bool, DeploymentState)> {
    world.deployments().into_iter().map(|deployment| (deployment.rolls_back, deployment.state)).collect()
}

fn seconds(seconds: u64) -> Span {
    Span::from_seconds(seconds)
}

#[test]
fn a_timetable_has_the_weights_below_the_last() {
    let weights = |timetable: Timetable| timetable.stages().iter().map(|stage| stage.weight).collect::<Vec<_>>();
    assert_eq!(weights(Timetable::AllAtOnce), []);
    assert_eq!(weights(Timetable::Canary { first: points(1_000), bake: minutes(5) }), [points(1_000)]);
    assert_eq!(weights(linear()), [points(3_000), points(6_000), points(9_000)]);
    let tenths = Timetable::Linear { by: points(1_000), every: minutes(1) };
    assert_eq!(weights(tenths).len(), 9);
}

#[test]
fn code_deploy_shifts_between_its_hooks() {
    let world = world();
    let reference = world.deploy(Deploys::CodeDeploy(CodeDeploy::new(linear())), shift(On::Lambda));
    let seen = |world: &World| run_now(world.deployment(&reference)).unwrap().unwrap();
    assert_eq!((seen(&world).state, seen(&world).shift), (DeploymentState::Waiting, None));
    play(&world, start() + seconds(7), |_| None);
    assert_eq!((seen(&world).state, seen(&world).shift), (DeploymentState::InProgress, None), "not said yet");
    play(&world, start() + seconds(60), |_| None);
    assert_eq!((seen(&world).awaits, seen(&world).shift), (Some(Weight::ZERO), Some(shift(On::Lambda))));
    let before =
        Hook { deployment: reference.clone(), execution: "execution-d-000000001-before".to_owned(), received: start() };
    let tell = |goes_on| run_now(world.answer(&before, &HookAnswer { goes_on, why: String::new() })).unwrap();
    tell(true).unwrap();
    tell(false).unwrap();
    let counted: Vec<bool> =
        world.told(0).iter().map(|told| matches!(told.what, Telling::Answer { counts: true, .. })).collect();
    assert_eq!(counted, [true, false], "the first answer is the one that counts");
    let unknown = Hook { execution: "other".to_owned(), ..before.clone() };
    assert!(run_now(world.answer(&unknown, &HookAnswer { goes_on: true, why: String::new() })).unwrap().is_err());
    play(&world, start() + minutes(30), |_| None);
    let rise = |minute: u64, weight| (seconds(60).plus(minutes(minute)), Split::Ours(points(weight)));
    assert_eq!(written(&world), [rise(0, 3_000), rise(2, 6_000), rise(4, 9_000), rise(6, 10_000)]);
    assert_eq!((seen(&world).awaits, seen(&world).state), (Some(Weight::FULL), DeploymentState::InProgress));
    assert_eq!(run_now(world.shifting(&target())).unwrap().unwrap(), Some(reference.clone()));
    // Nobody answers the second hook for an hour.
    play(&world, start() + minutes(70), |_| Some(true));
    assert_eq!(states(&world)[0], (false, DeploymentState::Failed { why: "HOOK_EXECUTION_FAILURE".to_owned() }));
    assert_eq!(states(&world)[1], (true, DeploymentState::Succeeded));
    assert_eq!(written(&world).last(), Some(&(minutes(67).plus(seconds(5)), Split::Ours(Weight::ZERO))));
    assert_eq!(run_now(world.shifting(&target())).unwrap().unwrap(), None);
}

#[test]
fn code_deploy_rolls_back_when_it_is_told_to() {
    let failed = |why: &str| DeploymentState::Failed { why: why.to_owned() };
    let stopped = |why: &str| DeploymentState::Stopped { why: why.to_owned() };
    let half_way = start() + minutes(3);
    let run = |plan: CodeDeploy, disturb: &dyn Fn(&World, &DeploymentRef)| {
        let world = world();
        let reference = world.deploy(Deploys::CodeDeploy(plan), shift(On::Lambda));
        play(&world, half_way, |_| Some(true));
        disturb(&world, &reference);
        play(&world, start() + minutes(30), |_| Some(true));
        let back = written(&world).last().map(|(_, split)| *split) == Some(Split::Ours(Weight::ZERO));
        (states(&world)[0].1.clone(), back)
    };
    let plan = || CodeDeploy { alarms: vec!["red".to_owned()], ..CodeDeploy::new(linear()) };
    assert_eq!(run(plan(), &|_, _| {}), (DeploymentState::Succeeded, false));
    let stop = |world: &World, reference: &DeploymentRef| run_now(world.stop(reference)).unwrap().unwrap();
    assert_eq!(run(plan(), &stop), (stopped("MANUAL_STOP"), true));
    assert_eq!(run(CodeDeploy { rolls_back: false, ..plan() }, &stop), (stopped("MANUAL_STOP"), true));
    let ring = |world: &World, _: &DeploymentRef| world.set_alarm("red", AlarmState::Alarm);
    assert_eq!(run(plan(), &ring), (stopped("ALARM_ACTIVE"), true));
    assert_eq!(run(CodeDeploy { rolls_back: false, ..plan() }, &ring), (stopped("ALARM_ACTIVE"), false));
    let meddle = |world: &World, _: &DeploymentRef| world.write(&target(), &canary(), None).unwrap();
    assert_eq!(run(plan(), &meddle), (failed("INVALID_LAMBDA_CONFIGURATION"), true));
    let twice = |world: &World, reference: &DeploymentRef| {
        stop(world, reference);
        stop(world, reference);
    };
    assert_eq!(run(plan(), &twice), (stopped("MANUAL_STOP"), true), "one that has ended is no error");
    let nobody = DeploymentRef::CodeDeploy("d-NOBODY".to_owned());
    assert!(run_now(world().stop(&nobody)).unwrap().is_err());
}

#[test]
fn a_hook_that_fails_before_any_traffic_moves_nothing() {
    let world = world();
    world.deploy(Deploys::CodeDeploy(CodeDeploy::new(linear())), shift(On::Lambda));
    let mut asked = 0;
    play(&world, start() + minutes(30), |question| {
        asked += u32::from(matches!(question, Question::CodeDeploy(_)));
        Some(asked > 1)
    });
    assert!(written(&world).iter().all(|(_, split)| *split == Split::Ours(Weight::ZERO)), "{:?}", written(&world));
    assert_eq!(asked, 3, "the rollback asks before and after, too");
}

/// What was asked, and at which weight, with the live one beside it.
fn asked_by_ecs(plan: Ecs, reply: impl Fn(&EcsQuestion) -> Option<bool>) -> (Vec<(EcsStage, Option<u16>, u16)>, World) {
    let on = On::Alb;
    let world = on.world();
    world.deploy(Deploys::Ecs(plan), shift(on));
    let mut asked = Vec::new();
    let live = |world: &World| match world.routing(&on.target()).unwrap().split(&on.baseline(), &on.canary()) {
        Split::Ours(weight) => weight.basis_points(),
        other @ (Split::Uneven { .. } | Split::Foreign) => unreachable!("{other:?}"),
    };
    play(&world, start() + Span::from_hours(30), |question| match question {
        Question::Ecs(question) => {
            asked.push((question.stage, question.weight.map(Weight::basis_points), live(&world)));
            reply(question)
        }
        Question::CodeDeploy(_) | Question::News(_) => None,
    });
    (asked, world)
}

#[test]
fn ecs_asks_before_every_raise() {
    use EcsStage::{PostProductionTrafficShift as After, PreProductionTrafficShift as Before};
    let (asked, world) = asked_by_ecs(Ecs::new(linear()), |_| Some(true));
    let expected =
        [(Before, 0), (Before, 3_000), (Before, 6_000), (Before, 9_000), (After, 10_000)].map(|(s, w)| (s, Some(w), w));
    assert_eq!(asked, expected);
    assert_eq!(states(&world), [(false, DeploymentState::Succeeded)]);
    let (asked, _) = asked_by_ecs(Ecs { tells: Tells::Coming, ..Ecs::new(linear()) }, |_| Some(true));
    assert_eq!(asked[0], (Before, Some(3_000), 0));
    let all = Ecs { hooks: EcsStage::ALL.to_vec(), ..Ecs::new(Timetable::AllAtOnce) };
    let (asked, _) = asked_by_ecs(all, |_| Some(true));
    let stages: Vec<EcsStage> = asked.iter().map(|(stage, ..)| *stage).collect();
    assert_eq!(stages, EcsStage::ALL[1..], "a service that is in order need not be reconciled");
}

#[test]
fn ecs_puts_the_old_group_back_when_a_hook_fails() {
    use EcsStage::{PreProductionTrafficShift as Before, ProductionTrafficShift as Shift};
    let hooks = vec![Before, Shift];
    let plan = || Ecs { hooks: hooks.clone(), ..Ecs::new(linear()) };
    let refuses = |question: &EcsQuestion| Some(question.weight != Some(points(3_000)) || question.stage == Shift);
    let breaks = |question: &EcsQuestion| refuses(question).filter(|goes_on| *goes_on);
    for (asked, world) in [asked_by_ecs(plan(), refuses), asked_by_ecs(plan(), breaks)] {
        let expected =
            [(Before, Some(0), 0), (Shift, Some(3_000), 0), (Before, Some(3_000), 3_000), (Shift, Some(0), 3_000)];
        assert_eq!(asked, expected);
        assert_eq!(states(&world), [(true, DeploymentState::Failed { why: "the hook failed".to_owned() })]);
        let on = On::Alb;
        let live = world.routing(&on.target()).unwrap().split(&on.baseline(), &on.canary());
        assert_eq!(live, Split::Ours(Weight::ZERO));
    }
}

#[test]
fn ecs_calls_a_hook_again_that_is_not_done_and_gives_up_at_its_limit() {
    let on = On::Alb;
    let world = on.world();
    let plan = Ecs { timeout: minutes(10), ..Ecs::new(linear()) };
    world.deploy(Deploys::Ecs(plan), shift(on));
    let mut calls = Vec::new();
    while let Some(due) = world.deployments_due() {
        world.set_now(due);
        for question in world.run_deployments() {
            let Question::Ecs(question) = question else { continue };
            calls.push(due.since(question.since));
            world.reply(&question, Some(&Reply::Wait(String::new())));
        }
    }
    let expected: Vec<Span> = (0..20).map(|call| seconds(30 * call)).collect();
    assert_eq!(calls, expected);
    assert_eq!(states(&world), [(true, DeploymentState::Failed { why: "the hook timed out".to_owned() })]);
}
