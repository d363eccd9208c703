use coalmine_core::analysis::{Count, Verdict, grouped};
use coalmine_core::rollout::{Fence, Held, PauseReason, Phase, PhaseName, RollBackEnd, Rollout, UndecidedWhy, Why};
use coalmine_core::sim::scenario::{Outcome, run};
use coalmine_core::sim::tour;
use coalmine_core::spec::{Ending, Mode};
use coalmine_core::units::Span;

use super::*;
use crate::model::Told;
use crate::words::verdict;

fn outcome(stop: usize) -> Outcome {
    run(&tour::stops()[stop].scenario, 1).unwrap()
}

fn simulated() -> Origin {
    Origin::Simulated { what: "Simulated.".to_owned(), again: "coalmine simulate --seed 1".to_owned() }
}

fn source<'a>(outcome: &'a Outcome, origin: &'a Origin) -> Source<'a> {
    let Outcome { rollout, minutes, stopped_at, .. } = outcome;
    Source { rollout, minutes, unread: &[], alarms: None, now: *stopped_at, origin }
}

/// What stands on the first screen, without its charts.
fn first_screen(told: &Told<'_>) -> String {
    let mut lines = vec![told.state.clone(), told.when.clone()];
    lines.extend(told.lead.clone());
    lines.extend(told.shares.iter().map(|(from, _, weight)| format!("{} {weight}", from.hour_minute())));
    for check in &told.checks {
        let (comparison, word) = (&check.comparison, verdict(&check.comparison).0);
        let of =
            |count: coalmine_core::analysis::Count| format!("{} of {}", grouped(count.events), grouped(count.requests));
        let ratio = comparison.ratio.map(|ratio| format!("{}, {}", words::times(ratio.estimate), words::bounds(ratio)));
        let (new, old) = (of(comparison.canary), of(comparison.baseline));
        lines.push(format!("{} | {new} | {old} | {} | {word}", comparison.check, ratio.unwrap_or_default()));
    }
    lines.push(told.alarms.clone());
    lines.extend(told.chance.iter().map(|(question, answer)| format!("{question} {answer}")));
    lines.join("\n") + "\n"
}

#[test]
fn the_first_screen_says_what_happened_and_why() {
    let origin = simulated();
    let told: Vec<String> = (0..5).map(|stop| first_screen(&Told::of(source(&outcome(stop), &origin)))).collect();
    let expected = include_str!("first_screens.txt");
    assert_eq!(told.join("---\n"), expected, "{}", told.join("---\n"));
}

fn parsed(html: &str) -> roxmltree::Document<'_> {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() };
    roxmltree::Document::parse_with_options(html, options).unwrap_or_else(|error| panic!("{error}"))
}

