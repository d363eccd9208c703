//! The functions of a stack, and what they answer.

use std::collections::BTreeSet;
use std::io;

use coalmine_aws::{Aws, AwsConfig, CliCall, FoundFunctions};
use coalmine_core::deployment::DeploymentRef;
use coalmine_core::ports::{Fault, LookError, Switch};
use coalmine_core::rollout::Rollout;
use coalmine_core::spec::Problem;
use coalmine_core::text;
use coalmine_core::units::{Minute, Span, Timestamp};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{Tag, Where};
use crate::watch::Minutes;

/// Whoever names a function or a target means the last rollout there, if it ended no longer ago than this.
const LOOKED_BACK: Span = Span::from_hours(7 * 24);

/// Why there is no answer.
#[derive(Debug)]
pub enum Refused {
    /// What is wrong with what was asked.
    Problems(Vec<Problem>),
    /// AWS did not answer, or what it answered is of no use.
    Fault(Vec<Problem>),
    /// There was an answer, and nowhere to write it.
    Unwritten(io::Error),
}

impl Refused {
    pub fn problem(message: impl Into<String>) -> Self {
        Self::Problems(vec![Problem::at("", message)])
    }

    pub fn fault(message: impl Into<String>) -> Self {
        Self::Fault(vec![Problem::at("", message)])
    }

    /// All of it on one line.
    pub fn said(&self) -> String {
        match self {
            Self::Problems(problems) | Self::Fault(problems) => {
                problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
            }
            Self::Unwritten(error) => error.to_string(),
        }
    }
}

impl From<&Fault> for Refused {
    fn from(fault: &Fault) -> Self {
        Self::Fault(vec![Problem::at("", fault.to_string()).because_of(fault.kind)])
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Unwritten(error)
    }
}

/// The function that takes nothing but what stops a rollout.
pub const STOPS: &str = "Abort";

/// A deployed Coalmine.
pub struct Stack {
    runtime: Runtime,
    aws: Aws,
    function: String,
}

