/**
 * What the overlay reads of an IPAM block: whose it is, and which of its addresses are used elsewhere than at its
 * owner's (borrowed, or left over from an owner that gave the block up).
 */

import { attributeAt, isCooling } from "../../../ipam/block.ts";
import { type AllocationBlock, nodeOf } from "../../../ipam/records.ts";
import { type Cidr, nthAddress } from "../../../net/cidr.ts";
import type { Ip } from "../../../net/ip.ts";

export interface BlockView {
  readonly cidr: Cidr;
  /** The node that the block as a whole is at. */
  readonly node: string | undefined;
  /** Nodes of addresses that are not there. */
  readonly elsewhere: ReadonlyMap<Ip, string>;
}

export function blockView(block: AllocationBlock): BlockView {
  const { cidr, affinity } = block;
  // Of load balancers: their addresses are at no node.
  if (affinity !== null && nodeOf(affinity) === undefined)
    return { cidr, node: undefined, elsewhere: new Map() };
  const node = affinity === null ? undefined : nodeOf(affinity);
  const elsewhere = new Map<Ip, string>();
  // Most blocks have nothing borrowed: then their attributes say so, and the addresses need not be gone through.
  const isElsewhere = block.attributes.some(
    ({ secondary }) => secondary?.["node"] && secondary["node"] !== node,
  );
  for (let ordinal = 0; isElsewhere && ordinal < block.allocations.length; ordinal++) {
    const attribute = attributeAt(block, ordinal);
    const user = attribute?.secondary?.["node"];
    if (user && user !== node && !isCooling(attribute)) elsewhere.set(nthAddress(cidr, ordinal), user);
  }
  return { cidr, node, elsewhere };
}
