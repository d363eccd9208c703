//! The language as it is written, field by field. What the comments say is what `coalmine schema` shows to editors.

use serde_json::Value;

use super::balancer::{GroupRef, HealthyShare, Keeping, ListenerArn, RuleArn};
use super::decode::{Decode, Fields, List, OneOrMore, Table, fields};
use super::http::{HeaderValue, HttpUrl, Status};
use super::leaves::{
    AlarmName, AliasName, FailedRequests, FunctionName, HarmRatio, Label, Language, MetricText, Name, Percent,
    PublishedVersion, Slower, Times, Unit, WarmUpTime,
};
use super::presets::Preset;
use super::problems::{Place, Problems};
use super::tree::Node;
use super::{
    Advance, AlreadyRed, CheckMode, Ending, GuardMode, Independence, Margins, Mode, Newer, OnNoData, Owner, Quantile,
    Settle, Stickiness, Tolerance,
};
use crate::units::{Span, Weight};

/// A start, an end: each writes a rollout and a pointer per alarm in one DynamoDB transaction, which takes 100 items. Five
/// of them are the rollout, its place in the list, its claims on two target groups and the record of its decision.
pub const ALARMS_MAX: usize = 95;
/// The error budget is split over the checks: with more than 20 none could ever conclude.
pub const CHECKS_MAX: usize = 20;
/// At the shortest bake of a minute still an hour of rollout.
pub const STEPS_MAX: usize = 50;
/// Each is a write of its own, and all are written in one tick.
pub const RULES_MAX: usize = 5;
/// What one rule can forward to. Two are wanted.
pub const GROUPS_MAX: usize = 5;
/// More than a request to a health page has.
pub const HEADERS_MAX: usize = 10;
/// Each test is an invocation in one tick.
pub const TESTS_MAX: usize = 10;
/// What CloudWatch allows.
pub const DIMENSIONS_MAX: usize = 30;
/// More percentiles than anyone reads.
pub const QUANTILES_MAX: usize = 10;

fields! {
    /// A progressive rollout: what is released, how the traffic moves, and what must be proven on the way.
    RawSpec refusing [
        "function" => "belongs under `target`; write `target: { lambda: { function: NAME, alias: NAME } }`",
        "alias" => "belongs under `target`; write `target: { lambda: { function: NAME, alias: NAME } }`",
        "steps" => "belongs under `strategy`; write `strategy: { steps: [...] }`",
        "canary" => "belongs under `strategy`; write `strategy: { canary: { weight: 10%, bake: 10m } }`",
        "linear" => "belongs under `strategy`; write `strategy: { linear: { increment: 10%, every: 5m } }`",
        "preset" => "belongs under `strategy`; write `strategy: { preset: NAME }`",
    ] {
        /// The version of the spec language: always `v1`.
        #[expect(dead_code, reason = "reading it is checking it")]
        coalmine: Language [required],
        /// Default `<function>-<version>`, behind a load balancer `<target group>.<target group>-<commit>`. The same name and spec is the same rollout: a retried start does nothing.
        name: Name,
        /// `observe` decides and reports everything, but moves nothing. Default `enforce`.
        mode: Mode,
        /// What the traffic is shifted on; exactly one kind.
        target: RawTarget [required],
        /// The published version of a function to roll out. Default: the newest one. Behind a load balancer it is the target
        /// group that has no traffic.
        version: PublishedVersion,
        /// Free labels, shown everywhere.
        release: RawRelease,
        /// How the traffic moves; exactly one kind. Default: 5 %, 25 % and 50 % with 5 minutes each, then 100 %.
        strategy: RawStrategy,
        /// `perWeight`: a step may prove its tolerance divided by the weight it unlocks; `strict`: at most twice the
        /// tolerance. Default `perWeight`.
        margins: Margins,
        /// Whether a step that is proven waits for the minutes that passed meanwhile before the weight rises. `auto`: where the
        /// next weight is more than three times its own; `none`: never. Default `auto`.
        settle: Settle,
        /// What ends a step that does not say it itself. Default `onProof`.
        advance: Advance,
        /// What is done at 100 %.
        after: RawAfter,
        /// Tests of the new version before it gets any traffic.
        tests: List<RawTest, TESTS_MAX>,
        /// What is compared between the two versions. Default: errors and latency.
        checks: List<RawCheck, CHECKS_MAX>,
        /// CloudWatch alarms, metric or composite, that roll back at once.
        alarms: super::alarms::RawAlarms,
        /// How often the judge may be wrong.
        analysis: RawAnalysis,
        /// What happens at the deadline without a verdict.
        undecided: RawUndecided,
        /// How long a pause lasts, and what ends it. No pause is for ever.
        pause: RawPause,
        /// The longest time the rollout may take; waiting for a person does not count. Default `2h`.
        deadline: Span,
        /// What a newer version of the same target does to this rollout. Default `supersede`.
        newer: Newer,
    }
}

