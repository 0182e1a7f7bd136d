/**
 * A list of prefixes, kept as it is on the wire: `length, ceil(length/8) bytes` each, behind a path identifier of four bytes where RFC 7911
 * was negotiated. People and tests iterate over text.
 */

import { formatAddress, maskHostBits, parsePrefix, readUint32 } from "../address.ts";
import { OptionError } from "../errors.ts";
import type { Family } from "../route.ts";
import { addressBytes } from "./constants.ts";
import type { Writer } from "./writer.ts";

/** One prefix of a list: its address begins at `offset` of the bytes. */
export interface NlriEntry {
  readonly offset: number;
  readonly length: number;
  /** 0 in a list without identifiers. */
  readonly pathId: number;
}

export class Nlri implements Iterable<string> {
  readonly family: Family;
  readonly bytes: Uint8Array;
  readonly count: number;
  /** Each prefix has a path identifier. */
  readonly addPath: boolean;

  private constructor(family: Family, bytes: Uint8Array, count: number, addPath: boolean) {
    this.family = family;
    this.bytes = bytes;
    this.count = count;
    this.addPath = addPath;
  }

  /** Undefined where a length is above 32 or 128, or a prefix runs out of the bytes. */
  static parse(family: Family, bytes: Uint8Array, addPath = false): Nlri | undefined {
    const maximum = addressBytes(family) * 8;
    let count = 0;
    let offset = 0;
    while (offset < bytes.length) {
      if (addPath) offset += 4;
      const length = bytes[offset];
      if (length === undefined || length > maximum) return undefined;
      offset += 1 + ((length + 7) >> 3);
      count++;
    }
    return offset === bytes.length ? new Nlri(family, bytes, count, addPath) : undefined;
  }

  /** Prefixes as text, all with this path identifier. */
  static of(family: Family, prefixes: Iterable<string>, pathId?: number): Nlri {
    const bytes: number[] = [];
    let count = 0;
    for (const text of prefixes) {
      const prefix = parsePrefix(text);
      if (prefix === undefined || prefix.family !== family)
        throw new OptionError("prefix", text, `a prefix of ${family}`);
      if (pathId !== undefined) bytes.push(pathId >>> 24, pathId >>> 16, pathId >>> 8, pathId);
      bytes.push(prefix.length, ...prefix.address.subarray(0, (prefix.length + 7) >> 3));
      count++;
    }
    return new Nlri(family, Uint8Array.from(bytes), count, pathId !== undefined);
  }

  *entries(): Generator<NlriEntry> {
    const { bytes, addPath } = this;
    for (let at = 0; at < bytes.length; ) {
      const pathId = addPath ? readUint32(bytes, at) : 0;
      if (addPath) at += 4;
      const length = bytes[at]!;
      yield { offset: at + 1, length, pathId };
      at += 1 + ((length + 7) >> 3);
    }
  }

  *[Symbol.iterator](): Generator<string> {
    const size = addressBytes(this.family);
    for (const { offset, length } of this.entries()) {
      const address = new Uint8Array(size);
      address.set(this.bytes.subarray(offset, offset + ((length + 7) >> 3)));
      maskHostBits(address, 0, size, length);
      yield `${formatAddress(address)}/${length}`;
    }
  }
}

/** Writes one prefix; `address` holds at least ceil(length/8) bytes from `offset`. */
export function writePrefix(writer: Writer, address: Uint8Array, offset: number, length: number): void {
  writer.u8(length).copyFrom(address, offset, offset + ((length + 7) >> 3));
}
