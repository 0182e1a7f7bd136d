/**
 * Structured logging, one JSON line per event on stdout: what a container runtime collects.
 *
 * A line that cannot be written (the disk is full, nobody reads any more) is lost, and nothing else: pino's own way of
 * writing throws where nobody can catch it, then spins at exit until there is room, and an agent must not end for want
 * of a log.
 */

import { writeSync } from "node:fs";
import { type Logger, pino } from "pino";

export type { Logger };

/** Calico's level names (LogSeverityScreen) as pino's. */
const LEVELS: Record<string, string> = {
  debug: "debug",
  info: "info",
  warning: "warn",
  warn: "warn",
  error: "error",
  fatal: "fatal",
  panic: "fatal",
  none: "silent",
};

export function createLogger(name: string, severity = "Info"): Logger {
  return pino({ name, level: levelOf(severity) }, stdout);
}

const STDOUT = 1;
/** A pipe that somebody has made non-blocking may be full for a moment. */
const PATIENCE = 1000;

const stdout = {
  write(line: string): void {
    let rest = Buffer.from(line);
    for (let attempt = 0; rest.length > 0 && attempt < PATIENCE; attempt++) {
      try {
        rest = rest.subarray(writeSync(STDOUT, rest));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return;
      }
    }
  },
};

/** pino's level for Calico's name of it. */
export function levelOf(severity: string): string {
  return LEVELS[severity.toLowerCase()] ?? "info";
}
