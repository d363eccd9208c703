//! What the operations do.

use serde_json::{Value, json};

use super::rules;
use super::{Refusal, Registered, State};

const PREFIX: &str = "arn:aws:elasticloadbalancing:us-east-1:123456789012";
/// Of the lists that come in pages. Small, so that who reads the first page alone is found out.
const PAGE: usize = 2;

pub fn run(state: &mut State, action: &str, form: &Value) -> Result<Value, Refusal> {
    match action {
        "CreateTargetGroup" => Ok(create_group(state, form)),
        "CreateLoadBalancer" => Ok(create_balancer(state, form)),
        "CreateListener" => create_listener(state, form),
        "CreateRule" => create_rule(state, form),
        "ModifyListener" => modify_listener(state, form),
        "ModifyRule" => modify_rule(state, form),
        "RegisterTargets" => register(state, form),
        "DeregisterTargets" => deregister(state, form),
        "ModifyTargetGroupAttributes" => modify_attributes(state, form),
        "DescribeTargetGroups" => groups(state, form),
        "DescribeTargetGroupAttributes" => attributes(state, form),
        "DescribeTargetHealth" => health(state, form),
        "DescribeLoadBalancers" => balancers(state, form),
        "DescribeLoadBalancerAttributes" => balancer_attributes(state, form),
        "DescribeListeners" => listeners(state, form),
        "DescribeRules" => rules(state, form),
        other => Err(Refusal("InvalidAction", format!("could not find operation {other}"))),
    }
}

fn create_group(state: &mut State, form: &Value) -> Value {
    let arn = format!("{PREFIX}:targetgroup/{}/{}", plain(&form["Name"]), state.id());
    let mut group = json!({ "TargetGroupArn": arn, "TargetGroupName": form["Name"], "HealthCheckEnabled": "true" });
    for field in ["Protocol", "Port", "VpcId", "TargetType", "HealthCheckEnabled"] {
        if !form[field].is_null() {
            group[field] = form[field].clone();
        }
    }
    state.groups.push(group.clone());
    json!({ "TargetGroups": [group] })
}

fn create_balancer(state: &mut State, form: &Value) -> Value {
    let arn = format!("{PREFIX}:loadbalancer/app/{}/{}", plain(&form["Name"]), state.id());
    let balancer = json!({
        "LoadBalancerArn": arn, "LoadBalancerName": form["Name"], "VpcId": "vpc-1", "Type": "application",
        "State": { "Code": "active" },
    });
    state.balancers.push(balancer.clone());
    json!({ "LoadBalancers": [balancer] })
}

fn create_listener(state: &mut State, form: &Value) -> Result<Value, Refusal> {
    let balancer = plain(&form["LoadBalancerArn"]);
    let arn = format!("{}/{}", balancer.replace(":loadbalancer/", ":listener/"), state.id());
    let rule = json!({ "RuleArn": format!("{}/{}", arn.replace(":listener/", ":listener-rule/"), state.id()),
        "Default": arn, "Listener": arn, "Priority": "default", "IsDefault": "true", "Conditions": [] });
    add_rule(state, rule, &form["DefaultActions"])?;
    let mut listener = json!({ "ListenerArn": arn, "LoadBalancerArn": balancer });
    for field in ["Port", "Protocol"] {
        listener[field] = form[field].clone();
    }
    state.listeners.push(listener);
    listeners(state, &json!({ "ListenerArns": [arn] }))
}

fn create_rule(state: &mut State, form: &Value) -> Result<Value, Refusal> {
    let listener = plain(&form["ListenerArn"]);
    let arn = format!("{}/{}", listener.replace(":listener/", ":listener-rule/"), state.id());
    let rule = json!({ "RuleArn": arn, "Listener": listener, "Priority": form["Priority"], "IsDefault": "false",
        "Conditions": form["Conditions"] });
    add_rule(state, rule, &form["Actions"])?;
    rules(state, &json!({ "RuleArns": [arn] }))
}

fn add_rule(state: &mut State, mut rule: Value, actions: &Value) -> Result<(), Refusal> {
    rule["Actions"] = json!([]);
    state.rules.push(rule);
    let place = state.rules.len() - 1;
    rules::write(state, place, actions).inspect_err(|_| state.rules.truncate(place))
}

fn modify_rule(state: &mut State, form: &Value) -> Result<Value, Refusal> {
    let arn = plain(&form["RuleArn"]);
    let place = state.rules.iter().position(|rule| rule["RuleArn"] == arn).ok_or_else(no_rule)?;
    if state.rules[place]["IsDefault"] == "true" {
        return Err(Refusal("OperationNotPermitted", format!("Default rule '{arn}' cannot be modified")));
    }
    rules::write(state, place, &form["Actions"])?;
    rules(state, &json!({ "RuleArns": [arn] }))
}

