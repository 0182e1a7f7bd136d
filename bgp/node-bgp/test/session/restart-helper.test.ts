/** The three rules for keeping the routes of a neighbor that is away, family by family, under simulated time. */

import assert from "node:assert/strict";
import { Family } from "../../route.ts";
import type { Negotiated } from "../../session/negotiation.ts";
import { RestartHelper } from "../../session/restart-helper.ts";
import { SimClock } from "../kit/sim-clock.ts";

const V4 = Family.ipv4Unicast;
const V6 = Family.ipv6Unicast;

interface Terms {
  /** Families with their F bit; undefined: no graceful restart capability. */
  readonly restart?: ReadonlyMap<Family, boolean> | undefined;
  readonly restartTime?: number;
  readonly notification?: boolean;
  /** Families with long-lived stale time, and their F bit. */
  readonly longLived?: ReadonlyMap<Family, [staleTime: number, forwardingPreserved: boolean]>;
}

const BOTH = new Map([
  [V4, true],
  [V6, true],
]);

function negotiated({ restart, restartTime = 120, notification = false, longLived }: Terms): Negotiated {
  const terms = [...(longLived ?? [])].map(
    ([family, [staleTime, forwardingPreserved]]) => [family, { staleTime, forwardingPreserved }] as const,
  );
  return {
    families: [V4, V6],
    gracefulRestart: restart && { restarting: true, notification, restartTime, families: restart },
    longLived: longLived && new Map(terms),
  } as unknown as Negotiated;
}

class Bench {
  readonly clock = new SimClock();
  /** What the table was told: `stale 4`, `long-lived 4`, `remove stale 4`, `remove all 4`. */
  readonly told: string[] = [];
  readonly helper: RestartHelper;

  constructor() {
    const name = (family: Family) => (family === V4 ? "4" : "6");
    this.helper = new RestartHelper(
      this.clock,
      {
        markStale: (_source, family) => this.told.push(`stale ${name(family)}`),
        markLongLived: (_source, family) => this.told.push(`long-lived ${name(family)}`),
        removeAll: (_source, family, which) => this.told.push(`remove ${which} ${name(family)}`),
      },
      7,
      360_000,
    );
  }

  lost(terms: Terms, options: { mayReturn?: boolean; longLivedLimit?: number } = {}): string[] {
    const { mayReturn = true, longLivedLimit = 1_000_000 } = options;
    this.helper.onLost(negotiated(terms), mayReturn, { [V4]: longLivedLimit, [V6]: longLivedLimit });
    return this.news();
  }

  returned(terms: Terms): string[] {
    this.helper.onReturn(negotiated(terms));
    return this.news();
  }

  endOfRib(family: Family): string[] {
    this.helper.onEndOfRib(family);
    return this.news();
  }

  wait(seconds: number): string[] {
    this.clock.advance(seconds * 1000);
    return this.news();
  }

  news(): string[] {
    return this.told.splice(0);
  }
}

describe("graceful restart (RFC 4724 4.2)", () => {
  const terms: Terms = { restart: BOTH };

  it("keeps what was in the capability for the restart time", () => {
    const bench = new Bench();
    assert.deepEqual(bench.lost({ restart: new Map([[V4, true]]) }), ["stale 4", "remove all 6"]);
    assert.equal(bench.helper.isKeeping, true);
    assert.deepEqual(bench.wait(119), []);
    assert.deepEqual(bench.wait(2), ["remove stale 4"]);
    assert.equal(bench.helper.isKeeping, false);
  });
  it("keeps nothing of a neighbor that may not return, has no capability, or a restart time of 0", () => {
    const all = ["remove all 4", "remove all 6"];
    assert.deepEqual(new Bench().lost(terms, { mayReturn: false }), all);
    assert.deepEqual(new Bench().lost({}), all);
    assert.deepEqual(new Bench().lost({ restart: BOTH, restartTime: 0 }), all);
  });
  it("removes at End-of-RIB what is still stale, per family", () => {
    const bench = new Bench();
    bench.lost(terms);
    assert.deepEqual(bench.returned(terms), []);
    assert.deepEqual(bench.endOfRib(V6), ["remove stale 6"]);
    assert.equal(bench.helper.isKeeping, true);
    assert.deepEqual(bench.endOfRib(V4), ["remove stale 4"]);
    assert.equal(bench.helper.isKeeping, false);
    assert.deepEqual(bench.wait(1000), []);
  });
  it("removes at once what the returned neighbor does not list, or lists without the F bit", () => {
    for (const restart of [new Map([[V4, true]]), new Map([...BOTH, [V6, false]])]) {
      const bench = new Bench();
      bench.lost(terms);
      assert.deepEqual(bench.returned({ restart }), ["remove stale 6"]);
    }
    const bench = new Bench();
    bench.lost(terms);
    assert.deepEqual(bench.returned({}), ["remove stale 4", "remove stale 6"]);
  });
  it("waits for End-of-RIB no longer than six minutes after the restart time", () => {
    const bench = new Bench();
    bench.lost(terms);
    bench.wait(60);
    bench.returned(terms);
    assert.deepEqual(bench.wait(419), []);
    assert.deepEqual(bench.wait(2), ["remove stale 4", "remove stale 6"]);
  });
  it("removes what was stale already when the neighbor restarts again before End-of-RIB", () => {
    const bench = new Bench();
    bench.lost(terms);
    bench.wait(5);
    bench.returned(terms);
    bench.endOfRib(V6);
    assert.deepEqual(bench.lost(terms), ["remove stale 4", "stale 4", "stale 6"]);
    assert.deepEqual(bench.wait(119), []);
    assert.deepEqual(bench.wait(2), ["remove stale 4", "remove stale 6"]);
  });
  it("forgets everything when nobody is expected back", () => {
    const bench = new Bench();
    bench.lost(terms);
    bench.helper.drop();
    assert.deepEqual(bench.news(), ["remove stale 4", "remove stale 6"]);
    assert.deepEqual(bench.wait(1000), []);
  });
});

