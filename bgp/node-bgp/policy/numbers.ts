/** Numbers and ranges of them as policies write them: `100`, `"100-199"`, and where a value may be missing `"absent"`. */

import { OptionError } from "../errors.ts";

export const MAX_UINT32 = 0xffff_ffff;

export interface NumberRange {
  readonly low: number;
  readonly high: number;
}

export type NumberTest = (value: number | undefined) => boolean;

const RANGE = /^(\d{1,10})(?:-(\d{1,10}))?$/;

export function isUint32(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_UINT32;
}

/** Undefined where it is none. A number may also be written as text. */
export function readRange(value: unknown, max = MAX_UINT32): NumberRange | undefined {
  const [, lowText, highText = lowText] = RANGE.exec(String(value)) ?? [];
  if (lowText === undefined || (typeof value !== "string" && typeof value !== "number")) return undefined;
  const low = Number(lowText);
  const high = Number(highText);
  return low <= high && high <= max ? { low, high } : undefined;
}

/** Throws {@link OptionError}, naming `path`. */
export function parseRanges(value: unknown, path: string, what = "a whole number"): NumberRange[] {
  return listAt(value, path).map(([item, itemPath]) => {
    const range = readRange(item);
    if (range === undefined)
      throw new OptionError(itemPath, item, `${what} up to ${MAX_UINT32} or a range like "100-199"`);
    return range;
  });
}

/** Throws {@link OptionError}, naming `path`. */
export function parseNumberMatch(value: unknown, path: string): NumberTest {
  const items = listAt(value, path);
  const absent = items.some(([item]) => item === "absent");
  const ranges = items
    .filter(([item]) => item !== "absent")
    .flatMap(([item, itemPath]) => parseRanges(item, itemPath, '"absent", a whole number'));
  return number => (number === undefined ? absent : inRanges(ranges, number));
}

export function inRanges(ranges: readonly NumberRange[], value: number): boolean {
  for (const { low, high } of ranges) if (value >= low && value <= high) return true;
  return false;
}

/** A list or a single value as a list, each with the path to name it by. */
export function listAt(value: unknown, path: string): [item: unknown, path: string][] {
  return Array.isArray(value) ? value.map((item, i) => [item, `${path}[${i}]`]) : [[value, path]];
}
