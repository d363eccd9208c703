//! Rollouts as they are stored. Whoever may write the table may write anything.

use crate::analysis::{Samples, judge};
use crate::command::{Answer, Summary};
use crate::engine::{decide, needs};
use crate::observation::{Observation, Seen, SwitchTold};
use crate::rollout::Rollout;
use crate::spec::Mode;
use crate::units::Span;

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
    let _ = needs(&rollout, now);
    let samples = Samples::default();
    let analysis = judge(&rollout.plan, &samples);
    let seen = Observation {
        now,
        mode: Mode::Enforce,
        routing: Seen::Missing("throttled".to_owned()),
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
        switch: None,
        switch_told: SwitchTold::Nothing,
        target_held_by: None,
        newer: None,
    };
    let next = decide(&rollout, &seen, Some(&analysis)).next;
    let text = serde_json::to_string(&next).map_err(|error| Broken(error.to_string()))?;
    let read: Rollout = serde_json::from_str(&text).map_err(|error| Broken(format!("{text}: {error}")))?;
    same("a decision", &next, &read)
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
