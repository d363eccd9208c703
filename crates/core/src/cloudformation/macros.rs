//! The macro: before every alias that SAM makes it puts a `Custom::Rollout`, whose answer is the alias' version.
//!
//! It comes after SAM's own, so what it sees is plain CloudFormation. Nothing but the alias' `FunctionVersion` is changed,
//! so that no resource is replaced.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Wish;
use crate::spec::Problem;
use crate::text;

/// The type of the resource that is put before an alias.
pub const ROLLOUT: &str = "Custom::Rollout";

const ALIAS: &str = "AWS::Lambda::Alias";
const FUNCTION: &str = "AWS::Lambda::Function";
const VERSION: &str = "AWS::Lambda::Version";

/// Where a template, a function or an alias says how it is rolled out.
const METADATA: &str = "Coalmine";

/// What may be said there.
const SETTINGS: [&str; 3] = ["Wait", "Spec", "ServiceTimeout"];

/// The properties of an alias that are properties of its rollout, too.
const OURS: [&str; 3] = ["FunctionName", "Name", "FunctionVersion"];

/// CloudFormation's limit for the resources of a template, and for a resource's name.
const NAME_CHARS_MAX: usize = 255;

/// A macro, as it was called.
#[derive(Debug, Clone, Copy)]
pub struct Macro<'a> {
    /// The ARN of the function that is the resource.
    pub service_token: &'a str,
    /// The parameters that the template gave with the macro's name: settings like those in its metadata.
    pub params: &'a Value,
}

/// What came of a template.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    pub fragment: Value,
    /// The aliases whose version is a rollout's answer now.
    pub guarded: Vec<String>,
    /// The other aliases, and why.
    pub left: BTreeMap<String, &'static str>,
}

impl Macro<'_> {
    /// # Errors
    /// Everything that is in the way, each with the resource's name.
    pub fn apply(&self, template: &Value) -> Result<Done, Vec<Problem>> {
        let Some(resources) = template.get("Resources").and_then(Value::as_object) else {
            let message = "it is not there: list the macro under `Transform` of the whole template, after AWS::Serverless-2016-10-31";
            return Err(vec![Problem::at("Resources", message)]);
        };
        let mut problems = Vec::new();
        let params = settings("the macro's parameters", Some(self.params), &mut problems);
        let own = template.get("Metadata").and_then(|metadata| metadata.get(METADATA));
        let own = settings("Metadata.Coalmine", own, &mut problems);
        let scene = Scene { resources, default: over(own, over(params, Given::Nothing)) };
        let mut done = Done { fragment: template.clone(), guarded: Vec::new(), left: BTreeMap::new() };
        let mut added = Vec::new();
        for (name, alias) in resources.iter().filter(|(_, resource)| resource["Type"] == ALIAS) {
            match scene.guard(name, alias, &mut problems) {
                Guard::Left(why) => {
                    done.left.insert(name.clone(), why);
                }
                Guard::By(settings) => added.push((name, alias, settings)),
            }
        }
        for (name, alias, settings) in added {
            if let Some(rollout) = self.rollout(name, alias, &settings, &scene, &mut problems) {
                let added = format!("{name}Rollout");
                done.fragment["Resources"][name]["Properties"]["FunctionVersion"] =
                    json!({ "Fn::GetAtt": [added, "Version"] });
                done.fragment["Resources"][added] = rollout;
                done.guarded.push(name.clone());
            }
        }
        if problems.is_empty() { Ok(done) } else { Err(problems) }
    }

    /// The resource that is put before an alias.
    fn rollout(
        &self,
        name: &str,
        alias: &Value,
        settings: &Map<String, Value>,
        scene: &Scene<'_>,
        problems: &mut Vec<Problem>,
    ) -> Option<Value> {
        let mut refuse = |message: String| {
            problems.push(Problem::at(name, message));
            None
        };
        let added = format!("{name}Rollout");
        if scene.resources.contains_key(&added) {
            return refuse(format!(
                "the rollout before it is to be called {added}, and there is a resource of that name"
            ));
        }
        if added.len() > NAME_CHARS_MAX {
            return refuse(format!(
                "the rollout before it is to be called {added}, which is longer than {NAME_CHARS_MAX}"
            ));
        }
        let properties = &alias["Properties"];
        if properties.get("RoutingConfig").is_some() {
            return refuse("it has a RoutingConfig; leave it out: Coalmine sets the weights".to_owned());
        }
        let mut fields = Map::new();
        fields.insert("ServiceToken".to_owned(), self.service_token.into());
        for (ours, of_alias) in [("Function", "FunctionName"), ("Alias", "Name"), ("Version", "FunctionVersion")] {
            match properties.get(of_alias) {
                Some(value) => fields.insert(ours.to_owned(), value.clone()),
                None => return refuse(format!("it has no {of_alias}")),
            };
        }
        fields.extend(settings.iter().map(|(key, value)| (key.clone(), value.clone())));
        // CloudFormation writes the whole alias when anything of it changes, with the version of the last answer: what is live
        // must be asked anew.
        let rest: Map<String, Value> = properties
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, _)| !OURS.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if !rest.is_empty() {
            fields.insert("Triggers".to_owned(), rest.into());
        }
        let found = wrong(&fields);
        if !found.is_empty() {
            problems.extend(found.into_iter().map(|problem| Problem::at(name, problem.to_string())));
            return None;
        }
        let mut rollout = json!({ "Type": ROLLOUT, "Properties": fields });
        // What the alias comes after, its traffic comes after. `DeletionPolicy` is the alias' own: a rollout that nobody ends
        // would go on without its stack.
        for attribute in ["Condition", "DependsOn"] {
            if let Some(value) = alias.get(attribute) {
                rollout[attribute] = value.clone();
            }
        }
        Some(rollout)
    }
}

