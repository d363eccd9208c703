//! Comparisons as sentences: both numbers, then the ratio, then how sure.

use crate::spec::CheckMode;
use crate::units::{Minute, plain_number};

use super::aftermath::Aftermath;
use super::bars::{MINUTES_TO_PASS, Reason};
use super::course::{Newest, Prospect, Reading, Warmth};
use super::findings::{HARDLY, short};
use super::{Comparison, Count, Doubt, Evidence, Interval, LevelComparison, Measure, Samples, Verdict};

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
    let evidence = &comparison.evidence;
    let conclusion = match (why, reading.warmth) {
        (Reason::ProvenWorse, _) => proven_worse(comparison.mode).to_owned(),
        (Reason::NoData | Reason::After, _) => String::new(),
        (Reason::ProvenFine, _) => format!("; {tolerated}: proven"),
        (Reason::LooksWorse, Warmth::Cold) => COLD.to_owned(),
        (Reason::LooksWorse, Warmth::Warm | Warmth::WarmingUp { .. }) => looks_worse(evidence),
        (Reason::Blind, _) => format!("; {}", reading.blind.as_deref().unwrap_or("cannot be told from these data")),
        (Reason::NotEnough | Reason::TooSoon, Warmth::WarmingUp { served, needed }) => warming_up(served, needed),
        (Reason::TooSoon, _) => {
            format!("; {tolerated}: proven, once there are {MINUTES_TO_PASS} minutes of data at this weight")
        }
        (Reason::NotEnough, _) => not_proven_yet(&tolerated, evidence, reading.prospect),
    };
    format!("{}{}{conclusion}", rates(comparison), ratio(comparison, alpha))
}

fn proven_worse(mode: CheckMode) -> &'static str {
    match mode {
        CheckMode::Enforce => "; proven worse",
        CheckMode::Hold => "; proven worse, which holds but does not roll back (mode: hold)",
        CheckMode::Observe => "; proven worse, which is only shown (mode: observe)",
    }
}

const COLD: &str = "; worse, but with so little traffic a new version may only be cold: it holds, and rolls back if the \
                    next requests prove it again";

/// How far it is from a rollback, and why it may be further than the numbers look.
fn looks_worse(evidence: &Evidence) -> String {
    let divided = if evidence.tempered_threshold.is_finite() && evidence.dispersion >= HARDLY {
        format!(", divided by {} for how the old version's come", short(evidence.dispersion))
    } else {
        String::new()
    };
    format!("; looks worse, not proven: so far {}{divided}", part(evidence.towards_rollback()))
}

/// `60 % of the evidence needed`. What is not proven never has all of it.
fn part(of_needed: f64) -> String {
    match (100.0 * of_needed).floor().min(99.0) {
        percent if percent >= 1.0 => format!("{percent:.0} % of the evidence needed"),
        _ => "none of the evidence needed".to_owned(),
    }
}

