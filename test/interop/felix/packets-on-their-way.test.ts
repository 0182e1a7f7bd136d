/**
 * What becomes of packets that are on their way while rules are written: no moment of a commit lets one
 * through that the rules before it and after it deny, or loses one that both allow. A flood of them, and hundreds of commits.
 *
 * CALYX_FLOOD_ROUNDS: of how many commits; default 100.
 */

import assert from "node:assert/strict";
import process from "node:process";
import type { Update } from "../../../datastore/reflector.ts";
import type { Changes } from "../../../felix/calc/changes.ts";
import { resolveConfig } from "../../../felix/calc/config.ts";
import { CalcGraph } from "../../../felix/calc/graph.ts";
import { createNftablesFilter } from "../../../felix/dataplane/nftables/nftables-filter.ts";
import { globalPolicy, gone, HERE, tier, workload } from "../../unit/felix/calc/resources.ts";
import { ScratchNamespaces } from "../linux/scratch-namespace.ts";
import { Flood } from "./flood.ts";
import { DATAPLANES, type DataplaneKind, FelixHost, Pod } from "./host.ts";

const ROUNDS = Number(process.env["CALYX_FLOOD_ROUNDS"] ?? 100);
const [OPEN_PORT, CLOSED_PORT] = [5000, 5001];

const RESOURCES: readonly Update[] = [
  tier("default", 1_000_000),
  workload("a", { address: "10.65.0.1" }),
  workload("b", { address: "10.65.0.2" }),
  globalPolicy("open", {
    order: 10,
    types: ["Ingress", "Egress"],
    egress: [{ action: "Allow" }],
    ingress: [{ action: "Allow", protocol: "UDP", destination: { ports: [OPEN_PORT] } }],
  }),
];
/** It changes what judges both, and nothing of what is allowed. */
const ANOTHER = globalPolicy("another", { order: 5, types: ["Ingress"], ingress: [{ action: "Log" }] });
const STRANGER = workload("c", { address: "10.65.0.3" });

describe("felix on a real kernel: packets on their way", function () {
  this.timeout(60_000 + ROUNDS * 500);
  const scratch = new ScratchNamespaces();
  let host: FelixHost | undefined;
  let flood: Flood | undefined;
  afterEach(async () => {
    flood?.kill();
    await host?.stop();
    host = undefined;
  });

  async function start(kind: DataplaneKind): Promise<FelixHost> {
    const namespace = scratch.create();
    const a = new Pod(scratch, namespace, "a", ["10.65.0.1"]);
    const b = new Pod(scratch, namespace, "b", ["10.65.0.2"]);
    host = await FelixHost.create(namespace, kind);
    await host.start(...RESOURCES);
    flood = await Flood.start({
      from: a.namespace,
      to: b.namespace,
      address: "10.65.0.2",
      ports: [OPEN_PORT, CLOSED_PORT],
    });
    return host;
  }

  async function ends(): Promise<void> {
    assert.ok(flood);
    const { sent, received } = await flood.stop();
    const [open = 0, closed] = received;
    assert.ok(sent > 1000, "else it says nothing");
    assert.equal(closed, 0, `of ${sent} packets that are denied passed`);
    assert.equal(sent - open, 0, `of ${sent} packets that are allowed were lost`);
  }

  it("when the next agent takes over, again and again: nftables", async () => {
    const { namespace } = await start("nftables");
    await host?.stop();
    host = undefined;
    const { config } = resolveConfig([]);
    // Some of the agents come with something to do.
    const changes = [RESOURCES, [...RESOURCES, ANOTHER, STRANGER]].map(resources => {
      const graph = new CalcGraph({ nodeName: HERE, onProblem: ({ message }) => assert.fail(message) });
      graph.configure(config);
      graph.apply(resources);
      return graph.drain();
    });
    for (let round = 0; round < ROUNDS; round++) {
      const filter = createNftablesFilter(config, { namespace });
      filter.update(changes[round % 3 === 0 ? 1 : 0] as Changes);
      await filter.commit();
      await filter.close?.();
    }
    await ends();
  });

  it("when one dataplane takes over from the other", async () => {
    const { namespace } = await start("nft");
    const order: readonly DataplaneKind[] = ["nftables", "legacy", "nftables", "nft"];
    for (let round = 0; round < ROUNDS / 10; round++) {
      await host?.stop();
      host = undefined;
      host = await FelixHost.create(namespace, order[round % order.length] as DataplaneKind, {
        takesOver: true,
      });
      await host.start(...RESOURCES);
    }
    await ends();
  });

  for (const kind of DATAPLANES) {
    it(`when other policies judge them: ${kind}`, async () => {
      const started = await start(kind);
      for (let round = 0; round < ROUNDS; round++)
        await started.apply(round % 2 === 0 ? ANOTHER : gone(ANOTHER));
      await ends();
    });

    it(`when other workloads come and go: ${kind}`, async () => {
      const started = await start(kind);
      for (let round = 0; round < ROUNDS; round++)
        await started.apply(round % 2 === 0 ? STRANGER : gone(STRANGER));
      await ends();
    });
  }
});
