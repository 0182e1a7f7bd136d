/**
 * Splitting a pool into equal parts, so that parts of it can be given to different nodes or zones: the plan, as
 * data. Blocks and addresses stay as they are, because the parts have the pool's block size and no part is
 * smaller than a block. `calctl ipam split` carries it out with the datastore locked: no address may be assigned
 * between the deletion of the old pool and the creation of the new ones.
 */

import type { Value } from "../datastore/datastore.ts";
import { type Cidr, cidrSize, nthAddress, prefixLength } from "../net/cidr.ts";
import { IpamError, IpamErrorCode } from "./errors.ts";
import { parsePool } from "./pools.ts";

export interface SplitPlan {
  /** Name of the pool to disable first and to delete once the others exist. */
  readonly replace: string;
  /** IPPool resources. */
  readonly create: Value[];
}

/** @throws IpamError INVALID_CONFIG with a sentence for the user */
export function planSplit(pool: Value, parts: number): SplitPlan {
  const parsed = parsePool(pool);
  if (!parsed) throw refusal(`pool ${pool.metadata.name} has no valid CIDR`);
  if (!Number.isInteger(parts) || parts < 2 || (parts & (parts - 1)) !== 0) {
    throw refusal(`a pool is split into a power of two of parts, not ${parts}`);
  }
  const length = prefixLength(parsed.cidr) + Math.log2(parts);
  if (length > parsed.blockSize) {
    throw refusal(
      `pool ${parsed.name} (${parsed.cidr}) has no ${parts} parts of at least a /${parsed.blockSize} block`,
    );
  }
  const size = cidrSize(parsed.cidr) / BigInt(parts);
  return {
    replace: parsed.name,
    create: Array.from({ length: parts }, (_, i) => {
      const cidr = `${nthAddress(parsed.cidr, size * BigInt(i))}/${length}` as Cidr;
      const { labels, annotations } = pool.metadata;
      return {
        ...pool,
        metadata: {
          name: `split-${parsed.name}-${i}`,
          ...(labels && { labels }),
          ...(annotations && { annotations }),
        },
        spec: {
          ...pool.spec,
          cidr,
          blockSize: parsed.blockSize,
          disabled: false,
        },
      };
    }),
  };
}

function refusal(message: string): IpamError {
  return new IpamError(IpamErrorCode.InvalidConfig, message);
}
