/** The timers {@link neighborStep} asks for: one for whatever a neighbor waits for, and one for a connection held back in a collision. */

import type { Clock, TimerHandle } from "../clock.ts";
import type { NeighborFsmAction, NeighborFsmEvent } from "./neighbor-fsm.ts";

type Arm = Extract<NeighborFsmAction, { do: "arm" }>;

export class NeighborTimers {
  readonly #clock: Clock;
  readonly #onExpire: (event: NeighborFsmEvent) => void;
  #wait: TimerHandle | undefined;
  #collision: TimerHandle | undefined;

  constructor(clock: Clock, onExpire: (event: NeighborFsmEvent) => void) {
    this.#clock = clock;
    this.#onExpire = onExpire;
  }

  arm({ timer, ms }: Arm): void {
    const handle = this.#clock.setTimeout(() => this.#onExpire({ type: `${timer}-expired` }), ms);
    if (timer === "collision-wait") {
      this.#clock.clearTimeout(this.#collision);
      this.#collision = handle;
    } else {
      this.#clock.clearTimeout(this.#wait);
      this.#wait = handle;
    }
  }

  disarm(): void {
    this.#clock.clearTimeout(this.#wait);
    this.#clock.clearTimeout(this.#collision);
  }
}
