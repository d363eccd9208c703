//! CloudFormation, as its custom resources see it.

use std::collections::BTreeMap;

use super::World;
use crate::cloudformation::{Answer, Caller, Resource};
use crate::ports::{Fault, FaultKind, KeepError, Stacks};

/// What stacks asked for, and what they were told.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    /// By stack and physical name.
    resources: BTreeMap<(String, String), Resource>,
    answers: Vec<(Caller, Answer)>,
    /// Nobody takes answers at present.
    is_deaf: bool,
}

impl World {
    /// Whatever CloudFormation was told, the last one last.
    #[must_use]
    pub fn stack_answers(&self) -> Vec<(Caller, Answer)> {
        self.lock().stacks.answers.clone()
    }

    /// From now on answers do, or do not, reach CloudFormation.
    pub fn set_deaf(&self, is_deaf: bool) {
        self.lock().stacks.is_deaf = is_deaf;
    }
}

impl Stacks for World {
    async fn resources(&self) -> Result<Vec<Resource>, Fault> {
        let mut resources: Vec<Resource> = self.lock().stacks.resources.values().cloned().collect();
        resources.sort_by_key(|resource| resource.asked.received);
        Ok(resources)
    }

    async fn keep_resource(&self, resource: &Resource) -> Result<(), KeepError> {
        let written = serde_json::to_string(resource).and_then(|text| serde_json::from_str::<Resource>(&text));
        let kept =
            written.map_err(|error| Fault::new("PutItem", FaultKind::Rejected, format!("cannot be kept: {error}")))?;
        let key = (kept.asked.caller.stack.clone(), kept.asked.caller.physical.clone());
        let resources = &mut self.lock().stacks.resources;
        let before = resources.get(&key).map_or(0, |stored| stored.revision);
        if before + 1 != kept.revision {
            return Err(KeepError::Conflict);
        }
        resources.insert(key, kept);
        Ok(())
    }

    async fn respond(&self, caller: &Caller, answer: &Answer) -> Result<(), Fault> {
        let mut state = self.lock();
        if state.stacks.is_deaf {
            return Err(Fault::new("PUT", FaultKind::Failed, "no answer"));
        }
        state.stacks.answers.push((caller.clone(), answer.clone()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::executor::run_now;
    use crate::sim::{contract, samples};

    #[test]
    fn the_world_keeps_what_stacks_ask_for_as_the_table_does() {
        let world = World::new(samples::start());
        run_now(contract::stacks(&world, &samples::resource())).unwrap().unwrap();
    }
}
