//! What the documents' tables say, against the code.

use std::collections::BTreeSet;

use coalmine_core::analysis::Verdict;
use coalmine_core::deployment::{DeploymentRef, DeploymentState};
use coalmine_core::report;
use coalmine_core::rollout::{PhaseName, UndecidedWhy, Why};
use coalmine_core::spec::Ending;
use coalmine_core::units::{Span, Weight};

use super::{DOCUMENTS, files, read};

const OPERATIONS: &str = "docs/operations.md";

/// The rows of the tables under a heading, the header included.
pub(super) fn rows(document: &str, heading: &str) -> Vec<Vec<String>> {
    let text = read(document);
    let section = text.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("no `{heading}`"));
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// What stands in backticks.
pub(super) fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

pub(super) fn sources(folders: &[&str]) -> String {
    let read_all = |folder: &&str| {
        let files = files(folder, ".rs").into_iter().filter(|file| !is_test(file));
        files.map(|file| read(&format!("{folder}/{file}"))).collect::<String>()
    };
    folders.iter().map(read_all).collect()
}

/// With every text on one line.
fn unbroken(source: &str) -> String {
    source.lines().map(str::trim_start).collect::<Vec<_>>().join("\n").replace("\\\n", "")
}

fn is_test(file: &str) -> bool {
    file.contains("tests/") || file.ends_with("tests.rs")
}

const EVERYWHERE: [&str; 5] = ["crates/core/src", "crates/aws/src", "crates/report/src", "crates/cli/src", "functions"];

/// One of each kind, and the compiler sees to it that none is forgotten.
fn every_reason() -> Vec<Why> {
    let (by, reason) = (|| "ada".to_owned(), || "because".to_owned());
    let says = |sentence: &str| vec![sentence.to_owned()];
    let (after, what) = (Span::from_hours(2), "rolled back: proven worse".to_owned());
    let undecided = |why, then| Why::Undecided { why, after, then };
    let percent = |percent: u16| Weight::from_basis_points(100 * percent).unwrap();
    let chosen = |from, to, brake| {
        let (from, to) = (percent(from), percent(to));
        Why::Chosen { from, to, excess: 0.02, spent: 3.0, budget: 40.0, brake }
    };
    let deployment = DeploymentRef::CodeDeploy("d-3GSL8P2NK".to_owned());
    let ended = |state| Why::DeploymentEnded { deployment: deployment.clone(), state };
    let by_hand = "aws lambda update-alias ...".to_owned();
    let found = "v41 with 10 % on v42".to_owned();
    let not_put_back = Why::NotPutBack { deployment: deployment.clone(), found, by_hand };
    let reasons = vec![
        chosen(5, 15, false),
        chosen(15, 5, false),
        chosen(15, 5, true),
        Why::Started { by: by() },
        Why::Learned { sentences: says("errors: old version, 24 hours: ...") },
        Why::Ready,
        Why::SeenLive,
        Why::Proven { sentences: says("...; no worse than +0.5 points: proven") },
        Why::NoHarm { sentences: says("...") },
        Why::NoSteps,
        Why::Approved { by: by(), reason: reason() },
        Why::PromotedBy { by: by(), reason: reason() },
        Why::PausedBy { by: by(), reason: reason() },
        Why::ResumedBy { by: by(), reason: reason() },
        Why::AbortedBy { by: by(), reason: reason() },
        Why::ApprovalNeeded,
        Why::Harm { sentences: says("4 % of new requests failed ...") },
        Why::Alarm { names: says("checkout-5xx") },
        Why::Alarm { names: vec!["checkout-5xx".to_owned(), "payments-down".to_owned()] },
        Why::TestFailed { what: "the answer is 500".to_owned() },
        Why::VersionUnusable { why: "its state is Failed".to_owned() },
        undecided(UndecidedWhy::TooLittleTraffic, Ending::Pause),
        undecided(UndecidedWhy::NoData, Ending::RollBack),
        undecided(UndecidedWhy::LooksWorse, Ending::Promote),
        undecided(UndecidedWhy::Stuck, Ending::RollBack),
        Why::PauseOver { then: Ending::RollBack },
        Why::WatchOver { watched: Span::from_minutes(30) },
        Why::NewerRollout { rollout: "checkout-43".to_owned() },
        Why::TakenOver { found: "v40".to_owned() },
        Why::WouldHave { verdict: Verdict::Fail, what },
        Why::MovedByOthers { found: "v41 with 5 % on v42".to_owned() },
        Why::IllegalTransition { from: PhaseName::Promoted, to: PhaseName::Shifting },
        Why::Attached,
        Why::Unhealthy { sentence: "green has 1 healthy target of the 5 that 25 % needs".to_owned() },
        Why::Cleared,
        Why::Detached,
        Why::StaysAttached { why: "the newer rollout checkout-43 takes the target".to_owned() },
        Why::PartlyTaken { found: "purple".to_owned() },
        Why::NobodyToGoBackTo { sentence: "the rollback waits: blue has no healthy target".to_owned() },
        ended(DeploymentState::Succeeded),
        ended(DeploymentState::Failed { why: "...".to_owned() }),
        ended(DeploymentState::Stopped { why: "...".to_owned() }),
        ended(DeploymentState::InProgress),
        not_put_back,
        Why::SwitchFired,
    ];
    let kinds: BTreeSet<usize> = reasons.iter().map(kind).collect();
    assert_eq!(kinds, (0..KINDS).collect(), "a kind of reason has no example");
    reasons
}

