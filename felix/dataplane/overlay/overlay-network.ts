/**
 * Tunnels and routes to other hosts, where felix programs them (calico.md 3.5, 3.6): devices, the entries that lead through
 * them, routes of protocol 80 and blackholes of own blocks.
 *
 * Order. What comes: device, entries, routes. What goes: routes, entries, device. A route that changes is replaced in one
 * step. So whatever is forwarded goes on being forwarded while things change, and nothing is sent into a tunnel that leads
 * nowhere. When felix ends, everything stays; its successor finds it right and leaves it alone.
 *
 * Routes of protocol 80 on links of workloads are not ours but of workload-links.ts.
 */

import type { Logger } from "../../../daemon/log.ts";
import type { KernelEvent } from "../../../linux/events.ts";
import { OwnedRoutes, type RouteFailure } from "../../../linux/owned-routes.ts";
import { type Route, RouteTable, type Rtnetlink } from "../../../linux/rtnetlink.ts";
import type { Cidr } from "../../../net/cidr.ts";
import type { Ip, IpVersion } from "../../../net/ip.ts";
import type { Changes, Encapsulation, OwnNode, Vtep } from "../../calc/changes.ts";
import type { FelixConfig } from "../../calc/config.ts";
import { hostMtu, type Mtus, mtus } from "../../calc/overlay/mtu.ts";
import type { KernelPart } from "../kernel-part.ts";
import { FELIX_ROUTE_PROTOCOL } from "../workload-links.ts";
import { HostLinks } from "./host-links.ts";
import { IPIP_DEVICE, IpipDevice, type IpipKernel, NO_IPIP } from "./ipip-device.ts";
import { kernelRoute, type Ways, type Wish } from "./kernel-route.ts";
import { VXLAN_DEVICES, VxlanDevice, type VxlanKernel, type VxlanPlan } from "./vxlan-device.ts";

const VERSIONS: readonly IpVersion[] = [4, 6];
/** The first ones say what there is to say. */
const REPORTED_ROUTES = 3;
const OFF: Encapsulation = { ipip: false, vxlan: false, vxlan6: false };

export interface OverlayNetworkOptions {
  readonly rtnetlink: VxlanKernel &
    IpipKernel &
    Pick<Rtnetlink, "listLinks" | "listAddresses" | "listRoutes" | "replaceRoutes" | "deleteRoutes">;
  readonly config: FelixConfig;
  readonly logger: Logger;
  /** There is a VXLAN device, by name: once of each. */
  readonly onDevice?: (name: string) => void;
  /** What packets of workloads may be long, at first and when it changes. */
  readonly onWorkloadMtu?: (mtu: number) => void;
}

export class OverlayNetwork implements KernelPart {
  readonly #options: OverlayNetworkOptions;
  readonly #links: HostLinks;
  readonly #routes: OwnedRoutes;
  readonly #vxlan: Readonly<Record<IpVersion, VxlanDevice>>;
  readonly #ipip: IpipDevice;
  readonly #mtuPattern: RegExp;

  // What is wanted.
  #encapsulation = OFF;
  #ownNode: OwnNode | undefined;
  readonly #vteps = new Map<string, Vtep>();
  readonly #wishes = new Map<Cidr, Wish>();

  #mtus: Mtus | undefined;
  /** Links that routes lead over, as text, when they were last written. */
  #ways = "";
  readonly #unsettled = new Set<Cidr>();
  #devicesDirty = true;
  #swept = false;
  /** What keeps packets from arriving, in words. */
  readonly #problems = new Map<string, string>();

