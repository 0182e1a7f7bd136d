/**
 * From the value of a policy to the function a neighbor takes.
 *
 * A policy becomes one flat list of rules, chains written out. For an attribute set ({@link RoutePolicy.prepare}) the rules are walked once, and where
 * only the prefix can tell whether a rule matches the walk splits in two: the outcome is a tree whose inner nodes are tests of the
 * prefix and whose leaves are finished attributes. It grows only as far as prefixes ask for it, so that a route
 * costs its prefix tests and nothing else, and routes with equal answers share one object.
 */

import { parsePrefix } from "../address.ts";
import { OptionError } from "../errors.ts";
import type { PolicyAnswer, PolicyNeighbor, PolicyPaths, PreparedPolicy, RoutePolicy } from "../neighbor.ts";
import type { Family, Route } from "../route.ts";
import {
  type Condition,
  ConditionCompiler,
  type ConditionOptions,
  type CustomCondition,
} from "./conditions.ts";
import { acceptAll, rejectAll } from "./constant.ts";
import { type CustomChange, compileEdits, type Edit } from "./edits.ts";
import type { Policy, PolicyAction } from "./policy.ts";
import type { PrefixTest } from "./prefix-list.ts";
import { readFields } from "./reading.ts";

export interface PolicyOptions extends ConditionOptions {
  /** Prefix lists that matches may name: `{ bogons: ["10.0.0.0/8 le 32"] }`. */
  readonly prefixLists?: Readonly<Record<string, readonly string[]>>;
  /** Conditions for `match.custom`, by name. */
  readonly conditions?: Readonly<Record<string, CustomCondition>>;
  /** Changes for `set.custom`, by name. */
  readonly changes?: Readonly<Record<string, CustomChange>>;
  /** Asked about what no rule has accepted or rejected, with the changes so far. Default {@link rejectAll}. */
  readonly undecided?: RoutePolicy;
}

export interface PolicyExplanation {
  /** What the policy makes of the route. */
  readonly result: Route | null;
  /** The rules that matched, in order; the last one has decided. `rules[1]`, `chain[0].rules[2] "no transit"`. */
  readonly matched: readonly string[];
}

export interface CompiledPolicy extends RoutePolicy {
  /** Always, but for an `undecided` that has none. */
  readonly prepare?: NonNullable<RoutePolicy["prepare"]>;
  /** The same answer, with the rules that led to it. */
  readonly explain: (route: Route, neighbor: PolicyNeighbor) => PolicyExplanation;
}

interface Rule {
  readonly where: string;
  readonly condition: Condition;
  readonly edit: Edit | undefined;
  readonly action: PolicyAction;
}

const ACTIONS: readonly PolicyAction[] = ["accept", "reject", "next"];
const RULE_FIELDS = ["name", "match", "action", "set"] as const;
const ALWAYS: Condition = () => true;

/**
 * Throws {@link OptionError} that names the place: `rules[2].match.prefixes[0]: "10.0.0/8" is not a prefix such as ...`.
 * Keep what it returns: neighbors share an update group only where they share the function.
 */
export function compilePolicy(policy: Policy, options: PolicyOptions = {}): CompiledPolicy {
  const { undecided = rejectAll } = options;
  const rules = new Reader(options).policy(policy, "");
  const decide = (route: Route, neighbor: PolicyNeighbor) => evaluate(rules, undecided, route, neighbor);
  const explain = (route: Route, neighbor: PolicyNeighbor): PolicyExplanation => {
    const matched: string[] = [];
    const result = evaluate(rules, undecided, route, neighbor, ({ where }) => matched.push(where));
    return { result, matched };
  };
  const rest = preparationOf(undecided);
  if (rest === undefined) return Object.assign(decide, { explain });
  const prepare = (paths: PolicyPaths, neighbor: PolicyNeighbor) =>
    new Prepared(rules, rest, paths, neighbor);
  return Object.assign(decide, { explain, prepare });
}

type Prepare = NonNullable<RoutePolicy["prepare"]>;

/** Undefined for a policy that must be asked route by route. */
function preparationOf(policy: RoutePolicy): Prepare | undefined {
  if (policy === acceptAll) return ({ attributes }) => constant(attributes);
  if (policy === rejectAll) return () => constant(null);
  return policy.prepare;
}

function constant(answer: PolicyAnswer): PreparedPolicy {
  return { answer, decide: () => answer };
}

function evaluate(
  rules: readonly Rule[],
  undecided: RoutePolicy,
  route: Route,
  neighbor: PolicyNeighbor,
  onMatch?: (rule: Rule) => void,
): Route | null {
  const prefix = parsePrefix(route.prefix);
  if (prefix === undefined) return null;
  const { family, source, sourceType } = route;
  let current = route;
  let paths: PolicyPaths = { attributes: current, family, source, sourceType };
  for (const rule of rules) {
    const matches = rule.condition(paths, neighbor);
    if (matches === false || (matches !== true && !matches(prefix.address, 0, prefix.length))) continue;
    onMatch?.(rule);
    // Edits copy whatever they do not change, so what goes in as a route comes out as one.
    const edited = applyRule(rule, current, family, neighbor) as Route | null;
    if (edited === null || rule.action === "accept") return edited;
    if (edited === current) continue;
    current = edited;
    paths = { attributes: current, family, source, sourceType };
  }
  return undecided(current, neighbor);
}

