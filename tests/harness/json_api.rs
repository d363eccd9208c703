//! A server for the JSON protocol of an API that the emulators lack. It fails on cue, and every request and every answer
//! is held against the service's own model.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use super::http::{self, Request};
use super::model;
use super::serve::{Answer, Received, Server};

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// What the server speaks for.
pub trait Api: Send + 'static {
    /// As botocore calls it.
    const SERVICE: &'static str;
    /// What its operations are prefixed with.
    const TARGET: &'static str;

    fn run(&mut self, operation: &str, input: &Value) -> Result<Value, Refused>;
}

/// A code and its message.
#[derive(Debug)]
pub struct Refused(pub &'static str, pub String);

/// One thing that goes wrong with a call.
#[derive(Clone)]
pub enum Mishap {
    /// Refused, nothing done; clients try again.
    Throttled,
    /// A 500 answer, nothing done; clients try again.
    Failed,
    /// Refused for want of a permission.
    Denied,
    /// Done, and the connection ends without an answer.
    Lost,
    /// Nothing done, and the connection ends without an answer.
    Dropped,
    /// Nothing done; this happens, and the connection ends without an answer.
    Meanwhile(Arc<dyn Fn() + Send + Sync>),
}

/// A call that arrived, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub operation: String,
    pub input: Value,
    /// The answer's status, or `None` where nothing was answered.
    pub status: Option<u16>,
}

struct Inner<A> {
    api: A,
    /// For the next calls of an operation, one after another.
    next: BTreeMap<String, VecDeque<Mishap>>,
    /// For every call of an operation.
    always: BTreeMap<String, Mishap>,
    calls: Vec<Call>,
    wrong: Vec<String>,
}

/// Runs until it is dropped, which fails the test if any exchange was against the model.
pub struct JsonApi<A: Api> {
    inner: Arc<Mutex<Inner<A>>>,
    server: Server,
}

impl<A: Api> JsonApi<A> {
    pub fn start(api: A) -> Self {
        let inner = Inner { api, next: BTreeMap::new(), always: BTreeMap::new(), calls: Vec::new(), wrong: Vec::new() };
        let inner = Arc::new(Mutex::new(inner));
        let shared = Arc::clone(&inner);
        Self { inner, server: Server::start(move |received| answer(&shared, received)) }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port())
    }

    pub fn port(&self) -> u16 {
        self.server.port()
    }

    fn inner(&self) -> MutexGuard<'_, Inner<A>> {
        self.inner.lock().expect("no call panicked")
    }

    /// Looks at the service's state, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut A) -> T) -> T {
        look(&mut self.inner().api)
    }

    /// What goes wrong with the next calls of an operation, one after another.
    pub fn trouble(&self, operation: &str, mishaps: impl IntoIterator<Item = Mishap>) {
        self.inner().next.entry(operation.to_owned()).or_default().extend(mishaps);
    }

    /// What goes wrong with every call of an operation, until it is [mended](Self::mend).
    pub fn break_down(&self, operation: &str, mishap: Mishap) {
        self.inner().always.insert(operation.to_owned(), mishap);
    }

    pub fn mend(&self) {
        let mut inner = self.inner();
        inner.always.clear();
        inner.next.clear();
    }

    /// All calls of an operation, oldest first.
    pub fn calls(&self, operation: &str) -> Vec<Call> {
        self.inner().calls.iter().filter(|call| call.operation == operation).cloned().collect()
    }

    /// The operations that were called, each once.
    pub fn operations(&self) -> Vec<String> {
        let mut operations: Vec<String> = self.inner().calls.iter().map(|call| call.operation.clone()).collect();
        operations.sort_unstable();
        operations.dedup();
        operations
    }

    /// As a client would, without an SDK; the status and the answer.
    pub fn call(&self, operation: &str, input: &Value) -> (u16, Value) {
        let (target, body) = (format!("{}.{operation}", A::TARGET), input.to_string());
        let (content_type, target) = (CONTENT_TYPE, Some(target.as_str()));
        let request = Request { method: "POST", path: "/", service: A::SERVICE, content_type, target, body: &body };
        let response = http::send(self.server.port(), &request);
        (response.status, response.body)
    }

    /// What was against the model so far, and is forgiven with that.
    pub fn take_wrong(&self) -> Vec<String> {
        std::mem::take(&mut self.inner().wrong)
    }
}

impl<A: Api> Drop for JsonApi<A> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let wrong = self.take_wrong();
            assert!(wrong.is_empty(), "{} was spoken wrongly: {wrong:#?}", A::SERVICE);
        }
    }
}

fn answer<A: Api>(inner: &Mutex<Inner<A>>, received: &Received) -> Answer {
    let locked = || inner.lock().expect("no call panicked");
    let target = received.header("x-amz-target").unwrap_or_default().to_owned();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    let input: Value = serde_json::from_slice(&received.body).unwrap_or(Value::Null);
    let mishap = locked().mishap(&operation);
    let (status, body) = locked().done(&operation, &input, mishap.as_ref());
    let exchange = json!({
        "service": A::SERVICE, "target": target, "contentType": received.header("content-type"),
        "request": input, "status": status.unwrap_or_default(), "answer": body,
    });
    let wrong = model::problems(&exchange);
    let record = || {
        let mut locked = locked();
        locked.wrong.extend(wrong);
        locked.calls.push(Call { operation, input, status });
    };
    record();
    // Last: whoever waits for what this brings about may look at the calls at once.
    if let Some(Mishap::Meanwhile(act)) = &mishap {
        act();
    }
    match status {
        Some(status) => Answer::Of { status, content_type: CONTENT_TYPE, body: body.to_string() },
        None => Answer::Lost,
    }
}

impl<A: Api> Inner<A> {
    fn mishap(&mut self, operation: &str) -> Option<Mishap> {
        let next = self.next.get_mut(operation).and_then(VecDeque::pop_front);
        next.or_else(|| self.always.get(operation).cloned())
    }

    /// The status, unless there is no answer, and the body.
    fn done(&mut self, operation: &str, input: &Value, mishap: Option<&Mishap>) -> (Option<u16>, Value) {
        let error = |code: &str, message: &str| json!({ "__type": code, "message": message });
        match mishap {
            Some(Mishap::Throttled) => (Some(400), error("ThrottlingException", "Rate exceeded")),
            Some(Mishap::Failed) => (Some(500), error("InternalFailure", "try again")),
            Some(Mishap::Denied) => (Some(400), error("AccessDeniedException", "User is not authorized")),
            Some(Mishap::Dropped | Mishap::Meanwhile(_)) => (None, Value::Null),
            Some(Mishap::Lost) | None => {
                let (status, body) = match self.api.run(operation, input) {
                    Ok(result) => (200, result),
                    Err(Refused(code, message)) => (400, error(code, &message)),
                };
                (mishap.is_none().then_some(status), body)
            }
        }
    }
}
