import assert from "node:assert/strict";
import { HostInterfaces } from "../../../../felix/dataplane/host-interfaces.ts";
import type { KernelEvent } from "../../../../linux/events.ts";
import type { Link, LinkAddress } from "../../../../linux/rtnetlink.ts";
import { ip } from "../../../../net/ip.ts";

const link = (index: number, name: string): Link => ({ index, name, mtu: 1500, up: true, operState: "up" });
const address = (interfaceIndex: number, text: string): LinkAddress => ({
  interfaceIndex,
  ip: ip(text),
  prefixLength: 24,
});

function host() {
  const kernel = {
    links: [link(1, "lo"), link(2, "eth0"), link(7, "cali1")],
    addresses: [address(2, "192.0.2.1"), address(7, "169.254.1.1")],
  };
  const interfaces = new HostInterfaces({
    rtnetlink: {
      listLinks: () => kernel.links,
      listAddresses: () => kernel.addresses,
      interfaceTowards: () => 2,
    },
    interfacePrefix: ["cali"],
  });
  interfaces.read();
  const plain = () => Object.fromEntries(interfaces.list().map(one => [one.name, [...one.addresses]]));
  const note = (...events: readonly KernelEvent[]) => interfaces.noteEvents(events);
  return { interfaces, kernel, plain, note };
}

describe("felix/dataplane/host-interfaces", () => {
  it("are all but workloads', with their addresses", () => {
    assert.deepEqual(host().interfaces.list(), [
      { index: 1, name: "lo", addresses: [] },
      { index: 2, name: "eth0", addresses: ["192.0.2.1"] },
    ]);
  });

  it("follow the kernel's events, and say whether anything changed", () => {
    const { plain, note } = host();
    const came = { type: "address", action: "new", address: address(2, "192.0.2.2") } as const;
    assert.equal(note(came), true);
    assert.equal(note(came), false);
    assert.deepEqual(plain()["eth0"], ["192.0.2.1", "192.0.2.2"]);
    assert.equal(note({ ...came, action: "delete" }), true);
    assert.equal(note({ type: "link", action: "new", link: link(3, "eth1") }), true);
    assert.equal(note({ type: "link", action: "new", link: link(3, "eth1") }), false);
    assert.equal(note({ type: "link", action: "delete", link: link(3, "eth1") }), true);
    assert.deepEqual(plain(), { lo: [], eth0: ["192.0.2.1"] });
  });

  it("care for no workload's interface", () => {
    const { note } = host();
    assert.equal(note({ type: "link", action: "new", link: link(8, "cali2") }), false);
    assert.equal(note({ type: "address", action: "new", address: address(8, "10.0.0.1") }), false);
    assert.equal(note({ type: "link", action: "delete", link: link(7, "cali1") }), false);
  });

  it("keep their addresses under another name, and are gone under a workload's", () => {
    const { plain, note } = host();
    assert.equal(note({ type: "link", action: "new", link: link(2, "uplink") }), true);
    assert.deepEqual(plain()["uplink"], ["192.0.2.1"]);
    assert.equal(note({ type: "link", action: "new", link: link(2, "cali9") }), true);
    assert.deepEqual(plain(), { lo: [] });
  });

  it("are what ways are told by, and workloads' are no way of the host's", () => {
    const { interfaces, note } = host();
    const view = interfaces.view();
    assert.equal(view.isOwnAddress(ip("192.0.2.1")), true);
    assert.equal(view.isOwnAddress(ip("169.254.1.1")), false);
    assert.equal(view.interfaceTowards(ip("198.51.100.7")), "eth0");
    note({ type: "link", action: "new", link: link(2, "cali9") });
    assert.equal(interfaces.view().interfaceTowards(ip("198.51.100.7")), undefined);
  });

  it("are read anew when events were lost", () => {
    const { kernel, plain, note } = host();
    kernel.links = [link(4, "eth1")];
    kernel.addresses = [address(4, "198.51.100.1")];
    assert.equal(note({ type: "overflow" }), true);
    assert.deepEqual(plain(), { eth1: ["198.51.100.1"] });
  });
});
