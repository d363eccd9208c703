//! Names that were made to hurt, through every output of the command.

use std::path::{Path, PathBuf};

use clap::Parser;
use coalmine_core::text::{is_harmful, json};

use crate::{Arguments, Command, analyze, backtest, plan, report, simulate, validate};

/// A screen is cleared, a title set, a colour left on, a line ended, letters turned round, an element opened.
const EVIL: &str =
    "a\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\r\n\u{202e}b\u{2066}\u{2028}\u{feff}<script>alert(1)</script>&\"'";

const SPEC: &str = "coalmine: v1\nname: a\ntarget: { lambda: { function: checkout, alias: live } }\n";

/// What is printed, on both ends, and that none of it does anything.
fn printed(arguments: &[&str]) -> String {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    match Arguments::parse_from([&["coalmine"], arguments].concat()).command {
        Command::Validate(arguments) => validate::run(&arguments, &mut out, &mut err).unwrap(),
        Command::Analyze(arguments) => analyze::run(&arguments, &mut out, &mut err).unwrap(),
        Command::Report(arguments) => report::run(&arguments, &mut out, &mut err).unwrap(),
        Command::Simulate(arguments) => simulate::run_plain(&arguments, &mut out, &mut err).unwrap(),
        Command::Schema(_) | Command::Completions(_) | Command::Man(_) => {
            panic!("nobody else's names are in it")
        }
        Command::Plan(arguments) => plan::run(&arguments, &mut out, &mut err).unwrap(),
        Command::Backtest(arguments) => backtest::run(&arguments, &mut out, &mut err).unwrap(),
        #[cfg(feature = "aws")]
        Command::Record(_) | Command::Run(_) | Command::Stack(_) | Command::Fit(_) | Command::Doctor(_) => {
            panic!("needs an account")
        }
    };
    let shown = String::from_utf8([out, err].concat()).unwrap();
    let bad = shown.chars().find(|c| *c != '\n' && is_harmful(*c));
    assert_eq!(bad, None, "{arguments:?}: {shown:?}");
    shown
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("coalmine-hostile-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn hostile_names_do_nothing_in_any_output() {
    let folder = Folder::new("names");
    let quoted = serde_json::to_string(EVIL).unwrap();
    let evil_spec =
        folder.file("\u{1b}[2J\u{202e}.yaml", &format!("{SPEC}{quoted}: 1\nalarms: [{quoted}]\nmode: {quoted}\n"));
    let payload =
        folder.file("payload.yaml", &format!("{SPEC}tests: [invoke: {{ payload: {{ {quoted}: {quoted} }} }}]\n"));
    for spec in [&evil_spec, &payload] {
        for more in [&[][..], &["--json"], &["--show-effective"], &["--json", "--show-effective"]] {
            assert!(!printed(&[&["validate", spec.as_str()], more].concat()).is_empty());
        }
    }
    assert!(printed(&["validate", "/nowhere/\u{1b}[2J"]).contains("\\u{1b}[2J"));

    let spec = folder.file("spec.yaml", SPEC);
    let line = |case: &str, minute: i64, more: &str| {
        let arm = r#"{"requests":1000,"errors":1}"#;
        format!(r#"{{"case":{case},"minute":{minute},"weight":"50%","baseline":{arm},"canary":{arm}{more}}}"#) + "\n"
    };
    let good: String = (0..20).map(|minute| line(&quoted, minute, "")).collect();
    let rates =
        good.replace(r#""errors":1"#, &format!(r#""errors":1,"rates":{{{quoted}:{{"events":1,"requests":2}}}}"#));
    let wrong =
        line(&quoted, 0, &format!(",{quoted}:1")) + &line(&quoted, 1, "") + &format!("{{\"minute\": {quoted}}}\n");
    let report = folder.0.join("report.html");
    for (name, text) in [
        ("good", &good),
        ("rates", &rates),
        ("wrong", &wrong),
        ("\u{1b}[2J\u{202e}", &good.replace("\"case\":", "\"case\":null,\"x\":")),
    ] {
        let recording = folder.file(name, text);
        for more in [&[][..], &["--json"], &["--report", report.to_str().unwrap()]] {
            assert!(!printed(&[&["analyze", "--spec", &spec, &recording], more].concat()).is_empty());
        }
        harmless_page(&report);
        for more in [&["--runs", "1"][..], &["--runs", "1", "--json"]] {
            assert!(!printed(&[&["backtest", &spec, "--recording", &recording], more].concat()).is_empty());
        }
    }
    assert_eq!(said_case(&printed(&["analyze", "--spec", &spec, "--json", &folder.file("good", &good)])), EVIL);
}

/// With places for names.
const SCENARIO: &str = r#"
scenario: v1
title: $title
spec:
  coalmine: v1
  target: { lambda: { function: $function, alias: live } }
  version: $version
  name: $name
  release: { ticket: $ticket }
  alarms: [$alarm]
baseline: "41"
traffic: { perSecond: 40, versions: { "41": { errors: 0.4% }, $version: { errors: 0.4% } } }
events:
  - { at: 2m, command: pause, by: $by, reason: $reason }
  - { at: 3m, alarm: { name: $alarm, state: ALARM } }
expect: { ended: rolledBack, reason: $said }
"#;

/// Every text of a scenario: some are refused for what they hold, the others are names and words like any other.
#[test]
fn hostile_names_do_nothing_in_a_simulation() {
    let folder = Folder::new("scenarios");
    let report = folder.0.join("page.html");
    let places = ["title", "function", "version", "name", "ticket", "alarm", "by", "reason", "said"];
    let plain = ["lunch", "checkout", "\"42\"", "a", "b", "red", "mara", "lunch", "alarm"];
    let mut played = 0;
    for place in places {
        for text in [EVIL, "<script>alert(1)</script>&\"'\u{202e}b", "<img src=x onerror=alert(1)>&amp;"] {
            // Written out: YAML itself refuses some of them.
            let quoted = json(&serde_json::to_string(text).unwrap());
            let scenario = places.iter().zip(plain).fold(SCENARIO.to_owned(), |scenario, (name, plain)| {
                scenario.replace(&format!("${name}"), if *name == place { &quoted } else { plain })
            });
            let file = folder.file("\u{1b}[2J\u{202e}.yaml", &scenario);
            for more in [&[][..], &["--json"], &["--report", report.to_str().unwrap()]] {
                assert!(!printed(&[&["simulate", file.as_str()], more].concat()).is_empty(), "{place}");
            }
            if report.exists() {
                harmless_page(&report);
                std::fs::remove_file(&report).unwrap();
                played += 1;
            }
        }
    }
    assert_eq!(played, 6, "what holds no such character, where any text may stand");
}

/// Every text of a rollout that people or services chose.
#[test]
fn hostile_rollouts_do_nothing_on_their_page() {
    let folder = Folder::new("rollouts");
    let mut counted = report::counted_of_the_tour(1);
    let rollout = &mut counted["rollout"];
    for (place, value) in [
        ("/id", EVIL),
        ("/canary", EVIL),
        ("/baseline", "`$(rm)`"),
        ("/startedBy", EVIL),
        ("/codeHash", EVIL),
        ("/spec/target/lambda/function", EVIL),
        ("/spec/target/lambda/alias", "\"><svg onload=alert(1)>"),
        ("/spec/release/ticket", EVIL),
        ("/spec/checks/0/name", EVIL),
        ("/plan/checks/0/name", EVIL),
        ("/plan/checks/1/name", "javascript:alert(1)"),
        ("/plan/checks/1/distribution/unit", EVIL),
    ] {
        *rollout.pointer_mut(place).unwrap_or_else(|| panic!("no {place}")) = value.into();
    }
    rollout["spec"]["alarms"]["names"] = serde_json::json!([EVIL, "../../x?y#z"]);
    for event in rollout["history"].as_array_mut().unwrap() {
        event["why"] = serde_json::json!({ "kind": "pausedBy", "by": EVIL, "reason": EVIL });
    }
    counted["unread"] = serde_json::json!([EVIL]);
    let saved = folder.file("rollout.json", &counted.to_string());
    let page = folder.0.join("page.html");
    assert!(printed(&["report", "--from", &saved, "--output", page.to_str().unwrap()]).ends_with("page.html\n"));
    harmless_page(&page);
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(!html.contains("<svg onload") && html.contains("&lt;script&gt;"));
    let wrong = folder.file("wrong.json", &format!("{{\"rollout\":{},\"now\":1}}", serde_json::json!(EVIL)));
    assert!(printed(&["report", "--from", &wrong]).contains("is not what `coalmine report NAME --json` prints"));
    assert!(printed(&["report", "--from", &folder.file("none.json", EVIL)]).contains("is no JSON"));
}

/// A page that a browser reads as it was meant.
fn harmless_page(path: &Path) {
    let page = std::fs::read_to_string(path).unwrap();
    assert_eq!(page.chars().find(|c| *c != '\n' && is_harmful(*c)), None);
    let page = page.trim_start_matches("<!DOCTYPE html>");
    let document = roxmltree::Document::parse(page).unwrap();
    assert!(!document.descendants().any(|node| node.has_tag_name("script")), "{page}");
}

/// Scripts get the name as it is.
fn said_case(line: &str) -> String {
    let case: serde_json::Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
    case["case"].as_str().unwrap().to_owned()
}
