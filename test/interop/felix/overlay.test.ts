/**
 * Two hosts on one wire whose workloads talk through VXLAN: calculation, driver and the real kernel, without packet filter
 * and datastore.
 */

import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { pino } from "pino";
import { NO_CHANGES } from "../../../felix/calc/changes.ts";
import { resolveConfig } from "../../../felix/calc/config.ts";
import { Overlay } from "../../../felix/calc/overlay/overlay.ts";
import { OverlayNetwork } from "../../../felix/dataplane/overlay/overlay-network.ts";
import { EventSubscription } from "../../../linux/events.ts";
import { Rtnetlink } from "../../../linux/rtnetlink.ts";
import { writeSysctl } from "../../../linux/sysctl.ts";
import { block, node, pool, type Update, workload } from "../../unit/felix/calc/overlay/records.ts";
import { ip, run, ScratchNamespaces } from "../linux/scratch-namespace.ts";
import { Pod } from "./host.ts";

const { config } = resolveConfig([]);

/** A host with its overlay, told the same as the others. */
class OverlayHost {
  readonly namespace: string;
  readonly overlay: OverlayNetwork;
  readonly rtnetlink: Rtnetlink;
  readonly calculation: Overlay;
  #swept = false;

  constructor(namespace: string, nodeName: string) {
    this.namespace = namespace;
    this.rtnetlink = Rtnetlink.open({ namespace });
    this.overlay = new OverlayNetwork({
      rtnetlink: this.rtnetlink,
      config,
      logger: pino({ level: "silent" }),
    });
    this.calculation = new Overlay({ nodeName, onProblem: () => assert.fail() });
    this.calculation.configure(config);
    this.overlay.resync();
  }

