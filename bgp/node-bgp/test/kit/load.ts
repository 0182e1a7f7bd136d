/** Work for a machine: the main thread reads a full table again and again, every processor has a process that never rests. */

import { type ChildProcess, spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { decodeUpdate, encodeUpdate, Family, Nlri } from "../../index.ts";
import { exited } from "./namespaces.ts";

const PREFIXES = 1_000_000;
const PER_UPDATE = 800;
const HEADER_LENGTH = 19;
const CONTEXT = { fourOctetAs: true };

export class Load {
  readonly #spinners: ChildProcess[] = [];
  readonly #table: readonly Uint8Array[];
  #isOver = false;
  #done: Promise<void> = Promise.resolve();
  /** Tables read. */
  tables = 0;
  /** Milliseconds: the longest the event loop has been kept from turning. */
  longestTurn = 0;

  constructor() {
    const prefixes = Array.from({ length: PER_UPDATE }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
    const attributes = {
      origin: "igp",
      asPath: [{ type: "sequence", asns: [65001, 65002] }],
      nextHop: "10.0.0.1",
    };
    const nlri = Nlri.of(Family.ipv4Unicast, prefixes);
    const bytes = encodeUpdate({ announced: [{ nlri, attributes: attributes as never }] }, CONTEXT);
    this.#table = new Array(PREFIXES / PER_UPDATE).fill(bytes.subarray(HEADER_LENGTH));
  }

  start(): void {
    for (let i = 0; i < availableParallelism(); i++) {
      const spin = ["--pdeathsig", "KILL", process.execPath, "-e", "for (;;);"];
      this.#spinners.push(spawn("setpriv", spin, { stdio: "ignore" }));
    }
    this.#done = this.#read();
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    for (const child of this.#spinners) child.kill("SIGKILL");
    await Promise.all([this.#done, ...this.#spinners.map(exited)]);
  }

  async #read(): Promise<void> {
    while (!this.#isOver) {
      const start = performance.now();
      let seen = 0;
      for (const update of this.#table) {
        for (const { nlri } of decodeUpdate(update, CONTEXT as never).announced) {
          for (const prefix of nlri) if (prefix !== "") seen++;
        }
      }
      if (seen !== PREFIXES) throw new Error(`read ${seen} prefixes`);
      this.tables++;
      this.longestTurn = Math.max(this.longestTurn, performance.now() - start);
      await new Promise(resolve => setImmediate(resolve));
    }
  }
}
