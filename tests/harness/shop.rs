//! A load balancer with two target groups, on whatever answers for ELBv2, in the words of the tests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::emulator::Emulator;
use super::http::{self, Request};

const ELB: &str = "elasticloadbalancing";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// Of the groups, in this order.
pub const GROUPS: [&str; 2] = ["blue", "green"];
const TARGETS: usize = 4;

/// The wire protocol of ELBv2, without an SDK.
#[derive(Serialize, Deserialize)]
pub struct Elb {
    port: u16,
    vpc: String,
    subnets: Vec<String>,
}

impl Elb {
    /// In the network that every account of moto begins with.
    pub fn of_moto(moto: &Emulator) -> Self {
        let elb = Self { port: moto.port(), vpc: String::new(), subnets: Vec::new() };
        let xml = elb.ec2("Action=DescribeSubnets");
        let vpc = all(&xml, "vpcId").first().expect("there is a default VPC").clone();
        Self { vpc, subnets: all(&xml, "subnetId"), ..elb }
    }

    fn ec2(&self, form: &str) -> String {
        let body = &format!("{form}&Version=2016-11-15");
        let request = Request { method: "POST", path: "/", service: "ec2", content_type: FORM, target: None, body };
        text(&http::send(self.port, &request).body)
    }

    /// Another network.
    pub fn create_vpc(&self) -> String {
        let xml = self.ec2("Action=CreateVpc&CidrBlock=10.9.0.0/16");
        all(&xml, "vpcId").first().unwrap_or_else(|| panic!("no VPC in {xml}")).clone()
    }

    /// Where networks are but names.
    pub fn at(port: u16) -> Self {
        Self { port, vpc: "vpc-1".to_owned(), subnets: vec!["subnet-1".to_owned(), "subnet-2".to_owned()] }
    }

    /// Where the SDK finds it.
    pub fn endpoints(&self) -> Vec<(&'static str, String)> {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        ["AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", "AWS_ENDPOINT_URL_ECS"]
            .map(|variable| (variable, endpoint.clone()))
            .to_vec()
    }

    /// What an operation results in.
    pub fn call(&self, action: &str, parameters: &Value) -> Value {
        let mut form = vec![
            ("Action".to_owned(), action.to_owned()),
            ("Version".to_owned(), "2015-12-01".to_owned()),
            ("ContentType".to_owned(), "JSON".to_owned()),
        ];
        flatten(&mut form, "", parameters);
        let form: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let body = &form.join("&");
        let request = Request { method: "POST", path: "/", service: ELB, content_type: FORM, target: None, body };
        let response = http::send(self.port, &request);
        assert_eq!(response.status, 200, "{action} {parameters}: {}", response.body);
        response.body[format!("{action}Response")][format!("{action}Result")].clone()
    }

    /// Of the JSON protocol of ECS, which the same server speaks.
    pub fn ecs(&self, action: &str, body: &Value) -> Value {
        let (target, body) = (&format!("AmazonEC2ContainerServiceV20141113.{action}"), &body.to_string());
        let content_type = "application/x-amz-json-1.1";
        let request = Request { method: "POST", path: "/", service: "ecs", content_type, target: Some(target), body };
        let response = http::send(self.port, &request);
        assert_eq!(response.status, 200, "{action}: {}", response.body);
        response.body
    }

    /// A new target group for IP addresses, with no target yet; its ARN.
    pub fn create_group(&self, name: &str, fields: &Value) -> String {
        let defaults = json!({ "Name": name, "Protocol": "HTTP", "Port": 80, "VpcId": self.vpc, "TargetType": "ip" });
        let created = self.call("CreateTargetGroup", &super::coalmine::with_fields(defaults, fields));
        text(&created["TargetGroups"][0]["TargetGroupArn"])
    }

    pub fn create_balancer(&self, name: &str) -> String {
        let created = self.call("CreateLoadBalancer", &json!({ "Name": name, "Subnets": self.subnets[..2] }));
        text(&created["LoadBalancers"][0]["LoadBalancerArn"])
    }

    pub fn create_listener(&self, balancer: &str, port: u16, actions: &Value) -> String {
        let fields =
            json!({ "LoadBalancerArn": balancer, "Port": port, "Protocol": "HTTP", "DefaultActions": actions });
        text(&self.call("CreateListener", &fields)["Listeners"][0]["ListenerArn"])
    }

    pub fn create_rule(&self, listener: &str, priority: u16, path: &str, actions: &Value) -> String {
        let conditions = json!([{ "Field": "path-pattern", "Values": [path] }]);
        let fields = json!({
            "ListenerArn": listener, "Priority": priority, "Conditions": conditions, "Actions": actions,
        });
        text(&self.call("CreateRule", &fields)["Rules"][0]["RuleArn"])
    }

    pub fn register(&self, group: &str, addresses: &[String]) {
        self.call("RegisterTargets", &json!({ "TargetGroupArn": group, "Targets": targets(addresses) }));
    }

    pub fn deregister(&self, group: &str, addresses: &[String]) {
        self.call("DeregisterTargets", &json!({ "TargetGroupArn": group, "Targets": targets(addresses) }));
    }

