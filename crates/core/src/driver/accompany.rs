//! Opening the rollout that judges another service's deployment. The deployment moves anyway, so only a spec that is wrong
//! is a reason not to judge it.

use super::Context;
use super::hooks::NOT_SAID_YET;
use crate::deployment::{Deployment, FoundSpec, Reply};
use crate::ports::{Budget, Ports};
use crate::rollout::Rollout;
use crate::spec::{Problem, Validated};

/// Who judges a deployment.
pub(super) enum Accompanied {
    /// A rollout that was there before.
    By(Box<Rollout>),
    Opened(Box<Rollout>, Vec<Problem>),
    /// Nobody: the spec is wrong, which the text says.
    Refused(String),
    /// Nobody yet; says why.
    NotYet(String),
}

pub(super) async fn accompany<P: Ports, B: Budget>(
    context: &Context<'_, P, B>,
    deployment: &Deployment,
    inline: Option<&FoundSpec>,
) -> Accompanied {
    let _ = (context, deployment, inline);
    Accompanied::NotYet(NOT_SAID_YET.to_owned())
}

impl<P: Ports, B: Budget> Context<'_, P, B> {
    pub(super) async fn spec_of(&self, _: &Deployment, _: Option<&FoundSpec>) -> Result<Validated, Reply> {
        Err(Reply::Wait(NOT_SAID_YET.to_owned()))
    }
}