  apply(updates: readonly Update[] = []): void {
    for (const [key, value] of updates) this.calculation.set(key, value as object);
    this.overlay.update({ ...NO_CHANGES, ...this.calculation.drain() });
    this.pass();
    if (!this.#swept) this.overlay.sweep();
    this.#swept = true;
    this.pass();
  }

  pass(): void {
    this.overlay.applyRemovals();
    this.overlay.applyAdditions();
  }
}

describe("felix: the overlay on a real kernel", function () {
  this.timeout(20_000);
  const scratch = new ScratchNamespaces();
  const hosts: OverlayHost[] = [];
  let wire: string;

  const records = (vxlanMode: "Always" | "CrossSubnet" | "Never" = "Always"): Update[] => [
    pool("four", "10.65.0.0/16", { vxlanMode }),
    pool("six", "fd00:65::/64", { vxlanMode }),
    node("h1", { v4: "172.16.0.1/24", v6: "fd00:16::1/64", vxlan: "10.65.1.0", vxlan6: "fd00:65::1:0" }),
    node("h2", { v4: "172.16.0.2/24", v6: "fd00:16::2/64", vxlan: "10.65.2.0", vxlan6: "fd00:65::2:0" }),
    block("10.65.1.0/26", "h1"),
    block("10.65.2.0/26", "h2"),
    block("fd00:65::1:0/122", "h1"),
    block("fd00:65::2:0/122", "h2"),
  ];

  let pods: Pod[] = [];

  before(() => {
    wire = scratch.create();
    run(wire, "ip", "link", "add", "br0", "type", "bridge");
    run(wire, "ip", "link", "set", "br0", "up");
    for (const number of [1, 2]) {
      const namespace = scratch.create();
      writeSysctl("net/ipv6/conf/default/accept_dad", 0, { namespace });
      writeSysctl("net/ipv4/ip_forward", 1, { namespace });
      writeSysctl("net/ipv6/conf/all/forwarding", 1, { namespace });
      run(
        wire,
        "ip",
        "link",
        "add",
        `p${number}`,
        "type",
        "veth",
        "peer",
        "name",
        "eth0",
        "netns",
        namespace,
      );
      run(wire, "ip", "link", "set", `p${number}`, "master", "br0", "up");
      run(namespace, "ip", "addr", "add", `172.16.0.${number}/24`, "dev", "eth0");
      run(namespace, "ip", "addr", "add", `fd00:16::${number}/64`, "dev", "eth0", "nodad");
      run(namespace, "ip", "link", "set", "eth0", "up");
      run(namespace, "ip", "route", "add", "default", "via", "172.16.0.254");
      hosts.push(new OverlayHost(namespace, `h${number}`));
      const addresses = [`10.65.${number}.5`, `fd00:65::${number}:5`];
      const pod = new Pod(scratch, namespace, `pod${number}`, addresses);
      writeSysctl(`net/ipv4/conf/${pod.interfaceName}/proxy_arp`, 1, { namespace });
      run(
        namespace,
        "ip",
        "route",
        "add",
        `10.65.${number}.5/32`,
        "dev",
        pod.interfaceName,
        "metric",
        "1024",
      );
      run(namespace, "ip", "route", "add", `fd00:65::${number}:5/128`, "dev", pod.interfaceName);
      pods = [...pods, pod];
    }
    // The wire's ports take a moment.
    for (const address of ["172.16.0.2", "fd00:16::2"])
      run(hosts[0]!.namespace, "ping", "-c", "1", "-i", "0.2", "-w", "10", address);
  });

  after(() => {
    for (const { rtnetlink } of hosts) rtnetlink.close();
  });

  const everywhere = (updates: readonly Update[]) => {
    for (const host of hosts) host.apply(updates);
  };

  it("carries packets in VXLAN, of both IP versions", async () => {
    everywhere(records());
    for (const host of hosts) assert.deepEqual([host.overlay.problems, host.overlay.pending], [[], false]);
    // So do workloads' links.
    for (const [pod, address] of [
      [pods[0]!, "10.65.2.5"],
      [pods[1]!, "fd00:65::1:5"],
    ] as const)
      run(pod.namespace, "ping", "-c", "1", "-i", "0.2", "-w", "10", address);
    const [device] = ip(hosts[0]!.namespace, "-s", "link", "show", "vxlan.calico");
    assert.ok(device.stats64.tx.packets >= 1, "through the tunnel");
    const [{ linkinfo }] = ip(hosts[0]!.namespace, "link", "show", "vxlan-v6.calico");
    assert.deepEqual(
      [
        linkinfo.info_data.id,
        linkinfo.info_data.port,
        linkinfo.info_data.learning,
        linkinfo.info_data.local6,
      ],
      [4096, 4789, false, "fd00:16::1"],
    );
  });

  it("carries packets of the full length that workloads may have", async () => {
    run(pods[0]!.namespace, "ping", "-c", "1", "-W", "1", "-M", "do", "-s", String(1450 - 28), "10.65.2.5");
    run(
      pods[0]!.namespace,
      "ping",
      "-6",
      "-c",
      "1",
      "-W",
      "1",
      "-M",
      "do",
      "-s",
      String(1430 - 48),
      "fd00:65::2:5",
    );
  });

  it("answers a host by its tunnel address", () => {
    run(hosts[0]!.namespace, "ping", "-c", "1", "-W", "1", "10.65.2.5");
    run(hosts[0]!.namespace, "ping", "-6", "-c", "1", "-W", "1", "fd00:65::2:0");
  });

  it("repairs what somebody breaks, told by the kernel's events", async () => {
    const { namespace, overlay } = hosts[0]!;
    const changed = () => [
      ip(namespace, "route", "show", "proto", "80"),
      ip(namespace, "-6", "route", "show", "proto", "80"),
      JSON.parse(run(namespace, "bridge", "-j", "fdb", "show", "dev", "vxlan.calico")),
      ip(namespace, "neigh", "show", "dev", "vxlan.calico", "nud", "permanent").map(({ dst, lladdr }) => [
        dst,
        lladdr,
      ]),
      ip(namespace, "addr", "show", "dev", "vxlan.calico")[0].addr_info.map(
        (each: { local: string }) => each.local,
      ),
    ];
    const before = changed();
    let repaired = Promise.withResolvers<void>();
    await using _events = EventSubscription.open({
      namespace,
      groups: ["link", "address", "route", "neighbour"],
      onEvents: events => {
        if (!overlay.noteEvents(events)) return;
        // As the dataplane does, until there is nothing left to do.
        for (let i = 0; i < 5 && overlay.pending; i++) hosts[0]!.pass();
        repaired.resolve();
      },
      onFailure: error => repaired.reject(error),
    });
    const breaks = [
      ["ip", "route", "flush", "proto", "80"],
      ["ip", "-6", "route", "flush", "proto", "80"],
      ["ip", "neigh", "del", "10.65.2.0", "dev", "vxlan.calico"],
      ["ip", "addr", "del", "10.65.1.0/32", "dev", "vxlan.calico"],
      ["bridge", "fdb", "del", before[2][0].mac, "dev", "vxlan.calico", "dst", "172.16.0.2", "self"],
      ["ip", "link", "set", "vxlan.calico", "down"],
      ["ip", "link", "del", "vxlan.calico"],
    ];
    const isWhole = () => {
      try {
        return isDeepStrictEqual(changed(), before);
      } catch {
        return false; // The device is not there.
      }
    };
    for (const [command = "", ...words] of breaks) {
      run(namespace, command, ...words);
      // Ends by the test's timeout where it is not repaired.
      while (!isWhole()) {
        repaired = Promise.withResolvers();
        await repaired.promise;
      }
    }
    assert.equal(await pods[0]!.pings("10.65.2.5"), true);
  });

  it("is taken over as it is by the next run, and nothing of it stops meanwhile", async () => {
    const { namespace } = hosts[0]!;
    const index = ip(namespace, "link", "show", "vxlan.calico")[0].ifindex;
    const next = new OverlayHost(namespace, "h1");
    next.apply(records());
    hosts[0]!.rtnetlink.close();
    hosts[0] = next;
    assert.equal(ip(namespace, "link", "show", "vxlan.calico")[0].ifindex, index);
    assert.equal(await pods[0]!.pings("10.65.2.5"), true);
  });

  it("goes without a tunnel inside a subnet where the pool says so", async () => {
    everywhere(records("CrossSubnet"));
    const sent = () => ip(hosts[0]!.namespace, "-s", "link", "show", "vxlan.calico")[0].stats64.tx.packets;
    const before = sent();
    assert.equal(await pods[0]!.pings("10.65.2.5"), true);
    assert.equal(await pods[0]!.pings("fd00:65::2:5"), true);
    assert.equal(sent(), before);
  });

  it("leads single addresses to the host that borrowed them", async () => {
    const address = "10.65.1.60";
    run(pods[1]!.namespace, "ip", "addr", "add", `${address}/32`, "dev", "eth0");
    run(
      hosts[1]!.namespace,
      "ip",
      "route",
      "add",
      `${address}/32`,
      "dev",
      pods[1]!.interfaceName,
      "metric",
      "1024",
    );
    assert.equal(await pods[0]!.pings(address), false);
    everywhere([...records(), block("10.65.1.0/26", "h1", { [address]: "h2" })]);
    hosts[1]!.apply([workload("borrower", "h2", `${address}/32`)]);
    assert.equal(await pods[0]!.pings(address), true);
  });

  it("leaves nothing behind when no pool wants it", () => {
    everywhere(records("Never"));
    for (const { namespace } of hosts) {
      assert.deepEqual(ip(namespace, "route", "show", "proto", "80"), []);
      assert.deepEqual(ip(namespace, "-6", "route", "show", "proto", "80"), []);
      assert.ok(!run(namespace, "ip", "link").includes("vxlan"));
    }
  });
});
