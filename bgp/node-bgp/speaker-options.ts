/** What a speaker is made of. */

import type { BfdService } from "./bfd/bfd-service.ts";
import type { Clock } from "./clock.ts";
import type { Family } from "./route.ts";
import type { Transport } from "./transport/transport.ts";

/** Seconds by family. */
export type StaleTimes = Readonly<Partial<Record<Family, number>>>;

export interface GracefulRestartOptions {
  /** Seconds neighbors are asked to keep our routes while we are away, at most 4095; default 120. */
  readonly restartTime?: number;
  /** This start is a restart: our routes are still in the kernel. Sets the R bit and defers route selection. Default false. */
  readonly restarting?: boolean;
  /** Sessions ended by a NOTIFICATION restart gracefully too, except on a hard reset: the N bit (RFC 8538). Default true. */
  readonly notification?: boolean;
  /** Seconds, 0..16777215, neighbors are asked to keep our routes beyond the restart time (RFC 9494), for all families or by family; default 0: not long-lived. */
  readonly longLivedStaleTime?: number | StaleTimes;
  /** The F bit: forwarding went on while we were away. Default true. */
  readonly forwardingPreserved?: boolean;
  /**
   * Seconds, 1..65535, a neighbor's routes are kept beyond its restart time until it has sent them again (the stale timer of RFC 8538); default 360, as
   * frr and gobgpd wait so long for others before they send.
   */
  readonly resyncTime?: number;
  /** Seconds after which route selection no longer waits for neighbors that are not yet Established; default 5. */
  readonly establishWait?: number;
  /** Seconds after which it waits for nobody any more; default 30. */
  readonly deferralTime?: number;
}

export interface ListenSetting {
  /** 0..65535, 0: any free one, see {@link Speaker.port}; default 179. */
  readonly port?: number;
  /**
   * IPv4 or IPv6 addresses of this host, each listened on by itself; one that is not there yet is listened on when it appears.
   * Default: all addresses of both versions.
   */
  readonly addresses?: readonly string[];
  /** Accept only what comes in by this interface. Default: any. Linux, needs `koffi`. */
  readonly interface?: string;
}

export interface StartOptions {
  /** Stops the speaker when it is aborted, also later. */
  readonly signal?: AbortSignal;
}

/** What may change while sessions go on. Absent: stays. */
export type ReconfigureOptions = Pick<SpeakerOptions, "listen" | "clusterId">;

export interface MultipathOptions {
  /** At most so many paths of a prefix, 1..255; 1: the best one only. Default 64. */
  readonly maxPaths?: number;
  /** AS paths need only be of equal length, where otherwise the neighbor AS must be the same too. Default true. */
  readonly relaxAsPath?: boolean;
}

export interface SpeakerOptions {
  readonly asn: number;
  /** Dotted quad, not 0.0.0.0. */
  readonly routerId: string;
  /** Default `{}`: port 179 on all addresses; false: never accept, only dial. */
  readonly listen?: ListenSetting | false;
  /** Seconds, 0 or 3..65535; default 90. */
  readonly holdTime?: number;
  /** Seconds; default a third of the negotiated hold time. */
  readonly keepaliveTime?: number;
  /** False: no graceful restart capability at all. Default `{}`. */
  readonly gracefulRestart?: GracefulRestartOptions | false;
  /** Dotted quad; default the router id. */
  readonly clusterId?: string;
  /** Which paths share traffic ({@link Route.nextHops}). Default `{}`. */
  readonly multipath?: MultipathOptions;
  /** For neighbors with `bfd`; the speaker does not close it. Default: one of its own, made with the first such neighbor. */
  readonly bfd?: BfdService;
  readonly clock?: Clock;
  /** In [0, 1); for jitter. */
  readonly random?: () => number;
  readonly transport?: Transport;
}

export interface StopOptions {
  /** Close the connections so that neighbors keep our routes (RFC 4724, 8538). Default false. */
  readonly graceful?: boolean;
  /** Shutdown communication (RFC 9003); a graceful stop can tell it only to neighbors with the N bit (RFC 8538). */
  readonly message?: string;
}
