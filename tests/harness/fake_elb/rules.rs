//! Writing a rule's actions: all of them at once, checked, and kept as they came.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::operations::{items, no_group, plain};
use super::{Refusal, State};

const GROUPS_MAX: usize = 5;
const WEIGHT_MAX: u32 = 999;
/// What an authentication against an identity provider must name besides its secret.
const OIDC: [&str; 5] = ["Issuer", "AuthorizationEndpoint", "TokenEndpoint", "UserInfoEndpoint", "ClientId"];

/// Replaces the actions of the rule in this place.
pub fn write(state: &mut State, place: usize, actions: &Value) -> Result<(), Refusal> {
    let arn = plain(&state.rules[place]["RuleArn"]);
    let last = items(actions).last().ok_or_else(|| invalid("a rule needs an action"))?;
    if !["forward", "redirect", "fixed-response"].contains(&plain(&last["Type"]).as_str()) {
        return Err(refused("InvalidLoadBalancerAction", "the last action must forward, redirect or answer"));
    }
    let (mut actions, mut secret) = (actions.clone(), None);
    for action in actions.as_array_mut().expect("it has a last item") {
        match plain(&action["Type"]).as_str() {
            "forward" => check_forward(state, &arn, action)?,
            "authenticate-oidc" => secret = Some(check_oidc(action, state.secrets.get(&arn))?),
            _ => {}
        }
    }
    state.secrets.extend(secret.map(|secret| (arn, secret)));
    state.rules[place]["Actions"] = as_stored(&actions);
    Ok(())
}

/// One group is shown both ways, several in the configuration alone; stickiness is off where nothing was said.
pub fn as_stored(actions: &Value) -> Value {
    let mut actions = actions.clone();
    for action in actions.as_array_mut().expect("actions are a list") {
        if action["Type"] != "forward" {
            continue;
        }
        let fields = action.as_object_mut().expect("an action is an object");
        let alone = fields.remove("TargetGroupArn");
        let config = fields.entry("ForwardConfig").or_insert_with(|| json!({}));
        if let (Some(group), true) = (alone, config["TargetGroups"].is_null()) {
            config["TargetGroups"] = json!([{ "TargetGroupArn": group, "Weight": "1" }]);
        }
        if config["TargetGroupStickinessConfig"].is_null() {
            config["TargetGroupStickinessConfig"] = json!({ "Enabled": "false" });
        }
        if let [group] = items(&config["TargetGroups"]) {
            let group = group["TargetGroupArn"].clone();
            fields.insert("TargetGroupArn".to_owned(), group);
        }
    }
    actions
}

/// The load balancers that forward to a group, be it at weight 0.
pub fn balancers_of(state: &State, group: &str) -> Vec<Value> {
    let of_rule =
        |rule: &&Value| items(&rule["Actions"]).iter().any(|action| groups(action).iter().any(|found| found == group));
    let listeners: BTreeSet<String> = state.rules.iter().filter(of_rule).map(|rule| plain(&rule["Listener"])).collect();
    let balancer =
        |listener: &String| listener.rsplit_once('/').map(|(rest, _)| rest.replace(":listener/", ":loadbalancer/"));
    let balancers: BTreeSet<String> = listeners.iter().filter_map(balancer).collect();
    balancers.into_iter().map(Value::from).collect()
}

fn groups(action: &Value) -> Vec<String> {
    let configured = items(&action["ForwardConfig"]["TargetGroups"]);
    let alone = std::iter::once(&action["TargetGroupArn"]).filter(|_| configured.is_empty());
    configured
        .iter()
        .map(|group| &group["TargetGroupArn"])
        .chain(alone)
        .map(plain)
        .filter(|arn| !arn.is_empty())
        .collect()
}

fn check_forward(state: &State, rule: &str, action: &Value) -> Result<(), Refusal> {
    let (arns, config) = (groups(action), &action["ForwardConfig"]);
    let tuples = items(&config["TargetGroups"]);
    let alone = plain(&action["TargetGroupArn"]);
    if !alone.is_empty() && !tuples.is_empty() && arns != [alone] {
        return Err(refused(
            "InvalidLoadBalancerAction",
            "with TargetGroupArn, ForwardConfig may name that one target group only",
        ));
    }
    if arns.is_empty() || arns.len() > GROUPS_MAX {
        return Err(invalid(&format!("a forward action has 1 to {GROUPS_MAX} target groups, not {}", arns.len())));
    }
    if arns.iter().collect::<BTreeSet<_>>().len() < arns.len() {
        return Err(invalid("a target group is named twice"));
    }
    for tuple in tuples {
        let weight = tuple["Weight"].as_str();
        let fits = weight.is_some_and(|weight| weight.parse::<u32>().is_ok_and(|weight| weight <= WEIGHT_MAX));
        if !fits && (weight.is_some() || tuples.len() > 1) {
            return Err(invalid(&format!("Weight {weight:?} is not between 0 and {WEIGHT_MAX}")));
        }
    }
    for arn in &arns {
        if !state.groups.iter().any(|group| group["TargetGroupArn"] == *arn) {
            return Err(no_group());
        }
        let own = rule.replace(":listener-rule/", ":loadbalancer/");
        let elsewhere = |balancer: &Value| !own.starts_with(&plain(balancer));
        if balancers_of(state, arn).iter().any(elsewhere) {
            let message = "a target group cannot be associated with more than one load balancer";
            return Err(refused("TargetGroupAssociationLimit", message));
        }
    }
    let sticky = &config["TargetGroupStickinessConfig"];
    let seconds = plain(&sticky["DurationSeconds"]).parse::<u32>();
    if sticky["Enabled"] == "true" && !seconds.is_ok_and(|seconds| (1..=604_800).contains(&seconds)) {
        return Err(invalid("stickiness needs DurationSeconds between 1 and 604800"));
    }
    Ok(())
}

/// Takes the secret out of the action. It may be left out only by saying so.
fn check_oidc(action: &mut Value, known: Option<&String>) -> Result<String, Refusal> {
    let config = action["AuthenticateOidcConfig"].as_object_mut();
    let config = config.ok_or_else(|| invalid("authenticate-oidc needs its configuration"))?;
    if let Some(missing) = OIDC.iter().find(|field| !config.contains_key(**field)) {
        return Err(invalid(&format!("authenticate-oidc needs {missing}")));
    }
    let keeps = config.remove("UseExistingClientSecret").is_some_and(|keeps| keeps == "true");
    let secret =
        config.remove("ClientSecret").map(|secret| plain(&secret)).or_else(|| known.cloned().filter(|_| keeps));
    secret.ok_or_else(|| invalid("authenticate-oidc needs its ClientSecret, or UseExistingClientSecret"))
}

fn invalid(message: &str) -> Refusal {
    refused("ValidationError", message)
}

fn refused(code: &'static str, message: &str) -> Refusal {
    Refusal(code, message.to_owned())
}
