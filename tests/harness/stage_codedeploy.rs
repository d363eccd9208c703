//! As [`super::Stage`], with CodeDeploy moving the alias. Nobody else may: a write that is not its own fails the test.

use std::ops::{Deref, DerefMut};

use coalmine_core::units::Timestamp;
use serde_json::{Value, json};

use super::cloud::Live;
use super::coalmine::this_minute;
use super::fake_codedeploy::{Act, CodeDeploy, FakeCodeDeploy, Request};
use super::stage::{CODEDEPLOY, Served, Stage, Traffic};

pub const LINEAR: &str = "CodeDeployDefault.LambdaLinear10PercentEvery1Minute";
pub const CANARY: &str = "CodeDeployDefault.LambdaCanary10Percent15Minutes";
pub const AT_ONCE: &str = "CodeDeployDefault.LambdaAllAtOnce";

/// Versions 1 (live) and 2 (to be deployed) of one function.
pub struct StageCodeDeploy {
    stage: Stage,
    pub codedeploy: FakeCodeDeploy,
    /// Whether EventBridge tells Coalmine how deployments change.
    pub tells_news: bool,
    /// What the hook function answered, the errors included; news among it.
    pub replies: Vec<Result<Value, Value>>,
    /// The alias' revision after the last write that was CodeDeploy's, or the test's.
    written: String,
}

impl Deref for StageCodeDeploy {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

impl DerefMut for StageCodeDeploy {
    fn deref_mut(&mut self) -> &mut Stage {
        &mut self.stage
    }
}

impl StageCodeDeploy {
    /// With an hour of history: 2400 requests a minute, of which ten fail.
    pub fn set_up(seed: u64) -> Self {
        Self::told(seed, Vec::new())
    }

