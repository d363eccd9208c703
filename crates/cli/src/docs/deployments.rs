//! What docs/deployments.md and its examples say, against the code.

use std::collections::BTreeSet;

use coalmine_core::deployment::EcsStage;

use super::claims::{code, rows, sources};
use super::read;

const DOCUMENT: &str = "docs/deployments.md";

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
