/**
 * A BGP speaker: neighbors, their routes, our routes. This file is the public face; speaker-parts.ts is what is behind it, and the thinking is
 * in session/ (who is up) and rib/ (what is best, who is told).
 */

import type { BfdStatus } from "./bfd/bfd-service.ts";
import type { Clock } from "./clock.ts";
import { BgpError } from "./errors.ts";
import { localAttributes, localPrefix } from "./local-route.ts";
import { Cease } from "./message/constants.ts";
import { cease } from "./message/notification.ts";
import type {
  DynamicNeighborsOptions,
  DynamicNeighborsStatus,
  NeighborEvent,
  NeighborOptions,
  NeighborStatus,
} from "./neighbor.ts";
import { NeighborEvents, type NeighborEventsOptions } from "./neighbor-events.ts";
import type { NeighborTable } from "./neighbor-table.ts";
import type { PullQueue } from "./pull-queue.ts";
import type { RoutingTable } from "./rib/routing-table.ts";
import {
  type ExplainedPath,
  FAMILIES,
  type Family,
  type LocalRoute,
  type ReceivedRoute,
  type Route,
  type RouteChange,
  type SpeakerStatistics,
} from "./route.ts";
import { RouteChanges, type RouteChangesOptions } from "./route-changes.ts";
import type { SessionMonitor } from "./session/monitor.ts";
import { checkSpeakerOptions } from "./session/neighbor-config.ts";
import type { ReconfigureOptions, SpeakerOptions, StartOptions, StopOptions } from "./speaker-options.ts";
import { SpeakerParts } from "./speaker-parts.ts";
import type { Listening } from "./transport/listening.ts";
import type { SpeakerWarning } from "./warning.ts";

const CONNECTION_END_MS = 50;

type Phase = "new" | "starting" | "running" | "stopped";

export class Speaker implements AsyncDisposable {
  /**
   * Resolves once route selection is no longer deferred: at once after a cold start; after a restart when the neighbors have
   * sent End-of-RIB, or a cap is reached. What was learned until then has been given to onRoutes.
   */
  readonly ready: Promise<void>;
  readonly #parts: SpeakerParts;
  readonly #clock: Clock;
  readonly #table: RoutingTable;
  readonly #neighbors: NeighborTable;
  readonly #listening: Listening;
  readonly #readers = new Set<{ close(): void }>();
  #phase: Phase = "new";
  #ignoreSignal: (() => void) | undefined;

  /** Throws {@link OptionError}. */
  constructor(options: SpeakerOptions) {
    checkSpeakerOptions(options);
    const parts = new SpeakerParts(options);
    this.#parts = parts;
    this.ready = parts.ready;
    this.#clock = parts.clock;
    this.#table = parts.table;
    this.#neighbors = parts.neighbors;
    this.#listening = parts.listening;
  }

  /** Route selection waits for neighbors after a restart. */
  get deferring(): boolean {
    const hasNotBegun = this.#phase === "new" || this.#phase === "starting";
    return this.#parts.isRestart && (hasNotBegun || this.#parts.deferral !== undefined);
  }

  /** Where we listen; undefined while not started and with `listen: false`. */
  get port(): number | undefined {
    return this.#listening.port;
  }

  /** Addresses we listen on, and addresses that are waited for: this host does not have them yet. */
  get listening(): { readonly addresses: readonly string[]; readonly pending: readonly string[] } {
    return this.#listening.status();
  }

