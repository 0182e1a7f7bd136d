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

import type { Route, Speaker, SpeakerOptions } from "node-bgp";
import type { BGPConfiguration } from "../crd-schemas/index.ts";
import type { Clock } from "../daemon/clock.ts";
import type { Logger } from "../daemon/log.ts";
import type { Datastore } from "../datastore/datastore.ts";
import { keyText } from "../datastore/key.ts";
import { Reflector, type Update } from "../datastore/reflector.ts";
import type { Cidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import { Announcements } from "./announcements.ts";
import { ChangeQueue } from "./change-queue.ts";
import { ServiceFollower, WorkloadFollower } from "./followers.ts";
import { type ForwardingRoute, forwardingRoute, TUNNEL } from "./forwarding.ts";
import { effectiveConfiguration, identityOf } from "./identity.ts";
import { interfacePrefixes } from "./interface-prefixes.ts";
import type { Kernel } from "./kernel.ts";
import { Neighbors } from "./neighbors.ts";
import { computeOrigination } from "./origination.ts";
import type { PasswordSource } from "./passwords.ts";
import type { PeeringInput } from "./peering.ts";
import type { BgpSource, NeighborOrigin } from "./queries.ts";
import { type ServiceSource, serviceRoutes } from "./services.ts";
import { SpeakerLifecycle } from "./speaker-lifecycle.ts";
import { BgpState, NOTHING, type Touched } from "./state.ts";
import { NO_VIEWS, viewsOf } from "./views.ts";

/** How long routes of an earlier run outlive neighbors that are not there: the usual restart time. */
const STALE_MS = 120_000;
const SWEEP_CHECK_MS = 1000;

/** Passwords are files that somebody mounts: they appear and change without an event of the datastore. */
const SECRETS_CHECK_MS = 10_000;

const NO_PREFIXES: ReadonlySet<Cidr> = new Set();

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
  readonly #lifecycle: SpeakerLifecycle;
  readonly #changes: ChangeQueue;
  readonly #announcements = new Announcements();
  #inSync = false;
  readonly #workloads: WorkloadFollower;
  #services: ServiceFollower | undefined;
  /** Every neighbor has told this speaker all it has, or has had the time to: what it does not know is no route. */
  #complete = false;

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
        origin: prefix => this.#announcements.origin(prefix),
        interfaceTowards: nextHop => this.#kernel.interfaceTowards(nextHop),
      },
    });
    this.#changes = new ChangeQueue({ ...this.#followerOptions, act: touched => this.#act(touched) });
    this.#lifecycle = new SpeakerLifecycle({
      ...this.#followerOptions,
      nodeName: options.nodeName,
      createSpeaker: options.createSpeaker,
      onCreated: speaker => this.#onCreated(speaker),
      onReady: speaker => {
        this.#log.info({ routes: this.#kernel.routeCount }, "converged");
        void this.#sweepWhenComplete(speaker);
      },
      onStopped: () => {
        this.#complete = false;
        this.#announcements.forget();
      },
      onRetry: () => this.#changes.add({ ...NOTHING, peerings: true }),
    });
    this.#workloads = new WorkloadFollower({
      ...this.#followerOptions,
      datastore: options.datastore,
      nodeName: options.nodeName,
      onChange: () => this.#changes.add({ ...NOTHING, peerings: true }),
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
        if (this.#views.policy.asksInterface) this.speaker?.refreshExports();
      },
    });
    this.#lifecycle.restarting = this.#kernel.hasRoutes;
    void this.#watchSecrets();
    this.#services = new ServiceFollower(this.#options.services, {
      ...this.#followerOptions,
      onChange: () => {
        if (this.#inSync) this.#changes.add({ ...NOTHING, origination: true });
      },
    });
    try {
      await this.#reflector.run(signal);
    } finally {
      this.#stop.abort();
      await this.#changes.worked;
      // Not a word to the neighbors: they keep our routes until the next start, as the kernel does.
      await this.#lifecycle.stop({ graceful: true });
      this.#kernel.stop();
    }
  }

  /** Undefined while this node has no BGP address. */
  get speaker(): Speaker | undefined {
    return this.#lifecycle.speaker;
  }

  get kernelRoutes(): number {
    return this.#kernel.routeCount;
  }

  get routerId(): string | undefined {
    return this.#lifecycle.identity?.routerId;
  }

  origin(address: string): NeighborOrigin {
    const peering = this.#neighbors.peerings.find(known => known.address === address);
    return peering === undefined ? {} : { name: peering.name, source: peering.type };
  }

  /** Undefined when ready: in sync, and the first routes are in. */
  notReady(): string | undefined {
    if (!this.#inSync) return "waiting for the datastore";
    if (!this.speaker) return `node ${this.#options.nodeName} has no BGP address yet`;
    return this.speaker.deferring ? "graceful restart: waiting for the neighbors" : undefined;
  }

  status(): unknown {
    return {
      node: this.#options.nodeName,
      inSync: this.#inSync,
      connected: this.#reflector.connected,
      identity: this.#lifecycle.identity ?? null,
      kernelRoutes: this.#kernel.routeCount,
      announced: this.#announcements.byDefault(),
      neighbors: [...this.#neighbors.peerings, ...this.#neighbors.waiting].map(
        ({ name, type, passive, address }) => ({
          name,
          type,
          passive,
          ...(this.speaker?.neighbor(address) ?? { address, state: "Idle" }),
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
    if (this.#inSync) this.#changes.add(touched);
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
    this.#changes.add({ peerings: true, exports: true, origination: true, interfaces: true });
  }

  async #act(touched: Touched): Promise<void> {
    this.configuredAt = this.#options.clock.now();
    const { peerings, exports, origination, interfaces } = touched;
    if (interfaces) this.#readInterfacePrefixes();
    if (peerings || exports || origination) this.#readViews();
    if (peerings) {
      this.#workloads.setNeeded(
        [...this.#state.peers.values()].some(({ spec }) => spec?.localWorkloadSelector),
      );
      await this.#lifecycle.follow(identityOf(this.#peeringInput, this.#options.routerId));
      this.#updateNeighbors();
    }
    if (peerings || origination) this.#originate();
    if (this.#viewsChanged) {
      this.speaker?.refreshExports();
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

  #onCreated(speaker: Speaker): void {
    speaker.onRoutes(changes => {
      if (speaker !== this.speaker) return;
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
    this.#originate();
    this.#updateNeighbors();
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
      if (speaker !== this.speaker || signal.aborted) return;
    }
    this.#complete = true;
    this.#reinstall();
    this.#kernel.sweep();
  }

  #updateNeighbors(): void {
    if (!this.speaker) return;
    this.#neighbors.update(this.speaker, this.#peeringInput);
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
      if (!signal.aborted && this.#neighbors.hasSecrets) this.#changes.add({ ...NOTHING, peerings: true });
    }
  }

  #originate(): void {
    const speaker = this.speaker;
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
    this.#announcements.update(speaker, origins);
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
    if (!this.speaker || this.speaker.deferring) return;
    const routes = new Map<Cidr, ForwardingRoute | undefined>();
    for (const route of this.speaker.routes()) routes.set(route.prefix as Cidr, this.#forwarding(route));
    if (this.#complete) this.#kernel.replaceLearned(routes);
    else this.#kernel.setLearned(routes);
  }
}
