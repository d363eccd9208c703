//! The `coalmine` command, as people run it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use super::Cloud;

/// The command as cargo builds it beside this test. It is no part of this package, so cargo has not built it yet.
pub fn coalmine() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let profile = Path::new(env!("CARGO_BIN_EXE_bootstrap")).parent().expect("the bootstrap is in a folder");
        let target = profile.parent().expect("the profile's folder is in the target");
        let release = profile.ends_with("release").then_some("--release");
        let built = Command::new(env!("CARGO"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            // Not `build`: without the tests' features of the dependencies all of them would be compiled once more.
            .args(["test", "--quiet", "--no-run", "--test", "command", "--target-dir"])
            .arg(target)
            .args(release)
            .output()
            .expect("cargo runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        profile.join("coalmine")
    })
}

/// What it said, and its exit status.
#[derive(Debug)]
pub struct Said {
    pub exit: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it says text");
        Self { exit: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// In this cloud's account.
pub fn command_in(cloud: &Cloud, arguments: &[&str]) -> Command {
    let mut command = Command::new(coalmine());
    command
        .args(arguments)
        .env("AWS_ENDPOINT_URL", cloud.endpoint())
        .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
        .env("USER", "mara")
        .env_remove("COALMINE_STACK")
        .env_remove("COALMINE_TAG")
        .env_remove("COALMINE_FUNCTION");
    command
}

pub fn run_in(cloud: &Cloud, arguments: &[&str]) -> Said {
    command_in(cloud, arguments).output().expect("coalmine runs").into()
}

/// In the background.
pub fn spawn_in(cloud: &Cloud, arguments: &[&str]) -> Child {
    let mut command = command_in(cloud, arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("coalmine runs")
}
