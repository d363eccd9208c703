//! The emulated AWS in the words of the tests.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::emulator::Emulator;
use super::http::{self, Request, Response};
use super::python::{python, support};
use super::scheduler::Scheduler;

/// A zip of `main.py`, whose `handler` answers its event.
const ECHO_ZIP: &str = concat!(
    "UEsDBBQAAAAAAAAAIVzWCnUSKAAAACgAAAAHAAAAbWFpbi5weWRlZiBoYW5kbGVyKGV2ZW50LCBfKToKICAgIHJldHVybiBldmVu",
    "dApQSwECFAMUAAAAAAAAACFc1gp1EigAAAAoAAAABwAAAAAAAAAAAAAApAEAAAAAbWFpbi5weVBLBQYAAAAAAQABADUAAABNAAAA",
    "AAA=",
);
const PATIENCE: Duration = Duration::from_secs(60);
const ROLE: &str = "arn:aws:iam::000000000000:role/any";

/// What an alias routes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    pub primary: String,
    pub additional: Option<(String, f64)>,
}

impl Live {
    pub fn only(version: &str) -> Self {
        Self { primary: version.to_owned(), additional: None }
    }

    pub fn with(version: &str, other: &str, share: f64) -> Self {
        Self { primary: version.to_owned(), additional: Some((other.to_owned(), share)) }
    }
}

pub struct Cloud {
    stack: Emulator,
}

impl Cloud {
    pub fn start() -> Self {
        Self::on(Emulator::ministack())
    }

