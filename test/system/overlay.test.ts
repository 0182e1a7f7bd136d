/** Workloads of hosts in two subnets, over VXLAN where it takes it and directly where not, on both IP versions. */

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { RunningPing } from "../../lab/demo/ping.ts";
import { LAB_DATAPLANES } from "../../lab/state.ts";
import { EchoStream } from "../fault/traffic.ts";
import { forgedVxlan, listen, send } from "./forged-vxlan.ts";
import { eventually, TestLab } from "./test-lab.ts";

const HOSTS = ["host1", "host2", "host3"];

for (const dataplane of LAB_DATAPLANES) {
  describe(`VXLAN between hosts of two subnets, filtered by ${dataplane}`, function () {
    this.timeout(60_000);
    let lab: TestLab;

    before(async () => {
      lab = await TestLab.up({ hosts: 3, ipv6: true, encapsulation: "vxlan-cross-subnet", dataplane });
      await lab.createNetwork("net");
      const serve = [{ protocol: "tcp" as const, port: 7 }];
      for (const [i, host] of HOSTS.entries()) await lab.run(`w${i + 1}`, { host, network: "net", serve });
      await lab.run("stranger", { host: "host1" });
    });

    after(() => lab?.end());

    const packets = async (host: string, device: string) => {
      const [link] = JSON.parse(await lab.output(host, "ip", "-j", "-s", "link", "show", device));
      return link.stats64.tx.packets as number;
    };

    /** Packets that a ping sends through the tunnel: of two pings, none or two. */
    const tunnelled = async (device: string, from: string, to: string) => {
      const before = await packets("host1", device);
      await lab.output(from, "ping", "-c", "2", "-i", "0.1", "-W", "2", to);
      return (await packets("host1", device)) - before;
    };

    it("connects workloads everywhere, and keeps strangers out", async () => {
      await lab.expects({
        "w1 -> w2 tcp:7": "allow",
        "w2 -> w3 tcp:7": "allow",
        "w3 -> w1 tcp:7": "allow",
        "stranger -> w2 tcp:7": "deny",
      });
    });

    it("uses the tunnel between subnets alone, with both IP versions", async () => {
      const [four = "", six = ""] = lab.state.workload("w2").addresses;
      const [near4 = "", near6 = ""] = lab.state.workload("w3").addresses;
      assert.ok((await tunnelled("vxlan.calico", "w1", four)) >= 2);
      assert.ok((await tunnelled("vxlan-v6.calico", "w1", six)) >= 2);
      assert.equal(await tunnelled("vxlan.calico", "w1", near4), 0);
      // The kernel's own multicast may pass by: less than two pings.
      assert.ok((await tunnelled("vxlan-v6.calico", "w1", near6)) < 2);
    });

    it("gives workloads the MTU that the tunnels leave", async () => {
      const [link] = JSON.parse(await lab.output("w1", "ip", "-j", "link", "show", "cali0"));
      assert.equal(link.mtu, 1430);
      const whole = ["ping", "-c", "1", "-W", "2", "-M", "do", "-s", String(1430 - 28), lab.addressOf("w2")];
      assert.match(await lab.output("w1", ...whole), / 0% packet loss/);
    });

    it("lets no workload send into the tunnel by hand", async () => {
      const packet = forgedVxlan({
        from: lab.addressOf("w3"),
        to: lab.addressOf("w2"),
        port: 4444,
        node: "host2",
      });
      const to = lab.state.host("host2").address;
      const ear = await listen(lab, "w2", 4444);
      try {
        for (const liar of ["w1", "stranger"]) await send(lab, liar, to, 4789, packet);
        assert.equal(ear.heard(), 0);
        // The packet is good: a host may send it.
        await send(lab, "host3", to, 4789, packet);
        await eventually(() => ear.heard() > 0, true);
        const afterwards = ear.heard();
        // And where the sender's felix is told to let it out, the receiver's does not know the sender.
        await lab.apply(
          `{ apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: { name: node.host1 },
           spec: { allowVXLANPacketsFromWorkloads: true } }`,
        );
        await sleep(1000);
        await send(lab, "w1", to, 4789, packet);
        await sleep(300);
        assert.equal(ear.heard(), afterwards);
      } finally {
        await ear.stop();
      }
    });

    /** Holds that traffic over the tunnel and beside it does not notice what `work` does. */
    const unnoticed = async (work: () => Promise<unknown>) => {
      const [, six = ""] = lab.state.workload("w2").addresses;
      const pings = [lab.addressOf("w2"), six, lab.addressOf("w3")].map(
        address => new RunningPing(lab, "w1", address, 0.01),
      );
      const streams = [new EchoStream(lab, "w1", "w2", 7), new EchoStream(lab, "w3", "w1", 7)];
      await sleep(200);
      await work();
      await sleep(300);
      const lost: string[] = [];
      for (const ping of pings) {
        const { sent, received } = await ping.stop();
        // The last one may still be under way.
        if (sent < 20 || sent - received > 1) lost.push(`${sent - received} of ${sent} pings lost`);
      }
      for (const stream of streams) lost.push((await stream.stop()) ?? "");
      assert.deepEqual(
        lost.filter(text => text !== ""),
        [],
      );
    };

    it("goes on while felix is killed and started on every host", () =>
      unnoticed(async () => {
        for (const host of HOSTS) {
          await lab.kill(host, "felix");
          await sleep(200);
          await lab.start(host, "felix");
        }
      }));

    it("goes on while pools change between always and across subnets", () =>
      unnoticed(async () => {
        for (const mode of ["Always", "CrossSubnet"]) {
          for (const pool of ["default-ipv4-ippool", "default-ipv6-ippool"])
            await lab.calctl(["patch", "ippool", pool, "-p", JSON.stringify({ spec: { vxlanMode: mode } })]);
          const way = mode === "Always" ? /dev vxlan\.calico/ : /dev eth0/;
          const routes = () => lab.output("host1", "ip", "route", "get", lab.addressOf("w3"));
          await eventually(async () => way.test(await routes()), true);
        }
      }));

    it("is repaired when somebody deletes the device", async () => {
      await lab.output("host1", "ip", "link", "delete", "vxlan.calico");
      await lab.expects({ "w1 -> w2 tcp:7": "allow" });
      const status = (await lab.calctl(["lab", "--name", lab.name, "status", "-o", "json"])).stdout;
      assert.deepEqual(
        JSON.parse(status).hosts.map((host: { problems: string[] }) => host.problems),
        HOSTS.map(() => []),
      );
    });

    it("leaves no device, address or route when the pools are without", async () => {
      for (const pool of ["default-ipv4-ippool", "default-ipv6-ippool"])
        await lab.calctl(["patch", "ippool", pool, "-p", '{"spec":{"vxlanMode":"Never"}}']);
      await eventually(async () => {
        const links = await lab.output("host1", "ip", "-o", "link");
        const routes = await lab.output("host1", "ip", "route", "show", "proto", "80");
        const node = JSON.parse((await lab.calctl(["get", "node", "host1", "-o", "json"])).stdout);
        return [
          links.includes("vxlan"),
          routes,
          node.spec.ipv4VXLANTunnelAddr,
          node.spec.ipv6VXLANTunnelAddr,
        ];
      }, [false, "", undefined, undefined]);
    });
  });
}

