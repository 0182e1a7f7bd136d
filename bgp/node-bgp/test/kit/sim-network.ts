/**
 * A network in memory under a simulated clock: hosts by address, connections with latency, cuts, and sides that stop
 * reading. Bytes arrive in the order they were written; each hop costs `latency` ms.
 */

import type {
  Connection,
  ConnectionHandler,
  ConnectOptions,
  Listener,
  ListenOptions,
  Transport,
} from "../../transport/transport.ts";
import type { SimClock } from "./sim-clock.ts";

export class SimNetwork {
  readonly clock: SimClock;
  latency = 1;
  /** Split what arrives into chunks of so many bytes. */
  chunkSize = Number.POSITIVE_INFINITY;
  readonly #listeners = new Map<string, (connection: SimConnection) => void>();
  readonly connections: SimConnection[] = [];
  /** Nothing passes between these hosts; nobody is told. */
  readonly cuts = new Set<string>();
  dials = 0;
  readonly #lost: (() => void)[] = [];

  constructor(clock: SimClock) {
    this.clock = clock;
  }

  /** The transport of the host with these addresses; the first is used to dial. */
  host(...addresses: string[]): Transport {
    return {
      listen: async (_options: ListenOptions, onConnection): Promise<Listener> => {
        for (const address of addresses) this.#listeners.set(address, onConnection);
        return {
          port: 179,
          setPassword: () => {},
          close: async () => {
            for (const address of addresses) this.#listeners.delete(address);
          },
        };
      },
      connect: (options: ConnectOptions) =>
        this.#connect(options.localAddress ?? addresses[0]!, options.address),
    };
  }

  cut(a: string, b: string): void {
    this.cuts.add(`${a} ${b}`).add(`${b} ${a}`);
  }

  /** Bytes that were under way arrive now, as TCP sends them again; of connections closed meanwhile nothing does. */
  heal(): void {
    this.cuts.clear();
    for (const deliver of this.#lost.splice(0)) deliver();
  }

  /** Did not get through, and is to be sent again. */
  lose(deliver: () => void): void {
    this.#lost.push(deliver);
  }

  isCut(a: string, b: string): boolean {
    return this.cuts.has(`${a} ${b}`);
  }

  /** A raw client, for tests that speak bytes. */
  connect(from: string, to: string): Connection {
    return this.#connect(from, to);
  }

  #connect(from: string, to: string): SimConnection {
    this.dials++;
    const near = new SimConnection(this, from, to, 40_000 + this.dials);
    this.connections.push(near);
    this.clock.setTimeout(() => {
      if (this.isCut(from, to) || near.isClosed) return;
      const accept = this.#listeners.get(to);
      if (accept === undefined) {
        near.fail(new Error(`connect ECONNREFUSED ${to}:179`));
        return;
      }
      const far = new SimConnection(this, to, from, 179);
      this.connections.push(far);
      near.pair(far);
      this.clock.setTimeout(() => near.connected(), this.latency);
      accept(far);
    }, this.latency);
    return near;
  }
}

export class SimConnection implements Connection {
  readonly #network: SimNetwork;
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  #peer: SimConnection | undefined;
  #handler: ConnectionHandler | undefined;
  #queued: Uint8Array[] = [];
  #early: Uint8Array[] = [];
  #isPaused = false;
  isClosed = false;
  /** The far side does not read: nothing leaves our queue. */
  isStalled = false;

  constructor(network: SimNetwork, localAddress: string, remoteAddress: string, remotePort: number) {
    this.#network = network;
    this.localAddress = localAddress;
    // Whoever dials sees its own port as the other's: nobody here looks at it twice.
    this.localPort = remotePort;
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
  }

  get writableLength(): number {
    return this.#queued.reduce((total, { length }) => total + length, 0);
  }

  setHandler(handler: ConnectionHandler): void {
    this.#handler = handler;
    this.#deliverEarly();
  }

  unread(bytes: Uint8Array): void {
    this.#early.unshift(bytes);
    this.#isPaused = true;
    this.resume();
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#network.clock.setImmediate(() => {
      this.#isPaused = false;
      this.#deliverEarly();
    });
  }

  pair(peer: SimConnection): void {
    this.#peer = peer;
    peer.#peer = this;
  }

  connected(): void {
    if (!this.isClosed) this.#handler?.onConnect();
  }

  write(bytes: Uint8Array): void {
    if (this.isClosed) return;
    if (this.isStalled) this.#queued.push(bytes);
    else this.#transmit(bytes.slice());
  }

  /** The far side reads again. */
  unstall(): void {
    this.isStalled = false;
    for (const bytes of this.#queued.splice(0)) this.#transmit(bytes.slice());
    this.#handler?.onDrain();
  }

  end(): void {
    this.#close();
  }

  destroy(): void {
    this.#close();
  }

  /** The connection breaks under us. */
  fail(error?: Error): void {
    if (this.isClosed) return;
    const handler = this.#handler;
    this.#close();
    handler?.onClose(error);
  }

  #close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#handler = undefined;
    const peer = this.#peer;
    this.#later(() => {
      if (peer === undefined || peer.isClosed) return;
      const handler = peer.#handler;
      peer.isClosed = true;
      peer.#handler = undefined;
      handler?.onClose();
    });
  }

  #transmit(bytes: Uint8Array): void {
    const peer = this.#peer;
    const deliver = () => {
      if (peer !== undefined) peer.#deliver(bytes);
    };
    this.#later(deliver, () => {
      if (!this.isClosed) deliver();
    });
  }

  #later(action: () => void, again?: () => void): void {
    this.#network.clock.setTimeout(() => {
      if (!this.#network.isCut(this.localAddress, this.remoteAddress)) action();
      else if (again !== undefined) this.#network.lose(again);
    }, this.#network.latency);
  }

  #deliverEarly(): void {
    for (const bytes of this.#early.splice(0)) this.#deliver(bytes);
  }

  #deliver(bytes: Uint8Array): void {
    if (this.isClosed) return;
    if (this.#handler === undefined || this.#isPaused) {
      this.#early.push(bytes);
      return;
    }
    const size = Math.min(this.#network.chunkSize, bytes.length);
    for (let at = 0; at < bytes.length; at += size) this.#handler?.onData(bytes.slice(at, at + size));
  }
}
