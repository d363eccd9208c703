//! A view as people read it: the same lines on a terminal and in a file, never wider than there is room.

use coalmine_core::analysis::{figure, grouped, percent, times};
use coalmine_core::observation::AlarmState;
use coalmine_core::rollout::PhaseName;
use coalmine_core::spec::CheckMode;
use coalmine_core::text;
use coalmine_core::units::{Span, Timestamp};
use coalmine_core::way_out::WayOut;

use super::checks::{CheckView, Found};
use super::headline::{clock, clock_seconds};
use super::timetable::{Stage, Stands};
use super::view::{AlarmView, Labels, View};

/// No screen is wider, however wide the terminal is.
pub const COLUMNS: usize = 100;

/// What is narrower is cut.
const LEAST_COLUMNS: usize = 40;

/// With less than that, what is not needed is left out.
const NARROW: usize = 64;

/// Of a name or a sentence.
const CHARS_MAX: usize = 1_000;

/// Events on a screen that has room.
const EVENTS: usize = 4;

/// A part of a line, and how it looks where there are colours. None of them carries a meaning of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub text: String,
    pub tone: Tone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Strong,
    Good,
    Bad,
    Ask,
    Faint,
}

/// A line.
pub type Row = Vec<Piece>;

/// Lines that belong together; of what does not fit the highest number goes first.
struct Block {
    goes: u8,
    rows: Vec<Row>,
}

/// The view in lines of at most so many columns, and if `rows` says how many there is room for, in no more than that.
#[must_use]
pub fn rows(view: &View, columns: usize, rows: Option<usize>) -> Vec<Row> {
    let width = columns.clamp(LEAST_COLUMNS, COLUMNS);
    let mut blocks = vec![
        Block { goes: 0, rows: head(view, width) },
        Block { goes: 3, rows: timetable(view, width) },
        Block { goes: 1, rows: checks(view, width) },
        Block { goes: 2, rows: data(view, width) },
        Block { goes: 4, rows: ending(view, width) },
        Block { goes: 5, rows: events(view, width) },
    ];
    blocks.retain(|block| !block.rows.is_empty());
    if let Some(room) = rows {
        shrink(&mut blocks, room);
    }
    let mut all: Vec<Row> = Vec::new();
    for block in blocks {
        if !all.is_empty() {
            all.push(Vec::new());
        }
        all.extend(block.rows);
    }
    all.truncate(rows.unwrap_or(usize::MAX));
    all
}

/// Leaves out whole blocks, but of events as many as needed.
fn shrink(blocks: &mut Vec<Block>, room: usize) {
    let needed = |blocks: &[Block]| blocks.iter().map(|block| block.rows.len() + 1).sum::<usize>().saturating_sub(1);
    while needed(blocks) > room && blocks.len() > 1 {
        let over = needed(blocks) - room;
        let Some(place) = (0..blocks.len()).max_by_key(|place| blocks[*place].goes) else { return };
        let block = &mut blocks[place];
        if block.goes == 5 && block.rows.len() > over {
            block.rows.truncate(block.rows.len() - over);
        } else {
            blocks.remove(place);
        }
    }
}

/// The text of a line.
#[must_use]
pub fn plain(row: &Row) -> String {
    row.iter().map(|piece| piece.text.as_str()).collect::<String>().trim_end().to_owned()
}

/// The line for a terminal.
#[must_use]
pub fn painted(row: &Row, colours: bool) -> String {
    if !colours {
        return plain(row);
    }
    let paint = |piece: &Piece| match code(piece.tone) {
        Some(code) => format!("\u{1b}[{code}m{}\u{1b}[0m", piece.text),
        None => piece.text.clone(),
    };
    row.iter().map(paint).collect()
}

fn code(tone: Tone) -> Option<&'static str> {
    match tone {
        Tone::Plain => None,
        Tone::Strong => Some("1"),
        Tone::Good => Some("32"),
        Tone::Bad => Some("31"),
        Tone::Ask => Some("1;33"),
        Tone::Faint => Some("2"),
    }
}

fn piece(text: impl AsRef<str>, tone: Tone) -> Piece {
    // Whatever it is made of, it is one line that does nothing.
    Piece { text: text::shown(text.as_ref(), CHARS_MAX), tone }
}

