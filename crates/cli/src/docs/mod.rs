//! The documents say what is so: every example is run, every name in a table is looked up.

mod balancer;
mod claims;
mod deployments;
mod scenarios;
mod shell;

use std::path::{Path, PathBuf};

use coalmine_core::command::Request;
use coalmine_core::driver::Line;
use coalmine_core::recording::Reader;
use coalmine_core::rollout::{Notice, PhaseName};
use coalmine_core::spec;
use serde_json::Value;

use crate::validate::print_problem;
use crate::{backtest, plan};

const DOCUMENTS: [&str; 35] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "crates/README.md",
    "docs/alb.md",
    "docs/analyze.md",
    "docs/backtest.md",
    "docs/blind-spots.md",
    "docs/cloudformation.md",
    "docs/commands.md",
    "docs/deployments.md",
    "docs/doctor.md",
    "docs/install.md",
    "docs/json.md",
    "docs/operations.md",
    "docs/performance.md",
    "docs/plan.md",
    "docs/report.md",
    "docs/security.md",
    "docs/simulate.md",
    "docs/spec.md",
    "docs/statistics.md",
    "docs/switch.md",
    "examples/alb-ec2/README.md",
    "examples/alb-ecs/README.md",
    "examples/alb-lambda/README.md",
    "examples/automatic/README.md",
    "examples/codedeploy-sam/README.md",
    "examples/custom-resource/README.md",
    "examples/ecs-hook/README.md",
    "examples/pipeline/README.md",
    "examples/sam-macro/README.md",
    "examples/terraform/README.md",
    "fuzz/README.md",
    "mutants/README.md",
];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files below a folder of the repository whose name ends like this, relative to the folder.
fn files(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        for entry in std::fs::read_dir(repository(folder).join(&inner)).unwrap() {
            let entry = entry.unwrap();
            let path = inner.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                // What `npm` leaves in an example is not ours.
                if entry.file_name() != "node_modules" {
                    folders.push(path);
                }
            } else if path.display().to_string().ends_with(ending) {
                found.push(path.display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// What a link may name behind `#`: the headings, as GitHub writes them.
fn anchors(text: &str) -> Vec<String> {
    let outside = text.split("\n```").step_by(2);
    let headings = outside.flat_map(str::lines).filter(|line| line.starts_with('#'));
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    headings
        .map(|line| line.trim_start_matches('#').trim().to_lowercase().chars().filter(kept).collect::<String>())
        .map(|heading| heading.replace(' ', "-"))
        .collect()
}

/// What stands between the fences, with what is said of it behind the first one.
fn blocks(text: &str) -> Vec<(&str, &str)> {
    let fenced = text.split("\n```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').unwrap()).collect()
}

#[test]
fn no_document_is_left_out() {
    let below = ["crates", "docs", "functions", "fuzz", "tests", "examples", "events"].into_iter().flat_map(|folder| {
        files(folder, ".md").into_iter().map(move |file| format!("{folder}/{file}")).collect::<Vec<_>>()
    });
    let top = std::fs::read_dir(repository("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for file in below.chain(top.filter(|name| name.ends_with(".md"))) {
        assert!(DOCUMENTS.contains(&file.as_str()), "{file} is not tested");
    }
}

#[test]
fn every_example_is_as_it_says() {
    let mut counts = std::collections::BTreeMap::new();
    for document in DOCUMENTS {
        let text = read(document);
        let blocks = blocks(&text);
        for (index, (kind, block)) in blocks.iter().enumerate() {
            match *kind {
                "yaml" => assert_eq!(spec::parse(&whole(block)).err(), None, "{document}: {block}"),
                "yaml invalid" => assert_eq!(("text", said_of(block).as_str()), blocks[index + 1], "{document}"),
                "yaml scenario" => scenarios::valid(block),
                "yaml scenario invalid" => {
                    assert_eq!(("text", scenarios::invalid(block).as_str()), blocks[index + 1], "{document}");
                }
                // Of the spec and the command before it.
                "text plan" => {
                    assert_eq!(*block, plan::documented(blocks[index - 2].1, blocks[index - 1].1), "{document}")
                }
                "text backtest" => {
                    assert_eq!(*block, backtest::documented(blocks[index - 2].1, blocks[index - 1].1), "{document}")
                }
                // Of the scenario before it.
                "text run" => assert_eq!(*block, scenarios::run(blocks[index - 1].1), "{document}"),
                "json" => {
                    let request = Request::parse(&serde_json::from_str(block).unwrap());
                    assert!(request.is_ok(), "{document}: {request:?} for {block}");
                }
                "json recording" => recording(block),
                "json log" => log_line(block),
                "json notice" => notice(block),
                "json hook" => deployments::hook_line(block),
                "json row" => deployments::row(block),
                "sh" => shell::check(document, block),
                // What is printed: where a test can have it printed, `claims` does.
                "text" => {}
                // Run, where it can be, by the tests of the emulated AWS.
                "python" | "typescript" | "java" | "yaml template" => {}
                other => panic!("{document}: nothing runs a block of the kind `{other}`: {block}"),
            }
            *counts.entry((*kind).to_owned()).or_insert(0) += 1;
        }
    }
    assert!(counts["yaml"] >= 12 && counts["sh"] >= 8 && counts["json"] >= 1, "{counts:?}");
}

/// A reference's block may be a part of a spec: it goes under the shortest one.
fn whole(block: &str) -> String {
    let mut document = block.to_owned() + "\n";
    if !document.contains("target:") {
        document.insert_str(0, "target: { lambda: { function: checkout, alias: live } }\n");
    }
    if !document.contains("coalmine:") {
        document.insert_str(0, "coalmine: v1\n");
    }
    document
}

fn said_of(block: &str) -> String {
    let mut said = Vec::new();
    for problem in spec::parse(&whole(block)).unwrap_err() {
        print_problem(Path::new("spec.yaml"), "", &problem, &mut said).unwrap();
    }
    String::from_utf8(said).unwrap().trim_end().to_owned()
}

/// Every line of a recording is read, and read again as it is written.
fn recording(block: &str) {
    let mut reader = Reader::default();
    for line in block.lines() {
        let read = reader.read(line.as_bytes()).unwrap().unwrap();
        let written: Value = serde_json::to_value(&read.line).unwrap();
        let numbers = |value: &str| serde_json::from_str::<Value>(&value.replace(".0", "")).unwrap();
        assert_eq!(numbers(&written.to_string()), numbers(line), "nothing of it is dropped");
    }
}

/// A log line has the fields of a report's line, and no others.
fn log_line(block: &str) {
    let line: Value = serde_json::from_str(block).unwrap();
    let texts = || vec!["text".to_owned()];
    let full = Line {
        rollout: String::new(),
        target: String::new(),
        phase: PhaseName::Baking,
        weight: None,
        live: Some(String::new()),
        targets: Some(String::new()),
        checks: texts(),
        did: texts(),
        holding: texts(),
        faults: texts(),
        found: None,
        unsaved: false,
    };
    let full = serde_json::to_value(full).unwrap();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&line["rollout"]), names(&full));
    serde_json::from_value::<PhaseName>(line["rollout"]["phase"].clone()).unwrap();
}

/// It has every field of a notice, and no other; of an end also where its report is.
fn notice(block: &str) {
    let mut shown: Value = serde_json::from_str(block).unwrap();
    let report = shown.as_object_mut().unwrap().remove("report");
    let read: Notice = serde_json::from_value(shown.clone()).unwrap();
    assert_eq!(report.is_some(), read.phase.is_terminal(), "{block}");
    assert_eq!(serde_json::to_value(read).unwrap(), shown);
}

#[test]
fn every_example_file_is_valid() {
    let mut specs = [files("examples", ".yaml"), files("examples", ".json")].concat();
    // What CloudFormation reads is looked at by tests/template.rs.
    // A scenario is run beside its reference.
    // What belongs to CDK by .ci/examples.
    specs.retain(|file| {
        let other = ["/template.yaml", "/scenario.yaml"].iter().any(|name| file.ends_with(name));
        !other && !file.starts_with("custom-resource/cdk/")
    });
    for file in &specs {
        assert_eq!(spec::parse(&read(&format!("examples/{file}"))).err(), None, "{file}");
    }
    assert!(specs.len() >= 5, "{specs:?}");
}

#[test]
fn every_link_leads_somewhere() {
    let mut links = 0;
    for document in DOCUMENTS {
        let folder = Path::new(document).parent().unwrap();
        for link in read(document).split("](").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned()) {
            if !link.starts_with("https://") {
                let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
                let path = if path.is_empty() { document.into() } else { folder.join(path).display().to_string() };
                assert!(repository(&path).exists(), "{document}: {link}");
                assert!(
                    anchor.is_empty() || anchors(&read(&path)).iter().any(|heading| heading == anchor),
                    "{document}: {link}"
                );
                links += 1;
            }
        }
    }
    assert!(links >= 10);
}