const KINDS: usize = 36;

/// A new kind needs a number here, the next one, and an example above.
fn kind(why: &Why) -> usize {
    match why {
        Why::Started { .. } => 0,
        Why::Ready => 1,
        Why::SeenLive => 2,
        Why::Proven { .. } => 3,
        Why::NoHarm { .. } => 4,
        Why::NoSteps => 5,
        Why::Approved { .. } => 6,
        Why::PromotedBy { .. } => 7,
        Why::PausedBy { .. } => 8,
        Why::ResumedBy { .. } => 9,
        Why::AbortedBy { .. } => 10,
        Why::ApprovalNeeded => 11,
        Why::Harm { .. } => 12,
        Why::Alarm { .. } => 13,
        Why::TestFailed { .. } => 14,
        Why::VersionUnusable { .. } => 15,
        Why::Undecided { .. } => 16,
        Why::PauseOver { .. } => 17,
        Why::WatchOver { .. } => 18,
        Why::NewerRollout { .. } => 19,
        Why::TakenOver { .. } => 20,
        Why::WouldHave { .. } => 21,
        Why::MovedByOthers { .. } => 22,
        Why::IllegalTransition { .. } => 23,
        Why::Learned { .. } => 24,
        Why::Chosen { .. } => 25,
        Why::Attached => 26,
        Why::Unhealthy { .. } => 27,
        Why::Cleared => 28,
        Why::DeploymentEnded { .. } => 29,
        Why::Detached => 30,
        Why::StaysAttached { .. } => 31,
        Why::PartlyTaken { .. } => 32,
        Why::NobodyToGoBackTo { .. } => 33,
        Why::NotPutBack { .. } => 34,
        Why::SwitchFired => 35,
    }
}

#[test]
fn every_reason_is_explained_in_the_words_that_are_used() {
    let rows = rows(OPERATIONS, "Reasons");
    let explained: BTreeSet<&str> = rows.iter().skip(1).flat_map(|row| code(&row[0])).collect();
    let said: Vec<String> = every_reason().iter().map(report::sentence).collect();
    assert_eq!(explained, said.iter().map(String::as_str).collect());
}

#[test]
fn what_holds_a_rollout_is_said_in_these_words() {
    let source = unbroken(&sources(&["crates/core/src/engine"])).replace("{why}", "").replace("{reason}", "");
    let rows = rows(OPERATIONS, "What holds it");
    let sentences: Vec<&str> = rows.iter().skip(1).flat_map(|row| code(&row[0])).collect();
    assert!(sentences.len() >= 15, "{sentences:?}");
    for sentence in sentences {
        for part in sentence.split("...") {
            assert!(source.contains(part), "nothing says `{part}` of `{sentence}`");
        }
    }
}

#[test]
fn what_the_judge_says_is_said_in_these_words() {
    let source = unbroken(&sources(&["crates/core/src/analysis"]));
    let rows = rows(OPERATIONS, "What the judge says");
    let sentences: Vec<&str> = rows.iter().skip(1).flat_map(|row| code(&row[0])).collect();
    assert!(sentences.len() >= 14, "{sentences:?}");
    for sentence in sentences {
        for part in sentence.split("...").map(str::trim_end) {
            assert!(source.contains(part), "nothing says `{part}` of `{sentence}`");
        }
    }
}

/// Each row has the beginning of one that was measured, and then some of its numbers, in their order.
#[test]
fn the_readme_has_no_number_that_was_not_measured() {
    let readme = rows("README.md", "What it decides, and how");
    let compared = readme.iter().filter(|row| row.len() >= 7 && row[0] != "traffic");
    let measured: Vec<Vec<String>> = rows("docs/statistics.md", "Measurements");
    let mut seen = 0;
    for row in compared {
        let same = measured.iter().filter(|line| line.get(..3) == row.get(..3));
        let found = same.into_iter().any(|line| {
            let mut rest = line[3..].iter();
            row[3..].iter().all(|cell| rest.any(|measured| measured == cell))
        });
        assert!(found, "{row:?}");
        seen += 1;
    }
    assert!(seen >= 8, "{seen} rows");
}

