/** Renders a Go template over JSON data. */

import { evaluate } from "./evaluate.ts";
import { parse } from "./parser.ts";

export { type Position, TemplateError, TemplateErrorCode } from "./error.ts";

/** A parsed template. @throws TemplateError TEMPLATE_SYNTAX; the returned function: TEMPLATE_EVALUATION */
export function compileTemplate(template: string): (data: unknown) => string {
  const nodes = parse(template);
  return data => evaluate(nodes, data);
}
