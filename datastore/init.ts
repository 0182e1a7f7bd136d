/**
 * What every cluster must hold before anything else works: the description of itself and the three protected
 * tiers. Whoever comes first writes it; all can try at once, any number of times.
 */

import { randomUUID } from "node:crypto";
import { PROTECTED_TIERS } from "../crd-schemas/kinds.ts";
import type { Datastore } from "./datastore.ts";
import { DatastoreErrorCode, isDatastoreError } from "./errors.ts";
import { key } from "./key.ts";

export interface InitOptions {
  /** Comma-separated; added to what others have said. */
  readonly clusterType?: string;
  /** Left alone if not given: a real calicoctl then does not compare versions. */
  readonly calicoVersion?: string;
}

const CLUSTER = key("ClusterInformation", "default");

export async function ensureInitialized(datastore: Datastore, options: InitOptions = {}): Promise<void> {
  await describeCluster(datastore, options);
  for (const [name, spec] of Object.entries(PROTECTED_TIERS)) {
    await datastore.create(key("Tier", name), { spec: { ...spec } }).catch(error => {
      // A node may be allowed to use tiers, but not to make them.
      if (isDatastoreError(error, DatastoreErrorCode.AlreadyExists)) return;
      if (isDatastoreError(error, DatastoreErrorCode.Unauthorized)) return;
      throw error;
    });
  }
}

async function describeCluster(datastore: Datastore, options: InitOptions): Promise<void> {
  for (;;) {
    try {
      const { value, revision } = await datastore.get(CLUSTER);
      const spec = described(value.spec ?? {}, options);
      if (JSON.stringify(spec) === JSON.stringify(value.spec ?? {})) return;
      await datastore.update(CLUSTER, { ...value, spec }, revision);
      return;
    } catch (error) {
      if (isDatastoreError(error, DatastoreErrorCode.Conflict)) continue;
      if (!isDatastoreError(error, DatastoreErrorCode.NotFound)) throw error;
    }
    try {
      await datastore.create(CLUSTER, { spec: described({}, options) });
      return;
    } catch (error) {
      if (!isDatastoreError(error, DatastoreErrorCode.AlreadyExists)) throw error;
    }
  }
}

interface ClusterSpec {
  clusterGUID?: string;
  clusterType?: string;
  calicoVersion?: string;
  /** False is an operator's lock: it is never lifted here. */
  datastoreReady?: boolean;
}

function described(spec: ClusterSpec, { clusterType, calicoVersion }: InitOptions): ClusterSpec {
  const types = [spec.clusterType, clusterType].flatMap(text => text?.split(",") ?? []);
  const merged = [...new Set(types.map(type => type.trim()).filter(type => type !== ""))].join(",");
  return {
    ...spec,
    clusterGUID: spec.clusterGUID || randomUUID().replaceAll("-", ""),
    ...(merged !== "" && { clusterType: merged }),
    ...(calicoVersion !== undefined && { calicoVersion }),
    datastoreReady: spec.datastoreReady ?? true,
  };
}
