/**
 * Which of a host's addresses is the node's, by the methods Calico offers. Pure over the list of interfaces; what
 * only the kernel or the cluster knows is asked through {@link Surroundings}.
 */

import { type Cidr, contains, type InterfaceAddress, parseCidr } from "../net/cidr.ts";
import { type Ip, type IpVersion, ipVersion } from "../net/ip.ts";
import { NodeStartError, NodeStartErrorCode } from "./errors.ts";

/** A network interface of the host, in the kernel's order. */
export interface HostInterface {
  readonly name: string;
  readonly up: boolean;
  readonly addresses: readonly InterfaceAddress[];
}

export type DetectionMethod =
  | { readonly kind: "first-found" }
  /** The source address towards a name or an address. */
  | { readonly kind: "can-reach"; readonly destination: string }
  /** Tried in this order. */
  | { readonly kind: "interface"; readonly patterns: readonly RegExp[] }
  | { readonly kind: "skip-interface"; readonly patterns: readonly RegExp[] }
  | { readonly kind: "cidr"; readonly blocks: readonly Cidr[] }
  | { readonly kind: "kubernetes-internal-ip" };

export interface Surroundings {
  /** The address this host sends from towards `destination` (a name or an address). */
  readonly reach?: (destination: string, version: IpVersion) => Promise<Ip | undefined>;
  /** What Kubernetes calls the node's internal addresses. */
  readonly kubernetesInternalIps?: () => Promise<readonly Ip[]>;
}

export interface Detected {
  readonly address: InterfaceAddress;
  readonly interface: string;
}

/** Interfaces that container software makes: their addresses are not the host's. Calico's list. */
const NOT_THE_HOSTS = [
  "docker.*",
  "cbr.*",
  "dummy.*",
  "podman.*",
  "virbr.*",
  "lxcbr.*",
  "veth.*",
  "lo",
  "br-.*",
  "cali.*",
  "tunl.*",
  "flannel.*",
  "kube-ipvs.*",
  "cni.*",
  "vxlan\\.calico.*",
  "vxlan-v6\\.calico.*",
  "wireguard\\.cali.*",
  "wg-v6\\.cali.*",
  "nodelocaldns.*",
].map(pattern => new RegExp(`^${pattern}$`));

const NOT_GLOBAL = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"]
  .concat(["::/127", "fe80::/10", "ff00::/8"])
  .map(text => parseCidr(text)!);

/** @param variable for the message. @throws NodeStartError INVALID_ENVIRONMENT */
export function parseDetectionMethod(text: string, variable: string): DetectionMethod {
  const equals = text.indexOf("=");
  const kind = equals < 0 ? text : text.slice(0, equals);
  const argument = equals < 0 ? "" : text.slice(equals + 1).trim();
  const items = argument.split(",").map(item => item.trim());
  const invalid = (expected: string) =>
    new NodeStartError(NodeStartErrorCode.InvalidEnvironment, `${variable}: "${text}" is not ${expected}`, {
      variable,
      value: text,
      expected,
    });
  switch (kind) {
    case "":
    case "first-found":
      return { kind: "first-found" };
    case "kubernetes-internal-ip":
      return { kind };
    case "can-reach":
      if (argument === "") throw invalid("can-reach=<address or name>");
      return { kind, destination: argument };
    case "interface":
    case "skip-interface":
      try {
        if (items.includes("")) throw invalid(`${kind}=<regular expression>,…`);
        return { kind, patterns: items.map(item => new RegExp(item)) };
      } catch {
        throw invalid(`${kind}=<regular expression>,…`);
      }
    case "cidr": {
      const blocks = items.map(parseCidr);
      if (blocks.includes(undefined)) throw invalid("cidr=<CIDR>,…");
      return { kind, blocks: blocks as Cidr[] };
    }
    default:
      throw invalid(
        "first-found, can-reach=…, interface=…, skip-interface=…, cidr=… or kubernetes-internal-ip",
      );
  }
}

/** Undefined where no interface has such an address. */
export async function detectAddress(
  version: IpVersion,
  method: DetectionMethod,
  interfaces: readonly HostInterface[],
  surroundings: Surroundings,
): Promise<Detected | undefined> {
  const candidates = globalAddresses(version, interfaces);
  switch (method.kind) {
    case "first-found":
      return candidates.find(isHosts);
    case "interface":
      for (const pattern of method.patterns) {
        const found = candidates.find(candidate => pattern.test(candidate.interface));
        if (found) return found;
      }
      return undefined;
    case "skip-interface":
      return candidates.find(
        candidate =>
          isHosts(candidate) && !method.patterns.some(pattern => pattern.test(candidate.interface)),
      );
    case "cidr":
      return candidates.find(({ address }) => method.blocks.some(block => contains(block, address.ip)));
    case "can-reach": {
      const source = await surroundings.reach?.(method.destination, version);
      return source === undefined ? undefined : holderOf(source, interfaces);
    }
    case "kubernetes-internal-ip": {
      const internal = (await surroundings.kubernetesInternalIps?.()) ?? [];
      const own = internal.find(address => ipVersion(address) === version);
      return own === undefined ? undefined : holderOf(own, interfaces);
    }
  }
}

/** The interface that has this address, with the subnet it has there. */
export function holderOf(address: Ip, interfaces: readonly HostInterface[]): Detected | undefined {
  for (const { name, addresses } of interfaces) {
    const found = addresses.find(each => each.ip === address);
    if (found) return { address: found, interface: name };
  }
  return undefined;
}

function globalAddresses(version: IpVersion, interfaces: readonly HostInterface[]): Detected[] {
  return interfaces
    .filter(({ up }) => up)
    .flatMap(({ name, addresses }) =>
      addresses
        .filter(({ ip }) => ipVersion(ip) === version && !NOT_GLOBAL.some(block => contains(block, ip)))
        .map(address => ({ address, interface: name })),
    );
}

function isHosts({ interface: name }: Detected): boolean {
  return !NOT_THE_HOSTS.some(pattern => pattern.test(name));
}
