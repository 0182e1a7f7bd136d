/**
 * Which datastore, from where a Calico user already says it: the environment (each variable plain or with the
 * prefix CALICO_) and calicoctl's configuration file, of today (CalicoAPIConfig) or of old (calicoApiConfig).
 *
 * - A file that was named (`calctl -c`) counts alone. Otherwise the environment counts, if it says anything about a
 *   datastore; otherwise the file at its usual place, if there is one.
 * - Without a type: etcd if endpoints are given, Kubernetes if a kubeconfig or API endpoint is, and otherwise the
 *   embedded store (where Calico would look for ~/.kube/config), so that nothing has to be set up to begin.
 */

import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { parse, YAMLParseError } from "yaml";
import type { Clock } from "../daemon/clock.ts";
import type { Logger } from "../daemon/log.ts";
import type { Datastore } from "./datastore.ts";
import { DatastoreError, DatastoreErrorCode } from "./errors.ts";
import type { EtcdTls } from "./etcd/options.ts";

export const DEFAULT_CONFIG_FILE = "/etc/calico/calicoctl.cfg";
const DEFAULT_EMBEDDED_PATH = "/var/lib/calyx/datastore.db";

export interface EmbeddedConfig {
  readonly type: "embedded";
  readonly path: string;
}

export interface EtcdConfig {
  readonly type: "etcdv3";
  readonly endpoints: readonly string[];
  /** A domain whose SRV records name the members; used where there are no endpoints. */
  readonly discoverySrv?: string;
  readonly username?: string;
  readonly password?: string;
  /** Each either a PEM text or a file's name. */
  readonly ca?: PemSource;
  readonly cert?: PemSource;
  readonly key?: PemSource;
}

export type PemSource = { readonly file: string } | { readonly pem: string };

export interface KubernetesConfig {
  readonly type: "kubernetes";
  /** The k8s… and kubeconfig settings as they were given, by their names in the file. */
  readonly settings: Readonly<Record<string, string>>;
}

export type DatastoreConfig = EmbeddedConfig | EtcdConfig | KubernetesConfig;

export class ConfigError extends Error {
  readonly code = "INVALID_CONFIG";
  /** The file, or undefined for the environment. */
  readonly file: string | undefined;
  readonly field: string | undefined;
  constructor(message: string, options: { file?: string | undefined; field?: string; cause?: unknown } = {}) {
    super([options.file, options.field, message].filter(Boolean).join(": "), { cause: options.cause });
    this.name = "ConfigError";
    this.file = options.file;
    this.field = options.field;
  }
}

/** From a setting's name in the file to its variable. */
const VARIABLES = {
  datastoreType: "DATASTORE_TYPE",
  datastorePath: "CALYX_DATASTORE_PATH",
  etcdEndpoints: "ETCD_ENDPOINTS",
  etcdDiscoverySrv: "ETCD_DISCOVERY_SRV",
  etcdUsername: "ETCD_USERNAME",
  etcdPassword: "ETCD_PASSWORD",
  etcdKeyFile: "ETCD_KEY_FILE",
  etcdCertFile: "ETCD_CERT_FILE",
  etcdCACertFile: "ETCD_CA_CERT_FILE",
  etcdKey: undefined,
  etcdCert: undefined,
  etcdCACert: undefined,
  kubeconfig: "KUBECONFIG",
  kubeconfigInline: undefined,
  k8sAPIEndpoint: "K8S_API_ENDPOINT",
  k8sKeyFile: "K8S_KEY_FILE",
  k8sCertFile: "K8S_CERT_FILE",
  k8sCAFile: "K8S_CA_FILE",
  k8sAPIToken: "K8S_API_TOKEN",
  k8sInsecureSkipTLSVerify: "K8S_INSECURE_SKIP_TLS_VERIFY",
  k8sDisableNodePoll: "K8S_DISABLE_NODE_POLL",
  usePodCIDR: "USE_POD_CIDR",
  k8sClientQPS: "K8S_CLIENT_QPS",
  k8sClientBurst: "K8S_CLIENT_BURST",
  k8sCurrentContext: "K8S_CURRENT_CONTEXT",
  calicoAPIGroup: "CALICO_API_GROUP",
} as const;

type Setting = keyof typeof VARIABLES;
type Settings = Partial<Record<Setting, string>>;

/** A variable that is set for kubectl's sake says nothing about our datastore. */
const DECISIVE: readonly Setting[] = [
  "datastoreType",
  "datastorePath",
  "etcdEndpoints",
  "etcdDiscoverySrv",
  "k8sAPIEndpoint",
];

