/**
 * The BGP daemon: datastore -> peerings, policies and own prefixes -> node-bgp; what node-bgp learns -> kernel.
 *
 *   datastore --Reflector--> BgpState --computePeerings---> BgpSpeaker neighbors
 *                               |  \---computeOrigination-> BgpSpeaker announcements, blackholes
 *                               |                                   ^ workload routes
 *   kernel  <----Kernel <--forwardingRoute-- BgpSpeaker best paths  |
 *      \-------- events ---------------------------------------------'
 *
 * Everything on the left may vanish at any time; what is in the kernel stays. After a start with our routes already in
 * the kernel the speaker announces itself as restarting, and stale routes go when it has converged.
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BgpSpeaker, type NeighborOptions, type Route, type RoutePolicy } from "node-bgp";
import type { BGPConfiguration } from "../crd-schemas/index.ts";
import type { Clock } from "../daemon/clock.ts";
import type { Logger } from "../daemon/log.ts";
import type { Datastore } from "../datastore/datastore.ts";
import { Reflector, type Update } from "../datastore/reflector.ts";
import type { Cidr } from "../net/cidr.ts";
import { parseInterfaceAddress } from "../net/cidr.ts";
import { type ForwardingRoute, forwardingRoute } from "./forwarding.ts";
import { Kernel } from "./kernel.ts";
import { computeOrigination } from "./origination.ts";
import { computePeerings, DEFAULT_PORT, localAs, type Peering } from "./peering.ts";
import { poolViews } from "./pool-view.ts";
import { NORMAL_PRIORITY } from "./priority.ts";
import { exportPolicy, importPolicy, type PolicyView } from "./route-policy.ts";
import { BgpState, type Touched } from "./state.ts";

/** How long routes of an earlier run outlive neighbors that are not there: the usual restart time. */
const STALE_MS = 120_000;
const SWEEP_CHECK_MS = 1000;

/** Seconds between dials: hosts start together, and the one that dials first finds nobody listening yet. */
const CONNECT_RETRY_SECONDS = 2;

/** How long a passive side waits to be dialled before it dials itself: the other may not know of us yet. */
const PASSIVE_FALLBACK_SECONDS = 10;

export interface BgpDaemonOptions {
  readonly datastore: Datastore;
  readonly nodeName: string;
  readonly logger: Logger;
  readonly clock: Clock;
  /** CALICO_ROUTER_ID: empty, `hash`, or a dotted quad. */
  readonly routerId?: string | undefined;
  /** Where passwords are: `<directory>/<secret name>/<key>`. */
  readonly secretsDirectory: string;
  readonly interfacePrefixes: readonly string[];
}

/** What a speaker cannot change while it runs. */
interface Identity {
  readonly asn: number;
  readonly routerId: string;
  readonly port: number;
  readonly address: string | undefined;
  readonly clusterId: string | undefined;
}

export class BgpDaemon {
  readonly #options: BgpDaemonOptions;
  readonly #log: Logger;
  readonly #state = new BgpState();
  readonly #kernel: Kernel;
  readonly #reflector: Reflector;
  #speaker: BgpSpeaker | undefined;
  #identity: Identity | undefined;
  #view: PolicyView = { pools: [], filters: new Map(), configuration: {}, reflector: false };
  readonly #peerings = new Map<string, Peering>();
  readonly #announced = new Map<Cidr, number>();
  /** One policy function per list of filters, so that peerings with equal ones share what node-bgp computes for them. */
  readonly #policies = new Map<string, { export: RoutePolicy; import: RoutePolicy }>();
  readonly #problems = new Set<string>();
  #inSync = false;
  #restarting = false;
  #changing: Promise<void> = Promise.resolve();

