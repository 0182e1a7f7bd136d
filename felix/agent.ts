/**
 * The host agent: datastore -> calculation -> dataplane.
 *
 *   Reflector --updates--> CalcGraph --changes--> Dataplane --> kernel
 *                                                    ^------------ kernel events (worker thread)
 *
 * The configuration that shapes the dataplane is read before it is built; when a change of it matters, the agent ends and
 * is started anew by its supervisor (as Felix does): what is in the kernel stays meanwhile.
 */

import type { IncomingMessage, ServerResponse } from "node:http";
import { release } from "node:os";
import { Registry } from "prom-client";
import type { Clock } from "../daemon/clock.ts";
import type { Logger } from "../daemon/log.ts";
import type { StatusSource } from "../daemon/status-server.ts";
import type { Datastore } from "../datastore/datastore.ts";
import { keyText } from "../datastore/key.ts";
import { Reflector, type Update } from "../datastore/reflector.ts";
import { Conntrack } from "../linux/conntrack.ts";
import { setTxChecksumOffload } from "../linux/ethtool.ts";
import { EventSubscription, type KernelEvent } from "../linux/events.ts";
import { Rtnetlink } from "../linux/rtnetlink.ts";
import { writeSysctl } from "../linux/sysctl.ts";
import { TrafficControl } from "../linux/traffic-control.ts";
import type { FelixConfig } from "./calc/config.ts";
import { FlowJudge } from "./calc/flow-judge.ts";
import { CalcGraph } from "./calc/graph.ts";
import { Bandwidth } from "./dataplane/bandwidth/bandwidth.ts";
import { choosePacketFilter, createPacketFilter, type PacketFilterKind } from "./dataplane/choose.ts";
import { Dataplane } from "./dataplane/dataplane.ts";
import { EndpointStatus } from "./dataplane/endpoint-status.ts";
import { EstablishedFlows } from "./dataplane/established-flows.ts";
import { HostInterfaces } from "./dataplane/host-interfaces.ts";
import { OutsideChanges } from "./dataplane/outside-changes.ts";
import { isChecksumOffloadBroken } from "./dataplane/overlay/checksum-offload.ts";
import { DEFAULT_MTU_FILE, writeMtuFile } from "./dataplane/overlay/mtu-file.ts";
import { OverlayNetwork } from "./dataplane/overlay/overlay-network.ts";
import type { PacketFilter } from "./dataplane/packet-filter.ts";
import { WorkloadLinks } from "./dataplane/workload-links.ts";
import { serveQueries } from "./flows/queries.ts";
import { type RunningFlowLog, startFlowLog } from "./flows/start.ts";
import { HostConfiguration } from "./host-configuration.ts";
import { FelixMetrics } from "./metrics.ts";
import { TunnelAddresses } from "./tunnel-addresses.ts";

const RESUBSCRIBE_MS = 1000;

