/** A network namespace of a test's own, so that nothing here can reach the machine's tables. */

import { execFileSync, spawnSync } from "node:child_process";
import { createRunner, type Run } from "../run.ts";

export interface Netns {
  readonly name: string;
  /** Runs a program inside. */
  readonly run: Run;
  /** Runs a shell command inside, as somebody else would; its output. */
  sh(command: string, stdin?: string): string;
  delete(): void;
}

let counter = 0;

/** Why tests with a real kernel cannot run here, if they cannot. */
export function whyNoNetns(...programs: string[]): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  const missing = ["ip", ...programs].find(p => spawnSync("which", [p]).status !== 0);
  return missing ? `${missing} is not installed` : undefined;
}

export function createNetns(): Netns {
  const name = `cx${process.pid}-ipt${counter++}`;
  execFileSync("ip", ["netns", "add", name]);
  const prefix = ["ip", "netns", "exec", name];
  return {
    name,
    run: createRunner({ prefix }),
    sh: (command, input = "") =>
      execFileSync("ip", ["netns", "exec", name, "sh", "-c", command], {
        input,
        encoding: "utf8",
        maxBuffer: 1 << 28,
        stdio: ["pipe", "pipe", "pipe"],
      }),
    delete: () => void spawnSync("ip", ["netns", "del", name]),
  };
}
