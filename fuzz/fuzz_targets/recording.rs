//! Any bytes as a recording.

#![no_main]

coalmine_fuzz::target!(coalmine_core::analysis::replay::probe::recording);
