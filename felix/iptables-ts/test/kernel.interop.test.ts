/** The same promises as in the unit tests, kept by the real kernel: both variants, both IP versions. Needs root. */

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { detectBackend, type IpVersion, type Variant } from "../backend.ts";
import { IptablesError } from "../errors.ts";
import { IpSets } from "../ipset.ts";
import { createIpSetBackend } from "../ipset-backend.ts";
import { Iptables } from "../iptables.ts";
import { type Rule, rule } from "../rule.ts";
import { target } from "../target.ts";
import { createNetns, type Netns, whyNoNetns } from "./netns.ts";

for (const variant of ["nft", "legacy"] as const)
  for (const ipVersion of [4, 6] as const)
    describe(`iptables-${variant}, IPv${ipVersion}, in a namespace of its own`, function () {
      this.timeout(60_000);
      let netns: Netns;
      const base = `${ipVersion === 4 ? "iptables" : "ip6tables"}-${variant}`;
      const any = ipVersion === 4 ? "10.0.0.1" : "fd00::1";

      before(function () {
        const reason = whyNoNetns(`${base}-restore`, "ipset");
        if (!reason) return;
        this.test!.parent!.title += ` (skipped: ${reason})`;
        this.skip();
      });
      beforeEach(() => {
        netns = createNetns();
      });
      afterEach(() => netns.delete());

      const start = async (v: Variant | "auto" = variant) =>
        new Iptables({
          backend: await detectBackend({ ipVersion, variant: v, run: netns.run }),
          chainPrefix: "cali-",
          hashPrefix: "cali:",
        });
      const startSets = () =>
        new IpSets({
          backend: createIpSetBackend({ run: netns.run }),
          ipVersion,
          prefix: ipVersion === 4 ? "cali40" : "cali60",
          tempPrefix: ipVersion === 4 ? "cali4t" : "cali6t",
        });
      const saved = (table: string) =>
        netns
          .sh(`${base}-save -t ${table}`)
          .split("\n")
          .filter(l => l.startsWith("-A"));

      it("takes every match and target there is, and recognises them after a restart", async () => {
        const sets = startSets();
        const net = `${ipVersion === 4 ? "cali40" : "cali60"}net`;
        const port = `${ipVersion === 4 ? "cali40" : "cali60"}port`;
        sets.setMembers(net, { type: "hash:net" }, []);
        sets.setMembers(port, { type: "hash:ip,port" }, []);
        await sets.applyUpdates();
        const define = (iptables: Iptables) => {
          for (const [table, hook, rules] of everything(ipVersion, net, port, any)) {
            iptables.table(table).setChain(`cali-${hook}`, rules);
            iptables.table(table).setInsertions(hook, [rule().jump(`cali-${hook}`)]);
            iptables.table(table).setAppends(hook, rules);
          }
        };
        const first = await start();
        define(first);
        assert.equal((await first.apply()).attempts, 1);
        assert.deepEqual(await first.check(), []);

        const second = await start();
        define(second);
        assert.deepEqual((await second.apply()).written, []);

        // Rules in others' chains are deleted by value: each must be recognised as the program prints it.
        const third = await start();
        const { removed, attempts } = await third.apply();
        assert.equal(removed.length, everything(ipVersion, net, port, any).length);
        assert.equal(attempts, 1);
        for (const table of ["raw", "mangle", "nat", "filter"]) assert.deepEqual(saved(table), []);

        // The same by the words they were written with.
        define(third);
        await third.apply();
        for (const [table, hook] of everything(ipVersion, net, port, any)) {
          third.table(table).setInsertions(hook, []);
          third.table(table).setAppends(hook, []);
        }
        assert.equal((await third.apply()).attempts, 1);
        for (const table of ["raw", "mangle", "nat", "filter"]) assert.deepEqual(saved(table), []);
      });

      it("takes texts as they are", async () => {
        const iptables = await start();
        const text = `it's "50 %" \\ of $HOME; <b>ünïcödé</b> * \`x\``;
        iptables.table("filter").setInsertions("INPUT", [rule().comment(text).drop()]);
        assert.equal((await iptables.apply()).attempts, 1);
        assert.deepEqual(await iptables.check(), []);
        iptables.table("filter").setInsertions("INPUT", []);
        assert.equal((await iptables.apply()).attempts, 1);
        assert.deepEqual(saved("filter"), []);
      });

      it("changes nothing that is not ours, and comes back after a wipe", async () => {
        netns.sh(
          `${base} -N DOCKER; ${base} -A DOCKER -j RETURN; ${base} -A FORWARD -j DOCKER; ${base} -P FORWARD DROP`,
        );
        const iptables = await start();
        const filter = iptables.table("filter");
        filter.setChain("cali-FORWARD", [rule().inInterface("cali+").jump("cali-wl"), rule().accept()]);
        filter.setChain("cali-wl", [rule().source(any).drop()]);
        filter.setInsertions("FORWARD", [rule().jump("cali-FORWARD")]);
        filter.setAppends("FORWARD", [rule().markSet(0x10000).accept()]);
        await iptables.apply();
        const good = saved("filter");
        assert.match(good.find(l => l.startsWith("-A FORWARD"))!, /cali-FORWARD$/);
        assert.ok(good.includes("-A FORWARD -j DOCKER"));

        netns.sh(`${base} -F`);
        assert.equal((await iptables.check()).length, 3);
        await iptables.apply();
        assert.deepEqual(
          saved("filter"),
          good.filter(l => !l.endsWith("DOCKER") && !l.startsWith("-A DOCKER")),
        );

        netns.sh(`${base} -I FORWARD -j DOCKER; ${base} -A DOCKER -j RETURN`);
        await iptables.check();
        await iptables.apply();
        assert.deepEqual(saved("filter").toSorted(), good.toSorted());
        assert.match(netns.sh(`${base}-save -t filter`), /:FORWARD DROP/);

        await (await start()).apply();
        assert.deepEqual(saved("filter"), ["-A FORWARD -j DOCKER", "-A DOCKER -j RETURN"]);
      });

      it("finds a rule edited in place with its comment kept", async () => {
        const iptables = await start();
        iptables.table("filter").setInsertions("INPUT", [rule().source(any).drop()]);
        await iptables.apply();
        assert.deepEqual(await iptables.check(), []);
        const [good] = saved("filter");
        netns.sh(`${base} -R INPUT 1 ${good!.replace("-A INPUT", "").replace("DROP", "ACCEPT")}`);
        assert.deepEqual(await iptables.check(), ["filter/INPUT"]);
        await iptables.apply();
        assert.deepEqual(saved("filter"), [good]);
        assert.deepEqual(await iptables.check(), []);
      });

      it("counts what its rules match", async () => {
        const iptables = await start();
        const filter = iptables.table("filter");
        filter.setChain("cali-a", [rule().protocol("icmp"), rule().protocol("tcp"), rule().accept()]);
        filter.setInsertions("OUTPUT", [rule().jump("cali-a")]);
        await iptables.apply();
        const counted = async () =>
          (await iptables.counters())
            .get("filter")
            ?.get("cali-a")
            ?.map(({ packets }) => packets);
        assert.deepEqual(await counted(), [0, 0, 0]);
        netns.sh(`ip link set lo up; ping -c 1 ${ipVersion === 4 ? "127.0.0.1" : "::1"}`);
        const [icmp = 0, tcp, all = 0] = (await counted()) ?? [];
        assert.deepEqual([icmp > 0, tcp, all > 0], [ipVersion === 4, 0, true]);
      });

      it("survives somebody else's change between reading and writing", async () => {
        const iptables = await start();
        const filter = iptables.table("filter");
        filter.setInsertions("INPUT", [rule().drop()]);
        await iptables.apply();
        netns.sh(`${base} -F INPUT`);
        filter.setInsertions("INPUT", [rule().source(any).drop()]);
        assert.equal((await iptables.apply()).attempts, 2);
        assert.equal(saved("filter").length, 1);
      });

      it("keeps no lock and no picture of the tables between two commits", async () => {
        const iptables = await start();
        const filter = iptables.table("filter");
        filter.setInsertions("INPUT", [rule().drop()]);
        await iptables.apply();
        // The restore program is still there. Others must get the lock, and it must see what they did.
        netns.sh(`${base} -w 1 -N cali-a; ${base} -w 1 -A cali-a -j ACCEPT; ${base} -w 1 -N THEIRS`);
        filter.setChain("cali-a", [rule().source(any).raw("-j", "THEIRS")]);
        filter.setInsertions("INPUT", [rule().jump("cali-a")]);
        assert.equal((await iptables.apply()).attempts, 1);
        assert.equal(saved("filter").filter(l => l.startsWith("-A cali-a")).length, 1);
        netns.sh(`${base} -F INPUT; ${base} -F cali-a; ${base} -X cali-a`);
        filter.setChain("cali-a", [rule().source(any).drop()]);
        await iptables.apply();
        await iptables.check();
        await iptables.apply();
        assert.equal(saved("filter").length, 2);
        await iptables.close();
      });

      it("leaves a chain empty when somebody else's rule leads to it", async () => {
        const iptables = await start();
        const filter = iptables.table("filter");
        filter.setChain("cali-a", [rule().drop()]);
        filter.setInsertions("INPUT", [rule().jump("cali-a")]);
        await iptables.apply();
        netns.sh(`${base} -A OUTPUT -j cali-a`);
        filter.setInsertions("INPUT", []);
        await iptables.apply();
        assert.deepEqual(saved("filter"), ["-A OUTPUT -j cali-a"]);
      });

      it("names the line the kernel refuses, and applies nothing of that table", async () => {
        const iptables = await start();
        const filter = iptables.table("filter");
        filter.setChain("cali-a", [rule().source(any).accept(), rule().raw("-m", "nonsense").drop()]);
        filter.setInsertions("INPUT", [rule().jump("cali-a")]);
        await assert.rejects(iptables.apply(), (e: unknown) => {
          assert.ok(e instanceof IptablesError);
          assert.equal(e.code, "rejected");
          assert.match(e.text!, /nonsense/);
          return true;
        });
        assert.deepEqual(saved("filter"), []);
        filter.setChain("cali-a", [rule().drop()]);
        await iptables.apply();
        assert.equal(saved("filter").length, 2);
      });

      it("is found by detection once it holds the rules", async () => {
        netns.sh(`${base} -A INPUT -j ACCEPT`);
        assert.equal((await start("auto")).backend.variant, variant);
      });

      it("commits one chain among 2,000 at the cost of one", async () => {
        const iptables = await start();
        const filter = iptables.table("filter");
        const chain = (i: number, n: number) =>
          Array.from({ length: 10 }, (_, j) =>
            rule()
              .mark(i * 100 + j + n)
              .return(),
          );
        for (let i = 0; i < 2000; i++) filter.setChain(`cali-pi-${i}`, chain(i, 0));
        filter.setChain(
          "cali-FORWARD",
          Array.from({ length: 2000 }, (_, i) => rule().mark(i).jump(`cali-pi-${i}`)),
        );
        filter.setInsertions("FORWARD", [rule().jump("cali-FORWARD")]);
        const time = async (work: () => Promise<unknown>) => {
          const begin = performance.now();
          await work();
          return performance.now() - begin;
        };
        const load = await time(() => iptables.apply());
        const times: number[] = [];
        for (let n = 1; n <= 9; n++) {
          filter.setChain("cali-pi-1000", chain(1000, n));
          times.push(await time(() => iptables.apply()));
          // Back to back, iptables-nft waits for the kernel to dispose of the rules before.
          await new Promise(resolve => setTimeout(resolve, 30));
        }
        const check = await time(async () => assert.deepEqual(await iptables.check(), []));
        const median = times.toSorted((a, b) => a - b)[4]!;
        this.tests.at(-1)!.title +=
          ` (load ${load.toFixed(0)} ms, one chain ${median.toFixed(1)} ms, check ${check.toFixed(0)} ms)`;
        assert.ok(median < load, "a change costs less than everything");
      });
    });

