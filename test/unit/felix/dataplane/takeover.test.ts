import assert from "node:assert/strict";
import { pino } from "pino";
import type { PacketFilter } from "../../../../felix/dataplane/packet-filter.ts";
import { Takeover } from "../../../../felix/dataplane/takeover.ts";
import { SimClock } from "./sim-clock.ts";

function create(failures: { commit?: number; remove?: number } = {}) {
  const left = { commit: 0, remove: 0, ...failures };
  const happened: string[] = [];
  const attempt = (what: "commit" | "remove") => {
    happened.push(what);
    if (left[what]-- > 0) throw new Error(`${what} refused`);
  };
  let pending = true;
  const filter: PacketFilter = {
    update: () => {
      pending = true;
    },
    commit: async () => {
      attempt("commit");
      pending = false;
    },
    get pending() {
      return pending;
    },
    resync: async () => {},
    counters: async () => [],
    close: async () => void happened.push("close"),
  };
  /** Removals wait for this. */
  const gate = Promise.withResolvers<void>();
  const former = {
    name: "other",
    remove: async () => {
      attempt("remove");
      await gate.promise;
      happened.push("removed");
      return ["chain"];
    },
  };
  const clock = new SimClock();
  const takeover = new Takeover({ filter, former, logger: pino({ level: "silent" }), clock });
  const change = () => takeover.update(undefined as never);
  return { takeover, change, happened, gate, clock };
}

describe("felix/dataplane/takeover", () => {
  it("removes what the other left once the new rules are in force, and once only", async () => {
    const { takeover, change, happened, gate, clock } = create();
    assert.equal(takeover.pending, true);
    gate.resolve();
    await takeover.commit();
    await clock.settle();
    assert.equal(takeover.pending, false);
    change();
    assert.equal(takeover.pending, true);
    await takeover.commit();
    await takeover.close();
    assert.deepEqual(happened, ["commit", "remove", "removed", "commit", "close"]);
  });

  it("lets no commit wait for that, and never removes twice at once", async () => {
    const { takeover, change, happened, gate, clock } = create();
    await takeover.commit();
    assert.equal(takeover.pending, false);
    change();
    await takeover.commit();
    assert.equal(takeover.pending, false);
    await clock.advance(3_600_000);
    gate.resolve();
    await clock.settle();
    assert.deepEqual(happened, ["commit", "remove", "commit", "removed"]);
  });

  it("leaves the other's rules where its own were refused", async () => {
    const { takeover, happened } = create({ commit: 1 });
    await assert.rejects(takeover.commit(), /commit refused/);
    assert.deepEqual(happened, ["commit"]);
    await takeover.commit();
    assert.deepEqual(happened, ["commit", "commit", "remove"]);
  });

  it("tries again later what could not be removed, without a commit", async () => {
    const { takeover, happened, gate, clock } = create({ remove: 2 });
    gate.resolve();
    await takeover.commit();
    await clock.settle();
    assert.equal(takeover.pending, false);
    assert.deepEqual(happened, ["commit", "remove"]);
    await clock.advance(1_000);
    assert.deepEqual(happened, ["commit", "remove", "remove"]);
    await clock.advance(2_000);
    assert.deepEqual(happened, ["commit", "remove", "remove", "remove", "removed"]);
    assert.equal(clock.sleepers, 0);
  });

  it("is closed once nothing is being removed any more", async () => {
    const { takeover, happened, gate, clock } = create();
    await takeover.commit();
    const closed = takeover.close();
    await clock.settle();
    assert.deepEqual(happened, ["commit", "remove"]);
    gate.resolve();
    await closed;
    assert.deepEqual(happened, ["commit", "remove", "removed", "close"]);
  });

  it("does not try again once closed", async () => {
    const { takeover, happened, clock } = create({ remove: 1 });
    await takeover.commit();
    await clock.settle();
    await takeover.close();
    await clock.advance(3_600_000);
    assert.deepEqual(happened, ["commit", "remove", "close"]);
    assert.equal(clock.sleepers, 0);
  });

  it("removes nothing where it never came into force", async () => {
    const { takeover, happened } = create({ commit: 1 });
    await assert.rejects(takeover.commit());
    await takeover.close();
    assert.deepEqual(happened, ["commit", "close"]);
  });
});
