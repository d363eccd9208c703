//! What `--json` prints, as JSON Schemas. They name what is promised: there may be more fields, and there will be.

use coalmine_core::rollout::PhaseName;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::Value;

/// An output that has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// `start`, `status`, `pause`, `resume`, `approve`, `promote` and `abort`; `run` at its end.
    Status,
    /// `list`
    List,
    /// `watch`: a line for every look.
    #[cfg(feature = "aws")]
    Watch,
    /// `history`
    History,
    /// `undo --print`
    Undo,
    /// `report NAME`
    Report,
    /// What is wrong, in place of any of these.
    Errors,
    /// `start` and `run`, where the version is live already.
    Nothing,
    /// `plan`
    Plan,
    /// `fit`
    Fit,
    /// `doctor`
    Doctor,
    /// `validate`
    Validate,
    /// `analyze`: a line for every case.
    Analyze,
    /// `backtest`
    Backtest,
    /// `simulate` without a file.
    Simulate,
    /// `simulate SCENARIO`: a line for every scenario.
    SimulateScenario,
}

/// Its JSON Schema.
pub fn schema(output: Output) -> Value {
    let mut generator: SchemaGenerator = SchemaSettings::draft2020_12().into_generator();
    let schema = match output {
        Output::Status => generator.root_schema_for::<Status>(),
        Output::List => generator.root_schema_for::<List>(),
        #[cfg(feature = "aws")]
        Output::Watch => generator.root_schema_for::<crate::watch::View>(),
        Output::History => generator.root_schema_for::<History>(),
        Output::Undo => generator.root_schema_for::<Undo>(),
        Output::Report => generator.root_schema_for::<Counted>(),
        Output::Errors => generator.root_schema_for::<Errors>(),
        Output::Nothing => generator.root_schema_for::<Nothing>(),
        Output::Plan => generator.root_schema_for::<account::Plan>(),
        Output::Fit => generator.root_schema_for::<account::Table>(),
        Output::Doctor => generator.root_schema_for::<account::Examination>(),
        Output::Validate => generator.root_schema_for::<Validated>(),
        Output::Analyze => generator.root_schema_for::<Case>(),
        Output::Backtest => generator.root_schema_for::<Backtest>(),
        Output::Simulate => generator.root_schema_for::<Tour>(),
        Output::SimulateScenario => generator.root_schema_for::<Scenario>(),
    };
    schema.to_value()
}

