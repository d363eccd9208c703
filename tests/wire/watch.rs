//! What is seen on the wire itself: no weight is asked for that was not recorded before, and who was told what.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use coalmine_core::rollout::Rollout;
use coalmine_core::units::Weight;
use serde_json::Value;

use super::world::TABLE;
use crate::harness::{Asked, Cloud, Received, Watch, form};

/// Looks at every request that Coalmine makes.
pub struct Onlooker {
    cloud: Arc<Cloud>,
    told: Arc<Told>,
}

/// What arrived at the event bus: a transition by its key. Kept apart, because a key must always say the same.
#[derive(Default)]
pub struct Told {
    notices: Mutex<BTreeMap<String, String>>,
    wrong: Mutex<Vec<String>>,
}

/// A weight that is asked for.
struct Wish {
    /// As the table names what is claimed.
    claim: String,
    weight: Weight,
}

impl Onlooker {
    pub fn new(cloud: Arc<Cloud>) -> Self {
        Self { cloud, told: Arc::default() }
    }

    pub fn told(&self) -> Arc<Told> {
        Arc::clone(&self.told)
    }

    fn holder(&self, claim: &str) -> Option<Rollout> {
        let claim = self.cloud.item(TABLE, &format!("TARGET#{claim}"), "CLAIM")?;
        let id = claim["rollout"]["S"].as_str().expect("a claim names its rollout").to_owned();
        let item = self.cloud.item(TABLE, &format!("ROLLOUT#{id}"), "STATE")?;
        Some(serde_json::from_str(item["doc"]["S"].as_str().expect("a document")).expect("a rollout"))
    }

    /// What an alias is to be. All traffic on the baseline is no wish: with the table down it may be done unsaved.
    fn of_alias(&self, received: &Received) -> Option<Wish> {
        let body: Value = serde_json::from_slice(&received.body).expect("it is JSON");
        let parts: Vec<&str> = received.path.split('/').collect();
        let claim = format!("{}:{}", parts[3], parts[5]);
        let weights = body["RoutingConfig"]["AdditionalVersionWeights"].as_object();
        let share = weights.and_then(|weights| weights.values().next()).and_then(Value::as_f64);
        let to_canary =
            || self.holder(&claim).is_some_and(|rollout| body["FunctionVersion"] == rollout.canary.0.as_str());
        let weight = match share {
            Some(share) => Weight::from_share(share).expect("a share"),
            None if to_canary() => Weight::FULL,
            None => return None,
        };
        Some(Wish { claim, weight })
    }
}

/// What green is to get of a rule, or of a listener's default action.
fn of_rule(received: &Received) -> Option<Wish> {
    let fields = form(received.text());
    let actions = if fields["Actions"].is_array() { &fields["Actions"] } else { &fields["DefaultActions"] };
    let groups = actions[0]["ForwardConfig"]["TargetGroups"].as_array()?;
    let weight = |group: &Value| group["Weight"].as_str().and_then(|weight| weight.parse::<f64>().ok()).unwrap_or(1.0);
    let name =
        |group: &Value| group["TargetGroupArn"].as_str().and_then(|arn| arn.split('/').nth(1).map(str::to_owned));
    let green = groups.iter().find(|group| name(group).is_some_and(|name| name.starts_with("green")))?;
    let all: f64 = groups.iter().map(weight).sum();
    let weight = Weight::from_share(weight(green) / all).expect("a share");
    Some(Wish { claim: format!("alb/{}", name(green)?), weight })
}

impl Watch for Onlooker {
    fn arrives(&self, asked: &Asked, received: &Received) -> Option<String> {
        let wish = match asked.operation.as_str() {
            "PUT aliases" => self.of_alias(received),
            "ModifyRule" | "ModifyListener" => of_rule(received),
            _ => None,
        }?;
        let rollout = self.holder(&wish.claim);
        let wants = |rollout: &Rollout| rollout.history.iter().any(|event| event.weight == wish.weight);
        let fine = wish.weight == Weight::ZERO || rollout.as_ref().is_some_and(wants);
        let record = rollout.map(|rollout| (rollout.id, rollout.phase));
        (!fine).then(|| format!("{} is asked for on {}, and the record says {record:?}", wish.weight, wish.claim))
    }

    fn done(&self, asked: &Asked, received: &Received) {
        if asked.operation != "PutEvents" {
            return;
        }
        let body: Value = serde_json::from_slice(&received.body).expect("it is JSON");
        for entry in body["Entries"].as_array().into_iter().flatten() {
            let detail = entry["Detail"].as_str().expect("an entry has a detail").to_owned();
            let notice: Value = serde_json::from_str(&detail).expect("it is JSON");
            let key = notice["key"].as_str().expect("a notice has a key").to_owned();
            let before = self.told.notices.lock().expect("nobody panicked").insert(key.clone(), detail.clone());
            if let Some(before) = before.filter(|before| *before != detail) {
                let wrong = format!("{key} was told as {before} and as {detail}");
                self.told.wrong.lock().expect("nobody panicked").push(wrong);
            }
        }
    }
}

impl Told {
    /// What is wrong with what was told of a rollout that has nothing more to tell.
    pub fn wrong_with(&self, rollout: &Rollout) -> Vec<String> {
        let mut wrong = std::mem::take(&mut *self.wrong.lock().expect("nobody panicked"));
        let notices = self.notices.lock().expect("nobody panicked");
        let first = rollout.events_total - rollout.history.len() as u64 + 1;
        for (number, event) in (first..).zip(&rollout.history).filter(|(_, event)| event.entered.is_some()) {
            let key = format!("{}/{number}", rollout.id);
            if !notices.contains_key(&key) {
                wrong.push(format!("{key}, {:?}, was never told", event.entered));
            }
        }
        wrong
    }
}
