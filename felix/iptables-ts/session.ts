/**
 * An `iptables-restore` that stays: sections are written to its input as they come, and each is in force when the program
 * has gone past its COMMIT. Measured with 2,000 chains, one of them changed: iptables-nft-restore started anew takes 16 ms, most of
 * it spent in closing its netlink socket (the kernel waits for a grace period), this 0.7 ms.
 *
 * How the end of a commit is seen: with --verbose the program repeats comment lines on its output. That is
 * buffered, so the comment is longer than the buffer, its distinctive words at the beginning: once they arrive, the program
 * has read past COMMIT. When it refuses something it says so and ends, as always; the next commit starts another.
 * A program that does not repeat comments is found out by a greeting before anything is sent, and not used this way.
 *
 * The process ends itself when its input closes: on `close()`, after a while without work, and when this process
 * ends, however it ends. It does not keep this process alive.
 */

import type { ChildProcessWithoutNullStreams } from "node:child_process";
import type { Socket } from "node:net";
import type { RunResult } from "./run.ts";

/** More than a stdio buffer, less than the 10,240 bytes that the program reads of a line. */
const PADDING = "-".repeat(8192);
/** A fresh process now and then, so that nothing a long life might pile up matters. */
const MAX_COMMITS = 1000;
const GREETING_TIMEOUT_MS = 5_000;

export interface SessionOptions {
  readonly start: () => ChildProcessWithoutNullStreams;
  /** Default 60 s. */
  readonly timeoutMs?: number;
  /** Without work for so long, the program is let go. Default 30 s. */
  readonly idleMs?: number;
}

export interface SessionResult extends RunResult {
  /** Lines the program had read before: it counts them all. */
  readonly lineOffset: number;
}

interface Program {
  readonly child: ChildProcessWithoutNullStreams;
  linesSent: number;
  commits: number;
  stdout: string;
  stderr: string;
  /** Set when the program is gone. */
  ended: { readonly code: number | null; readonly error?: Error } | undefined;
  wake: () => void;
}

export class RestoreSession {
  readonly #start: () => ChildProcessWithoutNullStreams;
  readonly #timeoutMs: number;
  readonly #idleMs: number;
  #program: Program | undefined;
  #idle: NodeJS.Timeout | undefined;
  #serial = 0;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: SessionOptions) {
    this.#start = options.start;
    this.#timeoutMs = options.timeoutMs ?? 60_000;
    this.#idleMs = options.idleMs ?? 30_000;
  }

  /**
   * Resolves when the sections are in force or refused; with undefined, nothing sent, when this program cannot be used in this
   * way. Rejects when it cannot be started or does not answer. Calls queue up.
   */
  commit(sections: string): Promise<SessionResult | undefined> {
    const result = this.#queue.then(() => this.#commit(sections));
    this.#queue = result.catch(() => {});
    return result;
  }

  async #commit(sections: string): Promise<SessionResult | undefined> {
    clearTimeout(this.#idle);
    let program = this.#program;
    if (!program || program.ended || program.commits >= MAX_COMMITS) {
      this.close();
      program = this.#open();
      const greeting = await this.#exchange(program, "", GREETING_TIMEOUT_MS).catch(() => undefined);
      if (program.ended?.error) throw program.ended.error;
      if (greeting?.code !== 0) {
        program.child.kill("SIGKILL");
        return undefined;
      }
      this.#program = program;
    }
    program.commits++;
    const result = await this.#exchange(program, sections, this.#timeoutMs);
    this.#idle = setTimeout(() => this.close(), this.#idleMs).unref();
    return result;
  }

  /** Lets the program go. The next commit starts another. */
  close(): void {
    clearTimeout(this.#idle);
    this.#program?.child.stdin.end();
    this.#program = undefined;
  }

  #open(): Program {
    const child = this.#start();
    const program: Program = {
      child,
      linesSent: 0,
      commits: 0,
      stdout: "",
      stderr: "",
      ended: undefined,
      wake: () => {},
    };
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      program.stdout += text;
      program.wake();
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      program.stderr += text;
    });
    // Written to a program that is gone: "close" tells, with the reason.
    child.stdin.on("error", () => {});
    child.on("error", error => {
      program.ended = { code: null, error };
      program.wake();
    });
    child.on("close", code => {
      program.ended ??= { code };
      program.wake();
    });
    child.unref();
    for (const stream of [child.stdin, child.stdout, child.stderr]) (stream as unknown as Socket).unref();
    return program;
  }

  #exchange(program: Program, sections: string, timeoutMs: number): Promise<SessionResult> {
    const token = `# iptables-ts ${process.pid} ${++this.#serial} `;
    const text = `${sections}${token}${PADDING}\n`;
    const lineOffset = program.linesSent;
    program.linesSent += text.split("\n").length - 1;
    program.stdout = "";
    program.stderr = "";
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        program.wake = () => {};
        program.child.kill("SIGKILL");
        reject(new Error(`no answer within ${timeoutMs} ms`));
      }, timeoutMs);
      program.wake = () => {
        const { ended, stderr } = program;
        const done = program.stdout.includes(token);
        if (!done && !ended) return;
        clearTimeout(timer);
        program.wake = () => {};
        if (!done && ended?.error) reject(ended.error);
        // Ended without a word and without an error: whatever it did, it did not say that it is done.
        else resolve({ code: done ? 0 : ended!.code || null, stdout: "", stderr, lineOffset });
      };
      program.wake();
      program.child.stdin.write(text);
    });
  }
}
