/**
 * The attribute list for an internal neighbor, from the bytes of a set to the bytes that are sent: what {@link exportAttributes} says in
 * values, without making any (a test holds the two together). This is the hot path of sending: a reflector's whole work.
 *
 * NEXT_HOP, LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST are put in, or left out, at their place in the order of types; everything else goes as it
 * came, what we do not know with the Partial bit (RFC 4271 5).
 */

import { readUint16 } from "../address.ts";
import { Trait } from "../message/attribute-scanner.ts";
import { AttributeFlag, AttributeType } from "../message/constants.ts";
import type { Writer } from "../message/writer.ts";
import { type AttributeTable, DEFAULT_LOCAL_PREF } from "./attribute-table.ts";

export interface InternalForm {
  /** RFC 4456: ORIGINATOR_ID and CLUSTER_LIST are added; otherwise they are taken out. */
  readonly isReflected: boolean;
  /** Who has sent it to us. */
  readonly originatorId: number;
  readonly clusterId: number;
  /** Where the 4 bytes of NEXT_HOP are; undefined: it goes into MP_REACH_NLRI. */
  readonly nextHop: Uint8Array | undefined;
  readonly nextHopAt: number;
}

const WELL_KNOWN = AttributeFlag.transitive;
const OPTIONAL = AttributeFlag.optional;
const KNOWN: readonly boolean[] = Array.from({ length: 256 }, (_, type) =>
  Object.values<number>(AttributeType).includes(type),
);

export function writeInternal(writer: Writer, sets: AttributeTable, set: number, form: InternalForm): void {
  const { isReflected } = form;
  const traits = sets.traitsOf(set);
  const bytes = sets.bytesOf(set);
  const end = sets.offsetOf(set) + sets.lengthOf(set);
  let addsNextHop = form.nextHop !== undefined;
  let addsLocalPref = (traits & Trait.hasLocalPref) === 0;
  let addsOriginator = isReflected && (traits & Trait.hasOriginatorId) === 0;
  let addsCluster = isReflected && sets.clusterListLengthOf(set) === 0;
  for (let at = sets.offsetOf(set) + 1 + sets.nextHopLengthOf(set); ; ) {
    const type = at < end ? bytes[at + 1]! : 256;
    if (addsNextHop && type > AttributeType.nextHop) {
      header(writer, WELL_KNOWN, AttributeType.nextHop, 4);
      writer.copyFrom(form.nextHop!, form.nextHopAt, form.nextHopAt + 4);
      addsNextHop = false;
    }
    if (addsLocalPref && type > AttributeType.localPref) {
      header(writer, WELL_KNOWN, AttributeType.localPref, 4).u32(DEFAULT_LOCAL_PREF);
      addsLocalPref = false;
    }
    if (addsOriginator && type > AttributeType.originatorId) {
      header(writer, OPTIONAL, AttributeType.originatorId, 4).u32(form.originatorId);
      addsOriginator = false;
    }
    if (addsCluster && type > AttributeType.clusterList) {
      header(writer, OPTIONAL, AttributeType.clusterList, 4).u32(form.clusterId);
      addsCluster = false;
    }
    if (at >= end) return;
    const flags = bytes[at]!;
    const isLong = (flags & AttributeFlag.extendedLength) !== 0;
    const value = at + (isLong ? 4 : 3);
    const next = value + (isLong ? readUint16(bytes, at + 2) : bytes[at + 2]!);
    if (type === AttributeType.clusterList) {
      if (isReflected) {
        header(writer, OPTIONAL, type, next - value + 4).u32(form.clusterId);
        writer.copyFrom(bytes, value, next);
      }
    } else if (type !== AttributeType.originatorId || isReflected) {
      writer.u8(KNOWN[type] ? flags : flags | AttributeFlag.partial).copyFrom(bytes, at + 1, next);
    }
    at = next;
  }
}

function header(writer: Writer, flags: number, type: number, length: number): Writer {
  if (length <= 255) return writer.u8(flags).u8(type).u8(length);
  return writer
    .u8(flags | AttributeFlag.extendedLength)
    .u8(type)
    .u16(length);
}
