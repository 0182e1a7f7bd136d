/** {@link NeighborOptions} checked and completed. The one place where settings get their defaults and limits. */

import {
  canonicalAddress,
  familyOfAddress,
  isLinkLocal,
  parseAddress,
  parseIpv4,
  parseIpv6,
  parseRouterId,
} from "../address.ts";
import type { NeighborBfdSettings } from "../bfd/neighbor-watch.ts";
import { OptionError } from "../errors.ts";
import type {
  NeighborOptions,
  NextHopMode,
  PolicyDirection,
  PolicyNeighbor,
  RoutePolicy,
} from "../neighbor.ts";
import { acceptAll, rejectAll } from "../policy/constant.ts";
import { FAMILIES, Family } from "../route.ts";
import type { MultipathOptions, SpeakerOptions, StaleTimes } from "../speaker-options.ts";

export interface NeighborConfig {
  readonly address: string;
  readonly asn: number;
  readonly localAsn: number;
  readonly type: "internal" | "external";
  readonly port: number;
  readonly localAddress: string | undefined;
  readonly interface: string | undefined;
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
  /** Seconds; 0: our OPEN goes out at once. */
  readonly delayOpenTime: number;
  /** Seconds, above 0; families without it have no long-lived graceful restart. */
  readonly longLivedStaleTime: StaleTimes;
  /** RFC 8538. */
  readonly notificationRestart: boolean;
  readonly extendedMessages: boolean;
  readonly enhancedRefresh: boolean;
  readonly extendedNextHop: boolean;
  readonly addPath: { readonly receive: boolean; readonly send: number | "all" };
  readonly maxPrefixes: MaxPrefixes | undefined;
  readonly gracefulShutdown: boolean;
  readonly bfd: NeighborBfdSettings | undefined;
  readonly softReconfiguration: boolean;
  readonly reflectorClient: boolean;
  readonly nextHopMode: NextHopMode;
  readonly allowedLocalAs: number;
  readonly families: readonly Family[];
  /** Undefined: everything passes. */
  readonly importPolicy: RoutePolicy | undefined;
  readonly exportPolicy: RoutePolicy | undefined;
  /** Directions without a policy where RFC 8212 asks for one: nothing passes there. */
  readonly policyMissing: readonly PolicyDirection[];
  readonly exportGroup: string | undefined;
  readonly description: string | undefined;
  readonly policyNeighbor: PolicyNeighbor;
  /** The prefix it was accepted by. */
  readonly dynamic: string | undefined;
}

export interface MaxPrefixes {
  readonly limit: number;
  readonly action: "reset" | "warn";
  /** Percent. */
  readonly warnAt: number;
  /** Seconds; undefined: damped like any error. */
  readonly restartAfter: number | "never" | undefined;
}

export const DEFAULT_PORT = 179;
const DEFAULT_HOLD_TIME = 90;
const DEFAULT_CONNECT_RETRY = 5;
const DEFAULT_RESTART_TIME = 120;
/** 12 bits in the capability. */
const MAX_RESTART_TIME = 4095;
/** 24 bits in the capability of RFC 9494. */
const MAX_STALE_TIME = 0xffffff;
const DEFAULT_BFD_INTERVAL = 300;
const DEFAULT_BFD_MULTIPLIER = 3;
const DEFAULT_BFD_POLL_INTERVAL = 10_000;
/** IFNAMSIZ with its zero byte. */
const MAX_INTERFACE_BYTES = 15;
/** TCP_MD5SIG_MAXKEYLEN. */
const MAX_PASSWORD_BYTES = 80;

/** A change of one of these needs a new session; everything else is applied in place. */
const SESSION_SETTINGS = [
  "asn",
  "localAsn",
  "localAddress",
  "interface",
  "password",
  "ttlSecurity",
  "holdTime",
  "keepaliveTime",
  "delayOpenTime",
  "gracefulRestartTime",
  "extendedMessages",
  "enhancedRefresh",
  "extendedNextHop",
] as const satisfies readonly (keyof NeighborConfig)[];