fn warming_up(served: f64, needed: f64) -> String {
    let requests = match needed > served {
        true => format!(" ({} of {} requests served)", grouped(served), grouped(needed)),
        false => String::new(),
    };
    format!("; the new version still warms up at this weight{requests}, so this is not judged yet")
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
#[must_use]
pub fn figure(value: f64) -> String {
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
    if after.canary.requests <= 0.0 {
        return format!("{}no data of the new version since {since}, when it got all traffic", prefix(check));
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

/// A share as people write it: `12 %`, `3.9 %`, `0.41 %`, `0.052 %`. There is no share below none: `0 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    // Not `max` alone, which may keep the sign of a zero.
    let percent = if share > 0.0 { share * 100.0 } else { 0.0 };
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

/// `14:02`; of a recording that counts its minutes, `minute 17`.
fn clock(minute: Minute) -> String {
    if is_counted(minute) { format!("minute {}", minute.index()) } else { minute.start().hour_minute() }
}

/// A recording may count its minutes from 0. No rollout was before 1971.
pub(super) fn is_counted(minute: Minute) -> bool {
    minute.index().abs() < 365 * 24 * 60
}

fn no_data(comparison: &Comparison, newest: &Newest, samples: &Samples) -> String {
    let since = samples.step_since.or_else(|| samples.minutes.first().map(|sample| sample.minute));
    let silent = |newest: Option<Minute>| match (newest, since) {
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
    let since = since.map_or_else(|| " yet".to_owned(), |since| format!(" since {}", clock(since)));
    let failing = if comparison.verdict == Verdict::Fail { ", which fails this check (onNoData: fail)" } else { "" };
    format!("{}{whose}{since}{failing}", prefix(&comparison.check))
}

fn not_proven_yet(tolerated: &str, evidence: &Evidence, prospect: Prospect) -> String {
    let missing = match evidence.requests_missing {
        Some(missing) if missing > 0.0 => match rounded_up(missing) {
            one if one <= 1.0 => "about 1 more request of the new version".to_owned(),
            more => format!("about {} more requests of the new version", grouped(more)),
        },
        Some(_) | None => "more requests of both versions".to_owned(),
    };
    let so_far = match evidence.promotion_threshold > 0.0 {
        true => part(evidence.promotion / evidence.promotion_threshold),
        false => part(0.0),
    };
    let outlook = match prospect {
        Prospect::Fine => String::new(),
        Prospect::AtLeast(points) => format!(
            "; at this traffic `tolerate: {}pt` is the least that can be proven by the deadline",
            plain_number(100.0 * points)
        ),
        Prospect::Nothing => "; at this traffic not even `tolerate: 5pt` can be proven by the deadline".to_owned(),
    };
    format!("; {tolerated}: not proven yet, so far {so_far}, {missing} to come{outlook}")
}

/// To two digits: an expectation is not known better.
fn rounded_up(value: f64) -> f64 {
    let unit = 10_f64.powf((value.log10().floor() - 1.0).max(0.0));
    (value / unit).ceil() * unit
}

/// `3.9 % of new requests failed (37 of 958), 0.4 % of old`.
fn rates(comparison: &Comparison) -> String {
    if comparison.canary.requests <= 0.0 && comparison.baseline.requests <= 0.0 {
        return format!("{}no requests of both versions to compare yet", prefix(&comparison.check));
    }
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

pub(super) fn share(count: Count) -> f64 {
    if count.requests > 0.0 { count.events / count.requests } else { 0.0 }
}

/// Below it, "at least 1.0 times" would say nothing; above the other, "at most" would be no comfort.
const LEAST_SHOWN: f64 = 1.05;
const MOST_SHOWN: f64 = 20.0;

/// `: 9.6 times as often [4.1 to 22], 99 % sure`: the interval holds at every minute, however often one looks.
fn ratio(comparison: &Comparison, alpha: f64) -> String {
    let Some(Interval { estimate, lower, upper }) = comparison.ratio else { return String::new() };
    let sure = format!("{} % sure", plain_number(100.0 * (1.0 - alpha)));
    if comparison.canary.events <= 0.0 {
        return match upper.is_finite() && upper <= MOST_SHOWN {
            true => format!(": at most {} times as often, {sure}", times(upper)),
            false => String::new(),
        };
    }
    if estimate.is_infinite() {
        return match lower >= LEAST_SHOWN {
            true => format!(": at least {} times as often, {sure}", times(lower)),
            false => String::new(),
        };
    }
    let pooled = share(comparison.canary) / share(comparison.baseline);
    // Where traffic, rates and weights move together, the totals' ratio misleads; the minutes' does not.
    let where_ = if (estimate / pooled).ln().abs() > 0.15 { "minute by minute " } else { "" };
    let often = format!(": {where_}{} times as often", times(estimate));
    match (lower >= LEAST_SHOWN, upper.is_finite()) {
        // What is known so badly is not worth a number.
        (true, true) if upper > 100.0 * lower => format!(": at least {} times as often, {sure}", times(lower)),
        (_, true) => format!("{often} [{} to {}], {sure}", times(lower), times(upper)),
        (true, false) => format!("{often}, at least {} times, {sure}", times(lower)),
        (false, false) => often,
    }
}

fn times(ratio: f64) -> String {
    match ratio {
        ratio if ratio >= 19.95 => grouped(ratio),
        ratio if ratio >= 0.095 => format!("{ratio:.1}"),
        ratio => format!("{ratio:.2}"),
    }
}
