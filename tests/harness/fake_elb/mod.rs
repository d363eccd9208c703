//! An ELBv2 that refuses what the real one refuses and fails where a test tells it to. What it accepts it keeps as it
//! came, so that what a write leaves out is gone. It speaks the query protocol, and answers in JSON who asks for it.

mod operations;
mod rules;
pub(super) mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use super::serve::{Answer, Received, Server};

/// One thing that goes wrong with one call.
pub enum Trouble {
    /// Refused, nothing done.
    Throttled,
    /// A 500 answer, nothing done.
    Failed,
    /// Done, and the connection ends without an answer.
    Lost,
    /// Somebody else is quicker: runs just before the call.
    Before(Box<dyn FnOnce(&mut State) + Send>),
    /// Runs just after the call, before its answer arrives.
    After(Box<dyn FnOnce(&mut State) + Send>),
    /// All goes well: the trouble is with a later call.
    None,
}

/// A code and its message.
pub struct Refusal(pub &'static str, pub String);

/// A target in a group.
pub struct Registered {
    pub id: String,
    /// How often it is still seen in its first health checks.
    pub checks_left: u32,
    /// State and reason, where a test says them.
    pub says: Option<(&'static str, &'static str)>,
}

/// All that there is, in the form in which it is shown.
#[derive(Default)]
pub struct State {
    pub groups: Vec<Value>,
    pub attributes: BTreeMap<String, BTreeMap<String, String>>,
    pub targets: BTreeMap<String, Vec<Registered>>,
    pub balancers: Vec<Value>,
    pub listeners: Vec<Value>,
    /// Default rules included: a listener's default actions are its default rule's.
    pub rules: Vec<Value>,
    /// OIDC client secrets by rule: they are never shown.
    pub secrets: BTreeMap<String, String>,
    troubles: BTreeMap<&'static str, VecDeque<Trouble>>,
    calls: Vec<String>,
    made: u64,
}

impl State {
    /// As somebody else would; the actions of a rule, or of a listener's default rule.
    pub fn set_actions(&mut self, arn: &str, actions: &Value) {
        let rule = self.rules.iter_mut().find(|rule| rule["RuleArn"] == *arn || rule["Default"] == *arn);
        rule.expect("the rule is there")["Actions"] = rules::as_stored(actions);
    }

    /// Writes a call down; what goes wrong with it.
    fn noted(&mut self, action: &str) -> Trouble {
        self.calls.push(action.to_owned());
        self.troubles.get_mut(action).and_then(VecDeque::pop_front).unwrap_or(Trouble::None)
    }

    /// A resource's id.
    fn id(&mut self) -> String {
        self.made += 1;
        format!("{:016x}", 0x50dc_6c49_5c0c_0000 + self.made)
    }
}

pub struct FakeElb {
    state: Arc<Mutex<State>>,
    server: Server,
}

impl FakeElb {
    pub fn start() -> Self {
        Self::on(TcpListener::bind(("127.0.0.1", 0)).expect("a port is free"))
    }

    pub fn on(listener: TcpListener) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        Self { state, server: Server::on(listener, move |received| answer(&shared, received)) }
    }

    pub fn port(&self) -> u16 {
        self.server.port()
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no call panicked")
    }

    /// What goes wrong with the next calls of an operation, one after another.
    pub fn trouble(&self, operation: &'static str, troubles: impl IntoIterator<Item = Trouble>) {
        self.state().troubles.entry(operation).or_default().extend(troubles);
    }

    /// The operations called since the last time that this was asked.
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state().calls)
    }
}

fn answer(state: &Mutex<State>, received: &Received) -> Answer {
    if received.header("x-amz-target").is_some_and(|target| target.ends_with(".ListClusters")) {
        let body = json!({ "clusterArns": [] }).to_string();
        return Answer::Of { status: 200, content_type: "application/x-amz-json-1.1", body };
    }
    let form = wire::parse(received.text());
    let action = form["Action"].as_str().unwrap_or_default();
    let json = form["ContentType"] == "JSON";
    let locked = || state.lock().expect("no call panicked");
    let trouble = locked().noted(action);
    let done = |state: &mut State| match operations::run(state, action, &form) {
        Ok(result) => wire::succeeded(action, &result, json),
        Err(refusal) => wire::refused(400, &refusal, json),
    };
    match trouble {
        Trouble::None => done(&mut locked()),
        Trouble::Throttled => wire::refused(400, &Refusal("Throttling", "Rate exceeded".to_owned()), json),
        Trouble::Failed => wire::refused(500, &Refusal("InternalFailure", "try again".to_owned()), json),
        Trouble::Lost => {
            done(&mut locked());
            Answer::Lost
        }
        Trouble::Before(write) => {
            let mut state = locked();
            write(&mut state);
            done(&mut state)
        }
        Trouble::After(write) => {
            let mut state = locked();
            let answer = done(&mut state);
            write(&mut state);
            answer
        }
    }
}
