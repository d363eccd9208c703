//! An emulated AWS with Coalmine deployed into it, and time that passes a minute at a call.

mod cloud;
mod dice;
mod http;
mod ministack;
pub mod python;
mod stage;

pub use cloud::{Cloud, Live};
pub use python::{python, support};
pub use stage::{Served, Stage, Traffic, datums, this_minute};
