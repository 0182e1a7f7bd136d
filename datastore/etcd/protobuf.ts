/**
 * Protocol Buffers on the wire, as much as etcd's messages need (`messages.ts`): a message is a sequence of
 * fields, each a number with a varint or with bytes (texts, messages) after it. Fields that a reader does not
 * know are passed over, which is how messages grow between versions.
 *
 * Integers are numbers: etcd's count writes, and 2^53 of them are not reached in a lifetime.
 */

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** Messages are written from the inside out, because each is preceded by its length. */
export function bytesField(field: number, value: Uint8Array): Buffer {
  const head = [...varint(field * 8 + BYTES), ...varint(value.length)];
  const buffer = Buffer.allocUnsafe(head.length + value.length);
  buffer.set(head);
  buffer.set(value, head.length);
  return buffer;
}

export function textField(field: number, value: string): Buffer {
  return bytesField(field, Buffer.from(value));
}

export function integerField(field: number, value: number): Buffer {
  return Buffer.from([...varint(field * 8 + VARINT), ...varint(value)]);
}

export function messageField(field: number, ...fields: readonly Uint8Array[]): Buffer {
  return bytesField(field, Buffer.concat(fields));
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
  return bytes;
}

/**
 * Goes through a message: `while (fields.next()) switch (fields.field) ...`; a field that is not asked for is
 * passed over by the next `next()`.
 * @throws RangeError where the message ends in the middle of something
 */
export class Fields {
  field = 0;
  readonly #buffer: Buffer;
  #at = 0;
  /** Where the next field begins; undefined while that is behind a varint not yet read. */
  #next: number | undefined = 0;
  #wire = VARINT;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  next(): boolean {
    if (this.#next === undefined) this.integer();
    this.#at = this.#next!;
    if (this.#at >= this.#buffer.length) return false;
    const tag = this.#varint();
    this.field = Math.floor(tag / 8);
    this.#wire = tag % 8;
    if (this.#wire === VARINT) this.#next = undefined;
    else {
      const length = this.#length();
      this.#next = this.#at + length;
      if (this.#next > this.#buffer.length) throw new RangeError("a message was cut off");
    }
    return true;
  }

  integer(): number {
    const value = this.#varint();
    this.#next = this.#at;
    return value;
  }

  flag(): boolean {
    return this.integer() !== 0;
  }

  bytes(): Buffer {
    return this.#buffer.subarray(this.#at, this.#next);
  }

  text(): string {
    return this.#buffer.toString("utf8", this.#at, this.#next);
  }

  message(): Fields {
    return new Fields(this.bytes());
  }

  #length(): number {
    switch (this.#wire) {
      case BYTES:
        return this.#varint();
      case FIXED64:
        return 8;
      case FIXED32:
        return 4;
      default:
        throw new RangeError(`a field of unknown wire type ${this.#wire}`);
    }
  }

  #varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#buffer[this.#at++];
      if (byte === undefined) throw new RangeError("a message was cut off");
      if (byte < 128) return value + byte * scale;
      value += (byte - 128) * scale;
    }
  }
}
