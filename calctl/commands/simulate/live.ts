/**
 * The live state: what policy depends on, as the datastore has it, and as it would be after a change. A change is
 * carried out on a copy in memory by the same client that apply and delete use, so that it means exactly what it would
 * mean, and is refused where it would be refused.
 */

import { type Resource, validateResource } from "../../../crd-schemas/index.ts";
import { CalicoClient, type Draft } from "../../../datastore/client.ts";
import type { Datastore } from "../../../datastore/datastore.ts";
import { DatastoreErrorCode, isDatastoreError } from "../../../datastore/errors.ts";
import { keyText, type ResourceKind } from "../../../datastore/key.ts";
import { memoryDatastore } from "../../../datastore/memory.ts";
import { type ConvertedResource, convertDocuments } from "../../../policy/convert/documents.ts";
import { selectorProblem } from "../../../policy/selector/index.ts";
import { type DocumentState, stateOfResources } from "../../../policy/state.ts";
import type { Context } from "../../context.ts";
import type { UserResource } from "../../documents/resources.ts";

export const POLICY_KINDS = [
  "Tier",
  "NetworkPolicy",
  "GlobalNetworkPolicy",
  "StagedNetworkPolicy",
  "StagedGlobalNetworkPolicy",
  "StagedKubernetesNetworkPolicy",
  "Profile",
  "NetworkSet",
  "GlobalNetworkSet",
  "Node",
  "HostEndpoint",
  "WorkloadEndpoint",
  "FelixConfiguration",
] as const satisfies readonly ResourceKind[];

const SLICES = "KubernetesEndpointSlice";

/** All that policy depends on, in a store of its own. @throws DatastoreError */
export async function copyOf(live: Datastore): Promise<Datastore> {
  const copy = memoryDatastore();
  for (const kind of [...POLICY_KINDS, SLICES] as const) {
    const { entries } = await live.list({ kind });
    // Some things are in every store from its beginning.
    for (const entry of entries) await copy.create(entry.key, entry.value).catch(unlessThere);
  }
  return copy;
}

/** `documents`: by resource, from which document of a change it came. Resources that are not valid are in no agent's force: named and left out. */
export async function stateIn(
  context: Context,
  datastore: Datastore,
  documents: ReadonlyMap<string, ConvertedResource> = new Map(),
): Promise<DocumentState> {
  const resources: ConvertedResource[] = [];
  for (const kind of POLICY_KINDS) {
    const { entries } = await datastore.list({ kind });
    for (const { key: at, value } of entries) {
      const { resource, problems } = validateResource(value, {
        parseSelector: selectorProblem,
        unknownFields: "keep",
      });
      if (problems) {
        context.stderr.write(
          `warning: left out, as it is not valid: ${keyText(at)}: ${problems[0]!.message}\n`,
        );
        continue;
      }
      const { document, origins } = documents.get(resourceText(resource)) ?? {};
      resources.push({ resource, document, ...(origins && { origins }) });
    }
  }
  const slices = (await datastore.list({ kind: SLICES })).entries.map(({ value }) => ({
    ...value,
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
  }));
  const { services } = convertDocuments(slices);
  return stateOfResources({ resources, services, hostPods: [], problems: [] });
}

/** What names a resource among all kinds. */
export function resourceText({ kind, metadata }: Resource): string {
  return `${kind} ${metadata.namespace ?? ""}/${metadata.name}`;
}

export function isPolicyKind(kind: string): boolean {
  return (POLICY_KINDS as readonly string[]).includes(kind);
}

/** Applies the resource to the copy, or deletes it. @throws ValidationError, DatastoreError as the client does */
export async function changeCopy(
  copy: Datastore,
  { resource, document }: ConvertedResource,
  remove: boolean,
): Promise<void> {
  const client = new CalicoClient(copy);
  const { kind, metadata } = resource as UserResource;
  // What only follows from others, such as the profile of a pod's namespace, is as the cluster has it.
  const isImplied = document === undefined;
  if (remove) {
    if (!isImplied) await client.delete(kind, metadata.name, metadata.namespace);
    return;
  }
  // The revision is one of the cluster's, not of the copy's.
  const { resourceVersion: _, ...own } = metadata;
  const draft = { ...resource, metadata: own } as Draft<ResourceKind>;
  if (!isImplied) {
    await client.apply(draft);
    return;
  }
  await client.create(draft).catch(unlessThere);
}

function unlessThere(error: unknown): void {
  if (!isDatastoreError(error, DatastoreErrorCode.AlreadyExists)) throw error;
}
