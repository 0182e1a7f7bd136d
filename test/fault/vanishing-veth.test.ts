/**
 * Interfaces that vanish under felix, whatever it is doing: it goes on, and other workloads do not notice.
 *
 * CALYX_FAULT_ROUNDS=200 makes a campaign of it (default 10).
 */

import assert from "node:assert/strict";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { RunningPing } from "../../lab/demo/ping.ts";
import { Rtnetlink } from "../../linux/rtnetlink.ts";
import { TestLab } from "../system/test-lab.ts";

const ROUNDS = Number(process.env["CALYX_FAULT_ROUNDS"] ?? 10);

describe("a veth that vanishes under felix", function () {
  this.timeout(60_000 + ROUNDS * 5_000);
  let lab: TestLab;

  before(async () => {
    lab = await TestLab.up();
    await lab.createNetwork("net");
    await lab.run("a", { host: "host1", network: "net", serve: [{ protocol: "tcp", port: 80 }] });
    await lab.run("b", { host: "host2", network: "net" });
  });

  after(() => lab?.end());

  const pull = (workload: string) => {
    const { host, interfaceName } = lab.state.workload(workload);
    using netlink = Rtnetlink.open({ namespace: lab.state.host(host).namespace });
    const link = netlink.getLink(interfaceName);
    if (link) netlink.deleteLink(link.index);
  };

  it("takes its own workload's network with it, and nothing else", async () => {
    const felix = lab.state.process("host1-felix");
    const ping = new RunningPing(lab, "b", lab.addressOf("a"), 0.01);
    for (let round = 0; round < ROUNDS; round++) {
      const name = `w${round}`;
      const rewriting = lab.apply(
        `{ apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: { name: p },
           spec: { selector: has(net), ingress: [{ action: Allow, source: { nets: [10.${round}.0.0/16] } }, { action: Pass }] } }`,
      );
      const running = lab.run(name, { host: "host1", network: "net" }).catch(() => undefined);
      // Anywhere from before felix has heard of the endpoint to long after.
      await sleep(Math.random() * (round % 2 === 0 ? 60 : 400));
      if (lab.state.workloads().some(workload => workload.name === name)) pull(name);
      await rewriting;
      // Its policy is in force all the same: nobody has to wait for what has gone.
      await running;
      const routes = await lab.output("host1", "ip", "route");
      const { addresses } = lab.state.workload(name);
      assert.ok(!routes.includes(`${addresses[0]} dev`), routes);
      await lab.remove(name);
    }
    const { sent, received } = await ping.stop();
    assert.ok(sent > 0 && sent - received <= 1, `${sent - received} of ${sent} pings lost`);
    assert.deepEqual(lab.state.process("host1-felix"), felix);
    assert.deepEqual(
      lab.log("host1", "felix").filter(({ level }) => level >= 50),
      [],
    );
    await lab.run("last", { host: "host1", network: "net" });
    await lab.expects({ "last -> a tcp:80": "allow", "b -> last icmp": "allow" });
  });
});
