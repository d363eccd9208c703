//! Everything that decides a rollout.
//!
//! Architecture Invariant: this crate does no I/O and reads no clock, environment or randomness. Every decision replays
//! from a file.

pub mod alb;
pub mod analysis;
pub mod cloudformation;
pub mod command;
pub mod deployment;
pub mod driver;
pub mod engine;
pub mod evidence;
pub mod fault;
pub mod metrics;
pub mod observation;
pub mod ports;
pub mod probe;
pub mod recording;
pub mod report;
pub mod rollout;
pub mod sim;
pub mod spec;
pub mod text;
pub mod units;
pub mod way_out;
