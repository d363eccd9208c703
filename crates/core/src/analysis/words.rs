//! Comparisons as sentences: both numbers, then the ratio, then how sure.

use crate::spec::CheckMode;
use crate::units::plain_number;

use super::aftermath::Aftermath;
use super::bars::{MINUTES_TO_PASS, Reason};
use super::course::{Newest, Prospect, Reading};
use super::{Comparison, Count, Doubt, Interval, LevelComparison, Measure, Samples, Verdict};

pub(super) fn sentence(
    comparison: &Comparison,
    why: Reason,
    reading: &Reading,
    samples: &Samples,
    alpha: f64,
) -> String {
    if why == Reason::NoData {
        return no_data(comparison, &reading.newest, samples);
    }
    let tolerated = match &comparison.slower {
        Some(slower) => slower.tolerated(comparison),
        None => format!("no worse than {}", comparison.tolerance),
    };
    let conclusion = match why {
        Reason::ProvenWorse if comparison.mode == CheckMode::Hold => {
            "; proven worse, which holds but does not roll back (mode: hold)".to_owned()
        }
        Reason::ProvenWorse | Reason::NoData | Reason::After => String::new(),
        Reason::ProvenFine => format!("; {tolerated}: proven"),
        Reason::LooksWorse => "; looks worse, not proven".to_owned(),
        Reason::TooSoon => {
            format!("; {tolerated}: proven, once there are {MINUTES_TO_PASS} minutes of data at this weight")
        }
        Reason::Blind => format!("; {}", reading.blind.as_deref().unwrap_or("cannot be told from these data")),
        Reason::NotEnough => not_proven_yet(&tolerated, comparison.evidence.requests_missing, reading.prospect),
    };
    format!("{}{}{conclusion}", rates(comparison), ratio(comparison, why, alpha))
}

/// Of a mean or a gauge: `memory: 81.2 in the new version, 60.1 in the old (+18.3 to +23.9, 99 % sure); ...`.
pub(super) fn level_sentence(
    comparison: &Comparison,
    measure: Measure,
    newest: &Newest,
    samples: &Samples,
    alpha: f64,
) -> String {
    let Some(LevelComparison { canary, baseline, difference }) = comparison.level else {
        return no_data(comparison, newest, samples);
    };
    let sure = difference.map_or_else(String::new, |(from, to)| {
        let signed = |value: f64| format!("{}{}", if value < 0.0 { "" } else { "+" }, figure(value));
        format!(" ({} to {}, {} % sure)", signed(from), signed(to), plain_number(100.0 * (1.0 - alpha)))
    });
    let tolerated = percent(comparison.tolerance.factor - 1.0);
    let conclusion = match (measure, comparison.doubt) {
        (Measure::Gauge, Some(Doubt::LooksWorse)) => {
            format!("more than {tolerated} higher, which holds and never rolls back")
        }
        (Measure::Gauge, Some(Doubt::NoData)) => return no_data(comparison, newest, samples),
        (Measure::Gauge, _) => format!("not found to be more than {tolerated} higher, which proves nothing"),
        (Measure::Mean | Measure::Counts | Measure::Latency | Measure::Distribution, _) => {
            "shown only, decides nothing".to_owned()
        }
    };
    let (new, old) = (figure(canary), figure(baseline));
    format!("{}: {new} in the new version, {old} in the old{sure}; {conclusion}", comparison.check)
}

/// Three digits of a number: `81.2`, `1,240`, `0.00123`.
fn figure(value: f64) -> String {
    let size = value.abs();
    let sign = if value < 0.0 { "-" } else { "" };
    match size {
        size if size >= 1e15 => format!("{sign}{size:.2e}"),
        size if size >= 100.0 => format!("{sign}{}", grouped(size)),
        size if size >= 10.0 => format!("{sign}{size:.1}"),
        size if size >= 1.0 => format!("{sign}{size:.2}"),
        size if size >= 1e-3 => format!("{sign}{size:.4}"),
        size if size > 0.0 => format!("{sign}{size:.2e}"),
        _ => "0".to_owned(),
    }
}

/// Of the new version alone at 100 %: `12 % of new requests failed (290 of 2,400) since 14:32, when it got all traffic,
/// 0.4 % of old before: ...`.
pub(super) fn after_sentence(check: &str, after: &Aftermath) -> String {
    let since = after.since.start().hour_minute();
    if after.baseline.requests <= 0.0 {
        return format!(
            "{}no data of the old version in this rollout: since {since} the new version has all traffic, there is \
             nothing to look back at, and only the alarms guard",
            prefix(check)
        );
    }
    let found = format!(
        "{}{} since {since}, when it got all traffic, {} before",
        prefix(check),
        new_rate(check, after.canary),
        old_rate(after.baseline)
    );
    let conclusion = match (after.usable, after.proven) {
        (false, _) => "too few requests of the old version to tell a catastrophe by; only the alarms guard",
        (true, false) => "no catastrophe; a look at before and after, not a comparison",
        (true, true) => "a catastrophe by a look at before and after, which is not a comparison",
    };
    format!("{found}: {conclusion}")
}