fn line(text: impl AsRef<str>) -> Row {
    vec![piece(text, Tone::Plain)]
}

fn tone(view: &View) -> Tone {
    let worse = |check: &CheckView| matches!(check.found, Found::LooksWorse | Found::ProvenWorse);
    match view.phase {
        _ if fails_at_full(view) => Tone::Ask,
        PhaseName::Promoted => Tone::Good,
        PhaseName::RolledBack | PhaseName::RollingBack => Tone::Bad,
        _ if view.needs_you => Tone::Ask,
        PhaseName::Paused | PhaseName::Superseded => Tone::Ask,
        PhaseName::Pending | PhaseName::Shifting | PhaseName::Baking | PhaseName::Promoting => {
            if view.checks.iter().any(worse) { Tone::Bad } else { Tone::Strong }
        }
    }
}

/// It has all traffic and is worse than is tolerated, as far as a look at before and after can tell.
fn fails_at_full(view: &View) -> bool {
    let live = matches!(view.phase, PhaseName::Promoting | PhaseName::Promoted);
    live && view.at_full.iter().any(|full| full.beyond && full.mode != CheckMode::Observe)
}

/// Whether it has gone back, so that nothing is proven for it any more.
fn went_back(view: &View) -> bool {
    matches!(view.phase, PhaseName::RollingBack | PhaseName::RolledBack | PhaseName::Superseded)
}

/// What it is about, whether it is on fire, and what is to be done.
fn head(view: &View, width: usize) -> Vec<Row> {
    let View { target, baseline, canary, .. } = view;
    let what = text::shown(&format!("{target}  {baseline} -> {canary}"), CHARS_MAX);
    // On a narrow screen the headline needs the room.
    let zone = if width < NARROW { "" } else { " UTC" };
    let time = format!("{}{zone}", clock_seconds(view.looked_at, view.looked_at));
    let headline = text::shown(&view.headline, CHARS_MAX);
    let (has, needs) = (width, what.chars().count() + headline.chars().count() + time.len() + 8);
    let mut rows = Vec::new();
    if needs <= has {
        let gap = " ".repeat(has - needs + 2);
        rows.push(vec![
            piece(what, Tone::Strong),
            piece("      ", Tone::Plain),
            piece(headline, tone(view)),
            piece(gap, Tone::Plain),
            piece(time, Tone::Faint),
        ]);
    } else {
        let lines = wrapped(&headline, width.saturating_sub(time.len() + 2), 0);
        for (place, text) in lines.iter().enumerate() {
            let mut row = vec![piece(text, tone(view))];
            if place == 0 {
                row.push(piece(" ".repeat(width - text.chars().count() - time.len()), Tone::Plain));
                row.push(piece(&time, Tone::Faint));
            }
            rows.push(row);
        }
        rows.extend(wrapped(&what, width, 0).iter().map(|text| vec![piece(text, Tone::Strong)]));
    }
    rows.extend(wrapped(&view.to_do.join(" "), width, 0).iter().map(line));
    if view.phase == PhaseName::Paused || fails_at_full(view) && !view.commands.is_empty() {
        rows.extend(wrapped_or_one(&format!("  {}", view.commands.join("   |   ")), width));
    }
    // Nobody else puts it back, so the line itself is what is needed.
    if view.no_controller_since.is_some() || fails_at_full(view) && view.ended {
        rows.extend(way_out(view, width));
    }
    rows.extend(labels(view, width));
    rows
}

/// `  git 3f9c2ab | team-checkout | CHG-8812 | started by ci`: of a release that has labels.
fn labels(view: &View, width: usize) -> Vec<Row> {
    let Labels { commit, owner, ticket, started_by } = &view.release;
    if [commit, owner, ticket].iter().all(|label| label.is_empty()) {
        return Vec::new();
    }
    let commit = if commit.is_empty() { String::new() } else { format!("git {commit}") };
    let by = if started_by.is_empty() { String::new() } else { format!("started by {started_by}") };
    let said: Vec<&str> =
        [&commit, owner, ticket, &by].into_iter().map(String::as_str).filter(|said| !said.is_empty()).collect();
    let said = text::shown(&said.join(" | "), CHARS_MAX);
    wrapped(&said, width - 2, 0).iter().map(|text| vec![piece(format!("  {text}"), Tone::Faint)]).collect()
}

