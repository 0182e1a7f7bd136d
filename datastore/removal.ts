/**
 * Deleting what other things hang on. A pool is first disabled, so that nobody takes another block out of it,
 * then its blocks are let go of; a node goes last, after its workloads, addresses and settings. Each step can be
 * repeated: who is interrupted starts again, and what is already gone is no error.
 */

import type { Node, WorkloadEndpoint } from "../crd-schemas/index.ts";
import type { Clock } from "../daemon/clock.ts";
import { type Cidr, parseCidr } from "../net/cidr.ts";
import { type Ip, parseIp } from "../net/ip.ts";
import type { Datastore, Entry } from "./datastore.ts";
import { DatastoreErrorCode, isDatastoreError } from "./errors.ts";
import { type Key, type Kind, key } from "./key.ts";

/** What only the address allocator, a room above, can do. */
export interface AddressRelease {
  /** Frees these addresses, whoever holds them; those that are free already are no error. */
  releaseAddresses(addresses: readonly Ip[]): Promise<void>;
  /** Gives up every host's affinity to blocks of this pool. */
  releasePool(pool: Cidr): Promise<void>;
  /** Gives up all affinities of this host, and forgets it. */
  releaseHost(node: string): Promise<void>;
}

/** For allocators that read the pool just before it was disabled. */
const SETTLE_MS = 500;

export async function emptyPool(
  datastore: Datastore,
  name: string,
  addresses: AddressRelease,
  clock: Clock,
): Promise<void> {
  const pool = await disabled(datastore, key("IPPool", name), clock);
  const range = parseCidr(String(pool.value.spec?.cidr));
  if (range) await addresses.releasePool(range);
}

export async function emptyNode(
  datastore: Datastore,
  name: string,
  addresses: AddressRelease,
): Promise<void> {
  const node = await datastore.get(key("Node", name));
  const workloads = await onNode(datastore, "WorkloadEndpoint", name);
  const held = [
    ...workloads.flatMap(({ value }) => workloadAddresses(value)),
    ...tunnelAddresses(node.value),
  ];
  if (held.length > 0) await addresses.releaseAddresses(held);
  await deleteAll(datastore, workloads);
  await addresses.releaseHost(name);
  await deleteAll(datastore, await onNode(datastore, "BGPPeer", name));
  await deleteAll(datastore, await onNode(datastore, "HostEndpoint", name));
  const settings = [
    { key: key("FelixConfiguration", `node.${name}`) },
    { key: key("BGPConfiguration", `node.${name}`) },
  ];
  await deleteAll(datastore, settings);
}

async function disabled(datastore: Datastore, pool: Key<"IPPool">, clock: Clock): Promise<Entry> {
  for (;;) {
    const entry = await datastore.get(pool);
    if (entry.value.spec?.disabled) return entry;
    try {
      const spec = { ...entry.value.spec, disabled: true };
      const updated = await datastore.update(pool, { ...entry.value, spec }, entry.revision);
      await clock.sleep(SETTLE_MS);
      return updated;
    } catch (error) {
      if (!isDatastoreError(error, DatastoreErrorCode.Conflict)) throw error;
    }
  }
}

async function onNode<K extends Kind>(datastore: Datastore, kind: K, name: string): Promise<Entry<K>[]> {
  const { entries } = await datastore.list({ kind });
  return entries.filter(({ value }) => value.spec?.node === name);
}

async function deleteAll(datastore: Datastore, entries: readonly { readonly key: Key }[]): Promise<void> {
  for (const entry of entries) {
    try {
      await datastore.delete(entry.key);
    } catch (error) {
      const ignored: DatastoreErrorCode[] = [DatastoreErrorCode.NotFound, DatastoreErrorCode.NotSupported];
      if (!isDatastoreError(error) || !ignored.includes(error.code)) throw error;
    }
  }
}

function workloadAddresses({ spec }: WorkloadEndpoint): Ip[] {
  return (spec.ipNetworks ?? []).flatMap(network => parseIp(network.replace(/\/.*/, "")) ?? []);
}

function tunnelAddresses({ spec }: Node): Ip[] {
  const texts = [
    spec?.bgp?.ipv4IPIPTunnelAddr,
    spec?.ipv4VXLANTunnelAddr,
    spec?.ipv6VXLANTunnelAddr,
    spec?.wireguard?.interfaceIPv4Address,
    spec?.wireguard?.interfaceIPv6Address,
  ];
  return texts.flatMap(text => (text ? (parseIp(text) ?? []) : []));
}
