//! The Python environment of the emulators, made once under `target/`.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const REQUIREMENTS: &str = include_str!("../requirements.txt");
const OLDEST: (u32, u32) = (3, 11);

/// A script in `tests/support`.
pub fn support(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support").join(script)
}

/// The interpreter of an environment that has `tests/requirements.txt` installed.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| make_environment().unwrap_or_else(|problem| panic!("{problem}")))
}

/// Keyed by what is installed, so that a changed requirement makes a new one. A lock keeps parallel processes apart; a
/// marker written last tells a whole environment from one whose making was interrupted.
fn make_environment() -> Result<PathBuf, String> {
    let base = base_python()?;
    let mut hasher = DefaultHasher::new();
    (REQUIREMENTS, &base).hash(&mut hasher);
    let folder = target().join("venv").join(format!("{:016x}", hasher.finish()));
    let (python, marker) = (folder.join("bin/python"), folder.join("complete"));

    std::fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let lock = File::create(folder.with_extension("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| format!("cannot lock {}: {error}", folder.display()))?;
    if marker.exists() {
        return Ok(python);
    }
    // Not `eprintln!`: the output of a test that passes is not shown, and this takes a while.
    let note = format!("installing the emulators under {} (once)\n", folder.display());
    std::io::stderr().write_all(note.as_bytes()).map_err(|error| error.to_string())?;
    let venv = Command::new(&base).args(["-m", "venv", "--clear"]).arg(&folder).output();
    succeeded(venv).map_err(|why| {
        format!("cannot make a Python environment; install Python's venv (Debian, Ubuntu: apt-get install python3-venv): {why}")
    })?;
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/requirements.txt");
    let pip = Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(requirements)
        .output();
    succeeded(pip).map_err(|why| {
        format!("cannot install tests/requirements.txt from the package index (pip's settings are honoured): {why}")
    })?;
    File::create(&marker).map_err(|error| error.to_string())?;
    Ok(python)
}

/// The first Python that is new enough.
fn base_python() -> Result<String, String> {
    let candidates = ["python3", "python3.14", "python3.13", "python3.12", "python3.11"];
    let check = format!("import sys; sys.exit(sys.version_info < {OLDEST:?})");
    let new_enough =
        |python: &&&str| Command::new(python).args(["-c", &check]).output().is_ok_and(|o| o.status.success());
    let found = candidates.iter().find(new_enough).map(|python| (*python).to_owned());
    found.ok_or_else(|| {
        format!(
            "the tests need Python >= {}.{} and found none (tried {}); install it, on Debian or Ubuntu with \
             `apt-get install python3 python3-venv`",
            OLDEST.0,
            OLDEST.1,
            candidates.join(", ")
        )
    })
}

fn target() -> PathBuf {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    scratch.parent().unwrap_or(scratch).to_owned()
}

fn succeeded(output: std::io::Result<std::process::Output>) -> Result<(), String> {
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}
