import { App, CfnOutput, CfnParameter, RemovalPolicy, Stack } from "aws-cdk-lib";
import { Code, Function as LambdaFunction, Runtime } from "aws-cdk-lib/aws-lambda";
import { Rollout } from "./rollout";

const app = new App();
const stack = new Stack(app, "checkout", {
  description: "A function whose new versions are rolled out by a Custom::Rollout, with CDK.",
});

const serviceToken = new CfnParameter(stack, "ServiceToken", {
  description: "The output RolloutServiceToken of Coalmine's stack.",
});

const checkout = new LambdaFunction(stack, "Checkout", {
  runtime: Runtime.PYTHON_3_13,
  handler: "app.handler",
  code: Code.fromAsset("src"),
  // The old version may be what is live.
  currentVersionOptions: { removalPolicy: RemovalPolicy.RETAIN },
});

const rollout = new Rollout(stack, "CheckoutRollout", {
  serviceToken: serviceToken.valueAsString,
  handler: checkout,
  alias: "live",
  wait: true,
  spec: { checks: [{ errors: { tolerate: "0.5pt" } }], deadline: "50m" },
});

new CfnOutput(stack, "Alias", { description: "What callers invoke.", value: rollout.alias.ref });
