//! A small IAM: what the roles in the template allow, on which resources and under which conditions. What nothing allows is denied.
//!
//! The stack is taken to be limited to exactly what is asked for: a parameter such as `TargetFunctions` has the name of the
//! function in question, so that a permission which only holds for `*` is found out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use super::python::{python, support};
use super::scheduler::{SWITCH_ROLE, SWITCHES};

/// The table's name in tests.
pub const TABLE: &str = "coalmine";

/// The permission that a request takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// `lambda:UpdateAlias`
    pub action: String,
    /// An ARN, or `*` where the service knows no resource.
    pub resource: String,
    /// What a condition may look at.
    pub keys: BTreeMap<&'static str, String>,
}

/// What a stack is told.
#[derive(Debug, Clone, Default)]
pub struct Parameters {
    pub event_bus: String,
    pub topic: String,
    pub reports_bucket: String,
    pub reports_prefix: String,
}

/// By handler: the statements of its role.
type Roles = BTreeMap<String, Vec<Value>>;

/// The stack's functions, by handler.
pub fn handlers() -> impl Iterator<Item = &'static str> {
    roles().keys().map(String::as_str)
}

/// The actions that the role of a function allows on anything; those that a condition leaves out are among them.
pub fn allowed(handler: &str) -> BTreeSet<String> {
    let statements = roles().get(handler).into_iter().flatten();
    let statements = statements.map(|one| one.get("Fn::If").map_or(one, |parts| &parts[1]));
    statements.flat_map(|statement| texts(&statement["Action"])).collect()
}

/// Whether the role of a function allows it.
pub fn allows(handler: &str, permission: &Permission, parameters: &Parameters) -> bool {
    let world = World { permission, parameters };
    roles().get(handler).into_iter().flatten().filter_map(|statement| world.chosen(statement)).any(|statement| {
        assert_eq!(statement["Effect"], "Allow", "a statement of another kind than is understood here: {statement}");
        let is_meant = |pattern: &String| matches(pattern, &permission.action);
        let of_action = texts(&statement["Action"]).iter().any(is_meant);
        of_action && world.is_on(&statement["Resource"]) && world.holds(&statement["Condition"])
    })
}

/// What the template's functions mean for one request.
struct World<'a> {
    permission: &'a Permission,
    parameters: &'a Parameters,
}

