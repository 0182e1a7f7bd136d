/**
 * The UDP sockets of the BFD thread.
 *
 * One receives per family and port, bound to the port alone, and says of each packet the TTL, the interface and the address it was sent to.
 * One sends per session, from a source port of its own (RFC 5881 4) with TTL 255 and DSCP CS6; it is opened with the first packet, and again
 * after any error, because what was wrong (no such interface, no such address yet) may have been mended, and an interface that comes back has
 * another number.
 */

import { formatAddress, parseAddress } from "../address.ts";
import { BfdPort, MAX_TTL, SOURCE_PORT_COUNT, SOURCE_PORT_FIRST } from "./constants.ts";
import { Errno, errorName, type Libc, libc } from "./libc.ts";
import type { Arrival, Sender } from "./session-table.ts";
import { type SessionPath, SessionWord } from "./worker-protocol.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;

const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_BINDTODEVICE = 25;
const IPPROTO_IP = 0;
const IP_TOS = 1;
const IP_TTL = 2;
const IP_PKTINFO = 8;
const IP_RECVTTL = 12;
const IPPROTO_IPV6 = 41;
const IPV6_UNICAST_HOPS = 16;
const IPV6_V6ONLY = 26;
const IPV6_RECVPKTINFO = 49;
const IPV6_PKTINFO = 50;
const IPV6_RECVHOPLIMIT = 51;
const IPV6_HOPLIMIT = 52;
const IPV6_TCLASS = 67;

/** DSCP CS6, network control. */
const TRAFFIC_CLASS = 48 << 2;
const PORT_ATTEMPTS = 16;

export interface Receiver {
  readonly fd: number;
  readonly multihop: boolean;
  readonly isIpv6: boolean;
}

