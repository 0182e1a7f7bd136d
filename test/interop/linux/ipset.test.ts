import assert from "node:assert/strict";
import { IpsetError } from "../../../linux/ipset/errors.ts";
import { Ipset } from "../../../linux/ipset/ipset.ts";
import { run, ScratchNamespaces } from "./scratch-namespace.ts";

describe("linux/ipset", () => {
  const namespaces = new ScratchNamespaces();

  function opened(): { ipset: Ipset; namespace: string; save: () => string[] } {
    const namespace = namespaces.create();
    const save = () => run(namespace, "ipset", "save", "-sorted").trim().split("\n");
    return { ipset: Ipset.open({ namespace }), namespace, save };
  }

  it("makes and fills sets that the ipset program lists as its own, and reads back what that has made", () => {
    const { ipset, namespace, save } = opened();
    using _ = ipset;
    ipset.create({ name: "nets", type: "hash:net", family: 4, maxElements: 1000 });
    ipset.create({ name: "ports", type: "hash:ip,port", family: 6, maxElements: 2000 });
    const nets = ["10.0.0.0/8", "192.0.2.1"];
    const ports = ["fd00::1,ipv6-icmp:128/0", "fd00::1,tcp:80", "fd00::2,udp:53"];
    ipset.add("nets", "hash:net", nets);
    ipset.add("ports", "hash:ip,port", ports);
    const [net, ...rest] = save();
    assert.match(net!, /^create nets hash:net family inet .*maxelem 1000/);
    assert.deepEqual(rest.slice(0, 2), ["add nets 10.0.0.0/8", "add nets 192.0.2.1"]);
    assert.match(rest[2]!, /^create ports hash:ip,port family inet6 .*maxelem 2000/);
    assert.deepEqual(ipset.elements("ports", "hash:ip,port").sort(), ports);
    run(namespace, "ipset", "add", "nets", "172.16.0.0/12");
    assert.deepEqual(ipset.elements("nets", "hash:net").sort(), ["10.0.0.0/8", "172.16.0.0/12", "192.0.2.1"]);
  });

  it("says in headers what others have changed", () => {
    const { ipset, namespace } = opened();
    using _ = ipset;
    assert.deepEqual(ipset.headers(), []);
    ipset.create({ name: "s", type: "hash:ip", family: 4, maxElements: 65536 });
    ipset.add("s", "hash:ip", ["10.0.0.1", "10.0.0.2"]);
    run(namespace, "iptables-nft", ..."-A FORWARD -m set --match-set s src -j DROP".split(" "));
    const [{ memory, ...header } = { memory: 0 }] = ipset.headers();
    assert.ok(memory > 0);
    assert.deepEqual(header, {
      name: "s",
      type: "hash:ip",
      family: 4,
      maxElements: 65536,
      elements: 2,
      references: 1,
    });
    run(namespace, "ipset", "flush", "s");
    assert.equal(ipset.headers()[0]?.elements, 0);
    run(namespace, "iptables-nft", "-F", "FORWARD");
    run(namespace, "ipset", "destroy", "s");
    assert.deepEqual(ipset.headers(), []);
  });

  it("takes repetitions and deletions of nothing, but not another definition", () => {
    const { ipset } = opened();
    using _ = ipset;
    const definition = { name: "s", type: "hash:ip", family: 4, maxElements: 100 } as const;
    for (let i = 0; i < 2; i++) {
      ipset.create(definition);
      ipset.add("s", "hash:ip", ["10.0.0.1", "10.0.0.1"]);
    }
    ipset.delete("s", "hash:ip", ["10.0.0.1", "10.0.0.9"]);
    assert.deepEqual(ipset.elements("s", "hash:ip"), []);
    assert.throws(() => ipset.create({ ...definition, type: "hash:net" }), { code: "EEXIST" });
    assert.throws(() => ipset.create({ ...definition, type: "hash:nothing" }), {
      code: "IPSET_ERR_FIND_TYPE",
    });
  });

  it("says which element was refused, over many messages; those before it are there", () => {
    const { ipset } = opened();
    using _ = ipset;
    const address = (i: number) => `10.0.${i >> 8}.${i & 255}`;
    ipset.create({ name: "s", type: "hash:ip", family: 4, maxElements: 4000 });
    const elements = Array.from({ length: 5000 }, (_, i) => address(i));
    assert.throws(
      () => ipset.add("s", "hash:ip", elements),
      (error: unknown) => {
        assert.ok(error instanceof IpsetError);
        assert.equal(error.code, "IPSET_ERR_HASH_FULL");
        // The kernel counts by region of its table, and may call a set full a little early.
        assert.ok(error.index !== undefined && error.index <= 4000, String(error.index));
        assert.equal(error.operation, `add ${elements[error.index]} to set s`);
        assert.equal(ipset.headers()[0]?.elements, error.index);
        return true;
      },
    );
    assert.throws(() => ipset.add("nowhere", "hash:ip", ["10.0.0.1"]), { code: "ENOENT" });
  });

  it("swaps two sets, for the rules that use them too, and destroys only what no rule uses", () => {
    const { ipset, namespace } = opened();
    using _ = ipset;
    for (const [name, element] of [
      ["used", "10.0.0.1"],
      ["new", "10.0.0.2"],
    ] as const) {
      ipset.create({ name, type: "hash:ip", family: 4, maxElements: 100 });
      ipset.add(name, "hash:ip", [element]);
    }
    run(namespace, "iptables-nft", ..."-A FORWARD -m set --match-set used src -j DROP".split(" "));
    ipset.swap("used", "new");
    assert.deepEqual(ipset.elements("used", "hash:ip"), ["10.0.0.2"]);
    assert.throws(() => ipset.destroy("used"), { code: "IPSET_ERR_BUSY" });
    ipset.destroy("new");
    ipset.flush("used");
    assert.deepEqual(
      ipset.headers().map(({ name, elements }) => [name, elements]),
      [["used", 0]],
    );
    assert.throws(() => ipset.swap("used", "new"), { code: "IPSET_ERR_EXIST_SETNAME2" });
  });
});
