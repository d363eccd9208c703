//! Amazon ECS, deploying a service behind two target groups.

use super::{State, Telling, Timetable};
use crate::deployment::{
    Deployment, DeploymentRef, DeploymentState, EcsQuestion, EcsStage, FoundSpec, Question, Reply, Shift,
};
use crate::units::{Span, Timestamp, Weight};

/// Until the new tasks run.
const SCALE_UP: Span = Span::from_seconds(60);

/// From an answer of IN_PROGRESS to the next call, unless it says otherwise.
const CALL_BACK: Span = Span::from_seconds(30);

/// How a service deploys.
#[derive(Debug, Clone, PartialEq)]
pub struct Ecs {
    pub timetable: Timetable,
    /// How long it stays at 100 % before it ends.
    pub bake: Span,
    /// The stages that call the hook.
    pub hooks: Vec<EcsStage>,
    /// It rolls back when a hook has no answer by then.
    pub timeout: Span,
    pub alarms: Vec<String>,
    pub tells: Tells,
    /// The spec in the hook's details.
    pub spec: Option<String>,
}

/// The weight that a hook before a raise is told. The documents do not say which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tells {
    /// The one that is live.
    Present,
    /// The one that follows if the hook agrees.
    Coming,
}

impl Ecs {
    /// With a hook before every raise and after the last one.
    #[must_use]
    pub fn new(timetable: Timetable) -> Self {
        let hooks = vec![EcsStage::PreProductionTrafficShift, EcsStage::PostProductionTrafficShift];
        let (bake, timeout) = (Span::from_minutes(5), Span::from_hours(24));
        Self { timetable, bake, hooks, timeout, alarms: Vec::new(), tells: Tells::Present, spec: None }
    }
}

/// One deployment.
#[derive(Debug, Clone)]
pub(super) struct Run {
    reference: DeploymentRef,
    plan: Ecs,
    pub shift: Shift,
    state: DeploymentState,
    /// What is left to do, the next last.
    steps: Vec<Step>,
    /// When the step before ended.
    since: Timestamp,
    asking: Option<Asking>,
    /// What it ends as once the old version is back.
    going_back: Option<DeploymentState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Stage { stage: EcsStage, live: Weight, told: Option<Weight> },
    Set(Weight),
    Wait(Span),
}

/// A stage whose hook has not agreed yet.
#[derive(Debug, Clone)]
struct Asking {
    since: Timestamp,
    next_call: Timestamp,
    goes_on: Option<bool>,
}

impl Run {
    pub fn begin(number: u64, plan: Ecs, shift: Shift, now: Timestamp) -> super::Run {
        let arn = "arn:aws:ecs:eu-west-1:123456789012:service-deployment/prod/checkout";
        let steps = plan.steps().into_iter().rev().collect();
        super::Run::Ecs(Self {
            reference: DeploymentRef::Ecs(format!("{arn}/{number:021}")),
            plan,
            shift,
            state: DeploymentState::InProgress,
            steps,
            since: now,
            asking: None,
            going_back: None,
        })
    }

