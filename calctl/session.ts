/** A connection for the length of one command, to a cluster that this client fits. */

import type { Datastore } from "../datastore/datastore.ts";
import { isDatastoreError } from "../datastore/errors.ts";
import { key } from "../datastore/key.ts";
import type { Connection } from "./connection.ts";
import type { Context } from "./context.ts";
import { CommandError } from "./errors.ts";
import type { DatastoreOptions } from "./options.ts";
import { versionMismatch } from "./version.ts";

/** @throws CommandError VERSION_MISMATCH, and whatever `work` throws */
export async function withConnection<T>(
  context: Context,
  options: DatastoreOptions,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const datastore = await context.openDatastore(context, options.config);
  try {
    if (!options.allowVersionMismatch) await checkVersion(datastore);
    // Loaded late: the schemas of all kinds come with it, which `version` has no use for.
    const { connectionTo } = await import("./connection.ts");
    return await work(connectionTo(datastore, context.clock));
  } finally {
    await datastore.close();
  }
}

/** The object in which a cluster says what it is; undefined where there is none yet. */
export async function clusterInformation(datastore: Datastore): Promise<ClusterInformationSpec | undefined> {
  try {
    return (await datastore.get(key("ClusterInformation", "default"))).value.spec;
  } catch (error) {
    if (isDatastoreError(error, "NOT_FOUND")) return undefined;
    throw error;
  }
}

export interface ClusterInformationSpec {
  readonly calicoVersion?: string;
  readonly clusterType?: string;
  readonly clusterGUID?: string;
  readonly datastoreReady?: boolean;
}

async function checkVersion(datastore: Datastore): Promise<void> {
  const mismatch = versionMismatch((await clusterInformation(datastore))?.calicoVersion);
  if (mismatch !== undefined) throw new CommandError("VERSION_MISMATCH", mismatch);
}
