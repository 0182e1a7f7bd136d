/**
 * The port numbers as rules see them: cut wherever a rule begins or ends to mean them. Within one interval no
 * rule tells two ports apart, so one port of it speaks for all.
 */

import type { PortRange } from "../port-ranges.ts";

/** 0 is a number, but no port. */
const FIRST = 1;
const LAST = 65535;

export const ALL_PORTS: PortRange = { low: FIRST, high: LAST };

/** In order, without gaps, from the first port to the last; one interval where nothing cuts. */
export function portIntervals(ranges: Iterable<PortRange>): PortRange[] {
  const starts = new Set<number>([FIRST]);
  for (const { low, high } of ranges) {
    if (low > FIRST) starts.add(low);
    if (high < LAST) starts.add(high + 1);
  }
  const sorted = [...starts].sort((a, b) => a - b);
  return sorted.map((low, i) => ({ low, high: (sorted[i + 1] ?? LAST + 1) - 1 }));
}

/** `80`, `1-65535`. */
export function portRangeText({ low, high }: PortRange): string {
  return low === high ? String(low) : `${low}-${high}`;
}
