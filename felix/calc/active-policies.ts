/**
 * Which policies and profiles local endpoints need, and in which order each endpoint is judged by them.
 *
 * A policy is active while its selector matches a local endpoint, or if it asks to be always; only active ones reach the
 * dataplane, and only their sets are kept. Tiers and orders are sorted per endpoint when it is handed over: an endpoint has few policies, the
 * cluster may have many.
 */

import {
  type Direction,
  type Policy,
  type Profile,
  policyKey,
  type SetRef,
  setsOf,
  type Tier,
} from "../../policy/model.ts";
import { comparePolicies, compareTiers } from "../../policy/order.ts";
import { LabelIndex, type LabelRecord } from "../../policy/selector/label-index.ts";
import type { EndpointTier, LocalEndpoint } from "./changes.ts";

/** A local endpoint before it is known which policies apply to it. */
export interface EndpointInput {
  readonly labels: LabelRecord;
  readonly endpoint: Omit<LocalEndpoint, "tiers">;
}

export interface SetUser {
  use(ref: SetRef): void;
  release(ref: SetRef): void;
}

/** A profile that does not exist allows nothing, but chains of that name are jumped to. */
const emptyProfile = (name: string): Profile => ({ name, labelsToApply: {}, ingress: [], egress: [] });

export class ActivePolicies {
  readonly #sets: SetUser;
  readonly #policies = new Map<string, Policy>();
  readonly #profiles = new Map<string, Profile>();
  readonly #tiers = new Map<string, Tier>();
  readonly #endpoints = new Map<string, EndpointInput>();
  /** Endpoints by the policy that matches them, and by the profile they have. */
  readonly #matched = new Map<string, Set<string>>();
  readonly #members = new Map<string, Set<string>>();
  /** What was handed over; its sets are in use. */
  readonly #activePolicies = new Map<string, Policy>();
  readonly #activeProfiles = new Map<string, Profile>();

  readonly #dirtyEndpoints = new Set<string>();
  readonly #dirtyPolicies = new Set<string>();
  readonly #dirtyProfiles = new Set<string>();

  readonly #index = new LabelIndex<string, string>({
    matchStarted: (policy, endpoint) => {
      addTo(this.#matched, policy, endpoint);
      this.#dirtyPolicies.add(policy);
      this.#dirtyEndpoints.add(endpoint);
    },
    matchStopped: (policy, endpoint) => {
      removeFrom(this.#matched, policy, endpoint);
      this.#dirtyPolicies.add(policy);
      this.#dirtyEndpoints.add(endpoint);
    },
  });

  constructor(sets: SetUser) {
    this.#sets = sets;
  }

  setPolicy(key: string, given: Policy | undefined): void {
    // Policies before connection tracking or DNAT are for host endpoints; workloads are not judged by them.
    const policy = given?.doNotTrack || given?.preDNAT ? undefined : given;
    const former = this.#policies.get(key);
    this.#dirtyPolicies.add(key);
    if (!policy) {
      this.#policies.delete(key);
      this.#index.deleteSelector(key);
      return;
    }
    this.#policies.set(key, policy);
    this.#index.setSelector(key, policy.selector);
    // New rules change chains, not endpoints; a new place in the order changes every endpoint it applies to.
    if (former && !samePlace(former, policy)) this.#touch(this.#matched.get(key));
  }

