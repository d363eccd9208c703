//! `coalmine start`, `status`, `list` and the others that talk to the deployed stack.

pub mod asked;
mod list;
#[cfg(test)]
mod tests;
pub mod words;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use coalmine_core::rollout::{PauseReason, Phase, PhaseName, Rollout};
use coalmine_core::units::Span;
use coalmine_core::way_out::WayOut;
use coalmine_core::{report, spec, text};
use serde_json::{Value, json};

use crate::Exit;
use crate::validate::{load_or_say, print_problem, refuse};
use asked::{Refused, STOPS, Stack};

pub use asked::calls_to_undo;
pub use list::SILENT;

/// Between two looks while waiting: a tick comes once a minute.
const LOOKS_APART: Duration = Duration::from_secs(10);

/// So many looks in a row may fail: five minutes, where they fail at once.
pub const FAILED_LOOKS: u32 = 30;

/// What a deployed stack can be asked.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Start(StartArguments),
    Status(StatusArguments),
    List(ListArguments),
    Watch(crate::watch::Arguments),
    History(HistoryArguments),
    /// Hold a rollout at its weight; alarms and proven harm still roll it back.
    Pause(OrderArguments),
    /// Go on after a pause.
    Resume(OrderArguments),
    /// Let a step end that needs an approval.
    Approve(OrderArguments),
    /// Give the new version all traffic now, without proof.
    Promote(OrderArguments),
    /// Put all traffic back on the old version now.
    Abort(OrderArguments),
    Undo(UndoArguments),
}

/// Which Coalmine is asked, and how it is answered.
#[derive(Debug, Clone, clap::Args)]
pub struct Where {
    /// The stack that Coalmine was deployed as.
    #[arg(long, default_value = "coalmine", env = "COALMINE_STACK")]
    stack: String,
    /// A tag of the stack instead of its name, as it was deployed with: `team=shop`.
    #[arg(long, env = "COALMINE_TAG", value_name = "KEY=VALUE")]
    tag: Option<Tag>,
    /// Coalmine's own function that is asked, by its name, instead of looking for the stack's; not the function that is
    /// rolled out.
    #[arg(long, env = "COALMINE_FUNCTION", value_name = "NAME")]
    function: Option<String>,
    /// Print the answer as one JSON document; `watch` prints one for every look, a line each.
    #[arg(long)]
    pub json: bool,
}

/// A tag of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub key: String,
    pub value: String,
}

impl std::str::FromStr for Tag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self { key: key.to_owned(), value: value.to_owned() }),
            Some(_) | None => Err("a tag is a key and a value, such as `team=shop`".to_owned()),
        }
    }
}

/// How long to wait for an end.
#[derive(Debug, Clone, clap::Args)]
pub struct Patience {
    /// Wait until the rollout has ended, or pauses because it cannot tell.
    #[arg(long)]
    wait: bool,
    /// Wait no longer than this; the rollout goes on without you.
    #[arg(long, requires = "wait", default_value = "12h")]
    timeout: Span,
}

/// Start a rollout. Starting the same again changes nothing.
///
/// Exit status:
///   0  started, or nothing to roll out; with --wait: promoted
///   1  with --wait: rolled back, or superseded by a newer one
///   2  wrong use, an invalid spec, or something is in the way
///   3  with --wait: paused undecided, or still running at the timeout
///   4  AWS or a file did not answer
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct StartArguments {
    /// The spec, YAML or JSON.
    spec: PathBuf,
    /// The published version to roll out, instead of what the spec says.
    #[arg(long)]
    version: Option<String>,
    /// Who starts it, for the history.
    #[arg(long, env = "USER", default_value = "unknown")]
    by: String,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    at: Where,
}

/// Where a rollout stands.
///
/// Exit status:
///   0  it runs, or was promoted
///   1  rolling back, rolled back, or superseded by a newer one
///   2  wrong use, or there is no such rollout
///   3  it needs somebody: a decision, an approval, or hands; with --wait: it cannot tell, or still runs at the timeout
///   4  AWS did not answer
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct StatusArguments {
    /// The rollout's name, or the function whose rollout is running, or was last: `checkout-42`, `checkout`, `checkout:live`.
    rollout: String,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    at: Where,
}

/// Every rollout that is running, and what became of those before; those that need somebody come first.
///
/// Exit status, the worst of all that are listed only with --exit-code:
///   0  nobody has to do anything
///   1  one is rolling back
///   2  wrong use
///   3  one needs somebody, or there is no controller
///   4  AWS did not answer
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ListArguments {
    #[command(flatten)]
    selection: list::Selection,
    /// Say in the exit status whether somebody has to do something.
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    at: Where,
}

