//! Deployments of other services: their hooks, and what is told to them.
//!
//! A hook is kept before anything else is done about it, and forgotten only once it is answered: whoever is killed
//! meanwhile leaves it to the next tick. The answer is a function of the stored rollout, so that it is the same whoever
//! gives it, and however often.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use serde::Serialize;

use super::accompany::{Accompanied, NOT_SAID_YET, accompany};
use super::attend::{Line, Visit, Visits};
use super::{CONCURRENT_ROLLOUTS, Context, SLICE, Settings, TickReport};
use crate::deployment::{
    Asked, Deployment, DeploymentRef, EcsQuestion, EcsStage, FoundSpec, Hook, HookAnswer, Question, Reply, Unjudged,
};
use crate::engine;
use crate::observation::{Seen, Split};
use crate::ports::{Budget, Fault, FaultKind, LookError, Ports};
use crate::rollout::Rollout;
use crate::spec::{Ending, Mode};
use crate::units::{Span, Timestamp, Weight};

/// A deployment that calls a hook exists, but a look at it may lag. What is not found for so long is not there, or is
/// nothing that can be judged.
const FOUND_WITHIN: Span = Span::from_minutes(5);

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HookReport {
    /// What Amazon ECS is told. CodeDeploy is told by a call of its own, and with news nobody waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
    #[serde(flatten)]
    pub report: TickReport,
}

/// What was done about a hook, or about news of a deployment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HookLine {
    /// `d-3GSL8P2NK`, which is also the rollout's name.
    pub deployment: String,
    /// What its service was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<HookAnswer>,
    /// What is waited for, where nothing was told yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// What happened.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub did: Vec<String>,
    /// What stops nothing and should be known all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Why nobody judges it: its spec is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// What went wrong; the next tick tries again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