fields! {
    /// What the traffic is shifted on.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
    RawTarget refusing [
        "ecs" => "ECS services come in a later version; two services with a target group each are shifted by `alb`",
    ] {
        /// An alias of a Lambda function.
        lambda: RawLambda,
        /// Two target groups behind an Application Load Balancer.
        alb: RawAlb,
    }
}

fields! {
    /// An alias of a Lambda function.
    RawLambda {
        /// The function's plain name, not its ARN.
        function: FunctionName [required],
        /// The alias that the callers use.
        alias: AliasName [required],
        /// Who sets the weights. `codedeploy`: Coalmine only judges. Default `coalmine`.
        owner: Owner,
    }
}

fields! {
    /// Two target groups behind an Application Load Balancer.
    #[schemars(extend("anyOf" = [{"required": ["rule"]}, {"required": ["listener"]}]))]
    RawAlb {
        /// The ARN of the rule that forwards to the two groups; a list of rules that move together.
        rule: OneOrMore<RuleArn, RULES_MAX>,
        /// The ARN of a listener whose default action forwards to the two groups; a list of such that move together.
        listener: OneOrMore<ListenerArn, RULES_MAX>,
        /// The two target groups, by name or ARN, in any order: which one is live is read from the rule.
        #[schemars(extend("minItems" = 2, "maxItems" = 2))]
        target_groups: List<GroupRef, GROUPS_MAX> [required],
        /// What is done about target-group stickiness, which keeps clients on the new group whatever the weights. `refuse`:
        /// the rollout does not start; `disableOnRollback`: a rollback switches it off. Default `refuse`.
        stickiness: Stickiness,
        /// Of the healthy targets that the next weight needs, how many must be there: 1 % to 100 %. Default `100%`.
        min_healthy_share: HealthyShare,
        /// The ARN of a rule that is made to forward to the new group alone before the tests, such as one of a test
        /// listener.
        test_rule: RuleArn,
        /// How long the old group stays attached at weight 0 after the promotion, such as `2h`. Default `untilNextRollout`.
        keep_baseline: Keeping,
    }
}

fields! {
    /// Free labels, shown everywhere.
    RawRelease {
        /// The source revision. Required for a load balancer's target groups, unless the rollout has a name.
        commit: Label,
        /// Who answers for the release.
        owner: Label,
        /// The change ticket.
        ticket: Label,
    }
}

fields! {
    /// How the traffic moves.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
    RawStrategy {
        /// Rising weights below 100 %; promotion to 100 % follows the last one.
        steps: List<RawStep, STEPS_MAX>,
        /// Weights chosen each minute, up to 50 %, then 100 %.
        auto: RawAuto,
        /// One step, then 100 %.
        canary: RawCanary,
        /// Equal steps.
        linear: RawLinear,
        /// Tests at 0 %, then 100 % at once, watched.
        blue_green: RawNothing,
        /// 100 % at once.
        all_at_once: RawNothing,
        /// A predefined CodeDeploy configuration, such as `CodeDeployDefault.LambdaCanary10Percent5Minutes`, on its own
        /// clock: a step ends when its time is over and no harm is proven.
        preset: Preset,
    }
}

fields! {
    /// One weight and what must happen there before the next.
    RawStep {
        /// The new version's share of the traffic, above 0 % and below 100 %.
        weight: Weight [required],
        /// The shortest time at this weight. Default `5m`.
        bake: Span,
        /// The longest time at this weight; then `undecided` says what happens.
        at_most: Span,
        /// `onProof`: the step ends when it is proven that the new version is not worse than tolerated; `unlessHarm`:
        /// when its time is over and no harm is proven.
        advance: Advance,
        /// A person must agree before the next step.
        approve: RawApprove,
    }
}

fields! {
    /// A person must agree before the next step.
    RawApprove {
        /// How long the approval is waited for.
        within: Span [required],
        /// What happens without an answer: `rollBack` or `promote`. Default `rollBack`.
        otherwise: Ending,
    }
}

fields! {
    /// One step, then 100 %.
    RawCanary {
        /// The new version's share of the traffic.
        weight: Weight [required],
        /// The shortest time at this weight.
        bake: Span [required],
    }
}

fields! {
    /// Weights chosen each minute from what is proven so far.
    RawAuto {
        /// How many failed requests a bad release may cost, about. Default: from the traffic, 20 to 40 and more the later
        /// metrics are.
        harm_budget: FailedRequests,
    }
}

