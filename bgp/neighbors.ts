/**
 * The speaker's neighbors, kept as the datastore wants them. What one peering has wrong never holds up another: it is
 * reported, in the log once and in the status for as long as it lasts.
 */

import {
  acceptAll,
  type NeighborBfdOptions,
  type NeighborOptions,
  type RoutePolicy,
  rejectAll,
  type Speaker,
} from "node-bgp";
import type { Logger } from "../daemon/log.ts";
import type { Ip } from "../net/ip.ts";
import type { PasswordSource } from "./passwords.ts";
import { computePeerings, type PeeringInput } from "./peering.ts";
import type { BfdTimes, Peering } from "./peering-settings.ts";
import { exportPolicy, importPolicy, type PolicySources } from "./route-policy.ts";

/** Seconds between dials: hosts start together, and the one that dials first finds nobody listening yet. */
const CONNECT_RETRY_SECONDS = 2;

/** How long a passive side waits to be dialled before it dials itself: the other may not know of us yet. */
const PASSIVE_FALLBACK_SECONDS = 10;

export interface NeighborsOptions {
  readonly logger: Logger;
  readonly passwords: PasswordSource;
  readonly policies: PolicySources;
}

interface Known {
  readonly peering: Peering;
  readonly password: string | undefined;
  /** What its filters say of what is let in. */
  readonly importRules: string;
}

export class Neighbors {
  readonly #options: NeighborsOptions;
  #speaker: Speaker | undefined;
  readonly #known = new Map<Ip, Known>();
  /** One policy function per list of filters, so that peerings with equal ones share what node-bgp computes for them. */
  readonly #policies = new Map<string, { export: RoutePolicy; import: RoutePolicy }>();
  readonly #problems = new Set<string>();
  #hasSecrets = false;
  /** Peerings that wait for their password, and the passwords last read, by secret. */
  readonly #waiting = new Map<Ip, Peering>();
  readonly #passwords = new Map<string, string>();

  constructor(options: NeighborsOptions) {
    this.#options = options;
  }

