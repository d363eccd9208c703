//! Is it on fire, and does somebody have to do something?

use coalmine_core::analysis::{Doubt, Interval, Verdict, times};
use coalmine_core::report;
use coalmine_core::rollout::{Held, PauseReason, Phase, Rollout, Why};
use coalmine_core::spec::{Ending, Mode, Version};
use coalmine_core::units::{Timestamp, Weight};

use super::checks::{CheckView, Found};
use super::outlook::Outlook;
use super::view::Look;
use crate::stack::SILENT;

/// `HOLDING AT 25 %: LOOKS FINE, NOT PROVEN YET`
pub(super) fn of(look: &Look<'_>, checks: &[CheckView]) -> String {
    let rollout = look.rollout;
    if let Some(since) = unattended(rollout, look.now) {
        return format!("NO CONTROLLER SINCE {}: NOBODY ROLLS BACK", clock(since, look.now));
    }
    if let Some(why) = by_hand(rollout) {
        return format!("NEEDS YOU: {}", report::sentence(why));
    }
    let live = rollout.weights.last().map_or(Weight::ZERO, |seen| seen.weight);
    match &rollout.phase {
        Phase::Pending { behind: Some(behind), .. } => format!("WAITS BEHIND {}", behind.rollout),
        Phase::Pending { .. } => "GETTING READY: NO TRAFFIC ON THE NEW VERSION YET".to_owned(),
        Phase::Shifting { step, .. } => format!("MOVING TO {}", rollout.weight_of_step(*step)),
        Phase::Baking { .. } => format!("{} {live}: {}", holding(rollout), stand(look, checks)),
        Phase::Paused { why, held, .. } => paused(rollout, why, *held, live),
        Phase::Promoting { live_since: None, .. } => "MOVING TO 100 %".to_owned(),
        Phase::Promoting { live_since: Some(_), .. } if rollout.follows() => {
            "AT 100 %: OTHERS GAVE IT ALL TRAFFIC".to_owned()
        }
        Phase::Promoting { live_since: Some(since), .. } => {
            format!("AT 100 %: WATCHED UNTIL {}", clock(*since + rollout.spec.after.watch, look.now))
        }
        Phase::RollingBack { why, .. } => format!("ROLLING BACK: {}", cause(why, checks)),
        Phase::Promoted { at } => format!("PROMOTED {}", clock(*at, look.now)),
        Phase::RolledBack { at, why } => format!("ROLLED BACK {}: {}", clock(*at, look.now), cause(why, checks)),
        Phase::Superseded { at, why } => format!("SUPERSEDED {}: {}", clock(*at, look.now), cause(why, checks)),
    }
}

fn holding(rollout: &Rollout) -> &'static str {
    match (&rollout.guest, rollout.spec.mode) {
        (Some(_), _) => "JUDGING AT",
        (None, Mode::Observe) => "OBSERVING AT",
        (None, Mode::Enforce) => "HOLDING AT",
    }
}

/// What the judge would say now.
fn stand(look: &Look<'_>, checks: &[CheckView]) -> String {
    let Some(analysis) = look.analysis else { return "NO DATA YET".to_owned() };
    let said = match (analysis.verdict, analysis.doubt) {
        (Verdict::Fail, _) => return worse(checks),
        (Verdict::Pass, _) => "PROVEN FINE",
        (Verdict::Inconclusive, Some(Doubt::StillBaking)) => "LOOKS FINE, NOT LONG ENOUGH YET",
        (Verdict::Inconclusive, Some(Doubt::TooLittleTraffic)) => "LOOKS FINE, NOT PROVEN YET",
        (Verdict::Inconclusive, Some(Doubt::LooksWorse)) => "LOOKS WORSE, NOT PROVEN",
        (Verdict::Inconclusive, Some(Doubt::SplitUnexpected)) => "TRAFFIC IS NOT SPLIT AS THE WEIGHTS SAY",
        (Verdict::Inconclusive, Some(Doubt::Blind)) => "CANNOT BE TOLD FROM THESE DATA",
        (Verdict::Inconclusive, Some(Doubt::NoData) | None) if look.is_young() => "NO DATA OF THIS WEIGHT YET",
        (Verdict::Inconclusive, Some(Doubt::NoData) | None) => "NO DATA",
    };
    let doubted =
        checks.iter().find(|check| analysis.doubt == Some(Doubt::LooksWorse) && check.found == Found::LooksWorse);
    match doubted {
        Some(check) => format!("{} {said}", check.label),
        None => said.to_owned(),
    }
}

