//! The dead man's switch of the made-up AWS: one-time schedules that write, and are gone then.

use super::{State, World};
use crate::ports::{DeadMansSwitch, Fault, Switch};
use crate::spec::{Target, Version};
use crate::units::Timestamp;

/// A schedule that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Armed {
    pub target: Target,
    pub baseline: Version,
    pub at: Timestamp,
}

impl DeadMansSwitch for World {
    async fn arm(&self, switch: &Switch<'_>) -> Result<(), Fault> {
        let Switch { rollout, target, baseline, at, .. } = *switch;
        let armed = Armed { target: target.clone(), baseline: baseline.clone(), at };
        self.lock().switches.insert(rollout.to_owned(), armed);
        Ok(())
    }

    async fn disarm(&self, rollout: &str, _target: &Target) -> Result<(), Fault> {
        self.lock().switches.remove(rollout);
        Ok(())
    }
}

impl World {
    /// The switches that wait, by their rollouts.
    #[must_use]
    pub fn switches(&self) -> std::collections::BTreeMap<String, Armed> {
        self.lock().switches.clone()
    }

    /// When which rollout's switch fired.
    #[must_use]
    pub fn fired(&self) -> Vec<(Timestamp, String)> {
        self.lock().fired.clone()
    }
}

impl State {
    /// Puts back whatever nobody has pushed on by now. A schedule that fails is gone like any other.
    pub(super) fn fire_switches(&mut self, now: Timestamp) {
        let due: Vec<(String, Armed)> = self
            .switches
            .iter()
            .filter(|(_, armed)| armed.at <= now)
            .map(|(id, armed)| (id.clone(), armed.clone()))
            .collect();
        for (rollout, armed) in due {
            self.now = self.now.max(armed.at);
            let written = match &armed.target {
                Target::Lambda(_) => self.write_alias(&armed.target, &armed.baseline, None, false),
                Target::Alb(alb) => self.write_all_rules(alb, &armed.baseline, None),
            };
            self.switches.remove(&rollout);
            if written.is_ok() {
                self.fired.push((armed.at, rollout));
            }
        }
    }
}
