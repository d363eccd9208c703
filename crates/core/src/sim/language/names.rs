//! What the versions of a scenario are called: a function's by their numbers, target groups by name or ARN.

use std::collections::BTreeSet;

use super::leaves::VersionName;
use crate::alb::group_name;
use crate::sim::scenario::group_arn;
use crate::spec::decode::{At, Leaf};
use crate::spec::leaves::PublishedVersion;
use crate::spec::problems::{Place, Problems, quoted};
use crate::spec::{AlbTarget, RolloutSpec, Target, Version, suggest};

/// The names of one scenario.
#[derive(Debug)]
pub struct Names<'a> {
    target: &'a Target,
    /// Every version that was named so far.
    pub named: BTreeSet<Version>,
}

impl<'a> Names<'a> {
    pub fn of(spec: &'a RolloutSpec) -> Self {
        let mut names = Self { target: &spec.target, named: spec.version.iter().cloned().collect() };
        if let Target::Alb(alb) = &spec.target {
            names.named.extend(alb.target_groups.iter().filter_map(|group| arn(alb, group)));
        }
        names
    }

    /// The version that a name means. `None` after a problem was added.
    pub fn version(&mut self, name: &str, place: &Place, problems: &mut Problems) -> Option<Version> {
        let version = self.meant(name, place, problems)?;
        self.named.insert(version.clone());
        Some(version)
    }

    /// The same for what only counts if something else names it, too.
    pub fn meant(&self, name: &str, place: &Place, problems: &mut Problems) -> Option<Version> {
        let version = match self.target {
            Target::Lambda(_) => PublishedVersion::read(name).map(|version| Version(version.0)),
            Target::Alb(alb) => {
                arn(alb, name).ok_or_else(|| format!("{} is not a target group; write its name or ARN", quoted(name)))
            }
        };
        version.map_err(|message| problems.add(place, message)).ok()
    }

    pub fn at(&mut self, at: Option<&At<VersionName>>, problems: &mut Problems) -> Option<Version> {
        let at = at?;
        self.version(&at.value.as_ref()?.0, &at.place, problems)
    }

    /// One of the target's two groups that is not this one.
    pub fn other_group(&self, group: &Version) -> Option<Version> {
        let Target::Alb(alb) = self.target else { return None };
        let mut groups = alb.target_groups.iter().filter_map(|group| arn(alb, group));
        groups.find(|other| other != group)
    }

    /// Reports a version that gets no traffic, because nothing but its behaviour names it.
    pub fn must_be_named(&self, version: &Version, place: &Place, problems: &mut Problems) {
        if !self.named.contains(version) {
            let known: Vec<&str> = self.named.iter().map(|version| group_name(&version.0)).collect();
            let hint = suggest::words(group_name(&version.0), &known);
            problems.add(place, format!("{version} gets no traffic: it is neither the old nor the new version{hint}"));
        }
    }
}

/// The ARN of a target group: as it is written here or in the spec, or one beside the target's rules.
fn arn(alb: &AlbTarget, name: &str) -> Option<Version> {
    if name.contains(":targetgroup/") {
        return Some(Version(name.to_owned()));
    }
    let spelled = alb.target_groups.iter().find(|group| group.contains(":targetgroup/") && group_name(group) == name);
    match spelled {
        Some(arn) => Some(Version(arn.clone())),
        None => {
            let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            plain.then(|| group_arn(alb.rules.first().map_or("", |rule| rule.arn()), name)).flatten()
        }
    }
}
