/**
 * The decision process (RFC 4271 9.1.2.2 with 4456 9), on the paths of one prefix.
 *
 * Steps, in order: LOCAL_PREF; local origination; AS_PATH length; ORIGIN; MED among paths from the same AS; external over
 * internal; - here the paths left are equally good (ECMP) - ; lowest ORIGINATOR_ID or router id; shortest CLUSTER_LIST; lowest neighbor
 * address. The interior cost of the next hop is not known here: in the networks this is for every next hop is one hop away.
 *
 * MED is compared by elimination, not pairwise, so the outcome does not depend on the order of arrival.
 */

import type { AttributeSet } from "./attribute-table.ts";
import type { Source } from "./source.ts";

export interface Decision {
  readonly best: AttributeSet;
  /** The equally good paths, `best` first. */
  readonly equal: readonly AttributeSet[];
}

/** `paths` must not be empty; it is not changed. */
export function decide(paths: readonly AttributeSet[], sourceOf: (index: number) => Source): Decision {
  const [only] = paths;
  if (only === undefined) throw new RangeError("no paths to decide between");
  if (paths.length === 1) return { best: only, equal: paths };
  let left = keepLowest(paths, ({ localPref }) => -localPref);
  left = keepLowest(left, ({ source }) => (source === 0 ? 0 : 1));
  left = keepLowest(left, ({ asPathLength }) => asPathLength);
  left = keepLowest(left, ({ originRank }) => originRank);
  left = eliminateByMed(left);
  left = keepLowest(left, ({ source }) => (sourceOf(source).type === "internal" ? 1 : 0));
  if (left.length === 1) return { best: left[0]!, equal: left };
  const equal = [...left].sort((a, b) => tieBreak(a, b, sourceOf));
  return { best: equal[0]!, equal };
}

function keepLowest(
  paths: readonly AttributeSet[],
  rank: (set: AttributeSet) => number,
): readonly AttributeSet[] {
  if (paths.length === 1) return paths;
  let lowest = Number.POSITIVE_INFINITY;
  for (const path of paths) lowest = Math.min(lowest, rank(path));
  return paths.filter(path => rank(path) === lowest);
}

function eliminateByMed(paths: readonly AttributeSet[]): readonly AttributeSet[] {
  if (paths.length === 1) return paths;
  return paths.filter(
    path => !paths.some(other => other.neighborAs === path.neighborAs && other.med < path.med),
  );
}

function tieBreak(a: AttributeSet, b: AttributeSet, sourceOf: (index: number) => Source): number {
  const sourceA = sourceOf(a.source);
  const sourceB = sourceOf(b.source);
  const idA = a.originatorId >= 0 ? a.originatorId : sourceA.routerId;
  const idB = b.originatorId >= 0 ? b.originatorId : sourceB.routerId;
  return (
    idA - idB ||
    a.clusterListLength - b.clusterListLength ||
    compareBytes(sourceA.addressBytes, sourceB.addressBytes)
  );
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length) return a.length - b.length;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return 0;
}
