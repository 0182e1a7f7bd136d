/**
 * Packets that are alike, told together: a million denied packets of one scanner are as many log messages, and one entry here.
 * Bounded: what does not fit between two hand-overs is counted as lost, and so is what the kernel's numbering says
 * never arrived.
 */

import type { Ip } from "../../net/ip.ts";
import type { LoggedPacket } from "./message.ts";

/** Packets with one prefix between two addresses, to one port. */
export interface LoggedFlow {
  readonly group: number;
  readonly prefix: string;
  readonly protocol: number;
  readonly source: Ip;
  readonly destination: Ip;
  /** Of the latest packet: it differs from connection to connection. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly icmp?: { readonly type: number; readonly code: number };
  /** Of the first packet. */
  readonly inInterface?: number;
  readonly outInterface?: number;
  readonly packets: number;
  readonly bytes: number;
  /** Milliseconds since the epoch. */
  readonly first: number;
  readonly last: number;
}

export interface LogBatch {
  readonly flows: readonly LoggedFlow[];
  /** Packets that are not in them. */
  readonly lost: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class PacketTally {
  readonly #maxFlows: number;
  #flows = new Map<string, Mutable<LoggedFlow>>();
  #lost = 0;
  /** By group: the number that the next packet should have. */
  readonly #expected = new Map<number, number>();

  constructor(maxFlows: number) {
    this.#maxFlows = maxFlows;
  }

  get isEmpty(): boolean {
    return this.#flows.size === 0 && this.#lost === 0;
  }

  add({ group, prefix, sequence, packet, ...interfaces }: LoggedPacket, now: number): void {
    const expected = this.#expected.get(group) ?? sequence;
    this.#lost += (sequence - expected) >>> 0;
    this.#expected.set(group, (sequence + 1) >>> 0);

    const { source, destination, protocol, sourcePort, destinationPort, icmp, bytes } = packet;
    const target = destinationPort ?? (icmp && `${icmp.type}/${icmp.code}`) ?? "";
    const key = `${group} ${source} ${destination} ${protocol} ${target} ${prefix}`;
    const known = this.#flows.get(key);
    if (known !== undefined) {
      known.packets++;
      known.bytes += bytes;
      known.last = now;
      if (sourcePort !== undefined) known.sourcePort = sourcePort;
      return;
    }
    if (this.#flows.size >= this.#maxFlows) {
      this.#lost++;
      return;
    }
    const { bytes: _, ...ends } = packet;
    this.#flows.set(key, { group, prefix, ...interfaces, ...ends, packets: 1, bytes, first: now, last: now });
  }

  /** All since the last call. */
  take(): LogBatch {
    const batch = { flows: [...this.#flows.values()], lost: this.#lost };
    this.#flows = new Map();
    this.#lost = 0;
    return batch;
  }
}
