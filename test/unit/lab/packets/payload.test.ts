/** Raw packets against what the RFCs say of their bytes. */

import assert from "node:assert/strict";
import { packetBytes, tokenBytes, tokenOf } from "../../../../lab/packets/payload.ts";
import { ip } from "../../../../net/ip.ts";

const PACKET = {
  source: ip("10.0.0.1"),
  destination: ip("10.0.0.2"),
  sourcePort: 0x1234,
  destinationPort: 0x5678,
  icmp: { type: 8, code: 0 },
  token: 0xdeadbeef,
};
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

describe("raw packets of the lab", () => {
  it("carry their token at the end, whatever the protocol", () => {
    for (const protocol of [1, 2, 47, 50, 58, 132, 136, 254])
      assert.equal(tokenOf(packetBytes({ ...PACKET, protocol })), PACKET.token, String(protocol));
    assert.equal(tokenOf(tokenBytes(7)), 7);
    assert.equal(tokenOf(new Uint8Array(8)), undefined);
    assert.equal(tokenOf(new Uint8Array(3)), undefined);
  });

  it("begin an SCTP association, with a checksum that holds", () => {
    const bytes = packetBytes({ ...PACKET, protocol: 132 });
    assert.equal(hex(bytes.subarray(0, 8)), "1234567800000000");
    // INIT, and its length up to the end
    assert.equal(hex(bytes.subarray(12, 16)), "01000020");
    assert.equal(bytes.length, 12 + 32);
    // The residue of CRC-32C over data and checksum is the same for all data.
    const zeroed = bytes.slice();
    zeroed.fill(0, 8, 12);
    assert.equal(new DataView(bytes.buffer).getUint32(8, true), crc32c(zeroed));
    assert.equal(crc32c(Buffer.from("123456789")), 0xe3069283, "check value of CRC-32C");
  });

  it("sum up to zero, as the internet checksum does", () => {
    assert.equal(sum(packetBytes({ ...PACKET, protocol: 1 })), 0xffff);
    const lite = packetBytes({ ...PACKET, protocol: 136 });
    assert.equal(sum(Uint8Array.from([10, 0, 0, 1, 10, 0, 0, 2, 0, 17, 0, lite.length, ...lite])), 0xffff);
  });
});

function sum(bytes: Uint8Array): number {
  let total = 0;
  for (let i = 0; i < bytes.length; i += 2) total += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  return (total & 0xffff) + (total >> 16);
}

/** By division, bit by bit, most significant first: another way than the one that is tested. */
function crc32c(bytes: Uint8Array): number {
  const reflect = (value: number, bits: number) => {
    let reflected = 0;
    for (let i = 0; i < bits; i++) if (value & (1 << i)) reflected |= 1 << (bits - 1 - i);
    return reflected >>> 0;
  };
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc = (crc ^ (reflect(byte, 8) << 24)) >>> 0;
    for (let i = 0; i < 8; i++) crc = (crc & 0x80000000 ? (crc << 1) ^ 0x1edc6f41 : crc << 1) >>> 0;
  }
  return (reflect(crc, 32) ^ 0xffffffff) >>> 0;
}
