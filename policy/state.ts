/**
 * Documents -> what is evaluated: first every document as v3 (convert/documents.ts), then v3 as the model with its
 * endpoints. What an agent would do when it met the same resources in the datastore happens here too: labels that only
 * profiles may give are taken away, protected tiers and the default-allow profile exist, workloads without an address
 * take part in nothing.
 */

import {
  DEFAULT_ALLOW_PROFILE,
  type GlobalNetworkSet,
  type HostEndpoint,
  type NetworkSet,
  type Node,
  PROTECTED_TIERS,
  type Resource,
  type ResourceOfKind,
  type WorkloadEndpoint,
} from "../crd-schemas/index.ts";
import { cidr, networkAddress, parseInterfaceAddress } from "../net/cidr.ts";
import { type Ip, ip, parseIp } from "../net/ip.ts";
import {
  type ConvertedDocuments,
  type ConvertedResource,
  convertDocuments,
  type DocumentOptions,
  type DocumentProblem,
  type HostPod,
} from "./convert/documents.ts";
import type { RuleOrigins } from "./convert/kubernetes.ts";
import { DEFAULT_SETTINGS, hostSettings } from "./host-settings.ts";
import { type Policy, type Profile, policyKey, type Tier } from "./model.ts";
import type {
  EvaluatedEndpoint,
  EvaluatedHost,
  EvaluatedHostEndpoint,
  EvaluatedSet,
  HostSettings,
  PolicyState,
} from "./policy-state.ts";
import { resolvePolicy, resolveProfile, resolveTier } from "./resolve.ts";
import { networkSetLabels, ownLabels } from "./resource-labels.ts";
import { resolveStagedKubernetesPolicy } from "./staged.ts";

export type { DocumentProblem, HostPod } from "./convert/documents.ts";

/** Where something was written. */
export interface Origin {
  /** The document's place in the list; undefined for what follows from others, such as a pod's namespace. */
  readonly document: number | undefined;
  /** The v3 resource that came of it. */
  readonly resource: Resource;
  /** Where the rules were written, where that is not where the resource has them. */
  readonly rules?: RuleOrigins;
}

export interface DocumentState {
  readonly state: PolicyState;
  readonly problems: readonly DocumentProblem[];
  readonly hostPods: readonly HostPod[];
  /** By key (`np/default/web`), profile name or id, as verdicts name them. */
  readonly origins: {
    readonly policies: ReadonlyMap<string, Origin>;
    readonly profiles: ReadonlyMap<string, Origin>;
    readonly endpoints: ReadonlyMap<string, Origin>;
    readonly hostEndpoints: ReadonlyMap<string, Origin>;
  };
}

/** Documents with problems of kind `invalid` and `unknown-kind` are not in the state. */
export function policyState(documents: readonly unknown[], options: DocumentOptions = {}): DocumentState {
  return stateOfResources(convertDocuments(documents, options));
}

export function stateOfResources({
  resources,
  services,
  hostPods,
  problems,
}: ConvertedDocuments): DocumentState {
  const of = <K extends keyof ResourceOfKind>(kind: K): readonly Of<K>[] =>
    resources.filter((one): one is Of<K> => one.resource.kind === kind);
  const policies = new Origins<Policy>(policy => policyKey(policy.id));
  for (const kind of [
    "NetworkPolicy",
    "GlobalNetworkPolicy",
    "StagedNetworkPolicy",
    "StagedGlobalNetworkPolicy",
  ] as const)
    for (const one of of(kind)) policies.add(resolvePolicy(one.resource), one);
  for (const one of of("StagedKubernetesNetworkPolicy"))
    policies.add(resolveStagedKubernetesPolicy(one.resource), one);

  const profiles = new Origins<Profile>(profile => profile.name);
  for (const one of of("Profile")) profiles.add(resolveProfile(one.resource), one);

  const endpoints = new Origins<EvaluatedEndpoint>(endpoint => endpoint.id);
  for (const one of of("WorkloadEndpoint")) {
    const endpoint = workload(one.resource, id => endpoints.origins.has(id));
    if (endpoint) endpoints.add(endpoint, one);
  }
  const hostEndpoints = new Origins<EvaluatedHostEndpoint>(endpoint => endpoint.id);
  for (const one of of("HostEndpoint")) hostEndpoints.add(hostEndpoint(one.resource), one);

  const configurations = new Map(
    of("FelixConfiguration").map(one => [one.resource.metadata.name, one.resource]),
  );
  const general = configurations.get("default");
  const settings = general ? hostSettings(general, DEFAULT_SETTINGS) : DEFAULT_SETTINGS;
  const settingsByHost = new Map<string, HostSettings>();
  for (const [name, configuration] of configurations)
    if (name.startsWith("node."))
      settingsByHost.set(name.slice("node.".length), hostSettings(configuration, settings));

  return {
    state: {
      policies: policies.values,
      profiles: withDefaultAllow(profiles.values),
      tiers: withProtected(of("Tier").map(one => resolveTier(one.resource))),
      endpoints: endpoints.values,
      networkSets: [...of("NetworkSet"), ...of("GlobalNetworkSet")].map(one => networkSet(one.resource)),
      hostEndpoints: hostEndpoints.values,
      hosts: of("Node").map(one => host(one.resource)),
      settings,
      settingsByHost,
      services,
    },
    problems,
    hostPods,
    origins: {
      policies: policies.origins,
      profiles: profiles.origins,
      endpoints: endpoints.origins,
      hostEndpoints: hostEndpoints.origins,
    },
  };
}

