/**
 * Network namespaces for one test file: unique names, gone afterwards however the tests end, and `ip -j` run inside
 * them as the oracle. Nothing here ever acts on the machine's own namespace.
 */

import { execFileSync } from "node:child_process";
import { createNamespace, deleteNamespace, inNamespace } from "../../../linux/namespace.ts";

let counter = 0;

export class ScratchNamespaces {
  readonly #names: string[] = [];

  /** Registers the clean-up; to be called inside `describe`. Skips where this is not root. */
  constructor() {
    before("needs root for network namespaces", function () {
      if (process.getuid?.() !== 0) this.skip();
    });
    after(() => {
      for (const name of this.#names) deleteNamespace(name);
    });
  }

  create(): string {
    const name = `cx${process.pid}-${++counter}`;
    createNamespace(name);
    this.#names.push(name);
    return name;
  }
}

/** Output of a command run inside the namespace. */
export function run(namespace: string, command: string, ...args: string[]): string {
  return inNamespace(namespace, () =>
    execFileSync(command, args, { encoding: "utf8", maxBuffer: 1 << 28, stdio: "pipe" }),
  );
}

/** What `ip -j ARGS` says, inside the namespace. */
// biome-ignore lint/suspicious/noExplicitAny: iproute2's JSON is the oracle's; its shape is what the test asserts.
export function ip(namespace: string, ...args: string[]): any[] {
  const text = run(namespace, "ip", "-j", "-d", ...args).trim();
  return text === "" ? [] : JSON.parse(text);
}
