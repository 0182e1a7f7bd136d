import assert from "node:assert/strict";
import {
  type IPPool,
  parsePeerAddress,
  pathText,
  poolOverlaps,
  validateResource,
  validateUpdate,
} from "../../../crd-schemas/index.ts";
import { changed } from "./examples.ts";

function pool(name: string, change: Record<string, unknown> = {}): IPPool {
  const { resource, problems } = validateResource(changed("IPPool", { "metadata.name": name, ...change }));
  assert.deepEqual(problems, undefined);
  return resource as IPPool;
}

describe("crd-schemas: updates", () => {
  it("a pool keeps its range and its block size", () => {
    const found = validateUpdate(pool("a"), pool("a", { "spec.cidr": "10.0.0.0/16", "spec.blockSize": 27 }));
    assert.deepEqual(
      found.map(({ path, message }) => `${pathText(path)}: ${message}`),
      [
        "spec.cidr: cidr of a pool cannot be changed",
        "spec.blockSize: blockSize of a pool cannot be changed",
      ],
    );
  });

  it("a pool stored without a block size had the default one", () => {
    const stored = changed("IPPool", { "spec.blockSize": undefined });
    assert.deepEqual(validateUpdate(stored, pool("default-ipv4-ippool")), []);
  });

  it("a load balancer pool stays one", () => {
    const uses = { "spec.allowedUses": ["LoadBalancer"], "spec.ipipMode": "Never" };
    const [problem] = validateUpdate(pool("a", uses), pool("a"));
    assert.deepEqual(problem?.path, ["spec", "allowedUses"]);
  });

  it("everything else may change", () => {
    assert.deepEqual(
      validateUpdate(pool("a"), pool("a", { "spec.natOutgoing": false, "spec.disabled": true })),
      [],
    );
  });
});

describe("crd-schemas: pools beside each other", () => {
  it("share no addresses", () => {
    const others = [
      pool("a"),
      pool("b", { "spec.cidr": "10.0.0.0/16" }),
      pool("c", { "spec.cidr": "10.1.0.0/16" }),
    ];
    assert.deepEqual(poolOverlaps(pool("d", { "spec.cidr": "10.2.0.0/16" }), others), []);
    const messages = (cidr: string) =>
      poolOverlaps(pool("d", { "spec.cidr": cidr }), others).map(({ message }) => message);
    assert.deepEqual(messages("10.0.1.0/24"), ["10.0.1.0/24 overlaps 10.0.0.0/16 of IPPool b"]);
    assert.deepEqual(messages("10.0.0.0/8"), [
      "10.0.0.0/8 contains 10.0.0.0/16 of IPPool b",
      "10.0.0.0/8 contains 10.1.0.0/16 of IPPool c",
    ]);
  });

  it("a pool does not overlap itself", () => {
    assert.deepEqual(poolOverlaps(pool("a"), [pool("a")]), []);
  });
});

describe("crd-schemas: the address of a peer", () => {
  const cases: [string, { ip: string; port?: number } | undefined][] = [
    ["10.0.0.1", { ip: "10.0.0.1" }],
    ["10.0.0.1:1790", { ip: "10.0.0.1", port: 1790 }],
    ["FD00::1", { ip: "fd00::1" }],
    ["[fd00::1]:1790", { ip: "fd00::1", port: 1790 }],
    ["fd00::1:1790", { ip: "fd00::1:1790" }],
    ["[fd00::1]", undefined],
    ["10.0.0.1:", undefined],
    ["10.0.0.1:65536", undefined],
    ["host", undefined],
    ["", undefined],
  ];
  for (const [text, expected] of cases) {
    it(JSON.stringify(text), () => assert.deepEqual(parsePeerAddress(text), expected));
  }
});
