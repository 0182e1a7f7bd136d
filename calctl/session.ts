/** A connection for the length of one command, to a cluster that this client fits. */

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
  const connection = await context.connect(context, options.config);
  try {
    if (!options.allowVersionMismatch) await checkVersion(connection);
    return await work(connection);
  } finally {
    await connection.close();
  }
}

/** The object in which a cluster says what it is; undefined where there is none yet. */
export async function clusterInformation({
  datastore,
}: Connection): Promise<ClusterInformationSpec | undefined> {
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

async function checkVersion(connection: Connection): Promise<void> {
  const mismatch = versionMismatch((await clusterInformation(connection))?.calicoVersion);
  if (mismatch !== undefined) throw new CommandError("VERSION_MISMATCH", mismatch);
}