impl HookLine {
    fn about(deployment: &DeploymentRef) -> Self {
        Self {
            deployment: deployment.id().to_owned(),
            answer: None,
            waiting: None,
            did: Vec::new(),
            warnings: Vec::new(),
            problems: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Without a rollout only a spec that is wrong is an answer.
    fn note_refusal(&mut self, reply: &Reply) {
        if let Reply::Answer(answer) = reply {
            self.problems.push(answer.why.clone());
        }
    }
}

/// A hook that waits, and the look at its deployment.
pub(super) struct Call {
    hook: Hook,
    deployment: Result<Deployment, LookError>,
    /// It is the newest of its deployment, and CodeDeploy still waits for it. Any other has its answer, and could not be
    /// forgotten.
    is_asked: bool,
}

impl Call {
    /// The question as its service puts it; nothing while it does not say at which weight it waits.
    fn asked(&self) -> Option<Asked> {
        let at = self.deployment.as_ref().ok().filter(|_| self.is_asked)?.awaits?;
        Some(Asked { at, until: Some(self.hook.answer_by()) })
    }
}

/// Hooks to be looked at, and by deployment the execution of the one that was called last.
pub(super) struct Calls {
    hooks: Vec<Hook>,
    newest: BTreeMap<DeploymentRef, String>,
}

impl Calls {
    /// Those whose time is over, and the others.
    pub(super) fn due_first(waiting: Vec<Hook>, now: Timestamp) -> (Self, Self) {
        let newest = newest(&waiting);
        let (due, others) = waiting.into_iter().partition(|hook| now >= hook.answer_by());
        (Self { hooks: due, newest: newest.clone() }, Self { hooks: others, newest })
    }

    /// The one that is called, and of those that wait the ones whose time is over. The rest is for the tick.
    fn called(hook: Hook, waiting: Vec<Hook>, now: Timestamp) -> Self {
        // Called again, it still waits since the first time.
        let (same, others): (Vec<Hook>, Vec<Hook>) =
            waiting.into_iter().partition(|other| other.execution == hook.execution);
        let called = same.into_iter().next().unwrap_or(hook);
        let newest = newest([&called].into_iter().chain(&others));
        let due = others.into_iter().filter(|other| now >= other.answer_by());
        Self { hooks: [called].into_iter().chain(due).collect(), newest }
    }
}

fn newest<'a>(hooks: impl IntoIterator<Item = &'a Hook>) -> BTreeMap<DeploymentRef, String> {
    let mut newest: BTreeMap<&DeploymentRef, &Hook> = BTreeMap::new();
    for hook in hooks {
        let known = newest.entry(&hook.deployment).or_insert(hook);
        if hook.received >= known.received {
            *known = hook;
        }
    }
    newest.into_iter().map(|(deployment, hook)| (deployment.clone(), hook.execution.clone())).collect()
}

/// The rollouts that this invocation has attended to, and whether what was decided could be saved.
pub(super) type Attended = BTreeMap<String, bool>;

/// What came of one deployment: about its hook, and about its rollout.
type Told = (HookLine, Vec<Line>);

/// Takes up a question about a deployment. A CodeDeploy hook may be answered now or by a later tick; Amazon ECS gets its
/// reply here.
///
/// # Errors
/// For CodeDeploy when the hook could neither be kept nor answered; for news when the deployment could not be looked at, or
/// its rollout not be opened yet: ask again. Never for Amazon ECS, which takes an error for a refusal.
pub async fn hook(
    ports: &impl Ports,
    question: Question,
    now: Timestamp,
    budget: &impl Budget,
    settings: &Settings,
) -> Result<HookReport, Fault> {
    let context = Context { ports, budget, settings, now };
    match question {
        Question::CodeDeploy(hook) => context.called(hook).await,
        Question::Ecs(question) => Ok(context.asked_by_ecs(question).await),
        Question::News(deployment) => context.heard_of(deployment).await,
    }
}

impl<P: Ports, B: Budget> Context<'_, P, B> {
    async fn called(&self, hook: Hook) -> Result<HookReport, Fault> {
        let keep = self.guarded(self.budget.remaining() / 4, self.ports.keep_hook(&hook)).await;
        let kept = keep.unwrap_or_else(|cut| Err(cut.fault("keep_hook")));
        let (waiting, faults) = self.kept_hooks().await;
        let mut report = TickReport { faults, ..TickReport::at(self.now) };
        let calls = Calls::called(hook, waiting, self.now);
        self.settle_all(self.look_at(calls).await, &Attended::new(), &mut report).await;
        let answered = report.hooks.first().is_some_and(|line| line.answer.is_some());
        match kept {
            Err(fault) if !answered => Err(fault),
            Ok(()) | Err(_) => Ok(HookReport { reply: None, report }),
        }
    }

    /// The hooks that wait, and why they are not known.
    pub(super) async fn kept_hooks(&self) -> (Vec<Hook>, Vec<String>) {
        let read = self.guarded(self.budget.remaining() / 4, self.ports.hooks()).await;
        match read.unwrap_or_else(|cut| Err(cut.fault("hooks"))) {
            Ok(hooks) => (hooks, Vec::new()),
            Err(fault) => (Vec::new(), vec![format!("the hooks that wait could not be read: {fault}")]),
        }
    }

    /// Looks at the deployment of each.
    pub(super) async fn look_at(&self, calls: Calls) -> Vec<Call> {
        let Calls { hooks, newest } = calls;
        let looking = stream::iter(hooks).map(async |hook| {
            let deployment = self.deployment(&hook.deployment).await;
            let is_newest = newest.get(&hook.deployment) == Some(&hook.execution);
            let is_asked = is_newest && !hook.is_over(self.now);
            Call { hook, deployment, is_asked }
        });
        looking.buffered(CONCURRENT_ROLLOUTS).collect().await
    }

    pub(super) async fn deployment(&self, deployment: &DeploymentRef) -> Result<Deployment, LookError> {
        let looked = self.guarded(self.budget.remaining() / 4, self.ports.deployment(deployment)).await;
        looked.unwrap_or_else(|cut| Err(cut.fault("deployment").into()))
    }

