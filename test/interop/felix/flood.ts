/**
 * UDP to two ports of one address, in turn and as fast as one core sends: for what happens to a packet that is on its way in
 * a moment. A process of its own; how many of each arrive is counted in the receiver's namespace.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { AddressFamily, SocketType, sendTo, socket } from "../../../linux/libc.ts";
import { inNamespace } from "../../../linux/namespace.ts";
import { run } from "../linux/scratch-namespace.ts";

export interface FloodOptions {
  readonly from: string;
  readonly to: string;
  /** IPv4 */
  readonly address: string;
  /** The first of them is counted as sent. */
  readonly ports: readonly [number, number];
}

export class Flood {
  readonly #options: FloodOptions;
  readonly #child;
  readonly #output: Promise<string>;

  private constructor(options: FloodOptions) {
    this.#options = options;
    const { from, address, ports } = options;
    const args = [import.meta.filename, from, address, ...ports.map(String)];
    this.#child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.#output = this.#child.stdout.toArray().then(chunks => chunks.join(""));
  }

  static async start(options: FloodOptions): Promise<Flood> {
    const { to, ports } = options;
    run(to, "nft", "add table ip flood");
    run(to, "nft", "add chain ip flood in { type filter hook input priority 0; }");
    for (const port of ports) run(to, "nft", `add rule ip flood in udp dport ${port} counter drop`);
    const flood = new Flood(options);
    await once(flood.#child, "spawn");
    const deadline = performance.now() + 10_000;
    while (flood.#received()[0] === 0) {
      if (performance.now() > deadline) throw new Error("nothing arrives");
      await setImmediate();
    }
    return flood;
  }

  /** Of each port, how many went off and how many arrived. */
  async stop(): Promise<{ readonly sent: number; readonly received: readonly number[] }> {
    this.#child.stdin.end();
    const sent = Number(await this.#output);
    return { sent, received: this.#received() };
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  #received(): number[] {
    const text = run(this.#options.to, "nft", "list", "chain", "ip", "flood", "in");
    return [...text.matchAll(/packets (\d+)/g)].map(([, count]) => Number(count));
  }
}

const AT_ONCE = 500;

async function flood([namespace = "", address = "", ...ports]: readonly string[]): Promise<void> {
  const fd = inNamespace(namespace, () => socket(AddressFamily.INET, SocketType.DGRAM, 0));
  const targets = ports.map(port => socketAddress(address, Number(port)));
  let isOver = false;
  process.stdin.on("end", () => (isOver = true)).resume();
  const data = new Uint8Array(8);
  let sent = 0;
  while (!isOver) {
    for (let i = 0; i < AT_ONCE; i++) for (const target of targets) sendTo(fd, data, target);
    sent += AT_ONCE;
    await setImmediate();
  }
  process.stdout.write(String(sent));
}

/** struct sockaddr_in */
function socketAddress(address: string, port: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint16(0, AddressFamily.INET, true);
  view.setUint16(2, port);
  for (const [i, byte] of address.split(".").entries()) view.setUint8(4 + i, Number(byte));
  return new Uint8Array(view.buffer);
}

if (import.meta.main) await flood(process.argv.slice(2));