/// What a template has.
struct Scene<'a> {
    resources: &'a Map<String, Value>,
    default: Given,
}

/// What is said about rollouts at one place.
#[derive(Debug, Clone, PartialEq)]
enum Given {
    Nothing,
    /// To leave alone what it is about.
    Off,
    Settings(Map<String, Value>),
}

enum Guard {
    Left(&'static str),
    By(Map<String, Value>),
}

impl Scene<'_> {
    /// Whether a rollout is put before an alias, and what is said about it.
    fn guard(&self, name: &str, alias: &Value, problems: &mut Vec<Problem>) -> Guard {
        let said = |resource: &Value, of: &str, problems: &mut Vec<Problem>| {
            let said = resource.get("Metadata").and_then(|metadata| metadata.get(METADATA));
            settings(&format!("{of}.Metadata.Coalmine"), said, problems)
        };
        let of_alias = said(alias, name, problems);
        let function = self.function_of(alias);
        let of_function = match function {
            Some((name, function)) => said(function, name, problems),
            None => Given::Nothing,
        };
        let asked_for = matches!(of_alias, Given::Settings(_)) || matches!(of_function, Given::Settings(_));
        let settings = match over(of_alias.clone(), over(of_function, self.default.clone())) {
            Given::Off => return Guard::Left("its metadata says so"),
            Given::Nothing => Map::new(),
            Given::Settings(settings) => settings,
        };
        let version = &alias["Properties"]["FunctionVersion"];
        if self.attribute(version, "Version").is_some_and(|resource| resource["Type"] == ROLLOUT) {
            return Guard::Left("a Custom::Rollout is before it already");
        }
        if alias.pointer("/UpdatePolicy/CodeDeployLambdaAliasUpdate").is_some() {
            if asked_for {
                let message = "CodeDeploy shifts it (DeploymentPreference): take that out, or have CodeDeploy ask Coalmine's hook \
                               and take `Coalmine` out of the metadata";
                problems.push(Problem::at(name, message));
            }
            return Guard::Left("CodeDeploy shifts it");
        }
        let made_by_sam = function.is_some_and(|(function, _)| name.starts_with(&format!("{function}Alias")))
            && self.attribute(version, "Version").is_some_and(|resource| resource["Type"] == VERSION);
        if made_by_sam || matches!(of_alias, Given::Settings(_)) {
            return Guard::By(settings);
        }
        Guard::Left("SAM did not make it")
    }

