/**
 * The `match` of a rule, compiled: asked with an attribute set it answers yes or no, or with a test of the prefix that is still to be made. So
 * everything that does not depend on the prefix is decided once for all the routes that share the attributes.
 */

import { familyOfAddress, parseAddress } from "../address.ts";
import { OptionError } from "../errors.ts";
import { asPathLength, neighborAs } from "../message/as-path.ts";
import type { PolicyNeighbor, PolicyPaths } from "../neighbor.ts";
import { type AsPathSegment, FAMILIES, Family, Origin } from "../route.ts";
import { compileAsPathPattern } from "./as-path-pattern.ts";
import { hasCommunity, parseCommunityPatterns } from "./community.ts";
import { inRanges, isUint32, listAt, parseNumberMatch, parseRanges } from "./numbers.ts";
import type { AsPathMatch, Match } from "./policy.ts";
import {
  compilePrefixList,
  type PrefixEntry,
  type PrefixTest,
  parseInside,
  parsePrefixEntry,
} from "./prefix-list.ts";
import { readFields } from "./reading.ts";

export type Condition = (paths: PolicyPaths, neighbor: PolicyNeighbor) => boolean | PrefixTest;

/**
 * A condition of the user's own, made of the value that stands in the policy: yes, no, or a test that the prefix is to be put to. Must not
 * depend on anything but its arguments, or only on what is followed by a refresh.
 */
export type CustomCondition = (value: unknown) => Condition;

export interface ConditionOptions {
  readonly prefixLists?: Readonly<Record<string, readonly string[]>> | undefined;
  readonly conditions?: Readonly<Record<string, CustomCondition>> | undefined;
}

/** By family; undefined where no entry is of it. */
type FamilyTests = Readonly<Record<Family, PrefixTest | undefined>>;

type FieldReader = (value: unknown, path: string, compiler: ConditionCompiler) => Condition;

const SOURCES = ["local", "internal", "external"] as const;
const NEIGHBOR_TYPES = ["internal", "external"] as const;

const FIELDS: Readonly<Record<keyof Match, FieldReader>> = {
  family: (value, path) => {
    const families = words(value, path, FAMILIES);
    return ({ family }) => families.includes(family);
  },
  source: (value, path) => {
    const types = words(value, path, SOURCES);
    return ({ sourceType }) => types.includes(sourceType);
  },
  neighborType: (value, path) => {
    const types = words(value, path, NEIGHBOR_TYPES);
    return (_paths, { type }) => types.includes(type);
  },
  neighborAsn: (value, path) => {
    const ranges = parseRanges(value, path, "an AS number");
    return (_paths, { asn }) => inRanges(ranges, asn);
  },
  neighborAddress: (value, path) => {
    const tests = insideTests(value, path);
    return (_paths, { address }) => isInside(tests, address.replace(/%.*$/, ""));
  },
  origin: (value, path) => {
    const origins = words(value, path, Object.values(Origin));
    return ({ attributes }) => origins.includes(attributes.origin);
  },
  localPref: (value, path) => {
    const test = parseNumberMatch(value, path);
    return ({ attributes }) => test(attributes.localPref);
  },
  med: (value, path) => {
    const test = parseNumberMatch(value, path);
    return ({ attributes }) => test(attributes.med);
  },
  nextHop: (value, path) => {
    const tests = insideTests(value, path);
    return ({ attributes }) => attributes.nextHop !== undefined && isInside(tests, attributes.nextHop);
  },
  communities: (value, path) => {
    const tests = parseCommunityPatterns(value, path);
    return ({ attributes }) => hasCommunity(attributes, tests);
  },
  asPath: (value, path) => asPathCondition(value, path),
  custom: (value, path, compiler) => compiler.custom(value, path),
  prefixes: (value, path, compiler) => compiler.prefixes(value, path),
  not: (value, path, compiler) => negation(compiler.match(value, path)),
  all: (value, path, compiler) => conjunction(compiler.matches(value, path)),
  any: (value, path, compiler) => disjunction(compiler.matches(value, path)),
};

/** Compiles the matches of one policy; a prefix list given by name, or used as one value in several places, is compiled once. */
export class ConditionCompiler {
  readonly #options: ConditionOptions;
  readonly #lists = new Map<unknown, FamilyTests>();

  constructor(options: ConditionOptions) {
    this.#options = options;
  }

  /** Throws {@link OptionError}, naming `path`. */
  match(value: unknown, path: string): Condition {
    const fields = readFields(value, path, Object.keys(FIELDS));
    // The cheap ones first, as in FIELDS.
    const names = Object.keys(FIELDS).filter(name => fields[name] !== undefined) as (keyof Match)[];
    return conjunction(names.map(name => FIELDS[name](fields[name], `${path}.${name}`, this)));
  }

  matches(value: unknown, path: string): Condition[] {
    if (!Array.isArray(value)) throw new OptionError(path, value, "a list of matches");
    return value.map((item, i) => this.match(item, `${path}[${i}]`));
  }

