/**
 * Between a resource as its users see it and the JSON that is stored. What the store itself says is not stored
 * (the revision, which becomes metadata.resourceVersion on read); what readers rely on is always stored (kind,
 * apiVersion, creationTimestamp, uid, and the labels other nodes select by). Unknown fields pass through: a
 * newer Calico may have put them there. IPAM records are stored as they are, objects of Kubernetes as what they are there.
 */

import { randomUUID } from "node:crypto";
import { API_VERSION } from "../crd-schemas/kinds.ts";
import type { Revision, Value } from "./datastore.ts";
import { type Key, type Kind, key } from "./key.ts";
import { isIpamKind, isKubernetesKind } from "./layout.ts";
import { annotateName, effectiveName, isTieredPolicy, withoutNameAnnotation } from "./policy-name.ts";

const TIER_LABEL = "projectcalico.org/tier";
const NAMESPACE_LABEL = "projectcalico.org/namespace";
const ORCHESTRATOR_LABEL = "projectcalico.org/orchestrator";

export interface Stamps {
  /** Milliseconds since the epoch. */
  now(): number;
  uuid(): string;
}

export const systemStamps: Stamps = { now: Date.now, uuid: randomUUID };

/** What a new object gets that nobody gave it. */
export function withCreationStamps(kind: Kind, value: Value, stamps: Stamps): Value {
  if (isIpamKind(kind)) return value;
  const metadata = value.metadata ?? {};
  return {
    ...value,
    metadata: {
      ...metadata,
      uid: metadata.uid || stamps.uuid(),
      creationTimestamp: metadata.creationTimestamp || rfc3339(stamps.now()),
    },
  };
}

/** The text to store for `value`. `storedName` differs from the key's name only for policies of older Calicos. */
export function encodeValue(k: Key, value: Value, storedName: string = k.name): string {
  if (isIpamKind(k.kind)) return JSON.stringify(value);
  const { resourceVersion: _, selfLink: __, ...metadata } = value.metadata ?? {};
  metadata.name = storedName;
  if (k.namespace !== undefined) metadata.namespace = k.namespace;
  if (isKubernetesKind(k.kind)) return JSON.stringify({ ...value, metadata });
  if (isTieredPolicy(k.kind)) {
    metadata.annotations = annotateName(metadata.annotations, k.name);
    metadata.labels = { ...metadata.labels, [TIER_LABEL]: value.spec?.tier || "default" };
  }
  if (k.kind === "WorkloadEndpoint") {
    metadata.labels = { ...metadata.labels, [NAMESPACE_LABEL]: k.namespace };
    if (value.spec?.orchestrator) metadata.labels[ORCHESTRATOR_LABEL] = value.spec.orchestrator;
  }
  return JSON.stringify({ ...value, kind: k.kind, apiVersion: API_VERSION, metadata });
}

/**
 * What `text`, found under `stored`, is.
 * @throws Error if the text is no JSON object.
 */
export function decodeValue<K extends Kind>(
  stored: Key<K>,
  text: string,
  revision: Revision,
): { key: Key<K>; value: Value } {
  // Calico before 3.0 wrote affinities without a value: they are confirmed.
  if (stored.kind === "BlockAffinity" && text === "") {
    return { key: stored, value: { state: "confirmed", deleted: false } };
  }
  const value = stored.kind === "IPAMBlock" ? parseExactly(text) : JSON.parse(text);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Error("not a JSON object");
  }
  if (isIpamKind(stored.kind)) return { key: stored, value };
  const metadata = { ...value.metadata, name: stored.name, resourceVersion: revision };
  if (stored.namespace !== undefined) metadata.namespace = stored.namespace;
  if (isKubernetesKind(stored.kind)) return { key: stored, value: { ...value, metadata } };
  let own = stored;
  if (isTieredPolicy(stored.kind)) {
    own = key(stored.kind, effectiveName(stored.name, value), stored.namespace);
    metadata.name = own.name;
    const annotations = withoutNameAnnotation(metadata.annotations);
    if (annotations === undefined) delete metadata.annotations;
    else metadata.annotations = annotations;
    metadata.labels = { [TIER_LABEL]: value.spec?.tier || "default", ...metadata.labels };
  }
  return { key: own, value: { ...value, kind: stored.kind, apiVersion: API_VERSION, metadata } };
}

/** An integer that is perhaps too long for a JavaScript number (or a text that looks like one, which costs only time). */
const LONG_INTEGER = /[:[,]\s*-?(?:9\d{15}|\d{17})/;

/**
 * Integers that no JavaScript number holds, as bigints: Calico counts a block's writes from the time in nanoseconds, and a
 * rounded count written back would look like another writer's to it. Looking at each value makes parsing ten times
 * slower, so it is done only to blocks that have such numbers: Calico's, not ours (`test/bench/ipam.ts`).
 */
function parseExactly(text: string): Value {
  return LONG_INTEGER.test(text) ? JSON.parse(text, exactInteger as Reviver) : JSON.parse(text);
}

type Reviver = Parameters<typeof JSON.parse>[1];

function exactInteger(_key: string, value: unknown, context: { readonly source?: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value) || !/^-?\d+$/.test(context.source ?? ""))
    return value;
  return BigInt(context.source as string);
}

/** Kubernetes' timestamps: UTC, whole seconds. */
function rfc3339(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;
}
