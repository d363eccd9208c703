//! An emulated AWS with Coalmine deployed into it, and time that passes a minute at a call.

pub mod again;
mod cloud;
mod coalmine;
mod dice;
mod emulator;
mod fake_codedeploy;
mod fake_ecs;
mod fake_elb;
mod http;
mod json_api;
pub mod model;
pub mod python;
mod scheduler;
mod serve;
mod shop;
mod stage;
mod stage_alb;
mod stage_codedeploy;
mod stage_ecs;
mod weighted_proxy;

pub use cloud::{Cloud, Live};
pub use coalmine::{this_minute, with_fields};
pub use emulator::Emulator;
pub use fake_codedeploy::{CodeDeploy, FakeCodeDeploy, Request, Timetable};
pub use fake_ecs::Strategy;
pub use fake_elb::{FakeElb, State as FakeState, Trouble};
pub use json_api::Mishap;
pub use python::{python, support};
pub use scheduler::{SWITCH_ROLE, SWITCHES, Scheduler};
pub use serve::{Answer, Server};
pub use shop::{Elb, Shop, without_weights};
pub use stage::{Served, Stage, Traffic, datums};
pub use stage_alb::StageAlb;
pub use stage_codedeploy::{AT_ONCE, CANARY, LINEAR, StageCodeDeploy};
pub use stage_ecs::StageEcs;
pub use weighted_proxy::WeightedProxy;
