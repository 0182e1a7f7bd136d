/** RFC 8212: between autonomous systems nothing passes that nobody has allowed. */

import assert from "node:assert/strict";
import { acceptAll, type NeighborOptions } from "../index.ts";
import { Lab, prefixesOf, stateOf } from "./kit/lab.ts";

const A = "10.0.0.1";
const B = "10.0.0.2";

async function external(ours: Partial<NeighborOptions>, theirs: Partial<NeighborOptions>) {
  const lab = new Lab();
  const a = lab.speaker(A, 64512);
  const b = lab.speaker(B, 65000);
  a.addNeighbor({ address: B, asn: 65000, ...ours });
  b.addNeighbor({ address: A, asn: 64512, ...theirs });
  a.announce({ prefix: "10.1.0.0/16" });
  b.announce({ prefix: "10.2.0.0/16" });
  await lab.start(a, b);
  lab.advance(1);
  assert.equal(stateOf(a, B), "Established");
  return { lab, a, b };
}

describe("an external neighbor without a policy", () => {
  it("is told nothing", async () => {
    const { a, b } = await external({ importPolicy: acceptAll }, { importPolicy: acceptAll });
    assert.deepEqual([...a.advertised(B)], []);
    assert.deepEqual(prefixesOf(b), ["10.2.0.0/16"]);
  });

  it("is not listened to", async () => {
    const { b } = await external({ exportPolicy: acceptAll }, { exportPolicy: acceptAll });
    assert.deepEqual(prefixesOf(b), ["10.2.0.0/16"]);
    assert.deepEqual(b.paths("10.1.0.0/16"), []);
  });

  it("is shown as such, and the session counts as synchronized", async () => {
    const { a } = await external({ importPolicy: acceptAll }, {});
    assert.deepEqual(a.neighbor(B)?.policyMissing, ["export"]);
    assert.equal(a.neighbor(B)?.synchronized, true);
    a.addNeighbor({ address: "10.0.0.3", asn: 65001 });
    assert.deepEqual(a.neighbor("10.0.0.3")?.policyMissing, ["import", "export"]);
    a.addNeighbor({ address: "10.0.0.4", asn: 64512 });
    assert.deepEqual(a.neighbor("10.0.0.4")?.policyMissing, [], "an internal one needs none");
  });

  it("exchanges routes as soon as it gets policies, without a new session", async () => {
    const { lab, a, b } = await external({}, {});
    const everything = { importPolicy: acceptAll, exportPolicy: acceptAll };
    a.updateNeighbor({ address: B, asn: 65000, ...everything });
    b.updateNeighbor({ address: A, asn: 64512, ...everything });
    lab.advance(1);
    assert.deepEqual(prefixesOf(a), ["10.1.0.0/16", "10.2.0.0/16"]);
    assert.deepEqual(prefixesOf(b), ["10.1.0.0/16", "10.2.0.0/16"]);
    assert.equal(a.neighbor(B)?.established, 1);
    b.updateNeighbor({ address: A, asn: 64512 });
    lab.advance(1);
    assert.deepEqual(prefixesOf(a), ["10.1.0.0/16"], "and loses them with the policies");
    assert.deepEqual(prefixesOf(b), ["10.2.0.0/16"]);
  });
});
