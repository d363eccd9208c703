//! The examples for CDK and Terraform, by what came of them: `.ci/examples` compiles, synthesizes and parses them.

use std::process::Command;

use coalmine_core::cloudformation::Wish;
use coalmine_core::command::Request;
use serde_json::{Value, json};

use crate::harness::python;
use crate::template::repository;

fn read(file: &str) -> String {
    std::fs::read_to_string(repository(file)).unwrap()
}

fn came_of(example: &str) -> Value {
    serde_json::from_str(&read(&format!("tests/examples/{example}.json"))).unwrap()
}

/// The one resource of a type, and its name.
fn only<'a>(template: &'a Value, kind: &str) -> (&'a str, &'a Value) {
    let resources = template["Resources"].as_object().unwrap();
    let mut found = resources.iter().filter(|(_, resource)| resource["Type"] == kind);
    let (name, resource) = found.next().unwrap();
    assert!(found.next().is_none(), "a second {kind}");
    (name, resource)
}

#[test]
fn cdk_makes_an_alias_that_takes_the_rollouts_answer() {
    let template = came_of("cdk.template");
    let (version, retained) = only(&template, "AWS::Lambda::Version");
    assert_eq!((&retained["DeletionPolicy"], &retained["UpdateReplacePolicy"]), (&json!("Retain"), &json!("Retain")));
    let (name, rollout) = only(&template, "Custom::Rollout");
    let mut properties = rollout["Properties"].clone();
    assert_eq!(properties["Version"], json!({ "Fn::GetAtt": [version, "Version"] }));
    let alias = &only(&template, "AWS::Lambda::Alias").1["Properties"];
    assert_eq!(alias["FunctionVersion"], json!({ "Fn::GetAtt": [name, "Version"] }));
    assert_eq!((&alias["Name"], &alias["FunctionName"]), (&properties["Alias"], &properties["Function"]));
    // What CloudFormation puts in for them.
    (properties["Function"], properties["Version"]) = (json!("checkout"), json!("42"));
    let wish = Wish::read(&properties).unwrap();
    assert!(wish.waits && wish.spec.is_some(), "{wish:?}");
}

#[test]
fn cfn_lint_finds_nothing_in_what_cdk_makes() {
    // CDK names every dependency, those that a reference implies, too.
    let lint = Command::new(python())
        .args(["-c", "from cfnlint.runner import main; main()", "--ignore-checks", "W3005", "--"])
        .arg(repository("tests/examples/cdk.template.json"))
        .output()
        .unwrap();
    assert!(lint.status.success() && lint.stdout.is_empty(), "{}", String::from_utf8_lossy(&lint.stdout));
}

/// A reader may have his own application in mind; what is shown is a part of the one that compiles.
#[test]
fn what_the_document_shows_of_cdk_is_in_the_application() {
    let document = read("examples/custom-resource/README.md");
    let shown = document.split("```typescript\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let application = read("examples/custom-resource/cdk/app.ts");
    assert!(application.contains(shown.trim()), "{shown}");
}

#[test]
fn terraform_leaves_the_alias_alone_and_asks_for_what_the_command_understands() {
    let parsed = came_of("terraform");
    let resource = |kind: &str, name: &str| parsed["resource"][kind][name][0].clone();
    assert_eq!(resource("aws_lambda_function", "checkout")["publish"], json!(true));
    let ignored = &resource("aws_lambda_alias", "live")["lifecycle"][0]["ignore_changes"];
    assert_eq!(*ignored, json!(["${function_version}", "${routing_config}"]));
    let rollout = resource("aws_lambda_invocation", "rollout");
    assert_eq!(rollout["triggers"]["version"], "${aws_lambda_function.checkout.version}");
    let input = rollout["input"].as_str().unwrap();
    let input = input.strip_prefix("${jsonencode(").and_then(|rest| rest.strip_suffix(")}")).unwrap();
    let known = [
        ("aws_lambda_alias.live.function_name", "\"checkout\""),
        ("aws_lambda_alias.live.name", "\"live\""),
        ("aws_lambda_function.checkout.version", "\"42\""),
    ];
    let known = known.iter().fold(input.to_owned(), |text, (name, value)| text.replace(name, value));
    let request = Request::parse(&json_of(&known));
    assert!(matches!(&request, Ok(Request::Start { by, .. }) if by == "terraform"), "{request:?}");
    // A refusal has `errors`, and fails the apply.
    let condition = &rollout["lifecycle"][0]["postcondition"][0]["condition"];
    assert_eq!(*condition, "${!can(jsondecode(self.result).errors)}");
}

/// An object in Terraform's words: `name = value`, with the ends of lines for commas.
fn json_of(object: &str) -> Value {
    let mut text = String::new();
    let mut lines = object.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        let mut words = line.split(' ').filter(|word| !word.is_empty()).peekable();
        while let Some(word) = words.next() {
            let is_name = words.next_if_eq(&"=").is_some();
            text.push_str(&if is_name { format!("\"{word}\":") } else { word.to_owned() });
        }
        let ends = line.ends_with('{') || lines.peek().is_none_or(|next| next.starts_with('}'));
        text.push_str(if ends { "\n" } else { ",\n" });
    }
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
