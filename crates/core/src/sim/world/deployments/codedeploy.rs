//! CodeDeploy, deploying to a Lambda alias.

use super::{State, Telling, Timetable};
use crate::deployment::{Deployment, DeploymentRef, DeploymentState, Hook, HookAnswer, Question, Shift};
use crate::units::{Span, Timestamp, Weight};

/// From CreateDeployment to its first event.
const START: Span = Span::from_seconds(5);

/// So long after CreateDeployment nobody can say yet what it deploys: `DeploymentNotStartedException`.
const UNTOLD: Span = Span::from_seconds(9);

/// A hook that has no answer by then fails the deployment.
const PATIENCE: Span = Span::from_hours(1);

/// How a deployment group deploys.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeDeploy {
    pub timetable: Timetable,
    /// It has a hook `BeforeAllowTraffic`.
    pub asks_before: bool,
    /// It has a hook `AfterAllowTraffic`.
    pub asks_after: bool,
    /// An alarm of the group that rings stops it.
    pub alarms: Vec<String>,
    /// A deployment that fails or is stopped by an alarm is followed by one that rolls back. One that was stopped on
    /// request is where the request says so.
    pub rolls_back: bool,
}

impl CodeDeploy {
    /// With both hooks and automatic rollback.
    #[must_use]
    pub fn new(timetable: Timetable) -> Self {
        Self { timetable, asks_before: true, asks_after: true, alarms: Vec::new(), rolls_back: true }
    }
}

/// One deployment.
#[derive(Debug, Clone)]
pub(super) struct Run {
    reference: DeploymentRef,
    plan: CodeDeploy,
    pub shift: Shift,
    rolls_back: bool,
    state: DeploymentState,
    created: Timestamp,
    place: Place,
    /// When it came to its place.
    since: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Created,
    /// At this weight it waits for a hook.
    Hook {
        at: Weight,
        answered: bool,
    },
    /// So many of its weights are live.
    Shifting {
        done: usize,
    },
}

impl Run {
    pub fn begin(number: u64, plan: CodeDeploy, shift: Shift, now: Timestamp) -> super::Run {
        super::Run::CodeDeploy(Self {
            reference: DeploymentRef::CodeDeploy(format!("d-{number:09}")),
            plan,
            shift,
            rolls_back: false,
            state: DeploymentState::Waiting,
            created: now,
            place: Place::Created,
            since: now,
        })
    }

