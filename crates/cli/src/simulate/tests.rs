use super::*;
use coalmine_core::rollout::PhaseName;
use coalmine_core::units::Timestamp;

const PLAIN: Screen = Screen { terminal: false, colours: false };

fn shown(seed: u64, reruns: u32) -> (String, Exit) {
    let mut out = Vec::new();
    let exit = show(seed, reruns, &PLAIN, &mut out, &mut |_| Ok(())).unwrap();
    (String::from_utf8(out).unwrap(), exit)
}

fn documented(seed: u64, reruns: u32) -> (serde_json::Value, Exit) {
    let mut out = Vec::new();
    let exit = document(seed, reruns, &mut out).unwrap();
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
}

/// A controller that ends a release otherwise, or breaks a promise, must not look like success.
#[test]
fn what_is_not_as_announced_shows_in_the_exit_status() {
    let tour = |change: &dyn Fn(&mut Story)| {
        let mut releases: Vec<Story> = tour::stops().iter().map(|stop| tell(stop, 1).unwrap()).collect();
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
