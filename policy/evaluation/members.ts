/**
 * Who is in the sets that rules refer to, and which policies apply to whom, for one state.
 *
 * Selectors are asked when they are needed and once each, through the label index, so that a state of a thousand policies
 * and a thousand endpoints costs what matches in it. Addresses, too, are looked up once each.
 */

import type { Protocol } from "../../crd-schemas/index.ts";
import type { Ip } from "../../net/ip.ts";
import type { Membership } from "../match.ts";
import { canonicalProtocol, type NamedPortRef, type SelectorRef, type ServiceRef } from "../model.ts";
import type {
  EvaluatedEndpoint,
  EvaluatedHostEndpoint,
  EvaluatedSet,
  PolicyState,
  PortOfEndpoint,
} from "../policy-state.ts";
import type { Selector } from "../selector/index.ts";
import { LabelIndex } from "../selector/label-index.ts";
import { NetTable } from "./net-table.ts";

/** Whatever has labels and addresses. */
export type Member = EvaluatedEndpoint | EvaluatedHostEndpoint | EvaluatedSet;

export class Members implements Membership {
  readonly #index = new LabelIndex<string, Member>({ matchStarted() {}, matchStopped() {} });
  readonly #matching = new Map<string, ReadonlySet<Member>>();
  readonly #byAddress = new Map<Ip, Member[]>();
  readonly #nets = new NetTable<EvaluatedSet>();
  readonly #ofAddress = new Map<Ip, readonly Member[]>();
  readonly #portMembers = new Map<string, ReadonlyMap<Ip, readonly PortOfEndpoint[]>>();
  readonly #services: PolicyState["services"];

  constructor(state: PolicyState) {
    this.#services = state.services;
    for (const profile of state.profiles) this.#index.setParent(profile.name, profile.labelsToApply);
    for (const endpoint of [...state.endpoints, ...(state.hostEndpoints ?? [])]) {
      this.#index.setItem(endpoint, endpoint.labels, endpoint.profiles);
      for (const address of endpoint.addresses) {
        const there = this.#byAddress.get(address);
        if (there) there.push(endpoint);
        else this.#byAddress.set(address, [endpoint]);
      }
    }
    for (const set of state.networkSets ?? []) {
      this.#index.setItem(set, set.labels, set.profiles ?? []);
      for (const net of set.nets) this.#nets.add(net, set);
    }
  }

  matching(selector: Selector): ReadonlySet<Member> {
    let members = this.#matching.get(selector.text);
    if (members === undefined) {
      this.#index.setSelector(selector.text, selector);
      members = this.#index.itemsMatching(selector.text);
      // The answer stays, the question need not: nothing changes any more.
      this.#index.deleteSelector(selector.text);
      this.#matching.set(selector.text, members);
    }
    return members;
  }

  inSet(set: SelectorRef | ServiceRef, address: Ip): boolean {
    if (set.kind === "service") return this.#portMembersOf(set).has(address);
    const matching = this.matching(set.selector);
    return matching.size > 0 && this.#at(address).some(member => matching.has(member));
  }

  inPortSet(
    set: NamedPortRef | ServiceRef,
    address: Ip,
    protocol: Protocol,
    port: number | undefined,
  ): boolean {
    return (
      port !== undefined &&
      this.portsAt(set, address).some(one => one.protocol === protocol && one.port === port)
    );
  }

  /** The ports of the address that are in the set, by canonical protocol. */
  portsAt(set: NamedPortRef | ServiceRef, address: Ip): readonly PortOfEndpoint[] {
    return this.#portMembersOf(set).get(address) ?? [];
  }

  /** Endpoints that have the address, and sets that hold it. */
  #at(address: Ip): readonly Member[] {
    let members = this.#ofAddress.get(address);
    if (members === undefined) {
      members = [...(this.#byAddress.get(address) ?? []), ...this.#nets.containing(address)];
      this.#ofAddress.set(address, members);
    }
    return members;
  }

  #portMembersOf(set: NamedPortRef | ServiceRef): ReadonlyMap<Ip, readonly PortOfEndpoint[]> {
    let members = this.#portMembers.get(set.id);
    if (members === undefined) {
      const found = new Map<Ip, PortOfEndpoint[]>();
      for (const [address, { protocol, port }] of set.kind === "service"
        ? this.#behindService(set)
        : this.#namedPorts(set)) {
        const there = found.get(address) ?? [];
        there.push({ protocol: canonicalProtocol(protocol)!, port });
        found.set(address, there);
      }
      members = found;
      this.#portMembers.set(set.id, members);
    }
    return members;
  }

  *#behindService({ namespace, name }: ServiceRef): Generator<[Ip, PortOfEndpoint]> {
    for (const one of this.#services?.get(`${namespace}/${name}`) ?? []) yield [one.address, one];
  }

  *#namedPorts({ selector, protocol: wanted, name }: NamedPortRef): Generator<[Ip, PortOfEndpoint]> {
    for (const member of this.matching(selector)) {
      for (const own of "ports" in member ? (member.ports as readonly PortOfEndpoint[]) : []) {
        if (own.name !== name || (wanted !== undefined && wanted !== canonicalProtocol(own.protocol)))
          continue;
        for (const address of (member as EvaluatedEndpoint).addresses) yield [address, own];
      }
    }
  }
}
