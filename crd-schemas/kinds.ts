/**
 * What there is to know about each kind of resource besides its schema: how it is called, on paths and on the
 * command line, and where it may be stored.
 */

import type { ResourceOfKind } from "./generated/types.ts";

export type KindName = keyof ResourceOfKind;

/** The API version of every resource in documents and in etcd. */
export const API_VERSION = "projectcalico.org/v3";

/** Group and version under which Kubernetes stores the resources. */
export const CRD_GROUP = "crd.projectcalico.org";
export const CRD_VERSION = "v1";

export interface KindInfo {
  readonly plural: string;
  readonly namespaced: boolean;
  /** Names on the command line, besides the kind in any case and its plural. */
  readonly aliases?: readonly string[];
  /** Kubernetes has an object of its own for it: no CRD is installed there. */
  readonly internal?: boolean;
  /** An IPAM record: in etcd it is kept in a form of its own, and users do not write it. */
  readonly ipam?: boolean;
  /** The only names there may be; `node.` stands for `node.<any node>`. */
  readonly names?: readonly string[];
}

export const KINDS = {
  BGPConfiguration: {
    plural: "bgpconfigurations",
    namespaced: false,
    aliases: ["bgpconfig", "bgpconfigs"],
    names: ["default", "node."],
  },
  BGPFilter: { plural: "bgpfilters", namespaced: false, aliases: ["bgpf", "bgpfs", "bf", "bfs"] },
  BGPPeer: { plural: "bgppeers", namespaced: false, aliases: ["bgpp", "bgpps", "bp", "bps"] },
  BlockAffinity: { plural: "blockaffinities", namespaced: false, aliases: ["blockaffinity"], ipam: true },
  CalicoNodeStatus: {
    plural: "caliconodestatuses",
    namespaced: false,
    aliases: ["nodestatus", "nodestatuses", "caliconodestatus"],
  },
  ClusterInformation: {
    plural: "clusterinformations",
    namespaced: false,
    aliases: ["clusterinfo", "clusterinfos"],
    names: ["default"],
  },
  FelixConfiguration: {
    plural: "felixconfigurations",
    namespaced: false,
    aliases: ["felixconfig", "felixconfigs"],
  },
  GlobalNetworkPolicy: { plural: "globalnetworkpolicies", namespaced: false, aliases: ["gnp", "gnps"] },
  GlobalNetworkSet: { plural: "globalnetworksets", namespaced: false, aliases: ["gnetset", "gnetsets"] },
  HostEndpoint: { plural: "hostendpoints", namespaced: false, aliases: ["hep", "heps"] },
  IPAMBlock: { plural: "ipamblocks", namespaced: false, ipam: true },
  IPAMConfig: { plural: "ipamconfigs", namespaced: false, ipam: true, names: ["default"] },
  IPAMConfiguration: {
    plural: "ipamconfigurations",
    namespaced: false,
    aliases: ["ipamconfig", "ipamconfigs"],
    names: ["default"],
  },
  IPAMHandle: { plural: "ipamhandles", namespaced: false, ipam: true },
  IPPool: { plural: "ippools", namespaced: false, aliases: ["ipp", "ipps", "pool", "pools"] },
  IPReservation: { plural: "ipreservations", namespaced: false, aliases: ["reservation", "reservations"] },
  KubeControllersConfiguration: {
    plural: "kubecontrollersconfigurations",
    namespaced: false,
    aliases: ["kubecontrollersconfig", "kubecontrollersconfigs"],
    names: ["default"],
  },
  LiveMigration: { plural: "livemigrations", namespaced: true, internal: true },
  NetworkPolicy: {
    plural: "networkpolicies",
    namespaced: true,
    aliases: ["np", "nps", "policy", "policies", "pol", "pols"],
  },
  NetworkSet: { plural: "networksets", namespaced: true, aliases: ["netset", "netsets"] },
  Node: { plural: "nodes", namespaced: false, aliases: ["no", "nos"], internal: true },
  Profile: { plural: "profiles", namespaced: false, aliases: ["pro", "pros"] },
  StagedGlobalNetworkPolicy: {
    plural: "stagedglobalnetworkpolicies",
    namespaced: false,
    aliases: ["sgnp", "sgnps"],
  },
  StagedKubernetesNetworkPolicy: {
    plural: "stagedkubernetesnetworkpolicies",
    namespaced: true,
    aliases: ["sknp", "sknps", "skpol", "skpols"],
  },
  StagedNetworkPolicy: {
    plural: "stagednetworkpolicies",
    namespaced: true,
    aliases: ["snp", "snps", "spol", "spols"],
  },
  Tier: { plural: "tiers", namespaced: false },
  WorkloadEndpoint: {
    plural: "workloadendpoints",
    namespaced: true,
    aliases: ["wep", "weps"],
    internal: true,
  },
} as const satisfies Record<string, KindInfo>;

export function isKind(text: unknown): text is KindName {
  return typeof text === "string" && Object.hasOwn(KINDS, text);
}

export function kindInfo(kind: KindName): KindInfo {
  return KINDS[kind];
}

let byName: Map<string, KindName> | undefined;

/** The kind a user means: its name in any case, its plural or an alias; undefined where there is none. */
export function findKind(text: string): KindName | undefined {
  if (!byName) {
    byName = new Map();
    for (const [kind, info] of Object.entries(KINDS) as [KindName, KindInfo][]) {
      // `ipamconfig` means what users configure, not the record of the same name.
      const names = [kind.toLowerCase(), info.plural, ...(info.aliases ?? [])];
      for (const name of names) if (!info.ipam || !byName.has(name)) byName.set(name, kind);
    }
  }
  return byName.get(text.toLowerCase());
}

/** Tiers that always exist: their order and default action are fixed, and they cannot be deleted. */
export const PROTECTED_TIERS = {
  "kube-admin": { order: 1000, defaultAction: "Pass" },
  default: { order: 1_000_000, defaultAction: "Deny" },
  "kube-baseline": { order: 10_000_000, defaultAction: "Pass" },
} as const;

/** The order of a tier that gives none. */
export const DEFAULT_TIER_ORDER = 1_000_000;

/** The profile that is always there without being stored: it allows everything. */
export const DEFAULT_ALLOW_PROFILE = "projectcalico-default-allow";
