use coalmine_core::units::Timestamp;

use super::asked::{ended_last, is_nothing, refused, running, sentences};
use super::*;

/// A rollout as the table has it, in this phase.
fn rollout(phase: &Value) -> Rollout {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/rollout/golden.json");
    let mut stored: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    if !phase.is_null() {
        stored["phase"] = phase.clone();
    }
    serde_json::from_value(stored).unwrap()
}

const AT: &str = "2026-11-21T14:11:00Z";

#[test]
fn the_first_line_says_where_it_stands_and_a_script_sees_it_in_the_exit_status() {
    let why = json!({ "kind": "abortedBy", "by": "mara", "reason": "" });
    let paused = |why: Value| json!({ "name": "paused", "held": { "step": { "step": 0, "from": "0%" } }, "since": AT, "until": AT, "then": "rollBack", "why": why });
    for (phase, first, exit) in [
        (Value::Null, "BAKING  checkout:live  v41 -> v42 at 5 %  (checkout-42)", None),
        (
            json!({ "name": "promoting", "from": "50%", "since": AT, "liveSince": AT }),
            "WATCHED  checkout:live  v41 -> v42 at 5 %  (checkout-42)",
            None,
        ),
        (
            json!({ "name": "promoted", "at": AT }),
            "PROMOTED  checkout:live  v41 -> v42  (checkout-42)",
            Some(Exit::Fine),
        ),
        (
            json!({ "name": "rolledBack", "at": AT, "why": why }),
            "ROLLED BACK  checkout:live  v41 -> v42  (checkout-42)",
            Some(Exit::Failed),
        ),
        (
            paused(json!({ "undecided": "tooLittleTraffic" })),
            "NEEDS YOU  checkout:live  v41 -> v42 at 5 %  (checkout-42)",
            Some(Exit::Undecided),
        ),
        (
            paused(json!({ "asked": { "by": "mara", "reason": "" } })),
            "PAUSED  checkout:live  v41 -> v42 at 5 %  (checkout-42)",
            None,
        ),
    ] {
        let rollout = rollout(&phase);
        let said = words::status(&rollout, "because");
        assert_eq!(said.lines().next(), Some(first));
        assert_eq!(ended(&rollout), exit, "{first}");
        // Whoever looks once hears the same of an end.
        let once = exit_of(rollout.phase.name(), report::needs_you(&rollout));
        assert_eq!(exit.unwrap_or(Exit::Fine), once, "{first}");
        let decides = said.contains(&format!("Decide by {AT}, else it rolls back:"));
        assert_eq!(decides, phase["name"] == "paused", "{said}");
    }
}

#[test]
fn where_the_report_is_stands_below_where_there_is_one() {
    let ended = rollout(&json!({ "name": "promoted", "at": AT }));
    let report = "https://releases-eu.s3.eu-west-1.amazonaws.com/coalmine/checkout-42.html";
    let said = stands(&ended, &json!({ "message": "because", "report": report }));
    assert!(said.contains("\n  because\n") && said.ends_with(&format!("\n  report: {report}")), "{said}");
    assert!(!stands(&ended, &json!({ "message": "because" })).contains("report:"));
    let evil = stands(&ended, &json!({ "message": "because", "report": "https://a\u{1b}[2J\n" }));
    assert!(!evil.contains('\u{1b}') && evil.lines().count() == said.lines().count(), "{evil:?}");
}

/// It is for when nothing of Coalmine answers any more.
#[test]
fn the_way_out_and_the_labels_stand_below() {
    let mut baking = rollout(&Value::Null);
    baking.spec.release.commit = "3f9c2ab".to_owned();
    baking.spec.release.owner = "shop".to_owned();
    baking.spec.release.ticket = "CHG-8812\u{1b}[2J".to_owned();
    let said = stands(&baking, &json!({ "message": "because" }));
    let by_hand = "\n  by hand: aws lambda update-alias --function-name checkout --name live --function-version 41 \
                   --routing-config AdditionalVersionWeights={}";
    assert!(said.ends_with(by_hand), "{said}");
    assert!(said.contains("\n  release: git 3f9c2ab, shop, CHG-8812\\u{1b}[2J\n"), "{said}");
    let back = rollout(&json!({ "name": "rolledBack", "at": AT, "why": { "kind": "switchFired" } }));
    assert!(!stands(&back, &json!({ "message": "because" })).contains("by hand"), "there is nothing to put back");
}

