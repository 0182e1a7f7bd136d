/** One try of one flow: a connection, a datagram or a raw packet that nobody sent before. */

import { Socket } from "node:net";
import { PROTOCOL_NUMBERS, protocolNumber } from "../../crd-schemas/index.ts";
import { bind, setSocketOption } from "../../linux/libc.ts";
import { socketAddress } from "../../linux/socket-address.ts";
import { openStreamSocket } from "../../linux/stream-socket.ts";
import { type Ip, ip, ipVersion } from "../../net/ip.ts";
import type { Flow } from "./flow.ts";
import { adopt, openDatagramSocket } from "./listeners.ts";
import { packetBytes, tokenBytes, tokenOf } from "./payload.ts";
import { bindAnywhere, type RawSockets } from "./raw-sockets.ts";

export type Sign = "answer" | "arrival" | "rejection";

export interface Attempt {
  stop(): void;
}

export interface AttemptContext {
  readonly token: number;
  readonly raw: RawSockets;
  readonly ports: SourcePorts;
  readonly noted: (sign: Sign) => void;
}

/** Errors by which routers and hosts say no. That a packet is not let out of the namespace is one of them. */
const REJECTIONS: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EACCES",
  "EPERM",
]);

/** A port of IPv6 is not IPv4's too. */
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;

const FIRST_PORT = 10_000;
const LAST_PORT = 32_000;

/**
 * Source ports of what has no connections, below those that the kernel takes by itself. Each sender begins anew only after
 * so many that connection tracking has forgotten what an earlier policy let through.
 */
export class SourcePorts {
  readonly #last = new Map<string, number>();

  next(namespace: string): number {
    const last = this.#last.get(namespace) ?? LAST_PORT;
    const port = last === LAST_PORT ? FIRST_PORT : last + 1;
    this.#last.set(namespace, port);
    return port;
  }
}

export function startAttempt(flow: Flow, context: AttemptContext): Attempt {
  switch (protocolNumber(flow.protocol)) {
    case PROTOCOL_NUMBERS.TCP:
      return connection(flow, context);
    case PROTOCOL_NUMBERS.UDP:
      return datagram(flow, context);
    default:
      return rawPacket(flow, context);
  }
}

function isRejection(error: unknown): boolean {
  return REJECTIONS.has(String((error as { code?: unknown }).code));
}

function bindAsAsked(fd: number, { source, sourcePort = 0, address }: Flow): void {
  if (source !== undefined) bindAnywhere(fd, source, sourcePort);
  else if (sourcePort !== 0) {
    if (ipVersion(address) === 6) setSocketOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    bind(fd, socketAddress(anyAddress(address), sourcePort));
  }
}

function anyAddress(like: Ip): Ip {
  return ip(ipVersion(like) === 4 ? "0.0.0.0" : "::");
}

function connection(flow: Flow, { noted }: AttemptContext): Attempt {
  const fd = openStreamSocket(ipVersion(flow.address), { namespace: flow.from.namespace });
  const socket = new Socket({ fd, manualStart: true } as never);
  socket.once("connect", () => noted("answer"));
  socket.on("error", error => {
    if (isRejection(error)) noted("rejection");
  });
  bindAsAsked(fd, flow);
  socket.connect({ host: flow.address, port: flow.port as number });
  // A reset, so that neither end remembers the connection; before there is one, Node would wait for it.
  return { stop: () => void (socket.connecting ? socket.destroy() : socket.resetAndDestroy()) };
}

function datagram(flow: Flow, { token, ports, noted }: AttemptContext): Attempt {
  const fd = openDatagramSocket(flow.from.namespace, flow.address);
  bindAsAsked(fd, { ...flow, sourcePort: flow.sourcePort ?? ports.next(flow.from.namespace) });
  let stopped = false;
  const socket = adopt(fd, flow.address).then(adopted => {
    adopted.on("message", message => {
      if (tokenOf(message) === token) noted("answer");
    });
    adopted.on("error", error => {
      if (isRejection(error)) noted("rejection");
    });
    adopted.once("connect", () => {
      if (stopped) return;
      adopted.send(tokenBytes(token), error => {
        if (error && isRejection(error)) noted("rejection");
      });
    });
    // Connected, so that ICMP errors are told.
    adopted.connect(flow.port as number, flow.address);
    return adopted;
  });
  return {
    stop: () => {
      stopped = true;
      void socket.then(adopted => adopted.close());
    },
  };
}

function rawPacket(flow: Flow, { token, raw, ports, noted }: AttemptContext): Attempt {
  const protocol = protocolNumber(flow.protocol);
  const echo = { type: ipVersion(flow.address) === 4 ? 8 : 128, code: 0 };
  const version = ipVersion(flow.address);
  raw.open(flow.to.namespace, version, protocol);
  const bytes = packetBytes({
    protocol,
    source: flow.source ?? ownAddress(flow),
    destination: flow.address,
    sourcePort: flow.sourcePort ?? ports.next(flow.from.namespace),
    destinationPort: flow.port ?? 0,
    icmp: flow.icmp ?? echo,
    token,
  });
  try {
    raw.send(flow.from.namespace, protocol, flow.address, bytes, flow.source);
  } catch (error) {
    if (!isRejection(error)) throw error;
    noted("rejection");
  }
  return { stop: () => {} };
}

function ownAddress({ from, address }: Flow): Ip {
  return from.addresses.find(own => ipVersion(own) === ipVersion(address)) ?? anyAddress(address);
}
