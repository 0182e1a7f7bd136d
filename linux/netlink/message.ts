/**
 * The netlink message format, as bytes (RFC 3549, linux/netlink.h).
 *
 * A message is a 16-byte header (length, type, flags, sequence, port), a header that the message type defines,
 * and attributes: length, type, payload, padded to four bytes, nested at will. {@link MessageWriter} builds many
 * messages one after the other in one growing buffer, which then goes to the kernel in one send;
 * {@link readMessages} and {@link AttributeReader} walk a received buffer without copying it. Both are on the path
 * of every route (test/bench/routes.ts), hence plain offsets instead of objects per attribute.
 */

export const HEADER_LENGTH = 16;
export const ATTRIBUTE_HEADER_LENGTH = 4;

/** NLM_F_* */
export const Flag = {
  REQUEST: 0x1,
  MULTI: 0x2,
  ACK: 0x4,
  DUMP_INTR: 0x10,
  DUMP_FILTERED: 0x20,
  /** On a GET: the whole table. */
  DUMP: 0x300,
  /** On a NEW: replace, fail where it exists, create, append. */
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  APPEND: 0x800,
  /** On an acknowledgement: without the request's body, with attributes. */
  CAPPED: 0x100,
  ACK_TLVS: 0x200,
} as const;

/** NLMSG_* */
export const ControlType = { NOOP: 1, ERROR: 2, DONE: 3, OVERRUN: 4 } as const;

const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

const align = (length: number) => (length + 3) & ~3;

/** Builds messages. Numbers are written in host order (little-endian) unless the method says otherwise. */
export class MessageWriter {
  #bytes = new Uint8Array(64 * 1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  #start = 0;

  /** What was written since the last reset; valid until the next write. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  get length(): number {
    return this.#length;
  }

  reset(): void {
    this.#bytes.fill(0, 0, this.#length); // Beyond the end all is zero, always: padding and unset fields.
    this.#length = 0;
  }

  begin(type: number, flags: number, sequence = 0): void {
    this.#start = this.#length;
    const at = this.#extend(HEADER_LENGTH);
    this.#view.setUint16(at + 4, type, true);
    this.#view.setUint16(at + 6, flags, true);
    this.#view.setUint32(at + 8, sequence, true);
  }

  /** Closes the message that the last {@link begin} opened: its length is known now. */
  end(): void {
    this.#view.setUint32(this.#start, this.#length - this.#start, true);
  }

  /** Adds flags to the message that was written last. */
  addFlags(flags: number): void {
    this.#view.setUint16(this.#start + 6, this.#view.getUint16(this.#start + 6, true) | flags, true);
  }

  /** Numbers the message that was written last. */
  setSequence(sequence: number): void {
    this.#view.setUint32(this.#start + 8, sequence, true);
  }

  u8(value: number): void {
    const at = this.#extend(1);
    this.#bytes[at] = value;
  }

  u16(value: number): void {
    const at = this.#extend(2);
    this.#view.setUint16(at, value, true);
  }

  u32(value: number): void {
    const at = this.#extend(4);
    this.#view.setUint32(at, value, true);
  }

  /** Bytes as they are; the caller sees to the padding. */
  raw(bytes: Uint8Array): void {
    const at = this.#extend(bytes.length);
    this.#bytes.set(bytes, at);
  }

  attribute(type: number, payload: Uint8Array): void {
    const at = this.#attribute(type, payload.length);
    this.#bytes.set(payload, at);
  }

  attributeU8(type: number, value: number): void {
    const at = this.#attribute(type, 1);
    this.#bytes[at] = value;
  }

  attributeU16(type: number, value: number): void {
    const at = this.#attribute(type, 2);
    this.#view.setUint16(at, value, true);
  }

  /** Network byte order: ports. */
  attributeU16BigEndian(type: number, value: number): void {
    const at = this.#attribute(type, 2);
    this.#view.setUint16(at, value, false);
  }

  attributeU32(type: number, value: number): void {
    const at = this.#attribute(type, 4);
    this.#view.setUint32(at, value, true);
  }

  /** Network byte order, as nfnetlink has its numbers. */
  attributeU32BigEndian(type: number, value: number): void {
    const at = this.#attribute(type, 4);
    this.#view.setUint32(at, value, false);
  }

  attributeU64BigEndian(type: number, value: bigint): void {
    const at = this.#attribute(type, 8);
    this.#view.setBigUint64(at, value, false);
  }

  /** Text with the zero byte at its end that the kernel wants. */
  attributeString(type: number, text: string): void {
    const bytes = Buffer.from(text, "utf8");
    const at = this.#attribute(type, bytes.length + 1);
    this.#bytes.set(bytes, at);
  }

  /** Opens a nested attribute; everything up to `endNest(mark)` lies in it. */
  nest(type: number): number {
    return this.#attribute(type | NLA_F_NESTED, 0) - ATTRIBUTE_HEADER_LENGTH;
  }

  endNest(mark: number): void {
    this.#view.setUint16(mark, this.#length - mark, true);
  }

