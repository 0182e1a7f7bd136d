/** Names, namespaces and labels: which a kind may have, and that they are there. */

import type { Resource } from "../generated/types.ts";
import { kindInfo } from "../kinds.ts";
import type { Path, Report } from "../problem.ts";
import { isLabel, isLabelKey, isLabelValue, isSubdomain } from "./names.ts";

const SUBDOMAIN_WORDS =
  'at most 253 lower-case letters, digits, "-" and ".", with a letter or digit at each end and beside each "."';

export function checkMetadata(resource: Resource, report: Report): void {
  const { name, namespace, labels } = resource.metadata;
  const info = kindInfo(resource.kind);
  const expected = expectedName(resource.kind, name);
  if (expected !== undefined) report(["metadata", "name"], `invalid name "${name}"`, expected);
  if (info.namespaced && !namespace) {
    report(["metadata", "namespace"], `a ${resource.kind} needs a namespace`, "the name of a namespace");
  }
  if (namespace && !info.namespaced) {
    report(["metadata", "namespace"], `a ${resource.kind} is in no namespace`, "no namespace");
  } else if (namespace && !isLabel(namespace)) {
    report(
      ["metadata", "namespace"],
      `invalid namespace "${namespace}"`,
      "a DNS label of at most 63 characters",
    );
  }
  checkLabels(labels, ["metadata", "labels"], report);
}

export function checkLabels(labels: Record<string, string> | undefined, path: Path, report: Report): void {
  for (const [key, value] of Object.entries(labels ?? {})) {
    if (!isLabelKey(key)) {
      report(
        [...path, key],
        `invalid label key "${key}"`,
        'a name, or "prefix/name", of at most 63 characters',
      );
    }
    if (!isLabelValue(value)) {
      const words = 'at most 63 letters, digits, "-", "_" and ".", with a letter or digit at each end';
      report([...path, key], `invalid label value "${value}"`, words);
    }
  }
}

/** What the name should have been, or undefined where it is right. */
function expectedName(kind: Resource["kind"], name: string): string | undefined {
  const { names } = kindInfo(kind);
  if (names) {
    const fits = names.some(allowed =>
      allowed.endsWith(".")
        ? name.startsWith(allowed) && isSubdomain(name.slice(allowed.length))
        : name === allowed,
    );
    return fits
      ? undefined
      : names.map(allowed => (allowed.endsWith(".") ? `${allowed}<node>` : allowed)).join(" or ");
  }
  switch (kind) {
    case "Tier":
      return isLabel(name) ? undefined : "a DNS label of at most 63 characters";
    case "NetworkPolicy":
    case "StagedNetworkPolicy": {
      // Copies of Kubernetes policies and OpenStack security groups keep whatever name they have there.
      const copied = /^(?:knp|ossg)\.default\.(.+)$/.exec(name);
      if (copied) return isSubdomain(copied[1]!) ? undefined : SUBDOMAIN_WORDS;
      return isPolicyName(name) ? undefined : "a DNS label, or two joined by a dot";
    }
    case "GlobalNetworkPolicy":
    case "StagedGlobalNetworkPolicy":
      return isPolicyName(name) ? undefined : "a DNS label, or two joined by a dot";
    default:
      return isSubdomain(name) ? undefined : SUBDOMAIN_WORDS;
  }
}

/** One label, or a tier and a label as old versions wrote it; each name part has the length of a subdomain. */
function isPolicyName(name: string): boolean {
  return isSubdomain(name) && name.split(".").length <= 2;
}
