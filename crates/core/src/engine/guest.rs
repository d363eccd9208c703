//! A rollout that judges another service's deployment: it never sets a weight. It says whether a weight may be left, and
//! stops the deployment.

use super::live::{Bake, SILENCE_MINUTES, baking, danger, doubt, end_undecided, hold_for_harm};
use super::{Draft, Effect, alone_since, follow, health, observe, pending, retreat, settled_before};
use crate::analysis::Verdict;
use crate::deployment::{Asked, DeploymentRef, DeploymentState, Hook, HookAnswer, Reply};
use crate::observation::{Split, TestOutcome};
use crate::report;
use crate::rollout::{Fence, PauseReason, Phase, RollBackEnd, Rollout, UndecidedWhy, Why};
use crate::spec::{Advance, CheckMode, Ending, Mode, OnNoData, Target};
use crate::units::{Minute, Span, Timestamp, Weight};
use crate::way_out;

/// An answer that has not ended the deployment by then may have been denied: it is stopped.
const ANSWER_TAKES: Span = Span::from_minutes(2);

/// What a hook of the deployment is told, from what is stored: asked again, it is told the same. `mode` is that of the
/// controller.
#[must_use]
pub fn answer(rollout: &Rollout, asked: &Asked, mode: Mode) -> Reply {
    if mode == Mode::Observe || rollout.spec.mode == Mode::Observe {
        return go_on("observe mode: nothing is stopped");
    }
    // A look that lags may tell a weight that was left before.
    let at = asked.at.max(weight(rollout));
    match &rollout.phase {
        Phase::Promoted { .. } => go_on(&consent(rollout)),
        Phase::RollingBack { why, .. } | Phase::RolledBack { why, .. } | Phase::Superseded { why, .. } => {
            Reply::Answer(HookAnswer { goes_on: false, why: report::sentence(why) })
        }
        Phase::Pending { .. } | Phase::Shifting { .. } | Phase::Baking { .. } | Phase::Promoting { .. }
            if lets_go(rollout, at) =>
        {
            go_on(&consent(rollout))
        }
        Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Paused { .. }
        | Phase::Promoting { .. } => {
            Reply::Wait(format!("rollout {} {}", rollout.id, report::standing(&rollout.phase)))
        }
    }
}

fn go_on(why: &str) -> Reply {
    Reply::Answer(HookAnswer { goes_on: true, why: why.to_owned() })
}

/// The newest reason for letting the deployment go on.
fn consent(rollout: &Rollout) -> String {
    let consents = |why: &Why| {
        matches!(
            why,
            Why::Cleared
                | Why::Proven { .. }
                | Why::NoHarm { .. }
                | Why::WatchOver { .. }
                | Why::PromotedBy { .. }
                | Why::Undecided { .. }
                | Why::PauseOver { .. }
                | Why::DeploymentEnded { .. }
        )
    };
    let newest = rollout.history.iter().rev().find(|event| consents(&event.why));
    newest.map_or_else(|| "it may go on".to_owned(), |event| report::sentence(&event.why))
}

/// Whether the deployment's new version is proven worse: what the metric of its verdict says.
#[must_use]
pub fn proven_worse(rollout: &Rollout) -> bool {
    match &rollout.phase {
        Phase::RollingBack { why, .. } | Phase::RolledBack { why, .. } => {
            matches!(why, Why::Harm { .. } | Why::Unhealthy { .. })
        }
        Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Paused { .. }
        | Phase::Promoting { .. }
        | Phase::Promoted { .. }
        | Phase::Superseded { .. } => false,
    }
}

pub(super) fn decide(draft: &mut Draft<'_>, observed: bool) {
    if let Phase::RollingBack { .. } = draft.before.phase {
        turn_back(draft, observed);
    } else if let Phase::Pending { behind: Some(_), .. } = draft.before.phase {
        queued(draft, observed);
    } else if !ended(draft, observed) {
        match (&draft.before.phase, observed) {
            (_, true) => watch(draft),
            (Phase::Pending { .. }, false) => before_traffic(draft),
            (_, false) => judge(draft),
        }
    }
}