/** What calicoctl before 3.0 had besides. */
const V1_SETTINGS: ReadonlySet<string> = new Set(["etcdAuthority", "etcdScheme"]);

export interface ConfigSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The file a user named. */
  readonly configFile?: string | undefined;
  /** The text of a file, or undefined if there is none. */
  readonly readFile?: (path: string) => string | undefined;
}

/** @throws ConfigError */
export function datastoreConfig({ env, configFile, readFile = readIfThere }: ConfigSources): DatastoreConfig {
  if (configFile !== undefined) {
    const text = readFile(configFile);
    if (text === undefined) throw new ConfigError("there is no such file", { file: configFile });
    return decide(fromFile(text, configFile), configFile);
  }
  const settings = fromEnvironment(env);
  if (DECISIVE.some(name => settings[name] !== undefined)) return decide(settings, undefined);
  const usual = readFile(DEFAULT_CONFIG_FILE);
  return usual === undefined
    ? decide(settings, undefined)
    : decide(fromFile(usual, DEFAULT_CONFIG_FILE), DEFAULT_CONFIG_FILE);
}

export interface ConnectOptions {
  readonly logger?: Logger | undefined;
  readonly clock?: Clock | undefined;
  /** How long one request may take before it fails as Unavailable. */
  readonly timeoutMs?: number | undefined;
  /** For agents: an embedded store that is not there is waited for, not made. */
  readonly mustExist?: boolean | undefined;
}

/** @throws DatastoreError; ConfigError for certificate files that cannot be read */
export async function connect(config: DatastoreConfig, options: ConnectOptions = {}): Promise<Datastore> {
  switch (config.type) {
    case "embedded": {
      const { openEmbedded } = await import("./embedded/open.ts");
      return openEmbedded({ ...options, path: config.path, lockTimeoutMs: options.timeoutMs });
    }
    case "etcdv3": {
      const { openEtcd } = await import("./etcd/open.ts");
      const { discover } = await import("./etcd/discovery.ts");
      const endpoints = config.discoverySrv ? await discover(config.discoverySrv) : config.endpoints;
      const { username, password } = config;
      return openEtcd({ ...options, endpoints, username, password, tls: await etcdTls(config) });
    }
    case "kubernetes":
      throw new DatastoreError(DatastoreErrorCode.NotSupported, {
        message: "the Kubernetes datastore is not built yet: use DATASTORE_TYPE=embedded or etcdv3",
      });
  }
}

function decide(settings: Settings, file: string | undefined): DatastoreConfig {
  const type = settings.datastoreType ?? defaultType(settings);
  switch (type) {
    case "embedded":
      return { type, path: settings.datastorePath ?? DEFAULT_EMBEDDED_PATH };
    case "kubernetes": {
      const own = Object.entries(settings).filter(([name]) => /^(k8s|kube|usePodCIDR|calicoAPI)/.test(name));
      return { type, settings: Object.fromEntries(own) };
    }
    case "etcdv3":
      return etcdConfig(settings, file);
    default:
      throw new ConfigError(`unknown datastore type "${type}", expected embedded, etcdv3 or kubernetes`, {
        file,
        field: nameOf("datastoreType", file),
      });
  }
}

function defaultType(settings: Settings): DatastoreConfig["type"] {
  if (settings.etcdEndpoints || settings.etcdDiscoverySrv) return "etcdv3";
  if (settings.datastorePath) return "embedded";
  return settings.kubeconfig || settings.kubeconfigInline || settings.k8sAPIEndpoint
    ? "kubernetes"
    : "embedded";
}

