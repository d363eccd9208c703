//! The way out without Coalmine. It is made of the stored rollout alone, so that whoever reads a notice, a screen or a page has it
//! there, also while nothing of Coalmine answers.

use std::fmt;

use crate::deployment::DeploymentRef;
use crate::rollout::{Phase, Rollout};
use crate::spec::{AlbTarget, LambdaTarget, Target, Version};

/// What puts all traffic back on the old version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WayOut {
    /// A line for a shell, for anybody who has the permission.
    Line(String),
    /// What a rule does besides must stay as it is, so it has to be read first.
    ReadFirst {
        /// Reads it and prints the lines; needs Coalmine's table of rollouts, but none of its decisions.
        command: String,
        /// What a person does in the console.
        by_hand: String,
    },
}

impl WayOut {
    /// Of a rollout as it is stored; `None` where there is nothing of it to put back: it has given the new version no traffic
    /// yet, has put all of it back, or others have the target.
    #[must_use]
    pub fn of(rollout: &Rollout) -> Option<Self> {
        let over = matches!(rollout.phase, Phase::RolledBack { .. } | Phase::Superseded { .. });
        // A deployment of another service shifts by itself.
        let moves = rollout.has_begun() || rollout.guest.is_some();
        if over || !moves {
            return None;
        }
        // One that has ended cannot be stopped any more.
        if let Some(guest) = rollout.guest.as_ref().filter(|_| !rollout.is_terminal()) {
            return Some(Self::Line(stop(&guest.deployment)));
        }
        Some(match &rollout.spec.target {
            Target::Lambda(alias) => Self::Line(put_back(alias, &rollout.baseline)),
            Target::Alb(balancer) => in_rules(rollout, balancer),
        })
    }

    /// What is pasted into a shell.
    #[must_use]
    pub fn command(&self) -> &str {
        match self {
            Self::Line(line) => line,
            Self::ReadFirst { command, .. } => command,
        }
    }
}

/// For people, in one line.
impl fmt::Display for WayOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "{line}"),
            Self::ReadFirst { command, by_hand } => write!(f, "{by_hand}; {command} prints it as commands"),
        }
    }
}

/// What gives a version all traffic of an alias.
#[must_use]
pub fn put_back(LambdaTarget { function, alias, .. }: &LambdaTarget, version: &Version) -> String {
    let [function, alias, version] = [function, alias, &version.0].map(|word| quoted(word));
    format!(
        "aws lambda update-alias --function-name {function} --name {alias} --function-version {version} --routing-config \
         AdditionalVersionWeights={{}}"
    )
}

/// What has the service that shifts the traffic shift it back.
fn stop(deployment: &DeploymentRef) -> String {
    match deployment {
        DeploymentRef::CodeDeploy(id) => {
            format!("aws deploy stop-deployment --deployment-id {} --auto-rollback-enabled", quoted(id))
        }
        DeploymentRef::Ecs(arn) => {
            format!("aws ecs stop-service-deployment --service-deployment-arn {} --stop-type ROLLBACK", quoted(arn))
        }
    }
}

fn in_rules(Rollout { id, baseline, canary, .. }: &Rollout, balancer: &AlbTarget) -> WayOut {
    let rules = match balancer.rules.len() {
        1 => "the rule that forwards".to_owned(),
        rules => format!("each of the {rules} rules that forward"),
    };
    WayOut::ReadFirst {
        command: format!("coalmine undo {} --print", quoted(id)),
        by_hand: format!("in {rules} to both, give {baseline} all the weight and {canary} none"),
    }
}

/// A word for a POSIX shell.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::{Guest, PhaseName, Why};
    use crate::sim::scenario::run;
    use crate::sim::tour;
    use crate::units::{Timestamp, Weight};

    fn rollout(stop: usize) -> Rollout {
        Rollout::clone(&run(&tour::stops()[stop].scenario, 1).unwrap().rollout)
    }

    fn line(rollout: &Rollout) -> Option<String> {
        WayOut::of(rollout).map(|out| out.to_string())
    }

    const ALIAS: &str = "aws lambda update-alias --function-name checkout --name live --function-version 41 --routing-config \
                         AdditionalVersionWeights={}";

    #[test]
    fn an_alias_is_put_back_with_one_line_while_there_is_anything_to_put_back() {
        let promoted = rollout(0);
        let at = promoted.now;
        let step = Phase::Baking { step: 0, since: at, proof: None, approved: false };
        let shifting = Phase::Shifting { step: 0, from: Weight::ZERO, since: at };
        let pending = Phase::Pending { since: at, behind: None, ready: true };
        let back = Phase::RolledBack { at, why: Why::SwitchFired };
        let others = Phase::Superseded { at, why: Why::SwitchFired };
        let cases = [(step, true), (shifting, true), (pending, false), (back, false), (others, false)];
        assert_eq!(line(&promoted).as_deref(), Some(ALIAS));
        for (phase, any) in cases {
            let rollout = Rollout { phase, ..promoted.clone() };
            assert_eq!(line(&rollout), any.then(|| ALIAS.to_owned()), "{:?}", rollout.phase);
        }
    }

    #[test]
    fn a_deployment_of_another_service_is_stopped_by_it() {
        let deployment = DeploymentRef::CodeDeploy("d-3GSL8P2NK".to_owned());
        let guest = Some(Guest { deployment, may_leave: None });
        let at: Timestamp = rollout(0).now;
        let pending = Phase::Pending { since: at, behind: None, ready: false };
        let waiting = Rollout { guest: guest.clone(), phase: pending, ..rollout(0) };
        let stopped = "aws deploy stop-deployment --deployment-id d-3GSL8P2NK --auto-rollback-enabled";
        assert_eq!(line(&waiting).as_deref(), Some(stopped));
        // One that is over is not stopped any more.
        let over = Rollout { guest, ..rollout(0) };
        assert_eq!((over.phase.name(), line(&over).as_deref()), (PhaseName::Promoted, Some(ALIAS)));
    }

    #[test]
    fn what_a_rule_does_besides_is_read_first() {
        let ended = rollout(4);
        let since = ended.now;
        let phase = Phase::Baking { step: 0, since, proof: None, approved: false };
        let Some(WayOut::ReadFirst { command, by_hand }) = WayOut::of(&Rollout { phase, ..ended }) else {
            panic!("no way out")
        };
        assert_eq!(command, "coalmine undo checkout-46 --print");
        assert_eq!(
            by_hand,
            "in each of the 2 rules that forward to both, give checkout-green all the weight and checkout-46 none"
        );
    }

    #[test]
    fn a_name_stays_one_word_of_a_shell() {
        let mut hostile = rollout(0);
        let Target::Lambda(alias) = &mut hostile.spec.target else { panic!("no alias") };
        alias.function = "it's; rm -rf /".to_owned();
        let said = line(&hostile).unwrap();
        assert!(said.contains("--function-name 'it'\\''s; rm -rf /' --name live "), "{said}");
    }
}
