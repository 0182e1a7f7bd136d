/**
 * Which policies and profiles local endpoints need, and in which order each endpoint is judged by them.
 *
 * A policy is active while its selector matches a local endpoint that it is for, or if it asks to be always; only active
 * ones reach the dataplane, and only their sets are kept. Policies before connection tracking or DNAT are for host
 * endpoints; workloads are not judged by them. Tiers and orders are sorted per endpoint when it is handed over: an
 * endpoint has few policies, the cluster may have many.
 */

import { type AppliedTier, groupByTier } from "../../policy/evaluation/applied.ts";
import {
  type Direction,
  type Policy,
  type Profile,
  policyKey,
  type SetRef,
  setsOf,
  type Tier,
} from "../../policy/model.ts";
import { comparePolicies } from "../../policy/order.ts";
import { LabelIndex, type LabelRecord } from "../../policy/selector/label-index.ts";
import type { EndpointTier } from "./changes.ts";

/** What of a local endpoint decides which policies apply to it. */
export interface PolicySubject {
  /** Whether it is an interface of the host, and not a workload. */
  readonly isHost: boolean;
  readonly labels: LabelRecord;
  readonly profiles: readonly string[];
}

/** Where in a packet's way policies stand (calico.md, Appendix C). Workloads have `normal` ones only. */
export type PolicyStage = "normal" | "forward" | "untracked" | "pre-dnat";

export interface SetUser {
  use(ref: SetRef): void;
  release(ref: SetRef): void;
}

export interface ActiveChanges {
  readonly policies: ReadonlyMap<string, Policy | undefined>;
  readonly profiles: ReadonlyMap<string, Profile | undefined>;
  /** Endpoints that changed, went, or whose {@link ActivePolicies.tiersOf} did. */
  readonly endpoints: ReadonlySet<string>;
}

/** A profile that does not exist allows nothing, but chains of that name are jumped to. */
const emptyProfile = (name: string): Profile => ({ name, labelsToApply: {}, ingress: [], egress: [] });

export class ActivePolicies {
  readonly #sets: SetUser;
  readonly #policies = new Map<string, Policy>();
  readonly #profiles = new Map<string, Profile>();
  readonly #tiers = new Map<string, Tier>();
  readonly #endpoints = new Map<string, PolicySubject>();
  /** Endpoints by the policy that matches them, and by the profile they have. */
  readonly #matched = new Map<string, Set<string>>();
  readonly #members = new Map<string, Set<string>>();
  /** What was handed over; its sets are in use. */
  readonly #activePolicies = new Map<string, Policy>();
  readonly #activeProfiles = new Map<string, Profile>();

  #dirtyEndpoints = new Set<string>();
  readonly #dirtyPolicies = new Set<string>();
  readonly #dirtyProfiles = new Set<string>();

