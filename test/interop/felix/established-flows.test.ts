/** Connections that are established when policy comes to deny them, or others. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Update } from "../../../datastore/reflector.ts";
import { type Ip, ip } from "../../../net/ip.ts";
import {
  globalPolicy,
  gone,
  HERE,
  hostEndpoint,
  profile,
  workload,
} from "../../unit/felix/calc/resources.ts";
import { run, ScratchNamespaces } from "../linux/scratch-namespace.ts";
import { Datagrams } from "./datagrams.ts";
import { type DataplaneKind, FelixHost, Pod } from "./host.ts";
import { Stream } from "./stream.ts";

const OPEN = profile("open", { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] });
const A = [ip("10.65.0.1"), ip("fd65::1")] as const;
const B = [ip("10.65.0.2"), ip("fd65::2")] as const;
const C = [ip("10.65.0.3"), ip("fd65::3")] as const;
const pod = (name: string, address: readonly Ip[]) =>
  workload(name, { address, profiles: ["open"], labels: { app: name } });

/** Whoever has one of these labels may talk to b. */
const onlyFrom = (...apps: readonly string[]) =>
  globalPolicy("b", {
    selector: "app == 'b'",
    types: ["Ingress"],
    ingress: apps.map(app => ({ action: "Allow", source: { selector: `app == '${app}'` } })),
  });

