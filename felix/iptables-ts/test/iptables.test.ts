import assert from "node:assert/strict";
import fc from "fast-check";
import { detectBackend } from "../backend.ts";
import { InvalidRuleError, IptablesError } from "../errors.ts";
import { chainHashes } from "../hash.ts";
import { Iptables, type IptablesOptions } from "../iptables.ts";
import { rule } from "../rule.ts";
import { FakeKernel } from "./fake-kernel.ts";

async function start(kernel: FakeKernel, options: Partial<IptablesOptions> = {}): Promise<Iptables> {
  const backend = await detectBackend({ ipVersion: 4, run: kernel.run });
  const waits: number[] = [];
  const iptables = new Iptables({
    backend,
    chainPrefix: "cali-",
    hashPrefix: "cali:",
    sleep: async ms => void waits.push(ms),
    ...options,
  });
  kernel.calls.length = 0;
  return iptables;
}

const drop = rule().drop();
const accept = rule().accept();
const from = (net: string) => rule().source(net).accept();

describe("Iptables", () => {
  let kernel: FakeKernel;
  beforeEach(() => {
    kernel = new FakeKernel();
  });

  describe("a commit", () => {
    it("puts chains and the jumps to them into the kernel", async () => {
      const iptables = await start(kernel);
      const filter = iptables.table("filter");
      filter.setChain("cali-FORWARD", [rule().inInterface("cali+").jump("cali-a"), accept]);
      filter.setChain("cali-a", [drop]);
      filter.setInsertions("FORWARD", [rule().jump("cali-FORWARD")]);
      const result = await iptables.apply();
      assert.deepEqual(kernel.rules("filter", "FORWARD"), ["-j cali-FORWARD"]);
      assert.deepEqual(kernel.rules("filter", "cali-FORWARD"), ["-i cali+ -j cali-a", "-j ACCEPT"]);
      assert.deepEqual(kernel.rules("filter", "cali-a"), ["-j DROP"]);
      assert.deepEqual(result.written.toSorted(), ["filter/FORWARD", "filter/cali-FORWARD", "filter/cali-a"]);
      assert.equal(iptables.needsApply, false);
    });

    it("is one process for all tables", async () => {
      const iptables = await start(kernel);
      for (const name of ["raw", "nat", "filter"] as const) {
        iptables.table(name).setChain("cali-OUTPUT", [accept]);
        iptables.table(name).setInsertions("OUTPUT", [rule().jump("cali-OUTPUT")]);
      }
      await iptables.apply();
      assert.equal(kernel.takeRestores().length, 1);
      for (const name of ["raw", "nat", "filter"])
        assert.deepEqual(kernel.rules(name, "cali-OUTPUT"), ["-j ACCEPT"]);
    });

    it("is no process at all when nothing changed", async () => {
      const iptables = await start(kernel);
      const filter = iptables.table("filter");
      filter.setChain("cali-a", [drop]);
      filter.setInsertions("INPUT", [rule().jump("cali-a")]);
      await iptables.apply();
      kernel.calls.length = 0;
      filter.setChain("cali-a", [rule().drop()]);
      filter.setInsertions("INPUT", [rule().jump("cali-a")]);
      await iptables.apply();
      assert.equal(kernel.calls.length, 0);
    });

    it("writes only the chain that changed, without reading", async () => {
      const iptables = await start(kernel);
      const filter = iptables.table("filter");
      for (let i = 0; i < 20; i++) filter.setChain(`cali-${i}`, [drop]);
      filter.setInsertions(
        "INPUT",
        Array.from({ length: 20 }, (_, i) => rule().jump(`cali-${i}`)),
      );
      await iptables.apply();
      kernel.calls.length = 0;
      filter.setChain("cali-7", [accept]);
      await iptables.apply();
      assert.equal(kernel.calls.length, 1);
      const text = kernel.calls[0]!.stdin;
      assert.match(
        text,
        /^\*filter\n:cali-7 - -\n-A cali-7 -m comment --comment "cali:[\w-]{16}" -j ACCEPT\nCOMMIT\n$/,
      );
    });

    it("appends to a chain that only grew", async () => {
      const iptables = await start(kernel);
      const filter = iptables.table("filter");
      filter.setChain("cali-a", [from("10.0.0.1")]);
      filter.setInsertions("INPUT", [rule().jump("cali-a")]);
      await iptables.apply();
      kernel.takeRestores();
      filter.setChain("cali-a", [from("10.0.0.1"), from("10.0.0.2")]);
      await iptables.apply();
      assert.equal(kernel.takeRestores()[0]?.split("\n").length, 4);
      assert.equal(kernel.rules("filter", "cali-a")?.length, 2);
    });

    it("holds what was asked for while another one was on its way", async () => {
      const iptables = await start(kernel);
      const filter = iptables.table("filter");
      filter.setChain("cali-a", [drop]);
      filter.setInsertions("INPUT", [rule().jump("cali-a")]);
      await iptables.apply();
      filter.setChain("cali-a", [from("10.0.0.1")]);
      kernel.beforeRestore = () => {
        kernel.beforeRestore = undefined;
        filter.setChain("cali-a", [from("10.0.0.2")]);
      };
      await iptables.apply();
      assert.equal(iptables.needsApply, true);
      await iptables.apply();
      assert.deepEqual(kernel.rules("filter", "cali-a"), ["-s 10.0.0.2 -j ACCEPT"]);
    });

    it("queues behind the one before it", async () => {
      const iptables = await start(kernel);
      const filter = iptables.table("filter");
      filter.setInsertions("INPUT", [drop]);
      const first = iptables.apply();
      filter.setInsertions("INPUT", [accept]);
      await Promise.all([first, iptables.apply()]);
      assert.deepEqual(kernel.rules("filter", "INPUT"), ["-j ACCEPT"]);
    });
  });

  describe("chains", () => {
    it("are programmed only while something leads to them", async () => {
      const iptables = await start(kernel);
      const filter = iptables.table("filter");
      filter.setChain("cali-a", [rule().jump("cali-b")]);
      filter.setChain("cali-b", [drop]);
      await iptables.apply();
      assert.equal(kernel.takeRestores().length, 0);
      filter.setInsertions("INPUT", [rule().jump("cali-a")]);
      await iptables.apply();
      assert.deepEqual(kernel.rules("filter", "cali-b"), ["-j DROP"]);
      filter.setInsertions("INPUT", []);
      await iptables.apply();
      assert.equal(kernel.rules("filter", "cali-a"), undefined);
      assert.equal(kernel.rules("filter", "cali-b"), undefined);
      assert.deepEqual(kernel.rules("filter", "INPUT"), []);
    });

    it("are all programmed when asked for", async () => {
      const iptables = await start(kernel, { onlyReferenced: false });
      const filter = iptables.table("filter");
      filter.setChain("cali-a", [rule().jump("cali-b")]);
      filter.setChain("cali-b", [drop]);
      await iptables.apply();
      assert.deepEqual(kernel.rules("filter", "cali-b"), ["-j DROP"]);
      filter.removeChain("cali-a");
      await iptables.apply();
      assert.equal(kernel.rules("filter", "cali-a"), undefined);
      filter.removeChain("cali-b");
      await iptables.apply();
      assert.equal(kernel.rules("filter", "cali-b"), undefined);
    });

    it("can be defined after the rules that lead to them, within one commit", async () => {
      const iptables = await start(kernel);
      const filter = iptables.table("filter");
      filter.setInsertions("INPUT", [rule().jump("cali-a")]);
      await assert.rejects(
        iptables.apply(),
        (e: unknown) => e instanceof IptablesError && e.code === "undefined-chain",
      );
      assert.equal(kernel.takeRestores().length, 0);
      filter.setChain("cali-a", [drop]);
      await iptables.apply();
      assert.deepEqual(kernel.rules("filter", "cali-a"), ["-j DROP"]);
    });

    it("must carry our prefix, and hooks must not", async () => {
      const filter = (await start(kernel)).table("filter");
      assert.throws(() => filter.setChain("DOCKER", [drop]), InvalidRuleError);
      assert.throws(() => filter.setInsertions("cali-a", [drop]), InvalidRuleError);
    });
  });

  describe("what is in the kernel already", () => {
    it("is left alone when it is right, after a restart", async () => {
      const define = (iptables: Iptables) => {
        iptables.table("filter").setChain("cali-a", [from("10.0.0.1"), drop]);
        iptables.table("filter").setInsertions("INPUT", [rule().jump("cali-a")]);
        iptables.table("filter").setAppends("FORWARD", [rule().markSet(1).accept()]);
      };
      const before = await start(kernel);
      define(before);
      await before.apply();
      const after = await start(kernel);
      define(after);
      const result = await after.apply();
      assert.deepEqual(kernel.takeRestores(), []);
      assert.deepEqual(result.written, []);
    });

    it("is swept when it is ours and nobody wants it", async () => {
      const before = await start(kernel);
      before.table("filter").setChain("cali-old", [rule().jump("cali-older")]);
      before.table("filter").setChain("cali-older", [drop]);
      before.table("filter").setInsertions("INPUT", [rule().jump("cali-old")]);
      before.table("nat").setChain("cali-old", [accept]);
      before.table("nat").setInsertions("OUTPUT", [rule().jump("cali-old")]);
      await before.apply();
      kernel.edit("filter", "-I INPUT -j DROP");
      const after = await start(kernel);
      const { removed } = await after.apply();
      assert.deepEqual(removed.toSorted(), ["filter/cali-old", "filter/cali-older", "nat/cali-old"]);
      assert.deepEqual(kernel.rules("filter", "INPUT"), ["-j DROP"]);
    });

    it("is emptied, not deleted, while somebody else's rule leads to it", async () => {
      kernel.edit("filter", ":cali-old - -", "-A cali-old -j DROP", "-A INPUT -j cali-old");
      const iptables = await start(kernel);
      await iptables.apply();
      assert.deepEqual(kernel.rules("filter", "cali-old"), []);
      assert.deepEqual(kernel.rules("filter", "INPUT"), ["-j cali-old"]);
      kernel.takeRestores();
      iptables.invalidate();
      await iptables.apply();
      assert.deepEqual(kernel.takeRestores(), [], "and then left in peace");
    });

    it("is swept under names of former times, with whatever leads there, where such names are given", async () => {
      kernel.edit(
        "filter",
        ":felix-FORWARD - -",
        ":califw-x - -",
        "-A felix-FORWARD -j califw-x",
        "-A FORWARD -j felix-FORWARD",
        "-A FORWARD -j LOG",
        ":cali-INPUT2 - -",
        "-A INPUT -m comment --comment hand-made -j cali-INPUT2",
      );
      const formerPrefixes = ["felix-", "cali"];
      await (await start(kernel, { formerPrefixes })).apply();
      assert.deepEqual([...kernel.table("filter").keys()], ["INPUT", "FORWARD", "OUTPUT"]);
      assert.deepEqual(kernel.rules("filter", "FORWARD"), ["-j LOG"]);
      assert.deepEqual(kernel.rules("filter", "INPUT"), []);
      const again = await start(kernel, { formerPrefixes });
      await again.apply();
      assert.deepEqual(kernel.takeRestores(), []);
    });

    it("is known by the hash of its last rule", async () => {
      const chain = [from("10.0.0.1"), from("10.0.0.2"), drop];
      const wanted = async () => {
        const iptables = await start(kernel);
        iptables.table("filter").setChain("cali-a", chain);
        iptables.table("filter").setInsertions("INPUT", [rule().jump("cali-a")]);
        return iptables;
      };
      await (await wanted()).apply();
      const hashed = () =>
        kernel
          .table("filter")
          .get("cali-a")!
          .map(text => text.includes("cali:"));
      assert.deepEqual(hashed(), [false, false, true]);
      assert.deepEqual(await (await wanted()).check(), []);
      // Every rule with its own, as Calico writes them, is as good.
      const hashes = chainHashes("cali-a", chain);
      const each = chain.map(({ text }, i) => `-A cali-a -m comment --comment "cali:${hashes[i]}" ${text}`);
      kernel.edit("filter", "-F cali-a", ...each);
      assert.deepEqual(await (await wanted()).check(), []);
      for (const wrong of [
        [each[0], each[2]],
        each.slice(0, 2),
        [each[1], each[0], each[2]],
        [...each, "-A cali-a -j LOG"],
      ]) {
        kernel.edit("filter", "-F cali-a", ...(wrong as string[]));
        assert.deepEqual(await (await wanted()).check(), ["filter/cali-a"]);
      }
    });

    it("is never changed when it is not ours", async () => {
      kernel.edit("filter", ":DOCKER - -", "-A DOCKER -j ACCEPT", "-A FORWARD -j DOCKER", "-A INPUT -j DROP");
      const iptables = await start(kernel);
      const filter = iptables.table("filter");
      filter.setChain("cali-a", [drop]);
      filter.setInsertions("FORWARD", [rule().jump("cali-a")]);
      filter.setAppends("FORWARD", [accept]);
      await iptables.apply();
      assert.deepEqual(kernel.rules("filter", "FORWARD"), ["-j cali-a", "-j DOCKER", "-j ACCEPT"]);
      filter.setInsertions("FORWARD", []);
      filter.setAppends("FORWARD", []);
      await iptables.apply();
      assert.deepEqual(kernel.rules("filter", "FORWARD"), ["-j DOCKER"]);
      assert.deepEqual(kernel.rules("filter", "DOCKER"), ["-j ACCEPT"]);
      assert.deepEqual(kernel.rules("filter", "INPUT"), ["-j DROP"]);
    });
  });

  describe("interference", () => {
    const set = async () => {
      const iptables = await start(kernel);
      const filter = iptables.table("filter");
      filter.setChain("cali-a", [from("10.0.0.1"), drop]);
      filter.setChain("cali-b", [accept]);
      filter.setInsertions("FORWARD", [rule().jump("cali-a"), rule().jump("cali-b")]);
      filter.setAppends("FORWARD", [accept]);
      await iptables.apply();
      return iptables;
    };
    const expected = ["-j cali-a", "-j cali-b", "-j ACCEPT"];

    const repaired: [string, string[], string[]][] = [
      ["a wiped hook", ["-F FORWARD"], ["filter/FORWARD"]],
      ["a wiped chain", ["-F cali-a"], ["filter/cali-a"]],
      ["a rule added to our chain", ["-I cali-a -j ACCEPT"], ["filter/cali-a"]],
      ["a rule taken from our chain", ["-D cali-b 1"], ["filter/cali-b"]],
      ["everything gone", ["-F FORWARD", "-F cali-a", "-X cali-a"], ["filter/FORWARD", "filter/cali-a"]],
      ["a leftover chain", [":cali-zombie - -"], ["filter/cali-zombie"]],
    ];
    for (const [what, lines, drift] of repaired)
      it(`${what} is found by check and repaired by apply`, async () => {
        const iptables = await set();
        assert.deepEqual(await iptables.check(), []);
        kernel.edit("filter", ...lines);
        assert.deepEqual((await iptables.check()).toSorted(), drift);
        assert.equal(iptables.needsApply, true);
        kernel.takeRestores();
        await iptables.apply();
        assert.deepEqual(kernel.rules("filter", "FORWARD"), expected);
        assert.deepEqual(kernel.rules("filter", "cali-a"), ["-s 10.0.0.1 -j ACCEPT", "-j DROP"]);
        assert.deepEqual(kernel.rules("filter", "cali-b"), ["-j ACCEPT"]);
        assert.equal(kernel.takeRestores().length, 1);
        assert.deepEqual(await iptables.check(), []);
      });

    it("a rule edited in place, its comment kept, is found once it has been seen before", async () => {
      const iptables = await set();
      assert.deepEqual(await iptables.check(), []);
      for (const chain of ["cali-a", "FORWARD"]) {
        const rules = kernel.table("filter").get(chain)!;
        rules[0] = rules[0]!.replace(/-j .*|-s .*/, "-j LOG");
      }
      assert.deepEqual((await iptables.check()).toSorted(), ["filter/FORWARD", "filter/cali-a"]);
      assert.deepEqual((await iptables.check()).toSorted(), ["filter/FORWARD", "filter/cali-a"]);
      await iptables.apply();
      assert.deepEqual(kernel.rules("filter", "FORWARD"), expected);
      assert.equal(kernel.rules("filter", "cali-a")?.[0], "-s 10.0.0.1 -j ACCEPT");
      assert.deepEqual(await iptables.check(), []);
      assert.deepEqual(await iptables.check(), []);
    });

    it("a program that prints rules differently from one day on causes one rewrite, not one each time", async () => {
      const iptables = await set();
      await iptables.check();
      const { save } = iptables.backend;
      Object.assign(iptables.backend, {
        save: async () => (await save()).replaceAll("-s 10.0.0.1 ", "-s 10.0.0.1/32 "),
      });
      assert.deepEqual(await iptables.check(), ["filter/cali-a"]);
      await iptables.apply();
      assert.deepEqual(await iptables.check(), []);
      assert.deepEqual(await iptables.check(), []);
    });

    it("a rule in front of ours is overtaken, and kept", async () => {
      const iptables = await set();
      kernel.edit("filter", "-I FORWARD -s 192.0.2.1 -j DROP", "-A FORWARD -j LOG");
      await iptables.check();
      await iptables.apply();
      assert.deepEqual(kernel.rules("filter", "FORWARD"), [
        "-j cali-a",
        "-j cali-b",
        "-s 192.0.2.1 -j DROP",
        "-j LOG",
        "-j ACCEPT",
      ]);
    });

    it("in the very moment of a commit is survived by reading again", async () => {
      const iptables = await set();
      kernel.beforeRestore = () => {
        kernel.beforeRestore = undefined;
        kernel.edit("filter", "-F FORWARD");
      };
      iptables.table("filter").setInsertions("FORWARD", [rule().jump("cali-b")]);
      const { attempts } = await iptables.apply();
      assert.equal(attempts, 2);
      assert.deepEqual(kernel.rules("filter", "FORWARD"), ["-j cali-b", "-j ACCEPT"]);
    });

    it("by a rule that leads to a chain being deleted leaves that chain behind, empty", async () => {
      const iptables = await set();
      kernel.beforeRestore = () => {
        kernel.beforeRestore = undefined;
        kernel.edit("filter", "-A OUTPUT -j cali-b");
      };
      iptables.table("filter").setInsertions("FORWARD", [rule().jump("cali-a")]);
      await iptables.apply();
      assert.deepEqual(kernel.rules("filter", "cali-b"), []);
    });
  });

  describe("a refused transaction", () => {
    it("is tried again with growing pauses", async () => {
      const waits: number[] = [];
      const iptables = await start(kernel, { sleep: async ms => void waits.push(ms) });
      iptables.table("filter").setInsertions("INPUT", [drop]);
      const busy = { code: 4, stderr: "Another app is currently holding the xtables lock" };
      kernel.failures.push({ code: 0 }, busy, { code: 0 }, busy, { code: 0 }, busy);
      const { attempts } = await iptables.apply();
      assert.equal(attempts, 4);
      assert.deepEqual(waits, [1, 2, 4]);
      assert.deepEqual(kernel.rules("filter", "INPUT"), ["-j DROP"]);
    });

    it("is written with positions when the program does not recognise a rule in its own words", async () => {
      const iptables = await start(kernel);
      const filter = iptables.table("filter");
      kernel.edit("filter", "-A INPUT -j LOG");
      filter.setInsertions("INPUT", [drop]);
      filter.setAppends("INPUT", [accept]);
      await iptables.apply();
      kernel.refuse = line => /^-D INPUT -/.test(line);
      filter.setInsertions("INPUT", []);
      filter.setAppends("INPUT", []);
      assert.equal((await iptables.apply()).attempts, 3);
      assert.deepEqual(kernel.rules("filter", "INPUT"), ["-j LOG"]);
    });

    it("ends in an error that names the line, and the next apply starts afresh", async () => {
      const iptables = await start(kernel);
      const filter = iptables.table("filter");
      filter.setInsertions("INPUT", [rule().sourceSet("missing").drop()]);
      await assert.rejects(iptables.apply(), (e: unknown) => {
        assert.ok(e instanceof IptablesError);
        assert.equal(e.code, "rejected");
        assert.equal(e.line, 2);
        assert.match(e.text!, /--match-set missing src -j DROP$/);
        return true;
      });
      assert.equal(iptables.needsApply, true);
      filter.setInsertions("INPUT", [drop]);
      await iptables.apply();
      assert.deepEqual(kernel.rules("filter", "INPUT"), ["-j DROP"]);
    });

    it("forgets no removal", async () => {
      const iptables = await start(kernel, { attempts: 1 });
      const filter = iptables.table("filter");
      filter.setChain("cali-a", [drop]);
      filter.setInsertions("INPUT", [rule().jump("cali-a")]);
      await iptables.apply();
      filter.setInsertions("INPUT", []);
      filter.removeChain("cali-a");
      kernel.failures.push({ stderr: "line 3 failed" });
      await assert.rejects(iptables.apply());
      await iptables.apply();
      assert.equal(kernel.rules("filter", "cali-a"), undefined);
    });

    it("says when the programs are missing", async () => {
      kernel.installed = { nft: false, legacy: false };
      await assert.rejects(
        detectBackend({ ipVersion: 4, run: kernel.run }),
        (e: unknown) => e instanceof IptablesError && e.code === "unavailable",
      );
    });
  });

  describe("the variant", () => {
    const detect = () => detectBackend({ ipVersion: 4, run: kernel.run });
    it("is nf_tables when neither holds rules", async () => {
      assert.equal((await detect()).variant, "nft");
    });
    it("is the one that holds more rules", async () => {
      kernel.table("filter", "iptables-legacy").get("INPUT")!.push("-j DROP");
      assert.equal((await detect()).variant, "legacy");
      kernel.table("nat", "iptables-nft").get("OUTPUT")!.push("-j A", "-j B");
      assert.equal((await detect()).variant, "nft");
    });
    it("is the one installed", async () => {
      kernel.installed = { nft: false, legacy: true };
      assert.equal((await detect()).variant, "legacy");
    });
  });

  it("ends up with exactly what is wanted after any sequence of changes, interference and failures", async () => {
    const chain = fc.constantFrom("cali-a", "cali-b", "cali-c", "cali-d");
    const rules = fc.array(
      fc.oneof(
        fc.integer({ min: 0, max: 5 }).map(i => from(`10.0.0.${i}`)),
        fc.constant(drop),
      ),
      { maxLength: 4 },
    );
    const step = fc.oneof(
      fc.record({ do: fc.constant("set" as const), chain, rules }),
      fc.record({ do: fc.constant("hook" as const), chains: fc.uniqueArray(chain) }),
      fc.record({ do: fc.constant("append" as const), rules }),
      fc.record({ do: fc.constant("apply" as const) }),
      fc.record({ do: fc.constant("restart" as const) }),
      fc.record({ do: fc.constant("wipe" as const) }),
      fc.record({ do: fc.constant("foreign" as const) }),
      fc.record({ do: fc.constant("race" as const) }),
      fc.record({ do: fc.constant("fail" as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async steps => {
        kernel = new FakeKernel();
        let iptables = await start(kernel);
        const chains = new Map([...["a", "b", "c", "d"]].map(c => [`cali-${c}`, [drop]]));
        let hook: string[] = [];
        let appends = [accept];
        const define = () => {
          const filter = iptables.table("filter");
          for (const [name, list] of chains) filter.setChain(name, list);
          filter.setInsertions(
            "FORWARD",
            hook.map(c => rule().jump(c)),
          );
          filter.setAppends("FORWARD", appends);
        };
        define();
        for (const s of steps) {
          if (s.do === "set") chains.set(s.chain, s.rules);
          else if (s.do === "hook") hook = s.chains;
          else if (s.do === "append") appends = s.rules;
          else if (s.do === "restart") {
            kernel.failures.length = 0;
            iptables = await start(kernel);
          } else if (s.do === "wipe") kernel.edit("filter", "-F FORWARD");
          else if (s.do === "foreign") kernel.edit("filter", "-I FORWARD -j LOG");
          else if (s.do === "race")
            kernel.beforeRestore = () => {
              kernel.beforeRestore = undefined;
              kernel.edit("filter", "-I FORWARD -j LOG", "-A FORWARD -j LOG");
            };
          else if (s.do === "fail") kernel.failures.push({ code: 1, stderr: "no" });
          define();
          if (s.do === "apply") await iptables.apply();
        }
        kernel.failures.length = 0;
        kernel.beforeRestore = undefined;
        await iptables.check();
        await iptables.apply();
        assert.deepEqual(await iptables.check(), []);
        const forward = kernel.rules("filter", "FORWARD")!;
        const others = forward.filter(r => r === "-j LOG");
        assert.deepEqual(forward, [...hook.map(c => `-j ${c}`), ...others, ...appends.map(r => r.text)]);
        const ours = [...kernel.table("filter").keys()].filter(c => c.startsWith("cali-"));
        assert.deepEqual(ours.toSorted(), hook.toSorted());
        for (const name of hook)
          assert.deepEqual(
            kernel.rules("filter", name),
            chains.get(name)!.map(r => r.text),
          );
      }),
      { numRuns: 150 },
    );
  });
});
