//! Releases that are over within minutes, one for each way to release.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::sim::scenario::{Scenario, group};
use crate::sim::traffic::{Behaviour, Delivery, Traffic};
use crate::spec::{Target, Version};
use crate::units::Span;

const FUNCTION: &str = "checkout";

/// The name that every one of them has in the store.
pub(super) const ID: &str = "checkout-42";

/// The alarm that counts.
pub(super) const ALARM: &str = "red";

/// A kind of release of version 42 over version 41.
#[derive(Debug, Clone, Copy)]
pub struct Release {
    pub name: &'static str,
    behind_a_balancer: bool,
    spec: fn() -> Value,
}

/// All of them.
pub const RELEASES: [Release; 6] = [
    Release { name: "steps", behind_a_balancer: false, spec: steps },
    Release { name: "steps behind a load balancer", behind_a_balancer: true, spec: steps },
    Release { name: "all at once", behind_a_balancer: false, spec: all_at_once },
    Release { name: "approved, newer ones wait", behind_a_balancer: false, spec: approved },
    Release { name: "weights chosen by the judge", behind_a_balancer: false, spec: auto },
    Release { name: "old group detached", behind_a_balancer: true, spec: detached },
];

fn steps() -> Value {
    json!({
        "strategy": { "steps": [
            { "weight": "10%", "bake": "1m", "advance": "unlessHarm" },
            { "weight": "50%", "bake": "1m" },
        ] },
        "after": { "watch": "2m" },
    })
}

fn all_at_once() -> Value {
    json!({ "strategy": { "allAtOnce": {} }, "after": { "watch": "3m" }, "mode": "enforce" })
}

fn approved() -> Value {
    let approve = json!({ "within": "5m", "otherwise": "promote" });
    json!({
        "strategy": { "steps": [{ "weight": "50%", "bake": "1m", "advance": "unlessHarm", "approve": approve }] },
        "after": { "watch": "1m" },
        "newer": "queue",
        "undecided": { "tooLittleTraffic": "promote", "noData": "pause", "looksWorse": "rollBack" },
    })
}

fn auto() -> Value {
    json!({ "strategy": { "auto": { "harmBudget": 400 } }, "after": { "watch": "1m" } })
}

fn detached() -> Value {
    json!({
        "strategy": { "canary": { "weight": "50%", "bake": "1m" } },
        "after": { "watch": "1m" },
        "target": { "alb": { "keepBaseline": "4m" } },
    })
}

impl Release {
    /// What is released where. Its traffic is told minute by minute, and only its versions count.
    #[must_use]
    pub fn scenario(&self) -> Scenario {
        let mut spec = json!({
            "coalmine": "v1",
            "target": { "lambda": { "function": FUNCTION, "alias": "live" } },
            "version": "42",
            "alarms": [ALARM],
            "checks": [{ "errors": { "tolerate": "5pt" } }],
            "pause": { "for": "10m", "then": "rollBack" },
            "deadline": "30m",
        });
        let mut wanted = (self.spec)();
        let balancer = wanted.as_object_mut().and_then(|fields| fields.remove("target"));
        for (field, value) in wanted.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        let versions = ["40", "41", "42", "43"].map(|number| (version(number), Behaviour::default()));
        let (versions, delivery) = (BTreeMap::from(versions), Delivery::default());
        let traffic = Traffic { per_second: 0.0, changes: Vec::new(), daily: None, bursts: None, versions, delivery };
        let mut scenario = Scenario::of(FUNCTION, "live", &version("41"), spec, traffic);
        scenario.alarms = vec![ALARM.to_owned()];
        scenario.settings.metric_lag = Span::from_minutes(1);
        scenario.settings.switch = Some(Span::from_minutes(15));
        if !self.behind_a_balancer {
            return scenario;
        }
        let mut scenario = scenario.on_alb();
        for (field, value) in balancer.iter().filter_map(|target| target["alb"].as_object()).flatten() {
            scenario.spec["target"]["alb"][field] = value.clone();
        }
        scenario
    }
}

fn version(number: &str) -> Version {
    Version(number.to_owned())
}

/// A version of the release's target.
pub(super) fn of(target: &Target, number: &str) -> Version {
    match target {
        Target::Lambda(_) => version(number),
        Target::Alb(_) => group(FUNCTION, &version(number)),
    }
}