/// The way out without Coalmine, as lines that a shell takes together.
#[must_use]
pub fn way_out(view: &View, width: usize) -> Vec<Row> {
    let back = &view.baseline;
    let said = |text: String| wrapped(&text::shown(&text, CHARS_MAX), width, 2).into_iter().map(line);
    match &view.way_out {
        None => Vec::new(),
        Some(WayOut::Line(command)) => {
            let about = said(format!("By hand, all traffic to {back} without Coalmine:"));
            about.chain(pasted(&text::shown(command, CHARS_MAX), width).into_iter().map(line)).collect()
        }
        Some(WayOut::ReadFirst { command, by_hand }) => {
            let about = said(format!("By hand, without Coalmine: {by_hand}. As commands:"));
            about.chain(pasted(&text::shown(command, CHARS_MAX), width).into_iter().map(line)).collect()
        }
    }
}

/// A command in lines that fit, each of which but the last says that there is more; broken anywhere where there is no other way.
fn pasted(command: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::from(" ")];
    for (place, part) in command.split(" --").enumerate() {
        let part = if place == 0 { part.to_owned() } else { format!("--{part}") };
        let Some(last) = lines.last_mut() else { break };
        if last.chars().count() + part.chars().count() + 3 > width {
            last.push_str(" \\");
            lines.push(format!("    {part}"));
        } else {
            last.push_str(&format!(" {part}"));
        }
    }
    let fits = lines.iter().all(|line| line.chars().count() <= width) && !command.contains('\'');
    if fits {
        lines
    } else {
        wrapped(command, width.saturating_sub(2), 0).iter().map(|line| format!("  {line}")).collect()
    }
}

/// `  5 % ok 13m > [25 % for 6m] > 50 % > 100 % > watch 30m      wanted 25 %, live 25 %, seen 24.7 %`
fn timetable(view: &View, width: usize) -> Vec<Row> {
    let stages: Vec<String> = view.timetable.iter().map(|stage| in_words(view, stage)).collect();
    let stages = stages.join(" > ");
    let weight = &view.weight;
    let mut shares = Vec::new();
    shares.extend(weight.wanted.map(|wanted| format!("wanted {wanted}")));
    let seen = if view.no_controller_since.is_some() { "last seen" } else { "live" };
    shares.extend(weight.live.filter(|_| !view.ended).map(|live| format!("{seen} {live}")));
    shares.extend(weight.told.map(|told| format!("seen {}", short_percent(told))));
    let shares = shares.join(", ");
    if stages.is_empty() && shares.is_empty() {
        return Vec::new();
    }
    let needs = 2 + stages.chars().count() + 4 + shares.chars().count();
    if needs <= width || shares.is_empty() {
        let gap = " ".repeat(width.saturating_sub(needs) + 4);
        let gap = if shares.is_empty() { String::new() } else { gap };
        return wrapped_or_one(&format!("  {stages}{gap}{shares}"), width);
    }
    [wrapped_or_one(&format!("  {stages}"), width), wrapped_or_one(&format!("  {shares}"), width)].concat()
}

/// Spaces that were put there to be kept are kept where the line fits.
fn wrapped_or_one(text: &str, width: usize) -> Vec<Row> {
    if text.chars().count() <= width {
        return vec![line(text)];
    }
    wrapped(text.trim_start(), width - 2, 0).iter().map(|text| line(format!("  {text}"))).collect()
}

fn in_words(view: &View, stage: &Stage) -> String {
    let weight = stage.weight;
    let took = stage.took.map(|took| format!(" {}", rough(took))).unwrap_or_default();
    let approval = if stage.approval { " (approval)" } else { "" };
    match (stage.stands, stage.watch) {
        (Stands::Passed, _) => format!("{weight} ok{took}"),
        (Stands::TurnedBack, _) => format!("{weight}{took}"),
        (Stands::Present, _) if view.phase == PhaseName::Superseded => format!("{weight}{took}"),
        (Stands::Present, _) if view.ended || stage.took.is_none() => format!("[{weight}]"),
        (Stands::Present, Some(watch)) => format!("[{weight} for{took} of {}]", rough(watch)),
        (Stands::Present, None) => format!("[{weight} for{took}]"),
        (Stands::ToCome, Some(watch)) => format!("{weight} > watch {}", rough(watch)),
        (Stands::ToCome, None) => format!("{weight}{approval}"),
    }
}

