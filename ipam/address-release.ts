/** What deleting a pool or a node asks of the allocator (`datastore/removal.ts`). */

import type { AddressRelease } from "../datastore/removal.ts";
import type { IpAllocator } from "./allocator.ts";

export function addressRelease(allocator: IpAllocator): AddressRelease {
  return {
    async releaseAddresses(addresses) {
      await allocator.release(addresses.map(ip => ({ ip })));
    },
    releasePool: pool => allocator.releasePoolAffinities(pool),
    releaseHost: node => allocator.removeHost(node),
  };
}
