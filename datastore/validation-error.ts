/** A resource that must not be stored: what is wrong with it, field by field. */

import { type Problem, pathText } from "../crd-schemas/index.ts";

export class ValidationError extends Error {
  readonly code = "INVALID";
  readonly kind: string;
  readonly resourceName: string;
  readonly problems: readonly Problem[];
  constructor(kind: string, resourceName: string, problems: readonly Problem[]) {
    const lines = problems.map(({ path, message }) =>
      path.length === 0 ? message : `${pathText(path)}: ${message}`,
    );
    super(`${kind}(${resourceName}) is invalid: ${lines.join("; ")}`);
    this.name = "ValidationError";
    this.kind = kind;
    this.resourceName = resourceName;
    this.problems = problems;
  }
}
