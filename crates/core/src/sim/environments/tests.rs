use super::*;

const MINUTE: Span = Span::from_minutes(1);

fn start() -> Timestamp {
    "2026-11-21T14:00:00Z".parse().unwrap()
}

fn version(name: &str) -> Version {
    Version(name.to_owned())
}

/// Nothing is limited, and nobody tries again.
fn service() -> Service {
    Service {
        environments: BTreeMap::new(),
        account: Account::default(),
        invoked: Invoked::Synchronously,
        poison: 0.0,
        timeout: Span::from_minutes(15),
    }
}

fn provisioned(count: u64, spillover: Spillover) -> Environments {
    Environments { provisioned: count, spillover, ..Environments::default() }
}

/// All requests take this long, on average and each.
fn law(name: &str, share: f64, ms: f64) -> Law {
    let latency = Latency { median_ms: ms, sigma: 0.0, ..Latency::default() };
    Law { version: version(name), share, serves: true, failing: 0.0, latency, cold: None }
}

/// As law-abiding as requests are: log-normal, with this mean.
fn spread(name: &str, share: f64, mean_ms: f64) -> Law {
    let latency = Latency { median_ms: mean_ms / 0.18_f64.exp(), ..Latency::default() };
    Law { latency, ..law(name, share, 0.0) }
}

fn ran(running: &mut Running<'_>, minutes: std::ops::Range<u64>, per_second: f64, laws: &[Law]) -> Ran {
    let at = |minute| start() + Span::from_minutes(minute);
    running.run(at(minutes.start), at(minutes.end), per_second, laws)
}

fn calls(ran: &Ran) -> u64 {
    ran.versions.iter().map(|(calls, _)| calls.len() as u64).sum()
}

/// The share of requests that find all of so many places busy, where so much is offered (in erlangs) and nobody waits.
fn erlang_b(places: u64, offered: f64) -> f64 {
    (1..=places).fold(1.0, |blocked, places| offered * blocked / (places as f64 + offered * blocked))
}

fn assert_near(what: &str, found: f64, expected: f64, relative: f64) {
    assert!((found / expected - 1.0).abs() < relative, "{what}: {found}, expected {expected}");
}

/// Erlang's tables: 10 places and 5 erlangs, 20 and 15.
#[test]
fn the_closed_form_is_the_published_one() {
    assert_near("10 and 5", erlang_b(10, 5.0), 0.018_38, 1e-3);
    assert_near("20 and 15", erlang_b(20, 15.0), 0.045_6, 1e-3);
}

#[test]
fn concurrency_is_the_rate_times_the_duration() {
    let service = service();
    for (seed, law, mean_s) in [(1, law("41", 1.0, 250.0), 0.25), (2, spread("41", 1.0, 1_000.0), 1.0)] {
        let mut running = Running::new(&service, seed);
        ran(&mut running, 0..5, 40.0, std::slice::from_ref(&law));
        let seconds = 3_600;
        let busy = (0..seconds).map(|second| {
            let at = start() + Span::from_seconds(300 + second);
            running.run(at, at + Span::from_seconds(1), 40.0, std::slice::from_ref(&law));
            running.release(pool::micros(at + Span::from_seconds(1)));
            running.pools[0].1.busy()
        });
        let mean = busy.sum::<u64>() as f64 / seconds as f64;
        assert_near("on average", mean, 40.0 * mean_s, 0.04);
    }
}

#[test]
fn what_spills_over_is_what_erlangs_formula_says() {
    for (seed, places, offered) in [(3, 10, 8.0), (4, 4, 2.0), (5, 40, 30.0)] {
        let environments = BTreeMap::from([(version("41"), provisioned(places, Spillover::Own))]);
        let service = Service { environments, ..service() };
        let mut running = Running::new(&service, seed);
        let law = [spread("41", 1.0, 200.0)];
        ran(&mut running, 0..5, offered / 0.2, &law);
        let ran = ran(&mut running, 5..245, offered / 0.2, &law);
        let share = ran.used.spilled as f64 / calls(&ran) as f64;
        assert_near("spilled", share, erlang_b(places, offered), 0.05);
        assert_eq!(ran.used.throttled, 0);
    }
}

