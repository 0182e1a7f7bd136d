/**
 * One of felix's two VXLAN devices: `vxlan.calico` for IPv4 and `vxlan-v6.calico` for IPv6 (calico.md 3.6).
 *
 * Nothing is learned from traffic: each other node's end is a permanent neighbour (its address inside, its MAC) and a
 * permanent forwarding entry (its MAC, its address outside). A device whose parameters are others than wanted is made anew,
 * because most cannot be changed; one that is right is taken over with its entries, so that a restart interrupts nothing.
 */

import type { KernelEvent } from "../../../linux/events.ts";
import type { Link, Rtnetlink } from "../../../linux/rtnetlink.ts";
import { type Ip, type IpVersion, ipVersion } from "../../../net/ip.ts";
import type { Mac } from "../../../net/mac.ts";
import type { Vtep } from "../../calc/changes.ts";
import type { HostLinks } from "./host-links.ts";
import { setOnlyAddress } from "./only-address.ts";

export const VXLAN_DEVICES = { 4: "vxlan.calico", 6: "vxlan-v6.calico" } as const;

export interface VxlanPlan {
  readonly id: number;
  readonly port: number;
  /** This node's address outside. */
  readonly local: Ip;
  /** The link that has it; undefined where packets may leave by any. */
  readonly parent: number | undefined;
  /** Inside. */
  readonly address: Ip;
  readonly mac: Mac;
  readonly mtu: number;
}

export type VxlanKernel = Pick<
  Rtnetlink,
  | "createVxlan"
  | "deleteLink"
  | "setLink"
  | "getLink"
  | "addAddress"
  | "deleteAddress"
  | "listNeighbours"
  | "replaceNeighbour"
  | "deleteNeighbour"
  | "listForwardingEntries"
  | "replaceForwardingEntry"
  | "deleteForwardingEntry"
>;

export interface VxlanDeviceOptions {
  readonly version: IpVersion;
  readonly rtnetlink: VxlanKernel;
  readonly links: HostLinks;
  /** Of each device once, made or found: checksum-offload.ts. */
  readonly onDevice: (name: string) => void;
}

/** What leads to the other ends: by MAC the address outside, by address inside the MAC. */
interface Entries {
  readonly forwarding: Map<Mac, Ip>;
  readonly neighbours: Map<Ip, Mac>;
}

export class VxlanDevice {
  readonly name: string;
  readonly #options: VxlanDeviceOptions;
  readonly #wanted: Entries = { forwarding: new Map(), neighbours: new Map() };
  /** As last seen or written; undefined: to be read. */
  #actual: (Entries & { readonly index: number }) | undefined;
  #entriesDirty = true;
  #announced: number | undefined;

  constructor(options: VxlanDeviceOptions) {
    this.#options = options;
    this.name = VXLAN_DEVICES[options.version];
  }

  get link(): Link | undefined {
    return this.#options.links.byName(this.name);
  }

  get entriesDirty(): boolean {
    return this.#entriesDirty;
  }

