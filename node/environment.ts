/**
 * The variables calico/node is configured by, read once and typed; a value that means nothing is an error that
 * names the variable. An empty variable counts as unset, as in Calico, because manifests set many to "".
 */

import {
  type Cidr,
  cidrVersion,
  type InterfaceAddress,
  parseCidr,
  parseInterfaceAddress,
} from "../net/cidr.ts";
import { type IpVersion, ipVersion } from "../net/ip.ts";
import { type DetectionMethod, parseDetectionMethod } from "./autodetect.ts";
import { NodeStartError, NodeStartErrorCode } from "./errors.ts";

export const DEFAULT_NODENAME_FILE = "/var/lib/calico/nodename";

export type Variables = Readonly<Record<string, string | undefined>>;

/** How the node gets its address of one family. */
export type AddressSetting =
  /** As stored, else autodetect (IPv4) or none (IPv6). */
  | { readonly kind: "unset" }
  | { readonly kind: "none" }
  | { readonly kind: "autodetect" }
  /** `bare`: without a prefix length, so the interface's counts. */
  | { readonly kind: "literal"; readonly address: InterfaceAddress; readonly bare: boolean };

export type Encapsulation = "Always" | "CrossSubnet" | "Never";

export interface PoolSettings {
  /** Undefined: the default. */
  readonly cidr: Cidr | "none" | undefined;
  readonly blockSize: number;
  readonly ipip: Encapsulation;
  readonly vxlan: Encapsulation;
  readonly natOutgoing: boolean;
  readonly nodeSelector: string;
  readonly disableBgpExport: boolean;
}

export interface NodeEnvironment {
  readonly nodeName: string | undefined;
  readonly hostName: string | undefined;
  readonly nodenameFile: string;
  readonly waitForDatastore: boolean;
  readonly ip: AddressSetting;
  readonly ip6: AddressSetting;
  readonly detection: DetectionMethod;
  readonly detection6: DetectionMethod;
  /** Whether another node with our address stops us. */
  readonly checkAddresses: boolean;
  /** Undefined: leave as it is. */
  readonly asNumber: number | undefined;
  readonly kubernetesNode: string | undefined;
  readonly defaultPools: boolean;
  readonly pool4: PoolSettings;
  readonly pool6: PoolSettings;
  /** "none": policy only, so the node needs no address. */
  readonly backend: "bird" | "vxlan" | "none";
  readonly routerId: string | undefined;
  readonly clusterTypes: readonly string[];
}

/** @throws NodeStartError INVALID_ENVIRONMENT */
export function readEnvironment(variables: Variables): NodeEnvironment {
  const get = (name: string) => variables[name]?.trim() || undefined;
  const flag = (name: string, unset: boolean) => readFlag(name, get(name), unset);
  return {
    nodeName: get("NODENAME"),
    hostName: get("HOSTNAME"),
    nodenameFile: get("CALICO_NODENAME_FILE") ?? DEFAULT_NODENAME_FILE,
    waitForDatastore: flag("WAIT_FOR_DATASTORE", false),
    ip: readAddress("IP", get("IP"), 4),
    ip6: readAddress("IP6", get("IP6"), 6),
    detection: readDetection("IP_AUTODETECTION_METHOD", get("IP_AUTODETECTION_METHOD")),
    detection6: readDetection("IP6_AUTODETECTION_METHOD", get("IP6_AUTODETECTION_METHOD")),
    checkAddresses: !flag("DISABLE_NODE_IP_CHECK", false),
    asNumber: readAsNumber("AS", get("AS")),
    kubernetesNode: get("CALICO_K8S_NODE_REF"),
    defaultPools: !flag("NO_DEFAULT_POOLS", false),
    pool4: readPool("CALICO_IPV4POOL", 4, get),
    pool6: readPool("CALICO_IPV6POOL", 6, get),
    backend: readBackend("CALICO_NETWORKING_BACKEND", get("CALICO_NETWORKING_BACKEND")),
    routerId: get("CALICO_ROUTER_ID"),
    clusterTypes: (get("CLUSTER_TYPE") ?? "").split(",").filter(type => type !== ""),
  };
}

function readFlag(name: string, value: string | undefined, unset: boolean): boolean {
  if (value === undefined) return unset;
  if (/^(1|t|true|y|yes|on)$/i.test(value)) return true;
  if (/^(0|f|false|n|no|off)$/i.test(value)) return false;
  throw invalid(name, value, "true or false");
}