fields! {
    /// Equal steps below 100 %.
    RawLinear {
        /// By how much each step raises the weight.
        increment: Weight [required],
        /// The shortest time between two steps.
        every: Span [required],
    }
}

/// Has no settings: write `{}`.
#[derive(Debug, Clone, schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawNothing {}

impl Decode for RawNothing {
    fn decode(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        Fields::open(node, place, &[], &[], problems).map(|_| Self {})
    }
}

fields! {
    /// What is done at 100 %.
    RawAfter {
        /// How long alarms and catastrophes still roll back; the old version is kept for it. Default `30m`.
        watch: Span,
    }
}

fields! {
    /// A test of the new version before it gets any traffic.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
    RawTest {
        /// Invoke the new version of a Lambda function directly and look at its answer.
        invoke: RawInvoke,
        /// Ask the new target group over HTTP and look at the status.
        http: RawHttp,
    }
}

fields! {
    /// Invoke the new version directly and look at its answer.
    RawInvoke {
        /// The event, any JSON.
        payload: Value [required],
        /// Every field named here must be in the answer with this value. Default: any answer that is no error.
        expect: Value,
        /// How often, 1 to 20. Default 1.
        times: Times,
    }
}

fields! {
    /// Ask the new target group over HTTP, with GET, and look at the status.
    RawHttp {
        /// Where only the new group answers, `http` or `https`.
        url: HttpUrl [required],
        /// Headers of the request. They are stored with the rollout, so no secrets.
        headers: Table<HeaderValue, HEADERS_MAX>,
        /// The status that must come. Default 200.
        expect: Status,
        /// How often, 1 to 20. Default 1.
        times: Times,
    }
}

fields! {
    /// One thing to compare between the two versions; exactly one of `errors`, `latency`, `rate`, `distribution`, `mean`
    /// and `gauge`.
    #[schemars(extend("oneOf" = [
        {"required": ["errors"]}, {"required": ["latency"]}, {"required": ["rate"]}, {"required": ["distribution"]},
        {"required": ["mean"]}, {"required": ["gauge"]},
    ]))]
    RawCheck {
        /// The share of invocations that fail.
        errors: RawErrors,
        /// How long invocations take.
        latency: RawLatency,
        /// Any countable thing of your own.
        rate: RawRate,
        /// How large something of your own is, request by request; judged as latency is.
        distribution: RawDistribution,
        /// A mean of your own, which is shown and decides nothing.
        mean: RawMean,
        /// A level of your own, compared minute by minute, which may hold and never rolls back.
        gauge: RawGauge,
        /// The same as `mode` inside the check.
        mode: CheckMode,
        /// The same as `onNoData` inside the check.
        on_no_data: OnNoData,
    }
}

fields! {
    /// The share of invocations that fail.
    RawErrors {
        /// How much worse may still be promoted: points (`0.5pt`), a factor (`1.5x`) or both. Default `0.5pt`.
        tolerate: Tolerance,
        /// `enforce`: rolls back and is needed for promotion; `hold`: is needed for promotion; `observe`: is only
        /// shown.
        mode: CheckMode,
        /// What missing data counts as. Default `hold`.
        on_no_data: OnNoData,
    }
}

fields! {
    /// How long invocations take.
    RawLatency {
        /// How much slower may still be promoted. Default `5%`.
        tolerate: Slower,
        /// Which percentiles. Default `[p50, p99]`.
        at: List<Quantile, QUANTILES_MAX>,
        /// How long after each raise of the weight latency is not judged, because the new version's environments start
        /// cold: `auto` or a duration. Default `auto`.
        warm_up: WarmUpTime,
        /// `enforce`: rolls back and is needed for promotion; `hold`: is needed for promotion; `observe`: is only
        /// shown.
        mode: CheckMode,
        /// What missing data counts as. Default `hold`.
        on_no_data: OnNoData,
    }
}

fields! {
    /// A share of requests, counted by two metrics of your own; exactly one of `events` and `goodEvents`.
    #[schemars(extend("oneOf" = [{"required": ["events"]}, {"required": ["goodEvents"]}]))]
    RawRate {
        /// Shown everywhere, unique among the checks.
        name: Name [required],
        /// Bad events: their share must not rise.
        events: RawMetric,
        /// Good events: their share must not fall.
        good_events: RawMetric,
        /// What they are a share of.
        requests: RawMetric [required],
        /// How much worse may still be promoted: points (`2pt`), a factor (`1.5x`) or both.
        tolerate: Tolerance [required],
        /// `true`: the metric of the events is only sent when there are any, so a minute with requests and without a
        /// datapoint had none. Not for `goodEvents`. Default `false`: such a minute is missing.
        absent_is_zero: bool,
        /// `enforce`: rolls back and is needed for promotion; `hold`: is needed for promotion; `observe`: is only
        /// shown.
        mode: CheckMode,
        /// What missing data counts as. Default `hold`.
        on_no_data: OnNoData,
    }
}