    pub fn on(stack: Emulator) -> Self {
        Self { stack }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.stack.port())
    }

    pub fn port(&self) -> u16 {
        self.stack.port()
    }

    pub fn scheduler(&self) -> Scheduler {
        Scheduler::at(self.stack.port())
    }

    /// An alias written as the API's parameters say.
    pub fn update_alias(&self, input: &Value) {
        let (function, alias) = (text(input, "FunctionName"), text(input, "Name"));
        self.lambda("PUT", &format!("/2015-03-31/functions/{function}/aliases/{alias}"), input);
    }

    /// The real `bootstrap` as a function of its own.
    pub fn create_bootstrap(&self, name: &str, handler: &str, environment: &Value) {
        self.create_function(&json!({
            "FunctionName": name, "Runtime": "provided.al2023", "Handler": handler, "Role": ROLE, "Timeout": 50,
            "Code": { "ZipFile": package() }, "Environment": { "Variables": environment },
        }));
    }

    /// A function to roll out, with no version published yet.
    pub fn create_target(&self, name: &str) {
        self.create_function(&json!({
            "FunctionName": name, "Runtime": "python3.12", "Handler": "main.handler", "Role": ROLE, "Timeout": 10,
            "Code": { "ZipFile": ECHO_ZIP },
        }));
    }

    fn create_function(&self, function: &Value) {
        self.lambda("POST", "/2015-03-31/functions", function);
    }

    /// A new version; the description makes it differ from the one before, or nothing would be published.
    pub fn publish(&self, function: &str, description: &str) -> String {
        let path = format!("/2015-03-31/functions/{function}");
        self.lambda("PUT", &format!("{path}/configuration"), &json!({ "Description": description }));
        let version = self.lambda("POST", &format!("{path}/versions"), &json!({}));
        text(&version, "Version")
    }

    /// A version whose start fails: Lambda loads the code when it is published, and there is no such handler.
    pub fn publish_broken(&self, function: &str) -> String {
        let path = format!("/2015-03-31/functions/{function}/configuration");
        self.lambda(
            "PUT",
            &path,
            &json!({ "Handler": "gone.handler", "SnapStart": { "ApplyOn": "PublishedVersions" } }),
        );
        let version = self.publish(function, "broken");
        self.wait_for_state(function, &version, "Failed");
        version
    }

    /// Lambda makes a version ready in its own time.
    pub fn wait_for_state(&self, function: &str, version: &str, state: &str) {
        let path = format!("/2015-03-31/functions/{function}/configuration?Qualifier={version}");
        let since = Instant::now();
        loop {
            let found = self.lambda("GET", &path, &Value::Null);
            if found["State"] == state {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "version {version} does not get {state}: {found}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn create_alias(&self, function: &str, alias: &str, version: &str) {
        let body = json!({ "Name": alias, "FunctionVersion": version });
        self.lambda("POST", &format!("/2015-03-31/functions/{function}/aliases"), &body);
    }

    /// As somebody else would: without looking first.
    pub fn set_alias(&self, function: &str, alias: &str, live: &Live) {
        let weights = live.additional.iter().map(|(version, share)| (version.clone(), json!(share)));
        let weights: serde_json::Map<String, Value> = weights.collect();
        let body = json!({ "FunctionVersion": live.primary, "RoutingConfig": { "AdditionalVersionWeights": weights } });
        self.lambda("PUT", &format!("/2015-03-31/functions/{function}/aliases/{alias}"), &body);
    }

    pub fn live(&self, function: &str, alias: &str) -> Live {
        let found = self.lambda("GET", &format!("/2015-03-31/functions/{function}/aliases/{alias}"), &Value::Null);
        let weights = found["RoutingConfig"]["AdditionalVersionWeights"].as_object().cloned().unwrap_or_default();
        let additional = weights.into_iter().next().map(|(version, share)| (version, share.as_f64().unwrap()));
        Live { primary: text(&found, "FunctionVersion"), additional }
    }

    /// Changes with every write of the alias, whoever wrote it.
    pub fn alias_revision(&self, function: &str, alias: &str) -> String {
        let found = self.lambda("GET", &format!("/2015-03-31/functions/{function}/aliases/{alias}"), &Value::Null);
        text(&found, "RevisionId")
    }

    /// What the function answers, or the error it ends with.
    pub fn invoke(&self, function: &str, event: &Value) -> Result<Value, Value> {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let response = self.send("POST", &path, "lambda", None, event);
        assert_eq!(response.status, 200, "invoking {function}: {}", response.body);
        if response.function_error { Err(response.body) } else { Ok(response.body) }
    }

    pub fn create_table(&self, name: &str) {
        self.json("dynamodb", "DynamoDB_20120810.CreateTable", &json!({
            "TableName": name, "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                { "AttributeName": "pk", "AttributeType": "S" },
                { "AttributeName": "sk", "AttributeType": "S" },
            ],
            "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }, { "AttributeName": "sk", "KeyType": "RANGE" }],
        }));
    }

    /// One item of a table with the keys `pk` and `sk`.
    pub fn item(&self, table: &str, pk: &str, sk: &str) -> Option<Value> {
        let key = json!({ "pk": { "S": pk }, "sk": { "S": sk } });
        let body = json!({ "TableName": table, "Key": key, "ConsistentRead": true });
        let found = self.json("dynamodb", "DynamoDB_20120810.GetItem", &body);
        found.get("Item").cloned()
    }

    /// Everything in a table.
    pub fn items(&self, table: &str) -> Vec<Value> {
        let page = self.json("dynamodb", "DynamoDB_20120810.Scan", &json!({ "TableName": table }));
        page["Items"].as_array().cloned().unwrap_or_default()
    }

    pub fn put_metrics(&self, namespace: &str, data: &[Value]) {
        let body = json!({ "Namespace": namespace, "MetricData": data });
        self.json("monitoring", "GraniteServiceVersion20100801.PutMetricData", &body);
    }

    /// A metric alarm that nothing but [`Self::set_alarm`] moves: its metric has no data.
    pub fn create_alarm(&self, name: &str) {
        self.json(
            "monitoring",
            "GraniteServiceVersion20100801.PutMetricAlarm",
            &json!({
                "AlarmName": name, "Namespace": "Nothing", "MetricName": name, "Statistic": "Sum", "Period": 60,
                "EvaluationPeriods": 1, "Threshold": 1, "ComparisonOperator": "GreaterThanThreshold",
                "TreatMissingData": "ignore",
            }),
        );
        self.set_alarm(name, "OK");
    }

    pub fn create_composite_alarm(&self, name: &str, rule: &str) {
        let body = json!({ "AlarmName": name, "AlarmRule": rule });
        self.json("monitoring", "GraniteServiceVersion20100801.PutCompositeAlarm", &body);
    }

    pub fn create_topic(&self, name: &str) {
        let path = format!("/?Action=CreateTopic&Name={name}&Version=2010-03-31");
        succeeded(&path, self.send("POST", &path, "sns", None, &Value::Null));
    }

    pub fn create_bucket(&self, name: &str) {
        let path = format!("/{name}");
        succeeded(&path, self.send("PUT", &path, "s3", None, &Value::Null));
    }

    /// What is in a bucket, as S3 lists it.
    pub fn list_bucket(&self, name: &str) -> String {
        let path = format!("/{name}?list-type=2");
        let listed = succeeded(&path, self.send("GET", &path, "s3", None, &Value::Null));
        listed.as_str().map_or_else(|| listed.to_string(), str::to_owned)
    }

    /// An object's content type and text; `None` where there is none.
    pub fn object(&self, bucket: &str, key: &str) -> Option<(String, String)> {
        let path = format!("/{bucket}/{key}");
        let found = self.send("GET", &path, "s3", None, &Value::Null);
        (found.status == 200).then(|| {
            let text = found.body.as_str().unwrap_or_else(|| panic!("no text at {path}: {}", found.body));
            (found.content_type, text.to_owned())
        })
    }

    pub fn delete_alias(&self, function: &str, alias: &str) {
        self.lambda("DELETE", &format!("/2015-03-31/functions/{function}/aliases/{alias}"), &Value::Null);
    }

    /// Has a stack created, updated or deleted, and returns its state once nothing more happens. What is deleted has none.
    pub fn stack(&self, action: &str, name: &str, template: &Value) -> Option<String> {
        let template = template.to_string();
        self.cloudformation(&[("Action", action), ("StackName", name), ("TemplateBody", &template)]);
        let since = Instant::now();
        loop {
            let described = self.cloudformation(&[("Action", "DescribeStacks"), ("StackName", name)]);
            let state = described.split("<StackStatus>").nth(1).and_then(|rest| rest.split('<').next());
            match state {
                None | Some("DELETE_COMPLETE") => return None,
                Some(state) if !state.ends_with("_IN_PROGRESS") => return Some(state.to_owned()),
                Some(state) => assert!(since.elapsed() < PATIENCE, "{name} is still {state}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The answer's XML, whatever its status.
    fn cloudformation(&self, parameters: &[(&str, &str)]) -> String {
        let encode = |text: &str| -> String {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
            let encoded = |byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
            text.bytes().map(encoded).collect()
        };
        let pairs = parameters.iter().map(|(name, value)| format!("{name}={}", encode(value)));
        let body = [vec!["Version=2010-05-15".to_owned()], pairs.collect()].concat().join("&");
        let content_type = "application/x-www-form-urlencoded";
        let request =
            Request { method: "POST", path: "/", service: "cloudformation", content_type, target: None, body: &body };
        let answer = http::send(self.stack.port(), &request).body;
        answer.as_str().map_or_else(|| answer.to_string(), str::to_owned)
    }

    pub fn set_alarm(&self, name: &str, state: &str) {
        let body = json!({ "AlarmName": name, "StateValue": state, "StateReason": "a test says so" });
        self.json("monitoring", "GraniteServiceVersion20100801.SetAlarmState", &body);
    }

    /// What a function has logged so far.
    pub fn log(&self, function: &str) -> String {
        self.log_group(&format!("/aws/lambda/{function}"))
    }

    /// What is in a log group so far.
    pub fn log_group(&self, group: &str) -> String {
        let page = self.json("logs", "Logs_20140328.FilterLogEvents", &json!({ "logGroupName": group }));
        let lines = page["events"].as_array().into_iter().flatten().filter_map(|event| event["message"].as_str());
        lines.collect::<Vec<_>>().join("\n")
    }

    pub fn put_parameter(&self, name: &str, value: &str) {
        let body = json!({ "Name": name, "Value": value, "Type": "String", "Overwrite": true });
        self.json("ssm", "AmazonSSM.PutParameter", &body);
    }

    pub fn tag_function(&self, function: &str, key: &str, value: &str) {
        let path = format!("/2015-03-31/tags/arn:aws:lambda:us-east-1:000000000000:function:{function}");
        self.lambda("POST", &path, &json!({ "Tags": { key: value } }));
    }

    /// Deletes a function, and with it whatever runs of it.
    pub fn killer(&self, function: &str) -> impl Fn() + Send + Sync + use<> {
        let (port, path) = (self.stack.port(), format!("/2015-03-31/functions/{function}"));
        move || {
            let (content_type, body) = (http::JSON, "");
            let request =
                Request { method: "DELETE", path: &path, service: "lambda", content_type, target: None, body };
            succeeded(&path, http::send(port, &request));
        }
    }

    /// The maximum of a metric in every minute that has one, oldest first.
    pub fn metric(&self, namespace: &str, metric: &str, dimensions: &Value, from: i64, until: i64) -> Vec<f64> {
        let dimensions = dimensions.as_object().expect("dimensions are an object");
        let dimensions: Vec<Value> =
            dimensions.iter().map(|(name, value)| json!({ "Name": name, "Value": value })).collect();
        let stat = json!({
            "Metric": { "Namespace": namespace, "MetricName": metric, "Dimensions": dimensions },
            "Period": 60, "Stat": "Maximum",
        });
        let body = json!({
            "MetricDataQueries": [{ "Id": "m", "MetricStat": stat }], "StartTime": from, "EndTime": until,
            "ScanBy": "TimestampAscending",
        });
        let found = self.json("monitoring", "GraniteServiceVersion20100801.GetMetricData", &body);
        let values = found["MetricDataResults"][0]["Values"].as_array().into_iter().flatten();
        values.filter_map(Value::as_f64).collect()
    }

    /// A rule that invokes a function every minute.
    pub fn invoke_every_minute(&self, rule: &str, function: &str) {
        let body = json!({ "Name": rule, "ScheduleExpression": "rate(1 minute)", "State": "ENABLED" });
        self.json("events", "AWSEvents.PutRule", &body);
        let arn = format!("arn:aws:lambda:us-east-1:000000000000:function:{function}");
        let body = json!({ "Rule": rule, "Targets": [{ "Id": "tick", "Arn": arn }] });
        self.json("events", "AWSEvents.PutTargets", &body);
    }

    pub fn disable_rule(&self, rule: &str) {
        self.json("events", "AWSEvents.DisableRule", &json!({ "Name": rule }));
    }

    pub fn has_function(&self, function: &str) -> bool {
        let path = format!("/2015-03-31/functions/{function}/configuration");
        self.send("GET", &path, "lambda", None, &Value::Null).status == 200
    }

    /// Tells one build of a function from another.
    pub fn code_sha256(&self, function: &str) -> String {
        let path = format!("/2015-03-31/functions/{function}/configuration");
        text(&self.lambda("GET", &path, &Value::Null), "CodeSha256")
    }

    fn json(&self, service: &str, target: &str, body: &Value) -> Value {
        succeeded(target, self.send("POST", "/", service, Some(target), body))
    }

    fn lambda(&self, method: &str, path: &str, body: &Value) -> Value {
        succeeded(path, self.send(method, path, "lambda", None, body))
    }

    fn send(&self, method: &str, path: &str, service: &str, target: Option<&str>, body: &Value) -> Response {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http::send(self.stack.port(), &Request { method, path, service, content_type: http::JSON, target, body: &body })
    }
}

fn succeeded(what: &str, response: Response) -> Value {
    assert!((200..300).contains(&response.status), "{what}: {} {}", response.status, response.body);
    response.body
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}")).to_owned()
}

/// The one that cargo built for this test, or the one that the caller names.
pub fn bootstrap() -> PathBuf {
    let named = std::env::var_os("COALMINE_TEST_BOOTSTRAP").filter(|path| !path.is_empty());
    let bootstrap = named.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_bootstrap")), PathBuf::from);
    assert!(bootstrap.exists(), "there is no bootstrap at {}", bootstrap.display());
    bootstrap
}

/// The zipped `bootstrap` as base64.
fn package() -> &'static str {
    static PACKAGE: OnceLock<String> = OnceLock::new();
    PACKAGE.get_or_init(|| {
        let zipped = Command::new(python()).arg(support("package.py")).arg(bootstrap()).output().expect("python runs");
        assert!(zipped.status.success(), "{}", String::from_utf8_lossy(&zipped.stderr));
        String::from_utf8(zipped.stdout).expect("base64 is text")
    })
}
