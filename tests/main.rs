//! Tests of the whole: the real `bootstrap`, real SDK calls and a real table in an emulated AWS on 127.0.0.1.

// A test says what went wrong by panicking, and so do its helpers, which clippy does not take for tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;
mod past;

mod alb_faults;
mod alb_refusals;
mod alb_requests;
mod alb_rollouts;
mod backtest;
mod blind_spots;
mod cli;
mod clock;
mod commands;
mod contract;
mod contract_alb;
mod contract_aws;
mod deployment_examples;
mod events;
mod hooks;
mod hooks_ecs;
mod hooks_model;
mod hooks_specs;
mod macros;
mod other_languages;
mod pages;
mod permissions;
mod plan;
mod recordings;
mod refusals;
mod reports;
mod rollouts;
mod run;
mod secrets;
mod stack;
mod stacks;
mod switch;
mod template;
mod trace;
mod wire;
