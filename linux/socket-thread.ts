/**
 * A thread that sits in poll(2) on a socket and hands over what it reads in batches: nothing is polled, an idle socket
 * costs nothing, and a busy one keeps the main thread only as long as it takes its batches. When the main thread is
 * behind, the worker stops reading, and the kernel's bounded buffer overflows, not our memory.
 */

import { closeSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { eventFd } from "./libc.ts";
import { ControlWord, type WorkerData } from "./socket-thread-loop.ts";

export interface SocketThreadOptions<T> {
  /** Closed when the thread has ended. */
  readonly socketFd: number;
  /** The program in this folder that calls {@link readSocket}: `events-worker`. */
  readonly program: string;
  readonly onBatch: (batch: T) => void;
  /** The worker died, which nothing known makes it do: nothing comes any more. */
  readonly onFailure: (error: Error) => void;
}

/** A worker that sits in a system call cannot be terminated: on exit, wake them all, or Node waits for ever. */
const open = new Set<SocketThread<never>>();
function stopAll(): void {
  for (const thread of open) thread.stop();
}

export class SocketThread<T> {
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #wakeFd: number;
  readonly #control: Int32Array;

  /** An open one keeps the process running, as a listening socket does. */
  constructor({ socketFd, program, onBatch, onFailure }: SocketThreadOptions<T>) {
    const wakeFd = eventFd();
    const control = new SharedArrayBuffer(8);
    this.#wakeFd = wakeFd;
    this.#control = new Int32Array(control);
    this.#worker = new Worker(workerFile(program), {
      name: program,
      workerData: { socketFd, wakeFd, control } satisfies WorkerData,
      execArgv: [], // Not ours: `--input-type` and the like break a worker.
    });
    this.#worker.on("message", (batch: T) => {
      Atomics.sub(this.#control, ControlWord.PENDING, 1);
      Atomics.notify(this.#control, ControlWord.PENDING);
      if (!this.#stopped) onBatch(batch);
    });
    this.#worker.on("error", error => onFailure(error as Error));
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

  /** No batch is delivered after the call; the promise is for the end of the worker, milliseconds later. */
  close(): Promise<void> {
    this.stop();
    return this.#exited;
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
function workerFile(program: string): string {
  if (typeof __dirname === "string") return join(__dirname, `${program}.cjs`);
  return fileURLToPath(new URL(`./${program}.ts`, import.meta.url));
}
