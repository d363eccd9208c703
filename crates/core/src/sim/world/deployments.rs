//! Deployments that another service runs. They have clocks of their own: whoever owns the world lets them run, hands over
//! what they ask, and tells Amazon ECS what came back.

mod codedeploy;
mod ecs;

pub use codedeploy::CodeDeploy;
pub use ecs::{Ecs, Tells};

use std::collections::BTreeMap;

use super::{Refused, State, World};
use crate::deployment::{
    Deployment, DeploymentRef, EcsQuestion, FoundSpec, Hook, HookAnswer, Question, Reply, Shift, Stage,
};
use crate::observation::AlarmState;
use crate::ports::{Deployments, Fault, FaultKind, LookError};
use crate::spec::{Target, Version};
use crate::units::{Span, Timestamp, Weight};

/// A service that shifts traffic, and how it is told to.
#[derive(Debug, Clone, PartialEq)]
pub enum Deploys {
    CodeDeploy(CodeDeploy),
    Ecs(Ecs),
}

impl Deploys {
    /// The alarms of the service itself.
    #[must_use]
    pub fn alarms(&self) -> &[String] {
        match self {
            Self::CodeDeploy(plan) => &plan.alarms,
            Self::Ecs(plan) => &plan.alarms,
        }
    }
}

/// How the weight rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timetable {
    /// Also ECS's blue/green.
    AllAtOnce,
    Canary {
        first: Weight,
        bake: Span,
    },
    Linear {
        by: Weight,
        every: Span,
    },
}

impl Timetable {
    /// The weights below 100 % with their times.
    #[must_use]
    pub fn stages(self) -> Vec<Stage> {
        match self {
            Self::AllAtOnce => Vec::new(),
            Self::Canary { first, bake } => vec![Stage { weight: first, bake }],
            Self::Linear { by, every } => {
                let rises = (1..).map(|step| by.basis_points().saturating_mul(step));
                let weights = rises.map_while(Weight::from_basis_points);
                let below = weights.take_while(|weight| *weight < Weight::FULL);
                below.map(|weight| Stage { weight, bake: every }).collect()
            }
        }
    }
}

/// What was said about a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub at: Timestamp,
    pub deployment: DeploymentRef,
    /// It puts the old version back.
    pub rolls_back: bool,
    pub what: Telling,
}

/// What is said about deployments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Telling {
    /// Coalmine asked its service to stop it.
    Stop { had_ended: bool },
    /// Coalmine answered a hook.
    Answer {
        execution: String,
        /// The weight that is left, or not.
        at: Weight,
        goes_on: bool,
        /// The first answer does, while the deployment waits for it.
        counts: bool,
    },
    /// Its service waited for the answer for as long as it does.
    NoAnswer { execution: String },
    /// The function that ECS called failed.
    Broke,
    /// Its service gave up, or an alarm of its own made it.
    GaveUp(String),
}

/// What the world keeps of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    runs: BTreeMap<DeploymentRef, Run>,
    /// Counts all deployments: what their names are made of.
    begun: u64,
    /// Beginnings and ends of which events are under way.
    news: Vec<DeploymentRef>,
    pub(super) told: Vec<Told>,
    /// By [`Target::key`].
    specs: BTreeMap<String, FoundSpec>,
}

#[derive(Debug, Clone)]
enum Run {
    CodeDeploy(codedeploy::Run),
    Ecs(ecs::Run),
}

impl Run {
    /// When it does something by itself the next time.
    fn due(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::CodeDeploy(run) => run.due(now),
            Self::Ecs(run) => run.due(now),
        }
    }

    fn advance(&mut self, state: &mut State, asked: &mut Vec<Question>) {
        match self {
            Self::CodeDeploy(run) => run.advance(state, asked),
            Self::Ecs(run) => run.advance(state, asked),
        }
    }

    fn stop(&mut self, state: &mut State) {
        match self {
            Self::CodeDeploy(run) => run.stop(state),
            Self::Ecs(run) => run.stop(state),
        }
    }

    fn view(&self, now: Timestamp) -> Deployment {
        match self {
            Self::CodeDeploy(run) => run.view(now),
            Self::Ecs(run) => run.view(),
        }
    }

    fn shift(&self) -> &Shift {
        match self {
            Self::CodeDeploy(run) => &run.shift,
            Self::Ecs(run) => &run.shift,
        }
    }
}

impl World {
    /// Somebody deploys.
    pub fn deploy(&self, how: Deploys, shift: Shift) -> DeploymentRef {
        let mut state = self.lock();
        match how {
            Deploys::CodeDeploy(plan) => state.begin(|number, now| codedeploy::Run::begin(number, plan, shift, now)),
            Deploys::Ecs(plan) => state.begin(|number, now| ecs::Run::begin(number, plan, shift, now)),
        }
    }

    /// Leaves a spec for deployments to this target.
    pub fn leave_spec(&self, target: &Target, text: String) {
        let place = format!("SSM parameter /coalmine/{}", target.key().replace(':', "/"));
        self.lock().kept.specs.insert(target.key(), FoundSpec { place, text });
    }

    /// When a deployment does something by itself the next time.
    #[must_use]
    pub fn deployments_due(&self) -> Option<Timestamp> {
        let state = self.lock();
        let news = (!state.kept.news.is_empty()).then_some(state.now);
        state.kept.runs.values().filter_map(|run| run.due(state.now)).chain(news).min()
    }

    /// Lets every deployment do what it does by now; what they ask, and what is told of them.
    #[must_use]
    pub fn run_deployments(&self) -> Vec<Question> {
        let mut state = self.lock();
        let mut asked = Vec::new();
        let names: Vec<DeploymentRef> = state.kept.runs.keys().cloned().collect();
        for name in names {
            state.with_run(&name, |run, state| run.advance(state, &mut asked));
        }
        let news = std::mem::take(&mut state.kept.news);
        asked.splice(0..0, news.into_iter().map(Question::News));
        asked
    }

