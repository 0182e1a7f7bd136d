/** The configuration file: what is taken, and how what is wrong with it is said. */

import assert from "node:assert/strict";
import { acceptAll, rejectAll } from "node-bgp";
import { PolicyCache } from "../../../../bgp/standalone/policies.ts";
import { ConfigurationError, readConfiguration } from "../../../../bgp/standalone/read.ts";

const passwords: Record<string, string> = { "keys/tor": "secret" };

function readPassword(file: string): string {
  const password = passwords[file];
  if (password === undefined) throw new Error("no such file");
  return password;
}

const read = (text: string) =>
  readConfiguration({ name: "rr.yaml", text }, { readPassword, policies: new PolicyCache() });

async function complaints(text: string): Promise<string[]> {
  try {
    await read(text);
  } catch (error) {
    assert(error instanceof ConfigurationError);
    return error.message.split("\n");
  }
  return [];
}

const HEAD = "as: 64512\nrouterId: 192.0.2.1\n";

describe("a configuration file", () => {
  it("may be the JSON other speakers are measured with", async () => {
    const neutral = {
      as: 64512,
      routerId: "10.99.0.1",
      listen: "10.99.0.1",
      port: 179,
      holdTime: 240,
      clusterId: "10.99.0.1",
      passive: true,
      peers: [{ address: "10.99.1.1", as: 64512, rrClient: true }],
    };
    const { plan } = await read(JSON.stringify(neutral));
    assert.deepEqual(plan.speaker, {
      asn: 64512,
      routerId: "10.99.0.1",
      clusterId: "10.99.0.1",
      listen: { port: 179, addresses: ["10.99.0.1"] },
      holdTime: 240,
      gracefulRestart: { restarting: false },
    });
    assert.deepEqual(plan.neighbors.get("10.99.1.1")?.options, {
      address: "10.99.1.1",
      asn: 64512,
      passive: true,
      reflectorClient: true,
    });
  });

  it("gives peers what their group says, unless they say otherwise", async () => {
    const { plan } = await read(`${HEAD}
passive: true
groups:
  racks: {as: 65001, passive: false, holdTime: 9, passwordFile: keys/tor}
peers:
  - {address: 192.0.2.10, group: racks, holdTime: 30}
  - {address: 192.0.2.11, as: 64512}
`);
    const [rack, other] = [...plan.neighbors.values()].map(({ options }) => options);
    assert.equal(rack?.asn, 65001);
    assert.equal(rack?.passive, false);
    assert.equal(rack?.holdTime, 30);
    assert.equal(rack?.password, "secret");
    assert.equal(other?.passive, true);
    assert.equal(other?.holdTime, undefined);
  });

  it("leaves to node-bgp what a peer without policies may do (RFC 8212)", async () => {
    const { plan } = await read(`${HEAD}
peers:
  - {address: 192.0.2.10, as: 65001}
  - {address: 192.0.2.11, as: 65001, import: accept, export: reject}
`);
    const policies = [...plan.neighbors.values()].map(({ options }) => [
      options.importPolicy,
      options.exportPolicy,
    ]);
    assert.deepEqual(policies, [
      [undefined, undefined],
      [acceptAll, rejectAll],
    ]);
  });

  it("compiles policies once, whoever names them, and again only where they are others", async () => {
    const cache = new PolicyCache();
    const again = async (text: string) => {
      const { plan } = await readConfiguration({ name: "x", text }, { readPassword, policies: cache });
      return [...plan.neighbors.values()].map(({ options }) => options.exportPolicy);
    };
    const text = `${HEAD}
prefixLists: {ours: [10.65.0.0/16 le 32]}
policies:
  ours: {rules: [{match: {prefixes: ours}, action: accept}]}
peers:
  - {address: 192.0.2.10, as: 65001, export: ours}
  - {address: 192.0.2.11, as: 65001, export: ours}
  - {address: 192.0.2.12, as: 65001, export: [ours, {rules: [{match: {med: 5}, action: accept}]}]}
`;
    const [first, second, third] = await again(text);
    assert.equal(typeof first, "function");
    assert.equal(first, second);
    assert.notEqual(first, third);
    assert.deepEqual(await again(text), [first, second, third]);
    const [changed] = await again(text.replace("10.65.0.0/16 le 32", "10.66.0.0/16"));
    assert.notEqual(changed, first);
  });

  it("lets peers share what is computed for them where their policy answers them alike", async () => {
    const { plan } = await read(`${HEAD}
policies:
  plain: {rules: [{action: accept}]}
  byAs: {rules: [{match: {neighborAsn: 65001}, action: accept}]}
  byAddress: {rules: [{match: {neighborAddress: 192.0.2.10/32}, action: accept}]}
peers:
  - {address: 192.0.2.10, as: 65001, export: plain}
  - {address: 192.0.2.11, as: 65002, export: plain}
  - {address: 192.0.2.12, as: 65001, export: byAs}
  - {address: 192.0.2.13, as: 65002, export: byAs}
  - {address: 192.0.2.14, as: 65002, export: byAs}
  - {address: 192.0.2.15, as: 65002, export: byAddress}
`);
    const [a, b, c, d, e, f] = [...plan.neighbors.values()].map(({ options }) => options.exportGroup);
    assert.equal(a, b);
    assert.notEqual(c, d);
    assert.equal(d, e);
    assert.equal(f, undefined);
  });

  it("takes whoever dials from a prefix, with AS numbers in ranges", async () => {
    const { plan } = await read(`${HEAD}
groups: {racks: {passive: true, port: 1179, holdTime: 9, as: 1}}
dynamicPeers:
  - {prefix: 10.1.2.3/16, as: [64512, 65000-65534], group: racks, limit: 5}
`);
    assert.deepEqual(plan.dynamic.get("10.1.0.0/16")?.options, {
      prefix: "10.1.2.3/16",
      asn: [64512, [65000, 65534]],
      limit: 5,
      holdTime: 9,
    });
  });

  it("hands over what a session may be told", async () => {
    const { plan } = await read(`${HEAD}
gracefulRestart: {longLivedStaleTime: 86400}
multipath: {maxPaths: 4}
peers:
  - address: 192.0.2.10
    as: 64512
    addPath: {receive: true, send: all}
    maxPrefixes: {limit: 100, action: warn}
    bfd: {transmitInterval: 50, multiplier: 3}
    gracefulShutdown: true
`);
    const { options } = plan.neighbors.get("192.0.2.10")!;
    assert.deepEqual(options.addPath, { receive: true, send: "all" });
    assert.deepEqual(options.maxPrefixes, { limit: 100, action: "warn" });
    assert.deepEqual(options.bfd, { transmitInterval: 50, multiplier: 3 });
    assert.equal(options.gracefulShutdown, true);
    assert.deepEqual(plan.speaker.multipath, { maxPaths: 4 });
  });

  it("announces networks, with attributes where they are given", async () => {
    const { plan } = await read(`${HEAD}
networks:
  - 10.0.0.0/8
  - {prefix: "2001:db8::/32", communities: ["64512:1"], med: 5}
`);
    assert.deepEqual(
      [...plan.routes.values()],
      [{ prefix: "10.0.0.0/8" }, { prefix: "2001:db8::/32", communities: ["64512:1"], med: 5 }],
    );
  });

  it("that stops gracefully starts as a restart", async () => {
    const { plan } = await read(`${HEAD}stop: graceful\n`);
    assert.deepEqual(plan.speaker.gracefulRestart, { restarting: true });
  });
});