    /// Answers whatever can be answered.
    pub(super) async fn settle_all(&self, calls: Vec<Call>, attended: &Attended, report: &mut TickReport) {
        let settling = stream::iter(calls).map(|call| self.settle(call, attended));
        for (line, lines) in settling.buffered(CONCURRENT_ROLLOUTS).collect::<Vec<Told>>().await {
            report.hooks.push(line);
            report.lines.extend(lines);
        }
    }

    async fn settle(&self, call: Call, attended: &Attended) -> Told {
        let (mut line, mut lines) = (HookLine::about(&call.hook.deployment), Vec::new());
        let wait = SLICE.min(self.budget.remaining());
        let answer = self.guarded(wait, self.reply(&call, attended, &mut line, &mut lines)).await;
        match answer.unwrap_or_else(|cut| Some(Reply::Wait(cut.to_string()))) {
            None => self.forget(&call.hook, &mut line).await,
            Some(Reply::Answer(answer)) => self.tell_service(&call.hook, answer, &mut line).await,
            Some(Reply::Wait(why)) if self.lets_wait(call.hook.received) && self.now < call.hook.answer_by() => {
                line.waiting = Some(why);
            }
            Some(Reply::Wait(why)) => {
                let answer = self.at_the_limit(&call.hook, &why).await;
                self.tell_service(&call.hook, answer, &mut line).await;
            }
        }
        (line, lines)
    }

    /// What a hook of CodeDeploy is told; nothing where nobody waits any more.
    async fn reply(
        &self,
        call: &Call,
        attended: &Attended,
        line: &mut HookLine,
        lines: &mut Vec<Line>,
    ) -> Option<Reply> {
        let deployment = match &call.deployment {
            Ok(deployment) => deployment,
            Err(error) => return Some(self.unseen(error, &call.hook.deployment, call.hook.received).await),
        };
        if deployment.state.has_ended() {
            line.did.push("it has ended, and nobody waits for an answer".to_owned());
            return None;
        }
        if call.hook.is_over(self.now) {
            line.did.push("its hour is over, and nobody waits for an answer".to_owned());
            return None;
        }
        if let Some(answer) = self.unjudged(deployment) {
            return Some(Reply::Answer(answer));
        }
        let asked = call.asked();
        let judged = match attended.get(deployment.reference.id()) {
            Some(saved) => self.stored(deployment, *saved).await,
            // It has its answer, and whoever asks now attends to the rollout.
            None if !call.is_asked => self.stored(deployment, true).await,
            None => self.judged(deployment, asked, None, line, lines).await,
        };
        let rollout = match judged {
            Ok(rollout) => rollout,
            Err(reply) => return Some(reply),
        };
        match asked {
            Some(asked) => Some(engine::answer(&rollout, &asked, self.settings.mode)),
            None if !was_let_go(&rollout) => Some(self.strictest_answer(&rollout)),
            None if self.now.since(call.hook.received) < FOUND_WITHIN => Some(Reply::Wait(NOT_WAITING.to_owned())),
            None => {
                line.did.push("it has its answer already".to_owned());
                None
            }
        }
    }

    /// Until it is known at which weight a deployment waits, only what holds at any weight is an answer.
    fn strictest_answer(&self, rollout: &Rollout) -> Reply {
        engine::answer(rollout, &Asked { at: Weight::FULL, until: None }, self.settings.mode)
    }

    /// Whoever only observes holds nothing up for long.
    fn lets_wait(&self, since: Timestamp) -> bool {
        self.settings.mode == Mode::Enforce || self.now.since(since) < FOUND_WITHIN
    }

    async fn tell_service(&self, hook: &Hook, answer: HookAnswer, line: &mut HookLine) {
        let told = self.guarded(SLICE.min(self.budget.remaining()), self.ports.answer(hook, &answer)).await;
        match told.unwrap_or_else(|cut| Err(cut.fault("answer"))) {
            Ok(()) => {
                line.answer = Some(answer);
                self.forget(hook, line).await;
            }
            Err(fault) => line.faults.push(fault.to_string()),
        }
    }

