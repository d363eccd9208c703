//! CodeDeploy for one Lambda alias: deployments that a test's clock drives, hooks that are answered once, and just the
//! calls that Coalmine makes. It moves no alias itself: it says what is to be done, and the stage does it.

mod operations;

use coalmine_core::units::{Span, Timestamp};

use super::json_api::{Api, JsonApi, Refused};
use serde_json::Value;

pub type FakeCodeDeploy = JsonApi<CodeDeploy>;

/// In their order. The second and the fourth may have a hook.
pub const EVENTS: [&str; 5] = ["Start", "BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic", "End"];
const BEFORE: usize = 1;
const SHIFT: usize = 2;
const AFTER: usize = 3;
const END: usize = 4;
/// An unanswered hook fails its deployment after so long.
const HOOK_LIMIT: Span = Span::from_minutes(60);

/// How traffic shifts: percent and minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timetable {
    AllAtOnce,
    Canary { percent: u32, minutes: i64 },
    Linear { percent: u32, minutes: i64 },
}

/// What a deployment is created with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub function: String,
    pub alias: String,
    pub current: String,
    pub target: String,
    pub config: String,
    pub creator: &'static str,
    /// `Lambda`, unless a test says otherwise.
    pub platform: &'static str,
    /// Whether there is a hook before any traffic, and one after all of it.
    pub hooks: [bool; 2],
}

