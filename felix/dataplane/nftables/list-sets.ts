/**
 * Lists of ports and nets in rules, as sets named by their content. Anonymous sets would be nft's own way, but the kernel
 * finds a set by walking all of the table's, and names an anonymous one by walking them with a parser: with 10,000 of
 * them a load takes 10 s and every change milliseconds. Named by content there are as many as there are different lists.
 */

import { u16 } from "../../../linux/nf-tables/data.ts";
import { type Cidr, cidrVersion } from "../../../net/cidr.ts";
import { mergeRanges, type PortRange } from "../../../policy/port-ranges.ts";
import { netElement } from "./kept-set.ts";
import { digest } from "./names.ts";
import type { ListSet } from "./rule.ts";

const MAX_READABLE = 48;

/** At least one range. */
export function portList(ranges: readonly PortRange[]): ListSet {
  const merged = mergeRanges(ranges);
  const text = merged.map(({ low, high }) => (low === high ? `${low}` : `${low}-${high}`)).join(".");
  const name = `cali-ports-${text.length <= MAX_READABLE ? text : digest(text)}`;
  const interval = merged.some(({ low, high }) => low !== high);
  return {
    set: { name, key: ["inet_service"], ...(interval && { interval }) },
    elements: merged.map(({ low, high }) => ({
      key: u16(low),
      ...(low !== high && { keyEnd: u16(high) }),
    })),
  };
}

/** At least one net, all of one IP version, none within another. */
export function netList(nets: readonly Cidr[]): ListSet {
  const sorted = nets.toSorted();
  const version = cidrVersion(sorted[0] as Cidr);
  return {
    set: {
      name: `cali-nets-${digest(sorted.join(","))}`,
      key: [version === 4 ? "ipv4_addr" : "ipv6_addr"],
      interval: true,
    },
    elements: sorted.map(netElement),
  };
}
