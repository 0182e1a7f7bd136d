/**
 * What a daemon says of itself, over HTTP: `/liveness` and `/readiness` (204, or 503 with the reason),
 * `/metrics` (Prometheus) and `/status` (JSON). Served on a unix socket for tools on the host and, where
 * configured, on a TCP port for Kubernetes probes and Prometheus.
 */

import { existsSync, mkdirSync, unlinkSync } from "node:fs";
import { createServer, request, type Server } from "node:http";
import { connect } from "node:net";
import { dirname } from "node:path";
import type { Registry } from "prom-client";

export interface StatusSource {
  /** Undefined when well, else the reason. */
  liveness(): string | undefined;
  readiness(): string | undefined;
  status(): unknown;
  readonly metrics?: Registry;
}

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
  if (!existsSync(path)) return;
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
export function fetchStatus(
  socketPath: string,
  path = "/status",
): Promise<{ code: number; body: string } | undefined> {
  return new Promise(resolve => {
    const req = request({ socketPath, path, timeout: 2000 }, res => {
      let body = "";
      res.setEncoding("utf8");
      res.on("data", chunk => {
        body += chunk;
      });
      res.on("end", () => resolve({ code: res.statusCode ?? 0, body }));
    });
    req.on("timeout", () => req.destroy());
    req.on("error", () => resolve(undefined));
    req.end();
  });
}
