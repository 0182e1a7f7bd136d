/**
 * Rows of a matrix that are the same as sources and as targets put together: policy tells these endpoints apart, but it
 * comes to the same. A thousand pods that their namespaces isolate are as many lines as there are namespaces.
 */

/** What one is to another, as a number; NOBODY where nobody asks, as of a single endpoint and itself. */
export type Cell = (from: number, to: number) => number;

export const NOBODY = 0;

/**
 * Groups of 0 to count - 1, each led by its first. `kindOf` keeps apart what must not be put together. Cost: count^2 for
 * each group.
 */
export function alikeGroups(count: number, cell: Cell, kindOf: (item: number) => string): number[][] {
  const groups: number[][] = [];
  for (let item = 0; item < count; item++) {
    const group = groups.find(
      ([first]) => kindOf(first!) === kindOf(item) && isAlike(first!, item, count, cell),
    );
    if (group) group.push(item);
    else groups.push([item]);
  }
  return groups;
}

function isAlike(a: number, b: number, count: number, cell: Cell): boolean {
  for (let other = 0; other < count; other++) {
    if (other === a || other === b) continue;
    if (cell(a, other) !== cell(b, other) || cell(other, a) !== cell(other, b)) return false;
  }
  // What nobody asks about differs from nothing.
  const within = [cell(a, b), cell(b, a), cell(a, a), cell(b, b)].filter(known => known !== NOBODY);
  return new Set(within).size <= 1;
}