describe("routes without encapsulation, handed over from bgp to felix", function () {
  this.timeout(60_000);
  let lab: TestLab;

  before(async () => {
    lab = await TestLab.up({ hosts: 2 });
    await lab.createNetwork("net");
    for (const number of [1, 2]) await lab.run(`w${number}`, { host: `host${number}`, network: "net" });
    await lab.expects({ "w1 -> w2 icmp": "allow" });
  });

  after(() => lab?.end());

  const configure = (kind: string, programClusterRoutes: string) =>
    lab.apply(
      `{ apiVersion: projectcalico.org/v3, kind: ${kind}, metadata: { name: default }, spec: { programClusterRoutes: ${programClusterRoutes} } }`,
    );

  it("has one writer at each moment, says so where two want to be it, and loses no packet", async () => {
    const ping = new RunningPing(lab, "w1", lab.addressOf("w2"), 0.01);
    const problems = async () => {
      const { stdout } = await lab.calctl(["lab", "--name", lab.name, "status", "-o", "json"]);
      return JSON.parse(stdout).hosts.map((host: { problems: string[] }) =>
        /holds the place/.test(host.problems.join()),
      );
    };
    const writers = async () => {
      const routes = JSON.parse(
        await lab.output("host1", "ip", "-j", "route", "show", "root", "192.168.0.0/16"),
      );
      return routes
        .filter((route: { dst: string }) => route.dst.endsWith("/26"))
        .map(({ type = "unicast", protocol }: { type?: string; protocol: string }) => `${type} ${protocol}`)
        .sort();
    };
    await configure("FelixConfiguration", "Enabled");
    await eventually(problems, [true, true]);
    assert.deepEqual(await writers(), ["blackhole bgp", "unicast bgp"]);
    await configure("BGPConfiguration", "Disabled");
    await eventually(writers, ["blackhole 80", "unicast 80"]);
    await eventually(problems, [false, false]);
    const { sent, received } = await ping.stop();
    assert.ok(sent > 20 && sent - received <= 1, `${sent - received} of ${sent} pings lost`);
  });
});
