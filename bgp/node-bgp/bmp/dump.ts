/** What a session has sent before somebody began to listen, out of the table and in small steps. */

import { readUint16 } from "../address.ts";
import { HEADER_LENGTH, MARKER_LENGTH } from "../message/constants.ts";
import { Nlri } from "../message/nlri.ts";
import { encodeUpdate } from "../message/update.ts";
import { endOfRibBody } from "../message/update-packer.ts";
import { Writer } from "../message/writer.ts";
import { acceptAll } from "../policy/constant.ts";
import type { Family, ReceivedRoute } from "../route.ts";
import type { MonitoredSession } from "../session/monitor.ts";
import { type BmpPeer, writeRouteMonitoring } from "./message.ts";

/** Prefixes of the table looked at in one step: a millisecond or two where all of them are the session's. */
const STEP = 1000;
const LENGTH_AT = MARKER_LENGTH;

/** The table is what the neighbor has sent, but for what loop checks have refused. */
export function hidesNothing(session: MonitoredSession): boolean {
  const { policy, gracefulShutdown } = session.importContext();
  return (policy === undefined || policy === acceptAll) && !gracefulShutdown;
}

/** What a session has sent, as the table is at each step; closed by End-of-RIB. */
export function* dumpRoutes(
  session: MonitoredSession,
  peer: BmpPeer,
  family: Family,
  flags: number,
  now: () => number,
): Generator<Uint8Array> {
  const writer = new Writer();
  for (const piece of session.received(family, STEP)) {
    // A stale one is of an earlier session, or being sent anew at this moment: it comes by itself, or is about to go.
    const routes = piece.filter(({ stale }) => !stale);
    writeMessages(writer, peer, now(), flags, announcements(session, family, flags, routes));
    yield writer.take();
  }
  const end = endOfRibBody(family);
  writeRouteMonitoring(writer, peer, now(), flags, end, 0, end.length);
  yield writer.take();
}

/** UPDATEs for a piece of the table, those with equal attributes together. */
function announcements(
  session: MonitoredSession,
  family: Family,
  flags: number,
  routes: readonly ReceivedRoute[],
): Uint8Array {
  const { fourOctetAs, addPathReceive, ebgp } = session.negotiated;
  const addPath = addPathReceive.includes(family);
  // Routes of one attribute set share its arrays.
  const sets = Map.groupBy(routes, ({ asPath }) => asPath);
  const announced = Array.from(sets.values(), of => {
    const [first] = of as [ReceivedRoute];
    // An external neighbor has sent none: it is ours, of RFC 8326.
    const attributes = ebgp && flags === 0 ? { ...first, localPref: undefined } : first;
    return { nlri: nlriOf(family, of, addPath), attributes };
  });
  return encodeUpdate({ announced }, { fourOctetAs });
}

function nlriOf(family: Family, routes: readonly ReceivedRoute[], addPath: boolean): Nlri {
  if (!addPath)
    return Nlri.of(
      family,
      routes.map(({ prefix }) => prefix),
    );
  const writer = new Writer();
  for (const { prefix, pathId } of routes) writer.bytes(Nlri.of(family, [prefix], pathId).bytes);
  return Nlri.parse(family, writer.copy(), true)!;
}

/** Each of several complete BGP messages. */
export function writeMessages(
  writer: Writer,
  peer: BmpPeer,
  at: number,
  flags: number,
  messages: Uint8Array,
): void {
  for (let start = 0; start < messages.length; ) {
    const end = start + readUint16(messages, start + LENGTH_AT);
    writeRouteMonitoring(writer, peer, at, flags, messages, start + HEADER_LENGTH, end);
    start = end;
  }
}
