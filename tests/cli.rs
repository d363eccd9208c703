//! `coalmine start`, `status` and the others: the real command, the real functions, named as CloudFormation names them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Live, Said, Stage, Traffic, coalmine, command_in, python, run_in, spawn_in, support};

const HEALTHY: Traffic = Traffic { requests: 2400, old_fails: 0.004, new_fails: 0.004 };

/// A stage with the two functions that people ask.
fn deployed(seed: u64) -> Stage {
    let stage = Stage::set_up(seed);
    for (name, handler) in [("coalmine-Command-1A2B3C", "command"), ("coalmine-Abort-4D5E6F", "abort")] {
        stage.cloud.create_bootstrap(name, handler, &stage.environment());
    }
    stage
}

fn spec_file(stage: &Stage, name: &str, fields: &Value) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{}-{name}.json", std::process::id()));
    std::fs::write(&path, stage.spec(fields).to_string()).expect("the spec is written");
    path
}

fn first_line(said: &Said) -> &str {
    said.out.lines().next().unwrap_or_else(|| panic!("{said:?}"))
}

fn json_of(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

#[test]
fn a_rollout_is_started_looked_at_held_and_stopped_from_the_command_line() {
    let mut stage = deployed(51);
    let spec = spec_file(&stage, "stopped", &json!({ "version": "1" }));
    let spec = spec.to_str().unwrap();
    let nothing = run_in(&stage.cloud, &["start", spec]);
    assert_eq!(
        (nothing.exit, nothing.out.as_str()),
        (Some(0), "v1 is live on checkout:live already: nothing to roll out\n")
    );
    let started = run_in(&stage.cloud, &["start", spec, "--version", "2", "--json"]);
    let rollout = json_of(&started);
    assert_eq!((started.exit, &rollout["id"], &rollout["startedBy"]), (Some(0), &json!("it"), &json!("mara")));
    stage.pass_until(&HEALTHY, 5, |phase| phase == "baking");

    let status = run_in(&stage.cloud, &["status", "checkout"]);
    let first = "HOLDING AT 5 %: NO DATA YET  checkout:live  v1 -> v2  (it)";
    assert_eq!((status.exit, first_line(&status)), (Some(0), first));
    assert!(status.out.contains("\n  Nothing for you to do. "), "{status:?}");
    assert!(status.out.contains("\n  by hand: aws lambda update-alias --function-name checkout "), "{status:?}");
    let list = run_in(&stage.cloud, &["list"]);
    assert!(
        list.out.starts_with(
            "NEEDS YOU 0 | ROLLING BACK 0 | PAUSED 0 | RUNNING 1 | LAST 24h: ROLLED BACK 0, PROMOTED 0\ncontroller wrote "
        ),
        "{list:?}"
    );
    let row = list.out.lines().nth(4).unwrap_or_else(|| panic!("{list:?}"));
    assert!(row.starts_with("> holding       checkout:live  v1 -> v2     5 %  "), "{list:?}");
    assert!(row.contains("it: bakes in step 1: ") && row.ends_with("mara"), "{list:?}");
    let holding =
        run_in(&stage.cloud, &["list", "--state", "holding", "--target", "checkout", "--exit-code", "--json"]);
    assert_eq!((holding.exit, &json_of(&holding)["rollouts"][0]["id"]), (Some(0), &json!("it")));
    let none = run_in(&stage.cloud, &["list", "--state", "paused"]);
    assert!(none.out.starts_with("NEEDS YOU 0 | ROLLING BACK 0 | PAUSED 0 | RUNNING 1 | "), "{none:?}");
    assert!(none.out.ends_with("\n\nno rollout is like that\n"), "{none:?}");
    let paused = run_in(&stage.cloud, &["pause", "it", "--reason", "lunch"]);
    assert_eq!((paused.exit, first_line(&paused)), (Some(0), "PAUSED  checkout:live  v1 -> v2 at 5 %  (it)"));
    assert!(paused.out.contains("coalmine resume it   |   coalmine abort it"), "{paused:?}");
    let resumed = run_in(&stage.cloud, &["resume", "checkout:live"]);
    assert_eq!(resumed.exit, Some(0), "{resumed:?}");

    let aborted = run_in(&stage.cloud, &["abort", "it", "--reason", "wrong totals", "--by", "ada"]);
    assert_eq!((aborted.exit, stage.live()), (Some(0), Live::only("1")), "{aborted:?}");
    stage.next();
    let ended = run_in(&stage.cloud, &["status", "it"]);
    assert_eq!(ended.exit, Some(1));
    let first = first_line(&ended);
    assert!(
        first.starts_with("ROLLED BACK ") && first.ends_with(": ABORTED BY ada  checkout:live  v1 -> v2  (it)"),
        "{first}"
    );
    let history = run_in(&stage.cloud, &["history", "it"]);
    assert!(history.out.contains("wrong totals") && history.out.contains("lunch"), "{history:?}");
    assert_eq!(json_of(&run_in(&stage.cloud, &["history", "it", "--json"]))["rollout"], "it");
    let list = run_in(&stage.cloud, &["list"]);
    assert!(list.out.contains("LAST 24h: ROLLED BACK 1, PROMOTED 0\n"), "{list:?}");
    assert!(list.out.contains("\nx rolled back   checkout:live  v1 -> v2     0 %  "), "{list:?}");
    let since = |time: &str| json_of(&run_in(&stage.cloud, &["list", "--since", time, "--state", "ended", "--json"]));
    assert_eq!((&since("1h")["rollouts"][0]["id"], &since("1h")["ended"]["rolledBack"]), (&json!("it"), &json!(1)));
    assert_eq!(since("2099-01-01T00:00:00Z")["rollouts"], json!([]));
    examined(&stage);
    // Nothing runs on the function any more: what was last there is meant.
    assert_eq!(run_in(&stage.cloud, &["status", "checkout"]).exit, Some(1));
}

fn examined(stage: &Stage) {
    let examined = ["doctor", "--function", "checkout", "--alias", "live", "--stack", "coalmine", "--json"];
    let findings = json_of(&run_in(&stage.cloud, &examined))["findings"].clone();
    for (about, grade, says) in [
        ("target", "fine", "as rollout it left it, rolled back at "),
        ("role", "fine", " may read all that a start reads"),
        ("rollouts", "fine", "0 run, 1 ended lately"),
        ("stack", "note", "stack coalmine has no function Macro: its template is older"),
    ] {
        let is_it = |finding: &Value| {
            (&finding["about"], &finding["grade"]) == (&json!(about), &json!(grade))
                && finding["said"].as_str().is_some_and(|said| said.contains(says))
        };
        assert!(findings.as_array().is_some_and(|all| all.iter().any(is_it)), "{says}: {findings:#}");
    }
}

#[test]
fn a_pipeline_waits_for_the_end() {
    let mut stage = deployed(52);
    let spec = spec_file(&stage, "waits", &json!({ "after": { "watch": "5m" } }));
    let waits = spawn_in(&stage.cloud, &["start", spec.to_str().unwrap(), "--wait", "--timeout", "10m"]);
    let since = Instant::now();
    while stage.command(&json!({ "command": "list" }))["rollouts"].as_array().is_none_or(Vec::is_empty) {
        assert!(since.elapsed() < Duration::from_secs(60), "it does not start");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(stage.pass_until_ended(&HEALTHY, 120), "promoted");
    let said = Said::from(waits.wait_with_output().expect("it ends"));
    assert_eq!(said.exit, Some(0), "{said:?}");
    assert!(said.out.contains("\nPROMOTED  checkout:live  v1 -> v2  (it)\n"), "{said:?}");
}

#[test]
fn what_undo_prints_puts_traffic_back_without_coalmine() {
    let mut stage = deployed(53);
    stage.start(&json!({}));
    stage.pass_until(&HEALTHY, 5, |phase| phase == "baking");
    assert_eq!(stage.live(), Live::with("1", "2", 0.05));
    let undo = run_in(&stage.cloud, &["undo", "it", "--print"]);
    let (_, command) = undo.out.trim_end().split_once('\n').expect("a comment, then the command");
    let input =
        command.strip_prefix("aws lambda update-alias --cli-input-json '").and_then(|rest| rest.strip_suffix('\''));
    stage.cloud.update_alias(&serde_json::from_str(input.unwrap_or_else(|| panic!("{undo:?}"))).unwrap());
    assert_eq!(stage.live(), Live::only("1"));
}

#[test]
fn what_is_wrong_with_a_question_is_said_with_what_would_be_right() {
    let stage = deployed(54);
    let none = run_in(&stage.cloud, &["status", "nobody"]);
    assert_eq!(none.exit, Some(2), "{none:?}");
    assert!(none.err.contains("nobody"), "{none:?}");
    let elsewhere = run_in(&stage.cloud, &["list", "--stack", "canary"]);
    assert_eq!(elsewhere.exit, Some(2));
    assert!(elsewhere.err.starts_with("no function canary-Command-... is in this account and region"), "{elsewhere:?}");
    let spec = spec_file(&stage, "wrong", &json!({}));
    for (version, says) in [("$LATEST", "version: "), ("live", "version: ")] {
        let wrong = run_in(&stage.cloud, &["start", spec.to_str().unwrap(), "--version", version]);
        assert!(wrong.exit == Some(2) && wrong.err.starts_with(says), "{wrong:?}");
    }
    let stopping = run_in(&stage.cloud, &["promote", "it", "--function", "coalmine-Abort-4D5E6F"]);
    assert!(stopping.exit == Some(2) && stopping.err.contains("only aborts and pauses"), "{stopping:?}");
    let missing = run_in(&stage.cloud, &["list", "--function", "no-such-function", "--json"]);
    assert_eq!((missing.exit, &json_of(&missing)["errors"][0]["path"]), (Some(2), &json!("--function")), "{missing:?}");
    // It would take the request for one of its own customers'.
    for command in [&["list"][..], &["abort", "it"], &["status", "it"]] {
        let shop = run_in(&stage.cloud, &[command, &["--function", "checkout"]].concat());
        assert!(shop.exit == Some(2) && shop.err.contains("nothing was sent to it"), "{command:?} {shop:?}");
    }
    // A pipeline may ask again where nobody answered.
    let mut nobody = command_in(&stage.cloud, &["start", spec.to_str().unwrap(), "--json"]);
    let nobody = Said::from(nobody.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9").output().expect("coalmine runs"));
    let error = &json_of(&nobody)["errors"][0];
    assert_eq!((nobody.exit, &error["fault"]), (Some(4), &json!("failed")), "{nobody:?}");
    assert!(nobody.err.starts_with("ListFunctions failed: AWS cannot be reached ("), "{nobody:?}");
}

/// What a person did on a terminal, and what came of it.
fn on_a_terminal(stage: &Stage, arguments: &[&str], steps: &Value) -> Value {
    let told = command_in(&stage.cloud, arguments);
    let environment = told.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let terminal = Command::new(python())
        .arg(support("terminal.py"))
        .arg(steps.to_string())
        .arg(coalmine())
        .args(arguments)
        .envs(environment)
        .envs([("TERM", "xterm-256color"), ("NO_COLOR", "1")])
        .output()
        .expect("Python runs");
    assert!(terminal.status.success(), "{}", String::from_utf8_lossy(&terminal.stderr));
    serde_json::from_slice(&terminal.stdout).expect("it prints a document")
}

#[test]
fn on_a_terminal_keys_steer_a_rollout_once_they_are_confirmed() {
    let mut stage = deployed(55);
    stage.start(&json!({}));
    stage.pass_until(&HEALTHY, 5, |phase| phase == "baking");
    let seen = on_a_terminal(
        &stage,
        &["watch", "checkout", "--every", "1s", "--reason", "lunch"],
        &json!([
            { "until": "HOLDING AT 5 %" }, { "until": "[p]ause" },
            { "send": "p" }, { "until": "Pause it?" }, { "send": "n" }, { "until": "Nothing was done." },
            { "send": "p" }, { "until": "Pause it?" }, { "send": "y" }, { "until": "PAUSED AT 5 % BY mara" },
            { "resize": [60, 12] }, { "until": "PAUSED AT 5 % BY mara" }, { "resize": [100, 40] },
            { "send": "w" }, { "until": "errors: " }, { "send": "w" },
            { "send": "a" }, { "until": "All traffic goes back to v1 now. [y]es" }, { "send": "y" },
            { "until": "ROLLED BACK" }, { "until": ": ABORTED BY mara" },
            { "send": "q" }, { "end": true },
        ]),
    );
    assert_eq!((&seen["exit"], &seen["restored"]), (&json!(1), &json!(true)), "{seen}");
    let screen = seen["seen"].as_str().unwrap();
    // The other screen is entered and left, and what was seen last stays to be read.
    let (_, after) = screen.rsplit_once("\u{1b}[?1049l").expect("it leaves its screen");
    assert!(after.contains(": ABORTED BY mara"), "{after}");
    assert!(!screen.contains("\u{1b}[31m"), "NO_COLOR: {screen}");
    assert_eq!(stage.live(), Live::only("1"));
    let history = run_in(&stage.cloud, &["history", "it"]);
    assert!(
        history.out.contains("paused by mara: lunch") && history.out.contains("aborted by mara: lunch"),
        "{history:?}"
    );
    // Whoever stops it, with a key or from outside, gets the terminal back as it was.
    for stop in [json!({ "send": "\u{3}" }), json!({ "signal": 15 })] {
        let steps = json!([{ "until": "ROLLED BACK" }, stop, { "end": true }]);
        let seen = on_a_terminal(&stage, &["watch", "it"], &steps);
        assert_eq!((&seen["exit"], &seen["restored"]), (&json!(1), &json!(true)), "{seen}");
    }
}

#[test]
fn elsewhere_every_change_is_a_line_and_the_end_an_exit_status() {
    let mut stage = deployed(56);
    stage.start(&json!({ "after": { "watch": "5m" } }));
    stage.pass_until(&HEALTHY, 5, |phase| phase == "baking");
    let watches = spawn_in(&stage.cloud, &["watch", "it", "--every", "1s"]);
    assert_eq!(stage.pass_until_ended(&HEALTHY, 120), "promoted");
    let said = Said::from(watches.wait_with_output().expect("it ends"));
    assert_eq!((said.exit, said.err.as_str()), (Some(0), ""), "{said:?}");
    assert!(first_line(&said).contains("  checkout:live  v1 -> v2  "), "{said:?}");
    let last = said.out.lines().last().unwrap();
    assert!(last.contains("  PROMOTED ") && last.contains("All traffic is on v2 since "), "{said:?}");
    assert!(said.out.contains("the weight was seen live"), "what happened between: {said:?}");
    // Once more, for a script: as it has ended, one look is enough.
    let document = run_in(&stage.cloud, &["watch", "it", "--json"]);
    let view = json_of(&document);
    assert_eq!((document.exit, document.out.lines().count(), &view["ended"]), (Some(0), 1, &json!(true)));
    assert_eq!((&view["phase"], &view["checks"][0]["found"]), (&json!("promoted"), &json!("provenFine")), "{view}");
    assert!(view["requests"]["new"].as_f64().unwrap() > 1000.0, "{view}");
}

/// What is printed, with what `coalmine schema` says of it.
fn case(output: &str, said: &Said) -> Value {
    let schema = Said::from(Command::new(coalmine()).args(["schema", output]).output().expect("coalmine runs"));
    let documents: Vec<Value> = match serde_json::from_str(&said.out) {
        Ok(whole) => vec![whole],
        Err(_) => {
            said.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{said:?}"))).collect()
        }
    };
    json!({ "name": output, "schema": json_of(&schema), "documents": documents })
}

#[test]
fn what_is_printed_for_scripts_is_as_its_schema_says() {
    let mut stage = deployed(57);
    let spec = spec_file(&stage, "schemas", &json!({}));
    let spec = spec.to_str().unwrap();
    let nothing = run_in(&stage.cloud, &["start", spec, "--version", "1", "--json"]);
    let started = run_in(&stage.cloud, &["start", spec, "--json"]);
    stage.pass_until(&HEALTHY, 5, |phase| phase == "baking");
    for _ in 0..4 {
        stage.pass(&HEALTHY);
    }
    let ask = |arguments: &[&str]| run_in(&stage.cloud, &[arguments, &["--json"]].concat());
    let status = ask(&["status", "it"]);
    let view = json_of(&status)["view"].clone();
    assert_eq!(view["checks"][0]["found"], "looksFine", "{view}");
    let arm = |errors: u32| json!({ "requests": 1000, "errors": errors });
    let minutes =
        (0..60).map(|minute| json!({ "minute": minute, "weight": "50%", "baseline": arm(1), "canary": arm(1) }));
    let recording = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{}-schemas.jsonl", std::process::id()));
    std::fs::write(&recording, minutes.map(|line| format!("{line}\n")).collect::<String>()).expect("it is written");
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/good-release.yaml");
    let mut cases = vec![
        case("status", &started),
        case("status", &status),
        case("list", &ask(&["list"])),
        case("history", &ask(&["history", "it"])),
        case("undo", &ask(&["undo", "it", "--print"])),
        case("errors", &ask(&["status", "nobody"])),
        case("errors", &ask(&["start", recording.to_str().unwrap()])),
        case("errors", &ask(&["run", recording.to_str().unwrap()])),
        case("nothing", &nothing),
        case("report", &ask(&["report", "it"])),
        case("plan", &ask(&["plan", spec, "--rps", "40", "--error-rate", "0.4%", "--runs", "1"])),
        case("fit", &ask(&["fit"])),
        case("doctor", &ask(&["doctor", spec, "--stack"])),
        case("validate", &ask(&["validate", spec, "--show-effective"])),
        case("validate", &ask(&["validate", recording.to_str().unwrap()])),
        case("analyze", &ask(&["analyze", "--spec", spec, recording.to_str().unwrap()])),
        case("simulate", &ask(&["simulate", "--reruns", "1"])),
        case("backtest", &ask(&["backtest", spec, "--recording", recording.to_str().unwrap(), "--runs", "1"])),
        case("simulate-scenario", &ask(&["simulate", scenario.to_str().unwrap()])),
        case("status", &ask(&["abort", "it"])),
    ];
    cases.push(json!({ "name": "watch", "schema": case("watch", &status)["schema"], "documents": [view] }));
    stage.next();
    cases.push(case("watch", &run_in(&stage.cloud, &["watch", "it", "--json"])));

    let mut validator =
        Command::new(python()).arg(support("schemas.py")).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    validator.stdin.take().unwrap().write_all(json!(cases).to_string().as_bytes()).unwrap();
    let validated = validator.wait_with_output().unwrap();
    assert!(validated.status.success(), "{}", String::from_utf8_lossy(&validated.stderr));
}
