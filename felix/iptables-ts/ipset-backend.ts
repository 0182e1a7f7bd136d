/** How ipsets are read and changed; here with the `ipset` program, one process per batch. */

import { IpSetError } from "./errors.ts";
import { type KernelSet, parseIpSets } from "./ipset-parse.ts";
import { createRunner, type Run } from "./run.ts";

export interface IpSetBackend {
  /** The sets whose names are wanted, with their elements as `ipset save` prints them. Throws IpSetError. */
  read(wanted: (name: string) => boolean): Promise<Map<string, KernelSet>>;
  /**
   * Applies commands of `ipset restore` in order, stopping at the first that is refused. Adding what is there and
   * deleting what is not is no error. Throws IpSetError.
   */
  restore(commands: readonly string[]): Promise<void>;
}

export function createIpSetBackend(options: { run?: Run } = {}): IpSetBackend {
  const { run = createRunner() } = options;
  const start = async (args: string[], stdin?: string) => {
    try {
      return await run("ipset", args, stdin);
    } catch (error) {
      throw new IpSetError("unavailable", `ipset: ${(error as Error).message}`);
    }
  };
  return {
    async read(wanted) {
      const { code, stdout, stderr } = await start(["save"]);
      if (code !== 0) throw new IpSetError("unavailable", `ipset save: ${stderr.trim()}`, { stderr });
      return parseIpSets(stdout, wanted);
    },
    async restore(commands) {
      // -exist: adding what is there and deleting what is not is no error, so a stale picture does no harm.
      const { code, stderr } = await start(["restore", "-exist"], `${commands.join("\n")}\n`);
      if (code === 0) return;
      const found = /in line (\d+)/.exec(stderr)?.[1];
      const line = found === undefined ? undefined : Number(found);
      const text = line === undefined ? undefined : commands[line - 1];
      throw new IpSetError(
        /in use/.test(stderr) ? "in-use" : "rejected",
        `ipset restore: ${stderr.trim()}${text === undefined ? "" : `: ${text}`}`,
        { stderr, line, text },
      );
    },
  };
}
