/**
 * Felix's effective configuration: one typed value out of layers of untyped ones.
 *
 * Lowest to highest precedence (calico.md 2.19): built-in default, FelixConfiguration `default`, selector-scoped
 * FelixConfigurations in name order, FelixConfiguration `node.<name>`, the config file, the environment
 * (`FELIX_<NAME>`, any case). A layer maps parameter names, in any case, to values as YAML or as text.
 *
 * Of Calico's 209 parameters the table below holds those that mean something to Calyx today; the others are
 * accepted and ignored, so that a user's FelixConfiguration just works.
 */

import { DEFAULTS, parseDuration } from "../../crd-schemas/index.ts";
import { type FailsafePort, failsafePortsText, parseFailsafePorts } from "./failsafe-ports.ts";

interface Parameter<T> {
  readonly parse: (raw: string) => T | undefined;
  readonly expected: string;
  /** Where Calico's default is the zero value of the type, and what `none` resets to. */
  readonly zero: T;
}

const text: Parameter<string> = { parse: raw => raw, expected: "text", zero: "" };

const textList: Parameter<readonly string[]> = {
  parse: raw =>
    raw
      .split(",")
      .map(item => item.trim())
      .filter(item => item !== ""),
  expected: "a comma-separated list",
  zero: [],
};

const FLAGS: Readonly<Record<string, boolean>> = {
  true: true,
  "1": true,
  yes: true,
  y: true,
  enabled: true,
  false: false,
  "0": false,
  no: false,
  n: false,
  disabled: false,
};
const flag: Parameter<boolean> = {
  parse: raw => FLAGS[raw.toLowerCase()],
  expected: "true or false",
  zero: false,
};

/** Undefined: whatever else there is decides. */
const optionalFlag: Parameter<boolean | undefined> = { ...flag, zero: undefined };

function integer(min: number, max: number): Parameter<number> {
  const parse = (raw: string) => {
    const value = Number(raw);
    return /^(0x[0-9a-f]+|\d+)$/i.test(raw) && value >= min && value <= max ? value : undefined;
  };
  return { parse, expected: `a whole number from ${min} to ${max}`, zero: 0 };
}

function choice<const T extends string>(...values: readonly [T, ...T[]]): Parameter<T> {
  const parse = (raw: string) => values.find(value => value.toLowerCase() === raw.toLowerCase());
  return { parse, expected: values.join(", "), zero: values[0] };
}

/** Milliseconds, from a Go duration (`1m30s`) or, as in Calico's flat form, from bare seconds (`90`). */
const duration: Parameter<number> = {
  parse: raw => (/^\d+(\.\d+)?$/.test(raw) ? Number(raw) * 1000 : parseDuration(raw)),
  expected: "a duration such as 90s or 1m30s",
  zero: 0,
};

/** Felix needs five bits of its own. */
const markMask: Parameter<number> = {
  parse: raw => {
    const mask = integer(1, 0xffffffff).parse(raw);
    return mask !== undefined && bitCount(mask) >= 5 ? mask : undefined;
  },
  expected: "a mask of 32 bits with at least 5 of them set",
  zero: 0xffff0000,
};

/** Lists come as text or, in a resource, as lists of objects. */
const failsafePorts: Parameter<readonly FailsafePort[]> = {
  parse: parseFailsafePorts,
  expected: "a list such as tcp:22,udp:10.0.0.0/8:53",
  zero: [],
};

/** `10/second`; empty: no limit. */
const rate: Parameter<string> = {
  parse: raw => (/^([1-9]\d{0,3}\/(second|minute|hour|day))?$/.test(raw) ? raw : undefined),
  expected: "a rate such as 10/second",
  zero: "",
};

function bitCount(mask: number): number {
  return mask.toString(2).replaceAll("0", "").length;
}

