/** What a speaker is made of. */

import type { Clock } from "./clock.ts";
import type { Transport } from "./transport/transport.ts";

export interface GracefulRestartOptions {
  /** Seconds neighbors are asked to keep our routes while we are away, at most 4095; default 120. */
  readonly restartTime?: number;
  /** This start is a restart: our routes are still in the kernel. Sets the R bit and defers route selection. Default false. */
  readonly restarting?: boolean;
  /** The F bit: forwarding went on while we were away. Default true. */
  readonly forwardingPreserved?: boolean;
  /** Seconds after which route selection no longer waits for neighbors that are not yet Established; default 5. */
  readonly establishWait?: number;
  /** Seconds after which it waits for nobody any more; default 30. */
  readonly deferralTime?: number;
}

export interface SpeakerOptions {
  readonly asn: number;
  /** Dotted quad, not 0.0.0.0. */
  readonly routerId: string;
  /** Default `{ port: 179 }` on all addresses; false: never accept, only dial. */
  readonly listen?: { readonly port?: number; readonly address?: string } | false;
  /** Seconds, 0 or 3..65535; default 90. */
  readonly holdTime?: number;
  /** Seconds; default a third of the negotiated hold time. */
  readonly keepaliveTime?: number;
  /** False: no graceful restart capability at all. Default `{}`. */
  readonly gracefulRestart?: GracefulRestartOptions | false;
  /** Dotted quad; default the router id. */
  readonly clusterId?: string;
  readonly clock?: Clock;
  /** In [0, 1); for jitter. */
  readonly random?: () => number;
  readonly transport?: Transport;
}

export interface StopOptions {
  /** Close the connections without a NOTIFICATION so that neighbors keep our routes (RFC 4724). Default false. */
  readonly graceful?: boolean;
  /** Shutdown communication (RFC 9003) for a stop that is not graceful. */
  readonly message?: string;
}
