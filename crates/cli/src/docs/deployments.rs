//! What docs/deployments.md and its examples say, against the code.

use std::collections::BTreeSet;

use coalmine_core::deployment::{EcsStage, HookAnswer};
use coalmine_core::driver::HookLine;
use coalmine_core::evidence::{Compared, Evidence, Happened};
use coalmine_core::spec::{Mode, Version};
use serde_json::Value;

use super::claims::{code, rows, sources};
use super::read;

const DOCUMENT: &str = "docs/deployments.md";

/// A line with every field.
fn full_line() -> Value {
    let texts = || vec!["text".to_owned()];
    let line = HookLine {
        deployment: String::new(),
        answer: Some(HookAnswer { goes_on: true, why: String::new() }),
        waiting: Some(String::new()),
        did: texts(),
        warnings: texts(),
        problems: texts(),
        faults: texts(),
    };
    serde_json::to_value(line).unwrap()
}

/// A line about a hook has fields of a report's line, of the same kinds.
pub(super) fn hook_line(block: &str) {
    let line: Value = serde_json::from_str(block).unwrap();
    let full = full_line();
    for (field, value) in line["hook"].as_object().unwrap() {
        let known = full.get(field).unwrap_or_else(|| panic!("no line has `{field}`"));
        assert_eq!(std::mem::discriminant(value), std::mem::discriminant(known), "{field}");
        let inner = |value: &Value| value.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>());
        assert_eq!(inner(value), inner(known), "{field}");
    }
}

/// A row of the table has the fields of what is answered, and no others.
pub(super) fn row(block: &str) {
    let row: Value = serde_json::from_str(block).unwrap();
    let happened = || Happened { at: row["started"].as_str().unwrap().parse().unwrap(), what: String::new() };
    let compared = Compared {
        target: String::new(),
        baseline: Version("1".to_owned()),
        canary: Version("2".to_owned()),
        mode: Mode::Observe,
        started: happened().at,
        ended: Some(happened()),
        coalmine: Some(happened()),
        minutes_earlier: Some(0),
    };
    let full = Evidence { deployment: String::new(), message: String::new(), seen: Some(compared) };
    let full = serde_json::to_value(full).unwrap();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&row), names(&full));
    assert_eq!((names(&row["ended"]), names(&row["coalmine"])), (names(&full["ended"]), names(&full["coalmine"])));
    for what in ["ended", "coalmine"] {
        assert!(row["message"].as_str().unwrap().contains(row[what]["what"].as_str().unwrap()), "{what}");
    }
}

#[test]
fn the_fields_of_the_log_are_these() {
    let rows = rows(DOCUMENT, "What the log says");
    let told: BTreeSet<&str> = rows.iter().skip(1).flat_map(|row| code(&row[0])).collect();
    let full = full_line();
    assert_eq!(told, full.as_object().unwrap().keys().map(String::as_str).collect());
}

#[test]
fn the_permissions_are_those_that_the_adapters_need() {
    let rows = rows(DOCUMENT, "Permissions");
    let explained: BTreeSet<&str> = rows.iter().skip(1).flat_map(|row| code(&row[0])).collect();
    let source = sources(&["crates/aws/src"]);
    let needed: BTreeSet<&str> = source
        .split('"')
        .filter(|text| {
            let services = ["codedeploy:", "ssm:"];
            let calls =
                ["ecs:DescribeService", "ecs:StopServiceDeployment", "lambda:ListTags", "cloudwatch:PutMetricData"];
            services.iter().chain(&calls).any(|start| text.starts_with(start))
        })
        .collect();
    assert_eq!(explained, needed);
}

#[test]
fn every_stage_that_ecs_has_is_answered_in_the_order_of_the_table() {
    let rows = rows(DOCUMENT, "Beside Amazon ECS");
    let told: Vec<&str> = rows.iter().skip(1).flat_map(|row| code(&row[0])).collect();
    assert_eq!(told, EcsStage::ALL.map(EcsStage::name));
}

#[test]
fn specs_are_looked_for_where_the_table_says() {
    let rows = rows(DOCUMENT, "Where the spec comes from");
    let places: Vec<&str> = rows.iter().skip(1).flat_map(|row| code(&row[0])).collect();
    for place in ["hookDetails.coalmine", "coalmine:spec", "/coalmine/<function>/<alias>", "COALMINE_SPEC"] {
        assert!(places.contains(&place), "{place}: {places:?}");
    }
    let adapters = sources(&["crates/aws/src/deployments", "functions"]);
    for name in ["\"coalmine:spec\"", "/coalmine/", "\"COALMINE_SPEC\""] {
        assert!(adapters.contains(name), "nothing reads {name}");
    }
    let template = read("template.yaml");
    assert!(template.contains(":parameter/coalmine/*\n"), "no role may read such a parameter");
}
