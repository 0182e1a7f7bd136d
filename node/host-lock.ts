/**
 * One agent of a kind per host: two would undo each other's work. The lock must vanish with the process however
 * it dies, so it is one of the kernel's: an exclusive transaction of SQLite on an otherwise empty file, which is
 * fcntl locking without a C library to call.
 */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { NodeStartError, NodeStartErrorCode } from "./errors.ts";

/** Released by `using`, or by the end of the process. */
export interface HostLock {
  [Symbol.dispose](): void;
}

/**
 * @param folder where this host's state lives: hosts in namespaces of one machine have one each
 * @param agent "felix", "bgp"
 * @throws NodeStartError ALREADY_RUNNING
 */
export function lockHost(folder: string, agent: string): HostLock {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${agent}.lock`);
  const database = new DatabaseSync(file);
  try {
    // No rollback journal: a crash must not leave one for the next holder to play back.
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (!/locked|busy/i.test(String(error))) throw error;
    throw new NodeStartError(
      NodeStartErrorCode.AlreadyRunning,
      `${agent} is already running on this host (it holds ${file})`,
      { agent, file },
    );
  }
  return { [Symbol.dispose]: () => database.close() };
}
