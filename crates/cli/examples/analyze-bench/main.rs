//! How fast `coalmine analyze` is, and how much memory it takes: 10,000 cases of 60 minutes, beside scipy's Mann-Whitney
//! over the same file. `cargo run --release --example analyze-bench`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints its result")]

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use coalmine_core::sim::rng::Rng;

const CASES: u64 = 10_000;
const MINUTES: i64 = 60;
const SPEC: &str = "coalmine: v1\ntarget: { lambda: { function: checkout, alias: live } }\nchecks: [errors: {}]\n";

fn main() -> Result<(), Box<dyn Error>> {
    let target = target();
    let folder = target.join("analyze-bench");
    std::fs::create_dir_all(&folder)?;
    let (recording, spec) = (folder.join("recording.jsonl"), folder.join("spec.yaml"));
    std::fs::write(&spec, SPEC)?;
    write(&recording)?;
    let megabytes = std::fs::metadata(&recording)?.len() / 1_000_000;
    println!("{CASES} cases of {MINUTES} minutes, {megabytes} MB of JSON Lines");

    let binary = target.join("release/coalmine");
    let build = ["build", "--release", "--package", "coalmine-cli", "--no-default-features", "--bin", "coalmine"];
    if !Command::new("cargo").args(build).arg("--target-dir").arg(&target).status()?.success() {
        return Err("coalmine cannot be built".into());
    }
    let verdicts = folder.join("verdicts.jsonl");
    let mut analyze = Command::new(&binary);
    analyze.arg("analyze").arg("--spec").arg(&spec).arg(&recording).arg("--json").stdout(File::create(&verdicts)?);
    let ours = measure(&mut analyze, &[0, 1, 3])?;
    report("coalmine analyze", ours);
    let verdicts = std::fs::read_to_string(&verdicts)?;
    let worse = verdicts.lines().filter(|line| line.contains(r#""verdict":"fail""#)).count();
    println!(
        "  {} verdicts, {worse} of them proven worse (one case in ten has three times the errors)",
        verdicts.lines().count()
    );

    let Some(python) = python(&target) else {
        return Err("scipy cannot be had: install Python 3.11 or newer with venv, and let pip reach PyPI".into());
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/analyze-bench/mann_whitney.py");
    let theirs = measure(Command::new(python).arg(script).arg(&recording), &[0])?;
    report("scipy, Mann-Whitney", theirs);
    println!("time: 1 to {:.1}; memory: 1 to {:.1}", ratio(theirs.0, ours.0), as_f64(theirs.1) / as_f64(ours.1.max(1)));
    Ok(())
}

/// Where this very program was built.
fn target() -> PathBuf {
    let own = std::env::current_exe().ok();
    let target = own.as_deref().and_then(|own| own.ancestors().find(|folder| folder.join("release/examples").is_dir()));
    target.map_or_else(|| PathBuf::from("target"), Path::to_owned)
}

/// One case in ten has three times the errors from its twentieth minute on.
fn write(path: &Path) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut rng = Rng::new(1);
    for case in 0..CASES {
        for minute in 0..MINUTES {
            let worse = if case % 10 == 0 && minute >= 20 { 3.0 } else { 1.0 };
            let canary = rng.poisson(300.0);
            let (old, new) = (rng.binomial(2700, 0.01), rng.binomial(canary, 0.01 * worse));
            writeln!(
                file,
                "{{\"case\":\"{case}\",\"minute\":{minute},\"weight\":\"10%\",\"baseline\":{{\"requests\":2700,\"errors\":{old}}},\
                 \"canary\":{{\"requests\":{canary},\"errors\":{new}}}}}"
            )?;
        }
    }
    file.flush()
}

/// Wall-clock time, and peak memory in kilobytes.
type Cost = (Duration, u64);

/// Runs a program to its end. Its peak memory is looked at while it runs: `VmHWM` of /proc is a peak by itself.
fn measure(command: &mut Command, fine: &[i32]) -> Result<Cost, Box<dyn Error>> {
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kilobytes.unwrap_or(0));
        if let Some(ended) = child.try_wait()? {
            let took = start.elapsed();
            let expected = ended.code().is_some_and(|code| fine.contains(&code));
            return if expected { Ok((took, peak)) } else { Err(format!("{command:?} ended with {ended}").into()) };
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn report(name: &str, (took, kilobytes): Cost) {
    let each = took.as_secs_f64() * 1e6 / as_f64(CASES);
    println!("{name}: {:.2} s, {each:.0} us a case, {:.1} MB at most", took.as_secs_f64(), as_f64(kilobytes) / 1000.0);
}

fn ratio(theirs: Duration, ours: Duration) -> f64 {
    theirs.as_secs_f64() / ours.as_secs_f64().max(1e-9)
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

/// A Python with scipy, installed under `target` when it is not there yet.
fn python(target: &Path) -> Option<PathBuf> {
    let venv = target.join("scipy-venv");
    let python = venv.join("bin/python");
    let has_scipy = || Command::new(&python).args(["-c", "import scipy.stats"]).status().is_ok_and(|s| s.success());
    if python.exists() && has_scipy() {
        return Some(python);
    }
    eprintln!("installing scipy into {}", venv.display());
    let made = Command::new("python3").args(["-m", "venv"]).arg(&venv).status().is_ok_and(|status| status.success());
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "scipy"];
    let installed = made && Command::new(&python).args(pip).status().is_ok_and(|status| status.success());
    (installed && has_scipy()).then_some(python)
}
