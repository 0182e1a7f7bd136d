/**
 * The neighbors of a speaker: configured by address, or dynamic by prefix. Each is one {@link Peer} as long as it is known; what its options ask of the
 * listeners (keys, GTSM) is arranged here before anything else changes, so that a call that throws has changed nothing.
 */

import { canonicalAddress, formatPrefix, parseAddress, parsePrefix, withoutZone } from "./address.ts";
import { DynamicNeighbors, dynamicSetting } from "./dynamic-neighbors.ts";
import { BgpError, OptionError } from "./errors.ts";
import { Cease } from "./message/constants.ts";
import { cease, type NotificationMessage } from "./message/notification.ts";
import type {
  DynamicNeighborsOptions,
  DynamicNeighborsStatus,
  NeighborEvent,
  NeighborOptions,
} from "./neighbor.ts";
import { type NeighborConfig, needsNewSession, neighborConfig } from "./session/neighbor-config.ts";
import { Peer } from "./session/peer.ts";
import type { PeerEnvironment } from "./session/peer-environment.ts";
import type { SpeakerOptions } from "./speaker-options.ts";
import { ListenerKeys } from "./transport/listener-keys.ts";
import type { Listening } from "./transport/listening.ts";
import type { Connection } from "./transport/transport.ts";

export interface NeighborTableOptions {
  readonly environment: PeerEnvironment;
  readonly listening: Listening;
  readonly speakerOptions: () => SpeakerOptions;
  readonly onEvent: (event: NeighborEvent) => void;
}

/** What of its options matters to an accepted connection. */
type SocketSettings =
  | Pick<NeighborConfig, "password" | "ttlSecurity" | "interface">
  | DynamicNeighborsOptions;

export class NeighborTable {
  readonly #env: PeerEnvironment;
  readonly #listening: Listening;
  readonly #speakerOptions: () => SpeakerOptions;
  readonly #onEvent: (event: NeighborEvent) => void;
  readonly #keys: ListenerKeys;
  readonly #dynamic: DynamicNeighbors;
  readonly #peers = new Map<string, Peer>();
  /** As configured: a peer's own may differ for the time being. */
  readonly #configs = new WeakMap<Peer, NeighborConfig>();
  /** Addresses an operator is about to shut down, whatever their options say. */
  readonly #leaving = new Set<string>();
  #isRunning = false;

