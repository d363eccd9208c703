//! The custom resources of stacks: taking up what CloudFormation asks, and answering it, now or from a later tick.

use futures_util::{StreamExt, stream};
use serde::Serialize;

use super::order;
use super::start::{self, Checked};
use super::{CONCURRENT_ROLLOUTS, Context, SLICE, Settings};
use crate::cloudformation::resource::Begin;
use crate::cloudformation::{Answer, Asked, Look, Resource, Step, Wish};
use crate::command;
use crate::engine::{Order, OrderKind};
use crate::ports::{Budget, Fault, FaultKind, KeepError, LookError, Ports, Stacks};
use crate::rollout::Rollout;
use crate::spec::{LambdaTarget, Mode, Owner, Problem, Target};
use crate::units::Timestamp;

/// A request takes four: the rollout's name, the start, the answer, its sending. Twice that is a bug.
const STEPS_MAX: usize = 8;

/// A tick may save it between our read and our write.
const TRIES: usize = 3;

/// What was done about a resource.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceLine {
    /// `shop/CheckoutRollout`: the stack, and the resource's name in its template.
    pub resource: String,
    /// `checkout:live`
    pub target: String,
    /// What CloudFormation was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// What is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// What happened.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub did: Vec<String>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

impl ResourceLine {
    fn about(asked: &Asked) -> Self {
        Self {
            resource: format!("{}/{}", asked.caller.stack_name(), asked.caller.logical),
            target: asked.wish.target(),
            answer: None,
            waiting: None,
            did: Vec::new(),
            faults: Vec::new(),
        }
    }
}

/// Takes up a request of CloudFormation. It may be answered now or by a later tick.
///
/// # Errors
/// When the request could not be kept: ask again.
pub async fn resource(
    ports: &(impl Ports + Stacks),
    asked: Asked,
    now: Timestamp,
    budget: &impl Budget,
    settings: &Settings,
) -> Result<ResourceLine, Fault> {
    let context = Context { ports, budget, settings, now };
    let kept = context.guarded(budget.remaining() / 2, context.keep_asked(&asked)).await;
    let kept = kept.unwrap_or_else(|cut| Err(cut.fault("keep_resource")))?;
    Ok(match kept {
        Some(resource) => context.settle_resource(resource).await,
        None => {
            let mut line = ResourceLine::about(&asked);
            line.did.push("a later request came before this one, which has its answer".to_owned());
            line
        }
    })
}

/// Answers whatever can be answered, and starts what was to wait.
///
/// # Errors
/// When the resources cannot be read.
pub async fn resources(
    ports: &(impl Ports + Stacks),
    now: Timestamp,
    budget: &impl Budget,
    settings: &Settings,
) -> Result<Vec<ResourceLine>, Fault> {
    let context = Context { ports, budget, settings, now };
    let read = context.guarded(budget.remaining() / 4, ports.resources()).await;
    let read = read.unwrap_or_else(|cut| Err(cut.fault("resources")))?;
    let open = read.into_iter().filter(Resource::is_open);
    let settling = stream::iter(open).map(|resource| context.settle_resource(resource));
    Ok(settling.buffered(CONCURRENT_ROLLOUTS).collect().await)
}

