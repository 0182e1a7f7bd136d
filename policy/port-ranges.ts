/** Ranges of ports. */

export interface PortRange {
  readonly low: number;
  readonly high: number;
}

/** Sorted, and those that overlap or touch as one: packet filters have room for few. */
export function mergeRanges(ranges: readonly PortRange[]): PortRange[] {
  const merged: { low: number; high: number }[] = [];
  for (const { low, high } of ranges.toSorted((a, b) => a.low - b.low)) {
    const last = merged.at(-1);
    if (last && low <= last.high + 1) last.high = Math.max(last.high, high);
    else merged.push({ low, high });
  }
  return merged;
}
