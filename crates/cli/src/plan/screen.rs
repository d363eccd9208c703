//! A plan as people see it: at most 100 columns, the same in a terminal and in a CI log.

use std::io::{self, Write};

use coalmine_core::analysis::{grouped, percent};
use coalmine_core::spec::RolloutSpec;
use coalmine_core::text;
use coalmine_core::units::{Span, plain_number};

use super::numbers::{Ends, Harm, Numbers, Smallest, StepNumbers};
use super::warnings::{rounded, tenths};
use super::{Plan, Seen};

const COLUMNS: usize = 100;

/// Where the columns of the tables begin.
const LEFT: usize = 42;
const COLUMN: usize = 11;

/// Texts from outside are no longer than that.
const SHOWN_CHARS: usize = 400;

pub(super) fn print(plan: &Plan, spec: &RolloutSpec, out: &mut impl Write) -> io::Result<()> {
    heading(plan, out)?;
    match &plan.numbers {
        Some(numbers) => {
            if let Some(instead) = &plan.instead {
                let said = format!("these steps are not proven within {}; the numbers are of {instead}", plan.deadline);
                line(out, "! ", &said)?;
                writeln!(out)?;
            }
            steps(plan, numbers, out)?;
            catches(numbers, out)?;
            total(plan, numbers, out)?;
            ends(numbers, out)?;
        }
        None => writeln!(out, "  nothing can be told of when it is proven, or of what it catches\n")?,
    }
    for warning in plan.seen.refused.iter() {
        line(out, "x ", &format!("a start is refused: {}", text::shown(warning, 2_000)))?;
    }
    for warning in plan.seen.warned.iter().chain(&plan.warnings) {
        line(out, "! ", &text::shown(warning, 2_000))?;
    }
    ending(plan, spec, out)
}

fn heading(plan: &Plan, out: &mut impl Write) -> io::Result<()> {
    let Seen { asked, place, versions, data_up_to, quietest, .. } = &plan.seen;
    let shown = |text: &str| text::shown(text, SHOWN_CHARS);
    let what = match versions {
        Some(versions) => format!("PLAN  {}  {}", shown(&plan.target), shown(versions)),
        None => format!("PLAN  {}", shown(&plan.target)),
    };
    let place = place.as_deref().map(shown).unwrap_or_default();
    let left = if place.is_empty() { what } else { format!("{what}   {place}") };
    let right = "NOTHING CHANGED YET";
    match left.chars().count() + right.len() + 2 <= COLUMNS {
        true => writeln!(out, "{left}{right:>width$}", width = COLUMNS - left.chars().count())?,
        false => writeln!(out, "{left}\n{right:>COLUMNS$}")?,
    }
    let traffic = &plan.traffic;
    let quiet = quietest.map_or(String::new(), |quiet| {
        format!(" (quietest hour {} at {:02}:00 UTC)", plain_number(rounded(quiet.per_second)), quiet.hour)
    });
    let from = if *asked { "Traffic, last 7 days" } else { "Traffic, as given" };
    let up_to = data_up_to.map_or(String::new(), |at| format!("; data up to {} UTC", at.hour_minute()));
    let (p50, p99) = (plain_number(traffic.p50_ms.round()), plain_number(traffic.p99_ms.round()));
    let (rate, failing) = (plain_number(rounded(traffic.per_second)), percent(traffic.error_rate));
    let together = match traffic.errors_together > 1.05 {
        true => format!(", about {} at a time", tenths(traffic.errors_together)),
        false => String::new(),
    };
    let when = match (*asked, plan.seen.on_average) {
        (false, _) => "",
        (true, false) => " in the last hour",
        (true, true) => " in its busy hours",
    };
    let said = format!(
        "{rate} requests/s{when}{quiet}, {failing} fail{together}, p50 {p50} ms, p99 {p99} ms, timeout {}{up_to}",
        traffic.timeout
    );
    line(out, &format!("{from}: "), &said)?;
    for learned in &plan.seen.learned {
        line(out, "Learned: ", &shown(learned))?;
    }
    writeln!(out)
}

