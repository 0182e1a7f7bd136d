import assert from "node:assert/strict";
import { elementType, readEntry, writeEntry } from "../../../../linux/ipset/entry.ts";
import { AttributeReader, MessageWriter } from "../../../../linux/netlink/message.ts";
import { hex } from "../netlink/golden.ts";

function written(type: string, element: string): Uint8Array {
  const writer = new MessageWriter();
  writeEntry(writer, elementType(type), element);
  return writer.bytes;
}

function readBack(type: string, element: string): string {
  const bytes = written(type, element);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return readEntry(new AttributeReader(view, 0, bytes.length), elementType(type));
}

describe("linux/ipset/entry", () => {
  it("writes addresses, prefixes, protocols and ports", () => {
    assert.equal(hex(written("hash:ip", "10.0.0.1")), "0c000180 08000140 0a000001");
    assert.equal(hex(written("hash:net", "10.0.0.0/8")), "0c000180 08000140 0a000000 05000300 08000000");
    assert.equal(
      hex(written("hash:ip,port", "fd00::1,udp:53")),
      "18000180 14000240 fd000000 00000000 00000000 00000001 06000440 00350000 05000700 11000000",
    );
  });

  it("reads back what it writes", () => {
    const elements: readonly (readonly [string, string])[] = [
      ["hash:net", "10.0.0.0/8"],
      ["hash:net", "10.0.0.1"],
      ["hash:net", "fd00::/64"],
      ["hash:ip,port", "10.0.0.1,tcp:65535"],
      ["hash:ip,port", "10.0.0.1,sctp:9"],
      ["hash:ip,port", "10.0.0.1,icmp:8/0"],
      ["hash:ip,port", "fd00::1,ipv6-icmp:128/1"],
      ["hash:net,port", "10.0.0.0/8,99:0"],
    ];
    for (const [type, element] of elements) assert.equal(readBack(type, element), element);
  });

  it("names a full prefix by its address alone, as ipset does", () => {
    assert.equal(readBack("hash:net", "10.0.0.1/32"), "10.0.0.1");
    assert.equal(readBack("hash:net", "fd00::1/128"), "fd00::1");
  });

  it("refuses what is no element of the type", () => {
    const bad: readonly (readonly [string, string])[] = [
      ["hash:ip", "10.0.0.0/8"],
      ["hash:ip", "10.0.0.1,tcp:80"],
      ["hash:net", "10.0.0.0/33"],
      ["hash:net", "0.0.0.0/0"],
      ["hash:net", "web"],
      ["hash:ip,port", "10.0.0.1"],
      ["hash:ip,port", "10.0.0.1,tcp:65536"],
      ["hash:ip,port", "10.0.0.1,tcp:"],
      ["hash:ip,port", "10.0.0.1,80"],
      ["hash:ip,port", "10.0.0.1,nonsense:80"],
    ];
    for (const [type, element] of bad) {
      assert.throws(() => written(type, element), /expected|not an element|is not/, `${type} ${element}`);
    }
    assert.throws(() => elementType("bitmap:port"), RangeError);
  });
});