/// Behind another rollout, which the deployment does not wait for.
fn queued(draft: &mut Draft<'_>, observed: bool) {
    let over = draft.seen.deployment.known().filter(|deployment| deployment.state.has_ended());
    if let Some(deployment) = over {
        draft.supersede(ended_why(&deployment.reference, &deployment.state));
    } else if is_overdue(draft) && !observed {
        end_undecided(draft, UndecidedWhy::Stuck, Hook::LIMIT);
    } else if let Some(holder) = draft.seen.target_held_by.clone() {
        draft.hold(format!("waits for rollout {holder} to end"));
    } else {
        draft.enter(Phase::Pending { since: draft.now(), behind: None, ready: false }, Why::Ready);
    }
}

fn ended_why(deployment: &DeploymentRef, state: &DeploymentState) -> Why {
    Why::DeploymentEnded { deployment: deployment.clone(), state: state.clone() }
}

/// With the deployment ends what there was to judge.
fn ended(draft: &mut Draft<'_>, observed: bool) -> bool {
    let Some(deployment) = draft.seen.deployment.known() else { return false };
    let why = ended_why(&deployment.reference, &deployment.state);
    let paused_for_good = matches!(draft.before.phase, Phase::Paused { until, .. } if draft.now() >= until);
    match &deployment.state {
        DeploymentState::Waiting | DeploymentState::InProgress => return false,
        DeploymentState::Failed { .. } | DeploymentState::Stopped { .. } => {
            draft.roll_back(why, RollBackEnd::RolledBack);
        }
        // Nothing is held up by watching until what was compared has been read.
        DeploymentState::Succeeded if observed && !has_settled(draft) => return false,
        // What came too late to be stopped is said, and not that all is well.
        DeploymentState::Succeeded if !observed && !draft.next.weights.is_empty() && danger(draft) => {}
        DeploymentState::Succeeded => match draft.split() {
            Some((_, Split::Ours(Weight::FULL))) => {
                follow::note(draft, Weight::FULL);
                draft.enter(Phase::Promoted { at: draft.now() }, why);
            }
            Some((routing, Split::Foreign)) => draft.supersede(Why::TakenOver { found: routing.to_string() }),
            _ if paused_for_good || is_overdue(draft) || spent(draft) >= draft.next.spec.deadline => {
                draft.supersede(why);
            }
            _ => draft.hold("the deployment has succeeded, and all traffic is not seen on the new version yet"),
        },
    }
    true
}

/// Whether the minutes before 100 % are old enough to be judged for good.
fn has_settled(draft: &Draft<'_>) -> bool {
    alone_since(&draft.next).is_some_and(|alone| alone < settled_before(&draft.next, draft.now()))
}

fn spent(draft: &Draft<'_>) -> Span {
    draft.next.clock.spent_at(draft.now())
}

/// No traffic was seen yet. It begins when the deployment's service begins.
fn before_traffic(draft: &mut Draft<'_>) {
    let live = follow::live_weight(draft);
    if draft.next.is_terminal() {
        return;
    }
    let has_begun = live.is_some_and(|weight| weight > Weight::ZERO);
    if !is_cleared(draft.before) {
        clear(draft, has_begun);
        if draft.next.phase != draft.before.phase {
            return;
        }
    }
    if let Some(weight) = live.filter(|_| has_begun) {
        follow::follow(draft, weight);
    } else if !given_up(draft) && is_late(draft, Weight::ZERO) {
        end_undecided(draft, UndecidedWhy::Stuck, limit(draft));
    } else if is_cleared(&draft.next) {
        draft.hold("the deployment may begin to shift traffic, and has not yet");
    }
}

/// Whether the checks before any traffic are done, of a deployment. A rollout of our own is not asked.
pub(super) fn is_cleared(rollout: &Rollout) -> bool {
    rollout.guest.as_ref().is_some_and(|guest| guest.may_leave.is_some())
}

