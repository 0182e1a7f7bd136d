/**
 * Whose established connections a change may have made forbidden: these are looked at, all others are not. Members come
 * and go in sets all the time, and mostly that can only open something: an address that is added to the sources of an
 * `allow` denies nobody. So it matters how rules use a set.
 */

import type { Ip } from "../../net/ip.ts";
import type { Policy, Profile, Rule, SetRef } from "../../policy/model.ts";
import type { Changes, LocalEndpoint, SetChange } from "./changes.ts";

/** `all`: whatever policy of this host has anything to say about. */
export type Suspects = "all" | ReadonlySet<Ip>;

/** By one change. */
export interface Touched {
  /** Something of theirs may be denied now. */
  readonly closing: Suspects;
  /** Something of theirs may be allowed now, or denied. */
  readonly opening: Suspects;
}

const HOST = "the host's interfaces";

/** What of a set's changes can close something. */
interface Use {
  additions: boolean;
  removals: boolean;
}

export class FlowSuspects {
  readonly #endpoints = new Map<string, LocalEndpoint>();
  readonly #keysOf = new Map<string, ReadonlySet<string>>();
  /** By rules (a policy's key, `profile NAME`): endpoints by id, or {@link HOST}. */
  readonly #usersOf = new Map<string, Set<string>>();
  /** By set, by rules. */
  readonly #setUses = new Map<string, Map<string, Use>>();
  readonly #setsOf = new Map<string, readonly string[]>();

  update(changes: Changes): Touched {
    const closing = new Set<string>();
    const opening = new Set<string>();
    const noteUsers = (rules: string, into: Set<string>) => {
      for (const user of this.#usersOf.get(rules) ?? []) into.add(user);
    };
    for (const [id, endpoint] of changes.endpoints) {
      if (!samePolicy(this.#endpoints.get(id), endpoint)) closing.add(id);
      if (endpoint) this.#endpoints.set(id, endpoint);
      else this.#endpoints.delete(id);
      this.#setKeys(id, endpoint ? keysOf(endpoint.tiers, endpoint.profiles) : new Set());
    }
    for (const [name, endpoint] of changes.hostEndpoints) {
      const { tiers = [], forwardTiers = [], untrackedTiers = [], preDnatTiers = [] } = endpoint ?? {};
      const all = [...tiers, ...forwardTiers, ...untrackedTiers, ...preDnatTiers];
      this.#setKeys(`${HOST} ${name}`, keysOf(all, endpoint?.profiles ?? []));
      closing.add(HOST);
    }
    for (const [key, policy] of changes.policies) {
      this.#setRules(key, policy);
      noteUsers(key, closing);
    }
    for (const [name, profile] of changes.profiles) {
      this.#setRules(profileKey(name), profile);
      noteUsers(profileKey(name), closing);
    }
    for (const [id, change] of changes.sets) {
      for (const [rules, use] of this.#setUses.get(id) ?? [])
        noteUsers(rules, closes(use, change) ? closing : opening);
    }
    return {
      closing: this.#addressesOf(closing),
      opening: this.#addressesOf(new Set([...opening, ...closing])),
    };
  }

  #addressesOf(users: ReadonlySet<string>): Suspects {
    const addresses = new Set<Ip>();
    for (const id of users) {
      if (id.startsWith(HOST)) return "all";
      for (const address of this.#endpoints.get(id)?.addresses ?? []) addresses.add(address);
    }
    return addresses;
  }

  #setKeys(user: string, keys: ReadonlySet<string>): void {
    for (const key of this.#keysOf.get(user) ?? []) {
      const users = this.#usersOf.get(key);
      if (users?.delete(user) && users.size === 0) this.#usersOf.delete(key);
    }
    for (const key of keys) this.#usersOf.set(key, (this.#usersOf.get(key) ?? new Set()).add(user));
    if (keys.size > 0) this.#keysOf.set(user, keys);
    else this.#keysOf.delete(user);
  }

  #setRules(key: string, rules: Policy | Profile | undefined): void {
    for (const set of this.#setsOf.get(key) ?? []) {
      const uses = this.#setUses.get(set);
      if (uses?.delete(key) && uses.size === 0) this.#setUses.delete(set);
    }
    this.#setsOf.delete(key);
    if (!rules) return;
    const uses = usesOf([...rules.ingress, ...rules.egress]);
    this.#setsOf.set(key, [...uses.keys()]);
    for (const [set, use] of uses)
      this.#setUses.set(set, (this.#setUses.get(set) ?? new Map<string, Use>()).set(key, use));
  }
}

function profileKey(name: string): string {
  return `profile ${name}`;
}

function keysOf(tiers: LocalEndpoint["tiers"], profiles: readonly string[]): ReadonlySet<string> {
  return new Set([
    ...tiers.flatMap(({ ingress, egress }) => [...ingress, ...egress]),
    ...profiles.map(profileKey),
  ]);
}

function samePolicy(a: LocalEndpoint | undefined, b: LocalEndpoint | undefined): boolean {
  const what = (endpoint: LocalEndpoint | undefined) =>
    endpoint && [endpoint.enabled, endpoint.addresses, endpoint.tiers, endpoint.profiles];
  return JSON.stringify(what(a)) === JSON.stringify(what(b));
}

function closes({ additions, removals }: Use, change: SetChange | undefined): boolean {
  if (change?.kind !== "delta") return additions || removals;
  return (additions && change.added.size > 0) || (removals && change.removed.size > 0);
}

function usesOf(rules: readonly Rule[]): Map<string, Use> {
  const uses = new Map<string, Use>();
  const note = (set: SetRef | undefined, additions: boolean, removals: boolean) => {
    if (!set) return;
    const use = uses.get(set.id) ?? { additions: false, removals: false };
    uses.set(set.id, { additions: use.additions || additions, removals: use.removals || removals });
  };
  for (const { action, source, destination } of rules) {
    if (action === "log") continue;
    // Whoever passes may be denied later, and whoever does not, by the next rule.
    const closesByMatching = action !== "allow";
    const closesByNotMatching = action !== "deny";
    for (const { selector, notSelector, service, namedPorts, notNamedPorts } of [source, destination]) {
      for (const set of [selector, service, ...namedPorts]) note(set, closesByMatching, closesByNotMatching);
      for (const set of [notSelector, ...notNamedPorts]) note(set, closesByNotMatching, closesByMatching);
    }
  }
  return uses;
}
