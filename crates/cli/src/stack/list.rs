//! Many rollouts, one line each.

use coalmine_core::text;
use coalmine_core::units::{Span, Timestamp};
use serde_json::Value;

use crate::Exit;

/// No line is longer.
const COLUMNS: usize = 100;

/// Of a name or a sentence.
const CHARS_MAX: usize = 200;

/// Whoever attends to traffic that is split writes at least every quarter of an hour, when minutes are sealed; with the dead
/// man's switch three times as often. After this nobody does.
pub const SILENT: Span = Span::from_minutes(20);

/// Which of them, and in which order.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Selection {
    /// Only those in this state; may be given several times.
    #[arg(long, value_name = "STATE")]
    state: Vec<State>,
    /// Only those on this function, alias or target group, or of this name; a part is enough.
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// What comes first.
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,
}

/// How a rollout stands, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum State {
    /// A person has to decide.
    NeedsYou,
    /// It cannot be read.
    Unreadable,
    RollingBack,
    /// A person has paused it.
    Paused,
    /// It waits for another one, or gets ready.
    Pending,
    Moving,
    Holding,
    /// Others move the traffic.
    Observing,
    /// At 100 %.
    Watched,
    /// It has ended, and has something left to tell or to tidy up.
    Ended,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Sort {
    /// Who needs somebody first, then who has waited longest.
    #[default]
    Urgency,
    /// The newest first.
    Started,
    Target,
    /// The largest share first.
    Share,
}

/// A rollout of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub id: String,
    pub state: State,
    phase: String,
    target: String,
    release: String,
    /// As it is written: `5%`.
    share: String,
    started: Option<Timestamp>,
    since: Option<Timestamp>,
    written: Option<Timestamp>,
    by: String,
    message: String,
}

impl State {
    fn of(phase: &str, needs_you: bool, follows: bool) -> Self {
        match (phase, needs_you) {
            (_, true) => Self::NeedsYou,
            ("paused", _) => Self::Paused,
            ("rollingBack", _) => Self::RollingBack,
            ("pending", _) => Self::Pending,
            ("shifting" | "baking" | "promoting", _) if follows => Self::Observing,
            ("shifting", _) => Self::Moving,
            ("baking", _) => Self::Holding,
            ("promoting", _) => Self::Watched,
            ("promoted" | "rolledBack" | "superseded", _) => Self::Ended,
            _ => Self::Unreadable,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NeedsYou => "needs you",
            Self::Unreadable => "unreadable",
            Self::RollingBack => "rolling back",
            Self::Paused => "paused",
            Self::Pending => "pending",
            Self::Moving => "moving",
            Self::Holding => "holding",
            Self::Observing => "observing",
            Self::Watched => "watched",
            Self::Ended => "ended",
        }
    }

    /// What a reader's eye stops at; no colour is needed for it.
    fn mark(self) -> char {
        match self {
            Self::NeedsYou | Self::Unreadable => '!',
            Self::RollingBack => 'x',
            Self::Paused => '=',
            Self::Pending | Self::Moving | Self::Holding | Self::Watched => '>',
            Self::Observing => '~',
            Self::Ended => '.',
        }
    }

    fn runs(self) -> bool {
        self.mark() == '>' || self == Self::Observing
    }
}

impl Entry {
    fn of(rollout: &Value) -> Self {
        let of = |field: &str| text::shown(rollout.get(field).and_then(Value::as_str).unwrap_or_default(), CHARS_MAX);
        let flag = |field: &str| rollout.get(field).and_then(Value::as_bool).unwrap_or(false);
        let time = |field: &str| rollout.get(field).and_then(Value::as_str).and_then(|text| text.parse().ok());
        let (id, phase, message) = (of("id"), of("phase"), of("message"));
        let version = |field: &str| {
            let version = rollout
                .get(field)
                .and_then(Value::as_str)
                .map(|version| coalmine_core::spec::Version(version.to_owned()));
            version.map(|version| text::shown(&version.to_string(), CHARS_MAX)).unwrap_or_default()
        };
        let (old, new) = (version("baseline"), version("canary"));
        Self {
            state: State::of(&phase, flag("needsYou"), flag("follows")),
            target: of("target"),
            release: if new.is_empty() { String::new() } else { format!("{old} -> {new}") },
            share: of("weight").replace('%', " %"),
            started: time("startedAt"),
            since: time("since"),
            written: time("writtenAt"),
            by: of("startedBy"),
            message: message.strip_prefix(&format!("rollout {id} ")).unwrap_or(&message).to_owned(),
            phase,
            id,
        }
    }

    /// Whether its controller has to write every few minutes.
    fn is_attended(&self) -> bool {
        ["shifting", "baking", "promoting", "rollingBack"].contains(&self.phase.as_str())
    }

    fn share_points(&self) -> f64 {
        self.share.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0.0)
    }
}

