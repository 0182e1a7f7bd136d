/**
 * From stored resources to what the calculation works with: endpoints and network sets as set items, local ones as
 * endpoints.
 *
 * The input has passed validation. What still cannot be read throws, for the caller to report: a network set of which
 * half were silently left out would be worse than none.
 */

import {
  dscpNumber,
  type GlobalNetworkSet,
  type HostEndpoint,
  type NetworkSet,
  type Protocol,
  parseDSCP,
  type WorkloadEndpoint,
} from "../../crd-schemas/index.ts";
import { type Cidr, cidr, isHostCidr, networkAddress } from "../../net/cidr.ts";
import { type Ip, ip } from "../../net/ip.ts";
import { mac } from "../../net/mac.ts";
import { canonicalProtocol } from "../../policy/model.ts";
import { networkSetLabels, ownLabels } from "../../policy/resource-labels.ts";
import type { PolicySubject } from "./active-policies.ts";
import type { LocalEndpoint } from "./changes.ts";
import type { HostEndpointInput } from "./host-endpoints.ts";
import { qosControls } from "./qos.ts";
import type { NamedPort, SetItem } from "./set-index.ts";

const DSCP_ANNOTATION = "qos.projectcalico.org/dscp";

const NO_PORTS: readonly NamedPort[] = [];

/** Addresses without length, blocks with: how set members are written. */
function member(block: Cidr): string {
  return isHostCidr(block) ? networkAddress(block) : block;
}

/** Undefined for workloads without an address: they take part in nothing. */
export function workloadItem(resource: WorkloadEndpoint): SetItem | undefined {
  const { spec, metadata } = resource;
  const nets = spec.ipNetworks?.map(workloadAddress) ?? [];
  if (nets.length === 0) return undefined;
  return {
    labels: ownLabels(metadata.labels),
    parents: spec.profiles ?? [],
    nets,
    ports: namedPorts(spec.ports),
  };
}

export function hostEndpointItem({ spec, metadata }: HostEndpoint): SetItem {
  return {
    labels: metadata.labels ?? {},
    parents: spec.profiles ?? [],
    nets: (spec.expectedIPs ?? []).map(net => member(cidr(net))),
    ports: namedPorts(spec.ports),
  };
}

export function networkSetItem(resource: NetworkSet | GlobalNetworkSet): SetItem {
  const { labels, profiles } = networkSetLabels(resource);
  const nets = (resource.spec.nets ?? []).map(net => member(cidr(net)));
  return { labels, parents: profiles, nets, ports: NO_PORTS };
}

/** A local workload before it is known which policies apply to it. */
export interface WorkloadInput {
  readonly subject: PolicySubject;
  /** With the floating addresses it asks for, whether it may have them or not. */
  readonly endpoint: Omit<LocalEndpoint, "tiers">;
  /** Its floating addresses are no matter of configuration. */
  readonly isOpenStack: boolean;
}

export function hostEndpointInput({ spec, metadata }: HostEndpoint): HostEndpointInput {
  const dscp = metadata.annotations?.[DSCP_ANNOTATION];
  return {
    interfaceName: spec.interfaceName || undefined,
    expectedIps: (spec.expectedIPs ?? []).map(net => networkAddress(cidr(net))),
    subject: { isHost: true, labels: metadata.labels ?? {}, profiles: spec.profiles ?? [] },
    dscp: dscp === undefined ? undefined : dscpNumber(parseDSCP(dscp) ?? dscp),
  };
}

/** Undefined where it has no address or no interface. */
export function workloadInput({ spec, metadata }: WorkloadEndpoint): WorkloadInput | undefined {
  const addresses = spec.ipNetworks?.map(workloadAddress) ?? [];
  if (!spec.interfaceName || addresses.length === 0) return undefined;
  return {
    subject: { isHost: false, labels: ownLabels(metadata.labels), profiles: spec.profiles ?? [] },
    endpoint: {
      id: endpointId(metadata.namespace ?? "default", metadata.name),
      interfaceName: spec.interfaceName,
      enabled: true,
      addresses,
      mac: spec.mac ? mac(spec.mac) : undefined,
      profiles: spec.profiles ?? [],
      allowedSources: (spec.allowSpoofedSourcePrefixes ?? []).map(cidr),
      floatingIps: (spec.ipNATs ?? []).map(({ externalIP, internalIP }) => ({
        external: ip(externalIP),
        internal: ip(internalIP),
      })),
      qos: qosControls(spec.qosControls),
    },
    isOpenStack: spec.orchestrator === "openstack",
  };
}

/** Also the name of the endpoint's status file. */
export function endpointId(namespace: string, name: string): string {
  return `${namespace}.${name}`;
}

/** `10.0.0.1/32` as the address; validation refuses larger blocks. */
function workloadAddress(network: string): Ip {
  return networkAddress(cidr(network));
}

function namedPorts(
  ports:
    | readonly { readonly name?: string; readonly protocol: Protocol; readonly port: number }[]
    | undefined,
): readonly NamedPort[] {
  if (!ports?.length) return NO_PORTS;
  return ports.flatMap(({ name, protocol, port }) =>
    name && port ? [{ name, protocol: String(canonicalProtocol(protocol)).toLowerCase(), port }] : [],
  );
}
