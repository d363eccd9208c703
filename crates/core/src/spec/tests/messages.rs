//! Bad documents and exactly what is said about them.

use super::*;

/// Every document follows the three lines of `HEAD`; `line:column path: message`, in the order of the text.
const TABLE: &[(&str, &[&str])] = &[
    // Fields that are unknown, misplaced, missing or given twice.
    (
        "delay: 3h",
        &["4:1 delay: unknown field `delay`; known here: `coalmine`, `name`, `mode`, `target`, `version`, `release`, \
         `strategy`, `margins`, `settle`, `advance`, `after`, `tests`, `checks`, `alarms`, `analysis`, `undecided`, `pause`, \
         `deadline`, `newer`"],
    ),
    (
        "strategy: {canary: {wieght: 5%, bake: 5m}}",
        &[
            "4:12 strategy.canary: the field `weight` is missing",
            "4:21 strategy.canary.wieght: unknown field `wieght`; did you mean `weight`?",
        ],
    ),
    (
        "strategy:\n  steps:\n    - {weight: 5%, at_most: 1h}",
        &["6:20 strategy.steps[0].at_most: unknown field `at_most`; did you mean `atMost`?"],
    ),
    ("steps: []", &["4:1 steps: belongs under `strategy`; write `strategy: { steps: [...] }`"]),
    ("deadline: 3h\ndeadline: 4h", &["5:1 deadline: the field `deadline` is already given in line 4"]),
    (
        "strategy: {blueGreen: {bake: 5m}}",
        &["4:24 strategy.blueGreen.bake: unknown field `bake`; there are no fields here, write `{}`"],
    ),
    // Exactly one of several.
    (
        "strategy:\n  linear: {increment: 10%, every: 5m}\n  canary: {weight: 10%, bake: 5m}",
        &["6:3 strategy.canary: only one strategy is possible, and `linear` is already given in line 5; leave out \
         one of the two"],
    ),
    (
        "strategy: {}",
        &[
            "4:1 strategy: write exactly one strategy: `steps`, `auto`, `canary`, `linear`, `blueGreen`, `allAtOnce`, `preset`",
        ],
    ),
    ("strategy: canary", &["4:11 strategy: expected a mapping (`field: value`), found the text `canary`"]),
    ("strategy: {allAtOnce: }", &["4:12 strategy.allAtOnce: expected a mapping (`field: value`), found nothing"]),
    (
        "checks: [{mode: hold}]",
        &["4:10 checks[0]: write exactly one kind of check: `errors`, `latency`, `rate`, \
         `distribution`, `mean`, `gauge`"],
    ),
    // Checks of one's own.
    (
        "checks:\n  - distribution: {name: errors, unit: milliseconds of waiting, tolerate: 2pt}",
        &[
            "5:5 checks[0].distribution: the field `metric` is missing",
            "5:26 checks[0].distribution.name: `errors` is the name of a check that exists already; choose another",
            "5:40 checks[0].distribution.unit: has 23 characters; at most 16 are allowed",
            "5:75 checks[0].distribution.tolerate: `2pt` is not a percentage such as `5%`",
        ],
    ),
    (
        "checks:\n  - errors: {}\n  - mean: {name: m, metric: {namespace: S, metric: M, dimensions: {V: '{version}'}}}\n    \
         mode: hold\n    onNoData: fail",
        &[
            "7:11 checks[1].mode: a `mean` is only shown, so it has no such field; leave it out, or judge the same \
             metric as `distribution` or `gauge`",
            "8:15 checks[1].onNoData: a `mean` is only shown, so it has no such field; leave it out, or judge the same \
             metric as `distribution` or `gauge`",
        ],
    ),
    (
        "checks:\n  - errors: {}\n  - gauge:\n      name: g\n      metric: {namespace: S, metric: M, dimensions: {V: \
         '{version}'}}\n      onNoData: fail",
        &["9:17 checks[1].gauge.onNoData: a gauge never rolls back, so missing data cannot count as worse; write \
           `hold` or `ignore`"],
    ),
    (
        "checks:\n  - gauge: {name: g, metric: {namespace: S, metric: M, dimensions: {V: '{version}'}}}",
        &[
            "4:1 checks: every check is only observed, so no step could ever be proven; add `errors`, or go on without a \
           proof with `advance: unlessHarm`",
        ],
    ),
    (
        "checks:\n  - rate:\n      name: r\n      tolerate: 1pt\n      absentIsZero: true\n      goodEvents: {namespace: S, \
         metric: M, dimensions: {V: '{version}'}}\n      requests: {namespace: S, metric: N, dimensions: {V: '{version}'}}",
        &["8:21 checks[0].rate.absentIsZero: is for `events` only: good events whose datapoint is merely late would \
           read as none, and a healthy version would be rolled back; publish zeros, or count the bad ones as `events`"],
    ),
    ("analysis: {harmRatio: 1.25}", &["4:23 analysis.harmRatio: `1.25` is not a factor such as `1.25x`"]),
    ("analysis: {harmRatio: 11x}", &["4:23 analysis.harmRatio: `11x` is out of range; a factor here is 1x to 10x"]),
    // Weights.
    (
        "strategy: {canary: {weight: 110%, bake: 5m}}",
        &["4:29 strategy.canary.weight: `110%` is more than 100%; a weight is between 0% and 100%"],
    ),
    (
        "strategy: {canary: {weight: 5, bake: 5m}}",
        &["4:29 strategy.canary.weight: `5` is not a weight; write a percentage such as `5%`"],
    ),
    (
        "strategy: {steps: [{weight: 0%}, {weight: 100%}]}",
        &[
            "4:29 strategy.steps[0].weight: a step at 0% sends the new version nothing, so there is nothing to \
         judge; write more than 0%",
            "4:43 strategy.steps[1].weight: promotion to 100% follows the last step by itself; leave this step out",
        ],
    ),
    (
        "strategy:\n  steps:\n    - weight: 50%\n    - weight: 25%\n    - weight: 25%",
        &[
            "7:15 strategy.steps[1].weight: `25%` is not more than the step before it (`50%` in line 6); weights \
         rise from step to step",
            "8:15 strategy.steps[2].weight: `25%` is not more than the step before it (`25%` in line 7); weights \
         rise from step to step",
        ],
    ),
    ("strategy: {steps: []}", &["4:12 strategy.steps: is empty; write at least one step, or `allAtOnce: {}` for none"]),
    (
        "strategy: {linear: {increment: 1%, every: 1m}}",
        &["4:32 strategy.linear.increment: steps of 1% would be 99 steps; at most 50 are allowed, so write at \
             least `2%`"],
    ),
    // Durations.
    ("deadline: 2 hours", &["4:11 deadline: `2 hours` is not a duration; write it as `90s`, `5m`, `1h30m` or `2d`"]),
    ("deadline: 30", &["4:11 deadline: `30` is not a duration; write it as `90s`, `5m`, `1h30m` or `2d`"]),
    (
        "strategy: {canary: {weight: 5%, bake: 30s}}",
        &["4:39 strategy.canary.bake: `30s` is too short; metrics come by the minute, so write at least `1m`"],
    ),
    (
        "strategy: {steps: [{weight: 5%, bake: 10m, atMost: 5m}]}",
        &["4:52 strategy.steps[0].atMost: `atMost` is 5m, shorter than the step's `bake` of 10m"],
    ),
    (
        "strategy: {linear: {increment: 10%, every: 20m}}",
        &["4:1 strategy: the steps alone take 3h, longer than the deadline of 2h; write a longer `deadline` or \
             shorter steps"],
    ),
    (
        "deadline: 10m",
        &["4:11 deadline: the steps alone take 15m, longer than the deadline of 10m; write a longer `deadline` or \
             shorter steps"],
    ),
    // Endings that would not end.
    (
        "pause: {then: pause}",
        &["4:15 pause.then: `pause` would wait again, and no pause is for ever; write `rollBack` or `promote`"],
    ),
    (
        "strategy: {steps: [{weight: 5%, approve: {within: 4h, otherwise: pause}}]}",
        &["4:66 strategy.steps[0].approve.otherwise: `pause` would wait again, and no pause is for ever; write \
         `rollBack` or `promote`"],
    ),
    // Presets.
    (
        "strategy: {preset: CodeDeployDefault.LambdaCanary10Percent5Minute}",
        &["4:20 strategy.preset: unknown preset `CodeDeployDefault.LambdaCanary10Percent5Minute`; did you mean \
         `LambdaCanary10Percent5Minutes`?"],
    ),
    (
        "advance: onProof\nstrategy: {preset: AllAtOnce}",
        &["4:10 advance: a preset keeps its own clock and does not wait for a proof; leave `advance` out, or write \
         the steps with `steps`, `canary` or `linear`"],
    ),
    (
        "strategy: {auto: {harmBudget: 0}}",
        &["4:31 strategy.auto.harmBudget: `0` is not a number of failed requests from 1 to 1000000"],
    ),
    (
        "advance: unlessHarm\nstrategy: {auto: {}}",
        &["4:10 advance: `auto` raises the weight by what is proven; leave `advance` out, or write the steps with \
         `steps`, `canary` or `linear`"],
    ),
    (
        "strategy: {auto: {}}\nchecks: [errors: {mode: hold}]",
        &["5:1 checks: `auto` budgets failed requests, so it needs the `errors` check, enforced"],
    ),
    // Checks.
    (
        "checks: []",
        &["4:1 checks: is empty, so nothing would be compared; leave `checks` out for the default (errors and \
         latency), or write `mode: observe` in a check"],
    ),
    ("checks:", &["4:1 checks: expected a list, found nothing"]),
    (
        "checks: [latency: {mode: observe}]",
        &["4:1 checks: every check is only observed, so no step could ever be proven; add `errors`, or go on \
         without a proof with `advance: unlessHarm`"],
    ),
    (
        "checks: [errors: {}, errors: {tolerate: 5%}]",
        &[
            "4:22 checks[1].errors: a check named `errors` is already given in line 4; names are unique",
            "4:41 checks[1].errors.tolerate: `5%` is not a tolerance; a percentage could mean either: points \
         (`0.5pt`) or a factor (`1.05x`)",
        ],
    ),
    (
        "checks: [errors: {tolerate: 0pt}, latency: {at: [p50, p50, 99], warmUp: 31m}]",
        &[
            "4:29 checks[0].errors.tolerate: `0pt` is out of range; points are more than 0pt and at most 50pt",
            "4:55 checks[1].latency.at[1]: this percentile is already in the list",
            "4:60 checks[1].latency.at[2]: `99` is not a percentile; write `p1` to `p99.99`, such as `p99`",
            "4:73 checks[1].latency.warmUp: `31m` is out of range; at most 30m",
        ],
    ),
    (
        "checks: [{errors: {mode: hold}, mode: observe}]",
        &["4:39 checks[0].mode: `mode` is given twice, here and inside `errors`; leave out one of the two"],
    ),
    (
        "checks:\n  - rate:\n      name: errors\n      requests: {namespace: S, metric: M, dimensions: {V: \
         '{verison}'}}\n      tolerate: 1x",
        &[
            "5:5 checks[0].rate: write exactly one of the counts: `events`, `goodEvents`",
            "6:13 checks[0].rate.name: `errors` is the name of a check that exists already; choose another",
            "7:43 checks[0].rate.requests.dimensions: no dimension has `{version}`, so both versions would be read \
             from the same metric `M`; write the dimension that tells them apart, such as `Version: \"{version}\"`",
            "7:59 checks[0].rate.requests.dimensions.V: unknown placeholder `{verison}`; did you mean `{version}`?",
            "8:17 checks[0].rate.tolerate: `1x` is out of range; a factor is more than 1x and at most 10x",
        ],
    ),
    // Names.
    (
        "version: $LATEST",
        &["4:10 version: `$LATEST` cannot be rolled out: an alias with weights needs published versions; publish \
         one and write its number"],
    ),
    ("version: v42", &["4:10 version: `v42` is not a published version; write its number, such as `\"42\"`"]),
    (
        "release: {commit: \"a\\u001b[2Jb\"}",
        &["4:19 release.commit: `a\\u{1b}[2Jb` has control characters; write it in one line of plain text"],
    ),
    ("alarms: [a, b, a]", &["4:16 alarms[2]: the alarm `a` is already in the list"]),
    (
        "alarms: [\"arn:aws:cloudwatch:eu-west-1:123456789012:alarm:a:b\"]",
        &["4:10 alarms[0]: is an ARN; write the alarm's name: `a:b`"],
    ),
    (
        "alarms: checkout-5xx",
        &["4:9 alarms: expected a list of alarm names such as `[checkout-5xx]`, found the text `checkout-5xx`"],
    ),
    (
        "analysis: {falseRollback: 0%, falsePromotion: five}",
        &[
            "4:27 analysis.falseRollback: `0%` is out of range; an error probability is between 0.01% and 20%",
            "4:47 analysis.falsePromotion: `five` is not a percentage such as `1%`",
        ],
    ),
    // Tests.
    (
        "tests: [{http: {url: x}}, {invoke: {times: 21}}]",
        &[
            "4:10 tests[0].http: a new Lambda version has no URL of its own before it gets traffic; use `invoke`",
            "4:22 tests[0].http.url: `x` is not a URL such as `https://test.example.com/health`",
            "4:28 tests[1].invoke: the field `payload` is missing",
            "4:44 tests[1].invoke.times: `21` is not a number of times from 1 to 20",
        ],
    ),
    // YAML itself.
    (
        "deadline: &long 3h\npause: {for: *long}",
        &["5:14 pause.for: YAML aliases (`*name`) are not supported; write the value out"],
    ),
    ("pause: {<<: {for: 1h}}", &["4:9 pause: YAML merge keys (`<<`) are not supported; write the fields out"]),
    (
        "version: !Ref Version",
        &[
            "4:15 version: YAML tags such as `!Ref` mean nothing here; write the value out",
            "4:15 version: `Version` is not a published version; write its number, such as `\"42\"`",
        ],
    ),
    ("? [a]\n: b", &["4:3 the name of a field is plain text, such as `weight`"]),
    ("---\ncoalmine: v1", &["4:1 a second document begins here; a spec is one document"]),
    // Several at once, in the order of the text.
    (
        "newer: replace\nmode: dry-run\nstrategy: {canary: {weight: 200%, bake: soon}}\nchecks: []\nalerts: [x]",
        &[
            "4:8 newer: unknown word `replace`; known here: `supersede`, `queue`, `refuse`",
            "5:7 mode: unknown word `dry-run`; known here: `enforce`, `observe`",
            "6:29 strategy.canary.weight: `200%` is more than 100%; a weight is between 0% and 100%",
            "6:41 strategy.canary.bake: `soon` is not a duration; write it as `90s`, `5m`, `1h30m` or `2d`",
            "7:1 checks: is empty, so nothing would be compared; leave `checks` out for the default (errors and \
         latency), or write `mode: observe` in a check",
            "8:1 alerts: unknown field `alerts`; did you mean `alarms`?",
        ],
    ),
];

