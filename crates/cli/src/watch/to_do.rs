//! Whether somebody has to do something, and what happens when: the second line.

use coalmine_core::analysis::{Doubt, Verdict, percent};
use coalmine_core::driver::AtFull;
use coalmine_core::rollout::{PauseReason, Phase, Rollout, Why};
use coalmine_core::spec::{CheckMode, Ending, Mode, Target, Version};
use coalmine_core::units::Timestamp;

use super::checks::{CheckView, Found};
use super::headline::{Silence, by_hand, clock, clock_seconds, doubted, share};
use super::outlook::Outlook;
use super::view::Look;

const NOTHING: &str = "Nothing for you to do.";

pub(super) fn of(look: &Look<'_>, checks: &[CheckView], outlook: &Outlook) -> Vec<String> {
    let rollout = look.rollout;
    let nothing = || NOTHING.to_owned();
    if let Some(silence) = look.silence {
        return unattended(look, silence);
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
        Phase::Baking { .. } => vec![stuck(look, checks).unwrap_or_else(nothing)],
        Phase::Promoting { live_since: Some(since), .. } => match look.beyond() {
            Some(full) => vec![at_full(look, full), watched_until(look, *since)],
            None => vec![nothing()],
        },
        Phase::Pending { .. } | Phase::Shifting { .. } | Phase::Promoting { live_since: None, .. } => vec![nothing()],
    };
    said.extend(expected(look, outlook));
    said
}

fn unattended(look: &Look<'_>, Silence { put_back, due, .. }: Silence) -> Vec<String> {
    let rollout = look.rollout;
    let mut said = Vec::new();
    match (put_back, due) {
        (Some(_), true) => {
            let see = match &rollout.spec.target {
                Target::Lambda(alias) => format!(
                    "Look at the alias: `aws lambda get-alias --function-name {} --name {}` should have {} alone.",
                    alias.function, alias.alias, rollout.baseline
                ),
                Target::Alb(_) => format!("Look at the rules: {} should have all the weight.", rollout.baseline),
            };
            said.push(see);
        }
        (Some(at), false) => said.push(format!("AWS puts all traffic back about {}.", clock(at, look.now))),
        (None, _) => {}
    }
    said.push("See whether the schedule is on and what the function Tick logs.".to_owned());
    said
}

/// While it holds: what keeps it from going on that somebody can look at.
fn stuck(look: &Look<'_>, checks: &[CheckView]) -> Option<String> {
    let rollout = look.rollout;
    let canary = &rollout.canary;
    if !look.unread.is_empty() {
        return Some(
            "Metrics cannot be read, and no weight rises until they can: the lines with ! say why.".to_owned(),
        );
    }
    if let Some(check) = silent(look, checks) {
        return Some(format!("{check} has no data: is its metric sent?"));
    }
    match look.analysis?.doubt? {
        Doubt::SplitUnexpected => Some(format!(
            "See why {canary} does not get the share that its weight says: nothing is promoted until it does."
        )),
        Doubt::Blind => {
            let blind = checks.iter().find(|check| check.found == Found::CannotTell);
            let check = blind.map_or("a check", |check| check.check.as_str());
            Some(format!("{check} cannot prove anything on these data, however long it takes: decide yourself."))
        }
        Doubt::LooksWorse => {
            let check = doubted(checks)?;
            let then = match (rollout.follows(), rollout.guest.is_some(), check.mode) {
                (true, false, _) => "nothing is moved here, whatever is proven",
                (_, _, CheckMode::Hold | CheckMode::Observe) => "this check holds, and never rolls back",
                (_, true, CheckMode::Enforce) => "its deployment is stopped only once that is proven",
                (false, false, CheckMode::Enforce) => "it is rolled back only once that is proven",
            };
            Some(format!("See what {} of {canary} says: {then}.", check.label))
        }
        Doubt::StillBaking | Doubt::TooLittleTraffic | Doubt::NoData => None,
    }
}

/// A check that should have data by now.
fn silent<'a>(look: &Look<'_>, checks: &'a [CheckView]) -> Option<&'a str> {
    let old_enough = !look.is_young() && look.analysis.is_some();
    let silent = checks.iter().find(|check| old_enough && check.found == Found::NoData);
    silent.map(|check| check.check.as_str())
}

/// It has all traffic, and is worse than what the old version did before.
fn at_full(look: &Look<'_>, full: &AtFull) -> String {
    let Rollout { baseline, canary, .. } = look.rollout;
    let (new, old) = (percent(share(full.new)), percent(share(full.old)));
    let check = &full.check;
    format!("Look at {canary} now: {check} {new} at 100 %, {old} on {baseline} before.")
}

fn watched_until(look: &Look<'_>, since: Timestamp) -> String {
    let rollout = look.rollout;
    let none = "That is no comparison:";
    if rollout.follows() {
        return format!("{none} nothing goes back by itself.");
    }
    let until = clock(since + rollout.spec.after.watch, look.now);
    format!("{none} until {until} an alarm or a catastrophe turns it back, and nothing else.")
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
        Phase::Promoted { .. } => {
            let look_at = look.beyond().map(|full| at_full(look, full));
            let to_do = look_at.unwrap_or_else(|| NOTHING.to_owned());
            vec![has_all(&rollout.canary, moved), to_do]
        }
        Phase::RolledBack { why, .. } => {
            let next = what_now(rollout, why);
            [has_all(&rollout.baseline, moved)].into_iter().chain(next).collect()
        }
        Phase::Superseded { .. }
        | Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Paused { .. }
        | Phase::Promoting { .. }
        | Phase::RollingBack { .. } => {
            vec!["Coalmine looks after this rollout no more; `coalmine list` shows what runs now.".to_owned()]
        }
    }
}

/// After a rollback, by what it was for.
fn what_now(rollout: &Rollout, why: &Why) -> Option<String> {
    let canary = &rollout.canary;
    let next = "the next release may start at once.";
    Some(match why {
        Why::Harm { .. } | Why::TestFailed { .. } | Why::VersionUnusable { .. } => format!("Fix {canary}; {next}"),
        Why::Alarm { .. } => format!("See why it rang: that may be {canary}, or something else."),
        Why::Unhealthy { .. } => format!("See why targets of {canary} are unhealthy; {next}"),
        Why::SwitchFired => {
            "Before the next release see whether the schedule is on and what the function Tick logs.".to_owned()
        }
        Why::Undecided { .. } | Why::PauseOver { .. } => format!("Nothing was proven against {canary}; {next}"),
        Why::NewerRollout { rollout } => format!("{rollout} goes on from here."),
        Why::AbortedBy { .. } => format!("Nothing for you to do; {next}"),
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
        | Why::TakenOver { .. }
        | Why::PartlyTaken { .. }
        | Why::NobodyToGoBackTo { .. }
        | Why::WouldHave { .. }
        | Why::MovedByOthers { .. }
        | Why::Cleared
        | Why::DeploymentEnded { .. }
        | Why::NotPutBack { .. }
        | Why::IllegalTransition { .. } => return None,
    })
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
        // What it waits for is said.
        (Phase::Baking { .. }, Some(_), None) if look.is_stuck() => {}
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
