/** A ping that runs while other things happen, and then says what it missed. */

import type { ChildProcess } from "node:child_process";
import type { Lab } from "../lab.ts";

export class RunningPing {
  readonly #child: ChildProcess;
  #output = "";

  /** Twenty a second if nothing else is said, from a workload to an address. */
  constructor(lab: Lab, from: string, to: string, everySeconds = 0.05) {
    const command = ["ping", "-n", "-i", String(everySeconds), to];
    this.#child = lab.exec(from, command, { stdio: ["ignore", "pipe", "ignore"] });
    this.#child.stdout?.on("data", chunk => {
      this.#output += chunk;
    });
  }

  /** Ends it; how many were sent and how many came back. */
  async stop(): Promise<{ sent: number; received: number }> {
    const ended = new Promise(resolve => this.#child.once("close", resolve));
    this.#child.kill("SIGINT");
    await ended;
    const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(this.#output) ?? [];
    return { sent: Number(sent ?? 0), received: Number(received ?? 0) };
  }
}

/** One ping: the TTL of the answer, or "no answer". */
export async function pingTtl(lab: Lab, from: string, to: string, timeoutSeconds = 1): Promise<string> {
  const child = lab.exec(from, ["ping", "-n", "-c", "1", "-W", String(timeoutSeconds), to], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let output = "";
  child.stdout?.on("data", chunk => {
    output += chunk;
  });
  await new Promise(resolve => child.once("close", resolve));
  const ttl = /ttl=(\d+)/.exec(output)?.[1];
  return ttl === undefined ? "no answer" : `ttl ${ttl}`;
}
