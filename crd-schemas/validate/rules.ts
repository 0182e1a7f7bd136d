/** Which rules across fields each kind has; kinds without an entry have none beyond their schema. */

import type { Resource, ResourceOfKind } from "../generated/types.ts";
import type { KindName } from "../kinds.ts";
import type { Report } from "../problem.ts";
import { checkBGPConfiguration } from "./bgpconfiguration.ts";
import { checkBGPFilter } from "./bgpfilter.ts";
import { checkBGPPeer } from "./bgppeer.ts";
import { checkFelixConfiguration } from "./felixconfiguration.ts";
import { checkHostEndpoint } from "./hostendpoint.ts";
import { checkIPAMConfiguration } from "./ipamconfiguration.ts";
import { checkIPPool, checkIPPoolUpdate } from "./ippool.ts";
import { checkNode } from "./node.ts";
import { checkGlobalNetworkPolicy, checkNetworkPolicy } from "./policy.ts";
import { checkProfile } from "./profile.ts";
import { checkStagedKubernetesNetworkPolicy } from "./stagedkubernetesnetworkpolicy.ts";
import { checkTier } from "./tier.ts";
import { checkWorkloadEndpoint } from "./workloadendpoint.ts";

type Rules = { readonly [K in KindName]?: (resource: ResourceOfKind[K], report: Report) => void };

const RULES: Rules = {
  BGPConfiguration: checkBGPConfiguration,
  BGPFilter: checkBGPFilter,
  BGPPeer: checkBGPPeer,
  FelixConfiguration: checkFelixConfiguration,
  GlobalNetworkPolicy: checkGlobalNetworkPolicy,
  HostEndpoint: checkHostEndpoint,
  IPAMConfiguration: checkIPAMConfiguration,
  IPPool: checkIPPool,
  NetworkPolicy: checkNetworkPolicy,
  Node: checkNode,
  Profile: checkProfile,
  StagedGlobalNetworkPolicy: checkGlobalNetworkPolicy,
  StagedKubernetesNetworkPolicy: checkStagedKubernetesNetworkPolicy,
  StagedNetworkPolicy: checkNetworkPolicy,
  Tier: checkTier,
  WorkloadEndpoint: checkWorkloadEndpoint,
};

export function checkKind(resource: Resource, report: Report): void {
  (RULES[resource.kind] as ((resource: Resource, report: Report) => void) | undefined)?.(resource, report);
}

/** What `next` may not change of what is stored. */
export function checkUpdate(previous: Resource, next: Resource, report: Report): void {
  if (previous.kind === "IPPool" && next.kind === "IPPool") checkIPPoolUpdate(previous, next, report);
}
