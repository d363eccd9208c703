//! The judge under test: the online one, with plans as a rollout gets them. Nothing of its rule is repeated here.

use coalmine_core::analysis::stats::Stratum;
use coalmine_core::analysis::{
    Asked, Count, History, HistoryMinute, Judge, JudgePlan, Measured, MinuteSample, Pair, learn, plan,
};
use coalmine_core::spec;
use coalmine_core::units::{Minute, Weight};

use crate::world::{Past, Rollout};
use coalmine_core::sim::rng::Rng;

/// First minute of every rollout: 14:00 of some day.
pub const START: i64 = 29_921_880;

/// A plan from the text of a spec without its first lines.
pub fn plan_of(rest: &str) -> JudgePlan {
    let text = format!("coalmine: v1\ntarget: {{ lambda: {{ function: checkout, alias: live }} }}\n{rest}\n");
    match spec::parse(&text) {
        Ok(parsed) => plan(&parsed.spec),
        Err(problems) => panic!("{problems:?} in\n{text}"),
    }
}

/// Only the error rate is judged.
pub fn errors_plan() -> JudgePlan {
    plan_of("checks: [ errors: { tolerate: 0.5pt } ]")
}

/// What the judge learns from so many requests and events a minute, oldest first.
pub fn taught(plan: &JudgePlan, past: &[(f64, f64)]) -> JudgePlan {
    let first = START - i64::try_from(past.len()).unwrap_or(0);
    let minutes = (first..).zip(past).map(|(minute, (requests, events))| HistoryMinute {
        minute: Minute::from_index(minute),
        measured: vec![Count::new(*requests, *events).map(Measured::Count)],
    });
    learn(plan, &History { minutes: minutes.collect(), stretched: Vec::new() })
}

/// The plan after a look at the past; without one where there is none.
pub fn prepared(plan: &JudgePlan, past: Option<&Past>, rollout: &Rollout, rng: &mut Rng) -> JudgePlan {
    past.map_or_else(|| plan.clone(), |past| taught(plan, &past.play(rollout, rng)))
}

/// Minute `index` of the rollout.
pub fn sample(index: usize, weight: f64, pairs: Vec<Pair>) -> MinuteSample {
    let minute = Minute::from_index(START + i64::try_from(index).unwrap_or(0));
    MinuteSample { minute, weight: Weight::from_share(weight).unwrap_or(Weight::ZERO), pairs }
}

pub fn pair(minute: &Stratum) -> Pair {
    Pair::of(Count::new(minute.n_b, minute.x_b), Count::new(minute.n_c, minute.x_c))
}

/// The judge on one check, every minute final as soon as it is over.
#[derive(Debug)]
pub struct Subject<'p> {
    judge: Judge<'p>,
    seen: usize,
}

impl<'p> Subject<'p> {
    pub fn new(plan: &'p JudgePlan) -> Self {
        Self { judge: Judge::new(plan, Asked::EveryStep), seen: 0 }
    }

    /// Takes a minute in; true once harm is proven.
    pub fn see(&mut self, weight: f64, pairs: Vec<Pair>) -> bool {
        self.see_in(weight, pairs, true)
    }

    /// As [`Self::see`], for a minute that may be shared with the step before.
    pub fn see_in(&mut self, weight: f64, pairs: Vec<Pair>, in_step: bool) -> bool {
        self.judge.see(&sample(self.seen, weight, pairs), in_step, true);
        self.seen += 1;
        self.judge.failed_since().is_some()
    }

    /// Whether this step's tolerance is proven now.
    pub fn passes(&self, step: usize) -> bool {
        self.judge.passes(step)
    }
}
