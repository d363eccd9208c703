//! The engine over every phase, command and kind of observation.

mod alb;
mod commands;
mod fixtures;
mod small_world;
mod stories;