impl<P: Ports + Stacks, B: Budget> Context<'_, P, B> {
    /// The resource with the request in it; nothing where a later one came first.
    async fn keep_asked(&self, asked: &Asked) -> Result<Option<Resource>, Fault> {
        let mut fault = None;
        for _ in 0..TRIES {
            let stored = self.ports.resources().await?;
            let is_this = |one: &&Resource| {
                one.asked.caller.stack == asked.caller.stack && one.asked.caller.physical == asked.caller.physical
            };
            let mut before = stored.iter().find(is_this).cloned();
            if before.is_none()
                && let Some(created) = stored.iter().find(|one| one.is_creation_of(asked))
            {
                match self.closed(created).await {
                    Ok(()) => before = Some(Resource { revision: 0, ..created.clone() }),
                    Err(KeepError::Conflict) => continue,
                    Err(KeepError::Fault(error)) => {
                        fault = Some(error);
                        continue;
                    }
                }
            }
            if let Some(same) = before.as_ref().filter(|before| before.asked.caller.request == asked.caller.request) {
                return Ok(Some(same.clone()));
            }
            let Some(next) = Resource::asked_of(before, asked.clone()) else { return Ok(None) };
            match self.kept(next).await {
                Ok(kept) => return Ok(Some(kept)),
                Err(KeepError::Conflict) => {}
                Err(KeepError::Fault(error)) => fault = Some(error),
            }
        }
        let conflict = || Fault::new("keep_resource", FaultKind::Failed, "it was changed by others meanwhile");
        Err(fault.unwrap_or_else(conflict))
    }

    async fn closed(&self, resource: &Resource) -> Result<(), KeepError> {
        if resource.is_open() { self.kept(resource.closed()).await.map(drop) } else { Ok(()) }
    }

    async fn kept(&self, next: Resource) -> Result<Resource, KeepError> {
        let next = Resource { revision: next.revision + 1, ..next };
        self.ports.keep_resource(&next).await.map(|()| next)
    }

    async fn settle_resource(&self, resource: Resource) -> ResourceLine {
        let mut line = ResourceLine::about(&resource.asked);
        let steps = self.settle_steps(resource.clone(), &mut line);
        let settled = self.guarded(SLICE.min(self.budget.remaining()), steps).await;
        if let Err(cut) = settled {
            line.faults.push(format!("{cut}; the next tick goes on"));
            // One that is cut off every time is told so: the stack would wait for its hour. If something was kept meanwhile,
            // the next tick tells it.
            if let Some(answer) = resource.given_up(&cut.to_string(), self.now)
                && let Err(error) = self.kept(resource.answered(answer)).await
            {
                line.faults.push(error.to_string());
            }
        }
        line
    }

    /// Look, decide, keep, act, until there is nothing more to do now.
    async fn settle_steps(&self, mut resource: Resource, line: &mut ResourceLine) {
        // Kept by another invocation, which could not send it.
        if resource.answer.is_some() && !resource.sent {
            let next = match self.look_for(&resource).await {
                Ok(look) => resource.brought_up_to_date(&look),
                // What is live now is what CloudFormation would write.
                Err(fault) if !resource.is_at_its_last_moment(self.now) => return line.faults.push(fault.to_string()),
                Err(_) => None,
            };
            if let Some(next) = next {
                match self.kept(next).await {
                    Ok(kept) => resource = kept,
                    Err(error) => return line.faults.push(error.to_string()),
                }
            }
        }
        for _ in 0..STEPS_MAX {
            let step = match resource.without_looking(self.now) {
                Some(step) => (step, None),
                None => match self.look_for(&resource).await {
                    Ok(look) => (resource.next(&look, self.now), look.live),
                    Err(fault) => (resource.unseen(&fault.to_string(), self.now), None),
                },
            };
            let (step, live) = step;
            let revision = live.and_then(|live| live.revision);
            let Some(next) = self.take(&resource, step, revision, line).await else { return };
            match self.kept(next).await {
                Ok(kept) => resource = kept,
                Err(error) => return line.faults.push(error.to_string()),
            }
        }
    }

    async fn look_for(&self, resource: &Resource) -> Result<Look, Fault> {
        let wish = resource.begin.as_ref().map_or(&resource.asked.wish, |begin| &begin.wish);
        let target = target(wish);
        let live = match self.ports.look(&target).await {
            Ok(live) => Some(live),
            Err(LookError::NotFound(_)) => None,
            Err(LookError::Fault(fault)) => return Err(fault),
        };
        let active = self.ports.active().await?.into_iter().flatten();
        let on_target = |one: &Rollout| !one.is_terminal() && one.guest.is_none() && one.spec.target.overlaps(&target);
        let mut running: Vec<Rollout> = active.filter(on_target).collect();
        running.sort_by_key(|one| (one.started_at, one.id.clone()));
        let started = match &resource.rollout {
            Some(id) if resource.waits => self.ports.load(id).await?,
            Some(_) | None => None,
        };
        Ok(Look { live, running, started, observes: self.settings.mode == Mode::Observe })
    }

    /// Does a step. What is to be kept of it; nothing where there is nothing more to do now.
    async fn take(
        &self,
        resource: &Resource,
        step: Step,
        revision: Option<String>,
        line: &mut ResourceLine,
    ) -> Option<Resource> {
        match step {
            Step::Done => None,
            Step::Wait(why) => {
                line.waiting = Some(why);
                None
            }
            Step::Keep(answer) => Some(resource.answered(answer)),
            Step::GiveUp => {
                line.faults.push("its time is over, and CloudFormation waits no longer".to_owned());
                Some(resource.closed())
            }
            Step::Send(answer) => self.send(resource, answer, line).await,
            Step::Abort { rollout, reason } => self.give_up(&rollout, reason, resource, line).await,
            Step::Start { .. } | Step::Check { .. } if resource.rollout.is_none() => self.named(resource, line).await,
            Step::Start { answer } => {
                let started = self.started(resource, &resource.asked.wish, resource.rollout.as_deref(), line).await;
                match (started, answer) {
                    (Ok(Started::Nothing), _) => {
                        Some(resource.answered(Answer::of(resource.asked.wish.version.clone(), None)))
                    }
                    (Ok(Started::Runs), Some(answer)) => Some(resource.answered(answer)),
                    (Ok(Started::Runs), None) => Some(Resource { waits: true, ..resource.clone() }),
                    (Err(why), _) => self.hindered(resource, why, line),
                }
            }
            Step::Check { answer, begin_by } => self.checked(resource, answer, revision, begin_by, line).await,
            Step::Begin => self.begun(resource, line).await,
            Step::Forget(why) => {
                let waited = resource.begin.as_ref().map(|begin| begin.rollout.as_str()).unwrap_or_default();
                line.faults.push(format!("rollout {waited} is not started: {why}"));
                Some(Resource { begin: None, ..resource.clone() })
            }
        }
    }

    async fn send(&self, resource: &Resource, answer: Answer, line: &mut ResourceLine) -> Option<Resource> {
        match self.ports.respond(&resource.asked.caller, &answer).await {
            Ok(()) => {
                line.answer = Some(answer);
                Some(resource.delivered(self.now))
            }
            Err(fault) => {
                line.faults.push(fault.to_string());
                None
            }
        }
    }

    /// The rollout's name, kept before it is started, so that whoever starts it again starts the same one. A version that
    /// the stack asks for a second time gets a second rollout.
    async fn named(&self, resource: &Resource, line: &mut ResourceLine) -> Option<Resource> {
        let wish = &resource.asked.wish;
        let id = wish.rollout_id(None);
        match self.ports.load(&id).await {
            Ok(None) => Some(resource.named(id)),
            Ok(Some(_)) => Some(resource.named(wish.rollout_id(Some(&resource.asked.caller.request)))),
            Err(fault) => self.hindered(resource, fault.to_string(), line),
        }
    }

    /// Tried again for a while, and told then.
    fn hindered(&self, resource: &Resource, why: String, line: &mut ResourceLine) -> Option<Resource> {
        let answer = resource.refused(&why, self.now);
        if answer.is_none() {
            line.waiting = Some(why);
        }
        answer.map(|answer| resource.answered(answer))
    }

    async fn started(
        &self,
        resource: &Resource,
        wish: &Wish,
        id: Option<&str>,
        line: &mut ResourceLine,
    ) -> Result<Started, String> {
        let spec = wish.spec(id).map_err(|problems| told(&problems))?;
        match start::start(self, spec, by(&resource.asked)).await {
            Ok(command::Answer::Rollout(answer)) => {
                line.did.push(answer.message);
                Ok(Started::Runs)
            }
            Ok(command::Answer::Nothing { message }) => {
                line.did.push(message);
                Ok(Started::Nothing)
            }
            Ok(command::Answer::Minutes(_) | command::Answer::List(_) | command::Answer::Deployments { .. }) => {
                Ok(Started::Nothing)
            }
            Err(problems) => Err(told(&problems)),
        }
    }

    async fn checked(
        &self,
        resource: &Resource,
        answer: Answer,
        revision: Option<String>,
        by_then: Timestamp,
        line: &mut ResourceLine,
    ) -> Option<Resource> {
        let (wish, rollout) = (&resource.asked.wish, resource.rollout.clone()?);
        let checked = match wish.spec(Some(&rollout)) {
            Ok(spec) => start::check(self, spec, by(&resource.asked)).await,
            Err(problems) => Err(problems),
        };
        match checked {
            Ok(Checked::Answered(_)) => Some(resource.answered(Answer::of(wish.version.clone(), None))),
            Ok(Checked::Begins(..)) => {
                let begin = Begin { rollout, wish: wish.clone(), revision, by: by_then };
                Some(Resource { begin: Some(begin), ..resource.answered(answer) })
            }
            Err(problems) => self.hindered(resource, told(&problems), line),
        }
    }

    async fn begun(&self, resource: &Resource, line: &mut ResourceLine) -> Option<Resource> {
        let begin = resource.begin.as_ref()?;
        let over = Resource { begin: None, ..resource.clone() };
        match self.started(resource, &begin.wish, Some(&begin.rollout), line).await {
            Ok(Started::Runs | Started::Nothing) => Some(over),
            Err(why) if begin.is_young(self.now) => {
                line.waiting = Some(why);
                None
            }
            // The stack has its answer: nobody but who hears of faults would hear of it.
            Err(why) => {
                line.faults.push(format!("rollout {} is not started: {why}", begin.rollout));
                begin.is_over(self.now).then_some(over)
            }
        }
    }

    async fn give_up(
        &self,
        rollout: &str,
        reason: String,
        resource: &Resource,
        line: &mut ResourceLine,
    ) -> Option<Resource> {
        let order = Order { kind: OrderKind::Abort, by: by(&resource.asked), reason };
        match order::steer(self, rollout, &order).await {
            Ok(_) => {
                line.did.push(format!("rollout {rollout} is aborted"));
                Some(resource.clone())
            }
            Err(problems) => {
                let why = told(&problems);
                let answer = resource.given_up(&why, self.now);
                line.faults.push(why);
                answer.map(|answer| resource.answered(answer))
            }
        }
    }
}

/// What a start came to.
enum Started {
    Runs,
    /// The version is live already.
    Nothing,
}

fn told(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
}

fn by(asked: &Asked) -> String {
    format!("CloudFormation stack {}", asked.caller.stack_name())
}

fn target(wish: &Wish) -> Target {
    let (function, alias) = (wish.function.clone(), wish.alias.clone());
    Target::Lambda(LambdaTarget { function, alias, owner: Owner::Coalmine })
}
