use super::*;
use coalmine_core::rollout::PhaseName;
use coalmine_core::units::Timestamp;

const PLAIN: Screen = Screen { terminal: false, colours: false };

fn shown(seed: u64, reruns: u32) -> (String, Exit) {
    let mut out = Vec::new();
    let exit = show(seed, reruns, &PLAIN, &mut Pages::default(), &mut out, &mut |_| Ok(())).unwrap();
    (String::from_utf8(out).unwrap(), exit)
}

fn documented(seed: u64, reruns: u32) -> (serde_json::Value, Exit) {
    let mut out = Vec::new();
    let exit = document(seed, reruns, &mut Pages::default(), &mut out).unwrap();
    (serde_json::from_slice(&out).unwrap(), exit)
}

#[test]
fn the_tour_goes_as_announced_and_fits_a_ci_log() {
    let (text, exit) = shown(1, 2);
    assert_eq!(exit, Exit::Fine, "{text}");
    for expected in [
        "1 GOOD RELEASE",
        "PROMOTED",
        "2 BAD RELEASE",
        "ROLLED BACK",
        "3 ALARM",
        "4 SLOW",
        "5 TARGETS FAIL",
        "has 1 healthy target of the 3 that 25 % needs",
        "LEARNED",
        "RESULT  1 promoted, 4 ",
    ] {
        assert!(text.contains(expected), "no `{expected}` in\n{text}");
    }
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{} columns: {line}", line.chars().count());
        assert!(!line.contains('\u{1b}') && line.trim_end() == line, "{line:?}");
    }
}

#[test]
fn a_seed_repeats_and_another_one_differs() {
    assert_eq!(shown(7, 1), shown(7, 1));
    assert_ne!(shown(7, 1).0, shown(8, 1).0);
}

