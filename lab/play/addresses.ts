/**
 * A recorded state names addresses of its own pods; in a lab these pods have other addresses. Which CIDRs of the lab
 * mean the same? Those that hold the pods the recorded one held, and no other pod. Pure.
 */

import {
  type Cidr,
  cidr,
  cidrOf,
  cidrSize,
  cidrVersion,
  contains,
  isHostCidr,
  networkAddress,
  nthAddress,
  overlaps,
  prefixLength,
} from "../../net/cidr.ts";
import { type Ip, ipVersion } from "../../net/ip.ts";

/** TEST-NET-3 and the documentation prefix: what stands for addresses that are nobody's. */
const NOBODY: Readonly<Record<4 | 6, Cidr>> = { 4: cidr("203.0.113.0/24"), 6: cidr("2001:db8::/32") };

export interface MovedAddress {
  readonly recorded: Ip;
  readonly here: Ip;
}

export class AddressMap {
  readonly #moved: readonly MovedAddress[];
  readonly #pools: readonly Cidr[];

  /** `pools`: where the lab's pods have their addresses. */
  constructor(moved: readonly MovedAddress[], pools: readonly Cidr[]) {
    this.#moved = moved;
    this.#pools = pools;
  }

  /** As few CIDRs as will do. */
  cidrs(recorded: Cidr): Cidr[] {
    const version = cidrVersion(recorded);
    const all = this.#moved.filter(({ here }) => ipVersion(here) === version);
    const inside = all.filter(({ recorded: address }) => contains(recorded, address)).map(({ here }) => here);
    const outside = all
      .filter(({ recorded: address }) => !contains(recorded, address))
      .map(({ here }) => here);
    if (inside.length === 0) {
      const isFree = this.#pools.every(pool => !overlaps(pool, recorded)) && !holdsAny(recorded, outside);
      return [isFree ? recorded : NOBODY[version]];
    }
    if (outside.length === 0) {
      // Room for exceptions: more than the pods alone.
      const wide = [recorded, ...this.#pools].find(block =>
        inside.every(address => contains(block, address)),
      );
      if (wide) return [wide];
    }
    return cover(inside, outside);
  }

  /** Each CIDR with the exceptions that concern it; Kubernetes wants each to be smaller than what it is an exception from. */
  block(
    recorded: Cidr,
    except: readonly Cidr[],
  ): { readonly cidr: Cidr; readonly except: readonly Cidr[] }[] {
    const exceptions = except.flatMap(each => this.cidrs(each));
    const blocks = this.cidrs(recorded).flatMap(block => {
      const parts = exceptions
        .filter(each => overlaps(block, each))
        .flatMap(each => (contains(each, block) ? halves(block) : [each]));
      return parts.includes(block) ? [] : [{ cidr: block, except: [...new Set(parts)] }];
    });
    // Not none: a list of peers without any means everybody.
    return blocks.length > 0 ? blocks : [{ cidr: NOBODY[cidrVersion(recorded)], except: [] }];
  }
}

/** Of a single address, itself. */
function halves(block: Cidr): Cidr[] {
  if (isHostCidr(block)) return [block];
  const length = prefixLength(block) + 1;
  const lower = cidrOf(networkAddress(block), length);
  return [lower, cidrOf(nthAddress(block, cidrSize(lower)), length)];
}

function holdsAny(block: Cidr, addresses: readonly Ip[]): boolean {
  return addresses.some(address => contains(block, address));
}

/** The largest blocks that hold all of `inside` and none of `outside`. */
function cover(inside: readonly Ip[], outside: readonly Ip[]): Cidr[] {
  const [first] = inside;
  if (first === undefined) return [];
  const block = smallest(inside);
  if (!holdsAny(block, outside)) return [block];
  return halves(block).flatMap(half =>
    cover(
      inside.filter(address => contains(half, address)),
      outside,
    ),
  );
}

function smallest(addresses: readonly Ip[]): Cidr {
  const [first] = addresses as readonly [Ip];
  for (let length = ipVersion(first) === 4 ? 32 : 128; ; length--) {
    const block = cidrOf(first, length);
    if (addresses.every(address => contains(block, address))) return block;
  }
}
