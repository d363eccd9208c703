//! What rehearsals come to: every number of a plan is counted in runs of the real controller.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use coalmine_core::sim::rehearsal::{End, Habits, Looks, Rehearsed, Release, Stage};
use coalmine_core::sim::scenario::RunError;
use coalmine_core::spec::{CheckKind, CheckMode, Problem, RolloutSpec};
use coalmine_core::units::{Span, Weight};
use serde::Serialize;

/// Of so many releases, nine in ten count as nearly all.
const NEARLY_ALL: f64 = 0.9;

/// More steps than this are not told one by one: the first ones, and the last.
const STEPS_TOLD: usize = 5;

/// Fewer runs find no such share: nine in ten of them would be all.
const SEARCH_LEAST: usize = 5;

/// Runs of a bisection, each of which only says whether nearly all were caught.
const SEARCH_RUNS: usize = 20;

/// Halvings of a bisection: two tell 4x from 4.5x.
const SEARCH_DEPTH: u32 = 2;

/// Days before the start: releases share them.
const PASTS: u64 = 8;
const PASTS_OF_FEW: u64 = 2;

/// What takes longer than an hour is not told by the minute.
const HOUR_MINUTES: u32 = 60;

/// Enough traffic for any proof: what is left is delay.
const ANY_TRAFFIC_PER_SECOND: f64 = 50_000.0;
const ANY_TRAFFIC_RUNS: usize = 5;

/// Shares of an old version that never failed, for want of anything to multiply.
const OF_NOTHING: [(f64, &str); 4] =
    [(0.05, "5 % fail"), (0.02, "2 % fail"), (0.01, "1 % fail"), (0.005, "0.5 % fail")];
const FACTORS: [f64; 4] = [10.0, 5.0, 3.0, 2.0];
const OUTAGE: f64 = 0.2;
const SLOWER: [(f64, &str); 2] = [(1.1, "+10 %"), (2.0, "2x")];

/// What is rehearsed, how often, and from which seed.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    pub seed: u64,
    pub runs: usize,
}

/// Minutes, of all runs: a run in which it never happened is longer than any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Times {
    /// Half of the runs took no longer; `None` where it did not happen in half of them.
    pub usual: Option<u32>,
    /// The same of nine in ten.
    pub nine_of_ten: Option<u32>,
    pub runs: usize,
}

/// A release that is worse in one way, and what became of it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Harm {
    pub release: String,
    /// Minutes until rolled back, from the beginning of the harm.
    pub rolled_back: Times,
    /// Share of the runs in which it was rolled back without having got a higher weight.
    pub caught_in_step: f64,
}

/// The smallest share of failures that nearly never leaves a step.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Smallest {
    pub failing: f64,
    /// Of the old version's share; `None` where that is nothing.
    pub times: Option<f64>,
}

/// One step of the ladder. The harm of each column begins with the step.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepNumbers {
    /// From 1.
    pub number: usize,
    pub weight: Weight,
    pub requests_per_minute: f64,
    /// How long a good release stays.
    pub moves_on: Times,
    pub failing: Vec<Harm>,
    pub slower: Vec<Harm>,
    pub smallest: Option<Smallest>,
}

/// What became of releases of one kind that are as they are from the start on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ends {
    pub release: String,
    /// How many times as often as the old version it fails; 1 of a good one, `None` where that never does.
    #[serde(skip)]
    pub times: Option<f64>,
    pub promoted: usize,
    pub rolled_back: usize,
    /// Held at the deadline.
    pub undecided: usize,
}

/// Everything that was counted.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Numbers {
    /// Of each kind of release.
    pub runs: usize,
    pub steps: Vec<StepNumbers>,
    /// Steps between those that are told.
    pub steps_not_told: usize,
    /// From the start command to all traffic, of good releases.
    pub total: Times,
    /// What of it there would be with any traffic.
    pub delay_minutes: Option<u32>,
    pub ends: Vec<Ends>,
    #[serde(skip)]
    pub looks: Looks,
}

/// Why nothing was counted.
#[derive(Debug)]
pub enum Unrehearsed {
    /// The start would be refused.
    Refused(Vec<Problem>),
    /// A bug.
    Broken(String),
}

