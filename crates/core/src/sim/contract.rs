//! What every implementation of the ports promises, as checks that run against any of them: the world in memory here,
//! the real services' adapters elsewhere. A check says what is broken instead of panicking.

use std::fmt::Debug;

use crate::analysis::{MinuteSample, Verdict};
use crate::cloudformation::Resource;
use crate::deployment::{DeploymentRef, Hook};
use crate::observation::{Routing, Split};
use crate::ports::{
    Attach, CreateError, DeadMansSwitch, EndedPage, KeepError, RolloutStore, SaveError, SetError, SetWeight, Stacks,
    Switch, TrafficRouter,
};
use crate::rollout::{DecisionRecord, Guest, Phase, Rollout};
use crate::spec::{Target, Version};
use crate::units::{Minute, Span, Timestamp, Weight};

/// A promise that an implementation does not keep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(String);

fn expect(what: &str, kept: bool, seen: &impl Debug) -> Result<(), Broken> {
    if kept { Ok(()) } else { Err(Broken(format!("{what}; seen: {seen:?}"))) }
}

fn equal<T: PartialEq + Debug>(what: &str, seen: &T, wanted: &T) -> Result<(), Broken> {
    if seen == wanted { Ok(()) } else { Err(Broken(format!("{what}; wanted: {wanted:?}; seen: {seen:?}"))) }
}

fn works<T, E: Debug>(what: &str, result: Result<T, E>) -> Result<T, Broken> {
    result.map_err(|error| Broken(format!("{what}; failed: {error:?}")))
}

/// The store's promises. `rollout` is Pending with its target free, names an alarm, and is not stored yet.
pub async fn store(store: &impl RolloutStore, rollout: &Rollout) -> Result<(), Broken> {
    creating(store, rollout).await?;
    let last = saving(store, rollout).await?;
    sealing(store, &rollout.id).await?;
    ending(store, &last).await
}

async fn creating(store: &impl RolloutStore, rollout: &Rollout) -> Result<(), Broken> {
    let (id, target) = (&rollout.id, &rollout.spec.target);
    equal("what is not stored is not there", &works("load", store.load(id).await)?, &None)?;
    equal("a free target has no holder", &works("holder", store.holder(target).await)?, &None)?;
    works("create", store.create(rollout).await)?;
    equal("what was created is there, whole", &works("load", store.load(id).await)?.as_ref(), &Some(rollout))?;
    equal("the target is held", &works("holder", store.holder(target).await)?.as_ref(), &Some(id))?;
    let again = store.create(rollout).await;
    expect("a name is given once", matches!(again, Err(CreateError::Exists)), &again)?;
    let rival = Rollout { id: format!("{id}-rival"), ..rollout.clone() };
    let taken = store.create(&rival).await;
    expect("a target has one holder", matches!(&taken, Err(CreateError::TargetTaken { by }) if by == id), &taken)?;
    equal("a refused rollout is not stored", &works("load", store.load(&rival.id).await)?, &None)?;
    let active = works("active", store.active().await)?;
    expect("a rollout that runs is active", active.iter().flatten().any(|other| other == rollout), &active)?;
    for alarm in &rollout.spec.alarms.names {
        let naming = works("named_by_alarm", store.named_by_alarm(alarm).await)?;
        expect("an alarm finds who names it", naming.contains(id), &naming)?;
    }
    let naming = works("named_by_alarm", store.named_by_alarm("an alarm that nobody names").await)?;
    expect("an alarm that nobody names finds nobody", naming.is_empty(), &naming)
}

