/** Hosts that peer with the fabric, and hosts with IPv6. */

import assert from "node:assert/strict";
import { pingTtl } from "../../lab/demo/ping.ts";
import { cidrOf } from "../../net/cidr.ts";
import type { Ip } from "../../net/ip.ts";
import { eventually, TestLab } from "./test-lab.ts";

describe("hosts that peer with their rack switch alone", () => {
  let lab: TestLab;

  before(async () => {
    lab = await TestLab.up({ hosts: 2, topology: "tor" });
    await lab.createNetwork("net");
    await lab.run("a", { host: "host1", network: "net" });
    await lab.run("b", { host: "host2", network: "net", serve: [{ protocol: "tcp", port: 80 }] });
  });

  after(() => lab?.end());

  it("reach each other through it, one hop farther", async () => {
    await lab.expects({ "a -> b tcp:80": "allow", "a -> b icmp": "allow" });
    assert.equal(await pingTtl(lab, "a", lab.addressOf("b")), "ttl 61");
    const route = `${cidrOf(lab.addressOf("b"), 26)} via 192.168.56.1 dev eth0 proto bgp`;
    assert.ok((await lab.output("host1", "ip", "route", "show", "proto", "all")).includes(route));
  });

  it("offer it nothing but their blocks", async () => {
    const routes = await lab.output("host2", "ip", "route", "show", "proto", "bgp");
    const learned = routes.split("\n").filter(line => line.includes("via 192.168.56.1"));
    assert.deepEqual(
      learned.map(line => line.split(" ")[0]),
      [cidrOf(lab.addressOf("a"), 26)],
    );
  });
});

describe("hosts with IPv6", () => {
  let lab: TestLab;
  const v6 = (name: string) =>
    lab.state.workload(name).addresses.find(address => address.includes(":")) as Ip;

  before(async () => {
    lab = await TestLab.up({ hosts: 2, ipv6: true });
    for (const network of ["one", "two"]) await lab.createNetwork(network);
    await lab.run("a", { host: "host1", network: "one" });
    await lab.run("b", {
      host: "host2",
      network: "one",
      serve: [
        { protocol: "tcp", port: 80 },
        { protocol: "udp", port: 81 },
      ],
    });
    await lab.run("stranger", { host: "host1", network: "two" });
  });

  after(() => lab?.end());

  it("give workloads a second address, routed by a BGP session of its own", async () => {
    await lab.expects({
      [`a -> ${v6("b")} tcp:80`]: "allow",
      [`a -> ${v6("b")} udp:81`]: "allow",
      [`a -> ${v6("b")} icmp`]: "allow",
    });
    const routes = await lab.output("host1", "ip", "-6", "route", "show", "proto", "bgp");
    assert.match(routes, new RegExp(`${cidrOf(v6("b"), 122)} via fd00:56::69 dev eth0`));
    assert.match(routes, new RegExp(`blackhole ${cidrOf(v6("a"), 122)}`));
  });

  it("let in only members, by either version", async () => {
    await lab.expects({
      [`stranger -> ${v6("b")} tcp:80`]: "deny",
      [`stranger -> ${v6("b")} icmp`]: "deny",
      "stranger -> b tcp:80": "deny",
    });
  });

  it("follow policy by either version", async () => {
    await lab.apply(`
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: { name: web6 }
spec:
  selector: has(one)
  types: [Ingress]
  ingress:
    - { action: Allow, protocol: TCP, source: { nets: ["${v6("stranger")}/128"] }, destination: { ports: [80] } }
    - { action: Allow, protocol: ICMPv6 }
`);
    await lab.expects({
      [`stranger -> ${v6("b")} tcp:80`]: "allow",
      [`stranger -> ${v6("b")} udp:81`]: "deny",
      [`a -> ${v6("b")} icmp`]: "allow",
      [`a -> ${v6("b")} tcp:80`]: "deny",
      "a -> b icmp": "deny",
      "stranger -> b tcp:80": "deny",
    });
  });

  it("drop packets with somebody else's source address", async () => {
    // Bind to an address that is not this workload's: allowed inside, but not past its veth.
    await lab.output("a", "ip", "-6", "address", "add", "fd00:bad::1/128", "dev", "cali0", "nodad");
    const ping = await lab.output(
      "a",
      "ping",
      "-n",
      "-c",
      "2",
      "-i",
      "0.2",
      "-W",
      "1",
      "-I",
      "fd00:bad::1",
      v6("b"),
    );
    assert.match(ping, / 0 received/);
    await eventually(() => pingTtl(lab, "a", v6("b")), "ttl 62");
  });
});
