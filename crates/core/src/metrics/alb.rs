//! The metrics of a target group behind an Application Load Balancer.
//!
//! A group's series have both dimensions, the balancer and the group; with one of them they are about something else. All
//! counters but `RequestCount` have a datapoint only where there was something to count. So absent is zero there, in a minute
//! in which `RequestCount` has one, and nowhere else: without `RequestCount` nothing is known of the minute.

use std::collections::BTreeMap;

use super::bins::{Sampled, Told};
use super::{InMinute, Series, Stat};
use crate::alb::{balancer_dimension, group_dimension};
use crate::analysis::Count;
use crate::spec::{AlbTarget, MetricRef, Version};
use crate::units::Minute;

const NAMESPACE: &str = "AWS/ApplicationELB";

const REQUESTS: &str = "RequestCount";

/// Requests to which no target answered at all. The last two are of Lambda functions; a group of another kind never has
/// them, as a function never has the others, so nobody need know of which kind a group is.
const UNANSWERED: [&str; 4] =
    ["TargetConnectionErrorCount", "TargetTLSNegotiationErrorCount", "LambdaUserError", "LambdaInternalError"];

/// Every failure that is counted for a group. A target's 500s, and requests that no target answered. What the balancer
/// answers by itself (502, 503, 504) has no group; see docs/blind-spots.md.
const FAILURES: [&str; 5] = ["HTTPCode_Target_5XX_Count", UNANSWERED[0], UNANSWERED[1], UNANSWERED[2], UNANSWERED[3]];

/// The share of a minute's requests that must have told how long they took, or that nobody answered. Not all of them can
/// be waited for: what ended in a timeout (504), or because the caller left (460), never tells, and is counted for no
/// group; and requests are counted as they come, response times as they end, so the two straddle minutes. Not much fewer
/// either, because those that never tell are the slow ones: a minute in which every tenth request hangs is missing, and
/// what is missing is proof of nothing.
const TOLD: f64 = 0.9;

const MILLISECONDS_PER_SECOND: f64 = 1000.0;

/// Whether absent is zero for a metric.
pub(super) fn counts(metric: &MetricRef) -> bool {
    metric.namespace == NAMESPACE
}

/// `None` for a target that is no load balancer's, or a version that is no target group.
fn dimensions(target: &AlbTarget, group: &Version) -> Option<[(&'static str, String); 2]> {
    let balancer = balancer_dimension(target.rules.first()?.arn())?;
    let group = group_dimension(&group.0)?.to_owned();
    Some([("LoadBalancer", balancer), ("TargetGroup", group)])
}

fn metric(name: &str, target: &AlbTarget, group: &Version) -> Option<MetricRef> {
    let dimensions: BTreeMap<String, String> =
        dimensions(target, group)?.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Some(MetricRef { namespace: NAMESPACE.to_owned(), metric: name.to_owned(), dimensions })
}

pub(super) fn placeholders(target: &AlbTarget, group: &Version) -> Option<Vec<(&'static str, String)>> {
    let [(_, balancer), (_, group)] = dimensions(target, group)?;
    Some(vec![("{loadBalancer}", balancer), ("{targetGroup}", group)])
}

/// Requests, then every kind of failure.
pub(super) fn counters(target: &AlbTarget, group: &Version) -> Option<Vec<MetricRef>> {
    [REQUESTS].into_iter().chain(FAILURES).map(|name| metric(name, target, group)).collect()
}

/// What [`failed`] reads.
pub(super) fn errors(target: &AlbTarget, group: &Version) -> Option<Vec<(MetricRef, Stat)>> {
    Some(counters(target, group)?.into_iter().map(|metric| (metric, Stat::Sum)).collect())
}

pub(super) fn failed(seen: InMinute<'_>) -> Option<Count> {
    let requests = seen.value(0)?;
    let failures: Option<Vec<f64>> = (1..=FAILURES.len()).map(|place| seen.or_zero(place)).collect();
    at_most(requests, failures?.iter().sum())
}

/// Events of so many requests. There can be more of them: a connection that failed may have been tried again, and an
/// answer may come in the minute after its request. Then all requests had the event. To drop such a minute would drop
/// those in which everything fails.
pub(super) fn at_most(requests: f64, events: f64) -> Option<Count> {
    // `min` would take the number that is left beside a NaN.
    if requests.is_nan() || events.is_nan() { None } else { Count::new(requests, events.min(requests)) }
}

/// From the balancer's having sent the request to the target's beginning to answer, in seconds.
pub(super) fn durations(target: &AlbTarget, group: &Version) -> Option<Sampled> {
    let metric = |name: &str| metric(name, target, group);
    let unsampled = UNANSWERED.into_iter().map(metric).collect::<Option<_>>()?;
    let told = Told { requests: metric(REQUESTS)?, unsampled, share: TOLD };
    Some(Sampled { metric: metric("TargetResponseTime")?, scale: MILLISECONDS_PER_SECOND, told: Some(told) })
}

/// What [`undivided`] reads: of the old group, then of the new one.
pub(super) fn sharing(target: &AlbTarget, baseline: &Version, canary: &Version) -> Vec<MetricRef> {
    let both: Option<Vec<MetricRef>> =
        [baseline, canary].into_iter().map(|group| metric(REQUESTS, target, group)).collect();
    both.unwrap_or_default()
}

/// Whether the old group had all requests of a minute.
pub(super) fn undivided(requests: &[Series], minute: Minute) -> bool {
    let [own, other] = requests else { return false };
    own.get(&minute).is_some_and(|own| *own > 0.0) && other.get(&minute).is_none_or(|other| *other <= 0.0)
}

#[cfg(test)]
mod tests;
