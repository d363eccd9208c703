//! The scenario language as it is written, field by field. What the comments say is what its JSON Schema says, and what
//! docs/simulate.md is held against.

use serde_json::Value;

use super::leaves::{
    At as Moment, CallsWord, CommandWord, Count, Duration, End, Factor, FileName, GroupWeight, Hour, KindWord,
    LambdaHook, Language, Mean, Noise, OneOf, PerSecond, Share, SpanOrOff, SpilloverWord, TellsWord, VersionName,
    WayWord,
};
use crate::observation::AlarmState;
use crate::sim::faults::Operation;
use crate::spec::decode::{Decode, List, Table, fields};
use crate::spec::leaves::{AlarmName, Label};
use crate::spec::problems::{Place, Problems};
use crate::spec::raw::{ALARMS_MAX, CHECKS_MAX, GROUPS_MAX, RawCanary, RawLinear, RawNothing, RawSpec};
use crate::spec::tree::Node;
use crate::spec::{self, Mode, RolloutSpec};
use crate::units::{Span, Weight};

/// A transcript of more is no story any more.
pub const EVENTS_MAX: usize = 200;
/// Every call of every tick is looked up among them.
pub const FAULTS_MAX: usize = 100;
/// More than anybody has behind one alias in a day.
pub const VERSIONS_MAX: usize = 20;
/// Changes of one thing in one run.
pub const CHANGES_MAX: usize = 100;
/// Texts that one reason must have.
pub const REASONS_MAX: usize = 10;

/// A rollout spec inside a scenario: what it is, and the same as it was written.
#[derive(Debug, Clone)]
pub struct InnerSpec {
    pub spec: RolloutSpec,
    pub value: Value,
}

impl Decode for InnerSpec {
    fn decode(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        let spec = spec::inside(node, place, problems)?;
        Some(Self { spec, value: node.to_value() })
    }
}

impl schemars::JsonSchema for InnerSpec {
    fn inline_schema() -> bool {
        RawSpec::inline_schema()
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        RawSpec::schema_name()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        RawSpec::json_schema(generator)
    }
}

fields! {
    /// A release in a made-up AWS: a spec, its traffic, what happens meanwhile, and how it must end.
    RawScenario refusing [
        "coalmine" => "this looks like a rollout spec; in a scenario it stands under `spec`, or in a file of its own that \
                       `specFile` names",
        "target" => "belongs under `spec`; write `spec: { coalmine: v1, target: ... }`",
        "strategy" => "belongs under `spec`",
        "checks" => "belongs under `spec`",
        "version" => "the new version belongs under `spec`; the old one is `baseline`",
        "canary" => "the new version belongs under `spec`, as `version`",
        "versions" => "belongs under `traffic`",
        "perSecond" => "belongs under `traffic`",
        "rival" => "belongs under `controller`",
        "switch" => "belongs under `controller`",
        "concurrency" => "belongs under `account`",
        "seed" => "is an argument of the command: `coalmine simulate FILE --seed 7`",
    ] {
        /// The version of the scenario language: always `v1`.
        #[expect(dead_code, reason = "reading it is checking it")]
        scenario: Language [required],
        /// One line that says what happens. Default: the file's name.
        title: Label,
        /// The rollout spec, as the start command gets it. Either this or `specFile`.
        spec: InnerSpec,
        /// A file with the rollout spec, relative to the scenario.
        spec_file: FileName,
        /// The version that is live before the start: a published version, or a target group by name or ARN.
        baseline: VersionName [required],
        /// What arrives, and how the versions deal with it.
        traffic: RawTraffic [required],
        /// How long the traffic has been there before the start, 1 hour to 15 days. Default `24h`.
        past: Span,
        /// The longest time one request may take: the function's timeout. Default `3s`.
        timeout: Span,
        /// What all functions of the account share. Default: more than anybody needs.
        account: RawAccount,
        /// The alarms that exist, all of them OK at first. Default: those that the spec names.
        alarms: List<AlarmName, ALARMS_MAX>,
        /// For how long clients stay with their target group before the start, or `off`. Default `off`.
        stickiness: SpanOrOff,
        /// Another service shifts the traffic, and Coalmine judges.
        deployed: RawDeployed,
        /// How Coalmine itself is set up.
        controller: RawController,
        /// What people, alarms and other tools do.
        events: List<RawEvent, EVENTS_MAX>,
        /// What goes wrong with calls to AWS.
        faults: List<RawFault, FAULTS_MAX>,
        /// The run stops here even if the rollout has not ended, 7 days at most. Default `24h`.
        longest: Span,
        /// What must come of it.
        expect: RawExpect,
    }
}

