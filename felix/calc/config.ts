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

type Parser<T> = (raw: string) => T | undefined;

interface Parameter<T> {
  readonly initial: T;
  readonly parse: Parser<T>;
  readonly expected: string;
  /** What `none` means: Calico resets to the zero value of the type. */
  readonly none: T;
}

function text(initial: string): Parameter<string> {
  return { initial, parse: raw => raw, expected: "text", none: "" };
}

function textList(initial: readonly string[]): Parameter<readonly string[]> {
  const parse = (raw: string) =>
    raw
      .split(",")
      .map(item => item.trim())
      .filter(item => item !== "");
  return { initial, parse, expected: "a comma-separated list", none: [] };
}

function flag(initial: boolean): Parameter<boolean> {
  const words: Record<string, boolean> = {
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
  return { initial, parse: raw => words[raw.toLowerCase()], expected: "true or false", none: false };
}

function integer(initial: number, min: number, max: number): Parameter<number> {
  const parse = (raw: string) => {
    const value = Number(raw);
    return /^(0x[0-9a-f]+|\d+)$/i.test(raw) && value >= min && value <= max ? value : undefined;
  };
  return { initial, parse, expected: `a whole number from ${min} to ${max}`, none: 0 };
}

function choice<const T extends string>(initial: T, ...values: readonly T[]): Parameter<T> {
  const parse = (raw: string) => values.find(value => value.toLowerCase() === raw.toLowerCase());
  return { initial, parse, expected: values.join(", "), none: initial };
}

/** Milliseconds, from a Go duration (`1m30s`) or, as in Calico's flat form, from bare seconds (`90`). */
function duration(initialMs: number): Parameter<number> {
  return { initial: initialMs, parse: parseDurationMs, expected: "a duration such as 90s or 1m30s", none: 0 };
}

const UNIT_MS: Record<string, number> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 0.001,
  µs: 0.001,
  ns: 0.000001,
};

function parseDurationMs(raw: string): number | undefined {
  if (/^\d+(\.\d+)?$/.test(raw)) return Number(raw) * 1000;
  if (!/^(\d+(\.\d+)?(h|ms|m|s|us|µs|ns))+$/.test(raw)) return undefined;
  let total = 0;
  for (const [, amount, unit] of raw.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)/g)) {
    total += Number(amount) * UNIT_MS[unit as string]!;
  }
  return total;
}

const PARAMETERS = {
  interfacePrefix: textList(["cali"]),
  ipv6Support: flag(true),
  ipForwarding: flag(true),
  logSeverityScreen: text("Info"),
  logPrefix: text("calico-packet"),
  healthEnabled: flag(false),
  healthHost: text("localhost"),
  healthPort: integer(9099, 1, 65535),
  prometheusMetricsEnabled: flag(false),
  prometheusMetricsHost: text(""),
  prometheusMetricsPort: integer(9091, 1, 65535),
  endpointStatusPathPrefix: text("/var/run/calico"),
  defaultEndpointToHostAction: choice("Drop", "Drop", "Accept", "Return"),
  chainInsertMode: choice("Insert", "Insert", "Append"),
  workloadSourceSpoofing: choice("Disabled", "Disabled", "Any"),
  allowVXLANPacketsFromWorkloads: flag(false),
  allowIPIPPacketsFromWorkloads: flag(false),
  disableConntrackInvalidCheck: flag(false),
  iptablesBackend: choice("Auto", "Auto", "NFT", "Legacy"),
  iptablesFilterAllowAction: choice("Accept", "Accept", "Return"),
  iptablesMangleAllowAction: choice("Accept", "Accept", "Return"),
  iptablesFilterDenyAction: choice("Drop", "Drop", "Reject"),
  iptablesMarkMask: integer(0xffff0000, 1, 0xffffffff),
  iptablesRefreshInterval: duration(180_000),
  ipsetsRefreshInterval: duration(90_000),
  routeRefreshInterval: duration(90_000),
  interfaceRefreshInterval: duration(90_000),
  maxIpsetSize: integer(1_048_576, 1, 0xffffffff),
  deviceRouteProtocol: integer(3, 0, 255),
  deviceRouteSourceAddress: text(""),
  removeExternalRoutes: flag(true),
  ipv4NormalRoutePriority: integer(1024, 1, 2_147_483_646),
  ipv6NormalRoutePriority: integer(1024, 1, 2_147_483_646),
  natOutgoingAddress: text(""),
  natPortRange: text(""),
  natOutgoingExclusions: choice("IPPoolsOnly", "IPPoolsOnly", "IPPoolsAndHostIPs"),
  iptablesNATOutgoingInterfaceFilter: text(""),
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

const NAMES = new Map(Object.keys(PARAMETERS).map(name => [name.toLowerCase(), name]));

/** Layers from lowest to highest precedence. A value that cannot be read is reported and the next lower one stands. */
export function resolveConfig(layers: readonly ConfigLayer[]): {
  config: FelixConfig;
  problems: ConfigProblem[];
} {
  const config: Record<string, unknown> = {};
  for (const [name, parameter] of Object.entries(PARAMETERS)) config[name] = parameter.initial;
  const problems: ConfigProblem[] = [];
  for (const layer of layers) {
    for (const [given, raw] of Object.entries(layer.values)) {
      const name = NAMES.get(given.toLowerCase());
      if (name === undefined || raw === undefined || raw === null || typeof raw === "object") continue;
      const parameter = PARAMETERS[name as keyof typeof PARAMETERS] as Parameter<unknown>;
      const value = String(raw).trim();
      const parsed = value.toLowerCase() === "none" ? parameter.none : parameter.parse(value);
      if (parsed === undefined)
        problems.push({ source: layer.source, parameter: name, value, expected: parameter.expected });
      else config[name] = parsed;
    }
  }
  return { config: config as unknown as FelixConfig, problems };
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
