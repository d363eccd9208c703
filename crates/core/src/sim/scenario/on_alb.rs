//! The same releases behind a load balancer: each version of a function is a target group.

use serde_json::{Value, json};

use super::{Happening, Scenario, What};
use crate::spec::{AlbTarget, KeepBaseline, RuleRef, Stickiness, Target, Version};
use crate::units::Weight;

const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012";
const BALANCER: &str = "app/shop/50dc6c495c0c9188";

/// The target group that stands for a version. By name, 42 comes before 41: nothing may depend on the order.
#[must_use]
pub fn group(function: &str, version: &Version) -> Version {
    let name = name(function, version);
    Version(format!("{ARN}:targetgroup/{name}/{}", hex(&name)))
}

fn name(function: &str, version: &Version) -> String {
    let colour = match version.0.as_str() {
        "41" => "green",
        "42" => "blue",
        number => number,
    };
    format!("{function}-{colour}")
}

/// A target group beside a rule, by its name; `None` where the rule's ARN is none.
pub(crate) fn group_arn(rule: &str, name: &str) -> Option<Version> {
    let (place, _) = rule.split_once(":listener")?;
    Some(Version(format!("{place}:targetgroup/{name}/{}", hex(name))))
}

/// Sixteen digits that belong to a text.
fn hex(text: &str) -> String {
    let mixed = text.bytes().fold(0x9e37_79b9_u64, |sum, byte| sum.wrapping_mul(1_099_511_628_211) ^ u64::from(byte));
    format!("{mixed:016x}")
}

/// The target of a release of `canary`: a rule and the default action of another listener move together.
#[must_use]
pub fn on_alb(function: &str, baseline: &Version, canary: &Version) -> AlbTarget {
    let of_function = hex(function);
    AlbTarget {
        rules: vec![
            RuleRef::Rule(format!("{ARN}:listener-rule/{BALANCER}/f2f7dc8efc522ab2/{of_function}")),
            RuleRef::DefaultOf(format!("{ARN}:listener/{BALANCER}/{of_function}")),
        ],
        target_groups: [baseline, canary].map(|version| name(function, version)),
        stickiness: Stickiness::Refuse,
        min_healthy_share: Weight::FULL,
        test_rule: None,
        keep_baseline: KeepBaseline::UntilNextRollout,
    }
}

/// A spec for an alias as one for the target groups of the same versions, with a name that does not change.
fn spec_on_alb(spec: &Value, alb: &AlbTarget, function: &str, canary: &Version) -> Value {
    let arn = |wanted: fn(&RuleRef) -> bool| alb.rules.iter().find(|rule| wanted(rule)).map(RuleRef::arn);
    let filled_in = spec.to_string().replace("{version}", "{targetGroup}");
    let mut spec: Value = serde_json::from_str(&filled_in).unwrap_or_default();
    if let Some(fields) = spec.as_object_mut() {
        fields.remove("version");
        fields.entry("name").or_insert_with(|| json!(format!("{function}-{}", canary.0)));
        let target = json!({ "alb": {
            "rule": arn(|rule| matches!(rule, RuleRef::Rule(_))),
            "listener": arn(|rule| matches!(rule, RuleRef::DefaultOf(_))),
            "targetGroups": alb.target_groups,
        } });
        fields.insert("target".to_owned(), target);
    }
    spec
}

impl Scenario {
    /// The same release of the same versions behind a load balancer. Releases that people start meanwhile stay what they
    /// are.
    #[must_use]
    pub fn on_alb(self) -> Self {
        let Target::Lambda(lambda) = &self.target else { return self };
        let function = lambda.function.clone();
        let canary = Version(self.spec["version"].as_str().unwrap_or_default().to_owned());
        let alb = on_alb(&function, &self.baseline, &canary);
        let group = |version: &Version| group(&function, version);
        let mut scenario = Self { baseline: group(&self.baseline), ..self.clone() };
        scenario.spec = spec_on_alb(&self.spec, &alb, &function, &canary);
        scenario.target = Target::Alb(alb);
        let versions = self.traffic.versions.iter().map(|(version, behaviour)| (group(version), behaviour.clone()));
        scenario.traffic.versions = versions.collect();
        for Happening { what, .. } in &mut scenario.events {
            if let What::Written { primary, additional } = what {
                *primary = group(primary);
                *additional = additional.take().map(|(version, weight)| (group(&version), weight));
            }
        }
        scenario
    }
}
