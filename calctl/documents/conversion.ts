/**
 * What `calctl convert` makes of a document: v1 documents and Kubernetes' policies become v3 resources, v3
 * resources stay what they are. The result is validated unless that is not wanted; what a conversion had to
 * leave out counts as a problem then.
 */

import { type Problem as FieldProblem, type Resource, validateResource } from "../../crd-schemas/index.ts";
import type { Located } from "../../input/parse.ts";
import type { Problem } from "../../input/problem.ts";
import { convertNetworkPolicy, readNetworkPolicy } from "../../policy/convert/kubernetes.ts";
import {
  convertClusterPolicy,
  isClusterPolicyKind,
} from "../../policy/convert/kubernetes-cluster-policies.ts";
import { selectorProblem } from "../../policy/selector/index.ts";
import type { Context } from "../context.ts";
import type { FileOptions } from "../options.ts";
import { collect } from "./collect.ts";
import { frameOf } from "./frame.ts";

export interface Converted {
  readonly resource: object;
  /** What does not hold the result back, with `ignoreValidation`. */
  readonly warnings: readonly Problem[];
}

/** @throws InvalidDocuments, CommandError */
export function convertDocuments(
  context: Context,
  options: FileOptions & { readonly ignoreValidation?: true },
): Promise<Converted[]> {
  return collect(context, options, document => convert(document, options.ignoreValidation ?? false));
}

function convert(document: Located, ignoreValidation: boolean): Converted | Problem[] {
  const located = (problems: readonly FieldProblem[]): Problem[] =>
    problems.map(problem => ({ ...problem, place: document.locate(problem.path) }));
  const warnings: Problem[] = [];
  let resource: object;
  const kubernetes = convertKubernetes(document.value);
  if (kubernetes) {
    const { policy, problems } = kubernetes;
    warnings.push(...located(problems));
    if (policy === undefined) return warnings;
    resource = withOwnName(policy, document.value);
  } else {
    const frame = frameOf(document, "default");
    if (Array.isArray(frame)) return frame;
    resource = frame;
  }
  if (!ignoreValidation || warnings.length === 0) {
    const checked = validateResource(resource, { parseSelector: selectorProblem });
    warnings.push(...located(checked.problems ?? []));
    if (checked.resource) resource = checked.resource;
  }
  return warnings.length > 0 && !ignoreValidation ? warnings : { resource, warnings };
}

/** Undefined for what is no policy of Kubernetes. */
function convertKubernetes(
  value: unknown,
): { readonly policy?: Resource | undefined; readonly problems: readonly FieldProblem[] } | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { apiVersion, kind } = value as { apiVersion?: unknown; kind?: unknown };
  const group = typeof apiVersion === "string" ? apiVersion.split("/")[0] : undefined;
  if (group === "policy.networking.k8s.io" && isClusterPolicyKind(kind))
    return convertClusterPolicy(kind, value);
  if (group !== "networking.k8s.io" || kind !== "NetworkPolicy") return undefined;
  const { problems, policy } = readNetworkPolicy(value);
  return problems ? { problems } : convertNetworkPolicy(policy);
}

/** Clusters copy their policies into Calico under names that users may not take. */
function withOwnName(policy: Resource, document: unknown): object {
  const { name } = (document as { metadata: { name: string } }).metadata;
  return { ...policy, metadata: { ...policy.metadata, name: name.replace(/^knp\.default\./, "") } };
}
