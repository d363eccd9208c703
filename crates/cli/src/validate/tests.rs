use super::*;

const GOOD: &str = "coalmine: v1\ntarget: { lambda: { function: checkout, alias: live } }\nchecks: [errors: {}]\n";
const WARNED: &str = "coalmine: v1\ntarget: { lambda: { function: checkout, alias: live } }\nchecks: [errors: {}, \
     gauge: {name: load, metric: {namespace: Shop, metric: Load, dimensions: {Version: \"{version}\"}}, mode: enforce}]\n";
const BAD: &str = "coalmine: v1\nwieght: 3\ndeadline: soon\n";

/// A file that is gone after the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, content: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("coalmine-validate-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Exit, standard output, standard error.
fn validate(file: &str, options: &[&str]) -> (Exit, String, String) {
    use clap::Parser;
    let arguments = crate::Arguments::parse_from([&["coalmine", "validate", file], options].concat());
    let crate::Command::Validate(arguments) = arguments.command else { panic!("not validate") };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = run(&arguments, &mut out, &mut err).unwrap();
    (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn people_get_one_line_each() {
    let (good, warned, bad) = (
        Scratch::new("good.yaml", GOOD.as_bytes()),
        Scratch::new("warned.yaml", WARNED.as_bytes()),
        Scratch::new("bad.yaml", BAD.as_bytes()),
    );
    let valid = |path: &str| format!("{path}: valid: checkout:live to 5%, 25%, 50%, 100%\n");
    assert_eq!(validate(&good.path(), &[]), (Exit::Fine, valid(&good.path()), String::new()));
    let (exit, out, err) = validate(&warned.path(), &[]);
    assert_eq!((exit, out), (Exit::Fine, valid(&warned.path())));
    let warning = format!("{}:3:22: warning: checks[1].gauge: ", warned.path());
    assert!(err.starts_with(&warning) && err.lines().count() == 1, "{err}");
    let (exit, out, err) = validate(&bad.path(), &[]);
    assert_eq!((exit, out), (Exit::Invalid, String::new()));
    let lines: Vec<&str> = err.lines().collect();
    let path = bad.path();
    assert_eq!(lines[0], format!("{path}:1:1: the field `target` is missing"));
    assert!(lines[1].starts_with(&format!("{path}:2:1: wieght: unknown field `wieght`; known here: ")), "{err}");
    assert!(lines[2].starts_with(&format!("{path}:3:11: deadline: `soon` is not a duration")), "{err}");
    assert_eq!(lines.len(), 3);
}

#[test]
fn scripts_get_one_json_document_and_silence_elsewhere() {
    let (warned, bad) = (Scratch::new("warned.json", WARNED.as_bytes()), Scratch::new("bad.json", BAD.as_bytes()));
    let json = |file: &str, options: &[&str]| {
        let (exit, out, err) = validate(file, &[&["--json"], options].concat());
        assert_eq!(err, "");
        (exit, serde_json::from_str::<serde_json::Value>(&out).unwrap())
    };
    let (exit, document) = json(&warned.path(), &["--show-effective"]);
    assert_eq!((exit, &document["valid"], document["errors"].as_array().unwrap().len()), (Exit::Fine, &true.into(), 0));
    assert_eq!(document["warnings"][0]["line"], 3);
    assert_eq!(spec::parse(document["effective"].as_str().unwrap()).unwrap().spec, spec::parse(WARNED).unwrap().spec);
    let (exit, document) = json(&bad.path(), &[]);
    assert_eq!((exit, &document["valid"]), (Exit::Invalid, &false.into()));
    let deadline = serde_json::json!({
        "path": "deadline", "line": 3, "column": 11,
        "message": "`soon` is not a duration; write it as `90s`, `5m`, `1h30m` or `2d`"
    });
    assert_eq!(document["errors"][2], deadline);
    let (exit, document) = json("/nowhere/spec.yaml", &[]);
    assert_eq!((exit, &document["valid"]), (Exit::Io, &false.into()));
}

#[test]
fn the_effective_spec_alone_goes_to_standard_output() {
    let warned = Scratch::new("effective.yaml", WARNED.as_bytes());
    let (exit, out, _) = validate(&warned.path(), &["--show-effective"]);
    assert_eq!((exit, out), (Exit::Fine, spec::effective(&spec::parse(WARNED).unwrap().spec)));
}

#[test]
fn defaults_are_merged_under_the_spec() {
    let spec = Scratch::new("merged.yaml", GOOD.as_bytes());
    let defaults = Scratch::new("defaults.yaml", b"strategy: { canary: { weight: 10%, bake: 5m } }\n");
    let (exit, out, _) = validate(&spec.path(), &["--defaults", &defaults.path()]);
    assert_eq!((exit, out), (Exit::Fine, format!("{}: valid: checkout:live to 10%, 100%\n", spec.path())));
    assert_eq!(validate(&spec.path(), &["--defaults", "/nowhere/defaults.yaml"]).0, Exit::Io);
}

#[test]
fn what_is_no_spec_is_said_quickly() {
    let started = std::time::Instant::now();
    for (name, content, exit, message) in [
        ("latin1", b"name: caf\xe9\n".to_vec(), Exit::Invalid, " is not UTF-8 text: byte 10 is wrong"),
        ("huge", b"a: b # c\n".repeat(1_200_000), Exit::Invalid, " has more than 262144 bytes, too many for a spec"),
        ("nul", b"name: \0\n".to_vec(), Exit::Invalid, "this is not YAML"),
        ("empty", Vec::new(), Exit::Invalid, "the document is empty"),
    ] {
        let file = Scratch::new(name, &content);
        let (found, out, err) = validate(&file.path(), &[]);
        assert_eq!((found, out.as_str()), (exit, ""));
        assert!(err.contains(message) && err.lines().count() == 1, "{name}: {err}");
    }
    let (exit, _, err) = validate("/nowhere/spec.yaml", &[]);
    assert_eq!((exit, err.starts_with("cannot read /nowhere/spec.yaml: ")), (Exit::Io, true));
    assert_eq!(validate("/", &[]).0, Exit::Io);
    // Far above what it takes, far below what a quadratic reader would.
    assert!(started.elapsed().as_secs() < 20);
}

/// A program reads standard output, and must find there why there is no answer.
#[cfg(feature = "aws")]
#[test]
fn a_spec_that_is_wrong_is_a_document_whoever_was_to_use_it() {
    use clap::Parser;

    let bad = Scratch::new("wrong-for-all.yaml", BAD.as_bytes());
    let (path, missing) = (bad.path(), "/no/such/spec.yaml".to_owned());
    for (spec, exit, problems) in [(&path, Exit::Invalid, 3), (&missing, Exit::Io, 1)] {
        for words in [
            &["start", spec][..],
            &["run", spec],
            &["plan", spec],
            &["doctor", spec],
            &["backtest", spec, "--last", "1h"],
            &["analyze", "--spec", spec, "/no/such/recording.jsonl"],
        ] {
            let mut lines = Vec::new();
            for json in [&["--json"][..], &[]] {
                let parsed = crate::Arguments::parse_from([&["coalmine"], words, json].concat());
                let (mut out, mut err) = (Vec::new(), Vec::new());
                let said = match &parsed.command {
                    crate::Command::Stack(command) => crate::stack::run(command, &mut out, &mut err),
                    crate::Command::Run(arguments) => crate::run::run(arguments, &mut out, &mut err),
                    crate::Command::Plan(arguments) => crate::plan::run(arguments, &mut out, &mut err),
                    crate::Command::Doctor(arguments) => crate::doctor::run(arguments, &mut out, &mut err),
                    crate::Command::Backtest(arguments) => crate::backtest::run(arguments, &mut out, &mut err),
                    crate::Command::Analyze(arguments) => crate::analyze::run(arguments, &mut out, &mut err),
                    crate::Command::Simulate(_)
                    | crate::Command::Validate(_)
                    | crate::Command::Fit(_)
                    | crate::Command::Record(_)
                    | crate::Command::Report(_)
                    | crate::Command::Schema(_)
                    | crate::Command::Completions(_)
                    | crate::Command::Man(_) => panic!("{:?}", parsed.command),
                };
                assert_eq!(said.unwrap(), exit, "{words:?}");
                let out = String::from_utf8(out).unwrap();
                if json.is_empty() {
                    assert_eq!(out, "", "{words:?}");
                } else {
                    let document: serde_json::Value =
                        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{words:?}: {out}"));
                    assert_eq!(document["errors"].as_array().unwrap().len(), problems, "{words:?}: {out}");
                }
                lines.push(String::from_utf8(err).unwrap());
            }
            // For people it is the same with it and without.
            assert!(lines[0] == lines[1] && !lines[0].is_empty(), "{words:?}: {lines:?}");
        }
    }
}