impl Stack {
    /// The function that is named; or the one with this logical name, of the stack that has the tag, or of the stack.
    pub fn find(at: &Where, logical: &str) -> Result<Self, Refused> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Refused::fault(format!("cannot start: {error}")))?;
        let (aws, found) = runtime.block_on(async {
            let aws = Aws::new(AwsConfig::default()).await;
            let found = match (&at.function, &at.tag) {
                (Some(name), _) => match aws.takes_requests(name).await {
                    // Who wants to stop a release need be allowed, and able, to do nothing but that.
                    Ok(()) => Ok(FoundFunctions::only(name)),
                    Err(LookError::Fault(_)) if logical == STOPS => Ok(FoundFunctions::only(name)),
                    Err(error) => Err(error),
                },
                (None, Some(Tag { key, value })) => {
                    aws.functions_with_tag((key.as_str(), value.as_str()), logical).await.map_err(LookError::from)
                }
                (None, None) => aws.functions_of_stack(&at.stack, logical).await.map_err(LookError::from),
            };
            (aws, found)
        });
        let found = found.map_err(|error| match error {
            LookError::NotFound(why) => {
                let right = "--function names Coalmine's own function, the output CommandFunction or AbortFunction of its stack";
                Refused::Problems(vec![Problem::at("--function", format!("{why}. {right}"))])
            }
            LookError::Fault(fault) => Refused::from(&fault),
        })?;
        let function = one_of(&found, at, logical, aws.region().as_deref()).map_err(Refused::problem)?;
        Ok(Self { runtime, aws, function })
    }

    pub fn ask(&self, request: &Value) -> Result<Value, Refused> {
        let answer = self.runtime.block_on(self.aws.ask_function(&self.function, request));
        let answer = answer.map_err(|fault| Refused::from(&fault))?;
        match refused(&answer) {
            Some(refused) => Err(refused),
            None => Ok(answer),
        }
    }

    pub fn status(&self, id: &str) -> Result<(Value, Rollout), Refused> {
        let answer = self.ask(&json!({ "command": "status", "rollout": id }))?;
        let rollout = self.rollout_in(&answer)?;
        Ok((answer, rollout))
    }

    /// A rollout with everything that was counted of it, from one minute on, as the answer to `minutes` has it; of several
    /// answers one.
    pub fn counted(&self, id: &str, from: Option<Minute>) -> Result<Value, Refused> {
        let mut request = json!({ "command": "minutes", "rollout": id });
        if let Some(from) = from {
            request["from"] = json!(from);
        }
        let mut all = self.ask(&request)?;
        while let Some(next) = all.get("next").filter(|next| !next.is_null()).cloned() {
            let more = self.ask(&json!({ "command": "minutes", "rollout": id, "from": next }))?;
            let news = more.get("minutes").and_then(Value::as_array).cloned().unwrap_or_default();
            let following = more.get("next").cloned().unwrap_or_default();
            // Answers that bring nothing would have no end.
            if news.is_empty() || following == next {
                break;
            }
            if let Some(minutes) = all.get_mut("minutes").and_then(Value::as_array_mut) {
                minutes.extend(news);
            }
            all["next"] = following;
        }
        all.as_object_mut().map(|fields| fields.remove("next"));
        Ok(all)
    }

    /// The same, read.
    pub fn minutes(&self, id: &str, from: Option<Minute>) -> Result<(Rollout, Minutes), Refused> {
        let answer = match self.counted(id, from) {
            Err(Refused::Problems(problems)) if is_older(&problems) => return self.without_minutes(id),
            answer => answer?,
        };
        let rollout = self.rollout_in(answer.get("rollout").unwrap_or(&Value::Null))?;
        let part = |field: &str| answer.get(field).cloned().unwrap_or_else(|| json!([]));
        let minutes = self.read(part("minutes"))?;
        let alarms = self.read(answer.get("alarms").cloned().unwrap_or_default())?;
        Ok((rollout, Minutes { minutes, unread: self.read(part("unread"))?, alarms }))
    }

    pub fn region(&self) -> Option<String> {
        self.aws.region()
    }

    /// From a stack of before there was such a request.
    fn without_minutes(&self, id: &str) -> Result<(Rollout, Minutes), Refused> {
        let (_, rollout) = self.status(id)?;
        let unread = vec!["this stack is older than this coalmine and tells no minutes; update it".to_owned()];
        Ok((rollout, Minutes { unread, ..Minutes::default() }))
    }

    fn read<T: serde::de::DeserializeOwned>(&self, value: Value) -> Result<T, Refused> {
        serde_json::from_value(value).map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &serde_json::Error) -> Refused {
        let function = &self.function;
        Refused::fault(format!("{function} answered what this version of coalmine cannot read ({error}); update it"))
    }

    pub fn rollout_in(&self, answer: &Value) -> Result<Rollout, Refused> {
        self.read(answer.clone())
    }

    /// The active rollouts, and those that ended since then, of as many answers as it takes: `{"rollouts":[...]}`, with
    /// `endedSince` unless the stack is too old to tell.
    pub fn list(&self, since: Timestamp) -> Result<Value, Refused> {
        let mut all = self.ask(&json!({ "command": "list", "since": since }))?;
        let mut known: BTreeSet<String> = rollouts_in(&all).iter().filter_map(id_of).collect();
        let mut following = next_of(&all);
        while let Some(next) = following {
            let more = self.ask(&json!({ "command": "list", "since": since, "from": next }))?;
            // What still has something to tidy up is among the active ones, too.
            let news = rollouts_in(&more).iter().filter(|rollout| id_of(rollout).is_some_and(|id| known.insert(id)));
            let news: Vec<Value> = news.cloned().collect();
            if let Some(rollouts) = all.get_mut("rollouts").and_then(Value::as_array_mut) {
                rollouts.extend(news);
            }
            // Answers that lead nowhere would have no end.
            following = next_of(&more).filter(|another| *another != next);
        }
        Ok(all)
    }

    /// The rollout of this name, or else the running one of this function or target, or else the one there that ended last;
    /// with its answer.
    pub fn named(&self, name: &str) -> Result<(String, Value, Rollout), Refused> {
        let problems = match self.status(name) {
            Ok((answer, rollout)) => return Ok((name.to_owned(), answer, rollout)),
            Err(Refused::Problems(problems)) if is_unknown(&problems) => problems,
            Err(refused) => return Err(refused),
        };
        let listed = self.ask(&json!({ "command": "list" }))?;
        let id = match running(&listed, name)? {
            Some(id) => id,
            None => ended_last(&self.list(crate::now() - LOOKED_BACK)?, name).ok_or(Refused::Problems(problems))?,
        };
        let (answer, rollout) = self.status(&id)?;
        Ok((id, answer, rollout))
    }

    /// The name of the running rollout of this function or target.
    pub fn running(&self, name: &str) -> Result<String, Refused> {
        let listed = self.ask(&json!({ "command": "list" }))?;
        let none = || Refused::problem(format!("no rollout of {} is running", text::shown(name, 200)));
        running(&listed, name)?.ok_or_else(none)
    }

    pub fn calls_to_undo(&self, rollout: &Rollout) -> Result<Vec<CliCall>, Refused> {
        let calls = self.runtime.block_on(calls_to_undo(&self.aws, rollout));
        calls.map_err(|fault| Refused::from(&fault))
    }
}

/// What puts all traffic back without Coalmine.
pub async fn calls_to_undo(aws: &Aws, rollout: &Rollout) -> Result<Vec<CliCall>, Fault> {
    let Rollout { id, spec, baseline, canary, now, guest, .. } = rollout;
    if let Some(guest) = guest {
        return Ok(vec![stop(&guest.deployment)]);
    }
    aws.calls_to_undo(&Switch { rollout: id, target: &spec.target, baseline, canary, at: *now }).await
}

