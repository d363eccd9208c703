//! What a look shows, in every phase: scenarios of `tests/scenarios`, stopped in the middle. Each has its screens beside this
//! file, which a person has read and found right; CONTRIBUTING.md says how a change of one is accepted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use coalmine_core::observation::AlarmState;
use coalmine_core::rollout::{Event, Fence, Phase, PutBack, RollBackEnd, Rollout, Why};
use coalmine_core::sim::language;
use coalmine_core::sim::scenario::{Outcome, Scenario, run};
use coalmine_core::text::is_harmful;
use coalmine_core::units::Span;

use super::keys::{Meaning, Order, meaning};
use super::screen::{plain, rows};
use super::*;

/// Scenarios, and after how many minutes they are looked at.
const LOOKS: &[(&str, &[u64])] = &[
    ("good-release", &[0, 3, 8, 12, 16, 30, 80]),
    ("ten-times-the-errors", &[4, 15]),
    ("undecided-slightly-worse", &[40, 130]),
    ("undecided-too-little-traffic", &[60, 130]),
    ("slow-release", &[10]),
    ("alarm-in-the-first-step", &[30]),
    ("alarm-red-before-judged", &[1]),
    ("approval", &[20, 35]),
    ("paused-and-resumed", &[20]),
    ("aborted", &[60]),
    ("own-metric", &[15]),
    ("strategy-auto", &[12]),
    ("strategy-preset", &[3]),
    ("newer-queues", &[10]),
    ("human-takes-over", &[60]),
    ("missing-metric", &[12]),
    ("provisioned-moves-the-split", &[60]),
    ("alb-good-release", &[10]),
    ("alb-targets-fail", &[60]),
    ("codedeploy-bad", &[4, 60]),
    ("ecs-good", &[10]),
    ("observe", &[12, 60]),
    ("bad-at-100", &[40]),
];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn scenario(name: &str) -> Scenario {
    let file = repository("tests/scenarios").join(format!("{name}.yaml"));
    let mut beside =
        |name: &str, _: usize| std::fs::read_to_string(file.with_file_name(name)).map_err(|error| error.to_string());
    let text = std::fs::read_to_string(&file).unwrap();
    language::parse(&text, &mut beside).unwrap_or_else(|wrong| panic!("{name}: {wrong:?}")).scenario
}

/// The scenario after so many minutes, two thirds into the last of them.
fn stopped(name: &str, minutes: u64) -> Outcome {
    static RUN: Mutex<BTreeMap<(String, u64), Outcome>> = Mutex::new(BTreeMap::new());
    let key = (name.to_owned(), minutes);
    if let Some(outcome) = RUN.lock().unwrap().get(&key) {
        return outcome.clone();
    }
    let longest = Span::from_seconds(60 * minutes + 40);
    let outcome = run(&Scenario { longest, ..scenario(name) }, 1).unwrap();
    RUN.lock().unwrap().insert(key, outcome.clone());
    outcome
}

fn view_of(outcome: &Outcome) -> View {
    let mut alarms: BTreeMap<String, AlarmState> =
        outcome.rollout.spec.alarms.names.iter().map(|name| (name.clone(), AlarmState::Ok)).collect();
    alarms.extend(outcome.rollout.alarms_muted.iter().map(|name| (name.clone(), AlarmState::Alarm)));
    let alarms = Some(alarms).filter(|_| !outcome.rollout.is_terminal());
    let minutes = Minutes { minutes: outcome.minutes.clone(), alarms, ..Minutes::default() };
    View::of(&outcome.rollout, &minutes, outcome.stopped_at)
}

fn view(name: &str, minutes: u64) -> View {
    view_of(&stopped(name, minutes))
}

fn text(view: &View, columns: usize, room: Option<usize>) -> String {
    rows(view, columns, room).iter().map(|row| plain(row) + "\n").collect()
}

/// What differs, if anything does.
fn check(name: &str, looks: &[u64]) -> Option<String> {
    let mut found = String::new();
    for minutes in looks {
        found += &format!("== after {minutes}m\n{}\n", text(&view(name, *minutes), 100, None));
    }
    let golden = repository("crates/cli/src/watch/goldens").join(format!("{name}.txt"));
    if std::fs::read_to_string(&golden).unwrap_or_default() == found {
        return None;
    }
    let folder = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("watch");
    std::fs::create_dir_all(&folder).unwrap();
    let new = folder.join(format!("{name}.txt"));
    std::fs::write(&new, &found).unwrap();
    Some(format!("{name}:\n{found}accept: cp {} crates/cli/src/watch/goldens/\n", new.display()))
}

