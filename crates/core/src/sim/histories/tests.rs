use super::*;

#[test]
fn a_history_is_written_as_it_is_read() {
    for seed in 0..200 {
        let history = at_random(seed, 40);
        assert_eq!(history.to_string().parse::<History>().unwrap(), history);
    }
    for wrong in ["x tick", "3", "3 tock", "3 tick killedAfter", "3 tick oops@1", "3 tick killedAfter@x", "3 tick a@1 b"] {
        assert!(wrong.parse::<History>().is_err(), "{wrong}");
    }
}

#[test]
fn every_undisturbed_release_is_promoted() {
    for release in RELEASES {
        let scenario = release.scenario();
        let mut stage = Stage::new(&scenario).unwrap();
        stage.settle().unwrap();
        assert_eq!(stage.violations, [], "{}", release.name);
        let rollout = stage.rollout().unwrap();
        eprintln!("{}: {} minutes {:?}", release.name, stage.minute(), rollout.history.iter().map(|e| (&e.why, e.weight)).collect::<Vec<_>>());
        assert_eq!(rollout.phase.name(), crate::rollout::PhaseName::Promoted, "{}: {:#?}", release.name, rollout.history);
    }
}

#[test]
fn one_disturbance_anywhere() {
    for release in RELEASES {
        let scenario = release.scenario();
        let started = std::time::Instant::now();
        let limits = Limits { minutes: 8, disturbed: 1, mishaps: 1 };
        match explore(&scenario, limits) {
            Ok(explored) => eprintln!("{}: {explored:?} {:?}", release.name, started.elapsed()),
            Err(found) => eprintln!("{}: {}\n{:#?}", release.name, shrunk(&scenario, *found.clone()), found.violations),
        }
    }
}