/// Those that are wanted, in their order.
pub fn select(answer: &Value, selection: &Selection) -> Vec<(Entry, Value)> {
    let rollouts = answer.get("rollouts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let wanted = |entry: &Entry| {
        let named = |target: &String| entry.target.contains(target.as_str()) || entry.id.contains(target.as_str());
        (selection.state.is_empty() || selection.state.contains(&entry.state))
            && selection.target.as_ref().is_none_or(named)
    };
    let all = rollouts.iter().map(|rollout| (Entry::of(rollout), rollout.clone()));
    let mut chosen: Vec<(Entry, Value)> = all.filter(|(entry, _)| wanted(entry)).collect();
    chosen.sort_by(|(one, _), (other, _)| {
        let first = match selection.sort {
            Sort::Urgency => one.state.cmp(&other.state).then(one.since.cmp(&other.since)),
            Sort::Started => other.started.cmp(&one.started),
            Sort::Target => one.target.cmp(&other.target),
            Sort::Share => other.share_points().total_cmp(&one.share_points()),
        };
        first.then(one.id.cmp(&other.id))
    });
    chosen
}

/// What a script hears of: a rollout that needs somebody, or one that goes back.
pub fn exit<'a>(entries: impl Iterator<Item = &'a Entry>) -> Exit {
    let exit = |entry: &Entry| match entry.state {
        State::NeedsYou | State::Unreadable => Exit::Undecided,
        State::RollingBack => Exit::Failed,
        State::Paused
        | State::Pending
        | State::Moving
        | State::Holding
        | State::Observing
        | State::Watched
        | State::Ended => Exit::Fine,
    };
    entries.map(exit).fold(Exit::Fine, Exit::worse)
}

/// How many are how, who is there to look after them, then a line each.
pub fn table(entries: &[Entry], now: Timestamp) -> String {
    let mut lines = vec![totals(entries, now), String::new()];
    let width = |of: fn(&Entry) -> &String, least: usize, most: usize| {
        entries.iter().map(|entry| of(entry).chars().count()).max().unwrap_or(0).clamp(least, most)
    };
    let (targets, releases) = (width(|entry| &entry.target, 6, 30), width(|entry| &entry.release, 7, 24));
    let row = |mark: char, cells: [&str; 7]| {
        let [state, target, release, share, time, why, by] = cells;
        let (target, release) = (cut(target, targets), cut(release, releases));
        let head = format!("{mark} {state:<12}  {target:<targets$}  {release:<releases$}  {share:>6}  {time:>4}  ");
        let by = if by.is_empty() { String::new() } else { format!("  {by}") };
        let room = COLUMNS.saturating_sub(head.chars().count() + by.chars().count()).max(20);
        format!("{head}{}{by}", cut(why, room)).trim_end().to_owned()
    };
    lines.push(row(' ', ["STATE", "TARGET", "RELEASE", "SHARE", "FOR", "NAME, AND WHY", ""]));
    lines.extend(entries.iter().map(|entry| {
        let time = entry.since.map(|since| short(now.since(since))).unwrap_or_default();
        let Entry { state, target, release, share, message, id, by, .. } = entry;
        let why = format!("{id}: {message}");
        row(state.mark(), [state.words(), target, release, share, &time, &why, by])
    }));
    lines.join("\n")
}

/// `NEEDS YOU 1 | ROLLING BACK 0 | PAUSED 0 | RUNNING 14   controller wrote 14:22:01 (20s ago)`
fn totals(entries: &[Entry], now: Timestamp) -> String {
    let count = |holds: fn(State) -> bool| entries.iter().filter(|entry| holds(entry.state)).count();
    let ended = count(|state| state == State::Ended);
    let mut parts = vec![
        format!("NEEDS YOU {}", count(|state| matches!(state, State::NeedsYou | State::Unreadable))),
        format!("ROLLING BACK {}", count(|state| state == State::RollingBack)),
        format!("PAUSED {}", count(|state| state == State::Paused)),
        format!("RUNNING {}", count(State::runs)),
    ];
    parts.extend((ended > 0).then(|| format!("ENDED {ended}")));
    let (totals, controller) = (parts.join(" | "), controller(entries, now));
    let gap = if totals.chars().count() + 3 + controller.chars().count() > COLUMNS { "\n" } else { "   " };
    format!("{totals}{gap}{controller}").trim_end().to_owned()
}

/// Whether anybody attends to them, by what was written last. Of rollouts that wait it says nothing, and one that alone is
/// stuck is not seen here: `watch` says that.
fn controller(entries: &[Entry], now: Timestamp) -> String {
    let attended = entries.iter().filter(|entry| entry.is_attended());
    let Some(written) = attended.filter_map(|entry| entry.written).max() else { return String::new() };
    let time = written.to_string().get(11..19).unwrap_or_default().to_owned();
    match now.since(written) {
        ago if ago > SILENT => format!("NO CONTROLLER SINCE {time} ({} ago)", short(ago)),
        ago => format!("controller wrote {time} ({} ago)", short(ago)),
    }
}

/// The largest unit: `3h`, `41m`.
fn short(span: Span) -> String {
    match span.seconds() {
        seconds if seconds >= 2 * 86_400 => format!("{}d", seconds / 86_400),
        seconds if seconds >= 2 * 3600 => format!("{}h", seconds / 3600),
        seconds if seconds >= 60 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(2)).collect();
    format!("{kept}..")
}
