import assert from "node:assert/strict";
import type { EndReason } from "../../session/connection-fsm.ts";
import {
  INITIAL_NEIGHBOR,
  type NeighborFsmAction,
  type NeighborFsmConfig,
  type NeighborFsmEvent,
  type NeighborFsmState,
  neighborStep,
} from "../../session/neighbor-fsm.ts";

const HIGH = 0x0a000009;
const LOW = 0x0a000001;

/** A neighbor machine with what it was told to do. */
class Machine {
  state: NeighborFsmState = INITIAL_NEIGHBOR;
  actions: readonly NeighborFsmAction[] = [];
  now = 0;
  readonly config: NeighborFsmConfig;

  constructor(config: Partial<NeighborFsmConfig> = {}) {
    this.config = {
      passive: false,
      passiveFallback: undefined,
      connectRetryTime: 5,
      localRouterId: HIGH,
      localAsn: 64512,
      ...config,
    };
  }

  on(...events: NeighborFsmEvent[]): this {
    for (const event of events) {
      const step = neighborStep(this.state, event, { config: this.config, now: this.now, random: 0.5 });
      this.state = step.state;
      this.actions = step.actions;
    }
    return this;
  }

  get doing(): string[] {
    return this.actions.map(action => ("id" in action ? `${action.do} ${action.id}` : action.do));
  }

  get waitMs(): number | undefined {
    const arm = this.actions.find(action => action.do === "arm");
    return arm?.do === "arm" ? arm.ms : undefined;
  }
}

const opened = (
  id: number,
  part: Partial<Extract<NeighborFsmEvent, { type: "open-received" }>> = {},
): NeighborFsmEvent => ({
  type: "open-received",
  id,
  remoteRouterId: LOW,
  remoteAsn: 64512,
  gracefulRestart: false,
  restarting: false,
  ...part,
});
const START: NeighborFsmEvent = { type: "start" };
const dialled = (id: number): NeighborFsmEvent => ({ type: "dialled", id });
const connected = (id: number): NeighborFsmEvent => ({ type: "connected", id });
const incoming = (id: number): NeighborFsmEvent => ({ type: "incoming", id });
const ended = (
  id: number,
  reason: EndReason,
  part: { damped?: boolean; holdMs?: number } = {},
): NeighborFsmEvent => ({
  type: "ended",
  id,
  reason,
  damped: reason === "notification-sent" || reason === "notification-received",
  ...part,
});
const established = (id: number): NeighborFsmEvent => ({ type: "established", id });

