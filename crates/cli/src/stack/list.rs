//! Many rollouts, one line each.

use coalmine_core::rollout::PhaseName;
use coalmine_core::spec::Release;
use coalmine_core::text;
use coalmine_core::units::{Since, Span, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{exit_of, words};
use crate::Exit;

/// No line is longer.
const COLUMNS: usize = 100;

/// Of a name or a sentence.
const CHARS_MAX: usize = 200;

/// Without `--since`, those that have ended since then are counted.
const LOOKED_BACK: Span = Span::from_hours(24);

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
    /// Only those that this one has started, or whose release belongs to this one.
    #[arg(long, value_name = "WHO")]
    owner: Option<String>,
    /// All that have ended since then, too: `7d`, or a time. Without it those of the last 24 hours are counted, and those of
    /// them that were rolled back are listed.
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
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
    RolledBack,
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
    Promoted,
    /// Another one, or somebody else, has taken its target.
    Superseded,
    /// Promoted, rolled back or superseded.
    Ended,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Sort {
    /// Who needs somebody first, then who has waited longest; of those that have ended, who has ended last.
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
    owner: String,
    message: String,
    /// Commit, owner and ticket, as far as they were given.
    labels: Option<String>,
    /// It is like the ones that were asked for.
    matches: bool,
    /// Counted in the first line, and not listed, where this is false.
    pub listed: bool,
}

/// Whoever attends to the rollouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Controller {
    /// When anything of a rollout with traffic was last written.
    pub wrote_at: Timestamp,
    /// That is so long ago that nobody attends to them.
    pub is_silent: bool,
}

impl Controller {
    /// By what was written last. Of rollouts that wait it says nothing, and one that alone is stuck is not seen here: `watch`
    /// says that.
    pub fn of(entries: &[Entry], now: Timestamp) -> Option<Self> {
        let attended = entries.iter().filter(|entry| entry.is_attended());
        let wrote_at = attended.filter_map(|entry| entry.written).max()?;
        Some(Self { wrote_at, is_silent: now.since(wrote_at) > SILENT })
    }
}

impl Selection {
    /// Those that have ended since then are asked for.
    pub fn ended_since(&self, now: Timestamp) -> Timestamp {
        self.since.unwrap_or(Since::Ago(LOOKED_BACK)).before(now)
    }

    /// Whether it makes no sense without those that have ended.
    pub fn looks_back(&self) -> bool {
        self.since.is_some()
    }
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
            ("promoted", _) => Self::Promoted,
            ("rolledBack", _) => Self::RolledBack,
            ("superseded", _) => Self::Superseded,
            _ => Self::Unreadable,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NeedsYou => "needs you",
            Self::Unreadable => "unreadable",
            Self::RollingBack => "rolling back",
            Self::RolledBack => "rolled back",
            Self::Paused => "paused",
            Self::Pending => "pending",
            Self::Moving => "moving",
            Self::Holding => "holding",
            Self::Observing => "observing",
            Self::Watched => "watched",
            Self::Promoted => "promoted",
            Self::Superseded => "superseded",
            Self::Ended => "ended",
        }
    }

    /// What a reader's eye stops at; no colour is needed for it.
    fn mark(self) -> char {
        match self {
            Self::NeedsYou | Self::Unreadable => '!',
            Self::RollingBack | Self::RolledBack => 'x',
            Self::Paused => '=',
            Self::Pending | Self::Moving | Self::Holding | Self::Watched => '>',
            Self::Observing => '~',
            Self::Promoted | Self::Superseded | Self::Ended => '.',
        }
    }

    fn runs(self) -> bool {
        self.mark() == '>' || self == Self::Observing
    }

    fn has_ended(self) -> bool {
        self == Self::RolledBack || self.mark() == '.'
    }

    fn is(self, wanted: Self) -> bool {
        self == wanted || wanted == Self::Ended && self.has_ended()
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
        let state = State::of(&phase, flag("needsYou"), flag("follows"));
        let message = message.strip_prefix(&format!("rollout {id} ")).unwrap_or(&message);
        // When it was stands in a column of its own.
        let message =
            Some(message).filter(|_| state.has_ended()).and_then(|it| it.split_once("Z: ")).map_or(message, |it| it.1);
        let left = if state.has_ended() && flag("active") { " (something is left to tell or to tidy up)" } else { "" };
        let labels = rollout.get("release").and_then(|release| Release::deserialize(release).ok());
        Self {
            matches: true,
            listed: true,
            labels: labels.as_ref().and_then(words::labels),
            state,
            target: of("target"),
            release: if new.is_empty() { String::new() } else { format!("{old} -> {new}") },
            share: of("weight").replace('%', " %"),
            started: time("startedAt"),
            since: time("since"),
            written: time("writtenAt"),
            by: of("startedBy"),
            owner: owner_of(rollout),
            message: format!("{message}{left}"),
            phase,
            id,
        }
    }

    /// Whether its controller has to write every few minutes.
    fn is_attended(&self) -> bool {
        ["shifting", "baking", "promoting", "rollingBack"].contains(&self.phase.as_str())
    }

    /// Nothing of one that cannot be read.
    fn phase_name(&self) -> Option<PhaseName> {
        PhaseName::deserialize(Value::String(self.phase.clone())).ok()
    }

    fn share_points(&self) -> f64 {
        self.share.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0.0)
    }
}

