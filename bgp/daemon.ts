/**
 * The BGP daemon: datastore -> peerings, policies and own prefixes -> node-bgp; what node-bgp learns -> kernel.
 *
 *   datastore --Reflector--> BgpState --computePeerings---> Speaker neighbors
 *                               |  \---computeOrigination-> Speaker announcements, blackholes
 *                               |                                   ^ workload routes
 *   kernel  <----Kernel <--forwardingRoute-- Speaker best paths  |
 *      \-------- events ---------------------------------------------'
 *
 * Everything on the left may vanish at any time; what is in the kernel stays. After a start with our routes already in
 * the kernel the speaker announces itself as restarting, and stale routes go when it has converged.
 */

import { type Route, Speaker, type SpeakerOptions, type StopOptions } from "node-bgp";
import type { BGPConfiguration } from "../crd-schemas/index.ts";
import { type Backoff, jitteredBackoff } from "../daemon/backoff.ts";
import type { Clock } from "../daemon/clock.ts";
import type { Logger } from "../daemon/log.ts";
import type { Datastore } from "../datastore/datastore.ts";
import { keyText } from "../datastore/key.ts";
import { Reflector, type Update } from "../datastore/reflector.ts";
import type { Cidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import { ServiceFollower, WorkloadFollower } from "./followers.ts";
import { type ForwardingRoute, forwardingRoute, TUNNEL } from "./forwarding.ts";
import { effectiveConfiguration, type Identity, identityOf } from "./identity.ts";
import { interfacePrefixes } from "./interface-prefixes.ts";
import type { Kernel } from "./kernel.ts";
import { Neighbors } from "./neighbors.ts";
import { computeOrigination, type Origin } from "./origination.ts";
import type { PasswordSource } from "./passwords.ts";
import type { PeeringInput } from "./peering.ts";
import type { BgpSource, NeighborOrigin } from "./queries.ts";
import { type ServiceSource, serviceRoutes } from "./services.ts";
import { BgpState, merged, NOTHING, type Touched } from "./state.ts";
import { NO_VIEWS, viewsOf } from "./views.ts";

/** How long routes of an earlier run outlive neighbors that are not there: the usual restart time. */
const STALE_MS = 120_000;
const SWEEP_CHECK_MS = 1000;

/** Passwords are files that somebody mounts: they appear and change without an event of the datastore. */
const SECRETS_CHECK_MS = 10_000;

const NO_PREFIXES: ReadonlySet<Cidr> = new Set();

/** When the speaker could not start: the port or the address may be free or there later. */
const START_RETRY_MS = 5000;

export interface BgpDaemonOptions {
  readonly datastore: Datastore;
  readonly nodeName: string;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly kernel: Kernel;
  /** CALICO_ROUTER_ID: empty, `hash`, or a dotted quad. */
  readonly routerId?: string | undefined;
  /** FELIX_INTERFACEPREFIX: over what FelixConfigurations say. */
  readonly interfacePrefix?: string | undefined;
  /** What BGPConfiguration logSeverityScreen says, whenever it may have changed. */
  readonly onLogSeverity?: (severity: string | undefined) => void;
  readonly passwords: PasswordSource;
  /** Kubernetes services, where there are any. */
  readonly services?: ServiceSource | undefined;
  /** CALICO_K8S_NODE_REF: what endpoints of services call this node; default its name. */
  readonly kubernetesNodeName?: string | undefined;
  /** Default: one on TCP sockets. */
  readonly createSpeaker?: (options: SpeakerOptions) => Speaker;
}

export class BgpDaemon implements BgpSource {
  readonly #options: BgpDaemonOptions;
  readonly #log: Logger;
  readonly #state = new BgpState((key, message) =>
    this.#log.error({ key: keyText(key), message }, "a resource makes no sense and is ignored"),
  );
  readonly #kernel: Kernel;
  readonly #reflector: Reflector;
  readonly #neighbors: Neighbors;
  #views = NO_VIEWS;
  /** Routes were judged by the views of before. */
  #viewsChanged = false;
  readonly #stop = new AbortController();
  readonly startedAt: number;
  /** When something of the datastore was last acted on. */
  configuredAt: number;
  #speaker: Speaker | undefined;
  #identity: Identity | undefined;
  #origins: ReadonlyMap<Cidr, Origin> = new Map();
  #inSync = false;
  readonly #workloads: WorkloadFollower;
  #services: ServiceFollower | undefined;
  #restarting = false;
  /** Every neighbor has told this speaker all it has, or has had the time to: what it does not know is no route. */
  #complete = false;
  #changing: Promise<void> = Promise.resolve();
  /** What is still to be looked at again. */
  #pending: Touched = NOTHING;
  readonly #backoff: Backoff = jitteredBackoff();
  #retrying = false;

  constructor(options: BgpDaemonOptions) {
    this.#options = options;
    this.#log = options.logger;
    this.startedAt = this.configuredAt = options.clock.now();
    this.#kernel = options.kernel;
    this.#neighbors = new Neighbors({
      logger: options.logger,
      passwords: options.passwords,
      policies: {
        view: () => this.#views.policy,
        origin: prefix => this.#origins.get(prefix),
        interfaceTowards: nextHop => this.#kernel.interfaceTowards(nextHop),
      },
    });
    this.#workloads = new WorkloadFollower({
      ...this.#followerOptions,
      datastore: options.datastore,
      nodeName: options.nodeName,
      onChange: () => this.#react({ ...NOTHING, peerings: true }),
    });
    this.#reflector = new Reflector({
      datastore: options.datastore,
      queries: BgpState.queries(options.nodeName),
      onUpdates: updates => this.#onUpdates(updates),
      onStatus: status => {
        if (status === "in-sync") void this.#services?.known.then(() => this.#onInSync());
      },
      logger: options.logger,
      clock: options.clock,
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#kernel.start({
      onLocalChange: () => this.#originate(),
      onWaysChange: () => {
        if (this.#views.policy.asksInterface) this.#speaker?.refreshExports();
      },
    });
    this.#restarting = this.#kernel.hasRoutes;
    void this.#watchSecrets();
    this.#services = new ServiceFollower(this.#options.services, {
      ...this.#followerOptions,
      onChange: () => {
        if (this.#inSync) this.#react({ ...NOTHING, origination: true });
      },
    });
    try {
      await this.#reflector.run(signal);
    } finally {
      this.#stop.abort();
      await this.#changing;
      // Not a word to the neighbors: they keep our routes until the next start, as the kernel does.
      await this.#stopSpeaker({ graceful: true });
      this.#kernel.stop();
    }
  }

  /** Undefined while this node has no BGP address. */
  get speaker(): Speaker | undefined {
    return this.#speaker;
  }

  get kernelRoutes(): number {
    return this.#kernel.routeCount;
  }

  get routerId(): string | undefined {
    return this.#identity?.routerId;
  }

  origin(address: string): NeighborOrigin {
    const peering = this.#neighbors.peerings.find(known => known.address === address);
    return peering === undefined ? {} : { name: peering.name, source: peering.type };
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
      announced: [...this.#origins].flatMap(([prefix, { byDefault }]) => (byDefault ? [prefix] : [])),
      neighbors: [...this.#neighbors.peerings, ...this.#neighbors.waiting].map(
        ({ name, type, passive, address }) => ({
          name,
          type,
          passive,
          ...(this.#speaker?.neighbor(address) ?? { address, state: "Idle" }),
        }),
      ),
      problems: [
        ...[...this.#state.invalid].map(([key, message]) => `${key}: ${message}`),
        ...this.#neighbors.problems,
        ...this.#tunnelProblems(),
      ],
    };
  }

  #onUpdates(updates: readonly Update[]): void {
    const touched = this.#state.apply(updates);
    if (this.#inSync) this.#react(touched);
  }

  #serviceRoutes(): ReadonlySet<Cidr> {
    if (!this.#services?.state) return NO_PREFIXES;
    const { nodeName, kubernetesNodeName = nodeName } = this.#options;
    return serviceRoutes({
      ...this.#services.state,
      configuration: this.#configuration,
      nodeName: kubernetesNodeName,
      labels: this.#state.nodes.get(nodeName)?.metadata.labels ?? {},
    });
  }

  #onInSync(): void {
    this.#inSync = true;
    this.#log.info(
      { nodes: this.#state.nodes.size, blocks: this.#state.blocks.size },
      "in sync with the datastore",
    );
    this.#react({ peerings: true, exports: true, origination: true, interfaces: true });
  }

  /** Changes are worked off one after the other: starting and stopping a speaker takes time. */
  #react(touched: Touched): void {
    this.#pending = merged(this.#pending, touched);
    this.#changing = this.#changing.then(() => this.#workOff());
  }

  /** What fails is not lost: no event of the datastore would come for it a second time. */
  async #workOff(): Promise<void> {
    const touched = this.#pending;
    this.#pending = NOTHING;
    try {
      await this.#reactNow(touched);
      this.#backoff.reset();
    } catch (error) {
      this.#log.error({ err: error }, "could not follow a change of the datastore, trying again");
      this.#pending = merged(this.#pending, touched);
      void this.#retry();
    }
  }

  async #retry(): Promise<void> {
    if (this.#retrying) return;
    this.#retrying = true;
    await this.#options.clock.sleep(this.#backoff.next(), this.#stop.signal).catch(() => {});
    this.#retrying = false;
    if (!this.#stop.signal.aborted) this.#react(NOTHING);
  }

  async #reactNow(touched: Touched): Promise<void> {
    this.configuredAt = this.#options.clock.now();
    const { peerings, exports, origination, interfaces } = touched;
    if (interfaces) this.#readInterfacePrefixes();
    if (peerings || exports || origination) this.#readViews();
    if (peerings) {
      this.#workloads.setNeeded(
        [...this.#state.peers.values()].some(({ spec }) => spec?.localWorkloadSelector),
      );
      await this.#ensureSpeaker();
      this.#updateNeighbors();
    }
    if (peerings || origination) this.#originate();
    if (this.#viewsChanged) {
      this.#speaker?.refreshExports();
      this.#reinstall();
      this.#viewsChanged = false;
    }
  }

  #readInterfacePrefixes(): void {
    const { nodeName, interfacePrefix } = this.#options;
    this.#kernel.setInterfacePrefixes(
      interfacePrefixes(this.#state.felixConfigurations, nodeName, interfacePrefix),
    );
  }

  get #followerOptions() {
    const { logger, clock } = this.#options;
    return { logger, clock, signal: this.#stop.signal };
  }

  #tunnelProblems(): string[] {
    const { pools, programmed } = this.#views.forwarding;
    const needed = programmed.has("ipip") && pools.some(({ encapsulation }) => encapsulation === "ipip");
    if (!needed || this.#kernel.hasLink(TUNNEL)) return [];
    return [`IPIP pools: their routes wait for the device ${TUNNEL}, which the kernel's ipip module brings`];
  }

  get #configuration(): NonNullable<BGPConfiguration["spec"]> {
    return effectiveConfiguration(this.#state.configurations, this.#options.nodeName);
  }

  #readViews(): void {
    const { nodeName } = this.#options;
    const configuration = this.#configuration;
    this.#options.onLogSeverity?.(configuration.logSeverityScreen);
    const views = viewsOf(this.#state, nodeName, configuration, this.#views);
    if (views !== this.#views) this.#viewsChanged = true;
    this.#views = views;
  }

  get #peeringInput(): PeeringInput {
    const { nodes, peers, configurations } = this.#state;
    const { workloads } = this.#workloads;
    return { nodeName: this.#options.nodeName, nodes, peers, configurations, workloads };
  }

  async #ensureSpeaker(): Promise<void> {
    const wanted = identityOf(this.#peeringInput, this.#options.routerId);
    if (JSON.stringify(wanted) === JSON.stringify(this.#identity)) return;
    const { asn, routerId } = this.#identity ?? {};
    if (this.#speaker && wanted && wanted.asn === asn && wanted.routerId === routerId) {
      await this.#speaker.reconfigure({ listen: listenSetting(wanted), clusterId: clusterIdOf(wanted) });
      this.#log.info(wanted, "speaker reconfigured");
      this.#identity = wanted;
      return;
    }
    if (this.#speaker) {
      this.#log.info({ from: this.#identity, to: wanted }, "identity changed, starting the speaker anew");
      await this.#stopSpeaker({ message: "configuration changed" });
    }
    if (!wanted) {
      this.#log.warn(
        { node: this.#options.nodeName },
        "this node has no BGP address in the datastore; waiting for one",
      );
      return;
    }
    try {
      await this.#startSpeaker(wanted);
    } catch (error) {
      this.#log.error({ err: error, ...wanted }, "could not start the speaker, trying again");
      await this.#stopSpeaker({});
      void this.#retryStart();
    }
  }

  /** The kernel keeps what the speaker has learned. */
  async #stopSpeaker(options: StopOptions): Promise<void> {
    const speaker = this.#speaker;
    this.#speaker = undefined;
    this.#identity = undefined;
    this.#complete = false;
    this.#origins = new Map();
    await speaker?.stop(options);
  }

  async #retryStart(): Promise<void> {
    await this.#options.clock.sleep(START_RETRY_MS, this.#stop.signal).catch(() => {});
    if (!this.#stop.signal.aborted) this.#react({ ...NOTHING, peerings: true });
  }

  async #startSpeaker(wanted: Identity): Promise<void> {
    const { createSpeaker = options => new Speaker(options) } = this.#options;
    const speaker = createSpeaker({
      asn: wanted.asn,
      routerId: wanted.routerId,
      clusterId: clusterIdOf(wanted),
      listen: listenSetting(wanted),
      gracefulRestart: { restarting: this.#restarting, forwardingPreserved: true },
    });
    speaker.onRoutes(changes => {
      if (speaker !== this.#speaker) return;
      this.#kernel.setLearned(
        changes.map(({ prefix, best }) => [prefix as Cidr, best ? this.#forwarding(best) : undefined]),
      );
    });
    speaker.onNeighbor(({ address, state, previous, error }) => {
      const change = { neighbor: this.#neighbors.nameOf(address), state, previous, reason: error?.text };
      if (state === "Established" || previous === "Established") this.#log.info(change, "neighbor");
      else this.#log.debug(change, "neighbor");
    });
    speaker.onWarning(({ text, ...warning }) => this.#log.warn(warning, text));
    // What is ours must be known before the first neighbor asks, or a restart would look like a withdrawal.
    this.#speaker = speaker;
    this.#identity = wanted;
    this.#originate();
    this.#updateNeighbors();
    await speaker.start();
    this.#log.info(wanted, this.#restarting ? "speaker restarted" : "speaker started");
    this.#restarting = true;
    void speaker.ready.then(() => {
      if (speaker !== this.#speaker) return;
      this.#log.info({ routes: this.#kernel.routeCount }, "converged");
      void this.#sweepWhenComplete(speaker);
    });
  }

  /**
   * Routes of an earlier run go once every neighbor has told us all it has. One that is down cannot: its routes stay as
   * long as a neighbor of ours would keep ours (RFC 4724), since the hosts behind it may well be forwarding.
   */
  async #sweepWhenComplete(speaker: Speaker): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stop;
    const deadline = clock.now() + STALE_MS;
    while (clock.now() < deadline) {
      const waiting = this.#neighbors.waiting.length > 0;
      if (!waiting && speaker.neighbors().every(neighbor => neighbor.synchronized)) break;
      await clock.sleep(SWEEP_CHECK_MS, signal).catch(() => {});
      if (speaker !== this.#speaker || signal.aborted) return;
    }
    this.#complete = true;
    this.#reinstall();
    this.#kernel.sweep();
  }

  #updateNeighbors(): void {
    if (!this.#speaker) return;
    this.#neighbors.update(this.#speaker, this.#peeringInput);
    const gateways = new Map<Ip, Ip>();
    for (const { address, reachableBy } of this.#neighbors.peerings) {
      if (reachableBy !== undefined) gateways.set(address, reachableBy);
    }
    this.#kernel.setPeerGateways(gateways);
    const addresses = new Map<string, Ip[]>();
    for (const { interfaceName, localAddress } of this.#neighbors.peerings) {
      if (interfaceName === undefined || localAddress === undefined) continue;
      addresses.set(interfaceName, [...(addresses.get(interfaceName) ?? []), localAddress]);
    }
    this.#kernel.setLinkAddresses(addresses);
  }

  async #watchSecrets(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#options.clock.sleep(SECRETS_CHECK_MS, signal).catch(() => {});
      if (!signal.aborted && this.#neighbors.hasSecrets) this.#react({ ...NOTHING, peerings: true });
    }
  }

  #originate(): void {
    const speaker = this.#speaker;
    if (!speaker || !this.#inSync) return;
    const { origins, blackholes } = computeOrigination({
      blocks: [...this.#state.blocks],
      localRoutes: this.#kernel.localRoutes(),
      services: this.#serviceRoutes(),
      hostAddresses: this.#kernel.hostAddresses,
      pools: this.#views.policy.pools,
      normalPriority: this.#views.policy.normalPriority,
      programmed: this.#views.forwarding.programmed,
      ignoredInterfaces: this.#configuration.ignoredInterfaces ?? [],
      withAllLocalRoutes: this.#views.policy.acceptsMore,
    });
    const before = this.#origins;
    this.#origins = origins;
    for (const prefix of before.keys()) if (!origins.has(prefix)) speaker.withdraw(prefix);
    let judgedAnew = false;
    for (const [prefix, origin] of origins) {
      const former = before.get(prefix);
      if (preferenceOf(origin) !== preferenceOf(former))
        speaker.announce({ prefix, localPref: preferenceOf(origin) as number });
      // What the policies look at is not all part of the announcement.
      else if (JSON.stringify(origin) !== JSON.stringify(former)) judgedAnew = true;
    }
    if (judgedAnew) speaker.refreshExports();
    this.#kernel.setBlackholes(blackholes);
  }

  #forwarding(route: Route): ForwardingRoute | undefined {
    return forwardingRoute(route, this.#views.forwarding);
  }

  /**
   * Pools decide what may be installed: look at every best path again. Those of neighbors that are not back yet are
   * with the kernel alone, and stay.
   */
  #reinstall(): void {
    if (!this.#speaker || this.#speaker.deferring) return;
    const routes = new Map<Cidr, ForwardingRoute | undefined>();
    for (const route of this.#speaker.routes()) routes.set(route.prefix as Cidr, this.#forwarding(route));
    if (this.#complete) this.#kernel.replaceLearned(routes);
    else this.#kernel.setLearned(routes);
  }
}

/**
 * With which preference a route of ours competes with what is learned for the same prefix: what somebody else put into the
 * kernel counts less than anything learned, as in bird, where neighbors are told the other thing.
 */
function preferenceOf(origin: Origin | undefined): number | undefined {
  return origin?.kind === "foreign" || origin?.kind === "cluster" ? 0 : origin?.localPref;
}

function listenSetting({ port, addresses }: Identity): NonNullable<SpeakerOptions["listen"]> {
  return addresses === undefined ? { port } : { port, addresses };
}

function clusterIdOf({ clusterId, routerId }: Identity): string {
  return clusterId ?? routerId;
}
