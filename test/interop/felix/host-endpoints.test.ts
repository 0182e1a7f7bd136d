/**
 * Host endpoints with real packets: a host with two interfaces to the outside and a workload, by every dataplane. What
 * answers is a TCP reset: nobody listens, the packet got there.
 */

import assert from "node:assert/strict";
import type { Update } from "../../../datastore/reflector.ts";
import {
  globalPolicy,
  gone,
  HERE,
  hostEndpoint,
  profile,
  workload,
} from "../../unit/felix/calc/resources.ts";
import { run, ScratchNamespaces } from "../linux/scratch-namespace.ts";
import { DATAPLANES, FelixHost, Pod, reaches } from "./host.ts";

const OPEN = profile("open", { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] });
const ETH0 = hostEndpoint("h0", { node: HERE, interfaceName: "eth0" }, { host: "eth0" });
const OTHERS = hostEndpoint("h1", { node: HERE, interfaceName: "*", profiles: ["open"] }, { host: "others" });
const POD = workload("a", { address: ["10.65.0.1", "fd65::1"], profiles: ["open"] });
const VALUES = {
  failsafeInboundHostPorts: "tcp:22",
  failsafeOutboundHostPorts: "tcp:179",
  defaultEndpointToHostAction: "Accept",
};

const tcp = (action: "Allow" | "Deny", ...ports: number[]) =>
  ({ action, protocol: "TCP", destination: { ports } }) as const;
const about = (name: string, spec: object) =>
  globalPolicy(name, { selector: "host == 'eth0'", order: 1, ...spec });

