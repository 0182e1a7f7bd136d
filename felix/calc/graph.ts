/**
 * The calculation, wired: stored resources in, differences of this host's desired state out.
 *
 *   WorkloadEndpoint --+-----------------------> SetIndex --------------> sets
 *   HostEndpoint ------+                          ^   ^
 *   NetworkSet --------+                   labels |   | sets in use
 *                      | local ones               |   |
 *                      v                          |   |
 *   Policy, Tier --> ActivePolicies --------------|---+----> policies, profiles
 *   Profile -------->     |  ---------------------+
 *                         +--> InterfaceClaims ----------------> endpoints (with their tiers in order)
 *   IPPool -------------------------------------------------------> pools
 *
 * Pure: no I/O, no clock. `apply` costs what the updates touch; `drain` gives what came of all of them. Resources are
 * validated once more, because not everybody who can write to the datastore has to do it first: those that make no
 * sense are reported and treated as absent, as Calico does. Of workloads elsewhere, which are most of what there is,
 * only what matters here is read, and read strictly: labels, addresses, named ports.
 */

import { type IPPool, validResource, type WorkloadEndpoint } from "../../crd-schemas/index.ts";
import { type Key, keyText, type Query } from "../../datastore/key.ts";
import type { Update } from "../../datastore/reflector.ts";
import { cidr } from "../../net/cidr.ts";
import { policyKey } from "../../policy/model.ts";
import { resolvePolicy, resolveProfile, resolveTier } from "../../policy/resolve.ts";
import { ActivePolicies } from "./active-policies.ts";
import { type Changes, NO_CHANGES, type PoolInfo } from "./changes.ts";
import { hostEndpointItem, localEndpoint, networkSetItem, workloadItem } from "./endpoints.ts";
import { InterfaceClaims } from "./interface-claims.ts";
import { SetIndex } from "./set-index.ts";

export interface CalcProblem {
  readonly key: Key;
  readonly message: string;
}

export interface CalcOptions {
  readonly nodeName: string;
  readonly onProblem: (problem: CalcProblem) => void;
}

export class CalcGraph {
  readonly #options: CalcOptions;
  readonly #sets = new SetIndex();
  readonly #active = new ActivePolicies(this.#sets);
  readonly #pools = new Map<string, PoolInfo | undefined>();
  readonly #localKeys = new Map<string, Key>();
  readonly #claims = new InterfaceClaims((id, winner, interfaceName) => {
    const message = `interface ${interfaceName} is already that of ${winner}: the endpoint is ignored`;
    this.#options.onProblem({ key: this.#localKeys.get(id) as Key, message });
  });

  constructor(options: CalcOptions) {
    this.#options = options;
  }

  /** What to follow in the datastore. */
  static readonly queries: readonly Query[] = [
    { kind: "Tier" },
    { kind: "Profile" },
    { kind: "NetworkPolicy" },
    { kind: "GlobalNetworkPolicy" },
    { kind: "NetworkSet" },
    { kind: "GlobalNetworkSet" },
    { kind: "HostEndpoint" },
    { kind: "WorkloadEndpoint" },
    { kind: "IPPool" },
  ];

  apply(updates: Iterable<Update>): void {
    for (const update of updates) {
      const { key } = update;
      if (update.type === "delete") {
        this.#applyOne(key, undefined);
        continue;
      }
      try {
        this.#applyOne(key, this.#isElsewhere(update) ? update.value : validResource(update.value));
      } catch (error) {
        this.#options.onProblem({ key, message: (error as Error).message });
        this.#applyOne(key, undefined);
      }
    }
  }

  /** Everything that changed since the last call. */
  drain(): Changes {
    // Active policies first: they decide which sets there are.
    const { policies, profiles, endpoints } = this.#active.drain();
    const pools = new Map(this.#pools);
    this.#pools.clear();
    return {
      ...NO_CHANGES,
      sets: this.#sets.drain(),
      policies,
      profiles,
      endpoints: this.#claims.resolve(endpoints),
      pools,
    };
  }

  get sizes(): {
    policies: number;
    activePolicies: number;
    localEndpoints: number;
    sets: number;
    setItems: number;
  } {
    const { policies, activePolicies, endpoints } = this.#active.sizes;
    const { sets, items } = this.#sets.sizes;
    return { policies, activePolicies, localEndpoints: endpoints, sets, setItems: items };
  }

  #isElsewhere({ key, value }: Extract<Update, { type: "put" }>): boolean {
    const node: unknown = key.kind === "WorkloadEndpoint" ? value?.spec?.node : undefined;
    return typeof node === "string" && node !== this.#options.nodeName;
  }

  // biome-ignore lint/suspicious/noExplicitAny: the kind says which resource it is
  #applyOne(key: Key, value: any): void {
    switch (key.kind) {
      case "WorkloadEndpoint":
        this.#applyWorkload(key, value);
        break;
      case "HostEndpoint":
        this.#setItem(keyText(key), value && hostEndpointItem(value));
        break;
      case "NetworkSet":
      case "GlobalNetworkSet":
        this.#setItem(keyText(key), value && networkSetItem(value));
        break;
      case "NetworkPolicy":
      case "GlobalNetworkPolicy": {
        const id = {
          kind: key.kind,
          name: key.name,
          ...(key.namespace !== undefined && { namespace: key.namespace }),
        };
        this.#active.setPolicy(policyKey(id), value && resolvePolicy(value));
        break;
      }
      case "Tier":
        this.#active.setTier(key.name, value && resolveTier(value));
        break;
      case "Profile": {
        const profile = value && resolveProfile(value);
        this.#sets.setParent(key.name, profile?.labelsToApply ?? {});
        this.#active.setProfile(key.name, profile);
        break;
      }
      case "IPPool":
        this.#pools.set(key.name, value && poolInfo(value));
        break;
    }
  }

  #applyWorkload(key: Key, value: WorkloadEndpoint | undefined): void {
    const id = keyText(key);
    this.#setItem(id, value && workloadItem(value));
    const local = value && value.spec.node === this.#options.nodeName ? localEndpoint(value) : undefined;
    if (local) this.#localKeys.set(id, key);
    else this.#localKeys.delete(id);
    this.#active.setEndpoint(id, local);
  }

  #setItem(id: string, item: ReturnType<typeof workloadItem>): void {
    if (item) this.#sets.setItem(id, item);
    else this.#sets.deleteItem(id);
  }
}

function poolInfo({ spec }: IPPool): PoolInfo {
  return { cidr: cidr(spec.cidr), masquerade: spec.natOutgoing ?? false };
}
