/**
 * A lab for one file of tests: named after this process, compared before and after. System and fault tests share it.
 *
 * Whatever takes a moment in a real network is asked for again until it is as expected ({@link eventually}); whatever
 * must never happen is watched all the time by a process of its own (test/fault/attacker.ts).
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Lab, type UpOptions } from "../../lab/lab.ts";
import { type ProbeRequest, runProbes } from "../../lab/probe-list.ts";
import { LAB_VARIABLE } from "../../lab/process.ts";
import type { Daemon } from "../../lab/state.ts";
import { compareTraces, takeTraces } from "../../lab/traces.ts";

export const ROOT = join(import.meta.dirname, "..", "..");
const PATIENCE_MS = 10_000;
/** Long enough for a packet through two hosts of a busy machine. */
const PROBE_TIMEOUT_MS = 500;

export interface Result {
  /** Undefined where a signal ended it. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

let count = 0;

/** Fits into the 12 characters a lab's name may have. */
export function uniqueName(): string {
  return `t${process.pid.toString(36)}-${(count++).toString(36)}`;
}

export class TestLab extends Lab {
  readonly #before = takeTraces(this.name);

  constructor(name = uniqueName()) {
    super(name);
  }

  /** For `before`: a lab that is up, or none at all. */
  static async up(options: UpOptions = { hosts: 2 }): Promise<TestLab> {
    const lab = new TestLab();
    await lab.up(options);
    return lab;
  }

  /** For `after`: ends it, and holds it to having left nothing. */
  async end(): Promise<void> {
    await this.down();
    assert.deepEqual(this.leftBehind(), []);
  }

  leftBehind(): string[] {
    return compareTraces(this.#before, takeTraces(this.name));
  }

  /** Runs bin/calctl on this lab's datastore, as a user would. */
  calctl(args: readonly string[], options: Parameters<typeof calctl>[1] = {}): Promise<Result> {
    const env = this.state.exists ? this.datastoreEnvironment() : {};
    return calctl(args, { ...options, env: { [LAB_VARIABLE]: this.name, ...env, ...options.env } });
  }

  /** `calctl apply -f -`, which must succeed. */
  async apply(yaml: string): Promise<void> {
    const { code, stderr } = await this.calctl(["apply", "-f", "-"], { stdin: yaml });
    assert.equal(code, 0, stderr);
  }

  /** `calctl delete`, which must succeed. */
  async delete(kind: string, name: string, ...more: string[]): Promise<void> {
    const { code, stderr } = await this.calctl(["delete", kind, name, ...more]);
    assert.equal(code, 0, stderr);
  }

  /** Tries connections until all are as expected: `{ "client -> web tcp:80": "allow" }`. */
  async expects(wanted: Readonly<Record<string, "allow" | "deny">>, within = PATIENCE_MS): Promise<void> {
    const requests = Object.keys(wanted).map(request);
    await eventually(
      async () => {
        const results = await runProbes(this, requests, PROBE_TIMEOUT_MS);
        return Object.fromEntries(Object.keys(wanted).map((text, i) => [text, results[i]!.observed]));
      },
      wanted,
      within,
    );
  }

  /** What a daemon of a host has logged so far, as the objects it wrote. */
  log(host: string, daemon: Daemon): { readonly level: number; readonly msg: string }[] {
    const text = readFileSync(this.state.hostPath(host, `${daemon}.log`), "utf8");
    // What comes after the last line end is being written.
    return text
      .split("\n")
      .slice(0, -1)
      .filter(line => line.startsWith("{"))
      .map(line => JSON.parse(line));
  }

  /** Standard output of a command in a host or workload. */
  async output(name: string, ...command: string[]): Promise<string> {
    const child = this.exec(name, command, { stdio: ["ignore", "pipe", "inherit"] });
    return (await collect(child)).stdout;
  }
}

/** `client -> web tcp:80`, `client -> 10.0.0.1 icmp` */
function request(text: string): ProbeRequest {
  const [, from, to, protocol, port] = /^(\S+) -> (\S+) (tcp|udp|icmp)(?::(\d+))?$/.exec(text) ?? [];
  if (from === undefined || to === undefined) throw new Error(`not a connection: ${text}`);
  return {
    from,
    to,
    protocol: protocol?.toUpperCase() as "TCP" | "UDP" | "ICMP",
    ...(port !== undefined && { port: Number(port) }),
  };
}

/** Asks until the answer is the wanted one. @throws AssertionError with the last answer */
export async function eventually<T>(
  ask: () => Promise<T> | T,
  wanted: T,
  within = PATIENCE_MS,
): Promise<void> {
  const deadline = performance.now() + within;
  for (;;) {
    const answer = await ask();
    try {
      assert.deepEqual(answer, wanted);
      return;
    } catch (error) {
      if (performance.now() >= deadline) throw error;
    }
    await sleep(20);
  }
}

/** bin/calctl with only so much of this process's environment that no datastore of the machine is meant. */
export function calctl(
  args: readonly string[],
  options: {
    readonly stdin?: string;
    readonly env?: Readonly<Record<string, string>>;
    readonly killAfterMs?: number;
  } = {},
): Promise<Result> {
  const { PATH, CALYX_LAB_DIR } = process.env;
  const child = spawn(join(ROOT, "bin", "calctl"), args, {
    env: { PATH, ...(CALYX_LAB_DIR && { CALYX_LAB_DIR }), ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.on("error", () => {}); // it may end without having read
  child.stdin.end(options.stdin ?? "");
  if (options.killAfterMs !== undefined) setTimeout(() => child.kill("SIGKILL"), options.killAfterMs);
  return collect(child);
}

export function collect(child: ReturnType<Lab["exec"]>): Promise<Result> {
  const output = { stdout: "", stderr: "" };
  child.stdout?.setEncoding("utf8").on("data", chunk => {
    output.stdout += chunk;
  });
  child.stderr?.setEncoding("utf8").on("data", chunk => {
    output.stderr += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", code => resolve({ code: code ?? undefined, ...output }));
  });
}
