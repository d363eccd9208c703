//! Every history within limits.

use std::collections::{BTreeMap, BTreeSet};

use super::{Act, Counterexample, History, Mishap, Stage, Turn};
use crate::ports::FaultKind;
use crate::sim::executor::Stalled;
use crate::sim::faults::{Operation, Way};
use crate::sim::invariants::Violation;
use crate::sim::scenario::{RunError, Scenario};
use crate::spec::Target;

/// Which histories are looked at: those in which the first so many minutes have at most so many disturbances, of which
/// so many go wrong in a call. After that everything is calm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub minutes: u64,
    pub disturbed: usize,
    pub mishaps: usize,
}

/// How much there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Explored {
    /// Different histories.
    pub histories: u128,
    /// Different stages that they lead to.
    pub stages: u64,
    /// Minutes that were run: histories that lead to the same stage go on together.
    pub turns: u64,
    /// Invocations in these.
    pub invocations: u64,
}

/// Runs every history within the limits to its end.
///
/// # Errors
/// The first history that breaks a promise.
pub fn explore(scenario: &Scenario, limits: Limits) -> Result<Explored, Box<Counterexample>> {
    let mut explorer = Explorer {
        scenario,
        limits,
        path: Vec::new(),
        counted: BTreeMap::new(),
        settled: BTreeSet::new(),
        explored: Explored::default(),
    };
    let stage = Stage::new(scenario).map_err(|error| explorer.failed(&error))?;
    explorer.explored.histories = explorer.from(&stage, limits.disturbed, limits.mishaps)?;
    explorer.explored.stages = u64::try_from(explorer.counted.len() + explorer.settled.len()).unwrap_or(u64::MAX);
    Ok(explorer.explored)
}

struct Explorer<'a> {
    scenario: &'a Scenario,
    limits: Limits,
    path: Vec<Turn>,
    /// How many histories go on from a stage with so many disturbances and mishaps left.
    counted: BTreeMap<(u64, usize, usize), u128>,
    settled: BTreeSet<u64>,
    explored: Explored,
}

impl Explorer<'_> {
    /// How many histories go on from here.
    fn from(&mut self, stage: &Stage<'_>, disturbed: usize, mishaps: usize) -> Result<u128, Box<Counterexample>> {
        let key = (stage.fingerprint(), disturbed, mishaps);
        if let Some(histories) = self.counted.get(&key) {
            return Ok(*histories);
        }
        if stage.minute() >= self.limits.minutes {
            self.settle(stage.fork())?;
            self.counted.insert(key, 1);
            return Ok(1);
        }
        let mut histories = 0;
        for act in Act::ALL {
            let undisturbed = act == Act::Tick;
            if disturbed == 0 && !undisturbed {
                continue;
            }
            let left = disturbed - usize::from(!undisturbed);
            let (next, calls) = self.turn(stage, act, None)?;
            // Of a tick of which no call is slow nothing comes in the middle.
            if act != Act::Outlived {
                histories += self.descend(&next, act, None, left, mishaps)?;
            }
            if disturbed == 0 || mishaps == 0 {
                continue;
            }
            for mishap in self.mishaps(act, &calls) {
                let (next, _) = self.turn(stage, act, Some(mishap))?;
                histories += self.descend(&next, act, Some(mishap), disturbed - 1, mishaps - 1)?;
            }
        }
        self.counted.insert(key, histories);
        Ok(histories)
    }

    fn descend(
        &mut self,
        next: &Stage<'_>,
        act: Act,
        mishap: Option<Mishap>,
        disturbed: usize,
        mishaps: usize,
    ) -> Result<u128, Box<Counterexample>> {
        self.path.push(Turn { minute: next.minute(), act, mishap });
        if !next.violations.is_empty() {
            return Err(self.counterexample(next.violations.clone()));
        }
        let histories = self.from(next, disturbed, mishaps)?;
        self.path.pop();
        Ok(histories)
    }

    fn turn<'s>(
        &mut self,
        stage: &Stage<'s>,
        act: Act,
        mishap: Option<Mishap>,
    ) -> Result<(Stage<'s>, Vec<Operation>), Box<Counterexample>> {
        let mut next = stage.fork();
        next.invocations = 0;
        let calls = next.turn(act, mishap).map_err(|stalled| self.stalled(act, mishap, &stalled))?;
        self.explored.turns += 1;
        self.explored.invocations += next.invocations;
        Ok((next, calls))
    }

    /// On to the end, or to a stage from which the end has been seen.
    fn settle(&mut self, mut stage: Stage<'_>) -> Result<(), Box<Counterexample>> {
        stage.calm();
        stage.invocations = 0;
        while !stage.is_settled() {
            if !self.settled.insert(stage.fingerprint()) {
                self.explored.invocations += stage.invocations;
                return Ok(());
            }
            stage.turn(Act::Tick, None).map_err(|stalled| self.stalled(Act::Tick, None, &stalled))?;
            self.explored.turns += 1;
        }
        stage.end();
        self.explored.invocations += stage.invocations;
        if stage.violations.is_empty() { Ok(()) } else { Err(self.counterexample(stage.violations)) }
    }

    /// What may go wrong with these calls. A process that dies before a call is one that died after the call before it.
    fn mishaps(&self, act: Act, calls: &[Operation]) -> Vec<Mishap> {
        let on_rules = matches!(self.scenario.target, Target::Alb(_));
        let mut mishaps = Vec::new();
        for (call, operation) in calls.iter().enumerate() {
            let mut ways = vec![Way::Fails(FaultKind::Throttled), Way::KilledAfter];
            // What is read late is as good as a later write.
            ways.extend(if operation.writes() { [Way::AnswerLost, Way::Slow].as_slice() } else { &[Way::Old] });
            let sets = matches!(operation, Operation::Set | Operation::Attach | Operation::Detach);
            if sets || matches!(operation, Operation::Save | Operation::Create) {
                ways.push(Way::Stale);
            }
            if sets && on_rules {
                ways.push(Way::Half);
            }
            ways.retain(|way| act != Act::Outlived || *way == Way::Slow);
            mishaps.extend(ways.into_iter().map(|way| Mishap { call, way }));
        }
        mishaps
    }

    fn counterexample(&self, violations: Vec<Violation>) -> Box<Counterexample> {
        let disturbed = |turn: &&Turn| turn.act != Act::Tick || turn.mishap.is_some();
        let history = History(self.path.iter().filter(disturbed).copied().collect());
        Box::new(Counterexample { history, violations })
    }

    fn stalled(&mut self, act: Act, mishap: Option<Mishap>, stalled: &Stalled) -> Box<Counterexample> {
        let minute = self.path.last().map_or(0, |turn| turn.minute) + 1;
        self.path.push(Turn { minute, act, mishap });
        self.failed(&RunError::Stalled(*stalled))
    }

    fn failed(&self, error: &RunError) -> Box<Counterexample> {
        let at = crate::units::Timestamp::from_epoch_seconds(0);
        let (invariant, rollout, detail) = ("every invocation ends", String::new(), error.to_string());
        self.counterexample(vec![Violation { invariant, at, rollout, detail }])
    }
}
