//! Where CloudWatch shows what a version did, and in which shape.

use super::{Datapoint, Told};
use crate::alb;
use crate::sim::environments::Used;
use crate::sim::world::World;
use crate::spec::{AlbTarget, LambdaTarget, MetricRef, Target, Version};
use crate::units::{Minute, Timestamp};

/// Of so many failed requests to a target group one met no open port.
const REFUSED_ONE_IN: u64 = 10;

/// The series of one version.
#[derive(Debug)]
pub(super) enum Of {
    /// Invocations, Errors and Duration of the version behind the alias, of the alias, and of the function.
    Lambda(Box<[MetricRef; 9]>),
    Group(Box<Group>),
}

/// The series of a target group behind its load balancer. Counters of what did not happen have no datapoints.
#[derive(Debug)]
pub(super) struct Group {
    requests: MetricRef,
    answered_5xx: MetricRef,
    refused: MetricRef,
    /// In seconds.
    took: MetricRef,
}

impl Of {
    pub(super) fn version(target: &Target, version: &Version) -> Self {
        match target {
            Target::Lambda(lambda) => Self::Lambda(Box::new(of_lambda(lambda, &target.key(), version))),
            Target::Alb(alb) => Self::Group(Box::new(of_group(alb, version))),
        }
    }

    /// `not_of_its_own`: Lambda tells of the alias and the function only.
    pub(super) fn put(&self, world: &World, parts: &[(Minute, Told)], not_of_its_own: bool) {
        let counts =
            |count: &dyn Fn(&Told) -> Datapoint| parts.iter().map(|(at, told)| (*at, count(told))).collect::<Vec<_>>();
        let took = || parts.iter().flat_map(|(minute, told)| told.took.iter().map(|part| (*minute, part.clone())));
        match self {
            Self::Lambda(series) => {
                for of in series.chunks(3).skip(usize::from(not_of_its_own)) {
                    if let [requests, failed, durations] = of {
                        world.put_datapoints(requests, counts(&|told| told.requests));
                        world.put_datapoints(failed, counts(&|told| told.failed));
                        world.put_durations(durations, took());
                    }
                }
            }
            Self::Group(series) => {
                let happened = |many: &dyn Fn(&Told) -> f64| {
                    let points = counts(&|told| Datapoint { sum: many(told), samples: many(told), ..told.failed });
                    points.into_iter().filter(|(_, point)| point.sum > 0.0)
                };
                world.put_datapoints(&series.requests, counts(&|told| told.requests));
                world.put_datapoints(&series.answered_5xx, happened(&|told| told.failed.sum - told.refused));
                world.put_datapoints(&series.refused, happened(&|told| told.refused));
                world.put_durations(&series.took, took());
            }
        }
    }
}

/// Tells of one minute of a version as it is, for worlds whose traffic is not drawn. Nobody asks how long requests took.
#[allow(clippy::cast_precision_loss, reason = "no minute has 2^53 requests")]
pub fn tell(world: &World, target: &Target, version: &Version, minute: Minute, served: (u64, u64), arrives: Timestamp) {
    let (requests, failed) = (served.0 as f64, served.1 as f64);
    let told = Told {
        requests: Datapoint { sum: requests, samples: requests, arrives },
        failed: Datapoint { sum: failed, samples: requests, arrives },
        refused: 0.0,
        took: Vec::new(),
    };
    Of::version(target, version).put(world, &[(minute, told)], false);
}

/// What Lambda counts of requests that did not run as they should have: of the alias and of the function, since whoever found
/// no room ran on no version.
#[allow(clippy::cast_precision_loss, reason = "no minute has 2^53 requests")]
pub(super) fn tell_used(world: &World, target: &Target, minute: Minute, used: &Used, arrives: Timestamp) {
    let Target::Lambda(lambda) = target else { return };
    let counts = [("Throttles", used.throttled), ("ProvisionedConcurrencySpilloverInvocations", used.spilled)];
    for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        let point = Datapoint { sum: count as f64, samples: count as f64, arrives };
        for of in [&[][..], &[target.key().as_str()]] {
            world.put_datapoint(&metric_of(lambda, name, of), minute, point);
        }
    }
}

/// How many of the failed requests nothing answered.
pub(super) fn refused(target: &Target, failed: u64) -> u64 {
    match target {
        Target::Lambda(_) => 0,
        Target::Alb(_) => failed / REFUSED_ONE_IN,
    }
}

fn of_lambda(lambda: &LambdaTarget, resource: &str, version: &Version) -> [MetricRef; 9] {
    let of = [resource, version.0.as_str()];
    std::array::from_fn(|place| {
        metric_of(lambda, ["Invocations", "Errors", "Duration"][place % 3], &of[..2 - place / 3])
    })
}

/// Of the function, or of its alias, or of a version behind it.
fn metric_of(lambda: &LambdaTarget, name: &str, of: &[&str]) -> MetricRef {
    let of = ["Resource", "ExecutedVersion"].into_iter().zip(of);
    let named = std::iter::once(("FunctionName", lambda.function.as_str())).chain(of.map(|(name, of)| (name, *of)));
    MetricRef {
        namespace: "AWS/Lambda".to_owned(),
        metric: name.to_owned(),
        dimensions: named.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    }
}

fn of_group(alb: &AlbTarget, group: &Version) -> Group {
    let balancer = alb.rules.first().and_then(|rule| alb::balancer_dimension(rule.arn())).unwrap_or_default();
    let group = alb::group_dimension(&group.0).unwrap_or_default();
    let metric = |name: &str| MetricRef {
        namespace: "AWS/ApplicationELB".to_owned(),
        metric: name.to_owned(),
        dimensions: [("LoadBalancer", balancer.as_str()), ("TargetGroup", group)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    };
    Group {
        requests: metric("RequestCount"),
        answered_5xx: metric("HTTPCode_Target_5XX_Count"),
        refused: metric("TargetConnectionErrorCount"),
        took: metric("TargetResponseTime"),
    }
}
