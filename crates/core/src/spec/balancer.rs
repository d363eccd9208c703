//! A load balancer's target: ARNs, names, and whether they belong together.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::decode::{At, Leaf, List, OneOrMore, value};
use super::leaves::{quantity, text_leaf, text_schema};
use super::problems::{Place, Problems, quoted};
use super::raw::{GROUPS_MAX, RULES_MAX, RawAlb};
use super::{AlbTarget, KeepBaseline, RuleRef, Stickiness};
use crate::alb::group_name;
use crate::units::{Span, Weight};

/// Load balancing's limit for the names of load balancers and target groups.
const NAME_CHARS_MAX: usize = 32;
/// How long the old group may be kept for; whoever wants longer wants it until the next rollout.
const KEPT_MIN: Span = Span::from_minutes(1);
const KEPT_MAX: Span = Span::from_hours(30 * 24);
/// Longer than any ARN of a rule.
const ARN_CHARS_MAX: usize = 512;

const RULE_FORM: &str = "arn:aws:elasticloadbalancing:REGION:ACCOUNT:listener-rule/app/NAME/ID/ID/ID";
const LISTENER_FORM: &str = "arn:aws:elasticloadbalancing:REGION:ACCOUNT:listener/app/NAME/ID/ID";

text_leaf!(
    /// The ARN of a rule.
    RuleArn(String)
);
text_leaf!(
    /// The ARN of a listener.
    ListenerArn(String)
);
text_leaf!(
    /// A target group's name or ARN.
    GroupRef(String)
);
text_leaf!(
    /// Of the targets that a weight needs, how many must be healthy.
    HealthyShare(Weight)
);
text_leaf!(
    /// How long the old group is kept.
    Keeping(KeepBaseline)
);

/// What an ARN of Elastic Load Balancing says.
struct Arn<'a> {
    partition: &'a str,
    region: &'a str,
    account: &'a str,
    /// `listener/app/shop/ID/ID`, cut at the strokes.
    resource: Vec<&'a str>,
}

impl<'a> Arn<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let ["arn", partition, "elasticloadbalancing", region, account, resource] = parts.as_slice() else {
            return None;
        };
        let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let resource: Vec<&str> = resource.split('/').collect();
        let account_number = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        let sound = word(partition) && word(region) && account_number && resource.iter().all(|part| word(part));
        (sound && text.len() <= ARN_CHARS_MAX).then_some(Self { partition, region, account, resource })
    }

    /// `app/shop/ID`, of a listener or a rule.
    fn balancer(&self) -> String {
        self.resource.get(1..4).unwrap_or_default().join("/")
    }

    /// How `other` differs in where it is: `is in eu-west-1, the rule in us-east-1`.
    fn elsewhere(&self, what: &str, other: &Arn<'_>) -> Option<String> {
        if (self.partition, self.region) != (other.partition, other.region) {
            return Some(format!("is in {}, {what} in {}", self.region, other.region));
        }
        (self.account != other.account).then(|| format!("is of account {}, {what} of {}", self.account, other.account))
    }
}

/// What is wrong with a text that is to be the ARN of a `listener-rule` or a `listener`, which have so many parts.
fn wrong_arn(text: &str, kind: &str, parts: usize) -> Option<String> {
    let (what, form) = match kind {
        "listener-rule" => ("a rule", RULE_FORM),
        _ => ("a listener", LISTENER_FORM),
    };
    let arn = Arn::read(text);
    let resource = arn.as_ref().map(|arn| arn.resource.as_slice()).unwrap_or_default();
    match resource {
        [found, "app", ..] if *found == kind && resource.len() == parts => None,
        [_, "net", ..] => {
            Some(format!("{} is a Network Load Balancer's; only Application ones are shifted", quoted(text)))
        }
        [_, "gwy", ..] => {
            Some(format!("{} is a Gateway Load Balancer's; only Application ones are shifted", quoted(text)))
        }
        ["listener", "app", ..] if resource.len() == 5 => {
            Some("is a listener's ARN; write `listener: ...` for its default action".to_owned())
        }
        ["listener-rule", "app", ..] if resource.len() == 6 => Some("is a rule's ARN; write `rule: ...`".to_owned()),
        _ => Some(format!(
            "{} is not the ARN of {what} of an Application Load Balancer; write it as `{form}`",
            quoted(text)
        )),
    }
}

