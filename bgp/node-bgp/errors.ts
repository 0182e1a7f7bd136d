/**
 * Every error this library throws is a {@link BgpError} with a `code`; the text is for people, never to be parsed.
 * What a neighbor does wrong is not thrown at the user: it ends as a NOTIFICATION and as an event.
 */

export type BgpErrorCode = "InvalidOption" | "MalformedMessage" | "ListenFailed" | "SocketOption" | "State";

export class BgpError extends Error {
  override readonly name: string = "BgpError";
  readonly code: BgpErrorCode;
  constructor(code: BgpErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A setting is wrong: which one, what was given, what is expected. */
export class OptionError extends BgpError {
  override readonly name = "OptionError";
  readonly option: string;
  readonly value: unknown;
  constructor(option: string, value: unknown, expected: string) {
    super("InvalidOption", `${option}: ${JSON.stringify(value)} is not ${expected}`);
    this.option = option;
    this.value = value;
  }
}

/** Bytes that must end the session: carries the NOTIFICATION to send (RFC 4271 6). */
export class MessageError extends BgpError {
  override readonly name = "MessageError";
  readonly notificationCode: number;
  readonly subcode: number;
  readonly data: Uint8Array;
  constructor(notificationCode: number, subcode: number, text: string, data: Uint8Array = new Uint8Array(0)) {
    super("MalformedMessage", text);
    this.notificationCode = notificationCode;
    this.subcode = subcode;
    this.data = data;
  }
}
