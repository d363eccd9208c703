//! What the old version's past says, and what follows from it for the judgement, as sentences.

use crate::units::{Minute, plain_number};

use super::blind::swallowed;
use super::course::harm::MINUTES_OF_HISTORY;
use super::stats::{Dispersion, Z_HARM};
use super::words::is_counted;
use super::{EventHistory, GuardMode, JudgePlan, Learned, PlannedCheck, grouped};

/// Below this, events are as good as independent.
pub(super) const HARDLY: f64 = 1.25;
/// Below this, one cannot speak of bursts.
const BURST: f64 = 1.8;

/// A sentence per check that has a past, and what it may be blind to.
#[must_use]
pub fn findings(plan: &JudgePlan) -> Vec<String> {
    plan.checks.iter().filter_map(|check| finding(plan, check)).chain(swallowed(plan)).collect()
}

/// `errors: old version, 24 hours: 4,312 of 4,320,000 requests failed; they come independently, so evidence counts in
/// full`.
fn finding(plan: &JudgePlan, check: &PlannedCheck) -> Option<String> {
    let learned = check.learned.as_ref()?;
    let enough = learned.minutes >= MINUTES_OF_HISTORY;
    let said = match (&learned.events, &learned.distribution) {
        (Some(events), _) => counted(&check.name, events),
        (None, Some(distribution)) => format!("{} requests", grouped(distribution.counts.iter().sum())),
        (None, None) => return None,
    };
    let follows = match (&learned.events, &learned.distribution) {
        _ if plan.guard == GuardMode::Off => ", which is not used (guard: off)".to_owned(),
        _ if !enough => ", too little to weigh evidence by: the new version must be worse in most minutes".to_owned(),
        (Some(events), _) if events.events <= 0.0 => {
            let divided = plain_number(Dispersion::UNKNOWN.factor);
            format!(
                "; how errors come is not known, so evidence is divided by {divided}: the first ones count for less"
            )
        }
        (Some(events), _) => format!("; {}", what("they", &events.dispersion)),
        (None, Some(distribution)) => format!("; {}", what("their values", &distribution.ranks)),
        (None, None) => String::new(),
    };
    Some(format!("{}: old version, {}: {said}{follows}{}", check.name, length(learned.minutes), aside(learned)))
}

fn counted(check: &str, past: &EventHistory) -> String {
    let (happened, requests) = (if check == "errors" { "failed" } else { "were bad" }, grouped(past.requests));
    if past.events > 0.0 {
        format!("{} of {requests} requests {happened}", grouped(past.events.ceil()))
    } else {
        format!("none of {requests} requests {happened}")
    }
}

/// What kind of scatter it is, and by how much evidence is divided for it.
fn what(they: &str, dispersion: &Dispersion) -> String {
    let most = dispersion.upper(Z_HARM);
    if most < HARDLY {
        return format!("{they} come independently, so evidence counts in full");
    }
    let by = format!("evidence is divided by {}", short(most));
    // Of geometric clusters with this dispersion.
    let burst = |dispersion: f64| short(0.5 * (dispersion + 1.0));
    let noise = dispersion.regression.map_or(0.0, |found| found.noise * dispersion.events_per_minute);
    let clusters = dispersion.regression.map_or(most, |found| found.clusters);
    if dispersion.scale_minutes > 1 {
        let scale = dispersion.scale_minutes;
        format!("{they} go up and down over {scale} minutes and more, so evidence is divided by up to {}", short(most))
    } else if noise > clusters {
        let percent = dispersion.regression.map_or(0.0, |found| 100.0 * found.noise.sqrt());
        format!(
            "their rate changes by itself by about {percent:.0} % from minute to minute, so evidence is divided by up \
             to {}",
            short(most)
        )
    } else if most < BURST {
        format!("{they} come a little unevenly, so {by}")
    } else {
        format!("{they} come in bursts of about {}, so {by}", burst(most))
    }
}

pub(super) fn short(value: f64) -> String {
    if value >= 10.0 { grouped(value) } else { format!("{value:.1}") }
}

/// Minutes with data.
fn length(minutes: u32) -> String {
    match minutes {
        1 => "1 minute".to_owned(),
        0..120 => format!("{minutes} minutes"),
        _ => format!("{} hours", minutes.div_ceil(60)),
    }
}

fn aside(learned: &Learned) -> String {
    let hours: Vec<String> = learned.set_aside.iter().map(|hour| from_to(*hour)).collect();
    match hours.len() {
        0 => String::new(),
        1 => format!("; {} set aside as an incident", hours.join("")),
        _ => format!("; {} set aside as incidents", hours.join(", ")),
    }
}

/// `11-20 13:00 to 14:00`; of a recording that counts its minutes, `minutes -120 to -60`.
fn from_to(hour: Minute) -> String {
    if is_counted(hour) {
        return format!("minutes {} to {}", hour.index(), hour.plus(60).index());
    }
    let (start, end) = (hour.start(), hour.plus(60).start());
    let date = start.to_string().get(5..10).unwrap_or_default().to_owned();
    format!("{date} {} to {}", start.hour_minute(), end.hour_minute())
}