fields! {
    /// How large something of your own is, request by request: a metric that is published with every single value.
    RawDistribution {
        /// Shown everywhere, unique among the checks.
        name: Name [required],
        /// The metric with the values. Larger is worse.
        metric: RawMetric [required],
        /// How values are shown: `ms`, `rows`. Default: nothing.
        unit: Unit,
        /// How much larger may still be promoted. Default `5%`.
        tolerate: Slower,
        /// Which percentiles. Default `[p50, p99]`.
        at: List<Quantile, QUANTILES_MAX>,
        /// `enforce`: rolls back and is needed for promotion; `hold`: is needed for promotion; `observe`: is only
        /// shown.
        mode: CheckMode,
        /// What missing data counts as. Default `hold`.
        on_no_data: OnNoData,
    }
}

fields! {
    /// A mean of your own: both are shown, with how sure their difference is. Decides nothing.
    RawMean {
        /// Shown everywhere, unique among the checks.
        name: Name [required],
        /// The metric with the values.
        metric: RawMetric [required],
    }
}

fields! {
    /// A level of your own, such as memory or CPU: per request or per environment, for both versions have different
    /// numbers of them. Holds while it looks worse; never rolls back, and proves nothing.
    RawGauge {
        /// Shown everywhere, unique among the checks.
        name: Name [required],
        /// The metric with the readings. Higher is worse.
        metric: RawMetric [required],
        /// How much higher is no harm. Default `10%`.
        tolerate: Slower,
        /// `hold`: holds while it looks worse; `observe`: is only shown. Default `hold`.
        mode: CheckMode,
        /// What missing data counts as: `hold` or `ignore`. Default `hold`.
        on_no_data: OnNoData,
    }
}

fields! {
    /// A CloudWatch metric of one version.
    RawMetric {
        /// The metric's namespace.
        namespace: MetricText [required],
        /// The metric's name.
        metric: MetricText [required],
        /// The metric's dimensions. Filled in are `{version}`, `{function}` and `{alias}`, and `{version}` must be among
        /// them; behind a load balancer `{targetGroup}` and `{loadBalancer}`, and `{targetGroup}` must be.
        dimensions: Table<MetricText, DIMENSIONS_MAX> [required],
    }
}

fields! {
    /// Alarms with more to say about them.
    RawAlarmRules {
        /// Names of metric or composite alarms.
        names: List<AlarmName, ALARMS_MAX>,
        /// What an alarm means that is in ALARM before the start. `refuse`: the rollout does not start; `judge`: it
        /// counts again once it has been OK. Default `refuse`.
        already_red: AlreadyRed,
    }
}

fields! {
    /// How often the judge may be wrong.
    RawAnalysis {
        /// How many of 100 harmless rollouts may be rolled back, in all. Default `1%`.
        false_rollback: Percent,
        /// How many of 100 releases exactly at a check's tolerance may pass it. Default `5%`.
        false_promotion: Percent,
        /// How evidence for harm is guarded against errors in clusters and versions with noise of their own.
        /// `standard`: by the old version's history and by the new version's own minutes; `fast`: by the history alone,
        /// a minute faster and not proof against single bursts; `strict`: by the upper end of what the history says;
        /// `off`: as if there were no history. Default `standard`.
        guard: GuardMode,
        /// How many times as many events of the new version are no harm yet, for services whose two versions differ for
        /// a while by themselves: `1.25x`. Default: any more are harm.
        harm_ratio: HarmRatio,
        /// `measured`: the old version's history says whether requests fail one by one; `assumed`: they do, and proofs
        /// need fewer of them. Default `measured`.
        independence: Independence,
    }
}

fields! {
    /// What happens at the deadline without a verdict.
    RawUndecided {
        /// There was not enough traffic to tell. Default `pause`.
        too_little_traffic: Ending,
        /// There were no metrics. Default `rollBack`.
        no_data: Ending,
        /// It looks worse, but is not proven. Default `rollBack`.
        looks_worse: Ending,
    }
}

fields! {
    /// How long a pause lasts, and what ends it.
    RawPause {
        /// Default `12h`.
        r#for: Span,
        /// `rollBack` or `promote`. Default `rollBack`.
        then: Ending,
    }
}
