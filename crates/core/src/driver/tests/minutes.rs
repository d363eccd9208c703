//! What people are shown is what was judged.

use crate::analysis::{Verdict, judge, plan};
use crate::command::{Answer, MinutesAnswer, Request};
use crate::driver::{command, ended, judged};
use crate::engine::CLOSED_AFTER;
use crate::observation::AlarmState;
use crate::ports::{FaultKind, RolloutStore};
use crate::rollout::{Phase, PhaseName, Rollout, WeightSeen, Why};
use crate::sim::budget::SimBudget;
use crate::sim::executor::run_now;
use crate::sim::faults::{Faulty, Operation, Way, When};
use crate::sim::samples::{On, on_both, start};
use crate::sim::scenario::Outcome;
use crate::sim::world::World;
use crate::spec;
use crate::units::{Minute, Weight};

use super::isolation::settings;
use super::{alarmed, bad, clean_run, good, minutes};

on_both!(
    whoever_has_the_minutes_of_a_rollout_comes_to_its_verdict,
    the_minutes_go_from_the_first_weight_to_the_end_without_a_gap,
    what_cannot_be_read_is_said_and_nothing_is_written,
    all_of_what_has_ended_is_what_comes_page_by_page,
);

fn whoever_has_the_minutes_of_a_rollout_comes_to_its_verdict(on: On) {
    let releases = [
        (good(), PhaseName::Promoted, Verdict::Pass),
        (bad(), PhaseName::RolledBack, Verdict::Fail),
        (alarmed(), PhaseName::RolledBack, Verdict::Inconclusive),
    ];
    for (scenario, phase, verdict) in releases {
        let Outcome { rollout, minutes, stopped_at, .. } = clean_run(&on.of(scenario), 3);
        assert_eq!(rollout.phase.name(), phase, "{:#?}", rollout.history);
        let judged = judge(&rollout.plan, &judged(&rollout, &minutes, &[], stopped_at)).verdict;
        assert_eq!(judged, verdict, "{:#?}", rollout.history);
    }
}

fn the_minutes_go_from_the_first_weight_to_the_end_without_a_gap(on: On) {
    let Outcome { rollout, minutes, stopped_at, .. } = clean_run(&on.of(good()), 4);
    let closed = (stopped_at - CLOSED_AFTER).minute();
    assert!(closed < rollout.ended_at().unwrap().minute(), "the run stops with the rollout");
    let expected: Vec<Minute> =
        (rollout.first_minute().unwrap().index()..closed.index()).map(Minute::from_index).collect();
    assert_eq!(minutes.iter().map(|sample| sample.minute).collect::<Vec<_>>(), expected);
    let alone = minutes.iter().filter(|sample| sample.weight == Weight::FULL);
    let told = alone.filter(|sample| sample.pairs.iter().any(|pair| pair.canary.is_some())).count();
    assert!(told >= 2, "of the watch at 100 % {told} minutes are there");
}

fn all_of_what_has_ended_is_what_comes_page_by_page(on: On) {
    let (world, rollout) = stored(on, Phase::RolledBack { at: start() + minutes(8), why: Why::SwitchFired });
    let now = start() + minutes(10);
    let ask = |id: &str, when: When| {
        let ports = Faulty::once(&world, when, Way::Fails(FaultKind::Throttled));
        run_now(ended(&ports, id, now, &SimBudget::plenty(), &settings())).unwrap()
    };
    let never = When::Nth(Operation::Fetch, usize::MAX);
    let all = ask("checkout-42", never).unwrap().unwrap();
    assert!(all.minutes.len() >= 7 && all.unread.is_empty(), "{all:?}");
    let request = Request::Minutes { rollout: "checkout-42".to_owned(), from: None };
    let answer = run_now(command(&world, request, now, &SimBudget::plenty(), &settings())).unwrap().unwrap();
    assert_eq!(Answer::Minutes(Box::new(all)), answer);
    assert_eq!(ask("checkout-43", never).unwrap(), None);
    // Somebody asks again, which would not help if there were none of this name.
    let fault = ask("checkout-42", When::Every(Operation::Load)).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Throttled);
    assert_eq!(*world.rollouts()["checkout-42"], rollout);
    let (world, _) = stored(on, baking());
    assert_eq!(run_now(ended(&world, "checkout-42", now, &SimBudget::plenty(), &settings())).unwrap().unwrap(), None);
}

fn baking() -> Phase {
    Phase::Baking { step: 0, since: start(), proof: None, approved: false }
}

/// With five percent from the start on.
fn stored(on: On, phase: Phase) -> (World, Rollout) {
    let (world, mut rollout) = (on.world(), on.rollout());
    let checks = "{coalmine: v1, target: {lambda: {function: checkout, alias: live}}, checks: [errors: {}]}";
    rollout.spec.checks = spec::parse(checks).unwrap().spec.checks;
    rollout.plan = plan(&rollout.spec);
    rollout.phase = phase;
    rollout.weights = vec![WeightSeen { at: start(), weight: Weight::from_basis_points(500).unwrap() }];
    run_now(world.create(&rollout)).unwrap().unwrap();
    (world, rollout)
}

fn what_cannot_be_read_is_said_and_nothing_is_written(on: On) {
    let (world, rollout) = stored(on, baking());
    let now = start() + minutes(10);
    let ask = |from: Option<Minute>, unreadable: bool| {
        let when = if unreadable { When::Every(Operation::Fetch) } else { When::Nth(Operation::Fetch, usize::MAX) };
        let ports = Faulty::once(&world, when, Way::Fails(FaultKind::Denied));
        let request = Request::Minutes { rollout: "checkout-42".to_owned(), from };
        match run_now(command(&ports, request, now, &SimBudget::plenty(), &settings())).unwrap().unwrap() {
            Answer::Minutes(answer) => *answer,
            other @ (Answer::Rollout(_) | Answer::Nothing { .. } | Answer::List(_) | Answer::Deployments { .. }) => {
                panic!("{other:?}")
            }
        }
    };
    let MinutesAnswer { minutes: all, unread, alarms, next, .. } = ask(None, false);
    assert_eq!((all.len(), unread.len(), next), (9, 0, None));
    assert_eq!(alarms.unwrap()["checkout-5xx"], AlarmState::Ok);
    let blind = ask(None, true);
    assert!(blind.unread[0].contains("was denied"), "{:?}", blind.unread);
    assert!(blind.minutes.iter().all(|sample| sample.pairs.iter().all(|pair| pair.canary.is_none())));
    assert_eq!(ask(Some(all[7].minute), false).minutes, all[7..]);
    assert_eq!(*world.rollouts()["checkout-42"], rollout);
}
