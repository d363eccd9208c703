//! Amazon ECS for one service behind a load balancer: deployments that a test's clock drives, lifecycle hooks that are
//! called until they have an answer, and just the calls that Coalmine makes. It writes no rule itself: it says what is to
//! be done, and the stage does it.

mod operations;

use coalmine_core::units::{Span, Timestamp};
use serde_json::{Value, json};

use super::json_api::{Api, JsonApi, Refused};

pub type FakeEcs = JsonApi<Ecs>;

const PREFIX: &str = "arn:aws:ecs:us-east-1:123456789012";
pub const CLUSTER: &str = "prod";
pub const SERVICE: &str = "cart";

/// How traffic shifts: percent and minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    BlueGreen,
    Canary { percent: u32, minutes: u64 },
    Linear { percent: u32, minutes: u64 },
}

/// One thing that a deployment does, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A stage that may have a hook.
    Stage(&'static str),
    /// The new revision gets so many percent; then the stage's hook is called.
    Shift(u32),
    Bake(Span),
}

/// What the service has behind its load balancer.
#[derive(Debug, Clone, Default)]
pub struct Balancing {
    pub rule: String,
    /// The group that has the traffic, and the one that the next revision gets.
    pub groups: [String; 2],
}

#[derive(Debug)]
pub struct ServiceDeployment {
    pub arn: String,
    pub strategy: Strategy,
    pub status: &'static str,
    /// Percent of the production traffic on the new revision.
    pub weight: u32,
    /// The revisions: the old one and the new one.
    pub revisions: [String; 2],
    /// Stages that call the hook.
    pub hooks: Vec<&'static str>,
    pub why: String,
    /// What the hook is to be given, by its last answer or from the start.
    pub details: Value,
    created: Timestamp,
    finished: Option<Timestamp>,
    parts: Vec<Part>,
    part: usize,
    /// Since when the part lasts.
    since: Timestamp,
    /// When the hook is to be called in this part; `None` once it has answered.
    calls_at: Option<Timestamp>,
    begun: bool,
}

/// What ECS does to the rest of the world.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Percent of the production traffic that the new revision gets.
    Shift(u32),
    /// The hook is called with this and its answer taken with [`Ecs::answered`].
    Hook(Value),
}

#[derive(Debug)]
pub struct Ecs {
    pub balancing: Balancing,
    pub deployments: Vec<ServiceDeployment>,
    /// Of the service.
    pub tags: Vec<(String, String)>,
    now: Timestamp,
}

impl Ecs {
    pub fn at(now: Timestamp) -> Self {
        Self { balancing: Balancing::default(), deployments: Vec::new(), tags: Vec::new(), now }
    }

    /// Begins with the next [step](Self::step). Its ARN.
    pub fn deploy(&mut self, strategy: Strategy, hooks: &[&'static str], details: Value) -> String {
        let number = self.deployments.len() + 1;
        let arn = format!("{PREFIX}:service-deployment/{CLUSTER}/{SERVICE}/TESTdeployment{number:07}");
        let revision =
            |number: usize| format!("{PREFIX}:service-revision/{CLUSTER}/{SERVICE}/{:019}", 1_000_000 + number);
        self.deployments.push(ServiceDeployment {
            arn: arn.clone(),
            strategy,
            status: "PENDING",
            weight: 0,
            revisions: [revision(number), revision(number + 1)],
            hooks: hooks.to_vec(),
            why: String::new(),
            details,
            created: self.now,
            finished: None,
            parts: parts(strategy),
            part: 0,
            since: self.now,
            calls_at: None,
            begun: false,
        });
        arn
    }

    pub fn last(&self) -> Option<&ServiceDeployment> {
        self.deployments.last()
    }

    /// Goes on to the next thing that somebody else has to do, if there is one now.
    pub fn step(&mut self, now: Timestamp) -> Option<Act> {
        self.now = now;
        self.deployments.last_mut()?.step(now)
    }

    /// What the hook answered to its last call; an error is `None`.
    pub fn answered(&mut self, reply: Option<&Value>) {
        let now = self.now;
        if let Some(deployment) = self.deployments.last_mut() {
            deployment.answered(reply, now);
        }
    }
}

/// The stages of a deployment, with a shift after every `PRE_PRODUCTION_TRAFFIC_SHIFT`.
fn parts(strategy: Strategy) -> Vec<Part> {
    let scaling = ["RECONCILE_SERVICE", "PRE_SCALE_UP", "SCALE_UP", "POST_SCALE_UP"];
    let testing = ["TEST_TRAFFIC_SHIFT", "POST_TEST_TRAFFIC_SHIFT"];
    let mut parts: Vec<Part> = scaling.into_iter().chain(testing).map(Part::Stage).collect();
    let (weights, minutes): (Vec<u32>, u64) = match strategy {
        Strategy::BlueGreen => (Vec::new(), 0),
        Strategy::Canary { percent, minutes } => (vec![percent], minutes),
        Strategy::Linear { percent, minutes } => {
            ((1..).map(|n| n * percent).take_while(|w| *w < 100).collect(), minutes)
        }
    };
    for weight in weights {
        let stage = [Part::Stage("PRE_PRODUCTION_TRAFFIC_SHIFT"), Part::Shift(weight)];
        parts.extend(stage.into_iter().chain([Part::Bake(Span::from_minutes(minutes))]));
    }
    parts.extend([Part::Stage("PRE_PRODUCTION_TRAFFIC_SHIFT"), Part::Shift(100)]);
    parts.extend([Part::Stage("POST_PRODUCTION_TRAFFIC_SHIFT"), Part::Bake(Span::from_minutes(2))]);
    parts.push(Part::Stage("CLEAN_UP"));
    parts
}

impl ServiceDeployment {
    /// As the service calls it now.
    pub fn stage(&self) -> &'static str {
        match self.parts.get(self.part) {
            Some(Part::Stage(stage)) => stage,
            Some(Part::Shift(_)) => "PRODUCTION_TRAFFIC_SHIFT",
            Some(Part::Bake(_)) if self.weight < 100 => "PRODUCTION_TRAFFIC_SHIFT",
            Some(Part::Bake(_)) => "BAKE_TIME",
            None => "CLEAN_UP",
        }
    }

