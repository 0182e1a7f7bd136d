/**
 * Staged policies: proposals that are in force nowhere, and what would be if they were.
 *
 * A staged policy stands for the enforced one of its own name. Set puts it in that one's place, Delete takes that one
 * away; Learn and Ignore are notes that propose nothing.
 */

import type { StagedKubernetesNetworkPolicy } from "../crd-schemas/index.ts";
import { convertNetworkPolicy } from "./convert/kubernetes.ts";
import { type Policy, type PolicyId, type PolicyKind, policyKey } from "./model.ts";
import { resolvePolicy } from "./resolve.ts";

export function isStaged(kind: PolicyKind): boolean {
  return kind.startsWith("Staged");
}

/** As the Kubernetes policy it proposes would be resolved. */
export function resolveStagedKubernetesPolicy({ metadata, spec }: StagedKubernetesNetworkPolicy): Policy {
  const { stagedAction, ...proposed } = spec;
  const { policy } = convertNetworkPolicy({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata,
    spec: proposed,
  });
  const namespace = metadata.namespace ?? "default";
  return {
    ...resolvePolicy(policy),
    id: { kind: "StagedKubernetesNetworkPolicy", namespace, name: metadata.name },
    stagedAction: stagedAction ?? "Set",
  };
}

/** The enforced policy that a staged one stands for. */
export function enforcedId({ kind, namespace, name }: PolicyId): PolicyId {
  const scope = namespace !== undefined && { namespace };
  switch (kind) {
    case "StagedGlobalNetworkPolicy":
      return { kind: "GlobalNetworkPolicy", name };
    case "StagedNetworkPolicy":
      return { kind: "NetworkPolicy", ...scope, name };
    case "StagedKubernetesNetworkPolicy":
      return { kind: "NetworkPolicy", ...scope, name: `knp.default.${name}` };
    default:
      return { kind, ...scope, name };
  }
}

/** The policies that would be in force if everything staged were carried out. */
export function enforceStaged(policies: readonly Policy[]): Policy[] {
  const enforced = new Map(
    policies.filter(({ id }) => !isStaged(id.kind)).map(policy => [policyKey(policy.id), policy]),
  );
  for (const { stagedAction, ...policy } of policies) {
    if (!isStaged(policy.id.kind)) continue;
    const id = enforcedId(policy.id);
    if (stagedAction === "Set") enforced.set(policyKey(id), { ...policy, id });
    else if (stagedAction === "Delete") enforced.delete(policyKey(id));
  }
  return [...enforced.values()];
}
