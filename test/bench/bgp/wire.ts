/**
 * BGP messages as bytes, and a reader that counts what it receives. Not node-bgp's codec: the measure must not share what it measures.
 * 4-octet AS numbers, IPv4 unicast, iBGP.
 */

export const MessageType = { open: 1, update: 2, notification: 3, keepalive: 4 } as const;

const HEADER = 19;

function message(type: number, body: Uint8Array): Buffer {
  const bytes = Buffer.alloc(HEADER + body.length, 0xff, "latin1");
  bytes.writeUInt16BE(bytes.length, 16);
  bytes[18] = type;
  bytes.set(body, HEADER);
  return bytes;
}

export const KEEPALIVE = message(MessageType.keepalive, new Uint8Array(0));

export function open(asn: number, holdTime: number, routerId: number): Buffer {
  const capabilities = [
    [1, 4, 0, 1, 0, 1], // IPv4 unicast
    [65, 4, asn >>> 24, (asn >> 16) & 255, (asn >> 8) & 255, asn & 255],
  ].flat();
  const body = Buffer.alloc(12 + capabilities.length);
  body[0] = 4;
  body.writeUInt16BE(asn > 0xffff ? 23456 : asn, 1);
  body.writeUInt16BE(holdTime, 3);
  body.writeUInt32BE(routerId, 5);
  body[9] = 2 + capabilities.length;
  body[10] = 2;
  body[11] = capabilities.length;
  body.set(capabilities, 12);
  return message(MessageType.open, body);
}

export interface Attributes {
  readonly asPath: readonly number[];
  readonly nextHop: number;
  readonly med?: number;
  readonly communities?: readonly number[];
}

/** Most NLRI and withdrawn bytes in one message of 4096. */
const ROOM = 3500;

/** An address as a number, a length. */
export interface Prefixes {
  readonly addresses: Uint32Array;
  readonly lengths: Uint8Array;
}

/** UPDATEs that announce prefixes `from` to `to` with these attributes. */
export function announcements(
  { addresses, lengths }: Prefixes,
  from: number,
  to: number,
  attributes: Attributes,
): Buffer[] {
  const encoded = encodeAttributes(attributes);
  const messages: Buffer[] = [];
  for (let next = from; next < to; ) {
    const nlri = new Uint8Array(ROOM);
    let size = 0;
    for (; next < to && size + 5 <= ROOM; next++)
      size = putPrefix(nlri, size, addresses[next]!, lengths[next]!);
    const body = Buffer.alloc(4 + encoded.length + size);
    body.writeUInt16BE(encoded.length, 2);
    body.set(encoded, 4);
    body.set(nlri.subarray(0, size), 4 + encoded.length);
    messages.push(message(MessageType.update, body));
  }
  return messages;
}

export function withdrawals({ addresses, lengths }: Prefixes, from: number, to: number): Buffer[] {
  const messages: Buffer[] = [];
  for (let next = from; next < to; ) {
    const withdrawn = new Uint8Array(ROOM);
    let size = 0;
    for (; next < to && size + 5 <= ROOM; next++)
      size = putPrefix(withdrawn, size, addresses[next]!, lengths[next]!);
    const body = Buffer.alloc(4 + size);
    body.writeUInt16BE(size, 0);
    body.set(withdrawn.subarray(0, size), 2);
    messages.push(message(MessageType.update, body));
  }
  return messages;
}

function putPrefix(into: Uint8Array, at: number, address: number, length: number): number {
  into[at] = length;
  const bytes = (length + 7) >> 3;
  for (let i = 0; i < bytes; i++) into[at + 1 + i] = (address >>> (24 - 8 * i)) & 255;
  return at + 1 + bytes;
}

function encodeAttributes({ asPath, nextHop, med, communities = [] }: Attributes): Uint8Array {
  const u32 = (number: number) => [number >>> 24, (number >> 16) & 255, (number >> 8) & 255, number & 255];
  const path = asPath.length === 0 ? [] : [2, asPath.length, ...asPath.flatMap(u32)];
  return Uint8Array.from([
    ...[0x40, 1, 1, 0],
    ...[0x40, 2, path.length, ...path],
    ...[0x40, 3, 4, ...u32(nextHop)],
    ...(med === undefined ? [] : [0x80, 4, 4, ...u32(med)]),
    ...[0x40, 5, 4, ...u32(100)],
    ...(communities.length === 0 ? [] : [0xc0, 8, 4 * communities.length, ...communities.flatMap(u32)]),
  ]);
}

export interface Reader {
  onMessage(type: number, bytes: Buffer, start: number, end: number): void;
}

/** Cuts a stream into messages; only what is split between two chunks is copied. */
export class Framing {
  #rest: Buffer = Buffer.alloc(0);

  read(chunk: Buffer, reader: Reader): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (bytes.length - at >= HEADER) {
      const length = bytes.readUInt16BE(at + 16);
      if (bytes.length - at < length) break;
      reader.onMessage(bytes[at + 18]!, bytes, at + HEADER, at + length);
      at += length;
    }
    this.#rest = at === bytes.length ? EMPTY : Buffer.from(bytes.subarray(at));
  }
}

const EMPTY = Buffer.alloc(0);

/** Where the parts of an UPDATE are; the same object every time. */
export interface UpdateParts {
  withdrawnStart: number;
  withdrawnEnd: number;
  attributesStart: number;
  attributesEnd: number;
}

const parts: UpdateParts = { withdrawnStart: 0, withdrawnEnd: 0, attributesStart: 0, attributesEnd: 0 };

export function updateParts(bytes: Buffer, start: number): UpdateParts {
  parts.withdrawnStart = start + 2;
  parts.withdrawnEnd = parts.withdrawnStart + bytes.readUInt16BE(start);
  parts.attributesStart = parts.withdrawnEnd + 2;
  parts.attributesEnd = parts.attributesStart + bytes.readUInt16BE(parts.withdrawnEnd);
  return parts;
}

/** What a reflected route must have: the next hop as its client sent it, and who that was. */
export function readAttributes(
  bytes: Buffer,
  start: number,
  end: number,
): { nextHop: number; hasOriginator: boolean } {
  let nextHop = 0;
  let hasOriginator = false;
  for (let at = start; at < end; ) {
    const isLong = (bytes[at]! & 0x10) !== 0;
    const length = isLong ? bytes.readUInt16BE(at + 2) : bytes[at + 2]!;
    const value = at + (isLong ? 4 : 3);
    if (bytes[at + 1] === 3) nextHop = bytes.readUInt32BE(value);
    if (bytes[at + 1] === 9) hasOriginator = true;
    at = value + length;
  }
  return { nextHop, hasOriginator };
}