/// `errors 9.6x AS OFTEN, PROVEN WORSE`
fn worse(checks: &[CheckView]) -> String {
    let proven = checks.iter().find(|check| check.found == Found::ProvenWorse);
    let Some(check) = proven else { return "PROVEN WORSE".to_owned() };
    let label = &check.label;
    match check.times {
        // What is known so badly is not worth a number.
        Some(Interval { lower, upper, .. }) if lower > 1.0 && (!upper.is_finite() || upper > 100.0 * lower) => {
            format!("{label} AT LEAST {}x AS OFTEN, PROVEN WORSE", times(lower))
        }
        Some(Interval { estimate, .. }) if estimate.is_finite() && estimate > 1.0 => {
            format!("{label} {}x AS OFTEN, PROVEN WORSE", times(estimate))
        }
        Some(_) | None => format!("{label} PROVEN WORSE"),
    }
}

fn paused(rollout: &Rollout, why: &PauseReason, held: Held, live: Weight) -> String {
    match (why, held) {
        (PauseReason::Asked { by, .. }, Held::Pending) => format!("PAUSED BEFORE ANY TRAFFIC BY {by}"),
        (PauseReason::Asked { by, .. }, Held::Step { .. }) => format!("PAUSED AT {live} BY {by}"),
        (PauseReason::Approval, Held::Step { step, .. }) => {
            format!("NEEDS YOU: {live} HAS PASSED, APPROVE {}", rollout.weight_of_step(step + 1))
        }
        (PauseReason::Approval, Held::Pending) => "NEEDS YOU: APPROVE IT".to_owned(),
        (PauseReason::Undecided(why), _) => {
            format!("NEEDS YOU: PAUSED AT {live}, {}", report::undecided(*why).to_uppercase())
        }
    }
}

/// In a few words, if there is a way to say it in a few.
fn cause(why: &Why, checks: &[CheckView]) -> String {
    match why {
        Why::Harm { .. } => worse(checks),
        Why::Alarm { names } => match names.as_slice() {
            [name] => format!("ALARM {name}"),
            several => format!("{} ALARMS, {} AMONG THEM", several.len(), several.first().map_or("", String::as_str)),
        },
        Why::AbortedBy { by, .. } => format!("ABORTED BY {by}"),
        Why::NewerRollout { rollout } => format!("{rollout} IS NEWER"),
        Why::SwitchFired => "NO CONTROLLER CAME, THE DEAD MAN'S SWITCH DID".to_owned(),
        Why::Undecided { why, .. } => report::undecided(*why).to_uppercase(),
        Why::TestFailed { .. } => "A TEST FAILED".to_owned(),
        Why::VersionUnusable { .. } => "THE NEW VERSION CAN TAKE NO TRAFFIC".to_owned(),
        Why::Unhealthy { .. } => "TARGETS OF THE NEW GROUP ARE UNHEALTHY".to_owned(),
        Why::PauseOver { .. } => "NOBODY ENDED THE PAUSE".to_owned(),
        Why::TakenOver { .. } | Why::PartlyTaken { .. } => "SOMEBODY ELSE CHANGED THE TARGET".to_owned(),
        Why::MovedByOthers { .. } => "OTHERS MOVED THE TRAFFIC".to_owned(),
        Why::DeploymentEnded { .. } => "THE DEPLOYMENT HAS ENDED".to_owned(),
        Why::NotPutBack { .. } => "NOT PUT BACK".to_owned(),
        Why::Started { .. }
        | Why::Learned { .. }
        | Why::Ready
        | Why::Attached
        | Why::Detached
        | Why::StaysAttached { .. }
        | Why::SeenLive
        | Why::Proven { .. }
        | Why::Chosen { .. }
        | Why::NoHarm { .. }
        | Why::NoSteps
        | Why::Approved { .. }
        | Why::PromotedBy { .. }
        | Why::PausedBy { .. }
        | Why::ResumedBy { .. }
        | Why::ApprovalNeeded
        | Why::WatchOver { .. }
        | Why::NobodyToGoBackTo { .. }
        | Why::WouldHave { .. }
        | Why::Cleared
        | Why::IllegalTransition { .. } => report::sentence(why),
    }
}

