//! `Custom::Rollout`, the custom resource of CloudFormation: what it asks is kept, and answered now or by a later tick.
//!
//! An error here has Lambda ask again, so it is for what could not be kept, and for events that nobody waits for.

use coalmine_core::cloudformation::wish::LONGEST_TIMEOUT;
use coalmine_core::cloudformation::{Answer, Asked, Caller, Kind, Wish};
use coalmine_core::driver;
use coalmine_core::ports::Stacks;
use coalmine_core::spec::{Problem, Version};
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
        Ok(wish) => Heard::Asked(asked(event, kind, caller, wish, now)),
        // What is given up may be wrong in whatever it says besides.
        Err(_) if kind == Kind::Delete => match event.get("ResourceProperties").and_then(Wish::outline) {
            Some(wish) => Heard::Asked(asked(event, kind, caller, wish, now)),
            None => Heard::Decided(caller, Answer::Succeeded { version: None, rollout: None }),
        },
        Err(problems) => {
            let reason = problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ");
            Heard::Decided(caller, Answer::Failed { reason })
        }
    })
}

fn asked(event: &Value, kind: Kind, caller: Caller, wish: Wish, received: Timestamp) -> Asked {
    let signed = signed(&caller.url).filter(|at| *at <= received && received.since(*at) <= LONGEST_TIMEOUT);
    let rewrites = old(event, &wish).is_some_and(|old| old.triggers != wish.triggers);
    Asked { kind, caller, wish, received, signed, rewrites }
}

/// When the address was signed, which CloudFormation does for every request: `X-Amz-Date=20261121T140200Z`.
fn signed(url: &str) -> Option<Timestamp> {
    let date = url.split(['?', '&']).find_map(|field| field.strip_prefix("X-Amz-Date="))?;
    let part = |from: usize, to: usize| date.get(from..to).filter(|part| part.bytes().all(|b| b.is_ascii_digit()));
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(9, 11)?, part(11, 13)?, part(13, 15)?);
    format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z").parse().ok()
}

/// The version that the stack had behind the same alias.
fn before(event: &Value, wish: &Wish) -> Option<Version> {
    old(event, wish).map(|old| old.version)
}

/// What the stack said before of the same alias.
fn old(event: &Value, wish: &Wish) -> Option<Wish> {
    let old = Wish::outline(event.get("OldResourceProperties")?)?;
    (old.target() == wish.target()).then_some(old)
}

