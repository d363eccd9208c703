//! What a bad release costs its users: real requests through a proxy that has the weights which Coalmine wrote, against
//! the same release without steps.

use std::io::Write;

use serde_json::{Value, json};

use crate::harness::{Served, StageAlb, WeightedProxy};

const REQUESTS: usize = 600;
/// Of the old group's requests, and of the new one's.
const FAILS: [f64; 2] = [0.004, 0.05];

/// What users saw of a release.
struct Suffered {
    failed: usize,
    requests: usize,
    minutes: usize,
    end: String,
}

fn release(seed: u64, strategy: &Value) -> Suffered {
    let mut stage = StageAlb::without_history(seed);
    let served = [Served { requests: 600, errors: 2 }, Served::default()];
    (1..=62).for_each(|ago| stage.serve(stage.minute.plus(-ago), served));
    let proxy = WeightedProxy::start(FAILS, seed);
    stage.start(&json!({ "strategy": strategy, "after": { "watch": "15m" } }));
    let mut suffered = Suffered { failed: 0, requests: 0, minutes: 0, end: String::new() };
    while !stage.has_ended() {
        assert!(suffered.minutes < 90, "not over: {:#}", stage.status());
        proxy.route(stage.new_share());
        suffered.failed += proxy.load(REQUESTS);
        suffered.requests += REQUESTS;
        suffered.minutes += 1;
        stage.serve(stage.minute, proxy.take_counts());
        stage.next();
    }
    suffered.end = stage.phase();
    suffered
}

#[test]
fn steps_spare_users_most_of_what_a_bad_release_does_all_at_once() {
    let careful = release(121, &json!({ "canary": { "weight": "5%", "bake": "10m" } }));
    let at_once = release(121, &json!({ "allAtOnce": {} }));
    let told = |how: &str, suffered: &Suffered| {
        let Suffered { failed, requests, minutes, end } = suffered;
        format!("{how}: {failed} of {requests} requests failed in {minutes} minutes, then {end}\n")
    };
    // Not `eprintln!`: the output of a test that passes is not shown.
    let text = format!(
        "a release that fails {:.0} % of its requests\n{}{}",
        FAILS[1] * 100.0,
        told("  by steps", &careful),
        told("  all at once", &at_once)
    );
    std::io::stderr().write_all(text.as_bytes()).unwrap();
    assert_eq!(careful.end, "rolledBack");
    // Beyond what would have failed without a release, per request that came in while it was out.
    let excess = |suffered: &Suffered| suffered.failed as f64 - FAILS[0] * suffered.requests as f64;
    assert!(excess(&careful) * 5.0 < excess(&at_once), "{text}");
}
