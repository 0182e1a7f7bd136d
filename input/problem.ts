/** What is wrong with an input, where, and what was expected there. */

import { type Path, pathText } from "../crd-schemas/problem.ts";

/** Line and column are 1-based. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface Problem {
  readonly place: Place;
  /** The field; empty where the problem is the document itself. */
  readonly path: Path;
  readonly message: string;
  readonly expected?: string | undefined;
}

export function placeText({ file, line, column }: Place): string {
  return `${file}:${line}:${column}`;
}

/** `web.yml:7:9: spec.ingress[0].protocol: "tpc" is not …; expected …` */
export function problemText({ place, path, message, expected }: Problem): string {
  const field = path.length === 0 ? "" : `${pathText(path)}: `;
  const hint = expected === undefined || message.includes(expected) ? "" : `; expected ${expected}`;
  return `${placeText(place)}: ${field}${message}${hint}`;
}