/** Throws {@link OptionError}. */
export function neighborConfig(options: NeighborOptions, speaker: SpeakerOptions): NeighborConfig {
  const { address, interface: interfaceName } = neighborAddress(options);
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
  const restart = speaker.gracefulRestart === false ? undefined : (speaker.gracefulRestart ?? {});
  const optional = (name: "passiveFallback" | "keepaliveTime" | "sendHoldTime") =>
    options[name] === undefined ? undefined : numberOption(name, options[name], 1, 65535);
  return {
    address,
    asn,
    localAsn,
    type,
    port: numberOption("port", options.port ?? DEFAULT_PORT, 1, 65535),
    localAddress: localAddress === undefined ? undefined : canonicalAddress(localAddress),
    interface: interfaceName,
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
    delayOpenTime: numberOption("delayOpenTime", options.delayOpenTime ?? 0, 0, 65535),
    gracefulRestartTime:
      restart === undefined
        ? 0
        : numberOption(
            "gracefulRestartTime",
            options.gracefulRestartTime ?? restart.restartTime ?? DEFAULT_RESTART_TIME,
            0,
            MAX_RESTART_TIME,
          ),
    longLivedStaleTime: staleTimes(
      "longLivedStaleTime",
      restart && (options.longLivedStaleTime ?? restart.longLivedStaleTime),
      families,
    ),
    notificationRestart: restart?.notification ?? restart !== undefined,
    extendedMessages: options.extendedMessages ?? true,
    enhancedRefresh: options.enhancedRefresh ?? true,
    extendedNextHop:
      options.extendedNextHop ?? (address.includes(":") && families.includes(Family.ipv4Unicast)),
    addPath: addPathOption(options),
    maxPrefixes: maxPrefixesOption(options),
    gracefulShutdown: options.gracefulShutdown ?? false,
    bfd: bfdOption(options, type, address),
    softReconfiguration: options.softReconfiguration ?? false,
    reflectorClient: options.reflectorClient ?? false,
    nextHopMode: options.nextHopMode ?? "auto",
    allowedLocalAs: numberOption("allowedLocalAs", options.allowedLocalAs ?? 0, 0, 255),
    families,
    importPolicy: effectivePolicy(options.importPolicy, type),
    exportPolicy: effectivePolicy(options.exportPolicy, type),
    policyMissing: policyMissing(options, type),
    exportGroup: options.exportGroup,
    description: options.description,
    policyNeighbor: { address, asn, localAsn, type },
    dynamic: undefined,
  };
}

