//! `coalmine record`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use coalmine_aws::{Aws, AwsConfig};
use coalmine_core::driver::{self, Recorded, Window};
use coalmine_core::ports::Fault;
use coalmine_core::spec::{self, LambdaTarget, Owner, RolloutSpec, Target, Version};
use coalmine_core::text;
use coalmine_core::units::{Minute, Span, Timestamp};

use crate::Exit;
use crate::validate::{load_or_say, shown};

/// Until then CloudWatch may still add to a minute.
const LAG: Span = Span::from_minutes(3);

/// CloudWatch keeps single minutes for 15 days.
pub(crate) const FARTHEST: Span = Span::from_hours(15 * 24);

/// Of a sentence: names from outside are in it.
const CHARS_MAX: usize = 2_000;

/// Save what CloudWatch knows of two versions as a recording, which `coalmine analyze` reads. Reads only.
///
/// Exit status:
///   0  recorded
///   2  wrong use
///   3  there is nothing to record
///   4  AWS or a file did not answer
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The function's name.
    #[arg(long)]
    function: String,
    /// The alias whose traffic both versions had.
    #[arg(long)]
    alias: String,
    /// The old version.
    #[arg(long)]
    baseline: String,
    /// The new version.
    #[arg(long)]
    canary: String,
    /// First minute, such as 2026-11-21T14:02:00Z.
    #[arg(long, conflicts_with = "last", required_unless_present = "last")]
    from: Option<Timestamp>,
    /// The minute to end before [default: three minutes ago, when CloudWatch is complete].
    #[arg(long, conflicts_with = "last")]
    to: Option<Timestamp>,
    /// The last so many minutes or hours, instead: 90m, 3h.
    #[arg(long)]
    last: Option<Span>,
    /// How much of the old version's past goes before the new version's first request.
    #[arg(long, default_value = "24h")]
    history: Span,
    /// Record the checks of this spec [default: errors and latency].
    #[arg(long)]
    spec: Option<PathBuf>,
    /// Write to this file [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The recording goes to `out`, or to the file that is named; what is to be known of it to `err`.
pub fn run(arguments: &Arguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    let spec = match read_spec(arguments.spec.as_deref(), err)? {
        Ok(spec) => spec,
        Err(exit) => return Ok(exit),
    };
    let window = match window(arguments, spec, crate::now()) {
        Ok(window) => window,
        Err(message) => {
            writeln!(err, "{}", text::shown(&message, CHARS_MAX))?;
            return Ok(Exit::Invalid);
        }
    };
    match from_aws(&window) {
        Ok(recorded) => save(arguments, &window, &recorded, out, err),
        Err(message) => {
            writeln!(err, "{}", text::shown(&message, CHARS_MAX))?;
            Ok(Exit::Io)
        }
    }
}

fn from_aws(window: &Window) -> Result<Recorded, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    let recorded = runtime.block_on(async {
        let aws = Aws::new(AwsConfig::default()).await;
        driver::record(&aws, window).await
    });
    recorded.map_err(|fault: Fault| format!("CloudWatch cannot be read: {fault}"))
}

/// The spec whose checks are wanted, or one with those that every spec has.
fn read_spec(spec: Option<&Path>, err: &mut impl Write) -> io::Result<Result<RolloutSpec, Exit>> {
    let Some(path) = spec else {
        let any = "coalmine: v1\ntarget: { lambda: { function: any, alias: any } }\n";
        return Ok(spec::parse(any).map(|valid| valid.spec).map_err(|_| Exit::Invalid));
    };
    Ok(load_or_say(path, false, &mut io::sink(), err)?.map(|valid| valid.spec))
}

