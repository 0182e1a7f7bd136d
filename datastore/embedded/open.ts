/** The embedded datastore: resources over the SQLite store. */

import { KeyValueDatastore, type KeyValueDatastoreOptions } from "../key-value-datastore.ts";
import { type EmbeddedOptions, EmbeddedStore } from "./store.ts";

/** Opens the file (made if need be) in some 5 ms. @throws DatastoreError Unavailable, Unauthorized, Corrupt, Full, NotSupported */
export async function openEmbedded(
  options: EmbeddedOptions & KeyValueDatastoreOptions = {},
): Promise<KeyValueDatastore> {
  const store = new EmbeddedStore(options);
  await store.open();
  return new KeyValueDatastore(store, options);
}
