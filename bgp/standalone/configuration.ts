/** The configuration file of the standalone mode as a value: what schema.ts describes. */

import type {
  AddPathOptions,
  BmpOptions,
  Family,
  GracefulRestartOptions,
  LocalRoute,
  MaxPrefixesOptions,
  MultipathOptions,
  NeighborBfdOptions,
  NextHopMode,
  PolicyAction,
  PolicyRule,
} from "node-bgp";

/** A policy as it stands in the file: others are named. */
export interface WrittenPolicy {
  readonly name?: string;
  readonly rules?: readonly PolicyRule[];
  readonly chain?: readonly PolicyChoice[];
  readonly otherwise?: PolicyAction;
}

/** `accept`, `reject`, or a name; a policy. */
export type PolicyChoice = string | WrittenPolicy;

export interface PeerSettings {
  readonly as?: number;
  readonly localAs?: number;
  readonly description?: string;
  readonly port?: number;
  readonly localAddress?: string;
  readonly nextHopSelf?: { readonly ipv4?: string; readonly ipv6?: string };
  readonly nextHopMode?: NextHopMode;
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
  readonly interface?: string;
  readonly delayOpenTime?: number;
  readonly longLivedStaleTime?: number;
  readonly extendedMessages?: boolean;
  readonly enhancedRefresh?: boolean;
  readonly extendedNextHop?: boolean;
  readonly addPath?: AddPathOptions;
  readonly maxPrefixes?: number | MaxPrefixesOptions;
  readonly gracefulShutdown?: boolean;
  readonly bfd?: boolean | NeighborBfdOptions;
  readonly softReconfiguration?: boolean;
  readonly import?: PolicyChoice | readonly PolicyChoice[];
  readonly export?: PolicyChoice | readonly PolicyChoice[];
}

/** An AS number, or `64512-65534`. */
export type AsRange = number | string;

export interface DynamicPeers extends Omit<PeerSettings, "as"> {
  readonly prefix: string;
  readonly as: AsRange | readonly AsRange[];
  readonly limit?: number;
  readonly group?: string;
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
  readonly dynamicPeers?: readonly DynamicPeers[];
  readonly policies?: Readonly<Record<string, WrittenPolicy>>;
  readonly prefixLists?: Readonly<Record<string, string | readonly string[]>>;
  readonly gracefulRestart?: boolean | GracefulRestartOptions;
  readonly multipath?: MultipathOptions;
  readonly stop?: "graceful" | "shutdown";
  readonly stopMessage?: string;
  readonly kernel?: boolean | { readonly metric?: number; readonly table?: number };
  readonly statusSocket?: string | boolean;
  readonly bmp?: Pick<BmpOptions, "collectors" | "systemName" | "statisticsInterval">;
  readonly metrics?: string;
  readonly birdSocket?: string;
  readonly log?: "debug" | "info" | "warning" | "error" | "none";
}
