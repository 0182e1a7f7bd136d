/** What is wrong with a template, and where in it. */

export const TemplateErrorCode = {
  /** The template's text is not a template. */
  Syntax: "TEMPLATE_SYNTAX",
  /** The template does not fit the data. */
  Evaluation: "TEMPLATE_EVALUATION",
} as const;

export type TemplateErrorCode = (typeof TemplateErrorCode)[keyof typeof TemplateErrorCode];

/** 1-based. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export class TemplateError extends Error {
  readonly code: TemplateErrorCode;
  readonly position: Position;
  constructor(code: TemplateErrorCode, position: Position, message: string) {
    super(`template:${position.line}:${position.column}: ${message}`);
    this.name = "TemplateError";
    this.code = code;
    this.position = position;
  }
}
