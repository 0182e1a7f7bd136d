/**
 * MRT records from values, for dumps of one's own table, logs of what was received, and tests. What {@link MrtParser} reads of it is what
 * was given, with these bounds: tables are written as TABLE_DUMP_V2, messages with extended timestamps, AS numbers with 4 bytes.
 */

import { parseAddress, parsePrefix, parseRouterId } from "../address.ts";
import { OptionError } from "../errors.ts";
import { encodeAttributes, encodeNextHop } from "../message/attribute-encoder.ts";
import { AttributeFlag, AttributeType } from "../message/constants.ts";
import { writePrefix } from "../message/nlri.ts";
import { Writer } from "../message/writer.ts";
import { Family, type PathAttributes, type Route } from "../route.ts";
import {
  Bgp4mpSubtype,
  type MrtMessage,
  type MrtPeer,
  type MrtPeerTable,
  type MrtRib,
  type MrtStateChange,
  MrtType,
  TableDumpV2Subtype,
} from "./record.ts";

type Written<T> = Omit<T, "position">;

export function encodeMrtPeers(table: Omit<Written<MrtPeerTable>, "type">): Uint8Array {
  const body = new Writer();
  body.u32(parseRouterId(table.collectorId) ?? 0);
  const name = Buffer.from(table.viewName, "utf8");
  body.u16(name.length).bytes(name).u16(table.peers.length);
  for (const { routerId, address, asn } of table.peers) {
    const bytes = addressOf(address);
    body
      .u8((bytes.length === 16 ? 1 : 0) | 2)
      .u32(parseRouterId(routerId ?? "0.0.0.0") ?? 0)
      .bytes(bytes)
      .u32(asn);
  }
  return record(table.at, MrtType.tableDumpV2, TableDumpV2Subtype.peerIndexTable, body);
}

/** `peers` is the list of the peer table in front of it. All entries have a path identifier, or none (RFC 8050). */
export function encodeMrtRib(
  rib: Omit<Written<MrtRib>, "type" | "format">,
  peers: readonly MrtPeer[],
): Uint8Array {
  const addPath = rib.entries.some(({ pathId }) => pathId !== undefined);
  const isIpv4 = rib.family === Family.ipv4Unicast;
  const prefix = parsePrefix(rib.prefix);
  if (prefix?.family !== rib.family) throw new OptionError("prefix", rib.prefix, `a prefix of ${rib.family}`);
  const body = new Writer();
  body.u32(rib.sequence);
  writePrefix(body, prefix.address, 0, prefix.length);
  body.u16(rib.entries.length);
  for (const { peer, originated, pathId = 0, attributes } of rib.entries) {
    const index = peers.indexOf(peer);
    if (index < 0 || attributes === undefined)
      throw new OptionError("entries", peer.address, "an entry with attributes and a peer of the table");
    body.u16(index).u32(Math.floor(originated / 1000));
    if (addPath) body.u32(pathId);
    const list = storedAttributes(attributes, isIpv4);
    body.u16(list.length).bytes(list);
  }
  const plain = isIpv4 ? TableDumpV2Subtype.ribIpv4Unicast : TableDumpV2Subtype.ribIpv6Unicast;
  const extended = isIpv4
    ? TableDumpV2Subtype.ribIpv4UnicastAddPath
    : TableDumpV2Subtype.ribIpv6UnicastAddPath;
  return record(rib.at, MrtType.tableDumpV2, addPath ? extended : plain, body);
}

export function encodeMrtMessage(message: Omit<Written<MrtMessage>, "type" | "fourOctetAs">): Uint8Array {
  const kinds = message.addPath
    ? [Bgp4mpSubtype.messageAs4AddPath, Bgp4mpSubtype.messageAs4LocalAddPath]
    : [Bgp4mpSubtype.messageAs4, Bgp4mpSubtype.messageAs4Local];
  const body = sessionOf(message).bytes(message.message);
  return record(message.at, MrtType.bgp4mpEt, kinds[message.local ? 1 : 0]!, body);
}

export function encodeMrtStateChange(change: Omit<Written<MrtStateChange>, "type">): Uint8Array {
  const body = sessionOf(change).u16(change.oldState).u16(change.newState);
  return record(change.at, MrtType.bgp4mpEt, Bgp4mpSubtype.stateChangeAs4, body);
}

export interface TableDump {
  /** Dotted quad. */
  readonly collectorId: string;
  readonly viewName?: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** Whoever routes may be from; a route of an address not among them is left out. */
  readonly peers: readonly MrtPeer[];
  /** Paths, those of one prefix behind each other: `speaker.routes()`, or the `paths()` of each. */
  readonly routes: Iterable<Route>;
}

/** A table as an MRT file, piece by piece. */
export function* encodeTableDump({
  collectorId,
  viewName = "",
  at,
  peers,
  routes,
}: TableDump): Generator<Uint8Array> {
  yield encodeMrtPeers({ at, collectorId, viewName, peers });
  const byAddress = new Map(peers.map(peer => [peer.address, peer]));
  let sequence = 0;
  let open: { prefix: string; family: Family; entries: MrtRib["entries"][number][] } | undefined;
  const close = () => encodeMrtRib({ at, sequence: sequence++, ...open! }, peers);
  for (const route of routes) {
    const { prefix, family, source } = route;
    const peer = byAddress.get(source);
    if (peer === undefined) continue;
    if (open !== undefined && open.prefix !== prefix) yield close();
    if (open?.prefix !== prefix) open = { prefix, family, entries: [] };
    open.entries.push({ peer, originated: at, attributes: route, problems: [] });
  }
  if (open !== undefined) yield close();
}

/** RFC 6396 4.3.4: as in an UPDATE, of MP_REACH_NLRI only the next hop. */
function storedAttributes(attributes: PathAttributes, isIpv4: boolean): Uint8Array {
  const hop = encodeNextHop(attributes);
  const inReach = hop !== undefined && !(isIpv4 && hop.length === 4);
  const list = encodeAttributes(attributes, { fourOctetAs: true, withNextHop: !inReach });
  if (!inReach) return list;
  const reach = Uint8Array.of(
    AttributeFlag.optional,
    AttributeType.mpReach,
    hop.length + 1,
    hop.length,
    ...hop,
  );
  const whole = new Uint8Array(list.length + reach.length);
  whole.set(list);
  whole.set(reach, list.length);
  return whole;
}

/** ET: microseconds, then as without. */
function sessionOf({
  at,
  peer,
  localAsn,
  localAddress,
  interfaceIndex,
}: Omit<MrtStateChange, "type" | "position" | "oldState" | "newState">): Writer {
  const remote = addressOf(peer.address);
  const local = addressOf(localAddress);
  if (remote.length !== local.length)
    throw new OptionError("localAddress", localAddress, `of the family of ${peer.address}`);
  return new Writer()
    .u32(Math.round((at - Math.floor(at / 1000) * 1000) * 1000))
    .u32(peer.asn)
    .u32(localAsn)
    .u16(interfaceIndex)
    .u16(remote.length === 4 ? 1 : 2)
    .bytes(remote)
    .bytes(local);
}

function addressOf(text: string): Uint8Array {
  const bytes = parseAddress(text.replace(/%.*$/, ""));
  if (bytes === undefined) throw new OptionError("address", text, "an address");
  return bytes;
}

function record(at: number, type: number, subtype: number, body: Writer): Uint8Array {
  return new Writer()
    .u32(Math.floor(at / 1000))
    .u16(type)
    .u16(subtype)
    .u32(body.length)
    .append(body)
    .copy();
}