/// What happened to a rollout, and why.
#[derive(Debug, clap::Args)]
pub struct HistoryArguments {
    /// The rollout's name, or the function whose rollout is running.
    rollout: String,
    #[command(flatten)]
    at: Where,
}

/// What people say to a rollout.
#[derive(Debug, clap::Args)]
pub struct OrderArguments {
    /// The rollout's name, or the function whose rollout is running.
    rollout: String,
    /// Why, for the history.
    #[arg(long, default_value = "")]
    reason: String,
    /// Who says so, for the history.
    #[arg(long, env = "USER", default_value = "unknown")]
    by: String,
    #[command(flatten)]
    at: Where,
}

/// The `aws` command that puts all traffic back on the old version without Coalmine. Changes nothing.
#[derive(Debug, clap::Args)]
pub struct UndoArguments {
    /// The rollout's name, or the function whose rollout is running.
    rollout: String,
    /// Required: nothing is ever undone by this command itself.
    #[arg(long, required = true)]
    print: bool,
    #[command(flatten)]
    at: Where,
}

pub fn run(command: &Command, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    match command {
        Command::Start(arguments) => start(arguments, out, err),
        Command::Status(arguments) => status(arguments, out, err),
        Command::List(arguments) => list(arguments, out, err),
        Command::Watch(arguments) => crate::watch::run(arguments, out, err),
        Command::History(arguments) => history(arguments, out, err),
        Command::Pause(arguments) => order("pause", arguments, out, err),
        Command::Resume(arguments) => order("resume", arguments, out, err),
        Command::Approve(arguments) => order("approve", arguments, out, err),
        Command::Promote(arguments) => order("promote", arguments, out, err),
        Command::Abort(arguments) => order("abort", arguments, out, err),
        Command::Undo(arguments) => undo(arguments, out, err),
    }
}

fn start(arguments: &StartArguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    // All problems at once, each with its line, before anything is asked.
    let valid = match load_or_say(&arguments.spec, arguments.at.json, out, err)? {
        Ok(valid) => valid,
        Err(exit) => return Ok(exit),
    };
    valid.warnings.iter().try_for_each(|warning| print_problem(&arguments.spec, "warning: ", warning, err))?;
    // With what the defaults of this folder add, of which the function knows nothing.
    let mut request = json!({ "command": "start", "spec": spec::effective(&valid.spec), "by": arguments.by });
    if let Some(version) = &arguments.version {
        request["version"] = json!(version);
    }
    asking(&arguments.at, "Command", out, err, |stack, out, err| {
        let answer = stack.ask(&request)?;
        // Said once, in this answer.
        for warning in asked::sentences(&answer, "warnings").iter().filter(|warning| !warning.is_empty()) {
            writeln!(err, "warning: {warning}")?;
        }
        if asked::is_nothing(&answer) {
            show(&arguments.at, &answer, &text_of(&answer), out)?;
            return Ok(Exit::Fine);
        }
        let rollout = stack.rollout_in(&answer)?;
        if arguments.patience.wait {
            return wait(&stack, &rollout.id, &arguments.patience, &arguments.at, out, err);
        }
        show(&arguments.at, &answer, &stands(&rollout, &answer), out)?;
        // The same may have been started, and have ended, before.
        Ok(ended(&rollout).unwrap_or(Exit::Fine))
    })
}

fn status(arguments: &StatusArguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    asking(&arguments.at, "Command", out, err, |stack, out, err| {
        let (id, mut answer, rollout) = stack.named(&arguments.rollout)?;
        if arguments.patience.wait {
            return wait(&stack, &id, &arguments.patience, &arguments.at, out, err);
        }
        // Where there is no view the rest is worth knowing, too.
        let mut watched = crate::watch::Watched::of(id);
        let view = watched.look(&stack).ok().and_then(|()| watched.view(crate::now()));
        let said = match &view {
            Some(view) => words::seen(view) + &besides(&rollout, &answer),
            None => stands(&rollout, &answer),
        };
        if let Some(view) = &view {
            answer["view"] = serde_json::to_value(view).map_err(io::Error::from)?;
        }
        if let Some(out) = WayOut::of(&rollout) {
            answer["undo"] = json!(out.to_string());
        }
        show(&arguments.at, &answer, &said, out)?;
        Ok(exit_of(rollout.phase.name(), report::needs_you(&rollout)))
    })
}