impl From<RunError> for Unrehearsed {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Refused(problems) => Self::Refused(problems),
            RunError::Nothing | RunError::Impossible(_) | RunError::Stalled(_) => Self::Broken(error.to_string()),
        }
    }
}

/// Whether a spec's check of this kind may roll back.
fn rolls_back(spec: &RolloutSpec, kind: fn(&CheckKind) -> bool) -> bool {
    spec.checks.iter().any(|check| check.mode == CheckMode::Enforce && kind(&check.kind))
}

pub fn judges_errors(spec: &RolloutSpec) -> bool {
    rolls_back(spec, |kind| matches!(kind, CheckKind::Errors { .. }))
}

pub fn judges_latency(spec: &RolloutSpec) -> bool {
    rolls_back(spec, |kind| matches!(kind, CheckKind::Latency { .. }))
}

/// Rehearses the spec. `done` is told how much of it is.
pub fn numbers(
    spec: &RolloutSpec,
    habits: Habits,
    lag: Span,
    effort: Effort,
    done: &(dyn Fn(f64) + Sync),
) -> Result<Numbers, Unrehearsed> {
    let hall = Hall { stage: Stage::new(spec, habits, lag, PASTS.min(effort.runs as u64))?, habits, effort };
    let good = hall.good(effort.runs)?;
    done(0.1);
    let told = told(spec.steps.len());
    let mut steps = Vec::new();
    for (place, step) in told.iter().enumerate() {
        steps.push(hall.step(spec, *step, &good)?);
        done(0.1 + 0.8 * (place + 1) as f64 / told.len() as f64);
    }
    let total: Vec<Option<Span>> = good.iter().map(Rehearsed::promoted).collect();
    let ends = hall.ends(spec, &good)?;
    let any = Habits { per_second: habits.per_second.max(ANY_TRAFFIC_PER_SECOND), ..habits };
    let any = Hall { stage: Stage::new(spec, any, lag, 1)?, ..hall }.good(ANY_TRAFFIC_RUNS)?;
    Ok(Numbers {
        runs: effort.runs,
        steps_not_told: spec.steps.len() - steps.len(),
        steps,
        total: Times::of(&total),
        delay_minutes: Times::of(&any.iter().map(Rehearsed::promoted).collect::<Vec<_>>()).usual,
        ends,
        looks: good.first().map(|one| one.looks).unwrap_or_default(),
    })
}

/// How long good releases take from the start command to all traffic.
pub fn total(spec: &RolloutSpec, habits: Habits, lag: Span, effort: Effort) -> Result<Times, Unrehearsed> {
    let good = Hall { stage: Stage::new(spec, habits, lag, PASTS_OF_FEW)?, habits, effort }.good(effort.runs)?;
    Ok(Times::of(&good.iter().map(Rehearsed::promoted).collect::<Vec<_>>()))
}

/// The steps that are told of.
fn told(steps: usize) -> Vec<usize> {
    let first = 0..steps.min(STEPS_TOLD - usize::from(steps > STEPS_TOLD));
    let last = (steps > STEPS_TOLD).then(|| steps - 1);
    first.chain(last).collect()
}

/// Where rehearsals are held.
struct Hall {
    stage: Stage,
    habits: Habits,
    effort: Effort,
}

impl Hall {
    fn good(&self, runs: usize) -> Result<Vec<Rehearsed>, Unrehearsed> {
        collected(each(runs, |run| self.stage.rehearse(Release::Good, Span::ZERO, self.seed(run))))
    }

    fn seed(&self, run: usize) -> u64 {
        self.effort.seed.wrapping_add(run as u64)
    }

