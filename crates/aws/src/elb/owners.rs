//! ECS services that shift traffic by themselves. A rule does not tell who else writes it, so services are searched.

use aws_sdk_ecs::types::{DeploymentControllerType, DeploymentStrategy, LoadBalancer, Service};
use coalmine_core::observation::Owning;
use coalmine_core::ports::Fault;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::Aws;
use crate::errors::{Call, refused_as};

const LIST_CLUSTERS: Call = Call::new("ListClusters", "ecs:ListClusters");
const LIST_SERVICES: Call = Call::new("ListServices", "ecs:ListServices");
pub(crate) const DESCRIBE_SERVICES: Call = Call::new("DescribeServices", "ecs:DescribeServices");

/// Clusters and services that are searched. At ten services a call and four calls at once, this takes some seconds.
const CLUSTERS_MAX: usize = 20;
const SERVICES_MAX: usize = 1_000;

/// ECS answers for so many services at once.
const SERVICES_PER_CALL: usize = 10;

/// Gentle: ECS allows 20 such calls a second, to the whole account.
const CONCURRENT_CALLS: usize = 4;

/// What a rollout moves.
#[derive(Debug)]
pub(super) struct Claimed {
    /// Target groups by ARN.
    pub groups: Vec<String>,
    /// Rules by ARN, each with how the spec names it.
    pub rules: Vec<(String, String)>,
}

impl Aws {
    /// The services that move one of these, too, and in words what was left out.
    pub(super) async fn owners(&self, claimed: &Claimed) -> Result<(Vec<Owning>, Vec<String>), Fault> {
        let mut unsearched = Vec::new();
        let clusters = self.clusters().await?;
        if clusters.len() > CLUSTERS_MAX {
            unsearched.push(format!("only {CLUSTERS_MAX} ECS clusters were searched for services that own the rules"));
        }
        let mut services: Vec<(String, String)> = Vec::new();
        for cluster in clusters.into_iter().take(CLUSTERS_MAX) {
            // One more than is searched tells that there are more.
            let found = self.services(&cluster, SERVICES_MAX + 1 - services.len()).await?;
            services.extend(found.into_iter().map(|service| (cluster.clone(), service)));
            if services.len() > SERVICES_MAX {
                unsearched.push(format!("only {SERVICES_MAX} ECS services were searched for one that owns the rules"));
                services.truncate(SERVICES_MAX);
                break;
            }
        }
        let calls = services.chunk_by(|a, b| a.0 == b.0).flat_map(|cluster| cluster.chunks(SERVICES_PER_CALL));
        let calls: Vec<Vec<(String, String)>> = calls.map(<[_]>::to_vec).collect();
        let owning =
            stream::iter(calls).map(|call| self.owning(call, claimed)).buffered(CONCURRENT_CALLS).try_concat().await?;
        Ok((owning, unsearched))
    }

    /// The first clusters, and one more where there are more.
    async fn clusters(&self) -> Result<Vec<String>, Fault> {
        let mut pages = self.ecs().list_clusters().into_paginator().items().send();
        let mut clusters = Vec::new();
        while clusters.len() <= CLUSTERS_MAX
            && let Some(cluster) = pages.next().await
        {
            clusters.push(cluster.map_err(|error| LIST_CLUSTERS.fault(error))?);
        }
        Ok(clusters)
    }

    async fn services(&self, cluster: &str, most: usize) -> Result<Vec<String>, Fault> {
        let mut pages = self.ecs().list_services().cluster(cluster).max_results(100).into_paginator().items().send();
        let mut services = Vec::new();
        while services.len() < most
            && let Some(service) = pages.next().await
        {
            match service {
                Ok(service) => services.push(service),
                // It was there a moment ago.
                Err(error) if refused_as(&error, |e| e.is_cluster_not_found_exception()) => return Ok(Vec::new()),
                Err(error) => return Err(LIST_SERVICES.fault(error)),
            }
        }
        Ok(services)
    }

    /// Of services of one cluster.
    async fn owning(&self, services: Vec<(String, String)>, claimed: &Claimed) -> Result<Vec<Owning>, Fault> {
        let Some((cluster, _)) = services.first().cloned() else { return Ok(Vec::new()) };
        let names = services.into_iter().map(|(_, service)| service).collect();
        match self.ecs().describe_services().cluster(cluster).set_services(Some(names)).send().await {
            Ok(answer) => Ok(answer.services().iter().filter_map(|service| owning(service, claimed)).collect()),
            Err(error) if refused_as(&error, |e| e.is_cluster_not_found_exception()) => Ok(Vec::new()),
            Err(error) => Err(DESCRIBE_SERVICES.fault(error)),
        }
    }
}

/// A service that moves some of what is claimed: one that CodeDeploy deploys, or one that was told a second target group
/// or a rule to move. A service that only registers its tasks with a group is no owner.
fn owning(service: &Service, claimed: &Claimed) -> Option<Owning> {
    // One that was deleted is still shown for a while.
    if service.status() == Some("INACTIVE") {
        return None;
    }
    let controller = service.deployment_controller().map(|controller| controller.r#type());
    let by_code_deploy = controller == Some(&DeploymentControllerType::CodeDeploy);
    let of_tasks = service.task_sets().iter().flat_map(|set| set.load_balancers());
    let balancers: Vec<&LoadBalancer> = service.load_balancers().iter().chain(of_tasks).collect();
    let moving = balancers.iter().filter(|balancer| by_code_deploy || balancer.advanced_configuration().is_some());
    let (mut groups, mut rules) = (Vec::new(), Vec::new());
    for balancer in moving {
        let advanced = balancer.advanced_configuration();
        let alternate = advanced.and_then(|advanced| advanced.alternate_target_group_arn());
        groups.extend(balancer.target_group_arn().into_iter().chain(alternate).map(str::to_owned));
        let production = advanced.and_then(|advanced| advanced.production_listener_rule());
        let test = advanced.and_then(|advanced| advanced.test_listener_rule());
        rules.extend(production.into_iter().chain(test).map(str::to_owned));
    }
    groups.retain(|group| claimed.groups.contains(group));
    let named = |arn: &String| claimed.rules.iter().find(|(rule, _)| rule == arn).map(|(_, named)| named.clone());
    let rules: Vec<String> = rules.iter().filter_map(named).collect();
    if groups.is_empty() && rules.is_empty() {
        return None;
    }
    let strategy = service.deployment_configuration().and_then(|configuration| configuration.strategy());
    let by = match strategy {
        _ if by_code_deploy => "CODE_DEPLOY",
        Some(strategy) if *strategy != DeploymentStrategy::Rolling => strategy.as_str(),
        Some(_) | None => "BLUE_GREEN",
    };
    let cluster = service.cluster_arn().and_then(|arn| arn.rsplit('/').next()).unwrap_or_default();
    let name = service.service_name().unwrap_or_default();
    Some(Owning { service: format!("ECS service {cluster}/{name}"), by: by.to_owned(), rules, groups })
}
