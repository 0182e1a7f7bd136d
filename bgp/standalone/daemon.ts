/**
 * The standalone daemon: a speaker that does what a configuration says, and goes over to another one without touching what is the
 * same in both.
 *
 *   file --read.ts--> Plan --apply--> Speaker (neighbors, routes)
 *                                       \--best paths--> kernel, where configured
 *
 * A speaker's own settings (AS, router id, where it listens) cannot change under its sessions: a plan with others starts a new one.
 */

import { BmpExporter, type BmpOptions, type NeighborEvent, Speaker, type SpeakerOptions } from "node-bgp";
import type { Logger } from "../../daemon/log.ts";
import type { BgpSource, NeighborOrigin } from "../queries.ts";
import type { Configuration } from "./configuration.ts";
import type { Plan, Planned } from "./plan.ts";
import type { Reading } from "./read.ts";

/** Puts best paths into the kernel as they change (install.ts). */
export interface RouteInstaller {
  /** There are routes of an earlier run. */
  readonly hasRoutes: boolean;
  readonly routeCount: number;
  follow(speaker: Speaker): void;
  /** `keep`: the routes stay for the next run. */
  stop(options: { readonly keep: boolean }): void;
}

/** As Calico's normal priority. */
const DEFAULT_METRIC = 1024;

export interface StandaloneOptions {
  readonly logger: Logger;
  /** Where the kernel's routes are kept; asked only where `kernel` is configured. */
  readonly createInstaller: (settings: {
    readonly metric: number;
    readonly table?: number | undefined;
  }) => Promise<RouteInstaller>;
  /** Default: a {@link BmpExporter}. */
  readonly createBmp?: (speaker: Speaker, options: BmpOptions) => { close(): void };
  /** Default: one on TCP sockets. */
  readonly createSpeaker?: (options: SpeakerOptions) => Speaker;
}

export interface Applied {
  readonly added: number;
  readonly changed: number;
  readonly removed: number;
  /** The speaker was started anew: every session was reset. */
  readonly restarted: boolean;
}

export class StandaloneDaemon implements BgpSource {
  readonly #log: Logger;
  readonly #options: StandaloneOptions;
  #installer: RouteInstaller | undefined;
  #bmp: { close(): void } | undefined;
  #configuration: Configuration;
  #plan: Plan;
  #speaker: Speaker | undefined;
  readonly #startedAt = Date.now();
  #configuredAt = Date.now();
  #kernelSettings = "false";

  constructor(first: Reading, options: StandaloneOptions) {
    this.#configuration = first.configuration;
    this.#plan = first.plan;
    this.#log = options.logger;
    this.#options = options;
  }

  get speaker(): Speaker | undefined {
    return this.#speaker;
  }

  get routerId(): string {
    return this.#configuration.routerId;
  }

  get startedAt(): number {
    return this.#startedAt;
  }

  get configuredAt(): number {
    return this.#configuredAt;
  }

  get kernelRoutes(): number | undefined {
    return this.#installer?.routeCount;
  }

  get configuration(): Configuration {
    return this.#configuration;
  }