#[test]
fn a_rollout_with_its_minutes_is_told_once_in_the_words_of_the_screen() {
    let counted = crate::report::counted_of_the_tour(1);
    let read: Rollout = serde_json::from_value(counted["rollout"].clone()).unwrap();
    let minutes = crate::watch::Minutes {
        minutes: serde_json::from_value(counted["minutes"].clone()).unwrap(),
        ..crate::watch::Minutes::default()
    };
    let view = crate::watch::View::of(&read, &minutes, read.now);
    let said = words::seen(&view);
    let first: Vec<&str> = said.split("\n  ").collect();
    assert!(said.starts_with("ROLLED BACK ") && said.contains("PROVEN WORSE"), "{said}");
    assert!(first.concat().contains("checkout:live"), "{said}");
    assert_eq!(said.matches("ROLLED BACK").count(), 1, "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 100), "{said}");
    // Whoever has to decide gets the words for it.
    let paused = json!({ "name": "paused", "held": { "step": { "step": 0, "from": "0%" } }, "since": AT, "until": AT,
        "then": "rollBack", "why": { "undecided": "tooLittleTraffic" } });
    let view = crate::watch::View::of(&rollout(&paused), &crate::watch::Minutes::default(), AT.parse().unwrap());
    let said = words::seen(&view);
    assert!(said.starts_with("NEEDS YOU: PAUSED AT 5 %") && said.contains("coalmine promote checkout-42"), "{said}");
    assert_eq!(said.matches("Decide by").count(), 1, "{said}");
}

#[test]
fn whoever_looks_once_hears_of_what_needs_somebody_and_of_what_goes_back() {
    for (phase, needs_you, exit) in [
        (PhaseName::Baking, false, Exit::Fine),
        (PhaseName::Paused, false, Exit::Fine),
        (PhaseName::Paused, true, Exit::Undecided),
        (PhaseName::RollingBack, false, Exit::Failed),
        (PhaseName::RollingBack, true, Exit::Undecided),
        (PhaseName::RolledBack, true, Exit::Failed),
        (PhaseName::Promoted, false, Exit::Fine),
    ] {
        assert_eq!(exit_of(phase, needs_you), exit, "{phase:?} {needs_you}");
    }
}

/// A pipeline asks again after one, and not after the other.
#[test]
fn a_service_that_failed_is_told_from_a_request_that_is_wrong() {
    let said = |fault: Value| json!({ "path": "target", "message": "GetAlias did not work", "fault": fault });
    let plain = json!({ "path": "version", "message": "v77 does not exist" });
    for (errors, is_wrong) in [
        (json!([said(json!("throttled"))]), false),
        (json!([said(json!("denied"))]), false),
        // What AWS refuses as wrong stays wrong.
        (json!([said(json!("rejected"))]), true),
        (json!([said(json!("failed")), plain]), true),
        (json!([plain]), true),
        (json!([{ "path": "", "message": "another start came first" }]), false),
        // Of a stack that is older, and of one that is newer than this.
        (json!([{ "path": "target", "message": "GetAlias failed" }]), true),
        (json!([said(json!("other"))]), true),
    ] {
        let answer = json!({ "errors": errors });
        match (refused(&answer), is_wrong) {
            (Some(Refused::Problems(_)), true) | (Some(Refused::Fault(_)), false) => {}
            (other, _) => panic!("{answer}: {other:?}"),
        }
    }
    assert!(refused(&json!({ "errors": [] })).is_none() && refused(&json!({ "id": "it" })).is_none());
}

/// Two rollouts that run, one that needs somebody, one that goes back, three that have ended, of which one has something left
/// to tell, and one that nobody can read.
fn listed() -> Value {
    let one = |id: &str, phase: &str, more: Value| {
        let mut rollout = json!({
            "id": id, "target": format!("{id}:live"), "phase": phase, "baseline": "41", "canary": "42", "weight": "5%",
            "startedAt": "2026-11-21T14:00:00Z", "startedBy": "ci", "since": "2026-11-21T14:05:00Z", "needsYou": false,
            "follows": false, "writtenAt": "2026-11-21T14:09:30Z", "message": format!("rollout {id} is {phase}"),
        });
        for (field, value) in more.as_object().unwrap() {
            rollout[field] = value.clone();
        }
        rollout
    };
    json!({ "rollouts": [
        one("cart", "baking", json!({ "weight": "25%", "startedAt": "2026-11-21T14:03:00Z" })),
        { "id": "old", "message": "rollout old cannot be read: written by a newer version" },
        one("search", "paused", json!({ "needsYou": true, "message": "rollout search is paused until noon \u{1b}[2J" })),
        one("zoo", "rollingBack", json!({ "writtenAt": "2026-11-21T14:10:40Z" })),
        one("thumbs", "baking", json!({ "follows": true, "since": "2026-11-20T14:05:00Z" })),
        one("done", "promoted", json!({ "active": true, "release": { "commit": "3f9c2ab", "owner": "shop", "ticket": "" } })),
        one("fine", "promoted", json!({ "active": false })),
        one("back", "rolledBack", json!({
            "active": false, "startedBy": "ada", "message": "rollout back was rolled back at 2026-11-21T14:05:00Z: it failed",
        })),
    ], "endedSince": "2026-11-20T14:11:00Z" })
}

#[derive(clap::Parser)]
struct Selecting {
    #[command(flatten)]
    selection: list::Selection,
}

fn listing(arguments: &[&str]) -> (Vec<String>, String, Exit) {
    let parsed = <Selecting as clap::Parser>::parse_from([&["list"], arguments].concat());
    let (entries, rollouts): (Vec<list::Entry>, Vec<Value>) =
        list::select(&listed(), &parsed.selection).into_iter().unzip();
    assert!(entries.iter().zip(&rollouts).all(|(entry, rollout)| rollout["id"] == entry.id.as_str()));
    let ids = entries.iter().filter(|entry| entry.listed).map(|entry| entry.id.clone()).collect();
    let now = AT.parse().unwrap();
    let since = Some(parsed.selection.ended_since(now));
    (ids, list::table(&entries, since, now), list::exit(&entries, now))
}

#[test]
fn the_list_begins_with_what_needs_somebody() {
    let (_, table, exit) = listing(&[]);
    assert_eq!(exit, Exit::Failed);
    assert_eq!(
        table,
        "NEEDS YOU 2 | ROLLING BACK 1 | PAUSED 0 | RUNNING 2 | LAST 24h: ROLLED BACK 1, PROMOTED 2\n\
         controller wrote 14:10:40 (20s ago)\n\n  \
         STATE         TARGET       RELEASE      SHARE   FOR  NAME, AND WHY\n\
         ! needs you     search:live  v41 -> v42     5 %    6m  search: is paused until noon \\u{1b}[2J  ci\n\
         ! unreadable                                           old: cannot be read: written by a newer ver..\n\
         x rolling back  zoo:live     v41 -> v42     5 %    6m  zoo: is rollingBack  ci\n\
         x rolled back   back:live    v41 -> v42     5 %    6m  back: it failed  ada\n\
         > holding       cart:live    v41 -> v42    25 %    6m  cart: is baking  ci\n\
         ~ observing     thumbs:live  v41 -> v42     5 %   24h  thumbs: is baking  ci\n\
         . promoted      done:live    v41 -> v42     5 %    6m  done (git 3f9c2ab, shop): is promoted (..  ci\n  \
         not listed: 1 more that ended in the last 24h (coalmine list --since 24h)"
    );
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
}

#[test]
fn a_list_is_filtered_and_sorted_and_its_exit_status_is_that_of_what_is_left() {
    for (arguments, ids, exit) in [
        (&["--state", "holding", "--state", "observing"][..], &["cart", "thumbs"][..], Exit::Fine),
        (&["--state", "needs-you"], &["search"], Exit::Undecided),
        (&["--target", "zoo:"], &["zoo"], Exit::Failed),
        (&["--target", "nothing"], &[], Exit::Fine),
        (&["--sort", "started", "--target", "a"], &["cart", "back", "search"], Exit::Undecided),
        (&["--sort", "share", "--state", "holding", "--state", "ended"], &["cart", "back", "done", "fine"], Exit::Fine),
        (&["--sort", "target"], &["old", "back", "cart", "done", "search", "thumbs", "zoo"], Exit::Failed),
        (&["--since", "24h", "--target", "fine"], &["fine"], Exit::Fine),
        (&["--state", "promoted"], &["done", "fine"], Exit::Fine),
        (&["--state", "rolled-back", "--since", "7d"], &["back"], Exit::Fine),
        (&["--owner", "ada"], &["back"], Exit::Fine),
        (&["--owner", "shop"], &["done"], Exit::Fine),
    ] {
        let (listed, _, status) = listing(arguments);
        assert_eq!(
            (listed.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), status),
            (ids, exit),
            "{arguments:?}"
        );
    }
}

