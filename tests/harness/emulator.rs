//! Emulators of AWS, one per test: they start in half a second, and what a test does to them no other test can see.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::python::{python, support};

/// Runs until it is dropped. Should this process die first, the end of the pipe ends it too.
pub struct Emulator {
    supervisor: Child,
    port: u16,
}

impl Emulator {
    /// Runs functions; has all that Coalmine uses but load balancers with weights.
    pub fn ministack() -> Self {
        Self::start("ministack")
    }

    /// Has load balancers with weights, and services that may own them.
    pub fn moto() -> Self {
        Self::start("moto")
    }

    fn start(which: &str) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{which}-{}-{number}", std::process::id()));
        let mut supervisor = Command::new(python())
            .arg(support("emulator.py"))
            .arg(which)
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the environment's python runs");
        let mut line = String::new();
        let output = supervisor.stdout.take().expect("standard output is piped");
        BufReader::new(output).read_line(&mut line).expect("the supervisor writes text");
        let port = line.trim().parse().expect("the emulator starts; see above why it does not");
        Self { supervisor, port }
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        // Only after this is everything that it started gone.
        let _ = self.supervisor.wait();
    }
}
