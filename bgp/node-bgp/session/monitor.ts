/**
 * Watching sessions from the side, as bmp/ does: which are Established, with which OPENs, and every UPDATE they receive as it came. Where nobody
 * watches this costs a look at an empty set per message.
 */

import type { NeighborStatus } from "../neighbor.ts";
import type { ImportContext } from "../rib/import.ts";
import type { Family, ReceivedRoute } from "../route.ts";
import type { ConnectionEnd } from "./connection-fsm.ts";
import type { Negotiated } from "./negotiation.ts";

/** An Established session; the same object from `up` to `down`. */
export interface MonitoredSession {
  readonly address: string;
  readonly asn: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly remotePort: number;
  /** Established, milliseconds since the epoch. */
  readonly since: number;
  readonly negotiated: Negotiated;
  /** Bodies of the OPENs, without header. */
  readonly opens: { readonly sent: Uint8Array; readonly received: Uint8Array };
  /** By which its routes are judged now. */
  importContext(): ImportContext;
  /** What has been taken of its routes, after policy, by pieces of the table; it may change between two of them. */
  received(family: Family, prefixesPerPiece: number): Iterable<readonly ReceivedRoute[]>;
  /** Asks the neighbor for everything again; false where it cannot be asked. */
  requestRefresh(): boolean;
  status(): NeighborStatus;
}

export interface SessionMonitor {
  /** Also called for the sessions there are when somebody begins to watch. */
  up(session: MonitoredSession): void;
  down(session: MonitoredSession, end: ConnectionEnd): void;
  /** After it was applied. The body of the UPDATE is `bytes` from `start` to `end`, valid only during the call. */
  update(session: MonitoredSession, bytes: Uint8Array, start: number, end: number): void;
}
