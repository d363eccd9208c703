//! What a start would come to: everything is looked at, and nothing is written.

use super::start::{Checked, check};
use super::{Context, Settings};
use crate::command::Answer;
use crate::ports::{Budget, Ports};
use crate::rollout::Rollout;
use crate::spec::{Problem, Validated};
use crate::units::Timestamp;

/// A start that was only looked at.
#[derive(Debug)]
pub enum WouldStart {
    /// There is nothing to begin: why, as a sentence.
    Nothing(String),
    /// The rollout as it would begin, with what the past says in its plan; and what its starter would be warned of.
    Begins(Box<Rollout>, Vec<Problem>),
}

/// Looks at everything that a start looks at, with the same words for what is in the way.
///
/// # Errors
/// What is in the way.
pub async fn would_start(
    ports: &impl Ports,
    spec: Validated,
    now: Timestamp,
    budget: &impl Budget,
    settings: &Settings,
) -> Result<WouldStart, Vec<Problem>> {
    let context = Context { ports, budget, settings, now };
    match check(&context, spec, String::new()).await? {
        Checked::Begins(rollout, warnings) => Ok(WouldStart::Begins(rollout, warnings)),
        Checked::Answered(Answer::Nothing { message }) => Ok(WouldStart::Nothing(message)),
        Checked::Answered(Answer::Rollout(answer)) => Ok(WouldStart::Nothing(answer.message)),
        Checked::Answered(Answer::Minutes(_) | Answer::List(_) | Answer::Deployments { .. }) => {
            Ok(WouldStart::Nothing(String::new()))
        }
    }
}
