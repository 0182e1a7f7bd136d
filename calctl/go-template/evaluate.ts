/**
 * Walks the tree over the data. Data is JSON; templates written for Calico name Go's struct fields, so a field
 * is found by its JSON name, whatever the case (`.Spec.PeerIP`), and a resource's embedded metadata is looked
 * through (`.Name`, `.ObjectMeta.Name`).
 */

import type { Command, Control, Node, Operand, Pipeline } from "./ast.ts";
import { type Position, TemplateError } from "./error.ts";
import { call, isTrue } from "./functions.ts";
import { print } from "./print.ts";

/** @throws TemplateError */
export function evaluate(nodes: readonly Node[], data: unknown): string {
  const output: string[] = [];
  const evaluation = new Evaluation(data, output);
  evaluation.walk(nodes, data);
  return output.join("");
}

type Flow = "next" | "break" | "continue";

class Evaluation {
  readonly #output: string[];
  /** Innermost last. */
  readonly #variables: { name: string; value: unknown }[];

  constructor(data: unknown, output: string[]) {
    this.#output = output;
    this.#variables = [{ name: "$", value: data }];
  }

  walk(nodes: readonly Node[], dot: unknown): Flow {
    for (const node of nodes) {
      if (node.type === "text") this.#output.push(node.text);
      else if (node.type === "action") {
        const value = this.#pipeline(node.pipeline, dot);
        if (node.pipeline.variables.length === 0) this.#output.push(print(value));
      } else if ("body" in node) {
        const scope = this.#variables.length;
        const flow = node.type === "range" ? this.#range(node, dot) : this.#branch(node, dot);
        this.#variables.length = scope;
        if (flow !== "next") return flow;
      } else return node.type;
    }
    return "next";
  }

  #branch(node: Control, dot: unknown): Flow {
    const value = this.#pipeline(node.pipeline, dot);
    if (!isTrue(value)) return this.walk(node.otherwise, dot);
    return this.walk(node.body, node.type === "with" ? value : dot);
  }

  #range(node: Control, dot: unknown): Flow {
    const { pipeline } = node;
    const items = this.#items(this.#commands(pipeline, dot), pipeline.position);
    if (items.length === 0) return this.walk(node.otherwise, dot);
    const scope = this.#variables.length;
    for (const [key, item] of items) {
      const [first, second] = pipeline.variables;
      if (second !== undefined) this.#set(first!, key, pipeline.declares);
      if (first !== undefined) this.#set(second ?? first, item, pipeline.declares);
      const flow = this.walk(node.body, item);
      this.#variables.length = scope;
      if (flow === "break") break;
    }
    return "next";
  }

  /** Maps are ranged over in the order of their keys. */
  #items(value: unknown, position: Position): [unknown, unknown][] {
    if (value === undefined || value === null) return [];
    if (Array.isArray(value)) return value.map((item, i) => [i, item]);
    if (typeof value === "number" && Number.isInteger(value))
      return Array.from({ length: Math.max(0, value) }, (_, i) => [i, i]);
    if (typeof value === "object") return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    throw new TemplateError("TEMPLATE_EVALUATION", position, `cannot range over ${print(value)}`);
  }

  #pipeline(pipeline: Pipeline, dot: unknown): unknown {
    const value = this.#commands(pipeline, dot);
    for (const name of pipeline.variables) this.#set(name, value, pipeline.declares);
    return value;
  }

  #commands(pipeline: Pipeline, dot: unknown): unknown {
    let value: unknown;
    for (const [i, command] of pipeline.commands.entries())
      value = this.#command(command, dot, i > 0 ? [value] : []);
    return value;
  }

  /** `piped`: the value of the command before, which becomes the last argument. */
  #command({ operands, position }: Command, dot: unknown, piped: unknown[]): unknown {
    const [first, ...rest] = operands as [Operand, ...Operand[]];
    if (first.type !== "function") {
      if (rest.length + piped.length > 0)
        throw new TemplateError("TEMPLATE_EVALUATION", position, "only a function can be given arguments");
      return this.#operand(first, dot);
    }
    if (first.name === "and" || first.name === "or") {
      let value: unknown;
      const last = rest.length + piped.length - 1;
      for (let i = 0; i <= last; i++) {
        value = i < rest.length ? this.#operand(rest[i]!, dot) : piped[0];
        if (isTrue(value) === (first.name === "or")) break;
      }
      return value;
    }
    const values = [...rest.map(operand => this.#operand(operand, dot)), ...piped];
    try {
      return call(first.name, values);
    } catch (error) {
      if (error instanceof RangeError)
        throw new TemplateError("TEMPLATE_EVALUATION", position, error.message);
      throw error;
    }
  }

  #operand(operand: Operand, dot: unknown): unknown {
    let value: unknown;
    switch (operand.type) {
      case "literal":
        return operand.value;
      case "dot":
        value = dot;
        break;
      case "variable":
        value = this.#variables.findLast(({ name }) => name === operand.name)?.value;
        break;
      case "pipeline":
        value = this.#pipeline(operand.pipeline, dot);
        break;
      case "function":
        value = this.#command(
          { operands: [{ ...operand, fields: [] }], position: operand.position },
          dot,
          [],
        );
    }
    for (const name of operand.fields) value = field(value, name, operand.position);
    return value;
  }

  #set(name: string, value: unknown, declares: boolean): void {
    const existing = declares ? undefined : this.#variables.findLast(variable => variable.name === name);
    if (existing) existing.value = value;
    else this.#variables.push({ name, value });
  }
}

function field(value: unknown, name: string, position: Position): unknown {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "object")
    throw new TemplateError("TEMPLATE_EVALUATION", position, `${print(value)} has no field ${name}`);
  const own = property(value, name);
  if (own !== undefined) return own;
  if (name === "TypeMeta") return value;
  const metadata = property(value, "metadata");
  if (typeof metadata !== "object" || metadata === null) return undefined;
  return name === "ObjectMeta" || name === "ListMeta" ? metadata : property(metadata, name);
}

function property(value: object, name: string): unknown {
  const record = value as Record<string, unknown>;
  if (Object.hasOwn(record, name)) return record[name];
  const lower = name.toLowerCase();
  const key = Object.keys(record).find(candidate => candidate.toLowerCase() === lower);
  return key === undefined ? undefined : record[key];
}
