//! What IAM does for a deployed function, which no emulator does: lets it ask what its role in the template allows, and
//! nothing else. What was asked is noted, so that a role has nothing that nobody needs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::iam::{self, Parameters, Permission};
use super::proxy::{self, Way};
use super::serve::{Answer, Received, Server};

/// `handler action test`: which test shows that the handler needs the permission, or `attend_all` where the tick shows it and the
/// handler attends to rollouts by the same code; `start` where the command shows it. The template has these, and no others.
pub const NEEDED: &str = include_str!("../permissions.txt");

/// Where the emulated cloud is.
const HERE: &str = "us-east-1:000000000000";

/// Stands before everything that one function is told to ask.
pub struct Gate {
    handler: &'static str,
    asked: Arc<Mutex<Asked>>,
    /// By the variable that tells the function of it.
    servers: BTreeMap<String, Server>,
}

/// What a function asked, and what of it its role does not allow.
#[derive(Default)]
struct Asked {
    actions: BTreeSet<String>,
    denied: BTreeSet<String>,
}

impl Gate {
    /// Before the endpoints on 127.0.0.1 that an environment names.
    pub fn before(handler: &'static str, environment: &Value) -> Self {
        let asked = Arc::new(Mutex::new(Asked::default()));
        let ports = environment.as_object().into_iter().flatten().filter_map(|(name, value)| {
            let is_endpoint = name.starts_with("AWS_ENDPOINT_URL");
            let port = value.as_str()?.strip_prefix("http://127.0.0.1:")?.trim_end_matches('/').parse().ok()?;
            is_endpoint.then(|| (name.clone(), port))
        });
        let told = |name: &str| environment[name].as_str().unwrap_or_default().to_owned();
        let parameters = Parameters {
            event_bus: told("COALMINE_EVENT_BUS"),
            topic: told("COALMINE_TOPIC_ARN"),
            reports_bucket: told("COALMINE_REPORTS_BUCKET"),
            reports_prefix: Some(told("COALMINE_REPORTS_PREFIX"))
                .filter(|told| !told.is_empty())
                .unwrap_or("coalmine".to_owned()),
        };
        let server = |port: u16| {
            let (asked, parameters) = (Arc::clone(&asked), parameters.clone());
            Server::start(move |received| answer(handler, port, &asked, &parameters, received))
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
        let refused = asked.denied.iter().map(|denied| format!("the role of {handler} does not allow {denied}"));
        let test = this_test();
        if let Some(path) = std::env::var_os("COALMINE_PERMISSIONS") {
            let line = |action: &String| format!("{handler} {action} {test}\n");
            note(Path::new(&path), asked.actions.iter().map(line).collect());
            return refused.collect();
        }
        let unseen = shown_by(&test).filter(|(of, action)| *of == handler && !asked.actions.contains(*action));
        refused.chain(unseen.map(|(_, action)| unshown(&test, handler, action))).collect()
    }
}

/// What this test is to show of functions that it did not even deploy.
pub fn undeployed<'a>(deployed: impl Iterator<Item = &'a &'static str>) -> Vec<String> {
    if std::env::var_os("COALMINE_PERMISSIONS").is_some() {
        return Vec::new();
    }
    let (deployed, test): (BTreeSet<&str>, _) = (deployed.copied().collect(), this_test());
    let missing = shown_by(&test).filter(|(handler, _)| !deployed.contains(handler));
    missing.map(|(handler, action)| unshown(&test, handler, action)).collect()
}

fn unshown(test: &str, handler: &str, action: &str) -> String {
    format!("tests/permissions.txt: {test} does not show that {handler} needs {action}")
}

/// Handlers and actions.
fn shown_by(test: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    needed().into_iter().filter(move |(.., by)| *by == test).map(|(handler, action, _)| (handler, action))
}

