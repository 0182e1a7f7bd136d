/**
 * A policy's name against the name it is stored under. Calico changed this twice: up to 3.28 the policy that a
 * user called `web` was stored as `default.web`; 3.29 to 3.31 did the same but kept the user's name in an
 * annotation; since 3.32 it is stored as `web`, annotation included. A cluster can hold all three at once, and
 * readers must see one policy `web`. The annotation is storage detail and never shown.
 */

import type { Value } from "./datastore.ts";
import type { Kind } from "./key.ts";

const ANNOTATION = "projectcalico.org/metadata";
const LEGACY_PREFIX = "default.";

const TIERED: ReadonlySet<Kind> = new Set<Kind>([
  "GlobalNetworkPolicy",
  "NetworkPolicy",
  "StagedGlobalNetworkPolicy",
  "StagedNetworkPolicy",
]);

/** Kinds that live in a tier, and whose stored name may differ from their own. */
export function isTieredPolicy(kind: Kind): boolean {
  return TIERED.has(kind);
}

/** The other name under which `name` may be stored. */
export function legacyName(name: string): string {
  return LEGACY_PREFIX + name;
}

/** What the policy stored under `storedName` is called. */
export function effectiveName(storedName: string, stored: Value): string {
  const annotation = stored?.metadata?.annotations?.[ANNOTATION];
  if (typeof annotation === "string") {
    try {
      const name = JSON.parse(annotation)?.name;
      if (typeof name === "string" && name !== "") return name;
    } catch {
      // Somebody else's annotation: as if there were none.
    }
  }
  const tier = stored?.spec?.tier;
  const inDefaultTier = tier === undefined || tier === "" || tier === "default";
  return inDefaultTier && storedName.startsWith(LEGACY_PREFIX)
    ? storedName.slice(LEGACY_PREFIX.length)
    : storedName;
}

export function annotateName(annotations: Record<string, string> | undefined, name: string) {
  return { ...annotations, [ANNOTATION]: JSON.stringify({ name }) };
}

export function withoutNameAnnotation(
  annotations: Record<string, string> | undefined,
): Record<string, string> | undefined {
  if (annotations?.[ANNOTATION] === undefined) return annotations;
  const { [ANNOTATION]: _, ...others } = annotations;
  return Object.keys(others).length === 0 ? undefined : others;
}
