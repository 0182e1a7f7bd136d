/**
 * The policies of a configuration as functions. A policy is compiled once however many peers name it, also across reloads, since peers share
 * what is computed for them only where they share the function.
 */

import {
  acceptAll,
  compilePolicy,
  OptionError,
  type Policy,
  type PolicyChain,
  type RoutePolicy,
  rejectAll,
} from "node-bgp";
import type { Path, Report } from "../../crd-schemas/problem.ts";
import type { Configuration, PolicyChoice } from "./configuration.ts";
import { verdict } from "./judge.ts";

/** Compiled policies by their text; what is not used in a reading is forgotten. */
export class PolicyCache {
  #known = new Map<string, RoutePolicy>();
  #used = new Map<string, RoutePolicy>();

  get(text: string, compile: () => RoutePolicy): RoutePolicy {
    const policy = this.#used.get(text) ?? this.#known.get(text) ?? compile();
    this.#used.set(text, policy);
    return policy;
  }

  /** A configuration has been read. */
  finish(): void {
    this.#known = this.#used;
    this.#used = new Map();
  }
}

export interface ResolvedPolicy {
  readonly policy: RoutePolicy;
  /** Equal where the policy is. */
  readonly text: string;
}

const CONSTANTS: Readonly<Record<string, RoutePolicy>> = { accept: acceptAll, reject: rejectAll };

export class Policies {
  readonly #configuration: Configuration;
  readonly #cache: PolicyCache;
  readonly #report: Report;
  readonly #prefixLists: Record<string, readonly string[]> = {};

  constructor(configuration: Configuration, cache: PolicyCache, report: Report) {
    this.#configuration = configuration;
    this.#cache = cache;
    this.#report = report;
    for (const [name, list] of Object.entries(configuration.prefixLists ?? {}))
      this.#prefixLists[name] = typeof list === "string" ? [list] : list;
  }

  /** Those nobody uses have to make sense too. */
  checkAll(): void {
    for (const name of Object.keys(this.#configuration.policies ?? {})) {
      if (Object.hasOwn(CONSTANTS, name)) {
        this.#report(["policies", name], `${name} is what every configuration has`, "another name");
        continue;
      }
      const policy = this.#expand(name, ["policies", name], []);
      if (policy !== undefined) this.#compile(policy, ["policies", name]);
    }
  }

  /** What a peer's `import` or `export` says. Undefined where it is wrong, which has been reported. */
  resolve(choice: PolicyChoice | readonly PolicyChoice[], path: Path): ResolvedPolicy | undefined {
    if (typeof choice === "string" && Object.hasOwn(CONSTANTS, choice))
      return { policy: CONSTANTS[choice]!, text: choice };
    const policy = Array.isArray(choice)
      ? this.#chain(choice as readonly PolicyChoice[], path, [])
      : this.#expand(choice as PolicyChoice, path, []);
    if (policy === undefined) return undefined;
    // Of a policy with a name, what is wrong is said where it is written.
    const isNamed = typeof choice === "string";
    return this.#compile(policy, isNamed ? undefined : path);
  }

  /** Names replaced by what they stand for. `within`: the names above, none of which may come again. */
  #expand(choice: PolicyChoice, path: Path, within: readonly string[]): Policy | undefined {
    if (typeof choice === "string") {
      if (choice === "accept" || choice === "reject") return { rules: [], otherwise: choice };
      const named = this.#configuration.policies?.[choice];
      if (named === undefined) {
        const names = ["accept", "reject", ...Object.keys(this.#configuration.policies ?? {})];
        this.#report(path, `there is no policy ${choice}`, `one of ${names.join(", ")}`);
        return undefined;
      }
      if (within.includes(choice)) {
        this.#report(path, `policy ${choice} is part of itself`, "a chain that ends");
        return undefined;
      }
      const policy = this.#expand(named, ["policies", choice], [...within, choice]);
      return policy && { name: choice, ...policy };
    }
    const { rules, chain, ...rest } = choice;
    if ((rules === undefined) === (chain === undefined)) {
      this.#report(path, "a policy has either rules or a chain", "one of the two");
      return undefined;
    }
    if (rules !== undefined) return { ...rest, rules };
    const whole = this.#chain(chain!, [...path, "chain"], within);
    return whole && { ...rest, ...whole };
  }

  #chain(list: readonly PolicyChoice[], path: Path, within: readonly string[]): PolicyChain | undefined {
    const parts = list.map((part, i) => this.#expand(part, [...path, i], within));
    return parts.includes(undefined) ? undefined : { chain: parts as Policy[] };
  }

  /** `path`: where to report what is wrong; undefined: it is reported elsewhere. */
  #compile(policy: Policy, path: Path | undefined): ResolvedPolicy | undefined {
    const text = JSON.stringify([policy, this.#prefixLists]);
    try {
      const prefixLists = this.#prefixLists;
      return { policy: this.#cache.get(text, () => compilePolicy(policy, { prefixLists })), text };
    } catch (error) {
      if (!(error instanceof OptionError)) throw error;
      if (path !== undefined) this.#reportOption(error, path);
      return undefined;
    }
  }

  #reportOption(error: OptionError, path: Path): void {
    const { steps, text, expected } = verdict(error);
    // A prefix list is wrong where it is written, however many policies name it.
    this.#report(steps[0] === "prefixLists" ? steps : [...path, ...steps], text, expected);
  }
}

/**
 * Neighbors of one group share an Adj-RIB-Out, so its policy must answer all of them alike: one that looks at the neighbor splits the
 * group by what it looks at. Undefined: every neighbor by itself.
 */
export function exportGroupOf(text: string, asn: number | undefined, localAsn: number): string | undefined {
  if (text.includes('"neighborAddress"')) return undefined;
  if (!/"neighbor(Asn|Type)"/.test(text)) return text;
  return asn === undefined ? undefined : `${text} ${asn} ${localAsn}`;
}
