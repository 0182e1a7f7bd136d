/**
 * How a commit in one process wakes the watches in all others: a file beside the database, one byte of which is
 * written after COMMIT, and which every watching process has inotify on. Watching the WAL itself would fire
 * before the commit is visible. Who is killed between COMMIT and the ring leaves a silent change: so watchers
 * also look by themselves twice a second.
 */

import { closeSync, constants, type FSWatcher, openSync, watch, writeSync } from "node:fs";
import type { Logger } from "../../daemon/log.ts";

const BYTE = new Uint8Array([0x21]);

export class Doorbell {
  readonly #path: string;
  readonly #logger: Logger | undefined;
  #ringing: number | undefined;
  #watcher: FSWatcher | undefined;

  constructor(path: string, logger: Logger | undefined) {
    this.#path = path;
    this.#logger = logger;
  }

  /** Never throws: the change is committed, and will be seen a little later. */
  ring(): void {
    try {
      this.#ringing ??= this.#open();
      writeSync(this.#ringing, BYTE, 0, 1, 0);
    } catch (error) {
      this.#logger?.debug({ err: error }, "cannot ring the datastore's doorbell");
    }
  }

  /** Calls `onRing` from now on; false where that does not work (inotify exhausted): then poll faster. */
  listen(onRing: () => void): boolean {
    try {
      this.#ringing ??= this.#open();
      this.#watcher = watch(this.#path, onRing);
      this.#watcher.on("error", error => {
        this.#logger?.warn({ err: error }, "lost the datastore's doorbell, polling instead");
      });
      return true;
    } catch (error) {
      this.#logger?.warn({ err: error }, "cannot watch the datastore's doorbell, polling instead");
      return false;
    }
  }

  silence(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  close(): void {
    this.silence();
    if (this.#ringing !== undefined) closeSync(this.#ringing);
    this.#ringing = undefined;
  }

  #open(): number {
    return openSync(this.#path, constants.O_RDWR | constants.O_CREAT, 0o600);
  }
}