/// Everything that is asked before any traffic. Where there is traffic already, it is judged, whatever is missing here; the
/// tests are run once all the same.
fn clear(draft: &mut Draft<'_>, has_begun: bool) {
    let Phase::Pending { since, ready, .. } = draft.before.phase else { return };
    let learned = pending::learn(draft);
    let prepared = pending::check_version(draft) && pending::check_alarms(draft) && learned;
    let tests = !draft.next.spec.tests.is_empty();
    if draft.next.phase != draft.before.phase {
        return;
    }
    if tests && !ready {
        if prepared || has_begun {
            draft.next.phase = Phase::Pending { since, behind: None, ready: true };
        }
        return;
    }
    let passed = !tests || pending::check_tests(draft);
    if passed && prepared {
        let_go(draft, Weight::ZERO, Why::Cleared);
    }
}

/// While there is traffic, or has been.
fn judge(draft: &mut Draft<'_>) {
    let live = follow::live_weight(draft);
    if draft.next.is_terminal() {
        return;
    }
    let has_begun = live.is_some_and(|weight| weight > Weight::ZERO) || !draft.next.weights.is_empty();
    if has_begun && danger(draft) || live.is_some_and(|weight| moved(draft, weight)) || time_is_over(draft) {
        return;
    }
    draft.hold_blind();
    let back = has_begun && live == Some(Weight::ZERO);
    match draft.before.phase.clone() {
        Phase::Baking { .. } | Phase::Promoting { .. } if back => {
            draft.hold("all traffic is on the old version again, and the deployment has not ended");
            given_up(draft);
        }
        Phase::Baking { step, since, proof, approved } => {
            let weight = weight(&draft.next);
            if lets_go(&draft.next, weight) {
                draft.hold(format!("{weight} may be left; the deployment goes on by itself"));
            } else {
                baking(draft, &Bake { step, since, proof, approved });
            }
        }
        Phase::Promoting { live_since: Some(since), .. } => promoting(draft, since),
        Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Paused { .. }
        | Phase::Promoting { .. }
        | Phase::RollingBack { .. }
        | Phase::Promoted { .. }
        | Phase::RolledBack { .. }
        | Phase::Superseded { .. } => {}
    }
}

/// Follows a weight, if it is another one than before. Traffic that is back ends nothing as long as the deployment goes on:
/// a look may have been an old one. A pause goes on whatever others do.
fn moved(draft: &mut Draft<'_>, weight: Weight) -> bool {
    let has_begun = weight > Weight::ZERO || !draft.next.weights.is_empty();
    let paused = matches!(draft.before.phase, Phase::Paused { .. });
    if has_begun && (paused || weight == Weight::ZERO) {
        follow::note(draft, weight);
        return false;
    }
    follow::follow(draft, weight)
}

/// The canary's weight that was seen last.
pub(super) fn weight(rollout: &Rollout) -> Weight {
    rollout.weights.last().map_or(Weight::ZERO, |seen| seen.weight)
}

/// Whether the deployment may leave this weight.
fn lets_go(rollout: &Rollout, weight: Weight) -> bool {
    rollout.guest.as_ref().is_some_and(|guest| guest.may_leave >= Some(weight))
}

/// Lets the deployment leave a weight, and records why.
pub(super) fn let_go(draft: &mut Draft<'_>, weight: Weight, why: Why) {
    if !lets_go(&draft.next, weight) {
        grant(&mut draft.next, weight);
        draft.note(why);
    }
}

pub(super) fn grant(rollout: &mut Rollout, weight: Weight) {
    if let Some(guest) = &mut rollout.guest {
        guest.may_leave = guest.may_leave.max(Some(weight));
    }
}

/// Lets it go through to its end. At 100 % CodeDeploy has nothing left to do then, and its deployment is as good as ended;
/// ECS bakes, and can still be stopped.
pub(super) fn let_all(draft: &mut Draft<'_>, why: Why) {
    let now = draft.now();
    let at_end = matches!(draft.next.phase, Phase::Promoting { .. });
    if at_end && runs_by_the_clock(&draft.next) {
        grant(&mut draft.next, Weight::FULL);
        draft.enter(Phase::Promoted { at: now }, why);
    } else if let Phase::Paused { .. } = draft.next.phase {
        grant(&mut draft.next, Weight::FULL);
        let phase = resumed(&draft.next, now);
        draft.enter(phase, why);
    } else {
        let_go(draft, Weight::FULL, why);
    }
}

