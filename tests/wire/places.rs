//! Where releases go: an alias of a function, or two target groups behind a load balancer.

use coalmine_core::units::{Minute, Weight};
use serde_json::{Value, json};

use crate::harness::{Cloud, Dice, Elb, Live, Served, Shop, datums, group_datum, with_fields};

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
    /// A version that was never released, if there is room for one.
    fn another(&self, cloud: &Cloud, number: usize) -> Option<String>;
    fn put_past(&self, cloud: &Cloud, minute: Minute);
    fn serve(&self, cloud: &Cloud, minute: Minute, dice: &mut Dice, bad: &dyn Fn(&str) -> bool);
    /// How many schedules are a dead man's switch here.
    fn switches(&self) -> usize;
    /// What a schedule calls, and with what.
    fn put_back(&self, cloud: &Cloud, call: &str, input: &Value);
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

    fn another(&self, cloud: &Cloud, number: usize) -> Option<String> {
        let version = cloud.publish(self.function, &format!("release {number}"));
        cloud.wait_for_state(self.function, &version, "Active");
        Some(version)
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

    fn switches(&self) -> usize {
        1
    }

    fn put_back(&self, cloud: &Cloud, _call: &str, input: &Value) {
        cloud.update_alias(input);
    }
}

/// A rule and a listener's default action, both with all traffic on a blue group. There is room for one release, to a green
/// one.
pub struct Pair {
    elb: Elb,
    balancer: String,
    parts: [String; 2],
    names: [String; 2],
    /// Blue's ARN and green's.
    groups: [String; 2],
    alarm: String,
    released: std::sync::atomic::AtomicBool,
}

impl Pair {
    /// On a fake at this port; `number` tells pairs behind a load balancer apart.
    pub fn make(port: u16, balancer: &str, number: u16) -> Self {
        let elb = Elb::at(port);
        let names = ["blue", "green"].map(|colour| format!("{colour}-{number}"));
        let groups = [0, 1].map(|place: usize| {
            let arn = elb.create_group(&names[place], &json!({}));
            elb.register(&arn, &Shop::addresses(place));
            arn
        });
        let to_blue = json!([Shop::forward(&[(&groups[0], 1)])]);
        let listener = elb.create_listener(balancer, 80 + number, &to_blue);
        let rule = elb.create_rule(&listener, 10, "/shop/*", &to_blue);
        let (balancer, alarm, released) = (balancer.to_owned(), format!("pair-{number}"), false.into());
        Self { elb, balancer, parts: [rule, listener], names, groups, alarm, released }
    }

    /// Green's share behind the rule and behind the listener.
    fn shares(&self) -> [Weight; 2] {
        self.parts.each_ref().map(|arn| {
            let weights = self.elb.weights(arn);
            let [blue, green] = self.names.each_ref().map(|name| weights.get(name).copied().unwrap_or_default());
            Weight::from_share(green as f64 / (blue + green) as f64).expect("a share")
        })
    }

    fn put(&self, cloud: &Cloud, minute: Minute, group: usize, served: Served) {
        let counts = [("RequestCount", served.requests), ("HTTPCode_Target_5XX_Count", served.errors)];
        let datum = |(metric, count)| {
            let values = json!({ "Values": [1], "Counts": [count] });
            group_datum(&self.balancer, &self.groups[group], minute, metric, &values)
        };
        // A load balancer has no metric of what did not happen.
        let data: Vec<Value> = counts.into_iter().filter(|(_, count)| *count > 0).map(datum).collect();
        if !data.is_empty() {
            cloud.put_metrics("AWS/ApplicationELB", &data);
        }
    }
}

impl Place for Pair {
    fn key(&self) -> String {
        self.names.join(" and ")
    }

    fn alarm(&self) -> &str {
        &self.alarm
    }

    fn first(&self) -> &str {
        &self.groups[0]
    }

    fn spec(&self, id: &str, _canary: &str) -> Value {
        let target = json!({ "targetGroups": self.names, "rule": self.parts[0], "listener": self.parts[1] });
        let spec = json!({ "coalmine": "v1", "name": id, "alarms": [self.alarm] });
        with_fields(spec, &json!({ "target": { "alb": target } }))
    }

    /// The larger share, where the parts differ.
    fn route(&self, _cloud: &Cloud) -> Route {
        let [blue, green] = self.groups.clone();
        match self.shares() {
            [Weight::ZERO, Weight::ZERO] => Route { old: blue, new: None },
            [Weight::FULL, Weight::FULL] => Route { old: green, new: None },
            [one, other] => Route { old: blue, new: Some((green, one.max(other))) },
        }
    }

    fn another(&self, _cloud: &Cloud, _number: usize) -> Option<String> {
        let first = !self.released.swap(true, std::sync::atomic::Ordering::Relaxed);
        first.then(|| self.groups[1].clone())
    }

    fn put_past(&self, cloud: &Cloud, minute: Minute) {
        self.put(cloud, minute, 0, Served { requests: REQUESTS, errors: 7 });
    }

    fn serve(&self, cloud: &Cloud, minute: Minute, dice: &mut Dice, bad: &dyn Fn(&str) -> bool) {
        let mut served = [Served::default(); 2];
        for share in self.shares() {
            let to_green = dice.count(REQUESTS / 2, share.share());
            served[0].requests += REQUESTS / 2 - to_green;
            served[1].requests += to_green;
        }
        for (group, served) in served.iter_mut().enumerate() {
            let fails = if bad(&self.groups[group]) { BAD_FAILS } else { FINE_FAILS };
            served.errors = dice.count(served.requests, fails);
            self.put(cloud, minute, group, *served);
        }
    }

    fn switches(&self) -> usize {
        self.parts.len()
    }

    fn put_back(&self, _cloud: &Cloud, call: &str, input: &Value) {
        let operation = if call.ends_with(":modifyRule") { "ModifyRule" } else { "ModifyListener" };
        self.elb.call(operation, input);
    }
}
