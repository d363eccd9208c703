//! The releases of the tour: a good one, a bad one, one that an alarm stops, a slow one, and one whose targets fail behind a
//! load balancer.

use std::collections::BTreeMap;

use serde_json::json;

use super::durations::Latency;
use super::invariants::Violation;
use super::scenario::{Happening, Moment, Outcome, RunError, Scenario, What, group, run};
use super::traffic::{Behaviour, Delivery, Traffic};
use super::world::HOSTS;
use crate::observation::AlarmState;
use crate::rollout::PhaseName;
use crate::spec::{Target, Version};
use crate::units::{Span, Weight};

pub const FUNCTION: &str = "checkout";
pub const ALIAS: &str = "live";
pub const ALARM: &str = "payments-down";

/// Requests a second.
pub const PER_SECOND: f64 = 40.0;

/// Share of the old version's requests that fail.
pub const OLD_FAILING: f64 = 0.004;

/// The slow release: so many of its requests take so many times as long.
const SLOW_PATH: (f64, f64) = (0.05, 10.0);

/// How many of the last release's targets are left when they fail, 100 s after its step was set.
pub const TARGETS_LEFT: u32 = 1;
const TARGETS_FAIL_AFTER: Span = Span::from_seconds(100);

/// How long the third release's step is live when its alarm rings.
const ALARM_AFTER: Span = Span::from_seconds(197);

/// One release of the tour.
#[derive(Debug, Clone)]
pub struct Stop {
    pub title: &'static str,
    pub canary: Version,
    /// Share of the new version's requests that fail.
    pub failing: f64,
    /// Share of its requests that take so many times as long, if any.
    pub slow: Option<(f64, f64)>,
    /// How it must end.
    pub announced: PhaseName,
    pub scenario: Scenario,
}

impl Stop {
    /// It is between two target groups.
    #[must_use]
    pub fn has_targets(&self) -> bool {
        matches!(self.scenario.target, Target::Alb(_))
    }
}

/// The weight of the step in which the third release's alarm rings, and the last one's targets fail.
#[must_use]
pub fn alarm_step() -> Weight {
    Weight::from_basis_points(2_500).unwrap_or(Weight::FULL)
}

/// The version that every release of the tour starts from.
#[must_use]
pub fn old() -> Version {
    Version("41".to_owned())
}

/// The releases, in order.
#[must_use]
pub fn stops() -> [Stop; 5] {
    let stop = |title, version: &str, failing, announced| {
        let canary = Version(version.to_owned());
        let scenario = Scenario { ticks_twice: true, ..release(&canary, failing) };
        Stop { title, canary, failing, slow: None, announced, scenario }
    };
    let mut alarm = stop("ALARM", "44", OLD_FAILING, PhaseName::RolledBack);
    let what = What::Alarm { name: ALARM.to_owned(), state: AlarmState::Alarm };
    alarm.scenario.events.push(Happening { when: Moment::AfterWeight(alarm_step(), ALARM_AFTER), what });
    let mut slow = stop("SLOW RELEASE", "45", OLD_FAILING, PhaseName::RolledBack);
    slow.slow = Some(SLOW_PATH);
    let latency = Latency::default().with_slow_path(SLOW_PATH.0, SLOW_PATH.1);
    let behaviour = Behaviour::steady(OLD_FAILING).taking(Span::ZERO, latency);
    slow.scenario.traffic.versions.insert(slow.canary.clone(), behaviour);
    [
        stop("GOOD RELEASE", "42", OLD_FAILING, PhaseName::Promoted),
        stop("BAD RELEASE", "43", 10.0 * OLD_FAILING, PhaseName::RolledBack),
        alarm,
        slow,
        behind_a_balancer(stop("TARGETS FAIL", "46", OLD_FAILING, PhaseName::RolledBack)),
    ]
}

/// The same between two target groups, whose targets are healthy at first.
fn behind_a_balancer(stop: Stop) -> Stop {
    let canary = group(FUNCTION, &stop.canary);
    let mut scenario = stop.scenario.on_alb();
    let what = What::Health { group: canary.clone(), healthy: TARGETS_LEFT, unhealthy: HOSTS - TARGETS_LEFT };
    scenario.events.push(Happening { when: Moment::AfterWeight(alarm_step(), TARGETS_FAIL_AFTER), what });
    Stop { canary, scenario, ..stop }
}

/// A release with the spec that most users write: a target and an alarm, everything else by default.
#[must_use]
pub fn release(canary: &Version, failing: f64) -> Scenario {
    let spec = json!({
        "coalmine": "v1",
        "target": { "lambda": { "function": FUNCTION, "alias": ALIAS } },
        "version": canary.0,
        "alarms": [ALARM],
    });
    let versions = [(old(), Behaviour::steady(OLD_FAILING)), (canary.clone(), Behaviour::steady(failing))];
    let traffic = Traffic {
        per_second: PER_SECOND,
        changes: Vec::new(),
        daily: None,
        bursts: None,
        versions: BTreeMap::from(versions),
        delivery: Delivery::default(),
    };
    Scenario { alarms: vec![ALARM.to_owned()], ..Scenario::of(FUNCTION, ALIAS, &old(), spec, traffic) }
}

/// How many releases of a kind ended how.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ends {
    pub promoted: u32,
    pub rolled_back: u32,
    /// Neither within the deadline: paused for a person.
    pub undecided: u32,
    /// Requests that failed because the alias pointed nowhere.
    pub unserved: u64,
    /// Broken promises, each with the seed that shows it.
    #[serde(skip)]
    pub violations: Vec<(u64, Violation)>,
}

impl Ends {
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome.ended() {
            Some(PhaseName::Promoted) => self.promoted += 1,
            Some(PhaseName::RolledBack) => self.rolled_back += 1,
            Some(_) | None => self.undecided += 1,
        }
        self.unserved += outcome.unserved();
        self.violations.extend(outcome.violations.iter().map(|violation| (outcome.seed, violation.clone())));
    }
}

/// The same release once more, with another seed. It stops at the deadline: nobody ends a pause here.
pub fn rerun(failing: f64, seed: u64) -> Result<Outcome, RunError> {
    let scenario = release(&Version("42".to_owned()), failing);
    run(&Scenario { longest: Span::from_minutes(3 * 60), ..scenario }, seed)
}
