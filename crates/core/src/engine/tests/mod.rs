//! The engine over every phase, command and kind of observation.

mod alb;
mod commands;
mod fixtures;
mod guest_world;
mod guests;
mod small_world;
mod stories;
mod switch;
mod unseen;
