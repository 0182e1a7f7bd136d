/** What people are shown of a neighbor, put together from its parts. */

import type { BfdSessionStatus } from "../bfd/bfd-service.ts";
import type { NeighborStatus } from "../neighbor.ts";
import type { MessageTally } from "./message-tally.ts";
import type { NeighborConfig } from "./neighbor-config.ts";
import type { NeighborLog } from "./neighbor-log.ts";
import type { PeerRoutes } from "./peer-routes.ts";
import type { Session } from "./session.ts";

export interface NeighborParts {
  readonly config: NeighborConfig;
  readonly log: NeighborLog;
  readonly tally: MessageTally;
  /** The Established one. */
  readonly session: Session | undefined;
  readonly bfd: BfdSessionStatus | undefined;
  readonly routes: PeerRoutes;
}

export function neighborStatus({ config, log, tally, session, bfd, routes }: NeighborParts): NeighborStatus {
  const { address, asn, localAsn, type, description, families, policyMissing, dynamic } = config;
  const { state, since, established, flaps, lastUp, lastDown } = log;
  const { lastError, lastSessionError, history } = log;
  const negotiated = session?.negotiated;
  return {
    address,
    asn,
    localAsn,
    type,
    description,
    dynamic,
    state,
    since,
    established,
    flaps,
    lastUp,
    lastDown,
    lastError,
    lastSessionError,
    history,
    localAddress: session?.connection.localAddress,
    remotePort: session?.connection.remotePort,
    remoteRouterId: negotiated?.remoteRouterId,
    remoteCapabilities: negotiated?.remoteCapabilities,
    holdTime: negotiated?.holdTime,
    families: negotiated?.families ?? families,
    policyMissing,
    bfd,
    sent: tally.snapshot("sent"),
    received: tally.snapshot("received"),
    updateRate: tally.updateRate(),
    sendQueue: session?.writableLength ?? 0,
    ...routes.status(),
  };
}
