/** Felix without a datastore on a real kernel: packets between workloads, and everybody else's rules left alone. */

import assert from "node:assert/strict";
import fc from "fast-check";
import type { Update } from "../../../datastore/reflector.ts";
import { removeIptables } from "../../../felix/dataplane/iptables/remove.ts";
import { createRunner, type Variant } from "../../../felix/iptables-ts/index.ts";
import {
  globalNetworkSet,
  globalPolicy,
  gone,
  pool,
  profile,
  tier,
  workload,
} from "../../unit/felix/calc/resources.ts";
import { resources } from "../../unit/felix/dataplane/iptables/arbitrary.ts";
import { run, ScratchNamespaces } from "../linux/scratch-namespace.ts";
import { DATAPLANES, FelixHost, Pod } from "./host.ts";

const network = (name: string) =>
  profile(name, {
    labelsToApply: { [name]: "" },
    ingress: [{ action: "Allow", source: { selector: `has(${name})` } }],
    egress: [{ action: "Allow" }],
  });
const NETWORKS = [network("net1"), network("net2")];
const pod = (name: string, address: string | readonly string[], profiles: readonly string[], labels = {}) =>
  workload(name, { address, profiles, labels });
const A = pod("a", ["10.65.0.1", "fd65::1"], ["net1"]);
const B = pod("b", ["10.65.0.2", "fd65::2"], ["net1"], { app: "server" });
const C = pod("c", ["10.65.0.3", "fd65::3"], ["net2"]);

