/**
 * The decision process (RFC 4271 9.1.2.2 with 4456 9), on the paths of one prefix.
 *
 * The steps are a list, worked off in order until one path is left; {@link explain} works off the same list and notes who lost where.
 * Where the step named `multipath` comes, the paths left are equally good (ECMP). LOCAL_PREF goes before
 * local origination, as everywhere: a route learned with a higher preference can take over from our own.
 *
 * MED is compared by elimination, not pairwise, so the outcome does not depend on the order of arrival.
 */

import { Trait } from "../message/attribute-scanner.ts";
import type { DecisionStep } from "../route.ts";
import type { AttributeTable } from "./attribute-table.ts";
import type { Source } from "./source.ts";

/** What there is to choose from: an attribute set, and the neighbor's name for the path. */
export interface Candidate {
  readonly set: number;
  readonly pathId: number;
}

export interface Decision<C extends Candidate> {
  readonly best: C;
  /** The equally good paths, `best` first. */
  readonly equal: readonly C[];
}

/** What deciding needs to know besides the paths. */
export interface DecisionContext {
  readonly sets: AttributeTable;
  readonly sourceOf: (index: number) => Source;
  /** What it costs to reach a next hop; absent: every next hop is equally near. */
  readonly interiorCost?: ((nextHop: string) => number) | undefined;
  readonly multipath: {
    /** At most so many equally good paths. */
    readonly maxPaths: number;
    /** AS paths need only be of equal length; otherwise the neighbor AS must be the same, too. */
    readonly relaxAsPath: boolean;
  };
}

interface Step {
  readonly name: DecisionStep;
  /** Lowest wins. */
  readonly rank: (path: Candidate, context: DecisionContext) => number;
}

/** Up to here paths that rank the same share the traffic. */
const BEFORE_MED: readonly Step[] = [
  // RFC 9494 4.2: kept for want of better.
  { name: "long-lived-stale", rank: ({ set }, { sets }) => sets.traitsOf(set) & Trait.llgrStale },
  { name: "local-pref", rank: ({ set }, { sets }) => -sets.localPrefOf(set) },
  { name: "local-origin", rank: ({ set }, { sets }) => (sets.sourceOf(set) === 0 ? 0 : 1) },
  { name: "as-path-length", rank: ({ set }, { sets }) => sets.asPathLengthOf(set) },
  { name: "origin", rank: ({ set }, { sets }) => sets.originOf(set) },
];
const AFTER_MED: readonly Step[] = [
  { name: "external", rank: (path, context) => (source(path, context).type === "internal" ? 1 : 0) },
  { name: "interior-cost", rank: interiorCost },
];
const TIE_BREAKERS: readonly Step[] = [
  {
    name: "router-id",
    rank: (path, context) => {
      const originator = context.sets.originatorIdOf(path.set);
      return originator >= 0 ? originator : source(path, context).routerId;
    },
  },
  { name: "cluster-list-length", rank: ({ set }, { sets }) => sets.clusterListLengthOf(set) },
];

/** `paths` must not be empty; it is not changed. */
export function decide<C extends Candidate>(paths: readonly C[], context: DecisionContext): Decision<C> {
  const [only] = paths;
  if (only === undefined) throw new RangeError("no paths to decide between");
  if (paths.length === 1) return { best: only, equal: paths };
  let left = paths;
  for (const step of BEFORE_MED) left = keepLowest(left, step, context);
  left = eliminateByMed(left, context);
  for (const step of AFTER_MED) left = keepLowest(left, step, context);
  if (left.length === 1) return { best: left[0]!, equal: left };
  const sorted = [...left].sort((a, b) => tieBreak(a, b, context));
  return { best: sorted[0]!, equal: multipath(sorted, context) };
}

/** The paths in the order in which they would win: the best, the best of the others, and so on. */
export function* ranked<C extends Candidate>(paths: readonly C[], context: DecisionContext): Generator<C> {
  for (let left = paths; left.length > 0; ) {
    const { best } = decide(left, context);
    yield best;
    left = left.filter(path => path !== best);
  }
}

