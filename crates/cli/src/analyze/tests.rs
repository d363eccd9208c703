use coalmine_core::sim::rng::Rng;
use serde_json::Value;

use super::*;

const SPEC: &str = "coalmine: v1\ntarget: { lambda: { function: checkout, alias: live } }\nchecks: [errors: {}]\n";

/// A folder that is gone after the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("coalmine-analyze-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let scratch = Self(path);
        scratch.write("spec.yaml", SPEC);
        scratch
    }

    fn path(&self, file: &str) -> String {
        self.0.join(file).display().to_string()
    }

    fn write(&self, file: &str, content: &str) -> String {
        std::fs::write(self.0.join(file), content).unwrap();
        self.path(file)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Exit, standard output, standard error.
fn analyze(scratch: &Scratch, options: &[&str]) -> (Exit, String, String) {
    use clap::Parser;
    let spec = scratch.path("spec.yaml");
    let arguments = crate::Arguments::parse_from([&["coalmine", "analyze", "--spec", &spec], options].concat());
    let crate::Command::Analyze(arguments) = arguments.command else { panic!("not analyze") };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = run(&arguments, &mut out, &mut err).unwrap();
    (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// Half an hour at 50 %; the new version fails as told, the old one 0.2 %.
fn case(name: &str, failing: f64, minutes: i64) -> String {
    let mut rng = Rng::new(9);
    let case = serde_json::to_string(name).unwrap();
    (0..minutes)
        .map(|minute| {
            let (old, new) = (rng.binomial(3000, 0.002), rng.binomial(3000, failing));
            format!(
                "{{\"case\":{case},\"minute\":{minute},\"weight\":\"50%\",\"baseline\":{{\"requests\":3000,\"errors\":{old}}},\
                 \"canary\":{{\"requests\":3000,\"errors\":{new}}}}}\n"
            )
        })
        .collect()
}

fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The promised names, and no others that a script could trip over.
#[test]
fn json_is_as_promised() {
    let scratch = Scratch::new("json");
    let file =
        scratch.write("r.jsonl", &[case("good", 0.002, 30), case("bad", 0.05, 30), case("short", 0.002, 1)].concat());
    let (exit, out, err) = analyze(&scratch, &[&file, "--json"]);
    assert_eq!((exit, err.as_str()), (Exit::Failed, ""));
    let cases = lines(&out);
    let told = |index: usize, field: &str| cases[index][field].clone();
    assert_eq!([told(0, "case"), told(1, "case"), told(2, "case")], ["good", "bad", "short"]);
    assert_eq!([told(0, "verdict"), told(1, "verdict"), told(2, "verdict")], ["pass", "fail", "inconclusive"]);
    assert_eq!(
        [told(0, "decidedMinute"), told(2, "decidedMinute"), told(2, "passedMinute")],
        [(); 3].map(|()| Value::Null)
    );
    assert!(told(1, "decidedMinute").as_i64().unwrap() < 5 && told(0, "passedMinute").as_i64().unwrap() < 10);
    let check = &cases[1]["checks"][0];
    let names: Vec<&String> = check.as_object().unwrap().keys().collect();
    assert_eq!(names, ["check", "lnE", "lnThreshold", "promotion", "ratio", "reason", "verdict"]);
    assert_eq!((check["check"].as_str(), check["verdict"].as_str()), (Some("errors"), Some("fail")));
    assert!(check["lnE"].as_f64().unwrap() >= check["lnThreshold"].as_f64().unwrap());
    let ratio = ["lower", "estimate", "upper"].map(|name| check["ratio"][name].as_f64().unwrap());
    assert!(1.0 < ratio[0] && ratio[0] < ratio[1] && ratio[1] < ratio[2], "{ratio:?}");
    assert!(check["reason"].as_str().unwrap().contains("of new requests failed"));
}

/// The worst case decides, and a wrong line is worse than any.
#[test]
fn the_exit_status_is_the_worst_cases() {
    let scratch = Scratch::new("exit");
    let [good, bad, short] =
        [("good", 0.002, 30), ("bad", 0.05, 30), ("short", 0.002, 1)].map(|(n, p, m)| case(n, p, m));
    let wrong = "{\"case\":\"wrong\",\"minute\":0,\"canary\":{\"requests\":-1}}\n".to_owned();
    for (cases, expected) in [
        (vec![&good], Exit::Fine),
        (vec![&good, &short], Exit::Undecided),
        (vec![&good, &short, &bad], Exit::Failed),
        (vec![&good, &bad, &wrong, &short], Exit::Invalid),
        (vec![], Exit::Invalid),
    ] {
        let text: String = cases.into_iter().map(String::as_str).collect();
        let file = scratch.write("r.jsonl", &text);
        assert_eq!(analyze(&scratch, &[&file]).0, expected, "{text}");
        assert_eq!(analyze(&scratch, &[&file, "--json"]).0, expected, "{text}");
    }
    let missing = scratch.path("nothing.jsonl");
    let (exit, _, err) = analyze(&scratch, &[&missing]);
    assert!(exit == Exit::Io && err.starts_with(&format!("cannot read {missing}: ")), "{err}");
    scratch.write("spec.yaml", "coalmine: v1\nwieght: 3\n");
    assert_eq!(analyze(&scratch, &[&missing]).0, Exit::Invalid);
}

#[test]
fn people_get_a_verdict_and_why() {
    let scratch = Scratch::new("people");
    let file = scratch.write("r.jsonl", &[case("good", 0.002, 30), case("bad", 0.05, 30)].concat());
    let (_, out, _) = analyze(&scratch, &[&file]);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("good: PROVEN FINE, first at minute "), "{out}");
    assert!(out.contains("bad: PROVEN WORSE at minute ") && out.contains("30 minutes (0 to 29)"), "{out}");
    assert_eq!(*lines.last().unwrap(), "2 cases: 1 proven worse, 1 proven fine, 0 not proven");
    assert!(lines.iter().all(|line| line.chars().count() <= 100), "{out}");
    for word in ["p-value", "e-value", "score", "ln E"] {
        assert!(!out.contains(word), "{out}");
    }
}

/// A case with a wrong line is not judged, the others are.
#[test]
fn a_wrong_line_costs_its_own_case_only() {
    let scratch = Scratch::new("wrong");
    let broken = case("broken", 0.002, 30).replacen("\"minute\":7", "\"minute\":NaN", 1);
    let file = scratch.write("r.jsonl", &[case("before", 0.002, 30), broken, case("after", 0.002, 30)].concat());
    let (exit, out, err) = analyze(&scratch, &[&file, "--json"]);
    assert_eq!(exit, Exit::Invalid);
    assert!(err.starts_with(&format!("{file}:38:")) && err.contains("`NaN` is not a JSON number"), "{err}");
    let cases = lines(&out);
    let verdicts: Vec<&str> = cases.iter().map(|case| case["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["pass", "inconclusive", "pass"]);
    assert!(cases[1]["problem"].as_str().unwrap().contains("line 38"), "{out}");
}

#[test]
fn hopeless_files_are_given_up() {
    let scratch = Scratch::new("hopeless");
    let file = scratch.write("r.jsonl", &"no JSON\n".repeat(1000));
    let (exit, _, err) = analyze(&scratch, &[&file]);
    assert_eq!((exit, err.lines().count()), (Exit::Invalid, PROBLEMS_MAX + 1));
    // A line without an end is not kept in memory.
    let mut endless = io::Read::chain(io::Read::take(io::repeat(b'x'), 50_000_000), &b"\n{}\n"[..]);
    let (mut text, mut endless) = (Vec::new(), BufReader::new(&mut endless));
    assert!(next_line(&mut endless, &mut text).unwrap());
    assert!(text.len() == LINE_BYTES_MAX + 1 && text.capacity() < 4 * LINE_BYTES_MAX);
    assert!(next_line(&mut endless, &mut text).unwrap() && text == b"{}");
    assert!(!next_line(&mut endless, &mut text).unwrap());
}

/// The page is a document that parses, needs nothing from elsewhere, and shows what was found.
#[test]
fn the_report_is_a_page_of_its_own() {
    let scratch = Scratch::new("report");
    let odd = "</title><script>alert(1)</script>&\u{1}";
    let file = scratch.write("r.jsonl", &[case("bad", 0.05, 30), case(odd, 0.002, 30), case("short", 0.0, 1)].concat());
    let page = scratch.path("page.html");
    let (exit, ..) = analyze(&scratch, &[&file, "--report", &page]);
    assert_eq!(exit, Exit::Failed);
    let html = std::fs::read_to_string(&page).unwrap();
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() };
    let document = roxmltree::Document::parse_with_options(&html, options).unwrap();
    let of = |name: &'static str| document.descendants().filter(move |node| node.has_tag_name(name));
    assert_eq!(of("h2").count(), 4, "three cases and how to read them");
    // Evidence and rates of each case, and an interval where there is one.
    assert!(of("svg").count() >= 6);
    assert_eq!(of("script").count() + of("link").count() + of("img").count(), 0);
    assert!(!html.contains("http://") && !html.contains("https://"));
    for path in of("path") {
        let drawn = path.attribute("d").unwrap();
        assert!(drawn.starts_with('M') && !drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    }
    let text: String = document.descendants().filter_map(|node| node.text()).collect();
    assert!(text.contains("bad: PROVEN WORSE at minute ") && text.contains("Mann-Whitney"), "{text}");
    assert!(text.contains("</title><script>alert(1)</script>&"), "as text");
}

/// However many cases there are, the page shows the first ones and counts the rest.
#[test]
fn a_report_stays_a_page() {
    let scratch = Scratch::new("many");
    let cases: String = (0..105).map(|number| case(&format!("case {number}"), 0.002, 3)).collect();
    let (file, page) = (scratch.write("r.jsonl", &cases), scratch.path("page.html"));
    analyze(&scratch, &[&file, "--report", &page]);
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.contains("105 cases") && html.contains("5 more are only counted"));
    assert_eq!(html.matches("<article>").count(), 101);
}

#[test]
fn there_is_one_standard_input() {
    let scratch = Scratch::new("stdin");
    let (exit, _, err) = analyze(&scratch, &["-", "-"]);
    assert_eq!((exit, err.as_str()), (Exit::Invalid, "`-` is given 2 times, and there is one standard input\n"));
}