#[test]
fn every_look_shows_what_its_golden_file_says() {
    let different: Vec<String> = LOOKS.iter().filter_map(|(name, looks)| check(name, looks)).collect();
    assert!(different.is_empty(), "{}", different.concat());
    let files = std::fs::read_dir(repository("crates/cli/src/watch/goldens")).unwrap().count();
    assert_eq!(files, LOOKS.len(), "a golden file of no look");
}

#[test]
fn the_screen_in_the_document_is_one_that_was_seen() {
    let document = std::fs::read_to_string(repository("docs/commands.md")).unwrap();
    let shown =
        document.split("coalmine watch checkout\n```\n\n```text\n").nth(1).unwrap().split("\n```").next().unwrap();
    assert_eq!(shown, text(&view("good-release", 12), 100, None).trim_end());
}

/// Of which `docs/pictures/watch` has captures: what runs, what was rolled back, what needs somebody.
const CAPTURED: [(&str, u64); 3] =
    [("good-release", 12), ("ten-times-the-errors", 15), ("undecided-too-little-traffic", 130)];

/// Columns, and lines.
const TERMINALS: [(usize, usize); 2] = [(100, 30), (80, 24)];

/// For the real command, which asks whoever reads these files.
#[test]
fn what_a_stack_would_answer_is_read_as_what_it_was() {
    let folder = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("watch/answers");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, minutes) in CAPTURED {
        let outcome = stopped(name, minutes);
        let mut status = serde_json::to_value(&*outcome.rollout).unwrap();
        status["message"] = "so it stands".into();
        let alarms: BTreeMap<&String, AlarmState> =
            outcome.rollout.spec.alarms.names.iter().map(|name| (name, AlarmState::Ok)).collect();
        let mut answer =
            serde_json::json!({ "rollout": status, "minutes": outcome.minutes, "now": outcome.stopped_at });
        if !outcome.rollout.is_terminal() {
            answer["alarms"] = serde_json::json!(alarms);
        }
        let read: Rollout = serde_json::from_value(answer["rollout"].clone()).unwrap();
        assert_eq!(read, *outcome.rollout);
        let at = outcome.stopped_at.to_string().replace('T', " ").replace('Z', "");
        let answers = serde_json::json!({ "at": at, "rollout": read.id, "status": status, "minutes": answer });
        std::fs::write(folder.join(format!("{name}.json")), answers.to_string()).unwrap();
    }
}

#[test]
fn the_captures_of_a_terminal_are_what_is_shown_there() {
    for (name, minutes) in CAPTURED {
        for (columns, rows) in TERMINALS {
            let shown = shown(view(name, minutes));
            let now = shown.view.looked_at;
            let wanted: String = shown.lines(columns, rows, now).iter().map(|row| plain(row) + "\n").collect();
            let path = repository(&format!("docs/pictures/watch-{name}-{columns}.txt"));
            let captured = std::fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(captured.trim_end(), wanted.trim_end(), "{}: docs/pictures/watch makes it anew", path.display());
        }
    }
}

#[test]
fn every_screen_fits_and_begins_with_the_headline() {
    for (name, looks) in LOOKS {
        let view = view(name, looks[looks.len() - 1]);
        for (columns, room) in
            [(100, None), (200, Some(24)), (80, Some(24)), (64, Some(12)), (40, Some(6)), (10, Some(1))]
        {
            let shown = text(&view, columns, room);
            assert!(shown.lines().count() <= room.unwrap_or(usize::MAX), "{name}, {columns} columns: {shown}");
            for line in shown.lines() {
                assert!(line.chars().count() <= columns.clamp(40, 100), "{name}, {columns} columns: {line}");
                assert!(!line.chars().any(is_harmful), "{name}: {line:?}");
            }
            let first = shown.lines().next().unwrap();
            let begins: String = view.headline.chars().take(20).collect();
            assert!(first.contains(&begins), "{name}, {columns} columns: {shown}");
        }
    }
}