    /// Failing to forget is harmless: a hook that has its answer may be answered again, and only the newest one of a
    /// deployment is a question.
    async fn forget(&self, hook: &Hook, line: &mut HookLine) {
        let dropped = self.guarded(SLICE.min(self.budget.remaining()), self.ports.drop_hook(hook)).await;
        if let Err(fault) = dropped.unwrap_or_else(|cut| Err(cut.fault("drop_hook"))) {
            line.faults.push(fault.to_string());
        }
    }

    /// CodeDeploy waits no longer: an answer must be given by what is configured, without a verdict. A deployment whose
    /// checks before any traffic were never passed does not go on by that.
    async fn at_the_limit(&self, hook: &Hook, why: &str) -> HookAnswer {
        let loaded = self.guarded(SLICE.min(self.budget.remaining()), self.ports.load(hook.deployment.id())).await;
        let rollout = loaded.unwrap_or_else(|cut| Err(cut.fault("load"))).ok().flatten();
        if let Some(Reply::Answer(answer)) = rollout.as_ref().map(|rollout| self.strictest_answer(rollout)) {
            return answer;
        }
        if self.settings.mode == Mode::Observe {
            return HookAnswer { goes_on: true, why: unheld(why) };
        }
        let why = format!("no verdict within {}: {why}", Hook::LIMIT);
        let consents = |rollout: &Rollout| {
            let cleared = rollout.guest.as_ref().is_some_and(|guest| guest.may_leave.is_some());
            cleared && rollout.spec.undecided.no_data == Ending::Promote
        };
        if rollout.is_some_and(|rollout| consents(&rollout)) {
            return HookAnswer { goes_on: true, why };
        }
        self.refused(why)
    }

    async fn asked_by_ecs(&self, question: EcsQuestion) -> HookReport {
        let (mut line, mut lines) = (HookLine::about(&question.deployment), Vec::new());
        let reply = self.guarded(self.budget.remaining(), self.reply_to_ecs(&question, &mut line, &mut lines)).await;
        let reply = match reply.unwrap_or_else(|cut| Reply::Wait(cut.to_string())) {
            Reply::Wait(why) if !self.lets_wait(question.since) => go_on(&unheld(&why)),
            reply @ (Reply::Answer(_) | Reply::Wait(_)) => reply,
        };
        match &reply {
            Reply::Answer(answer) => line.answer = Some(answer.clone()),
            Reply::Wait(why) => line.waiting = Some(why.clone()),
        }
        let report = TickReport { lines, hooks: vec![line], ..TickReport::at(self.now) };
        HookReport { reply: Some(reply), report }
    }

    async fn reply_to_ecs(&self, question: &EcsQuestion, line: &mut HookLine, lines: &mut Vec<Line>) -> Reply {
        let shifting = matches!(question.stage, EcsStage::TestTrafficShift | EcsStage::ProductionTrafficShift);
        if shifting && question.weight == Some(Weight::ZERO) {
            return go_on("the traffic is being put back, which is not judged");
        }
        let deployment = match self.deployment(&question.deployment).await {
            Ok(deployment) => deployment,
            Err(error) => return self.unseen(&error, &question.deployment, question.since).await,
        };
        if let Some(answer) = self.unjudged(&deployment) {
            return Reply::Answer(answer);
        }
        if question.stage < EcsStage::PostTestTrafficShift {
            let reply = self.before_tests(&deployment, question.spec.as_ref()).await;
            return reply.unwrap_or_else(|refusal| {
                line.note_refusal(&refusal);
                refusal
            });
        }
        let at = match self.weight_at(question, &deployment).await {
            Ok(at) => at,
            Err(why) => return Reply::Wait(why),
        };
        let asked = Asked { at, until: None };
        let judged = self.judged(&deployment, Some(asked), question.spec.as_ref(), line, lines).await;
        judged.map_or_else(|reply| reply, |rollout| engine::answer(&rollout, &asked, self.settings.mode))
    }

