//! The same releases, shifted by CodeDeploy or Amazon ECS: what these ask is brought to the production driver.

use serde_json::Value;

use super::{Run, RunError, Scenario, Snapshot, Step, blind, group};
use crate::deployment::{Hook, Question, Shift};
use crate::driver::{self, HookReport};
use crate::ports::Fault;
use crate::sim::budget::SimBudget;
use crate::sim::executor::{Stalled, run_now};
use crate::sim::faults::Way;
use crate::sim::world::Deploys;
use crate::spec::{Target, Version};
use crate::units::{Span, Timestamp};

/// The rollout that judges the first deployment of CodeDeploy in a scenario.
pub const FIRST_DEPLOYMENT: &str = "d-000000001";

/// Lambda tries a function that was called asynchronously twice more, after a minute and after two.
const RETRIES: [Span; 2] = [Span::from_minutes(1), Span::from_minutes(2)];

/// From CodeDeploy's call to the function's beginning, and of an event of EventBridge.
const HOOK_DELIVERY: Span = Span::from_seconds(1);
const NEWS_DELIVERY: Span = Span::from_seconds(3);

/// Who shifts the traffic in Coalmine's place.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployed {
    pub how: Deploys,
    pub canary: Version,
    pub calls: Calls,
}

/// What becomes of CodeDeploy's calls and events on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    Once,
    /// Everything comes a second time after this while.
    Twice(Span),
    /// Hooks take this much longer.
    Late(Span),
    /// Events are lost; hooks come.
    NoNews,
    /// Hooks are lost; events come.
    NoHooks,
}

impl Scenario {
    /// The same release, shifted by somebody else. Of the spec, what says how to shift is left out.
    #[must_use]
    pub fn deployed_by(self, how: Deploys) -> Self {
        let mut canary = Version(self.spec["version"].as_str().unwrap_or_default().to_owned());
        let mut scenario = self;
        if let (Deploys::Ecs(_), Target::Lambda(lambda)) = (&how, scenario.target.clone()) {
            canary = group(&lambda.function, &canary);
            scenario = scenario.on_alb();
        }
        scenario.shifted_by(Deployed { how, canary, calls: Calls::Once })
    }

    /// The spec is left for the deployment, without what says how to shift.
    #[must_use]
    pub(crate) fn shifted_by(mut self, deployed: Deployed) -> Self {
        // A service of ECS has one production rule.
        if let Target::Alb(alb) = &mut self.target {
            alb.rules.truncate(1);
        }
        if let Value::Object(fields) = &mut self.spec {
            fields.retain(|field, _| !["name", "version", "target", "strategy"].contains(&field.as_str()));
        }
        Self { deployed: Some(deployed), ..self }
    }

    /// The same, with other luck on the way.
    #[must_use]
    pub fn called(mut self, calls: Calls) -> Self {
        if let Some(deployed) = &mut self.deployed {
            deployed.calls = calls;
        }
        self
    }
}

impl Run<'_> {
    /// The deployment begins; the name of the rollout that is to judge it.
    pub(super) fn deploy(&mut self, deployed: &Deployed) -> String {
        self.world.leave_spec(&self.target, self.scenario.spec.to_string());
        let (baseline, canary) = (self.scenario.baseline.clone(), deployed.canary.clone());
        let shift = Shift { target: self.target.clone(), baseline, canary };
        self.world.deploy(deployed.how.clone(), shift).id().to_owned()
    }

    /// When something happens next, and what: a deployment keeps its own time.
    pub(super) fn next_step(&mut self) -> Option<(Timestamp, Step)> {
        let due = self.world.deployments_due();
        let scheduled = self.queue.first_key_value().map(|((at, _), _)| *at);
        match due {
            Some(due) if scheduled.is_none_or(|at| due <= at) => Some((due, Step::Deployments)),
            _ => self.queue.pop_first().map(|((at, _), step)| (at, step)),
        }
    }

    /// Lets the deployments go on, and brings what they ask on its way.
    pub(super) fn run_deployments(&mut self) -> Result<(), RunError> {
        let calls = self.scenario.deployed.as_ref().map_or(Calls::Once, |deployed| deployed.calls);
        for question in self.world.run_deployments() {
            let (delay, comes) = match (&question, calls) {
                (Question::Ecs(_), _) => {
                    self.ask(question, 0)?;
                    continue;
                }
                (Question::CodeDeploy(_), Calls::Late(late)) => (late, true),
                (Question::CodeDeploy(_), calls) => (HOOK_DELIVERY, calls != Calls::NoHooks),
                (Question::News(_), calls) => (NEWS_DELIVERY, calls != Calls::NoNews),
            };
            let at = self.world.now() + delay;
            if comes {
                self.schedule(at, Step::Asked(question.clone(), 0));
            }
            if let (true, Calls::Twice(later)) = (comes, calls) {
                self.schedule(at + later, Step::Asked(question, 0));
            }
        }
        Ok(())
    }

    /// A call of the hook function. `tries` have failed before.
    pub(super) fn ask(&mut self, question: Question, tries: usize) -> Result<(), RunError> {
        let now = self.world.now();
        let question = match question {
            Question::CodeDeploy(hook) => Question::CodeDeploy(Hook { received: now, ..hook }),
            other @ (Question::Ecs(_) | Question::News(_)) => other,
        };
        let before = Snapshot::of(self.world);
        let rules = self.rules();
        let (ports, rival) = (self.ports(&rules, 6), self.ports(&rules, 7));
        let budgets = [SimBudget::plenty(), SimBudget::plenty()];
        let settings = &self.scenario.settings;
        let ticks = async {
            if self.scenario.rival { Some(driver::tick(&rival, now, &budgets[1], settings).await) } else { None }
        };
        let hook = driver::hook(&ports, question.clone(), now, &budgets[0], settings);
        let done = run_now(futures_util::future::join(hook, ticks)).map(|(done, _rivals)| done);
        self.calls.push((now, ports.calls().len()));
        let dead = ports.is_dead();
        if done.is_err() && !rules.iter().any(|rule| rule.way == Way::Hangs) {
            return Err(Stalled.into());
        }
        self.hear(question, done.ok().filter(|_| !dead), tries);
        let after = Snapshot::of(self.world);
        self.check(&before, &after, blind(&rules));
        Ok(())
    }

    /// `done` is nothing where the process was cut off or died.
    fn hear(&mut self, question: Question, done: Option<Result<HookReport, Fault>>, tries: usize) {
        let (reply, failed) = match done {
            Some(Ok(report)) => {
                self.reports.push(report.report);
                (report.reply, false)
            }
            Some(Err(_)) | None => (None, true),
        };
        match (question, RETRIES.get(tries)) {
            (Question::Ecs(question), _) => self.world.reply(&question, reply.as_ref()),
            (question, Some(wait)) if failed => {
                self.schedule(self.world.now() + *wait, Step::Asked(question, tries + 1));
            }
            (Question::CodeDeploy(_) | Question::News(_), _) => {}
        }
    }
}
