import assert from "node:assert/strict";
import type { Clock } from "../clock.ts";
import { TurnBudget } from "../turn-budget.ts";
import { SimClock } from "./kit/sim-clock.ts";

/** A clock whose time passes only while somebody works. */
class WorkClock extends SimClock implements Clock {
  #worked = 0;
  override now(): number {
    return super.now() + this.#worked;
  }
  work(ms: number): void {
    this.#worked += ms;
  }
}

describe("the budget of a turn", () => {
  it("is spent by everybody together, and new in the next turn", () => {
    const clock = new WorkClock();
    const budget = new TurnBudget(clock, 5);
    assert.equal(budget.isSpent, false);
    clock.work(3);
    assert.equal(budget.isSpent, false);
    clock.work(2);
    assert.equal(budget.isSpent, true);
    clock.settle();
    assert.equal(budget.isSpent, false);
  });

  it("is spent where the clock was set back: nobody knows how long it was", () => {
    const clock = new WorkClock();
    const budget = new TurnBudget(clock, 5);
    assert.equal(budget.isSpent, false);
    clock.work(-60_000);
    assert.equal(budget.isSpent, true);
  });

  it("lets what was put off run in order, in as many turns as it takes", () => {
    const clock = new WorkClock();
    const budget = new TurnBudget(clock, 5);
    const turns: string[][] = [];
    const next = clock.setImmediate.bind(clock);
    clock.setImmediate = callback =>
      next(() => {
        turns.push([]);
        callback();
      });
    for (const name of ["a", "b", "c", "d"]) {
      budget.later(() => {
        turns.at(-1)!.push(name);
        clock.work(name === "a" ? 9 : 3);
        if (name === "b") budget.later(() => turns.at(-1)!.push("b again"));
      });
    }
    clock.settle();
    assert.deepEqual(
      turns.filter(({ length }) => length > 0),
      [["a"], ["b", "c"], ["d", "b again"]],
    );
  });
});