/// Returns what is stored in the end.
async fn saving(store: &impl RolloutStore, rollout: &Rollout) -> Result<Rollout, Broken> {
    let second = Rollout { revision: rollout.revision + 1, events_total: rollout.events_total + 1, ..rollout.clone() };
    let record = DecisionRecord {
        at: rollout.now,
        digest: u64::MAX,
        verdict: Verdict::Inconclusive,
        settled_before: Some(Minute::from_index(7)),
        tail: Vec::new(),
    };
    works("save", store.save(rollout, &second, Some(&record)).await)?;
    equal("what was saved is there", &works("load", store.load(&rollout.id).await)?.as_ref(), &Some(&second))?;
    let late = Rollout { events_total: 99, ..second.clone() };
    let conflict = store.save(rollout, &late, None).await;
    expect("who saves on an old revision loses", matches!(conflict, Err(SaveError::Conflict)), &conflict)?;
    equal("and changes nothing", &works("load", store.load(&rollout.id).await)?.as_ref(), &Some(&second))?;
    let unknown = Rollout { id: format!("{}-unknown", rollout.id), ..rollout.clone() };
    let next = Rollout { revision: unknown.revision + 1, ..unknown.clone() };
    let conflict = store.save(&unknown, &next, None).await;
    expect("what is not there cannot be replaced", matches!(conflict, Err(SaveError::Conflict)), &conflict)?;
    Ok(second)
}

async fn sealing(store: &impl RolloutStore, id: &str) -> Result<(), Broken> {
    let block = |from: i64, weight: Weight| -> Vec<MinuteSample> {
        let minutes = (from..from + 3).map(Minute::from_index);
        minutes.map(|minute| MinuteSample { minute, weight, pairs: Vec::new() }).collect()
    };
    let (first, second, other) = (block(100, Weight::ZERO), block(103, Weight::ZERO), block(100, Weight::FULL));
    equal("nothing is sealed at first", &works("sealed", store.sealed(id).await)?, &Vec::new())?;
    works("sealing nothing", store.seal(id, &[]).await)?;
    for minutes in [&second, &first, &other] {
        works("seal", store.seal(id, minutes).await)?;
    }
    let wanted = [first, second].concat();
    equal("sealed minutes rise, and the first writer wins", &works("sealed", store.sealed(id).await)?, &wanted)
}

async fn ending(store: &impl RolloutStore, last: &Rollout) -> Result<(), Broken> {
    let end = Phase::Promoted { at: last.now };
    let due = Some(last.now);
    let busy = Rollout { phase: end.clone(), detach_at: due, revision: last.revision + 1, ..last.clone() };
    works("save", store.save(last, &busy, None).await)?;
    equal(
        "who has something left to do holds no target",
        &works("holder", store.holder(&last.spec.target).await)?,
        &None,
    )?;
    let active = works("active", store.active().await)?;
    expect("and is active", active.iter().flatten().any(|other| *other == busy), &active)?;
    let last = &Rollout { phase: last.phase.clone(), detach_at: None, revision: busy.revision, ..last.clone() };
    let ended = ended(last);
    works("save", store.save(last, &ended, None).await)?;
    equal("the end is there", &works("load", store.load(&last.id).await)?.as_ref(), &Some(&ended))?;
    equal("the target is free", &works("holder", store.holder(&last.spec.target).await)?, &None)?;
    let active = works("active", store.active().await)?;
    expect("what has ended is not active", active.iter().flatten().all(|other| other.id != last.id), &active)?;
    for alarm in &last.spec.alarms.names {
        let naming = works("named_by_alarm", store.named_by_alarm(alarm).await)?;
        expect("an alarm does not find what has ended", !naming.contains(&last.id), &naming)?;
    }
    let next = Rollout { id: format!("{}-next", last.id), phase: last.phase.clone(), ..ended.clone() };
    works("the next rollout takes the target", store.create(&next).await)?;
    looking_back(store, &ended, &next).await
}

