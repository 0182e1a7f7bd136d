/** The table columns of each kind, as data: what `-o ps` shows, what `-o wide` shows, and how each is read. */

import type { ResourceKind } from "../../datastore/key.ts";

/** A resource as far as a table reads it. */
export interface Row {
  metadata: { name: string; namespace?: string; labels?: Record<string, string> };
  // biome-ignore lint/suspicious/noExplicitAny: columns read all kinds, whose specs share nothing
  spec: any;
}

/** What a column may show that is not in the resource. */
export interface ColumnDefaults {
  /** The cluster's AS number, for nodes without their own. */
  readonly asNumber: number;
}

export type ColumnValue = (resource: Row, defaults: ColumnDefaults) => unknown;

export interface KindColumns {
  readonly ps: readonly string[];
  readonly wide: readonly string[];
  /** Headings to values: all that `custom-columns=` may name. */
  readonly values: Readonly<Record<string, ColumnValue>>;
}

/** Long lists in a cell end here. */
const LIST_WIDTH = 80;

function cut(text: string): string {
  return text.length > LIST_WIDTH ? `${text.slice(0, LIST_WIDTH - 3)}...` : text;
}

const list = (items: readonly unknown[] | undefined): string => (items ?? []).join(",");
const count = (items: readonly unknown[] | undefined): number => items?.length ?? 0;
const labels = (map: Record<string, string> | undefined): string =>
  list(Object.entries(map ?? {}).map(([key, value]) => `${key}=${value}`));

function kind(values: Record<string, ColumnValue>, ps: string, wide = ps): KindColumns {
  return {
    ps: ps.split(" "),
    wide: wide.split(" "),
    values: { NAME: resource => resource.metadata.name, ...values },
  };
}

const policyValues: Record<string, ColumnValue> = {
  TIER: ({ spec }) => spec.tier ?? "default",
  ORDER: ({ spec }) => spec.order,
  SELECTOR: ({ spec }) => spec.selector,
};
const policy = kind(policyValues, "NAME TIER", "NAME TIER ORDER SELECTOR");
const networkSet = kind({ NETS: ({ spec }) => cut(list(spec.nets)) }, "NAME", "NAME NETS");

