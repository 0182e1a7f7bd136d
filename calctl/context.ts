/**
 * Everything a command touches outside itself, passed in, so that a whole command line runs inside a test:
 * no command reads process.* or opens a connection on its own.
 */

import type { Clock } from "../daemon/clock.ts";
import type { Datastore } from "../datastore/datastore.ts";

export interface Output {
  write(text: string): unknown;
}

export interface Context {
  readonly stdin: AsyncIterable<string | Uint8Array>;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What relative file names are relative to. */
  readonly cwd: string;
  readonly clock: Clock;
  /** Opens the datastore that the `--config` file or else the environment names. */
  readonly openDatastore: (context: Context, configFile: string | undefined) => Promise<Datastore>;
}
