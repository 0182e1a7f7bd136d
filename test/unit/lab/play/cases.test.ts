/** Files of recorded states: what is read, chosen and refused. */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chooseCases, readCases, testOf } from "../../../../lab/play/cases.ts";

const POD = { ns: "x", name: "a", labels: {}, ip: "10.0.0.1", ports: [] };
const PROBE = { from: "x/a", to: "x/a", port: 80, protocol: "tcp", expect: "deny" };
const state = (name: string, more: object = {}) => ({
  name,
  namespaces: [{ name: "x", labels: {} }],
  pods: [POD],
  objects: [],
  probes: [PROBE],
  ...more,
});

describe("recorded states", () => {
  const directory = mkdtempSync(join(tmpdir(), "calyx-cases-"));
  after(() => rmSync(directory, { recursive: true }));
  const file = (content: unknown) => {
    const path = join(directory, "cases.json");
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
    return path;
  };

  it("come as a list or alone, with protocols by any spelling", () => {
    assert.deepEqual(readCases(file(state("one")))[0]?.probes[0], { ...PROBE, protocol: "TCP" });
    assert.equal(readCases(file([state("one"), state("two")])).length, 2);
  });

  it("are refused with the place and what was expected", () => {
    const refused = (content: unknown, expected: RegExp) =>
      assert.throws(() => readCases(file(content)), expected);
    refused("{", /cases\.json: .*JSON/);
    refused([state("one"), { name: "" }], /\[1\]\.name: expected text/);
    refused(state("one", { pods: [{ ...POD, ip: "here" }] }), /\[0\]\.pods\[0\]\.ip: expected an IP address/);
    refused(
      state("one", { probes: [{ ...PROBE, to: "x/b" }] }),
      /\.probes\[0\]\.to: expected namespace\/pod/,
    );
    refused(state("one", { probes: [{ ...PROBE, expect: "maybe" }] }), /\.expect: expected allow or deny/);
  });

  it("are chosen by name, by test, or by a part of their names", () => {
    const all = readCases(file(["t [step 1/2]", "t [step 2/2]", "t more", "u"].map(name => state(name))));
    const chosen = (text?: string) => chooseCases(all, text).map(({ name }) => name);
    assert.equal(chosen().length, 4);
    assert.deepEqual(chosen("t [step 2/2]"), ["t [step 2/2]"]);
    assert.deepEqual(chosen("t"), ["t [step 1/2]", "t [step 2/2]"]);
    assert.deepEqual(chosen("ste"), ["t [step 1/2]", "t [step 2/2]"]);
    assert.throws(() => chosen("v"), /no case "v" among 4/);
    assert.equal(testOf("a [step 3]"), "a");
  });
});