describe("with both N bits (RFC 8538 4.1)", () => {
  const terms: Terms = { restart: new Map([[V4, true]]), notification: true };

  it("keeps what was stale over one more restart, but not for ever", () => {
    const bench = new Bench();
    bench.lost(terms);
    let removed: string[] = [];
    let seconds = 0;
    for (; removed.length === 0 && seconds < 3600; seconds += 40) {
      removed = bench.wait(20);
      removed.push(...bench.returned(terms));
      removed.push(...bench.wait(20));
      if (removed.length === 0) assert.deepEqual(bench.lost(terms), ["stale 4", "remove all 6"]);
    }
    assert.deepEqual(removed, ["remove stale 4"]);
    assert.equal(seconds, 480, "restart time and six minutes, counted from the first time");
  });
});

describe("long-lived graceful restart (RFC 9494 4.2)", () => {
  const terms: Terms = {
    restart: new Map([[V4, true]]),
    longLived: new Map([[V4, [1000, true]]]),
  };
  const away = (): Bench => {
    const bench = new Bench();
    assert.deepEqual(bench.lost(terms), ["stale 4", "remove all 6"]);
    return bench;
  };

  it("begins when the restart time is over, and ends with the stale time", () => {
    const bench = away();
    assert.deepEqual(bench.wait(119), []);
    assert.deepEqual(bench.wait(2), ["long-lived 4"]);
    assert.deepEqual(bench.wait(998), []);
    assert.equal(bench.helper.isKeeping, true);
    assert.deepEqual(bench.wait(2), ["remove stale 4"]);
    assert.equal(bench.helper.isKeeping, false);
  });
  it("begins at once where there is no restart time, or the family is in this capability alone", () => {
    assert.deepEqual(new Bench().lost({ ...terms, restartTime: 0 }), [
      "stale 4",
      "long-lived 4",
      "remove all 6",
    ]);
    assert.deepEqual(new Bench().lost({ restart: new Map(), longLived: new Map([[V6, [10, true]]]) }), [
      "remove all 4",
      "stale 6",
      "long-lived 6",
    ]);
  });
  it("has its own time for each family", () => {
    const bench = new Bench();
    const longLived = new Map<Family, [number, boolean]>([
      [V4, [10, true]],
      [V6, [20, true]],
    ]);
    bench.lost({ restart: BOTH, restartTime: 5, longLived });
    assert.deepEqual(bench.wait(6), ["long-lived 4", "long-lived 6"]);
    assert.deepEqual(bench.wait(10), ["remove stale 4"]);
    assert.deepEqual(bench.wait(10), ["remove stale 6"]);
  });
  it("lasts no longer than we are ready for", () => {
    const bench = new Bench();
    bench.lost(terms, { longLivedLimit: 30 });
    assert.deepEqual(bench.wait(121), ["long-lived 4"]);
    assert.deepEqual(bench.wait(30), ["remove stale 4"]);
    const never = new Bench();
    never.lost(terms, { longLivedLimit: 0 });
    assert.deepEqual(never.wait(121), ["remove stale 4"]);
  });
  it("ends at End-of-RIB", () => {
    const bench = away();
    bench.wait(500);
    bench.news();
    assert.deepEqual(bench.returned(terms), []);
    assert.deepEqual(bench.endOfRib(V4), ["remove stale 4"]);
    assert.deepEqual(bench.wait(10_000), []);
  });
  it("needs the F bit of this capability once it has begun, that of graceful restart before", () => {
    const without: Terms = { ...terms, longLived: new Map([[V4, [1000, false]]]) };
    const early = away();
    assert.deepEqual(early.returned(without), []);
    for (const gone of [
      without,
      { restart: terms.restart },
      { ...terms, restart: new Map([[V4, false]]) },
      {},
    ]) {
      const late = away();
      late.wait(200);
      assert.deepEqual(late.returned(gone), ["remove stale 4"]);
    }
  });
  it("goes on over another restart, and its time is not started again", () => {
    const bench = away();
    bench.wait(121 + 400);
    bench.returned(terms);
    bench.wait(100);
    assert.deepEqual(bench.lost(terms), ["stale 4", "remove all 6"]);
    assert.deepEqual(bench.wait(121), ["long-lived 4"], "also what was sent in between");
    assert.deepEqual(bench.wait(1000 - 1 - 400 - 100 - 121 - 1), []);
    assert.deepEqual(bench.wait(2), ["remove stale 4"]);
  });
  it("does not take routes away while they are being sent again, but at the next loss", () => {
    const bench = away();
    bench.wait(121 + 990);
    bench.returned(terms);
    assert.deepEqual(bench.wait(100), [], "the time is over");
    assert.deepEqual(bench.lost(terms), ["remove stale 4", "stale 4", "remove all 6"]);
    assert.deepEqual(bench.wait(121), ["long-lived 4"], "a new beginning for what was sent");
    assert.deepEqual(bench.wait(998), []);
    assert.deepEqual(bench.wait(3), ["remove stale 4"]);
  });
});
