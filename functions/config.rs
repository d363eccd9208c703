//! What the environment says, checked once at cold start. Everything that is wrong is reported together.

use coalmine_aws::{AwsConfig, ReportsConfig, SwitchConfig};
use coalmine_core::driver::Settings;
use coalmine_core::spec::Mode;
use coalmine_core::units::Span;
use tracing::Level;

use crate::log;

/// The longest metric lag that still leaves a tick something to judge: older minutes are sealed.
const LONGEST_LAG: Span = Span::from_minutes(60);
/// A minute is closed a minute after it ends; a shorter lag would promote on half of the data.
const SHORTEST_LAG: Span = Span::from_minutes(1);
const DEFAULT_LAG: Span = Span::from_minutes(3);

/// A tick every minute pushes it on; a few that fail, as while AWS throttles, must not make it fire.
const SHORTEST_SWITCH: Span = Span::from_minutes(5);
/// A split that nobody looks after for longer than this is what the switch is there to prevent.
const LONGEST_SWITCH: Span = Span::from_minutes(60);
const DEFAULT_SWITCH: Span = Span::from_minutes(15);

/// Below which reports are.
const DEFAULT_PREFIX: &str = "coalmine";

/// Every account has it.
const DEFAULT_BUS: &str = "default";

/// A function's configuration.
#[derive(Debug)]
pub struct Config {
    pub handler: Handler,
    pub log: Level,
}

/// The function that this execution environment is, with what it needs and no more.
#[derive(Debug)]
pub enum Handler {
    Tick(World),
    Command(World),
    Abort(World),
    Alarm(World),
    /// It starts whatever is wrong with its configuration: Amazon ECS takes a function that cannot start for a refusal.
    Hook(Result<World, ConfigError>),
    /// What answers CloudFormation must be told to whoever asks, so it is known whether that may be this machine.
    Resource {
        world: World,
        loopback: bool,
    },
    /// Its world has a place for reports.
    Report(World),
    /// The ARN that a `Custom::Rollout` names.
    Macro {
        service_token: String,
    },
}

/// What is needed to act on rollouts.
#[derive(Debug)]
pub struct World {
    pub aws: AwsConfig,
    pub settings: Settings,
}

/// Everything that is wrong with the environment.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct ConfigError(Vec<String>);

impl Config {
    /// Reads the environment through `lookup`. An empty value counts as not set: templates cannot leave a variable out.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut reader = Reader { lookup, problems: Vec::new() };
        let log = reader.optional("COALMINE_LOG", log_level).unwrap_or(log::DEFAULT);
        let hook = reader.get("_HANDLER").as_deref() == Some("hook");
        let handler = reader.handler();
        match handler {
            Some(handler) if reader.problems.is_empty() => Ok(Self { handler, log }),
            Some(_) | None if hook => Ok(Self { handler: Handler::Hook(Err(ConfigError(reader.problems))), log }),
            Some(_) | None => Err(ConfigError(reader.problems)),
        }
    }
}