export function needsNewSession(before: NeighborConfig, after: NeighborConfig): boolean {
  return (
    SESSION_SETTINGS.some(name => before[name] !== after[name]) ||
    before.families.length !== after.families.length ||
    before.families.some(family => !after.families.includes(family)) ||
    FAMILIES.some(family => before.longLivedStaleTime[family] !== after.longLivedStaleTime[family]) ||
    before.addPath.receive !== after.addPath.receive ||
    before.addPath.send !== after.addPath.send
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
  const { restartTime = 0, longLivedStaleTime, resyncTime = 1 } = options.gracefulRestart || {};
  numberOption("gracefulRestart.restartTime", restartTime, 0, MAX_RESTART_TIME);
  numberOption("gracefulRestart.resyncTime", resyncTime, 1, 65535);
  staleTimes("gracefulRestart.longLivedStaleTime", longLivedStaleTime, FAMILIES);
  const { port = DEFAULT_PORT, addresses } = options.listen || {};
  numberOption("listen.port", port, 0, 65535);
  if (addresses?.length === 0) throw new OptionError("listen.addresses", addresses, "one or more addresses");
  for (const address of addresses ?? []) {
    if (canonicalAddress(address) !== undefined) continue;
    throw new OptionError("listen.addresses", address, "an IPv4 or IPv6 address");
  }
  multipathSettings(options);
}

function staleTimes(
  name: string,
  option: number | StaleTimes | undefined,
  families: readonly Family[],
): StaleTimes {
  const times: Partial<Record<Family, number>> = {};
  for (const family of families) {
    const isOne = typeof option === "number";
    const seconds = (isOne ? option : option?.[family]) ?? 0;
    numberOption(isOne ? name : `${name}.${family}`, seconds, 0, MAX_STALE_TIME);
    if (seconds > 0) times[family] = seconds;
  }
  return times;
}

/** {@link MultipathOptions}, checked and completed. */
export function multipathSettings({ multipath = {} }: SpeakerOptions): Required<MultipathOptions> {
  const { maxPaths = 64, relaxAsPath = true } = multipath;
  return { maxPaths: numberOption("multipath.maxPaths", maxPaths, 1, 255), relaxAsPath };
}

/** The address in its one spelling, a link-local one with its interface; and the interface. */
function neighborAddress(options: NeighborOptions): { address: string; interface: string | undefined } {
  const address = canonicalAddress(options.address);
  if (address === undefined) throw new OptionError("address", options.address, "an IPv4 or IPv6 address");
  const [plain = "", zone] = address.split("%");
  const name = options.interface ?? zone;
  if (name !== undefined && !/^[^\s/]+$/.test(name))
    throw new OptionError("interface", name, "an interface name");
  if (name !== undefined && Buffer.byteLength(name) > MAX_INTERFACE_BYTES) {
    throw new OptionError("interface", name, `at most ${MAX_INTERFACE_BYTES} bytes long`);
  }
  if (zone !== undefined && zone !== name) throw new OptionError("interface", name, `the zone of ${address}`);
  if (!isLinkLocal(parseAddress(plain)!)) return { address, interface: name };
  if (name === undefined) {
    throw new OptionError(
      "address",
      address,
      "complete: a link-local address needs its interface (fe80::1%eth0)",
    );
  }
  return { address: `${plain}%${name}`, interface: name };
}

/** RFC 8212: towards another AS nothing passes that nobody has allowed. */
function effectivePolicy(
  policy: RoutePolicy | undefined,
  type: NeighborConfig["type"],
): RoutePolicy | undefined {
  if (policy === undefined) return type === "external" ? rejectAll : undefined;
  // Not asked for each route.
  return policy === acceptAll ? undefined : policy;
}

function policyMissing(options: NeighborOptions, type: NeighborConfig["type"]): PolicyDirection[] {
  if (type === "internal") return [];
  const missing: PolicyDirection[] = [];
  if (options.importPolicy === undefined) missing.push("import");
  if (options.exportPolicy === undefined) missing.push("export");
  return missing;
}

function addPathOption({ addPath = {} }: NeighborOptions): NeighborConfig["addPath"] {
  const { receive = false, send = 1 } = addPath;
  return { receive, send: send === "all" ? send : numberOption("addPath.send", send, 1, 255) };
}

function maxPrefixesOption({ maxPrefixes }: NeighborOptions): MaxPrefixes | undefined {
  if (maxPrefixes === undefined) return undefined;
  const {
    limit,
    action = "reset",
    warnAt = 75,
    restartAfter,
  } = typeof maxPrefixes === "number" ? { limit: maxPrefixes } : maxPrefixes;
  if (action !== "reset" && action !== "warn")
    throw new OptionError("maxPrefixes.action", action, "reset or warn");
  if (restartAfter !== undefined && restartAfter !== "never") {
    numberOption("maxPrefixes.restartAfter", restartAfter, 1, 65535, "never or 1 to 65535 seconds");
  }
  numberOption("maxPrefixes.warnAt", warnAt, 1, 100);
  return { limit: numberOption("maxPrefixes.limit", limit, 1, 0xffffffff), action, warnAt, restartAfter };
}

function bfdOption(
  options: NeighborOptions,
  type: NeighborConfig["type"],
  address: string,
): NeighborBfdSettings | undefined {
  const { bfd = false, ttlSecurity } = options;
  if (bfd === false) return undefined;
  const {
    transmitInterval = DEFAULT_BFD_INTERVAL,
    receiveInterval = DEFAULT_BFD_INTERVAL,
    multiplier = DEFAULT_BFD_MULTIPLIER,
    // External neighbors are on the link as a rule, internal ones need not be.
    pollInterval = DEFAULT_BFD_POLL_INTERVAL,
    strict = false,
    keepRoutes = false,
    multihop = !address.includes("%") && (ttlSecurity === undefined ? type === "internal" : ttlSecurity > 1),
  } = bfd === true ? {} : bfd;
  return {
    transmitInterval: numberOption("bfd.transmitInterval", transmitInterval, 10, 60_000),
    receiveInterval: numberOption("bfd.receiveInterval", receiveInterval, 10, 60_000),
    multiplier: numberOption("bfd.multiplier", multiplier, 1, 255),
    pollInterval: pollInterval === 0 ? 0 : numberOption("bfd.pollInterval", pollInterval, 1_000, 3_600_000),
    multihop,
    strict,
    keepRoutes,
  };
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
