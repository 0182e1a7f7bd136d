/**
 * Everything that decides about packets, in one value: policies and profiles of the model, who is there with which
 * labels and addresses, and the settings of hosts that take part in the decision. state.ts makes one of documents.
 */

import type { Protocol } from "../crd-schemas/index.ts";
import type { Cidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import type { ServiceAddress } from "./convert/kubernetes-services.ts";
import type { FailsafePort } from "./failsafes.ts";
import type { Policy, Profile, Tier } from "./model.ts";
import type { LabelRecord } from "./selector/label-index.ts";

export type { ServiceAddress } from "./convert/kubernetes-services.ts";

export interface PortOfEndpoint {
  /** Rules can only name what has a name. */
  readonly name?: string;
  readonly protocol: Protocol;
  readonly port: number;
}

/** A workload. */
export interface EvaluatedEndpoint {
  readonly id: string;
  /** Its own; those of its profiles are added. */
  readonly labels: LabelRecord;
  readonly profiles: readonly string[];
  readonly addresses: readonly Ip[];
  readonly ports: readonly PortOfEndpoint[];
  /** The host it is on. Without it no host stands between it and others. */
  readonly node?: string;
  /** Prefixes it may send from besides its own addresses. */
  readonly allowedSources?: readonly Cidr[];
  /** By which others reach it, where the settings of hosts enable them. */
  readonly floatingIps?: readonly { readonly external: Ip; readonly internal: Ip }[];
}

/** An interface of a host, or by `*` all of those that belong to no workload. */
export interface EvaluatedHostEndpoint {
  readonly id: string;
  readonly labels: LabelRecord;
  readonly profiles: readonly string[];
  readonly node: string;
  readonly interfaceName?: string;
  /** Its expected addresses: which interface it is, where that has no name, and what selectors that match it mean. */
  readonly addresses: readonly Ip[];
  readonly ports: readonly PortOfEndpoint[];
}

export interface EvaluatedHost {
  readonly name: string;
  /** All its own, the one it is known by first. */
  readonly addresses: readonly Ip[];
}

/** What FelixConfiguration says that decides about packets. */
export interface HostSettings {
  /** What becomes of packets of workloads to their own host that their policy lets through. */
  readonly endpointToHost: "accept" | "drop" | "return";
  readonly failsafes: { readonly ingress: readonly FailsafePort[]; readonly egress: readonly FailsafePort[] };
  readonly floatingIps: boolean;
  /** Whether workloads may make tunnels of their own. */
  readonly encapsulated: { readonly vxlan: boolean; readonly vxlanPort: number; readonly ipip: boolean };
}

/** A network set: addresses from outside, under labels. */
export interface EvaluatedSet {
  readonly labels: LabelRecord;
  readonly profiles?: readonly string[];
  readonly nets: readonly Cidr[];
}

export interface PolicyState {
  readonly policies: readonly Policy[];
  readonly profiles: readonly Profile[];
  readonly tiers?: readonly Tier[];
  readonly endpoints: readonly EvaluatedEndpoint[];
  readonly networkSets?: readonly EvaluatedSet[];
  readonly hostEndpoints?: readonly EvaluatedHostEndpoint[];
  readonly hosts?: readonly EvaluatedHost[];
  /** Of all hosts, and of some; absent, Calico's defaults. */
  readonly settings?: HostSettings;
  readonly settingsByHost?: ReadonlyMap<string, HostSettings>;
  /** By `namespace/name`. */
  readonly services?: ReadonlyMap<string, readonly ServiceAddress[]>;
}