impl Leaf for RuleArn {
    const WHAT: &'static str = "a rule's ARN";

    fn read(text: &str) -> Result<Self, String> {
        wrong_arn(text, "listener-rule", 6).map_or_else(|| Ok(Self(text.to_owned())), Err)
    }
}

impl Leaf for ListenerArn {
    const WHAT: &'static str = "a listener's ARN";

    fn read(text: &str) -> Result<Self, String> {
        wrong_arn(text, "listener", 5).map_or_else(|| Ok(Self(text.to_owned())), Err)
    }
}

impl Leaf for GroupRef {
    const WHAT: &'static str = "a target group's name or ARN";

    fn read(text: &str) -> Result<Self, String> {
        let letters = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let name = |text: &str| {
            (1..=NAME_CHARS_MAX).contains(&text.len())
                && letters(text)
                && !text.starts_with('-')
                && !text.ends_with('-')
        };
        let by_arn = |arn: &Arn<'_>| matches!(arn.resource.as_slice(), ["targetgroup", group, _] if name(group));
        match name(text) || Arn::read(text).as_ref().is_some_and(by_arn) {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("{} is neither a target group's name nor its ARN", quoted(text))),
        }
    }
}

impl Leaf for HealthyShare {
    const WHAT: &'static str = "a percentage such as `100%`";

    fn read(text: &str) -> Result<Self, String> {
        let share: Weight = quantity(text, Self::WHAT, str::parse)?;
        match share.basis_points() >= 100 {
            true => Ok(Self(share)),
            false => Err(format!("{} is out of range; a share of healthy targets is 1% to 100%", quoted(text))),
        }
    }
}

impl Leaf for Keeping {
    const WHAT: &'static str = "`untilNextRollout` or a duration such as `2h`";

    fn read(text: &str) -> Result<Self, String> {
        if text == "untilNextRollout" {
            return Ok(Self(KeepBaseline::UntilNextRollout));
        }
        let neither = |_| format!("{} is not {}", quoted(text), Self::WHAT);
        let kept: Span = quantity(text, Self::WHAT, str::parse).map_err(neither)?;
        match (KEPT_MIN..=KEPT_MAX).contains(&kept) {
            true => Ok(Self(KeepBaseline::For(kept))),
            false => Err(format!("{} is out of range; write {KEPT_MIN} to {KEPT_MAX}", quoted(text))),
        }
    }
}

text_schema! {
    RuleArn: {"type": "string", "pattern": "^arn:[^:]+:elasticloadbalancing:[^:]+:[0-9]{12}:listener-rule/app/([^/:]+/){3}[^/:]+$",
        "examples": [RULE_FORM]};
    ListenerArn: {"type": "string", "pattern": "^arn:[^:]+:elasticloadbalancing:[^:]+:[0-9]{12}:listener/app/([^/:]+/){2}[^/:]+$",
        "examples": [LISTENER_FORM]};
    GroupRef: {"type": "string", "pattern": "^(arn:[^:]+:elasticloadbalancing:[^:]+:[0-9]{12}:targetgroup/[^/:]+/[^/:]+|[A-Za-z0-9-]{1,32})$",
        "examples": ["checkout-blue"]};
    HealthyShare: {"type": "string", "pattern": "^ *[0-9.]+ *% *$", "examples": ["100%"]};
    Keeping: {"type": "string", "examples": ["untilNextRollout", "2h"]};
}

/// With holes filled where something is wrong, which is then reported.
pub fn lower(raw: At<RawAlb>, problems: &mut Problems) -> AlbTarget {
    let At { place, value: raw } = raw;
    let mut target = AlbTarget {
        rules: Vec::new(),
        target_groups: [String::new(), String::new()],
        stickiness: Stickiness::Refuse,
        min_healthy_share: Weight::FULL,
        test_rule: None,
        keep_baseline: KeepBaseline::UntilNextRollout,
    };
    let Some(raw) = raw else { return target };
    target.rules = rules(raw.rule, raw.listener, &place, problems);
    target.target_groups = groups(raw.target_groups, target.rules.first(), problems);
    target.stickiness = value(raw.stickiness).unwrap_or(target.stickiness);
    target.min_healthy_share = value(raw.min_healthy_share).map_or(target.min_healthy_share, |share| share.0);
    target.test_rule = test_rule(raw.test_rule, &target.rules, problems);
    target.keep_baseline = value(raw.keep_baseline).map_or(target.keep_baseline, |keep| keep.0);
    target
}

