/** {@link NeighborOptions} checked and completed. The one place where settings get their defaults and limits. */

import { canonicalAddress, familyOfAddress, parseIpv4, parseIpv6, parseRouterId } from "../address.ts";
import { OptionError } from "../errors.ts";
import type { NeighborOptions, NextHopMode, PolicyNeighbor, RoutePolicy } from "../neighbor.ts";
import { FAMILIES, type Family } from "../route.ts";
import type { SpeakerOptions } from "../speaker-options.ts";

export interface NeighborConfig {
  readonly address: string;
  readonly asn: number;
  readonly localAsn: number;
  readonly type: "internal" | "external";
  readonly port: number;
  readonly localAddress: string | undefined;
  readonly nextHopSelf: { readonly ipv4?: string | undefined; readonly ipv6?: string | undefined };
  readonly passive: boolean;
  readonly passiveFallback: number | undefined;
  readonly password: string | undefined;
  readonly ttlSecurity: number | undefined;
  readonly holdTime: number;
  readonly keepaliveTime: number | undefined;
  readonly connectRetryTime: number;
  readonly sendHoldTime: number | undefined;
  /** Seconds; 0: no graceful restart. */
  readonly gracefulRestartTime: number;
  readonly reflectorClient: boolean;
  readonly nextHopMode: NextHopMode;
  readonly allowedLocalAs: number;
  readonly families: readonly Family[];
  readonly importPolicy: RoutePolicy | undefined;
  readonly exportPolicy: RoutePolicy | undefined;
  readonly exportGroup: string | undefined;
  readonly description: string | undefined;
  readonly policyNeighbor: PolicyNeighbor;
}

export const DEFAULT_PORT = 179;
const DEFAULT_HOLD_TIME = 90;
const DEFAULT_CONNECT_RETRY = 5;
const DEFAULT_RESTART_TIME = 120;
/** 12 bits in the capability. */
const MAX_RESTART_TIME = 4095;
/** TCP_MD5SIG_MAXKEYLEN. */
const MAX_PASSWORD_BYTES = 80;

/** A change of one of these needs a new session; everything else is applied in place. */
const SESSION_SETTINGS = [
  "asn",
  "localAsn",
  "port",
  "localAddress",
  "password",
  "ttlSecurity",
  "holdTime",
  "keepaliveTime",
  "gracefulRestartTime",
] as const satisfies readonly (keyof NeighborConfig)[];

