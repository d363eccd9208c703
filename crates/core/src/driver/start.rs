//! Starting a rollout: everything is checked before anything is written.

use std::collections::BTreeSet;

use futures_util::future::join3;

use super::past::Whose;
use super::problems::{failed, failed_at, problem, unseen};
use super::{Context, Settings, start_alb};
use crate::analysis::{self, JudgePlan};
use crate::command::Answer;
use crate::engine;
use crate::metrics::{self, Bypass, Series};
use crate::observation::{AlarmState, Readiness, Routing, Surroundings, VersionInfo};
use crate::ports::{Budget, CreateError, LookError, Ports};
use crate::rollout::{Behind, Guest, LARGEST_START_BYTES, Rollout};
use crate::spec::{AlreadyRed, LambdaTarget, Mode, Newer, Owner, Problem, RolloutSpec, Target, Validated, Version};
use crate::units::Timestamp;
use crate::way_out;

/// How much of the past tells what traffic to expect.
const HISTORY_MINUTES: i64 = 60;

/// Starts a rollout, or says everything that is in the way. Starting the same again is a no-op.
pub(super) async fn start<P: Ports, B: Budget>(
    context: &Context<'_, P, B>,
    validated: Validated,
    by: String,
) -> Result<Answer, Vec<Problem>> {
    let (rollout, warnings) = match check(context, validated, by).await? {
        Checked::Answered(answer) => return Ok(answer),
        Checked::Begins(rollout, warnings) => (*rollout, warnings),
    };
    match context.ports.create(&rollout).await {
        Ok(()) => Ok(Answer::about(rollout, warnings)),
        Err(CreateError::Fault(fault)) => Err(failed(fault)),
        Err(error @ (CreateError::Exists | CreateError::TargetTaken { .. })) => {
            Err(problem("", format!("{error}: another start came first; ask again")))
        }
    }
}

/// What a start came to before anything is written.
pub(super) enum Checked {
    /// There is nothing to begin.
    Answered(Answer),
    Begins(Box<Rollout>, Vec<Problem>),
}

/// All of a start but the writing.
pub(super) async fn check<P: Ports, B: Budget>(
    context: &Context<'_, P, B>,
    validated: Validated,
    by: String,
) -> Result<Checked, Vec<Problem>> {
    let Validated { spec, mut warnings } = validated;
    check_owner(&spec)?;
    let opened = match &spec.target {
        Target::Lambda(_) => open(context, &spec).await?,
        Target::Alb(alb) => start_alb::open(context, &spec, alb).await?,
    };
    let mut scene = match opened {
        Opened::Answered(answer) => return Ok(Checked::Answered(answer)),
        Opened::Begins(scene) => *scene,
    };
    let mut problems = check_version(&scene.version);
    problems.append(&mut scene.problems);
    warnings.append(&mut scene.warnings);
    let AlarmsSeen { muted, unknown, red, unread } = check_alarms(context, &spec).await;
    let mut alarms = [unread, unknown, red].concat();
    // In the order of the spec: `names[2]` before `names[10]`.
    alarms.sort_by_key(|problem| (problem.path.len(), problem.path.clone()));
    problems.append(&mut alarms);
    let (mut plan, learned) = look_back(context, &spec, &scene).await;
    let (traffic_problems, traffic_warnings) = check_traffic(context, &spec, &mut plan, &scene).await;
    problems.extend(traffic_problems);
    warnings.extend(traffic_warnings);
    if !problems.is_empty() {
        return Err(problems);
    }
    let parts = Parts { scene, spec, plan, learned, muted, guest: None, by };
    let rollout = engine::begin(&parts.into_start(context.settings, context.now));
    check_size(&rollout)?;
    Ok(Checked::Begins(Box::new(rollout), warnings))
}

/// Room for what is still to be learned of a check, as JSON: 18 models of a distribution, one of counts, each with the
/// hours that are set aside.
pub(super) const DISTRIBUTION_BYTES: usize = 16 * 1024;
pub(super) const COUNTS_BYTES: usize = 4 * 1024;

