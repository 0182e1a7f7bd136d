/**
 * What changes in a namespace's links, addresses, routes, neighbours and rules, as it happens.
 *
 * A worker thread (events-worker.ts) sits in poll(2) on the socket, so nothing is polled and an idle subscription
 * costs nothing; the main thread gets decoded events in batches, in the kernel's order. The subscription stands
 * when `open` returns: subscribe first, then read the state, and no change falls between the two.
 *
 * Losing events is normal, not an error: when the kernel's buffer overflows (or the main thread is too slow, which
 * ends the same way, because the worker then stops reading) an `overflow` event says so, and reading goes on. The
 * worker sends it only once it has emptied the buffer, since the kernel goes on dropping until then: whoever reads
 * the state after `overflow` has missed nothing.
 */

import { closeSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { IpVersion } from "../net/ip.ts";
import { eventFd } from "./libc.ts";
import type { NamespaceRef } from "./namespace.ts";
import { type EventGroup, type KernelEvent, multicastGroups } from "./netlink/event.ts";
import { openNetlinkSocket, Protocol } from "./netlink/socket.ts";

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

/** What the worker is given. */
export interface WorkerData {
  readonly socketFd: number;
  readonly wakeFd: number;
  /** Int32s: see {@link ControlWord}. */
  readonly control: SharedArrayBuffer;
}

export const ControlWord = {
  /** 1: the worker shall end. */
  STOP: 0,
  /** Batches posted and not yet taken by the main thread. */
  PENDING: 1,
} as const;

const DEFAULT_RECEIVE_BUFFER = 16 * 1024 * 1024;

/** A worker that sits in a system call cannot be terminated: on exit, wake them all, or Node waits for ever. */
const open = new Set<EventSubscription>();
function stopAll(): void {
  for (const subscription of open) subscription.stop();
}

export class EventSubscription {
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #wakeFd: number;
  readonly #control: Int32Array;

  private constructor(options: SubscriptionOptions) {
    const socketFd = openNetlinkSocket({
      protocol: Protocol.ROUTE,
      namespace: options.namespace,
      multicastGroups: multicastGroups(options.groups, options.family),
      exceptCausedBy: options.exceptCausedBy,
      receiveBufferBytes: options.receiveBufferBytes ?? DEFAULT_RECEIVE_BUFFER,
    });
    const wakeFd = eventFd();
    const control = new SharedArrayBuffer(8);
    this.#wakeFd = wakeFd;
    this.#control = new Int32Array(control);
    this.#worker = new Worker(workerFile(), {
      name: "kernel-events",
      workerData: { socketFd, wakeFd, control } satisfies WorkerData,
      execArgv: [], // Not ours: `--input-type` and the like break a worker.
    });
    this.#worker.on("message", (events: KernelEvent[]) => {
      Atomics.sub(this.#control, ControlWord.PENDING, 1);
      Atomics.notify(this.#control, ControlWord.PENDING);
      if (!this.#stopped) options.onEvents(events);
    });
    this.#worker.on("error", error => options.onFailure(error as Error));
    this.#exited = new Promise(resolve => {
      this.#worker.on("exit", () => {
        closeSync(socketFd);
        closeSync(wakeFd);
        open.delete(this);
        if (open.size === 0) process.off("exit", stopAll);
        resolve();
      });
    });
    if (open.size === 0) process.on("exit", stopAll);
    open.add(this);
  }

  /** An open subscription keeps the process running, as a listening socket does. */
  static open(options: SubscriptionOptions): EventSubscription {
    return new EventSubscription(options);
  }

  /** No event is delivered after the call; the promise is for the end of the worker, milliseconds later. */
  close(): Promise<void> {
    this.stop();
    return this.#exited;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** {@link close} for those who cannot wait. */
  stop(): void {
    if (this.#stopped || !open.has(this)) return;
    Atomics.store(this.#control, ControlWord.STOP, 1);
    Atomics.notify(this.#control, ControlWord.PENDING);
    writeSync(this.#wakeFd, new Uint8Array(BigUint64Array.of(1n).buffer));
  }

  get #stopped(): boolean {
    return Atomics.load(this.#control, ControlWord.STOP) === 1;
  }
}

/** Beside this file in development; bundled into one CommonJS file, beside the bundle. */
function workerFile(): string {
  if (typeof __dirname === "string") return join(__dirname, "events-worker.cjs");
  return fileURLToPath(new URL("./events-worker.ts", import.meta.url));
}
