//! More rollouts than one tick can attend to: how long each waits for its turn while CloudWatch throttles.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::executor::Stalled;
use super::faults::{Faulty, Operation, Rule, Way, When};
use super::invariants::{self, Blind, Snapshot, Violation};
use super::scenario::RunError;
use super::timed::{Clock, Service, TimedBudget};
use super::traffic;
use super::world::World;
use crate::command::Request;
use crate::driver::{self, Settings};
use crate::ports::FaultKind;
use crate::rollout::PhaseName;
use crate::spec::{LambdaTarget, Mode, Owner, Target, Version};
use crate::units::{Span, Timestamp};

/// What Lambda gives a tick, less its reserve.
const INVOCATION: Duration = Duration::from_secs(48);

/// The usual one.
pub const BAKE: Span = Span::from_minutes(5);

/// Minutes of traffic before the releases.
const PAST: u64 = 30;

/// An account full of releases.
#[derive(Debug, Clone, Copy)]
pub struct Crowd {
    pub rollouts: usize,
    /// Of so many rollouts one fails a third of its requests.
    pub one_bad_in: usize,
    /// For so many minutes half of the questions to CloudWatch are throttled.
    pub throttled: u64,
    pub minutes: u64,
    /// In this minute somebody sends all traffic of the first target to another version.
    pub meddled: Option<u64>,
    /// How long each bakes at 20 %.
    pub bake: Span,
    pub services: fn(Operation) -> Service,
}

/// How they fared.
#[derive(Debug, Clone, Default)]
pub struct Fared {
    /// Rollouts attended to in each minute.
    pub attended: Vec<usize>,
    /// The longest that one with traffic waited for its next turn.
    pub longest_wait: Span,
    /// The longest that one waited for its first weight.
    pub longest_to_begin: Span,
    pub ended: BTreeMap<PhaseName, usize>,
    pub fired: usize,
    /// Looks at targets in each minute.
    pub looks: Vec<usize>,
    /// Calls of all ports in each minute.
    pub calls_in: Vec<usize>,
    /// How long each tick took by the clock of the services, which counts no work of our own.
    pub took: Vec<Duration>,
    pub violations: Vec<Violation>,
}

impl Fared {
    /// A row of the table that `overload` prints.
    #[must_use]
    pub fn row(&self, rollouts: usize) -> String {
        let ended = |name| self.ended.get(&name).copied().unwrap_or(0);
        let (promoted, back) = (ended(PhaseName::Promoted), ended(PhaseName::RolledBack));
        let busy = self.attended.iter().filter(|count| **count > 0);
        let ticks = busy.clone().count().max(1);
        let mean = busy.sum::<usize>() / ticks;
        let (wait, begins, fired) = (self.longest_wait, self.longest_to_begin, self.fired);
        let calls = self.calls_in.iter().sum::<usize>() / self.attended.len().max(1);
        let (left, broken) = (rollouts - promoted - back, self.violations.len());
        format!(
            "| {rollouts} | {mean} | {wait} | {begins} | {promoted} | {back} | {left} | {fired} | {calls} | {broken} |"
        )
    }
}

/// AWS's answers at the usual speed, and what it allows one account; for EventBridge Scheduler an assumption, on the low side.
#[must_use]
pub fn usual(operation: Operation) -> Service {
    const LAMBDA: &str = "Lambda's control plane";
    let limits = [
        (Operation::Fetch, "GetMetricData", 80, 50.0),
        (Operation::States, "DescribeAlarms", 20, 9.0),
        (Operation::Look, LAMBDA, 20, 15.0),
        (Operation::Set, LAMBDA, 20, 15.0),
        (Operation::Version, "GetFunction", 20, 100.0),
        (Operation::Arm, "Scheduler", 20, 250.0),
        (Operation::Disarm, "Scheduler", 20, 250.0),
    ];
    let of = limits.into_iter().find(|(limited, ..)| *limited == operation);
    let (limit, millis, per_second) = of.map_or(("DynamoDB", 10, None), |(_, limit, ms, rate)| (limit, ms, Some(rate)));
    Service { limit, answers_in: Duration::from_millis(millis), per_second }
}

impl Crowd {
    /// Lets all of it happen.
    ///
    /// # Errors
    /// When a release is refused, or something waits for an answer that never comes.
    pub fn run(&self) -> Result<Fared, RunError> {
        let opened = self.open()?;
        let throttled = Rule { when: When::Half(Operation::Fetch), way: Way::Fails(FaultKind::Throttled) };
        let [throttling, sound] = [vec![throttled], vec![]]
            .map(|rules| Faulty::new(&opened.world, rules).timed(&opened.clock, self.services));
        let mut fared = Fared::default();
        let started = opened.started;
        let mut last = opened.world.rollouts().into_keys().map(|id| (id, started)).collect();
        for minute in 1..=self.minutes {
            let ports = if minute <= self.throttled { &throttling } else { &sound };
            self.pass(&opened, minute, ports, &mut last, &mut fared)?;
        }
        fared.fired = opened.world.fired().len();
        for rollout in opened.world.rollouts().into_values() {
            *fared.ended.entry(rollout.phase.name()).or_default() += 1;
        }
        Ok(fared)
    }

