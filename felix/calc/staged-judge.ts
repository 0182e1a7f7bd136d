/**
 * What would be decided if everything staged were carried out (policy/staged.ts): about packets of this host's workloads
 * that policy has decided already, for the flow log to say both.
 *
 * Only proposals are held here, each under the name of the policy that it stands for; what is in force is asked for
 * where it is. Nothing of this is handed over, and sets that only proposals use are not either: what is staged opens
 * and closes nothing. A change costs the proposals and endpoints it touches, and of walls those that are asked next.
 */

import type { Ip } from "../../net/ip.ts";
import { askWall } from "../../policy/evaluation/walk.ts";
import { type Wall, workloadWall } from "../../policy/evaluation/wall.ts";
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
import { ActivePolicies, type PolicySubject, type SetUser } from "./active-policies.ts";
import type { Changes, LocalEndpoint } from "./changes.ts";

export interface Decision {
  readonly verdict: "allow" | "deny";
  /** A staged policy goes by its own name: `snp/default/web`. */
  readonly reason: Reason;
}

export interface StagedDecision {
  readonly inForce: Decision;
  readonly staged: Decision;
}

/** The same wall as it is and as it would be. */
interface Walls {
  readonly inForce: Wall;
  readonly staged: Wall;
}

export class StagedJudge {
  readonly #inForce: Pick<ActivePolicies, "policiesOf" | "inTiers">;
  readonly #membership: Membership;
  readonly #proposals: ActivePolicies;
  /** The staged policy by the key of the one that it would set or delete. */
  readonly #standIns = new Map<string, string>();
  readonly #profiles = new Map<string, Profile>();
  readonly #endpoints = new Map<string, LocalEndpoint>();
  readonly #byAddress = new Map<Ip, string>();
  /** By endpoint and direction, made when first asked; undefined where nothing staged applies. */
  readonly #walls = new Map<string, Walls | undefined>();

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

  /** A workload of this host. */
  setEndpoint(id: string, subject: PolicySubject | undefined): void {
    this.#proposals.setEndpoint(id, subject);
  }

  /** Before sets are drained: says which ones it needs. */
  settle(): void {
    const { policies, endpoints } = this.#proposals.drain();
    if (policies.size + endpoints.size > 0) this.#walls.clear();
  }

  /** What is handed over: the policies, profiles and endpoints that are in force. */
  update({ policies, profiles, endpoints }: Changes): void {
    if (policies.size + profiles.size + endpoints.size > 0) this.#walls.clear();
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
   * About a packet that leaves a workload here (`egress`) or reaches one. Undefined where no staged policy has a part
   * in what applies to the workload in that direction: none would be added, replaced or taken away.
   */
  judge(direction: Direction, packet: Packet): StagedDecision | undefined {
    if (this.#standIns.size === 0) return undefined;
    const id = this.#byAddress.get(direction === "egress" ? packet.source : packet.destination);
    const walls = id === undefined ? undefined : this.#wallsOf(id, direction);
    if (!walls) return undefined;
    const canonical = { ...packet, protocol: canonicalProtocol(packet.protocol) ?? packet.protocol };
    const seen = { before: canonical, after: canonical };
    const staged = decisionOf(askWall(walls.staged, seen, this.#membership));
    return {
      inForce: decisionOf(askWall(walls.inForce, seen, this.#membership)),
      staged: { ...staged, reason: this.#named(staged.reason) },
    };
  }

  #wallsOf(id: string, direction: Direction): Walls | undefined {
    const place = `${direction} ${id}`;
    if (!this.#walls.has(place)) this.#walls.set(place, this.#makeWalls(id, direction));
    return this.#walls.get(place);
  }

  #makeWalls(id: string, direction: Direction): Walls | undefined {
    const { enabled, profiles: names } = this.#endpoints.get(id) as LocalEndpoint;
    // Whatever policies there are, nothing reaches it.
    if (!enabled) return undefined;
    const governs = ({ types }: Policy) => types.includes(direction);
    const inForce = this.#inForce.policiesOf(id, "normal").filter(governs);
    const proposed = this.#proposals.policiesOf(id, "normal").filter(governs);
    const kept = inForce.filter(policy => !this.#standIns.has(policyKey(policy.id)));
    if (proposed.length === 0 && kept.length === inForce.length) return undefined;
    const profiles = names.flatMap(name => this.#profiles.get(name) ?? []);
    const wall = (policies: readonly Policy[]) =>
      workloadWall(id, direction, this.#inForce.inTiers(policies, "normal"), profiles);
    return { inForce: wall(inForce), staged: wall([...kept, ...proposed]) };
  }

  #named(reason: Reason): Reason {
    if (reason.kind !== "policy") return reason;
    return { ...reason, policy: this.#standIns.get(reason.policy) ?? reason.policy };
  }
}

function decisionOf({ verdict, trace }: DirectionVerdict): Decision {
  return { verdict, reason: (trace.at(-1) as Step).reason };
}