  get peerings(): Peering[] {
    return [...this.#known.values()].map(({ peering }) => peering);
  }

  get problems(): string[] {
    return [...this.#problems];
  }

  /** Peerings that are not begun, as their password is not there. */
  get waiting(): Peering[] {
    return [...this.#waiting.values()];
  }

  /** Whether there are passwords, which may change or appear at any time. */
  get hasSecrets(): boolean {
    return this.#hasSecrets;
  }

  nameOf(address: string): string {
    return this.#known.get(address as Ip)?.peering.name ?? address;
  }

  update(speaker: Speaker, input: PeeringInput): void {
    if (speaker !== this.#speaker) this.#known.clear();
    this.#speaker = speaker;
    const { peerings, problems: found } = computePeerings(input);
    const problems = found.map(({ peer, message }) => `BGPPeer ${peer}: ${message}`);
    this.#hasSecrets = peerings.some(({ passwordSecret }) => passwordSecret !== undefined);
    this.#waiting.clear();
    const wanted = new Set(peerings.map(({ address }) => address));
    for (const address of [...this.#known.keys()]) {
      if (wanted.has(address)) continue;
      this.#known.delete(address);
      speaker.removeNeighbor(address);
    }
    const view = this.#options.policies.view();
    for (const peering of peerings) {
      const problem = (text: string) => problems.push(`${peering.name}: ${text}`);
      for (const filter of peering.filters)
        if (!view.filters.has(filter)) problem(`BGPFilter ${filter} does not exist`);
      const importRules = peering.filters.map(name => view.importRules.get(name)).join();
      const password = this.#password(peering, problem);
      if (peering.passwordSecret && password === undefined) {
        if (!this.#known.has(peering.address)) this.#waiting.set(peering.address, peering);
        continue;
      }
      try {
        this.#set(speaker, { peering, password, importRules });
      } catch (error) {
        problem((error as Error).message);
      }
    }
    this.#report(problems);
  }

  #set(speaker: Speaker, wanted: Known): void {
    const { address } = wanted.peering;
    const known = this.#known.get(address);
    if (known && JSON.stringify(known) === JSON.stringify(wanted)) return;
    const { importRules: _, ...settings } = wanted;
    if (known && JSON.stringify({ ...known, importRules: undefined }) === JSON.stringify(settings)) {
      // The policy is the same function and answers differently now.
      this.#known.set(address, wanted);
      speaker.refreshImports(address);
      return;
    }
    const options = this.#neighborOptions(wanted);
    try {
      if (known) speaker.updateNeighbor(options);
      else speaker.addNeighbor(options);
      this.#known.set(address, wanted);
    } catch (error) {
      // An update that failed half-way has taken the neighbor away. Either way it is tried again at the next occasion.
      if (!speaker.neighbor(address)) this.#known.delete(address);
      throw error;
    }
  }

  #neighborOptions({ peering, password }: Known): NeighborOptions {
    const group = `${peering.type === "workload" ? "workloads" : "routers"} ${peering.filters.join(" ")}`;
    const policies = this.#policiesFor(group, peering);
    return {
      address: peering.address,
      asn: peering.asn,
      port: peering.port,
      localAsn: peering.localAsn,
      passive: peering.passive,
      ...(peering.type !== "workload" && { passiveFallback: PASSIVE_FALLBACK_SECONDS }),
      connectRetryTime: CONNECT_RETRY_SECONDS,
      reflectorClient: peering.reflectorClient,
      nextHopMode: peering.nextHopMode,
      importPolicy: policies.import,
      exportPolicy: policies.export,
      exportGroup: group,
      description: peering.name,
      // As Calico's bird: what a reflector knows several ways to, its clients can use all of.
      addPath: { receive: true, send: "all" },
      ...(peering.localAddress !== undefined && { localAddress: peering.localAddress }),
      ...(peering.interfaceName !== undefined && { interface: peering.interfaceName }),
      ...(peering.bfd && { bfd: bfdOptions(peering.bfd) }),
      ...(password !== undefined && { password }),
      ...(peering.ttlSecurity !== undefined && { ttlSecurity: peering.ttlSecurity }),
      ...(peering.allowedLocalAs !== undefined && { allowedLocalAs: peering.allowedLocalAs }),
      ...(peering.keepaliveSeconds !== undefined && {
        keepaliveTime: peering.keepaliveSeconds,
        holdTime: 3 * peering.keepaliveSeconds,
      }),
      ...(peering.restartSeconds !== undefined && { gracefulRestartTime: peering.restartSeconds }),
    };
  }

  #policiesFor(group: string, { filters, type }: Peering): { export: RoutePolicy; import: RoutePolicy } {
    let policies = this.#policies.get(group);
    if (!policies) {
      const sources = this.#options.policies;
      // What a workload says is let in only as far as a filter says so: it is nobody's router by itself.
      const otherwise = type === "workload" ? rejectAll : acceptAll;
      policies = {
        export: exportPolicy(sources, filters),
        import: importPolicy(sources, filters, otherwise),
      };
      this.#policies.set(group, policies);
    }
    return policies;
  }

  /**
   * No session is begun without the password it is to have, as it would be one that anybody can take part in (Calico begins it).
   * One that is up stays as it is while its password cannot be read.
   */
  #password({ passwordSecret }: Peering, problem: (text: string) => void): string | undefined {
    if (!passwordSecret) return undefined;
    const id = `${passwordSecret.name}/${passwordSecret.key}`;
    const answer = this.#options.passwords(passwordSecret);
    if (answer.password !== undefined) {
      if (answer.problem !== undefined) problem(answer.problem);
      this.#passwords.set(id, answer.password);
      return answer.password;
    }
    const last = this.#passwords.get(id);
    const consequence = last === undefined ? "no session is begun without it" : "the last one stays in force";
    problem(`${answer.problem}: ${consequence}`);
    return last;
  }

  #report(problems: readonly string[]): void {
    for (const problem of problems) {
      if (!this.#problems.has(problem)) this.#options.logger.error({ problem }, "peering not as configured");
    }
    this.#problems.clear();
    for (const problem of problems) this.#problems.add(problem);
  }
}

function bfdOptions({ interval, multiplier }: BfdTimes): NeighborBfdOptions {
  return { transmitInterval: interval, receiveInterval: interval, multiplier };
}