/// It parses, loads nothing, runs nothing, and whatever is drawn has a name and numbers.
fn is_a_page(html: &str) {
    let document = parsed(html);
    let of = |name: &'static str| document.descendants().filter(move |node| node.has_tag_name(name));
    for loads in ["script", "link", "img", "iframe", "object", "form", "base"] {
        assert_eq!(of(loads).count(), 0, "{loads}");
    }
    assert!(!html.contains("url(") && !html.contains("@import"));
    for node in document.descendants() {
        for attribute in node.attributes() {
            assert!(!attribute.name().starts_with("on") && attribute.name() != "style", "{attribute:?}");
            assert!(!["NaN", "inf"].iter().any(|wrong| attribute.value().contains(wrong)), "{node:?} {attribute:?}");
        }
    }
    for node in document.descendants().filter(|node| node.attribute("role") == Some("img")) {
        assert!(node.attribute("aria-label").is_some_and(|name| name.len() > 3), "{node:?}");
    }
    let tops = of("svg").filter(|svg| !svg.ancestors().skip(1).any(|above| above.has_tag_name("svg")));
    for svg in tops {
        assert!(svg.attribute("role") == Some("img") || svg.attribute("aria-hidden") == Some("true"), "{svg:?}");
    }
    for details in of("details") {
        assert!(details.first_element_child().is_some_and(|first| first.has_tag_name("summary")));
    }
    for link in of("a") {
        let address = link.attribute("href").unwrap();
        assert!(
            address.starts_with('#') || address.starts_with("https://eu-west-1.console.aws.amazon.com/"),
            "{address}"
        );
    }
    let headings: Vec<u32> =
        document.descendants().filter_map(|node| node.tag_name().name().strip_prefix('h')?.parse().ok()).collect();
    assert_eq!(headings.first(), Some(&1));
    assert!(headings.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{headings:?}");
}

/// However a release goes, and wherever it stands.
#[test]
fn every_release_has_a_page() {
    let origin = simulated();
    let outcomes: Vec<Outcome> = (0..5).map(outcome).collect();
    for outcome in &outcomes {
        is_a_page(&one(source(outcome, &origin)));
        // Before anything was counted.
        is_a_page(&one(Source { minutes: &[], ..source(outcome, &origin) }));
        is_a_page(&one(Source { minutes: &outcome.minutes[..1], ..source(outcome, &origin) }));
    }
    let all: Vec<(String, Source<'_>)> = outcomes
        .iter()
        .enumerate()
        .map(|(number, outcome)| (format!("release {number}"), source(outcome, &origin)))
        .collect();
    let html = many("Five releases", "About them.", &all);
    is_a_page(&html);
    let document = parsed(&html);
    let ids: Vec<&str> = document.descendants().filter_map(|node| node.attribute("id")).collect();
    for link in document.descendants().filter_map(|node| node.attribute("href")) {
        assert!(ids.contains(&link.trim_start_matches('#')), "{link}");
    }
    let deployed = Origin::Deployed { region: Some("eu-west-1".to_owned()) };
    for stop in [1, 4] {
        is_a_page(&one(source(&outcomes[stop], &deployed)));
    }
}

#[test]
fn every_phase_has_its_words() {
    let Outcome { rollout, minutes, stopped_at, .. } = outcome(1);
    let at = rollout.started_at + Span::from_minutes(3);
    let until = at + Span::from_hours(12);
    let held = Held::Step { step: 0, from: coalmine_core::units::Weight::ZERO };
    let paused = |why| Phase::Paused { held, since: at, until, then: Ending::RollBack, why };
    let by = || "mara".to_owned();
    let phases = [
        (Phase::Pending { since: at, behind: None, ready: false }, "NOT STARTED YET"),
        (Phase::Shifting { step: 0, from: coalmine_core::units::Weight::ZERO, since: at }, "RUNNING AT"),
        (Phase::Baking { step: 0, since: at, proof: None, approved: false }, "RUNNING AT"),
        (paused(PauseReason::Asked { by: by(), reason: String::new() }), "coalmine resume checkout-43"),
        (paused(PauseReason::Approval), "coalmine approve checkout-43"),
        (paused(PauseReason::Undecided(UndecidedWhy::TooLittleTraffic)), "coalmine promote checkout-43"),
        (
            Phase::Promoting { from: coalmine_core::units::Weight::ZERO, since: at, live_since: Some(at) },
            "WATCHED AT 100 %",
        ),
        (
            Phase::RollingBack {
                since: at,
                why: Why::AbortedBy { by: by(), reason: "wrong totals".to_owned() },
                fence: Fence::Open,
                ends_as: RollBackEnd::RolledBack,
            },
            "Aborted by mara: wrong totals.",
        ),
        (Phase::Superseded { at, why: Why::NewerRollout { rollout: "checkout-44".to_owned() } }, "checkout-44"),
    ];
    for (phase, expected) in phases {
        let rollout = Rollout { phase, ..(*rollout).clone() };
        let origin = Origin::Deployed { region: None };
        let html = one(Source {
            rollout: &rollout,
            minutes: &minutes,
            unread: &[],
            alarms: None,
            now: stopped_at,
            origin: &origin,
        });
        is_a_page(&html);
        assert!(html.contains(expected), "no `{expected}` for {:?}", rollout.phase);
    }
}

/// The controller's verdict is the page's.
#[test]
fn nothing_is_said_to_be_fine_that_was_not_proven() {
    let origin = simulated();
    let [good, bad] = [outcome(0), outcome(1)];
    let words = |outcome: &Outcome| -> Vec<&'static str> {
        Told::of(source(outcome, &origin)).checks.iter().map(|check| verdict(&check.comparison).0).collect()
    };
    assert_eq!(words(&good), ["proven fine", "proven fine"]);
    assert_eq!(words(&bad)[0], "proven worse");
    let early = Source { minutes: &good.minutes[..2], ..source(&good, &origin) };
    let now = good.minutes[2].minute.start();
    let rollout = Rollout {
        now,
        phase: Phase::Baking { step: 0, since: good.rollout.weights[0].at, proof: None, approved: false },
        ..(*good.rollout).clone()
    };
    let told = Told::of(Source { rollout: &rollout, now, ..early });
    assert!(told.checks.iter().all(|check| verdict(&check.comparison).0 != "proven fine"));
}

#[test]
fn a_promotion_without_a_proof_claims_none() {
    let (origin, good) = (simulated(), outcome(0));
    let whys = [
        (Why::NoHarm { sentences: Vec::new() }, "was not proven worse"),
        (Why::PromotedBy { by: "mara".to_owned(), reason: String::new() }, "without waiting for a proof"),
    ];
    for (why, expected) in whys {
        let mut rollout = (*good.rollout).clone();
        let promoting = rollout.history.iter_mut().find(|event| event.entered == Some(PhaseName::Promoting));
        promoting.unwrap().why = why;
        let told = Told::of(Source { rollout: &rollout, ..source(&good, &origin) });
        assert!(told.lead[0].contains(expected), "{:?}", told.lead);
        assert_eq!(told.chance, None);
    }
}

#[test]
fn what_would_have_been_rolled_back_is_said_first() {
    let (origin, good) = (simulated(), outcome(0));
    let mut rollout = (*good.rollout).clone();
    rollout.spec.mode = Mode::Observe;
    let mut event = rollout.history[0].clone();
    event.entered = None;
    event.why = Why::WouldHave { verdict: Verdict::Fail, what: "rolled back: proven worse".to_owned() };
    rollout.history.push(event);
    let told = Told::of(Source { rollout: &rollout, ..source(&good, &origin) });
    assert_eq!(told.lead[0], "Coalmine would have rolled it back: proven worse.");
    assert_eq!((told.state.as_str(), told.tone.class()), ("PROMOTED", "warn"));
}

/// A version that fails once nothing is left to compare with.
#[test]
fn what_fails_at_100_percent_is_said_before_anything_else() {
    let (origin, good) = (simulated(), outcome(0));
    let fine = Told::of(source(&good, &origin));
    assert!(fine.worse_at_full().is_none() && !fine.lead.concat().contains("no comparison"), "{:?}", fine.lead);
    assert!(one(source(&good, &origin)).contains("A look at before and after, and no comparison."));
    let mut minutes = good.minutes.clone();
    for sample in minutes.iter_mut().filter(|sample| sample.weight == coalmine_core::units::Weight::FULL) {
        if let Some(count) = sample.pairs[0].counts().1 {
            sample.pairs[0].canary = Count::new(count.requests, (0.05 * count.requests).round()).map(Into::into);
        }
    }
    let bad = Source { minutes: &minutes, ..source(&good, &origin) };
    let told = Told::of(bad);
    assert_eq!((told.state.as_str(), told.tone.class()), ("PROMOTED, LOOKS WORSE AT 100 %", "warn"));
    assert!(told.lead[0].starts_with("At 100 % 5 % of the requests to v42 failed"), "{:?}", told.lead);
    assert!(told.lead[0].contains("against 0.4") && told.lead[0].contains("no comparison"), "{:?}", told.lead);
    assert!(told.lead.iter().any(|said| said.contains("aws lambda update-alias")), "{:?}", told.lead);
    is_a_page(&one(bad));
}

#[test]
fn the_way_out_stands_on_a_page_of_an_account_and_needs_no_coalmine() {
    let deployed = Origin::Deployed { region: None };
    let (promoted, back) = (outcome(0), outcome(1));
    let html = one(source(&promoted, &deployed));
    assert!(html.contains("All traffic back to v41, without Coalmine: <code>aws lambda update-alias "), "no line");
    assert!(!one(source(&back, &deployed)).contains("without Coalmine"), "there is nothing to put back");
}

#[test]
fn the_labels_of_a_release_are_on_the_first_screen() {
    let (origin, good) = (simulated(), outcome(0));
    let mut rollout = (*good.rollout).clone();
    assert!(!one(source(&good, &origin)).contains("started by simulate</p>"));
    rollout.spec.release.commit = "3f9c2ab".to_owned();
    rollout.spec.release.ticket = "CHG-8812".to_owned();
    let html = one(Source { rollout: &rollout, ..source(&good, &origin) });
    let first = html.split("class=\"lead\"").next().unwrap();
    assert!(first.contains("<p class=\"of\">git 3f9c2ab | CHG-8812 | started by simulate</p>"), "{first}");
}

/// What is seen may be less than tolerated and proven worse all the same.
#[test]
fn a_rollback_inside_the_tolerance_is_explained() {
    let (origin, bad) = (simulated(), outcome(1));
    let words = "A rollback needs proof that it is worse at all; the tolerance is what a promotion must prove";
    assert!(!one(source(&bad, &origin)).contains(words), "8 times as often is beyond it");
    let mut rollout = (*bad.rollout).clone();
    for tolerance in &mut rollout.plan.checks[0].tolerances {
        tolerance.points = 0.2;
    }
    assert!(one(Source { rollout: &rollout, ..source(&bad, &origin) }).contains(words));
}

/// What is safest comes first where it looks worse by now.
#[test]
fn a_pause_that_looks_worse_by_now_says_so_and_names_abort_first() {
    let (origin, bad) = (simulated(), outcome(1));
    let at = bad.rollout.started_at + Span::from_minutes(3);
    let held = Held::Step { step: 0, from: coalmine_core::units::Weight::ZERO };
    let why = PauseReason::Undecided(UndecidedWhy::TooLittleTraffic);
    let phase = Phase::Paused { held, since: at, until: at + Span::from_hours(12), then: Ending::RollBack, why };
    let rollout = Rollout { phase, ..(*bad.rollout).clone() };
    let told = Told::of(Source { rollout: &rollout, ..source(&bad, &origin) });
    let said = told.lead.concat();
    assert!(said.contains("`coalmine abort checkout-43`, or `coalmine promote checkout-43`"), "{said}");
    assert!(said.contains("By now errors is proven worse: 8 times as often."), "{said}");
}

/// A rollout of four days is a page that a phone opens.
#[test]
fn a_long_rollout_stays_a_page() {
    let Outcome { rollout, minutes, .. } = outcome(0);
    let both: Vec<_> =
        minutes.iter().filter(|sample| sample.pairs.iter().all(|pair| pair.baseline.is_some())).collect();
    let long: Vec<_> = (0..4 * 24 * 60)
        .map(|number| {
            let mut sample = both[number % both.len()].clone();
            sample.minute = minutes[0].minute.plus(i64::try_from(number).unwrap());
            sample.weight = rollout.spec.steps[0].weight;
            sample
        })
        .collect();
    let now = long.last().unwrap().minute.start();
    let origin = simulated();
    let html = one(Source { rollout: &rollout, minutes: &long, unread: &[], alarms: None, now, origin: &origin });
    is_a_page(&html);
    assert!(html.len() < 400_000, "{} bytes", html.len());
    assert!(html.contains("32 minutes a row, added up"));
}