for (const dataplane of DATAPLANES) {
  describe(`host endpoints on a real kernel, ${dataplane}`, function () {
    this.timeout(60_000);
    const scratch = new ScratchNamespaces();
    let host: FelixHost;
    let namespaces: Record<"host" | "left" | "right" | "pod", string>;
    let applied: Update[] = [];

    before(async () => {
      const left = scratch.create();
      const right = scratch.create();
      const namespace = scratch.create();
      host = await FelixHost.create(namespace, dataplane, { values: VALUES });
      const pod = new Pod(scratch, namespace, "a", ["10.65.0.1", "fd65::1"]);
      namespaces = { host: namespace, left, right, pod: pod.namespace };
      wire(namespace, "eth0", left, 80);
      wire(namespace, "eth1", right, 81);
      run(namespace, "ip", "-6", "route", "add", "2001:db8::/32", "dev", "eth1");
      // Somebody else's translation, of what comes and of what the host sends.
      for (const [program, address] of [
        ["iptables-nft", "192.0.2.200"],
        ["ip6tables-nft", "2001:db8::200"],
      ] as const) {
        const nat = (...words: string[]) => run(namespace, program, "-t", "nat", ...words);
        nat("-A", "PREROUTING", "-p", "tcp", "--dport", "8080", "-j", "REDIRECT", "--to-ports", "80");
        const outside = program === "iptables-nft" ? "10.80.0.2" : "[fd80::2]";
        nat("-A", "OUTPUT", "-p", "tcp", "-d", address, "-j", "DNAT", "--to-destination", `${outside}:84`);
      }
      await host.start(OPEN, POD);
    });
    after(async () => host?.stop());
    beforeEach(() => {
      applied = [];
    });
    afterEach(async () => {
      await host.apply(...applied.map(gone));
      assert.deepEqual(host.problems, []);
    });

    const apply = (...updates: Update[]) => {
      applied.push(...updates);
      return host.apply(...updates);
    };
    const ADDRESSES: Record<string, readonly [v4: string, v6: string]> = {
      host: ["10.80.0.1", "fd80::1"],
      "host's other side": ["10.81.0.1", "fd81::1"],
      left: ["10.80.0.2", "fd80::2"],
      right: ["10.81.0.2", "fd81::2"],
      pod: ["10.65.0.1", "fd65::1"],
      translated: ["192.0.2.200", "2001:db8::200"],
    };
    /** `left -> host:80`, each expected or not; with both IP versions, all at once. */
    const expects = async (expected: Readonly<Record<string, boolean>>) => {
      const answers = await Promise.all(
        Object.keys(expected).map(async probe => {
          const [, from = "", to = "", port] = /^(\S+) -> (.+):(\d+)$/.exec(probe) ?? [];
          const [v4, v6] = await Promise.all(
            ADDRESSES[to]!.map(address =>
              reaches(namespaces[from as keyof typeof namespaces], address, Number(port)),
            ),
          );
          return [probe, v4 === v6 ? v4 : { v4, v6 }] as const;
        }),
      );
      assert.deepEqual(Object.fromEntries(answers), expected);
    };

    it("govern what comes to the host and what it sends, but for failsafe ports; the workload is nobody's business", async () => {
      await expects({ "left -> host:81": true, "host -> left:443": true });
      await apply(ETH0, about("p", { ingress: [tcp("Allow", 80)], egress: [tcp("Allow", 443)] }));
      await expects({
        "left -> host:80": true,
        "left -> host:81": false,
        "left -> host:22": true,
        "host -> left:443": true,
        "host -> left:444": false,
        "host -> left:179": true,
        "right -> host's other side:81": true,
        "host -> pod:1": true,
        "pod -> host:81": true,
        "left -> pod:81": true,
        "left -> right:81": true,
      });
    });

    it("govern by all other interfaces where there is one for these", async () => {
      await apply(OTHERS, about("p", { selector: "host == 'others'", ingress: [tcp("Deny", 81)] }));
      await apply(about("q", { selector: "host == 'others'", order: 2, ingress: [{ action: "Allow" }] }));
      await expects({
        "left -> host:81": false,
        "right -> host's other side:81": false,
        "right -> host's other side:80": true,
      });
      await apply(ETH0, about("r", { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] }));
      await expects({
        "left -> host:81": true,
        "right -> host's other side:81": false,
        "pod -> host:81": true,
      });
    });

    it("deny and allow before connections are tracked", async () => {
      const both = { types: ["Ingress", "Egress"], doNotTrack: true, applyOnForward: true };
      await apply(
        ETH0,
        about("p", { order: 2, ingress: [tcp("Allow", 82)], egress: [{ action: "Allow" }] }),
        about("u", {
          ...both,
          ingress: [tcp("Allow", 85), tcp("Deny", 82)],
          egress: [{ action: "Allow", protocol: "TCP", source: { ports: [85] } }],
        }),
      );
      await expects({
        "left -> host:85": true,
        "left -> host:82": false,
        "left -> host:86": false,
        "left -> host:22": true,
      });
      const connections = run(namespaces.host, "conntrack", "-L", "-p", "tcp");
      assert.ok(!connections.includes("dport=85 "), connections);
    });

    it("judge by the port that was asked for, before it is translated", async () => {
      await apply(ETH0, about("p", { order: 2, ingress: [tcp("Allow", 80)], egress: [{ action: "Allow" }] }));
      await expects({ "left -> host:8080": true });
      await apply(
        about("d", { preDNAT: true, applyOnForward: true, types: ["Ingress"], ingress: [tcp("Deny", 8080)] }),
      );
      await expects({ "left -> host:8080": false, "left -> host:80": true });
    });

    it("judge what the host sends by where it goes after translation", async () => {
      await apply(
        ETH0,
        about("p", { ingress: [{ action: "Allow" }], egress: [tcp("Deny", 84), { action: "Allow" }] }),
      );
      await expects({ "host -> translated:1": false, "host -> left:85": true });
      await apply(about("p", { ingress: [{ action: "Allow" }], egress: [tcp("Allow", 84), tcp("Deny", 1)] }));
      await expects({ "host -> translated:1": true });
    });

    it("govern what is only forwarded where a policy says so, to workloads and through", async () => {
      const forward = about("f", {
        applyOnForward: true,
        ingress: [tcp("Deny", 81), { action: "Allow" }],
        egress: [tcp("Deny", 87), { action: "Pass" }],
      });
      await apply(ETH0, forward);
      await expects({
        "left -> pod:81": false,
        "left -> pod:82": true,
        "left -> right:81": false,
        "left -> right:82": true,
        "pod -> left:87": false,
        "right -> left:87": false,
        "right -> left:88": true,
        "pod -> left:88": true,
      });
    });

    it("count which rule decided", async () => {
      await apply(
        ETH0,
        about("p", { ingress: [tcp("Allow", 80), tcp("Deny", 81)], egress: [{ action: "Allow" }] }),
      );
      await expects({ "left -> host:80": true, "left -> host:81": false });
      const counted = (await host.filter.counters()).filter(({ name }) => name === "gnp/p");
      const packets = (direction: string, rule: number) =>
        counted.find(one => one.direction === direction && one.rule === rule)?.packets ?? -1;
      // Both IP versions; who gets no answer asks again.
      assert.equal(packets("ingress", 0), 2);
      assert.ok(packets("ingress", 1) >= 2);
      assert.ok(packets("egress", 0) >= 0);
    });
  });
}

/** A veth from the host to a neighbour who routes through it: 10.N.0.1/24 and fdN::1/64. */
function wire(host: string, name: string, neighbour: string, n: number): void {
  run(host, "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", neighbour);
  for (const [namespace, link, end] of [
    [host, name, 1],
    [neighbour, "eth0", 2],
  ] as const) {
    run(namespace, "ip", "link", "set", "lo", "up");
    run(namespace, "ip", "link", "set", link, "up");
    run(namespace, "ip", "addr", "add", `10.${n}.0.${end}/24`, "dev", link);
    run(namespace, "ip", "addr", "add", `fd${n}::${end}/64`, "dev", link, "nodad");
  }
  run(neighbour, "ip", "route", "add", "default", "via", `10.${n}.0.1`);
  run(neighbour, "ip", "-6", "route", "add", "default", "via", `fd${n}::1`);
}