fields! {
    /// What arrives, and how the versions deal with it.
    RawTraffic {
        /// Requests a second, on average, 0 to 100000: one number for all time, or a list of them with the times from which
        /// they hold. Needed unless there is a `trace`.
        per_second: OneOf<PerSecond, List<RawRequests, CHANGES_MAX>>,
        /// A recording, as `coalmine record` writes it, relative to the scenario: in each minute as many requests as came, and
        /// both versions fail and take as long as they did. What is written beside it counts before it.
        trace: FileName,
        /// The rate follows the time of day. Default: it does not.
        daily: RawDaily,
        /// Single minutes with more traffic. Default: none.
        bursts: RawBursts,
        /// How each version deals with requests. A version that is not named never fails.
        versions: Table<RawBehaviour, VERSIONS_MAX>,
        /// When CloudWatch shows what happened.
        metrics: RawDelivery,
        /// How the function is called, which says what is tried again: `sync`, `async` or `queue`. Default `sync`.
        kind: KindWord,
        /// The queue that calls the function.
        queue: RawQueue,
        /// The share of requests that fail on every version, and in every try. Default `0%`.
        poison: Share,
    }
}

fields! {
    /// The queue that calls the function. A request is a batch.
    RawQueue {
        /// For how long nobody else sees a batch that was received: after that it comes again, if it has failed or found no
        /// room. Default `30s`, or the function's timeout if that is longer.
        visibility: Span,
        /// How often it is received in all, before it goes to the dead-letter queue. Default 3.
        receives: Count,
    }
}

fields! {
    /// Requests a second from a time on.
    RawRequests {
        /// Counted from the start. Default `0s`, which is also for the time before.
        from: Span,
        /// How many.
        rate: PerSecond [required],
    }
}

fields! {
    /// A rate that follows the time of day.
    RawDaily {
        /// `50%`: half as much again at the peak, half as much twelve hours later.
        swing: Share [required],
        /// The hour with the most traffic, UTC. Default 14.
        peak_hour: Hour,
    }
}

fields! {
    /// Single minutes with more traffic.
    RawBursts {
        /// How likely a minute is one.
        chance: Share [required],
        /// How many times as many requests it has.
        factor: Factor [required],
    }
}

fields! {
    /// How a version deals with requests.
    RawBehaviour {
        /// The share of requests that fail: one for all time, or a list of shares with the times from which they hold. Default
        /// `0%`.
        errors: Shares,
        /// How many requests fail together, on average. Default 1: each for itself.
        clusters: Mean,
        /// How long requests take: one for all time, or a list with the times from which they hold.
        latency: RawLatencies,
        /// What moves the version from minute to minute, beside chance. Default: nothing.
        noise: RawNoise,
        /// New environments that are slow at first. Default: none.
        cold_starts: RawColdStarts,
        /// What it runs in.
        environments: RawEnvironments,
        /// The `rate` checks of the spec, by name: the share of requests with an event, as `errors` is written. A check that
        /// is not named finds no data of this version.
        rates: Table<Shares, CHECKS_MAX>,
    }
}

/// One share, or a list of them with their times.
pub type Shares = OneOf<Share, List<RawShare, CHANGES_MAX>>;

fields! {
    /// A share of requests from a time on.
    RawShare {
        /// Counted from the start. Default `0s`, which is also for the time before.
        from: Span,
        /// The share.
        share: Share [required],
    }
}

fields! {
    /// How long requests take: log-normal, of which some take a slow path.
    RawDurations {
        /// Counted from the start. Default `0s`, which is also for the time before.
        from: Span,
        /// Half of the requests take longer. Default `80ms`.
        median: Duration,
        /// One of 100 takes longer. Default: the median and 4.04 times it.
        p99: Duration,
        /// Some requests take a slow path. Default: none.
        slow: RawSlow,
    }
}

/// One mapping, or a list of them.
pub type RawLatencies = crate::spec::decode::OneOrMore<RawDurations, CHANGES_MAX>;

fields! {
    /// Some requests take a slow path.
    RawSlow {
        /// How many of them.
        share: Share [required],
        /// How many times as long each takes.
        factor: Factor [required],
    }
}

