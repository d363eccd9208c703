use super::*;
use crate::metrics::{SeriesQuery, Stat};
use crate::observation::Readiness;
use crate::ports::{MetricSource, TrafficRouter};
use crate::sim::environments::{Account, Invoked, Service};
use crate::sim::executor::run_now;
use crate::sim::samples::{On, baseline, canary, start, target, world};
use crate::sim::scenario::Scenario;
use crate::sim::world::Rule;
use crate::spec::MetricRef;

fn steady(per_second: f64) -> Traffic {
    Traffic {
        per_second,
        changes: Vec::new(),
        daily: None,
        bursts: None,
        versions: BTreeMap::from([
            (baseline(), Behaviour::steady(0.01)),
            (
                canary(),
                Behaviour { failing: vec![(Span::ZERO, 0.0), (Span::from_minutes(30), 0.5)], ..Behaviour::default() },
            ),
        ]),
        delivery: Delivery::default(),
    }
}

fn generator<'a>(world: &'a World, traffic: &'a Traffic, seed: u64) -> Generator<'a> {
    Generator::new(world, &target(), traffic, seed, start(), start())
}

fn total(pieces: &[Piece], version: &Version, minutes: std::ops::Range<i64>) -> Tally {
    let (from, until) = (start().minute().plus(minutes.start), start().minute().plus(minutes.end));
    let within = pieces.iter().filter(|piece| piece.from >= from.start() && piece.until <= until.start());
    let mut total = Tally::default();
    within.for_each(|piece| total += piece.versions.get(version).copied().unwrap_or_default());
    total
}

/// All versions' requests by minute.
fn requests(pieces: &[Piece]) -> BTreeMap<Minute, u64> {
    let mut requests = BTreeMap::new();
    for piece in pieces {
        let all: u64 = piece.versions.values().map(|tally| tally.requests).sum();
        *requests.entry(piece.from.minute()).or_default() += all;
    }
    requests
}

/// Within five standard deviations of a count's mean.
fn assert_near(what: &str, count: u64, mean: f64) {
    let difference = (count as f64 - mean).abs();
    assert!(difference <= 5.0 * mean.sqrt(), "{what}: {count}, expected about {mean}");
}

fn minutes(count: u64) -> Timestamp {
    start() + Span::from_minutes(count)
}

#[test]
fn requests_follow_the_weights_in_force_and_fail_as_the_versions_do() {
    let (world, traffic) = (world(), steady(40.0));
    let mut generator = generator(&world, &traffic, 5);
    generator.run_until(minutes(10));
    world.write(&target(), &baseline(), Some((canary(), "25%".parse().unwrap()))).unwrap();
    generator.run_until(minutes(60));
    world.write(&target(), &canary(), None).unwrap();
    generator.run_until(minutes(70));
    let of = |version: Version, minutes| total(&generator.pieces, &version, minutes);
    assert_eq!(of(canary(), 0..10), Tally::default());
    assert_near("old alone", of(baseline(), 0..10).requests, 24_000.0);
    assert_near("old beside", of(baseline(), 10..60).requests, 90_000.0);
    assert_near("old failing", of(baseline(), 10..60).failed, 900.0);
    assert_near("new at 25 %", of(canary(), 10..60).requests, 30_000.0);
    assert_eq!(of(canary(), 10..30).failed, 0);
    assert_near("new failing later", of(canary(), 30..60).failed, 9_000.0);
    assert_eq!(of(baseline(), 60..70), Tally::default());
    assert_near("new alone", of(canary(), 60..70).requests, 24_000.0);
}

