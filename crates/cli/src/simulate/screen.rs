//! The tour as people see it: at most 100 columns, the same lines in a terminal and in a CI log.

use std::io::{self, Write};
use std::time::Duration;

use coalmine_core::analysis::{grouped, percent};
use coalmine_core::rollout::PhaseName;
use coalmine_core::sim::tour::{self, Ends, Stop};
use coalmine_core::spec::Version;
use coalmine_core::units::plain_number;
use coalmine_core::units::{Span, Weight};

use super::Tour;
use super::story::{Impact, Story, WeightFrom};
use super::transcript::clock;

const COLUMNS: usize = 100;

/// Where the text of a story's lines begins.
const TEXT_COLUMN: usize = 21;

/// Longest bar of all steps together.
const BAR_MARKS: u64 = 60;

/// How fast a bar grows on a terminal: a release takes one or two seconds.
const MARK_TIME: Duration = Duration::from_millis(25);

/// How the tour is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    /// Bars grow as if time passed.
    pub terminal: bool,
    pub colours: bool,
}

/// Colours on a terminal, unless the user wants none (no-color.org). No colour carries meaning alone.
pub fn wants_colours() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::IsTerminal::is_terminal(&io::stdout()) && !refused
}

/// A line that is overwritten by the next one.
pub fn progress(err: &mut impl Write, done: u32, all: u32) -> io::Result<()> {
    let text = if done < all { format!("{done} of {all} reruns") } else { String::new() };
    write!(err, "\r{text:<30}\r")?;
    err.flush()
}

impl Screen {
    pub fn title(&self, out: &mut impl Write, seed: u64) -> io::Result<()> {
        let title = "The real controller in a made-up AWS. Nothing leaves this machine.";
        writeln!(out, "{title}{:>width$}", format!("seed {seed}"), width = COLUMNS - title.len())?;
        let (rate, failing) = (plain_number(tour::PER_SECOND), percent(tour::OLD_FAILING));
        writeln!(out, "{}, {rate} requests/s, old version {} fails {failing}\n", tour::FUNCTION, tour::old())
    }

    pub fn story(&self, out: &mut impl Write, number: usize, stop: &Stop, story: &Story) -> io::Result<()> {
        writeln!(out, "{number} {:<15}{}", story.title, about(stop))?;
        if number == 1 && !story.learned.is_empty() {
            write!(out, "  {} {:<12} ", clock(Span::ZERO), "LEARNED")?;
            wrapped(out, &story.learned.join("; "))?;
        }
        self.bar(out, story)?;
        let ended = match story.ended {
            Some(PhaseName::Promoted) => "PROMOTED",
            Some(PhaseName::RolledBack) => "ROLLED BACK",
            Some(_) => "SUPERSEDED",
            None => "NOT ENDED",
        };
        let mut said = Vec::new();
        if let Some(seconds) = story.seconds_after_alarm {
            said.push(format!("{seconds} s after the alarm"));
        }
        said.extend(story.why.iter().cloned());
        if story.seconds_after_alarm.is_some() {
            said.push("alarms do not wait for statistics".to_owned());
        }
        let label = format!("{:<12}", ended);
        let label = self.coloured(&label, if story.ended == Some(PhaseName::Promoted) { "32" } else { "31" });
        write!(out, "  {} {label} ", clock(story.ended_after))?;
        wrapped(out, &said.join("; "))?;
        if let Some(impact) = story.impact.filter(|_| stop.failing > tour::OLD_FAILING) {
            write!(out, "{:TEXT_COLUMN$}", "")?;
            wrapped(out, &cost(&impact, &stop.canary))?;
        }
        if !story.as_announced {
            let label = self.coloured("NOT AS ANNOUNCED", "31");
            writeln!(out, "  {label}: it should have been {}", word(story.announced))?;
        }
        Ok(())
    }

    /// `00:00 | 5 % =====| 25 % ====| 0 %`, a mark a minute or a whole number of minutes.
    fn bar(&self, out: &mut impl Write, story: &Story) -> io::Result<()> {
        let ends = story.weights.iter().skip(1).map(|next| next.after).chain([story.ended_after]);
        let steps: Vec<(&WeightFrom, Span)> = story.weights.iter().zip(ends).collect();
        let minutes = |from: &WeightFrom, until: Span| (until.minus(from.after).seconds() + 30) / 60;
        let total: u64 = steps.iter().map(|(from, until)| minutes(from, *until)).sum();
        let unit = total.div_ceil(BAR_MARKS).max(1);
        write!(out, "  {} ", clock(Span::ZERO))?;
        for (from, until) in steps.into_iter().skip_while(|(from, _)| from.weight == Weight::ZERO) {
            let marks = minutes(from, until) / unit;
            let watched = if from.weight == Weight::FULL { " watched" } else { "" };
            write!(out, "| {}{watched}{}", from.weight, if marks > 0 { " " } else { "" })?;
            for _ in 0..marks {
                write!(out, "=")?;
                if self.terminal {
                    out.flush()?;
                    std::thread::sleep(MARK_TIME);
                }
            }
        }
        writeln!(out, "{}", if unit > 1 { format!("   (= is {unit} minutes)") } else { String::new() })
    }

