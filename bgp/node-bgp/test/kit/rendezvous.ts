/**
 * TCP on which both sides always dial at once. Whether two connections of a pair really meet is a matter of milliseconds; here nothing of either is let through
 * before both are there, so that every start is a collision (RFC 4271 6.8).
 *
 * Who is first differs: `we-first` dials at once, `they-first` waits until the neighbor has dialled; which of the two our side hears of first is
 * up to `random`. What does not meet within the patience goes through alone.
 */

import { tcpTransport } from "../../transport/tcp.ts";
import type { Connection, ConnectionHandler, ConnectOptions, Transport } from "../../transport/transport.ts";

const PATIENCE_MS = 15_000;

export interface Rendezvous {
  readonly transport: Transport;
  /** Two connections have met. */
  readonly met: boolean;
}

export function rendezvous(order: "we-first" | "they-first", random: () => number): Rendezvous {
  let dialled: HeldConnection | undefined;
  let accepted: HeldConnection | undefined;
  let letIn: (() => void) | undefined;
  let isOver = false;
  let hasMet = false;

  const release = () => {
    if (isOver) return;
    isOver = true;
    clearTimeout(patience);
    hasMet = dialled?.isConnected === true && accepted?.isClosed === false;
    const inAnyOrder = (...steps: readonly (() => void)[]) => {
      for (const step of random() < 0.5 ? steps : steps.toReversed()) step();
    };
    // Both are known to be there before anything said on one of them is heard, as where the event loop is quick.
    inAnyOrder(
      () => dialled?.announce(),
      () => letIn?.(),
    );
    inAnyOrder(
      () => dialled?.release(),
      () => accepted?.release(),
    );
  };
  const patience = setTimeout(release, PATIENCE_MS).unref();
  const onChange = () => {
    if (accepted !== undefined) dialled?.dial();
    const isComplete = accepted !== undefined && dialled?.isSettled;
    if (isComplete) release();
  };

  return {
    transport: {
      ...tcpTransport,
      listen: (options, onConnection) =>
        tcpTransport.listen(options, connection => {
          if (isOver) return onConnection(connection);
          accepted = new HeldConnection(() => connection, onChange);
          accepted.dial();
          const held = accepted;
          letIn = () => {
            if (!held.isClosed) onConnection(held);
          };
          onChange();
        }),
      connect: (options: ConnectOptions) => {
        if (isOver) return tcpTransport.connect(options);
        dialled = new HeldConnection(() => tcpTransport.connect(options), onChange);
        if (order === "we-first") dialled.dial();
        else onChange();
        return dialled;
      },
    },
    get met() {
      return hasMet;
    },
  };
}

/** Keeps back what happens on a connection until released. */
class HeldConnection implements Connection {
  readonly #make: () => Connection;
  readonly #onChange: () => void;
  #real: Connection | undefined;
  #handler: ConnectionHandler | undefined;
  #kept: ((handler: ConnectionHandler) => void)[] = [];
  #isReleased = false;
  isConnected = false;
  isClosed = false;

  constructor(make: () => Connection, onChange: () => void) {
    this.#make = make;
    this.#onChange = onChange;
  }

  /** The attempt has come to something. */
  get isSettled(): boolean {
    return this.isConnected || this.isClosed;
  }

  dial(): void {
    if (this.#real !== undefined || this.isClosed) return;
    this.#real = this.#make();
    this.#real.setHandler({
      onConnect: () => {
        this.isConnected = true;
        if (this.#isReleased) this.#handler?.onConnect();
        this.#onChange();
      },
      onData: chunk => this.#pass(handler => handler.onData(chunk)),
      onDrain: () => this.#pass(handler => handler.onDrain()),
      onClose: error => {
        this.isClosed = true;
        this.#pass(handler => handler.onClose(error));
        this.#onChange();
      },
    });
  }

  /** That it is connected; nothing more. */
  announce(): void {
    this.dial();
    if (this.isConnected) this.#handler?.onConnect();
  }

  release(): void {
    this.#isReleased = true;
    const handler = this.#handler;
    if (handler === undefined) return;
    for (const event of this.#kept.splice(0)) event(handler);
  }

  setHandler(handler: ConnectionHandler): void {
    this.#handler = handler;
    if (this.#isReleased) this.release();
  }

  get remoteAddress(): string {
    return this.#real?.remoteAddress ?? "";
  }

  get remotePort(): number {
    return this.#real?.remotePort ?? 0;
  }

  get localPort(): number {
    return this.#real?.localPort ?? 0;
  }

  get localAddress(): string {
    return this.#real?.localAddress ?? "";
  }

  get writableLength(): number {
    return this.#real?.writableLength ?? 0;
  }

  unread(bytes: Uint8Array): void {
    this.#real?.unread(bytes);
  }

  pause(): void {
    this.#real?.pause();
  }

  resume(): void {
    this.#real?.resume();
  }

  write(bytes: Uint8Array): void {
    this.#real?.write(bytes);
  }

  end(): void {
    this.#end();
    this.#real?.end();
  }

  destroy(): void {
    this.#end();
    this.#real?.destroy();
  }

  #end(): void {
    this.isClosed = true;
    this.#handler = undefined;
    this.#kept = [];
  }

  #pass(event: (handler: ConnectionHandler) => void): void {
    if (this.#isReleased && this.#handler !== undefined) event(this.#handler);
    else this.#kept.push(event);
  }
}