struct Reader<L> {
    lookup: L,
    problems: Vec<String>,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    fn get(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    fn handler(&mut self) -> Option<Handler> {
        match self.get("_HANDLER").as_deref() {
            Some("tick") => self.world().map(Handler::Tick),
            Some("command") => self.world().map(Handler::Command),
            Some("abort") => self.world().map(Handler::Abort),
            Some("alarm") => self.world().map(Handler::Alarm),
            Some("hook") => self.world().map(|world| Handler::Hook(Ok(world))),
            Some("resource") => {
                let loopback = self.get("AWS_ENDPOINT_URL").is_some();
                self.world().map(|world| Handler::Resource { world, loopback })
            }
            Some("report") => {
                if self.get("COALMINE_REPORTS_BUCKET").is_none() {
                    let message = "COALMINE_REPORTS_BUCKET is not set; it must be the bucket that reports are put into";
                    self.problems.push(message.to_owned());
                }
                self.world().map(Handler::Report)
            }
            Some("macro") => self.service_token().map(|service_token| Handler::Macro { service_token }),
            other => {
                let found = other.map_or("not set".to_owned(), |other| format!("`{other}`"));
                self.problems.push(format!(
                    "the function's handler (_HANDLER) is {found}; it must be tick, command, abort, alarm, hook, resource, report or macro"
                ));
                None
            }
        }
    }

    fn service_token(&mut self) -> Option<String> {
        if self.get("COALMINE_SERVICE_TOKEN").is_none() {
            let message =
                "COALMINE_SERVICE_TOKEN is not set; it must be the ARN of the function with the handler `resource`";
            self.problems.push(message.to_owned());
        }
        self.optional("COALMINE_SERVICE_TOKEN", function_arn)
    }

    fn world(&mut self) -> Option<World> {
        let table = self.optional("COALMINE_TABLE", table_name);
        if self.get("COALMINE_TABLE").is_none() {
            self.problems.push("COALMINE_TABLE is not set; it must be the name of the state table".to_owned());
        }
        let mode = self.optional("COALMINE_MODE", mode).unwrap_or(Mode::Enforce);
        let metric_lag = self.optional("COALMINE_METRIC_LAG", metric_lag).unwrap_or(DEFAULT_LAG);
        let event_bus = self.optional("COALMINE_EVENT_BUS", event_bus);
        let topic_arn = self.optional("COALMINE_TOPIC_ARN", topic_arn);
        // Whatever is wrong with it is told where it is used: it must not keep the others from being looked after.
        let deployment_spec = self.get("COALMINE_SPEC");
        let waits = self.optional("COALMINE_SWITCH", switch).unwrap_or(Some(DEFAULT_SWITCH));
        let group = self.optional("COALMINE_SWITCH_GROUP", schedule_group);
        let role_arn = self.optional("COALMINE_SWITCH_ROLE_ARN", role_arn);
        // Without them the functions start all the same: what runs can still be rolled back, and no traffic is given that
        // nobody would put back.
        let switch = group.zip(role_arn).map(|(group, role_arn)| SwitchConfig { group, role_arn });
        let settings = Settings { mode, metric_lag, switch: waits, deployment_spec };
        let reports = self.reports();
        // A report is made because of an event, so there is one in any case: an account has this bus.
        let event_bus = event_bus.or_else(|| reports.is_some().then(|| DEFAULT_BUS.to_owned()));
        let aws = AwsConfig { table, event_bus, topic_arn, reports, switch };
        aws.table.is_some().then_some(World { aws, settings })
    }

    /// Where reports are; nowhere without a bucket.
    fn reports(&mut self) -> Option<ReportsConfig> {
        let bucket = self.optional("COALMINE_REPORTS_BUCKET", bucket);
        let prefix = self.optional("COALMINE_REPORTS_PREFIX", prefix).unwrap_or_else(|| DEFAULT_PREFIX.to_owned());
        let url = self.optional("COALMINE_REPORTS_URL", web_address);
        bucket.map(|bucket| ReportsConfig { bucket, prefix, url })
    }

    /// `None` when it is not set, and also when it is wrong, which is then noted.
    fn optional<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match parse(&self.get(name)?) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.problems.push(format!("{name}: {wrong}"));
                None
            }
        }
    }
}

fn log_level(text: &str) -> Result<Level, String> {
    let levels = [
        ("error", Level::ERROR),
        ("warn", Level::WARN),
        ("info", Level::INFO),
        ("debug", Level::DEBUG),
        ("trace", Level::TRACE),
    ];
    let known = levels.into_iter().find(|(name, _)| *name == text).map(|(_, level)| level);
    known.ok_or_else(|| format!("`{text}` is not a level; write error, warn, info, debug or trace"))
}

fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "enforce" => Ok(Mode::Enforce),
        "observe" => Ok(Mode::Observe),
        other => Err(format!("`{other}` is not a mode; write enforce or observe")),
    }
}