    pub fn view(&self) -> Deployment {
        Deployment {
            reference: self.reference.clone(),
            state: self.state.clone(),
            rolls_back: self.going_back.is_some(),
            shift: Some(self.shift.clone()),
            unjudged: None,
            strategy: match self.plan.timetable {
                Timetable::AllAtOnce => "BLUE_GREEN".to_owned(),
                Timetable::Canary { .. } => "CANARY".to_owned(),
                Timetable::Linear { .. } => "LINEAR".to_owned(),
            },
            steps: self.plan.timetable.stages(),
            awaits: None,
            owner: "prod/checkout".to_owned(),
        }
    }

    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        if self.state.has_ended() {
            return None;
        }
        Some(match (self.steps.last(), &self.asking) {
            (_, Some(asking)) if asking.goes_on.is_none() => asking.next_call,
            (Some(Step::Wait(span)), _) => self.since + *span,
            (Some(Step::Stage { .. } | Step::Set(_)) | None, _) => now,
        })
    }

    pub fn advance(&mut self, state: &mut State, asked: &mut Vec<Question>) {
        if !self.state.has_ended() && state.any_rings(&self.plan.alarms) {
            self.go_back(state, "an alarm rings");
        }
        while self.due(state.now).is_some_and(|due| due <= state.now) {
            match self.steps.last().copied() {
                None => self.state = self.going_back.clone().unwrap_or(DeploymentState::Succeeded),
                Some(Step::Wait(_)) => self.next(state.now),
                Some(Step::Set(weight)) => match state.shift(&self.shift, weight) {
                    Ok(()) => self.next(state.now),
                    Err(refused) => self.go_back(state, &refused.0),
                },
                Some(Step::Stage { stage, told, .. }) if self.plan.hooks.contains(&stage) => {
                    self.call(stage, told, state, asked);
                }
                Some(Step::Stage { .. }) => self.next(state.now),
            }
        }
    }

    fn next(&mut self, now: Timestamp) {
        self.steps.pop();
        (self.since, self.asking) = (now, None);
    }

    fn call(&mut self, stage: EcsStage, weight: Option<Weight>, state: &mut State, asked: &mut Vec<Question>) {
        let now = state.now;
        let asking = self.asking.get_or_insert(Asking { since: now, next_call: now, goes_on: None });
        match asking.goes_on {
            Some(true) => self.next(now),
            Some(false) => self.go_back(state, "the hook failed"),
            None if now.since(asking.since) >= self.plan.timeout => {
                let execution = stage.name().to_owned();
                state.tell(&self.reference, self.going_back.is_some(), Telling::NoAnswer { execution });
                self.go_back(state, "the hook timed out");
            }
            None => {
                asking.next_call = now + CALL_BACK;
                let place = "hookDetails.coalmine".to_owned();
                asked.push(Question::Ecs(EcsQuestion {
                    deployment: self.reference.clone(),
                    stage,
                    weight,
                    since: asking.since,
                    spec: self.plan.spec.clone().map(|text| FoundSpec { place, text }),
                }));
            }
        }
    }

    pub fn replied(&mut self, question: &EcsQuestion, reply: Option<&Reply>, state: &mut State) {
        let Some(Step::Stage { stage, live, .. }) = self.steps.last().copied() else { return };
        let Some(asking) = self.asking.as_mut().filter(|_| stage == question.stage) else { return };
        let rolls_back = self.going_back.is_some();
        match reply {
            Some(Reply::Wait(_)) => {}
            Some(Reply::Answer(answer)) => {
                asking.goes_on = Some(answer.goes_on);
                // Before the new tasks can be tested there is nothing to judge.
                if stage >= EcsStage::PostTestTrafficShift {
                    let execution = format!("{} at {live}, {}", stage.name(), asking.since);
                    let what = Telling::Answer { execution, at: live, goes_on: answer.goes_on, counts: true };
                    state.tell(&self.reference, rolls_back, what);
                }
            }
            None => {
                asking.goes_on = Some(false);
                state.tell(&self.reference, rolls_back, Telling::Broke);
            }
        }
    }

    pub fn stop(&mut self, state: &mut State) {
        if self.going_back.is_some() {
            return;
        }
        self.go_back_to(state.now, DeploymentState::Stopped { why: "stopped on request".to_owned() });
    }

    fn go_back(&mut self, state: &mut State, why: &str) {
        state.tell(&self.reference, self.going_back.is_some(), Telling::GaveUp(why.to_owned()));
        self.go_back_to(state.now, DeploymentState::Failed { why: why.to_owned() });
    }

    /// The old version gets everything again. What goes wrong with that ends it where it is.
    fn go_back_to(&mut self, now: Timestamp, ends_as: DeploymentState) {
        if self.going_back.is_some() {
            self.state = ends_as;
            return;
        }
        self.going_back = Some(ends_as);
        let zero = Weight::ZERO;
        self.steps = vec![
            Step::Set(zero),
            Step::Stage { stage: EcsStage::ProductionTrafficShift, live: zero, told: Some(zero) },
            Step::Stage { stage: EcsStage::TestTrafficShift, live: zero, told: None },
        ];
        (self.since, self.asking) = (now, None);
    }
}

impl Ecs {
    /// The whole deployment, in order.
    fn steps(&self) -> Vec<Step> {
        let silent = |stage| Step::Stage { stage, live: Weight::ZERO, told: None };
        // The new group is attached first, so that its health is checked.
        let mut steps = vec![
            Step::Set(Weight::ZERO),
            silent(EcsStage::PreScaleUp),
            Step::Wait(SCALE_UP),
            silent(EcsStage::PostScaleUp),
            silent(EcsStage::TestTrafficShift),
            silent(EcsStage::PostTestTrafficShift),
        ];
        let stages = self.timetable.stages();
        let mut live = Weight::ZERO;
        for (weight, bake) in stages.iter().map(|stage| (stage.weight, stage.bake)).chain([(Weight::FULL, Span::ZERO)])
        {
            let told = Some(match self.tells {
                Tells::Present => live,
                Tells::Coming => weight,
            });
            steps.push(Step::Stage { stage: EcsStage::PreProductionTrafficShift, live, told });
            steps.push(Step::Stage { stage: EcsStage::ProductionTrafficShift, live, told: Some(weight) });
            steps.push(Step::Set(weight));
            steps.push(Step::Wait(bake));
            live = weight;
        }
        let told = Some(Weight::FULL);
        steps.push(Step::Stage { stage: EcsStage::PostProductionTrafficShift, live, told });
        steps.push(Step::Wait(self.bake));
        steps
    }
}
