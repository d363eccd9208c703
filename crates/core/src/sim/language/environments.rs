//! What a function runs in, and how it is called.

use std::collections::BTreeMap;

use super::leaves::{Count, KindWord, Share, SpilloverWord};
use super::raw::{RawAccount, RawEnvironments, RawQueue};
use crate::sim::environments::{Account, Environments, Invoked, Service, Spillover};
use crate::sim::traffic::Traffic;
use crate::spec::decode::{At, value};
use crate::spec::problems::{Place, Problems};
use crate::spec::{Target, Version};
use crate::units::Span;

/// Where each request is run by itself: 170 million in a day at most, which takes some minutes.
const ONE_BY_ONE_PER_SECOND_MAX: f64 = 2_000.0;
/// Lambda keeps a free environment for minutes; nobody has seen one after hours.
const IDLE_MAX: Span = Span::from_hours(2);
/// What SQS does by default.
const VISIBILITY_DEFAULT: Span = Span::from_seconds(30);
const VISIBILITY_MAX: Span = Span::from_hours(12);
const RECEIVES_DEFAULT: u64 = 3;
/// What SQS allows.
const RECEIVES_MAX: u64 = 1_000;

/// What was written of it, and where.
#[derive(Debug, Default)]
pub struct Asked {
    pub kind: Option<At<KindWord>>,
    pub queue: Option<At<RawQueue>>,
    pub poison: Option<At<Share>>,
    pub environments: BTreeMap<Version, At<RawEnvironments>>,
    pub account: Option<At<RawAccount>>,
}

impl Asked {
    /// The first place where anything is written.
    fn place(&self) -> Option<&Place> {
        let of_versions = self.environments.values().map(|at| &at.place);
        let places = [
            self.kind.as_ref().map(|at| &at.place),
            self.queue.as_ref().map(|at| &at.place),
            self.poison.as_ref().map(|at| &at.place),
            self.account.as_ref().map(|at| &at.place),
        ];
        places.into_iter().flatten().chain(of_versions).next()
    }

    /// `None` where nothing was written: then requests are only counted.
    pub fn lower(
        self,
        target: &Target,
        traffic: Option<&Traffic>,
        timeout: Span,
        problems: &mut Problems,
    ) -> Option<Service> {
        let place = self.place()?.clone();
        if matches!(target, Target::Alb(_)) {
            problems.add(&place, "is about a function's environments; the spec's target is target groups");
        }
        if let Some(traffic) = traffic {
            require_bounded(traffic, &place, problems);
        }
        let invoked = invoked(value(self.kind), self.queue, timeout, problems);
        let named = self.environments.into_iter();
        let environments: BTreeMap<_, _> =
            named.filter_map(|(version, at)| Some((version, environments(at, problems)?))).collect();
        let provisioned: u64 = environments.values().map(|of| of.provisioned).sum();
        let account = self.account.map_or_else(Account::default, |at| account(at, provisioned, problems));
        let poison = value(self.poison).map_or(0.0, |share| share.0);
        Some(Service { environments, account, invoked, poison, timeout })
    }
}

/// Reports what cannot be run one by one in reasonable time.
fn require_bounded(traffic: &Traffic, place: &Place, problems: &mut Problems) {
    let peak = traffic.peak();
    if peak > ONE_BY_ONE_PER_SECOND_MAX {
        let message = format!(
            "traffic comes to {peak:.0} requests a second at its peak, and with this each is run by itself; at most \
             {ONE_BY_ONE_PER_SECOND_MAX}"
        );
        problems.add(place, message);
    }
    if traffic.versions.values().any(|behaviour| behaviour.clusters > 1.0) {
        problems.add(place, "with this each request fails for itself; leave `clusters` out");
    }
}

