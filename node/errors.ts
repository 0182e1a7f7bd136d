/** Why a node cannot start: `code` says what, `data` about what; the message is a sentence for the operator. */

export const NodeStartErrorCode = {
  /** A variable has a value that means nothing. */
  InvalidEnvironment: "INVALID_ENVIRONMENT",
  /** No address could be found on this host, and one is needed. */
  NoAddress: "NO_ADDRESS",
  /** Another node has this address. */
  AddressInUse: "ADDRESS_IN_USE",
  /** Another machine is running under this node name. */
  NameInUse: "NAME_IN_USE",
  /** Another agent is running on this host. */
  AlreadyRunning: "ALREADY_RUNNING",
} as const;

export type NodeStartErrorCode = (typeof NodeStartErrorCode)[keyof typeof NodeStartErrorCode];

export class NodeStartError extends Error {
  readonly code: NodeStartErrorCode;
  readonly data: Readonly<Record<string, unknown>>;
  constructor(code: NodeStartErrorCode, message: string, data: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.name = "NodeStartError";
    this.code = code;
    this.data = data;
  }
}
