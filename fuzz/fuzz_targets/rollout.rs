//! Any bytes as a stored rollout.

#![no_main]

coalmine_fuzz::target!(coalmine_core::probe::rollout);
