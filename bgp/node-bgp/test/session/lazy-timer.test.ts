import assert from "node:assert/strict";
import { LazyTimer } from "../../session/lazy-timer.ts";
import { SimClock } from "../kit/sim-clock.ts";

describe("a timer that is pushed back", () => {
  it("expires once, the full time after the last push", () => {
    const clock = new SimClock();
    const fired: number[] = [];
    const start = clock.now();
    const timer = new LazyTimer(clock, () => fired.push(clock.now() - start));
    timer.start(100);
    for (let i = 0; i < 5; i++) {
      clock.advance(60);
      timer.touch();
    }
    clock.advance(1000);
    assert.deepEqual(fired, [400]);
    assert.equal(timer.isRunning, false);
  });
  it("goes on when its callback pushes it back, as the keepalive's does", () => {
    const clock = new SimClock();
    let fired = 0;
    const timer: LazyTimer = new LazyTimer(clock, () => {
      fired++;
      timer.touch();
    });
    timer.start(100);
    clock.advance(1000);
    assert.equal(fired, 10);
    timer.stop();
    clock.advance(1000);
    assert.equal(fired, 10);
  });
  it("looks again before it expires: data may be waiting behind a busy event loop", () => {
    // Time by hand: the timer's callback runs, then the socket's, then the immediate.
    let now = 0;
    const timers: (() => void)[] = [];
    const immediates: (() => void)[] = [];
    const clock = {
      now: () => now,
      setTimeout: (callback: () => void) => timers.push(callback),
      clearTimeout: () => {},
      setImmediate: (callback: () => void) => void immediates.push(callback),
    };
    let fired = 0;
    const hold = new LazyTimer(clock, () => fired++, { recheck: true });
    hold.start(90);
    now = 200;
    timers.shift()!();
    hold.touch();
    immediates.shift()!();
    assert.equal(fired, 0, "a message was there after all");
    now = 400;
    timers.shift()!();
    immediates.shift()!();
    assert.equal(fired, 1);
  });
  it("can be asked to expire now, where the event loop is late", () => {
    const clock = new SimClock();
    let fired = 0;
    const timer = new LazyTimer(clock, () => fired++);
    timer.start(100);
    timer.poll();
    assert.equal(fired, 0);
  });
});
