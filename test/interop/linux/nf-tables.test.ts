import assert from "node:assert/strict";
import { isNetlinkError } from "../../../linux/errors.ts";
import { Batch } from "../../../linux/nf-tables/batch.ts";
import { addressData, firstAddress, interfaceData, lastAddress } from "../../../linux/nf-tables/data.ts";
import { counter, lookup, meta, payload, verdict, verdictMap } from "../../../linux/nf-tables/expression.ts";
import { RulesetGeneration } from "../../../linux/nf-tables/generation.ts";
import type { ElementEntry, NftSet } from "../../../linux/nf-tables/model.ts";
import { NfTables, OWNED } from "../../../linux/nf-tables/nf-tables.ts";
import { TransactionError } from "../../../linux/nf-tables/transaction-error.ts";
import { cidr } from "../../../net/cidr.ts";
import { ip } from "../../../net/ip.ts";
import { keptGoldens, nft, nftVersion, recordGoldens } from "../../unit/linux/nf-tables/goldens.ts";
import { OBJECTS, PREPARATION, RULES } from "../../unit/linux/nf-tables/nft-cases.ts";
import { run, ScratchNamespaces } from "./scratch-namespace.ts";

const TABLE = { family: "ip", name: "x" } as const;
const byKey = (elements: readonly ElementEntry[]) => elements.toSorted((a, b) => (a.key < b.key ? -1 : 1));

describe("linux/nf-tables/generation", () => {
  const namespaces = new ScratchNamespaces();

  it("counts commits, also those of iptables", () => {
    const namespace = namespaces.create();
    using generation = RulesetGeneration.open({ namespace });
    const before = generation.read();
    assert.equal(generation.read(), before);
    run(namespace, "nft", "add", "table", "ip", "x");
    const after = generation.read();
    assert.notEqual(after, before);
    run(namespace, "iptables-nft", "-A", "FORWARD", "-j", "ACCEPT");
    assert.notEqual(generation.read(), after);
  });
});

