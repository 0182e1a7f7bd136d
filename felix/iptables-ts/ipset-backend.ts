/** Reading and changing ipsets with the `ipset` program: one process per batch. Netlink may come later behind the same interface. */

import { IpSetError } from "./errors.ts";
import { createRunner, type Run } from "./run.ts";

export interface IpSetBackend {
  /** What `ipset save` prints, of all sets. */
  save(): Promise<string>;
  /** Applies commands in order, stopping at the first that is refused. Throws IpSetError. */
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
    async save() {
      const { code, stdout, stderr } = await start(["save"]);
      if (code !== 0) throw new IpSetError("unavailable", `ipset save: ${stderr.trim()}`, { stderr });
      return stdout;
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
