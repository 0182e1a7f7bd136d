/**
 * A netlink socket for requests: rtnetlink, nfnetlink or any other family.
 *
 * The kernel works on a request inside `send`: when it returns, the answer is in the receive queue, so a request is
 * a plain synchronous call of a few microseconds and no answer can arrive late. That is why there is no
 * promise here, and why only the last message of a batch asks for an acknowledgement: failures of the others are
 * reported anyway, each under its own sequence number, and silence means success.
 *
 * One socket does one request at a time; it receives no multicast (events.ts does, on a socket of its own), so
 * the only thing that can overflow it is its own errors, for which the buffer is made large.
 */

import { closeSync } from "node:fs";
import { NetlinkError } from "../errors.ts";
import {
  AddressFamily,
  attachFilter,
  bind,
  Errno,
  type FilterInstruction,
  MessageFlag,
  receive,
  SocketType,
  SystemCallError,
  send,
  setSocketOption,
  socket,
  socketName,
} from "../libc.ts";
import { inNamespace, type NamespaceRef } from "../namespace.ts";
import {
  ControlType,
  Flag,
  type Message,
  MessageWriter,
  readAcknowledgement,
  readMessages,
} from "./message.ts";

export const Protocol = { ROUTE: 0, NETFILTER: 12 } as const;

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_RCVTIMEO = 20;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;

const BUFFER_BYTES = 8 * 1024 * 1024;
/** An answer that is not there after this long never comes: only a kernel bug gets here. */
const ANSWER_TIMEOUT_SECONDS = 5;
const DUMP_ATTEMPTS = 8;

/** Shared by all sockets of this thread: they are synchronous. Dumps come in pieces of at most 32 KiB, links may be larger. */
const receiveBuffer = new Uint8Array(256 * 1024);