type Of<K extends keyof ResourceOfKind> = ConvertedResource & { readonly resource: ResourceOfKind[K] };

/** Values of one sort, and where each was written. */
class Origins<T> {
  readonly values: T[] = [];
  readonly origins = new Map<string, Origin>();
  readonly #keyOf: (value: T) => string;

  constructor(keyOf: (value: T) => string) {
    this.#keyOf = keyOf;
  }

  add(value: T, { resource, document, origins }: ConvertedResource): void {
    this.values.push(value);
    this.origins.set(this.#keyOf(value), { resource, document, ...(origins && { rules: origins }) });
  }
}

/**
 * Called `namespace/pod` where it is a pod, `namespace/workload` where another orchestrator names its workloads, else
 * `namespace/name`, by which the second interface of a pod goes too. Undefined without an address.
 */
function workload(
  { metadata, spec }: WorkloadEndpoint,
  isTaken: (id: string) => boolean,
): EvaluatedEndpoint | undefined {
  const addresses = (spec.ipNetworks ?? []).map(net => networkAddress(cidr(net)));
  if (addresses.length === 0) return undefined;
  const namespace = metadata.namespace ?? "default";
  // Docker's workloads are all called libnetwork.
  const named = spec.orchestrator === "k8s" ? spec.pod : spec.workload;
  const short = named && named !== spec.orchestrator ? `${namespace}/${named}` : undefined;
  const floatingIps = (spec.ipNATs ?? []).map(({ internalIP, externalIP }) => ({
    internal: ip(internalIP),
    external: ip(externalIP),
  }));
  return {
    id: short === undefined || isTaken(short) ? `${namespace}/${metadata.name}` : short,
    labels: ownLabels(metadata.labels),
    profiles: spec.profiles ?? [],
    addresses,
    ports: spec.ports ?? [],
    ...(spec.node && { node: spec.node }),
    allowedSources: (spec.allowSpoofedSourcePrefixes ?? []).map(cidr),
    floatingIps,
  };
}

function hostEndpoint({ metadata, spec }: HostEndpoint): EvaluatedHostEndpoint {
  return {
    id: metadata.name,
    labels: metadata.labels ?? {},
    profiles: spec.profiles ?? [],
    node: spec.node,
    ...(spec.interfaceName && { interfaceName: spec.interfaceName }),
    addresses: (spec.expectedIPs ?? []).map(ip),
    ports: spec.ports ?? [],
  };
}

function networkSet(resource: NetworkSet | GlobalNetworkSet): EvaluatedSet {
  return { ...networkSetLabels(resource), nets: (resource.spec.nets ?? []).map(cidr) };
}

/** BGP's address first: by that one a host is known to the others. */
function host({ metadata, spec }: Node): EvaluatedHost {
  const written = [
    spec.bgp?.ipv4Address,
    spec.bgp?.ipv6Address,
    ...(spec.addresses ?? []).map(one => one.address),
    spec.bgp?.ipv4IPIPTunnelAddr,
    spec.ipv4VXLANTunnelAddr,
    spec.ipv6VXLANTunnelAddr,
    spec.wireguard?.interfaceIPv4Address,
    spec.wireguard?.interfaceIPv6Address,
  ];
  const addresses = written.flatMap(text => addressOf(text) ?? []);
  return { name: metadata.name, addresses: [...new Set(addresses)] };
}

function addressOf(text: string | undefined): Ip | undefined {
  return text ? (parseIp(text) ?? parseInterfaceAddress(text)?.ip) : undefined;
}

function withProtected(tiers: readonly Tier[]): Tier[] {
  const named = new Set(tiers.map(tier => tier.name));
  const implied = Object.entries(PROTECTED_TIERS).filter(([name]) => !named.has(name));
  return [
    ...tiers,
    ...implied.map(
      ([name, { order, defaultAction }]): Tier => ({
        name,
        order,
        defaultAction: defaultAction === "Pass" ? "pass" : "deny",
      }),
    ),
  ];
}

function withDefaultAllow(profiles: readonly Profile[]): readonly Profile[] {
  if (profiles.some(profile => profile.name === DEFAULT_ALLOW_PROFILE)) return profiles;
  const spec = { ingress: [{ action: "Allow" as const }], egress: [{ action: "Allow" as const }] };
  const metadata = { name: DEFAULT_ALLOW_PROFILE };
  return [
    ...profiles,
    resolveProfile({ apiVersion: "projectcalico.org/v3", kind: "Profile", metadata, spec }),
  ];
}
