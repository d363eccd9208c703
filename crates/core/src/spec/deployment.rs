//! A spec for another service's deployment: what was left for it, which may be part of a spec, and what the deployment says
//! itself.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::parse::{finish_for, merge};
use super::problems::{Place, Pos, Problems, quoted};
use super::tree::{Node, Tree};
use super::{AlbTarget, KeepBaseline, Owner, Problem, RolloutSpec, RuleRef, Stickiness, Target, Validated};
use crate::deployment::{Deployment, DeploymentRef, FoundSpec, Shift};

/// The spec of the rollout that judges a deployment. Target, version and name are the deployment's, and so are the weights
/// and their times; everything else is what `found` says, or its default. What is found need not be a whole spec.
///
/// # Errors
///
/// All problems of the text at once, and everything in it that contradicts the deployment.
pub fn for_deployment(found: Option<&FoundSpec>, deployment: &Deployment) -> Result<Validated, Vec<Problem>> {
    let Some(shift) = &deployment.shift else {
        return Err(vec![Problem::at("target", format!("{} does not say yet what it moves", deployment.reference))]);
    };
    let mut problems = Problems::default();
    let given = Node::from_value(&given(deployment, shift), &mut problems);
    let merged = match found {
        None => given,
        Some(found) => Node::from_text(&found.text, Pos::Text, &mut problems).and_then(|own| {
            contradictions(&own, deployment, shift, &mut problems);
            given.map(|given| merge(own, given))
        }),
    };
    let Validated { spec, warnings } = finish_for(merged, Some(deployment), problems)?;
    match different_target(&spec.target, &shift.target) {
        Some(problem) => Err(vec![problem]),
        None => {
            Ok(Validated { spec: RolloutSpec { target: as_shifted(spec.target, &shift.target), ..spec }, warnings })
        }
    }
}

/// What the deployment says, in the words of the language.
fn given(deployment: &Deployment, shift: &Shift) -> Value {
    let advance = match deployment.reference {
        // Its clock cannot be held, so a step ends without a proof all the same.
        DeploymentRef::CodeDeploy(_) => "unlessHarm",
        // Without a step no minute has both versions, and nothing can be proven.
        DeploymentRef::Ecs(_) if deployment.steps.is_empty() => "unlessHarm",
        DeploymentRef::Ecs(_) => "onProof",
    };
    let mut given = json!({ "coalmine": "v1", "name": deployment.reference.id(), "advance": advance });
    match &shift.target {
        Target::Lambda(lambda) => {
            let (function, alias) = (&lambda.function, &lambda.alias);
            given["target"] = json!({ "lambda": { "function": function, "alias": alias, "owner": "codedeploy" } });
            given["version"] = json!(shift.canary.0);
        }
        Target::Alb(alb) => {
            let arns = |wanted: fn(&RuleRef) -> bool| -> Vec<&str> {
                alb.rules.iter().filter(|rule| wanted(rule)).map(RuleRef::arn).collect()
            };
            let mut fields = json!({ "targetGroups": alb.target_groups });
            for (field, arns) in [
                ("rule", arns(|rule| matches!(rule, RuleRef::Rule(_)))),
                ("listener", arns(|rule| matches!(rule, RuleRef::DefaultOf(_)))),
            ] {
                if !arns.is_empty() {
                    fields[field] = json!(arns);
                }
            }
            if let Some(rule) = &alb.test_rule {
                fields["testRule"] = json!(rule);
            }
            given["target"] = json!({ "alb": fields });
        }
    }
    given
}

/// Reports what a text says that is for the deployment to say. A target is looked at once it is read.
fn contradictions(own: &Node, deployment: &Deployment, shift: &Shift, problems: &mut Problems) {
    let Tree::Map(fields) = &own.tree else { return };
    let of = &deployment.reference;
    for field in fields {
        let written = match &field.value.tree {
            Tree::Text(text) | Tree::Number(_, text) => Some(text.as_str()),
            Tree::Null | Tree::Bool(_) | Tree::List(_) | Tree::Map(_) => None,
        };
        let message = match (field.key.as_str(), written, &shift.target) {
            ("strategy", _, _) => format!(
                "{of} moves the traffic by its own timetable ({}), which is what counts; leave `strategy` out",
                deployment.strategy
            ),
            ("name", Some(name), _) if name != of.id() => {
                format!("the rollout is named after {of}, not {}; leave `name` out", quoted(name))
            }
            ("version", Some(version), Target::Lambda(_)) if version != shift.canary.0 => {
                format!("{of} moves to {}, not to {}; leave `version` out", shift.canary, quoted(version))
            }
            _ => continue,
        };
        let pos = if written.is_some() { field.value.pos } else { field.key_pos };
        problems.add(&Place::whole(own.pos).field(&field.key, pos), message);
    }
}

/// What is wrong with a target that was written, beside the one that is shifted.
fn different_target(written: &Target, shifted: &Target) -> Option<Problem> {
    if let Target::Alb(alb) = written {
        let ours = [
            ("stickiness", alb.stickiness != Stickiness::Refuse),
            ("keepBaseline", alb.keep_baseline != KeepBaseline::UntilNextRollout),
        ];
        if let Some((field, _)) = ours.into_iter().find(|(_, is_written)| *is_written) {
            let message = format!("it is Amazon ECS that changes the rules of this deployment; leave `{field}` out");
            return Some(Problem::at(format!("target.alb.{field}"), message));
        }
    }
    let same = match (written, shifted) {
        (Target::Lambda(lambda), Target::Lambda(_)) if lambda.owner == Owner::Coalmine => {
            let message = "it is CodeDeploy that moves the traffic of this deployment; leave `owner` out";
            return Some(Problem::at("target.lambda.owner", message));
        }
        (Target::Alb(written), Target::Alb(shifted)) => {
            let rules = |alb: &AlbTarget| alb.rules.iter().cloned().collect::<BTreeSet<RuleRef>>();
            rules(written) == rules(shifted)
        }
        (Target::Lambda(_) | Target::Alb(_), _) => true,
    };
    let (said, moved) = (written.key(), shifted.key());
    let message = if said != moved {
        format!("the spec says {said}, and this deployment shifts {moved}; leave `target` out")
    } else if !same {
        format!("the spec names other rules than those that this deployment shifts {moved} behind; leave them out")
    } else {
        return None;
    };
    Some(Problem::at("target", message))
}

/// The target as its service spells it, with what the spec says of how it is judged.
fn as_shifted(written: Target, shifted: &Target) -> Target {
    match (written, shifted) {
        (Target::Alb(written), Target::Alb(shifted)) => {
            Target::Alb(AlbTarget { min_healthy_share: written.min_healthy_share, ..shifted.clone() })
        }
        (written @ (Target::Lambda(_) | Target::Alb(_)), _) => written,
    }
}
