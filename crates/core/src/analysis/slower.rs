//! What is said of a distribution: how many requests were above an edge.

use serde::{Deserialize, Serialize};

use super::Comparison;
use super::words::{grouped, percent, share};

/// Which requests a comparison of a distribution counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slower {
    /// The baseline's are those above this.
    pub above: f64,
    /// The canary's are those above this, because it may be so much slower.
    pub canary_above: f64,
    /// Of both: `ms`; empty for a plain number.
    pub unit: String,
    /// The quantiles that must not get worse, as people write them: `p50 and p99`.
    pub quantiles: String,
}

impl Slower {
    /// `2.3 % of new requests took more than 840 ms (22 of 958), 1 % of old more than 800 ms`.
    pub(super) fn rates(&self, comparison: &Comparison) -> String {
        let (verb, verb_alone) = if self.is_time() { ("took more than", "more than") } else { ("were above", "above") };
        let (new, old) = (self.value(self.canary_above), self.value(self.above));
        let Comparison { canary, baseline, .. } = comparison;
        let canary = match canary.events {
            events if events > 0.0 => format!(
                "{} of new requests {verb} {new} ({} of {})",
                percent(share(*canary)),
                grouped(events),
                grouped(canary.requests)
            ),
            _ => format!("none of {} new requests {verb} {new}", grouped(canary.requests)),
        };
        let baseline = match baseline.events {
            events if events > 0.0 => format!("{} of old", percent(share(*baseline))),
            _ => format!("none of {} old", grouped(baseline.requests)),
        };
        format!("{}: {canary}, {baseline} {verb_alone} {old}", comparison.check)
    }

    /// `at most 5 % slower at p50 and p99`.
    pub(super) fn tolerated(&self, comparison: &Comparison) -> String {
        let word = if self.is_time() { "slower" } else { "above" };
        format!("at most {} {word} at {}", percent(comparison.tolerance.factor - 1.0), self.quantiles)
    }

    /// What the baseline's are above: `800 ms`.
    #[must_use]
    pub fn edge(&self) -> String {
        self.value(self.above)
    }

    /// Whether it is about how long something takes.
    #[must_use]
    pub fn is_time(&self) -> bool {
        ["ms", "s", "us", "µs", "Milliseconds", "Seconds", "Microseconds"].contains(&self.unit.as_str())
    }

    /// To three digits, which is more than an edge is worth.
    fn value(&self, value: f64) -> String {
        let text = match value {
            value if value >= 99.95 => grouped(to_three_digits(value)),
            value if value >= 9.995 => trimmed(format!("{value:.1}")),
            value if value >= 0.9995 => trimmed(format!("{value:.2}")),
            value => trimmed(format!("{value:.4}")),
        };
        if self.unit.is_empty() { text } else { format!("{text} {}", self.unit) }
    }
}

fn to_three_digits(value: f64) -> f64 {
    let unit = 10_f64.powf((value.log10().floor() - 2.0).max(0.0));
    (value / unit).round() * unit
}

fn trimmed(text: String) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
