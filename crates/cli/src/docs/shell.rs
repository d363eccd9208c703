//! Shell commands of the documents: not run, for they need an account, but checked against what they name.

use clap::Parser;
use coalmine_core::command::Request;

use super::{files, read, repository};

/// What a `$(...)` becomes once its command has been taken out.
const ANSWER: &str = "ANSWER";

/// The request to start what a file has.
const REQUEST: &str = r#"{command: "start", by: "pipeline", spec: .}"#;

const RELEASE: &str = ".github/workflows/release.yml";

/// Calls about what is not Coalmine's, such as what stands behind a load balancer: with those of their options that are
/// used.
const TARGETS: [(&str, &str, &[&str]); 17] = [
    (
        "autoscaling",
        "create-auto-scaling-group",
        &[
            "--auto-scaling-group-name",
            "--launch-template",
            "--min-size",
            "--max-size",
            "--desired-capacity",
            "--target-group-arns",
            "--vpc-zone-identifier",
            "--health-check-type",
            "--health-check-grace-period",
        ],
    ),
    ("autoscaling", "delete-auto-scaling-group", &["--auto-scaling-group-name", "--force-delete"]),
    ("autoscaling", "update-auto-scaling-group", &["--auto-scaling-group-name", "--min-size"]),
    (
        "application-autoscaling",
        "register-scalable-target",
        &["--service-namespace", "--resource-id", "--scalable-dimension", "--min-capacity", "--max-capacity"],
    ),
    (
        "cloudwatch",
        "put-metric-alarm",
        &[
            "--alarm-name",
            "--namespace",
            "--metric-name",
            "--dimensions",
            "--statistic",
            "--period",
            "--evaluation-periods",
            "--threshold",
            "--comparison-operator",
            "--treat-missing-data",
        ],
    ),
    ("deploy", "list-deployments", &["--include-only-statuses"]),
    ("deploy", "get-deployment", &["--deployment-id"]),
    ("deploy", "stop-deployment", &["--deployment-id", "--auto-rollback-enabled"]),
    ("ecs", "stop-service-deployment", &["--service-deployment-arn", "--stop-type"]),
    ("ecs", "update-service", &["--cluster", "--service", "--task-definition", "--desired-count"]),
    ("elbv2", "describe-rules", &["--rule-arns", "--query", "--output"]),
    ("elbv2", "describe-target-groups", &["--names", "--query", "--output"]),
    ("elbv2", "modify-rule", &["--rule-arn", "--actions"]),
    ("elbv2", "modify-listener", &["--listener-arn", "--default-actions"]),
    ("elbv2", "register-targets", &["--target-group-arn", "--targets"]),
    ("elbv2", "deregister-targets", &["--target-group-arn", "--targets"]),
    ("lambda", "add-permission", &["--function-name", "--qualifier", "--statement-id", "--principal", "--action"]),
];

/// The names of a call's options.
fn options<'w>(words: &'w [&str]) -> impl Iterator<Item = &'w str> {
    words.iter().copied().filter(|word| word.starts_with("--"))
}

pub fn check(document: &str, block: &str) {
    let joined = block.replace("\\\n", " ");
    for line in joined.lines().filter(|line| !line.trim().is_empty()) {
        for command in commands(line) {
            let words = words(&command);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            check_command(document, &words).unwrap_or_else(|wrong| panic!("{document}: {wrong} in `{command}`"));
        }
    }
}

/// A line's commands, those in `$(...)` first.
fn commands(line: &str) -> Vec<String> {
    let mut line = line.split(" #").next().unwrap_or_default().split(" > ").next().unwrap_or_default().to_owned();
    let mut commands = Vec::new();
    while let Some(start) = line.find("$(") {
        let end = start + line[start..].find(')').expect("a substitution ends");
        commands.push(line[start + 2..end].to_owned());
        line.replace_range(start..=end, ANSWER);
    }
    commands.push(line);
    commands
}

fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in command.trim().chars() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, ' ') => words.push(std::mem::take(&mut word)),
            (_, c) => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

