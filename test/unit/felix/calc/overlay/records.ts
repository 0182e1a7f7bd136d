/** Pools, blocks, nodes and workloads as small as they can be, and what somebody has who took all changes over. */

import fc from "fast-check";
import type { IPPool, Node, WorkloadEndpoint } from "../../../../../crd-schemas/index.ts";
import { type Key, key } from "../../../../../datastore/key.ts";
import type { Changes } from "../../../../../felix/calc/changes.ts";
import { ALL_VXLAN_NET, Overlay } from "../../../../../felix/calc/overlay/overlay.ts";
import type { OverlayConfig } from "../../../../../felix/calc/overlay/pools.ts";
import { cidr, ordinalOf } from "../../../../../net/cidr.ts";
import { ip } from "../../../../../net/ip.ts";

export const HERE = "here";

export type Update = readonly [Key, unknown];

export const gone = ([k]: Update): Update => [k, undefined];

export function pool(name: string, range: string, spec: Partial<IPPool["spec"]> = {}): Update {
  return [key("IPPool", name), { metadata: { name }, spec: { cidr: range, ...spec } }];
}

export const vxlanPool = (range = "10.0.0.0/16", vxlanMode: "Always" | "CrossSubnet" = "Always"): Update =>
  pool("pool", range, { vxlanMode });

/** A block of `owner`; `used` says at which node single addresses are. */
export function block(
  range: string,
  owner: string | null,
  used: Readonly<Record<string, string>> = {},
): Update {
  const [, length] = range.split("/");
  const allocations: (number | null)[] = Array(2 ** ((range.includes(":") ? 128 : 32) - Number(length))).fill(
    null,
  );
  const attributes = Object.entries(used).map(([address, node], i) => {
    allocations[ordinalOf(cidr(range), ip(address))] = i;
    return node === "cooling" ? { releasedAt: "2026-01-01T00:00:00Z" } : { secondary: { node } };
  });
  const affinity = owner === null ? null : owner.includes(":") ? owner : `host:${owner}`;
  return [key("IPAMBlock", range), { cidr: range, affinity, allocations, unallocated: [], attributes }];
}

interface NodeAddresses {
  readonly v4?: string;
  readonly v6?: string;
  readonly vxlan?: string;
  readonly vxlan6?: string;
  readonly ipip?: string;
  readonly mac?: string;
}

export function node(name: string, { v4, v6, vxlan, vxlan6, ipip, mac }: NodeAddresses): Update {
  const spec: Node["spec"] = {
    bgp: {
      ...(v4 && { ipv4Address: v4 }),
      ...(v6 && { ipv6Address: v6 }),
      ...(ipip && { ipv4IPIPTunnelAddr: ipip }),
    },
    ...(vxlan && { ipv4VXLANTunnelAddr: vxlan }),
    ...(vxlan6 && { ipv6VXLANTunnelAddr: vxlan6 }),
    ...(mac && { vxlanTunnelMACAddr: mac }),
  };
  return [key("Node", name), { metadata: { name }, spec }];
}

export function workload(name: string, at: string, ...addresses: string[]): Update {
  const spec: Partial<WorkloadEndpoint["spec"]> = { node: at, ipNetworks: addresses };
  return [key("WorkloadEndpoint", name, "default"), { metadata: { name }, spec }];
}

export const CONFIG: OverlayConfig = {
  programClusterRoutes: "EnabledIPIPOnly",
  vxlanEnabled: undefined,
  ipipEnabled: undefined,
  ipv6Support: true,
  externalNodesList: [],
  floatingIPs: "Disabled",
};

const anyNode = fc.constantFrom(HERE, "a", "b", "c");
const used = fc.dictionary(fc.constantFrom("10.0.2.5", "10.0.2.6"), anyNode, { maxKeys: 2 });
const tunnelAddress = fc.constantFrom(undefined, "10.0.1.0", "10.0.2.0", "10.0.3.0");