/** Throws an Error that says what the kernel refused. */
export function openReceiver(multihop: boolean, isIpv6: boolean): Receiver {
  const port = multihop ? BfdPort.multihop : BfdPort.singleHop;
  const fd = openSocket(isIpv6);
  try {
    if (isIpv6) {
      setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
      setOption(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
      setOption(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
    } else {
      setOption(fd, IPPROTO_IP, IP_PKTINFO, 1);
      setOption(fd, IPPROTO_IP, IP_RECVTTL, 1);
    }
    const any = new Uint8Array(isIpv6 ? 16 : 4);
    const errno = bind(fd, socketAddress(any, port, 0));
    if (errno !== 0) throw new Error(`UDP port ${port}: ${errorName(errno)}`);
    return { fd, multihop, isIpv6 };
  } catch (error) {
    libc().close(fd);
    throw error;
  }
}

// struct mmsghdr { msghdr { name*, namelen, iov*, iovlen, control*, controllen, flags }, len } with 64 bit alignment.
const HEADER_SIZE = 64;
const NAME = 0;
const NAME_LENGTH = 8;
const VECTOR = 16;
const VECTOR_COUNT = 24;
const CONTROL = 32;
const CONTROL_LENGTH = 40;
const MESSAGE_LENGTH = 56;

/** Packets taken with one call. */
export const BATCH = 32;
const VECTOR_SIZE = 16;
const NAME_SIZE = 32;
/** The rest of a longer one is cut off: no packet that we understand has so much. */
const DATA_SIZE = 128;
const CONTROL_SIZE = 128;

/** Memory outside of the JavaScript heap for a batch of packets, and a view of the one being looked at. */
export class PacketBatch implements Arrival {
  multihop = false;
  ttl = 0;
  interfaceIndex = 0;
  readonly #libc: Libc;
  readonly #address: bigint;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  #isIpv6 = false;
  #source = 0;
  #destination = 0;

  constructor() {
    this.#libc = libc();
    const size = BATCH * (HEADER_SIZE + VECTOR_SIZE + NAME_SIZE + DATA_SIZE + CONTROL_SIZE);
    this.#address = this.#libc.calloc(1, size);
    const memory = this.#libc.view(this.#address, size);
    this.#view = new DataView(memory);
    this.#bytes = new Uint8Array(memory);
    for (let i = 0; i < BATCH; i++) {
      const header = i * HEADER_SIZE;
      this.#putPointer(header + NAME, nameAt(i));
      this.#putPointer(header + VECTOR, vectorAt(i));
      this.#putPointer(header + VECTOR_COUNT, undefined, 1);
      this.#putPointer(header + CONTROL, controlAt(i));
      this.#putPointer(vectorAt(i), dataAt(i));
      this.#putPointer(vectorAt(i) + 8, undefined, DATA_SIZE);
      this.#reset(header);
    }
  }

  /** Hands at most {@link BATCH} packets to `each`; how many there were. */
  receive(receiver: Receiver, each: (bytes: Uint8Array, arrival: Arrival) => void): number {
    const { fd, isIpv6, multihop } = receiver;
    const received = this.#libc.recvmmsg(fd, this.#address, BATCH, MSG_DONTWAIT, null);
    this.#isIpv6 = isIpv6;
    this.multihop = multihop;
    for (let i = 0; i < received; i++) {
      const header = i * HEADER_SIZE;
      this.#readControl(i);
      const length = this.#view.getUint32(header + MESSAGE_LENGTH, true);
      each(this.#bytes.subarray(dataAt(i), dataAt(i) + length), this);
      this.#reset(header);
    }
    return Math.max(0, received);
  }

  /** The kernel writes how much it has filled over how much there is. */
  #reset(header: number): void {
    this.#view.setUint32(header + NAME_LENGTH, NAME_SIZE, true);
    this.#view.setUint32(header + CONTROL_LENGTH, CONTROL_SIZE, true);
  }

  source(): string {
    return this.#text(this.#source);
  }

  destination(): string {
    return this.#text(this.#destination);
  }

  #text(at: number): string {
    return formatAddress(this.#bytes.subarray(at, at + (this.#isIpv6 ? 16 : 4)));
  }

  /** cmsghdr { length, level, type }, data; each aligned to 8. */
  #readControl(index: number): void {
    const view = this.#view;
    this.ttl = 0;
    this.interfaceIndex = 0;
    this.#source = nameAt(index) + (this.#isIpv6 ? 8 : 4);
    const start = controlAt(index);
    // Of the 64 bit lengths the lower half is enough, and needs no BigInt.
    const end = start + view.getUint32(index * HEADER_SIZE + CONTROL_LENGTH, true);
    for (let at = start; at + 16 <= end; ) {
      const length = view.getUint32(at, true);
      if (length < 16) break;
      const level = view.getInt32(at + 8, true);
      const type = view.getInt32(at + 12, true);
      const data = at + 16;
      if (level === IPPROTO_IP && type === IP_TTL) this.ttl = view.getInt32(data, true);
      else if (level === IPPROTO_IPV6 && type === IPV6_HOPLIMIT) this.ttl = view.getInt32(data, true);
      else if (level === IPPROTO_IP && type === IP_PKTINFO) {
        this.interfaceIndex = view.getInt32(data, true);
        this.#destination = data + 8;
      } else if (level === IPPROTO_IPV6 && type === IPV6_PKTINFO) {
        this.interfaceIndex = view.getInt32(data + 16, true);
        this.#destination = data;
      }
      at += (length + 7) & ~7;
    }
  }

  /** A pointer to an offset in our memory, or a number as wide as one. */
  #putPointer(at: number, offset: number | undefined, value = 0): void {
    const word = offset === undefined ? BigInt(value) : this.#address + BigInt(offset);
    this.#view.setBigUint64(at, word, true);
  }
}

const vectorAt = (index: number) => BATCH * HEADER_SIZE + index * VECTOR_SIZE;
const nameAt = (index: number) => BATCH * (HEADER_SIZE + VECTOR_SIZE) + index * NAME_SIZE;
const dataAt = (index: number) => BATCH * (HEADER_SIZE + VECTOR_SIZE + NAME_SIZE) + index * DATA_SIZE;
const controlAt = (index: number) =>
  BATCH * (HEADER_SIZE + VECTOR_SIZE + NAME_SIZE + DATA_SIZE) + index * CONTROL_SIZE;

/** A session's socket. */
export class UdpSender implements Sender {
  readonly #path: SessionPath;
  readonly #isIpv6: boolean;
  readonly #address: Uint8Array;
  readonly #random: () => number;
  readonly #words: Uint32Array;
  #to: Uint8Array;
  #fd = -1;
  #interfaceIndex: number | undefined;

  constructor(path: SessionPath, words: Uint32Array, random: () => number) {
    this.#path = path;
    this.#words = words;
    this.#address = parseAddress(path.address)!;
    this.#isIpv6 = this.#address.length === 16;
    this.#random = random;
    this.#to = new Uint8Array(0);
    this.#interfaceIndex = path.interface === undefined ? undefined : 0;
  }

