//! The schema and the parser know the same language.

use serde_json::{Value, json};

use super::super::decode::FieldSpec;
use super::super::raw;
use super::*;

#[test]
fn every_mapping_has_the_same_fields_in_both() {
    let schema = schema();
    let mut structs: Vec<(&str, Vec<FieldSpec>)> = vec![
        ("RawLambda", raw::RawLambda::known()),
        ("RawAlb", raw::RawAlb::known()),
        ("RawRelease", raw::RawRelease::known()),
        ("RawStrategy", raw::RawStrategy::known()),
        ("RawStep", raw::RawStep::known()),
        ("RawApprove", raw::RawApprove::known()),
        ("RawAuto", raw::RawAuto::known()),
        ("RawCanary", raw::RawCanary::known()),
        ("RawLinear", raw::RawLinear::known()),
        ("RawNothing", Vec::new()),
        ("RawAfter", raw::RawAfter::known()),
        ("RawTest", raw::RawTest::known()),
        ("RawInvoke", raw::RawInvoke::known()),
        ("RawHttp", raw::RawHttp::known()),
        ("RawCheck", raw::RawCheck::known()),
        ("RawErrors", raw::RawErrors::known()),
        ("RawLatency", raw::RawLatency::known()),
        ("RawRate", raw::RawRate::known()),
        ("RawDistribution", raw::RawDistribution::known()),
        ("RawMean", raw::RawMean::known()),
        ("RawGauge", raw::RawGauge::known()),
        ("RawMetric", raw::RawMetric::known()),
        ("RawAlarmRules", raw::RawAlarmRules::known()),
        ("RawAnalysis", raw::RawAnalysis::known()),
        ("RawUndecided", raw::RawUndecided::known()),
        ("RawPause", raw::RawPause::known()),
    ];
    let mut in_schema: Vec<&str> = schema["$defs"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .filter(|name| name.starts_with("Raw"))
        .collect();
    in_schema.sort_unstable();
    structs.sort_by_key(|(name, _)| *name);
    assert_eq!(structs.iter().map(|(name, _)| *name).collect::<Vec<_>>(), in_schema);
    for (name, fields) in structs {
        same_fields(&schema["$defs"][name], &fields);
    }
    same_fields(&schema, &raw::RawSpec::known());
    // What is required is written in place.
    same_fields(&schema["properties"]["target"], &raw::RawTarget::known());
}

fn same_fields(schema: &Value, fields: &[FieldSpec]) {
    let mut known: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    let properties = schema["properties"].as_object();
    let mut described: Vec<&str> = properties.iter().flat_map(|all| all.keys()).map(String::as_str).collect();
    known.sort_unstable();
    described.sort_unstable();
    assert_eq!(known, described);
    assert_eq!(schema["additionalProperties"], json!(false), "{schema}");
    let mut required: Vec<&str> =
        fields.iter().filter(|field| field.required).map(|field| field.name.as_str()).collect();
    let mut in_schema: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    required.sort_unstable();
    in_schema.sort_unstable();
    assert_eq!(required, in_schema);
}

#[test]
fn schema_and_parser_agree_on_documents() {
    let schema = schema();
    let metric = json!({"namespace": "Shop", "metric": "M", "dimensions": {"Version": "{version}"}});
    let rate = json!({"name": "r", "events": metric, "requests": metric, "tolerate": "2pt"});
    for (path, value, valid) in [
        ("/mode", json!("observe"), true),
        ("/mode", json!("Observe"), false),
        ("/mode", json!(null), false),
        ("/mdoe", json!("observe"), false),
        ("/coalmine", json!("v2"), false),
        ("/version", json!("42"), true),
        ("/version", json!(42), true),
        ("/version", json!(true), false),
        ("/name", json!(42), false),
        ("/alarms", json!(["a"]), true),
        ("/alarms", json!({"names": ["a"], "alreadyRed": "judge"}), true),
        ("/alarms", json!({"names": "a"}), false),
        ("/alarms", json!("a"), false),
        ("/alarms", json!(vec!["a"; 101]), false),
        ("/target", json!({}), false),
        ("/target", json!({"alb": {}}), false),
        ("/target", json!({"lambda": {"function": "f"}}), false),
        ("/strategy", json!({"canary": {"weight": "5%", "bake": "5m"}}), true),
        ("/strategy", json!({"canary": {"weight": "5%"}}), false),
        ("/strategy", json!({"canary": {"weight": 5, "bake": "5m"}}), false),
        ("/strategy", json!({"canary": {"weight": "5%", "bake": "5m"}, "allAtOnce": {}}), false),
        ("/strategy", json!({"allAtOnce": {}}), true),
        ("/strategy", json!({"allAtOnce": null}), false),
        ("/strategy", json!({"allAtOnce": {"bake": "5m"}}), false),
        ("/strategy", json!({"preset": "AllAtOnce"}), true),
        ("/checks", json!([{"errors": {}}]), true),
        ("/checks", json!([{"errors": {}, "onNoData": "fail"}]), true),
        ("/checks", json!([{"errors": {}, "latency": {}}]), false),
        ("/checks", json!([{"mode": "hold"}]), false),
        ("/checks", json!([{ "rate": rate }]), true),
        ("/checks", json!([{"rate": {"name": "r", "requests": metric, "tolerate": "2pt"}}]), false),
        ("/checks", json!([{"errors": {}}, {"mean": {"name": "m", "metric": metric}}]), true),
        ("/checks", json!([{"errors": {}}, {"mean": {"name": "m", "metric": metric, "mode": "hold"}}]), false),
        ("/checks", json!([{"errors": {}}, {"gauge": {"name": "g", "metric": metric, "tolerate": "20%"}}]), true),
        ("/checks", json!([{"errors": {}}, {"gauge": {"name": "g"}}]), false),
        ("/checks", json!([{"distribution": {"name": "d", "metric": metric, "unit": "ms"}}]), true),
        ("/checks", json!([{"distribution": {"name": "d", "metric": metric, "unit": 5}}]), false),
        ("/analysis", json!({"guard": "off", "harmRatio": "1.25x", "independence": "assumed"}), true),
        ("/analysis", json!({"guard": "none"}), false),
        ("/tests", json!([{"invoke": {"payload": null, "expect": [1], "times": 3}}]), true),
        ("/tests", json!([{"invoke": {"payload": null, "times": 0}}]), false),
        ("/tests", json!([{"invoke": {}}]), false),
        ("/pause", json!({"for": "1h", "then": "promote"}), true),
    ] {
        let mut document = json!({"coalmine": "v1", "target": {"lambda": {"function": "f", "alias": "a"}}});
        document[path.trim_start_matches('/')] = value;
        assert_eq!(from_value(&document).is_ok(), valid, "parser: {document}");
        assert_eq!(allows(&schema, &schema, &document), valid, "schema: {document}");
    }
}

#[test]
fn schema_and_parser_agree_on_load_balancers() {
    let schema = schema();
    let rule =
        |n: u32| json!(format!("arn:aws:elasticloadbalancing:us-east-1:123456789012:listener-rule/app/a/1/2/{n}"));
    let listener = json!("arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/a/1/2");
    let metric = json!({"namespace": "Shop", "metric": "M", "dimensions": {"TargetGroup": "{targetGroup}"}});
    for (pointer, value, valid) in [
        ("/target/alb/stickiness", json!("disableOnRollback"), true),
        ("/target/alb/stickiness", json!("ignore"), false),
        ("/target/alb/rule", json!(null), false),
        ("/target/alb/rule", json!([rule(1), rule(2)]), true),
        ("/target/alb/rule", json!({"arn": rule(1)}), false),
        ("/target/alb/rule", json!((0..6).map(rule).collect::<Vec<_>>()), false),
        ("/target/alb/listener", listener.clone(), true),
        ("/target/alb/listener", json!([listener]), true),
        ("/target/alb", json!({"listener": listener, "targetGroups": ["blue", "green"]}), true),
        ("/target/alb", json!({"targetGroups": ["blue", "green"]}), false),
        ("/target/alb", json!({"listener": listener}), false),
        ("/target/alb/owner", json!("coalmine"), false),
        ("/target/alb/targetGroups", json!(["blue"]), false),
        ("/target/alb/targetGroups", json!(["blue", "green", "red"]), false),
        ("/target/alb/targetGroups", json!("blue"), false),
        ("/target/alb/minHealthyShare", json!("50%"), true),
        ("/target/alb/minHealthyShare", json!(0.5), false),
        ("/target/alb/testRule", rule(9), true),
        ("/target/alb/testRule", json!([rule(9)]), false),
        ("/target/alb/keepBaseline", json!("untilNextRollout"), true),
        ("/target/alb/keepBaseline", json!(true), false),
        ("/target/lambda", json!({"function": "f", "alias": "a"}), false),
        ("/tests", json!([{"http": {"url": "https://a.b/", "headers": {"A": "b"}, "expect": 204, "times": 2}}]), true),
        ("/tests", json!([{"http": {"headers": {}}}]), false),
        ("/tests", json!([{"http": {"url": "https://a.b/", "expect": 600}}]), false),
        ("/tests", json!([{"http": {"url": "https://a.b/", "method": "POST"}}]), false),
        ("/checks", json!([{"errors": {}}, {"mean": {"name": "m", "metric": metric}}]), true),
    ] {
        let mut document = json!({"coalmine": "v1", "name": "a", "target": {"alb": {
            "rule": rule(1), "targetGroups": ["blue", "green"],
        }}});
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        document.pointer_mut(parent).unwrap()[field] = value;
        assert_eq!(from_value(&document).is_ok(), valid, "parser: {document}");
        assert_eq!(allows(&schema, &schema, &document), valid, "schema: {document}");
    }
}

/// As much of JSON Schema as the language's schema uses, without patterns.
fn allows(root: &Value, schema: &Value, value: &Value) -> bool {
    let Value::Object(rules) = schema else { return schema != &json!(false) };
    let any = |choices: &Value| choices.as_array().unwrap().iter().filter(|rule| allows(root, rule, value)).count();
    let length = match value {
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    };
    rules.iter().all(|(rule, wanted)| match rule.as_str() {
        "$ref" => allows(root, root.pointer(wanted.as_str().unwrap().trim_start_matches('#')).unwrap(), value),
        "type" => wanted.as_array().map_or_else(|| is(value, wanted), |types| types.iter().any(|one| is(value, one))),
        "const" => value == wanted,
        "enum" => wanted.as_array().unwrap().contains(value),
        "oneOf" => any(wanted) == 1,
        "anyOf" => any(wanted) > 0,
        "required" => wanted.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some()),
        "properties" => {
            let known = wanted.as_object().unwrap();
            known.iter().all(|(name, rule)| value.get(name).is_none_or(|field| allows(root, rule, field)))
        }
        "additionalProperties" => value.as_object().is_none_or(|fields| {
            let known = |name: &String| rules.get("properties").is_some_and(|known| known.get(name).is_some());
            fields.iter().all(|(name, field)| known(name) || allows(root, wanted, field))
        }),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| allows(root, wanted, item))),
        "minItems" => !value.is_array() || json!(length).as_u64() >= wanted.as_u64(),
        "maxItems" => !value.is_array() || json!(length).as_u64() <= wanted.as_u64(),
        "minProperties" => !value.is_object() || json!(length).as_u64() >= wanted.as_u64(),
        "maxProperties" => !value.is_object() || json!(length).as_u64() <= wanted.as_u64(),
        "minimum" => value.as_f64() >= wanted.as_f64() || !value.is_number(),
        "maximum" => value.as_f64() <= wanted.as_f64() || !value.is_number(),
        "$schema" | "$defs" | "title" | "description" | "examples" | "pattern" | "minLength" | "maxLength" => true,
        unknown => panic!("teach this test the rule `{unknown}`"),
    })
}

fn is(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        unknown => panic!("teach this test the type `{unknown}`"),
    }
}
