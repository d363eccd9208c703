//! The macro `Coalmine` over what SAM makes of real templates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use coalmine_core::cloudformation::macros::{Done, Macro};
use serde_json::{Value, json};

use crate::harness::{python, support};
use crate::template::repository;

const TOKEN: &str = "arn:aws:lambda:eu-west-1:111122223333:function:coalmine-Resource";
const CODEDEPLOY: &str = "CodeDeploy shifts it";
const BY_HAND: &str = "SAM did not make it";
const OFF: &str = "its metadata says so";

/// A template, the aliases that get a rollout, and those that do not, with the reason.
type Row = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);

const EXPECTED: [Row; 15] = [
    ("alias-by-parameter", &["CheckoutAliasblueU2Dx"], &[]),
    ("by-hand", &["CheckoutAliascandidate", "Guarded"], &[("Live", BY_HAND)]),
    ("codedeploy", &["CartAliaslive"], &[("CheckoutAliaslive", CODEDEPLOY)]),
    ("condition", &["CheckoutAliaslive"], &[]),
    ("events", &["CheckoutAliaslive"], &[]),
    ("image", &["CheckoutAliaslive"], &[]),
    ("one", &["CheckoutAliaslive"], &[]),
    ("opted-in", &["CheckoutAliaslive"], &[("CartAliaslive", OFF)]),
    ("opted-out", &["CartAliaslive"], &[("CheckoutAliaslive", OFF)]),
    ("provisioned", &["CheckoutAliaslive"], &[]),
    ("settings", &["CartAliaslive", "CheckoutAliaslive"], &[]),
    ("several", &["CartAliaslive", "CheckoutAliaslive", "MailerAliaslive"], &[]),
    ("state-machine", &["CheckoutAliaslive"], &[]),
    ("url", &["CheckoutAliaslive"], &[]),
    ("without-alias", &[], &[]),
];

/// What SAM makes of every template in `tests/sam`, by name.
fn translated() -> BTreeMap<String, Value> {
    let entries = std::fs::read_dir(repository("tests/sam")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    translated_from(&files)
}

fn translated_from(files: &[PathBuf]) -> BTreeMap<String, Value> {
    let output = Command::new(python()).arg(support("transform.py")).args(files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plain = String::from_utf8(output.stdout).unwrap();
    let names = files.iter().map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned());
    names.zip(plain.lines().map(|line| serde_json::from_str(line).unwrap())).collect()
}

fn applied(template: &Value, params: &Value) -> Result<Done, Vec<String>> {
    let told = |problems: Vec<coalmine_core::spec::Problem>| problems.iter().map(ToString::to_string).collect();
    Macro { service_token: TOKEN, params }.apply(template).map_err(told)
}

/// Takes back what the macro may do, and nothing else.
fn undone(done: &Done, before: &Value) -> Value {
    let mut template = done.fragment.clone();
    let resources = template["Resources"].as_object_mut().unwrap();
    for name in &done.guarded {
        let rollout = resources.remove(&format!("{name}Rollout")).unwrap();
        assert_eq!(rollout["Type"], "Custom::Rollout");
        let alias = &before["Resources"][name]["Properties"];
        let of_alias = ["FunctionName", "Name", "FunctionVersion"].map(|property| alias[property].clone());
        let of_rollout = ["Function", "Alias", "Version"].map(|property| rollout["Properties"][property].clone());
        assert_eq!(of_rollout, of_alias);
        assert_eq!(rollout["Properties"]["ServiceToken"], TOKEN);
        assert_eq!(rollout.get("Condition"), before["Resources"][name].get("Condition"));
        // Whatever else changes of the alias, the rollout is asked for the live version anew.
        let mut rest = alias.as_object().unwrap().clone();
        rest.retain(|property, _| !["FunctionName", "Name", "FunctionVersion"].contains(&property.as_str()));
        let triggers = rollout["Properties"].get("Triggers").cloned().unwrap_or(json!({}));
        assert_eq!(triggers, Value::Object(rest));
        let version = &mut resources[name]["Properties"]["FunctionVersion"];
        assert_eq!(*version, json!({ "Fn::GetAtt": [format!("{name}Rollout"), "Version"] }));
        *version = alias["FunctionVersion"].clone();
    }
    template
}

#[test]
fn every_alias_of_sam_gets_a_rollout_and_nothing_else_changes() {
    let templates = translated();
    let (mut found, mut files) = (Vec::new(), Vec::new());
    for (name, plain) in &templates {
        let done = applied(plain, &Value::Null).unwrap();
        assert_eq!(undone(&done, plain), *plain, "{name}");
        let again = applied(&done.fragment, &Value::Null).unwrap();
        assert_eq!((&again.fragment, again.guarded.len()), (&done.fragment, 0), "{name} twice");
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("macro-{}-{name}.json", std::process::id()));
        std::fs::write(&file, done.fragment.to_string()).unwrap();
        files.push(file);
        found.push((name.clone(), done.guarded, done.left));
    }
    let expected = EXPECTED.map(|(name, guarded, left)| {
        let left = left.iter().map(|(alias, why)| ((*alias).to_owned(), *why)).collect::<BTreeMap<String, &str>>();
        (name.to_owned(), guarded.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>(), left)
    });
    assert_eq!(found, expected);
    lint(&files);
    files.iter().for_each(|file| std::fs::remove_file(file).unwrap());
}

