/** BGP4MP (RFC 6396 4.4) and its add-path subtypes (RFC 8050 4): messages and state changes of a collector's sessions. */

import { HEADER_LENGTH, MessageType } from "../message/constants.ts";
import { decodeUpdate, type Update } from "../message/update.ts";
import { FAMILIES } from "../route.ts";
import { type Cursor, RecordError } from "./cursor.ts";
import { type MrtMessage, type MrtStateChange, Bgp4mpSubtype as Subtype } from "./record.ts";

interface Kind {
  readonly fourOctetAs: boolean;
  readonly addPath?: boolean;
  readonly local?: boolean;
  readonly isState?: boolean;
}

const KINDS: Readonly<Record<number, Kind>> = {
  [Subtype.stateChange]: { fourOctetAs: false, isState: true },
  [Subtype.message]: { fourOctetAs: false },
  [Subtype.messageAs4]: { fourOctetAs: true },
  [Subtype.stateChangeAs4]: { fourOctetAs: true, isState: true },
  [Subtype.messageLocal]: { fourOctetAs: false, local: true },
  [Subtype.messageAs4Local]: { fourOctetAs: true, local: true },
  [Subtype.messageAddPath]: { fourOctetAs: false, addPath: true },
  [Subtype.messageAs4AddPath]: { fourOctetAs: true, addPath: true },
  [Subtype.messageLocalAddPath]: { fourOctetAs: false, addPath: true, local: true },
  [Subtype.messageAs4LocalAddPath]: { fourOctetAs: true, addPath: true, local: true },
};

export function decodeBgp4mp(
  subtype: number,
  base: { readonly at: number; readonly position: number },
  cursor: Cursor,
): MrtMessage | MrtStateChange | undefined {
  const kind = KINDS[subtype];
  if (kind === undefined) return undefined;
  const { fourOctetAs, addPath = false, local = false, isState = false } = kind;
  const asn = fourOctetAs ? cursor.u32() : cursor.u16();
  const localAsn = fourOctetAs ? cursor.u32() : cursor.u16();
  const interfaceIndex = cursor.u16();
  const afi = cursor.u16();
  if (afi !== 1 && afi !== 2) throw new RecordError(`address family ${afi}`);
  const size = afi === 1 ? 4 : 16;
  const peer = { address: cursor.address(size), asn };
  const session = { ...base, peer, localAsn, localAddress: cursor.address(size), interfaceIndex };
  if (isState) return { type: "state-change", ...session, oldState: cursor.u16(), newState: cursor.u16() };
  const message = cursor.rest();
  if (message.length < HEADER_LENGTH) throw new RecordError(`a BGP message of ${message.length} bytes`);
  const length = (message[16]! << 8) | message[17]!;
  if (length !== message.length)
    throw new RecordError(`a BGP message that says ${length} and has ${message.length} bytes`);
  return { type: "message", ...session, fourOctetAs, addPath, local, message };
}

/**
 * The UPDATE in a message; undefined for other messages. Throws {@link MessageError} where a session would have been reset. Attributes
 * are read as from an internal neighbor, for that keeps all of them.
 */
export function mrtUpdate(record: MrtMessage): Update | undefined {
  if (record.message[18] !== MessageType.update) return undefined;
  const { fourOctetAs, addPath } = record;
  const addPathReceive = addPath ? FAMILIES : [];
  return decodeUpdate(record.message.subarray(HEADER_LENGTH), { ebgp: false, fourOctetAs, addPathReceive });
}
