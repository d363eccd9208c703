//! What a rule does with a request, read and rewritten. A write replaces the whole list of actions, so everything in it
//! that is not ours must come back as it was.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, ForwardActionConfig, TargetGroupStickinessConfig, TargetGroupTuple,
};
use coalmine_core::alb;
use coalmine_core::spec::Version;
use coalmine_core::units::{Span, Weight};

/// Target groups by ARN with their weights, in the rule's order.
pub(super) type Weights = Vec<(Version, u16)>;

/// What a rule is to do with its requests.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wish<'a> {
    /// Split them so between our two groups.
    Split { baseline: &'a Version, canary: &'a Version, weight: Weight, unstick: bool },
    /// Forward to these groups, too, be it at weight 0.
    Attach(&'a [Version; 2]),
    /// Do not forward to this group, if it gets nothing.
    Detach(&'a Version),
    /// Forward to this group alone.
    Alone(&'a Version),
}

/// The action that forwards to target groups; a rule has at most one.
pub(super) fn forward(actions: &[Action]) -> Option<&Action> {
    actions.iter().find(|action| action.r#type == Some(ActionTypeEnum::Forward))
}

/// Where a rule forwards to; nothing where it does not.
pub(super) fn weights(actions: &[Action]) -> Weights {
    let Some(action) = forward(actions) else { return Vec::new() };
    let tuples = action.forward_config().map(ForwardActionConfig::target_groups).unwrap_or_default();
    if tuples.is_empty() {
        return action.target_group_arn().map(|arn| (Version(arn.to_owned()), 1)).into_iter().collect();
    }
    let weight = |tuple: &TargetGroupTuple| u16::try_from(tuple.weight().unwrap_or(1)).unwrap_or_default();
    let named = |tuple: &TargetGroupTuple| Some((Version(tuple.target_group_arn()?.to_owned()), weight(tuple)));
    tuples.iter().filter_map(named).collect()
}

/// Whether a third group has some of the traffic.
pub(super) fn taken(actions: &[Action], ours: [&Version; 2]) -> bool {
    weights(actions).iter().any(|(group, weight)| *weight > 0 && !ours.contains(&group))
}

/// For how long a client stays with the group that it was first sent to, where that is so.
pub(super) fn stickiness(actions: &[Action]) -> Option<Span> {
    let config = forward(actions)?.forward_config()?.target_group_stickiness_config()?;
    let seconds = config.duration_seconds().and_then(|seconds| u64::try_from(seconds).ok());
    config.enabled().unwrap_or(false).then(|| Span::from_seconds(seconds.unwrap_or_default()))
}

/// What an action list does with a request, in words, where it does not forward it.
pub(super) fn instead(actions: &[Action]) -> &'static str {
    let kind = |kind: &ActionTypeEnum| actions.iter().any(|action| action.r#type.as_ref() == Some(kind));
    if kind(&ActionTypeEnum::Redirect) {
        "redirects"
    } else if kind(&ActionTypeEnum::FixedResponse) {
        "answers by itself"
    } else {
        "has no action that forwards"
    }
}

/// An action that would not come back as it was, because its configuration is not known here.
pub(super) fn unknown(actions: &[Action]) -> Option<&str> {
    let kinds = actions.iter().map(|action| action.r#type.as_ref().map_or("nameless", ActionTypeEnum::as_str));
    kinds.into_iter().find(|kind| ActionTypeEnum::try_parse(kind).is_err())
}

/// All that is configured, as text: equal for equal lists.
pub(super) fn fingerprint(actions: &[Action]) -> String {
    let one = |action: &Action| {
        let mut action = action.clone();
        let mut parameters = BTreeMap::new();
        // A map has another order each time.
        if let Some(oidc) = &mut action.authenticate_oidc_config {
            // Never told by AWS; what is stored has none in any case.
            oidc.client_secret = None;
            parameters.extend(oidc.authentication_request_extra_params.take().unwrap_or_default());
        }
        if let Some(cognito) = &mut action.authenticate_cognito_config {
            parameters.extend(cognito.authentication_request_extra_params.take().unwrap_or_default());
        }
        format!("{action:?} {parameters:?}")
    };
    actions.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// Whether the actions are as wished for.
pub(super) fn fulfilled(actions: &[Action], wish: Wish<'_>) -> bool {
    let now = weights(actions);
    let unstick = matches!(wish, Wish::Split { unstick: true, .. });
    wished(&now, wish) == now && !(unstick && stickiness(actions).is_some())
}

/// The actions as they are to be written.
///
/// # Errors
///
/// In words, what makes it impossible.
pub(super) fn rewritten(actions: &[Action], wish: Wish<'_>) -> Result<Vec<Action>, String> {
    if let Some(kind) = unknown(actions) {
        return Err(format!("has an action of the type {kind}, which this version would lose"));
    }
    if forward(actions).is_none() {
        return Err(format!("{}; there is nothing to shift", instead(actions)));
    }
    let groups = wished(&weights(actions), wish);
    let unstick = matches!(wish, Wish::Split { unstick: true, .. });
    let one = |action: &Action| {
        if action.r#type == Some(ActionTypeEnum::Forward) { forwarding(action, &groups, unstick) } else { kept(action) }
    };
    Ok(actions.iter().map(one).collect())
}

fn wished(now: &Weights, wish: Wish<'_>) -> Weights {
    let with = |mut groups: Weights, group: &Version, weight: u16| {
        groups.push((group.clone(), weight));
        groups
    };
    let has = |groups: &Weights, group: &Version| groups.iter().any(|(named, _)| named == group);
    match wish {
        Wish::Alone(group) => vec![(group.clone(), 1)],
        Wish::Detach(group) => now.iter().filter(|(named, weight)| named != group || *weight > 0).cloned().collect(),
        Wish::Attach(pair) => {
            let missing = pair.iter().filter(|group| !has(now, group));
            missing.fold(now.clone(), |groups, group| with(groups, group, 0))
        }
        Wish::Split { baseline, canary, weight, .. } => {
            let (of_canary, of_baseline) = alb::pair(weight);
            let ours = [(baseline, of_baseline), (canary, of_canary)];
            let mut groups = now.clone();
            for (group, weight) in &mut groups {
                if let Some((_, wanted)) = ours.iter().find(|(ours, _)| *ours == group) {
                    *weight = *wanted;
                }
            }
            // A group that is to get nothing is not added for it.
            let missing = ours.into_iter().filter(|(group, weight)| *weight > 0 && !has(now, group));
            missing.fold(groups, |groups, (group, weight)| with(groups, group, weight))
        }
    }
}

/// Weights are written even where they are 0: a group that has none is given 1. A group beside the list must not be
/// named; it comes with a rule that had one group.
fn forwarding(action: &Action, groups: &Weights, unstick: bool) -> Action {
    let tuple = |(group, weight): &(Version, u16)| {
        TargetGroupTuple::builder().target_group_arn(&group.0).weight(i32::from(*weight)).build()
    };
    let off = || TargetGroupStickinessConfig::builder().enabled(false).build();
    let sticky = action.forward_config().and_then(ForwardActionConfig::target_group_stickiness_config).cloned();
    let config = ForwardActionConfig::builder()
        .set_target_groups(Some(groups.iter().map(tuple).collect()))
        .set_target_group_stickiness_config(if unstick { sticky.map(|_| off()) } else { sticky })
        .build();
    let mut action = action.clone();
    action.target_group_arn = None;
    action.forward_config = Some(config);
    action
}

/// The secret of an identity provider is never told; without this the write is refused.
fn kept(action: &Action) -> Action {
    let mut action = action.clone();
    if let Some(oidc) = &mut action.authenticate_oidc_config {
        oidc.client_secret = None;
        oidc.use_existing_client_secret = Some(true);
    }
    action
}

#[cfg(test)]
mod tests;
