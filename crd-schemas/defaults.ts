/** Defaults that follow from other fields, which a schema cannot say. */

import type { PolicyType, Resource, Rule } from "./generated/types.ts";
import { workloadEndpointName } from "./workload-endpoint-name.ts";

/** A copy in which fields that are null are absent, which is what Go and the API server take them for. */
export function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== "object" || value === null) return value;
  const result: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(value)) {
    if (field !== null && field !== undefined) result[name] = withoutNulls(field);
  }
  return result;
}

/** Fills in what is computed. The resource may be malformed still. */
export function completeResource(resource: Resource): void {
  if (resource.spec === undefined) (resource as { spec: unknown }).spec = {};
  if (typeof resource.spec !== "object") return;
  switch (resource.kind) {
    case "NetworkPolicy":
    case "GlobalNetworkPolicy":
    case "StagedNetworkPolicy":
    case "StagedGlobalNetworkPolicy":
      resource.spec.tier ||= "default";
      if (isAbsent(resource.spec.types)) resource.spec.types = typesOf(resource.spec);
      break;
    case "IPPool":
      if (!resource.spec.blockSize && typeof resource.spec.cidr === "string") {
        resource.spec.blockSize = resource.spec.cidr.includes(":") ? 122 : 26;
      }
      break;
    case "WorkloadEndpoint":
      if (resource.metadata && !resource.metadata.name) {
        const name = workloadEndpointName(resource.spec);
        if (name !== undefined) resource.metadata.name = name;
      }
      break;
  }
}

/** The directions a policy governs when it does not say: none but egress rules is Egress, no egress rules is Ingress. */
function typesOf({ ingress, egress }: { ingress?: Rule[]; egress?: Rule[] }): PolicyType[] {
  if (isAbsent(egress)) return ["Ingress"];
  return isAbsent(ingress) ? ["Egress"] : ["Ingress", "Egress"];
}

function isAbsent(list: unknown[] | undefined): boolean {
  return list === undefined || (Array.isArray(list) && list.length === 0);
}