/// The same for whole documents.
const DOCUMENTS: &[(&str, &[&str])] = &[
    ("", &["1:1 the document is empty; a spec begins with `coalmine: v1`"]),
    ("# nothing\n", &["1:1 the document is empty; a spec begins with `coalmine: v1`"]),
    ("- a", &["1:1 expected a mapping (`field: value`), found a list"]),
    (
        "coalmine: v2\ntarget: {alb: {}}",
        &[
            "1:1 release.commit: say what is on the new group, `release: { commit: ... }`, or give the rollout a `name`: the \
             groups swap roles, so nothing else tells two releases apart",
            "1:11 coalmine: unknown version `v2` of the spec language; this Coalmine knows `v1`",
            "2:10 target.alb: the field `targetGroups` is missing",
            "2:10 target.alb: write `rule` or `listener`, or both: which rules forward to the two groups",
        ],
    ),
    (
        "target: {ecs: {}}",
        &[
            "1:1 the field `coalmine` is missing",
            "1:10 target.ecs: ECS services come in a later version; two services with a target group each are shifted by \
             `alb`",
        ],
    ),
    (
        "coalmine: v1\nfunction: checkout",
        &[
            "1:1 the field `target` is missing",
            "2:1 function: belongs under `target`; write `target: { lambda: { function: NAME, alias: NAME } }`",
        ],
    ),
    (
        "coalmine: v1\ntarget:\n  lambda:\n    function: checkout:live\n    alias: 7\n    owner: me",
        &[
            "4:15 target.lambda.function: `checkout:live` names the alias too; write `function: checkout` and \
             `alias: live`",
            "5:12 target.lambda.alias: `7` is a version, not an alias; write an alias such as `live`",
            "6:12 target.lambda.owner: unknown word `me`; known here: `coalmine`, `codedeploy`",
        ],
    ),
    (
        "coalmine: v1\ntarget: {lambda: {function: 'arn:aws:lambda:eu-west-1:1:function:pay', alias: $LATEST}}",
        &[
            "2:29 target.lambda.function: is an ARN; write the function's plain name: `pay`",
            "2:79 target.lambda.alias: `$LATEST` is no alias and takes no weights; make an alias such as `live`",
        ],
    ),
    ("coalmine: v1\ntarget: {lambda: {function: a, alias: b}\n", &["2:9 this is not YAML: unclosed bracket '{'"]),
];

