/** Why a command fails, as a typed value. `main.ts` prints the message on stderr and exits with the error's exit code. */

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
  /** 1, unless scripts are to tell this from any other failure. */
  readonly exitCode: number;
  constructor(
    code: CommandErrorCode,
    message: string,
    { exitCode = 1, ...options }: { cause?: unknown; exitCode?: number } = {},
  ) {
    super(message, options);
    this.name = "CommandError";
    this.code = code;
    this.exitCode = exitCode;
  }
}
