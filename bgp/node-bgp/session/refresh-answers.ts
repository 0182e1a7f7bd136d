/**
 * Answers a neighbor's requests to send everything again (RFC 2918), between BoRR and EoRR where it knows them (RFC 7313). A request while an
 * answer is on its way, or before the End-of-RIB is out, leads to one more answer, however many there are; and answers are rationed, so
 * that a neighbor that asks in a loop costs no more than one table every {@link REFILL_MS}.
 */

import type { Clock, TimerHandle } from "../clock.ts";
import { RefreshSubtype } from "../message/constants.ts";
import type { Family } from "../route.ts";

export interface RefreshAnswer {
  /** Writes BoRR or EoRR; nothing where the neighbor does not know them. */
  mark(family: Family, subtype: number): void;
  /** Begins to send everything again; {@link RefreshAnswers.caughtUp} says when it is through. */
  resend(family: Family): void;
}

/** Answers in a row before it waits. */
const BURST = 4;
const REFILL_MS = 10_000;

interface FamilyState {
  /** What the neighbor is being sent: its first table, an answer, or what changes. */
  doing: "first" | "answer" | "nothing";
  isAsked: boolean;
}

export class RefreshAnswers {
  readonly #clock: Clock;
  readonly #answer: RefreshAnswer;
  readonly #families = new Map<Family, FamilyState>();
  #tokens = BURST;
  #refilledAt: number;
  #timer: TimerHandle | undefined;

  /** One per session. */
  constructor(clock: Clock, families: readonly Family[], answer: RefreshAnswer) {
    this.#clock = clock;
    this.#answer = answer;
    this.#refilledAt = clock.now();
    for (const family of families) this.#families.set(family, { doing: "first", isAsked: false });
  }

  /** The neighbor asks. */
  request(family: Family): void {
    const state = this.#families.get(family);
    if (state === undefined) return;
    state.isAsked = true;
    this.#next();
  }

  /** All that was to be sent of a family is written. */
  caughtUp(family: Family): void {
    const state = this.#families.get(family);
    if (state === undefined || state.doing === "nothing") return;
    const wasAnswer = state.doing === "answer";
    state.doing = "nothing";
    if (wasAnswer) this.#answer.mark(family, RefreshSubtype.end);
    this.#next();
  }

  /** The session is over. */
  stop(): void {
    this.#families.clear();
    this.#clock.clearTimeout(this.#timer);
  }

  #next(): void {
    for (const [family, state] of this.#families) {
      // RFC 7313 4: no BoRR before the End-of-RIB.
      if (!state.isAsked || state.doing !== "nothing") continue;
      if (!this.#takeToken()) return;
      state.isAsked = false;
      state.doing = "answer";
      this.#answer.mark(family, RefreshSubtype.begin);
      this.#answer.resend(family);
    }
  }

  #takeToken(): boolean {
    const now = this.#clock.now();
    const refilled = Math.floor((now - this.#refilledAt) / REFILL_MS);
    this.#tokens = Math.min(BURST, this.#tokens + refilled);
    this.#refilledAt = this.#tokens === BURST ? now : this.#refilledAt + refilled * REFILL_MS;
    if (this.#tokens === 0) {
      this.#clock.clearTimeout(this.#timer);
      this.#timer = this.#clock.setTimeout(() => this.#next(), this.#refilledAt + REFILL_MS - now);
      return false;
    }
    this.#tokens--;
    return true;
  }
}
