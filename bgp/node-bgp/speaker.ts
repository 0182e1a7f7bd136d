/**
 * A BGP speaker: neighbors, their routes, our routes. This file is the public face and wires the rooms together; the thinking is in
 * session/ (who is up) and rib/ (what is best, who is told).
 */

import { canonicalAddress, parseAddress } from "./address.ts";
import { type Clock, systemClock } from "./clock.ts";
import { BgpError } from "./errors.ts";
import { localAttributes, localPrefix } from "./local-route.ts";
import { Cease, NotificationCode } from "./message/constants.ts";
import { encodeShutdownText, type NotificationMessage } from "./message/notification.ts";
import type { NeighborEvent, NeighborOptions, NeighborStatus, UpdateProblemEvent } from "./neighbor.ts";
import { RoutingTable } from "./rib/routing-table.ts";
import type { Family, LocalRoute, Route, RouteChange } from "./route.ts";
import {
  checkSpeakerOptions,
  DEFAULT_PORT,
  type NeighborConfig,
  needsNewSession,
  neighborConfig,
} from "./session/neighbor-config.ts";
import { Peer } from "./session/peer.ts";
import type { PeerEnvironment } from "./session/peer-environment.ts";
import { SelectionDeferral } from "./session/selection-deferral.ts";
import type { SpeakerOptions, StopOptions } from "./speaker-options.ts";
import { tcpTransport } from "./transport/tcp.ts";
import type { Connection, Listener, Transport } from "./transport/transport.ts";
import { TurnBudget } from "./turn-budget.ts";

/** With what the RIB takes in the same turn, below the 10 ms that keepalives can wait for. */
const READING_MS_PER_TURN = 4;
const DEFAULT_ESTABLISH_WAIT = 5;
const DEFAULT_DEFERRAL_TIME = 30;

export class Speaker {
  /**
   * Resolves once route selection is no longer deferred: at once after a cold start; after a restart when the neighbors have
   * sent End-of-RIB, or a cap is reached. What was learned until then has been given to onRoutes.
   */
  readonly ready: Promise<void>;
  readonly #resolveReady: () => void;
  readonly #options: SpeakerOptions;
  readonly #clock: Clock;
  readonly #transport: Transport;
  readonly #table: RoutingTable;
  readonly #environment: PeerEnvironment;
  readonly #peers = new Map<string, Peer>();
  readonly #routeListeners = new Set<(changes: readonly RouteChange[]) => void>();
  readonly #neighborListeners = new Set<(event: NeighborEvent) => void>();
  readonly #problemListeners = new Set<(event: UpdateProblemEvent) => void>();
  #deferral: SelectionDeferral | undefined;
  #listeners: Listener[] = [];
  #phase: "new" | "starting" | "running" | "stopped" = "new";

  /** Throws {@link OptionError}. */
  constructor(options: SpeakerOptions) {
    checkSpeakerOptions(options);
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#transport = options.transport ?? tcpTransport;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ready = promise;
    this.#resolveReady = resolve;
    this.#table = new RoutingTable({
      clock: this.#clock,
      deferred: this.#isRestart,
      onChanges: changes => {
        for (const listener of this.#routeListeners) listener(changes);
      },
    });
    const restart = options.gracefulRestart || {};
    this.#environment = {
      clock: this.#clock,
      random: options.random ?? Math.random,
      transport: this.#transport,
      reading: new TurnBudget(this.#clock, READING_MS_PER_TURN),
      table: this.#table,
      routerId: options.routerId,
      clusterId: options.clusterId ?? options.routerId,
      forwardingPreserved: restart.forwardingPreserved ?? true,
      deferral: () => this.#deferral,
      onNeighbor: event => {
        for (const listener of this.#neighborListeners) listener(event);
      },
      onUpdateProblem: event => {
        for (const listener of this.#problemListeners) listener(event);
      },
    };
  }

  get #isRestart(): boolean {
    const { gracefulRestart } = this.#options;
    return gracefulRestart !== false && gracefulRestart?.restarting === true;
  }