for (const dataplane of DATAPLANES) {
  /** Undefined: nftables, whose own ways nftables.test.ts looks at. */
  const variant: Variant | undefined = dataplane === "nftables" ? undefined : dataplane;
  const title = variant === undefined ? dataplane : `iptables-${variant}`;
  describe(`felix on a real kernel, ${title}`, function () {
    this.timeout(60_000);
    const scratch = new ScratchNamespaces();
    const hosts: FelixHost[] = [];
    afterEach(async () => {
      for (const host of hosts.splice(0)) await host.stop();
    });
    after(async () => {
      for (const host of hosts.splice(0)) await host.stop();
    });

    async function create(namespace = scratch.create()): Promise<FelixHost> {
      const host = await FelixHost.create(namespace, dataplane);
      hosts.push(host);
      return host;
    }
    const save = (namespace: string, program = "iptables") =>
      run(namespace, `${program}-${variant}-save`)
        .split("\n")
        .filter(line => !line.startsWith("#"))
        .map(line => line.replace(/\[\d+:\d+\]$/, ""));
    const stop = async (host: FelixHost) => {
      hosts.splice(hosts.indexOf(host), 1);
      await host.stop();
    };

    describe("workloads of two networks", () => {
      let host: FelixHost;
      let pods: Record<"a" | "b" | "c", Pod>;
      beforeEach(async () => {
        host = await create();
        pods = {
          a: new Pod(scratch, host.namespace, "a", ["10.65.0.1", "fd65::1"]),
          b: new Pod(scratch, host.namespace, "b", ["10.65.0.2", "fd65::2"]),
          c: new Pod(scratch, host.namespace, "c", ["10.65.0.3", "fd65::3"]),
        };
        await host.start(...NETWORKS, A, B, C);
      });

      it("talk within theirs, and not across, in both IP versions", async () => {
        const { a, b, c } = pods;
        assert.equal(await a.pings("10.65.0.2"), true);
        assert.equal(await b.pings("fd65::1"), true);
        assert.equal(await c.pings("10.65.0.1"), false);
        assert.equal(await a.pings("fd65::3"), false);
        assert.deepEqual(
          [...host.ready].sort(),
          ["a", "b", "c"].map(name => `default.here-k8s-${name}-eth0`),
        );
      });

      it("reach the one port that a policy opens", async () => {
        await host.apply(
          globalPolicy("server", {
            selector: "app == 'server'",
            ingress: [{ action: "Allow", protocol: "TCP", destination: { ports: [5432] } }],
          }),
        );
        assert.equal(await pods.c.reaches("10.65.0.2", 5432), true);
        assert.equal(await pods.c.reaches("10.65.0.2", 5433), false);
        assert.equal(await pods.a.pings("10.65.0.2"), false);
        assert.equal(await pods.c.reaches("fd65::2", 5432), true);
      });

      it("cannot use another's address", async () => {
        run(pods.c.namespace, "ip", "addr", "add", "10.65.0.9/32", "dev", "lo");
        run(
          pods.c.namespace,
          "ip",
          "route",
          "replace",
          "default",
          "via",
          "169.254.1.1",
          "dev",
          "eth0",
          "src",
          "10.65.0.9",
        );
        const open = profile("net1", { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] });
        await host.apply(open, profile("net2", { egress: [{ action: "Allow" }] }));
        assert.equal(await pods.c.pings("10.65.0.1"), false);
        run(
          pods.c.namespace,
          "ip",
          "route",
          "replace",
          "default",
          "via",
          "169.254.1.1",
          "dev",
          "eth0",
          "src",
          "10.65.0.3",
        );
        assert.equal(await pods.c.pings("10.65.0.1"), true);
      });

      it("are nowhere while nobody knows them", async () => {
        await host.apply(gone(B));
        assert.equal(await pods.a.pings("10.65.0.2"), false);
        run(host.namespace, "ip", "route", "add", "10.65.0.2", "dev", "calib");
        assert.equal(await pods.b.pings("10.65.0.1"), false);
        await host.apply(B);
        assert.equal(await pods.a.pings("10.65.0.2"), true);
      });

      it("follow their veth down, up and away", async () => {
        run(host.namespace, "ip", "link", "set", "calib", "down");
        run(host.namespace, "ip", "link", "set", "calib", "up");
        await until(() => run(host.namespace, "ip", "route").includes("10.65.0.2 dev calib"));
        assert.equal(await pods.a.pings("10.65.0.2"), true);
        run(host.namespace, "ip", "link", "del", "calib");
        await until(() => !run(host.namespace, "ip", "route").includes("10.65.0.2"));
      });

      if (variant !== undefined) {
        it("get back what somebody took: routes at once, rules and sets with the next look", async () => {
          const { namespace } = host;
          const before = [save(namespace), sets(namespace)];
          run(namespace, "ip", "route", "del", "10.65.0.1");
          await until(() => run(namespace, "ip", "route").includes("10.65.0.1 dev calia"));
          const [judges = ""] =
            /cali-gi-\S+/.exec(save(namespace).find(line => line.includes("-o calia ")) ?? "") ?? [];
          run(namespace, `iptables-${variant}`, "-F", judges);
          run(namespace, `iptables-${variant}`, "-D", "FORWARD", "1");
          run(namespace, `iptables-${variant}`, "-I", "cali-FORWARD", "-j", "ACCEPT");
          for (const set of sets(namespace).filter(line => line.startsWith("create cali40s:")))
            run(namespace, "ipset", "flush", set.split(" ")[1]!);
          assert.equal(await pods.c.pings("10.65.0.1"), true, "whoever deletes our hook opens the host");
          await host.repair();
          assert.deepEqual([save(namespace), sets(namespace)], before);
          assert.equal(await pods.c.pings("10.65.0.1"), false);
          assert.equal(await pods.b.pings("10.65.0.1"), true);
        });
      }
    });

    if (variant === undefined) return;

    it("keeps sets by differences", async () => {
      const host = await create();
      const remote = (i: number) =>
        workload(`r${i}`, { node: "there", address: `10.66.0.${i}`, labels: { app: "x" } });
      const policy = globalPolicy("p", {
        ingress: [
          { action: "Allow", source: { selector: "app == 'x'" } },
          { action: "Allow", protocol: "UDP", destination: { ports: ["dns"], selector: "app == 'x'" } },
        ],
      });
      const all = globalNetworkSet("all", ["0.0.0.0/0", "192.0.2.0/24"], { app: "x" });
      const first = remote(1);
      await host.start(workload("a"), policy, first, all);
      const members = () =>
        sets(host.namespace)
          .filter(line => line.startsWith("add cali40s:"))
          .map(line => line.split(" ")[2]);
      assert.deepEqual(members(), ["0.0.0.0/1", "10.66.0.1", "128.0.0.0/1", "192.0.2.0/24"]);
      host.restores.length = 0;
      const named = workload("r2", {
        node: "there",
        address: "10.66.0.2",
        labels: { app: "x" },
        ports: [{ name: "dns", protocol: "UDP", port: 53 }],
      });
      await host.apply(named, gone(first));
      assert.deepEqual(members(), ["0.0.0.0/1", "10.66.0.2", "128.0.0.0/1", "192.0.2.0/24"]);
      assert.ok(sets(host.namespace).some(line => /^add cali40n:\S+ 10\.66\.0\.2,udp:53$/.test(line)));
      assert.deepEqual(host.restores, []);
    });

    it("takes over a set that an agent before it had with another type, and used", async () => {
      const host = await create();
      const { namespace } = host;
      const set = "cali40masq-ipam-pools";
      run(namespace, "ipset", "create", set, "hash:ip");
      const iptables = (...words: string[]) => run(namespace, `iptables-${variant}`, "-t", "nat", ...words);
      iptables("-N", "cali-nat-outgoing");
      iptables("-A", "cali-nat-outgoing", "-m", "set", "--match-set", set, "src", "-j", "RETURN");
      iptables("-A", "POSTROUTING", "-j", "cali-nat-outgoing");
      await host.start(A, ...NETWORKS, pool("p", "10.65.0.0/16", true)).catch(() => {});
      await until(() => !host.filter.pending);
      assert.ok(sets(namespace).some(line => line.startsWith(`create ${set} hash:net`)));
      assert.ok(sets(namespace).includes(`add ${set} 10.65.0.0/16`));
      assert.ok(save(namespace).some(line => line.includes(`${set} src`) && line.endsWith("--random-fully")));
      assert.deepEqual(await host.repair().then(() => host.filter.pending), false);
    });

    it("leaves rules, chains and sets of others alone", async () => {
      const namespace = scratch.create();
      const theirs = (...words: string[]) => run(namespace, `iptables-${variant}`, ...words);
      theirs("-N", "DOCKER");
      theirs("-A", "DOCKER", "-j", "RETURN");
      theirs("-A", "FORWARD", "-j", "DOCKER");
      theirs("-A", "FORWARD", "-m", "comment", "--comment", "mine", "-j", "ACCEPT");
      theirs("-t", "nat", "-A", "POSTROUTING", "-s", "172.17.0.0/16", "-j", "MASQUERADE");
      run(namespace, "ipset", "create", "theirs", "hash:ip");
      const others = () => save(namespace).filter(line => line.startsWith("-A") && !line.includes("cali"));
      const before = others();
      const host = await create(namespace);
      await host.start(A, ...NETWORKS, pool("p", "10.65.0.0/16", true));
      await host.apply(B, gone(A));
      assert.deepEqual(others(), before);
      const forward = save(namespace).filter(line => line.startsWith("-A FORWARD"));
      assert.match(forward[0]!, /-j cali-FORWARD/);
      assert.match(forward.at(-1)!, /-j MARK/);
      const nat = save(namespace).filter(line => line.startsWith("-A POSTROUTING"));
      assert.match(nat.at(-1)!, /-j cali-POSTROUTING/);
      assert.ok(sets(namespace).some(line => line.startsWith("create theirs")));
    });

    it("can be removed whole, and only it", async () => {
      const namespace = scratch.create();
      run(namespace, `iptables-${variant}`, "-A", "FORWARD", "-j", "ACCEPT");
      run(namespace, "ipset", "create", "theirs", "hash:ip");
      const host = await create(namespace);
      await host.start(A, ...NETWORKS, pool("p", "10.65.0.0/16", true));
      await stop(host);
      const all = () => [...save(namespace), ...save(namespace, "ip6tables"), ...sets(namespace)];
      assert.ok(all().filter(line => line.includes("cali")).length > 40);
      const removed = await removeIptables({
        run: createRunner({ prefix: ["ip", "netns", "exec", namespace] }),
      });
      assert.ok(removed.includes(`ip6tables-${variant}/raw/cali-PREROUTING`));
      assert.deepEqual(
        all().filter(line => line.includes("cali")),
        [],
      );
      assert.deepEqual(
        all().filter(line => line.startsWith("-A")),
        ["-A FORWARD -j ACCEPT"],
      );
      assert.ok(sets(namespace).some(line => line.startsWith("create theirs")));
    });

    it("changes nothing when it starts again, and sweeps what is left of before", async () => {
      const state = [...NETWORKS, A, B, pool("p", "10.65.0.0/16", true)];
      const first = await create();
      const { namespace } = first;
      for (const name of ["calia", "calib", "calid"]) {
        run(namespace, "ip", "link", "add", name, "type", "veth", "peer", "name", `${name}p`);
        run(namespace, "ip", "link", "set", name, "up");
      }
      const extra = pod("d", "10.65.0.4", ["net2"]);
      await first.start(...state, extra);
      await stop(first);
      const with4 = [save(namespace), save(namespace, "ip6tables"), sets(namespace)];
      assert.match(run(namespace, "ip", "route"), /10\.65\.0\.4 dev calid/);

      const same = await create(namespace);
      await same.start(...state, extra);
      assert.deepEqual(same.restores, []);
      assert.deepEqual([save(namespace), save(namespace, "ip6tables"), sets(namespace)], with4);
      await stop(same);

      const less = await create(namespace);
      await less.start(...state);
      // nf_tables lets go of sets a moment after the rules.
      await until(() => !less.filter.pending);
      assert.ok(!save(namespace).join().includes("calid"));
      const routes = run(namespace, "ip", "route");
      assert.ok(!routes.includes("10.65.0.4"));
      assert.match(routes, /10\.65\.0\.1 dev calia/);
      assert.equal(sets(namespace).filter(line => line.startsWith("create cali40s:")).length, 1);
    });

    it("takes every rule that a policy can become, and reads it back as the same", async () => {
      const host = await create();
      await host.start(tier("default", 1_000_000));
      let last: Update[] = [];
      for (const updates of fc.sample(resources, { numRuns: 12, seed: 7 })) {
        await host.apply(...last.map(gone), ...updates);
        last = updates;
        // nf_tables lets go of a set some time after the rules that used it.
        await until(() => !host.filter.pending);
        host.restores.length = 0;
        await host.repair();
        assert.deepEqual(host.restores, []);
      }
      await host.apply(...last.map(gone));
      await until(() => !host.filter.pending);
      assert.deepEqual(host.problems, []);
      assert.ok(!save(host.namespace).some(line => line.startsWith(":cali-pi-")));
      assert.ok(!sets(host.namespace).some(line => /^create cali[46]0[sn]:/.test(line)));
    });
  });
}

const sets = (namespace: string) =>
  run(namespace, "ipset", "save")
    .split("\n")
    .map(line => line.replace(/ (hashsize|bucketsize|initval) \S+/g, ""))
    .sort();

async function until(holds: () => boolean): Promise<void> {
  const end = Date.now() + 5_000;
  while (!holds()) {
    if (Date.now() > end) throw new Error("it never came to that");
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}
