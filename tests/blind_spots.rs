//! The snippets of docs/blind-spots.md publish what the check beside them reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use coalmine_core::analysis;
use coalmine_core::metrics::{self, Asked, Of};
use coalmine_core::spec::{self, CheckKind, MetricRef, Version};
use coalmine_core::units::Minute;
use serde_json::Value;

use crate::harness::python;

const DOCUMENT: &str = include_str!("../docs/blind-spots.md");

/// Answers with the status that the event is.
const AROUND: &str = r#"
def respond(event):
    return {"statusCode": event}


class Context:
    function_name, memory_limit_in_mb, invoked_function_arn, aws_request_id = "checkout", 128, "arn", "id"


assert handler(503, Context())["statusCode"] == 503
handler(200, Context())
"#;

fn blocks(kind: &str) -> Vec<&'static str> {
    let fenced = DOCUMENT.split("\n```").skip(1).step_by(2);
    fenced.filter_map(|block| block.strip_prefix(kind)?.strip_prefix('\n')).collect()
}

/// Events and requests of the first check that the document shows.
fn read_by_the_check() -> Vec<MetricRef> {
    let head = "coalmine: v1\ntarget: { lambda: { function: checkout, alias: live } }\n";
    let spec = spec::parse(&format!("{head}{}\n", blocks("yaml")[0])).unwrap().spec;
    let plan = analysis::plan(&spec);
    let pairs = spec.checks.iter().zip(&plan.checks);
    let (check, planned) = { pairs }.find(|(check, _)| matches!(check.kind, CheckKind::Rate { .. })).unwrap();
    let (version, minute) = (Version("42".to_owned()), Minute::from_index(0));
    let asked = Asked { check, planned, target: &spec.target };
    let queries = metrics::queries(asked, Of::Canary(&version), minute, minute.plus(1));
    queries.into_iter().map(|query| query.metric).collect()
}

/// Everything that a line in embedded metric format publishes, with its values.
fn published(line: &Value) -> BTreeMap<MetricRef, f64> {
    let mut published = BTreeMap::new();
    for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
        for names in directive["Dimensions"].as_array().unwrap() {
            let name = |name: &Value| name.as_str().unwrap().to_owned();
            let dimensions = names.as_array().unwrap().iter().map(|key| (name(key), name(&line[name(key)])));
            let dimensions: BTreeMap<String, String> = dimensions.collect();
            for metric in directive["Metrics"].as_array().unwrap() {
                let metric = name(&metric["Name"]);
                let values = &line[&metric];
                let value = values.as_f64().or_else(|| values[0].as_f64()).unwrap();
                let namespace = name(&directive["Namespace"]);
                published.insert(MetricRef { namespace, metric, dimensions: dimensions.clone() }, value);
            }
        }
    }
    published
}

#[test]
fn python_snippets_publish_what_the_check_reads() {
    let wanted = read_by_the_check();
    let snippets = blocks("python");
    assert_eq!((snippets.len(), wanted.len()), (2, 2));
    for snippet in snippets {
        let run = Command::new(python::python())
            .args(["-c", &format!("{snippet}\n{AROUND}")])
            .env("AWS_LAMBDA_FUNCTION_VERSION", "42")
            .output()
            .unwrap();
        let (said, complaints) = (String::from_utf8(run.stdout).unwrap(), String::from_utf8_lossy(&run.stderr));
        assert!(run.status.success(), "{complaints}");
        let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let published: Vec<BTreeMap<MetricRef, f64>> = lines.iter().map(published).collect();
        // Bad, then good: the zero is sent, too.
        for (line, events) in published.iter().zip([1.0, 0.0]) {
            assert_eq!(line.keys().collect::<BTreeSet<_>>(), wanted.iter().collect::<BTreeSet<_>>());
            assert_eq!(wanted.iter().map(|metric| line[metric]).collect::<Vec<_>>(), [events, 1.0], "{snippet}");
        }
        assert_eq!(published.len(), 2, "{said}");
    }
}

/// The alarms for what no target group counts: CloudFormation takes them, and the spec beside them names them.
#[test]
fn the_template_has_the_alarms_that_the_spec_names() {
    let [template] = blocks("yaml template")[..] else { panic!("one template") };
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("alarms-{}.yaml", std::process::id()));
    std::fs::write(&file, template).unwrap();
    let lint = Command::new(python::python())
        .args(["-c", "from cfnlint.runner import main; main()"])
        .arg(&file)
        .output()
        .unwrap();
    std::fs::remove_file(&file).unwrap();
    let said = String::from_utf8_lossy(&lint.stdout);
    assert!(lint.status.success() && said.is_empty(), "{said}{}", String::from_utf8_lossy(&lint.stderr));

    let named = |line: &'static str| Some(line.trim().strip_prefix("AlarmName: ")?.to_owned());
    let alarms: BTreeSet<String> = template.lines().filter_map(named).collect();
    let beside = blocks("yaml").into_iter().find(|block| block.starts_with("alarms:")).unwrap();
    let head = "coalmine: v1\ntarget: { lambda: { function: checkout, alias: live } }\n";
    let spec = spec::parse(&format!("{head}{beside}\n")).unwrap().spec;
    assert_eq!(spec.alarms.names.into_iter().collect::<BTreeSet<String>>(), alarms);
    assert_eq!(alarms.len(), 2);
}
