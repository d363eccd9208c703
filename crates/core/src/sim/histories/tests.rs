use super::*;

#[test]
fn a_history_is_written_as_it_is_read() {
    for seed in 0..200 {
        let history = at_random(seed, 40);
        assert_eq!(history.to_string().parse::<History>().unwrap(), history);
    }
    for wrong in
        ["x tick", "3", "3 tock", "3 tick killedAfter", "3 tick oops@1", "3 tick killedAfter@x", "3 tick a@1 b"]
    {
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
        assert_eq!(
            rollout.phase.name(),
            crate::rollout::PhaseName::Promoted,
            "{}: {:#?}",
            release.name,
            rollout.history
        );
    }
}

/// Every history with so many disturbances in the first minutes; what breaks a promise is shown as short as it gets.
fn holds(release: usize, limits: Limits) {
    let release = RELEASES[release];
    let scenario = release.scenario();
    match explore(&scenario, limits) {
        // A tick makes a dozen calls, each of which goes wrong in two ways or more.
        Ok(explored) => assert!(explored.histories > 3_000, "{}: {explored:?}", release.name),
        Err(found) => panic!("{}: {}", release.name, shrunk(&scenario, *found)),
    }
}

macro_rules! every_release {
    ($($name:ident: $release:expr),+ $(,)?) => {
        $(mod $name {
            use super::*;

            #[test]
            fn anything_once_and_any_call_goes_wrong() {
                holds($release, Limits { minutes: 8, disturbed: 1, mishaps: 1 });
            }

            #[test]
            fn anything_twice() {
                holds($release, Limits { minutes: 5, disturbed: 2, mishaps: 0 });
            }
        })+
    };
}

every_release!(
    steps: 0,
    steps_behind_a_load_balancer: 1,
    all_at_once: 2,
    approved: 3,
    auto: 4,
    detached: 5,
);

#[test]
fn long_ones_by_chance() {
    for release in RELEASES {
        let scenario = release.scenario();
        for seed in 0..20 {
            if let Err(found) = replay(&scenario, &at_random(seed, 40)) {
                panic!("{}, seed {seed}: {}", release.name, shrunk(&scenario, *found));
            }
        }
    }
}

/// Each of these has broken a promise once.
#[test]
fn what_was_found_before() {
    for (history, bug) in [
        ("2 tick old@3", "on the word of one stale look a rollout was given up, and traffic stayed split"),
        ("2 tick old@6", "a stale rollout was taken for one that ended, and the switch removed"),
        ("5 early, 6 observe killedAfter@6", "a switch was removed and needed again, and was thought to be there"),
        ("7 tick slow@7", "a switch that was armed late stood ready to put a promoted release back"),
        ("3 observe, 7 enforce killedAfter@4", "nothing: what was split while writers were off has no switch yet"),
        ("1 worse, 6 writesNew answerLost@1", "nothing: somebody gave traffic back in a tick that failed"),
        (
            "6 asleep, 8 outlived killedBefore@8, 10 late, 11 writesNew old@1, 41 early",
            "a rollback that had just ended was written over what somebody set",
        ),
        (
            "3 observe, 10 writesOld, 27 asleep, 53 early",
            "nothing: no time passes for a rollout that was told a later one",
        ),
        ("7 asleep, 9 writesSplit, 11 restored, 34 promote", "nothing: what a tick saw is forgotten with the table"),
        (
            "2 observe, 36 newer, 47 writesOld, 58 enforce answerLost@7",
            "a release gave way as promoted in a tick that could not see the target",
        ),
        (
            "6 newer, 11 lost, 12 writesOld old@13",
            "a group was attached and, on the word of a stale look at its health, got traffic in the same tick",
        ),
        (
            "5 newer, 6 tick old@12",
            "on the word of one stale look, at the rollout before, a rollout was given up with its split",
        ),
        ("2 writesOld half@7, 3 twice", "the same tick once more gave traffic to a group that it had just attached"),
        ("2 outlived slow@7", "a raise came late, and the rollback behind a load balancer had just ended"),
    ] {
        for release in RELEASES {
            if let Err(found) = replay(&release.scenario(), &history.parse().unwrap()) {
                panic!("{}: {found}; it was found as: {bug}", release.name);
            }
        }
    }
}
