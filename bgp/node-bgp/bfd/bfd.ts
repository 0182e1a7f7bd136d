/**
 * BFD as the main thread sees it: sessions are added and removed, changes of state are reported, all else happens in a thread of its own
 * (worker.ts), so that nothing the main thread does for long can make a neighbor look dead, or us to it.
 *
 * When that thread dies, which nothing known makes it do, another one takes over: the sessions that were Up go on as Up, for nothing has been
 * heard against them, and the neighbors have missed a few packets. It is reported; it is not a failure of any neighbor.
 */

import { closeSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import { BgpError } from "../errors.ts";
import type { BfdEvent, BfdService, BfdSession, BfdSessionStatus, BfdStatus } from "./bfd-service.ts";
import { diagnosticName, SessionState, stateName } from "./constants.ts";
import type { SessionConfig } from "./session.ts";
import { type BfdSessionOptions, pathName, sessionConfig, sessionPath } from "./session-options.ts";
import {
  type Command,
  DISCARD_REASONS,
  type DiscardReason,
  isSamePath,
  NEVER,
  type Notice,
  SESSION_WORDS,
  type SessionPath,
  SessionWord,
  THREAD_DESCRIPTORS,
  THREAD_WORDS,
  type ThreadPriority,
  ThreadWord,
  type WorkerData,
} from "./worker-protocol.ts";

export interface BfdOptions {
  /** How urgent the thread shall be to the kernel, as far as it is allowed (CAP_SYS_NICE); default `realtime`. */
  readonly priority?: ThreadPriority;
  /** The thread's program, where the library has been bundled: the entry `node-bgp/bfd-worker`. Default: `bfd-worker.cjs` beside the bundle. */
  readonly workerFile?: string;
}

const FIRST_RESTART_MS = 0;
const MAX_RESTART_MS = 30_000;
/** A thread that has lived so long was sound: the next one starts at once. */
const SOUND_AFTER_MS = 10_000;

interface Entry {
  readonly id: number;
  readonly path: SessionPath;
  readonly shared: SharedArrayBuffer;
  readonly words: Uint32Array;
  readonly onEvent: (event: BfdEvent) => void;
  config: SessionConfig;
  since: number;
  trouble: string | undefined;
  /** Removed by its owner; the thread still says good-bye to the neighbor. */
  isLeaving: boolean;
}

/** A thread that sits in a system call cannot be terminated: on exit, wake them all, or Node waits. */
const open = new Set<Bfd>();
function closeAll(): void {
  for (const bfd of open) void bfd.close();
}

export class Bfd implements BfdService {
  readonly #options: BfdOptions;
  readonly #entries = new Map<number, Entry>();
  readonly #shared = new SharedArrayBuffer(THREAD_WORDS * 4);
  readonly #words = new Uint32Array(this.#shared);
  readonly #failureListeners = new Set<(error: Error) => void>();
  #nextId = 1;
  #worker: Worker | undefined;
  #port: MessagePort | undefined;
  #wakeFd: number | undefined;
  #phase: BfdStatus["thread"] = "starting";
  #priority: ThreadPriority | undefined;
  #trouble: string | undefined;
  #failures = 0;
  #lastFailure: string | undefined;
  #startedAt = 0;
  #restartMs = FIRST_RESTART_MS;
  #restartTimer: NodeJS.Timeout | undefined;
  #closed = Promise.withResolvers<void>();

  /** Starts nothing yet: the thread starts with the first session. */
  constructor(options: BfdOptions = {}) {
    this.#options = options;
  }

  /** Throws {@link OptionError}; {@link BgpError} `BfdSessionExists` where there is one on the same path, `BfdClosed`. */
  addSession(options: BfdSessionOptions, onEvent: (event: BfdEvent) => void): BfdSession {
    if (this.#phase === "closed") throw new BgpError({ code: "BfdClosed" }, "BFD has been closed");
    const path = sessionPath(options);
    const config = sessionConfig(options);
    for (const other of this.#entries.values()) {
      if (!other.isLeaving && isSamePath(other.path, path)) {
        const { address } = options;
        throw new BgpError(
          { code: "BfdSessionExists", address },
          `a BFD session to ${address} exists already`,
        );
      }
    }
    const shared = new SharedArrayBuffer(SESSION_WORDS * 4);
    const entry: Entry = {
      id: this.#nextId++,
      path,
      shared,
      words: new Uint32Array(shared),
      onEvent,
      config,
      since: Date.now(),
      trouble: undefined,
      isLeaving: false,
    };
    entry.words[SessionWord.state] = config.adminDown ? SessionState.adminDown : SessionState.down;
    this.#entries.set(entry.id, entry);
    if (this.#worker === undefined && this.#restartTimer === undefined) this.#start();
    else this.#add(entry);
    return {
      status: () => this.#status(entry),
      update: changes => {
        if (entry.isLeaving) return;
        entry.config = sessionConfig(changes);
        this.#send({ do: "configure", id: entry.id, config: entry.config });
      },
      remove: () => {
        if (entry.isLeaving) return;
        entry.isLeaving = true;
        if (this.#port === undefined) this.#entries.delete(entry.id);
        else this.#send({ do: "remove", id: entry.id });
      },
    };
  }

  sessions(): BfdSessionStatus[] {
    return [...this.#entries.values()]
      .filter(({ isLeaving }) => !isLeaving)
      .map(entry => this.#status(entry));
  }

  status(): BfdStatus {
    const discarded = DISCARD_REASONS.map((reason, i) => [reason, this.#words[ThreadWord.discards + i]!]);
    return {
      thread: this.#phase,
      priority: this.#priority,
      failures: this.#failures,
      lastFailure: this.#lastFailure,
      trouble: this.#trouble,
      discarded: Object.fromEntries(discarded) as Record<DiscardReason, number>,
    };
  }

  /** The thread has died; it is started again by itself, and sessions that were Up go on. Returns the function that unsubscribes. */
  onFailure(listener: (error: Error) => void): () => void {
    this.#failureListeners.add(listener);
    return () => this.#failureListeners.delete(listener);
  }

  /** Neighbors are told AdminDown, once. Nothing is reported afterwards; the promise is for the end of the thread. */
  close(): Promise<void> {
    if (this.#phase === "closed") return this.#closed.promise;
    this.#phase = "closed";
    clearTimeout(this.#restartTimer);
    if (this.#worker === undefined) this.#end();
    else this.#send({ do: "close" });
    return this.#closed.promise;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #status(entry: Entry): BfdSessionStatus {
    return sessionStatus(entry, this.#trouble ?? entry.trouble);
  }

  #start(): void {
    this.#restartTimer = undefined;
    this.#phase = "starting";
    this.#startedAt = Date.now();
    const { port1, port2 } = new MessageChannel();
    const workerData: WorkerData = {
      port: port2,
      priority: this.#options.priority ?? "realtime",
      shared: this.#shared,
    };
    // Not ours: `--input-type` and the like break a worker.
    const settings = { name: "bfd", workerData, transferList: [port2], execArgv: [] };
    const worker = new Worker(this.#options.workerFile ?? workerFile(), settings);
    let failure: Error | undefined;
    worker.on("message", (notice: Notice) => this.#hear(notice));
    worker.on("error", error => {
      failure = error instanceof Error ? error : new Error(String(error));
    });
    worker.on("exit", code => this.#onExit(failure ?? new Error(`the BFD thread ended with code ${code}`)));
    port1.unref();
    this.#worker = worker;
    this.#port = port1;
    if (open.size === 0) process.on("exit", closeAll);
    open.add(this);
    for (const entry of this.#entries.values()) this.#add(entry);
  }

  #add({ id, path, config, shared }: Entry): void {
    this.#send({ do: "add", id, path, config, shared });
  }

  #send(command: Command): void {
    this.#port?.postMessage(command);
    this.#wake();
  }

  #wake(): void {
    if (this.#wakeFd !== undefined) writeSync(this.#wakeFd, new Uint8Array(BigUint64Array.of(1n).buffer));
  }

  #hear(notice: Notice): void {
    switch (notice.tell) {
      case "ready":
        if (this.#phase === "starting") this.#phase = "running";
        this.#trouble = undefined;
        this.#priority = notice.priority;
        this.#wakeFd = notice.wakeFd;
        // Commands sent until now have told nobody.
        this.#wake();
        break;
      case "deaf":
        this.#trouble = notice.text;
        break;
      case "trouble": {
        const entry = this.#entries.get(notice.id);
        if (entry !== undefined) entry.trouble = notice.text;
        break;
      }
      case "removed":
        this.#entries.delete(notice.id);
        break;
      case "state":
        this.#onState(notice);
    }
  }

  #onState(notice: Extract<Notice, { tell: "state" }>): void {
    const entry = this.#entries.get(notice.id);
    if (entry === undefined || entry.isLeaving || this.#phase === "closed") return;
    entry.since = notice.at;
    entry.onEvent({
      address: pathName(entry.path),
      state: stateName(notice.state),
      previous: stateName(notice.previous),
      cause: notice.cause,
      diagnostic: diagnosticName(notice.diagnostic),
      remoteDiagnostic: diagnosticName(notice.remoteDiagnostic),
      at: notice.at,
    });
  }

  #onExit(error: Error): void {
    this.#worker = undefined;
    this.#port?.close();
    this.#port = undefined;
    this.#wakeFd = undefined;
    this.#closeDescriptors();
    for (const { id, isLeaving } of this.#entries.values()) if (isLeaving) this.#entries.delete(id);
    if (this.#phase === "closed") {
      this.#end();
      return;
    }
    this.#phase = "failed";
    this.#failures++;
    this.#lastFailure = error.message;
    this.#trouble = `the BFD thread has died: ${error.message}`;
    const delay = Date.now() - this.#startedAt >= SOUND_AFTER_MS ? FIRST_RESTART_MS : this.#restartMs;
    this.#restartMs = Math.min(MAX_RESTART_MS, delay === 0 ? 1_000 : delay * 2);
    this.#restartTimer = setTimeout(() => this.#start(), delay);
    for (const listener of this.#failureListeners) listener(error);
  }

  /** A thread that has ended well has closed and forgotten its own, but for the eventfd. */
  #closeDescriptors(): void {
    for (let i = 0; i < THREAD_DESCRIPTORS; i++) closeDescriptor(this.#words, ThreadWord.descriptors + i);
    for (const { words } of this.#entries.values()) closeDescriptor(words, SessionWord.descriptor);
  }

  #end(): void {
    open.delete(this);
    if (open.size === 0) process.off("exit", closeAll);
    this.#closed.resolve();
  }
}

function closeDescriptor(words: Uint32Array, word: number): void {
  const descriptor = words[word]! - 1;
  words[word] = 0;
  if (descriptor >= 0) closeSync(descriptor);
}

function sessionStatus({ path, words, since }: Entry, trouble: string | undefined): BfdSessionStatus {
  const word = (name: keyof typeof SessionWord) => words[SessionWord[name]]!;
  const ms = (name: keyof typeof SessionWord) => word(name) / 1000;
  const last = ms("roundTrip");
  return {
    address: pathName(path),
    localAddress: path.localAddress,
    interface: path.interface,
    multihop: path.multihop,
    state: stateName(word("state") as SessionState),
    since,
    diagnostic: diagnosticName(word("diagnostic")),
    remoteState: stateName(word("remoteState") as SessionState),
    remoteDiagnostic: diagnosticName(word("remoteDiagnostic")),
    localDiscriminator: word("localDiscriminator"),
    remoteDiscriminator: word("remoteDiscriminator"),
    transmitInterval: word("interval") === NEVER ? undefined : ms("interval"),
    detectionTime: ms("detectionTime"),
    remoteTransmitInterval: ms("remoteDesiredMinTx"),
    remoteReceiveInterval: ms("remoteMinRx"),
    remoteMultiplier: word("remoteMultiplier"),
    roundTrip: last === 0 ? undefined : { last, smoothed: ms("smoothedRoundTrip") },
    sent: word("sent"),
    received: word("received"),
    sendErrors: word("sendErrors"),
    ups: word("ups"),
    longestGap: ms("longestGap"),
    longestDelay: ms("longestDelay"),
    trouble,
  };
}

/** Beside this file in the sources and in the package; where everything is bundled into one CommonJS file, beside the bundle. */
function workerFile(): string {
  if (typeof __dirname === "string") return join(__dirname, "bfd-worker.cjs");
  const file = import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js";
  return fileURLToPath(new URL(file, import.meta.url));
}
