/** Resources as small as they can be, updates that carry them, and what a consumer of Changes has after them. */

import type {
  HostEndpoint,
  NetworkPolicy,
  Protocol,
  Rule as RuleResource,
  StagedNetworkPolicy,
  WorkloadEndpoint,
} from "../../../../crd-schemas/index.ts";
import { type Key, key, type ResourceKind } from "../../../../datastore/key.ts";
import type { Update } from "../../../../datastore/reflector.ts";
import type { Changes, LocalEndpoint, LocalHostEndpoint, PoolInfo } from "../../../../felix/calc/changes.ts";
import { resolveConfig } from "../../../../felix/calc/config.ts";
import { CalcGraph } from "../../../../felix/calc/graph.ts";
import type { HostInterface } from "../../../../felix/calc/host-endpoints.ts";
import type { Policy, Profile } from "../../../../policy/model.ts";

export const HERE = "here";

export function put(
  kind: ResourceKind,
  name: string,
  // Anything: a test also stores what makes no sense.
  spec: unknown,
  more: { namespace?: string; labels?: object } = {},
): Update {
  const { namespace, labels } = more;
  const metadata = { name, ...(namespace && { namespace }), ...(labels && { labels }) };
  const value = { apiVersion: "projectcalico.org/v3", kind, metadata, spec };
  return { type: "put", key: key(kind, name, namespace), value, revision: "1" } as unknown as Update;
}

export const gone = (update: Update): Update => ({ type: "delete", key: update.key as Key });

export interface WorkloadOptions {
  readonly node?: string;
  readonly namespace?: string;
  readonly address?: string | readonly string[];
  readonly interfaceName?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly profiles?: readonly string[];
  readonly ports?: readonly { name: string; protocol: Protocol; port: number }[];
  readonly spec?: Partial<WorkloadEndpoint["spec"]>;
}

/** Pod `name`, whose endpoint's name follows from node and pod. */
export function workload(name: string, options: WorkloadOptions = {}): Update {
  const { node = HERE, namespace = "default", address = "10.0.0.1" } = options;
  const { interfaceName = `cali${name}`, profiles = [], ports, labels, spec } = options;
  const addresses = typeof address === "string" ? [address] : address;
  return put(
    "WorkloadEndpoint",
    `${node}-k8s-${name}-eth0`,
    {
      node,
      orchestrator: "k8s",
      pod: name,
      endpoint: "eth0",
      interfaceName,
      profiles,
      ipNetworks: addresses.map(one => `${one}/${one.includes(":") ? 128 : 32}`),
      ...(ports && { ports }),
      ...spec,
    },
    { namespace, labels: { "projectcalico.org/namespace": namespace, ...labels } },
  );
}

export const hostEndpoint = (name: string, spec: HostEndpoint["spec"], labels = {}) =>
  put("HostEndpoint", name, spec, { labels });

export function profile(
  name: string,
  spec: {
    labelsToApply?: Readonly<Record<string, string>>;
    ingress?: readonly RuleResource[];
    egress?: readonly RuleResource[];
  } = {},
): Update {
  return put("Profile", name, spec);
}

export const tier = (name: string, order?: number, defaultAction: "Deny" | "Pass" = "Deny") =>
  put("Tier", name, { defaultAction, ...(order !== undefined && { order }) });

export const networkPolicy = (namespace: string, name: string, spec: NetworkPolicy["spec"]) =>
  put("NetworkPolicy", name, spec, { namespace });

// biome-ignore lint/suspicious/noExplicitAny: a test also stores what makes no sense
export const globalPolicy = (name: string, spec: any) => put("GlobalNetworkPolicy", name, spec);

export const stagedPolicy = (namespace: string, name: string, spec: StagedNetworkPolicy["spec"]) =>
  put("StagedNetworkPolicy", name, spec, { namespace });

export const stagedGlobalPolicy = (name: string, spec: unknown) =>
  put("StagedGlobalNetworkPolicy", name, spec);

export const networkSet = (namespace: string, name: string, nets: readonly string[], labels = {}) =>
  put("NetworkSet", name, { nets }, { namespace, labels });

export const globalNetworkSet = (name: string, nets: readonly string[], labels = {}) =>
  put("GlobalNetworkSet", name, { nets }, { labels });

export const pool = (name: string, cidr: string, natOutgoing = false) =>
  put("IPPool", name, { cidr, natOutgoing });

