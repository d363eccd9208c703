//! The SDK takes its endpoints from the environment of its process and from nowhere else, so a test of the adapters runs
//! itself once more in a process that has them.

use std::process::{Command, Stdio};

/// Set in the second process.
const SECOND_RUN: &str = "COALMINE_SECOND_RUN";

/// What the first process tells the second; `None` in the first.
pub fn told() -> Option<String> {
    std::env::var(SECOND_RUN).ok()
}

/// Runs a test by its full name; it must pass.
pub fn run(test: &str, tell: &str, endpoints: &[(&str, String)], input: Stdio) {
    let again = Command::new(std::env::current_exe().expect("a test has a file"))
        .args([test, "--exact", "--nocapture"])
        // A proxy, a profile or an endpoint of the developer's would lead the SDK away from here.
        .env_clear()
        .env(SECOND_RUN, tell)
        .envs(endpoints.iter().map(|(name, endpoint)| (name, endpoint)))
        .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
        .stdin(input)
        .output()
        .expect("a test runs");
    let said = String::from_utf8([again.stdout, again.stderr].concat()).expect("tests speak UTF-8");
    assert!(again.status.success() && said.contains("1 passed"), "{said}");
}
