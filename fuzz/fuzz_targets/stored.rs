//! Any bytes as an item of the table.

#![no_main]

coalmine_fuzz::target!(coalmine_aws::probe::stored);