#[derive(Debug)]
pub struct Deployment {
    pub id: String,
    pub request: Request,
    pub status: &'static str,
    /// Why it ended without success: a code and a message.
    pub reason: Option<(&'static str, String)>,
    /// Percent of the traffic on the version that it deploys.
    pub weight: u32,
    /// Every answer that a hook got: its event and the status.
    pub answers: Vec<(&'static str, String)>,
    pub rolled_back_by: Option<String>,
    pub triggered_by: Option<String>,
    created: Timestamp,
    started: Option<Timestamp>,
    completed: Option<Timestamp>,
    /// Of [`EVENTS`]; those before it are over.
    event: usize,
    /// When each began, and how it ended.
    events: [(Option<Timestamp>, &'static str); 5],
    hook: Option<Pending>,
    /// When the first weight was set.
    shifted: Option<Timestamp>,
    /// When the last one was.
    moved: Option<Timestamp>,
}

/// A hook that was called.
#[derive(Debug)]
struct Pending {
    execution: String,
    since: Timestamp,
    answer: Option<String>,
}

/// What CodeDeploy does to the rest of the world.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Percent of the traffic that the deployed version gets; [`Deployment::request`] says where.
    Shift { deployment: String, percent: u32 },
    /// The payload of a hook.
    Hook { deployment: String, execution: String },
    /// A deployment's new state, as EventBridge tells it.
    News { deployment: String, state: &'static str },
}

#[derive(Debug)]
pub struct CodeDeploy {
    pub deployments: Vec<Deployment>,
    /// Those of a test's own, by name.
    pub configs: Vec<(String, Timetable)>,
    /// Stopped deployments are said to be stopping until the next step.
    pub stops_slowly: bool,
    now: Timestamp,
    acts: Vec<Act>,
}

impl CodeDeploy {
    pub fn at(now: Timestamp) -> Self {
        Self { deployments: Vec::new(), configs: Vec::new(), stops_slowly: false, now, acts: Vec::new() }
    }

    /// Nothing happens before the next [step](Self::step). Its id.
    pub fn create(&mut self, request: Request) -> String {
        let id = format!("d-TEST{:05}", self.deployments.len() + 1);
        self.deployments.push(Deployment {
            id: id.clone(),
            request,
            status: "Created",
            reason: None,
            weight: 0,
            answers: Vec::new(),
            rolled_back_by: None,
            triggered_by: None,
            created: self.now,
            started: None,
            completed: None,
            event: 0,
            events: [(None, "Pending"); 5],
            hook: None,
            shifted: None,
            moved: None,
        });
        id
    }

    /// Keeps the deployments of these functions as they are.
    pub fn hold(&mut self, functions: &str) {
        let held = self.deployments.iter_mut().filter(|other| other.request.function.starts_with(functions));
        held.for_each(|deployment| {
            (deployment.status, deployment.started, deployment.event) = ("Queued", Some(self.now), 0);
        });
    }

    pub fn find(&self, id: &str) -> Option<&Deployment> {
        self.deployments.iter().find(|deployment| deployment.id == id)
    }

    fn find_mut(&mut self, id: &str) -> Option<&mut Deployment> {
        self.deployments.iter_mut().find(|deployment| deployment.id == id)
    }

    /// Goes on as far as it can at this time; what is to be done now, which may let it go on further.
    pub fn step(&mut self, now: Timestamp) -> Vec<Act> {
        self.now = now;
        for place in 0..self.deployments.len() {
            while self.advance(place) {}
        }
        std::mem::take(&mut self.acts)
    }

    /// Whether there is more to do at once.
    fn advance(&mut self, place: usize) -> bool {
        let now = self.now;
        let deployment = &mut self.deployments[place];
        match (deployment.status, deployment.event) {
            ("Created", _) => {
                deployment.status = "InProgress";
                deployment.started = Some(now);
                deployment.end_event(now, "Succeeded");
                self.tell(place, "START");
                true
            }
            ("Stopping", _) => {
                self.stop(place);
                true
            }
            ("InProgress", BEFORE | AFTER) => self.ask(place),
            ("InProgress", SHIFT) => self.shift(place),
            ("InProgress", END) => {
                deployment.end_event(now, "Succeeded");
                deployment.end("Succeeded", now);
                self.tell(place, "SUCCESS");
                false
            }
            _ => false,
        }
    }

    fn ask(&mut self, place: usize) -> bool {
        let now = self.now;
        let deployment = &mut self.deployments[place];
        if !deployment.request.hooks[usize::from(deployment.event == AFTER)] {
            deployment.end_event(now, "Skipped");
            return true;
        }
        let Some(hook) = &deployment.hook else {
            let execution = execution(&deployment.id, EVENTS[deployment.event]);
            deployment.events[deployment.event] = (Some(now), "InProgress");
            deployment.hook = Some(Pending { execution: execution.clone(), since: now, answer: None });
            self.acts.push(Act::Hook { deployment: deployment.id.clone(), execution });
            return false;
        };
        match hook.answer.as_deref() {
            Some("Succeeded") => {
                deployment.hook = None;
                deployment.end_event(now, "Succeeded");
                true
            }
            Some(_) => self.fail(place, "the validation function said that the deployment failed"),
            None if now.since(hook.since) >= HOOK_LIMIT => self.fail(place, "the hook was not answered in an hour"),
            None => false,
        }
    }

    fn shift(&mut self, place: usize) -> bool {
        let now = self.now;
        let timetable = self.timetable(&self.deployments[place].request.config);
        let deployment = &mut self.deployments[place];
        let since = *deployment.shifted.get_or_insert(now);
        deployment.events[SHIFT] = (Some(since), "InProgress");
        let gone = i64::try_from(now.since(since).seconds() / 60).expect("a deployment is over within days");
        let percent = match timetable.expect("the configuration exists") {
            Timetable::AllAtOnce => 100,
            Timetable::Canary { percent, minutes } if gone < minutes => percent,
            Timetable::Canary { .. } => 100,
            Timetable::Linear { percent, minutes } => {
                100.min(percent * u32::try_from(1 + gone / minutes).expect("it is not negative"))
            }
        };
        if percent > deployment.weight {
            (deployment.weight, deployment.moved) = (percent, Some(now));
            self.acts.push(Act::Shift { deployment: deployment.id.clone(), percent });
        }
        // What is next comes a minute later, unless nothing was to be waited for.
        let ends = percent == 100 && (gone == 0 || deployment.moved < Some(now));
        if ends {
            deployment.end_event(now, "Succeeded");
        }
        ends
    }

    /// It ends, and another deployment puts the traffic back.
    fn fail(&mut self, place: usize, message: &str) -> bool {
        self.deployments[place].reason = Some(("HOOK_EXECUTION_FAILURE", message.to_owned()));
        self.deployments[place].end("Failed", self.now);
        self.tell(place, "FAILURE");
        self.roll_back(place);
        false
    }

    fn stop(&mut self, place: usize) {
        self.deployments[place].reason = Some(("MANUAL_STOP", "the deployment was stopped".to_owned()));
        self.deployments[place].end("Stopped", self.now);
        self.tell(place, "STOP");
        self.roll_back(place);
    }

    fn roll_back(&mut self, place: usize) {
        let Deployment { id, request, .. } = &self.deployments[place];
        let (id, request) = (id.clone(), request.clone());
        let back = Request {
            current: request.target,
            target: request.current,
            config: "CodeDeployDefault.LambdaAllAtOnce".to_owned(),
            creator: "codeDeployRollback",
            ..request
        };
        let other = self.create(back);
        self.deployments[place].rolled_back_by = Some(other.clone());
        self.find_mut(&other).expect("made above").triggered_by = Some(id);
    }

    fn tell(&mut self, place: usize, state: &'static str) {
        self.acts.push(Act::News { deployment: self.deployments[place].id.clone(), state });
    }

    /// Of a configuration by its name, in whatever letters.
    fn timetable(&self, config: &str) -> Option<Timetable> {
        let own = self.configs.iter().find(|(name, _)| name.eq_ignore_ascii_case(config));
        own.map(|(_, timetable)| *timetable).or_else(|| predefined(config))
    }
}

/// CodeDeploy's name for a call of a hook.
fn execution(deployment: &str, event: &str) -> String {
    format!("eyJlbmNyeXB0ZWREYXRhIjoi{deployment}/{event}=")
}

fn predefined(config: &str) -> Option<Timetable> {
    let name = config.strip_prefix("CodeDeployDefault.Lambda")?;
    if name == "AllAtOnce" {
        return Some(Timetable::AllAtOnce);
    }
    if let Some(minutes) = name.strip_prefix("Canary10Percent") {
        let minutes = minutes.strip_suffix("Minutes")?.parse().ok()?;
        return [5, 10, 15, 30].contains(&minutes).then_some(Timetable::Canary { percent: 10, minutes });
    }
    let minutes = match name.strip_prefix("Linear10PercentEvery")? {
        "1Minute" => 1,
        "2Minutes" => 2,
        "3Minutes" => 3,
        "10Minutes" => 10,
        _ => return None,
    };
    Some(Timetable::Linear { percent: 10, minutes })
}

impl Deployment {
    fn end_event(&mut self, now: Timestamp, how: &'static str) {
        let (began, status) = &mut self.events[self.event];
        began.get_or_insert(now);
        *status = how;
        self.event += 1;
    }

    /// What has not ended well is skipped, or failed where it had begun.
    fn end(&mut self, status: &'static str, now: Timestamp) {
        for (_, event) in &mut self.events {
            match *event {
                "Pending" => *event = "Skipped",
                "InProgress" => *event = "Failed",
                _ => {}
            }
        }
        (self.status, self.completed) = (status, Some(now));
    }

    /// Whether it waits for the answer of a hook.
    pub fn waits(&self) -> bool {
        self.status == "InProgress" && self.hook.as_ref().is_some_and(|hook| hook.answer.is_none())
    }

    fn has_ended(&self) -> bool {
        ["Succeeded", "Failed", "Stopped"].contains(&self.status)
    }
}

impl Api for CodeDeploy {
    const SERVICE: &'static str = "codedeploy";
    const TARGET: &'static str = "CodeDeploy_20141006";

    fn run(&mut self, operation: &str, input: &Value) -> Result<Value, Refused> {
        operations::run(self, operation, input)
    }
}
