/**
 * Kill -9 of bgp daemons at any moment loses no packet: through a route reflector in the path of the routes, and with several
 * ways to one destination. CALYX_FAULT_ROUNDS=500 makes a campaign of it (default 6).
 */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { inNamespace } from "../../linux/namespace.ts";
import { Bird, type Host, Lan, watchBgpRoutes } from "../interop/bgp/lan.ts";
import { ip, run, ScratchNamespaces } from "../interop/linux/scratch-namespace.ts";

const ROUNDS = Number(process.env["CALYX_FAULT_ROUNDS"] ?? 6);

/** A hundred pings a second. */
class Pings {
  readonly #child: ChildProcess;
  #output = "";

  constructor(namespace: string, to: string) {
    this.#child = inNamespace(namespace, () =>
      spawn("ping", ["-n", "-i", "0.01", to], { stdio: ["ignore", "pipe", "ignore"] }),
    );
    this.#child.stdout?.on("data", chunk => {
      this.#output += chunk;
    });
  }

  /** Ends it; how many were not answered. The last one may still be under way. */
  async lost(): Promise<number> {
    const ended = once(this.#child, "close");
    this.#child.kill("SIGINT");
    await ended;
    const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(this.#output) ?? [];
    assert.ok(Number(received) > 10, this.#output.slice(-500));
    return Math.max(0, Number(sent) - Number(received) - 1);
  }
}

describe("bgp daemons that are killed", function () {
  this.timeout(60_000 + ROUNDS * 10_000);
  const namespaces = new ScratchNamespaces();
  let lan: Lan;
  beforeEach(async () => {
    lan = await Lan.create(namespaces);
    await lan.resource("IPPool", "pool", { cidr: "10.65.0.0/16" });
  });
  afterEach(() => lan?.close());

  const host = async (name: string, last: number, bgp: object = {}): Promise<Host> => {
    const made = lan.host(name, last);
    await made.register({ ipv4Address: `${made.address}/24`, ...bgp });
    run(made.namespace, "sysctl", "-qw", "net.ipv4.ip_forward=1");
    return made;
  };

  /** Kills and starts hosts in all combinations, and holds that nobody noticed. */
  async function unnoticed(pings: readonly Pings[], hosts: readonly Host[]): Promise<void> {
    const watches = hosts.map(({ namespace }) => watchBgpRoutes(namespace));
    const before = hosts.map(({ bgpRoutes }) => bgpRoutes);
    for (let round = 0; round < ROUNDS; round++) {
      const chosen = hosts.filter((_, i) => ((round % (2 ** hosts.length - 1)) + 1) & (1 << i));
      await Promise.all(chosen.map(one => one.end("SIGKILL")));
      await sleep(Math.random() * 500);
      for (const one of chosen) one.start();
      // Sometimes before it has found its feet.
      if (round % 3 !== 2) for (const one of chosen) await one.untilReady();
      else await sleep(Math.random() * 1500);
    }
    for (const one of hosts) await one.untilReady();
    for (const one of hosts)
      await one.until("all sessions", async () =>
        (await one.status()).neighbors.every(({ state }: { state: string }) => state === "Established"),
      );
    const lost = await Promise.all(pings.map(ping => ping.lost()));
    for (const watch of watches) await watch.close();
    assert.deepEqual(
      lost,
      pings.map(() => 0),
    );
    assert.deepEqual(
      watches.flatMap(({ changes }) => changes.filter(change => change.startsWith("delete"))),
      [],
    );
    assert.deepEqual(
      hosts.map(({ bgpRoutes }) => bgpRoutes),
      before,
    );
  }

  it("with a route reflector between them, which is killed too", async () => {
    await lan.resource("BGPConfiguration", "default", { nodeToNodeMeshEnabled: false });
    await lan.resource("BGPPeer", "reflector", { peerSelector: "all()", node: "r" });
    const hosts = [
      await host("a", 1),
      await host("b", 2),
      await host("r", 9, { routeReflectorClusterID: "1.0.0.1" }),
    ];
    const [a, b, r] = hosts as [Host, Host, Host];
    const pods = [lan.pod(a, 5, "10.65.1.5"), lan.pod(b, 6, "10.65.2.6")] as const;
    await a.block("10.65.1.0/26");
    await b.block("10.65.2.0/26");
    for (const one of hosts) one.start();
    await a.untilRoutes(["blackhole 10.65.1.0/26", "10.65.2.0/26 via 10.0.0.2"]);
    await b.untilRoutes(["blackhole 10.65.2.0/26", "10.65.1.0/26 via 10.0.0.1"]);
    await r.untilRoutes(["10.65.1.0/26 via 10.0.0.1", "10.65.2.0/26 via 10.0.0.2"]);
    for (const one of hosts) await one.untilReady();
    await unnoticed([new Pings(pods[0], "10.65.2.6"), new Pings(pods[1], "10.65.1.5")], hosts);
  });

  it("with two ways to what two routers announce", async function () {
    if (!Bird.installed()) this.skip();
    const router = (own: number) => `
      router id 10.0.0.${own};
      protocol device {}
      protocol static { ipv4; route 192.0.2.0/24 blackhole; }
      protocol bgp host {
        local 10.0.0.${own} as 65000; neighbor 10.0.0.1 as 64512;
        graceful restart on; connect delay time 1; connect retry time 1;
        ipv4 { import all; export where source = RTS_STATIC; next hop self; };
      }`;
    const a = await host("a", 1);
    const pod = lan.pod(a, 5, "10.65.1.5");
    await a.block("10.65.1.0/26");
    for (const own of [101, 102]) {
      const bird = lan.bird(own, router(own));
      ip(bird.namespace, "addr", "add", "192.0.2.1/32", "dev", "lo");
      ip(bird.namespace, "route", "add", "10.65.1.0/26", "via", "10.0.0.1");
      bird.start();
      await lan.resource("BGPPeer", `tor${own}`, { node: "a", peerIP: `10.0.0.${own}`, asNumber: 65000 });
    }
    a.start();
    await a.untilRoutes(["blackhole 10.65.1.0/26", "192.0.2.0/24 via 10.0.0.101 via 10.0.0.102"]);
    await a.untilReady();
    await unnoticed([new Pings(pod, "192.0.2.1")], [a]);
  });
});
