//! Load balancers as targets: what is read, what is refused, and in which words.

use super::messages::shown;
use super::*;

const ARN: &str = "arn:aws:elasticloadbalancing:us-east-1:123456789012:";

/// A document whose placeholders stand for ARNs, under the two lines that every one begins with.
fn document(rest: &str) -> String {
    let rest = rest.replace("RULE", &format!("{ARN}listener-rule/app/shop/1a/2b/")).replace("ARN:", ARN);
    format!("coalmine: v1\nname: a\n{}\n", rest.replace("LISTENER", &format!("{ARN}listener/app/shop/1a/2b")))
}

fn target(fields: &str) -> String {
    document(&format!("target: {{alb: {{{fields}}}}}"))
}

/// What a document with this in its third line and below is told.
fn told(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(_) => vec!["valid".to_owned()],
        Err(problems) => problems.iter().map(shown).collect(),
    }
}

const PLAIN: &str = "rule: RULE3c, targetGroups: [blue, green]";

#[test]
fn the_shortest_target_has_the_documented_defaults() {
    let expected = AlbTarget {
        rules: vec![RuleRef::Rule(format!("{ARN}listener-rule/app/shop/1a/2b/3c"))],
        target_groups: ["blue".to_owned(), "green".to_owned()],
        stickiness: Stickiness::Refuse,
        min_healthy_share: Weight::FULL,
        test_rule: None,
        keep_baseline: KeepBaseline::UntilNextRollout,
    };
    let spec = valid(&target(PLAIN));
    assert_eq!(spec.target, Target::Alb(expected));
    assert_eq!(spec.version, None);
    assert_eq!(spec.steps.iter().map(|step| step.weight.basis_points()).collect::<Vec<_>>(), [500, 2500, 5000]);
}

/// Port 80 and port 443 are two rules of one service.
#[test]
fn several_rules_move_together_rules_first() {
    let Target::Alb(alb) = valid(&target(
        "listener: LISTENER, rule: [RULE4, RULE3], targetGroups: ['ARN:targetgroup/blue/5e', green], testRule: RULE9, \
         minHealthyShare: 62.5%, stickiness: disableOnRollback, keepBaseline: untilNextRollout",
    ))
    .target
    else {
        panic!("a load balancer")
    };
    let shown: Vec<(bool, &str)> = alb
        .rules
        .iter()
        .map(|rule| (matches!(rule, RuleRef::Rule(_)), rule.arn().strip_prefix(ARN).unwrap()))
        .collect();
    let expected = [
        (true, "listener-rule/app/shop/1a/2b/4"),
        (true, "listener-rule/app/shop/1a/2b/3"),
        (false, "listener/app/shop/1a/2b"),
    ];
    assert_eq!(shown, expected);
    assert_eq!(alb.target_groups, [format!("{ARN}targetgroup/blue/5e"), "green".to_owned()]);
    assert_eq!((alb.min_healthy_share.basis_points(), alb.stickiness), (6250, Stickiness::DisableOnRollback));
    assert_eq!(alb.test_rule, Some(format!("{ARN}listener-rule/app/shop/1a/2b/9")));
}

#[test]
fn what_may_be_written_in_two_ways_means_the_same() {
    for (one, other) in [
        (PLAIN, "rule: [RULE3c], targetGroups: [blue, green]"),
        ("listener: LISTENER, targetGroups: [blue, green]", "listener: [LISTENER], targetGroups: [blue, green]"),
        (PLAIN, "rule: RULE3c, listener: [], targetGroups: [blue, green], minHealthyShare: 100%"),
    ] {
        assert_eq!(valid(&target(one)), valid(&target(other)), "{one}");
    }
}

