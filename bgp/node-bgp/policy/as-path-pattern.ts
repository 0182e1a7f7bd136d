/**
 * Patterns over AS paths: regular expressions whose letters are AS numbers.
 *
 *     ^64512 .* [65000-65010 65100]$     64512|64513     ^(64512 64513)+$     ^.{1,3}$     [^64512-65534]
 *
 * A number or a range of them is one AS, `.` any one, `[...]` one of several, `[^...]` one of no several; `* + ? {n} {n,} {n,m}`, `|` and `( )` as
 * usual; spaces separate. Without `^` and `$` the pattern may be found anywhere. An AS_SET is one letter that is each of its members.
 *
 * The pattern is a nondeterministic automaton walked once along the path, all states at a time: no pattern makes a long path slow.
 */

import { OptionError } from "../errors.ts";
import type { AsPathSegment } from "../route.ts";
import { inRanges, type NumberRange, readRange } from "./numbers.ts";

export type AsPathTest = (path: readonly AsPathSegment[]) => boolean;

type AsnTest = (asn: number) => boolean;

type Node =
  | { readonly type: "asn"; readonly test: AsnTest }
  | { readonly type: "sequence" | "choice"; readonly parts: readonly Node[] }
  | { readonly type: "repeat"; readonly part: Node; readonly min: number; readonly max: number };

/** One state: goes on with one AS that passes, or at once to each of `to`. State 0 is the end. */
interface State {
  test: AsnTest | undefined;
  to: number[];
}

const TOKEN = /\s*(?:(\d+(?:-\d+)?)|\{(\d+)(,?)(\d*)\}|(\[\^?)|([.\])(|*+?^$]))/y;
/** A repetition is written out; this bounds what is made of it. */
const MAX_PARTS = 4096;
const MAX_TEXT = 1024;
const END = 0;

/** Throws {@link OptionError}, naming `path`. */
export function compileAsPathPattern(text: unknown, path = "pattern"): AsPathTest {
  if (typeof text !== "string" || text.length > MAX_TEXT)
    throw new OptionError(path, text, `a pattern such as "^64512 .* 65000$", up to ${MAX_TEXT} characters`);
  const parser = new Parser(text, path);
  const { tree, fromStart, toEnd } = parser.parse();
  const { states, start } = build(tree, () =>
    parser.fail(`of at most ${MAX_PARTS} parts, repetitions written out`),
  );
  return asPath => run(states, start, asPath, fromStart, toEnd);
}

class Parser {
  readonly #text: string;
  readonly #path: string;
  readonly #tokens: RegExpExecArray[] = [];
  #next = 0;

  constructor(text: string, path: string) {
    this.#text = text;
    this.#path = path;
    const trimmed = text.trimEnd();
    TOKEN.lastIndex = 0;
    while (TOKEN.lastIndex < trimmed.length) {
      const at = TOKEN.lastIndex;
      const token = TOKEN.exec(trimmed);
      if (token === null) this.fail(`readable from "${trimmed.slice(at).trimStart()}" on`);
      this.#tokens.push(token);
    }
  }