  setEnds(ends: Iterable<Vtep>): void {
    this.#wanted.forwarding.clear();
    this.#wanted.neighbours.clear();
    for (const { address, mac, hostAddress } of ends) {
      if (ipVersion(address) !== this.#options.version) continue;
      this.#wanted.forwarding.set(mac, hostAddress);
      this.#wanted.neighbours.set(address, mac);
    }
    this.#entriesDirty = true;
  }

  forgetEntries(): void {
    this.#actual = undefined;
    this.#entriesDirty = true;
  }

  /** Whether there is something to repair. */
  noteEvent(event: KernelEvent): boolean {
    if (!this.#actual) return false;
    const { index, forwarding, neighbours } = this.#actual;
    if (event.type === "forwarding" && event.entry.interfaceIndex === index) {
      const { mac, remote } = event.entry;
      if (event.action === "new" && remote !== undefined) forwarding.set(mac, remote);
      else forwarding.delete(mac);
      if (forwarding.get(mac) === this.#wanted.forwarding.get(mac)) return false;
    } else if (event.type === "neighbour" && event.neighbour.interfaceIndex === index) {
      const { ip, mac, state } = event.neighbour;
      if (event.action === "new" && state === "permanent" && mac !== undefined) neighbours.set(ip, mac);
      else neighbours.delete(ip);
      if (neighbours.get(ip) === this.#wanted.neighbours.get(ip)) return false;
    } else return false;
    this.#entriesDirty = true;
    return true;
  }

  /** The device as planned, up, with its address and no other. @throws NetlinkError */
  ensure(plan: VxlanPlan): void {
    const { rtnetlink, links, onDevice } = this.#options;
    let link = this.#look();
    if (link && !isAsPlanned(link, plan)) {
      rtnetlink.deleteLink(link.index);
      link = undefined;
    }
    if (!link) {
      this.#create(plan);
      this.forgetEntries();
      link = this.#look();
      if (!link) throw new Error(`${this.name} vanished while it was set up`);
    }
    const { index } = link;
    if (index !== this.#announced) onDevice(this.name);
    this.#announced = index;
    if (link.mac !== plan.mac) rtnetlink.setLink(index, { mac: plan.mac });
    if (link.mtu !== plan.mtu) rtnetlink.setLink(index, { mtu: plan.mtu });
    if (!link.up) rtnetlink.setLink(index, { up: true });
    setOnlyAddress(rtnetlink, links, index, plan.address);
    // As it should be now, not as it is: what somebody did meanwhile comes as an event, and must be news then.
    const { mac, mtu } = plan;
    links.noteEvent({ type: "link", action: "new", link: { ...link, mac, mtu, up: true } });
  }

  remove(): void {
    const { link } = this;
    if (!link) return;
    this.#options.rtnetlink.deleteLink(link.index);
    this.#options.links.noteEvent({ type: "link", action: "delete", link });
    this.forgetEntries();
  }

  /** Neighbours and forwarding entries that are wanted and not there. @throws NetlinkError */
  addEntries(): void {
    const { rtnetlink } = this.#options;
    const actual = this.#read();
    if (!actual) return;
    const { index: interfaceIndex } = actual;
    for (const [mac, remote] of this.#wanted.forwarding) {
      if (actual.forwarding.get(mac) === remote) continue;
      rtnetlink.replaceForwardingEntry({ interfaceIndex, mac, remote });
      actual.forwarding.set(mac, remote);
    }
    for (const [ip, mac] of this.#wanted.neighbours) {
      if (actual.neighbours.get(ip) === mac) continue;
      rtnetlink.replaceNeighbour({ interfaceIndex, ip, mac });
      actual.neighbours.set(ip, mac);
    }
  }

  /** Those that nobody wants. To be called when no route leads there any more. @throws NetlinkError */
  removeEntries(): void {
    const { rtnetlink } = this.#options;
    const actual = this.#read();
    if (!actual) return;
    const { index: interfaceIndex } = actual;
    for (const ip of [...actual.neighbours.keys()]) {
      if (this.#wanted.neighbours.has(ip)) continue;
      rtnetlink.deleteNeighbour({ interfaceIndex, ip });
      actual.neighbours.delete(ip);
    }
    for (const [mac, remote] of [...actual.forwarding]) {
      if (this.#wanted.forwarding.has(mac)) continue;
      rtnetlink.deleteForwardingEntry({ interfaceIndex, mac, remote });
      actual.forwarding.delete(mac);
    }
    this.#entriesDirty = false;
  }

  #create({ mac, mtu, id, local, parent, port }: VxlanPlan): void {
    const { rtnetlink } = this.#options;
    rtnetlink.createVxlan({
      name: this.name,
      id,
      local,
      ...(parent !== undefined && { parent }),
      port,
      learning: false,
      mac,
      mtu,
    });
  }

  /** As it is now: its events come later. */
  #look(): Link | undefined {
    const { rtnetlink, links } = this.#options;
    const link = rtnetlink.getLink(this.name);
    for (const former of [...links.all()]) {
      if (former.name === this.name && former.index !== link?.index)
        links.noteEvent({ type: "link", action: "delete", link: former });
    }
    if (link) links.noteEvent({ type: "link", action: "new", link });
    return link;
  }

  #read(): (Entries & { readonly index: number }) | undefined {
    const { rtnetlink, version } = this.#options;
    const index = this.link?.index;
    if (index === undefined) return undefined;
    if (this.#actual?.index === index) return this.#actual;
    const forwarding = new Map<Mac, Ip>();
    for (const { mac, remote } of rtnetlink.listForwardingEntries(index))
      if (remote !== undefined) forwarding.set(mac, remote);
    const neighbours = new Map<Ip, Mac>();
    for (const { ip, mac, state } of rtnetlink.listNeighbours({ family: version, interfaceIndex: index }))
      if (state === "permanent" && mac !== undefined) neighbours.set(ip, mac);
    this.#actual = { index, forwarding, neighbours };
    return this.#actual;
  }
}

function isAsPlanned({ kind, vxlan }: Link, plan: VxlanPlan): boolean {
  return (
    kind === "vxlan" &&
    vxlan !== undefined &&
    vxlan.id === plan.id &&
    vxlan.port === plan.port &&
    vxlan.local === plan.local &&
    vxlan.parent === plan.parent &&
    !vxlan.learning
  );
}
