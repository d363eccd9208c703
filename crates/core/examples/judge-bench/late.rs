//! Datapoints that come late, in one version or the other: through `judge`, with the samples as they were visible at each
//! look.

use coalmine_core::analysis::stats::Stratum;
use coalmine_core::analysis::{Count, JudgePlan, MinuteSample, Pair, Samples, Verdict, judge};
use coalmine_core::sim::rng::Rng;
use coalmine_core::units::Minute;

use crate::bench::Bench;
use crate::sheet::{Sheet, percent};
use crate::subject::{START, errors_plan, sample, taught};
use crate::world::{Past, Rollout, Weights};

/// What is late in one version's minutes: every so many of them have it, for so many minutes after they are closed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lateness {
    None,
    /// The datapoint is missing.
    Missing,
    /// A third of its requests, good and failed alike, are not told yet.
    Partial,
    /// Failed requests are told last: slow ones that fail at their end.
    FailuresLast,
}

/// In which version.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arm {
    Old,
    New,
    Both,
}

/// A minute as one version's metrics show it, before and after it is complete.
#[derive(Debug, Clone, Copy)]
struct Told {
    early: Option<Count>,
    whole: Option<Count>,
    /// Minutes after closing until it is whole.
    after: i64,
}

impl Told {
    fn of(requests: f64, events: f64, lateness: Lateness, rng: &mut Rng) -> Self {
        let whole = Count::new(requests, events);
        let after = if rng.chance(0.3) { 1 + i64::try_from(rng.below(3)).unwrap_or(0) } else { 0 };
        let told = |events: f64, part: f64| Count::new((requests * part).floor().max(events), events);
        let early = match lateness {
            Lateness::None => whole,
            Lateness::Missing => None,
            Lateness::Partial => told(crate::chance::binomial(rng, events, 2.0 / 3.0), 2.0 / 3.0),
            Lateness::FailuresLast => {
                let seen = crate::chance::binomial(rng, events, 0.5);
                Count::new(requests - (events - seen), seen)
            }
        };
        Self { early, whole, after }
    }

    fn at(&self, age: i64) -> Option<Count> {
        if age >= self.after { self.whole } else { self.early }
    }
}

/// Looks every minute for an hour; what the verdicts came to.
fn looked_at(plan: &JudgePlan, rollout: &Rollout, (lateness, arm): (Lateness, Arm), rng: &mut Rng) -> (bool, bool) {
    const LAG: i64 = 3;
    let mut traffic = Rng::new(rng.next_u64());
    let mut player = rollout.play(&mut traffic);
    let mut told: Vec<(f64, Told, Told)> = Vec::new();
    let mut passed = false;
    for minute in 0..60_i64 {
        let (Stratum { n_c, x_c, n_b, x_b }, weight) = player.next();
        let late = |of: Arm| if arm == of || arm == Arm::Both { lateness } else { Lateness::None };
        let (old, new) = (Told::of(n_b, x_b, late(Arm::Old), rng), Told::of(n_c, x_c, late(Arm::New), rng));
        told.push((weight, old, new));
        let visible = |(index, (weight, old, new)): (usize, &(f64, Told, Told))| -> MinuteSample {
            let age = minute - i64::try_from(index).unwrap_or(0);
            sample(index, *weight, vec![Pair::of(old.at(age), new.at(age))])
        };
        let samples = Samples {
            minutes: told.iter().enumerate().map(visible).collect(),
            settled_before: Some(Minute::from_index(START + minute + 1 - LAG)),
            step_since: Some(Minute::from_index(START)),
            ..Samples::default()
        };
        match judge(plan, &samples).verdict {
            Verdict::Fail => return (true, passed),
            Verdict::Pass => passed = true,
            Verdict::Inconclusive => {}
        }
    }
    (false, passed)
}