fn this_test() -> String {
    let thread = std::thread::current();
    thread.name().unwrap_or_default().rsplit("::").next().unwrap_or_default().to_owned()
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

fn answer(handler: &str, port: u16, asked: &Mutex<Asked>, parameters: &Parameters, received: &Received) -> Answer {
    let (service, permissions) = permissions(received);
    let denied: Vec<String> = permissions
        .iter()
        .filter(|permission| !iam::allows(handler, permission, parameters))
        .map(|permission| format!("{} on {} with {:?}", permission.action, permission.resource, permission.keys))
        .collect();
    let is_allowed = denied.is_empty() && !permissions.is_empty();
    let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    asked.actions.extend(permissions.into_iter().map(|permission| permission.action));
    asked.denied.extend(denied);
    drop(asked);
    if std::env::var_os("COALMINE_PERMISSIONS").is_none() && !is_allowed {
        return proxy::refused::answer(received, &service, Way::Denied);
    }
    // A service that is away, or goes away, is a test's own affair.
    proxy::exchange(port, received).ok().flatten().map_or(Answer::Lost, Answer::Whole)
}

/// The service in its signature's words, and the permissions that IAM asks for.
fn permissions(received: &Received) -> (String, Vec<Permission>) {
    let credential = received.header("authorization").and_then(|header| header.split("Credential=").nth(1));
    let service = credential.and_then(|scope| scope.split('/').nth(3)).unwrap_or_default().to_owned();
    let (path, query) = received.path.split_once('?').unwrap_or((&received.path, ""));
    let body: Value = serde_json::from_slice(&received.body).unwrap_or_default();
    let target = received.header("x-amz-target").map(|target| target.rsplit('.').next().unwrap_or_default());
    let found = match (service.as_str(), target) {
        ("dynamodb", Some(operation)) => of_dynamodb(operation, &body),
        ("lambda", None) => of_lambda(&received.method, path, query),
        // The path is that of an endpoint of one's own: the bucket, then the key.
        ("s3", None) if received.method == "PUT" => {
            vec![on("s3:PutObject", &format!("arn:aws:s3:::{}", decoded(path.trim_start_matches('/'))))]
        }
        ("scheduler", None) => of_scheduler(&received.method, path, query, &body),
        ("ecs", Some(operation)) => {
            let lists =
                ["serviceDeploymentArns", "serviceRevisionArns"].iter().filter_map(|name| body[*name].as_array());
            let named: Vec<&str> =
                lists.flatten().chain(body.get("serviceDeploymentArn")).filter_map(Value::as_str).collect();
            on_each(&format!("ecs:{operation}"), &named)
        }
        ("ssm", Some(operation)) => {
            let name = body["Name"].as_str().unwrap_or_default().trim_start_matches('/');
            vec![on(&format!("ssm:{operation}"), &format!("arn:aws:ssm:{HERE}:parameter/{name}"))]
        }
        ("events", Some(operation)) => {
            let entries = body["Entries"].as_array().into_iter().flatten();
            let buses = entries.map(|entry| entry["EventBusName"].as_str().unwrap_or("default"));
            let arns: Vec<String> = buses.map(|bus| format!("arn:aws:events:{HERE}:event-bus/{bus}")).collect();
            on_each(&format!("events:{operation}"), &arns.iter().map(String::as_str).collect::<Vec<_>>())
        }
        (service, Some(operation)) => vec![on(&format!("{service}:{operation}"), "*")],
        ("monitoring", None) => vec![of_cloudwatch(path, received)],
        (service, None) => {
            let operation = field(received.text(), "Action").unwrap_or_else(|| path.to_owned());
            let resource = ["ListenerArn", "RuleArn", "TopicArn"].iter().find_map(|name| field(received.text(), name));
            let resource = resource.filter(|_| !operation.starts_with("Describe"));
            vec![on(&format!("{service}:{operation}"), resource.as_deref().unwrap_or("*"))]
        }
    };
    (service, found)
}

fn on(action: &str, resource: &str) -> Permission {
    Permission { action: action.to_owned(), resource: resource.to_owned(), keys: BTreeMap::new() }
}

fn on_each(action: &str, resources: &[&str]) -> Vec<Permission> {
    match resources {
        [] => vec![on(action, "*")],
        named => named.iter().map(|resource| on(action, resource)).collect(),
    }
}

/// A transaction has no permission of its own: its parts have.
fn of_dynamodb(operation: &str, body: &Value) -> Vec<Permission> {
    let on_table = |operation: &str, table: &Value| {
        let table = table.as_str().unwrap_or_default();
        on(&format!("dynamodb:{operation}"), &format!("arn:aws:dynamodb:{HERE}:table/{table}"))
    };
    match operation {
        "TransactWriteItems" => {
            let parts = body["TransactItems"].as_array().into_iter().flatten().filter_map(Value::as_object).flatten();
            // `Put` takes `PutItem`, and `ConditionCheck` `ConditionCheckItem`.
            parts.map(|(kind, part)| on_table(&format!("{kind}Item"), &part["TableName"])).collect()
        }
        "BatchGetItem" => {
            let tables = body["RequestItems"].as_object().into_iter().flatten();
            tables.map(|(table, _)| on_table(operation, &table.as_str().into())).collect()
        }
        _ => vec![on_table(operation, &body["TableName"])],
    }
}

/// Its documents name the function for most operations; what an alias or a version is named by may count as well, and both have to
/// be allowed.
fn of_lambda(method: &str, path: &str, query: &str) -> Vec<Permission> {
    let parts: Vec<&str> = path.split('/').collect();
    let kinds = ["aliases", "configuration", "provisioned-concurrency", "versions", "invocations", "tags"];
    let kind = parts.iter().rposition(|part| kinds.contains(part)).unwrap_or_default();
    let after = parts.get(kind + 1).map(|part| decoded(part));
    let function = format!("arn:aws:lambda:{HERE}:function:{}", decoded(parts.get(3).unwrap_or(&"")));
    let qualifier = field(query, "Qualifier").or_else(|| after.clone());
    let qualified = qualifier.map(|qualifier| format!("{function}:{qualifier}"));
    let named = qualified.as_deref().unwrap_or(&function);
    let (operation, resources): (&str, Vec<&str>) = match (method, parts.get(kind).copied().unwrap_or_default()) {
        ("GET", "aliases") => ("GetAlias", vec![&function, named]),
        ("PUT", "aliases") => ("UpdateAlias", vec![&function, named]),
        ("GET", "configuration") => ("GetFunctionConfiguration", vec![&function, named]),
        ("GET", "provisioned-concurrency") => ("GetProvisionedConcurrencyConfig", vec![named]),
        ("GET", "versions") => ("ListVersionsByFunction", vec![&function]),
        ("POST", "invocations") => ("InvokeFunction", vec![named]),
        ("GET", "tags") => ("ListTags", vec![after.as_deref().unwrap_or_default()]),
        _ => return vec![on(&format!("lambda:{method} {path}"), "*")],
    };
    on_each(&format!("lambda:{operation}"), &resources)
}

/// Whoever gives a schedule a role passes it on.
fn of_scheduler(method: &str, path: &str, query: &str, body: &Value) -> Vec<Permission> {
    let name = decoded(path.rsplit('/').next().unwrap_or_default());
    let group = body["GroupName"].as_str().map(str::to_owned).or_else(|| field(query, "groupName"));
    let schedule = format!("arn:aws:scheduler:{HERE}:schedule/{}/{name}", group.as_deref().unwrap_or("default"));
    let operation = match method {
        "POST" => "CreateSchedule",
        "PUT" => "UpdateSchedule",
        "DELETE" => return vec![on("scheduler:DeleteSchedule", &schedule)],
        other => return vec![on(&format!("scheduler:{other} {path}"), &schedule)],
    };
    let mut passes = on("iam:PassRole", body["Target"]["RoleArn"].as_str().unwrap_or_default());
    passes.keys.insert("iam:PassedToService", "scheduler.amazonaws.com".to_owned());
    vec![on(&format!("scheduler:{operation}"), &schedule), passes]
}

/// It is asked in CBOR: the namespace is a text of up to 255 bytes after its name.
fn of_cloudwatch(path: &str, received: &Received) -> Permission {
    let operation = path.split_once("/operation/").map_or(path, |(_, operation)| operation);
    let mut permission = on(&format!("cloudwatch:{operation}"), "*");
    let name = b"\x69Namespace";
    let after = received.body.windows(name.len()).position(|window| window == name).map(|place| place + name.len());
    let text = after.and_then(|place| match received.body.get(place..)? {
        [0x78, length, rest @ ..] => rest.get(..usize::from(*length)),
        [short @ 0x60..=0x77, rest @ ..] => rest.get(..usize::from(short - 0x60)),
        _ => None,
    });
    if let Some(namespace) = text.filter(|_| operation == "PutMetricData") {
        permission.keys.insert("cloudwatch:namespace", String::from_utf8_lossy(namespace).into_owned());
    }
    permission
}

/// Of a form, or a query.
fn field(form: &str, name: &str) -> Option<String> {
    form.split('&').find_map(|field| field.strip_prefix(name)?.strip_prefix('=')).map(decoded)
}

fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let first = parts.next().unwrap_or_default().as_bytes().to_vec();
    let bytes = parts.fold(first, |mut bytes, part| {
        let (code, rest) = part.split_at_checked(2).unwrap_or(("", part));
        bytes.extend(u8::from_str_radix(code, 16));
        bytes.extend(rest.as_bytes());
        bytes
    });
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(method: &str, path: &str, service: &str, headers: &[(&str, &str)], body: &[u8]) -> Received {
        let credential =
            format!("AWS4-HMAC-SHA256 Credential=id/20261121/us-east-1/{service}/aws4_request, SignedHeaders=host");
        let signed = [("authorization".to_owned(), credential)];
        let headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).chain(signed).collect();
        Received { method: method.to_owned(), path: path.to_owned(), headers, body: body.to_vec() }
    }

    /// Every permission on a line, as `action resource`.
    fn asked(received: &Received) -> Vec<String> {
        let said =
            |one: Permission| [vec![one.action, one.resource], one.keys.into_values().collect()].concat().join(" ");
        permissions(received).1.into_iter().map(said).collect()
    }

    #[test]
    fn a_request_takes_the_permissions_on_what_it_names() {
        let function = format!("arn:aws:lambda:{HERE}:function:checkout");
        let rule = "arn:aws:elasticloadbalancing:us-east-1:000000000000:listener-rule/app/shop/1/2/3";
        let form =
            format!("Action=ModifyRule&Version=2015-12-01&RuleArn={}", rule.replace(':', "%3A").replace('/', "%2F"));
        let plain = |method, path, service| received(method, path, service, &[], b"");
        let json = |service, target, body: Value| {
            received("POST", "/", service, &[("x-amz-target", target)], body.to_string().as_bytes())
        };
        let metric = [&b"\xa2\x69Namespace\x68Coalmine"[..], b"\x6aMetricData\x80"].concat();
        let written = serde_json::json!({ "TransactItems": [{ "Put": { "TableName": "coalmine" } }, { "Delete": { "TableName": "t" } }] });
        let schedule = serde_json::json!({ "GroupName": "g", "Target": { "RoleArn": "arn:role" } });
        let body = schedule.to_string();
        for (request, expected) in [
            (
                plain("PUT", "/2015-03-31/functions/checkout/aliases/live", "lambda"),
                vec![format!("lambda:UpdateAlias {function}"), format!("lambda:UpdateAlias {function}:live")],
            ),
            (
                plain("POST", "/2015-03-31/functions/checkout/invocations?Qualifier=2", "lambda"),
                vec![format!("lambda:InvokeFunction {function}:2")],
            ),
            (
                plain("GET", &format!("/2017-03-31/tags/{}", function.replace(':', "%3A")), "lambda"),
                vec![format!("lambda:ListTags {function}")],
            ),
            (
                plain("DELETE", "/2015-03-31/functions/f", "lambda"),
                vec!["lambda:DELETE /2015-03-31/functions/f *".to_owned()],
            ),
            (
                json("dynamodb", "DynamoDB_20120810.TransactWriteItems", written),
                vec![
                    format!("dynamodb:PutItem arn:aws:dynamodb:{HERE}:table/coalmine"),
                    format!("dynamodb:DeleteItem arn:aws:dynamodb:{HERE}:table/t"),
                ],
            ),
            (
                received("POST", "/schedules/s", "scheduler", &[], body.as_bytes()),
                vec![
                    format!("scheduler:CreateSchedule arn:aws:scheduler:{HERE}:schedule/g/s"),
                    "iam:PassRole arn:role scheduler.amazonaws.com".to_owned(),
                ],
            ),
            (
                received(
                    "POST",
                    "/service/GraniteServiceVersion20100801/operation/PutMetricData",
                    "monitoring",
                    &[],
                    &metric,
                ),
                vec!["cloudwatch:PutMetricData * Coalmine".to_owned()],
            ),
            (
                received("PUT", "/bucket/coalmine/a%2525.html", "s3", &[], b"<html>"),
                vec!["s3:PutObject arn:aws:s3:::bucket/coalmine/a%25.html".to_owned()],
            ),
            (
                received("POST", "/", "elasticloadbalancing", &[], form.as_bytes()),
                vec![format!("elasticloadbalancing:ModifyRule {rule}")],
            ),
            (
                json("ssm", "AmazonSSM.GetParameter", serde_json::json!({ "Name": "/coalmine/checkout/live" })),
                vec![format!("ssm:GetParameter arn:aws:ssm:{HERE}:parameter/coalmine/checkout/live")],
            ),
        ] {
            assert_eq!(asked(&request), expected);
        }
    }
}