/** Throws {@link OptionError}. */
export function neighborConfig(options: NeighborOptions, speaker: SpeakerOptions): NeighborConfig {
  const address = canonicalAddress(options.address);
  if (address === undefined) throw new OptionError("address", options.address, "an IPv4 or IPv6 address");
  const asn = asnOption("asn", options.asn);
  const localAsn = asnOption("localAsn", options.localAsn ?? speaker.asn);
  const type = asn === localAsn ? "internal" : "external";
  const { localAddress, password, ttlSecurity, nextHopSelf = {} } = options;
  if (localAddress !== undefined && canonicalAddress(localAddress) === undefined) {
    throw new OptionError("localAddress", localAddress, "an IPv4 or IPv6 address");
  }
  if (nextHopSelf.ipv4 !== undefined && parseIpv4(nextHopSelf.ipv4) === undefined) {
    throw new OptionError("nextHopSelf.ipv4", nextHopSelf.ipv4, "an IPv4 address");
  }
  if (nextHopSelf.ipv6 !== undefined && parseIpv6(nextHopSelf.ipv6) === undefined) {
    throw new OptionError("nextHopSelf.ipv6", nextHopSelf.ipv6, "an IPv6 address");
  }
  if (password !== undefined && (password === "" || Buffer.byteLength(password) > MAX_PASSWORD_BYTES)) {
    throw new OptionError("password", "***", `1 to ${MAX_PASSWORD_BYTES} bytes long`);
  }
  if (options.reflectorClient && type === "external") {
    throw new OptionError(
      "reflectorClient",
      true,
      `possible with AS ${asn}, which is not ours (${localAsn})`,
    );
  }
  const families = options.families ?? [familyOfAddress(address)];
  if (families.length === 0 || families.some(family => !FAMILIES.includes(family))) {
    throw new OptionError("families", families, `one or more of ${FAMILIES.join(", ")}`);
  }
  const defaultRestart =
    speaker.gracefulRestart === false ? 0 : (speaker.gracefulRestart?.restartTime ?? DEFAULT_RESTART_TIME);
  const optional = (name: "passiveFallback" | "keepaliveTime" | "sendHoldTime") =>
    options[name] === undefined ? undefined : numberOption(name, options[name], 1, 65535);
  return {
    address,
    asn,
    localAsn,
    type,
    port: numberOption("port", options.port ?? DEFAULT_PORT, 1, 65535),
    localAddress: localAddress === undefined ? undefined : canonicalAddress(localAddress),
    nextHopSelf,
    passive: options.passive ?? false,
    passiveFallback: optional("passiveFallback"),
    password,
    ttlSecurity: ttlSecurity === undefined ? undefined : numberOption("ttlSecurity", ttlSecurity, 1, 254),
    holdTime: holdTimeOption(options.holdTime ?? speaker.holdTime ?? DEFAULT_HOLD_TIME),
    keepaliveTime: optional("keepaliveTime") ?? speaker.keepaliveTime,
    connectRetryTime: numberOption(
      "connectRetryTime",
      options.connectRetryTime ?? DEFAULT_CONNECT_RETRY,
      1,
      65535,
    ),
    sendHoldTime: optional("sendHoldTime"),
    gracefulRestartTime:
      speaker.gracefulRestart === false
        ? 0
        : numberOption(
            "gracefulRestartTime",
            options.gracefulRestartTime ?? defaultRestart,
            0,
            MAX_RESTART_TIME,
          ),
    reflectorClient: options.reflectorClient ?? false,
    nextHopMode: options.nextHopMode ?? "auto",
    allowedLocalAs: numberOption("allowedLocalAs", options.allowedLocalAs ?? 0, 0, 255),
    families,
    importPolicy: options.importPolicy,
    exportPolicy: options.exportPolicy,
    exportGroup: options.exportGroup,
    description: options.description,
    policyNeighbor: { address, asn, localAsn, type },
  };
}

export function needsNewSession(before: NeighborConfig, after: NeighborConfig): boolean {
  return (
    SESSION_SETTINGS.some(name => before[name] !== after[name]) ||
    before.families.length !== after.families.length ||
    before.families.some(family => !after.families.includes(family))
  );
}

export function checkSpeakerOptions(options: SpeakerOptions): void {
  asnOption("asn", options.asn);
  const ids = { routerId: options.routerId, clusterId: options.clusterId ?? options.routerId };
  for (const [name, id] of Object.entries(ids)) {
    if (!parseRouterId(id)) throw new OptionError(name, id, "a dotted quad other than 0.0.0.0");
  }
  if (options.holdTime !== undefined) holdTimeOption(options.holdTime);
  if (options.keepaliveTime !== undefined) numberOption("keepaliveTime", options.keepaliveTime, 1, 65535);
  const restart = options.gracefulRestart;
  if (restart && restart.restartTime !== undefined) {
    numberOption("gracefulRestart.restartTime", restart.restartTime, 0, MAX_RESTART_TIME);
  }
}

function asnOption(name: string, value: number): number {
  return numberOption(name, value, 1, 0xffffffff);
}

function holdTimeOption(value: number): number {
  if (value === 0) return 0;
  return numberOption("holdTime", value, 3, 65535, "0 or 3 to 65535 seconds");
}

function numberOption(name: string, value: number, min: number, max: number, expected?: string): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new OptionError(name, value, expected ?? `a whole number from ${min} to ${max}`);
}