#[test]
fn the_document_has_the_numbers_of_the_screen() {
    let ((text, _), (document, exit)) = (shown(3, 2), documented(3, 2));
    assert_eq!(exit, Exit::Fine, "{text}");
    assert_eq!(document["asAnnounced"], true);
    assert_eq!(document["requestsFailedBecauseOfCoalmine"], 0);
    assert_eq!(document["reruns"]["ofEach"], 2);
    let releases = document["releases"].as_array().unwrap();
    let ended: Vec<&str> = releases.iter().map(|release| release["ended"].as_str().unwrap()).collect();
    assert_eq!(ended, ["promoted", "rolledBack", "rolledBack", "rolledBack", "rolledBack"]);
    let impact = &releases[1]["impact"];
    let told = format!("{} of the {} requests that v43 got failed", impact["failed"], impact["newRequests"]);
    assert!(text.contains(&told), "no `{told}` in\n{text}");
    assert_eq!(releases[1]["new"]["failed"], impact["failed"]);
    let seconds = releases[2]["secondsAfterAlarm"].as_u64().unwrap();
    assert!(seconds <= 10 && text.contains(&format!("{seconds} s after the alarm")), "{seconds} s\n{text}");
    // Whoever has seen it wants to know of their own traffic first.
    let next = text.split("\nNEXT ").nth(1).unwrap_or_default().lines().next().unwrap_or_default();
    assert!(next.contains("coalmine plan --function NAME --alias live "), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

/// A controller that ends a release otherwise, or breaks a promise, must not look like success.
#[test]
fn what_is_not_as_announced_shows_in_the_exit_status() {
    let tour = |change: &dyn Fn(&mut Story)| {
        let mut releases: Vec<Story> =
            tour::stops().iter().map(|stop| tell(stop, 1, &mut Pages::default()).unwrap()).collect();
        change(&mut releases[0]);
        Tour::of(1, releases, Reruns::default()).exit()
    };
    assert_eq!(tour(&|_| ()), Exit::Fine);
    let ended = |good: &mut Story, ended| {
        good.ended = ended;
        good.as_announced = false;
    };
    assert_eq!(tour(&|good| ended(good, None)), Exit::Undecided);
    assert_eq!(tour(&|good| ended(good, Some(PhaseName::RolledBack))), Exit::Failed);
    assert_eq!(tour(&|good| good.unserved = 1), Exit::Failed);
    let broken = |good: &mut Story| {
        let (invariant, rollout, detail) = ("terminal is terminal", String::new(), String::new());
        let at = Timestamp::from_epoch_seconds(0);
        good.violations.push(Violation { invariant, at, rollout, detail });
    };
    assert_eq!(tour(&broken), Exit::Failed);
}

/// A scenario in a file of its own, with what differs from test to test.
fn file(name: &str, failing: &str, more: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("coalmine-scenarios-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    let text = format!(
        "scenario: v1
spec: {{ coalmine: v1, target: {{ lambda: {{ function: f, alias: live }} }}, version: '42', alarms: [red] }}
baseline: '41'
past: 2h
traffic: {{ perSecond: 40, versions: {{ '41': {{ errors: 0.4% }}, '42': {{ errors: {failing} }} }} }}
{more}
"
    );
    std::fs::write(&path, text).unwrap();
    path
}

fn played(files: &[PathBuf]) -> (Exit, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = play_files(files, &mut out, &mut err).unwrap();
    (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn the_exit_status_says_how_a_scenario_ended() {
    let good = file("good.yaml", "0.4%", "");
    let bad = file("bad.yaml", "10%", "");
    let running = file("running.yaml", "0.4%", "longest: 5m");
    let refused = file("refused.yaml", "0.4%", "alarms: []");
    let expected = file("expected.yaml", "10%", "expect: { ended: rolledBack }");
    let otherwise = file("otherwise.yaml", "0.4%", "expect: { ended: rolledBack }");
    let wrong = file("wrong.yaml", "0.4", "");
    let missing = good.with_file_name("missing.yaml");
    for (files, exit) in [
        (vec![&good], Exit::Fine),
        (vec![&bad], Exit::Failed),
        (vec![&running], Exit::Undecided),
        (vec![&refused], Exit::Invalid),
        (vec![&expected], Exit::Fine),
        (vec![&otherwise], Exit::Failed),
        (vec![&wrong], Exit::Invalid),
        (vec![&missing], Exit::Io),
        (vec![&running, &good], Exit::Undecided),
        (vec![&bad, &running], Exit::Failed),
        (vec![&wrong, &bad], Exit::Invalid),
        (vec![&good, &missing, &wrong], Exit::Io),
    ] {
        let files: Vec<PathBuf> = files.into_iter().cloned().collect();
        let (found, out, err) = played(&files);
        assert_eq!(found, exit, "{files:?}\n{out}{err}");
    }
    let (_, out, err) = played(&[wrong]);
    assert!(out.is_empty() && err.contains("wrong.yaml:5:79: traffic.versions.42.errors: `0.4` is not"), "{out}{err}");
    let (_, out, _) = played(&[good, bad]);
    assert_eq!(out.matches("STARTED").count(), 2, "each is told: {out}");
}

#[test]
fn a_broken_promise_is_never_fine() {
    let path = file("promise.yaml", "0.4%", "longest: 5m\nexpect: { ended: running }");
    let Ok(written) = play::load(&path) else { panic!("{path:?}") };
    let mut told = play::transcript(&path, &written, 1, &mut Pages::default());
    assert_eq!(told.exit(), Exit::Fine);
    told.broken_promises.push("terminal is terminal".to_owned());
    assert_eq!(told.exit(), Exit::Failed);
    let mut out = Vec::new();
    PLAIN.transcript(&mut out, &told).unwrap();
    assert!(String::from_utf8(out).unwrap().contains("BROKEN PROMISE     terminal is terminal"));
}

#[test]
fn a_document_is_one_line_a_scenario() {
    let files = [file("one.yaml", "10%", ""), file("two.yaml", "0.4%", "longest: 5m")];
    let (mut out, mut err) = (Vec::new(), Vec::new());
    play::play(&files, 3, true, &PLAIN, &mut Pages::default(), &mut out, &mut err).unwrap();
    let lines = String::from_utf8(out).unwrap();
    let documents: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ends: Vec<&str> = documents.iter().map(|document| document["ended"].as_str().unwrap()).collect();
    assert_eq!(ends, ["rolledBack", "running"]);
    assert_eq!((documents[0]["seed"].as_u64(), documents[0]["newVersion"].as_str()), (Some(3), Some("v42")));
    assert_eq!(documents[0]["requestsFailedBecauseOfCoalmine"], 0);
    let failed = documents[0]["requests"]["v42"]["failed"].as_u64().unwrap();
    assert!(failed > 0 && failed < 100, "{failed}");
    assert!(documents[0]["entries"].as_array().unwrap().iter().any(|entry| entry["label"] == "ROLLED BACK"));
}

/// The deed of one who sends traffic nowhere is told from that of others.
#[test]
fn requests_that_nobody_answers_are_put_down_to_who_sent_them() {
    let rule = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/shop/50dc6c495c0c9188/f2f7/9683";
    let text = format!(
        "scenario: v1
spec: {{ coalmine: v1, name: shop-7, target: {{ alb: {{ rule: '{rule}', targetGroups: [blue, green] }} }} }}
baseline: green
past: 2h
traffic: {{ perSecond: 40 }}
longest: 10m
events:
  - {{ at: 3m, health: {{ group: green, healthy: 0, unhealthy: 10 }} }}
"
    );
    let path = file("nobody.yaml", "0%", "");
    std::fs::write(&path, text).unwrap();
    let Ok(written) = play::load(&path) else { panic!("{path:?}") };
    let told = play::transcript(&path, &written, 1, &mut Pages::default());
    assert!(told.requests_unserved > 10_000, "{}", told.requests_unserved);
    assert_eq!(told.requests_failed_because_of_coalmine, 0);
}