/** A bound netlink socket's descriptor, inside `namespace` if given; the caller closes it. */
export function openNetlinkSocket(options: {
  protocol: number;
  namespace?: NamespaceRef | undefined;
  multicastGroups?: readonly number[];
  /** What the socket with this {@link NetlinkSocket.portId} has caused is not received. */
  exceptCausedBy?: number | undefined;
  receiveBufferBytes?: number;
}): number {
  const open = () => socket(AddressFamily.NETLINK, SocketType.RAW, options.protocol);
  const fd = options.namespace === undefined ? open() : inNamespace(options.namespace, open);
  try {
    enlarge(fd, SO_RCVBUFFORCE, SO_RCVBUF, options.receiveBufferBytes ?? BUFFER_BYTES);
    enlarge(fd, SO_SNDBUFFORCE, SO_SNDBUF, BUFFER_BYTES);
    enable(fd, NETLINK_EXT_ACK);
    const address = new Uint8Array(12);
    address[0] = AddressFamily.NETLINK;
    bind(fd, address);
    if (options.exceptCausedBy !== undefined) attachFilter(fd, notCausedBy(options.exceptCausedBy));
    for (const group of options.multicastGroups ?? []) {
      setSocketOption(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
    }
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Notifications carry the port of the socket whose request they are the outcome of: nlmsg_pid, 12 bytes in. */
function notCausedBy(portId: number): FilterInstruction[] {
  const [LOAD_WORD, JUMP_IF_EQUAL, RETURN] = [0x20, 0x15, 0x06];
  const bytes = new DataView(new ArrayBuffer(4));
  bytes.setUint32(0, portId, true);
  return [
    [LOAD_WORD, 0, 0, 12],
    [JUMP_IF_EQUAL, 0, 1, bytes.getUint32(0)], // Filters read in network order.
    [RETURN, 0, 0, 0],
    [RETURN, 0, 0, 0xffffffff],
  ];
}

/** An option that an old kernel may not know, and that everything works without. */
function enable(fd: number, option: number): void {
  try {
    setSocketOption(fd, SOL_NETLINK, option, 1);
  } catch (error) {
    if (!(error instanceof SystemCallError) || error.code !== "ENOPROTOOPT") throw error;
  }
}

/** Past the sysctl limit where we may (CAP_NET_ADMIN), up to it where not. */
function enlarge(fd: number, force: number, plain: number, bytes: number): void {
  try {
    setSocketOption(fd, SOL_SOCKET, force, bytes);
  } catch (error) {
    if (!(error instanceof SystemCallError) || error.code !== "EPERM") throw error;
    setSocketOption(fd, SOL_SOCKET, plain, bytes);
  }
}

export class NetlinkSocket {
  readonly #fd: number;
  readonly #writer = new MessageWriter();
  #sequence = 1;
  #closed = false;
  #sendBufferBytes = BUFFER_BYTES;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** A socket in the thread's namespace or in the one given; it stays there wherever the thread goes. */
  static open(options: {
    protocol: number;
    namespace?: NamespaceRef | undefined;
    /** Without it the kernel sends the failed request back whole; ipset needs that. Default true. */
    capAcknowledgements?: boolean;
  }): NetlinkSocket {
    const fd = openNetlinkSocket(options);
    try {
      if (options.capAcknowledgements ?? true) enable(fd, NETLINK_CAP_ACK);
      if (options.protocol === Protocol.ROUTE) {
        // Lets the kernel filter dumps. Linux < 4.20 has it not, and then sends everything: callers filter too.
        enable(fd, NETLINK_GET_STRICT_CHK);
      }
      const timeout = new BigInt64Array([BigInt(ANSWER_TIMEOUT_SECONDS), 0n]);
      setSocketOption(fd, SOL_SOCKET, SO_RCVTIMEO, new Uint8Array(timeout.buffer));
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    return new NetlinkSocket(fd);
  }

  /** By which the kernel tells sockets apart. */
  get portId(): number {
    const name = socketName(this.#fd); // struct sockaddr_nl
    return new DataView(name.buffer).getUint32(4, true);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Sends the one message that `write` writes and waits for its acknowledgement. Throws {@link NetlinkError}. */
  request(operation: string, write: (writer: MessageWriter) => void): void {
    const [error] = this.batch(
      [write],
      1,
      (writer, w) => w(writer),
      () => operation,
    );
    if (error) throw error;
  }

  /**
   * Writes one message per item and sends them `perSend` at a time. The result has, in the order of the items, the
   * error of each or undefined; one failure does not keep the others from being carried out.
   *
   * A throw means that nothing is known of the items not yet answered: ENOBUFS (answers lost) or a closed socket.
   */
  batch<T>(
    items: readonly T[],
    perSend: number,
    write: (writer: MessageWriter, item: T) => void,
    operation: (item: T) => string,
  ): (NetlinkError | undefined)[] {
    const results = new Array<NetlinkError | undefined>(items.length).fill(undefined);
    const writer = this.#writer;
    for (let start = 0; start < items.length; start += perSend) {
      const end = Math.min(start + perSend, items.length);
      const firstSequence = this.#takeSequences(end - start);
      writer.reset();
      for (let i = start; i < end; i++) {
        write(writer, items[i]!);
        writer.setSequence(firstSequence + (i - start));
      }
      writer.addFlags(Flag.ACK);
      const lastSequence = firstSequence + (end - start) - 1;
      this.#send(operation(items[start]!), writer.bytes);
      let answered = false;
      while (!answered) {
        for (const message of this.#awaitAnswers(operation(items[start]!))) {
          const index = start + message.sequence - firstSequence;
          if (message.type !== ControlType.ERROR || index < start || index >= end) continue;
          const { errno, explanation } = readAcknowledgement(message);
          if (errno !== 0) results[index] = new NetlinkError(errno, operation(items[index]!), explanation);
          if (message.sequence === lastSequence) answered = true;
        }
      }
    }
    return results;
  }

  /**
   * Sends messages that the caller has written and numbered, and hands every answer that is there when the kernel has
   * worked on them to `onAnswer`. For requests of which it is not known beforehand which are answered. The send buffer
   * grows as needed.
   *
   * @throws NetlinkError ENOBUFS: answers were lost, what became of the requests is not known
   */
  exchange(operation: string, bytes: Uint8Array, onAnswer: (message: Message) => void): void {
    if (this.#closed) throw new NetlinkError(EBADF, operation, "the socket is closed");
    // What an exchange that threw has left behind is no answer to this one.
    for (let left = 0; left >= 0 || left === -Errno.ENOBUFS; )
      left = receive(this.#fd, receiveBuffer, MessageFlag.DONTWAIT);
    if (bytes.length > this.#sendBufferBytes) {
      this.#sendBufferBytes = 2 * bytes.length;
      enlarge(this.#fd, SO_SNDBUFFORCE, SO_SNDBUF, this.#sendBufferBytes);
    }
    this.#send(operation, bytes);
    for (;;) {
      const answers = this.#receive(operation, MessageFlag.DONTWAIT);
      if (answers === undefined) return;
      for (const message of answers) onAnswer(message);
    }
  }

  /**
   * Sends a GET and hands every answer to `decode`; what it returns, undefined left out, is the result.
   * With `Flag.DUMP` in the request that is the whole table. A dump that the kernel calls inconsistent
   * (something changed while it was read) is read again.
   */
  get<T>(
    operation: string,
    write: (writer: MessageWriter) => void,
    decode: (message: Message) => T | undefined,
  ): T[] {
    for (let attempt = 1; ; attempt++) {
      const { values, interrupted } = this.#getOnce(operation, write, decode);
      if (!interrupted) return values;
      if (attempt === DUMP_ATTEMPTS) {
        throw new NetlinkError(Errno.EINTR, operation, `changed while it was read, ${attempt} times`);
      }
    }
  }

  #getOnce<T>(
    operation: string,
    write: (writer: MessageWriter) => void,
    decode: (message: Message) => T | undefined,
  ): { values: T[]; interrupted: boolean } {
    const values: T[] = [];
    const portions = this.portions(operation, write, decode);
    for (;;) {
      const { value, done } = portions.next();
      if (done) return { values, interrupted: value };
      for (const item of value) values.push(item);
    }
  }

  /**
   * Sends a GET and yields the answers as they are read, some hundreds at a time, also where nothing is left of them. Returns whether something changed
   * meanwhile, so that some may have been left out. Whoever does not read to the end has to close the socket.
   */
  *portions<T>(
    operation: string,
    write: (writer: MessageWriter) => void,
    decode: (message: Message) => T | undefined,
  ): Generator<T[], boolean, undefined> {
    const sequence = this.#takeSequences(1);
    this.#writer.reset();
    write(this.#writer);
    this.#writer.setSequence(sequence);
    this.#send(operation, this.#writer.bytes);
    let interrupted = false;
    for (;;) {
      const values: T[] = [];
      let ended = false;
      for (const message of this.#awaitAnswers(operation)) {
        if (message.sequence !== sequence) continue;
        if (message.flags & Flag.DUMP_INTR) interrupted = true;
        if (message.type === ControlType.ERROR || message.type === ControlType.DONE) {
          const { errno, explanation } =
            message.type === ControlType.ERROR ? readAcknowledgement(message) : readDone(message);
          if (errno !== 0) throw new NetlinkError(errno, operation, explanation);
          ended = true;
          break;
        }
        const value = decode(message);
        if (value !== undefined) values.push(value);
        if (!(message.flags & Flag.MULTI)) ended = true;
      }
      yield values;
      if (ended) return interrupted;
    }
  }

  #takeSequences(count: number): number {
    if (this.#sequence + count > 0xffffffff) this.#sequence = 1;
    const first = this.#sequence;
    this.#sequence += count;
    return first;
  }

  #send(operation: string, bytes: Uint8Array): void {
    if (this.#closed) throw new NetlinkError(EBADF, operation, "the socket is closed");
    try {
      send(this.#fd, bytes);
    } catch (error) {
      throw error instanceof SystemCallError
        ? new NetlinkError(error.errno, operation, "send failed")
        : error;
    }
  }

  #awaitAnswers(operation: string): Iterable<Message> {
    const answers = this.#receive(operation, 0);
    if (answers === undefined) throw new NetlinkError(ETIMEDOUT, operation, "the kernel did not answer");
    return answers;
  }

  /** Undefined where there is nothing to receive. */
  #receive(operation: string, flags: number): Iterable<Message> | undefined {
    const length = receive(this.#fd, receiveBuffer, MessageFlag.TRUNC | flags);
    if (length === -Errno.EAGAIN) return undefined;
    if (length === -Errno.ENOBUFS) throw new NetlinkError(-length, operation, "answers were lost");
    if (length < 0) throw new NetlinkError(-length, operation, "recv failed");
    if (length > receiveBuffer.length) throw new NetlinkError(EMSGSIZE, operation, "the answer is too long");
    return readMessages(receiveBuffer.subarray(0, length));
  }
}

const EBADF = 9;
const EMSGSIZE = 90;
const ETIMEDOUT = 110;

/** The end of a dump carries its outcome as an int, negative where the dump failed half-way. */
function readDone(message: Message): { errno: number; explanation?: string } {
  return { errno: message.end - message.offset >= 4 ? -message.view.getInt32(message.offset, true) : 0 };
}
