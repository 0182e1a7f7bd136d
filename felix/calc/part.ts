/**
 * A part of the calculation that needs nothing of the others: some kinds of resources in, some fields of
 * {@link Changes} out. The graph follows its kinds in the datastore and asks it with every hand-over.
 */

import type { Value } from "../../datastore/datastore.ts";
import type { Key, Kind } from "../../datastore/key.ts";
import type { Changes } from "./changes.ts";
import type { FelixConfig } from "./config.ts";

export interface GraphPart {
  readonly kinds: readonly Kind[];
  /** Once, before the first `drain`. */
  configure?(config: FelixConfig): void;
  /**
   * Resources are valid; IPAM's records are as they are stored. Undefined: deleted, or makes no sense.
   * @throws what the value cannot be read for: it is reported, and `set` is called again with undefined
   */
  set(key: Key, value: Value | undefined): void;
  /** What changed since the last call; sets are added to those of rules. */
  drain(): Partial<Changes>;
}
