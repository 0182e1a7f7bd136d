/**
 * Routes as an MRT file (RFC 6396, TABLE_DUMP_V2): the one way to give gobgp many routes with attributes at once. Written out here by hand and not with
 * node-bgp's codec, so that the routes a test starts from do not depend on what it tests.
 */

import { isIPv6 } from "node:net";
import type { OriginatedRoute } from "./daemon.ts";

const TABLE_DUMP_V2 = 13;
const PEER_INDEX_TABLE = 1;
const RIB_IPV4_UNICAST = 2;
const RIB_IPV6_UNICAST = 4;
const AS4 = 2;
const AS_SEQUENCE = 2;
const WELL_KNOWN = 0x40;
const OPTIONAL = 0x80;
const OPTIONAL_TRANSITIVE = 0xc0;
const EXTENDED_LENGTH = 0x10;
const ORIGINS = ["igp", "egp", "incomplete"];

/** Next hops of the routes; gobgp takes none that is unspecified. */
export interface MrtNextHops {
  readonly ipv4: string;
  readonly ipv6: string;
}

/** One after the other they are the file. */
export function mrtRecords(routes: readonly OriginatedRoute[], nextHops: MrtNextHops): Buffer[] {
  const peers = Buffer.concat([u32(1), u16(0), u16(1), u8(AS4), u32(1), u32(1), u32(0)]);
  return [
    record(PEER_INDEX_TABLE, peers),
    ...routes.map((route, i) =>
      record(route.prefix.includes(":") ? RIB_IPV6_UNICAST : RIB_IPV4_UNICAST, rib(i, route, nextHops)),
    ),
  ];
}

function record(subtype: number, body: Buffer): Buffer {
  return Buffer.concat([u32(0), u16(TABLE_DUMP_V2), u16(subtype), u32(body.length), body]);
}

function rib(sequence: number, route: OriginatedRoute, nextHops: MrtNextHops): Buffer {
  const [address = "", length = ""] = route.prefix.split("/");
  const bytes = addressBytes(address).subarray(0, Math.ceil(Number(length) / 8));
  const attributes = attributesOf(route, Buffer.concat([u8(Number(length)), bytes]), nextHops);
  const entry = [u16(0), u32(0), u16(attributes.length), attributes];
  return Buffer.concat([u32(sequence), u8(Number(length)), bytes, u16(1), ...entry]);
}

function attributesOf(route: OriginatedRoute, nlri: Buffer, nextHops: MrtNextHops): Buffer {
  const { prefix, origin = "igp", asPath = [], med, localPref } = route;
  const { communities = [], largeCommunities = [], routeTargets = [] } = route;
  const parts = (text: string) => text.split(":").map(Number);
  const list: Buffer[] = [
    attribute(WELL_KNOWN, 1, u8(ORIGINS.indexOf(origin))),
    attribute(
      WELL_KNOWN,
      2,
      ...(asPath.length > 0 ? [u8(AS_SEQUENCE), u8(asPath.length), ...asPath.map(u32)] : []),
    ),
  ];
  const isIpv6 = prefix.includes(":");
  if (!isIpv6) list.push(attribute(WELL_KNOWN, 3, addressBytes(nextHops.ipv4)));
  if (med !== undefined) list.push(attribute(OPTIONAL, 4, u32(med)));
  if (localPref !== undefined) list.push(attribute(WELL_KNOWN, 5, u32(localPref)));
  if (communities.length > 0)
    list.push(attribute(OPTIONAL_TRANSITIVE, 8, ...communities.flatMap(text => parts(text).map(u16))));
  // RFC 6396 4.3.4 wants only the next hop of MP_REACH_NLRI; gobgp 3.10 reads the whole attribute.
  if (isIpv6) {
    const reach = [u16(2), u8(1), u8(16), addressBytes(nextHops.ipv6), u8(0), nlri];
    list.push(attribute(OPTIONAL, 14, ...reach));
  }
  if (routeTargets.length > 0) {
    const values = routeTargets.map(parts).map(([asn, value]) => [u16(0x0002), u16(asn!), u32(value!)]);
    list.push(attribute(OPTIONAL_TRANSITIVE, 16, ...values.flat()));
  }
  if (largeCommunities.length > 0)
    list.push(attribute(OPTIONAL_TRANSITIVE, 32, ...largeCommunities.flatMap(text => parts(text).map(u32))));
  return Buffer.concat(list);
}

function attribute(flags: number, type: number, ...values: readonly Buffer[]): Buffer {
  const value = Buffer.concat(values);
  if (value.length < 256) return Buffer.concat([u8(flags), u8(type), u8(value.length), value]);
  return Buffer.concat([u8(flags | EXTENDED_LENGTH), u8(type), u16(value.length), value]);
}

function addressBytes(address: string): Buffer {
  if (!isIPv6(address)) return Buffer.from(address.split(".").map(Number));
  const [head = "", tail] = address.split("::");
  const words = (text: string) => (text === "" ? [] : text.split(":").map(word => Number.parseInt(word, 16)));
  const before = words(head);
  const after = words(tail ?? "");
  const gap = new Array(8 - before.length - after.length).fill(0);
  return Buffer.concat([...before, ...gap, ...after].map(u16));
}

function u8(value: number): Buffer {
  return Buffer.from([value]);
}

function u16(value: number): Buffer {
  return Buffer.from([value >>> 8, value & 0xff]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
