/** A speaker of ours as a process of its own ({@link ./speaker-process.ts}), for tests that kill or freeze it. It is in the namespace this thread is in. */

import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { NeighborState, Route, RouteChange } from "../../index.ts";
import { exited, until } from "./namespaces.ts";
import type { SpeakerCommand, SpeakerSetup } from "./speaker-process.ts";

interface ProcessEvent {
  readonly event: string;
  readonly address: string;
  readonly state: NeighborState;
  readonly error?: { readonly text: string };
  readonly changes: readonly RouteChange[];
}

export class SeparateSpeaker {
  readonly #child: ChildProcess;
  readonly #states = new Map<string, NeighborState>();
  readonly errors: string[] = [];
  /** Best routes by prefix. */
  readonly routes = new Map<string, Route>();
  /** Prefixes that were lost, in order. */
  readonly withdrawn: string[] = [];
  isReady = false;
  /** Called with each batch of best routes; null is a prefix that is gone. */
  onChanges: (changes: readonly RouteChange[]) => void = () => {};

  constructor(setup: SpeakerSetup) {
    const program = join(import.meta.dirname, "speaker-process.ts");
    const args = ["--pdeathsig", "KILL", process.execPath, program, JSON.stringify(setup)];
    this.#child = spawn("setpriv", args, { stdio: ["pipe", "pipe", "inherit"] });
    createInterface({ input: this.#child.stdout! }).on("line", line => this.#hear(JSON.parse(line)));
  }

  do(command: SpeakerCommand): void {
    this.#child.stdin!.write(`${JSON.stringify(command)}\n`);
  }

  untilState(neighbor: string, state: NeighborState, seconds?: number): Promise<true> {
    return until(`${neighbor} ${state}`, () => this.#states.get(neighbor) === state || undefined, seconds);
  }

  untilRoute(prefix: string, seconds?: number): Promise<Route> {
    return until(prefix, () => this.routes.get(prefix), seconds);
  }

  freeze(): void {
    this.#child.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child.kill("SIGCONT");
  }

  /** As it would die of a crash. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await exited(this.#child);
  }

  #hear({ event, address, state, error, changes }: ProcessEvent): void {
    if (event === "ready") this.isReady = true;
    if (event === "neighbor") {
      this.#states.set(address, state);
      if (error !== undefined) this.errors.push(error.text);
    }
    if (event !== "routes") return;
    for (const { prefix, best } of changes) {
      if (best !== null) this.routes.set(prefix, best);
      else if (this.routes.delete(prefix)) this.withdrawn.push(prefix);
    }
    this.onChanges(changes);
  }
}
