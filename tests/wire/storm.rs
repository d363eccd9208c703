//! What happens in a world: releases one after another, waves of faults, kills, people and alarms, and then a calm in which
//! everything must come to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coalmine_core::rollout::{Phase, Rollout};
use serde_json::{Value, json};

use super::checks::Ledger;
use super::places::{Alias, Pair, Place};
use super::world::{Kill, World, said};
use crate::harness::{Cloud, CodeDeploy, Elb, FakeCodeDeploy, FakeElb, Outcome, Tally, Way, this_minute};

/// The share of the requests that meet trouble, in waves of so many minutes.
const SHARES: [f64; 5] = [0.0, 0.03, 0.1, 0.15, 0.3];
const WAVE: u64 = 8;
const KILLED: [f64; 3] = [0.1, 0.3, 0.6];
const RIVALS: [f64; 3] = [0.05, 0.15, 0.4];
/// Without faults a rollout ends within its deadline of 25 minutes, a pause of 6, a watch of 2, and the minutes in which
/// each of them is noticed and acted on.
const ENDS_WITHIN: u64 = 40;
/// Longer than the dead man's switch waits.
const ASLEEP: u64 = 25;

/// A world, and what stands beside it.
pub struct Storm {
    world: World,
    ledger: Ledger,
    seed: u64,
    /// Shares of the invocations that are killed, and of the ticks that come from two controllers at once.
    killed: f64,
    rivals: f64,
    /// Whether what stalls may arrive in a later minute.
    patient: bool,
    /// What answers beside the cloud, as long as the storm lasts.
    _beside: Beside,
}