/// CodeDeploy's deployments can be stopped, and not be held.
pub(super) fn runs_by_the_clock(rollout: &Rollout) -> bool {
    let deployment = rollout.guest.as_ref().map(|guest| &guest.deployment);
    matches!(deployment, Some(DeploymentRef::CodeDeploy(_)))
}

/// What the spec's wish for an undecided rollout comes to: what cannot be held gets what ends a pause.
pub(super) fn possible(rollout: &Rollout, ending: Ending) -> Ending {
    let at_end = matches!(rollout.phase, Phase::Promoting { .. });
    match (ending, rollout.spec.pause.then) {
        (Ending::Pause, then) if rollout.guest.is_some() && (at_end || runs_by_the_clock(rollout)) => match then {
            Ending::Pause => Ending::RollBack,
            Ending::Promote | Ending::RollBack => then,
        },
        _ => ending,
    }
}

/// Whether the deployment must have its answer, and has none.
fn is_overdue(draft: &Draft<'_>) -> bool {
    let over = |asked: &Asked| asked.until.is_some_and(|until| draft.now() >= until);
    let waits = |asked: &Asked| matches!(answer(&draft.next, asked, draft.seen.mode), Reply::Wait(_));
    draft.seen.asked.as_ref().is_some_and(|asked| over(asked) && waits(asked))
}

/// Whether the time to let the deployment leave this weight is over.
fn is_late(draft: &Draft<'_>, weight: Weight) -> bool {
    is_overdue(draft) || spent(draft) >= draft.next.spec.deadline && !lets_go(&draft.next, weight)
}

/// The limit that is over.
fn limit(draft: &Draft<'_>) -> Span {
    if is_overdue(draft) { Hook::LIMIT } else { draft.next.spec.deadline }
}

fn time_is_over(draft: &mut Draft<'_>) -> bool {
    match draft.before.phase.clone() {
        Phase::Paused { until, then, .. } if draft.now() >= until || is_overdue(draft) => {
            end_pause(draft, if then == Ending::Pause { Ending::RollBack } else { then });
            true
        }
        Phase::Baking { .. } if is_late(draft, weight(&draft.next)) => {
            end_undecided(draft, doubt(draft), limit(draft));
            true
        }
        Phase::Promoting { .. } if is_late(draft, Weight::FULL) => {
            end_undecided(draft, doubt(draft), limit(draft));
            true
        }
        Phase::Baking { .. } => given_up(draft),
        Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Paused { .. }
        | Phase::Promoting { .. }
        | Phase::RollingBack { .. }
        | Phase::Promoted { .. }
        | Phase::RolledBack { .. }
        | Phase::Superseded { .. } => false,
    }
}

/// A deployment that may go on, and has not within another deadline, is left to itself.
fn given_up(draft: &mut Draft<'_>) -> bool {
    let deadline = draft.next.spec.deadline;
    let over = spent(draft) >= deadline.plus(deadline);
    if let Some(guest) = draft.next.guest.clone().filter(|_| over) {
        draft.supersede(ended_why(&guest.deployment, &DeploymentState::InProgress));
    }
    over
}

/// Nobody ended the pause.
fn end_pause(draft: &mut Draft<'_>, then: Ending) {
    let why = Why::PauseOver { then };
    match (then, &draft.before.phase) {
        (Ending::RollBack | Ending::Pause, _) => draft.roll_back(why, RollBackEnd::RolledBack),
        (Ending::Promote, Phase::Paused { why: PauseReason::Undecided(_), .. }) => let_all(draft, why),
        (Ending::Promote, _) => {
            let phase = resumed(&draft.next, draft.now());
            draft.enter(phase, why);
        }
    }
}

/// What goes on after a pause: others may have moved the traffic meanwhile.
pub(super) fn resumed(rollout: &Rollout, now: Timestamp) -> Phase {
    match weight(rollout) {
        Weight::ZERO => Phase::Pending { since: now, behind: None, ready: false },
        weight => follow::phase_at(rollout, weight, now),
    }
}