const arbitraryNode = fc
  .tuple(
    anyNode,
    fc.constantFrom("172.16.0.1/24", "172.16.0.2/24", "172.16.9.3/24", "172.16.9.4/24"),
    tunnelAddress,
    tunnelAddress,
  )
  .map(([name, v4, vxlan, ipip]) => node(name, { v4, ...(vxlan && { vxlan }), ...(ipip && { ipip }) }));

/** Something comes, changes or goes, of few enough things that they meet. */
export const arbitraryChange: fc.Arbitrary<Update> = fc
  .tuple(
    fc.oneof(
      arbitraryNode,
      fc.tuple(anyNode, used).map(([name, where]) => block("10.0.2.0/26", name, where)),
      anyNode.map(name => block("10.0.3.0/26", name)),
      fc
        .constantFrom("Always" as const, "CrossSubnet" as const, "Never" as const)
        .chain(mode => fc.constantFrom({ vxlanMode: mode }, { ipipMode: mode }))
        .map(spec => pool("pool", "10.0.0.0/16", spec)),
      anyNode.map(name => workload("pod", name, "10.0.2.5/32")),
    ),
    fc.boolean(),
  )
  .map(([one, stays]) => (stays ? one : gone(one)));

/** The overlay, and what it has handed over, as lines. */
export class Calculation {
  readonly problems: string[] = [];
  readonly overlay = new Overlay({
    nodeName: HERE,
    onProblem: ({ key: { kind, name }, message }) => void this.problems.push(`${kind} ${name}: ${message}`),
  });
  readonly routes = new Map<string, string>();
  readonly vteps = new Map<string, string>();
  readonly blackholes = new Set<string>();
  members: Set<string> | undefined;
  last: Partial<Changes> = {};
  encapsulation: NonNullable<Changes["encapsulation"]> = { ipip: false, vxlan: false, vxlan6: false };
  ownNode: Changes["ownNode"];

  constructor(updates: readonly Update[] = [], config: Partial<OverlayConfig> = {}) {
    this.overlay.configure({ ...CONFIG, ...config });
    this.apply(...updates);
  }

  apply(...updates: readonly Update[]): this {
    for (const [k, value] of updates) this.overlay.set(k, value);
    const changes = this.overlay.drain();
    this.last = changes;
    for (const [prefix, route] of changes.routes ?? []) {
      if (route) this.routes.set(prefix, `${route.via} ${route.gateway} ${route.node}`);
      else if (!this.routes.delete(prefix)) throw new Error(`no route to ${prefix} to take away`);
    }
    for (const [prefix, hole] of changes.blackholes ?? []) {
      if (hole) this.blackholes.add(prefix);
      else if (!this.blackholes.delete(prefix)) throw new Error(`no hole ${prefix} to take away`);
    }
    for (const [id, vtep] of changes.vteps ?? []) {
      if (vtep) this.vteps.set(id, `${vtep.address} ${vtep.mac} ${vtep.hostAddress}`);
      else if (!this.vteps.delete(id)) throw new Error(`no vtep ${id} to take away`);
    }
    if (changes.sets?.has(ALL_VXLAN_NET)) {
      const change = changes.sets.get(ALL_VXLAN_NET);
      if (!change) this.members = undefined;
      else if (change.kind === "whole") this.members = new Set(change.members);
      else if (!this.members) throw new Error("a delta for a set that is not there");
      else {
        for (const member of change.removed) this.members.delete(member);
        for (const member of change.added) this.members.add(member);
      }
    }
    if (changes.encapsulation) this.encapsulation = changes.encapsulation;
    if ("ownNode" in changes) this.ownNode = changes.ownNode;
    return this;
  }

  /** Everything, comparable. */
  get plain(): unknown {
    const sorted = (map: ReadonlyMap<string, string>) => Object.fromEntries([...map].sort());
    return {
      routes: sorted(this.routes),
      vteps: sorted(this.vteps),
      blackholes: [...this.blackholes].sort(),
      members: this.members && [...this.members].sort(),
      encapsulation: this.encapsulation,
      ownNode: this.ownNode,
    };
  }

  get lines(): Record<string, string> {
    return Object.fromEntries([...this.routes].sort());
  }
}
