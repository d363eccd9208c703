//! The first sentences of the page, for somebody who reads no others.

use coalmine_core::analysis::{Comparison, Count, Doubt, Verdict, grouped, percent};
use coalmine_core::driver::AtFull;
use coalmine_core::report;
use coalmine_core::rollout::{Held, PauseReason, Phase, PhaseName, Rollout, Why};
use coalmine_core::spec::{Advance, CheckKind, CheckMode, Ending};
use coalmine_core::units::Weight;
use coalmine_core::way_out::WayOut;

use crate::events::capitalised;
use crate::model::{Cost, Told};
use crate::words::{clock, exactly, one_in, quoted, times};

/// What was seen; where the traffic is and since when; what it cost.
pub fn sentences(told: &Told<'_>) -> Vec<String> {
    let rollout = told.source.rollout;
    let mut said: Vec<String> = told.worse_at_full().map(|full| worse_at_full(rollout, full)).into_iter().collect();
    let before = said.is_empty();
    said.extend(would_have_turned_back(rollout));
    said.push(match before {
        true => what_was_seen(told),
        false => format!("It got there for the minutes before: {}", what_was_seen(told)),
    });
    said.extend(where_the_traffic_is(rollout));
    said.extend(told.cost().map(|cost| costs(rollout, cost, fails_more(told))));
    said.extend(what_to_do(told));
    if rollout.follows() && rollout.guest.is_none() {
        said.push("Observe mode: Coalmine only watched, and others moved the traffic.".to_owned());
    }
    said
}

/// `At 100 % 5.1 % of the requests to v42 failed (1,220 of 24,010, 06:52 to 07:02), against 0.44 % on v41 before.`
pub fn at_full(rollout: &Rollout, full: &AtFull) -> String {
    let (new, old) = (&rollout.canary, &rollout.baseline);
    let share = |count: Count| percent(count.events / count.requests.max(1.0));
    let (events, requests) = (grouped(full.new.events), grouped(full.new.requests));
    let at = |minute: coalmine_core::units::Minute| clock(minute.start(), rollout.started_at);
    let did = if full.check == "errors" { "failed".to_owned() } else { format!("were bad ({})", full.check) };
    let before = match full.old.requests > 0.0 {
        true => format!("against {} on {old} before", share(full.old)),
        false => format!("and nothing is known of {old} before"),
    };
    let (from, until) = (at(full.from), at(full.until));
    format!(
        "At 100 % {} of the requests to {new} {did} ({events} of {requests}, {from} to {until}), {before}.",
        share(full.new)
    )
}

fn worse_at_full(rollout: &Rollout, full: &AtFull) -> String {
    format!("{} That is no comparison, and more than is tolerated: look at it now.", at_full(rollout, full))
}

/// Of a rollout that moves nothing: that it would have been rolled back, and for what first.
pub fn would_have_turned_back(rollout: &Rollout) -> Option<String> {
    if !rollout.follows() {
        return None;
    }
    let what = rollout.history.iter().find_map(|event| {
        if let Why::WouldHave { what, .. } = &event.why { what.strip_prefix("rolled back: ") } else { None }
    })?;
    Some(full_stop(&format!("Coalmine would have rolled it back: {what}")))
}