#[test]
fn a_seed_repeats_and_pieces_of_a_minute_make_a_whole() {
    let traffic = Traffic { bursts: Some(Bursts { chance: 0.5, factor: 3.0 }), ..steady(20.0) };
    let run = |seed, pieces: &[u64]| {
        let world = world();
        let mut generator = generator(&world, &traffic, seed);
        pieces.iter().for_each(|seconds| generator.run_until(start() + Span::from_seconds(*seconds)));
        generator.pieces
    };
    assert_eq!(run(1, &[600]), run(1, &[600]));
    assert_ne!(run(1, &[600]), run(2, &[600]));
    let (whole, pieces) = (run(3, &[6000]), run(3, &(1..=300).map(|k| 20 * k).collect::<Vec<_>>()));
    let (burst, quiet) = (3.0 * 1200.0, 1200.0);
    let (whole, pieces) = (requests(&whole), requests(&pieces));
    for (minute, one) in pieces {
        let near = |requests: u64, mean: f64| (requests as f64 - mean).abs() < 6.0 * mean.sqrt();
        let other = whole[&minute];
        assert!(near(one, burst) && near(other, burst) || near(one, quiet) && near(other, quiet), "{minute:?}");
    }
}

#[test]
fn the_day_rises_and_falls() {
    let traffic = Traffic { daily: Some(Daily { swing: 0.5, peak_hour: 14.5 }), ..steady(40.0) };
    let world = world();
    let mut generator = generator(&world, &traffic, 6);
    generator.run_until(minutes(24 * 60));
    let of = |from: i64| total(&generator.pieces, &baseline(), from..from + 60).requests;
    assert!(of(0) > 140_000 && of(12 * 60) < 74_000, "{} at the peak, {} at the bottom", of(0), of(12 * 60));
}

#[test]
fn cloudwatch_shows_what_happened_once_all_has_arrived() {
    let (world, traffic) = (world(), steady(30.0));
    world.write(&target(), &baseline(), Some((canary(), "10%".parse().unwrap()))).unwrap();
    let mut generator = generator(&world, &traffic, 7);
    generator.run_until(minutes(40));
    let read = |metric: &MetricRef, stat| {
        let (from, until) = (start().minute(), start().minute().plus(40));
        let query = SeriesQuery { metric: metric.clone(), stat, period: crate::metrics::Period::Minute, from, until };
        run_now(world.fetch(&[query])).unwrap().remove(0).unwrap()
    };
    let series::Of::Lambda(version) = series::Of::version(&target(), &canary()) else { panic!("an alias") };
    world.set_now(start() + Span::from_seconds(140));
    let early: f64 = read(&version[0], Stat::Sum).values().sum();
    assert!(early > 0.0 && early < total(&generator.pieces, &canary(), 0..2).requests as f64);
    world.set_now(minutes(50));
    for piece in &generator.pieces {
        let (minute, tally) = (piece.from.minute(), piece.versions[&canary()]);
        let (requests, failed) = (tally.requests as f64, tally.failed as f64);
        let read = |k: usize, stat| read(&version[k], stat).get(&minute).copied();
        assert_eq!(read(0, Stat::Sum), Some(requests));
        assert_eq!(read(0, Stat::SampleCount), Some(requests));
        assert_eq!(read(1, Stat::Sum), Some(failed));
        assert_eq!(read(1, Stat::SampleCount), Some(requests));
        let all: u64 = piece.versions.values().map(|tally| tally.requests).sum();
        assert_eq!(read(3, Stat::Sum), Some(all as f64), "the alias as a whole");
        assert_eq!(read(6, Stat::Sum), Some(all as f64), "the function as a whole");
    }
}

#[test]
fn a_version_that_cannot_serve_fails_every_request_and_leaves_no_trace() {
    let (world, traffic) = (world(), steady(30.0));
    world.write(&target(), &canary(), None).unwrap();
    let mut info = run_now(world.version(&target(), Some(&canary()))).unwrap().unwrap();
    info.readiness = Readiness::NotYet("Pending".to_owned());
    world.publish_version("checkout", info);
    let mut generator = generator(&world, &traffic, 8);
    generator.run_until(minutes(5));
    let tally = total(&generator.pieces, &canary(), 0..5);
    assert!(tally.requests > 0 && tally.unserved == tally.requests && tally.failed == tally.requests);
    world.set_now(minutes(20));
    let series::Of::Lambda(series) = series::Of::version(&target(), &canary()) else { panic!("an alias") };
    let metric = series[0].clone();
    let query = SeriesQuery {
        metric,
        stat: Stat::Sum,
        period: crate::metrics::Period::Minute,
        from: start().minute(),
        until: start().minute().plus(5),
    };
    assert!(run_now(world.fetch(&[query])).unwrap().remove(0).unwrap().is_empty());
}