  constructor(options: BgpDaemonOptions) {
    this.#options = options;
    this.#log = options.logger;
    this.#kernel = new Kernel({
      interfacePrefixes: options.interfacePrefixes,
      logger: options.logger,
      clock: options.clock,
      onLocalChange: () => this.#originate(),
    });
    this.#reflector = new Reflector({
      datastore: options.datastore,
      queries: BgpState.queries(options.nodeName),
      onUpdates: updates => this.#onUpdates(updates),
      onStatus: status => {
        if (status === "in-sync") this.#onInSync();
      },
      logger: options.logger,
      clock: options.clock,
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#kernel.start();
    this.#restarting = this.#kernel.hasRoutes;
    await this.#reflector.run(signal);
    await this.#changing;
    // Not a word to the neighbors: they keep our routes until the next start, as the kernel does.
    await this.#speaker?.stop({ graceful: true });
    this.#kernel.stop();
  }

  /** Undefined when ready: in sync, and the first routes are in. */
  notReady(): string | undefined {
    if (!this.#inSync) return "waiting for the datastore";
    if (!this.#speaker) return `node ${this.#options.nodeName} has no BGP address yet`;
    return this.#speaker.deferring ? "graceful restart: waiting for the neighbors" : undefined;
  }

  status(): unknown {
    return {
      node: this.#options.nodeName,
      inSync: this.#inSync,
      connected: this.#reflector.connected,
      identity: this.#identity ?? null,
      kernelRoutes: this.#kernel.routeCount,
      announced: [...this.#announced.keys()],
      neighbors: [...this.#peerings.values()].map(peering => ({
        name: peering.name,
        type: peering.type,
        passive: peering.passive,
        ...this.#speaker?.neighbor(peering.address),
      })),
      problems: [...this.#problems],
    };
  }

  #onUpdates(updates: readonly Update[]): void {
    const touched = this.#state.apply(updates);
    if (this.#inSync) this.#react(touched);
  }

  #onInSync(): void {
    this.#inSync = true;
    this.#log.info(
      { nodes: this.#state.nodes.size, blocks: this.#state.blocks.size },
      "in sync with the datastore",
    );
    this.#react({ peerings: true, policies: true, origination: true });
  }

  /** Changes are worked off one after the other: starting and stopping a speaker takes time. */
  #react(touched: Touched): void {
    this.#changing = this.#changing
      .then(() => this.#reactNow(touched))
      .catch(error => this.#log.error({ err: error }, "could not follow a change of the datastore"));
  }

  async #reactNow(touched: Touched): Promise<void> {
    if (touched.policies || touched.peerings) this.#view = this.#policyView();
    if (touched.peerings) {
      await this.#ensureSpeaker();
      this.#updateNeighbors();
    }
    if (touched.policies) {
      this.#speaker?.refreshExports();
      this.#speaker?.refreshImports();
      this.#reinstall();
    }
    this.#originate();
  }

  #policyView(): PolicyView {
    const { nodeName } = this.#options;
    return {
      pools: poolViews(this.#state.pools.values()),
      filters: this.#state.filters,
      configuration: effectiveConfiguration(this.#state.configurations, nodeName),
      reflector: Boolean(this.#state.nodes.get(nodeName)?.spec?.bgp?.routeReflectorClusterID),
    };
  }

  async #ensureSpeaker(): Promise<void> {
    const wanted = this.#wantedIdentity();
    if (JSON.stringify(wanted) === JSON.stringify(this.#identity)) return;
    if (this.#speaker) {
      this.#log.info({ from: this.#identity, to: wanted }, "identity changed, starting the speaker anew");
      await this.#speaker.stop({ message: "configuration changed" });
      this.#speaker = undefined;
      this.#peerings.clear();
      this.#announced.clear();
    }
    this.#identity = undefined;
    if (!wanted) {
      this.#log.warn(
        { node: this.#options.nodeName },
        "this node has no BGP address in the datastore; waiting for one",
      );
      return;
    }
    const speaker = new BgpSpeaker({
      asn: wanted.asn,
      routerId: wanted.routerId,
      listen:
        wanted.address === undefined ? { port: wanted.port } : { port: wanted.port, address: wanted.address },
      gracefulRestart: { restarting: this.#restarting, forwardingPreserved: true },
      ...(wanted.clusterId !== undefined && { clusterId: wanted.clusterId }),
    });
    speaker.onRoutes(changes => {
      if (speaker !== this.#speaker) return;
      this.#kernel.setLearned(
        changes.map(({ prefix, best }) => [prefix as Cidr, best ? this.#forwarding(best) : undefined]),
      );
    });
    speaker.onNeighbor(({ address, state, previous, error }) => {
      const name = this.#peerings.get(address)?.name;
      if (state === "Established" || previous === "Established") {
        this.#log.info({ neighbor: name ?? address, state, previous, reason: error?.text }, "neighbor");
      } else this.#log.debug({ neighbor: name ?? address, state, previous, reason: error?.text }, "neighbor");
    });
    speaker.onUpdateProblem(event => this.#log.warn(event, "malformed routes from a neighbor"));
    // What is ours must be known before the first neighbor asks, or a restart would look like a withdrawal.
    this.#speaker = speaker;
    this.#identity = wanted;
    this.#originate();
    this.#updateNeighbors();
    await speaker.start();
    this.#log.info(wanted, this.#restarting ? "speaker restarted" : "speaker started");
    void speaker.ready.then(() => {
      if (speaker !== this.#speaker) return;
      this.#reinstall();
      this.#log.info({ routes: this.#kernel.routeCount }, "converged");
      void this.#sweepWhenComplete(speaker);
    });
    this.#restarting = true;
  }

  /**
   * Routes of an earlier run go once every neighbor has told us all it has. One that is down cannot: its routes stay as
   * long as a neighbor of ours would keep ours (RFC 4724), since the hosts behind it may well be forwarding.
   */
  async #sweepWhenComplete(speaker: BgpSpeaker): Promise<void> {
    const deadline = this.#options.clock.now() + STALE_MS;
    while (speaker === this.#speaker && this.#options.clock.now() < deadline) {
      if (speaker.neighbors().every(neighbor => neighbor.synchronized)) break;
      await this.#options.clock.sleep(SWEEP_CHECK_MS);
    }
    if (speaker === this.#speaker) this.#kernel.sweep();
  }

  #wantedIdentity(): Identity | undefined {
    const { nodeName, routerId } = this.#options;
    const node = this.#state.nodes.get(nodeName);
    const bgp = node?.spec?.bgp;
    const v4 = bgp?.ipv4Address ? parseInterfaceAddress(bgp.ipv4Address)?.ip : undefined;
    const v6 = bgp?.ipv6Address ? parseInterfaceAddress(bgp.ipv6Address)?.ip : undefined;
    if (v4 === undefined && v6 === undefined) return undefined;
    const id =
      routerId === "hash" || (!routerId && v4 === undefined) ? hashedRouterId(nodeName) : routerId || v4;
    const { listenPort, bindMode } = this.#view.configuration;
    return {
      asn: localAs({
        nodeName,
        nodes: this.#state.nodes,
        peers: this.#state.peers,
        configurations: this.#state.configurations,
      }),
      routerId: id as string,
      port: listenPort ?? DEFAULT_PORT,
      address: bindMode === "NodeIP" ? (v4 ?? v6) : undefined,
      clusterId: bgp?.routeReflectorClusterID || undefined,
    };
  }

  #updateNeighbors(): void {
    const speaker = this.#speaker;
    if (!speaker) return;
    const { nodeName } = this.#options;
    const { nodes, peers, configurations } = this.#state;
    const { peerings, problems } = computePeerings({ nodeName, nodes, peers, configurations });
    this.#reportProblems(problems.map(({ peer, message }) => `BGPPeer ${peer}: ${message}`));
    const wanted = new Map(peerings.map(peering => [peering.address as string, peering]));
    for (const address of [...this.#peerings.keys()]) {
      if (wanted.has(address)) continue;
      this.#peerings.delete(address);
      speaker.removeNeighbor(address);
    }
    for (const [address, peering] of wanted) {
      const known = this.#peerings.get(address);
      if (known && JSON.stringify(known) === JSON.stringify(peering)) continue;
      this.#peerings.set(address, peering);
      const options = this.#neighborOptions(peering);
      if (known) speaker.updateNeighbor(options);
      else speaker.addNeighbor(options);
    }
  }

  #neighborOptions(peering: Peering): NeighborOptions {
    const policies = this.#policiesFor(peering.filters);
    const password = this.#password(peering);
    return {
      address: peering.address,
      asn: peering.asn,
      port: peering.port,
      localAsn: peering.localAsn,
      passive: peering.passive,
      passiveFallback: PASSIVE_FALLBACK_SECONDS,
      connectRetryTime: CONNECT_RETRY_SECONDS,
      reflectorClient: peering.reflectorClient,
      nextHopMode: peering.nextHopMode,
      importPolicy: policies.import,
      exportPolicy: policies.export,
      exportGroup: peering.filters.join(" "),
      description: peering.name,
      ...(peering.localAddress !== undefined && { localAddress: peering.localAddress }),
      ...(password !== undefined && { password }),
      ...(peering.ttlSecurity !== undefined && { ttlSecurity: peering.ttlSecurity }),
      ...(peering.allowedLocalAs !== undefined && { allowedLocalAs: peering.allowedLocalAs }),
      ...(peering.keepaliveSeconds !== undefined && {
        keepaliveTime: peering.keepaliveSeconds,
        holdTime: 3 * peering.keepaliveSeconds,
      }),
      ...(peering.restartSeconds !== undefined && { gracefulRestartTime: peering.restartSeconds }),
    };
  }

  #policiesFor(filters: readonly string[]): { export: RoutePolicy; import: RoutePolicy } {
    const key = filters.join(" ");
    let policies = this.#policies.get(key);
    if (!policies) {
      const view = () => this.#view;
      policies = { export: exportPolicy(view, filters), import: importPolicy(view, filters) };
      this.#policies.set(key, policies);
    }
    return policies;
  }

  #password(peering: Peering): string | undefined {
    if (!peering.passwordSecret) return undefined;
    const { name, key } = peering.passwordSecret;
    const path = join(this.#options.secretsDirectory, name, key);
    try {
      return readFileSync(path, "utf8").trimEnd();
    } catch (error) {
      this.#log.warn(
        { peering: peering.name, path, err: error },
        "password not readable: the session runs without one",
      );
      return undefined;
    }
  }

  #originate(): void {
    const speaker = this.#speaker;
    if (!speaker || !this.#inSync) return;
    const { announce, blackholes } = computeOrigination({
      blocks: [...this.#state.blocks],
      workloads: this.#kernel.workloads,
      pools: this.#view.pools,
      hostAddresses: this.#kernel.hostAddresses,
    });
    for (const prefix of [...this.#announced.keys()]) {
      if (announce.has(prefix)) continue;
      this.#announced.delete(prefix);
      speaker.withdraw(prefix);
    }
    for (const [prefix, { localPref }] of announce) {
      if (this.#announced.get(prefix) === localPref) continue;
      this.#announced.set(prefix, localPref);
      speaker.announce({ prefix, localPref });
    }
    this.#kernel.setBlackholes(blackholes);
  }

  #forwarding(route: Route): ForwardingRoute | undefined {
    return forwardingRoute(route, { pools: this.#view.pools, normalPriority: NORMAL_PRIORITY, rejected: [] });
  }

  /** Pools decide what may be installed: look at every best path again. */
  #reinstall(): void {
    if (!this.#speaker || this.#speaker.deferring) return;
    const routes = new Map<Cidr, ForwardingRoute>();
    for (const route of this.#speaker.routes()) {
      const forwarding = this.#forwarding(route);
      if (forwarding) routes.set(forwarding.prefix, forwarding);
    }
    this.#kernel.replaceLearned(routes);
  }

  #reportProblems(problems: readonly string[]): void {
    for (const problem of problems) {
      if (!this.#problems.has(problem)) this.#log.error({ problem }, "peering ignored");
    }
    this.#problems.clear();
    for (const problem of problems) this.#problems.add(problem);
  }
}

/** The node's object over the default one, for the fields a node may set (calico.md 2.12). */
function effectiveConfiguration(
  configurations: ReadonlyMap<string, BGPConfiguration>,
  nodeName: string,
): NonNullable<BGPConfiguration["spec"]> {
  const common = configurations.get("default")?.spec ?? {};
  const own = configurations.get(`node.${nodeName}`)?.spec ?? {};
  return {
    ...common,
    ...(own.listenPort !== undefined && { listenPort: own.listenPort }),
    ...(own.prefixAdvertisements && { prefixAdvertisements: own.prefixAdvertisements }),
    ...(own.communities && { communities: own.communities }),
  };
}

/** For nodes without an IPv4 address: four bytes of a hash, kept out of 0.x and multicast. */
function hashedRouterId(nodeName: string): string {
  const [a = 1, b = 0, c = 0, d = 1] = createHash("sha256").update(nodeName).digest();
  return [1 + (a % 223), b, c, d].join(".");
}
