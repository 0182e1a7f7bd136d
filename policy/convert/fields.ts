/**
 * Reads an untyped document field by field, noting what is wrong and where, and in the end which fields nobody
 * asked for. Nothing throws: a field that is wrong reads as absent, so that all problems are found in one go.
 */

import { isSubdomain, type Path, type Problem } from "../../crd-schemas/index.ts";

export class Fields {
  readonly path: Path;
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #problems: Problem[];
  readonly #asked = new Set<string>();

  /** Null and absent are the same, as in calicoctl's YAML. */
  constructor(value: unknown, path: Path, problems: Problem[]) {
    this.path = path;
    this.#problems = problems;
    this.#values = isMapping(value) ? value : {};
    if (value !== undefined && value !== null && !isMapping(value))
      this.problem([], `${shown(value)} is no mapping`, "fields");
  }

  problem(below: Path, message: string, expected: string): void {
    this.#problems.push({ path: [...this.path, ...below], message, expected });
  }

  /** The value as it is; undefined where it is absent. */
  value(name: string): unknown {
    this.#asked.add(name);
    return Object.hasOwn(this.#values, name) ? (this.#values[name] ?? undefined) : undefined;
  }

  string(name: string): string | undefined {
    return this.#typed(
      name,
      value => (typeof value === "string" ? value : undefined),
      "text (in quotes if it looks like a number)",
    );
  }

  requiredString(name: string): string | undefined {
    const before = this.#problems.length;
    const value = this.string(name);
    if (value) return value;
    if (this.#problems.length === before) this.problem([name], "is missing", "text");
    return undefined;
  }

  /** What names most things in Kubernetes; labels among them are shorter. */
  requiredName(name: string): string | undefined {
    const text = this.requiredString(name);
    if (text === undefined || isSubdomain(text)) return text;
    this.problem([name], `${shown(text)} is no name`, 'lower-case letters, digits, "-" and "."');
    return undefined;
  }

  number(name: string): number | undefined {
    return this.#typed(name, value => (typeof value === "number" ? value : undefined), "a number");
  }

  boolean(name: string): boolean | undefined {
    return this.#typed(name, value => (typeof value === "boolean" ? value : undefined), "true or false");
  }

  /** Through `parse`, which gives undefined for what is none of it. */
  parsed<T>(name: string, parse: (value: string | number) => T | undefined, expected: string): T | undefined {
    return this.#typed(name, value => (isScalar(value) ? parse(value) : undefined), expected);
  }

  /** One of these texts. */
  oneOf<T extends string>(name: string, choices: readonly T[]): T | undefined {
    return this.parsed(name, value => choices.find(choice => choice === value), choices.join(", "));
  }

  /** A port by its number. */
  port(name: string): number | undefined {
    return this.parsed(name, value => (isPort(value) ? value : undefined), PORT);
  }

  requiredPort(name: string): number | undefined {
    if (this.value(name) === undefined) this.problem([name], "is missing", PORT);
    return this.port(name);
  }

  /** Every element through `parse`; an absent list is empty. */
  parsedList<T>(name: string, parse: (value: string | number) => T | undefined, expected: string): T[] {
    const result: T[] = [];
    for (const [i, value] of this.#list(name).entries()) {
      const element = isScalar(value) ? parse(value) : undefined;
      if (element === undefined) this.problem([name, i], `${shown(value)} is wrong`, expected);
      else result.push(element);
    }
    return result;
  }

  strings(name: string): string[] {
    return this.parsedList(name, value => (typeof value === "string" ? value : undefined), "text");
  }

  /** An absent mapping has no fields. */
  object(name: string): Fields {
    return new Fields(this.value(name), [...this.path, name], this.#problems);
  }

  objects(name: string): Fields[] {
    return this.#list(name).map((value, i) => new Fields(value, [...this.path, name, i], this.#problems));
  }

  /** A mapping of text to text. */
  texts(name: string): Record<string, string> | undefined {
    const value = this.value(name);
    if (value === undefined) return undefined;
    if (!isMapping(value)) {
      this.problem([name], `${shown(value)} is no mapping`, "a mapping of text to text");
      return undefined;
    }
    const result: [string, string][] = [];
    for (const [key, text] of Object.entries(value)) {
      if (typeof text === "string") result.push([key, text]);
      else
        this.problem([name, key], `${shown(text)} is no text`, "text (in quotes if it looks like a number)");
    }
    return Object.fromEntries(result);
  }

  /** To be called last: what was not asked for is not known. */
  end(): void {
    for (const name of Object.keys(this.#values)) {
      if (!this.#asked.has(name))
        this.problem([name], "unknown field", `one of ${[...this.#asked].join(", ")}`);
    }
  }

  #list(name: string): readonly unknown[] {
    return (
      this.#typed(name, value => (Array.isArray(value) ? (value as unknown[]) : undefined), "a list") ?? []
    );
  }

  #typed<T>(name: string, read: (value: unknown) => T | undefined, expected: string): T | undefined {
    const value = this.value(name);
    if (value === undefined) return undefined;
    const result = read(value);
    if (result === undefined) this.problem([name], `${shown(value)} is wrong`, expected);
    return result;
  }
}

const PORT = "a port from 1 to 65535";

function isPort(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65535;
}

export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isScalar(value: unknown): value is string | number {
  return typeof value === "string" || typeof value === "number";
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}