    /// A past for every function, and then all releases at once.
    fn open(&self) -> Result<Opened, RunError> {
        let started = Timestamp::from_epoch_seconds(1_795_269_600);
        let world = World::new(started - Span::from_minutes(60));
        let settings = Settings {
            mode: Mode::Enforce,
            metric_lag: Span::from_minutes(3),
            switch: Some(Span::from_minutes(15)),
            deployment_spec: None,
        };
        for place in 0..self.rollouts {
            let target = target(place);
            ["40", "41", "42"].iter().for_each(|number| world.offer(&target, &Version((*number).to_owned())));
            world.write(&target, &Version("41".to_owned()), None)?;
        }
        (1..=PAST).for_each(|minute| self.tell(&world, started - Span::from_minutes(minute)));
        world.set_now(started);
        for place in 0..self.rollouts {
            self.start(&world, place, &settings)?;
        }
        Ok(Opened { world, settings, started, clock: Clock::default() })
    }

    /// A minute with its traffic, and its tick.
    fn pass(
        &self,
        opened: &Opened,
        minute: u64,
        ports: &Faulty<'_, World>,
        last: &mut BTreeMap<String, Timestamp>,
        fared: &mut Fared,
    ) -> Result<(), RunError> {
        let Opened { world, settings, started, clock } = opened;
        let now = *started + Span::from_minutes(minute);
        self.tell(world, now - Span::from_minutes(1));
        world.set_now(now + Span::from_seconds(2));
        if self.meddled == Some(minute) {
            world.write(&target(0), &Version("40".to_owned()), None)?;
        }
        let (before, since) = (ports.calls().len(), clock.now());
        tick(world, (ports, clock), settings, last, fared)?;
        let calls = ports.calls().split_off(before);
        fared.looks.push(calls.iter().filter(|call| **call == Operation::Look).count());
        fared.calls_in.push(calls.len());
        fared.took.push(clock.now().saturating_sub(since));
        Ok(())
    }

    /// What happened in a minute: a hundred requests a second to each function.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "shares are within 0 and 1")]
    fn tell(&self, world: &World, from: Timestamp) {
        for place in 0..self.rollouts {
            let target = target(place);
            for (version, share) in world.shares(&target).into_iter().filter(|(_, share)| *share > 0.0) {
                let requests = (6_000.0 * share) as u64;
                let bad = version.0 == "42" && self.is_bad(place);
                let failed = if bad { requests / 3 } else { requests / 200 };
                traffic::tell(
                    world,
                    &target,
                    &version,
                    from.minute(),
                    (requests, failed),
                    from + Span::from_seconds(75),
                );
            }
        }
    }

    fn start(&self, world: &World, place: usize, settings: &Settings) -> Result<(), RunError> {
        let spec = json!({
            "coalmine": "v1",
            "target": { "lambda": { "function": format!("shop-{place:04}"), "alias": "live" } },
            "version": "42",
            "strategy": { "canary": { "weight": "20%", "bake": self.bake.to_string() } },
            "after": { "watch": "5m" },
            "checks": [{ "errors": { "tolerate": "1pt" } }],
            "deadline": "5h",
        });
        let request =
            Request::parse(&json!({ "command": "start", "spec": spec, "by": "mara" })).map_err(RunError::Refused)?;
        let budget = super::budget::SimBudget::plenty();
        super::executor::run_now(driver::command(world, request, world.now(), &budget, settings))?
            .map_err(RunError::Refused)?;
        Ok(())
    }

    /// Whether this rollout's new version fails.
    #[must_use]
    pub fn is_bad(&self, place: usize) -> bool {
        place % self.one_bad_in == self.one_bad_in - 1
    }
}

/// The account, once all releases have been asked for.
struct Opened {
    world: World,
    settings: Settings,
    started: Timestamp,
    clock: Clock,
}

