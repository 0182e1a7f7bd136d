/** The tree of a template: what `parser.ts` makes and `evaluate.ts` walks. */

import type { Position } from "./error.ts";

export type Node =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "action"; readonly pipeline: Pipeline }
  | { readonly type: "break" | "continue"; readonly position: Position }
  | Control;

export interface Control {
  readonly type: "if" | "with" | "range";
  readonly pipeline: Pipeline;
  readonly body: Node[];
  /** The branch after `{{else}}`. */
  readonly otherwise: Node[];
}

/** `$a, $b := command | command`. */
export interface Pipeline {
  readonly position: Position;
  /** Names with their `$`; two only in a range. */
  readonly variables: readonly string[];
  /** `:=` makes new variables, `=` sets existing ones. */
  readonly declares: boolean;
  readonly commands: readonly Command[];
}

/** One operand, or a function with its arguments. */
export interface Command {
  readonly position: Position;
  readonly operands: readonly Operand[];
}

export type Operand = (
  | { readonly type: "literal"; readonly value: string | number | boolean | null }
  | { readonly type: "dot" }
  | { readonly type: "variable"; readonly name: string }
  | { readonly type: "function"; readonly name: string }
  | { readonly type: "pipeline"; readonly pipeline: Pipeline }
) & {
  readonly position: Position;
  /** `.a.b` after the operand. */
  readonly fields: readonly string[];
};
