//! The predefined configurations of CodeDeploy, by their names.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::decode::Leaf;
use super::problems::quoted;
use super::strategy::rising;
use super::{Advance, Step, suggest};
use crate::units::{Span, Weight};

/// A predefined CodeDeploy configuration. [`Preset::name`] is how CodeDeploy writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset(&'static Known);

#[derive(Debug, PartialEq, Eq)]
struct Known {
    name: &'static str,
    shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// 10 % for so many minutes, then everything.
    Canary(u64),
    /// 10 % more every so many minutes.
    Linear(u64),
    AllAtOnce,
}

const PREFIX: &str = "CodeDeployDefault.";

/// Every predefined configuration for Lambda and ECS.
const KNOWN: [Known; 14] = [
    Known { name: "LambdaCanary10Percent5Minutes", shape: Shape::Canary(5) },
    Known { name: "LambdaCanary10Percent10Minutes", shape: Shape::Canary(10) },
    Known { name: "LambdaCanary10Percent15Minutes", shape: Shape::Canary(15) },
    Known { name: "LambdaCanary10Percent30Minutes", shape: Shape::Canary(30) },
    Known { name: "LambdaLinear10PercentEvery1Minute", shape: Shape::Linear(1) },
    Known { name: "LambdaLinear10PercentEvery2Minutes", shape: Shape::Linear(2) },
    Known { name: "LambdaLinear10PercentEvery3Minutes", shape: Shape::Linear(3) },
    Known { name: "LambdaLinear10PercentEvery10Minutes", shape: Shape::Linear(10) },
    Known { name: "LambdaAllAtOnce", shape: Shape::AllAtOnce },
    Known { name: "ECSLinear10PercentEvery1Minutes", shape: Shape::Linear(1) },
    Known { name: "ECSLinear10PercentEvery3Minutes", shape: Shape::Linear(3) },
    Known { name: "ECSCanary10Percent5Minutes", shape: Shape::Canary(5) },
    Known { name: "ECSCanary10Percent15Minutes", shape: Shape::Canary(15) },
    Known { name: "ECSAllAtOnce", shape: Shape::AllAtOnce },
];

impl Preset {
    /// `CodeDeployDefault.LambdaAllAtOnce`.
    pub fn name(self) -> String {
        format!("{PREFIX}{}", self.0.name)
    }

    /// Only under its full name, which no configuration of a user's own has.
    pub fn named_by_codedeploy(name: &str) -> Option<Self> {
        KNOWN.iter().map(Self).find(|preset| preset.name().eq_ignore_ascii_case(name))
    }

    /// CodeDeploy's own weights and times, nothing added.
    pub fn steps(self) -> Vec<Step> {
        let ten_percent = Weight::from_basis_points(1000).unwrap_or(Weight::ZERO);
        let (weights, minutes) = match self.0.shape {
            Shape::Canary(minutes) => (vec![ten_percent], minutes),
            Shape::Linear(minutes) => (rising(ten_percent), minutes),
            Shape::AllAtOnce => (Vec::new(), 0),
        };
        let step = |weight| Step {
            weight,
            bake: Span::from_minutes(minutes),
            at_most: None,
            advance: Advance::UnlessHarm,
            approve: None,
        };
        weights.into_iter().map(step).collect()
    }
}

impl Leaf for Preset {
    const WHAT: &'static str = "a preset such as `CodeDeployDefault.LambdaCanary10Percent5Minutes`";

    /// With and without `CodeDeployDefault.`, and as SAM's `DeploymentPreference` writes it, without `Lambda`.
    fn read(text: &str) -> Result<Self, String> {
        let wanted = text.to_ascii_lowercase();
        let wanted = wanted.strip_prefix(&PREFIX.to_ascii_lowercase()).unwrap_or(&wanted);
        let matches = |known: &&Known| {
            let name = known.name.to_ascii_lowercase();
            wanted == name || Some(wanted) == name.strip_prefix("lambda")
        };
        if let Some(known) = KNOWN.iter().find(matches) {
            return Ok(Self(known));
        }
        let short = KNOWN.iter().map(|known| known.name.trim_start_matches("Lambda"));
        let names: Vec<&str> = KNOWN.iter().map(|known| known.name).chain(short).collect();
        let near = suggest::nearest(wanted, &names);
        Err(match near {
            Some(near) => format!("unknown preset {}; did you mean `{near}`?", quoted(text)),
            None => format!(
                "unknown preset {}; CodeDeploy's Lambda and ECS configurations are known, such as \
                 `{PREFIX}LambdaCanary10Percent5Minutes`",
                quoted(text)
            ),
        })
    }
}

impl JsonSchema for Preset {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Preset".into()
    }
    /// No `enum`: letter case does not matter.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<String> = KNOWN.iter().map(|known| Self(known).name()).collect();
        schemars::json_schema!({"type": "string", "examples": names})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_known_in_every_spelling_and_keeps_codedeploys_clock() {
        for known in &KNOWN {
            let bare = known.name.strip_prefix("Lambda").unwrap_or(known.name);
            for text in [known.name.to_owned(), format!("{PREFIX}{}", known.name), bare.to_owned()] {
                for text in [text.clone(), text.to_lowercase(), text.to_uppercase()] {
                    assert_eq!(Preset::read(&text), Ok(Preset(known)), "{text}");
                }
            }
        }
        // Minutes until everything is shifted, as the names say it: the last shift follows the last wait.
        for (name, steps, minutes) in [
            ("LambdaCanary10Percent30Minutes", 1, 30),
            ("Linear10PercentEvery1Minute", 9, 9),
            ("ECSLinear10PercentEvery3Minutes", 9, 27),
            ("LambdaLinear10PercentEvery10Minutes", 9, 90),
            ("AllAtOnce", 0, 0),
        ] {
            let plan = Preset::read(name).unwrap().steps();
            let total: u64 = plan.iter().map(|step| step.bake.seconds() / 60).sum();
            assert_eq!((plan.len(), total), (steps, minutes), "{name}");
            assert!(plan.iter().all(|step| step.advance == Advance::UnlessHarm));
        }
    }

    #[test]
    fn unknown_names_are_answered_with_the_nearest() {
        for (text, answer) in [
            (
                "CodeDeployDefault.LambdaCanary10Percent6Minutes",
                "unknown preset `CodeDeployDefault.LambdaCanary10Percent6Minutes`; did you mean \
                 `LambdaCanary10Percent5Minutes`?",
            ),
            (
                "Linear10PercentEvery1Minutes",
                "unknown preset `Linear10PercentEvery1Minutes`; did you mean \
              `Linear10PercentEvery1Minute`?",
            ),
            (
                "HalfAtATime",
                "unknown preset `HalfAtATime`; CodeDeploy's Lambda and ECS configurations are known, such as \
                 `CodeDeployDefault.LambdaCanary10Percent5Minutes`",
            ),
        ] {
            assert_eq!(Preset::read(text).map(Preset::name), Err(answer.to_owned()));
        }
    }
}
