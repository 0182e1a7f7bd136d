import assert from "node:assert/strict";
import { Lab, prefixesOf, routeOf, stateOf } from "./kit/lab.ts";

const A = "10.0.0.1";
const B = "10.0.0.2";
const C = "10.0.0.3";

describe("two speakers", () => {
  it("establish and exchange routes, both dialling", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    const b = lab.speaker(B, 64512);
    a.addNeighbor({ address: B, asn: 64512 });
    b.addNeighbor({ address: A, asn: 64512 });
    a.announce({ prefix: "192.168.1.0/26" });
    await lab.start(a, b);
    b.announce({ prefix: "192.168.2.0/26", communities: ["64512:7"] });
    lab.advance(1);
    assert.equal(stateOf(a, B), "Established");
    assert.equal(stateOf(b, A), "Established");
    assert.deepEqual(prefixesOf(a), ["192.168.1.0/26", "192.168.2.0/26"]);
    assert.deepEqual(prefixesOf(b), prefixesOf(a));
    const route = routeOf(a, "192.168.2.0/26");
    assert.equal(route?.source, B);
    assert.deepEqual(route?.nextHops, [B]);
    assert.deepEqual(route?.communities, ["64512:7"]);
    b.withdraw("192.168.2.0/26");
    lab.advance(0.1);
    assert.deepEqual(prefixesOf(a), ["192.168.1.0/26"]);
    assert.equal(a.changes.at(-1)?.best, null);
  });
  it("three in a full mesh do not pass on iBGP routes", async () => {
    const lab = new Lab();
    const speakers = [A, B, C].map(address => lab.speaker(address, 64512));
    for (const [i, speaker] of speakers.entries()) {
      for (const address of [A, B, C])
        if (address !== [A, B, C][i]) speaker.addNeighbor({ address, asn: 64512 });
      speaker.announce({ prefix: `192.168.${i}.0/26` });
    }
    await lab.start(...speakers);
    lab.advance(1);
    for (const speaker of speakers) {
      assert.equal(prefixesOf(speaker).length, 3);
      for (const { prefix } of speaker.routes()) assert.equal(speaker.paths(prefix).length, 1);
    }
  });
});
