/**
 * Whether the kernel agrees: felix of this host tells how often each rule in its kernel has matched, so whether the
 * rules of a path are there at all, and whether they meet packets. A socket answers for its own host only.
 */

import type { RuleCounter } from "../../../felix/dataplane/packet-filter.ts";
import type { AskedEnd, AskedRules } from "./path.ts";

/** What felix said. */
export interface KernelCounters {
  readonly node: string;
  /** `nftables`, `iptables`. */
  readonly packetFilter?: string;
  readonly counters: readonly RuleCounter[];
}

export interface KernelView {
  readonly node?: string;
  readonly packetFilter?: string;
  /** Undefined where nothing of the path is in that kernel, or nobody answers. */
  readonly agrees?: boolean;
  /** What the kernel lacks or has too much of; or why it was not asked. */
  readonly differences: readonly string[];
  /** Of a rule on the path, where this kernel has it. */
  readonly counter: (end: AskedEnd, asked: AskedRules, rule: number) => RuleCounter | undefined;
}

/** `nodeOf`: the host whose kernel enforces what is asked at an end; undefined for one that is unknown. */
export function kernelView(
  path: readonly AskedEnd[],
  nodeOf: (end: AskedEnd) => string | undefined,
  answer: KernelCounters | string,
): KernelView {
  if (typeof answer === "string") return { differences: [answer], counter: () => undefined };
  const known = new Map(answer.counters.map(counter => [keyOf(counter), counter]));
  const perList = Map.groupBy(answer.counters, ({ kind, name, direction }) => `${kind} ${name} ${direction}`);
  const here = path.filter(end => nodeOf(end) === answer.node);
  const differences = here.flatMap(end =>
    [...end.tiers.flatMap(({ policies }) => policies), ...end.profiles].flatMap(asked => {
      const found = perList.get(`${asked.kind} ${asked.name} ${end.direction}`) ?? [];
      return difference(asked, new Set(found.map(({ rule }) => rule)));
    }),
  );
  const { node, packetFilter } = answer;
  return {
    node,
    ...(packetFilter !== undefined && { packetFilter }),
    ...(here.length > 0 && { agrees: differences.length === 0 }),
    differences: [...new Set(differences)],
    counter: (end, { kind, name }, rule) =>
      nodeOf(end) === node ? known.get(keyOf({ kind, name, direction: end.direction, rule })) : undefined,
  };
}

function keyOf({
  kind,
  name,
  direction,
  rule,
}: Pick<RuleCounter, "kind" | "name" | "direction" | "rule">): string {
  return `${kind} ${name} ${direction} ${rule}`;
}

/** Rules that no packet of a version in use can match are in no kernel, so only those that matched must be there. */
function difference({ kind, name, rules, matched }: AskedRules, found: ReadonlySet<number>): string[] {
  if (rules > 0 && found.size === 0) return [`the kernel does not have ${kind} ${name}`];
  const missing = matched.filter(({ rule }) => !found.has(rule));
  const extra = [...found].filter(rule => rule >= rules);
  return [
    ...missing.map(({ rule }) => `the kernel does not have rule ${rule} of ${kind} ${name}`),
    ...extra.map(rule => `the kernel has a rule ${rule} of ${kind} ${name}, which is not in the datastore`),
  ];
}
