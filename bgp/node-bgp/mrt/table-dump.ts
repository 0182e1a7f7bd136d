/** TABLE_DUMP (RFC 6396 4.2) and TABLE_DUMP_V2 (4.3). */

import { formatAddress, formatRouterId, isLinkLocal, maskHostBits } from "../address.ts";
import { MessageError } from "../errors.ts";
import { decodeAttributes, type UpdateProblem } from "../message/attribute-decoder.ts";
import { AttributeFlag, AttributeType, addressBytes } from "../message/constants.ts";
import { Family, type PathAttributes } from "../route.ts";
import { Cursor, RecordError } from "./cursor.ts";
import {
  type MrtPeer,
  type MrtPeerTable,
  type MrtRib,
  type MrtRibEntry,
  TableDumpV2Subtype as Subtype,
} from "./record.ts";

interface Base {
  readonly at: number;
  readonly position: number;
}

const TABLE_DUMP_FAMILIES: Readonly<Record<number, Family>> = {
  1: Family.ipv4Unicast,
  2: Family.ipv6Unicast,
};

/** One path of one prefix, with 2-byte AS numbers. */
export function decodeTableDump(subtype: number, base: Base, cursor: Cursor): MrtRib | undefined {
  const family = TABLE_DUMP_FAMILIES[subtype];
  if (family === undefined) return undefined;
  const size = addressBytes(family);
  cursor.u16(); // view
  const sequence = cursor.u16();
  const network = cursor.bytes(size).slice();
  const length = cursor.u8();
  if (length > size * 8) throw new RecordError(`a prefix length of ${length}`);
  maskHostBits(network, 0, size, length);
  cursor.u8(); // status, always 1
  const originated = cursor.u32() * 1000;
  const peer = { address: cursor.address(size), asn: cursor.u16() };
  const stored = readStored(cursor.bytes(cursor.u16()), family, false);
  if (cursor.left > 0) throw new RecordError(`${cursor.left} bytes behind the attributes`);
  const prefix = `${formatAddress(network)}/${length}`;
  const entries = [{ peer, originated, ...stored }];
  return { type: "rib", format: "table-dump", ...base, sequence, family, prefix, entries };
}

interface RibKind {
  readonly family: Family;
  readonly addPath: boolean;
}

const RIBS: Readonly<Record<number, RibKind>> = {
  [Subtype.ribIpv4Unicast]: { family: Family.ipv4Unicast, addPath: false },
  [Subtype.ribIpv6Unicast]: { family: Family.ipv6Unicast, addPath: false },
  [Subtype.ribIpv4UnicastAddPath]: { family: Family.ipv4Unicast, addPath: true },
  [Subtype.ribIpv6UnicastAddPath]: { family: Family.ipv6Unicast, addPath: true },
};

/** `peers` is of the PEER_INDEX_TABLE before. */
export function decodeTableDumpV2(
  subtype: number,
  base: Base,
  cursor: Cursor,
  peers: readonly MrtPeer[],
): MrtPeerTable | MrtRib | undefined {
  if (subtype === Subtype.peerIndexTable) return decodePeers(base, cursor);
  const kind = RIBS[subtype];
  if (kind === undefined) return undefined;
  const { family, addPath } = kind;
  const sequence = cursor.u32();
  const prefix = cursor.prefix(addressBytes(family));
  const entries: MrtRibEntry[] = [];
  for (let count = cursor.u16(); count > 0; count--) {
    const index = cursor.u16();
    const peer = peers[index];
    if (peer === undefined)
      throw new RecordError(`peer ${index} is not in the index of ${peers.length} peers`);
    const originated = cursor.u32() * 1000;
    const pathId = addPath ? { pathId: cursor.u32() } : {};
    entries.push({ peer, originated, ...pathId, ...readStored(cursor.bytes(cursor.u16()), family, true) });
  }
  if (cursor.left > 0) throw new RecordError(`${cursor.left} bytes behind the last path`);
  return { type: "rib", format: "table-dump-v2", ...base, sequence, family, prefix, entries };
}

const PEER_IS_IPV6 = 1;
const PEER_HAS_AS4 = 2;

