//! What must hold after every minute, whatever went wrong in it: read from AWS directly.

use std::collections::{BTreeMap, BTreeSet};

use coalmine_core::rollout::{Phase, Rollout};
use coalmine_core::units::Weight;

use super::places::Route;
use super::world::{Release, World};

/// Fault-free ticks within which a rollback must have taken the canary's traffic away.
const TICKS_TO_SAFETY: u32 = 2;

/// What was seen of every rollout so far.
#[derive(Default)]
pub struct Ledger {
    rollouts: BTreeMap<String, Rollout>,
    /// The version that each place was left with by what has ended there.
    settled: BTreeMap<usize, String>,
    /// Fault-free ticks in which a rollback was not done yet.
    rolling_back: BTreeMap<String, u32>,
    /// Dead man's switches that outlived their rollouts.
    pub left_armed: BTreeSet<String>,
    /// How many went off.
    pub fired: u64,
    pub wrong: Vec<String>,
}

impl Ledger {
    /// The rollouts that have not ended.
    pub fn running(&self) -> Vec<&Rollout> {
        self.rollouts.values().filter(|rollout| !rollout.is_terminal()).collect()
    }

    /// Those that a tick still has something to do with.
    pub fn active(&self) -> Vec<&Rollout> {
        self.rollouts.values().filter(|rollout| rollout.is_active()).collect()
    }

    /// How many ended as what, and why.
    pub fn ends(&self) -> BTreeMap<String, u64> {
        let mut ends = BTreeMap::new();
        for rollout in self.rollouts.values() {
            let end = match &rollout.phase {
                Phase::Promoted { .. } => "promoted".to_owned(),
                Phase::RolledBack { why, .. } => format!("rolledBack, {}", kind(why)),
                Phase::Superseded { why, .. } => format!("superseded, {}", kind(why)),
                Phase::Pending { .. }
                | Phase::Shifting { .. }
                | Phase::Baking { .. }
                | Phase::Paused { .. }
                | Phase::Promoting { .. }
                | Phase::RollingBack { .. } => format!("not ended, {:?}", rollout.phase.name()),
            };
            *ends.entry(end).or_default() += 1;
        }
        ends
    }

    /// Switches went off. One that outlived its rollout gives all traffic to that rollout's old version.
    pub fn fired(&mut self, world: &World, names: Vec<(usize, String)>) {
        for (place, name) in names {
            self.fired += 1;
            if self.left_armed.contains(&name) {
                self.settled.insert(place, world.places[place].route(&world.cloud).old);
            }
        }
    }

    /// Looks at everything. `fault_free`: nothing was made to go wrong in this minute, and its tick came.
    pub fn look(&mut self, world: &World, fault_free: bool) {
        for release in &world.releases {
            match (world.rollout(&release.id), self.rollouts.get(&release.id)) {
                (Some(now), then) => {
                    let wrong = then.and_then(|then| changed_wrongly(then, &now));
                    self.wrong.extend(wrong.map(|wrong| format!("{}: {wrong}", release.id)));
                    self.ended_well(release, &now);
                    self.rollouts.insert(release.id.clone(), now);
                }
                (None, None) if !release.accepted => {}
                (None, _) => self.wrong.push(format!("{} is lost: it is not in the table", release.id)),
            }
        }
        for (number, place) in world.places.iter().enumerate() {
            let route = place.route(&world.cloud);
            let wrong = self.route_is_wrong(world, number, &route);
            self.wrong.extend(wrong.map(|wrong| format!("{}: {wrong}, live is {route:?}", place.key())));
            self.back_in_time(world, number, &route, fault_free);
        }
        self.switches_are_gone(world);
        for rollout in self.rollouts.values().filter(|rollout| !rollout.is_active()) {
            self.wrong.extend(world.told.wrong_with(rollout));
        }
    }

    fn ended_well(&mut self, release: &Release, now: &Rollout) {
        let Phase::Promoted { .. } = now.phase else { return };
        if release.bad {
            self.wrong.push(format!("{} is a bad release and was promoted", release.id));
        }
        let news = self.rollouts.get(&release.id).is_none_or(|then| !then.is_terminal());
        if news {
            self.settled.insert(release.place, release.canary.clone());
        }
    }

