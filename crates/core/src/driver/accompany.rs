//! Opening the rollout that judges another service's deployment. The deployment moves anyway, so of all that keeps a rollout
//! from being started only a spec that is wrong keeps one from being opened here. The rest is waited for, or said.

use futures_util::future::join;

use super::Context;
use super::start::{self, AlarmsSeen, Parts, Scene};
use crate::deployment::{Deployment, FoundSpec, Reply, Shift};
use crate::engine;
use crate::observation::{Routing, VersionInfo};
use crate::ports::{Budget, CreateError, Fault, LookError, Ports};
use crate::rollout::{Behind, Guest, Rollout};
use crate::spec::{self, AlreadyRed, Mode, Problem, Target, Validated};

pub(super) const NOT_SAID_YET: &str = "its service does not say yet what it moves";

/// Who judges a deployment.
pub(super) enum Accompanied {
    /// A rollout that was there before.
    By(Box<Rollout>),
    /// One that was opened now, with what should be known of it.
    Opened(Box<Rollout>, Vec<Problem>),
    /// Nobody: it had ended before anybody asked.
    Over,
    /// Nobody, or nobody yet; what is told.
    Nobody(Reply),
}

/// The rollout of a deployment, which is opened if there is none.
pub(super) async fn accompany<P: Ports, B: Budget>(
    context: &Context<'_, P, B>,
    deployment: &Deployment,
    inline: Option<&FoundSpec>,
) -> Accompanied {
    match context.ports.load(deployment.reference.id()).await {
        Ok(Some(rollout)) => Accompanied::By(Box::new(rollout)),
        Ok(None) if deployment.state.has_ended() => Accompanied::Over,
        Ok(None) => open(context, deployment, inline).await.unwrap_or_else(Accompanied::Nobody),
        Err(fault) => Accompanied::Nobody(wait(fault)),
    }
}

fn wait(why: impl std::fmt::Display) -> Reply {
    Reply::Wait(why.to_string())
}

async fn open<P: Ports, B: Budget>(
    context: &Context<'_, P, B>,
    deployment: &Deployment,
    inline: Option<&FoundSpec>,
) -> Result<Accompanied, Reply> {
    let Some(shift) = &deployment.shift else { return Err(wait(NOT_SAID_YET)) };
    // Another rollout that has the target is waited for, and kept in mind over it: news comes but once.
    let holder = context.ports.holder(&shift.target).await.map_err(wait)?;
    let behind = holder.map(|rollout| Behind { rollout, supersedes: false });
    let (Validated { mut spec, mut warnings }, place) = context.spec_of(deployment, inline).await?;
    if context.settings.mode == Mode::Observe {
        // For the table of what deployments came to: of this one nothing is stopped, whatever the switch says later.
        spec.mode = Mode::Observe;
    }
    let mut scene = Scene { behind, ..scene(context, deployment, shift).await? };
    warnings.append(&mut scene.warnings);
    let AlarmsSeen { mut muted, unknown, red, unread } = start::check_alarms(context, &spec).await;
    if !unknown.is_empty() {
        return Err(context.wrong_spec(&place, &unknown));
    }
    if !unread.is_empty() && spec.alarms.already_red == AlreadyRed::Judge {
        // Which of them were red already is not known. Each counts once it has been seen to be OK.
        muted.extend(spec.alarms.names.iter().cloned());
    }
    // A red alarm holds the deployment before its first weight, and stops it after that.
    warnings.extend(red.into_iter().chain(unread));
    let (mut plan, learned) = start::look_back(context, &spec, &scene).await;
    let (problems, more) = start::check_traffic(context, &spec, &mut plan, &scene).await;
    warnings.extend(problems.into_iter().chain(more));
    let guest = Some(Guest { deployment: deployment.reference.clone(), may_leave: None });
    let by = deployment.reference.service().to_owned();
    let parts = Parts { scene, spec, plan, learned, muted, guest, by };
    let rollout = engine::begin(&parts.into_start(context.settings, context.now));
    start::check_size(&rollout).map_err(|problems| context.wrong_spec(&place, &problems))?;
    create(context, rollout, warnings).await
}

async fn create<P: Ports, B: Budget>(
    context: &Context<'_, P, B>,
    rollout: Rollout,
    warnings: Vec<Problem>,
) -> Result<Accompanied, Reply> {
    match context.ports.create(&rollout).await {
        Ok(()) => Ok(Accompanied::Opened(Box::new(rollout), warnings)),
        Err(CreateError::Exists) => {
            let found = context.ports.load(&rollout.id).await.map_err(wait)?;
            found.map(|found| Accompanied::By(Box::new(found))).ok_or_else(|| wait("its rollout cannot be found"))
        }
        Err(CreateError::TargetTaken { by }) => Err(wait(format!("rollout {by} has just taken the target"))),
        Err(CreateError::Fault(fault)) => Err(wait(fault)),
    }
}

/// What moves is for the deployment to say; how well its new version can be judged is looked up.
async fn scene<P: Ports, B: Budget>(
    context: &Context<'_, P, B>,
    deployment: &Deployment,
    shift: &Shift,
) -> Result<Scene, Reply> {
    let version = context.ports.version(&shift.target, Some(&shift.canary));
    let spills = async {
        match &shift.target {
            Target::Lambda(_) => start::spillover(&shift.target, context.ports.survey(&shift.target).await),
            Target::Alb(_) => (false, Vec::new()),
        }
    };
    let (version, (spills, warnings)) = join(version, spills).await;
    let version: VersionInfo = version.map_err(|error: LookError| wait(error))?;
    let routing = Routing::of(shift.baseline.clone(), None);
    let id = deployment.reference.id().to_owned();
    Ok(Scene { id, routing, version, behind: None, problems: Vec::new(), warnings, spills })
}

impl<P: Ports, B: Budget> Context<'_, P, B> {
    /// The spec for a deployment, from the most specific place that has one, and which that is; or what is told without
    /// one.
    pub(super) async fn spec_of(
        &self,
        deployment: &Deployment,
        inline: Option<&FoundSpec>,
    ) -> Result<(Validated, String), Reply> {
        let found = match inline {
            Some(found) => Some(found.clone()),
            None => self.ports.spec_for(deployment).await.map_err(|fault: Fault| wait(fault))?,
        };
        let by_default = || {
            let text = self.settings.deployment_spec.clone()?;
            Some(FoundSpec { place: "COALMINE_SPEC".to_owned(), text })
        };
        let found = found.or_else(by_default);
        let place = found.as_ref().map_or("the default spec", |found| &found.place).to_owned();
        match spec::for_deployment(found.as_ref(), deployment) {
            Ok(validated) => Ok((validated, place)),
            Err(problems) => Err(self.wrong_spec(&place, &problems)),
        }
    }

    fn wrong_spec(&self, place: &str, problems: &[Problem]) -> Reply {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Reply::Answer(self.refused(format!("{place}: {}", problems.join("; "))))
    }
}
