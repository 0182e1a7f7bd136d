/**
 * Which host endpoint governs which interface of this host, and how.
 *
 * A host endpoint names its interface, or the addresses by which to find it, or means all that have none of their own
 * and are no workload's (`*`). A named interface need not be there: its rules had better wait for it than it for
 * them. Of several that mean the same interface, the first by name has it, so that every start decides alike; one that
 * governs nothing makes no policy active.
 *
 * A host has few interfaces and host endpoints: who governs what is found anew whenever either changes.
 */

import type { Ip } from "../../net/ip.ts";
import type { ActivePolicies, PolicySubject } from "./active-policies.ts";
import type { LocalHostEndpoint } from "./changes.ts";

/** An interface of the host, as the kernel has it. */
export interface HostInterface {
  /** The kernel's number of it. */
  readonly index: number;
  readonly name: string;
  readonly addresses: readonly Ip[];
}

export interface HostEndpointInput {
  /** `*` for the rest; undefined: those that have one of the addresses. */
  readonly interfaceName: string | undefined;
  readonly expectedIps: readonly Ip[];
  readonly subject: PolicySubject;
  readonly dscp: number | undefined;
}

export class HostEndpoints {
  readonly #active: Pick<ActivePolicies, "setEndpoint" | "tiersOf">;
  readonly #onIgnored: (name: string, winner: string, interfaceName: string) => void;
  readonly #endpoints = new Map<string, HostEndpointInput>();
  #interfaces: readonly HostInterface[] = [];
  #stale = false;
  /** By interface, the governing endpoint's name. */
  #governed: ReadonlyMap<string, string> = new Map();
  /** The governing endpoints, as policies were last told of them. */
  #inForce = new Map<string, HostEndpointInput>();
  /** What was told of already. */
  #ignored: ReadonlySet<string> = new Set();
  readonly #shown = new Map<string, string>();

  /** `onIgnored` hears once of each endpoint that came too late for an interface. */
  constructor(
    active: Pick<ActivePolicies, "setEndpoint" | "tiersOf">,
    onIgnored: (name: string, winner: string, interfaceName: string) => void,
  ) {
    this.#active = active;
    this.#onIgnored = onIgnored;
  }

  /** One of this host, by its resource's name. */
  setEndpoint(name: string, input: HostEndpointInput | undefined): void {
    if (!input && !this.#endpoints.has(name)) return;
    this.#stale = true;
    if (input) this.#endpoints.set(name, input);
    else this.#endpoints.delete(name);
  }

  /** All the host has, save workloads'. */
  setInterfaces(interfaces: readonly HostInterface[]): void {
    this.#interfaces = interfaces;
    this.#stale = true;
  }

  /** Before policies are drained: tells them who there is. */
  settle(): void {
    if (!this.#stale) return;
    this.#stale = false;
    this.#governed = this.#resolve();
    const inForce = new Map<string, HostEndpointInput>();
    for (const name of this.#governed.values()) {
      const input = this.#endpoints.get(name) as HostEndpointInput;
      inForce.set(name, input);
      if (this.#inForce.get(name) !== input) this.#active.setEndpoint(subjectId(name), input.subject);
    }
    for (const name of this.#inForce.keys()) {
      if (!inForce.has(name)) this.#active.setEndpoint(subjectId(name), undefined);
    }
    this.#inForce = inForce;
  }

  /** After policies have been drained, with the endpoints they called changed: by interface, what is new. */
  drain(changed: ReadonlySet<string>): Map<string, LocalHostEndpoint | undefined> {
    const changes = new Map<string, LocalHostEndpoint | undefined>();
    for (const interfaceName of this.#shown.keys()) {
      if (this.#governed.has(interfaceName)) continue;
      this.#shown.delete(interfaceName);
      changes.set(interfaceName, undefined);
    }
    for (const [interfaceName, name] of this.#governed) {
      if (this.#shown.get(interfaceName) === name && !changed.has(subjectId(name))) continue;
      this.#shown.set(interfaceName, name);
      changes.set(interfaceName, this.#judged(name));
    }
    return changes;
  }

  /** How many govern something. */
  get size(): number {
    return this.#inForce.size;
  }

  #judged(name: string): LocalHostEndpoint {
    const id = subjectId(name);
    const { subject, dscp } = this.#inForce.get(name) as HostEndpointInput;
    return {
      id: name,
      tiers: this.#active.tiersOf(id, "normal"),
      forwardTiers: this.#active.tiersOf(id, "forward"),
      untrackedTiers: this.#active.tiersOf(id, "untracked"),
      preDnatTiers: this.#active.tiersOf(id, "pre-dnat"),
      profiles: subject.profiles,
      ...(dscp !== undefined && { dscp }),
    };
  }

  #resolve(): Map<string, string> {
    const governed = new Map<string, string>();
    const ignored = new Set<string>();
    for (const name of [...this.#endpoints.keys()].sort()) {
      for (const interfaceName of this.#meant(this.#endpoints.get(name) as HostEndpointInput)) {
        const winner = governed.get(interfaceName);
        if (winner === undefined) {
          governed.set(interfaceName, name);
          continue;
        }
        const what = `${name} ${winner} ${interfaceName}`;
        ignored.add(what);
        if (!this.#ignored.has(what)) this.#onIgnored(name, winner, interfaceName);
      }
    }
    this.#ignored = ignored;
    return governed;
  }

  #meant({ interfaceName, expectedIps }: HostEndpointInput): readonly string[] {
    if (interfaceName !== undefined) return [interfaceName];
    return this.#interfaces
      .filter(({ addresses }) => addresses.some(address => expectedIps.includes(address)))
      .map(({ name }) => name);
  }
}

/** Policies know workloads and host endpoints by one kind of id. */
export function subjectId(name: string): string {
  return `HostEndpoint(${name})`;
}
