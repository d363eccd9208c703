//! Verdicts as people read them: at most 100 columns, the same in a terminal and in a CI log.

use std::io::{self, Write};

use coalmine_core::analysis::replay::Judged;
use coalmine_core::analysis::{Doubt, Verdict, grouped};
use coalmine_core::recording::When;
use coalmine_core::text;

use super::Tally;

const COLUMNS: usize = 100;

/// A case's name has 200 bytes at most, a file's path four thousand.
const NAME_CHARS: usize = 500;

/// No sentence is as long.
const ITEM_CHARS: usize = 4000;

/// Where a check's sentence begins.
const INDENT: usize = 4;

pub fn judged(out: &mut impl Write, name: &str, judged: &Judged) -> io::Result<()> {
    writeln!(out, "{}: {}; {}", text::shown(name, NAME_CHARS), headline(judged), data(judged))?;
    for comparison in &judged.analysis.comparisons {
        item(out, &comparison.sentence)?;
    }
    judged.notes.iter().try_for_each(|note| item(out, note))
}

pub fn broken(out: &mut impl Write, name: &str, why: &str) -> io::Result<()> {
    writeln!(out, "{}: NOT JUDGED", text::shown(name, NAME_CHARS))?;
    item(out, why)
}

pub(super) fn summary(out: &mut impl Write, tally: &Tally) -> io::Result<()> {
    let not_judged = if tally.broken > 0 { format!(", {} not judged", number(tally.broken)) } else { String::new() };
    writeln!(
        out,
        "{} cases: {} proven worse, {} proven fine, {} not proven{not_judged}",
        number(tally.cases()),
        number(tally.fail),
        number(tally.pass),
        number(tally.inconclusive)
    )
}

/// `PROVEN WORSE at minute 17`.
pub fn headline(judged: &Judged) -> String {
    let at = |minute: Option<When>| minute.map_or_else(String::new, |minute| format!(" at minute {minute}"));
    match judged.verdict {
        Verdict::Fail if judged.decided.is_none() => "FAILED FOR LACK OF DATA".to_owned(),
        Verdict::Fail => format!("PROVEN WORSE{}", at(judged.decided)),
        Verdict::Pass => format!("PROVEN FINE, first{}", at(judged.passed)),
        Verdict::Inconclusive => match judged.analysis.doubt {
            Some(Doubt::LooksWorse) => "LOOKS WORSE, NOT PROVEN".to_owned(),
            Some(Doubt::NoData) | None => no_data(judged),
            Some(Doubt::SplitUnexpected) => "TRAFFIC IS NOT SPLIT AS STATED".to_owned(),
            Some(Doubt::Blind) => "CANNOT BE TOLD FROM THESE DATA".to_owned(),
            Some(Doubt::StillBaking | Doubt::TooLittleTraffic) => "LOOKS FINE, NOT PROVEN".to_owned(),
        },
    }
}

/// Where some checks have data, which have none.
fn no_data(judged: &Judged) -> String {
    let comparisons = &judged.analysis.comparisons;
    let without = comparisons.iter().filter(|comparison| comparison.doubt == Some(Doubt::NoData));
    let names: Vec<&str> = without.map(|comparison| comparison.check.as_str()).collect();
    if names.is_empty() || names.len() == comparisons.len() {
        return "NO DATA TO TELL".to_owned();
    }
    format!("NOT PROVEN, NO DATA FOR {}", names.join(", "))
}

/// `60 minutes (0 to 59), 1,440 of history`.
pub fn data(judged: &Judged) -> String {
    let span = judged.span.map_or_else(String::new, |(first, last)| match first == last {
        true => format!(" ({first})"),
        false => format!(" ({first} to {last})"),
    });
    let history = match judged.history_minutes {
        0 => String::new(),
        minutes => format!(", {} of history", number(minutes)),
    };
    let minutes = if judged.minutes == 1 { "minute" } else { "minutes" };
    format!("{} {minutes}{span}{history}", number(judged.minutes))
}

/// One bullet, wrapped.
pub fn item(out: &mut impl Write, text: &str) -> io::Result<()> {
    write!(out, "  - ")?;
    let mut column = INDENT;
    // A number stays with its sign.
    for (place, word) in text::shown(text, ITEM_CHARS).replace(" %", "\u{a0}%").split(' ').enumerate() {
        let word = word.replace('\u{a0}', " ");
        let width = word.chars().count();
        if place > 0 && column + 1 + width > COLUMNS {
            write!(out, "\n{:INDENT$}{word}", "")?;
            column = INDENT + width;
        } else {
            let gap = if place > 0 { " " } else { "" };
            write!(out, "{gap}{word}")?;
            column += gap.len() + width;
        }
    }
    writeln!(out)
}

#[allow(clippy::cast_precision_loss, reason = "cases and minutes are far below 2^52")]
pub fn number(count: usize) -> String {
    grouped(count as f64)
}
