//! An account looked at from outside, for `plan`, `fit` and `doctor`. Everything here reads, and nothing else needs it.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::{AlarmType, DimensionFilter, StateValue};
use coalmine_core::ports::{Fault, FaultKind};
use coalmine_core::spec::{LambdaTarget, Target, Version};
use futures_util::{StreamExt, stream};

use crate::Aws;
use crate::errors::{Call, refused_as};
use crate::lambda_alias::GET_ALIAS;

const LIST_FUNCTIONS: Call = Call::new("ListFunctions", "lambda:ListFunctions");
const LIST_ALIASES: Call = Call::new("ListAliases", "lambda:ListAliases");
const GET_CONCURRENCY: Call = Call::new("GetFunctionConcurrency", "lambda:GetFunctionConcurrency");
const DESCRIBE_ALARMS: Call = Call::new("DescribeAlarms", "cloudwatch:DescribeAlarms");
const LIST_METRICS: Call = Call::new("ListMetrics", "cloudwatch:ListMetrics");
const RULES_BY_TARGET: Call = Call::new("ListRuleNamesByTarget", "events:ListRuleNamesByTarget");
const DESCRIBE_RULE: Call = Call::new("DescribeRule", "events:DescribeRule");
const DESCRIBE_BALANCERS: Call = Call::new("DescribeLoadBalancers", "elasticloadbalancing:DescribeLoadBalancers");
const DESCRIBE_LISTENERS: Call = Call::new("DescribeListeners", "elasticloadbalancing:DescribeListeners");
const DESCRIBE_RULES: Call = Call::new("DescribeRules", "elasticloadbalancing:DescribeRules");
const LIST_SCHEDULES: Call = Call::new("ListSchedules", "scheduler:ListSchedules");
const GET_CONFIGURATION: Call = Call::new("GetFunctionConfiguration", "lambda:GetFunctionConfiguration");

/// Lambda's control plane allows an account 15 calls a second, and others need some.
const CONCURRENT_CALLS: usize = 4;

/// As many as `DescribeAlarms` allows.
const ALARMS_A_PAGE: i32 = 100;

/// 5,000 alarms in all.
const ALARM_PAGES_MAX: usize = 50;

/// One for each rule of each rollout with traffic.
const SWITCHES_MAX: usize = 5_000;

/// As many as ListMetrics has on twenty pages: nobody publishes more versions in two weeks.
const VERSIONS_MAX: usize = 10_000;

/// A function's alias.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FoundAlias {
    pub function: String,
    pub alias: String,
    /// What it points to: a published version, or `$LATEST`.
    pub version: String,
    /// Other versions that have a part of its traffic.
    pub split: bool,
}

/// What was found, and what was not looked at.
#[derive(Debug, Clone)]
pub struct Found<T> {
    pub found: Vec<T>,
    /// Functions or load balancers that were looked at.
    pub looked_at: usize,
    /// There were more than that.
    pub more: bool,
    /// What could not be read, once each.
    pub faults: Vec<String>,
}

/// A rule, or the default action of a listener, that forwards to two target groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRule {
    pub arn: String,
    pub is_default: bool,
    /// ARNs, and their weights.
    pub groups: Vec<(String, i32)>,
    pub sticky: bool,
}

/// An alarm, as far as it tells what it watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundAlarm {
    pub name: String,
    pub composite: bool,
    /// `OK`, `ALARM`, `INSUFFICIENT_DATA`.
    pub state: String,
    /// Names and values of the dimensions of the metrics it watches.
    pub dimensions: Vec<(String, String)>,
    pub actions_enabled: bool,
}

/// A schedule that calls a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSchedule {
    pub rule: String,
    pub enabled: bool,
    pub expression: String,
}

