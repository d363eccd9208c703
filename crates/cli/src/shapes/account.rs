//! What the commands print that look at an account before anything moves.

use schemars::JsonSchema;
use serde_json::Value;

use super::UsualMinutes;

shapes! {
    /// What a rollout would catch, how soon, and how long it takes.
    pub(super) struct Plan {
        target: String,
        strategy: String,
        traffic: Traffic,
        seen: Seen,
        seed: u64,
        /// Nothing where nothing could be rehearsed.
        numbers: Option<Numbers>,
        deadline: String,
        /// What the numbers are of, where the spec's own steps cannot be proven by its deadline.
        #[serde(default)]
        instead: Option<String>,
        /// Whether nine of ten good releases are proven by the deadline.
        in_time: bool,
        /// How long it is watched at 100 %.
        watch: String,
        alarms: Vec<String>,
        warnings: Vec<String>,
        cost: Option<Cost>,
        planned_at: String,
        /// The command that starts it, and the one that prints the way back.
        go: String,
        undo: String,
        /// The spec to be written, where there is none.
        #[serde(default)]
        write: Option<String>,
    }

    struct Traffic {
        per_second: f64,
        error_rate: f64,
        /// How many failures come together.
        errors_together: f64,
        p50_ms: f64,
        p99_ms: f64,
        timeout: String,
    }

    /// What was seen of the account.
    struct Seen {
        asked: bool,
        #[serde(default)]
        place: Option<String>,
        #[serde(default)]
        versions: Option<String>,
        #[serde(default)]
        new_version: Option<String>,
        #[serde(default)]
        data_up_to: Option<String>,
        #[serde(default)]
        quietest: Option<Quietest>,
        learned: Vec<String>,
        fine: Vec<String>,
        /// What a start would be refused for, and what it would warn of.
        refused: Vec<String>,
        warned: Vec<String>,
    }

    /// The hour of the week with the fewest requests, in UTC.
    struct Quietest {
        per_second: f64,
        hour: u8,
    }

    struct Numbers {
        /// Of each kind of release.
        runs: u64,
        steps: Vec<StepNumbers>,
        steps_not_told: u64,
        /// Minutes from the start to all traffic, of good releases.
        total: UsualMinutes,
        delay_minutes: Option<u32>,
        /// What became of releases that are as they are from the start on.
        ends: Vec<EndsOf>,
    }

    struct StepNumbers {
        number: u64,
        weight: String,
        requests_per_minute: f64,
        moves_on: UsualMinutes,
        failing: Vec<Harm>,
        slower: Vec<Harm>,
        smallest: Option<Smallest>,
    }

    /// A release that is worse in one way from this step on.
    struct Harm {
        release: String,
        rolled_back: UsualMinutes,
        caught_in_step: f64,
    }

    /// The smallest share of failures that nearly never leaves a step.
    struct Smallest {
        failing: f64,
        times: Option<f64>,
    }

    struct EndsOf {
        release: String,
        promoted: u64,
        rolled_back: u64,
        undecided: u64,
    }

    struct Cost {
        calls_per_minute: u64,
        series_per_minute: u64,
        minutes: u32,
        dollars_at_most: f64,
        dollars_at_least: f64,
    }

    /// Every target of an account.
    pub(super) struct Table {
        functions_looked_at: u64,
        load_balancers_looked_at: u64,
        /// There are more than were looked at.
        more: bool,
        rows: Vec<FitRow>,
        /// What could not be read, and why.
        unread: Vec<String>,
    }

    struct FitRow {
        target: String,
        requests_per_second: f64,
        error_rate: f64,
        /// `noTraffic`, `alarmsOnly`, `needsHalf` or `provable`.
        fit: String,
        /// Until a good release has all traffic.
        minutes: Option<i64>,
        /// No request failed in a week of many.
        swallows: bool,
        /// Alarms that watch it; nothing where they could not be read.
        alarms: Option<u64>,
        notes: Vec<String>,
        /// The spec that would fit.
        propose: Value,
    }

    pub(super) struct Examination {
        target: Option<String>,
        stack: Option<String>,
        findings: Vec<Finding>,
    }

    struct Finding {
        /// `fine`, `note` or `wrong`.
        grade: String,
        about: String,
        said: String,
        /// What would be right.
        #[serde(default)]
        right: Option<String>,
    }
}
