//! `coalmine watch`: one rollout, as it goes.

mod checks;
mod headline;
mod keys;
mod live;
mod outlook;
mod screen;
#[cfg(test)]
mod tests;
mod timetable;
mod to_do;
mod view;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use coalmine_core::rollout::Rollout;
use coalmine_core::text;
use coalmine_core::units::{Minute, Span, Timestamp};

use crate::Exit;
use crate::stack::asked::{Refused, Stack};
use crate::stack::{FAILED_LOOKS, Where, asking, ended};
pub use view::{Minutes, View};

/// However short it is asked for: every look reads metrics, which are paid for.
const LEAST_APART: Duration = Duration::from_secs(1);

/// Watch a rollout: where it stands, how far each check is, and what happens when.
///
/// On a terminal it is a screen with keys to pause, resume, approve, promote and abort, each of which
/// asks once more. Elsewhere it is a line for every change, until the rollout has ended or needs somebody.
///
/// Exit status:
///   0  it was promoted; on a terminal also: it still ran when you left
///   1  rolled back, or superseded by a newer one; on a terminal also: it was rolling back when you left
///   2  wrong use, or there is no such rollout
///   3  it needs somebody: a decision, an approval, or hands
///   4  AWS did not answer
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The rollout's name, or the function whose rollout is running: `checkout-42`, `checkout`, `checkout:live`.
    rollout: String,
    /// How often to look. A minute's metrics come once a minute.
    #[arg(long, default_value = "10s")]
    every: Span,
    /// Why, for the history, of what you do here.
    #[arg(long, default_value = "")]
    reason: String,
    /// Who does it, for the history.
    #[arg(long, env = "USER", default_value = "unknown")]
    by: String,
    #[command(flatten)]
    at: Where,
}

pub fn run(arguments: &Arguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    let apart = Duration::from_secs(arguments.every.seconds()).max(LEAST_APART);
    asking(&arguments.at, "Command", out, err, |stack, out, err| {
        let (id, ..) = stack.named(&arguments.rollout)?;
        let mut watched = Watched::of(id);
        if arguments.at.json || !is_screen() {
            return lines(&stack, &mut watched, apart, arguments.at.json, out, err);
        }
        // What cannot be looked at even once is better said without a screen.
        watched.look(&stack)?;
        let by = live::Person { by: arguments.by.clone(), reason: arguments.reason.clone() };
        live::run(stack, watched, apart, by, out)
    })
}

/// Whether there is somebody at the other end who sees a screen and has keys.
fn is_screen() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && io::stdin().is_terminal() && !dumb
}

/// What is known of a rollout from earlier looks.
#[derive(Debug)]
pub struct Watched {
    id: String,
    /// Those that are sealed stay as they are, and are not asked for again.
    minutes: Minutes,
    rollout: Option<Rollout>,
}

impl Watched {
    pub fn of(id: String) -> Self {
        Self { id, minutes: Minutes::default(), rollout: None }
    }

    /// Asks for what is new.
    pub fn look(&mut self, stack: &Stack) -> Result<(), Refused> {
        let sealed = self.rollout.as_ref().and_then(|rollout| rollout.sealed_before);
        let kept = sealed.filter(|_| !self.minutes.minutes.is_empty());
        let (rollout, newer) = stack.minutes(&self.id, kept)?;
        // Another one of the same name has other minutes.
        let same = self.rollout.as_ref().is_none_or(|known| known.started_at == rollout.started_at);
        self.rollout = Some(rollout);
        if !same {
            self.minutes = Minutes::default();
            let (rollout, all) = stack.minutes(&self.id, None)?;
            (self.rollout, self.minutes) = (Some(rollout), all);
            return Ok(());
        }
        self.keep(kept, newer);
        Ok(())
    }

    /// Takes in what was answered for the minutes from `from` on.
    fn keep(&mut self, from: Option<Minute>, newer: Minutes) {
        self.minutes.minutes.retain(|sample| from.is_some_and(|from| sample.minute < from));
        self.minutes.minutes.extend(newer.minutes);
        (self.minutes.unread, self.minutes.alarms) = (newer.unread, newer.alarms);
    }

    pub fn view(&self, now: Timestamp) -> Option<View> {
        self.rollout.as_ref().map(|rollout| View::of(rollout, &self.minutes, now))
    }

    fn exit(&self) -> Option<Exit> {
        self.rollout.as_ref().and_then(ended)
    }
}

/// A line for every change, or a document for every look.
fn lines(
    stack: &Stack,
    watched: &mut Watched,
    apart: Duration,
    json: bool,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<Exit, Refused> {
    let (mut log, mut failed) = (Log::default(), 0);
    loop {
        match watched.look(stack) {
            Ok(()) => {
                failed = 0;
                let mut needs_you = false;
                if let Some(view) = watched.view(crate::now()) {
                    needs_you = view.needs_you;
                    if json {
                        let document = serde_json::to_string(&view).map_err(io::Error::from)?;
                        writeln!(out, "{}", text::json(&document))?;
                    } else {
                        log.changes(&view).iter().try_for_each(|line| writeln!(out, "{line}"))?;
                    }
                    out.flush()?;
                }
                if let Some(exit) = watched.exit().or(needs_you.then_some(Exit::Undecided)) {
                    return Ok(exit);
                }
            }
            Err(refused @ Refused::Fault(_)) if failed < FAILED_LOOKS && watched.rollout.is_some() => {
                failed += 1;
                let shown = text::shown(&refused.said(), 300);
                writeln!(err, "cannot look ({shown}); looking again in {} s", apart.as_secs())?;
            }
            Err(refused) => return Err(refused),
        }
        std::thread::sleep(apart);
    }
}

/// What has been said of a rollout.
#[derive(Debug, Default)]
struct Log {
    headline: String,
    events: Option<u64>,
}

impl Log {
    /// What is new: what happened, then where it stands.
    fn changes(&mut self, view: &View) -> Vec<String> {
        let mut said = Vec::new();
        if let Some(known) = self.events {
            let new = usize::try_from(view.events_total.saturating_sub(known)).unwrap_or(usize::MAX);
            let events = view.events.iter().take(new).rev();
            said.extend(events.map(|event| screen::event_line(event, view.looked_at)));
        }
        self.events = Some(view.events_total);
        if view.headline != self.headline {
            said.push(screen::one_line(view));
            self.headline.clone_from(&view.headline);
        }
        said
    }
}
