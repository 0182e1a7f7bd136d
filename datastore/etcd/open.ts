/** The etcd datastore: resources over etcd, in Calico's layout. */

import { KeyValueDatastore, type KeyValueDatastoreOptions } from "../key-value-datastore.ts";
import type { EtcdOptions } from "./options.ts";
import { EtcdStore } from "./store.ts";

/** Connects at the first request, which then says what is wrong if it cannot. */
export async function openEtcd(options: EtcdOptions & KeyValueDatastoreOptions): Promise<KeyValueDatastore> {
  return new KeyValueDatastore(await EtcdStore.open(options), options);
}
