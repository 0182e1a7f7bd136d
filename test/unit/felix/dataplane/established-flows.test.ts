import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import { pino } from "pino";
import type { Update } from "../../../../datastore/reflector.ts";
import { NO_CHANGES } from "../../../../felix/calc/changes.ts";
import type { EstablishedFlow } from "../../../../felix/calc/flow-judge.ts";
import { EstablishedFlows } from "../../../../felix/dataplane/established-flows.ts";
import type { TrackedFlow } from "../../../../linux/conntrack.ts";
import { ip } from "../../../../net/ip.ts";
import { Calculation, globalPolicy, workload } from "../calc/resources.ts";
import { SimClock } from "./sim-clock.ts";

const A = ip("10.0.0.1");
const B = ip("10.0.0.2");

const flow = (source: string, destination: string, more: Partial<TrackedFlow> = {}): TrackedFlow => ({
  original: { source: ip(source), destination: ip(destination), protocol: 6 },
  reply: { source: ip(destination), destination: ip(source), protocol: 6 },
  isExpected: false,
  isTombstone: false,
  zone: 0,
  tcpState: 3,
  raw: { family: 2, original: new Uint8Array(), id: undefined, zone: undefined, timeout: undefined },
  ...more,
});

/** Two workloads, a table of connections, and a judge who denies what is in `denied`. */
function setUp() {
  const calculation = new Calculation();
  const table = new Set<TrackedFlow>();
  const denied = new Set<EstablishedFlow>();
  const log: string[] = [];
  const state = { failing: false };
  const clock = new SimClock();
  const flows = new EstablishedFlows({
    judge: {
      update() {},
      isWorkload: address => address === A || address === B,
      concerns: () => true,
      allows: one => !denied.has(one),
    },
    conntrack: {
      *scan(wanted) {
        log.push("scan");
        if (state.failing) throw new Error("no answer");
        yield [];
        yield [...table].filter(({ original, reply }) => wanted(original, reply));
      },
      cut: cut => {
        for (const one of cut) table.delete(one);
        log.push(`cut ${cut.length}`);
      },
      forget: forgotten => {
        for (const one of forgotten) table.delete(one);
        log.push(`forget ${forgotten.length}`);
      },
    },
    host: () => ({ isOwnAddress: () => false, interfaceTowards: () => undefined }),
    logger: pino({ level: "silent" }),
    clock,
  });
  const stop = new AbortController();
  const running = flows.run(stop.signal);
  const settle = async () => {
    for (let i = 0; i < 5; i++) await nextTurn();
    await clock.advance(2_000);
  };
  const change = async (...updates: readonly Update[]) => {
    flows.update(calculation.apply(...updates));
    flows.taken();
    flows.inForce();
    await settle();
    return log.splice(0);
  };
  const end = async () => {
    stop.abort();
    await running;
  };
  return { calculation, flows, table, denied, log, state, settle, change, end };
}

const a = workload("a", { address: A, labels: { app: "a" } });
const b = workload("b", { address: B, labels: { app: "b" } });
const policy = (app: string, action: string) =>
  globalPolicy("p", { selector: `app == '${app}'`, ingress: [{ action }] });

describe("felix/dataplane/established-flows", () => {
  it("cuts exactly what is denied, of those whom the change touches, and of no zone but ours", async () => {
    const { table, denied, change, end } = setUp();
    await change(a, b);
    const [bad, good, others] = [flow(A, B), flow(B, A), flow(B, "192.0.2.1")];
    const elsewhere = flow("192.0.2.1", A, { zone: 7 });
    for (const one of [bad, good, others, elsewhere]) table.add(one);
    for (const one of [bad, others, elsewhere]) denied.add(one);
    assert.deepEqual(await change(policy("a", "Deny")), ["scan", "cut 1"]);
    assert.deepEqual([...table], [good, others, elsewhere]);
    await end();
  });

  it("waits for the commit that carries the change", async () => {
    const { calculation, flows, table, denied, log, settle, change, end } = setUp();
    await change(a, b);
    const bad = flow(A, B);
    table.add(bad);
    denied.add(bad);
    flows.taken();
    flows.update(calculation.apply(policy("b", "Deny")));
    // The commit that was on its way carries nothing of this.
    flows.inForce();
    await settle();
    assert.deepEqual(log, []);
    flows.taken();
    await settle();
    assert.deepEqual(log, []);
    flows.inForce();
    await settle();
    assert.deepEqual(log, ["scan", "cut 1"]);
    await end();
  });

  it("does not look where a change touches nobody here", async () => {
    const { flows, change, settle, log, end } = setUp();
    await change(a, b);
    flows.update(NO_CHANGES);
    flows.taken();
    flows.inForce();
    await settle();
    assert.deepEqual(log, []);
    await end();
  });

  it("takes away what stands for a connection that was cut, once it is allowed again, and looks for that only then", async () => {
    const { table, denied, change, end } = setUp();
    const set = globalPolicy("p", {
      selector: "app == 'a'",
      ingress: [{ action: "Allow", source: { selector: "has(friend)" } }],
    });
    const friend = (name: string, address: string) =>
      workload(name, { address, node: "there", labels: { friend: "" } });
    await change(a, b, set);
    assert.deepEqual(await change(friend("x", "10.9.0.1")), [], "an addition closes nothing");
    const bad = flow("10.9.0.2", A);
    table.add(bad);
    denied.add(bad);
    await change(workload("a", { address: A, labels: { app: "a", more: "" }, profiles: ["p"] }));
    const tombstone = flow("10.9.0.2", A, { isTombstone: true });
    table.add(tombstone);
    assert.deepEqual(await change(friend("y", "10.9.0.2")), ["scan", "forget 1"]);
    assert.deepEqual([...table], []);
    assert.deepEqual(await change(friend("z", "10.9.0.3")), [], "there is nothing to be revived any more");
    await end();
  });

  it("tries again when the kernel does not answer", async () => {
    const { table, denied, state, change, settle, log, end } = setUp();
    await change(a, b);
    const bad = flow(A, B);
    table.add(bad);
    denied.add(bad);
    state.failing = true;
    await change(policy("a", "Deny"));
    state.failing = false;
    await settle();
    assert.ok(log.includes("cut 1"), log.join());
    await end();
  });
});