describe("a neighbor", () => {
  it("dials at once, and dials again when nobody answers", () => {
    const machine = new Machine().on(START);
    assert.deepEqual(machine.doing, ["arm", "dial"]);
    machine.on(dialled(1), { type: "retry-expired" });
    assert.deepEqual(machine.doing, ["close 1", "arm", "dial"]);
  });
  it("waits when passive, until the fallback", () => {
    assert.deepEqual(new Machine({ passive: true }).on(START).doing, []);
    const machine = new Machine({ passive: true, passiveFallback: 10 }).on(START);
    assert.deepEqual(machine.doing, ["arm"]);
    assert.deepEqual(machine.on({ type: "retry-expired" }).doing, ["arm", "dial"]);
  });
  it("refuses what comes in while down or holding idle", () => {
    assert.deepEqual(new Machine().on(incoming(1)).doing, ["refuse 1"]);
    const machine = new Machine().on(START, dialled(1), ended(1, "notification-received"));
    assert.deepEqual(machine.on(incoming(2)).doing, ["refuse 2"]);
  });
  it("holds idle twice as long after each error, a minute at most, and forgets after a long session", () => {
    const machine = new Machine().on(START);
    const waits: number[] = [];
    for (let id = 1; id <= 8; id++) {
      machine.on(dialled(id), connected(id), ended(id, "notification-sent"));
      waits.push(Math.round(machine.waitMs! / 875));
      machine.on({ type: "idle-hold-expired" });
    }
    assert.deepEqual(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    machine.on(dialled(9), connected(9), opened(9), established(9));
    machine.now += 61_000;
    machine.on(ended(9, "notification-received"));
    assert.equal(Math.round(machine.waitMs! / 875), 1);
  });
  it("stays down as long as it is told to, whatever BFD says, until the operator says otherwise", () => {
    const down = () =>
      new Machine().on(
        START,
        dialled(1),
        connected(1),
        ended(1, "notification-sent", { holdMs: Number.POSITIVE_INFINITY }),
      );
    assert.deepEqual(down().doing, ["disarm"]);
    assert.deepEqual(down().on({ type: "path-up" }).doing, []);
    assert.deepEqual(down().on(incoming(2)).doing, ["refuse 2"]);
    assert.deepEqual(down().on({ type: "reset" }).doing, ["arm", "dial"]);
    const damped = new Machine().on(START, dialled(1), connected(1), ended(1, "notification-sent"));
    assert.deepEqual(damped.on({ type: "path-up" }).doing, ["arm", "dial"]);
  });
  it("is back quickly after a lost session, slower after a failed dial", () => {
    const machine = new Machine().on(START, dialled(1), connected(1), opened(1), established(1));
    machine.on(ended(1, "lost"));
    assert.ok(machine.waitMs! <= 1000);
    machine.on({ type: "retry-expired" }, dialled(2), ended(2, "connect-failed"));
    assert.ok(machine.waitMs! >= 3750 && machine.waitMs! <= 5000);
  });

  describe("with two connections (RFC 4271 6.8)", () => {
    const both = (localRouterId: number) =>
      new Machine({ localRouterId }).on(START, dialled(1), connected(1), incoming(2));

    it("of the higher identifier keeps its own", () => {
      const machine = both(HIGH + 1).on(opened(2, { remoteRouterId: HIGH }));
      assert.deepEqual(machine.doing, ["arm"], "the losing one is held back");
      assert.deepEqual(machine.on(opened(1, { remoteRouterId: HIGH })).doing, ["close 2", "confirm 1"]);
    });
    it("of the lower identifier keeps the other's", () => {
      const machine = both(LOW - 1).on(opened(2));
      assert.deepEqual(machine.doing, ["arm"], "until the other side is known to have seen both");
      assert.deepEqual(machine.on(opened(1)).doing, ["close 1", "confirm 2"]);
    });
    it("of the lower identifier does not wait for a dial of its own that ends or is never answered", () => {
      const refused = both(LOW - 1).on(opened(2), ended(1, "lost"));
      assert.deepEqual(refused.doing, ["confirm 2"]);
      const silent = both(LOW - 1).on(opened(2), { type: "collision-wait-expired" });
      assert.deepEqual(silent.doing, ["close 1", "confirm 2"]);
    });
    it("decides equal identifiers by AS number (RFC 6286)", () => {
      const machine = both(LOW).on(opened(2, { remoteAsn: 64513 }), opened(1, { remoteAsn: 64513 }));
      assert.deepEqual(machine.doing, ["close 1", "confirm 2"]);
    });
    it("takes the losing one when the better one dies or says nothing", () => {
      const dies = both(HIGH).on(opened(2), ended(1, "lost"));
      assert.deepEqual(dies.doing, ["confirm 2"]);
      const silent = both(HIGH).on(opened(2), { type: "collision-wait-expired" });
      assert.deepEqual(silent.doing, ["close 1", "confirm 2"]);
    });
    it("gives up a dial when the incoming one is good", () => {
      const machine = new Machine().on(START, dialled(1), incoming(2), opened(2));
      assert.deepEqual(machine.doing, ["close 1", "confirm 2"]);
    });
    it("keeps an Established one", () => {
      const machine = new Machine().on(
        START,
        dialled(1),
        connected(1),
        opened(1),
        established(1),
        incoming(2),
      );
      assert.deepEqual(machine.doing, ["refuse 2"]);
    });
  });

  describe("that restarts gracefully (RFC 4724 5)", () => {
    const helper = () =>
      new Machine().on(START, dialled(1), connected(1), opened(1, { gracefulRestart: true }), established(1));

    it("replaces its dead connection when it says so", () => {
      const machine = helper().on(incoming(2), opened(2, { gracefulRestart: true, restarting: true }));
      assert.deepEqual(machine.doing, ["close 1", "confirm 2"]);
      assert.deepEqual(
        machine.state.slots.map(({ id }) => id),
        [2],
      );
    });
    it("replaces it without saying so, but not in the first seconds", () => {
      const machine = helper().on(incoming(2), opened(2, { gracefulRestart: true }));
      assert.deepEqual(machine.doing, ["close 2"]);
      machine.now = 6_000;
      machine.on(incoming(3), opened(3, { gracefulRestart: true }));
      assert.deepEqual(machine.doing, ["close 1", "confirm 3"]);
    });
  });
});
