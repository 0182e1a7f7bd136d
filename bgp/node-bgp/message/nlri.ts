/**
 * A list of prefixes, kept as it is on the wire: `length, ceil(length/8) bytes` each. The RIB walks these bytes and
 * never makes a string or an object per prefix; people and tests iterate over text.
 */

import { formatAddress, maskHostBits, parsePrefix } from "../address.ts";
import { OptionError } from "../errors.ts";
import type { Family } from "../route.ts";
import { addressBytes } from "./constants.ts";
import type { Writer } from "./writer.ts";

export class Nlri implements Iterable<string> {
  readonly family: Family;
  readonly bytes: Uint8Array;
  readonly count: number;

  private constructor(family: Family, bytes: Uint8Array, count: number) {
    this.family = family;
    this.bytes = bytes;
    this.count = count;
  }

  /** Undefined where a length is above 32 or 128, or a prefix runs out of the bytes. */
  static parse(family: Family, bytes: Uint8Array): Nlri | undefined {
    const maximum = addressBytes(family) * 8;
    let count = 0;
    let offset = 0;
    while (offset < bytes.length) {
      const length = bytes[offset]!;
      if (length > maximum) return undefined;
      offset += 1 + ((length + 7) >> 3);
      count++;
    }
    return offset === bytes.length ? new Nlri(family, bytes, count) : undefined;
  }

  static of(family: Family, prefixes: Iterable<string>): Nlri {
    const bytes: number[] = [];
    let count = 0;
    for (const text of prefixes) {
      const prefix = parsePrefix(text);
      if (prefix === undefined || prefix.family !== family)
        throw new OptionError("prefix", text, `a prefix of ${family}`);
      bytes.push(prefix.length, ...prefix.address.subarray(0, (prefix.length + 7) >> 3));
      count++;
    }
    return new Nlri(family, Uint8Array.from(bytes), count);
  }

  *[Symbol.iterator](): Generator<string> {
    const size = addressBytes(this.family);
    let offset = 0;
    while (offset < this.bytes.length) {
      const length = this.bytes[offset]!;
      const used = (length + 7) >> 3;
      const address = new Uint8Array(size);
      address.set(this.bytes.subarray(offset + 1, offset + 1 + used));
      maskHostBits(address, 0, size, length);
      yield `${formatAddress(address)}/${length}`;
      offset += 1 + used;
    }
  }
}

/** Writes one prefix; `address` holds at least ceil(length/8) bytes from `offset`. */
export function writePrefix(writer: Writer, address: Uint8Array, offset: number, length: number): void {
  writer.u8(length);
  const end = offset + ((length + 7) >> 3);
  for (let i = offset; i < end; i++) writer.u8(address[i]!);
}
