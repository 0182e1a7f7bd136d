/**
 * The addresses of a node's tunnel devices (calico.md 5.6): one out of a pool that is tunnelled so, for IPIP, VXLAN and VXLAN
 * over IPv6, kept in the Node resource, where every other node reads it.
 *
 * Each kind has a handle of its own, so that what was begun is found again: an address is assigned first and written to the
 * Node then; it is taken out of the Node first and released then. To be called at the node's start, and whenever pools or
 * the Node have changed; any number of processes may do so at once, and the next call puts right what two of them did.
 *
 * An address stays while its pool is tunnelled, even where the pool is disabled: workloads that have theirs from it go on.
 */

import type { IPPool, Node } from "../crd-schemas/index.ts";
import type { Logger } from "../daemon/log.ts";
import { CalicoClient } from "../datastore/client.ts";
import type { Datastore } from "../datastore/datastore.ts";
import { DatastoreErrorCode, isDatastoreError } from "../datastore/errors.ts";
import { contains } from "../net/cidr.ts";
import { type Ip, type IpVersion, parseIp } from "../net/ip.ts";
import { IpAllocator } from "./allocator.ts";
import { IpamError } from "./errors.ts";
import { type Pool, parsePool, selectsNode } from "./pools.ts";

interface TunnelKind {
  readonly name: string;
  readonly version: IpVersion;
  readonly handle: (node: string) => string;
  /** Recorded with the address. */
  readonly type: string;
  readonly uses: (pool: IPPool["spec"]) => boolean;
  readonly read: (spec: Node["spec"]) => string | undefined;
  readonly write: (spec: Node["spec"], address: Ip | undefined) => Node["spec"];
}

const isOn = (mode: string | undefined) => mode !== undefined && mode !== "Never";

const KINDS: readonly TunnelKind[] = [
  {
    name: "IPIP",
    version: 4,
    handle: node => `ipip-tunnel-addr-${node}`,
    type: "ipipTunnelAddress",
    uses: ({ ipipMode }) => isOn(ipipMode),
    read: ({ bgp }) => bgp?.ipv4IPIPTunnelAddr,
    write: ({ bgp, ...spec }, address) => {
      const { ipv4IPIPTunnelAddr: _, ...others } = bgp ?? {};
      const written = { ...others, ...(address && { ipv4IPIPTunnelAddr: address }) };
      // An empty object is refused, and would mean a BGP speaker without an address.
      return { ...spec, ...(Object.keys(written).length > 0 && { bgp: written }) };
    },
  },
  {
    name: "VXLAN",
    version: 4,
    handle: node => `vxlan-tunnel-addr-${node}`,
    type: "vxlanTunnelAddress",
    uses: ({ vxlanMode }) => isOn(vxlanMode),
    read: ({ ipv4VXLANTunnelAddr }) => ipv4VXLANTunnelAddr,
    write: ({ ipv4VXLANTunnelAddr: _, ...spec }, address) => ({
      ...spec,
      ...(address && { ipv4VXLANTunnelAddr: address }),
    }),
  },
  {
    name: "VXLAN over IPv6",
    version: 6,
    handle: node => `vxlan-v6-tunnel-addr-${node}`,
    type: "vxlanV6TunnelAddress",
    uses: ({ vxlanMode }) => isOn(vxlanMode),
    read: ({ ipv6VXLANTunnelAddr }) => ipv6VXLANTunnelAddr,
    write: ({ ipv6VXLANTunnelAddr: _, ...spec }, address) => ({
      ...spec,
      ...(address && { ipv6VXLANTunnelAddr: address }),
    }),
  },
];

export interface TunnelAddressOptions {
  readonly datastore: Datastore;
  readonly nodeName: string;
  readonly logger?: Logger | undefined;
}

