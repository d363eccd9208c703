//! While the canary has, or may have, traffic: danger first, then who owns the target, then time, then progress.

use super::{Draft, auto, detach, guest, health, pending, retreat::QUIET, switch, transition};
use crate::analysis::{Doubt, Samples, Verdict, settled_digest};
use crate::observation::Split;
use crate::rollout::{Held, PauseReason, Phase, Proof, RollBackEnd, Rollout, UndecidedWhy, WeightSeen, Why};
use crate::spec::{Advance, CheckMode, Ending, OnNoData, Step};
use crate::units::{Minute, Span, Timestamp, Weight};

/// A version may go this long without a request, and so without data, on a quiet function.
pub(super) const SILENCE_MINUTES: i64 = 15;

/// A promotion that is not live by then is stuck: setting a weight takes a tick, and provisioned concurrency minutes.
const PROMOTION_TAKES: Span = Span::from_minutes(10);

/// Between two looks that are compared; an alarm's event may bring another look within seconds, which sees nothing new.
const LOOKS_APART: Span = Span::from_seconds(30);

pub(super) fn decide(draft: &mut Draft<'_>) {
    if taken_over(draft) || danger(draft) || give_way(draft) || time_is_over(draft) {
        return;
    }
    draft.hold_blind();
    match draft.before.phase.clone() {
        Phase::Shifting { step, since, .. } => shifting(draft, step, since),
        Phase::Baking { step, since, proof, approved } => baking(draft, &Bake { step, since, proof, approved }),
        Phase::Promoting { live_since, since, .. } => promoting(draft, since, live_since),
        Phase::Paused { since, .. } => paused(draft, since),
        Phase::Pending { .. }
        | Phase::RollingBack { .. }
        | Phase::Promoted { .. }
        | Phase::RolledBack { .. }
        | Phase::Superseded { .. } => {}
    }
}

/// Somebody else's weights: touch nothing. A split between our own two versions is still rolled back when the new one
/// is proven worse or an alarm rings: it is our release that does the harm.
fn taken_over(draft: &mut Draft<'_>) -> bool {
    let Some((routing, split)) = draft.split() else { return false };
    if switch::has_fired(draft, &expected(draft)) {
        draft.roll_back(Why::SwitchFired, RollBackEnd::RolledBack);
        return true;
    }
    let ours = match split {
        Split::Ours(weight) => routing.in_transition || expected(draft).contains(&weight) || in_danger(draft),
        Split::Uneven { low, high } => {
            let expected = [expected(draft), left_behind(&draft.next)].concat();
            expected.contains(&low) && expected.contains(&high) || in_danger(draft)
        }
        Split::Foreign => routing.in_transition,
    };
    let found = routing.to_string();
    if ours {
        seen_as_known(draft);
        return false;
    }
    match routing.still_ours(&draft.next.baseline, &draft.next.canary) {
        // They took some of the rules. What goes through the others would stay as it is, and nobody would look after it.
        Some(weight) if split == Split::Foreign && weight > Weight::ZERO => {
            draft.roll_back(Why::PartlyTaken { found }, RollBackEnd::Superseded);
        }
        Some(_) | None if !seen_again(draft, &found) => {}
        // Nor after what a write of our own does that was thought to be lost, or of which the table has forgotten.
        Some(_) | None if is_stray(draft, split) => {
            draft.roll_back(Why::PartlyTaken { found }, RollBackEnd::Superseded);
        }
        Some(_) | None => draft.supersede(Why::TakenOver { found }),
    }
    true
}

/// Whether it is our own all the same: a weight that this rollout wanted so lately that a write of it may have come late, or
/// one of its steps, of which a table that was put back does not know; with `auto` that may be any.
fn is_stray(draft: &Draft<'_>, split: Split) -> bool {
    let (low, high) = match split {
        Split::Uneven { low, high } => (low, high),
        Split::Ours(weight) if weight > Weight::ZERO && weight < Weight::FULL => (weight, weight),
        Split::Ours(_) | Split::Foreign => return false,
    };
    let since = draft.next.strange_since.unwrap_or(draft.now()) - QUIET;
    let history = &draft.next.history;
    let first = history.iter().rposition(|event| event.at <= since).unwrap_or(0);
    let lately = |weight| history.iter().skip(first).any(|event| event.weight == weight);
    let chosen = draft.next.plan.auto.is_some();
    let is_own = |weight| chosen || lately(weight) || draft.next.spec.steps.iter().any(|step| step.weight == weight);
    is_own(low) && is_own(high)
}

