//! EventBridge's own clock: the only test that waits for a real minute. (Its name lets it start first.)

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Live, Stage};

/// A rule fires within its minute, so the first tick comes after one to two of them.
const PATIENCE: Duration = Duration::from_secs(150);

#[test]
fn a_real_rule_ticks_every_minute() {
    let stage = Stage::set_up(31);
    stage.start(&json!({}));
    stage.deploy("tick");
    stage.cloud.invoke_every_minute("coalmine-tick", "coalmine-tick");
    let since = Instant::now();
    while stage.live() == Live::only("1") {
        assert!(since.elapsed() < PATIENCE, "no tick in {PATIENCE:?}: {}", stage.status());
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(stage.live(), Live::with("1", "2", 0.05));
}
