//! All of Coalmine's Lambda functions: wiring only. `_HANDLER` chooses the function.
//!
//! Architecture Invariant: nothing here decides about a rollout. An event is parsed, core is called, its answer returned.

mod alarm;
mod budget;
mod command;
mod config;
mod event;
#[cfg(test)]
mod events;
mod hook;
#[cfg(test)]
mod hostile;
mod log;
mod macros;
mod metrics;
pub mod probe;
mod report;
mod resource;
mod tick;

use std::process::ExitCode;
use std::time::Instant;

use coalmine_aws::Aws;
use coalmine_core::driver::Settings;
use config::{Config, Handler, World};
use lambda_runtime::{Context, LambdaEvent, run, service_fn};
use serde_json::Value;

/// What a handler works with, made once per execution environment.
#[derive(Debug)]
struct App {
    ports: Aws,
    settings: Settings,
}

/// Cold start, then events until the execution environment ends.
// One invocation at a time is all that a Lambda execution environment gets: a second thread would only cost start-up time.
#[tokio::main(flavor = "current_thread")]
pub async fn main() -> ExitCode {
    let config = Config::read(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()));
    log::start(config.as_ref().map_or(log::DEFAULT, |config| config.log));
    let outcome = match config {
        Ok(config) => serve(config.handler).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the function cannot start");
            ExitCode::FAILURE
        }
    }
}

type Event = LambdaEvent<Value>;

/// Says what an invocation took, whatever it comes to. One that is cut off says nothing. What is awaited is on the heap:
/// every future around it would hold all of it once more, and the stack of an unoptimised build is not enough for that.
async fn metered<T>(app: Option<&App>, context: Context, answer: impl Future<Output = T> + Unpin) -> T {
    let since = Instant::now();
    let answer = answer.await;
    let calls = app.map(|app| app.ports.take_calls()).unwrap_or_default();
    log::invocation(&context, since.elapsed(), &calls);
    answer
}

async fn serve(handler: Handler) -> Result<(), lambda_runtime::Error> {
    match handler {
        Handler::Tick(world) => {
            let app = App::start(world).await;
            run(service_fn(|event: Event| {
                metered(Some(&app), event.context.clone(), Box::pin(tick::handle(&app, event)))
            }))
            .await
        }
        Handler::Command(world) => {
            let app = App::start(world).await;
            run(service_fn(|event: Event| {
                metered(
                    Some(&app),
                    event.context.clone(),
                    Box::pin(command::handle(&app, command::Allowed::Everything, event)),
                )
            }))
            .await
        }
        Handler::Abort(world) => {
            let app = App::start(world).await;
            run(service_fn(|event: Event| {
                metered(
                    Some(&app),
                    event.context.clone(),
                    Box::pin(command::handle(&app, command::Allowed::Stopping, event)),
                )
            }))
            .await
        }
        Handler::Alarm(world) => {
            let app = App::start(world).await;
            run(service_fn(|event: Event| {
                metered(Some(&app), event.context.clone(), Box::pin(alarm::handle(&app, event)))
            }))
            .await
        }
        Handler::Hook(world) => {
            let app = match world {
                Ok(world) => Ok(App::start(world).await),
                Err(error) => {
                    tracing::error!(%error, "the function is not configured");
                    Err(error)
                }
            };
            run(service_fn(|event: Event| {
                metered(app.as_ref().ok(), event.context.clone(), Box::pin(hook::handle(app.as_ref(), event)))
            }))
            .await
        }
        Handler::Resource { world, loopback } => {
            let app = App::start(world).await;
            run(service_fn(|event: Event| {
                metered(Some(&app), event.context.clone(), Box::pin(resource::handle(&app, loopback, event)))
            }))
            .await
        }
        Handler::Report(world) => {
            let app = App::start(world).await;
            run(service_fn(|event: Event| {
                metered(Some(&app), event.context.clone(), Box::pin(report::handle(&app, event)))
            }))
            .await
        }
        Handler::Macro { service_token } => {
            run(service_fn(|event| std::future::ready(macros::handle(&service_token, &event)))).await
        }
    }
}

impl App {
    async fn start(world: World) -> Self {
        Self { ports: Aws::new(world.aws).await, settings: world.settings }
    }
}