function etcdConfig(settings: Settings, file: string | undefined): EtcdConfig {
  const wrong = (field: Setting, message: string) =>
    new ConfigError(message, { file, field: nameOf(field, file) });
  const endpoints = (settings.etcdEndpoints ?? "").split(",").flatMap(text => {
    const endpoint = text.trim().replace(/\/+$/, "");
    if (endpoint === "") return [];
    const url = endpoint.includes("://") ? endpoint : `http://${endpoint}`;
    if (!/^https?:\/\/(\[[0-9a-fA-F:.%]+\]|[^/:@\s]+)(:\d+)?$/.test(url)) {
      throw wrong("etcdEndpoints", `"${endpoint}" is not an endpoint, expected http(s)://host:port`);
    }
    return [/:\d+$/.test(url) ? url : `${url}:2379`];
  });
  const { etcdDiscoverySrv, etcdUsername, etcdPassword } = settings;
  if (endpoints.length === 0 && !etcdDiscoverySrv) {
    throw wrong("etcdEndpoints", "no etcd endpoints are given, expected http(s)://host:port");
  }
  if (endpoints.length > 0 && etcdDiscoverySrv) {
    throw wrong("etcdDiscoverySrv", "endpoints and discovery exclude each other");
  }
  if (new Set(endpoints.map(endpoint => endpoint.startsWith("https:"))).size > 1) {
    throw wrong("etcdEndpoints", "endpoints must be all http or all https");
  }
  const files = settings.etcdKeyFile || settings.etcdCertFile || settings.etcdCACertFile;
  const inline = settings.etcdKey || settings.etcdCert || settings.etcdCACert;
  if (files && inline) throw wrong("etcdCertFile", "certificates come from files or inline, not both");
  const ca = pem(settings.etcdCACertFile, settings.etcdCACert);
  const cert = pem(settings.etcdCertFile, settings.etcdCert);
  const key = pem(settings.etcdKeyFile, settings.etcdKey);
  if (!cert !== !key)
    throw wrong("etcdCertFile", "a client certificate needs its key, and a key its certificate");
  return {
    type: "etcdv3",
    endpoints,
    ...(etcdDiscoverySrv && { discoverySrv: etcdDiscoverySrv }),
    ...(etcdUsername && { username: etcdUsername }),
    ...(etcdPassword && { password: etcdPassword }),
    ...(ca && { ca }),
    ...(cert && key && { cert, key }),
  };
}

function fromEnvironment(env: ConfigSources["env"]): Settings {
  const settings: Settings = {};
  for (const [name, variable] of Object.entries(VARIABLES) as [Setting, string | undefined][]) {
    if (variable === undefined) continue;
    const value = env[variable] || env[`CALICO_${variable}`];
    if (value) settings[name] = value;
  }
  return settings;
}

function fromFile(text: string, file: string): Settings {
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    const at = error instanceof YAMLParseError ? error.linePos?.[0] : undefined;
    const where = at ? `${file}:${at.line}:${at.col}` : file;
    throw new ConfigError("this is not YAML", { file: where, cause: error });
  }
  const { apiVersion, kind, spec } = (document ?? {}) as Record<string, unknown>;
  const old = apiVersion === "v1" && String(kind).toLowerCase() === "calicoapiconfig";
  if (!old && !(apiVersion === "projectcalico.org/v3" && kind === "CalicoAPIConfig")) {
    const expected = "apiVersion projectcalico.org/v3, kind CalicoAPIConfig";
    throw new ConfigError(`this is not a calicoctl configuration, expected ${expected}`, { file });
  }
  const settings: Settings = {};
  const given = Object.entries((spec ?? {}) as Record<string, unknown>);
  for (const [name, value] of given) {
    if (!Object.hasOwn(VARIABLES, name) && !(old && V1_SETTINGS.has(name))) {
      throw new ConfigError("unknown field", { file, field: `spec.${name}` });
    }
    if (typeof value === "object" && value !== null) {
      throw new ConfigError("expected a text", { file, field: `spec.${name}` });
    }
    if (value !== null && value !== "") settings[name as Setting] = String(value);
  }
  return old ? fromV1(settings) : settings;
}

/** etcdv2 was where calicoctl 1.x kept things; what was migrated from there is in etcdv3, on the same endpoints. */
function fromV1(given: Settings & { etcdAuthority?: string; etcdScheme?: string }): Settings {
  const { etcdAuthority, etcdScheme = "http", ...settings } = given;
  if (settings.datastoreType === "etcdv2") settings.datastoreType = "etcdv3";
  if (etcdAuthority && !settings.etcdEndpoints) settings.etcdEndpoints = `${etcdScheme}://${etcdAuthority}`;
  return settings;
}

async function etcdTls({ ca, cert, key }: EtcdConfig): Promise<EtcdTls | undefined> {
  if (!ca && !cert) return undefined;
  return { ca: await pemText(ca), cert: await pemText(cert), key: await pemText(key) };
}

async function pemText(source: PemSource | undefined): Promise<Buffer | undefined> {
  if (!source) return undefined;
  if ("pem" in source) return Buffer.from(source.pem);
  try {
    return await readFile(source.file);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new ConfigError(`this certificate or key file cannot be read (${code})`, {
      file: source.file,
      cause,
    });
  }
}

function pem(file: string | undefined, text: string | undefined): PemSource | undefined {
  if (file) return { file };
  return text ? { pem: text } : undefined;
}

/** How the user wrote it. */
function nameOf(setting: Setting, file: string | undefined): string {
  return file === undefined ? (VARIABLES[setting] ?? setting) : `spec.${setting}`;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new ConfigError(`this file cannot be read (${code})`, { file: path, cause: error });
  }
}