fn list(arguments: &ListArguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    asking(&arguments.at, "Command", out, err, |stack, out, _| {
        let (now, selection) = (crate::now(), &arguments.selection);
        let answer = stack.list(selection.ended_since(now))?;
        let since = answer.get("endedSince").and_then(Value::as_str).and_then(|since| since.parse().ok());
        if selection.looks_back() && since.is_none() {
            let older = "this stack is older than this coalmine and does not tell what has ended; update it";
            return Err(Refused::problem(older));
        }
        let (entries, rollouts): (Vec<list::Entry>, Vec<Value>) = list::select(&answer, selection).into_iter().unzip();
        let listed: Vec<&Value> =
            entries.iter().zip(&rollouts).filter(|(entry, _)| entry.listed).map(|(_, rollout)| rollout).collect();
        let mut document = json!({ "rollouts": listed });
        if let Some(since) = since {
            document["ended"] = list::ended(&entries, since);
        }
        if let Some(controller) = list::Controller::of(&entries, now) {
            document["controller"] = json!({ "wroteAt": controller.wrote_at, "silent": controller.is_silent });
        }
        let said = match entries.is_empty() {
            true => "no rollout is running".to_owned(),
            false => list::table(&entries, since, now),
        };
        show(&arguments.at, &document, &said, out)?;
        Ok(if arguments.exit_code { list::exit(&entries, now) } else { Exit::Fine })
    })
}

fn history(arguments: &HistoryArguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    asking(&arguments.at, "Command", out, err, |stack, out, _| {
        let (id, answer, rollout) = stack.named(&arguments.rollout)?;
        let events = answer.get("history").cloned().unwrap_or_default();
        let document = json!({ "rollout": id, "history": events });
        show(&arguments.at, &document, &words::history(&rollout), out)?;
        Ok(Exit::Fine)
    })
}

/// `command` is one of the commands that steer a rollout.
fn order(command: &str, arguments: &OrderArguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    let OrderArguments { rollout: name, by, reason, at } = arguments;
    let request = |id: &str| json!({ "command": command, "rollout": id, "by": by, "reason": reason });
    // Many may stop, and few may promote: the function that only stops is enough for it.
    let logical = if ["abort", "pause"].contains(&command) { STOPS } else { "Command" };
    asking(at, logical, out, err, |stack, out, _| {
        let answer = match stack.ask(&request(name)) {
            // The function that only stops does not list. Whoever may ask no other one names the rollout itself.
            Err(Refused::Problems(problems)) if asked::is_unknown(&problems) => {
                let found = match at.function {
                    Some(_) => stack.running(name),
                    None => Stack::find(at, "Command").and_then(|stack| stack.running(name)),
                };
                let id = found.map_err(|_| Refused::Problems(problems))?;
                stack.ask(&request(&id))?
            }
            answer => answer?,
        };
        let rollout = stack.rollout_in(&answer)?;
        show(at, &answer, &stands(&rollout, &answer), out)?;
        Ok(Exit::Fine)
    })
}

fn undo(arguments: &UndoArguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    asking(&arguments.at, "Command", out, err, |stack, out, _| {
        let (id, _, rollout) = stack.named(&arguments.rollout)?;
        let calls = stack.calls_to_undo(&rollout)?;
        let document = json!({
            "rollout": id,
            "calls": calls.iter().map(|call| json!({
                "service": call.service, "command": call.command, "input": call.input,
            })).collect::<Vec<_>>(),
        });
        show(&arguments.at, &document, &words::undo(&rollout, &calls), out)?;
        Ok(Exit::Fine)
    })
}

/// A rollout of this name with everything that was counted of it, and the region, for a page about it.
pub fn counted<O: Write, E: Write>(
    at: &Where,
    name: &str,
    out: &mut O,
    err: &mut E,
    told: impl FnOnce(&Value, Option<String>, &mut O, &mut E) -> io::Result<Exit>,
) -> io::Result<Exit> {
    asking(at, "Command", out, err, |stack, out, err| {
        let (id, ..) = stack.named(name)?;
        Ok(told(&stack.counted(&id, None)?, stack.region(), out, err)?)
    })
}