const PARAMETERS = {
  interfacePrefix: textList,
  ipv6Support: flag,
  ipForwarding: flag,
  logSeverityScreen: text,
  logPrefix: text,
  logActionRateLimit: rate,
  logActionRateLimitBurst: integer(0, 9999),
  healthEnabled: flag,
  healthHost: text,
  healthPort: integer(1, 65535),
  prometheusMetricsEnabled: flag,
  prometheusMetricsHost: text,
  prometheusMetricsPort: integer(1, 65535),
  endpointStatusPathPrefix: text,
  failsafeInboundHostPorts: failsafePorts,
  failsafeOutboundHostPorts: failsafePorts,
  serviceLoopPrevention: choice("Drop", "Reject", "Disabled"),
  floatingIPs: choice("Disabled", "Enabled"),
  externalNodesList: textList,
  natOutgoingExclusions: choice("IPPoolsOnly", "IPPoolsAndHostIPs"),
  defaultEndpointToHostAction: choice("Drop", "Accept", "Return"),
  chainInsertMode: choice("Insert", "Append"),
  workloadSourceSpoofing: choice("Disabled", "Any"),
  allowVXLANPacketsFromWorkloads: flag,
  allowIPIPPacketsFromWorkloads: flag,
  disableConntrackInvalidCheck: flag,
  establishedFlows: choice("Follow", "Keep"),
  iptablesBackend: choice("Auto", "NFT", "Legacy"),
  iptablesFilterAllowAction: choice("Accept", "Return"),
  iptablesFilterDenyAction: choice("Drop", "Reject"),
  iptablesMangleAllowAction: choice("Accept", "Return"),
  iptablesMarkMask: markMask,
  nftablesMode: choice("Auto", "Enabled", "Disabled"),
  nftablesFilterDenyAction: choice("Drop", "Reject"),
  nftablesMarkMask: markMask,
  nftablesRefreshInterval: duration,
  iptablesRefreshInterval: duration,
  ipsetsRefreshInterval: duration,
  routeRefreshInterval: duration,
  maxIpsetSize: integer(1, 0xffffffff),
  deviceRouteProtocol: integer(0, 255),
  deviceRouteSourceAddress: text,
  removeExternalRoutes: flag,
  ipv4NormalRoutePriority: integer(1, 2_147_483_646),
  ipv6NormalRoutePriority: integer(1, 2_147_483_646),
  programClusterRoutes: choice("EnabledIPIPOnly", "Enabled", "EnabledNoEncapOnly", "Disabled"),
  vxlanEnabled: optionalFlag,
  ipipEnabled: optionalFlag,
  vxlanVNI: integer(0, 16_777_215),
  vxlanPort: integer(0, 65_535),
  vxlanMTU: integer(0, 65_535),
  vxlanMTUV6: integer(0, 65_535),
  ipipMTU: integer(0, 65_535),
  mtuIfacePattern: text,
  featureDetectOverride: text,
  natOutgoingAddress: text,
  natPortRange: text,
  iptablesNATOutgoingInterfaceFilter: text,
  flowLogsLocalReporter: flag,
  flowLogsFlushInterval: duration,
} as const;

type ValueOf<P> = P extends Parameter<infer T> ? T : never;

/** Durations are milliseconds. */
export type FelixConfig = { readonly [Name in keyof typeof PARAMETERS]: ValueOf<(typeof PARAMETERS)[Name]> };

export interface ConfigLayer {
  /** Where it comes from, for messages: `FelixConfiguration(default)`, `FELIX_... in the environment`. */
  readonly source: string;
  readonly values: Readonly<Record<string, unknown>>;
}

export interface ConfigProblem {
  readonly source: string;
  readonly parameter: string;
  readonly value: string;
  readonly expected: string;
}

/** Calico's defaults, as its CRD states them. */
const BUILT_IN: ConfigLayer = { source: "built-in", values: DEFAULTS.FelixConfiguration };

const NAMES = new Map(Object.keys(PARAMETERS).map(name => [name.toLowerCase(), name]));

/** Layers from lowest to highest precedence. A value that cannot be read is reported and the next lower one stands. */
export function resolveConfig(layers: readonly ConfigLayer[]): {
  config: FelixConfig;
  problems: ConfigProblem[];
} {
  const config: Record<string, unknown> = {};
  for (const [name, parameter] of Object.entries(PARAMETERS)) config[name] = parameter.zero;
  const problems: ConfigProblem[] = [];
  for (const layer of [BUILT_IN, ...layers]) {
    for (const [given, raw] of Object.entries(layer.values)) {
      const name = NAMES.get(given.toLowerCase());
      if (name === undefined || raw === undefined || raw === null) continue;
      const parameter = PARAMETERS[name as keyof typeof PARAMETERS] as Parameter<unknown>;
      const value = flatText(raw).trim();
      const parsed = value.toLowerCase() === "none" ? parameter.zero : parameter.parse(value);
      if (parsed === undefined)
        problems.push({ source: layer.source, parameter: name, value, expected: parameter.expected });
      else config[name] = parsed;
    }
  }
  return { config: config as unknown as FelixConfig, problems };
}

/** The flat form of what a resource has as a list: of texts, or of failsafe ports. */
function flatText(raw: unknown): string {
  if (!Array.isArray(raw)) return String(raw);
  return raw.every(item => typeof item === "string") && raw.length > 0
    ? raw.join(",")
    : failsafePortsText(raw);
}

/** The layer of the environment: `FELIX_INTERFACEPREFIX` and so on. */
export function environmentLayer(env: Readonly<Record<string, string | undefined>>): ConfigLayer {
  const values: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && /^felix_/i.test(name)) values[name.slice("felix_".length)] = value;
  }
  return { source: "environment", values };
}

/** The layer of `/etc/calico/felix.cfg`: ini lines `Name = value`, in sections whose names do not matter. */
export function fileLayer(path: string, content: string): ConfigLayer {
  const values: Record<string, string> = {};
  for (const line of content.split("\n")) {
    const [, name, value] = /^\s*([A-Za-z0-9]+)\s*[=:]\s*(.*?)\s*$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) values[name] = value;
  }
  return { source: path, values };
}
