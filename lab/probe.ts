/**
 * Whether one address can be reached from inside a namespace, tried with real packets. All probes of a list run at once
 * from this one process: a socket belongs to the namespace its thread was in when it was made.
 */

import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { Socket } from "node:net";
import { AddressFamily, SocketType, socket } from "../linux/libc.ts";
import { inNamespace } from "../linux/namespace.ts";
import { openStreamSocket, type StreamProtocol } from "../linux/stream-socket.ts";
import { type Ip, ipVersion } from "../net/ip.ts";

export const PROBE_PROTOCOLS = ["TCP", "UDP", "ICMP", "SCTP"] as const;
export type ProbeProtocol = (typeof PROBE_PROTOCOLS)[number];

export type Verdict = "allow" | "deny";

export interface ProbeTarget {
  /** Network namespace to start from. */
  readonly namespace: string;
  readonly address: Ip;
  readonly protocol: ProbeProtocol;
  /** Not for ICMP. */
  readonly port?: number | undefined;
  readonly timeoutMs: number;
}

export class ProbeError extends Error {
  readonly code = "CANNOT_PROBE";
}

/** `allow` is an answer from the other side; everything else, a refusal included, is `deny`. */
export async function probe(target: ProbeTarget): Promise<Verdict> {
  switch (target.protocol) {
    case "TCP":
      return (await connects(target)) ? "allow" : "deny";
    case "UDP":
      return (await echoes(target)) ? "allow" : "deny";
    case "ICMP":
      return (await pings(target)) ? "allow" : "deny";
    case "SCTP":
      return (await connects(target, "sctp")) ? "allow" : "deny";
  }
}

function connects(target: ProbeTarget, protocol: StreamProtocol = "tcp"): Promise<boolean> {
  return new Promise((resolve, reject) => {
    let fd: number;
    try {
      fd = openStreamSocket(ipVersion(target.address), { namespace: target.namespace, protocol });
    } catch (error) {
      const missing = protocol === "sctp" && (error as { code?: string }).code === "EPROTONOSUPPORT";
      reject(
        missing
          ? new ProbeError("SCTP cannot be probed: this kernel has no SCTP sockets (CONFIG_IP_SCTP)")
          : error,
      );
      return;
    }
    const connection = new Socket({ fd, manualStart: true } as never);
    const finish = (result: boolean) => {
      clearTimeout(timer);
      connection.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => finish(false), target.timeoutMs);
    connection.once("connect", () => finish(true));
    connection.once("error", () => finish(false));
    connection.connect({ host: target.address, port: target.port ?? 0 });
  });
}

/** The first packet may be lost to address resolution, so a few are sent. */
const UDP_SENDS_MS = [0, 150, 500, 1000];

function echoes(target: ProbeTarget): Promise<boolean> {
  return new Promise(resolve => {
    const client = createSocket(ipVersion(target.address) === 4 ? "udp4" : "udp6");
    const timers: NodeJS.Timeout[] = [];
    const finish = (result: boolean) => {
      for (const timer of timers) clearTimeout(timer);
      client.close();
      resolve(result);
    };
    timers.push(setTimeout(() => finish(false), target.timeoutMs));
    client.once("message", () => finish(true));
    client.once("error", () => finish(false));
    const family = ipVersion(target.address) === 4 ? AddressFamily.INET : AddressFamily.INET6;
    const fd = inNamespace(target.namespace, () => socket(family, SocketType.DGRAM | SocketType.NONBLOCK, 0));
    client.bind({ fd }, () => {
      for (const ms of UDP_SENDS_MS) {
        timers.push(setTimeout(() => client.send("probe", target.port, target.address, () => {}), ms));
      }
    });
  });
}

function pings({ namespace, address, timeoutMs }: ProbeTarget): Promise<boolean> {
  const seconds = String(Math.ceil(timeoutMs / 1000));
  // The first answer ends it; -i below 0.2 s is for the patient only.
  const args = ["-n", "-q", "-c", "1", "-i", "0.2", "-w", seconds, address];
  return new Promise((resolve, reject) => {
    const child = inNamespace(namespace, () => spawn("ping", args, { stdio: "ignore" }));
    child.once("error", error => reject(new ProbeError(`ping: ${error.message}`)));
    child.once("exit", code => resolve(code === 0));
  });
}