fn window(arguments: &Arguments, spec: RolloutSpec, now: Timestamp) -> Result<Window, String> {
    if arguments.baseline == arguments.canary {
        return Err(format!(
            "--baseline and --canary are both {}; a version is not compared with itself",
            arguments.canary
        ));
    }
    let (from, until) = span(arguments.from, arguments.to, arguments.last, now)?;
    let oldest = (now - FARTHEST).minute();
    // Of a longer history the part that is still there is read.
    let kept = u64::try_from(from.minutes_since(oldest)).unwrap_or(0);
    let history = arguments.history.minutes_ceil().min(i64::try_from(kept).unwrap_or(i64::MAX));
    let (function, alias) = (arguments.function.clone(), arguments.alias.clone());
    Ok(Window {
        spec: RolloutSpec { target: Target::Lambda(LambdaTarget { function, alias, owner: Owner::Coalmine }), ..spec },
        baseline: Version(arguments.baseline.clone()),
        canary: Version(arguments.canary.clone()),
        from,
        until,
        history,
    })
}

/// The minutes that are asked for: from, and up to but not including.
pub(crate) fn span(
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    last: Option<Span>,
    now: Timestamp,
) -> Result<(Minute, Minute), String> {
    let complete = (now - LAG).minute();
    let until = to.map_or(complete, Timestamp::minute);
    let from = match (from, last) {
        (Some(from), _) => from.minute(),
        (None, Some(last)) => until.plus(-last.minutes_ceil()),
        (None, None) => return Err("write --from or --last".to_owned()),
    };
    if until > complete {
        return Err(format!(
            "--to {} is not over yet; CloudWatch is complete up to {}",
            until.start(),
            complete.start()
        ));
    }
    if from >= until {
        return Err(format!("--from {} is not before --to {}", from.start(), until.start()));
    }
    let oldest = (now - FARTHEST).minute();
    if from < oldest {
        return Err(format!(
            "--from {} is too long ago: CloudWatch keeps single minutes for 15 days, and then five minutes as one for 63 \
             days, and an hour as one for 455; the judge needs minutes",
            from.start()
        ));
    }
    Ok((from, until))
}