/// `1,240`.
#[must_use]
pub fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share as people write it: `12 %`, `3.9 %`, `0.41 %`, `0.052 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    // A rate of nothing that was scaled down may be -0, and rounding may make it so.
    let percent = (share * 100.0).max(0.0) + 0.0;
    let decimals = match percent {
        p if p >= 10.0 || p <= 0.0 => 0,
        p if p >= 1.0 => 1,
        p if p >= 0.1 => 2,
        p if p >= 0.01 => 3,
        _ => 4,
    };
    let text = format!("{percent:.decimals$}");
    let text = if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} %")
}

fn no_data(comparison: &Comparison, newest: &Newest, samples: &Samples) -> String {
    let since = samples.step_since.or_else(|| samples.minutes.first().map(|sample| sample.minute));
    let silent = |newest: Option<crate::units::Minute>| match (newest, since) {
        (Some(newest), Some(since)) => newest < since,
        (None, _) => true,
        (Some(_), None) => false,
    };
    let whose = match (silent(newest.canary), silent(newest.baseline)) {
        (true, false) => "no data of the new version",
        (false, true) => "no data of the old version",
        (true, true) => "no data of either version",
        (false, false) => "no minute with data of both versions",
    };
    let since = since.map_or_else(|| " yet".to_owned(), |since| format!(" since {}", since.start().hour_minute()));
    let failing = if comparison.verdict == Verdict::Fail { ", which fails this check (onNoData: fail)" } else { "" };
    format!("{}{whose}{since}{failing}", prefix(&comparison.check))
}

fn not_proven_yet(tolerated: &str, missing: Option<f64>, prospect: Prospect) -> String {
    let needed = match missing {
        Some(missing) if missing > 0.0 => {
            format!("about {} more requests of the new version needed", grouped(rounded_up(missing)))
        }
        Some(_) | None => "more requests of both versions needed".to_owned(),
    };
    let outlook = match prospect {
        Prospect::Fine => String::new(),
        Prospect::AtLeast(points) => format!(
            "; at this traffic {} are the least that can be proven by the deadline",
            counted(100.0 * points, "point")
        ),
        Prospect::Nothing => "; at this traffic not even 5 points can be proven by the deadline".to_owned(),
    };
    format!("; {tolerated}: not proven yet, {needed}{outlook}")
}

fn counted(number: f64, what: &str) -> String {
    let plural = if (number - 1.0).abs() < f64::EPSILON { "" } else { "s" };
    format!("{} {what}{plural}", plain_number(number))
}

/// To two digits: an expectation is not known better.
fn rounded_up(value: f64) -> f64 {
    let unit = 10_f64.powf((value.log10().floor() - 1.0).max(0.0));
    (value / unit).ceil() * unit
}

/// `3.9 % of new requests failed (37 of 958), 0.4 % of old`.
fn rates(comparison: &Comparison) -> String {
    if let Some(slower) = &comparison.slower {
        return slower.rates(comparison);
    }
    let new = new_rate(&comparison.check, comparison.canary);
    format!("{}{new}, {}", prefix(&comparison.check), old_rate(comparison.baseline))
}

fn new_rate(check: &str, canary: Count) -> String {
    let happened = if check == ERRORS { "failed" } else { "were bad" };
    match canary.events {
        events if events > 0.0 => format!(
            "{} of new requests {happened} ({} of {})",
            percent(share(canary)),
            grouped(events),
            grouped(canary.requests)
        ),
        _ => format!("none of {} new requests {happened}", grouped(canary.requests)),
    }
}

fn old_rate(baseline: Count) -> String {
    match baseline.events {
        events if events > 0.0 => format!("{} of old", percent(share(baseline))),
        _ => format!("none of {} old", grouped(baseline.requests)),
    }
}

/// The name of the check for which `failed` is the right word.
const ERRORS: &str = "errors";

fn prefix(check: &str) -> String {
    if check == ERRORS { String::new() } else { format!("{check}: ") }
}

fn share(count: Count) -> f64 {
    if count.requests > 0.0 { count.events / count.requests } else { 0.0 }
}

/// Below it, "at least 1.0 times" would say nothing.
const LEAST_SHOWN: f64 = 1.05;

/// `: 9.6 times as often, at least 4.1 times (99 % sure)`.
fn ratio(comparison: &Comparison, why: Reason, alpha: f64) -> String {
    let Some(Interval { estimate, lower, upper }) = comparison.ratio else { return String::new() };
    if comparison.canary.events <= 0.0 {
        return String::new();
    }
    let sure = format!("({} % sure)", plain_number(100.0 * (1.0 - alpha)));
    let worse = why == Reason::ProvenWorse || comparison.doubt == Some(Doubt::LooksWorse);
    if estimate.is_infinite() {
        return if lower >= LEAST_SHOWN {
            format!(": at least {} times as often {sure}", times(lower))
        } else {
            String::new()
        };
    }
    let pooled = share(comparison.canary) / share(comparison.baseline);
    // Where traffic, rates and weights move together, the totals' ratio misleads; the minutes' does not.
    let where_ = if (estimate / pooled).ln().abs() > 0.15 { "minute by minute " } else { "" };
    let often = format!(": {where_}{} times as often", times(estimate));
    match (worse, lower >= LEAST_SHOWN, upper.is_finite()) {
        (true, true, _) => format!("{often}, at least {} times {sure}", times(lower)),
        (true, false, true) => format!("{often}, between {} and {} times {sure}", times(lower), times(upper)),
        (true, false, false) | (false, _, false) => often,
        (false, _, true) => format!("{often}, at most {} times {sure}", times(upper)),
    }
}

fn times(ratio: f64) -> String {
    match ratio {
        ratio if ratio >= 99.5 => grouped(ratio),
        ratio if ratio >= 0.1 => format!("{ratio:.1}"),
        ratio => format!("{ratio:.2}"),
    }
}