pub fn late(bench: &Bench) -> Vec<Sheet> {
    let runs = bench.size(300);
    let mut sheet = Sheet::new(
        "Late datapoints: looked at every minute for an hour, minutes read again as they heal",
        &["what is late", "in", "false rollbacks, 50 rps 1 %", "aim", "500 rps 0.1 %", "aim", "false promotions", "aim"],
    )
    .about("Three minutes in ten are late by one to three minutes after they are closed; promotion rests on minutes that are")
    .about("settled, three minutes old. Weight 5 %, 3 hours of history. False promotions: worse by exactly what the first step has")
    .about("to keep, 2 points. Each look judges afresh what was visible then.")
    .about(format!("{runs} runs for each number."));
    let plan = errors_plan();
    let kinds = [
        ("nothing", Lateness::None),
        ("datapoints are missing", Lateness::Missing),
        ("a third of the requests", Lateness::Partial),
        ("half of the failed requests", Lateness::FailuresLast),
    ];
    for (name, lateness) in kinds {
        for (arm, of) in [(Arm::Old, "the old version"), (Arm::New, "the new version"), (Arm::Both, "both")] {
            if lateness == Lateness::None && arm != Arm::Both {
                continue;
            }
            let row = format!("late {name}, {of}");
            let looks = |per_second: f64, base: f64, excess: f64| {
                let rollout = Rollout { excess, ..Rollout::harmless(per_second, base, Weights::Constant(0.05)) };
                bench.runs(&format!("{row}, {per_second} {base} {excess}"), runs, |rng| {
                    let past = Past::hours(3).play(&Rollout { excess: 0.0, ..rollout }, rng);
                    looked_at(&taught(&plan, &past), &rollout, (lateness, arm), rng)
                })
            };
            #[allow(clippy::cast_precision_loss, reason = "runs")]
            let share = |of: Vec<bool>| of.iter().filter(|it| **it).count() as f64 / of.len() as f64;
            let failed = |looks: Vec<(bool, bool)>| share(looks.into_iter().map(|(failed, _)| failed).collect());
            let (common, rare) = (failed(looks(50.0, 0.01, 0.0)), failed(looks(500.0, 0.001, 0.0)));
            let passed = share(looks(20.0, 0.01, 0.02).into_iter().map(|(_, passed)| passed).collect());
            let first = sheet.share_at_most(&format!("{row}: 50 rps"), common, runs, 0.01, "1 %");
            let second = sheet.share_at_most(&format!("{row}: 500 rps"), rare, runs, 0.01, "1 %");
            let third = sheet.share_at_most(&format!("{row}: promoted"), passed, runs, 0.05, "5 %");
            let cells = [percent(common), first, percent(rare), second, percent(passed), third];
            sheet.row([name.to_owned(), of.to_owned()].into_iter().chain(cells));
        }
    }
    vec![sheet]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A minute that is read again as it heals must not leave evidence behind.
    #[test]
    fn late_datapoints_make_no_false_verdicts() {
        let plan = errors_plan();
        for (lateness, arm) in [
            (Lateness::Missing, Arm::Old),
            (Lateness::Partial, Arm::New),
            (Lateness::FailuresLast, Arm::New),
            (Lateness::FailuresLast, Arm::Both),
        ] {
            let looks = |run: u64, excess: f64| {
                let rng = &mut Rng::stream(78, run);
                let rollout = Rollout { excess, ..Rollout::harmless(20.0, 0.01, Weights::Constant(0.05)) };
                let past = Past::hours(2).play(&Rollout { excess: 0.0, ..rollout }, rng);
                looked_at(&taught(&plan, &past), &rollout, (lateness, arm), rng)
            };
            let failed = (0..25).filter(|run| looks(*run, 0.0).0).count();
            assert!(failed <= 1, "{lateness:?} in {arm:?}: {failed} of 25 rolled back");
            let passed = (0..25).filter(|run| looks(*run, 0.02).1).count();
            assert!(passed <= 4, "{lateness:?} in {arm:?}: {passed} of 25 promoted at the tolerance");
        }
    }
}
