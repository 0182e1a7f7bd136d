/** Routes we originate, from what the user wrote to path attributes; what is wrong is said by name. */

import { canonicalAddress, familyOfAddress, formatPrefix, parseIpv4, parsePrefix } from "./address.ts";
import { OptionError } from "./errors.ts";
import { FAMILIES, type Family, type LocalRoute, Origin, type PathAttributes } from "./route.ts";

const COMMUNITY_PART_MAX = 0xffff;
const LARGE_PART_MAX = 0xffffffff;

/** Canonical text of a prefix. Throws {@link OptionError}. */
export function localPrefix(text: string): string {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new OptionError("prefix", text, "a prefix such as 10.0.0.0/26");
  return formatPrefix(prefix);
}

/** Throws {@link OptionError}. */
export function localAttributes(route: LocalRoute): PathAttributes {
  const { localPref, med, communities, largeCommunities, extendedCommunities, aggregator } = route;
  checkNumber("localPref", localPref);
  checkNumber("med", med);
  checkParts("communities", communities, 2, COMMUNITY_PART_MAX);
  checkParts("largeCommunities", largeCommunities, 3, LARGE_PART_MAX);
  for (const community of extendedCommunities ?? []) {
    if (/^[0-9a-f]{16}$/i.test(community)) continue;
    throw new OptionError("extendedCommunities", community, "16 hexadecimal digits");
  }
  if (aggregator !== undefined) {
    checkNumber("aggregator.asn", aggregator.asn);
    if (aggregator.asn === 0 || parseIpv4(aggregator.address) === undefined)
      throw new OptionError("aggregator", aggregator, "an AS number and an IPv4 address");
  }
  return {
    origin: route.origin ?? Origin.igp,
    asPath: route.asPath ?? [],
    nextHop: localNextHop(route),
    localPref,
    med,
    communities,
    largeCommunities,
    extendedCommunities,
    ...(route.atomicAggregate && { atomicAggregate: true }),
    ...(aggregator && { aggregator }),
  };
}

function localNextHop({ prefix, nextHop }: LocalRoute): string | undefined {
  if (nextHop === undefined) return undefined;
  const family: Family | undefined = FAMILIES.find(other => other === parsePrefix(prefix)?.family);
  const address = canonicalAddress(nextHop);
  if (address === undefined || address.includes("%") || familyOfAddress(address) !== family) {
    throw new OptionError("nextHop", nextHop, `an address of ${family}`);
  }
  return address;
}

function checkNumber(option: string, value: number | undefined): void {
  if (value === undefined || (Number.isInteger(value) && value >= 0 && value <= LARGE_PART_MAX)) return;
  throw new OptionError(option, value, "a whole number of 32 bits");
}

function checkParts(option: string, list: readonly string[] | undefined, count: number, max: number): void {
  for (const text of list ?? []) {
    const parts = text.split(":");
    const isFine =
      parts.length === count && parts.every(part => /^\d{1,10}$/.test(part) && Number(part) <= max);
    if (!isFine) throw new OptionError(option, text, `${count} numbers up to ${max} with colons between`);
  }
}
