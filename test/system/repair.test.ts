/** Rules that somebody else takes away, with the refresh intervals as they come: it must not take minutes. */

import { eventually, TestLab } from "./test-lab.ts";

describe("rules that somebody flushes", () => {
  let lab: TestLab;

  before(async () => {
    lab = await TestLab.up({ hosts: 1 });
    for (const network of ["one", "two"]) await lab.createNetwork(network);
    await lab.run("a", { host: "host1", network: "one", serve: [{ protocol: "tcp", port: 80 }] });
    await lab.run("stranger", { host: "host1", network: "two" });
  });

  after(() => lab?.end());

  const hooks = async () => {
    const rules = await lab.output("host1", "iptables-nft-save");
    return rules.split("\n").filter(line => /^-A (FORWARD|INPUT|PREROUTING) .*-j cali-/.test(line)).length;
  };

  it("are back within seconds, and strangers are out again", async () => {
    await lab.expects({ "stranger -> a tcp:80": "deny" }, 0);
    await eventually(hooks, 3);
    for (const table of ["filter", "raw"]) await lab.output("host1", "iptables-nft", "-t", table, "-F");
    await eventually(hooks, 3, 5000);
    await lab.expects({ "stranger -> a tcp:80": "deny", "a -> stranger icmp": "deny" });
  });

  it("are left alone while others change only their own", async () => {
    const before = await lab.output("host1", "iptables-nft-save", "-t", "filter");
    await lab.output("host1", "iptables-nft", "-N", "THEIRS");
    await lab.output("host1", "iptables-nft", "-A", "THEIRS", "-j", "RETURN");
    await eventually(hooks, 3);
    const ours = (rules: string) => rules.split("\n").filter(line => line.includes("cali"));
    await eventually(
      async () => ours(await lab.output("host1", "iptables-nft-save", "-t", "filter")),
      ours(before),
    );
  });
});
