/** Path attributes from values to bytes, in order of type. */

import { parseAddress, parseIpv4, parseRouterId } from "../address.ts";
import { Origin, type PathAttributes } from "../route.ts";
import { encodeAsPath, needsAs4Path, withoutConfederation } from "./as-path.ts";
import { AS_TRANS, AttributeFlag, AttributeType } from "./constants.ts";
import { Writer } from "./writer.ts";

const WELL_KNOWN = AttributeFlag.transitive;
const OPTIONAL_TRANSITIVE = AttributeFlag.optional | AttributeFlag.transitive;
const OPTIONAL = AttributeFlag.optional;
const ORIGINS: readonly Origin[] = [Origin.igp, Origin.egp, Origin.incomplete];

/** Reused by every encoding: nothing in here is kept. */
const LIST = new Writer();
const VALUE = new Writer();

/**
 * Encodes everything but MP_REACH and MP_UNREACH, in order of type. NEXT_HOP is written where the next hop is IPv4 and
 * `withNextHop`. Nothing is left out for the neighbor's sake: what may go to whom is decided in rib/export.ts.
 */
export function encodeAttributes(
  attributes: PathAttributes,
  options: { readonly fourOctetAs: boolean; readonly withNextHop: boolean },
): Uint8Array {
  const { fourOctetAs } = options;
  const writer = LIST.reset();
  const value = VALUE.reset();
  const put = (type: number, flags: number) => {
    const long = value.length > 255;
    writer.u8(flags | (long ? AttributeFlag.extendedLength : 0)).u8(type);
    if (long) writer.u16(value.length);
    else writer.u8(value.length);
    writer.append(value);
    value.reset();
  };
  value.u8(ORIGINS.indexOf(attributes.origin));
  put(AttributeType.origin, WELL_KNOWN);
  encodeAsPath(value, attributes.asPath, fourOctetAs);
  put(AttributeType.asPath, WELL_KNOWN);
  const nextHop = options.withNextHop && attributes.nextHop ? parseIpv4(attributes.nextHop) : undefined;
  if (nextHop !== undefined) {
    value.bytes(nextHop);
    put(AttributeType.nextHop, WELL_KNOWN);
  }
  if (attributes.med !== undefined) {
    value.u32(attributes.med);
    put(AttributeType.med, OPTIONAL);
  }
  if (attributes.localPref !== undefined) {
    value.u32(attributes.localPref);
    put(AttributeType.localPref, WELL_KNOWN);
  }
  if (attributes.atomicAggregate) put(AttributeType.atomicAggregate, WELL_KNOWN);
  if (attributes.aggregator !== undefined) {
    const { asn, address } = attributes.aggregator;
    if (fourOctetAs) value.u32(asn);
    else value.u16(asn > 0xffff ? AS_TRANS : asn);
    value.bytes(parseIpv4(address)!);
    put(AttributeType.aggregator, OPTIONAL_TRANSITIVE);
  }
  if (attributes.communities?.length) {
    for (const community of attributes.communities)
      for (const part of community.split(":")) value.u16(Number(part));
    put(AttributeType.communities, OPTIONAL_TRANSITIVE);
  }
  if (attributes.originatorId !== undefined) {
    value.u32(parseRouterId(attributes.originatorId)!);
    put(AttributeType.originatorId, OPTIONAL);
  }
  if (attributes.clusterList?.length) {
    for (const id of attributes.clusterList) value.u32(parseRouterId(id)!);
    put(AttributeType.clusterList, OPTIONAL);
  }
  if (attributes.extendedCommunities?.length) {
    for (const community of attributes.extendedCommunities) value.bytes(Buffer.from(community, "hex"));
    put(AttributeType.extendedCommunities, OPTIONAL_TRANSITIVE);
  }
  if (!fourOctetAs) {
    if (needsAs4Path(attributes.asPath)) {
      encodeAsPath(value, withoutConfederation(attributes.asPath), true);
      put(AttributeType.as4Path, OPTIONAL_TRANSITIVE);
    }
    if (attributes.aggregator !== undefined && attributes.aggregator.asn > 0xffff) {
      value.u32(attributes.aggregator.asn).bytes(parseIpv4(attributes.aggregator.address)!);
      put(AttributeType.as4Aggregator, OPTIONAL_TRANSITIVE);
    }
  }
  if (attributes.largeCommunities?.length) {
    for (const community of attributes.largeCommunities)
      for (const part of community.split(":")) value.u32(Number(part));
    put(AttributeType.largeCommunities, OPTIONAL_TRANSITIVE);
  }
  for (const { flags, type, value: raw } of attributes.unknown ?? []) {
    value.bytes(Buffer.from(raw, "hex"));
    put(type, flags | AttributeFlag.partial);
  }
  return writer.copy();
}

/** The next hop as MP_REACH_NLRI has it: 4, 16 or, with a link-local one, 32 bytes. */
export function encodeNextHop(attributes: PathAttributes): Uint8Array | undefined {
  const first = attributes.nextHop === undefined ? undefined : parseAddress(attributes.nextHop);
  const second =
    attributes.linkLocalNextHop === undefined ? undefined : parseAddress(attributes.linkLocalNextHop);
  if (first?.length !== 16 || second === undefined) return first;
  return Uint8Array.of(...first, ...second);
}