/// Where it was turned back from 100 %: what the table of checks is of.
pub fn before_full(told: &Told<'_>) -> Option<&'static str> {
    let rollout = told.source.rollout;
    let back = |entered: Option<PhaseName>| matches!(entered, Some(PhaseName::RollingBack | PhaseName::RolledBack));
    let turned = rollout.history.iter().any(|event| back(event.entered));
    let most = rollout.weights.iter().rev().find(|seen| seen.weight > Weight::ZERO);
    if !turned || most.is_none_or(|seen| seen.weight != Weight::FULL) {
        return None;
    }
    let harm = rollout.history.iter().any(|event| back(event.entered) && matches!(event.why, Why::Harm { .. }));
    Some(match harm && proven_harm(told).is_none() {
        true => {
            "The table compares the minutes before 100 %; the rollback is for what came after: there was no old version to \
             compare with."
        }
        false => "The table compares the minutes before 100 %: after them there was no old version to compare with.",
    })
}

/// The first check that proves harm and may roll back.
fn proven_harm<'a>(told: &'a Told<'_>) -> Option<&'a Comparison> {
    let mut all = told.seen.analysis.comparisons.iter();
    all.find(|comparison| comparison.mode == CheckMode::Enforce && is_worse(comparison))
}

/// Missing data may fail a check, and prove nothing.
fn is_worse(comparison: &Comparison) -> bool {
    comparison.verdict == Verdict::Fail && comparison.doubt != Some(Doubt::NoData)
}

/// Whether it is proven that more requests fail.
fn fails_more(told: &Told<'_>) -> bool {
    let checks = &told.source.rollout.spec.checks;
    let errors = checks.iter().position(|check| matches!(check.kind, CheckKind::Errors { .. }));
    errors.and_then(|index| told.checks.get(index)).is_some_and(|check| is_worse(&check.comparison))
}

fn what_was_seen(told: &Told<'_>) -> String {
    let rollout = told.source.rollout;
    let (new, old) = (&rollout.canary, &rollout.baseline);
    match &rollout.phase {
        Phase::RolledBack { why, .. } | Phase::RollingBack { why, .. } => why_back(told, why),
        Phase::Superseded { why, .. } => full_stop(&capitalised(&report::sentence(why))),
        Phase::Promoted { .. } | Phase::Promoting { .. } => why_promoted(told),
        Phase::Pending { .. } => format!("{new} has no traffic yet."),
        Phase::Paused { why: PauseReason::Undecided(why), .. } => {
            format!("Whether {new} is worse than {old} could not be told: {}.", report::undecided(*why))
        }
        Phase::Paused { why: PauseReason::Asked { by, reason }, .. } if reason.is_empty() => format!("Paused by {by}."),
        Phase::Paused { why: PauseReason::Asked { by, reason }, .. } => full_stop(&format!("Paused by {by}: {reason}")),
        Phase::Paused { why: PauseReason::Approval, held, .. } => match proves(rollout, held) {
            true => format!("{new} is proven fine in this step, and the next one needs somebody's approval."),
            false => format!("{} The next step needs somebody's approval.", no_harm(rollout)),
        },
        Phase::Shifting { .. } | Phase::Baking { .. } => so_far(told),
    }
}

fn so_far(told: &Told<'_>) -> String {
    let new = &told.source.rollout.canary;
    match (told.seen.analysis.verdict, told.seen.analysis.doubt) {
        (Verdict::Fail, _) => format!("{new} is proven worse."),
        (Verdict::Pass, _) => format!("{new} is proven fine for the next step."),
        (Verdict::Inconclusive, Some(Doubt::LooksWorse)) => format!("{new} looks worse, which is not proven."),
        (Verdict::Inconclusive, Some(Doubt::NoData) | None) => format!("There are no data yet to tell how {new} does."),
        (Verdict::Inconclusive, Some(Doubt::SplitUnexpected)) => {
            "The traffic is not split as it should be, so nothing is concluded from it.".to_owned()
        }
        (Verdict::Inconclusive, Some(Doubt::Blind)) => format!("These data cannot tell how {new} does."),
        (Verdict::Inconclusive, Some(Doubt::StillBaking | Doubt::TooLittleTraffic)) => {
            format!("{new} looks fine so far; it is not proven yet.")
        }
    }
}

fn why_back(told: &Told<'_>, why: &Why) -> String {
    let new = &told.source.rollout.canary;
    if let Why::Harm { sentences } = why {
        let said = proven_harm(told).and_then(|worst| much_worse(told.source.rollout, worst));
        return said.unwrap_or_else(|| full_stop(&capitalised(&sentences.join("; "))));
    }
    if let Why::Alarm { names } = why {
        let rang = if names.len() == 1 { "The alarm" } else { "The alarms" };
        return format!("{rang} {} rang while {new} had traffic. Alarms do not wait for statistics.", names.join(", "));
    }
    full_stop(&capitalised(&report::sentence(why)))
}

/// Both numbers, the ratio, and how sure; of what happens, and of what is slow.
fn much_worse(rollout: &Rollout, worst: &Comparison) -> Option<String> {
    let (new, old) = (&rollout.canary, &rollout.baseline);
    let rate = |count: coalmine_core::analysis::Count| percent(count.events / count.requests.max(1.0));
    let (theirs, ours) = (rate(worst.canary), rate(worst.baseline));
    let ratio = worst.ratio?;
    let how_often = match ratio.estimate.is_finite() {
        true => format!("{} times as often", times(ratio.estimate)),
        false => "where the old one never did".to_owned(),
    };
    let sure = format!("{} % sure", one_hundred_less(rollout.plan.false_rollback));
    let sure = match ratio.lower {
        lower if lower >= 1.05 => format!("at least {} times, {sure}", times(lower)),
        lower if lower > 1.0 => format!("{sure} that it is more often"),
        _ => sure,
    };
    Some(match &worst.slower {
        Some(slower) => {
            let value = |value: f64| format!("{} {}", grouped(value), slower.unit).trim_end().to_owned();
            format!(
                "{new} is slower than {old}: {theirs} of its requests took more than {}, against {ours} that took more than \
                 {} ({sure}).",
                value(slower.canary_above),
                value(slower.above)
            )
        }
        None if worst.check == "errors" => {
            format!("{new} failed {how_often} as {old} ({theirs} of requests against {ours}; {sure}).")
        }
        None => format!("{}: {how_often} on {new} as on {old} ({theirs} against {ours}; {sure}).", worst.check),
    })
}

fn one_hundred_less(alpha: f64) -> String {
    coalmine_core::units::plain_number((100.0 * (1.0 - alpha) * 100.0).round() / 100.0)
}

fn why_promoted(told: &Told<'_>) -> String {
    let rollout = told.source.rollout;
    let (new, old) = (&rollout.canary, &rollout.baseline);
    let proven =
        || format!("{new} is proven no worse than {old} by more than is tolerated, in every check that decides.");
    match consent(rollout) {
        Some(Why::Proven { .. }) => proven(),
        Some(Why::Approved { by, .. }) if was_proven(rollout) => format!("{} {by} approved it.", proven()),
        Some(Why::Approved { by, .. }) => format!("{} {by} approved it.", no_harm(rollout)),
        Some(Why::PromotedBy { by, .. }) => format!("{by} gave {new} all traffic, without waiting for a proof."),
        Some(Why::NoHarm { .. }) => no_harm(rollout),
        Some(why) => full_stop(&capitalised(&report::sentence(why))),
        None => format!("{new} has all the traffic."),
    }
}

/// Why it got all traffic, or was to get it.
fn consent(rollout: &Rollout) -> Option<&Why> {
    let promoting = rollout.history.iter().rev().find(|event| event.entered == Some(PhaseName::Promoting));
    promoting.map(|event| &event.why)
}

/// Whether it got all traffic because of a proof. An approval comes on top of what the last step asks for.
fn was_proven(rollout: &Rollout) -> bool {
    let on_proof = rollout.spec.steps.last().is_some_and(|step| step.advance == Advance::OnProof);
    consent(rollout)
        .is_some_and(|why| matches!(why, Why::Proven { .. }) || (on_proof && matches!(why, Why::Approved { .. })))
}

/// Whether the step that is held was left on a proof.
fn proves(rollout: &Rollout, held: &Held) -> bool {
    match held {
        Held::Pending => false,
        Held::Step { step, .. } => rollout.spec.steps.get(*step).is_some_and(|step| step.advance == Advance::OnProof),
    }
}

fn no_harm(rollout: &Rollout) -> String {
    let (new, old) = (&rollout.canary, &rollout.baseline);
    format!("{new} was not proven worse than {old} in the time that the spec gives it. It was not proven fine, either.")
}

fn where_the_traffic_is(rollout: &Rollout) -> Option<String> {
    let (new, old) = (&rollout.canary, &rollout.baseline);
    let seen = rollout.weights.last()?;
    let since = match clock(seen.at, rollout.started_at).split_once(", ") {
        Some((day, _)) => format!("{day}, {}", exactly(seen.at)),
        None => exactly(seen.at),
    };
    Some(match (&rollout.phase, seen.weight) {
        (Phase::Superseded { .. }, _) => return None,
        (_, Weight::ZERO) => format!("All traffic has been on {old} since {since} UTC, as was seen live."),
        (_, Weight::FULL) => format!("All traffic has been on {new} since {since} UTC, as was seen live."),
        (_, weight) => format!("{weight} of the traffic has been on {new} since {since} UTC; the rest is on {old}."),
    })
}

fn costs(rollout: &Rollout, cost: Cost, proven: bool) -> String {
    let Cost { new, old, more, .. } = cost;
    let (version, before) = (&rollout.canary, &rollout.baseline);
    let rate = |part: crate::series::Part| percent(part.rate().unwrap_or(0.0));
    match proven && more >= 1.0 {
        true => format!(
            "{} of the {} requests that {version} got failed, about {} of them because of {version}.",
            grouped(new.some),
            grouped(new.all),
            grouped(more)
        ),
        false => format!(
            "{} of the {} requests that {version} got failed ({}); of {before}'s beside it, {}.",
            if new.some > 0.0 { grouped(new.some) } else { "None".to_owned() },
            grouped(new.all),
            rate(new),
            rate(old)
        ),
    }
}

fn what_to_do(told: &Told<'_>) -> Option<String> {
    let rollout = told.source.rollout;
    let id = quoted(&rollout.id);
    match &rollout.phase {
        Phase::Paused { until, then, why, .. } => {
            let goes_on = match why {
                PauseReason::Asked { .. } => "resume",
                PauseReason::Approval => "approve",
                PauseReason::Undecided(_) => "promote",
            };
            let otherwise = match then {
                Ending::Promote => "it goes on",
                Ending::RollBack | Ending::Pause => "it rolls back",
            };
            let mut commands = [format!("`coalmine {goes_on} {id}`"), format!("`coalmine abort {id}`")];
            let worse = by_now_worse(told);
            let now = match worse {
                // What is safest comes first.
                Some(check) => {
                    commands.reverse();
                    let seen = check.ratio.map(|ratio| ratio.estimate).filter(|seen| seen.is_finite() && *seen > 1.0);
                    let often = seen.map(|seen| format!(": {} times as often", times(seen))).unwrap_or_default();
                    let found = if is_worse(check) { "is proven worse" } else { "looks worse" };
                    format!(" By now {} {found}{often}.", check.check)
                }
                None => String::new(),
            };
            Some(format!(
                "Somebody has to decide by {} UTC, or {otherwise} by itself: {}.{now}",
                clock(*until, rollout.started_at),
                commands.join(", or ")
            ))
        }
        Phase::RolledBack { .. } => Some(format!(
            "Nothing is left to do here. A fixed version of {} may be released at once.",
            rollout.spec.target.key()
        )),
        Phase::Promoting { .. } if told.worse_at_full().is_some() && !rollout.follows() => {
            Some(format!("All traffic goes back to {} with `coalmine abort {id}`.", rollout.baseline))
        }
        Phase::Promoted { .. } if told.worse_at_full().is_some() => WayOut::of(rollout).map(|out| {
            let command = out.command().to_owned();
            format!("To go back, release {} once more, or by hand: `{command}`.", rollout.baseline)
        }),
        Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Promoting { .. }
        | Phase::RollingBack { .. }
        | Phase::Promoted { .. }
        | Phase::Superseded { .. } => None,
    }
}

/// The check that speaks against the new version now, in a pause.
fn by_now_worse<'a>(told: &'a Told<'_>) -> Option<&'a Comparison> {
    let worse = |check: &&Comparison| is_worse(check) || check.doubt == Some(Doubt::LooksWorse);
    told.seen.analysis.comparisons.iter().filter(|check| check.mode != CheckMode::Observe).find(worse)
}

/// What the spec says of chance, where chance could have done it.
pub fn chance(rollout: &Rollout) -> Option<(&'static str, String)> {
    let back = |why: &Why| matches!(why, Why::Harm { .. });
    match &rollout.phase {
        Phase::RolledBack { why, .. } | Phase::RollingBack { why, .. } if back(why) => Some((
            "Could this be an accident?",
            format!(
                "With this setting at most 1 good release in {} is rolled back by its numbers, however often one looks at them \
             (falseRollback in the spec).",
                one_in(rollout.plan.false_rollback)
            ),
        )),
        Phase::Promoted { .. } if was_proven(rollout) => Some((
            "Could it be worse all the same?",
            format!(
                "A release that is exactly as much worse as is tolerated passes a check in at most 1 of {} cases, and one that is \
             still worse less often (falsePromotion in the spec).",
                one_in(rollout.plan.false_promotion)
            ),
        )),
        Phase::RolledBack { .. }
        | Phase::RollingBack { .. }
        | Phase::Promoted { .. }
        | Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Paused { .. }
        | Phase::Promoting { .. }
        | Phase::Superseded { .. } => None,
    }
}

fn full_stop(sentence: &str) -> String {
    if sentence.ends_with(['.', '!', '?']) { sentence.to_owned() } else { format!("{sentence}.") }
}
