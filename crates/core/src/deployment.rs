//! Deployments that another service runs: CodeDeploy or Amazon ECS sets the weights, and asks through hooks whether to go
//! on. Coalmine judges, answers, and may stop the deployment; it never sets a weight there.

use serde::{Deserialize, Serialize};

use crate::spec::{Preset, Target, Version, rising};
use crate::units::{Span, Timestamp, Weight};

/// A deployment, by the name that its service gives it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeploymentRef {
    /// `d-3GSL8P2NK`.
    CodeDeploy(String),
    /// A service deployment's ARN.
    Ecs(String),
}

impl DeploymentRef {
    /// The name that the service gives it, which is also that of its rollout: `d-3GSL8P2NK`; of an ARN its last part.
    #[must_use]
    pub fn id(&self) -> &str {
        let (Self::CodeDeploy(name) | Self::Ecs(name)) = self;
        name.rsplit('/').next().unwrap_or(name)
    }

    /// Who runs it.
    #[must_use]
    pub fn service(&self) -> &'static str {
        match self {
            Self::CodeDeploy(_) => "CodeDeploy",
            Self::Ecs(_) => "Amazon ECS",
        }
    }
}

/// `CodeDeploy deployment d-3GSL8P2NK`
impl std::fmt::Display for DeploymentRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} deployment {}", self.service(), self.id())
    }
}

/// What a look at a deployment brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    pub reference: DeploymentRef,
    pub state: DeploymentState,
    /// It puts the old version back: a rollback is not judged, and nothing may hold it up.
    pub rolls_back: bool,
    /// What moves from where to where; `None` while its service does not say so yet, and where it is `unjudged`.
    pub shift: Option<Shift>,
    /// Why there is nothing to judge, now or later.
    pub unjudged: Option<Unjudged>,
    /// How it shifts, in its service's words: `CodeDeployDefault.LambdaLinear10PercentEvery1Minute`, `LINEAR`.
    pub strategy: String,
    /// The weights below 100 % that it goes through, and how long it stays at each.
    pub steps: Vec<Stage>,
    /// The weight at which it waits for the answer of a hook: 0 before any traffic, 100 % after all of it. Only CodeDeploy
    /// says so here; ECS says it to the hook.
    pub awaits: Option<Weight>,
    /// What it belongs to: `checkout-app/checkout-group`, `prod/cart`.
    pub owner: String,
}

/// Why there is nothing to judge in a deployment. The texts are sentences: `its compute platform is Server; ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unjudged {
    /// It replaces nothing: no old version is there to compare with, or the new version is the one that is live.
    Alone(String),
    /// It is of a kind that Coalmine does not judge.
    Foreign(String),
}

/// What a deployment moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shift {
    pub target: Target,
    pub baseline: Version,
    pub canary: Version,
}

/// A weight of a deployment's own timetable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    pub weight: Weight,
    pub bake: Span,
}

impl Stage {
    /// CodeDeploy's timetable under a predefined name, such as `CodeDeployDefault.LambdaAllAtOnce`; `None` for a
    /// configuration of the user's own.
    #[must_use]
    pub fn predefined(configuration: &str) -> Option<Vec<Self>> {
        let steps = Preset::named_by_codedeploy(configuration)?.steps();
        Some(steps.into_iter().map(|step| Self { weight: step.weight, bake: step.bake }).collect())
    }

    /// One weight, then everything.
    #[must_use]
    pub fn canary(weight: Weight, bake: Span) -> Vec<Self> {
        let partial = weight > Weight::ZERO && weight < Weight::FULL;
        partial.then_some(Self { weight, bake }).into_iter().collect()
    }

    /// `increment` more at a time.
    #[must_use]
    pub fn linear(increment: Weight, bake: Span) -> Vec<Self> {
        rising(increment).into_iter().map(|weight| Self { weight, bake }).collect()
    }
}

/// How far a deployment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum DeploymentState {
    /// It has not begun.
    Waiting,
    InProgress,
    Succeeded,
    /// It ended without success; the text is its service's reason.
    Failed {
        why: String,
    },
    /// Somebody or an alarm stopped it.
    Stopped {
        why: String,
    },
}

impl DeploymentState {
    #[must_use]
    pub fn has_ended(&self) -> bool {
        match self {
            Self::Succeeded | Self::Failed { .. } | Self::Stopped { .. } => true,
            Self::Waiting | Self::InProgress => false,
        }
    }
}

/// A hook that CodeDeploy waits for, from when it called until it has its answer. Kept in the store: whoever took the call
/// may be killed, and the answer comes minutes later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    pub deployment: DeploymentRef,
    /// CodeDeploy's opaque name for this one call.
    pub execution: String,
    pub received: Timestamp,
}

impl Hook {
    /// CodeDeploy fails a deployment whose hook has no answer after an hour. Five minutes are left for what goes wrong with
    /// the answer itself.
    pub const LIMIT: Span = Span::from_minutes(55);