/// All traffic is on the new version. The hook after it, if there is one, waits for this.
fn promoting(draft: &mut Draft<'_>, live_since: Timestamp) {
    let (watch, watched) = (draft.next.spec.after.watch, draft.now().since(live_since));
    if lets_go(&draft.next, Weight::FULL) {
        draft.hold("the deployment may end, and has not yet");
        if watched >= watch.plus(draft.next.spec.deadline) {
            draft.enter(Phase::Promoted { at: draft.now() }, Why::WatchOver { watched });
        }
        return;
    }
    health::ailing(draft).into_iter().for_each(|why| draft.hold(why));
    hold_for_harm(draft);
    if let Some(why) = uncompared(draft) {
        draft.hold(why);
    }
    let needs_proof = draft.next.spec.steps.last().is_some_and(|step| step.advance == Advance::OnProof);
    let rest = watch.minus(watched);
    let why = if was_proven(draft) {
        Why::Proven { sentences: Vec::new() }
    } else if needs_proof {
        draft.hold("the minutes before 100 % do not prove it");
        return;
    } else if rest > Span::ZERO {
        draft.hold(format!("watched at 100 % for another {rest}"));
        return;
    } else {
        Why::WatchOver { watched }
    };
    if draft.holding.is_empty() {
        draft.based_on_analysis = true;
        let_all(draft, why);
    }
}

