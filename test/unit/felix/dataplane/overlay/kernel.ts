/**
 * A kernel of Maps for tunnels: links, addresses, routes, neighbours and forwarding entries; a journal of what was done, and
 * the events of what others do. Strict where the order matters: a route into a tunnel needs the entries that lead through it.
 */

import assert from "node:assert/strict";
import { pino } from "pino";
import { type Changes, NO_CHANGES } from "../../../../../felix/calc/changes.ts";
import type { OverlayNetworkOptions } from "../../../../../felix/dataplane/overlay/overlay-network.ts";
import { OverlayNetwork } from "../../../../../felix/dataplane/overlay/overlay-network.ts";
import { NetlinkError } from "../../../../../linux/errors.ts";
import type { KernelEvent } from "../../../../../linux/events.ts";
import {
  type ForwardingEntry,
  type Link,
  type LinkAddress,
  type LinkRef,
  type Neighbour,
  type PlainLinkOptions,
  type Route,
  routeKey,
  type VxlanOptions,
} from "../../../../../linux/rtnetlink.ts";
import { ip } from "../../../../../net/ip.ts";
import { configOf } from "../iptables/kernel.ts";

const EOPNOTSUPP = 95;
const ENODEV = 19;
const ENETDOWN = 100;

type Kernel = OverlayNetworkOptions["rtnetlink"];

export class TunnelKernel implements Kernel {
  readonly links = new Map<number, Link>();
  readonly addresses = new Map<string, LinkAddress>();
  readonly routes = new Map<string, Route>();
  readonly neighbours = new Map<string, Neighbour>();
  readonly forwarding = new Map<string, ForwardingEntry>();
  journal: string[] = [];
  hasIpip = false;
  #events: KernelEvent[] = [];
  #lastIndex = 0;

  constructor() {
    const eth0 = this.addLink({ name: "eth0", mtu: 1500, up: true });
    this.addAddress({ interfaceIndex: eth0, ip: ip("172.16.0.1"), prefixLength: 24 });
    this.addAddress({ interfaceIndex: eth0, ip: ip("fd00:16::1"), prefixLength: 64 });
    this.journal = [];
  }

  takeJournal(): string[] {
    return this.journal.splice(0);
  }

  takeEvents(): KernelEvent[] {
    return this.#events.splice(0);
  }

  indexOf(name: string): number {
    for (const link of this.links.values()) if (link.name === name) return link.index;
    throw new Error(`no link ${name}`);
  }

