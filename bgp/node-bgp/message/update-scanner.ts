/**
 * UPDATE (RFC 4271 4.3, 4760) read in place, in the sound case: where its prefixes are and what its attributes say, as numbers and
 * offsets into the message. False sends the message to {@link decodeUpdate}, which knows what to do with it.
 */

import { readUint16 } from "../address.ts";
import { AttributeScanner, type ScanContext, Trait } from "./attribute-scanner.ts";

export interface UpdateScanContext extends ScanContext {
  readonly fourOctetAs: boolean;
  /** NLRI of the family come with path identifiers (RFC 7911). */
  readonly addPathIpv4: boolean;
  readonly addPathIpv6: boolean;
}

export class UpdateScanner {
  readonly attributes = new AttributeScanner();
  /** Withdrawn routes field. */
  withdrawnAt = 0;
  withdrawnEnd = 0;
  /** NLRI field. */
  nlriAt = 0;
  nlriEnd = 0;
  /** The AFI whose End-of-RIB this is (RFC 4724 2); 0: it is none. */
  endOfRibAfi = 0;
  /** Prefixes announced, in one of the two places; their attributes are then in the key of {@link attributes}. */
  announces = false;

  /** The body of the message is from `start` to `end`. */
  scan(bytes: Uint8Array, start: number, end: number, context: UpdateScanContext): boolean {
    if (!context.fourOctetAs || end - start < 4) return false;
    this.withdrawnAt = start + 2;
    this.withdrawnEnd = this.withdrawnAt + readUint16(bytes, start);
    if (this.withdrawnEnd + 2 > end) return false;
    const attributesAt = this.withdrawnEnd + 2;
    this.nlriAt = attributesAt + readUint16(bytes, this.withdrawnEnd);
    this.nlriEnd = end;
    if (this.nlriAt > end) return false;
    const { attributes } = this;
    if (!attributes.scan(bytes, attributesAt, this.nlriAt, context)) return false;
    const isWithdrawn = this.withdrawnEnd > this.withdrawnAt;
    const isAnnounced = this.nlriEnd > this.nlriAt;
    const { reachAfi, unreachAfi, traits } = attributes;
    const isFine =
      isSoundNlri(bytes, this.withdrawnAt, this.withdrawnEnd, 32, context.addPathIpv4) &&
      isSoundNlri(bytes, this.nlriAt, this.nlriEnd, 32, context.addPathIpv4) &&
      this.#areFine(bytes, context);
    // Both ways of announcing in one message mean two next hops: not seen in practice.
    if (!isFine || (isAnnounced && reachAfi !== 0)) return false;
    this.announces = isAnnounced || reachAfi !== 0;
    this.endOfRibAfi = 0;
    if (!this.announces) {
      if (isWithdrawn) return true;
      if (!attributes.hasOther && unreachAfi === 0) this.endOfRibAfi = 1;
      else if (!attributes.hasOther && attributes.unreachNlriAt === attributes.unreachNlriEnd)
        this.endOfRibAfi = unreachAfi;
      return true;
    }
    if ((traits & Trait.hasOrigin) === 0 || (traits & Trait.hasAsPath) === 0) return false;
    if (reachAfi !== 0) attributes.makeKey(bytes, attributes.reachNextHopAt, attributes.reachNextHopLength);
    else if (attributes.nextHopAt !== 0) attributes.makeKey(bytes, attributes.nextHopAt, 4);
    else return false;
    return true;
  }

  /** The prefixes in MP_REACH_NLRI and MP_UNREACH_NLRI. */
  #areFine(bytes: Uint8Array, { addPathIpv4, addPathIpv6 }: UpdateScanContext): boolean {
    const { reachAfi, reachNlriAt, reachNlriEnd, unreachAfi, unreachNlriAt, unreachNlriEnd } =
      this.attributes;
    return (
      (reachAfi === 0 ||
        isSoundNlri(
          bytes,
          reachNlriAt,
          reachNlriEnd,
          reachAfi === 1 ? 32 : 128,
          reachAfi === 1 ? addPathIpv4 : addPathIpv6,
        )) &&
      (unreachAfi === 0 ||
        isSoundNlri(
          bytes,
          unreachNlriAt,
          unreachNlriEnd,
          unreachAfi === 1 ? 32 : 128,
          unreachAfi === 1 ? addPathIpv4 : addPathIpv6,
        ))
    );
  }
}

/** Every prefix fits into the list and is no longer than an address. */
export function isSoundNlri(
  bytes: Uint8Array,
  start: number,
  end: number,
  longest: number,
  addPath: boolean,
): boolean {
  const idLength = addPath ? 4 : 0;
  let at = start;
  while (at < end) {
    at += idLength;
    if (at >= end) return false;
    const length = bytes[at]!;
    if (length > longest) return false;
    at += 1 + ((length + 7) >> 3);
  }
  return at === end;
}
