//! A world and a rollout for the tests of this module.

use serde_json::json;

use super::world::World;
use crate::observation::AlarmState;
use crate::rollout::Rollout;
use crate::spec::{LambdaTarget, Owner, Target, Version};
use crate::units::Timestamp;

pub fn start() -> Timestamp {
    "2026-11-21T14:00:00Z".parse().unwrap()
}

pub fn target() -> Target {
    let (function, alias) = ("checkout".to_owned(), "live".to_owned());
    Target::Lambda(LambdaTarget { function, alias, owner: Owner::Coalmine })
}

pub fn baseline() -> Version {
    Version("41".to_owned())
}

pub fn canary() -> Version {
    Version("42".to_owned())
}

/// `checkout:live` on v41, v42 published, alarm `checkout-5xx` quiet.
pub fn world() -> World {
    let world = World::new(start());
    world.publish_active("checkout", "41");
    world.publish_active("checkout", "42");
    world.publish_active("checkout", "$LATEST");
    world.write_alias(&target(), &baseline(), None).unwrap();
    world.set_alarm("checkout-5xx", AlarmState::Ok);
    world
}

/// A rollout of v42 that has not begun, as it would be stored.
pub fn rollout() -> Rollout {
    let spec = json!({
        "name": "checkout-42", "mode": "enforce", "target": target(), "version": "42",
        "release": {}, "strategy": "steps",
        "steps": [{ "weight": "5%", "bake": "5m", "atMost": null, "advance": "onProof", "approve": null }],
        "margins": "perWeight", "after": { "watch": "30m" }, "tests": [], "checks": [],
        "alarms": { "names": ["checkout-5xx"], "alreadyRed": "refuse" },
        "analysis": { "falseRollback": 0.01, "falsePromotion": 0.05 },
        "undecided": { "tooLittleTraffic": "pause", "noData": "rollBack", "looksWorse": "rollBack" },
        "pause": { "for": "12h", "then": "rollBack" }, "deadline": "2h", "newer": "supersede",
    });
    let rollout = json!({
        "id": "checkout-42", "spec": spec,
        "plan": { "checks": [], "falseRollback": 0.01, "falsePromotion": 0.05, "horizonMinutes": 120 },
        "baseline": "41", "canary": "42", "codeHash": "", "lag": "3m", "requestTimeout": "3s",
        "startedAt": start(), "startedBy": "tests",
        "phase": { "name": "pending", "since": start(), "behind": null, "ready": false },
        "clock": { "spent": "0s", "runningSince": start() },
        "weights": [], "sealedBefore": null, "alarmsMuted": [], "outbox": [], "history": [],
        "eventsTotal": 0, "now": start(), "revision": 0,
    });
    serde_json::from_value(rollout).unwrap()
}