describe("a configuration file that is wrong", () => {
  it("is told all that is wrong with its fields, with line and field", async () => {
    const text = `as: none
routerId: 192.0.2.1
peers:
  - adress: 192.0.2.2
    as: 64512
    families: [ipv4]
`;
    assert.deepEqual((await complaints(text)).sort(), [
      'rr.yaml:1:1: as: "none" is not an integer',
      "rr.yaml:4:5: peers[0].address: address is missing; expected a value",
      "rr.yaml:4:5: peers[0].adress: unknown field adress, did you mean address?",
      'rr.yaml:6:16: peers[0].families[0]: "ipv4" is not one of ipv4-unicast, ipv6-unicast',
    ]);
  });

  it("is told what node-bgp would refuse, under the file's names", async () => {
    const text = `${HEAD}peers:
  - {address: 192.0.2.2, as: 64513, rrClient: true}
  - {address: 192.0.2.3, as: 64512, holdTime: 2, localAddress: here}
  - {address: 192.0.2.300, as: 64512}
networks: [10.0.0.0/33]
`;
    assert.deepEqual(await complaints(text), [
      "rr.yaml:4:37: peers[0].rrClient: true is not possible with AS 64513, which is not ours (64512)",
      'rr.yaml:5:50: peers[1].localAddress: "here" is not an IPv4 or IPv6 address',
      "rr.yaml:5:37: peers[1].holdTime: 2 is not 0 or 3 to 65535 seconds",
      'rr.yaml:6:6: peers[2].address: "192.0.2.300" is not an IPv4 or IPv6 address',
      'rr.yaml:7:12: networks[0]: "10.0.0.0/33" is not a prefix such as 10.0.0.0/26',
    ]);
  });

  it("is told what does not go together", async () => {
    const text = `${HEAD}peers:
  - {address: "2001:db8::1", as: 64512}
  - {address: "2001:db8:0::1", as: 64512}
  - {address: 192.0.2.3}
  - {address: 192.0.2.4, as: 64512, group: racks}
  - {address: 192.0.2.5, as: 64512, password: x, passwordFile: keys/none}
`;
    assert.deepEqual(await complaints(text), [
      "rr.yaml:5:6: peers[1].address: there is already a peer 2001:db8::1; expected every address once",
      "rr.yaml:6:5: peers[2].as: as is missing; expected the peer's AS number, here or in its group",
      "rr.yaml:7:37: peers[3].group: there is no group racks; expected a group under `groups`, of which there is none",
      "rr.yaml:8:50: peers[4].passwordFile: password and passwordFile exclude each other; expected one of them",
      "rr.yaml:8:50: peers[4].passwordFile: cannot read the password: no such file; expected a readable file",
    ]);
  });

  it("is told at once what is wrong with fields, between fields, and by node-bgp", async () => {
    const text = `as: 64512
routerid: 192.0.2.1
peers:
  - {address: 192.0.2.2, as: 64512, x: 1}
  - {address: 300.0.0.1, as: x}
  - {address: 192.0.2.4, as: 64512, group: racks, families: [ipv4-unicast, 5]}
  - {address: 192.0.2.2, as: 64512}
networks: [10.0.0.0/33]
`;
    const found = (await complaints(text)).map(line => line.replace(/; expected .*/, ""));
    assert.deepEqual(found.sort(), [
      "rr.yaml:1:1: routerId: routerId is missing",
      "rr.yaml:2:1: routerid: unknown field routerid, did you mean routerId?",
      "rr.yaml:4:37: peers[0].x: unknown field x",
      'rr.yaml:5:26: peers[1].as: "x" is not an integer',
      'rr.yaml:5:6: peers[1].address: "300.0.0.1" is not an IPv4 or IPv6 address',
      "rr.yaml:6:37: peers[2].group: there is no group racks",
      "rr.yaml:6:76: peers[2].families[1]: 5 is not text",
      "rr.yaml:7:6: peers[3].address: there is already a peer 192.0.2.2",
      'rr.yaml:8:12: networks[0]: "10.0.0.0/33" is not a prefix such as 10.0.0.0/26',
    ]);
  });

  it("is told what is wrong with policies, where it is written and once", async () => {
    const text = `${HEAD}policies:
  a: {rules: [{match: {prefixes: [10.0.0.0/8, 10.0.0/8]}, action: accept}]}
  b: {chain: [a, c]}
  d: {chain: [d]}
  e: {rules: [{match: {comunities: 1:1}, action: accept}]}
  accept: {rules: []}
  f: {}
peers:
  - {address: 192.0.2.2, as: 65001, import: a, export: [b, nobody]}
  - {address: 192.0.2.3, as: 65001, import: {rules: [{action: reject, set: {med: 1}}]}}
  - {address: 192.0.2.4, as: 65001, import: a}
`;
    const found = (await complaints(text)).map(line => line.replace(/; expected .*/, ""));
    assert.deepEqual(found.map(line => line.split(": ").slice(0, 2).join(": ")).sort(), [
      "rr.yaml:11:60: peers[0].export[1]",
      "rr.yaml:12:71: peers[1].import.rules[0].set",
      "rr.yaml:4:47: policies.a.rules[0].match.prefixes[1]",
      "rr.yaml:5:18: policies.b.chain[1]",
      "rr.yaml:6:15: policies.d.chain[0]",
      "rr.yaml:7:24: policies.e.rules[0].match.comunities",
      "rr.yaml:8:3: policies.accept",
      "rr.yaml:9:3: policies.f",
    ]);
  });

  it("is told the fields there are where one is not near any", async () => {
    const [line] = await complaints(`${HEAD}networks: [{prefix: 10.0.0.0/8, x: 1}]`);
    assert.match(line!, /networks\[0\]\.x: unknown field x; expected one of prefix, nextHop, /);
  });

  it("has its lines also where it is JSON", async () => {
    assert.deepEqual(await complaints('{\n  "as": 0,\n  "routerId": "192.0.2.1"\n}'), [
      "rr.yaml:2:3: as: 0 is not 1 or more",
    ]);
  });

  it("may be no mapping, empty, or several documents", async () => {
    assert.match((await complaints("- 1"))[0]!, /^rr.yaml:1:1: \[1\] is not a mapping/);
    assert.match((await complaints("# nothing"))[0]!, /the file is empty/);
    assert.match((await complaints(`${HEAD}---\n${HEAD}`))[0]!, /several documents/);
    assert.match((await complaints("as: [1"))[0]!, /^rr.yaml:1:\d+: malformed YAML/);
  });

  it("does not show passwords", async () => {
    for (const password of [`"${"4711".repeat(21)}"`, "4711"]) {
      const text = `${HEAD}peers: [{address: 192.0.2.2, as: 64512, password: ${password}}]`;
      assert.match((await complaints(text)).join(), /^rr.yaml:3:41: peers\[0\].password: \*\*\* is not /);
    }
  });
});
