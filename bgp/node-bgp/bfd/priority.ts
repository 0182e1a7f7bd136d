/**
 * How urgent the calling thread is to the kernel. A normal thread keeps 100 ms x 3 on a busy machine; 50 ms x 3 needs more where every
 * processor is busy (bfd/README.md has what was measured). Real time wants CAP_SYS_NICE; without it the next best is tried, quietly, and said.
 */

import { libc } from "./libc.ts";
import type { ThreadPriority } from "./worker-protocol.ts";

const SCHED_FIFO = 1;
/** Children of the thread, should anything start one, are normal. */
const SCHED_RESET_ON_FORK = 0x40000000;
/** Above all normal threads and below what the kernel itself runs: interrupts are at 50. */
const REALTIME_PRIORITY = 10;
const PRIO_PROCESS = 0;
const NICE = -10;
/** Linux takes 0 for the calling thread, not for its process. */
const THIS_THREAD = 0;

/** The best priority up to `wanted` that we are allowed. */
export function setThreadPriority(wanted: ThreadPriority): ThreadPriority {
  const { sched_setscheduler, setpriority } = libc();
  if (wanted === "realtime") {
    const parameter = new Uint8Array(Int32Array.of(REALTIME_PRIORITY).buffer);
    if (sched_setscheduler(THIS_THREAD, SCHED_FIFO | SCHED_RESET_ON_FORK, parameter) === 0) return "realtime";
  }
  if (wanted !== "normal" && setpriority(PRIO_PROCESS, THIS_THREAD, NICE) === 0) return "nice";
  return "normal";
}
