import assert from "node:assert/strict";
import fc from "fast-check";
import { ip } from "../../../../net/ip.ts";
import { mac } from "../../../../net/mac.ts";
import { endpoint, Host } from "./host.ts";

const A = endpoint("a", ["10.0.0.1"]);
const B = endpoint("b", ["10.0.0.2"]);

describe("felix/dataplane", () => {
  const hosts: Host[] = [];
  function create(values?: Readonly<Record<string, unknown>>): Host {
    const host = new Host(values);
    hosts.push(host);
    return host;
  }
  /** With links calia and calib up, in sync, and nothing to do. */
  async function started(): Promise<Host> {
    const host = create();
    host.addLink("calia");
    host.addLink("calib");
    await host.start();
    host.takeJournal();
    return host;
  }
  afterEach(async () => {
    for (const host of hosts.splice(0)) await host.stop();
  });

  describe("order", () => {
    it("does nothing before the first complete state is there", async () => {
      const host = create();
      host.addLink("calia");
      host.addRoute("10.0.0.9", "calia");
      host.run();
      await host.update({ a: A });
      await host.tell();
      await host.clock.advance(600_000);
      assert.deepEqual(host.journal, []);
      assert.deepEqual(host.filter.resyncs, []);
      assert.equal(host.dataplane.failure, "nothing applied yet");
    });

    it("puts rules in force before anything leads to an endpoint, then says that it is ready", async () => {
      const host = await started();
      await host.update({ a: A });
      assert.deepEqual(host.takeJournal(), ["commit", "+ 10.0.0.1 calia"]);
      assert.deepEqual([...host.ready], ["default.a"]);
      assert.equal(host.dataplane.failure, undefined);
    });

    it("takes routes away, and forgets connections, before the rules go", async () => {
      const host = await started();
      await host.update({ a: A });
      host.takeJournal();
      await host.update({ a: undefined });
      assert.deepEqual(host.takeJournal(), ["- 10.0.0.1 calia", "forget 10.0.0.1", "commit"]);
      assert.deepEqual([...host.ready], []);
    });

    it("keeps the routes of an earlier run for endpoints that still are, and sweeps the others at the end", async () => {
      const host = create();
      host.addLink("calia");
      host.addLink("calix");
      host.addRoute("10.0.0.1", "calia");
      host.addRoute("10.0.0.9", "calix");
      host.addRoute("10.0.0.8", "eth0", { protocol: 80 });
      host.addRoute("192.0.2.0/24", "eth0", { protocol: 4 });
      await host.update({ a: A });
      await host.start();
      assert.deepEqual(host.takeJournal(), ["commit", "- 10.0.0.9 calix"]);
      // Those on other links are others' affair: overlay/ has those of our protocol.
      assert.deepEqual(host.leads, ["10.0.0.1 calia", "10.0.0.8 #0", "192.0.2.0 #0"]);
    });

    it("leads the addresses by which an endpoint is known elsewhere to it, too", async () => {
      const host = await started();
      const floatingIps = [{ external: ip("192.0.2.7"), internal: ip("10.0.0.1") }];
      const address = mac("02:00:00:00:00:01");
      await host.update({ a: { ...A, floatingIps, mac: address } });
      assert.deepEqual(host.leads, ["10.0.0.1 calia", "192.0.2.7 calia"]);
      assert.deepEqual(
        [...host.neighbours.keys()],
        ["calia 10.0.0.1"],
        "nobody asks for the other one there",
      );
      await host.update({ a: { ...A, mac: address } });
      assert.deepEqual(host.leads, ["10.0.0.1 calia"]);
    });

    it("lets nothing in that arrived while the commit was on its way", async () => {
      const host = await started();
      const { promise, resolve } = Promise.withResolvers<void>();
      host.filter.gate = promise;
      await host.update({ a: A });
      await host.update({ b: B, a: endpoint("a", ["10.0.0.3"]) });
      assert.deepEqual(host.takeJournal(), []);
      host.filter.gate = undefined;
      resolve();
      await host.clock.settle();
      assert.deepEqual(host.takeJournal(), [
        "commit",
        "+ 10.0.0.1 calia",
        "commit",
        "- 10.0.0.1 calia",
        "forget 10.0.0.1",
        "+ 10.0.0.2 calib",
        "+ 10.0.0.3 calia",
      ]);
    });
  });

  describe("when the kernel refuses", () => {
    it("lets nobody new in, keeps what is there, tries again with growing pauses, and gets over it", async () => {
      const host = await started();
      await host.update({ a: A });
      host.takeJournal();
      host.filter.refusal = new Error("line 3 failed");
      await host.update({ b: B });
      assert.equal(host.dataplane.failure, "line 3 failed");
      await host.clock.advance(20_000);
      const refused = host.takeJournal();
      assert.ok(
        refused.every(line => line === "refused") && refused.length > 5 && refused.length < 20,
        `${refused.length}`,
      );
      assert.deepEqual(host.leads, ["10.0.0.1 calia"]);
      assert.deepEqual(host.warnings, ["the kernel refused a change; what was in force stays, trying again"]);

      host.filter.refusal = undefined;
      await host.clock.advance(5_000);
      assert.deepEqual(host.takeJournal(), ["commit", "+ 10.0.0.2 calib"]);
      assert.equal(host.dataplane.failure, undefined);
    });

    it("still leads to endpoints that were admitted before", async () => {
      const host = await started();
      await host.update({ a: A });
      host.filter.refusal = new Error("no");
      await host.update({ b: B });
      host.setLink("calia", false);
      host.setLink("calia", true);
      await host.tell();
      await host.clock.advance(10_000);
      assert.deepEqual(host.leads, ["10.0.0.1 calia"]);
    });

    it("takes the routes of removed endpoints away all the same", async () => {
      const host = await started();
      await host.update({ a: A });
      host.filter.refusal = new Error("no");
      await host.update({ a: undefined });
      assert.deepEqual(host.leads, []);
    });

    it("tries routes that cannot be written again, one timer at a time, and complains once", async () => {
      const host = await started();
      host.unwritable.add("10.0.0.1");
      await host.update({ a: A });
      for (let i = 0; i < 20; i++) await host.update({ b: B });
      const sleepers = host.clock.sleepers;
      await host.clock.advance(60_000);
      assert.ok(host.clock.sleepers <= sleepers);
      assert.deepEqual(host.warnings, ["route not written, trying again"]);
      host.unwritable.clear();
      await host.clock.advance(10_000);
      assert.deepEqual(host.leads, ["10.0.0.1 calia", "10.0.0.2 calib"]);
      host.takeJournal();
      await host.clock.advance(80_000);
      assert.deepEqual(host.journal, []);
    });

    it("does not let policy depend on a file that cannot be written", async () => {
      const host = await started();
      host.statusFails = true;
      await host.update({ a: A });
      assert.deepEqual(host.leads, ["10.0.0.1 calia"]);
      assert.equal(host.dataplane.failure, undefined);
      assert.deepEqual(host.warnings, ["could not say which endpoints are ready"]);
    });
  });

  describe("links", () => {
    it("get their routes when they come up, and again after they went down", async () => {
      const host = create();
      await host.start();
      await host.update({ a: A });
      host.addLink("calia", false);
      await host.tell();
      assert.deepEqual(host.leads, []);
      host.setLink("calia", true);
      await host.tell();
      assert.deepEqual(host.leads, ["10.0.0.1 calia"]);
      host.setLink("calia", false);
      await host.tell();
      host.takeJournal();
      host.setLink("calia", true);
      await host.tell();
      // Its connections are its own still.
      assert.deepEqual(host.takeJournal(), ["+ 10.0.0.1 calia"]);
    });

    it("may vanish and come back under the same name as somebody else", async () => {
      const host = await started();
      await host.update({ a: A });
      host.deleteLink("calia");
      host.addLink("calia");
      await host.tell();
      assert.deepEqual(host.leads, ["10.0.0.1 calia"]);
      host.deleteLink("calia");
      await host.tell();
      await host.update({ a: undefined });
      assert.deepEqual(host.leads, []);
      assert.deepEqual(host.warnings, []);
    });

    it("may be renamed under us", async () => {
      const host = await started();
      await host.update({ a: A });
      host.renameLink("calia", "calic");
      await host.tell();
      assert.deepEqual(host.leads, []);
      await host.update({ a: endpoint("a", ["10.0.0.1"], { interfaceName: "calic" }) });
      assert.deepEqual(host.leads, ["10.0.0.1 calic"]);
      host.renameLink("calic", "veth9");
      await host.tell();
      assert.deepEqual(host.leads, []);
    });

    it("are configured when their endpoint is admitted, also where there is no IPv6", async () => {
      const host = await started();
      host.ipv6Parameters = false;
      await host.update({ a: endpoint("a", ["10.0.0.1"], { mac: mac("0a:00:00:00:00:01") }) });
      assert.deepEqual(Object.fromEntries(host.parameters), {
        "net/ipv4/conf/calia/route_localnet": "1",
        "net/ipv4/neigh/calia/proxy_delay": "0",
        "net/ipv4/conf/calia/proxy_arp": "1",
        "net/ipv4/conf/calia/forwarding": "1",
      });
      assert.deepEqual([...host.neighbours], [["calia 10.0.0.1", "0a:00:00:00:00:01"]]);
    });

    it("follow the endpoint's addresses and MAC with their neighbour entries", async () => {
      const host = await started();
      await host.update({ a: endpoint("a", ["10.0.0.1", "10.0.0.3"], { mac: mac("0a:00:00:00:00:01") }) });
      await host.update({ a: endpoint("a", ["10.0.0.1"], { mac: mac("0a:00:00:00:00:02") }) });
      assert.deepEqual([...host.neighbours], [["calia 10.0.0.1", "0a:00:00:00:00:02"]]);
    });

    it("that nobody knows cost nothing", async () => {
      const host = await started();
      let passes = 0;
      const { applyRemovals } = host.workloadLinks;
      host.workloadLinks.applyRemovals = () => {
        passes++;
        applyRemovals.call(host.workloadLinks);
      };
      host.addLink("caliunknown");
      await host.tell();
      await host.clock.advance(60_000);
      assert.equal(passes, 0);
      assert.equal(host.workloadLinks.pending, false);
    });

    it("are not led to by IPv6 where IPv6 is not filtered", async () => {
      const host = create({ ipv6Support: false });
      host.addLink("calia");
      await host.start();
      await host.update({ a: endpoint("a", ["10.0.0.1", "fd00::1"]) });
      assert.deepEqual(host.leads, ["10.0.0.1 calia"]);
    });
  });

  describe("repair", () => {
    it("puts back a route that somebody removed", async () => {
      const host = await started();
      await host.update({ a: A });
      host.wipeRoute("10.0.0.1");
      await host.tell();
      assert.deepEqual(host.leads, ["10.0.0.1 calia"]);
    });

    it("finds what happened unseen: lost events, and none at all", async () => {
      const host = await started();
      await host.update({ a: A, b: B });
      host.wipeRoute("10.0.0.1");
      host.deleteLink("calib");
      host.addLink("calib");
      await host.overflow();
      assert.deepEqual(host.leads, ["10.0.0.1 calia", "10.0.0.2 calib"]);
      host.wipeRoute("10.0.0.1");
      await host.clock.advance(100_000);
      assert.deepEqual(host.leads, ["10.0.0.1 calia", "10.0.0.2 calib"]);
      assert.deepEqual(host.filter.resyncs, ["sets"]);
    });

    for (const what of ["rules", "sets"] as const) {
      it(`looks at the ${what} within a second when somebody else has changed some, and only then`, async () => {
        const host = await started();
        await host.update({ a: A });
        await host.clock.advance(10_000);
        assert.deepEqual(host.filter.resyncs, []);
        host.generations[what]++;
        await host.clock.advance(1000);
        assert.deepEqual(host.filter.resyncs, [what]);
        await host.clock.advance(10_000);
        assert.deepEqual(host.filter.resyncs, [what]);
      });
    }

    it("looks less often where others change rules all the time and leave ours alone", async () => {
      const host = await started();
      await host.update({ a: A });
      for (let i = 0; i < 80; i++) {
        host.generations.rules++;
        await host.clock.advance(500);
      }
      assert.ok(host.filter.resyncs.length < 15, `${host.filter.resyncs.length} looks in 40 s`);
    });

    it("leaves a plugin's route alone until the datastore has had time to tell of the endpoint", async () => {
      const host = await started();
      host.addLink("calic");
      host.addRoute("10.0.0.3", "calic", { metric: 0 });
      await host.tell();
      assert.deepEqual(host.leads, ["10.0.0.3 calic"]);
      await host.clock.advance(100_000);
      assert.deepEqual(host.leads, []);
    });
  });

  describe("addresses", () => {
    it("are swapped by leaving first: no connection survives, and each gets the other's", async () => {
      const host = await started();
      await host.update({ a: A, b: B });
      host.takeJournal();
      await host.update({ a: endpoint("a", ["10.0.0.2"]), b: endpoint("b", ["10.0.0.1"]) });
      assert.deepEqual(host.takeJournal(), [
        "commit",
        "- 10.0.0.1 calia",
        "- 10.0.0.2 calib",
        "forget 10.0.0.1",
        "forget 10.0.0.2",
        "+ 10.0.0.1 calib",
        "+ 10.0.0.2 calia",
      ]);
    });

    it("that two claim are the first one's, and the other's when it goes or is down", async () => {
      const host = await started();
      await host.update({ b: endpoint("b", ["10.0.0.1"]) });
      await host.update({ a: A });
      assert.deepEqual(host.leads, ["10.0.0.1 calia"]);
      host.setLink("calia", false);
      await host.tell();
      assert.deepEqual(host.leads, ["10.0.0.1 calib"]);
      host.setLink("calia", true);
      await host.tell();
      assert.deepEqual(host.leads, ["10.0.0.1 calia"]);
      host.takeJournal();
      await host.update({ a: undefined });
      assert.deepEqual(host.takeJournal(), [
        "- 10.0.0.1 calia",
        "forget 10.0.0.1",
        "commit",
        "+ 10.0.0.1 calib",
      ]);
    });

    it("move with their interface from one endpoint to another", async () => {
      const host = await started();
      await host.update({ one: A });
      for (const order of [
        ["one", "two"],
        ["two", "one"],
      ] as const) {
        const other = { ...A, id: `default.${order[1]}`, addresses: B.addresses };
        await host.update(
          order[0] === "one" ? { one: undefined, two: other } : { one: other, two: undefined },
        );
        assert.deepEqual(host.leads, ["10.0.0.2 calia"]);
        assert.deepEqual([...host.ready], [other.id]);
      }
    });

    it("follow endpoints that exchange their interfaces", async () => {
      const host = await started();
      await host.update({ a: A, b: B });
      await host.update({ a: { ...A, interfaceName: "calib" }, b: { ...B, interfaceName: "calia" } });
      assert.deepEqual(host.leads, ["10.0.0.1 calib", "10.0.0.2 calia"]);
    });
  });

  it("keeps the order, and arrives, whatever happens", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: "max" }), async steps => {
        const host = create();
        const state = new Map<string, ReturnType<typeof endpoint>>();
        await host.start();
        for (const act of steps) await act(host, state);
        host.filter.refusal = undefined;
        host.unwritable.clear();
        await host.tell();
        await host.clock.advance(30_000);
        const claims = new Map<string, string[]>();
        for (const { interfaceName, addresses } of state.values()) {
          if (!host.links.get(interfaceName)?.up) continue;
          for (const address of addresses)
            claims.set(address, [...(claims.get(address) ?? []), interfaceName]);
        }
        assert.deepEqual(
          host.leads,
          [...claims].map(([address, [...names]]) => `${address} ${names.sort()[0]}`).sort(),
        );
        assert.deepEqual([...host.ready].sort(), [...state.values()].map(({ id }) => id).sort());
        assert.equal(host.workloadLinks.pending, false);
        await host.stop();
      }),
      { numRuns: Number(process.env["CALYX_RUNS"] ?? 80) },
    );
  });
});