/** One slice of service `name`; its ports are TCP's. */
export function endpointSlice(
  namespace: string,
  name: string,
  slice: { service?: string; addresses: readonly string[]; ports?: readonly number[] },
): Update {
  const { service = name, addresses, ports = [] } = slice;
  const value = {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name, namespace, labels: { "kubernetes.io/service-name": service } },
    addressType: "IPv4",
    endpoints: addresses.map(address => ({ addresses: [address] })),
    ports: ports.map(port => ({ name: `p${port}`, protocol: "TCP", port })),
  };
  return {
    type: "put",
    key: key("KubernetesEndpointSlice", name, namespace),
    value,
    revision: "1",
  } as unknown as Update;
}

export const node = (name: string, spec: object) => put("Node", name, spec);

/** What somebody has who took all changes over. Refuses changes that make no sense on what there is. */
export class Picture {
  readonly sets = new Map<string, Set<string>>();
  readonly policies = new Map<string, Policy>();
  readonly profiles = new Map<string, Profile>();
  readonly endpoints = new Map<string, LocalEndpoint>();
  readonly pools = new Map<string, PoolInfo>();
  readonly hostEndpoints = new Map<string, LocalHostEndpoint>();

  take(changes: Changes): this {
    for (const [id, change] of changes.sets) {
      const members = this.sets.get(id);
      if (!change) this.sets.delete(id);
      else if (change.kind === "whole") this.sets.set(id, new Set(change.members));
      else {
        if (!members) throw new Error(`a delta for set ${id}, which does not exist`);
        for (const member of change.removed)
          if (!members.delete(member)) throw new Error(`${member} removed from ${id}, where it is not`);
        for (const member of change.added) {
          if (members.has(member)) throw new Error(`${member} added to ${id} again`);
          members.add(member);
        }
      }
    }
    for (const name of ["policies", "profiles", "endpoints", "pools", "hostEndpoints"] as const) {
      for (const [id, value] of changes[name]) {
        if (value) (this[name] as Map<string, unknown>).set(id, value);
        else this[name].delete(id);
      }
    }
    return this;
  }

  /** As plain data: comparable, and selectors by their text. */
  get plain(): unknown {
    const plain = (map: ReadonlyMap<string, unknown>) =>
      Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)));
    const sets = new Map([...this.sets].map(([id, members]) => [id, [...members].sort()]));
    const all = {
      sets,
      policies: this.policies,
      profiles: this.profiles,
      endpoints: this.endpoints,
      pools: this.pools,
      hostEndpoints: this.hostEndpoints,
    };
    const text = JSON.stringify(
      Object.fromEntries(Object.entries(all).map(([name, map]) => [name, plain(map)])),
      (name, value) => (name === "selector" && value?.text ? value.text : value),
    );
    return JSON.parse(text);
  }
}

/** A graph and the picture of who takes its changes. */
export class Calculation {
  readonly problems: string[] = [];
  readonly picture = new Picture();
  readonly graph = new CalcGraph({
    nodeName: HERE,
    onProblem: ({ key: { kind, name }, message }) => this.problems.push(`${kind} ${name}: ${message}`),
  });

  constructor(...updates: readonly Update[]) {
    this.apply(...updates);
  }

  /** With these parameters of the configuration. */
  static configured(values: Readonly<Record<string, unknown>>, ...updates: readonly Update[]): Calculation {
    const calculation = new Calculation();
    calculation.graph.configure(resolveConfig([{ source: "test", values }]).config);
    calculation.apply(...updates);
    return calculation;
  }

  /** Applies, hands over, and returns what was handed over. */
  apply(...updates: readonly Update[]): Changes {
    this.graph.apply(updates);
    return this.#handOver();
  }

  /** Those the host has from now on. */
  interfaces(...interfaces: readonly HostInterface[]): Changes {
    this.graph.setHostInterfaces(interfaces);
    return this.#handOver();
  }

  #handOver(): Changes {
    const changes = this.graph.drain();
    this.picture.take(changes);
    return changes;
  }

  get onlySet(): string[] {
    const [members, ...others] = this.picture.sets.values();
    if (!members || others.length > 0) throw new Error(`${this.picture.sets.size} sets instead of one`);
    return [...members].sort();
  }

  /** Endpoint by interface. */
  endpoint(interfaceName: string): LocalEndpoint {
    for (const endpoint of this.picture.endpoints.values())
      if (endpoint.interfaceName === interfaceName) return endpoint;
    throw new Error(`no endpoint has interface ${interfaceName}`);
  }
}
