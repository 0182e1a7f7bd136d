/** Of a verdict what decided it: the last step at the sender's side and at the receiver's. */

import type { Direction } from "../model.ts";
import type { Step, Verdict } from "../verdict.ts";

/** Undefined where nobody was asked. */
export interface DecidingSteps {
  readonly verdict: "allow" | "deny";
  readonly egress: Step | undefined;
  readonly ingress: Step | undefined;
}

/** Of several that are asked in one direction (a workload, then its host) the one that denies, else the first. */
export function decidingSteps({ verdict, directions }: Verdict): DecidingSteps {
  const stepIn = (direction: Direction): Step | undefined => {
    const asked = directions.filter(one => one.direction === direction);
    return (asked.find(one => one.verdict === "deny") ?? asked[0])?.trace.at(-1);
  };
  return { verdict, egress: stepIn("egress"), ingress: stepIn("ingress") };
}

/** That workloads make no tunnels of their own, unless the configuration lets them, goes without saying. */
export function isTunnel({ egress }: DecidingSteps): boolean {
  return egress?.reason.kind === "encapsulated";
}
