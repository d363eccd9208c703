//! Tests of the whole: the real `bootstrap`, real SDK calls and a real table in an emulated AWS on 127.0.0.1.

mod harness;

mod commands;
mod events;
mod refusals;
mod rollouts;
mod schedule;
mod template;
mod trace;