for (const kind of ["nft", "nftables"] satisfies DataplaneKind[]) {
  describe(`established connections, ${kind === "nft" ? "iptables" : kind}`, function () {
    this.timeout(60_000);
    const scratch = new ScratchNamespaces();
    const streams: (Stream | Datagrams)[] = [];
    const children: ChildProcess[] = [];
    let host: FelixHost;
    let pods: Record<"a" | "b" | "c", Pod>;

    async function start(values: Readonly<Record<string, unknown>> = {}, ...more: readonly Update[]) {
      const namespace = scratch.create();
      host = await FelixHost.create(namespace, kind, { values });
      pods = {
        a: new Pod(scratch, namespace, "a", A),
        b: new Pod(scratch, namespace, "b", B),
        c: new Pod(scratch, namespace, "c", C),
      };
      await host.start(OPEN, pod("a", A), pod("b", B), pod("c", C), ...more);
    }
    afterEach(async () => {
      for (const stream of streams.splice(0)) stream.close();
      for (const child of children.splice(0)) child.kill();
      await host.stop();
    });

    async function datagrams(from: "a" | "c", address: Ip, port: number) {
      const opened = await Datagrams.open({
        from: pods[from].namespace,
        to: pods.b.namespace,
        address,
        port,
      });
      streams.push(opened);
      return opened;
    }

    async function stream(how: "download" | "echo", from: "a" | "c", address: Ip, port: number) {
      const opened = await Stream[how]({ from: pods[from].namespace, to: pods.b.namespace, address, port });
      streams.push(opened);
      assert.equal(await opened.goesOn(), true);
      return opened;
    }

    /** Until that many connections more have been cut. */
    async function cut(count: number): Promise<void> {
      const deadline = performance.now() + 5_000;
      while (host.cut < count) {
        assert.ok(performance.now() < deadline, `${host.cut} of ${count} cut`);
        await new Promise(resolve => setTimeout(resolve, 5));
      }
    }

    for (const [version, address] of [
      [4, B[0]],
      [6, B[1]],
    ] as const) {
      it(`end when they come to be denied, whoever talks, and no others do: IPv${version}`, async () => {
        await start();
        const denied = [await stream("download", "a", address, 80), await stream("echo", "a", address, 81)];
        const allowed = [await stream("download", "c", address, 80), await stream("echo", "c", address, 81)];
        await host.apply(onlyFrom("c"));
        await cut(2);
        for (const one of denied) assert.equal(await one.goesOn(), false);
        for (const one of allowed) assert.equal(await one.goesOn(), true);
        assert.equal(host.cut, 2);
        // What was cut is gone for good; what is new is judged as ever.
        await host.apply(gone(onlyFrom("c")));
        const again = await stream("download", "a", address, 82);
        for (const one of allowed) assert.equal(await one.goesOn(), true);
        assert.equal(await again.goesOn(), true);
      });
    }

    it("end in both directions when both are denied: UDP, whose sides speak unasked", async () => {
      await start();
      const flows = await Promise.all(
        ([0, 1] as const).flatMap(i => [datagrams("a", B[i], 53), datagrams("c", B[i], 54)]),
      );
      const heard = () => Promise.all(flows.map(flow => flow.heard()));
      const [both, none] = [
        { client: true, server: true },
        { client: false, server: false },
      ];
      assert.deepEqual(await heard(), [both, both, both, both]);
      await host.apply(
        globalPolicy("b", {
          selector: "app == 'b'",
          types: ["Ingress", "Egress"],
          ingress: [{ action: "Allow", source: { selector: "app == 'c'" } }],
          egress: [{ action: "Allow", destination: { selector: "app == 'c'" } }],
        }),
      );
      await cut(2);
      // What was received before may still be unread.
      await heard();
      assert.deepEqual(await heard(), [none, both, none, both]);
      assert.equal(host.cut, 2);
    });

    it("outlive any number of changes that do not deny them", async () => {
      await start();
      const [download, echo] = [await stream("download", "c", B[0], 80), await stream("echo", "c", B[1], 81)];
      for (let i = 0; i < 100 || host.looks < 5; i++) {
        const address = i % 3 ? A : [A[0]];
        await host.apply(i % 2 === 0 ? onlyFrom("c", `x${i}`) : onlyFrom("c"), pod("a", address));
        await nextTurn();
      }
      assert.equal(host.cut, 0);
      assert.deepEqual([await download.goesOn(), await echo.goesOn()], [true, true]);
    });

    it("end when a label goes that allowed them", async () => {
      await start({}, onlyFrom("a", "c"));
      const denied = await stream("download", "a", B[0], 80);
      const allowed = await stream("download", "c", B[0], 80);
      await host.apply(workload("a", { address: A, profiles: ["open"], labels: { app: "else" } }));
      await cut(1);
      assert.deepEqual([await denied.goesOn(), await allowed.goesOn()], [false, true]);
    });

    it("end where their destination was translated, by where they really went", async () => {
      await start();
      const vip = ip("10.96.0.1");
      const rule =
        "-t nat -A PREROUTING -d 10.96.0.1 -p tcp --dport 443 -j DNAT --to-destination 10.65.0.2:8443";
      run(host.namespace, "iptables-nft", ...rule.split(" "));
      const opened = await Stream.download({
        from: pods.a.namespace,
        to: pods.b.namespace,
        address: vip,
        port: 443,
        behind: { address: B[0], port: 8443 },
      });
      streams.push(opened);
      assert.equal(await opened.goesOn(), true);
      await host.apply(onlyFrom("a"));
      assert.equal(await opened.goesOn(), true);
      await host.apply(onlyFrom("c"));
      await cut(1);
      assert.equal(await opened.goesOn(), false);
    });

    it("without ports end too: a ping that goes on is answered no more", async () => {
      await start();
      const heard = { a: 0, c: 0 };
      for (const name of ["a", "c"] as const) {
        const child = spawn("ip", ["netns", "exec", pods[name].namespace, "ping", "-n", "-i", "0.05", B[0]]);
        children.push(child);
        child.stdout.on("data", () => heard[name]++);
      }
      const answered = async () => {
        const before = { ...heard };
        await new Promise(resolve => setTimeout(resolve, 300));
        return [heard.a > before.a, heard.c > before.c];
      };
      while (heard.a === 0 || heard.c === 0) await new Promise(resolve => setTimeout(resolve, 20));
      assert.deepEqual(await answered(), [true, true]);
      await host.apply(onlyFrom("c"));
      await cut(1);
      // What was answered before may still be on its way here.
      await answered();
      assert.deepEqual(await answered(), [false, true]);
    });

    it("to the host end when its own policy comes to deny them", async () => {
      await start(
        { defaultEndpointToHostAction: "Accept" },
        hostEndpoint("up", { node: HERE, interfaceName: "uplink", profiles: ["open"] }, { role: "up" }),
      );
      const outside = scratch.create();
      const link = `link add peer type veth peer name eth0 netns ${outside}`;
      run(host.namespace, "ip", ...link.split(" "));
      run(host.namespace, "ip", "link", "set", "peer", "master", "uplink", "up");
      run(outside, "ip", "addr", "add", "192.0.2.9/24", "dev", "eth0");
      run(outside, "ip", "link", "set", "eth0", "up");
      const open = async (port: number) => {
        const opened = await Stream.download({
          from: outside,
          to: host.namespace,
          address: ip("192.0.2.1"),
          port,
        });
        streams.push(opened);
        assert.equal(await opened.goesOn(), true);
        return opened;
      };
      const [ssh, web] = [await open(22), await open(80)];
      await host.apply(globalPolicy("none", { selector: "role == 'up'", types: ["Ingress"], ingress: [] }));
      await cut(1);
      assert.equal(await web.goesOn(), false);
      assert.equal(await ssh.goesOn(), true, "a failsafe");
    });

    it("go on where the configuration says so", async () => {
      await start({ establishedFlows: "Keep" });
      const opened = await stream("download", "a", B[0], 80);
      await host.apply(onlyFrom("c"));
      assert.equal(await opened.goesOn(), true);
    });
  });
}
