/**
 * The connection to one collector: dialled, and dialled again for ever, with the waiting time doubled up to its limit (RFC 7854 3.2). Bytes
 * are queued by the socket up to a limit; a collector that has stopped reading is dropped there, whatever it misses, and told everything anew when
 * it is back. It has nothing to say to us.
 */

import type { Clock, TimerHandle } from "../clock.ts";
import type { Connection, Transport } from "../transport/transport.ts";

export type CollectorState = "connecting" | "up" | "waiting" | "closed";

export interface CollectorStatus {
  readonly address: string;
  readonly port: number;
  readonly state: CollectorState;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** How often it has been up. */
  readonly connected: number;
  /** How often it was dropped because its queue was full. */
  readonly dropped: number;
  /** Bytes waiting for it. */
  readonly queued: number;
  /** Bytes handed to the current or last connection. */
  readonly sent: number;
  readonly lastError: string | undefined;
}

export interface CollectorOptions {
  readonly address: string;
  readonly port: number;
  readonly localAddress: string | undefined;
  readonly password: string | undefined;
  /** Seconds. */
  readonly retry: { readonly first: number; readonly longest: number };
  readonly maxQueueBytes: number;
  readonly clock: Clock;
  readonly transport: Transport;
  readonly random: () => number;
  readonly onUp: () => void;
  readonly onDown: () => void;
  /** Everything queued has been taken. */
  readonly onDrain: () => void;
}

/** A connection that held so long was a good one: the waiting time begins anew. */
const GOOD_MS = 60_000;

export class Collector {
  readonly #options: CollectorOptions;
  #state: CollectorState = "connecting";
  #since: number;
  #connection: Connection | undefined;
  #retryTimer: TimerHandle;
  #wait: number;
  #connected = 0;
  #dropped = 0;
  #sent = 0;
  #lastError: string | undefined;

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#since = options.clock.now();
    this.#wait = options.retry.first;
  }

  get isUp(): boolean {
    return this.#state === "up";
  }

  get queued(): number {
    return this.#connection?.writableLength ?? 0;
  }

  dial(): void {
    const { address, port, localAddress, password, transport } = this.#options;
    this.#enter("connecting");
    const connection = transport.connect({ address, port, localAddress, password });
    this.#connection = connection;
    connection.setHandler({
      onConnect: () => this.#onConnect(),
      onData: () => {},
      onDrain: () => this.#options.onDrain(),
      onClose: error => this.#onEnd(error?.message ?? "the collector has closed the connection"),
    });
  }

  /** Whole messages. The bytes must not be changed afterwards. */
  send(bytes: Uint8Array): void {
    const connection = this.#connection;
    if (this.#state !== "up" || connection === undefined) return;
    connection.write(bytes);
    this.#sent += bytes.length;
    if (connection.writableLength <= this.#options.maxQueueBytes) return;
    this.#dropped++;
    connection.destroy();
    this.#onEnd(`dropped with ${connection.writableLength} bytes queued: the collector does not keep up`);
  }

  /** For ever; `farewell` is sent where there is a connection. */
  close(farewell: Uint8Array): void {
    const connection = this.#connection;
    if (this.#state === "up") connection?.write(farewell);
    if (this.#state === "up") connection?.end();
    else connection?.destroy();
    this.#connection = undefined;
    this.#options.clock.clearTimeout(this.#retryTimer);
    this.#enter("closed");
  }

  status(): CollectorStatus {
    const { address, port } = this.#options;
    return {
      address,
      port,
      state: this.#state,
      since: this.#since,
      connected: this.#connected,
      dropped: this.#dropped,
      queued: this.queued,
      sent: this.#sent,
      lastError: this.#lastError,
    };
  }

  #onConnect(): void {
    this.#connected++;
    this.#sent = 0;
    this.#enter("up");
    this.#options.onUp();
  }

  #onEnd(error: string): void {
    const { clock, random, retry, onDown } = this.#options;
    if (this.#state === "closed" || this.#state === "waiting") return;
    const wasUp = this.#state === "up";
    if (wasUp && clock.now() - this.#since >= GOOD_MS) this.#wait = retry.first;
    this.#connection = undefined;
    this.#lastError = error;
    this.#enter("waiting");
    // Jittered down, so that a thousand nodes do not come back to a collector in one moment.
    this.#retryTimer = clock.setTimeout(() => this.dial(), this.#wait * 1000 * (0.75 + random() * 0.25));
    this.#wait = Math.min(this.#wait * 2, retry.longest);
    if (wasUp) onDown();
  }

  #enter(state: CollectorState): void {
    this.#state = state;
    this.#since = this.#options.clock.now();
  }
}
