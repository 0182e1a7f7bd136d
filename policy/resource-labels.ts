/** The labels by which policies select what a resource describes: its own, and the profiles that give it more. */

import type { GlobalNetworkSet, NetworkSet } from "../crd-schemas/index.ts";
import { namespaceProfileName } from "./convert/kubernetes-namespaces.ts";
import { NAMESPACE_LABEL, NAMESPACE_PREFIX, SERVICE_ACCOUNT_PREFIX } from "./resolve.ts";
import type { LabelRecord } from "./selector/label-index.ts";

/** Without those that only profiles may give: among a resource's own they would be a forgery. The same object where there are none. */
export function ownLabels(labels: LabelRecord | undefined): LabelRecord {
  if (!labels) return {};
  const names = Object.keys(labels);
  if (!names.some(isReserved)) return labels;
  return Object.fromEntries(Object.entries(labels).filter(([name]) => !isReserved(name)));
}

/**
 * A namespaced network set has the label of its namespace, which selectors of that namespace's policies demand, and
 * inherits the namespace's own labels, which are those of the namespace's profile.
 */
export function networkSetLabels({ metadata }: NetworkSet | GlobalNetworkSet): {
  readonly labels: LabelRecord;
  readonly profiles: readonly string[];
} {
  const { namespace, labels } = metadata;
  if (!namespace) return { labels: labels ?? {}, profiles: [] };
  return {
    labels: { ...ownLabels(labels), [NAMESPACE_LABEL]: namespace },
    profiles: [namespaceProfileName(namespace)],
  };
}

function isReserved(name: string): boolean {
  return name.startsWith(NAMESPACE_PREFIX) || name.startsWith(SERVICE_ACCOUNT_PREFIX);
}
