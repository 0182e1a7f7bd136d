/** The BGP daemon as it runs: processes, real kernels, real TCP, and bird as the other implementation. */

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ip, ScratchNamespaces } from "../linux/scratch-namespace.ts";
import { Bird, type Host, Lan, watchBgpRoutes } from "./lan.ts";

describe("BGP daemons on a LAN", function () {
  this.timeout(90_000);
  const namespaces = new ScratchNamespaces();
  let lan: Lan;
  let [a, b, c] = [] as unknown as [Host, Host, Host];

  beforeEach(async () => {
    lan = await Lan.create(namespaces);
    await lan.resource("IPPool", "pool", { cidr: "10.65.0.0/16" });
    [a, b, c] = ["a", "b", "c"].map((name, i) => lan.host(name, i + 1)) as [Host, Host, Host];
    for (const [i, host] of [a, b, c].entries()) {
      await host.register();
      await host.block(`10.65.${i + 1}.0/26`);
    }
  });
  afterEach(() => lan?.close());

  const meshed = (own: number, hosts = [1, 2, 3]) =>
    hosts.map(n => (n === own ? `blackhole 10.65.${n}.0/26` : `10.65.${n}.0/26 via 10.0.0.${n}`));

  async function upAndMeshed(): Promise<void> {
    for (const host of [a, b, c]) host.start();
    for (const [i, host] of [a, b, c].entries()) await host.untilRoutes(meshed(i + 1));
    for (const host of [a, b, c]) await host.untilReady();
  }

  it("mesh, follow affinities and workloads, put back what is wiped, and leave the rest alone", async () => {
    await upAndMeshed();

    await b.block("10.65.2.64/26");
    await a.until("the new block", () => a.bgpRoutes.includes("10.65.2.64/26 via 10.0.0.2"), 2);
    await lan.delete("BlockAffinity", "10.65.2.64/26", "host:b");
    await a.untilRoutes(meshed(1), 2);
    await b.untilRoutes(meshed(2), 2);

    // A borrowed address: in another host's block, on a workload's interface here.
    ip(c.namespace, "link", "add", "cali1", "type", "veth", "peer", "name", "pod1");
    ip(c.namespace, "link", "set", "cali1", "up");
    ip(c.namespace, "route", "add", "10.65.2.9/32", "dev", "cali1", "proto", "80", "metric", "1024");
    await a.untilRoutes([...meshed(1), "10.65.2.9/32 via 10.0.0.3"], 2);
    await b.untilRoutes([...meshed(2), "10.65.2.9/32 via 10.0.0.3"], 2);
    // Deleting the link takes the route with it, silently.
    ip(c.namespace, "link", "del", "cali1");
    await a.untilRoutes(meshed(1), 2);

    ip(a.namespace, "route", "add", "10.65.9.0/24", "via", "10.0.0.3");
    ip(a.namespace, "route", "add", "10.65.2.0/26", "via", "10.0.0.3", "metric", "7", "proto", "static");
    const foreign = () => [
      ...ip(a.namespace, "route", "show", "10.65.9.0/24"),
      ...ip(a.namespace, "route", "show", "10.65.2.0/26", "proto", "static"),
    ];
    const before = foreign();
    assert.equal(before.length, 2);
    ip(a.namespace, "route", "del", "10.65.2.0/26", "metric", "1024");
    ip(a.namespace, "route", "del", "blackhole", "10.65.1.0/26");
    await a.untilRoutes(meshed(1), 1);

    ip(a.namespace, "link", "set", "eth0", "down");
    await a.until("no routes without the link", () => a.bgpRoutes.join() === "blackhole 10.65.1.0/26", 5);
    ip(a.namespace, "link", "set", "eth0", "up");
    await a.untilRoutes(meshed(1), 20);
    await b.untilRoutes(meshed(2), 20);
    // What the link took was not ours to put back.
    assert.deepEqual(foreign(), []);
  });

  it("a killed daemon leaves all routes, its own and the others', and is back without a change of any", async () => {
    await upAndMeshed();
    const watches = [a, b, c].map(({ namespace }) => watchBgpRoutes(namespace));
    await a.end("SIGKILL");
    await b.until("the loss noticed", async () =>
      (await b.status()).neighbors.some((neighbor: { state: string }) => neighbor.state !== "Established"),
    );
    assert.deepEqual([...a.bgpRoutes].sort(), meshed(1).sort());
    assert.deepEqual([...b.bgpRoutes].sort(), meshed(2).sort());
    a.start();
    await a.untilReady();
    await a.untilEstablished(2);
    // Whatever End-of-RIB sweeps has been swept by then: another block goes all the way.
    await a.block("10.65.1.64/26");
    for (const host of [b, c]) {
      await host.until("the next block", () => host.bgpRoutes.includes("10.65.1.64/26 via 10.0.0.1"));
    }
    for (const watch of watches) await watch.close();
    assert.deepEqual(
      watches.map(({ changes }) => changes),
      [["new 10.65.1.64/26"], ["new 10.65.1.64/26"], ["new 10.65.1.64/26"]],
    );
  });

  it("a stopped daemon says nothing, and what changed meanwhile is right after its start", async () => {
    await upAndMeshed();
    await a.end("SIGTERM");
    await lan.delete("BlockAffinity", "10.65.1.0/26", "host:a");
    await a.block("10.65.1.128/26");
    await lan.delete("BlockAffinity", "10.65.2.0/26", "host:b");
    await c.untilRoutes(["10.65.1.0/26 via 10.0.0.1", "blackhole 10.65.3.0/26"]);
    a.start();
    await c.untilRoutes(["10.65.1.128/26 via 10.0.0.1", "blackhole 10.65.3.0/26"]);
    await a.untilRoutes(["blackhole 10.65.1.128/26", "10.65.3.0/26 via 10.0.0.3"]);
  });

  it("speak IPv6 to each other as well", async () => {
    await lan.resource("IPPool", "pool6", { cidr: "fd65::/48" });
    for (const [i, host] of [a, b].entries()) {
      await host.register({ ipv4Address: `10.0.0.${i + 1}/24`, ipv6Address: `fd00::${i + 1}/64` });
      await host.block(`fd65::${i + 1}:0/122`);
    }
    await lan.delete("Node", "c");
    for (const host of [a, b]) host.start();
    await a.untilRoutes([...meshed(1, [1, 2]), "blackhole fd65::1:0/122", "fd65::2:0/122 via fd00::2"]);
    await b.untilRoutes([...meshed(2, [1, 2]), "blackhole fd65::2:0/122", "fd65::1:0/122 via fd00::1"]);
    ip(a.namespace, "-6", "route", "del", "fd65::2:0/122");
    ip(a.namespace, "-6", "route", "del", "blackhole", "fd65::1:0/122", "dev", "lo");
    await a.until("both back", () => a.bgpRoutes.length === 4, 1);
  });

  it("a mesh with a password is one of those who know it", async () => {
    const secrets = join(lan.folder, "secrets");
    for (const [directory, password] of [
      [secrets, "right"],
      [`${secrets}-wrong`, "wrong"],
    ] as const) {
      mkdirSync(join(directory, "bgp"), { recursive: true });
      writeFileSync(join(directory, "bgp", "mesh"), `${password}\n`);
    }
    const nodeMeshPassword = { secretKeyRef: { name: "bgp", key: "mesh" } };
    await lan.resource("BGPConfiguration", "default", { nodeMeshPassword });
    for (const host of [a, b]) host.start({ CALYX_SECRETS_DIR: secrets });
    c.start({ CALYX_SECRETS_DIR: `${secrets}-wrong` });
    await a.untilRoutes(meshed(1, [1, 2]));
    await b.untilRoutes(meshed(2, [1, 2]));
    assert.deepEqual(c.bgpRoutes, ["blackhole 10.65.3.0/26"]);
    writeFileSync(join(`${secrets}-wrong`, "bgp", "mesh"), "right");
    await c.untilRoutes(meshed(3), 40);
  });

  it("lead IPIP pools into the tunnel's device where BGP writes their routes, as soon as it is there", async () => {
    await lan.resource("IPPool", "pool", { cidr: "10.65.0.0/16", ipipMode: "Always" });
    await lan.resource("BGPConfiguration", "default", { programClusterRoutes: "Enabled" });
    for (const host of [a, b, c]) host.start();
    await a.until("sessions", async () => (await a.status())?.neighbors.length === 2);
    await a.untilEstablished(2);
    await a.untilRoutes(["blackhole 10.65.1.0/26"]);
    assert.match((await a.status()).problems.join(), /IPIP pools: their routes wait for the device tunl0/);
    // This machine's kernel may have no ipip: what matters to the routes is the device's name.
    ip(a.namespace, "link", "add", "tunl0", "type", "bridge");
    ip(a.namespace, "link", "set", "tunl0", "up");
    await a.untilRoutes(meshed(1), 5);
    const [route] = ip(a.namespace, "route", "show", "10.65.2.0/26");
    assert.deepEqual([route.dev, route.flags, route.gateway], ["tunl0", ["onlink"], "10.0.0.2"]);
    assert.deepEqual((await a.status()).problems, []);
    ip(a.namespace, "link", "set", "tunl0", "down");
    await a.untilRoutes(["blackhole 10.65.1.0/26"], 5);
  });

  it("watch each other by BFD where BGPConfiguration says so: who is cut off is gone within a second", async () => {
    await lan.put("BGPConfiguration", "default", {
      apiVersion: "projectcalico.org/v3",
      kind: "BGPConfiguration",
      metadata: { name: "default", annotations: { "calyx.io/bfd": "100x3" } },
      spec: {},
    });
    await upAndMeshed();
    const bfd = async () =>
      (await a.status()).neighbors.map((neighbor: { bfd?: { state: string } }) => neighbor.bfd?.state);
    await a.until("BFD up", async () => (await bfd()).join() === "Up,Up");
    lan.cable(b, "down");
    const left = meshed(1, [1, 3]).sort().join();
    const took = await a.until("b gone", () => [...a.bgpRoutes].sort().join() === left, 10);
    assert.ok(took < 3000, `${took} ms, where the hold time is 90 s`);
    lan.cable(b, "up");
    await a.untilRoutes(meshed(1), 60);
  });

  describe("with bird", () => {
    before(function () {
      if (!Bird.installed()) {
        this.test?.parent?.tests.forEach(test => {
          test.title += " (bird is not installed)";
        });
        this.skip();
      }
    });

    const config = (asn: number, neighbors: number[]) => `
      router id 10.0.0.100;
      protocol device {}
      protocol direct { ipv4; }
      protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }
      protocol static uplink { ipv4; route 192.0.2.0/24 blackhole; route 0.0.0.0/0 blackhole; }
      ${neighbors
        .map(
          n => `protocol bgp host${n} {
            local 10.0.0.100 as ${asn};
            neighbor 10.0.0.${n} as 64512;
            graceful restart on;
            ipv4 { import all; export where source = RTS_STATIC; next hop self; };
          }`,
        )
        .join("\n")}`;

    for (const [kind, asn] of [
      ["eBGP", 64513],
      ["iBGP", 64512],
    ] as const) {
      it(`over ${kind}: our blocks arrive there, its routes in our kernel, its default route not at our mesh`, async () => {
        await lan.resource("BGPPeer", "tor", { node: "a", peerIP: "10.0.0.100", asNumber: asn });
        await lan.delete("Node", "c");
        const bird = lan.bird(100, config(asn, [1]));
        bird.start();
        for (const host of [a, b]) host.start();
        const uplink = ["192.0.2.0/24 via 10.0.0.100", "default via 10.0.0.100"];
        await a.untilRoutes([...meshed(1, [1, 2]), ...uplink]);
        await b.untilRoutes(meshed(2, [1, 2]));
        const block = await bird.untilSays("show route 10.65.1.0/26 all", /10\.65\.1\.0\/26.*\n/);
        assert.match(block, /via 10\.0\.0\.1 on eth0/);
        assert.match(block, asn === 64512 ? /BGP\.local_pref: 2147482623/ : /BGP\.as_path: 64512/);
        if (asn === 64513) {
          // Learned over the mesh, passed on to the fabric; and that with iBGP only from its own host.
          assert.match(
            await bird.untilSays("show route 10.65.2.0/26 all", /10\.65\.2\.0/),
            /via 10\.0\.0\.1 on eth0/,
          );
        } else assert.doesNotMatch(bird.ask("show route all"), /10\.65\.2\.0/);

        const watch = watchBgpRoutes(bird.namespace);
        await a.end("SIGKILL");
        await bird.untilSays("show protocols host1", /Connect|Active|Idle|Passive/);
        a.start();
        await bird.untilSays("show protocols host1", /Established/);
        await a.untilReady();
        await a.block("10.65.1.64/26");
        await bird.untilSays("show route", /10\.65\.1\.64/);
        await watch.close();
        assert.deepEqual(
          [...a.bgpRoutes].sort(),
          [...meshed(1, [1, 2]), "blackhole 10.65.1.64/26", ...uplink].sort(),
        );
        assert.deepEqual(
          watch.changes.filter(change => change.startsWith("delete")),
          [],
        );
        await lan.delete("BGPPeer", "tor");
        await a.untilRoutes([...meshed(1, [1, 2]), "blackhole 10.65.1.64/26"]);
      });
    }
  });
});
