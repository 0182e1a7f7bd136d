import assert from "node:assert/strict";
import { readAddress, writeAddAddress } from "../../../../linux/netlink/address.ts";
import { writeDeleteConnections } from "../../../../linux/netlink/conntrack.ts";
import { multicastGroups, readEvent } from "../../../../linux/netlink/event.ts";
import { readLink, writeCreateVeth, writeCreateVxlan, writeSetLink } from "../../../../linux/netlink/link.ts";
import type { Message } from "../../../../linux/netlink/message.ts";
import {
  readForwardingEntry,
  readNeighbour,
  readProxyNeighbour,
  writeProxyNeighbour,
  writeReplaceForwardingEntry,
  writeReplaceNeighbour,
} from "../../../../linux/netlink/neighbour.ts";
import { type Rule, readRule, writeAddRule } from "../../../../linux/netlink/rule.ts";
import { cidr } from "../../../../net/cidr.ts";
import { ip } from "../../../../net/ip.ts";
import { mac } from "../../../../net/mac.ts";
import { messages, readBack, written } from "./golden.ts";

describe("linux/netlink/link", () => {
  it("writes a veth with its peer in the namespace of descriptor 7", () => {
    assert.equal(
      written(w => writeCreateVeth(w, { name: "v0", peerName: "v1", mtu: 1400 }, 7)),
      "70000000 10000106 00000000 00000000 00000000 00000000 00000000 00000000 07000300 76300000 08000400 78050000 " +
        "40001280 09000100 76657468 00000000 30000280 2c000180 00000000 00000000 00000000 00000000 " +
        "07000300 76310000 08000400 78050000 08001c00 07000000",
    );
  });

  it("changes only what it is told to", () => {
    const header = "10000100 00000000 00000000 00000000";
    assert.equal(
      written(w => writeSetLink(w, 5, {})),
      `20000000 ${header} 05000000 00000000 00000000`,
    );
    assert.equal(
      written(w => writeSetLink(w, 5, { up: true })),
      `20000000 ${header} 05000000 01000000 01000000`,
    );
    assert.equal(
      written(w => writeSetLink(w, 5, { up: false })),
      `20000000 ${header} 05000000 00000000 01000000`,
    );
  });

  it("reads what Linux 6.18 sends", () => {
    // A veth, without the counters.
    const [message] = messages(
      "64000000 10000000 00000000 00000000 00000100 03000000 43100100 00000000 07000300 76300000 05001000 06000000 " +
        "08000400 dc050000 08000500 02000000 0a000100 eeeeeeee eeee0000 08002500 00000000 " +
        "10001200 09000100 76657468 00000000",
    );
    assert.deepEqual(readLink(message!), {
      index: 3,
      name: "v0",
      mac: "ee:ee:ee:ee:ee:ee",
      mtu: 1500,
      up: true,
      operState: "up",
      kind: "veth",
      peerIndex: 2,
      peerNamespaceId: 0,
    });
  });

  it("reads back a vxlan", () => {
    const vxlan = { id: 4096, local: ip("fd00::1"), parent: 2, port: 4789, learning: true };
    const link = readBack(w => writeCreateVxlan(w, { name: "vx", ...vxlan }), readLink);
    assert.deepEqual(link?.vxlan, vxlan);
  });
});

describe("linux/netlink/address", () => {
  it("writes the bytes that `ip address add` sends", () => {
    assert.equal(
      written(w => writeAddAddress(w, { interfaceIndex: 3, ip: ip("10.0.0.1"), prefixLength: 24 }, false)),
      "28000000 14000106 00000000 00000000 02180000 03000000 08000200 0a000001 08000100 0a000001",
    );
  });

  it("reads back scope, flags and peer", () => {
    for (const address of [
      { interfaceIndex: 3, ip: ip("10.0.0.1"), prefixLength: 32, scope: "link", peer: ip("10.0.0.2") },
      {
        interfaceIndex: 3,
        ip: ip("fd00::1"),
        prefixLength: 64,
        scope: "global",
        noPrefixRoute: true,
        noDad: true,
      },
    ] as const) {
      assert.deepEqual(
        readBack(w => writeAddAddress(w, address, true), readAddress),
        address,
      );
    }
  });
});

