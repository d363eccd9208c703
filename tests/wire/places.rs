//! Where releases go: an alias of a function.

use coalmine_core::units::{Minute, Weight};
use serde_json::{Value, json};

use crate::harness::{Cloud, Dice, Live, Served, datums};

/// Requests of a minute, and the shares of them that fail.
const REQUESTS: u64 = 1800;
const FINE_FAILS: f64 = 0.004;
const BAD_FAILS: f64 = 0.3;

/// What has the traffic: one version, or two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub old: String,
    pub new: Option<(String, Weight)>,
}

/// A target of rollouts.
pub trait Place: Send + Sync {
    /// As Coalmine names the target.
    fn key(&self) -> String;
    fn alarm(&self) -> &str;
    /// The version that is live before any rollout.
    fn first(&self) -> &str;
    fn spec(&self, id: &str, canary: &str) -> Value;
    fn route(&self, cloud: &Cloud) -> Route;
    /// A version that was never released.
    fn another(&self, cloud: &Cloud, number: usize) -> String;
    fn put_past(&self, cloud: &Cloud, minute: Minute);
    fn serve(&self, cloud: &Cloud, minute: Minute, dice: &mut Dice, bad: &dyn Fn(&str) -> bool);
    /// What the dead man's switch calls.
    fn put_back(&self, cloud: &Cloud, input: &Value);
}

pub struct Alias {
    function: &'static str,
    alias: &'static str,
    alarm: String,
}

impl Alias {
    /// Version 1 is live.
    pub fn make(cloud: &Cloud, function: &'static str, alias: &'static str) -> Self {
        cloud.create_alias(function, alias, "1");
        Self { function, alias, alarm: format!("{function}-{alias}") }
    }

    fn dimensions(&self, version: Option<&str>) -> Value {
        let resource = format!("{}:{}", self.function, self.alias);
        match version {
            Some(version) => json!({ "Resource": resource, "ExecutedVersion": version }),
            None => json!({ "Resource": resource }),
        }
    }
}

impl Place for Alias {
    fn key(&self) -> String {
        format!("{}:{}", self.function, self.alias)
    }

    fn alarm(&self) -> &str {
        &self.alarm
    }

    fn first(&self) -> &str {
        "1"
    }

    fn spec(&self, id: &str, canary: &str) -> Value {
        json!({
            "coalmine": "v1", "name": id, "version": canary, "alarms": [self.alarm],
            "target": { "lambda": { "function": self.function, "alias": self.alias } },
        })
    }

    fn route(&self, cloud: &Cloud) -> Route {
        let Live { primary, additional } = cloud.live(self.function, self.alias);
        let weight = |share| Weight::from_share(share).expect("a share");
        Route { old: primary, new: additional.map(|(version, share)| (version, weight(share))) }
    }

    fn another(&self, cloud: &Cloud, number: usize) -> String {
        let version = cloud.publish(self.function, &format!("release {number}"));
        cloud.wait_for_state(self.function, &version, "Active");
        version
    }

    fn put_past(&self, cloud: &Cloud, minute: Minute) {
        let served = Served { requests: REQUESTS, errors: 7 };
        cloud.put_metrics("AWS/Lambda", &datums(self.function, minute, &self.dimensions(None), served));
    }

    fn serve(&self, cloud: &Cloud, minute: Minute, dice: &mut Dice, bad: &dyn Fn(&str) -> bool) {
        let Route { old, new } = self.route(cloud);
        let to_new = new.as_ref().map_or(0, |(_, weight)| dice.count(REQUESTS, weight.share()));
        let mut served = |version: &str, requests| {
            let fails = if bad(version) { BAD_FAILS } else { FINE_FAILS };
            Served { requests, errors: dice.count(requests, fails) }
        };
        let mut all = served(&old, REQUESTS - to_new);
        let mut data = Vec::new();
        // Lambda has metrics per version only where two share an alias.
        if let Some((new, _)) = &new {
            let of_new = served(new, to_new);
            data.extend(datums(self.function, minute, &self.dimensions(Some(&old)), all));
            data.extend(datums(self.function, minute, &self.dimensions(Some(new)), of_new));
            all = Served { requests: REQUESTS, errors: all.errors + of_new.errors };
        }
        data.extend(datums(self.function, minute, &self.dimensions(None), all));
        cloud.put_metrics("AWS/Lambda", &data);
    }

    fn put_back(&self, cloud: &Cloud, input: &Value) {
        cloud.update_alias(input);
    }
}