fn save(
    arguments: &Arguments,
    window: &Window,
    recorded: &Recorded,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<Exit> {
    let when = |minute: Minute| minute.start();
    let (from, until) = (when(window.from), when(window.until));
    if recorded.lines.is_empty() {
        let [target, canary] = [&window.spec.target.key(), &arguments.canary].map(|name| text::shown(name, CHARS_MAX));
        writeln!(err, "{target}: version {canary} got no requests from {from} to {until}")?;
        return Ok(Exit::Undecided);
    }
    let mut lines = String::new();
    for line in &recorded.lines {
        lines.push_str(&text::json(&serde_json::to_string(line)?));
        lines.push('\n');
    }
    match &arguments.out {
        None => out.write_all(lines.as_bytes())?,
        Some(path) => {
            if let Err(error) = std::fs::write(path, &lines) {
                writeln!(err, "cannot write {}: {error}", shown(path))?;
                return Ok(Exit::Io);
            }
        }
    }
    let Recorded { minutes, history_minutes, left_out, .. } = recorded;
    writeln!(err, "{minutes} minutes of both versions, {history_minutes} of history")?;
    for check in left_out {
        writeln!(err, "{}: no data", text::shown(check, CHARS_MAX))?;
    }
    Ok(Exit::Fine)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const NOW: i64 = 1_800_000_030;

    fn asked(options: &[&str]) -> Result<Window, String> {
        let fixed = ["coalmine", "record", "--function", "checkout", "--alias", "live", "--baseline", "41"];
        let arguments =
            crate::Arguments::try_parse_from([&fixed, options].concat()).map_err(|error| error.to_string())?;
        let crate::Command::Record(arguments) = arguments.command else { panic!("not record") };
        let spec = read_spec(None, &mut Vec::new()).unwrap().unwrap();
        window(&arguments, spec, Timestamp::from_epoch_seconds(NOW))
    }

    #[test]
    fn the_window_ends_where_cloudwatch_is_complete() {
        let window = asked(&["--canary", "42", "--last", "3h"]).unwrap();
        let complete = Timestamp::from_epoch_seconds(NOW).minute().plus(-3);
        assert_eq!((window.from, window.until, window.history), (complete.plus(-180), complete, 1440));
        assert_eq!(window.spec.target.key(), "checkout:live");
        assert_eq!(
            window.spec.checks.iter().map(|check| check.name.as_str()).collect::<Vec<_>>(),
            ["errors", "latency"]
        );
        let written =
            asked(&["--canary", "42", "--from", "2027-01-15T06:00:00Z", "--to", "2027-01-15T07:00:00Z"]).unwrap();
        assert_eq!(written.until.minutes_since(written.from), 60);
    }

    /// Names are taken as they are given, for CloudWatch knows which there are.
    #[test]
    fn hostile_names_do_nothing_in_what_is_recorded_and_said() {
        const EVIL: &str = "a\u{1b}[2J\u{9b}31m\r\n\u{202e}b\u{2066}\u{2028}\u{feff}<script>&\"'";
        let fixed = ["coalmine", "record", "--function", EVIL, "--alias", EVIL, "--baseline", "41", "--last", "3h"];
        let asked = |more: &[&str]| {
            let arguments = crate::Arguments::try_parse_from([&fixed, more].concat()).unwrap();
            let crate::Command::Record(arguments) = arguments.command else { panic!("not record") };
            arguments
        };
        let harmless = |said: Vec<u8>| {
            let said = String::from_utf8(said).unwrap();
            assert_eq!(said.chars().find(|c| *c != '\n' && text::is_harmful(*c)), None, "{said:?}");
            said
        };
        let spec = || read_spec(None, &mut Vec::new()).unwrap().unwrap();
        let now = Timestamp::from_epoch_seconds(NOW);
        let arm = coalmine_core::recording::Arm {
            rates: [(EVIL.to_owned(), coalmine_core::recording::Rate { events: 1.0, requests: 2.0 })].into(),
            ..coalmine_core::recording::Arm::default()
        };
        let minute = coalmine_core::recording::When::Time(now.minute());
        let line = coalmine_core::recording::Line {
            case: Some(EVIL.to_owned()),
            minute,
            weight: None,
            baseline: Some(arm),
            canary: None,
        };
        let found = Recorded { lines: vec![line.clone()], left_out: vec![EVIL.to_owned()], ..Recorded::default() };
        for (recorded, out_to) in [(&found, None), (&found, Some("/nowhere/a\u{1b}[2J")), (&Recorded::default(), None)]
        {
            let mut options = vec!["--canary", EVIL];
            options.extend(out_to.iter().flat_map(|path| ["--out", *path]));
            let arguments = asked(&options);
            let window = window(&arguments, spec(), now).unwrap();
            let (mut out, mut err) = (Vec::new(), Vec::new());
            save(&arguments, &window, recorded, &mut out, &mut err).unwrap();
            assert!(!harmless(err).is_empty());
            if let Some(read) = harmless(out).lines().next() {
                assert_eq!(serde_json::from_str::<serde_json::Value>(read).unwrap(), serde_json::json!(line));
            }
        }
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let same = [
            "coalmine",
            "record",
            "--function",
            "a",
            "--alias",
            "b",
            "--last",
            "3h",
            "--baseline",
            EVIL,
            "--canary",
            EVIL,
        ];
        let crate::Command::Record(same) = crate::Arguments::try_parse_from(same).unwrap().command else {
            panic!("not record")
        };
        assert_eq!(run(&same, &mut out, &mut err).unwrap(), Exit::Invalid);
        assert!(harmless(err).contains("a version is not compared with itself"));
    }

    #[test]
    fn windows_that_cannot_be_are_refused() {
        for (options, said) in [
            (vec!["--canary", "41", "--last", "3h"], "a version is not compared with itself"),
            (vec!["--canary", "42"], "--from"),
            (vec!["--canary", "42", "--from", "2027-01-15T06:00:00Z", "--last", "3h"], "cannot be used with"),
            (vec!["--canary", "42", "--from", "2027-01-15T07:00:00Z", "--to", "2027-01-15T06:00:00Z"], "is not before"),
            (
                vec!["--canary", "42", "--from", "2027-01-15T06:00:00Z", "--to", "2027-02-01T00:00:00Z"],
                "is not over yet",
            ),
            (vec!["--canary", "42", "--from", "2026-11-01T00:00:00Z"], "15 days"),
            (vec!["--canary", "42", "--last", "soon"], "invalid value"),
        ] {
            let message = asked(&options).unwrap_err();
            assert!(message.contains(said), "{options:?}: {message}");
        }
    }
}
