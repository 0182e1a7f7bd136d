/** What the allocator can refuse, as typed values: `code` says what, `data` says about which address, pool or host. */

export const IpamErrorCode = {
  /** No pool serves this request: none enabled, selected by node and namespace, of that use and family. */
  NoPool: "NO_POOL",
  /** The pools have no free address that this host may take. */
  Exhausted: "EXHAUSTED",
  /** The host would need one more block than it may own. */
  BlockLimit: "BLOCK_LIMIT",
  AlreadyAssigned: "ALREADY_ASSIGNED",
  NotAssigned: "NOT_ASSIGNED",
  /** The address lies in another host's block, and borrowing is off. */
  StrictAffinity: "STRICT_AFFINITY",
  /** The address lies in no enabled pool that allows the use. */
  NotInPool: "NOT_IN_POOL",
  /** The address is assigned under another handle than the release says. */
  BadHandle: "BAD_HANDLE",
  /** The address was assigned anew since the releaser looked. */
  BadSequenceNumber: "BAD_SEQUENCE_NUMBER",
  /** A hundred compare-and-swaps in a row lost. */
  TooManyConflicts: "TOO_MANY_CONFLICTS",
  /** The block belongs to another host. */
  BlockTaken: "BLOCK_TAKEN",
  /** The block cannot be given up while addresses are in use. */
  BlockNotEmpty: "BLOCK_NOT_EMPTY",
  InvalidConfig: "INVALID_CONFIG",
  /** A stored record breaks the format. */
  Corrupt: "CORRUPT",
} as const;

export type IpamErrorCode = (typeof IpamErrorCode)[keyof typeof IpamErrorCode];

export class IpamError extends Error {
  readonly code: IpamErrorCode;
  readonly data: Readonly<Record<string, unknown>>;
  constructor(
    code: IpamErrorCode,
    message: string,
    data: Readonly<Record<string, unknown>> = {},
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "IpamError";
    this.code = code;
    this.data = data;
  }
}

export function isIpamError(error: unknown, code?: IpamErrorCode): error is IpamError {
  return error instanceof IpamError && (code === undefined || error.code === code);
}