/// What stands in `target.alb`, and what is said of it, without the place.
const TARGETS: &[(&str, &[&str])] = &[
    (
        "targetGroups: [blue, green]",
        &["target.alb: write `rule` or `listener`, or both: which rules forward to the two groups"],
    ),
    (
        "rule: [], listener: [], targetGroups: [blue, green]",
        &["target.alb: write `rule` or `listener`, or both: which rules forward to the two groups"],
    ),
    // A wrong field may be what is missing.
    ("rules: RULE3, targetGroups: [blue, green]", &["target.alb.rules: unknown field `rules`; did you mean `rule`?"]),
    (
        "rule: LISTENER, listener: RULE3, targetGroups: [blue, green]",
        &[
            "target.alb.rule: is a listener's ARN; write `listener: ...` for its default action",
            "target.alb.listener: is a rule's ARN; write `rule: ...`",
        ],
    ),
    (
        "rule: shop, listener: [7, 'arn:aws:elasticloadbalancing:us-east-1:12345:listener/app/shop/1/2'], \
         targetGroups: [blue, green]",
        &[
            "target.alb.rule: `shop` is not the ARN of a rule of an Application Load Balancer; write it as \
             `arn:aws:elasticloadbalancing:REGION:ACCOUNT:listener-rule/app/NAME/ID/ID/ID`",
            "target.alb.listener[0]: `7` is not the ARN of a listener of an Application Load Balancer; write it as \
             `arn:aws:elasticloadbalancing:REGION:ACCOUNT:listener/app/NAME/ID/ID`",
            "target.alb.listener[1]: `arn:aws:elasticloadbalancing:us-east-1:12345:listener/app/sh...` is not the ARN of a \
             listener of an Application Load Balancer; write it as \
             `arn:aws:elasticloadbalancing:REGION:ACCOUNT:listener/app/NAME/ID/ID`",
        ],
    ),
    (
        "rule: 'ARN:listener-rule/net/shop/1/2/3', listener: ['ARN:listener/net/shop/1/2', 'ARN:listener/gwy/shop/1/2'], \
         targetGroups: [blue, green]",
        &[
            "target.alb.rule: `arn:aws:elasticloadbalancing:us-east-1:123456789012:listener...` is a Network Load \
             Balancer's; only Application ones are shifted",
            "target.alb.listener[0]: `arn:aws:elasticloadbalancing:us-east-1:123456789012:listener...` is a Network Load \
             Balancer's; only Application ones are shifted",
            "target.alb.listener[1]: `arn:aws:elasticloadbalancing:us-east-1:123456789012:listener...` is a Gateway Load \
             Balancer's; only Application ones are shifted",
        ],
    ),
    (
        "rule: ['ARN:listener-rule/app/a/1/2/3', 'ARN:listener-rule/app/b/1/2/3'], \
         listener: 'arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/a/1/2', \
         targetGroups: [blue, green], testRule: \
         'arn:aws:elasticloadbalancing:us-east-1:210987654321:listener-rule/app/a/1/2/4'",
        &[
            "target.alb.rule[1]: all rules must be of one load balancer; this one is of `app/b/1`, the first of `app/a/1`",
            "target.alb.listener: all rules must be of one load balancer; this one is in eu-west-1, the first in us-east-1",
            "target.alb.testRule: must be of the same load balancer; this one is of account 210987654321, the first of \
             123456789012",
        ],
    ),
    (
        "rule: [RULE3, RULE3], listener: [LISTENER, LISTENER], targetGroups: [blue, green], testRule: RULE3",
        &[
            "target.alb.rule[1]: the rule `arn:aws:elasticloadbalancing:us-east-1:123456789012:listener...` is already in \
             the list",
            "target.alb.listener[1]: the listener `arn:aws:elasticloadbalancing:us-east-1:123456789012:listener...` is \
             already in the list",
            "target.alb.testRule: is one of the rules that are shifted; tests need a rule of their own",
        ],
    ),
    (
        "rule: [RULE1, RULE2, RULE3], listener: [LISTENER1, LISTENER2, LISTENER3], targetGroups: [blue, green]",
        &["target.alb: names 6 rules and listeners; at most 5 are allowed"],
    ),
    (
        "rule: [RULE1, RULE2, RULE3, RULE4, RULE5, RULE6], targetGroups: [blue, green]",
        &["target.alb.rule: has 6 items; at most 5 are allowed"],
    ),
    (
        "rule: RULE3, targetGroups: [blue]",
        &["target.alb.targetGroups: write exactly two target groups: the live one and the new one, in any order"],
    ),
    (
        "rule: RULE3, targetGroups: [blue, green, red]",
        &["target.alb.targetGroups: write exactly two target groups: the live one and the new one, in any order"],
    ),
    (
        "rule: RULE3, targetGroups: ['ARN:targetgroup/blue/5e', blue]",
        &["target.alb.targetGroups[1]: `blue` is given twice; the two groups must differ"],
    ),
    (
        "rule: RULE3, targetGroups: ['blue!', 'ARN:loadbalancer/app/shop/1a']",
        &[
            "target.alb.targetGroups[0]: `blue!` is neither a target group's name nor its ARN",
            "target.alb.targetGroups[1]: `arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbala...` is neither a \
             target group's name nor its ARN",
        ],
    ),
    (
        "rule: RULE3, targetGroups: ['', 'a-name-of-thirty-three-characters'], minHealthyShare: 0.5%",
        &[
            "target.alb.targetGroups[0]: `` is neither a target group's name nor its ARN",
            "target.alb.targetGroups[1]: `a-name-of-thirty-three-characters` is neither a target group's name nor its ARN",
            "target.alb.minHealthyShare: `0.5%` is out of range; a share of healthy targets is 1% to 100%",
        ],
    ),
    (
        "rule: RULE3, targetGroups: ['arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/blue/5e', \
         'arn:aws:elasticloadbalancing:us-east-1:210987654321:targetgroup/green/5e']",
        &[
            "target.alb.targetGroups[0]: is in eu-west-1, the rule in us-east-1",
            "target.alb.targetGroups[1]: is of account 210987654321, the rule of 123456789012",
        ],
    ),
    (
        "rule: RULE3, targetGroups: [blue, green], minHealthyShare: 101%, keepBaseline: 31d",
        &[
            "target.alb.minHealthyShare: `101%` is more than 100%; a weight is between 0% and 100%",
            "target.alb.keepBaseline: `31d` is out of range; write 1m to 30d",
        ],
    ),
    (
        "rule: RULE3, targetGroups: [blue, green], keepBaseline: forever, owner: codedeploy",
        &[
            "target.alb.keepBaseline: `forever` is not `untilNextRollout` or a duration such as `2h`",
            "target.alb.owner: unknown field `owner`; known here: `rule`, `listener`, `targetGroups`, `stickiness`, \
             `minHealthyShare`, `testRule`, `keepBaseline`",
        ],
    ),
];

