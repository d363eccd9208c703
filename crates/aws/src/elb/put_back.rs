//! What puts a rule's traffic back, as a call that somebody else makes later.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_elasticloadbalancingv2::types::{
    Action, AuthenticateCognitoActionConfig, AuthenticateOidcActionConfig, ForwardActionConfig,
    JwtValidationActionConfig,
};
use coalmine_core::ports::{Fault, LookError, Switch};
use coalmine_core::spec::{AlbTarget, RuleRef, Stickiness};
use coalmine_core::units::Weight;
use serde_json::{Map, Value, json};

use super::actions::{self, Wish};
use super::write::{read_fault, rewritten};
use super::{Rule, with_traffic};
use crate::Aws;

/// A call, as its service's API names it and its members.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PutBack {
    /// `modifyRule` or `modifyListener`.
    pub action: &'static str,
    pub input: Value,
}

impl Aws {
    /// For each of the target's rules, in the spec's order, what gives all its traffic to the baseline; nothing for one that
    /// somebody else has taken, or that is not there. Everything else that it does stays as it is now.
    pub(crate) async fn put_back_rules(
        &self,
        target: &AlbTarget,
        switch: &Switch<'_>,
    ) -> Result<Vec<Option<PutBack>>, Fault> {
        let (baseline, canary) = (switch.baseline, switch.canary);
        let rules = self.found(&target.rules).await.map_err(read_fault)?;
        let unstick = target.stickiness == Stickiness::DisableOnRollback;
        let wish = Wish::Split { baseline, canary, weight: Weight::ZERO, unstick };
        // What is not ours to write, or could not be written as it is, is left as it is: by the switch, too.
        let one = |(reference, rule): (&RuleRef, Result<Rule, LookError>)| {
            let rule = match rule {
                Err(error @ LookError::Fault(_)) => return Err(read_fault(error)),
                Err(LookError::NotFound(_)) => return Ok(None),
                Ok(rule) => with_traffic(rule).ok().filter(|rule| !actions::taken(&rule.actions, [baseline, canary])),
            };
            let Some(list) = rule.and_then(|rule| rewritten(&rule, wish).ok()) else { return Ok(None) };
            let list: Result<Vec<Value>, String> = list.iter().map(action).collect();
            let Ok(list) = list else { return Ok(None) };
            Ok(Some(match reference {
                RuleRef::Rule(arn) => {
                    PutBack { action: "modifyRule", input: json!({ "RuleArn": arn, "Actions": list }) }
                }
                RuleRef::DefaultOf(arn) => {
                    PutBack { action: "modifyListener", input: json!({ "ListenerArn": arn, "DefaultActions": list }) }
                }
            }))
        };
        target.rules.iter().zip(rules).map(one).collect()
    }
}

/// Members that are there, by name.
#[derive(Debug, Default)]
struct Members(Map<String, Value>);

impl Members {
    fn with(mut self, name: &str, value: Option<impl Into<Value>>) -> Self {
        self.0.extend(value.map(|value| (name.to_owned(), value.into())));
        self
    }

    fn all(self) -> Value {
        Value::Object(self.0)
    }
}

/// An action that may stand beside one that forwards, or is it.
fn action(action: &Action) -> Result<Value, String> {
    if action.redirect_config().is_some() || action.fixed_response_config().is_some() {
        return Err("both forwards and answers by itself".to_owned());
    }
    let members = Members::default()
        .with("Type", action.r#type().map(|kind| kind.as_str()))
        .with("Order", action.order())
        .with("TargetGroupArn", action.target_group_arn())
        .with("ForwardConfig", action.forward_config().map(forward))
        .with("AuthenticateOidcConfig", action.authenticate_oidc_config().map(oidc))
        .with("AuthenticateCognitoConfig", action.authenticate_cognito_config().map(cognito))
        .with("JwtValidationConfig", action.jwt_validation_config().map(jwt));
    Ok(members.all())
}

fn forward(config: &ForwardActionConfig) -> Value {
    let groups = config.target_groups().iter().map(|group| {
        let members = Members::default().with("TargetGroupArn", group.target_group_arn());
        members.with("Weight", group.weight()).all()
    });
    let sticky = config.target_group_stickiness_config().map(|sticky| {
        let members = Members::default().with("Enabled", sticky.enabled());
        members.with("DurationSeconds", sticky.duration_seconds()).all()
    });
    let groups: Vec<Value> = groups.collect();
    Members::default().with("TargetGroups", Some(groups)).with("TargetGroupStickinessConfig", sticky).all()
}

fn oidc(config: &AuthenticateOidcActionConfig) -> Value {
    Members::default()
        .with("Issuer", config.issuer())
        .with("AuthorizationEndpoint", config.authorization_endpoint())
        .with("TokenEndpoint", config.token_endpoint())
        .with("UserInfoEndpoint", config.user_info_endpoint())
        .with("ClientId", config.client_id())
        .with("SessionCookieName", config.session_cookie_name())
        .with("Scope", config.scope())
        .with("SessionTimeout", config.session_timeout())
        .with("AuthenticationRequestExtraParams", config.authentication_request_extra_params().map(sorted))
        .with("OnUnauthenticatedRequest", config.on_unauthenticated_request().map(|what| what.as_str()))
        .with("UseExistingClientSecret", config.use_existing_client_secret())
        .all()
}

fn cognito(config: &AuthenticateCognitoActionConfig) -> Value {
    Members::default()
        .with("UserPoolArn", config.user_pool_arn())
        .with("UserPoolClientId", config.user_pool_client_id())
        .with("UserPoolDomain", config.user_pool_domain())
        .with("SessionCookieName", config.session_cookie_name())
        .with("Scope", config.scope())
        .with("SessionTimeout", config.session_timeout())
        .with("AuthenticationRequestExtraParams", config.authentication_request_extra_params().map(sorted))
        .with("OnUnauthenticatedRequest", config.on_unauthenticated_request().map(|what| what.as_str()))
        .all()
}

fn jwt(config: &JwtValidationActionConfig) -> Value {
    let claims = config.additional_claims.as_ref().map(|claims| {
        let claim = |claim: &aws_sdk_elasticloadbalancingv2::types::JwtValidationActionAdditionalClaim| {
            Members::default()
                .with("Format", claim.format().map(|format| format.as_str()))
                .with("Name", claim.name())
                .with("Values", claim.values.clone())
                .all()
        };
        claims.iter().map(claim).collect::<Vec<Value>>()
    });
    let members = Members::default().with("JwksEndpoint", config.jwks_endpoint()).with("Issuer", config.issuer());
    members.with("AdditionalClaims", claims).all()
}

/// A map has another order each time.
fn sorted(parameters: &HashMap<String, String>) -> Value {
    json!(parameters.iter().collect::<BTreeMap<_, _>>())
}
