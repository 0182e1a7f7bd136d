/**
 * Bytes of a TCP stream into messages. Messages lie in the caller's chunk and are handed out in place; only a message
 * cut by the end of a chunk is copied, once, into a buffer of the longest message. Nothing is concatenated, so the cost is linear
 * however the stream is cut, down to single bytes.
 */

import { MessageError } from "../errors.ts";
import {
  HEADER_LENGTH,
  HeaderError,
  MARKER_LENGTH,
  MAX_EXTENDED_LENGTH,
  MAX_MESSAGE_LENGTH,
  MessageType,
  NotificationCode,
} from "./constants.ts";

/** The body of the message is `bytes` from `start` to `end`, valid only during the call. Returns false to stop behind it. */
export type MessageSink = (type: MessageType, bytes: Uint8Array, start: number, end: number) => boolean;

const MINIMUM: Record<MessageType, number> = {
  [MessageType.open]: 29,
  [MessageType.update]: 23,
  [MessageType.notification]: 21,
  [MessageType.keepalive]: 19,
  [MessageType.routeRefresh]: 23,
};

export class Framer {
  #maximum = MAX_MESSAGE_LENGTH;
  #partial = new Uint8Array(MAX_MESSAGE_LENGTH);
  #held = 0;

  /** Both sides take messages of up to 65535 bytes (RFC 8654). */
  allowExtended(): void {
    this.#maximum = MAX_EXTENDED_LENGTH;
  }

  /**
   * Returns how much of the chunk is done with: all of it, unless the sink said stop; the rest is then to be pushed again.
   * Throws {@link MessageError} where the stream is no longer BGP; the framer must not be used after that.
   */
  push(chunk: Uint8Array, sink: MessageSink): number {
    let offset = 0;
    while (this.#held > 0 && offset < chunk.length) {
      // Complete the cut message: first its header, which tells how much more is missing.
      const want =
        this.#held < HEADER_LENGTH ? HEADER_LENGTH : messageLength(this.#partial, 0, this.#maximum);
      const take = Math.min(want - this.#held, chunk.length - offset);
      this.#reserve(this.#held + take);
      this.#partial.set(chunk.subarray(offset, offset + take), this.#held);
      this.#held += take;
      offset += take;
      if (this.#held < HEADER_LENGTH) return offset;
      const length = messageLength(this.#partial, 0, this.#maximum);
      if (this.#held < length) continue;
      this.#held = 0;
      if (!emit(this.#partial, 0, length, sink)) return offset;
    }
    while (offset + HEADER_LENGTH <= chunk.length) {
      const length = messageLength(chunk, offset, this.#maximum);
      if (offset + length > chunk.length) break;
      const goesOn = emit(chunk, offset, length, sink);
      offset += length;
      if (!goesOn) return offset;
    }
    if (offset < chunk.length) {
      this.#reserve(chunk.length - offset);
      this.#partial.set(chunk.subarray(offset), 0);
      this.#held = chunk.length - offset;
    }
    return chunk.length;
  }

  #reserve(length: number): void {
    if (length <= this.#partial.length) return;
    const longest = new Uint8Array(this.#maximum);
    longest.set(this.#partial.subarray(0, this.#held));
    this.#partial = longest;
  }
}

function emit(bytes: Uint8Array, offset: number, length: number, sink: MessageSink): boolean {
  return sink(bytes[offset + 18] as MessageType, bytes, offset + HEADER_LENGTH, offset + length);
}

/** Checks the header at `offset` (RFC 4271 6.1) and returns the length of the message. */
function messageLength(bytes: Uint8Array, offset: number, maximum: number): number {
  for (let i = 0; i < MARKER_LENGTH; i++) {
    if (bytes[offset + i] !== 0xff) {
      throw new MessageError(
        NotificationCode.messageHeader,
        HeaderError.notSynchronized,
        "marker is not all ones",
      );
    }
  }
  const length = (bytes[offset + 16]! << 8) | bytes[offset + 17]!;
  const type = bytes[offset + 18]!;
  const minimum = MINIMUM[type as MessageType];
  if (minimum === undefined) {
    throw new MessageError(
      NotificationCode.messageHeader,
      HeaderError.badType,
      `message type ${type}`,
      Uint8Array.of(type),
    );
  }
  // RFC 8654 4: OPEN and KEEPALIVE stay as they were.
  const longest =
    type === MessageType.keepalive ? HEADER_LENGTH : type === MessageType.open ? MAX_MESSAGE_LENGTH : maximum;
  if (length < minimum || length > longest) {
    throw new MessageError(
      NotificationCode.messageHeader,
      HeaderError.badLength,
      `length ${length} of message type ${type}`,
      Uint8Array.of(length >>> 8, length & 0xff),
    );
  }
  return length;
}

/** Puts the header in front of a message body. */
export function frame(type: MessageType, body: Uint8Array = new Uint8Array(0)): Uint8Array {
  const message = new Uint8Array(HEADER_LENGTH + body.length);
  message.fill(0xff, 0, MARKER_LENGTH);
  message[16] = message.length >>> 8;
  message[17] = message.length & 0xff;
  message[18] = type;
  message.set(body, HEADER_LENGTH);
  return message;
}
