//! `Custom::Rollout`, the custom resource of CloudFormation: what it asks is kept, and answered now or by a later tick.
//!
//! An error here has Lambda ask again, so it is for what could not be kept, and for events that nobody waits for.

use coalmine_core::cloudformation::{Answer, Asked, Caller, Kind, Wish};
use coalmine_core::driver;
use coalmine_core::ports::Stacks;
use coalmine_core::spec::Problem;
use coalmine_core::units::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::{Value, json};

use crate::budget::LambdaBudget;
use crate::event::{EventError, Reader, answer, failed, wall_clock};
use crate::{App, log};

/// A signed address has the caller's session in it: a kilobyte or two.
const LONGEST_URL: usize = 8192;

/// Where CloudFormation has its answers sent: buckets of its own in every partition.
const DOMAINS: [&str; 3] = [".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu"];

/// What came in.
#[derive(Debug, PartialEq)]
pub enum Heard {
    Asked(Asked),
    /// What its properties say already decides the answer.
    Decided(Caller, Answer),
}

pub async fn handle(app: &App, loopback: bool, event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    let now = wall_clock();
    let asked = match read(&event.payload, now, loopback)? {
        Heard::Asked(asked) => asked,
        Heard::Decided(caller, told) => {
            app.ports.respond(&caller, &told).await.map_err(|fault| failed(&fault))?;
            tracing::warn!(resource = ?caller, answer = ?told, "the properties of a Custom::Rollout decide the answer");
            return Ok(json!({ "answer": told }));
        }
    };
    let budget = LambdaBudget::of(&event.context);
    let line =
        driver::resource(&app.ports, asked, now, &budget, &app.settings).await.map_err(|fault| failed(&fault))?;
    log::resource(&event.context.request_id, &line);
    answer(&line)
}

pub fn read(event: &Value, now: Timestamp, loopback: bool) -> Result<Heard, EventError> {
    let reader = Reader { takes: "a request of CloudFormation for a Custom::Rollout", event };
    let kind = reader.text("RequestType")?;
    let known = reader.find("PhysicalResourceId").map(|_| reader.text("PhysicalResourceId")).transpose()?;
    let logical = reader.text("LogicalResourceId")?.to_owned();
    let caller = |physical: String| -> Result<Caller, EventError> {
        Ok(Caller {
            stack: reader.text("StackId")?.to_owned(),
            logical: logical.clone(),
            physical,
            request: reader.text("RequestId")?.to_owned(),
            url: url(&reader, loopback)?,
        })
    };
    let wish = Wish::read(event.get("ResourceProperties").unwrap_or(&Value::Null));
    let named = |wish: &Wish| format!("coalmine/{logical}/{}", wish.target());
    let (kind, physical) = match (kind, &wish) {
        ("Create", Ok(wish)) => (Kind::Create, named(wish)),
        ("Create", Err(_)) => (Kind::Create, format!("coalmine/{logical}")),
        ("Update", Ok(wish)) => (Kind::Update { from: before(event, wish) }, named(wish)),
        ("Update", Err(_)) => (Kind::Update { from: None }, reader.text("PhysicalResourceId")?.to_owned()),
        ("Delete", _) => (Kind::Delete, known.unwrap_or_default().to_owned()),
        (other, _) => {
            return Err(reader.wrong(format!("`RequestType` is `{other}` where Create, Update or Delete is expected")));
        }
    };
    let caller = caller(physical)?;
    Ok(match wish {
        Ok(wish) => Heard::Asked(Asked { kind, caller, wish, received: now }),
        // What was never started need not be ended.
        Err(_) if kind == Kind::Delete => Heard::Decided(caller, Answer::Succeeded { version: None, rollout: None }),
        Err(problems) => {
            let reason = problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ");
            Heard::Decided(caller, Answer::Failed { reason })
        }
    })
}

/// The version that the stack had behind the same alias.
fn before(event: &Value, wish: &Wish) -> Option<coalmine_core::spec::Version> {
    let old = Wish::read(event.get("OldResourceProperties")?).ok()?;
    (old.target() == wish.target()).then_some(old.version)
}

/// What is sent there is no secret, but nobody is to have this function knock at doors of theirs.
fn url(reader: &Reader<'_>, loopback: bool) -> Result<String, EventError> {
    let wrong = || {
        // The address itself would let whoever reads the log answer.
        reader.wrong("`ResponseURL` is no https address of Amazon's: CloudFormation names one of its own buckets".to_owned())
    };
    let url = reader.event.get("ResponseURL").and_then(Value::as_str).ok_or_else(wrong)?;
    let plain = |c: char| c.is_ascii_graphic() && !"\\\"<>^`{|}".contains(c);
    if url.len() > LONGEST_URL || !url.chars().all(plain) {
        return Err(wrong());
    }
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let place = rest.split(['/', '?', '#']).next().unwrap_or(rest).to_ascii_lowercase();
    let (host, port) = place.split_once(':').unwrap_or((&place, ""));
    let amazon = scheme == "https" && ["", "443"].contains(&port) && DOMAINS.iter().any(|domain| host.ends_with(domain));
    let here = loopback && ["http", "https"].contains(&scheme) && ["127.0.0.1", "localhost"].contains(&host);
    match (amazon || here) && !host.contains('@') {
        true => Ok(url.to_owned()),
        false => Err(wrong()),
    }
}
