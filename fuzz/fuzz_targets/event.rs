//! Any bytes as an event of any function.

#![no_main]

coalmine_fuzz::target!(coalmine_functions::probe::event);
