import assert from "node:assert/strict";
import { multicastGroups, readEvent } from "../../../../linux/netlink/event.ts";
import { writeReplaceForwardingEntry } from "../../../../linux/netlink/neighbour.ts";
import {
  Parent,
  readDiscipline,
  readRedirect,
  writeAddIngress,
  writeAddRedirect,
  writeDeleteDiscipline,
  writeReplaceTokenBucket,
} from "../../../../linux/netlink/traffic-control.ts";
import { ip } from "../../../../net/ip.ts";
import { mac } from "../../../../net/mac.ts";
import { messages, readBack, written } from "./golden.ts";

/** `1:` */
const HANDLE = 0x10000;
const MBIT_8 = { rate: 1_000_000, burst: 20_000, limit: 30_000 };

describe("linux/netlink/traffic-control", () => {
  it("writes a token bucket as `tc qdisc replace` does, less the table that today's kernels do without", () => {
    // Of `tc qdisc replace dev v0 root handle 1: tbf rate 8mbit burst 20000 limit 30000`: no alignment of cells, no ticks.
    assert.equal(
      written(w => writeReplaceTokenBucket(w, 3, HANDLE, MBIT_8)),
      "60000000 24000105 00000000 00000000 00000000 03000000 00000100 ffffffff 00000000 " +
        "08000100 74626600 34000280 28000100 00010000 00000000 40420f00 00000000 00000000 00000000 30750000 " +
        "00000000 00000000 08000600 204e0000",
    );
  });

  it("writes rates beyond 32 bits, and peaks", () => {
    const bucket = { rate: 5_000_000_000, burst: 9, limit: 70_000, peakRate: 6_000_000_000, peakBurst: 8 };
    assert.deepEqual(
      readBack(w => writeReplaceTokenBucket(w, 3, HANDLE, bucket), readDiscipline),
      {
        interfaceIndex: 3,
        kind: "tbf",
        handle: HANDLE,
        parent: Parent.ROOT,
        tokenBucket: { rate: 5_000_000_000, limit: 70_000, peakRate: 6_000_000_000 },
      },
    );
  });

  it("reads a token bucket among attributes that it does not need", () => {
    const [message] = messages(
      "64000000 24000000 00000000 00000000 00000000 03000000 00000100 ffffffff 02000000 " +
        "08000100 74626600 2c000200 28000100 00010000 00000000 40420f00 00000000 00000000 00000000 30750000 " +
        "12c40400 00000000 05000c00 00000000 08000d00 00000000",
    );
    assert.deepEqual(readDiscipline(message!)?.tokenBucket, { rate: 1_000_000, limit: 30_000 });
  });

  it("writes the ingress discipline, and its end, as tc does", () => {
    assert.equal(
      written(w => writeAddIngress(w, 3)),
      "30000000 24000106 00000000 00000000 00000000 03000000 0000ffff f1ffffff 00000000 0c000100 696e6772 65737300",
    );
    assert.equal(
      written(w => writeDeleteDiscipline(w, { interfaceIndex: 3, parent: Parent.ROOT })),
      "24000000 25000100 00000000 00000000 00000000 03000000 00000000 ffffffff 00000000",
    );
  });

  it("writes a filter that takes everything to another interface", () => {
    // `tc filter add dev v0 parent ffff: protocol all prio 1 u32 match u32 0 0 action mirred egress redirect dev ifb9`
    assert.equal(
      written(w => writeAddRedirect(w, 3, 4)),
      "8c000000 2c000106 00000000 00000000 00000000 03000000 00000000 0000ffff 00030100 08000100 75333200 " +
        "60000280 24000500 01000100 00000000 00000000 00000000 00000000 00000000 00000000 00000000 " +
        "38000780 34000180 0b000100 6d697272 65640000 24000280 20000200 00000000 00000000 04000000 00000000 " +
        "00000000 01000000 04000000",
    );
  });

  it("tells filters from the tables they are in", () => {
    // The hash table `800:` that u32 makes for itself: a divisor instead of keys.
    const table =
      "48000000 2c000200 00000000 00000000 00000000 03000000 00000080 0000ffff 00030100 08000100 75333200 " +
      "08000b00 00000000 14000200 08000200 01000000 0800ffff 00000000";
    const [tableMessage] = messages(table);
    assert.equal(readRedirect(tableMessage!), undefined);
  });

  it("joins its group, and says which interface something happened to", () => {
    assert.deepEqual(multicastGroups(["traffic-control"]), [4]);
    for (const write of [
      (w: Parameters<typeof writeAddIngress>[0]) => writeAddIngress(w, 3),
      (w: Parameters<typeof writeAddIngress>[0]) =>
        writeDeleteDiscipline(w, { interfaceIndex: 3, parent: 1 }),
    ])
      assert.deepEqual(readBack(write, readEvent), { type: "traffic-control", interfaceIndex: 3 });
  });
});

describe("linux/netlink/event", () => {
  it("tells of forwarding entries with the neighbours", () => {
    const entry = { interfaceIndex: 3, mac: mac("66:00:00:00:00:01"), remote: ip("10.0.0.2") };
    assert.deepEqual(
      readBack(w => writeReplaceForwardingEntry(w, entry), readEvent),
      { type: "forwarding", action: "new", entry: { ...entry, state: "permanent" } },
    );
  });
});
