import assert from "node:assert/strict";
import { EVERYTHING, Lab } from "./kit/lab.ts";

describe("a speaker explains its decisions", () => {
  it("with every path and the step at which it lost, the best one first", async () => {
    const lab = new Lab();
    const rr = lab.speaker("192.0.2.1", 64512);
    const neighbors = [
      ["192.0.2.2", 64512, { localPref: 100 }],
      ["192.0.2.3", 64512, { localPref: 50 }],
      ["192.0.2.4", 65001, {}],
      ["192.0.2.5", 65001, { med: 7 }],
      ["192.0.2.6", 64512, { localPref: 100 }],
    ] as const;
    for (const [address, asn, attributes] of neighbors) {
      const other = lab.speaker(address, asn);
      rr.addNeighbor({ address, asn, ...EVERYTHING });
      other.addNeighbor({ address: "192.0.2.1", asn: 64512, ...EVERYTHING });
      other.announce({ prefix: "10.0.0.0/8", ...attributes });
      await other.start();
    }
    await rr.start();
    lab.advance(20);
    assert.deepEqual(
      rr.explain("10.0.0.0/8").map(({ source, lostAt, equal }) => [source, lostAt, equal]),
      [
        ["192.0.2.2", undefined, true],
        ["192.0.2.6", "router-id", true],
        ["192.0.2.4", "as-path-length", false],
        ["192.0.2.5", "as-path-length", false],
        ["192.0.2.3", "local-pref", false],
      ],
    );
    assert.deepEqual(rr.explain("10.0.0.0/9"), []);
  });

  it("and says how much it holds", async () => {
    const lab = new Lab();
    const speaker = lab.speaker("192.0.2.1", 64512);
    await speaker.start();
    for (const prefix of ["10.0.0.0/8", "10.1.0.0/16", "fd00::/8"]) speaker.announce({ prefix });
    speaker.announce({ prefix: "10.2.0.0/16", med: 1 });
    lab.advance(1);
    const { byFamily, attributeSets } = speaker.statistics();
    assert.deepEqual(byFamily, { "ipv4-unicast": { prefixes: 3 }, "ipv6-unicast": { prefixes: 1 } });
    assert.equal(attributeSets, 2);
  });
});
