//! Runs, seeds and threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use coalmine_core::sim::rng::Rng;

/// What the command line asks for.
#[derive(Debug, Clone, Copy)]
pub struct Bench {
    pub seed: u64,
    /// In place of a table's own number of runs.
    pub runs: Option<u64>,
}

impl Bench {
    /// How many runs a row gets that has `default` of its own.
    pub fn size(&self, default: u64) -> u64 {
        self.runs.unwrap_or(default).max(1)
    }

    /// `each` for every run, on all processors, in the order of the runs. `row` names the row: its runs have a stream of
    /// chance of their own, whatever else is run.
    pub fn runs<T: Send>(&self, row: &str, runs: u64, each: impl Fn(&mut Rng) -> T + Sync) -> Vec<T> {
        let seed = self.seed ^ fnv(row);
        let next = AtomicU64::new(0);
        let work = || {
            let mut done = Vec::new();
            loop {
                let run = next.fetch_add(1, Ordering::Relaxed);
                if run >= runs {
                    return done;
                }
                done.push((run, each(&mut Rng::stream(seed, run))));
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let mut all = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let results = workers.into_iter().map(|worker| match worker.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            results.flatten().collect::<Vec<(u64, T)>>()
        });
        all.sort_by_key(|(run, _)| *run);
        all.into_iter().map(|(_, result)| result).collect()
    }

    /// The share of the runs in which `each` holds.
    #[allow(clippy::cast_precision_loss, reason = "runs of a simulation")]
    pub fn share(&self, row: &str, runs: u64, each: impl Fn(&mut Rng) -> bool + Sync) -> f64 {
        let held = self.runs(row, runs, each).into_iter().filter(|held| *held).count();
        held as f64 / runs.max(1) as f64
    }
}

/// FNV-1a, so that a row's name is its seed on every machine.
fn fnv(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}
