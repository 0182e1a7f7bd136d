/** The nftables dataplane on a real kernel: what `nft` shows of it, and whose it is. Packets are in dataplane.test.ts. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fc from "fast-check";
import type { Update } from "../../../datastore/reflector.ts";
import { inNamespace } from "../../../linux/namespace.ts";
import { eventually } from "../../system/test-lab.ts";
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
import { FelixHost } from "./host.ts";

const OPEN = profile("open", { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] });
const A = workload("a", { address: ["10.65.0.1", "fd65::1"], profiles: ["open"] });
const B = workload("b", { address: ["10.65.0.2", "fd65::2"], profiles: ["open"] });

describe("felix on a real kernel, nftables: its table", function () {
  this.timeout(60_000);
  const scratch = new ScratchNamespaces();
  const hosts: FelixHost[] = [];
  afterEach(async () => {
    for (const host of hosts.splice(0)) await host.stop();
  });

  async function create(options: { ownTables?: boolean; namespace?: string } = {}): Promise<FelixHost> {
    const host = await FelixHost.create(options.namespace ?? scratch.create(), "nftables", options);
    hosts.push(host);
    return host;
  }
  const stop = async (host: FelixHost) => {
    hosts.splice(hosts.indexOf(host), 1);
    await host.stop();
  };

  it("takes every rule that a policy can become, reads it back as the same, and ends empty", async () => {
    const host = await create({ ownTables: false });
    await host.start(tier("default", 1_000_000));
    const empty = [shown(host.namespace), shown(host.namespace, "ip6")];
    let last: Update[] = [];
    for (const updates of fc.sample(resources, { numRuns: 12, seed: 7 })) {
      await host.apply(...last.map(gone), ...updates);
      last = updates;
      await host.filter.resync("rules");
      assert.equal(host.filter.pending, false, shown(host.namespace).join("\n"));
    }
    await host.apply(...last.map(gone));
    assert.deepEqual(host.problems, []);
    assert.deepEqual([shown(host.namespace), shown(host.namespace, "ip6")], empty);
  });

  it("is nobody else's to change while we live, and is taken over as it is by who comes next", async () => {
    const first = await create();
    const { namespace } = first;
    await first.start(OPEN, A, B);
    const before = shown(namespace);
    assert.match(before.join("\n"), /flags owner/);
    nft(namespace, "flush", "ruleset");
    assert.deepEqual(shown(namespace), before);
    assert.notEqual(nft(namespace, "delete", "table", "ip", "calico"), 0);
    await stop(first);
    const orphan = shown(namespace);
    assert.deepEqual(orphan.slice(2), before.slice(2), "what is in force stays");

    const second = await create({ namespace });
    await second.start(OPEN, A);
    const after = shown(namespace);
    assert.match(after.join("\n"), /flags owner/);
    assert.ok(!after.some(line => line.includes('"calib"')));
    await second.apply(B);
    assert.deepEqual(shown(namespace).toSorted(), before.toSorted());
  });

  it("loses nothing that was counted to who comes next, and no rule that stays", async () => {
    const first = await create();
    const { namespace } = first;
    await first.start(OPEN, A, B, globalPolicy("p", WEB));
    const handles = () => run(namespace, "nft", "-a", "list", "chain", "ip", "calico", "filter-FORWARD");
    const before = handles();
    await stop(first);
    const second = await create({ namespace });
    await second.start(OPEN, A, globalPolicy("p", WEB), globalPolicy("q", WEB));
    assert.equal(handles(), before);
    assert.equal((await second.filter.counters()).filter(({ kind }) => kind === "policy").length, 2);
  });

  it("takes over a table that others have made, whatever is in it", async () => {
    const namespace = scratch.create();
    for (const text of [
      "add table ip calico",
      "add map ip calico cali-to-wl-dispatch { type ifname : verdict; }",
      "add set ip calico cali40masq-ipam-pools { type inet_service; elements = { 80 }; }",
      "add chain ip calico cali-allow",
      "add chain ip calico theirs",
      "add rule ip calico cali-allow jump theirs",
      'add element ip calico cali-to-wl-dispatch { "calia" : goto cali-allow }',
      "add chain ip calico filter-FORWARD { type filter hook forward priority 5; }",
      "add rule ip calico filter-FORWARD oifname vmap @cali-to-wl-dispatch",
      "add rule ip calico filter-FORWARD tcp dport { 80, 81 } numgen inc mod 2 0 drop",
    ])
      assert.equal(nft(namespace, ...text.split(" ")), 0, text);
    const second = await create({ namespace });
    await second.start(OPEN, A, B);
    const other = await create();
    await other.start(OPEN, A, B);
    // Whose it was it stays: the kernel gives nobody a table that was made without an owner.
    const parts = (of: string) => shown(of).filter(line => !/^(table .*|\tflags owner.*|)$/.test(line));
    const wanted = parts(other.namespace);
    assert.deepEqual(parts(namespace), wanted);
    assert.equal(nft(namespace, "flush", "chain", "ip", "calico", "filter-cali-FORWARD"), 0);
    await second.repair();
    assert.deepEqual(parts(namespace), wanted);
  });

  it("makes a table anew that refuses to become what it should be", async () => {
    const namespace = scratch.create();
    const other = await create();
    await other.start(OPEN, A, B);
    assert.equal(nft(namespace, "add", "table", "ip", "calico"), 0);
    const tooSmall = "{ type ifname : verdict; size 1; }";
    assert.equal(nft(namespace, "add", "map", "ip", "calico", "cali-to-wl-dispatch", tooSmall), 0);
    const host = await create({ namespace });
    await assert.rejects(host.start(OPEN, A, B), /ENFILE/);
    await eventually(() => shown(namespace), shown(other.namespace));
  });

  it("comes back where others can change it", async () => {
    const host = await create({ ownTables: false });
    const { namespace } = host;
    await host.start(
      OPEN,
      A,
      B,
      globalPolicy("p", WEB),
      globalNetworkSet("n", ["192.0.2.0/24"], { app: "x" }),
    );
    const before = [shown(namespace), shown(namespace, "ip6")];
    const [set = ""] = /cali40s-\S+/.exec(before.join()) ?? [];
    const changes: (readonly string[])[] = [
      ["flush", "chain", "ip", "calico", "filter-cali-FORWARD"],
      ["insert", "rule", "ip", "calico", "filter-FORWARD", "accept"],
      ["delete", "element", "ip", "calico", "cali-to-wl-dispatch", '{ "calia" }'],
      ["add", "chain", "ip", "calico", "theirs"],
      ["flush", "set", "ip", "calico", set],
      ["delete", "table", "ip6", "calico"],
      ["flush", "ruleset"],
    ];
    for (const words of changes) {
      assert.equal(nft(namespace, ...words), 0, words.join(" "));
      assert.notDeepEqual([shown(namespace), shown(namespace, "ip6")], before, words.join(" "));
      await host.repair();
      assert.deepEqual([shown(namespace), shown(namespace, "ip6")], before, words.join(" "));
    }
  });

  it("keeps addresses in hash sets, and in interval sets while a CIDR is among them", async () => {
    const host = await create({ ownTables: false });
    const { namespace } = host;
    const remote = (i: number) =>
      workload(`r${i}`, { node: "there", address: `10.66.0.${i}`, labels: { app: "x" } });
    const net = (...nets: string[]) => globalNetworkSet("all", nets, { app: "x" });
    const set = () => /set cali40s-\S+ \{[^}]*?(\}\s*)?\}/.exec(shown(namespace).join("\n"))?.[0] ?? "";
    await host.start(OPEN, A, globalPolicy("p", WEB), remote(1), remote(2));
    assert.match(set(), /elements = \{ 10\.66\.0\.[12],\s+10\.66\.0\.[12] \}/);
    assert.doesNotMatch(set(), /interval/);
    await host.apply(net("10.66.0.0/30", "192.0.2.0/24"), remote(9));
    assert.match(
      set(),
      /flags interval\s+elements = \{ 10\.66\.0\.0\/30, 10\.66\.0\.9,\s+192\.0\.2\.0\/24 \}/,
    );
    await host.apply(net("0.0.0.0/0", "192.0.2.0/24"), gone(remote(9)));
    assert.match(set(), /elements = \{ 0\.0\.0\.0\/0 \}/);
    await host.apply(net("10.66.0.0/31"));
    assert.match(set(), /elements = \{ 10\.66\.0\.0\/31, 10\.66\.0\.2 \}/);
    await host.repair();
    await host.apply(gone(net()), gone(remote(2)));
    assert.doesNotMatch(set(), /interval/);
    assert.match(set(), /elements = \{ 10\.66\.0\.1 \}/);
    await host.filter.resync("sets");
    assert.equal(host.filter.pending, false);
  });

  it("leaves other tables alone", async () => {
    const namespace = scratch.create();
    for (const words of [
      ["add", "table", "ip", "theirs"],
      ["add", "chain", "ip", "theirs", "c", "{ type filter hook forward priority 0; policy drop; }"],
      ["add", "rule", "ip", "theirs", "c", "ip", "saddr", "192.0.2.1", "accept"],
      ["add", "table", "inet", "calico"],
    ])
      assert.equal(nft(namespace, ...words), 0);
    const theirs = () => [
      run(namespace, "nft", "list", "table", "ip", "theirs"),
      run(namespace, "nft", "list", "table", "inet", "calico"),
    ];
    const before = theirs();
    const host = await create({ namespace });
    await host.start(OPEN, A, pool("p", "10.65.0.0/16", true));
    await host.apply(B, gone(A));
    assert.deepEqual(theirs(), before);
  });

  it("says in comments which rule of which policy a rule came from", async () => {
    const host = await create();
    await host.start(OPEN, A, globalPolicy("web", WEB));
    const text = shown(host.namespace).join("\n");
    assert.match(text, /chain filter-cali-pi-gnp\/web \{/);
    assert.match(text, /tcp dport 80 counter.* goto cali-allow comment "Policy gnp\/web ingress 0"/);
  });

  it("counts what each rule of a policy has matched", async () => {
    const host = await create();
    await host.start(OPEN, A, globalPolicy("web", WEB));
    const [counter, ...others] = (await host.filter.counters()).filter(({ kind }) => kind === "policy");
    assert.deepEqual(counter, {
      kind: "policy",
      name: "gnp/web",
      direction: "ingress",
      rule: 0,
      packets: 0,
      bytes: 0,
    });
    assert.deepEqual(others, []);
  });
});

const WEB = {
  ingress: [
    { action: "Allow", protocol: "TCP", source: { selector: "app == 'x'" }, destination: { ports: [80] } },
  ],
};

/** What `nft` shows of our table: without what was counted, its parts in order, whichever copy of a map is in use. */
const shown = (namespace: string, family = "ip") => {
  const tables = run(namespace, "nft", "list", "tables", family);
  if (!tables.includes(`table ${family} calico`)) return [];
  const text = run(namespace, "nft", "list", "table", family, "calico")
    .replaceAll(/packets \d+ bytes \d+/g, "")
    .replaceAll(/(cali\S+)\/2\b/g, "$1");
  const [head = "", ...parts] = text.split(/\n(?=\t(?:map|set|chain) )/);
  return [head, ...parts.map(part => part.trim().replace(/\n}$/, "")).sort()].join("\n").split("\n");
};

/** The program's exit code. */
const nft = (namespace: string, ...words: readonly string[]): number | null =>
  inNamespace(namespace, () => spawnSync("nft", words, { stdio: "ignore" }).status);
