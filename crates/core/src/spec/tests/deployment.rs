//! Specs for other services' deployments: part of a spec, and what the deployment says.

use super::*;
use crate::deployment::{Deployment, DeploymentRef, DeploymentState, FoundSpec, Shift, Stage};
use crate::sim::samples::On;

fn deployment(on: On) -> Deployment {
    let reference = match on {
        On::Lambda => DeploymentRef::CodeDeploy("d-3GSL8P2NK".to_owned()),
        On::Alb => {
            DeploymentRef::Ecs("arn:aws:ecs:eu-west-1:111122223333:service-deployment/prod/cart/tTaQ".to_owned())
        }
    };
    Deployment {
        reference,
        state: DeploymentState::InProgress,
        rolls_back: false,
        shift: Some(Shift { target: on.target(), baseline: on.baseline(), canary: on.canary() }),
        unjudged: None,
        strategy: "CodeDeployDefault.LambdaCanary10Percent5Minutes".to_owned(),
        steps: vec![Stage { weight: Weight::from_basis_points(1_000).unwrap(), bake: Span::from_minutes(5) }],
        awaits: None,
        owner: "app/group".to_owned(),
    }
}

fn read(text: &str, deployment: &Deployment) -> Result<RolloutSpec, Vec<String>> {
    let found = FoundSpec { place: "here".to_owned(), text: text.to_owned() };
    let told = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect();
    for_deployment(Some(&found), deployment).map(|validated| validated.spec).map_err(told)
}

#[test]
fn without_a_text_everything_is_the_deployments_or_a_default() {
    let spec = for_deployment(None, &deployment(On::Lambda)).unwrap().spec;
    let same = valid(
        "coalmine: v1\nname: d-3GSL8P2NK\ntarget: { lambda: { function: checkout, alias: live, owner: codedeploy } }\n\
         version: 42\nstrategy: { preset: LambdaCanary10Percent5Minutes }\n",
    );
    assert_eq!(spec, same);
    let ecs = for_deployment(None, &deployment(On::Alb)).unwrap().spec;
    assert_eq!((ecs.name.as_deref(), &ecs.target, ecs.version), (Some("tTaQ"), &On::Alb.target(), None));
}

/// CodeDeploy's clock cannot be held, a hook of ECS can.
#[test]
fn a_step_ends_without_a_proof_where_nothing_can_hold_it() {
    let advance = |text: &str, on| read(text, &deployment(on)).unwrap().steps[0].advance;
    assert_eq!(advance("{}", On::Lambda), Advance::UnlessHarm);
    assert_eq!(advance("{}", On::Alb), Advance::OnProof);
    assert_eq!(advance("advance: onProof", On::Lambda), Advance::OnProof);
    assert_eq!(advance("advance: unlessHarm", On::Alb), Advance::UnlessHarm);
}

#[test]
fn what_is_written_counts_beside_what_the_deployment_says() {
    let spec = read("alarms: [red]\nafter: { watch: 7m }\nmode: observe", &deployment(On::Lambda)).unwrap();
    assert_eq!(
        (spec.alarms.names, spec.after.watch, spec.mode),
        (vec!["red".to_owned()], Span::from_minutes(7), Mode::Observe)
    );
    // The same once more is no contradiction: a whole spec may be left, too.
    for text in [
        "coalmine: v1\nversion: 42\nname: d-3GSL8P2NK\ntarget: { lambda: { function: checkout, alias: live } }",
        "target: { lambda: { function: checkout, alias: live, owner: codedeploy } }",
    ] {
        assert_eq!(read(text, &deployment(On::Lambda)), read("{}", &deployment(On::Lambda)), "{text}");
    }
    let spec = read("target: { alb: { minHealthyShare: 60% } }", &deployment(On::Alb)).unwrap();
    let Target::Alb(alb) = spec.target else { panic!("{:?}", spec.target) };
    assert_eq!((alb.min_healthy_share.basis_points(), spec.name.as_deref()), (6_000, Some("tTaQ")));
}

#[test]
fn a_long_timetable_has_a_longer_deadline() {
    let with = |minutes| {
        let mut deployment = deployment(On::Lambda);
        deployment.steps[0].bake = Span::from_minutes(minutes);
        deployment
    };
    let deadline = |minutes| read("{}", &with(minutes)).unwrap().deadline;
    assert_eq!(
        (deadline(5), deadline(60), deadline(480)),
        (Span::from_hours(2), Span::from_minutes(150), Span::from_minutes(570))
    );
    let problems = read("deadline: 1h", &with(480)).unwrap_err();
    assert!(problems[0].contains("the steps alone take 8h, longer than the deadline of 1h"), "{problems:?}");
}