#[test]
fn wrong_targets_are_told_exactly_what_is_wrong() {
    let mut wrong = Vec::new();
    for (fields, expected) in TARGETS {
        let found: Vec<String> = told(&target(fields)).iter().map(|line| after_place(line)).collect();
        if found != *expected {
            wrong.push(format!("{fields}\n  {}", found.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn after_place(line: &str) -> String {
    line.split_once(' ').unwrap().1.to_owned()
}

/// What stands below a sound target in line 3, and what is said of it.
const REST: &[(&str, &[&str])] = &[
    (
        "version: 42",
        &[
            "4:10 version: belongs to Lambda; which group is new is read from the rule. Say under `release` what is on it",
        ],
    ),
    (
        "strategy: {canary: {weight: 0.09%, bake: 5m}}",
        &[
            "4:29 strategy.canary.weight: an Application Load Balancer's weights are 0 to 999, so the smallest share beside \
           another group is 0.1%",
        ],
    ),
    (
        "strategy: {linear: {increment: 99.91%, every: 5m}}",
        &[
            "4:32 strategy.linear.increment: an Application Load Balancer's weights are 0 to 999, so the largest share beside \
           another group is 99.9%",
        ],
    ),
    (
        "strategy: {steps: [{weight: 0%}, {weight: 50%}, {weight: 50.01%}, {weight: 100%}]}",
        &[
            "4:29 strategy.steps[0].weight: a step at 0% sends the new version nothing, so there is nothing to judge; write \
             more than 0%",
            "4:58 strategy.steps[2].weight: `50.01%`, to the nearest weight that can be set, is not more than the step before \
             it (`50%` in line 4); weights rise from step to step",
            "4:76 strategy.steps[3].weight: promotion to 100% follows the last step by itself; leave this step out",
        ],
    ),
    (
        "tests: [{invoke: {payload: {}}}, {http: {}}, {http: {url: 'https://a/'}, invoke: {payload: 1}}]",
        &[
            "4:10 tests[0].invoke: invokes a Lambda function; use `http`",
            "4:35 tests[1].http: the field `url` is missing",
            "4:74 tests[2].invoke: only one kind of test is possible, and `http` is already given in line 4; leave out one \
             of the two",
            "4:74 tests[2].invoke: invokes a Lambda function; use `http`",
        ],
    ),
    (
        "tests: [{http: {url: 'ftp://a/', expect: 99, times: 21}}, {http: {url: 'https://me:secret@a/', expect: ok}}]",
        &[
            "4:22 tests[0].http.url: `ftp://a/` is not a URL such as `https://test.example.com/health`",
            "4:42 tests[0].http.expect: `99` is not an HTTP status from 100 to 599",
            "4:53 tests[0].http.times: `21` is not a number of times from 1 to 20",
            "4:72 tests[1].http.url: has a name or password before the `@`, which would be stored; leave it out",
            "4:104 tests[1].http.expect: `ok` is not an HTTP status from 100 to 599",
        ],
    ),
    (
        "tests: [{http: {url: 'https://a/', headers: {Host: a, host: b, 'a b': c, TE: d, X: \"a\\r\\nb\", Y: ' e'}}}]",
        &[
            "4:61 tests[0].http.headers.host: the header `host` is given twice; letter case does not matter",
            "4:71 tests[0].http.headers.\"a b\": `a b` is not a header's name",
            "4:78 tests[0].http.headers.TE: is what the connection says by itself; leave it out",
            "4:84 tests[0].http.headers.X: `a\\r\\nb` cannot be sent; use printable ASCII without spaces around it",
            "4:97 tests[0].http.headers.Y: ` e` cannot be sent; use printable ASCII without spaces around it",
        ],
    ),
    (
        "checks:\n  - errors: {}\n  - mean: {name: m, metric: {namespace: S, metric: M, dimensions: {V: '{version}'}}}\n  \
         - mean: {name: n, metric: {namespace: S, metric: N, dimensions: {T: '{targetgroup}{x}{targetGroup}'}}}",
        &[
            "6:55 checks[1].mean.metric.dimensions: no dimension has `{targetGroup}`, so both versions would be read from \
             the same metric `M`; write the dimension that tells them apart, such as `TargetGroup: \"{targetGroup}\"`",
            "6:71 checks[1].mean.metric.dimensions.V: `{version}` belongs to a Lambda target; a load balancer has \
             `{targetGroup}`, `{loadBalancer}`",
            "7:71 checks[2].mean.metric.dimensions.T: unknown placeholder `{targetgroup}`; did you mean `{targetGroup}`?",
            "7:71 checks[2].mean.metric.dimensions.T: unknown placeholder `{x}`; known here: `{targetGroup}`, \
             `{loadBalancer}`",
        ],
    ),
];

#[test]
fn what_stands_below_is_read_for_a_load_balancer() {
    let mut wrong = Vec::new();
    for (rest, expected) in REST {
        let text = target(PLAIN) + rest + "\n";
        let found = told(&text);
        if found != *expected {
            wrong.push(format!("{rest}\n  {}", found.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn lambdas_placeholders_and_tests_stay_lambdas() {
    let lambda = "tests: [{http: {url: 'https://a/'}}]\nchecks: [{errors: {}}, {mean: {name: m, metric: {namespace: S, metric: \
                  M, dimensions: {V: '{version}{loadBalancer}'}}}}]";
    let expected = [
        "4:10 tests[0].http: a new Lambda version has no URL of its own before it gets traffic; use `invoke`",
        "5:91 checks[1].mean.metric.dimensions.V: `{loadBalancer}` belongs to a load balancer; a Lambda target has \
         `{version}`, `{function}`, `{alias}`",
    ];
    assert_eq!(told(&format!("{HEAD}{lambda}\n")), expected);
    let both = format!("coalmine: v1\ntarget: {{lambda: {{function: f, alias: a}}, alb: {{{PLAIN}}}}}\nname: a\n");
    let both = both.replace("RULE", &format!("{ARN}listener-rule/app/shop/1a/2b/"));
    assert_eq!(
        told(&both),
        [
            "2:43 target.alb: only one target is possible, and `lambda` is already given in line 2; leave out one of the two"
        ]
    );
}

/// Blue and green take turns: a rollout that is called by its group would be that of the release before the last.
#[test]
fn a_rollout_on_target_groups_is_known_by_its_name_or_its_commit() {
    let nameless = |rest: &str| target(PLAIN).replace("name: a\n", "") + rest;
    let missing = "release.commit: say what is on the new group, `release: { commit: ... }`, or give the rollout a `name`: \
                   the groups swap roles, so nothing else tells two releases apart";
    for (rest, expected) in [
        ("", format!("1:1 {missing}")),
        ("release: {ticket: T}\n", format!("3:1 {missing}")),
        ("release: {commit: ''}\n", format!("3:19 {missing}")),
        (
            "release: {commit: feature/x}\n",
            "3:19 release.commit: `feature/x` is not a name; use 1 to 64 letters, digits, `.`, `_` and `-`, or give the \
             rollout a `name`"
                .to_owned(),
        ),
    ] {
        assert_eq!(told(&nameless(rest)), [expected], "{rest}");
    }
    for rest in [
        "release: {commit: 3f9c2ab}\n",
        "release: {commit: 1234567}\n",
        "name: b\n",
        "name: b\nrelease: {commit: a/b}\n",
    ] {
        assert_eq!(told(&nameless(rest)), ["valid"], "{rest}");
    }
    let all_releases = "release: {commit: 3f9c2ab}\n";
    let problems = parse_with_defaults(&nameless(""), Some(all_releases)).unwrap_err();
    let told: Vec<String> = problems.iter().map(shown).collect();
    assert_eq!(told, [format!("{missing} (in the defaults, line 1, column 19)")]);
}

#[test]
fn a_weight_between_two_that_can_be_set_becomes_the_nearest_and_says_so() {
    for (written, set, warning) in [
        (
            "canary: {weight: 49.99%, bake: 5m}",
            vec![5000],
            Some("strategy.canary.weight: 49.99% cannot be set with weights of 0 to 999; 50% is"),
        ),
        (
            "linear: {increment: 14.28%, every: 5m}",
            vec![1429, 2858, 4287, 5716, 7145, 8574],
            Some("strategy.linear.increment: 14.28% cannot be set with weights of 0 to 999; 14.29% is"),
        ),
        ("linear: {increment: 33.33%, every: 5m}", vec![3333, 6667, 9990], None),
        (
            "steps: [{weight: 0.1%}, {weight: 12.5%}, {weight: 33.33%}, {weight: 99.9%}]",
            vec![10, 1250, 3333, 9990],
            None,
        ),
        ("preset: ECSCanary10Percent5Minutes", vec![1000], None),
        ("auto: {}", vec![5000], None),
    ] {
        let validated = parse(&format!("{}strategy: {{{written}}}\n", target(PLAIN))).unwrap();
        let found: Vec<u16> = validated.spec.steps.iter().map(|step| step.weight.basis_points()).collect();
        assert_eq!(found, set, "{written}");
        let warnings: Vec<String> = validated.warnings.iter().map(|warning| after_place(&shown(warning))).collect();
        assert_eq!(warnings, Vec::from_iter(warning), "{written}");
    }
    // An alias takes any.
    let lambda = parse(&format!("{HEAD}strategy: {{canary: {{weight: 49.99%, bake: 5m}}}}\n")).unwrap();
    assert_eq!((lambda.spec.steps[0].weight.basis_points(), lambda.warnings), (4999, vec![]));
}

#[test]
fn an_http_test_that_nothing_points_at_the_new_group_is_worth_a_warning() {
    let test = "tests: [{http: {url: 'http://[::1]:8080?a=b', headers: {Host: shop.example}, times: 3}}]\n";
    let validated = parse(&format!("{}{test}", target(PLAIN))).unwrap();
    let warnings: Vec<String> = validated.warnings.iter().map(shown).collect();
    assert_eq!(
        warnings,
        [
            "4:10 tests[0].http: nothing points this URL at the new group; name a `testRule` under `target.alb`, which is made \
          to forward to the new group before the tests, or see to it yourself"
        ]
    );
    let expected = HttpTest {
        url: "http://[::1]:8080?a=b".to_owned(),
        headers: [("Host".to_owned(), "shop.example".to_owned())].into(),
        expect: 200,
        times: 3,
    };
    assert_eq!(validated.spec.tests, [Test::Http(expected)]);
    let pointed = parse(&format!("{}{test}", target(&format!("{PLAIN}, testRule: RULE9")))).unwrap();
    assert_eq!(pointed.warnings, vec![]);
}

#[test]
fn a_url_is_of_one_host() {
    for url in
        ["http://a", "https://a.b-c_d.example:65535/x?y=%20&z=[1]", "http://[2001:db8::1]/", "http://10.0.0.1:80"]
    {
        assert!(parses(url), "{url}");
    }
    for url in [
        "",
        "http://",
        "https:///a",
        "a.example/b",
        "http://a:0",
        "http://a:65536",
        "http://a:8o",
        "http://a:80:80",
        "http://[::1",
        "http://[::g]/",
        "http://[::1]x/",
        "http://a b/",
        "http://a/ü",
        "http://a/#top",
        "http://a/{x}",
        "http://u@a/",
        "HTTP://a/",
        "http://:80/",
        "http://a\\b/",
        "http://a/\n",
    ] {
        assert!(!parses(url), "{url}");
    }
    assert!(parses(&format!("http://a/{}", "x".repeat(2039))));
    assert!(!parses(&format!("http://a/{}", "x".repeat(2040))));
}

fn parses(url: &str) -> bool {
    let test = format!("tests: [{{http: {{url: {}}}}}]\n", serde_json::Value::from(url));
    parse(&format!("{}{test}", target(PLAIN))).is_ok()
}