    /// A rule's actions by the rule's ARN, a listener's default actions by the listener's.
    pub fn actions(&self, arn: &str) -> Vec<Value> {
        let found = if arn.contains(":listener/") {
            self.call("DescribeListeners", &json!({ "ListenerArns": [arn] }))["Listeners"][0]["DefaultActions"].clone()
        } else {
            self.call("DescribeRules", &json!({ "RuleArns": [arn] }))["Rules"][0]["Actions"].clone()
        };
        found.as_array().unwrap_or_else(|| panic!("no actions of {arn}: {found}")).clone()
    }

    /// As somebody else would: without looking first.
    pub fn set_actions(&self, arn: &str, actions: &Value) {
        if arn.contains(":listener/") {
            self.call("ModifyListener", &json!({ "ListenerArn": arn, "DefaultActions": actions }));
        } else {
            self.call("ModifyRule", &json!({ "RuleArn": arn, "Actions": actions }));
        }
    }

    /// What a rule, or a listener's default action, forwards to: weights by the name of the group.
    pub fn weights(&self, arn: &str) -> BTreeMap<String, u64> {
        let actions = self.actions(arn);
        let forward = actions.iter().find(|action| action["Type"] == "forward").expect("it forwards");
        let name = |group: &Value| text(group).split('/').nth(1).expect("an ARN has a name").to_owned();
        match forward["ForwardConfig"]["TargetGroups"].as_array() {
            Some(groups) => {
                groups.iter().map(|group| (name(&group["TargetGroupArn"]), number(&group["Weight"]))).collect()
            }
            None => BTreeMap::from([(name(&forward["TargetGroupArn"]), 1)]),
        }
    }
}

/// Blue is live behind a rule of a listener, whose default action answers by itself; green has its targets and nothing else.
#[derive(Serialize, Deserialize)]
pub struct Shop {
    pub elb: Elb,
    pub balancer: String,
    pub listener: String,
    pub rule: String,
    /// Blue's ARN and green's.
    pub groups: [String; 2],
}

impl Shop {
    pub fn open(elb: Elb) -> Self {
        let groups = GROUPS.map(|name| elb.create_group(name, &json!({})));
        let balancer = elb.create_balancer("shop");
        let listener = elb.create_listener(&balancer, 80, &Self::answering());
        let only_blue = json!([{ "Type": "forward", "TargetGroupArn": groups[0] }]);
        let rule = elb.create_rule(&listener, 10, "/shop/*", &only_blue);
        let shop = Self { elb, balancer, listener, rule, groups };
        for place in 0..GROUPS.len() {
            shop.elb.register(&shop.groups[place], &Self::addresses(place));
        }
        shop
    }

    /// The targets of a group.
    pub fn addresses(group: usize) -> Vec<String> {
        (0..TARGETS).map(|target| format!("172.31.{group}.{}", 10 + target)).collect()
    }

    /// Actions that forward to nothing.
    pub fn answering() -> Value {
        json!([{ "Type": "fixed-response", "FixedResponseConfig": { "StatusCode": "404" } }])
    }

    /// Blue behind the listener's default action, too.
    pub fn open_to_all(&self) {
        self.elb.set_actions(&self.listener, &json!([{ "Type": "forward", "TargetGroupArn": self.groups[0] }]));
    }

    /// A forward action to groups by their ARNs.
    pub fn forward(groups: &[(&str, u16)]) -> Value {
        let group = |(arn, weight): &(&str, u16)| json!({ "TargetGroupArn": arn, "Weight": weight });
        json!({ "Type": "forward", "ForwardConfig": { "TargetGroups": groups.iter().map(group).collect::<Vec<_>>() } })
    }
}

/// Everything but the weights of our groups, which are what may change; a group that is attached at 0 is as good as absent.
pub fn without_weights(actions: &[Value]) -> Vec<Value> {
    let mut actions = actions.to_vec();
    for action in actions.iter_mut().filter(|action| action["Type"] == "forward") {
        let fields = action.as_object_mut().expect("an action is an object");
        fields.remove("TargetGroupArn");
        let Some(config) = fields.get_mut("ForwardConfig").and_then(Value::as_object_mut) else { continue };
        if let Some(groups) = config.get_mut("TargetGroups").and_then(Value::as_array_mut) {
            let ours = |group: &Value| {
                let arn = group["TargetGroupArn"].as_str().unwrap_or_default();
                GROUPS.iter().any(|name| arn.contains(&format!(":targetgroup/{name}/")))
            };
            groups.retain(|group| !ours(group));
        }
    }
    actions
}

/// The texts of all such elements.
fn all(xml: &str, tag: &str) -> Vec<String> {
    let tag = format!("<{tag}>");
    xml.split(&tag).skip(1).filter_map(|part| part.split('<').next().map(str::to_owned)).collect()
}

fn targets(addresses: &[String]) -> Vec<Value> {
    addresses.iter().map(|address| json!({ "Id": address })).collect()
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

/// A number, which some servers send as a text.
pub fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("not a number: {value}"))
}

/// `{"a": [{"b": 1}]}` as `a.member.1.b=1`.
fn flatten(form: &mut Vec<(String, String)>, name: &str, value: &Value) {
    let below = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        Value::Null => {}
        Value::Object(fields) => fields.iter().for_each(|(key, value)| flatten(form, &below(key), value)),
        Value::Array(items) => {
            let numbered = items.iter().enumerate();
            numbered.for_each(|(place, item)| flatten(form, &below(&format!("member.{}", place + 1)), item));
        }
        Value::String(text) => form.push((name.to_owned(), text.clone())),
        Value::Bool(_) | Value::Number(_) => form.push((name.to_owned(), value.to_string())),
    }
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
