/**
 * What would be decided if everything staged were carried out (policy/staged.ts): about packets that policy of this
 * host's workloads and host endpoints has decided already, for the flow log to say both.
 *
 * Only proposals are held here, each under the name of the policy that it stands for; what is in force is asked for
 * where it is. Nothing of this is handed over, and sets that only proposals use are not either: what is staged opens
 * and closes nothing. A change costs the proposals and endpoints it touches, and of walls those that are asked next.
 *
 * Of host endpoints, what comes after destinations have been translated is judged. What a packet was before is not known
 * here: where something staged would decide about that, nothing is said.
 */

import type { Ip } from "../../net/ip.ts";
import { askWall } from "../../policy/evaluation/walk.ts";
import { type Stage, type Wall, workloadWall } from "../../policy/evaluation/wall.ts";
import type { Membership } from "../../policy/match.ts";
import {
  canonicalProtocol,
  type Direction,
  type Policy,
  type PolicyId,
  type Profile,
  policyKey,
} from "../../policy/model.ts";
import type { Packet } from "../../policy/packet.ts";
import { enforcedId } from "../../policy/staged.ts";
import type { DirectionVerdict, Reason, Step } from "../../policy/verdict.ts";
import { ActivePolicies, type PolicyStage, type PolicySubject, type SetUser } from "./active-policies.ts";
import { ANY_INTERFACE, type Changes, type LocalEndpoint, type LocalHostEndpoint } from "./changes.ts";
import { type HostInterface, subjectId } from "./host-endpoints.ts";

/** Where it was decided about: by which interfaces (their numbers) it came and is to leave. */
export interface DecidedPacket extends Packet {
  readonly inInterface?: number;
  readonly outInterface?: number;
}

export interface Decision {
  readonly verdict: "allow" | "deny";
  /** A staged policy goes by its own name: `snp/default/web`. */
  readonly reason: Reason;
}

/** At one endpoint. */
export interface StagedDecision {
  readonly inForce: Decision;
  /** Undefined where no staged policy has a part in it (none would be added, replaced or taken away), or unknown. */
  readonly staged: Decision | undefined;
}

/** The same as it is and as it would be, if it would be another. */
interface Compared<T> {
  readonly inForce: T;
  readonly staged: T | undefined;
}

/** Where a host endpoint's policies see a packet as it came. */
const EARLIER: readonly PolicyStage[] = ["untracked", "pre-dnat"];

export class StagedJudge {
  readonly #inForce: Pick<ActivePolicies, "policiesOf" | "inTiers">;
  readonly #membership: Membership;
  readonly #proposals: ActivePolicies;
  /** The staged policy by the key of the one that it would set or delete. */
  readonly #standIns = new Map<string, string>();
  readonly #profiles = new Map<string, Profile>();
  readonly #endpoints = new Map<string, LocalEndpoint>();
  readonly #byAddress = new Map<Ip, string>();
  /** By interface. */
  readonly #hostEndpoints = new Map<string, LocalHostEndpoint>();
  #interfaceNames: ReadonlyMap<number, string> = new Map();
  /** By endpoint, direction and stage, made when first asked. */
  readonly #walls = new Map<string, Compared<Wall>>();

  /** `sets` are told of the sets that proposals use, `membership` knows who is in these and all others. */
  constructor(options: {
    readonly inForce: Pick<ActivePolicies, "policiesOf" | "inTiers">;
    readonly sets: SetUser;
    readonly membership: Membership;
  }) {
    this.#inForce = options.inForce;
    this.#membership = options.membership;
    this.#proposals = new ActivePolicies(options.sets);
  }

