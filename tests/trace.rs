//! Real traffic: bursty arrivals of a production service, split at random between the two versions.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::harness::{Live, Served, Stage, python};

const FILE: &str = "azure-llm-conversation-2023.csv.gz";

/// Requests by minute, or `None` where the trace is absent.
fn arrivals() -> Option<BTreeMap<u64, u64>> {
    let named = std::env::var_os("COALMINE_DATA").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let path = folder.join(FILE);
    if !path.exists() {
        let note = format!("SKIPPED, real traffic: no {} (COALMINE_DATA names its folder)\n", path.display());
        // Not `eprintln!`: the output of a test that passes is not shown.
        std::io::stderr().write_all(note.as_bytes()).expect("standard error can be written");
        return None;
    }
    let unzip = "import gzip, sys; sys.stdout.write(gzip.open(sys.argv[1], 'rt').read())";
    let output = Command::new(python()).args(["-c", unzip]).arg(&path).output().expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("the trace is text");
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().expect("the trace has a header").split(',').collect();
    let offset = columns.iter().position(|name| *name == "offset_s").expect("the trace has offset_s");
    let mut minutes = BTreeMap::new();
    for line in lines {
        let seconds: f64 = line.split(',').nth(offset).and_then(|field| field.parse().ok()).expect("a number");
        *minutes.entry((seconds / 60.0) as u64).or_insert(0) += 1;
    }
    assert!(minutes.values().sum::<u64>() > 10_000, "the trace is an hour of traffic");
    Some(minutes)
}

/// Plays the trace against the alias's live weight; each request fails with its version's probability.
fn play(stage: &mut Stage, minutes: &BTreeMap<u64, u64>, new_fails: f64) {
    const OLD_FAILS: f64 = 0.001;
    for requests in minutes.values() {
        let share = stage.new_share();
        let new = stage.dice.count(*requests, share);
        let old = requests - new;
        let old = Served { requests: old, errors: stage.dice.count(old, OLD_FAILS) };
        let new = Served { requests: new, errors: stage.dice.count(new, new_fails) };
        stage.serve(old, new);
        stage.next();
        if stage.has_ended() {
            return;
        }
    }
    panic!("not ended when the trace was over: {:#}", stage.status());
}

fn started(seed: u64) -> Stage {
    let stage = Stage::with_history(seed, Served { requests: 330, errors: 1 });
    stage.start(&json!({
        "strategy": { "steps": [{ "weight": "25%", "bake": "5m" }, { "weight": "50%", "bake": "5m" }] },
        "after": { "watch": "5m" },
    }));
    stage
}

#[test]
fn the_same_version_twice_is_promoted_on_real_traffic() {
    let Some(minutes) = arrivals() else { return };
    let mut stage = started(41);
    play(&mut stage, &minutes, 0.001);
    assert_eq!((stage.phase().as_str(), stage.live()), ("promoted", Live::only("2")));
}

#[test]
fn five_percent_failing_is_rolled_back_on_real_traffic() {
    let Some(minutes) = arrivals() else { return };
    let mut stage = started(42);
    play(&mut stage, &minutes, 0.05);
    assert_eq!((stage.phase().as_str(), stage.live()), ("rolledBack", Live::only("1")));
}