fn owner_of(rollout: &Value) -> String {
    let owner = rollout.get("release").and_then(|release| release.get("owner")).and_then(Value::as_str);
    text::shown(owner.unwrap_or_default(), CHARS_MAX)
}

/// All of them in their order; which are like those that are wanted, and which of these are listed, they say themselves.
pub fn select(answer: &Value, selection: &Selection) -> Vec<(Entry, Value)> {
    let rollouts = answer.get("rollouts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let wanted = |entry: &Entry| {
        let named = |target: &String| entry.target.contains(target.as_str()) || entry.id.contains(target.as_str());
        (selection.state.is_empty() || selection.state.iter().any(|state| entry.state.is(*state)))
            && selection.target.as_ref().is_none_or(named)
            && selection.owner.as_ref().is_none_or(|who| [&entry.by, &entry.owner].contains(&who))
    };
    let listed = |entry: &Entry, rollout: &Value| {
        let active = rollout.get("active").and_then(Value::as_bool).unwrap_or(true);
        active || entry.state == State::RolledBack || selection.since.is_some() || !selection.state.is_empty()
    };
    // How many need somebody, and whether there is a controller, is told of all, whichever are looked for.
    let mut all: Vec<(Entry, Value)> = rollouts.iter().map(|rollout| (Entry::of(rollout), rollout.clone())).collect();
    for (entry, rollout) in &mut all {
        entry.matches = wanted(entry);
        entry.listed = entry.matches && listed(entry, rollout);
    }
    all.sort_by(|(one, _), (other, _)| {
        let first = match selection.sort {
            Sort::Urgency if one.state.has_ended() => one.state.cmp(&other.state).then(other.since.cmp(&one.since)),
            Sort::Urgency => one.state.cmp(&other.state).then(one.since.cmp(&other.since)),
            Sort::Started => other.started.cmp(&one.started),
            Sort::Target => one.target.cmp(&other.target),
            Sort::Share => other.share_points().total_cmp(&one.share_points()),
        };
        first.then(one.id.cmp(&other.id))
    });
    all
}

/// How many of those that are wanted have ended how, for programs.
pub fn ended(entries: &[Entry], since: Timestamp) -> Value {
    let count = |state| entries.iter().filter(|entry| entry.matches && entry.state == state).count();
    json!({
        "since": since, "promoted": count(State::Promoted), "rolledBack": count(State::RolledBack),
        "superseded": count(State::Superseded),
    })
}

/// What a script hears of: a rollout that is listed and needs somebody, or goes back; and that nobody attends to any.
pub fn exit(entries: &[Entry], now: Timestamp) -> Exit {
    let exit = |entry: &Entry| match (entry.state, entry.phase_name()) {
        (State::NeedsYou, _) | (_, None) => Exit::Undecided,
        // What has ended is nothing to do any more.
        (state, Some(_)) if state.has_ended() => Exit::Fine,
        (_, Some(phase)) => exit_of(phase, false),
    };
    let silent = Controller::of(entries, now).is_some_and(|controller| controller.is_silent);
    let alone = if silent { Exit::Undecided } else { Exit::Fine };
    entries.iter().filter(|entry| entry.listed).map(exit).fold(alone, Exit::worse)
}