/// Declares shapes: nothing is ever made of them.
macro_rules! shapes {
    ($($(#[$about:meta])* $sight:vis struct $name:ident { $($(#[$field_about:meta])* $field:ident: $type:ty,)* })+) => {
        $(
            $(#[$about])*
            #[derive(JsonSchema)]
            #[serde(rename_all = "camelCase")]
            #[allow(dead_code, reason = "a shape")]
            $sight struct $name { $($(#[$field_about])* $field: $type,)* }
        )+
    };
}

mod account;

/// The name of a phase.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "a shape")]
enum Phase {
    Pending,
    Shifting,
    Baking,
    Paused,
    Promoting,
    RollingBack,
    Promoted,
    RolledBack,
    Superseded,
}

/// Breaks where a phase comes that the shape does not have.
const _: fn(PhaseName) -> Phase = |phase| match phase {
    PhaseName::Pending => Phase::Pending,
    PhaseName::Shifting => Phase::Shifting,
    PhaseName::Baking => Phase::Baking,
    PhaseName::Paused => Phase::Paused,
    PhaseName::Promoting => Phase::Promoting,
    PhaseName::RollingBack => Phase::RollingBack,
    PhaseName::Promoted => Phase::Promoted,
    PhaseName::RolledBack => Phase::RolledBack,
    PhaseName::Superseded => Phase::Superseded,
};

/// What the judge says.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "a shape")]
enum Verdict {
    Pass,
    Inconclusive,
    Fail,
}

shapes! {
    /// A rollout as it is stored, with where it stands as a sentence.
    struct Status {
        /// Where it stands, and why.
        message: String,
        #[serde(default)]
        warnings: Vec<Problem>,
        /// The address of its report, once it has ended, where the stack keeps reports.
        #[serde(default)]
        report: Option<String>,
        id: String,
        /// The old version.
        baseline: String,
        /// The new version.
        canary: String,
        /// Who started it, and when (RFC 3339).
        started_by: String,
        started_at: String,
        phase: PhaseOf,
        /// Every weight that was seen live, oldest first.
        weights: Vec<WeightSeen>,
        /// What happened, oldest first; of very many the oldest are dropped.
        history: Vec<Event>,
        /// All events ever.
        events_total: u64,
        /// When anything of it was last written.
        now: String,
        revision: u64,
        /// The spec with every default.
        spec: Value,
        /// Of `status`, where the metrics could be read: what `watch` shows, as `coalmine schema watch` says it.
        #[serde(default)]
        view: Option<Value>,
        /// Of `status`: the way out without Coalmine, while there is anything to put back.
        #[serde(default)]
        undo: Option<String>,
    }

    /// Where it stands, with what belongs to that phase.
    struct PhaseOf {
        name: Phase,
    }

    struct WeightSeen {
        at: String,
        /// `5%`
        weight: String,
    }

    struct Event {
        at: String,
        /// The phase that was entered; nothing for a fact that changed none.
        #[serde(default)]
        entered: Option<Phase>,
        /// Wanted from then on: `5%`.
        weight: String,
        why: Reason,
    }

    /// Why, with what belongs to that kind.
    struct Reason {
        kind: String,
    }

    /// Something that is wrong, or to be known.
    struct Problem {
        /// `strategy.steps[1].weight`; empty for the whole.
        #[serde(default)]
        path: String,
        message: String,
        #[serde(default)]
        line: Option<u32>,
        #[serde(default)]
        column: Option<u32>,
        /// A service that failed said it: `throttled`, `denied`, `timedOut`, `rejected` or `failed`.
        #[serde(default)]
        fault: Option<String>,
    }

    struct List {
        rollouts: Vec<Summary>,
        /// How many have ended how; left out where the stack does not tell.
        #[serde(default)]
        ended: Option<Ended>,
        /// Left out where nothing has traffic that somebody would have to attend to.
        #[serde(default)]
        controller: Option<Controller>,
    }

    /// Whoever attends to the rollouts.
    struct Controller {
        /// When anything of a rollout with traffic was last written.
        wrote_at: String,
        /// That is so long ago that there is none.
        silent: bool,
    }

    /// Those that are counted and not listed among them.
    struct Ended {
        since: String,
        promoted: usize,
        rolled_back: usize,
        superseded: usize,
    }

    /// A rollout in one line. One that cannot be read has only a name and a message.
    struct Summary {
        id: String,
        message: String,
        #[serde(default)]
        target: Option<String>,
        #[serde(default)]
        phase: Option<Phase>,
        #[serde(default)]
        baseline: Option<String>,
        #[serde(default)]
        canary: Option<String>,
        /// Seen live last: `5%`.
        #[serde(default)]
        weight: Option<String>,
        #[serde(default)]
        started_at: Option<String>,
        #[serde(default)]
        started_by: Option<String>,
        /// When it came into its phase.
        #[serde(default)]
        since: Option<String>,
        /// When a pause ends by itself.
        #[serde(default)]
        until: Option<String>,
        /// A person has to decide.
        #[serde(default)]
        needs_you: Option<bool>,
        /// Others move its traffic.
        #[serde(default)]
        follows: Option<bool>,
        /// A tick has something to do with it, if only to tell or to tidy up.
        #[serde(default)]
        active: Option<bool>,
        /// When anything of it was last written.
        #[serde(default)]
        written_at: Option<String>,
    }

    struct History {
        rollout: String,
        /// Oldest first.
        history: Vec<Event>,
    }

    struct Undo {
        rollout: String,
        /// Calls of the AWS CLI: `aws SERVICE COMMAND --cli-input-json INPUT`.
        calls: Vec<Call>,
    }

    struct Call {
        service: String,
        command: String,
        input: Value,
    }

    /// A rollout with everything that was counted of it.
    struct Counted {
        rollout: Status,
        /// When it was looked at.
        now: String,
        /// In rising order.
        minutes: Vec<CountedMinute>,
        /// Why something could not be read.
        #[serde(default)]
        unread: Vec<String>,
        /// The alarms' states, by their names.
        #[serde(default)]
        alarms: Option<Value>,
    }

    struct CountedMinute {
        /// The minute, counted since 1970.
        m: i64,
        /// The weight when it ended: `5%`.
        w: String,
        /// What was counted for each check of the plan.
        p: Vec<Value>,
    }

    struct Errors {
        errors: Vec<Problem>,
    }

    /// There is nothing to roll out.
    struct Nothing {
        message: String,
    }

    struct Validated {
        valid: bool,
        errors: Vec<Problem>,
        warnings: Vec<Problem>,
        /// With --show-effective: the spec with every default, as YAML.
        #[serde(default)]
        effective: Option<String>,
    }

    /// A recorded case.
    struct Case {
        case: Option<String>,
        verdict: Verdict,
        /// The first minute at which harm was proven: a number, or a time.
        decided_minute: Option<Minute>,
        /// The first minute at which the proof stood that stands at the end.
        passed_minute: Option<Minute>,
        checks: Vec<CaseCheck>,
        /// Of an inconclusive verdict: what is missing.
        #[serde(default)]
        doubt: Option<String>,
        #[serde(default)]
        notes: Vec<String>,
        /// Why the case was not judged.
        #[serde(default)]
        problem: Option<String>,
    }

    struct CaseCheck {
        check: String,
        verdict: Verdict,
        /// Evidence for harm, as a logarithm, and what it must reach; nothing where it is not finite.
        ln_e: Option<f64>,
        ln_threshold: Option<f64>,
        /// The same for the proof that it is no worse.
        promotion: Evidence,
        ratio: Option<Ratio>,
        reason: String,
    }

    struct Evidence {
        ln_e: Option<f64>,
        ln_threshold: Option<f64>,
    }

    /// The new version's rate over the old one's.
    struct Ratio {
        estimate: Option<f64>,
        lower: f64,
        upper: Option<f64>,
    }

    /// A spec that was tried on past data.
    struct Backtest {
        target: String,
        /// The spec's file.
        spec: String,
        /// Nothing where only releases were asked for, or where nothing can be split.
        study: Option<Study>,
        /// Why there is none, though it was asked for.
        #[serde(default)]
        not_studied: Option<String>,
        /// Releases that were judged as they happened.
        happened: Vec<Happened>,
        notes: Vec<String>,
    }

    /// The old version's requests split by chance into two versions.
    struct Study {
        /// Releases of each kind.
        runs: u64,
        seed: u64,
        /// How many failures came together and hit one version.
        failures_together: f64,
        /// The longest time that one request may take, and whether that is a guess.
        timeout_seconds: u64,
        timeout_assumed: bool,
        traffic: Vec<SplitTraffic>,
        /// The share of harmless releases that `falseRollback` allows to be rolled back.
        promised: f64,
        /// Whether what was seen can be under that promise.
        keeps_its_promise: bool,
        /// The old version against itself.
        same: Tried,
        /// The same with the new version made worse.
        worse: Vec<Tried>,
    }

    struct SplitTraffic {
        #[serde(default)]
        case: Option<String>,
        from: Minute,
        until: Minute,
        /// With data of the old version, and in between without.
        minutes: u64,
        minutes_without: u64,
        requests: f64,
        /// Of the first check that counts events.
        #[serde(default)]
        events: Option<ShareOfEvents>,
        /// Minutes of the past before each release.
        past_minutes: i64,
        /// Too short: its minutes come again and again.
        goes_round: bool,
        /// Checks without data, which were not judged.
        left_out: Vec<String>,
    }

    struct ShareOfEvents {
        check: String,
        share: f64,
    }

    struct Tried {
        release: String,
        /// Proven worse.
        rolled_back: u64,
        /// The share that was.
        share: ShareBetween,
        promoted: u64,
        /// Neither by the deadline.
        undecided: UndecidedThen,
        /// Minutes; what never happened takes longer than anything else.
        until_rolled_back: UsualMinutes,
        until_promoted: UsualMinutes,
        /// The new version's; half of those that were rolled back had no more.
        requests_until_rolled_back: Option<f64>,
    }

    /// With 95 % certainty, by Clopper and Pearson.
    struct ShareBetween {
        seen: f64,
        lower: f64,
        upper: f64,
    }

    /// What the spec does then.
    struct UndecidedThen {
        pauses: u64,
        rolls_back: u64,
        promotes: u64,
    }

    struct UsualMinutes {
        usual: Option<u32>,
        nine_of_ten: Option<u32>,
        runs: u64,
    }

    /// A release of two versions.
    struct Happened {
        #[serde(default)]
        case: Option<String>,
        #[serde(default)]
        old: Option<String>,
        #[serde(default)]
        new: Option<String>,
        /// `beside`: both had traffic. `atOnce`: one after the other, which is no comparison. `notSeen`: nothing to judge.
        how: String,
        /// `new`, `old` or `unknown`: who had the traffic after it.
        #[serde(default)]
        ended: Option<String>,
        from: Option<Minute>,
        until: Option<Minute>,
        verdict: Verdict,
        /// The first minute at which it was proven worse, and the first at which it was proven fine.
        decided_minute: Option<Minute>,
        passed_minute: Option<Minute>,
        /// The new version's requests until then.
        requests_until_decided: Option<f64>,
        headline: String,
        /// A sentence for each check.
        reasons: Vec<String>,
        notes: Vec<String>,
        minutes: Vec<MinuteOfRelease>,
    }

    /// How much was known.
    struct MinuteOfRelease {
        minute: Minute,
        /// Of the evidence for a rollback, the share that was there; the same for a promotion.
        towards_rollback: f64,
        towards_proof: f64,
        /// The new version's, so far.
        requests: f64,
    }

    /// The tour.
    struct Tour {
        seed: u64,
        requests_per_second: f64,
        old_version: String,
        old_failing: f64,
        releases: Vec<Release>,
        reruns: Reruns,
        requests_failed_because_of_coalmine: u64,
        broken_promises: Vec<Value>,
        as_announced: bool,
    }

    struct Release {
        title: String,
        new_version: String,
        new_failing: f64,
        announced: Phase,
        ended: Option<Phase>,
        /// `13m`
        ended_after: String,
        as_announced: bool,
        weights: Vec<WeightFrom>,
        why: Vec<String>,
        new: Requests,
        old: Requests,
    }

    struct WeightFrom {
        after: String,
        weight: String,
    }

    struct Requests {
        requests: u64,
        failed: u64,
    }

    struct Reruns {
        of_each: u32,
        good: Ends,
        ten_times: Ends,
        twice: Ends,
    }

    struct Ends {
        promoted: u32,
        rolled_back: u32,
        undecided: u32,
    }

    /// One run of a scenario.
    struct Scenario {
        file: String,
        title: String,
        seed: u64,
        target: String,
        old_version: String,
        new_version: String,
        requests_per_second: f64,
        entries: Vec<Entry>,
        /// The new version's share from each moment on: `["2m20s", "5%"]`.
        weights: Vec<(String, String)>,
        /// `promoted`, `rolledBack`, `superseded`, `paused`, `running`, `refused` or `nothing`.
        ended: String,
        ended_after: String,
        why: String,
        requests_failed_because_of_coalmine: u64,
        /// What came otherwise than expected; nothing where nothing is expected.
        #[serde(default)]
        not_as_expected: Option<Vec<String>>,
        broken_promises: Vec<String>,
    }

    struct Entry {
        after: String,
        /// `world` or `coalmine`.
        who: String,
        label: String,
        text: String,
    }
}

/// A recording counts its minutes, or has times.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "a shape")]
enum Minute {
    Counted(i64),
    Time(String),
}