/// `13m`, `1h 5m`, `40s`: seconds only where there is nothing else.
fn rough(span: Span) -> String {
    match span.seconds() {
        seconds if seconds < 60 => span.to_string(),
        seconds => Span::from_minutes(seconds / 60).to_string(),
    }
}

/// A share as a weight is written: `24.7 %`.
fn short_percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// How the table is laid out.
#[derive(Clone, Copy)]
struct Layout {
    label: usize,
    side: usize,
    times: usize,
    /// Marks on either side of the middle; 0 for no bar.
    bar: usize,
}

impl Layout {
    const RESULT: usize = 8;

    fn of(width: usize) -> Self {
        match width {
            98.. => Self { label: 20, side: 9, times: 20, bar: 12 },
            80.. => Self { label: 19, side: 9, times: 16, bar: 6 },
            64.. => Self { label: 19, side: 9, times: 0, bar: 6 },
            _ => Self { label: 22, side: 0, times: 0, bar: 0 },
        }
    }
}

fn checks(view: &View, width: usize) -> Vec<Row> {
    if view.checks.is_empty() {
        return Vec::new();
    }
    let layout = Layout::of(width);
    let mut rows = Vec::new();
    if layout.side > 0 {
        rows.push(vec![piece(header(view, layout), Tone::Faint)]);
    }
    rows.extend(view.checks.iter().map(|check| row(check, layout, went_back(view))));
    rows.extend(at_full(view, width));
    rows
}

fn header(view: &View, layout: Layout) -> String {
    let Layout { label, side, times, bar } = layout;
    let sure = coalmine_core::units::plain_number(100.0 * view.sure);
    let ratio = match times {
        0 => String::new(),
        20.. => format!("  {:<times$}", format!("new/old ({sure} % sure)")),
        _ => format!("  {:<times$}", "new/old"),
    };
    // The middle is above the bars' middle, and what stands behind a bar is how far it has come.
    let (gap, bars) = match bar {
        12.. => (" ", "rollback <-- | --> promote"),
        _ => ("  ", "worse<|>fine "),
    };
    let result = Layout::RESULT;
    let so_far = if went_back(view) { "" } else { "so far" };
    let header = format!("  {:<label$}{:>side$}{:>side$}{ratio}{gap}{bars}{so_far:>result$}", "", "new", "old");
    header.trim_end().to_owned()
}

/// `  now at 100 %: errors 5.1 % (1,220 of 24,010 since 06:52), before 0.44 %; not a comparison`
fn at_full(view: &View, width: usize) -> Vec<Row> {
    let said = view.at_full.iter().flat_map(|full| {
        let when = if view.phase == PhaseName::Promoting { "now at 100 %" } else { "at 100 %" };
        let (from, until) = (clock(full.from, view.looked_at), clock(full.until, view.looked_at));
        let (events, requests) = (grouped(full.new.events), grouped(full.new.requests));
        let before = match full.old.requests > 0.0 {
            true => format!("before {}", percent(full.old.share())),
            false => "nothing is known of before".to_owned(),
        };
        let text = format!(
            "{when}: {} {} ({events} of {requests}, {from} to {until}), {before}; not a comparison",
            full.check,
            percent(full.new.share()),
        );
        let (mark, tone) = if full.beyond { ("! ", Tone::Bad) } else { ("", Tone::Plain) };
        let lines = wrapped(&format!("{mark}{}", text::shown(&text, CHARS_MAX)), width - 2, 2);
        lines.into_iter().map(move |text| vec![piece(format!("  {text}"), tone)])
    });
    said.collect()
}