/// What cannot be saved any more cannot be rolled back either: there must be room for its history.
pub(super) fn check_size(rollout: &Rollout) -> Result<(), Vec<Problem>> {
    let to_learn = rollout.plan.checks.iter().filter(|check| check.learned.is_none());
    let to_learn: usize =
        to_learn.map(|check| if check.distribution.is_some() { DISTRIBUTION_BYTES } else { COUNTS_BYTES }).sum();
    let bytes = serde_json::to_string(rollout).map_or(usize::MAX, |text| text.len().saturating_add(to_learn));
    if bytes <= LARGEST_START_BYTES {
        return Ok(());
    }
    let message = format!(
        "the rollout would have {bytes} bytes, of which most are its spec; at most {LARGEST_START_BYTES} can be kept with \
         its history: use fewer or shorter checks and tests"
    );
    Err(problem("spec", message))
}

/// What a look at the target came to.
pub(super) enum Opened {
    /// There is nothing to begin.
    Answered(Answer),
    Begins(Box<Scene>),
}

/// What is to be rolled out, on what, and what of the target is in the way.
pub(super) struct Scene {
    pub id: String,
    pub routing: Routing,
    pub version: VersionInfo,
    pub behind: Option<Behind>,
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
    /// Calls may go elsewhere than the weights say.
    pub spills: bool,
}

/// An alias and a version.
async fn open<P: Ports, B: Budget>(context: &Context<'_, P, B>, spec: &RolloutSpec) -> Result<Opened, Vec<Problem>> {
    let ports = context.ports;
    let looks =
        join3(ports.look(&spec.target), ports.version(&spec.target, spec.version.as_ref()), ports.survey(&spec.target));
    let (routing, version, around) = looks.await;
    let (routing, version) = both(routing, version)?;
    let id = spec.name.clone().unwrap_or_else(|| spec.target.default_id(&version.version, &spec.release));
    if let Some(existing) = ports.load(&id).await.map_err(failed)? {
        return same_again(existing, spec, &version, &routing).map(Opened::Answered);
    }
    if routing.primary == version.version && routing.additional.is_none() {
        let message = format!("{} is live on {} already: nothing to roll out", version.version, spec.target.key());
        return Ok(Opened::Answered(Answer::Nothing { message }));
    }
    let rollouts = on_target(context, &spec.target).await?;
    check_deployments(context, spec).await?;
    let behind = behind(&rollouts, spec, &version.version)?;
    let problems = check_routing(spec, &routing, &version, may_have_set(&rollouts, &routing));
    let (spills, warnings) = spillover(&spec.target, around);
    Ok(Opened::Begins(Box::new(Scene { id, routing, version, behind, problems, warnings, spills })))
}

/// Two must not set the weights of one alias. Not knowing whether somebody else does is a reason to refuse.
async fn check_deployments<P: Ports, B: Budget>(
    context: &Context<'_, P, B>,
    spec: &RolloutSpec,
) -> Result<(), Vec<Problem>> {
    let Target::Lambda(LambdaTarget { owner: Owner::Coalmine, .. }) = &spec.target else { return Ok(()) };
    if spec.mode == Mode::Observe {
        return Ok(());
    }
    let key = spec.target.key();
    let path = "target.lambda.alias";
    match context.ports.shifting(&spec.target).await {
        Ok(None) => Ok(()),
        Ok(Some(deployment)) => {
            let message = format!(
                "{deployment} is shifting {key}; wait for its end; it is judged by itself if its hook or its event reaches Coalmine"
            );
            Err(problem(path, message))
        }
        Err(fault) => {
            let message = format!("whether a deployment is shifting {key} already is not known: {fault}");
            Err(failed_at(path, &fault, message))
        }
    }
}

/// Whether calls may go elsewhere than the weights say, and what to say of it. Not knowing is no reason to refuse: a split
/// that is off holds the rollout and says so.
pub(super) fn spillover(target: &Target, around: Result<Surroundings, LookError>) -> (bool, Vec<Problem>) {
    let key = target.key();
    let message = match around {
        Ok(around) if !around.provisioned => return (false, Vec::new()),
        Ok(_) => {
            let message = format!(
                "alias {key} has provisioned concurrency: calls beyond it need not be split as the weights say, so a split \
                 that is off by up to half of the weight is accepted"
            );
            return (true, problem("target.lambda.alias", message));
        }
        Err(error) => format!("whether alias {key} has provisioned concurrency is not known: {error}"),
    };
    (false, problem("target.lambda.alias", message))
}

/// What the checks found.
pub(super) struct Parts {
    pub scene: Scene,
    pub spec: RolloutSpec,
    pub plan: JudgePlan,
    pub learned: bool,
    pub muted: BTreeSet<String>,
    pub guest: Option<Guest>,
    pub by: String,
}

