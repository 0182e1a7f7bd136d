/** BGP configuration: communities that resolve, and no settings of a mesh that is off. */

import type { BGPConfiguration } from "../generated/types.ts";
import type { Report } from "../problem.ts";
import { checkCommunity, isCommunity } from "./community.ts";
import { checkVersion } from "./families.ts";

/** Fields that hold for the whole cluster and would be ignored in one node's object. */
const CLUSTER_ONLY = ["nodeToNodeMeshEnabled", "asNumber"] as const;

export function checkBGPConfiguration({ metadata, spec }: BGPConfiguration, report: Report): void {
  if (metadata.name.startsWith("node.")) {
    for (const field of CLUSTER_ONLY) {
      if (spec[field] === undefined) continue;
      report(
        ["spec", field],
        `${field} holds for the whole cluster`,
        "this field in BGPConfiguration default only",
      );
    }
  }
  if (spec.nodeToNodeMeshEnabled === false) {
    for (const field of ["nodeMeshPassword", "nodeMeshMaxRestartTime"] as const) {
      if (spec[field] !== undefined) {
        report(["spec", field], `${field} is for the mesh, which is off`, "nodeToNodeMeshEnabled: true");
      }
    }
  }
  checkCommunities(spec, report);
  checkVersion(spec.localWorkloadPeeringIPV4, 4, ["spec", "localWorkloadPeeringIPV4"], report);
  checkVersion(spec.localWorkloadPeeringIPV6, 6, ["spec", "localWorkloadPeeringIPV6"], report);
}

function checkCommunities(
  { communities, prefixAdvertisements }: BGPConfiguration["spec"],
  report: Report,
): void {
  const names = new Set<string>();
  for (const [i, { name, value }] of (communities ?? []).entries()) {
    if (names.has(name))
      report(["spec", "communities", i, "name"], `"${name}" is given twice`, "another name");
    names.add(name);
    checkCommunity(value, ["spec", "communities", i, "value"], report);
  }
  if (names.size > 0 && (!prefixAdvertisements || prefixAdvertisements.length === 0)) {
    report(["spec", "communities"], "communities are given but nothing uses them", "prefixAdvertisements");
  }
  for (const [i, advertisement] of (prefixAdvertisements ?? []).entries()) {
    for (const [j, community] of (advertisement.communities ?? []).entries()) {
      if (names.has(community) || isCommunity(community)) continue;
      const path = ["spec", "prefixAdvertisements", i, "communities", j];
      report(
        path,
        `"${community}" is neither a name in communities nor a value`,
        'a name, "high:low" or "global:local1:local2"',
      );
    }
  }
}
