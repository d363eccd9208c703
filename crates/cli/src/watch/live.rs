//! The screen: it is drawn by one thread, and AWS is asked by another, so that no key waits for an answer.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::Duration;

use coalmine_core::text;
use coalmine_core::units::Timestamp;
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::terminal::{self, Clear, ClearType};
use crossterm::{cursor, execute, queue};
use serde_json::json;

use super::keys::{Meaning, Order, meaning};
use super::screen::{self, Piece, Row, Tone};
use super::{View, Watched};
use crate::Exit;
use crate::now;
use crate::simulate::wants_colours;
use crate::stack::asked::{Refused, Stack};
use crate::stack::{exit_of, text_of};

/// How long a key may wait to be seen, and a line about time to be redrawn.
const BEAT: Duration = Duration::from_millis(200);

/// As a shell tells that the terminal has gone.
#[cfg(unix)]
const HANGUP: i32 = 129;

/// Who gives orders here.
pub struct Person {
    pub by: String,
    pub reason: String,
}

/// What the other thread is told.
enum Ask {
    Look,
    Order(Order),
}

/// What comes back.
enum Told {
    View(Box<View>, Option<Exit>),
    /// There was no answer.
    Lost(String),
    /// An order was carried out, or why it was not.
    Done(String),
}

pub fn run(stack: Stack, watched: Watched, apart: Duration, by: Person, out: &mut impl Write) -> Result<Exit, Refused> {
    let Some(view) = watched.view(now()) else { return Err(Refused::fault("there is nothing to see")) };
    let mut shown = Shown { exit: watched.exit(), view, lost: None, said: None, asked: None, why: None, busy: false };
    let (asks, asked) = mpsc::channel();
    let (tells, told) = mpsc::channel();
    std::thread::spawn(move || ask_away(&stack, watched, apart, &by, &asked, &tells));
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signals(&stop)?;
    let restored = Terminal::enter()?;
    let seen = watch(&mut shown, &asks, &told, &stop, out);
    drop(restored);
    seen?;
    // What was seen last stays to be read.
    for row in screen::rows(&shown.view, columns(), None).iter().chain(&shown.told(columns(), now())) {
        writeln!(out, "{}", screen::painted(row, wants_colours()))?;
    }
    if shown.busy {
        writeln!(out, "The answer to the last order was not waited for: see `coalmine status`.")?;
    }
    Ok(shown.exit.unwrap_or_else(|| exit_of(shown.view.phase, shown.view.needs_you)))
}

/// Draws, and does what keys say, until somebody leaves.
fn watch(
    shown: &mut Shown,
    asks: &Sender<Ask>,
    told: &Receiver<Told>,
    stop: &AtomicBool,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut drawn = None;
    while !stop.load(Ordering::Relaxed) {
        loop {
            match told.try_recv() {
                Ok(news) => shown.take(news),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(io::Error::other("nobody asks any more")),
            }
        }
        let (columns, rows) = terminal::size()?;
        let lines = shown.lines(columns.into(), rows.into(), now());
        if drawn.as_ref() != Some(&lines) {
            draw(&lines, rows, out)?;
            drawn = Some(lines);
        }
        if !event::poll(BEAT)? {
            continue;
        }
        match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                if shown.pressed(key, asks) {
                    return Ok(());
                }
            }
            // All of it is drawn again, whatever the terminal has made of the old lines.
            Event::Resize(..) => {
                queue!(out, Clear(ClearType::All))?;
                drawn = None;
            }
            Event::Key(_) | Event::FocusGained | Event::FocusLost | Event::Mouse(_) => {}
        }
    }
    Ok(())
}

/// What was there is cleared before a line is written and not after it: behind a line as wide as the terminal the cursor still
/// stands on its last character, which would go, too.
fn draw(lines: &[Row], rows: u16, out: &mut impl Write) -> io::Result<()> {
    queue!(out, terminal::BeginSynchronizedUpdate)?;
    for (place, row) in (0..rows).zip(lines) {
        queue!(out, cursor::MoveTo(0, place), Clear(ClearType::UntilNewLine))?;
        write!(out, "{}", screen::painted(row, wants_colours()))?;
    }
    let below = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    if below < rows {
        queue!(out, cursor::MoveTo(0, below), Clear(ClearType::FromCursorDown))?;
    }
    queue!(out, terminal::EndSynchronizedUpdate)?;
    out.flush()
}

/// What is on the screen.
pub(super) struct Shown {
    pub view: View,
    pub exit: Option<Exit>,
    /// Why there has been no answer since the view.
    pub lost: Option<String>,
    /// What came of the last order.
    pub said: Option<String>,
    /// What is to be confirmed.
    pub asked: Option<Order>,
    /// The check whose sentences are shown.
    pub why: Option<usize>,
    /// An order is under way.
    pub busy: bool,
}

