//! What a run came to.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Event, Happened};
use crate::analysis::MinuteSample;
use crate::deployment::Deployment;
use crate::driver::TickReport;
use crate::observation::{AlarmState, Split};
use crate::rollout::{Notice, PhaseName, Rollout};
use crate::sim::environments::Used;
use crate::sim::invariants::Violation;
use crate::sim::traffic::{Piece, Tally};
use crate::sim::world::{Told, Write};
use crate::spec::{Problem, Version};
use crate::units::{Timestamp, Weight};

/// How a run went.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub seed: u64,
    pub started_at: Timestamp,
    /// When the run stopped.
    pub stopped_at: Timestamp,
    /// The rollout as it was stored last.
    pub rollout: Arc<Rollout>,
    /// What was counted of it, as `minutes` answers at the end.
    pub minutes: Vec<MinuteSample>,
    /// Every other rollout in the store.
    pub others: BTreeMap<String, Arc<Rollout>>,
    /// What was counted of those.
    pub other_minutes: BTreeMap<String, Vec<MinuteSample>>,
    /// Writes to the target since the start.
    pub writes: Vec<Write>,
    /// The requests, also those of the hour before the start.
    pub pieces: Vec<Piece>,
    pub notices: Vec<Notice>,
    /// When each alarm's change happened.
    pub alarm_changes: Vec<(Timestamp, String, AlarmState)>,
    /// Commands that were refused, and why.
    pub refused: Vec<(Timestamp, Vec<Problem>)>,
    /// Everything that happened to the world after the start, in order.
    pub happened: Vec<Happened>,
    /// When the dead man's switch of which rollout fired.
    pub fired: Vec<(Timestamp, String)>,
    /// Events for Coalmine that found no concurrency until they were given up: of when, and what.
    pub undelivered: Vec<(Timestamp, Event)>,
    pub reports: Vec<TickReport>,
    /// How many calls each tick made, alarms' events included: where it could be killed.
    pub calls: Vec<(Timestamp, usize)>,
    /// Deployments of other services, as they were at the end, and what was said about them.
    pub deployments: Vec<Deployment>,
    pub told: Vec<Told>,
    /// The metric of the verdict: when, and whether it was proven worse.
    pub measured: Vec<(Timestamp, bool)>,
    /// Broken promises: none in a correct controller.
    pub violations: Vec<Violation>,
}

impl Outcome {
    /// How the rollout ended; `None` when it had not when the run stopped.
    #[must_use]
    pub fn ended(&self) -> Option<PhaseName> {
        Some(self.rollout.phase.name()).filter(|phase| phase.is_terminal())
    }

    /// The canary's share from each moment on, as the target really had it, from the start. Of several rules that which
    /// gives most counts.
    #[must_use]
    pub fn weights(&self) -> Vec<(Timestamp, Weight)> {
        let mut weights = vec![(self.started_at, Weight::ZERO)];
        for write in &self.writes {
            let canary = &self.rollout.canary;
            let weight = match write.routing.split(&self.rollout.baseline, canary) {
                Split::Ours(weight) | Split::Uneven { high: weight, .. } => weight,
                Split::Foreign => match &write.routing.additional {
                    Some((version, weight)) if version == canary => *weight,
                    Some(_) | None => Weight::ZERO,
                },
            };
            if weights.last().is_none_or(|(_, last)| *last != weight) {
                weights.push((write.at, weight));
            }
        }
        weights
    }

    /// When this weight was first set.
    #[must_use]
    pub fn reached(&self, weight: Weight) -> Option<Timestamp> {
        self.weights().into_iter().skip(1).find(|(_, reached)| *reached == weight).map(|(at, _)| at)
    }

    /// When the canary's traffic was taken away for the last time.
    #[must_use]
    pub fn turned_back(&self) -> Option<Timestamp> {
        self.weights().into_iter().skip(1).rfind(|(_, weight)| *weight == Weight::ZERO).map(|(at, _)| at)
    }

    /// What became of a version's requests since the start.
    #[must_use]
    pub fn tally(&self, version: &Version) -> Tally {
        self.tally_between(version, self.started_at, self.stopped_at)
    }

    /// The same for a part of the run that begins and ends with a tick or a write.
    #[must_use]
    pub fn tally_between(&self, version: &Version, from: Timestamp, until: Timestamp) -> Tally {
        let mut total = Tally::default();
        for piece in self.pieces.iter().filter(|piece| piece.from >= from && piece.until <= until) {
            total += piece.versions.get(version).copied().unwrap_or_default();
        }
        total
    }

    /// What the requests since the start needed, where they were run one by one.
    #[must_use]
    pub fn used(&self) -> Used {
        let mut total = Used::default();
        self.pieces.iter().filter(|piece| piece.from >= self.started_at).for_each(|piece| total += piece.used);
        total
    }

    /// Requests of any version that failed because the target pointed nowhere.
    #[must_use]
    pub fn unserved(&self) -> u64 {
        self.pieces.iter().flat_map(|piece| piece.versions.values()).map(|tally| tally.unserved).sum()
    }
}