function readAddress(name: string, value: string | undefined, version: IpVersion): AddressSetting {
  if (value === undefined) return { kind: "unset" };
  const word = value.toLowerCase();
  if (word === "none" || word === "autodetect") return { kind: word };
  const address = parseInterfaceAddress(value);
  if (!address || ipVersion(address.ip) !== version) {
    throw invalid(name, value, `an IPv${version} address (with its prefix length), autodetect or none`);
  }
  return { kind: "literal", address, bare: !value.includes("/") };
}

function readDetection(name: string, value: string | undefined): DetectionMethod {
  return parseDetectionMethod(value ?? "", name);
}

/** Plain, or in the dotted form: 1.10 is 65546. */
function readAsNumber(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const parts = value.split(".");
  const numbers = parts.map(part => (/^\d+$/.test(part) ? Number(part) : Number.NaN));
  const [high = 0, low] = numbers.length === 2 ? numbers : [0, numbers[0]];
  const asNumber = high * 65536 + (low ?? Number.NaN);
  const fits = numbers.length === 1 || (high <= 0xffff && low! <= 0xffff);
  if (numbers.length > 2 || !fits || !(asNumber >= 1 && asNumber <= 0xffffffff)) {
    throw invalid(name, value, "an AS number from 1 to 4294967295");
  }
  return asNumber;
}

function readPool(
  prefix: string,
  version: IpVersion,
  get: (name: string) => string | undefined,
): PoolSettings {
  const [shortest, longest, usual] = version === 4 ? [20, 32, 26] : [116, 128, 122];
  const sizeName = `${prefix}_BLOCK_SIZE`;
  const size = get(sizeName);
  const blockSize = size === undefined ? usual : Number(size);
  if (!Number.isInteger(blockSize) || blockSize < shortest || blockSize > longest) {
    throw invalid(sizeName, size ?? "", `a prefix length from ${shortest} to ${longest}`);
  }
  const cidr = readPoolCidr(`${prefix}_CIDR`, get(`${prefix}_CIDR`), version, blockSize);
  const ipip = version === 4 ? readEncapsulation(`${prefix}_IPIP`, get(`${prefix}_IPIP`)) : "Never";
  const vxlan = readEncapsulation(`${prefix}_VXLAN`, get(`${prefix}_VXLAN`));
  if (ipip !== "Never" && vxlan !== "Never") {
    throw invalid(`${prefix}_VXLAN`, vxlan, `compatible with ${prefix}_IPIP=${ipip}: use one of them`);
  }
  return {
    cidr,
    blockSize,
    ipip,
    vxlan,
    natOutgoing: readFlag(`${prefix}_NAT_OUTGOING`, get(`${prefix}_NAT_OUTGOING`), version === 4),
    nodeSelector: get(`${prefix}_NODE_SELECTOR`) ?? "all()",
    disableBgpExport: readFlag(`${prefix}_DISABLE_BGP_EXPORT`, get(`${prefix}_DISABLE_BGP_EXPORT`), false),
  };
}

function readPoolCidr(
  name: string,
  value: string | undefined,
  version: IpVersion,
  blockSize: number,
): Cidr | "none" | undefined {
  if (value === undefined) return undefined;
  if (value.toLowerCase() === "none") return "none";
  const cidr = value.includes("/") ? parseCidr(value) : undefined;
  if (!cidr || cidrVersion(cidr) !== version) throw invalid(name, value, `an IPv${version} CIDR or none`);
  if (Number(cidr.split("/")[1]) > blockSize) {
    throw invalid(name, value, `large enough for a block of /${blockSize}`);
  }
  return cidr;
}

function readEncapsulation(name: string, value: string | undefined): Encapsulation {
  switch (value?.toLowerCase()) {
    case undefined:
    case "never":
    case "off":
      return "Never";
    case "always":
      return "Always";
    case "crosssubnet":
    case "cross-subnet":
      return "CrossSubnet";
    default:
      throw invalid(name, value!, "Always, CrossSubnet or Never");
  }
}

function readBackend(name: string, value: string | undefined): NodeEnvironment["backend"] {
  if (value === undefined) return "bird";
  if (value === "bird" || value === "vxlan" || value === "none") return value;
  throw invalid(name, value, "bird, vxlan or none");
}

function invalid(variable: string, value: string, expected: string): NodeStartError {
  return new NodeStartError(
    NodeStartErrorCode.InvalidEnvironment,
    `${variable}: "${value}" is not ${expected}`,
    { variable, value, expected },
  );
}