    /// From then on CodeDeploy waits no longer.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.received + Span::from_hours(1)
    }

    /// When it has to be answered, judged or not.
    #[must_use]
    pub fn answer_by(&self) -> Timestamp {
        self.received + Self::LIMIT
    }
}

/// What a deployment is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookAnswer {
    pub goes_on: bool,
    /// A sentence, for logs and history: no service has a field for it.
    pub why: String,
}

/// A question that stands: the deployment waits at a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// The canary's weight now, which is left only if the answer is to go on.
    pub at: Weight,
    /// When it must be answered, if its service has a limit.
    pub until: Option<Timestamp>,
}

/// A spec for a deployment, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSpec {
    /// `SSM parameter /coalmine/checkout/live`, as errors name it.
    pub place: String,
    pub text: String,
}

/// What comes in about a deployment.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// CodeDeploy's hook, which waits until it is answered by another call.
    CodeDeploy(Hook),
    /// Amazon ECS's hook, which asks again until it has an answer.
    Ecs(EcsQuestion),
    /// A deployment has begun, or has changed. Nobody waits for an answer.
    News(DeploymentRef),
}

/// One call of an ECS lifecycle hook.
#[derive(Debug, Clone, PartialEq)]
pub struct EcsQuestion {
    pub deployment: DeploymentRef,
    pub stage: EcsStage,
    /// The new revision's share of the production traffic; `None` in the stages that do not tell it.
    pub weight: Option<Weight>,
    /// When this hook was first called in this stage: from its own details, which ECS hands back.
    pub since: Timestamp,
    /// The spec in the hook's own details, if there is one.
    pub spec: Option<FoundSpec>,
}

/// The stages of an ECS service deployment that call hooks, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EcsStage {
    ReconcileService,
    PreScaleUp,
    PostScaleUp,
    TestTrafficShift,
    PostTestTrafficShift,
    /// Before every raise of the weight.
    PreProductionTrafficShift,
    ProductionTrafficShift,
    PostProductionTrafficShift,
}

impl EcsStage {
    pub const ALL: [Self; 8] = [
        Self::ReconcileService,
        Self::PreScaleUp,
        Self::PostScaleUp,
        Self::TestTrafficShift,
        Self::PostTestTrafficShift,
        Self::PreProductionTrafficShift,
        Self::ProductionTrafficShift,
        Self::PostProductionTrafficShift,
    ];

    /// As ECS writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ReconcileService => "RECONCILE_SERVICE",
            Self::PreScaleUp => "PRE_SCALE_UP",
            Self::PostScaleUp => "POST_SCALE_UP",
            Self::TestTrafficShift => "TEST_TRAFFIC_SHIFT",
            Self::PostTestTrafficShift => "POST_TEST_TRAFFIC_SHIFT",
            Self::PreProductionTrafficShift => "PRE_PRODUCTION_TRAFFIC_SHIFT",
            Self::ProductionTrafficShift => "PRODUCTION_TRAFFIC_SHIFT",
            Self::PostProductionTrafficShift => "POST_PRODUCTION_TRAFFIC_SHIFT",
        }
    }
}

/// What the asker is told now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    Answer(HookAnswer),
    /// Not yet; the text says what is waited for.
    Wait(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(stages: &[Stage]) -> String {
        let stages = stages.iter().map(|stage| format!("{} {}", stage.weight.spec_form(), stage.bake.spec_form()));
        stages.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn timetables_are_those_of_the_services() {
        let basis_points = |points| Weight::from_basis_points(points).unwrap();
        let minutes = Span::from_minutes;
        let predefined = |name| Stage::predefined(name).map(|stages| shown(&stages));
        assert_eq!(predefined("CodeDeployDefault.LambdaCanary10Percent5Minutes").as_deref(), Some("10% 5m"));
        assert_eq!(predefined("CodeDeployDefault.ECSCanary10percent15Minutes").as_deref(), Some("10% 15m"));
        assert_eq!(predefined("CodeDeployDefault.LambdaAllAtOnce").as_deref(), Some(""));
        // A configuration of the user's own may have any name but CodeDeploy's.
        assert_eq!(predefined("LambdaAllAtOnce"), None);
        assert_eq!(predefined("CodeDeployDefault.AllAtOnce"), None);
        assert_eq!(shown(&Stage::linear(basis_points(3300), minutes(2))), "33% 2m, 66% 2m, 99% 2m");
        assert_eq!(shown(&Stage::linear(Weight::FULL, minutes(2))), "");
        assert_eq!(shown(&Stage::canary(basis_points(50), minutes(0))), "0.5% 0s");
        assert_eq!(shown(&Stage::canary(Weight::FULL, minutes(5))), "");
        assert_eq!(shown(&Stage::canary(Weight::ZERO, minutes(5))), "");
    }
}
