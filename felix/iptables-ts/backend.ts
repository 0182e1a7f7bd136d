/**
 * The two programs behind a name: `iptables` may speak nf_tables or the legacy xtables interface, each with
 * tables of its own that the other does not see. Rules must go where the host's other rules are, else the two sets
 * filter one after the other and nobody can read the result; so by default the variant that holds more rules is
 * taken, nf_tables when equal.
 */

import { IptablesError } from "./errors.ts";
import type { TableName } from "./parse.ts";
import { createRunner, type Run, type RunResult } from "./run.ts";
import { RestoreSession } from "./session.ts";

export type Variant = "nft" | "legacy";
export type IpVersion = 4 | 6;

export interface Backend {
  readonly ipVersion: IpVersion;
  readonly variant: Variant;
  /** What `iptables-save` prints, of one table or of all that exist; with what each rule has counted, if asked. */
  save(table?: TableName, options?: { readonly counters?: boolean }): Promise<string>;
  /** Applies a restore file without flushing what it does not name. Throws IptablesError. */
  restore(file: string): Promise<void>;
  /** Lets go of the program kept for the next restore, if there is one. It may be used again. */
  close?(): void;
}

export interface DetectOptions {
  readonly ipVersion: IpVersion;
  /** Default: whichever already holds more rules. */
  readonly variant?: Variant | "auto";
  readonly run?: Run;
  /** Seconds to wait for the xtables lock, where the program knows how to. Default 10. */
  readonly lockWaitSeconds?: number;
  /** Keep one restore program running between commits instead of starting one for each (see session.ts). Default true. */
  readonly keepRunning?: boolean;
}

export async function detectBackend(options: DetectOptions): Promise<Backend> {
  const {
    ipVersion,
    variant = "auto",
    run = createRunner(),
    lockWaitSeconds = 10,
    keepRunning = true,
  } = options;
  const base = ipVersion === 4 ? "iptables" : "ip6tables";
  const candidates = variant === "auto" ? (["nft", "legacy"] as const) : [variant];

  let best: { variant: Variant; program: string; rules: number } | undefined;
  for (const candidate of candidates) {
    const program = `${base}-${candidate}`;
    const rules = await countRules(run, program);
    if (rules !== undefined && (!best || rules > best.rules)) best = { variant: candidate, program, rules };
  }
  // Old distributions have one variant only, under the bare name.
  const program = best?.program ?? base;
  const version = await programVersion(run, `${program}-restore`);
  if (!version)
    throw new IptablesError("unavailable", `neither ${base}-${candidates.join(`, ${base}-`)} nor ${base}`);
  if (!best && variant !== "auto" && version.variant !== variant)
    throw new IptablesError("unavailable", `${base} is the ${version.variant} variant, wanted ${variant}`);

  return processBackend({
    ipVersion,
    variant: best?.variant ?? version.variant,
    program,
    run,
    waitSeconds: version.hasWait ? lockWaitSeconds : undefined,
    keepRunning,
  });
}

/** Undefined: not installed, or the kernel does not know this interface. A passing failure must not look like that. */
async function countRules(run: Run, program: string): Promise<number | undefined> {
  for (let attempt = 1; attempt <= 3; attempt++) {
    try {
      // Legacy reads only tables whose modules are loaded already, so asking loads nothing.
      const { code, stdout } = await run(`${program}-save`, []);
      if (code === 0) return stdout.match(/^-A /gm)?.length ?? 0;
    } catch {
      return undefined;
    }
  }
  return undefined;
}

async function programVersion(
  run: Run,
  program: string,
): Promise<{ variant: Variant; hasWait: boolean } | undefined> {
  try {
    const { stdout, stderr } = await run(program, ["--version"]);
    const text = stdout + stderr;
    const [, major = 0, minor = 0, patch = 0] = (/v(\d+)\.(\d+)\.(\d+)/.exec(text) ?? []).map(Number);
    const number = (major * 100 + minor) * 100 + patch;
    if (number === 0) return undefined;
    // iptables-restore learnt --wait in 1.6.2.
    return { variant: text.includes("nf_tables") ? "nft" : "legacy", hasWait: number >= 10602 };
  } catch {
    return undefined;
  }
}

function processBackend(options: {
  ipVersion: IpVersion;
  variant: Variant;
  program: string;
  run: Run;
  waitSeconds: number | undefined;
  keepRunning: boolean;
}): Backend {
  const { ipVersion, variant, program, run, waitSeconds } = options;
  const attempt = async <T>(command: string, work: () => Promise<T>) => {
    try {
      return await work();
    } catch (error) {
      throw new IptablesError("unavailable", `${command}: ${(error as Error).message}`);
    }
  };
  const restoreArgs = ["--noflush", ...(waitSeconds === undefined ? [] : ["--wait", `${waitSeconds}`])];
  const { start } = run;
  let session =
    options.keepRunning && start
      ? new RestoreSession({ start: () => start(`${program}-restore`, [...restoreArgs, "--verbose"]) })
      : undefined;

  const restore = async (file: string): Promise<RunResult & { lineOffset?: number }> => {
    const kept = await session?.commit(file);
    if (kept) return kept;
    session = undefined;
    return run(`${program}-restore`, restoreArgs, file);
  };

  return {
    ipVersion,
    variant,
    async save(table, { counters = false } = {}) {
      const words = [...(counters ? ["-c"] : []), ...(table ? ["-t", table] : [])];
      const { code, stdout, stderr } = await attempt(`${program}-save`, () => run(`${program}-save`, words));
      if (code !== 0)
        throw new IptablesError("unavailable", `${program}-save: ${firstLine(stderr)}`, { stderr });
      return stdout;
    },
    async restore(file) {
      const { code, stderr, lineOffset = 0 } = await attempt(`${program}-restore`, () => restore(file));
      if (code === 0) return;
      const counted = refusedLine(stderr);
      const line = counted === undefined ? undefined : counted - lineOffset;
      const text = line === undefined ? undefined : file.split("\n")[line - 1];
      const where = text === undefined ? "" : ` at line ${line}: ${text}`;
      throw new IptablesError(
        code === 4 && /lock/i.test(stderr) ? "locked" : "rejected",
        `${program}-restore: ${firstLine(stderr)}${where}`,
        { stderr, line, text },
      );
    },
    close: () => session?.close(),
  };
}

/** "line 5: RULE_APPEND failed", "line 4 failed" or "Error occurred at line: 3", depending on variant and stage. */
function refusedLine(stderr: string): number | undefined {
  const found = /\bline:? (\d+)/.exec(stderr)?.[1];
  return found === undefined ? undefined : Number(found);
}

const firstLine = (text: string) => text.trim().split("\n").slice(0, 2).join(" ").trim() || "no message";