/// `first` has ended, and `second` has not.
async fn looking_back(store: &impl RolloutStore, first: &Rollout, second: &Rollout) -> Result<(), Broken> {
    let at = first.now;
    let later = at + Span::from_seconds(1);
    equal(
        "what has ended is listed, and what runs is not",
        &since(store, first, at, None).await?,
        &vec![first.clone()],
    )?;
    equal("what ended before is not asked for", &since(store, first, later, None).await?, &Vec::new())?;
    let over = Rollout { phase: Phase::Promoted { at: later }, ..ended(second) };
    works("save", store.save(second, &over, None).await)?;
    let both = vec![over.clone(), first.clone()];
    equal("what ended last comes first, whole", &since(store, first, at, None).await?, &both)?;
    equal("at a time, and after it", &since(store, first, later, None).await?, &vec![over.clone()])?;
    for (place, listed) in
        [(EndedPage::place(later, &over.id), both), (EndedPage::place(at, &first.id), vec![first.clone()])]
    {
        equal("a page begins where it was said", &since(store, first, at, Some(&place)).await?, &listed)?;
    }
    let place = EndedPage::place(at, &first.id);
    equal("a page that lies before all of it is empty", &since(store, first, later, Some(&place)).await?, &Vec::new())
}

/// `of` and those that were named after it: others may have ended, too.
async fn since(
    store: &impl RolloutStore,
    of: &Rollout,
    since: Timestamp,
    from: Option<&str>,
) -> Result<Vec<Rollout>, Broken> {
    let page = works("ended", store.ended(since, from).await)?;
    equal("there is one page", &page.next, &None)?;
    let read = page.rollouts.into_iter().map(|one| works("every one can be read", one));
    let mut all = read.collect::<Result<Vec<Rollout>, Broken>>()?;
    all.retain(|rollout| rollout.id.starts_with(&of.id));
    Ok(all)
}

/// What a store keeps of stacks. `resource` was asked for and is not stored yet, and neither is any other.
pub async fn stacks(store: &impl Stacks, resource: &Resource) -> Result<(), Broken> {
    equal("no stack has asked at first", &works("resources", store.resources().await)?, &Vec::new())?;
    let at = |revision: u64| Resource { revision, sent: revision == 3, ..resource.clone() };
    for revision in 1..=3 {
        works("keep_resource", store.keep_resource(&at(revision)).await)?;
        equal("what was kept is there, whole", &works("resources", store.resources().await)?, &vec![at(revision)])?;
    }
    for revision in [1, 3, 5] {
        let late = store.keep_resource(&at(revision)).await;
        expect("who keeps an old revision loses", matches!(late, Err(KeepError::Conflict)), &late)?;
    }
    let mut other = at(1);
    other.asked.caller.physical.push_str("-other");
    other.asked.received = other.asked.received + Span::from_minutes(1);
    works("keep_resource", store.keep_resource(&other).await)?;
    equal(
        "another one is beside it, the oldest first",
        &works("resources", store.resources().await)?,
        &vec![at(3), other],
    )
}

/// What a store keeps of other services' deployments. `rollout` is as for [`store`], on a target of its own, and judges
/// no deployment yet; no hook waits.
pub async fn deployments(store: &impl RolloutStore, rollout: &Rollout) -> Result<(), Broken> {
    hooks(store, rollout).await?;
    judged(store, rollout).await
}

async fn hooks(store: &impl RolloutStore, rollout: &Rollout) -> Result<(), Broken> {
    let hook = |deployment: &str, execution: &str, minutes| Hook {
        deployment: DeploymentRef::CodeDeploy(deployment.to_owned()),
        execution: execution.to_owned(),
        received: rollout.now + Span::from_minutes(minutes),
    };
    let (late, early) = (hook("d-CONTRACT1", "eyJB/+=", 20), hook("d-CONTRACT2", "eyJC", 0));
    let same_deployment = hook("d-CONTRACT1", "eyJD", 10);
    equal("no hook waits at first", &works("hooks", store.hooks().await)?, &Vec::new())?;
    for hook in [&late, &early, &same_deployment] {
        works("keep_hook", store.keep_hook(hook).await)?;
    }
    let all = vec![early.clone(), same_deployment.clone(), late.clone()];
    equal("hooks are kept, the oldest first", &works("hooks", store.hooks().await)?, &all)?;
    let again = Hook { received: late.received + Span::from_minutes(5), ..late.clone() };
    works("keeping it again", store.keep_hook(&again).await)?;
    equal("the first one of an execution counts", &works("hooks", store.hooks().await)?, &all)?;
    // Twice: the second time there is nothing to forget.
    for _ in 0..2 {
        works("drop_hook", store.drop_hook(&same_deployment).await)?;
        let left = vec![early.clone(), late.clone()];
        equal("a dropped hook is gone, and no other", &works("hooks", store.hooks().await)?, &left)?;
    }
    // Whoever kept it last may not be who drops it.
    for hook in [&again, &early] {
        works("drop_hook", store.drop_hook(hook).await)?;
    }
    equal("none is left", &works("hooks", store.hooks().await)?, &Vec::new())
}