for (const ipVersion of [4, 6] as const)
  describe(`ipset, IPv${ipVersion}, in a namespace of its own`, function () {
    this.timeout(60_000);
    let netns: Netns;
    const prefix = ipVersion === 4 ? "cali40" : "cali60";
    const tempPrefix = ipVersion === 4 ? "cali4t" : "cali6t";
    const name = (id: string) => prefix + id;

    before(function () {
      const reason = whyNoNetns("ipset", "iptables-nft");
      if (!reason) return;
      this.test!.parent!.title += ` (skipped: ${reason})`;
      this.skip();
    });
    beforeEach(() => {
      netns = createNetns();
    });
    afterEach(() => netns.delete());
    const start = () =>
      new IpSets({ backend: createIpSetBackend({ run: netns.run }), ipVersion, prefix, tempPrefix });

    const members: Record<string, string[]> =
      ipVersion === 4
        ? {
            "hash:net": ["0.0.0.0/0", "10.1.2.3/8", "192.0.2.1/32", "192.0.2.5/31", "10.0.0.1"],
            "hash:ip": ["10.0.0.1", "10.0.0.2/32"],
            "hash:ip,port": ["10.0.0.1,tcp:80", "10.0.0.1,17:53", "10.0.0.1,sctp:9", "10.0.0.1,136:5"],
            "hash:net,net": ["10.0.0.0/8,192.168.1.0/24", "1.2.3.4/32,0.0.0.0/0"],
            "hash:net,port": ["10.0.0.0/8,tcp:80", "0.0.0.0/0,udp:53"],
          }
        : {
            "hash:net": [
              "::/0",
              "FD00:1::1/32",
              "2001:DB8::1/128",
              "::ffff:1.2.3.4",
              "::5.6.7.8",
              "1:0:0:2:0:0:0:3",
              "fd00:0:0:0:1::/77",
              "1::2:0:0:3:4:5",
              "0:0:1::",
              "::2",
            ],
            "hash:ip": ["FE80:0::1", "1:2:3:4:5:6:7:8"],
            "hash:ip,port": ["FD00::1,tcp:80", "fd00::1,17:53"],
            "hash:net,net": ["FD00::/8,2001:db8::/32", "fd00::1,::/0"],
            "hash:net,port": ["fd00::/8,tcp:80", "::/0,udp:53"],
          };

    it("reads back every member as it wrote it: a restart changes nothing", async () => {
      // Not every kernel is built with every type.
      const supported = Object.entries(members).filter(([type]) => {
        try {
          netns.sh(`ipset create probe ${type} && ipset destroy probe`);
          return true;
        } catch {
          return false;
        }
      });
      assert.ok(supported.length >= 3);
      const define = (sets: IpSets) => {
        for (const [i, [type, list]] of supported.entries())
          sets.setMembers(name(`${i}`), { type: type as "hash:net", maxElements: 1000 }, list);
      };
      const first = start();
      define(first);
      await first.applyUpdates();
      const second = start();
      define(second);
      assert.deepEqual(await second.check(), []);
    });

    it("repairs by difference, changes parameters in place, and sweeps what is left over", async () => {
      netns.sh("ipset restore", "create theirs hash:ip\nadd theirs 1.1.1.1\n");
      const list = members["hash:net"]!;
      const before = start();
      before.setMembers(name("a"), { type: "hash:net" }, list);
      before.setMembers(name("old"), { type: "hash:net" }, list);
      await before.applyUpdates();
      netns.sh(`ipset create ${tempPrefix}5 hash:ip`);

      const sets = start();
      sets.setMembers(name("a"), { type: "hash:net" }, list);
      assert.deepEqual(await sets.check(), []);
      netns.sh(`ipset flush ${name("a")}`);
      assert.deepEqual(await sets.check(), [name("a")]);
      await sets.applyUpdates();
      assert.deepEqual(await sets.check(), []);

      const rule = `-A INPUT -m set --match-set ${name("a")} src -j DROP`;
      netns.sh(`${ipVersion === 4 ? "iptables" : "ip6tables"}-nft ${rule}`);
      sets.setMembers(name("a"), { type: "hash:net", maxElements: 5000 }, list);
      await sets.applyUpdates();
      assert.match(netns.sh(`ipset list -t ${name("a")}`), /maxelem 5000/);
      sets.removeSet(name("a"));
      assert.deepEqual(await sets.applyDeletions(), { destroyed: [name("old")], busy: [name("a")] });
      assert.deepEqual(netns.sh("ipset list -n").trim().split("\n").toSorted(), [name("a"), "theirs"]);
    });

    it("makes a set of another type anew, once no rule uses it", async () => {
      const one = ipVersion === 4 ? "10.0.0.1" : "fd00::1";
      netns.sh(`ipset create ${name("a")} hash:ip,port family ${ipVersion === 4 ? "inet" : "inet6"}`);
      const sets = start();
      sets.setMembers(name("a"), { type: "hash:net" }, [one]);
      await sets.applyUpdates();
      assert.match(netns.sh(`ipset save ${name("a")}`), /^create \S+ hash:net .*\nadd/);
      const program = ipVersion === 4 ? "iptables-nft" : "ip6tables-nft";
      netns.sh(`${program} -A INPUT -m set --match-set ${name("a")} src`);
      sets.setMembers(name("a"), { type: "hash:ip" }, [one]);
      sets.setMembers(name("b"), { type: "hash:ip" }, [one]);
      await assert.rejects(sets.applyUpdates(), { code: "in-use", text: `destroy ${name("a")}` });
      assert.match(netns.sh(`ipset save ${name("b")}`), /\nadd/, "held up by the other");
      netns.sh(`${program} -F; ${program} -X`);
      // nf_tables lets go of it a little later.
      while (!(await sets.applyUpdates().catch(() => undefined))) await sleep(10);
      assert.match(netns.sh(`ipset save ${name("a")}`), /^create \S+ hash:ip .*\nadd/);
    });

    it("keeps one set that is too full from holding up the others", async () => {
      const sets = start();
      const many = Array.from({ length: 3000 }, (_, i) =>
        ipVersion === 4 ? `10.0.${i >> 8}.${i & 255}` : `fd00::${i.toString(16)}`,
      );
      sets.setMembers(name("full"), { type: "hash:ip", maxElements: 4 }, many);
      sets.setMembers(name("fine"), { type: "hash:ip" }, many);
      await assert.rejects(sets.applyUpdates(), /full/);
      assert.match(netns.sh(`ipset list -t ${name("fine")}`), /Number of entries: 3000/);
    });
  });