fn read(world: &World, metric: &MetricRef, stat: Stat, minutes: i64) -> BTreeMap<Minute, f64> {
    let (from, until) = (start().minute(), start().minute().plus(minutes));
    let query = SeriesQuery { metric: metric.clone(), stat, period: crate::metrics::Period::Minute, from, until };
    run_now(world.fetch(&[query])).unwrap().remove(0).unwrap()
}

/// As the metrics of target groups are read by whoever judges.
#[test]
fn target_groups_have_series_of_what_happened_and_none_of_what_did_not() {
    let on = On::Alb;
    let (world, traffic) = (on.world(), on.of(Scenario { traffic: steady(30.0), ..release() }).traffic);
    world.write(&on.target(), &on.baseline(), Some((on.canary(), "10%".parse().unwrap()))).unwrap();
    let mut generator = Generator::new(&world, &on.target(), &traffic, 7, start(), start());
    generator.run_until(minutes(40));
    world.set_now(minutes(50));
    let metric = |name: &str, version: &Version| MetricRef {
        namespace: "AWS/ApplicationELB".to_owned(),
        metric: name.to_owned(),
        dimensions: BTreeMap::from([
            ("LoadBalancer".to_owned(), "app/shop/50dc6c495c0c9188".to_owned()),
            ("TargetGroup".to_owned(), crate::alb::group_dimension(&version.0).unwrap().to_owned()),
        ]),
    };
    for version in [on.baseline(), on.canary()] {
        let of = |name: &str, stat| read(&world, &metric(name, &version), stat, 40);
        let (requests, failed) = (of("RequestCount", Stat::Sum), of("HTTPCode_Target_5XX_Count", Stat::Sum));
        let refused = of("TargetConnectionErrorCount", Stat::Sum);
        let took = of("TargetResponseTime", Stat::SampleCount);
        for piece in &generator.pieces {
            let (minute, tally) = (piece.from.minute(), piece.versions[&version]);
            let at = |series: &BTreeMap<Minute, f64>| series.get(&minute).copied();
            assert_eq!(at(&requests), Some(tally.requests as f64));
            let (answered, none) = (at(&failed).unwrap_or(0.0), at(&refused).unwrap_or(0.0));
            assert_eq!(Some(answered + none), Some(tally.failed as f64));
            assert_eq!(at(&failed).is_none(), answered <= 0.0, "no datapoint of zero");
            let answers = at(&took).unwrap();
            assert!((answers - (tally.requests as f64 - none)).abs() < 1e-6, "{answers}");
        }
        let all: f64 = of("TargetResponseTime", Stat::Average).values().sum();
        assert!((all / 40.0 - 0.0958).abs() < 0.01, "seconds: {all}");
    }
    assert_eq!(read(&world, &metric("TargetConnectionErrorCount", &on.canary()), Stat::Sum, 30), BTreeMap::new());
    let hit = read(&world, &metric("TargetConnectionErrorCount", &on.canary()), Stat::Sum, 40);
    assert!(hit.len() >= 9, "{hit:?}");
}

fn release() -> Scenario {
    Scenario::of("checkout", "live", &baseline(), serde_json::json!({ "version": "42" }), steady(30.0))
}

