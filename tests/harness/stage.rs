//! A rollout's world: Coalmine deployed, a function to roll out, and traffic that obeys the alias.

use std::ops::{Deref, DerefMut};

use coalmine_core::units::Minute;
use serde_json::{Value, json};

use super::cloud::{Cloud, Live};
use super::coalmine::{Coalmine, ENDS, this_minute, with_fields};
use super::dice::Dice;
use super::fake_codedeploy::{CodeDeploy as FakedCodeDeploy, FakeCodeDeploy};

const FUNCTION: &str = "checkout";
const ALIAS: &str = "live";
/// Where the SDK finds CodeDeploy, which no emulator has.
pub const CODEDEPLOY: &str = "AWS_ENDPOINT_URL_CODEDEPLOY";

/// What comes in, minute by minute.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    pub requests: u64,
    /// Share of the requests that fail on the old version.
    pub old_fails: f64,
    /// And on the new one.
    pub new_fails: f64,
}

/// One version's minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    pub requests: u64,
    pub errors: u64,
}

/// Versions 1 (live) and 2 (new) of one function.
pub struct Stage {
    coalmine: Coalmine,
    pub dice: Dice,
    /// Runs as long as the stage.
    _codedeploy: Option<FakeCodeDeploy>,
}

impl Deref for Stage {
    type Target = Coalmine;

    fn deref(&self) -> &Coalmine {
        &self.coalmine
    }
}

impl DerefMut for Stage {
    fn deref_mut(&mut self) -> &mut Coalmine {
        &mut self.coalmine
    }
}

impl Stage {
    /// With an hour of history: 2400 requests a minute, of which ten fail.
    pub fn set_up(seed: u64) -> Self {
        Self::with_history(seed, Served { requests: 2400, errors: 10 })
    }

    /// With an hour of history of the old version, every minute the same.
    pub fn with_history(seed: u64, served: Served) -> Self {
        let stage = Self::without_history(seed);
        stage.put_history(served);
        stage
    }

    /// An hour of history of the old version, every minute the same.
    pub fn put_history(&self, served: Served) {
        // Two minutes more: the last one is not closed yet, and the next may have begun before the first look.
        let minutes = (1..=62).map(|ago| self.minute.plus(-ago));
        let data: Vec<Value> = minutes.flat_map(|minute| datums_alone(minute, served)).collect();
        self.cloud.put_metrics("AWS/Lambda", &data);
    }

    pub fn without_history(seed: u64) -> Self {
        Self::told(seed, Vec::new())
    }