impl Parts {
    pub(super) fn into_start(self, settings: &Settings, now: Timestamp) -> engine::Start {
        engine::Start {
            id: self.scene.id,
            // Whoever waits for another begins from what that one leaves.
            learned: self.learned && self.scene.behind.is_none(),
            plan: self.plan,
            baseline: self.scene.routing.primary,
            canary: self.scene.version.version,
            code_hash: self.scene.version.code_hash,
            lag: settings.metric_lag,
            request_timeout: self.scene.version.timeout,
            behind: self.scene.behind,
            alarms_muted: self.muted,
            guest: self.guest,
            by: self.by,
            spec: self.spec,
            now,
        }
    }
}

fn check_owner(spec: &RolloutSpec) -> Result<(), Vec<Problem>> {
    let Target::Lambda(target) = &spec.target else { return Ok(()) };
    if target.owner == Owner::Codedeploy && spec.mode == Mode::Enforce {
        let message = "CodeDeploy owns the weights: its deployment's rollout opens by itself, with the deployment's hook or \
                       event. Start nothing, or use `mode: observe` to watch an alias without either";
        return Err(problem("target.lambda.owner", message));
    }
    Ok(())
}

/// Both looks' failures at once.
fn both(
    routing: Result<Routing, LookError>,
    version: Result<VersionInfo, LookError>,
) -> Result<(Routing, VersionInfo), Vec<Problem>> {
    match (routing, version) {
        (Ok(routing), Ok(version)) => Ok((routing, version)),
        (routing, version) => {
            let errors = [routing.err().map(|error| ("target", error)), version.err().map(|error| ("version", error))];
            let mut problems: Vec<Problem> =
                errors.into_iter().flatten().flat_map(|(path, error)| unseen(path, &error)).collect();
            // An unknown function is found by both looks.
            problems.dedup_by(|second, first| second.message == first.message);
            Err(problems)
        }
    }
}

fn same_again(
    existing: Rollout,
    spec: &RolloutSpec,
    version: &VersionInfo,
    routing: &Routing,
) -> Result<Answer, Vec<Problem>> {
    if existing.spec == *spec && existing.canary == version.version {
        check_still_live(&existing, routing)?;
        return Ok(Answer::about(existing, Vec::new()));
    }
    let message = format!(
        "a rollout {} exists with another spec or version ({} to {}); give this one another name",
        existing.id, existing.baseline, existing.canary
    );
    Err(problem("name", message))
}

/// An end that somebody has undone since is no answer to whoever asks for the release once more.
pub(super) fn check_still_live(ended: &Rollout, routing: &Routing) -> Result<(), Vec<Problem>> {
    let id = &ended.id;
    match ended.left_live() {
        Some(left) if routing.primary != *left || routing.additional.is_some() || !routing.others.is_empty() => {
            let message = format!(
                "rollout {id} of this release has ended with {left} live, and now it is {routing}; give this one another name"
            );
            Err(problem("name", message))
        }
        Some(_) | None => Ok(()),
    }
}

/// What the presence of others on the target, oldest first, means for the new rollout.
pub(super) fn behind(
    rollouts: &[Rollout],
    spec: &RolloutSpec,
    canary: &Version,
) -> Result<Option<Behind>, Vec<Problem>> {
    let Some(last) = rollouts.last() else { return Ok(None) };
    let mut behind = Behind { rollout: last.id.clone(), supersedes: true };
    for other in rollouts {
        behind.supersedes &= gives_way(other, spec, canary)?;
    }
    Ok(Some(behind))
}

/// Whether it may be one of these rollouts that weighted the target.
pub(super) fn may_have_set(rollouts: &[Rollout], routing: &Routing) -> bool {
    rollouts.iter().any(|other| engine::may_have_set(other, routing))
}

/// The rollouts that have the target or wait for it, oldest first. One that waits counts although nobody may hold the target
/// at this moment: it must not be overtaken, or the older version would follow the newer one.
pub(super) async fn on_target<P: Ports, B: Budget>(
    context: &Context<'_, P, B>,
    target: &Target,
) -> Result<Vec<Rollout>, Vec<Problem>> {
    let active = context.ports.active().await.map_err(failed)?;
    let mut found: Vec<Rollout> = active.into_iter().flatten().collect();
    if let Some(id) = context.ports.holder(target).await.map_err(failed)?
        && !found.iter().any(|other| other.id == id)
    {
        found.extend(context.ports.load(&id).await.map_err(failed)?);
    }
    found.retain(|other| !other.is_terminal() && other.spec.target.overlaps(target));
    found.sort_by_key(|other| (other.started_at, other.id.clone()));
    Ok(found)
}

