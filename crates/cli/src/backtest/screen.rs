//! What came of it as people see it: at most 100 columns, the same in a terminal and in a CI log.

use std::collections::BTreeSet;
use std::io::{self, Write};

use coalmine_core::analysis::{grouped, percent};
use coalmine_core::recording::When;
use coalmine_core::spec::{RolloutSpec, Version};
use coalmine_core::text;
use coalmine_core::units::{Span, plain_number};

use super::happened::{At, Ended, Happened, How};
use super::study::{Row, Seen, Share, Study};
use super::{Document, Question, SHOWN_CHARS};
use crate::analyze::screen::item;
use crate::plan::screen::line;

const COLUMNS: usize = 100;

/// Names from outside are no longer than that.
const NAME_CHARS: usize = 200;

/// Minutes of a release that are told one by one.
const MINUTES_TOLD: usize = 8;

/// Where the columns of a table begin, and how wide its first one is.
const RELEASE: usize = 32;

/// What stands for the part of a name that there is no room for.
const CUT: [char; 2] = ['.', '.'];

pub fn print(document: &Document, spec: &RolloutSpec, out: &mut impl Write) -> io::Result<()> {
    heading(document, spec, out)?;
    if let Some(why) = &document.not_studied {
        line(out, "! ", &format!("the spec cannot be tried on this traffic: {why}"))?;
    }
    if let Some(study) = &document.study {
        studied(study, spec, out)?;
    }
    for happened in &document.happened {
        as_it_happened(happened, spec, out)?;
    }
    for note in &document.notes {
        line(out, "! ", &text::shown(note, SHOWN_CHARS))?;
    }
    Ok(())
}

fn heading(document: &Document, spec: &RolloutSpec, out: &mut impl Write) -> io::Result<()> {
    let left = format!("BACKTEST  {}  by {}", shown(&document.target), shown(&document.spec));
    let right = "NOTHING CHANGED";
    match left.chars().count() + right.len() + 2 <= COLUMNS {
        true => writeln!(out, "{left}{right:>width$}", width = COLUMNS - left.chars().count())?,
        false => writeln!(out, "{left}\n{right:>COLUMNS$}")?,
    }
    line(out, "", &verdict(document, spec))?;
    writeln!(out)
}

/// Is it on fire?
fn verdict(document: &Document, spec: &RolloutSpec) -> String {
    let caught = document.happened.iter().filter(|one| one.is_caught() == Some(true)).count();
    match (document.asked, &document.study, document.happened.first()) {
        (Question::Incident, _, Some(one)) => incident(one, spec),
        (Question::Deployments, _, Some(_)) => {
            let found = document.happened.len();
            let deployments = if found == 1 { "DEPLOYMENT" } else { "DEPLOYMENTS" };
            format!("{found} {deployments} FOUND, {caught} proven worse")
        }
        (Question::Incident | Question::Deployments, _, None) => "NOTHING FOUND".to_owned(),
        (Question::Spec, Some(study), _) => promise(study),
        (Question::Spec, None, _) => "NOT TRIED".to_owned(),
    }
}

fn incident(one: &Happened, spec: &RolloutSpec) -> String {
    let late = too_late(one, spec).map_or(String::new(), |late| format!(", {late}"));
    match (one.is_caught(), one.decided_minute) {
        (Some(true), Some(minute)) => format!("IT WOULD HAVE BEEN CAUGHT, with the minute {}{late}", when(minute)),
        (Some(true), None) => "IT WOULD HAVE BEEN CAUGHT, for lack of data".to_owned(),
        (Some(false), _) => "IT WOULD NOT HAVE BEEN CAUGHT: it was proven fine".to_owned(),
        (None, _) => match one.how {
            How::NotSeen => "NOBODY CAN TELL: there is nothing to judge".to_owned(),
            How::AtOnce => {
                "CANNOT BE TOLD FROM THIS RELEASE: it was made all at once, and was no catastrophe".to_owned()
            }
            How::Beside => "CANNOT BE TOLD FROM THIS RELEASE: it was neither proven worse nor proven fine".to_owned(),
        },
    }
}

