import assert from "node:assert/strict";
import fc from "fast-check";
import { IpSetError } from "../errors.ts";
import { IpSets, type IpSetsOptions } from "../ipset.ts";
import { createIpSetBackend } from "../ipset-backend.ts";
import { elementsOf, InvalidMemberError } from "../member.ts";
import { FakeKernel } from "./fake-kernel.ts";

const NET = { type: "hash:net" } as const;

describe("members of sets", () => {
  const cases: [type: string, version: 4 | 6, member: string, elements: string[]][] = [
    ["hash:net", 4, "10.1.2.3/8", ["10.0.0.0/8"]],
    ["hash:net", 4, "192.168.255.255/31", ["192.168.255.254/31"]],
    ["hash:net", 4, "10.1.2.3/32", ["10.1.2.3"]],
    ["hash:net", 4, "0.0.0.0/0", ["0.0.0.0/1", "128.0.0.0/1"]],
    ["hash:net", 6, "::/0", ["::/1", "8000::/1"]],
    ["hash:ip", 6, "FE80:0:0::1", ["fe80::1"]],
    ["hash:net", 6, "fd00:1:2:3::4/48", ["fd00:1:2::/48"]],
    ["hash:net", 6, "2001:db8::1/128", ["2001:db8::1"]],
    ["hash:ip", 6, "::ffff:1.2.3.4", ["::ffff:1.2.3.4"]],
    ["hash:ip", 6, "::ffff:0102:0304", ["::ffff:1.2.3.4"]],
    ["hash:ip", 6, "::5.6.7.8", ["::5.6.7.8"]],
    ["hash:ip", 6, "1:0:0:2:0:0:0:3", ["1:0:0:2::3"]],
    ["hash:ip,port", 4, "10.0.0.1,tcp:80", ["10.0.0.1,tcp:80"]],
    ["hash:ip,port", 4, "10.0.0.1,17:53", ["10.0.0.1,udp:53"]],
    ["hash:ip,port", 6, "FD00::1,SCTP:7", ["fd00::1,sctp:7"]],
    ["hash:net,net", 4, "10.0.0.0/8,0.0.0.0/0", ["10.0.0.0/8,0.0.0.0/1", "10.0.0.0/8,128.0.0.0/1"]],
  ];
  for (const [type, version, member, elements] of cases)
    it(`${type} ${member} is ${elements.join(" and ")}`, () =>
      assert.deepEqual(elementsOf(type, version, member), elements));

  it("are refused when they are none", () => {
    const bad: [string, 4 | 6, string][] = [
      ["hash:net", 4, "10.0.0.0/33"],
      ["hash:net", 4, "fd00::1"],
      ["hash:net", 6, "10.0.0.1"],
      ["hash:ip", 4, "10.0.0.0/8"],
      ["hash:ip,port", 4, "10.0.0.1"],
      ["hash:ip,port", 4, "10.0.0.1,tcp:99999"],
      ["hash:net", 4, "10.0.0.1\nflush"],
    ];
    for (const [type, version, member] of bad)
      assert.throws(() => elementsOf(type, version, member), InvalidMemberError, member);
  });
});

