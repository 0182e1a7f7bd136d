/**
 * Connections that the kernel tracks: listing, forgetting and cutting them.
 *
 * A connection that was let through once goes on for as long as conntrack remembers it, and keeps the way it took:
 * when a workload leaves or moves, the entries of its address have to go. Newer kernels pick out IPv4 entries
 * themselves from one DELETE with a filter for each side (2 ms in 10,000 entries, 8 in a table of 262,144 buckets). Older
 * ones call that filter invalid, and for IPv6 Linux 6.18 has its comparison the wrong way round: it deletes every
 * connection but those meant. There, and for many addresses at once, the table is listed and the entries are deleted one
 * by one (30 ms and more).
 */

import { type Ip, type IpVersion, ipVersion } from "../net/ip.ts";
import { isNetlinkError } from "./errors.ts";
import type { NamespaceRef } from "./namespace.ts";
import {
  type FlowTuple,
  inverse,
  readFlow,
  type TrackedFlow,
  type TupleSide,
  writeDeleteByTuple,
  writeDeleteConnections,
  writeDeleteFlow,
  writeListFlows,
  writeTombstone,
} from "./netlink/conntrack.ts";
import { NetlinkSocket, Protocol } from "./netlink/socket.ts";

export type { FlowTuple, TrackedFlow, TupleSide } from "./netlink/conntrack.ts";

const SIDES: readonly TupleSide[] = ["orig-source", "orig-destination", "reply-source", "reply-destination"];

/** TCP_CONNTRACK_SYN_RECV to TCP_CONNTRACK_LAST_ACK: both sides take part in it. */
const TCP_ALIVE = { from: 2, to: 6 } as const;

/** Of the whole table, for each address and side; more of them take longer than a listing. */
const MAX_WALKS = 16;

/** Times that another connection may take the place of one that is cut, between the two messages that cut it. */
const CUT_ATTEMPTS = 3;

export class Conntrack {
  readonly #socket: NetlinkSocket;
  readonly #namespace: NamespaceRef | undefined;
  #kernelFilters: boolean;

  private constructor(socket: NetlinkSocket, namespace: NamespaceRef | undefined, kernelFilters: boolean) {
    this.#socket = socket;
    this.#namespace = namespace;
    this.#kernelFilters = kernelFilters;
  }

  /** `kernelFilters: false` does as on a kernel that cannot filter deletions; by default that is found out. */
  static open(options: { namespace?: NamespaceRef | undefined; kernelFilters?: boolean } = {}): Conntrack {
    const socket = NetlinkSocket.open({ protocol: Protocol.NETFILTER, namespace: options.namespace });
    return new Conntrack(socket, options.namespace, options.kernelFilters ?? true);
  }

  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Forgets every connection that has one of the addresses on one of `sides` (default: on any). None is no error. */
  deleteByAddresses(addresses: readonly Ip[], sides: readonly TupleSide[] = SIDES): void {
    if (sides.length === 0) return;
    for (const version of [4, 6] as const) {
      const own = addresses.filter(address => ipVersion(address) === version);
      if (own.length === 0) continue;
      const filtered = version === 4 && own.length * sides.length <= MAX_WALKS && this.#kernelFilters;
      if (!filtered || !this.#deleteFiltered(own, sides)) this.#deleteOneByOne(version, own, sides);
    }
  }

  /**
   * The connections that are `wanted`, in portions of some hundreds, for those who do something else in between. What
   * begins or ends meanwhile may be among them or not.
   */
  *scan(
    wanted: (original: FlowTuple, reply: FlowTuple) => boolean,
  ): Generator<TrackedFlow[], void, undefined> {
    // A socket of its own, as the other one is needed before this has been read.
    using socket = NetlinkSocket.open({ protocol: Protocol.NETFILTER, namespace: this.#namespace });
    yield* socket.portions(
      "list connections",
      writer => writeListFlows(writer),
      message => readFlow(message, wanted),
    );
  }

  /** Forgets them; those that ended by themselves are no error. */
  forget(flows: readonly TrackedFlow[]): void {
    const results = this.#socket.batch(flows, 100, writeDeleteFlow, describeForgetting);
    for (const error of results) if (error && error.code !== "ENOENT") throw error;
  }

  /**
   * Forgets them so that they end, in both directions: to keep the answering side of a TCP connection from picking it up the
   * other way round, something has to stand in its place (see writeTombstone). Where addresses were translated at the
   * source, answers reach nobody without the entry, and nothing is needed.
   */
  cut(flows: readonly TrackedFlow[]): void {
    this.forget(flows);
    let open = flows.filter(isCutInPlace);
    for (let attempt = 0; open.length > 0 && attempt < CUT_ATTEMPTS; attempt++) {
      const results = this.#socket.batch(open, 100, writeTombstone, describeTombstone);
      const taken: TrackedFlow[] = [];
      for (const [i, error] of results.entries()) {
        if (isNetlinkError(error, "EEXIST")) taken.push(open[i]!);
        // Kernels without zones: then the connection is forgotten, and that is all.
        else if (error && !isNetlinkError(error, "EOPNOTSUPP", "EINVAL")) throw error;
      }
      open = taken;
      // A segment came in between and began it anew.
      this.#socket.batch(
        open,
        100,
        (writer, flow) => writeDeleteByTuple(writer, inverse(flow.reply)),
        describeForgetting,
      );
    }
  }

  /** False where the kernel cannot. */
  #deleteFiltered(addresses: readonly Ip[], sides: readonly TupleSide[]): boolean {
    const kinds = addresses.flatMap(address => sides.map(side => ({ address, side })));
    const results = this.#socket.batch(
      kinds,
      kinds.length,
      (writer, { address, side }) => writeDeleteConnections(writer, address, side),
      ({ address, side }) => `forget connections with ${side} ${address}`,
    );
    this.#kernelFilters = !results.some(error => isNetlinkError(error, "EINVAL", "EOPNOTSUPP"));
    if (!this.#kernelFilters) return false;
    for (const error of results) if (error && error.code !== "ENOENT") throw error;
    return true;
  }

  #deleteOneByOne(version: IpVersion, addresses: readonly Ip[], sides: readonly TupleSide[]): void {
    const wanted = new Set(addresses);
    const has = (original: FlowTuple, reply: FlowTuple): boolean =>
      sides.some(side => {
        const tuple = side.startsWith("orig") ? original : reply;
        return wanted.has(side.endsWith("source") ? tuple.source : tuple.destination);
      });
    const flows = this.#socket.get(
      "list connections",
      writer => writeListFlows(writer, version),
      message => readFlow(message, has),
    );
    this.forget(flows);
  }
}

function isCutInPlace({ tcpState, original, reply }: TrackedFlow): boolean {
  const isAlive = tcpState !== undefined && TCP_ALIVE.from <= tcpState && tcpState <= TCP_ALIVE.to;
  return isAlive && reply.destination === original.source && reply.destinationPort === original.sourcePort;
}

function describeForgetting({ original: { source, destination } }: TrackedFlow): string {
  return `forget a connection from ${source} to ${destination}`;
}

function describeTombstone({ original: { source, destination } }: TrackedFlow): string {
  return `end a connection from ${source} to ${destination}`;
}