/// Of a step that is not the last one, a proof is not yet one for all traffic.
fn too_late(one: &Happened, spec: &RolloutSpec) -> Option<&'static str> {
    one.is_caught_late(&spec.steps).then_some(match spec.steps.len() {
        0 | 1 => "but after it would have had all traffic",
        _ => "but after it might have had all traffic",
    })
}

/// Those at the deadline are no false proofs, but whoever releases has been rolled back all the same.
fn promise(study: &Study) -> String {
    let Study { same, runs, promised, .. } = study;
    let proven = same.rolled_back;
    let late = match same.undecided.rolls_back {
        0 => String::new(),
        more => format!(", {more} more at the deadline, undecided"),
    };
    let of = grouped_of(*runs);
    let seen = format!("{proven} of {of} releases that were no worse were rolled back as proven worse{late}");
    let sure = interval(same.share);
    let allowed = format!("`falseRollback` allows {}", percent(*promised));
    match study.keeps_its_promise {
        true if same.share.upper <= *promised => format!("KEEPS ITS PROMISE: {seen} ({sure}); {allowed}"),
        true => format!("WITHIN ITS PROMISE, as far as can be told: {seen} ({sure}); {allowed}"),
        false => format!("ROLLS BACK MORE THAN IT PROMISES: {seen} ({sure}); {allowed}"),
    }
}

fn interval(share: Share) -> String {
    let Share { lower, upper, .. } = share;
    match lower > 0.0 {
        true => format!("{} to {}, 95 % sure", percent(lower), percent(upper)),
        false => format!("at most {}, 95 % sure", percent(upper)),
    }
}

fn studied(study: &Study, spec: &RolloutSpec, out: &mut impl Write) -> io::Result<()> {
    for seen in &study.traffic {
        traffic(seen, out)?;
    }
    writeln!(out)?;
    let tried = format!("  of {} releases each", grouped_of(study.runs));
    let over =
        format!("{:RELEASE$}{:<13}{:<10}{:<15}minutes until back  requests", "", "rolled back", "promoted", "neither");
    writeln!(out, "{}", over.trim_end())?;
    writeln!(out, "{tried:<RELEASE$}{:38}usual / 9 of 10     until then", "")?;
    let names = names(&study.worse);
    row(&study.same, &study.same.release, study.runs, out)?;
    for (one, name) in study.worse.iter().zip(&names) {
        row(one, name, study.runs, out)?;
    }
    writeln!(out)?;
    if let Some(usual) = study.same.until_promoted.usual {
        let nine =
            study.same.until_promoted.nine_of_ten.map_or(String::new(), |nine| format!(", 9 of 10 within {nine}"));
        line(out, "  ", &format!("the same version had all traffic usually after {usual} minutes{nine}"))?;
    }
    undecided(&study.same, spec.deadline, out)?;
    if study.failures_together > 1.0 {
        let together = plain_number(study.failures_together);
        line(out, "  ", &format!("failures were split {together} at a time, as where an environment fails"))?;
    } else {
        line(out, "  ", "requests were split one by one; see --together for failures that hit one version together")?;
    }
    let timeout = Span::from_seconds(study.timeout_seconds);
    let assumed = if study.timeout_assumed { ", assumed" } else { "" };
    let clock = format!("by the clock, with 3 minutes of CloudWatch's delay and calls of up to {timeout}{assumed}");
    line(out, "  ", &format!("seed {}; times {clock}", study.seed))?;
    writeln!(out)
}