    /// With the same history; what Coalmine's functions are told besides.
    pub fn told(seed: u64, environment: Vec<(&'static str, String)>) -> Self {
        let stage = Self::install(seed, environment);
        stage.put_history(Served { requests: 2400, errors: 10 });
        stage
    }

    pub fn without_history(seed: u64) -> Self {
        Self::install(seed, Vec::new())
    }

    fn install(seed: u64, environment: Vec<(&'static str, String)>) -> Self {
        let codedeploy = FakeCodeDeploy::start(CodeDeploy::at(this_minute().start()));
        let endpoint = (CODEDEPLOY, codedeploy.endpoint());
        let stage = Stage::told(seed, environment.into_iter().chain([endpoint]).collect());
        let written = stage.alias_revision();
        Self { stage, codedeploy, tells_news: true, replies: Vec::new(), written }
    }

    /// A deployment of version 2 over version 1.
    pub fn request(config: &str, hooks: [bool; 2]) -> Request {
        Request {
            function: "checkout".to_owned(),
            alias: "live".to_owned(),
            current: "1".to_owned(),
            target: "2".to_owned(),
            config: config.to_owned(),
            creator: "user",
            platform: "Lambda",
            hooks,
        }
    }

    /// Begins a deployment, which becomes the rollout that is asked about.
    pub fn release(&mut self, config: &str, hooks: [bool; 2]) -> String {
        self.begin(Self::request(config, hooks))
    }

    pub fn begin(&mut self, request: Request) -> String {
        let id = self.codedeploy.with(|codedeploy| codedeploy.create(request));
        self.stage.rollout.clone_from(&id);
        self.shift();
        id
    }

    /// When the running minute began.
    pub fn now(&self) -> Timestamp {
        self.minute.start()
    }

    /// CodeDeploy goes on as far as it can in this minute.
    pub fn shift(&mut self) {
        loop {
            let now = self.now();
            let acts = self.codedeploy.with(|codedeploy| codedeploy.step(now));
            if acts.is_empty() {
                return;
            }
            acts.into_iter().for_each(|act| self.act(act));
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Shift { deployment, percent } => self.set_weight(&deployment, percent),
            Act::Hook { deployment, execution } => {
                let payload = json!({ "DeploymentId": deployment, "LifecycleEventHookExecutionId": execution });
                let reply = self.try_invoke("hook", &payload);
                self.replies.push(reply);
            }
            Act::News { deployment, state } if self.tells_news => {
                let event = self.news(&deployment, state);
                let reply = self.try_invoke("hook", &event);
                self.replies.push(reply);
            }
            Act::News { .. } => {}
        }
    }

    /// As EventBridge tells it.
    pub fn news(&self, deployment: &str, state: &str) -> Value {
        let arn = "arn:aws:codedeploy:us-east-1:000000000000";
        json!({
            "version": "0", "id": "c071bfbf-83c4-49ca-a6ff-3df053957145", "account": "000000000000",
            "region": "us-east-1", "source": "aws.codedeploy",
            "detail-type": "CodeDeploy Deployment State-change Notification", "time": self.now().to_string(),
            "resources": [
                format!("{arn}:application:checkout-app"),
                format!("{arn}:deploymentgroup:checkout-app/checkout-group"),
            ],
            "detail": {
                "instanceGroupId": "9fd2fbef-2157-40d8-91e7-6845af69e2d2", "region": "us-east-1",
                "application": "checkout-app", "deploymentId": deployment, "state": state,
                "deploymentGroup": "checkout-group",
            },
        })
    }

    fn set_weight(&mut self, deployment: &str, percent: u32) {
        self.assert_untouched();
        let request =
            self.codedeploy.with(|all| all.find(deployment).expect("it acts, so it is there").request.clone());
        let Request { function, alias, current, target, .. } = request;
        let share = f64::from(percent) / 100.0;
        let live = if percent == 100 { Live::only(&target) } else { Live::with(&current, &target, share) };
        self.cloud.set_alias(&function, &alias, &live);
        self.written = self.alias_revision();
    }

    /// Coalmine never writes an alias that CodeDeploy moves.
    pub fn assert_untouched(&self) {
        assert_eq!(self.alias_revision(), self.written, "somebody but CodeDeploy wrote the alias");
    }

    /// Serves the running minute's traffic the way the alias routes it, lets the minute pass, has CodeDeploy go on, and
    /// ticks.
    pub fn pass(&mut self, traffic: &Traffic) -> Value {
        self.stage.serve_as_routed(traffic);
        self.pass_without_traffic()
    }

    pub fn pass_without_traffic(&mut self) -> Value {
        self.stage.minute = self.stage.minute.plus(1);
        self.shift();
        let report = self.tick();
        self.assert_untouched();
        report
    }

    /// Passes minutes until it is so; panics when it is not within `limit`.
    pub fn pass_until(&mut self, traffic: &Traffic, limit: u32, wanted: impl Fn(&Self) -> bool) -> u32 {
        for passed in 1..=limit {
            self.pass(traffic);
            if wanted(self) {
                return passed;
            }
        }
        panic!(
            "not reached in {limit} minutes: {:#}\n{:#?}",
            self.status(),
            self.codedeploy.with(|all| format!("{all:#?}"))
        );
    }

    /// Whether it goes on.
    pub fn runs(&self, id: &str) -> bool {
        ["Created", "InProgress", "Stopping"].contains(&self.deployment(id))
    }

    /// A deployment's status.
    pub fn deployment(&self, id: &str) -> &'static str {
        self.codedeploy.with(|codedeploy| codedeploy.find(id).expect("it is there").status)
    }

    /// What its hooks were answered, each with its event.
    pub fn answers(&self, id: &str) -> Vec<(&'static str, String)> {
        self.codedeploy.with(|codedeploy| codedeploy.find(id).expect("it is there").answers.clone())
    }

    /// The deployment that put the traffic back.
    pub fn rolled_back_by(&self, id: &str) -> String {
        let other = self.codedeploy.with(|codedeploy| codedeploy.find(id).expect("it is there").rolled_back_by.clone());
        other.unwrap_or_else(|| panic!("nothing rolled {id} back"))
    }
}