async fn judged(store: &impl RolloutStore, rollout: &Rollout) -> Result<(), Broken> {
    let judges = |name: &str, minutes| Rollout {
        id: name.to_owned(),
        guest: Some(Guest { deployment: DeploymentRef::CodeDeploy(name.to_owned()), may_leave: None }),
        started_at: rollout.started_at + Span::from_minutes(minutes),
        ..rollout.clone()
    };
    equal("nothing was judged at first", &listed(store).await?, &Vec::new())?;
    works("create", store.create(rollout).await)?;
    equal("a rollout of its own judges no deployment", &listed(store).await?, &Vec::new())?;
    works("save", store.save(rollout, &ended(rollout), None).await)?;
    // The names do not rise with the time, and CodeDeploy's never do.
    let mut all = Vec::new();
    for begun in [judges("d-CONTRACT9", 0), judges("d-CONTRACT5", 10)] {
        works("create", store.create(&begun).await)?;
        all.push(begun.clone());
        equal("what judges a deployment is listed, whole, the oldest first", &listed(store).await?, &all)?;
        let next = Rollout { revision: begun.revision + 1, events_total: begun.events_total + 1, ..begun.clone() };
        works("save", store.save(&begun, &next, None).await)?;
        all.pop();
        all.push(next.clone());
        equal("and as it is now", &listed(store).await?, &all)?;
        let over = ended(&next);
        works("save", store.save(&next, &over, None).await)?;
        all.pop();
        all.push(over);
        equal("and when it has ended", &listed(store).await?, &all)?;
    }
    Ok(())
}

async fn listed(store: &impl RolloutStore) -> Result<Vec<Rollout>, Broken> {
    works("judged", store.judged().await)?.into_iter().map(|one| works("every one can be read", one)).collect()
}

fn ended(last: &Rollout) -> Rollout {
    let phase = Phase::Promoted { at: last.now };
    Rollout { phase, outbox: Vec::new(), revision: last.revision + 1, ..last.clone() }
}

/// What makes a write conditional.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Every write changes the revision; a look with another one is stale.
    Revision,
    /// There is no revision. A look is stale when what is configured is no longer what was seen.
    Content,
}

/// The router's promises. The target routes to `baseline` alone, and both versions are active.
pub async fn router(
    router: &impl TrafficRouter,
    target: &Target,
    baseline: &Version,
    canary: &Version,
    guard: Guard,
) -> Result<(), Broken> {
    let small = Weight::from_basis_points(525).unwrap_or(Weight::ZERO);
    let mut stale = works("look", router.look(target).await)?;
    for weight in [small, small, Weight::FULL, small, Weight::ZERO, Weight::ZERO] {
        let seen = works("look", router.look(target).await)?;
        works("set", router.set(&SetWeight { target, baseline, canary, weight, seen: &seen }).await)?;
        let live = works("look", router.look(target).await)?;
        equal("what was set is live", &live.split(baseline, canary), &Split::Ours(weight))?;
        let is_stale = match guard {
            Guard::Revision => {
                expect("every write changes the revision", live.revision != seen.revision, &live)?;
                true
            }
            Guard::Content => {
                expect("there is no revision, but all that is configured", is_content(&live), &live)?;
                stale.fingerprint != live.fingerprint
            }
        };
        // Of what is so again nobody can tell that it was otherwise; then 5.25 % is live, and is set.
        let late = router.set(&SetWeight { target, baseline, canary, weight: small, seen: &stale }).await;
        expect("a write on an old look is stale", is_stale == matches!(late, Err(SetError::Stale)), &late)?;
        equal("and changes nothing", &works("look", router.look(target).await)?, &live)?;
        stale = seen;
    }
    for version in [baseline, canary] {
        let info = works("version", router.version(target, Some(version)).await)?;
        equal("a version is found by its name", &info.version, version)?;
    }
    let missing = router.version(target, Some(&Version("999999".to_owned()))).await;
    expect("a version that does not exist is not found", missing.is_err(), &missing)
}