  /** `10.0.2.0/26 vxlan.calico via 10.0.2.0`. */
  get leads(): string[] {
    return [...this.routes.values()].map(route => this.#text(route)).sort();
  }

  /** All there is, with links by name instead of index: comparable with another kernel. */
  get plain(): unknown {
    const on = (index: number) => this.links.get(index)?.name;
    const lines = (texts: Iterable<string>) => [...texts].sort();
    return {
      links: lines(this.listLinks().map(({ index: _, vxlan, ...link }) => JSON.stringify([link, vxlan]))),
      addresses: lines(this.listAddresses().map(each => `${on(each.interfaceIndex)} ${each.ip}`)),
      routes: this.leads,
      neighbours: lines(
        [...this.neighbours.values()].map(each => `${on(each.interfaceIndex)} ${each.ip} ${each.mac}`),
      ),
      forwarding: lines(
        [...this.forwarding.values()].map(each => `${on(each.interfaceIndex)} ${each.mac} ${each.remote}`),
      ),
    };
  }

  // What others do.

  addLink(link: Partial<Link> & { name: string }): number {
    const index = ++this.#lastIndex;
    const whole: Link = { index, mtu: 1500, up: false, operState: "up", ...link };
    this.links.set(index, whole);
    this.#events.push({ type: "link", action: "new", link: whole });
    return index;
  }

  changeLink(index: number, changes: Partial<Link>): void {
    const link = { ...(this.links.get(index) as Link), ...changes };
    this.links.set(index, link);
    this.#events.push({ type: "link", action: "new", link });
  }

  addRoute(route: Route): void {
    this.routes.set(routeKey(route), route);
    this.#events.push({ type: "route", action: "new", route });
  }

  // What the overlay sees of it.

  listLinks = () => [...this.links.values()];
  listAddresses = () => [...this.addresses.values()];
  listRoutes = () => [...this.routes.values()];

  getLink(ref: LinkRef): Link | undefined {
    return [...this.links.values()].find(({ index, name }) => index === ref || name === ref);
  }

  createVxlan({ name, mac, mtu = 1500, ...vxlan }: VxlanOptions): void {
    this.addLink({ name, mtu, kind: "vxlan", vxlan, ...(mac && { mac }) });
    this.journal.push(`+ ${name}`);
  }

  createPlainLink({ kind, name }: PlainLinkOptions): void {
    if (kind === "ipip" && !this.hasIpip) throw new NetlinkError(EOPNOTSUPP, `create ${name}`);
    this.addLink({ name, kind });
    this.journal.push(`+ ${name}`);
  }

  deleteLink(ref: LinkRef): boolean {
    const link = this.getLink(ref);
    if (!link) return false;
    const { index } = link;
    this.links.delete(index);
    for (const [key, route] of this.routes) if (route.interfaceIndex === index) this.routes.delete(key);
    for (const table of [this.addresses, this.neighbours, this.forwarding])
      for (const [key, entry] of table) if (entry.interfaceIndex === index) table.delete(key);
    this.#events.push({ type: "link", action: "delete", link });
    this.journal.push(`- ${link.name}`);
    return true;
  }

  setLink(ref: LinkRef, changes: object): void {
    const link = this.getLink(ref);
    if (!link) throw new NetlinkError(ENODEV, "set link");
    this.changeLink(link.index, changes);
    this.journal.push(`${link.name} ${Object.entries(changes)}`);
  }

  #require(index: number): void {
    if (!this.links.has(index)) throw new NetlinkError(ENODEV, `use link ${index}`);
  }

  addAddress(address: LinkAddress): void {
    this.#require(address.interfaceIndex);
    this.addresses.set(`${address.interfaceIndex} ${address.ip}`, address);
    this.#events.push({ type: "address", action: "new", address });
    this.journal.push(
      `+ ${address.ip}/${address.prefixLength} ${this.links.get(address.interfaceIndex)?.name}`,
    );
  }

  deleteAddress(address: LinkAddress): boolean {
    this.#events.push({ type: "address", action: "delete", address });
    this.journal.push(
      `- ${address.ip}/${address.prefixLength} ${this.links.get(address.interfaceIndex)?.name}`,
    );
    return this.addresses.delete(`${address.interfaceIndex} ${address.ip}`);
  }

  replaceRoutes(routes: readonly Route[]) {
    return routes.flatMap(item => {
      const link = item.interfaceIndex === undefined ? undefined : this.links.get(item.interfaceIndex);
      if (item.type === "unicast" && !link?.up) return [{ item, error: new NetlinkError(ENETDOWN, "route") }];
      if (link?.kind === "vxlan" && item.gateway)
        assert.ok(this.neighbours.has(`${link.index} ${item.gateway}`), `${item.gateway} leads nowhere yet`);
      this.addRoute(item);
      this.journal.push(`+ ${this.#text(item)}`);
      return [];
    });
  }

  deleteRoutes(routes: readonly Route[]) {
    return routes.flatMap(item => {
      if (!this.routes.delete(routeKey(item))) return [{ item, error: new NetlinkError(3, "route") }];
      this.#events.push({ type: "route", action: "delete", route: item });
      this.journal.push(`- ${this.#text(item)}`);
      return [];
    });
  }

  listNeighbours(filter: { interfaceIndex?: number } = {}): Neighbour[] {
    return [...this.neighbours.values()].filter(each => each.interfaceIndex === filter.interfaceIndex);
  }

