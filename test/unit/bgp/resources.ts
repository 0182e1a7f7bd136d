/** Short forms of the resources that BGP looks at. */

import type {
  BGPConfiguration,
  BGPFilter,
  BGPPeer,
  FelixConfiguration,
  IPPool,
  Node,
  Profile,
  WorkloadEndpoint,
} from "../../../crd-schemas/index.ts";

const apiVersion = "projectcalico.org/v3";

type NodeBgp = NonNullable<NonNullable<Node["spec"]>["bgp"]>;

export function node(name: string, bgp: NodeBgp, labels: Record<string, string> = {}): Node {
  return { apiVersion, kind: "Node", metadata: { name, labels }, spec: { bgp } } as Node;
}

export function bgpPeer(name: string, spec: NonNullable<BGPPeer["spec"]>): BGPPeer {
  return { apiVersion, kind: "BGPPeer", metadata: { name }, spec } as BGPPeer;
}

export function bgpFilter(name: string, spec: NonNullable<BGPFilter["spec"]>): BGPFilter {
  return { apiVersion, kind: "BGPFilter", metadata: { name }, spec } as BGPFilter;
}

export function bgpConfiguration(
  spec: NonNullable<BGPConfiguration["spec"]>,
  name = "default",
): BGPConfiguration {
  return { apiVersion, kind: "BGPConfiguration", metadata: { name }, spec } as BGPConfiguration;
}

export function felixConfiguration(
  spec: NonNullable<FelixConfiguration["spec"]>,
  name = "default",
): FelixConfiguration {
  return { apiVersion, kind: "FelixConfiguration", metadata: { name }, spec } as FelixConfiguration;
}

export function ipPool(cidr: string, spec: Partial<IPPool["spec"]> = {}): IPPool {
  const name = cidr.replace(/[./:]/g, "-");
  return { apiVersion, kind: "IPPool", metadata: { name }, spec: { cidr, ...spec } } as IPPool;
}

export function workloadEndpoint(
  name: string,
  spec: Partial<WorkloadEndpoint["spec"]>,
  labels: Record<string, string> = {},
): WorkloadEndpoint {
  const identity = { orchestrator: "k8s", pod: name, endpoint: "eth0" };
  const whole = { ...identity, ...spec };
  const fullName = `${whole.node?.replaceAll("-", "--")}-k8s-${name}-eth0`;
  const metadata = { name: fullName, namespace: "default", labels };
  return { apiVersion, kind: "WorkloadEndpoint", metadata, spec: whole } as WorkloadEndpoint;
}

export function profile(name: string, labelsToApply: Record<string, string>): Profile {
  return { apiVersion, kind: "Profile", metadata: { name }, spec: { labelsToApply } } as Profile;
}

export function byName<T extends { metadata: { name?: string } }>(...resources: T[]): Map<string, T> {
  return new Map(resources.map(resource => [resource.metadata.name as string, resource]));
}
