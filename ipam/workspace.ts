/** What every operation of one allocator works with. */

import type { Logger } from "../daemon/log.ts";
import type { Blocks } from "./blocks.ts";
import type { Retry } from "./retry.ts";
import type { IpamStore } from "./store.ts";
import type { SurroundingsCache } from "./surroundings.ts";

export interface Workspace {
  readonly store: IpamStore;
  readonly blocks: Blocks;
  readonly surroundings: SurroundingsCache;
  readonly retry: Retry;
  readonly logger: Logger | undefined;
}
