/** What commands work on: the validated resources of a cluster, and beneath them the datastore itself. */

import { CalicoClient } from "../datastore/client.ts";
import type { Datastore } from "../datastore/datastore.ts";
import { addressRelease } from "./addresses.ts";
import type { Context } from "./context.ts";

export interface Connection {
  readonly datastore: Datastore;
  readonly client: CalicoClient;
  close(): Promise<void>;
}

/** Opens the datastore that `configFile` (or the default one, if it exists) or else the environment names. */
export async function openConnection(context: Context, configFile: string | undefined): Promise<Connection> {
  const { connect, datastoreConfig } = await import("../datastore/config.ts");
  const datastore = await connect(datastoreConfig({ env: context.env, configFile }), {
    clock: context.clock,
  });
  return connectionTo(datastore, context);
}

export function connectionTo(datastore: Datastore, { clock }: Pick<Context, "clock">): Connection {
  const client = new CalicoClient(datastore, { addresses: addressRelease(datastore, clock), clock });
  return { datastore, client, close: () => datastore.close() };
}