    /// Without history; what Coalmine's functions are told besides where the cloud is.
    pub fn told(seed: u64, environment: Vec<(&'static str, String)>) -> Self {
        let cloud = Cloud::start();
        cloud.create_target(FUNCTION);
        let old = cloud.publish(FUNCTION, "old");
        cloud.create_alias(FUNCTION, ALIAS, &old);
        let new = cloud.publish(FUNCTION, "new");
        cloud.wait_for_state(FUNCTION, &new, "Active");
        // A start asks whether a deployment is shifting the alias. Here there are none.
        let quiet = !environment.iter().any(|(name, _)| *name == CODEDEPLOY);
        let codedeploy = quiet.then(|| FakeCodeDeploy::start(FakedCodeDeploy::at(this_minute().start())));
        let endpoint = codedeploy.as_ref().map(|fake| (CODEDEPLOY, fake.endpoint()));
        let coalmine = Coalmine::install(cloud, endpoint.into_iter().chain(environment).collect());
        Self { coalmine, dice: Dice::new(seed), _codedeploy: codedeploy }
    }

    /// The spec of a rollout of version 2, with more fields or others.
    pub fn spec(&self, fields: &Value) -> Value {
        let spec = json!({
            "coalmine": "v1", "name": "it", "version": "2",
            "target": { "lambda": { "function": FUNCTION, "alias": ALIAS } },
            "checks": [{ "errors": { "tolerate": "0.5pt" } }],
        });
        with_fields(spec, fields)
    }

    pub fn start(&self, fields: &Value) -> Value {
        self.start_spec(&self.spec(fields))
    }

    pub fn alias_revision(&self) -> String {
        self.cloud.alias_revision(FUNCTION, ALIAS)
    }

    pub fn live(&self) -> Live {
        self.cloud.live(FUNCTION, ALIAS)
    }

    /// Serves the running minute's traffic the way the alias routes it, lets the minute pass, and ticks.
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
        self.serve(old, new);
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

    /// The new version's share of the traffic right now.
    pub fn new_share(&self) -> f64 {
        match self.live() {
            Live { primary, additional: None } => f64::from(u8::from(primary == "2")),
            Live { primary, additional: Some((version, share)) } => {
                assert_eq!((primary.as_str(), version.as_str()), ("1", "2"));
                share
            }
        }
    }

    /// Puts what both versions served in the running minute. Lambda has metrics per version only where two share an
    /// alias, and an error metric of 0 or 1 for every invocation.
    pub fn serve(&self, old: Served, new: Served) {
        if self.live().additional.is_none() {
            let all = Served { requests: old.requests + new.requests, errors: old.errors + new.errors };
            return self.cloud.put_metrics("AWS/Lambda", &datums_alone(self.minute, all));
        }
        let mut data = Vec::new();
        for (version, served) in [("1", old), ("2", new)] {
            for dimensions in [json!({}), json!({ "Resource": resource() }), per_version(version)] {
                data.extend(datums(FUNCTION, self.minute, &dimensions, served));
            }
        }
        self.cloud.put_metrics("AWS/Lambda", &data);
    }

    /// As [`Self::serve_as_routed`], with durations; the new version's are so many times as long.
    pub fn serve_as_routed_taking(&mut self, traffic: &Traffic, slower: f64) {
        let (minute, share) = (self.minute, self.new_share());
        let new = self.dice.count(traffic.requests, share);
        let old = traffic.requests - new;
        let failed = (self.dice.count(old, traffic.old_fails), self.dice.count(new, traffic.new_fails));
        self.serve(Served { requests: old, errors: failed.0 }, Served { requests: new, errors: failed.1 });
        let mut data = Vec::new();
        for (version, requests, times) in [("1", old, 1.0), ("2", new, slower)] {
            let dimensions = [json!({ "Resource": resource() }), per_version(version)];
            let weighted = usize::from(self.live().additional.is_some());
            for dimensions in dimensions.iter().take(1 + weighted) {
                data.extend(durations(&mut self.dice, minute, dimensions, requests, times));
            }
        }
        self.cloud.put_metrics("AWS/Lambda", &data);
    }

    /// A minute of the past, with durations if they are so many times as long as usual.
    pub fn put_past(&self, ago: i64, served: Served, times: Option<f64>) {
        let minute = self.minute.plus(-ago);
        let mut data = datums_alone(minute, served);
        let mut dice = Dice::new(u64::try_from(ago).unwrap_or_default());
        let took = |times| durations(&mut dice, minute, &json!({ "Resource": resource() }), served.requests, times);
        data.extend(times.into_iter().flat_map(took));
        self.cloud.put_metrics("AWS/Lambda", &data);
    }

    /// What a version had of a minute of the past.
    pub fn put_version_alone(&self, version: &str, ago: i64, served: Served) {
        self.cloud.put_metrics("AWS/Lambda", &datums(FUNCTION, self.minute.plus(-ago), &per_version(version), served));
    }

    /// Traffic that goes around the alias.
    pub fn put_bypassing(&self, minute: Minute, served: Served) {
        self.cloud.put_metrics("AWS/Lambda", &datums(FUNCTION, minute, &json!({}), served));
    }
}

fn resource() -> String {
    format!("{FUNCTION}:{ALIAS}")
}

/// An alias that points to one version.
fn datums_alone(minute: Minute, served: Served) -> Vec<Value> {
    let mut data = datums(FUNCTION, minute, &json!({}), served);
    data.extend(datums(FUNCTION, minute, &json!({ "Resource": resource() }), served));
    data
}

fn per_version(version: &str) -> Value {
    json!({ "Resource": resource(), "ExecutedVersion": version })
}

/// `Duration` of one minute.
fn durations(dice: &mut Dice, minute: Minute, dimensions: &Value, requests: u64, times: f64) -> Vec<Value> {
    let (values, counts) = spread(dice, requests, times);
    let mut all = vec![json!({ "Name": "FunctionName", "Value": FUNCTION })];
    for (name, value) in dimensions.as_object().expect("dimensions are an object") {
        all.push(json!({ "Name": name, "Value": value }));
    }
    let datum = json!({
        "MetricName": "Duration", "Dimensions": all, "Timestamp": minute.start().epoch_seconds(),
        "Unit": "Milliseconds", "Values": values, "Counts": counts,
    });
    if requests == 0 { Vec::new() } else { vec![datum] }
}

/// How long the requests of a minute took, as values and their counts: as many different values as CloudWatch takes, from
/// 30 to 200 and more, so many times.
pub fn spread(dice: &mut Dice, requests: u64, times: f64) -> (Vec<f64>, Vec<u64>) {
    const VALUES: u32 = 100;
    let (mut left, mut values, mut counts) = (requests, Vec::new(), Vec::new());
    for place in 0..VALUES {
        let count = dice.count(left, 1.0 / f64::from(VALUES - place));
        left -= count;
        if count > 0 {
            let quantile = (f64::from(place) + 0.5) / f64::from(VALUES);
            values.push(80.0 * times * (0.35 * (quantile / (1.0 - quantile)).ln()).exp());
            counts.push(count);
        }
    }
    (values, counts)
}

/// `Invocations` and `Errors` of one minute of a function; nothing at all where nothing was served.
pub fn datums(function: &str, minute: Minute, dimensions: &Value, served: Served) -> Vec<Value> {
    if served.requests == 0 {
        return Vec::new();
    }
    let mut all = vec![json!({ "Name": "FunctionName", "Value": function })];
    for (name, value) in dimensions.as_object().expect("dimensions are an object") {
        all.push(json!({ "Name": name, "Value": value }));
    }
    let datum = |metric: &str, values: &[(u8, u64)]| {
        let seen: Vec<_> = values.iter().filter(|(_, count)| *count > 0).collect();
        json!({
            "MetricName": metric, "Dimensions": all, "Timestamp": minute.start().epoch_seconds(), "Unit": "Count",
            "Values": seen.iter().map(|(value, _)| value).collect::<Vec<_>>(),
            "Counts": seen.iter().map(|(_, count)| count).collect::<Vec<_>>(),
        })
    };
    let fine = served.requests - served.errors;
    vec![datum("Invocations", &[(1, served.requests)]), datum("Errors", &[(0, fine), (1, served.errors)])]
}