describe("linux/nf-tables", () => {
  const namespaces = new ScratchNamespaces();

  it("is compared with the messages that the installed nft sends", function () {
    const kept = keptGoldens();
    if (kept.version !== nftVersion()) this.skip(); // Each writes its own.
    assert.deepEqual(recordGoldens(namespaces.create()), kept);
  });

  it("reads back from the kernel what it has written", () => {
    const namespace = namespaces.create();
    nft(namespace, PREPARATION);
    using tables = NfTables.open({ namespace });
    for (const { nft: command, family, chain, expressions, comment } of RULES) {
      const table = { family, name: "t" } as const;
      const rule = { expressions, ...(comment !== undefined && { comment }) };
      const batch = new Batch();
      batch.flushChain(table, chain);
      batch.addRule(table, chain, rule);
      tables.commit(batch);
      const [read] = tables.rules(table, chain).map(({ handle: _, chain: __, ...rest }) => rest);
      assert.deepEqual(read, rule, command);
    }
  });

  it("writes rules and sets that nft lists as its own", () => {
    const [theirs, ours] = [namespaces.create(), namespaces.create()];
    using tables = NfTables.open({ namespace: ours });
    for (const { nft: command, build } of OBJECTS) {
      for (const namespace of [theirs, ours]) nft(namespace, `flush ruleset\n${PREPARATION}`);
      nft(theirs, `${command}\n`);
      const batch = new Batch();
      build(batch);
      tables.commit(batch);
      const list = (namespace: string) => run(namespace, "nft", "list", "ruleset");
      assert.equal(list(ours), list(theirs), command);
    }
  });

  it("reads sets and their elements", () => {
    using tables = NfTables.open({ namespace: namespaces.create() });
    const range = (block: string) => ({
      key: firstAddress(cidr(block)),
      keyEnd: lastAddress(cidr(block)),
    });
    const contents: readonly (readonly [NftSet, readonly ElementEntry[]])[] = [
      [
        { name: "nets", key: ["ipv4_addr"], interval: true },
        // Side by side, single, and up to the last address there is.
        [range("10.0.0.0/24"), range("10.0.1.0/24"), { key: "0a000200" }, range("240.0.0.0/4")],
      ],
      [{ name: "six", key: ["ipv6_addr"], interval: true }, [range("::/0")]],
      [
        { name: "pairs", key: ["ipv4_addr", "inet_service"], interval: true },
        [{ key: "0a00000000500000", keyEnd: "0a0000ff005a0000" }],
      ],
      [
        { name: "counted", key: ["ipv4_addr"], counters: true, size: 10 },
        [{ key: "0a000001", packets: 0n, bytes: 0n }],
      ],
      [
        { name: "dispatch", key: ["ifname"], data: "verdict" },
        [
          { key: interfaceData("cali1"), verdict: { jump: "c" } },
          { key: interfaceData("cali2"), verdict: "accept" },
        ],
      ],
      [{ name: "marks", key: ["ipv4_addr"], data: "mark" }, [{ key: "0a000001", data: "00000100" }]],
    ];
    const batch = new Batch();
    batch.addTable({ ...TABLE, flags: 0 });
    batch.addChain(TABLE, { name: "c" });
    for (const [set, elements] of contents) {
      batch.addSet(TABLE, set);
      batch.addElements(TABLE, set, elements);
    }
    tables.commit(batch);
    assert.deepEqual(
      tables.sets(TABLE),
      contents.map(([set]) => set),
    );
    for (const [set, elements] of contents) assert.deepEqual(byKey(tables.elements(TABLE, set)), elements);

    const emptied = new Batch();
    for (const [set, elements] of contents) emptied.deleteElements(TABLE, set, elements);
    tables.commit(emptied);
    for (const [set] of contents) assert.deepEqual(tables.elements(TABLE, set), []);
  });

  it("does all of a batch or nothing, and says what was refused", () => {
    using tables = NfTables.open({ namespace: namespaces.create() });
    const set: NftSet = { name: "s", key: ["ipv4_addr"] };
    const first = new Batch();
    first.addTable({ ...TABLE, flags: 0 });
    first.addChain(TABLE, { name: "c1" });
    first.addSet(TABLE, set);
    tables.commit(first);
    const bad = new Batch();
    bad.addChain(TABLE, { name: "c2" });
    bad.addRule(TABLE, "c1", { expressions: [payload("network", 12, 4), lookup("nowhere")] });
    bad.addRule(TABLE, "c3", { expressions: [counter()] });
    bad.addRule(TABLE, "c1", { expressions: [counter(), verdict({ jump: "gone" })] });
    bad.deleteElements(TABLE, set, [{ key: addressData(ip("10.0.0.1")) }]);
    assert.throws(
      () => tables.commit(bad),
      (error: unknown) => {
        assert.ok(error instanceof TransactionError && isNetlinkError(error, "ENOENT"));
        assert.deepEqual(
          error.refusals.map(({ operation, about }) => `${operation}: ${about}`),
          [
            "add a rule to chain c1 of ip x: expression 2, lookup nowhere",
            "add a rule to chain c3 of ip x: c3",
            "add a rule to chain c1 of ip x: expression 2, immediate gone",
            "delete elements of set s of ip x: element 0a000001",
          ],
        );
        return true;
      },
    );
    assert.deepEqual(tables.chains(TABLE), [{ name: "c1" }]);
  });

  it("replaces, inserts and deletes single rules", () => {
    using tables = NfTables.open({ namespace: namespaces.create() });
    const first = new Batch();
    first.addTable({ ...TABLE, flags: 0 });
    first.addChain(TABLE, { name: "c" });
    const named = (comment: string) => ({ expressions: [counter()], comment });
    for (const name of ["a", "b", "c"]) first.addRule(TABLE, "c", named(name));
    tables.commit(first);
    const comments = () => tables.rules(TABLE, "c").map(rule => rule.comment);
    const [a, b, c] = tables.rules(TABLE, "c").map(rule => rule.handle);
    const change = new Batch();
    change.replaceRule(TABLE, "c", a!, named("A"));
    change.deleteRule(TABLE, "c", b!);
    change.insertRule(TABLE, "c", named("before c"), c);
    change.insertRule(TABLE, "c", named("first"));
    tables.commit(change);
    assert.deepEqual(comments(), ["first", "A", "before c", "c"]);
  });

  it("commits only to the generation that was asked for", () => {
    const namespace = namespaces.create();
    using tables = NfTables.open({ namespace });
    const ifGeneration = tables.generation();
    nft(namespace, "add table ip other");
    const batch = new Batch({ ifGeneration });
    batch.addTable({ ...TABLE, flags: 0 });
    assert.throws(() => tables.commit(batch), { code: "ERESTART" });
    assert.equal(tables.table(TABLE), undefined);
  });

  it("sends a batch that is larger than the send buffer", () => {
    using tables = NfTables.open({ namespace: namespaces.create() });
    const set: NftSet = { name: "s", key: ["ipv4_addr"] };
    const batch = new Batch();
    batch.addTable({ ...TABLE, flags: 0 });
    batch.addSet(TABLE, set);
    batch.addChain(TABLE, { name: "c" });
    const rule = { expressions: [meta("oifname")], comment: "long".repeat(60) };
    for (let i = 0; i < 30_000; i++) batch.addRule(TABLE, "c", rule);
    assert.ok(batch.seal().length > 8 * 1024 * 1024);
    tables.commit(batch);
    assert.equal(tables.rules(TABLE).length, 30_000);
  });

  describe("owned tables", () => {
    before(function () {
      using tables = NfTables.open({ namespace: namespaces.create() });
      if (!tables.canOwnTables()) this.skip(); // Linux < 6.9
    });

    const claimed = (tables: NfTables) => {
      const batch = new Batch();
      batch.addTable({ ...TABLE, flags: OWNED });
      batch.addChain(TABLE, { name: "c" });
      tables.commit(batch);
    };

    it("are nobody else's to change, and outlive their owner", () => {
      const namespace = namespaces.create();
      const first = NfTables.open({ namespace });
      claimed(first);
      using second = NfTables.open({ namespace });
      assert.throws(() => claimed(second), { code: "EPERM" });
      nft(namespace, "flush ruleset");
      assert.deepEqual(second.chains(TABLE), [{ name: "c" }]);
      assert.throws(() => nft(namespace, "delete table ip x"));
      first.close();
      assert.equal(second.table(TABLE)?.owner, undefined);
      claimed(second);
      assert.ok(second.table(TABLE)?.owner);
      assert.deepEqual(second.chains(TABLE), [{ name: "c" }]);
    });

    it("take the place of one that cannot be owned in a single transaction", () => {
      const namespace = namespaces.create();
      nft(namespace, "table ip x { chain old { } ; }");
      using tables = NfTables.open({ namespace });
      assert.throws(() => claimed(tables), { code: "EOPNOTSUPP" });
      const batch = new Batch();
      batch.deleteTable(TABLE);
      batch.addTable({ ...TABLE, flags: OWNED });
      batch.addChain(TABLE, { name: "new" });
      batch.addSet(TABLE, { name: "m", key: ["ifname"], data: "verdict" });
      batch.addRule(TABLE, "new", { expressions: [meta("oifname"), verdictMap("m")] });
      tables.commit(batch);
      assert.deepEqual(tables.chains(TABLE), [{ name: "new" }]);
    });
  });
});