    fn step(&self, spec: &RolloutSpec, step: usize, good: &[Rehearsed]) -> Result<StepNumbers, Unrehearsed> {
        let weight = spec.target.settable(spec.steps.get(step).map_or(Weight::ZERO, |step| step.weight));
        let stays: Vec<Option<Span>> =
            good.iter().map(|run| Some(run.left(step)?.minus(*run.reached.get(step)?))).collect();
        let releases = if judges_errors(spec) { failing(self.habits.error_rate) } else { Vec::new() };
        let (mut failing, mut caught) = (Vec::new(), Vec::new());
        for (share, name) in releases {
            let harm = self.harm(Release::Failing(share), name, step, good)?;
            caught.push((share, harm.caught_in_step));
            failing.push(harm);
        }
        let mut slower = Vec::new();
        for (factor, name) in SLOWER.into_iter().filter(|_| judges_latency(spec)) {
            slower.push(self.harm(Release::Slower(factor), name.to_owned(), step, good)?);
        }
        Ok(StepNumbers {
            number: step + 1,
            weight,
            requests_per_minute: weight.share() * self.habits.per_second * 60.0,
            moves_on: Times::of(&stays),
            smallest: if failing.is_empty() || good.len() < SEARCH_LEAST {
                None
            } else {
                self.smallest(step, good, &caught)?
            },
            failing,
            slower,
        })
    }

    /// Releases that are good until this step is reached.
    fn harm(&self, release: Release, name: String, step: usize, good: &[Rehearsed]) -> Result<Harm, Unrehearsed> {
        let begun: Vec<(usize, Span)> =
            good.iter().enumerate().filter_map(|(run, good)| Some((run, *good.reached.get(step)?))).collect();
        let runs = collected(each(begun.len(), |place| {
            let (run, from) = begun[place];
            self.stage.rehearse(release, from, self.seed(run))
        }))?;
        let back = |(run, (_, from)): (&Rehearsed, &(usize, Span))| Some(run.rolled_back()?.minus(*from));
        let times: Vec<Option<Span>> = runs.iter().zip(&begun).map(back).collect();
        let caught = runs.iter().filter(|run| run.rolled_back().is_some() && run.reached.len() <= step + 1).count();
        let caught_in_step = caught as f64 / runs.len().max(1) as f64;
        Ok(Harm { release: name, rolled_back: Times::of(&times), caught_in_step })
    }

    /// Between the largest share that gets away and the smallest that does not.
    fn smallest(&self, step: usize, good: &[Rehearsed], known: &[(f64, f64)]) -> Result<Option<Smallest>, Unrehearsed> {
        let few = &good[..good.len().min(SEARCH_RUNS)];
        let mut found =
            known.iter().filter(|(_, caught)| *caught >= NEARLY_ALL).map(|(share, _)| *share).reduce(f64::min);
        for share in [0.5, 1.0] {
            if found.is_none() && self.is_caught(share, step, few)? {
                found = Some(share);
            }
        }
        let Some(mut caught) = found else { return Ok(None) };
        let slipped = known.iter().filter(|(share, _)| *share < caught).map(|(share, _)| *share).reduce(f64::max);
        // Below the smallest that was tried nothing is known but that the old version's own share is no harm.
        let mut slipped = slipped.unwrap_or(self.habits.error_rate.max(caught / 8.0));
        for _ in 0..SEARCH_DEPTH {
            let middle = (slipped * caught).sqrt();
            if self.is_caught(middle, step, few)? { caught = middle } else { slipped = middle }
        }
        let base = self.habits.error_rate;
        Ok(Some(Smallest { failing: caught, times: (base > 0.0).then(|| caught / base) }))
    }

    fn is_caught(&self, share: f64, step: usize, good: &[Rehearsed]) -> Result<bool, Unrehearsed> {
        Ok(self.harm(Release::Failing(share), String::new(), step, good)?.caught_in_step >= NEARLY_ALL)
    }

    fn ends(&self, spec: &RolloutSpec, good: &[Rehearsed]) -> Result<Vec<Ends>, Unrehearsed> {
        let mut ends = vec![Ends::of("as good".to_owned(), Some(1.0), good)];
        if !judges_errors(spec) {
            return Ok(ends);
        }
        let base = self.habits.error_rate;
        let kinds: Vec<(f64, String)> = if base > 0.0 {
            let factors = [1.5, 2.0, 3.0].into_iter().filter(|factor| base * factor <= 1.0);
            factors.map(|factor| (base * factor, format!("{factor}x errors"))).collect()
        } else {
            OF_NOTHING[1..].iter().rev().map(|(share, name)| (*share, (*name).to_owned())).collect()
        };
        for (share, name) in kinds {
            let run = |run| self.stage.rehearse(Release::Failing(share), Span::ZERO, self.seed(run));
            let times = (base > 0.0).then(|| share / base);
            ends.push(Ends::of(name, times, &collected(each(self.effort.runs, run))?));
        }
        Ok(ends)
    }
}

