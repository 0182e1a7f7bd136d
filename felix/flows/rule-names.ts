/**
 * Which policy, profile or tier a prefix means whose name did not fit into it: known from what the dataplane was told,
 * because only that has made rules.
 */

import type { Changes } from "../calc/changes.ts";
import { type FlowDecision, flowName, readFlowPrefix } from "../dataplane/flow-prefix.ts";

type Known = Map<string, string>;

export class RuleNames {
  /** What is written -> the name; only where the two differ. */
  readonly #names = { policy: new Map(), profile: new Map(), tier: new Map() } satisfies Record<
    string,
    Known
  >;

  noteChanges({ policies, profiles, endpoints, hostEndpoints }: Changes): void {
    for (const [key, policy] of policies) note(this.#names.policy, key, policy !== undefined);
    for (const [name, profile] of profiles) note(this.#names.profile, name, profile !== undefined);
    for (const endpoint of endpoints.values()) {
      for (const { name } of endpoint?.tiers ?? []) note(this.#names.tier, name, true);
    }
    for (const endpoint of hostEndpoints.values()) {
      for (const { name } of endpoint?.tiers ?? []) note(this.#names.tier, name, true);
    }
  }

  /** Undefined where the prefix is not one of ours. */
  read(prefix: string): FlowDecision | undefined {
    return readFlowPrefix(prefix, (kind, written) => this.#names[kind].get(written));
  }
}

/** Packets that met a rule's last moment may still be on their way: names that went stay while there are few. */
const MAX_NAMES = 10_000;

function note(known: Known, name: string, isThere: boolean): void {
  const written = flowName(name);
  if (written === name) return;
  if (isThere) known.set(written, name);
  else if (known.size > MAX_NAMES) known.delete(written);
}
