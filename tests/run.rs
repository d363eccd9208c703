//! `coalmine run`: the controller without a stack, on the real clock. Killed, stopped, and gone on with.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Live, Said, Stage};

/// A spec and a state file for one release.
struct Release {
    stage: Stage,
    spec: PathBuf,
    state: PathBuf,
}

impl Release {
    fn new(seed: u64, name: &str, fields: &Value) -> Self {
        let stage = Stage::set_up(seed);
        let at = |ending: &str| {
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("run-{}-{name}.{ending}", std::process::id()))
        };
        let (spec, state) = (at("json"), at("state"));
        std::fs::write(&spec, stage.spec(fields).to_string()).expect("the spec is written");
        drop(std::fs::remove_file(&state));
        Self { stage, spec, state }
    }

    fn command(&self, more: &[&str]) -> Command {
        let (spec, state) = (self.spec.to_str().expect("text"), self.state.to_str().expect("text"));
        self.stage.command_line(&[&["run", spec, "--state", state], more].concat())
    }

    fn run(&self, more: &[&str]) -> Said {
        self.command(more).output().expect("coalmine runs").into()
    }

    fn spawned(&self) -> Child {
        self.command(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("coalmine runs")
    }

    /// In the background, until it says this. Nobody reads what it says after that, which must not disturb it.
    fn until(&self, said: &str) -> (Child, Vec<String>) {
        let mut running = self.spawned();
        let out = BufReader::new(running.stdout.take().expect("it is piped"));
        let (tells, told) = mpsc::channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| tells.send(line)));
        let (mut lines, late) = (Vec::new(), Instant::now() + Duration::from_secs(60));
        while let Ok(line) = told.recv_timeout(late.saturating_duration_since(Instant::now())) {
            lines.push(line);
            if lines.iter().any(|line: &String| line.contains(said)) {
                return (running, lines);
            }
        }
        drop(running.kill());
        panic!("{lines:#?} {:?}", running.wait_with_output());
    }
}

#[test]
fn a_run_that_is_killed_goes_on_where_it_was() {
    let release = Release::new(
        81,
        "killed",
        &json!({ "version": "2", "strategy": { "allAtOnce": {} }, "after": { "watch": "1m" } }),
    );
    let (mut running, before) = release.until("the weight was seen live");
    running.kill().expect("SIGKILL");
    running.wait().expect("it is dead");
    assert_eq!(release.stage.live(), Live::only("2"), "{before:#?}");
    let again = release.run(&["--json"]);
    assert_eq!(again.exit, Some(0), "{again:?}");
    let ended: Value = serde_json::from_str(&again.out).unwrap_or_else(|error| panic!("{error}: {again:?}"));
    assert_eq!((&ended["id"], &ended["phase"]["name"]), (&json!("it"), &json!("promoted")));
    let started = ended["history"].as_array().unwrap().iter().filter(|event| event["why"]["kind"] == "started").count();
    assert_eq!(started, 1, "it was not started anew: {ended:#}");
    let whole = release.run(&[]);
    assert!(whole.exit == Some(0) && whole.out.contains("started by mara"), "each log has the whole story: {whole:?}");
}

#[cfg(unix)]
#[test]
fn whoever_stops_a_run_is_told_what_stands_and_the_ways_on() {
    let release = Release::new(82, "stopped", &json!({ "version": "2" }));
    let (running, _) = release.until("baking");
    let interrupted = Command::new("kill").args(["-INT", &running.id().to_string()]).status().expect("kill runs");
    assert!(interrupted.success());
    let stopped = Said::from(running.wait_with_output().expect("it ends"));
    assert_eq!(stopped.exit, Some(3), "{stopped:?}");
    for says in [
        "stopped: 5 % of checkout:live goes to v2, and nobody looks after it until this goes on",
        "--order abort",
        "aws lambda update-alias --cli-input-json",
    ] {
        assert!(stopped.err.contains(says), "{says}: {stopped:?}");
    }
    assert_eq!(release.stage.live(), Live::with("1", "2", 0.05));
    let line = stopped.err.lines().find_map(|line| line.trim().strip_prefix("roll back: coalmine "));
    let line = line.unwrap_or_else(|| panic!("{stopped:?}"));
    let shell = release.stage.command_line(&[]);
    let mut back = Command::new("sh");
    back.args(["-c", &format!("\"$0\" {line} --reason enough")]).arg(shell.get_program());
    back.envs(shell.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let back = Said::from(back.output().expect("sh runs"));
    assert_eq!((back.exit, release.stage.live()), (Some(1), Live::only("1")), "{back:?}");
    assert!(back.out.contains("enough"), "{back:?}");
}

#[test]
fn what_is_in_the_way_of_a_run_is_said() {
    let release = Release::new(83, "wrong", &json!({ "version": "77" }));
    let missing = release.run(&[]);
    assert!(missing.exit == Some(2) && missing.err.contains("77"), "{missing:?}");
    let alone = release.run(&["--version", "1"]);
    assert!(alone.exit == Some(0) && alone.err.contains("v1 is live on checkout:live already"), "{alone:?}");
    let document =
        |said: &Said| serde_json::from_str::<Value>(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    let alone = release.run(&["--version", "1", "--json"]);
    let live = "v1 is live on checkout:live already: nothing to roll out";
    assert_eq!((alone.exit, document(&alone)), (Some(0), json!({ "message": live })));
    let missing = release.run(&["--json"]);
    assert_eq!((missing.exit, &document(&missing)["errors"][0]["path"]), (Some(2), &json!("version")));
    // Nothing is wrong with the spec where AWS cannot be asked: a pipeline asks again.
    let unreachable = release.command(&["--json"]).env("AWS_ENDPOINT_URL", "http://127.0.0.1:9").output();
    let unreachable = Said::from(unreachable.expect("coalmine runs"));
    let error = &document(&unreachable)["errors"][0];
    assert_eq!((unreachable.exit, &error["fault"]), (Some(4), &json!("failed")), "{unreachable:?}");
    assert!(error["message"].as_str().is_some_and(|it| it.contains("AWS cannot be reached (")), "{unreachable:?}");
    let nobody = release.run(&["--version", "2", "--order", "approve"]);
    assert!(
        nobody.exit == Some(2) && nobody.err.contains("has no rollout of checkout:live to say this to"),
        "{nobody:?}"
    );
    assert_eq!(release.stage.live(), Live::only("1"), "an order starts nothing");
}