impl Shown {
    fn take(&mut self, news: Told) {
        match news {
            Told::View(view, exit) => {
                (self.view, self.exit, self.lost) = (*view, exit, None);
                // What was asked about may have become pointless.
                self.asked = self.asked.filter(|order| order.fits(&self.view));
            }
            Told::Lost(why) => self.lost = Some(why),
            Told::Done(said) => (self.said, self.busy) = (Some(said), false),
        }
    }

    /// Whether it is time to leave.
    fn pressed(&mut self, key: KeyEvent, asks: &Sender<Ask>) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if let KeyCode::Char(character) = key.code
            && control
        {
            return ['c', 'd'].contains(&character);
        }
        let character = match key.code.as_char() {
            Some(character) => character,
            None if key.code == KeyCode::Esc => '\u{1b}',
            None => ' ',
        };
        match self.pressed_character(character) {
            Some(Meaning::Quit) => return true,
            Some(Meaning::Confirm(order)) => {
                // The other thread ends with this one.
                let _ = asks.send(Ask::Order(order));
                let _ = asks.send(Ask::Look);
            }
            Some(_) | None => {}
        }
        false
    }

    /// What the caller has to see to.
    pub fn pressed_character(&mut self, character: char) -> Option<Meaning> {
        let meant = meaning(character, &self.view, self.asked);
        match meant {
            Meaning::Ask(order) if !self.busy => (self.asked, self.said) = (Some(order), None),
            Meaning::Decline => (self.asked, self.said) = (None, Some("Nothing was done.".to_owned())),
            Meaning::Confirm(order) => {
                (self.asked, self.busy) = (None, true);
                self.said = Some(format!("Asking Coalmine to {} ...", order.command()));
            }
            Meaning::Why => {
                // The way out is there also before any check is.
                let pages = self.view.checks.len().max(1);
                self.why = Some(self.why.map_or(0, |why| why + 1)).filter(|why| *why < pages)
            }
            Meaning::Back => self.why = None,
            // Whether it was done is worth a moment; Ctrl-C leaves at once.
            Meaning::Quit if self.busy => {
                self.said = Some("Waiting for the answer to the last order ...".to_owned());
                return None;
            }
            Meaning::Quit | Meaning::Nothing | Meaning::Ask(_) => {}
        }
        matches!(meant, Meaning::Quit | Meaning::Confirm(_)).then_some(meant)
    }

    /// The whole screen: the view above, keys and questions below.
    pub fn lines(&self, columns: usize, rows: usize, now: Timestamp) -> Vec<Row> {
        let width = columns.min(screen::COLUMNS);
        let below = self.below(width, now);
        let room = rows.saturating_sub(below.len() + 1);
        let mut lines = screen::rows(&self.view, width, Some(room));
        lines.push(Vec::new());
        lines.extend(below);
        // Of the shortest terminals the last lines are the ones that ask.
        let surplus = lines.len().saturating_sub(rows);
        lines.drain(..surplus);
        lines
    }

    /// How old the view is where there is no answer, and what came of the last order.
    fn told(&self, width: usize, now: Timestamp) -> Vec<Row> {
        let mut rows = Vec::new();
        if let Some(why) = &self.lost {
            let (time, ago) = (clock(self.view.looked_at), now.since(self.view.looked_at));
            let said = format!("! NO ANSWER SINCE {time} ({ago} ago); what you see is of then. {why}");
            rows.extend(row(&said, width, Tone::Bad));
        }
        rows.extend(self.said.iter().flat_map(|said| row(said, width, Tone::Strong)));
        rows
    }

    fn below(&self, width: usize, now: Timestamp) -> Vec<Row> {
        let row = |text: &str, tone: Tone| row(text, width, tone);
        let mut rows = Vec::new();
        if let Some(page) = self.why {
            if let Some(check) = self.view.checks.get(page) {
                rows.extend(row(&format!("{}: {}", check.label, check.found.words()), Tone::Strong));
                check.why.iter().for_each(|sentence| rows.extend(row(&format!("{sentence}."), Tone::Plain)));
                let at_full = self.view.at_full.iter().find(|full| full.check == check.check);
                at_full.iter().for_each(|full| rows.extend(row(&format!("At 100 %: {}.", full.why), Tone::Plain)));
            }
            rows.extend(screen::way_out(&self.view, width));
            rows.extend(row("[w] the next check, [Esc] back", Tone::Faint));
        }
        rows.extend(self.told(width, now));
        match self.asked {
            Some(order) => {
                rows.extend(row(&format!("{} [y]es, any other key: no", order.question(&self.view)), Tone::Ask));
            }
            None => rows.extend(row(&self.keys(), Tone::Faint)),
        }
        rows
    }

    fn keys(&self) -> String {
        let orders =
            Order::ALL.into_iter().rev().filter(|order| order.fits(&self.view)).map(|order| order.label(&self.view));
        let why = if self.view.way_out.is_some() { "[w]hy, by hand" } else { "[w]hy" };
        let keys: Vec<&str> = orders.chain([why, "[q]uit"]).collect();
        keys.join("  ")
    }
}