/// On-call of a service with a long name has a small terminal.
#[test]
fn a_name_that_is_too_long_for_its_line_is_broken_and_none_does_anything_to_a_terminal() {
    let mut outcome = stopped("ten-times-the-errors", 15);
    let rollout = std::sync::Arc::make_mut(&mut outcome.rollout);
    rollout.started_by = "\u{1b}[2J".to_owned();
    rollout.id = "x".repeat(120);
    for event in &mut rollout.history {
        event.why =
            coalmine_core::rollout::Why::AbortedBy { by: "\u{1b}[2J\n\u{202e}".to_owned(), reason: "y".repeat(300) };
    }
    let view = view_of(&outcome);
    for columns in [100, 50] {
        for line in text(&view, columns, None).lines() {
            assert!(line.chars().count() <= columns && !line.chars().any(is_harmful), "{line:?}");
        }
    }
    assert!(!screen::one_line(&view).chars().any(is_harmful));
}

#[test]
fn a_look_without_news_says_nothing_and_one_with_news_says_them_in_their_order() {
    let (one, other) = (view("good-release", 8), view("good-release", 16));
    let mut log = Log::default();
    let first = log.changes(&one);
    assert!(first.len() == 1 && first[0].contains("HOLDING AT 5 %"), "{first:?}");
    assert_eq!(log.changes(&one), Vec::<String>::new());
    let news = log.changes(&other);
    assert!(news.len() >= 2 && news[news.len() - 1].contains("HOLDING AT"), "{news:?}");
    assert!(news.iter().all(|line| !line.contains('\n')), "{news:?}");
}

#[test]
fn a_key_asks_before_it_does_and_only_what_there_is_to_do() {
    let baking = view("good-release", 8);
    assert_eq!(meaning('p', &baking, None), Meaning::Ask(Order::Pause));
    // This step needs no approval, and one that asks for it has the key.
    assert_eq!(meaning('P', &baking, None), Meaning::Nothing);
    assert_eq!(meaning('P', &view("approval", 20), None), Meaning::Ask(Order::Approve));
    assert_eq!(meaning('r', &baking, None), Meaning::Nothing);
    for order in Order::ALL {
        assert_eq!(meaning('y', &baking, Some(order)), Meaning::Confirm(order));
        for key in ['n', ' ', 'q', 'p', '\u{1b}'] {
            assert_eq!(meaning(key, &baking, Some(order)), Meaning::Decline);
        }
        assert!(order.question(&baking).contains(&baking.rollout));
    }
    let ended = view("ten-times-the-errors", 15);
    assert!(Order::ALL.into_iter().all(|order| meaning(order.key(), &ended, None) == Meaning::Nothing));
    let paused = view("paused-and-resumed", 20);
    assert_eq!(meaning('r', &paused, None), Meaning::Ask(Order::Resume));
    assert_eq!((meaning('q', &paused, None), meaning('y', &paused, None)), (Meaning::Quit, Meaning::Nothing));
}

fn shown(view: View) -> live::Shown {
    live::Shown { view, exit: None, lost: None, said: None, asked: None, why: None, busy: false }
}

fn screen_of(shown: &live::Shown, columns: usize, rows: usize) -> String {
    let now = shown.view.looked_at + Span::from_seconds(75);
    let lines = shown.lines(columns, rows, now);
    assert!(lines.len() <= rows, "{} of {rows}", lines.len());
    lines.iter().map(|row| plain(row) + "\n").collect()
}

#[test]
fn the_screen_has_questions_answers_and_reasons_below_the_view() {
    let mut shown = shown(view("good-release", 8));
    assert!(screen_of(&shown, 100, 40).contains("[a]bort to 0 %"));
    assert_eq!(shown.pressed_character('a'), None);
    assert!(screen_of(&shown, 100, 40).contains("All traffic goes back to v41 now. [y]es, any other key: no"));
    // Also where there is hardly any room.
    assert!(screen_of(&shown, 60, 4).contains("[y]es"));
    assert_eq!(shown.pressed_character('n'), None);
    assert!(screen_of(&shown, 100, 40).contains("Nothing was done."));
    shown.pressed_character('p');
    assert_eq!(shown.pressed_character('y'), Some(Meaning::Confirm(Order::Pause)));
    assert!(screen_of(&shown, 100, 40).contains("Asking Coalmine to pause ..."));
    // One thing after the other.
    shown.pressed_character('a');
    assert_eq!(shown.asked, None);
    shown.pressed_character('w');
    assert!(screen_of(&shown, 100, 40).contains("It rolls back the minute it is proven worse"));
    for _ in 0..shown.view.checks.len() {
        shown.pressed_character('w');
    }
    assert_eq!(shown.why, None);
    shown.lost = Some("Invoke timed out".to_owned());
    let lost = screen_of(&shown, 100, 40);
    assert!(
        lost.contains("! NO ANSWER SINCE ") && lost.contains("1m 15s ago") && lost.contains("HOLDING AT 5 %"),
        "{lost}"
    );
}

