//! How much of Lambda's time is left.

use std::time::{Duration, Instant, SystemTime};

use coalmine_core::ports::Budget;
use lambda_runtime::Context;

/// Kept back for the log and the answer.
const RESERVE: Duration = Duration::from_secs(2);

/// The time until an invocation is cut off, less a reserve.
#[derive(Debug)]
pub struct LambdaBudget {
    ends: Instant,
}

impl LambdaBudget {
    pub fn of(context: &Context) -> Self {
        Self::until(context.deadline(), SystemTime::now(), Instant::now())
    }

    /// Wall-clock time is read once: it may be set back while the invocation runs.
    fn until(deadline: SystemTime, wall: SystemTime, now: Instant) -> Self {
        let left = deadline.duration_since(wall).unwrap_or(Duration::ZERO);
        Self { ends: now + left.saturating_sub(RESERVE) }
    }
}

impl Budget for LambdaBudget {
    fn remaining(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }

    async fn sleep(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_kept_and_a_past_deadline_leaves_nothing() {
        let (wall, now) = (SystemTime::now(), Instant::now());
        for (seconds, left) in [(50, 48), (2, 0), (1, 0), (0, 0)] {
            let budget = LambdaBudget::until(wall + Duration::from_secs(seconds), wall, now);
            assert_eq!(budget.ends - now, Duration::from_secs(left));
        }
        let past = LambdaBudget::until(wall - Duration::from_secs(9), wall, now);
        assert_eq!(past.remaining(), Duration::ZERO);
    }
}