  prefixes(value: unknown, path: string): Condition {
    const name = typeof value === "string" ? value : undefined;
    const named = name === undefined ? undefined : this.#options.prefixLists?.[name];
    const list = named ?? value;
    let tests = this.#lists.get(list);
    if (tests === undefined) {
      const from = named === undefined ? path : `prefixLists.${name}`;
      tests = testsOf(listAt(list, from).map(([item, itemPath]) => parsePrefixEntry(item, itemPath)));
      this.#lists.set(list, tests);
    }
    const compiled = tests;
    return ({ family }) => compiled[family] ?? false;
  }

  custom(value: unknown, path: string): Condition {
    const known = this.#options.conditions ?? {};
    const given = readFields(value, path, Object.keys(known));
    return conjunction(Object.entries(given).map(([name, argument]) => known[name]!(argument)));
  }
}

function conjunction(parts: readonly Condition[]): Condition {
  if (parts.length === 1) return parts[0]!;
  return (paths, neighbor) => {
    let rest: PrefixTest | undefined;
    for (const part of parts) {
      const answer = part(paths, neighbor);
      if (answer === false) return false;
      if (answer !== true) rest = rest === undefined ? answer : both(rest, answer);
    }
    return rest ?? true;
  };
}

function disjunction(parts: readonly Condition[]): Condition {
  if (parts.length === 1) return parts[0]!;
  return (paths, neighbor) => {
    let rest: PrefixTest | undefined;
    for (const part of parts) {
      const answer = part(paths, neighbor);
      if (answer === true) return true;
      if (answer !== false) rest = rest === undefined ? answer : either(rest, answer);
    }
    return rest ?? false;
  };
}

function negation(part: Condition): Condition {
  return (paths, neighbor) => {
    const answer = part(paths, neighbor);
    if (typeof answer === "boolean") return !answer;
    return (address, offset, length) => !answer(address, offset, length);
  };
}

function both(a: PrefixTest, b: PrefixTest): PrefixTest {
  return (address, offset, length) => a(address, offset, length) && b(address, offset, length);
}

function either(a: PrefixTest, b: PrefixTest): PrefixTest {
  return (address, offset, length) => a(address, offset, length) || b(address, offset, length);
}

function asPathCondition(value: unknown, path: string): Condition {
  const names: readonly (keyof AsPathMatch)[] = [
    "length",
    "neighbor",
    "origin",
    "startsWith",
    "contains",
    "pattern",
  ];
  const given = readFields(value, path, names);
  const tests: ((asPath: readonly AsPathSegment[]) => boolean)[] = [];
  for (const name of names) {
    const argument = given[name];
    if (argument !== undefined) tests.push(asPathTest(name, argument, `${path}.${name}`));
  }
  return ({ attributes }) => tests.every(test => test(attributes.asPath));
}

function asPathTest(
  name: keyof AsPathMatch,
  value: unknown,
  path: string,
): (asPath: readonly AsPathSegment[]) => boolean {
  switch (name) {
    case "length": {
      const test = parseNumberMatch(value, path);
      return asPath => test(asPathLength(asPath));
    }
    case "pattern": {
      const patterns = listAt(value, path).map(([item, itemPath]) => compileAsPathPattern(item, itemPath));
      return asPath => patterns.some(pattern => pattern(asPath));
    }
    case "startsWith": {
      const front = listAt(value, path).map(([item, itemPath]) => {
        if (!isUint32(item)) throw new OptionError(itemPath, item, "an AS number");
        return item;
      });
      return asPath => {
        const asns = asPath.flatMap(segment => segment.asns);
        return front.every((asn, i) => asns[i] === asn);
      };
    }
  }
  const ranges = parseRanges(value, path, "an AS number");
  switch (name) {
    case "contains":
      return asPath => asPath.some(({ asns }) => asns.some(asn => inRanges(ranges, asn)));
    case "neighbor":
      return asPath => asPath[0]?.type === "sequence" && inRanges(ranges, neighborAs(asPath));
    case "origin":
      return asPath => {
        const last = asPath.at(-1);
        return last?.type === "sequence" && inRanges(ranges, last.asns.at(-1)!);
      };
  }
}

function insideTests(value: unknown, path: string): FamilyTests {
  return testsOf(listAt(value, path).map(([item, itemPath]) => parseInside(item, itemPath)));
}

function testsOf(entries: readonly PrefixEntry[]): FamilyTests {
  return {
    [Family.ipv4Unicast]: compilePrefixList(entries, Family.ipv4Unicast),
    [Family.ipv6Unicast]: compilePrefixList(entries, Family.ipv6Unicast),
  };
}

function isInside(tests: FamilyTests, address: string): boolean {
  const bytes = parseAddress(address);
  const test = bytes && tests[familyOfAddress(address)];
  return test?.(bytes!, 0, bytes!.length * 8) ?? false;
}

function words<T extends string>(value: unknown, path: string, known: readonly T[]): T[] {
  return listAt(value, path).map(([item, itemPath]) => {
    if (!known.includes(item as T)) throw new OptionError(itemPath, item, `one of ${known.join(", ")}`);
    return item as T;
  });
}
