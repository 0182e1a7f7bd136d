import assert from "node:assert/strict";
import fc from "fast-check";
import {
  addressPortElements,
  addressPortSet,
} from "../../../../../felix/dataplane/nftables/address-port-set.ts";
import { AddressSet, ElementSet, type KeptSet } from "../../../../../felix/dataplane/nftables/kept-set.ts";
import type { Element } from "../../../../../linux/nf-tables/model.ts";

const MEMBERS = [
  ...["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.0/30", "10.0.0.2/31", "0.0.0.0/0"],
  ...["fd00::1", "fd00::/64"],
];

const keys = (elements: Iterable<Element>) =>
  [...elements].map(({ key, keyEnd = key }) => `${key}-${keyEnd}`).sort();

/** What a kernel has that was told every difference. Refuses what it would refuse. */
function follow(set: KeptSet, kernel: Map<string, Element>): void {
  const { replaced, added, removed } = set.take();
  if (replaced) kernel.clear();
  for (const { key } of removed) assert.ok(kernel.delete(key), `${key} is not there`);
  for (const element of added) {
    assert.ok(!kernel.has(element.key), `${element.key} is there`);
    kernel.set(element.key, element);
  }
}

describe("felix/dataplane/nftables/kept-set", () => {
  it("of addresses: differences lead to what it should be, and its kind is that of its members", () => {
    const some = fc.subarray(MEMBERS);
    const step = fc.oneof(
      fc.record({ added: some, removed: some }),
      fc.record({ whole: some }),
      fc.constant("take" as const),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), steps => {
        const set = new AddressSet("s", 4);
        const members = new Set<string>();
        const kernel = new Map<string, Element>();
        for (const one of [...steps, "take" as const]) {
          if (one === "take") follow(set, kernel);
          else if ("whole" in one) {
            members.clear();
            for (const member of one.whole) members.add(member);
            set.replace(one.whole);
          } else {
            const added = one.added.filter(member => !one.removed.includes(member));
            for (const member of one.removed) members.delete(member);
            for (const member of added) members.add(member);
            set.update(added, one.removed);
          }
        }
        const own = [...members].filter(member => !member.includes(":"));
        assert.equal(
          set.set.interval ?? false,
          own.some(member => member.includes("/")),
        );
        assert.deepEqual(keys(kernel.values()), keys(set.elements()));
        assert.equal(set.changed, false);
        if (!set.set.interval) assert.equal(kernel.size, own.length);
      }),
    );
  });

  it("of addresses: two that undo each other are no change", () => {
    const set = new AddressSet("s", 6);
    set.update(["fd00::1", "10.0.0.1"], []);
    assert.deepEqual(keys(set.take().added), [
      "fd000000000000000000000000000001-fd000000000000000000000000000001",
    ]);
    set.update(["fd00::2"], ["fd00::1"]);
    set.update(["fd00::1"], ["fd00::2"]);
    assert.equal(set.changed, false);
  });

  it("of elements: an element that says something else now is another one", () => {
    const map = new ElementSet({ name: "m", key: ["ifname"], data: "verdict" });
    map.put({ key: "aa", verdict: { goto: "one" } });
    map.put({ key: "bb", verdict: "return" });
    map.take();
    map.put({ key: "aa", verdict: { goto: "two" } });
    map.put({ key: "bb", verdict: "return" });
    const { added, removed } = map.take();
    assert.deepEqual(removed, [{ key: "aa", verdict: { goto: "one" } }]);
    assert.deepEqual(added, [{ key: "aa", verdict: { goto: "two" } }]);
    map.replace([{ key: "bb", verdict: "return" }]);
    assert.deepEqual(map.take(), {
      replaced: false,
      added: [],
      removed: [{ key: "aa", verdict: { goto: "two" } }],
    });
  });

  it("of named ports: address, protocol and port, each in its place", () => {
    const members = ["10.0.0.1,tcp:80", "10.0.0.1,udp:53", "fd00::1,sctp:9", "10.0.0.2,41:7"];
    assert.deepEqual(
      addressPortElements(members, 4).map(({ key }) => key),
      ["0a0000010600000000500000", "0a0000011100000000350000", "0a0000022900000000070000"],
    );
    assert.deepEqual(
      addressPortElements(members, 6).map(({ key }) => key),
      ["fd0000000000000000000000000000018400000000090000"],
    );
    assert.deepEqual(addressPortSet("p", 6).set.key, ["ipv6_addr", "inet_proto", "inet_service"]);
    assert.throws(() => addressPortElements(["10.0.0.1"], 4), /"10\.0\.0\.1" is no address,protocol:port/);
  });
});