  constructor({ environment, listening, speakerOptions, onEvent }: NeighborTableOptions) {
    this.#env = environment;
    this.#listening = listening;
    this.#speakerOptions = speakerOptions;
    this.#onEvent = onEvent;
    this.#keys = new ListenerKeys((peers, password) => listening.setPassword(peers, password));
    this.#dynamic = new DynamicNeighbors(environment.clock, {
      speakerOptions,
      secure: (connection, { options }) => this.#secure(connection, options),
      adopt: (config, connection) => this.#create(config).accept(connection),
      isQuiet: address => this.get(address).isQuiet,
      remove: address => this.#removeForGood(this.get(address), deconfigured()),
      warn: warning => environment.onWarning(warning),
    });
  }

  [Symbol.iterator](): Iterator<Peer> {
    return this.#peers.values();
  }

  find(address: string): Peer | undefined {
    return this.#peers.get(canonicalAddress(address) ?? address);
  }

  /** Throws `NeighborUnknown`. */
  get(address: string): Peer {
    const peer = this.find(address);
    if (peer === undefined) throw unknown(address);
    return peer;
  }

  start(): void {
    this.#isRunning = true;
    for (const peer of this.#peers.values()) this.#start(peer);
  }

  /** `end` ends one of them. */
  stop(end: (peer: Peer) => void): void {
    this.#isRunning = false;
    this.#dynamic.stop();
    for (const peer of this.#peers.values()) end(peer);
  }

  /** Somebody has dialled us. */
  accept(connection: Connection): void {
    const peer = this.#isRunning ? this.#peers.get(connection.remoteAddress) : undefined;
    if (peer === undefined) {
      if (!this.#isRunning || !this.#dynamic.accept(connection)) connection.destroy();
    } else if (this.#secure(connection, peer.config)) peer.accept(connection);
    else connection.destroy();
  }

  /** A neighbor has changed its state. */
  noteState({ address, state }: NeighborEvent): void {
    const dynamic = this.#peers.get(address)?.config.dynamic;
    if (dynamic !== undefined) this.#dynamic.noteState(address, dynamic, state === "Established");
  }

  add(options: NeighborOptions): void {
    const config = neighborConfig(options, this.#speakerOptions());
    const { address } = config;
    const known = this.#peers.get(address);
    if (known !== undefined && known.config.dynamic === undefined) {
      throw new BgpError({ code: "NeighborExists", address }, `neighbor ${address} exists already`);
    }
    this.#prepareListeners(address, config);
    if (known !== undefined) this.#remove(known, cease(Cease.otherConfigurationChange));
    this.#create(config);
  }

  update(options: NeighborOptions): void {
    const config = neighborConfig(options, this.#speakerOptions());
    const { address } = config;
    const peer = this.#peers.get(address);
    if (peer === undefined || peer.config.dynamic !== undefined) throw unknown(address);
    this.#prepareListeners(address, config);
    if (!needsNewSession(peer.config, config)) {
      this.#reconfigure(peer, config);
      return;
    }
    this.#configs.set(peer, config);
    peer.restart(this.#effective(config), cease(Cease.otherConfigurationChange));
  }

  remove(address: string, message?: string): void {
    this.#removeForGood(this.get(address), deconfigured(message));
  }

  setGracefulShutdown(address: string, on: boolean): void {
    const peer = this.get(address);
    if (on) this.#leaving.add(peer.config.address);
    else this.#leaving.delete(peer.config.address);
    this.#reconfigure(peer, this.#configs.get(peer)!);
  }

  addDynamic(options: DynamicNeighborsOptions): void {
    const setting = dynamicSetting(options, this.#speakerOptions());
    this.#dynamic.add(setting);
    try {
      this.#prepareListeners(setting.prefix, options);
    } catch (error) {
      this.#dynamic.remove(setting.prefix);
      throw error;
    }
  }

  updateDynamic(options: DynamicNeighborsOptions): void {
    const setting = dynamicSetting(options, this.#speakerOptions());
    this.#dynamic.get(setting.prefix);
    this.#prepareListeners(setting.prefix, options);
    for (const address of this.#dynamic.update(setting)) {
      const peer = this.get(address);
      const config = this.#dynamic.configOf(setting, address, peer.config.asn);
      if (config !== undefined && !needsNewSession(peer.config, config)) this.#reconfigure(peer, config);
      else this.#removeForGood(peer, cease(Cease.otherConfigurationChange));
    }
  }

  removeDynamic(text: string, message?: string): void {
    const prefix = parsePrefix(text);
    if (prefix === undefined) throw new OptionError("prefix", text, "a prefix such as 10.0.0.0/24");
    const canonical = formatPrefix(prefix);
    for (const address of this.#dynamic.remove(canonical)) {
      this.#removeForGood(this.get(address), deconfigured(message));
    }
    this.#keys.delete(canonical);
  }

  dynamicStatus(): DynamicNeighborsStatus[] {
    return this.#dynamic.status();
  }

  /** As configured, and as an operator wants it for now. */
  #effective(config: NeighborConfig): NeighborConfig {
    const { address, gracefulShutdown } = config;
    return { ...config, gracefulShutdown: gracefulShutdown || this.#leaving.has(address) };
  }

  #reconfigure(peer: Peer, config: NeighborConfig): void {
    this.#configs.set(peer, config);
    peer.reconfigure(this.#effective(config));
  }

  #create(config: NeighborConfig): Peer {
    const peer = new Peer(this.#env, config, parseAddress(withoutZone(config.address))!);
    this.#peers.set(config.address, peer);
    this.#configs.set(peer, config);
    if (this.#isRunning) this.#start(peer);
    return peer;
  }

  #start(peer: Peer): void {
    this.#env.deferral()?.neighborAdded(peer.config.address);
    peer.start();
  }

  /** Nothing of it stays, but its key. */
  #remove(peer: Peer, sent: NotificationMessage): void {
    const { address, dynamic } = peer.config;
    peer.remove(sent);
    this.#peers.delete(address);
    this.#env.deferral()?.removed(address);
    if (dynamic !== undefined) this.#dynamic.forget(address, dynamic);
  }

  #removeForGood(peer: Peer, sent: NotificationMessage): void {
    const { address, dynamic } = peer.config;
    this.#remove(peer, sent);
    this.#leaving.delete(address);
    if (dynamic === undefined) this.#keys.delete(address);
    const since = this.#env.clock.now();
    this.#onEvent({ address, state: "Idle", previous: "Idle", since, removed: true });
  }

  /** What the listeners have to know of neighbors before they come. Whatever can fail for a neighbor fails here. */
  #prepareListeners(peers: string, { password, ttlSecurity }: SocketSettings): void {
    if (ttlSecurity !== undefined) this.#listening.expectTtlSecurity();
    this.#keys.set(peers, password);
  }

  /** What cannot be protected as configured is not accepted. */
  #secure(connection: Connection, { ttlSecurity, interface: name }: SocketSettings): boolean {
    try {
      this.#env.transport.secure?.(connection, { ttlSecurity, interface: name });
      return true;
    } catch {
      return false;
    }
  }
}

function unknown(address: string): BgpError {
  return new BgpError({ code: "NeighborUnknown", address }, `there is no neighbor ${address}`);
}

/** Only a shutdown or a reset may have a text (RFC 9003 2). */
function deconfigured(message?: string): NotificationMessage {
  return message === undefined ? cease(Cease.peerDeconfigured) : cease(Cease.administrativeShutdown, message);
}