fn metric_lag(text: &str) -> Result<Span, String> {
    let lag: Span = text.parse().map_err(|error| format!("{error}"))?;
    if (SHORTEST_LAG..=LONGEST_LAG).contains(&lag) {
        Ok(lag)
    } else {
        Err(format!("`{text}` is out of range; a metric lag is between {SHORTEST_LAG} and {LONGEST_LAG}"))
    }
}

/// How long the dead man's switch waits, or that there is none.
fn switch(text: &str) -> Result<Option<Span>, String> {
    if text == "off" {
        return Ok(None);
    }
    let wrong = |error| format!("{error}; write `off` for no switch");
    let waits: Span = text.parse().map_err(wrong)?;
    if (SHORTEST_SWITCH..=LONGEST_SWITCH).contains(&waits) {
        Ok(Some(waits))
    } else {
        Err(format!(
            "`{text}` is out of range; the switch waits between {SHORTEST_SWITCH} and {LONGEST_SWITCH}, or is `off`"
        ))
    }
}

fn schedule_group(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if text.len() <= 64 && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not the name of a schedule group: up to 64 letters, digits, `_`, `.` and `-`"))
    }
}

/// Roles are in no region.
fn role_arn(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, "iam", "", account, name]
            if !partition.is_empty() && !account.is_empty() && name.starts_with("role/") =>
        {
            Ok(text.to_owned())
        }
        _ => Err(format!("`{text}` is not a role's ARN; write it as `arn:aws:iam::ACCOUNT:role/NAME`")),
    }
}

fn table_name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if (3..=255).contains(&text.len()) && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not the name of a table: 3 to 255 letters, digits, `_`, `.` and `-`"))
    }
}

fn event_bus(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let name = text.len() <= 256 && text.chars().all(allowed);
    if name || is_arn(text, "events") {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is neither the name nor the ARN of an event bus"))
    }
}

fn bucket(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
    let ends = |c: char| c.is_ascii_alphanumeric();
    if (3..=63).contains(&text.len()) && text.chars().all(allowed) && text.starts_with(ends) && text.ends_with(ends) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not the name of a bucket: 3 to 63 lower-case letters, digits, `.` and `-`"))
    }
}

/// Folders. What begins with a dot would lead elsewhere in an address.
fn prefix(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let folder = |part: &str| part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.chars().all(allowed);
    if text.len() <= 200 && text.split('/').all(folder) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not a prefix; write it as `reports` or `releases/reports`"))
    }
}

fn web_address(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~:/%".contains(c);
    match text.strip_prefix("https://") {
        Some(rest)
            if text.len() <= 500
                && rest.starts_with(|c: char| c.is_ascii_alphanumeric())
                && rest.chars().all(allowed) =>
        {
            Ok(text.to_owned())
        }
        Some(_) | None => {
            Err(format!("`{text}` is not an address; write it as `https://reports.example.com/coalmine`"))
        }
    }
}

fn topic_arn(text: &str) -> Result<String, String> {
    if is_arn(text, "sns") {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not a topic's ARN; write it as `arn:aws:sns:REGION:ACCOUNT:NAME`"))
    }
}

fn function_arn(text: &str) -> Result<String, String> {
    if is_arn(text, "lambda") {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not a function's ARN; write it as `arn:aws:lambda:REGION:ACCOUNT:function:NAME`"))
    }
}

