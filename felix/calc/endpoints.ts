/** From stored resources to what the calculation works with: endpoints and network sets as set items, local ones as endpoints. */

import type {
  GlobalNetworkSet,
  HostEndpoint,
  NetworkSet,
  WorkloadEndpoint,
} from "../../crd-schemas/index.ts";
import { type Cidr, isHostCidr, networkAddress, parseCidr } from "../../net/cidr.ts";
import { type Ip, parseIp } from "../../net/ip.ts";
import { mac } from "../../net/mac.ts";
import type { EndpointInput } from "./active-policies.ts";
import type { NamedPort, SetItem } from "./set-index.ts";

/** Labels that only profiles may give: on an endpoint of its own they would be a forgery. */
const RESERVED = /^pc(ns|sa)\./;

/** Addresses without length, blocks with: how set members are written. */
function member(block: Cidr): string {
  return isHostCidr(block) ? networkAddress(block) : block;
}

function members(nets: readonly string[]): string[] {
  return nets
    .map(net => parseCidr(net))
    .filter(net => net !== undefined)
    .map(member);
}

/** Workloads without an address take part in nothing: undefined. */
export function workloadItem(resource: WorkloadEndpoint): SetItem | undefined {
  const { spec, metadata } = resource;
  const nets = members(spec?.ipNetworks ?? []);
  if (nets.length === 0) return undefined;
  return {
    labels: ownLabels(metadata.labels),
    parents: spec?.profiles ?? [],
    nets,
    ports: namedPorts(spec?.ports),
  };
}

export function hostEndpointItem(resource: HostEndpoint): SetItem {
  const { spec, metadata } = resource;
  return {
    labels: metadata.labels ?? {},
    parents: spec?.profiles ?? [],
    nets: members(spec?.expectedIPs ?? []),
    ports: namedPorts(spec?.ports),
  };
}

/** A namespaced network set inherits the labels of its namespace, which is the profile `kns.<namespace>`. */
export function networkSetItem(resource: NetworkSet | GlobalNetworkSet): SetItem {
  const { metadata, spec } = resource;
  const parents = metadata.namespace ? [`kns.${metadata.namespace}`] : [];
  return { labels: metadata.labels ?? {}, parents, nets: members(spec?.nets ?? []), ports: [] };
}

/** Undefined where it has no address or no interface. */
export function localEndpoint(resource: WorkloadEndpoint): EndpointInput | undefined {
  const { spec, metadata } = resource;
  const addresses = (spec?.ipNetworks ?? [])
    .map(net => parseIp(net.split("/")[0] ?? ""))
    .filter(address => address !== undefined);
  if (!spec?.interfaceName || addresses.length === 0) return undefined;
  return {
    labels: ownLabels(metadata.labels),
    endpoint: {
      id: endpointId(metadata.namespace ?? "default", metadata.name),
      interfaceName: spec.interfaceName,
      enabled: true,
      addresses: addresses as Ip[],
      mac: spec.mac ? mac(spec.mac) : undefined,
      profiles: spec.profiles ?? [],
      allowedSources: (spec.allowSpoofedSourcePrefixes ?? [])
        .map(net => parseCidr(net))
        .filter(net => net !== undefined),
    },
  };
}

/** Also the name of the endpoint's status file. */
export function endpointId(namespace: string, name: string): string {
  return `${namespace}.${name}`;
}

function ownLabels(labels: Readonly<Record<string, string>> | undefined): Readonly<Record<string, string>> {
  if (!labels) return {};
  const names = Object.keys(labels);
  if (!names.some(name => RESERVED.test(name))) return labels;
  return Object.fromEntries(Object.entries(labels).filter(([name]) => !RESERVED.test(name)));
}

function namedPorts(
  ports:
    | readonly { readonly name?: string; readonly protocol?: string | number; readonly port?: number }[]
    | undefined,
): NamedPort[] {
  return (ports ?? []).flatMap(({ name, protocol, port }) =>
    name && port ? [{ name, protocol: String(protocol ?? "TCP").toLowerCase(), port }] : [],
  );
}
