/**
 * Which addresses of Kubernetes services this host announces (calico.md 4.6). Pure.
 *
 *   BGPConfiguration        what is announced
 *   serviceClusterIPs       the CIDR from every node; single addresses of services with externalTrafficPolicy Local from
 *                           nodes that have a ready endpoint of theirs
 *   serviceExternalIPs,     the same, for spec.externalIPs and for status.loadBalancer.ingress inside the CIDRs; a CIDR of
 *   serviceLoadBalancerIPs  one address is announced while a service has it: from every node, or with Local as above
 *
 * With serviceLoadBalancerAggregation Disabled there are no load balancer CIDRs: every address is announced by itself, also of
 * services with policy Cluster while they have a ready endpoint anywhere. A node that is excluded from load balancing announces
 * nothing of all this.
 *
 * The shapes are those of the Kubernetes API, as far as they matter here; who brings them is a {@link ServiceSource}.
 */

import type { BGPConfiguration } from "../crd-schemas/index.ts";
import { type Cidr, contains, hostCidr, isHostCidr, parseCidr } from "../net/cidr.ts";
import { type Ip, ipVersion, parseIp } from "../net/ip.ts";

/** v1 Service. */
export interface Service {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec?: {
    readonly type?: string;
    readonly clusterIP?: string;
    readonly clusterIPs?: readonly string[];
    readonly externalIPs?: readonly string[];
    readonly externalTrafficPolicy?: string;
  };
  readonly status?: {
    readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string }[] };
  };
}

/** discovery.k8s.io/v1 EndpointSlice. */
export interface EndpointSlice {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly addressType: string;
  readonly endpoints?: readonly {
    readonly nodeName?: string;
    readonly conditions?: { readonly ready?: boolean };
  }[];
}

export interface ServiceState {
  readonly services: Iterable<Service>;
  readonly endpointSlices: Iterable<EndpointSlice>;
}

/** Follows the services of a cluster. The Kubernetes datastore has one; other datastores know of no services. */
export interface ServiceSource {
  /** Calls `onState` with all there is, first when everything is known, then after each change. Returns after the abort. */
  run(onState: (state: ServiceState) => void, signal: AbortSignal): Promise<void>;
}

export interface ServiceInput extends ServiceState {
  readonly configuration: NonNullable<BGPConfiguration["spec"]>;
  /** As endpoints name it: CALICO_K8S_NODE_REF, or else the node's name. */
  readonly nodeName: string;
  /** Labels of this node. */
  readonly labels: Readonly<Record<string, string>>;
}

const EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers";
const SERVICE_NAME = "kubernetes.io/service-name";
const TYPES: ReadonlySet<string> = new Set(["ClusterIP", "NodePort", "LoadBalancer"]);

/** Every CIDR that services may have addresses in, announced from here or not. */
export function serviceCidrs(configuration: ServiceInput["configuration"]): Cidr[] {
  const { serviceClusterIPs, serviceExternalIPs, serviceLoadBalancerIPs } = configuration;
  return [serviceClusterIPs, serviceExternalIPs, serviceLoadBalancerIPs].flatMap(parsed);
}

/** What this host announces for services. */
export function serviceRoutes(input: ServiceInput): Set<Cidr> {
  const announced = new Set<Cidr>();
  if (input.labels[EXCLUDED] === "true") return announced;
  const { configuration, nodeName } = input;
  const aggregates = configuration.serviceLoadBalancerAggregation !== "Disabled";
  const kinds: Kind[] = [
    { cidrs: parsed(configuration.serviceClusterIPs), addressesOf: clusterIPs, aggregates: true },
    { cidrs: parsed(configuration.serviceExternalIPs), addressesOf: externalIPs, aggregates: true },
    { cidrs: parsed(configuration.serviceLoadBalancerIPs), addressesOf: ingressIPs, aggregates },
  ];
  for (const { cidrs, addressesOf, aggregates } of kinds) {
    // One address of the cluster range is as good as a range: there is a service behind it, kube-proxy's business.
    const alone = (cidr: Cidr) => isHostCidr(cidr) && addressesOf !== clusterIPs;
    if (aggregates) for (const cidr of cidrs) if (!alone(cidr)) announced.add(cidr);
  }
  const endpoints = readyEndpoints(input.endpointSlices, nodeName);
  for (const service of input.services) {
    if (!isRelevant(service)) continue;
    const { namespace, name } = service.metadata;
    const ready = endpoints.get(`${namespace}/${name}`);
    const isLocal = service.spec?.externalTrafficPolicy === "Local";
    for (const { cidrs, addressesOf, aggregates } of kinds) {
      for (const address of addressesOf(service)) {
        const within = cidrs.filter(cidr => contains(cidr, address));
        if (within.length === 0) continue;
        const version = ipVersion(address);
        const isSingle = addressesOf !== clusterIPs && within.some(isHostCidr);
        const isHere = isLocal
          ? ready?.here.has(version)
          : aggregates
            ? isSingle
            : ready?.anywhere.has(version);
        if (isHere) announced.add(hostCidr(address));
      }
    }
  }
  return announced;
}

interface Kind {
  readonly cidrs: readonly Cidr[];
  readonly addressesOf: (service: Service) => Ip[];
  /** Its CIDRs are announced as such. */
  readonly aggregates: boolean;
}

/** IP versions in which a service has ready endpoints. */
interface Ready {
  readonly here: Set<4 | 6>;
  readonly anywhere: Set<4 | 6>;
}

function readyEndpoints(slices: Iterable<EndpointSlice>, nodeName: string): Map<string, Ready> {
  const found = new Map<string, Ready>();
  for (const { metadata, addressType, endpoints = [] } of slices) {
    const version = addressType === "IPv4" ? 4 : addressType === "IPv6" ? 6 : undefined;
    const service = metadata.labels?.[SERVICE_NAME];
    if (version === undefined || service === undefined) continue;
    const name = `${metadata.namespace}/${service}`;
    const ready = found.get(name) ?? { here: new Set(), anywhere: new Set() };
    found.set(name, ready);
    for (const endpoint of endpoints) {
      // Unknown is to be taken for ready (Kubernetes API).
      if (endpoint.conditions?.ready === false) continue;
      ready.anywhere.add(version);
      if (endpoint.nodeName === nodeName) ready.here.add(version);
    }
  }
  return found;
}

function isRelevant({ spec = {} }: Service): boolean {
  const { type = "ClusterIP", clusterIP = spec.clusterIPs?.[0] } = spec;
  return TYPES.has(type) && clusterIP !== undefined && clusterIP !== "" && clusterIP !== "None";
}

function clusterIPs({ spec = {} }: Service): Ip[] {
  return addresses(spec.clusterIPs ?? [spec.clusterIP]);
}

function externalIPs({ spec = {} }: Service): Ip[] {
  return addresses(spec.externalIPs ?? []);
}

function ingressIPs({ spec = {}, status = {} }: Service): Ip[] {
  if (spec.type !== "LoadBalancer") return [];
  return addresses((status.loadBalancer?.ingress ?? []).map(({ ip }) => ip));
}

function addresses(texts: readonly (string | undefined)[]): Ip[] {
  return texts.map(text => parseIp(text ?? "")).filter(address => address !== undefined);
}

function parsed(blocks: readonly { cidr?: string | undefined }[] | undefined): Cidr[] {
  return (blocks ?? []).map(({ cidr }) => parseCidr(cidr ?? "")).filter(cidr => cidr !== undefined);
}
