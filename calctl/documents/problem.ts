/** Problems of inputs as the error of a command. */

import { type Problem, problemText } from "../../input/problem.ts";
import { CommandError } from "../errors.ts";

/** All the problems of all the inputs, in their order; nothing was applied. */
export class InvalidDocuments extends CommandError {
  readonly problems: readonly Problem[];
  constructor(problems: readonly Problem[]) {
    super("INVALID_INPUT", problems.map(problemText).join("\n"));
    this.name = "InvalidDocuments";
    this.problems = problems;
  }
}
