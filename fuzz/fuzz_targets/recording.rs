//! Any bytes as a recording.

#![no_main]

use coalmine_core::analysis::replay::probe;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(broken) = probe::recording(bytes) {
        panic!("{broken}");
    }
});