fn invoked(kind: Option<KindWord>, queue: Option<At<RawQueue>>, timeout: Span, problems: &mut Problems) -> Invoked {
    let kind = kind.unwrap_or(KindWord::Sync);
    if let Some(at) = queue.as_ref().filter(|_| kind != KindWord::Queue) {
        problems.add(&at.place, "there is no queue; write `kind: queue` beside it");
    }
    match kind {
        KindWord::Sync => Invoked::Synchronously,
        KindWord::Async => Invoked::Asynchronously,
        KindWord::Queue => from_queue(queue, timeout, problems),
    }
}

fn from_queue(queue: Option<At<RawQueue>>, timeout: Span, problems: &mut Problems) -> Invoked {
    let (mut visibility, mut receives) = (VISIBILITY_DEFAULT.max(timeout), RECEIVES_DEFAULT);
    let raw = value(queue);
    let (visible, received) = raw.map_or((None, None), |raw| (raw.visibility, raw.receives));
    if let Some(At { place, value: Some(written) }) = visible {
        if written < timeout {
            let (written, timeout) = (written.spec_form(), timeout.spec_form());
            let message =
                format!("`{written}` is shorter than the function's timeout (`{timeout}`), which Lambda refuses");
            problems.add(&place, message);
        } else if written > VISIBILITY_MAX {
            problems.add(&place, format!("`{}` is too long; at most {VISIBILITY_MAX}", written.spec_form()));
        }
        visibility = written;
    }
    if let Some(At { place, value: Some(Count(count)) }) = received {
        if !(1..=RECEIVES_MAX).contains(&count) {
            problems.add(&place, format!("`{count}` is out of range; write 1 to {RECEIVES_MAX}"));
        }
        receives = count.clamp(1, RECEIVES_MAX);
    }
    Invoked::FromQueue { visibility, receives: u32::try_from(receives).unwrap_or(u32::MAX) }
}

fn environments(at: At<RawEnvironments>, problems: &mut Problems) -> Option<Environments> {
    let raw = at.value?;
    let usual = Environments::default();
    let idle = match raw.idle {
        Some(At { place, value: Some(idle) }) => {
            if idle == Span::ZERO || idle > IDLE_MAX {
                let (idle, most) = (idle.spec_form(), IDLE_MAX.spec_form());
                problems.add(&place, format!("`{idle}` is out of range; write `1s` to `{most}`"));
            }
            idle
        }
        Some(_) | None => usual.idle,
    };
    let provisioned = value(raw.provisioned).map_or(0, |count| count.0);
    if let Some(at) = raw.spillover.as_ref().filter(|_| provisioned == 0) {
        problems.add(&at.place, "nothing spills over where nothing is provisioned; write `provisioned` beside it");
    }
    Some(Environments {
        init_ms: value(raw.init).map_or(usual.init_ms, |init| init.0),
        idle,
        provisioned,
        spillover: match value(raw.spillover) {
            Some(SpilloverWord::Other) => Spillover::Other,
            Some(SpilloverWord::Own) | None => Spillover::Own,
        },
    })
}

fn account(at: At<RawAccount>, provisioned: u64, problems: &mut Problems) -> Account {
    let At { place, value: Some(raw) } = at else { return Account::default() };
    let count = |at: Option<At<Count>>| value(at).map(|count| count.0);
    let account = Account {
        concurrency: count(raw.concurrency),
        others: count(raw.others).unwrap_or(0),
        reserved: count(raw.reserved),
    };
    if let Some(reserved) = account.reserved.filter(|reserved| *reserved < provisioned) {
        let message =
            format!("{provisioned} environments are provisioned, and {reserved} are reserved for all of them");
        problems.add(&place, message);
    }
    let taken = account.others + account.reserved.unwrap_or(provisioned);
    if let Some(all) = account.concurrency.filter(|all| *all <= taken) {
        let message = format!(
            "of {all} nothing is left: `others`, and what is reserved or provisioned, come to {taken}; Coalmine's own functions \
             need some, too"
        );
        problems.add(&place, message);
    }
    account
}
