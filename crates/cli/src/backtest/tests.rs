use std::path::PathBuf;

use clap::Parser;
use coalmine_core::analysis::Verdict;
use coalmine_core::recording::When;
use coalmine_core::sim::rng::Rng;
use serde_json::Value;

use super::*;

const SPEC: &str = "coalmine: v1\ntarget: { lambda: { function: checkout, alias: live } }\nchecks: [errors: {}]\n";

/// A folder that is gone after the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("coalmine-backtest-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let scratch = Self(path);
        scratch.write("spec.yaml", SPEC);
        scratch
    }

    fn write(&self, file: &str, content: &str) -> String {
        std::fs::write(self.0.join(file), content).unwrap();
        self.0.join(file).display().to_string()
    }

    /// Exit, standard output, standard error.
    fn backtest(&self, options: &[&str]) -> (Exit, String, String) {
        let spec = self.0.join("spec.yaml").display().to_string();
        let words = [&["coalmine", "backtest", &spec], options].concat();
        let arguments = crate::Arguments::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
        let crate::Command::Backtest(arguments) = arguments.command else { panic!("not backtest") };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = run(&arguments, &mut out, &mut err).unwrap();
        (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    fn json(&self, options: &[&str]) -> (Exit, Value) {
        let (exit, out, err) = self.backtest(&[options, &["--json"]].concat());
        (exit, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}")))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Two days of one version with 40 requests a second, of which some fail.
fn days(minutes: i64, failing: f64) -> String {
    let mut rng = Rng::new(41);
    let line = |minute: i64| {
        let requests = rng.poisson(2_400.0);
        let errors = rng.binomial(requests, failing);
        format!("{{\"minute\":{minute},\"baseline\":{{\"requests\":{requests},\"errors\":{errors}}}}}\n")
    };
    (0..minutes).map(line).collect()
}

/// Two hours before, and half an hour at 5 % and another at 25 %, in which the new version fails as told.
fn release(failing: f64) -> String {
    let mut rng = Rng::new(42);
    let line = |minute: i64| {
        let arm = |rng: &mut Rng, requests: u64, failing: f64| {
            format!("{{\"requests\":{requests},\"errors\":{}}}", rng.binomial(requests, failing))
        };
        let old = |rng: &mut Rng, requests| arm(rng, requests, 0.004);
        match minute {
            ..0 => format!("{{\"minute\":{minute},\"baseline\":{}}}\n", old(&mut rng, 2_400)),
            _ => {
                let canary = if minute < 30 { 120 } else { 600 };
                let (old, new) = (old(&mut rng, 2_400 - canary), arm(&mut rng, canary, failing));
                format!("{{\"minute\":{minute},\"baseline\":{old},\"canary\":{new}}}\n")
            }
        }
    };
    (-120..60).map(line).collect()
}

/// What the document shows: the recording that is named there is `days`, or the release with five times the errors.
pub fn documented(spec: &str, command: &str) -> String {
    let scratch = Scratch::new(&format!("documented-{}", command.len()));
    let words: Vec<&str> = command.split_whitespace().collect();
    let ["coalmine", "backtest", file, options @ ..] = words.as_slice() else { panic!("`{command}` tries nothing") };
    scratch.write("spec.yaml", spec);
    scratch.write("two-days.jsonl", &days(2_880, 0.004));
    scratch.write("checkout-42.jsonl", &release(0.02));
    let paths: Vec<String> = options
        .iter()
        .map(
            |word| {
                if word.ends_with(".jsonl") { scratch.0.join(word).display().to_string() } else { (*word).to_owned() }
            },
        )
        .collect();
    let options: Vec<&str> = paths.iter().map(String::as_str).collect();
    let (_, out, err) = scratch.backtest(&options);
    let spec = scratch.0.join("spec.yaml").display().to_string();
    // The folder of a test is nobody's business, and its name has another length than the file's.
    let shown = format!("{out}{err}").replacen(&spec, file, 1);
    let mut lines: Vec<String> = shown.lines().map(str::to_owned).collect();
    if let Some(first) = lines.iter().position(|line| line.starts_with("BACKTEST")) {
        let right = "NOTHING CHANGED";
        let left = lines[first].trim_end_matches(right).trim_end().to_owned();
        lines[first] = format!("{left}{right:>width$}", width = 100 - left.chars().count());
        if lines.get(first + 1).is_some_and(|line| line.trim() == right) {
            lines.remove(first + 1);
        }
    }
    lines.join("\n").trim_end().to_owned()
}

fn number(document: &Value, path: &str) -> f64 {
    document.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {path}: {document:#}"))
}

/// However its lines are broken.
fn words_of(out: &str) -> String {
    out.split_whitespace().collect::<Vec<&str>>().join(" ")
}

#[test]
fn a_spec_is_tried_on_a_recording_and_says_what_it_would_do() {
    let scratch = Scratch::new("study");
    let recording = scratch.write("r.jsonl", &days(2_880, 0.004));
    let words = ["--recording", &recording, "--runs", "12"];
    let (exit, document) = scratch.json(&words);
    assert_eq!(exit, Exit::Fine, "{document:#}");
    let names: Vec<&String> = document.as_object().unwrap().keys().collect();
    assert_eq!(names, ["happened", "notes", "spec", "study", "target"]);
    assert!(number(&document, "/study/same/rolledBack") <= 1.0 && number(&document, "/study/same/promoted") >= 10.0);
    let worse = document["study"]["worse"].as_array().unwrap();
    let releases: Vec<&str> = worse.iter().map(|row| row["release"].as_str().unwrap()).collect();
    let begins = ["errors 2x: 0.8 %", "errors 5x: 2 %", "errors +1 point: 1.4 %", "errors +5 points: 5.4 %"];
    assert!(
        releases.iter().zip(begins).all(|(name, begin)| name.split(':').next() == begin.split(':').next()),
        "{releases:?}"
    );
    let [two, five] = [0, 1].map(|place| number(&document, &format!("/study/worse/{place}/rolledBack")));
    assert!(two <= five && five >= 11.0, "{document:#}");
    // What is seen is inside its interval.
    let [lower, seen, upper] =
        ["lower", "seen", "upper"].map(|name| number(&document, &format!("/study/worse/0/share/{name}")));
    assert!(lower <= seen && seen <= upper, "{document:#}");

    let (_, out, err) = scratch.backtest(&words);
    assert_eq!(err, "");
    assert_eq!(scratch.backtest(&words).1, out, "the same seed");
    assert_ne!(scratch.backtest(&[&words[..], &["--seed", "2"]].concat()).1, out, "another one");
    for line in out.lines() {
        assert!(line.chars().count() <= 100 && line.trim_end() == line && !line.contains('\u{1b}'), "{line:?}");
    }
    let second = out.lines().nth(1).unwrap();
    assert!(second.contains("ITS PROMISE") && second.contains("of 12 releases that were no worse"), "{out}");
    let timeout = |of: &Value| (of["study"]["timeoutSeconds"].clone(), of["study"]["timeoutAssumed"].clone());
    assert_eq!(timeout(&document), (3.into(), true.into()));
    assert!(words_of(&out).contains("and calls of up to 3s, assumed"), "{out}");
    let (_, told) = scratch.json(&[&words[..], &["--timeout", "30s"]].concat());
    assert_eq!(timeout(&told), (30.into(), false.into()));
    let (_, out, _) = scratch.backtest(&[&words[..], &["--timeout", "30s"]].concat());
    assert!(out.trim_end().ends_with("calls of up to 30s"), "{out}");
    for word in ["p-value", "e-value", "score", "tick"] {
        assert!(!out.contains(word), "{out}");
    }
}

#[test]
fn a_release_in_the_recording_is_judged_as_it_happened() {
    let scratch = Scratch::new("happened");
    for (failing, verdict, said) in [(0.02, "fail", "PROVEN WORSE at minute "), (0.004, "pass", "PROVEN FINE")] {
        let recording = scratch.write("r.jsonl", &release(failing));
        let (exit, document) = scratch.json(&["--recording", &recording, "--runs", "2"]);
        let happened = &document["happened"][0];
        assert_eq!((exit, &happened["verdict"]), (Exit::Fine, &Value::from(verdict)), "{document:#}");
        assert!(happened["headline"].as_str().unwrap().starts_with(said), "{document:#}");
        let minutes = happened["minutes"].as_array().unwrap();
        assert_eq!(minutes.len(), 60, "{document:#}");
        let decided = happened["decidedMinute"].as_i64();
        assert_eq!(decided.is_some_and(|minute| minute < 30), verdict == "fail", "{document:#}");
        assert_eq!(happened["requestsUntilDecided"].is_null(), verdict == "pass");
        let (_, out, _) = scratch.backtest(&["--recording", &recording, "--runs", "2"]);
        assert!(out.contains("AS IT HAPPENED") && out.contains(said), "{out}");
        assert!(out.lines().all(|line| line.chars().count() <= 100), "{out}");
    }
}

/// Levels say nothing of single requests, so both halves of a split have the same ones; two versions have their own.
#[test]
fn a_gauge_is_left_alone_by_the_split_and_holds_a_release_as_it_happened() {
    let scratch = Scratch::new("gauge");
    let metric = "{ namespace: Shop, metric: Memory, dimensions: { Version: '{version}' } }";
    let gauge = format!("  - gauge: {{ name: memory, metric: {metric}, tolerate: 10% }}\n");
    let spec = SPEC.replace("checks: [errors: {}]\n", &format!("checks:\n  - errors: {{}}\n{gauge}"));
    scratch.write("spec.yaml", &spec);
    let arm = |requests: i64, sum: i64, minute: i64| {
        let errors = requests / 250 + minute.rem_euclid(2);
        let levels = format!("{{\"memory\":{{\"readings\":10,\"sum\":{}}}}}", sum + minute.rem_euclid(7));
        format!("{{\"requests\":{requests},\"errors\":{errors},\"levels\":{levels}}}")
    };
    let one = |minute: i64| format!("{{\"minute\":{minute},\"baseline\":{}}}\n", arm(2_400, 1_000, minute));
    let alone = scratch.write("alone.jsonl", &(0..900).map(one).collect::<String>());
    let (exit, document) = scratch.json(&["--recording", &alone, "--runs", "4"]);
    assert_eq!((exit, &document["study"]["same"]["promoted"]), (Exit::Fine, &Value::from(4)), "{document:#}");
    let worse = document["study"]["worse"].as_array().unwrap();
    assert!(worse.iter().all(|row| row["release"].as_str().unwrap().starts_with("errors ")), "{document:#}");
    assert_eq!(document["study"]["traffic"][0]["leftOut"], serde_json::json!([]), "it has data");

    let both = |minute: i64, sum: i64| {
        let (old, new) = (arm(1_800, 1_000, minute), arm(600, sum, minute));
        format!("{{\"minute\":{minute},\"baseline\":{old},\"canary\":{new}}}\n")
    };
    for (sum, verdict) in [(1_000, "pass"), (1_500, "inconclusive")] {
        let lines = (-120..0).map(one).chain((0..90).map(|minute| both(minute, sum)));
        let recording = scratch.write("both.jsonl", &lines.collect::<String>());
        let (_, document) = scratch.json(&["--recording", &recording, "--runs", "1"]);
        assert_eq!(document["happened"][0]["verdict"], verdict, "{document:#}");
    }
}

#[test]
fn what_cannot_be_tried_says_why_and_what_it_is_to_a_script() {
    let scratch = Scratch::new("refused");
    let recording = scratch.write("r.jsonl", &days(600, 0.004));
    scratch.write("spec.yaml", &format!("{SPEC}strategy: {{ allAtOnce: {{}} }}\n"));
    let (exit, out, _) = scratch.backtest(&["--recording", &recording]);
    assert!(exit == Exit::Undecided && out.contains("no step at which both versions have traffic"), "{out}");
    // Nor is it fine where both versions were judged, and the spec was not tried.
    let both = scratch.write("both.jsonl", &release(0.02));
    let (exit, out, _) = scratch.backtest(&["--recording", &both]);
    assert!(exit == Exit::Undecided && out.contains("NOT TRIED") && out.contains("AS IT HAPPENED"), "{out}");
    scratch.write("spec.yaml", SPEC);
    let other = scratch.write("other.jsonl", "{\"minute\":0,\"baseline\":{\"requests\":-1}}\n");
    let empty = scratch.write("empty.jsonl", "\n");
    for (file, exit, said) in [
        (other.as_str(), Exit::Invalid, "other.jsonl:1: baseline.requests: -1 is negative"),
        (&empty, Exit::Invalid, "has no line"),
        ("/nowhere/r.jsonl", Exit::Io, "cannot read /nowhere/r.jsonl"),
    ] {
        let (found, out, err) = scratch.backtest(&["--recording", file]);
        assert!(found == exit && out.is_empty() && err.contains(said), "{err}");
    }
    // A few minutes are no traffic.
    let few = scratch.write("few.jsonl", &days(5, 0.004));
    let (exit, out, _) = scratch.backtest(&["--recording", &few]);
    assert!(exit == Exit::Undecided && out.contains("no check has data of the old version"), "{out}");
    // So little traffic proves nothing by the deadline, and that is no verdict.
    let quiet: String = (0..900)
        .map(|minute| format!("{{\"minute\":{minute},\"baseline\":{{\"requests\":20,\"errors\":0}}}}\n"))
        .collect();
    let quiet = scratch.write("quiet.jsonl", &quiet);
    let (exit, out, _) = scratch.backtest(&["--recording", &quiet, "--runs", "4"]);
    assert!(
        exit == Exit::Undecided && out.contains("nothing was proven of 4 by the deadline of 2h: 4 paused"),
        "{out}"
    );
    // Those that the deadline rolls back are told beside those that were proven worse.
    scratch.write(
        "spec.yaml",
        &format!("{SPEC}undecided: {{ tooLittleTraffic: rollBack, noData: rollBack, looksWorse: rollBack }}\n"),
    );
    let (_, out, _) = scratch.backtest(&["--recording", &quiet, "--runs", "4"]);
    let said =
        "0 of 4 releases that were no worse were rolled back as proven worse, 4 more at the deadline, undecided (";
    assert!(words_of(&out).contains(said), "{out}");
}

/// The change is what tells one row from another, and so does the check.
#[test]
fn long_names_are_shortened_and_the_numbers_stay() {
    let scratch = Scratch::new("names");
    let lines = |events: [&str; 2]| -> String {
        let rate = |name: &str| format!("\"{name}\":{{\"events\":12,\"requests\":2400}}");
        let arm = format!("{{\"requests\":2400,\"errors\":12,\"rates\":{{{},{}}}}}", rate(events[0]), rate(events[1]));
        (0..600).map(|minute| format!("{{\"minute\":{minute},\"baseline\":{arm}}}\n")).collect()
    };
    for names in [
        ["payments-of-customers-refused-by-bank", "payments-of-customers-refused-by-us"],
        ["shop-1-payments-of-customers-abroad", "shop-2-payments-of-customers-abroad"],
        ["refused-payments-abroad-of-all-customers", "refused-payments-at-home-of-all-customers"],
    ] {
        let rate = |name: &str| {
            let metric = |metric: &str| {
                format!("{{ namespace: Shop, metric: {metric}, dimensions: {{ Version: \"{{version}}\" }} }}")
            };
            format!(
                "rate: {{ name: {name}, tolerate: 1pt, events: {}, requests: {} }}",
                metric("Refused"),
                metric("Asked")
            )
        };
        let checks = names.map(|name| format!("{{ {} }}", rate(name))).join(", ");
        let spec =
            format!("coalmine: v1\ntarget: {{ lambda: {{ function: checkout, alias: live }} }}\nchecks: [{checks}]\n");
        scratch.write("spec.yaml", &spec);
        let recording = scratch.write("r.jsonl", &lines(names));
        let (_, out, err) = scratch.backtest(&["--recording", &recording, "--runs", "1"]);
        for change in ["2x: 1 %", "5x: 2.5 %", "+1 point: 1.5 %", "+5 points: 5.5 %"] {
            let rows: Vec<&str> = out.lines().filter_map(|row| row.split_once(change)).map(|(name, _)| name).collect();
            assert!(rows.len() == 2 && rows[0] != rows[1] && rows[0].contains(".."), "{change}: {out}{err}");
        }
        assert!(out.lines().all(|line| line.chars().count() <= 100), "{out}");
    }
}

#[test]
fn an_incident_that_was_asked_for_decides_the_exit_status() {
    let spec = coalmine_core::spec::parse(SPEC).unwrap().spec;
    let one_step = format!("{SPEC}strategy: {{ canary: {{ weight: 5%, bake: 10m }} }}\n");
    let one_step = coalmine_core::spec::parse(&one_step).unwrap().spec;
    let lines = |text: &str| {
        let mut reader = coalmine_core::recording::Reader::default();
        let read = |line: &str| reader.read(line.as_bytes()).unwrap().unwrap().line;
        text.lines().map(read).collect::<Vec<Line>>()
    };
    let of = |happened: Vec<Happened>, asked: Question| Document {
        target: "checkout:live".to_owned(),
        spec: "spec.yaml".to_owned(),
        study: None,
        not_studied: None,
        happened,
        notes: Vec::new(),
        asked,
    };
    let happened = |text: &str| Happened::of(&spec, None, &lines(text)).unwrap().between("41", "42");
    let unseen = || Happened::not_seen("41".to_owned(), "42".to_owned(), "no requests".to_owned());
    let worse = release(0.02);
    // The same minutes, with the switch in one moment: an outage is seen, and twice the errors are not.
    let at_once = |errors: u32| {
        let after =
            |minute: i64| format!("{{\"minute\":{minute},\"canary\":{{\"requests\":2400,\"errors\":{errors}}}}}\n");
        let before = worse.lines().filter(|line| line.contains("\"minute\":-")).map(|line| format!("{line}\n"));
        before.chain((0..30).map(after)).collect::<String>()
    };
    let open = Happened { verdict: Verdict::Inconclusive, passed_minute: None, ..happened(&release(0.004)) };
    let decided_at = |decided: i64, passed: i64| {
        let (decided, passed) = (When::Number(decided), When::Number(passed));
        Happened { decided_minute: Some(decided), passed_minute: Some(passed), ..happened(&worse) }
    };
    let time = |text: &str| Some(When::Time(text.parse::<Timestamp>().unwrap().minute()));
    let (from, until) = (time("2026-11-21T14:02:00Z"), time("2026-11-21T15:01:00Z"));
    let at_times = Happened { from, until, ..happened(&worse) };
    for (one, exit, said) in [
        (happened(&worse), Exit::Fine, "IT WOULD HAVE BEEN CAUGHT, with the minute "),
        (happened(&release(0.004)), Exit::Failed, "IT WOULD NOT HAVE BEEN CAUGHT"),
        (happened(&at_once(1_200)), Exit::Fine, "IT WOULD HAVE BEEN CAUGHT, with the minute "),
        // What looks a little worse, or is over too soon, may be harm all the same.
        (happened(&at_once(20)), Exit::Undecided, "CANNOT BE TOLD FROM THIS RELEASE: it was made all at once"),
        (open, Exit::Undecided, "CANNOT BE TOLD FROM THIS RELEASE: it was neither"),
        (decided_at(20, 30), Exit::Fine, "IT WOULD HAVE BEEN CAUGHT, with the minute 20\n"),
        (decided_at(55, 30), Exit::Fine, "CAUGHT, with the minute 55, but after it would have had all traffic"),
        // Proven fine soon, and worse before the step had baked.
        (decided_at(8, 4), Exit::Fine, "IT WOULD HAVE BEEN CAUGHT, with the minute 8\n"),
        (at_times, Exit::Fine, "2026-11-21 14:02 to 2026-11-21 15:01 UTC"),
        (unseen(), Exit::Undecided, "NOBODY CAN TELL"),
    ] {
        let document = of(vec![one], Question::Incident);
        let mut out = Vec::new();
        screen::print(&document, &one_step, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(document.exit() == exit && out.contains(said) && out.contains("v41 -> v42"), "{out}");
        assert!(out.lines().all(|line| line.chars().count() <= 100), "{out}");
    }
    let deployments = of(vec![happened(&worse), unseen()], Question::Deployments);
    assert_eq!(deployments.exit(), Exit::Fine);
    assert_eq!(of(Vec::new(), Question::Deployments).exit(), Exit::Undecided);
}

/// What a script reads is what its schema says.
#[test]
fn json_has_every_field_that_its_schema_promises() {
    let scratch = Scratch::new("schema");
    let recording = scratch.write("r.jsonl", &release(0.02));
    let (_, document) = scratch.json(&["--recording", &recording, "--runs", "3"]);
    let schema = crate::shapes::schema(crate::shapes::Output::Backtest);
    let mut checked = 0;
    has_all(&document, &schema, &schema, &mut checked);
    assert!(checked > 40, "{checked}");
}

fn has_all(value: &Value, shape: &Value, root: &Value, checked: &mut usize) {
    let shape = match shape.get("$ref").and_then(Value::as_str) {
        Some(name) => root.pointer(name.trim_start_matches('#')).unwrap(),
        None => shape,
    };
    for required in shape.get("required").and_then(Value::as_array).into_iter().flatten() {
        let name = required.as_str().unwrap();
        assert!(value.get(name).is_some(), "no {name}: {value:#}");
        *checked += 1;
    }
    for (name, of_field) in shape.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let Some(field) = value.get(name).filter(|field| !field.is_null()) else { continue };
        let of_any = of_field.get("anyOf").and_then(Value::as_array).and_then(|any| any.first()).unwrap_or(of_field);
        match (field, of_any.get("items")) {
            (Value::Array(items), Some(of_items)) => {
                items.iter().for_each(|item| has_all(item, of_items, root, checked))
            }
            _ => has_all(field, of_any, root, checked),
        }
    }
}
