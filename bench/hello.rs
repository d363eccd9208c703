//! A Lambda function that does nothing: what any other one costs at least. Measured by `bench/cold`.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(|_: LambdaEvent<Value>| std::future::ready(Ok::<_, Error>(json!("hello"))))).await
}
