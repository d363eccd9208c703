//! As [`super::StageAlb`], with Amazon ECS writing the rule. Nobody else may: a write that is not its own fails the test.

use std::ops::{Deref, DerefMut};

use serde_json::{Value, json};

use super::coalmine::this_minute;
use super::fake_ecs::{Act, Balancing, Ecs, FakeEcs, Strategy};
use super::shop::Shop;
use super::stage::Traffic;
use super::stage_alb::StageAlb;

/// A call of the hook: what it was given and what it answered.
#[derive(Debug, Clone, PartialEq)]
pub struct HookCall {
    pub payload: Value,
    pub reply: Result<Value, Value>,
}

/// The service's tasks are in blue and those of its next revision in green.
pub struct StageEcs {
    stage: StageAlb,
    pub ecs: FakeEcs,
    pub calls: Vec<HookCall>,
    written: Vec<Value>,
}

impl Deref for StageEcs {
    type Target = StageAlb;

    fn deref(&self) -> &StageAlb {
        &self.stage
    }
}

impl DerefMut for StageEcs {
    fn deref_mut(&mut self) -> &mut StageAlb {
        &mut self.stage
    }
}

impl StageEcs {
    /// With an hour of history: 2400 requests a minute, of which ten fail.
    pub fn set_up(seed: u64) -> Self {
        let ecs = FakeEcs::start(Ecs::at(this_minute().start()));
        let stage = StageAlb::told(seed, vec![("AWS_ENDPOINT_URL_ECS", ecs.endpoint())]);
        let mut stage = Self { stage, ecs, calls: Vec::new(), written: Vec::new() };
        // ECS attaches the group of the new revision when it scales it up.
        stage.set_weight(0);
        stage.put_history();
        let balancing = Balancing { rule: stage.shop.rule.clone(), groups: stage.shop.groups.clone() };
        stage.ecs.with(|ecs| ecs.balancing = balancing);
        stage
    }

    /// Begins a deployment, which becomes the rollout that is asked about. Its ARN.
    pub fn release(&mut self, strategy: Strategy, hooks: &[&'static str], details: Value) -> String {
        let arn = self.ecs.with(|ecs| ecs.deploy(strategy, hooks, details));
        self.stage.rollout = arn.rsplit('/').next().expect("an ARN has parts").to_owned();
        self.shift();
        arn
    }

    /// ECS goes on as far as it can in this minute.
    pub fn shift(&mut self) {
        loop {
            let now = self.minute.start();
            match self.ecs.with(|ecs| ecs.step(now)) {
                None => return,
                Some(Act::Shift(percent)) => self.set_weight(percent),
                Some(Act::Hook(payload)) => {
                    let reply = self.try_invoke("hook", &payload);
                    self.ecs.with(|ecs| ecs.answered(reply.as_ref().ok()));
                    self.calls.push(HookCall { payload, reply });
                }
            }
        }
    }

    fn set_weight(&mut self, percent: u32) {
        if !self.written.is_empty() {
            self.assert_untouched();
        }
        let [blue, green] = &self.shop.groups;
        let new = u16::try_from(percent).expect("it is at most 100");
        let actions = json!([Shop::forward(&[(blue, 100 - new), (green, new)])]);
        self.shop.elb.set_actions(&self.shop.rule, &actions);
        self.written = self.shop.elb.actions(&self.shop.rule);
    }

    /// Coalmine never writes a rule that ECS writes.
    pub fn assert_untouched(&self) {
        assert_eq!(self.shop.elb.actions(&self.shop.rule), self.written, "somebody but ECS wrote the rule");
    }

    /// Serves the running minute's traffic the way the rule routes it, lets the minute pass, has ECS go on, and ticks.
    pub fn pass(&mut self, traffic: &Traffic) {
        self.stage.serve_as_routed(traffic);
        self.stage.minute = self.stage.minute.plus(1);
        self.shift();
        self.tick();
        self.assert_untouched();
    }

    /// The deployment's status and the new revision's weight.
    pub fn state(&self) -> (&'static str, u32) {
        self.ecs.with(|ecs| ecs.last().map(|last| (last.status, last.weight)).expect("there is a deployment"))
    }
}
