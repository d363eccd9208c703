//! `coalmine report`: a rollout of the deployed stack, or one that was saved, as a page.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use coalmine_core::analysis::MinuteSample;
use coalmine_core::observation::AlarmState;
use coalmine_core::rollout::Rollout;
#[cfg(feature = "aws")]
use coalmine_core::text::json;
use coalmine_core::text::shown;
use coalmine_core::units::Timestamp;
use coalmine_report::{Origin, Source, one};
use serde::Deserialize;
use serde_json::Value;

use crate::Exit;
#[cfg(feature = "aws")]
use crate::stack::{Where, counted};
use crate::validate::{Unread, read_file_up_to};

/// A month of minutes with ten checks of distributions has about 400 MB; nobody waits for a page of that. What is read from
/// a function of the stack has a limit of its own.
const SAVED_BYTES_MAX: usize = 256 << 20;

/// A file's path, at most.
const PATH_CHARS: usize = 4000;

/// Write a page about a rollout. Changes nothing.
///
/// The verdict and why, charts of every check, all numbers, what happened, the spec: one file that
/// needs nothing else.
///
/// Exit status:
///   0  the page is written
///   2  wrong use, there is no such rollout, or the file to read is none of --json
///   4  AWS or a file did not answer
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The rollout's name, or the function whose rollout is running: `checkout-42`, `checkout`, `checkout:live`.
    #[arg(required_unless_present = "from", conflicts_with = "from")]
    rollout: Option<String>,
    /// Where the page goes, instead of a file called like the rollout.
    #[arg(long, value_name = "FILE.html")]
    output: Option<PathBuf>,
    /// Instead of asking the stack: what `coalmine report NAME --json` printed.
    #[arg(long, value_name = "FILE.json")]
    from: Option<PathBuf>,
    #[cfg(feature = "aws")]
    #[command(flatten)]
    at: Where,
}

/// A rollout and what was counted of it, as the command `minutes` answers.
#[derive(Debug, Deserialize)]
struct Counted {
    rollout: Rollout,
    now: Timestamp,
    minutes: Vec<MinuteSample>,
    #[serde(default)]
    unread: Vec<String>,
    #[serde(default)]
    alarms: Option<BTreeMap<String, AlarmState>>,
}

pub fn run(arguments: &Arguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    match (&arguments.from, &arguments.rollout) {
        (Some(file), _) => saved(arguments, file, out, err),
        (None, Some(rollout)) => asked(arguments, rollout, out, err),
        (None, None) => writeln!(err, "name a rollout, or a file with --from").map(|()| Exit::Invalid),
    }
}

#[cfg(feature = "aws")]
fn asked(arguments: &Arguments, rollout: &str, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    counted(&arguments.at, rollout, out, err, |answer, region, out, err| {
        if arguments.at.json {
            writeln!(out, "{}", json(&answer.to_string()))?;
            if arguments.output.is_none() {
                return Ok(Exit::Fine);
            }
        }
        tell(arguments, answer, region, "the stack's answer", out, err)
    })
}

#[cfg(not(feature = "aws"))]
fn asked(_: &Arguments, rollout: &str, _: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    writeln!(
        err,
        "this coalmine was built without AWS, so {} cannot be asked for; --from reads a file",
        shown(rollout, 200)
    )?;
    Ok(Exit::Invalid)
}

fn saved(arguments: &Arguments, file: &Path, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    let text = match read_file_up_to(file, SAVED_BYTES_MAX, "a saved rollout") {
        Ok(text) => text,
        Err(Unread::Io(message)) => return writeln!(err, "{message}").map(|()| Exit::Io),
        Err(Unread::NotText(message)) => return writeln!(err, "{message}").map(|()| Exit::Invalid),
    };
    let name = shown(&file.to_string_lossy(), PATH_CHARS);
    match serde_json::from_str(&text) {
        Ok(answer) => tell(arguments, &answer, None, &name, out, err),
        Err(error) => writeln!(err, "{name} is no JSON: {error}").map(|()| Exit::Invalid),
    }
}

/// Writes the page, and says where it is.
fn tell(
    arguments: &Arguments,
    answer: &Value,
    region: Option<String>,
    from: &str,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<Exit> {
    let counted: Counted = match serde_json::from_value(answer.clone()) {
        Ok(counted) => counted,
        Err(error) => {
            let error = shown(&error.to_string(), 500);
            writeln!(err, "{from} is not what `coalmine report NAME --json` prints in this version: {error}")?;
            return Ok(Exit::Invalid);
        }
    };
    let path = arguments.output.clone().unwrap_or_else(|| PathBuf::from(file_name(&counted.rollout.id)));
    let told = shown(&path.to_string_lossy(), PATH_CHARS);
    if let Err(error) = std::fs::write(&path, html(&counted, region)) {
        return writeln!(err, "cannot write {told}: {error}").map(|()| Exit::Io);
    }
    if !json_is_printed(arguments) {
        writeln!(out, "{told}")?;
    }
    Ok(Exit::Fine)
}

fn html(counted: &Counted, region: Option<String>) -> String {
    let Counted { rollout, now, minutes, unread, alarms } = counted;
    let origin = Origin::Deployed { region };
    one(Source { rollout, minutes, unread, alarms: alarms.as_ref(), now: *now, origin: &origin })
}

#[cfg(feature = "aws")]
fn json_is_printed(arguments: &Arguments) -> bool {
    arguments.at.json
}

#[cfg(not(feature = "aws"))]
fn json_is_printed(_: &Arguments) -> bool {
    false
}

/// In this folder, whatever the rollout is called.
fn file_name(id: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    format!("{}.html", id.chars().take(150).map(plain).collect::<String>().trim_start_matches('.'))
}

/// A release of the tour, as the command function tells of it.
#[cfg(test)]
pub fn counted_of_the_tour(stop: usize) -> Value {
    use coalmine_core::sim::scenario::{Outcome, run};
    use coalmine_core::sim::tour;
    let Outcome { rollout, minutes, stopped_at, .. } = run(&tour::stops()[stop].scenario, 1).unwrap();
    serde_json::json!({ "rollout": *rollout, "minutes": minutes, "now": stopped_at })
}