/** Every match and target, in tables and hooks that allow them. */
function everything(
  ipVersion: IpVersion,
  net: string,
  port: string,
  any: string,
): ["raw" | "mangle" | "nat" | "filter", string, Rule[]][] {
  const icmp =
    ipVersion === 4
      ? [rule().protocol("icmp").icmp(8), rule().protocol("icmp").not.icmp(3, 1)]
      : [rule().protocol("icmpv6").icmpv6(128), rule().protocol("icmpv6").not.icmpv6(1, 4)];
  const matches: Rule[] = [
    rule(),
    rule().inInterface("cali+"),
    rule().not.inInterface("cali+"),
    rule().protocol("tcp"),
    rule().not.protocol("udp"),
    rule().protocol(4),
    rule().source(any).not.destination(any),
    rule()
      .protocol("tcp")
      .sourcePorts([1, [2, 9]])
      .not.destinationPorts([80, [8000, 8080]]),
    rule().protocol("sctp").destinationPorts([5]),
    rule().sourceSet(net).not.destinationSet(net),
    rule().protocol("tcp").matchSet(port, "dst,dst"),
    rule().mark(0x10000, 0x30000),
    rule().not.mark(0x10000),
    rule().markSet(0x80000000).markClear(0x20000),
    rule().connmark(1, 1),
    rule().conntrackState("RELATED", "ESTABLISHED"),
    rule().conntrackState("INVALID"),
    rule().not.conntrackState("DNAT"),
    rule().conntrackTuple("ctorigdst", any),
    rule().protocol("tcp").conntrackTuple("ctorigdstport", 80),
    rule().sourceType("LOCAL").not.destinationType("LOCAL"),
    rule().limit({ count: 10, per: "second", burst: 5 }),
    rule().not.hashLimit({ name: "pkt", count: 100, per: "second", burst: 7, by: ["srcip"] }),
    rule().connLimitAbove(10, ipVersion === 4 ? 32 : 128),
    rule().protocol("tcp").tcpSyn(),
    rule().protocol("tcp").not.tcpSyn(),
    rule().comment('said "no"').comment("twice"),
    ...icmp,
  ];
  return [
    [
      "filter",
      "INPUT",
      [
        ...matches.map(m => m.drop()),
        rule().accept(),
        rule().return(),
        rule().reject(),
        rule().protocol("tcp").reject("tcp-reset"),
        rule().log({ prefix: "calico: ", level: "notice" }),
        rule().setMark(0x10000),
        rule().setMark(0x10000, 0x30000),
        rule().clearMark(0xe0000),
        rule().nflog({ group: 1, prefix: "DPI|x y", size: 80 }),
        rule().saveConnmark(0xff),
        rule().restoreConnmark(),
        rule().setConnmark(1),
      ],
    ],
    [
      "raw",
      "PREROUTING",
      [
        rule().not.reversePath({ validMark: true }).drop(),
        rule().reversePath({ loose: true, acceptLocal: true }).accept(),
        rule().notrack(),
        rule().to(target("TRACE")),
      ],
    ],
    [
      "mangle",
      "POSTROUTING",
      [rule().outInterface("eth0").setDscp(10), rule().not.outInterface("eth0").return()],
    ],
    [
      "nat",
      "POSTROUTING",
      [
        rule().outInterface("tunl0").not.sourceType("LOCAL", "out").sourceType("LOCAL").masquerade(),
        rule().masquerade({ randomFully: true }),
        rule()
          .protocol("tcp")
          .masquerade({ toPorts: [1024, 65535] }),
        rule().snat(any, { randomFully: true }),
        rule().protocol("udp").snat(any, { toPorts: 99 }),
      ],
    ],
    ["nat", "OUTPUT", [rule().dnat(any), rule().protocol("tcp").dnat(any, 80)]],
  ];
}
