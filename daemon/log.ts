/** Structured logging, one JSON line per event on stdout: what a container runtime collects. */

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
  return pino({ name, level: levelOf(severity) });
}

/** pino's level for Calico's name of it. */
export function levelOf(severity: string): string {
  return LEVELS[severity.toLowerCase()] ?? "info";
}