#[test]
fn clients_that_are_held_stay_when_the_weights_change() {
    let on = On::Alb;
    let (world, traffic) = (on.world(), on.of(Scenario { traffic: steady(40.0), ..release() }).traffic);
    world.write(&on.target(), &on.canary(), None).unwrap();
    let mut generator = Generator::new(&world, &on.target(), &traffic, 9, start(), start());
    generator.run_until(minutes(5));
    let Target::Alb(alb) = on.target() else { panic!("target groups") };
    let stick = |sticky| {
        for reference in &alb.rules {
            let groups = vec![(on.baseline(), 1), (on.canary(), 0)];
            let rule = Rule { groups, sticky, actions_before: 1 };
            world.write_rule(&on.target(), reference, rule).unwrap();
        }
    };
    stick(Some(Span::from_minutes(10)));
    generator.run_until(minutes(6));
    let of = |generator: &Generator<'_>, minutes| total(&generator.pieces, &on.canary(), minutes).requests;
    assert_near("nine tenths are held", of(&generator, 5..6), 0.9 * 2400.0);
    generator.run_until(minutes(15));
    assert!(of(&generator, 14..15) < 1200, "they come back one by one");
    stick(None);
    generator.run_until(minutes(16));
    assert_eq!(of(&generator, 15..16), 0, "let go");
}

/// What Lambda counts: an invocation that ran has its datapoints in its minute once it has ended; what was throttled has
/// none, and is counted for the alias.
#[test]
fn one_by_one_cloudwatch_shows_what_ran_once_it_has_ended() {
    let (world, mut traffic) = (world(), steady(30.0));
    world.write(&target(), &baseline(), Some((canary(), "10%".parse().unwrap()))).unwrap();
    let slow = Latency { median_ms: 3_600_000.0, ..Latency::default() };
    traffic.versions.insert(canary(), Behaviour::steady(0.0).taking(Span::ZERO, slow));
    let service = Service {
        environments: BTreeMap::new(),
        account: Account { concurrency: Some(40), others: 10, reserved: None },
        invoked: Invoked::Synchronously,
        poison: 0.0,
        timeout: Span::from_minutes(5),
    };
    let mut generator = generator(&world, &traffic, 11).in_environments(Some(&service));
    generator.run_until(minutes(12));
    let series::Of::Lambda(old) = series::Of::version(&target(), &baseline()) else { panic!("an alias") };
    let series::Of::Lambda(new) = series::Of::version(&target(), &canary()) else { panic!("an alias") };
    let sum = |metric: &MetricRef| read(&world, metric, Stat::Sum, 12).values().sum::<f64>();
    world.set_now(minutes(4));
    assert!(sum(&old[0]) > 0.0 && sum(&new[0]) <= 0.0, "those that hang have not ended");
    world.set_now(minutes(30));
    for (version, series) in [(baseline(), &old), (canary(), &new)] {
        let tally = total(&generator.pieces, &version, 0..12);
        assert_eq!((sum(&series[0]), sum(&series[1])), (tally.requests as f64, tally.failed as f64));
        let durations: f64 = read(&world, &series[2], Stat::SampleCount, 12).values().sum();
        assert!((durations - tally.requests as f64).abs() < 1e-6, "{durations}");
    }
    let took = read(&world, &new[2], Stat::Percentile(crate::metrics::Bound::new(50.0).unwrap()), 12);
    assert!(took.values().all(|ms| (ms / 300_000.0 - 1.0).abs() < 0.05), "cut off: {took:?}");
    let used = generator.pieces.iter().map(|piece| piece.used.throttled).sum::<u64>();
    let throttles = |dimensions: usize| MetricRef {
        metric: "Throttles".to_owned(),
        dimensions: old[0]
            .dimensions
            .clone()
            .into_iter()
            .filter(|(name, _)| name != "ExecutedVersion")
            .take(dimensions)
            .collect(),
        ..old[0].clone()
    };
    assert!(used > 10_000, "{used}");
    assert_eq!((sum(&throttles(2)), sum(&throttles(1))), (used as f64, used as f64));
    assert!(!generator.has_room());
}
