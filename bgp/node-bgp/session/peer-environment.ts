/** What all peers of a speaker share. */

import type { BfdService } from "../bfd/bfd-service.ts";
import type { Clock } from "../clock.ts";
import type { NeighborEvent } from "../neighbor.ts";
import type { RoutingTable } from "../rib/routing-table.ts";
import type { Transport } from "../transport/transport.ts";
import type { TurnBudget } from "../turn-budget.ts";
import type { SpeakerWarning } from "../warning.ts";
import type { SessionMonitor } from "./monitor.ts";
import type { SelectionDeferral } from "./selection-deferral.ts";

export interface PeerEnvironment {
  readonly clock: Clock;
  readonly random: () => number;
  readonly transport: Transport;
  /** Time for what has been received. */
  readonly reading: TurnBudget;
  readonly table: RoutingTable;
  /** Made when the first neighbor asks for it. */
  bfd(): BfdService;
  readonly routerId: string;
  readonly clusterId: string;
  readonly forwardingPreserved: boolean;
  /** Seconds. */
  readonly resyncTime: number;
  /** This start is a restart (RFC 4724 4.1). */
  readonly restarting: boolean;
  /** Neighbors that have been Established since this speaker started: the R bit is for the first time only. */
  readonly met: Set<string>;
  /** While route selection waits after a restart. */
  deferral(): SelectionDeferral | undefined;
  readonly monitors: ReadonlySet<SessionMonitor>;
  onNeighbor(event: NeighborEvent): void;
  onWarning(warning: SpeakerWarning): void;
}