describe("linux/netlink/neighbour", () => {
  const neighbour = { interfaceIndex: 3, ip: ip("10.0.0.2"), mac: mac("02:00:00:00:00:01") };

  it("writes the bytes that `ip neigh replace` sends", () => {
    assert.equal(
      written(w => writeReplaceNeighbour(w, neighbour)),
      "30000000 1c000105 00000000 00000000 02000000 03000000 80000000 08000100 0a000002 0a000200 02000000 00010000",
    );
  });

  it("tells neighbours, proxies and forwarding entries apart", () => {
    const kinds: ((message: Message) => unknown)[] = [readNeighbour, readProxyNeighbour, readForwardingEntry];
    const which = (write: Parameters<typeof readBack>[0]) =>
      kinds.map(read => readBack(write, read) !== undefined);
    assert.deepEqual(
      which(w => writeReplaceNeighbour(w, neighbour)),
      [true, false, false],
    );
    assert.deepEqual(
      which(w => writeProxyNeighbour(w, "replace", neighbour)),
      [false, true, false],
    );
    assert.deepEqual(
      which(w => writeReplaceForwardingEntry(w, { ...neighbour, remote: ip("10.0.0.9") })),
      [false, false, true],
    );
  });
});

describe("linux/netlink/rule", () => {
  it("writes mark, mask, inversion, priority and a large table", () => {
    const rule: Rule = {
      family: 4,
      priority: 100,
      table: 1000,
      mark: 0x100000,
      mask: 0x100000,
      invert: true,
    };
    assert.equal(
      written(w => writeAddRule(w, rule)),
      "3c000000 20000106 00000000 00000000 02000000 00000001 02000000 08000600 64000000 " +
        "08000a00 00001000 08001000 00001000 08000f00 e8030000",
    );
  });

  it("reads back what it writes", () => {
    const rules: Rule[] = [
      { family: 4, priority: 1, action: "table", table: 254, mark: 5 },
      { family: 6, priority: 2, action: "blackhole", from: cidr("fd00::/8"), to: cidr("::/0"), protocol: 80 },
      { family: 4, priority: 3, action: "table", table: 9, inputInterface: "lo", outputInterface: "eth0" },
    ];
    for (const rule of rules)
      assert.deepEqual(
        readBack(w => writeAddRule(w, rule), readRule),
        rule,
      );
  });
});

describe("linux/netlink/event", () => {
  it("joins the groups of the versions asked for", () => {
    assert.deepEqual(
      multicastGroups(["link", "address", "route", "neighbour", "rule"]),
      [1, 5, 9, 7, 11, 3, 8, 19],
    );
    assert.deepEqual(multicastGroups(["route"], 6), [11]);
  });

  it("leaves out what nobody asked for", () => {
    const neighbour = { interfaceIndex: 3, ip: ip("10.0.0.2") };
    assert.equal(
      readBack(w => writeProxyNeighbour(w, "replace", neighbour), readEvent),
      undefined,
    );
  });
});

describe("linux/conntrack", () => {
  it("always names an address: without one the kernel would forget every connection", () => {
    assert.equal(
      written(w => writeDeleteConnections(w, ip("10.0.0.1"), "orig-source")),
      "30000000 02010100 00000000 00000000 02000000 10000180 0c000180 08000100 0a000001 0c001980 08000100 01000000",
    );
    assert.equal(
      written(w => writeDeleteConnections(w, ip("10.0.0.1"), "reply-destination")),
      "30000000 02010100 00000000 00000000 02000000 10000280 0c000180 08000200 0a000001 0c001980 08000200 02000000",
    );
  });

  it("refuses the filter for IPv6, where the kernel has it the wrong way round", () => {
    assert.throws(() => written(w => writeDeleteConnections(w, ip("fd00::1"), "orig-source")), TypeError);
  });
});
