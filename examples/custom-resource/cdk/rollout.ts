import { CustomResource, Duration } from "aws-cdk-lib";
import { CfnAlias, Function as LambdaFunction } from "aws-cdk-lib/aws-lambda";
import { Construct } from "constructs";

export interface RolloutProps {
  /** The output RolloutServiceToken of Coalmine's stack. */
  readonly serviceToken: string;
  readonly handler: LambdaFunction;
  readonly alias: string;
  /** Whether the stack waits for the verdict. */
  readonly wait?: boolean;
  /** A rollout spec without target, version and name. */
  readonly spec?: Record<string, unknown>;
}

/** An alias whose new versions are rolled out by Coalmine. */
export class Rollout extends Construct {
  /** Event sources and permissions go here. */
  public readonly alias: CfnAlias;

  constructor(scope: Construct, id: string, props: RolloutProps) {
    super(scope, id);
    const rollout = new CustomResource(this, "Resource", {
      resourceType: "Custom::Rollout",
      serviceToken: props.serviceToken,
      serviceTimeout: Duration.hours(1),
      properties: {
        Function: props.handler.functionName,
        Alias: props.alias,
        // Published anew whenever the code or the configuration changes. Retain it: the old version may be what is live
        // (`currentVersionOptions: { removalPolicy: RemovalPolicy.RETAIN }`).
        Version: props.handler.currentVersion.version,
        Wait: props.wait ?? false,
        Spec: props.spec ?? {},
      },
    });
    // Not `Alias`, which takes a version's construct: the version is the rollout's answer.
    this.alias = new CfnAlias(this, "Alias", {
      name: props.alias,
      functionName: props.handler.functionName,
      functionVersion: rollout.getAttString("Version"),
    });
  }
}
