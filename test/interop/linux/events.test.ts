import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { EventSubscription, type KernelEvent, type SubscriptionOptions } from "../../../linux/events.ts";
import { type Route, Rtnetlink } from "../../../linux/rtnetlink.ts";
import { cidr, nthAddress } from "../../../net/cidr.ts";
import { ip as address } from "../../../net/ip.ts";
import { ScratchNamespaces } from "./scratch-namespace.ts";

/** A subscription whose events can be waited for. */
class Recorder {
  readonly events: KernelEvent[] = [];
  readonly subscription: EventSubscription;
  #wake = () => {};

  constructor(options: Omit<SubscriptionOptions, "onEvents" | "onFailure">) {
    this.subscription = EventSubscription.open({
      ...options,
      onEvents: events => {
        this.events.push(...events);
        this.#wake();
      },
      onFailure: error => {
        throw error;
      },
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.subscription.close();
  }

  async until(condition: (event: KernelEvent) => boolean): Promise<KernelEvent> {
    for (;;) {
      const found = this.events.find(condition);
      if (found !== undefined) return found;
      await new Promise<void>(resolve => {
        this.#wake = resolve;
      });
    }
  }
}

function blackholes(count: number, block = "10.0.0.0/8"): Route[] {
  return Array.from({ length: count }, (_, i) => ({
    destination: cidr(`${nthAddress(cidr(block), i)}/32`),
    protocol: 80,
    type: "blackhole" as const,
  }));
}

describe("linux/events", function () {
  this.timeout(20_000);
  const scratch = new ScratchNamespaces();

  it("leaves out what one socket has caused, and nothing else", async () => {
    const namespace = scratch.create();
    using ours = Rtnetlink.open({ namespace });
    using theirs = Rtnetlink.open({ namespace });
    assert.notEqual(ours.portId, theirs.portId);
    await using recorder = new Recorder({ namespace, groups: ["route"], exceptCausedBy: ours.portId });
    ours.replaceRoutes(blackholes(1000));
    theirs.replaceRoutes(blackholes(1, "192.0.2.0/24"));
    ours.deleteRoutes(blackholes(1000));
    theirs.deleteRoutes(blackholes(1, "192.0.2.0/24"));
    await recorder.until(event => event.type === "route" && event.action === "delete");
    assert.deepEqual(
      recorder.events.map(event => event.type === "route" && event.route.destination),
      ["192.0.2.0/32", "192.0.2.0/32"],
    );
  });

  it("reports links, addresses, routes, neighbours and rules of its namespace, in order", async () => {
    const namespace = scratch.create();
    using netlink = Rtnetlink.open({ namespace });
    await using recorder = new Recorder({
      namespace,
      groups: ["link", "address", "route", "neighbour", "rule"],
    });
    netlink.createVeth({ name: "v0", peerName: "v1" });
    const index = netlink.getLink("v0")!.index;
    netlink.setLink("v0", { up: true });
    netlink.setLink("v1", { up: true });
    netlink.addAddress({ interfaceIndex: index, ip: address("10.0.0.1"), prefixLength: 24 });
    netlink.replaceRoute({
      destination: cidr("10.9.0.0/16"),
      protocol: 80,
      type: "unicast",
      gateway: address("10.0.0.2"),
    });
    netlink.deleteRoute({ destination: cidr("10.9.0.0/16"), protocol: 80, type: "unicast" });
    netlink.addRule({ family: 4, priority: 7, table: 99 });
    netlink.deleteLink("v0");

    const gone = await recorder.until(
      event => event.type === "link" && event.action === "delete" && event.link.name === "v0",
    );
    const { events } = recorder;
    const at = (condition: (event: KernelEvent) => boolean) => events.findIndex(condition);
    const created = at(event => event.type === "link" && event.link.name === "v0");
    const up = at(event => event.type === "link" && event.link.name === "v0" && event.link.up);
    const addressed = at(event => event.type === "address" && event.address.ip === "10.0.0.1");
    const routed = at(
      event =>
        event.type === "route" &&
        event.action === "new" &&
        event.route.destination === "10.9.0.0/16" &&
        event.route.gateway === "10.0.0.2",
    );
    const unrouted = at(
      event =>
        event.type === "route" && event.action === "delete" && event.route.destination === "10.9.0.0/16",
    );
    const order = [created, up, addressed, routed, unrouted, events.indexOf(gone)];
    assert.ok(!order.includes(-1), `all seen: ${order}`);
    assert.deepEqual(
      [...order].sort((a, b) => a - b),
      order,
    );
    assert.ok(events.some(event => event.type === "rule" && event.rule.priority === 7));
  });

  it("hears only the groups and the IP version asked for", async () => {
    const namespace = scratch.create();
    using netlink = Rtnetlink.open({ namespace });
    await using recorder = new Recorder({ namespace, groups: ["route"], family: 6 });
    netlink.setLink("lo", { up: true });
    netlink.replaceRoutes(blackholes(10));
    netlink.replaceRoute({ destination: cidr("fd00::/64"), protocol: 80, type: "blackhole" });
    await recorder.until(event => event.type === "route" && event.route.destination === "fd00::/64");
    assert.ok(
      recorder.events.every(event => event.type === "route" && event.route.destination.includes(":")),
    );
  });

  it("turns an overflow into one event, after which a dump misses nothing, and reads on", async () => {
    const namespace = scratch.create();
    using netlink = Rtnetlink.open({ namespace });
    netlink.setLink("lo", { up: true });
    await using recorder = new Recorder({
      namespace,
      groups: ["route"],
      family: 4,
      receiveBufferBytes: 8 * 1024,
    });
    // Ten storms; after each, the model (events, and a dump at every overflow) must be what the kernel has.
    const model = new Set<string>();
    let seen = 0;
    let overflows = 0;
    const catchUp = () => {
      for (; seen < recorder.events.length; seen++) {
        const event = recorder.events[seen]!;
        if (event.type === "overflow") {
          overflows++;
          model.clear();
          for (const route of netlink.listRoutes({ protocol: 80 })) model.add(route.destination);
        } else if (event.type === "route" && event.route.protocol === 80) {
          if (event.action === "new") model.add(event.route.destination);
          else model.delete(event.route.destination);
        }
      }
    };
    for (let storm = 0; storm < 10; storm++) {
      const routes = blackholes(3_000, `10.${storm}.0.0/16`);
      assert.deepEqual(netlink.replaceRoutes(routes), []);
      assert.deepEqual(netlink.deleteRoutes(routes.slice(100)), []);
      // The storm is over; one more change tells when everything before it has been heard or lost.
      const marker = cidr(`192.168.${storm}.0/24`);
      for (let attempt = 0; ; attempt++) {
        netlink.replaceRoute({ destination: marker, protocol: 80, type: "blackhole" });
        await recorder.until(event => recorder.events.indexOf(event) >= seen);
        await new Promise(resolve => setImmediate(resolve));
        catchUp();
        if (model.has(marker)) break;
        assert.ok(attempt < 1000);
      }
      catchUp();
    }
    assert.ok(overflows > 0, "the buffer was too large to overflow");
    const kernel = netlink.listRoutes({ protocol: 80 }).map(route => route.destination as string);
    assert.deepEqual([...model].sort(), kernel.sort());
  });

  it("does not lose one of 20,000 changes with the default buffer", async () => {
    const namespace = scratch.create();
    using netlink = Rtnetlink.open({ namespace });
    netlink.setLink("lo", { up: true });
    await using recorder = new Recorder({ namespace, groups: ["route"], family: 4 });
    const routes = blackholes(20_000);
    netlink.replaceRoutes(routes); // The main thread is busy, as it would be.
    const last = routes.at(-1)!.destination;
    await recorder.until(event => event.type === "route" && event.route.destination === last);
    const heard = recorder.events.filter(event => event.type === "route" && event.route.protocol === 80);
    assert.equal(heard.length, 20_000);
    assert.ok(!recorder.events.some(event => event.type === "overflow"));
  });

  it("closes within milliseconds, delivers nothing afterwards, and can be closed twice", async () => {
    const namespace = scratch.create();
    const recorder = new Recorder({ namespace, groups: ["link"] });
    using netlink = Rtnetlink.open({ namespace });
    netlink.setLink("lo", { up: true });
    await recorder.until(event => event.type === "link");
    const start = performance.now();
    const closed = recorder.subscription.close();
    netlink.setLink("lo", { up: false });
    const heard = recorder.events.length;
    await closed;
    await recorder.subscription.close(); // Once more does no harm.
    assert.ok(performance.now() - start < 500);
    assert.equal(recorder.events.length, heard);
  });

  it("does not keep a process from exiting", () => {
    const namespace = scratch.create();
    const program = `
      import { EventSubscription } from ${JSON.stringify(new URL("../../../linux/events.ts", import.meta.url).href)};
      const fail = error => { throw error; };
      EventSubscription.open({ namespace: ${JSON.stringify(namespace)}, groups: ["link"], onEvents: () => {}, onFailure: fail });
      setTimeout(() => process.exit(7), 200);`;
    const start = performance.now();
    const child = spawnSync(process.execPath, ["--input-type=module", "-e", program], { timeout: 10_000 });
    assert.equal(child.status, 7, String(child.stderr));
    assert.ok(performance.now() - start < 1_800);
  });
});