fn is_content(routing: &Routing) -> bool {
    routing.revision.is_none() && routing.fingerprint.is_some()
}

/// What target groups add to it. `baseline` has all the traffic and healthy targets; nothing forwards to `canary` yet.
pub async fn groups(
    router: &impl TrafficRouter,
    target: &Target,
    baseline: &Version,
    canary: &Version,
) -> Result<(), Broken> {
    let before = works("look", router.look(target).await)?;
    expect("a group that no rule names is not attached", !before.attached, &before)?;
    let health = works("health", router.health(target, baseline, canary).await)?;
    expect("healthy targets are counted", health.baseline.healthy > 0, &health)?;
    // Twice: the second time there is nothing to do.
    for _ in 0..2 {
        let seen = &works("look", router.look(target).await)?;
        works("attach", router.attach(&Attach { target, canary, seen }).await)?;
        let live = works("look", router.look(target).await)?;
        expect("it is attached", live.attached, &live)?;
        equal("and nothing else has changed", &live.split(baseline, canary), &Split::Ours(Weight::ZERO))?;
    }
    let late = router.attach(&Attach { target, canary, seen: &before }).await;
    expect("attaching on an old look is stale", matches!(late, Err(SetError::Stale)), &late)?;
    let around = works("survey", router.survey(target).await)?;
    let found: Vec<&Version> = around.groups.iter().map(|group| &group.arn).collect();
    expect("a survey finds both groups", found.contains(&baseline) && found.contains(&canary), &around)
}

/// The dead man's switch's promises. `waits` looks at the services themselves: when a rollout's switch is to fire, each of
/// its parts; none is there yet.
pub async fn switch(
    port: &impl DeadMansSwitch,
    switch: &Switch<'_>,
    waits: impl Fn(&str) -> Vec<Timestamp>,
) -> Result<(), Broken> {
    let other = format!("{}-next", switch.rollout);
    works("removing what is not there", port.disarm(switch.rollout, switch.target).await)?;
    works("arm", port.arm(switch).await)?;
    let parts = waits(switch.rollout);
    expect("it waits", !parts.is_empty() && parts.iter().all(|at| *at == switch.at), &parts)?;
    works("arm", port.arm(&Switch { rollout: &other, ..*switch }).await)?;
    // The same again, later, and earlier: what was said last counts.
    for minutes in [0, 5, 20, 10] {
        let at = switch.at + Span::from_minutes(minutes);
        works("arm", port.arm(&Switch { at, ..*switch }).await)?;
        equal("it waits until it was told last", &waits(switch.rollout), &vec![at; parts.len()])?;
    }
    equal("no other one does", &waits(&other), &vec![switch.at; parts.len()])?;
    for _ in 0..2 {
        works("disarm", port.disarm(switch.rollout, switch.target).await)?;
        equal("what was removed is gone", &waits(switch.rollout), &Vec::new())?;
    }
    equal("and no other one", &waits(&other), &vec![switch.at; parts.len()])?;
    works("disarm", port.disarm(&other, switch.target).await)
}