#[test]
fn bad_documents_are_answered_with_exactly_what_is_wrong() {
    let table = TABLE.iter().map(|(rest, expected)| (format!("{HEAD}{rest}\n"), *expected));
    let documents = DOCUMENTS.iter().map(|(text, expected)| ((*text).to_owned(), *expected));
    let mut wrong = Vec::new();
    for (text, expected) in table.chain(documents) {
        let found: Vec<String> = match parse(&text) {
            Ok(_) => vec!["valid".to_owned()],
            Err(problems) => problems.iter().map(shown).collect(),
        };
        if found != expected {
            wrong.push(format!("{text}\n  {}", found.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

pub(super) fn shown(problem: &Problem) -> String {
    let place = problem.line.zip(problem.column).map_or(String::new(), |(line, column)| format!("{line}:{column} "));
    let path = if problem.path.is_empty() { String::new() } else { format!("{}: ", problem.path) };
    format!("{place}{path}{}", problem.message)
}

#[test]
fn every_enum_refuses_unknown_words_and_names_the_known_ones() {
    for (before, after, path, known) in [
        ("mode: ", "", "mode", "`enforce`, `observe`"),
        ("target: {lambda: {function: f, alias: a, owner: ", "}}", "target.lambda.owner", "`coalmine`, `codedeploy`"),
        (
            "target: {alb: {targetGroups: [blue, green], rule: \
             'arn:aws:elasticloadbalancing:us-east-1:123456789012:listener-rule/app/a/1/2/3', stickiness: ",
            "}}\nname: a",
            "target.alb.stickiness",
            "`refuse`, `disableOnRollback`",
        ),
        ("margins: ", "", "margins", "`perWeight`, `strict`"),
        ("settle: ", "", "settle", "`auto`, `none`"),
        ("advance: ", "", "advance", "`onProof`, `unlessHarm`"),
        ("strategy: {steps: [{weight: 5%, advance: ", "}]}", "strategy.steps[0].advance", "`onProof`, `unlessHarm`"),
        (
            "strategy: {steps: [{weight: 5%, approve: {within: 4h, otherwise: ",
            "}}]}",
            "strategy.steps[0].approve.otherwise",
            "`pause`, `rollBack`, `promote`",
        ),
        ("checks: [errors: {mode: ", "}]", "checks[0].errors.mode", "`enforce`, `hold`, `observe`"),
        ("checks: [errors: {onNoData: ", "}]", "checks[0].errors.onNoData", "`hold`, `fail`, `ignore`"),
        ("alarms: {alreadyRed: ", "}", "alarms.alreadyRed", "`refuse`, `judge`"),
        ("analysis: {guard: ", "}", "analysis.guard", "`standard`, `fast`, `strict`, `off`"),
        ("analysis: {independence: ", "}", "analysis.independence", "`measured`, `assumed`"),
        ("undecided: {tooLittleTraffic: ", "}", "undecided.tooLittleTraffic", "`pause`, `rollBack`, `promote`"),
        ("undecided: {noData: ", "}", "undecided.noData", "`pause`, `rollBack`, `promote`"),
        ("undecided: {looksWorse: ", "}", "undecided.looksWorse", "`pause`, `rollBack`, `promote`"),
        ("pause: {then: ", "}", "pause.then", "`pause`, `rollBack`, `promote`"),
        ("newer: ", "", "newer", "`supersede`, `queue`, `refuse`"),
    ] {
        let head = "coalmine: v1\ntarget: {lambda: {function: f, alias: a}}\n";
        let head = if before.starts_with("target") { "coalmine: v1\n\n" } else { head };
        let column = u32::try_from(before.len() + 1).unwrap();
        let expected =
            |message: String| Err(vec![Problem { line: Some(3), column: Some(column), ..Problem::at(path, message) }]);
        let read = |word: &str| parse(&format!("{head}{before}{word}{after}\n")).map(|_| ());
        assert_eq!(read("zzzzzz"), expected(format!("unknown word `zzzzzz`; known here: {known}")));
        // One letter in the wrong case is the commonest mistake.
        for word in known.split(", ").map(|word| word.trim_matches('`')) {
            let wrong = word.to_uppercase();
            let message = format!("unknown word `{wrong}`; did you mean `{word}`? Known here: {known}");
            assert_eq!(read(&wrong), expected(message));
        }
    }
}

#[test]
fn defaults_are_checked_too_and_say_that_it_is_them() {
    let defaults = "coalmine: v2\nname: x\ndeadline: soon\nmode: observe\nmode: enforce\n";
    let problems = parse_with_defaults(HEAD, Some(defaults)).unwrap_err();
    let found: Vec<String> = problems.iter().map(shown).collect();
    assert_eq!(
        found,
        [
            "coalmine: unknown version `v2` of the spec language; this Coalmine knows `v1` (in the defaults, line 1, \
             column 11)",
            "name: belongs to one rollout and cannot be an account's default (in the defaults, line 2, column 1)",
            "deadline: `soon` is not a duration; write it as `90s`, `5m`, `1h30m` or `2d` (in the defaults, line 3, \
             column 11)",
            "mode: the field `mode` is already given in line 4 of the defaults (in the defaults, line 5, column 1)",
        ]
    );
}
