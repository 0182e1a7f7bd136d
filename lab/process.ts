/**
 * Processes that outlive the command that started them, known by pid and start time: a pid alone may by now be
 * somebody else's process.
 */

import { type SpawnOptions, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { inNamespace, namespaceIdentity } from "../linux/namespace.ts";

/** Of the repository, from the sources as from the bundle in dist/: what a lab starts is started from there. */
export const ROOT = join(import.meta.dirname, "..");

export interface ProcessRef {
  readonly pid: number;
  /** Clock ticks since boot, field 22 of /proc/PID/stat. */
  readonly startTime: string;
}

export interface DetachedOptions {
  /** Default: the machine's own. */
  readonly namespace?: string;
  readonly log: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
}

/** Starts `command` in a network namespace, in a session of its own, with its output appended to a log file. */
export function startDetached(command: readonly string[], options: DetachedOptions): ProcessRef {
  mkdirSync(dirname(options.log), { recursive: true });
  const log = openSync(options.log, "a");
  try {
    const spawned: SpawnOptions = {
      detached: true,
      stdio: ["ignore", log, log],
      env: { ...process.env, ...options.env },
      cwd: options.cwd ?? "/",
    };
    const start = () => spawn(command[0] as string, command.slice(1), spawned);
    const child = options.namespace === undefined ? start() : inNamespace(options.namespace, start);
    child.on("error", () => {}); // the missing pid below says it
    child.unref();
    if (child.pid === undefined) throw new Error(`cannot start ${command.join(" ")}`);
    return { pid: child.pid, startTime: startTime(child.pid) ?? "" };
  } finally {
    closeSync(log);
  }
}

export function isAlive(ref: ProcessRef): boolean {
  const now = startTime(ref.pid);
  return now !== undefined && now === ref.startTime;
}

/** Sends the signal if the process is still the one meant; whether it was. */
export function signal(ref: ProcessRef, name: NodeJS.Signals): boolean {
  if (!isAlive(ref)) return false;
  try {
    process.kill(ref.pid, name);
    return true;
  } catch {
    return false;
  }
}

/** SIGKILL, and waits until the process is gone. */
export async function killAndWait(ref: ProcessRef): Promise<void> {
  if (!signal(ref, "SIGKILL")) return;
  while (isAlive(ref)) await new Promise(resolve => setTimeout(resolve, 5));
}

/** Every process whose network namespace is the given one: children of children included. */
export function processesIn(namespace: string): ProcessRef[] {
  const wanted = namespaceIdentity(namespace);
  const found: ProcessRef[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (readlinkSync(`/proc/${name}/ns/net`) !== wanted) continue;
      const started = startTime(Number(name));
      if (started !== undefined) found.push({ pid: Number(name), startTime: started });
    } catch {
      // gone between two looks
    }
  }
  return found;
}

/** The variable that says which lab a process was started by or for, handed on to whatever that starts. */
export const LAB_VARIABLE = "CALYX_LAB";

/**
 * Every process that was started by or for a lab: records can be missing, because whoever should have written them was
 * killed, and the machine's own network namespace tells nothing.
 */
export function processesOfLabs(): (ProcessRef & { readonly lab: string; readonly command: string })[] {
  const found: ReturnType<typeof processesOfLabs> = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    try {
      const variable = readFileSync(`/proc/${name}/environ`, "utf8")
        .split("\0")
        .find(text => text.startsWith(`${LAB_VARIABLE}=`));
      const started = variable === undefined ? undefined : startTime(Number(name));
      if (variable === undefined || started === undefined) continue;
      const command = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0").join(" ").trim();
      found.push({
        pid: Number(name),
        startTime: started,
        lab: variable.slice(LAB_VARIABLE.length + 1),
        command,
      });
    } catch {
      // gone between two looks, or not ours to look at
    }
  }
  return found;
}

/**
 * Undefined where there is no such process, or only its zombie. While threads of it are at work in the kernel yet, its first
 * one is a zombie already and its sockets are still open.
 */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command's name, in parentheses, may hold anything, blanks and parentheses included.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const isOver = fields[0] === "Z" && readdirSync(`/proc/${pid}/task`).length <= 1;
    return isOver ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
