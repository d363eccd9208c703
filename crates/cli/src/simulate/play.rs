//! `coalmine simulate FILE...`: runs scenarios, and shows what would have happened.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use coalmine_core::analysis::percent;
use coalmine_core::sim::language::{End, Written, Wrong, parse};
use coalmine_core::sim::scenario::run;
use coalmine_core::spec::DOCUMENT_BYTES_MAX;
use coalmine_core::text;
use coalmine_core::units::{Span, Weight, plain_number};

use super::pages::Pages;
use super::screen::{Screen, grouped_count, wrapped, wrapped_at};
use super::transcript::{Entry, Transcript, Who, clock};
use crate::Exit;
use crate::validate::{Unread, print_problem, read_file_up_to};

/// Ticks come once a minute.
const SILENCE: Span = Span::from_minutes(2);

/// Longest bar of all steps together.
const BAR_MARKS: u64 = 40;

/// Runs each file's scenario. The worst of them is the exit status.
pub fn play(
    files: &[PathBuf],
    seed: u64,
    json: bool,
    screen: &Screen,
    pages: &mut Pages,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<Exit> {
    let mut worst = Exit::Fine;
    for (place, file) in files.iter().enumerate() {
        let written = match load(file) {
            Ok(written) => written,
            Err(Failed::Io(message)) => {
                writeln!(err, "{message}")?;
                worst = worst.worse(Exit::Io);
                continue;
            }
            Err(Failed::Wrong(wrong)) => {
                for wrong in &wrong {
                    say(file, "", wrong, err)?;
                }
                worst = worst.worse(Exit::Invalid);
                continue;
            }
        };
        for warning in &written.warnings {
            say(file, "warning: ", warning, err)?;
        }
        let transcript = transcript(file, &written, seed, pages);
        if json {
            out.write_all(text::json(&serde_json::to_string(&transcript)?).as_bytes())?;
            writeln!(out)?;
        } else {
            if place > 0 {
                writeln!(out)?;
            }
            screen.transcript(out, &transcript)?;
        }
        worst = worst.worse(transcript.exit());
    }
    Ok(worst)
}

/// Runs a scenario.
pub fn transcript(file: &Path, written: &Written, seed: u64, pages: &mut Pages) -> Transcript {
    let name = file.file_name().map_or_else(|| file.display().to_string(), |name| name.to_string_lossy().into_owned());
    let outcome = run(&written.scenario, seed);
    if let Ok(outcome) = &outcome {
        pages.keep(written.title.as_deref().unwrap_or(&name), outcome);
    }
    Transcript::of(&name, written, seed, &outcome)
}

/// Why there is nothing to run.
pub enum Failed {
    Io(String),
    Wrong(Vec<Wrong>),
}

/// A scenario with the files that it names, which lie beside it.
pub fn load(file: &Path) -> Result<Written, Failed> {
    let text = match read_file_up_to(file, DOCUMENT_BYTES_MAX, "a scenario") {
        Ok(text) => text,
        Err(Unread::Io(message)) => return Err(Failed::Io(message)),
        Err(Unread::NotText(message)) => {
            return Err(Failed::Wrong(vec![coalmine_core::spec::Problem::at("", message).into()]));
        }
    };
    let mut beside = |name: &str, most: usize| match read_file_up_to(&file.with_file_name(name), most, "what it is for")
    {
        Ok(text) => Ok(text),
        Err(Unread::Io(message) | Unread::NotText(message)) => Err(message),
    };
    parse(&text, &mut beside).map_err(Failed::Wrong)
}

/// A problem, in the file that it is in.
fn say(file: &Path, kind: &str, wrong: &Wrong, err: &mut impl Write) -> io::Result<()> {
    let beside = wrong.file.as_ref().map(|name| file.with_file_name(name));
    print_problem(beside.as_deref().unwrap_or(file), kind, &wrong.problem, err)
}

impl Transcript {
    /// What the lines before do not say.
    fn end_in_words(&self) -> String {
        match self.ended {
            End::Promoted | End::RolledBack | End::Superseded => format!("after {}", self.ended_after),
            End::Paused | End::Running => match self.last_heard_after {
                Some(heard) if self.ended_after.minus(heard) > SILENCE => {
                    format!("last heard of at {}: {}", clock(heard), self.why)
                }
                Some(_) | None => self.why.clone(),
            },
            End::Refused | End::Nothing => self.why.clone(),
        }
    }

    /// With something expected it counts whether it came; otherwise how it ended. A broken promise is never fine.
    pub fn exit(&self) -> Exit {
        if !self.broken_promises.is_empty() {
            return Exit::Failed;
        }
        match (&self.not_as_expected, self.ended) {
            (Some(missed), _) => {
                if missed.is_empty() {
                    Exit::Fine
                } else {
                    Exit::Failed
                }
            }
            (None, End::Promoted | End::Nothing) => Exit::Fine,
            (None, End::RolledBack) => Exit::Failed,
            (None, End::Superseded | End::Paused | End::Running) => Exit::Undecided,
            (None, End::Refused) => Exit::Invalid,
        }
    }
}

impl Screen {
    /// A run as people read it.
    pub fn transcript(&self, out: &mut impl Write, told: &Transcript) -> io::Result<()> {
        let mut title = Vec::new();
        wrapped_at(&mut title, &told.title, 0)?;
        writeln!(out, "{}", self.bold(String::from_utf8_lossy(&title).trim_end()))?;
        let versions = match told.new_version.is_empty() {
            true => format!("{} is live", told.old_version),
            false => format!("{} -> {}", told.old_version, told.new_version),
        };
        let rate = told.requests_per_second;
        let rate = plain_number(if rate < 1.0 { rate } else { (rate * 10.0).round() / 10.0 });
        let started = told.started_at.map(|at| format!(", from {} UTC", at.hour_minute())).unwrap_or_default();
        writeln!(out, "{}  {versions}, {rate} requests/s{started}, seed {}", told.target, told.seed)?;
        if !told.entries.is_empty() {
            writeln!(out)?;
        }
        for entry in &told.entries {
            self.entry(out, entry)?;
        }
        if told.left_out > 0 {
            writeln!(out, "  and {} more", told.left_out)?;
        }
        self.ending(out, told)
    }

    fn entry(&self, out: &mut impl Write, entry: &Entry) -> io::Result<()> {
        let mark = match entry.who {
            Who::World => '*',
            Who::Coalmine => ' ',
        };
        let label = format!("{:<12}", entry.label);
        write!(out, "{mark} {} {} ", clock(entry.after), self.coloured(&label, colour(entry)))?;
        wrapped(out, &entry.text)
    }

    fn ending(&self, out: &mut impl Write, told: &Transcript) -> io::Result<()> {
        writeln!(out)?;
        self.shares(out, told)?;
        let (label, colour) = match told.ended {
            End::Promoted => ("PROMOTED", "32"),
            End::RolledBack => ("ROLLED BACK", "31"),
            End::Superseded => ("SUPERSEDED", "33"),
            End::Paused => ("STILL PAUSED", "33"),
            End::Running => ("NOT ENDED", "33"),
            End::Refused => ("REFUSED", "31"),
            End::Nothing => ("NOTHING", "32"),
        };
        write!(out, "  {} {} ", clock(told.ended_after), self.coloured(&format!("{label:<12}"), colour))?;
        wrapped(out, &told.end_in_words())?;
        if !told.requests.is_empty() {
            write!(out, "  {:<18} ", "USERS")?;
            wrapped(out, &users(told))?;
        }
        if let Some(needed) = told.needed() {
            write!(out, "  {:<18} ", "ENVIRONMENTS")?;
            wrapped(out, &needed)?;
        }
        match told.not_as_expected.as_deref() {
            None => {}
            Some([]) => writeln!(out, "  {:<18} {}", "EXPECTED", self.coloured("so it came", "32"))?,
            Some(missed) => {
                for missed in missed {
                    write!(out, "  {} ", self.coloured(&format!("{:<18}", "NOT AS EXPECTED"), "31"))?;
                    wrapped(out, missed)?;
                }
            }
        }
        for broken in &told.broken_promises {
            write!(out, "  {} ", self.coloured(&format!("{:<18}", "BROKEN PROMISE"), "31"))?;
            wrapped(out, broken)?;
        }
        Ok(())
    }

    /// `| 5 % =====| 25 % ====| 0 %`, a mark a minute or a whole number of minutes.
    fn shares(&self, out: &mut impl Write, told: &Transcript) -> io::Result<()> {
        let ends = told.weights.iter().skip(1).map(|(after, _)| *after).chain([told.ended_after]);
        let steps: Vec<((Span, Weight), Span)> = told.weights.iter().copied().zip(ends).collect();
        let minutes = |from: Span, until: Span| (until.minus(from).seconds() + 30) / 60;
        let total: u64 = steps.iter().map(|((from, _), until)| minutes(*from, *until)).sum();
        let unit = total.div_ceil(BAR_MARKS).max(1);
        let mut parts = Vec::new();
        for ((from, weight), until) in steps {
            let marks = usize::try_from(minutes(from, until) / unit).unwrap_or(0);
            let gap = if marks > 0 { " " } else { "" };
            parts.push(format!("|{weight}{gap}{}", "=".repeat(marks)));
        }
        if parts.is_empty() {
            return Ok(());
        }
        let unit = if unit > 1 { format!("(= is {unit} minutes)") } else { "(= is a minute)".to_owned() };
        write!(out, "  {:<18} ", "SHARE")?;
        wrapped(out, &format!("{} {unit}", parts.join(" ").replace(" %", "%")))
    }

    fn bold(&self, text: &str) -> String {
        self.coloured(text, "1")
    }
}

/// What each version's requests came to.
fn users(told: &Transcript) -> String {
    let of = |(version, requests): (&String, &super::story::Requests)| {
        #[allow(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
        let share = percent(requests.failed as f64 / requests.requests.max(1) as f64);
        let (failed, all) = (grouped_count(requests.failed), grouped_count(requests.requests));
        format!("{version}: {failed} of {all} requests failed ({share})")
    };
    let mut said: Vec<String> = told.requests.iter().map(of).collect();
    said.extend(told.beside_what_ran());
    said.push(format!("{} because of Coalmine", grouped_count(told.requests_failed_because_of_coalmine)));
    let others = told.requests_unserved - told.requests_failed_because_of_coalmine;
    if others > 0 {
        said.push(format!("{} found nobody to answer, through others", grouped_count(others)));
    }
    said.join("; ")
}

fn colour(entry: &Entry) -> &'static str {
    match entry.label.as_str() {
        "PROMOTED" => "32",
        "ROLLED BACK" | "TURNS BACK" | "ALARM" | "REFUSED" => "31",
        "HOLDS" | "PAUSED" | "SUPERSEDED" | "FAULT" | "FAILS" => "33",
        _ => "0",
    }
}
