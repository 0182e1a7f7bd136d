/**
 * One address outside for each thing that rules can mean by addresses.
 *
 * The blocks that rules and network sets name nest or are apart, so they cut the address space into cells: a
 * block without the blocks within it. All addresses of a cell that belong to no endpoint look the same to every
 * rule, so one of them speaks for all; what is in no block at all is the last cell.
 */

import {
  type Cidr,
  cidr,
  cidrSize,
  cidrVersion,
  contains,
  networkAddress,
  prefixLength,
} from "../../net/cidr.ts";
import { addressBits, bigIntToIp, type Ip, type IpVersion, ipToBigInt } from "../../net/ip.ts";

export interface OutsideAddress {
  /** The smallest named block it lies in; undefined for addresses that no rule names. */
  readonly block: Cidr | undefined;
  readonly address: Ip;
}

const WHOLE = { 4: cidr("0.0.0.0/0"), 6: cidr("::/0") } as const;

/** Blocks that endpoints or smaller blocks fill have no such address. `taken`: the endpoints' own. */
export function outsideAddresses(
  blocks: Iterable<Cidr>,
  version: IpVersion,
  taken: ReadonlySet<Ip>,
): OutsideAddress[] {
  const named = new Set([...blocks].filter(block => cidrVersion(block) === version));
  const nodes = nested([...new Set([WHOLE[version], ...named])]);
  const found: OutsideAddress[] = [];
  for (const { block, children } of nodes) {
    const address = freeAddress(block, children, taken);
    if (address === undefined) continue;
    found.push({ block: named.has(block) ? block : undefined, address });
  }
  return found;
}

interface Node {
  readonly block: Cidr;
  /** The largest blocks within it, in order. */
  readonly children: Cidr[];
}

/** By address, the larger first: so the block around one is the last before it that holds it. */
function nested(blocks: readonly Cidr[]): Node[] {
  const starts = new Map(blocks.map(block => [block, ipToBigInt(networkAddress(block))]));
  const sorted = blocks.toSorted((a, b) => {
    const [x, y] = [starts.get(a)!, starts.get(b)!];
    return x < y ? -1 : x > y ? 1 : prefixLength(a) - prefixLength(b);
  });
  const nodes: Node[] = [];
  const around: Node[] = [];
  for (const block of sorted) {
    while (around.length > 0 && !contains(around.at(-1)!.block, block)) around.pop();
    const node = { block, children: [] };
    around.at(-1)?.children.push(block);
    around.push(node);
    nodes.push(node);
  }
  return nodes;
}

/** The first that is nobody's: not that of the network itself where there is another one. */
function freeAddress(block: Cidr, children: readonly Cidr[], taken: ReadonlySet<Ip>): Ip | undefined {
  const version = cidrVersion(block);
  const network = ipToBigInt(networkAddress(block));
  const end = network + cidrSize(block);
  const usable = prefixLength(block) < addressBits(version) - 1 ? network + 1n : network;
  let from = usable;
  for (const child of [...children, undefined]) {
    const gapEnd = child === undefined ? end : ipToBigInt(networkAddress(child));
    for (let at = from; at < gapEnd; at++) {
      const address = bigIntToIp(at, version);
      if (!taken.has(address)) return address;
    }
    if (child === undefined) break;
    const after = gapEnd + cidrSize(child);
    if (after > from) from = after;
  }
  const first = bigIntToIp(network, version);
  const isFree = usable > network && !taken.has(first) && !children.some(child => contains(child, first));
  return isFree ? first : undefined;
}
