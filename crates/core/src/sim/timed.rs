//! A clock for calls that take their time: it stands still while anything can go on, and then jumps to whatever is due
//! next. So an hour of a crowded account passes in moments, and always in the same way.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::executor::Stalled;
use crate::ports::Budget;

/// The time since the clock was made.
#[derive(Debug, Default)]
pub struct Clock {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    now: Duration,
    sleepers: BTreeMap<(Duration, u64), Waker>,
    slept: u64,
    /// When each service takes the next call, if it limits them.
    free_from: BTreeMap<&'static str, Duration>,
}

/// How long a service takes for a call, and how many it takes a second from one account; `None`: as many as come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Service {
    /// What shares its limit.
    pub limit: &'static str,
    pub answers_in: Duration,
    pub per_second: Option<f64>,
}

impl Clock {
    pub fn now(&self) -> Duration {
        self.lock().now
    }

    /// Ends when the clock is there.
    pub async fn sleep_until(&self, at: Duration) {
        let number = {
            let mut state = self.lock();
            state.slept += 1;
            state.slept
        };
        poll_fn(|context| {
            let mut state = self.lock();
            if state.now >= at {
                state.sleepers.remove(&(at, number));
                return Poll::Ready(());
            }
            state.sleepers.insert((at, number), context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits for the service's turn and its answer.
    pub async fn serve(&self, service: Service) {
        let begins = {
            let mut state = self.lock();
            let now = state.now;
            let free = state.free_from.entry(service.limit).or_default();
            let begins = now.max(*free);
            *free = begins + service.per_second.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate));
            begins
        };
        self.sleep_until(begins + service.answers_in).await;
    }

    /// Runs a future to its end, whatever time that takes on this clock.
    ///
    /// # Errors
    /// When it waits for something that is not time.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> Result<T, Stalled> {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            while woken.0.swap(false, Ordering::Relaxed) {
                if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                    self.lock().sleepers.clear();
                    return Ok(value);
                }
            }
            let next = self.lock().sleepers.pop_first();
            let ((at, _), sleeper) = next.ok_or(Stalled)?;
            let mut state = self.lock();
            state.now = state.now.max(at);
            drop(state);
            sleeper.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The time that an invocation has.
#[derive(Debug)]
pub struct TimedBudget<'a> {
    clock: &'a Clock,
    ends: Duration,
}

impl<'a> TimedBudget<'a> {
    #[must_use]
    pub fn new(clock: &'a Clock, remaining: Duration) -> Self {
        Self { clock, ends: clock.now() + remaining }
    }
}

impl Budget for TimedBudget<'_> {
    fn remaining(&self) -> Duration {
        self.ends.saturating_sub(self.clock.now())
    }

    async fn sleep(&self, wait: Duration) {
        self.clock.sleep_until(self.clock.now() + wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{StreamExt, stream};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_sleeps_side_by_side_takes_the_time_of_the_longest() {
        let clock = Clock::default();
        let sleeps = (1..=5).map(|seconds| clock.sleep_until(seconds * SECOND));
        clock.run(stream::iter(sleeps).buffer_unordered(9).collect::<Vec<()>>()).unwrap();
        assert_eq!(clock.now(), 5 * SECOND);
        let sleeps = (0..6).map(|_| async { clock.sleep_until(clock.now() + SECOND).await });
        clock.run(stream::iter(sleeps).buffer_unordered(2).collect::<Vec<()>>()).unwrap();
        assert_eq!(clock.now(), 8 * SECOND);
        assert_eq!(clock.run(std::future::pending::<()>()), Err(Stalled));
    }

    #[test]
    fn a_service_takes_so_many_calls_a_second() {
        let clock = Clock::default();
        let limited = Service { limit: "alias", answers_in: SECOND, per_second: Some(10.0) };
        let calls = (0..101).map(|_| clock.serve(limited));
        clock.run(stream::iter(calls).buffer_unordered(1_000).collect::<Vec<()>>()).unwrap();
        assert_eq!(clock.now(), 11 * SECOND);
    }

    #[test]
    fn a_budget_is_over_when_its_time_is() {
        let clock = Clock::default();
        let budget = TimedBudget::new(&clock, 50 * SECOND);
        clock.run(budget.sleep(20 * SECOND)).unwrap();
        assert_eq!(budget.remaining(), 30 * SECOND);
        clock.run(budget.sleep(40 * SECOND)).unwrap();
        assert_eq!(budget.remaining(), Duration::ZERO);
    }
}
