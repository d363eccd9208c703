//! `coalmine backtest`

#[cfg(feature = "aws")]
mod account;
mod happened;
mod recordings;
mod screen;
mod study;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use coalmine_core::recording::Line;
use coalmine_core::sim::backtest::Refused;
use coalmine_core::spec::{LambdaTarget, Owner, Problem, RolloutSpec, Target};
use coalmine_core::text;
use coalmine_core::units::{Span, Timestamp};
use serde::Serialize;

use crate::Exit;
use crate::plan::{TIMEOUT, runs};
use crate::validate::{load_or_say, refuse, shown};
use happened::Happened;
use study::{Effort, Study};

/// Messages of others are no longer than that.
const SHOWN_CHARS: usize = 2_000;

/// Try a spec on past data: would it roll back what is fine, and catch what is not? Reads only.
///
/// The old version's own past requests are split by chance into a pretended old and new version, at each
/// step's weight, and the judge goes through them minute by minute: what is rolled back then is rolled
/// back falsely. With the pretended new version made worse, it should be. Where both versions had
/// traffic, the judge also says what it would have said.
///
/// Exit status:
///   0  it keeps its promise; the incident that was asked for would have been caught
///   1  it rolls back more than it promises; the incident would not have been caught
///   2  wrong use, or a spec or a recording is wrong
///   3  the data are not enough to tell, or the spec cannot be tried
///   4  AWS or a file did not answer
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The spec, YAML or JSON; `-` reads standard input.
    spec: PathBuf,
    /// Recordings, as `coalmine record` writes them, in place of CloudWatch; each case by itself.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["last", "from", "to", "find", "old", "save"])]
    recording: Vec<PathBuf>,
    /// The last so many minutes, hours or days of CloudWatch: 12h, 7d; at most about 15 days.
    #[arg(long, conflicts_with = "from", required_unless_present_any = ["from", "recording"])]
    last: Option<Span>,
    /// First minute of CloudWatch, such as 2026-11-21T14:02:00Z.
    #[arg(long)]
    from: Option<Timestamp>,
    /// The minute to end before [default: three minutes ago, when CloudWatch is complete].
    #[arg(long, requires = "from")]
    to: Option<Timestamp>,
    /// What if this release had been judged: its old version.
    #[arg(long, value_name = "VERSION", requires = "new")]
    old: Option<String>,
    /// Its new version.
    #[arg(long, value_name = "VERSION", requires = "old", conflicts_with = "find")]
    new: Option<String>,
    /// Find the deployments of that time by what each version got, and judge each.
    #[arg(long)]
    find: bool,
    /// Another function than the spec's.
    #[arg(long, requires = "alias")]
    function: Option<String>,
    /// The alias of --function.
    #[arg(long, requires = "function")]
    alias: Option<String>,
    /// Keep what was read as a recording.
    #[arg(long, value_name = "FILE", conflicts_with = "find")]
    save: Option<PathBuf>,
    /// How many releases of each kind are tried.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = runs)]
    runs: usize,
    /// Where all chance comes from: the same seed gives the same numbers.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// So many failures come together and hit one version, as where an environment fails [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    together: Option<u32>,
    /// The function's timeout: the longer a request may take, the later a minute proves anything
    /// [default: 3s, or what the account says].
    #[arg(long)]
    timeout: Option<Span>,
    /// Print one JSON document and nothing else on standard output.
    #[arg(long)]
    json: bool,
}

/// One case of what was recorded.
struct Case {
    name: Option<String>,
    lines: Vec<Line>,
}

/// What is looked at.
struct Material {
    cases: Vec<Case>,
    /// What was judged already, with what is known besides the recording.
    happened: Vec<Happened>,
    /// A release was asked for, so nothing else is of interest; or deployments were looked for.
    question: Question,
    timeout: Timeout,
    notes: Vec<String>,
}

/// The longest time that one request may take.
#[derive(Debug, Clone, Copy)]
struct Timeout {
    span: Span,
    /// Nobody said it.
    is_assumed: bool,
}

impl Timeout {
    const ASSUMED: Self = Self { span: TIMEOUT, is_assumed: true };

    fn of(told: Option<Span>) -> Self {
        told.map_or(Self::ASSUMED, |span| Self { span, is_assumed: false })
    }
}

/// What is wanted to be known.
#[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "only of an account can it be asked"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// How good the spec is on this traffic.
    Spec,
    /// Whether it would have caught one release.
    Incident,
    /// What it would have said of all that were deployed.
    Deployments,
}