    /// The new tasks may not even run yet, so nothing can be tested, and waiting for it would wait for ever. A spec that is
    /// wrong is told here, while nothing has been moved.
    async fn before_tests(&self, deployment: &Deployment, inline: Option<&FoundSpec>) -> Result<Reply, Reply> {
        if deployment.shift.is_some() {
            self.spec_of(deployment, inline).await?;
        }
        Ok(go_on("there is nothing to judge before the new tasks can be tested"))
    }

    /// The weight at which it waits: that which is live, for a payload may tell the one that is next.
    async fn weight_at(&self, question: &EcsQuestion, deployment: &Deployment) -> Result<Weight, String> {
        if question.stage < EcsStage::PreProductionTrafficShift {
            return Ok(Weight::ZERO);
        }
        if question.stage == EcsStage::PostProductionTrafficShift {
            return Ok(Weight::FULL);
        }
        let Some(shift) = &deployment.shift else { return Err(NOT_SAID_YET.to_owned()) };
        let live = match self.ports.look(&shift.target).await {
            Ok(routing) => match routing.split(&shift.baseline, &shift.canary) {
                Split::Ours(weight) => Ok(weight),
                Split::Uneven { .. } | Split::Foreign => Err(format!("the live weights are {routing}")),
            },
            Err(error) => Err(error.to_string()),
        };
        live.or_else(|why| question.weight.ok_or(why))
    }

    async fn heard_of(&self, reference: DeploymentRef) -> Result<HookReport, Fault> {
        let (mut line, mut lines) = (HookLine::about(&reference), Vec::new());
        let heard = self.guarded(self.budget.remaining(), self.take_up(&reference, &mut line, &mut lines)).await;
        heard.unwrap_or_else(|cut| Err(cut.fault("deployment")))?;
        let report = TickReport { lines, hooks: vec![line], ..TickReport::at(self.now) };
        Ok(HookReport { reply: None, report })
    }

    /// News of a deployment: its rollout is opened, or attended to.
    async fn take_up(
        &self,
        reference: &DeploymentRef,
        line: &mut HookLine,
        lines: &mut Vec<Line>,
    ) -> Result<(), Fault> {
        let deployment = match self.ports.deployment(reference).await {
            Ok(deployment) => deployment,
            Err(LookError::NotFound(why)) => {
                line.did.push(format!("not judged: {why}"));
                return Ok(());
            }
            Err(LookError::Fault(fault)) => return Err(fault),
        };
        if let Some(answer) = self.unjudged(&deployment) {
            line.did.push(format!("not judged: {}", answer.why));
            return Ok(());
        }
        match self.judged(&deployment, None, None, line, lines).await {
            Ok(_) => Ok(()),
            // Asked again, it would be the same: it is over, or its spec is wrong.
            Err(Reply::Answer(answer)) => {
                line.did.push(format!("not judged: {}", answer.why));
                Ok(())
            }
            Err(Reply::Wait(why)) => Err(Fault::new("deployment", FaultKind::Failed, why)),
        }
    }

    /// The rollout of a deployment, attended to, as it is stored then; or what is told without one.
    async fn judged(
        &self,
        deployment: &Deployment,
        asked: Option<Asked>,
        inline: Option<&FoundSpec>,
        line: &mut HookLine,
        lines: &mut Vec<Line>,
    ) -> Result<Rollout, Reply> {
        let rollout = match accompany(self, deployment, inline).await {
            Accompanied::By(rollout) => *rollout,
            Accompanied::Opened(rollout, warnings) => {
                line.did.push(format!("opened rollout {}", rollout.id));
                line.warnings.extend(warnings.iter().map(ToString::to_string));
                *rollout
            }
            Accompanied::Over => return Err(go_on("it has ended, and nothing of it was judged")),
            Accompanied::Nobody(reply) => {
                line.note_refusal(&reply);
                return Err(reply);
            }
        };
        let mut saved = true;
        if rollout.is_active() {
            let visit = Visit { deployment: Seen::Known(deployment.clone()), asked };
            let visits = Visits::from([(rollout.id.clone(), visit)]);
            let attended = self.attend_all(vec![rollout], false, &visits).await.lines;
            saved = attended.iter().all(|line| !line.unsaved);
            lines.extend(attended);
        }
        self.stored(deployment, saved).await
    }