#[test]
fn the_phases_are_these() {
    let rows = rows(OPERATIONS, "Phases");
    let explained: Vec<&str> = rows.iter().skip(1).flat_map(|row| code(&row[0])).collect();
    let read = explained.iter().map(|name| serde_json::from_value::<PhaseName>((*name).into()).unwrap());
    assert_eq!(read.collect::<BTreeSet<_>>().len(), 9);
}

#[test]
fn every_limit_is_what_the_code_has() {
    let source = sources(&EVERYWHERE);
    let rows = [rows(OPERATIONS, "Limits"), rows("docs/simulate.md", "Limits")].concat();
    let limits: Vec<&str> = rows.iter().flat_map(|row| code(&row[2])).collect();
    assert!(limits.len() >= 20);
    for limit in limits {
        assert!(source.contains(&format!("const {limit};")), "the code has no `const {limit};`");
    }
}

/// A claim about security that no test keeps is a hope.
#[test]
fn every_claim_about_security_names_a_test() {
    let folders = [&EVERYWHERE[..], &["tests"]].concat();
    let all = |folder: &str| files(folder, ".rs").into_iter().map(|file| read(&format!("{folder}/{file}"))).collect();
    let source: String = folders.into_iter().map(all).collect::<Vec<String>>().concat();
    let document = read("docs/security.md");
    let mut named = 0;
    for row in document.lines().filter(|line| line.starts_with("| ") && !line.contains("| kept by |")) {
        let kept_by = code(row.trim_end_matches(" |").rsplit(" | ").next().unwrap());
        assert!(!kept_by.is_empty(), "no test: {row}");
        for test in kept_by {
            assert!(source.contains(&format!("fn {test}(")), "there is no test {test}: {row}");
            named += 1;
        }
    }
    assert!(named >= 15, "{named}");
}

/// The permissions that the adapters ask for, those of the template, and those that are explained.
#[test]
fn the_permissions_are_those_that_are_needed() {
    // What only looks at an account does so with the permissions of whoever asks, which its document names.
    let survey = read("crates/aws/src/survey.rs");
    let asked = survey.split("Call::new(").skip(1).filter_map(|rest| rest.split('"').nth(3));
    let unnamed: Vec<&str> = asked.filter(|action| !read("docs/doctor.md").contains(&format!("`{action}`"))).collect();
    assert!(unnamed.is_empty(), "docs/doctor.md does not name {unnamed:?}");
    let adapters = sources(&["crates/aws/src"]).replace(&survey, "");
    let calls = adapters.split("Call::new(").skip(1).filter_map(|rest| rest.split('"').nth(3));
    let mut needed: BTreeSet<&str> = calls.filter(|action| action.contains(':')).collect();
    // A transaction deletes, too, and names only its first need.
    needed.insert("dynamodb:DeleteItem");
    // Whoever makes a schedule hands it a role.
    needed.insert("iam:PassRole");
    // Whoever asks a stack from outside looks for its functions.
    needed.remove("lambda:ListFunctions");
    let template = read("template.yaml");
    let is_action = |word: &&str| {
        let known = [
            "lambda:",
            "elasticloadbalancing:",
            "ecs:",
            "cloudwatch:",
            "codedeploy:",
            "dynamodb:",
            "events:",
            "iam:",
            "s3:",
            "scheduler:",
            "sns:",
            "ssm:",
        ];
        known.iter().any(|service| word.starts_with(service)) && word.chars().any(char::is_uppercase)
    };
    // That alarms may invoke is a permission of theirs.
    let theirs = "Action: lambda:InvokeFunction\n      FunctionName";
    // And that is a condition.
    let ours = template.replace(theirs, "").replace("iam:PassedToService", "");
    let granted = ours.split(|c: char| !c.is_ascii_alphanumeric() && c != ':').map(|word| word.trim_end_matches(':'));
    assert_eq!(granted.filter(is_action).collect::<BTreeSet<_>>(), needed, "template and adapters");
    let rows = rows(OPERATIONS, "Permissions");
    let explained: BTreeSet<&str> = rows.iter().skip(1).flat_map(|row| code(&row[0])).collect();
    assert_eq!(explained, needed, "operations.md and adapters");
}

