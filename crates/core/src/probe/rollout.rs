//! Rollouts as they are stored. Whoever may write the table may write anything.

use crate::analysis::{Samples, judge};
use crate::command::{Answer, Summary};
use crate::engine::{Order, OrderKind, block_to_seal, decide, needs, order, presumed, push, stands_unseen, untold};
use crate::observation::{Observation, Routing, Seen, SwitchTold};
use crate::rollout::Rollout;
use crate::spec::Mode;
use crate::units::{Span, Timestamp, Weight};

use super::{Broken, same};

/// Any bytes as a rollout's JSON.
///
/// # Errors
///
/// The promise that was broken.
pub fn rollout(bytes: &[u8]) -> Result<(), Broken> {
    let Ok(rollout) = serde_json::from_slice::<Rollout>(bytes) else { return Ok(()) };
    let text = serde_json::to_string(&rollout).map_err(|error| Broken(error.to_string()))?;
    let again: Rollout = serde_json::from_str(&text).map_err(|error| Broken(format!("{text}: {error}")))?;
    same("a stored rollout", &rollout, &again)?;
    // The sentence and the JSON of it, each at most six characters for one.
    let bytes_max = 16 * 1024 + 16 * bytes.len();
    let summary = serde_json::to_string(&Summary::of(&rollout)).map_err(|error| Broken(error.to_string()))?;
    let answer = Answer::about(rollout.clone(), Vec::new());
    let answer = serde_json::to_string(&answer).map_err(|error| Broken(error.to_string()))?;
    if summary.len() + answer.len() > bytes_max {
        return Err(Broken(format!("{} bytes are told of {}", summary.len() + answer.len(), bytes.len())));
    }
    let now = rollout.now + Span::from_minutes(1);
    let _ = (needs(&rollout, now), block_to_seal(&rollout, rollout.sealed_before, now));
    let decisions = decided(&rollout, now).into_iter().chain(asked(&rollout, now));
    let pushed = push(&rollout, now, Span::from_minutes(15)).map(|decision| decision.next);
    let untold = pushed.as_ref().and_then(untold);
    decisions.chain(pushed).chain(untold).try_for_each(|next| {
        let text = serde_json::to_string(&next).map_err(|error| Broken(error.to_string()))?;
        let read: Rollout = serde_json::from_str(&text).map_err(|error| Broken(format!("{text}: {error}")))?;
        same("a decision", &next, &read)
    })
}

/// Whatever people ask.
fn asked(rollout: &Rollout, now: Timestamp) -> Vec<Rollout> {
    let kinds =
        [OrderKind::Pause, OrderKind::Resume, OrderKind::Approve, OrderKind::Promote, OrderKind::Abort].into_iter();
    let asked = kinds.map(|kind| Order { kind, by: "mara".to_owned(), reason: String::new() });
    asked.filter_map(|asked| order(rollout, &asked, now).ok()).map(|decision| decision.next).collect()
}

/// Whatever is live.
fn decided(rollout: &Rollout, now: Timestamp) -> Vec<Rollout> {
    let split = |weight| {
        let canary = (weight > Weight::ZERO).then(|| (rollout.canary.clone(), weight));
        Routing::of(rollout.baseline.clone(), canary)
    };
    let weights = [Weight::ZERO, rollout.desired_weight().unwrap_or(Weight::FULL)].map(split);
    let own = [Routing::of(rollout.canary.clone(), None)].into_iter().chain(weights).chain(presumed(rollout, now));
    let routings = own.map(Seen::Known).chain([Seen::Missing("throttled".to_owned())]);
    routings.map(|routing| decided_on(rollout, now, routing)).collect()
}

fn decided_on(rollout: &Rollout, now: Timestamp, routing: Seen<Routing>) -> Rollout {
    let samples = Samples::default();
    let analysis = judge(&rollout.plan, &samples);
    let seen = Observation {
        now,
        mode: Mode::Enforce,
        routing,
        target_gone: false,
        alarms: Seen::NotAsked,
        canary: Seen::NotAsked,
        deployment: Seen::NotAsked,
        asked: None,
        health: Seen::NotAsked,
        tests: Seen::NotAsked,
        learned: Seen::NotAsked,
        samples: Seen::Known(samples),
        sealed_before: None,
        passes_before: None,
        judge_failed: None,
        switch: Some(Span::from_minutes(15)),
        switch_told: SwitchTold::Nothing,
        target_held_by: None,
        newer: None,
    };
    let decision = decide(rollout, &seen, Some(&analysis));
    let _ = stands_unseen(rollout, &decision);
    decision.next
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::mutated;

    /// As many as a second allows; a fuzzer goes on from here.
    const RUNS: u64 = 1500;

    /// Found by fuzzing: its clock showed more than can be read again, so it could not be saved, and never end.
    #[test]
    fn a_rollout_that_nobody_looked_at_for_years_can_still_be_saved() {
        let golden = include_str!("../../../aws/src/dynamodb/golden/rollout-v1.json");
        let late = golden.replace("\"now\": \"2026-11-21T14:09:00Z\"", "\"now\": \"2426-11-21T14:09:00Z\"");
        assert_ne!(late, golden);
        rollout(late.as_bytes()).unwrap();
    }

    /// Found by fuzzing: what counts its events or its revisions was the largest number there is, and was counted on from.
    #[test]
    fn a_rollout_that_was_changed_more_often_than_there_was_time_for_is_not_read() {
        let golden = include_str!("../../../aws/src/dynamodb/golden/rollout-v1.json");
        let stored: serde_json::Value = serde_json::from_str(golden).unwrap();
        for name in ["eventsTotal", "revision"] {
            for (count, reads) in [(0, true), (1_000_000_000, true), (u64::MAX - 1, false), (u64::MAX, false)] {
                let mut stored = stored.clone();
                stored[name] = count.into();
                rollout(stored.to_string().as_bytes()).unwrap();
                let read = serde_json::from_value::<Rollout>(stored).map(drop);
                let expected = format!("{count} is more than can have been counted");
                assert_eq!(
                    read.map_err(|error| error.to_string()),
                    if reads { Ok(()) } else { Err(expected) },
                    "{name}"
                );
            }
        }
    }

    /// Whoever counted on from the largest step there is would be at the first one.
    #[test]
    fn a_rollout_that_is_at_a_step_beyond_all_is_not_read() {
        let golden = include_str!("../../../aws/src/dynamodb/golden/rollout-v1.json");
        let mut stored: serde_json::Value = serde_json::from_str(golden).unwrap();
        assert!(stored["phase"]["step"].is_u64(), "{}", stored["phase"]);
        for (step, reads) in [(0, true), (49, true), (u64::MAX, false)] {
            stored["phase"]["step"] = step.into();
            rollout(stored.to_string().as_bytes()).unwrap();
            assert_eq!(serde_json::from_value::<Rollout>(stored.clone()).is_ok(), reads, "{step}");
        }
    }

    #[test]
    fn mutated_rollouts_break_no_promise() {
        let document = include_bytes!("../../../aws/src/dynamodb/golden/rollout-v1.json");
        let mut read = 0;
        for seed in 0..RUNS {
            let bytes = mutated(document, seed, 40_000);
            rollout(&bytes).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
            read += u64::from(serde_json::from_slice::<Rollout>(&bytes).is_ok());
        }
        assert!(read > RUNS / 20 && read < RUNS / 2, "some are read, and most are not: {read}");
    }
}