/// Of two opinions the more careful one counts.
fn gives_way(other: &Rollout, spec: &RolloutSpec, version: &Version) -> Result<bool, Vec<Problem>> {
    let Rollout { id, baseline, canary, guest, .. } = other;
    if let Some(Guest { deployment, .. }) = guest {
        let key = spec.target.key();
        return Err(problem(
            "target",
            format!("{deployment} is being judged on {key} by rollout {id}; wait for its end"),
        ));
    }
    let running = format!("rollout {id} ({baseline} to {canary}) is in progress on {}", spec.target.key());
    let in_its_place = canary == version;
    if in_its_place && matches!(spec.target, Target::Lambda(_)) {
        return Err(problem("version", format!("{running}: it rolls out the same version")));
    }
    match (other.spec.newer, spec.newer) {
        (Newer::Refuse, _) | (_, Newer::Refuse) => {
            Err(problem("newer", format!("{running}, and `newer: refuse` allows no second one; abort it first")))
        }
        // A group may get another release, but not while the one before is yet to be promoted on it.
        (Newer::Queue, _) | (_, Newer::Queue) if in_its_place => {
            let message = format!(
                "{running}, and two target groups have no room for a third release to wait; start it when that one has \
                 ended, or with `newer: supersede` for both"
            );
            Err(problem("newer", message))
        }
        (Newer::Queue, _) | (_, Newer::Queue) => Ok(false),
        (Newer::Supersede, Newer::Supersede) => Ok(true),
    }
}

fn check_version(version: &VersionInfo) -> Vec<Problem> {
    match &version.readiness {
        Readiness::Active | Readiness::NotYet(_) => Vec::new(),
        Readiness::Never(why) => problem("version", format!("{} can take no traffic: {why}", version.version)),
    }
}

/// The weights must be ours to set: nobody else's split may be in force.
fn check_routing(spec: &RolloutSpec, routing: &Routing, version: &VersionInfo, ours: bool) -> Vec<Problem> {
    let Target::Lambda(alias) = &spec.target else { return Vec::new() };
    let key = spec.target.key();
    if routing.primary.0.bytes().any(|b| !b.is_ascii_digit()) {
        let message = format!(
            "alias {key} points to {}; weights need published versions on both sides: point it to a number first",
            routing.primary
        );
        return problem("target.lambda.alias", message);
    }
    if routing.additional.is_some() && !ours && spec.mode == Mode::Enforce {
        let message = format!(
            "alias {key} is already weighted ({routing}) and no rollout did that; put it on one version first: {}",
            way_out::put_back(alias, &routing.primary)
        );
        return problem("target.lambda.alias", message);
    }
    if routing.primary == version.version && spec.mode == Mode::Enforce {
        let message = format!("{} is the main version of {key} already", version.version);
        return problem("version", message);
    }
    Vec::new()
}

/// How the alarms of a spec stand before the start.
#[derive(Default)]
pub(super) struct AlarmsSeen {
    /// Those that are red, which the spec accepts.
    pub muted: BTreeSet<String>,
    pub unknown: Vec<Problem>,
    /// Those that are red, which the spec does not accept.
    pub red: Vec<Problem>,
    /// Why nothing is known.
    pub unread: Vec<Problem>,
}

pub(super) async fn check_alarms<P: Ports, B: Budget>(context: &Context<'_, P, B>, spec: &RolloutSpec) -> AlarmsSeen {
    let mut seen = AlarmsSeen::default();
    if spec.alarms.names.is_empty() {
        return seen;
    }
    let states = match context.ports.states(&spec.alarms.names).await {
        Ok(states) => states,
        Err(fault) => return AlarmsSeen { unread: failed_at("alarms", &fault, &fault), ..seen },
    };
    for (place, name) in spec.alarms.names.iter().enumerate() {
        let path = format!("alarms.names[{place}]");
        match (states.get(name), spec.alarms.already_red) {
            (None, _) => {
                let message =
                    format!("there is no alarm {name} in this account and region, neither metric nor composite");
                seen.unknown.push(Problem::at(path, message));
            }
            (Some(AlarmState::Alarm), AlreadyRed::Refuse) => {
                let message = format!(
                    "alarm {name} is in ALARM already, so it could not tell whether this release does harm; wait until it is OK, \
                     or set `alarms.alreadyRed: judge` to let it count only once it has been OK"
                );
                seen.red.push(Problem::at(path, message));
            }
            (Some(AlarmState::Alarm), AlreadyRed::Judge) => {
                seen.muted.insert(name.clone());
            }
            (Some(AlarmState::Ok | AlarmState::InsufficientData), _) => {}
        }
    }
    seen
}

