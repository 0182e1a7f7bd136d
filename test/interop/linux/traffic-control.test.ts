import assert from "node:assert/strict";
import { EventSubscription, type KernelEvent } from "../../../linux/events.ts";
import { Parent, Rtnetlink } from "../../../linux/rtnetlink.ts";
import { run, ScratchNamespaces } from "./scratch-namespace.ts";

/** `1:` */
const HANDLE = 0x10000;

describe("linux/rtnetlink: traffic control", () => {
  const scratch = new ScratchNamespaces();

  function shaped() {
    const namespace = scratch.create();
    const netlink = Rtnetlink.open({ namespace });
    netlink.createVeth({ name: "v0", peerName: "v1", txQueues: 1 });
    netlink.createPlainLink({ kind: "ifb", name: "ifb9" });
    for (const name of ["v0", "v1", "ifb9"]) netlink.setLink(name, { up: true });
    const index = netlink.getLink("v0")!.index;
    const ifb = netlink.getLink("ifb9")!.index;
    const tc = (...words: string[]) => JSON.parse(run(namespace, "tc", "-j", ...words) || "[]");
    return { namespace, netlink, index, ifb, tc, [Symbol.dispose]: () => netlink.close() };
  }

  it("shapes what leaves, changes it in place, and lets go of it", () => {
    using host = shaped();
    const { netlink, index, tc } = host;
    netlink.replaceTokenBucket(index, HANDLE, { rate: 1_000_000, burst: 20_000, limit: 30_000 });
    const of = () => netlink.listDisciplines().find(each => each.interfaceIndex === index);
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

    netlink.replaceTokenBucket(index, HANDLE, {
      rate: 6_000_000_000,
      burst: 200_000,
      limit: 400_000,
      peakRate: 7_000_000_000,
      peakBurst: 3000,
    });
    assert.deepEqual(of()?.tokenBucket, { rate: 6_000_000_000, limit: 400_000, peakRate: 7_000_000_000 });
    assert.equal(netlink.deleteRootDiscipline(index), true);
    assert.notEqual(of()?.kind, "tbf");
    assert.equal(netlink.deleteRootDiscipline(index), false);
  });

  it("redirects what comes in", () => {
    using host = shaped();
    const { namespace, netlink, index, ifb } = host;
    assert.deepEqual(netlink.listRedirects(index), []);
    netlink.addRedirect(index, ifb);
    assert.deepEqual(netlink.listRedirects(index), [
      { interfaceIndex: index, priority: 1, kind: "u32", target: ifb },
    ]);
    const filters = run(namespace, "tc", "filter", "show", "dev", "v0", "ingress");
    assert.match(filters, /mirred \(Egress Redirect to device ifb9\) stolen/);
    assert.equal(netlink.deleteIngress(index), true);
    assert.equal(netlink.deleteIngress(index), false);
  });

  it("tells of changes", async () => {
    using host = shaped();
    const { namespace, netlink, index } = host;
    const seen = Promise.withResolvers<KernelEvent>();
    await using _events = EventSubscription.open({
      namespace,
      groups: ["traffic-control"],
      onEvents: events => {
        for (const event of events) if (event.type === "traffic-control") seen.resolve(event);
      },
      onFailure: error => seen.reject(error),
    });
    netlink.replaceTokenBucket(index, HANDLE, { rate: 1_000_000, burst: 20_000, limit: 30_000 });
    assert.deepEqual(await seen.promise, { type: "traffic-control", interfaceIndex: index });
  });
});