#[test]
fn the_first_line_is_of_all_whichever_are_looked_for() {
    let (_, all, _) = listing(&[]);
    let head = |table: &str| table.lines().take(2).map(str::to_owned).collect::<Vec<_>>();
    for arguments in [&["--state", "rolled-back"][..], &["--owner", "ada"], &["--target", "nothing"]] {
        let (ids, table, _) = listing(arguments);
        assert_eq!(head(&table), head(&all), "{arguments:?}");
        assert_eq!(table.lines().last() == Some("no rollout is like that"), ids.is_empty(), "{table}");
    }
    // For programs it is what is looked for that has ended.
    let selection = <Selecting as clap::Parser>::parse_from(["list", "--owner", "ada"]).selection;
    let found: Vec<list::Entry> = list::select(&listed(), &selection).into_iter().map(|(one, _)| one).collect();
    let ended = list::ended(&found, AT.parse().unwrap());
    assert_eq!((&ended["rolledBack"], &ended["promoted"]), (&json!(1), &json!(0)));
}

#[test]
fn a_controller_that_writes_no_more_is_missed() {
    let entries: Vec<list::Entry> =
        list::select(&listed(), &list::Selection::default()).into_iter().map(|(one, _)| one).collect();
    let later: Timestamp = "2026-11-21T14:40:40Z".parse().unwrap();
    let late = list::table(&entries, None, later);
    assert!(late.lines().next().unwrap().ends_with("   NO CONTROLLER SINCE 14:10:40 (30m ago)"), "{late}");
    // A script hears of it, whatever it has looked for.
    let fine: Value = json!({ "rollouts": [listed()["rollouts"][0]] });
    let only = |selection: &list::Selection| -> Vec<list::Entry> {
        list::select(&fine, selection).into_iter().map(|(one, _)| one).collect()
    };
    let all = only(&list::Selection::default());
    assert_eq!((list::exit(&all, AT.parse().unwrap()), list::exit(&all, later)), (Exit::Fine, Exit::Undecided));
    let none = only(&<Selecting as clap::Parser>::parse_from(["list", "--target", "nothing"]).selection);
    assert_eq!(list::exit(&none, later), Exit::Undecided);
    // Of what only waits nothing is written, and nothing follows from that.
    let waiting: Vec<list::Entry> = entries.into_iter().filter(|entry| entry.id == "search").collect();
    let said = list::table(&waiting, None, "2026-11-22T14:40:40Z".parse().unwrap());
    assert_eq!(said.lines().next(), Some("NEEDS YOU 1 | ROLLING BACK 0 | PAUSED 0 | RUNNING 0"));
}

