//! Thousands of rollouts in one account, while CloudWatch throttles half of the calls: how long each waits for its turn,
//! and how they end.
//!
//! `cargo run --release --example overload -- [ROLLOUTS] [MINUTES]` ends with status 1 at a broken promise.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program at a terminal: it reads its arguments")]

use std::process::ExitCode;

use coalmine_core::sim::crowd::{BAKE, Crowd, usual};

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let most = numbers.first().copied().unwrap_or(5_000);
    let minutes = numbers.get(1).copied().unwrap_or(240);
    println!(
        "| rollouts | in a tick | longest wait | to begin | promoted | rolled back | not ended | fired | calls a tick | broken promises |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut sound = true;
    let smaller = [100, 1_000].into_iter().filter(|count| *count < most);
    for rollouts in smaller.chain([most]).filter_map(|count| usize::try_from(count).ok()) {
        let crowd = Crowd {
            rollouts,
            one_bad_in: 10,
            throttled: minutes / 2,
            minutes,
            meddled: None,
            bake: BAKE,
            services: usual,
        };
        match crowd.run() {
            Ok(fared) => {
                sound &= fared.violations.is_empty();
                println!("{}", fared.row(rollouts));
                fared.violations.iter().take(5).for_each(|broken| println!("{broken}"));
            }
            Err(error) => {
                println!("{rollouts}: {error}");
                sound = false;
            }
        }
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
