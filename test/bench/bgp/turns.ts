/**
 * Loaded before a Node program (`--import`): writes its longest turn of the event loop, in ms, into the file $BENCH_TURNS every 100 ms.
 * A timer each millisecond is late by what kept it waiting, so that the figure is up to 1 ms too large; on a machine that is busy
 * otherwise, also by what the scheduler gave to others.
 */

import { renameSync, writeFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";

const file = process.env["BENCH_TURNS"];
if (file !== undefined) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  let seen = 0;
  const write = () => {
    // Only what is longer than before is worth a write, which is work too.
    if (delay.max <= seen) return;
    seen = delay.max;
    writeFileSync(
      `${file}.new`,
      JSON.stringify({ maxMs: delay.max / 1e6 - 1, p99Ms: delay.percentile(99) / 1e6 - 1 }),
    );
    renameSync(`${file}.new`, file);
  };
  // What start-up costs is no turn of a running daemon.
  setTimeout(() => {
    delay.reset();
    seen = 0;
    setInterval(write, 100).unref();
  }, 500).unref();
}
