//! What was recorded says the same as what was judged live.

use crate::analysis::replay::Replayer;
use crate::analysis::{Verdict, judge, learn, plan};
use crate::driver::{Recorded, Window, record};
use crate::metrics::past::Past;
use crate::recording::{Reader, When};
use crate::sim::executor::run_now;
use crate::sim::rng::Rng;
use crate::sim::world::{Datapoint, World};
use crate::spec::{self, MetricRef, RolloutSpec};
use crate::units::{Minute, Timestamp, Weight};

use super::version;

const FIRST: i64 = 29_400_000;
const HISTORY: i64 = 180;
const WINDOW: i64 = 40;

fn spec() -> RolloutSpec {
    spec::parse(
        "coalmine: v1\ntarget: { lambda: { function: checkout, alias: live } }\nchecks: [errors: {}]\n\
         strategy: { canary: { weight: 10%, bake: 5m } }\n",
    )
    .unwrap()
    .spec
}

/// Three hours of the old version, then forty minutes of both.
fn world(failing: f64, seed: u64) -> World {
    let world = World::new(Timestamp::from_epoch_seconds(60 * (FIRST + 1000)));
    let mut rng = Rng::new(seed);
    let put = |name: &str, of: Option<&str>, minute: Minute, samples: f64, sum: f64| {
        let mut dimensions = vec![
            ("FunctionName".to_owned(), "checkout".to_owned()),
            ("Resource".to_owned(), "checkout:live".to_owned()),
        ];
        dimensions.extend(of.map(|version| ("ExecutedVersion".to_owned(), version.to_owned())));
        let metric = MetricRef {
            namespace: "AWS/Lambda".into(),
            metric: name.into(),
            dimensions: dimensions.into_iter().collect(),
        };
        world.put_datapoint(&metric, minute, Datapoint { samples, sum, arrives: Timestamp::from_epoch_seconds(0) });
    };
    for at in -HISTORY..WINDOW {
        let minute = Minute::from_index(FIRST + at);
        let (mut all, mut errors) = (0.0, 0.0);
        let arms =
            if at < 0 { vec![("41", 2400_u32, 0.004)] } else { vec![("41", 2160_u32, 0.004), ("42", 240, failing)] };
        for (number, requests, failing) in &arms {
            let (n, x) = (f64::from(*requests), rng.binomial(u64::from(*requests), *failing) as f64);
            if arms.len() > 1 {
                put("Invocations", Some(number), minute, n, n);
                put("Errors", Some(number), minute, n, x);
            }
            (all, errors) = (all + n, errors + x);
        }
        put("Invocations", None, minute, all, all);
        put("Errors", None, minute, all, errors);
    }
    world
}

fn recorded(world: &World) -> Recorded {
    let window = Window {
        spec: spec(),
        baseline: version("41"),
        canary: version("42"),
        from: Minute::from_index(FIRST - 20),
        until: Minute::from_index(FIRST + WINDOW),
        history: HISTORY,
    };
    run_now(record(world, &window)).unwrap().unwrap()
}

/// Written, read and judged minute by minute, and judged at once as the controller does.
#[test]
fn a_recording_has_the_judges_verdict() {
    for (failing, seed, expected) in [(0.004, 1, Verdict::Pass), (0.03, 2, Verdict::Fail), (0.2, 3, Verdict::Fail)] {
        let world = world(failing, seed);
        let Recorded { lines, minutes, history_minutes, left_out } = recorded(&world);
        assert_eq!((minutes, history_minutes, left_out), (40, 180, Vec::new()), "all of it");
        let mut reader = Reader::default();
        let mut replay = Replayer::new(&spec()).begin(false);
        for line in &lines {
            let text = serde_json::to_string(line).unwrap();
            replay.see(reader.read(text.as_bytes()).unwrap().unwrap().line);
        }
        let replayed = replay.end();
        assert_eq!(replayed.verdict, expected, "{replayed:?}");

        let live = live(&world, &lines);
        assert_eq!(live.verdict, replayed.verdict);
        let evidence = |analysis: &crate::analysis::Analysis| analysis.comparisons[0].evidence;
        assert_eq!(evidence(&live).harm.to_bits(), evidence(&replayed.analysis).harm.to_bits());
        assert_eq!(live.comparisons[0].ratio, replayed.analysis.comparisons[0].ratio);
        let first = Minute::from_index(FIRST);
        assert_eq!(replayed.span.map(|(from, _)| from), Some(When::Time(first)));
    }
}

fn live(world: &World, lines: &[crate::recording::Line]) -> crate::analysis::Analysis {
    use crate::analysis::{Count, MinuteSample, Pair, Samples};
    use crate::ports::MetricSource;
    let spec = spec();
    let first = Minute::from_index(FIRST);
    let (old, new) = (version("41"), version("42"));
    let frozen = plan(&spec);
    let past =
        Past { spec: &spec, plan: &frozen, baseline: &old, canary: &new, from: first.plus(-HISTORY), until: first };
    let series = run_now(world.fetch(&past.queries(&[0]))).unwrap().into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    let plan = learn(&frozen, &past.history(&[0], &series));
    let minutes = lines.iter().filter(|line| line.canary.is_some()).map(|line| {
        let count = |arm: &Option<crate::recording::Arm>| {
            let arm = arm.as_ref()?;
            Count::new(arm.requests?, arm.errors?)
        };
        MinuteSample {
            minute: line.minute.minute(),
            weight: Weight::from_basis_points(1000).unwrap(),
            pairs: vec![Pair::of(count(&line.baseline), count(&line.canary))],
        }
    });
    let samples = Samples {
        minutes: minutes.collect(),
        settled_before: Some(first.plus(WINDOW)),
        step_since: Some(first),
        ..Samples::default()
    };
    judge(&plan, &samples)
}

#[test]
fn a_version_without_requests_has_no_recording() {
    let window = Window {
        spec: spec(),
        baseline: version("41"),
        canary: version("43"),
        from: Minute::from_index(FIRST),
        until: Minute::from_index(FIRST + WINDOW),
        history: HISTORY,
    };
    let recorded = run_now(record(&world(0.004, 1), &window)).unwrap().unwrap();
    assert!(recorded.lines.is_empty());
}
