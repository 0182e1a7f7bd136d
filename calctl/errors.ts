/** Why a command fails, as a typed value. `main.ts` prints the message on stderr and exits with 1. */

export const CommandErrorCode = {
  /** The command line itself: an unknown kind, an option that does not fit. */
  Usage: "USAGE",
  /** What was read is not valid: files, stdin, templates, patches. */
  InvalidInput: "INVALID_INPUT",
  /** The kind or the resource must not be changed this way. */
  NotAllowed: "NOT_ALLOWED",
  /** The datastore refused or cannot be reached. */
  Datastore: "DATASTORE",
  /** Client and cluster do not fit together. */
  VersionMismatch: "VERSION_MISMATCH",
  /** The command ran and its answer is bad news. */
  Failed: "FAILED",
} as const;

export type CommandErrorCode = (typeof CommandErrorCode)[keyof typeof CommandErrorCode];

export class CommandError extends Error {
  readonly code: CommandErrorCode;
  constructor(code: CommandErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.name = "CommandError";
    this.code = code;
  }
}
