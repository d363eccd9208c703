//! Time without a clock, for the driver's deadlines.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::ports::Budget;

/// Work in the simulated world is done after a few polls. What is still pending after this many hangs, so the time
/// that bounds it has passed.
const POLLS_UNTIL_OVER: u32 = 1_000;

/// A budget whose time passes only when something hangs: a sleep ends once everything else is stuck, and then the
/// time it took is gone.
#[derive(Debug)]
pub struct SimBudget {
    remaining: Mutex<Duration>,
}

impl SimBudget {
    #[must_use]
    pub fn new(remaining: Duration) -> Self {
        Self { remaining: Mutex::new(remaining) }
    }

    /// The time of a Lambda function with a timeout of a minute.
    #[must_use]
    pub fn plenty() -> Self {
        Self::new(Duration::from_secs(60))
    }

    fn spend(&self, until_remaining: Duration) {
        let mut remaining = self.remaining.lock().unwrap_or_else(PoisonError::into_inner);
        *remaining = until_remaining.min(*remaining);
    }
}

impl Budget for SimBudget {
    fn remaining(&self) -> Duration {
        *self.remaining.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleep(&self, wait: Duration) -> impl Future<Output = ()> + Send {
        // Sleeps that run side by side take their time together, so each one fixes its end when it begins.
        let ends_at = self.remaining().saturating_sub(wait);
        // Without any time left nothing is waited for.
        let polls = if wait.is_zero() { POLLS_UNTIL_OVER } else { 0 };
        Sleep { budget: self, ends_at, polls }
    }
}

struct Sleep<'a> {
    budget: &'a SimBudget,
    ends_at: Duration,
    polls: u32,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.polls += 1;
        if self.polls < POLLS_UNTIL_OVER {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.budget.spend(self.ends_at);
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::executor::run_now;
    use futures_util::future::{Either, join, pending, ready, select};

    #[test]
    fn a_sleep_ends_only_when_the_work_hangs_and_then_its_time_is_gone() {
        let budget = SimBudget::plenty();
        let second = Duration::from_secs(1);
        let done = run_now(select(ready(()), Box::pin(budget.sleep(second)))).unwrap();
        assert!(matches!(done, Either::Left(_)));
        assert_eq!(budget.remaining(), 60 * second);

        let hung = run_now(select(pending::<()>(), Box::pin(budget.sleep(10 * second)))).unwrap();
        assert!(matches!(hung, Either::Right(_)));
        assert_eq!(budget.remaining(), 50 * second);

        run_now(join(budget.sleep(10 * second), budget.sleep(5 * second))).unwrap();
        assert_eq!(budget.remaining(), 40 * second, "side by side, not one after the other");
    }
}