/** @throws IpamError where no address is to be had; DatastoreError */
export async function ensureTunnelAddresses({
  datastore,
  nodeName,
  logger,
}: TunnelAddressOptions): Promise<void> {
  const client = new CalicoClient(datastore);
  const { items: pools } = await client.list("IPPool");
  const node = await readNode(client, nodeName);
  if (!node) return;
  const allocator = new IpAllocator(datastore);
  let failure: unknown;
  for (const kind of KINDS) {
    try {
      await ensure({ kind, client, allocator, pools, node, logger });
    } catch (error) {
      // The other kinds have pools of their own.
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
}

interface Task {
  readonly kind: TunnelKind;
  readonly client: CalicoClient;
  readonly allocator: IpAllocator;
  readonly pools: readonly IPPool[];
  readonly node: Node;
  readonly logger: Logger | undefined;
}

async function ensure(task: Task): Promise<void> {
  const { kind, client, allocator, pools, node, logger } = task;
  const nodeName = node.metadata.name;
  const handle = kind.handle(nodeName);
  const tunnelled = pools
    .filter(({ spec }) => kind.uses(spec))
    .flatMap(pool => parsePool(pool) ?? [])
    .filter(({ version }) => version === kind.version);
  const held = await allocator.ipsByHandle(handle);
  const stored = parseIp(kind.read(node.spec) ?? "");
  const isFit = (address: Ip) => tunnelled.some(({ cidr }) => contains(cidr, address));

  let address = [...(stored ? [stored] : []), ...held].find(each => held.includes(each) && isFit(each));
  if (!address && stored && isFit(stored)) address = await reclaim(task, handle, stored);
  address ??= await assign(task, handle, tunnelled);
  if (address !== stored) {
    await writeNode(client, nodeName, kind, address);
    logger?.info(
      { node: nodeName, tunnel: kind.name, address, was: stored },
      "the node's tunnel address changed",
    );
  }
  if (address === undefined) {
    // Also what is left of the handle where the last release was cut off.
    await allocator.releaseByHandle(handle);
    return;
  }
  const surplus = held.filter(each => each !== address).map(ip => ({ ip, handle }));
  if (surplus.length > 0) await allocator.release(surplus);
}

/** What the Node says it has, and IPAM knows nothing of. Undefined where it is somebody else's. */
async function reclaim({ kind, allocator, node }: Task, handle: string, ip: Ip): Promise<Ip | undefined> {
  try {
    const attributes = { type: kind.type };
    await allocator.assignIp({ ip, node: node.metadata.name, use: "Tunnel", handle, attributes });
    return ip;
  } catch (error) {
    if (error instanceof IpamError) return undefined;
    throw error;
  }
}

/** Undefined where no pool is for this node. */
async function assign(
  { kind, allocator, node }: Task,
  handle: string,
  tunnelled: readonly Pool[],
): Promise<Ip | undefined> {
  const labels = node.metadata.labels ?? {};
  const usable = tunnelled.filter(
    pool => pool.enabled && pool.allowedUses.includes("Tunnel") && selectsNode(pool, labels),
  );
  if (usable.length === 0) return undefined;
  // What was cut off the last time may have left a count too high.
  await allocator.repairHandle(handle);
  const cidrs = usable.map(({ cidr }) => cidr);
  const { ipv4, ipv6 } = await allocator.autoAssign({
    node: node.metadata.name,
    use: "Tunnel",
    handle,
    attributes: { type: kind.type },
    ...(kind.version === 4 ? { num4: 1, pools4: cidrs } : { num6: 1, pools6: cidrs }),
  });
  return [...ipv4, ...ipv6][0]?.ip;
}

async function writeNode(
  client: CalicoClient,
  name: string,
  kind: TunnelKind,
  address: Ip | undefined,
): Promise<void> {
  for (;;) {
    const node = await readNode(client, name);
    // Deleted meanwhile: whoever did that has released what it said; the handle is for the next call.
    if (!node) return;
    try {
      await client.update({ ...node, spec: kind.write(node.spec, address) });
      return;
    } catch (error) {
      if (!isDatastoreError(error, DatastoreErrorCode.Conflict)) throw error;
    }
  }
}

async function readNode(client: CalicoClient, name: string): Promise<Node | undefined> {
  try {
    return await client.get("Node", name);
  } catch (error) {
    if (isDatastoreError(error, DatastoreErrorCode.NotFound)) return undefined;
    throw error;
  }
}
