//! As [`super::Stage`], with two target groups behind a load balancer in place of a function's versions.

use std::ops::{Deref, DerefMut};

use coalmine_core::units::Minute;
use serde_json::{Value, json};

use super::cloud::Cloud;
use super::coalmine::{Coalmine, ENDS, with_fields};
use super::dice::Dice;
use super::emulator::Emulator;
use super::shop::{Elb, GROUPS, Shop};
use super::stage::{Served, Traffic, spread};

/// Blue is live and green is new, until a rollout has swapped them.
pub struct StageAlb {
    coalmine: Coalmine,
    pub shop: Shop,
    pub dice: Dice,
    /// Which of the groups is new.
    pub new: usize,
    /// Serves requests with response times, the new group's so many times as long.
    pub slower: Option<f64>,
    /// Runs as long as the stage.
    _moto: Option<Emulator>,
}

impl Deref for StageAlb {
    type Target = Coalmine;

    fn deref(&self) -> &Coalmine {
        &self.coalmine
    }
}

impl DerefMut for StageAlb {
    fn deref_mut(&mut self) -> &mut Coalmine {
        &mut self.coalmine
    }
}

impl StageAlb {
    /// On moto, with an hour of history: 2400 requests a minute, of which ten fail.
    pub fn set_up(seed: u64) -> Self {
        let stage = Self::without_history(seed);
        stage.put_history();
        stage
    }

    pub fn put_history(&self) {
        // Two minutes more: the last one is not closed yet, and the next may have begun before the first look.
        let served = [Served { requests: 2400, errors: 10 }, Served::default()];
        (1..=62).for_each(|ago| self.serve(self.minute.plus(-ago), served));
    }

    pub fn without_history(seed: u64) -> Self {
        Self::told(seed, Vec::new())
    }

