/** Labs of other shapes: two at once, behind a route reflector, addresses away from their block. */

import assert from "node:assert/strict";
import { cidrOf } from "../../net/cidr.ts";
import { ip } from "../../net/ip.ts";
import { eventually, TestLab } from "./test-lab.ts";

describe("two labs at once", () => {
  const labs: TestLab[] = [];

  after(async () => {
    for (const lab of labs) await lab.down();
    for (const lab of labs) assert.deepEqual(lab.leftBehind(), []);
  });

  it("have the same names and addresses, and nothing else in common", async () => {
    for (let i = 0; i < 2; i++) labs.push(new TestLab());
    const [one, other] = labs as [TestLab, TestLab];
    await Promise.all(labs.map(lab => lab.up({ hosts: 2 })));
    for (const lab of labs) {
      await lab.createNetwork("net");
      await lab.run("a", { host: "host1", network: "net" });
      await lab.run("b", { host: "host2", network: "net", serve: [{ protocol: "tcp", port: 80 }] });
    }
    for (const lab of labs) await lab.expects({ "a -> b tcp:80": "allow", "a -> b icmp": "allow" });
    await one.apply(
      "{ apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: { name: closed }, spec: { selector: all() } }",
    );
    await one.expects({ "a -> b tcp:80": "deny", "a -> b icmp": "deny" });
    await other.expects({ "a -> b tcp:80": "allow" }, 0);
    await one.down();
    await other.expects({ "a -> b tcp:80": "allow", "a -> b icmp": "allow" }, 0);
    assert.equal((await other.calctl(["get", "workloadendpoints"])).code, 0);
  });
});

describe("hosts behind a route reflector", () => {
  let lab: TestLab;

  before(async () => {
    lab = await TestLab.up({ hosts: 3, topology: "rr" });
    await lab.createNetwork("net");
    for (const n of [1, 2, 3])
      await lab.run(`w${n}`, {
        host: `host${n}`,
        network: "net",
        serve: [{ protocol: "tcp", port: 80 }],
      });
  });

  after(() => lab?.end());

  it("reach each other directly, with one session each", async () => {
    await lab.expects({
      "w1 -> w2 tcp:80": "allow",
      "w2 -> w3 tcp:80": "allow",
      "w3 -> w2 icmp": "allow",
      "w3 -> w1 tcp:80": "allow",
    });
    const routes = await lab.output("host3", "ip", "route", "show", "proto", "bgp");
    const block = cidrOf(lab.addressOf("w2"), 26);
    assert.match(routes, new RegExp(`^${block} via ${lab.addressOf("host2")} `, "m"));
    const status = await lab.calctl(["lab", "--name", lab.name, "status", "-o", "json"]);
    const sessions = JSON.parse(status.stdout).hosts.map(
      ({ name, established, neighbors }: Record<string, unknown>) => `${name} ${established}/${neighbors}`,
    );
    assert.deepEqual(sessions, ["host1 2/2", "host2 1/1", "host3 1/1"]);
  });

  it("keep their routes while the reflector is killed, and learn new ones once it is back", async () => {
    await lab.kill("host1", "bgp");
    await lab.expects({ "w2 -> w3 tcp:80": "allow", "w3 -> w2 icmp": "allow" }, 0);
    await lab.start("host1", "bgp");
    await lab.apply(
      "{ apiVersion: projectcalico.org/v3, kind: IPPool, metadata: { name: second }, spec: { cidr: 10.77.0.0/16 } }",
    );
    await lab.createNetwork("second", cidrOf(ip("10.77.0.0"), 16));
    await lab.run("x2", { host: "host2", network: "second" });
    await lab.run("x3", { host: "host3", network: "second" });
    await lab.expects({ "x2 -> x3 icmp": "allow", "w2 -> x3 icmp": "deny" });
  });
});

describe("an address of another host's block", () => {
  let lab: TestLab;

  before(async () => {
    lab = await TestLab.up();
    await lab.createNetwork("net");
    await lab.run("owner", { host: "host1", network: "net" });
    const last = ip(lab.addressOf("owner").replace(/\d+$/, octet => String((Number(octet) | 63) - 1)));
    await lab.run("borrower", {
      host: "host2",
      network: "net",
      ip: last,
      serve: [{ protocol: "tcp", port: 80 }],
    });
    await lab.run("third", { host: "host2", network: "net" });
  });

  after(() => lab?.end());

  it("is where it says, for the block's host and for its own", async () => {
    assert.equal(cidrOf(lab.addressOf("owner"), 26), cidrOf(lab.addressOf("borrower"), 26));
    await lab.expects({
      "owner -> borrower tcp:80": "allow",
      "borrower -> owner icmp": "allow",
      "third -> borrower tcp:80": "allow",
    });
    const routes = () => lab.output("host1", "ip", "route", "show", "proto", "bgp");
    const route = `${lab.addressOf("borrower")} via ${lab.addressOf("host2")}`;
    assert.ok((await routes()).includes(route), await routes());
    await lab.remove("borrower");
    await eventually(async () => (await routes()).includes(lab.addressOf("host2")), true);
    await eventually(async () => (await routes()).includes(route), false);
  });
});
