use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::{Analysis, Doubt, JudgePlan, Samples, Verdict};
use crate::deployment::{Deployment, DeploymentRef, DeploymentState, Shift, Stage};
use crate::engine::{Start, begin, settled_before};
use crate::observation::{AlarmState, Observation, Readiness, Routing, Seen, VersionInfo};
use crate::rollout::{
    Fence, Guest, Held, PauseReason, Phase, PhaseName, RollBackEnd, Rollout, UndecidedWhy, WeightSeen, Why,
};
use crate::spec::{
    Advance, After, AlbTarget, Approval, Ending, KeepBaseline, Mode, RolloutSpec, RuleRef, Step, Stickiness, Target,
    Undecided, Version,
};
use crate::units::{Span, Timestamp, Weight};

pub fn at(minute: u64) -> Timestamp {
    Timestamp::from_epoch_seconds(1_795_000_020) + Span::from_minutes(minute)
}

pub fn percent(percent: u16) -> Weight {
    Weight::from_basis_points(percent * 100).unwrap()
}

pub fn version(number: &str) -> Version {
    Version(number.to_owned())
}

/// Everything by default (5 %, 25 %, 50 %), and one alarm.
pub fn spec() -> RolloutSpec {
    let text = "{coalmine: v1, target: {lambda: {function: checkout, alias: live}}, alarms: [red]}";
    crate::spec::parse(text).unwrap().spec
}

/// The same between two target groups behind a rule and a listener's default action.
pub fn alb_spec() -> RolloutSpec {
    let mut spec = spec();
    let arn = |rest: &str| format!("arn:aws:elasticloadbalancing:eu-west-1:1:{rest}");
    spec.target = Target::Alb(AlbTarget {
        rules: vec![
            RuleRef::Rule(arn("listener-rule/app/shop/9a8b/80/1")),
            RuleRef::DefaultOf(arn("listener/app/shop/9a8b/443")),
        ],
        target_groups: ["blue".to_owned(), "green".to_owned()],
        stickiness: Stickiness::Refuse,
        min_healthy_share: Weight::FULL,
        test_rule: None,
        keep_baseline: KeepBaseline::UntilNextRollout,
    });
    spec
}

pub fn alb_of(spec: &mut RolloutSpec) -> &mut AlbTarget {
    let Target::Alb(alb) = &mut spec.target else { panic!("not on a load balancer") };
    alb
}

/// A target group by its name.
pub fn group(name: &str) -> Version {
    Version(format!("arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/{name}/50dc6c495c0c9188"))
}

pub fn rollout_of(spec: RolloutSpec) -> Rollout {
    begin(&start_of(spec))
}

pub fn start_of(spec: RolloutSpec) -> Start {
    Start {
        id: "checkout-42".to_owned(),
        spec,
        plan: empty_plan(),
        learned: true,
        baseline: version("41"),
        canary: version("42"),
        code_hash: String::new(),
        lag: Span::from_minutes(3),
        request_timeout: Span::from_seconds(3),
        behind: None,
        alarms_muted: BTreeSet::new(),
        guest: None,
        by: "mara".to_owned(),
        now: at(0),
    }
}

/// A rollout in a phase, ten minutes old.
pub fn rollout_in(phase: Phase) -> Rollout {
    let mut spec = spec();
    spec.steps[1].approve = Some(Approval { within: Span::from_hours(4), otherwise: Ending::RollBack });
    let mut rollout = rollout_of(spec);
    let running = !matches!(phase, Phase::Paused { .. });
    rollout.clock = if running { rollout.clock.running(at(0)) } else { rollout.clock.stopped(at(0)) };
    rollout.phase = phase;
    rollout.weights.push(WeightSeen { at: at(0), weight: percent(5) });
    rollout.outbox.clear();
    rollout
}

fn paused(held: Held, why: PauseReason) -> Phase {
    Phase::Paused { held, since: at(10), until: at(600), then: Ending::RollBack, why }
}

/// Every phase in every shape that makes a difference, by a name for the tables.
pub fn every_phase() -> Vec<(&'static str, Phase)> {
    let held = Held::Step { step: 1, from: percent(5) };
    let asked = PauseReason::Asked { by: "mara".to_owned(), reason: String::new() };
    let why = Why::AbortedBy { by: "mara".to_owned(), reason: String::new() };
    let behind = Some(crate::rollout::Behind { rollout: "checkout-41".to_owned(), supersedes: true });
    let promoting = |live_since| Phase::Promoting { from: percent(50), since: at(10), live_since };
    let baking = |step| Phase::Baking { step, since: at(10), proof: None, approved: false };
    vec![
        ("pending", Phase::Pending { since: at(10), behind: None, ready: false }),
        ("queued", Phase::Pending { since: at(10), behind, ready: false }),
        ("shifting", Phase::Shifting { step: 1, from: percent(5), since: at(10) }),
        ("baking", baking(0)),
        ("baking, needs approval", baking(1)),
        ("baking, last step", baking(2)),
        ("paused before traffic", paused(Held::Pending, asked.clone())),
        ("paused by a person", paused(held, asked)),
        ("paused for approval", paused(Held::Step { step: 1, from: percent(25) }, PauseReason::Approval)),
        ("paused undecided", paused(held, PauseReason::Undecided(UndecidedWhy::TooLittleTraffic))),
        ("promoting", promoting(None)),
        ("watched", promoting(Some(at(10)))),
        (
            "rolling back",
            Phase::RollingBack {
                since: at(10),
                why: why.clone(),
                fence: Fence::Read { revision: Some("r1".to_owned()) },
                ends_as: RollBackEnd::RolledBack,
            },
        ),
        ("promoted", Phase::Promoted { at: at(10) }),
        ("rolled back", Phase::RolledBack { at: at(10), why: why.clone() }),
        ("superseded", Phase::Superseded { at: at(10), why }),
    ]
}

