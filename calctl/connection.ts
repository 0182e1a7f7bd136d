/** What commands work on: the validated resources of a cluster, and beneath them the datastore itself. */

import type { Clock } from "../daemon/clock.ts";
import { CalicoClient } from "../datastore/client.ts";
import type { Datastore } from "../datastore/datastore.ts";
import { addressRelease } from "./addresses.ts";

export interface Connection {
  readonly datastore: Datastore;
  readonly client: CalicoClient;
}

export function connectionTo(datastore: Datastore, clock: Clock): Connection {
  return {
    datastore,
    client: new CalicoClient(datastore, { addresses: addressRelease(datastore, clock), clock }),
  };
}
