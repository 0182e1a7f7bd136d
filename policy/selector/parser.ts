/**
 * Text -> tree, by recursive descent straight over the characters.
 *
 *   selector := or ;  or := and ("||" and)* ;  and := op ("&&" op)*
 *   op       := "!"* ( "(" or ")" | "has(" label ")" | "all()" | comparison )
 *   comparison := label ("==" | "!=" | "contains" | "starts with" | "ends with") string
 *               | label ("in" | "not in") "{" [string ("," string)* [","]] "}"
 *
 * There is no token list because what a word means depends on where it stands: after a label `in` is an
 * operator, anywhere else it is a label like any other, and `has` is a function only when `(` touches it.
 * `global()` is a selector by itself and nothing else: it says "not in any namespace", which has no meaning
 * inside a larger expression. Who may use it at all is up to the field it stands in.
 */

import { all, and, type Comparison, compare, has, membership, not, or, type SelectorNode } from "./ast.ts";
import { SelectorError } from "./error.ts";

/** Longest label the language knows. */
const MAX_LABEL_LENGTH = 512;
/** Deeper nesting than any selector of legal length (1024) can have; guards the stack against hostile text. */
const MAX_DEPTH = 1024;

const LABEL = /[A-Za-z0-9_./-]+/y;
/** Blanks between the words of an operator are optional; a word operator must not run into a label character. */
const OPERATOR = /==|!=|(?:contains|starts[ \t]*with|ends[ \t]*with|not[ \t]*in|in)(?![A-Za-z0-9_./-])/y;
const GLOBAL = /^[ \t]*global\([ \t]*\)[ \t]*$/;

export function parse(text: string): SelectorNode {
  if (GLOBAL.test(text)) return { op: "global" };
  const parser = new Parser(text);
  parser.skipBlanks();
  if (parser.atEnd()) return all;
  const node = parser.or();
  if (!parser.atEnd()) parser.fail('"&&", "||" or the end');
  return node;
}

/** Every method leaves the position after the blanks that follow what it read. */
class Parser {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  or(): SelectorNode {
    const operands = [this.#and()];
    while (this.#accept("||")) operands.push(this.#and());
    return or(...operands);
  }

  #and(): SelectorNode {
    const operands = [this.#operation()];
    while (this.#accept("&&")) operands.push(this.#operation());
    return and(...operands);
  }

  #operation(): SelectorNode {
    if (++this.#depth > MAX_DEPTH) this.fail(`at most ${MAX_DEPTH} levels of nesting`);
    const node = this.#accept("!") ? not(this.#operation()) : this.#operand();
    this.#depth--;
    return node;
  }

  #operand(): SelectorNode {
    if (this.#accept("(")) {
      const node = this.or();
      this.#expect(")");
      return node;
    }
    if (this.#accept("has(")) {
      const node = has(this.#label());
      this.#expect(")");
      return node;
    }
    if (this.#accept("all(")) {
      this.#expect(")");
      return all;
    }
    if (this.#text.startsWith("global(", this.#at)) this.fail("global() to be the whole selector");
    return this.#comparison(this.#label());
  }

  #comparison(label: string): SelectorNode {
    const operator = this.#read(OPERATOR);
    if (operator === undefined)
      this.fail("an operator (==, !=, in, not in, contains, starts with, ends with)");
    switch (operator.replace(/[ \t]+/g, "")) {
      case "in":
        return membership(label, "in", this.#stringSet());
      case "notin":
        return membership(label, "not in", this.#stringSet());
      case "startswith":
        return compare(label, "starts with", this.#string());
      case "endswith":
        return compare(label, "ends with", this.#string());
      default:
        return compare(label, operator as Comparison, this.#string());
    }
  }

  #label(): string {
    const start = this.#at;
    const label = this.#read(LABEL);
    if (label === undefined) this.fail("a label");
    if (label.length > MAX_LABEL_LENGTH) {
      this.#at = start;
      this.fail(`a label of at most ${MAX_LABEL_LENGTH} characters`);
    }
    return label;
  }

  #stringSet(): string[] {
    this.#expect("{");
    const values: string[] = [];
    while (!this.#accept("}")) {
      values.push(this.#string());
      if (this.#accept("}")) break;
      this.#expect(",", '"," or "}"');
    }
    return values;
  }

  #string(): string {
    const quote = this.#text[this.#at];
    if (quote !== '"' && quote !== "'") this.fail("a string in quotes");
    const end = this.#text.indexOf(quote, this.#at + 1);
    if (end < 0) {
      this.#at = this.#text.length;
      this.fail(`the closing ${quote}`);
    }
    const value = this.#text.slice(this.#at + 1, end);
    this.#at = end + 1;
    this.skipBlanks();
    return value;
  }

  skipBlanks(): void {
    while (this.#text[this.#at] === " " || this.#text[this.#at] === "\t") this.#at++;
  }

  atEnd(): boolean {
    return this.#at === this.#text.length;
  }

  fail(expected: string): never {
    throw new SelectorError(this.#text, this.#at, expected);
  }

  #read(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) {
      this.#at += found.length;
      this.skipBlanks();
    }
    return found;
  }

  #accept(symbol: string): boolean {
    if (!this.#text.startsWith(symbol, this.#at)) return false;
    this.#at += symbol.length;
    this.skipBlanks();
    return true;
  }

  #expect(symbol: string, expected = `"${symbol}"`): void {
    if (!this.#accept(symbol)) this.fail(expected);
  }
}
