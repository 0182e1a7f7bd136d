/**
 * A host for the dataplane made of Maps: links and routes, rules that are either in force for an interface or not, and
 * a journal of what was done to it. It is strict about the one thing that matters, the order: a route may only ever
 * lead to an interface whose endpoint's rules are in force, and rules may go only where no route leads any more.
 */

import assert from "node:assert/strict";
import { pino } from "pino";
import { type Changes, type LocalEndpoint, NO_CHANGES } from "../../../../felix/calc/changes.ts";
import { Dataplane } from "../../../../felix/dataplane/dataplane.ts";
import type { PacketFilter } from "../../../../felix/dataplane/packet-filter.ts";
import { WorkloadLinks } from "../../../../felix/dataplane/workload-links.ts";
import { NetlinkError } from "../../../../linux/errors.ts";
import type { KernelEvent } from "../../../../linux/events.ts";
import { type Link, type Route, routeKey } from "../../../../linux/rtnetlink.ts";
import { SysctlError, SysctlErrorCode } from "../../../../linux/sysctl.ts";
import { cidr } from "../../../../net/cidr.ts";
import { ip } from "../../../../net/ip.ts";
import { mac } from "../../../../net/mac.ts";
import { configOf } from "./iptables/kernel.ts";
import { SimClock } from "./sim-clock.ts";

export function endpoint(
  name: string,
  addresses: readonly string[],
  more: Partial<LocalEndpoint> = {},
): LocalEndpoint {
  return {
    id: `default.${name}`,
    interfaceName: `cali${name}`,
    enabled: true,
    addresses: addresses.map(ip),
    mac: undefined,
    tiers: [],
    profiles: [],
    allowedSources: [],
    floatingIps: [],
    qos: undefined,
    ...more,
  };
}

class StrictFilter implements PacketFilter {
  readonly #host: Host;
  readonly #wanted = new Map<string, LocalEndpoint>();
  /** What the kernel would let in and out, by interface. */
  readonly inForce = new Map<string, LocalEndpoint>();
  readonly resyncs: string[] = [];
  pending = true;
  /** The next commits fail with this. */
  refusal: Error | undefined;
  /** The next commits wait for this. */
  gate: Promise<void> | undefined;
  #committing = false;

  constructor(host: Host) {
    this.#host = host;
  }

