/**
 * A selector as a value: parsed once, named by its id, asked many times.
 *
 * Two selectors with the same canonical text have the same id, here and on every Calico node, so an id names
 * an IP set of members across restarts and implementations.
 */

import { createHash } from "node:crypto";
import { canonicalText, type SelectorNode } from "./ast.ts";
import { SelectorError } from "./error.ts";
import { evaluate, type Labels } from "./evaluate.ts";
import { parse } from "./parser.ts";
import { type LabelRestrictions, type NEVER, restrictionsOf } from "./restrictions.ts";

export type { Comparison, SelectorNode } from "./ast.ts";
export { SelectorError } from "./error.ts";
export type { Labels } from "./evaluate.ts";
export { ANY, type LabelRestrictions, NEVER } from "./restrictions.ts";

/** `s:` and the base64url SHA-224 of the canonical text. */
export type SelectorId = `s:${string}`;

export class Selector {
  readonly ast: SelectorNode;
  /** Canonical text. */
  readonly text: string;
  #id: SelectorId | undefined;

  constructor(ast: SelectorNode) {
    this.ast = ast;
    this.text = canonicalText(ast);
  }

  get id(): SelectorId {
    this.#id ??= hashedId("s", this.text);
    return this.#id;
  }

  matches(labels: Labels): boolean {
    return evaluate(this.ast, labels);
  }

  /** What labels must be there for any match; computed on each call. */
  restrictions(): LabelRestrictions | typeof NEVER {
    return restrictionsOf(this.ast);
  }

  toString(): string {
    return this.text;
  }
}

/** Throws {@link SelectorError}. Empty text is `all()`. */
export function parseSelector(text: string): Selector {
  return new Selector(parse(text));
}

/** What is wrong with the text as a selector, or undefined; for validators. */
export function selectorProblem(text: string): string | undefined {
  try {
    parse(text);
    return undefined;
  } catch (error) {
    if (error instanceof SelectorError) return error.message;
    throw error;
  }
}

/** The id scheme of everything that becomes an IP set: a prefix, and a hash over prefix and content. */
export function hashedId<P extends string>(prefix: P, content: string): `${P}:${string}` {
  return `${prefix}:${createHash("sha224").update(`${prefix}:${content}`).digest("base64url")}`;
}