  get interfaceIndex(): number | undefined {
    return this.#interfaceIndex;
  }

  send(bytes: Uint8Array): string | undefined {
    try {
      if (this.#fd < 0) this.#open();
    } catch (error) {
      return (error as Error).message;
    }
    const { sendto, errno } = libc();
    for (;;) {
      if (sendto(this.#fd, bytes, bytes.length, MSG_DONTWAIT, this.#to, this.#to.length) >= 0)
        return undefined;
      const code = errno();
      if (code === Errno.EINTR) continue;
      this.close();
      return `cannot send to ${this.#path.address}: ${errorName(code)}`;
    }
  }

  close(): void {
    if (this.#fd < 0) return;
    // Forgotten first, closed then: the number of a closed one may be somebody else's at once.
    this.#words[SessionWord.descriptor] = 0;
    libc().close(this.#fd);
    this.#fd = -1;
  }

  #open(): void {
    const { localAddress, interface: name, multihop } = this.#path;
    let interfaceIndex = 0;
    if (name !== undefined) {
      interfaceIndex = libc().if_nametoindex(name);
      this.#interfaceIndex = interfaceIndex;
      if (interfaceIndex === 0) throw new Error(`there is no interface ${name}`);
    }
    const fd = openSocket(this.#isIpv6);
    try {
      if (this.#isIpv6) {
        setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
        setOption(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, MAX_TTL);
        setOption(fd, IPPROTO_IPV6, IPV6_TCLASS, TRAFFIC_CLASS);
      } else {
        setOption(fd, IPPROTO_IP, IP_TTL, MAX_TTL);
        setOption(fd, IPPROTO_IP, IP_TOS, TRAFFIC_CLASS);
      }
      // Nothing is read from it: answers come to the port of the receiver.
      setOption(fd, SOL_SOCKET, SO_RCVBUF, 0);
      if (name !== undefined) {
        setOption(fd, SOL_SOCKET, SO_BINDTODEVICE, new TextEncoder().encode(`${name}\0`));
      }
      const local =
        localAddress === undefined ? new Uint8Array(this.#address.length) : parseAddress(localAddress)!;
      this.#bind(fd, local, interfaceIndex);
    } catch (error) {
      libc().close(fd);
      throw error;
    }
    const port = multihop ? BfdPort.multihop : BfdPort.singleHop;
    this.#to = socketAddress(this.#address, port, interfaceIndex);
    this.#fd = fd;
    this.#words[SessionWord.descriptor] = fd + 1;
  }

  #bind(fd: number, local: Uint8Array, interfaceIndex: number): void {
    for (let attempt = 1; ; attempt++) {
      const port = SOURCE_PORT_FIRST + Math.floor(this.#random() * SOURCE_PORT_COUNT);
      const errno = bind(fd, socketAddress(local, port, interfaceIndex));
      if (errno === 0) return;
      if (errno !== Errno.EADDRINUSE || attempt === PORT_ATTEMPTS) {
        throw new Error(`cannot send from ${formatAddress(local)}: ${errorName(errno)}`);
      }
    }
  }
}

function openSocket(isIpv6: boolean): number {
  const fd = libc().socket(isIpv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new Error(`UDP over IPv${isIpv6 ? 6 : 4}: ${errorName(libc().errno())}`);
  return fd;
}

function setOption(fd: number, level: number, option: number, value: number | Uint8Array): void {
  const bytes = typeof value === "number" ? new Uint8Array(Int32Array.of(value).buffer) : value;
  if (libc().setsockopt(fd, level, option, bytes, bytes.length) === 0) return;
  throw new Error(`socket option ${level}/${option}: ${errorName(libc().errno())}`);
}

/** 0, or errno. */
function bind(fd: number, address: Uint8Array): number {
  return libc().bind(fd, address, address.length) === 0 ? 0 : libc().errno();
}

/** struct sockaddr_in or sockaddr_in6. */
function socketAddress(address: Uint8Array, port: number, scope: number): Uint8Array {
  const isIpv6 = address.length === 16;
  const bytes = new Uint8Array(isIpv6 ? 28 : 16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, isIpv6 ? AF_INET6 : AF_INET, true);
  view.setUint16(2, port);
  bytes.set(address, isIpv6 ? 8 : 4);
  // The scope says something of link-local addresses only, and is ignored with others.
  if (isIpv6) view.setUint32(24, scope, true);
  return bytes;
}
