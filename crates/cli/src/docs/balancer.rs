//! What docs/alb.md and its examples say, against the code.

use std::collections::BTreeSet;

use coalmine_core::alb;
use coalmine_core::spec::{self, Target, Version};
use coalmine_core::units::Weight;

use super::claims::{code, rows, sources};
use super::{files, read};

const DOCUMENT: &str = "docs/alb.md";

fn weight(cell: &str) -> Weight {
    cell.parse().unwrap_or_else(|error| panic!("{cell}: {error}"))
}

#[test]
fn every_weight_is_set_as_the_table_says() {
    let rows = rows(DOCUMENT, "Weights");
    for row in rows.iter().skip(1) {
        let [asked, pair, set] = row.as_slice() else { panic!("{row:?}") };
        let (new, old) = alb::pair(weight(asked));
        assert_eq!(*pair, format!("{new} : {old}"), "{asked}");
        assert_eq!(alb::weight_of(new, old), weight(set), "{asked}");
    }
    assert!(rows.len() >= 10);
    assert_eq!(alb::weight_of(50, 950), weight("5%"));
    let tenths = (10..=9990).step_by(10).filter_map(Weight::from_basis_points);
    tenths.for_each(|weight| assert_eq!(alb::settable(weight), weight, "every tenth of a percent is exact"));
}

#[test]
fn every_group_needs_as_many_targets_as_the_table_says() {
    let rows = rows(DOCUMENT, "Health");
    for row in rows.iter().skip(1) {
        let [share, next, served, needed] = row.as_slice() else { panic!("{row:?}") };
        let counted = alb::needed(weight(share), weight(next), served.parse().unwrap());
        assert_eq!(counted.to_string(), *needed, "{row:?}");
    }
    assert!(rows.len() >= 5);
}

#[test]
fn the_permissions_are_those_that_the_adapters_need() {
    let ours = |text: &str| text.starts_with("elasticloadbalancing:") || text.starts_with("ecs:");
    let rows = rows(DOCUMENT, "Permissions");
    let explained: BTreeSet<&str> = rows.iter().skip(1).flat_map(|row| code(&row[0])).collect();
    let source = sources(&["crates/aws/src/elb"]);
    let needed: BTreeSet<&str> = source.split('"').filter(|text| ours(text)).collect();
    assert_eq!(explained, needed);
}

#[test]
fn the_metrics_are_those_that_are_read() {
    let source = sources(&["crates/core/src/metrics"]);
    let rows = rows(DOCUMENT, "What is compared");
    let named: Vec<&str> = rows.iter().skip(1).flat_map(|row| code(&row[1])).collect();
    assert!(named.len() >= 7, "{named:?}");
    for name in named {
        assert!(source.contains(name), "nothing reads {name}");
    }
}

/// The examples' specs have nothing to be warned of, and start the rollouts that their documents ask about.
#[test]
fn every_example_is_started_under_the_name_that_it_is_asked_by() {
    let specs: Vec<String> = files("examples", "/spec.yaml");
    assert_eq!(specs, ["alb-ec2/spec.yaml", "alb-ecs/spec.yaml", "alb-lambda/spec.yaml"]);
    for file in specs {
        let validated = spec::parse(&read(&format!("examples/{file}"))).unwrap();
        assert_eq!(validated.warnings, vec![], "{file}");
        let Target::Alb(target) = &validated.spec.target else { panic!("{file} is no load balancer's") };
        let green = Version(target.target_groups[1].clone());
        let name = validated.spec.target.default_id(&green, &validated.spec.release);
        let said = read(&format!("examples/{}", file.replace("spec.yaml", "README.md")));
        assert!(said.contains(&format!("\"rollout\":\"{name}\"")), "{file}: {name}");
    }
}
