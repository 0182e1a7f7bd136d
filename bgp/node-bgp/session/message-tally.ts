/** Messages sent to and received from one neighbor, by type, since it was configured; and how many UPDATEs a second lately. */

import type { Clock } from "../clock.ts";
import { MessageType } from "../message/constants.ts";
import type { MessageCounters } from "../neighbor.ts";

type Direction = "sent" | "received";

export class MessageTally {
  readonly #counts = { sent: new Array<number>(6).fill(0), received: new Array<number>(6).fill(0) };
  readonly #rates: { readonly sent: Rate; readonly received: Rate };

  constructor(clock: Clock) {
    this.#rates = { sent: new Rate(clock), received: new Rate(clock) };
  }

  add(direction: Direction, type: MessageType, messages: number): void {
    this.#counts[direction][type]! += messages;
    if (type === MessageType.update) this.#rates[direction].add(messages);
  }

  snapshot(direction: Direction): MessageCounters {
    const counts = this.#counts[direction];
    return {
      open: counts[MessageType.open]!,
      update: counts[MessageType.update]!,
      notification: counts[MessageType.notification]!,
      keepalive: counts[MessageType.keepalive]!,
      routeRefresh: counts[MessageType.routeRefresh]!,
    };
  }

  updateRate(): { readonly sent: number; readonly received: number } {
    return { sent: this.#rates.sent.perSecond(), received: this.#rates.received.perSecond() };
  }
}

const WINDOW_MS = 10_000;

/** The last ten seconds, from two counters: the window that is over counts with the part of it that still lies within. */
class Rate {
  readonly #clock: Clock;
  #start = Number.NEGATIVE_INFINITY;
  #before = 0;
  #now = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Costs a look at the clock. */
  add(count: number): void {
    this.#turnOver();
    this.#now += count;
  }

  perSecond(): number {
    const elapsed = this.#turnOver();
    const count = this.#now + this.#before * (1 - elapsed / WINDOW_MS);
    return Math.round((count * 10_000) / WINDOW_MS) / 10;
  }

  /** Returns how far the window has come, ms. */
  #turnOver(): number {
    const now = this.#clock.now();
    const elapsed = now - this.#start;
    if (elapsed < WINDOW_MS) return elapsed;
    this.#before = elapsed < 2 * WINDOW_MS ? this.#now : 0;
    this.#now = 0;
    this.#start = elapsed < 2 * WINDOW_MS ? this.#start + WINDOW_MS : now;
    return now - this.#start;
  }
}
