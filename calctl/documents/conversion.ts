/**
 * What `calctl convert` makes of a document: v1 documents and Kubernetes' NetworkPolicies become v3 resources, v3
 * resources stay what they are. The result is validated unless that is not wanted; what a conversion had to
 * leave out counts as a problem then.
 */

import { type Problem as FieldProblem, validateResource } from "../../crd-schemas/index.ts";
import type { Located } from "../../input/parse.ts";
import type { Problem } from "../../input/problem.ts";
import {
  convertNetworkPolicy,
  type KubernetesNetworkPolicy,
  readNetworkPolicy,
} from "../../policy/convert/kubernetes.ts";
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
  if (isKubernetesPolicy(document.value)) {
    const { policy, problems } = convertKubernetes(document.value);
    warnings.push(...located(problems));
    if (policy === undefined) return warnings;
    resource = policy;
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

function isKubernetesPolicy(value: unknown): value is KubernetesNetworkPolicy {
  if (typeof value !== "object" || value === null) return false;
  const { apiVersion, kind } = value as { apiVersion?: unknown; kind?: unknown };
  return (
    kind === "NetworkPolicy" && typeof apiVersion === "string" && apiVersion.startsWith("networking.k8s.io/")
  );
}

/** The names under which Kubernetes clusters copy policies into Calico, which users may not take. */
const COPY_PREFIX = "knp.default.";

function convertKubernetes(input: KubernetesNetworkPolicy): {
  policy?: object;
  problems: readonly FieldProblem[];
} {
  const { problems, policy: read } = readNetworkPolicy(input);
  if (problems) return { problems };
  const converted = convertNetworkPolicy(read);
  const { policy } = converted;
  const { name } = policy.metadata;
  const own = name.startsWith(COPY_PREFIX) ? name.slice(COPY_PREFIX.length) : name;
  return { policy: { ...policy, metadata: { ...policy.metadata, name: own } }, problems: converted.problems };
}