fn tick(
    world: &World,
    (ports, clock): (&Faulty<'_, World>, &Clock),
    settings: &Settings,
    last: &mut BTreeMap<String, Timestamp>,
    fared: &mut Fared,
) -> Result<(), Stalled> {
    let (now, budget) = (world.now(), TimedBudget::new(clock, INVOCATION));
    let before = Snapshot::of(world);
    let report = clock.run(driver::tick(ports, now, &budget, settings))?;
    let after = Snapshot::of(world);
    fared.violations.extend(invariants::check(&before, &after, world, Blind::default()));
    fared.violations.extend(invariants::check_switches(&after, world, settings));
    let lines = report.map(|report| report.lines).unwrap_or_default();
    let waits = |line: &driver::Line| {
        let said = line.holding.iter().chain(&line.faults);
        said.clone().any(|text| text.contains("for a tick that has time") || text.contains("the next tick goes on"))
    };
    let attended = lines.iter().filter(|line| !waits(line));
    fared.attended.push(attended.clone().count());
    for line in attended {
        last.insert(line.rollout.clone(), now);
    }
    for (id, rollout) in world.rollouts().into_iter().filter(|(_, rollout)| rollout.is_active()) {
        if !rollout.has_begun() {
            fared.longest_to_begin = fared.longest_to_begin.max(now.since(rollout.started_at));
        } else if let Some(at) = last.get(&id) {
            fared.longest_wait = fared.longest_wait.max(now.since(*at));
        }
    }
    Ok(())
}

fn target(place: usize) -> Target {
    let function = format!("shop-{place:04}");
    Target::Lambda(LambdaTarget { function, alias: "live".to_owned(), owner: Owner::Coalmine })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An account that allows a fifth of the calls.
    fn scarce(operation: Operation) -> Service {
        let usual = usual(operation);
        Service { per_second: usual.per_second.map(|calls| calls / 5.0), ..usual }
    }

    fn fared(rollouts: usize, throttled: u64) -> Fared {
        let fared =
            Crowd { rollouts, one_bad_in: 10, throttled, minutes: 100, meddled: None, bake: BAKE, services: scarce }
                .run()
                .unwrap();
        assert_eq!(fared.violations, []);
        fared
    }

    /// Those with traffic are attended to before any more begin, and all of them do in the end.
    #[test]
    fn more_rollouts_than_a_tick_has_time_for_wait_and_none_starves() {
        let fared = fared(300, 50);
        assert_eq!(fared.ended, [(PhaseName::Promoted, 270), (PhaseName::RolledBack, 30)].into());
        assert_eq!(fared.fired, 0, "a switch fires when nobody comes, not when many wait");
        let (waited, to_begin) = (fared.longest_wait, fared.longest_to_begin);
        assert!(to_begin > Span::from_minutes(15), "it is not overloaded: {:?}", fared.attended);
        assert!(waited < Span::from_minutes(10), "{waited} with traffic");
    }

    /// Lambda answers one look a second.
    fn crawling(operation: Operation) -> Service {
        let usual = usual(operation);
        let looks = Service { answers_in: Duration::from_secs(2), per_second: Some(1.0), ..usual };
        if operation == Operation::Look { looks } else { usual }
    }

    #[test]
    fn time_is_kept_to_push_on_the_switches_of_those_that_wait() {
        let bake = Span::from_minutes(180);
        let crowd =
            Crowd { rollouts: 60, one_bad_in: 1_000, throttled: 0, minutes: 0, meddled: None, bake, services: usual };
        let opened = crowd.open().unwrap();
        let world = &opened.world;
        let [usual, crawling] = [usual, crawling]
            .map(|services: fn(Operation) -> Service| Faulty::new(world, vec![]).timed(&opened.clock, services));
        let (mut last, mut fared) = (BTreeMap::new(), Fared::default());
        for minute in 1..=20 {
            let ports = if minute <= 8 { &usual } else { &crawling };
            crowd.pass(&opened, minute, ports, &mut last, &mut fared).unwrap();
            let nearest = world.switches().into_values().map(|armed| armed.at).min();
            assert!(minute <= 8 || nearest >= Some(world.now() + Span::from_minutes(14)), "{minute}: {nearest:?}");
        }
        assert_eq!((world.switches().len(), world.fired().len()), (60, 0));
        assert!(fared.attended.iter().skip(8).all(|attended| *attended < 60), "none waits: {:?}", fared.attended);
    }

    /// 360 aliases are looked at every sixth minute where nothing need be done, and each of them is judged every minute.
    #[test]
    fn in_a_crowd_what_bakes_is_judged_every_minute_and_looked_at_less_often() {
        let crowd = Crowd {
            rollouts: 360,
            one_bad_in: 1_000,
            throttled: 0,
            minutes: 30,
            meddled: Some(9),
            bake: BAKE,
            services: usual,
        };
        let fared = crowd.run().unwrap();
        assert_eq!(fared.violations, []);
        assert_eq!(fared.ended, [(PhaseName::Promoted, 359), (PhaseName::Superseded, 1)].into());
        let quiet = fared.looks.iter().zip(&fared.attended).filter(|(_, attended)| **attended == 360);
        let fewest = quiet.map(|(looks, _)| *looks).min().unwrap();
        assert!((30..=90).contains(&fewest), "{:?} {:?}", fared.looks, fared.attended);
    }

    #[test]
    fn what_cloudwatch_throttles_changes_no_end() {
        let (throttled, free) = (fared(20, 100), fared(20, 0));
        let ends = [(PhaseName::Promoted, 18), (PhaseName::RolledBack, 2)].into();
        assert_eq!(
            [throttled.ended, free.ended],
            [ends, [(PhaseName::Promoted, 18), (PhaseName::RolledBack, 2)].into()]
        );
    }
}
