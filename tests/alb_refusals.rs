//! What must not be rolled out between target groups: every message word for word, nothing written, no weight moved.

use serde_json::{Value, json};

use crate::harness::{Shop, StageAlb, with_fields};

/// Puts the world into a state that is to be refused; the fields of the target that go with it.
type Row = (&'static str, fn(&Shop) -> Value, fn(&Shop) -> Vec<(String, String)>);

/// Starts rollouts that must be refused; the shop is as before after each.
fn refused(stage: &StageAlb, rows: &[Row]) {
    let shop = &stage.shop;
    let rule_before = json!(shop.elb.actions(&shop.rule));
    for (what, make, expected) in rows {
        let mut target = make(shop);
        if target["rule"].is_null() && target["listener"].is_null() {
            target["rule"] = json!(shop.rule);
        }
        let actions = || [shop.elb.actions(&shop.rule), shop.elb.actions(&shop.listener)];
        let before = (stage.items(), actions());
        let answer = stage.command(&json!({ "command": "start", "spec": stage.spec_on(&target, &json!({})) }));
        assert_eq!(errors(&answer), expected(shop), "{what}: {answer:#}");
        assert_eq!((stage.items(), actions()), before, "something was written for {what}");
        shop.elb.set_actions(&shop.rule, &rule_before);
        shop.elb.set_actions(&shop.listener, &Shop::answering());
    }
}

/// Path and message of every error of an answer.
fn errors(answer: &Value) -> Vec<(String, String)> {
    let errors = answer["errors"].as_array().unwrap_or_else(|| panic!("no errors in {answer:#}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    errors.iter().map(|error| (text(&error["path"]), text(&error["message"]))).collect()
}

fn one(path: &str, message: impl Into<String>) -> Vec<(String, String)> {
    vec![(path.to_owned(), message.into())]
}

fn forward(shop: &Shop, weights: [u16; 2]) -> Value {
    Shop::forward(&[(&shop.groups[0], weights[0]), (&shop.groups[1], weights[1])])
}

fn default_rule(shop: &Shop) -> String {
    let rules = shop.elb.call("DescribeRules", &json!({ "ListenerArn": shop.listener }))["Rules"].clone();
    let default = rules.as_array().unwrap().iter().find(|rule| rule["IsDefault"] == true).unwrap().clone();
    default["RuleArn"].as_str().unwrap().to_owned()
}

const RULES: &[Row] = &[
    (
        "a rule that is not there",
        |shop| json!({ "rule": format!("{}0", shop.rule) }),
        |shop| one("target.alb", format!("there is no rule {}0 in this account and region", shop.rule)),
    ),
    (
        "a listener that is not there",
        |shop| json!({ "listener": format!("{}0", shop.listener) }),
        |shop| one("target.alb", format!("there is no listener {}0 in this account and region", shop.listener)),
    ),
    (
        "a default rule",
        |shop| {
            shop.open_to_all();
            shop.elb.set_actions(&shop.rule, &Shop::answering());
            json!({ "rule": default_rule(shop) })
        },
        |shop| {
            let (rule, listener) = (default_rule(shop), &shop.listener);
            one(
                "target.alb.rule",
                format!(
                    "rule {rule} is the default rule of its listener, which ModifyRule cannot change; write \
                             `listener: {listener}`"
                ),
            )
        },
    ),
    (
        "no forward",
        |shop| {
            shop.elb.set_actions(&shop.rule, &Shop::answering());
            json!({})
        },
        |shop| {
            let rule = &shop.rule;
            one("target.alb.rule", format!("rule {rule} does not forward to target groups; there is nothing to shift"))
        },
    ),
    (
        "no weight at all",
        |shop| {
            shop.elb.set_actions(&shop.rule, &json!([forward(shop, [0, 0])]));
            json!({})
        },
        |shop| {
            let rule = &shop.rule;
            one("target.alb.rule", format!("rule {rule} gives no group any traffic: all its weights are 0"))
        },
    ),
    (
        "somebody else's weights",
        |shop| {
            shop.elb.set_actions(&shop.rule, &json!([forward(shop, [90, 10])]));
            json!({})
        },
        |shop| {
            let (rule, blue) = (&shop.rule, &shop.groups[0]);
            one(
                "target.alb.rule",
                format!(
                    "rule {rule} is already weighted (blue 90, green 10) and no rollout did that; put it on one group \
                             first, with the actions that it has before the forward, if any: aws elbv2 modify-rule \
                             --rule-arn {rule} --actions Type=forward,TargetGroupArn={blue}"
                ),
            )
        },
    ),
    (
        "rules that differ",
        |shop| {
            shop.elb.set_actions(&shop.listener, &json!([forward(shop, [0, 1])]));
            json!({ "rule": shop.rule, "listener": shop.listener })
        },
        |shop| {
            let Shop { rule, listener, .. } = shop;
            one(
                "target.alb.rule",
                format!(
                    "the rules differ: blue is live behind rule {rule}, green behind the default action of {listener}"
                ),
            )
        },
    ),
    (
        "stickiness",
        |shop| {
            let mut sticky = forward(shop, [1, 0]);
            sticky["ForwardConfig"]["TargetGroupStickinessConfig"] =
                json!({ "Enabled": true, "DurationSeconds": 3600 });
            shop.elb.set_actions(&shop.rule, &json!([sticky]));
            json!({})
        },
        |shop| {
            one(
                "target.alb.stickiness",
                format!(
                    "target-group stickiness is on (1h) in rule {}: clients stay on the new group after a rollback, \
                             whatever the weights. Switch it off, or consent with `stickiness: disableOnRollback` to its \
                             being switched off on a rollback",
                    shop.rule
                ),
            )
        },
    ),
    (
        "another rule with the live group",
        |shop| {
            shop.open_to_all();
            json!({})
        },
        |shop| {
            one(
                "target.alb.rule",
                format!(
                    "rule {} forwards to blue, too (weight 1): it is not shifted, and its requests would be counted \
                             for both groups' versions. Name it under `rule` or `listener` as well, or give it a group of its \
                             own",
                    shop.listener
                ),
            )
        },
    ),
];

#[test]
fn a_rule_that_cannot_be_shifted_is_refused() {
    let stage = StageAlb::set_up(131);
    refused(&stage, RULES);
}

const GROUPS: &[Row] = &[
    (
        "a group that is not there",
        |_| json!({ "targetGroups": ["blue", "gren"] }),
        |_| one("target.alb.targetGroups[1]", "there is no target group gren in this account and region"),
    ),
    (
        "a group of another load balancer",
        |_| json!({ "targetGroups": ["purple", "blue"] }),
        |shop| {
            let balancers = shop.elb.call("DescribeLoadBalancers", &json!({ "Names": ["other"] }));
            let arn = balancers["LoadBalancers"][0]["LoadBalancerArn"].as_str().unwrap().to_owned();
            let name = arn.split_once(":loadbalancer/").unwrap().1;
            one(
                "target.alb.targetGroups[0]",
                format!("purple belongs to load balancer {name}; a target group works with one load balancer only"),
            )
        },
    ),
    (
        "a group of another network",
        |_| json!({ "targetGroups": ["blue", "far"] }),
        |shop| {
            let groups = shop.elb.call("DescribeTargetGroups", &json!({ "Names": ["far", "blue"] }));
            let vpc = |name: &str| {
                let mut groups = groups["TargetGroups"].as_array().unwrap().iter();
                let group = groups.find(|group| group["TargetGroupName"] == name).unwrap();
                group["VpcId"].as_str().unwrap().to_owned()
            };
            let message = format!("far is in {}, the load balancer in {}", vpc("far"), vpc("blue"));
            one("target.alb.targetGroups[1]", message)
        },
    ),
    (
        "a group that speaks no HTTP",
        |_| json!({ "targetGroups": ["blue", "raw"] }),
        |_| {
            one(
                "target.alb.targetGroups[1]",
                "raw has TCP; an Application Load Balancer forwards to HTTP and HTTPS only",
            )
        },
    ),
    (
        "neither is live",
        |_| json!({ "targetGroups": ["green", "grey"] }),
        |shop| {
            let rule = &shop.rule;
            one("target.alb.targetGroups", format!("rule {rule} forwards to blue, and to neither green nor grey"))
        },
    ),
    (
        "a third group",
        |shop| {
            let groups = shop.elb.call("DescribeTargetGroups", &json!({ "Names": ["grey"] }));
            let grey = groups["TargetGroups"][0]["TargetGroupArn"].as_str().unwrap().to_owned();
            let three = [(shop.groups[0].as_str(), 95), (grey.as_str(), 5)];
            shop.elb.set_actions(&shop.rule, &json!([Shop::forward(&three)]));
            json!({})
        },
        |shop| {
            one(
                "target.alb.rule",
                format!(
                    "rule {} also forwards to grey (weight 5); only two groups can be compared. Give it weight 0, or a \
                             rule of its own",
                    shop.rule
                ),
            )
        },
    ),
    (
        "one group twice",
        |shop| json!({ "targetGroups": ["blue", shop.groups[0]] }),
        |_| one("target.alb.targetGroups[1]", "`blue` is given twice; the two groups must differ"),
    ),
];

#[test]
fn a_target_group_that_cannot_take_part_is_refused() {
    let stage = StageAlb::set_up(132);
    let shop = &stage.shop;
    let vpc = shop.elb.create_vpc();
    shop.elb.create_group("far", &json!({ "VpcId": vpc }));
    shop.elb.create_group("raw", &json!({ "Protocol": "TCP" }));
    let purple = shop.elb.create_group("purple", &json!({}));
    shop.elb.create_group("grey", &json!({}));
    let other = shop.elb.create_balancer("other");
    shop.elb.create_listener(&other, 80, &json!([{ "Type": "forward", "TargetGroupArn": purple }]));
    refused(&stage, GROUPS);
}

#[test]
fn what_another_service_shifts_is_refused() {
    let stage = StageAlb::set_up(133);
    let Shop { elb, rule, groups: [blue, green], .. } = &stage.shop;
    elb.ecs("CreateCluster", &json!({ "clusterName": "prod" }));
    let container = json!({ "name": "web", "image": "web", "memory": 64 });
    elb.ecs("RegisterTaskDefinition", &json!({ "family": "web", "containerDefinitions": [container] }));
    let balancer = json!({ "targetGroupArn": blue, "containerName": "web", "containerPort": 80 });
    let mut advanced = balancer.clone();
    advanced["advancedConfiguration"] = json!({
        "alternateTargetGroupArn": green, "productionListenerRule": rule, "roleArn": "arn:aws:iam::123456789012:role/ecs",
    });
    let service = |name: &str, fields: &Value| {
        let service = json!({ "cluster": "prod", "serviceName": name, "taskDefinition": "web", "desiredCount": 0 });
        elb.ecs("CreateService", &with_fields(service, fields));
    };
    let start = || stage.command(&json!({ "command": "start", "spec": stage.spec(&json!({})) }));
    let owns = |name: &str, by: &str, what: &str| {
        format!(
            "ECS service prod/{name} ({by}) owns {what} and sets weights itself; let it shift, or use the rolling deployment \
             with two services"
        )
    };
    // A service that only keeps its tasks registered is how two groups are meant to be filled.
    service("plain", &json!({ "loadBalancers": [balancer] }));
    service("cart", &json!({ "loadBalancers": [advanced] }));
    let of_cart = one("target.alb.rule", owns("cart", "BLUE_GREEN", &format!("rule {rule}")));
    assert_eq!(errors(&start()), of_cart);
    service("till", &json!({ "deploymentController": { "type": "CODE_DEPLOY" }, "loadBalancers": [balancer] }));
    let of_till = one("target.alb.targetGroups", owns("till", "CODE_DEPLOY", "blue and green"));
    assert_eq!(errors(&start()), [of_cart, of_till].concat());
}

/// The same as offline, so that a pipeline that only starts is told no less.
#[test]
fn what_the_spec_itself_says_wrongly_is_refused() {
    let stage = StageAlb::set_up(134);
    refused(
        &stage,
        &[
            (
                "a listener for a rule",
                |shop| json!({ "rule": shop.listener }),
                |_| one("target.alb.rule", "is a listener's ARN; write `listener: ...` for its default action"),
            ),
            (
                "a rule for a listener",
                |shop| json!({ "listener": shop.rule }),
                |_| one("target.alb.listener", "is a rule's ARN; write `rule: ...`"),
            ),
            (
                "three groups",
                |_| json!({ "targetGroups": ["blue", "green", "red"] }),
                |_| {
                    one(
                        "target.alb.targetGroups",
                        "write exactly two target groups: the live one and the new one, in any order",
                    )
                },
            ),
        ],
    );
    let mut nameless = stage.spec(&json!({}));
    nameless.as_object_mut().unwrap().remove("name");
    let answer = stage.command(&json!({ "command": "start", "spec": nameless }));
    let message = "say what is on the new group, `release: { commit: ... }`, or give the rollout a `name`: the groups swap \
                   roles, so nothing else tells two releases apart";
    assert_eq!(errors(&answer), one("release.commit", message));
}

#[test]
fn a_new_group_without_targets_is_waited_for() {
    let mut stage = StageAlb::set_up(135);
    let (group, addresses) = (stage.shop.groups[1].clone(), Shop::addresses(1));
    stage.shop.elb.deregister(&group, &addresses);
    stage.start(&json!({}));
    for _ in 0..3 {
        stage.next();
        assert_eq!((stage.phase().as_str(), stage.new_share()), ("pending", 0.0), "{:#}", stage.status());
    }
    stage.shop.elb.register(&group, &addresses);
    for _ in 0..3 {
        stage.next();
    }
    assert_eq!(stage.new_percent(), 5, "{:#}", stage.status());
}