fn modify_listener(state: &mut State, form: &Value) -> Result<Value, Refusal> {
    let arn = plain(&form["ListenerArn"]);
    let place = state.rules.iter().position(|rule| rule["Default"] == arn).ok_or_else(no_listener)?;
    rules::write(state, place, &form["DefaultActions"])?;
    listeners(state, &json!({ "ListenerArns": [arn] }))
}

fn register(state: &mut State, form: &Value) -> Result<Value, Refusal> {
    let group = known_group(state, form)?;
    let registered = state.targets.entry(group).or_default();
    for target in items(&form["Targets"]) {
        registered.push(Registered { id: plain(&target["Id"]), checks_left: 0, says: None });
    }
    Ok(json!({}))
}

fn deregister(state: &mut State, form: &Value) -> Result<Value, Refusal> {
    let group = known_group(state, form)?;
    let gone: Vec<String> = items(&form["Targets"]).iter().map(|target| plain(&target["Id"])).collect();
    state.targets.entry(group).or_default().retain(|target| !gone.contains(&target.id));
    Ok(json!({}))
}

fn modify_attributes(state: &mut State, form: &Value) -> Result<Value, Refusal> {
    let group = known_group(state, form)?;
    let set = items(&form["Attributes"]).iter().map(|pair| (plain(&pair["Key"]), plain(&pair["Value"])));
    state.attributes.entry(group).or_default().extend(set);
    attributes(state, form)
}

fn groups(state: &State, form: &Value) -> Result<Value, Refusal> {
    let wanted = |group: &Value| {
        let named = contains(&form["Names"], &group["TargetGroupName"]);
        let of_balancer = || {
            form["LoadBalancerArn"].is_null() || contains_value(&group["LoadBalancerArns"], &form["LoadBalancerArn"])
        };
        named && contains(&form["TargetGroupArns"], &group["TargetGroupArn"]) && of_balancer()
    };
    let shown = state.groups.iter().map(|group| {
        let mut shown = group.clone();
        shown["LoadBalancerArns"] = rules::balancers_of(state, &plain(&group["TargetGroupArn"])).into();
        shown
    });
    let found: Vec<Value> = shown.filter(wanted).collect();
    let asked = items(&form["Names"]).len() + items(&form["TargetGroupArns"]).len();
    if found.len() < asked {
        return Err(no_group());
    }
    Ok(page("TargetGroups", found, asked > 0, form))
}

fn attributes(state: &State, form: &Value) -> Result<Value, Refusal> {
    let group = known_group(state, form)?;
    let set = state.attributes.get(&group);
    let defaults = [("deregistration_delay.timeout_seconds", "300"), ("slow_start.duration_seconds", "0")];
    let value = |(key, default): (&str, &str)| {
        let value = set.and_then(|set| set.get(key)).map_or(default, String::as_str);
        json!({ "Key": key, "Value": value })
    };
    Ok(json!({ "Attributes": defaults.map(value) }))
}

fn health(state: &mut State, form: &Value) -> Result<Value, Refusal> {
    let group = known_group(state, form)?;
    let attached = !rules::balancers_of(state, &group).is_empty();
    let of_group = |found: &&Value| found["TargetGroupArn"] == group.as_str();
    let checked = state.groups.iter().find(of_group).is_some_and(|found| found["HealthCheckEnabled"] == "true");
    let targets = state.targets.entry(group).or_default();
    let shown = targets.iter_mut().map(|target| {
        let (state, reason) = match target.says {
            _ if !attached => ("unused", "Target.NotInUse"),
            _ if !checked => ("unavailable", "Target.HealthCheckDisabled"),
            Some(says) => says,
            None if target.checks_left > 0 => {
                target.checks_left -= 1;
                ("initial", "Elb.InitialHealthChecking")
            }
            None => ("healthy", ""),
        };
        let mut health = json!({ "State": state });
        if !reason.is_empty() {
            health["Reason"] = reason.into();
            health["Description"] = format!("because of {reason}").into();
        }
        json!({ "Target": { "Id": target.id, "Port": "80" }, "HealthCheckPort": "80", "TargetHealth": health })
    });
    Ok(json!({ "TargetHealthDescriptions": shown.collect::<Vec<_>>() }))
}