#[test]
fn colours_carry_no_meaning_alone() {
    for (name, looks) in LOOKS {
        let view = view(name, looks[0]);
        for row in rows(&view, 100, None) {
            let painted = screen::painted(&row, true);
            let stripped: Vec<&str> =
                painted.split('\u{1b}').map(|part| part.split_once('m').map_or(part, |(_, rest)| rest)).collect();
            // What comes before the first colour has no code.
            let first = painted.split('\u{1b}').next().unwrap();
            assert_eq!((first.to_owned() + &stripped[1..].concat()).trim_end(), plain(&row));
            assert_eq!(screen::painted(&row, false), plain(&row));
        }
    }
}

#[test]
fn minutes_that_are_sealed_are_kept_and_the_others_replaced() {
    let all = stopped("good-release", 30).minutes;
    let from = all[10].minute;
    let mut watched = Watched::of("a".to_owned());
    watched.keep(None, Minutes { minutes: all[..14].to_vec(), ..Minutes::default() });
    watched.keep(Some(from), Minutes { minutes: all[10..].to_vec(), ..Minutes::default() });
    assert_eq!(watched.minutes.minutes, all);
}

/// Whoever confirms must not be told of traffic that nobody moves.
#[test]
fn in_observe_mode_the_only_key_ends_the_watching() {
    let observed = view("observe", 12);
    let fitting: Vec<Order> = Order::ALL.into_iter().filter(|order| order.fits(&observed)).collect();
    assert_eq!(fitting, [Order::Abort]);
    assert_eq!(Order::Abort.label(&observed), "[a] stop observing");
    let question = Order::Abort.question(&observed);
    assert!(question.contains("the traffic stays as it is") && !question.contains("goes back"), "{question}");
    assert_eq!(observed.commands, ["coalmine abort checkout-42"]);
}

/// A key that is shown is never refused.
#[test]
fn every_order_that_is_offered_is_carried_out() {
    for (name, looks) in LOOKS {
        for minutes in *looks {
            let outcome = stopped(name, *minutes);
            let view = view_of(&outcome);
            for order in Order::ALL {
                let asked =
                    coalmine_core::engine::Order { kind: order.kind(), by: "ada".into(), reason: String::new() };
                let done = coalmine_core::engine::order(&outcome.rollout, &asked, outcome.stopped_at);
                assert!(!order.fits(&view) || done.is_ok(), "{name} after {minutes}m: {order:?}: {done:?}");
            }
            assert!(view.commands.iter().all(|said| view.orders.iter().any(|order| said.contains(order))), "{name}");
        }
    }
}

#[test]
fn what_fails_at_100_percent_is_the_first_thing_said_and_has_a_way_back() {
    let watched = view("bad-at-100", 40);
    assert!(watched.headline.starts_with("AT 100 %: errors 5"), "{}", watched.headline);
    assert!(watched.headline.contains(", BEFORE 0.4"), "{}", watched.headline);
    assert!(watched.to_do[0].starts_with("Look at v42 now"), "{:?}", watched.to_do);
    assert!(!watched.to_do.concat().contains("Nothing for you to do"), "{:?}", watched.to_do);
    assert_eq!(watched.commands, ["coalmine abort checkout-42"]);
    let fine = view("good-release", 30);
    assert!(!fine.at_full[0].beyond && fine.to_do[0].starts_with("Nothing for you to do"), "{:?}", fine.to_do);
}

/// The line is there to be pasted, whatever the width of the terminal.
#[test]
fn the_way_out_by_hand_is_on_every_page_of_w_and_needs_no_coalmine() {
    for minutes in [0, 8] {
        let mut shown = shown(view("good-release", minutes));
        shown.pressed_character('w');
        for columns in [100, 80, 64] {
            let said = screen_of(&shown, columns, 60);
            let pasted = said.split("without Coalmine:\n").nth(1).unwrap().split("[w]").next().unwrap();
            let line: Vec<&str> = pasted.split_whitespace().filter(|word| *word != "\\").collect();
            assert_eq!(
                line.join(" "),
                "aws lambda update-alias --function-name checkout --name live --function-version 41 --routing-config \
                 AdditionalVersionWeights={}",
                "{columns} columns: {said}"
            );
            let lines: Vec<&str> = pasted.trim_end().lines().collect();
            assert!(lines[..lines.len() - 1].iter().all(|line| line.ends_with(" \\")), "{said}");
        }
    }
    // All is back: there is nothing to put back.
    assert_eq!(view("ten-times-the-errors", 15).way_out, None);
}