  replaceNeighbour(
    entry: Pick<Neighbour, "interfaceIndex" | "ip"> & { mac: Neighbour["mac"] & string },
  ): void {
    this.#require(entry.interfaceIndex);
    const neighbour: Neighbour = { ...entry, state: "permanent" };
    this.neighbours.set(`${entry.interfaceIndex} ${entry.ip}`, neighbour);
    this.#events.push({ type: "neighbour", action: "new", neighbour });
    this.journal.push(`+ ${entry.ip} ${entry.mac}`);
  }

  deleteNeighbour({ interfaceIndex, ip }: Pick<Neighbour, "interfaceIndex" | "ip">): boolean {
    const former = this.neighbours.get(`${interfaceIndex} ${ip}`);
    if (!former) return false;
    for (const { gateway } of this.routes.values()) assert.notEqual(gateway, ip, "a route leads there still");
    this.neighbours.delete(`${interfaceIndex} ${ip}`);
    this.#events.push({ type: "neighbour", action: "delete", neighbour: former });
    this.journal.push(`- ${ip}`);
    return true;
  }

  listForwardingEntries(interfaceIndex: number): ForwardingEntry[] {
    return [...this.forwarding.values()].filter(each => each.interfaceIndex === interfaceIndex);
  }

  replaceForwardingEntry(entry: Omit<ForwardingEntry, "state">): void {
    this.#require(entry.interfaceIndex);
    const whole: ForwardingEntry = { ...entry, state: "permanent" };
    this.forwarding.set(`${entry.interfaceIndex} ${entry.mac}`, whole);
    this.#events.push({ type: "forwarding", action: "new", entry: whole });
    this.journal.push(`+ ${entry.mac} ${entry.remote}`);
  }

  deleteForwardingEntry({ interfaceIndex, mac }: Omit<ForwardingEntry, "state">): boolean {
    const former = this.forwarding.get(`${interfaceIndex} ${mac}`);
    if (!former) return false;
    this.forwarding.delete(`${interfaceIndex} ${mac}`);
    this.#events.push({ type: "forwarding", action: "delete", entry: former });
    this.journal.push(`- ${mac}`);
    return true;
  }

  #text({ destination, type, gateway, interfaceIndex }: Route): string {
    if (type === "blackhole") return `${destination} blackhole`;
    const name = this.links.get(interfaceIndex ?? 0)?.name;
    return `${destination} ${name}${gateway ? ` via ${gateway}` : ""}`;
  }
}

/** The overlay in front of it, driven as the dataplane does. */
export class TunnelHost {
  readonly kernel: TunnelKernel;
  readonly overlay: OverlayNetwork;
  readonly logged: string[] = [];
  readonly mtus: number[] = [];
  #swept = false;

  constructor(kernel = new TunnelKernel(), values: Readonly<Record<string, unknown>> = {}) {
    this.kernel = kernel;
    this.overlay = new OverlayNetwork({
      rtnetlink: kernel,
      config: configOf(values),
      logger: pino({ level: "error" }, { write: line => void this.logged.push(JSON.parse(line).problem) }),
      onWorkloadMtu: mtu => void this.mtus.push(mtu),
    });
    this.overlay.resync();
    kernel.takeEvents();
  }

  /** One pass; what is left over would be tried again. */
  apply(changes: Partial<Changes> = {}): string[] {
    this.overlay.update({ ...NO_CHANGES, ...changes });
    this.overlay.applyRemovals();
    this.kernel.journal.push("rules");
    this.overlay.applyAdditions();
    if (!this.#swept) {
      this.overlay.sweep();
      this.overlay.applyRemovals();
      this.#swept = true;
    }
    this.overlay.noteEvents(this.kernel.takeEvents());
    return this.kernel.takeJournal();
  }

  /** Passes until there is nothing left to do. */
  settle(): string[] {
    this.overlay.noteEvents(this.kernel.takeEvents());
    const done: string[] = [];
    for (let i = 0; i < 5 && this.overlay.pending; i++) done.push(...this.apply());
    return done.filter(line => line !== "rules");
  }
}
