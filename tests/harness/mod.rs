//! An emulated AWS with Coalmine deployed into it, and time that passes a minute at a call.

pub mod again;
mod cloud;
mod coalmine;
mod dice;
mod emulator;
mod fake_elb;
mod http;
pub mod python;
mod serve;
mod shop;
mod stage;
mod stage_alb;
mod weighted_proxy;

pub use cloud::{Cloud, Live};
pub use coalmine::{this_minute, with_fields};
pub use emulator::Emulator;
pub use fake_elb::{FakeElb, State as FakeState, Trouble};
pub use python::{python, support};
pub use serve::{Answer, Server};
pub use shop::{Elb, Shop, without_weights};
pub use stage::{Served, Stage, Traffic, datums};
pub use stage_alb::StageAlb;
pub use weighted_proxy::WeightedProxy;