#[test]
fn a_number_stays_with_its_sign() {
    assert_eq!(screen::wrapped("as often, 99 % sure", 12, 0), ["as often,", "99 % sure"]);
    assert_eq!(screen::wrapped("sure: 99 % of it", 8, 0), ["sure:", "99 % of", "it"]);
}

/// Whoever is called at night must not read that there is nothing to do while nobody looks after the traffic.
#[test]
fn a_controller_that_writes_no_more_is_the_first_thing_said() {
    let outcome = stopped("good-release", 8);
    let minutes = Minutes { minutes: outcome.minutes.clone(), ..Minutes::default() };
    let last = outcome.rollout.now;
    let after = |minutes| last + Span::from_minutes(minutes);
    // The switch as it is by default is due a quarter of an hour after the last push; one may be longer; or there is none.
    let due = Some(PutBack { at: after(15), earliest: after(15), untold: false });
    let later = Some(PutBack { at: after(60), earliest: after(60), untold: false });
    let should = "AWS SHOULD HAVE PUT ALL TRAFFIC BACK AT ";
    let cases = [
        (due, 10, "HOLDING AT 5 %", "Nothing for you to do"),
        (due, 16, should, "Look at the alias: `aws lambda get-alias --function-name checkout --name live`"),
        (due, 25, should, "Look at the alias"),
        (later, 25, "NOBODY ROLLS BACK", "AWS puts all traffic back about "),
        (None, 15, "HOLDING AT 5 %", "Nothing for you to do"),
        (None, 25, "NOBODY ROLLS BACK", "See whether the schedule is on"),
    ];
    for (switch, silent, headline, to_do) in cases {
        let rollout = Rollout { switch, ..Rollout::clone(&outcome.rollout) };
        let view = View::of(&rollout, &minutes, after(silent));
        assert!(view.headline.contains(headline), "{silent}m: {}", view.headline);
        assert!(view.to_do.iter().any(|said| said.starts_with(to_do)), "{silent}m: {:?}", view.to_do);
        let dead = view.headline.starts_with("NO CONTROLLER SINCE ");
        assert_eq!((dead, view.needs_you), (headline != "HOLDING AT 5 %", dead), "{silent}m: {}", view.headline);
        let screen = text(&view, 100, None);
        assert_eq!(screen.contains(", live 5 %"), !dead, "{screen}");
        assert_eq!(screen.contains("aws lambda update-alias"), dead, "{screen}");
    }
}

/// One that waits for a person is not written to, and one that has ended neither.
#[test]
fn who_waits_or_has_ended_needs_no_controller() {
    for (name, minutes) in [("paused-and-resumed", 20), ("ten-times-the-errors", 15)] {
        let outcome = stopped(name, minutes);
        let rollout = Rollout { switch: None, ..Rollout::clone(&outcome.rollout) };
        let view = View::of(&rollout, &Minutes::default(), rollout.now + Span::from_hours(3));
        assert_eq!(view.no_controller_since, None, "{}", view.headline);
    }
}

#[test]
fn metrics_that_cannot_be_read_are_something_to_do() {
    let outcome = stopped("good-release", 8);
    let unread = vec!["GetMetricData: denied".to_owned()];
    let minutes = Minutes { minutes: outcome.minutes.clone(), unread, ..Minutes::default() };
    let view = View::of(&outcome.rollout, &minutes, outcome.stopped_at);
    assert!(view.to_do[0].starts_with("Metrics cannot be read"), "{:?}", view.to_do);
}

#[test]
fn a_rollback_that_waits_for_hands_says_so_first() {
    let outcome = stopped("good-release", 8);
    let mut rollout = Rollout::clone(&outcome.rollout);
    let sentence = "nobody would answer on the old version".to_owned();
    let why = Why::NobodyToGoBackTo { sentence: sentence.clone() };
    let event = Event { at: outcome.stopped_at, why, ..rollout.history[0].clone() };
    rollout.history.push(event);
    let (since, why) = (outcome.stopped_at, Why::SwitchFired);
    rollout.phase = Phase::RollingBack { since, why, fence: Fence::Open, ends_as: RollBackEnd::RolledBack };
    let view = View::of(&rollout, &Minutes::default(), outcome.stopped_at);
    assert_eq!(view.headline, format!("NEEDS YOU: {sentence}"));
    assert!(view.needs_you && !view.to_do.iter().any(|said| said.starts_with("Nothing for you to do")), "{view:?}");
}
