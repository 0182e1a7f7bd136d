/**
 * Room kept for the day the disk is full. SQLite can then not even delete: a delete writes to the WAL first. So
 * a file of two megabytes lies beside the database, and is given up for what makes room: deletes, and updates that
 * do not grow. It comes back as soon as the disk has space for it, and for the WAL besides: taking the last bit
 * of room for the reserve would leave none to work in.
 */

import { existsSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

const BYTES = 2 * 1024 * 1024;
const WORKING_BYTES = 1024 * 1024;

export class Reserve {
  readonly #path: string;
  readonly #bytes: number;

  constructor(path: string, bytes = BYTES) {
    this.#path = path;
    this.#bytes = bytes;
  }

  /** True if there was something to give up. */
  release(): boolean {
    if (!existsSync(this.#path)) return false;
    rmSync(this.#path, { force: true });
    return true;
  }

  /** Puts the file back where it is missing; where there is no room, another time. */
  restore(): void {
    if (existsSync(this.#path)) return;
    try {
      const { bavail, bsize } = statfsSync(dirname(this.#path));
      if (bavail * bsize < this.#bytes + WORKING_BYTES) return;
      // Not zeros: a file system that compresses would keep no room for them.
      writeFileSync(this.#path, noise(this.#bytes), { mode: 0o600 });
    } catch {
      rmSync(this.#path, { force: true });
    }
  }
}

function noise(bytes: number): Uint8Array {
  const words = new Uint32Array(bytes / 4);
  let state = 0x9e3779b9;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer);
}
