/**
 * BFD as a process of its own, for tests that need it in another network namespace: options as JSON in the first argument, commands as lines
 * of JSON on stdin, events as lines of JSON on stdout.
 */

import { createInterface } from "node:readline";
import {
  Bfd,
  type BfdOptions,
  type BfdSession,
  type BfdSessionStatus,
  type BfdStatus,
} from "../../bfd/bfd.ts";
import type { BfdSessionOptions, BfdTimerOptions } from "../../bfd/session-options.ts";

export interface BfdSetup {
  readonly options?: BfdOptions;
  readonly sessions: readonly BfdSessionOptions[];
}

export type BfdCommand =
  | { readonly do: "add"; readonly session: BfdSessionOptions }
  /** The n-th session. */
  | { readonly do: "update"; readonly index: number; readonly session: BfdTimerOptions }
  | { readonly do: "remove"; readonly index: number }
  /** The main thread does nothing else for so long. */
  | { readonly do: "block"; readonly ms: number }
  | { readonly do: "status" }
  | { readonly do: "close" };

export type BfdReport =
  | { readonly tell: "event"; readonly [key: string]: unknown }
  | { readonly tell: "failure"; readonly text: string }
  | { readonly tell: "blocked" }
  | {
      readonly tell: "status";
      readonly sessions: readonly BfdSessionStatus[];
      readonly status: BfdStatus;
      /** Seconds of processor time of the whole process. */
      readonly cpu: number;
    };

const setup: BfdSetup = JSON.parse(process.argv[2]!);
const tell = (report: BfdReport) => process.stdout.write(`${JSON.stringify(report)}\n`);

const bfd = new Bfd(setup.options);
bfd.onFailure(error => tell({ tell: "failure", text: error.message }));
const sessions: BfdSession[] = [];
for (const session of setup.sessions) add(session);

for await (const line of createInterface({ input: process.stdin })) {
  const command: BfdCommand = JSON.parse(line);
  switch (command.do) {
    case "add":
      add(command.session);
      break;
    case "update":
      sessions[command.index]!.update(command.session);
      break;
    case "remove":
      sessions[command.index]!.remove();
      break;
    case "block": {
      const end = Date.now() + command.ms;
      while (Date.now() < end);
      tell({ tell: "blocked" });
      break;
    }
    case "status": {
      const { user, system } = process.cpuUsage();
      tell({ tell: "status", sessions: bfd.sessions(), status: bfd.status(), cpu: (user + system) / 1e6 });
      break;
    }
  }
  if (command.do === "close") break;
}
process.stdin.destroy();
await bfd.close();

function add(session: BfdSessionOptions): void {
  sessions.push(bfd.addSession(session, event => tell({ tell: "event", ...event })));
}