/// The account's limit blocks as many, of both versions alike, and Coalmine as often as anybody.
#[test]
fn what_finds_no_room_is_what_erlangs_formula_says() {
    let (limit, others, offered) = (30, 10, 22.0);
    let account = Account { concurrency: Some(limit), others, reserved: None };
    let service = Service { account, environments: no_init(), ..service() };
    let mut running = Running::new(&service, 6);
    let (mut throttled, mut ran_of, mut no_room, mut looks) = (0, [0, 0], 0, 0);
    // A tenth of the requests makes half of the load.
    let laws = [spread("41", 0.9, 100.0), spread("42", 0.1, 900.0)];
    let per_second = offered / (0.9 * 0.1 + 0.1 * 0.9);
    for minute in 0..600 {
        let ran = ran(&mut running, minute..minute + 1, per_second, &laws);
        no_room += u64::from(!running.has_room(start() + Span::from_minutes(minute + 1)));
        looks += 1;
        throttled += ran.used.throttled;
        for (count, (calls, _)) in ran_of.iter_mut().zip(&ran.versions) {
            *count += calls.len() as u64;
        }
        assert!(ran.used.most_at_once <= limit - others);
    }
    let blocked = erlang_b(limit - others, offered);
    let all = (throttled + ran_of[0] + ran_of[1]) as f64;
    assert_near("throttled", throttled as f64 / all, blocked, 0.03);
    assert_near("of the rest the new version has its share", ran_of[1] as f64 / (all - throttled as f64), 0.1, 0.03);
    let (no_room, looks) = (f64::from(u32::try_from(no_room).unwrap()), f64::from(looks));
    let deviation = (blocked * (1.0 - blocked) / looks).sqrt();
    assert!((no_room / looks - blocked).abs() < 4.0 * deviation, "{no_room} of {looks}, expected {blocked}");
}

/// Starting takes no time, so that the load is what is offered.
fn no_init() -> BTreeMap<Version, Environments> {
    let at_once = Environments { init_ms: 0.0, ..Environments::default() };
    ["41", "42"].map(|name| (version(name), at_once)).into()
}

#[test]
fn a_new_version_has_no_environments_and_keeps_those_that_are_used() {
    let environments = Environments { init_ms: 5_000.0, ..Environments::default() };
    let service = Service { environments: BTreeMap::from([(version("42"), environments)]), ..service() };
    let mut running = Running::new(&service, 7);
    let old = [law("41", 1.0, 100.0)];
    assert!(ran(&mut running, 0..10, 20.0, &old).used.started >= 4);
    let warm = ran(&mut running, 10..20, 20.0, &old).used.started;
    assert!(warm < 4, "{warm} of 12 000");
    let cold = ColdStarts { requests: 2, factor: 10.0 };
    let both = [law("41", 0.9, 100.0), Law { cold: Some(cold), ..law("42", 0.1, 100.0) }];
    let first = ran(&mut running, 20..30, 20.0, &both);
    let [_, (new, _)] = first.versions.as_slice() else { panic!("{first:?}") };
    // Requests wait for environments that start, and meanwhile others come: five seconds of two requests.
    let started = first.used.started;
    assert!((5..=25).contains(&started), "{started} for two requests a second");
    let slow = new.iter().filter(|call| call.took_ms > 500.0).count() as u64;
    assert!(slow > started && slow <= 2 * started, "{slow} slow ones of {started}");
    assert!(new.iter().all(|call| call.took_ms <= 1_000.0 + 1e-9), "no duration has the start of an environment");
    // Two requests a second keep one or two; the others have gone when more are needed.
    ran(&mut running, 30..40, 20.0, &both);
    let busier = [law("41", 0.0, 100.0), law("42", 1.0, 100.0)];
    assert!(ran(&mut running, 40..41, 60.0, &busier).used.started >= 4, "those that nobody used are gone");
    let rare = [law("41", 1.0, 100.0)];
    let seldom = ran(&mut running, 60..600, 1.0 / 1_200.0, &rare);
    assert_eq!(seldom.used.started, calls(&seldom) - within(&seldom, environments.idle), "one in twenty minutes");
}

