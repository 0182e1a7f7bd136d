/** A Calico node as a BGP speaker. Pure. */

import type { BGPConfiguration, Node } from "../crd-schemas/index.ts";
import { parseInterfaceAddress } from "../net/cidr.ts";
import { type Ip, ipVersion } from "../net/ip.ts";
import { parseSelector } from "../policy/selector/index.ts";

export const DEFAULT_AS = 64512;
export const DEFAULT_PORT = 179;

export interface NodeSpeaker {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly Ip[];
  readonly asn: number;
  readonly port: number;
  readonly clusterId: string | undefined;
}

export function speakerOf(
  node: Node,
  defaultAs: number,
  configurations: ReadonlyMap<string, BGPConfiguration>,
): NodeSpeaker {
  const bgp = node.spec?.bgp;
  const addresses = [bgp?.ipv4Address, bgp?.ipv6Address]
    .map(text => (text === undefined ? undefined : parseInterfaceAddress(text)?.ip))
    .filter(address => address !== undefined);
  const port =
    configurations.get(`node.${node.metadata.name}`)?.spec?.listenPort ??
    configurations.get("default")?.spec?.listenPort;
  return {
    name: node.metadata.name,
    labels: node.metadata.labels ?? {},
    addresses,
    asn: Number(bgp?.asNumber ?? defaultAs),
    port: port ?? DEFAULT_PORT,
    clusterId: bgp?.routeReflectorClusterID || undefined,
  };
}

/** Its address of the same version. */
export function ownAddress(self: NodeSpeaker, towards: Ip): Ip | undefined {
  return self.addresses.find(address => ipVersion(address) === ipVersion(towards));
}

/** Whether its labels match. */
export function matches(selector: string, speaker: NodeSpeaker): boolean {
  return parseSelector(selector).matches({ get: label => speaker.labels[label] });
}