pub const EVERY_NAME: [PhaseName; 9] = [
    PhaseName::Pending,
    PhaseName::Shifting,
    PhaseName::Baking,
    PhaseName::Paused,
    PhaseName::Promoting,
    PhaseName::RollingBack,
    PhaseName::Promoted,
    PhaseName::RolledBack,
    PhaseName::Superseded,
];

pub fn routing(primary: &str, additional: Option<(&str, u16)>, revision: &str) -> Routing {
    let additional = additional.map(|(number, weight)| (version(number), percent(weight)));
    Routing { revision: Some(revision.to_owned()), ..Routing::of(version(primary), additional) }
}

/// The live routing with this weight on the canary.
pub fn live(weight: u16) -> Routing {
    match weight {
        0 => routing("41", None, "r2"),
        100 => routing("42", None, "r2"),
        weight => routing("41", Some(("42", weight)), "r2"),
    }
}

pub fn alarms(state: AlarmState) -> Seen<BTreeMap<String, AlarmState>> {
    Seen::Known(BTreeMap::from([("red".to_owned(), state)]))
}

/// Everything visible, quiet and ready.
pub fn observation(rollout: &Rollout, now: Timestamp, routing: Routing) -> Observation {
    let samples = Samples { settled_before: Some(settled_before(rollout, now)), ..Samples::default() };
    Observation {
        now,
        mode: Mode::Enforce,
        routing: Seen::Known(routing),
        target_gone: false,
        alarms: alarms(AlarmState::Ok),
        canary: Seen::Known(VersionInfo {
            version: version("42"),
            readiness: Readiness::Active,
            timeout: Span::from_seconds(3),
            code_hash: String::new(),
            published: String::new(),
            slow_start: Span::ZERO,
        }),
        deployment: Seen::NotAsked,
        asked: None,
        health: Seen::NotAsked,
        tests: Seen::NotAsked,
        learned: Seen::Known(empty_plan()),
        samples: Seen::Known(samples),
        sealed_before: None,
        passes_before: None,
        judge_failed: None,
        switch: None,
        disarmed: false,
        target_held_by: None,
        newer: None,
    }
}

pub fn analysis(verdict: Verdict) -> Analysis {
    let doubt = (verdict == Verdict::Inconclusive).then_some(Doubt::TooLittleTraffic);
    let settled_digest =
        crate::analysis::settled_digest(&empty_plan(), &Samples::default(), crate::units::Minute::from_index(0));
    Analysis { comparisons: Vec::new(), verdict, doubt, split: None, newest: None, settled_digest, auto: None }
}

/// Nothing is judged.
fn empty_plan() -> JudgePlan {
    JudgePlan {
        checks: Vec::new(),
        false_rollback: 0.01,
        false_promotion: 0.05,
        horizon_minutes: 120,
        deadline_minutes: 120,
        guard: crate::analysis::GuardMode::default(),
        tolerated_ratio: 1.0,
        split_tolerance: 0.1,
        errors_by_status: false,
        independent: false,
        auto: None,
    }
}
/// 10 and 50 % for five minutes each, and five minutes at 100 %, within an hour: another service's timetable.
pub fn guest_spec(advance: Advance) -> RolloutSpec {
    let step =
        |weight| Step { weight: percent(weight), bake: Span::from_minutes(5), at_most: None, advance, approve: None };
    let spec = RolloutSpec {
        steps: vec![step(10), step(50)],
        after: After { watch: Span::from_minutes(5) },
        deadline: Span::from_hours(1),
        ..spec()
    };
    undecided(spec, Ending::RollBack)
}

pub fn undecided(spec: RolloutSpec, ending: Ending) -> RolloutSpec {
    RolloutSpec { undecided: Undecided { too_little_traffic: ending, no_data: ending, looks_worse: ending }, ..spec }
}

pub fn code_deploy() -> DeploymentRef {
    DeploymentRef::CodeDeploy("d-3GSL8P2NK".to_owned())
}

pub fn ecs() -> DeploymentRef {
    DeploymentRef::Ecs("arn:aws:ecs:eu-west-1:1:service-deployment/prod/cart/3xGSl8P2NK".to_owned())
}

/// A rollout that judges a deployment.
pub fn guest_of(spec: RolloutSpec, deployment: DeploymentRef) -> Rollout {
    let id = deployment.id().to_owned();
    begin(&Start { id, guest: Some(Guest { deployment, may_leave: None }), ..start_of(spec) })
}

pub fn deployment(rollout: &Rollout, state: DeploymentState) -> Deployment {
    let steps = rollout.spec.steps.iter().map(|step| Stage { weight: step.weight, bake: step.bake });
    Deployment {
        reference: rollout.guest.clone().unwrap().deployment,
        state,
        rolls_back: false,
        shift: Some(Shift {
            target: rollout.spec.target.clone(),
            baseline: rollout.baseline.clone(),
            canary: rollout.canary.clone(),
        }),
        unjudged: None,
        strategy: "LINEAR".to_owned(),
        steps: steps.collect(),
        awaits: None,
        owner: "checkout-app/checkout-group".to_owned(),
    }
}

pub fn may_leave(rollout: &Rollout) -> Option<Weight> {
    rollout.guest.as_ref().and_then(|guest| guest.may_leave)
}
