/** Tokens to tree: recursive descent over Go's template grammar. */

import type { Command, Node, Operand, Pipeline } from "./ast.ts";
import { type Position, TemplateError } from "./error.ts";
import { isFunction } from "./functions.ts";
import { lex, type Token } from "./lexer.ts";

/** @throws TemplateError */
export function parse(template: string): Node[] {
  const parser = new Parser(lex(template));
  const { nodes, terminator } = parser.block(undefined, false);
  if (terminator) throw syntax(terminator.position, `unexpected {{${terminator.text}}}`);
  return nodes;
}

function syntax(position: Position, message: string): TemplateError {
  return new TemplateError("TEMPLATE_SYNTAX", position, message);
}

type Terminator = { readonly text: "end" | "else"; readonly position: Position };

class Parser {
  readonly #tokens: Token[];
  #next = 0;
  readonly #variables: string[] = ["$"];

  constructor(tokens: Token[]) {
    this.#tokens = tokens;
  }

  /** Nodes up to the `end` or `else` that closes `opener`; the terminator's keyword is consumed, its `}}` is not. */
  block(
    opener: Position | undefined,
    inRange: boolean,
  ): { nodes: Node[]; terminator: Terminator | undefined } {
    const nodes: Node[] = [];
    for (let token = this.#take(); token !== undefined; token = this.#take()) {
      if (token.type === "text") {
        nodes.push({ type: "text", text: token.text });
        continue;
      }
      const keyword = this.#peek();
      const word = keyword?.type === "identifier" ? keyword.text : "";
      const position = keyword?.position ?? token.position;
      switch (word) {
        case "end":
        case "else":
          this.#next++;
          return { nodes, terminator: { text: word, position } };
        case "if":
        case "with":
        case "range":
          this.#next++;
          nodes.push(this.#control(word, position, inRange));
          break;
        case "break":
        case "continue":
          if (!inRange) throw syntax(position, `{{${word}}} outside of {{range}}`);
          this.#next++;
          this.#close();
          nodes.push({ type: word, position });
          break;
        case "define":
        case "template":
        case "block":
          throw syntax(position, `{{${word}}} is not supported`);
        default: {
          const pipeline = this.#pipeline(position, 1);
          this.#close();
          nodes.push({ type: "action", pipeline });
        }
      }
    }
    if (opener) throw syntax(opener, "{{end}} is missing");
    return { nodes, terminator: undefined };
  }

  #control(type: "if" | "with" | "range", position: Position, inRange: boolean): Node {
    const scope = this.#variables.length;
    const pipeline = this.#pipeline(position, type === "range" ? 2 : 1);
    this.#close();
    const { nodes: body, terminator } = this.block(position, inRange || type === "range");
    const otherwise = terminator?.text === "else" ? this.#otherwise(type, position, inRange) : [];
    if (terminator?.text === "end") this.#close();
    this.#variables.length = scope;
    return { type, pipeline, body, otherwise };
  }

  /** After `{{else`: the branch up to `{{end}}`, or a chained `{{else if}}` that shares the `{{end}}`. */
  #otherwise(type: "if" | "with" | "range", position: Position, inRange: boolean): Node[] {
    const chained = this.#peek();
    if (chained?.type === "identifier" && chained.text === type && type !== "range") {
      this.#next++;
      return [this.#control(type, chained.position, inRange)];
    }
    this.#close();
    const { nodes, terminator } = this.block(position, inRange);
    if (terminator?.text !== "end") throw syntax(terminator?.position ?? position, "a second {{else}}");
    this.#close();
    return nodes;
  }

  #pipeline(position: Position, maxVariables: number): Pipeline {
    const { variables, declares } = this.#declaration(maxVariables);
    const commands: Command[] = [this.#command()];
    while (this.#symbol("|")) commands.push(this.#command());
    for (const [index, { operands, position: at }] of commands.entries())
      if (index > 0 && operands[0]!.type === "literal")
        throw syntax(at, "a value cannot be piped into a literal");
    if (declares) this.#variables.push(...variables);
    return { position, variables, declares, commands };
  }

  /** `$x :=`, `$x =`, `$i, $x :=`, or nothing. */
  #declaration(max: number): { variables: string[]; declares: boolean } {
    const start = this.#next;
    const variables: string[] = [];
    for (;;) {
      const token = this.#peek();
      if (token?.type !== "variable") break;
      this.#next++;
      variables.push(token.text);
      if (!this.#symbol(",")) {
        const declares = this.#symbol(":=");
        if (!declares && !this.#symbol("=")) break;
        if (variables.length > max) throw syntax(token.position, "too many variables");
        if (!declares) for (const name of variables) this.#known(name, token.position);
        return { variables, declares };
      }
    }
    this.#next = start;
    return { variables: [], declares: false };
  }

  #command(): Command {
    const operands: Operand[] = [];
    const position = this.#peek()?.position ?? { line: 1, column: 1 };
    for (;;) {
      const token = this.#peek();
      if (token === undefined || token.type === "close") break;
      if (token.type === "symbol" && (token.text === "|" || token.text === ")")) break;
      if (operands.length > 0 && "spaced" in token && !token.spaced)
        throw syntax(token.position, `unexpected ${token.text}`);
      operands.push(this.#operand());
    }
    if (operands.length === 0) throw syntax(position, "a value is missing");
    if (operands.length > 1 && operands[0]!.type === "literal")
      throw syntax(position, "a literal cannot be given arguments");
    return { position, operands };
  }

  #operand(): Operand {
    const token = this.#take()!;
    const { position } = token;
    switch (token.type) {
      case "string":
      case "number":
        return { type: "literal", value: token.value, position, fields: [] };
      case "field":
        return { type: "dot", position, fields: [token.text.slice(1), ...this.#fields()] };
      case "variable":
        this.#known(token.text, position);
        return { type: "variable", name: token.text, position, fields: this.#fields() };
      case "identifier": {
        const literal = { true: true, false: false, nil: null }[token.text];
        if (literal !== undefined) return { type: "literal", value: literal, position, fields: [] };
        if (!isFunction(token.text)) throw syntax(position, `function "${token.text}" is not defined`);
        return { type: "function", name: token.text, position, fields: this.#fields() };
      }
      case "symbol":
        if (token.text === ".") return { type: "dot", position, fields: [] };
        if (token.text === "(") {
          const pipeline = this.#pipeline(position, 0);
          if (!this.#symbol(")")) throw syntax(position, "( is not closed");
          return { type: "pipeline", pipeline, position, fields: this.#fields() };
        }
    }
    throw syntax(position, `unexpected ${token.text}`);
  }

  #fields(): string[] {
    const fields: string[] = [];
    for (let token = this.#peek(); token?.type === "field" && !token.spaced; token = this.#peek()) {
      this.#next++;
      fields.push(token.text.slice(1));
    }
    return fields;
  }

  #known(name: string, position: Position): void {
    if (!this.#variables.includes(name)) throw syntax(position, `variable ${name} is not defined`);
  }

  #symbol(text: string): boolean {
    const token = this.#peek();
    if (token?.type !== "symbol" || token.text !== text) return false;
    this.#next++;
    return true;
  }

  #close(): void {
    const token = this.#take();
    if (token?.type !== "close")
      throw syntax(
        token?.position ?? { line: 1, column: 1 },
        `unexpected ${token?.text ?? "end of template"}`,
      );
  }

  #peek(): Token | undefined {
    return this.#tokens[this.#next];
  }

  #take(): Token | undefined {
    return this.#tokens[this.#next++];
  }
}
