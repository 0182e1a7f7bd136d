/** Writing much without keeping others waiting: one piece, then the event loop's turn, or the reader's. */

import type { Writable } from "node:stream";

/** Resolves when more may be written: next turn, or when the reader has taken what it was given, or is gone. */
export function writeGently(stream: Writable, piece: string): Promise<void> {
  if (piece === "" || stream.write(piece)) return new Promise(resolve => setImmediate(resolve));
  return new Promise(resolve => {
    const done = () => {
      stream.off("drain", done).off("close", done);
      resolve();
    };
    stream.on("drain", done).on("close", done);
  });
}