/// Rules first, then listeners, as they are written.
fn rules(
    rule: Option<At<OneOrMore<RuleArn, RULES_MAX>>>,
    listener: Option<At<OneOrMore<ListenerArn, RULES_MAX>>>,
    place: &Place,
    problems: &mut Problems,
) -> Vec<RuleRef> {
    let unreadable = [rule.as_ref().map(|at| at.value.is_none()), listener.as_ref().map(|at| at.value.is_none())];
    let rules = value(rule).map(|rules| rules.0).unwrap_or_default();
    let listeners = value(listener).map(|listeners| listeners.0).unwrap_or_default();
    let written = rules.len() + listeners.len();
    if written == 0 && !unreadable.contains(&Some(true)) && !problems.has_stray(place) {
        problems.add(place, "write `rule` or `listener`, or both: which rules forward to the two groups");
    }
    if written > RULES_MAX {
        problems.add(place, format!("names {written} rules and listeners; at most {RULES_MAX} are allowed"));
    }
    let rules = rules.into_iter().map(|at| (at.place, at.value.map(|arn| RuleRef::Rule(arn.0))));
    let listeners = listeners.into_iter().map(|at| (at.place, at.value.map(|arn| RuleRef::DefaultOf(arn.0))));
    let mut found: Vec<RuleRef> = Vec::new();
    for (place, rule) in rules.chain(listeners) {
        let Some(rule) = rule else { continue };
        if found.contains(&rule) {
            let what = if matches!(rule, RuleRef::Rule(_)) { "rule" } else { "listener" };
            problems.add(&place, format!("the {what} {} is already in the list", quoted(rule.arn())));
        } else if let Some(message) = found.first().and_then(|first| not_together(rule.arn(), first)) {
            problems.add(&place, format!("all rules must be of one load balancer; this one {message}"));
        }
        found.push(rule);
    }
    found
}

/// How a rule is not of the same load balancer as the first one.
fn not_together(arn: &str, first: &RuleRef) -> Option<String> {
    let (arn, first) = (Arn::read(arn)?, Arn::read(first.arn())?);
    let (ours, firsts) = (arn.balancer(), first.balancer());
    let elsewhere = arn.elsewhere("the first", &first);
    elsewhere.or_else(|| (ours != firsts).then(|| format!("is of `{ours}`, the first of `{firsts}`")))
}

fn groups(raw: Option<At<List<GroupRef, GROUPS_MAX>>>, rule: Option<&RuleRef>, problems: &mut Problems) -> [String; 2] {
    let none = || [String::new(), String::new()];
    let Some(At { place, value: Some(list) }) = raw else { return none() };
    let rule = rule.and_then(|rule| Arn::read(rule.arn()));
    for At { place, value } in &list.0 {
        let group = value.as_ref().and_then(|group| Arn::read(&group.0));
        if let Some(message) = group.zip(rule.as_ref()).and_then(|(group, rule)| group.elsewhere("the rule", rule)) {
            problems.add(place, message);
        }
    }
    let Ok([one, other]) = <[At<GroupRef>; 2]>::try_from(list.0) else {
        problems.add(&place, "write exactly two target groups: the live one and the new one, in any order");
        return none();
    };
    let (At { value: Some(one), .. }, At { place, value: Some(other) }) = (one, other) else { return none() };
    // Names are unique in an account and region.
    let name = group_name(&other.0);
    if group_name(&one.0) == name {
        problems.add(&place, format!("{} is given twice; the two groups must differ", quoted(name)));
    }
    [one.0, other.0]
}

fn test_rule(raw: Option<At<RuleArn>>, rules: &[RuleRef], problems: &mut Problems) -> Option<String> {
    let At { place, value } = raw?;
    let arn = value?.0;
    if rules.iter().any(|rule| rule.arn() == arn) {
        problems.add(&place, "is one of the rules that are shifted; tests need a rule of their own");
    } else if let Some(message) = rules.first().and_then(|first| not_together(&arn, first)) {
        problems.add(&place, format!("must be of the same load balancer; this one {message}"));
    }
    Some(arn)
}
