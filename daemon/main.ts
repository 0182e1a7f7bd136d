/**
 * The frame of every daemon: runs `body` until it ends or the process is told to stop.
 *
 * SIGTERM and SIGINT abort the signal given to `body`, which then has a moment to put things in order; nothing
 * may depend on that moment, since SIGKILL gives none.
 */

import process from "node:process";
import type { Logger } from "./log.ts";

const SHUTDOWN_GRACE_MS = 3000;

/** Ends the process with one sentence where it cannot do its work. */
export function requireRoot(program: string): void {
  if (process.getuid?.() === 0) return;
  process.stderr.write(`${program} changes this host's kernel state: please run it as root\n`);
  process.exit(1);
}

export async function runDaemon(logger: Logger, body: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const stop = new AbortController();
  const onSignal = (name: NodeJS.Signals) => {
    if (stop.signal.aborted) return;
    logger.info({ signal: name }, "stopping");
    stop.abort(new Error(`stopped by ${name}`));
    setTimeout(() => process.exit(0), SHUTDOWN_GRACE_MS).unref();
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  // A bug must end in a restart with a log line, never in a half-working daemon.
  process.on("unhandledRejection", error => die(logger, error));
  process.on("uncaughtException", error => die(logger, error));
  try {
    await body(stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) die(logger, error);
  }
  process.exit(0);
}

function die(logger: Logger, error: unknown): never {
  logger.fatal({ err: error }, "cannot go on");
  process.exit(1);
}
