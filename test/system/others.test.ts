/** Only ours, and repair: what others have in a host stays; what others do to ours is undone. */

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually, TestLab } from "./test-lab.ts";

/** Refreshes that a test can wait for. */
const CONFIGURATION = `{ apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: { name: default },
  spec: { iptablesRefreshInterval: 500ms, ipsetsRefreshInterval: 500ms, routeRefreshInterval: 60s } }`;

describe("other programs on the host", () => {
  let lab: TestLab;
  let device: string;

  const host = async (...command: string[]) => {
    const output = await lab.output("host1", ...command);
    return output;
  };
  const shell = (script: string) => host("sh", "-ec", script);
  const route = async () => (await host("ip", "route", "show", lab.addressOf("a"))).trim();

  before(async () => {
    lab = await TestLab.up();
    await lab.apply(CONFIGURATION);
    await lab.createNetwork("net");
    await lab.run("a", { host: "host1", network: "net", serve: [{ protocol: "tcp", port: 80 }] });
    await lab.run("b", { host: "host2", network: "net" });
    await lab.createNetwork("another");
    await lab.run("outside", { host: "host2", network: "another" });
    device = lab.state.workload("a").interfaceName;
  });

  after(() => lab?.end());

  /** What somebody else's programs have put there, as the kernel lists it. */
  const foreign = () =>
    shell(`
      iptables-nft-save | grep -e others -e 203.0.113 | grep -v cali-
      ipset save others
      ip route show table all | grep -e 198.51.100
      ip rule | grep 4711
      ip -o link show others0 | cut -d' ' -f2`);

  it("keep their rules, chains, sets, routes and links, whatever happens to us", async () => {
    await shell(`
      iptables-nft -N others
      iptables-nft -A others -p tcp --dport 9 -j DROP
      iptables-nft -I FORWARD 1 -s 203.0.113.1/32 -j others
      iptables-nft -A INPUT -d 203.0.113.2/32 -j DROP
      iptables-nft -t nat -A POSTROUTING -s 203.0.113.3/32 -j MASQUERADE
      ipset create others hash:ip
      ipset add others 203.0.113.4
      iptables-nft -A others -m set --match-set others src -j DROP
      ip link add others0 type bridge
      ip link set others0 up
      ip route add 198.51.100.0/25 dev others0
      ip route add blackhole 198.51.100.128/26 proto static
      ip route add 198.51.100.192/26 via ${lab.addressOf("host2")} table 4711
      ip rule add from 198.51.100.1 table 4711`);
    const before = await foreign();
    assert.equal(before.trim().split("\n").length, 13, before);
    for (const daemon of ["felix", "bgp"] as const) {
      await lab.kill("host1", daemon);
      await lab.start("host1", daemon);
    }
    await lab.run("c", { host: "host1", network: "net" });
    await lab.apply(
      `{ apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: { name: p },
         spec: { selector: all(), ingress: [{ action: Allow, source: { nets: [10.0.0.0/8, 192.168.0.0/16] } }] } }`,
    );
    await lab.expects({ "outside -> a tcp:80": "allow" });
    await lab.delete("GlobalNetworkPolicy", "p");
    await lab.remove("c");
    await lab.expects({ "outside -> a tcp:80": "deny", "b -> a tcp:80": "allow" });
    await sleep(1200); // two refreshes
    assert.equal(await foreign(), before);
  });

  it("may drop what we let through, but not let through what we drop", async () => {
    const theirs = (action: string) => `FORWARD -p tcp -m tcp --dport 80 -j ${action}`;
    await shell(`iptables-nft -I ${theirs("DROP").replace("FORWARD", "FORWARD 1")}`);
    await lab.expects({ "b -> a tcp:80": "deny" });
    await shell(`iptables-nft -D ${theirs("DROP")}`);
    await lab.expects({ "b -> a tcp:80": "allow" });
    await shell(`iptables-nft -I ${theirs("ACCEPT").replace("FORWARD", "FORWARD 1")}`);
    // Ours goes first again at the next look; theirs stays, behind it.
    await lab.expects({ "outside -> a tcp:80": "deny" });
    await eventually(
      async () => (await shell("iptables-nft -S FORWARD")).split("\n")[1]?.includes("cali-FORWARD"),
      true,
    );
    assert.ok((await shell("iptables-nft -S FORWARD")).includes(theirs("ACCEPT")));
    await shell(`iptables-nft -D ${theirs("ACCEPT")}`);
  });

  it("may flush a chain of ours, and all of them: they come back", async () => {
    const rules = async () =>
      (await shell("iptables-nft-save")).split("\n").filter(line => /^(-A|:cali)/.test(line));
    const whole = (await rules()).map(line => line.replace(/\[\d+:\d+\]/, ""));
    const now = async () => (await rules()).map(line => line.replace(/\[\d+:\d+\]/, ""));
    await shell(`iptables-nft -F $(iptables-nft -S | grep -- '-o ${device} ' | grep -o 'cali-gi-[^ ]*')`);
    await eventually(now, whole);
    await shell("iptables-nft -D FORWARD 1; iptables-nft -F cali-FORWARD");
    await eventually(now, whole);
    await shell("iptables-nft -F; iptables-nft -t nat -F; iptables-nft -t raw -F; iptables-nft -t mangle -F");
    await eventually(
      async () => (await now()).filter(line => line.includes("cali:")).sort(),
      [...whole.filter(line => line.includes("cali:")).sort()],
    );
    await lab.expects({ "b -> a tcp:80": "allow", "outside -> a tcp:80": "deny" });
  });

  it("may empty a set of ours: its members come back", async () => {
    const set = (await shell("ipset list -n")).split("\n").find(name => name.startsWith("cali40s"));
    assert.ok(set);
    await shell(`ipset flush ${set}`);
    await eventually(async () => (await shell(`ipset list ${set}`)).includes(lab.addressOf("b")), true);
    await lab.expects({ "b -> a tcp:80": "allow" });
  });

  it("may delete a route of ours: back within a second", async () => {
    const before = await route();
    assert.match(before, new RegExp(`dev ${device} .*scope link`));
    await shell(`ip route del ${lab.addressOf("a")}`);
    await eventually(route, before, 1000);
    const learned = () => host("ip", "route", "show", "proto", "bgp");
    const routes = await learned();
    assert.match(routes, /via/);
    await shell("ip route flush proto bgp");
    await eventually(learned, routes, 1000);
  });

  it("may change a route of ours: put right within a second", async () => {
    const before = await route();
    await shell(`ip route replace blackhole ${lab.addressOf("a")} proto static`);
    await sleep(200);
    await shell(`ip route del ${lab.addressOf("a")}`);
    await eventually(route, before, 1000);
  });

  it("may take a workload's interface down: its route comes back with it, within a second", async () => {
    const before = await route();
    await shell(`ip link set ${device} down`);
    await eventually(route, "", 1000);
    await shell(`ip link set ${device} up`);
    await eventually(route, before, 1000);
    assert.equal((await host("cat", `/proc/sys/net/ipv4/conf/${device}/proxy_arp`)).trim(), "1");
    await lab.expects({ "b -> a tcp:80": "allow" });
  });

  it("may switch off what a workload's interface needs: the next look at it puts it right", async () => {
    await shell(`echo 0 > /proc/sys/net/ipv4/conf/${device}/proxy_arp; ip link set ${device} down`);
    await shell(`ip link set ${device} up`);
    const parameter = async () => (await host("cat", `/proc/sys/net/ipv4/conf/${device}/proxy_arp`)).trim();
    await eventually(parameter, "1", 1000);
  });
});