/// While a dead man's switch stands ready, a controller that is alive writes every few minutes, if only to push it on.
fn unattended(rollout: &Rollout, now: Timestamp) -> Option<Timestamp> {
    (rollout.switch.is_some() && !rollout.is_terminal() && now.since(rollout.now) > SILENT).then_some(rollout.now)
}

/// What somebody has to do with their own hands, because no command does it.
fn by_hand(rollout: &Rollout) -> Option<&Why> {
    let waits = !matches!(rollout.phase, Phase::Paused { .. }) && report::needs_you(rollout);
    rollout.history.last().map(|event| &event.why).filter(|_| waits)
}

/// The second line.
pub(super) fn to_do(look: &Look<'_>, checks: &[CheckView], outlook: &Outlook) -> Vec<String> {
    let rollout = look.rollout;
    let nothing = || "Nothing for you to do.".to_owned();
    if unattended(rollout, look.now).is_some() {
        let back =
            rollout.switch.map(|switch| format!("AWS puts all traffic back about {}.", clock(switch.at, look.now)));
        let see = "See whether the schedule is on and what the function Tick logs.".to_owned();
        return [Some(see), back].into_iter().flatten().collect();
    }
    if by_hand(rollout).is_some() {
        return vec![format!("`coalmine history {}` has what led to it.", rollout.id)];
    }
    let fails = look.analysis.is_some_and(|analysis| analysis.verdict == Verdict::Fail);
    let mut said = match &rollout.phase {
        Phase::Paused { why: PauseReason::Asked { reason, .. }, .. } if !reason.is_empty() => {
            vec![decide_by(look, outlook), format!("The reason: {reason}.")]
        }
        Phase::Paused { .. } => vec![decide_by(look, outlook)],
        Phase::Pending { behind: Some(behind), .. } => {
            vec![nothing(), format!("It begins when {} has ended.", behind.rollout)]
        }
        Phase::RolledBack { .. } | Phase::Promoted { .. } | Phase::Superseded { .. } => ended(look),
        Phase::RollingBack { .. } => {
            vec![format!("Nothing for you to do: all traffic goes back to {}.", rollout.baseline)]
        }
        Phase::Baking { .. } | Phase::Promoting { .. } if fails && rollout.spec.mode == Mode::Observe => {
            vec!["It would have been rolled back, and nothing is moved here: that is up to you.".to_owned()]
        }
        Phase::Baking { .. } => match silent(look, checks) {
            Some(check) => vec![format!("{check} has no data: is its metric sent?")],
            None => vec![nothing()],
        },
        Phase::Pending { .. } | Phase::Shifting { .. } | Phase::Promoting { .. } => vec![nothing()],
    };
    said.extend(expected(look, outlook));
    said
}

/// A check that should have data by now.
fn silent<'a>(look: &Look<'_>, checks: &'a [CheckView]) -> Option<&'a str> {
    let old_enough = !look.is_young() && look.analysis.is_some();
    let silent = checks.iter().find(|check| old_enough && check.found == Found::NoData);
    silent.map(|check| check.check.as_str())
}

fn decide_by(look: &Look<'_>, outlook: &Outlook) -> String {
    match outlook.gives_up_at {
        Some(at) => format!("Decide by {}, else it {}.", clock(at, look.now), does(outlook.then)),
        None => "It waits for a decision.".to_owned(),
    }
}