/// What is missing of the minutes in which both versions had traffic: harm would not have shown in them. Where all traffic
/// moves at once there are none.
fn uncompared(draft: &Draft<'_>) -> Option<&'static str> {
    if draft.next.spec.steps.is_empty() {
        return None;
    }
    if !has_settled(draft) {
        return Some("the minutes before 100 % have not all been read yet");
    }
    let alone = alone_since(&draft.next);
    let counting = draft.analysis.map(|analysis| {
        let checks = analysis.comparisons.iter().zip(&draft.next.plan.checks);
        checks.filter(|(_, check)| check.mode != CheckMode::Observe && check.on_no_data != OnNoData::Ignore)
    });
    let silent = |newest: Option<Minute>| newest.is_none_or(|newest| Some(newest.plus(SILENCE_MINUTES)) < alone);
    let unseen = counting.is_none_or(|mut checks| checks.any(|(comparison, _)| silent(comparison.newest)));
    unseen
        .then_some("no data of both versions from before 100 %, though there should be some: harm would not have shown")
}

/// Whether the minutes with traffic on both versions are a Pass, and have been settled for a minute: what came late then
/// has been seen, too.
fn was_proven(draft: &Draft<'_>) -> bool {
    draft.seen.passes_before.is_some() && draft.seen.passes_before == alone_since(&draft.next) && has_settled(draft)
}

/// Stops the deployment, unless it has ended. Where the answer to its hook is about to tell it, it is stopped only if that
/// cannot be recorded.
pub(super) fn stop(draft: &mut Draft<'_>) {
    let Some(guest) = &draft.next.guest else { return };
    // A deployment that puts the old version back already must not be disturbed.
    let over = draft.seen.deployment.known().is_some_and(|seen| seen.state.has_ended() || seen.rolls_back);
    if over {
        return;
    }
    let told = is_told(draft);
    draft.effects.push(Effect::Stop { deployment: guest.deployment.clone(), told });
    if told {
        return;
    }
    // Once for each moment that is acted on: a tick looks several times.
    draft.next.now = draft.now();
    if let Phase::RollingBack { fence, .. } = &mut draft.next.phase {
        *fence = Fence::Read { revision: None };
    }
}

/// Whether the deployment waits, at its present weight, for the answer of a hook, and that has had no time yet to arrive.
fn is_told(draft: &Draft<'_>) -> bool {
    let live = draft.split().map(|(_, split)| split);
    let now = draft.now();
    let late = matches!(draft.next.phase, Phase::RollingBack { since, .. } if now.since(since) >= ANSWER_TAKES);
    !late && draft.seen.asked.is_some_and(|asked| live == Some(Split::Ours(asked.at)))
}

/// Its service puts the old version back; until that is seen, it is told to stop.
fn turn_back(draft: &mut Draft<'_>, observed: bool) {
    let Phase::RollingBack { since, why, fence, ends_as } = draft.before.phase.clone() else { return };
    let state = draft.seen.deployment.known().map(|deployment| deployment.state.clone());
    let over = state.as_ref().is_some_and(DeploymentState::has_ended);
    note_end(draft);
    draft.hold_blind();
    let is_new = fence == Fence::Open || draft.now() > draft.before.now;
    if is_new && !observed && draft.next.phase == draft.before.phase {
        stop(draft);
    }
    let late = draft.now().since(since) >= draft.next.spec.deadline;
    match draft.split() {
        Some((routing, split)) if retreat::is_back(routing, split) && (over || late) => {
            retreat::finish(draft, &why, ends_as);
        }
        Some((routing, Split::Foreign)) if over || late => {
            draft.supersede(Why::TakenOver { found: routing.to_string() });
        }
        live if late || state == Some(DeploymentState::Succeeded) && live.is_some() => {
            let found = live.map_or_else(|| "nobody knows what".to_owned(), |(routing, _)| routing.to_string());
            left(draft, found);
        }
        _ if over => draft.hold("the deployment has ended; its service has not put the old version back yet"),
        _ if is_told(draft) => draft.hold("the answer to its hook ends the deployment"),
        _ => draft.hold("the deployment is being stopped"),
    }
}

/// Once, for the table of what deployments came to.
fn note_end(draft: &mut Draft<'_>) {
    let Some(deployment) = draft.seen.deployment.known().filter(|deployment| deployment.state.has_ended()) else {
        return;
    };
    let noted = draft.next.history.iter().any(|event| matches!(event.why, Why::DeploymentEnded { .. }));
    if !noted {
        draft.note(ended_why(&deployment.reference, &deployment.state));
    }
}

/// What nobody puts back, a person must.
fn left(draft: &mut Draft<'_>, found: String) {
    let Some(guest) = &draft.next.guest else { return };
    let by_hand = match &draft.next.spec.target {
        Target::Lambda(alias) => way_out::put_back(alias, &draft.next.baseline),
        Target::Alb(_) => "deploy the old version of the service again".to_owned(),
    };
    let deployment = guest.deployment.clone();
    draft.supersede(Why::NotPutBack { deployment, found, by_hand });
}

/// Observe mode: everything is judged and reported, and nothing is stopped.
fn watch(draft: &mut Draft<'_>) {
    draft.hold("observe mode: nothing is stopped");
    observe::note_what_would_be_done(draft);
    let live = follow::live_weight(draft);
    if draft.next.is_terminal() {
        return;
    }
    if let Phase::Pending { since, ready, .. } = draft.before.phase {
        pending::learn(draft);
        note_tests(draft);
        if !ready {
            draft.next.phase = Phase::Pending { since, behind: None, ready: true };
            return;
        }
    }
    if live.is_some_and(|weight| moved(draft, weight)) {
        return;
    }
    if let Phase::Promoting { live_since: Some(since), .. } = draft.before.phase {
        let watched = draft.now().since(since);
        if watched >= draft.next.spec.after.watch.plus(draft.next.spec.deadline) {
            draft.enter(Phase::Promoted { at: draft.now() }, Why::WatchOver { watched });
        }
    } else {
        given_up(draft);
    }
}

/// The tests are run and reported, not obeyed.
fn note_tests(draft: &mut Draft<'_>) {
    let Some(outcomes) = draft.seen.tests.known() else { return };
    let failed = outcomes.iter().find_map(|outcome| match outcome {
        TestOutcome::Passed => None,
        TestOutcome::Failed(what) => Some(what.clone()),
    });
    match failed {
        None => let_go(draft, Weight::ZERO, Why::Cleared),
        Some(what) => {
            let why = report::sentence(&Why::TestFailed { what });
            observe::note_would_have(draft, Verdict::Fail, format!("rolled back: {why}"));
        }
    }
}