fn steps(plan: &Plan, numbers: &Numbers, out: &mut impl Write) -> io::Result<()> {
    let harms: Vec<&str> = names(numbers, |step| &step.failing);
    let caught = if harms.is_empty() { "" } else { "minutes until rolled back: usual / 9 of 10 times" };
    writeln!(out, "{}", format!("{:LEFT$}{caught}", "              new version  good release").trim_end())?;
    let header = format!("{:LEFT$}", "  step        gets         moves on in");
    columns(out, &header, harms.iter().map(|name| (*name).to_owned()))?;
    for (place, step) in numbers.steps.iter().enumerate() {
        if numbers.steps_not_told > 0 && place + 1 == numbers.steps.len() {
            writeln!(out, "       ... {} more steps", numbers.steps_not_told)?;
        }
        let gets = format!("{}/min", grouped(step.requests_per_minute));
        let begin = format!("{}{gets:>12}  {:<12}", number(step), minutes(&step.moves_on.shown()));
        let begin = format!("{begin:LEFT$}");
        columns(out, &begin, step.failing.iter().map(|harm| harm.rolled_back.shown()))?;
    }
    let last = numbers.steps.last().map_or(1, |step| step.number + 1);
    let watch = format!("watched {}", plan.watch);
    let only = if plan.alarms.is_empty() {
        "no old version to compare with"
    } else {
        "alarms; no old version to compare with"
    };
    writeln!(out, "  {last:<3}100 %  everything  {watch:<16} {only}")
}

/// What else each step catches.
fn catches(numbers: &Numbers, out: &mut impl Write) -> io::Result<()> {
    let slower: Vec<&str> = names(numbers, |step| &step.slower);
    let any = numbers.steps.iter().any(|step| step.smallest.is_some());
    if slower.is_empty() && !any {
        return writeln!(out);
    }
    let smallest = if any { "              smallest that 9 of 10" } else { "" };
    let longer = if slower.is_empty() { "" } else { "the same when everything takes longer by" };
    writeln!(out, "\n{}", format!("{smallest:LEFT$}{longer}").trim_end())?;
    let header = format!("{:LEFT$}", if any { "  step        do not get past it" } else { "  step" });
    columns(out, &header, slower.iter().map(|name| (*name).to_owned()))?;
    for step in &numbers.steps {
        let smallest = match (step.smallest, step.failing.is_empty()) {
            (Some(Smallest { failing, times }), _) => match times {
                Some(times) => format!("{}x errors: {}", tenths(times), percent(failing)),
                None => format!("{} fail", percent(failing)),
            },
            (None, true) => String::new(),
            (None, false) => "none".to_owned(),
        };
        let begin = format!("{:LEFT$}", format!("{}   {smallest}", number(step)));
        columns(out, &begin, step.slower.iter().map(|harm| harm.rolled_back.shown()))?;
    }
    writeln!(out)
}

fn total(plan: &Plan, numbers: &Numbers, out: &mut impl Write) -> io::Result<()> {
    let at = |minutes: u32| (plan.planned_at + Span::from_minutes(u64::from(minutes))).hour_minute();
    // The first ones are as good as the old version.
    let promoted = numbers.ends.first().map_or(0, |ends| ends.promoted);
    let Some(usual) = numbers.total.usual else {
        return writeln!(
            out,
            "  total       only {promoted} of {} good releases are proven by the deadline of {}\n",
            numbers.runs, plan.deadline
        );
    };
    let nine = match numbers.total.nine_of_ten {
        Some(nine) => format!("9 of 10 within {nine}"),
        None => format!("only {promoted} of {} good ones by the deadline", numbers.runs),
    };
    let delay = match numbers.delay_minutes {
        Some(delay) => format!("; {} of it is CloudWatch's delay, warm-up and bakes", delay.min(usual)),
        None => String::new(),
    };
    line(out, "  total       ", &format!("{usual} min, {nine}{delay}"))?;
    let watched = (plan.planned_at + Span::from_minutes(u64::from(usual)) + plan.watch).hour_minute();
    let (begin, end) = (plan.planned_at.hour_minute(), at(usual));
    let said = format!("started now ({begin} UTC) it has all traffic about {end}, and is watched until {watched}");
    line(out, "              ", &said)?;
    writeln!(out)
}

