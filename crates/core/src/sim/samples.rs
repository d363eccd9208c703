//! A world and a rollout for the tests of this module.

use serde_json::json;

use super::scenario::{self, Scenario};
use super::world::World;
use crate::cloudformation::{Asked, Caller, Kind, Resource, Wish};
use crate::observation::AlarmState;
use crate::rollout::Rollout;
use crate::spec::{LambdaTarget, Owner, Target, Version};
use crate::units::{Timestamp, Weight};

pub fn start() -> Timestamp {
    "2026-11-21T14:00:00Z".parse().unwrap()
}

/// What a release is on, for tests that run on either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    Lambda,
    Alb,
}

impl On {
    /// From v41 to v42 of `checkout`.
    pub fn target(self) -> Target {
        self.target_of("checkout")
    }

    pub fn target_of(self, function: &str) -> Target {
        match self {
            Self::Lambda => {
                let (function, alias) = (function.to_owned(), "live".to_owned());
                Target::Lambda(LambdaTarget { function, alias, owner: Owner::Coalmine })
            }
            Self::Alb => Target::Alb(scenario::on_alb(function, &baseline(), &canary())),
        }
    }

    pub fn version(self, number: &str) -> Version {
        self.version_of("checkout", number)
    }

    pub fn version_of(self, function: &str, number: &str) -> Version {
        let version = Version(number.to_owned());
        match self {
            Self::Lambda => version,
            Self::Alb => scenario::group(function, &version),
        }
    }

    pub fn baseline(self) -> Version {
        self.version("41")
    }

    pub fn canary(self) -> Version {
        self.version("42")
    }

    /// v41 live, v42 there, alarm `checkout-5xx` quiet. Target groups are both attached, and healthy.
    pub fn world(self) -> World {
        if self == Self::Lambda {
            return world();
        }
        let (world, target) = (World::new(start()), self.target());
        [self.baseline(), self.canary()].iter().for_each(|group| world.offer(&target, group));
        world.write(&target, &self.baseline(), Some((self.canary(), Weight::ZERO))).unwrap();
        world.set_alarm("checkout-5xx", AlarmState::Ok);
        world
    }

    /// A release of an alias, or the same one of target groups.
    pub fn of(self, scenario: Scenario) -> Scenario {
        match self {
            Self::Lambda => scenario,
            Self::Alb => scenario.on_alb(),
        }
    }

    pub fn rollout(self) -> Rollout {
        let mut rollout = rollout();
        rollout.spec.target = self.target();
        (rollout.baseline, rollout.canary) = (self.baseline(), self.canary());
        rollout.carried_by = (self == Self::Alb).then_some(10);
        rollout
    }
}

/// Each of these tests once on either kind of target.
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod on_lambda {
            $(#[test] fn $test() { super::$test(crate::sim::samples::On::Lambda); })+
        }
        mod on_alb {
            $(#[test] fn $test() { super::$test(crate::sim::samples::On::Alb); })+
        }
    };
}
pub(crate) use on_both;

pub fn target() -> Target {
    On::Lambda.target()
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
    world.write(&target(), &baseline(), None).unwrap();
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

/// What a stack asked for.
pub fn resource() -> Resource {
    let properties = json!({ "Function": "checkout", "Alias": "live", "Version": "42", "Spec": { "deadline": "1h" } });
    let caller = Caller {
        stack: "arn:aws:cloudformation:eu-west-1:111122223333:stack/shop/51af3dc0".to_owned(),
        logical: "Rollout".to_owned(),
        physical: "coalmine/Rollout/checkout:live".to_owned(),
        request: "request-1".to_owned(),
        url: "https://bucket.s3.amazonaws.com/key".to_owned(),
    };
    let kind = Kind::Update { from: Some(baseline()) };
    let wish = Wish::read(&properties).unwrap();
    let asked = Asked { kind, caller, wish, received: start(), signed: None, rewrites: false };
    Resource::asked_of(None, asked).unwrap()
}