/// A text in as many rows as it needs.
fn row(text: &str, width: usize, tone: Tone) -> Vec<Row> {
    let text = text::shown(text, 1_000);
    let fits = text.chars().count() <= width;
    let wrapped = if fits { vec![text] } else { screen::wrapped(&text, width, 2) };
    wrapped.into_iter().map(|text| vec![Piece { text, tone }]).collect()
}

fn clock(at: Timestamp) -> String {
    super::headline::clock_seconds(at, at)
}

/// Looks again and again, and carries out orders, until nobody listens.
fn ask_away(
    stack: &Stack,
    mut watched: Watched,
    apart: Duration,
    by: &Person,
    asked: &Receiver<Ask>,
    tells: &Sender<Told>,
) {
    loop {
        // Nothing happens any more to a rollout that has ended.
        let over = watched.rollout.as_ref().is_some_and(|rollout| !rollout.is_active());
        let next = if over { asked.recv().map_err(RecvTimeoutError::from) } else { asked.recv_timeout(apart) };
        let ordered = matches!(next, Ok(Ask::Order(_)));
        // A bug in an answer's handling must not leave a screen that stands still without a word.
        let told = catch_unwind(AssertUnwindSafe(|| match next {
            Ok(Ask::Order(order)) => Some(Told::Done(carry_out(stack, &watched.id, order, by))),
            Ok(Ask::Look) | Err(RecvTimeoutError::Timeout) => Some(look(stack, &mut watched)),
            Err(RecvTimeoutError::Disconnected) => None,
        }));
        let told = match told {
            Ok(Some(told)) => told,
            Ok(None) => return,
            Err(_) if ordered => Told::Done("Whether that was done is not known: see the history.".to_owned()),
            Err(_) => Told::Lost("bug: the answer could not be worked out".to_owned()),
        };
        if tells.send(told).is_err() {
            return;
        }
    }
}

fn look(stack: &Stack, watched: &mut Watched) -> Told {
    let lost = |why: String| Told::Lost(why);
    match watched.look(stack) {
        Ok(()) => match watched.view(now()) {
            Some(view) => Told::View(Box::new(view), watched.exit()),
            None => lost("there is nothing to see".to_owned()),
        },
        Err(refused) => lost(refused.said()),
    }
}

fn carry_out(stack: &Stack, id: &str, order: Order, by: &Person) -> String {
    let Person { by, reason } = by;
    match stack.ask(&json!({ "command": order.command(), "rollout": id, "by": by, "reason": reason })) {
        Ok(answer) => format!("Done: {}.", text_of(&answer)),
        Err(refused @ Refused::Problems(_)) => format!("Refused: {}", refused.said()),
        Err(refused @ Refused::Fault(_)) => format!("Whether that was done is not known: {}", refused.said()),
        Err(refused @ Refused::Unwritten(_)) => refused.said(),
    }
}

fn columns() -> usize {
    terminal::size().map_or(screen::COLUMNS, |(columns, _)| columns.into())
}

/// The other screen, without an echo of keys, until it is dropped; also when something panics.
struct Terminal;

impl Terminal {
    fn enter() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        let entered = Self;
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // The thread that asks tells of its own on the screen.
            if std::thread::current().name() == Some("main") {
                leave();
                before(panic);
            }
        }));
        execute!(io::stdout(), terminal::EnterAlternateScreen, terminal::DisableLineWrap, cursor::Hide)?;
        Ok(entered)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        leave();
        if !std::thread::panicking() {
            let _ = std::panic::take_hook();
        }
    }
}

/// Nothing more can be done about a terminal that does not take it.
fn leave() {
    let _ = execute!(io::stdout(), terminal::EnableLineWrap, terminal::LeaveAlternateScreen, cursor::Show);
    let _ = terminal::disable_raw_mode();
}

/// Whoever ends it from outside gets the terminal back as it was, too.
#[cfg(unix)]
fn stop_on_signals(stop: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(stop))?;
    }
    // The terminal is gone: nothing is left to restore, and whoever goes on reading it reads for ever.
    let at_once = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGHUP, HANGUP, at_once)?;
    Ok(())
}

#[cfg(not(unix))]
fn stop_on_signals(_: &Arc<AtomicBool>) -> io::Result<()> {
    Ok(())
}