fields! {
    /// What moves a version from minute to minute: standard deviations of logarithms, so about shares.
    RawNoise {
        /// Of the share that fails. Default `0%`.
        errors: Noise,
        /// Of how long requests take. Default `0%`.
        latency: Noise,
        /// How much of a minute's noise the next one has; `90%` lasts for some ten minutes. Default `0%`.
        memory: Share,
    }
}

fields! {
    /// New environments that are slow at first. One that nobody used for six minutes is gone.
    RawColdStarts {
        /// How many requests a new environment serves slowly.
        requests: Count [required],
        /// How many times as long each takes.
        factor: Factor [required],
    }
}

fields! {
    /// What a version of a function runs in.
    RawEnvironments {
        /// How long a new one takes before its first request, which waits for it. No metric has it. Default `400ms`.
        init: Duration,
        /// One that nobody used for so long is gone. Default `6m`.
        idle: Span,
        /// So many are there always, warm: the alias has provisioned concurrency. Default 0.
        provisioned: Count,
        /// Where requests go that find all provisioned ones busy: on demand (`own`), or, against the weights, to the `other`
        /// version where that has one free. Default `own`.
        spillover: SpilloverWord,
    }
}

fields! {
    /// How many requests may run at once, in all functions of the account.
    RawAccount {
        /// How many. Default: more than anybody needs.
        concurrency: Count,
        /// Of these, what other functions use all the time. Default 0.
        others: Count,
        /// Of these, what is reserved for the function, which has no more than that. Default: nothing is reserved.
        reserved: Count,
    }
}

fields! {
    /// When CloudWatch shows a datapoint, counted from the end of what it tells about.
    RawDelivery {
        /// How long all of them take, 6 hours at most. Default `45s`.
        delay: Span,
        /// Counts of requests, where they take another time.
        requests: Span,
        /// Counts of errors, where they take another time.
        errors: Span,
        /// Durations, where they take another time.
        durations: Span,
        /// Up to this much later, by chance. Default `30s`.
        jitter: Span,
        /// This share of the requests is told of later than the rest, in tenths of a percent. Default `0.2%`.
        late_share: Share,
        /// By how much later. Default `60s`.
        late_by: Span,
        /// Lambda has series of a version also while it has all the traffic. Default `true`.
        versions_alone: bool,
    }
}

fields! {
    /// Another service shifts the traffic.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
    RawDeployed {
        /// CodeDeploy shifts a Lambda alias.
        codedeploy: RawCodeDeploy,
        /// Amazon ECS shifts a service behind two target groups.
        ecs: RawEcs,
    }
}

fields! {
    /// CodeDeploy shifts a Lambda alias; exactly one of `canary`, `linear` and `allAtOnce`.
    RawCodeDeploy {
        /// One weight, then everything.
        canary: RawCanary,
        /// Equal steps.
        linear: RawLinear,
        /// Everything at once.
        all_at_once: RawNothing,
        /// The hooks that call Coalmine. Default: both.
        hooks: List<LambdaHook, 2>,
        /// Alarms of the deployment group, which stop the deployment. Default: none.
        alarms: List<AlarmName, ALARMS_MAX>,
        /// Whether a deployment that fails or is stopped is followed by one that goes back. Default `true`.
        auto_rollback: bool,
        /// What becomes of calls and events on their way: `once`, `twice` and `late` (by `by`), `noNews`, `noHooks`. Default
        /// `once`.
        calls: CallsWord,
        /// How much later, for `twice` and `late`. Default `30s`.
        by: Span,
    }
}

fields! {
    /// Amazon ECS shifts a service behind two target groups; exactly one of `canary`, `linear` and `allAtOnce`.
    RawEcs {
        /// One weight, then everything.
        canary: RawCanary,
        /// Equal steps.
        linear: RawLinear,
        /// Everything at once, as blue/green does.
        all_at_once: RawNothing,
        /// How long the deployment stays at 100 % before it ends. Default `5m`.
        bake: Span,
        /// ECS rolls back when a hook has no answer by then. Default `24h`.
        timeout: Span,
        /// Alarms of the service, which make ECS roll back. Default: none.
        alarms: List<AlarmName, ALARMS_MAX>,
        /// The weight that a hook before a raise is told: the `present` one or the `coming` one. Default `present`.
        tells: TellsWord,
    }
}