export interface AgentOptions {
  readonly datastore: Datastore;
  readonly nodeName: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** The configuration changed in a way that needs a new start. */
export class ConfigChanged extends Error {
  readonly code = "CONFIG_CHANGED";
}

export class Agent implements StatusSource {
  readonly #options: AgentOptions;
  readonly #graph: CalcGraph;
  readonly #reflector: Reflector;
  readonly #configuration: HostConfiguration;
  #config: FelixConfig | undefined;
  #dataplane: Dataplane | undefined;
  #filterKind: PacketFilterKind | undefined;
  #overlay: OverlayNetwork | undefined;
  readonly #tunnelAddresses: TunnelAddresses;
  #filter: PacketFilter | undefined;
  #flows: RunningFlowLog | undefined;
  #inSync = false;
  /** Of each kind, up to which revision the kernel was seen to follow. */
  #applied: Readonly<Record<string, string>> = {};
  #ending = false;
  readonly #started: number;
  readonly metrics = new Registry();
  readonly #counters = new FelixMetrics(this.metrics);
  readonly #failed = Promise.withResolvers<never>();
  readonly #ready = Promise.withResolvers<FelixConfig>();

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#started = options.clock.now();
    this.#configuration = new HostConfiguration(options);
    this.#tunnelAddresses = new TunnelAddresses(options);
    this.#graph = new CalcGraph({
      nodeName: options.nodeName,
      onProblem: ({ key, message }) =>
        options.logger.error({ key: keyText(key), message }, "a resource makes no sense and is ignored"),
    });
    this.#reflector = new Reflector({
      datastore: options.datastore,
      queries: [...this.#graph.queries, { kind: "FelixConfiguration" }],
      onUpdates: updates => this.#onUpdates(updates),
      onStatus: status => {
        if (status === "in-sync") this.#onInSync();
      },
      logger: options.logger,
      clock: options.clock,
    });
  }

  /** Resolves with the configuration once the datastore has been read. */
  get configured(): Promise<FelixConfig> {
    return this.#ready.promise;
  }

  /** Until the signal aborts. @throws ConfigChanged, and what cannot be survived */
  async run(signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    const reflecting = this.#reflector.run(either);
    let running: Promise<void> | undefined;
    try {
      const config = await Promise.race([
        this.#ready.promise,
        reflecting.then(() => undefined),
        this.#failed.promise,
      ]);
      if (!config) return;
      void this.#tunnelAddresses.run(either);
      running = this.#runDataplane(config, either);
      await Promise.race([running, reflecting, this.#failed.promise]);
    } finally {
      stop.abort();
      // The next agent must not meet this one in the kernel: a commit that is on its way ends first.
      await Promise.allSettled([running, reflecting]);
    }
  }

  async #runDataplane(config: FelixConfig, signal: AbortSignal): Promise<void> {
    const { logger, clock } = this.#options;
    using rtnetlink = Rtnetlink.open();
    using trafficControl = TrafficControl.open();
    using conntrack = Conntrack.open();
    using outside = OutsideChanges.open();
    const interfaces = new HostInterfaces({ rtnetlink, interfacePrefix: config.interfacePrefix });
    const overlay = new OverlayNetwork({
      rtnetlink,
      config,
      logger,
      onWorkloadMtu: mtu => this.#sayMtu(mtu),
      ...(isChecksumOffloadBroken(config.featureDetectOverride, release()) && {
        onDevice: (name: string) => setTxChecksumOffload(name, false),
      }),
    });
    this.#overlay = overlay;
    const kind = await choosePacketFilter(config);
    this.#filterKind = kind;
    logger.info(`filtering packets with ${kind}`);
    const filter = await createPacketFilter(kind, config, { logger, clock });
    await using ending = new AsyncDisposableStack();
    // However this ends: the next agent may write the rules that this one is removing.
    ending.defer(() => filter.close?.());
    this.#filter = filter;
    const dataplane = new Dataplane({
      filter,
      links: new WorkloadLinks({ rtnetlink, conntrack, config, logger, clock }),
      parts: [
        overlay,
        new Bandwidth({ rtnetlink, trafficControl, interfacePrefix: config.interfacePrefix, logger }),
      ],
      ...(config.establishedFlows === "Follow" && {
        flows: new EstablishedFlows({
          judge: new FlowJudge({ membership: this.#graph.membership, config }),
          conntrack,
          host: () => interfaces.view(),
          logger,
          clock,
          onCut: count => this.#counters.cut(count),
        }),
      }),
      status: new EndpointStatus(config.endpointStatusPathPrefix),
      config: kind === "nftables" ? ofNftables(config) : config,
      generation: of => outside.generation(of),
      logger,
      clock,
      onApplied: pass => {
        // Not before: a host that forwards without our rules forwards everything.
        if (pass.ok && config.ipForwarding) enableForwarding(config);
        this.#counters.applied(pass);
      },
    });
    let events: EventSubscription | undefined;
    const noteEvents = (batch: readonly KernelEvent[]) => {
      dataplane.noteKernelEvents(batch);
      if (!interfaces.noteEvents(batch)) return;
      this.#graph.setHostInterfaces(interfaces.list());
      this.#handOver();
    };
    /** Not at once: what ended one subscription may end the next, and that would be all we do. */
    const subscribeAgain = async () => {
      await clock.sleep(RESUBSCRIBE_MS, signal).catch(() => {});
      if (signal.aborted) return;
      subscribe();
      noteEvents([{ type: "overflow" }]);
    };
    const subscribe = () => {
      events = EventSubscription.open({
        groups: ["link", "address", "route", "neighbour", "traffic-control"],
        onEvents: noteEvents,
        onFailure: error => {
          logger.error({ err: error }, "kernel events stopped, subscribing again");
          void subscribeAgain();
        },
      });
    };
    subscribe();
    try {
      this.#dataplane = dataplane;
      if (config.flowLogsLocalReporter) {
        const { datastore } = this.#options;
        const windowMs = config.flowLogsFlushInterval;
        this.#flows = startFlowLog({
          datastore,
          windowMs,
          metrics: this.#counters,
          judgeStaged: (direction, packet) => this.#graph.judgeStaged(direction, packet),
          clock,
          logger,
        });
      }
      // After the subscription stands, so that nothing falls in between.
      interfaces.read();
      this.#graph.setHostInterfaces(interfaces.list());
      this.#handOver();
      this.#counters.holds(this.#graph.sizes);
      dataplane.start();
      await dataplane.run(signal);
    } finally {
      events?.stop();
      await this.#flows?.stop();
    }
  }

  #handOver(): void {
    if (!this.#dataplane) return;
    const changes = this.#graph.drain();
    this.#flows?.log.noteChanges(changes);
    this.#dataplane.update(changes);
  }

  /** For those who plug workloads in; without it they take a default. */
  #sayMtu(mtu: number): void {
    const { env, logger } = this.#options;
    const path = env["CALICO_MTU_FILE"] ?? DEFAULT_MTU_FILE;
    try {
      writeMtuFile(path, mtu);
    } catch (error) {
      logger.error({ err: error, path }, "could not say what MTU workloads may have");
    }
  }

  #onUpdates(updates: readonly Update[]): void {
    const begun = performance.now();
    this.#graph.apply(updates);
    this.#tunnelAddresses.noteUpdates(updates);
    const configTouched = this.#configuration.noteUpdates(updates);
    if (!this.#inSync) return;
    if (configTouched) this.#checkConfig();
    this.#handOver();
    this.#counters.calculated(performance.now() - begun);
    this.#counters.holds(this.#graph.sizes);
  }

  #onInSync(): void {
    this.#inSync = true;
    this.#config = this.#configuration.resolve();
    this.#graph.configure(this.#config);
    const seconds = (this.#options.clock.now() - this.#started) / 1000;
    // Which of the policies anybody here needs is found out when the dataplane asks.
    const { policies, localEndpoints, hostEndpoints } = this.#graph.sizes;
    const read = { policies, localEndpoints, hostEndpoints, seconds };
    this.#options.logger.info(read, "in sync with the datastore");
    this.#ready.resolve(this.#config);
  }

  #checkConfig(): void {
    const now = this.#configuration.resolve();
    if (JSON.stringify(now) === JSON.stringify(this.#config)) return;
    this.#ending = true;
    this.#failed.reject(new ConfigChanged("the configuration changed"));
  }

  serve(request: IncomingMessage, response: ServerResponse): boolean {
    const counters = async () => {
      if (!this.#filter) throw new Error(this.readiness());
      return await this.#filter.counters();
    };
    return serveQueries({ flowLog: this.#flows?.log, counters }, request, response);
  }

  liveness(): string | undefined {
    return undefined;
  }

  readiness(): string | undefined {
    if (!this.#inSync) return "waiting for the datastore";
    return this.#dataplane ? this.#dataplane.failure : "starting the dataplane";
  }

  status(): unknown {
    if (this.#dataplane?.settled && !this.#ending) {
      const told = [...this.#reflector.progress].map(([query, revision]) => [query.kind, revision]);
      this.#applied = Object.fromEntries(told);
    }
    return {
      node: this.#options.nodeName,
      inSync: this.#inSync,
      connected: this.#reflector.connected,
      ready: this.readiness() ?? true,
      packetFilter: this.#filterKind,
      problems: this.#overlay?.problems ?? [],
      applied: this.#applied,
      ...this.#graph.sizes,
    };
  }
}

function enableForwarding(config: FelixConfig): void {
  writeSysctl("net/ipv4/ip_forward", 1);
  if (config.ipv6Support) writeSysctl("net/ipv6/conf/all/forwarding", 1);
}

/** nftables has its sets in its table: one look at both. */
function ofNftables(config: FelixConfig): FelixConfig {
  return { ...config, iptablesRefreshInterval: config.nftablesRefreshInterval, ipsetsRefreshInterval: 0 };
}
