/**
 * Bytes of a TCP stream into messages. Messages lie in the caller's chunk and are handed out in place; only a message
 * cut by the end of a chunk is copied, once, into a 4 KiB buffer. Nothing is concatenated, so the cost is linear
 * however the stream is cut, down to single bytes.
 */

import { MessageError } from "../errors.ts";
import {
  HEADER_LENGTH,
  HeaderError,
  MARKER_LENGTH,
  MAX_MESSAGE_LENGTH,
  MessageType,
  NotificationCode,
} from "./constants.ts";

/** `body` is only valid during the call. Returns false to stop: what is left of the chunk is dropped. */
export type MessageSink = (type: MessageType, body: Uint8Array) => boolean;

const MINIMUM: Record<MessageType, number> = {
  [MessageType.open]: 29,
  [MessageType.update]: 23,
  [MessageType.notification]: 21,
  [MessageType.keepalive]: 19,
  [MessageType.routeRefresh]: 23,
};

export class Framer {
  readonly #partial = new Uint8Array(MAX_MESSAGE_LENGTH);
  #held = 0;

  /** Throws {@link MessageError} where the stream is no longer BGP; the framer must not be used after that. */
  push(chunk: Uint8Array, sink: MessageSink): void {
    let offset = 0;
    while (this.#held > 0 && offset < chunk.length) {
      // Complete the cut message: first its header, which tells how much more is missing.
      const want = this.#held < HEADER_LENGTH ? HEADER_LENGTH : messageLength(this.#partial, 0);
      const take = Math.min(want - this.#held, chunk.length - offset);
      this.#partial.set(chunk.subarray(offset, offset + take), this.#held);
      this.#held += take;
      offset += take;
      if (this.#held < HEADER_LENGTH) return;
      const length = messageLength(this.#partial, 0);
      if (this.#held < length) continue;
      this.#held = 0;
      if (!emit(this.#partial, 0, length, sink)) return;
    }
    while (offset + HEADER_LENGTH <= chunk.length) {
      const length = messageLength(chunk, offset);
      if (offset + length > chunk.length) break;
      if (!emit(chunk, offset, length, sink)) return;
      offset += length;
    }
    if (offset < chunk.length) {
      this.#partial.set(chunk.subarray(offset), 0);
      this.#held = chunk.length - offset;
    }
  }
}

function emit(bytes: Uint8Array, offset: number, length: number, sink: MessageSink): boolean {
  return sink(bytes[offset + 18] as MessageType, bytes.subarray(offset + HEADER_LENGTH, offset + length));
}

/** Checks the header at `offset` (RFC 4271 6.1) and returns the length of the message. */
function messageLength(bytes: Uint8Array, offset: number): number {
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
  const tooLong = length > MAX_MESSAGE_LENGTH || (type === MessageType.keepalive && length > HEADER_LENGTH);
  if (length < minimum || tooLong) {
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
