/** What only the ethtool ioctl can do on every kernel: whether an interface computes the checksums of what it sends. */

import { closeSync } from "node:fs";
import { AddressFamily, ethtoolValue, SocketType, socket } from "./libc.ts";
import { inNamespace, type NamespaceRef } from "./namespace.ts";

/** ETHTOOL_*, linux/ethtool.h */
const GET_TX_CHECKSUM = 0x16;
const SET_TX_CHECKSUM = 0x17;

/** @throws SystemCallError */
export function txChecksumOffload(interfaceName: string, namespace?: NamespaceRef): boolean {
  return withSocket(namespace, fd => ethtoolValue(fd, interfaceName, GET_TX_CHECKSUM, 0) !== 0);
}

/** @throws SystemCallError */
export function setTxChecksumOffload(interfaceName: string, on: boolean, namespace?: NamespaceRef): void {
  withSocket(namespace, fd => ethtoolValue(fd, interfaceName, SET_TX_CHECKSUM, on ? 1 : 0));
}

/** Any socket will do: it says which namespace is meant. */
function withSocket<T>(namespace: NamespaceRef | undefined, use: (fd: number) => T): T {
  const open = () => socket(AddressFamily.INET, SocketType.DGRAM, 0);
  const fd = namespace === undefined ? open() : inNamespace(namespace, open);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}