/// What is sent there is no secret, but nobody is to have this function knock at doors of theirs.
fn url(reader: &Reader<'_>, loopback: bool) -> Result<String, EventError> {
    let wrong = || {
        // The address itself would let whoever reads the log answer.
        reader.wrong(
            "`ResponseURL` is no https address of Amazon's: CloudFormation names one of its own buckets".to_owned(),
        )
    };
    let url = reader.event.get("ResponseURL").and_then(Value::as_str).ok_or_else(wrong)?;
    let plain = |c: char| c.is_ascii_graphic() && !"\\\"<>^`{|}".contains(c);
    if url.len() > LONGEST_URL || !url.chars().all(plain) {
        return Err(wrong());
    }
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let place = rest.split(['/', '?', '#']).next().unwrap_or(rest).to_ascii_lowercase();
    let (host, port) = place.split_once(':').unwrap_or((&place, ""));
    let amazon =
        scheme == "https" && ["", "443"].contains(&port) && DOMAINS.iter().any(|domain| host.ends_with(domain));
    let here = loopback && ["http", "https"].contains(&scheme) && ["127.0.0.1", "localhost"].contains(&host);
    match (amazon || here) && !host.contains('@') {
        true => Ok(url.to_owned()),
        false => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(url: &str) -> Value {
        json!({
            "RequestType": "Create", "RequestId": "r", "StackId": "arn:aws:cloudformation:eu-west-1:111122223333:stack/shop/1",
            "LogicalResourceId": "Rollout", "ResponseURL": url,
            "ResourceProperties": { "Function": "checkout", "Alias": "live", "Version": "42" },
        })
    }

    fn now() -> Timestamp {
        "2026-11-21T14:02:00Z".parse().unwrap()
    }

    #[test]
    fn answers_go_to_amazon_and_in_tests_to_this_machine() {
        for (url, amazon, here) in [
            ("https://cloudformation-custom-resource-response-euwest1.s3.eu-west-1.amazonaws.com/k?a=b", true, true),
            ("https://bucket.s3.cn-north-1.amazonaws.com.cn/k", true, true),
            ("https://bucket.s3.amazonaws.com:443/k", true, true),
            ("http://bucket.s3.amazonaws.com/k", false, false),
            ("https://bucket.s3.amazonaws.com:8443/k", false, false),
            ("https://amazonaws.com.example.org/k", false, false),
            ("https://example.org/.amazonaws.com", false, false),
            ("https://example.org?.amazonaws.com", false, false),
            ("https://user@bucket.s3.amazonaws.com/k", false, false),
            ("https://bucket.s3.amazonaws.com@example.org/k", false, false),
            ("https://example.org\\.amazonaws.com/k", false, false),
            ("https://bucket.s3.amazonaws.com/k\r\nHost: x", false, false),
            ("https://169.254.169.254/latest/meta-data", false, false),
            ("http://127.0.0.1:4566/k", false, true),
            ("http://localhost:4566/k", false, true),
            ("http://127.0.0.1.example.org/k", false, false),
            ("file:///etc/passwd", false, false),
            ("", false, false),
        ] {
            for (loopback, expected) in [(false, amazon), (true, here)] {
                let read = read(&event(url), now(), loopback);
                assert_eq!(read.is_ok(), expected, "{url}: {read:?}");
                if let Err(error) = read {
                    assert!(url.is_empty() || !error.to_string().contains(url), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_resource_is_named_after_what_it_rolls_out() {
        let url = "https://bucket.s3.amazonaws.com/k";
        let caller = |event: &Value| match read(event, now(), false).unwrap() {
            Heard::Asked(Asked { caller, .. }) | Heard::Decided(caller, _) => caller.physical,
        };
        let mut asked = event(url);
        assert_eq!(caller(&asked), "coalmine/Rollout/checkout:live");
        asked["RequestType"] = "Update".into();
        asked["PhysicalResourceId"] = "coalmine/Rollout/checkout:live".into();
        assert_eq!(caller(&asked), "coalmine/Rollout/checkout:live");
        // Another alias is another resource: CloudFormation asks for the end of the former one.
        asked["ResourceProperties"]["Alias"] = "blue".into();
        assert_eq!(caller(&asked), "coalmine/Rollout/checkout:blue");
        // With properties that cannot be read it stays what it is, and is not deleted for them.
        asked["ResourceProperties"]["Alias"] = "4".into();
        assert_eq!(caller(&asked), "coalmine/Rollout/checkout:live");
        asked["RequestType"] = "Delete".into();
        let decided = read(&asked, now(), false).unwrap();
        assert!(matches!(decided, Heard::Decided(_, Answer::Succeeded { .. })), "{decided:?}");
        asked["RequestType"] = "Replace".into();
        assert!(read(&asked, now(), false).unwrap_err().to_string().contains("`RequestType` is `Replace`"));
    }

    #[test]
    fn the_version_before_is_that_of_the_same_alias() {
        let mut asked = event("https://bucket.s3.amazonaws.com/k");
        asked["RequestType"] = "Update".into();
        let from = |event: &Value| {
            let read = read(event, now(), false).unwrap();
            let Heard::Asked(Asked { kind: Kind::Update { from }, .. }) = read else { panic!("{read:?}") };
            from.map(|version| version.0)
        };
        for (old, before) in [
            (json!({ "Function": "checkout", "Alias": "live", "Version": "41" }), Some("41")),
            (json!({ "Function": "checkout", "Alias": "blue", "Version": "41" }), None),
            (json!({ "Function": "checkout" }), None),
        ] {
            asked["OldResourceProperties"] = old;
            assert_eq!(from(&asked).as_deref(), before);
        }
    }

    #[test]
    fn a_request_was_asked_when_its_address_was_signed() {
        for (query, seconds_ago) in [
            ("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20261121T140130Z&X-Amz-Expires=7200", Some(30)),
            ("X-Amz-Date=20261121T130200Z", Some(3600)),
            // What cannot be is not believed: a time of tomorrow, or longer ago than CloudFormation waits.
            ("X-Amz-Date=20261121T140201Z", None),
            ("X-Amz-Date=20261121T130159Z", None),
            ("X-Amz-Date=20261321T140130Z", None),
            ("X-Amz-Date=2026112", None),
            ("X-Amz-Date=20261121T1401%30", None),
            ("Expires=1795269730&Signature=s", None),
        ] {
            let read = read(&event(&format!("https://bucket.s3.amazonaws.com/key?{query}")), now(), false).unwrap();
            let Heard::Asked(asked) = read else { panic!("{read:?}") };
            assert_eq!(asked.signed.map(|at| now().since(at).seconds()), seconds_ago, "{query}");
        }
    }

    #[test]
    fn cloudformation_writes_an_alias_of_which_anything_else_changes() {
        let mut asked = event("https://bucket.s3.amazonaws.com/k");
        asked["RequestType"] = "Update".into();
        asked["ResourceProperties"]["Triggers"] = json!({ "Description": "new" });
        for (alias, triggers, rewrites) in [
            ("live", json!({ "Description": "new" }), false),
            ("live", json!({ "Description": "old" }), true),
            ("live", Value::Null, true),
            ("blue", json!({ "Description": "old" }), false),
        ] {
            asked["OldResourceProperties"] =
                json!({ "Function": "checkout", "Alias": alias, "Version": "41", "Triggers": triggers });
            let read = read(&asked, now(), false).unwrap();
            let Heard::Asked(asked) = read else { panic!("{read:?}") };
            assert_eq!(asked.rewrites, rewrites, "{triggers} of {alias}");
        }
    }
}