/// By a later look than the one that was strange: within one tick a rollout is not saved to and fro.
pub(super) fn seen_as_known(draft: &mut Draft<'_>) {
    let now = draft.now();
    draft.next.strange_since = draft.next.strange_since.filter(|since| now.since(*since) < LOOKS_APART);
}

/// A look may be answered from before our own last write, when another rollout may have had the target, and whoever left on its
/// word would leave the traffic split.
pub(super) fn seen_again(draft: &mut Draft<'_>, found: &str) -> bool {
    let now = draft.now();
    let since = *draft.next.strange_since.get_or_insert(now);
    let again = now.since(since) >= LOOKS_APART;
    if !again {
        draft.hold(format!(
            "{found} is live, which was not set here; if it is so in the next minute, others have set it"
        ));
    }
    again
}

/// The weights that we may have brought about ourselves.
fn expected(draft: &Draft<'_>) -> Vec<Weight> {
    let rollout = &draft.next;
    match &rollout.phase {
        Phase::Shifting { step, from, .. } | Phase::Paused { held: Held::Step { step, from }, .. } => {
            vec![*from, rollout.weight_of_step(*step)]
        }
        Phase::Baking { step, .. } => vec![rollout.weight_of_step(*step)],
        Phase::Promoting { live_since: Some(_), .. } => vec![Weight::FULL],
        // The step that a person's command cut short may not have been live yet: then it is still the weight before it.
        Phase::Promoting { live_since: None, from, .. } => {
            let seen_last = rollout.weights.last().map_or(Weight::ZERO, |seen| seen.weight);
            vec![*from, seen_last, Weight::FULL]
        }
        Phase::Pending { .. }
        | Phase::Paused { .. }
        | Phase::RollingBack { .. }
        | Phase::Promoted { .. }
        | Phase::RolledBack { .. }
        | Phase::Superseded { .. } => vec![Weight::ZERO],
    }
}

/// The weights that some rules may still have where a person's command to promote came in the middle of a raise: the
/// highest weights seen are those of the rules that were reached.
fn left_behind(rollout: &Rollout) -> Vec<Weight> {
    let Phase::Promoting { live_since: None, .. } = rollout.phase else { return Vec::new() };
    let mut weights: Vec<Weight> = rollout.weights.iter().rev().map(|seen| seen.weight).chain([Weight::ZERO]).collect();
    weights.dedup();
    weights.truncate(3);
    weights
}

fn in_danger(draft: &Draft<'_>) -> bool {
    draft.verdict() == Verdict::Fail || !draft.red_alarms().is_empty() || health::collapsed(draft).is_some()
}

/// Alarms, proven harm and failed targets act in every live phase, paused ones included.
pub(super) fn danger(draft: &mut Draft<'_>) -> bool {
    let names = draft.red_alarms();
    if !names.is_empty() {
        draft.roll_back(Why::Alarm { names }, RollBackEnd::RolledBack);
        return true;
    }
    if draft.verdict() == Verdict::Fail {
        let sentences = sentences(draft, Verdict::Fail);
        draft.based_on_analysis = true;
        draft.roll_back(Why::Harm { sentences }, RollBackEnd::RolledBack);
        return true;
    }
    if let Some(why) = health::collapsed(draft) {
        draft.roll_back(why, RollBackEnd::RolledBack);
        return true;
    }
    false
}

/// What the judge found, of the checks with this verdict.
fn sentences(draft: &Draft<'_>, verdict: Verdict) -> Vec<String> {
    let Some(analysis) = draft.analysis else { return Vec::new() };
    let counted = analysis.comparisons.iter().filter(|comparison| comparison.verdict == verdict);
    counted.map(|comparison| comparison.sentence.clone()).collect()
}

/// A newer release takes the target. At 100 % ours has taken it already, and its watch is cut short.
fn give_way(draft: &mut Draft<'_>) -> bool {
    let Some(newer) = draft.seen.newer.clone() else { return false };
    let why = Why::NewerRollout { rollout: newer };
    if let Phase::Promoting { live_since, since, .. } = &draft.next.phase {
        // Others may have taken it back by now: that it still has all of it must be seen.
        if live_since.is_none() || draft.split().is_none() || may_be_overwritten(draft, *since) {
            return false;
        }
        draft.enter(Phase::Promoted { at: draft.now() }, why);
    } else {
        draft.roll_back(why, RollBackEnd::Superseded);
    }
    true
}