fn traffic(seen: &Seen, out: &mut impl Write) -> io::Result<()> {
    let case = seen.case.as_deref().map(|case| format!("{}: ", shown(case))).unwrap_or_default();
    let events = seen.events.as_ref();
    let events = events.map_or(String::new(), |one| format!(", {} {}", percent(one.share), shown(&one.check)));
    let past = Span::from_minutes(u64::try_from(seen.past_minutes).unwrap_or(0));
    let span = span(seen.from, seen.until);
    let said = format!(
        "{case}{} minutes, {span}: {} requests of the old version{events}; a release has {past} of past before it",
        grouped_of(seen.minutes),
        grouped(seen.requests)
    );
    line(out, "Traffic: ", &said)?;
    if seen.minutes_without > 0 {
        line(out, "! ", &format!("{case}{} minutes in between have no data", grouped_of(seen.minutes_without)))?;
    }
    if seen.goes_round {
        let said = "too short for a past and a release: its minutes come again and again, as the past, too, so that more is known \
                    of it than of what is to come";
        line(out, "! ", &format!("{case}{said}"))?;
    }
    for check in &seen.left_out {
        line(out, "! ", &format!("{case}{}: no data; releases were judged without it", shown(check)))?;
    }
    Ok(())
}

/// The releases' names as they fit: what is worse is told as a whole, and a check's name is shortened the same way everywhere.
fn names(rows: &[Row]) -> Vec<String> {
    // Two columns before it, a space between its halves, and one behind it.
    let how = rows.iter().map(|row| row.how.chars().count()).max().unwrap_or(0);
    let room = RELEASE.saturating_sub(4 + how);
    let mut checks: Vec<String> = rows.iter().map(|row| shown(&row.check)).collect();
    checks.dedup();
    rows.iter().map(|row| format!("{} {}", shortened(&shown(&row.check), &checks, room), row.how)).collect()
}

/// `checkout..errors`: as much of its end as of its beginning, unless another name would be the same then.
fn shortened(name: &str, all: &[String], room: usize) -> String {
    if name.chars().count() <= room {
        return name.to_owned();
    }
    let letters = room.saturating_sub(CUT.len());
    let cut = |name: &str, begin: usize| -> String {
        let chars: Vec<char> = name.chars().collect();
        let end = chars.len().saturating_sub(letters - begin);
        chars.iter().take(begin).chain(CUT.iter()).chain(chars.iter().skip(end)).collect()
    };
    let too_long: Vec<&String> = all.iter().filter(|other| other.chars().count() > room).collect();
    let tells = |begin: &usize| {
        let short: BTreeSet<String> = too_long.iter().map(|other| cut(other, *begin)).collect();
        short.len() == too_long.len()
    };
    let half = letters / 2;
    let begin = (half..=letters).chain((0..half).rev()).find(tells);
    if let Some(begin) = begin {
        return cut(name, begin);
    }
    // They differ in the middle only.
    let number = all.iter().position(|other| other == name).map_or(String::new(), |place| (place + 1).to_string());
    let begin = letters.saturating_sub(number.chars().count());
    name.chars().take(begin).chain(CUT).chain(number.chars()).collect()
}

fn row(row: &Row, name: &str, runs: usize, out: &mut impl Write) -> io::Result<()> {
    let caught = format!("{} ({})", row.rolled_back, percent(row.share.seen));
    let after = if row.rolled_back == 0 { "-".to_owned() } else { row.until_rolled_back.shown() };
    let requests = row.requests_until_rolled_back.map_or("-".to_owned(), grouped);
    let undecided = row.undecided.all();
    let name = format!("  {name}");
    debug_assert!(u64::try_from(runs).is_ok_and(|runs| row.rolled_back + row.promoted + undecided == runs));
    writeln!(out, "{name:<RELEASE$}{caught:<13}{:<10}{undecided:<15}{after:<20}{requests}", row.promoted)
}

fn undecided(same: &Row, deadline: Span, out: &mut impl Write) -> io::Result<()> {
    let undecided = same.undecided;
    if undecided.all() == 0 {
        return Ok(());
    }
    let ends = [
        (undecided.pauses, "paused"),
        (undecided.rolls_back, "rolled back without proof"),
        (undecided.promotes, "promoted without proof"),
    ];
    let ends: Vec<String> =
        ends.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    line(
        out,
        "! ",
        &format!("nothing was proven of {} by the deadline of {deadline}: {}", undecided.all(), ends.join(", ")),
    )
}