/** Every path with the step at which it lost; undefined for the best one. In the order in which they would win. */
export function explain<C extends Candidate>(
  paths: readonly C[],
  context: DecisionContext,
): { readonly path: C; readonly lostAt: DecisionStep | undefined }[] {
  const lost: { path: C; lostAt: DecisionStep | undefined }[] = [];
  let left = paths;
  const note = (name: DecisionStep, kept: readonly C[]) => {
    const losers = [
      ...ranked(
        left.filter(path => !kept.includes(path)),
        context,
      ),
    ];
    lost.unshift(...losers.map(path => ({ path, lostAt: name })));
    left = kept;
  };
  for (const step of BEFORE_MED) note(step.name, keepLowest(left, step, context));
  note("med", eliminateByMed(left, context));
  for (const step of AFTER_MED) note(step.name, keepLowest(left, step, context));
  const sorted = [...left].sort((a, b) => tieBreak(a, b, context));
  const tied = sorted.map((path, i) => ({
    path,
    lostAt: i === 0 ? undefined : tieBreaker(sorted[0]!, path, context),
  }));
  return [...tied, ...lost];
}

function source({ set }: Candidate, { sets, sourceOf }: DecisionContext): Source {
  return sourceOf(sets.sourceOf(set));
}

function interiorCost({ set }: Candidate, { sets, interiorCost: costOf }: DecisionContext): number {
  if (costOf === undefined) return 0;
  const [nextHop] = sets.decode(set).nextHops;
  return nextHop === undefined ? 0 : costOf(nextHop);
}

function keepLowest<C extends Candidate>(
  paths: readonly C[],
  { rank }: Step,
  context: DecisionContext,
): readonly C[] {
  if (paths.length === 1) return paths;
  let lowest = rank(paths[0]!, context);
  let isTie = true;
  for (let i = 1; i < paths.length; i++) {
    const value = rank(paths[i]!, context);
    if (value === lowest) continue;
    isTie = false;
    if (value < lowest) lowest = value;
  }
  return isTie ? paths : paths.filter(path => rank(path, context) === lowest);
}

function eliminateByMed<C extends Candidate>(paths: readonly C[], { sets }: DecisionContext): readonly C[] {
  if (paths.length === 1) return paths;
  return paths.filter(
    ({ set }) =>
      !paths.some(
        other =>
          sets.neighborAsOf(other.set) === sets.neighborAsOf(set) && sets.medOf(other.set) < sets.medOf(set),
      ),
  );
}

/** The paths that share the traffic with the first. */
function multipath<C extends Candidate>(
  sorted: readonly C[],
  { sets, multipath: { maxPaths, relaxAsPath } }: DecisionContext,
): readonly C[] {
  const asn = sets.neighborAsOf(sorted[0]!.set);
  const alike = relaxAsPath ? sorted : sorted.filter(({ set }) => sets.neighborAsOf(set) === asn);
  return alike.length > maxPaths ? alike.slice(0, maxPaths) : alike;
}

function tieBreak(a: Candidate, b: Candidate, context: DecisionContext): number {
  for (const { rank } of TIE_BREAKERS) {
    const difference = rank(a, context) - rank(b, context);
    if (difference !== 0) return difference;
  }
  return (
    compareBytes(source(a, context).addressBytes, source(b, context).addressBytes) || a.pathId - b.pathId
  );
}

/** The step at which `path` loses against `best`, both left until the tie-breakers. */
function tieBreaker(best: Candidate, path: Candidate, context: DecisionContext): DecisionStep {
  const step = TIE_BREAKERS.find(({ rank }) => rank(best, context) !== rank(path, context));
  if (step !== undefined) return step.name;
  const isSameNeighbor = context.sets.sourceOf(best.set) === context.sets.sourceOf(path.set);
  return isSameNeighbor ? "path-id" : "neighbor-address";
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length) return a.length - b.length;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return 0;
}