export const COLUMNS: Readonly<Record<ResourceKind, KindColumns>> = {
  BGPConfiguration: kind(
    {
      LOGSEVERITY: ({ spec }) => spec.logSeverityScreen,
      MESHENABLED: ({ spec }) => spec.nodeToNodeMeshEnabled ?? "-",
      ASNUMBER: ({ spec }) => spec.asNumber ?? "-",
    },
    "NAME LOGSEVERITY MESHENABLED ASNUMBER",
  ),
  BGPFilter: kind(
    {
      NUMEXPORTV4: ({ spec }) => count(spec.exportV4),
      NUMIMPORTV4: ({ spec }) => count(spec.importV4),
      NUMEXPORTV6: ({ spec }) => count(spec.exportV6),
      NUMIMPORTV6: ({ spec }) => count(spec.importV6),
    },
    "NAME NUMEXPORTV4 NUMIMPORTV4 NUMEXPORTV6 NUMIMPORTV6",
  ),
  BGPPeer: kind(
    {
      PEERIP: ({ spec }) => spec.peerIP,
      NODE: ({ spec }) => spec.node || spec.nodeSelector || "(global)",
      ASN: ({ spec }) => spec.asNumber,
    },
    "NAME PEERIP NODE ASN",
  ),
  CalicoNodeStatus: kind(
    { NODE: ({ spec }) => spec.node, CLASSES: ({ spec }) => list(spec.classes) },
    "NAME NODE",
    "NAME NODE CLASSES",
  ),
  ClusterInformation: kind(
    {
      CLUSTERGUID: ({ spec }) => spec.clusterGUID,
      CLUSTERTYPE: ({ spec }) => spec.clusterType,
      CALICOVERSION: ({ spec }) => spec.calicoVersion,
      DATASTOREREADY: ({ spec }) => spec.datastoreReady,
    },
    "NAME CLUSTERGUID CLUSTERTYPE CALICOVERSION DATASTOREREADY",
  ),
  FelixConfiguration: kind({}, "NAME"),
  GlobalNetworkPolicy: policy,
  GlobalNetworkSet: networkSet,
  HostEndpoint: kind(
    {
      NODE: ({ spec }) => spec.node,
      INTERFACE: ({ spec }) => spec.interfaceName,
      IPS: ({ spec }) => list(spec.expectedIPs),
      PROFILES: ({ spec }) => list(spec.profiles),
    },
    "NAME NODE",
    "NAME NODE INTERFACE IPS PROFILES",
  ),
  IPAMConfiguration: kind(
    {
      STRICTAFFINITY: ({ spec }) => spec.strictAffinity ?? false,
      AUTOALLOCATEBLOCKS: ({ spec }) => spec.autoAllocateBlocks ?? true,
      MAXBLOCKSPERHOST: ({ spec }) => spec.maxBlocksPerHost ?? 0,
    },
    "NAME STRICTAFFINITY AUTOALLOCATEBLOCKS",
    "NAME STRICTAFFINITY AUTOALLOCATEBLOCKS MAXBLOCKSPERHOST",
  ),
  IPPool: kind(
    {
      CIDR: ({ spec }) => spec.cidr,
      NAT: ({ spec }) => spec.natOutgoing ?? false,
      IPIPMODE: ({ spec }) => spec.ipipMode ?? "Never",
      VXLANMODE: ({ spec }) => spec.vxlanMode ?? "Never",
      DISABLED: ({ spec }) => spec.disabled ?? false,
      DISABLEBGPEXPORT: ({ spec }) => spec.disableBGPExport ?? false,
      SELECTOR: ({ spec }) => spec.nodeSelector ?? "all()",
      ASSIGNMENTMODE: ({ spec }) => spec.assignmentMode ?? "Automatic",
    },
    "NAME CIDR SELECTOR",
    "NAME CIDR NAT IPIPMODE VXLANMODE DISABLED DISABLEBGPEXPORT SELECTOR ASSIGNMENTMODE",
  ),
  IPReservation: kind({ CIDRS: ({ spec }) => cut(list(spec.reservedCIDRs)) }, "NAME", "NAME CIDRS"),
  KubeControllersConfiguration: kind({}, "NAME"),
  LiveMigration: kind({}, "NAME"),
  NetworkPolicy: policy,
  NetworkSet: networkSet,
  Node: kind(
    {
      ASN: ({ spec }, { asNumber }) => spec.bgp?.asNumber ?? `(${asNumber})`,
      IPV4: ({ spec }) => spec.bgp?.ipv4Address,
      IPV6: ({ spec }) => spec.bgp?.ipv6Address,
    },
    "NAME",
    "NAME ASN IPV4 IPV6",
  ),
  Profile: kind({ LABELS: ({ spec }) => labels(spec.labelsToApply) }, "NAME", "NAME LABELS"),
  StagedGlobalNetworkPolicy: policy,
  StagedKubernetesNetworkPolicy: kind(
    { PODSELECTOR: ({ spec }) => JSON.stringify(spec.podSelector ?? {}) },
    "NAME",
    "NAME PODSELECTOR",
  ),
  StagedNetworkPolicy: policy,
  Tier: kind({ ORDER: ({ spec }) => spec.order }, "NAME ORDER"),
  WorkloadEndpoint: kind(
    {
      WORKLOAD: ({ spec }) => spec.pod || spec.workload,
      NODE: ({ spec }) => spec.node,
      NETWORKS: ({ spec }) => list(spec.ipNetworks),
      INTERFACE: ({ spec }) => spec.interfaceName,
      PROFILES: ({ spec }) => list(spec.profiles),
      NATS: ({ spec }) =>
        list(
          (spec.ipNATs ?? []).map(
            (nat: { internalIP: string; externalIP: string }) => `${nat.internalIP}->${nat.externalIP}`,
          ),
        ),
    },
    "WORKLOAD NODE NETWORKS INTERFACE",
    "NAME WORKLOAD NODE NETWORKS INTERFACE PROFILES NATS",
  ),
};
