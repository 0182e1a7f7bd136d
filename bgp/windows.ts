/**
 * Through what a running daemon can be looked into, the same in both modes: the status socket (which `calctl` asks), the text protocol of
 * BIRD (which `calicoctl` asks), metrics. None of them is what the daemon is for: one that cannot be had is reported, and the sessions go on.
 */

import type { Logger } from "../daemon/log.ts";
import { type ListenAddress, type StatusSource, serveStatus } from "../daemon/status-server.ts";
import metadata from "../package.json" with { type: "json" };
import { serveBirdSockets } from "./bird/socket.ts";
import { birdView } from "./bird/view.ts";
import { type BgpSource, neighborAnswers, serveQueries } from "./queries.ts";

export interface WatchedDaemon extends BgpSource {
  /** Routes of ours in the kernel; undefined where none are installed. */
  readonly kernelRoutes?: number | undefined;
  notReady(): string | undefined;
  status(): unknown;
}

export interface WindowSettings {
  readonly statusSocket: string | undefined;
  /** The folder of bird.ctl and bird6.ctl. */
  readonly birdFolder: string | undefined;
  readonly metrics: ListenAddress | undefined;
}

/** Calico's own says `v0.3.3+birdv1.6.8`. */
const BIRD_VERSION = `calyx-v${metadata.version}+birdv1.6.8`;

export async function openWindows(
  daemon: WatchedDaemon,
  { statusSocket, birdFolder, metrics }: WindowSettings,
  logger: Logger,
): Promise<{ close(): Promise<void> }> {
  const open: { close(): Promise<void> }[] = [];
  const source: StatusSource = {
    liveness: () => undefined,
    readiness: () => daemon.notReady(),
    status: () => daemon.status(),
    serve: (request, response) => serveQueries(daemon, request, response),
    metrics: lazyMetrics(daemon),
  };
  for (const address of [statusSocket === undefined ? undefined : { path: statusSocket }, metrics]) {
    if (address === undefined) continue;
    try {
      open.push(await serveStatus(source, address));
    } catch (error) {
      logger.warn({ reason: (error as Error).message, ...address }, "cannot be asked there");
    }
  }
  if (birdFolder !== undefined) {
    const view = (ipVersion: 4 | 6) => birdView(daemon, BIRD_VERSION, ipVersion);
    const onProblem = (path: string, reason: string) => logger.info({ path, reason }, "no bird socket");
    open.push(await serveBirdSockets(birdFolder, BIRD_VERSION, view, onProblem));
  }
  return {
    close: async () => {
      for (const window of open) await window.close();
    },
  };
}

/** With the first scrape (metrics.ts). */
function lazyMetrics(daemon: WatchedDaemon): { metrics(): Promise<string> } {
  let loaded: Promise<{ metrics(): Promise<string> }> | undefined;
  const metered = {
    get speaker() {
      return daemon.speaker;
    },
    get kernelRoutes() {
      return daemon.kernelRoutes;
    },
    neighbors: () => neighborAnswers(daemon),
  };
  return {
    metrics: async () => {
      loaded ??= import("./metrics.ts").then(({ BgpMetrics }) => new BgpMetrics(metered));
      return (await loaded).metrics();
    },
  };
}

/** `127.0.0.1:9179`, `[::1]:9179`, `:9179`. Undefined where it is none of these. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]*)):(\d+)$/.exec(text) ?? [];
  if (port === undefined || Number(port) > 65535) return undefined;
  return { host: bracketed ?? (plain || "::"), port: Number(port) };
}
