/** A whole command line inside a test: arguments in, what came out on each stream, and the exit code. */

import type { Context } from "../../../calctl/context.ts";
import { run } from "../../../calctl/main.ts";
import { CalicoClient } from "../../../datastore/client.ts";
import { type MemoryDatastore, memoryDatastore } from "../../../datastore/memory.ts";

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class Cluster {
  readonly datastore: MemoryDatastore = memoryDatastore();
  readonly client = new CalicoClient(this.datastore);
  /** How long commands slept, in milliseconds. */
  slept = 0;
  opened = 0;
  closed = 0;

  constructor() {
    // Each command closes what it opened; the next one finds the same state.
    this.datastore.close = async () => {
      this.closed++;
    };
  }

  /** Runs `calctl <argv>` with `stdin`; relative file names are relative to `cwd`. */
  async calctl(argv: readonly string[], { stdin = "", cwd = "/" } = {}): Promise<Ran> {
    let stdout = "";
    let stderr = "";
    const context: Context = {
      stdin: (async function* () {
        yield stdin;
      })(),
      stdout: { write: text => (stdout += text) },
      stderr: { write: text => (stderr += text) },
      env: {},
      cwd,
      clock: {
        now: () => Date.now(),
        sleep: async ms => {
          this.slept += ms;
        },
      },
      openDatastore: async () => {
        this.opened++;
        return this.datastore;
      },
    };
    const code = await run(argv, context);
    return { code, stdout, stderr };
  }
}
