/** The worker's side of a {@link SocketThread}: waits for the socket, lets it be read, posts what came of it. */

import { parentPort, workerData } from "node:worker_threads";
import { pollReadable } from "./libc.ts";

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

/** What the main thread may be behind before this thread leaves the rest in the kernel's bounded buffer. */
const PENDING_LIMIT = 64;
/** Only a guard: a wake-up always comes. But Node cannot end a thread that is inside a system call. */
const GUARD_MS = 2_000;

export interface SocketReader<T> {
  /** Called when the socket is readable, or the time of {@link dueMs} has come. Undefined: nothing to post yet. */
  read(socketFd: number): T | undefined;
  /** In how many milliseconds there is something to post even if nothing more arrives; undefined: never. */
  dueMs?(): number | undefined;
}

/** Until the main thread says stop. */
export function readSocket<T>({ read, dueMs }: SocketReader<T>): void {
  const { socketFd, wakeFd, control: shared } = workerData as WorkerData;
  const control = new Int32Array(shared);
  while (Atomics.load(control, ControlWord.STOP) === 0) {
    const pending = Atomics.load(control, ControlWord.PENDING);
    if (pending >= PENDING_LIMIT) {
      Atomics.wait(control, ControlWord.PENDING, pending, GUARD_MS);
      continue;
    }
    const due = dueMs?.();
    const [readable] = pollReadable([socketFd, wakeFd], Math.min(due ?? GUARD_MS, GUARD_MS));
    if (!readable && due === undefined) continue;
    const batch = read(socketFd);
    if (batch === undefined) continue;
    Atomics.add(control, ControlWord.PENDING, 1);
    parentPort!.postMessage(batch);
  }
}
