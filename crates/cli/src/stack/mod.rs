//! `coalmine start`, `status`, `list` and the others that talk to the deployed stack.

mod asked;
#[cfg(test)]
mod tests;
mod words;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use coalmine_core::rollout::{PauseReason, Phase, Rollout};
use coalmine_core::text;
use coalmine_core::units::Span;
use serde_json::{Value, json};

use crate::Exit;
use crate::validate::{Unread, load, print_problem};
use asked::{Refused, Stack};

/// Between two looks while waiting: a tick comes once a minute.
const LOOKS_APART: Duration = Duration::from_secs(10);

/// So many looks in a row may fail: five minutes.
const FAILED_LOOKS: u32 = 30;

/// Which Coalmine is asked, and how it is answered.
#[derive(Debug, Clone, clap::Args)]
pub struct Where {
    /// The stack that Coalmine was deployed as.
    #[arg(long, default_value = "coalmine", env = "COALMINE_STACK")]
    stack: String,
    /// The function to ask by its name, instead of looking for the stack's.
    #[arg(long, env = "COALMINE_FUNCTION", value_name = "NAME")]
    function: Option<String>,
    /// Print the answer as one JSON document.
    #[arg(long)]
    json: bool,
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
///   1  rolled back, or superseded by a newer one
///   2  wrong use, or there is no such rollout
///   3  paused because it cannot tell; with --wait: still running at the timeout
///   4  AWS did not answer
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct StatusArguments {
    /// The rollout's name, or the function whose rollout is running: `checkout-42`, `checkout`, `checkout:live`.
    rollout: String,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    at: Where,
}

/// Every rollout that is running; those that need somebody come first.
#[derive(Debug, clap::Args)]
pub struct ListArguments {
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

pub fn start(arguments: &StartArguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    // All problems at once, each with its line, before anything is asked.
    match load(&arguments.spec, None) {
        Ok(Ok(_)) => {}
        Ok(Err(problems)) => {
            problems.iter().try_for_each(|problem| print_problem(&arguments.spec, "", problem, err))?;
            return Ok(Exit::Invalid);
        }
        Err(Unread::NotText(message)) => return writeln!(err, "{message}").map(|()| Exit::Invalid),
        Err(Unread::Io(message)) => return writeln!(err, "{message}").map(|()| Exit::Io),
    }
    let text = match std::fs::read_to_string(&arguments.spec) {
        Ok(text) => text,
        Err(error) => return writeln!(err, "{}: {error}", arguments.spec.display()).map(|()| Exit::Io),
    };
    let mut request = json!({ "command": "start", "spec": text, "by": arguments.by });
    if let Some(version) = &arguments.version {
        request["version"] = json!(version);
    }
    asking(&arguments.at, "Command", err, |stack, err| {
        let answer = stack.ask(&request)?;
        let Some(rollout) = stack.rollout_in(&answer) else {
            // The version is live already.
            return Ok(show(&arguments.at, &answer, &text_of(&answer), out).map(|()| Exit::Fine));
        };
        if arguments.patience.wait {
            return wait(stack, &rollout.id, &arguments.patience, &arguments.at, out, err);
        }
        Ok(show(&arguments.at, &answer, &words::status(&rollout, &text_of(&answer)), out).map(|()| Exit::Fine))
    })
}

pub fn status(arguments: &StatusArguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    asking(&arguments.at, "Command", err, |stack, err| {
        let id = stack.named(&arguments.rollout)?;
        if arguments.patience.wait {
            return wait(stack, &id, &arguments.patience, &arguments.at, out, err);
        }
        let (answer, rollout) = stack.status(&id)?;
        let exit = ended(&rollout).unwrap_or(Exit::Fine);
        Ok(show(&arguments.at, &answer, &words::status(&rollout, &text_of(&answer)), out).map(|()| exit))
    })
}

pub fn list(arguments: &ListArguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    asking(&arguments.at, "Command", err, |stack, _| {
        let answer = stack.ask(&json!({ "command": "list" }))?;
        Ok(show(&arguments.at, &answer, &words::list(&answer), out).map(|()| Exit::Fine))
    })
}

pub fn history(arguments: &HistoryArguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    asking(&arguments.at, "Command", err, |stack, _| {
        let id = stack.named(&arguments.rollout)?;
        let (answer, rollout) = stack.status(&id)?;
        let events = answer.get("history").cloned().unwrap_or_default();
        let document = json!({ "rollout": id, "history": events });
        Ok(show(&arguments.at, &document, &words::history(&rollout), out).map(|()| Exit::Fine))
    })
}

/// `command` is one of the commands that steer a rollout.
pub fn order(
    command: &str,
    arguments: &OrderArguments,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<Exit> {
    // Many may stop, and few may promote: the function that only stops is enough for it.
    let logical = if ["abort", "pause"].contains(&command) { "Abort" } else { "Command" };
    asking(&arguments.at, logical, err, |stack, _| {
        let request = |id: &str| {
            let OrderArguments { by, reason, .. } = arguments;
            json!({ "command": command, "rollout": id, "by": by, "reason": reason })
        };
        // The function that only stops does not list: it is asked by the name that was given.
        let answer = match stack.ask(&request(&arguments.rollout)) {
            Err(Refused::Problems(problems)) if asked::is_unknown(&problems) && logical == "Command" => {
                stack.ask(&request(&stack.named(&arguments.rollout)?))?
            }
            answer => answer?,
        };
        let said = stack.rollout_in(&answer).map(|rollout| words::status(&rollout, &text_of(&answer)));
        Ok(show(&arguments.at, &answer, &said.unwrap_or_else(|| text_of(&answer)), out).map(|()| Exit::Fine))
    })
}

pub fn undo(arguments: &UndoArguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    asking(&arguments.at, "Command", err, |stack, _| {
        let id = stack.named(&arguments.rollout)?;
        let (_, rollout) = stack.status(&id)?;
        let calls = stack.calls_to_undo(&rollout)?;
        let document = json!({
            "rollout": id,
            "calls": calls.iter().map(|call| json!({
                "service": call.service, "command": call.command, "input": call.input,
            })).collect::<Vec<_>>(),
        });
        Ok(show(&arguments.at, &document, &words::undo(&rollout, &calls), out).map(|()| Exit::Fine))
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
) -> Result<io::Result<Exit>, Refused> {
    let (mut said, mut failed) = (String::new(), 0);
    let mut left = Duration::from_secs(patience.timeout.seconds());
    loop {
        match stack.status(id) {
            Ok((answer, rollout)) => {
                failed = 0;
                let exit = ended(&rollout).or_else(|| left.is_zero().then_some(Exit::Undecided));
                let line = words::status(&rollout, &text_of(&answer));
                if at.json && exit.is_some() || !at.json && line != said {
                    if let Err(error) = show(at, &answer, &line, out) {
                        return Ok(Err(error));
                    }
                    said = line;
                }
                if let Some(exit) = exit {
                    return Ok(Ok(exit));
                }
            }
            // A rollout goes on while AWS cannot be asked for a moment.
            Err(Refused::Fault(fault)) if failed < FAILED_LOOKS && !left.is_zero() => {
                failed += 1;
                let shown = text::shown(&fault.to_string(), 300);
                if let Err(error) = writeln!(err, "cannot look ({shown}); looking again in {} s", LOOKS_APART.as_secs())
                {
                    return Ok(Err(error));
                }
            }
            Err(refused) => return Err(refused),
        }
        let pause = LOOKS_APART.min(left.max(Duration::from_millis(1)));
        std::thread::sleep(pause);
        left = left.saturating_sub(LOOKS_APART);
    }
}

/// What the end of a rollout is to a script; nothing while it goes on.
fn ended(rollout: &Rollout) -> Option<Exit> {
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

/// Finds the stack, asks it, and says what is wrong if something is.
fn asking<E: Write>(
    at: &Where,
    logical: &str,
    err: &mut E,
    ask: impl FnOnce(&Stack, &mut E) -> Result<io::Result<Exit>, Refused>,
) -> io::Result<Exit> {
    let answered = Stack::find(&at.stack, at.function.as_deref(), logical).and_then(|stack| ask(&stack, err));
    match answered {
        Ok(exit) => exit,
        Err(Refused::Problems(problems)) => {
            problems.iter().try_for_each(|problem| writeln!(err, "{problem}"))?;
            Ok(Exit::Invalid)
        }
        Err(Refused::Fault(fault)) => {
            writeln!(err, "{}", text::shown(&fault, 2_000))?;
            Ok(Exit::Io)
        }
    }
}

fn show(at: &Where, answer: &Value, said: &str, out: &mut impl Write) -> io::Result<()> {
    if at.json { writeln!(out, "{answer}") } else { writeln!(out, "{}", said.trim_end()) }
}

fn text_of(answer: &Value) -> String {
    answer.get("message").and_then(Value::as_str).map(|message| text::shown(message, 2_000)).unwrap_or_default()
}
