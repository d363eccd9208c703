//! The adapters' contract on MiniStack.

use std::process::Stdio;

use coalmine_aws::{Aws, AwsConfig};
use coalmine_core::units::Minute;
use serde_json::json;

use crate::contract_aws::{self as contract, World};
use crate::harness::{Cloud, Emulator, Served, again, datums, this_minute};

const TABLE: &str = "contract";
const TOPIC: &str = "releases";

#[test]
fn the_adapters_keep_their_contract() {
    if let Some(minute) = again::told() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(keep(Minute::from_index(minute.parse().unwrap())));
    }
    let cloud = Cloud::start();
    let minute = this_minute().plus(-10);
    set_up(&cloud, minute);
    let endpoints = [("AWS_ENDPOINT_URL", cloud.endpoint())];
    let test = "contract::the_adapters_keep_their_contract";
    again::run(test, &minute.index().to_string(), &endpoints, Stdio::null());
}

/// Another DynamoDB, which knows nothing of the first one.
#[test]
fn the_store_keeps_its_contract_elsewhere() {
    if again::told().is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(async {
            let aws = Aws::new(AwsConfig { table: Some(TABLE.to_owned()), ..AwsConfig::default() }).await;
            contract::store(&aws).await;
            contract::two_writers(&aws).await;
            contract::sealed(&aws).await;
            contract::as_simulated(&aws).await;
        });
    }
    let cloud = Cloud::on(Emulator::moto());
    cloud.create_table(TABLE);
    let endpoints = [("AWS_ENDPOINT_URL", cloud.endpoint())];
    again::run("contract::the_store_keeps_its_contract_elsewhere", "", &endpoints, Stdio::null());
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
        cloud.put_metrics("AWS/Lambda", &datums("checkout", minute, &dimensions, Served { requests: 4, errors: 1 }));
    }
}

async fn keep(minute: Minute) {
    let (function, alarm, composite) = ("checkout".to_owned(), "checkout-5xx".to_owned(), "checkout".to_owned());
    let world = World { function, alarm, composite, minute };
    let topic_arn = Some(format!("arn:aws:sns:us-east-1:000000000000:{TOPIC}"));
    let config = AwsConfig {
        table: Some(TABLE.to_owned()),
        event_bus: Some("default".to_owned()),
        topic_arn,
        ..AwsConfig::default()
    };
    let aws = Aws::new(config).await;
    contract::alias(&aws, &world).await;
    contract::versions(&aws, &world).await;
    contract::metrics(&aws, &world).await;
    contract::alarms(&aws, &world).await;
    contract::store(&aws).await;
    contract::two_writers(&aws).await;
    contract::sealed(&aws).await;
    contract::as_simulated(&aws).await;
    contract::notices(&aws).await;
    contract::test_invocations(&aws, &world).await;
}
