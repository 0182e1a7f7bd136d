/**
 * Two network namespaces with a cable between them, and processes in them, for tests with real peers. Names carry our
 * process id; everything is gone after `remove`, also when a test fails.
 */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

let count = 0;

export class Cable {
  readonly left: string;
  readonly right: string;
  /** A folder for sockets and configuration. */
  readonly folder = mkdtempSync(join(tmpdir(), "node-bgp-"));
  readonly #processes = new Set<ChildProcess>();

  /** `left` has 10.99.0.1 and fd99::1, `right` 10.99.0.2 and fd99::2. */
  constructor() {
    const name = `nb${process.pid}-${count++}`;
    this.left = `${name}l`;
    this.right = `${name}r`;
    ip("netns", "add", this.left);
    ip("netns", "add", this.right);
    ip("-n", this.left, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", this.right);
    for (const [namespace, last] of [
      [this.left, 1],
      [this.right, 2],
    ] as const) {
      ip("-n", namespace, "addr", "add", `10.99.0.${last}/24`, "dev", "eth0");
      ip("-n", namespace, "addr", "add", `fd99::${last}/64`, "dev", "eth0", "nodad");
      ip("-n", namespace, "link", "set", "eth0", "up");
      ip("-n", namespace, "link", "set", "lo", "up");
    }
  }

  /** More addresses for `left`. */
  addAddresses(ipv4: string, ipv6: string): void {
    ip("-n", this.left, "addr", "add", `${ipv4}/24`, "dev", "eth0");
    ip("-n", this.left, "addr", "add", `${ipv6}/64`, "dev", "eth0", "nodad");
  }

  spawn(
    namespace: string,
    command: string,
    args: readonly string[],
    stderr: "inherit" | "ignore" = "ignore",
  ): ChildProcess {
    const child = spawn("ip", ["netns", "exec", namespace, command, ...args], {
      stdio: ["pipe", "pipe", stderr],
    });
    this.#processes.add(child);
    child.once("exit", () => this.#processes.delete(child));
    return child;
  }

  remove(): void {
    for (const child of this.#processes) child.kill("SIGKILL");
    for (const namespace of [this.left, this.right]) ip("netns", "delete", namespace);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** For things that send no event: asks every 20 ms, and says what was last seen when it gives up. */
export async function until<T>(
  what: string,
  ask: () => T | undefined | Promise<T | undefined>,
  seconds = 10,
): Promise<T> {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

export function exited(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise(resolve => child.once("exit", () => resolve()));
}

function ip(...args: string[]): void {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "pipe"] });
}
