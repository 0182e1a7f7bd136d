/**
 * What changes in a namespace's links, addresses, routes, neighbours and rules, as it happens.
 *
 * A worker thread (events-worker.ts) sits on the socket; the main thread gets decoded events in batches, in the
 * kernel's order. The subscription stands when `open` returns: subscribe first, then read the state, and no change
 * falls between the two.
 *
 * Losing events is normal, not an error: when the kernel's buffer overflows (or the main thread is too slow, which
 * ends the same way, because the worker then stops reading) an `overflow` event says so, and reading goes on. The
 * worker sends it only once it has emptied the buffer, since the kernel goes on dropping until then: whoever reads
 * the state after `overflow` has missed nothing.
 */

import type { IpVersion } from "../net/ip.ts";
import type { NamespaceRef } from "./namespace.ts";
import { type EventGroup, type KernelEvent, multicastGroups } from "./netlink/event.ts";
import { openNetlinkSocket, Protocol } from "./netlink/socket.ts";
import { SocketThread } from "./socket-thread.ts";

export type { EventAction, EventGroup, KernelEvent } from "./netlink/event.ts";

export interface SubscriptionOptions {
  /** Default: the calling thread's. */
  readonly namespace?: NamespaceRef | undefined;
  readonly groups: readonly EventGroup[];
  /** Addresses, routes and rules of this version only. Default both. */
  readonly family?: IpVersion;
  /**
   * Leaves out what the socket with this {@link Rtnetlink.portId} has caused. Who writes 100,000 routes knows of them, and
   * would lose other events over being told.
   */
  readonly exceptCausedBy?: number | undefined;
  /** What the kernel keeps for us while we are busy. Default 16 MiB: 40,000 route changes (measured). */
  readonly receiveBufferBytes?: number;
  readonly onEvents: (events: readonly KernelEvent[]) => void;
  /** The worker died, which nothing known makes it do: no events come any more. Open another, and resync. */
  readonly onFailure: (error: Error) => void;
}

const DEFAULT_RECEIVE_BUFFER = 16 * 1024 * 1024;

export class EventSubscription {
  readonly #thread: SocketThread<KernelEvent[]>;

  private constructor(options: SubscriptionOptions) {
    const socketFd = openNetlinkSocket({
      protocol: Protocol.ROUTE,
      namespace: options.namespace,
      multicastGroups: multicastGroups(options.groups, options.family),
      exceptCausedBy: options.exceptCausedBy,
      receiveBufferBytes: options.receiveBufferBytes ?? DEFAULT_RECEIVE_BUFFER,
    });
    const { onEvents: onBatch, onFailure } = options;
    this.#thread = new SocketThread({ socketFd, program: "events-worker", onBatch, onFailure });
  }

  /** An open subscription keeps the process running, as a listening socket does. */
  static open(options: SubscriptionOptions): EventSubscription {
    return new EventSubscription(options);
  }

  /** No event is delivered after the call; the promise is for the end of the worker, milliseconds later. */
  close(): Promise<void> {
    return this.#thread.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** {@link close} for those who cannot wait. */
  stop(): void {
    this.#thread.stop();
  }
}