/// The plan, and whether it has what the past says. A past that cannot be read now is read again before the first
/// weight.
pub(super) async fn look_back<P: Ports, B: Budget>(
    context: &Context<'_, P, B>,
    spec: &RolloutSpec,
    scene: &Scene,
) -> (JudgePlan, bool) {
    let plan = analysis::plan(spec).started_slowly(scene.version.slow_start).spilling(scene.spills);
    let lag = context.settings.metric_lag.plus(scene.version.timeout);
    let whose = Whose {
        spec,
        plan: &plan,
        baseline: &scene.routing.primary,
        canary: &scene.version.version,
        until: (context.now - lag).minute(),
    };
    match context.look_back(whose).await {
        Ok(learned) => (learned, true),
        Err(_) => (plan, false),
    }
}

/// Of series of so many kinds, one after the other for each version, those of a kind together.
fn added_up(series: &[Series], kinds: usize) -> Vec<Series> {
    let mut sums = vec![Series::new(); kinds];
    for of_version in series.chunks(kinds.max(1)) {
        for (sum, one) in sums.iter_mut().zip(of_version) {
            one.iter().for_each(|(minute, value)| *sum.entry(*minute).or_default() += value);
        }
    }
    sums
}

/// Whether an alias gets its function's traffic, and whether a target's traffic is enough for a proof in time. Metrics
/// that cannot be read are no reason to refuse: the rollout holds without them.
pub(super) async fn check_traffic<P: Ports, B: Budget>(
    context: &Context<'_, P, B>,
    spec: &RolloutSpec,
    plan: &mut JudgePlan,
    scene: &Scene,
) -> (Vec<Problem>, Vec<Problem>) {
    let lag = context.settings.metric_lag.plus(scene.version.timeout);
    // Until the traffic is known.
    let _ = analysis::plan_auto(plan, spec, None, lag);
    let until = (context.now - engine::CLOSED_AFTER).minute();
    let from = until.plus(-HISTORY_MINUTES);
    let of = |version: &Version| metrics::history_queries(&spec.target, version, from, until);
    let mut queries = of(&scene.routing.primary);
    let kinds = queries.len();
    // An alias counts all its requests, a target group its own: the other one may have had the traffic until a moment ago.
    if let Target::Alb(_) = spec.target {
        queries.extend(of(&scene.version.version));
    }
    let mut answers = Vec::new();
    for answer in context.ports.fetch(&queries).await {
        match answer {
            Ok(series) => answers.push(series),
            Err(fault) => {
                let message = format!(
                    "the last hour's traffic could not be read ({fault}); nothing is known of how long it will take"
                );
                return (Vec::new(), problem("target", message));
            }
        }
    }
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    let series = added_up(&answers, kinds);
    let series: Vec<Option<&Series>> = series.iter().map(Some).collect();
    let Some(traffic) = metrics::traffic(&spec.target, &series, from, until) else { return (problems, warnings) };
    match metrics::bypass_problem(&spec.target, &traffic) {
        Some(Bypass::Refuse(message)) => problems.extend(problem("target.lambda.alias", message)),
        Some(Bypass::Warn(message)) => warnings.extend(problem("target.lambda.alias", message)),
        None => {}
    }
    let Some(load) = traffic.load() else {
        let key = spec.target.key();
        let what = match spec.target {
            Target::Lambda(_) => "invocations",
            Target::Alb(_) => "requests",
        };
        let message = format!("{key} had no {what} in the last hour: nothing can be proven without traffic");
        warnings.extend(problem("target", message));
        return (problems, warnings);
    };
    if let Some(message) = analysis::plan_auto(plan, spec, Some(&load), lag) {
        problems.extend(problem("strategy.auto.harmBudget", message));
    }
    if let Some(message) = analysis::deadline_problem(spec, plan, &load, lag) {
        problems.extend(problem("deadline", message));
    } else if let Some(message) = analysis::unknown_clusters(spec, plan, &load, lag) {
        warnings.extend(problem("analysis.independence", message));
    }
    (problems, warnings)
}
