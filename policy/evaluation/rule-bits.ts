/**
 * For each rule the senders and the targets it matches, as bits. A rule's criteria are few kinds of things that many rules
 * share (a selector, a range of ports, a protocol): each is asked once for all, and a rule is their conjunction.
 */

import type { Protocol } from "../../crd-schemas/index.ts";
import { type Cidr, contains } from "../../net/cidr.ts";
import type { Ip } from "../../net/ip.ts";
import { type Membership, matchesHeader } from "../match.ts";
import { ANY_ENTITY, type EntityMatch, type PortRange, type Rule, type SetRef } from "../model.ts";
import type { Packet } from "../packet.ts";
import { Bits } from "./bits.ts";

/** One end of many packets. Senders have no port: nothing is known of it. */
export interface End {
  readonly address: Ip;
  readonly protocol?: Protocol;
  readonly port?: number;
}

export class EndBits {
  readonly #ends: readonly End[];
  readonly #membership: Membership;
  readonly #all: Bits;
  readonly #memo = new Map<string, Bits>();
  readonly #ofEntity = new Map<EntityMatch, Bits>();

  constructor(ends: readonly End[], membership: Membership) {
    this.#ends = ends;
    this.#membership = membership;
    this.#all = Bits.all(ends.length);
  }

  /** Not to be changed by who asks. */
  matching(entity: EntityMatch): Bits {
    if (entity === ANY_ENTITY) return this.#all;
    let bits = this.#ofEntity.get(entity);
    if (bits === undefined) {
      bits = this.#compute(entity);
      this.#ofEntity.set(entity, bits);
    }
    return bits;
  }

  #compute(entity: EntityMatch): Bits {
    const { nets, notNets, selector, notSelector, service } = entity;
    const { ports, namedPorts, notPorts, notNamedPorts } = entity;
    const bits = this.#all.copy();
    if (nets.length > 0) bits.and(this.#any(nets.map(net => this.#net(net))));
    for (const net of notNets) bits.remove(this.#net(net));
    if (selector) bits.and(this.#set(selector));
    if (notSelector) bits.remove(this.#set(notSelector));
    if (service) bits.and(this.#set(service));
    if (ports.length > 0 || namedPorts.length > 0) {
      const wanted = [...ports.map(range => this.#range(range)), ...namedPorts.map(ref => this.#set(ref))];
      bits.and(this.#any(wanted));
    }
    for (const range of notPorts) bits.remove(this.#range(range));
    for (const ref of notNamedPorts) bits.remove(this.#set(ref));
    return bits;
  }

  #any(several: readonly Bits[]): Bits {
    const bits = Bits.none(this.#ends.length);
    for (const one of several) bits.or(one);
    return bits;
  }

  #net(net: Cidr): Bits {
    return this.#once(net, ({ address }) => contains(net, address));
  }

  #range({ low, high }: PortRange): Bits {
    return this.#once(`${low}:${high}`, ({ port }) => port !== undefined && low <= port && port <= high);
  }

  #set(set: SetRef): Bits {
    const members = this.#membership;
    if (set.kind === "selector" || (set.kind === "service" && !set.withPorts))
      return this.#once(set.id, ({ address }) => members.inSet(set, address));
    return this.#once(
      set.id,
      ({ address, protocol, port }) =>
        protocol !== undefined && members.inPortSet(set, address, protocol, port),
    );
  }

  #once(criterion: string, holds: (end: End) => boolean): Bits {
    let bits = this.#memo.get(criterion);
    if (bits === undefined) {
      bits = Bits.where(this.#ends.length, i => holds(this.#ends[i]!));
      this.#memo.set(criterion, bits);
    }
    return bits;
  }
}

/** What rules ask of packets besides their ends, by target. */
export class HeaderBits {
  readonly #packets: readonly Packet[];
  readonly #memo = new Map<string, Bits>();

  constructor(packets: readonly Packet[]) {
    this.#packets = packets;
  }

  matching(rule: Rule): Bits {
    const { ipVersion, protocol, notProtocol, icmp, notIcmp } = rule;
    const criterion = JSON.stringify([ipVersion, protocol, notProtocol, icmp, notIcmp]);
    let bits = this.#memo.get(criterion);
    if (bits === undefined) {
      bits = Bits.where(this.#packets.length, i => matchesHeader(rule, this.#packets[i]!));
      this.#memo.set(criterion, bits);
    }
    return bits;
  }
}
