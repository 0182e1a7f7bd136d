/** A daemon of this host, asked over its status socket. */

import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { Option } from "commander";
import { fetchStatus, openStatus } from "../daemon/status-server.ts";
import type { Context } from "./context.ts";
import { CommandError } from "./errors.ts";

export interface SocketOptions {
  readonly socket?: string;
}

export type DaemonName = "bgp" | "felix";

export function socket(daemon: DaemonName): Option {
  return new Option(
    "--socket <path>",
    `the daemon's status socket (default: ${daemon}.sock in $CALYX_RUN_DIR, else in /run/calyx)`,
  );
}

export class DaemonSocket {
  readonly #daemon: DaemonName;
  readonly #path: string;

  constructor(context: Context, daemon: DaemonName, { socket }: SocketOptions) {
    this.#daemon = daemon;
    this.#path =
      socket === undefined
        ? join(context.env["CALYX_RUN_DIR"] ?? "/run/calyx", `${daemon}.sock`)
        : resolve(context.cwd, socket);
  }

  /** @throws CommandError FAILED: no daemon, or what it has against the question */
  async ask<T>(path: string, parameters: Parameters = {}, method: "GET" | "POST" = "GET"): Promise<T> {
    const answer = await fetchStatus(this.#path, withParameters(path, parameters), method);
    if (answer === undefined) throw this.#noDaemon();
    if (answer.code !== 200) throw new CommandError("FAILED", answer.body.trim());
    return JSON.parse(answer.body) as T;
  }

  /** An answer of any length, as it comes. @throws CommandError FAILED */
  async *lines<T>(path: string, parameters: Parameters = {}): AsyncGenerator<T> {
    const answer = await openStatus(this.#path, withParameters(path, parameters)).catch(() => {
      throw this.#noDaemon();
    });
    if (answer.statusCode !== 200) {
      let text = "";
      for await (const chunk of answer.setEncoding("utf8")) text += chunk;
      throw new CommandError("FAILED", text.trim());
    }
    for await (const line of createInterface({ input: answer, crlfDelay: Number.POSITIVE_INFINITY }))
      if (line !== "") yield JSON.parse(line) as T; // An empty one only says that the daemon is there.
    // A daemon that ends in the middle must not look like one that had no more to say.
    if (!answer.complete) throw new CommandError("FAILED", "the daemon ended in the middle of its answer");
  }

  #noDaemon(): CommandError {
    const name = { bgp: "BGP daemon", felix: "felix" }[this.#daemon];
    return new CommandError("FAILED", `no ${name} answers at ${this.#path}; --socket names another one`);
  }
}

type Parameters = Readonly<Record<string, string | undefined>>;

function withParameters(path: string, parameters: Parameters): string {
  const given = Object.entries(parameters).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`;
}
