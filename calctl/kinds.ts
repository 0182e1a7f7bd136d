/** The kinds a user may name on the command line, and what they may not do to them. */

import { DEFAULT_ALLOW_PROFILE, findKind, KINDS } from "../crd-schemas/index.ts";
import { RESOURCE_KINDS, type ResourceKind } from "../datastore/key.ts";
import { v1ProfileName } from "../policy/convert/v1-names.ts";
import { CommandError } from "./errors.ts";
import { didYouMean } from "./nearest.ts";

export function isResourceKind(kind: string | undefined): kind is ResourceKind {
  return RESOURCE_KINDS.includes(kind as ResourceKind);
}

export function isNamespaced(kind: ResourceKind): boolean {
  return KINDS[kind].namespaced;
}

/** The kind that `word` (a kind in any case, a plural, an alias) means. @throws CommandError USAGE */
export function resolveKind(word: string): ResourceKind {
  const kind = findKind(word);
  if (kind !== undefined && isResourceKind(kind)) return kind;
  if (kind !== undefined)
    throw new CommandError(
      "USAGE",
      `${kind} is a record of the IPAM, not a resource; see 'calctl ipam show'`,
    );
  const names = RESOURCE_KINDS.flatMap(known => [known.toLowerCase(), KINDS[known].plural]);
  throw new CommandError(
    "USAGE",
    `resource type '${word}' is not supported${didYouMean(word, names)}; the kinds are ${RESOURCE_KINDS.join(", ")}`,
  );
}

/**
 * The name of a resource that a user calls `word`. A network's profile may be called as the network is: names with
 * characters that v3 does not have (`cal_web`) can mean nothing else than what they became.
 */
export function resolveName(kind: ResourceKind, word: string): string {
  return kind === "Profile" && !/^[-.a-z0-9]+$/.test(word) ? v1ProfileName(word) : word;
}

export type Action = "apply" | "create" | "replace" | "delete" | "patch" | "label";

/** Kinds that the cluster writes and users only read. */
const READ_ONLY: readonly ResourceKind[] = ["ClusterInformation"];

/** Policies that a Kubernetes cluster's controllers copy into etcd: theirs to write. */
const KUBERNETES_POLICY = "knp.default.";

/** Why `action` must not be done to this resource, or undefined. */
export function refusal(action: Action, kind: ResourceKind, name: string): string | undefined {
  if (READ_ONLY.includes(kind)) return `cannot ${action} ${kind}(${name}): the cluster itself writes it`;
  if (kind === "Profile" && action !== "create" && name === DEFAULT_ALLOW_PROFILE)
    return `cannot ${action} Profile(${name}): it is built in and always there`;
  if (kind === "NetworkPolicy" && action !== "delete" && name.startsWith(KUBERNETES_POLICY))
    return `cannot ${action} NetworkPolicy(${name}): names that begin with ${KUBERNETES_POLICY} belong to the Kubernetes controllers`;
  return undefined;
}
