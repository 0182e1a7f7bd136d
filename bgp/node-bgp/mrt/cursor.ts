/** Reading a record front to back. Reading past its end throws {@link RecordError}. */

import { formatAddress, maskHostBits, readUint16, readUint32 } from "../address.ts";

/** Never leaves this folder: it makes the record a `bad` one. */
export class RecordError extends Error {
  override readonly name = "RecordError";
}

export class Cursor {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#bytes[this.#take(1)]!;
  }

  u16(): number {
    return readUint16(this.#bytes, this.#take(2));
  }

  u32(): number {
    return readUint32(this.#bytes, this.#take(4));
  }

  /** A view, not a copy. */
  bytes(count: number): Uint8Array {
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }

  rest(): Uint8Array {
    return this.bytes(this.left);
  }

  /** 4 or 16 bytes. */
  address(size: number): string {
    return formatAddress(this.bytes(size));
  }

  /** As in NLRI: a length and the bytes it needs. */
  prefix(size: 4 | 16): string {
    const length = this.u8();
    if (length > size * 8) throw new RecordError(`a prefix length of ${length}`);
    const address = new Uint8Array(size);
    address.set(this.bytes((length + 7) >> 3));
    maskHostBits(address, 0, size, length);
    return `${formatAddress(address)}/${length}`;
  }

  #take(count: number): number {
    const at = this.#at;
    if (at + count > this.#bytes.length) {
      throw new RecordError(`${count} bytes wanted at ${at} of ${this.#bytes.length}`);
    }
    this.#at += count;
    return at;
  }
}