fn lint(files: &[PathBuf]) {
    let main = ["-c", "from cfnlint.runner import main; main()"];
    let lint = Command::new(python()).args(main).args(files).output().unwrap();
    assert!(lint.status.success() && lint.stdout.is_empty(), "{}", String::from_utf8_lossy(&lint.stdout));
}

#[test]
fn what_is_nearer_to_the_alias_counts() {
    let plain = translated().remove("settings").unwrap();
    let params = json!({ "Wait": "false", "Spec": { "newer": "queue" } });
    let done = applied(&plain, &params).unwrap();
    let settings = |name: &str| {
        let properties = &done.fragment["Resources"][name]["Properties"];
        json!([properties["Wait"], properties["ServiceTimeout"], properties["Spec"]])
    };
    let checks = json!([{ "errors": { "tolerate": "1pt" } }]);
    let spec = json!({ "newer": "queue", "checks": checks, "deadline": "50m" });
    assert_eq!(settings("CartAliasliveRollout"), json!([true, 3600, spec]));
    let mut spec = spec;
    spec["alarms"] = json!([{ "Fn::Sub": "${AWS::StackName}-5xx" }]);
    assert_eq!(settings("CheckoutAliasliveRollout"), json!([true, 3600, spec]));
}

#[test]
fn what_is_wrong_is_told_with_the_resource() {
    let templates = translated();
    let changed = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut template = templates[name].clone();
        change(&mut template);
        applied(&template, &Value::Null).unwrap_err()
    };
    let metadata = |settings: Value| {
        move |template: &mut Value| template["Resources"]["Checkout"]["Metadata"] = json!({ "Coalmine": settings })
    };
    for (found, expected) in [
        (
            changed("one", &metadata(json!({ "Spec": { "deadline": "soon" } }))),
            "CheckoutAliaslive: Spec.deadline: `soon` is not a duration; write it as `90s`, `5m`, `1h30m` or `2d`",
        ),
        (
            changed("one", &metadata(json!({ "Wiat": true }))),
            "Checkout.Metadata.Coalmine: `Wiat` is unknown; it may have Wait, Spec, ServiceTimeout",
        ),
        (
            changed("one", &metadata(json!("maybe"))),
            "Checkout.Metadata.Coalmine: \"maybe\" is neither `on` nor `off` nor a mapping of Wait, Spec, ServiceTimeout",
        ),
        (
            changed("one", &metadata(json!({ "Wait": "perhaps" }))),
            "CheckoutAliaslive: Wait: `perhaps` is neither true nor false",
        ),
        (
            changed("codedeploy", &metadata(json!({ "Wait": true }))),
            "CheckoutAliaslive: CodeDeploy shifts it (DeploymentPreference): take that out, or have CodeDeploy ask Coalmine's \
             hook and take `Coalmine` out of the metadata",
        ),
        (
            changed("one", &|template| template["Resources"]["CheckoutAliasliveRollout"] = json!({ "Type": "X" })),
            "CheckoutAliaslive: the rollout before it is to be called CheckoutAliasliveRollout, and there is a resource of \
             that name",
        ),
        (
            changed("by-hand", &|template| {
                template["Resources"]["Guarded"]["Properties"]["RoutingConfig"] = json!({});
            }),
            "Guarded: it has a RoutingConfig; leave it out: Coalmine sets the weights",
        ),
        (
            changed("one", &|template| *template = json!({ "Type": "AWS::Lambda::Alias" })),
            "Resources: it is not there: list the macro under `Transform` of the whole template, after \
             AWS::Serverless-2016-10-31",
        ),
    ] {
        assert_eq!(found, [expected]);
    }
}

