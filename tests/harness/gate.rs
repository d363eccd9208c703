//! What IAM does for a deployed function, which no emulator does: lets it ask what its role in the template allows, and
//! nothing else. What was asked is noted, so that a role has nothing that nobody needs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::Value;

use super::proxy::{self, Way};
use super::python::{python, support};
use super::serve::{Answer, Received, Server};

/// `handler action test`: which test shows that the handler needs the permission, or `attend_all` where the tick shows it and the
/// handler attends to rollouts by the same code; `start` where the command shows it. The template has these, and no others.
pub const NEEDED: &str = include_str!("../permissions.txt");

/// Stands before everything that one function is told to ask.
pub struct Gate {
    handler: &'static str,
    asked: Arc<Mutex<BTreeSet<String>>>,
    /// By the variable that tells the function of it.
    servers: BTreeMap<String, Server>,
}

impl Gate {
    /// Before the endpoints on 127.0.0.1 that an environment names.
    pub fn before(handler: &'static str, environment: &Value) -> Self {
        let asked = Arc::new(Mutex::new(BTreeSet::new()));
        let ports = environment.as_object().into_iter().flatten().filter_map(|(name, value)| {
            let is_endpoint = name.starts_with("AWS_ENDPOINT_URL");
            let port = value.as_str()?.strip_prefix("http://127.0.0.1:")?.trim_end_matches('/').parse().ok()?;
            is_endpoint.then(|| (name.clone(), port))
        });
        let server = |port: u16| {
            let asked = Arc::clone(&asked);
            Server::start(move |received| answer(handler, port, &asked, received))
        };
        let servers = ports.map(|(name, port)| (name, server(port))).collect();
        Self { handler, asked, servers }
    }

    /// Where the function is to ask instead.
    pub fn endpoints(&self) -> impl Iterator<Item = (&str, String)> {
        self.servers.iter().map(|(name, server)| (name.as_str(), format!("http://127.0.0.1:{}", server.port())))
    }

    /// What the function may not do and did, and what this test is to show and did not.
    pub fn wrong(&self) -> Vec<String> {
        let (handler, asked) = (self.handler, self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        let allowed = allowed(handler);
        let refused = asked.iter().filter(|action| !allowed.contains(*action));
        let refused = refused.map(|action| format!("the role of {handler} does not allow {action}"));
        let thread = std::thread::current();
        let test = thread.name().unwrap_or_default().rsplit("::").next().unwrap_or_default();
        let mut unseen = Vec::new();
        for (of, action, by) in needed() {
            if (of, by) == (handler, test) && !asked.contains(action) {
                unseen.push(format!("tests/permissions.txt: {test} does not show that {handler} needs {action}"));
            }
        }
        if let Some(path) = std::env::var_os("COALMINE_PERMISSIONS") {
            note(Path::new(&path), asked.iter().map(|action| format!("{handler} {action} {test}\n")).collect());
            return refused.collect();
        }
        refused.chain(unseen).collect()
    }
}

/// Handler, action, and the test that shows it.
pub fn needed() -> Vec<(&'static str, &'static str, &'static str)> {
    let words = NEEDED.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    words.map(|words| (words[0], words[1], words[2])).collect()
}

fn note(path: &Path, lines: String) {
    use std::io::Write;
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(lines.as_bytes())).expect("the named file can be written");
}

fn answer(handler: &str, port: u16, asked: &Mutex<BTreeSet<String>>, received: &Received) -> Answer {
    let (service, actions) = actions(received);
    asked.lock().unwrap_or_else(PoisonError::into_inner).extend(actions.iter().cloned());
    let recording = std::env::var_os("COALMINE_PERMISSIONS").is_some();
    if !recording && !actions.iter().all(|action| allowed(handler).contains(action)) {
        return proxy::refused::answer(received, &service, Way::Denied);
    }
    // A service that is away, or goes away, is a test's own affair.
    proxy::exchange(port, received).ok().flatten().map_or(Answer::Lost, Answer::Whole)
}

