//! Aliases with releases that follow each other, Coalmine as processes of the real `bootstrap`, and a proxy between them and
//! AWS. What is looked at here does not go through the proxy.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use coalmine_core::rollout::Rollout;
use coalmine_core::units::{Minute, Timestamp};
use serde_json::{Value, json};

use super::places::Place;
use super::watch::{Onlooker, Told};
use crate::harness::{
    Cloud, Dice, Function, Outcome, Process, Proxy, SWITCH_ROLE, SWITCHES, Way, Weather, this_minute,
};

pub const TABLE: &str = "coalmine";

/// A release that somebody asked for.
#[derive(Debug, Clone)]
pub struct Release {
    pub id: String,
    /// Of the places.
    pub place: usize,
    pub canary: String,
    /// It fails far too often.
    pub bad: bool,
    /// The start command said so.
    pub accepted: bool,
    /// As it is asked for, until it is accepted.
    pub spec: Value,
}

/// When a process is killed.
#[derive(Debug, Clone, Copy)]
pub enum Kill {
    Never,
    /// With the n-th request, before or after it is done.
    Request(u64, Way),
    After(Duration),
}

pub struct World {
    pub cloud: Arc<Cloud>,
    pub proxy: Proxy,
    pub told: Arc<Told>,
    pub places: Vec<Box<dyn Place>>,
    pub releases: Vec<Release>,
    /// The minute that is running. Begins with the real one, because a tick of the past would be dropped.
    pub minute: Minute,
    pub dice: Dice,
    /// Share of the requests that meet trouble.
    pub share: f64,
    /// What the functions are told, and where they log.
    environment: Vec<(String, String)>,
    pub log: PathBuf,
    processes: BTreeMap<&'static str, Process>,
    seed: u64,
    invocations: u64,
    /// When two invocations last ran at once, or a switch was armed by what nobody waited for any more.
    pub overlapped: Option<Minute>,
    pub ticks: u64,
    pub kills: u64,
    /// Schedules that went off since they were last looked at, each with its place.
    pub fired: Vec<(usize, String)>,
}

