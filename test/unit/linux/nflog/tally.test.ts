import assert from "node:assert/strict";
import type { LoggedPacket } from "../../../../linux/nflog/message.ts";
import { PacketTally } from "../../../../linux/nflog/tally.ts";
import { ip } from "../../../../net/ip.ts";

let sequence = 0;
function packet(
  changes: Partial<LoggedPacket["packet"]> = {},
  rest: Partial<LoggedPacket> = {},
): LoggedPacket {
  return {
    group: 1,
    prefix: "DPI|default",
    sequence: sequence++,
    packet: {
      source: ip("10.0.0.1"),
      destination: ip("10.0.0.2"),
      protocol: 6,
      sourcePort: 1000,
      destinationPort: 80,
      bytes: 60,
      ...changes,
    },
    ...rest,
  };
}

describe("linux/nflog/tally", () => {
  beforeEach(() => {
    sequence = 0;
  });

  it("adds up packets that differ in their source port alone", () => {
    const tally = new PacketTally(10);
    tally.add(packet(), 1000);
    tally.add(packet({ sourcePort: 2000, bytes: 40 }), 2000);
    const { flows, lost } = tally.take();
    assert.equal(lost, 0);
    assert.equal(flows.length, 1);
    const [flow] = flows;
    assert.deepEqual(
      [flow?.packets, flow?.bytes, flow?.first, flow?.last, flow?.sourcePort],
      [2, 100, 1000, 2000, 2000],
    );
    assert.ok(tally.isEmpty);
  });

  it("keeps apart what differs otherwise", () => {
    const tally = new PacketTally(10);
    tally.add(packet(), 0);
    tally.add(packet({ destinationPort: 81 }), 0);
    tally.add(packet({ protocol: 17 }), 0);
    tally.add(packet({ source: ip("10.0.0.9") }), 0);
    tally.add(packet({}, { prefix: "APE0|np/a/b" }), 0);
    assert.equal(tally.take().flows.length, 5);
  });

  it("counts what has no room, and what the numbers say is missing, each group for itself", () => {
    const tally = new PacketTally(1);
    tally.add(packet({}, { sequence: 7 }), 0);
    tally.add(packet({}, { sequence: 10 }), 0); // 8 and 9 never came
    tally.add(packet({ destinationPort: 81 }, { sequence: 11 }), 0); // no room
    tally.add(packet({}, { group: 2, sequence: 500 }), 0); // no room; the first of its group
    assert.equal(tally.take().lost, 4);
    tally.add(packet({}, { sequence: 12 }), 0);
    assert.equal(tally.take().lost, 0);
  });

  it("is not upset when the numbers begin anew at 2^32", () => {
    const tally = new PacketTally(1);
    tally.add(packet({}, { sequence: 0xffffffff }), 0);
    tally.add(packet({}, { sequence: 0 }), 0);
    assert.equal(tally.take().lost, 0);
  });
});