/// Looks until it has ended. Every change is a line, unless only the end is wanted as JSON.
fn wait(
    stack: &Stack,
    id: &str,
    patience: &Patience,
    at: &Where,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<Exit, Refused> {
    let until = Instant::now() + Duration::from_secs(patience.timeout.seconds());
    let (mut said, mut failed) = (String::new(), 0);
    loop {
        let over = Instant::now() >= until;
        match stack.status(id) {
            Ok((answer, rollout)) => {
                failed = 0;
                let exit = ended(&rollout).or_else(|| over.then_some(Exit::Undecided));
                let line = stands(&rollout, &answer);
                if at.json && exit.is_some() || !at.json && line != said {
                    show(at, &answer, &line, out)?;
                    said = line;
                }
                if let Some(exit) = exit {
                    return Ok(exit);
                }
            }
            // A rollout goes on while AWS cannot be asked for a moment.
            Err(refused @ Refused::Fault(_)) if failed < FAILED_LOOKS && !over => {
                failed += 1;
                let shown = text::shown(&refused.said(), 300);
                writeln!(err, "cannot look ({shown}); looking again in {} s", LOOKS_APART.as_secs())?;
            }
            Err(refused) => return Err(refused),
        }
        std::thread::sleep(LOOKS_APART.min(until.saturating_duration_since(Instant::now())));
    }
}

/// What the end of a rollout is to a script; nothing while it goes on.
pub fn ended(rollout: &Rollout) -> Option<Exit> {
    match &rollout.phase {
        Phase::Promoted { .. } => Some(Exit::Fine),
        Phase::RolledBack { .. } | Phase::Superseded { .. } => Some(Exit::Failed),
        Phase::Paused { why: PauseReason::Undecided(_), .. } => Some(Exit::Undecided),
        Phase::Paused { why: PauseReason::Asked { .. } | PauseReason::Approval, .. }
        | Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Promoting { .. }
        | Phase::RollingBack { .. } => None,
    }
}

/// What a rollout is to a script that looks once, for `status`, `watch` and `list` alike.
pub fn exit_of(phase: PhaseName, needs_you: bool) -> Exit {
    match phase {
        PhaseName::Promoted => Exit::Fine,
        PhaseName::RolledBack | PhaseName::Superseded => Exit::Failed,
        PhaseName::Pending
        | PhaseName::Shifting
        | PhaseName::Baking
        | PhaseName::Paused
        | PhaseName::Promoting
        | PhaseName::RollingBack
            if needs_you =>
        {
            Exit::Undecided
        }
        PhaseName::RollingBack => Exit::Failed,
        PhaseName::Pending | PhaseName::Shifting | PhaseName::Baking | PhaseName::Paused | PhaseName::Promoting => {
            Exit::Fine
        }
    }
}

/// Finds the stack, asks it, and says what is wrong if something is.
pub fn asking<O: Write, E: Write>(
    at: &Where,
    logical: &str,
    out: &mut O,
    err: &mut E,
    ask: impl FnOnce(Stack, &mut O, &mut E) -> Result<Exit, Refused>,
) -> io::Result<Exit> {
    let answered = Stack::find(at, logical).and_then(|stack| ask(stack, out, err));
    let (problems, exit) = match answered {
        Ok(exit) => return Ok(exit),
        Err(Refused::Unwritten(error)) => return Err(error),
        Err(Refused::Problems(problems)) => (problems, Exit::Invalid),
        Err(Refused::Fault(problems)) => (problems, Exit::Io),
    };
    refuse(&problems, at.json, out, err)?;
    Ok(exit)
}

fn show(at: &Where, answer: &Value, said: &str, out: &mut impl Write) -> io::Result<()> {
    let said = if at.json { text::json(&answer.to_string()) } else { said.trim_end().to_owned() };
    writeln!(out, "{said}")
}

/// Where it stands, what is to be done, and what else is to be known of it.
fn stands(rollout: &Rollout, answer: &Value) -> String {
    words::status(rollout, &text_of(answer)) + &besides(rollout, answer)
}

/// What it is labelled with, the way out without Coalmine, and where its report is: a line each, of those that there are.
fn besides(rollout: &Rollout, answer: &Value) -> String {
    let labels = words::labels(&rollout.spec.release).map(|labels| format!("release: {labels}"));
    let by_hand = WayOut::of(rollout).map(|out| format!("by hand: {}", text::shown(&out.to_string(), 2_000)));
    let report = answer.get("report").and_then(Value::as_str);
    let report = report.map(|report| format!("report: {}", text::shown(report, 2_000)));
    [labels, by_hand, report].into_iter().flatten().map(|line| format!("\n  {line}")).collect()
}

pub fn text_of(answer: &Value) -> String {
    answer.get("message").and_then(Value::as_str).map(|message| text::shown(message, 2_000)).unwrap_or_default()
}
