//! The driver in the made-up AWS: killed anywhere, raced, starved, lied to.

mod alarms;
mod auto;
mod detaching;
mod field_bugs;
mod groups;
mod groups_disturbed;
mod guests;
mod hooks;
mod isolation;
mod killed;
mod minutes;
mod past;
mod presets;
mod recordings;
mod resources;
mod resources_disturbed;
mod shared_target;
mod starts;
mod starts_alb;
mod switch;
mod wall;
mod watched;

use serde_json::{Value, json};

use crate::observation::Split;
use crate::sim::samples::{On, on_both};
use crate::sim::scenario::{Happening, Moment, Outcome, Scenario, What, run};
use crate::sim::traffic::{Behaviour, Delivery, Traffic};
use crate::sim::world::World;
use crate::spec::{Target, Version};
use crate::units::Span;

fn target() -> Target {
    On::Lambda.target()
}

fn version(number: &str) -> Version {
    Version(number.to_owned())
}

/// 40 requests a second; version 41 fails 0.4 %, version 42 as told.
fn traffic(failing: f64) -> Traffic {
    let versions = [("41", 0.004), ("42", failing), ("43", 0.004)];
    let versions = versions.map(|(number, failing)| (version(number), Behaviour::steady(failing)));
    Traffic {
        per_second: 40.0,
        changes: Vec::new(),
        daily: None,
        bursts: None,
        versions: versions.into(),
        delivery: Delivery::default(),
    }
}

/// One step of 10 % with three minutes, a watch of five: short, so that every moment of it can be killed.
fn spec() -> Value {
    json!({
        "coalmine": "v1",
        "target": { "lambda": { "function": "checkout", "alias": "live" } },
        "version": "42",
        "strategy": { "steps": [{ "weight": "10%", "bake": "3m" }, { "weight": "50%", "bake": "3m" }] },
        "after": { "watch": "5m" },
        "alarms": ["red"],
        "checks": [{ "errors": { "tolerate": "1pt" } }],
        "deadline": "1h",
    })
}

fn release(failing: f64) -> Scenario {
    let alarms = vec!["red".to_owned()];
    // An hour of past is enough to learn from, and there are hundreds of these runs.
    Scenario { alarms, past: minutes(60), ..Scenario::of("checkout", "live", &version("41"), spec(), traffic(failing)) }
}

fn good() -> Scenario {
    release(0.004)
}

fn bad() -> Scenario {
    release(0.2)
}

/// A good release whose alarm rings in the second step.
fn alarmed() -> Scenario {
    let state = crate::observation::AlarmState::Alarm;
    let ring = What::Alarm { name: "red".to_owned(), state };
    let half = crate::units::Weight::from_basis_points(5_000).unwrap();
    let when = Moment::AfterWeight(half, Span::from_seconds(90));
    Scenario { events: vec![Happening { when, what: ring }], ..good() }
}

/// The spec of the same release on either kind of target.
fn spec_on(on: On) -> Value {
    on.of(good()).spec
}

/// The weight of either kind of target that is live, in the words of the release of 42.
fn live(world: &World, on: On) -> Split {
    world.routing(&on.target()).unwrap().split(&on.baseline(), &on.canary())
}

fn minutes(minutes: u64) -> Span {
    Span::from_minutes(minutes)
}

fn after(minute: u64, what: What) -> Happening {
    Happening { when: Moment::After(minutes(minute)), what }
}

fn clean_run(scenario: &Scenario, seed: u64) -> Outcome {
    let outcome = run(scenario, seed).unwrap();
    assert_eq!(outcome.violations, [], "seed {seed}: {:#?}", outcome.rollout.history);
    assert_eq!(outcome.unserved(), 0, "seed {seed}");
    outcome
}
