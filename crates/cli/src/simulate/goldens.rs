//! Every scenario of `tests/scenarios` has a transcript beside it, which a person has read and found right. A change of one
//! is a change of behaviour: CONTRIBUTING.md says how it is accepted.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::play::{Failed, load, transcript};
use super::screen::Screen;

const SEED: u64 = 1;

/// As many as a small machine has cores.
const THREADS: usize = 2;

const PLAIN: Screen = Screen { terminal: false, colours: false };

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios")
}

/// The names of the files with this ending, without it.
fn named(ending: &str) -> BTreeSet<String> {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    files.filter_map(|name| name.strip_suffix(ending).map(str::to_owned)).collect()
}

/// Where a new transcript is left to be looked at.
fn found(name: &str) -> PathBuf {
    let beside = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("scenarios");
    std::fs::create_dir_all(&beside).unwrap();
    beside.join(format!("{name}.txt"))
}

/// What differs, if anything does.
fn check(name: &str) -> Option<String> {
    let file = folder().join(format!("{name}.yaml"));
    let written = match load(&file) {
        Ok(written) => written,
        Err(Failed::Io(message)) => return Some(format!("{name}: {message}")),
        Err(Failed::Wrong(wrong)) => return Some(format!("{name}: {wrong:?}")),
    };
    let told = transcript(&file, &written, SEED, &mut super::pages::Pages::default());
    let mut text = Vec::new();
    PLAIN.transcript(&mut text, &told).unwrap();
    let text = String::from_utf8(text).unwrap();
    if !told.broken_promises.is_empty() || told.not_as_expected.as_ref().is_none_or(|missed| !missed.is_empty()) {
        return Some(format!("{name}: a promise is broken, or it came otherwise than expected:\n{text}"));
    }
    for line in text.lines() {
        // What nobody can break, such as an ARN, may be longer.
        let breakable = line.split_whitespace().all(|word| word.chars().count() <= 79);
        assert!(line.chars().count() <= 100 || !breakable, "{name}: {} columns: {line}", line.chars().count());
        assert!(line.trim_end() == line && !line.contains('\u{1b}'), "{name}: {line:?}");
    }
    let golden = folder().join(format!("{name}.txt"));
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    if expected == text {
        return None;
    }
    std::fs::write(found(name), &text).unwrap();
    let new = found(name);
    Some(format!("{}accept: cp {} tests/scenarios/\n", diff(name, &expected, &text), new.display()))
}

/// The lines that are not in both, in their order, between the first and the last that differ.
fn diff(name: &str, expected: &str, found: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = old.len().min(new.len()) - same;
    let last = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(old, new)| old == new).count();
    let marked = |mark: char, lines: &[&str]| -> String {
        lines[same..lines.len() - last].iter().map(|line| format!("{mark} {line}\n")).collect()
    };
    format!("{name}, line {}:\n{}{}", same + 1, marked('-', &old), marked('+', &new))
}

#[test]
fn every_scenario_goes_as_its_transcript_says() {
    let scenarios = named(".yaml");
    let transcripts = named(".txt");
    let alone: Vec<&String> = transcripts.difference(&scenarios).collect();
    assert!(alone.is_empty(), "transcripts without a scenario: {alone:?}");
    assert!(scenarios.len() >= 40, "{}", scenarios.len());
    let left = Mutex::new(scenarios.into_iter());
    let different = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let next = left.lock().unwrap().next();
                    let Some(name) = next else { break };
                    if let Some(difference) = check(&name) {
                        different.lock().unwrap().push(difference);
                    }
                }
            });
        }
    });
    let mut different = different.into_inner().unwrap();
    different.sort();
    assert!(different.is_empty(), "{} of the transcripts differ\n\n{}", different.len(), different.join("\n"));
}

#[test]
fn a_difference_is_shown_with_its_line() {
    let shown = diff("some", "a\nb\nc\nd\n", "a\nx\ny\nd\n");
    assert_eq!(shown, "some, line 2:\n- b\n- c\n+ x\n+ y\n");
    assert_eq!(diff("new", "", "a\n"), "new, line 1:\n+ a\n");
    assert_eq!(diff("longer", "a\na\n", "a\na\na\n"), "longer, line 3:\n+ a\n");
}
