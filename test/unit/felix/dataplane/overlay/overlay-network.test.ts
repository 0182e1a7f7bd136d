import assert from "node:assert/strict";
import fc from "fast-check";
import type { Changes, OwnNode, RemoteRoute, Vtep } from "../../../../../felix/calc/changes.ts";
import { NO_IPIP } from "../../../../../felix/dataplane/overlay/ipip-device.ts";
import { type Cidr, cidr } from "../../../../../net/cidr.ts";
import { ip } from "../../../../../net/ip.ts";
import { mac } from "../../../../../net/mac.ts";
import { arbitraryChange, Calculation, HERE, node, type Update } from "../../calc/overlay/records.ts";
import { TunnelHost, TunnelKernel } from "./kernel.ts";

const OWN_MAC = mac("66:00:00:00:00:01");
const FAR_MAC = mac("66:00:00:00:00:03");
const OWN: OwnNode = {
  addresses: { 4: ip("172.16.0.1"), 6: ip("fd00:16::1") },
  vxlan: { 4: { address: ip("10.0.1.0"), mac: OWN_MAC }, 6: { address: ip("fd00:10::1:0"), mac: OWN_MAC } },
  ipip: ip("10.0.1.9"),
};
const FAR: Vtep = { node: "far", address: ip("10.0.3.0"), mac: FAR_MAC, hostAddress: ip("172.16.9.3") };
const route = (via: RemoteRoute["via"], gateway: string): RemoteRoute => ({
  via,
  node: "far",
  gateway: ip(gateway),
});
const routes = (wanted: Readonly<Record<string, RemoteRoute | undefined>>) =>
  new Map(Object.entries(wanted).map(([prefix, each]) => [cidr(prefix), each]));
const holes = (...blocks: string[]) => new Map(blocks.map((block): [Cidr, true] => [cidr(block), true]));

const VXLAN = { ipip: false, vxlan: true, vxlan6: false };
const vxlan: Partial<Changes> = {
  encapsulation: VXLAN,
  ownNode: OWN,
  vteps: new Map([["far/4", FAR]]),
  routes: routes({ "10.0.3.0/26": route("vxlan", "10.0.3.0") }),
  blackholes: holes("10.0.1.0/26"),
};