impl World {
    /// `elsewhere` are services that are not the cloud's.
    pub fn set_up(
        cloud: Arc<Cloud>,
        places: Vec<Box<dyn Place>>,
        elsewhere: Vec<(&'static str, u16)>,
        seed: u64,
    ) -> Self {
        cloud.create_table(TABLE);
        cloud.scheduler().create_group(SWITCHES);
        let onlooker = Onlooker::new(Arc::clone(&cloud));
        let told = onlooker.told();
        let proxy = Proxy::start(cloud.port(), elsewhere, onlooker);
        let environment = [
            ("COALMINE_TABLE", TABLE),
            ("COALMINE_SWITCH_GROUP", SWITCHES),
            ("COALMINE_SWITCH_ROLE_ARN", SWITCH_ROLE),
            ("COALMINE_METRIC_LAG", "1m"),
            ("COALMINE_EVENT_BUS", "default"),
            ("AWS_ENDPOINT_URL", &proxy.endpoint()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let name = format!("wire-{}-{seed}.log", std::process::id());
        let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        for place in &places {
            cloud.create_alarm(place.alarm());
        }
        let world = Self {
            cloud,
            proxy,
            told,
            places,
            releases: Vec::new(),
            minute: this_minute(),
            dice: Dice::new(seed),
            share: 0.0,
            environment,
            log,
            processes: BTreeMap::new(),
            seed,
            invocations: 0,
            overlapped: None,
            ticks: 0,
            kills: 0,
            fired: Vec::new(),
        };
        world.put_history();
        world
    }

    /// An hour of the first versions, every minute the same.
    fn put_history(&self) {
        for place in &self.places {
            (1..=62).for_each(|ago| place.put_past(&self.cloud, self.minute.plus(-ago)));
        }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_epoch_seconds(self.minute.start().epoch_seconds() + 10)
    }

    /// The traffic of the running minute comes as it is routed, the next one begins, and AWS does by itself what is due.
    pub fn pass_minute(&mut self) {
        for (number, place) in self.places.iter().enumerate() {
            let bad = |version: &str| {
                let of = |release: &&Release| release.place == number && release.canary == version;
                self.releases.iter().rev().find(of).is_some_and(|release| release.bad)
            };
            place.serve(&self.cloud, self.minute, &mut self.dice, &bad);
        }
        self.minute = self.minute.plus(1);
        self.fire_switches();
    }

    fn fire_switches(&mut self) {
        let scheduler = self.cloud.scheduler();
        for release in &self.releases {
            let place = &self.places[release.place];
            for name in (0..place.switches()).map(|number| format!("{}.{number}", release.id)) {
                let Some(schedule) = scheduler.schedule(&name) else { continue };
                if time_of(&schedule).minute() <= self.minute {
                    let (call, input) = scheduler.take(&name);
                    place.put_back(&self.cloud, &call, &input);
                    self.proxy.note(format!("  the switch {name} fires"));
                    self.fired.push((release.place, name));
                }
            }
        }
    }

    /// As it is stored.
    pub fn rollout(&self, id: &str) -> Option<Rollout> {
        let item = self.cloud.item(TABLE, &format!("ROLLOUT#{id}"), "STATE")?;
        let doc = item["doc"]["S"].as_str().unwrap_or_else(|| panic!("no document in {item}"));
        let rollout: Rollout = serde_json::from_str(doc).unwrap_or_else(|error| panic!("{id}: {error}: {doc}"));
        assert_eq!(item["rev"]["N"], rollout.revision.to_string(), "{id}");
        Some(rollout)
    }

    pub fn tick(&mut self, kill: Kill) -> Outcome {
        let event = self.tick_event();
        self.ticks += 1;
        self.invoke(&["tick"], &event, kill).remove(0)
    }

    /// Two controllers at once, of which one may be killed.
    pub fn tick_together(&mut self, kill: Kill) -> Vec<Outcome> {
        let event = self.tick_event();
        self.ticks += 2;
        self.overlapped = Some(self.minute);
        self.invoke(&["tick", "rival"], &event, kill)
    }

    fn tick_event(&self) -> Value {
        let time = self.now().to_string();
        json!({ "source": "aws.events", "detail-type": "Scheduled Event", "time": time, "detail": {} })
    }

    pub fn alarm_event(&mut self, alarm: &str, kill: Kill) -> Outcome {
        let mut event = crate::events::event("alarm-eventbridge-metric-fires");
        event["time"] = self.now().to_string().into();
        event["detail"]["alarmName"] = alarm.into();
        self.invoke(&["alarm"], &event, kill).remove(0)
    }

    pub fn command(&mut self, command: &Value, kill: Kill) -> Outcome {
        self.invoke(&["command"], command, kill).remove(0)
    }

    /// Asks for a release; whether it began is to be seen in the table.
    pub fn start(&mut self, place: usize, canary: String, bad: bool, fields: &Value) {
        let id = format!("r{}", self.releases.len() + 1);
        let spec = crate::harness::with_fields(self.places[place].spec(&id, &canary), fields);
        self.releases.push(Release { id, place, canary, bad, accepted: false, spec });
    }

    /// Asks once more for those whose start was not answered yet.
    pub fn ask_again(&mut self, kill: Kill) {
        for number in 0..self.releases.len() {
            if self.releases[number].accepted {
                continue;
            }
            let command = json!({ "command": "start", "spec": self.releases[number].spec });
            let outcome = self.command(&command, kill);
            self.proxy.note(format!("  start of {}: {}", self.releases[number].id, said(&outcome)));
            if let Outcome::Answered(answer) = &outcome {
                self.releases[number].accepted = answer.get("errors").is_none();
            }
        }
    }

    /// Each function is a process of its own; the first may be killed.
    fn invoke(&mut self, functions: &[&'static str], event: &Value, kill: Kill) -> Vec<Outcome> {
        self.invocations += 1;
        for name in functions {
            if self.processes.get(name).is_none_or(|process| !process.is_alive()) {
                let started = self.cold_start(name);
                self.processes.insert(name, started);
            }
        }
        let killer = self.processes[functions[0]].killer();
        let turn = u64::try_from(self.minute.index()).expect("after 1970");
        let at_request = match kill {
            Kill::Request(number, way) => Some((usize::try_from(number).expect("few"), way, killer.clone())),
            Kill::Never | Kill::After(_) => None,
        };
        let seed = self.seed.wrapping_mul(1_000_003) ^ self.invocations;
        self.proxy.turn(Weather { seed, turn, share: self.share, kill: at_request });
        self.proxy.note(format!("{} {functions:?} {kill:?}", self.minute.start()));
        let processes: Vec<&Process> = functions.iter().map(|name| &self.processes[name]).collect();
        let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
            let running: Vec<_> = processes.iter().map(|process| scope.spawn(|| process.invoke(event))).collect();
            if let Kill::After(wait) = kill {
                std::thread::sleep(wait);
                killer.kill();
            }
            running.into_iter().map(|one| one.join().expect("it is answered or killed")).collect()
        });
        self.kills += outcomes.iter().filter(|outcome| **outcome == Outcome::Killed).count() as u64;
        self.proxy.settle();
        outcomes
    }

    fn cold_start(&self, name: &'static str) -> Process {
        let log = File::options().create(true).append(true).open(&self.log).expect("the log can be written");
        let handler = if name == "rival" { "tick" } else { name };
        Process::start(&Function { handler, environment: self.environment.clone(), log })
    }
}

/// When a schedule goes off.
pub fn time_of(schedule: &Value) -> Timestamp {
    let expression = schedule["ScheduleExpression"].as_str().expect("a schedule has an expression");
    let time = expression.strip_prefix("at(").and_then(|rest| rest.strip_suffix(')')).expect("a one-time schedule");
    format!("{time}Z").parse().expect("a time")
}

/// In a few words.
pub fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Killed => "killed".to_owned(),
        Outcome::Failed(error) => format!("failed: {error}"),
        Outcome::Answered(answer) => match answer.get("errors").or_else(|| answer.get("message")) {
            Some(errors) => errors.to_string(),
            None => "answered".to_owned(),
        },
    }
}