fn ends(numbers: &Numbers, out: &mut impl Write) -> io::Result<()> {
    let header = format!("{:<37}", format!("  of {} rehearsed releases that are", numbers.runs));
    columns_of(out, &header, 15, numbers.ends.iter().map(|ends| ends.release.clone()))?;
    let count = |count: fn(&Ends) -> usize| {
        let counts: Vec<usize> = numbers.ends.iter().map(count).collect();
        (counts.iter().sum::<usize>() > 0).then_some(counts)
    };
    for (name, counts) in [
        ("  promoted", count(|ends| ends.promoted)),
        ("  rolled back", count(|ends| ends.rolled_back)),
        ("  undecided at the deadline", count(|ends| ends.undecided)),
    ] {
        let Some(counts) = counts else { continue };
        columns_of(out, &format!("{name:<37}"), 15, counts.iter().map(ToString::to_string))?;
    }
    writeln!(out)
}

fn ending(plan: &Plan, spec: &RolloutSpec, out: &mut impl Write) -> io::Result<()> {
    let mut said = vec![match (plan.in_time, plan.numbers.is_some() || !plan.seen.refused.is_empty()) {
        (true, _) => format!("deadline {} ok", plan.deadline),
        (false, true) => format!("deadline {} TOO SHORT", plan.deadline),
        // Nothing was rehearsed.
        (false, false) => format!("deadline {}", plan.deadline),
    }];
    if spec.steps.is_empty() {
        said.clear();
    }
    said.extend(plan.seen.fine.iter().cloned());
    if !plan.seen.asked {
        said.push("nothing was asked of AWS".to_owned());
    }
    if let Some(cost) = &plan.cost {
        said.push(format!("{} calls a minute", cost.calls_per_minute));
        let (least, most) = (dollars(cost.dollars_at_least), dollars(cost.dollars_at_most));
        let paid = if least == most { most } else { format!("{least} to {most}") };
        said.push(format!("${paid} for {} series of metrics a minute", cost.series_per_minute));
    }
    line(out, "  ", &said.join(" | "))?;
    if let Some(write) = plan.write.as_ref().filter(|write| !write.is_empty()) {
        writeln!(out, "A spec for it, to be kept as coalmine.yaml:")?;
        write.lines().try_for_each(|one| writeln!(out, "  {}", text::shown(one, SHOWN_CHARS)))?;
    }
    let (go, undo) = (text::shown(&plan.go, SHOWN_CHARS), text::shown(&plan.undo, SHOWN_CHARS));
    let (go, undo) = (format!("Go: {go}"), format!("Undo by hand: {undo}"));
    match go.chars().count() + undo.chars().count() + 4 <= COLUMNS {
        true => writeln!(out, "{go}    {undo}"),
        false => writeln!(out, "{go}\n{undo}"),
    }
}

fn dollars(dollars: f64) -> String {
    let decimals = if dollars < 0.01 { 4 } else { 2 };
    format!("{dollars:.decimals$}")
}

fn minutes(times: &str) -> String {
    if times == "-" { times.to_owned() } else { format!("{times} min") }
}

fn number(step: &StepNumbers) -> String {
    format!("  {:<3}{:>5}", step.number, step.weight.to_string())
}

/// What the columns are called.
fn names(numbers: &Numbers, of: fn(&StepNumbers) -> &Vec<Harm>) -> Vec<&str> {
    numbers.steps.first().map(|step| of(step).iter().map(|harm| harm.release.as_str()).collect()).unwrap_or_default()
}

fn columns(out: &mut impl Write, begin: &str, cells: impl Iterator<Item = String>) -> io::Result<()> {
    columns_of(out, begin, COLUMN, cells)
}

fn columns_of(out: &mut impl Write, begin: &str, width: usize, cells: impl Iterator<Item = String>) -> io::Result<()> {
    let cells: String = cells.map(|cell| format!("{cell:<width$}")).collect();
    writeln!(out, "{}", format!("{begin}{cells}").trim_end())
}

/// Words over as many lines as they need, each below the beginning of the first.
pub(crate) fn line(out: &mut impl Write, begin: &str, said: &str) -> io::Result<()> {
    let indent = begin.chars().count().min(14);
    let mut row = begin.to_owned();
    let mut empty = true;
    for word in said.split_whitespace() {
        let fits = row.chars().count() + usize::from(!empty) + word.chars().count() <= COLUMNS;
        if !fits && !empty {
            writeln!(out, "{}", row.trim_end())?;
            (row, empty) = (" ".repeat(indent), true);
        }
        if !empty {
            row.push(' ');
        }
        row.push_str(word);
        empty = false;
    }
    writeln!(out, "{}", row.trim_end())
}
