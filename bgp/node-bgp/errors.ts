/**
 * Every error this library throws is a {@link BgpError}: `code` says what it is, `detail` has the data that belongs to the code; the
 * text is for people, never to be parsed. What a neighbor does wrong is not thrown at the user: it ends as a NOTIFICATION and as an event.
 *
 *   if (error instanceof BgpError && error.detail.code === "PasswordRoom") console.log(error.detail.needed);
 */

export type BgpErrorDetail =
  /** A setting is wrong: which one, what was given (`***` for a secret), what is expected. */
  | {
      readonly code: "InvalidOption";
      readonly option: string;
      readonly value: unknown;
      readonly expected: string;
    }
  /** Bytes that are no BGP message, and the NOTIFICATION they deserve (RFC 4271 6). */
  | {
      readonly code: "MalformedMessage";
      readonly notificationCode: number;
      readonly subcode: number;
      readonly data: Uint8Array;
    }
  /** `system` is the name of the system error, such as `EADDRINUSE`. */
  | {
      readonly code: "ListenFailed";
      readonly address: string;
      readonly port: number;
      readonly system: string | undefined;
    }
  /** The kernel refuses an option of a socket. */
  | { readonly code: "SocketOption"; readonly option: string; readonly system: string | undefined }
  /** What was asked for needs Linux and the npm package `koffi`, which is not there. */
  | { readonly code: "NativeMissing"; readonly needs: string }
  /**
   * The kernel has no room for another TCP MD5 key on a listening socket: `room` of them fit with net.core.optmem_max at
   * `optionMemory`; `needed` is the value that makes room for twice as many as are there.
   */
  | {
      readonly code: "PasswordRoom";
      readonly room: number;
      readonly optionMemory: number;
      readonly needed: number;
    }
  | { readonly code: "NeighborExists"; readonly address: string }
  | { readonly code: "NeighborUnknown"; readonly address: string }
  | { readonly code: "DynamicExists"; readonly prefix: string }
  | { readonly code: "DynamicUnknown"; readonly prefix: string }
  | { readonly code: "BfdSessionExists"; readonly address: string }
  | { readonly code: "BfdClosed" }
  /** The speaker is in the wrong phase for the call: `starting`, `running` or `stopped`. */
  | { readonly code: "SpeakerState"; readonly phase: string };

export type BgpErrorCode = BgpErrorDetail["code"];

/** The data of one code. */
export type BgpErrorOf<Code extends BgpErrorCode> = Extract<BgpErrorDetail, { readonly code: Code }>;

export class BgpError extends Error {
  override readonly name: string = "BgpError";
  readonly code: BgpErrorCode;
  readonly detail: BgpErrorDetail;
  constructor(detail: BgpErrorDetail, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = detail.code;
    this.detail = detail;
  }
}

/** `InvalidOption`, with its data at hand. */
export class OptionError extends BgpError {
  override readonly name = "OptionError";
  declare readonly detail: BgpErrorOf<"InvalidOption">;
  readonly option: string;
  readonly value: unknown;
  constructor(option: string, value: unknown, expected: string) {
    const text = `${option}: ${JSON.stringify(value)} is not ${expected}`;
    super({ code: "InvalidOption", option, value, expected }, text);
    this.option = option;
    this.value = value;
  }
}

/** `MalformedMessage`, with its data at hand. */
export class MessageError extends BgpError {
  override readonly name = "MessageError";
  declare readonly detail: BgpErrorOf<"MalformedMessage">;
  readonly notificationCode: number;
  readonly subcode: number;
  readonly data: Uint8Array;
  constructor(notificationCode: number, subcode: number, text: string, data: Uint8Array = new Uint8Array(0)) {
    super({ code: "MalformedMessage", notificationCode, subcode, data }, text);
    this.notificationCode = notificationCode;
    this.subcode = subcode;
    this.data = data;
  }
}