impl World<'_> {
    /// What a condition of the template leaves.
    fn chosen<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        let Some(parts) = value.get("Fn::If") else {
            return Some(value).filter(|value| value["Ref"] != "AWS::NoValue");
        };
        let holds = match parts[0].as_str().unwrap_or_default() {
            "HasTopic" => !self.parameters.topic.is_empty(),
            "HasReports" => !self.parameters.reports_bucket.is_empty(),
            "HasEventBus" => !self.parameters.event_bus.is_empty(),
            // Applications alone are not looked at by name: a deployment does not say its own.
            "AllApplications" => true,
            other => panic!("the condition {other} is not understood here"),
        };
        self.chosen(&parts[if holds { 1 } else { 2 }])
    }

    fn is_on(&self, resource: &Value) -> bool {
        let Some(resource) = self.chosen(resource) else { return false };
        match resource.as_array() {
            Some(all) => all.iter().any(|one| self.is_on(one)),
            None => matches(&self.resolved(resource), &self.permission.resource),
        }
    }

    fn holds(&self, condition: &Value) -> bool {
        let operators = condition.as_object().into_iter().flatten();
        operators.into_iter().all(|(operator, keys)| {
            keys.as_object().into_iter().flatten().all(|(key, wanted)| {
                let found = self.permission.keys.get(key.as_str());
                let any = |is: &dyn Fn(&str, &str) -> bool| {
                    found.is_some_and(|found| self.all(wanted).iter().any(|wanted| is(wanted, found)))
                };
                match operator.as_str() {
                    "StringEquals" | "ArnEquals" => any(&|wanted, found| wanted == found),
                    "StringLike" | "ArnLike" => any(&matches),
                    other => panic!("the operator {other} is not understood here"),
                }
            })
        })
    }

    fn all(&self, value: &Value) -> Vec<String> {
        match value.as_array() {
            Some(all) => all.iter().map(|one| self.resolved(one)).collect(),
            None => vec![self.resolved(value)],
        }
    }

    fn resolved(&self, value: &Value) -> String {
        if let Some(text) = value.as_str() {
            return text.to_owned();
        }
        if let Some(name) = value["Ref"].as_str() {
            return self.of(name);
        }
        if let Some(resource) = value["Fn::GetAtt"][0].as_str() {
            return self.of(&format!("{resource}.Arn"));
        }
        let text =
            value["Fn::Sub"].as_str().unwrap_or_else(|| panic!("a resource that is not understood here: {value}"));
        let mut parts = text.split("${");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |done, part| {
            let (name, rest) = part.split_once('}').expect("a name ends");
            done + &self.of(name) + rest
        })
    }

    fn of(&self, name: &str) -> String {
        let arn: Vec<&str> = self.permission.resource.splitn(6, ':').collect();
        let part = |place: usize| arn.get(place).copied().unwrap_or_default();
        let named: Vec<&str> = part(5).split([':', '/']).collect();
        let at = |place: usize| named.get(place).copied().unwrap_or("nothing");
        match name {
            "AWS::Partition" => "aws".to_owned(),
            "AWS::Region" => part(3).to_owned(),
            "AWS::AccountId" => part(4).to_owned(),
            "TargetFunctions" => at(1).to_owned(),
            "TargetLoadBalancers" => at(2).to_owned(),
            "TargetServices" => format!("{}/{}", at(1), at(2)),
            "TargetApplications" => "*".to_owned(),
            "EventBusName" => self.parameters.event_bus.clone(),
            "ReportsBucket" => self.parameters.reports_bucket.clone(),
            "ReportsPrefix" => self.parameters.reports_prefix.clone(),
            "TopicArn" => self.parameters.topic.clone(),
            "Switches" => SWITCHES.to_owned(),
            "SwitchRole.Arn" => SWITCH_ROLE.to_owned(),
            "Table.Arn" => format!("arn:aws:dynamodb:{}:{}:table/{TABLE}", part(3), part(4)),
            // What no function asks for itself.
            "Logs.Arn" | "Undelivered.Arn" | "Hook.Arn" => format!("the stack's {name}"),
            other => panic!("{other} is not understood here"),
        }
    }
}

/// `*` stands for any characters, `?` for one.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = &pattern[1..];
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| matches(rest, &text[at..]))
        }
        Some(wanted) => {
            let mut rest = text.chars();
            rest.next().is_some_and(|found| wanted == '?' || wanted == found)
                && matches(&pattern[wanted.len_utf8()..], rest.as_str())
        }
    }
}

fn texts(value: &Value) -> Vec<String> {
    let all = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
    all.iter().filter_map(|one| Some(one.as_str()?.to_owned())).collect()
}

fn roles() -> &'static Roles {
    static ROLES: OnceLock<Roles> = OnceLock::new();
    ROLES.get_or_init(|| {
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("template.yaml");
        let output = Command::new(python()).arg(support("transform.py")).arg(template).output().expect("python runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let plain: Value = serde_json::from_slice(&output.stdout).expect("the translator writes JSON");
        let resources = plain["Resources"].as_object().expect("there are resources");
        let functions = resources.values().filter(|one| one["Type"] == "AWS::Lambda::Function");
        let role = |function: &Value| {
            let properties = &function["Properties"];
            let role = &plain["Resources"][properties["Role"]["Fn::GetAtt"][0].as_str().expect("a role of the stack")];
            (properties["Handler"].as_str().expect("a handler").to_owned(), statements(role, &plain["Resources"]))
        };
        functions.map(role).collect()
    })
}

