/**
 * Packs prefixes into as few UPDATE messages as they fit, straight into a {@link Writer}: the hot path of sending.
 * IPv4 unicast goes into the classic fields, everything else into MP_REACH/MP_UNREACH, put first as RFC 7606 5.1 asks.
 */

import { Family } from "../route.ts";
import {
  AttributeFlag,
  AttributeType,
  afiSafiOf,
  HEADER_LENGTH,
  MAX_MESSAGE_LENGTH,
  MessageType,
} from "./constants.ts";
import { type Nlri, writePrefix } from "./nlri.ts";
import type { Writer } from "./writer.ts";

const NO_BYTES = new Uint8Array(0);
const LONGEST_PREFIX = 17;

export class UpdatePacker {
  readonly #writer: Writer;
  readonly #family: Family;
  #attributes: Uint8Array = NO_BYTES;
  #nextHop: Uint8Array = NO_BYTES;
  #withdraw = false;
  /** Where the open message starts; -1: none is open. */
  #start = -1;
  #listStart = 0;
  #messages = 0;

  constructor(writer: Writer, family: Family) {
    this.#writer = writer;
    this.#family = family;
  }

  /** Messages finished so far. */
  get messages(): number {
    return this.#messages;
  }

  beginWithdraw(): void {
    this.end();
    this.#withdraw = true;
    this.#attributes = NO_BYTES;
  }

  /** False where the attributes leave no room for a prefix: such routes cannot be told (RFC 4271 9.2: not advertised). */
  beginAnnounce(attributes: Uint8Array, nextHop: Uint8Array = NO_BYTES): boolean {
    this.end();
    if (HEADER_LENGTH + 4 + 9 + attributes.length + nextHop.length + LONGEST_PREFIX > MAX_MESSAGE_LENGTH)
      return false;
    this.#withdraw = false;
    this.#attributes = attributes;
    this.#nextHop = nextHop;
    return true;
  }

  add(address: Uint8Array, offset: number, length: number): void {
    if (this.#start < 0) this.#open();
    const tail = this.#isClassic ? (this.#withdraw ? 2 : 0) : this.#attributes.length;
    const size = 1 + ((length + 7) >> 3);
    if (this.#writer.length - this.#start + size + tail > MAX_MESSAGE_LENGTH) {
      this.end();
      this.#open();
    }
    writePrefix(this.#writer, address, offset, length);
  }

  addAll(nlri: Nlri): void {
    const { bytes } = nlri;
    for (let offset = 0; offset < bytes.length; offset += 1 + ((bytes[offset]! + 7) >> 3)) {
      this.add(bytes, offset + 1, bytes[offset]!);
    }
  }

  /** Closes the open message, if any. */
  end(): void {
    if (this.#start < 0) return;
    const writer = this.#writer;
    if (this.#isClassic) {
      if (this.#withdraw) {
        writer.patch16(this.#listStart - 2, writer.length - this.#listStart);
        writer.u16(0);
      }
    } else {
      writer.patch16(this.#start + HEADER_LENGTH + 6, writer.length - this.#listStart);
      writer.bytes(this.#attributes);
      writer.patch16(this.#start + HEADER_LENGTH + 2, writer.length - this.#start - HEADER_LENGTH - 4);
    }
    writer.patch16(this.#start + 16, writer.length - this.#start);
    this.#start = -1;
    this.#messages++;
  }

  get #isClassic(): boolean {
    return this.#family === Family.ipv4Unicast;
  }

  #open(): void {
    const writer = this.#writer;
    this.#start = writer.length;
    writer.u32(0xffffffff).u32(0xffffffff).u32(0xffffffff).u32(0xffffffff).u16(0).u8(MessageType.update);
    writer.u16(0);
    if (this.#isClassic) {
      if (!this.#withdraw) writer.u16(this.#attributes.length).bytes(this.#attributes);
      this.#listStart = writer.length;
      return;
    }
    const { afi, safi } = afiSafiOf(this.#family);
    const type = this.#withdraw ? AttributeType.mpUnreach : AttributeType.mpReach;
    writer
      .u16(0)
      .u8(AttributeFlag.optional | AttributeFlag.extendedLength)
      .u8(type)
      .u16(0);
    this.#listStart = writer.length;
    writer.u16(afi).u8(safi);
    if (!this.#withdraw) writer.u8(this.#nextHop.length).bytes(this.#nextHop).u8(0);
  }
}

/** The End-of-RIB marker of a family (RFC 4724 2), as a complete message body. */
export function endOfRibBody(family: Family): Uint8Array {
  if (family === Family.ipv4Unicast) return new Uint8Array(4);
  const { afi, safi } = afiSafiOf(family);
  return Uint8Array.of(
    0,
    0,
    0,
    6,
    AttributeFlag.optional,
    AttributeType.mpUnreach,
    3,
    afi >>> 8,
    afi & 0xff,
    safi,
  );
}
