/**
 * What policy decides about one packet, and which rule decided it: the meaning of the model, written down once
 * and without a kernel. Dataplanes must agree with it; `simulate` and `why` ask it.
 *
 * A packet between two endpoints needs two verdicts, egress at its source and ingress at its destination. In
 * each direction the tiers are walked in order:
 *
 *   tier 1 ── allow/deny ──────────────────────────────> verdict
 *     │ pass, or no policy of the tier applies
 *   tier 2 ── no rule matched ── default action deny ──> verdict
 *     │ pass
 *   profiles in the endpoint's order ── allow/deny ────> verdict
 *     └── no rule matched ─────────────────────────────> deny
 *
 * Only the first packet of a connection is asked about; what follows is connection tracking's. Policies before
 * connection tracking or DNAT are for host endpoints and do not apply to workloads.
 */

import type { Protocol } from "../crd-schemas/index.ts";
import { type Cidr, contains } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import { type Membership, matchesRule } from "./match.ts";
import {
  type Action,
  canonicalProtocol,
  type Direction,
  type NamedPortRef,
  type Policy,
  type Profile,
  policyKey,
  type Rule,
  type ServiceRef,
} from "./model.ts";
import { comparePolicies, compareTiers } from "./order.ts";
import type { Packet } from "./packet.ts";
import type { EvaluatedEndpoint, PolicyState } from "./policy-state.ts";
import type { Labels, Selector } from "./selector/index.ts";
import type { LabelRecord } from "./selector/label-index.ts";

export type { Packet } from "./packet.ts";
export type * from "./policy-state.ts";

/** A rule by where it stands: the policy's key or the profile's name, and its place in that direction's list. */
export type Reason =
  | { readonly kind: "policy"; readonly tier: string; readonly policy: string; readonly rule: number }
  | { readonly kind: "tier-default"; readonly tier: string }
  | { readonly kind: "profile"; readonly profile: string; readonly rule: number }
  /** No profile allowed it. */
  | { readonly kind: "no-profile" };

export interface Step {
  readonly action: Action;
  readonly reason: Reason;
}

export interface DirectionVerdict {
  readonly endpoint: string;
  readonly direction: Direction;
  readonly verdict: "allow" | "deny";
  /** Every rule that matched and every default that was used; the last step is what decided. */
  readonly trace: readonly Step[];
}

export interface Verdict {
  readonly verdict: "allow" | "deny";
  /** Those that were asked, egress first; none where no policy stands between the two. */
  readonly directions: readonly DirectionVerdict[];
}

interface Subject extends EvaluatedEndpoint {
  readonly effective: Labels;
}

interface AppliedTier {
  readonly name: string;
  readonly defaultAction: "deny" | "pass";
  readonly policies: readonly Policy[];
}

