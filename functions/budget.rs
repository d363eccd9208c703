//! How much of Lambda's time is left.

use std::time::{Duration, Instant, SystemTime};

use coalmine_core::ports::Budget;
use lambda_runtime::Context;

/// The time until an invocation is cut off. What is kept back for a last write and the answer is the driver's business.
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
        Self { ends: now + deadline.duration_since(wall).unwrap_or(Duration::ZERO) }
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
    fn a_past_deadline_leaves_nothing() {
        let (wall, now) = (SystemTime::now(), Instant::now());
        let budget = LambdaBudget::until(wall + Duration::from_secs(50), wall, now);
        assert_eq!(budget.ends - now, Duration::from_secs(50));
        assert!(budget.remaining() > Duration::from_secs(40));
        let past = LambdaBudget::until(wall - Duration::from_secs(9), wall, now);
        assert_eq!(past.remaining(), Duration::ZERO);
    }
}
