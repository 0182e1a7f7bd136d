/**
 * What can go wrong, as values: a `code` to branch on and the data a log line needs. Nothing here is meant to be
 * recognised by its text.
 */

/** A rule, chain or set that could never be accepted, found while it is being built. */
export class InvalidRuleError extends Error {
  override readonly name = "InvalidRuleError";
  readonly code = "invalid-rule";
  /** What was wrong with: "interface", "ports", "chain"... */
  readonly field: string;
  readonly value: unknown;

  constructor(field: string, value: unknown, expected: string) {
    super(`${field} ${JSON.stringify(value)}: expected ${expected}`);
    this.field = field;
    this.value = value;
  }
}

export type IptablesErrorCode =
  /** The program or the kernel refused a line; `line` and `text` say which. */
  | "rejected"
  /** Somebody else held the xtables lock for too long. */
  | "locked"
  /** A live rule jumps to a chain of ours that nobody defined; nothing was sent to the kernel. */
  | "undefined-chain"
  /** The program is missing, could not be started, or did not end in time. */
  | "unavailable";

export type IpSetErrorCode =
  | "rejected"
  /** A rule uses the set that is to be destroyed; `text` is the command that names it. */
  | "in-use"
  | "unavailable";

/** From a program that takes commands line by line. */
class RestoreError<Code extends string> extends Error {
  readonly code: Code;
  readonly stderr: string;
  /** Number of the refused line in the restore input, 1-based. */
  readonly line: number | undefined;
  /** That line itself. */
  readonly text: string | undefined;

  constructor(
    code: Code,
    message: string,
    data: { stderr?: string; line?: number | undefined; text?: string | undefined } = {},
  ) {
    super(message);
    this.code = code;
    this.stderr = data.stderr ?? "";
    this.line = data.line;
    this.text = data.text;
  }
}

export class IptablesError extends RestoreError<IptablesErrorCode> {
  override readonly name = "IptablesError";
}

export class IpSetError extends RestoreError<IpSetErrorCode> {
  override readonly name = "IpSetError";
}
