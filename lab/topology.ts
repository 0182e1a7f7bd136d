/** Who peers with whom, written into the datastore of a fresh lab: nothing for the mesh, which is the default. */

import type { CalicoClient } from "../datastore/client.ts";
import type { Ip } from "../net/ip.ts";
import { FABRIC_ADDRESS, FABRIC6_ADDRESS, FABRICS, TOR_AS } from "./plan.ts";
import type { HostRecord, LabRecord } from "./state.ts";

export async function writeTopology(client: CalicoClient, record: LabRecord): Promise<void> {
  if (record.topology === "rr") await reflectRoutes(client, record.hosts[0] as HostRecord);
  if (record.topology === "tor") await peerWithTor(client, record);
}

/** How many sessions each host must have before the lab is up. */
export function sessionsOf(record: LabRecord, host: HostRecord): number {
  const versions = record.pool6 ? 2 : 1;
  const others = record.hosts.length - 1;
  const all = record.topology === "mesh" || (record.topology === "rr" && host.name === record.hosts[0]?.name);
  return versions * (all ? others : 1);
}

/** The wire's own addresses lie in the pool: keep blocks off them. Before the first host is one, and claims a block. */
export async function reserveFabric(client: CalicoClient): Promise<void> {
  await client.apply({
    kind: "IPReservation",
    metadata: { name: "lab-fabric" },
    spec: { reservedCIDRs: [...FABRICS] },
  });
}

async function withoutMesh(client: CalicoClient): Promise<void> {
  await client.apply({
    kind: "BGPConfiguration",
    metadata: { name: "default" },
    spec: { nodeToNodeMeshEnabled: false },
  });
}

/** One host reflects for all others. */
async function reflectRoutes(client: CalicoClient, reflector: HostRecord): Promise<void> {
  const node = await client.get("Node", reflector.name);
  await client.update({
    ...node,
    metadata: { ...node.metadata, labels: { ...node.metadata.labels, "route-reflector": "true" } },
    spec: { ...node.spec, bgp: { ...node.spec?.bgp, routeReflectorClusterID: "224.0.0.1" } },
  });
  await withoutMesh(client);
  await client.apply({
    kind: "BGPPeer",
    metadata: { name: "with-route-reflectors" },
    spec: { nodeSelector: "!has(route-reflector)", peerSelector: "has(route-reflector)" },
  });
}

/** Every host speaks with the rack switch alone. */
async function peerWithTor(client: CalicoClient, record: LabRecord): Promise<void> {
  await withoutMesh(client);
  const peer = (name: string, peerIP: Ip) =>
    client.apply({ kind: "BGPPeer", metadata: { name }, spec: { peerIP, asNumber: TOR_AS } });
  await peer("rack-switch", FABRIC_ADDRESS);
  if (record.pool6) await peer("rack-switch-ipv6", FABRIC6_ADDRESS);
}