  update(changes: Changes): void {
    assert.ok(!this.#committing, "changed while a commit is on its way");
    for (const [id, wanted] of changes.endpoints) {
      if (wanted) this.#wanted.set(id, wanted);
      else this.#wanted.delete(id);
    }
    this.pending = true;
  }

  async commit(): Promise<void> {
    this.#committing = true;
    try {
      await this.gate;
      await Promise.resolve();
      if (this.refusal) {
        this.#host.journal.push("refused");
        throw this.refusal;
      }
      const wanted = new Map([...this.#wanted.values()].map(one => [one.interfaceName, one]));
      assert.equal(wanted.size, this.#wanted.size, "two endpoints on one interface");
      for (const [name, former] of this.inForce) {
        if (wanted.get(name)?.id === former.id) continue;
        assert.deepEqual(this.#host.addressesTo(name), [], `rules of ${name} go before what leads there`);
      }
      this.inForce.clear();
      for (const [name, one] of wanted) this.inForce.set(name, one);
      this.pending = false;
      this.#host.generations.rules++;
      this.#host.generations.sets++;
      this.#host.journal.push("commit");
    } finally {
      this.#committing = false;
    }
  }

  async counters(): Promise<readonly []> {
    return [];
  }

  async resync(what: string): Promise<void> {
    this.resyncs.push(what);
  }
}

export class Host {
  readonly clock = new SimClock();
  readonly journal: string[] = [];
  readonly filter = new StrictFilter(this);
  readonly links = new Map<string, Link>();
  readonly routes = new Map<string, Route>();
  /** `cali1 10.0.0.1 mac`. */
  readonly neighbours = new Map<string, string>();
  readonly parameters = new Map<string, string>();
  readonly warnings: string[] = [];
  /** Files by endpoint id. */
  readonly ready = new Set<string>();
  /** Destinations that cannot be written. */
  readonly unwritable = new Set<string>();
  statusFails = false;
  /** What the kernel counts: changes, ours and others'. */
  readonly generations = { rules: 1, sets: 1 };
  ipv6Parameters = true;
  #events: KernelEvent[] = [];
  #lastIndex = 10;
  readonly #stop = new AbortController();
  readonly workloadLinks: WorkloadLinks;
  readonly dataplane: Dataplane;
  #running: Promise<void> | undefined;

  constructor(values: Readonly<Record<string, unknown>> = {}) {
    const config = configOf(values);
    const logger = pino(
      { level: "warn" },
      { write: (line: string) => void this.warnings.push(JSON.parse(line).msg as string) },
    );
    this.workloadLinks = new WorkloadLinks({
      rtnetlink: this,
      conntrack: {
        deleteByAddresses: addresses => {
          for (const address of addresses) this.journal.push(`forget ${address}`);
        },
      },
      config,
      logger,
      clock: this.clock,
      setParameter: (parameter, value) => this.#setParameter(parameter, value),
    });
    const status = {
      start: () => this.#status(() => this.ready.clear()),
      write: ({ id }: LocalEndpoint) => this.#status(() => void this.ready.add(id)),
      remove: (id: string) => this.#status(() => void this.ready.delete(id)),
    };
    const { clock, filter, workloadLinks: links } = this;
    this.dataplane = new Dataplane({
      filter,
      links,
      status,
      config,
      logger,
      clock,
      generation: of => this.generations[of],
    });
  }

  run(): void {
    this.#running = this.dataplane.run(this.#stop.signal);
  }

  /** Runs, and is in sync. */
  async start(): Promise<this> {
    this.run();
    this.dataplane.start();
    await this.clock.settle();
    return this;
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error("the test is over"));
    await this.#running;
  }

  async update(endpoints: Readonly<Record<string, LocalEndpoint | undefined>>): Promise<void> {
    this.dataplane.update({ ...NO_CHANGES, endpoints: new Map(Object.entries(endpoints)) });
    await this.clock.settle();
  }

  /** Tells the dataplane what happened since. */
  async tell(): Promise<void> {
    const events = this.#events;
    this.#events = [];
    this.dataplane.noteKernelEvents(events);
    await this.clock.settle();
  }

  /** Events are lost, as when the socket overflows. */
  async overflow(): Promise<void> {
    this.#events = [];
    this.dataplane.noteKernelEvents([{ type: "overflow" }]);
    await this.clock.settle();
  }

  addLink(name: string, up = true): void {
    const link: Link = { index: ++this.#lastIndex, name, up, mtu: 1500, operState: up ? "up" : "down" };
    this.links.set(name, link);
    this.#event({ type: "link", action: "new", link });
  }

  setLink(name: string, up: boolean): void {
    const link = { ...(this.links.get(name) as Link), up };
    this.links.set(name, link);
    if (!up) this.#dropRoutes(link.index);
    this.#event({ type: "link", action: "new", link });
  }

  renameLink(name: string, newName: string): void {
    const link = { ...(this.links.get(name) as Link), name: newName };
    this.links.delete(name);
    this.links.set(newName, link);
    this.#event({ type: "link", action: "new", link });
  }

  deleteLink(name: string): void {
    const link = this.links.get(name) as Link;
    this.links.delete(name);
    this.#dropRoutes(link.index);
    this.#event({ type: "link", action: "delete", link });
  }

  /** Somebody removes a route. */
  wipeRoute(address: string): void {
    for (const [key, route] of this.routes) {
      if (!route.destination.startsWith(`${address}/`)) continue;
      this.routes.delete(key);
      this.#event({ type: "route", action: "delete", route });
    }
  }

  /** Somebody adds a route: a plugin, an earlier run. */
  addRoute(address: string, interfaceName: string, more: Partial<Route> = {}): void {
    const route: Route = {
      destination: cidr(address),
      type: "unicast",
      protocol: 3,
      scope: "link",
      metric: 1024,
      interfaceIndex: this.links.get(interfaceName)?.index ?? 0,
      ...more,
    };
    this.routes.set(routeKey(route), route);
    this.#event({ type: "route", action: "new", route });
  }

  /** What leads where: `10.0.0.1 calia`. */
  get leads(): string[] {
    return [...this.routes.values()]
      .map(route => `${route.destination.split("/")[0]} ${this.#nameOf(route)}`)
      .sort();
  }

  addressesTo(interfaceName: string): string[] {
    return this.leads.filter(line => line.endsWith(` ${interfaceName}`));
  }

  takeJournal(): string[] {
    return this.journal.splice(0);
  }

  // What WorkloadLinks sees of the kernel.

  listLinks(): Link[] {
    return [...this.links.values()];
  }

  listRoutes(): Route[] {
    return [...this.routes.values()];
  }

  replaceRoutes(routes: readonly Route[]) {
    return routes.flatMap(item => {
      const name = this.#nameOf(item);
      const address = item.destination.split("/")[0] as string;
      if (!this.links.get(name)?.up) return [{ item, error: new NetlinkError(100, "replace route") }];
      const rules = this.filter.inForce.get(name);
      const known = [
        ...(rules?.addresses ?? []),
        ...(rules?.floatingIps ?? []).map(({ external }) => external),
      ];
      assert.ok(known.includes(ip(address)), `${address} is led to ${name}, where no rules for it are`);
      if (this.unwritable.has(address)) return [{ item, error: new NetlinkError(16, "replace route") }];
      this.routes.set(routeKey(item), item);
      this.journal.push(`+ ${address} ${name}`);
      return [];
    });
  }

  deleteRoutes(routes: readonly Route[]) {
    return routes.flatMap(item => {
      if (!this.routes.delete(routeKey(item))) return [{ item, error: new NetlinkError(3, "delete route") }];
      this.journal.push(`- ${item.destination.split("/")[0]} ${this.#nameOf(item)}`);
      return [];
    });
  }

  replaceNeighbour(entry: { interfaceIndex: number; ip: string; mac: string }): void {
    this.neighbours.set(`${this.#nameOf(entry)} ${entry.ip}`, mac(entry.mac));
  }

  deleteNeighbour(entry: { interfaceIndex: number; ip: string }): boolean {
    return this.neighbours.delete(`${this.#nameOf(entry)} ${entry.ip}`);
  }

  #setParameter(parameter: string, value: string | number): void {
    const name = parameter.split("/")[3] as string;
    const there = this.links.has(name) && (this.ipv6Parameters || !parameter.startsWith("net/ipv6"));
    if (!there) throw new SysctlError(SysctlErrorCode.NotFound, parameter);
    this.parameters.set(parameter, String(value));
  }

  #status(work: () => void): void {
    if (this.statusFails) throw new Error("no space left");
    work();
  }

  #nameOf({ interfaceIndex }: { readonly interfaceIndex?: number }): string {
    return (
      [...this.links.values()].find(({ index }) => index === interfaceIndex)?.name ?? `#${interfaceIndex}`
    );
  }

  #dropRoutes(index: number): void {
    for (const [key, route] of this.routes) if (route.interfaceIndex === index) this.routes.delete(key);
  }

  #event(event: KernelEvent): void {
    this.#events.push(event);
  }
}