fn balancers(state: &State, form: &Value) -> Result<Value, Refusal> {
    let wanted = |balancer: &&Value| {
        contains(&form["LoadBalancerArns"], &balancer["LoadBalancerArn"])
            && contains(&form["Names"], &balancer["LoadBalancerName"])
    };
    let found: Vec<Value> = state.balancers.iter().filter(wanted).cloned().collect();
    let asked = items(&form["Names"]).len() + items(&form["LoadBalancerArns"]).len();
    if found.len() < asked {
        return Err(no_balancer());
    }
    Ok(page("LoadBalancers", found, asked > 0, form))
}

fn balancer_attributes(state: &State, form: &Value) -> Result<Value, Refusal> {
    balancers(state, &json!({ "LoadBalancerArns": [form["LoadBalancerArn"]] }))?;
    Ok(json!({ "Attributes": [{ "Key": "idle_timeout.timeout_seconds", "Value": "60" }] }))
}

fn listeners(state: &State, form: &Value) -> Result<Value, Refusal> {
    let of_balancer =
        |listener: &&Value| form["LoadBalancerArn"].is_null() || listener["LoadBalancerArn"] == form["LoadBalancerArn"];
    let wanted = |listener: &&Value| contains(&form["ListenerArns"], &listener["ListenerArn"]);
    let shown = state.listeners.iter().filter(of_balancer).filter(wanted).map(|listener| {
        let default = state.rules.iter().find(|rule| rule["Default"] == listener["ListenerArn"]);
        let mut shown = listener.clone();
        shown["DefaultActions"] = default.map_or(Value::Null, |rule| rule["Actions"].clone());
        shown
    });
    let (found, asked) = (shown.collect::<Vec<_>>(), items(&form["ListenerArns"]).len());
    if found.len() < asked {
        return Err(no_listener());
    }
    Ok(page("Listeners", found, asked > 0, form))
}

fn rules(state: &State, form: &Value) -> Result<Value, Refusal> {
    let asked = items(&form["RuleArns"]).len();
    if (asked > 0) != form["ListenerArn"].is_null() {
        let message = "You must specify either listener rule ARNs or a listener ARN".to_owned();
        return Err(Refusal("ValidationError", message));
    }
    if !form["ListenerArn"].is_null() && !state.listeners.iter().any(|one| one["ListenerArn"] == form["ListenerArn"]) {
        return Err(no_listener());
    }
    let of_listener = |rule: &&Value| form["ListenerArn"].is_null() || rule["Listener"] == form["ListenerArn"];
    let wanted = |rule: &&Value| contains(&form["RuleArns"], &rule["RuleArn"]);
    let shown = state.rules.iter().filter(of_listener).filter(wanted).map(|rule| {
        let mut shown = rule.clone();
        // The fake's own.
        shown["Default"] = Value::Null;
        shown["Listener"] = Value::Null;
        shown
    });
    let found: Vec<Value> = shown.collect();
    if found.len() < asked {
        return Err(no_rule());
    }
    Ok(page("Rules", found, asked > 0, form))
}

/// All at once where they were asked for one by one.
fn page(name: &str, found: Vec<Value>, at_once: bool, form: &Value) -> Value {
    let from = form["Marker"].as_str().map_or(0, |marker| marker.parse().expect("a marker of ours"));
    let until = if at_once { found.len() } else { found.len().min(from + PAGE) };
    let mut result = json!({ name: found[from..until] });
    if until < found.len() {
        result["NextMarker"] = until.to_string().into();
    }
    result
}

fn known_group(state: &State, form: &Value) -> Result<String, Refusal> {
    let arn = plain(&form["TargetGroupArn"]);
    let known = state.groups.iter().any(|group| group["TargetGroupArn"] == arn);
    if known { Ok(arn) } else { Err(no_group()) }
}

/// Nothing asked for is everything.
fn contains(asked: &Value, value: &Value) -> bool {
    asked.is_null() || contains_value(asked, value)
}

fn contains_value(values: &Value, value: &Value) -> bool {
    items(values).contains(value)
}

pub fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub fn plain(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub fn no_group() -> Refusal {
    Refusal("TargetGroupNotFound", "One or more target groups not found".to_owned())
}

fn no_rule() -> Refusal {
    Refusal("RuleNotFound", "One or more rules not found".to_owned())
}

fn no_listener() -> Refusal {
    Refusal("ListenerNotFound", "One or more listeners not found".to_owned())
}

fn no_balancer() -> Refusal {
    Refusal("LoadBalancerNotFound", "One or more load balancers not found".to_owned())
}