    fn function_of(&self, alias: &Value) -> Option<(&str, &Value)> {
        let name = alias["Properties"]["FunctionName"]["Ref"].as_str()?;
        let (name, function) = self.resources.get_key_value(name)?;
        (function["Type"] == FUNCTION).then_some((name.as_str(), function))
    }

    /// The resource of which a value is an attribute.
    fn attribute(&self, value: &Value, attribute: &str) -> Option<&Value> {
        let of = match &value["Fn::GetAtt"] {
            Value::Array(parts) if parts.get(1).and_then(Value::as_str) == Some(attribute) => {
                parts.first()?.as_str()?
            }
            Value::String(text) => text.strip_suffix(attribute)?.strip_suffix('.')?,
            Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
        };
        self.resources.get(of)
    }
}

/// What was said nearer to the alias counts, field by field; of two specs, too.
fn over(near: Given, far: Given) -> Given {
    let merge = |far: Map<String, Value>, near: Map<String, Value>| {
        let mut merged = far;
        for (key, value) in near {
            match (merged.get_mut(&key), value) {
                (Some(Value::Object(under)), Value::Object(spec)) if key == "Spec" => under.extend(spec),
                (_, value) => {
                    merged.insert(key, value);
                }
            }
        }
        merged
    };
    match (near, far) {
        (Given::Nothing, far) => far,
        (Given::Off, _) => Given::Off,
        (Given::Settings(near), Given::Settings(far)) => Given::Settings(merge(far, near)),
        (Given::Settings(near), Given::Nothing | Given::Off) => Given::Settings(near),
    }
}

/// What is said at a place.
fn settings(place: &str, said: Option<&Value>, problems: &mut Vec<Problem>) -> Given {
    let mut refuse = |message: String| {
        problems.push(Problem::at(place, message));
        Given::Nothing
    };
    match said {
        None | Some(Value::Null) => Given::Nothing,
        // In YAML `off` is a flag for some and a text for others.
        Some(Value::Bool(false)) => Given::Off,
        Some(Value::Bool(true)) => Given::Settings(Map::new()),
        Some(Value::String(text)) if ["off", "false"].contains(&text.as_str()) => Given::Off,
        Some(Value::String(text)) if ["on", "true"].contains(&text.as_str()) => Given::Settings(Map::new()),
        Some(Value::Object(fields)) => match fields.keys().find(|key| !SETTINGS.contains(&key.as_str())) {
            None => Given::Settings(fields.clone()),
            Some(unknown) => {
                let unknown = text::shown(unknown, 100);
                refuse(format!("`{unknown}` is unknown; it may have {}", SETTINGS.join(", ")))
            }
        },
        Some(other @ (Value::String(_) | Value::Number(_) | Value::Array(_))) => {
            refuse(format!("{other} is neither `on` nor `off` nor a mapping of {}", SETTINGS.join(", ")))
        }
    }
}

/// What the resource will refuse, as far as that can be told before CloudFormation has put in the values of its functions.
fn wrong(fields: &Map<String, Value>) -> Vec<Problem> {
    let mut known = Map::new();
    for (name, value) in fields {
        let stand_in = match name.as_str() {
            "Function" => "function",
            "Alias" => "alias",
            "Version" => "1",
            _ if has_function(value) => continue,
            _ => {
                known.insert(name.clone(), value.clone());
                continue;
            }
        };
        known.insert(name.clone(), stand_in.into());
    }
    Wish::read(&Value::Object(known)).err().unwrap_or_default()
}

/// Whether CloudFormation has yet to work out a part of it.
fn has_function(value: &Value) -> bool {
    match value {
        Value::Object(fields) => {
            fields.keys().any(|key| key == "Ref" || key == "Condition" || key.starts_with("Fn::"))
                || fields.values().any(has_function)
        }
        Value::Array(items) => items.iter().any(has_function),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