  /** A staged policy; undefined when it is gone. */
  setPolicy(id: PolicyId, policy: Policy | undefined): void {
    const target = enforcedId(id);
    const [key, stagedKey] = [policyKey(target), policyKey(id)];
    const { stagedAction, ...proposed } = policy ?? {};
    if (stagedAction === "Set" || stagedAction === "Delete") this.#standIns.set(key, stagedKey);
    else if (this.#standIns.get(key) === stagedKey) this.#standIns.delete(key);
    else return;
    this.#walls.clear();
    const isSet = stagedAction === "Set";
    this.#proposals.setPolicy(key, isSet ? { ...(proposed as Policy), id: target } : undefined);
  }

  /** It may change the order or the end of tiers: all walls are made anew. */
  noteTier(): void {
    this.#walls.clear();
  }

  /** Only what it gives endpoints for labels: its rules are in force. */
  setProfile(name: string, labelsToApply: Profile["labelsToApply"]): void {
    this.#proposals.setProfile(name, { name, labelsToApply, ingress: [], egress: [] });
  }

  /** A workload or host endpoint of this host. */
  setEndpoint(id: string, subject: PolicySubject | undefined): void {
    this.#proposals.setEndpoint(id, subject);
  }

  /** All the host has, save workloads'. */
  setInterfaces(interfaces: readonly HostInterface[]): void {
    this.#interfaceNames = new Map(interfaces.map(({ index, name }) => [index, name]));
  }

  /** Before sets are drained: says which ones it needs. */
  settle(): void {
    const { policies, endpoints } = this.#proposals.drain();
    if (policies.size + endpoints.size > 0) this.#walls.clear();
  }

  /** What is handed over: the policies, profiles and endpoints that are in force. */
  update({ policies, profiles, endpoints, hostEndpoints }: Changes): void {
    if (policies.size + profiles.size + endpoints.size + hostEndpoints.size > 0) this.#walls.clear();
    for (const [interfaceName, endpoint] of hostEndpoints) {
      if (endpoint) this.#hostEndpoints.set(interfaceName, endpoint);
      else this.#hostEndpoints.delete(interfaceName);
    }
    for (const [name, profile] of profiles) {
      if (profile) this.#profiles.set(name, profile);
      else this.#profiles.delete(name);
    }
    for (const id of endpoints.keys()) {
      for (const address of this.#endpoints.get(id)?.addresses ?? [])
        if (this.#byAddress.get(address) === id) this.#byAddress.delete(address);
      this.#endpoints.delete(id);
    }
    for (const [id, endpoint] of endpoints) {
      if (!endpoint) continue;
      this.#endpoints.set(id, endpoint);
      for (const address of endpoint.addresses) this.#byAddress.set(address, id);
    }
  }

  /**
   * About a packet that leaves an endpoint here (`egress`) or reaches one: what each that has a say there decides. None
   * where nothing staged has a part in any of it.
   */
  judge(direction: Direction, packet: DecidedPacket): StagedDecision[] {
    if (this.#standIns.size === 0) return [];
    const asked = [this.#workloadWalls(direction, packet), this.#hostWalls(direction, packet)].flatMap(
      walls => walls ?? [],
    );
    if (!asked.some(({ staged }) => staged)) return [];
    const canonical = { ...packet, protocol: canonicalProtocol(packet.protocol) ?? packet.protocol };
    const seen = { before: canonical, after: canonical };
    const ask = (wall: Wall) => decisionOf(askWall(wall, seen, this.#membership));
    return asked.map(walls => {
      const staged = walls.staged && ask(walls.staged);
      return {
        inForce: ask(walls.inForce),
        staged: staged && { ...staged, reason: this.#named(staged.reason) },
      };
    });
  }

  #workloadWalls(direction: Direction, packet: Packet): Compared<Wall> | undefined {
    const id = this.#byAddress.get(direction === "egress" ? packet.source : packet.destination);
    const endpoint = id === undefined ? undefined : this.#endpoints.get(id);
    // Whatever policies there are, nothing reaches one that is disabled.
    if (id === undefined || !endpoint?.enabled) return undefined;
    return this.#kept(`${direction} normal ${id}`, () => {
      const profiles = this.#profilesOf(endpoint);
      return compared(this.#policies(id, direction, "normal"), policies =>
        workloadWall(id, direction, this.#inForce.inTiers(policies, "normal"), profiles),
      );
    });
  }

  #hostWalls(direction: Direction, { inInterface, outInterface }: DecidedPacket): Compared<Wall> | undefined {
    const name = this.#interfaceNames.get((direction === "ingress" ? inInterface : outInterface) ?? 0);
    if (name === undefined) return undefined;
    const endpoint = this.#hostEndpoints.get(name) ?? this.#hostEndpoints.get(ANY_INTERFACE);
    if (!endpoint) return undefined;
    const isForwarded = inInterface !== undefined && outInterface !== undefined;
    const stage = isForwarded ? "forward" : "normal";
    const id = subjectId(endpoint.id);
    return this.#kept(`${direction} ${stage} ${id}`, () => {
      const { inForce, staged } = this.#policies(id, direction, stage);
      const isUncertain = EARLIER.some(each => this.#policies(id, direction, each).staged);
      return compared({ inForce, staged: isUncertain ? undefined : staged }, policies => {
        const last: Stage = {
          category: stage,
          // What goes past policies is not logged.
          failsafes: [],
          tiers: this.#inForce.inTiers(policies, stage),
          tiersPass: false,
          end: isForwarded ? "allow" : "profiles",
        };
        const profiles = this.#profilesOf(endpoint);
        return { endpoint: endpoint.id, kind: "host-endpoint", direction, stages: [last], profiles };
      });
    });
  }

  /** What governs the endpoint there. */
  #policies(id: string, direction: Direction, stage: PolicyStage): Compared<Policy[]> {
    const governs = ({ types }: Policy) => types.includes(direction);
    const inForce = this.#inForce.policiesOf(id, stage).filter(governs);
    const proposed = this.#proposals.policiesOf(id, stage).filter(governs);
    const kept = inForce.filter(policy => !this.#standIns.has(policyKey(policy.id)));
    const isTouched = proposed.length > 0 || kept.length < inForce.length;
    return { inForce, staged: isTouched ? [...kept, ...proposed] : undefined };
  }

  #profilesOf({ profiles }: { readonly profiles: readonly string[] }): Profile[] {
    return profiles.flatMap(name => this.#profiles.get(name) ?? []);
  }

  #kept(place: string, make: () => Compared<Wall>): Compared<Wall> {
    const walls = this.#walls.get(place) ?? make();
    this.#walls.set(place, walls);
    return walls;
  }

  #named(reason: Reason): Reason {
    if (reason.kind !== "policy") return reason;
    return { ...reason, policy: this.#standIns.get(reason.policy) ?? reason.policy };
  }
}

function compared<T, U>({ inForce, staged }: Compared<T>, make: (value: T) => U): Compared<U> {
  return { inForce: make(inForce), staged: staged && make(staged) };
}

function decisionOf({ verdict, trace }: DirectionVerdict): Decision {
  return { verdict, reason: (trace.at(-1) as Step).reason };
}
