//! What docs/simulate.md says of the scenario language, against the language.

use std::collections::BTreeSet;
use std::path::Path;

use coalmine_core::sim::language::{Wrong, parse, schema};
use serde_json::Value;

use super::claims::code;
use super::{read, repository};
use crate::simulate;

const DOCUMENT: &str = "docs/simulate.md";

/// Which mapping of the language each heading is about: its definition, or where it stands in the schema.
const TABLES: [(&str, &str); 29] = [
    ("## The scenario", ""),
    ("## `traffic`", "/properties/traffic"),
    ("### `traffic.perSecond`", "RawRequests"),
    ("### `traffic.daily`", "RawDaily"),
    ("### `traffic.bursts`", "RawBursts"),
    ("### `traffic.versions`", "RawBehaviour"),
    ("#### A share with its time", "RawShare"),
    ("#### `latency`", "RawDurations"),
    ("#### `latency.slow`", "RawSlow"),
    ("#### `noise`", "RawNoise"),
    ("#### `coldStarts`", "RawColdStarts"),
    ("#### `environments`", "RawEnvironments"),
    ("### `traffic.queue`", "RawQueue"),
    ("### `traffic.metrics`", "RawDelivery"),
    ("## `account`", "RawAccount"),
    ("## `events`", "RawEvent"),
    ("### `after`", "RawAfterWeight"),
    ("### `alarm`", "RawAlarmChange"),
    ("### `write`", "RawWrite"),
    ("### `write.additional`", "RawAdditional"),
    ("### `writeRule`", "RawWriteRule"),
    ("### `health`", "RawHealth"),
    ("### `tests`", "RawTests"),
    ("## `faults`", "RawFault"),
    ("## `controller`", "RawController"),
    ("## `deployed`", "RawDeployed"),
    ("### `deployed.codedeploy`", "RawCodeDeploy"),
    ("### `deployed.ecs`", "RawEcs"),
    ("## `expect`", "RawExpect"),
];

/// The files that scenarios name are those of the example, and a recording.
fn beside(name: &str, _: usize) -> Result<String, String> {
    let file =
        if name.ends_with(".jsonl") { "tests/scenarios/trace.jsonl" } else { &format!("examples/simulate/{name}") };
    Ok(read(file))
}

fn said(wrong: &[Wrong]) -> String {
    let mut said = Vec::new();
    for wrong in wrong {
        crate::validate::print_problem(Path::new("scenario.yaml"), "", &wrong.problem, &mut said).unwrap();
    }
    String::from_utf8(said).unwrap().trim_end().to_owned()
}

/// A scenario in a document.
pub fn valid(block: &str) {
    let wrong = parse(block, &mut beside).err();
    assert!(wrong.is_none(), "{block}\n{}", said(&wrong.unwrap_or_default()));
}

/// What is said of one that is not.
pub fn invalid(block: &str) -> String {
    said(&parse(block, &mut beside).unwrap_err())
}

/// What a run of it prints.
pub fn run(block: &str) -> String {
    simulate::printed("scenario.yaml", &parse(block, &mut beside).unwrap(), 1)
}

/// What the document should say under a heading: the fields in their order, those that must be there marked.
fn table(schema: &Value, definition: &str) -> Vec<String> {
    let named = || &schema["$defs"][definition];
    let of = schema.pointer(definition).unwrap_or_else(named);
    let required: BTreeSet<&str> = of["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let row = |(name, field): (&String, &Value)| {
        let mark = if required.contains(name.as_str()) { " (required)" } else { "" };
        format!("| `{name}`{mark} | {} |", field["description"].as_str().unwrap_or_default())
    };
    of["properties"].as_object().unwrap().iter().map(row).collect()
}

#[test]
fn the_reference_has_every_field_with_what_the_language_says_of_it() {
    let (text, schema) = (read(DOCUMENT), schema());
    let mut differ = Vec::new();
    for (heading, definition) in TABLES.iter() {
        let section = text.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("no {heading}"));
        let section = section.split("\n#").next().unwrap_or_default();
        let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
        let rows: Vec<&str> = rows.take_while(|line| line.starts_with('|')).collect();
        let expected = table(&schema, definition);
        if rows != expected {
            differ.push(format!("{heading}\n\n| field | |\n|---|---|\n{}\n", expected.join("\n")));
        }
    }
    assert!(differ.is_empty(), "{DOCUMENT} should have\n\n{}", differ.join("\n"));
    let known = schema["$defs"].as_object().unwrap().keys();
    let of_scenarios =
        known.filter(|name| !coalmine_core::spec::schema()["$defs"].as_object().unwrap().contains_key(*name));
    let explained: BTreeSet<&str> = TABLES.iter().map(|(_, definition)| *definition).collect();
    // Words that are listed in the field that has them, and the spec itself.
    let inline = [
        "CallsWord",
        "CommandWord",
        "End",
        "KindWord",
        "LambdaHook",
        "Operation",
        "SpilloverWord",
        "TellsWord",
        "RawSpec",
    ];
    let missing: Vec<&String> =
        of_scenarios.filter(|name| !explained.contains(name.as_str()) && !inline.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "no table is about {missing:?}");
}

#[test]
fn the_reference_has_every_word() {
    let (text, schema) = (read(DOCUMENT), schema());
    let places =
        [("way", "/$defs/RawFault/properties/way"), ("operation", "/$defs/Operation"), ("ended", "/$defs/End")];
    for (field, place) in places {
        let table = text.split(&format!("\n| `{field}` | |\n")).nth(1).unwrap_or_else(|| panic!("no table of {field}"));
        let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
        let explained: BTreeSet<&str> =
            rows.flat_map(|row| code(row.trim_matches('|').split('|').next().unwrap_or_default())).collect();
        assert_eq!(explained, words(schema.pointer(place).unwrap()), "{field}");
    }
}

/// The words of an enum: with comments each stands by itself in the schema.
fn words(definition: &Value) -> BTreeSet<&str> {
    let plain = definition["enum"].as_array().into_iter().flatten();
    let commented = definition["oneOf"].as_array().into_iter().flatten().flat_map(|one| {
        let list = one["enum"].as_array().into_iter().flatten();
        list.chain([&one["const"]])
    });
    plain.chain(commented).filter_map(Value::as_str).collect()
}

#[test]
fn the_example_goes_as_it_says() {
    let file = repository("examples/simulate/scenario.yaml");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = simulate::play_files(&[file], &mut out, &mut err).unwrap();
    assert_eq!(exit, crate::Exit::Fine, "{}{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
    assert!(err.is_empty(), "{}", String::from_utf8_lossy(&err));
}
