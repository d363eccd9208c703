//! EventBridge Scheduler of an emulator, and what it would do: neither of them calls what its schedules name.

use serde_json::{Value, json};

use super::http::{self, Request, Response};

pub const SWITCHES: &str = "coalmine-switches";
pub const SWITCH_ROLE: &str = "arn:aws:iam::000000000000:role/coalmine-switch";

#[derive(Debug, Clone, Copy)]
pub struct Scheduler {
    port: u16,
}

impl Scheduler {
    pub fn at(port: u16) -> Self {
        Self { port }
    }

    pub fn create_group(&self, name: &str) {
        let created = self.send("POST", &format!("/schedule-groups/{name}"), &json!({}));
        assert_eq!(created.status, 200, "{created:?}");
    }

    /// As it is stored.
    pub fn schedule(&self, name: &str) -> Option<Value> {
        let found = self.send("GET", &format!("/schedules/{name}?groupName={SWITCHES}"), &Value::Null);
        match found.status {
            200 => Some(found.body),
            404 => None,
            _ => panic!("{name}: {found:?}"),
        }
    }

    /// Of all schedules in a group.
    pub fn names(&self, group: &str) -> Vec<String> {
        let found = self.send("GET", &format!("/schedules?ScheduleGroup={group}"), &Value::Null);
        assert_eq!(found.status, 200, "{found:?}");
        let names = found.body["Schedules"].as_array().into_iter().flatten().map(|schedule| schedule["Name"].as_str());
        names.map(|name| name.unwrap_or_default().to_owned()).collect()
    }

    /// What the schedule calls and with what; it is gone then, as one that has gone off.
    pub fn take(&self, name: &str) -> (String, Value) {
        let schedule = self.schedule(name).unwrap_or_else(|| panic!("there is no schedule {name}"));
        assert_eq!(schedule["ActionAfterCompletion"], "DELETE");
        let target = &schedule["Target"];
        let input = target["Input"].as_str().expect("it has an input");
        let gone = self.send("DELETE", &format!("/schedules/{name}?groupName={SWITCHES}"), &Value::Null);
        assert_eq!(gone.status, 200, "{gone:?}");
        let arn = target["Arn"].as_str().expect("it calls something");
        (arn.to_owned(), serde_json::from_str(input).expect("an input is JSON"))
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Response {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let content_type = "application/json";
        let request = Request { method, path, service: "scheduler", content_type, target: None, body: &body };
        http::send(self.port, &request)
    }
}
