//! What the old version's past says: how much evidence is worth, and where a distribution's edges lie.

use serde::{Deserialize, Serialize};

use crate::units::Minute;

use super::stats::Dispersion;
use super::{Bins, JudgePlan, Measure, Measured, past_bins, past_counts};

/// The old version alone, minute by minute, before the rollout.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// In rising order, each minute once. A minute without data is absent.
    pub minutes: Vec<HistoryMinute>,
    /// For each check of the plan that is a distribution: all of the past by bin of the stretched edges, which is how a
    /// healthy canary is counted.
    pub stretched: Vec<Option<Bins>>,
}

/// One minute of the past, one value per check of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryMinute {
    pub minute: Minute,
    pub measured: Vec<Option<Measured>>,
}

/// What was learned about one check; frozen with the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Learned {
    /// Minutes with data.
    pub minutes: u32,
    /// First minutes of the hours that were set aside as past incidents.
    pub set_aside: Vec<Minute>,
    /// Of a check that counts events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<EventHistory>,
    /// Of a distribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<DistributionHistory>,
}

/// The past of one kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventHistory {
    /// All of it.
    pub requests: f64,
    pub events: f64,
    /// The newest hour, decayed: what is expected of the first minutes.
    pub recent_requests: f64,
    pub recent_events: f64,
    pub dispersion: Dispersion,
}

/// The past of a distribution, by the edges of the [plan](super::PlannedDistribution::edges).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DistributionHistory {
    /// The newest hour's bins, decayed.
    pub recent: Vec<f64>,
    /// Requests of the whole past by bin, and by bin of the stretched edges.
    pub counts: Vec<f64>,
    pub stretched: Vec<f64>,
    /// For each edge, of the requests above it.
    pub above: Vec<Dispersion>,
    /// Of the mid-ranks.
    pub ranks: Dispersion,
}

impl DistributionHistory {
    /// Whether it is of so many bins. What is stored may be of another version's making.
    pub(super) fn fits(&self, bins: usize) -> bool {
        let counted = [&self.recent, &self.counts, &self.stretched];
        let sane = |counts: &Vec<f64>| counts.iter().all(|count| count.is_finite() && *count >= 0.0);
        counted.into_iter().all(|counts| counts.len() == bins && sane(counts)) && self.above.len() + 1 == bins
    }

    /// Requests above an edge as events; none above an edge that there is not.
    pub(super) fn above(&self, edge: usize) -> EventHistory {
        let above = |counts: &[f64]| counts.iter().skip(edge + 1).sum();
        EventHistory {
            requests: self.counts.iter().sum(),
            events: above(&self.counts),
            recent_requests: self.recent.iter().sum(),
            recent_events: above(&self.recent),
            dispersion: self.above.get(edge).copied().unwrap_or(Dispersion::UNKNOWN),
        }
    }
}

/// Freezes what the past says into the plan, in place of whatever was learned before. A distribution needs its
/// [edges](super::choose_edges) first.
#[must_use]
pub fn learn(plan: &JudgePlan, history: &History) -> JudgePlan {
    let mut plan = plan.clone();
    for (index, check) in plan.checks.iter_mut().enumerate() {
        check.learned = match check.measure {
            Measure::Counts => past_counts::learn(index, history),
            Measure::Distribution => past_bins::learn(check, index, history),
            Measure::Latency | Measure::Mean | Measure::Gauge => None,
        };
    }
    plan
}
