/**
 * Stream sockets made in a namespace of choice, which is what they keep for life. They are file descriptors: a client's goes to
 * `new net.Socket({ fd })` before connecting, a listener's to `server.listen({ fd })`.
 */

import { closeSync } from "node:fs";
import { type Ip, type IpVersion, ipVersion } from "../net/ip.ts";
import { AddressFamily, bind, listen, SocketType, setSocketOption, socket } from "./libc.ts";
import { inNamespace, type NamespaceRef } from "./namespace.ts";
import { socketAddress } from "./socket-address.ts";

const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const IPPROTO_TCP = 6;
const IPPROTO_IPV6 = 41;
const IPPROTO_SCTP = 132;
const IPV6_V6ONLY = 26;
/** Who dials in the same moment waits here: a short queue costs seconds of retries. */
const BACKLOG = 1024;

/** One-to-one SCTP sockets (RFC 6458 4) are used like TCP's, where the kernel has them: else EPROTONOSUPPORT. */
export type StreamProtocol = "tcp" | "sctp";

export interface StreamOptions {
  /** Default: the thread's. */
  readonly namespace?: NamespaceRef | undefined;
  /** Default: TCP. */
  readonly protocol?: StreamProtocol | undefined;
}

/** Non-blocking, not connected. @throws SystemCallError */
export function openStreamSocket(version: IpVersion, options: StreamOptions = {}): number {
  const family = version === 4 ? AddressFamily.INET : AddressFamily.INET6;
  const protocol = options.protocol === "sctp" ? IPPROTO_SCTP : IPPROTO_TCP;
  const open = () => socket(family, SocketType.STREAM | SocketType.NONBLOCK, protocol);
  return options.namespace === undefined ? open() : inNamespace(options.namespace, open);
}

/** Listening. An IPv6 one takes IPv6 only, so that `0.0.0.0` and `::` can share a port. @throws SystemCallError */
export function openStreamListener(
  options: StreamOptions & { readonly ip: Ip; readonly port: number },
): number {
  const version = ipVersion(options.ip);
  const fd = openStreamSocket(version, options);
  try {
    setSocketOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (version === 6) setSocketOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    bind(fd, socketAddress(options.ip, options.port));
    listen(fd, BACKLOG);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
