//! Runs a future without a runtime. In the simulated world every call is answered at once, so polling is enough.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// A [`SimBudget`](super::budget::SimBudget) ends a slice after 1 000 polls; a tick that waits for fifty of them one
/// after the other still ends below this. What is pending after that waits for something that never comes.
const POLLS: u32 = 100_000;

/// The future would never end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("still waiting after {POLLS} polls: something waits for an answer that never comes")]
pub struct Stalled;

/// Polls until the future is done.
pub fn run_now<T>(future: impl Future<Output = T>) -> Result<T, Stalled> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..POLLS {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Ok(value);
        }
    }
    Err(Stalled)
}

/// Gives way to whatever runs at the same time, once.
pub async fn yield_once() {
    let mut gave_way = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut gave_way, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_futures_end_and_pending_ones_stall() {
        assert_eq!(run_now(async { 7 }), Ok(7));
        assert_eq!(run_now(std::future::pending::<()>()), Err(Stalled));
    }
}