/// What came of it, as `--json` prints it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    target: String,
    spec: String,
    /// `None` where only releases were asked for, or nothing can be split.
    study: Option<Study>,
    /// Why there is none, though it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_studied: Option<String>,
    happened: Vec<Happened>,
    notes: Vec<String>,
    #[serde(skip)]
    asked: Question,
}

/// Tries the spec and prints what came of it.
pub fn run(arguments: &Arguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    let (spec, warnings) = match load_or_say(&arguments.spec, arguments.json, out, err)? {
        Ok(valid) => (valid.spec, valid.warnings),
        Err(exit) => return Ok(exit),
    };
    for warning in &warnings {
        writeln!(err, "{}", text::shown(&warning.to_string(), SHOWN_CHARS))?;
    }
    let spec = aimed(spec, arguments);
    let material = if arguments.recording.is_empty() { asked(&spec, arguments) } else { recorded(arguments)? };
    let material = match material {
        Ok(material) => material,
        Err((message, exit)) => {
            refuse(&[Problem::at("", message)], arguments.json, out, err)?;
            return Ok(exit);
        }
    };
    if let Some(path) = &arguments.save
        && let Err(error) = recordings::save(path, &material.cases)
    {
        let message = format!("cannot write {}: {error}", shown(path));
        refuse(&[Problem::at("", message)], arguments.json, out, err)?;
        return Ok(Exit::Io);
    }
    let document = Document::of(&spec, &arguments.spec, material, &Effort::of(arguments));
    match arguments.json {
        true => writeln!(out, "{}", text::json(&serde_json::to_string_pretty(&document)?))?,
        false => screen::print(&document, &spec, out)?,
    }
    Ok(document.exit())
}

fn aimed(spec: RolloutSpec, arguments: &Arguments) -> RolloutSpec {
    let (Some(function), Some(alias)) = (arguments.function.clone(), arguments.alias.clone()) else { return spec };
    RolloutSpec { target: Target::Lambda(LambdaTarget { function, alias, owner: Owner::Coalmine }), ..spec }
}

/// Why there is nothing to look at.
type Nothing = (String, Exit);

fn recorded(arguments: &Arguments) -> io::Result<Result<Material, Nothing>> {
    let cases = match recordings::read(&arguments.recording)? {
        Ok(cases) => cases,
        Err(nothing) => return Ok(Err(nothing)),
    };
    let timeout = Timeout::of(arguments.timeout);
    let (happened, notes) = (Vec::new(), Vec::new());
    Ok(Ok(Material { cases, happened, question: Question::Spec, timeout, notes }))
}

#[cfg(feature = "aws")]
fn asked(spec: &RolloutSpec, arguments: &Arguments) -> Result<Material, Nothing> {
    account::material(spec, arguments, crate::now())
}

#[cfg(not(feature = "aws"))]
fn asked(_: &RolloutSpec, _: &Arguments) -> Result<Material, Nothing> {
    let message = "this `coalmine` was built without AWS: give --recording, or build it with its default features";
    Err((message.to_owned(), Exit::Invalid))
}

impl Document {
    fn of(spec: &RolloutSpec, file: &Path, material: Material, effort: &Effort) -> Self {
        let Material { cases, mut happened, question, timeout, notes } = material;
        // What was judged where it was found is not judged again.
        if happened.is_empty() {
            happened.extend(cases.iter().filter_map(|case| Happened::of(spec, case.name.clone(), &case.lines)));
        }
        let tried = match question {
            Question::Spec => Some(study::study(spec, &cases, timeout, effort)),
            Question::Incident | Question::Deployments => None,
        };
        let (study, not_studied) = match tried {
            None => (None, None),
            Some(Ok(study)) => (Some(study), None),
            Some(Err(refused)) => (None, Some(refused.to_string())),
        };
        Self { target: spec.target.key(), spec: shown(file), study, not_studied, happened, notes, asked: question }
    }

    fn exit(&self) -> Exit {
        match (self.asked, &self.study) {
            (Question::Spec, Some(study)) => study.exit(),
            // What has both versions was judged all the same, but the spec was not tried.
            (Question::Spec, None) => Exit::Undecided,
            (Question::Incident, _) => match self.happened.first().map(Happened::is_caught) {
                Some(Some(true)) => Exit::Fine,
                Some(Some(false)) => Exit::Failed,
                Some(None) | None => Exit::Undecided,
            },
            (Question::Deployments, _) if self.happened.iter().any(Happened::is_judged) => Exit::Fine,
            (Question::Deployments, _) => Exit::Undecided,
        }
    }
}

/// Tried, or why not.
type Tried = Result<Study, Refused>;

/// What a document shows: what the command that is written there prints of a spec and a recording that are made here.
#[cfg(test)]
pub fn documented(spec: &str, command: &str) -> String {
    tests::documented(spec, command)
}
