//! The first sentences of the page, for somebody who reads no others.

use coalmine_core::analysis::{Comparison, Doubt, Verdict, grouped, percent};
use coalmine_core::report;
use coalmine_core::rollout::{PauseReason, Phase, PhaseName, Rollout, Why};
use coalmine_core::spec::Ending;
use coalmine_core::units::Weight;

use super::events::capitalised;
use super::model::{Cost, Told};
use super::words::{clock, exactly, one_in, quoted, times};

/// What was seen; where the traffic is and since when; what it cost.
pub fn sentences(told: &Told<'_>) -> Vec<String> {
    let rollout = told.source.rollout;
    let mut said = vec![what_was_seen(told)];
    said.extend(where_the_traffic_is(rollout));
    said.extend(told.cost().map(|cost| costs(rollout, cost, is_proven_worse(told))));
    said.extend(what_to_do(told));
    if rollout.follows() && rollout.guest.is_none() {
        said.push("Observe mode: Coalmine only watched, and others moved the traffic.".to_owned());
    }
    said
}

fn is_proven_worse(told: &Told<'_>) -> bool {
    told.seen.analysis.comparisons.iter().any(|comparison| comparison.verdict == Verdict::Fail)
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
        Phase::Paused { why: PauseReason::Approval, .. } => {
            format!("{new} has passed this step, and the next one needs somebody's approval.")
        }
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
        let worst = told.seen.analysis.comparisons.iter().find(|comparison| comparison.verdict == Verdict::Fail);
        let said = worst.and_then(|worst| much_worse(told.source.rollout, worst));
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
    let consent = rollout.history.iter().rev().find(|event| event.entered == Some(PhaseName::Promoting));
    match consent.map(|event| &event.why) {
        Some(Why::Proven { .. }) | Some(Why::Approved { .. }) => {
            let checks = rollout.spec.checks.len();
            let what = match checks {
                1 => "the one check".to_owned(),
                2 => "both checks".to_owned(),
                more => format!("all {more} checks"),
            };
            format!("{new} is proven no worse than {old} by more than is tolerated, in {what}.")
        }
        Some(Why::PromotedBy { by, .. }) => format!("{by} gave {new} all traffic, without waiting for a proof."),
        Some(Why::NoHarm { .. }) => {
            format!(
                "{new} was not proven worse than {old} in the time that the spec gives it. It was not proven fine, either."
            )
        }
        Some(why) => full_stop(&capitalised(&report::sentence(why))),
        None => format!("{new} has all the traffic."),
    }
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
    let rate = |part: super::series::Part| percent(part.rate().unwrap_or(0.0));
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
            Some(format!(
                "Somebody has to decide by {} UTC, or {otherwise} by itself: `coalmine {goes_on} {id}`, or `coalmine abort {id}`.",
                clock(*until, rollout.started_at)
            ))
        }
        Phase::RolledBack { .. } => Some(format!(
            "Nothing is left to do here. A fixed version of {} may be released at once.",
            rollout.spec.target.key()
        )),
        Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Promoting { .. }
        | Phase::RollingBack { .. }
        | Phase::Promoted { .. }
        | Phase::Superseded { .. } => None,
    }
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
        Phase::Promoted { .. } if rollout.history.iter().any(|event| matches!(event.why, Why::Proven { .. })) => {
            Some((
                "Could it be worse all the same?",
                format!(
                    "A release that is exactly as much worse as is tolerated passes a check in at most 1 of {} cases, and one that is \
                 still worse less often (falsePromotion in the spec).",
                    one_in(rollout.plan.false_promotion)
                ),
            ))
        }
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