    /// On moto, without history; what Coalmine's functions are told besides, which goes before.
    pub fn told(seed: u64, environment: Vec<(&'static str, String)>) -> Self {
        let moto = Emulator::moto();
        let elb = Elb::of_moto(&moto);
        let told = [elb.endpoints(), environment].concat();
        Self::install(elb, Some(moto), seed, told)
    }

    pub fn on(elb: Elb, moto: Option<Emulator>, seed: u64) -> Self {
        let told = elb.endpoints();
        Self::install(elb, moto, seed, told)
    }

    fn install(elb: Elb, moto: Option<Emulator>, seed: u64, told: Vec<(&'static str, String)>) -> Self {
        let coalmine = Coalmine::install(Cloud::start(), told);
        Self { coalmine, shop: Shop::open(elb), dice: Dice::new(seed), new: 1, slower: None, _moto: moto }
    }

    /// The spec of a rollout on the shop's rule, with more fields or others.
    pub fn spec(&self, fields: &Value) -> Value {
        self.spec_on(&json!({ "rule": self.shop.rule }), fields)
    }

    /// The spec of a rollout on other rules, or with more to say about them.
    pub fn spec_on(&self, target: &Value, fields: &Value) -> Value {
        let spec = json!({
            "coalmine": "v1", "name": self.rollout,
            "target": { "alb": with_fields(json!({ "targetGroups": GROUPS }), target) },
            "checks": [{ "errors": { "tolerate": "0.5pt" } }],
        });
        with_fields(spec, fields)
    }

    pub fn start(&self, fields: &Value) -> Value {
        self.start_spec(&self.spec(fields))
    }

    /// The new group's share of the requests behind the shop's rule.
    pub fn new_share(&self) -> f64 {
        let (new, old) = self.weights_of(&self.shop.rule);
        new as f64 / (new + old) as f64
    }

    /// The same in whole percent.
    pub fn new_percent(&self) -> u64 {
        self.new_percent_of(&self.shop.rule)
    }

    /// Behind this rule, or this listener's default action.
    pub fn new_percent_of(&self, arn: &str) -> u64 {
        let (new, old) = self.weights_of(arn);
        100 * new / (new + old)
    }

    fn weights_of(&self, arn: &str) -> (u64, u64) {
        let weights = self.shop.elb.weights(arn);
        let of = |group: usize| weights.get(GROUPS[group]).copied().unwrap_or_default();
        (of(self.new), of(1 - self.new))
    }

    /// Serves the running minute's traffic the way the shop's rule routes it, lets the minute pass, and ticks.
    pub fn pass(&mut self, traffic: &Traffic) -> Value {
        self.serve_as_routed(traffic);
        self.next()
    }

    pub fn serve_as_routed(&mut self, traffic: &Traffic) {
        let share = self.new_share();
        let new = self.dice.count(traffic.requests, share);
        let old = traffic.requests - new;
        let old = Served { requests: old, errors: self.dice.count(old, traffic.old_fails) };
        let new = Served { requests: new, errors: self.dice.count(new, traffic.new_fails) };
        self.serve(self.minute, [old, new]);
        if let Some(slower) = self.slower {
            let times = [(1 - self.new, old, 1.0), (self.new, new, slower)];
            let taken = times.map(|(group, served, times)| self.times(group, self.minute, served.requests, times));
            self.cloud.put_metrics("AWS/ApplicationELB", &taken.concat());
        }
    }

    /// Passes minutes until the rollout ends; panics when it does not within `limit`.
    pub fn pass_until_ended(&mut self, traffic: &Traffic, limit: u32) -> String {
        self.pass_until(traffic, limit, |phase| ENDS.contains(&phase))
    }

    pub fn pass_until(&mut self, traffic: &Traffic, limit: u32, wanted: impl Fn(&str) -> bool) -> String {
        for _ in 0..limit {
            self.pass(traffic);
            let phase = self.phase();
            if wanted(&phase) {
                return phase;
            }
        }
        panic!("not reached in {limit} minutes: {:#}", self.status());
    }

    /// Puts what the old and the new group served. A load balancer has no metric of a group without requests, and none
    /// of errors where there are none.
    pub fn serve(&self, minute: Minute, [old, new]: [Served; 2]) {
        let mut data = Vec::new();
        for (group, served) in [(1 - self.new, old), (self.new, new)] {
            for (metric, count) in [("RequestCount", served.requests), ("HTTPCode_Target_5XX_Count", served.errors)] {
                if count > 0 {
                    data.push(self.datum(group, minute, metric, &json!({ "Values": [1], "Counts": [count] })));
                }
            }
        }
        self.cloud.put_metrics("AWS/ApplicationELB", &data);
    }

    /// A minute of the past with response times.
    pub fn put_past(&mut self, ago: i64, served: Served) {
        let minute = self.minute.plus(-ago);
        self.serve(minute, [served, Served::default()]);
        let times = self.times(1 - self.new, minute, served.requests, 1.0);
        self.cloud.put_metrics("AWS/ApplicationELB", &times);
    }

    /// In seconds.
    fn times(&mut self, group: usize, minute: Minute, requests: u64, times: f64) -> Vec<Value> {
        let (values, counts) = spread(&mut self.dice, requests, 0.001 * times);
        if requests == 0 {
            return Vec::new();
        }
        vec![self.datum(group, minute, "TargetResponseTime", &json!({ "Values": values, "Counts": counts }))]
    }

    fn datum(&self, group: usize, minute: Minute, metric: &str, values: &Value) -> Value {
        group_datum(&self.shop.balancer, &self.shop.groups[group], minute, metric, values)
    }
}

/// One metric of a target group behind a load balancer, both by their ARNs.
pub fn group_datum(balancer: &str, group: &str, minute: Minute, metric: &str, values: &Value) -> Value {
    let after = |arn: &str, start: &str| arn.split_once(start).expect("it is an ARN of that kind").1.to_owned();
    let datum = json!({
        "MetricName": metric, "Timestamp": minute.start().epoch_seconds(),
        "Dimensions": [
            { "Name": "LoadBalancer", "Value": after(balancer, ":loadbalancer/") },
            { "Name": "TargetGroup", "Value": format!("targetgroup/{}", after(group, ":targetgroup/")) },
        ],
    });
    with_fields(datum, values)
}