fn row(check: &CheckView, layout: Layout, over: bool) -> Row {
    // What came of the others does not matter any more, and how far they were is no finding.
    let over = over && check.found != Found::ProvenWorse;
    let Layout { label, side, times: ratio, bar } = layout;
    let name = cut(&text::shown(&check.label, CHARS_MAX), label);
    let mut row = vec![piece(format!("  {name:<label$}"), Tone::Plain)];
    if side > 0 {
        let (new, old) = sides(check);
        row.push(piece(format!("{:>side$}{:>side$}", cut(&new, side - 1), cut(&old, side - 1)), Tone::Plain));
    }
    if ratio > 0 {
        row.push(piece(format!("  {:<ratio$}", cut(&compared(check), ratio)), Tone::Plain));
    }
    if bar > 0 {
        row.push(piece("  ", Tone::Plain));
        match over {
            true => row.push(piece(format!("{:bar$}|{:bar$}", "", ""), Tone::Faint)),
            false => row.extend(bars(check, bar)),
        }
    }
    let result = if over { String::new() } else { result(check) };
    row.push(piece(format!(" {result:>width$}", width = Layout::RESULT - 1), result_tone(check)));
    row
}

fn sides(check: &CheckView) -> (String, String) {
    let none = || "-".to_owned();
    match &check.level {
        Some(level) => (figure(level.canary), figure(level.baseline)),
        None => (
            check.new.map_or_else(none, |new| percent(new.share())),
            check.old.map_or_else(none, |old| percent(old.share())),
        ),
    }
}

/// `0.95x  0.4 - 2.3`
fn compared(check: &CheckView) -> String {
    if let Some(level) = &check.level {
        let signed = |value: f64| format!("{}{}", if value < 0.0 { "" } else { "+" }, figure(value));
        return level.difference.map_or_else(String::new, |(from, to)| format!("{} - {}", signed(from), signed(to)));
    }
    let Some(found) = check.times else { return String::new() };
    let (lower, upper) = (times(found.lower), found.upper);
    // As good as nothing is no bound.
    let unbounded = found.lower < 0.005;
    match (found.estimate.is_finite(), upper.is_finite()) {
        (true, true) if found.estimate <= 0.0 => format!("at most {}x", times(upper)),
        (true, true) if unbounded => format!("{}x  up to {}", times(found.estimate), times(upper)),
        (true, false) if unbounded => format!("{}x", times(found.estimate)),
        (false, _) if unbounded => String::new(),
        (true, true) => format!("{}x  {lower} - {}", times(found.estimate), times(upper)),
        (true, false) => format!("{}x  {lower} or more", times(found.estimate)),
        (false, _) => format!("{lower}x or more"),
    }
}

/// `......######|#########...`
fn bars(check: &CheckView, half: usize) -> Vec<Piece> {
    let marks = |share: Option<f64>| share.map(|share| filled(share, half));
    let (back, on) = (marks(check.towards_rollback), marks(check.towards_proof));
    let empty = |marks: Option<usize>| match marks {
        Some(marks) => ".".repeat(half - marks),
        None => " ".repeat(half),
    };
    vec![
        piece(empty(back), Tone::Faint),
        piece("#".repeat(back.unwrap_or(0)), Tone::Bad),
        piece("|", Tone::Plain),
        piece("#".repeat(on.unwrap_or(0)), Tone::Good),
        piece(empty(on), Tone::Faint),
    ]
}

/// Full only where it is proven.
fn filled(share: f64, half: usize) -> usize {
    #[allow(clippy::cast_precision_loss, reason = "a bar is short")]
    let marks = (share.clamp(0.0, 1.0) * half as f64).floor();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0..=half")]
    let marks = marks as usize;
    if share >= 1.0 { half } else { marks.min(half.saturating_sub(1)) }
}

fn result(check: &CheckView) -> String {
    let part = |share: Option<f64>| format!("{:.0} %", (100.0 * share.unwrap_or(0.0)).floor());
    match check.found {
        Found::ProvenFine => "done".to_owned(),
        Found::ProvenWorse => "WORSE".to_owned(),
        Found::LooksWorse => format!("-{}", part(check.towards_rollback)),
        Found::LooksFine => part(check.towards_proof),
        Found::CannotTell => "unclear".to_owned(),
        Found::NoData => "no data".to_owned(),
        Found::ShownOnly => "shown".to_owned(),
    }
}

