/** All that IPAM knows and all that uses addresses, read once: what `inspect.ts` and `check.ts` compute on. */

import type { Datastore, Value } from "../datastore/datastore.ts";
import { type Cidr, parseCidr, parseInterfaceAddress } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import { type Pool, parsePool } from "./pools.ts";
import { type AllocationBlock, DEFAULT_CONFIG, type IpamConfig } from "./records.ts";
import { IpamStore, type StoredAffinity, type StoredHandle } from "./store.ts";

/** Something that uses an address. */
export interface AddressUser {
  readonly ip: Ip;
  /** `WorkloadEndpoint(default/web)`, or what else an operator would look for. */
  readonly name: string;
  readonly node: string;
  readonly kind: "workload" | "tunnel";
}

export interface Snapshot {
  readonly blocks: readonly AllocationBlock[];
  readonly affinities: readonly StoredAffinity[];
  readonly handles: readonly StoredHandle[];
  readonly pools: readonly Pool[];
  readonly reservations: readonly Cidr[];
  readonly config: IpamConfig;
  readonly users: readonly AddressUser[];
  readonly clusterGuid: string;
  /** Whether nothing is supposed to change: `calctl datastore migrate lock`. */
  readonly locked: boolean;
  readonly takenAt: number;
}

/**
 * The lists are read one after the other, blocks between users and users: whoever is to be trusted about an
 * address that came or went meanwhile should look twice, or lock the datastore first.
 */
export async function takeSnapshot(datastore: Datastore, now: number = Date.now()): Promise<Snapshot> {
  const store = new IpamStore(datastore);
  const [config, pools, reservations, cluster] = await Promise.all([
    store.config(),
    datastore.list({ kind: "IPPool" }),
    datastore.list({ kind: "IPReservation" }),
    datastore.list({ kind: "ClusterInformation" }),
  ]);
  const [handles, affinities] = await Promise.all([store.handles(), store.affinities()]);
  const blocks = await store.blocks();
  const [workloads, nodes] = await Promise.all([
    datastore.list({ kind: "WorkloadEndpoint" }),
    datastore.list({ kind: "Node" }),
  ]);
  const information = cluster.entries.find(entry => entry.key.name === "default")?.value.spec;
  return {
    blocks: blocks.map(block => block.value),
    affinities,
    handles,
    pools: pools.entries.flatMap(entry => parsePool(entry.value) ?? []),
    reservations: reservations.entries.flatMap(entry =>
      ((entry.value.spec?.reservedCIDRs ?? []) as string[]).flatMap(text => parseCidr(text) ?? []),
    ),
    config: config?.value ?? DEFAULT_CONFIG,
    users: [
      ...workloads.entries.flatMap(entry => usersOfWorkload(entry.value)),
      ...nodes.entries.flatMap(entry => tunnelsOfNode(entry.value)),
    ],
    clusterGuid: information?.clusterGUID ?? "",
    locked: information?.datastoreReady === false,
    takenAt: now,
  };
}

function usersOfWorkload({ metadata, spec }: Value): AddressUser[] {
  return ((spec?.ipNetworks ?? []) as string[]).flatMap(network => {
    const parsed = parseInterfaceAddress(network);
    if (!parsed) return [];
    const name = `WorkloadEndpoint(${metadata.namespace}/${metadata.name})`;
    return [{ ip: parsed.ip, name, node: spec.node ?? "", kind: "workload" as const }];
  });
}

function tunnelsOfNode({ metadata, spec }: Value): AddressUser[] {
  const addresses: [string, unknown][] = [
    ["IPIP", spec?.bgp?.ipv4IPIPTunnelAddr],
    ["VXLAN", spec?.ipv4VXLANTunnelAddr],
    ["VXLAN", spec?.ipv6VXLANTunnelAddr],
    ["WireGuard", spec?.wireguard?.interfaceIPv4Address],
    ["WireGuard", spec?.wireguard?.interfaceIPv6Address],
  ];
  return addresses.flatMap(([tunnel, address]) => {
    const parsed = typeof address === "string" ? parseInterfaceAddress(address) : undefined;
    if (!parsed) return [];
    const name = `Node(${metadata.name}) ${tunnel} tunnel`;
    return [{ ip: parsed.ip, name, node: metadata.name, kind: "tunnel" as const }];
  });
}
