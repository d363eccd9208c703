//! What a rollout cannot see, said before it is needed.

use super::{JudgePlan, Measure, PlannedCheck, grouped};

/// Minutes of history without any error, from which it is worth a word: a day.
const LONG: u32 = 23 * 60;

/// And requests: at one error in ten thousand, ten would have been expected.
const MANY: f64 = 100_000.0;

/// Where errors are counted by Lambda and there were none in a long history: a handler that catches what fails has none.
#[must_use]
pub fn swallowed(plan: &JudgePlan) -> Option<String> {
    let by_invocation = |check: &&PlannedCheck| check.name == "errors" && !plan.errors_by_status;
    let check = plan.checks.iter().filter(by_invocation).find(|check| check.measure == Measure::Counts)?;
    let learned = check.learned.as_ref()?;
    let past = learned.events.filter(|past| past.events <= 0.0 && past.requests >= MANY)?;
    (learned.minutes >= LONG).then(|| {
        format!(
            "errors: none of {} requests of the old version failed in {} hours: if the handler catches its failures and \
             answers with a status of 500, Lambda counts no error, and this check never sees one; see \
             docs/blind-spots.md for a `rate` check that does",
            grouped(past.requests),
            learned.minutes / 60,
        )
    })
}