    fn step(&mut self, now: Timestamp) -> Option<Act> {
        if self.status == "PENDING" {
            self.status = "IN_PROGRESS";
            self.since = now;
        }
        while ["IN_PROGRESS", "ROLLBACK_IN_PROGRESS"].contains(&self.status) {
            let Some(part) = self.parts.get(self.part).copied() else {
                self.end(now);
                return None;
            };
            if !self.begun {
                self.begun = true;
                self.calls_at = self.hooks.contains(&self.stage()).then_some(now);
                if let Part::Bake(_) = part {
                    self.calls_at = None;
                }
                if let Part::Shift(percent) = part {
                    self.weight = percent;
                    return Some(Act::Shift(percent));
                }
            }
            match self.calls_at {
                Some(at) if at <= now => return Some(Act::Hook(self.payload())),
                Some(_) => return None,
                None => {}
            }
            if matches!(part, Part::Bake(time) if now.since(self.since) < time) {
                return None;
            }
            (self.part, self.since, self.begun) = (self.part + 1, now, false);
        }
        None
    }

    fn end(&mut self, now: Timestamp) {
        self.status = if self.status == "IN_PROGRESS" { "SUCCESSFUL" } else { "ROLLBACK_SUCCESSFUL" };
        self.finished = Some(now);
    }

    fn answered(&mut self, reply: Option<&Value>, now: Timestamp) {
        let status = reply.and_then(|reply| reply["hookStatus"].as_str());
        match status {
            Some("SUCCEEDED") => self.calls_at = None,
            Some("IN_PROGRESS") => {
                let reply = reply.expect("it has a status");
                if !reply["hookDetails"].is_null() {
                    self.details = reply["hookDetails"].clone();
                }
                let delay = reply["callBackDelay"].as_u64().unwrap_or(30);
                self.calls_at = Some(now + Span::from_seconds(delay));
            }
            // Errors, and answers without a status, count as failures.
            other => self.roll_back(now, &format!("the hook of {} answered {other:?}", self.stage())),
        }
    }

    /// The traffic goes back at once; the hook of that stage is called once more.
    fn roll_back(&mut self, now: Timestamp, why: &str) {
        if self.status == "ROLLBACK_IN_PROGRESS" {
            self.calls_at = None;
            return;
        }
        (self.status, self.why) = ("ROLLBACK_IN_PROGRESS", why.to_owned());
        (self.parts, self.part, self.since, self.begun) = (vec![Part::Shift(0)], 0, now, false);
        self.calls_at = None;
    }

    fn has_ended(&self) -> bool {
        self.finished.is_some()
    }

    /// What the hook is called with.
    pub fn payload(&self) -> Value {
        let [old, new] = &self.revisions;
        // Some stages tell none.
        let told = !["PRE_SCALE_UP", "POST_SCALE_UP", "POST_TEST_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT"]
            .contains(&self.stage());
        let weights = |percent: u32| if told { json!({ new: percent, old: 100 - percent }) } else { json!({}) };
        let mut payload = json!({
            "executionId": "0f2c5a7e-4b5d-4d0e-9a53-6a7f7a3f3a11", "lifecycleStage": self.stage(),
            "resourceArn": self.arn,
            "executionDetails": {
                "serviceArn": service_arn(), "targetServiceRevisionArn": new,
                "testTrafficWeights": weights(100), "productionTrafficWeights": weights(self.weight),
            },
        });
        if !self.details.is_null() {
            payload["hookDetails"] = self.details.clone();
        }
        payload
    }
}

pub fn service_arn() -> String {
    format!("{PREFIX}:service/{CLUSTER}/{SERVICE}")
}

fn cluster_arn() -> String {
    format!("{PREFIX}:cluster/{CLUSTER}")
}

impl Api for Ecs {
    const SERVICE: &'static str = "ecs";
    const TARGET: &'static str = "AmazonEC2ContainerServiceV20141113";

    fn run(&mut self, operation: &str, input: &Value) -> Result<Value, Refused> {
        operations::run(self, operation, input)
    }
}