/// How many came so soon after the one before that its environment was still there.
fn within(ran: &Ran, idle: Span) -> u64 {
    let (calls, _) = &ran.versions[0];
    calls.windows(2).filter(|two| two[1].ended.since(two[0].ended) <= idle).count() as u64
}

#[test]
fn requests_beyond_provisioned_ones_may_go_to_the_other_version() {
    let shares = |spillover| {
        let of = [("41", provisioned(3, spillover)), ("42", provisioned(20, Spillover::Own))];
        let environments = of.map(|(name, of)| (version(name), of)).into();
        let service = Service { environments, ..service() };
        let mut running = Running::new(&service, 8);
        let ran = ran(&mut running, 0..120, 40.0, &[spread("41", 0.95, 100.0), spread("42", 0.05, 100.0)]);
        ran.versions[1].0.len() as f64 / calls(&ran) as f64
    };
    assert_near("stays", shares(Spillover::Own), 0.05, 0.03);
    let expected = 0.05 + 0.95 * erlang_b(3, 40.0 * 0.95 * 0.1);
    assert_near("goes", shares(Spillover::Other), expected, 0.03);
}

/// All events are poison: each has its three tries, a minute after the first has failed and two after the second.
#[test]
fn an_asynchronous_event_that_fails_is_tried_three_times() {
    let service = Service { invoked: Invoked::Asynchronously, poison: 1.0, environments: no_init(), ..service() };
    let mut running = Running::new(&service, 9);
    let law = [law("41", 1.0, 1_000.0)];
    let first = ran(&mut running, 0..1, 5.0, &law);
    let events = calls(&first);
    assert!(events > 200 && first.used.tried_again == 0, "{first:?}");
    let second = ran(&mut running, 1..3, 0.0, &law);
    assert_eq!((calls(&second), second.used.tried_again, second.used.lost), (events, events, 0));
    let third = ran(&mut running, 3..600, 0.0, &law);
    assert_eq!((calls(&third), third.used.tried_again, third.used.lost), (events, events, events));
    let pauses = |before: &Ran, after: &Ran| -> Vec<u64> {
        let (before, after) = (&before.versions[0].0, &after.versions[0].0);
        before.iter().zip(after).map(|(one, two)| two.ended.since(one.ended).seconds()).collect()
    };
    // From the end of a try to the end of the next, which takes a second.
    assert!(pauses(&first, &second).iter().all(|pause| *pause == 61), "{:?}", pauses(&first, &second));
    assert!(pauses(&second, &third).iter().all(|pause| *pause == 121), "{:?}", pauses(&second, &third));
}

#[test]
fn an_event_that_finds_no_room_is_kept_for_six_hours() {
    let account = Account { concurrency: Some(1), others: 1, reserved: None };
    let service = Service { invoked: Invoked::Asynchronously, account, ..service() };
    let mut running = Running::new(&service, 10);
    let first = ran(&mut running, 0..1, 0.2, &[law("41", 1.0, 100.0)]);
    let later = ran(&mut running, 1..800, 0.0, &[law("41", 1.0, 100.0)]);
    let events = first.used.throttled - first.used.tried_again;
    assert!(events > 3 && calls(&first) + calls(&later) == 0);
    assert_eq!(later.used.lost, events);
    // 1, 2, 4 to 256 seconds come to 511; then every five minutes.
    let tries = 1 + 9 + (6 * 3600 - 511) / 300;
    assert_eq!(first.used.throttled + later.used.throttled, events * tries);
    assert_eq!(
        (backoff(1).seconds(), backoff(9).seconds(), backoff(10).seconds(), backoff(99).seconds()),
        (1, 256, 300, 300)
    );
}

#[test]
fn a_batch_that_fails_is_received_as_often_as_the_queue_says() {
    let visibility = Span::from_seconds(90);
    let service = Service { invoked: Invoked::FromQueue { visibility, receives: 4 }, poison: 1.0, ..service() };
    let mut running = Running::new(&service, 11);
    let law = [law("41", 1.0, 30_000.0)];
    let first = ran(&mut running, 0..1, 2.0, &law);
    let later = ran(&mut running, 1..60, 0.0, &law);
    let batches = calls(&first);
    assert_eq!((calls(&later), later.used.tried_again, later.used.lost), (3 * batches, 3 * batches, batches));
    let (first, later) = (&first.versions[0].0, &later.versions[0].0);
    // From receive to receive.
    let pause = later[first.len()].ended.since(later[0].ended);
    assert!((89..=91).contains(&pause.seconds()), "{pause}");
}

