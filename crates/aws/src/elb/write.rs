//! Setting weights: read, compare, write, read again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_sdk_elasticloadbalancingv2::config::Builder;
use aws_sdk_elasticloadbalancingv2::types::Action;
use coalmine_core::observation::Routing;
use coalmine_core::ports::{Attach, Detach, Fault, FaultKind, LookError, SetError, SetWeight};
use coalmine_core::spec::{AlbTarget, RuleRef, Stickiness};
use coalmine_core::units::Weight;

use super::actions::{self, Wish};
use super::{Configured, DESCRIBE_RULES, Rule};
use crate::Aws;
use crate::errors::Call;
use crate::lambda_alias::THROTTLE_WAITS;

const MODIFY_RULE: Call = Call::new("ModifyRule", "elasticloadbalancing:ModifyRule");
const MODIFY_LISTENER: Call = Call::new("ModifyListener", "elasticloadbalancing:ModifyListener");

/// All rules of one write together, reading before and after it too. No rule is begun after it, and the answer to one
/// that was begun is waited for no longer.
const LONGEST_WRITE: Duration = Duration::from_secs(12);

/// A rule and what it is to do.
type Wanted<'a> = (Rule, Wish<'a>);

/// How far a write came, for whoever reads of its failure.
#[derive(Debug, Default)]
struct Progress {
    written: AtomicUsize,
    of: AtomicUsize,
}

impl Aws {
    /// A share of the requests behind every rule. A rule that has it already is not written.
    ///
    /// Only a throttled write is repeated, because then it is certain that nothing was written; the next tick looks
    /// before it writes again.
    pub(crate) async fn set_rules(&self, target: &AlbTarget, split: &SetWeight<'_>) -> Result<(), SetError> {
        let SetWeight { baseline, canary, weight, seen, .. } = *split;
        // Clients that stick to the new group would stay there, whatever the weights.
        let unstick = weight == Weight::ZERO && target.stickiness == Stickiness::DisableOnRollback;
        let progress = Progress::default();
        let work = async {
            let Configured { mut rules, .. } = self.unchanged(target, seen).await?;
            // One that somebody else has taken is not written.
            rules.retain(|rule| !actions::taken(&rule.actions, [baseline, canary]));
            let wish = Wish::Split { baseline, canary, weight, unstick };
            self.rewrite(rules.into_iter().map(|rule| (rule, wish)).collect(), &progress).await
        };
        progress.bounded(work).await
    }

    /// Both groups behind every rule, and the new one alone behind the rule for tests.
    pub(crate) async fn attach_group(&self, target: &AlbTarget, attach: &Attach<'_>) -> Result<(), SetError> {
        let progress = Progress::default();
        let work = async {
            let Configured { rules, test_rule, pair, .. } = self.unchanged(target, attach.seen).await?;
            let rules = rules.into_iter().map(|rule| (rule, Wish::Attach(&pair)));
            let test_rule = test_rule.transpose().map_err(|why| MODIFY_RULE.refusal(FaultKind::Rejected, why))?;
            let test_rule = test_rule.into_iter().map(|rule| (rule, Wish::Alone(attach.canary)));
            self.rewrite(rules.chain(test_rule).collect(), &progress).await
        };
        progress.bounded(work).await
    }

    /// No rule forwards to the group any more, wherever it has weight 0.
    pub(crate) async fn detach_group(&self, target: &AlbTarget, detach: &Detach<'_>) -> Result<(), SetError> {
        let progress = Progress::default();
        let work = async {
            let Configured { rules, .. } = self.unchanged(target, detach.seen).await?;
            let wish = Wish::Detach(detach.group);
            self.rewrite(rules.into_iter().map(|rule| (rule, wish)).collect(), &progress).await
        };
        progress.bounded(work).await
    }

    /// The rules, if they still are what was looked at.
    async fn unchanged(&self, target: &AlbTarget, seen: &Routing) -> Result<Configured, SetError> {
        let Some(fingerprint) = &seen.fingerprint else {
            let rules = target.rules.iter().map(RuleRef::arn).collect::<Vec<_>>().join(", ");
            let detail = format!("the look at {rules} brought no fingerprint to compare with");
            return Err(MODIFY_RULE.refusal(FaultKind::Rejected, detail).into());
        };
        let configured = self.configured(target).await.map_err(read_fault)?;
        if super::fingerprint(&configured.rules) == *fingerprint { Ok(configured) } else { Err(SetError::Stale) }
    }

