//! Any numbers for the judge, past what the reader of recordings would refuse.

#![no_main]

coalmine_fuzz::target!(coalmine_core::analysis::replay::probe::judge);