/// CodeDeploy moves by 1 % a minute where it is told to, ECS stays at a weight for no time at all.
#[test]
fn a_timetable_is_taken_as_it_is() {
    let mut deployment = deployment(On::Lambda);
    let stage = |points: u16| Stage { weight: Weight::from_basis_points(points * 100).unwrap(), bake: Span::ZERO };
    deployment.steps = (1..100).map(stage).collect();
    let spec = read("{}", &deployment).unwrap();
    assert_eq!((spec.steps.len(), spec.steps[98].weight.basis_points(), spec.steps[0].bake), (99, 9_900, Span::ZERO));
    deployment.steps.clear();
    assert_eq!(read("{}", &deployment).unwrap().steps, []);
    // No minute has both versions then, so no proof can come.
    assert_eq!(
        read("alarms: [red]\nadvance: onProof", &deployment).unwrap_err(),
        [
            "line 2, column 10: advance: this deployment moves all traffic at once, so no minute has both versions and nothing \
          can be proven; leave `advance` out, or give the deployment a canary or linear configuration"
        ]
    );
    for on in [On::Lambda, On::Alb] {
        let at_once = Deployment { steps: Vec::new(), ..self::deployment(on) };
        assert!(for_deployment(None, &at_once).is_ok());
    }
}

fn assert_told(table: &[(On, &str, &[&str])]) {
    for (on, text, expected) in table {
        assert_eq!(read(text, &deployment(*on)).unwrap_err(), *expected, "{text}");
    }
}

#[test]
fn what_is_not_for_deployments_of_others_is_told_with_its_place() {
    assert_told(&[
        (
            On::Alb,
            "target: { alb: { stickiness: disableOnRollback } }",
            &[
                "target.alb.stickiness: it is Amazon ECS that changes the rules of this deployment; leave `stickiness` out",
            ],
        ),
        (
            On::Alb,
            "target: { alb: { keepBaseline: 2h } }",
            &[
                "target.alb.keepBaseline: it is Amazon ECS that changes the rules of this deployment; leave `keepBaseline` out",
            ],
        ),
        (
            On::Lambda,
            "after: { watch: 1h }",
            &[
                "line 1, column 17: after.watch: `1h` is too long beside CodeDeploy, whose hook after the traffic must have its \
               answer within an hour; write at most `50m`",
            ],
        ),
    ]);
}

#[test]
fn what_contradicts_the_deployment_is_told_with_its_place() {
    let table: &[(On, &str, &[&str])] = &[
        (
            On::Lambda,
            "alarms: [red]\nversion: 41\nname: mine\nstrategy: { allAtOnce: {} }",
            &[
                "line 2, column 10: version: CodeDeploy deployment d-3GSL8P2NK moves to v42, not to `41`; leave `version` out",
                "line 3, column 7: name: the rollout is named after CodeDeploy deployment d-3GSL8P2NK, not `mine`; leave `name` \
                 out",
                "line 4, column 1: strategy: CodeDeploy deployment d-3GSL8P2NK moves the traffic by its own timetable \
                 (CodeDeployDefault.LambdaCanary10Percent5Minutes), which is what counts; leave `strategy` out",
            ],
        ),
        (
            On::Lambda,
            "target: { lambda: { function: cart } }",
            &["target: the spec says cart:live, and this deployment shifts checkout:live; leave `target` out"],
        ),
        (
            On::Lambda,
            "target: { lambda: { owner: coalmine } }",
            &["target.lambda.owner: it is CodeDeploy that moves the traffic of this deployment; leave `owner` out"],
        ),
        (
            On::Alb,
            "version: 42",
            &[
                "line 1, column 10: version: belongs to Lambda; which group is new is read from the rule. Say under `release` \
               what is on it",
            ],
        ),
        (
            On::Alb,
            "target: { alb: { targetGroups: [blue, green] } }",
            &[
                "target: the spec says alb/blue+green, and this deployment shifts alb/checkout-blue+checkout-green; leave `target` out",
            ],
        ),
        (
            On::Lambda,
            "coalmine: v2",
            &["line 1, column 11: coalmine: unknown version `v2` of the spec language; this Coalmine knows `v1`"],
        ),
        (On::Lambda, "[]", &["line 1, column 1: expected a mapping (`field: value`), found a list"]),
        (On::Lambda, "", &["line 1, column 1: the document is empty; a spec begins with `coalmine: v1`"]),
    ];
    assert_told(table);
    let untold = Deployment { shift: None, ..deployment(On::Lambda) };
    assert_eq!(
        read("{}", &untold).unwrap_err(),
        ["target: CodeDeploy deployment d-3GSL8P2NK does not say yet what it moves"]
    );
}