type Step = (host: Host, state: Map<string, ReturnType<typeof endpoint>>) => Promise<void>;
const names = fc.constantFrom("a", "b", "c");
const addresses = fc.subarray(["10.0.0.1", "10.0.0.2", "fd00::1"]);

const step: fc.Arbitrary<Step> = fc.oneof(
  // An endpoint comes, changes, moves to another interface; the calculation gives an interface to one only.
  fc.tuple(names, names, addresses).map(
    ([id, interfaceName, own]): Step =>
      async (host, state) => {
        const changes: Record<string, ReturnType<typeof endpoint> | undefined> = {};
        for (const [other, { interfaceName: taken }] of state) {
          if (other === id || taken !== `cali${interfaceName}`) continue;
          state.delete(other);
          changes[other] = undefined;
        }
        changes[id] = endpoint(id, own, { interfaceName: `cali${interfaceName}` });
        state.set(id, changes[id]);
        await host.update(changes);
      },
  ),
  names.map(
    (id): Step =>
      async (host, state) => {
        if (state.delete(id)) await host.update({ [id]: undefined });
      },
  ),
  fc.tuple(names, fc.boolean()).map(
    ([name, up]): Step =>
      async host => {
        if (host.links.has(`cali${name}`)) host.setLink(`cali${name}`, up);
        else host.addLink(`cali${name}`, up);
      },
  ),
  names.map(
    (name): Step =>
      async host => {
        if (host.links.has(`cali${name}`)) host.deleteLink(`cali${name}`);
      },
  ),
  fc.tuple(names, names).map(
    ([from, to]): Step =>
      async host => {
        if (host.links.has(`cali${from}`) && !host.links.has(`cali${to}`))
          host.renameLink(`cali${from}`, `cali${to}`);
      },
  ),
  fc.constant<Step>(host => host.tell()),
  fc.constant<Step>(host => host.tell()),
  fc.constant<Step>(host => host.overflow()),
  fc.constantFrom("10.0.0.1", "10.0.0.2").map(
    (address): Step =>
      async host =>
        host.wipeRoute(address),
  ),
  fc.boolean().map(
    (refuse): Step =>
      async host => {
        host.filter.refusal = refuse ? new Error("no") : undefined;
      },
  ),
  fc.boolean().map(
    (refuse): Step =>
      async host => {
        if (refuse) host.unwritable.add("10.0.0.1");
        else host.unwritable.clear();
      },
  ),
  fc.constantFrom(10, 1_000, 100_000).map(
    (ms): Step =>
      host =>
        host.clock.advance(ms),
  ),
);