  setTier(name: string, tier: Tier | undefined): void {
    if (tier) this.#tiers.set(name, tier);
    else this.#tiers.delete(name);
    for (const [key, endpoints] of this.#matched) {
      if (this.#policies.get(key)?.tier === name) this.#touch(endpoints);
    }
  }

  setProfile(name: string, profile: Profile | undefined): void {
    if (profile) this.#profiles.set(name, profile);
    else this.#profiles.delete(name);
    this.#dirtyProfiles.add(name);
    this.#index.setParent(name, profile?.labelsToApply ?? {});
  }

  setEndpoint(id: string, input: EndpointInput | undefined): void {
    const former = this.#endpoints.get(id);
    // Most endpoints are elsewhere, and never were here.
    if (!former && !input) return;
    for (const profile of former?.endpoint.profiles ?? []) {
      removeFrom(this.#members, profile, id);
      this.#dirtyProfiles.add(profile);
    }
    this.#dirtyEndpoints.add(id);
    if (!input) {
      this.#endpoints.delete(id);
      this.#index.deleteItem(id);
      return;
    }
    this.#endpoints.set(id, input);
    for (const profile of input.endpoint.profiles) {
      addTo(this.#members, profile, id);
      this.#dirtyProfiles.add(profile);
    }
    this.#index.setItem(id, input.labels, input.endpoint.profiles);
  }

  drain(): {
    policies: Map<string, Policy | undefined>;
    profiles: Map<string, Profile | undefined>;
    endpoints: Map<string, LocalEndpoint | undefined>;
  } {
    const released: SetRef[] = [];
    const policies = this.#drainActive(
      this.#dirtyPolicies,
      this.#activePolicies,
      key => {
        const policy = this.#policies.get(key);
        return this.#matched.has(key) || policy?.assumeNeededOnEveryNode ? policy : undefined;
      },
      released,
    );
    const profiles = this.#drainActive(
      this.#dirtyProfiles,
      this.#activeProfiles,
      name => (this.#members.has(name) ? (this.#profiles.get(name) ?? emptyProfile(name)) : undefined),
      released,
    );
    // Last: a set that passes from one policy to another is not to be built anew.
    for (const ref of released) this.#sets.release(ref);
    const endpoints = new Map<string, LocalEndpoint | undefined>();
    for (const id of this.#dirtyEndpoints) {
      const input = this.#endpoints.get(id);
      endpoints.set(id, input && { ...input.endpoint, tiers: this.#tiersOf(id) });
    }
    this.#dirtyEndpoints.clear();
    return { policies, profiles, endpoints };
  }

  get sizes(): { policies: number; activePolicies: number; endpoints: number } {
    return {
      policies: this.#policies.size,
      activePolicies: this.#activePolicies.size,
      endpoints: this.#endpoints.size,
    };
  }

  #drainActive<T extends Policy | Profile>(
    dirty: Set<string>,
    active: Map<string, T>,
    wanted: (name: string) => T | undefined,
    released: SetRef[],
  ): Map<string, T | undefined> {
    const changes = new Map<string, T | undefined>();
    for (const name of dirty) {
      const former = active.get(name);
      const now = wanted(name);
      if (former === now) continue;
      if (now) for (const ref of setsOf(now)) this.#sets.use(ref);
      if (former) released.push(...setsOf(former));
      if (now) active.set(name, now);
      else active.delete(name);
      changes.set(name, now);
    }
    dirty.clear();
    return changes;
  }

  #tiersOf(endpoint: string): EndpointTier[] {
    const byTier = new Map<string, Policy[]>();
    for (const key of this.#index.selectorsMatching(endpoint)) {
      const policy = this.#policies.get(key);
      if (!policy) continue;
      const list = byTier.get(policy.tier);
      if (list) list.push(policy);
      else byTier.set(policy.tier, [policy]);
    }
    return [...byTier]
      .map(([name, policies]) => {
        const tier = this.#tiers.get(name);
        return {
          name,
          order: tier?.order,
          exists: tier !== undefined,
          defaultAction: tier?.defaultAction ?? "deny",
          policies,
        } as const;
      })
      .sort(compareTiers)
      .map(({ name, defaultAction, policies }) => {
        const keys = (direction: Direction) =>
          policies.filter(policy => policy.types.includes(direction)).map(policy => policyKey(policy.id));
        policies.sort(comparePolicies);
        return { name, defaultAction, ingress: keys("ingress"), egress: keys("egress") };
      });
  }

  #touch(endpoints: Iterable<string> | undefined): void {
    for (const endpoint of endpoints ?? []) this.#dirtyEndpoints.add(endpoint);
  }
}

function samePlace(a: Policy, b: Policy): boolean {
  return a.tier === b.tier && a.order === b.order && a.types.join() === b.types.join();
}

function addTo(map: Map<string, Set<string>>, key: string, value: string): void {
  const set = map.get(key);
  if (set) set.add(value);
  else map.set(key, new Set([value]));
}

function removeFrom(map: Map<string, Set<string>>, key: string, value: string): void {
  const set = map.get(key);
  if (set?.delete(value) && set.size === 0) map.delete(key);
}
