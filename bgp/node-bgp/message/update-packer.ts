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

const LONGEST_PREFIX = 4 + 17;

export interface PackerOptions {
  /** Bytes per message: 4096, or more where RFC 8654 was negotiated. */
  readonly maximum?: number;
  /** Prefixes have path identifiers (RFC 7911). */
  readonly addPath?: boolean;
}

export class UpdatePacker {
  readonly #writer: Writer;
  readonly #family: Family;
  readonly #maximum: number;
  readonly #addPath: boolean;
  /** The list being written: attributes and, for MP_REACH_NLRI, next hop; undefined while withdrawing. */
  #attributes: Writer | undefined;
  #nextHop: Writer | undefined;
  #isClassic = true;
  /** Bytes that come behind the prefixes. */
  #tail = 0;
  /** Where the open message starts; -1: none is open. */
  #start = -1;
  #listStart = 0;
  #messages = 0;

  constructor(
    writer: Writer,
    family: Family,
    { maximum = MAX_MESSAGE_LENGTH, addPath = false }: PackerOptions = {},
  ) {
    this.#writer = writer;
    this.#family = family;
    this.#maximum = maximum;
    this.#addPath = addPath;
  }

  /** Messages finished so far. */
  get messages(): number {
    return this.#messages;
  }

  beginWithdraw(): void {
    this.end();
    this.#attributes = undefined;
    this.#nextHop = undefined;
    this.#isClassic = this.#family === Family.ipv4Unicast;
    this.#tail = this.#isClassic ? 2 : 0;
  }

  /**
   * What is added from now on has these attributes. `nextHop` goes into MP_REACH_NLRI; undefined: classic IPv4, NEXT_HOP is among
   * the attributes. Both must stay as they are until the next begin or end.
   *
   * False where the attributes leave no room for a prefix: such routes cannot be told (RFC 4271 9.2: not advertised).
   */
  beginAnnounce(attributes: Writer, nextHop?: Writer): boolean {
    this.end();
    const fixed = HEADER_LENGTH + 4 + 9 + LONGEST_PREFIX;
    if (fixed + attributes.length + (nextHop?.length ?? 0) > this.#maximum) return false;
    this.#attributes = attributes;
    this.#nextHop = nextHop;
    this.#isClassic = nextHop === undefined;
    this.#tail = this.#isClassic ? 0 : attributes.length;
    return true;
  }

  add(address: Uint8Array, offset: number, length: number, pathId = 0): void {
    if (this.#start < 0) this.#open();
    const writer = this.#writer;
    const size = (this.#addPath ? 5 : 1) + ((length + 7) >> 3);
    if (writer.length - this.#start + size + this.#tail > this.#maximum) {
      this.end();
      this.#open();
    }
    if (this.#addPath) writer.u32(pathId);
    writePrefix(writer, address, offset, length);
  }

  addAll(nlri: Nlri): void {
    for (const { offset, length, pathId } of nlri.entries()) this.add(nlri.bytes, offset, length, pathId);
  }

  /** Closes the open message, if any. */
  end(): void {
    if (this.#start < 0) return;
    const writer = this.#writer;
    const attributes = this.#attributes;
    if (this.#isClassic) {
      if (attributes === undefined) {
        writer.patch16(this.#listStart - 2, writer.length - this.#listStart);
        writer.u16(0);
      }
    } else {
      writer.patch16(this.#listStart - 2, writer.length - this.#listStart);
      if (attributes !== undefined) writer.append(attributes);
      writer.patch16(this.#start + HEADER_LENGTH + 2, writer.length - this.#start - HEADER_LENGTH - 4);
    }
    writer.patch16(this.#start + 16, writer.length - this.#start);
    this.#start = -1;
    this.#messages++;
  }

  #open(): void {
    const writer = this.#writer;
    const attributes = this.#attributes;
    this.#start = writer.length;
    writer.u32(0xffffffff).u32(0xffffffff).u32(0xffffffff).u32(0xffffffff).u16(0).u8(MessageType.update);
    writer.u16(0);
    if (this.#isClassic) {
      if (attributes !== undefined) writer.u16(attributes.length).append(attributes);
      this.#listStart = writer.length;
      return;
    }
    const { afi, safi } = afiSafiOf(this.#family);
    const nextHop = this.#nextHop;
    writer
      .u16(0)
      .u8(AttributeFlag.optional | AttributeFlag.extendedLength)
      .u8(nextHop === undefined ? AttributeType.mpUnreach : AttributeType.mpReach)
      .u16(0);
    this.#listStart = writer.length;
    writer.u16(afi).u8(safi);
    if (nextHop !== undefined) writer.u8(nextHop.length).append(nextHop).u8(0);
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
