//! What is particular to Application Load Balancers: weights of 0 to 999, names in ARNs.

mod surroundings;
#[cfg(test)]
mod tests;

pub use surroundings::{Found, idle, problems};

use crate::observation::{GroupHealth, Health};
use crate::spec::Version;
use crate::units::Weight;

/// The largest weight of a target group.
const WEIGHT_MAX: u32 = 999;

/// The weights of canary and baseline that come nearest to a share. The smallest such numbers.
#[must_use]
pub fn pair(weight: Weight) -> (u16, u16) {
    match weight {
        Weight::ZERO => (0, 1),
        Weight::FULL => (1, 0),
        between => nearest(u32::from(between.basis_points())),
    }
}

fn nearest(wanted: u32) -> (u16, u16) {
    const WHOLE: u32 = 10_000;
    let baselines = |canary: u32| {
        let near = canary * (WHOLE - wanted) / wanted;
        [near, near + 1].map(|baseline| (canary, baseline.clamp(1, WEIGHT_MAX)))
    };
    // How far off a pair is, as a fraction; compared crosswise, so that nothing is rounded.
    let off = |(canary, baseline): (u32, u32)| {
        let sum = canary + baseline;
        (u64::from((canary * WHOLE).abs_diff(wanted * sum)), u64::from(sum))
    };
    let better = |one: &(u32, u32), other: &(u32, u32)| {
        let ((a, sum_a), (b, sum_b)) = (off(*one), off(*other));
        (a * sum_b).cmp(&(b * sum_a)).then(sum_a.cmp(&sum_b))
    };
    let (canary, baseline) = (1..=WEIGHT_MAX).flat_map(baselines).min_by(better).unwrap_or((0, 1));
    let narrow = |weight: u32| u16::try_from(weight).unwrap_or(u16::MAX);
    (narrow(canary), narrow(baseline))
}

/// The share that two weights give to the canary, to the nearest basis point; halves away from the middle, so that the
/// other share is the complement. Nothing, where both are 0.
#[must_use]
pub fn weight_of(canary: u16, baseline: u16) -> Weight {
    let half_down = u32::from(canary < baseline);
    let (canary, sum) = (u32::from(canary), u32::from(canary) + u32::from(baseline));
    let share = (canary * 20_000 + sum).saturating_sub(half_down).checked_div(2 * sum).unwrap_or(0);
    u16::try_from(share).ok().and_then(Weight::from_basis_points).unwrap_or(Weight::FULL)
}

/// The share that the nearest weights really give.
#[must_use]
pub fn settable(weight: Weight) -> Weight {
    let (canary, baseline) = pair(weight);
    weight_of(canary, baseline)
}

/// How many healthy targets a weight needs: its share of those that carried all traffic, and of that what the spec asks.
/// One in any case.
#[must_use]
pub fn needed(share: Weight, at: Weight, carried_by: u32) -> u32 {
    const WHOLE: u64 = 10_000;
    // 66.67 % is two thirds: rounded to basis points it would take one target more.
    let (canary, baseline) = pair(at);
    let part = u64::from(share.basis_points()) * u64::from(canary) * u64::from(carried_by);
    let of = WHOLE * (u64::from(canary) + u64::from(baseline));
    u32::try_from(part.div_ceil(of)).unwrap_or(u32::MAX).max(1)
}

/// `blue 4 of 4 healthy, green 1 of 3 healthy (2 x Target.Timeout)`
#[must_use]
pub fn targets(health: &Health, baseline: &Version, canary: &Version) -> String {
    let of = |group: &Version, seen: &GroupHealth| {
        let why = seen.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        format!("{} {} of {} healthy{why}", group_name(&group.0), seen.healthy, seen.registered())
    };
    format!("{}, {}", of(baseline, &health.baseline), of(canary, &health.canary))
}

/// `green` of `arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/green/50dc6c495c0c9188`; anything else as it is.
#[must_use]
pub fn group_name(group: &str) -> &str {
    let named = group.split_once(":targetgroup/").and_then(|(_, rest)| rest.split('/').next());
    named.unwrap_or(group)
}

/// A target group as CloudWatch's `TargetGroup` dimension names it: `targetgroup/green/50dc6c495c0c9188`.
#[must_use]
pub fn group_dimension(arn: &str) -> Option<&str> {
    arn.rsplit(':').next().filter(|name| name.starts_with("targetgroup/"))
}

/// A load balancer as CloudWatch's `LoadBalancer` dimension names it, `app/shop/9a8b`, from the ARN of one of its listeners
/// or rules.
#[must_use]
pub fn balancer_dimension(arn: &str) -> Option<String> {
    let rest = arn.split_once(":listener-rule/").or_else(|| arn.split_once(":listener/"))?.1;
    let mut parts = rest.split('/');
    let (kind, name, id) = (parts.next()?, parts.next()?, parts.next()?);
    (kind == "app").then(|| format!("{kind}/{name}/{id}"))
}