    pub fn view(&self, now: Timestamp) -> Deployment {
        let told = now.since(self.created) >= UNTOLD;
        let awaits = match self.place {
            Place::Hook { at, answered: false } if !self.state.has_ended() => Some(at),
            Place::Created | Place::Hook { .. } | Place::Shifting { .. } => None,
        };
        Deployment {
            reference: self.reference.clone(),
            state: self.state.clone(),
            rolls_back: self.rolls_back,
            shift: told.then(|| self.shift.clone()),
            unjudged: None,
            strategy: match self.plan.timetable {
                Timetable::AllAtOnce => "CodeDeployDefault.LambdaAllAtOnce".to_owned(),
                Timetable::Canary { first, bake } => format!("Canary{first}{bake}"),
                Timetable::Linear { by, every } => format!("Linear{by}Every{every}"),
            },
            steps: self.plan.timetable.stages(),
            awaits: awaits.filter(|_| told),
            owner: "checkout-app/checkout-group".to_owned(),
        }
    }

    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        if self.state.has_ended() {
            return None;
        }
        Some(match self.place {
            Place::Created => self.since + START,
            Place::Hook { answered: true, .. } => now,
            Place::Hook { answered: false, .. } => self.since + PATIENCE,
            Place::Shifting { done } => {
                let stages = self.plan.timetable.stages();
                stages.iter().take(done).fold(self.since, |at, stage| at + stage.bake)
            }
        })
    }

    pub fn advance(&mut self, state: &mut State, asked: &mut Vec<Question>) {
        if !self.state.has_ended() && !self.rolls_back && state.any_rings(&self.plan.alarms) {
            self.end(state, DeploymentState::Stopped { why: "ALARM_ACTIVE".to_owned() });
        }
        while self.due(state.now).is_some_and(|due| due <= state.now) {
            match self.place {
                Place::Created => {
                    self.state = DeploymentState::InProgress;
                    state.kept.news.push(self.reference.clone());
                    if self.plan.asks_before {
                        self.ask(Weight::ZERO, state.now, asked);
                    } else {
                        self.enter(Place::Shifting { done: 0 }, state.now);
                    }
                }
                Place::Hook { at: Weight::ZERO, answered: true } => {
                    self.enter(Place::Shifting { done: 0 }, state.now);
                }
                Place::Hook { answered: true, .. } => self.end(state, DeploymentState::Succeeded),
                Place::Hook { at, answered: false } => {
                    let execution = self.execution(at);
                    state.tell(&self.reference, self.rolls_back, Telling::NoAnswer { execution });
                    self.fail(state, "HOOK_EXECUTION_FAILURE");
                }
                Place::Shifting { done } => self.raise(done, state, asked),
            }
        }
    }

    fn raise(&mut self, done: usize, state: &mut State, asked: &mut Vec<Question>) {
        let stages = self.plan.timetable.stages();
        let weight = stages.get(done).map_or(Weight::FULL, |stage| stage.weight);
        let live = state.aliases.get(&self.shift.target.key()).map(|routing| &routing.primary);
        if !self.rolls_back && live != Some(&self.shift.baseline) {
            // The alias version does not match the current version in the AppSpec file.
            return self.fail(state, "INVALID_LAMBDA_CONFIGURATION");
        }
        match state.shift(&self.shift, weight) {
            Err(_) => self.fail(state, "INVALID_LAMBDA_CONFIGURATION"),
            // The time of each weight counts from the first one.
            Ok(()) if weight < Weight::FULL => self.place = Place::Shifting { done: done + 1 },
            Ok(()) if self.plan.asks_after => self.ask(Weight::FULL, state.now, asked),
            Ok(()) => self.end(state, DeploymentState::Succeeded),
        }
    }

    fn enter(&mut self, place: Place, now: Timestamp) {
        (self.place, self.since) = (place, now);
    }

    fn ask(&mut self, at: Weight, now: Timestamp, asked: &mut Vec<Question>) {
        self.enter(Place::Hook { at, answered: false }, now);
        let (deployment, execution) = (self.reference.clone(), self.execution(at));
        asked.push(Question::CodeDeploy(Hook { deployment, execution, received: now }));
    }

    fn execution(&self, at: Weight) -> String {
        let hook = if at == Weight::ZERO { "before" } else { "after" };
        format!("execution-{}-{hook}", self.reference.id())
    }

    /// Whether it knows the hook.
    pub fn answered(&mut self, hook: &Hook, answer: &HookAnswer, state: &mut State) -> bool {
        let Some(at) = [Weight::ZERO, Weight::FULL].into_iter().find(|at| self.execution(*at) == hook.execution) else {
            return false;
        };
        let waits = self.place == Place::Hook { at, answered: false };
        let counts = waits && !self.state.has_ended();
        let execution = hook.execution.clone();
        let what = Telling::Answer { execution, at, goes_on: answer.goes_on, counts };
        state.tell(&self.reference, self.rolls_back, what);
        if counts && answer.goes_on {
            self.place = Place::Hook { at, answered: true };
        } else if counts {
            self.fail(state, "HOOK_EXECUTION_FAILURE");
        }
        true
    }

    /// On request, with a rollback.
    pub fn stop(&mut self, state: &mut State) {
        self.plan.rolls_back = true;
        self.end(state, DeploymentState::Stopped { why: "MANUAL_STOP".to_owned() });
    }

    fn fail(&mut self, state: &mut State, why: &str) {
        state.tell(&self.reference, self.rolls_back, Telling::GaveUp(why.to_owned()));
        self.end(state, DeploymentState::Failed { why: why.to_owned() });
    }

    fn end(&mut self, state: &mut State, ended: DeploymentState) {
        let failed = ended != DeploymentState::Succeeded;
        self.state = ended;
        state.kept.news.push(self.reference.clone());
        if failed && !self.rolls_back && self.plan.rolls_back {
            let plan = CodeDeploy { timetable: Timetable::AllAtOnce, alarms: Vec::new(), ..self.plan.clone() };
            let Shift { target, baseline, canary } = self.shift.clone();
            let shift = Shift { target, baseline: canary, canary: baseline };
            state.begin(|number, now| match Self::begin(number, plan, shift, now) {
                super::Run::CodeDeploy(run) => super::Run::CodeDeploy(Self { rolls_back: true, ..run }),
                other @ super::Run::Ecs(_) => other,
            });
        }
    }
}