/// How many are how, who is there to look after them, then a line each. Those that have ended are told where it is known
/// since when.
pub fn table(entries: &[Entry], since: Option<Timestamp>, now: Timestamp) -> String {
    let mut lines = vec![totals(entries, since, now), String::new()];
    let listed: Vec<&Entry> = entries.iter().filter(|entry| entry.listed).collect();
    let width = |of: fn(&Entry) -> &String, least: usize, most: usize| {
        listed.iter().map(|entry| of(entry).chars().count()).max().unwrap_or(0).clamp(least, most)
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
    lines.push(match (listed.is_empty(), entries.iter().any(|entry| entry.matches)) {
        (true, true) => "no rollout is running".to_owned(),
        (true, false) => "no rollout is like that".to_owned(),
        (false, _) => row(' ', ["STATE", "TARGET", "RELEASE", "SHARE", "FOR", "NAME, AND WHY", ""]),
    });
    lines.extend(listed.iter().map(|entry| {
        let time = entry.since.map(|since| short(now.since(since))).unwrap_or_default();
        let Entry { state, target, release, share, message, labels, id, by, .. } = entry;
        let labels = labels.as_ref().map(|labels| format!(" ({labels})")).unwrap_or_default();
        let why = format!("{id}{labels}: {message}");
        row(state.mark(), [state.words(), target, release, share, &time, &why, by])
    }));
    let hidden = entries.iter().filter(|entry| entry.matches && !entry.listed).count();
    if let Some(since) = since.filter(|_| hidden > 0) {
        let span = short(now.since(since));
        lines.push(format!("  not listed: {hidden} more that ended in the last {span} (coalmine list --since {span})"));
    }
    lines.join("\n")
}

/// `NEEDS YOU 1 | RUNNING 14 | LAST 24h: ROLLED BACK 2, PROMOTED 61   controller wrote 14:22:01 (20s ago)`
fn totals(entries: &[Entry], since: Option<Timestamp>, now: Timestamp) -> String {
    let count = |holds: fn(State) -> bool| entries.iter().filter(|entry| holds(entry.state)).count();
    let mut parts = vec![
        format!("NEEDS YOU {}", count(|state| matches!(state, State::NeedsYou | State::Unreadable))),
        format!("ROLLING BACK {}", count(|state| state == State::RollingBack)),
        format!("PAUSED {}", count(|state| state == State::Paused)),
        format!("RUNNING {}", count(State::runs)),
    ];
    if let Some(since) = since {
        let (back, promoted) = (count(|it| it == State::RolledBack), count(|it| it == State::Promoted));
        let superseded = Some(count(|it| it == State::Superseded)).filter(|many| *many > 0);
        let superseded = superseded.map(|many| format!(", SUPERSEDED {many}")).unwrap_or_default();
        let span = short(now.since(since));
        parts.push(format!("LAST {span}: ROLLED BACK {back}, PROMOTED {promoted}{superseded}"));
    }
    let (totals, controller) = (parts.join(" | "), controller(entries, now));
    let gap = if totals.chars().count() + 3 + controller.chars().count() > COLUMNS { "\n" } else { "   " };
    format!("{totals}{gap}{controller}").trim_end().to_owned()
}

/// Whether anybody attends to them.
fn controller(entries: &[Entry], now: Timestamp) -> String {
    let Some(Controller { wrote_at, is_silent }) = Controller::of(entries, now) else { return String::new() };
    let time = wrote_at.to_string().get(11..19).unwrap_or_default().to_owned();
    let ago = short(now.since(wrote_at));
    match is_silent {
        true => format!("NO CONTROLLER SINCE {time} ({ago} ago)"),
        false => format!("controller wrote {time} ({ago} ago)"),
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