fn result_tone(check: &CheckView) -> Tone {
    match check.found {
        Found::ProvenFine => Tone::Good,
        Found::ProvenWorse | Found::LooksWorse => Tone::Bad,
        Found::LooksFine | Found::CannotTell | Found::NoData | Found::ShownOnly => Tone::Plain,
    }
}

/// Alarms, requests, and how old all of it is.
fn data(view: &View, width: usize) -> Vec<Row> {
    let alarms = alarms(view);
    let requests = match (view.requests.new, view.requests.old) {
        (new, old) if new + old > 0.0 => format!("; {} new, {} old requests", grouped(new), grouped(old)),
        _ => String::new(),
    };
    let mut texts = vec![format!("{alarms}{requests}")];
    texts.push(how_old(view));
    let mut rows = Vec::new();
    for text in texts.into_iter().filter(|text| !text.is_empty()) {
        rows.extend(wrapped(&text, width - 2, 2).iter().map(|text| line(format!("  {text}"))));
    }
    if matches!(view.phase, PhaseName::Promoting | PhaseName::Promoted) && !view.checks.is_empty() {
        let text = "the checks are of before 100 %, where nothing is left to compare with; alarms guard";
        rows.extend(wrapped(text, width - 2, 2).iter().map(|text| line(format!("  {text}"))));
    }
    for problem in view.data.unread.iter().map(|why| format!("could not be read: {why}")).chain(view.data.split.clone())
    {
        let marked = wrapped(&format!("! {}", text::shown(&problem, CHARS_MAX)), width - 2, 2);
        rows.extend(marked.iter().map(|text| vec![piece(format!("  {text}"), Tone::Bad)]));
    }
    rows
}

/// `alarms 3 of 3 OK`; of those that are not, which.
fn alarms(view: &View) -> String {
    let all = view.alarms.len();
    if all == 0 {
        return "no alarms".to_owned();
    }
    if went_back(view) || view.ended {
        return rang(view);
    }
    let ok = view.alarms.iter().filter(|alarm| alarm.state == Some(AlarmState::Ok)).count();
    let others = view.alarms.iter().filter(|alarm| alarm.state != Some(AlarmState::Ok)).map(|alarm| {
        let state = match alarm.state {
            Some(AlarmState::Alarm) => "is in ALARM",
            Some(AlarmState::InsufficientData) => "has no data",
            Some(AlarmState::Ok) | None => "is not known",
        };
        let muted = if alarm.muted { " since before the start" } else { "" };
        format!("{} {state}{muted}", alarm.name)
    });
    let others: Vec<String> = others.collect();
    match others.len() {
        0 => format!("alarms {all} of {all} OK"),
        _ => format!("alarms {ok} of {all} OK: {}", others.join(", ")),
    }
}

/// `alarms: none rang`; of those that did, which. What is red from before the start does not count, so nobody looked.
fn rang(view: &View) -> String {
    let names = |of: fn(&AlarmView) -> bool| -> Vec<&str> {
        view.alarms.iter().filter(|alarm| of(alarm)).map(|alarm| alarm.name.as_str()).collect()
    };
    let (rang, muted) = (names(|alarm| alarm.rang), names(|alarm| alarm.muted));
    let said = if rang.is_empty() { "none rang".to_owned() } else { format!("{} rang", rang.join(", ")) };
    match muted.is_empty() {
        true => format!("alarms: {said}"),
        false => format!("alarms: {said}; red since before the start: {}", muted.join(", ")),
    }
}

fn how_old(view: &View) -> String {
    let now = view.looked_at;
    let Some(until) = view.data.until else {
        let expected = matches!(view.phase, PhaseName::Baking | PhaseName::Paused | PhaseName::Promoting);
        let behind = rough(view.data.normally_behind);
        return if expected { format!("no data yet; {behind} behind is normal") } else { String::new() };
    };
    if view.ended {
        return format!("data up to {}", clock(until, now));
    }
    let settled = match view.data.settled_until.filter(|settled| *settled < until) {
        Some(settled) => format!(", proof counts those up to {}", clock(settled, now)),
        None => String::new(),
    };
    format!("data up to {}{settled}; {} behind is normal", clock(until, now), rough(view.data.normally_behind))
}