/// The service in its signature's words, and the permissions that IAM asks for.
fn actions(received: &Received) -> (String, Vec<String>) {
    let credential = received.header("authorization").and_then(|header| header.split("Credential=").nth(1));
    let service = credential.and_then(|scope| scope.split('/').nth(3)).unwrap_or_default().to_owned();
    let path = received.path.split('?').next().unwrap_or_default();
    let form = || received.text().split('&').find_map(|field| field.strip_prefix("Action="));
    let operations: Vec<String> = match (service.as_str(), received.header("x-amz-target")) {
        (_, Some(target)) if target.ends_with(".TransactWriteItems") => transaction(received),
        (_, Some(target)) => vec![target.rsplit('.').next().unwrap_or_default().to_owned()],
        ("lambda", None) => vec![of_lambda(&received.method, path)],
        ("scheduler", None) => match received.method.as_str() {
            "POST" => vec!["CreateSchedule".to_owned(), "iam:PassRole".to_owned()],
            "PUT" => vec!["UpdateSchedule".to_owned(), "iam:PassRole".to_owned()],
            "DELETE" => vec!["DeleteSchedule".to_owned()],
            other => vec![format!("{other} {path}")],
        },
        (_, None) => {
            let in_path = path.split_once("/operation/").map(|(_, operation)| operation);
            vec![in_path.or_else(form).unwrap_or(path).to_owned()]
        }
    };
    let prefix = if service == "monitoring" { "cloudwatch" } else { &service };
    let named = |name: String| if name.contains(':') { name } else { format!("{prefix}:{name}") };
    let actions = operations.into_iter().map(named).collect();
    (service, actions)
}

/// A transaction has no permission of its own: its parts have.
fn transaction(received: &Received) -> Vec<String> {
    let body: Value = serde_json::from_slice(&received.body).unwrap_or_default();
    let parts = body["TransactItems"].as_array().into_iter().flatten().filter_map(Value::as_object);
    let name =
        |kind: &String| if kind == "ConditionCheck" { "ConditionCheckItem".to_owned() } else { format!("{kind}Item") };
    parts.flat_map(|part| part.keys().map(name)).collect::<BTreeSet<_>>().into_iter().collect()
}

fn of_lambda(method: &str, path: &str) -> String {
    let kinds = ["aliases", "configuration", "provisioned-concurrency", "versions", "invocations", "tags"];
    let kind = path.split('/').rev().find(|part| kinds.contains(part)).unwrap_or_default();
    match (method, kind) {
        ("GET", "aliases") => "GetAlias",
        ("PUT", "aliases") => "UpdateAlias",
        ("GET", "configuration") => "GetFunctionConfiguration",
        ("GET", "provisioned-concurrency") => "GetProvisionedConcurrencyConfig",
        ("GET", "versions") => "ListVersionsByFunction",
        ("POST", "invocations") => "InvokeFunction",
        ("GET", "tags") => "ListTags",
        _ => return format!("{method} {path}"),
    }
    .to_owned()
}

/// What the template's role of a function allows.
pub fn allowed(handler: &str) -> &'static BTreeSet<String> {
    static ROLES: OnceLock<BTreeMap<String, BTreeSet<String>>> = OnceLock::new();
    static NONE: BTreeSet<String> = BTreeSet::new();
    ROLES.get_or_init(roles).get(handler).unwrap_or(&NONE)
}

fn roles() -> BTreeMap<String, BTreeSet<String>> {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("template.yaml");
    let output = Command::new(python()).arg(support("transform.py")).arg(template).output().expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plain: Value = serde_json::from_slice(&output.stdout).expect("the translator writes JSON");
    let resources = plain["Resources"].as_object().expect("there are resources");
    let functions = resources.values().filter(|one| one["Type"] == "AWS::Lambda::Function");
    let role = |function: &Value| {
        let properties = &function["Properties"];
        let role = &plain["Resources"][properties["Role"]["Fn::GetAtt"][0].as_str().expect("a role of the stack")];
        (properties["Handler"].as_str().expect("a handler").to_owned(), actions_of(role, &plain["Resources"]))
    };
    functions.map(role).collect()
}

/// Of a role's own policies and of the stack's that it names; those that a condition leaves out are among them.
fn actions_of(role: &Value, resources: &Value) -> BTreeSet<String> {
    let own = role["Properties"]["Policies"].as_array().into_iter().flatten();
    let named = role["Properties"]["ManagedPolicyArns"].as_array().into_iter().flatten();
    let named = named.filter_map(|policy| Some(&resources[policy["Ref"].as_str()?]["Properties"]));
    let statements = own.chain(named).filter_map(|policy| policy["PolicyDocument"]["Statement"].as_array()).flatten();
    let statements = statements.map(|one| one.get("Fn::If").map_or(one, |condition| &condition[1]));
    let actions = statements.flat_map(|statement| {
        let action = &statement["Action"];
        action.as_array().cloned().unwrap_or_else(|| vec![action.clone()])
    });
    actions.filter_map(|action| Some(action.as_str()?.to_owned())).collect()
}