    /// What a call of an ECS hook came to; `None` where the function failed.
    pub fn reply(&self, question: &EcsQuestion, reply: Option<&Reply>) {
        self.lock().with_run(&question.deployment, |run, state| match run {
            Run::Ecs(run) => run.replied(question, reply, state),
            Run::CodeDeploy(_) => {}
        });
    }

    /// All deployments, as they are now.
    #[must_use]
    pub fn deployments(&self) -> Vec<Deployment> {
        let state = self.lock();
        state.kept.runs.values().map(|run| run.view(state.now)).collect()
    }

    /// Hooks that are kept, answered or not.
    #[must_use]
    pub fn kept_hooks(&self) -> Vec<Hook> {
        self.lock().hooks.values().cloned().collect()
    }

    /// Everything that was said about deployments, oldest first, without the first `skip`.
    #[must_use]
    pub fn told(&self, skip: usize) -> Vec<Told> {
        self.lock().kept.told.iter().skip(skip).cloned().collect()
    }

    /// The verdict metric: when, and whether it was proven worse.
    #[must_use]
    pub fn measured(&self, target: &Target) -> Vec<(Timestamp, bool)> {
        let state = self.lock();
        let of_target = state.measured.iter().filter(|(_, other, _)| other.key() == target.key());
        of_target.map(|(at, _, worse)| (*at, *worse)).collect()
    }
}

impl State {
    fn begin(&mut self, run: impl FnOnce(u64, Timestamp) -> Run) -> DeploymentRef {
        self.kept.begun += 1;
        let run = run(self.kept.begun, self.now);
        let reference = run.view(self.now).reference;
        self.kept.runs.insert(reference.clone(), run);
        reference
    }

    /// Nothing for one that does not exist.
    fn with_run<T>(&mut self, name: &DeploymentRef, work: impl FnOnce(&mut Run, &mut Self) -> T) -> Option<T> {
        let mut run = self.kept.runs.get(name)?.clone();
        let done = work(&mut run, self);
        self.kept.runs.insert(name.clone(), run);
        Some(done)
    }

    fn tell(&mut self, deployment: &DeploymentRef, rolls_back: bool, what: Telling) {
        let at = self.now;
        self.kept.told.push(Told { at, deployment: deployment.clone(), rolls_back, what });
    }

    fn any_rings(&self, alarms: &[String]) -> bool {
        alarms.iter().any(|name| self.alarms.get(name) == Some(&AlarmState::Alarm))
    }

    /// Sets a weight as its service does.
    fn shift(&mut self, shift: &Shift, weight: Weight) -> Result<(), Refused> {
        let Shift { target, baseline, canary } = shift;
        let (primary, additional): (&Version, _) = match (target, weight) {
            (Target::Lambda(_), Weight::ZERO) => (baseline, None),
            (Target::Lambda(_), Weight::FULL) => (canary, None),
            // Amazon ECS writes both groups every time.
            (Target::Lambda(_) | Target::Alb(_), weight) => (baseline, Some((canary.clone(), weight))),
        };
        match target {
            Target::Lambda(_) => self.write_alias(target, primary, additional, false),
            Target::Alb(alb) => self.write_all_rules(alb, primary, additional),
        }
        .map_err(Refused)
    }
}

impl Deployments for World {
    async fn deployment(&self, deployment: &DeploymentRef) -> Result<Deployment, LookError> {
        let state = self.lock();
        let run = state.kept.runs.get(deployment).map(|run| run.view(state.now));
        run.ok_or_else(|| LookError::NotFound(format!("there is no {deployment}")))
    }

    async fn stop(&self, deployment: &DeploymentRef) -> Result<(), Fault> {
        let mut state = self.lock();
        let stopped = state.with_run(deployment, |run, state| {
            let seen = run.view(state.now);
            let had_ended = seen.state.has_ended();
            state.tell(deployment, seen.rolls_back, Telling::Stop { had_ended });
            if !had_ended {
                run.stop(state);
            }
        });
        stopped.ok_or_else(|| Fault::new("StopDeployment", FaultKind::Rejected, format!("there is no {deployment}")))
    }

    async fn answer(&self, hook: &Hook, answer: &HookAnswer) -> Result<(), Fault> {
        let answered = self.lock().with_run(&hook.deployment, |run, state| match run {
            Run::CodeDeploy(run) => run.answered(hook, answer, state),
            Run::Ecs(_) => false,
        });
        let invalid = || format!("InvalidLifecycleEventHookExecutionIdException: {}", hook.execution);
        let rejected = || Fault::new("PutLifecycleEventHookExecutionStatus", FaultKind::Rejected, invalid());
        answered.filter(|known| *known).map(|_| ()).ok_or_else(rejected)
    }

    async fn spec_for(&self, deployment: &Deployment) -> Result<Option<FoundSpec>, Fault> {
        let state = self.lock();
        let key = deployment.shift.as_ref().map(|shift| shift.target.key());
        Ok(key.and_then(|key| state.kept.specs.get(&key).cloned()))
    }

    async fn shifting(&self, target: &Target) -> Result<Option<DeploymentRef>, Fault> {
        let state = self.lock();
        let on_target = state.kept.runs.values().filter(|run| run.shift().target.key() == target.key());
        let mut seen = on_target.map(|run| run.view(state.now));
        Ok(seen.find(|deployment| !deployment.state.has_ended()).map(|deployment| deployment.reference))
    }
}

#[cfg(test)]
mod tests;