/// Shares of failures that people think in: an outage, and multiples of what there is.
fn failing(base: f64) -> Vec<(f64, String)> {
    let outage = (OUTAGE > 2.0 * base).then(|| (OUTAGE, "20 % fail".to_owned()));
    if base <= 0.0 {
        return outage.into_iter().chain(OF_NOTHING.map(|(share, name)| (share, name.to_owned()))).collect();
    }
    let multiples = FACTORS.into_iter().filter(|factor| base * factor <= 1.0);
    outage.into_iter().chain(multiples.map(|factor| (base * factor, format!("{factor}x errors")))).collect()
}

impl Ends {
    fn of(release: String, times: Option<f64>, runs: &[Rehearsed]) -> Self {
        let count = |is: fn(&End) -> bool| runs.iter().filter(|run| is(&run.end)).count();
        Self {
            release,
            times,
            promoted: count(|end| matches!(end, End::Promoted(_))),
            rolled_back: count(|end| matches!(end, End::RolledBack(_))),
            undecided: count(|end| *end == End::Undecided),
        }
    }
}

impl Times {
    pub fn of(spans: &[Option<Span>]) -> Self {
        let minutes = |span: Span| u32::try_from(span.seconds().div_ceil(60)).unwrap_or(u32::MAX);
        let mut sorted: Vec<u32> = spans.iter().flatten().map(|span| minutes(*span)).collect();
        sorted.sort_unstable();
        let runs = spans.len();
        // What never happened comes after everything else.
        let at = |share: f64| {
            let place = (share * runs as f64).ceil() as usize;
            sorted.get(place.max(1) - 1).copied()
        };
        Self { usual: at(0.5), nine_of_ten: at(NEARLY_ALL), runs }
    }

    /// `7 / 8`, `40 / 60+`, `-`: nobody waits for more than an hour.
    pub fn shown(self) -> String {
        let one = |minutes: Option<u32>| match minutes {
            Some(minutes) if minutes <= HOUR_MINUTES => minutes.to_string(),
            Some(_) => format!("{HOUR_MINUTES}+"),
            None => "-".to_owned(),
        };
        match (self.usual, self.nine_of_ten) {
            (None, _) => "-".to_owned(),
            (usual, nine) => format!("{} / {}", one(usual), one(nine)),
        }
    }
}

fn collected(runs: Vec<Result<Rehearsed, RunError>>) -> Result<Vec<Rehearsed>, Unrehearsed> {
    Ok(runs.into_iter().collect::<Result<_, _>>()?)
}

/// Runs by number, on all cores; what they come to does not depend on how many there are.
pub(crate) fn each<T: Send>(runs: usize, run: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(runs);
    if cores <= 1 {
        return (0..runs).map(run).collect();
    }
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(runs)));
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= runs {
                        break;
                    }
                    let result = run(number);
                    results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((number, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_happened_takes_longer_than_anything_else() {
        let minutes = |minutes: u64| Some(Span::from_minutes(minutes));
        for (runs, shown) in [
            (vec![minutes(3), minutes(4), minutes(5)], "4 / 5"),
            (vec![minutes(3), minutes(4), None], "4 / -"),
            (vec![minutes(3), None, None], "-"),
            (vec![minutes(61), minutes(50)], "50 / 60+"),
            (vec![Some(Span::from_seconds(61))], "2 / 2"),
            (Vec::new(), "-"),
        ] {
            assert_eq!(Times::of(&runs).shown(), shown, "{runs:?}");
        }
    }

    #[test]
    fn of_a_long_ladder_the_first_steps_and_the_last_one_are_told() {
        assert_eq!(told(0), [0usize; 0]);
        assert_eq!(told(5), [0, 1, 2, 3, 4]);
        assert_eq!(told(9), [0, 1, 2, 3, 8]);
    }

    #[test]
    fn what_is_rehearsed_on_many_cores_comes_in_order() {
        assert_eq!(each(100, |run| run * run), (0..100).map(|run| run * run).collect::<Vec<_>>());
    }
}