fields! {
    /// How Coalmine itself is set up.
    RawController {
        /// `observe` turns every writer off (`COALMINE_MODE`). Default `enforce`.
        mode: Mode,
        /// How late metrics are taken to be (`COALMINE_METRIC_LAG`). Default `3m`.
        metric_lag: Span,
        /// How long the dead man's switch waits for a tick, or `off`. Default `off`.
        switch: SpanOrOff,
        /// Two controllers tick at the same time. Default `false`.
        rival: bool,
        /// EventBridge delivers every tick twice. Default `false`.
        ticks_twice: bool,
    }
}

fields! {
    /// Something that happens: when, with `at` or `after`, and what, with exactly one of the others.
    RawEvent {
        /// How long after the start; `before`: it is so before the start.
        at: Moment,
        /// Once a weight has been set.
        after: RawAfterWeight,
        /// A CloudWatch alarm changes its state, and its event arrives some seconds later.
        alarm: RawAlarmChange,
        /// An event about this alarm arrives, whatever its state.
        alarm_event: AlarmName,
        /// A request to Coalmine: `pause`, `resume`, `approve`, `promote`, `abort` or `start`.
        command: CommandWord,
        /// Who sends the command. Default `somebody`.
        by: Label,
        /// Why, as the sender says. Default: nothing.
        reason: Label,
        /// The rollout that the command is about. Default: the one that the scenario starts.
        rollout: Label,
        /// The spec that a `start` sends.
        spec: InnerSpec,
        /// Somebody else writes the alias, or all rules.
        write: RawWrite,
        /// Somebody else writes one rule.
        write_rule: RawWriteRule,
        /// Targets of a group pass their health checks from now on, or not.
        health: RawHealth,
        /// Somebody switches target-group stickiness on, or `off`.
        stickiness: SpanOrOff,
        /// What the tests of a version bring from now on.
        tests: RawTests,
    }
}

fields! {
    /// Once a weight has been set.
    RawAfterWeight {
        /// The new version's share.
        weight: Weight [required],
        /// How long after. Default `0s`.
        by: Span,
    }
}

fields! {
    /// An alarm changes its state.
    RawAlarmChange {
        /// The alarm.
        name: AlarmName [required],
        /// `ALARM`, `OK` or `INSUFFICIENT_DATA`.
        state: AlarmState [required],
    }
}

fields! {
    /// Somebody else writes the alias, or all rules.
    RawWrite {
        /// The version that gets what is left.
        version: VersionName [required],
        /// Another version with a weight of its own. Default: none.
        additional: RawAdditional,
    }
}

fields! {
    /// Another version with a weight of its own.
    RawAdditional {
        /// The version.
        version: VersionName [required],
        /// Its share of the traffic.
        weight: Weight [required],
    }
}

fields! {
    /// Somebody else writes one rule.
    RawWriteRule {
        /// Its place among the target's rules, from 1: those under `rule` first, then those under `listener`.
        rule: Count [required],
        /// The target groups that it forwards to, with their weights of 0 to 999.
        groups: Table<GroupWeight, GROUPS_MAX> [required],
    }
}

fields! {
    /// Targets of a group pass their health checks, or not. A group has 10 healthy ones at first.
    RawHealth {
        /// The target group, by name or ARN.
        group: VersionName [required],
        /// How many pass.
        healthy: Count [required],
        /// How many do not. Default 0.
        unhealthy: Count,
    }
}

fields! {
    /// What the tests of a version bring.
    RawTests {
        /// Default: the new version.
        version: VersionName,
        /// What came instead of what was expected. Default: they pass.
        fails: Label,
    }
}

fields! {
    /// What goes wrong with calls to AWS.
    RawFault {
        /// Counted from the start. Default `1s`: the start itself gets through.
        from: Span,
        /// Until then. Default: to the end of the run.
        until: Span,
        /// Which call. Default: every one.
        operation: Operation,
        /// Of these calls only that one, counted from 1 in each tick. Default: all of them.
        call: Count,
        /// What goes wrong.
        way: WayWord [required],
    }
}

fields! {
    /// What must come of it.
    RawExpect {
        /// How it ended, or where it stood when the run stopped.
        ended: End,
        /// Texts that the last reason must have.
        reason: OneOf<Label, List<Label, REASONS_MAX>>,
        /// The longest time from the start to the end.
        within: Span,
        /// The highest weight that the new version may have had.
        at_most: Weight,
        /// The most requests that may have failed on the new version.
        failed: Count,
        /// How many commands were refused.
        refused: Count,
    }
}