#[test]
fn every_event_of_a_history_is_a_line() {
    let rollout = rollout(&Value::Null);
    let said = words::history(&rollout);
    assert_eq!(said.lines().count(), rollout.history.len() + usize::from(said.starts_with('(')));
    for event in &rollout.history {
        assert!(said.contains(&event.at.to_string()), "{said}");
    }
}

#[test]
fn a_running_rollout_is_found_by_its_target_or_its_function() {
    let one = |id: &str, target: &str| json!({ "id": id, "target": target });
    let listed = json!({ "rollouts": [
        one("checkout-42", "checkout:live"), one("cart-7", "cart:live"), one("cart-8", "cart:beta"),
        one("web", "alb/blue+green"),
    ]});
    for (name, found) in [
        ("checkout", Some("checkout-42")),
        ("cart:beta", Some("cart-8")),
        ("alb/blue+green", Some("web")),
        ("check", None),
    ] {
        assert_eq!(running(&listed, name).unwrap().as_deref(), found);
    }
    let Err(several @ Refused::Problems(_)) = running(&listed, "cart") else { panic!("one of two was taken") };
    assert_eq!(several.said(), "cart has several rollouts: cart-7, cart-8; name one of them");
}

#[test]
fn where_no_stack_is_found_it_is_said_what_to_do() {
    #[derive(clap::Parser)]
    struct Parsed {
        #[command(flatten)]
        at: Where,
    }
    let at = |arguments: &[&str]| <Parsed as clap::Parser>::parse_from([&["coalmine"], arguments].concat()).at;
    let found = |meant: &[&str], others: &[&str]| {
        let [meant, others] = [meant, others].map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        coalmine_aws::FoundFunctions { meant, others }
    };
    let (named, tagged) = (at(&["--stack", "canary"]), at(&["--tag", "team=shop=1"]));
    let said = |found, at| asked::one_of(&found, at, "Command", Some("eu-west-1"));
    assert_eq!(said(found(&["a"], &["b"]), &named).as_deref(), Ok("a"));
    for (found, at, says) in [
        (found(&["a", "b"], &[]), &named, "several functions may be meant: a, b; name one with --function"),
        (
            found(&[], &[]),
            &named,
            "no function canary-Command-... is in this account and region (eu-west-1), and nothing else that looks like \
             Coalmine: see that AWS_PROFILE and AWS_REGION are those of the stack, or deploy it (docs/install.md); without a \
             stack there is `coalmine run`",
        ),
        (
            found(&[], &["shop-Command-1\u{7}"]),
            &tagged,
            "no function Command of a Coalmine with the tag team=shop=1 is in this account and region (eu-west-1). What looks \
             like it: shop-Command-1\\u{7}; name its stack with --stack, a tag of it with --tag, or the function itself with \
             --function",
        ),
    ] {
        assert_eq!(said(found, at), Err(says.to_owned()));
    }
}

