//! The adapters' contract on MiniStack. The SDK takes its endpoint from the environment of its process and from nowhere
//! else, so this test runs itself once more in a process that has one.

use std::process::Command;

use coalmine_aws::{Aws, AwsConfig};
use coalmine_core::units::Minute;
use serde_json::json;

use crate::contract_aws::{self as contract, World};
use crate::harness::{Cloud, Served, datums, this_minute};

const SECOND_RUN: &str = "COALMINE_CONTRACT_MINUTE";
const TABLE: &str = "contract";
const TOPIC: &str = "releases";

#[test]
fn the_adapters_keep_their_contract() {
    if let Ok(minute) = std::env::var(SECOND_RUN) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(keep(Minute::from_index(minute.parse().unwrap())));
    }
    let cloud = Cloud::start();
    let minute = this_minute().plus(-10);
    set_up(&cloud, minute);
    let again = Command::new(std::env::current_exe().unwrap())
        .args(["contract::the_adapters_keep_their_contract", "--exact", "--nocapture"])
        .env(SECOND_RUN, minute.index().to_string())
        .env("AWS_ENDPOINT_URL", cloud.endpoint())
        .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
        .output()
        .unwrap();
    let said = String::from_utf8([again.stdout, again.stderr].concat()).unwrap();
    assert!(again.status.success() && said.contains("1 passed"), "{said}");
}

fn set_up(cloud: &Cloud, minute: Minute) {
    cloud.create_table(TABLE);
    cloud.create_topic(TOPIC);
    cloud.create_target("checkout");
    for description in ["old", "new"] {
        let version = cloud.publish("checkout", description);
        cloud.wait_for_state("checkout", &version, "Active");
    }
    cloud.create_alias("checkout", "live", "1");
    cloud.create_alarm("checkout-5xx");
    cloud.set_alarm("checkout-5xx", "ALARM");
    cloud.create_composite_alarm("checkout", "ALARM(checkout-5xx)");
    let dimensions = json!({ "Resource": "checkout:live", "ExecutedVersion": "2" });
    for minute in [minute, minute.plus(2)] {
        cloud.put_metrics("AWS/Lambda", &datums(minute, &dimensions, Served { requests: 4, errors: 1 }));
    }
}

async fn keep(minute: Minute) {
    let (function, alarm, composite) = ("checkout".to_owned(), "checkout-5xx".to_owned(), "checkout".to_owned());
    let world = World { function, alarm, composite, minute };
    let topic_arn = Some(format!("arn:aws:sns:us-east-1:000000000000:{TOPIC}"));
    let config = AwsConfig { table: Some(TABLE.to_owned()), event_bus: Some("default".to_owned()), topic_arn };
    let aws = Aws::new(config).await;
    contract::alias(&aws, &world).await;
    contract::versions(&aws, &world).await;
    contract::metrics(&aws, &world).await;
    contract::alarms(&aws, &world).await;
    contract::store(&aws).await;
    contract::two_writers(&aws).await;
    contract::sealed(&aws).await;
    contract::notices(&aws).await;
    contract::test_invocations(&aws, &world).await;
}
