/**
 * What a daemon says of itself, over HTTP: `/liveness` and `/readiness` (204, or 503 with the reason),
 * `/metrics` (Prometheus) and `/status` (JSON). Served on a unix socket for tools on the host and, where
 * configured, on a TCP port for Kubernetes probes and Prometheus.
 */

import { lstatSync, mkdirSync, unlinkSync } from "node:fs";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { dirname } from "node:path";
import type { Registry } from "prom-client";

export interface StatusSource {
  /** Undefined when well, else the reason. */
  liveness(): string | undefined;
  readiness(): string | undefined;
  status(): unknown;
  readonly metrics?: Pick<Registry, "metrics">;
  /** What this daemon answers beyond the above; false: nothing of its. */
  serve?(request: IncomingMessage, response: ServerResponse): boolean;
}

/** For one that hangs: a daemon answers between two other things it does. */
const ANSWER_TIMEOUT_MS = 2000;

export type ListenAddress = { readonly path: string } | { readonly host: string; readonly port: number };

/** @throws the listen error (EADDRINUSE, EACCES, ...) */
export async function serveStatus(
  source: StatusSource,
  address: ListenAddress,
): Promise<{ close(): Promise<void> }> {
  const server = createServer((req, res) => {
    const reply = (code: number, type: string, body: string) => {
      res.writeHead(code, { "content-type": type }).end(body);
    };
    const probe = (reason: string | undefined) =>
      reason === undefined ? reply(204, "text/plain", "") : reply(503, "text/plain", `${reason}\n`);
    switch (req.url) {
      case "/liveness":
        return probe(source.liveness());
      case "/readiness":
        return probe(source.readiness());
      case "/status":
        return reply(200, "application/json", `${JSON.stringify(source.status())}\n`);
      case "/metrics":
        if (!source.metrics) return reply(404, "text/plain", "no metrics\n");
        return void source.metrics.metrics().then(
          text => reply(200, "text/plain; version=0.0.4", text),
          error => reply(500, "text/plain", `${error}\n`),
        );
      default:
        if (source.serve?.(req, res)) return;
        return reply(404, "text/plain", "there is /liveness, /readiness, /status and /metrics\n");
    }
  });
  if ("path" in address) {
    mkdirSync(dirname(address.path), { recursive: true });
    await removeStaleSocket(address.path);
  }
  await listen(server, address);
  server.unref();
  return {
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(address, () => {
      server.removeListener("error", reject);
      server.on("error", () => {}); // a broken client connection is the client's
      resolve();
    });
  });
}

/**
 * The socket file of a daemon that was killed is nobody's: the name would stay taken for ever. One that is answered on stays,
 * and listening then fails with EADDRINUSE.
 */
export async function removeStaleSocket(path: string): Promise<void> {
  // Nobody's file is taken for a socket: the path may have been mistyped.
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSocket()) return;
  const answered = await new Promise<boolean>(resolve => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
  if (!answered) unlinkSync(path);
}

/** Asks a daemon's unix socket. Undefined where no daemon answers. */
export async function fetchStatus(
  socketPath: string,
  path = "/status",
  method: "GET" | "POST" = "GET",
): Promise<{ code: number; body: string } | undefined> {
  try {
    const answer = await openStatus(socketPath, path, method);
    let body = "";
    for await (const chunk of answer.setEncoding("utf8")) body += chunk;
    return { code: answer.statusCode ?? 0, body };
  } catch {
    return undefined;
  }
}

/** The same for long answers: to be read as they come. @throws the connection's error */
export function openStatus(
  socketPath: string,
  path: string,
  method: "GET" | "POST" = "GET",
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const req = request({ socketPath, path, method, timeout: ANSWER_TIMEOUT_MS }, resolve);
    req.on("timeout", () => req.destroy(new Error(`no answer within ${ANSWER_TIMEOUT_MS / 1000} s`)));
    req.on("error", reject);
    req.end();
  });
}
