//! Any bytes as a spec, and after a zero byte as an account's defaults.

#![no_main]

coalmine_fuzz::target!(coalmine_core::probe::spec);