/// A stack that has the alias already: for CloudFormation its version is the only thing that changes, be it taken up or given
/// up again.
#[test]
fn nothing_is_replaced_when_a_stack_takes_it_up_or_gives_it_up() {
    for (name, before) in translated() {
        let after = applied(&before, &Value::Null).unwrap().fragment;
        for (resource, old) in before["Resources"].as_object().unwrap() {
            let new = &after["Resources"][resource];
            assert_eq!(old["Type"], new["Type"], "{name}.{resource}");
            // The only properties of an alias that replace it.
            for property in ["Name", "FunctionName"] {
                assert_eq!(old["Properties"].get(property), new["Properties"].get(property), "{name}.{resource}");
            }
        }
    }
}

#[test]
fn the_example_of_the_macro_is_what_its_readme_says() {
    let plain = translated_from(&[repository("examples/sam-macro/template.yaml")]).remove("template").unwrap();
    let done = applied(&plain, &Value::Null).unwrap();
    assert_eq!(undone(&done, &plain), plain);
    assert_eq!(done.guarded, ["CheckoutAliaslive"]);
    assert_eq!(done.left, BTreeMap::from([("ReportsAliaslive".to_owned(), OFF)]));
    let rollout = &done.fragment["Resources"]["CheckoutAliasliveRollout"]["Properties"];
    assert_eq!((&rollout["Wait"], &rollout["Spec"]["deadline"]), (&json!(true), &json!("50m")));
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("macro-example-{}.json", std::process::id()));
    std::fs::write(&file, done.fragment.to_string()).unwrap();
    lint(&[file.clone(), repository("examples/custom-resource/template.yaml")]);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn the_rule_for_published_versions_sends_what_the_command_function_reads() {
    let template = repository("examples/automatic/template.yaml");
    lint(std::slice::from_ref(&template));
    let plain = translated_from(&[template]).remove("template").unwrap();
    let transformer = &plain["Resources"]["Published"]["Properties"]["Targets"][0]["InputTransformer"];
    let paths: Vec<&String> = transformer["InputPathsMap"].as_object().unwrap().keys().collect();
    assert_eq!(paths, ["function", "version", "who"]);
    let template = transformer["InputTemplate"]["Fn::Sub"].as_str().unwrap().replace("${Alias}", "live");
    // EventBridge puts the quotes.
    let sent =
        template.replace("<function>", "\"checkout\"").replace("<version>", "\"42\"").replace("<who>", "\"mara\"");
    let request = coalmine_core::command::Request::parse(&serde_json::from_str(&sent).unwrap());
    let coalmine_core::command::Request::Start { spec, by } = request.unwrap() else { panic!("{sent}") };
    assert_eq!((spec.spec.target.key().as_str(), by.as_str()), ("checkout:live", "mara"));
    assert_eq!(spec.spec.version.map(|version| version.0).as_deref(), Some("42"));
}

/// Every way in asks for what is there: the properties, the command, the script.
#[test]
fn the_other_examples_name_what_there_is() {
    let read = |file: &str| std::fs::read_to_string(repository(file)).unwrap();
    let cdk = read("examples/custom-resource/cdk/rollout.ts");
    let properties = cdk.split("properties: {").nth(1).unwrap().split("\n      },").next().unwrap();
    let named: Vec<&str> = properties
        .lines()
        .filter(|line| !line.contains("//"))
        .filter_map(|line| line.trim().split_once(": ").map(|(name, _)| name))
        .collect();
    assert_eq!(named, ["Function", "Alias", "Version", "Wait", "Spec"]);
    for pipeline in ["github.yml", "buildspec.yml"] {
        let text = read(&format!("examples/pipeline/{pipeline}"));
        assert!(text.contains("sh release.sh ") && text.contains(" rollout.yaml "), "{pipeline}");
        let parse = ["-c", "import sys, yaml; yaml.safe_load(open(sys.argv[1]))"];
        let file = repository(&format!("examples/pipeline/{pipeline}"));
        assert!(Command::new(python()).args(parse).arg(file).status().unwrap().success(), "{pipeline}");
    }
    let script = repository("examples/pipeline/release.sh");
    assert!(Command::new("sh").arg("-n").arg(script).status().unwrap().success());
    let terraform = read("examples/terraform/main.tf");
    assert!(terraform.contains("ignore_changes = [function_version, routing_config]"));
    assert!(terraform.contains("publish = true"));
}
