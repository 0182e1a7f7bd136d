/** Addresses of recorded states against those that the same pods have in a lab. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { AddressMap } from "../../../../lab/play/addresses.ts";
import { type Cidr, cidr, cidrOf, contains, nthAddress } from "../../../../net/cidr.ts";
import { type Ip, ip } from "../../../../net/ip.ts";

const POOL = cidr("192.168.0.0/16");
const PODS = [
  ["10.65.0.2", "192.168.17.192"],
  ["10.65.0.3", "192.168.217.193"],
  ["10.65.0.4", "192.168.17.193"],
  ["172.18.0.2", "192.168.56.104"],
].map(([recorded, here]) => ({ recorded: ip(recorded!), here: ip(here!) }));

describe("addresses of a recorded state in a lab", () => {
  const map = new AddressMap(PODS, [POOL]);
  const cidrs = (text: string) => map.cidrs(cidr(text));

  it("are those of the same pods", () => {
    assert.deepEqual(cidrs("10.65.0.3/32"), ["192.168.217.193/32"]);
    assert.deepEqual(cidrs("172.18.0.0/16"), ["192.168.56.104/32"]);
  });

  it("hold the pods that were inside and none that was outside, in as few blocks as possible", () => {
    assert.deepEqual(cidrs("10.65.0.2/31"), ["192.168.17.192/32", "192.168.217.193/32"]);
    assert.deepEqual(cidrs("10.65.0.0/24"), ["192.168.17.192/31", "192.168.217.193/32"]);
  });

  it("stay where they hold everything, and where they hold nothing here or there", () => {
    assert.deepEqual(cidrs("0.0.0.0/0"), ["0.0.0.0/0"]);
    assert.deepEqual(cidrs("0.0.0.0/31"), ["0.0.0.0/31"]);
    assert.deepEqual(cidrs("::/0"), ["::/0"]);
  });

  it("are nobody's where they were nobody's and are somebody's here", () => {
    assert.deepEqual(cidrs("192.168.17.0/24"), ["203.0.113.0/24"]);
  });

  it("leave room for exceptions where all pods were meant", () => {
    const few = new AddressMap(PODS.slice(0, 3), [POOL]);
    assert.deepEqual(few.block(cidr("0.0.0.0/4"), [cidr("10.65.0.3/32")]), [
      { cidr: POOL, except: ["192.168.217.193/32"] },
    ]);
  });

  it("are parts of what they are exceptions from", () => {
    const few = new AddressMap(PODS.slice(0, 3), [POOL]);
    assert.deepEqual(few.block(cidr("10.65.0.0/24"), [cidr("10.65.0.0/28")]), [
      { cidr: POOL, except: ["192.168.0.0/17", "192.168.128.0/17"] },
    ]);
    assert.deepEqual(few.block(cidr("10.65.0.2/32"), [cidr("10.65.0.2/32")]), [
      { cidr: "203.0.113.0/24", except: [] },
    ]);
  });

  it("mean the same pods, whatever the addresses", () => {
    const pod = fc.record({ recorded: address("10.0.0.0/27"), here: address("192.168.0.0/26") });
    const pods = fc.uniqueArray(pod, { minLength: 1, maxLength: 12, selector: ({ recorded }) => recorded });
    const block = fc.tuple(address("10.0.0.0/27"), fc.integer({ min: 24, max: 32 }));
    fc.assert(
      fc.property(pods, fc.tuple(block, fc.array(block, { maxLength: 2 })), (moved, [one, others]) => {
        fc.pre(new Set(moved.map(({ here }) => here)).size === moved.length);
        const [recorded, ...except] = [one, ...others].map(([at, length]) => cidrOf(at, length)) as [Cidr];
        const blocks = new AddressMap(moved, [cidr("192.168.0.0/26")]).block(recorded, except);
        for (const { recorded: was, here } of moved) {
          const isMeant = blocks.some(
            ({ cidr: part, except: without }) =>
              contains(part, here) && !without.some(each => contains(each, here)),
          );
          const wasMeant = contains(recorded, was) && !except.some(each => contains(each, was));
          assert.equal(isMeant, wasMeant, `${was} -> ${here}: ${JSON.stringify(blocks)}`);
        }
      }),
    );
  });
});

function address(block: string): fc.Arbitrary<Ip> {
  const size = 2 ** (32 - Number(block.split("/")[1]));
  return fc.integer({ min: 0, max: size - 1 }).map(ordinal => nthAddress(cidr(block), ordinal));
}