function applyRule(
  { action, edit }: Rule,
  attributes: NonNullable<PolicyAnswer>,
  family: Family,
  neighbor: PolicyNeighbor,
): PolicyAnswer {
  if (action === "reject") return null;
  return edit === undefined ? attributes : edit(attributes, family, neighbor);
}

/**
 * A leaf says the answer, or who else is to be asked; an inner node what to ask the prefix. `yes` and `no` are grown when a prefix first
 * goes there.
 */
type Outcome =
  | { readonly answer: PolicyAnswer }
  | { readonly answer: undefined; readonly rest: PreparedPolicy }
  | {
      readonly answer: undefined;
      readonly rest?: undefined;
      readonly test: PrefixTest;
      readonly attributes: NonNullable<PolicyAnswer>;
      /** Where the walk goes on. */
      readonly at: number;
      yes: Outcome | undefined;
      no: Outcome | undefined;
    };

const REJECTED: Outcome = { answer: null };

class Prepared implements PreparedPolicy {
  readonly #rules: readonly Rule[];
  readonly #undecided: Prepare;
  readonly #paths: PolicyPaths;
  readonly #neighbor: PolicyNeighbor;
  readonly #root: Outcome;

  constructor(rules: readonly Rule[], undecided: Prepare, paths: PolicyPaths, neighbor: PolicyNeighbor) {
    this.#rules = rules;
    this.#undecided = undecided;
    this.#paths = paths;
    this.#neighbor = neighbor;
    this.#root = this.#walk(0, paths.attributes);
  }

  get answer(): PolicyAnswer | undefined {
    return this.#root.answer;
  }

  decide(address: Uint8Array, offset: number, length: number): PolicyAnswer {
    let outcome = this.#root;
    while (outcome.answer === undefined) {
      if (outcome.rest !== undefined) return outcome.rest.decide(address, offset, length);
      if (outcome.test(address, offset, length)) {
        outcome.yes ??= this.#apply(outcome.at, outcome.attributes);
        outcome = outcome.yes;
      } else {
        outcome.no ??= this.#walk(outcome.at + 1, outcome.attributes);
        outcome = outcome.no;
      }
    }
    return outcome.answer;
  }

  #walk(from: number, attributes: NonNullable<PolicyAnswer>): Outcome {
    const paths = attributes === this.#paths.attributes ? this.#paths : { ...this.#paths, attributes };
    for (let at = from; at < this.#rules.length; at++) {
      const test = this.#rules[at]!.condition(paths, this.#neighbor);
      if (test === true) return this.#apply(at, attributes);
      if (test !== false) return { answer: undefined, test, attributes, at, yes: undefined, no: undefined };
    }
    const rest = this.#undecided(paths, this.#neighbor);
    return rest.answer === undefined ? { answer: undefined, rest } : { answer: rest.answer };
  }

  /** The rule matches. */
  #apply(at: number, attributes: NonNullable<PolicyAnswer>): Outcome {
    const rule = this.#rules[at]!;
    const answer = applyRule(rule, attributes, this.#paths.family, this.#neighbor);
    if (answer === null) return REJECTED;
    return rule.action === "accept" ? { answer } : this.#walk(at + 1, answer);
  }
}

class Reader {
  readonly #options: PolicyOptions;
  readonly #conditions: ConditionCompiler;

  constructor(options: PolicyOptions) {
    this.#options = options;
    this.#conditions = new ConditionCompiler(options);
  }

  policy(value: unknown, path: string): Rule[] {
    const isChain = typeof value === "object" && value !== null && "chain" in value;
    const listName = isChain ? "chain" : "rules";
    const fields = readFields(value, path || "policy", ["name", listName, "otherwise"]);
    const listPath = path === "" ? listName : `${path}.${listName}`;
    const list = fields[listName];
    if (!Array.isArray(list)) throw new OptionError(listPath, list, `a list of ${listName}`);
    const rules = list.flatMap((item, i) => {
      const itemPath = `${listPath}[${i}]`;
      return isChain ? this.policy(item, itemPath) : [this.#rule(item, itemPath)];
    });
    const otherwise = fields["otherwise"] ?? "next";
    const at = path === "" ? "otherwise" : `${path}.otherwise`;
    const action = readAction(otherwise, at);
    if (action === "next") return rules;
    return [...rules, { where: at, condition: ALWAYS, edit: undefined, action }];
  }

  #rule(value: unknown, path: string): Rule {
    const { name, match, action: actionValue, set } = readFields(value, path, RULE_FIELDS);
    const action = readAction(actionValue, `${path}.action`);
    if (action === "reject" && set !== undefined)
      throw new OptionError(`${path}.set`, set, "for a rule that rejects");
    return {
      where: typeof name === "string" ? `${path} "${name}"` : path,
      condition: match === undefined ? ALWAYS : this.#conditions.match(match, `${path}.match`),
      edit: set === undefined ? undefined : compileEdits(set, `${path}.set`, this.#options),
      action,
    };
  }
}

function readAction(value: unknown, path: string): PolicyAction {
  if (ACTIONS.includes(value as PolicyAction)) return value as PolicyAction;
  throw new OptionError(path, value, `one of ${ACTIONS.join(", ")}`);
}
