//! Two worlds from one: for looking at everything that could happen next.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex};

use super::{State, World};
use crate::analysis::MinuteSample;
use crate::deployment::Hook;
use crate::rollout::{DecisionRecord, Rollout};
use crate::units::Minute;

/// What is in the rollout store.
#[derive(Debug, Clone)]
pub struct Table {
    rollouts: BTreeMap<String, Arc<Rollout>>,
    claims: BTreeMap<String, String>,
    sealed: BTreeMap<String, BTreeMap<Minute, Arc<Vec<MinuteSample>>>>,
    records: BTreeMap<String, Vec<Arc<DecisionRecord>>>,
    hooks: BTreeMap<String, Hook>,
}

impl World {
    /// The same world once more: from now on what happens in one does not happen in the other.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { state: Mutex::new(self.lock().clone()) }
    }

    /// A backup of the rollout store.
    #[must_use]
    pub fn table(&self) -> Table {
        let State { rollouts, claims, sealed, records, hooks, .. } = &*self.lock();
        Table {
            rollouts: rollouts.clone(),
            claims: claims.clone(),
            sealed: sealed.clone(),
            records: records.clone(),
            hooks: hooks.clone(),
        }
    }

    /// Puts a backup in the place of the rollout store.
    pub fn restore(&self, table: Table) {
        let mut state = self.lock();
        let Table { rollouts, claims, sealed, records, hooks } = table;
        (state.rollouts, state.claims, state.sealed, state.records, state.hooks) =
            (rollouts, claims, sealed, records, hooks);
    }

    /// Equal for worlds that nothing can tell apart from now on, whose metrics were told alike. What was written to targets
    /// is not in it, as it only ever grows.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let state = self.lock();
        let State { now, aliases, rules, groups, revisions, alarms, .. } = &*state;
        let State { rollouts, claims, sealed, records, notices, hooks, .. } = &*state;
        let State { switches, test_outcomes, broken_metrics, provisioned, damaged, .. } = &*state;
        let live = (now, aliases, rules, groups, revisions, alarms);
        let stored = (rollouts, claims, sealed, records, notices, hooks);
        let others = (switches, test_outcomes, broken_metrics, provisioned, damaged);
        hash_of(&(live, stored, others))
    }
}

/// Of everything that can be seen of a value.
#[must_use]
pub fn hash_of(value: &impl fmt::Debug) -> u64 {
    struct Hashed(DefaultHasher);
    impl fmt::Write for Hashed {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let mut hashed = Hashed(DefaultHasher::new());
    // The only error is that of `write_str`, which has none.
    let _never = write!(hashed, "{value:?}");
    hashed.0.finish()
}