fn is_arn(text: &str, service: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    matches!(parts.as_slice(), ["arn", partition, found, region, account, name]
        if *found == service && [partition, region, account, name].iter().all(|part| !part.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "arn:aws:iam::111122223333:role/coalmine-switch";
    const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:releases";

    fn read(environment: &[(&str, &str)]) -> Result<Config, String> {
        let lookup = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned());
        Config::read(lookup).map_err(|error| error.to_string())
    }

    fn world(environment: &[(&str, &str)]) -> World {
        match read(environment).unwrap().handler {
            Handler::Tick(world)
            | Handler::Command(world)
            | Handler::Abort(world)
            | Handler::Alarm(world)
            | Handler::Report(world) => world,
            Handler::Hook(world) => world.unwrap(),
            Handler::Resource { world, .. } => world,
            Handler::Macro { .. } => panic!("it has no world"),
        }
    }

    #[test]
    fn a_table_is_enough_and_the_rest_has_defaults() {
        for handler in ["tick", "command", "abort", "alarm", "hook", "resource"] {
            let world = world(&[("_HANDLER", handler), ("COALMINE_TABLE", "coalmine"), ("COALMINE_TOPIC_ARN", "")]);
            assert_eq!(world.aws.table.as_deref(), Some("coalmine"));
            assert_eq!((world.aws.event_bus, world.aws.topic_arn, world.aws.switch), (None, None, None));
            assert_eq!(world.aws.reports, None);
            assert_eq!(world.settings.switch, Some(Span::from_minutes(15)));
            assert_eq!((world.settings.mode, world.settings.metric_lag), (Mode::Enforce, DEFAULT_LAG));
            assert_eq!(world.settings.deployment_spec, None);
        }
    }

    #[test]
    fn everything_can_be_set() {
        let world = world(&[
            ("_HANDLER", "tick"),
            ("COALMINE_TABLE", "coalmine"),
            ("COALMINE_MODE", "observe"),
            ("COALMINE_METRIC_LAG", "2m"),
            ("COALMINE_SPEC", "alarms: [checkout-5xx]"),
            ("COALMINE_EVENT_BUS", "releases"),
            ("COALMINE_TOPIC_ARN", TOPIC),
            ("COALMINE_SWITCH", "30m"),
            ("COALMINE_SWITCH_GROUP", "coalmine"),
            ("COALMINE_SWITCH_ROLE_ARN", ROLE),
        ]);
        assert_eq!(world.settings.mode, Mode::Observe);
        assert_eq!(world.settings.metric_lag, Span::from_minutes(2));
        assert_eq!(world.settings.deployment_spec.as_deref(), Some("alarms: [checkout-5xx]"));
        assert_eq!(world.aws.event_bus.as_deref(), Some("releases"));
        assert_eq!(world.aws.topic_arn.as_deref(), Some(TOPIC));
        assert_eq!(world.settings.switch, Some(Span::from_minutes(30)));
        let switch = SwitchConfig { group: "coalmine".to_owned(), role_arn: ROLE.to_owned() };
        assert_eq!(world.aws.switch, Some(switch));
    }

    #[test]
    fn reports_need_a_bucket_and_a_bus_which_every_account_has() {
        let bucket = ("COALMINE_REPORTS_BUCKET", "releases.example");
        let with = |handler: &str, more: &[(&str, &str)]| {
            world(&[&[("_HANDLER", handler), ("COALMINE_TABLE", "coalmine"), bucket], more].concat()).aws
        };
        let reports = |prefix: &str, url: Option<&str>| {
            let (bucket, prefix, url) = (bucket.1.to_owned(), prefix.to_owned(), url.map(str::to_owned));
            Some(ReportsConfig { bucket, prefix, url })
        };
        for handler in ["tick", "report"] {
            let plain = with(handler, &[("COALMINE_REPORTS_PREFIX", ""), ("COALMINE_EVENT_BUS", "")]);
            assert_eq!((plain.event_bus.as_deref(), plain.reports), (Some("default"), reports("coalmine", None)));
        }
        let url = "https://reports.example.com/";
        let all = [("COALMINE_REPORTS_PREFIX", "a/b"), ("COALMINE_REPORTS_URL", url), ("COALMINE_EVENT_BUS", "bus")];
        let all = with("tick", &all);
        assert_eq!((all.event_bus.as_deref(), all.reports), (Some("bus"), reports("a/b", Some(url))));
        let none = read(&[("_HANDLER", "report"), ("COALMINE_TABLE", "coalmine"), ("COALMINE_REPORTS_PREFIX", "a")]);
        let message = "COALMINE_REPORTS_BUCKET is not set; it must be the bucket that reports are put into";
        assert_eq!(none.unwrap_err(), message);
    }

    #[test]
    fn every_wrong_place_for_reports_says_what_would_be_right() {
        let bucket = "is not the name of a bucket: 3 to 63 lower-case letters, digits, `.` and `-`";
        let prefix = "is not a prefix; write it as `reports` or `releases/reports`";
        let url = "is not an address; write it as `https://reports.example.com/coalmine`";
        for (name, values, wrong) in [
            ("BUCKET", ["s3://releases", "Releases", "-releases"], bucket),
            ("PREFIX", ["/reports", "a/../b", "a b"], prefix),
            ("URL", ["http://reports.example.com", "https:///x", "https://a.example/?q=\"<"], url),
        ] {
            for value in values {
                let name = format!("COALMINE_REPORTS_{name}");
                assert_eq!(refused(&name, value), format!("{name}: `{value}` {wrong}"));
            }
        }
    }

    #[test]
    fn the_switch_can_be_off_and_needs_both_its_parts() {
        let with =
            |more: &[(&str, &str)]| world(&[&[("_HANDLER", "tick"), ("COALMINE_TABLE", "coalmine")], more].concat());
        assert_eq!(with(&[("COALMINE_SWITCH", "off")]).settings.switch, None);
        for half in [("COALMINE_SWITCH_GROUP", "coalmine"), ("COALMINE_SWITCH_ROLE_ARN", ROLE)] {
            let world = with(&[half]);
            assert_eq!((world.settings.switch, world.aws.switch), (Some(DEFAULT_SWITCH), None));
        }
    }

    #[test]
    fn every_log_level_is_known() {
        for level in [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE] {
            let text = level.as_str().to_lowercase();
            let config = read(&[("_HANDLER", "tick"), ("COALMINE_TABLE", "coalmine"), ("COALMINE_LOG", &text)]);
            assert_eq!(config.unwrap().log, level);
        }
    }

    #[test]
    fn the_macro_needs_the_service_token_and_nothing_else() {
        let token = "arn:aws:lambda:eu-west-1:111122223333:function:coalmine-Resource";
        let config = read(&[("_HANDLER", "macro"), ("COALMINE_SERVICE_TOKEN", token)]).unwrap();
        assert!(matches!(config.handler, Handler::Macro { service_token } if service_token == token));
        for (value, message) in [
            ("", "COALMINE_SERVICE_TOKEN is not set; it must be the ARN of the function with the handler `resource`"),
            (
                "coalmine-Resource",
                "COALMINE_SERVICE_TOKEN: `coalmine-Resource` is not a function's ARN; write it as \
                 `arn:aws:lambda:REGION:ACCOUNT:function:NAME`",
            ),
        ] {
            let found = read(&[("_HANDLER", "macro"), ("COALMINE_SERVICE_TOKEN", value)]);
            assert_eq!(found.unwrap_err(), message);
        }
    }

    /// Answers may be sent to this machine in tests alone.
    #[test]
    fn an_endpoint_of_ones_own_opens_the_loopback() {
        let loopback = |more: &[(&str, &str)]| {
            let environment = [&[("_HANDLER", "resource"), ("COALMINE_TABLE", "coalmine")], more].concat();
            let handler = read(&environment).unwrap().handler;
            let Handler::Resource { loopback, .. } = handler else { panic!("{handler:?}") };
            loopback
        };
        assert!(!loopback(&[]) && loopback(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")]));
    }

    /// A function that does not start is a refusal for Amazon ECS, which rolls back.
    #[test]
    fn the_hook_starts_although_its_configuration_is_wrong() {
        let config = read(&[("_HANDLER", "hook"), ("COALMINE_MODE", "dry-run"), ("COALMINE_LOG", "loud")]).unwrap();
        let Handler::Hook(Err(error)) = config.handler else { panic!("{:?}", config.handler) };
        for name in ["COALMINE_TABLE", "COALMINE_MODE", "COALMINE_LOG"] {
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn every_wrong_value_says_what_would_be_right() {
        for (name, value, message) in [
            (
                "_HANDLER",
                "",
                "the function's handler (_HANDLER) is not set; it must be tick, command, abort, alarm, hook, resource, report or macro",
            ),
            (
                "_HANDLER",
                "tock",
                "the function's handler (_HANDLER) is `tock`; it must be tick, command, abort, alarm, hook, resource, report or macro",
            ),
            ("COALMINE_TABLE", "", "COALMINE_TABLE is not set; it must be the name of the state table"),
            (
                "COALMINE_TABLE",
                "a b",
                "COALMINE_TABLE: `a b` is not the name of a table: 3 to 255 letters, digits, `_`, `.` and `-`",
            ),
            ("COALMINE_MODE", "dry-run", "COALMINE_MODE: `dry-run` is not a mode; write enforce or observe"),
            (
                "COALMINE_METRIC_LAG",
                "soon",
                "COALMINE_METRIC_LAG: `soon` is not a duration; write it as `90s`, `5m`, `1h30m` or `2d`",
            ),
            (
                "COALMINE_METRIC_LAG",
                "2h",
                "COALMINE_METRIC_LAG: `2h` is out of range; a metric lag is between 1m and 1h",
            ),
            (
                "COALMINE_METRIC_LAG",
                "30s",
                "COALMINE_METRIC_LAG: `30s` is out of range; a metric lag is between 1m and 1h",
            ),
            (
                "COALMINE_EVENT_BUS",
                "my bus",
                "COALMINE_EVENT_BUS: `my bus` is neither the name nor the ARN of an event bus",
            ),
            (
                "COALMINE_TOPIC_ARN",
                "releases",
                "COALMINE_TOPIC_ARN: `releases` is not a topic's ARN; write it as `arn:aws:sns:REGION:ACCOUNT:NAME`",
            ),
            ("COALMINE_LOG", "loud", "COALMINE_LOG: `loud` is not a level; write error, warn, info, debug or trace"),
        ] {
            assert_eq!(refused(name, value), message);
        }
    }

    #[test]
    fn every_wrong_value_of_the_switch_says_so_too() {
        for (name, value, message) in [
            (
                "COALMINE_SWITCH",
                "never",
                "COALMINE_SWITCH: `never` is not a duration; write it as `90s`, `5m`, `1h30m` or `2d`; write `off` for no \
                 switch",
            ),
            (
                "COALMINE_SWITCH",
                "4m",
                "COALMINE_SWITCH: `4m` is out of range; the switch waits between 5m and 1h, or is `off`",
            ),
            (
                "COALMINE_SWITCH",
                "61m",
                "COALMINE_SWITCH: `61m` is out of range; the switch waits between 5m and 1h, or is `off`",
            ),
            (
                "COALMINE_SWITCH_GROUP",
                "my group",
                "COALMINE_SWITCH_GROUP: `my group` is not the name of a schedule group: up to 64 letters, digits, `_`, `.` and \
                 `-`",
            ),
            (
                "COALMINE_SWITCH_ROLE_ARN",
                "coalmine-switch",
                "COALMINE_SWITCH_ROLE_ARN: `coalmine-switch` is not a role's ARN; write it as \
                 `arn:aws:iam::ACCOUNT:role/NAME`",
            ),
        ] {
            assert_eq!(refused(name, value), message);
        }
    }

    /// What is said of a tick function with this value.
    fn refused(name: &str, value: &str) -> String {
        let mut environment = vec![(name, value), ("_HANDLER", "tick"), ("COALMINE_TABLE", "coalmine")];
        environment.dedup_by_key(|(key, _)| *key);
        read(&environment).unwrap_err()
    }

    #[test]
    fn all_problems_are_reported_together() {
        let error = read(&[("_HANDLER", "tick"), ("COALMINE_MODE", "x"), ("COALMINE_LOG", "y")]).unwrap_err();
        assert_eq!(error.matches("; ").count() - error.matches("; write").count() - error.matches("; it").count(), 2);
        for name in ["COALMINE_TABLE", "COALMINE_MODE", "COALMINE_LOG"] {
            assert!(error.contains(name), "{error}");
        }
    }
}
