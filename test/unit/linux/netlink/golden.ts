/** Bytes as hex in groups of four, and back. */

import { type Message, MessageWriter, readMessages } from "../../../../linux/netlink/message.ts";

export function hex(data: Uint8Array): string {
  return (
    Buffer.from(data)
      .toString("hex")
      .match(/.{1,8}/g) ?? []
  ).join(" ");
}

export function bytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ""), "hex"));
}

/** What `write` writes. */
export function written(write: (writer: MessageWriter) => void): string {
  const writer = new MessageWriter();
  write(writer);
  return hex(writer.bytes);
}

export function messages(text: string): Message[] {
  return [...readMessages(bytes(text))];
}

/** Reads back a message that was written, as if the kernel had sent it. */
export function readBack<T>(write: (writer: MessageWriter) => void, read: (message: Message) => T): T {
  const writer = new MessageWriter();
  write(writer);
  const [message] = [...readMessages(writer.bytes)];
  return read(message!);
}