#[test]
fn what_was_last_on_a_target_is_found_by_it_too() {
    let one = |id: &str, target: &str, since: &str| json!({ "id": id, "target": target, "since": since });
    let listed = json!({ "rollouts": [
        one("cart-7", "cart:live", "2026-11-20T14:00:00Z"), one("cart-8", "cart:live", "2026-11-21T09:00:00Z"),
        one("cart-b", "cart:beta", "2026-11-19T09:00:00Z"),
    ]});
    for (name, found) in [("cart", Some("cart-8")), ("cart:beta", Some("cart-b")), ("car", None)] {
        assert_eq!(ended_last(&listed, name).as_deref(), found);
    }
    let Value::Object(ended) = list::ended(&[], AT.parse().unwrap()) else { panic!("no object") };
    assert_eq!(ended.keys().collect::<Vec<_>>(), ["promoted", "rolledBack", "since", "superseded"]);
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_without_control_characters() {
    let answer = json!({ "errors": [
        { "path": "checks[0].errors", "message": "too \u{1b}[31mred" }, { "path": "", "message": "no table" },
    ]});
    assert_eq!(sentences(&answer, "errors"), ["checks[0].errors: too \\u{1b}[31mred", "no table"]);
    assert!(sentences(&json!({ "message": "fine" }), "errors").is_empty());
}

#[test]
fn undo_prints_what_a_shell_runs() {
    let input = json!({ "FunctionName": "it's" });
    let calls = [coalmine_aws::CliCall { service: "lambda", command: "update-alias", input }];
    let said = words::undo(&rollout(&Value::Null), &calls);
    assert_eq!(
        said,
        "# all traffic of checkout:live back to v41, without Coalmine\n\
         aws lambda update-alias --cli-input-json '{\"FunctionName\":\"it'\\''s\"}'"
    );
}

/// Whoever waits for a promotion must not take an answer of another kind for one.
#[test]
fn nothing_to_roll_out_is_what_says_so_and_no_answer_that_cannot_be_read() {
    assert!(is_nothing(&json!({ "message": "v1 is live already" })));
    for other in [json!({}), json!(null), json!({ "message": "so", "id": "a", "phase": { "name": "new" } })] {
        assert!(!is_nothing(&other), "{other}");
    }
}
