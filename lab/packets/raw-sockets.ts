/**
 * Raw sockets in other namespaces, one for each namespace, IP version and protocol: what protocols without sockets are
 * sent with, and heard with at the other end. Node has no event for them, so while anybody waits they are looked at
 * every few milliseconds, all with one poll.
 */

import { closeSync } from "node:fs";
import {
  AddressFamily,
  bind,
  MessageFlag,
  pollReadable,
  receive,
  SocketType,
  sendTo,
  setSocketOption,
  socket,
} from "../../linux/libc.ts";
import { inNamespace } from "../../linux/namespace.ts";
import { socketAddress } from "../../linux/socket-address.ts";
import { type Ip, type IpVersion, ipVersion } from "../../net/ip.ts";

const LOOK_EVERY_MS = 3;
const BUFFER = new Uint8Array(65536);

/** SOL_IP IP_TRANSPARENT and SOL_IPV6 IPV6_TRANSPARENT: a socket may then be bound to an address that is not there. */
const TRANSPARENT = { 4: [0, 19], 6: [41, 75] } as const;

/** Lets the socket be bound to anybody's address, and binds it. */
export function bindAnywhere(fd: number, address: Ip, port: number): void {
  const [level, option] = TRANSPARENT[ipVersion(address)];
  setSocketOption(fd, level, option, 1);
  bind(fd, socketAddress(address, port));
}

/** What was heard: the packet behind its IP header, and by whom. */
export type Hear = (packet: Uint8Array, namespace: string) => void;

export class RawSockets {
  readonly #sockets = new Map<string, { fd: number; namespace: string; version: IpVersion }>();
  readonly #hear: Hear;
  #timer: NodeJS.Timeout | undefined;

  constructor(hear: Hear) {
    this.#hear = hear;
  }

  /** Listens from now on. */
  open(namespace: string, version: IpVersion, protocol: number): void {
    this.#open(namespace, version, protocol);
  }

  /** @throws SystemCallError where the packet cannot leave: there is no route, or a rule refuses it */
  send(namespace: string, protocol: number, to: Ip, bytes: Uint8Array, from?: Ip): void {
    const version = ipVersion(to);
    if (from === undefined) {
      sendTo(this.#open(namespace, version, protocol), bytes, socketAddress(to, 0));
      return;
    }
    const fd = rawSocket(namespace, version, protocol);
    try {
      bindAnywhere(fd, from, 0);
      sendTo(fd, bytes, socketAddress(to, 0));
    } finally {
      closeSync(fd);
    }
  }

  /** Looks for what has come, until {@link rest}. */
  listen(): void {
    this.#timer ??= setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  rest(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** What has come by now. */
  #look(): void {
    const all = [...this.#sockets.values()];
    const readable = pollReadable(
      all.map(({ fd }) => fd),
      0,
    );
    for (const [i, { fd, namespace, version }] of all.entries()) {
      if (!readable[i]) continue;
      for (;;) {
        const length = receive(fd, BUFFER, MessageFlag.DONTWAIT);
        if (length <= 0) break;
        // IPv4 is heard with its header, IPv6 without.
        const header = version === 4 ? ((BUFFER[0] as number) & 15) * 4 : 0;
        this.#hear(BUFFER.slice(header, length), namespace);
      }
    }
  }

  close(): void {
    this.rest();
    for (const { fd } of this.#sockets.values()) closeSync(fd);
    this.#sockets.clear();
  }

  #open(namespace: string, version: IpVersion, protocol: number): number {
    const name = `${namespace} ${version} ${protocol}`;
    const known = this.#sockets.get(name);
    if (known) return known.fd;
    const fd = rawSocket(namespace, version, protocol);
    this.#sockets.set(name, { fd, namespace, version });
    return fd;
  }
}

function rawSocket(namespace: string, version: IpVersion, protocol: number): number {
  const family = version === 4 ? AddressFamily.INET : AddressFamily.INET6;
  return inNamespace(namespace, () => socket(family, SocketType.RAW | SocketType.NONBLOCK, protocol));
}
