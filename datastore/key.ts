/**
 * What names a stored thing, whatever the store: its kind, its name and, for namespaced kinds, its namespace.
 * How a key becomes an etcd path or a Kubernetes URL is each store's business (`layout.ts`).
 */

/** The kinds of API group `projectcalico.org/v3` that are stored; a value is the whole resource object. */
export const RESOURCE_KINDS = [
  "BGPConfiguration",
  "BGPFilter",
  "BGPPeer",
  "CalicoNodeStatus",
  "ClusterInformation",
  "FelixConfiguration",
  "GlobalNetworkPolicy",
  "GlobalNetworkSet",
  "HostEndpoint",
  "IPAMConfiguration",
  "IPPool",
  "IPReservation",
  "KubeControllersConfiguration",
  "LiveMigration",
  "NetworkPolicy",
  "NetworkSet",
  "Node",
  "Profile",
  "StagedGlobalNetworkPolicy",
  "StagedKubernetesNetworkPolicy",
  "StagedNetworkPolicy",
  "Tier",
  "WorkloadEndpoint",
] as const;

/** Calico's IPAM records, which are no API resources in etcd; a value is the record (`ipam/records.ts`). */
export const IPAM_KINDS = ["IPAMBlock", "BlockAffinity", "IPAMHandle", "IPAMConfig"] as const;

/**
 * Objects of Kubernetes itself that Calico follows under kinds of its own; a value is the object as Kubernetes
 * has it. Its API server is where they come from: elsewhere they are what somebody put there.
 */
export const KUBERNETES_KINDS = ["KubernetesEndpointSlice"] as const;

export type ResourceKind = (typeof RESOURCE_KINDS)[number];
export type IpamKind = (typeof IPAM_KINDS)[number];
export type KubernetesKind = (typeof KUBERNETES_KINDS)[number];
export type Kind = ResourceKind | IpamKind | KubernetesKind;

/**
 * - Resources: `name` is metadata.name, `namespace` is set exactly for namespaced kinds.
 * - IPAMBlock: `name` is the block's CIDR, `10.65.0.0/26`.
 * - BlockAffinity: `namespace` is the owner, `host:<node>` or `virtual:<name>`; `name` is the block's CIDR.
 * - IPAMHandle: `name` is the handle's id. IPAMConfig: `name` is `default`.
 */
export interface Key<K extends Kind = Kind> {
  readonly kind: K;
  readonly namespace?: string;
  readonly name: string;
}

/** A set of keys: all of a kind, those of one namespace, or those whose name starts with a prefix. */
export interface Query<K extends Kind = Kind> {
  readonly kind: K;
  readonly namespace?: string;
  readonly namePrefix?: string;
}

export function key<K extends Kind>(kind: K, name: string, namespace?: string): Key<K> {
  return namespace === undefined ? { kind, name } : { kind, name, namespace };
}

/** `Kind(namespace/name)`: for messages and as a Map key. */
export function keyText(k: Key): string {
  return k.namespace === undefined ? `${k.kind}(${k.name})` : `${k.kind}(${k.namespace}/${k.name})`;
}

export function queryMatches(query: Query, k: Key): boolean {
  return (
    query.kind === k.kind &&
    (query.namespace === undefined || query.namespace === k.namespace) &&
    (query.namePrefix === undefined || k.name.startsWith(query.namePrefix))
  );
}
