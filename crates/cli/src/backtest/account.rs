//! What is looked at, read from an account: the target's past, or the releases it had.

use coalmine_aws::{Aws, AwsConfig};
use coalmine_core::analysis::replay::line_of;
use coalmine_core::analysis::{JudgePlan, ReadBy, plan};
use coalmine_core::driver::{self, Window};
use coalmine_core::metrics::past::{DAY, Past};
use coalmine_core::metrics::shifts::{self, Shift};
use coalmine_core::metrics::{Series, SeriesQuery};
use coalmine_core::observation::Routing;
use coalmine_core::ports::{Fault, LookError, MetricSource, TrafficRouter};
use coalmine_core::recording::Line;
use coalmine_core::spec::{LambdaTarget, RolloutSpec, Target, Version};
use coalmine_core::units::{Minute, Span, Timestamp};

use super::happened::{Ended, Happened};
use super::{Arguments, Case, Material, Nothing, Question, Timeout};
use crate::Exit;
use crate::record::{FARTHEST, span};

/// Deployments that are judged, the newest first: each reads a day of the past.
const JUDGED_MAX: usize = 20;

/// Versions whose traffic is read: GetMetricData takes 500 series at once.
const VERSIONS_MAX: usize = 500;

/// Minutes before a deployment's first one, in case a request came before, and after one that came all at once.
const BEFORE: i64 = 2;
const AFTER: i64 = 60;

pub fn material(spec: &RolloutSpec, arguments: &Arguments, now: Timestamp) -> Result<Material, Nothing> {
    let (from, until) = span(arguments.from, arguments.to, arguments.last, now).map_err(|why| (why, Exit::Invalid))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| (format!("cannot start: {error}"), Exit::Io))?;
    runtime.block_on(async {
        let aws = Aws::new(AwsConfig::default()).await;
        let look = Looking { aws: &aws, spec, from, until, oldest: (now - FARTHEST).minute().plus(1) };
        match (&arguments.old, &arguments.new) {
            (Some(old), Some(new)) => look.incident(old, new, arguments.timeout).await,
            _ if arguments.find => look.deployments().await,
            _ => look.traffic(arguments.timeout).await,
        }
    })
}

struct Looking<'a> {
    aws: &'a Aws,
    spec: &'a RolloutSpec,
    from: Minute,
    until: Minute,
    oldest: Minute,
}