enum Beside {
    CodeDeploy(#[allow(dead_code, reason = "it is held")] FakeCodeDeploy),
    Elb(#[allow(dead_code, reason = "it is held")] FakeElb),
}

/// What a run came to.
pub struct Report {
    pub minutes: u64,
    pub ticks: u64,
    pub kills: u64,
    pub switches_fired: u64,
    pub left_armed: u64,
    pub tally: Tally,
    pub ends: BTreeMap<String, u64>,
    pub settled_after: u64,
}

impl Storm {
    pub fn on_aliases(seed: u64) -> Self {
        let cloud = Arc::new(Cloud::start());
        for function in ["checkout", "search"] {
            cloud.create_target(function);
            let version = cloud.publish(function, "first");
            cloud.wait_for_state(function, &version, "Active");
        }
        let aliases = [("checkout", "live"), ("search", "live"), ("search", "beta")];
        let places: Vec<Box<dyn Place>> = aliases
            .map(|(function, alias)| Box::new(Alias::make(&cloud, function, alias)) as Box<dyn Place>)
            .into_iter()
            .collect();
        let codedeploy = FakeCodeDeploy::start(CodeDeploy::at(this_minute().start()));
        let port = codedeploy.port();
        let world = World::set_up(cloud, places, vec![("codedeploy", port)], seed);
        Self::of(world, seed, true, Beside::CodeDeploy(codedeploy))
    }

    pub fn on_target_groups(seed: u64) -> Self {
        let cloud = Arc::new(Cloud::start());
        let elb = FakeElb::start();
        let port = elb.port();
        let balancer = Elb::at(port).create_balancer("shop");
        let pair = |number| Box::new(Pair::make(port, &balancer, number)) as Box<dyn Place>;
        let elsewhere = vec![("elasticloadbalancing", port), ("ecs", port)];
        let world = World::set_up(cloud, (0..3).map(pair).collect(), elsewhere, seed);
        Self::of(world, seed, false, Beside::Elb(elb))
    }

    /// Every world has a temper of its own.
    fn of(mut world: World, seed: u64, patient: bool, beside: Beside) -> Self {
        let killed = KILLED[world.dice.below(KILLED.len() as u64) as usize];
        let rivals = RIVALS[world.dice.below(RIVALS.len() as u64) as usize];
        world.proxy.note(format!("{killed} of the invocations are killed, {rivals} of the ticks have a rival"));
        Self { world, ledger: Ledger::default(), seed, killed, rivals, patient, _beside: beside }
    }

    /// So many minutes with faults, then none until all has ended. Panics at the first thing that is wrong.
    pub fn run(mut self, minutes: u64) -> Report {
        let mut passed = 0;
        while passed < minutes && !self.is_over() {
            self.stormy_minute(passed);
            passed += 1;
        }
        let settled_after = self.calm();
        let world = &self.world;
        let _ = std::fs::remove_file(&world.log);
        Report {
            minutes: passed + settled_after,
            ticks: world.ticks,
            kills: world.kills,
            switches_fired: self.ledger.fired,
            left_armed: self.ledger.left_armed.len() as u64,
            tally: world.proxy.tally(),
            ends: self.ledger.ends(),
            settled_after,
        }
    }

    /// Nothing follows where nothing runs.
    fn is_over(&self) -> bool {
        let asked = &self.world.releases;
        !asked.is_empty() && asked.iter().all(|release| release.accepted) && self.ledger.active().is_empty()
    }

    fn stormy_minute(&mut self, minute: u64) {
        if minute.is_multiple_of(WAVE) {
            let share = SHARES[self.below(SHARES.len() as u64) as usize];
            self.world.share = share;
            self.world.proxy.note(format!("{share} of the requests meet trouble"));
        }
        self.world.pass_minute();
        self.release();
        self.people();
        let kill = self.kill();
        match self.below(100) {
            0..5 => self.world.proxy.note("no tick comes".to_owned()),
            5 => self.sleep(),
            _ if self.hits(self.rivals) => drop(self.world.tick_together(kill)),
            6..12 => {
                self.world.tick(kill);
                self.world.tick(Kill::Never);
            }
            _ => drop(self.world.tick(kill)),
        }
        self.alarms();
        // Without revisions nothing but time makes a late write harmless, and nothing travels for a minute.
        let all = !self.patient || self.hits(0.6);
        self.world.proxy.deliver_stalled(all);
        self.look(false);
    }

    fn sleep(&mut self) {
        self.world.proxy.note(format!("no tick comes for {ASLEEP} minutes"));
        for _ in 0..ASLEEP {
            self.world.pass_minute();
        }
    }

    /// Nothing goes wrong any more: how many minutes it took until nothing was left to do.
    fn calm(&mut self) -> u64 {
        self.world.share = 0.0;
        self.world.proxy.note("no more faults".to_owned());
        self.world.proxy.deliver_stalled(true);
        self.world.places.iter().for_each(|place| self.world.cloud.set_alarm(place.alarm(), "OK"));
        self.world.ask_again(Kill::Never);
        self.look(false);
        let longest = self.in_line() * ENDS_WITHIN;
        for minute in 0..longest {
            if self.ledger.active().is_empty() {
                return minute;
            }
            self.world.pass_minute();
            let outcome = self.world.tick(Kill::Never);
            if !matches!(outcome, Outcome::Answered(_)) {
                self.ledger.wrong.push(format!("a tick without faults {}", said(&outcome)));
            }
            self.look(true);
        }
        let left: Vec<String> = self.ledger.active().iter().map(|r| format!("{}: {:?}", r.id, r.phase)).collect();
        self.ledger.wrong.push(format!("after {longest} minutes without faults these are not over: {left:?}"));
        self.fail_if_wrong();
        longest
    }

    /// The most rollouts that wait for each other.
    fn in_line(&self) -> u64 {
        let at = |place| self.running_at(place).len() as u64;
        (0..self.world.places.len()).map(at).max().unwrap_or_default().max(1)
    }

    fn running_at(&self, place: usize) -> Vec<&Rollout> {
        let here = |id: &str| self.world.releases.iter().any(|release| release.id == id && release.place == place);
        self.ledger.running().into_iter().filter(|rollout| here(&rollout.id)).collect()
    }

    /// Where a rollout runs the next one gets in line; where none was asked for yet the first one begins. Commands have the
    /// real clock's time, which is behind, so nothing else is started later: its deadline would be over at once.
    fn release(&mut self) {
        self.world.ask_again(Kill::Never);
        for place in 0..self.world.places.len() {
            let asked = self.world.releases.iter().filter(|release| release.place == place).count();
            let waiting = self.world.releases.iter().any(|release| release.place == place && !release.accepted);
            let running = self.running_at(place);
            let room = running.len() == 1
                && !waiting
                && matches!(running[0].phase, Phase::Shifting { .. } | Phase::Baking { .. });
            if asked > 0 && !(room && self.hits(0.4)) {
                continue;
            }
            let bad = self.hits(0.4);
            let number = self.world.releases.len();
            let Some(canary) = self.world.places[place].another(&self.world.cloud, number) else { continue };
            let newer = if self.hits(0.8) { "queue" } else { "supersede" };
            self.world.start(place, canary, bad, &fields(newer));
            let kill = self.kill();
            self.world.ask_again(kill);
        }
    }

    fn people(&mut self) {
        if !self.hits(0.08) {
            return;
        }
        let running: Vec<String> = self.ledger.running().iter().map(|rollout| rollout.id.clone()).collect();
        if running.is_empty() {
            return;
        }
        let id = &running[self.below(running.len() as u64) as usize];
        let command = ["pause", "resume", "resume", "abort"][self.below(4) as usize];
        let kill = self.kill();
        let outcome =
            self.world.command(&json!({ "command": command, "rollout": id, "by": "mara", "reason": "so" }), kill);
        self.world.proxy.note(format!("  {command} of {id}: {}", said(&outcome)));
    }

    fn alarms(&mut self) {
        for place in 0..self.world.places.len() {
            if !self.hits(0.015) {
                continue;
            }
            let alarm = self.world.places[place].alarm().to_owned();
            self.world.proxy.note(format!("{alarm} goes off"));
            self.world.cloud.set_alarm(&alarm, "ALARM");
            if self.hits(0.5) {
                let kill = self.kill();
                self.world.alarm_event(&alarm, kill);
            } else {
                self.world.tick(Kill::Never);
            }
            self.world.cloud.set_alarm(&alarm, "OK");
        }
    }

    fn kill(&mut self) -> Kill {
        if !self.hits(self.killed) {
            return Kill::Never;
        }
        match self.below(3) {
            0 => Kill::Request(self.below(40), Way::KilledBefore),
            1 => Kill::Request(self.below(40), Way::KilledAfter),
            _ => Kill::After(Duration::from_millis(self.below(300))),
        }
    }

    fn hits(&mut self, probability: f64) -> bool {
        self.world.dice.hits(probability)
    }

    fn below(&mut self, numbers: u64) -> u64 {
        self.world.dice.below(numbers)
    }

    fn look(&mut self, fault_free: bool) {
        if self.world.proxy.take_armed_late() {
            self.world.overlapped = Some(self.world.minute);
        }
        let fired = std::mem::take(&mut self.world.fired);
        self.ledger.fired(&self.world, fired);
        self.ledger.look(&self.world, fault_free);
        self.ledger.wrong.extend(self.world.proxy.take_wrong());
        self.fail_if_wrong();
    }

    fn fail_if_wrong(&self) {
        if self.ledger.wrong.is_empty() {
            return;
        }
        let log = self.world.proxy.tally().log;
        panic!(
            "seed {} at {}: {:#?}\nwhat happened:\n{}\nwhat the functions said is in {}",
            self.seed,
            self.world.minute.start(),
            self.ledger.wrong,
            log.join("\n"),
            self.world.log.display()
        );
    }
}

fn fields(newer: &str) -> Value {
    json!({
        "strategy": { "steps": [
            { "weight": "10%", "bake": "2m", "advance": "unlessHarm" },
            { "weight": "50%", "bake": "3m" },
        ] },
        "checks": [{ "errors": { "tolerate": "2pt" } }],
        "after": { "watch": "2m" },
        "pause": { "for": "6m", "then": "rollBack" },
        "deadline": "25m",
        "newer": newer,
    })
}
