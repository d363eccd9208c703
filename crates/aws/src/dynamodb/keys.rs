//! Where things are in the table.
//!
//! | pk | sk | what |
//! |---|---|---|
//! | `ROLLOUT#<id>` | `STATE` | the rollout itself |
//! | `ROLLOUT#<id>` | `SEALED#<first minute>` | minutes that are never read from CloudWatch again |
//! | `ROLLOUT#<id>` | `DECISION#<revision>` | what a decision saw |
//! | `TARGET#<function>:<alias>`, `TARGET#alb/<group>` | `CLAIM` | the rollout that holds the alias, or the target group |
//! | `ACTIVE` | `<id>` | a rollout that a tick has to look at |
//! | `ALARM#<name>` | `<id>` | an active rollout that names the alarm |
//! | `HOOK` | `<deployment>#<digest of the execution>` | a hook that waits for its answer |
//! | `RESOURCE` | `<digest of the stack>#<digest of the resource>` | a stack's `Custom::Rollout`, and what was asked of it last |
//! | `JUDGED` | `<id>` | a rollout that judges another service's deployment, or did |
//! | `ENDED` | `<when>#<id>` | a rollout that has ended |

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use coalmine_core::cloudformation::Caller;
use coalmine_core::deployment::Hook;
use coalmine_core::ports::EndedPage;
use coalmine_core::rollout::Rollout;
use coalmine_core::spec::Target;
use coalmine_core::units::Minute;

use crate::digest;

/// Partition of the active rollouts: one a minute is read, and there are few, so one partition serves.
pub(super) const ACTIVE: &str = "ACTIVE";

/// Partition of the hooks that wait.
pub(super) const HOOK: &str = "HOOK";

/// Partition of the custom resources of stacks: those of the last week, a kilobyte or two each.
pub(super) const RESOURCE: &str = "RESOURCE";

/// Partition of the rollouts that judge another service's deployment, ended ones among them.
pub(super) const JUDGED: &str = "JUDGED";

/// Partition of the rollouts that have ended, by when: a time's are read without the others.
pub(super) const ENDED: &str = "ENDED";

/// What a sealed block's sort key begins with.
pub(super) const SEALED: &str = "SEALED#";

/// An item's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub pk: String,
    pub sk: String,
}

impl Key {
    pub fn state(id: &str) -> Self {
        Self { pk: rollout(id), sk: "STATE".to_owned() }
    }

    /// Digits enough for the year 9999, so that blocks sort by time.
    pub fn sealed(id: &str, first: Minute) -> Self {
        Self { pk: rollout(id), sk: format!("{SEALED}{:010}", first.index()) }
    }

    pub fn decision(id: &str, revision: u64) -> Self {
        Self { pk: rollout(id), sk: format!("DECISION#{revision:010}") }
    }

    /// Of two target groups either has a claim of its own: another pair may have one of them in common.
    pub fn claims(target: &Target) -> Vec<Self> {
        let key = |claim: String| Self { pk: format!("TARGET#{claim}"), sk: "CLAIM".to_owned() };
        target.claims().into_iter().map(key).collect()
    }

    pub fn active(id: &str) -> Self {
        Self { pk: ACTIVE.to_owned(), sk: id.to_owned() }
    }

    pub fn alarm(name: &str, id: &str) -> Self {
        Self { pk: alarm(name), sk: id.to_owned() }
    }

    /// An execution's name is as long as CodeDeploy likes, and a key is not: it stands there as a digest.
    pub fn hook(hook: &Hook) -> Self {
        Self { pk: HOOK.to_owned(), sk: format!("{}#{:016x}", hook.deployment.id(), digest(&hook.execution)) }
    }

    /// A stack's ARN and a resource's name may be longer than a key is.
    pub fn resource(caller: &Caller) -> Self {
        let sk = format!("{:016x}#{:016x}", digest(&caller.stack), digest(&caller.physical));
        Self { pk: RESOURCE.to_owned(), sk }
    }

    pub fn judged(id: &str) -> Self {
        Self { pk: JUDGED.to_owned(), sk: id.to_owned() }
    }

    /// `None` while it goes on.
    pub fn ended(rollout: &Rollout) -> Option<Self> {
        let at = rollout.ended_at()?;
        Some(Self { pk: ENDED.to_owned(), sk: EndedPage::place(at, &rollout.id) })
    }

    pub fn attributes(&self) -> HashMap<String, AttributeValue> {
        HashMap::from([
            ("pk".to_owned(), AttributeValue::S(self.pk.clone())),
            ("sk".to_owned(), AttributeValue::S(self.sk.clone())),
        ])
    }
}

/// Partition of everything of a rollout.
pub(super) fn rollout(id: &str) -> String {
    format!("ROLLOUT#{id}")
}

/// Partition of the rollouts that name an alarm.
pub(super) fn alarm(name: &str) -> String {
    format!("ALARM#{name}")
}
