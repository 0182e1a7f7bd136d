/** The allocator as the client needs it to empty a node or a pool before deleting it. */

import type { Clock } from "../daemon/clock.ts";
import type { Datastore } from "../datastore/datastore.ts";
import type { AddressRelease } from "../datastore/removal.ts";
import { IpAllocator } from "../ipam/allocator.ts";

export function addressRelease(datastore: Datastore, clock: Clock): AddressRelease {
  const allocator = new IpAllocator(datastore, { clock });
  return {
    releaseAddresses: async addresses => {
      await allocator.release(addresses.map(ip => ({ ip })));
    },
    releasePool: pool => allocator.releasePoolAffinities(pool),
    releaseHost: node => allocator.removeHost(node),
  };
}
