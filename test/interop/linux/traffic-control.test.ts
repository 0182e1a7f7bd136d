import assert from "node:assert/strict";
import { EventSubscription, type KernelEvent } from "../../../linux/events.ts";
import { Rtnetlink } from "../../../linux/rtnetlink.ts";
import { Parent, TrafficControl } from "../../../linux/traffic-control.ts";
import { run, ScratchNamespaces } from "./scratch-namespace.ts";

/** `1:` */
const HANDLE = 0x10000;

describe("linux/traffic-control", () => {
  const scratch = new ScratchNamespaces();

  function shaped() {
    const namespace = scratch.create();
    using rtnetlink = Rtnetlink.open({ namespace });
    rtnetlink.createVeth({ name: "v0", peerName: "v1", txQueues: 1 });
    rtnetlink.createPlainLink({ kind: "ifb", name: "ifb9" });
    for (const name of ["v0", "v1", "ifb9"]) rtnetlink.setLink(name, { up: true });
    const index = rtnetlink.getLink("v0")!.index;
    const ifb = rtnetlink.getLink("ifb9")!.index;
    const control = TrafficControl.open({ namespace });
    const tc = (...words: string[]) => JSON.parse(run(namespace, "tc", "-j", ...words) || "[]");
    return { namespace, control, index, ifb, tc, [Symbol.dispose]: () => control.close() };
  }

  it("shapes what leaves, changes it in place, and lets go of it", () => {
    using host = shaped();
    const { control, index, tc } = host;
    control.replaceTokenBucket(index, HANDLE, { rate: 1_000_000, burst: 20_000, limit: 30_000 });
    const of = () => control.listDisciplines().find(each => each.interfaceIndex === index);
    assert.deepEqual(of(), {
      interfaceIndex: index,
      kind: "tbf",
      handle: HANDLE,
      parent: Parent.ROOT,
      tokenBucket: { rate: 1_000_000, limit: 30_000 },
    });
    const [seen] = tc("qdisc", "show", "dev", "v0");
    assert.equal(seen.options.rate, 1_000_000);
    assert.ok(Math.abs(seen.options.burst - 20_000) < 50, `burst ${seen.options.burst}`);

    control.replaceTokenBucket(index, HANDLE, {
      rate: 6_000_000_000,
      burst: 200_000,
      limit: 400_000,
      peakRate: 7_000_000_000,
      peakBurst: 3000,
    });
    assert.deepEqual(of()?.tokenBucket, { rate: 6_000_000_000, limit: 400_000, peakRate: 7_000_000_000 });
    assert.equal(control.deleteRootDiscipline(index), true);
    assert.notEqual(of()?.kind, "tbf");
    assert.equal(control.deleteRootDiscipline(index), false);
  });

  it("redirects what comes in", () => {
    using host = shaped();
    const { namespace, control, index, ifb } = host;
    assert.deepEqual(control.listRedirects(index), []);
    control.addRedirect(index, ifb);
    assert.deepEqual(control.listRedirects(index), [
      { interfaceIndex: index, priority: 1, kind: "u32", target: ifb },
    ]);
    const filters = run(namespace, "tc", "filter", "show", "dev", "v0", "ingress");
    assert.match(filters, /mirred \(Egress Redirect to device ifb9\) stolen/);
    assert.equal(control.deleteIngress(index), true);
    assert.equal(control.deleteIngress(index), false);
  });

  it("tells of changes", async () => {
    using host = shaped();
    const { namespace, control, index } = host;
    const seen = Promise.withResolvers<KernelEvent>();
    await using _events = EventSubscription.open({
      namespace,
      groups: ["traffic-control"],
      onEvents: events => {
        for (const event of events) if (event.type === "traffic-control") seen.resolve(event);
      },
      onFailure: error => seen.reject(error),
    });
    control.replaceTokenBucket(index, HANDLE, { rate: 1_000_000, burst: 20_000, limit: 30_000 });
    assert.deepEqual(await seen.promise, { type: "traffic-control", interfaceIndex: index });
  });
});
