/** The configuration file of the standalone mode as a value: what schema.ts describes. */

import type { Family, LocalRoute } from "node-bgp";

export type PolicyChoice = "accept" | "reject";

export interface PeerSettings {
  readonly as?: number;
  readonly localAs?: number;
  readonly description?: string;
  readonly port?: number;
  readonly localAddress?: string;
  readonly nextHopSelf?: { readonly ipv4?: string; readonly ipv6?: string };
  readonly nextHopMode?: "auto" | "self" | "keep";
  readonly rrClient?: boolean;
  readonly passive?: boolean;
  readonly passiveFallback?: number;
  readonly password?: string;
  readonly passwordFile?: string;
  readonly ttlSecurity?: number;
  readonly holdTime?: number;
  readonly keepaliveTime?: number;
  readonly connectRetryTime?: number;
  readonly sendHoldTime?: number;
  readonly gracefulRestartTime?: number;
  readonly allowedLocalAs?: number;
  readonly families?: readonly Family[];
  readonly import?: PolicyChoice;
  readonly export?: PolicyChoice;
}

export interface Peer extends PeerSettings {
  readonly address: string;
  readonly group?: string;
}

export interface Configuration {
  readonly as: number;
  readonly routerId: string;
  readonly clusterId?: string;
  readonly listen?: string | readonly string[] | boolean;
  readonly port?: number;
  readonly passive?: boolean;
  readonly holdTime?: number;
  readonly keepaliveTime?: number;
  readonly peers?: readonly Peer[];
  readonly groups?: Readonly<Record<string, PeerSettings>>;
  readonly networks?: readonly (string | LocalRoute)[];
  readonly gracefulRestart?:
    | boolean
    | {
        readonly restartTime?: number;
        readonly restarting?: boolean;
        readonly forwardingPreserved?: boolean;
        readonly establishWait?: number;
        readonly deferralTime?: number;
      };
  readonly stop?: "graceful" | "shutdown";
  readonly stopMessage?: string;
  readonly kernel?: boolean | { readonly metric?: number };
  readonly statusSocket?: string | boolean;
  readonly birdSocket?: string;
  readonly log?: "debug" | "info" | "warning" | "error" | "none";
}