    pub fn result(&self, out: &mut impl Write, tour: &Tour) -> io::Result<()> {
        let ended = |phase| tour.releases.iter().filter(|story| story.ended == Some(phase)).count();
        let (promoted, back) = (ended(PhaseName::Promoted), ended(PhaseName::RolledBack));
        let unserved = grouped_count(tour.requests_failed_because_of_coalmine);
        let result = self.coloured("RESULT", "1");
        writeln!(
            out,
            "\n{result}  {promoted} promoted, {back} rolled back; {unserved} requests failed because of Coalmine."
        )?;
        let reruns = &tour.reruns;
        let (first, last) = (tour.seed.wrapping_add(1), tour.seed.wrapping_add(u64::from(reruns.of_each)));
        writeln!(out, "        {} reruns of each kind with other seeds ({first} to {last}):", reruns.of_each)?;
        let hint = tolerated_hint(tour).filter(|_| reruns.twice.promoted > 0);
        let mark = if hint.is_some() { " (!)" } else { "" };
        for (kind, ends, mark) in [
            ("as good as before", &reruns.good, ""),
            ("ten times the errors", &reruns.ten_times, ""),
            ("twice the errors", &reruns.twice, mark),
        ] {
            writeln!(out, "        {kind:<22}{}{mark}", counts(ends))?;
        }
        if let Some(hint) = hint {
            writeln!(out, "        (!) {hint}")?;
        }
        for broken in &tour.broken_promises {
            writeln!(out, "{}  seed {}, {}", self.coloured("BROKEN", "31"), broken.seed, broken.violation)?;
        }
        self.next(out)
    }

    fn next(&self, out: &mut impl Write) -> io::Result<()> {
        let next = self.coloured("NEXT", "1");
        for (place, (command, about)) in [
            ("coalmine plan --function NAME --alias live", "what would it catch on YOUR traffic? Read-only"),
            ("coalmine validate SPEC.yaml", "is your own spec right? Offline, all problems"),
            ("coalmine schema", "the spec's JSON Schema, for your editor"),
            ("README.md", "the five-minute start on your own account"),
        ]
        .into_iter()
        .enumerate()
        {
            let begin = if place == 0 { format!("{next}    ") } else { " ".repeat(8) };
            writeln!(out, "{begin}{command:<42}  {about}")?;
        }
        Ok(())
    }

    pub fn coloured(&self, text: &str, code: &str) -> String {
        if self.colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Why twice the errors may be promoted: where that is what the spec tolerates.
fn tolerated_hint(tour: &Tour) -> Option<String> {
    let tolerated = tour.releases.first()?.tolerated?;
    let (was, twice) = (tour::OLD_FAILING, 2.0 * tour::OLD_FAILING);
    let within = twice <= was * tolerated.factor + tolerated.points;
    let points = plain_number((twice - was) * 100.0);
    within.then(|| format!("{points} points more are within what the spec tolerates ({tolerated})"))
}

fn about(stop: &Stop) -> String {
    if stop.has_targets() {
        return format!(
            "behind a load balancer; all targets of {} but {} fail in the {} step",
            stop.canary,
            tour::TARGETS_LEFT,
            tour::alarm_step()
        );
    }
    match stop.scenario.events.is_empty() {
        true => match stop.slow {
            None => format!("{} fails {}", stop.canary, percent(stop.failing)),
            Some((share, factor)) => {
                let (share, factor) = (percent(share), plain_number(factor));
                format!("{} takes {factor} times as long for {share} of its requests", stop.canary)
            }
        },
        false => {
            format!("{} is healthy, but \"{}\" rings in the {} step", stop.canary, tour::ALARM, tour::alarm_step())
        }
    }
}

fn cost(impact: &Impact, canary: &Version) -> String {
    let failing = share(impact.failed, impact.new_requests);
    format!(
        "{} of the {} requests that {canary} got failed. Released all at once and noticed just as fast: about {}, \
         {failing} of all {} requests in these {}.",
        grouped_count(impact.failed),
        grouped_count(impact.new_requests),
        grouped_count(two_digits(impact.failed_all_at_once)),
        grouped_count(impact.all_requests),
        impact.lasted,
    )
}

fn counts(ends: &Ends) -> String {
    let mut counts = format!("promoted {:>3}, rolled back {:>3}", ends.promoted, ends.rolled_back);
    if ends.undecided > 0 {
        counts.push_str(&format!(", undecided {}", ends.undecided));
    }
    counts
}

/// Wraps at [`COLUMNS`]; the first line goes on where the cursor is, at [`TEXT_COLUMN`].
pub fn wrapped(out: &mut impl Write, text: &str) -> io::Result<()> {
    wrapped_at(out, text, TEXT_COLUMN)
}

/// The same at another column.
pub fn wrapped_at(out: &mut impl Write, text: &str, from: usize) -> io::Result<()> {
    let mut column = from;
    // A number stays with its sign.
    let text = text.replace(" %", "\u{a0}%");
    for (place, word) in text.split(' ').enumerate() {
        let word = word.replace('\u{a0}', " ");
        let width = word.chars().count();
        if place > 0 && column + 1 + width > COLUMNS {
            write!(out, "\n{:from$}{word}", "")?;
            column = from + width;
        } else {
            let gap = if place > 0 { " " } else { "" };
            write!(out, "{gap}{word}")?;
            column += gap.len() + width;
        }
    }
    writeln!(out)
}

fn word(phase: PhaseName) -> &'static str {
    coalmine_core::report::phase_word(phase)
}

#[allow(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
pub fn grouped_count(count: u64) -> String {
    grouped(count as f64)
}

#[allow(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
fn share(part: u64, of: u64) -> String {
    percent(part as f64 / of.max(1) as f64)
}

/// 687 is about 690: a guess is not known better.
fn two_digits(count: u64) -> u64 {
    let unit = 10_u64.pow(count.checked_ilog10().unwrap_or(0).saturating_sub(1));
    (count + unit / 2) / unit * unit
}
