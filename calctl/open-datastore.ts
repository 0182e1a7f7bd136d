/** The datastore that a configuration file or the environment names. */

import { resolve } from "node:path";
import { connect, datastoreConfig } from "../datastore/config.ts";
import type { Datastore } from "../datastore/datastore.ts";
import type { Context } from "./context.ts";

/** @throws ConfigError, DatastoreError */
export async function openDatastore(context: Context, configFile: string | undefined): Promise<Datastore> {
  const file = configFile === undefined ? undefined : resolve(context.cwd, configFile);
  return connect(datastoreConfig({ env: context.env, configFile: file }), { clock: context.clock });
}