export class PolicyEvaluator {
  readonly #state: PolicyState;
  readonly #profiles: ReadonlyMap<string, Profile>;
  readonly #byAddress = new Map<Ip, Subject[]>();
  readonly #sets: readonly { readonly effective: Labels; readonly nets: readonly Cidr[] }[];
  readonly #tiersOf = new Map<Subject, readonly AppliedTier[]>();
  readonly #membership: Membership = {
    inSet: (set, address) =>
      set.kind === "selector"
        ? this.#isSelected(set.selector, address)
        : this.#isService(set, address, undefined, undefined),
    inPortSet: (set, address, protocol, port) =>
      set.kind === "named-port"
        ? this.#isNamedPort(set, address, protocol, port)
        : this.#isService(set, address, protocol, port),
  };

  constructor(state: PolicyState) {
    this.#state = state;
    this.#profiles = new Map(state.profiles.map(profile => [profile.name, profile]));
    for (const endpoint of state.endpoints) {
      const subject = { ...endpoint, effective: this.#effective(endpoint) };
      for (const address of endpoint.addresses) {
        this.#byAddress.set(address, [...(this.#byAddress.get(address) ?? []), subject]);
      }
    }
    this.#sets = (state.networkSets ?? []).map(set => ({ nets: set.nets, effective: this.#effective(set) }));
  }

  /** A packet to an endpoint's own address never leaves it, so nobody is asked. */
  verdict(packet: Packet): Verdict {
    const asked = { ...packet, protocol: canonicalProtocol(packet.protocol)! };
    const directions: DirectionVerdict[] = [];
    if (asked.source !== asked.destination) {
      for (const [direction, address] of [
        ["egress", asked.source],
        ["ingress", asked.destination],
      ] as const) {
        const endpoint = this.#byAddress.get(address)?.[0];
        if (endpoint === undefined) continue;
        const result = this.#directionVerdict(endpoint, direction, asked);
        directions.push(result);
        if (result.verdict === "deny") return { verdict: "deny", directions };
      }
    }
    return { verdict: "allow", directions };
  }

  #directionVerdict(endpoint: Subject, direction: Direction, packet: Packet): DirectionVerdict {
    const trace: Step[] = [];
    const decided = (verdict: "allow" | "deny"): DirectionVerdict => ({
      endpoint: endpoint.id,
      direction,
      verdict,
      trace,
    });
    for (const tier of this.#tiers(endpoint)) {
      const policies = tier.policies.filter(policy => policy.types.includes(direction));
      if (policies.length === 0) continue;
      const action = this.#tierAction(tier, policies, direction, packet, trace);
      if (action !== "pass") return decided(action);
    }
    for (const name of endpoint.profiles) {
      for (const [i, rule] of (this.#profiles.get(name)?.[direction] ?? []).entries()) {
        if (!this.#matches(rule, packet)) continue;
        trace.push({ action: rule.action, reason: { kind: "profile", profile: name, rule: i } });
        if (rule.action === "allow" || rule.action === "deny") return decided(rule.action);
        if (rule.action === "pass") break;
      }
    }
    trace.push({ action: "deny", reason: { kind: "no-profile" } });
    return decided("deny");
  }

  #tierAction(
    tier: AppliedTier,
    policies: readonly Policy[],
    direction: Direction,
    packet: Packet,
    trace: Step[],
  ): "allow" | "deny" | "pass" {
    for (const policy of policies) {
      for (const [i, rule] of policy[direction].entries()) {
        if (!this.#matches(rule, packet)) continue;
        const reason = { kind: "policy", tier: tier.name, policy: policyKey(policy.id), rule: i } as const;
        trace.push({ action: rule.action, reason });
        if (rule.action !== "log") return rule.action;
      }
    }
    trace.push({ action: tier.defaultAction, reason: { kind: "tier-default", tier: tier.name } });
    return tier.defaultAction;
  }

  #tiers(endpoint: Subject): readonly AppliedTier[] {
    let applied = this.#tiersOf.get(endpoint);
    if (applied === undefined) {
      applied = this.#computeTiers(endpoint);
      this.#tiersOf.set(endpoint, applied);
    }
    return applied;
  }

  #computeTiers(endpoint: Subject): readonly AppliedTier[] {
    const policies = this.#state.policies
      .filter(policy => !policy.doNotTrack && !policy.preDNAT && !policy.id.kind.startsWith("Staged"))
      .filter(policy => policy.selector.matches(endpoint.effective));
    const known = new Map((this.#state.tiers ?? []).map(tier => [tier.name, tier]));
    return [...Map.groupBy(policies, policy => policy.tier)]
      .map(([name, members]) => ({
        name,
        order: known.get(name)?.order,
        exists: known.has(name),
        defaultAction: known.get(name)?.defaultAction ?? ("deny" as const),
        policies: members.toSorted(comparePolicies),
      }))
      .toSorted(compareTiers);
  }

  #matches(rule: Rule, packet: Packet): boolean {
    return matchesRule(rule, packet, this.#membership);
  }

  #isSelected(selector: Selector, address: Ip): boolean {
    const endpoints = this.#byAddress.get(address) ?? [];
    return (
      endpoints.some(endpoint => selector.matches(endpoint.effective)) ||
      this.#sets.some(set => set.nets.some(net => contains(net, address)) && selector.matches(set.effective))
    );
  }

  #isNamedPort(ref: NamedPortRef, address: Ip, protocol: Protocol, port: number | undefined): boolean {
    if (ref.protocol !== undefined && ref.protocol !== protocol) return false;
    return (this.#byAddress.get(address) ?? []).some(
      endpoint =>
        ref.selector.matches(endpoint.effective) &&
        endpoint.ports.some(
          own => own.name === ref.name && own.port === port && canonicalProtocol(own.protocol) === protocol,
        ),
    );
  }

  #isService(
    ref: ServiceRef,
    address: Ip,
    protocol: Protocol | undefined,
    port: number | undefined,
  ): boolean {
    const behind = this.#state.services?.get(`${ref.namespace}/${ref.name}`) ?? [];
    return behind.some(
      one =>
        one.address === address &&
        (!ref.withPorts || (one.port === port && canonicalProtocol(one.protocol) === protocol)),
    );
  }

  /** Own labels win, then those of the earlier profile. */
  #effective(owner: { readonly labels: LabelRecord; readonly profiles?: readonly string[] }): Labels {
    const inherited = (owner.profiles ?? []).map(name => this.#profiles.get(name)?.labelsToApply ?? {});
    return new Map([...inherited.toReversed(), owner.labels].flatMap(labels => Object.entries(labels)));
  }
}
