//! Is it on fire, and does somebody have to do something?

use coalmine_core::analysis::{Count, Doubt, Interval, Verdict, percent, times as times_of};
use coalmine_core::driver::AtFull;
use coalmine_core::report;
use coalmine_core::rollout::{Held, PauseReason, Phase, Rollout, UndecidedWhy, Why};
use coalmine_core::spec::{CheckMode, Mode};
use coalmine_core::units::{Timestamp, Weight};

use super::checks::{CheckView, Found};
use super::view::Look;
use crate::stack::SILENT;

/// `HOLDING AT 25 %: LOOKS FINE, NOT PROVEN YET`
pub(super) fn of(look: &Look<'_>, checks: &[CheckView]) -> String {
    let rollout = look.rollout;
    if let Some(silence) = look.silence {
        return unattended(rollout, silence, look.now);
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
        Phase::Paused { why, held, .. } => {
            let now = by_now(checks, why).map(|found| format!("; {found}")).unwrap_or_default();
            paused(rollout, why, *held, live) + &now
        }
        Phase::Promoting { live_since: None, .. } => "MOVING TO 100 %".to_owned(),
        Phase::Promoting { live_since: Some(_), .. } if look.beyond().is_some() => {
            format!("AT 100 %: {}", look.beyond().map(fails_more).unwrap_or_default())
        }
        Phase::Promoting { live_since: Some(_), .. } if rollout.follows() => {
            "AT 100 %: OTHERS GAVE IT ALL TRAFFIC".to_owned()
        }
        Phase::Promoting { live_since: Some(since), .. } => {
            format!("AT 100 %: WATCHED UNTIL {}", clock(*since + rollout.spec.after.watch, look.now))
        }
        Phase::RollingBack { why, .. } => format!("ROLLING BACK: {}", cause(why, checks)),
        Phase::Promoted { at } => match look.beyond() {
            Some(full) => format!("PROMOTED {}, AND AT 100 % {}", clock(*at, look.now), fails_more(full)),
            None => format!("PROMOTED {}", clock(*at, look.now)),
        },
        Phase::RolledBack { at, why } => format!("ROLLED BACK {}: {}", clock(*at, look.now), cause(why, checks)),
        Phase::Superseded { at, why } => format!("SUPERSEDED {}: {}", clock(*at, look.now), cause(why, checks)),
    }
}

/// `errors 5.1 %, BEFORE 0.44 %`
fn fails_more(full: &AtFull) -> String {
    format!("{} {}, BEFORE {}", full.check, percent(share(full.new)), percent(share(full.old)))
}

pub(super) fn share(count: Count) -> f64 {
    if count.requests > 0.0 { count.events / count.requests } else { 0.0 }
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
            format!("{label} AT LEAST {}x AS OFTEN, PROVEN WORSE", times_of(lower))
        }
        Some(Interval { estimate, .. }) if estimate.is_finite() && estimate > 1.0 => {
            format!("{label} {}x AS OFTEN, PROVEN WORSE", times_of(estimate))
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

/// What has been found by now, where that is something else than what it was paused for.
fn by_now(checks: &[CheckView], paused_for: &PauseReason) -> Option<String> {
    let known = matches!(paused_for, PauseReason::Undecided(UndecidedWhy::LooksWorse));
    if let Some(check) = doubted(checks).filter(|_| !known) {
        let times = check.times.map(|times| times.estimate).filter(|times| times.is_finite() && *times > 1.0);
        let times = times.map(|value| format!(" {}x", times_of(value))).unwrap_or_default();
        let found = if check.found == Found::ProvenWorse { "IS PROVEN WORSE" } else { "LOOKS WORSE" };
        return Some(format!("NOW {} {found}{times}", check.label));
    }
    let mut needed = checks.iter().filter(|check| check.towards_proof.is_some()).peekable();
    let undecided = matches!(paused_for, PauseReason::Undecided(_)) && needed.peek().is_some();
    (undecided && needed.all(|check| check.found == Found::ProvenFine)).then(|| "NOW PROVEN FINE".to_owned())
}

/// The check that speaks most against the new version, of those that decide anything.
pub(super) fn doubted(checks: &[CheckView]) -> Option<&CheckView> {
    let with = |found: Found| checks.iter().find(|check| check.mode != CheckMode::Observe && check.found == found);
    with(Found::ProvenWorse).or_else(|| with(Found::LooksWorse))
}

/// Nobody attends to a rollout that must be attended to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Silence {
    pub since: Timestamp,
    /// When the dead man's switch puts all traffic back, or should have.
    pub put_back: Option<Timestamp>,
    /// That time is over.
    pub due: bool,
}

/// A controller that is alive pushes the dead man's switch on long before its time; where there is none, it writes when minutes are
/// sealed, while the rollout does anything but wait.
pub(super) fn silence(rollout: &Rollout, now: Timestamp) -> Option<Silence> {
    if rollout.is_terminal() {
        return None;
    }
    let attended = match rollout.phase {
        Phase::Shifting { .. } | Phase::Baking { .. } | Phase::Promoting { .. } | Phase::RollingBack { .. } => true,
        Phase::Pending { .. } | Phase::Paused { .. } => rollout.switch.is_some(),
        Phase::Promoted { .. } | Phase::RolledBack { .. } | Phase::Superseded { .. } => false,
    };
    let put_back = rollout.switch.map(|switch| switch.at);
    // A rollback does not push it on.
    let pushed = !matches!(rollout.phase, Phase::RollingBack { .. });
    let due = put_back.is_some_and(|at| now >= at && rollout.now < at);
    let silent = now.since(rollout.now) > SILENT || due && pushed;
    (attended && silent).then_some(Silence { since: rollout.now, put_back, due })
}

fn unattended(rollout: &Rollout, Silence { since, put_back, due }: Silence, now: Timestamp) -> String {
    let since = clock(since, now);
    match put_back.filter(|_| due) {
        Some(at) => format!("NO CONTROLLER SINCE {since}: AWS SHOULD HAVE PUT ALL TRAFFIC BACK AT {}", clock(at, now)),
        None if rollout.follows() => format!("NO CONTROLLER SINCE {since}: NOBODY JUDGES IT"),
        None => format!("NO CONTROLLER SINCE {since}: NOBODY ROLLS BACK"),
    }
}

/// What somebody has to do with their own hands, because no command does it.
pub(super) fn by_hand(rollout: &Rollout) -> Option<&Why> {
    let waits = !matches!(rollout.phase, Phase::Paused { .. }) && report::needs_you(rollout);
    rollout.history.last().map(|event| &event.why).filter(|_| waits)
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