function decodePeers(base: Base, cursor: Cursor): MrtPeerTable {
  const collectorId = formatRouterId(cursor.u32());
  const viewName = Buffer.from(cursor.bytes(cursor.u16())).toString("utf8");
  const peers: MrtPeer[] = [];
  for (let count = cursor.u16(); count > 0; count--) {
    const flags = cursor.u8();
    const routerId = formatRouterId(cursor.u32());
    const address = cursor.address(flags & PEER_IS_IPV6 ? 16 : 4);
    peers.push({ routerId, address, asn: flags & PEER_HAS_AS4 ? cursor.u32() : cursor.u16() });
  }
  return { type: "peers", ...base, collectorId, viewName, peers };
}

interface Stored {
  readonly attributes?: PathAttributes;
  readonly problems: readonly UpdateProblem[];
}

/** Attributes as a table has them. A path with LOCAL_PREF or CLUSTER_LIST keeps it: the collector had it so. */
function readStored(bytes: Uint8Array, family: Family, isV2: boolean): Stored {
  try {
    return decodeStored(bytes, family, isV2);
  } catch (error) {
    if (!(error instanceof MessageError) && !(error instanceof RecordError)) throw error;
    // One path's attributes are no reason to give up those of other peers.
    return { problems: [{ action: "withdraw", attribute: 0, text: error.message }] };
  }
}

function decodeStored(bytes: Uint8Array, family: Family, isV2: boolean): Stored {
  const { list, hop } = isV2 ? withoutReach(bytes) : { list: bytes, hop: undefined };
  const { values, reach, problems } = decodeAttributes(list, { ebgp: false, fourOctetAs: isV2 });
  const complain = (attribute: number, text: string) => {
    if (!problems.some(problem => problem.attribute === attribute))
      problems.push({ action: "withdraw", attribute, text });
  };
  if (values.origin === undefined) complain(AttributeType.origin, "ORIGIN is missing");
  if (values.asPath === undefined) complain(AttributeType.asPath, "AS_PATH is missing");
  // NEXT_HOP is for IPv4; where both are there, MP_REACH_NLRI is the one that was believed.
  const next = hop ?? (family === reach?.family ? reach : undefined);
  if (next === undefined && values.nextHop === undefined)
    complain(AttributeType.nextHop, "NEXT_HOP is missing");
  if (problems.some(({ action }) => action !== "discard")) return { problems };
  const attributes = { ...(values as PathAttributes) };
  if (next === undefined) return { attributes, problems };
  const { nextHop, linkLocalNextHop } = next;
  return { attributes: { ...attributes, nextHop, ...(linkLocalNextHop && { linkLocalNextHop }) }, problems };
}

interface Hop {
  readonly nextHop: string;
  readonly linkLocalNextHop?: string | undefined;
}

/**
 * The list without its MP_REACH_NLRI, and the next hop that was in it. RFC 6396 4.3.4 keeps only length and address of the next hop; dumps of old
 * zebras have the attribute whole, to be known by its first byte, which is then half an address family and 0.
 */
function withoutReach(bytes: Uint8Array): { list: Uint8Array; hop: Hop | undefined } {
  let offset = 0;
  while (offset + 3 <= bytes.length) {
    const isLong = (bytes[offset]! & AttributeFlag.extendedLength) !== 0;
    const header = isLong ? 4 : 3;
    const length = isLong ? (bytes[offset + 2]! << 8) | (bytes[offset + 3] ?? 0) : bytes[offset + 2]!;
    const end = offset + header + length;
    if (end > bytes.length) break;
    if (bytes[offset + 1] === AttributeType.mpReach) {
      const value = new Cursor(bytes.subarray(offset + header, end));
      if (length > 0 && bytes[offset + header] === 0) value.bytes(3);
      const hop = readHop(value.bytes(value.u8()));
      const list = new Uint8Array(bytes.length - (end - offset));
      list.set(bytes.subarray(0, offset));
      list.set(bytes.subarray(end), offset);
      return { list, hop };
    }
    offset = end;
  }
  return { list: bytes, hop: undefined };
}

function readHop(bytes: Uint8Array): Hop {
  if (bytes.length !== 4 && bytes.length !== 16 && bytes.length !== 32)
    throw new RecordError(`a next hop of ${bytes.length} bytes`);
  const second = bytes.length === 32 ? bytes.subarray(16) : undefined;
  const nextHop = formatAddress(bytes.subarray(0, Math.min(16, bytes.length)));
  if (second === undefined || !isLinkLocal(second)) return { nextHop };
  return { nextHop, linkLocalNextHop: formatAddress(second) };
}
