/**
 * The functions a template may call: Go's built-ins, and `join` and `joinAndTruncate`, which Calico adds.
 * A wrong argument throws a plain RangeError; the evaluator, which knows the place, makes it a TemplateError.
 * `and` and `or` are not here: they do not evaluate all their arguments, so the evaluator has them.
 */

import { print, sprintf } from "./print.ts";

type TemplateFunction = (...values: unknown[]) => unknown;

/** What `if`, `with`, `and`, `or` and `not` take as true: anything but false, 0, "", nil and the empty. */
export function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

function compare(a: unknown, b: unknown): number {
  if (typeof a === "string" && typeof b === "string") return a < b ? -1 : a > b ? 1 : 0;
  if (typeof a === "number" && typeof b === "number") return a - b;
  throw new RangeError(`${print(a)} and ${print(b)} cannot be ordered`);
}

function equal(a: unknown, b: unknown): boolean {
  for (const value of [a, b])
    if (typeof value === "object" && value !== null)
      throw new RangeError("lists and maps cannot be compared");
  return (a ?? null) === (b ?? null);
}

function index(value: unknown, ...keys: unknown[]): unknown {
  let current = value;
  for (const key of keys) {
    if (Array.isArray(current) || typeof current === "string") {
      if (!Number.isInteger(key)) throw new RangeError(`a list is indexed by a number, not by ${print(key)}`);
      if ((key as number) < 0 || (key as number) >= current.length)
        throw new RangeError(`index ${print(key)} is out of range 0..${current.length - 1}`);
      current = typeof current === "string" ? current.charCodeAt(key as number) : current[key as number];
    } else if (typeof current === "object" && current !== null) {
      current = Object.hasOwn(current, String(key))
        ? (current as Record<string, unknown>)[String(key)]
        : undefined;
    } else if (current !== undefined && current !== null) {
      throw new RangeError(`${print(current)} cannot be indexed`);
    }
  }
  return current;
}

function length(value: unknown): number {
  if (value === undefined || value === null) return 0;
  if (typeof value === "string") return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  if (typeof value === "object") return Object.keys(value).length;
  throw new RangeError(`${print(value)} has no length`);
}

function join(items: unknown, separator: unknown): string {
  return Array.isArray(items) ? items.map(print).join(String(separator)) : print(items);
}

const FUNCTIONS: Record<string, TemplateFunction> = {
  eq: (a, ...others) => others.some(b => equal(a, b)),
  ne: (a, b) => !equal(a, b),
  lt: (a, b) => compare(a, b) < 0,
  le: (a, b) => compare(a, b) <= 0,
  gt: (a, b) => compare(a, b) > 0,
  ge: (a, b) => compare(a, b) >= 0,
  not: value => !isTrue(value),
  len: length,
  index,
  slice: (value, from, to) => {
    if (!Array.isArray(value) && typeof value !== "string")
      throw new RangeError(`${print(value)} cannot be sliced`);
    return value.slice((from as number) ?? 0, to as number | undefined);
  },
  print: (...values) =>
    values
      .map(
        (value, i) =>
          (i > 0 && typeof value !== "string" && typeof values[i - 1] !== "string" ? " " : "") + print(value),
      )
      .join(""),
  println: (...values) => `${values.map(print).join(" ")}\n`,
  printf: (format, ...values) => sprintf(String(format), values),
  join,
  joinAndTruncate: (items, separator, most) => {
    const text = join(items, separator);
    return text.length > (most as number) ? `${text.slice(0, (most as number) - 3)}...` : text;
  },
};

/** How many arguments each takes at least, and at most. */
const ARITY: Record<string, readonly [number, number]> = {
  eq: [2, Number.POSITIVE_INFINITY],
  ne: [2, 2],
  lt: [2, 2],
  le: [2, 2],
  gt: [2, 2],
  ge: [2, 2],
  not: [1, 1],
  len: [1, 1],
  index: [1, Number.POSITIVE_INFINITY],
  slice: [1, 3],
  printf: [1, Number.POSITIVE_INFINITY],
  join: [2, 2],
  joinAndTruncate: [3, 3],
};

export function isFunction(name: string): boolean {
  return Object.hasOwn(FUNCTIONS, name) || name === "and" || name === "or";
}

/** @throws RangeError for arguments the function cannot take */
export function call(name: string, values: readonly unknown[]): unknown {
  const [least, most] = ARITY[name] ?? [0, Number.POSITIVE_INFINITY];
  if (values.length < least || values.length > most) {
    const wanted =
      least === most
        ? least
        : most === Number.POSITIVE_INFINITY
          ? `at least ${least}`
          : `${least} to ${most}`;
    throw new RangeError(`${name} takes ${wanted} argument${wanted === 1 ? "" : "s"}, not ${values.length}`);
  }
  return FUNCTIONS[name]!(...values);
}