    async fn rewrite(&self, wanted: Vec<Wanted<'_>>, progress: &Progress) -> Result<(), SetError> {
        let open: Vec<Wanted<'_>> =
            wanted.into_iter().filter(|(rule, wish)| !actions::fulfilled(&rule.actions, *wish)).collect();
        if open.is_empty() {
            return Ok(());
        }
        let lists: Vec<Result<Vec<Action>, Fault>> = open.iter().map(|(rule, wish)| rewritten(rule, *wish)).collect();
        // What cannot be written is known before anything is.
        let retreats = open.iter().all(|(_, wish)| matches!(wish, Wish::Split { weight: Weight::ZERO, .. }));
        let lists =
            if retreats { lists } else { lists.into_iter().map(|list| list.map(Ok)).collect::<Result<_, _>>()? };
        progress.of.store(open.len(), Ordering::Relaxed);
        let mut failed = None;
        for ((rule, _), list) in open.iter().zip(lists) {
            let done = match list {
                Ok(list) => self.replace(&rule.reference, &list).await,
                Err(fault) => Err(fault),
            };
            match done {
                Ok(()) => _ = progress.written.fetch_add(1, Ordering::Relaxed),
                // Traffic goes back behind every rule that lets it.
                Err(fault) if retreats => failed = failed.or(Some(fault)),
                Err(fault) => return Err(fault.into()),
            }
        }
        if let Some(fault) = failed {
            return Err(fault.into());
        }
        let references: Vec<RuleRef> = open.iter().map(|(rule, _)| rule.reference.clone()).collect();
        let now = self.rules(&references).await.map_err(read_fault)?;
        let kept = now.iter().zip(&open).all(|(rule, (_, wish))| actions::fulfilled(&rule.actions, *wish));
        if kept { Ok(()) } else { Err(SetError::Stale) }
    }

    async fn replace(&self, rule: &RuleRef, list: &[Action]) -> Result<(), Fault> {
        for wait in THROTTLE_WAITS {
            match self.replace_once(rule, list).await {
                Err(fault) if fault.kind == FaultKind::Throttled => tokio::time::sleep(wait).await,
                done => return done,
            }
        }
        self.replace_once(rule, list).await
    }

    /// What is not named stays: a rule's conditions, a listener's certificates.
    async fn replace_once(&self, rule: &RuleRef, list: &[Action]) -> Result<(), Fault> {
        let once = Builder::new().retry_config(RetryConfig::disabled());
        let list = Some(list.to_vec());
        match rule {
            RuleRef::Rule(arn) => {
                let request = self.elb().modify_rule().rule_arn(arn).set_actions(list);
                let answer = request.customize().config_override(once).send().await;
                answer.map(drop).map_err(|error| MODIFY_RULE.fault(error))
            }
            RuleRef::DefaultOf(arn) => {
                let request = self.elb().modify_listener().listener_arn(arn).set_default_actions(list);
                let answer = request.customize().config_override(once).send().await;
                answer.map(drop).map_err(|error| MODIFY_LISTENER.fault(error))
            }
        }
    }
}

impl Progress {
    async fn bounded(&self, work: impl Future<Output = Result<(), SetError>>) -> Result<(), SetError> {
        let done = tokio::time::timeout(LONGEST_WRITE, work).await;
        let late = || {
            let detail = format!("no end after {} s", LONGEST_WRITE.as_secs());
            Err(MODIFY_RULE.refusal(FaultKind::TimedOut, detail).into())
        };
        match done.unwrap_or_else(|_| late()) {
            Err(SetError::Fault(fault)) => Err(self.told(fault).into()),
            done => done,
        }
    }

    fn told(&self, fault: Fault) -> Fault {
        let (written, of) = (self.written.load(Ordering::Relaxed), self.of.load(Ordering::Relaxed));
        if of < 2 {
            return fault;
        }
        Fault { detail: format!("{}; {written} of {of} rules were written", fault.detail), ..fault }
    }
}

pub(super) fn rewritten(rule: &Rule, wish: Wish<'_>) -> Result<Vec<Action>, Fault> {
    let refused = |what: String| MODIFY_RULE.refusal(FaultKind::Rejected, format!("{} {what}", rule.reference.arn()));
    if rule.is_default {
        return Err(refused("is the default rule of its listener, which is changed by the listener's ARN".to_owned()));
    }
    actions::rewritten(&rule.actions, wish).map_err(refused)
}

pub(super) fn read_fault(error: LookError) -> Fault {
    match error {
        LookError::NotFound(what) => DESCRIBE_RULES.refusal(FaultKind::Rejected, what),
        LookError::Fault(fault) => fault,
    }
}