  readonly #index = new LabelIndex<string, string>({
    matchStarted: (policy, endpoint) => {
      if (!this.#isFor(policy, endpoint)) return;
      addTo(this.#matched, policy, endpoint);
      this.#dirtyPolicies.add(policy);
      this.#dirtyEndpoints.add(endpoint);
    },
    matchStopped: (policy, endpoint) => {
      if (!removeFrom(this.#matched, policy, endpoint)) return;
      this.#dirtyPolicies.add(policy);
      this.#dirtyEndpoints.add(endpoint);
    },
  });

  constructor(sets: SetUser) {
    this.#sets = sets;
  }

  setPolicy(key: string, policy: Policy | undefined): void {
    const former = this.#policies.get(key);
    this.#dirtyPolicies.add(key);
    if (!policy) {
      this.#policies.delete(key);
      this.#index.deleteSelector(key);
      return;
    }
    // Whom it is for may change without its selector: then it starts and stops to match as if it were another.
    if (former && isForHostsOnly(former) !== isForHostsOnly(policy)) this.#index.deleteSelector(key);
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

  setEndpoint(id: string, subject: PolicySubject | undefined): void {
    const former = this.#endpoints.get(id);
    // Most endpoints are elsewhere, and never were here.
    if (!former && !subject) return;
    for (const profile of former?.profiles ?? []) {
      removeFrom(this.#members, profile, id);
      this.#dirtyProfiles.add(profile);
    }
    this.#dirtyEndpoints.add(id);
    if (!subject) {
      this.#endpoints.delete(id);
      this.#index.deleteItem(id);
      return;
    }
    this.#endpoints.set(id, subject);
    for (const profile of subject.profiles) {
      addTo(this.#members, profile, id);
      this.#dirtyProfiles.add(profile);
    }
    this.#index.setItem(id, subject.labels, subject.profiles);
  }

  /** Everything that changed since the last call. */
  drain(): ActiveChanges {
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
    const endpoints = this.#dirtyEndpoints;
    this.#dirtyEndpoints = new Set();
    return { policies, profiles, endpoints };
  }

  /**
   * The tiers by which the endpoint is judged at this stage, in order; those of which no policy applies there are left
   * out. Before connection tracking and DNAT no end of tier denies (calico.md 3.2).
   */
  tiersOf(endpoint: string, stage: PolicyStage): EndpointTier[] {
    return this.inTiers(this.policiesOf(endpoint, stage), stage).map(({ name, defaultAction, policies }) => {
      const keys = (direction: Direction) =>
        policies.filter(policy => policy.types.includes(direction)).map(policy => policyKey(policy.id));
      return { name, defaultAction, ingress: keys("ingress"), egress: keys("egress") };
    });
  }

  /** The policies by which the endpoint is judged at this stage, in no order. */
  policiesOf(endpoint: string, stage: PolicyStage): Policy[] {
    const found: Policy[] = [];
    for (const key of this.#index.selectorsMatching(endpoint)) {
      const policy = this.#policies.get(key);
      if (policy && standsAt(policy, stage)) found.push(policy);
    }
    return found;
  }

  /** The policies tier by tier, all in order. */
  inTiers(policies: readonly Policy[], stage: PolicyStage): readonly AppliedTier[] {
    const tiers = groupByTier(policies.toSorted(comparePolicies), this.#tiers);
    if (stage === "normal" || stage === "forward") return tiers;
    return tiers.map(tier => ({ ...tier, defaultAction: "pass" }));
  }

  get sizes(): { policies: number; activePolicies: number } {
    return { policies: this.#policies.size, activePolicies: this.#activePolicies.size };
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

  #isFor(policy: string, endpoint: string): boolean {
    return this.#endpoints.get(endpoint)?.isHost === true || !isForHostsOnly(this.#policies.get(policy));
  }

  #touch(endpoints: Iterable<string> | undefined): void {
    for (const endpoint of endpoints ?? []) this.#dirtyEndpoints.add(endpoint);
  }
}

function isForHostsOnly(policy: Policy | undefined): boolean {
  return policy !== undefined && (policy.doNotTrack || policy.preDNAT);
}

/** What applies to forwarded traffic applies also to the host's own (calico.md, Appendix C). */
function standsAt(policy: Policy, stage: PolicyStage): boolean {
  if (policy.doNotTrack) return stage === "untracked";
  if (policy.preDNAT) return stage === "pre-dnat";
  return stage === "normal" || (stage === "forward" && policy.applyOnForward);
}

function samePlace(a: Policy, b: Policy): boolean {
  return (
    a.tier === b.tier &&
    a.order === b.order &&
    a.types.join() === b.types.join() &&
    a.doNotTrack === b.doNotTrack &&
    a.preDNAT === b.preDNAT &&
    a.applyOnForward === b.applyOnForward
  );
}

function addTo(map: Map<string, Set<string>>, key: string, value: string): void {
  const set = map.get(key);
  if (set) set.add(value);
  else map.set(key, new Set([value]));
}

/** Whether it was there. */
function removeFrom(map: Map<string, Set<string>>, key: string, value: string): boolean {
  const set = map.get(key);
  if (!set?.delete(value)) return false;
  if (set.size === 0) map.delete(key);
  return true;
}
