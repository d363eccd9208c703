//! Properties of all documents, not of examples.

use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::{Map, Value, json};

use super::*;

type Json = BoxedStrategy<Value>;

fn words(words: &'static [&'static str]) -> Json {
    prop::sample::select(words).prop_map(Value::from).boxed()
}

/// A mapping in which each field may be left out.
fn some_of(fields: Vec<(&'static str, Json)>) -> Json {
    let fields: Vec<_> = fields.into_iter().map(|(name, value)| (Just(name), prop::option::of(value))).collect();
    let build = |fields: Vec<(&str, Option<Value>)>| {
        let written = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(written.collect::<Map<_, _>>())
    };
    fields.prop_map(build).boxed()
}

/// The same with fields that must be there.
fn with(mapping: Json, required: Vec<(&'static str, Json)>) -> Json {
    let required: Vec<_> = required.into_iter().map(|(name, value)| (Just(name), value)).collect();
    let build = |(mut mapping, required): (Value, Vec<(&str, Value)>)| {
        for (name, value) in required {
            mapping[name] = value;
        }
        mapping
    };
    (mapping, required).prop_map(build).boxed()
}

fn percent(hundredths: std::ops::Range<u32>) -> Json {
    hundredths.prop_map(|n| json!(format!("{}.{:02}%", n / 100, n % 100))).boxed()
}

fn span(minutes: std::ops::Range<u64>) -> Json {
    (minutes, 0..60_u64).prop_map(|(m, s)| json!(Span::from_seconds(m * 60 + s).spec_form())).boxed()
}

fn name() -> Json {
    "[A-Za-z0-9._-]{1,12}".prop_map(Value::from).boxed()
}

/// Anything a label or alarm may be: letters of all scripts, quotes, colons, hashes, and words that YAML reads
/// otherwise.
fn label() -> Json {
    prop_oneof!["\\PC{0,12}", "(true|no|null|~|0x1|1e3|- a|a: b|# a|\\{a\\}|'|%|@|!x|&x|\\*x)"]
        .prop_map(|text: String| Value::from(text.replace(crate::text::is_harmful, "_")))
        .boxed()
}

fn tolerance() -> Json {
    let points = (1..500_000_u32).prop_map(|n| format!("{}.{:04}pt", n / 10_000, n % 10_000));
    let factor = (10_001..100_000_u32).prop_map(|n| format!("{}.{:04}x", n / 10_000, n % 10_000));
    prop_oneof![points.clone(), factor.clone(), (factor, points).prop_map(|(f, p)| format!("{f} + {p}"))]
        .prop_map(Value::from)
        .boxed()
}

fn ending() -> Json {
    words(&["pause", "rollBack", "promote"])
}

fn advance() -> Json {
    words(&["onProof", "unlessHarm"])
}

fn any_json() -> Json {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}|[\\x00-\\x20]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("\\PC{0,6}|[\\x00-\\x20]{0,3}", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
    .boxed()
}

/// Whose weights are all that there are, or those that a load balancer can have: in basis points.
type Weights = (std::ops::Range<u32>, fn(u32) -> u32);

const ANY: Weights = (1..10_000, |weight| weight);
const BALANCED: Weights = (10..9991, |weight| {
    let weight = u16::try_from(weight).ok().and_then(Weight::from_basis_points).unwrap();
    crate::alb::settable(weight).basis_points().into()
});

fn strategy((range, settable): Weights) -> Json {
    let approve = with(some_of(vec![("otherwise", words(&["rollBack", "promote"]))]), vec![("within", span(1..500))]);
    let step =
        some_of(vec![("bake", span(1..10)), ("atMost", span(10..60)), ("advance", advance()), ("approve", approve)]);
    let steps = prop::collection::btree_map(range.clone(), step, 1..8).prop_map(move |steps| {
        let steps: std::collections::BTreeMap<u32, Value> =
            steps.into_iter().map(|(weight, step)| (settable(weight), step)).collect();
        let with_weight = |(weight, mut step): (u32, Value)| {
            step["weight"] = json!(format!("{}.{:02}%", weight / 100, weight % 100));
            step
        };
        json!({"steps": steps.into_iter().map(with_weight).collect::<Vec<_>>()})
    });
    let one = |kind: &'static str, fields: Vec<(&'static str, Json)>| {
        with(some_of(vec![]), fields).prop_map(move |mapping| json!({ kind: mapping }))
    };
    prop_oneof![
        steps,
        one("canary", vec![("weight", percent(range.clone())), ("bake", span(1..100))]),
        one("linear", vec![("increment", percent(200..range.end)), ("every", span(1..2))]),
        one("blueGreen", vec![]),
        one("allAtOnce", vec![]),
    ]
    .boxed()
}

fn checks() -> Json {
    let common =
        || some_of(vec![("mode", words(&["enforce", "hold"])), ("onNoData", words(&["hold", "fail", "ignore"]))]);
    let metric = || {
        let dimensions =
            label().prop_map(|text| json!({"Version": "{version}", "a:b c": format!("x{}", plain(&text))}));
        let fields: Vec<(&'static str, Json)> = vec![
            ("namespace", label().prop_map(|text| json!(format!("N{}", plain(&text)))).boxed()),
            ("metric", name()),
            ("dimensions", dimensions.boxed()),
        ];
        with(some_of(vec![]), fields)
    };
    let errors = (common(), prop::option::of(tolerance())).prop_map(|(mut check, tolerate)| {
        if let Some(tolerate) = tolerate {
            check["tolerate"] = tolerate;
        }
        json!({"errors": check})
    });
    let at = prop::collection::btree_set(100..10_000_u32, 1..5)
        .prop_map(|at| json!(at.into_iter().map(|n| format!("p{}.{:02}", n / 100, n % 100)).collect::<Vec<_>>()));
    let warm_up = prop_oneof![Just(json!("auto")), span(0..30)].boxed();
    let latency = with(common(), vec![("tolerate", percent(1..10_000)), ("at", at.boxed()), ("warmUp", warm_up)]);
    let rate = with(
        common(),
        vec![("name", "[a-z]{1,4}x".prop_map(Value::from).boxed()), ("requests", metric()), ("tolerate", tolerance())],
    );
    let rate = (rate, any::<bool>(), metric(), any::<bool>()).prop_map(|(mut rate, good, counted, absent_is_zero)| {
        rate[if good { "goodEvents" } else { "events" }] = counted;
        if !good {
            rate["absentIsZero"] = absent_is_zero.into();
        }
        json!({ "rate": rate })
    });
    (errors, prop::option::of(latency), prop::option::of(rate), prop::collection::vec(of_ones_own(), 0..3))
        .prop_map(|(errors, latency, rate, own)| {
            let latency = latency.map(|latency| json!({"latency": latency}));
            let own = own.into_iter().enumerate().map(|(number, (kind, mut check))| {
                check["name"] = json!(format!("own-{number}"));
                Some(json!({ kind: check }))
            });
            Value::Array([Some(errors), latency, rate].into_iter().chain(own).flatten().collect())
        })
        .boxed()
}

/// A distribution, mean or gauge, without its name.
fn of_ones_own() -> BoxedStrategy<(&'static str, Value)> {
    let metric = || json!({"namespace": "Shop", "metric": "Rows", "dimensions": {"Version": "{version}"}});
    let metric = move || Just(metric()).boxed();
    let at = prop::collection::btree_set(1..100_u32, 1..5)
        .prop_map(|at| json!(at.into_iter().map(|n| format!("p{n}")).collect::<Vec<_>>()));
    let unit = label().prop_map(|text| json!(format!("u{}", text.as_str().unwrap_or_default())));
    let distribution = some_of(vec![
        ("unit", unit.boxed()),
        ("tolerate", percent(1..10_000)),
        ("at", at.boxed()),
        ("mode", words(&["enforce", "hold", "observe"])),
        ("onNoData", words(&["hold", "fail", "ignore"])),
    ]);
    let gauge = some_of(vec![
        ("tolerate", percent(1..10_000)),
        ("mode", words(&["hold", "observe"])),
        ("onNoData", words(&["hold", "ignore"])),
    ]);
    prop_oneof![
        with(distribution, vec![("metric", metric())]).prop_map(|check| ("distribution", check)),
        with(some_of(vec![]), vec![("metric", metric())]).prop_map(|check| ("mean", check)),
        with(gauge, vec![("metric", metric())]).prop_map(|check| ("gauge", check)),
    ]
    .boxed()
}

/// Without the braces of placeholders.
fn plain(text: &Value) -> String {
    text.as_str().unwrap_or_default().replace(['{', '}'], "_")
}

/// Rules, listeners, or both, of one load balancer.
fn balancer() -> Json {
    let arn = |rest: String| format!("arn:aws-cn:elasticloadbalancing:cn-north-1:123456789012:{rest}");
    let ids = || prop::collection::btree_set("[0-9a-f]{1,16}", 1..3);
    let rules = ids().prop_map(move |ids| {
        json!(ids.iter().map(|id| arn(format!("listener-rule/app/a-B/1f/2e/{id}"))).collect::<Vec<_>>())
    });
    let listeners = ids()
        .prop_map(move |ids| json!(ids.iter().map(|id| arn(format!("listener/app/a-B/1f/{id}"))).collect::<Vec<_>>()));
    let one = |list: Value| list[0].clone();
    let groups = ("[0-9a-z]{1,31}", any::<[bool; 2]>()).prop_map(move |(name, by_arn)| {
        let names = [name.clone(), format!("{name}Z")];
        let spelled = |index: usize| match by_arn[index] {
            true => arn(format!("targetgroup/{}/0a", names[index])),
            false => names[index].clone(),
        };
        json!([spelled(0), spelled(1)])
    });
    let optional = some_of(vec![
        ("stickiness", words(&["refuse", "disableOnRollback"])),
        ("minHealthyShare", percent(100..10_001)),
        ("keepBaseline", words(&["untilNextRollout", "90m", "2d"])),
    ]);
    let test_rule = json!(arn("listener-rule/app/a-B/1f/2e/0123456789abcdef0".to_owned()));
    let always = with(optional, vec![("targetGroups", groups.boxed()), ("testRule", Just(test_rule).boxed())]);
    prop_oneof![
        with(always.clone(), vec![("rule", rules.clone().boxed()), ("listener", listeners.clone().boxed())]),
        with(always.clone(), vec![("rule", rules.prop_map(one).boxed())]),
        with(always, vec![("listener", listeners.prop_map(one).boxed())]),
    ]
    .boxed()
}

fn http_tests() -> Json {
    let headers = prop::collection::btree_map("[A-S][!-~]{0}[a-z-]{0,8}", "([!-~]([ -~]{0,12}[!-~])?)?", 0..4);
    let headers = headers.prop_map(|headers| json!(headers)).boxed();
    let optional = some_of(vec![
        ("headers", headers),
        ("expect", (100..600_u32).prop_map(Value::from).boxed()),
        ("times", (1..20_u32).prop_map(Value::from).boxed()),
    ]);
    let url = "https?://[a-z0-9.-]{1,20}(:[1-9][0-9]{0,3})?(/[a-z0-9/._~%&=?@:+,;'-]{0,20})?".prop_map(Value::from);
    let test = with(optional, vec![("url", url.boxed())]).prop_map(|http| json!({ "http": http }));
    prop::collection::vec(test, 0..3).prop_map(Value::from).boxed()
}

fn document() -> Json {
    prop_oneof![3 => lambda_document(), 2 => alb_document()].boxed()
}

/// What a load balancer's differs in from a function's.
fn alb_document() -> Json {
    let told_apart = checks().prop_map(|checks| {
        let text = checks.to_string().replace("{version}", "x {targetGroup} {loadBalancer}");
        serde_json::from_str(&text).unwrap()
    });
    let parts = (lambda_document(), balancer(), http_tests(), strategy(BALANCED), told_apart, any::<bool>());
    parts
        .prop_map(|(mut document, alb, tests, strategy, checks, by_commit)| {
            let fields = document.as_object_mut().unwrap();
            fields.remove("version");
            let own = [("target", json!({ "alb": alb })), ("tests", tests), ("strategy", strategy), ("checks", checks)];
            fields.extend(own.map(|(field, value)| (field.to_owned(), value)));
            if by_commit {
                fields.insert("release".to_owned(), json!({"commit": "3f9c2ab"}));
            } else {
                fields.insert("name".to_owned(), json!("a"));
            }
            document
        })
        .boxed()
}

fn lambda_document() -> Json {
    let invoke = with(
        some_of(vec![("expect", any_json()), ("times", (1..20_u32).prop_map(Value::from).boxed())]),
        vec![("payload", any_json())],
    );
    let alarm = label().prop_map(|text| format!("A{}", text.as_str().unwrap_or_default()));
    let alarms = prop::collection::btree_set(alarm, 0..4).prop_map(|names| json!(names)).boxed();
    let lambda = with(
        some_of(vec![("owner", words(&["coalmine", "codedeploy"]))]),
        vec![
            ("function", "[A-Za-z0-9_-]{1,64}".prop_map(Value::from).boxed()),
            ("alias", "[A-Za-z_-][A-Za-z0-9_-]{0,9}".prop_map(Value::from).boxed()),
        ],
    );
    let optional = some_of(vec![
        ("name", "[A-Za-z._-][A-Za-z0-9._-]{0,63}".prop_map(Value::from).boxed()),
        ("mode", words(&["enforce", "observe"])),
        ("version", (1..1_000_000_u64).prop_map(|n| json!(n.to_string())).boxed()),
        ("release", some_of(vec![("commit", label()), ("owner", label()), ("ticket", label())])),
        ("strategy", strategy(ANY)),
        ("margins", words(&["perWeight", "strict"])),
        ("settle", words(&["auto", "none"])),
        ("advance", advance()),
        ("after", some_of(vec![("watch", span(0..100))])),
        (
            "tests",
            prop::collection::vec(invoke.prop_map(|invoke| json!({ "invoke": invoke })), 0..3)
                .prop_map(Value::from)
                .boxed(),
        ),
        ("checks", checks()),
        ("alarms", alarms),
        (
            "analysis",
            some_of(vec![
                ("falseRollback", percent(1..2000)),
                ("falsePromotion", percent(1..2000)),
                ("guard", words(&["standard", "fast", "strict", "off"])),
                (
                    "harmRatio",
                    (10_000..100_000_u32).prop_map(|n| json!(format!("{}x", f64::from(n) / 10_000.0))).boxed(),
                ),
                ("independence", words(&["measured", "assumed"])),
            ]),
        ),
        ("undecided", some_of(vec![("tooLittleTraffic", ending()), ("noData", ending()), ("looksWorse", ending())])),
        ("pause", some_of(vec![("for", span(1..1000)), ("then", words(&["rollBack", "promote"]))])),
        ("newer", words(&["supersede", "queue", "refuse"])),
    ]);
    with(
        optional,
        vec![
            ("coalmine", Just(json!("v1")).boxed()),
            ("deadline", span(1000..5000)),
            ("target", lambda.prop_map(|lambda| json!({ "lambda": lambda })).boxed()),
        ],
    )
}

/// A document in which one value anywhere was replaced by another.
fn damaged() -> Json {
    let wrong = prop_oneof![any_json(), words(&["", "x", "5%", "5m", "pause", "$LATEST", "101%", "0x"])];
    (document(), any::<prop::sample::Index>(), wrong)
        .prop_map(|(mut document, index, wrong)| {
            let mut pointers = Vec::new();
            collect("", &document, &mut pointers);
            if let Some(value) = document.pointer_mut(&pointers[index.index(pointers.len())]) {
                *value = wrong;
            }
            document
        })
        .boxed()
}

fn collect(pointer: &str, value: &Value, pointers: &mut Vec<String>) {
    pointers.push(pointer.to_owned());
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| collect(&format!("{pointer}/{n}"), item, pointers));
        }
        Value::Object(fields) => fields.iter().for_each(|(key, field)| {
            collect(&format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")), field, pointers);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

proptest! {
    #![proptest_config(Config { cases: 400, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_effective_spec_reads_back_to_the_same_spec(document in document()) {
        let fail = |text: &str, problems| TestCaseError::fail(format!("{text}\n{problems:#?}"));
        let spec = from_value(&document).map_err(|problems| fail(&document.to_string(), problems))?.spec;
        let text = effective(&spec);
        let again = parse(&text).map_err(|problems| fail(&text, problems))?;
        prop_assert_eq!(again.spec, spec, "{}", text);
        prop_assert_eq!(again.warnings, vec![], "{}", text);
    }

    /// A command's spec is judged as its text would be, whether it is right or wrong.
    #[test]
    fn values_and_texts_are_judged_alike(document in damaged()) {
        let plain = |result: Result<Validated, Vec<Problem>>| result.map(|valid| valid.spec).map_err(|problems| {
            let mut paths: Vec<String> = problems.into_iter().map(|problem| problem.path).collect();
            paths.sort();
            paths
        });
        for text in [document.to_string(), serde_json::to_string_pretty(&document).unwrap()] {
            prop_assert_eq!(plain(parse(&text)), plain(from_value(&document)), "{}", text);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(\\PC|[\n\t :,{}\\[\\]&*!|>'\"%@-]){0,60}") {
        prop_assert!(parse(&text).is_err());
    }
}

#[test]
fn presets_read_back_too() {
    for preset in ["Canary10Percent5Minutes", "ECSLinear10PercentEvery3Minutes", "AllAtOnce"] {
        let spec = valid(&format!("{HEAD}strategy: {{preset: {preset}}}\n"));
        assert_eq!(valid(&effective(&spec)), spec);
    }
}

#[test]
fn characters_that_yaml_does_not_print_read_back() {
    let text: String =
        (0..0x300).chain(0x2000..0x2100).chain(0xfe00..=0xffff).chain([0x1f600]).filter_map(char::from_u32).collect();
    let mut document = json!({"coalmine": "v1", "target": {"lambda": {"function": "f", "alias": "a"}}});
    document["tests"] = json!([{"invoke": {"payload": text}}]);
    let spec = from_value(&document).unwrap().spec;
    assert_eq!(valid(&effective(&spec)), spec);
}
