//! A made-up AWS, in memory, with the real services' semantics; and what drives the production driver through it.
//!
//! Architecture Invariant: the simulation is shipped (`coalmine simulate`), never `#[cfg(test)]`, and calls the same
//! [`driver`](crate::driver) as the Lambda functions do, from outside.

pub mod backtest;
pub mod budget;
pub mod contract;
pub mod crowd;
pub mod durations;
pub mod environments;
pub mod executor;
pub mod faults;
pub mod histories;
pub mod invariants;
pub mod language;
pub mod rehearsal;
pub mod rng;
pub mod scenario;
pub mod timed;
pub mod tour;
pub mod traffic;
pub mod world;

#[cfg(test)]
pub(crate) mod samples;
