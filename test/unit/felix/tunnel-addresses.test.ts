import assert from "node:assert/strict";
import { pino } from "pino";
import { DatastoreError } from "../../../datastore/errors.ts";
import { key } from "../../../datastore/key.ts";
import { memoryDatastore } from "../../../datastore/memory.ts";
import type { Update } from "../../../datastore/reflector.ts";
import { TunnelAddresses } from "../../../felix/tunnel-addresses.ts";
import { SimClock } from "./dataplane/sim-clock.ts";

const API = "projectcalico.org/v3";

/** A node in a cluster with one pool, and felix's part that looks after its tunnel addresses. */
async function start(vxlanMode: "Always" | "Never") {
  const datastore = memoryDatastore();
  const pool = (mode: string) => ({
    apiVersion: API,
    kind: "IPPool",
    metadata: { name: "p" },
    spec: { cidr: "10.65.0.0/16", vxlanMode: mode },
  });
  await datastore.create(key("IPPool", "p"), pool(vxlanMode) as never);
  await datastore.create(key("Node", "n1"), {
    apiVersion: API,
    kind: "Node",
    metadata: { name: "n1" },
    spec: {},
  });
  const clock = new SimClock();
  const logged: string[] = [];
  const logger = pino({ level: "error" }, { write: line => void logged.push(JSON.parse(line).msg) });
  const part = new TunnelAddresses({ datastore, nodeName: "n1", logger, clock });
  const stop = new AbortController();
  const running = part.run(stop.signal);
  await clock.settle();
  return {
    datastore,
    clock,
    logged,
    address: async () => (await datastore.get(key("Node", "n1"))).value.spec.ipv4VXLANTunnelAddr as string,
    setMode: async (mode: string) => {
      const { revision } = await datastore.get(key("IPPool", "p"));
      await datastore.update(key("IPPool", "p"), pool(mode) as never, revision);
    },
    tell: async (kind: "IPPool" | "Node", name: string) => {
      part.noteUpdates([{ type: "delete", key: key(kind, name) } as Update]);
      await clock.settle();
    },
    stop: () => {
      stop.abort(new Error("the test is over"));
      return running;
    },
  };
}

describe("felix/tunnel-addresses", () => {
  it("looks when felix starts, and whenever a pool or the own Node changes", async () => {
    const part = await start("Never");
    assert.equal(await part.address(), undefined);
    await part.setMode("Always");
    await part.tell("Node", "other");
    assert.equal(await part.address(), undefined, "not for other nodes' sake");
    await part.tell("IPPool", "p");
    assert.match(await part.address(), /^10\.65\./);
    await part.setMode("Never");
    await part.tell("Node", "n1");
    assert.equal(await part.address(), undefined);
    await part.stop();
  });

  it("tries again what failed, and says so once", async () => {
    const part = await start("Never");
    part.datastore.store.onOperation = () => {
      throw new DatastoreError("UNAVAILABLE");
    };
    await part.tell("IPPool", "p");
    for (let i = 0; i < 3; i++) await part.clock.advance(30_000);
    assert.equal(part.logged.length, 1);
    part.datastore.store.onOperation = () => {};
    await part.setMode("Always");
    await part.clock.advance(30_000);
    assert.match(await part.address(), /^10\.65\./);
    await part.stop();
  });
});