/// Of a role's own policies and of the stack's that it names.
fn statements(role: &Value, resources: &Value) -> Vec<Value> {
    let own = role["Properties"]["Policies"].as_array().into_iter().flatten();
    let named = role["Properties"]["ManagedPolicyArns"].as_array().into_iter().flatten();
    let named = named.map(|policy| {
        let name = policy["Ref"].as_str().unwrap_or_else(|| panic!("a policy that is not the stack's: {policy}"));
        &resources[name]["Properties"]
    });
    own.chain(named)
        .flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().expect("statements").clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(handler: &str, action: &str, resource: &str, keys: &[(&'static str, &str)]) -> bool {
        let keys = keys.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        let permission = Permission { action: action.to_owned(), resource: resource.to_owned(), keys };
        let told = |text: &str| text.to_owned();
        let parameters = Parameters {
            event_bus: told("releases"),
            topic: String::new(),
            reports_bucket: told("bucket"),
            reports_prefix: told("coalmine"),
        };
        allows(handler, &permission, &parameters)
    }

    #[test]
    fn stars_stand_for_anything_and_question_marks_for_one_character() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("lambda:*", "lambda:GetAlias", true),
            ("arn:*:x/*", "arn:a:x/", true),
            ("arn:*:x/*", "arn:a:y/b", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn what_a_role_does_not_allow_is_denied() {
        let alias = "arn:aws:lambda:us-east-1:000000000000:function:checkout:live";
        let schedule = |group: &str| format!("arn:aws:scheduler:us-east-1:000000000000:schedule/{group}/checkout");
        let metric =
            |handler, namespace| may(handler, "cloudwatch:PutMetricData", "*", &[("cloudwatch:namespace", namespace)]);
        let passed = |role, to| may("tick", "iam:PassRole", role, &[("iam:PassedToService", to)]);
        for (expected, found) in [
            (true, may("tick", "lambda:UpdateAlias", alias, &[])),
            (false, may("hook", "lambda:UpdateAlias", alias, &[])),
            (false, may("tick", "lambda:DeleteAlias", alias, &[])),
            (false, may("macro", "lambda:GetAlias", alias, &[])),
            (false, may("nobody", "lambda:GetAlias", alias, &[])),
            (true, may("tick", "scheduler:CreateSchedule", &schedule(SWITCHES), &[])),
            (false, may("tick", "scheduler:CreateSchedule", &schedule("default"), &[])),
            (true, passed(SWITCH_ROLE, "scheduler.amazonaws.com")),
            (false, passed(SWITCH_ROLE, "lambda.amazonaws.com")),
            (false, passed("arn:aws:iam::000000000000:role/admin", "scheduler.amazonaws.com")),
            (true, metric("tick", "Coalmine")),
            (false, metric("tick", "AWS/Lambda")),
            (false, may("tick", "cloudwatch:PutMetricData", "*", &[])),
            (true, may("tick", "events:PutEvents", "arn:aws:events:us-east-1:000000000000:event-bus/releases", &[])),
            (false, may("tick", "events:PutEvents", "arn:aws:events:us-east-1:000000000000:event-bus/default", &[])),
            (false, may("tick", "sns:Publish", "arn:aws:sns:us-east-1:000000000000:releases", &[])),
            (true, may("report", "s3:PutObject", "arn:aws:s3:::bucket/coalmine/checkout-42.html", &[])),
            (false, may("report", "s3:PutObject", "arn:aws:s3:::bucket/checkout-42.html", &[])),
            (false, may("report", "s3:PutObject", "arn:aws:s3:::other/coalmine/checkout-42.html", &[])),
            (false, may("report", "dynamodb:PutItem", "arn:aws:dynamodb:us-east-1:000000000000:table/coalmine", &[])),
            (true, may("tick", "dynamodb:PutItem", "arn:aws:dynamodb:us-east-1:000000000000:table/coalmine", &[])),
            (false, may("tick", "dynamodb:PutItem", "arn:aws:dynamodb:us-east-1:000000000000:table/orders", &[])),
        ] {
            assert_eq!(found, expected);
        }
    }
}
