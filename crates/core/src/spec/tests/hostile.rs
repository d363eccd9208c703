//! Documents that were written to hurt. Each ends quickly, with a short and clear answer.

use super::*;

/// The message that is expected, and how the document is made.
fn documents() -> Vec<(&'static str, String)> {
    let head = "coalmine: v1\ntarget: {lambda: {function: f, alias: a}}\n";
    let fill = |piece: &str, bytes: usize| piece.repeat(bytes / piece.len());
    let room = DOCUMENT_BYTES_MAX - 200;
    let alb = "coalmine: v1\nname: a\ntarget: {alb: {";
    let many_headers: String = (0..20_000).map(|n| format!("{n}x: a,")).collect();
    let unknown_fields: String = (0..20_000).map(|n| format!("{n}x:,")).collect();
    vec![
        ("the document has 10000000 bytes; at most 262144 are read", fill("a: b # c\n", 10_000_000) + "a"),
        ("this is not YAML: ", "[".repeat(10_000)),
        ("this is not YAML: ", fill("{a: ", room)),
        ("this is not YAML: ", (0..500).map(|depth| " ".repeat(depth) + "a:\n").collect()),
        ("has 100000 items; at most 20 are allowed", format!("{head}checks: [{}]", fill("1,", 200_000))),
        ("YAML aliases (`*name`) are not supported", format!("{head}name: &a [x]\nalarms: [{}]", fill("*a,", room))),
        ("YAML aliases (`*name`) are not supported", format!("{head}name: [{}]", fill("*b,", room))),
        ("this is not YAML: ", format!("{head}name: a\0b")),
        ("and 19950 more problems", format!("{head}alarms: {{{}}}", unknown_fields)),
        ("is not a name", format!("{head}name: {}", fill("long", room))),
        ("is not a duration such as `5m`", format!("{head}deadline: {}", fill("9", room))),
        ("the name of a field is at most 256 bytes long", format!("{head}\"{}\": 1", fill("k", 1000))),
        ("has 60000 bytes as JSON", format!("{head}tests: [{{invoke: {{payload: \"{}\"}}}}]", "p".repeat(59_998))),
        ("is not a tolerance", format!("{head}checks: [errors: {{tolerate: '{}'}}]", fill("1x+", room))),
        ("the name of a field is plain text", fill("? ", room)),
        ("this is not YAML: ", fill("- ", room)),
        ("this is not YAML: ", fill("!", room)),
        ("this is not YAML: ", fill("\"", room)),
        ("this is not YAML: ", fill("a:\n\t", room)),
        ("has 100000 items; at most 5 are allowed", format!("{alb}rule: [{}]}}}}", fill("a,", 200_000))),
        ("is not the ARN of a rule", format!("{alb}rule: '{}'}}}}", fill("arn:", room))),
        ("is not the ARN of a listener", format!("{alb}listener: '{}'}}}}", fill("/", room))),
        ("is neither a target group's name nor its ARN", format!("{alb}targetGroups: ['{}', b]}}}}", fill("-", room))),
        ("is not a percentage such as `100%`", format!("{alb}minHealthyShare: '{}'}}}}", fill("1%", room))),
        (
            "has 200000 characters; at most 2048 are allowed",
            format!("{head}tests: [http: {{url: {}}}]", fill("http", 200_000)),
        ),
        ("has 20000 entries; at most 10 are allowed", format!("{head}tests: [http: {{headers: {{{many_headers}}}}}]")),
        ("at most 1024 are allowed", format!("{head}tests: [http: {{headers: {{a: {}}}}}]", fill("b", room))),
        ("YAML tags such as `!Ref` mean nothing here", format!("{head}name: !{}", fill("%61", room))),
    ]
}

#[test]
fn hostile_documents_get_short_answers() {
    for (expected, text) in documents() {
        let start: String = text.chars().take(80).collect();
        let problems = parse(&text).unwrap_err();
        let answer: Vec<String> = problems.iter().map(Problem::to_string).collect();
        assert!(answer.iter().any(|line| line.contains(expected)), "{start:?}: {answer:#?}");
        assert!(problems.len() <= 51 && answer.iter().all(|line| line.len() < 500), "{start:?}: {answer:#?}");
        let shown = answer.concat();
        assert!(!shown.chars().any(char::is_control), "{start:?}: {shown}");
    }
}

#[test]
fn hostile_values_get_short_answers() {
    let mut deep = serde_json::Value::Null;
    for _ in 0..100 {
        deep = serde_json::json!([deep]);
    }
    let too_large = "the document is too large: at most 262144 bytes, 32 levels deep, and keys of 256 bytes";
    for value in [
        deep,
        serde_json::json!(vec![0; DOCUMENT_BYTES_MAX]),
        serde_json::json!({"name": "a".repeat(DOCUMENT_BYTES_MAX)}),
        serde_json::json!({ "a".repeat(257): 1 }),
    ] {
        assert_eq!(from_value(&value), Err(vec![Problem::at("", too_large)]));
    }
}

/// They would stand in sentences on terminals and pages, and turn round what stands beside them.
#[test]
fn labels_that_change_how_text_is_shown_are_refused() {
    for evil in ['\u{202e}', '\u{2066}', '\u{200f}', '\u{2028}', '\u{feff}', '\u{200b}'] {
        for field in [
            "alarms: [%]",
            "release: { owner: % }",
            "checks: [mean: { name: a, metric: { namespace: %, metric: m, dimensions: { V: '{version}' } } }]",
        ] {
            let quoted = format!("\"\\u{:04x}x\"", u32::from(evil));
            let problems = parse(&format!("{HEAD}{}\n", field.replace('%', &quoted))).unwrap_err();
            let told: Vec<String> = problems.iter().map(Problem::to_string).collect();
            assert!(
                told.iter().any(|line| line.contains("characters that are not shown and change how others are")),
                "{told:?}"
            );
            assert!(!told.concat().chars().any(crate::text::is_harmful), "{told:?}");
        }
    }
}