  /**
   * Listens, and dials the neighbors there are. A speaker is started once; the signal stops it, then or later. Throws {@link BgpError}
   * `ListenFailed` where the port cannot be had, `NativeMissing`, `PasswordRoom` or `SocketOption` where a password
   * cannot be set, `SpeakerState`, or the reason of the signal.
   */
  async start({ signal }: StartOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    if (this.#phase !== "new") throw stateError(this.#phase, "a speaker is started once");
    this.#phase = "starting";
    const abort = () => void this.stop();
    signal?.addEventListener("abort", abort, { once: true });
    this.#ignoreSignal = () => signal?.removeEventListener("abort", abort);
    try {
      await this.#parts.listen(this.#parts.options.listen);
    } catch (error) {
      if (this.#isIn("starting")) this.#phase = "new";
      this.#ignoreSignal();
      throw error;
    }
    signal?.throwIfAborted();
    if (!this.#isIn("starting")) throw stateError(this.#phase, "stopped while it was starting");
    this.#phase = "running";
    this.#parts.startDeferral();
    this.#neighbors.start();
  }

  /**
   * Closes all sessions, with Cease/Administrative Shutdown; where `graceful` so that neighbors that speak graceful restart keep our routes for the restart
   * time: silently, or with Cease/Administrative Reset to those that do not take a NOTIFICATION amiss (RFC 8538). Iterators end.
   */
  async stop(options: StopOptions = {}): Promise<void> {
    if (this.#phase === "stopped") return;
    this.#phase = "stopped";
    this.#ignoreSignal?.();
    this.#parts.deferral?.stop();
    const { graceful = false, message } = options;
    this.#neighbors.stop(peer => {
      if (graceful) peer.leave(cease(Cease.administrativeReset, message));
      else peer.stop(cease(Cease.administrativeShutdown, message));
    });
    this.#table.close();
    for (const reader of [...this.#readers]) reader.close();
    if (graceful) await this.#connectionsToEnd();
    for (const peer of this.#neighbors) peer.unwatch();
    await Promise.all([this.#parts.listen(false), this.#parts.ownBfd?.close()]);
  }

  /** frr and bird take the AdminDown of BFD for a failure: their connection has to have ended before. */
  async #connectionsToEnd(): Promise<void> {
    if (!Array.from(this.#neighbors).some(peer => peer.isWatched)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    // The end of a connection is sent with the I/O of the turn; the rest is for the way and for the neighbor.
    this.#clock.setTimeout(() => this.#clock.setImmediate(resolve), CONNECTION_END_MS);
    await promise;
  }

  /** `await using speaker = new Speaker(...)` stops it at the end of the block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /**
   * Changes settings of the speaker itself without touching a session: where it listens, and its cluster id, which holds from now on.
   * Throws {@link OptionError}, and {@link BgpError} as {@link start} does; then it listens where it did.
   */
  async reconfigure(options: ReconfigureOptions): Promise<void> {
    const { listen = this.#parts.options.listen, clusterId = this.#parts.clusterId } = options;
    checkSpeakerOptions({ ...this.#parts.options, clusterId, ...(listen === undefined ? {} : { listen }) });
    if (clusterId !== this.#parts.clusterId) {
      this.#parts.clusterId = clusterId;
      for (const peer of this.#neighbors) {
        peer.reconfigure(peer.config);
        // What was refused for the old one may pass now, and the other way round.
        peer.requestRefresh();
      }
    }
    if (options.listen === undefined) return;
    if (this.#isIn("starting") || this.#isIn("running")) {
      await this.#parts.listen(options.listen);
    }
    this.#parts.options = { ...this.#parts.options, listen: options.listen };
  }

  /**
   * Throws {@link OptionError}, and {@link BgpError} `NeighborExists`, or as {@link start} does for its password. A dynamic neighbor of this address
   * makes way.
   */
  addNeighbor(options: NeighborOptions): void {
    this.#neighbors.add(options);
  }

  /**
   * Replaces all options of a neighbor: in place, or with a new session where the session itself becomes another. Throws as
   * {@link addNeighbor} does, or `NeighborUnknown`; then the neighbor is as it was.
   */
  updateNeighbor(options: NeighborOptions): void {
    this.#neighbors.update(options);
  }

  /**
   * Ends the session with Cease/Peer De-configured, or Administrative Shutdown with your text (RFC 9003). A dynamic neighbor may come again. Throws
   * `NeighborUnknown`.
   */
  removeNeighbor(address: string, message?: string): void {
    this.#neighbors.remove(address, message);
  }

  /** Accepts neighbors from a prefix. Throws {@link OptionError}, `DynamicExists`, or as {@link start} does for the password. */
  addDynamicNeighbors(options: DynamicNeighborsOptions): void {
    this.#neighbors.addDynamic(options);
  }

  /**
   * Replaces all options of the dynamic neighbors of a prefix, for those that are there as {@link updateNeighbor} does it; who needs a new session
   * has to dial again. Throws as {@link addDynamicNeighbors} does, or `DynamicUnknown`.
   */
  updateDynamicNeighbors(options: DynamicNeighborsOptions): void {
    this.#neighbors.updateDynamic(options);
  }

  /** Ends the neighbors of the prefix as {@link removeNeighbor} does, and accepts no more. Throws `DynamicUnknown`. */
  removeDynamicNeighbors(prefix: string, message?: string): void {
    this.#neighbors.removeDynamic(prefix, message);
  }

  dynamicNeighbors(): DynamicNeighborsStatus[] {
    return this.#neighbors.dynamicStatus();
  }

  /**
   * Moves traffic away from a session before it is shut down, or back (RFC 8326), as `gracefulShutdown` does in its options; an operator's switch, which
   * updates of the options leave as it is. Throws `NeighborUnknown`.
   */
  setGracefulShutdown(address: string, on: boolean): void {
    this.#neighbors.setGracefulShutdown(address, on);
  }

  /** Ends the session with Cease/Administrative Reset; it comes back by itself. Throws `NeighborUnknown`. */
  resetNeighbor(address: string, message?: string): void {
    this.#neighbors.get(address).reset(cease(Cease.administrativeReset, message));
  }

  /** Originates a route, or replaces the one of the same prefix. Sent at the end of this turn of the event loop. Throws {@link OptionError}. */
  announce(route: LocalRoute): void {
    const prefix = localPrefix(route.prefix);
    this.#table.putLocal(prefix, localAttributes(route));
  }

  withdraw(prefix: string): void {
    this.#table.removeLocal(localPrefix(prefix));
  }

  /**
   * Changes of best routes, local ones included, at most one batch per turn of the event loop. Listeners are called in the turn in which
   * something happens and miss no step: they are for what must not lag behind the speaker, such as a kernel's table. Returns the function
   * that unsubscribes.
   */
  onRoutes(listener: (changes: readonly RouteChange[]) => void): () => void {
    return subscribe(this.#parts.routeListeners, listener);
  }

  /** States of neighbors, and why they changed. Returns the function that unsubscribes. */
  onNeighbor(listener: (event: NeighborEvent) => void): () => void {
    return subscribe(this.#parts.neighborListeners, listener);
  }

  /** Watches sessions and what they receive, as {@link BmpExporter} does. Returns the function that ends it. */
  monitor(monitor: SessionMonitor): () => void {
    for (const { monitored } of this.#neighbors) if (monitored !== undefined) monitor.up(monitored);
    return subscribe(this.#parts.monitors, monitor);
  }

  /** What is no error of a call and no state, by `code`. Returns the function that unsubscribes. */
  onWarning(listener: (warning: SpeakerWarning) => void): () => void {
    return subscribe(this.#parts.warningListeners, listener);
  }

  /**
   * Changes of best routes at the pace of whoever reads: one that is behind gets the latest state of each prefix, once. Ends when the speaker
   * stops; throws the reason of the signal when that is aborted.
   */
  routeChanges(options: RouteChangesOptions = {}): PullQueue<RouteChange> {
    const reader = new RouteChanges(this.#table.views, this.#clock, options);
    return this.#open(
      reader.queue,
      this.onRoutes(changes => reader.add(changes)),
    );
  }

  /** States of neighbors at the pace of whoever reads: one that is far behind gets the last event of each neighbor. Ends as {@link routeChanges} does. */
  neighborEvents(options: NeighborEventsOptions = {}): PullQueue<NeighborEvent> {
    const reader = new NeighborEvents(this.#clock, options);
    return this.#open(
      reader.queue,
      this.onNeighbor(event => reader.add(event)),
    );
  }

  /**
   * Resolves when the neighbor is Established, at once where it is. Throws `NeighborUnknown`, also when it is removed meanwhile;
   * `SpeakerState` when the speaker stops; the reason of the signal when that is aborted.
   */
  async established(address: string, options: NeighborEventsOptions = {}): Promise<NeighborStatus> {
    await using events = this.neighborEvents(options);
    for (;;) {
      const status = this.#neighbors.get(address).status();
      if (status.state === "Established") return status;
      const { done } = await events.next();
      if (done) throw stateError(this.#phase, "stopped while waiting for a neighbor");
    }
  }

  neighbors(): NeighborStatus[] {
    return Array.from(this.#neighbors, peer => peer.status());
  }

  /** The BFD thread: how it runs, what it drops. Undefined where no neighbor has needed it yet. */
  get bfd(): BfdStatus | undefined {
    return this.#parts.ownBfd?.status() ?? this.#parts.options.bfd?.status?.();
  }

  neighbor(address: string): NeighborStatus | undefined {
    return this.#neighbors.find(address)?.status();
  }

  /** The best routes. */
  routes(family?: Family): IterableIterator<Route> {
    return this.#table.views.routes(family);
  }

  /** The best route of a prefix, exactly. */
  route(prefix: string): Route | undefined {
    return this.#table.views.best(localPrefix(prefix));
  }

  /** Every path to a prefix, the best one first. */
  paths(prefix: string): Route[] {
    return this.#table.views.paths(localPrefix(prefix));
  }

  /** Every path to a prefix in the order in which they would win, with the step of the decision at which each lost. */
  explain(prefix: string): ExplainedPath[] {
    return this.#table.views.explain(localPrefix(prefix));
  }

  statistics(): SpeakerStatistics {
    return this.#table.views.statistics();
  }

  /**
   * What a neighbor has sent (Adj-RIB-In): as its import policy left it, or with `before` as it was sent, which is kept with
   * `softReconfiguration`. Throws `NeighborUnknown`.
   */
  received(
    address: string,
    family?: Family,
    view: "before" | "after" = "after",
  ): IterableIterator<ReceivedRoute> {
    const peer = this.#neighbors.get(address);
    return (function* () {
      for (const each of family === undefined ? FAMILIES : [family]) yield* peer.received(each, view);
    })();
  }

  /** What a neighbor has been, or is being, told. */
  advertised(address: string): IterableIterator<Route> {
    return this.#neighbors.get(address).advertised();
  }

  /** The export policy answers differently now: evaluates it again, and sends what changed. */
  refreshExports(address?: string): void {
    if (address === undefined) this.#table.refreshExports();
    else this.#neighbors.get(address).refreshExports();
  }

  /**
   * The import policy answers differently now: it is asked again about what was kept (`softReconfiguration`), or the neighbors are asked to
   * send everything again (ROUTE-REFRESH).
   */
  refreshImports(address?: string): void {
    for (const peer of address === undefined ? this.#neighbors : [this.#neighbors.get(address)])
      peer.refreshImports();
  }

  /** TypeScript takes a phase that was checked once for settled. */
  #isIn(phase: Phase): boolean {
    return this.#phase === phase;
  }

  #open<T>(queue: PullQueue<T>, unsubscribe: () => void): PullQueue<T> {
    this.#readers.add(queue);
    queue.whenClosed(() => {
      unsubscribe();
      this.#readers.delete(queue);
    });
    if (this.#isIn("stopped")) queue.close();
    return queue;
  }
}

function subscribe<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function stateError(phase: Phase, text: string): BgpError {
  return new BgpError({ code: "SpeakerState", phase }, text);
}