impl Aws {
    /// Where a target is: account and region.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn place(&self, target: &Target) -> Result<String, Fault> {
        let arn = match target {
            Target::Lambda(alias) => {
                let call = self.lambda().get_alias().function_name(&alias.function).name(&alias.alias);
                let answer = call.send().await.map_err(|error| GET_ALIAS.fault(error))?;
                answer.alias_arn().unwrap_or_default().to_owned()
            }
            Target::Alb(balancer) => balancer.rules.first().map(|rule| rule.arn().to_owned()).unwrap_or_default(),
        };
        let mut parts = arn.split(':').skip(3);
        match (parts.next(), parts.next()) {
            (Some(region), Some(account)) if !region.is_empty() => Ok(format!("{account} {region}")),
            _ => Err(GET_ALIAS.refusal(FaultKind::Failed, "the answer has no ARN")),
        }
    }

    /// The aliases of the first functions of the account.
    ///
    /// # Errors
    /// When the functions cannot be listed.
    pub async fn aliases(&self, functions_max: usize) -> Result<Found<FoundAlias>, Fault> {
        let mut pages = self.lambda().list_functions().into_paginator().items().send();
        let mut functions = Vec::new();
        while functions.len() <= functions_max
            && let Some(function) = pages.next().await
        {
            let function = function.map_err(|error| LIST_FUNCTIONS.fault(error))?;
            functions.extend(function.function_name);
        }
        let more = functions.len() > functions_max;
        functions.truncate(functions_max);
        let mut found = Found { found: Vec::new(), faults: Vec::new(), looked_at: functions.len(), more };
        let calls: Vec<_> = functions.into_iter().map(|function| self.aliases_of(function)).collect();
        let answers: Vec<_> = stream::iter(calls).buffered(CONCURRENT_CALLS).collect().await;
        for answer in answers {
            match answer {
                Ok(aliases) => found.found.extend(aliases),
                Err(fault) => found.faults.push(fault.to_string()),
            }
        }
        found.faults.sort();
        found.faults.dedup();
        Ok(found)
    }

    async fn aliases_of(&self, function: String) -> Result<Vec<FoundAlias>, Fault> {
        let mut pages = self.lambda().list_aliases().function_name(&function).into_paginator().items().send();
        let mut aliases = Vec::new();
        while let Some(alias) = pages.next().await {
            let alias = alias.map_err(|error| LIST_ALIASES.fault(error))?;
            let weights = alias.routing_config().and_then(|config| config.additional_version_weights());
            let split = weights.is_some_and(|weights| weights.values().any(|weight| *weight > 0.0));
            let (Some(name), Some(version)) = (alias.name, alias.function_version) else { continue };
            aliases.push(FoundAlias { function: function.clone(), alias: name, version, split });
        }
        Ok(aliases)
    }

    /// The rules of the first load balancers that forward to two target groups.
    ///
    /// # Errors
    /// When the load balancers cannot be listed.
    pub async fn rules_with_two_groups(&self, balancers_max: usize) -> Result<Found<FoundRule>, Fault> {
        let mut pages = self.elb().describe_load_balancers().into_paginator().items().send();
        let mut balancers = Vec::new();
        while balancers.len() <= balancers_max
            && let Some(balancer) = pages.next().await
        {
            let balancer = balancer.map_err(|error| DESCRIBE_BALANCERS.fault(error))?;
            let application = balancer.r#type().is_some_and(|kind| kind.as_str() == "application");
            balancers.extend(balancer.load_balancer_arn.filter(|_| application));
        }
        let more = balancers.len() > balancers_max;
        balancers.truncate(balancers_max);
        let mut found = Found { found: Vec::new(), faults: Vec::new(), looked_at: balancers.len(), more };
        for balancer in balancers {
            match self.two_groups_of(&balancer).await {
                Ok(rules) => found.found.extend(rules),
                Err(fault) => found.faults.push(fault.to_string()),
            }
        }
        found.faults.sort();
        found.faults.dedup();
        Ok(found)
    }

    async fn two_groups_of(&self, balancer: &str) -> Result<Vec<FoundRule>, Fault> {
        let mut listeners = self.elb().describe_listeners().load_balancer_arn(balancer).into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(listener) = listeners.next().await {
            let listener = listener.map_err(|error| DESCRIBE_LISTENERS.fault(error))?;
            let Some(listener) = listener.listener_arn else { continue };
            let mut rules = self.elb().describe_rules().listener_arn(&listener).into_paginator().items().send();
            while let Some(rule) = rules.next().await {
                let rule = rule.map_err(|error| DESCRIBE_RULES.fault(error))?;
                let is_default = rule.is_default().unwrap_or(false);
                let forwards = rule.actions().iter().filter_map(|action| action.forward_config());
                for forward in forwards.filter(|forward| forward.target_groups().len() == 2) {
                    let groups = forward.target_groups().iter();
                    let groups = groups.map(|group| {
                        (group.target_group_arn().unwrap_or_default().to_owned(), group.weight().unwrap_or(1))
                    });
                    let sticky = forward.target_group_stickiness_config().and_then(|sticky| sticky.enabled());
                    let arn = if is_default { Some(listener.clone()) } else { rule.rule_arn.clone() };
                    found.extend(arn.map(|arn| FoundRule {
                        arn,
                        is_default,
                        groups: groups.collect(),
                        sticky: sticky.unwrap_or(false),
                    }));
                }
            }
        }
        Ok(found)
    }

    /// The alarms of the account, and what they watch.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn alarms(&self) -> Result<Vec<FoundAlarm>, Fault> {
        let request = self.cloudwatch().describe_alarms().max_records(ALARMS_A_PAGE);
        let request = request.alarm_types(AlarmType::MetricAlarm).alarm_types(AlarmType::CompositeAlarm);
        let mut pages = request.into_paginator().send();
        let (mut alarms, mut read) = (Vec::new(), 0);
        while read < ALARM_PAGES_MAX
            && let Some(page) = pages.next().await
        {
            read += 1;
            let page = page.map_err(|error| DESCRIBE_ALARMS.fault(error))?;
            let state = |state: Option<&StateValue>| state.map(|state| state.as_str().to_owned()).unwrap_or_default();
            for alarm in page.metric_alarms() {
                let inner = alarm.metrics().iter().filter_map(|query| query.metric_stat()?.metric());
                let dimensions = alarm.dimensions().iter().chain(inner.flat_map(|metric| metric.dimensions()));
                let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
                alarms.push(FoundAlarm {
                    name: text(alarm.alarm_name()),
                    composite: false,
                    state: state(alarm.state_value()),
                    dimensions: dimensions.map(|one| (text(one.name()), text(one.value()))).collect(),
                    actions_enabled: alarm.actions_enabled().unwrap_or(true),
                });
            }
            for alarm in page.composite_alarms() {
                alarms.push(FoundAlarm {
                    name: alarm.alarm_name().unwrap_or_default().to_owned(),
                    composite: true,
                    state: state(alarm.state_value()),
                    dimensions: Vec::new(),
                    actions_enabled: alarm.actions_enabled().unwrap_or(true),
                });
            }
        }
        Ok(alarms)
    }

    /// The versions that had traffic through an alias lately; CloudWatch lists a metric for two weeks after its last
    /// datapoint. Rising.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn executed_versions(&self, alias: &LambdaTarget) -> Result<Vec<Version>, Fault> {
        let LambdaTarget { function, alias, .. } = alias;
        let named = |name: &str, value: Option<String>| DimensionFilter::builder().name(name).set_value(value).build();
        let request = self.cloudwatch().list_metrics().namespace("AWS/Lambda").metric_name("Invocations");
        let request = request
            .dimensions(named("FunctionName", Some(function.clone())))
            .dimensions(named("Resource", Some(format!("{function}:{alias}"))))
            .dimensions(named("ExecutedVersion", None));
        let mut pages = request.into_paginator().send();
        let mut versions = Vec::new();
        while versions.len() < VERSIONS_MAX
            && let Some(page) = pages.next().await
        {
            let page = page.map_err(|error| LIST_METRICS.fault(error))?;
            for metric in page.metrics() {
                let version = metric.dimensions().iter().find(|dimension| dimension.name() == Some("ExecutedVersion"));
                versions.extend(version.and_then(|version| version.value()).map(|version| Version(version.to_owned())));
            }
        }
        // By number, where they have one.
        versions.sort_by_key(|version| (version.0.parse::<u64>().unwrap_or(u64::MAX), version.0.clone()));
        versions.dedup();
        Ok(versions)
    }

    /// The rules of the default event bus that call a function.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn schedules_of(&self, function: &str) -> Result<Vec<FoundSchedule>, Fault> {
        let configuration = self.lambda().get_function_configuration().function_name(function).send().await;
        let arn = configuration.map_err(|error| GET_CONFIGURATION.fault(error))?.function_arn.unwrap_or_default();
        let names = self.eventbridge().list_rule_names_by_target().target_arn(arn).send().await;
        let names = names.map_err(|error| RULES_BY_TARGET.fault(error))?.rule_names.unwrap_or_default();
        let mut schedules = Vec::new();
        for rule in names {
            let answer = self.eventbridge().describe_rule().name(&rule).send().await;
            let answer = answer.map_err(|error| DESCRIBE_RULE.fault(error))?;
            let Some(expression) = answer.schedule_expression.filter(|expression| !expression.is_empty()) else {
                continue;
            };
            let enabled = answer.state.is_some_and(|state| state.as_str() != "DISABLED");
            schedules.push(FoundSchedule { rule, enabled, expression });
        }
        Ok(schedules)
    }

    /// What a function of Coalmine's is told by its environment.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn settings_of(&self, function: &str) -> Result<BTreeMap<String, String>, Fault> {
        let configuration = self.lambda().get_function_configuration().function_name(function).send().await;
        let environment = configuration.map_err(|error| GET_CONFIGURATION.fault(error))?.environment;
        let variables = environment.and_then(|environment| environment.variables).unwrap_or_default();
        Ok(variables.into_iter().filter(|(name, _)| name.starts_with("COALMINE_")).collect())
    }

    /// The names of the schedules that wait in the group of the dead man's switches.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn switches_waiting(&self, group: &str) -> Result<Vec<String>, Fault> {
        let mut pages = self.scheduler().list_schedules().group_name(group).into_paginator().items().send();
        let mut names = Vec::new();
        while names.len() < SWITCHES_MAX
            && let Some(schedule) = pages.next().await
        {
            names.extend(schedule.map_err(|error| LIST_SCHEDULES.fault(error))?.name);
        }
        Ok(names)
    }

    /// The concurrency that is reserved for a function, if any is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn reserved_concurrency(&self, function: &str) -> Result<Option<i32>, Fault> {
        match self.lambda().get_function_concurrency().function_name(function).send().await {
            Ok(answer) => Ok(answer.reserved_concurrent_executions()),
            Err(error) if refused_as(&error, |e| e.is_resource_not_found_exception()) => Ok(None),
            Err(error) => Err(GET_CONCURRENCY.fault(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use coalmine_core::spec::Owner;
    use serde_json::json;

    use super::*;
    use crate::testing::{Reply, scripted};

    #[tokio::test]
    async fn versions_are_listed_by_their_number_and_once_each() {
        let metric = |version: &str| {
            let named = |name: &str, value: &str| json!({ "Name": name, "Value": value });
            let dimensions =
                [named("FunctionName", "shop"), named("Resource", "shop:live"), named("ExecutedVersion", version)];
            json!({ "Namespace": "AWS/Lambda", "MetricName": "Invocations", "Dimensions": dimensions })
        };
        let page = |versions: &[&str], next: Option<&str>| {
            let metrics: Vec<_> = versions.iter().map(|version| metric(version)).collect();
            let mut body = json!({ "Metrics": metrics });
            if let Some(next) = next {
                body["NextToken"] = json!(next);
            }
            Reply::cbor(200, &body)
        };
        let (aws, script) = scripted(vec![page(&["41", "9"], Some("more")), page(&["$LATEST", "41", "100"], None)]);
        let alias = LambdaTarget { function: "shop".to_owned(), alias: "live".to_owned(), owner: Owner::Coalmine };
        let versions = aws.executed_versions(&alias).await.unwrap();
        assert_eq!(
            versions.iter().map(|version| version.0.as_str()).collect::<Vec<_>>(),
            ["9", "41", "100", "$LATEST"]
        );
        let asked = script.asked();
        assert_eq!((asked.len(), script.unused()), (2, 0));
        let dimensions = &asked[0].cbor()["Dimensions"];
        // The name alone: with any value.
        assert_eq!(dimensions[2], json!({ "Name": "ExecutedVersion" }));
        assert_eq!(dimensions[1], json!({ "Name": "Resource", "Value": "shop:live" }));
    }
}
