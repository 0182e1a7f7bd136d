/**
 * MRT records (RFC 6396, add-path RFC 8050) as values. Both table formats are one record, with the peer resolved; what cannot be read or is of
 * another kind is a record too, so that whoever counts misses nothing.
 */

import type { UpdateProblem } from "../message/attribute-decoder.ts";
import type { Family, PathAttributes } from "../route.ts";

export type MrtRecord =
  | MrtPeerTable
  | MrtRib
  | MrtMessage
  | MrtStateChange
  | MrtUnsupportedRecord
  | MrtBadRecord;

interface RecordBase {
  /** Milliseconds since the epoch; with fractions in the extended-timestamp types. */
  readonly at: number;
  /** Where the record begins in the (uncompressed) stream, in bytes. */
  readonly position: number;
}

/** A router the collector has a session with. */
export interface MrtPeer {
  readonly address: string;
  readonly asn: number;
  /** Dotted quad; TABLE_DUMP does not have it. */
  readonly routerId?: string | undefined;
}

/** PEER_INDEX_TABLE: the collector and its peers, in front of a TABLE_DUMP_V2. */
export interface MrtPeerTable extends RecordBase {
  readonly type: "peers";
  /** Dotted quad. */
  readonly collectorId: string;
  readonly viewName: string;
  readonly peers: readonly MrtPeer[];
}

/** One prefix of a table: a TABLE_DUMP has one path in each, a TABLE_DUMP_V2 those of all peers. */
export interface MrtRib extends RecordBase {
  readonly type: "rib";
  readonly format: "table-dump" | "table-dump-v2";
  readonly sequence: number;
  readonly family: Family;
  readonly prefix: string;
  readonly entries: readonly MrtRibEntry[];
}

export interface MrtRibEntry {
  readonly peer: MrtPeer;
  /** When the path was heard, milliseconds since the epoch. */
  readonly originated: number;
  /** RFC 8050. */
  readonly pathId?: number | undefined;
  /** Absent where what was stored would be treated as withdrawn (RFC 7606); `problems` says why. */
  readonly attributes?: PathAttributes | undefined;
  /** Empty for sound attributes. */
  readonly problems: readonly UpdateProblem[];
}

/** BGP4MP: what session it was heard on. */
interface SessionBase extends RecordBase {
  readonly peer: MrtPeer;
  readonly localAsn: number;
  readonly localAddress: string;
  readonly interfaceIndex: number;
}

/** A BGP message as it was on the wire, header included; {@link mrtUpdate} reads an UPDATE. */
export interface MrtMessage extends SessionBase {
  readonly type: "message";
  /** AS numbers in it are of 4 bytes. */
  readonly fourOctetAs: boolean;
  /** Prefixes in it have path identifiers (RFC 8050). */
  readonly addPath: boolean;
  /** Sent by the collector, not received. */
  readonly local: boolean;
  readonly message: Uint8Array;
}

/** States are those of RFC 4271: 1 Idle to 6 Established. */
export interface MrtStateChange extends SessionBase {
  readonly type: "state-change";
  readonly oldState: number;
  readonly newState: number;
}

/** Sound, but none of the kinds above. */
export interface MrtUnsupportedRecord extends RecordBase {
  readonly type: "unsupported";
  readonly mrtType: number;
  readonly subtype: number;
  readonly body: Uint8Array;
}

/** Could not be read; the stream goes on behind it unless it was cut off. */
export interface MrtBadRecord extends RecordBase {
  readonly type: "bad";
  readonly mrtType: number;
  readonly subtype: number;
  readonly text: string;
}

export const MrtType = { tableDump: 12, tableDumpV2: 13, bgp4mp: 16, bgp4mpEt: 17 } as const;

export const TableDumpV2Subtype = {
  peerIndexTable: 1,
  ribIpv4Unicast: 2,
  ribIpv6Unicast: 4,
  ribIpv4UnicastAddPath: 8,
  ribIpv6UnicastAddPath: 10,
} as const;

export const Bgp4mpSubtype = {
  stateChange: 0,
  message: 1,
  messageAs4: 4,
  stateChangeAs4: 5,
  messageLocal: 6,
  messageAs4Local: 7,
  messageAddPath: 8,
  messageAs4AddPath: 9,
  messageLocalAddPath: 10,
  messageAs4LocalAddPath: 11,
} as const;
