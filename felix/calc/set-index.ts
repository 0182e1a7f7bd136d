/**
 * Who is in the sets that active rules refer to.
 *
 * Items (workload endpoints of all nodes, host endpoints, network sets) contribute addresses to the sets whose selector
 * matches them; EndpointSlices to those of their service. Only sets that some active rule uses exist; using one twice keeps it until both are gone. One item
 * changed costs the sets it is in, one set more costs the items that may match it.
 */

import type { Protocol } from "../../crd-schemas/index.ts";
import type { Ip } from "../../net/ip.ts";
import type { Membership } from "../../policy/match.ts";
import type { NamedPortRef, SetRef } from "../../policy/model.ts";
import { LabelIndex, type LabelRecord } from "../../policy/selector/label-index.ts";
import type { SetUser } from "./active-policies.ts";
import type { SetChange, SetMember } from "./changes.ts";
import { CountedMembers } from "./counted-members.ts";
import { ServiceSets, type ServiceSlice } from "./service-sets.ts";

export interface NamedPort {
  readonly name: string;
  /** Lower case: `tcp`, `udp`, `sctp`. */
  readonly protocol: string;
  readonly port: number;
}

export interface SetItem {
  readonly labels: LabelRecord;
  /** Profiles it inherits labels from. */
  readonly parents: readonly string[];
  readonly nets: readonly SetMember[];
  readonly ports: readonly NamedPort[];
}

/** What an item adds to the sets it is in; its labels are the index's. A hundred thousand of these are held. */
type Contribution = Pick<SetItem, "nets" | "ports">;

/** Different lists of ports that are remembered, so as to be held once. */
const PORT_LISTS = 1000;

interface UsedSet {
  readonly ref: SetRef;
  uses: number;
  /** Those of them that are only asked about it. */
  asides: number;
}

export class SetIndex implements Membership {
  readonly #sets = new Map<string, UsedSet>();
  readonly #items = new Map<string, Contribution>();
  readonly #portLists = new Map<string, readonly NamedPort[]>();
  readonly #members = new CountedMembers();
  readonly #services = new ServiceSets(this.#members);
  readonly #index = new LabelIndex<string, string>({
    matchStarted: (set, item) => this.#contribute(set, item, "add"),
    matchStopped: (set, item) => this.#contribute(set, item, "remove"),
  });

  /** For rules that are in force nowhere: a set that only they use is known here, and not handed over. */
  readonly aside: SetUser = {
    use: ref => this.#use(ref, 1),
    release: ref => this.#release(ref, 1),
  };

  use(ref: SetRef): void {
    this.#use(ref, 0);
  }

  release(ref: SetRef): void {
    this.#release(ref, 0);
  }

  #use(ref: SetRef, asides: 0 | 1): void {
    const used = this.#sets.get(ref.id);
    if (used) {
      used.uses++;
      used.asides += asides;
      this.#members.setShown(ref.id, used.uses > used.asides);
      return;
    }
    this.#sets.set(ref.id, { ref, uses: 1, asides });
    this.#members.create(
      ref.id,
      ref.kind === "named-port" || (ref.kind === "service" && ref.withPorts) ? "ip-port" : "net",
      asides === 0,
    );
    if (ref.kind === "service") this.#services.use(ref);
    else this.#index.setSelector(ref.id, ref.selector);
  }

  #release(ref: SetRef, asides: 0 | 1): void {
    const used = this.#sets.get(ref.id);
    if (!used) return;
    used.uses--;
    used.asides -= asides;
    if (used.uses > 0) {
      this.#members.setShown(ref.id, used.uses > used.asides);
      return;
    }
    this.#members.delete(ref.id);
    this.#sets.delete(ref.id);
    if (ref.kind === "service") this.#services.release(ref);
    else this.#index.deleteSelector(ref.id);
  }

  setItem(id: string, { labels, parents, nets, ports }: SetItem): void {
    const former = this.#items.get(id);
    const now: Contribution = { nets, ports: this.#samePorts(ports) };
    if (!former) this.#items.set(id, now);
    else if (!sameContribution(former, now)) {
      for (const set of this.#index.selectorsMatching(id)) this.#contribute(set, id, "remove");
      this.#items.set(id, now);
      for (const set of this.#index.selectorsMatching(id)) this.#contribute(set, id, "add");
    }
    this.#index.setItem(id, labels, parents);
  }

  deleteItem(id: string): void {
    if (!this.#items.has(id)) return;
    this.#index.deleteItem(id);
    this.#items.delete(id);
  }

  /** What one EndpointSlice says of who is behind its service. */
  setSlice(id: string, slice: ServiceSlice | undefined): void {
    this.#services.setSlice(id, slice);
  }

  /** Labels that a profile gives to all that have it. */
  setParent(name: string, labels: LabelRecord): void {
    this.#index.setParent(name, labels);
  }

  inSet(set: SetRef, address: Ip): boolean {
    return this.#members.covers(set.id, address);
  }

  inPortSet(set: SetRef, address: Ip, protocol: Protocol, port: number | undefined): boolean {
    return this.#members.contains(set.id, `${address},${String(protocol).toLowerCase()}:${port}`);
  }

  drain(): Map<string, SetChange | undefined> {
    return this.#members.drain();
  }

  get sizes(): { sets: number; items: number } {
    return { sets: this.#sets.size, items: this.#items.size };
  }

  /** Pods of one kind have the same ports, and one list of them is enough. */
  #samePorts(ports: readonly NamedPort[]): readonly NamedPort[] {
    if (ports.length === 0) return ports;
    const text = JSON.stringify(ports);
    const held = this.#portLists.get(text);
    if (held) return held;
    if (this.#portLists.size === PORT_LISTS) this.#portLists.clear();
    this.#portLists.set(text, ports);
    return ports;
  }

  #contribute(set: string, itemId: string, what: "add" | "remove"): void {
    const ref = this.#sets.get(set)?.ref;
    const item = this.#items.get(itemId);
    if (!ref || !item) return;
    if (ref.kind === "named-port") {
      for (const member of portMembers(item, ref)) this.#members[what](set, member);
    } else for (const net of item.nets) this.#members[what](set, net);
  }
}

function* portMembers(item: Contribution, ref: NamedPortRef): Generator<SetMember> {
  const wanted = ref.protocol === undefined ? undefined : String(ref.protocol).toLowerCase();
  for (const { name, protocol, port } of item.ports) {
    if (name !== ref.name || (wanted !== undefined && wanted !== protocol)) continue;
    for (const address of item.nets) yield `${address},${protocol}:${port}`;
  }
}

function sameContribution(a: Contribution, b: Contribution): boolean {
  return (
    a.nets.length === b.nets.length &&
    a.nets.every((net, i) => net === b.nets[i]) &&
    a.ports.length === b.ports.length &&
    a.ports.every((port, i) => {
      const other = b.ports[i] as NamedPort;
      return port.name === other.name && port.protocol === other.protocol && port.port === other.port;
    })
  );
}
