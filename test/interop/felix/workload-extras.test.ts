/** What workloads get besides policies, with real packets: limits, DSCP, floating addresses, rejects; by every dataplane. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { pool, profile, workload } from "../../unit/felix/calc/resources.ts";
import { run, ScratchNamespaces } from "../linux/scratch-namespace.ts";
import { DATAPLANES, FelixHost, Pod, reaches } from "./host.ts";

const OPEN = profile("open", { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] });
const FLOATING = [
  { internalIP: "10.65.0.1", externalIP: "192.0.2.50" },
  { internalIP: "fd65::1", externalIP: "2001:db8::50" },
];
const A = (spec: object = {}) =>
  workload("a", { address: ["10.65.0.1", "fd65::1"], profiles: ["open"], spec });
const B = (spec: object = {}) =>
  workload("b", { address: ["10.65.0.2", "fd65::2"], profiles: ["open"], spec });

for (const dataplane of DATAPLANES) {
  describe(`workloads' extras on a real kernel, ${dataplane}`, function () {
    this.timeout(60_000);
    const scratch = new ScratchNamespaces();
    const children: ChildProcess[] = [];
    let host: FelixHost | undefined;
    let a: Pod;
    let b: Pod;

    async function start(values: Readonly<Record<string, unknown>> = {}): Promise<FelixHost> {
      const namespace = scratch.create();
      host = await FelixHost.create(namespace, dataplane, { values });
      a = new Pod(scratch, namespace, "a", ["10.65.0.1", "fd65::1"]);
      b = new Pod(scratch, namespace, "b", ["10.65.0.2", "fd65::2"]);
      await host.start(OPEN, A(), B(), pool("p", "10.65.0.0/16"), pool("p6", "fd65::/64"));
      return host;
    }
    afterEach(async () => {
      for (const child of children.splice(0)) child.kill();
      await host?.stop();
      host = undefined;
    });

    /** How many of so many pings, all at once, were answered. */
    const answered = (namespace: string, address: string, count: number): number => {
      const words = ["-q", "-c", `${count}`, "-i", "0.002", "-W", "1", address];
      try {
        return Number(/(\d+) received/.exec(run(namespace, "ping", ...words))?.[1]);
      } catch (error) {
        return Number(/(\d+) received/.exec(String((error as { stdout?: string }).stdout))?.[1] ?? 0);
      }
    };

    it("limit packets a second and connections at once, in each direction by itself", async () => {
      const felix = await start();
      assert.equal(answered(b.namespace, "10.65.0.1", 40), 40);
      await felix.apply(A({ qosControls: { ingressPacketRate: 10, ingressPacketBurst: 5 } }));
      for (const address of ["10.65.0.1", "fd65::1"]) {
        const through = answered(b.namespace, address, 40);
        assert.ok(through >= 5 && through <= 12, `${through} of 40 pings within 80 ms`);
      }
      // What comes from it is as free as before.
      await felix.apply(A({ qosControls: { egressMaxConnections: 2 } }));
      const listener = `import socket,sys
s=socket.create_server(("10.65.0.2",80)); print("ready",flush=True)
while True: s.accept()[0].detach()`;
      const server = spawn("ip", ["netns", "exec", b.namespace, "python3", "-c", listener], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      children.push(server);
      await new Promise(resolve => server.stdout.once("data", resolve));
      const dial = `import socket
held=[]
for i in range(4):
  try: held.append(socket.create_connection(("10.65.0.2",80),1)); print("open")
  except OSError as e: print(type(e).__name__)`;
      const outcomes = run(a.namespace, "python3", "-c", dial).trim().split("\n");
      assert.deepEqual(outcomes, ["open", "open", "ConnectionRefusedError", "ConnectionRefusedError"]);
    });

    it("are reached by floating addresses, also by themselves", async () => {
      const felix = await start({ floatingIPs: "Enabled" });
      await felix.apply(A({ ipNATs: FLOATING }));
      for (const { externalIP } of FLOATING) {
        assert.equal(await b.pings(externalIP), true, `another workload -> ${externalIP}`);
        assert.equal(await a.pings(externalIP), true, `itself -> ${externalIP}`);
        assert.equal(await succeedsFromHost(felix.namespace, externalIP), true, `the host -> ${externalIP}`);
      }
      await felix.apply(A());
      assert.equal(await b.pings("192.0.2.50"), false);
    });

    it("mark what leaves the cluster with their DSCP, and nothing else", async () => {
      const felix = await start();
      const outside = scratch.create();
      run(
        felix.namespace,
        "ip",
        "link",
        "add",
        "eth0",
        "type",
        "veth",
        "peer",
        "name",
        "eth0",
        "netns",
        outside,
      );
      for (const [namespace, end] of [
        [felix.namespace, 1],
        [outside, 2],
      ] as const) {
        run(namespace, "ip", "link", "set", "eth0", "up");
        run(namespace, "ip", "addr", "add", `10.80.0.${end}/24`, "dev", "eth0");
        run(namespace, "ip", "addr", "add", `fd80::${end}/64`, "dev", "eth0", "nodad");
      }
      run(outside, "ip", "route", "add", "default", "via", "10.80.0.1");
      run(outside, "ip", "-6", "route", "add", "default", "via", "fd80::1");
      await felix.apply(A({ qosControls: { dscp: 46 } }));
      const marked = (program: string, namespace: string) => {
        run(namespace, program, "-t", "raw", "-A", "PREROUTING", "-m", "dscp", "--dscp", "46");
        return () => / (\d+) .*DSCP match 0x2e/.exec(run(namespace, program, "-t", "raw", "-vnxL"))?.[1];
      };
      for (const [program, there, near] of [
        ["iptables-nft", "10.80.0.2", "10.65.0.2"],
        ["ip6tables-nft", "fd80::2", "fd65::2"],
      ] as const) {
        const [atOutside, atB] = [marked(program, outside), marked(program, b.namespace)];
        assert.equal(await a.pings(there), true, there);
        assert.equal(await a.pings(near), true, near);
        assert.deepEqual([atOutside(), atB()], ["1", "0"], program);
      }
    });

    it("are told at once where denied packets are rejected", async () => {
      const felix = await start({ iptablesFilterDenyAction: "Reject", nftablesFilterDenyAction: "Reject" });
      await felix.apply(profile("open", { egress: [{ action: "Allow" }] }));
      // Both look like a closed port: by the reset or the ICMP error, before the second is over.
      assert.deepEqual(
        await Promise.all(["10.65.0.2", "fd65::2"].map(address => reaches(a.namespace, address, 80))),
        [true, true],
      );
      assert.equal(await a.pings("10.65.0.2"), false);
    });
  });
}

async function succeedsFromHost(namespace: string, address: string): Promise<boolean> {
  try {
    run(namespace, "ping", "-c", "1", "-W", "1", address);
    return true;
  } catch {
    return false;
  }
}