describe("IpSets", () => {
  let kernel: FakeKernel;
  const start = (options: Partial<IpSetsOptions> = {}) =>
    new IpSets({
      backend: createIpSetBackend({ run: kernel.run }),
      ipVersion: 4,
      prefix: "cali40",
      tempPrefix: "cali4t",
      sleep: async () => {},
      ...options,
    });
  const kernelMembers = (name: string) => [...(kernel.sets.get(name)?.members ?? [])].toSorted();
  beforeEach(() => {
    kernel = new FakeKernel();
  });

  it("creates and fills sets in one process", async () => {
    const sets = start();
    sets.setMembers("cali40a", NET, ["10.0.0.0/8", "10.1.1.1/32"]);
    sets.setMembers("cali40b", { type: "hash:ip,port", maxElements: 100 }, ["10.0.0.1,tcp:80"]);
    await sets.applyUpdates();
    assert.equal(kernel.takeRestores().length, 1);
    assert.deepEqual(kernelMembers("cali40a"), ["10.0.0.0/8", "10.1.1.1"]);
    assert.equal(kernel.sets.get("cali40b")?.maxelem, 100);
    await sets.applyUpdates();
    assert.equal(kernel.calls.length, 0, "and nothing more when nothing changed");
  });

  it("sends only what changed", async () => {
    const sets = start();
    const many = Array.from({ length: 250 }, (_, i) => `10.0.0.${i}`);
    sets.setMembers("cali40a", NET, many);
    await sets.applyUpdates();
    kernel.takeRestores();
    sets.addMembers("cali40a", ["10.9.0.0/16", "10.0.0.3"]);
    sets.removeMembers("cali40a", ["10.0.0.1", "10.77.0.0/16"]);
    await sets.applyUpdates();
    assert.deepEqual(kernel.takeRestores(), ["add cali40a 10.9.0.0/16\ndel cali40a 10.0.0.1\n"]);
    sets.setMembers("cali40a", NET, many);
    await sets.applyUpdates();
    assert.deepEqual(kernel.takeRestores(), ["add cali40a 10.0.0.1\ndel cali40a 10.9.0.0/16\n"]);
  });

  it("sends nothing for what was added and taken back", async () => {
    const sets = start();
    sets.setMembers("cali40a", NET, ["10.0.0.1"]);
    await sets.applyUpdates();
    kernel.takeRestores();
    sets.addMembers("cali40a", ["10.0.0.2"]);
    sets.removeMembers("cali40a", ["10.0.0.2"]);
    sets.removeMembers("cali40a", ["10.0.0.1"]);
    sets.addMembers("cali40a", ["10.0.0.1"]);
    await sets.applyUpdates();
    assert.deepEqual(kernel.takeRestores(), []);
  });

  it("rewrites through a temporary set when little stays", async () => {
    const sets = start();
    sets.setMembers(
      "cali40a",
      NET,
      Array.from({ length: 100 }, (_, i) => `10.0.0.${i}`),
    );
    await sets.applyUpdates();
    sets.setMembers(
      "cali40a",
      NET,
      Array.from({ length: 50 }, (_, i) => `10.0.1.${i}`),
    );
    await sets.applyUpdates();
    assert.match(
      kernel.takeRestores().at(-1)!,
      /^create cali4t0 .*\nswap cali4t0 cali40a\ndestroy cali4t0\n$/s,
    );
    assert.equal(kernelMembers("cali40a").length, 50);
    assert.deepEqual([...kernel.sets.keys()], ["cali40a"]);
  });

  it("changes size through a temporary set, also while a rule uses the set", async () => {
    const sets = start();
    sets.setMembers("cali40a", NET, ["10.0.0.1"]);
    await sets.applyUpdates();
    kernel.edit("filter", "-A INPUT -m set --match-set cali40a src -j DROP");
    sets.setMembers("cali40a", { type: "hash:net", maxElements: 7 }, ["10.0.0.2"]);
    await sets.applyUpdates();
    assert.deepEqual(kernel.sets.get("cali40a"), {
      type: "hash:net",
      family: "inet",
      maxelem: 7,
      members: new Set(["10.0.0.2"]),
    });
  });

  it("changes type when no rule uses the set any more, and says while one does", async () => {
    const sets = start();
    sets.setMembers("cali40a", NET, ["10.0.0.1"]);
    await sets.applyUpdates();
    kernel.edit("filter", "-A INPUT -m set --match-set cali40a src -j DROP");
    sets.setMembers("cali40a", { type: "hash:ip" }, ["10.0.0.2"]);
    await assert.rejects(sets.applyUpdates(), { code: "in-use", text: "destroy cali40a" });
    assert.deepEqual(kernel.sets.get("cali40a")?.members, new Set(["10.0.0.1"]));
    kernel.edit("filter", "-F INPUT");
    await sets.applyUpdates();
    assert.deepEqual(kernel.sets.get("cali40a")?.type, "hash:ip");
    assert.deepEqual(kernel.sets.get("cali40a")?.members, new Set(["10.0.0.2"]));
  });

  it("rewrites through a temporary set where a prefix length would go and leave shorter ones", async () => {
    const sets = start();
    const kept = ["10.0.0.0/8", "192.0.2.0/24"];
    const rewrites = async (now: string[]) => {
      sets.setMembers("cali40a", NET, now);
      kernel.takeRestores();
      await sets.applyUpdates();
      assert.deepEqual([...kernel.sets.get("cali40a")!.members].sort(), [...now].sort());
      return kernel.takeRestores().some(text => text.includes("swap"));
    };
    await rewrites([...kept, "10.1.1.1", "10.1.1.2"]);
    assert.equal(await rewrites([...kept, "10.1.1.1"]), false);
    assert.equal(await rewrites(kept), true);
    assert.equal(await rewrites([...kept, "10.1.1.1"]), false);
    // The last in the list moves nobody.
    assert.equal(await rewrites(["192.0.2.0/24", "10.1.1.1"]), false);
    assert.equal(await rewrites(["192.0.3.0/24", "10.1.1.1"]), false);
  });

  it("deletes first when the set would overflow, else adds first", async () => {
    const sets = start();
    const members = Array.from({ length: 20 }, (_, i) => `10.0.0.${i}`);
    sets.setMembers("cali40a", { ...NET, maxElements: 20 }, members);
    await sets.applyUpdates();
    sets.addMembers("cali40a", ["10.1.0.0/16"]);
    sets.removeMembers("cali40a", ["10.0.0.0"]);
    await sets.applyUpdates();
    assert.equal(kernel.takeRestores().at(-1), "del cali40a 10.0.0.0\nadd cali40a 10.1.0.0/16\n");
  });

  it("keeps a default route and its halves apart", async () => {
    const sets = start();
    sets.setMembers("cali40a", NET, ["0.0.0.0/0", "128.0.0.0/1"]);
    await sets.applyUpdates();
    assert.deepEqual(kernelMembers("cali40a"), ["0.0.0.0/1", "128.0.0.0/1"]);
    sets.removeMembers("cali40a", ["0.0.0.0/0"]);
    await sets.applyUpdates();
    assert.deepEqual(kernelMembers("cali40a"), ["128.0.0.0/1"]);
    sets.addMembers("cali40a", ["0.0.0.0/0"]);
    sets.removeMembers("cali40a", ["128.0.0.0/1"]);
    await sets.applyUpdates();
    assert.deepEqual(kernelMembers("cali40a"), ["0.0.0.0/1", "128.0.0.0/1"]);
    assert.deepEqual(await sets.check(), []);
  });

  it("destroys in a step of its own, and tries again what is still in use", async () => {
    const sets = start();
    for (const name of ["cali40a", "cali40b", "cali40c"]) sets.setMembers(name, NET, []);
    await sets.applyUpdates();
    kernel.edit("filter", "-A INPUT -m set --match-set cali40b src -j DROP");
    for (const name of ["cali40a", "cali40b", "cali40c"]) sets.removeSet(name);
    await sets.applyUpdates();
    assert.equal(kernel.sets.size, 3);
    assert.deepEqual(await sets.applyDeletions(), { destroyed: ["cali40a", "cali40c"], busy: ["cali40b"] });
    kernel.edit("filter", "-F INPUT");
    assert.equal(sets.needsDeletion, true);
    assert.deepEqual(await sets.applyDeletions(), { destroyed: ["cali40b"], busy: [] });
    assert.equal(sets.needsDeletion, false);
  });

  it("takes back a set that was to be destroyed", async () => {
    const sets = start();
    sets.setMembers("cali40a", NET, ["10.0.0.1"]);
    await sets.applyUpdates();
    sets.removeSet("cali40a");
    sets.setMembers("cali40a", NET, ["10.0.0.2"]);
    await sets.applyUpdates();
    await sets.applyDeletions();
    assert.deepEqual(kernelMembers("cali40a"), ["10.0.0.2"]);
  });

  it("recognises after a restart what is right, repairs what is not, and sweeps the rest", async () => {
    const before = start();
    before.setMembers("cali40same", NET, ["10.0.0.0/8", "0.0.0.0/0"]);
    before.setMembers("cali40diff", NET, ["10.0.0.1", "10.0.0.2"]);
    before.setMembers("cali40gone", NET, ["10.0.0.1"]);
    await before.applyUpdates();
    const foreign = { type: "hash:ip", family: "inet", maxelem: 9, members: new Set(["1.1.1.1"]) };
    kernel.sets.set("theirs", foreign);
    kernel.sets.set("cali4t3", { ...foreign, members: new Set() });
    kernel.takeRestores();

    const after = start();
    after.setMembers("cali40same", NET, ["10.1.2.3/8", "0.0.0.0/0"]);
    after.setMembers("cali40diff", NET, ["10.0.0.2", "10.0.0.3"]);
    const { updated } = await after.applyUpdates();
    assert.deepEqual(updated, ["cali40diff"]);
    assert.deepEqual(kernel.takeRestores(), [
      "destroy cali4t3\n",
      "add cali40diff 10.0.0.3\ndel cali40diff 10.0.0.1\n",
    ]);
    assert.deepEqual((await after.applyDeletions()).destroyed, ["cali40gone"]);
    assert.deepEqual([...kernel.sets.keys()].toSorted(), ["cali40diff", "cali40same", "theirs"]);
  });

  it("finds by check what somebody changed, and repairs exactly that", async () => {
    const sets = start();
    sets.setMembers("cali40a", NET, ["10.0.0.1", "10.0.0.2"]);
    sets.setMembers("cali40b", NET, ["10.0.0.1"]);
    await sets.applyUpdates();
    assert.deepEqual(await sets.check(), []);
    kernel.sets.get("cali40a")!.members.delete("10.0.0.1");
    kernel.sets.delete("cali40b");
    assert.deepEqual(await sets.check(), ["cali40a", "cali40b"]);
    kernel.takeRestores();
    await sets.applyUpdates();
    assert.deepEqual(kernel.takeRestores(), [
      "add cali40a 10.0.0.1\ncreate cali40b hash:net family inet maxelem 65536\nadd cali40b 10.0.0.1\n",
    ]);
  });

  it("reads again and tries again after a failure in the middle", async () => {
    const sets = start();
    sets.setMembers("cali40a", NET, ["10.0.0.1"]);
    kernel.failures.push({ code: 0 }, { stderr: "ipset v7.17: Error in line 2: no luck" });
    assert.equal((await sets.applyUpdates()).attempts, 2);
    assert.deepEqual(kernelMembers("cali40a"), ["10.0.0.1"]);
  });

  it("keeps one set that cannot be made from holding up the others", async () => {
    const sets = start();
    sets.setMembers("cali40full", { ...NET, maxElements: 1 }, ["10.0.0.1", "10.0.0.2"]);
    sets.setMembers("cali40fine", NET, ["10.0.0.1"]);
    await assert.rejects(sets.applyUpdates(), (e: unknown) => {
      assert.ok(e instanceof IpSetError);
      assert.match(e.text!, /^add cali40full/);
      return true;
    });
    assert.deepEqual(kernelMembers("cali40fine"), ["10.0.0.1"]);
    assert.equal(sets.needsUpdate, true);
  });

  it("refuses names that are not ours and members that are none", () => {
    const sets = start();
    assert.throws(() => sets.setMembers("theirs", NET, []), RangeError);
    assert.throws(() => sets.setMembers("cali40a", NET, ["fd00::1"]), InvalidMemberError);
    assert.equal(sets.has("cali40a"), false);
    assert.equal(sets.nameOf(`s:${"x".repeat(40)}`).length, 31);
  });

  it("agrees with a plain Set after any sequence of changes, failures and interference", async () => {
    const member = fc.constantFrom(
      ..."0.0.0.0/0 0.0.0.0/1 128.0.0.0/1 10.0.0.1 10.0.0.2 10.0.0.0/24 10.0.1.0/24".split(" "),
    );
    const members = fc.uniqueArray(member);
    const step = fc.oneof(
      fc.record({ do: fc.constantFrom("set" as const, "add" as const, "remove" as const), members }),
      fc.record({ do: fc.constantFrom("apply", "fail", "meddle", "restart", "drop") }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async steps => {
        kernel = new FakeKernel();
        let sets = start();
        let wanted = new Set<string>();
        sets.setMembers("cali40a", NET, []);
        for (const s of steps) {
          if ("members" in s) {
            if (s.do === "set") {
              wanted = new Set(s.members);
              sets.setMembers("cali40a", NET, s.members);
            } else if (s.do === "add") {
              for (const m of s.members) wanted.add(m);
              sets.addMembers("cali40a", s.members);
            } else {
              for (const m of s.members) wanted.delete(m);
              sets.removeMembers("cali40a", s.members);
            }
          } else if (s.do === "apply") await sets.applyUpdates();
          else if (s.do === "fail") kernel.failures.push({ stderr: "Error in line 1: no" });
          else if (s.do === "meddle") {
            kernel.sets.get("cali40a")?.members.add("99.0.0.0/8");
            sets.invalidate();
          } else if (s.do === "restart") {
            sets = start();
            sets.setMembers("cali40a", NET, wanted);
          } else {
            sets.removeSet("cali40a");
            sets.setMembers("cali40a", NET, wanted);
          }
        }
        kernel.failures.length = 0;
        await sets.applyUpdates();
        const elements = new Set([...wanted].flatMap(m => elementsOf("hash:net", 4, m)));
        assert.deepEqual(kernelMembers("cali40a"), [...elements].toSorted());
        assert.deepEqual(await sets.check(), []);
        assert.deepEqual([...sets.members("cali40a")].toSorted(), [...wanted].toSorted());
      }),
      { numRuns: 200 },
    );
  });
});