/// Whether an earlier write, of less, could still arrive after the promotion: rules have no revision that would refuse it.
fn may_be_overwritten(draft: &Draft<'_>, since: Timestamp) -> bool {
    let has_revisions = draft.seen.routing.known().is_none_or(|routing| routing.revision.is_some());
    !has_revisions && draft.now().since(since) < QUIET
}

/// Pauses, steps and rollouts all end.
fn time_is_over(draft: &mut Draft<'_>) -> bool {
    let now = draft.now();
    let deadline = draft.next.spec.deadline;
    let late = draft.next.clock.spent_at(now) >= deadline;
    match draft.before.phase.clone() {
        Phase::Paused { until, then, .. } if now >= until => {
            // A pause that would end in another pause could last for ever.
            let then = if then == Ending::Pause { Ending::RollBack } else { then };
            end_pause(draft, then);
            true
        }
        Phase::Shifting { .. } if late => {
            end_undecided(draft, UndecidedWhy::Stuck, deadline);
            true
        }
        // The promotion may itself be what the spec, or a person, wants at the deadline: it gets the time to come about.
        Phase::Promoting { live_since: None, since, .. } if late && now.since(since) >= PROMOTION_TAKES => {
            end_undecided(draft, UndecidedWhy::Stuck, deadline);
            true
        }
        Phase::Baking { .. } if late => {
            end_undecided(draft, doubt(draft), deadline);
            true
        }
        Phase::Baking { step, since, proof, approved } => {
            let at_most = draft.next.spec.steps.get(step).and_then(|step| step.at_most);
            let Some(at_most) = at_most.filter(|at_most| now.since(since) >= *at_most) else { return false };
            if confirmed(draft, &Bake { step, since, proof, approved }) {
                return false;
            }
            end_undecided(draft, doubt(draft), at_most);
            true
        }
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

/// `promote` means that the rollout goes on as if a person had ended the pause.
fn end_pause(draft: &mut Draft<'_>, then: Ending) {
    let why = Why::PauseOver { then };
    let now = draft.now();
    let Phase::Paused { held, why: reason, .. } = draft.before.phase.clone() else { return };
    let phase = match (then, held, reason) {
        (Ending::Promote, Held::Pending, _) => Phase::Pending { since: now, behind: None, ready: false },
        (Ending::Promote, Held::Step { step, .. }, PauseReason::Approval) => next_step(&draft.next, step, now),
        (Ending::Promote, Held::Step { .. }, PauseReason::Undecided(_)) => transition::promoting(&draft.next, now),
        (Ending::Promote, Held::Step { step, from }, PauseReason::Asked { .. }) => {
            Phase::Shifting { step, from, since: now }
        }
        (Ending::RollBack | Ending::Pause, _, _) => {
            draft.roll_back(why, RollBackEnd::RolledBack);
            return;
        }
    };
    draft.enter(phase, why);
    if draft.blind_spots().is_empty() {
        apply(draft);
    }
}

pub(super) fn doubt(draft: &Draft<'_>) -> UndecidedWhy {
    // Proven, and nothing there that could carry more.
    if let (Verdict::Pass, Phase::Baking { step, .. }) = (draft.verdict(), &draft.next.phase)
        && health::shortage(draft, draft.next.weight_of_step(step + 1)).is_some()
    {
        return UndecidedWhy::Stuck;
    }
    let unread = draft.seen.samples.known().is_none_or(|samples| !samples.unread.is_empty());
    match draft.analysis.map(|analysis| analysis.doubt) {
        Some(Some(Doubt::LooksWorse)) => UndecidedWhy::LooksWorse,
        _ if unread => UndecidedWhy::NoData,
        // Proven, and kept back by what is no matter of traffic.
        Some(None) if draft.is_obstructed() => UndecidedWhy::Stuck,
        Some(None) if !draft.blind_spots().is_empty() => UndecidedWhy::NoData,
        Some(Some(Doubt::TooLittleTraffic | Doubt::StillBaking) | None) => UndecidedWhy::TooLittleTraffic,
        Some(Some(Doubt::NoData | Doubt::Blind | Doubt::SplitUnexpected)) | None => UndecidedWhy::NoData,
    }
}

/// What the spec says for a rollout without a verdict. One that is stuck has nothing to wait for: it turns back.
pub(super) fn end_undecided(draft: &mut Draft<'_>, why: UndecidedWhy, after: Span) {
    let undecided = draft.next.spec.undecided;
    let then = match why {
        UndecidedWhy::TooLittleTraffic => undecided.too_little_traffic,
        UndecidedWhy::NoData => undecided.no_data,
        UndecidedWhy::LooksWorse => undecided.looks_worse,
        UndecidedWhy::Stuck => Ending::RollBack,
    };
    let then = guest::possible(&draft.next, then);
    draft.based_on_analysis = draft.analysis.is_some();
    draft.end_with(then, Why::Undecided { why, after, then }, PauseReason::Undecided(why));
    if draft.blind_spots().is_empty() {
        apply(draft);
    }
}

fn shifting(draft: &mut Draft<'_>, step: usize, since: Timestamp) {
    let Some((routing, split)) = draft.split() else { return };
    let wanted = draft.next.weight_of_step(step);
    note_uneven(draft, since, split);
    if split == Split::Ours(wanted) {
        note_weight(draft, since, wanted);
        draft.enter(Phase::Baking { step, since: draft.now(), proof: None, approved: false }, Why::SeenLive);
    } else if routing.in_transition {
        draft.hold_in_transition();
    } else if lowers(split, wanted) || may_rise(draft, split, wanted) {
        draft.set_weight(wanted, routing);
    }
}

/// A group that somebody took off the rules before its first weight is attached, and checked, again.
fn may_rise(draft: &mut Draft<'_>, split: Split, wanted: Weight) -> bool {
    let attached = split != Split::Ours(Weight::ZERO) || pending::check_attached(draft);
    attached && health::carries(draft, wanted) && draft.holding.is_empty()
}

/// Less traffic needs no eyes, and no targets.
fn lowers(split: Split, wanted: Weight) -> bool {
    match split {
        Split::Ours(live) => wanted < live,
        Split::Uneven { low, .. } => wanted <= low,
        Split::Foreign => false,
    }
}

/// A rule that has a weight before the others gives the canary traffic, which is judged from then on.
fn note_uneven(draft: &mut Draft<'_>, since: Timestamp, split: Split) {
    if let Split::Uneven { high, .. } = split {
        note_weight(draft, since, high);
    }
}

fn note_weight(draft: &mut Draft<'_>, at: Timestamp, weight: Weight) {
    let seen = WeightSeen { at, weight };
    if draft.next.weights.last() != Some(&seen) {
        draft.next.weights.push(seen);
    }
}

/// Sets the weight that the phase just entered wants, where the target was read this tick.
pub(super) fn apply(draft: &mut Draft<'_>) {
    let moves = matches!(draft.next.phase, Phase::Shifting { .. } | Phase::Promoting { live_since: None, .. });
    let wanted = draft.next.desired_weight().filter(|_| moves);
    if let (Some(wanted), Some((routing, split))) = (wanted, draft.split())
        && !routing.in_transition
        && (lowers(split, wanted) || health::carries(draft, wanted))
    {
        draft.set_weight(wanted, routing);
    }
}

/// A pause may come between a write and the look that sees it live. Traffic that is there is judged from then on.
fn paused(draft: &mut Draft<'_>, since: Timestamp) {
    let Some((routing, Split::Ours(weight) | Split::Uneven { high: weight, .. })) = draft.split() else { return };
    let last = draft.next.weights.last().map_or(Weight::ZERO, |seen| seen.weight);
    if weight != last && !routing.in_transition {
        draft.next.weights.push(WeightSeen { at: since, weight });
    }
}

pub(super) struct Bake {
    pub step: usize,
    pub since: Timestamp,
    pub proof: Option<Proof>,
    pub approved: bool,
}

pub(super) fn baking(draft: &mut Draft<'_>, bake: &Bake) {
    let Some(step) = draft.next.spec.steps.get(bake.step).cloned() else { return };
    let rest = step.bake.minus(draft.now().since(bake.since));
    let waits = rest > Span::ZERO;
    if waits {
        draft.hold(format!("bakes for another {rest}"));
    }
    match step.advance {
        Advance::OnProof if draft.next.plan.auto.is_some() => auto::bake(draft, bake, &step),
        Advance::OnProof => on_proof(draft, bake, &step),
        Advance::UnlessHarm => unless_harm(draft, bake, &step),
    }
}

pub(super) fn on_proof(draft: &mut Draft<'_>, bake: &Bake, step: &Step) {
    health::carries(draft, draft.next.weight_of_step(bake.step + 1));
    hold_for_split(draft);
    if draft.verdict() != Verdict::Pass {
        let unproven = sentences(draft, Verdict::Inconclusive);
        unproven.into_iter().for_each(|sentence| draft.hold(sentence));
        if draft.analysis.is_none() {
            draft.hold("no closed minute with data yet");
        }
        look_ahead(draft, bake);
    } else if confirmed(draft, bake) {
        if data_are_overdue(draft) {
            draft.hold("proven, but no data of both versions for a while, though there should be some");
        }
        if draft.holding.is_empty() {
            let sentences = sentences(draft, Verdict::Pass);
            draft.based_on_analysis = true;
            leave_step(draft, bake, step, Why::Proven { sentences });
        }
    } else {
        remember_proof(draft, bake);
    }
}

/// A Pass counts when the minutes it was first seen on are settled and still have the same totals: late datapoints would
/// change them. Where much more traffic follows, the minutes that had passed by then must have been read, too, and still pass.
pub(super) fn confirmed(draft: &Draft<'_>, bake: &Bake) -> bool {
    let (Some(proof), Some(samples)) = (bake.proof, draft.seen.samples.known()) else { return false };
    draft.verdict() == Verdict::Pass
        && draft.now().since(proof.seen) >= LOOKS_APART
        && samples.settled_before >= Some(proof.settled_before)
        && settled_digest(&draft.next.plan, samples, proof.settled_before) == proof.digest
        && has_settled(draft, bake, &proof)
}

fn has_settled(draft: &Draft<'_>, bake: &Bake, proof: &Proof) -> bool {
    let read_before = draft.seen.samples.known().and_then(|samples| samples.settled_before);
    !draft.next.spec.settles(bake.step) || read_before >= Some(passed_at(&draft.next, proof).minute())
}

/// When a proof was first seen on settled minutes: one that was in sight before they were waits no less.
fn passed_at(rollout: &Rollout, proof: &Proof) -> Timestamp {
    let settled_at = proof.settled_before.start() + rollout.lag.plus(rollout.request_timeout);
    proof.seen.max(settled_at)
}

/// The minutes stay those of the first Pass: where data is late all the time, the newest minutes never look the same
/// twice, and older ones do in the end.
fn remember_proof(draft: &mut Draft<'_>, bake: &Bake) {
    let Some(samples) = draft.seen.samples.known() else { return };
    let first_seen_on = bake.proof.map(|proof| proof.settled_before);
    let Some(settled_before) = first_seen_on.or(samples.settled_before) else { return };
    let proof = seen_now(draft, bake, settled_before, samples);
    if has_settled(draft, bake, &proof) || Some(proof) != bake.proof {
        draft.hold("proven; waiting for a second look at the same minutes");
    } else {
        let until = passed_at(&draft.next, &proof).minute().start().hour_minute();
        draft.hold(format!("proven; much more traffic follows, so the minutes up to {until} are waited for"));
    }
    set_proof(draft, bake, Some(proof));
}

/// Where the minutes that settle next are all that is missing, this is the first look at them.
fn look_ahead(draft: &mut Draft<'_>, bake: &Bake) {
    let samples = draft.seen.samples.known();
    let ahead = samples.zip(draft.seen.passes_before);
    let proof = ahead.map(|(samples, before)| seen_now(draft, bake, before, samples));
    if proof != bake.proof {
        set_proof(draft, bake, proof);
    }
}

/// The totals of these minutes as they are now, or the earlier look that saw the same.
fn seen_now(draft: &Draft<'_>, bake: &Bake, settled_before: Minute, samples: &Samples) -> Proof {
    let digest = settled_digest(&draft.next.plan, samples, settled_before);
    let same = bake.proof.filter(|proof| proof.settled_before == settled_before && proof.digest == digest);
    same.unwrap_or(Proof { seen: draft.now(), settled_before, digest })
}

fn set_proof(draft: &mut Draft<'_>, bake: &Bake, proof: Option<Proof>) {
    draft.next.phase = Phase::Baking { step: bake.step, since: bake.since, proof, approved: bake.approved };
}

/// The spec consents to go on without a proof, on its own clock: a step may be shorter than metrics take to come. It does
/// not consent to go on blind.
fn unless_harm(draft: &mut Draft<'_>, bake: &Bake, step: &Step) {
    health::carries(draft, draft.next.weight_of_step(bake.step + 1));
    hold_for_split(draft);
    if data_are_overdue(draft) {
        draft.hold("no data of both versions, though there should be some by now: harm would not show either");
    }
    hold_for_harm(draft);
    if draft.holding.is_empty() {
        let sentences = draft.analysis.map(|a| a.comparisons.iter().map(|c| c.sentence.clone()).collect());
        draft.based_on_analysis = true;
        leave_step(draft, bake, step, Why::NoHarm { sentences: sentences.unwrap_or_default() });
    }
}

/// Where the traffic goes elsewhere than the weights say, more of it is not given away, on proof or on the clock.
fn hold_for_split(draft: &mut Draft<'_>) {
    if let Some(split) = draft.analysis.and_then(|analysis| analysis.split.as_ref()) {
        draft.hold(split.sentence.clone());
    }
}

/// A check that never rolls back may have proven harm all the same.
pub(super) fn hold_for_harm(draft: &mut Draft<'_>) {
    let comparisons = draft.analysis.map(|analysis| analysis.comparisons.as_slice()).unwrap_or_default();
    let proven = comparisons.iter().filter(|comparison| comparison.holds_for_harm());
    proven.for_each(|comparison| draft.hold(comparison.sentence.clone()));
}

/// Whether a check that counts has seen nothing for a while, of minutes whose metrics must have arrived by now.
fn data_are_overdue(draft: &Draft<'_>) -> bool {
    let due_before = super::settled_before(&draft.next, draft.now());
    if draft.next.first_minute().is_some_and(|first| first >= due_before) {
        return false;
    }
    let silent = |newest: Option<Minute>| newest.is_none_or(|newest| newest.plus(SILENCE_MINUTES) < due_before);
    let Some(analysis) = draft.analysis else { return true };
    analysis.comparisons.iter().zip(&draft.next.plan.checks).any(|(comparison, check)| {
        let counts = check.mode != CheckMode::Observe && check.on_no_data != OnNoData::Ignore;
        counts && silent(comparison.newest)
    })
}

fn leave_step(draft: &mut Draft<'_>, bake: &Bake, step: &Step, why: Why) {
    if draft.next.guest.is_some() {
        guest::let_go(draft, guest::weight(&draft.next), why);
        return;
    }
    if let Some(approval) = step.approve.filter(|_| !bake.approved) {
        let now = draft.now();
        let held = Held::Step { step: bake.step, from: step.weight };
        let (until, then) = (now + approval.within, approval.otherwise);
        let phase = Phase::Paused { held, since: now, until, then, why: PauseReason::Approval };
        draft.enter(phase, Why::ApprovalNeeded);
        return;
    }
    let phase = next_step(&draft.next, bake.step, draft.now());
    draft.enter(phase, why);
    apply(draft);
}

/// What follows a step that is left.
pub(super) fn next_step(rollout: &Rollout, step: usize, now: Timestamp) -> Phase {
    if step + 1 < rollout.spec.steps.len() {
        Phase::Shifting { step: step + 1, from: rollout.weight_of_step(step), since: now }
    } else {
        transition::promoting(rollout, now)
    }
}

fn promoting(draft: &mut Draft<'_>, since: Timestamp, live_since: Option<Timestamp>) {
    let now = draft.now();
    let Some((routing, split)) = draft.split() else { return };
    let Some(live_since) = live_since else {
        note_uneven(draft, since, split);
        if split == Split::Ours(Weight::FULL) && !routing.in_transition {
            note_weight(draft, since, Weight::FULL);
            if let Phase::Promoting { live_since, .. } = &mut draft.next.phase {
                *live_since = Some(now);
            }
            transition::note(&mut draft.next, now, Why::SeenLive);
        } else if routing.in_transition {
            draft.hold_in_transition();
        } else if may_rise(draft, split, Weight::FULL) {
            draft.set_weight(Weight::FULL, routing);
        }
        health::warn_of_no_way_back(draft);
        return;
    };
    let ailing = health::ailing(draft);
    ailing.into_iter().for_each(|why| draft.hold(why));
    let watch = draft.next.spec.after.watch;
    let rest = watch.minus(now.since(live_since));
    if rest > Span::ZERO {
        draft.hold(format!("watched at 100 % for another {rest}"));
    }
    if may_be_overwritten(draft, since) {
        draft.hold("all traffic is on the new version; an earlier write could still arrive");
    }
    // What cannot be seen holds the end back, but not for ever: nothing more can rise.
    let waited_enough = now.since(live_since) >= watch.plus(draft.next.spec.deadline);
    if draft.holding.is_empty() || waited_enough {
        draft.enter(Phase::Promoted { at: now }, Why::WatchOver { watched: now.since(live_since) });
        detach::plan(draft);
    } else {
        health::warn_of_no_way_back(draft);
    }
}
