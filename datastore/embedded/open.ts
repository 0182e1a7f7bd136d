/** The embedded datastore: resources over the SQLite store. */

import { KeyValueDatastore, type KeyValueDatastoreOptions } from "../key-value-datastore.ts";
import { type EmbeddedOptions, EmbeddedStore } from "./store.ts";

/** Opens the file (made if need be) in some 5 ms; one that must exist, at its first use. @throws DatastoreError Unavailable, Unauthorized, Corrupt, Full, NotSupported */
export async function openEmbedded(
  options: EmbeddedOptions & KeyValueDatastoreOptions = {},
): Promise<KeyValueDatastore> {
  const store = new EmbeddedStore(options);
  if (!options.mustExist) await store.open();
  return new KeyValueDatastore(store, options);
}