impl Looking<'_> {
    /// The old version alone, as before a rollout: what two versions shared is left out.
    async fn traffic(&self, timeout: Option<Span>) -> Result<Material, Nothing> {
        let target = &self.spec.target;
        let routing = self.aws.look(target).await.map_err(|error| match error {
            LookError::NotFound(sentence) => (sentence, Exit::Invalid),
            LookError::Fault(fault) => (fault.to_string(), Exit::Io),
        })?;
        let timeout = match timeout {
            Some(_) => Timeout::of(timeout),
            None => {
                let version = self.aws.version(target, Some(&routing.primary)).await;
                Timeout::of(version.ok().map(|version| version.timeout))
            }
        };
        let lines = self.alone(&routing).await.map_err(unread)?;
        let name = None;
        let (happened, notes) = (Vec::new(), Vec::new());
        Ok(Material { cases: vec![Case { name, lines }], happened, question: Question::Spec, timeout, notes })
    }

    async fn alone(&self, routing: &Routing) -> Result<Vec<Line>, Fault> {
        let (live, other) = (&routing.primary, other_version(routing));
        let unknown = plan(self.spec);
        let past = |plan: &JudgePlan| -> Vec<SeriesQuery> {
            let all: Vec<usize> = (0..plan.checks.len()).collect();
            self.past(plan, live, &other).queries(&all)
        };
        let asked = self.past(&unknown, live, &other);
        let mut plan = asked.with_edges(&self.read(&asked.quantile_queries()).await?);
        let all: Vec<usize> = (0..plan.checks.len()).collect();
        let mut series = self.read(&past(&plan)).await?;
        let uncountable = self.past(&plan, live, &other).uncountable(&all, &series);
        if !uncountable.is_empty() {
            for place in uncountable {
                if let Some(distribution) = plan.checks.get_mut(place).and_then(|check| check.distribution.as_mut()) {
                    distribution.read = ReadBy::Percentiles;
                }
            }
            series = self.read(&past(&plan)).await?;
        }
        let history = self.past(&plan, live, &other).history(&all, &series);
        Ok(history.minutes.iter().map(|minute| line_of(&plan, minute)).collect())
    }

    fn past<'p>(&'p self, plan: &'p JudgePlan, live: &'p Version, other: &'p Version) -> Past<'p> {
        Past { spec: self.spec, plan, baseline: live, canary: other, from: self.from, until: self.until }
    }

    /// Two versions that somebody names.
    async fn incident(&self, old: &str, new: &str, timeout: Option<Span>) -> Result<Material, Nothing> {
        self.alias()?;
        if old == new {
            return Err((
                format!("--old and --new are both {new}; a version is not compared with itself"),
                Exit::Invalid,
            ));
        }
        let (old, new) = (Version(old.to_owned()), Version(new.to_owned()));
        let (happened, lines) = self.judged(&old, &new, self.from, self.until).await?;
        let cases = vec![Case { name: None, lines }];
        let timeout = Timeout::of(timeout);
        Ok(Material { cases, happened: vec![happened], question: Question::Incident, timeout, notes: Vec::new() })
    }

    /// All that were deployed.
    async fn deployments(&self) -> Result<Material, Nothing> {
        let alias = self.alias()?;
        let mut versions = self.aws.executed_versions(alias).await.map_err(unread)?;
        let mut notes = Vec::new();
        if versions.len() > VERSIONS_MAX {
            notes.push(format!("only the newest {VERSIONS_MAX} of {} versions were looked at", versions.len()));
            versions.drain(..versions.len() - VERSIONS_MAX);
        }
        let queries = shifts::queries(alias, &versions, self.from, self.until);
        let series = self.read(&queries).await.map_err(unread)?;
        let mut found = shifts::shifts(&versions, &series);
        if found.len() > JUDGED_MAX {
            notes.push(format!("{} deployments were found; the newest {JUDGED_MAX} were judged", found.len()));
            found.drain(..found.len() - JUDGED_MAX);
        }
        if found.is_empty() {
            notes.push(format!(
                "{}: versions with traffic of their own: {}; none took over from another. Lambda may tell nothing of a \
                 version that has all the traffic, and then a deployment that was made all at once leaves no trace",
                self.spec.target.key(),
                versions.len()
            ));
        }
        let mut happened = Vec::new();
        for shift in &found {
            happened.push(self.deployment(shift).await?);
        }
        let (cases, question) = (Vec::new(), Question::Deployments);
        Ok(Material { cases, happened, question, timeout: Timeout::ASSUMED, notes })
    }

    async fn deployment(&self, shift: &Shift) -> Result<Happened, Nothing> {
        let until = match shift.how {
            shifts::How::Beside => shift.until,
            shifts::How::AtOnce => shift.until.plus(AFTER).min(self.until),
        };
        // Of two minutes ago it may be another deployment's, but of no other version.
        let from = shift.from.plus(-BEFORE).max(self.from);
        let (happened, _) = self.judged(&shift.old, &shift.new, from, until).await?;
        let ended = match shift.ended {
            shifts::Ended::New => Ended::New,
            shifts::Ended::Old => Ended::Old,
            shifts::Ended::Unknown => Ended::Unknown,
        };
        Ok(Happened { ended: Some(ended), ..happened })
    }

    async fn judged(
        &self,
        old: &Version,
        new: &Version,
        from: Minute,
        until: Minute,
    ) -> Result<(Happened, Vec<Line>), Nothing> {
        let history = from.minutes_since(self.oldest).clamp(0, DAY);
        let (baseline, canary) = (old.clone(), new.clone());
        let window = Window { spec: self.spec.clone(), baseline, canary, from, until, history };
        let recorded = driver::record(self.aws, &window).await.map_err(unread)?;
        let happened = Happened::of(self.spec, None, &recorded.lines).map(|one| one.between(&old.0, &new.0));
        let happened = happened.unwrap_or_else(|| {
            let (from, until) = (from.start(), until.start());
            let why = format!(
                "{}: CloudWatch has no requests of version {new} from {from} to {until}; it may tell nothing of a version that \
                 has all the traffic",
                self.spec.target.key()
            );
            Happened::not_seen(old.0.clone(), new.0.clone(), why)
        });
        Ok((happened, recorded.lines))
    }

    fn alias(&self) -> Result<&LambdaTarget, Nothing> {
        match &self.spec.target {
            Target::Lambda(alias) => Ok(alias),
            Target::Alb(_) => {
                let message = "behind a load balancer two target groups swap roles, and no metric tells which release was on \
                               which; `coalmine record` and --recording can be used where you know it";
                Err((message.to_owned(), Exit::Invalid))
            }
        }
    }

    async fn read(&self, queries: &[SeriesQuery]) -> Result<Vec<Series>, Fault> {
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        self.aws.fetch(queries).await.into_iter().collect()
    }
}

fn unread(fault: Fault) -> Nothing {
    (format!("CloudWatch cannot be read: {fault}"), Exit::Io)
}

/// That of which the live one's minutes must be free: the one beside it, or the one that will be published next.
fn other_version(routing: &Routing) -> Version {
    let beside = routing.additional.as_ref().map(|(version, _)| version).or(routing.at_zero.first());
    let next = || {
        let number = routing.primary.0.parse::<u64>().map(|number| (number + 1).to_string());
        Version(number.unwrap_or_else(|_| format!("{}-next", routing.primary.0)))
    };
    beside.cloned().unwrap_or_else(next)
}