  /** @throws BgpError `ListenFailed`, `SocketOption` */
  async start(): Promise<void> {
    const { neighbors, dynamic, routes } = this.#plan;
    await this.#useKernel();
    const options = this.#speakerOptions();
    const { createSpeaker = options => new Speaker(options) } = this.#options;
    const speaker = createSpeaker(options);
    this.#speaker = speaker;
    this.#installer?.follow(speaker);
    this.#tellCollectors(speaker);
    speaker.onNeighbor(event => this.#onNeighbor(event));
    speaker.onWarning(({ text, ...warning }) => this.#log.warn(warning, text));
    for (const { options } of neighbors.values()) speaker.addNeighbor(options);
    for (const { options } of dynamic.values()) speaker.addDynamicNeighbors(options);
    for (const route of routes.values()) speaker.announce(route);
    try {
      await speaker.start();
    } catch (error) {
      this.#speaker = undefined;
      await speaker.stop();
      throw error;
    }
    this.#log.info(
      { as: options.asn, routerId: options.routerId, port: speaker.port, peers: neighbors.size },
      "speaker started",
    );
  }

  /**
   * Goes over to another configuration. Where its speaker cannot start, the one before is started again.
   * @throws BgpError
   */
  async reload(next: Reading): Promise<Applied> {
    const before = { configuration: this.#configuration, plan: this.#plan };
    const speaker = this.#speaker;
    this.#use(next);
    if (speaker !== undefined && identity(before.plan) === identity(next.plan)) {
      await reconfigure(speaker, before.plan, next.plan).catch(error => {
        this.#use(before);
        throw error;
      });
      const applied = { ...applyNeighbors(speaker, before.plan, next.plan), restarted: false };
      applyRoutes(speaker, before.plan, next.plan);
      if (JSON.stringify(before.configuration.bmp) !== JSON.stringify(next.configuration.bmp))
        this.#tellCollectors(speaker);
      await this.#useKernel();
      return applied;
    }
    this.#speaker = undefined;
    await speaker?.stop({ message: "configuration changed" });
    try {
      await this.start();
    } catch (error) {
      this.#use(before);
      await this.start();
      throw error;
    }
    const { size } = next.plan.neighbors;
    return { added: size, changed: 0, removed: before.plan.neighbors.size, restarted: true };
  }

  /** As the configuration says: without a word, so that neighbors keep our routes, or with a reason. */
  async stop(): Promise<void> {
    const { stop, stopMessage } = this.#configuration;
    const speaker = this.#speaker;
    this.#speaker = undefined;
    this.#bmp?.close();
    await speaker?.stop({
      graceful: stop === "graceful",
      ...(stopMessage !== undefined && { message: stopMessage }),
    });
    this.#installer?.stop({ keep: stop === "graceful" });
  }

  /** Undefined when ready: no longer waiting for the neighbors of an earlier run. */
  notReady(): string | undefined {
    if (this.#speaker === undefined) return "not started";
    return this.#speaker.deferring ? "graceful restart: waiting for the neighbors" : undefined;
  }

  origin(address: string): NeighborOrigin {
    const name = this.#speaker?.neighbor(address)?.description;
    const source = this.#plan.neighbors.has(address) ? "file" : "dynamic";
    return { source, ...(name !== undefined && { name }) };
  }

  status(): unknown {
    const { as, routerId } = this.#configuration;
    return {
      mode: "standalone",
      identity: { asn: as, routerId, port: this.#speaker?.port },
      startedAt: this.#startedAt,
      announced: [...this.#plan.routes.keys()],
      ...(this.#installer !== undefined && { kernelRoutes: this.#installer.routeCount }),
      neighbors: this.#speaker?.neighbors() ?? [],
    };
  }

  /** Ends what collectors were told before, and begins what the configuration says. */
  #tellCollectors(speaker: Speaker): void {
    this.#bmp?.close();
    const { bmp } = this.#configuration;
    const { createBmp = (monitored, options) => new BmpExporter(monitored, options) } = this.#options;
    this.#bmp = bmp && createBmp(speaker, bmp);
  }

  #use({ configuration, plan }: Reading): void {
    this.#configuredAt = Date.now();
    this.#configuration = configuration;
    this.#plan = plan;
  }

  /** What was left in the kernel makes this start a restart: the neighbors are to be waited for before anything is swept. */
  #speakerOptions(): SpeakerOptions {
    const { speaker } = this.#plan;
    if (!this.#installer?.hasRoutes || speaker.gracefulRestart === false) return speaker;
    return { ...speaker, gracefulRestart: { ...speaker.gracefulRestart, restarting: true } };
  }

  /** Begins, changes or ends the installation of routes as configured. */
  async #useKernel(): Promise<void> {
    const { kernel = false } = this.#configuration;
    const wanted = JSON.stringify(kernel);
    if (wanted === this.#kernelSettings) return;
    this.#kernelSettings = wanted;
    this.#installer?.stop({ keep: false });
    this.#installer = undefined;
    if (kernel === false) return;
    const { metric = DEFAULT_METRIC, table } = kernel === true ? {} : kernel;
    this.#installer = await this.#options.createInstaller({ metric, table });
    if (this.#speaker) this.#installer.follow(this.#speaker);
  }

  #onNeighbor({ address, state, previous, error }: NeighborEvent): void {
    const neighbor = this.#plan.neighbors.get(address)?.options.description ?? address;
    const change = { neighbor, state, previous, reason: error?.text };
    if (state === "Established" || previous === "Established") this.#log.info(change, "neighbor");
    else this.#log.debug(change, "neighbor");
  }
}

/** What cannot change under sessions. */
function identity({ speaker: { listen: _listen, clusterId: _clusterId, ...rest } }: Plan): string {
  return JSON.stringify(rest);
}

/** What of the speaker itself can. @throws BgpError */
async function reconfigure(speaker: Speaker, before: Plan, next: Plan): Promise<void> {
  const { listen, clusterId, routerId } = next.speaker;
  const isListenNew = JSON.stringify(listen) !== JSON.stringify(before.speaker.listen);
  await speaker.reconfigure({
    clusterId: clusterId ?? routerId,
    ...(isListenNew && listen !== undefined && { listen }),
  });
}

function applyNeighbors(speaker: Speaker, before: Plan, next: Plan): Omit<Applied, "restarted"> {
  const peers = applyMap(before.neighbors, next.neighbors, {
    add: options => speaker.addNeighbor(options),
    update: options => speaker.updateNeighbor(options),
    remove: address => speaker.removeNeighbor(address),
  });
  const dynamic = applyMap(before.dynamic, next.dynamic, {
    add: options => speaker.addDynamicNeighbors(options),
    update: options => speaker.updateDynamicNeighbors(options),
    remove: prefix => speaker.removeDynamicNeighbors(prefix),
  });
  return {
    added: peers.added + dynamic.added,
    changed: peers.changed + dynamic.changed,
    removed: peers.removed + dynamic.removed,
  };
}

function applyMap<T>(
  before: ReadonlyMap<string, Planned<T>>,
  next: ReadonlyMap<string, Planned<T>>,
  apply: { add(options: T): void; update(options: T): void; remove(key: string): void },
): Omit<Applied, "restarted"> {
  let [added, changed, removed] = [0, 0, 0];
  for (const key of before.keys()) {
    if (next.has(key)) continue;
    apply.remove(key);
    removed++;
  }
  for (const [key, { options, fingerprint }] of next) {
    const known = before.get(key);
    if (known?.fingerprint === fingerprint) continue;
    if (known === undefined) {
      apply.add(options);
      added++;
    } else {
      apply.update(options);
      changed++;
    }
  }
  return { added, changed, removed };
}

function applyRoutes(speaker: Speaker, before: Plan, next: Plan): void {
  for (const prefix of before.routes.keys()) if (!next.routes.has(prefix)) speaker.withdraw(prefix);
  for (const [prefix, route] of next.routes) {
    if (JSON.stringify(before.routes.get(prefix)) !== JSON.stringify(route)) speaker.announce(route);
  }
}