fn check_command(document: &str, words: &[&str]) -> Result<(), String> {
    match words {
        [variable] if variable.ends_with(&format!("={ANSWER}")) => Ok(()),
        ["cd", "coalmine"] | ["sam", "build"] => Ok(()),
        // Until the repository has an address.
        ["git", "clone", "THIS-REPOSITORY", "coalmine"] => Ok(()),
        ["fuzz/run", rest @ ..] => holds(
            repository("fuzz/run").exists() && rest.first().is_some_and(|seconds| seconds.parse::<u32>().is_ok()),
            "no such script, or no seconds",
        ),
        [script @ (".ci/run" | ".ci/examples" | "mutants/run" | "bench/cold" | "bench/dollars")] => {
            holds(repository(script).exists(), "no such file")
        }
        [script @ ".ci/prebuilt", architecture, "<", template] => {
            let known = read(script).contains(&format!("\"{architecture}\""));
            holds(known && repository(template).exists(), "no such architecture, or no such template")
        }
        ["sha256sum", "--check", "--ignore-missing", "SHA256SUMS"] => {
            holds(read(RELEASE).contains("sha256sum coalmine-* > SHA256SUMS"), "a release has no such file")
        }
        ["gh", "attestation", "verify", "coalmine-arm64.zip" | "coalmine-arm64.yaml", "--repo", "THIS-REPOSITORY"] => {
            holds(read(RELEASE).contains("attest-build-provenance@"), "a release has no attestation")
        }
        ["sam", "deploy", "--guided", rest @ ..] | ["sam", "deploy", rest @ ..] => deploy(document, rest),
        ["aws", "cloudformation", "deploy", rest @ ..] => deploy(document, rest),
        ["cargo", "run", "--release", "--bin", "coalmine", "--", rest @ ..] | ["coalmine", rest @ ..] => coalmine(rest),
        [setting, rest @ ..] if setting.starts_with("COALMINE_WIRE_") => {
            let (name, value) = setting.split_once('=').ok_or("no value")?;
            let told = value.parse::<f64>().is_ok() && read("tests/wire.rs").contains(&format!("\"{name}\""));
            holds(told && rest.first() == Some(&"cargo"), "no such setting")?;
            check_command(document, rest)
        }
        ["cargo", rest @ ..] => cargo(rest),
        // Over accounts.
        ["for", "profile", "in", .., "do"] | ["done"] => Ok(()),
        ["AWS_PROFILE=$profile", "coalmine", rest @ ..] => coalmine(rest),
        ["jq", "-Rs", REQUEST, "spec.yaml"] => Ok(()),
        ["aws", "ecs", "wait", what, rest @ ..] => {
            holds(*what == "services-stable" && options(rest).eq(["--cluster", "--services"]), "other options")
        }
        ["aws", service, operation, rest @ ..] => {
            match TARGETS.iter().find(|(of, does, _)| (of, does) == (service, operation)) {
                Some((_, _, known)) => holds(options(rest).all(|option| known.contains(&option)), "an unknown option"),
                None => aws(service, operation, rest),
            }
        }
        _ => Err("a command that nothing checks".to_owned()),
    }
}

fn holds(condition: bool, wrong: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(wrong.to_owned()) }
}

fn coalmine(arguments: &[&str]) -> Result<(), String> {
    let parsed = crate::Arguments::try_parse_from(["coalmine"].iter().chain(arguments));
    parsed.map(|_| ()).map_err(|error| error.to_string())
}

/// A stack of ours, or of the example that the document is about, with parameters that its template has.
fn deploy(document: &str, options: &[&str]) -> Result<(), String> {
    let beside = document.replace("README.md", "template.yaml");
    let (template, stack) = match document {
        "examples/codedeploy-sam/README.md" | "examples/sam-macro/README.md" => (beside.as_str(), "shop"),
        "examples/ecs-hook/README.md" => (beside.as_str(), "cart"),
        _ => ("template.yaml", "coalmine"),
    };
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match (*option, options.next()) {
            ("--stack-name", Some(name)) => holds(*name == stack, "another stack")?,
            // What a release has.
            ("--template-file", Some(&"coalmine-arm64.yaml")) => {}
            ("--template-file", Some(file)) => holds(template.ends_with(*file) && template != *file, "another file")?,
            ("--capabilities", Some(&"CAPABILITY_IAM")) => {}
            ("--parameter-overrides", first) => {
                first.into_iter().chain(options.by_ref()).try_for_each(|setting| set(&read(template), setting))?;
            }
            other => return Err(format!("an unknown option {other:?}")),
        }
    }
    Ok(())
}

/// A parameter's value: one from the environment, one of those allowed, or any where all are.
fn set(template: &str, setting: &str) -> Result<(), String> {
    let (name, value) = setting.split_once('=').ok_or("no value")?;
    holds(section(template, "Parameters").contains(&name.to_owned()), "an unknown parameter")?;
    let about = template.split(&format!("\n  {name}:\n")).nth(1).unwrap_or_default();
    let lines = about.lines().take_while(|line| line.starts_with("    "));
    let allowed = lines.filter_map(|line| line.trim().strip_prefix("AllowedValues: [")?.strip_suffix(']')).next();
    let known = allowed.is_none_or(|words| words.split(", ").any(|word| word == value));
    holds(known || value.starts_with('$'), "a value not allowed")
}