#[test]
fn every_setting_is_read_and_can_be_set() {
    let (config, template) = (read("functions/config.rs"), read("template.yaml"));
    let variables: BTreeSet<&str> = config
        .split('"')
        .filter(|text| text.starts_with("COALMINE_") && text.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .collect();
    let rows = rows(OPERATIONS, "Settings");
    let explained: BTreeSet<&str> = rows.iter().skip(1).flat_map(|row| code(&row[0])).collect();
    assert_eq!(explained, variables);
    for row in &rows[1..] {
        for parameter in code(&row[1]) {
            assert!(template.contains(&format!("{}: !Ref {parameter}\n", code(&row[0])[0])), "{row:?}");
        }
    }
}

#[test]
fn the_code_map_lists_every_module_and_no_other() {
    let mut folder = String::new();
    let mut folders = BTreeSet::new();
    let mut listed = BTreeSet::new();
    let rows = rows("crates/README.md", "Code map");
    for row in &rows {
        for path in code(&row[0]) {
            if path.ends_with(".rs") {
                assert!(listed.insert(format!("{folder}/{path}")), "{folder}/{path} is listed twice");
            } else {
                path.clone_into(&mut folder);
                folders.insert(folder.clone());
            }
        }
    }
    let inside = |folder: &String| {
        let files = files(folder, ".rs").into_iter().filter(|file| !is_test(file));
        files.map(|file| format!("{folder}/{file}")).collect::<Vec<_>>()
    };
    let modules: BTreeSet<String> = folders.iter().flat_map(inside).collect();
    let wrong: Vec<&String> = listed.symmetric_difference(&modules).collect();
    assert!(wrong.is_empty(), "in the code map of crates/README.md or in the repository, but not in both: {wrong:?}");
}

/// Who may import whom. Tests may import anybody.
#[test]
fn imports_are_as_the_architecture_says() {
    let deciding = ["spec", "engine", "analysis", "rollout.rs", "report.rs"];
    let rules: [(&str, &[&str], &[&str]); 5] = [
        ("crates/core/src", &deciding, &["crate::ports", "crate::driver", "crate::sim"]),
        ("crates/core/src", &["analysis"], &["crate::rollout", "crate::engine"]),
        ("crates/core/src", &["analysis/stats"], &["crate::", "super::super"]),
        ("crates/aws/src", &[""], &["coalmine_core::engine", "coalmine_core::driver", "coalmine_core::command"]),
        (
            "crates/report/src",
            &[""],
            &[
                "coalmine_core::engine",
                "coalmine_core::ports",
                "coalmine_core::sim",
                "std::fs",
                "std::env",
                "SystemTime",
            ],
        ),
    ];
    for (folder, modules, banned) in rules {
        for file in files(folder, ".rs") {
            if is_test(&file) || !modules.iter().any(|module| file.starts_with(module)) {
                continue;
            }
            let text = read(&format!("{folder}/{file}"));
            let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            for line in shipped.lines().filter(|line| !line.trim_start().starts_with("//")) {
                assert!(!banned.iter().any(|name| line.contains(name)), "{file}: {line}");
            }
        }
    }
    for folder in ["functions", "crates/cli/src/simulate", "crates/core/src", "crates/report/src"] {
        assert!(!sources(&[folder]).contains("aws_sdk_"), "{folder} names an SDK");
    }
}

#[test]
fn stored_items_are_where_the_table_says() {
    let keys = read("crates/aws/src/dynamodb/keys.rs");
    let rows = rows("crates/README.md", "What is stored");
    for row in &rows[1..] {
        assert!(keys.contains(&format!("//! | {} | {} |", row[0], row[1])), "{row:?}");
    }
    assert_eq!(rows.len(), keys.matches("//! | `").count() + 1);
}

/// The tests that the claims on statistics rest on, and whatever else looks like a test's or a function's long name.
#[test]
fn every_long_name_is_one_of_the_code() {
    let everything: String = [&EVERYWHERE[..], &["tests"]]
        .concat()
        .iter()
        .flat_map(|folder| files(folder, ".rs").into_iter().map(move |file| read(&format!("{folder}/{file}"))))
        .collect();
    let mut names = 0;
    for document in DOCUMENTS {
        let text = read(document);
        let prose: String = text.split("\n```").step_by(2).collect();
        for name in code(&prose) {
            let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            if plain && name.len() > 4 && name.contains('_') {
                let known =
                    [format!("fn {name}"), format!(".{name}(")].iter().any(|use_of| everything.contains(use_of));
                assert!(known, "{document}: `{name}` is no function");
                names += 1;
            }
        }
    }
    assert!(names >= 15, "{names}");
}

/// What the README shows of a verdict is what a test of the judge expects.
#[test]
fn the_sentence_that_is_shown_is_one_that_is_said() {
    let text = read("README.md");
    let shown = text.split("\n```text\n").nth(1).and_then(|rest| rest.split('\n').next()).unwrap();
    assert!(unbroken(&read("crates/core/src/analysis/tests/verdicts.rs")).contains(shown), "{shown}");
}