  fail(expected: string): never {
    throw new OptionError(this.#path, this.#text, `an AS path pattern ${expected}`);
  }

  parse(): { tree: Node; fromStart: boolean; toEnd: boolean } {
    const fromStart = this.#take("^");
    const tree = this.#choice();
    const toEnd = this.#take("$");
    const rest = this.#tokens[this.#next];
    if (rest !== undefined) this.fail(`without "${rest[0].trim()}" there`);
    return { tree, fromStart, toEnd };
  }

  #take(symbol: string): boolean {
    if (this.#tokens[this.#next]?.[6] !== symbol) return false;
    this.#next++;
    return true;
  }

  #choice(): Node {
    const parts = [this.#sequence()];
    while (this.#take("|")) parts.push(this.#sequence());
    return parts.length === 1 ? parts[0]! : { type: "choice", parts };
  }

  #sequence(): Node {
    const parts: Node[] = [];
    for (let part = this.#repeated(); part !== undefined; part = this.#repeated()) parts.push(part);
    return { type: "sequence", parts };
  }

  #repeated(): Node | undefined {
    let part = this.#single();
    while (part !== undefined) {
      const bounds = this.#bounds();
      if (bounds === undefined) break;
      part = { type: "repeat", part, ...bounds };
    }
    return part;
  }

  #bounds(): { min: number; max: number } | undefined {
    if (this.#take("*")) return { min: 0, max: Infinity };
    if (this.#take("+")) return { min: 1, max: Infinity };
    if (this.#take("?")) return { min: 0, max: 1 };
    const token = this.#tokens[this.#next];
    if (token?.[2] === undefined) return undefined;
    this.#next++;
    const min = Number(token[2]);
    const max = token[4] !== "" ? Number(token[4]) : token[3] === "," ? Infinity : min;
    if (min > max || (token[3] === "" && token[4] !== ""))
      this.fail(`with bounds like {1,3}, not ${token[0]}`);
    return { min, max };
  }

  #single(): Node | undefined {
    const token = this.#tokens[this.#next];
    if (token?.[1] !== undefined) {
      this.#next++;
      const range = this.#range(token[1]);
      return { type: "asn", test: asn => inRanges([range], asn) };
    }
    if (this.#take(".")) return { type: "asn", test: () => true };
    if (token?.[5] !== undefined) return this.#oneOf(token[5] === "[^");
    if (!this.#take("(")) return undefined;
    const inner = this.#choice();
    if (!this.#take(")")) this.fail('with a ")" for each "("');
    return inner;
  }

  #oneOf(isNegated: boolean): Node {
    const ranges: NumberRange[] = [];
    for (this.#next++; !this.#take("]"); this.#next++) {
      const item = this.#tokens[this.#next]?.[1];
      if (item === undefined) this.fail('with AS numbers and a "]" after each "["');
      ranges.push(this.#range(item));
    }
    return { type: "asn", test: asn => inRanges(ranges, asn) !== isNegated };
  }

  #range(text: string): NumberRange {
    return readRange(text) ?? this.fail(`with AS numbers of 32 bits, not ${text}`);
  }
}

function build(tree: Node, tooLarge: () => never): { states: readonly State[]; start: number } {
  const states: State[] = [{ test: undefined, to: [] }];
  let parts = 0;
  const add = (state: State): number => states.push(state) - 1;
  /** Adds the states of a node that goes on to `next`, and returns where it begins. */
  const place = (node: Node, next: number): number => {
    if (++parts > MAX_PARTS) tooLarge();
    switch (node.type) {
      case "asn":
        return add({ test: node.test, to: [next] });
      case "sequence":
        return node.parts.reduceRight((after, part) => place(part, after), next);
      case "choice":
        return add({ test: undefined, to: node.parts.map(part => place(part, next)) });
      case "repeat": {
        const { part, min, max } = node;
        let start = next;
        if (max === Infinity) {
          start = add({ test: undefined, to: [] });
          states[start]!.to = [place(part, start), next];
        } else {
          for (let i = min; i < max; i++) start = add({ test: undefined, to: [place(part, start), next] });
        }
        for (let i = 0; i < min; i++) start = place(part, start);
        return start;
      }
    }
  };
  return { start: place(tree, END), states };
}

function run(
  states: readonly State[],
  start: number,
  path: readonly AsPathSegment[],
  fromStart: boolean,
  toEnd: boolean,
): boolean {
  let current = new Set<number>();
  enter(states, start, current);
  if (current.has(END) && !toEnd) return true;
  for (const letter of lettersOf(path)) {
    const following = new Set<number>();
    for (const number of current) {
      const { test, to } = states[number]!;
      if (test !== undefined && letter.some(test)) enter(states, to[0]!, following);
    }
    if (!fromStart) enter(states, start, following);
    if (following.has(END) && !toEnd) return true;
    current = following;
  }
  return current.has(END);
}

/** A state and all that are reached from it without an AS. */
function enter(states: readonly State[], number: number, into: Set<number>): void {
  if (into.has(number)) return;
  into.add(number);
  const { test, to } = states[number]!;
  if (test === undefined) for (const other of to) enter(states, other, into);
}

function* lettersOf(path: readonly AsPathSegment[]): Generator<readonly number[]> {
  for (const { type, asns } of path) {
    if (type === "set" || type === "confed-set") yield asns;
    else for (const asn of asns) yield [asn];
  }
}
