import { CommandError } from "../errors.ts";

/** A patch that is none, or does not fit what it is applied to. */
export class PatchError extends CommandError {
  constructor(message: string) {
    super("INVALID_INPUT", `invalid patch: ${message}`);
    this.name = "PatchError";
  }
}