    /// The rollout as it is stored. Where something else was decided and could not be saved, it is no consent.
    async fn stored(&self, deployment: &Deployment, saved: bool) -> Result<Rollout, Reply> {
        match self.ports.load(deployment.reference.id()).await {
            Ok(Some(rollout)) => {
                let stops = matches!(self.strictest_answer(&rollout), Reply::Answer(HookAnswer { goes_on: false, .. }));
                let consents = saved || stops || self.settings.mode == Mode::Observe;
                if consents { Ok(rollout) } else { Err(Reply::Wait("what was decided could not be saved".to_owned())) }
            }
            Ok(None) => Err(Reply::Wait("its rollout is not stored yet".to_owned())),
            Err(fault) => Err(Reply::Wait(fault.to_string())),
        }
    }

    /// What is told of a deployment in which there is nothing to judge.
    fn unjudged(&self, deployment: &Deployment) -> Option<HookAnswer> {
        if deployment.rolls_back {
            let why = "it puts the old version back, which is not judged".to_owned();
            return Some(HookAnswer { goes_on: true, why });
        }
        match deployment.unjudged.clone()? {
            Unjudged::Alone(why) => Some(HookAnswer { goes_on: true, why }),
            Unjudged::Foreign(why) => Some(self.refused(why)),
        }
    }

    /// What is told of a deployment that cannot be seen. One that is judged already is there, whatever a look says.
    async fn unseen(&self, error: &LookError, deployment: &DeploymentRef, since: Timestamp) -> Reply {
        let why = match error {
            LookError::NotFound(why) => why,
            LookError::Fault(fault) => return Reply::Wait(fault.to_string()),
        };
        let overdue = self.now.since(since) >= FOUND_WITHIN;
        if overdue && matches!(self.ports.load(deployment.id()).await, Ok(None)) {
            return Reply::Answer(self.refused(why.clone()));
        }
        Reply::Wait(why.clone())
    }

    /// A deployment that cannot be judged does not go on, unless this controller only observes.
    pub(super) fn refused(&self, why: String) -> HookAnswer {
        match self.settings.mode {
            Mode::Enforce => HookAnswer { goes_on: false, why },
            Mode::Observe => HookAnswer { goes_on: true, why: format!("observe mode: would have stopped it: {why}") },
        }
    }
}

const NOT_WAITING: &str = "its service does not wait for an answer";

/// Whether the traffic has begun to move, and not all of it has: there is no hook on the way, so one that waits has its
/// answer, and whoever gave it was killed, or the call came twice.
fn was_let_go(rollout: &Rollout) -> bool {
    let last = rollout.weights.last().map_or(Weight::ZERO, |seen| seen.weight);
    last > Weight::ZERO && last < Weight::FULL
}

fn unheld(why: &str) -> String {
    format!("observe mode: nothing is held up, though {why}")
}

fn go_on(why: &str) -> Reply {
    Reply::Answer(HookAnswer { goes_on: true, why: why.to_owned() })
}

/// What the hooks ask of the rollouts that are attended to anyway.
pub(super) fn visits(calls: &[Call]) -> Visits {
    let visit = |call: &Call| {
        let deployment = match &call.deployment {
            Ok(deployment) => Seen::Known(deployment.clone()),
            Err(error) => Seen::Missing(error.to_string()),
        };
        (call.hook.deployment.id().to_owned(), Visit { deployment, asked: call.asked() })
    };
    calls.iter().map(visit).collect()
}
