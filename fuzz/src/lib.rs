//! What the targets have in common.

/// A target that throws a probe's broken promise, with inputs that are damaged as documents, and as bytes.
#[macro_export]
macro_rules! target {
    ($probe:path) => {
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            if let Err(broken) = $probe(bytes) {
                panic!("{broken}");
            }
        });

        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            if seed % 2 == 0 {
                return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
            }
            let mutated = coalmine_core::probe::mutated(&data[..size], seed.into(), max_size.min(data.len()));
            data[..mutated.len()].copy_from_slice(&mutated);
            mutated.len()
        });
    };
}