  constructor(options: OverlayNetworkOptions) {
    const { rtnetlink, config, onDevice = () => {} } = options;
    this.#options = options;
    this.#links = new HostLinks(name => config.interfacePrefix.some(prefix => name.startsWith(prefix)));
    this.#routes = new OwnedRoutes({
      rtnetlink,
      owns: route => this.#owns(route),
      // Of workload-links.ts: an address that was here a moment ago.
      replaces: ({ interfaceIndex }) => this.#links.isWorkload(interfaceIndex),
    });
    const device = (version: IpVersion) =>
      new VxlanDevice({ version, rtnetlink, links: this.#links, onDevice });
    this.#vxlan = { 4: device(4), 6: device(6) };
    this.#ipip = new IpipDevice(rtnetlink, this.#links);
    this.#mtuPattern = pattern(config.mtuIfacePattern);
  }

  /** For the status: why packets to some other hosts do not arrive. */
  get problems(): readonly string[] {
    return [...this.#problems.values()];
  }

  get pending(): boolean {
    return this.#devicesDirty || this.#entriesDirty || this.#unsettled.size > 0 || this.#routes.pending;
  }

  update({ encapsulation, routes, vteps, blackholes, ...changes }: Changes): void {
    if (encapsulation) {
      this.#encapsulation = encapsulation;
      this.#devicesDirty = true;
    }
    if ("ownNode" in changes) {
      this.#ownNode = changes.ownNode;
      this.#devicesDirty = true;
    }
    for (const [id, vtep] of vteps) {
      if (vtep) this.#vteps.set(id, vtep);
      else this.#vteps.delete(id);
    }
    if (vteps.size > 0) for (const version of VERSIONS) this.#vxlan[version].setEnds(this.#vteps.values());
    // Those that go first: a prefix may be a hole now that was a route.
    for (const [prefix, route] of routes) if (!route) this.#wish(prefix, undefined);
    for (const [prefix, hole] of blackholes) this.#wish(prefix, hole && "blackhole");
    for (const [prefix, route] of routes) if (route) this.#wish(prefix, route);
  }

  applyRemovals(): void {
    if (this.#unsettled.size > 0) {
      const ways = this.#currentWays();
      for (const prefix of this.#unsettled) {
        const wish = this.#wishes.get(prefix);
        if (!wish || !kernelRoute(prefix, wish, ways)) this.#routes.unwant(prefix);
      }
    }
    this.#report("route not removed, trying again", this.#routes.applyDeletions());
  }

  applyAdditions(): void {
    const waysMayDiffer = this.#devicesDirty;
    this.#attempt("devices", () => this.#ensureDevices());
    if (this.#entriesDirty)
      this.#attempt("entries", () => {
        for (const version of VERSIONS) this.#vxlan[version].addEntries();
      });
    if (waysMayDiffer || this.#unsettled.size > 0) this.#settleRoutes();
    this.#report("route not written, trying again", this.#routes.applyAdditions());
    if (this.#swept && this.#entriesDirty)
      this.#attempt("old entries", () => {
        for (const version of VERSIONS) this.#vxlan[version].removeEntries();
      });
  }

  sweep(): void {
    this.#swept = true;
    this.#routes.sweep();
    for (const version of VERSIONS) this.#vxlan[version].forgetEntries();
  }

  noteEvents(events: readonly KernelEvent[]): boolean {
    for (const event of events) {
      if (event.type === "overflow") this.resync();
      else if (event.type === "route") this.#routes.noteEvent(event.action, event.route);
      else if (event.type === "forwarding" || event.type === "neighbour")
        for (const version of VERSIONS) this.#vxlan[version].noteEvent(event);
      else {
        if (event.type === "link" && (event.action === "delete" || !event.link.up))
          this.#routes.forgetInterface(event.link.index);
        // With the last IPv4 address, the kernel takes the link's routes away and says nothing.
        if (event.type === "address" && event.action === "delete")
          this.#routes.forgetInterface(event.address.interfaceIndex);
        if (this.#links.noteEvent(event)) this.#devicesDirty = true;
      }
    }
    return this.pending;
  }

  resync(): void {
    this.#links.resync(this.#options.rtnetlink);
    this.#routes.resync();
    for (const version of VERSIONS) this.#vxlan[version].forgetEntries();
    this.#devicesDirty = true;
  }

  get #entriesDirty(): boolean {
    return VERSIONS.some(version => this.#vxlan[version].link && this.#vxlan[version].entriesDirty);
  }

  #wish(prefix: Cidr, wish: Wish | undefined): void {
    if (wish) this.#wishes.set(prefix, wish);
    else this.#wishes.delete(prefix);
    this.#unsettled.add(prefix);
  }

  #ensureDevices(): void {
    if (!this.#devicesDirty) return;
    this.#measure();
    const { vxlan, vxlan6, ipip } = this.#encapsulation;
    const { ipip: ipipMtu } = this.#mtus as Mtus;
    for (const version of VERSIONS) {
      const device = this.#vxlan[version];
      if (version === 4 ? vxlan : vxlan6) {
        const plan = this.#vxlanPlan(version);
        // Without an address of its own yet, the node keeps the device that it may have from before.
        if (plan) device.ensure(plan);
      } else device.remove();
    }
    if (ipip) this.#ipip.ensure(this.#ownNode?.ipip, ipipMtu);
    else this.#ipip.remove();
    this.#note("ipip", ipip && this.#ipip.missing ? NO_IPIP : undefined);
    this.#devicesDirty = false;
  }

  #vxlanPlan(version: IpVersion): VxlanPlan | undefined {
    const { config } = this.#options;
    const local = this.#ownNode?.addresses[version];
    const end = this.#ownNode?.vxlan[version];
    const parent = local && this.#links.holderOf(local);
    const device = VXLAN_DEVICES[version];
    this.#note(
      device,
      !end
        ? `${device}: this node has no tunnel address yet`
        : !parent
          ? `${device}: no interface of this host has the node's address ${local}`
          : undefined,
    );
    if (!local || !end || !parent) return undefined;
    const { vxlan, vxlan6 } = this.#mtus as Mtus;
    return {
      id: config.vxlanVNI,
      port: config.vxlanPort,
      local,
      // What leaves by the loopback stays here.
      parent: parent.name === "lo" ? undefined : parent.index,
      address: end.address,
      mac: end.mac,
      mtu: version === 4 ? vxlan : vxlan6,
    };
  }

  #measure(): void {
    const { config, onWorkloadMtu } = this.#options;
    const host = hostMtu(this.#links.all(), this.#mtuPattern);
    const former = this.#mtus;
    this.#mtus = mtus(host, config, this.#encapsulation);
    if (former?.workload !== this.#mtus.workload) onWorkloadMtu?.(this.#mtus.workload);
  }

  /** Also those routes that lead over links which are others now. */
  #settleRoutes(): void {
    const ways = this.#currentWays();
    const text = JSON.stringify(ways);
    if (text !== this.#ways) for (const prefix of this.#wishes.keys()) this.#unsettled.add(prefix);
    this.#ways = text;
    for (const prefix of this.#unsettled) {
      const wish = this.#wishes.get(prefix);
      const route = wish && kernelRoute(prefix, wish, ways);
      if (route) this.#routes.want(prefix, route);
      else this.#routes.unwant(prefix);
    }
    this.#unsettled.clear();
  }

  #currentWays(): Ways {
    const { ipv4NormalRoutePriority, ipv6NormalRoutePriority } = this.#options.config;
    const direct = (version: IpVersion) => {
      const address = this.#ownNode?.addresses[version];
      return address && this.#links.holderOf(address)?.index;
    };
    return {
      vxlan: { 4: this.#vxlan[4].link?.index, 6: this.#vxlan[6].link?.index },
      ipip: this.#ipip.link?.index,
      direct: { 4: direct(4), 6: direct(6) },
      priority: { 4: ipv4NormalRoutePriority, 6: ipv6NormalRoutePriority },
      hostAddresses: this.#hostAddresses(),
    };
  }

  /** Those of subnets; a tunnel's own is one address, and lies in a block of ours by right. */
  #hostAddresses(): Ip[] {
    const found: Ip[] = [];
    const tunnels: ReadonlySet<string> = new Set([...Object.values(VXLAN_DEVICES), IPIP_DEVICE]);
    for (const { index, name } of this.#links.all()) {
      if (tunnels.has(name)) continue;
      for (const { ip, scope } of this.#links.addressesOf(index)) if (scope !== "link") found.push(ip);
    }
    return found.sort();
  }

  #owns({ table = RouteTable.MAIN, protocol, interfaceIndex }: Route): boolean {
    if (table !== RouteTable.MAIN || protocol !== FELIX_ROUTE_PROTOCOL) return false;
    return !this.#links.isWorkload(interfaceIndex);
  }

  #attempt(what: string, work: () => void): void {
    try {
      work();
      this.#note(what, undefined);
    } catch (error) {
      this.#note(what, (error as Error).message);
    }
  }

  #report(message: string, failures: readonly RouteFailure[]): void {
    const texts = failures
      .slice(0, REPORTED_ROUTES)
      .map(
        ({ route, error }) =>
          `${route.destination}: ${error?.message ?? "another program's route holds the place"}`,
      );
    this.#note(message, texts.length > 0 ? `${message}: ${texts.join("; ")}` : undefined);
  }

  /** Said once, when it begins and when it is over. */
  #note(what: string, problem: string | undefined): void {
    const { logger } = this.#options;
    if (this.#problems.get(what) === problem) return;
    if (problem !== undefined) {
      this.#problems.set(what, problem);
      logger.error({ problem }, "the way to other hosts is not as it should be");
    } else {
      logger.info({ was: this.#problems.get(what) }, "the way to other hosts is as it should be again");
      this.#problems.delete(what);
    }
  }
}

/** One that cannot be read fits nothing: then the host's MTU is Ethernet's. */
function pattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    return /^$/;
  }
}
