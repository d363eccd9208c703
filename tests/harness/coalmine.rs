//! Coalmine deployed into an emulated AWS, and time that passes a minute at a call.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use coalmine_core::units::{Minute, Timestamp};
use serde_json::{Value, json};

use super::cli::command_in;
use super::cloud::Cloud;
use super::gate::{self, Gate};
use super::iam::TABLE;
use super::scheduler::{SWITCH_ROLE, SWITCHES};

/// The phases that nothing follows.
pub const ENDS: [&str; 3] = ["promoted", "rolledBack", "superseded"];

pub struct Coalmine {
    pub cloud: Cloud,
    /// The minute that is running. Begins with the real one, because a tick of the past would be dropped.
    pub minute: Minute,
    /// The rollout that is asked about.
    pub rollout: String,
    /// What the functions are told more: where services are that are not the cloud's, and what a test wants.
    told: Vec<(&'static str, String)>,
    /// Functions that are there already.
    named: BTreeMap<&'static str, String>,
    /// What each function may ask.
    deployed: RefCell<BTreeMap<&'static str, Gate>>,
}

impl Coalmine {
    pub fn install(cloud: Cloud, told: Vec<(&'static str, String)>) -> Self {
        cloud.create_table(TABLE);
        cloud.scheduler().create_group(SWITCHES);
        Self {
            cloud,
            minute: this_minute(),
            rollout: "it".to_owned(),
            told,
            named: BTreeMap::new(),
            deployed: RefCell::default(),
        }
    }

    /// Makes one of Coalmine's functions; each is made when it is first needed, because it takes a while.
    pub fn deploy(&self, handler: &'static str) -> String {
        if let Some(name) = self.named.get(handler) {
            return name.clone();
        }
        let name = format!("coalmine-{handler}");
        if !self.deployed.borrow().contains_key(handler) {
            let mut environment = self.environment();
            let gate = Gate::before(handler, &environment);
            for (variable, endpoint) in gate.endpoints() {
                environment[variable] = endpoint.into();
            }
            self.cloud.create_bootstrap(&name, handler, &environment);
            self.deployed.borrow_mut().insert(handler, gate);
        }
        name
    }

    /// Has others do what functions of its own would.
    pub fn use_deployed(&mut self, functions: impl IntoIterator<Item = (&'static str, String)>) {
        self.named.extend(functions);
    }

    /// What Coalmine's functions are told.
    pub fn environment(&self) -> Value {
        let mut environment = json!({
            "COALMINE_TABLE": TABLE,
            "COALMINE_SWITCH_GROUP": SWITCHES,
            "COALMINE_SWITCH_ROLE_ARN": SWITCH_ROLE,
            "AWS_ENDPOINT_URL": self.cloud.endpoint(),
        });
        for (variable, value) in &self.told {
            environment[variable] = json!(value);
        }
        environment
    }

    /// The `coalmine` command with what is faked beside the cloud, for what it looks at itself.
    pub fn command_line(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = command_in(&self.cloud, arguments);
        let environment = self.environment();
        let endpoints = environment.as_object().into_iter().flatten().filter(|(name, _)| name.starts_with("AWS_"));
        command.envs(endpoints.filter_map(|(name, value)| Some((name, value.as_str()?))));
        command
    }

    /// What the command function answers, its errors included.
    pub fn command(&self, command: &Value) -> Value {
        self.invoke("command", command)
    }

    /// Starts a rollout that must not be refused.
    pub fn start_spec(&self, spec: &Value) -> Value {
        let started = self.command(&json!({ "command": "start", "spec": spec }));
        assert!(started.get("errors").is_none(), "{started}");
        started
    }

    pub fn status(&self) -> Value {
        self.command(&json!({ "command": "status", "rollout": self.rollout }))
    }

    pub fn phase(&self) -> String {
        let status = self.status();
        status["phase"]["name"].as_str().unwrap_or_else(|| panic!("no phase in {status}")).to_owned()
    }

    pub fn has_ended(&self) -> bool {
        ENDS.contains(&self.phase().as_str())
    }

    /// Everything that is stored.
    pub fn items(&self) -> Vec<Value> {
        self.cloud.items(TABLE)
    }

    pub fn invoke(&self, handler: &'static str, event: &Value) -> Value {
        self.try_invoke(handler, event).unwrap_or_else(|error| panic!("{handler} failed: {error}"))
    }

    /// What one of Coalmine's functions answers, or the error it ends with.
    pub fn try_invoke(&self, handler: &'static str, event: &Value) -> Result<Value, Value> {
        self.cloud.invoke(&self.deploy(handler), event)
    }

    /// A tick ten seconds into the running minute.
    pub fn tick(&self) -> Value {
        self.invoke("tick", &self.tick_event())
    }

    pub fn tick_event(&self) -> Value {
        let time = Timestamp::from_epoch_seconds(self.minute.start().epoch_seconds() + 10).to_string();
        json!({ "source": "aws.events", "detail-type": "Scheduled Event", "time": time, "detail": {} })
    }

    /// The same tick, delivered several times at once.
    pub fn tick_together(&self, times: usize) {
        let (name, event) = (self.deploy("tick"), self.tick_event());
        let cloud = &self.cloud;
        std::thread::scope(|scope| {
            for _ in 0..times {
                scope.spawn(|| cloud.invoke(&name, &event).expect("a tick that loses a race is no failure"));
            }
        });
    }

    /// Lets a minute pass in which no metric arrives, and ticks.
    pub fn next(&mut self) -> Value {
        self.minute = self.minute.plus(1);
        self.tick()
    }
}

impl Drop for Coalmine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let deployed = self.deployed.borrow();
        let mut wrong: Vec<String> = deployed.values().flat_map(Gate::wrong).collect();
        wrong.extend(gate::undeployed(deployed.keys()));
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// The real minute.
pub fn this_minute() -> Minute {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    Timestamp::from_epoch_seconds(i64::try_from(since.as_secs()).expect("before the year 292 billion")).minute()
}

/// A spec with more fields, or others.
pub fn with_fields(mut spec: Value, fields: &Value) -> Value {
    for (key, value) in fields.as_object().expect("fields are an object") {
        spec[key] = value.clone();
    }
    spec
}