    /// The rollout that may move this place's traffic.
    fn holder(&self, world: &World, place: usize) -> Option<&Rollout> {
        let here = |release: &&Release| release.place == place;
        let rollouts = world.releases.iter().filter(here).filter_map(|release| self.rollouts.get(&release.id));
        rollouts.into_iter().find(|rollout| rollout.holds_target())
    }

    /// No weight that the record does not want, and none at all where nobody holds the place.
    fn route_is_wrong(&self, world: &World, place: usize, route: &Route) -> Option<String> {
        let settled = self.settled.get(&place).map_or(world.places[place].first(), String::as_str);
        let holder = self.holder(world, place);
        let most = holder.map_or(Weight::ZERO, most_wanted);
        match (&route.new, holder) {
            (None, _) if route.old == settled => None,
            (None, Some(holder)) if route.old == holder.canary.0 && most == Weight::FULL => None,
            (Some((new, weight)), Some(holder)) if route.old == settled && *new == holder.canary.0 => {
                (*weight > most).then(|| format!("{} wanted {most} at most", holder.id))
            }
            (_, Some(holder)) => Some(format!("{} wanted {most} of {} beside {settled}", holder.id, holder.canary)),
            (_, None) => Some(format!("nothing runs, and {settled} was left alone with all traffic")),
        }
    }

    fn back_in_time(&mut self, world: &World, place: usize, route: &Route, fault_free: bool) {
        let Some(id) = self.holder(world, place).filter(|r| matches!(r.phase, Phase::RollingBack { .. })) else {
            return;
        };
        let id = id.id.clone();
        let ticks = self.rolling_back.entry(id.clone()).or_default();
        *ticks = if fault_free { *ticks + 1 } else { 0 };
        if *ticks > TICKS_TO_SAFETY && route.new.is_some() {
            self.wrong.push(format!("{id} rolls back, and {route:?} is live after {ticks} ticks without a fault"));
        }
    }

    /// Nothing that has ended leaves a dead man's switch that nobody will remove, but for the one way that is known
    /// (docs/switch.md): an invocation that overlaps with the one that ends the rollout arms it once more.
    fn switches_are_gone(&mut self, world: &World) {
        let scheduler = world.cloud.scheduler();
        let overlapped = world.overlapped.is_some_and(|minute| minute.plus(1) >= world.minute);
        for release in &world.releases {
            if self.rollouts.get(&release.id).is_none_or(Rollout::is_active) {
                continue;
            }
            for name in (0..world.places[release.place].switches()).map(|number| format!("{}.{number}", release.id)) {
                if self.left_armed.contains(&name) || scheduler.schedule(&name).is_none() {
                    continue;
                }
                if !overlapped {
                    self.wrong.push(format!("{} is over, and its switch {name} would still fire", release.id));
                }
                self.left_armed.insert(name);
            }
        }
    }
}

fn kind(why: &coalmine_core::rollout::Why) -> String {
    let json = serde_json::to_value(why).expect("a reason is JSON");
    json["kind"].as_str().unwrap_or("?").to_owned()
}

/// The highest weight that was ever recorded as wanted.
fn most_wanted(rollout: &Rollout) -> Weight {
    rollout.history.iter().map(|event| event.weight).max().unwrap_or(Weight::ZERO)
}

fn changed_wrongly(then: &Rollout, now: &Rollout) -> Option<String> {
    if now == then {
        return None;
    }
    if now.revision <= then.revision {
        return Some(format!("it changed, and revision {} became {}", then.revision, now.revision));
    }
    if then.is_terminal() && now.phase != then.phase {
        return Some(format!("it had ended as {:?} and is {:?}", then.phase, now.phase));
    }
    // Numbered from the first event ever: of the oldest some may have been dropped.
    let dropped = |rollout: &Rollout| rollout.events_total.saturating_sub(rollout.history.len() as u64);
    let numbered = |rollout: &Rollout| (dropped(rollout)..).zip(rollout.history.clone()).collect::<BTreeMap<_, _>>();
    let (before, after) = (numbered(then), numbered(now));
    let kept = |(number, event): (&u64, _)| *number < dropped(now) || after.get(number) == Some(event);
    (!before.iter().all(kept)).then(|| format!("its history changed: {:?} became {:?}", then.history, now.history))
}