/// Why it went back, what that has cost, and where to look.
fn ending(view: &View, width: usize) -> Vec<Row> {
    if !matches!(view.phase, PhaseName::RollingBack | PhaseName::RolledBack | PhaseName::Superseded) {
        return Vec::new();
    }
    let mut said: Vec<(&str, String)> = Vec::new();
    let worse: Vec<&CheckView> = view.checks.iter().filter(|check| check.found == Found::ProvenWorse).collect();
    for check in &worse {
        said.extend(check.why.first().map(|sentence| ("why", sentence.clone())));
    }
    if worse.is_empty() {
        said.extend(view.events.iter().find(|event| event.entered.is_some()).map(|event| ("why", event.why.clone())));
    }
    said.extend(view.impact.as_ref().map(|impact| {
        let (from, until) = (clock(impact.from, view.looked_at), clock(impact.until, view.looked_at));
        let (failed, requests, canary) = (grouped(impact.failed), grouped(impact.requests), &view.canary);
        let due = match impact.due_to_release {
            due if due >= 0.5 => format!("about {} of them due to it", grouped(due)),
            _ => format!("no more than on {}", view.baseline),
        };
        let what = &impact.what;
        ("impact", format!("{failed} of {requests} requests to {canary} {what}, {from} to {until}, {due}"))
    }));
    let mut rows = Vec::new();
    for (label, text) in said {
        let text = wrapped(&text::shown(&text, CHARS_MAX), width - 10, 0);
        rows.extend(
            text.iter()
                .enumerate()
                .map(|(place, text)| line(format!("  {:<8}{text}", if place == 0 { label } else { "" }))),
        );
    }
    rows
}

/// Newest first, a line each.
fn events(view: &View, width: usize) -> Vec<Row> {
    let shown = view.events.iter().take(EVENTS).map(|event| {
        let entered = event.entered.as_deref().unwrap_or_default();
        let head = format!("  {}  {:>6}  {entered:<12}  ", clock(event.at, view.looked_at), event.weight.to_string());
        line(cut(&format!("{head}{}", text::shown(&event.why, CHARS_MAX)), width))
    });
    shown.collect()
}

/// A view in one line, for a log: when, where it stands, what is to be done.
#[must_use]
pub fn one_line(view: &View) -> String {
    let View { target, baseline, canary, headline, .. } = view;
    let time = clock_seconds(view.looked_at, view.looked_at);
    text::shown(&format!("{time}  {target}  {baseline} -> {canary}  {headline}. {}", view.to_do.join(" ")), CHARS_MAX)
}

/// An event in one line, for a log.
#[must_use]
pub fn event_line(event: &super::view::EventView, now: Timestamp) -> String {
    let entered = event.entered.as_deref().unwrap_or_default();
    let time = clock_seconds(event.at, now);
    text::shown(&format!("{time}  {:>6}  {entered:<12}  {}", event.weight.to_string(), event.why), CHARS_MAX)
}

/// Words in lines of at most so many columns; those after the first are indented.
#[must_use]
pub fn wrapped(text: &str, width: usize, indent: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut current = String::new();
    for word in words(text) {
        let mut word = word.as_str();
        let needs = current.chars().count() + 1 + word.chars().count();
        if !current.trim().is_empty() && needs > width {
            lines.push(std::mem::replace(&mut current, " ".repeat(indent)));
        }
        if !current.trim().is_empty() {
            current.push(' ');
        }
        // A name may be longer than a line.
        while current.chars().count() + word.chars().count() > width {
            let room = width.saturating_sub(current.chars().count()).max(1);
            let split = word.char_indices().nth(room).map_or(word.len(), |(place, _)| place);
            current.push_str(&word[..split]);
            word = &word[split..];
            lines.push(std::mem::replace(&mut current, " ".repeat(indent)));
        }
        current.push_str(word);
    }
    if !current.trim().is_empty() {
        lines.push(current);
    }
    lines
}

/// The words of a text; a number stays with its sign.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match words.last_mut() {
            Some(number) if word.starts_with('%') => number.push_str(&format!(" {word}")),
            Some(_) | None => words.push(word.to_owned()),
        }
    }
    words
}

/// At most so many characters, of which the last ones say that there were more.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(2)).collect();
    format!("{kept}..")
}