describe("felix/dataplane/overlay", () => {
  it("makes the device, then what leads through it, then the routes", () => {
    const host = new TunnelHost();
    assert.deepEqual(host.apply(vxlan), [
      "rules",
      "+ vxlan.calico",
      "vxlan.calico up,true",
      "+ 10.0.1.0/32 vxlan.calico",
      `+ ${FAR_MAC} 172.16.9.3`,
      `+ 10.0.3.0 ${FAR_MAC}`,
      "+ 10.0.1.0/26 blackhole",
      "+ 10.0.3.0/26 vxlan.calico via 10.0.3.0",
    ]);
    assert.deepEqual(host.settle(), []);
    const { vxlan: parameters, mtu, mac: address } = host.kernel.getLink("vxlan.calico")!;
    const parent = host.kernel.indexOf("eth0");
    assert.deepEqual(parameters, { id: 4096, port: 4789, local: ip("172.16.0.1"), parent, learning: false });
    assert.deepEqual([mtu, address], [1450, OWN_MAC]);
  });

  it("takes away routes, then what led through the device, then the device", () => {
    const host = new TunnelHost();
    host.apply(vxlan);
    host.settle();
    const gone = {
      encapsulation: { ...VXLAN, vxlan: false },
      vteps: new Map([["far/4", undefined]]),
      routes: routes({ "10.0.3.0/26": undefined }),
      blackholes: new Map([[cidr("10.0.1.0/26"), undefined]]),
    };
    assert.deepEqual(host.apply(gone), [
      "- 10.0.3.0/26 vxlan.calico via 10.0.3.0",
      "- 10.0.1.0/26 blackhole",
      "rules",
      "- vxlan.calico",
    ]);
    assert.deepEqual(host.settle(), []);
  });

  it("takes another node's entries away after its routes", () => {
    const host = new TunnelHost();
    host.apply(vxlan);
    host.settle();
    const gone = { vteps: new Map([["far/4", undefined]]), routes: routes({ "10.0.3.0/26": undefined }) };
    assert.deepEqual(host.apply(gone), [
      "- 10.0.3.0/26 vxlan.calico via 10.0.3.0",
      "rules",
      "- 10.0.3.0",
      `- ${FAR_MAC}`,
    ]);
  });

  it("finds everything right after a restart, and sweeps only what nobody wants", () => {
    const kernel = new TunnelKernel();
    const first = new TunnelHost(kernel);
    first.apply(vxlan);
    first.settle();
    const index = kernel.indexOf("vxlan.calico");
    kernel.replaceForwardingEntry({
      interfaceIndex: index,
      mac: mac("66:00:00:00:00:09"),
      remote: ip("172.16.9.9"),
    });
    kernel.replaceNeighbour({ interfaceIndex: index, ip: ip("10.0.9.0"), mac: mac("66:00:00:00:00:09") });
    kernel.addRoute({
      destination: cidr("10.0.9.0/26"),
      protocol: 80,
      type: "unicast",
      metric: 1024,
      gateway: ip("10.0.9.0"),
      interfaceIndex: index,
    });
    kernel.takeJournal();
    const second = new TunnelHost(kernel);
    assert.deepEqual(second.apply(vxlan), ["rules", "- 10.0.9.0/26 vxlan.calico via 10.0.9.0"]);
    assert.deepEqual(second.settle(), ["- 10.0.9.0", "- 66:00:00:00:00:09"]);
    assert.deepEqual(second.settle(), []);
  });

  it("takes away the device of an earlier run that no pool wants", () => {
    const kernel = new TunnelKernel();
    new TunnelHost(kernel).apply(vxlan);
    kernel.takeJournal();
    const second = new TunnelHost(kernel);
    second.apply({ ownNode: OWN });
    second.settle();
    assert.deepEqual(
      [...kernel.links.values()].map(({ name }) => name),
      ["eth0"],
    );
    assert.deepEqual(kernel.leads, []);
  });

  it("keeps the device of an earlier run while its own tunnel address is not known", () => {
    const kernel = new TunnelKernel();
    new TunnelHost(kernel).apply(vxlan);
    kernel.takeJournal();
    const second = new TunnelHost(kernel);
    const { 6: six } = OWN.vxlan;
    second.apply({ ...vxlan, ownNode: { ...OWN, vxlan: { 4: undefined, 6: six } } });
    assert.deepEqual(second.settle(), []);
    assert.deepEqual(second.overlay.problems, ["vxlan.calico: this node has no tunnel address yet"]);
  });

  it("makes the device anew where its parameters are others, with all that leads through it", () => {
    const kernel = new TunnelKernel();
    new TunnelHost(kernel).apply(vxlan);
    kernel.takeJournal();
    const second = new TunnelHost(kernel, { vxlanVNI: 5000 });
    second.apply(vxlan);
    second.settle();
    assert.equal(kernel.getLink("vxlan.calico")?.vxlan?.id, 5000);
    assert.deepEqual(kernel.leads, ["10.0.1.0/26 blackhole", "10.0.3.0/26 vxlan.calico via 10.0.3.0"]);
    assert.equal(kernel.listForwardingEntries(kernel.indexOf("vxlan.calico")).length, 1);
  });

  it("follows the node's own address to another link", () => {
    const host = new TunnelHost();
    host.apply(vxlan);
    const { kernel } = host;
    const eth1 = kernel.addLink({ name: "eth1", up: true });
    kernel.addAddress({ interfaceIndex: eth1, ip: ip("172.16.5.1"), prefixLength: 24 });
    host.settle();
    host.apply({ ownNode: { ...OWN, addresses: { ...OWN.addresses, 4: ip("172.16.5.1") } } });
    const { parent, local } = kernel.getLink("vxlan.calico")!.vxlan!;
    assert.deepEqual([parent, local], [eth1, ip("172.16.5.1")]);
    assert.deepEqual(host.settle(), []);
  });

  it("waits for the link that has the node's address", () => {
    const host = new TunnelHost();
    host.apply({ ...vxlan, ownNode: { ...OWN, addresses: { 4: ip("172.16.7.1"), 6: undefined } } });
    assert.deepEqual(host.overlay.problems, [
      "vxlan.calico: no interface of this host has the node's address 172.16.7.1",
    ]);
    const eth1 = host.kernel.addLink({ name: "eth1", up: true });
    host.kernel.addAddress({ interfaceIndex: eth1, ip: ip("172.16.7.1"), prefixLength: 24 });
    host.settle();
    assert.deepEqual(host.overlay.problems, []);
    assert.ok(host.kernel.leads.includes("10.0.3.0/26 vxlan.calico via 10.0.3.0"));
  });

  it("changes a route in one step when its way changes", () => {
    const host = new TunnelHost();
    host.apply(vxlan);
    host.settle();
    const direct = host.apply({ routes: routes({ "10.0.3.0/26": route("direct", "172.16.0.3") }) });
    assert.deepEqual(direct, ["rules", "+ 10.0.3.0/26 eth0 via 172.16.0.3"]);
  });

  it("leads IPv6 tunnel addresses to the device before anything goes through them", () => {
    const host = new TunnelHost();
    const far6 = { ...FAR, address: ip("fd00:10::3:0"), hostAddress: ip("fd00:99::3") };
    host.apply({
      encapsulation: { ...VXLAN, vxlan: false, vxlan6: true },
      ownNode: OWN,
      vteps: new Map([["far/6", far6]]),
      routes: routes({
        "fd00:10::3:0/128": route("vxlan", "fd00:10::3:0"),
        "fd00:10::3:0/122": route("vxlan", "fd00:10::3:0"),
      }),
    });
    assert.deepEqual(host.kernel.leads, [
      "fd00:10::3:0/122 vxlan-v6.calico via fd00:10::3:0",
      "fd00:10::3:0/128 vxlan-v6.calico",
    ]);
    assert.equal(host.kernel.getLink("vxlan-v6.calico")?.mtu, 1430);
  });

  it("digs no hole in which the host itself lies", () => {
    const host = new TunnelHost();
    host.apply({ encapsulation: VXLAN, ownNode: OWN, blackholes: holes("172.16.0.0/26", "172.16.0.64/26") });
    assert.deepEqual(host.kernel.leads, ["172.16.0.64/26 blackhole"]);
  });

  describe("repair", () => {
    const settled = () => {
      const host = new TunnelHost();
      host.apply(vxlan);
      host.settle();
      return host;
    };

    it("puts back what somebody takes away", () => {
      const host = settled();
      const { kernel } = host;
      const index = kernel.indexOf("vxlan.calico");
      const wipes: Readonly<Record<string, () => unknown>> = {
        route: () => kernel.deleteRoutes([...kernel.routes.values()]),
        entry: () => kernel.deleteForwardingEntry({ interfaceIndex: index, mac: FAR_MAC }),
        address: () => kernel.deleteAddress({ interfaceIndex: index, ip: ip("10.0.1.0"), prefixLength: 32 }),
        mtu: () => kernel.changeLink(index, { mtu: 1000 }),
        state: () => kernel.changeLink(index, { up: false }),
        device: () => kernel.deleteLink(index),
      };
      const before = [...kernel.leads];
      for (const [what, wipe] of Object.entries(wipes)) {
        wipe();
        kernel.takeJournal();
        assert.notDeepEqual(host.settle(), [], `${what} is repaired`);
        assert.deepEqual(kernel.leads, before, what);
        const { mtu, up } = kernel.getLink("vxlan.calico")!;
        assert.deepEqual([mtu, up], [1450, true], what);
        assert.equal(kernel.listForwardingEntries(kernel.indexOf("vxlan.calico")).length, 1, what);
      }
    });

    it("finds by looking what no event told", () => {
      const host = settled();
      host.kernel.deleteLink("vxlan.calico");
      host.kernel.takeEvents();
      host.overlay.resync();
      host.settle();
      assert.ok(host.kernel.leads.includes("10.0.3.0/26 vxlan.calico via 10.0.3.0"));
    });

    it("takes away entries that somebody adds", () => {
      const host = settled();
      const interfaceIndex = host.kernel.indexOf("vxlan.calico");
      const stranger = mac("02:00:00:00:00:07");
      host.kernel.replaceForwardingEntry({ interfaceIndex, mac: stranger, remote: ip("172.16.66.6") });
      host.kernel.takeJournal();
      assert.deepEqual(host.settle(), [`- ${stranger}`]);
    });

    it("leaves other people's routes alone, and those on workloads' links", () => {
      const kernel = new TunnelKernel();
      const cali = kernel.addLink({ name: "cali1", up: true });
      const foreign = { type: "unicast", metric: 1024 } as const;
      kernel.addRoute({ ...foreign, destination: cidr("10.9.0.0/16"), protocol: 186, interfaceIndex: 1 });
      kernel.addRoute({ ...foreign, destination: cidr("10.0.1.5/32"), protocol: 80, interfaceIndex: cali });
      const host = new TunnelHost(kernel);
      host.apply();
      host.settle();
      assert.deepEqual(kernel.leads, ["10.0.1.5/32 cali1", "10.9.0.0/16 eth0"]);
    });
  });

  describe("IPIP", () => {
    const ipip: Partial<Changes> = {
      encapsulation: { ipip: true, vxlan: false, vxlan6: false },
      ownNode: OWN,
      routes: routes({ "10.0.3.0/26": route("ipip", "172.16.9.3") }),
    };

    it("is said to be impossible where the kernel has none, and nothing is written", () => {
      const host = new TunnelHost();
      host.apply(ipip);
      host.apply();
      assert.deepEqual(host.overlay.problems, [NO_IPIP]);
      assert.deepEqual(host.logged, [NO_IPIP], "once");
      assert.deepEqual(host.kernel.leads, []);
    });

    it("uses the kernel's device, and gives its address back", () => {
      const host = new TunnelHost();
      host.kernel.hasIpip = true;
      host.apply(ipip);
      assert.deepEqual(host.kernel.leads, ["10.0.3.0/26 tunl0 via 172.16.9.3"]);
      assert.equal(host.kernel.getLink("tunl0")?.mtu, 1480);
      const without = {
        encapsulation: { ...VXLAN, vxlan: false },
        routes: routes({ "10.0.3.0/26": undefined }),
      };
      host.apply(without);
      assert.deepEqual(host.kernel.leads, []);
      assert.deepEqual(
        host.kernel.listAddresses().map(({ ip: address }) => address),
        ["172.16.0.1", "fd00:16::1"],
      );
    });
  });

  it("says how long packets of workloads may be, when it changes", () => {
    const host = new TunnelHost();
    host.apply();
    host.apply(vxlan);
    host.kernel.changeLink(host.kernel.indexOf("eth0"), { mtu: 9000 });
    host.settle();
    assert.deepEqual(host.mtus, [1500, 1450, 8950]);
    assert.equal(host.kernel.getLink("vxlan.calico")?.mtu, 8950);
  });

  it("gets to the same kernel whatever happened on the way, and whatever others broke", () => {
    const breakages: Readonly<Record<string, (kernel: TunnelKernel) => unknown>> = {
      device: kernel => kernel.deleteLink("vxlan.calico"),
      down: kernel => {
        const link = kernel.getLink("vxlan.calico");
        if (link) kernel.changeLink(link.index, { up: false });
      },
      routes: kernel => kernel.deleteRoutes([...kernel.routes.values()]),
      entries: kernel => [...kernel.forwarding.values()].map(entry => kernel.deleteForwardingEntry(entry)),
      addresses: kernel =>
        [...kernel.addresses.values()]
          .filter(({ interfaceIndex }) => interfaceIndex !== kernel.indexOf("eth0"))
          .map(address => kernel.deleteAddress(address)),
    };
    // Where this host is does not change, so that there is always a device to be had.
    const self = node(HERE, { v4: "172.16.0.1/24", vxlan: "10.0.1.9" });
    const step = fc.oneof(
      arbitraryChange.filter(([{ kind, name }]) => kind !== "Node" || name !== HERE),
      fc.constantFrom(...Object.keys(breakages)),
      fc.constant("lost events" as const),
      fc.constant("restart" as const),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), steps => {
        const calculation = new Calculation([self]);
        const kernel = new TunnelKernel();
        let host = new TunnelHost(kernel);
        host.apply(calculation.last);
        const state: Update[] = [self];
        for (const one of steps) {
          if (typeof one !== "string") {
            state.push(one);
            host.apply(calculation.apply(one).last);
          } else if (one === "restart") {
            host = new TunnelHost(kernel);
            host.apply(new Calculation(state).last);
          } else if (one === "lost events") {
            kernel.takeEvents();
            host.overlay.resync();
          } else breakages[one]!(kernel);
        }
        host.settle();
        const fresh = new TunnelHost();
        fresh.apply(new Calculation(state).last);
        fresh.settle();
        assert.deepEqual(kernel.plain, fresh.kernel.plain);
        assert.equal(host.overlay.pending, fresh.overlay.pending);
      }),
      { numRuns: 200 },
    );
  });
});