/// The next try is routed by the weights of its own time.
#[test]
fn a_retry_goes_where_the_weights_say_then() {
    let service = Service { invoked: Invoked::Asynchronously, ..service() };
    let mut running = Running::new(&service, 12);
    let bad = Law { failing: 1.0, ..law("42", 1.0, 10.0) };
    let first = ran(&mut running, 0..1, 5.0, std::slice::from_ref(&bad));
    let back = [law("41", 1.0, 10.0), Law { share: 0.0, ..bad }];
    let later = ran(&mut running, 1..10, 0.0, &back);
    assert_eq!(later.versions[0].0.len() as u64, calls(&first), "every one succeeds on the old version");
    assert_eq!((later.versions[1].0.len(), later.used.lost), (0, 0));
}

#[test]
fn a_synchronous_request_is_not_tried_again_and_one_that_takes_too_long_is_cut_off() {
    let service = Service { timeout: Span::from_seconds(3), poison: 0.5, ..service() };
    let mut running = Running::new(&service, 13);
    let ran = ran(&mut running, 0..10, 10.0, &[law("41", 0.5, 100.0), law("42", 0.5, 9_000.0)]);
    assert_eq!((ran.used.tried_again, ran.used.lost), (0, 0));
    let [(fine, _), (slow, _)] = ran.versions.as_slice() else { panic!("{ran:?}") };
    assert!(slow.iter().all(|call| call.failed && (call.took_ms - 3_000.0).abs() < 1e-9));
    let failed = fine.iter().filter(|call| call.failed).count() as f64;
    assert_near("poison", failed / fine.len() as f64, 0.5, 0.1);
}

#[test]
fn reserved_concurrency_limits_the_function_and_leaves_the_rest_to_coalmine() {
    let hangs = [law("41", 1.0, 600_000.0)];
    let filled = |account| {
        let service = Service { account, ..service() };
        let mut running = Running::new(&service, 14);
        let ran = ran(&mut running, 0..5, 20.0, &hangs);
        (ran.used.most_at_once, running.has_room(start() + Span::from_minutes(5)))
    };
    let account = Account { concurrency: Some(100), others: 20, reserved: None };
    assert_eq!(filled(account), (80, false));
    assert_eq!(filled(Account { reserved: Some(30), ..account }), (30, true));
}

/// The past is told by the minute; it has as many tries as the same traffic one by one, and as many of them fail.
#[test]
fn the_past_has_as_many_tries() {
    let queue = Invoked::FromQueue { visibility: MINUTE, receives: 5 };
    for (seed, invoked, tries) in [(15, Invoked::Asynchronously, 3), (16, queue, 5)] {
        let service = Service { invoked, poison: 0.01, ..service() };
        let mut one_by_one = Running::new(&service, seed);
        let failing = [Law { failing: 0.02, ..law("41", 1.0, 50.0) }];
        ran(&mut one_by_one, 0..15, 50.0, &failing);
        let ran = ran(&mut one_by_one, 15..255, 50.0, &failing);
        let live_failed = ran.versions[0].0.iter().filter(|call| call.failed).count() as f64;
        let (mut all, mut failed, mut past, mut rng) = (0, 0, Running::new(&service, seed), Rng::new(seed));
        for minute in 0..255 {
            let fresh = rng.poisson(3_000.0);
            let by_itself = rng.binomial(fresh, 0.02);
            let minute_of = start().minute().plus(minute);
            let (tried, bad) = past.with_echoes(minute_of, (fresh, by_itself), 0.02, &mut rng);
            if minute >= 15 {
                (all, failed) = (all + tried, failed + bad);
            }
        }
        let expected = 0.01 * f64::from(tries) + 0.99 * (0.02 + 0.02_f64.powi(2) + 0.02_f64.powi(3));
        for (what, found) in [("live", live_failed / 240.0), ("past", failed as f64 / 240.0)] {
            assert_near(what, found / 3_000.0, expected, 0.03);
        }
        assert_near("tries", all as f64, calls(&ran) as f64, 0.005);
    }
}
