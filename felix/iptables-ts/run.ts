/**
 * Starting programs, as an injected function: tests put a kernel made of Maps here, and a network namespace is
 * nothing but words before the command. Never blocks the event loop.
 */

import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";

export interface RunResult {
  /** Exit status; null when ended by a signal. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Run {
  /** Rejects (ENOENT, a timeout) only when the program could not be run to its end. */
  (command: string, args: readonly string[], stdin?: string): Promise<RunResult>;
  /** Starts a program that stays and is written to. A runner without this starts a program per commit. */
  readonly start?: (command: string, args: readonly string[]) => ChildProcessWithoutNullStreams;
}

export interface RunnerOptions {
  /** Put before every command, e.g. ["ip", "netns", "exec", "red"]. */
  readonly prefix?: readonly string[];
  /** After this the program is killed and the call rejects. Default 60 s. */
  readonly timeoutMs?: number;
}

export function createRunner(options: RunnerOptions = {}): Run {
  const { prefix = [], timeoutMs = 60_000 } = options;
  const start = (command: string, args: readonly string[]) => {
    const [program = command, ...words] = [...prefix, command, ...args];
    return spawn(program, words, { stdio: ["pipe", "pipe", "pipe"] });
  };
  const run = (command: string, args: readonly string[], stdin?: string) =>
    new Promise<RunResult>((resolve, reject) => {
      const child = start(command, args);
      const stdout: Buffer[] = [];
      const stderr: Buffer[] = [];
      const timer = setTimeout(() => {
        child.kill("SIGKILL");
        reject(new Error(`${command} did not end within ${timeoutMs} ms`));
      }, timeoutMs);
      child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
      child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
      // A program that refuses its input early closes the pipe (EPIPE); what it says on stderr is the real answer.
      child.stdin.on("error", () => {});
      child.on("error", error => {
        clearTimeout(timer);
        reject(error);
      });
      child.on("close", code => {
        clearTimeout(timer);
        resolve({
          code,
          stdout: Buffer.concat(stdout).toString(),
          stderr: Buffer.concat(stderr).toString(),
        });
      });
      child.stdin.end(stdin ?? "");
    });
  return Object.assign(run, { start });
}