fn as_it_happened(happened: &Happened, spec: &RolloutSpec, out: &mut impl Write) -> io::Result<()> {
    let version =
        |version: &Option<String>| version.as_ref().map(|version| shown(&Version(version.clone()).to_string()));
    let name = match (version(&happened.old), version(&happened.new), &happened.case) {
        (Some(old), Some(new), _) => Some(format!("{old} -> {new}")),
        (_, _, Some(case)) => Some(shown(case)),
        _ => None,
    };
    let span = happened.from.zip(happened.until).map(|(from, until)| span(from, until));
    let how = match happened.how {
        How::AtOnce => Some("all at once".to_owned()),
        How::Beside | How::NotSeen => None,
    };
    let ended = match happened.ended {
        Some(Ended::Old) => Some("taken back then".to_owned()),
        Some(Ended::New) => Some("kept then".to_owned()),
        Some(Ended::Unknown) | None => None,
    };
    let parts: Vec<String> = [name, span, how, ended].into_iter().flatten().collect();
    line(out, "AS IT HAPPENED  ", &parts.join(", "))?;
    let requests = happened.requests_until_decided;
    let requests =
        requests.map_or(String::new(), |count| format!(", after {} requests of the new version", grouped(count)));
    let late = too_late(happened, spec).map_or(String::new(), |late| format!(", {late}"));
    line(out, "  ", &format!("{}{requests}{late}", shown(&happened.headline)))?;
    for at in told(happened) {
        minute(at, happened.decided_minute, out)?;
    }
    for said in happened.reasons.iter().chain(&happened.notes) {
        item(out, said)?;
    }
    writeln!(out)
}

/// The first, the last, the one that decided, and some between them.
fn told(happened: &Happened) -> Vec<&At> {
    let all = &happened.minutes;
    let decided = happened.decided_minute.map(When::minute);
    let end = decided.and_then(|decided| all.iter().position(|at| at.minute.minute() >= decided));
    let shown = all.get(..=end.unwrap_or(all.len().saturating_sub(1))).unwrap_or(all);
    let stride = shown.len().div_ceil(MINUTES_TOLD).max(1);
    let last = shown.len().saturating_sub(1);
    shown.iter().enumerate().filter(|(place, _)| (last - place).is_multiple_of(stride)).map(|(_, at)| at).collect()
}

fn minute(at: &At, decided: Option<When>, out: &mut impl Write) -> io::Result<()> {
    let is_it = decided.is_some_and(|decided| at.minute.minute() >= decided.minute());
    let found = if is_it {
        "   proven worse"
    } else if at.towards_proof >= 1.0 {
        "   proven fine"
    } else {
        ""
    };
    writeln!(
        out,
        "    {:<17} {:>10} requests   rollback {:>5}   proof {:>5}{found}",
        short(at.minute),
        grouped(at.requests),
        percent_whole(at.towards_rollback),
        percent_whole(at.towards_proof)
    )
}

fn percent_whole(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// `17 to 59`, `2026-11-21 14:02 to 2026-11-21 15:01 UTC`.
fn span(from: When, until: When) -> String {
    format!("{} to {}", short(from), when(until))
}

/// `17`, `2026-11-21 14:02 UTC`.
fn when(when: When) -> String {
    match when {
        When::Number(_) => short(when),
        When::Time(_) => format!("{} UTC", short(when)),
    }
}

/// `17`, `2026-11-21 14:02`: seconds say nothing of a minute.
fn short(when: When) -> String {
    let text = when.to_string();
    match when {
        When::Number(_) => text,
        When::Time(_) => text.trim_end_matches(":00Z").replace('T', " "),
    }
}

fn shown(text: &str) -> String {
    text::shown(text, NAME_CHARS)
}

#[allow(clippy::cast_precision_loss, reason = "releases and minutes are far below 2^52")]
fn grouped_of(count: usize) -> String {
    grouped(count as f64)
}
