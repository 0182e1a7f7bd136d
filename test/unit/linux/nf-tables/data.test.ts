import assert from "node:assert/strict";
import {
  concatenation,
  firstAddress,
  hostU32,
  interfaceData,
  interfacePrefixData,
  lastAddress,
  maskData,
  predecessor,
  successor,
  u8,
  u16,
} from "../../../../linux/nf-tables/data.ts";
import { cidr } from "../../../../net/cidr.ts";

describe("linux/nf-tables/data", () => {
  it("writes numbers in the order that registers have them", () => {
    assert.equal(u8(6), "06");
    assert.equal(u16(80), "0050");
    assert.equal(hostU32(0x10000), "00000100");
    assert.equal(hostU32(~0x10000), "fffffeff");
  });

  it("knows a block's first and last address and its mask", () => {
    const of = (text: string) => [firstAddress, lastAddress, maskData].map(part => part(cidr(text)));
    assert.deepEqual(of("10.0.0.0/8"), ["0a000000", "0affffff", "ff000000"]);
    assert.deepEqual(of("10.0.0.64/26"), ["0a000040", "0a00007f", "ffffffc0"]);
    assert.deepEqual(of("10.0.0.1/32"), ["0a000001", "0a000001", "ffffffff"]);
    assert.deepEqual(of("0.0.0.0/0"), ["00000000", "ffffffff", "00000000"]);
    assert.deepEqual(of("fe80::/10"), [
      `fe80${"0".repeat(28)}`,
      `febf${"f".repeat(28)}`,
      `ffc0${"0".repeat(28)}`,
    ]);
  });

  it("pads interface names to what the kernel compares, prefixes not at all", () => {
    assert.equal(interfaceData("cali1"), "63616c69310000000000000000000000");
    assert.equal(interfacePrefixData("cali"), "63616c69");
  });

  it("lets each field of a key begin at four bytes", () => {
    assert.equal(concatenation("0a000001", "06", "0050"), "0a000001" + "06000000" + "00500000");
  });

  it("counts up and down across bytes, up to the last value", () => {
    assert.equal(successor("0a0000ff"), "0a000100");
    assert.equal(predecessor("0a000100"), "0a0000ff");
    assert.equal(successor("00"), "01");
    assert.equal(successor("ffffffff"), undefined);
  });
});