  /** Opens a record whose first two bytes are its length (struct rtnexthop); closed like a nest. */
  beginRecord(): number {
    return this.#extend(2);
  }

  #attribute(type: number, payloadLength: number): number {
    const at = this.#extend(align(ATTRIBUTE_HEADER_LENGTH + payloadLength));
    this.#view.setUint16(at, ATTRIBUTE_HEADER_LENGTH + payloadLength, true);
    this.#view.setUint16(at + 2, type, true);
    return at + ATTRIBUTE_HEADER_LENGTH;
  }

  /** `count` zero bytes at the end; where they begin. May replace `#bytes` and `#view`: to be called before either is read. */
  #extend(count: number): number {
    const at = this.#length;
    this.#length = at + count;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }
}

/** A message as it lies in a receive buffer: `view` from `offset` (after the header) to `end`. Not to be kept. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly view: DataView;
  readonly offset: number;
  readonly end: number;
}

/** The messages in `bytes`. A length that does not fit ends the walk: what follows cannot be found any more. */
export function* readMessages(bytes: Uint8Array): Generator<Message> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  while (at + HEADER_LENGTH <= bytes.length) {
    const length = view.getUint32(at, true);
    if (length < HEADER_LENGTH || at + length > bytes.length) return;
    yield {
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      view,
      offset: at + HEADER_LENGTH,
      end: at + length,
    };
    at += align(length);
  }
}

/**
 * Walks the attributes between two offsets: `while (reader.next()) switch (reader.type)`. A malformed length
 * ends the walk, as in the kernel's own parser.
 */
export class AttributeReader {
  type = 0;
  /** Where the payload begins and how long it is, without padding. */
  offset = 0;
  length = 0;
  readonly view: DataView;
  #next: number;
  readonly #end: number;

  constructor(view: DataView, start: number, end: number) {
    this.view = view;
    this.#next = start;
    this.#end = end;
  }

  next(): boolean {
    const at = this.#next;
    if (at + ATTRIBUTE_HEADER_LENGTH > this.#end) return false;
    const length = this.view.getUint16(at, true);
    if (length < ATTRIBUTE_HEADER_LENGTH || at + length > this.#end) return false;
    this.type = this.view.getUint16(at + 2, true) & NLA_TYPE_MASK;
    this.offset = at + ATTRIBUTE_HEADER_LENGTH;
    this.length = length - ATTRIBUTE_HEADER_LENGTH;
    this.#next = at + align(length);
    return true;
  }

  u8(): number {
    return this.length >= 1 ? this.view.getUint8(this.offset) : 0;
  }

  u16(): number {
    return this.length >= 2 ? this.view.getUint16(this.offset, true) : 0;
  }

  u16BigEndian(): number {
    return this.length >= 2 ? this.view.getUint16(this.offset, false) : 0;
  }

  u32(): number {
    return this.length >= 4 ? this.view.getUint32(this.offset, true) : 0;
  }

  u32BigEndian(): number {
    return this.length >= 4 ? this.view.getUint32(this.offset, false) : 0;
  }

  u64BigEndian(): bigint {
    return this.length >= 8 ? this.view.getBigUint64(this.offset, false) : 0n;
  }

  /** A view of the payload, not a copy. */
  bytes(): Uint8Array {
    return new Uint8Array(this.view.buffer, this.view.byteOffset + this.offset, this.length);
  }

  /** Text up to its zero byte. */
  string(): string {
    const bytes = this.bytes();
    const zero = bytes.indexOf(0);
    return Buffer.from(bytes.buffer, bytes.byteOffset, zero < 0 ? bytes.length : zero).toString("utf8");
  }

  /** The attributes inside this one. */
  nested(): AttributeReader {
    return new AttributeReader(this.view, this.offset, this.offset + this.length);
  }
}

/**
 * What an NLMSG_ERROR says: errno 0 is the acknowledgement. Where the kernel says more: `explanation`, in words, and
 * `offset`, where in the request the attribute is that it stumbled over.
 */
export function readAcknowledgement(message: Message): {
  errno: number;
  explanation?: string;
  offset?: number;
} {
  const errno = -message.view.getInt32(message.offset, true);
  if (!(message.flags & Flag.ACK_TLVS)) return { errno };
  // The request follows, all of it or (CAPPED) its header alone, then the attributes.
  const request = message.offset + 4;
  const echoed = message.flags & Flag.CAPPED ? HEADER_LENGTH : message.view.getUint32(request, true);
  const attributes = new AttributeReader(message.view, request + align(echoed), message.end);
  const NLMSGERR_ATTR_MSG = 1;
  const NLMSGERR_ATTR_OFFS = 2;
  const said: { explanation?: string; offset?: number } = {};
  while (attributes.next()) {
    if (attributes.type === NLMSGERR_ATTR_MSG) said.explanation = attributes.string();
    else if (attributes.type === NLMSGERR_ATTR_OFFS) said.offset = attributes.u32();
  }
  return { errno, ...said };
}
