/** BFD as a speaker sees it, played by the test. */

import type { BfdEvent, BfdService, BfdSession, BfdSessionStatus, BfdStatus } from "../../bfd/bfd-service.ts";
import type { BfdSessionOptions, BfdTimerOptions } from "../../bfd/session-options.ts";

export class SimBfdService implements BfdService {
  /** As last added and updated; removed ones are gone. */
  readonly sessions = new Map<string, BfdSessionOptions>();
  readonly added: BfdSessionOptions[] = [];
  readonly updates: BfdTimerOptions[] = [];
  readonly #tell = new Map<string, (event: BfdEvent) => void>();
  readonly #states = new Map<string, BfdEvent["state"]>();

  addSession(options: BfdSessionOptions, onEvent: (event: BfdEvent) => void): BfdSession {
    const { address } = options;
    if (this.sessions.has(address)) throw new Error(`there is a session to ${address}`);
    this.sessions.set(address, options);
    this.added.push(options);
    this.#tell.set(address, onEvent);
    this.#states.set(address, "Down");
    return {
      status: () => ({ address, state: this.#states.get(address) }) as BfdSessionStatus,
      update: changes => {
        this.updates.push(changes);
        this.sessions.set(address, { ...options, ...changes });
      },
      remove: () => {
        this.sessions.delete(address);
        this.#tell.delete(address);
      },
    };
  }

  status(): BfdStatus {
    return { thread: "running", failures: 0 } as BfdStatus;
  }

  up(address: string): void {
    this.#change(address, "Up", "handshake");
  }

  down(address: string, cause: BfdEvent["cause"] = "detection-expired"): void {
    this.#change(address, "Down", cause);
  }

  #change(address: string, state: BfdEvent["state"], cause: BfdEvent["cause"]): void {
    const previous = this.#states.get(address)!;
    this.#states.set(address, state);
    const diagnostic =
      cause === "detection-expired" ? "Control Detection Time Expired" : "Neighbor Signaled Session Down";
    const remoteDiagnostic = "No Diagnostic";
    this.#tell.get(address)!({ address, state, previous, cause, diagnostic, remoteDiagnostic, at: 0 });
  }
}
