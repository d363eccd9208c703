//! Lambda's side of a function: a process of the real `bootstrap`, one event at a time, that can be killed at any moment.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::cloud::bootstrap;
use super::serve::{Answer, Received, Server};

/// As long as the functions of the template may take.
const TIMEOUT: Duration = Duration::from_secs(50);
/// How often a process is asked whether it still runs.
const LOOKS_APART: Duration = Duration::from_millis(2);

/// What became of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Answered(Value),
    /// The function's own error.
    Failed(Value),
    /// SIGKILL came before an answer, from outside or because time was over.
    Killed,
}

/// What a function is.
pub struct Function {
    pub handler: &'static str,
    pub environment: Vec<(String, String)>,
    /// Where its log goes.
    pub log: File,
}

/// An execution environment of a function.
pub struct Process {
    shared: Arc<Shared>,
    _runtime_api: Server,
}

/// Ends a process from another thread.
#[derive(Clone)]
pub struct Killer(Arc<Shared>);

struct Shared {
    child: Mutex<Option<Child>>,
    events: Mutex<Events>,
    changed: Condvar,
}

#[derive(Default)]
struct Events {
    number: u64,
    /// Not taken yet, with when it must be over, in milliseconds since 1970.
    next: Option<(Value, u128)>,
    outcome: Option<Outcome>,
    over: bool,
}

impl Process {
    /// A cold start.
    pub fn start(function: &Function) -> Self {
        let events = Mutex::new(Events::default());
        let shared = Arc::new(Shared { child: Mutex::new(None), events, changed: Condvar::new() });
        let answering = Arc::clone(&shared);
        let runtime_api = Server::start(move |received| answering.answer(received));
        let log = || Stdio::from(function.log.try_clone().expect("a log can be shared"));
        let child = Command::new(bootstrap())
            .env_clear()
            .envs(function.environment.iter().map(|(name, value)| (name, value)))
            .env("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{}", runtime_api.port()))
            .env("_HANDLER", function.handler)
            .envs([("AWS_LAMBDA_FUNCTION_NAME", function.handler), ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")])
            .envs([("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"), ("AWS_LAMBDA_LOG_GROUP_NAME", "log")])
            .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .spawn()
            .expect("the bootstrap runs");
        *shared.child.lock().expect("nobody panicked") = Some(child);
        Self { shared, _runtime_api: runtime_api }
    }

    pub fn killer(&self) -> Killer {
        Killer(Arc::clone(&self.shared))
    }

    /// Whether it can take an event.
    pub fn is_alive(&self) -> bool {
        !self.shared.events().over
    }

    /// Ends with an answer, or with the process.
    pub fn invoke(&self, event: &Value) -> Outcome {
        let until = Instant::now() + TIMEOUT;
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970") + TIMEOUT;
        let mut events = self.shared.events();
        events.number += 1;
        events.next = Some((event.clone(), deadline.as_millis()));
        events.outcome = None;
        self.shared.changed.notify_all();
        loop {
            if let Some(outcome) = events.outcome.take() {
                return outcome;
            }
            if events.over {
                return Outcome::Killed;
            }
            events = self.shared.changed.wait_timeout(events, LOOKS_APART).expect("nobody panicked").0;
            drop(events);
            self.shared.notice_its_end();
            if Instant::now() >= until {
                self.killer().kill();
            }
            events = self.shared.events();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.killer().kill();
    }
}

impl Killer {
    /// SIGKILL; after this call the process runs no more.
    pub fn kill(&self) {
        let child = self.0.child.lock().expect("nobody panicked").take();
        if let Some(mut child) = child {
            child.kill().expect("it is ours");
            child.wait().expect("it is ours");
        }
        self.0.end();
    }
}

impl Shared {
    fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().expect("nobody panicked")
    }

    fn end(&self) {
        self.events().over = true;
        self.changed.notify_all();
    }

    /// A process of Lambda's never ends by itself.
    fn notice_its_end(&self) {
        let mut child = self.child.lock().expect("nobody panicked");
        let ended = child.as_mut().and_then(|child| child.try_wait().expect("it is ours"));
        assert!(ended.is_none(), "the bootstrap ended by itself: {ended:?}");
    }

    /// The Runtime API.
    fn answer(&self, received: &Received) -> Answer {
        let path = received.path.as_str();
        if path.ends_with("/invocation/next") {
            return self.next();
        }
        let said = serde_json::from_slice(&received.body).unwrap_or(Value::Null);
        let outcome = if path.ends_with("/response") { Outcome::Answered(said) } else { Outcome::Failed(said) };
        self.events().outcome = Some(outcome);
        self.changed.notify_all();
        Answer::Of { status: 202, content_type: "application/json", body: "{}".to_owned() }
    }

    fn next(&self) -> Answer {
        let mut events = self.events();
        loop {
            if events.over {
                return Answer::Lost;
            }
            if let Some((event, deadline)) = events.next.take() {
                let (body, number) = (event.to_string(), events.number);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\
                     Lambda-Runtime-Aws-Request-Id: {number}\r\nLambda-Runtime-Deadline-Ms: {deadline}\r\n\
                     Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:000000000000:function:coalmine\r\n\r\n",
                    body.len()
                );
                return Answer::Whole([head, body].concat().into_bytes());
            }
            events = self.changed.wait(events).expect("nobody panicked");
        }
    }
}