fn cargo(words: &[&str]) -> Result<(), String> {
    match words {
        ["fmt", "--all"] | ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"] | ["test"] => Ok(()),
        ["lambda", "build", "--release", "--bin", "bootstrap", rest @ ..] => {
            holds(matches!(rest, [] | ["--output-format", "zip"]), "other options")
        }
        ["simulate"] => holds(read(".cargo/config.toml").contains("simulate = \"run "), "no such alias"),
        ["test", "--test", test, filter @ ..] => {
            holds(read("Cargo.toml").contains(&format!("[[test]]\nname = \"{test}\"")), "no such test")?;
            let filter = filter.strip_suffix(&["--", "--nocapture"]).unwrap_or(filter);
            filter.iter().try_for_each(|module| holds(repository(&format!("tests/{module}.rs")).exists(), "no module"))
        }
        ["test", "-p", package, filter @ ..] => {
            let folder = format!("crates/{}", package.strip_prefix("coalmine-").ok_or("no package of ours")?);
            holds(repository(&folder).exists(), "no such package")?;
            let sources: String = files(&folder, ".rs").iter().map(|file| read(&format!("{folder}/{file}"))).collect();
            filter.iter().try_for_each(|test| holds(sources.contains(&format!("fn {test}(")), "no such test"))
        }
        ["run", "--release", "--example", example] => {
            holds(repository(&format!("crates/core/examples/{example}/main.rs")).exists(), "no such example")
        }
        ["run", "--release", "--example", example, "--", rest @ ..] => {
            let source = read(&format!("crates/core/examples/{example}/main.rs"));
            holds(options(rest).all(|option| source.contains(&format!("\"{option}\" =>"))), "no such option")
        }
        _ => Err("a use of cargo that nothing checks".to_owned()),
    }
}

fn aws(service: &str, operation: &str, rest: &[&str]) -> Result<(), String> {
    let outfile = rest.len() % 2 == 1;
    let (options, values): (Vec<&str>, Vec<&str>) = rest.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip();
    let value = |name: &str| options.iter().position(|option| *option == name).map(|place| values[place]);
    let only = |known: &[&str]| holds(options == known && outfile == (operation == "invoke"), "other options");
    match (service, operation) {
        ("lambda", "invoke") => {
            only(&["--function-name", "--cli-binary-format", "--payload"])?;
            holds(value("--cli-binary-format") == Some("raw-in-base64-out"), "the payload would be taken for base64")?;
            request(value("--function-name").unwrap_or_default(), value("--payload").unwrap_or_default())
        }
        ("lambda", "get-alias") => only(&["--function-name", "--name"]),
        ("lambda", "update-alias") => {
            only(&["--function-name", "--name", "--function-version", "--routing-config"])?;
            holds(value("--routing-config") == Some("AdditionalVersionWeights={}"), "weights are left")
        }
        ("cloudformation", "describe-stacks") => {
            only(&["--stack-name", "--output", "--query"])?;
            let output = value("--query").and_then(|query| query.split("OutputKey=='").nth(1)?.split('\'').next());
            holds(
                output.is_some_and(|output| section(&read("template.yaml"), "Outputs").contains(&output.to_owned())),
                "an unknown output",
            )
        }
        ("cloudformation", "describe-stack-resource") => {
            only(&["--stack-name", "--logical-resource-id", "--query", "--output"])?;
            // SAM names a rule after its function and its event.
            let template = read("template.yaml");
            let named = match value("--logical-resource-id") {
                Some(name @ ("Logs" | "Switches" | "SwitchRole")) => {
                    return holds(section(&template, "Resources").contains(&name.to_owned()), "no such resource");
                }
                other => other == Some("TickEveryMinute"),
            };
            holds(named && template.contains("\n  Tick:\n") && template.contains("\n        EveryMinute:\n"), "no rule")
        }
        ("logs", "tail") => {
            let options = (rest.first(), rest.get(1), rest.get(3));
            holds(options == (Some(&"$LOGS"), Some(&"--since"), Some(&"--filter-pattern")), "other options")
        }
        ("events", "disable-rule") => only(&["--name"]),
        ("cloudformation", "delete-stack") => only(&["--stack-name"]),
        ("scheduler", "list-schedules") => only(&["--group-name"]),
        ("scheduler", "get-schedule" | "delete-schedule") => only(&["--group-name", "--name"]),
        ("scheduler", "delete-schedule-group") => only(&["--name"]),
        ("iam", "delete-role-policy") => {
            only(&["--role-name", "--policy-name"])?;
            let policy = format!("PolicyName: {}\n", value("--policy-name").unwrap_or_default());
            holds(read("template.yaml").contains(&policy), "no such policy")
        }
        ("iam", "delete-role") => only(&["--role-name"]),
        _ => Err("a call that nothing checks".to_owned()),
    }
}

/// A request that the function it is sent to takes.
fn request(function: &str, payload: &str) -> Result<(), String> {
    if payload == "file://start.json" {
        return holds(function == "$COMMAND", "only the command function starts");
    }
    let event = serde_json::from_str(payload).map_err(|error| error.to_string())?;
    let request = Request::parse(&event).map_err(|problems| format!("{problems:?}"))?;
    let stops = ["abort", "pause"].contains(&request.kind());
    holds(function == "$COMMAND" || function == "$ABORT" && stops, "not for this function")
}

/// The names in a section of a template.
fn section(template: &str, name: &str) -> Vec<String> {
    let after = template.split(&format!("\n{name}:\n")).nth(1).unwrap_or_default();
    let lines = after.lines().take_while(|line| line.is_empty() || line.starts_with(' '));
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
    names.filter(|name| !name.starts_with(' ')).map(str::to_owned).collect()
}