fn ended(look: &Look<'_>) -> Vec<String> {
    let rollout = look.rollout;
    let moved = rollout.weights.last().map(|seen| seen.at);
    let has_all = |version: &Version, since: Option<Timestamp>| match since {
        Some(since) => format!("All traffic is on {version} since {}.", clock_seconds(since, look.now)),
        None => format!("All traffic stayed on {version}."),
    };
    match &rollout.phase {
        Phase::Promoted { .. } => vec![has_all(&rollout.canary, moved), "Nothing for you to do.".to_owned()],
        Phase::RolledBack { .. } => vec![
            has_all(&rollout.baseline, moved),
            format!("Fix {}; the next release may start at once.", rollout.canary),
        ],
        Phase::Superseded { .. } | Phase::Pending { .. } | Phase::Shifting { .. } | Phase::Baking { .. } => {
            ended_otherwise()
        }
        Phase::Paused { .. } | Phase::Promoting { .. } | Phase::RollingBack { .. } => ended_otherwise(),
    }
}

fn ended_otherwise() -> Vec<String> {
    vec!["Coalmine looks after this rollout no more; `coalmine list` shows what runs now.".to_owned()]
}

fn expected(look: &Look<'_>, outlook: &Outlook) -> Vec<String> {
    let rollout = look.rollout;
    let at = |at: Timestamp| clock(at, look.now);
    let mut said = Vec::new();
    match (&rollout.phase, outlook.next_weight, outlook.next_at) {
        (Phase::Pending { .. }, _, _) => {
            said.extend(
                outlook
                    .takes
                    .map(|takes| format!("Once it has begun it takes about {takes}, if the new version is fine.")),
            );
        }
        (Phase::Baking { .. }, _, _) if rollout.follows() => {
            said.push(match &rollout.guest {
                Some(guest) => format!("{} moves the weights.", guest.deployment.service()),
                None => "Others move the weights; nothing is moved here.".to_owned(),
            });
        }
        (Phase::Baking { .. }, None, _) => said.push("The next weight is chosen minute by minute.".to_owned()),
        (Phase::Baking { .. }, Some(weight), Some(next)) => {
            let approval = if step_needs_approval(look) { ", once it is approved" } else { "" };
            let done = outlook.done_at.map(|done| format!(", done about {}", at(done))).unwrap_or_default();
            let late = outlook.gives_up_at.is_some_and(|limit| next > limit);
            said.push(match late {
                false => format!("To {weight} about {}{approval}{done}.", at(next)),
                true => "At this traffic there is no proof in time.".to_owned(),
            });
        }
        (Phase::Baking { .. }, Some(weight), None) => {
            said.push(format!("When it goes to {weight} cannot be said yet."))
        }
        (Phase::Promoting { .. } | Phase::Shifting { .. } | Phase::Paused { .. } | Phase::RollingBack { .. }, _, _)
        | (Phase::Promoted { .. } | Phase::RolledBack { .. } | Phase::Superseded { .. }, _, _) => {}
    }
    // Where nothing is moved nothing is given up.
    let limit = outlook.gives_up_at.filter(|_| rollout.spec.mode == Mode::Enforce);
    if let (Phase::Baking { .. } | Phase::Shifting { .. }, Some(limit)) = (&rollout.phase, limit) {
        said.push(format!("Gives up at {} and {}.", at(limit), does(outlook.then)));
    }
    said
}

fn step_needs_approval(look: &Look<'_>) -> bool {
    let step = super::timetable::step(look).and_then(|step| look.rollout.spec.steps.get(step));
    step.is_some_and(|step| step.approve.is_some())
}

fn does(then: Option<Ending>) -> &'static str {
    match then {
        Some(Ending::Pause) => "pauses",
        Some(Ending::Promote) => "goes on",
        Some(Ending::RollBack) | None => "rolls back",
    }
}

/// `14:02`; of another day with its date.
pub(super) fn clock(at: Timestamp, now: Timestamp) -> String {
    let time = at.hour_minute();
    if day(at) == day(now) { time } else { format!("{} {time}", day(at)) }
}

/// `14:02:07`
pub(super) fn clock_seconds(at: Timestamp, now: Timestamp) -> String {
    let time = at.to_string().get(11..19).unwrap_or_default().to_owned();
    if day(at) == day(now) { time } else { format!("{} {time}", day(at)) }
}

/// `2026-11-21`
fn day(at: Timestamp) -> String {
    at.to_string().get(..10).unwrap_or_default().to_owned()
}