/// What is to be asked, or what to do where that is not clear.
pub fn one_of(found: &FoundFunctions, at: &Where, logical: &str, region: Option<&str>) -> Result<String, String> {
    let list = |names: &[String]| text::shown(&names.join(", "), 500);
    match found.meant.as_slice() {
        [one] => return Ok(one.clone()),
        [] => {}
        several => return Err(format!("several functions may be meant: {}; name one with --function", list(several))),
    }
    let place =
        format!("in this account and region{}", region.map(|region| format!(" ({region})")).unwrap_or_default());
    let missing = match &at.tag {
        Some(Tag { key, value }) => {
            format!("no function {logical} of a Coalmine with the tag {key}={value} is {place}")
        }
        None => format!("no function {}-{logical}-... is {place}", at.stack),
    };
    Err(match found.others.as_slice() {
        [] => format!(
            "{missing}, and nothing else that looks like Coalmine: see that AWS_PROFILE and AWS_REGION are those of the \
             stack, or deploy it (docs/install.md); without a stack there is `coalmine run`"
        ),
        others => format!(
            "{missing}. What looks like it: {}; name its stack with --stack, a tag of it with --tag, or the function itself \
             with --function",
            list(others)
        ),
    })
}

/// What has the service that shifts the traffic shift it back.
fn stop(deployment: &DeploymentRef) -> CliCall {
    match deployment {
        DeploymentRef::CodeDeploy(id) => CliCall {
            service: "deploy",
            command: "stop-deployment",
            input: json!({ "deploymentId": id, "autoRollbackEnabled": true }),
        },
        DeploymentRef::Ecs(arn) => CliCall {
            service: "ecs",
            command: "stop-service-deployment",
            input: json!({ "serviceDeploymentArn": arn, "stopType": "ROLLBACK" }),
        },
    }
}

/// The only running rollout of this function or target.
pub fn running(listed: &Value, name: &str) -> Result<Option<String>, Refused> {
    let of_target = rollouts_in(listed).iter().filter(|rollout| is_of(rollout, name));
    let meant: Vec<String> = of_target.filter_map(id_of).collect();
    match meant.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        several => Err(Refused::problem(format!(
            "{name} has several rollouts: {}; name one of them",
            text::shown(&several.join(", "), 500)
        ))),
    }
}

/// Of this function or target.
pub fn ended_last(listed: &Value, name: &str) -> Option<String> {
    let of_target = rollouts_in(listed).iter().filter(|rollout| is_of(rollout, name));
    // RFC 3339 in UTC sorts by time.
    let since = |rollout: &&Value| rollout.get("since").and_then(Value::as_str).map(str::to_owned);
    of_target.max_by_key(since).and_then(id_of)
}

fn rollouts_in(listed: &Value) -> &[Value] {
    listed.get("rollouts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn id_of(rollout: &Value) -> Option<String> {
    rollout.get("id").and_then(Value::as_str).map(str::to_owned)
}

fn next_of(listed: &Value) -> Option<Value> {
    listed.get("next").filter(|next| !next.is_null()).cloned()
}

fn is_of(rollout: &Value, name: &str) -> bool {
    let target = rollout.get("target").and_then(Value::as_str).unwrap_or_default();
    target == name || target.split_once(':').is_some_and(|(function, _)| function == name)
}

/// The version is live already: there is something to say, and no rollout.
pub fn is_nothing(answer: &Value) -> bool {
    answer.get("message").is_some_and(Value::is_string) && answer.get("id").is_none() && answer.get("phase").is_none()
}

/// What is wrong, if anything is: with the request, or, where nothing need be wrong with it, with what it takes.
pub fn refused(answer: &Value) -> Option<Refused> {
    let problems = problems(answer, "errors");
    if problems.is_empty() {
        return None;
    }
    let ours = problems.iter().any(Problem::is_of_the_request);
    Some(if ours { Refused::Problems(problems) } else { Refused::Fault(problems) })
}

/// `{"errors":[{"path":"spec.target","message":"..."}]}`: whatever else a newer function says of them.
pub fn problems(answer: &Value, list: &str) -> Vec<Problem> {
    let errors = answer.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let read = |error: &Value| {
        let of = |field: &str| error.get(field).and_then(Value::as_str).unwrap_or_default();
        let place = |field: &str| error.get(field).and_then(Value::as_u64).and_then(|place| u32::try_from(place).ok());
        let fault = error.get("fault").and_then(|fault| serde_json::from_value(fault.clone()).ok());
        Problem { line: place("line"), column: place("column"), fault, ..Problem::at(of("path"), of("message")) }
    };
    errors.iter().map(read).collect()
}

/// The same as people read them.
pub fn sentences(answer: &Value, list: &str) -> Vec<String> {
    problems(answer, list).iter().map(Problem::to_string).collect()
}

/// Whether all that is wrong is the rollout's name.
pub fn is_unknown(problems: &[Problem]) -> bool {
    matches!(problems, [one] if one.path == "rollout")
}

/// Whether all that is wrong is that the function does not know the request.
fn is_older(problems: &[Problem]) -> bool {
    matches!(problems, [one] if one.path == "command")
}
