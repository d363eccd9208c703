//! The one `bootstrap` of all of Coalmine's Lambda functions. Fuzzing reads their events too, so they are a library.

use std::process::ExitCode;

// One invocation at a time is all that a Lambda execution environment gets: a second thread would only cost start-up time.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    coalmine_functions::main().await
}
