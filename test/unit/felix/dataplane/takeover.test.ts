import assert from "node:assert/strict";
import { pino } from "pino";
import type { PacketFilter } from "../../../../felix/dataplane/packet-filter.ts";
import { Takeover } from "../../../../felix/dataplane/takeover.ts";

function create(failures: { commit?: number; remove?: number } = {}) {
  const left = { commit: 0, remove: 0, ...failures };
  const happened: string[] = [];
  const attempt = async (what: "commit" | "remove") => {
    happened.push(what);
    if (left[what]-- > 0) throw new Error(`${what} refused`);
  };
  let pending = true;
  const filter: PacketFilter = {
    update: () => {
      pending = true;
    },
    commit: async () => {
      await attempt("commit");
      pending = false;
    },
    get pending() {
      return pending;
    },
    resync: async () => {},
    counters: async () => [],
    close: () => void happened.push("close"),
  };
  const former = {
    name: "other",
    remove: async () => {
      await attempt("remove");
      return ["chain"];
    },
  };
  return { takeover: new Takeover(filter, former, pino({ level: "silent" })), filter, happened };
}

describe("felix/dataplane/takeover", () => {
  it("removes what the other left once the new rules are in force, and once only", async () => {
    const { takeover, filter, happened } = create();
    await takeover.commit();
    assert.equal(takeover.pending, false);
    filter.update(undefined as never);
    assert.equal(takeover.pending, true);
    await takeover.commit();
    takeover.close();
    assert.deepEqual(happened, ["commit", "remove", "commit", "close"]);
  });

  it("leaves the other's rules where its own were refused", async () => {
    const { takeover, happened } = create({ commit: 1 });
    await assert.rejects(takeover.commit(), /commit refused/);
    assert.deepEqual(happened, ["commit"]);
    await takeover.commit();
    assert.deepEqual(happened, ["commit", "commit", "remove"]);
  });

  it("tries again what could not be removed, and is in force meanwhile", async () => {
    const { takeover, happened } = create({ remove: 1 });
    await takeover.commit();
    assert.equal(takeover.pending, true);
    await takeover.commit();
    assert.equal(takeover.pending, false);
    assert.deepEqual(happened, ["commit", "remove", "remove"]);
  });
});
