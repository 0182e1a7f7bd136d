/**
 * What a workload started with `--serve tcp:80,udp:81` runs inside: on TCP a tiny HTTP server that is an echo
 * server to whoever does not speak HTTP, on UDP an echo. Started in the workload's network namespace.
 *
 *   node lab/serve.ts NAME tcp:80 udp:81
 */

import { createSocket } from "node:dgram";
import { createServer, type Socket } from "node:net";
import process from "node:process";
import { openStreamListener } from "../linux/stream-socket.ts";
import { ip } from "../net/ip.ts";

export type ServedProtocol = "tcp" | "udp" | "sctp";

export interface ServedPort {
  readonly protocol: ServedProtocol;
  readonly port: number;
}

export class ServeSpecError extends Error {
  readonly code = "INVALID_SERVE";
  constructor(text: string, expected: string) {
    super(`--serve ${text}: expected ${expected}`);
    this.name = "ServeSpecError";
  }
}

/** `tcp:80,udp:81` */
export function parseServed(text: string): ServedPort[] {
  return text.split(",").map(item => {
    const [protocol, port] = item.trim().toLowerCase().split(":");
    if (protocol !== "tcp" && protocol !== "udp" && protocol !== "sctp") {
      throw new ServeSpecError(item, "PROTOCOL:PORT with tcp, udp or sctp");
    }
    if (!/^\d{1,5}$/.test(port ?? "") || Number(port) < 1 || Number(port) > 65535) {
      throw new ServeSpecError(item, "a port from 1 to 65535");
    }
    return { protocol, port: Number(port) };
  });
}

function answerTcp(name: string, socket: Socket): void {
  socket.on("error", () => socket.destroy());
  socket.setTimeout(30_000, () => socket.destroy());
  let request = "";
  let speaksHttp: boolean | undefined;
  socket.on("data", chunk => {
    if (speaksHttp === false) {
      socket.write(chunk);
      return;
    }
    request += chunk.toString("latin1");
    speaksHttp ??= request.length < 4 ? undefined : /^(GET |HEAD|POST|PUT )/.test(request);
    if (speaksHttp === undefined && !request.includes("\n")) return;
    if (!speaksHttp) {
      speaksHttp = false;
      socket.write(Buffer.from(request, "latin1"));
    } else if (request.includes("\r\n\r\n")) {
      const body = `${name} sees ${socket.remoteAddress?.replace(/^::ffff:/, "")}\n`;
      socket.end(
        `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
      );
    }
  });
}

function openSctp(port: number): number {
  try {
    return openStreamListener({ ip: ip("0.0.0.0"), port, protocol: "sctp" });
  } catch (error) {
    if ((error as { code?: string }).code !== "EPROTONOSUPPORT") throw error;
    throw new ServeSpecError(`sctp:${port}`, "tcp or udp: this kernel has no SCTP sockets (CONFIG_IP_SCTP)");
  }
}

/** Rejects where a port cannot be had. */
async function serve(name: string, served: ServedPort): Promise<void> {
  if (served.protocol === "tcp") {
    const server = createServer({ noDelay: true }, socket => answerTcp(name, socket));
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(served.port, resolve));
  } else if (served.protocol === "udp") {
    const socket = createSocket({ type: "udp6", ipv6Only: false });
    socket.on("message", (message, from) => socket.send(message, from.port, from.address));
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind(served.port, () => resolve());
    });
    socket.on("error", () => {}); // an ICMP error of a peer that is gone
  } else {
    const server = createServer(socket => answerTcp(name, socket));
    const fd = openSctp(served.port);
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen({ fd }, resolve));
  }
}

if (import.meta.main) {
  const [name = "workload", ...specs] = process.argv.slice(2);
  try {
    for (const served of parseServed(specs.join(","))) await serve(name, served);
    // Whoever started this waits for the line: from here on the ports answer.
    process.stdout.write("ready\n");
  } catch (error) {
    process.stdout.write(`failed: ${(error as Error).message}\n`);
    process.exit(1);
  }
}