  /** Route selection waits for neighbors after a restart. */
  get deferring(): boolean {
    const hasNotBegun = this.#phase === "new" || this.#phase === "starting";
    return this.#isRestart && (hasNotBegun || this.#deferral !== undefined);
  }

  /** Where we listen; undefined while not started and with `listen: false`. */
  get port(): number | undefined {
    return this.#listeners[0]?.port;
  }

  /** Throws {@link BgpError} `ListenFailed` where the port cannot be had, `SocketOption` where a password cannot be set. */
  async start(): Promise<void> {
    if (this.#phase !== "new") throw new BgpError("State", "a speaker is started once");
    this.#phase = "starting";
    try {
      await this.#listen();
    } catch (error) {
      this.#phase = "new";
      throw error;
    }
    this.#phase = "running";
    this.#startDeferral();
    for (const peer of this.#peers.values()) {
      this.#deferral?.neighborAdded(peer.config.address);
      peer.start();
    }
  }

  /**
   * Closes all sessions, with Cease/Administrative Shutdown, or silently where `graceful`: neighbors that speak graceful restart then keep our routes for
   * the restart time.
   */
  async stop(options: StopOptions = {}): Promise<void> {
    if (this.#phase === "stopped") return;
    this.#phase = "stopped";
    this.#deferral?.stop();
    const sent = options.graceful ? undefined : cease(Cease.administrativeShutdown, options.message);
    for (const peer of this.#peers.values()) peer.stop(sent);
    this.#table.close();
    await this.#stopListening();
  }

  /** Throws {@link OptionError}, also where the neighbor exists already. */
  addNeighbor(options: NeighborOptions): void {
    const config = neighborConfig(options, this.#options);
    if (this.#peers.has(config.address))
      throw new BgpError("State", `neighbor ${config.address} exists already`);
    this.#add(config);
  }

  /** Replaces all options of a neighbor. Policies and export settings change in place, anything else with a new session. */
  updateNeighbor(options: NeighborOptions): void {
    const config = neighborConfig(options, this.#options);
    const peer = this.#peer(config.address);
    if (!needsNewSession(peer.config, config)) {
      peer.reconfigure(config);
      return;
    }
    this.#remove(peer, cease(Cease.otherConfigurationChange));
    this.#add(config);
  }

  removeNeighbor(address: string, message?: string): void {
    this.#remove(this.#peer(address), cease(Cease.peerDeconfigured, message));
  }

  /** Ends the session with Cease/Administrative Reset; it comes back by itself. */
  resetNeighbor(address: string, message?: string): void {
    this.#peer(address).reset(cease(Cease.administrativeReset, message));
  }

  /** Originates a route, or replaces the one of the same prefix. Sent at the end of this turn of the event loop. */
  announce(route: LocalRoute): void {
    const prefix = localPrefix(route.prefix);
    this.#table.putLocal(prefix, localAttributes(route));
  }

  withdraw(prefix: string): void {
    this.#table.removeLocal(localPrefix(prefix));
  }

  /** At most one batch per turn of the event loop; local routes included. Returns the function that unsubscribes. */
  onRoutes(listener: (changes: readonly RouteChange[]) => void): () => void {
    this.#routeListeners.add(listener);
    return () => this.#routeListeners.delete(listener);
  }

  onNeighbor(listener: (event: NeighborEvent) => void): () => void {
    this.#neighborListeners.add(listener);
    return () => this.#neighborListeners.delete(listener);
  }

  /** UPDATEs that were wrong without being worth the session (RFC 7606). */
  onUpdateProblem(listener: (event: UpdateProblemEvent) => void): () => void {
    this.#problemListeners.add(listener);
    return () => this.#problemListeners.delete(listener);
  }

  neighbors(): NeighborStatus[] {
    return [...this.#peers.values()].map(peer => peer.status());
  }

  neighbor(address: string): NeighborStatus | undefined {
    return this.#peers.get(canonicalAddress(address) ?? address)?.status();
  }

  /** The best routes. */
  routes(family?: Family): IterableIterator<Route> {
    return this.#table.routes(family);
  }

  /** Every path to a prefix, the best one first. */
  paths(prefix: string): Route[] {
    return this.#table.paths(localPrefix(prefix));
  }

  /** What a neighbor has been, or is being, told. */
  advertised(address: string): IterableIterator<Route> {
    return this.#peer(address).advertised();
  }

  /** The export policy answers differently now: evaluates it again, and sends what changed. */
  refreshExports(address?: string): void {
    if (address === undefined) this.#table.refreshExports();
    else this.#peer(address).refreshExports();
  }

  /** The import policy answers differently now: asks the neighbors to send everything again (ROUTE-REFRESH). */
  refreshImports(address?: string): void {
    for (const peer of address === undefined ? this.#peers.values() : [this.#peer(address)])
      peer.requestRefresh();
  }

  async #listen(): Promise<void> {
    const { listen = {} } = this.#options;
    if (listen === false) return;
    const { port = DEFAULT_PORT, addresses = [undefined] } = listen;
    try {
      for (const address of addresses) {
        // Port 0 means one port, the same on all addresses.
        const options = { port: this.port ?? port, address };
        this.#listeners.push(
          await this.#transport.listen(options, connection => this.#onIncoming(connection)),
        );
      }
      for (const { config } of this.#peers.values()) this.#setPassword(config);
    } catch (error) {
      await this.#stopListening();
      throw error;
    }
  }

  async #stopListening(): Promise<void> {
    await Promise.all(this.#listeners.splice(0).map(listener => listener.close()));
  }

  #peer(address: string): Peer {
    const peer = this.#peers.get(canonicalAddress(address) ?? address);
    if (peer === undefined) throw new BgpError("State", `there is no neighbor ${address}`);
    return peer;
  }

  #add(config: NeighborConfig): void {
    this.#setPassword(config);
    const addressBytes = parseAddress(config.address.replace(/%.*$/, ""))!;
    const peer = new Peer(this.#environment, config, addressBytes);
    this.#peers.set(config.address, peer);
    if (this.#phase !== "running") return;
    this.#deferral?.neighborAdded(config.address);
    peer.start();
  }

  #remove(peer: Peer, sent: NotificationMessage): void {
    const { address, password } = peer.config;
    peer.remove(sent);
    this.#peers.delete(address);
    this.#deferral?.removed(address);
    if (password !== undefined)
      for (const listener of this.#listeners) listener.setPassword(address, undefined);
  }

  #setPassword({ address, password }: NeighborConfig): void {
    if (password === undefined) return;
    for (const listener of this.#listeners) listener.setPassword(address, password);
  }

  #onIncoming(connection: Connection): void {
    const peer = this.#phase === "running" ? this.#peers.get(connection.remoteAddress) : undefined;
    if (peer === undefined) {
      connection.destroy();
      return;
    }
    try {
      this.#transport.secure?.(connection, { ttlSecurity: peer.config.ttlSecurity });
    } catch {
      // What cannot be protected as configured is not accepted.
      connection.destroy();
      return;
    }
    peer.accept(connection);
  }

  #startDeferral(): void {
    if (!this.#isRestart) {
      this.#resolveReady();
      return;
    }
    const { establishWait = DEFAULT_ESTABLISH_WAIT, deferralTime = DEFAULT_DEFERRAL_TIME } =
      this.#options.gracefulRestart || {};
    const onDone = () => {
      this.#deferral = undefined;
      this.#table.resume(() => this.#resolveReady());
    };
    this.#deferral = new SelectionDeferral({ clock: this.#clock, establishWait, deferralTime, onDone });
  }
}

function cease(subcode: number, message?: string): NotificationMessage {
  const data = message === undefined ? new Uint8Array(0) : encodeShutdownText(message);
  return { code: NotificationCode.cease, subcode, data };
}
